//! What processes share: looking, and leading, in the remote tier.
//!
//! A response lies there under the key of its URI; one of several under its own key, and an index under
//! that of the URI. Who loads has a lease: of the variant's key where an index leads to it, else of the
//! URI's. An index is only ever built on one that was read under the lease of its key, or that names the
//! leased variant: so one that was invalidated never comes back, and what it led to is not found again.

use super::{
    Shared,
    begin::{Plan, preferred},
    commit::write_variant,
    drive::stale_answer,
    nested::{Lent, Owner},
};
use crate::{
    codec,
    http::{
        cache_control::RequestDirectives,
        cache_status::{Forwarded, Ground},
        lookup::{Failure, Lookup, lookup},
        request::MethodClass,
        shape::{Fit, Shape},
    },
    policy::Policy,
    stored::{Answer, Stored, candidate},
};
use cache_core::{
    Entry, Error, Key,
    clock::Moment,
    remote::{Budget, Failures, Held, Lease, Leasing},
    store::{Lead, Ticket},
};
use http::HeaderMap;
use sha2::{Digest, Sha256};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// So often a leader finds that what another process stored is not for it. Then it loads by itself.
const ROUNDS: usize = 4;

/// By what a load is shared with other processes.
pub(super) struct Sharing {
    /// A layer within may have taken it.
    lease: Lent,
    /// Another process had the lease, and this one waited.
    is_successor: bool,
    /// Whose failures its failure is.
    lane: String,
    pub(super) budget: Budget,
    /// The index that what is loaded goes into.
    pub(super) base: Option<Arc<Entry<Stored>>>,
    pub(super) since: Moment,
}

/// Whom a failure concerns, and for how long.
pub(super) enum Concerned {
    /// Who waited for it.
    Waiting,
    /// They, and during the pause all who can do without a new response.
    All(Duration),
    /// The latter alone.
    Others(Duration),
}

