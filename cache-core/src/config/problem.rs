//! What is wrong with the environment, all of it at once.

use super::{
    redact,
    table::{CLASS, OURS, TTL_CLASS, Variable},
};
use crate::Error;
use std::fmt;

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

/// The variable whose name differs by so few letters that a slip may have made the difference.
pub(super) fn meant(name: &str, tables: &[&'static [Variable]]) -> Option<&'static Variable> {
    let distance = |row: &&'static Variable| strsim::osa_distance(name, row.name);
    let known = tables.iter().copied().flatten();
    let nearest = known
        .filter(|row| row.name.starts_with(OURS))
        .min_by_key(distance)?;
    let letters = name.len().saturating_sub(OURS.len());
    (distance(&nearest) <= 3.min(letters / 2)).then_some(nearest)
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
            Self::Unknown { name, meant: None } => write!(
                f,
                "{name} is not known; accepted are the variables of this project alone, and {CLASS}<CLASS>"
            ),
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

/// All of them, as one error.
pub(super) fn error(problems: &[Problem]) -> Error {
    let mut text = match problems.len() {
        1 => "a variable of the environment is wrong:".to_owned(),
        many => format!("{many} variables of the environment are wrong:"),
    };
    for problem in problems {
        text.push_str(&format!("\n  {problem}"));
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
