//! What the command line asks for.

use std::time::Duration;

use crate::run::Limits;
use crate::targets::{TARGETS, Target};

/// Generous: a fast target stops here rather than after the last second.
const MOST_INPUTS: u64 = 100_000_000;

pub(crate) enum Request {
    List,
    Fuzz {
        targets: Vec<&'static Target>,
        limits: Limits,
    },
}

pub(crate) fn parse(args: &[String]) -> Result<Request, String> {
    let mut targets: Vec<_> = TARGETS.iter().collect();
    let mut limits = Limits {
        seed: fastrand::u64(..),
        time: Duration::from_secs(60),
        count: MOST_INPUTS,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => return Ok(Request::List),
            "--seconds" => limits.time = Duration::from_secs(number(arg, args.next())?),
            "--count" => limits.count = number(arg, args.next())?,
            "--seed" => limits.seed = number(arg, args.next())?,
            name => targets = vec![find(name)?],
        }
    }
    Ok(Request::Fuzz { targets, limits })
}

pub(crate) fn usage() -> String {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    format!(
        "fuzz [NAME] [--seconds N] [--count N] [--seed N] [--list]\n\nTargets: {}",
        names.join(", ")
    )
}

fn find(name: &str) -> Result<&'static Target, String> {
    let found = TARGETS.iter().find(|target| target.name == name);
    found.ok_or_else(|| format!("no fuzz target is called `{name}`"))
}

fn number(option: &str, value: Option<&String>) -> Result<u64, String> {
    let value = value.ok_or_else(|| format!("{option} needs a number after it"))?;
    value
        .parse()
        .map_err(|_| format!("{option} needs a number, found `{value}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        parse(
            &line
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn without_a_name_every_target_is_fuzzed() {
        let Ok(Request::Fuzz { targets, limits }) = parsed("--seconds 7 --seed 3") else {
            panic!("the line is understood");
        };
        assert_eq!(targets.len(), TARGETS.len());
        assert_eq!((limits.time.as_secs(), limits.seed), (7, 3));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["--seconds", "--seconds x", "--minutes 1", "no_such_target"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