/// Requests that fly apart fail apart: those of each layer, and those with credentials.
fn lane_of(policy: &Arc<Policy>, plan: &Plan) -> String {
    let apart = plan.facts.has_credentials() && policy.separates_credentials();
    let mut digest = Sha256::new();
    digest.update(Owner::new(policy, plan.depth).digest());
    digest.update([u8::from(apart)]);
    let digest = digest.finalize();
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What is told of a failure: whom it concerns, and of which lane.
fn told(concerned: &Concerned, lane: &str) -> String {
    let whom = match concerned {
        Concerned::Waiting => "waiting",
        Concerned::All(_) => "all",
        Concerned::Others(_) => "others",
    };
    format!("{whom} {lane}")
}

/// Whether what was told of a failure concerns a request of this lane.
fn concerns(error: &Error, lane: &str, failures: Failures) -> bool {
    let told = std::error::Error::source(error).map(ToString::to_string);
    match told.as_deref().and_then(|told| told.split_once(' ')) {
        Some((whom, of)) if of == lane => match failures {
            Failures::Awaited => whom != "others",
            Failures::Remembered => whom != "waiting",
        },
        _ => false,
    }
}

impl Sharing {
    /// Lets other processes share a failure.
    pub(super) fn fail(self, concerned: &Concerned) {
        if let Some(lease) = self.take() {
            let pause = match concerned {
                Concerned::Waiting => Duration::ZERO,
                Concerned::All(pause) | Concerned::Others(pause) => *pause,
            };
            lease.fail(&told(concerned, &self.lane), pause);
        }
    }

    /// Whether a load of another process came before that those who wait, waited for in vain.
    pub(super) fn is_successor(&self) -> bool {
        self.is_successor
    }

    /// As it is for work that no request waits for.
    pub(super) fn behind(mut self, shared: &Shared) -> Self {
        self.budget = shared.store.budget();
        self
    }

    /// The lease, if it is still here.
    pub(super) fn take(&self) -> Option<Lease> {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        lease.take()
    }

    /// Lends the lease to a layer within.
    pub(super) fn lend(&self) -> Lent {
        Arc::clone(&self.lease)
    }
}

impl Drop for Sharing {
    /// A request that is still somewhere must not keep the lease.
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// What the remote tier says to a leader.
pub(super) enum Consulted {
    /// This answers.
    Answer(Arc<Entry<Stored>>, Answer),
    /// The load of another process failed.
    Failed(Error),
    /// Another process still loads at the end of the waiting, or refreshes.
    TimedOut,
    /// It is to load; without a lease where it is by itself.
    Load(Option<Sharing>),
}

/// What there is for a request in the remote tier.
struct Seen {
    response: Option<Arc<Entry<Stored>>>,
    index: Option<Arc<Entry<Stored>>>,
    /// Under what key it lies, or is to lie.
    key: Key,
    /// The version of what lies under that key.
    version: Option<u64>,
}

/// What was found that may answer.
struct Judged {
    entry: Arc<Entry<Stored>>,
    answer: Answer,
    is_fresh: bool,
}

impl From<Judged> for Consulted {
    fn from(judged: Judged) -> Self {
        Self::Answer(judged.entry, judged.answer)
    }
}

/// One request before the remote tier.
struct Search<'a> {
    shared: &'a Shared,
    policy: &'a Arc<Policy>,
    plan: &'a mut Plan,
    headers: &'a HeaderMap,
    ticket: Ticket,
    budget: Budget,
}

/// Looks once, for a request that goes by itself. What is found and may not answer is noted in the plan.
pub(super) async fn look(
    shared: &Shared,
    policy: &Arc<Policy>,
    plan: &mut Plan,
    headers: &HeaderMap,
) -> Option<Answer> {
    let may = shared.store.has_remote()
        && plan.stored.is_none()
        && plan.counted.is_some()
        && matches!(plan.facts.method, MethodClass::Get | MethodClass::Head)
        && !shared.store.is_unshared(&plan.flight);
    if !may {
        return None;
    }
    let mut search = Search::new(shared, policy, plan, headers);
    let seen = search.look().await;
    search.judge(&seen, false).map(|judged| judged.answer)
}

/// The groups of what the remote tier holds for a URI.
pub(super) async fn groups_of(shared: &Shared, key: &Key, owner: &Owner) -> Vec<String> {
    let mut budget = shared.store.budget();
    let names = |held: &Held| {
        held.groups()
            .iter()
            .map(|name| String::from(&**name))
            .collect()
    };
    let Some(held) = shared
        .store
        .lookup_remote(key.as_bytes(), &mut budget)
        .await
    else {
        return Vec::new();
    };
    let Some(index) = held
        .body()
        .and_then(|body| codec::index(body.clone(), owner))
    else {
        return names(&held);
    };
    let keys: Vec<&[u8]> = index.keys.iter().map(Key::as_bytes).collect();
    let variants = shared.store.lookup_remote_many(&keys, &mut budget).await;
    variants
        .iter()
        .flatten()
        .flat_map(|held| -> Vec<String> { names(held) })
        .collect()
}

/// Asks for what the leader wants, or for the right to load it; while another process loads it waits, for
/// `patience` at most.
pub(super) async fn consult(
    shared: &Shared,
    policy: &Arc<Policy>,
    plan: &mut Plan,
    headers: &HeaderMap,
    lead: &mut Lead<Stored>,
    patience: Duration,
) -> Consulted {
    if !shared.store.has_remote() {
        return Consulted::Load(None);
    }
    let lent = plan.lease.take();
    let since = shared.store.now();
    let work = policy.life().work_limit();
    let mut search = Search::new(shared, policy, plan, headers);
    let mut seen = search.look().await;
    let mut usable = None;
    for round in 0..ROUNDS {
        match search.judge(&seen, round > 0) {
            Some(judged) if judged.is_fresh => return judged.into(),
            stale => usable = stale.or(usable),
        }
        if let Some(lease) = lent {
            return Consulted::Load(Some(search.sharing(lease, seen)));
        }
        let waited = shared.store.now().since(since);
        let waiting = match (&usable, search.plan.counted.is_some()) {
            (None, true) => patience.saturating_sub(waited),
            // Who has something to give, or refreshes, waits for nobody.
            _ => Duration::ZERO,
        };
        let failures = search.failures();
        let leasing = shared
            .store
            .lease_or_wait(
                seen.key.as_bytes(),
                seen.version,
                failures,
                waiting,
                // For its head, and as long again for its body.
                work.saturating_mul(2),
                &mut search.budget,
            )
            .await;
        match leasing {
            Leasing::Granted(lease) => {
                shared.store.begin_again(lead, work);
                return Consulted::Load(Some(search.sharing(lease, seen)));
            }
            Leasing::Found(held) => seen = search.found(seen, held).await,
            Leasing::Failed { error, left } => {
                if !concerns(&error, &lane_of(policy, search.plan), failures) {
                    break;
                }
                if failures == Failures::Remembered {
                    let key = &search.plan.key;
                    shared.store.pause_for(key, error.clone(), left);
                }
                return Consulted::Failed(error);
            }
            Leasing::Held { .. } => {
                return usable.map_or(Consulted::TimedOut, Into::into);
            }
            Leasing::Alone => break,
        }
    }
    Consulted::Load(None)
}

impl<'a> Search<'a> {
    fn new(
        shared: &'a Shared,
        policy: &'a Arc<Policy>,
        plan: &'a mut Plan,
        headers: &'a HeaderMap,
    ) -> Self {
        Self {
            // Before anything is read: what is invalidated from now on is not taken in.
            ticket: shared.store.ticket(plan.key.as_bytes()),
            budget: shared.store.budget(),
            shared,
            policy,
            plan,
            headers,
        }
    }

    async fn look(&mut self) -> Seen {
        let key = self.plan.key.clone();
        let held = self.held(&key).await;
        self.select(key, held).await
    }

    async fn held(&mut self, key: &Key) -> Option<Held> {
        let store = &self.shared.store;
        store.lookup_remote(key.as_bytes(), &mut self.budget).await
    }

    /// What another process stored while this one waited.
    async fn found(&mut self, seen: Seen, held: Held) -> Seen {
        self.ticket = self.shared.store.ticket(self.plan.key.as_bytes());
        if seen.index.is_none() {
            return self.select(seen.key, Some(held)).await;
        }
        Seen {
            response: self.take_in(&seen.key, &held),
            version: Some(held.nonce()),
            ..seen
        }
    }

    /// What lies under the key of the URI, and under that of the variant where it leads to one.
    async fn select(&mut self, key: Key, held: Option<Held>) -> Seen {
        let entry = held.as_ref().and_then(|held| self.take_in(&key, held));
        let Some(index) = entry
            .clone()
            .filter(|entry| entry.value().and_then(Stored::variants).is_some())
        else {
            return Seen {
                response: entry,
                index: None,
                key,
                version: held.map(|held| held.nonce()),
            };
        };
        let (key, other) = self.variant_keys(&index);
        let held = self.held(&key).await;
        let mut response = held.as_ref().and_then(|held| self.take_in(&key, held));
        if let (None, Some(other)) = (&response, other) {
            let held = self.held(&other).await;
            response = held.and_then(|held| self.take_in(&other, &held));
        }
        Seen {
            response,
            index: Some(index),
            key,
            version: held.map(|held| held.nonce()),
        }
    }

    /// The key of the variant that the request selects, and that of one in the language it prefers.
    fn variant_keys(&self, index: &Entry<Stored>) -> (Key, Option<Key>) {
        let mut key = self.plan.key.as_bytes().to_vec();
        let Some(variants) = index.value().and_then(Stored::variants) else {
            return (self.plan.key.clone(), None);
        };
        write_variant(variants, self.headers, self.policy.follows(), &mut key);
        let other = preferred(self.policy, variants, self.headers).cloned();
        (Key::from(&*key), other)
    }

    /// Makes an entry of what was found, if it is this layer's, and keeps it in memory.
    fn take_in(&self, key: &Key, held: &Held) -> Option<Arc<Entry<Stored>>> {
        let store = &self.shared.store;
        let (policy, depth) = (self.policy, self.plan.depth);
        if let Some(entry) = store.renewed(key.as_bytes(), held) {
            let is_ours = entry.value()?.owner().is(policy, depth);
            return is_ours.then_some(entry);
        }
        let Some(stored) = codec::decode(held.body()?.clone(), &Owner::new(policy, depth)) else {
            store.undecodable(key.as_bytes());
            return None;
        };
        let size = match &stored {
            Stored::Response(response) => response.weight(self.shared.field_copy),
            Stored::Variants(variants) => variants.weight(),
        };
        let entry = store.adopt(key, held, Some(stored), size);
        store.commit_with(&self.ticket, |writer| {
            writer.link(key.clone(), Arc::clone(&entry))
        })?;
        entry.is_current().then_some(entry)
    }

    /// The answer that what was seen gives. What gives none is noted in the plan: it may be validated, or
    /// stand in.
    fn judge(&mut self, seen: &Seen, waited: bool) -> Option<Judged> {
        let Some(entry) = seen.response.as_ref() else {
            if seen.index.is_some() && self.plan.why == Forwarded::UriMiss {
                self.plan.why = Forwarded::VaryMiss;
            }
            return None;
        };
        let known = self.plan.stored.replace(Arc::clone(entry));
        let is_known = known.is_some_and(|known| Arc::ptr_eq(&known, entry));
        // A refresh is not answered by what it is to refresh.
        if is_known && self.plan.counted.is_none() {
            return None;
        }
        let now = self.shared.store.now();
        let mut facts = self.plan.facts;
        if waited {
            // It was loaded for this request too.
            facts.directives = RequestDirectives::default();
        }
        let judged = candidate(entry, now)?;
        let ground = match lookup(&facts, Ok(judged), self.policy) {
            Lookup::Fresh => Ground::Fresh,
            Lookup::StaleWhileRevalidate => Ground::WhileRevalidate,
            Lookup::MaxStale => Ground::MaxStale,
            Lookup::Forward(why) => {
                if why == Forwarded::Miss {
                    // What may not be given to this client is no matter to its request.
                    self.plan.stored = None;
                }
                self.plan.why = why;
                return None;
            }
            Lookup::GatewayTimeout => return None,
        };
        let shape = self.shape(entry)?;
        let is_fresh = ground == Ground::Fresh;
        if !is_fresh {
            // Where it leads to the origin after all, it is for this.
            self.plan.why = Forwarded::Stale;
        }
        let answer = if waited && is_fresh {
            Answer::collapsed(Arc::clone(entry), shape, &judged, self.plan.why)
        } else {
            let is_head = self.plan.facts.method == MethodClass::Head;
            Answer::hit(Arc::clone(entry), shape, &judged, ground, is_head)
        };
        Some(Judged {
            entry: Arc::clone(entry),
            answer,
            is_fresh,
        })
    }

    fn shape(&self, entry: &Entry<Stored>) -> Option<Shape> {
        let now = self.shared.store.clock().wall();
        let response = entry.value()?.response()?;
        match response.fit(&self.plan.facts, self.headers, now) {
            Fit::As(shape) => Some(shape),
            Fit::Lacks | Fit::Precondition => None,
        }
    }

    /// A failure that is remembered answers no new request, unless that can do with what is stale.
    fn failures(&self) -> Failures {
        let (plan, policy) = (&*self.plan, self.policy);
        let can_do = || {
            let failed = Failure::Status;
            plan.counted.is_none()
                || stale_answer(self.shared, policy, plan, self.headers, failed).is_some()
        };
        if plan.renews(policy) && can_do() {
            Failures::Remembered
        } else {
            Failures::Awaited
        }
    }

    fn sharing(&self, lease: Lease, seen: Seen) -> Sharing {
        Sharing {
            is_successor: lease.is_successor(),
            lane: lane_of(self.policy, self.plan),
            lease: Arc::new(Mutex::new(Some(lease))),
            budget: self.budget,
            base: seen.index,
            since: self.shared.store.now(),
        }
    }
}
