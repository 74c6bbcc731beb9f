//! Parts of a representation: what is asked for, what is given, and what of it is kept.

use crate::support::{
    Answer, App, Ask, Gate, Origin, Piece, Policy, Reply, Settings, Site, eventually, minutes,
    others_run, pass, seconds,
};
use futures_util::future::join_all;
use proptest::prelude::*;
use std::{fmt, future::Future};

const TEN: &str = "0123456789";
const FRESH: &str = "public, max-age=60";

fn fields() -> Policy {
    Policy::from_headers()
}

fn site(origin: &Origin, control: &'static str) -> Site {
    Site::replying(fields(), origin.handler(control))
}

async fn range(app: &App, range: &str) -> Answer {
    app.get("/").header("range", range).send().await
}

fn runs<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(test)
}

/// A part of a representation: its first and last offset, the complete length, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    first: usize,
    last: usize,
    complete: usize,
    bytes: Vec<u8>,
}

impl Part {
    fn of(content_range: &str, bytes: &[u8]) -> Self {
        let (span, complete) = content_range
            .strip_prefix("bytes ")
            .and_then(|range| range.split_once('/'))
            .unwrap();
        let (first, last) = span.split_once('-').unwrap();
        Self {
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
            complete: complete.parse().unwrap(),
            bytes: bytes.to_vec(),
        }
    }

    fn is_of(&self, body: &[u8]) -> bool {
        self.complete == body.len() && self.bytes == body[self.first..=self.last]
    }
}

/// The parts of a 206, whichever form it has (RFC 9110 §15.3.7).
fn parts(answer: &Answer) -> Vec<Part> {
    assert!(!answer.failed && answer.status == 206, "{answer:?}");
    // One that the origin left out the framework's server adds.
    let length = answer.header("content-length");
    assert!(length.is_empty() || length == answer.body.len().to_string());
    let kind = answer.header("content-type");
    let Some(boundary) = kind.strip_prefix("multipart/byteranges; boundary=") else {
        return vec![Part::of(answer.header("content-range"), &answer.body)];
    };
    assert!(!boundary.contains('"') && !boundary.is_empty());
    assert_eq!(answer.all("content-range"), [""; 0], "that of no part");
    multipart(boundary, &answer.body)
}

fn multipart(boundary: &str, body: &[u8]) -> Vec<Part> {
    let text = std::str::from_utf8(body).unwrap();
    let delimiter = format!("--{boundary}");
    let mut pieces = text.split(&delimiter);
    assert_eq!(pieces.next(), Some(""));
    let mut pieces: Vec<_> = pieces.collect();
    assert_eq!(pieces.pop(), Some("--\r\n"), "the closing boundary");
    let part = |piece: &str| {
        let (head, bytes) = piece.split_once("\r\n\r\n").unwrap();
        let bytes = bytes.strip_suffix("\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let range = lines.find_map(|line| line.strip_prefix("Content-Range: "));
        Part::of(range.unwrap(), bytes.as_bytes())
    };
    pieces.into_iter().map(part).collect()
}

pub(crate) async fn sto_32_each_form_of_a_range_gets_exactly_what_it_asks_for() {
    let app = Site::replying(fields(), |_| {
        Reply::text(TEN)
            .control(FRESH)
            .header("etag", "\"v1\"")
            .header("content-type", "text/plain")
    })
    .start();
    assert_eq!(app.get("/").send().await.text(), TEN);
    for (asked, status, given, content_range) in [
        ("bytes=0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=0-0", 206, "0", "bytes 0-0/10"),
        ("bytes=9-9", 206, "9", "bytes 9-9/10"),
        ("bytes=007-008", 206, "78", "bytes 7-8/10"),
        ("bytes=9-999", 206, "9", "bytes 9-9/10"),
        ("bytes=0-", 206, TEN, "bytes 0-9/10"),
        ("bytes=5-", 206, "56789", "bytes 5-9/10"),
        ("bytes=-1", 206, "9", "bytes 9-9/10"),
        ("bytes=-10", 206, TEN, "bytes 0-9/10"),
        ("bytes=-11", 206, TEN, "bytes 0-9/10"),
        ("BYTES=0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=,0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=0-3 , ,", 206, "0123", "bytes 0-3/10"),
        ("bytes=20-30,0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=0-18446744073709551615", 206, TEN, "bytes 0-9/10"),
        (
            "bytes=1-18446744073709551616",
            206,
            "123456789",
            "bytes 1-9/10",
        ),
        ("bytes=-18446744073709551616", 206, TEN, "bytes 0-9/10"),
        ("bytes=-0", 416, "", "bytes */10"),
        ("bytes=10-", 416, "", "bytes */10"),
        ("bytes=10-12,-0", 416, "", "bytes */10"),
        ("bytes=18446744073709551615-", 416, "", "bytes */10"),
        (
            "bytes=18446744073709551616-18446744073709551617",
            416,
            "",
            "bytes */10",
        ),
        ("bytes=5-2", 200, TEN, ""),
        ("bytes=5-2,0-3", 200, TEN, ""),
        ("bytes=", 200, TEN, ""),
        ("bytes", 200, TEN, ""),
        ("bytes=-", 200, TEN, ""),
        ("bytes=a-b", 200, TEN, ""),
        ("bytes=0-3-5", 200, TEN, ""),
        ("bytes=+0-3", 200, TEN, ""),
        ("bytes=0x0-3", 200, TEN, ""),
        ("bytes=0-3;4-5", 200, TEN, ""),
        ("bytes=--1", 200, TEN, ""),
        ("bytes=0 - 3", 200, TEN, ""),
        ("items=0-3", 200, TEN, ""),
        ("", 200, TEN, ""),
    ] {
        let answer = range(&app, asked).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.text(),
                answer.header("content-range")
            ),
            (status, given, content_range),
            "{asked}"
        );
        let length = answer.header("content-length");
        assert_eq!(length, given.len().to_string(), "{asked}");
        if status != 416 {
            let kept = (answer.header("etag"), answer.header("content-type"));
            assert_eq!(kept, ("\"v1\"", "text/plain"), "{asked}");
        }
    }
    assert_eq!(app.calls(), 1, "all of it from the store");
    app.done().await;
}

