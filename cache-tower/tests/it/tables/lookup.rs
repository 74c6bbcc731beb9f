//! `http::lookup`: whether what is stored answers.

use super::{
    admission::Exchange,
    text::{fields, policy, seconds},
};
use cache_tower::{
    Freshness, Profile,
    http::{
        admit::{Admission, Terms},
        cache_status::Forwarded,
        lookup::{self, Candidate, Failure, Lookup},
        request::RequestFacts,
    },
};
use http::{Method, Uri};
use serde::Deserialize;
use std::time::Duration;

/// A response that was stored, if it was admitted, and a request for the same after a while.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Case {
    /// The fields of the response.
    stored: Vec<String>,
    /// Those of the request it answered.
    stored_for: Vec<String>,
    /// In seconds, since it was stored.
    after: u64,
    request: Vec<String>,
    policy: Vec<String>,
    /// Why there is nothing to answer with.
    nothing: Option<String>,
    /// How the origin failed.
    failure: Option<String>,
}

impl Case {
    fn candidate(&self, profile: Profile) -> Result<Candidate, Forwarded> {
        if let Some(why) = &self.nothing {
            return Err(forwarded(why));
        }
        let exchange = Exchange {
            request: self.stored_for.clone(),
            response: self.stored.clone(),
            policy: self.policy.clone(),
            ..Exchange::default()
        };
        match exchange.admission(profile) {
            Admission::Store(terms) => Ok(candidate(&terms, seconds(self.after))),
            Admission::Pass(_) => Err(Forwarded::UriMiss),
        }
    }

    fn request(&self, profile: Profile) -> RequestFacts {
        let request = fields(&self.request);
        RequestFacts::read(
            &Method::GET,
            &Uri::from_static("/"),
            &request,
            false,
            profile,
        )
    }
}

/// What is known of a response `after` it was stored.
fn candidate(terms: &Terms, after: Duration) -> Candidate {
    let life = &terms.life;
    let past = after.saturating_sub(life.fresh);
    let freshness = if after < life.fresh {
        Freshness::Fresh {
            left: life.fresh - after,
        }
    } else if past
        < life
            .kept
            .max(life.stale_while_revalidate)
            .max(life.stale_if_error)
    {
        Freshness::Stale {
            by: past + terms.nature.overdue,
            while_revalidate: past < life.stale_while_revalidate,
            if_error: past < life.stale_if_error,
        }
    } else {
        Freshness::Dead
    };
    Candidate {
        age: terms.nature.initial_age + after,
        freshness,
        shared_with_credentials: terms.nature.shared_with_credentials,
        forbids_stale: terms.nature.forbids_stale,
        immutable: terms.nature.immutable,
    }
}

fn forwarded(why: &str) -> Forwarded {
    let all = [
        Forwarded::UriMiss,
        Forwarded::VaryMiss,
        Forwarded::Miss,
        Forwarded::Request,
        Forwarded::Stale,
        Forwarded::Partial,
        Forwarded::Method,
    ];
    all.into_iter()
        .find(|known| known.as_str() == why)
        .expect("a token of RFC 9211")
}

pub(super) fn decided(case: &Case, profile: Profile) -> String {
    let policy = policy(&case.policy, profile);
    match lookup::lookup(&case.request(profile), case.candidate(profile), &policy) {
        Lookup::Fresh => "answered: fresh".to_owned(),
        Lookup::StaleWhileRevalidate => "answered: stale while revalidating".to_owned(),
        Lookup::MaxStale => "answered: stale as the client allows".to_owned(),
        Lookup::Forward(why) => format!("forwarded: {}", why.as_str()),
        Lookup::GatewayTimeout => "504".to_owned(),
    }
}

pub(super) fn stand_in(case: &Case, profile: Profile) -> String {
    let failure = match case.failure.as_deref() {
        Some("unreachable") => Failure::Unreachable,
        Some("status") => Failure::Status,
        other => panic!("{other:?} is no failure"),
    };
    let stands_in = case.candidate(profile).is_ok_and(|stored| {
        let policy = policy(&case.policy, profile);
        lookup::may_stand_in(&case.request(profile), &stored, &policy, failure)
    });
    if stands_in {
        "answered: stale"
    } else {
        "the error"
    }
    .to_owned()
}
