//! The programs of the member `tests` that take time rather than answer yes or no.

use crate::hits;
use crate::process::{cargo, run};
use crate::report::Report;
use crate::system;

/// `args` go to the harness as they are; it explains itself when it does not understand them.
pub(crate) fn fuzz<S: AsRef<str>>(args: &[S]) -> Report {
    start(&["--profile", "fuzz", "--bin", "fuzz"], args)
}

/// `metrics` is measured here, because what is measured has to be built more than once.
pub(crate) fn bench<S: AsRef<str>>(args: &[S]) -> Report {
    let bench = || start(&["--release", "--bin", "bench"], args);
    match args.first().map(AsRef::as_ref) {
        Some("metrics") => hits::measure(),
        None => {
            let mut report = bench();
            report.merge(hits::measure());
            report
        }
        Some(_) => bench(),
    }
}

pub(crate) fn chaos<S: AsRef<str>>(args: &[S]) -> Report {
    chaos_of("release", args)
}

/// As [`chaos`], but counts and bytes alone are judged. It is built as the fuzz targets are, because that
/// checks more, and so that CI builds the dependencies once for both.
pub(crate) fn counted_chaos(args: &[&str]) -> Report {
    chaos_of("fuzz", &[&["--counts-only"], args].concat())
}

fn chaos_of<S: AsRef<str>>(profile: &str, args: &[S]) -> Report {
    if let Err(missing) = system::provide() {
        return Report::failed(missing);
    }
    start(&["--profile", profile, "--bin", "chaos"], args)
}

/// Puts the table of variables into the README.
pub(crate) fn variables() -> Report {
    start(&["--bin", "variables"], &["--write"])
}

fn start<S: AsRef<str>>(which: &[&str], args: &[S]) -> Report {
    let mut line = cargo(&["run", "--locked", "--package", "tests"]);
    line.args(which)
        .arg("--")
        .args(args.iter().map(AsRef::as_ref));
    run(&mut line).into()
}
