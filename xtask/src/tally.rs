//! Counting tests from what the test runners print.

use std::fmt;
use std::ops::{Add, AddAssign};

/// Tests that passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// Reads the line that ends each run of the standard test runner:
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; …`.
    ///
    /// A filtered test is not skipped: nobody asked for it.
    pub(crate) fn of_line(line: &str) -> Option<Tally> {
        let (_verdict, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        Some(Tally {
            passed: count(counts, "passed")?,
            failed: count(counts, "failed")?,
            skipped: count(counts, "ignored")?,
        })
    }
}

impl Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        *self = *self + other;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

fn count(counts: &str, what: &str) -> Option<u64> {
    let named = counts
        .split("; ")
        .find_map(|part| part.strip_suffix(what))?;
    named.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 3 tests
test key::tests::a_key_is_injective ... ok
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.03s

error: test failed, to rerun pass `-p cache-core --lib`
test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s
test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn the_closing_line_sums_every_run() {
        let mut sum = Tally::default();
        for tally in OUTPUT.lines().filter_map(Tally::of_line) {
            sum += tally;
        }
        assert_eq!(sum.to_string(), "14 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn other_lines_count_nothing() {
        for line in [
            "",
            "test result_is_kept ... ok",
            "test result: ok.",
            "test result: ok. x passed; 0 failed; 0 ignored",
            "  test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured",
        ] {
            assert_eq!(Tally::of_line(line), None, "{line}");
        }
    }
}
