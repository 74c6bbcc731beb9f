//! Everything a person or CI runs: `cargo xtask <verb>`.
//!
//! Std only, so that the first verb on a fresh machine starts after a second of compiling.

#![allow(
    clippy::disallowed_methods,
    reason = "the clock and environment rules are for the caches; here a clock times the steps"
)]

mod ci;
mod deny;
mod examples;
mod features;
mod hits;
mod lint;
mod process;
mod report;
mod seed;
mod system;
mod tally;
mod test;
mod tests_bins;
mod workspace;

use std::fmt::Write as _;
use std::process::ExitCode;

use report::Report;

/// One thing `cargo xtask` can do.
struct Verb {
    name: &'static str,
    /// What may follow the name.
    takes: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<Report, Usage>,
}

const VERBS: &[Verb] = &[
    Verb {
        name: "test",
        takes: "",
        about: "install what testing needs, then run every test and the loom model",
        run: |args| nothing(args).map(|()| test::suite(None)),
    },
    Verb {
        name: "loom",
        takes: "",
        about: "check the flight under every interleaving loom can reach",
        run: |args| nothing(args).map(|()| test::loom()),
    },
    Verb {
        name: "lint",
        takes: "",
        about: "formatting, clippy and the documentation, with warnings as errors",
        run: |args| nothing(args).map(|()| lint::all()),
    },
    Verb {
        name: "features",
        takes: "[--pairs]",
        about: "each published crate with none, the default and each one of its features",
        run: |args| flag(args, "--pairs").map(features::check),
    },
    Verb {
        name: "deny",
        takes: "[--advisories]",
        about: "licenses, bans and sources of the dependencies; advisories need the network",
        run: |args| flag(args, "--advisories").map(deny::check),
    },
    Verb {
        name: "fuzz",
        takes: "[NAME] [--seconds N] [--count N] [--seed N] [--list]",
        about: "fuzz every target, or the one named, for 60 seconds each",
        run: |args| Ok(tests_bins::fuzz(args)),
    },
    Verb {
        name: "bench",
        takes: "[NAME] [--list]",
        about: "measure every bench, or the one named, against its goal",
        run: |args| Ok(tests_bins::bench(args)),
    },
    Verb {
        name: "chaos",
        takes: "[NAME] [--cycles N] [--list]",
        about: "kill, freeze and cut Redis under load, or as named, and measure what requests feel",
        run: |args| Ok(tests_bins::chaos(args)),
    },
    Verb {
        name: "variables",
        takes: "",
        about: "write the table of variables into the README",
        run: |args| nothing(args).map(|()| tests_bins::variables()),
    },
    Verb {
        name: "examples",
        takes: "",
        about: "run every example once; each checks what it claims",
        run: |args| nothing(args).map(|()| examples::run_all()),
    },
    Verb {
        name: "ci",
        takes: "",
        about: "all that a change has to pass, in order",
        run: |args| nothing(args).map(|()| ci::run()),
    },
    Verb {
        name: "help",
        takes: "",
        about: "this list",
        run: |_| {
            print!("{}", help());
            Ok(Report::default())
        },
    },
];

/// A command line that means nothing here.
#[derive(Debug)]
struct Usage(String);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(report) => report.conclude(),
        Err(Usage(problem)) => {
            eprint!("error: {problem}\n\n{}", help());
            ExitCode::from(2)
        }
    }
}

fn dispatch(args: &[String]) -> Result<Report, Usage> {
    let (name, rest) = match args.split_first() {
        None => ("help", args),
        Some((name, rest)) => (name.as_str(), rest),
    };
    match VERBS.iter().find(|verb| verb.name == name) {
        Some(verb) => (verb.run)(rest),
        None => Err(Usage(format!("no verb is called `{name}`"))),
    }
}

fn help() -> String {
    let mut text = "cargo xtask <verb>\n\n".to_owned();
    for Verb {
        name, takes, about, ..
    } in VERBS
    {
        let _ = writeln!(text, "  {name:<9} {about}");
        if !takes.is_empty() {
            let _ = writeln!(text, "  {:<9} takes {takes}", "");
        }
    }
    text
}

fn nothing(args: &[String]) -> Result<(), Usage> {
    match args {
        [] => Ok(()),
        [first, ..] => Err(Usage(format!("`{first}` is not understood here"))),
    }
}

fn flag(args: &[String], name: &str) -> Result<bool, Usage> {
    match args.split_first() {
        Some((first, rest)) if first == name => nothing(rest).map(|()| true),
        _ => nothing(args).map(|()| false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn an_unknown_verb_is_a_usage_error_that_names_it() {
        let Usage(problem) = dispatch(&words("tset")).expect_err("there is no such verb");
        assert!(problem.contains("`tset`"), "{problem}");
    }

    #[test]
    fn an_argument_nobody_reads_is_refused() {
        assert!(dispatch(&words("lint --fix")).is_err());
        assert!(flag(&words("--pairs --paris"), "--pairs").is_err());
    }

    #[test]
    fn a_flag_is_either_there_or_not() {
        assert!(flag(&words("--pairs"), "--pairs").expect("it is there"));
        assert!(!flag(&[], "--pairs").expect("it may be left out"));
    }

    #[test]
    fn help_lists_every_verb() {
        for verb in VERBS {
            assert!(help().contains(verb.about), "{}", verb.name);
        }
    }
}
