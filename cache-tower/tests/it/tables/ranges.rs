//! `http::range`: what a Range asks for, and what a Content-Range says.

use super::text::fields;
use cache_tower::{
    Profile,
    http::range::{ContentRange, Selection, Span, select},
};
use serde::Deserialize;

/// A request, and the length of the representation in bytes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    request: Vec<String>,
    length: u64,
}

pub(super) fn selection(asked: &Asked, _: Profile) -> String {
    match select(&fields(&asked.request), asked.length) {
        Selection::Whole => "the whole".to_owned(),
        Selection::Part(part) => parts(&[part]),
        Selection::Parts(all) => parts(&all),
        Selection::Unsatisfiable => "416".to_owned(),
    }
}

/// Spans as words.
pub(super) fn parts(spans: &[Span]) -> String {
    let spans: Vec<String> = spans.iter().map(Span::to_string).collect();
    format!("bytes {}", spans.join(", "))
}

/// The value of a field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    value: String,
}

pub(super) fn content_range(said: &Said, _: Profile) -> String {
    match ContentRange::parse(said.value.as_bytes()) {
        Some(ContentRange::Part {
            span,
            complete: Some(complete),
        }) => format!("{} of {complete}", parts(&[span])),
        Some(ContentRange::Part {
            span,
            complete: None,
        }) => format!("{} of an unknown length", parts(&[span])),
        Some(ContentRange::Unsatisfied { complete }) => format!("none of {complete}"),
        None => "not to be combined".to_owned(),
    }
}
