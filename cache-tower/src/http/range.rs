//! Range requests (RFC 9110 §14) and parts of a representation, as they are asked for, sent, and kept
//! (RFC 9111 §3.3, §3.4).

use super::text::{digits, members, trim};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use std::{fmt, iter};

/// A Range of more members than this is ignored.
const MOST_ASKED: usize = 128;
/// So is one that comes to more parts than this.
const MOST_PARTS: usize = 16;
/// So many pieces a partial representation may be stored in.
const MOST_PIECES: usize = 64;

/// Consecutive bytes of a representation, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    first: u64,
    /// Less than `u64::MAX`: so there is a next one, and their number is a number.
    last: u64,
}

impl Span {
    /// The bytes from offset `first` to offset `last`, both included; `None` where that is none, or
    /// beyond what 64 bits can count.
    pub fn new(first: u64, last: u64) -> Option<Self> {
        (first <= last && last < u64::MAX).then_some(Self { first, last })
    }

    /// `length` bytes from offset `first` on.
    fn starting(first: u64, length: u64) -> Option<Self> {
        Self::new(first, first.checked_add(length.checked_sub(1)?)?)
    }

    /// The offset of the first byte.
    pub fn first(self) -> u64 {
        self.first
    }

    /// The offset of the last byte.
    pub fn last(self) -> u64 {
        self.last
    }

    /// How many bytes there are.
    pub fn length(self) -> u64 {
        self.last - self.first + 1
    }

    /// These bytes of a whole body, which are not copied; `None` where it ends before them.
    pub fn of(self, body: &Bytes) -> Option<Bytes> {
        let first = usize::try_from(self.first).ok()?;
        let last = usize::try_from(self.last).ok()?;
        (last < body.len()).then(|| body.slice(first..=last))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// What a request asks for of a representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of it: a 200.
    Whole,
    /// One part: a 206.
    Part(Span),
    /// Several, which neither overlap nor touch: a 206 in [`Multipart`].
    Parts(Vec<Span>),
    /// None of what it has: a 416.
    Unsatisfiable,
}

/// What a GET asks for of a representation of `length` bytes (RFC 9110 §14.2).
///
/// A Range that is not understood is ignored: one of several lines, of another unit, or malformed.
///
/// Ranges that overlap or touch become one part, in the place of the first of them; otherwise the
/// order is that of the request. Asking for more bytes than there are, counting what is asked for
/// twice, for more than 128 ranges, or for more than 16 parts gets the whole, which is less work than
/// the parts would be (§14.2 allows it, §17.15 advises it). So does the end of what is empty: it can
/// be satisfied, but no Content-Range can say how.
pub fn select(request: &HeaderMap, length: u64) -> Selection {
    asked(request).map_or(Selection::Whole, |asked| resolve(&asked, length))
}

/// The same for a representation of which only parts are stored, and maybe not how long it is.
///
/// Without the length, ranges without an end and those from the end cannot be told, which is `None`.
/// So are too many parts: [`select`] gives the whole in their place, which is not there.
pub fn select_known(request: &HeaderMap, complete: Option<u64>) -> Option<Selection> {
    if let Some(length) = complete {
        return Some(select(request, length));
    }
    let Some(asked) = asked(request) else {
        return Some(Selection::Whole);
    };
    let is_closed = |spec: &Spec| matches!(spec, Spec::Closed { .. });
    if !asked.iter().all(is_closed) {
        return None;
    }
    match resolve(&asked, u64::MAX) {
        Selection::Whole | Selection::Unsatisfiable => None,
        parts => Some(parts),
    }
}

/// One `range-spec` of bytes (RFC 9110 §14.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spec {
    Closed { first: u64, last: u64 },
    From(u64),
    Suffix(u64),
}

impl Spec {
    fn parse(spec: &[u8]) -> Option<Self> {
        match split(spec, b'-')? {
            (b"", length) => digits(length).map(Self::Suffix),
            (first, b"") => digits(first).map(Self::From),
            (first, last) => {
                let (first, last) = (digits(first)?, digits(last)?);
                (first <= last).then_some(Self::Closed { first, last })
            }
        }
    }

    /// Those bytes of `length` that it means; `None` where it is unsatisfiable.
    fn within(self, length: u64) -> Option<Span> {
        let end = length.checked_sub(1)?;
        match self {
            Self::Closed { first, last } => Span::new(first, last.min(end)),
            Self::From(first) => Span::new(first, end),
            Self::Suffix(0) => None,
            Self::Suffix(suffix) => Span::new(length.saturating_sub(suffix), end),
        }
    }
}