pub(crate) async fn sto_32_several_ranges_are_several_parts() {
    let app = Site::replying(fields(), |_| {
        Reply::text(TEN)
            .control(FRESH)
            .header("content-type", "text/plain")
    })
    .start();
    assert_eq!(app.get("/").send().await.text(), TEN);
    let answer = range(&app, "bytes=0-1,4-5,-1").await;
    let spans: Vec<_> = parts(&answer).iter().map(|p| (p.first, p.last)).collect();
    assert_eq!(spans, [(0, 1), (4, 5), (9, 9)]);
    assert!(parts(&answer).iter().all(|part| part.is_of(TEN.as_bytes())));
    let text = answer.text();
    assert_eq!(text.matches("Content-Type: text/plain\r\n").count(), 3);
    let backwards = range(&app, "bytes=8-9,20-,0-1").await;
    let spans: Vec<_> = parts(&backwards)
        .iter()
        .map(|p| (p.first, p.last))
        .collect();
    assert_eq!(spans, [(8, 9), (0, 1)], "in the order that was asked for");
    assert_eq!(app.calls(), 1);
    app.done().await;
}

pub(crate) async fn sto_32_a_boundary_is_new_each_time_and_in_no_body() {
    let app = Site::replying(fields(), |_| Reply::text(TEN).control(FRESH)).start();
    app.get("/").send().await;
    let mut boundaries = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let answer = range(&app, "bytes=0-1,4-5").await;
        assert_eq!(parts(&answer).len(), 2);
        boundaries.insert(answer.header("content-type").to_owned());
    }
    assert_eq!((boundaries.len(), app.calls()), (20, 1));
    app.done().await;
}

pub(crate) async fn sto_32_no_set_of_ranges_costs_more_than_the_whole_and_a_little() {
    const LENGTH: usize = 64 * 1024;
    const PARTS: usize = 16 * 1024;
    let body: String = (0..LENGTH)
        .map(|n| char::from(b'a' + (n % 23) as u8))
        .collect();
    let page = body.clone();
    let app = Site::replying(fields(), move |_| Reply::text(page.clone()).control(FRESH)).start();
    assert_eq!(app.get("/").send().await.text(), body);
    let set = |range: &dyn Fn(usize) -> String, many: usize| {
        let ranges: Vec<_> = (0..many).map(range).collect();
        format!("bytes={}", ranges.join(","))
    };
    for asked in [
        set(&|_| "0-".to_owned(), 1000),
        set(&|_| "-65536".to_owned(), 1000),
        set(&|n| format!("{n}-"), 1000),
        set(&|n| format!("{}-{}", n * 2, n * 2), 1000),
        set(&|n| format!("{}-{}", n * 2, n * 2), 100),
        set(&|n| format!("{}-{}", 60_000 - n * 3, 60_001 - n * 3), 17),
        set(&|n| format!("0-{n}"), 100),
        set(&|n| format!("{n}-18446744073709551615"), 100),
        format!("bytes={}0-0", ",".repeat(100_000)),
    ] {
        let answer = range(&app, &asked).await;
        assert!(answer.body.len() <= LENGTH + PARTS, "{}", answer.body.len());
        match answer.status.as_u16() {
            200 => assert_eq!(answer.text(), body),
            206 => {
                let parts = parts(&answer);
                assert!(parts.len() <= 64, "{} parts", parts.len());
                assert!(parts.iter().all(|part| part.is_of(body.as_bytes())));
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((app.calls(), app.stats().entries), (1, 1));
    app.done().await;
}

pub(crate) async fn sto_32_an_origin_that_refuses_ranges_is_heeded() {
    let app = Site::replying(fields(), |_| {
        Reply::text(TEN)
            .control(FRESH)
            .header("accept-ranges", "none")
    })
    .start();
    for asked in ["bytes=0-3", "bytes=0-1,4-5", "bytes=99-", "bytes=-0"] {
        let answer = range(&app, asked).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (200, TEN),
            "{asked}"
        );
        assert_eq!(answer.header("accept-ranges"), "none");
    }
    assert_eq!(app.get("/").send().await.text(), TEN);
    app.done().await;
}

pub(crate) async fn sto_32_a_range_is_for_a_get_of_something_that_is_there() {
    for status in [404, 410, 301, 203, 204] {
        let body = if status == 204 { "" } else { TEN };
        let app = Site::replying(fields(), move |_| {
            Reply::text(body).status(status).control(FRESH)
        })
        .start();
        assert_eq!(app.get("/").send().await.text(), body);
        let answer = range(&app, "bytes=0-3").await;
        let given = (answer.status.as_u16(), answer.text());
        assert_eq!(given, (status, body), "only what would be 200 is parted");
        assert_eq!(app.calls(), 1);
        app.done().await;
    }
    let app = Site::replying(fields(), |_| Reply::text(TEN).control(FRESH)).start();
    app.get("/").send().await;
    let head = app.head("/").header("range", "bytes=0-3").send().await;
    let told = (
        head.status.as_u16(),
        head.header("content-length"),
        head.text(),
    );
    assert_eq!(told, (200, "10", ""));
    assert_eq!(app.calls(), 1);
    app.done().await;
}

pub(crate) async fn sto_32_if_range_gives_the_part_of_that_version_or_the_whole() {
    for (etag, condition, is_parted) in [
        ("\"v1\"", "\"v1\"", true),
        ("\"v1\"", "\"v2\"", false),
        ("\"v1\"", "W/\"v1\"", false),
        ("W/\"v1\"", "W/\"v1\"", false),
        ("W/\"v1\"", "\"v1\"", false),
        ("\"v1\"", "*", false),
        ("\"v1\"", "\"v1\", \"v1\"", false),
        ("\"v1\"", "v1", false),
        ("\"v1\"", "\"v1", false),
        ("\"v1\"", "Fri, 01 Jan 2100 00:00:00 GMT", false),
    ] {
        let app = site(&Origin::of(etag, TEN), FRESH).start();
        app.get("/").send().await;
        let request = app.get("/").header("if-range", condition);
        let answer = request.header("range", "bytes=0-3").send().await;
        let expected = if is_parted { (206, "0123") } else { (200, TEN) };
        let given = (answer.status.as_u16(), answer.text());
        assert_eq!(given, expected, "{etag} {condition}");
        let alone = app.get("/").header("if-range", condition).send().await;
        assert_eq!(alone.text(), TEN, "without a Range it means nothing");
        assert_eq!(app.calls(), 1);
        app.done().await;
    }
}

pub(crate) async fn sto_32_a_condition_comes_before_a_range() {
    let app = site(&Origin::of("\"v1\"", TEN), FRESH).start();
    app.get("/").send().await;
    for (condition, status, body) in [("\"v1\"", 304, ""), ("\"v0\"", 206, "0123")] {
        let request = app.get("/").header("if-none-match", condition);
        let answer = request.header("range", "bytes=0-3").send().await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, body));
    }
    assert_eq!(app.calls(), 1);
    app.done().await;
}

