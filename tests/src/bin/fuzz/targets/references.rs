//! What a response refers to.

use cache_tower::http::{
    invalidate::{also_invalidated, content_location_is_target},
    reference::{Base, is_same_origin, resolve},
};
use http::{HeaderMap, HeaderValue, Uri, header};

use super::text::first_and_rest;

pub(crate) const SEEDS: &[&[u8]] = &[
    b"/b/c/d;p?q\n../g?y#s",
    b"/b\nhttp://a.test:80/x/./y/..",
    b"/b\n//a.test/b",
    b"/b\nhttp://user@a.test/b",
    b"/b?\n?",
    b"/\n//b.test:443/\nhttps://B.TEST:/\n//b.test\nhttps://b.test:80\n//[::1]:0080\n//[::1]",
    b"/b//c\n.//../d",
    b"*\ng",
    b"/\nhttp:g",
];

pub(crate) const WORDS: &[&[u8]] = &[
    b"http:",
    b"https:",
    b"//",
    b"/",
    b"/../",
    b"/./",
    b"..",
    b".",
    b"?",
    b"#",
    b":",
    b"@",
    b"[::1]",
    b"a.test",
    b":80",
    b":443",
    b"%2e",
    b"%",
    b"\\",
    b"\n",
    b" ",
    b"\xc3\xa4",
    b"\xff",
];

const HOSTS: [&str; 7] = ["a.test", "a.test:80", "[::1]:8080", "", "@", "a b", ":"];

/// The target of a request, and on further lines what its response refers to.
pub(crate) fn check(input: &[u8]) {
    let (target, lines) = first_and_rest(input, b'\n');
    let Ok(target) = Uri::try_from(target) else {
        return;
    };
    let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').collect();
    for host in HOSTS {
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
        refers(&Base::of("http", &target, &headers), &lines);
    }
}

fn refers(base: &Base<'_>, lines: &[&[u8]]) {
    let uris: Vec<Uri> = lines
        .iter()
        .filter_map(|line| resolves(base, line))
        .collect();
    for pair in uris.windows(2) {
        is_symmetric(pair.first(), pair.last());
    }
    let fields = [header::LOCATION, header::CONTENT_LOCATION];
    let response: HeaderMap = lines
        .iter()
        .zip(fields.iter().cycle())
        .filter_map(|(line, field)| Some((field.clone(), HeaderValue::from_bytes(line).ok()?)))
        .collect();
    invalidates_what_is_its_own(base, &response);
    names_its_target(base, &response);
}

fn resolves(base: &Base<'_>, reference: &[u8]) -> Option<Uri> {
    let uri = resolve(base, reference)?;
    let path = uri.path();
    assert!(path.starts_with('/'));
    assert!(path.len() + uri.query().map_or(0, str::len) <= 8 * 1024);
    let has_dots = path.split('/').any(|segment| matches!(segment, "." | ".."));
    assert!(!has_dots || path == base.path, "only the base keeps them");
    let (without_fragment, _) = first_and_rest(reference, b'#');
    assert_eq!(resolve(base, without_fragment).as_ref(), Some(&uri));
    if let Some(expected) = path_by_the_letter(base, without_fragment) {
        assert_eq!(path, expected);
    }
    match uri.authority().map(|authority| authority.as_str()) {
        None => assert!(base.authority.is_empty()),
        // What a client sent as its target may be odd; then nothing is of its origin.
        Some(odd) if odd == base.authority && !is_same_origin(&uri, base.scheme, odd) => {}
        Some(_) if has_dots => {}
        Some(_) => assert_eq!(
            resolve(base, uri.to_string().as_bytes()).as_ref(),
            Some(&uri)
        ),
    }
    Some(uri)
}

/// RFC 3986 §5.2.2 of a reference without scheme and authority.
fn path_by_the_letter(base: &Base<'_>, reference: &[u8]) -> Option<String> {
    let (path, _) = first_and_rest(reference, b'?');
    let path = std::str::from_utf8(path).ok()?;
    let is_relative = path
        .split('/')
        .next()
        .is_some_and(|first| !first.contains(':'));
    let path = Some(path).filter(|path| is_relative && !path.starts_with("//"))?;
    if path.is_empty() {
        Some(base.path.to_owned())
    } else if path.starts_with('/') {
        Some(remove_dot_segments(path))
    } else {
        let (folder, _) = base.path.rsplit_once('/')?;
        Some(remove_dot_segments(&format!("{folder}/{path}")))
    }
}

/// RFC 3986 §5.2.4, step by step.
fn remove_dot_segments(path: &str) -> String {
    let (mut input, mut output) = (path.to_owned(), String::new());
    while !input.is_empty() {
        if let Some(rest) = input.strip_prefix("/./") {
            input = format!("/{rest}");
        } else if input == "/." {
            input = "/".to_owned();
        } else if let Some(rest) = input.strip_prefix("/../") {
            input = format!("/{rest}");
            output.truncate(output.rfind('/').unwrap_or(0));
        } else if input == "/.." {
            input = "/".to_owned();
            output.truncate(output.rfind('/').unwrap_or(0));
        } else {
            let end = input
                .match_indices('/')
                .map(|(at, _)| at)
                .find(|at| *at > 0);
            let rest = input.split_off(end.unwrap_or(input.len()));
            output.push_str(&input);
            input = rest;
        }
    }
    output
}

/// Whether two are of one origin does not depend on which is asked about.
fn is_symmetric(one: Option<&Uri>, other: Option<&Uri>) {
    let is_of = |one: &Uri, other: &Uri| {
        let authority = other.authority()?.as_str();
        Some(is_same_origin(one, other.scheme_str()?, authority))
    };
    let Some((one, other)) = one.zip(other) else {
        return;
    };
    if one.authority().is_some() && other.authority().is_some() {
        assert_eq!(is_of(one, other), is_of(other, one), "{one} {other}");
    }
    if let (Some(origin), Some(other_origin)) = (origin(one), origin(other)) {
        assert_eq!(
            is_of(one, other),
            Some(origin == other_origin),
            "{one} {other}"
        );
    }
}

/// RFC 9110 §4.3.1, where a host is plainly one.
fn origin(uri: &Uri) -> Option<(String, String, u16)> {
    let authority = uri.authority()?.as_str();
    let is_plain = |host: &&str| {
        let name = host.strip_prefix('[').unwrap_or(host).trim_end_matches(']');
        let is_its = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        !name.is_empty() && name.chars().all(is_its)
    };
    let host = uri.host().filter(is_plain)?;
    let is_https = uri.scheme_str()? == "https";
    let port = match authority.strip_prefix(host)? {
        "" | ":" => [80, 443].into_iter().nth(usize::from(is_https))?,
        port => port.strip_prefix(':')?.parse().ok()?,
    };
    Some((uri.scheme_str()?.to_owned(), host.to_lowercase(), port))
}

fn invalidates_what_is_its_own(base: &Base<'_>, response: &HeaderMap) {
    let also = also_invalidated(base, response);
    for uri in &also {
        assert!(is_same_origin(uri, base.scheme, base.authority));
        assert!(!base.is(uri));
        assert!(also.iter().filter(|other| *other == uri).count() == 1);
    }
}

fn names_its_target(base: &Base<'_>, response: &HeaderMap) {
    if content_location_is_target(base, response) {
        let mut lines = response.get_all(header::CONTENT_LOCATION).iter();
        let uri = lines
            .next()
            .and_then(|line| resolve(base, line.as_bytes().trim_ascii()));
        assert!(lines.next().is_none() && uri.is_some_and(|uri| base.is(&uri)));
    }
}
