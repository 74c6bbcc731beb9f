//! What a URI in a response field refers to (RFC 3986 §5.2), and whether it is of the same origin
//! (RFC 9110 §4.3.1).

use super::{key::LONGEST_KEY, text::digits};
use http::{
    HeaderMap, Uri, header,
    uri::{PathAndQuery, Scheme},
};
use std::fmt;

/// The target URI of a request (RFC 9110 §7.1), which references in its response are relative to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Base<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port; empty where the request names none.
    pub authority: &'a str,
    /// The path as it came.
    pub path: &'a str,
    /// The query as it came, without its `?`.
    pub query: Option<&'a str>,
}

/// Without what may not reach a log.
impl fmt::Debug for Base<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base")
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

impl<'a> Base<'a> {
    /// The target URI of a request for `uri`: what that does not name comes from the Host field and
    /// `scheme`.
    pub fn of(scheme: &'a str, uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        let host = || headers.get(header::HOST)?.to_str().ok();
        Self {
            scheme: uri.scheme_str().unwrap_or(scheme),
            authority: match uri.authority() {
                Some(authority) => authority.as_str(),
                None => host().unwrap_or_default(),
            },
            path: uri.path(),
            query: uri.query(),
        }
    }

    /// Whether `uri` is this one: of the same origin, with the same bytes as path and query.
    pub fn is(&self, uri: &Uri) -> bool {
        is_same_origin(uri, self.scheme, self.authority)
            && uri.path() == self.path
            && uri.query() == self.query
    }
}

/// The URI that `reference` refers to, without its fragment. Dot segments are removed, and nothing
/// else is normalised.
///
/// Where `base` has no authority and the reference names none, neither has the URI. `None` for what
/// is no reference to an `http` or `https` URI, for one with user information (RFC 9110 §4.2.4), for
/// what would be `*` again (§7.1), and for a URI too long to have a key.
pub fn resolve(base: &Base<'_>, reference: &[u8]) -> Option<Uri> {
    let reference = Reference::parse(reference)?;
    let (path, query) = reference.path_and_query(base);
    let scheme = scheme(reference.scheme.unwrap_or(base.scheme))?;
    let authority = reference.authority.unwrap_or(base.authority);
    build(scheme, authority, &with_query(path, query))
}

/// Whether `uri` has this origin (RFC 9110 §4.3.1): the scheme, the host in any case, and the port,
/// which is 80 or 443 by the scheme where it is not named.
///
/// A `uri` without an authority is of this origin only where that has none either.
pub fn is_same_origin(uri: &Uri, scheme: &str, authority: &str) -> bool {
    let other = uri.scheme_str().unwrap_or(scheme);
    match uri.authority() {
        None => authority.is_empty() && other.eq_ignore_ascii_case(scheme),
        Some(named) => Origin::of(scheme, authority)
            .is_some_and(|origin| Origin::of(other, named.as_str()) == Some(origin)),
    }
}

/// The parts of a reference (RFC 3986 §4.1).
struct Reference<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Reference<'a> {
    fn parse(reference: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(reference).ok()?;
        let (text, _fragment) = cut(text, '#');
        let (text, query) = cut(text, '?');
        let (scheme, text) = cut_scheme(text);
        let (authority, path) = cut_authority(text);
        // `http:path` has a scheme of its own, so it is not relative; but it names no host.
        let is_without_host = scheme.is_some() && authority.is_none();
        let is_no_host = |authority| host_and_port(authority).is_none();
        let is_refused = is_without_host || authority.is_some_and(is_no_host);
        (!is_refused).then_some(Self {
            scheme,
            authority,
            path,
            query,
        })
    }

    /// RFC 3986 §5.2.2.
    fn path_and_query(&self, base: &Base<'a>) -> (String, Option<&'a str>) {
        if self.authority.is_some() || self.path.starts_with('/') {
            (without_dot_segments(self.path), self.query)
        } else if self.path.is_empty() {
            (base.path.to_owned(), self.query.or(base.query))
        } else {
            (
                without_dot_segments(&merge(base.path, self.path)),
                self.query,
            )
        }
    }
}

