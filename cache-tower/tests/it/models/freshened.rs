//! RFC 9111 §3.2 over lines of text.

use cache_tower::http::fields::freshened;
use http::HeaderMap;
use proptest::{prelude::*, sample::select};
use std::time::SystemTime;

/// A name in lower case, and a value.
type Line = (&'static str, String);

const NOW: SystemTime = SystemTime::UNIX_EPOCH;
const TODAY: &str = "Thu, 01 Jan 1970 00:00:00 GMT";

/// "Header fields excepted from storage in Section 3.1", those that the stored content depends upon,
/// those that are "automatically processed and removed", and Content-Length.
const EXCEPTED: [&str; 13] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-encoding",
    "content-range",
    "content-length",
];

/// "The cache MUST add each header field in the provided response to the stored response, replacing
/// field values that are already present".
fn model(stored: &[Line], update: &[Line]) -> Vec<Line> {
    let has = |lines: &[Line], name: &str| lines.iter().any(|(other, _)| *other == name);
    let mut provided: Vec<Line> = update
        .iter()
        .filter(|(name, _)| !EXCEPTED.contains(name) && !is_listed(update, name))
        .cloned()
        .collect();
    // It was validated now (§4.2.3), whatever its age was, and by the date of the new response, or when
    // that was received (RFC 9110 §6.6.1).
    if !has(&provided, "date") {
        provided.push(("date", TODAY.to_owned()));
    }
    let kept = stored
        .iter()
        .filter(|(name, _)| *name != "age" && !has(&provided, name))
        .cloned();
    let mut lines: Vec<Line> = kept.chain(provided.iter().cloned()).collect();
    lines.sort_by_key(|(name, _)| *name);
    lines
}

/// Whether Connection lists the field (RFC 9110 §7.6.1).
fn is_listed(lines: &[Line], name: &str) -> bool {
    lines
        .iter()
        .filter(|(of, _)| *of == "connection")
        .flat_map(|(_, value)| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case(name))
}

fn map(lines: &[Line]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

/// In order of the names; of one name, in order of the lines.
fn lines(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut lines: Vec<(String, String)> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    lines.sort_by(|(a, _), (b, _)| a.cmp(b));
    lines
}

fn owned(lines: Vec<Line>) -> Vec<(String, String)> {
    let own = |(name, value): Line| (name.to_owned(), value);
    lines.into_iter().map(own).collect()
}

fn line() -> impl Strategy<Value = Line> {
    let free = select(vec![
        "age",
        "date",
        "etag",
        "link",
        "set-cookie",
        "content-type",
        "x-a",
        "x-b",
    ]);
    let name = prop_oneof![3 => free, 1 => select(EXCEPTED.to_vec())];
    let options = select(vec![
        "close",
        "x-a",
        "X-B, Link",
        " date ,,age",
        "x a",
        "content-length",
    ]);
    name.prop_flat_map(move |name| {
        let value = match name {
            "connection" => options.clone().prop_map(str::to_owned).boxed(),
            _ => "[a-c0-9]{0,2}".boxed(),
        };
        (Just(name), value)
    })
}

proptest! {
    #[test]
    fn an_update_adds_and_replaces_as_the_section_says(
        stored in prop::collection::vec(line(), 0..9), update in prop::collection::vec(line(), 0..9),
    ) {
        let found = freshened(&map(&stored), &map(&update), NOW);
        prop_assert_eq!(lines(&found), owned(model(&stored, &update)));
        let again = freshened(&found, &map(&update), NOW);
        prop_assert_eq!(lines(&again), lines(&found), "the same update twice is one");
    }
}
