//! From pairs of names and values to settings, or to everything that is wrong with them.

use super::{
    Tiers,
    form::Value,
    problem::{Problem, class_row, is_of_a_service, is_slip_of_default, meant},
    table::{
        CLASS, OF_HTTP, OURS, POOL_MAX_SIZE, POOL_MIN_SIZE, REDIS_URL, TTL_DEFAULT, TYPE, URL,
        Variable,
    },
};
use crate::remote::Connections;
use std::{collections::BTreeMap, time::Duration};

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) values: BTreeMap<&'static str, Value>,
    pub(super) classes: BTreeMap<String, Duration>,
    pub(super) problems: Vec<Problem>,
}

/// Reads variables. A name that occurs several times has the last of its values, and an empty value is
/// none.
pub(super) fn read(
    tables: &[&'static [Variable]],
    vars: impl IntoIterator<Item = (String, Option<String>)>,
) -> Read {
    let vars: BTreeMap<String, Option<String>> = vars
        .into_iter()
        .filter(|(name, _)| name.starts_with(OURS) || name == REDIS_URL.name)
        .collect();
    let mut read = Read::default();
    // Whether that one is for us at all shows later.
    for (name, value) in vars.iter().filter(|(name, _)| *name != REDIS_URL.name) {
        read.one(tables, name, value.as_deref());
    }
    read.borrow_url(vars.get(REDIS_URL.name));
    read.compare_pool_sizes();
    read
}

impl Read {
    fn one(&mut self, tables: &[&'static [Variable]], name: &str, value: Option<&str>) {
        let mut rows = tables.iter().copied().flatten();
        if let Some(row) = rows.find(|row| row.name == name) {
            if let Some(value) = self.value(row, name, value) {
                self.values.insert(row.name, value);
            }
            return;
        }
        if OF_HTTP.contains(&name) {
            return;
        }
        match name.strip_prefix(CLASS) {
            Some(class) if is_slip_of_default(class) => self.problems.push(Problem::Unknown {
                name: name.to_owned(),
                meant: meant(TTL_DEFAULT.name, tables),
            }),
            Some(class) if is_class(class) => {
                if let Some(Value::Time(ttl)) = self.value(class_row(), name, value) {
                    self.classes.insert(class.to_owned(), ttl);
                }
            }
            _ if is_of_a_service(name, value) => {}
            _ => self.problems.push(Problem::unknown(name, tables)),
        }
    }

    fn value(&mut self, row: &'static Variable, name: &str, value: Option<&str>) -> Option<Value> {
        let Some(text) = value.map(str::trim) else {
            let why = "it is not Unicode".to_owned();
            self.problems.push(Problem::value(name, "", why, row));
            return None;
        };
        if text.is_empty() {
            return None;
        }
        let read = row.form.read(text);
        let wrong = |why| self.problems.push(Problem::value(name, text, why, row));
        read.map_err(wrong).ok()
    }

    /// The type asks for a URL: then there is one, of one name or of the other.
    fn borrow_url(&mut self, lent: Option<&Option<String>>) {
        let asks =
            matches!(self.values.get(TYPE.name), Some(Value::Word(word)) if *word != "memory");
        let is_wrong = |problem: &Problem| problem.is_of(&URL);
        if !asks || self.has(&URL) || self.problems.iter().any(is_wrong) {
            return;
        }
        let known = self.problems.len();
        let lent = lent.and_then(|lent| self.value(&REDIS_URL, REDIS_URL.name, lent.as_deref()));
        if let Some(lent) = lent {
            self.values.insert(REDIS_URL.name, lent);
        } else if self.problems.len() == known {
            self.problems.push(Problem::Missing {
                row: &URL,
                why: "CACHE_TYPE asks for Redis, and REDIS_URL is not set either",
            });
        }
    }

    fn compare_pool_sizes(&mut self) {
        let count = |row: &Variable| match self.values.get(row.name) {
            Some(Value::Number(count, _)) => usize::try_from(*count).ok(),
            _ => None,
        };
        let (least, most) = (count(&POOL_MIN_SIZE).unwrap_or(1), count(&POOL_MAX_SIZE));
        if let Some(most) = most.filter(|most| *most < Connections::needed(least)) {
            let why = format!("it must be two more than CACHE_POOL_MIN_SIZE, {least}, at least");
            let problem =
                Problem::value(POOL_MAX_SIZE.name, &most.to_string(), why, &POOL_MAX_SIZE);
            self.problems.push(problem);
        }
    }

    pub(super) fn has(&self, row: &Variable) -> bool {
        self.values.contains_key(row.name)
    }

    /// Where entries are kept, if the variables say so.
    pub(super) fn tiers(&self) -> Option<Tiers> {
        match self.values.get(TYPE.name) {
            Some(Value::Word("redis")) => Some(Tiers::Redis),
            Some(Value::Word("tiered")) => Some(Tiers::Tiered),
            Some(_) => Some(Tiers::Memory),
            None => self.has(&URL).then_some(Tiers::Tiered),
        }
    }

    /// The URL that is used, and the variable it is of.
    pub(super) fn url(&self) -> Option<(&'static Variable, String)> {
        if self.tiers() == Some(Tiers::Memory) {
            return None;
        }
        [&URL, &REDIS_URL]
            .into_iter()
            .find_map(|row| match self.values.get(row.name) {
                Some(Value::Url(url)) => Some((row, url.clone())),
                _ => None,
            })
    }
}

/// As it stands in the name of a variable.
fn is_class(class: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&class.len()) && class.bytes().all(plain)
}
