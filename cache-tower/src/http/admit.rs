//! The one gate to the store: may this response be kept, and on what terms (RFC 9111 §3)?
//!
//! The function is total and defaults to no. It asks, in this order: is it the kind of exchange a
//! cache may keep at all; may it be shared; can its body be kept whole; and does it live. The rules
//! beyond the RFC ("guarded") are marked: they refuse what the RFC would allow but what a service
//! that never thought of caching may not have meant.

use super::{
    freshness::{explicit_lifetime, heuristic_lifetime, initial_age, is_heuristically_cacheable},
    range::ContentRange,
    request::{Bypass, MethodClass, RequestFacts},
    response::{Extent, Length, ResponseFacts},
    vary::Vary,
};
use crate::policy::{Policy, Profile, Source};
use cache_core::policy::{LONGEST, Life, days};
use http::{HeaderName, StatusCode, header};
use std::time::{Duration, SystemTime};

/// What becomes of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub enum Admission {
    /// It is stored on these terms.
    Store(Terms),
    /// It is passed on and not stored.
    Pass(Pass),
}

/// On what terms a response is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Its lifetime from now, the windows after it, and how long it is kept for validation.
    pub life: Life,
    /// What of this is kept with it.
    pub nature: Nature,
    /// The request fields that select it.
    pub vary: Vec<HeaderName>,
    /// It may be given to those who asked for the same while it was on its way: what has to be validated
    /// each time has to be validated for each of them.
    pub shared_at_once: bool,
    /// How much of its representation it holds: all, or this part.
    pub part: Option<ContentRange>,
    /// The fields that are not stored.
    pub withheld: Vec<HeaderName>,
    /// The length its body must have.
    pub length: Option<u64>,
}

impl Terms {
    /// The same, `by` later: it is older by so much, and as much less is left of its lifetime, then of
    /// the windows after it.
    pub fn later(&mut self, by: Duration) {
        let Life {
            fresh,
            stale_while_revalidate,
            stale_if_error,
            ..
        } = &mut self.life;
        let overdue = by.saturating_sub(*fresh);
        *fresh = fresh.saturating_sub(by);
        for window in [stale_while_revalidate, stale_if_error] {
            *window = window.saturating_sub(overdue);
        }
        let nature = &mut self.nature;
        nature.initial_age = nature.initial_age.saturating_add(by);
        nature.overdue = nature.overdue.saturating_add(overdue);
    }
}

/// What is kept with a stored response of how it was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nature {
    /// How old it was when it came.
    pub initial_age: Duration,
    /// How long its lifetime was over when it came.
    pub overdue: Duration,
    /// It may be given to requests that carry credentials.
    pub shared_with_credentials: bool,
    /// It may not be given out stale, whatever the client allows and the origin suffers (RFC 9111 §4.2.4).
    pub forbids_stale: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// It lives by a targeted field (RFC 9213).
    pub is_targeted: bool,
}

/// Why a response is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pass {
    /// The request is not a GET, or one of which nothing may be stored.
    Request,
    /// The policy stores nothing.
    Policy,
    /// Its status is one that is never stored, or not without a lifetime of its own.
    Status,
    /// Its Cache-Control does not parse.
    Malformed,
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// `no-cache`, and nothing to validate it by.
    NoCache,
    /// The request carried Authorization or Cookie and the response does not say it may be shared.
    Credentials,
    /// It sets a cookie.
    SetCookie,
    /// It has another field that is about one client.
    Personal,
    /// It names one origin that may read it and does not vary by origin.
    Cors,
    /// It varies by everything, or by credentials.
    Vary,
    /// It is parts of something, or one that nobody asked for or that is not what it says.
    Partial,
    /// It has trailers.
    Trailers,
    /// It is a stream, or switches protocols.
    Stream,
    /// Its fields or body are larger than what is kept.
    TooLarge,
    /// Its Content-Length is none.
    Length,
    /// One of its groups cannot be named: the route lacks a parameter, or there are too many.
    Groups,
    /// It has no lifetime, or none is left, and nothing to validate it by.
    NoLifetime,
}

