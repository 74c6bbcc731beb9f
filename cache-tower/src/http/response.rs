//! What of a response matters to a cache, read in one pass over its fields.

use super::{cache_control::ResponseDirectives, text, vary::Vary};
use http::{HeaderMap, StatusCode, header};
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
    /// Its Cache-Control.
    pub directives: ResponseDirectives,
    /// Its Vary.
    pub vary: Vary,
    /// Date, where there is one and it parses.
    pub date: Option<SystemTime>,
    /// Expires.
    pub expires: Expires,
    /// Age, zero where there is none.
    pub age: Duration,
    /// Content-Length.
    pub length: Length,
    /// The bytes of all fields.
    pub header_bytes: usize,
    /// It sets a cookie.
    pub sets_cookie: bool,
    /// It has a field that is about one client: authentication, or its stored data.
    pub is_personal: bool,
    /// It names one origin that may read it, without saying that it varies by origin.
    pub is_for_one_origin: bool,
    /// It is one part of something: Content-Range.
    pub is_partial: bool,
    /// It announces trailers.
    pub has_trailers: bool,
    /// It switches protocols.
    pub upgrades: bool,
    /// It is a stream that does not end by itself, or one in a protocol of its own.
    pub is_stream: bool,
}

/// The Expires field (RFC 9111 §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expires {
    /// There is none.
    Absent,
    /// The date.
    At(SystemTime),
    /// Something that is no date, or several lines: in the past.
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
    pub fn read(status: StatusCode, headers: &HeaderMap) -> Self {
        let lines = headers
            .get_all(header::CACHE_CONTROL)
            .iter()
            .map(|line| line.as_bytes());
        let vary = Vary::parse(headers);
        let is_for_one_origin = !vary.names(&header::ORIGIN) && names_one_origin(headers);
        let mut facts = Self {
            status,
            directives: ResponseDirectives::parse(lines),
            vary,
            date: headers
                .get(header::DATE)
                .and_then(|date| parse_date(date.as_bytes())),
            expires: expires(headers),
            age: age(headers),
            length: Length::Undeclared,
            header_bytes: 0,
            sets_cookie: false,
            is_personal: false,
            is_for_one_origin,
            is_partial: false,
            has_trailers: false,
            upgrades: status == StatusCode::SWITCHING_PROTOCOLS,
            is_stream: false,
        };
        for (name, value) in headers {
            facts.header_bytes += name.as_str().len() + value.len();
            facts.field(name.as_str(), value.as_bytes());
        }
        facts
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        match name {
            "content-length" => self.length = self.length.with(value),
            "set-cookie" | "set-cookie2" => self.sets_cookie = true,
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
            "content-range" => self.is_partial = true,
            "trailer" => self.has_trailers = true,
            "upgrade" => self.upgrades = true,
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

/// An HTTP-date in any of its three forms (RFC 9110 §5.6.7).
pub(super) fn parse_date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(text::trim(value)).ok()?).ok()
}

fn expires(headers: &HeaderMap) -> Expires {
    let mut lines = headers.get_all(header::EXPIRES).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Expires::Absent,
        (Some(only), None) => parse_date(only.as_bytes()).map_or(Expires::Past, Expires::At),
        _ => Expires::Past,
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
