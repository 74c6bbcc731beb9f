//! The one gate to the store: may this response be kept, and on what terms (RFC 9111 §3)?
//!
//! The function is total and defaults to no. It asks, in this order: is it the kind of exchange a
//! cache may keep at all; may it be shared; can its body be kept whole; and does it live. The rules
//! beyond the RFC ("guarded") are marked: they refuse what the RFC would allow but what a service
//! that never thought of caching may not have meant.

use super::{
    freshness::{explicit_lifetime, initial_age},
    request::{MethodClass, RequestFacts},
    response::{Length, ResponseFacts},
    vary::Vary,
};
use crate::policy::{Policy, Source};
use cache_core::policy::{LONGEST, Life};
use http::{HeaderName, StatusCode, header};
use std::time::{Duration, SystemTime};

/// What becomes of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is stored on these terms.
    Store(Terms),
    /// It is passed on and not stored.
    Pass(Pass),
}

/// On what terms a response is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Its lifetime from now and the windows after it.
    pub life: Life,
    /// How old it was when it came.
    pub initial_age: Duration,
    /// The request fields that select it.
    pub vary: Vec<HeaderName>,
    /// It may be given to requests that carry credentials.
    pub shared_with_credentials: bool,
    /// The length its body must have.
    pub length: Option<u64>,
}

/// Why a response is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The request is not a GET, or one the cache was not asked for.
    Request,
    /// Its status is one that is never stored, or not without a lifetime of its own.
    Status,
    /// Its Cache-Control does not parse.
    Malformed,
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// `no-cache`: it would have to be validated each time.
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
    /// It is a part of something.
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
    /// It has no lifetime, or none is left.
    NoLifetime,
}

impl Pass {
    /// A word for logs and the Cache-Status field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
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
        .or_else(|| not_to_be_kept_whole(response, received.max_body))
        .or_else(|| (!received.groups_known).then_some(Pass::Groups))
}

fn not_an_exchange_to_keep(
    request: &RequestFacts,
    response: &ResponseFacts,
    policy: &Policy,
) -> Option<Pass> {
    let directives = &response.directives;
    // RFC 9111 §3: "the request method is understood by the cache". Of the methods only GET is. A
    // response to a condition or a range of one client (304, 206) answers nobody else.
    if request.method != MethodClass::Get
        || request.bypass_reason().is_some()
        || request.conditional
    {
        return Some(Pass::Request);
    }
    if directives.malformed {
        return Some(Pass::Malformed);
    }
    // RFC 9111 §3: "the no-store cache directive is not present in the response".
    if directives.no_store {
        return Some(Pass::NoStore);
    }
    if !may_be_stored(response.status, names_a_lifetime(response), policy) {
        return Some(Pass::Status);
    }
    None
}

fn not_to_be_shared(
    request: &RequestFacts,
    response: &ResponseFacts,
    policy: &Policy,
) -> Option<Pass> {
    let directives = &response.directives;
    // RFC 9111 §3: "if the cache is shared: the private response directive is not present".
    if directives.private {
        return Some(Pass::Private);
    }
    // RFC 9111 §5.2.2.4: not to be used "without forwarding it for validation".
    if directives.no_cache {
        return Some(Pass::NoCache);
    }
    // RFC 9111 §3.5 for Authorization; Cookie the same way (guarded).
    if request.has_credentials()
        && policy.separates_credentials()
        && !directives.is_explicitly_shared()
    {
        return Some(Pass::Credentials);
    }
    // The RFC leaves Set-Cookie to the origin (§7.3); guarded.
    if response.sets_cookie {
        return Some(Pass::SetCookie);
    }
    if response.is_personal {
        return Some(Pass::Personal);
    }
    if response.is_for_one_origin {
        return Some(Pass::Cors);
    }
    // RFC 9111 §4.1: "*" always fails to match. A variant per credential is a private store in a
    // shared one, unless the key keeps credentials apart anyway (guarded).
    let by_credentials =
        response.vary.names(&header::AUTHORIZATION) || response.vary.names(&header::COOKIE);
    if response.vary == Vary::Any || (by_credentials && !policy.key().per_credential) {
        return Some(Pass::Vary);
    }
    None
}

