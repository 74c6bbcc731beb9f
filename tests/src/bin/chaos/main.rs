//! Services under load whose clients leave and whose handlers fail: `cargo xtask chaos [NAME]
//! [--seconds N]`.
//!
//! To add one: a file beside this one with a function that runs for some time and returns what it
//! counted, and a row in the table below.

#![allow(
    clippy::disallowed_methods,
    reason = "chaos happens in real time, in tasks of its own"
)]

mod actix;

use std::{process::ExitCode, time::Duration};
use tests::figure::Figure;

/// What is counted, and how it has to be.
type Counts = Vec<(&'static str, Figure)>;

/// One service.
struct Chaos {
    name: &'static str,
    about: &'static str,
    run: fn(Duration) -> Counts,
}

const ALL: &[Chaos] = &[Chaos {
    name: "actix",
    about: "four workers of actix-web, stale responses refreshed, outer middleware that awaits",
    run: actix::run,
}];

/// How long each runs, unless told otherwise.
const USUAL: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (named, seconds) = match &*arguments {
        [] => (None, None),
        ["--seconds", seconds] => (None, Some(*seconds)),
        [name] => (Some(*name), None),
        [name, "--seconds", seconds] => (Some(*name), Some(*seconds)),
        _ => return usage(),
    };
    let seconds = seconds.map(str::parse).transpose();
    let chosen: Vec<_> = ALL
        .iter()
        .filter(|chaos| named.is_none_or(|name| chaos.name == name))
        .collect();
    let Ok(seconds) = seconds else {
        return usage();
    };
    if chosen.is_empty() {
        return usage();
    }
    let duration = seconds.map_or(USUAL, Duration::from_secs);
    let mut is_enough = true;
    for chaos in chosen {
        println!("{}: {}, {} s", chaos.name, chaos.about, duration.as_secs());
        for (what, figure) in (chaos.run)(duration) {
            println!("{} {what}: {figure}", chaos.name);
            is_enough &= figure.is_enough();
        }
    }
    if is_enough {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: chaos [NAME] [--seconds N], where NAME is one of:");
    for Chaos { name, about, .. } in ALL {
        eprintln!("  {name:<10} {about}");
    }
    ExitCode::from(2)
}
