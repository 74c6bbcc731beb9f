//! `http::vary`: whether a stored response is selected by a request.

use super::text::fields;
use cache_tower::{
    Profile,
    http::vary::{Vary, write_selecting},
};
use http::HeaderMap;
use serde::Deserialize;

/// The Vary of a stored response, the request it answered, and another for the same URI.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Case {
    vary: Vec<String>,
    stored_for: Vec<String>,
    request: Vec<String>,
}

pub(super) fn same(case: &Case, profile: Profile) -> String {
    let Vary::Fields(names) = Vary::parse(&fields(&case.vary)) else {
        return "never selected".to_owned();
    };
    let selecting = |request: &HeaderMap| {
        let mut bytes = Vec::new();
        write_selecting(&names, request, profile, &mut bytes);
        bytes
    };
    let same = selecting(&fields(&case.stored_for)) == selecting(&fields(&case.request));
    if same { "selected" } else { "another variant" }.to_owned()
}
