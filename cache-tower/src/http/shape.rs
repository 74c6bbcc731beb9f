//! In which shape a stored response answers a request: in full, as not modified, or in parts.
//!
//! The order is that of RFC 9110 §13.2.2: If-Match and If-Unmodified-Since, If-None-Match or
//! If-Modified-Since, then If-Range and Range.

use super::{
    conditional::{self, Stored, Verdict},
    range::{self, Segments, Selection, Span},
    request::RequestFacts,
};
use http::{HeaderMap, StatusCode, header};
use std::time::SystemTime;

/// The shape of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// As it is stored.
    Full,
    /// 304.
    NotModified,
    /// 206 with one part.
    Part(Span),
    /// 206 with several parts.
    Parts(Vec<Span>),
    /// 416; the length there is.
    Unsatisfiable(u64),
}

/// Whether a stored response can answer a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// In this shape.
    As(Shape),
    /// It lacks bytes that are asked for.
    Lacks,
    /// It is not known to meet If-Match or If-Unmodified-Since.
    Precondition,
}

/// How much of its representation is stored.
#[derive(Debug, Clone, Copy)]
pub enum Held<'a> {
    /// All of it: so many bytes.
    Whole(u64),
    /// Parts.
    Parts(&'a Segments),
    /// All of it, as it comes in.
    Coming,
}

/// Decides.
pub fn fit(
    request: &RequestFacts,
    headers: &HeaderMap,
    stored: Stored<'_>,
    held: Held<'_>,
    now: SystemTime,
) -> Fit {
    // RFC 9111 §3.3: parts answer no request for the whole, nor a condition on it (§4.3.2).
    if matches!(held, Held::Parts(_)) && !request.range {
        return Fit::Lacks;
    }
    if request.conditional || request.precondition {
        match conditional::evaluate(headers, stored, now) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Fit::As(Shape::NotModified),
            Verdict::Forward => return Fit::Precondition,
        }
    }
    if request.range && may_be_parted(headers, stored, now) {
        parted(headers, held)
    } else {
        full(held)
    }
}

/// Range is for responses that would else be 200 (RFC 9110 §14.2), and not where If-Range says that the
/// client has another representation.
fn may_be_parted(headers: &HeaderMap, stored: Stored<'_>, now: SystemTime) -> bool {
    let is_none = |value: &http::HeaderValue| value.as_bytes().trim_ascii() == b"none";
    matches!(stored.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT)
        && !stored
            .headers
            .get(header::ACCEPT_RANGES)
            .is_some_and(is_none)
        && conditional::if_range_holds(headers, stored, now)
}

fn full(held: Held<'_>) -> Fit {
    match held {
        Held::Whole(_) | Held::Coming => Fit::As(Shape::Full),
        Held::Parts(_) => Fit::Lacks,
    }
}

fn parted(headers: &HeaderMap, held: Held<'_>) -> Fit {
    match held {
        // A server may answer in full (RFC 9110 §14.2).
        Held::Coming => Fit::As(Shape::Full),
        Held::Whole(length) => match range::select(headers, length) {
            Selection::Whole => Fit::As(Shape::Full),
            Selection::Part(span) => Fit::As(Shape::Part(span)),
            Selection::Parts(spans) => Fit::As(Shape::Parts(spans)),
            Selection::Unsatisfiable => Fit::As(Shape::Unsatisfiable(length)),
        },
        Held::Parts(segments) => of_parts(headers, segments),
    }
}

fn of_parts(headers: &HeaderMap, segments: &Segments) -> Fit {
    let covers = |span: &Span| segments.covers(*span);
    match range::select_known(headers, segments.complete_length()) {
        Some(Selection::Part(span)) if covers(&span) => Fit::As(Shape::Part(span)),
        Some(Selection::Parts(spans)) if spans.iter().all(covers) => Fit::As(Shape::Parts(spans)),
        Some(Selection::Unsatisfiable) => segments
            .complete_length()
            .map_or(Fit::Lacks, |length| Fit::As(Shape::Unsatisfiable(length))),
        _ => Fit::Lacks,
    }
}