impl Pass {
    /// A word for logs and the Cache-Status field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Policy => "policy",
            Self::Status => "status",
            Self::Malformed => "malformed",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::NoCache => "no-cache",
            Self::Credentials => "credentials",
            Self::SetCookie => "set-cookie",
            Self::Personal => "personal",
            Self::Cors => "cors",
            Self::Vary => "vary",
            Self::Partial => "partial",
            Self::Trailers => "trailers",
            Self::Stream => "stream",
            Self::TooLarge => "too-large",
            Self::Length => "length",
            Self::Groups => "groups",
            Self::NoLifetime => "no-lifetime",
        }
    }
}

/// What else the decision depends on: when the response came, and what the cache can keep.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// The wall clock when its head came.
    pub at: SystemTime,
    /// The time since its request was forwarded.
    pub delay: Duration,
    /// The largest body that is kept, in bytes.
    pub max_body: u64,
    /// Its groups are known and within their limits. Stored without one of them, a response would
    /// outlive the purge of that group.
    pub groups_known: bool,
}

/// Fields of more bytes than this are not kept (guarded).
pub const MOST_HEADER_BYTES: usize = 64 * 1024;

/// Decides.
pub fn admit(
    request: &RequestFacts,
    response: &ResponseFacts,
    policy: &Policy,
    received: Received,
) -> Admission {
    match refusal(request, response, policy, &received) {
        Some(pass) => Admission::Pass(pass),
        None => terms(response, policy, received)
            .map_or(Admission::Pass(Pass::NoLifetime), Admission::Store),
    }
}

fn refusal(
    request: &RequestFacts,
    response: &ResponseFacts,
    policy: &Policy,
    received: &Received,
) -> Option<Pass> {
    not_an_exchange_to_keep(request, response, policy)
        .or_else(|| not_to_be_shared(request, response, policy))
        .or_else(|| not_to_be_kept_whole(request, response, received.max_body))
        .or_else(|| (!received.groups_known).then_some(Pass::Groups))
}

fn not_an_exchange_to_keep(
    request: &RequestFacts,
    response: &ResponseFacts,
    policy: &Policy,
) -> Option<Pass> {
    let directives = &response.directives;
    if policy.source() == Source::Off {
        return Some(Pass::Policy);
    }
    // RFC 9111 §3: "the request method is understood by the cache". GET is, and of POST that its response
    // may stand for one to GET (RFC 9110 §9.3.3): whether this one does the caller knows, by its URI.
    if !matches!(request.method, MethodClass::Get | MethodClass::Post)
        || request
            .bypass_reason()
            .is_some_and(|reason| reason != Bypass::Method)
        || request.directives.no_store
    {
        return Some(Pass::Request);
    }
    if directives.malformed {
        return Some(Pass::Malformed);
    }
    if forbids_storing(response) {
        return Some(Pass::NoStore);
    }
    if !may_be_stored(response, policy) {
        return Some(Pass::Status);
    }
    if is_about_what_no_key_holds(request, response.status) {
        return Some(Pass::Request);
    }
    // RFC 9110 §9.3.3: of POST only "when they include explicit freshness information".
    if request.method == MethodClass::Post && (policy.is_guarded() || !names_a_lifetime(response)) {
        return Some(Pass::Request);
    }
    None
}

/// A 412 is about the conditions of this request and a 416 about its Range (RFC 9110 §15.5.13, §15.5.17).
/// Others would be told of what they never asked.
fn is_about_what_no_key_holds(request: &RequestFacts, status: StatusCode) -> bool {
    match status {
        StatusCode::PRECONDITION_FAILED => request.conditional || request.precondition,
        StatusCode::RANGE_NOT_SATISFIABLE => request.range,
        _ => false,
    }
}

