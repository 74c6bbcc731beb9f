//! Measuring against goals: `cargo xtask bench [NAME]`.
//!
//! To add a bench: a file beside this one with a function that returns a [`Figure`], and a row
//! in the table below.

#![allow(
    clippy::disallowed_methods,
    reason = "the clock rule is for the caches; a bench reads the clock"
)]

mod actix;
mod hit;
mod redis;

use std::process::ExitCode;

use tests::figure::Figure;

/// One measurement.
struct Bench {
    name: &'static str,
    about: &'static str,
    measure: fn() -> Figure,
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "actix",
        about: "a hit through actix-web beside one through axum, by instructions",
        measure: actix::measure,
    },
    Bench {
        name: "hit",
        about: "a hit beside a service with a prebuilt response, by time",
        measure: hit::measure,
    },
    Bench {
        name: "redis",
        about: "a hit in the remote tier beside a bare GET, 64 callers at once",
        measure: redis::measure,
    },
];

/// What the stored response of every bench of hits has, beside 1 KiB of body.
const FIELDS: [(&str, &str); 8] = [
    ("content-type", "application/json"),
    ("cache-control", "public, max-age=60"),
    ("etag", "\"0123456789abcdef\""),
    ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("server", "test"),
    ("x-request-id", "0123456789"),
    ("content-language", "de"),
    ("link", "</style.css>; rel=preload"),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        None => {
            list();
            measure(BENCHES)
        }
        Some("--send") => actix::send(args.get(1..).unwrap_or_default()),
        Some("--list") => {
            list();
            ExitCode::SUCCESS
        }
        Some(name) => match BENCHES.iter().find(|bench| bench.name == name) {
            Some(bench) => measure(std::slice::from_ref(bench)),
            None => {
                eprintln!("error: no bench is called `{name}`");
                list();
                ExitCode::from(2)
            }
        },
    }
}

fn list() {
    println!("{} benches", BENCHES.len());
    for Bench { name, about, .. } in BENCHES {
        println!("  {name:<24} {about}");
    }
}

/// Measures each, also after one that fell short.
fn measure(benches: &[Bench]) -> ExitCode {
    let short = benches.iter().filter(|bench| !is_enough(bench)).count();
    if short == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn is_enough(bench: &Bench) -> bool {
    let figure = (bench.measure)();
    println!("{}: {figure}", bench.name);
    figure.is_enough()
}
