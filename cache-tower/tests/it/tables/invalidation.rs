//! `http::invalidate` and `http::cache_groups`: what a response removes.

use super::text::fields;
use cache_tower::{
    Profile,
    http::{
        cache_groups,
        invalidate::{self, also_invalidated, content_location_is_target},
        reference::Base,
        request::MethodClass,
    },
};
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;

/// A request and the response to it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Case {
    method: String,
    /// The target URI.
    target: String,
    status: u16,
    response: Vec<String>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            method: "POST".to_owned(),
            target: "http://a.test/things?x=1".to_owned(),
            status: 200,
            response: Vec::new(),
        }
    }
}

impl Case {
    /// What `ask` says of the target URI and the response.
    fn about<T>(&self, ask: impl FnOnce(&Base<'_>, &HeaderMap) -> T) -> T {
        let uri: Uri = self.target.parse().expect("a URI");
        let scheme = uri.scheme_str().expect("an absolute one").to_owned();
        let none = HeaderMap::new();
        ask(&Base::of(&scheme, &uri, &none), &fields(&self.response))
    }
}

pub(super) fn invalidates(case: &Case, _: Profile) -> String {
    let method = MethodClass::of(&case.method.parse().expect("a method"));
    let status = StatusCode::from_u16(case.status).expect("a status");
    match invalidate::invalidates(method, status) {
        true => "invalidates its URI",
        false => "invalidates nothing",
    }
    .to_owned()
}

pub(super) fn also(case: &Case, _: Profile) -> String {
    let uris = case.about(also_invalidated);
    if uris.is_empty() {
        return "no other".to_owned();
    }
    let uris: Vec<String> = uris.iter().map(Uri::to_string).collect();
    uris.join("\n")
}

pub(super) fn content_location(case: &Case, _: Profile) -> String {
    match case.about(content_location_is_target) {
        true => "the target",
        false => "not the target",
    }
    .to_owned()
}

/// The groups that a response belongs to, and those that it invalidates.
pub(super) fn groups(case: &Case, _: Profile) -> String {
    let headers = fields(&case.response);
    let quoted = |groups: &[String]| {
        let groups: Vec<String> = groups.iter().map(|group| format!("{group:?}")).collect();
        groups.join(", ")
    };
    let of = cache_groups::groups(&headers);
    let invalidated = cache_groups::invalidated(&headers);
    match (of.as_deref(), invalidated.as_slice()) {
        (None, _) => "in unknown groups".to_owned(),
        (Some([]), []) => "no groups".to_owned(),
        (Some([]), invalidated) => format!("invalidates {}", quoted(invalidated)),
        (Some(of), []) => format!("in {}", quoted(of)),
        (Some(of), invalidated) => {
            format!("in {}, invalidates {}", quoted(of), quoted(invalidated))
        }
    }
}
