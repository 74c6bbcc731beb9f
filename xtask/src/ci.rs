//! All that a change has to pass.

use std::time::Instant;

use crate::report::Report;
use crate::{deny, examples, features, lint, seed, test, tests_bins};

type Step = (&'static str, fn() -> Report);

/// The tests come first, because they are what a change most often breaks.
const STEPS: &[Step] = &[
    ("test", || test::suite(seed::of_tree())),
    ("lint", lint::all),
    ("features", || features::check(false)),
    ("deny", || deny::check(false)),
    ("fuzz", fuzz),
    ("chaos", chaos),
    ("examples", examples::run_all),
];

/// A little of each kind of trouble. Counts and bytes are judged; times are shown only, since they
/// depend on what else the machine does.
const CHAOS: &[(&[&str], &str)] = &[
    (&["actix"], "10"),
    (
        &["kill", "freeze", "half-open", "start", "readonly", "fleet"],
        "3",
    ),
    (&["contended"], "1"),
    (&["leaks"], "20"),
    (&["history"], "3000"),
];

fn fuzz() -> Report {
    let mut args = vec!["--seconds".to_owned(), "10".to_owned()];
    if let Some(seed) = seed::of_tree() {
        args.extend(["--seed".to_owned(), seed.to_string()]);
    }
    tests_bins::fuzz(&args)
}

fn chaos() -> Report {
    let mut report = Report::default();
    for (scenarios, cycles) in CHAOS {
        let args = [scenarios, ["--cycles", cycles].as_slice()].concat();
        report.merge(tests_bins::counted_chaos(&args));
    }
    report
}

/// Goes on after a failing step: who waits for CI wants to hear everything at once.
pub(crate) fn run() -> Report {
    let mut whole = Report::default();
    let mut lines = Vec::new();
    for (name, step) in STEPS {
        let started = Instant::now();
        let report = step();
        let verdict = if report.passed() { "ok" } else { "FAILED" };
        lines.push(format!(
            "ci: {name} {verdict} after {} s",
            started.elapsed().as_secs()
        ));
        eprintln!("{}", lines.last().map_or("", String::as_str));
        whole.merge(report);
    }
    eprintln!("\n{}", lines.join("\n"));
    whole
}
