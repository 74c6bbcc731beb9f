//! What is wrong with the environment, all of it at once.

use super::{
    redact,
    table::{CLASS, OURS, TTL_CLASS, Variable},
};
use crate::Error;
use std::{collections::BTreeSet, fmt};

/// One wrong variable.
#[derive(Debug)]
pub(super) enum Problem {
    /// Its value is of another form.
    Value {
        name: String,
        found: String,
        why: String,
        row: &'static Variable,
    },
    /// There is no such variable, but maybe one that is almost called so.
    Unknown {
        name: String,
        meant: Option<&'static Variable>,
    },
    /// A variable asks for another that is not set.
    Missing {
        row: &'static Variable,
        why: &'static str,
    },
}

impl Problem {
    pub(super) fn value(name: &str, text: &str, why: String, row: &'static Variable) -> Self {
        let is_url = matches!(row.form, super::Form::Url);
        // What reads a URL shows none of it. What else is said may repeat the value.
        let tells = is_url || !redact::is_suspect(text);
        Self::Value {
            name: name.to_owned(),
            found: if is_url {
                redact::url(text)
            } else {
                redact::value(text)
            },
            why: if tells { why } else { String::new() },
            row,
        }
    }

    /// Whether it is about the value of this variable.
    pub(super) fn is_of(&self, variable: &Variable) -> bool {
        matches!(self, Self::Value { name, .. } if name == variable.name)
    }

    pub(super) fn unknown(name: &str, tables: &[&'static [Variable]]) -> Self {
        Self::Unknown {
            name: redact::value(name),
            meant: meant(name, tables),
        }
    }
}

/// The variable that may have been meant.
pub(super) fn meant(name: &str, tables: &[&'static [Variable]]) -> Option<&'static Variable> {
    let known = tables.iter().copied().flatten();
    let ours = known.filter(|row| row.name.starts_with(OURS));
    nearest_by_letters(name, ours.clone()).or_else(|| nearest_by_words(name, ours))
}

/// That whose name differs by so few letters that a slip may have made the difference.
fn nearest_by_letters(
    name: &str,
    known: impl Iterator<Item = &'static Variable>,
) -> Option<&'static Variable> {
    let distance = |row: &&'static Variable| strsim::osa_distance(name, row.name);
    let nearest = known.min_by_key(distance)?;
    let letters = name.len().saturating_sub(OURS.len());
    (distance(&nearest) <= 3.min(letters / 2)).then_some(nearest)
}

/// The only one whose name has the same words, or one more, or one less.
fn nearest_by_words(
    name: &str,
    known: impl Iterator<Item = &'static Variable>,
) -> Option<&'static Variable> {
    let words = words(name);
    let distance = |row: &Variable| {
        let known = self::words(row.name);
        let is_like = known.is_subset(&words) || words.is_subset(&known);
        is_like.then(|| known.len().abs_diff(words.len()))
    };
    let mut near: Vec<(usize, &'static Variable)> = known
        .filter_map(|row| Some((distance(row)?, row)))
        .filter(|(distance, _)| *distance <= 1)
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    match *near {
        [(_, row)] => Some(row),
        [(first, row), (second, _), ..] if first < second => Some(row),
        _ => None,
    }
}

/// The variables of classes have none: any word may be a class.
fn words(name: &str) -> BTreeSet<&str> {
    if name == TTL_CLASS.name {
        return BTreeSet::new();
    }
    name.split('_').collect()
}

/// Whether Kubernetes tells by this variable where a service is whose name begins with `cache`: it does so unasked, in
/// every container of a namespace.
pub(super) fn is_of_a_service(name: &str, value: Option<&str>) -> bool {
    let is_link = name.ends_with("_PORT") && value.is_some_and(|value| value.contains("://"));
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || is_link
        || is_of_a_port(name)
}

/// As `CACHE_PORT_6379_TCP` and `CACHE_PORT_6379_TCP_ADDR`.
fn is_of_a_port(name: &str) -> bool {
    let Some((_, port)) = name.rsplit_once("_PORT_") else {
        return false;
    };
    let mut words = port.split('_');
    let is_number = words.next().is_some_and(|word| word.parse::<u16>().is_ok());
    is_number
        && words
            .next()
            .is_some_and(|word| ["TCP", "UDP", "SCTP"].contains(&word))
}

/// Whether this is rather a slip of `CACHE_TTL_DEFAULT` than the name of a class.
pub(super) fn is_slip_of_default(class: &str) -> bool {
    const DEFAULT: &str = "DEFAULT";
    // Who leaves out two letters means another word, as `FAULT`.
    class.len().abs_diff(DEFAULT.len()) <= 1 && strsim::osa_distance(class, DEFAULT) <= 2
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accepted = |f: &mut fmt::Formatter<'_>, name: &str, row: &Variable| {
            let (form, example) = (row.form.accepted(), row.example);
            write!(f, "accepted is {form}; for example {name}={example}")
        };
        match self {
            Self::Value {
                name,
                found,
                why,
                row,
            } => {
                write!(f, "{name} is `{found}`")?;
                if !why.is_empty() {
                    write!(f, ": {why}")?;
                }
                f.write_str("; ")?;
                accepted(f, name, row)
            }
            Self::Unknown { name, meant: None } => {
                write!(f, "{name} is not known, nor like one that is")
            }
            Self::Unknown {
                name,
                meant: Some(row),
            } => {
                let meant = row.name;
                write!(f, "{name} is not known; did you mean {meant}? There ")?;
                accepted(f, meant, row)
            }
            Self::Missing { row, why } => {
                let name = row.name;
                write!(f, "{name} is not set, but {why}; ")?;
                accepted(f, name, row)
            }
        }
    }
}

/// All of them, as one error. Where nothing can be meant by a name it ends with all names there are.
pub(super) fn error(problems: &[Problem], tables: &[&'static [Variable]]) -> Error {
    let mut text = match problems.len() {
        1 => "a variable of the environment is wrong:".to_owned(),
        many => format!("{many} variables of the environment are wrong:"),
    };
    for problem in problems {
        text.push_str(&format!("\n  {problem}"));
    }
    let is_odd = |problem: &Problem| matches!(problem, Problem::Unknown { meant: None, .. });
    if problems.iter().any(is_odd) {
        let known = tables.iter().copied().flatten().map(|row| row.name);
        let known: Vec<&str> = known.collect();
        text.push_str(&format!("\n  known are {}", known.join(", ")));
    }
    Error::config(text)
}

/// The name of the variable of a class.
pub(super) fn of_class(class: &str) -> String {
    format!("{CLASS}{class}")
}

pub(super) fn class_row() -> &'static Variable {
    &TTL_CLASS
}
