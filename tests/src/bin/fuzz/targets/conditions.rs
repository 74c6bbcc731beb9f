//! Conditions as clients send them, and validators as origins do.

use cache_tower::http::{
    conditional::{self, Stored, Verdict, evaluate, if_range_holds, make_not_modified, validate},
    validator::{Freshening, HeadComparison, Validators, compare_head, freshening},
};
use http::{HeaderMap, HeaderName, StatusCode, header};
use std::time::{Duration, SystemTime};

use super::text::{blocks, cut, fields};

/// A request's fields, an empty line, a stored response's fields.
pub(crate) const SEEDS: &[&[u8]] = &[
    b"if-none-match: \"a\", W/\"b\"\nif-modified-since: Thu, 01 Jan 1970 12:00:00 GMT\n\netag: \"b\"",
    b"if-match: \"a\"\nif-none-match: *\n\netag: \"a\"\nlast-modified: Thu, 01 Jan 1970 12:00:00 GMT",
    b"if-unmodified-since: Thu, 01 Jan 1970 12:00:00 GMT\n\nlast-modified: Thu, 01 Jan 1970 11:00:00 GMT",
    b"if-range: Thu, 01 Jan 1970 12:00:00 GMT\n\nlast-modified: Thu, 01 Jan 1970 12:00:00 GMT\ndate: Thu, 01 Jan 1970 13:00:00 GMT",
    b"if-range: \"a\\\"\n\netag: \"a\\\"\ncontent-length: 5",
    b"if-none-match: \"a\", b\n\netag: \"a\", b\netag: c",
];

pub(crate) const WORDS: &[&[u8]] = &[
    b"if-match: ",
    b"if-none-match: ",
    b"if-modified-since: ",
    b"if-unmodified-since: ",
    b"if-range: ",
    b"etag: ",
    b"last-modified: ",
    b"date: ",
    b"content-length: ",
    b"content-type: ",
    b"digest: ",
    b"\n",
    b"\n\n",
    b"\"a\"",
    b"W/",
    b"\"",
    b"*",
    b",",
    b", ",
    b"\\",
    b" ",
    b"\xff",
    b"Thu, 01 Jan 1970 12:00:00 GMT",
    b"Thursday, 01-Jan-70 12:00:00 GMT",
    b"Thu Jan  1 12:00:00 1970",
];

/// Noon of the first day.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(12 * 60 * 60)
}

pub(crate) fn check(input: &[u8]) {
    let [request, response] = blocks(input);
    let (request, response) = (fields(request), fields(response));
    let stored = Stored {
        status: StatusCode::OK,
        headers: &response,
        received: now(),
    };
    follows_from_its_fields(&request, stored);
    heeds_their_order(&request, stored);
    is_judged_by_the_letter(&request, stored);
    knows_its_own_tag(&request, stored);
    asks_by_what_is_stored(&request, stored);
    is_the_same_as_itself(&response);
}

fn follows_from_its_fields(request: &HeaderMap, stored: Stored<'_>) {
    let has = |name| request.contains_key(name);
    match evaluate(request, stored, now()) {
        Verdict::Proceed => assert!(!is_sole_star(request, &header::IF_NONE_MATCH)),
        Verdict::NotModified => {
            assert!(has(header::IF_NONE_MATCH) || has(header::IF_MODIFIED_SINCE));
        }
        Verdict::Forward => {
            assert!(has(header::IF_MATCH) || has(header::IF_UNMODIFIED_SINCE));
            assert!(!is_sole_star(request, &header::IF_MATCH));
        }
    }
    let absent = Stored {
        status: StatusCode::NOT_FOUND,
        ..stored
    };
    assert_eq!(evaluate(request, absent, now()), Verdict::Proceed);
    assert!(if_range_holds(request, stored, now()) || has(header::IF_RANGE));
}

fn is_sole_star(request: &HeaderMap, name: &HeaderName) -> bool {
    sole(request, name) == Some(b"*")
}

fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    let only = lines.next()?;
    lines.next().is_none().then_some(only.as_bytes())
}

/// RFC 9110 §13.1.3, §13.1.4: beside a condition on tags, that on dates is ignored. And lines of tags are
/// a set.
fn heeds_their_order(request: &HeaderMap, stored: Stored<'_>) {
    let verdict = evaluate(request, stored, now());
    for (tags, date) in [
        (header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE),
        (header::IF_MATCH, header::IF_UNMODIFIED_SINCE),
    ] {
        let mut other = request.clone();
        if request.contains_key(&tags) {
            other.remove(date);
        }
        let lines: Vec<_> = request.get_all(&tags).iter().cloned().collect();
        other.remove(&tags);
        for line in lines.into_iter().rev() {
            other.append(&tags, line);
        }
        assert_eq!(evaluate(&other, stored, now()), verdict);
    }
}