/// What stands before `at`, and after it if it is there.
fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// A colon in the first segment ends a scheme, or what cannot be one (RFC 3986 §4.2).
fn cut_scheme(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((scheme, rest)) if !scheme.contains('/') => (Some(scheme), rest),
        _ => (None, text),
    }
}

fn cut_authority(text: &str) -> (Option<&str>, &str) {
    let Some(rest) = text.strip_prefix("//") else {
        return (None, text);
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    (Some(authority), path)
}

/// RFC 3986 §5.2.3. The result begins with a slash.
fn merge(base: &str, path: &str) -> String {
    let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{path}")
}

/// RFC 3986 §5.2.4, of a path that is empty or begins with a slash.
fn without_dot_segments(path: &str) -> String {
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_dots = matches!(segment, "." | "..");
        if segment == ".." {
            kept.pop();
        }
        if !is_dots {
            kept.push(segment);
        } else if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

fn with_query(mut path: String, query: Option<&str>) -> String {
    if let Some(query) = query {
        path.push('?');
        path.push_str(query);
    }
    path
}

fn scheme(name: &str) -> Option<Scheme> {
    let known = [Scheme::HTTP, Scheme::HTTPS];
    known
        .into_iter()
        .find(|scheme| scheme.as_str().eq_ignore_ascii_case(name))
}

fn build(scheme: Scheme, authority: &str, path: &str) -> Option<Uri> {
    let is_asterisk = !path.starts_with('/');
    if is_asterisk || path.len() + authority.len() > LONGEST_KEY {
        return None;
    }
    let path = PathAndQuery::try_from(path).ok()?;
    if authority.is_empty() {
        return Some(Uri::from(path));
    }
    let uri = Uri::builder().scheme(scheme).authority(authority);
    uri.path_and_query(path).build().ok()
}

struct Origin<'a> {
    scheme: Scheme,
    host: &'a str,
    port: u64,
}

impl PartialEq for Origin<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.host.eq_ignore_ascii_case(other.host)
            && self.port == other.port
    }
}

impl<'a> Origin<'a> {
    fn of(name: &str, authority: &'a str) -> Option<Self> {
        let scheme = scheme(name)?;
        let (host, port) = host_and_port(authority)?;
        let default = if scheme == Scheme::HTTPS { 443 } else { 80 };
        let port = port.unwrap_or(default);
        Some(Self { scheme, host, port })
    }
}

/// RFC 3986 §3.2; an empty port is as none. `None` for what has no host, or has user information,
/// which may make one host look like another.
fn host_and_port(authority: &str) -> Option<(&str, Option<u64>)> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(end);
    let name = unbracketed(host);
    let is_host = !name.is_empty() && !name.contains(['@', '[', ']']);
    let port = match port {
        "" | ":" => None,
        port => Some(digits(port.strip_prefix(':')?.as_bytes())?),
    };
    is_host.then_some((host, port))
}

