//! `http::conditional`: the conditions of clients, and those of the cache.

use super::text::{fields, lines, now};
use cache_tower::{
    Profile,
    http::conditional::{self, Stored, Verdict},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

/// A request, and the stored response that would answer it otherwise, received now.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Case {
    request: Vec<String>,
    status: u16,
    stored: Vec<String>,
    /// Several are stored; these are their ETags.
    etags: Vec<String>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            request: Vec::new(),
            status: 200,
            stored: Vec::new(),
            etags: Vec::new(),
        }
    }
}

impl Case {
    fn stored<'a>(&self, headers: &'a HeaderMap) -> Stored<'a> {
        Stored {
            status: StatusCode::from_u16(self.status).expect("a status"),
            headers,
            received: now(),
        }
    }
}

pub(super) fn verdict(case: &Case, _: Profile) -> String {
    let stored = fields(&case.stored);
    match conditional::evaluate(&fields(&case.request), case.stored(&stored), now()) {
        Verdict::Proceed => "the stored response",
        Verdict::NotModified => "304",
        Verdict::Forward => "left to the origin",
    }
    .to_owned()
}

pub(super) fn if_range(case: &Case, _: Profile) -> String {
    let stored = fields(&case.stored);
    match conditional::if_range_holds(&fields(&case.request), case.stored(&stored), now()) {
        true => "the range applies",
        false => "the range is ignored",
    }
    .to_owned()
}

/// What is asked of the origin about what is stored.
pub(super) fn question(case: &Case, _: Profile) -> String {
    let mut request = fields(&case.request);
    let asks = if case.etags.is_empty() {
        conditional::validate(&mut request, &fields(&case.stored), now())
    } else {
        let etag = |etag: &String| HeaderValue::from_str(etag).expect("a value");
        conditional::offer(&mut request, case.etags.iter().map(etag))
    };
    let has_condition = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE]
        .iter()
        .any(|name| request.contains_key(name));
    assert_eq!(asks, has_condition, "what it says, and what it asks");
    lines(&request)
}

/// The fields of a 304 in place of what is stored.
pub(super) fn not_modified(case: &Case, _: Profile) -> String {
    let mut stored = fields(&case.stored);
    conditional::make_not_modified(&mut stored);
    lines(&stored)
}
