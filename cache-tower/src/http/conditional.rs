//! Conditional requests (RFC 9110 §13, RFC 9111 §4.3): those of clients, answered from a stored
//! response, and those of the cache, asked of the origin.

use super::{
    date,
    text::trim,
    validator::{EntityTag, Tag, Validators, etag},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::{fmt, time::SystemTime};

/// No more tags than this are offered in one request,
const MOST_OFFERED: usize = 32;
/// nor more bytes of them.
const MOST_OFFERED_BYTES: usize = 8 * 1024;

/// What of a stored response the conditions of a request are evaluated against.
#[derive(Clone, Copy)]
pub struct Stored<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// When it was received.
    pub received: SystemTime,
}

/// Without what may not reach a log.
impl fmt::Debug for Stored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("status", &self.status)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

/// What the conditions of a request ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The stored response, or the range of it that the request selects.
    Proceed,
    /// A 304 in its place.
    NotModified,
    /// An answer of the origin, with the request as it came: what is stored does not meet a condition
    /// that is the origin's to judge. The client may be due a 412.
    Forward,
}

/// Evaluates the conditions of a GET or HEAD against the stored response that would answer it
/// otherwise (RFC 9110 §13.2.2, RFC 9111 §4.3.2).
///
/// A cache is free to ignore If-Match and If-Unmodified-Since (RFC 9110 §13.1.1, §13.1.4). Whoever
/// sends them minds which version it gets: the stored one, where it is known to be that.
pub fn evaluate(request: &HeaderMap, stored: Stored<'_>, now: SystemTime) -> Verdict {
    // RFC 9110 §13.2.1: what would not be a 2xx without the conditions is not subject to them.
    if !stored.status.is_success() {
        return Verdict::Proceed;
    }
    if !is_meant(request, stored, now) {
        return Verdict::Forward;
    }
    if is_known(request, stored, now) {
        Verdict::NotModified
    } else {
        Verdict::Proceed
    }
}

/// Whether the stored response is the version that the request is about.
fn is_meant(request: &HeaderMap, stored: Stored<'_>, now: SystemTime) -> bool {
    if request.contains_key(header::IF_MATCH) {
        return names(request, &header::IF_MATCH, stored, |stored, listed| {
            stored.matches_strongly(listed)
        });
    }
    // RFC 9110 §13.1.4: what is no date is ignored.
    let Some(since) = sole_date(request, &header::IF_UNMODIFIED_SINCE, now) else {
        return true;
    };
    is_not_after(
        Validators::read(stored.headers, now).modified(),
        Some(since),
    )
}

/// Whether the client has the stored version already.
fn is_known(request: &HeaderMap, stored: Stored<'_>, now: SystemTime) -> bool {
    if request.contains_key(header::IF_NONE_MATCH) {
        return names(request, &header::IF_NONE_MATCH, stored, |stored, listed| {
            stored.matches_weakly(listed)
        });
    }
    let since = sole_date(request, &header::IF_MODIFIED_SINCE, now);
    since.is_some() && is_not_after(Some(last_changed(stored, now)), since)
}

/// Last-Modified, or the nearest to it that there is (RFC 9111 §4.3.2).
fn last_changed(stored: Stored<'_>, now: SystemTime) -> SystemTime {
    Validators::read(stored.headers, now)
        .modified()
        .or_else(|| sole_date(stored.headers, &header::DATE, now))
        .unwrap_or(stored.received)
}

fn is_not_after(modified: Option<SystemTime>, since: Option<SystemTime>) -> bool {
    matches!((modified, since), (Some(modified), Some(since)) if modified <= since)
}

/// Whether the request's Range may be applied to the stored response: true without an If-Range (RFC
/// 9110 §13.1.5).
pub fn if_range_holds(request: &HeaderMap, stored: Stored<'_>, now: SystemTime) -> bool {
    if !request.contains_key(header::IF_RANGE) {
        return true;
    }
    let Some(condition) = sole(request, &header::IF_RANGE) else {
        return false;
    };
    let validators = Validators::read(stored.headers, now);
    match EntityTag::parse(condition) {
        Some(tag) => validators
            .tag()
            .is_some_and(|stored| stored.matches_strongly(Tag::Entity(tag))),
        None => {
            let date = date::parse(condition, now);
            date.is_some() && date == validators.strongly_modified()
        }
    }
}

