//! The tests: the whole workspace, then the model of the flight.

use std::process::Command;

use crate::process::{cargo, describe, run_watching};
use crate::report::Report;
use crate::system;
use crate::tally::Tally;

/// Installs what is missing and runs everything. Properties are tried with inputs from `seed`, or with new
/// ones.
pub(crate) fn suite(seed: Option<u64>) -> Report {
    if let Err(missing) = system::provide() {
        return judge(Tally::default(), Err(missing));
    }
    let mut report = workspace_tests(seed);
    report.merge(loom());
    report
}

/// Plain `cargo test`: a fresh machine has no other runner, and it also runs the doctests.
fn workspace_tests(seed: Option<u64>) -> Report {
    let mut tests = cargo(&["test", "--workspace", "--locked"]);
    if let Some(seed) = seed {
        tests.env("PROPTEST_RNG_SEED", seed.to_string());
    }
    counted(tests.arg("--no-fail-fast"))
}

/// Under a cfg of its own, because tokio's net does not build under `--cfg loom`; and in a
/// target directory of its own, because other flags would rebuild everything there and back.
pub(crate) fn loom() -> Report {
    let mut model = cargo(&["test", "--package", "cache-core", "--lib", "--locked"]);
    model
        .args(["--release", "--target-dir", "target/loom"])
        .arg("flight::model")
        .env("RUSTFLAGS", "--cfg cache_loom")
        .env("LOOM_MAX_PREEMPTIONS", "3");
    counted(&mut model)
}

fn counted(command: &mut Command) -> Report {
    let mut tally = Tally::default();
    let count = |line: &str| tally += Tally::of_line(line).unwrap_or_default();
    let outcome = run_watching(command, count);
    judge(tally, outcome.and_then(|()| some_ran(tally, command)))
}

/// A filter that matches nothing is how tests get lost unnoticed.
fn some_ran(tally: Tally, command: &Command) -> Result<(), String> {
    if tally.passed + tally.failed > 0 {
        Ok(())
    } else {
        Err(format!("{}: no test ran", describe(command)))
    }
}

/// The counts alone do not decide: a runner that crashed says nothing of it in its counts.
fn judge(mut tally: Tally, outcome: Result<(), String>) -> Report {
    if outcome.is_err() && tally.failed == 0 {
        tally.failed = 1;
    }
    Report {
        tally: Some(tally),
        ..Report::from(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64) -> Tally {
        Tally {
            passed,
            failed,
            skipped: 0,
        }
    }

    #[test]
    fn a_run_without_tests_fails() {
        let loom = cargo(&["test", "model"]);
        let outcome = some_ran(tally(0, 0), &loom);
        assert_eq!(outcome, Err("cargo test model: no test ran".to_owned()));
        assert_eq!(judge(tally(0, 0), outcome).tally, Some(tally(0, 1)));
        assert_eq!(some_ran(tally(0, 1), &loom), Ok(()));
    }

    #[test]
    fn a_runner_that_crashed_counts_as_one_failure() {
        let report = judge(tally(7, 0), Err("killed".to_owned()));
        assert_eq!(report.failures, ["killed"]);
        assert_eq!(report.tally, Some(tally(7, 1)));
    }

    #[test]
    fn failures_are_counted_once() {
        let report = judge(tally(7, 2), Err("2 tests failed".to_owned()));
        assert_eq!(report.tally, Some(tally(7, 2)));
    }
}
