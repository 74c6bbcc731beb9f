//! What strangers can send to the HTTP rules: directives, and whole exchanges.

use cache_tower::{
    KeyPolicy, Policy, hours,
    http::{
        admit::{Admission, Received, admit},
        cache_control::{RequestDirectives, ResponseDirectives},
        key::{LONGEST_KEY, write_key},
        lookup::{Candidate, Lookup, lookup},
        request::{MethodClass, RequestFacts},
        response::ResponseFacts,
        vary::{is_accept_encoding_malformed, write_selecting},
    },
    minutes,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use std::time::{Duration, SystemTime};

const LONGEST: Duration = Duration::from_secs(1 << 31);
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(crate) const DIRECTIVES: &[&[u8]] = &[
    b"no-store",
    b"no-cache",
    b"private",
    b"public",
    b"max-age=",
    b"s-maxage=",
    b"must-revalidate",
    b"stale-if-error=",
    b"stale-while-revalidate=",
    b"No-Store",
    b"=\"",
    b"\"",
    b"\\\"",
    b",",
    b";",
    b"=",
    b"\n",
    b" ",
    b"\t",
    b"\0",
    b"\xff",
    b"2147483648",
    b"18446744073709551616",
    b"-1",
    b"1e9",
];

pub(crate) const CACHE_CONTROL: &[&[u8]] = &[
    b"max-age=60",
    b"public, max-age=60, s-maxage=120",
    b"no-store\nmax-age=60",
    b"ext=\"no-store, max-age=9\", max-age=3",
    b"private=\"x-user\", no-cache=\"set-cookie\"",
    b"max-age = 60",
    b"stale-while-revalidate=18446744073709551616,,",
];

/// Lines of one Cache-Control field.
pub(crate) fn cache_control(input: &[u8]) {
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let found = ResponseDirectives::parse(lines.iter().copied());
    for seconds in [
        found.max_age,
        found.s_maxage,
        found.stale_if_error,
        found.stale_while_revalidate,
    ]
    .into_iter()
    .flatten()
    {
        assert!(seconds <= LONGEST);
    }
    let backwards = ResponseDirectives::parse(lines.iter().rev().copied());
    assert_eq!(found, backwards, "the order of lines means nothing");
    let asked = RequestDirectives::parse(lines.iter().copied());
    assert!(asked.max_age.is_none_or(|age| age <= LONGEST));
    if !input.contains(&b'"') {
        let joined = lines.join(&b", "[..]);
        assert_eq!(
            found,
            ResponseDirectives::parse([&*joined]),
            "lines are one list"
        );
        assert!(found.no_store || !plainly_says(&lines, "no-store"));
        assert!(found.private || !plainly_says(&lines, "private"));
        assert!(found.no_cache || !plainly_says(&lines, "no-cache"));
        assert!(asked.no_store || !plainly_says(&lines, "no-store"));
    }
}

/// By a reading as simple as can be, of lines without quotes.
fn plainly_says(lines: &[&[u8]], directive: &str) -> bool {
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let says = |member: &[u8]| {
        let start = member.iter().position(|byte| !is_blank(byte)).unwrap_or(0);
        let end = member
            .iter()
            .rposition(|byte| !is_blank(byte))
            .map_or(0, |last| last + 1);
        member
            .get(start..end)
            .is_some_and(|word| word.eq_ignore_ascii_case(directive.as_bytes()))
    };
    lines
        .iter()
        .any(|line| line.split(|byte| *byte == b',').any(says))
}

pub(crate) const EXCHANGES: &[&[u8]] = &[
    b"\x00GET /a?b=c\nhost: test\n\n200\ncache-control: max-age=60\n",
    b"\x01GET /\ncookie: sid=1\n\n200\ncache-control: public, max-age=60\nvary: accept, accept-encoding\n",
    b"\x02HEAD http://test/\nauthorization: x\n\n404\nexpires: Thu, 01 Jan 1970 00:00:00 GMT\nage: 5\n",
    b"\x03POST /\ncontent-length: 5\n\n200\nset-cookie: a=b\n",
    b"\x04GET /\nforwarded: host=\"a;b\";proto=https\nx-forwarded-host: evil\n\n206\ncontent-range: bytes 0-1/2\n",
    b"\x05GET /\naccept-encoding: gzip;q=0.5, br\n\n301\nvary: *\ncontent-type: text/event-stream\n",
];

pub(crate) const EXCHANGE_WORDS: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"cookie: ",
    b"authorization: ",
    b"cache-control: ",
    b"vary: ",
    b"set-cookie: ",
    b"expires: ",
    b"date: ",
    b"age: ",
    b"content-length: ",
    b"host: ",
    b"forwarded: ",
    b"x-forwarded-host: ",
    b"accept-encoding: ",
    b"access-control-allow-origin: ",
    b"range: ",
    b"if-none-match: ",
    b"no-store",
    b"private",
    b"public",
    b"max-age=",
    b"s-maxage=",
    b"Thu, 01 Jan 1970 00:00:00 GMT",
    b"\n\n",
    b"\n",
    b"200",
    b"404",
    b"500",
    b"206",
    b"304",
    b"18446744073709551616",
];

