//! What it costs a hit that it is counted, timed and traced: the same hits from programs that are built with and
//! without the features, in instructions, counted by callgrind.

use std::process::{Command, Stdio};

use crate::process::{cargo, command, run};
use crate::report::Report;

/// A hit may take so much more with metrics, and with spans for which there is no subscriber.
const GOAL: f64 = 1.10;

/// So many requests are counted.
const COUNTED: u64 = 500;

/// Each set of features beside none.
pub(crate) fn measure() -> Report {
    let mut report = Report::default();
    let without = match per_hit("") {
        Ok(count) => count,
        Err(failure) => return Report::failed(failure),
    };
    println!("none: a hit takes {without:.0} instructions");
    for features in ["tracing", "metrics"] {
        report.note(compare(features, without));
    }
    report
}

fn compare(features: &str, without: f64) -> Result<(), String> {
    let with = per_hit(features)?;
    println!("{features}: a hit takes {with:.0} instructions");
    let figure = with / without;
    let verdict = if figure <= GOAL { "ok" } else { "short" };
    println!("{features}: {figure:.3} (goal {GOAL:.2}) {verdict}");
    match figure <= GOAL {
        true => Ok(()),
        false => Err(format!("bench {features}: {figure:.3} is above {GOAL:.2}")),
    }
}

fn per_hit(features: &str) -> Result<f64, String> {
    let line = ["build", "--locked", "--release", "--package", "hits"];
    run(cargo(&line).args(["--features", features]))?;
    Ok(per_request("hit")? - per_request("ask")?)
}

/// The instructions of one request: of those that the program sends once it has begun.
fn per_request(what: &str) -> Result<f64, String> {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let program = format!("{target}/release/hits");
    let mut valgrind: Command = command(
        "valgrind",
        &["--tool=callgrind", "--toggle-collect=*hits*counted*"],
    );
    let output = valgrind
        .args([
            "--callgrind-out-file=/dev/null",
            &program,
            what,
            &COUNTED.to_string(),
        ])
        .stdout(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind, which counts, does not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    let count = collected.and_then(|(_, count)| count.trim().parse::<f64>().ok());
    count
        .filter(|count| output.status.success() && *count > 0.0)
        .map(|count| count / COUNTED as f64)
        .ok_or_else(|| format!("callgrind counted nothing: {said}"))
}