/// A `range-spec`, beside what it means.
#[derive(Debug, Clone, Copy)]
enum Spec {
    Closed(u64, u64),
    From(u64),
    Suffix(u64),
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(first, last) => write!(f, "{first}-{last}"),
            Self::From(first) => write!(f, "{first}-"),
            Self::Suffix(length) => write!(f, "-{length}"),
        }
    }
}

impl Spec {
    fn any() -> impl Strategy<Value = Self> {
        let offset = prop_oneof![6 => 0..48_u64, 1 => any::<u64>()];
        prop_oneof![
            (offset.clone(), offset.clone()).prop_map(|(a, b)| Self::Closed(a, b)),
            offset.clone().prop_map(Self::From),
            offset.prop_map(Self::Suffix),
        ]
    }

    fn is_valid(self) -> bool {
        !matches!(self, Self::Closed(first, last) if last < first)
    }

    /// The offsets it means of `length` bytes.
    fn offsets(self, length: usize) -> std::ops::Range<usize> {
        let within =
            |offset: u64| usize::try_from(offset).map_or(length, |offset| offset.min(length));
        match self {
            Self::Closed(first, last) => within(first)..within(last.saturating_add(1)),
            Self::From(first) => within(first)..length,
            Self::Suffix(suffix) => length - within(suffix)..length,
        }
    }
}

fn whole_of(length: usize) -> String {
    (0..length)
        .map(|n| char::from(b'a' + (n % 26) as u8))
        .collect()
}

/// Holds an answer against the slices that the ranges mean (RFC 9110 §14.2, §15.3.7).
fn check(body: &str, specs: &[Spec], answer: &Answer) {
    let offsets: Vec<_> = specs
        .iter()
        .map(|spec| spec.offsets(body.len()))
        .filter(|offsets| !offsets.is_empty())
        .collect();
    let wanted: std::collections::BTreeSet<usize> = offsets.iter().cloned().flatten().collect();
    let is_valid = specs.iter().all(|spec| spec.is_valid());
    match answer.status.as_u16() {
        200 => {
            assert_eq!(answer.text(), body);
            let may_ignore = !is_valid || specs.len() > 1 || body.is_empty();
            assert!(may_ignore, "one range of what is there is to be heeded");
        }
        206 => {
            let parts = parts(answer);
            assert!(is_valid && parts.iter().all(|part| part.is_of(body.as_bytes())));
            let given: Vec<usize> = parts
                .iter()
                .flat_map(|part| part.first..=part.last)
                .collect();
            let given_once: std::collections::BTreeSet<_> = given.iter().copied().collect();
            assert_eq!(given_once, wanted, "what was asked for, and nothing else");
            assert_eq!(given.len(), given_once.len(), "and nothing twice");
            assert!(parts.len() <= offsets.len().max(1));
        }
        416 => {
            assert!(is_valid && wanted.is_empty());
            let length = format!("bytes */{}", body.len());
            assert_eq!(
                (answer.header("content-range"), answer.text()),
                (&*length, "")
            );
        }
        other => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn sto_32_whatever_is_asked_for_is_a_slice(
        length in 0..40_usize,
        sets in prop::collection::vec(prop::collection::vec(Spec::any(), 1..6), 1..8),
    ) {
        runs(async move {
            let body = whole_of(length);
            let app = site(&Origin::of("\"v1\"", body.clone()), FRESH).start();
            assert_eq!(app.get("/").send().await.text(), body);
            for specs in sets {
                let texts: Vec<_> = specs.iter().map(Spec::to_string).collect();
                let answer = range(&app, &format!("bytes={}", texts.join(","))).await;
                check(&body, &specs, &answer);
            }
            assert_eq!(app.calls(), 1);
            app.done().await;
        });
    }

    #[test]
    fn sto_32_no_text_breaks_it(asked in "(bytes=)?[-0-9a-f,= \t;\\x80-\\xff]{0,40}") {
        runs(async move {
            let app = site(&Origin::of("\"v1\"", TEN), FRESH).start();
            app.get("/").send().await;
            let bytes: Vec<u8> = asked.chars().map(|c| c as u8).collect();
            let answer = app.get("/").header("range", bytes).send().await;
            match answer.status.as_u16() {
                200 => assert_eq!(answer.text(), TEN),
                206 => assert!(parts(&answer).iter().all(|part| part.is_of(TEN.as_bytes()))),
                416 => assert_eq!(answer.header("content-range"), "bytes */10"),
                other => panic!("{other}"),
            }
            assert_eq!(app.calls(), 1);
            app.done().await;
        });
    }

    #[test]
    fn sto_33_whatever_is_stored_no_answer_mixes_two_versions(
        steps in prop::collection::vec((0..10_u8, Spec::any()), 1..24),
        tags in prop::sample::select(vec!["strong", "weak", "none"]),
    ) {
        runs(async move {
            let tag = |n: usize| match tags {
                "strong" => format!("\"v{n}\""),
                "weak" => "W/\"same\"".to_owned(),
                _ => String::new(),
            };
            // Every byte says which version it is of.
            let body = |n: usize| char::from(b'A' + n as u8).to_string().repeat(20 + n * 7 % 17);
            let (mut version, origin) = (0, Origin::of(&tag(0), body(0)));
            let app = site(&origin, FRESH).start();
            for (step, spec) in steps {
                if step == 0 && version < 20 {
                    version += 1;
                    origin.becomes(&tag(version), body(version));
                }
                if step == 1 {
                    pass(seconds(61)).await;
                }
                let request = app.get("/");
                let answer = match step {
                    2 => request.send().await,
                    3 => request.header("cache-control", "no-cache").send().await,
                    _ => request.header("range", format!("bytes={spec}")).send().await,
                };
                let bytes = match answer.status.as_u16() {
                    200 => answer.body.clone(),
                    206 => parts(&answer)[0].bytes.clone(),
                    416 => continue,
                    other => panic!("{other} {answer:?}"),
                };
                let of = usize::from(bytes[0] - b'A');
                let whole = body(of);
                assert!(bytes.iter().all(|byte| *byte == bytes[0]), "{answer:?}");
                assert_eq!(answer.header("etag"), tag(of), "it is labelled as what it is");
                match answer.status.as_u16() {
                    200 => assert_eq!(answer.text(), whole),
                    _ => assert!(parts(&answer)[0].is_of(whole.as_bytes()), "{answer:?}"),
                }
            }
            app.done().await;
        });
    }
}

pub(crate) async fn sto_33_parts_of_one_version_become_the_whole() {
    let app = site(&Origin::of("\"v1\"", TEN), FRESH).start();
    for (asked, given, calls) in [
        ("bytes=0-3", "0123", 1),
        ("bytes=0-3", "0123", 1),
        ("bytes=1-2", "12", 1),
        ("bytes=2-5", "2345", 2),
        ("bytes=0-5", "012345", 2),
        ("bytes=-2", "89", 3),
        ("bytes=8-", "89", 3),
    ] {
        let answer = range(&app, asked).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (206, given),
            "{asked}"
        );
        assert!(parts(&answer)[0].is_of(TEN.as_bytes()));
        assert_eq!(app.calls(), calls, "{asked}");
    }
    let whole = app.get("/").send().await;
    assert_eq!((whole.status.as_u16(), whole.text()), (200, TEN));
    assert_eq!(whole.header("content-length"), "10");
    assert_eq!(whole.all("content-range"), [""; 0]);
    assert_eq!(app.calls(), 4);
    let saw = app.saw(4);
    assert!(
        saw.header("range").is_empty()
            || (saw.header("range"), saw.header("if-range"))
                == ("bytes=6-7".to_owned(), "\"v1\"".to_owned()),
        "only what was missing, of that version: {saw:?}"
    );
    assert_eq!(app.get("/").send().await.text(), TEN);
    assert_eq!(range(&app, "bytes=3-6").await.text(), "3456");
    let head = app.head("/").send().await;
    assert_eq!(head.header("content-length"), "10");
    assert_eq!(app.calls(), 4);
    app.done().await;
}

