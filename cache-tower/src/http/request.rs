//! What of a request matters to a cache, read in one pass over its fields.

use super::{cache_control::RequestDirectives, key::without_default_port, text::members};
use crate::policy::Profile;
use http::{HeaderMap, Method, Uri, header, uri::Authority};

/// Why a request goes past the cache, unasked and unstored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bypass {
    /// Not GET or HEAD.
    Method,
    /// The policy of the route says so.
    Policy,
    /// A GET or HEAD that carries a body, which no key covers.
    Body,
    /// It asks for another protocol on this connection.
    Upgrade,
    /// A field asks for another method than the request line.
    MethodOverride,
    /// The URI and the Host field name different authorities, or there are several.
    Authority,
    /// It has a precondition that what is stored is not known to meet (RFC 9110 §13.1.1, §13.1.4).
    Precondition,
    /// `no-store`, or a Cache-Control that does not parse, and nothing stored answers it.
    NoStore,
    /// Its key would be longer than a key may be.
    KeyTooLong,
    /// The cache is off: nothing is said of it.
    Disabled,
}

impl Bypass {
    /// All reasons, in order of their discriminants.
    pub(crate) const ALL: [Self; 10] = [
        Self::Method,
        Self::Policy,
        Self::Body,
        Self::Upgrade,
        Self::MethodOverride,
        Self::Authority,
        Self::Precondition,
        Self::NoStore,
        Self::KeyTooLong,
        Self::Disabled,
    ];

    /// A word for logs and the Cache-Status field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Policy => "policy",
            Self::Body => "request-body",
            Self::Upgrade => "upgrade",
            Self::MethodOverride => "method-override",
            Self::Authority => "authority",
            Self::Precondition => "precondition",
            Self::NoStore => "no-store",
            Self::KeyTooLong => "key-too-long",
            Self::Disabled => "disabled",
        }
    }
}

/// The methods a cache tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MethodClass {
    /// GET.
    Get,
    /// HEAD, which a stored GET can answer.
    Head,
    /// Safe by RFC 9110 §9.2.1, but nothing a cache answers: OPTIONS and TRACE.
    OtherSafe,
    /// POST: it may change something, and its response may answer a later GET (RFC 9110 §9.3.3).
    Post,
    /// Everything else, the unknown included: it may change something.
    Unsafe,
}

impl MethodClass {
    /// The class of `method`. Method names are case-sensitive (RFC 9110 §9.1).
    pub fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::OPTIONS | Method::TRACE => Self::OtherSafe,
            Method::POST => Self::Post,
            _ => Self::Unsafe,
        }
    }

    /// Whether it may change something (RFC 9110 §9.2.1).
    pub fn is_unsafe(self) -> bool {
        matches!(self, Self::Post | Self::Unsafe)
    }
}

/// The facts of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFacts {
    /// Its method.
    pub method: MethodClass,
    /// It carries Authorization.
    pub authorization: bool,
    /// It carries Cookie.
    pub cookie: bool,
    /// It has fields that name the host, scheme or path that a proxy was asked for.
    pub forwarded: bool,
    /// It carries If-None-Match or If-Modified-Since.
    pub conditional: bool,
    /// It carries If-Match or If-Unmodified-Since.
    pub precondition: bool,
    /// It asks for a part (RFC 9110 §14.2).
    pub range: bool,
    /// The URI and the Host field name different authorities, or there are several.
    pub authorities_disagree: bool,
    /// Its cache directives.
    pub directives: RequestDirectives,
    bypass: Option<Bypass>,
}

impl RequestFacts {
    /// Reads a request. `uri` is the one the client sent; `has_body` says what the framework knows of
    /// a body that no field announces.
    pub fn read(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        has_body: bool,
        profile: Profile,
    ) -> Self {
        let mut facts = Self {
            method: MethodClass::of(method),
            authorization: false,
            cookie: false,
            forwarded: false,
            conditional: false,
            precondition: false,
            range: false,
            authorities_disagree: false,
            directives: RequestDirectives::default(),
            bypass: None,
        };
        if matches!(facts.method, MethodClass::OtherSafe | MethodClass::Unsafe) {
            facts.bypass(Bypass::Method);
        }
        if has_body {
            facts.carries_body();
        }
        let mut seen = Seen::default();
        for (name, value) in headers {
            facts.field(name.as_str(), value.as_bytes(), &mut seen);
        }
        facts.authority(uri, &seen);
        facts.cache_control(headers, &seen, profile);
        // Last: its response may be stored where nothing else is against it.
        if facts.method == MethodClass::Post {
            facts.bypass(Bypass::Method);
        }
        facts
    }

