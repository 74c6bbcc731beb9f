//! What answers mean.

use crate::remote::{Failure, Found, Leased, ServerTime};
use redis::Value;
use std::time::Duration;

pub(super) fn count(answer: &Value) -> u64 {
    match answer {
        Value::Int(count) => u64::try_from(*count).unwrap_or(0),
        _ => 0,
    }
}

pub(super) fn page_of(page: Value) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let Value::Array(parts) = page else {
        return None;
    };
    match <[Value; 2]>::try_from(parts).ok()? {
        [Value::BulkString(cursor), Value::Array(names)] => {
            let name = |name| match name {
                Value::BulkString(name) => Some(name),
                _ => None,
            };
            Some((cursor, names.into_iter().filter_map(name).collect()))
        }
        _ => None,
    }
}

/// The time that a script said, if what it answered holds one.
pub(super) fn time_in(answer: &Value) -> Option<ServerTime> {
    let Value::Array(parts) = answer else {
        return None;
    };
    match parts.as_slice() {
        [Value::Int(1 | 2 | 5 | 6), _, Value::Int(time)] => {
            Some(ServerTime(u64::try_from(*time).ok()?))
        }
        _ => None,
    }
}

/// The size of a value that the lease script found too large to answer with.
pub(super) fn size_in(answer: &Value) -> Option<u64> {
    let Value::Array(parts) = answer else {
        return None;
    };
    match parts.as_slice() {
        [Value::Int(6), Value::BulkString(size), _] => str::from_utf8(size).ok()?.parse().ok(),
        _ => None,
    }
}

/// What the lease script answered. The time in it is `at` instead, where that is given: the server
/// that ran the script need not be the one by whose clock times are stated.
pub(super) fn leased(answer: Value, at: Option<ServerTime>) -> Result<Leased, Failure> {
    let unknown = || Failure::Refused("SCRIPT".into());
    let Value::Array(parts) = answer else {
        return Err(unknown());
    };
    let [kind, bytes, number] = <[Value; 3]>::try_from(parts).map_err(|_| unknown())?;
    let (Value::Int(kind), Value::BulkString(bytes), Value::Int(number)) = (kind, bytes, number)
    else {
        return Err(unknown());
    };
    let number = u64::try_from(number).unwrap_or(0);
    let (left, at) = (
        Duration::from_millis(number),
        at.unwrap_or(ServerTime(number)),
    );
    match kind {
        1 => Ok(Leased::Value(Found {
            bytes: bytes.into(),
            at,
        })),
        2 => Ok(Leased::Granted(at)),
        3 => Ok(Leased::Held(left)),
        4 => Ok(Leased::Failed {
            message: String::from_utf8_lossy(&bytes).into_owned(),
            left,
        }),
        5 => Err(Failure::Late),
        _ => Err(unknown()),
    }
}

/// The version of a group.
pub(super) fn version(answer: &Value) -> Option<ServerTime> {
    match answer {
        Value::BulkString(text) => str::from_utf8(text).ok()?.parse().ok().map(ServerTime),
        _ => None,
    }
}

/// What `TIME` answers: seconds and microseconds, as text.
pub(super) fn server_time(answer: &Value) -> Option<ServerTime> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let number = |part: &Value| match part {
        Value::BulkString(text) => str::from_utf8(text).ok()?.parse::<u64>().ok(),
        _ => None,
    };
    match parts.as_slice() {
        [seconds, micros] => {
            let seconds = number(seconds)?.checked_mul(1_000_000)?;
            Some(ServerTime(seconds.checked_add(number(micros)?)?))
        }
        _ => None,
    }
}
