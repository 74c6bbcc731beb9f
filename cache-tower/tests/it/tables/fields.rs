//! `http::fields` and `http::validator`: what is stored of a response's fields, and what renews them.

use super::text::{fields, lines, names, now};
use cache_tower::{
    Profile,
    http::{
        fields as rules,
        validator::{self, HeadComparison},
    },
};
use serde::Deserialize;

/// A stored response, or one to be stored, and a later one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Case {
    stored: Vec<String>,
    update: Vec<String>,
    /// The fields that Cache-Control names as not to be stored.
    withheld: Vec<String>,
    /// Of the stored representation, in bytes.
    length: Option<u64>,
}

pub(super) fn storable(case: &Case, _: Profile) -> String {
    lines(&rules::storable(
        &fields(&case.stored),
        &names(&case.withheld),
        now(),
    ))
}

pub(super) fn freshened(case: &Case, _: Profile) -> String {
    lines(&rules::freshened(
        &fields(&case.stored),
        &fields(&case.update),
        now(),
    ))
}

pub(super) fn freshening(case: &Case, _: Profile) -> String {
    validator::freshening(&fields(&case.stored), &fields(&case.update), now())
        .as_str()
        .to_owned()
}

pub(super) fn head(case: &Case, _: Profile) -> String {
    match validator::compare_head(&fields(&case.stored), case.length, &fields(&case.update)) {
        HeadComparison::Match => "updated".to_owned(),
        HeadComparison::Differs(field) => format!("stale: {} differs", field.as_str()),
        HeadComparison::NoEvidence => "no evidence".to_owned(),
    }
}
