//! What strangers can send to the HTTP rules: directives, and whole exchanges.

use cache_tower::{
    Freshness, KeyPolicy, Policy, Profile, hours,
    http::{
        admit::{Admission, Received, Terms, admit},
        cache_control::{RequestDirectives, ResponseDirectives},
        fields::storable,
        key::{LONGEST_KEY, write_key},
        lookup::{Candidate, Failure, Lookup, lookup, may_stand_in},
        request::{MethodClass, RequestFacts},
        response::{Reading, ResponseFacts},
        vary::{is_accept_encoding_malformed, write_selecting},
    },
    minutes,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use std::time::{Duration, SystemTime};

use super::{
    PROFILES,
    text::{blocks, cut, fields, first_and_rest},
};

const LONGEST: Duration = Duration::from_secs(1 << 31);
const TARGETED: HeaderName = HeaderName::from_static("cdn-cache-control");
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(crate) const DIRECTIVES: &[&[u8]] = &[
    b"no-store",
    b"no-cache",
    b"private",
    b"public",
    b"max-age=",
    b"s-maxage=",
    b"must-revalidate",
    b"stale-if-error=",
    b"stale-while-revalidate=",
    b"No-Store",
    b"=\"",
    b"\"",
    b"\\\"",
    b",",
    b";",
    b"=",
    b"\n",
    b" ",
    b"\t",
    b"\0",
    b"\xff",
    b"2147483648",
    b"18446744073709551616",
    b"-1",
    b"1e9",
];

pub(crate) const CACHE_CONTROL: &[&[u8]] = &[
    b"max-age=60",
    b"public, max-age=60, s-maxage=120",
    b"no-store\nmax-age=60",
    b"ext=\"no-store, max-age=9\", max-age=3",
    b"private=\"x-user\", no-cache=\"set-cookie\"",
    b"max-age = 60",
    b"stale-while-revalidate=18446744073709551616,,",
];

/// In 2004.
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30)
}

/// Lines of one Cache-Control field.
pub(crate) fn cache_control(input: &[u8]) {
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let read = |profile| ResponseDirectives::parse(lines.iter().copied(), profile);
    let (guarded, standard) = (read(Profile::Guarded), read(Profile::Standard));
    is_stricter(&guarded, &standard);
    is_stricter_of_requests(&lines);
    for (profile, found) in [(Profile::Guarded, guarded), (Profile::Standard, standard)] {
        is_within_bounds(&found);
        let backwards = ResponseDirectives::parse(lines.iter().rev().copied(), profile);
        match profile {
            Profile::Guarded => assert_eq!(
                in_order(found.clone()),
                in_order(backwards),
                "the order of lines means nothing"
            ),
            Profile::Standard => assert_eq!(
                in_order(without_spans(found.clone())),
                in_order(without_spans(backwards)),
                "it means which of two numbers counts"
            ),
        }
        if !input.contains(&b'"') {
            says_what_is_plain(&lines, profile, &found);
        }
    }
}

fn spans(found: &ResponseDirectives) -> [Option<Duration>; 4] {
    [
        found.max_age,
        found.s_maxage,
        found.stale_if_error,
        found.stale_while_revalidate,
    ]
}

fn flags(found: &ResponseDirectives) -> [bool; 8] {
    [
        found.no_store,
        found.no_cache,
        found.private,
        found.public,
        found.must_revalidate,
        found.proxy_revalidate,
        found.must_understand,
        found.immutable,
    ]
}

fn is_within_bounds(found: &ResponseDirectives) {
    assert!(
        spans(found)
            .into_iter()
            .flatten()
            .all(|span| span <= LONGEST)
    );
}

fn without_spans(found: ResponseDirectives) -> ResponseDirectives {
    ResponseDirectives {
        max_age: None,
        s_maxage: None,
        stale_if_error: None,
        stale_while_revalidate: None,
        ..found
    }
}

/// With the names that it lists in one order.
fn in_order(mut found: ResponseDirectives) -> ResponseDirectives {
    for names in [&mut found.no_cache_fields, &mut found.private_fields] {
        names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    }
    found
}