pub(crate) async fn sto_33_a_part_of_a_new_version_replaces_those_of_the_old() {
    let (old, new) = ("a".repeat(64), "b".repeat(32));
    let origin = Origin::of("\"v1\"", old);
    let app = site(&origin, FRESH).start();
    let first = range(&app, "bytes=0-31").await;
    assert_eq!(first.text(), "a".repeat(32));
    origin.becomes("\"v2\"", new.clone());
    let between = range(&app, "bytes=24-39").await;
    let given = (between.header("etag"), between.text());
    assert!(
        given == ("\"v2\"", &*"b".repeat(8)) || given == ("\"v2\"", &*new),
        "{given:?}"
    );
    let again = range(&app, "bytes=0-31").await;
    assert_eq!((again.header("etag"), again.text()), ("\"v2\"", &*new));
    let whole = app.get("/").send().await;
    assert_eq!((whole.header("etag"), whole.text()), ("\"v2\"", &*new));
    app.done().await;
}

pub(crate) async fn sto_33_what_no_strong_validator_proves_to_be_one_version_is_never_joined() {
    for (before, after) in [
        ("W/\"v\"", "W/\"v\""),
        ("W/\"v\"", "\"v\""),
        ("\"v\"", "W/\"v\""),
        ("", ""),
        ("\"v1\"", ""),
        ("", "\"v1\""),
        ("v1", "v1"),
        ("\"v1\"", "\"v2\""),
        ("\"v1\"", "\"V1\""),
    ] {
        let origin = Origin::of(before, "aaaaaaaaaa");
        let app = site(&origin, FRESH).start();
        assert_eq!(range(&app, "bytes=0-4").await.text(), "aaaaa");
        origin.becomes(after, "bbbbbbbbbb");
        assert_eq!(range(&app, "bytes=5-9").await.text(), "bbbbb");
        let whole = app.get("/").send().await;
        assert_eq!(
            (whole.status.as_u16(), whole.text()),
            (200, "bbbbbbbbbb"),
            "{before} {after}"
        );
        assert_eq!(range(&app, "bytes=0-9").await.text(), "bbbbbbbbbb");
        app.done().await;
    }
}

pub(crate) async fn sto_33_parts_that_disagree_on_the_length_are_not_of_one_version() {
    let origin = Origin::of("\"v\"", "aaaaaaaaaa");
    let app = site(&origin, FRESH).start();
    assert_eq!(range(&app, "bytes=0-4").await.text(), "aaaaa");
    origin.becomes("\"v\"", "bbbbbbbbbbbb");
    assert_eq!(range(&app, "bytes=5-9").await.text(), "bbbbb");
    let whole = app.get("/").send().await;
    assert_eq!((whole.status.as_u16(), whole.text()), (200, "bbbbbbbbbbbb"));
    app.done().await;
}

pub(crate) async fn sto_33_parts_of_two_variants_are_not_joined_even_under_one_tag() {
    let app = Site::replying(fields(), |ask| {
        let letter = if ask.header("accept") == "a" {
            "a"
        } else {
            "b"
        };
        Origin::of("\"same\"", letter.repeat(10))
            .reply(&ask)
            .control(FRESH)
            .header("vary", "accept")
    })
    .start();
    let get = |accept| app.get("/").header("accept", accept);
    assert_eq!(
        get("a").header("range", "bytes=0-4").send().await.text(),
        "aaaaa"
    );
    assert_eq!(
        get("b").header("range", "bytes=5-9").send().await.text(),
        "bbbbb"
    );
    for accept in ["a", "b"] {
        let whole = get(accept).send().await;
        assert_eq!(
            (whole.status.as_u16(), whole.text()),
            (200, &*accept.repeat(10))
        );
    }
    app.done().await;
}

/// What an origin may say to the question for what is missing, the first time it is asked.
fn answering(wrongly: impl Fn() -> Reply + Send + Sync + 'static) -> App {
    let new = Origin::of("\"v2\"", "bbbbbbbbbb");
    Site::replying(fields(), move |ask: Ask| {
        match ask.call {
            1 => Origin::of("\"v1\"", "aaaaaaaaaa").reply(&ask),
            2 => wrongly(),
            _ => new.reply(&ask),
        }
        .control(FRESH)
    })
    .start()
}

