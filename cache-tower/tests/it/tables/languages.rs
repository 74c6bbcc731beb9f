//! `http::vary`: which language a request prefers, and which a response is in.

use super::text::fields;
use cache_tower::{
    Profile,
    http::vary::{content_language, preferred_language},
};
use serde::Deserialize;

/// One of the two.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    request: Option<Vec<String>>,
    response: Option<Vec<String>>,
}

pub(super) fn found(case: &Case, _: Profile) -> String {
    let (headers, verb) = match (&case.request, &case.response) {
        (Some(request), None) => (fields(request), "prefers"),
        (None, Some(response)) => (fields(response), "is in"),
        _ => panic!("a request or a response"),
    };
    let language = match verb {
        "prefers" => preferred_language(&headers),
        _ => content_language(&headers),
    };
    let language = language.map_or("no one language".into(), String::from_utf8_lossy);
    format!("{verb} {language}")
}