/// What the standard profile refuses, the guarded one does too, and what it lets live, lives no longer.
fn is_stricter(guarded: &ResponseDirectives, standard: &ResponseDirectives) {
    assert!(guarded.malformed || !standard.malformed);
    for (guarded_says, standard_says) in flags(guarded).into_iter().zip(flags(standard)) {
        assert!(standard_says || !guarded_says);
        assert!(guarded_says || !standard_says || guarded.malformed);
    }
    for (least, first) in spans(guarded).into_iter().zip(spans(standard)) {
        assert!(least.is_none() || first.is_some());
        assert!(least.is_some() || first.is_none() || guarded.malformed);
        assert!(least.zip(first).is_none_or(|(least, first)| least <= first) || guarded.malformed);
    }
}

fn is_stricter_of_requests(lines: &[&[u8]]) {
    let read = |profile| RequestDirectives::parse(lines.iter().copied(), profile);
    let (guarded, standard) = (read(Profile::Guarded), read(Profile::Standard));
    assert!(guarded.no_store || !standard.no_store);
    for asked in [guarded, standard] {
        assert!(asked.max_age.is_none_or(|age| age <= LONGEST));
        assert!(asked.min_fresh.is_none_or(|least| least <= LONGEST));
        assert!(
            asked
                .max_stale
                .is_none_or(|most| most <= LONGEST || most == Duration::MAX)
        );
    }
    if !lines.iter().any(|line| line.contains(&b'"')) {
        assert!(standard.no_store || !plainly_says(lines, "no-store"));
        assert!(standard.no_cache || !plainly_says(lines, "no-cache"));
    }
}

fn says_what_is_plain(lines: &[&[u8]], profile: Profile, found: &ResponseDirectives) {
    let joined = lines.join(&b", "[..]);
    assert_eq!(
        *found,
        ResponseDirectives::parse([&*joined], profile),
        "lines are one list"
    );
    for (says, directive) in [
        (found.no_store, "no-store"),
        (found.private, "private"),
        (found.no_cache, "no-cache"),
        (found.must_revalidate, "must-revalidate"),
        (found.must_understand, "must-understand"),
    ] {
        assert!(says || !plainly_says(lines, directive), "{directive}");
    }
}

pub(super) fn mentions(lines: &[&[u8]], directive: &str) -> bool {
    let is_it = |part: &[u8]| part.eq_ignore_ascii_case(directive.as_bytes());
    lines
        .iter()
        .any(|line| line.windows(directive.len()).any(is_it))
}

/// By a reading as simple as can be, of lines without quotes.
pub(super) fn plainly_says(lines: &[&[u8]], directive: &str) -> bool {
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let says = |member: &[u8]| {
        let start = member.iter().position(|byte| !is_blank(byte)).unwrap_or(0);
        let end = member
            .iter()
            .rposition(|byte| !is_blank(byte))
            .map_or(0, |last| last + 1);
        member
            .get(start..end)
            .is_some_and(|word| word.eq_ignore_ascii_case(directive.as_bytes()))
    };
    lines
        .iter()
        .any(|line| line.split(|byte| *byte == b',').any(says))
}

pub(crate) const EXCHANGES: &[&[u8]] = &[
    b"\x00GET /a?b=c\nhost: test\n\n200\ncache-control: max-age=60\n",
    b"\x01GET /\ncookie: sid=1\n\n200\ncache-control: public, max-age=60\nvary: accept, accept-encoding\n",
    b"\x02HEAD http://test/\nauthorization: x\n\n404\nexpires: Thu, 01 Jan 1970 00:00:00 GMT\nage: 5\n",
    b"\x03POST /\ncontent-length: 5\n\n200\nset-cookie: a=b\n",
    b"\x04GET /\nforwarded: host=\"a;b\";proto=https\nx-forwarded-host: evil\n\n206\ncontent-range: bytes 0-1/2\n",
    b"\x05GET /\naccept-encoding: gzip;q=0.5, br\n\n301\nvary: *\ncontent-type: text/event-stream\n",
    b"\x00GET /\nrange: bytes=0-1\n\n206\ncontent-range: bytes 0-1/9\ncontent-length: 2\netag: \"a\"\ncache-control: max-age=9, private=\"set-cookie\"\nset-cookie: a=b\n",
    b"\x00GET http://a.test/\nhost: b.test\n\n200\ncache-control: max-age=9\n",
    b"\x00GET /\nrange: bytes=0-\n\n206\ncontent-range: bytes 0-9999999/*\ncache-control: max-age=9\n",
    b"\x00POST /\n\n201\ncontent-location: /\ncache-control: no-store, must-understand\ncdn-cache-control: max-age=9\n",
    b"\x03GET /\nif-match: \"a\"\ncache-control: max-stale, stale-if-error=9\n\n200\ncache-control: no-cache, stale-while-revalidate=9\nlast-modified: Thu, 01 Jan 1970 00:00:00 GMT\n",
];