/// The value of a field of one line.
fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    let only = lines.next()?;
    lines.next().is_none().then(|| trim(only.as_bytes()))
}

fn sole_date(headers: &HeaderMap, name: &HeaderName, now: SystemTime) -> Option<SystemTime> {
    date::parse(sole(headers, name)?, now)
}

/// A `*` among other members is malformed (RFC 9110 §13.1.1, §13.1.2).
fn is_star(request: &HeaderMap, name: &HeaderName) -> bool {
    sole(request, name) == Some(b"*")
}

/// Whether the field is `*`, or lists the stored tag.
fn names(
    request: &HeaderMap,
    name: &HeaderName,
    stored: Stored<'_>,
    matches: impl Fn(Tag<'_>, Tag<'_>) -> bool,
) -> bool {
    is_star(request, name)
        || etag(stored.headers)
            .is_some_and(|(_, tag)| lists(request, name, |listed| matches(tag, listed)))
}

/// Whether any tag of any line fits. Each line counts as a member too, for a stored value that is
/// malformed may well hold commas.
fn lists(request: &HeaderMap, name: &HeaderName, fits: impl Fn(Tag<'_>) -> bool) -> bool {
    request.get_all(name).iter().any(|line| {
        let line = line.as_bytes();
        fits(Tag::read(line)) || members(line).any(|member| fits(Tag::read(member)))
    })
}

/// The members of a list of entity tags. Other than in a quoted string no backslash escapes a quote.
fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    list.split(move |byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    })
}

/// Makes the fields of a stored 2xx those of a 304 in its place (RFC 9110 §15.4.5).
///
/// What describes the content goes, for no content comes with it and the client has that of its own.
/// Last-Modified stays where there is no entity tag. All that is about the resource or the exchange
/// stays (CORS, Link, security and the like): a browser updates its stored response by it. So does
/// Set-Cookie, which is no metadata of the representation: whether others may get it was decided when
/// the response was stored, and a 304 is no other case than a 200.
pub fn make_not_modified(headers: &mut HeaderMap) {
    if etag(headers).is_some() {
        headers.remove(header::LAST_MODIFIED);
    }
    for name in [
        header::CONTENT_ENCODING,
        header::CONTENT_LANGUAGE,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        // RFC 9530, and what it obsoletes.
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("repr-digest"),
        HeaderName::from_static("digest"),
        HeaderName::from_static("content-md5"),
        // A 304 has neither content nor trailers.
        header::TRAILER,
        header::TRANSFER_ENCODING,
    ] {
        headers.remove(name);
    }
}

/// Makes a request ask whether the stored response is still valid (RFC 9111 §4.3.1); true where that
/// has something to ask by.
///
/// The validators go as they came. The client's conditions and its Range are taken away, for the
/// answer is to serve others too: they are [evaluated](evaluate) against what is stored then.
///
/// Not for a part, where the client wants more than it holds: a 304 would bring nothing of the rest
/// (RFC 9111 §4.3.2).
pub fn validate(request: &mut HeaderMap, stored: &HeaderMap, now: SystemTime) -> bool {
    remove_conditions(request);
    let validators = Validators::read(stored, now);
    let etag = validators.etag().cloned();
    let last_modified = validators.last_modified().cloned();
    for (name, value) in [
        (header::IF_NONE_MATCH, etag),
        (header::IF_MODIFIED_SINCE, last_modified),
    ] {
        if let Some(value) = value {
            request.insert(name, value);
        }
    }
    validators.is_any()
}