/// RFC 9111 §3: "the no-store cache directive is not present in the response", unless `must-understand`
/// is and the status is understood; and where that is not, nothing is stored (§5.2.2.3).
fn forbids_storing(response: &ResponseFacts) -> bool {
    let directives = &response.directives;
    match (directives.must_understand, is_understood(response.status)) {
        (false, _) => directives.no_store,
        (true, understood) => !understood,
    }
}

fn not_to_be_shared(
    request: &RequestFacts,
    response: &ResponseFacts,
    policy: &Policy,
) -> Option<Pass> {
    let directives = &response.directives;
    // RFC 9111 §3: "if the cache is shared: the private response directive is not present".
    if directives.private || directives.withheld_fields().any(governs_the_rest) {
        return Some(Pass::Private);
    }
    if directives.no_cache && !response.has_validator {
        return Some(Pass::NoCache);
    }
    // RFC 9111 §3.5 for Authorization; Cookie the same way (guarded).
    let has_credentials = request.authorization || (request.cookie && policy.is_guarded());
    if has_credentials
        && policy.minds_credentials()
        && !directives.is_explicitly_shared(policy.follows())
    {
        return Some(Pass::Credentials);
    }
    // RFC 9111 §4.1: "*" always fails to match.
    if response.vary == Vary::Any {
        return Some(Pass::Vary);
    }
    match policy.follows() {
        Profile::Guarded => about_one_client(response, policy),
        Profile::Standard => None,
    }
}

/// Whether a field says whom the response may be given, or how its body is to be read. Stored without
/// it, as a qualified `private` or `no-cache` of it asks, the rest would be something else.
fn governs_the_rest(field: &HeaderName) -> bool {
    [
        header::VARY,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
    ]
    .contains(field)
}

/// What the RFC leaves to the origin and its origin may not have thought of (guarded).
fn about_one_client(response: &ResponseFacts, policy: &Policy) -> Option<Pass> {
    // RFC 9111 §7.3.
    if response.sets_cookie {
        return Some(Pass::SetCookie);
    }
    if response.is_personal {
        return Some(Pass::Personal);
    }
    if response.is_for_one_origin {
        return Some(Pass::Cors);
    }
    // A variant per credential is a private store in a shared one, unless the key keeps credentials apart
    // anyway.
    let by_credentials =
        response.vary.names(&header::AUTHORIZATION) || response.vary.names(&header::COOKIE);
    (by_credentials && !policy.key().per_credential).then_some(Pass::Vary)
}

fn not_to_be_kept_whole(
    request: &RequestFacts,
    response: &ResponseFacts,
    max_body: u64,
) -> Option<Pass> {
    let is_long = length(response).is_some_and(|length| length > max_body);
    if response.length == Length::Invalid {
        Some(Pass::Length)
    } else if is_long || response.header_bytes > MOST_HEADER_BYTES {
        Some(Pass::TooLarge)
    } else if is_odd_part(request, response.extent) {
        Some(Pass::Partial)
    } else if response.has_trailers {
        Some(Pass::Trailers)
    } else if response.upgrades || response.is_stream {
        Some(Pass::Stream)
    } else {
        None
    }
}

/// A part is kept where it was asked for and says which it is (RFC 9111 §3.3).
fn is_odd_part(request: &RequestFacts, extent: Extent) -> bool {
    match extent {
        Extent::Whole => false,
        Extent::Part(_) => !request.range,
        Extent::Odd => true,
    }
}

/// Whether the status, with what the response says of it, is one that is stored (RFC 9111 §3).
fn may_be_stored(response: &ResponseFacts, policy: &Policy) -> bool {
    let status = response.status;
    match policy.follows() {
        Profile::Guarded => may_be_stored_guarded(response, policy),
        Profile::Standard => {
            !is_never_stored(status)
                && (is_heuristically_cacheable(status)
                    || response.directives.public
                    || names_a_lifetime(response))
        }
    }
}