pub(crate) const EXCHANGE_WORDS: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"cookie: ",
    b"authorization: ",
    b"cache-control: ",
    b"vary: ",
    b"set-cookie: ",
    b"expires: ",
    b"date: ",
    b"age: ",
    b"content-length: ",
    b"host: ",
    b"forwarded: ",
    b"x-forwarded-host: ",
    b"accept-encoding: ",
    b"access-control-allow-origin: ",
    b"range: ",
    b"if-none-match: ",
    b"connection: ",
    b"if-match: ",
    b"content-range: ",
    b"content-location: ",
    b"cdn-cache-control: ",
    b"etag: ",
    b"last-modified: ",
    b"transfer-encoding: ",
    b"upgrade: ",
    b"x-http-method-override: ",
    b"bytes=0-1",
    b"bytes 0-1/9",
    b"bytes 0-9999999/*",
    b"no-store",
    b"no-cache",
    b"private",
    b"private=\"",
    b"public",
    b"must-revalidate",
    b"must-understand",
    b"immutable",
    b"max-stale",
    b"stale-if-error=9",
    b"stale-while-revalidate=9",
    b"max-age=",
    b"s-maxage=",
    b"Thu, 01 Jan 1970 00:00:00 GMT",
    b"\n\n",
    b"\n",
    b"200",
    b"404",
    b"500",
    b"206",
    b"304",
    b"18446744073709551616",
];

/// A whole exchange: a byte that picks the policy, a request's head, an empty line, a response's head.
pub(crate) fn exchange(input: &[u8]) {
    let Some((pick, input)) = input.split_first() else {
        return;
    };
    let [request, response] = blocks(input);
    let Some((method, uri, headers)) = request_of(request) else {
        return;
    };
    let (status, answered) = response_of(response);
    keys(&uri, &headers);
    for profile in PROFILES {
        let asked = (&method, &uri, &headers);
        let exchange = Exchange::new(*pick, profile, asked, (status, &answered));
        exchange.judged(Duration::from_secs(u64::from(*pick)));
    }
}

/// One exchange under one profile.
pub(super) struct Exchange<'a> {
    policy: Policy,
    profile: Profile,
    credentials: Credentials,
    request: RequestFacts,
    response: ResponseFacts,
    uri: &'a Uri,
    asked: &'a HeaderMap,
    answered: &'a HeaderMap,
}

/// What the policy says of them.
#[derive(PartialEq, Eq)]
enum Credentials {
    Matter,
    Ignored,
    InTheKey,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        pick: u8,
        profile: Profile,
        (method, uri, asked): (&Method, &'a Uri, &'a HeaderMap),
        (status, answered): (StatusCode, &'a HeaderMap),
    ) -> Self {
        let (policy, credentials) = policy(pick);
        let reading = Reading {
            profile,
            targets: &[TARGETED],
            received: now(),
        };
        Self {
            policy: policy.profile(profile),
            profile,
            credentials,
            request: RequestFacts::read(method, uri, asked, false, profile),
            response: ResponseFacts::read(status, answered, reading),
            uri,
            asked,
            answered,
        }
    }

