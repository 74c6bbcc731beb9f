//! Formatting, clippy, documentation.

use crate::process::{cargo, run};
use crate::report::Report;

pub(crate) fn all() -> Report {
    let mut report = Report::default();
    report.note(run(&mut cargo(&["fmt", "--all", "--check"])));
    report.note(clippy());
    report.note(documentation());
    report
}

fn clippy() -> Result<(), String> {
    let mut clippy = cargo(&["clippy", "--workspace", "--all-targets", "--all-features"]);
    run(clippy.args(["--locked", "--", "-D", "warnings"]))
}

fn documentation() -> Result<(), String> {
    let mut doc = cargo(&[
        "doc",
        "--workspace",
        "--no-deps",
        "--all-features",
        "--locked",
    ]);
    run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}
