//! The remote tier that the variables name.

use super::{
    form::Value,
    problem::Problem,
    read::Read,
    table::{POOL_MAX_SIZE, POOL_MIN_SIZE, POOL_TIMEOUT, PREFIX, Variable},
};
use crate::remote::{Connections, Remote, from_url_with};
use std::sync::Arc;

/// Makes it, or notes what is wrong with its URL. Nothing is dialled.
pub(super) fn of(read: &mut Read) -> Option<Arc<dyn Remote>> {
    let (variable, url) = read.url()?;
    match from_url_with(&url, &connections(read)) {
        Ok(remote) => Some(remote),
        Err(error) => {
            let problem = Problem::value(variable.name, &url, error.to_string(), variable);
            read.problems.push(problem);
            None
        }
    }
}

fn connections(read: &Read) -> Connections {
    let number = |row: &Variable| match read.values.get(row.name) {
        Some(Value::Number(number, _)) => usize::try_from(*number).ok(),
        _ => None,
    };
    let prefix = match read.values.get(PREFIX.name) {
        Some(Value::Text(prefix)) => Some(prefix.clone()),
        _ => None,
    };
    let timeout = match read.values.get(POOL_TIMEOUT.name) {
        Some(Value::Time(timeout)) => Some(*timeout),
        _ => None,
    };
    let least = number(&POOL_MIN_SIZE);
    // Of fewer connections than are needed it is said elsewhere.
    let needed = Connections::needed(least.unwrap_or(1));
    Connections {
        prefix,
        least,
        most: number(&POOL_MAX_SIZE).filter(|most| *most >= needed),
        timeout,
    }
}
