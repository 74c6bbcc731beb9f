//! What a verb came to.

use std::process::ExitCode;

use crate::tally::Tally;

/// The failures of a verb, and the tests it counted.
///
/// A verb goes on after a failing step, so that one run tells everything that is wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) failures: Vec<String>,
    pub(crate) tally: Option<Tally>,
}

impl Report {
    pub(crate) fn failed(failure: String) -> Report {
        Report {
            failures: vec![failure],
            tally: None,
        }
    }

    /// Notes how one step went.
    pub(crate) fn note(&mut self, step: Result<(), String>) {
        self.failures.extend(step.err());
    }

    pub(crate) fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    pub(crate) fn merge(&mut self, other: Report) {
        self.failures.extend(other.failures);
        self.tally = match (self.tally, other.tally) {
            (Some(ours), Some(theirs)) => Some(ours + theirs),
            (ours, theirs) => ours.or(theirs),
        };
    }

    /// Tells the failures and, as the very last line, the count of tests.
    pub(crate) fn conclude(&self) -> ExitCode {
        for failure in &self.failures {
            eprintln!("failed: {failure}");
        }
        if let Some(tally) = self.tally {
            println!("{tally}");
        }
        if self.passed() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl From<Result<(), String>> for Report {
    fn from(step: Result<(), String>) -> Report {
        let mut report = Report::default();
        report.note(step);
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_failures_of_both_and_adds_the_tests() {
        let counted = |passed| {
            Some(Tally {
                passed,
                ..Tally::default()
            })
        };
        let mut report = Report {
            failures: vec!["one".to_owned()],
            tally: counted(2),
        };
        report.merge(Report {
            failures: vec!["two".to_owned()],
            tally: counted(3),
        });
        report.merge(Report::default());
        assert_eq!(report.failures, ["one", "two"]);
        assert_eq!(report.tally, counted(5));
    }
}
