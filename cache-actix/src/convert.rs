//! Between the `http` 0.2 of actix-web and the `http` 1 of the engine.
//!
//! Fields go over as bytes, as often as they are there, and those of one name in their order (actix keeps
//! none among names). Both versions accept the same names, values and methods; what one of them did not
//! would be left out.

use actix_web::{Error, dev::ServiceRequest, http as old};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::PathAndQuery,
};

/// A status has the same range in both.
const IN_RANGE: &str = "a status is between 100 and 999";

pub(crate) fn method(method: &old::Method) -> Option<Method> {
    match *method {
        old::Method::GET => Some(Method::GET),
        old::Method::HEAD => Some(Method::HEAD),
        _ => Method::from_bytes(method.as_str().as_bytes()).ok(),
    }
}

pub(crate) fn uri(uri: &old::Uri) -> Option<Uri> {
    match (uri.authority(), uri.path_and_query()) {
        (None, Some(path)) => PathAndQuery::try_from(path.as_str()).ok().map(Uri::from),
        _ => uri.to_string().parse().ok(),
    }
}

/// The status of the response that actix makes of an error.
pub(crate) fn status_of(error: &Error) -> StatusCode {
    status(error.as_response_error().status_code())
}

pub(crate) fn status(status: old::StatusCode) -> StatusCode {
    StatusCode::from_u16(status.as_u16()).expect(IN_RANGE)
}

pub(crate) fn status_for_actix(status: StatusCode) -> old::StatusCode {
    old::StatusCode::from_u16(status.as_u16()).expect(IN_RANGE)
}

fn value(value: &old::header::HeaderValue) -> Option<HeaderValue> {
    let mut converted = HeaderValue::from_bytes(value.as_bytes()).ok()?;
    converted.set_sensitive(value.is_sensitive());
    Some(converted)
}

pub(crate) fn value_for_actix(value: &HeaderValue) -> Option<old::header::HeaderValue> {
    let mut converted = old::header::HeaderValue::from_bytes(value.as_bytes()).ok()?;
    converted.set_sensitive(value.is_sensitive());
    Some(converted)
}

fn append(fields: &mut HeaderMap, name: &old::header::HeaderName, line: &old::header::HeaderValue) {
    if let (Some(name), Some(line)) = (name_of(name), value(line)) {
        // More names than a map takes do not come through actix's parsers.
        let _ = fields.try_append(name, line);
    }
}

/// Those that most requests have without parsing.
fn name_of(name: &old::header::HeaderName) -> Option<HeaderName> {
    match *name {
        old::header::HOST => Some(header::HOST),
        old::header::COOKIE => Some(header::COOKIE),
        old::header::AUTHORIZATION => Some(header::AUTHORIZATION),
        _ => HeaderName::from_bytes(name.as_str().as_bytes()).ok(),
    }
}

/// All fields.
pub(crate) fn fields(old: &old::header::HeaderMap) -> HeaderMap {
    fields_that(old, |_| true)
}

/// The fields whose names are wanted.
pub(crate) fn fields_that(
    old: &old::header::HeaderMap,
    is_wanted: impl Fn(&str) -> bool,
) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, line) in old {
        if is_wanted(name.as_str()) {
            append(&mut fields, name, line);
        }
    }
    fields
}

/// The fields of these names.
pub(crate) fn fields_of(old: &old::header::HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for name in names {
        for line in old.get_all(name.as_str()).filter_map(value) {
            let _ = fields.try_append(name, line);
        }
    }
    fields
}

pub(crate) fn fields_for_actix(fields: &HeaderMap) -> old::header::HeaderMap {
    fields.iter().filter_map(field_for_actix).collect()
}

/// A line of a field.
pub(crate) fn field_for_actix(
    (name, line): (&HeaderName, &HeaderValue),
) -> Option<(old::header::HeaderName, old::header::HeaderValue)> {
    Some((name_for_actix(name)?, value_for_actix(line)?))
}

fn name_for_actix(name: &HeaderName) -> Option<old::header::HeaderName> {
    old::header::HeaderName::from_bytes(name.as_str().as_bytes()).ok()
}

/// Makes a request's method and fields these, touching it only where they differ: actix cannot change a
/// request that something outside holds a clone of.
pub(crate) fn write(method: &Method, fields: &HeaderMap, request: &mut ServiceRequest) {
    if method.as_str() != request.method().as_str()
        && let Ok(method) = old::Method::from_bytes(method.as_str().as_bytes())
    {
        request.head_mut().method = method;
    }
    let gone: Vec<_> = request
        .headers()
        .keys()
        .filter(|name| !fields.contains_key(name.as_str()))
        .cloned()
        .collect();
    let changed: Vec<_> = fields
        .keys()
        .filter(|name| !is_same(fields, request.headers(), name))
        .collect();
    for name in gone {
        request.headers_mut().remove(name);
    }
    for name in changed {
        let Some(converted) = name_for_actix(name) else {
            continue;
        };
        let headers = request.headers_mut();
        headers.remove(&converted);
        for line in fields.get_all(name).iter().filter_map(value_for_actix) {
            headers.append(converted.clone(), line);
        }
    }
}

