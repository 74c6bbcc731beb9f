//! What a response removes from the store (RFC 9111 §4.4).

use super::{
    reference::{Base, is_same_origin, resolve},
    request::MethodClass,
    text::trim,
};
use http::{HeaderMap, HeaderName, StatusCode, Uri, header};

/// Whether a response to a request of this method invalidates what is stored for its URI: a
/// non-error response to a method that is not safe, the unknown ones included.
pub fn invalidates(method: MethodClass, status: StatusCode) -> bool {
    method.is_unsafe() && (status.is_success() || status.is_redirection())
}

/// What such a response invalidates beside its target URI: the URIs in Location and
/// Content-Location, each once.
///
/// Only those of the same origin: by others, anybody could empty somebody else's cache.
pub fn also_invalidated(target: &Base<'_>, response: &HeaderMap) -> Vec<Uri> {
    let mut found = Vec::new();
    for uri in [header::LOCATION, header::CONTENT_LOCATION]
        .iter()
        .flat_map(|field| references(field, response))
        .filter_map(|reference| resolve(target, reference))
        .filter(|uri| is_same_origin(uri, target.scheme, target.authority) && !target.is(uri))
    {
        if !found.contains(&uri) {
            found.push(uri);
        }
    }
    found
}

/// Whether a response says that it is what a GET of its target URI would get: it has one
/// Content-Location, and that names the target URI (RFC 9110 §8.7). A response to a POST may be
/// stored only if so (§9.3.3).
///
/// An empty field would refer to the target URI, but is more likely a mistake; it does not count.
pub fn content_location_is_target(target: &Base<'_>, response: &HeaderMap) -> bool {
    let mut lines = references(&header::CONTENT_LOCATION, response);
    match (lines.next(), lines.next()) {
        (Some(line), None) if !line.is_empty() => {
            resolve(target, line).is_some_and(|uri| target.is(&uri))
        }
        _ => false,
    }
}

fn references<'a>(
    field: &HeaderName,
    response: &'a HeaderMap,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let lines = response.get_all(field).iter();
    lines.map(|line| trim(line.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const TARGET: Base<'_> = Base {
        scheme: "http",
        authority: "a.test",
        path: "/things",
        query: Some("x=1"),
    };

    fn response(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    fn also(lines: &[(HeaderName, &'static str)]) -> Vec<String> {
        let uris = also_invalidated(&TARGET, &response(lines));
        uris.iter().map(Uri::to_string).collect()
    }

    #[test]
    fn only_what_is_no_error_and_not_safe_invalidates() {
        for (method, status, expected) in [
            (MethodClass::Unsafe, 200, true),
            (MethodClass::Unsafe, 303, true),
            (MethodClass::Post, 201, true),
            (MethodClass::Unsafe, 404, false),
            (MethodClass::Unsafe, 500, false),
            (MethodClass::Get, 200, false),
            (MethodClass::Head, 200, false),
            (MethodClass::OtherSafe, 200, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(invalidates(method, status), expected, "{method:?} {status}");
        }
    }

    #[test]
    fn location_and_content_location_are_invalidated_too() {
        assert_eq!(
            also(&[
                (header::LOCATION, " /things/7 "),
                (header::CONTENT_LOCATION, "http://A.test:80/things?x=2"),
                (header::CONTENT_LOCATION, "list#top"),
            ]),
            [
                "http://a.test/things/7",
                "http://A.test:80/things?x=2",
                "http://a.test/list"
            ]
        );
        assert_eq!(also(&[]), [""; 0]);
    }

    #[test]
    fn each_is_invalidated_once_and_the_target_by_itself() {
        assert_eq!(
            also(&[
                (header::LOCATION, "/b"),
                (header::CONTENT_LOCATION, "http://A.TEST/b"),
                (header::CONTENT_LOCATION, "?x=1"),
                (header::CONTENT_LOCATION, "#top"),
            ]),
            ["http://a.test/b"]
        );
    }

    #[test]
    fn no_other_origin_is_invalidated() {
        for other in [
            "https://a.test/b",
            "http://a.test:8080/b",
            "http://b.test/b",
            "//b.test/b",
            "http://a.test@b.test/b",
            "http://user@a.test/b",
            "///b",
            "mailto:a@a.test",
            "no uri",
        ] {
            assert_eq!(also(&[(header::LOCATION, other)]), [""; 0], "{other}");
        }
    }

    #[test]
    fn content_location_is_the_target_where_it_names_its_path_and_query() {
        for line in [
            "/things?x=1",
            "things?x=1",
            "?x=1",
            "http://a.test/things?x=1",
            "HTTP://A.test:80/things?x=1",
            "//a.test/things?x=1",
        ] {
            let response = response(&[(header::CONTENT_LOCATION, line)]);
            assert!(content_location_is_target(&TARGET, &response), "{line}");
        }
        for line in [
            "",
            " ",
            "/things",
            "/things?x=2",
            "/Things?x=1",
            "/%74hings?x=1",
            "https://a.test/things?x=1",
            "http://b.test/things?x=1",
            "http://user@a.test/things?x=1",
            "/things?x=1, /things?x=1",
        ] {
            let response = response(&[(header::CONTENT_LOCATION, line)]);
            assert!(!content_location_is_target(&TARGET, &response), "{line}");
        }
    }

    #[test]
    fn several_content_locations_name_no_target() {
        let line = (header::CONTENT_LOCATION, "/things?x=1");
        let twice = response(&[line.clone(), line.clone()]);
        assert!(!content_location_is_target(&TARGET, &twice));
        let elsewhere = response(&[(header::LOCATION, "/things?x=1")]);
        assert!(!content_location_is_target(&TARGET, &elsewhere));
    }
}
