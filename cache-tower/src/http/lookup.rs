//! May what is stored answer this request (RFC 9111 §4)?

use super::{cache_status::Forwarded, request::RequestFacts};
use crate::policy::Policy;
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
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Answer with it.
    Fresh,
    /// Answer with it, and refresh it.
    StaleWhileRevalidate,
    /// Forward the request.
    Forward {
        /// Why.
        why: Forwarded,
        /// What is stored may answer if the origin fails.
        stale_if_error: bool,
    },
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
        Err(why) => Lookup::Forward {
            why,
            stale_if_error: false,
        },
    };
    match decision {
        Lookup::Forward { .. } if request.directives.only_if_cached && policy.heeds_client() => {
            Lookup::GatewayTimeout
        }
        decision => decision,
    }
}

fn reuse(request: &RequestFacts, stored: &Candidate, policy: &Policy) -> Lookup {
    // A lifetime that only the policy supplied says nothing of users: see `Policy`.
    if request.has_credentials()
        && policy.separates_credentials()
        && !stored.shared_with_credentials
    {
        return Lookup::Forward {
            why: Forwarded::Miss,
            stale_if_error: false,
        };
    }
    match stored.freshness {
        Freshness::Fresh { left } if satisfies(request, stored.age, left, policy) => Lookup::Fresh,
        Freshness::Fresh { .. } => Lookup::Forward {
            why: Forwarded::Request,
            stale_if_error: false,
        },
        Freshness::Stale {
            while_revalidate: true,
            ..
        } if satisfies(request, stored.age, Duration::ZERO, policy) => Lookup::StaleWhileRevalidate,
        Freshness::Stale {
            while_revalidate,
            if_error,
            ..
        } => {
            let why = if while_revalidate {
                Forwarded::Request
            } else {
                Forwarded::Stale
            };
            Lookup::Forward {
                why,
                stale_if_error: if_error,
            }
        }
        Freshness::Dead => Lookup::Forward {
            why: Forwarded::Stale,
            stale_if_error: false,
        },
    }
}

/// Whether the client's own limits allow it (RFC 9111 §5.2.1).
fn satisfies(request: &RequestFacts, age: Duration, left: Duration, policy: &Policy) -> bool {
    let asked = &request.directives;
    !policy.heeds_client()
        || (!asked.no_cache
            && asked
                .max_age
                .is_none_or(|most| age <= most && !most.is_zero())
            && asked.min_fresh.is_none_or(|least| left >= least))
}
