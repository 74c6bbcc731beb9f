//! The README's table of variables: prints it, or with `--write` puts it in its place.

use cache_tower::config::markdown;
use std::{fs, process::ExitCode};

/// The lines between which the table stands.
const MARKS: [&str; 2] = ["<!-- variables -->\n", "<!-- /variables -->\n"];

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [] => {
            print!("{}", markdown());
            ExitCode::SUCCESS
        }
        ["--write"] => match write() {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("{README}: {why}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: variables [--write]");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<(), String> {
    let readme = fs::read_to_string(README).map_err(|error| error.to_string())?;
    let replaced = replaced(&readme).ok_or("the marks around the table are missing")?;
    fs::write(README, replaced).map_err(|error| error.to_string())
}

fn replaced(readme: &str) -> Option<String> {
    let [begin, end] = MARKS;
    let (before, rest) = readme.split_once(begin)?;
    let (_, behind) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{}\n{end}{behind}", markdown()))
}
