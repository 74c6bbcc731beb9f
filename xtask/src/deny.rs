//! What the dependencies are allowed to be; the rules are in `deny.toml`.

use std::process::Command;

use crate::process::{cargo, exists, run};
use crate::report::Report;

/// The rules that hold for a given `Cargo.lock` whenever they are checked. Advisories may come
/// overnight and need the network, so they are checked apart, with `advisories`.
const STANDING: &[&str] = &["bans", "licenses", "sources"];

pub(crate) fn check(advisories: bool) -> Report {
    if let Err(failure) = provide() {
        return Report::failed(failure);
    }
    let rules = if advisories {
        &["advisories"]
    } else {
        STANDING
    };
    run(deny().args(rules)).into()
}

fn deny() -> Command {
    cargo(&["deny", "--locked", "check"])
}

fn provide() -> Result<(), String> {
    if exists("cargo-deny") {
        return Ok(());
    }
    eprintln!("cargo-deny is missing: installing it with cargo, which takes some minutes");
    run(&mut cargo(&["install", "cargo-deny", "--locked"]))
}