pub(crate) async fn sto_33_whatever_comes_for_the_missing_part_nothing_is_mixed() {
    type Wrongly = fn() -> Reply;
    let cases: [(&str, Wrongly); 10] = [
        ("another version", || {
            part("\"v2\"", "bbbbb", "bytes 5-9/10")
        }),
        ("a weak tag", || part("W/\"v1\"", "bbbbb", "bytes 5-9/10")),
        ("no tag", || {
            Reply::text("bbbbb")
                .status(206)
                .header("content-range", "bytes 5-9/10")
        }),
        ("another part", || part("\"v1\"", "bb", "bytes 0-1/10")),
        ("less of it", || part("\"v1\"", "bb", "bytes 5-6/10")),
        ("another length", || part("\"v1\"", "bbbbb", "bytes 5-9/12")),
        ("another unit", || part("\"v1\"", "bbbbb", "pages 5-9/10")),
        ("no Content-Range", || {
            Reply::text("bbbbb").status(206).header("etag", "\"v1\"")
        }),
        ("there is no such part", || {
            Reply::text("")
                .status(416)
                .header("content-range", "bytes */5")
        }),
        ("nothing changed", || {
            Reply::text("").status(304).header("etag", "\"v1\"")
        }),
    ];
    for (what, wrongly) in cases {
        let app = answering(wrongly);
        assert_eq!(range(&app, "bytes=0-4").await.text(), "aaaaa");
        let first = app.get("/").send().await;
        match first.status.as_u16() {
            200 => assert_eq!(first.text(), "bbbbbbbbbb", "{what}: asked again"),
            status => assert_eq!((status, first.text()), (502, ""), "{what}"),
        }
        for _ in 0..2 {
            let next = app.get("/").send().await;
            let given = (next.status.as_u16(), next.header("etag"), next.text());
            assert_eq!(given, (200, "\"v2\"", "bbbbbbbbbb"), "{what}");
        }
        assert_eq!(app.calls(), 3, "{what}");
        app.done().await;
    }
}

fn part(etag: &str, body: &'static str, range: &str) -> Reply {
    Reply::text(body)
        .status(206)
        .header("etag", etag)
        .header("content-range", range)
}

pub(crate) async fn sto_33_a_new_version_that_comes_in_full_is_the_answer() {
    let app = answering(|| Reply::text("bbbbbbbbbb").header("etag", "\"v2\""));
    assert_eq!(range(&app, "bytes=0-4").await.text(), "aaaaa");
    for _ in 0..2 {
        let whole = app.get("/").send().await;
        let given = (whole.status.as_u16(), whole.header("etag"), whole.text());
        assert_eq!(given, (200, "\"v2\"", "bbbbbbbbbb"));
    }
    assert_eq!(range(&app, "bytes=0-4").await.text(), "bbbbb");
    assert_eq!(app.calls(), 2);
    app.done().await;
}

pub(crate) async fn sto_33_an_error_in_place_of_the_missing_part_is_told_and_costs_nothing() {
    let app = answering(|| Reply::text("down").status(500));
    assert_eq!(range(&app, "bytes=0-4").await.text(), "aaaaa");
    let failed = app.get("/").send().await;
    assert_eq!((failed.status.as_u16(), failed.text()), (500, "down"));
    assert_eq!(
        range(&app, "bytes=0-4").await.text(),
        "aaaaa",
        "it is still fresh"
    );
    assert_eq!(app.calls(), 2);
    assert_eq!(app.get("/").send().await.text(), "bbbbbbbbbb");
    app.done().await;
}

pub(crate) async fn sto_35_every_part_passes_the_one_gate() {
    const COOKIE: &[(&str, &str)] = &[("cookie", "sid=alice")];
    const TOKEN: &[(&str, &str)] = &[("authorization", "alice")];
    const UNKEPT: &[(&str, &str)] = &[("cache-control", "no-store")];
    type Lines = &'static [(&'static str, &'static str)];
    let cases: [(Lines, Lines); 12] = [
        (&[("cache-control", "no-store")], &[]),
        (&[("cache-control", "private, max-age=60")], &[]),
        (
            &[("cache-control", "public"), ("cache-control", "PRIVATE")],
            &[],
        ),
        (
            &[
                ("cache-control", "public, max-age=60"),
                ("set-cookie", "sid=1"),
            ],
            &[],
        ),
        (
            &[("cache-control", "public, max-age=60"), ("vary", "*")],
            &[],
        ),
        (
            &[("cache-control", "public, max-age=60"), ("vary", "cookie")],
            &[],
        ),
        (
            &[
                ("cache-control", "public, max-age=60"),
                ("www-authenticate", "Basic"),
            ],
            &[],
        ),
        (
            &[
                ("cache-control", "public, max-age=60"),
                ("access-control-allow-origin", "https://a.test"),
            ],
            &[],
        ),
        (&[("cache-control", "max-age=60")], COOKIE),
        (&[("cache-control", "max-age=60")], TOKEN),
        (&[("cache-control", "max-age=60, x=\"")], &[]),
        (&[("cache-control", "public, max-age=60")], UNKEPT),
    ];
    for (response, request) in cases {
        let app = Site::replying(Policy::ttl(minutes(5)), move |ask| {
            let body = format!("{:0>10}", ask.call);
            Origin::of("\"v1\"", body).reply(&ask).headers(response)
        })
        .start();
        for call in ["1", "2", "3"] {
            let asked = app.get("/").header("range", "bytes=9-9");
            let asked = request
                .iter()
                .fold(asked, |asked, (name, value)| asked.header(name, value));
            let answer = asked.send().await;
            let given = (answer.status.as_u16(), answer.text());
            assert_eq!(given, (206, call), "{response:?} {request:?}");
            assert_eq!(app.stats().entries, 0, "{response:?} {request:?}");
        }
        let other = app.get("/").send().await;
        assert_eq!(other.text(), "0000000004", "{response:?} {request:?}");
        assert!(app.saw(4).is_plain(), "nothing of theirs is asked about");
        app.done().await;
    }
}

pub(crate) async fn sto_35_what_completes_a_part_may_forbid_to_keep_it() {
    for control in ["no-store", "private", "public, max-age=60, x=\""] {
        let origin = Origin::of("\"v1\"", TEN);
        let app = Site::replying(fields(), move |ask: Ask| {
            origin
                .reply(&ask)
                .control(if ask.call == 1 { FRESH } else { control })
        })
        .start();
        assert_eq!(range(&app, "bytes=0-4").await.text(), "01234");
        for call in [2, 3] {
            let whole = app.get("/").send().await;
            assert_eq!(
                (whole.status.as_u16(), whole.text()),
                (200, TEN),
                "{control}"
            );
            assert_eq!(whole.header("cache-control"), control);
            assert_eq!(app.calls(), call, "{control}");
        }
        app.done().await;
    }
}