/// A whole exchange: a byte that picks the policy, a request's head, an empty line, a response's head.
pub(crate) fn exchange(input: &[u8]) {
    let Some((pick, input)) = input.split_first() else {
        return;
    };
    let policy = policy(*pick);
    let mut heads = split_at_empty_line(input);
    let (Some(request), response) = (heads.next(), heads.next().unwrap_or_default()) else {
        return;
    };
    let Some((method, uri, request_headers)) = request_of(request) else {
        return;
    };
    let (status, response_headers) = response_of(response);
    let request = RequestFacts::read(&method, &uri, &request_headers, false);
    let response = ResponseFacts::read(status, &response_headers);
    keys(&uri, &request_headers);
    let received = Received {
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30),
        delay: Duration::from_secs(u64::from(*pick)),
        max_body: 1 << 20,
        groups_known: true,
    };
    if let Admission::Store(terms) = admit(&request, &response, &policy, received) {
        stored_is_allowed(&request, &response, &request_headers, &response_headers);
        assert!(terms.life.fresh <= A_YEAR && terms.life.stale_if_error <= A_YEAR);
        assert!(
            terms
                .length
                .is_none_or(|length| length <= received.max_body)
        );
        let candidate = Candidate {
            age: terms.initial_age,
            freshness: cache_tower::Freshness::Fresh {
                left: terms.life.fresh,
            },
            shared_with_credentials: terms.shared_with_credentials,
        };
        let reused = lookup(&request, Ok(candidate), &policy) == Lookup::Fresh;
        let credentialed = request.authorization || request.cookie;
        assert!(!reused || !credentialed || candidate.shared_with_credentials || *pick % 4 == 2);
    }
}

/// What must hold of everything that is stored, by readings as simple as can be.
fn stored_is_allowed(
    request: &RequestFacts,
    response: &ResponseFacts,
    asked: &HeaderMap,
    answered: &HeaderMap,
) {
    assert_eq!(request.method, MethodClass::Get);
    for name in [
        "range",
        "upgrade",
        "if-match",
        "transfer-encoding",
        "x-http-method-override",
    ] {
        assert!(!asked.contains_key(name), "{name}");
    }
    for name in ["set-cookie", "content-range", "www-authenticate", "trailer"] {
        assert!(!answered.contains_key(name), "{name}");
    }
    let status = response.status.as_u16();
    assert!(
        status == 404
            || status == 410
            || (200..400).contains(&status) && status != 206 && status != 304
    );
    let lines: Vec<&[u8]> = answered
        .get_all("cache-control")
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if !lines.iter().any(|line| line.contains(&b'"')) {
        for directive in ["no-store", "private", "no-cache"] {
            assert!(!plainly_says(&lines, directive), "{directive}");
        }
    }
    assert!(
        !answered
            .get_all("vary")
            .iter()
            .any(|line| line.as_bytes().contains(&b'*'))
            || lines_have_tokens_with_stars(answered)
    );
}

/// `x*` is a token, and no star.
fn lines_have_tokens_with_stars(answered: &HeaderMap) -> bool {
    let lines: Vec<&[u8]> = answered
        .get_all("vary")
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    !plainly_says(&lines, "*")
}

fn keys(uri: &Uri, headers: &HeaderMap) {
    let mut key = Vec::new();
    if write_key(&KeyPolicy::default(), "http", uri, headers, true, &mut key).is_some() {
        assert!(!key.is_empty() && key.len() <= LONGEST_KEY);
    } else {
        assert!(key.is_empty());
    }
    is_accept_encoding_malformed(headers);
    let fields: Vec<HeaderName> = headers.keys().take(4).cloned().collect();
    write_selecting(&fields, headers, &mut key);
}

fn policy(pick: u8) -> Policy {
    match pick % 4 {
        0 => Policy::from_headers(),
        1 => Policy::ttl(hours(1))
            .stale_if_error(minutes(5))
            .vary_by_query(["a"]),
        2 => Policy::ttl(hours(1)).ignore_credentials(),
        _ => Policy::override_ttl(hours(1)).ignore_query(["utm_*"]),
    }
}

fn split_at_empty_line(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let at = input
        .windows(2)
        .position(|pair| pair == b"\n\n")
        .unwrap_or(input.len());
    let (request, rest) = input.split_at(at);
    [request, rest.strip_prefix(b"\n\n").unwrap_or_default()].into_iter()
}

fn request_of(head: &[u8]) -> Option<(Method, Uri, HeaderMap)> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
    let method = Method::from_bytes(first.next()?).ok()?;
    let uri = Uri::try_from(first.next()?).ok()?;
    Some((method, uri, fields(lines)))
}

fn response_of(head: &[u8]) -> (StatusCode, HeaderMap) {
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines
        .next()
        .and_then(|line| StatusCode::from_bytes(line).ok());
    (status.unwrap_or(StatusCode::OK), fields(lines))
}

fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
            continue;
        };
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name),
            HeaderValue::from_bytes(value.trim_ascii()),
        ) {
            headers.append(name, value);
        }
    }
    headers
}