fn not_to_be_kept_whole(response: &ResponseFacts, max_body: u64) -> Option<Pass> {
    match response.length {
        Length::Invalid => return Some(Pass::Length),
        Length::Declared(length) if length > max_body => return Some(Pass::TooLarge),
        Length::Declared(_) | Length::Undeclared => {}
    }
    if response.header_bytes > MOST_HEADER_BYTES {
        Some(Pass::TooLarge)
    } else if response.is_partial {
        Some(Pass::Partial)
    } else if response.has_trailers {
        Some(Pass::Trailers)
    } else if response.upgrades || response.is_stream {
        Some(Pass::Stream)
    } else {
        None
    }
}

/// Which statuses are stored. With a lifetime of their own also 404 and 410; never those that this
/// one request may have caused by its credentials, size, rate or form (guarded), and not yet 206.
fn may_be_stored(status: StatusCode, names_a_lifetime: bool, policy: &Policy) -> bool {
    match status.as_u16() {
        200 | 203 | 204 | 300 | 301 | 308 => true,
        302 | 303 | 307 | 404 | 410 => {
            names_a_lifetime && !matches!(policy.source(), Source::Overridden(_))
        }
        _ => false,
    }
}

fn names_a_lifetime(response: &ResponseFacts) -> bool {
    explicit_lifetime(response, SystemTime::UNIX_EPOCH).is_some()
}

fn terms(response: &ResponseFacts, policy: &Policy, received: Received) -> Option<Terms> {
    let lifetime = lifetime(response, policy, received.at)?;
    let initial_age = initial_age(response, received.at, received.delay);
    let (while_revalidate, if_error) = windows(response, policy);
    // The windows count from the end of the lifetime (RFC 5861 §3), also where that lies in the past.
    let overdue = initial_age.saturating_sub(lifetime);
    let life = Life {
        fresh: lifetime.saturating_sub(initial_age),
        stale_while_revalidate: while_revalidate.saturating_sub(overdue),
        stale_if_error: if_error.saturating_sub(overdue),
    };
    let Vary::Fields(mut vary) = response.vary.clone() else {
        return None;
    };
    // Where the key keeps credentials apart they need not select as well, and are not kept as text.
    vary.retain(|name| name != header::AUTHORIZATION && name != header::COOKIE);
    (life != Life::default()).then_some(Terms {
        life,
        initial_age,
        vary,
        shared_with_credentials: response.directives.is_explicitly_shared(),
        length: match response.length {
            Length::Declared(length) => Some(length),
            Length::Undeclared | Length::Invalid => None,
        },
    })
}

fn lifetime(response: &ResponseFacts, policy: &Policy, received: SystemTime) -> Option<Duration> {
    let explicit = explicit_lifetime(response, received);
    match policy.source() {
        Source::Fields => explicit,
        Source::Supplied(ttl) => explicit.or(Some(ttl)),
        Source::Overridden(ttl) => Some(ttl),
        Source::Off => None,
    }
}

/// The stale windows: the response's own (RFC 5861), else the policy's, and none where the response
/// forbids it (RFC 9111 §4.2.4).
fn windows(response: &ResponseFacts, policy: &Policy) -> (Duration, Duration) {
    let directives = &response.directives;
    if directives.forbids_stale() {
        return (Duration::ZERO, Duration::ZERO);
    }
    let (revalidate, error) = policy.windows();
    let own = |window: Option<Duration>, supplied: Duration| {
        window
            .map_or(supplied, |window| window.min(policy.longest_stale()))
            .min(LONGEST)
    };
    (
        own(directives.stale_while_revalidate, revalidate),
        own(directives.stale_if_error, error),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let request =
            RequestFacts::read(&Method::GET, &Uri::from_static("/"), &map(request), false);
        let response = ResponseFacts::read(StatusCode::from_u16(status).unwrap(), &map(response));
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
                prop_assert!(!set && !unquoted.contains("no-store") && !all.contains("private") && !all.contains("no-cache"));
                prop_assert!(!cookie || all.contains("public") || all.contains("s-maxage"));
                prop_assert!(terms.life.fresh <= LONGEST);
                prop_assert!(status < 400 || status == 404 || status == 410);
            }
        }
    }
}
