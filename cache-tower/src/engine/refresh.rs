//! Renewing what was given out stale, in the background.

use super::{
    Origin, Shared,
    begin::Plan,
    exchange::{Exchange, Settled},
    remote::{self, Consulted},
};
use crate::{http::cache_control::RequestDirectives, policy::Policy, stored::Stored};
use cache_core::store::{Lead, Outcome, Permit};
use http::{Method, Request, header};
use std::{sync::Arc, time::Duration};

/// A refresh that is to be run, by [`refresh`]. Dropped instead, it passes its turn on.
pub(crate) struct Refresh {
    pub(crate) plan: Box<Plan>,
    lead: Lead<Stored>,
    permit: Permit,
}

impl Refresh {
    /// One refresh of a flight runs at a time, and so many in all.
    pub(super) fn begin(shared: &Arc<Shared>, policy: &Policy, plan: Box<Plan>) -> Option<Self> {
        let permit = shared.store.permit()?;
        let lead = shared
            .store
            .try_lead(&plan.flight, policy.life().work_limit())?;
        Some(Self { plan, lead, permit })
    }
}

/// Runs a refresh to its end. Its response is stored or dropped; nobody waits for it.
pub(crate) async fn refresh<O, B>(
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    refresh: Box<Refresh>,
    origin: O,
    request: Request<B>,
) where
    O: Origin<B>,
{
    let Refresh {
        mut plan,
        mut lead,
        permit,
    } = *refresh;
    let limit = policy.life().work_limit();
    let (mut parts, body) = request.into_parts();
    // The client was answered. What a GET would give is wanted now, whatever it asked for.
    parts.method = Method::GET;
    for name in [
        header::CACHE_CONTROL,
        header::PRAGMA,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_MATCH,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
        header::RANGE,
    ] {
        parts.headers.remove(name);
    }
    plan.facts = plan.facts.as_plain_get();
    plan.facts.directives = RequestDirectives::default();
    let headers = &parts.headers;
    let consulted = remote::consult(
        &shared,
        &policy,
        &mut plan,
        headers,
        &mut lead,
        Duration::ZERO,
    );
    let sharing = match consulted.await {
        Consulted::Load(sharing) => sharing,
        // Another process has done it, or does.
        Consulted::Answer(entry, _) => {
            lead.finish(Outcome::Ready(entry));
            return;
        }
        Consulted::Failed(_) | Consulted::TimedOut => return,
    };
    let (store, key) = (shared.store.clone(), plan.key.clone());
    let mut exchange = Exchange::new(
        shared,
        policy,
        plan,
        Some(lead),
        sharing,
        None,
        &parts.headers,
    );
    exchange.prepare(&mut parts);
    let work = async {
        match exchange
            .forward(origin, Request::from_parts(parts, body))
            .await
        {
            Err(error) => {
                exchange.erred(O::status_of(&error));
            }
            Ok(response) => {
                if let Settled::Response(_, _, Some(job)) = exchange.settle(response).await {
                    job.run().await;
                }
            }
        }
    };
    // One that takes too long is given up; its lead goes with it.
    if tokio::time::timeout(limit, work).await.is_err() {
        store.late(key.as_bytes());
    }
    drop(permit);
}