/// The set of ranges that the request asks for; `None` where there is no Range that counts.
fn asked(request: &HeaderMap) -> Option<Vec<Spec>> {
    let mut lines = request.get_all(header::RANGE).iter();
    let (Some(only), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let (unit, set) = split(trim(only.as_bytes()), b'=')?;
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    // What lies beyond the limit need not be looked at.
    let specs: Option<Vec<Spec>> = members(set, b',')
        .take(MOST_ASKED + 1)
        .map(|spec| Spec::parse(spec?))
        .collect();
    specs.filter(|specs| (1..=MOST_ASKED).contains(&specs.len()))
}

fn resolve(asked: &[Spec], length: u64) -> Selection {
    let is_suffix = |spec: &Spec| matches!(spec, Spec::Suffix(1..));
    if length == 0 && asked.iter().any(is_suffix) {
        return Selection::Whole;
    }
    let spans: Vec<Span> = asked
        .iter()
        .filter_map(|spec| spec.within(length))
        .collect();
    let bytes = spans.iter().map(|span| span.length());
    if bytes.fold(0, u64::saturating_add) > length {
        return Selection::Whole;
    }
    let parts = coalesced(&spans);
    match parts.as_slice() {
        [] => Selection::Unsatisfiable,
        [only] => Selection::Part(*only),
        parts if parts.len() > MOST_PARTS => Selection::Whole,
        _ => Selection::Parts(parts),
    }
}

/// Joins what overlaps or touches, in the order in which each part is first asked for.
fn coalesced(asked: &[Span]) -> Vec<Span> {
    let mut ascending: Vec<(usize, Span)> = asked.iter().copied().enumerate().collect();
    ascending.sort_unstable_by_key(|(_, span)| span.first);
    let mut parts: Vec<(usize, Span)> = Vec::new();
    for (place, span) in ascending {
        match parts.last_mut() {
            Some((earliest, part)) if span.first <= part.last + 1 => {
                part.last = part.last.max(span.last);
                *earliest = place.min(*earliest);
            }
            _ => parts.push((place, span)),
        }
    }
    parts.sort_unstable_by_key(|(place, _)| *place);
    parts.into_iter().map(|(_, part)| part).collect()
}

/// What lies before the first `at` and after it.
fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let mut halves = text.splitn(2, |byte| *byte == at);
    Some((halves.next()?, halves.next()?))
}

/// A Content-Range of bytes (RFC 9110 §14.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentRange {
    /// Which part the content is.
    Part {
        /// Its bytes. They end before the `complete` length.
        span: Span,
        /// How long the representation is, in bytes, where that is known.
        complete: Option<u64>,
    },
    /// That there is no such part (416).
    Unsatisfied {
        /// How long the representation is, in bytes.
        complete: u64,
    },
}

impl ContentRange {
    /// Reads the value of the field. `None` for other units, and for what is invalid: such content
    /// must not be combined with anything.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (unit, range) = split(value, b' ')?;
        let (range, complete) = split(range, b'/')?;
        if !unit.eq_ignore_ascii_case(b"bytes") {
            return None;
        }
        if range == b"*" {
            let complete = offset(complete)?;
            return Some(Self::Unsatisfied { complete });
        }
        let (first, last) = split(range, b'-')?;
        let span = Span::new(offset(first)?, offset(last)?)?;
        let complete = match complete {
            b"*" => None,
            length => Some(offset(length).filter(|length| span.last < *length)?),
        };
        Some(Self::Part { span, complete })
    }

    /// Which part it names.
    pub fn span(self) -> Option<Span> {
        match self {
            Self::Part { span, .. } => Some(span),
            Self::Unsatisfied { .. } => None,
        }
    }

    /// How long the whole representation is, in bytes.
    pub fn complete(self) -> Option<u64> {
        match self {
            Self::Part { complete, .. } => complete,
            Self::Unsatisfied { complete } => Some(complete),
        }
    }

    /// The value of the field.
    pub fn to_value(self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).expect("digits and marks of ASCII")
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part {
                span,
                complete: Some(complete),
            } => write!(f, "bytes {span}/{complete}"),
            Self::Part {
                span,
                complete: None,
            } => write!(f, "bytes {span}/*"),
            Self::Unsatisfied { complete } => write!(f, "bytes */{complete}"),
        }
    }
}

/// A number as it is: one too great to be counted with is no offset, where a saturated one would be a
/// wrong one.
fn offset(text: &[u8]) -> Option<u64> {
    digits(text).filter(|number| *number < u64::MAX)
}

/// Writes several parts as one content (RFC 9110 §14.6, §15.3.7.2).
#[derive(Debug, Clone, Copy)]
pub struct Multipart<'a> {
    /// The Content-Type that the whole representation has.
    pub content_type: Option<&'a HeaderValue>,
    /// 128 random bits, never used before, so that no body can hold the boundary they make.
    pub boundary: u128,
}

impl Multipart<'_> {
    /// The Content-Type of the response, and its content: these spans of `body`. `None` where one of
    /// them is not there.
    ///
    /// The response has no Content-Range of its own.
    pub fn write(&self, spans: &[Span], body: &Segments) -> Option<(HeaderValue, Bytes)> {
        let mut content = Vec::new();
        for span in spans {
            self.write_head(*span, body.complete_length(), &mut content);
            for bytes in body.slice(*span)? {
                content.extend_from_slice(&bytes);
            }
            content.extend_from_slice(b"\r\n");
        }
        content.extend_from_slice(format!("--{:032x}--\r\n", self.boundary).as_bytes());
        Some((self.media_type(), content.into()))
    }

    fn write_head(&self, span: Span, complete: Option<u64>, content: &mut Vec<u8>) {
        content.extend_from_slice(format!("--{:032x}\r\n", self.boundary).as_bytes());
        if let Some(content_type) = self.content_type {
            content.extend_from_slice(b"Content-Type: ");
            content.extend_from_slice(content_type.as_bytes());
            content.extend_from_slice(b"\r\n");
        }
        let range = ContentRange::Part { span, complete };
        content.extend_from_slice(format!("Content-Range: {range}\r\n\r\n").as_bytes());
    }

    /// Without quotes around the boundary, which some clients do not take away (RFC 9110 §14.6).
    fn media_type(&self) -> HeaderValue {
        let value = format!("multipart/byteranges; boundary={:032x}", self.boundary);
        HeaderValue::try_from(value).expect("letters and marks of ASCII")
    }
}