/// Makes a request ask whether any of several stored responses is the current one, by the values of
/// their ETags (RFC 9111 §4.3.1); true where there is any to offer.
///
/// The first 32 tags are offered, within 8 KiB; what is no entity tag is left out, since it could
/// spoil the list. The client's conditions and its Range are taken away, as by [`validate`].
pub fn offer(request: &mut HeaderMap, tags: impl Iterator<Item = HeaderValue>) -> bool {
    remove_conditions(request);
    let list = joined(tags);
    match HeaderValue::from_bytes(&list) {
        Ok(list) if !list.is_empty() => {
            request.insert(header::IF_NONE_MATCH, list);
            true
        }
        _ => false,
    }
}

fn joined(tags: impl Iterator<Item = HeaderValue>) -> Vec<u8> {
    let mut offered: Vec<HeaderValue> = Vec::new();
    let mut list = Vec::new();
    for tag in tags {
        if EntityTag::parse(tag.as_bytes()).is_none() || offered.contains(&tag) {
            continue;
        }
        if offered.len() == MOST_OFFERED || list.len() + 2 + tag.len() > MOST_OFFERED_BYTES {
            break;
        }
        if !list.is_empty() {
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(tag.as_bytes());
        offered.push(tag);
    }
    list
}

fn remove_conditions(request: &mut HeaderMap) {
    for name in [
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
        header::RANGE,
    ] {
        request.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    const ELEVEN: &str = "Thu, 01 Jan 1970 11:00:00 GMT";
    const NOON: &str = "Thu, 01 Jan 1970 12:00:00 GMT";
    const ONE: &str = "Thu, 01 Jan 1970 13:00:00 GMT";

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let value = |value: &str| HeaderValue::from_bytes(value.as_bytes()).unwrap();
        lines
            .iter()
            .map(|(name, text)| (HeaderName::from_static(name), value(text)))
            .collect()
    }

    fn text(headers: &HeaderMap) -> Vec<String> {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        let mut lines: Vec<_> = headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    fn noon() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(12 * 3600)
    }

    fn stored(headers: &HeaderMap) -> Stored<'_> {
        Stored {
            status: StatusCode::OK,
            headers,
            received: noon(),
        }
    }

    fn verdict(of: &[(&'static str, &str)], request: &[(&'static str, &str)]) -> Verdict {
        evaluate(&map(request), stored(&map(of)), NOW)
    }

    #[test]
    fn if_none_match_compares_weakly_over_all_lines() {
        for (etag, lines, expected) in [
            ("\"1\"", &["\"1\""][..], Verdict::NotModified),
            ("\"1\"", &["W/\"1\""], Verdict::NotModified),
            ("W/\"1\"", &["\"1\""], Verdict::NotModified),
            ("\"1\"", &["\"2\"", "\"3\" ,,\"1\""], Verdict::NotModified),
            ("\"a,b\"", &["\"x\",\"a,b\""], Verdict::NotModified),
            ("\"a\\\"", &["\"a\\\", \"b\""], Verdict::NotModified),
            ("\"1\"", &["*"], Verdict::NotModified),
            ("\"1\"", &["2, 1, \"1\""], Verdict::NotModified),
            ("\"1\"", &["1"], Verdict::Proceed),
            ("\"1\"", &["\"1"], Verdict::Proceed),
            ("\"1\"", &["\"2, \"1\""], Verdict::Proceed),
            ("\"1\"", &["w/\"1\""], Verdict::Proceed),
            ("\"1\"", &["*, \"2\""], Verdict::Proceed),
            ("\"1\"", &["*", "\"2\""], Verdict::Proceed),
            ("\"1\"", &[""], Verdict::Proceed),
            ("abc", &["abc"], Verdict::NotModified),
            ("abc", &["\"x\", abc"], Verdict::NotModified),
            ("abc", &["\"abc\""], Verdict::Proceed),
            ("\"a\", b", &["\"a\", b"], Verdict::NotModified),
            ("\"a\", b", &["\"a\""], Verdict::Proceed),
            ("\"a", &["\"a"], Verdict::NotModified),
        ] {
            let request: Vec<_> = lines.iter().map(|line| ("if-none-match", *line)).collect();
            assert_eq!(
                verdict(&[("etag", etag)], &request),
                expected,
                "{etag} {lines:?}"
            );
        }
        assert_eq!(
            verdict(&[], &[("if-none-match", "*")]),
            Verdict::NotModified
        );
        assert_eq!(verdict(&[], &[("if-none-match", "\"\"")]), Verdict::Proceed);
    }

    #[test]
    fn if_modified_since_counts_only_without_if_none_match() {
        let of = [("etag", "\"1\""), ("last-modified", NOON)];
        let since = |date| ("if-modified-since", date);
        assert_eq!(verdict(&of, &[since(ELEVEN)]), Verdict::Proceed);
        assert_eq!(verdict(&of, &[since(NOON)]), Verdict::NotModified);
        assert_eq!(verdict(&of, &[since(ONE)]), Verdict::NotModified);
        assert_eq!(verdict(&of, &[since("today")]), Verdict::Proceed);
        assert_eq!(verdict(&of, &[since(ONE), since(ONE)]), Verdict::Proceed);
        for list in ["\"2\"", "", "broken"] {
            assert_eq!(
                verdict(&of, &[since(ONE), ("if-none-match", list)]),
                Verdict::Proceed,
                "{list}"
            );
        }
    }

    #[test]
    fn without_last_modified_the_date_counts_and_without_that_when_it_was_received() {
        let since = |date| [("if-modified-since", date)];
        let date = [("date", ELEVEN)];
        assert_eq!(verdict(&date, &since(ELEVEN)), Verdict::NotModified);
        let both = [("date", ONE), ("last-modified", ELEVEN)];
        assert_eq!(verdict(&both, &since(ELEVEN)), Verdict::NotModified);
        assert_eq!(verdict(&[], &since(NOON)), Verdict::NotModified);
        assert_eq!(verdict(&[], &since(ELEVEN)), Verdict::Proceed);
        assert_eq!(verdict(&[("date", "x")], &since(ELEVEN)), Verdict::Proceed);
    }

    #[test]
    fn a_version_that_is_not_known_to_be_meant_is_left_to_the_origin() {
        let of = [("etag", "\"1\""), ("last-modified", NOON)];
        let weak = [("etag", "W/\"1\"")];
        let matches = |list| [("if-match", list)];
        assert_eq!(verdict(&of, &matches("*")), Verdict::Proceed);
        assert_eq!(verdict(&of, &matches("\"2\", \"1\"")), Verdict::Proceed);
        assert_eq!(verdict(&of, &matches("W/\"1\"")), Verdict::Forward);
        assert_eq!(verdict(&weak, &matches("\"1\"")), Verdict::Forward);
        assert_eq!(verdict(&weak, &matches("W/\"1\"")), Verdict::Forward);
        assert_eq!(verdict(&of, &matches("\"2\"")), Verdict::Forward);
        assert_eq!(verdict(&of, &matches("")), Verdict::Forward);
        let abc = [("etag", "abc")];
        assert_eq!(verdict(&abc, &matches("abc")), Verdict::Forward);
        let since = |date| [("if-unmodified-since", date)];
        assert_eq!(verdict(&of, &since(NOON)), Verdict::Proceed);
        assert_eq!(verdict(&of, &since(ONE)), Verdict::Proceed);
        assert_eq!(verdict(&of, &since(ELEVEN)), Verdict::Forward);
        assert_eq!(
            verdict(&of, &since("x")),
            Verdict::Proceed,
            "RFC 9110 §13.1.4"
        );
        assert_eq!(verdict(&weak, &since(ONE)), Verdict::Forward);
        let both = [("if-match", "\"1\""), ("if-unmodified-since", ELEVEN)];
        assert_eq!(
            verdict(&of, &both),
            Verdict::Proceed,
            "If-Match alone counts"
        );
        let known = [("if-match", "\"1\""), ("if-none-match", "\"1\"")];
        assert_eq!(verdict(&of, &known), Verdict::NotModified);
        let lost = [("if-match", "\"2\""), ("if-none-match", "\"1\"")];
        assert_eq!(verdict(&of, &lost), Verdict::Forward);
    }

    #[test]
    fn conditions_do_not_touch_errors_and_redirections() {
        let headers = map(&[("etag", "\"1\"")]);
        for (status, expected) in [
            (200, Verdict::NotModified),
            (203, Verdict::NotModified),
            (206, Verdict::NotModified),
            (301, Verdict::Proceed),
            (404, Verdict::Proceed),
            (503, Verdict::Proceed),
        ] {
            let stored = Stored {
                status: StatusCode::from_u16(status).unwrap(),
                ..stored(&headers)
            };
            let known = map(&[("if-none-match", "\"1\"")]);
            assert_eq!(evaluate(&known, stored, NOW), expected, "{status}");
            let lost = map(&[("if-match", "\"2\"")]);
            let is_forwarded = evaluate(&lost, stored, NOW) == Verdict::Forward;
            assert_eq!(is_forwarded, expected == Verdict::NotModified, "{status}");
        }
    }

    #[test]
    fn if_range_wants_the_very_same_version() {
        let holds = |of: &[(&'static str, &str)], lines: &[&str]| {
            let request: Vec<_> = lines.iter().map(|line| ("if-range", *line)).collect();
            if_range_holds(&map(&request), stored(&map(of)), NOW)
        };
        let of = [("etag", "\"1\""), ("last-modified", NOON), ("date", ONE)];
        assert!(holds(&of, &[]));
        assert!(holds(&of, &["\"1\""]));
        assert!(holds(&of, &[NOON]));
        for fails in [
            "W/\"1\"",
            "\"2\"",
            "*",
            "",
            "x",
            "\"1\", \"2\"",
            ELEVEN,
            ONE,
        ] {
            assert!(!holds(&of, &[fails]), "{fails}");
        }
        assert!(!holds(&of, &["\"1\"", "\"1\""]));
        assert!(!holds(&[("etag", "W/\"1\"")], &["W/\"1\""]));
        assert!(!holds(&[("etag", "abc")], &["abc"]));
        assert!(!holds(&[("last-modified", NOON), ("date", NOON)], &[NOON]));
        assert!(!holds(&[("last-modified", NOON)], &[NOON]));
        assert!(!holds(&[], &[NOON]));
    }

    #[test]
    fn a_304_keeps_all_but_what_describes_the_content() {
        let kept = [
            ("accept-ranges", "bytes"),
            ("access-control-allow-origin", "*"),
            ("cache-control", "max-age=60"),
            ("content-location", "/a"),
            ("content-security-policy", "default-src 'self'"),
            ("date", NOON),
            ("expires", ONE),
            ("link", "</b>; rel=preload"),
            ("set-cookie", "a=b"),
            ("vary", "accept"),
        ];
        let gone = [
            ("content-digest", "sha-256=:AA==:"),
            ("content-encoding", "gzip"),
            ("content-language", "de"),
            ("content-length", "5"),
            ("content-md5", "AA=="),
            ("content-range", "bytes 0-4/5"),
            ("content-type", "text/plain"),
            ("digest", "sha-256=AA=="),
            ("repr-digest", "sha-256=:AA==:"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
        ];
        let check = |tag: &[(&'static str, &str)], stays: &[(&'static str, &str)]| {
            let modified = [("last-modified", ELEVEN)];
            let mut headers = map(&[&kept[..], &gone, &modified, tag].concat());
            make_not_modified(&mut headers);
            assert_eq!(text(&headers), text(&map(&[&kept[..], stays].concat())));
        };
        check(&[("etag", "\"1\"")], &[("etag", "\"1\"")]);
        check(&[], &[("last-modified", ELEVEN)]);
        check(&[("etag", "")], &[("etag", ""), ("last-modified", ELEVEN)]);
    }

    #[test]
    fn a_validation_asks_by_the_stored_validators_alone() {
        let clients = [
            ("if-match", "\"c\""),
            ("if-none-match", "\"c\""),
            ("if-modified-since", ONE),
            ("if-unmodified-since", ONE),
            ("if-range", "\"c\""),
            ("range", "bytes=0-1"),
            ("accept", "x"),
        ];
        let asked = |of: &[(&'static str, &str)]| {
            let mut request = map(&clients);
            let can_be_asked = validate(&mut request, &map(of), NOW);
            assert_eq!(can_be_asked, request.len() > 1);
            text(&request)
        };
        assert_eq!(
            asked(&[("etag", "W/ not a tag"), ("last-modified", NOON)]),
            [
                "accept: x",
                "if-modified-since: Thu, 01 Jan 1970 12:00:00 GMT",
                "if-none-match: W/ not a tag"
            ]
        );
        assert_eq!(asked(&[]), ["accept: x"]);
        assert_eq!(asked(&[("etag", "*")]), ["accept: x"], "it always matches");
        let mut request = map(&clients);
        let tags = ["\"1\"", "broken", "W/\"2\"", "\"1\"", "\"a\", \"b\""];
        assert!(offer(
            &mut request,
            tags.map(HeaderValue::from_static).into_iter()
        ));
        assert_eq!(
            text(&request),
            ["accept: x", "if-none-match: \"1\", W/\"2\""]
        );
        assert!(!offer(&mut request, std::iter::empty()));
        assert_eq!(text(&request), ["accept: x"]);
    }

    #[test]
    fn offers_are_bounded() {
        let tag = |n: usize| HeaderValue::try_from(format!("\"{n}\"")).unwrap();
        let mut request = HeaderMap::new();
        assert!(offer(&mut request, (0..).map(tag)));
        let line = request.get("if-none-match").unwrap().to_str().unwrap();
        assert_eq!(line.split(", ").count(), MOST_OFFERED);
        let long = |n: usize| HeaderValue::try_from(format!("\"{n:01000}\"")).unwrap();
        assert!(offer(&mut request, (0..).map(long)));
        assert!(request.get("if-none-match").unwrap().len() <= MOST_OFFERED_BYTES);
        let huge = HeaderValue::try_from(format!("\"{}\"", "x".repeat(9000))).unwrap();
        assert!(!offer(&mut request, [huge].into_iter()));
    }

    #[test]
    fn thousands_of_tags_are_read_once_each() {
        let line = "\"x\",".repeat(16_000);
        let calls = std::cell::Cell::new(0);
        let request = map(&[("if-none-match", &line)]);
        lists(&request, &header::IF_NONE_MATCH, |_| {
            calls.set(calls.get() + 1);
            false
        });
        assert_eq!(
            calls.get(),
            16_000 + 2,
            "the line, its members, the empty last"
        );
    }

    /// A tag as the model sees it: no text.
    #[derive(Debug, Clone, PartialEq)]
    struct Model {
        is_weak: bool,
        name: u8,
    }

    impl Model {
        fn text(&self) -> String {
            let weak = if self.is_weak { "W/" } else { "" };
            format!(
                "{weak}\"{}\"",
                ["a", "b,", "", "\\"][usize::from(self.name)]
            )
        }
    }

    fn a_tag() -> impl Strategy<Value = Model> {
        (any::<bool>(), 0..4u8).prop_map(|(is_weak, name)| Model { is_weak, name })
    }

    fn some_lines() -> impl Strategy<Value = Option<Vec<Vec<Model>>>> {
        let line = prop::collection::vec(a_tag(), 0..4);
        prop::option::of(prop::collection::vec(line, 1..3))
    }

    fn an_hour() -> impl Strategy<Value = Option<u64>> {
        prop::option::of(0..4u64)
    }

    fn at(hour: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(hour * 3600)
    }

    fn append(headers: &mut HeaderMap, name: &'static str, value: &str) {
        headers.append(name, HeaderValue::try_from(value).unwrap());
    }

    fn append_lists(headers: &mut HeaderMap, name: &'static str, lines: Option<&[Vec<Model>]>) {
        for line in lines.unwrap_or_default() {
            let tags: Vec<String> = line.iter().map(Model::text).collect();
            append(headers, name, &tags.join(" , ,"));
        }
    }

    fn append_date(headers: &mut HeaderMap, name: &'static str, hour: Option<u64>) {
        if let Some(hour) = hour {
            append(headers, name, &httpdate::fmt_http_date(at(hour)));
        }
    }

    proptest! {
        #[test]
        fn conditions_are_evaluated_as_the_precedence_list_says(
            etag in prop::option::of(a_tag()), modified in an_hour(), date in an_hour(), received in 0..4u64,
            if_match in some_lines(), if_none_match in some_lines(), since in an_hour(), unmodified in an_hour(),
        ) {
            let mut headers = HeaderMap::new();
            append_lists(&mut headers, "etag", etag.clone().map(|tag| [vec![tag]]).as_ref().map(|lines| &lines[..]));
            append_date(&mut headers, "last-modified", modified);
            append_date(&mut headers, "date", date);
            let mut request = HeaderMap::new();
            append_lists(&mut request, "if-match", if_match.as_deref());
            append_lists(&mut request, "if-none-match", if_none_match.as_deref());
            append_date(&mut request, "if-modified-since", since);
            append_date(&mut request, "if-unmodified-since", unmodified);

            let has = |lines: &[Vec<Model>], is_strong: bool| etag.as_ref().is_some_and(|tag| {
                lines.iter().flatten().any(|other| {
                    other.name == tag.name && !(is_strong && (other.is_weak || tag.is_weak))
                })
            });
            let is_meant = match (&if_match, unmodified) {
                (Some(lines), _) => has(lines, true),
                (None, Some(hour)) => modified.is_some_and(|modified| modified <= hour),
                (None, None) => true,
            };
            let is_known = match (&if_none_match, since) {
                (Some(lines), _) => has(lines, false),
                (None, Some(hour)) => modified.or(date).unwrap_or(received) <= hour,
                (None, None) => false,
            };
            let expected = match (is_meant, is_known) {
                (false, _) => Verdict::Forward,
                (true, true) => Verdict::NotModified,
                (true, false) => Verdict::Proceed,
            };
            let stored = Stored { status: StatusCode::OK, headers: &headers, received: at(received) };
            prop_assert_eq!(evaluate(&request, stored, NOW), expected);
        }

        #[test]
        fn if_range_holds_for_the_strong_validator_that_is_stored(
            etag in prop::option::of(a_tag()), modified in an_hour(), date in an_hour(),
            tag in a_tag(), hour in 0..4u64, by_tag in any::<bool>(),
        ) {
            let mut headers = HeaderMap::new();
            append_lists(&mut headers, "etag", etag.clone().map(|tag| [vec![tag]]).as_ref().map(|lines| &lines[..]));
            append_date(&mut headers, "last-modified", modified);
            append_date(&mut headers, "date", date);
            let mut request = HeaderMap::new();
            if by_tag {
                append(&mut request, "if-range", &tag.text());
            } else {
                append_date(&mut request, "if-range", Some(hour));
            }
            let expected = if by_tag {
                etag.as_ref() == Some(&tag) && !tag.is_weak
            } else {
                modified == Some(hour) && date.is_some_and(|date| date > hour)
            };
            prop_assert_eq!(if_range_holds(&request, stored(&headers), NOW), expected);
        }

        #[test]
        fn what_was_validated_is_known(etag in "[!-~]{0,8}( [!-~]{1,3})?", modified in any::<bool>()) {
            let mut lines = vec![("etag", &*etag)];
            lines.extend(modified.then_some(("last-modified", NOON)));
            let headers = map(&lines);
            let mut request = HeaderMap::new();
            if validate(&mut request, &headers, NOW) {
                prop_assert_eq!(evaluate(&request, stored(&headers), NOW), Verdict::NotModified);
            }
        }
    }
}