    /// The terms on which it is stored, which are held against the rules.
    pub(super) fn judged(&self, delay: Duration) -> Option<Terms> {
        let received = Received {
            at: now(),
            delay,
            max_body: 1 << 20,
            groups_known: true,
        };
        let Admission::Store(terms) = admit(&self.request, &self.response, &self.policy, received)
        else {
            return None;
        };
        self.request_may_be_stored_for();
        self.response_may_be_stored(&terms);
        self.stored_fields_are_for_all(&terms);
        lives_as_allowed(&terms, received);
        self.is_reused_as_allowed(&terms);
        Some(terms)
    }

    fn request_may_be_stored_for(&self) {
        let is_get = self.request.method == MethodClass::Get;
        let is_post = self.request.method == MethodClass::Post;
        assert!(is_get || is_post && self.profile == Profile::Standard);
        for name in ["upgrade", "x-http-method-override"] {
            assert!(!self.asked.contains_key(name), "{name}");
        }
        assert!(is_post || !self.asked.contains_key("transfer-encoding"));
        assert!(!self.request.authorities_disagree && !self.request.directives.no_store);
        self.names_one_host();
        let has_credentials = self.asked.contains_key("authorization")
            || self.asked.contains_key("cookie") && self.profile == Profile::Guarded;
        assert!(
            !has_credentials
                || self.credentials != Credentials::Matter
                || self.response.directives.is_explicitly_shared(self.profile)
        );
    }

    fn names_one_host(&self) {
        let mut hosts = self.asked.get_all("host").iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        assert!(hosts.next().is_none());
        if let (Some(host), Some(named)) = (host, self.uri.host()) {
            let host = host.get(..named.len()).unwrap_or_default();
            assert!(host.eq_ignore_ascii_case(named));
        }
    }

    /// By readings as simple as can be.
    fn response_may_be_stored(&self, terms: &Terms) {
        let status = self.response.status.as_u16();
        match self.profile {
            Profile::Guarded => {
                assert!(
                    matches!(status, 200..=399 | 404 | 410) && status != 304,
                    "{status}"
                );
            }
            Profile::Standard => {
                assert!(
                    !matches!(status, 0..200 | 304 | 428 | 429 | 431 | 511),
                    "{status}"
                );
            }
        }
        assert_eq!(terms.part.is_some(), status == 206);
        assert_eq!(
            terms.part.is_some(),
            self.answered.contains_key("content-range")
        );
        assert!(terms.part.is_none() || self.asked.contains_key("range"));
        let directives = self.lines("cache-control");
        if !terms.nature.is_targeted && !directives.iter().any(|line| line.contains(&b'"')) {
            let says = |directive| plainly_says(&directives, directive);
            assert!(!says("private"));
            assert!(!says("no-store") || mentions(&directives, "must-understand"));
            assert!(!says("no-cache") || terms.life.fresh.is_zero() && !terms.shared_at_once);
        }
        assert!(!plainly_says(&self.lines("vary"), "*"));
        if self.profile == Profile::Guarded || self.credentials == Credentials::InTheKey {
            let by = |name| terms.vary.contains(&name);
            assert!(!by(header::COOKIE) && !by(header::AUTHORIZATION));
        }
    }

    fn lines(&self, name: &str) -> Vec<&[u8]> {
        let lines = self.answered.get_all(name).iter();
        lines.map(HeaderValue::as_bytes).collect()
    }

    fn stored_fields_are_for_all(&self, terms: &Terms) {
        let stored = storable(self.answered, &terms.withheld, now());
        assert!(stored.contains_key("date") || terms.withheld.contains(&header::DATE));
        for name in ["transfer-encoding", "trailer", "connection", "upgrade"] {
            assert!(!stored.contains_key(name), "{name}");
        }
        for name in &terms.withheld {
            assert!(!stored.contains_key(name) || name == "date", "{name}");
        }
        if self.profile == Profile::Guarded {
            for name in ["set-cookie", "www-authenticate", "clear-site-data"] {
                assert!(!stored.contains_key(name), "{name}");
            }
        }
        assert_eq!(storable(&stored, &terms.withheld, now()), stored);
    }