/// The parts that are held of one representation.
///
/// Whoever puts them together answers for it that they share a strong validator (RFC 9111 §3.4).
///
/// It holds at most 64 pieces, and no more memory than twice the bytes that it counts, if the bytes
/// it is given do not keep more alive themselves. Give it whole parts: each 64th piece costs a copy.
#[derive(Debug, Clone, Default)]
pub struct Segments {
    /// In order, not empty, not overlapping, within the complete length.
    pieces: Vec<Piece>,
    complete: Option<u64>,
}

/// Why a part is not taken in. What is held is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It lies beyond the complete length, or beyond what 64 bits can count.
    BeyondEnd,
    /// It would leave more pieces than are kept.
    TooManyPieces,
    /// It is not as long as it says.
    WrongLength,
    /// It says that the representation is of another length than is known, or shorter than what is
    /// held of it.
    OtherRepresentation,
}

impl Refused {
    /// The reason, as words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeyondEnd => "beyond the end",
            Self::TooManyPieces => "too many pieces",
            Self::WrongLength => "wrong length",
            Self::OtherRepresentation => "other representation",
        }
    }
}

#[derive(Debug, Clone)]
struct Piece {
    first: u64,
    bytes: Bytes,
    /// How many bytes are kept alive for these.
    alive: usize,
}

impl Piece {
    fn new(first: u64, bytes: Bytes) -> Self {
        let alive = bytes.len();
        Self {
            first,
            bytes,
            alive,
        }
    }

    /// The offset after its last byte.
    fn end(&self) -> u64 {
        self.first + size(&self.bytes)
    }

    /// What of it lies from offset `from` to before offset `to`.
    fn between(&self, from: u64, to: u64) -> Option<Self> {
        let first = from.max(self.first);
        let to = to.min(self.end());
        let span = Span::starting(first - self.first, to.checked_sub(first)?)?;
        Some(Self {
            first,
            bytes: span.of(&self.bytes)?,
            alive: self.alive,
        })
    }

    /// Lets go of what it keeps alive, where that is more than twice what it needs.
    fn released(self) -> Self {
        if self.bytes.len().saturating_mul(2) >= self.alive {
            return self;
        }
        Self::new(self.first, Bytes::copy_from_slice(&self.bytes))
    }
}