/// With a lifetime of their own also 404 and 410; never those that this one request may have caused by
/// its credentials, size, rate or form.
fn may_be_stored_guarded(response: &ResponseFacts, policy: &Policy) -> bool {
    match response.status.as_u16() {
        200 | 203 | 204 | 206 | 300 | 301 | 308 => true,
        302 | 303 | 307 | 404 | 410 => {
            names_a_lifetime(response) && !matches!(policy.source(), Source::Overridden(_))
        }
        _ => false,
    }
}

/// Interim ones; 304, which is about what is stored; and those that RFC 6585 forbids to store.
fn is_never_stored(status: StatusCode) -> bool {
    matches!(status.as_u16(), 100..=199 | 304 | 428 | 429 | 431 | 511)
}

/// The statuses of RFC 9110 §15 and those that this cache has rules for.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=206 | 300..=305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505
    )
}

fn names_a_lifetime(response: &ResponseFacts) -> bool {
    explicit_lifetime(response, SystemTime::UNIX_EPOCH).is_some()
}

/// So long what has ended is kept for validation, where there is something to validate it by; and for
/// clients that take it stale.
const KEPT: Duration = days(7);

fn terms(response: &ResponseFacts, policy: &Policy, received: Received) -> Option<Terms> {
    let initial_age = initial_age(response, received.at, received.delay);
    let lifetime = lifetime(response, policy, received.at).unwrap_or(Duration::ZERO);
    let overdue = initial_age.saturating_sub(lifetime);
    let life = Life {
        fresh: lifetime.saturating_sub(initial_age).min(LONGEST),
        ..windows(response, policy, overdue)
    };
    // RFC 9111 §5.2.2.4: not to be used without validation, ever.
    let life = if response.directives.no_cache {
        Life::default()
    } else {
        life
    };
    let is_of_use = life != Life::default()
        || response.has_validator
        || may_be_of_use_stale(response, policy, lifetime);
    let directives = &response.directives;
    Some(Terms {
        life: Life { kept: KEPT, ..life },
        nature: Nature {
            initial_age,
            overdue,
            shared_with_credentials: directives.is_explicitly_shared(policy.follows()),
            forbids_stale: directives.forbids_stale(),
            immutable: directives.immutable,
            is_targeted: response.is_targeted,
        },
        vary: selecting(response, policy)?,
        shared_at_once: !life.fresh.is_zero() || !life.stale_while_revalidate.is_zero(),
        part: match response.extent {
            Extent::Part(range) => Some(range),
            Extent::Whole | Extent::Odd => None,
        },
        withheld: directives.withheld_fields().cloned().collect(),
        length: length(response),
    })
    .filter(|_| is_of_use)
}

/// What had a lifetime, if it is over already, is for clients that take it stale (RFC 9111 §5.2.1.2), and
/// for an origin that cannot be reached (§4.2.4).
fn may_be_of_use_stale(response: &ResponseFacts, policy: &Policy, lifetime: Duration) -> bool {
    policy.follows() == Profile::Standard
        && !lifetime.is_zero()
        && !response.directives.forbids_stale()
}

fn length(response: &ResponseFacts) -> Option<u64> {
    match (response.extent, response.length) {
        (Extent::Part(range), _) => range.span().map(|span| span.length()),
        (_, Length::Declared(length)) => Some(length),
        (_, Length::Undeclared | Length::Invalid) => None,
    }
}

/// The request fields that select it. Where the key keeps credentials apart they need not select as well,
/// and are not kept as text.
fn selecting(response: &ResponseFacts, policy: &Policy) -> Option<Vec<HeaderName>> {
    let Vary::Fields(mut vary) = response.vary.clone() else {
        return None;
    };
    if policy.key().per_credential {
        vary.retain(|name| name != header::AUTHORIZATION && name != header::COOKIE);
    }
    Some(vary)
}

fn lifetime(response: &ResponseFacts, policy: &Policy, received: SystemTime) -> Option<Duration> {
    let explicit = explicit_lifetime(response, received);
    match policy.source() {
        Source::Fields => explicit.or_else(|| heuristic_lifetime(response, received)),
        Source::Supplied(ttl) => explicit.or(Some(ttl)),
        Source::Overridden(ttl) => Some(ttl),
        Source::Off => None,
    }
}