pub(crate) async fn sto_35_a_part_that_nobody_asked_for_is_passed_on_and_not_stored() {
    for content_range in [
        "bytes 0-3/10",
        "bytes 4-7/10",
        "pages 0-3/10",
        "bytes 0-3/2",
        "",
    ] {
        let app = Site::replying(fields(), move |_| {
            let reply = Reply::text("0123").status(206).control(FRESH);
            reply
                .header("etag", "\"v1\"")
                .header("content-range", content_range)
        })
        .start();
        for call in 1..=2 {
            let answer = app.get("/").send().await;
            assert_eq!((answer.status.as_u16(), answer.text()), (206, "0123"));
            assert_eq!(
                (app.calls(), app.stats().entries),
                (call, 0),
                "{content_range}"
            );
        }
        app.done().await;
    }
}

pub(crate) async fn sto_35_a_part_of_another_length_than_it_says_is_not_stored() {
    for (body, content_range) in [
        ("012", "bytes 0-3/10"),
        ("01234", "bytes 0-3/10"),
        ("0123", "bytes 3-0/10"),
        ("0123", "bytes 0-3/3"),
        ("0123", "bytes */10"),
        ("0123", "bytes 18446744073709551613-18446744073709551616/*"),
    ] {
        for pieces in [false, true] {
            let app = Site::replying(fields(), move |_| {
                let reply = if pieces {
                    Reply::pieces(vec![Piece::data(body), Piece::Pause])
                } else {
                    Reply::text(body)
                };
                let reply = reply.status(206).control(FRESH).header("etag", "\"v1\"");
                reply.header("content-range", content_range)
            })
            .start();
            for call in 1..=2 {
                let answer = range(&app, "bytes=0-3").await;
                assert_eq!(answer.body, body.as_bytes(), "{content_range}: as it came");
                app.settled().await;
                assert_eq!(
                    (app.calls(), app.stats().entries),
                    (call, 0),
                    "{content_range}"
                );
            }
            app.done().await;
        }
    }
}

pub(crate) async fn sto_32_a_part_answers_nothing_that_asks_for_more() {
    let app = site(&Origin::of("\"v1\"", TEN), FRESH).start();
    assert_eq!(range(&app, "bytes=2-5").await.text(), "2345");
    for (asked, given) in [
        ("bytes=0-3", "0123"),
        ("bytes=4-7", "4567"),
        ("bytes=-3", "789"),
    ] {
        app.purger().all().await;
        assert_eq!(range(&app, "bytes=2-5").await.text(), "2345");
        let calls = app.calls();
        assert_eq!(range(&app, asked).await.text(), given, "{asked}");
        assert_eq!(app.calls(), calls + 1, "{asked}");
    }
    app.purger().all().await;
    assert_eq!(range(&app, "bytes=2-5").await.text(), "2345");
    let unsatisfied = range(&app, "bytes=10-").await;
    assert_eq!(unsatisfied.status.as_u16(), 416);
    assert_eq!(unsatisfied.header("content-range"), "bytes */10");
    let calls = app.calls();
    let head = app.head("/").send().await;
    assert_eq!(
        (head.status.as_u16(), head.header("content-length")),
        (200, "10")
    );
    assert_eq!(app.calls(), calls + 1, "a HEAD asks for the whole");
    let only = app.get("/").header("cache-control", "only-if-cached");
    assert_eq!(only.send().await.status.as_u16(), 504);
    app.done().await;
}

pub(crate) async fn sto_32_a_part_does_not_answer_a_condition_on_the_whole() {
    // RFC 9111 §4.3.2: conditions are evaluated for a request that what is stored can satisfy, and by
    // §3.3 a part satisfies none for the whole.
    let origin = Origin::of("\"v1\"", TEN);
    let app = site(&origin, FRESH).start();
    assert_eq!(range(&app, "bytes=2-5").await.text(), "2345");
    let conditional = app.get("/").header("if-none-match", "\"v1\"");
    assert_eq!(conditional.send().await.status.as_u16(), 304);
    assert_eq!(app.calls(), 2);
    assert_eq!(app.saw(2).header("if-none-match"), "\"v1\"");
    app.done().await;
}

pub(crate) async fn sto_32_a_range_of_something_stale_is_given_once_that_is_validated() {
    for (becomes, given) in [(None, "0123"), (Some("abcdefghij"), "abcd")] {
        let origin = Origin::of("\"v1\"", TEN);
        let app = site(&origin, FRESH).start();
        assert_eq!(app.get("/").send().await.text(), TEN);
        if let Some(body) = becomes {
            origin.becomes("\"v2\"", body);
        }
        pass(seconds(61)).await;
        let answer = range(&app, "bytes=0-3").await;
        let whole = becomes.unwrap_or(TEN);
        match answer.status.as_u16() {
            200 => assert_eq!(answer.text(), whole),
            _ => assert_eq!(parts(&answer)[0].bytes, given.as_bytes()),
        }
        let etag = if becomes.is_some() {
            "\"v2\""
        } else {
            "\"v1\""
        };
        assert_eq!((app.calls(), answer.header("etag")), (2, etag));
        assert_eq!(app.get("/").send().await.text(), whole);
        assert_eq!(app.calls(), 2, "and it is fresh again, all of it");
        app.done().await;
    }
}

pub(crate) async fn sto_33_a_stale_part_is_validated_before_it_is_used() {
    for becomes in [None, Some("abcdefghij")] {
        let origin = Origin::of("\"v1\"", TEN);
        let app = site(&origin, FRESH).start();
        assert_eq!(range(&app, "bytes=0-4").await.text(), "01234");
        if let Some(body) = becomes {
            origin.becomes("\"v2\"", body);
        }
        pass(seconds(61)).await;
        let whole = becomes.unwrap_or(TEN);
        let within = range(&app, "bytes=1-2").await;
        let etag = if becomes.is_some() {
            "\"v2\""
        } else {
            "\"v1\""
        };
        assert_eq!(within.header("etag"), etag);
        match within.status.as_u16() {
            200 => assert_eq!(within.text(), whole),
            _ => assert_eq!(within.text(), &whole[1..=2]),
        }
        assert_eq!(app.calls(), 2);
        let answer = app.get("/").send().await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, whole));
        app.done().await;
    }
}

/// A part is stored; what is missing of it then comes in these pieces, and after that all is well.
fn missing(pieces: Vec<Piece>) -> App {
    Site::replying(fields(), move |ask: Ask| {
        let origin = Origin::of("\"v1\"", TEN);
        if ask.call == 2 {
            assert_eq!(ask.header("range"), "bytes=4-9");
            let reply = Reply::pieces(pieces.clone()).status(206);
            let reply = reply.header("content-range", "bytes 4-9/10");
            reply.header("etag", "\"v1\"").control(FRESH)
        } else {
            origin.reply(&ask).control(FRESH)
        }
    })
    .start()
}

