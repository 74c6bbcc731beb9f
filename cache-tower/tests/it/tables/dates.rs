//! `http::date`: what is a date, and which.

use super::text::now;
use cache_tower::{Profile, http::date};
use serde::Deserialize;
use std::time::SystemTime;

/// The value of a field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    value: String,
    /// When it is read, for the two digits of a year.
    read: Option<String>,
}

pub(super) fn parsed(case: &Case, _: Profile) -> String {
    let read = case.read.as_deref().map_or(now(), |read| {
        httpdate::parse_http_date(read).expect("a date")
    });
    match date::parse(case.value.as_bytes(), read) {
        None => "no date".to_owned(),
        Some(at) if at < SystemTime::UNIX_EPOCH => {
            let before = SystemTime::UNIX_EPOCH.duration_since(at);
            format!(
                "{} s before 1970",
                before.expect("an earlier time").as_secs()
            )
        }
        Some(at) => httpdate::fmt_http_date(at),
    }
}