/// The stale windows: the response's own (RFC 5861), else the policy's, and none where the response
/// forbids it (RFC 9111 §4.2.4). They count from the end of the lifetime (RFC 5861 §3), also where that
/// lies in the past.
fn windows(response: &ResponseFacts, policy: &Policy, overdue: Duration) -> Life {
    let directives = &response.directives;
    if directives.forbids_stale() {
        return Life::default();
    }
    let own = |window: Option<Duration>, supplied: Duration| {
        window
            .map_or(supplied, |window| window.min(policy.longest_stale()))
            .min(LONGEST)
            .saturating_sub(overdue)
    };
    let (revalidate, error) = policy.windows();
    Life {
        stale_while_revalidate: own(directives.stale_while_revalidate, revalidate),
        stale_if_error: own(directives.stale_if_error, error),
        ..Life::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::response::Reading, *};
    use cache_core::policy::{hours, minutes, seconds};
    use http::{HeaderMap, HeaderValue, Method, Uri};
    use proptest::prelude::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect()
    }

    fn decide(
        policy: &Policy,
        request: &[(&str, &str)],
        status: u16,
        response: &[(&str, &str)],
    ) -> Admission {
        let profile = policy.follows();
        let request = RequestFacts::read(
            &Method::GET,
            &Uri::from_static("/"),
            &map(request),
            false,
            profile,
        );
        let reading = Reading {
            profile,
            targets: &[],
            received: SystemTime::UNIX_EPOCH,
        };
        let status = StatusCode::from_u16(status).unwrap();
        let response = ResponseFacts::read(status, &map(response), reading);
        let received = Received {
            at: SystemTime::UNIX_EPOCH,
            delay: Duration::ZERO,
            max_body: 1024,
            groups_known: true,
        };
        admit(&request, &response, policy, received)
    }

    fn fresh(admission: Admission) -> u64 {
        match admission {
            Admission::Store(terms) => terms.life.fresh.as_secs(),
            Admission::Pass(pass) => panic!("passed: {}", pass.as_str()),
        }
    }

    #[test]
    fn a_supplied_lifetime_fills_in_and_an_overriding_one_replaces() {
        let named = [("cache-control", "max-age=60")];
        assert_eq!(fresh(decide(&Policy::ttl(hours(1)), &[], 200, &[])), 3600);
        assert_eq!(fresh(decide(&Policy::ttl(hours(1)), &[], 200, &named)), 60);
        assert_eq!(
            fresh(decide(&Policy::override_ttl(hours(1)), &[], 200, &named)),
            3600
        );
        assert_eq!(
            decide(&Policy::from_headers(), &[], 200, &[]),
            Admission::Pass(Pass::NoLifetime)
        );
    }

    #[test]
    fn what_would_be_stored_without_the_field_that_governs_it_is_not_stored() {
        for policy in [Policy::from_headers(), Policy::standard()] {
            for directive in ["private=\"vary\"", "no-cache=\"x-a, Content-Type\""] {
                let control = format!("max-age=60, {directive}");
                let passed = decide(&policy, &[], 200, &[("cache-control", &control)]);
                assert_eq!(passed, Admission::Pass(Pass::Private), "{directive}");
            }
            let control = [("cache-control", "max-age=60, private=\"x-a\"")];
            assert_eq!(fresh(decide(&policy, &[], 200, &control)), 60);
        }
    }

    #[test]
    fn a_part_that_names_more_bytes_than_are_kept_is_too_large() {
        let part = |last| {
            let range = format!("bytes 0-{last}/*");
            let fields = [("content-range", &*range), ("cache-control", "max-age=60")];
            decide(
                &Policy::from_headers(),
                &[("range", "bytes=0-")],
                206,
                &fields,
            )
        };
        assert_eq!(fresh(part(1023)), 60);
        assert_eq!(part(1024), Admission::Pass(Pass::TooLarge));
    }

    #[test]
    fn sto_16_windows_a_response_names_are_cut() {
        let policy = Policy::from_headers()
            .max_stale(minutes(5))
            .stale_if_error(seconds(7));
        let huge = [(
            "cache-control",
            "max-age=1, stale-while-revalidate=18446744073709551615",
        )];
        let Admission::Store(terms) = decide(&policy, &[], 200, &huge) else {
            panic!("passed")
        };
        assert_eq!(terms.life.stale_while_revalidate, minutes(5));
        assert_eq!(
            terms.life.stale_if_error,
            seconds(7),
            "the policy's, where the response names none"
        );
    }

    #[test]
    fn sto_17_no_window_where_stale_is_forbidden() {
        let policy = Policy::ttl(hours(1))
            .stale_if_error(hours(1))
            .stale_while_revalidate(hours(1));
        for directive in ["must-revalidate", "proxy-revalidate", "s-maxage=9"] {
            let cc = format!("max-age=9, stale-if-error=9, {directive}");
            let Admission::Store(terms) = decide(&policy, &[], 200, &[("cache-control", &cc)])
            else {
                panic!("passed")
            };
            assert_eq!(
                terms.life,
                Life {
                    fresh: seconds(9),
                    kept: KEPT,
                    ..Life::default()
                },
                "{directive}"
            );
        }
    }

    #[test]
    fn an_age_from_upstream_shortens_the_lifetime_and_then_the_windows() {
        let aged = |age| {
            [
                ("cache-control", "max-age=10, stale-if-error=20"),
                ("age", age),
            ]
        };
        let life = |age| match decide(&Policy::from_headers(), &[], 200, &aged(age)) {
            Admission::Store(terms) => Some((
                terms.life.fresh.as_secs(),
                terms.life.stale_if_error.as_secs(),
            )),
            Admission::Pass(_) => None,
        };
        assert_eq!(life("4"), Some((6, 20)));
        assert_eq!(life("15"), Some((0, 15)));
        assert_eq!(life("30"), None);
        assert_eq!(life("18446744073709551615"), None, "STO-12");
    }

    fn line() -> impl Strategy<Value = String> {
        let word = proptest::sample::select(vec![
            "no-store",
            "private",
            "no-cache",
            "public",
            "max-age=60",
            "s-maxage=60",
            "max-age=0",
            "\"",
            ",",
            "=",
            " ",
            "must-revalidate",
            "stale-while-revalidate=9",
            "PRIVATE=\"x\"",
            "ext=\"no-store\"",
            "max-age=99999999999999999999",
        ]);
        proptest::collection::vec(word, 0..6).prop_map(|words| words.join(","))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]
        #[test]
        fn nothing_that_forbids_storing_is_stored(
            lines in proptest::collection::vec(line(), 0..3), status in 200..599_u16, cookie in any::<bool>(), set in any::<bool>(),
        ) {
            let mut response: Vec<_> = lines.iter().map(|line| ("cache-control", line.as_str())).collect();
            if set {
                response.push(("set-cookie", "sid=1"));
            }
            let request: &[(&str, &str)] = if cookie { &[("cookie", "sid=1")] } else { &[] };
            if let Admission::Store(terms) = decide(&Policy::ttl(hours(1)), request, status, &response) {
                let all = lines.join(",").to_ascii_lowercase();
                let unquoted = all.replace("ext=\"no-store\"", "");
                prop_assert!(!set && !unquoted.contains("no-store") && !all.replace("private=\"x\"", "").contains("private"));
                let kept_only = terms.life == Life { kept: KEPT, ..Life::default() };
                prop_assert!(!all.contains("no-cache") || kept_only);
                prop_assert!(!cookie || all.contains("public") || all.contains("s-maxage"));
                prop_assert!(terms.life.fresh <= LONGEST);
                prop_assert!(status < 400 || status == 404 || status == 410);
            }
        }
    }
}
