//! What of a response matters to a cache, read in one pass over its fields.

use super::{
    cache_control::ResponseDirectives, date, range::ContentRange, targeted, text,
    validator::Validators, vary::Vary,
};
use crate::policy::Profile;
use http::{HeaderMap, HeaderName, StatusCode, header};
use std::time::{Duration, SystemTime};

/// The facts of a response's head.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is one fact that the rules name"
)]
pub struct ResponseFacts {
    /// Its status.
    pub status: StatusCode,
    /// Its Cache-Control, or the targeted field that takes its place (RFC 9213).
    pub directives: ResponseDirectives,
    /// The directives are those of a targeted field.
    pub is_targeted: bool,
    /// Its Vary.
    pub vary: Vary,
    /// Date, where there is one and it parses.
    pub date: Option<SystemTime>,
    /// Expires, unless a targeted field takes its place.
    pub expires: Expires,
    /// Last-Modified, where there is one and it parses.
    pub last_modified: Option<SystemTime>,
    /// It has something to validate it by: ETag, or Last-Modified.
    pub has_validator: bool,
    /// Age, zero where there is none.
    pub age: Duration,
    /// Content-Length.
    pub length: Length,
    /// How much of its representation it holds.
    pub extent: Extent,
    /// The bytes of all fields.
    pub header_bytes: usize,
    /// It sets a cookie.
    pub sets_cookie: bool,
    /// It has a field that is about one client: authentication, or its stored data.
    pub is_personal: bool,
    /// It names one origin that may read it, without saying that it varies by origin.
    pub is_for_one_origin: bool,
    /// It announces trailers.
    pub has_trailers: bool,
    /// It switches protocols (101). Upgrade in another response only offers to (RFC 9110 §7.8).
    pub upgrades: bool,
    /// It is a stream that does not end by itself, or one in a protocol of its own.
    pub is_stream: bool,
}

/// Whether the response to a GET has content: "All 1xx (Informational), 204 (No Content), and 304 (Not
/// Modified) responses do not include content" (RFC 9110 §6.4.1). Where they do, an empty one has a length.
pub fn has_content(status: StatusCode) -> bool {
    let is_without = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    !status.is_informational() && !is_without
}

/// How a response is to be read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// How closely.
    pub profile: Profile,
    /// The targeted fields that are looked for, in order (RFC 9213 §2.1).
    pub targets: &'a [HeaderName],
    /// When it was received: by then the two digits of some dates are read (RFC 9110 §5.6.7).
    pub received: SystemTime,
}

/// How much of a representation a response holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// One part (206 with one Content-Range).
    Part(ContentRange),
    /// Several, or one of which it does not say rightly which: it answers nobody else.
    Odd,
}

/// The Expires field (RFC 9111 §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expires {
    /// There is none.
    Absent,
    /// The date.
    At(SystemTime),
    /// Something that is no date, or several that differ: in the past.
    Past,
}

/// The Content-Length field (RFC 9110 §8.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// There is none.
    Undeclared,
    /// So many bytes.
    Declared(u64),
    /// Not a number, or several.
    Invalid,
}

impl ResponseFacts {
    /// Reads a response's head.
    pub fn read(status: StatusCode, headers: &HeaderMap, reading: Reading<'_>) -> Self {
        let targeted = targeted::read(reading.targets, headers);
        let is_targeted = targeted.is_some();
        let vary = Vary::parse(headers);
        let is_for_one_origin = !vary.names(&header::ORIGIN) && names_one_origin(headers);
        let date = |name| single_date(headers, name, reading.received);
        let last_modified = date(header::LAST_MODIFIED);
        let mut facts = Self {
            status,
            directives: targeted.unwrap_or_else(|| cache_control(headers, reading.profile)),
            is_targeted,
            vary,
            date: date(header::DATE),
            expires: if is_targeted {
                Expires::Absent
            } else {
                expires(headers, reading)
            },
            last_modified,
            has_validator: Validators::read(headers, reading.received).is_any(),
            age: age(headers),
            length: Length::Undeclared,
            extent: Extent::Whole,
            header_bytes: 0,
            sets_cookie: false,
            is_personal: false,
            is_for_one_origin,
            has_trailers: false,
            upgrades: status == StatusCode::SWITCHING_PROTOCOLS,
            is_stream: false,
        };
        for (name, value) in headers {
            facts.header_bytes += name.as_str().len() + value.len();
            facts.field(name, value.as_bytes());
        }
        facts.extent = extent(status, headers, facts.length);
        facts
    }