pub(crate) async fn sto_42_a_missing_part_that_breaks_off_or_goes_on_is_told_and_not_stored() {
    let data = |text: &'static str| Piece::data(text);
    for pieces in [
        vec![Piece::Fail],
        vec![data("45"), Piece::Fail],
        vec![data("456789"), Piece::Fail],
        vec![],
        vec![data("45678")],
        vec![data("456789X")],
        vec![data("4567"), data("89XYZ")],
        vec![data("456789"), data("0123456789")],
    ] {
        for paused in [false, true] {
            let mut pieces = pieces.clone();
            if paused {
                pieces.insert(0, Piece::Pause);
                pieces.insert(pieces.len() / 2, Piece::Pause);
            }
            let app = missing(pieces.clone());
            assert_eq!(range(&app, "bytes=0-3").await.text(), "0123");
            let cut = app.get("/").send().await;
            assert!(cut.failed || cut.status == 502, "{pieces:?}: {cut:?}");
            assert!(TEN.as_bytes().starts_with(&cut.body), "{pieces:?}: {cut:?}");
            app.settled().await;
            let next = app.get("/").send().await;
            assert_eq!(
                (next.status.as_u16(), next.text()),
                (200, TEN),
                "{pieces:?}"
            );
            assert_eq!(app.get("/").send().await.text(), TEN);
            assert_eq!(range(&app, "bytes=3-4").await.text(), "34");
            assert_eq!(app.calls(), 3, "{pieces:?}");
            app.done().await;
        }
    }
}

pub(crate) async fn asy_24_who_leaves_while_a_part_is_completed_leaves_the_whole_or_the_part() {
    for reads in 0..=4 {
        let mut pieces = vec![Piece::Pause];
        for byte in ["4", "5", "6", "7", "8", "9"] {
            pieces.extend([Piece::data(byte), Piece::Pause]);
        }
        let app = missing(pieces);
        assert_eq!(range(&app, "bytes=0-3").await.text(), "0123");
        let mut leaving = app.get("/").open().await;
        for _ in 0..reads {
            // A socket may bring several at once.
            let Some(data) = leaving.data().await else {
                break;
            };
            assert!(data.is_ok());
        }
        drop(leaving);
        app.settled().await;
        assert_eq!(app.get("/").send().await.text(), TEN, "after {reads}");
        assert!(app.calls() <= 3, "after {reads}: {}", app.calls());
        assert_eq!(range(&app, "bytes=0-9").await.text(), TEN);
        app.done().await;
    }
}

pub(crate) async fn asy_05_many_who_want_the_whole_complete_a_part_by_one_call() {
    let gate = Gate::closed();
    let app = missing(vec![
        Piece::data("45"),
        Piece::Until(gate.clone()),
        Piece::data("6789"),
    ]);
    assert_eq!(range(&app, "bytes=0-3").await.text(), "0123");
    let asking: Vec<_> = (0..50).map(|_| tokio::spawn(app.get("/").send())).collect();
    eventually("all are here", || app.stats().misses == 51).await;
    others_run().await;
    assert_eq!(
        range(&app, "bytes=1-2").await.text(),
        "12",
        "who wants a part need not wait"
    );
    gate.open();
    for answer in join_all(asking).await {
        let answer = answer.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text()), (200, TEN));
    }
    assert_eq!(app.calls(), 2);
    app.done().await;
}

pub(crate) async fn asy_05_when_completing_fails_those_who_wait_are_told_or_take_their_turn() {
    let gate = Gate::closed();
    let app = missing(vec![
        Piece::data("45"),
        Piece::Until(gate.clone()),
        Piece::Fail,
    ]);
    assert_eq!(range(&app, "bytes=0-3").await.text(), "0123");
    let asking: Vec<_> = (0..50).map(|_| tokio::spawn(app.get("/").send())).collect();
    eventually("all are here", || app.stats().misses == 51).await;
    others_run().await;
    gate.open();
    for answer in join_all(asking).await {
        let answer = answer.unwrap();
        let is_whole = !answer.failed && answer.body == TEN.as_bytes();
        assert!(
            is_whole || answer.failed || answer.status == 503,
            "{answer:?}"
        );
    }
    app.settled().await;
    assert_eq!(app.get("/").send().await.text(), TEN);
    assert!(app.calls() <= 3, "{}", app.calls());
    app.done().await;
}

pub(crate) async fn asy_05_ranges_asked_for_at_once_do_not_answer_each_other() {
    let app = Site::of(fields(), |ask: Ask| async move {
        tokio::time::sleep(seconds(1)).await;
        Origin::of("\"v1\"", TEN).reply(&ask).control(FRESH)
    })
    .start();
    let spans: Vec<(usize, usize)> = (0..10).flat_map(|a| (a..10).map(move |b| (a, b))).collect();
    let asking = spans.iter().map(|(first, last)| {
        let app = app.clone();
        let asked = format!("bytes={first}-{last}");
        tokio::spawn(async move { range(&app, &asked).await })
    });
    let plain = tokio::spawn(app.get("/").send());
    for ((first, last), answer) in spans.iter().zip(join_all(asking).await) {
        let answer = answer.unwrap();
        match answer.status.as_u16() {
            200 => assert_eq!(answer.text(), TEN),
            _ => assert_eq!(
                (answer.text(), parts(&answer).len()),
                (&TEN[*first..=*last], 1)
            ),
        }
    }
    assert_eq!(plain.await.unwrap().text(), TEN);
    app.settled().await;
    let calls = app.calls();
    assert_eq!(app.get("/").send().await.text(), TEN);
    assert_eq!(app.calls(), calls);
    app.done().await;
}

pub(crate) async fn sto_32_a_whole_too_large_to_keep_is_given_though_a_part_is_kept() {
    let settings = Settings {
        max_body: Some(1024),
        ..Settings::default()
    };
    let body = whole_of(4096);
    let app = site(&Origin::of("\"v1\"", body.clone()), FRESH)
        .settings(settings)
        .start();
    assert_eq!(range(&app, "bytes=0-99").await.text(), &body[..100]);
    for n in 0..40 {
        let (first, last) = (n * 100, n * 100 + 99);
        let answer = range(&app, &format!("bytes={first}-{last}")).await;
        assert_eq!(answer.text(), &body[first..=last]);
    }
    for _ in 0..2 {
        let whole = app.get("/").send().await;
        assert_eq!((whole.status.as_u16(), whole.text()), (200, &*body));
    }
    let stats = app.stats();
    assert!(stats.entries <= 1 && stats.bytes <= 4096, "{stats:?}");
    app.done().await;
}

