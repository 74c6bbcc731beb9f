//! Ranges as clients ask for them and origins name them, and parts as they are put together.

use bytes::Bytes;
use cache_tower::http::range::{
    ContentRange, Multipart, Segments, Selection, Span, select, select_known,
};
use http::{HeaderMap, header};
use std::collections::BTreeSet;

use super::text::{BLANKS, first_and_rest, of, values};

/// A length, then lines of Range; each is read as a Content-Range too.
pub(crate) const SEEDS: &[&[u8]] = &[
    b"10\nbytes=0-3",
    b"10\nbytes=-3, 2-,, 5-6",
    b"0\nbytes=-0,-5",
    b"1000\nbytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20",
    b"18446744073709551615\nbytes=0-18446744073709551615,-18446744073709551615",
    b"7\nbytes 0-3/7\nbytes */7\nbytes 2-5/*",
];

pub(crate) const WORDS: &[&[u8]] = &[
    b"bytes=",
    b"bytes ",
    b"BYTES=",
    b"0-",
    b"-1",
    b"-0",
    b"0-0",
    b"1-1",
    b",",
    b", ",
    b"-",
    b"/",
    b"*/",
    b"/*",
    b"\n",
    b"=",
    b" ",
    b"\t",
    b"\"",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9",
    b"0",
];

/// Longer representations are not written out.
const SHORT: u64 = 1 << 12;

pub(crate) fn check(input: &[u8]) {
    let (length, lines) = first_and_rest(input, b'\n');
    let length = number(length);
    lines.split(|byte| *byte == b'\n').for_each(content_range);
    let request = of(&header::RANGE, &values(lines));
    let selection = select(&request, length);
    assert_eq!(
        select_known(&request, Some(length)),
        Some(selection.clone())
    );
    let spans = spans_of(&selection);
    lie_apart(&spans, length);
    if selection == Selection::Unsatisfiable {
        assert_eq!(select(&request, 0), selection, "less has none of it either");
    }
    let known = select_known(&request, None).map(|known| spans_of(&known));
    lie_apart(known.as_deref().unwrap_or_default(), u64::MAX);
    if length <= SHORT {
        is_what_was_asked_for(&request, &selection, length);
        if !spans.is_empty() {
            can_be_sent(&spans, length);
        }
    }
    segments(input);
}

fn number(digits: &[u8]) -> u64 {
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(10)
}

fn spans_of(selection: &Selection) -> Vec<Span> {
    match selection {
        Selection::Whole | Selection::Unsatisfiable => Vec::new(),
        Selection::Part(only) => vec![*only],
        Selection::Parts(parts) => {
            assert!(parts.len() >= 2);
            parts.clone()
        }
    }
}

/// They lie within the length, and neither overlap nor touch.
fn lie_apart(spans: &[Span], length: u64) {
    assert!(spans.len() <= 16);
    let mut ascending = spans.to_vec();
    ascending.sort_by_key(|span| span.first());
    assert!(
        ascending.is_sorted_by(|one, next| one.last() + 1 < next.first()),
        "{spans:?}"
    );
    for span in spans {
        assert!(span.first() <= span.last() && span.last() < length);
    }
}

fn offsets_of(span: &Span) -> std::ops::RangeInclusive<u64> {
    span.first()..=span.last()
}

/// By a reading as simple as can be.
fn is_what_was_asked_for(request: &HeaderMap, selection: &Selection, length: u64) {
    let mut lines = request.get_all(header::RANGE).iter();
    let asked = match (lines.next(), lines.next()) {
        (Some(only), None) => only.to_str().ok().and_then(|line| asked(line, length)),
        _ => None,
    };
    let Some(Asked { ranges, offsets }) = asked else {
        assert_eq!(*selection, Selection::Whole, "what is not read is ignored");
        return;
    };
    match selection {
        Selection::Whole => {
            let parts = offsets
                .iter()
                .filter(|offset| !offsets.contains(&(**offset + 1)));
            let repeats = ranges.iter().map(|range| range.len()).sum::<usize>() > offsets.len();
            let is_costly = ranges.len() > 128 || repeats || parts.count() > 16;
            assert!(length == 0 || is_costly || ranges.is_empty());
        }
        Selection::Unsatisfiable => assert!(offsets.is_empty()),
        Selection::Part(_) | Selection::Parts(_) => {
            let selected: BTreeSet<u64> = spans_of(selection).iter().flat_map(offsets_of).collect();
            assert_eq!(selected, offsets);
        }
    }
}

struct Asked {
    ranges: Vec<Vec<u64>>,
    offsets: BTreeSet<u64>,
}

fn asked(line: &str, length: u64) -> Option<Asked> {
    let line = line.trim_matches(BLANKS).to_ascii_lowercase();
    let members = line.strip_prefix("bytes=")?.split(',');
    let ranges: Option<Vec<Vec<u64>>> = members
        .map(|spec| spec.trim_matches(BLANKS))
        .filter(|spec| !spec.is_empty())
        .map(|spec| offsets(spec, length))
        .collect();
    let ranges = ranges?;
    let offsets = ranges.iter().flatten().copied().collect();
    Some(Asked { ranges, offsets })
}