    /// Why the cache is not asked, if it is not.
    pub fn bypass_reason(&self) -> Option<Bypass> {
        self.bypass
    }

    /// It asks for more than that what it gets is not out of date.
    pub fn insists(&self) -> bool {
        let asked = &self.directives;
        asked.no_cache || asked.max_age.is_some() || asked.min_fresh.is_some()
    }

    /// It asks for a representation as it is, without conditions.
    pub fn is_plain(&self) -> bool {
        !self.conditional && !self.precondition && !self.range
    }

    /// The GET that asks for the same and is plain: what is stored of a response answers it.
    #[must_use]
    pub fn as_plain_get(self) -> Self {
        Self {
            method: MethodClass::Get,
            conditional: false,
            precondition: false,
            range: false,
            ..self
        }
    }

    /// It carries something that names a client.
    pub fn has_credentials(&self) -> bool {
        self.authorization || self.cookie
    }

    /// The first reason found is kept.
    fn bypass(&mut self, reason: Bypass) {
        self.bypass.get_or_insert(reason);
    }

    /// That of a POST is no key's matter: nothing stored answers it.
    fn carries_body(&mut self) {
        if self.method != MethodClass::Post {
            self.bypass(Bypass::Body);
        }
    }

    fn field<'a>(&mut self, name: &str, value: &'a [u8], seen: &mut Seen<'a>) {
        match name {
            "authorization" => self.authorization = true,
            "cookie" => self.cookie = true,
            "host" => {
                seen.hosts += 1;
                seen.host = value;
            }
            "cache-control" => seen.cache_control = true,
            "pragma" => seen.pragma_no_cache |= has_no_cache(value),
            // For GET alone (RFC 9110 §14.2).
            "range" => self.range = self.method == MethodClass::Get,
            "if-match" | "if-unmodified-since" => self.precondition = true,
            "if-none-match" | "if-modified-since" => self.conditional = true,
            "content-length" if value != b"0" => self.carries_body(),
            "transfer-encoding" => self.carries_body(),
            "upgrade" => self.bypass(Bypass::Upgrade),
            "x-http-method-override" | "x-http-method" | "x-method-override" => {
                self.bypass(Bypass::MethodOverride)
            }
            _ => self.forwarded |= is_forwarding(name),
        }
    }

    fn authority(&mut self, uri: &Uri, seen: &Seen<'_>) {
        let differs = |authority: &Authority| {
            let scheme = uri.scheme_str().unwrap_or("http");
            let [named, host] = [authority.as_str().as_bytes(), seen.host]
                .map(|authority| without_default_port(scheme, authority));
            !named.eq_ignore_ascii_case(host)
        };
        let disagree = seen.hosts == 1 && uri.authority().is_some_and(differs);
        self.authorities_disagree = seen.hosts > 1 || disagree;
        if self.authorities_disagree {
            self.bypass(Bypass::Authority);
        }
    }

    fn cache_control(&mut self, headers: &HeaderMap, seen: &Seen<'_>, profile: Profile) {
        if seen.cache_control {
            let lines = headers
                .get_all(header::CACHE_CONTROL)
                .iter()
                .map(|line| line.as_bytes());
            self.directives = RequestDirectives::parse(lines, profile);
        } else {
            self.directives.no_cache = seen.pragma_no_cache;
        }
    }
}

/// Whether a decision reads a request's field of this name, beside those that a policy and Vary name. An
/// adapter whose framework keeps fields in another form may convert these alone.
pub(crate) fn decides(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "cookie"
            | "host"
            | "cache-control"
            | "pragma"
            | "range"
            | "if-match"
            | "if-unmodified-since"
            | "if-none-match"
            | "if-modified-since"
            | "if-range"
            | "content-length"
            | "transfer-encoding"
            | "upgrade"
            | "x-http-method-override"
            | "x-http-method"
            | "x-method-override"
    ) || is_forwarding(name)
}

#[derive(Default)]
struct Seen<'a> {
    host: &'a [u8],
    hosts: usize,
    cache_control: bool,
    pragma_no_cache: bool,
}

