//! What is between two neighbours only, and what an intermediary adds (RFC 9110 §7.6).

use hyper::{
    HeaderMap, Method, Request, Version,
    header::{self, HeaderName, HeaderValue},
};

/// Via names this proxy by a pseudonym: the names of hosts are nobody's business (RFC 9110 §7.6.3).
const PSEUDONYM: &str = "cache-reverse-proxy";

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields that go no further, whether or not Connection names them (RFC 9110 §7.6.1).
const OF_ONE_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields that Connection cannot remove: they say to whom the message goes, where it ends and who may
/// keep it. "Cache-Control is never appropriate as a connection option" (RFC 9110 §7.6.1), and
/// without it a private response would be stored.
const OF_ALL_HOPS: [HeaderName; 3] = [header::HOST, header::CONTENT_LENGTH, header::CACHE_CONTROL];

/// Removes what is for the neighbour that sent it. What remains keeps its order.
pub(crate) fn strip(fields: &mut HeaderMap) {
    let mut gone: Vec<HeaderName> = OF_ONE_HOP.into();
    gone.extend(connection_options(fields).filter(|name| !OF_ALL_HOPS.contains(name)));
    if fields.contains_key(header::TRANSFER_ENCODING) {
        // Beside a transfer coding it says nothing, and is removed (RFC 9112 §6.3).
        gone.push(header::CONTENT_LENGTH);
    }
    if gone.iter().any(|name| fields.contains_key(name)) {
        // Not `remove`, which puts the last field into the place of the removed one.
        *fields = without(fields, &gone);
    }
}

fn connection_options(fields: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let lines = fields.get_all(header::CONNECTION);
    lines
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
}

fn without(fields: &HeaderMap, gone: &[HeaderName]) -> HeaderMap {
    let mut rest = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        if !gone.contains(name) {
            rest.append(name, value.clone());
        }
    }
    rest
}

/// Whether the message has a transfer coding other than `chunked`, which hyper has undone. Of another
/// one the recipient would not be told.
pub(crate) fn has_foreign_coding(fields: &HeaderMap) -> bool {
    let mut codings = fields
        .get_all(header::TRANSFER_ENCODING)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(only), None) => !only.eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => true,
    }
}

/// Appends fields, and the empty line after them, to the head of a message.
pub(crate) fn write<'a>(
    head: &mut Vec<u8>,
    fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) {
    for (name, value) in fields {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
}

/// Appends this proxy to Via, with the version in which the message came.
pub(crate) fn append_via(fields: &mut HeaderMap, received: Version) {
    let version = if received == Version::HTTP_10 {
        "1.0"
    } else {
        "1.1"
    };
    let member = HeaderValue::from_str(&format!("{version} {PSEUDONYM}"));
    fields.append(header::VIA, member.expect("a version and a token"));
}

/// Whether the request ends here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Forwards {
    /// It goes on; its Max-Forwards, where it has one, is one less.
    On,
    /// This proxy is the last that it is for.
    EndHere,
}

/// Checks and updates Max-Forwards, which counts for TRACE and OPTIONS only (RFC 9110 §7.6.2).
pub(crate) fn count_forward<B>(request: &mut Request<B>) -> Forwards {
    if !matches!(*request.method(), Method::TRACE | Method::OPTIONS) {
        return Forwards::On;
    }
    let Some(field) = request.headers_mut().get_mut(header::MAX_FORWARDS) else {
        return Forwards::On;
    };
    let left = field
        .to_str()
        .ok()
        .and_then(|left| left.parse::<u32>().ok());
    match left {
        Some(0) => return Forwards::EndHere,
        Some(left) => *field = HeaderValue::from(left - 1),
        // What is no number, or one beyond all chains, goes on as it is.
        None => {}
    }
    Forwards::On
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect()
    }

    fn stripped(lines: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
        let mut fields = fields(lines);
        strip(&mut fields);
        fields
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect()
    }

    fn names(lines: &[(&'static str, &'static str)]) -> Vec<String> {
        stripped(lines).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn fields_of_one_hop_go_no_further() {
        let lines = [
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("trailer", "x"),
        ];
        assert_eq!(names(&lines), ["trailer"]);
    }

    #[test]
    fn fields_that_connection_names_go_no_further() {
        let lines = [
            ("connection", "a, B ,,  c"),
            ("a", "1"),
            ("b", "1"),
            ("x", "1"),
            ("connection", "\"d\", e"),
            ("c", "1"),
            ("d", "1"),
            ("e", "1"),
        ];
        assert_eq!(names(&lines), ["x", "d"]);
    }

    #[test]
    fn connection_cannot_remove_what_is_for_all() {
        let lines = [
            ("connection", "host, content-length, cache-control"),
            ("host", "a.test"),
            ("content-length", "1"),
            ("cache-control", "private"),
        ];
        assert_eq!(names(&lines), ["host", "content-length", "cache-control"]);
    }

    #[test]
    fn a_length_beside_a_transfer_coding_is_removed() {
        let lines = [("content-length", "5"), ("transfer-encoding", "chunked")];
        assert_eq!(stripped(&lines), []);
    }

    #[test]
    fn the_rest_keeps_its_order_and_repetition() {
        let lines = [
            ("connection", "close"),
            ("a", "1"),
            ("b", "2"),
            ("a", "3"),
            ("c", "4"),
        ];
        let rest = [("a", "1"), ("a", "3"), ("b", "2"), ("c", "4")];
        assert_eq!(
            stripped(&lines),
            rest.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn only_chunked_is_a_coding_that_was_undone() {
        for (value, is_foreign) in [
            ("chunked", false),
            ("Chunked ", false),
            ("gzip, chunked", true),
            ("gzip", true),
            ("chunked, chunked", true),
        ] {
            let fields = fields(&[("transfer-encoding", value)]);
            assert_eq!(has_foreign_coding(&fields), is_foreign, "{value}");
        }
        assert!(!has_foreign_coding(&HeaderMap::new()));
    }

    #[test]
    fn via_is_appended_with_the_received_version() {
        let mut fields = fields(&[("via", "1.0 fred")]);
        append_via(&mut fields, Version::HTTP_11);
        append_via(&mut fields, Version::HTTP_10);
        let lines: Vec<_> = fields.get_all(header::VIA).iter().collect();
        assert_eq!(
            lines,
            [
                "1.0 fred",
                "1.1 cache-reverse-proxy",
                "1.0 cache-reverse-proxy"
            ]
        );
    }

    #[test]
    fn forwards_are_counted_for_trace_and_options() {
        for (method, value, expected, left) in [
            (Method::TRACE, "1", Forwards::On, "0"),
            (Method::OPTIONS, "10", Forwards::On, "9"),
            (Method::OPTIONS, "0", Forwards::EndHere, "0"),
            (Method::OPTIONS, "many", Forwards::On, "many"),
            (Method::GET, "0", Forwards::On, "0"),
        ] {
            let request = Request::builder()
                .method(method)
                .header("max-forwards", value);
            let mut request = request.body(()).unwrap();
            assert_eq!(count_forward(&mut request), expected, "{value}");
            assert_eq!(request.headers()["max-forwards"], left);
        }
    }
}