fn offsets(spec: &str, length: u64) -> Option<Vec<u64>> {
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().unwrap_or(u64::MAX))
    };
    let (first, last) = spec.split_once('-')?;
    let (first, end) = match (first, last) {
        ("", suffix) => (length.saturating_sub(number(suffix)?), length),
        (first, "") => (number(first)?, length),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some((first, last.saturating_add(1).min(length)))?
        }
    };
    Some((first..end).collect())
}

fn content_range(line: &[u8]) {
    let Some(range) = ContentRange::parse(line) else {
        return;
    };
    assert_eq!(
        ContentRange::parse(range.to_value().as_bytes()),
        Some(range)
    );
    if let (Some(span), Some(complete)) = (range.span(), range.complete()) {
        assert!(span.last() < complete);
    }
}

/// What is selected can be sent in one body, and be read out of it again.
fn can_be_sent(spans: &[Span], length: u64) {
    let body: Bytes = (0..=u8::MAX).cycle().take(length as usize).collect();
    let (media_type, content) = Multipart {
        content_type: None,
        boundary: 7,
    }
    .write(spans, &Segments::whole(body.clone()))
    .expect("all of it is there");
    let media_type = media_type.to_str().expect("it is ASCII");
    let (_, boundary) = media_type
        .split_once("boundary=")
        .expect("it names its boundary");
    let mut rest = &*content;
    for span in spans {
        let range = ContentRange::Part {
            span: *span,
            complete: Some(length),
        };
        let head = format!("--{boundary}\r\nContent-Range: {range}\r\n\r\n");
        let part = span.of(&body).expect("it is within the body");
        for expected in [head.as_bytes(), &part, b"\r\n"] {
            rest = rest
                .strip_prefix(expected)
                .expect("each part comes in its turn");
        }
    }
    assert_eq!(rest, format!("--{boundary}--\r\n").as_bytes());
}

/// The places of the model.
const PLACES: usize = 1024;

/// Each four bytes put a few bytes somewhere; compared with a plain array of places.
fn segments(input: &[u8]) {
    let is_known = input.len().is_multiple_of(2);
    let mut held = Segments::new(is_known.then_some(PLACES as u64));
    let mut model = [None; PLACES];
    for step in input.chunks_exact(4) {
        let [place, length, byte, asked] = *step else {
            continue;
        };
        let first = usize::from(place) * 4;
        let bytes = vec![byte; usize::from(length % 64)];
        let end = first + bytes.len();
        let fits = end <= PLACES || bytes.is_empty();
        if !fits && !is_known {
            continue;
        }
        if held.insert(first as u64, Bytes::from(bytes)).is_ok() {
            assert!(fits);
            let places = model.iter_mut().take(end).skip(first);
            places.for_each(|place| *place = Some(byte));
        } else {
            assert!(!fits || runs(&model) >= 64);
        }
        let last = first + usize::from(asked % 64);
        holds_the_same(&held, &model, first, last);
    }
    assert_eq!(held.len(), model.iter().flatten().count() as u64);
    gap_is_what_is_missing(&held, &model);
}

/// How many pieces of bytes there are that do not touch.
fn runs(model: &[Option<u8>]) -> usize {
    let runs = model.chunk_by(|one, next| one.is_some() == next.is_some());
    runs.filter(|run| run.iter().all(Option::is_some)).count()
}

fn holds_the_same(held: &Segments, model: &[Option<u8>], first: usize, last: usize) {
    let places = model.iter().copied().chain(std::iter::repeat(None));
    let slice: Option<Vec<u8>> = places.take(last + 1).skip(first).collect();
    let span = Span::new(first as u64, last as u64).expect("in order");
    assert_eq!(held.slice(span).map(|pieces| pieces.concat()), slice);
    assert_eq!(held.covers(span), slice.is_some());
}

fn gap_is_what_is_missing(held: &Segments, model: &[Option<u8>]) {
    let whole: Option<Vec<u8>> = model.iter().copied().collect();
    let is_known = held.complete_length().is_some();
    assert_eq!(held.to_whole().map(Vec::from), whole.filter(|_| is_known));
    let missing: Vec<usize> = (0..)
        .zip(model)
        .filter(|(_, byte)| byte.is_none())
        .map(|(at, _)| at)
        .collect();
    let is_one = missing.is_sorted_by(|one, next| one + 1 == *next);
    let Some((before, after)) = held.around_gap() else {
        assert!(!is_known || missing.is_empty() || !is_one);
        return;
    };
    let gap = held.gap().expect("there is one");
    assert!(is_one && offsets_of(&gap).eq(missing.iter().map(|at| *at as u64)));
    let around: Vec<u8> = model.iter().flatten().copied().collect();
    assert_eq!([before.concat(), after.concat()].concat(), around);
}