fn is_same(fields: &HeaderMap, old: &old::header::HeaderMap, name: &HeaderName) -> bool {
    let lines = fields.get_all(name).iter().map(HeaderValue::as_bytes);
    let old = old.get_all(name.as_str()).map(|line| line.as_bytes());
    lines.eq(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn old_fields(lines: &[(&str, &[u8])]) -> old::header::HeaderMap {
        let mut fields = old::header::HeaderMap::new();
        for (name, line) in lines {
            fields.append(
                old::header::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                old::header::HeaderValue::from_bytes(line).unwrap(),
            );
        }
        fields
    }

    fn lines<'a>(fields: &'a HeaderMap, name: &str) -> Vec<&'a [u8]> {
        let all = fields.get_all(name).iter();
        all.map(HeaderValue::as_bytes).collect()
    }

    #[test]
    fn fields_go_over_and_back_as_bytes_in_order_and_as_often_as_they_are_there() {
        let old = old_fields(&[
            ("x-b", b"2"),
            ("x-a", b""),
            ("x-b", b"\xff\xfe caf\xe9"),
            ("accept", b"text/html"),
            ("x-b", b"2"),
        ]);
        let converted = fields(&old);
        assert_eq!(converted.len(), 5);
        let b = [&b"2"[..], b"\xff\xfe caf\xe9", b"2"];
        assert_eq!(lines(&converted, "x-b"), b);
        assert_eq!(lines(&converted, "x-a"), [b""]);
        assert_eq!(lines(&converted, "accept"), [b"text/html"]);
        let back = fields_for_actix(&converted);
        assert_eq!(back.len(), 5);
        let again: Vec<_> = back.get_all("x-b").map(|line| line.as_bytes()).collect();
        assert_eq!(again, b);
    }

    #[test]
    fn a_sensitive_value_stays_one() {
        let mut old = old::header::HeaderMap::new();
        let mut secret = old::header::HeaderValue::from_static("s");
        secret.set_sensitive(true);
        old.insert(old::header::COOKIE, secret);
        let converted = fields(&old);
        assert!(converted["cookie"].is_sensitive());
        let back = fields_for_actix(&converted);
        assert!(back.get("cookie").is_some_and(|value| value.is_sensitive()));
    }

    #[test]
    fn only_what_is_asked_for_goes_over() {
        let old = old_fields(&[("x-a", b"1"), ("x-b", b"2"), ("x-b", b"3"), ("x-c", b"4")]);
        let wanted = fields_that(&old, |name| name == "x-b");
        assert_eq!(
            (wanted.len(), lines(&wanted, "x-b")),
            (2, vec![&b"2"[..], b"3"])
        );
        let names = [
            HeaderName::from_static("x-c"),
            HeaderName::from_static("x-d"),
        ];
        let wanted = fields_of(&old, &names);
        assert_eq!((wanted.len(), lines(&wanted, "x-c")), (1, vec![&b"4"[..]]));
    }

    #[test]
    fn a_uri_keeps_each_byte() {
        for text in [
            "/",
            "/a%2Fb//c?",
            "/?a=b&a=b&%zz",
            "*",
            "http://Host.test:80/p?q",
            "/caf%C3%A9?{x}",
            "host.test:443",
        ] {
            let old: old::Uri = text.parse().unwrap();
            let converted = uri(&old).unwrap();
            assert_eq!(converted.to_string(), old.to_string());
            assert_eq!(converted.query(), old.query(), "{text}");
        }
    }

    #[test]
    fn methods_and_statuses_are_the_same() {
        for name in ["GET", "HEAD", "POST", "QUERY", "get", "M-SEARCH"] {
            let old = old::Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(method(&old).unwrap().as_str(), name);
        }
        for code in [100, 204, 299, 304, 599, 999] {
            let old = status_for_actix(StatusCode::from_u16(code).unwrap());
            assert_eq!((old.as_u16(), status(old).as_u16()), (code, code));
        }
    }

    #[test]
    fn a_request_that_is_as_it_should_be_is_not_touched() {
        let mut request = TestRequest::get()
            .append_header(("accept", "a"))
            .append_header(("accept", "b"))
            .to_srv_request();
        let all = fields(request.headers());
        // Changing it now would panic.
        let held = request.request().clone();
        write(&Method::GET, &all, &mut request);
        drop(held);
        let mut other = all;
        other.remove("accept");
        other.insert("if-none-match", HeaderValue::from_static("\"1\""));
        write(&Method::HEAD, &other, &mut request);
        assert_eq!(request.method(), old::Method::HEAD);
        assert!(!request.headers().contains_key("accept"));
        assert!(request.headers().contains_key("if-none-match"));
    }
}
