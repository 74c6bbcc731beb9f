//! Fuzzing on a stable toolchain: `cargo xtask fuzz [NAME] [--seconds N] [--count N] [--seed N]`.
//!
//! Mutates the seeds of each target, calls it, and keeps what made it panic or hang under
//! `tests/fuzz/regressions/<target>/`. Kept inputs are replayed before anything else, and by
//! `cargo test`. The same `--seed` makes the same inputs in the same order.

#![allow(
    clippy::disallowed_methods,
    reason = "the clock rule is for the caches; here a clock bounds the run"
)]

mod args;
mod mutate;
mod regressions;
mod run;
mod targets;

use std::process::ExitCode;

use args::Request;
use regressions::Regressions;
use run::{End, Limits};
use targets::{TARGETS, Target};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args::parse(&args) {
        Ok(Request::List) => {
            TARGETS
                .iter()
                .for_each(|target| println!("{}", target.name));
            ExitCode::SUCCESS
        }
        Ok(Request::Fuzz { targets, limits }) => fuzz_each(&targets, limits),
        Err(problem) => {
            eprintln!("error: {problem}\n\n{}", args::usage());
            ExitCode::from(2)
        }
    }
}

/// Goes on with the other targets when one fails.
fn fuzz_each(targets: &[&'static Target], limits: Limits) -> ExitCode {
    let failing = targets
        .iter()
        .filter(|target| !fuzz(target, limits))
        .count();
    if failing == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whether the target withstood.
fn fuzz(target: &'static Target, limits: Limits) -> bool {
    let name = target.name;
    let Limits { seed, time, count } = limits;
    println!(
        "fuzz {name}: seed {seed}, at most {} s and {count} inputs",
        time.as_secs()
    );
    let kept = Regressions::of(name);
    let outcome = run::run(target, kept.load(), limits);
    let inputs = outcome.inputs;
    let Some((input, what)) = outcome.end.failure() else {
        println!("fuzz {name}: {inputs} inputs, 0 crashes");
        return true;
    };
    eprintln!(
        "fuzz {name}: {what}, seed {seed}, {} bytes: {}",
        input.len(),
        hex(input)
    );
    match kept.keep(input) {
        Ok(path) => eprintln!("fuzz {name}: kept as {}", path.display()),
        Err(error) => eprintln!("fuzz {name}: could not be kept: {error}"),
    }
    println!("fuzz {name}: {inputs} inputs, 1 crash");
    false
}

impl End {
    fn failure(&self) -> Option<(&[u8], &'static str)> {
        match self {
            End::Withstood => None,
            End::Panicked(input) => Some((input, "panicked")),
            End::Hung(input) => Some((input, "took too long")),
        }
    }
}

/// So much of an input is printed; the rest is in the file that is kept.
const PRINTED: usize = 256;

fn hex(bytes: &[u8]) -> String {
    let shown = bytes.iter().take(PRINTED);
    let digits: String = shown.map(|byte| format!("{byte:02x}")).collect();
    let rest = if bytes.len() > PRINTED { "…" } else { "" };
    digits + rest
}