    fn is_reused_as_allowed(&self, terms: &Terms) {
        let fresh = Freshness::Fresh {
            left: terms.life.fresh,
        };
        let reused = lookup(&self.request, Ok(candidate(terms, fresh)), &self.policy);
        assert!(reused != Lookup::Fresh || !self.request.directives.no_cache);
        let may_be_given = self.profile == Profile::Standard
            || self.credentials != Credentials::Matter
            || !self.request.has_credentials()
            || terms.nature.shared_with_credentials;
        assert!(reused != Lookup::Fresh || may_be_given);

        let stale = candidate(
            terms,
            Freshness::Stale {
                by: Duration::from_secs(1),
                while_revalidate: !terms.life.stale_while_revalidate.is_zero(),
                if_error: !terms.life.stale_if_error.is_zero(),
            },
        );
        let reused = lookup(&self.request, Ok(stale), &self.policy);
        let is_given = matches!(reused, Lookup::StaleWhileRevalidate | Lookup::MaxStale);
        let stands_in = [Failure::Unreachable, Failure::Status]
            .into_iter()
            .any(|failure| may_stand_in(&self.request, &stale, &self.policy, failure));
        assert!(reused != Lookup::Fresh);
        assert!(!is_given && !stands_in || !terms.nature.forbids_stale && may_be_given);
    }
}

fn lives_as_allowed(terms: &Terms, received: Received) {
    let life = &terms.life;
    for span in [life.fresh, life.stale_while_revalidate, life.stale_if_error] {
        assert!(span <= A_YEAR);
    }
    let overdue = terms.nature.overdue;
    assert!(life.fresh.is_zero() || overdue.is_zero());
    for window in [life.stale_while_revalidate, life.stale_if_error] {
        assert!(window.is_zero() || overdue + window <= A_DAY);
    }
    assert!(
        terms
            .length
            .is_none_or(|length| length <= received.max_body)
    );
}

fn candidate(terms: &Terms, freshness: Freshness) -> Candidate {
    Candidate {
        age: terms.nature.initial_age,
        freshness,
        shared_with_credentials: terms.nature.shared_with_credentials,
        forbids_stale: terms.nature.forbids_stale,
        immutable: terms.nature.immutable,
    }
}

fn keys(uri: &Uri, headers: &HeaderMap) {
    let mut key = Vec::new();
    if write_key(&KeyPolicy::default(), "http", uri, headers, true, &mut key).is_some() {
        assert!(!key.is_empty() && key.len() <= LONGEST_KEY);
    } else {
        assert!(key.is_empty());
    }
    is_accept_encoding_malformed(headers);
    let fields: Vec<HeaderName> = headers.keys().take(4).cloned().collect();
    for profile in PROFILES {
        write_selecting(&fields, headers, profile, &mut key);
    }
}

fn policy(pick: u8) -> (Policy, Credentials) {
    let hour = Policy::ttl(hours(1));
    match pick % 5 {
        0 => (Policy::from_headers(), Credentials::Matter),
        1 => (
            hour.stale_if_error(minutes(5)).vary_by_query(["a"]),
            Credentials::Matter,
        ),
        2 => (hour.ignore_credentials(), Credentials::Ignored),
        3 => (hour.per_credential(), Credentials::InTheKey),
        _ => (
            Policy::override_ttl(hours(1)).ignore_query(["utm_*"]),
            Credentials::Matter,
        ),
    }
}

fn request_of(head: &[u8]) -> Option<(Method, Uri, HeaderMap)> {
    let (first, lines) = first_and_rest(head, b'\n');
    let (method, uri) = cut(first, b' ')?;
    let method = Method::from_bytes(method).ok()?;
    let uri = Uri::try_from(uri).ok()?;
    Some((method, uri, fields(lines)))
}

/// A status in the first line, which is 200 where it is none, and fields.
pub(super) fn response_of(head: &[u8]) -> (StatusCode, HeaderMap) {
    let (status, lines) = first_and_rest(head, b'\n');
    let status = StatusCode::from_bytes(status).unwrap_or(StatusCode::OK);
    (status, fields(lines))
}