fn has_no_cache(pragma: &[u8]) -> bool {
    members(pragma, b',')
        .flatten()
        .any(|member| member.eq_ignore_ascii_case(b"no-cache"))
}

/// Whether a field names a host, server, scheme or path that a proxy was asked for, so that a
/// handler may build links from it. Fields that name the client (`X-Forwarded-For`, `Via`) do not.
pub(crate) fn is_forwarding(name: &str) -> bool {
    matches!(
        name,
        "forwarded"
            | "x-forwarded-host"
            | "x-forwarded-proto"
            | "x-forwarded-protocol"
            | "x-forwarded-scheme"
            | "x-forwarded-server"
            | "x-forwarded-port"
            | "x-forwarded-prefix"
            | "x-forwarded-path"
            | "x-forwarded-uri"
            | "x-forwarded-ssl"
            | "x-host"
            | "x-original-host"
            | "x-original-url"
            | "x-original-uri"
            | "x-rewrite-url"
            | "x-http-host-override"
            | "x-url-scheme"
            | "front-end-https"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn read(
        method: &str,
        uri: &'static str,
        lines: &[(&'static str, &'static str)],
    ) -> RequestFacts {
        let headers: HeaderMap = lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        RequestFacts::read(
            &Method::from_bytes(method.as_bytes()).unwrap(),
            &Uri::from_static(uri),
            &headers,
            false,
            Profile::Guarded,
        )
    }

    #[test]
    fn sto_36_sto_40_only_get_and_head_ask_the_cache() {
        for method in [
            "POST", "PUT", "DELETE", "get", "FOO", "TRACE", "CONNECT", "OPTIONS", "QUERY",
        ] {
            assert_eq!(
                read(method, "/", &[]).bypass_reason(),
                Some(Bypass::Method),
                "{method}"
            );
        }
        assert_eq!(read("GET", "/", &[]).bypass_reason(), None);
        assert_eq!(read("HEAD", "/", &[]).bypass_reason(), None);
        assert_eq!(read("get", "/", &[]).method, MethodClass::Unsafe);
    }

    #[test]
    fn each_reason_to_bypass_is_seen() {
        for (line, reason) in [
            (("content-length", "6"), Bypass::Body),
            (("transfer-encoding", "chunked"), Bypass::Body),
            (("upgrade", "websocket"), Bypass::Upgrade),
            (("x-http-method-override", "DELETE"), Bypass::MethodOverride),
            (("x-http-method", "DELETE"), Bypass::MethodOverride),
            (("x-method-override", "DELETE"), Bypass::MethodOverride),
        ] {
            assert_eq!(
                read("GET", "/", &[line]).bypass_reason(),
                Some(reason),
                "{line:?}"
            );
        }
        assert_eq!(
            read("GET", "/", &[("content-length", "0")]).bypass_reason(),
            None
        );
    }

    #[test]
    fn of_a_post_its_method_is_the_last_reason_and_its_body_none() {
        for (lines, reason) in [
            (&[("content-length", "6")][..], Bypass::Method),
            (&[("transfer-encoding", "chunked")], Bypass::Method),
            (&[("upgrade", "websocket")], Bypass::Upgrade),
            (&[("x-http-method-override", "PUT")], Bypass::MethodOverride),
            (&[("host", "a.test"), ("host", "b.test")], Bypass::Authority),
        ] {
            assert_eq!(read("POST", "/", lines).bypass_reason(), Some(reason));
        }
        let delete = read("DELETE", "/", &[("upgrade", "websocket")]);
        assert_eq!(delete.bypass_reason(), Some(Bypass::Method));
    }

    #[test]
    fn authorities_that_disagree_are_passed() {
        assert_eq!(
            read("GET", "http://a.test/", &[("host", "b.test")]).bypass_reason(),
            Some(Bypass::Authority)
        );
        assert_eq!(
            read("GET", "http://a.test/", &[("host", "A.TEST:80")]).bypass_reason(),
            None
        );
        assert_eq!(
            read("GET", "/", &[("host", "a.test"), ("host", "a.test")]).bypass_reason(),
            Some(Bypass::Authority)
        );
    }

    #[test]
    fn pragma_counts_only_without_cache_control() {
        assert!(
            read("GET", "/", &[("pragma", "No-Cache")])
                .directives
                .no_cache
        );
        let both = read(
            "GET",
            "/",
            &[("pragma", "no-cache"), ("cache-control", "max-age=3")],
        );
        assert!(!both.directives.no_cache);
    }

    #[test]
    fn every_reason_has_a_word_of_its_own() {
        let words: std::collections::HashSet<_> =
            Bypass::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Bypass::ALL.len());
        for (n, reason) in Bypass::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, n);
        }
    }

    /// Names a decision might read, and the values that would make it.
    const FIELDS: [(&str, &[&str]); 40] = [
        ("accept", &["text/html"]),
        ("accept-encoding", &["gzip", ";;"]),
        ("accept-language", &["de"]),
        ("accept-ranges", &["bytes"]),
        ("age", &["7"]),
        ("authorization", &["Basic YTpi"]),
        (
            "cache-control",
            &["no-cache", "no-store, max-age=0", "only-if-cached"],
        ),
        ("connection", &["upgrade"]),
        ("content-encoding", &["gzip"]),
        ("content-length", &["0", "6"]),
        ("content-type", &["text/plain"]),
        ("cookie", &["a=b"]),
        ("date", &["Sun, 06 Nov 1994 08:49:37 GMT"]),
        ("expect", &["100-continue"]),
        ("forwarded", &["host=a", "for=b"]),
        ("front-end-https", &["on"]),
        ("host", &["a.test", "b.test"]),
        ("if-match", &["\"1\"", "*"]),
        ("if-modified-since", &["Sun, 06 Nov 1994 08:49:37 GMT"]),
        ("if-none-match", &["\"1\"", "W/\"2\""]),
        ("if-range", &["\"1\"", "\"2\""]),
        ("if-unmodified-since", &["Sun, 06 Nov 1994 08:49:37 GMT"]),
        ("max-forwards", &["0"]),
        ("origin", &["http://a.test"]),
        ("pragma", &["no-cache"]),
        ("prefer", &["respond-async"]),
        ("proxy-authorization", &["Basic YTpi"]),
        ("range", &["bytes=0-1", "bytes=-1,0-0"]),
        ("referer", &["http://a.test/"]),
        ("te", &["trailers"]),
        ("transfer-encoding", &["chunked"]),
        ("upgrade", &["websocket"]),
        ("user-agent", &["a"]),
        ("via", &["1.1 a"]),
        ("x-forwarded-for", &["192.0.2.1"]),
        ("x-forwarded-host", &["c.test"]),
        ("x-host", &["d.test"]),
        ("x-http-method", &["PUT"]),
        ("x-method-override", &["PUT"]),
        ("x-rewrite-url", &["/admin"]),
    ];

    proptest::proptest! {
        #[test]
        fn nothing_is_decided_by_a_field_that_is_not_among_those_that_decide(
            lines in proptest::collection::vec((0..FIELDS.len(), 0..3_usize), 0..8),
            method in 0..3_usize,
            standard: bool,
        ) {
            let method = [Method::GET, Method::HEAD, Method::POST][method].clone();
            let profile = if standard { Profile::Standard } else { Profile::Guarded };
            let all: HeaderMap = lines
                .iter()
                .map(|(at, value)| {
                    let (name, values) = FIELDS[*at];
                    let value = values[value % values.len()];
                    (HeaderName::from_static(name), HeaderValue::from_static(value))
                })
                .collect();
            let mut some = HeaderMap::new();
            for (name, value) in all.iter().filter(|(name, _)| decides(name.as_str())) {
                some.append(name, value.clone());
            }
            let uri = Uri::from_static("/a?b");
            let decided = |headers: &HeaderMap| {
                let facts = RequestFacts::read(&method, &uri, headers, false, profile);
                let policy = crate::policy::KeyPolicy {
                    per_credential: true,
                    ..Default::default()
                };
                let mut key = Vec::new();
                super::super::key::write_key(
                    &policy, "http", &uri, headers, facts.forwarded, &mut key,
                );
                let stored = [("etag", "\"1\""), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")];
                let stored = stored
                    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                    .into_iter()
                    .collect();
                let now = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
                let stored = crate::http::conditional::Stored {
                    status: http::StatusCode::OK,
                    headers: &stored,
                    received: now,
                };
                let held = crate::http::shape::Held::Whole(10);
                (facts, key, crate::http::shape::fit(&facts, headers, stored, held, now))
            };
            proptest::prop_assert_eq!(decided(&all), decided(&some));
        }
    }
}
