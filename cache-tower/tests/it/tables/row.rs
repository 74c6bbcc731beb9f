//! A row, and how all of a table are decided.

use super::text::dated;
use cache_tower::Profile;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use toml::{Table, Value};

/// What became of a table.
pub(super) struct Outcome {
    pub(super) rows: usize,
    failures: Vec<String>,
}

impl Outcome {
    pub(super) fn failures(self) -> Vec<String> {
        self.failures
    }
}

/// Decides every row of a table.
///
/// What does not read as a row is a failure too: a key that nobody knows, a section of no known form, a
/// name that stands twice.
pub(super) fn run<Given: DeserializeOwned>(
    table: &str,
    text: &str,
    decide: impl Fn(&Given, Profile) -> String,
) -> Outcome {
    let rows = rows(&dated(text)).unwrap_or_else(|error| panic!("{table}.toml: {error}"));
    let mut names = HashSet::new();
    let failures = rows.iter().filter_map(|row| {
        let name = row.get("name").and_then(Value::as_str).unwrap_or("?");
        let section = row.get("section").and_then(Value::as_str).unwrap_or("?");
        let is_new = names.insert(name.to_owned());
        let result = if is_new {
            check(row, &decide)
        } else {
            Err("the name stands twice".to_owned())
        };
        let problem = result.err()?;
        Some(format!("{table}.toml: {name} ({section})\n{problem}"))
    });
    Outcome {
        failures: failures.collect(),
        rows: rows.len(),
    }
}

fn rows(text: &str) -> Result<Vec<Table>, String> {
    let mut file: Table = toml::from_str(text).map_err(|error| error.to_string())?;
    let rows = file.remove("row").ok_or("there is no row")?;
    if let Some(key) = file.keys().next() {
        return Err(format!("`{key}` is no row"));
    }
    rows.try_into().map_err(|error| error.to_string())
}

/// Whether the row is decided as it says, under each profile.
fn check<Given: DeserializeOwned>(
    row: &Table,
    decide: impl Fn(&Given, Profile) -> String,
) -> Result<(), String> {
    let mut given = row.clone();
    let mut taken = |key: &str| given.remove(key);
    let is_named = matches!(taken("name"), Some(Value::String(name)) if name.contains(' '));
    let is_known = matches!(taken("section"), Some(Value::String(of)) if is_section(&of));
    let expected = match (taken("expect"), taken("guarded"), taken("standard")) {
        (Some(both), None, None) => [words(&both)?, words(&both)?],
        (None, Some(guarded), Some(standard)) => [words(&guarded)?, words(&standard)?],
        _ => return Err("it expects nothing, or too much".to_owned()),
    };
    if !is_named || !is_known {
        return Err("its name is no sentence, or its section of no known form".to_owned());
    }
    let given: Given = given.try_into().map_err(|error| error.to_string())?;
    let profiles = [Profile::Guarded, Profile::Standard];
    let wrong = profiles
        .into_iter()
        .zip(expected)
        .filter_map(|(profile, expected)| {
            let found = decide(&given, profile);
            (found != expected)
                .then(|| format!("  {profile:?}: expected {expected}\n  found {found}"))
        });
    let wrong: Vec<String> = wrong.collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    }
}

/// One line of words, or several.
fn words(value: &Value) -> Result<String, String> {
    match value {
        Value::String(line) => Ok(line.clone()),
        Value::Array(_) => {
            let lines: Result<Vec<String>, _> = value.clone().try_into();
            lines
                .map(|lines| lines.join("\n"))
                .map_err(|error| error.to_string())
        }
        other => Err(format!("{other:?} are no words")),
    }
}

/// A section of an RFC, or what the documentation of a policy promises.
fn is_section(text: &str) -> bool {
    const RFCS: [&str; 9] = [
        "5861", "6585", "8246", "9110", "9111", "9112", "9211", "9213", "9875",
    ];
    let of_rfc = |rest: &str| {
        let (number, section) = rest.split_once(" §")?;
        let is_numbered = section.split('.').all(|part| part.parse::<u8>().is_ok());
        Some(RFCS.contains(&number) && is_numbered)
    };
    match text.strip_prefix("RFC ") {
        Some(rest) => of_rfc(rest).unwrap_or(false),
        None => text == "Profile" || text.starts_with("Policy::"),
    }
}