fn size(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl Segments {
    /// Nothing yet of a representation of this many bytes, where that is known.
    pub fn new(complete: Option<u64>) -> Self {
        Self {
            pieces: Vec::new(),
            complete,
        }
    }

    /// All of a representation.
    pub fn whole(body: Bytes) -> Self {
        let complete = Some(size(&body));
        let pieces = if body.is_empty() {
            Vec::new()
        } else {
            vec![Piece::new(0, body)]
        };
        Self { pieces, complete }
    }

    /// Takes in the content of a 206 with this Content-Range.
    ///
    /// # Errors
    ///
    /// Where the two do not fit each other, or what is known already.
    pub fn combine(&mut self, range: ContentRange, content: Bytes) -> Result<(), Refused> {
        let span = range.span().ok_or(Refused::WrongLength)?;
        if span.length() != size(&content) {
            return Err(Refused::WrongLength);
        }
        let complete = range.complete().or(self.complete);
        if self.complete.is_some() && self.complete != complete {
            return Err(Refused::OtherRepresentation);
        }
        if complete.is_some_and(|length| length < self.end()) {
            return Err(Refused::OtherRepresentation);
        }
        let before = std::mem::replace(&mut self.complete, complete);
        self.insert(span.first, content)
            .inspect_err(|_| self.complete = before)
    }

    /// Takes in bytes from offset `first` on. They replace what is held of the same offsets.
    ///
    /// # Errors
    ///
    /// Where they lie beyond the end, or there would be too many pieces.
    pub fn insert(&mut self, first: u64, bytes: Bytes) -> Result<(), Refused> {
        if bytes.is_empty() {
            return Ok(());
        }
        let span = Span::starting(first, size(&bytes)).ok_or(Refused::BeyondEnd)?;
        let next = span.last + 1;
        if self.complete.is_some_and(|length| next > length) {
            return Err(Refused::BeyondEnd);
        }
        let before = self.pieces.iter().filter_map(|p| p.between(0, first));
        let after = self.pieces.iter().filter_map(|p| p.between(next, u64::MAX));
        let new = iter::once(Piece::new(first, bytes));
        let pieces = before.chain(new).chain(after).collect();
        self.pieces = fitted(pieces).ok_or(Refused::TooManyPieces)?;
        Ok(())
    }

    /// How long the representation is, in bytes, where that is known.
    pub fn complete_length(&self) -> Option<u64> {
        self.complete
    }

    /// How many bytes are held.
    pub fn len(&self) -> u64 {
        self.pieces.iter().map(|piece| size(&piece.bytes)).sum()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether all of the representation is held.
    pub fn is_complete(&self) -> bool {
        self.complete == Some(self.len())
    }

    /// The representation as one, where all of it is held.
    pub fn to_whole(&self) -> Option<Bytes> {
        self.is_complete().then(|| concatenated(&self.pieces))
    }

    /// Whether all of these bytes are held.
    pub fn covers(&self, span: Span) -> bool {
        let reach = |next: u64, piece: &Piece| {
            if piece.first <= next {
                next.max(piece.end())
            } else {
                next
            }
        };
        self.pieces.iter().fold(span.first, reach) > span.last
    }

    /// These bytes, in pieces that are not copied; `None` where some are missing.
    pub fn slice(&self, span: Span) -> Option<Vec<Bytes>> {
        self.covers(span)
            .then(|| self.between(span.first, span.last + 1))
    }

    /// What is missing, where that is known and in one place.
    pub fn gap(&self) -> Option<Span> {
        let complete = self.complete?;
        let ends = iter::once(0).chain(self.pieces.iter().map(Piece::end));
        let firsts = self.pieces.iter().map(|piece| piece.first);
        let starts = firsts.chain(iter::once(complete));
        let mut gaps = ends
            .zip(starts)
            .filter_map(|(end, start)| Span::new(end, start.checked_sub(1)?));
        let gap = gaps.next()?;
        gaps.next().is_none().then_some(gap)
    }

    /// What lies before the [`gap`](Self::gap), and what after it, in pieces that are not copied.
    pub fn around_gap(&self) -> Option<(Vec<Bytes>, Vec<Bytes>)> {
        let gap = self.gap()?;
        let before = self.between(0, gap.first);
        let after = self.between(gap.last + 1, u64::MAX);
        Some((before, after))
    }

    /// The offset after the last byte that is held.
    fn end(&self) -> u64 {
        self.pieces.last().map_or(0, Piece::end)
    }

    fn between(&self, from: u64, to: u64) -> Vec<Bytes> {
        let parts = self.pieces.iter().filter_map(|p| p.between(from, to));
        parts.map(|part| part.bytes).collect()
    }
}

/// The pieces, made fewer where they are too many; `None` where they lie too far apart for that.
fn fitted(mut pieces: Vec<Piece>) -> Option<Vec<Piece>> {
    if pieces.len() > MOST_PIECES {
        let runs = pieces.chunk_by(|piece, next| piece.end() == next.first);
        pieces = runs.filter_map(joined).collect();
    }
    let fits = pieces.len() <= MOST_PIECES;
    fits.then(|| pieces.into_iter().map(Piece::released).collect())
}

/// One piece of several that touch.
fn joined(run: &[Piece]) -> Option<Piece> {
    match run {
        [only] => Some(only.clone()),
        run => Some(Piece::new(run.first()?.first, concatenated(run))),
    }
}

/// The bytes of all pieces. One alone is not copied.
fn concatenated(pieces: &[Piece]) -> Bytes {
    match pieces {
        [only] => only.bytes.clone(),
        pieces => {
            let bytes: Vec<&[u8]> = pieces.iter().map(|piece| &*piece.bytes).collect();
            bytes.concat().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(lines: &[&str]) -> HeaderMap {
        let line = |line: &&str| (header::RANGE, HeaderValue::try_from(*line).unwrap());
        lines.iter().map(line).collect()
    }

    fn span(first: u64, last: u64) -> Span {
        Span::new(first, last).unwrap()
    }

    fn part(first: u64, last: u64) -> Selection {
        Selection::Part(span(first, last))
    }

    fn parts(parts: &[(u64, u64)]) -> Selection {
        Selection::Parts(
            parts
                .iter()
                .map(|(first, last)| span(*first, *last))
                .collect(),
        )
    }

    fn of_ten(range: &str) -> Selection {
        select(&map(&[range]), 10)
    }

    #[test]
    fn one_range_is_one_part() {
        assert_eq!(of_ten("bytes=0-3"), part(0, 3));
        assert_eq!(of_ten("bytes=0-0"), part(0, 0));
        assert_eq!(of_ten("bytes=4-"), part(4, 9));
        assert_eq!(of_ten("bytes=4-9"), part(4, 9));
        assert_eq!(of_ten("bytes=4-10"), part(4, 9));
        assert_eq!(of_ten("bytes=-4"), part(6, 9));
        assert_eq!(of_ten("bytes=-10"), part(0, 9));
        assert_eq!(of_ten("bytes=-11"), part(0, 9));
        assert_eq!(of_ten("bytes=000000000000000000000000001-2"), part(1, 2));
        assert_eq!(of_ten("BYTES= 0-3"), part(0, 3));
        assert_eq!(of_ten("bytes=,, 0-3\t ,"), part(0, 3));
    }

    #[test]
    fn what_is_not_understood_is_ignored() {
        assert_eq!(select(&map(&[]), 10), Selection::Whole);
        assert_eq!(
            select(&map(&["bytes=0-3", "bytes=0-3"]), 10),
            Selection::Whole
        );
        for ignored in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes 0-3",
            "bytes =0-3",
            "0-3",
            "=0-3",
            "lines=0-3",
            "bytes=3-2",
            "bytes=0-3,3-2",
            "bytes=0-3,x",
            "bytes=x",
            "bytes=-",
            "bytes=--3",
            "bytes=0--3",
            "bytes=0-3-",
            "bytes=0 - 3",
            "bytes=+0-3",
            "bytes=0x0-3",
            "bytes=0-3;1-2",
            "bytes=\"0-3\"",
            "bytes=0-3,\"",
            "bytes=1.0-3",
            "bytes=bytes=0-3",
        ] {
            assert_eq!(of_ten(ignored), Selection::Whole, "{ignored}");
        }
    }

    #[test]
    fn what_cannot_be_satisfied_is_left_out_and_alone_is_refused() {
        for refused in [
            "bytes=10-",
            "bytes=10-20",
            "bytes=-0",
            "bytes=-0,10-",
            "bytes=18446744073709551615-",
            "bytes=99999999999999999999-99999999999999999999",
        ] {
            assert_eq!(of_ten(refused), Selection::Unsatisfiable, "{refused}");
        }
        assert_eq!(of_ten("bytes=10-,2-3,-0"), part(2, 3));
        assert_eq!(of_ten("bytes=2-99999999999999999999"), part(2, 9));
        assert_eq!(of_ten("bytes=-99999999999999999999"), part(0, 9));
    }

    #[test]
    fn of_nothing_only_the_end_can_be_had() {
        let of_none = |range| select(&map(&[range]), 0);
        assert_eq!(of_none("bytes=0-"), Selection::Unsatisfiable);
        assert_eq!(of_none("bytes=0-0"), Selection::Unsatisfiable);
        assert_eq!(of_none("bytes=-0"), Selection::Unsatisfiable);
        assert_eq!(of_none("bytes=-1"), Selection::Whole);
        assert_eq!(of_none("bytes=0-,-5"), Selection::Whole);
    }

    #[test]
    fn parts_keep_their_order_and_join_where_they_touch() {
        assert_eq!(of_ten("bytes=0-0,-1"), parts(&[(0, 0), (9, 9)]));
        assert_eq!(of_ten("bytes=8-9, 0-1"), parts(&[(8, 9), (0, 1)]));
        assert_eq!(of_ten("bytes=0-3,4-6"), part(0, 6));
        assert_eq!(of_ten("bytes=4-6,0-3"), part(0, 6));
        assert_eq!(of_ten("bytes=0-3,2-6"), part(0, 6));
        assert_eq!(of_ten("bytes=8-9,0-1,1-2"), parts(&[(8, 9), (0, 2)]));
        assert_eq!(of_ten("bytes=2-3,8-8,0-1"), parts(&[(0, 3), (8, 8)]));
    }

    #[test]
    fn sto_32_asking_for_more_than_there_is_gets_the_whole() {
        assert_eq!(of_ten("bytes=0-5,4-9"), Selection::Whole);
        assert_eq!(of_ten("bytes=0-,0-"), Selection::Whole);
        let every_other = |parts: u64| {
            let ranges: Vec<String> = (0..parts).map(|n| format!("{0}-{0}", n * 2)).collect();
            select(&map(&[&format!("bytes={}", ranges.join(","))]), 1000)
        };
        assert!(matches!(every_other(16), Selection::Parts(parts) if parts.len() == 16));
        assert_eq!(every_other(17), Selection::Whole);
        let thousands = format!("bytes={}", "0-,".repeat(20_000));
        assert_eq!(of_ten(&thousands), Selection::Whole);
        let adjacent: Vec<String> = (0..128).map(|n| format!("{n}-{n}")).collect();
        let adjacent = format!("bytes={}", adjacent.join(","));
        assert_eq!(select(&map(&[&adjacent]), 1000), part(0, 127));
        let one_more = format!("{adjacent},128-128");
        assert_eq!(select(&map(&[&one_more]), 1000), Selection::Whole);
    }

    #[test]
    fn of_an_unknown_length_only_closed_ranges_are_known() {
        let known = |range: &str| select_known(&map(&[range]), None);
        assert_eq!(known("bytes=0-3"), Some(part(0, 3)));
        assert_eq!(known("bytes=8-9,0-3"), Some(parts(&[(8, 9), (0, 3)])));
        assert_eq!(known("bytes=0-3,0-3"), Some(part(0, 3)));
        assert_eq!(known("lines=1"), Some(Selection::Whole));
        for unknown in [
            "bytes=4-",
            "bytes=-4",
            "bytes=0-3,-1",
            "bytes=-0",
            "bytes=18446744073709551615-18446744073709551615",
        ] {
            assert_eq!(known(unknown), None, "{unknown}");
        }
        let of_ten = select_known(&map(&["bytes=-4"]), Some(10));
        assert_eq!(of_ten, Some(part(6, 9)));
    }

    #[test]
    fn content_ranges_are_read_strictly_and_written_alike() {
        for (text, range) in [
            (
                "bytes 0-3/10",
                ContentRange::Part {
                    span: span(0, 3),
                    complete: Some(10),
                },
            ),
            (
                "bytes 9-9/*",
                ContentRange::Part {
                    span: span(9, 9),
                    complete: None,
                },
            ),
            ("bytes */0", ContentRange::Unsatisfied { complete: 0 }),
        ] {
            assert_eq!(ContentRange::parse(text.as_bytes()), Some(range));
            assert_eq!(range.to_value(), text);
        }
        let range = ContentRange::parse(b"BYTES 0-3/10").unwrap();
        assert_eq!(
            (range.span(), range.complete()),
            (Some(span(0, 3)), Some(10))
        );
        for invalid in [
            "",
            "bytes",
            "bytes 0-3",
            "bytes=0-3/10",
            "bytes  0-3/10",
            "bytes 0-3 /10",
            "bytes 3-0/10",
            "bytes 0-10/10",
            "bytes 0-3/3",
            "bytes 0-3/",
            "bytes -3/10",
            "bytes 0-/10",
            "bytes */*",
            "bytes *",
            "bytes */x",
            "lines 0-3/10",
            "bytes 0-3/10/10",
            "bytes 0-3/10 ",
            " bytes 0-3/10",
            "bytes 0-18446744073709551615/*",
            "bytes 0-3/18446744073709551615",
            "bytes 0-3/99999999999999999999",
            "bytes 99999999999999999998-99999999999999999999/*",
            "bytes 0-3/10, bytes 0-3/10",
        ] {
            assert_eq!(ContentRange::parse(invalid.as_bytes()), None, "{invalid}");
        }
    }

    #[test]
    fn a_multipart_content_has_its_lines_exactly() {
        let body = Segments::whole(Bytes::from_static(b"0123456789"));
        let text = HeaderValue::from_static("text/plain");
        let multipart = Multipart {
            content_type: Some(&text),
            boundary: 0xab,
        };
        let (content_type, content) = multipart.write(&[span(8, 9), span(0, 1)], &body).unwrap();
        assert_eq!(
            content_type,
            "multipart/byteranges; boundary=000000000000000000000000000000ab"
        );
        let expected = "--000000000000000000000000000000ab\r\n\
            Content-Type: text/plain\r\n\
            Content-Range: bytes 8-9/10\r\n\
            \r\n\
            89\r\n\
            --000000000000000000000000000000ab\r\n\
            Content-Type: text/plain\r\n\
            Content-Range: bytes 0-1/10\r\n\
            \r\n\
            01\r\n\
            --000000000000000000000000000000ab--\r\n";
        assert_eq!(content, expected);
        assert_eq!(multipart.write(&[span(8, 10)], &body), None);
    }

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn joined(pieces: &[Bytes]) -> Vec<u8> {
        pieces.concat()
    }

    #[test]
    fn parts_come_together_and_the_newest_bytes_win() {
        let mut held = Segments::new(Some(10));
        held.insert(0, bytes("aaaa")).unwrap();
        held.insert(8, bytes("bb")).unwrap();
        assert_eq!((held.len(), held.is_complete()), (6, false));
        assert_eq!(held.gap(), Some(span(4, 7)));
        let (before, after) = held.around_gap().unwrap();
        assert_eq!(
            (joined(&before), joined(&after)),
            (b"aaaa".to_vec(), b"bb".to_vec())
        );
        assert!(!held.covers(span(3, 4)) && held.covers(span(8, 9)));
        assert_eq!(held.slice(span(3, 8)), None);
        held.insert(3, bytes("CCCCCC")).unwrap();
        assert!(held.is_complete());
        assert_eq!(held.gap(), None);
        assert_eq!(held.to_whole().unwrap(), "aaaCCCCCCb");
        assert_eq!(joined(&held.slice(span(2, 3)).unwrap()), b"aC");
    }

    #[test]
    fn a_gap_is_told_only_where_it_is_the_only_one() {
        let mut held = Segments::new(Some(10));
        assert_eq!(held.gap(), Some(span(0, 9)));
        held.insert(4, bytes("x")).unwrap();
        assert_eq!(held.gap(), None, "two");
        held.insert(5, bytes("yyyyy")).unwrap();
        assert_eq!(held.gap(), Some(span(0, 3)));
        let mut endless = Segments::new(None);
        endless.insert(0, bytes("x")).unwrap();
        assert_eq!((endless.gap(), endless.is_complete()), (None, false));
        let none = Segments::new(Some(0));
        assert_eq!((none.gap(), none.is_complete()), (None, true));
        assert_eq!(none.to_whole().unwrap(), "");
        assert!(Segments::whole(Bytes::new()).is_complete());
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let range = |text: &str| ContentRange::parse(text.as_bytes()).unwrap();
        let mut held = Segments::new(None);
        held.combine(range("bytes 2-4/*"), bytes("abc")).unwrap();
        assert_eq!(held.complete_length(), None);
        let refused = |held: &mut Segments, text, content| {
            let before = (held.len(), held.complete_length());
            let refused = held.combine(range(text), bytes(content)).unwrap_err();
            assert_eq!((held.len(), held.complete_length()), before);
            refused
        };
        assert_eq!(
            refused(&mut held, "bytes 0-1/4", "xy"),
            Refused::OtherRepresentation
        );
        assert_eq!(
            refused(&mut held, "bytes 0-1/9", "xyz"),
            Refused::WrongLength
        );
        assert_eq!(refused(&mut held, "bytes */9", ""), Refused::WrongLength);
        let mut shorter = held.clone();
        shorter.combine(range("bytes 0-1/5"), bytes("xy")).unwrap();
        assert!(shorter.is_complete());
        held.combine(range("bytes 0-1/6"), bytes("xy")).unwrap();
        assert_eq!(
            refused(&mut held, "bytes 5-5/7", "z"),
            Refused::OtherRepresentation
        );
        assert_eq!(refused(&mut held, "bytes 5-6/*", "zz"), Refused::BeyondEnd);
        held.combine(range("bytes 5-5/*"), bytes("z")).unwrap();
        assert_eq!(held.to_whole().unwrap(), "xyabcz");
        let mut far = Segments::new(None);
        assert_eq!(far.insert(u64::MAX, bytes("x")), Err(Refused::BeyondEnd));
        assert_eq!(
            far.insert(u64::MAX - 1, bytes("xy")),
            Err(Refused::BeyondEnd)
        );
        assert_eq!(far.insert(u64::MAX - 1, bytes("x")), Ok(()));
    }

    #[test]
    fn pieces_are_bounded_and_touching_ones_become_one() {
        let mut apart = Segments::new(None);
        for n in 0..64 {
            apart.insert(n * 2, bytes("x")).unwrap();
        }
        assert_eq!(apart.insert(999, bytes("x")), Err(Refused::TooManyPieces));
        assert_eq!(apart.len(), 64);
        let range = ContentRange::parse(b"bytes 999-999/1000").unwrap();
        let refused = apart.combine(range, bytes("x"));
        assert_eq!(refused, Err(Refused::TooManyPieces));
        assert_eq!((apart.len(), apart.complete_length()), (64, None));
        apart.insert(1, bytes("y")).unwrap();
        assert_eq!(apart.len(), 65);
        let mut touching = Segments::new(None);
        for n in 0..10_000 {
            touching.insert(n, bytes("x")).unwrap();
        }
        assert_eq!(touching.len(), 10_000);
        assert!(touching.covers(span(0, 9_999)));
    }

    #[test]
    fn a_rest_does_not_keep_alive_what_was_replaced() {
        let mut held = Segments::new(None);
        held.insert(0, vec![b'a'; 1 << 20].into()).unwrap();
        held.insert(1, vec![b'b'; 4].into()).unwrap();
        held.insert(5, vec![b'c'; 1 << 20].into()).unwrap();
        assert!(alive(&held) <= 2 * held.len());
    }

    fn alive(held: &Segments) -> u64 {
        held.pieces.iter().map(|piece| piece.alive as u64).sum()
    }

    const LONGEST: usize = 200;

    /// A range as the model sees it: no text.
    #[derive(Debug, Clone, Copy)]
    enum Asked {
        Closed(u64, u64),
        From(u64),
        Suffix(u64),
    }

    fn a_range() -> impl Strategy<Value = Asked> {
        let at = || 0..LONGEST as u64 + 20;
        prop_oneof![
            (at(), 0..20u64).prop_map(|(first, more)| Asked::Closed(first, first + more)),
            (at(), 0..200u64).prop_map(|(first, more)| Asked::Closed(first, first + more)),
            at().prop_map(Asked::From),
            (0..30u64).prop_map(Asked::Suffix),
        ]
    }

    fn written(asked: &[Asked]) -> HeaderMap {
        let text = |asked: &Asked| match asked {
            Asked::Closed(first, last) => format!("{first}-{last}"),
            Asked::From(first) => format!("{first}-"),
            Asked::Suffix(length) => format!("-{length}"),
        };
        let texts: Vec<String> = asked.iter().map(text).collect();
        map(&[&format!("bytes={}", texts.join(", "))])
    }

    /// The offsets that one range means.
    fn meant(asked: Asked, length: u64) -> Vec<u64> {
        let all = 0..length;
        match asked {
            Asked::Closed(first, last) => all.filter(|at| (first..=last).contains(at)).collect(),
            Asked::From(first) => all.filter(|at| *at >= first).collect(),
            Asked::Suffix(suffix) => all.filter(|at| at + suffix >= length).collect(),
        }
    }

    /// The runs of the offsets that any range means, in order of when they are first asked for.
    fn runs(asked: &[Asked], length: u64) -> Vec<Span> {
        let mut wanted = vec![false; length as usize];
        for at in asked.iter().flat_map(|asked| meant(*asked, length)) {
            wanted[at as usize] = true;
        }
        let mut runs: Vec<Span> = Vec::new();
        for asked in asked {
            for at in meant(*asked, length) {
                if runs.iter().any(|run| (run.first..=run.last).contains(&at)) {
                    continue;
                }
                let (mut first, mut last) = (at, at);
                while first > 0 && wanted[first as usize - 1] {
                    first -= 1;
                }
                while last + 1 < length && wanted[last as usize + 1] {
                    last += 1;
                }
                runs.push(span(first, last));
            }
        }
        runs
    }

    /// Reads what [`Multipart`] writes, by a way of its own.
    fn read_multipart(content_type: &HeaderValue, content: &[u8]) -> Vec<(ContentRange, Vec<u8>)> {
        let media = content_type.to_str().unwrap();
        let boundary = media
            .strip_prefix("multipart/byteranges; boundary=")
            .unwrap();
        let mut rest = content;
        let mut parts = Vec::new();
        let line = |rest: &mut &[u8]| {
            let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
            let line = std::str::from_utf8(&rest[..end]).unwrap().to_owned();
            *rest = &rest[end + 2..];
            line
        };
        loop {
            let delimiter = line(&mut rest);
            if delimiter == format!("--{boundary}--") {
                assert!(rest.is_empty());
                return parts;
            }
            assert_eq!(delimiter, format!("--{boundary}"));
            let mut range = None;
            loop {
                let field = line(&mut rest);
                match field.split_once(": ") {
                    Some(("Content-Range", value)) => range = ContentRange::parse(value.as_bytes()),
                    Some(("Content-Type", value)) => assert_eq!(value, "a/b"),
                    Some(_) => panic!("{field}"),
                    None => break assert_eq!(field, ""),
                }
            }
            let range = range.unwrap();
            let next = format!("\r\n--{boundary}");
            let end = rest
                .windows(next.len())
                .position(|at| at == next.as_bytes())
                .unwrap();
            parts.push((range, rest[..end].to_vec()));
            rest = &rest[end + 2..];
        }
    }

    proptest! {
        #[test]
        fn selections_are_the_slices_that_were_asked_for(
            length in 0..=LONGEST as u64, asked in prop::collection::vec(a_range(), 1..25),
        ) {
            let total: usize = asked.iter().map(|asked| meant(*asked, length).len()).sum();
            let runs = runs(&asked, length);
            let has_suffix = asked.iter().any(|asked| matches!(asked, Asked::Suffix(1..)));
            let expected = match runs.as_slice() {
                _ if length == 0 && has_suffix => Selection::Whole,
                [] => Selection::Unsatisfiable,
                _ if total as u64 > length => Selection::Whole,
                [only] => Selection::Part(*only),
                runs if runs.len() > 16 => Selection::Whole,
                runs => Selection::Parts(runs.to_vec()),
            };
            prop_assert_eq!(select(&written(&asked), length), expected);
        }

        #[test]
        fn what_is_known_without_the_length_is_no_other_with_it(
            length in 1..=LONGEST as u64, asked in prop::collection::vec(a_range(), 1..6),
        ) {
            let request = written(&asked);
            let spans = match select_known(&request, None) {
                Some(Selection::Part(only)) => vec![only],
                Some(Selection::Parts(parts)) => parts,
                other => {
                    prop_assert_eq!(other, None);
                    return Ok(());
                }
            };
            if spans.iter().all(|span| span.last < length) {
                let of_length = match select(&request, length) {
                    Selection::Part(only) => vec![only],
                    Selection::Parts(parts) => parts,
                    other => {
                        prop_assert_eq!(other, Selection::Whole);
                        return Ok(());
                    }
                };
                prop_assert_eq!(spans, of_length);
            }
        }

        #[test]
        fn a_multipart_content_reads_as_the_parts_it_was_made_of(
            body in prop::collection::vec(any::<u8>(), 1..LONGEST), boundary in any::<u128>(), has_type in any::<bool>(),
            asked in prop::collection::vec((0..LONGEST, 0..LONGEST), 1..6),
        ) {
            let last = body.len() as u64 - 1;
            let spans: Vec<Span> = asked.iter().map(|(a, b)| {
                let (a, b) = ((*a as u64).min(last), (*b as u64).min(last));
                span(a.min(b), a.max(b))
            }).collect();
            let media = HeaderValue::from_static("a/b");
            let multipart = Multipart { content_type: has_type.then_some(&media), boundary };
            let held = Segments::whole(body.clone().into());
            let (content_type, content) = multipart.write(&spans, &held).unwrap();
            let expected: Vec<_> = spans.iter().map(|span| {
                let complete = Some(body.len() as u64);
                let bytes = body[span.first as usize..=span.last as usize].to_vec();
                (ContentRange::Part { span: *span, complete }, bytes)
            }).collect();
            prop_assert_eq!(read_multipart(&content_type, &content), expected);
        }

        #[test]
        fn content_ranges_survive_being_written(first in any::<u64>(), last in any::<u64>(), complete in any::<Option<u64>>()) {
            let Some(span) = Span::new(first, last) else {
                return Ok(());
            };
            let range = ContentRange::Part { span, complete };
            let is_valid = complete.is_none_or(|complete| last < complete && complete < u64::MAX);
            let read = ContentRange::parse(range.to_value().as_bytes());
            prop_assert_eq!(read, is_valid.then_some(range));
        }

        #[test]
        fn segments_hold_what_was_put_in_last(
            complete in prop::option::of(0..=LONGEST as u64),
            parts in prop::collection::vec((0..LONGEST as u64, prop::collection::vec(any::<u8>(), 0..40)), 0..40),
            asked in prop::collection::vec((0..LONGEST as u64, 0..40u64), 1..20),
        ) {
            let mut held = Segments::new(complete);
            let mut model: Vec<Option<u8>> = vec![None; LONGEST + 40];
            for (first, bytes) in parts {
                let end = first + bytes.len() as u64;
                let fits = bytes.is_empty() || complete.is_none_or(|complete| end <= complete);
                let expected = if fits { Ok(()) } else { Err(Refused::BeyondEnd) };
                prop_assert_eq!(held.insert(first, bytes.clone().into()), expected);
                if fits {
                    for (place, byte) in model[first as usize..].iter_mut().zip(bytes) {
                        *place = Some(byte);
                    }
                }
                prop_assert!(alive(&held) <= 2 * held.len());
            }
            prop_assert_eq!(held.len(), model.iter().flatten().count() as u64);
            for (first, more) in asked {
                let slice: Option<Vec<u8>> = model[first as usize..=(first + more) as usize].iter().copied().collect();
                let asked = span(first, first + more);
                prop_assert_eq!(held.covers(asked), slice.is_some());
                prop_assert_eq!(held.slice(asked).map(|pieces| joined(&pieces)), slice);
            }
            if let Some(complete) = complete {
                let model = &model[..complete as usize];
                let whole: Option<Vec<u8>> = model.iter().copied().collect();
                prop_assert_eq!(held.is_complete(), whole.is_some());
                prop_assert_eq!(held.to_whole().map(Vec::from), whole);
                let start = model.iter().position(Option::is_none);
                let end = model.iter().rposition(Option::is_none);
                let gap = start.zip(end).filter(|(start, end)| model[*start..=*end].iter().all(Option::is_none));
                prop_assert_eq!(held.gap(), gap.map(|(start, end)| span(start as u64, end as u64)));
                let around = gap.map(|(start, end)| {
                    let bytes = |part: &[Option<u8>]| part.iter().flatten().copied().collect::<Vec<u8>>();
                    (bytes(&model[..start]), bytes(&model[end + 1..]))
                });
                prop_assert_eq!(held.around_gap().map(|(before, after)| (joined(&before), joined(&after))), around);
            }
        }

        #[test]
        fn a_store_of_too_many_pieces_stays_as_it_was(places in prop::collection::vec(0..300u64, 1..150)) {
            let mut held = Segments::new(None);
            let mut model = std::collections::BTreeSet::new();
            for place in places {
                match held.insert(place * 2, Bytes::from_static(b"x")) {
                    Ok(()) => { model.insert(place); }
                    Err(refused) => {
                        prop_assert_eq!(refused, Refused::TooManyPieces);
                        prop_assert_eq!(model.len(), MOST_PIECES);
                    }
                }
                prop_assert_eq!(held.len(), model.len() as u64);
            }
        }
    }
}
