//! Lines that say what came back, each marked by whether it is what it must be.

/// So wide is what stands before a line: whether it holds.
pub const MARGIN: usize = 10;

/// How many were printed, and how many of them did not hold.
#[derive(Debug, Default)]
pub struct Lines {
    printed: usize,
    failed: usize,
}

impl Lines {
    /// Prints a line, marked by whether all of it holds, and what does not. Each check is what it must
    /// show, and whether it does.
    pub fn check(&mut self, line: &str, checks: &[(&str, bool)]) {
        let is_ok = checks.iter().all(|(_, holds)| *holds);
        let mark = if is_ok { "   ok" } else { "   FAILED" };
        println!("{mark:MARGIN$}{line}");
        for (expected, _) in checks.iter().filter(|(_, holds)| !holds) {
            println!("{:MARGIN$}expected: {expected}", "");
        }
        self.printed += 1;
        self.failed += usize::from(!is_ok);
    }

    /// Takes up the lines of another.
    pub fn add(&mut self, other: &Self) {
        self.printed += other.printed;
        self.failed += other.failed;
    }

    /// Says that all lines held.
    ///
    /// # Errors
    ///
    /// Says how many did not.
    pub fn verdict(&self) -> Result<(), String> {
        match self.failed {
            0 => {
                println!("\nAll of it held.");
                Ok(())
            }
            failed => Err(format!(
                "{failed} of {} lines did not hold; they are marked FAILED above",
                self.printed
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(checks: &[&[(&str, bool)]]) -> Lines {
        let mut lines = Lines::default();
        checks
            .iter()
            .for_each(|checks| lines.check("a line", checks));
        lines
    }

    #[test]
    fn all_held_where_each_check_of_each_line_does() {
        let lines = lines(&[&[("this", true), ("that", true)], &[("this", true)], &[]]);
        assert_eq!(lines.verdict(), Ok(()));
    }

    #[test]
    fn a_line_fails_once_by_any_of_its_checks() {
        let lines = lines(&[&[("this", true), ("that", false), ("more", false)], &[]]);
        let expected = "1 of 2 lines did not hold; they are marked FAILED above";
        assert_eq!(lines.verdict(), Err(expected.to_owned()));
    }

    #[test]
    fn the_lines_of_another_count_as_well() {
        let mut all = lines(&[&[("this", true)]]);
        all.add(&lines(&[&[("this", false)], &[("this", true)]]));
        let expected = "1 of 3 lines did not hold; they are marked FAILED above";
        assert_eq!(all.verdict(), Err(expected.to_owned()));
    }
}
