//! May what is stored answer this request (RFC 9111 §4)?

use super::{cache_status::Forwarded, request::RequestFacts};
use crate::policy::{Policy, Profile};
use cache_core::Freshness;
use std::time::Duration;

/// What the cache knows of a stored response that was selected for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its current age (RFC 9111 §4.2.3).
    pub age: Duration,
    /// Where in its life it is.
    pub freshness: Freshness,
    /// It may be given to requests that carry credentials.
    pub shared_with_credentials: bool,
    /// It may not be given out stale (RFC 9111 §4.2.4).
    pub forbids_stale: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
}

impl Candidate {
    /// Whether one who came for it `ago`, while it was on its way, may have it without a question: it was fresh
    /// then, or it is within the window in which it is refreshed meanwhile (RFC 9111 §4).
    pub fn is_for_who_came(&self, ago: Duration) -> bool {
        match self.freshness {
            Freshness::Fresh { .. } => true,
            Freshness::Stale {
                by,
                while_revalidate,
                ..
            } => while_revalidate || by < ago,
            Freshness::Dead => false,
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Answer with it.
    Fresh,
    /// Answer with it, and refresh it.
    StaleWhileRevalidate,
    /// Answer with it: the client takes it stale (RFC 9111 §5.2.1.2).
    MaxStale,
    /// Forward the request.
    Forward(Forwarded),
    /// The client wants a stored response or none (RFC 9111 §5.2.1.7).
    GatewayTimeout,
}

/// Decides over the response selected for a request, if there is one; `none` says why not.
pub fn lookup(
    request: &RequestFacts,
    stored: Result<Candidate, Forwarded>,
    policy: &Policy,
) -> Lookup {
    let decision = match stored {
        Ok(stored) => reuse(request, &stored, policy),
        Err(why) => Lookup::Forward(why),
    };
    match decision {
        Lookup::Forward(_) if request.directives.only_if_cached && policy.heeds_client() => {
            Lookup::GatewayTimeout
        }
        decision => decision,
    }
}

fn reuse(request: &RequestFacts, stored: &Candidate, policy: &Policy) -> Lookup {
    if !may_be_given(request, stored, policy) {
        return Lookup::Forward(Forwarded::Miss);
    }
    match stored.freshness {
        Freshness::Fresh { left } if satisfies(request, stored, left, policy) => Lookup::Fresh,
        Freshness::Fresh { .. } => Lookup::Forward(Forwarded::Request),
        Freshness::Stale {
            by,
            while_revalidate: true,
            ..
        } if may_be_revalidated_later(request, stored, by, policy) => Lookup::StaleWhileRevalidate,
        Freshness::Stale { by, .. } if is_taken_stale(request, stored, by, policy) => {
            Lookup::MaxStale
        }
        Freshness::Stale { .. } | Freshness::Dead => Lookup::Forward(Forwarded::Stale),
    }
}

/// A lifetime that only the policy supplied says nothing of users: see `Policy`.
fn may_be_given(request: &RequestFacts, stored: &Candidate, policy: &Policy) -> bool {
    !request.has_credentials() || !policy.separates_credentials() || stored.shared_with_credentials
}

/// Whether the client's own limits allow it (RFC 9111 §5.2.1). `max-age=0` asks for validation, also of
/// what came this moment (§4).
fn satisfies(request: &RequestFacts, stored: &Candidate, left: Duration, policy: &Policy) -> bool {
    let asked = &request.directives;
    // RFC 8246 §2: while it is fresh, only an explicit `no-cache` asks for more.
    let is_immutable = stored.immutable && !left.is_zero();
    let is_young = asked
        .max_age
        .is_none_or(|most| stored.age <= most && !most.is_zero());
    !policy.heeds_client()
        || (!asked.no_cache
            && (is_young || is_immutable)
            && asked.min_fresh.is_none_or(|least| left >= least))
}

/// Who asks for a `max-age` "does not wish to receive a stale response", unless it also says `max-stale`
/// (RFC 9111 §5.2.1.1).
fn may_be_revalidated_later(
    request: &RequestFacts,
    stored: &Candidate,
    by: Duration,
    policy: &Policy,
) -> bool {
    let minds = policy.heeds_client() && request.directives.max_age.is_some();
    satisfies(request, stored, Duration::ZERO, policy)
        && (!minds || is_taken_stale(request, stored, by, policy))
}

fn is_taken_stale(
    request: &RequestFacts,
    stored: &Candidate,
    by: Duration,
    policy: &Policy,
) -> bool {
    policy.heeds_client()
        && !stored.forbids_stale
        && satisfies(request, stored, Duration::ZERO, policy)
        && request.directives.max_stale.is_some_and(|most| by <= most)
}

/// How the origin failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It could not be reached, or hung up.
    Unreachable,
    /// It answered 500, 502, 503 or 504 (RFC 5861 §4).
    Status,
}

/// Whether what is stale may stand in for an origin that failed.
pub fn may_stand_in(
    request: &RequestFacts,
    stored: &Candidate,
    policy: &Policy,
    failure: Failure,
) -> bool {
    let Freshness::Stale { by, if_error, .. } = stored.freshness else {
        return false;
    };
    let heeded = policy.heeds_client();
    let is_wanted = !(heeded && request.directives.no_cache);
    // RFC 9111 §4.2.4: a cache that is disconnected may.
    let is_cut_off = failure == Failure::Unreachable
        && policy.follows() == Profile::Standard
        && by <= policy.longest_stale();
    // RFC 5861 §4: the client may say so as well.
    let client_allows = heeded
        && request
            .directives
            .stale_if_error
            .is_some_and(|most| by <= most);
    is_wanted
        && may_be_given(request, stored, policy)
        && (if_error || (!stored.forbids_stale && (is_cut_off || client_allows)))
}