pub(crate) async fn sto_32_a_purge_takes_the_parts_and_a_part_on_its_way_is_not_put_back() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::of(fields(), move |ask: Ask| {
        let gate = opened.clone();
        async move {
            let body = if ask.call <= 2 { TEN } else { "abcdefghij" };
            let etag = if ask.call <= 2 { "\"v1\"" } else { "\"v2\"" };
            if ask.call == 2 {
                gate.opened().await;
            }
            Origin::of(etag, body).reply(&ask).control(FRESH)
        }
    })
    .start();
    assert_eq!(range(&app, "bytes=0-3").await.text(), "0123");
    let early = app.clone();
    let early = tokio::spawn(async move { range(&early, "bytes=2-5").await });
    eventually("the second", || app.calls() == 2).await;
    app.purger().all().await;
    assert_eq!(range(&app, "bytes=0-3").await.text(), "abcd");
    gate.open();
    assert_eq!(early.await.unwrap().text(), "2345", "it asked before");
    app.settled().await;
    assert_eq!(range(&app, "bytes=0-3").await.text(), "abcd");
    assert_eq!(app.get("/").send().await.text(), "abcdefghij");
    app.done().await;
}

pub(crate) async fn sto_32_several_parts_of_the_origins_own_making_are_passed_on_and_not_stored() {
    const BODY: &str = "--B\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--B--\r\n";
    let app = Site::replying(fields(), |_| {
        Reply::text(BODY)
            .status(206)
            .control(FRESH)
            .header("etag", "\"v1\"")
            .header("content-type", "multipart/byteranges; boundary=B")
    })
    .start();
    for call in 1..=2 {
        let answer = range(&app, "bytes=0-1,4-5").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (206, BODY));
        assert_eq!((app.calls(), app.stats().entries), (call, 0));
    }
    app.done().await;
}

pub(crate) async fn sto_32_a_page_asked_for_in_hundreds_of_pieces_is_one_entry_of_its_size() {
    const LENGTH: usize = 8 * 1024;
    let body = whole_of(LENGTH);
    let app = site(&Origin::of("\"v1\"", body.clone()), FRESH).start();
    for step in [97, 89, 41] {
        for first in (0..LENGTH - 3).step_by(step) {
            let answer = range(&app, &format!("bytes={first}-{}", first + 2)).await;
            assert_eq!(
                (answer.status.as_u16(), answer.text()),
                (206, &body[first..first + 3])
            );
            let stats = app.stats();
            assert!(stats.entries <= 1 && stats.bytes <= 64 * 1024, "{stats:?}");
        }
    }
    assert_eq!(app.get("/").send().await.text(), body);
    let calls = app.calls();
    assert_eq!(range(&app, "bytes=0-8191").await.text(), body);
    assert_eq!(app.calls(), calls);
    app.done().await;
}

pub(crate) async fn sto_29_a_head_tells_of_a_stored_part_too() {
    for (etag, length, is_same) in [
        ("\"v1\"", 10, true),
        ("\"v1\"", 11, false),
        ("\"v2\"", 10, false),
    ] {
        let body = whole_of(length);
        let origin = Origin::of("\"v1\"", whole_of(10));
        let app = site(&origin, FRESH).start();
        assert_eq!(range(&app, "bytes=2-5").await.text(), "cdef");
        pass(seconds(61)).await;
        origin.becomes(etag, body.clone());
        let head = app.head("/").send().await;
        let told = (head.header("etag"), head.header("content-length"));
        assert_eq!((told, app.calls()), ((etag, &*length.to_string()), 2));
        let part = range(&app, "bytes=2-3").await;
        assert_eq!((part.status.as_u16(), part.text()), (206, "cd"));
        assert!(parts(&part)[0].is_of(body.as_bytes()));
        assert_eq!(
            (part.header("etag"), app.calls()),
            (etag, if is_same { 2 } else { 3 })
        );
        let whole = app.get("/").send().await;
        assert_eq!((whole.status.as_u16(), whole.text()), (200, &*body));
        app.done().await;
    }
}

pub(crate) async fn sto_33_a_part_that_must_be_validated_is_validated_each_time() {
    for control in ["no-cache", "max-age=0, must-revalidate"] {
        let origin = Origin::of("\"v1\"", TEN);
        let app = site(&origin, control).start();
        for call in 1..=3 {
            let answer = range(&app, "bytes=2-5").await;
            assert_eq!(
                (answer.status.as_u16(), answer.text()),
                (206, "2345"),
                "{control}"
            );
            assert_eq!(app.calls(), call, "{control}");
        }
        origin.becomes("\"v2\"", "abcdefghij");
        let answer = range(&app, "bytes=2-5").await;
        assert_eq!(answer.header("etag"), "\"v2\"", "{control}");
        match answer.status.as_u16() {
            200 => assert_eq!(answer.text(), "abcdefghij"),
            _ => assert_eq!(answer.text(), "cdef"),
        }
        let whole = app.get("/").send().await;
        assert_eq!(
            (whole.status.as_u16(), whole.text()),
            (200, "abcdefghij"),
            "{control}"
        );
        app.done().await;
    }
}

pub(crate) async fn asy_19_a_stale_part_is_refreshed_in_the_background_to_one_version() {
    for (etag, new) in [("\"v1\"", TEN), ("\"v2\"", "abcdefghij"), ("\"v2\"", "abc")] {
        let origin = Origin::of("\"v1\"", TEN);
        let app = site(&origin, "max-age=60, stale-while-revalidate=60").start();
        assert_eq!(range(&app, "bytes=0-3").await.text(), "0123");
        origin.becomes(etag, new);
        pass(seconds(61)).await;
        let stale = range(&app, "bytes=1-2").await;
        assert_eq!(
            (stale.status.as_u16(), stale.text()),
            (206, "12"),
            "at once"
        );
        eventually("the refresh", || app.calls() == 2).await;
        app.settled().await;
        let fresh = range(&app, "bytes=1-2").await;
        assert_eq!((fresh.text(), fresh.header("etag")), (&new[1..=2], etag));
        let whole = app.get("/").send().await;
        assert_eq!((whole.status.as_u16(), whole.text()), (200, new));
        assert_eq!(whole.header("etag"), etag);
        app.done().await;
    }
}