/// RFC 9110 §13.1.1, §13.1.2, §13.1.5, of tags that are tags.
fn is_judged_by_the_letter(request: &HeaderMap, stored: Stored<'_>) {
    let is_tag =
        |own: &&[u8]| tags(stored.headers, &header::ETAG).is_some_and(|tags| tags == [*own]);
    let Some(own) = sole(stored.headers, &header::ETAG).filter(is_tag) else {
        return;
    };
    let verdict = evaluate(request, stored, now());
    if let Some(listed) = tags(request, &header::IF_MATCH) {
        let is_meant = listed.iter().any(|tag| tag == own && is_strong(tag));
        assert_eq!(verdict != Verdict::Forward, is_meant);
    }
    if let Some(listed) = tags(request, &header::IF_NONE_MATCH)
        && verdict != Verdict::Forward
    {
        let is_known = listed.iter().any(|tag| opaque(tag) == opaque(own));
        assert_eq!(verdict == Verdict::NotModified, is_known);
    }
    if tags(request, &header::IF_RANGE).is_some() {
        let holds = is_strong(own) && sole(request, &header::IF_RANGE) == Some(own);
        assert_eq!(if_range_holds(request, stored, now()), holds);
    }
}

fn is_strong(tag: &[u8]) -> bool {
    tag.starts_with(b"\"")
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The members of a list of entity tags, by its grammar; `None` where it is absent, empty, or breaks that.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for line in headers.get_all(name) {
        let mut rest = line.as_bytes();
        while let Some(at) = rest.iter().position(|byte| !b", \t".contains(byte)) {
            let (_, tag) = rest.split_at(at);
            let (_, inner) = cut(tag, b'"')?;
            let (inner, after) = cut(inner, b'"')?;
            let (tag, _) = tag.split_at(tag.len() - after.len());
            let is_tag = [inner.len() + 2, inner.len() + 4].contains(&tag.len())
                && matches!(opaque(tag), [b'"', ..])
                && !inner.iter().any(|byte| *byte <= b' ' || *byte == 0x7f);
            let is_ended = matches!(after.trim_ascii_start(), [] | [b',', ..]);
            if !is_tag || !is_ended {
                return None;
            }
            found.push(tag.to_vec());
            rest = after;
        }
    }
    (!found.is_empty()).then_some(found)
}

/// A client that has the stored version among others is told so.
fn knows_its_own_tag(request: &HeaderMap, stored: Stored<'_>) {
    let Some(tag) = Validators::read(stored.headers, now()).etag() else {
        return;
    };
    let mut knowing = request.clone();
    knowing.append(header::IF_NONE_MATCH, tag.clone());
    assert_ne!(evaluate(&knowing, stored, now()), Verdict::Proceed);
    knowing.remove(header::IF_MATCH);
    knowing.remove(header::IF_UNMODIFIED_SINCE);
    assert_eq!(evaluate(&knowing, stored, now()), Verdict::NotModified);
}

/// What the cache asks by is what it has.
fn asks_by_what_is_stored(request: &HeaderMap, stored: Stored<'_>) {
    let mut asked = request.clone();
    let can_ask = validate(&mut asked, stored.headers, now());
    assert_eq!(can_ask, Validators::read(stored.headers, now()).is_any());
    let expected = if can_ask {
        Verdict::NotModified
    } else {
        Verdict::Proceed
    };
    assert_eq!(evaluate(&asked, stored, now()), expected);
    let tags = stored.headers.get_all(header::ETAG).iter().cloned();
    let mut offered = request.clone();
    if conditional::offer(&mut offered, tags) {
        let offer = offered.get(header::IF_NONE_MATCH).expect("it was offered");
        assert!(offer.len() <= 8 * 1024);
    } else {
        assert_eq!(evaluate(&offered, stored, now()), Verdict::Proceed);
    }
}

/// Every response is the same as itself, and a 304 made of it says so.
fn is_the_same_as_itself(response: &HeaderMap) {
    let compared = |update| freshening(response, update, now());
    assert_ne!(compared(response), Freshening::Mismatch);
    let mut head = response.clone();
    head.remove(header::CONTENT_LENGTH);
    assert!(!matches!(
        compare_head(response, None, &head),
        HeadComparison::Differs(_)
    ));
    let mut update = response.clone();
    make_not_modified(&mut update);
    let once = update.clone();
    make_not_modified(&mut update);
    assert_eq!(once, update);
    assert_ne!(compared(&update), Freshening::Mismatch);
    assert_ne!(compared(&update), Freshening::Unnamed);
    keeps_all_but_the_content(response, &update);
}

/// RFC 9110 §15.4.5.
fn keeps_all_but_the_content(response: &HeaderMap, update: &HeaderMap) {
    let etag = Validators::read(response, now()).etag();
    assert!(etag.is_none_or(|tag| !tag.is_empty() && tag != "*"));
    for name in response.keys() {
        let is_left_out = match name.as_str() {
            "last-modified" => etag.is_some(),
            "repr-digest" | "digest" | "trailer" | "transfer-encoding" => true,
            name => {
                let about = name.strip_prefix("content-");
                about.is_some_and(|about| ABOUT_CONTENT.contains(&about))
            }
        };
        assert_eq!(!update.contains_key(name), is_left_out, "{name}");
        assert!(is_left_out || update.get_all(name) == response.get_all(name));
    }
}

const ABOUT_CONTENT: [&str; 7] = [
    "digest", "encoding", "language", "length", "md5", "range", "type",
];