    fn field(&mut self, name: &HeaderName, value: &[u8]) {
        match name.as_str() {
            "content-length" => self.length = self.length.with(value),
            "set-cookie" | "set-cookie2" => self.sets_cookie = true,
            // What it says is for one client alone is not stored, and so says nothing of the rest.
            _ if self.directives.withheld_fields().any(|field| field == name) => {}
            "www-authenticate"
            | "authentication-info"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "clear-site-data"
            | "set-login"
            | "authentication-control"
            | "optional-www-authenticate" => {
                self.is_personal = true;
            }
            // A nonce is for one response: replayed, it no longer tells our scripts from injected ones.
            "content-security-policy" | "content-security-policy-report-only" => {
                self.is_personal |= value
                    .to_ascii_lowercase()
                    .windows(7)
                    .any(|part| part == b"'nonce-");
            }
            "trailer" => self.has_trailers = true,
            "content-type" => self.is_stream = is_stream(value),
            _ => {}
        }
    }
}

impl Length {
    fn with(self, value: &[u8]) -> Self {
        match (self, text::digits(value)) {
            (Self::Undeclared, Some(length)) => Self::Declared(length),
            (Self::Declared(earlier), Some(length)) if earlier == length => self,
            _ => Self::Invalid,
        }
    }
}

/// Access-Control-Allow-Origin names an origin, and that may be the asker's.
fn names_one_origin(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        .iter()
        .any(|origin| text::trim(origin.as_bytes()) != b"*")
}

fn is_stream(content_type: &[u8]) -> bool {
    let essence = content_type
        .split(|byte| *byte == b';')
        .next()
        .map_or(&[][..], text::trim)
        .to_ascii_lowercase();
    essence == b"text/event-stream"
        || essence == b"multipart/x-mixed-replace"
        || essence.starts_with(b"application/grpc")
        || essence.starts_with(b"application/connect+")
}

fn cache_control(headers: &HeaderMap, profile: Profile) -> ResponseDirectives {
    let lines = headers.get_all(header::CACHE_CONTROL).iter();
    ResponseDirectives::parse(lines.map(|line| line.as_bytes()), profile)
}

/// The first line of a field as a date (RFC 9110 §5.6.7).
fn single_date(headers: &HeaderMap, name: HeaderName, received: SystemTime) -> Option<SystemTime> {
    date::parse(headers.get(name)?.as_bytes(), received)
}

/// Of several lines the first counts, or the response is stale (RFC 9111 §4.2.1).
fn expires(headers: &HeaderMap, reading: Reading<'_>) -> Expires {
    let lines = headers.get_all(header::EXPIRES);
    let mut rest = lines.iter();
    let Some(first) = rest.next() else {
        return Expires::Absent;
    };
    if reading.profile == Profile::Guarded && rest.any(|line| line != first) {
        return Expires::Past;
    }
    // RFC 9111 §5.3: what is no date, "especially the value "0"", is in the past.
    date::parse(first.as_bytes(), reading.received).map_or(Expires::Past, Expires::At)
}

fn extent(status: StatusCode, headers: &HeaderMap, length: Length) -> Extent {
    let mut ranges = headers.get_all(header::CONTENT_RANGE).iter();
    match (status, ranges.next(), ranges.next()) {
        (StatusCode::PARTIAL_CONTENT, Some(only), None) => part(only.as_bytes(), length),
        (StatusCode::PARTIAL_CONTENT, ..) | (_, Some(_), _) => Extent::Odd,
        (_, None, _) => Extent::Whole,
    }
}

/// Content-Range must name the bytes that the body holds (RFC 9110 §14.4).
fn part(range: &[u8], length: Length) -> Extent {
    let Some(range) = ContentRange::parse(range) else {
        return Extent::Odd;
    };
    let Some(span) = range.span() else {
        return Extent::Odd;
    };
    match length {
        Length::Declared(length) if length != span.length() => Extent::Odd,
        Length::Invalid => Extent::Odd,
        Length::Declared(_) | Length::Undeclared => Extent::Part(range),
    }
}

/// The first member of Age; what is no number is ignored (RFC 9111 §5.1), what is too great is as
/// old as can be said.
fn age(headers: &HeaderMap) -> Duration {
    let first = headers
        .get(header::AGE)
        .and_then(|line| text::members(line.as_bytes(), b',').next().flatten());
    let seconds = first.and_then(text::digits).unwrap_or(0);
    Duration::from_secs(seconds.min(1 << 31))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interim_responses_and_two_statuses_have_no_content() {
        for (status, expected) in [
            (103, false),
            (200, true),
            (204, false),
            (205, true),
            (304, false),
            (404, true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(has_content(status), expected, "{status}");
        }
    }
}