fn unbracketed(host: &str) -> &str {
    let address = host.strip_prefix('[');
    address
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const BASE: Base<'_> = Base {
        scheme: "http",
        authority: "a",
        path: "/b/c/d;p",
        query: Some("q"),
    };

    fn resolved(base: &Base<'_>, reference: &str) -> Option<String> {
        resolve(base, reference.as_bytes()).map(|uri| uri.to_string())
    }

    #[test]
    fn references_resolve_as_in_the_examples_of_rfc_3986_section_5_4() {
        for (reference, uri) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("g;x", "http://a/b/c/g;x"),
            ("g;x?y#s", "http://a/b/c/g;x?y"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("../../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            (".g", "http://a/b/c/.g"),
            ("g..", "http://a/b/c/g.."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/./x", "http://a/b/c/g?y/./x"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("g#s/./x", "http://a/b/c/g"),
            ("g#s/../x", "http://a/b/c/g"),
        ] {
            assert_eq!(
                resolved(&BASE, reference).as_deref(),
                Some(uri),
                "{reference}"
            );
        }
    }

    #[test]
    fn absolute_references_leave_nothing_of_the_base() {
        for (reference, uri) in [
            ("http://b.test", "http://b.test/"),
            ("HTTPS://b.test:8443/x?y#z", "https://b.test:8443/x?y"),
            ("http://b.test?y", "http://b.test/?y"),
            ("http://b.test/x/../y/.", "http://b.test/y/"),
            ("//b.test/x", "http://b.test/x"),
            ("//[::1]:80/x", "http://[::1]:80/x"),
            ("//b.test:/x", "http://b.test:/x"),
            ("?", "http://a/b/c/d;p?"),
            ("/", "http://a/"),
            ("/x:y", "http://a/x:y"),
            ("./x:y", "http://a/b/c/x:y"),
            ("?x:y", "http://a/b/c/d;p?x:y"),
            ("/.//x", "http://a//x"),
            ("/x//../y", "http://a/x/y"),
        ] {
            assert_eq!(
                resolved(&BASE, reference).as_deref(),
                Some(uri),
                "{reference}"
            );
        }
    }

    #[test]
    fn nothing_is_normalised_but_dot_segments() {
        let base = Base {
            path: "/x/../%7Ey/.",
            ..BASE
        };
        assert_eq!(
            resolved(&base, "").as_deref(),
            Some("http://a/x/../%7Ey/.?q")
        );
        assert_eq!(
            resolved(&base, "?z").as_deref(),
            Some("http://a/x/../%7Ey/.?z")
        );
        assert_eq!(
            resolved(&base, "%2e%2E/A").as_deref(),
            Some("http://a/%7Ey/%2e%2E/A")
        );
    }

    #[test]
    fn what_is_no_reference_over_http_is_refused() {
        let long = format!("/{}", "x".repeat(1 << 20));
        for reference in [
            "g:h",
            "http:g",
            "http:/g",
            "http:",
            "http://",
            "http:///g",
            "//",
            "///g",
            "//:80/g",
            "//user@a/g",
            "http://a@evil.test/g",
            "http://@a/g",
            "mailto:a@b",
            "javascript:void(0)",
            "ftp://a/g",
            ":g",
            "1:g",
            "a b",
            "/a b",
            "/\u{7f}",
            "//a b/",
            "//a\\b/",
            "//[::1/",
            "//[]/",
            "//:80[::1]/",
            "//[::1]80/",
            "//a:b/",
            "//user:1@a/",
            &long,
        ] {
            assert_eq!(resolved(&BASE, reference), None, "{reference:.40}");
        }
        assert_eq!(resolve(&BASE, b"/\xff"), None);
        let base = Base {
            scheme: "ftp",
            ..BASE
        };
        assert_eq!(resolved(&base, "g"), None);
    }

    #[test]
    fn an_asterisk_is_no_path_but_others_are_relative_to_its_authority() {
        let base = Base {
            path: "*",
            query: None,
            ..BASE
        };
        assert_eq!(resolved(&base, ""), None);
        assert_eq!(resolved(&base, "?x"), None);
        assert_eq!(resolved(&base, "g").as_deref(), Some("http://a/g"));
    }

    #[test]
    fn without_an_authority_relative_references_stay_without() {
        let base = Base {
            authority: "",
            ..BASE
        };
        let uri = resolve(&base, b"/.//g?x").unwrap();
        assert_eq!((uri.authority(), uri.path()), (None, "//g"));
        assert!(is_same_origin(&uri, base.scheme, base.authority));
        assert!(!is_same_origin(&uri, base.scheme, "a"));
        let other = resolve(&base, b"//a/g").unwrap();
        assert!(!is_same_origin(&other, base.scheme, base.authority));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (uri, scheme, authority) in [
            ("http://a.test/", "http", "a.test"),
            ("http://A.test/", "HTTP", "a.TEST"),
            ("http://a.test:80/", "http", "a.test"),
            ("http://a.test/", "http", "a.test:80"),
            ("http://a.test/", "http", "a.test:"),
            ("http://a.test:080/", "http", "a.test:80"),
            ("https://a.test:443/", "https", "a.test"),
            ("https://a.test:80/", "https", "a.test:80"),
            ("http://[::1]/", "http", "[::1]:80"),
        ] {
            assert!(
                is_same_origin(&Uri::from_static(uri), scheme, authority),
                "{uri}"
            );
        }
        for (uri, scheme, authority) in [
            ("http://a.test/", "https", "a.test"),
            ("http://a.test:443/", "https", "a.test"),
            ("http://a.test:443/", "http", "a.test"),
            ("https://a.test:80/", "https", "a.test"),
            ("http://a.test/", "http", "b.a.test"),
            ("http://a.test/", "http", "a.test."),
            ("http://a.test/", "http", ""),
            ("http://:80/", "http", ":80"),
            ("http://a.test/", "http", "user@a.test"),
            ("http://[::1]:8/", "http", "[::1]"),
            ("http://[::1]/", "http", "[::2]"),
            ("ftp://a.test/", "ftp", "a.test"),
        ] {
            assert!(
                !is_same_origin(&Uri::from_static(uri), scheme, authority),
                "{uri}"
            );
        }
    }

    #[test]
    fn the_base_is_the_uri_and_what_it_does_not_name() {
        let mut headers = HeaderMap::new();
        let relative = Uri::from_static("/x?y");
        assert_eq!(Base::of("https", &relative, &headers).authority, "");
        headers.insert(header::HOST, HeaderValue::from_static("a.test:8"));
        let base = Base::of("https", &relative, &headers);
        let parts = (base.scheme, base.authority, base.path, base.query);
        assert_eq!(parts, ("https", "a.test:8", "/x", Some("y")));
        let absolute = Uri::from_static("http://b.test");
        let base = Base::of("https", &absolute, &headers);
        let parts = (base.scheme, base.authority, base.path, base.query);
        assert_eq!(parts, ("http", "b.test", "/", None));
    }

    #[test]
    fn a_base_is_the_uri_of_its_path_and_query() {
        for (uri, is) in [
            ("http://A:80/b/c/d;p?q", true),
            ("http://a/b/c/d;p", false),
            ("http://a/b/c/d;p?", false),
            ("http://a/b/c/d%3Bp?q", false),
            ("http://b/b/c/d;p?q", false),
        ] {
            assert_eq!(BASE.is(&Uri::from_static(uri)), is, "{uri}");
        }
    }

    /// Mostly what means something in a reference.
    fn reference() -> impl Strategy<Value = Vec<u8>> {
        let words = [
            "/", ".", "..", "//", "?", "#", ":", "@", "http:", "a", "%2e", "[", "]", "ä",
        ];
        let word = proptest::sample::select(words.map(|word| word.as_bytes().to_vec()).to_vec());
        let noise = proptest::collection::vec(any::<u8>(), 0..4);
        let part = prop_oneof![8 => word, 1 => noise];
        proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    /// Step by step as RFC 3986 §5.2.4 has it.
    fn by_the_letter(path: &str) -> String {
        let (mut input, mut output) = (path.to_owned(), String::new());
        while !input.is_empty() {
            if input.starts_with("/./") || input == "/." {
                input.replace_range(..input.len().min(3), "/");
            } else if input.starts_with("/../") || input == "/.." {
                input.replace_range(..input.len().min(4), "/");
                output.truncate(output.rfind('/').unwrap_or(0));
            } else {
                let end = input.bytes().skip(1).position(|byte| byte == b'/');
                output.extend(input.drain(..end.map_or(input.len(), |end| end + 1)));
            }
        }
        output
    }

    proptest! {
        #[test]
        fn any_reference_resolves_to_an_absolute_uri_or_none(
            reference in reference(),
            path in "/[ab./]{0,8}",
            authority in "(a|a:8|\\[::1\\]|@|:)?",
        ) {
            let base = Base { authority: &authority, path: &path, ..BASE };
            if let Some(uri) = resolve(&base, &reference) {
                prop_assert!(uri.path().starts_with('/'));
                prop_assert!(uri.authority().is_some() || authority.is_empty());
                prop_assert!(is_same_origin(&uri, base.scheme, &authority) || !base.is(&uri));
            }
        }

        #[test]
        fn what_was_resolved_resolves_to_itself(reference in reference()) {
            if let Some(uri) = resolve(&BASE, &reference) {
                prop_assert_eq!(resolve(&BASE, uri.to_string().as_bytes()), Some(uri));
            }
        }

        #[test]
        fn dot_segments_are_removed_by_the_letter(path in "/([ab/]|\\.|/\\./|/\\.\\.){0,12}") {
            prop_assert_eq!(without_dot_segments(&path), by_the_letter(&path));
        }
    }
}
