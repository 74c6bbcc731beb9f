//! How a typed cache comes by a value it does not have: the way of one call, top down.

use crate::{
    BoxError, Cache, Error,
    call::{Call, settled},
    clock::Moment,
    entry::{Entry, Freshness},
    event::Event,
    key::Key,
    observe::{Loaded as Ended, Trail},
    policy::Life,
    remote::{Budget, Failures, Lease, Leasing, tier::HEARD},
    spawn::spawn,
    store::{FlightKey, Join, Lead, NewEntry, Outcome, Ticket, Waited},
    timer,
};
use std::{
    future::Future,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

/// What a look-up says is to be done.
enum Found<V> {
    /// Answer with it.
    Use(Arc<Entry<V>>),
    /// It may still be used, and this caller is the one to refresh it.
    Refresh(Arc<Entry<V>>, Lead<V>),
    /// Load; where that fails, this may be used.
    Load(Option<Arc<Entry<V>>>),
}

/// What a call comes to.
type Loaded<V> = Result<Arc<Entry<V>>, Error>;

/// What the remote tier says to a leader.
enum Consulted<V> {
    /// It, or another process, settles the matter.
    Settled(Loaded<V>),
    /// Another process refreshes what may still be used.
    Use(Arc<Entry<V>>),
    /// Another process still loads at the end of this caller's patience.
    TimedOut,
    /// Load, and then share it by this.
    Load(Sharing<V>),
}

/// By what a leader shares its load with other processes.
struct Sharing<V> {
    lease: Option<Lease>,
    budget: Budget,
    /// What may be used where the load fails.
    stale: Option<Arc<Entry<V>>>,
}

/// So often a caller joins a flight again whose outcome was invalidated before it got it. Then it
/// loads by itself.
const REJOINS: usize = 3;

/// So often a leader finds something that is out of date where it asked for a lease. Then it loads by
/// itself.
const ROUNDS: usize = 4;

impl<V: Send + Sync + 'static> Cache<V> {
    /// The entry of `key`, loaded in the caller's task if need be.
    pub(crate) async fn entry_or_load<F, Fut, E>(&self, key: Key, load: F) -> Loaded<V>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
        E: Into<BoxError>,
    {
        if !self.is_enabled() {
            return Box::pin(self.pass(&key, load)).await;
        }
        let key = FlightKey { key, lane: None };
        let now = self.store.now();
        let (event, found) = self.find(&key, now);
        match found {
            Found::Use(entry) => {
                settled(&self.store, event, now);
                Ok(entry)
            }
            Found::Refresh(stale, lead) => {
                let call = Call::begin(&self.store, event, now);
                let refresh = self.refresh(lead, load, stale, &call.trail);
                call.traced(refresh).await
            }
            Found::Load(stale) => {
                let call = Call::begin(&self.store, event, now);
                let load = self.fly_or_make_do(&key, load, stale, &call.trail);
                call.traced(load).await
            }
        }
    }

    /// As [`fly`](Self::fly), but in place of an error what memory holds, unproved, where the policy
    /// has stale values used on errors.
    async fn fly_or_make_do<F, Fut, E>(
        &self,
        key: &FlightKey,
        load: F,
        stale: Option<Arc<Entry<V>>>,
        trail: &Trail,
    ) -> Loaded<V>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
        E: Into<BoxError>,
    {
        let flown = self.fly(key, load, stale, trail).await;
        let (_, if_error) = self.policy.stale_windows();
        if flown.is_ok() || if_error.is_zero() || !self.store.has_remote() {
            return flown;
        }
        let unproved = self
            .store
            .lookup_unproved(key.key.as_bytes(), self.store.now());
        match unproved {
            Some(entry) => {
                trail.stood_in();
                Ok(entry)
            }
            None => flown,
        }
    }

    /// As [`entry_or_load`](Self::entry_or_load), but a refresh runs in a task of its own.
    pub(crate) async fn entry_or_load_behind<F, Fut, E>(&self, key: Key, load: F) -> Loaded<V>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        if !self.is_enabled() {
            return Box::pin(self.pass(&key, load)).await;
        }
        let key = FlightKey { key, lane: None };
        let now = self.store.now();
        let (event, found) = self.find(&key, now);
        match found {
            Found::Use(entry) => {
                settled(&self.store, event, now);
                Ok(entry)
            }
            Found::Refresh(stale, lead) => {
                settled(&self.store, event, now);
                // Without a permit the lead is dropped, and the next caller may try.
                let Some(permit) = self.store.permit() else {
                    return Ok(stale);
                };
                let (cache, fallback) = (self.clone(), Arc::clone(&stale));
                let refresh = async move {
                    // Its outcome is in the cache, its failure in the pause.
                    let trail = Trail::default();
                    let _ = cache.refresh(lead, load, fallback, &trail).await;
                    drop(permit);
                };
                if let Err(refresh) = spawn(refresh) {
                    refresh.await;
                }
                Ok(stale)
            }
            Found::Load(stale) => {
                let call = Call::begin(&self.store, event, now);
                let load = self.fly_or_make_do(&key, load, stale, &call.trail);
                call.traced(load).await
            }
        }
    }

    /// As if there were no cache: its own load, of which nothing is kept and nobody shares anything.
    async fn pass<F, Fut, E>(&self, key: &Key, load: F) -> Loaded<V>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
        E: Into<BoxError>,
    {
        let call = Call::begin(&self.store, Event::Bypass, self.store.now());
        let ticket = self.store.ticket(key.as_bytes());
        let passed = async {
            self.store.record(Event::Load);
            let loading = self.store.begin_load();
            match load().await {
                Ok(value) => {
                    loading.ends(Ended::Passed);
                    Ok(value)
                }
                Err(error) => {
                    loading.ends(Ended::Failed);
                    let error = Error::load(error);
                    self.store.load_failed(key.as_bytes(), &error);
                    Err(error)
                }
            }
        };
        let value = call.traced(passed).await?;
        let life = self.life_of(value.as_ref());
        Ok(self.new_entry(&ticket, key, value, 0, life))
    }

    /// As what a call is to be counted, and what is to be done.
    fn find(&self, key: &FlightKey, now: Moment) -> (Event, Found<V>) {
        let Some(entry) = self.store.lookup(key.key.as_bytes(), now) else {
            return (Event::Miss, Found::Load(None));
        };
        match entry.freshness(now) {
            Freshness::Fresh { .. } if !self.store.is_due_early(&entry, now, &self.policy) => {
                (Event::Hit, Found::Use(entry))
            }
            Freshness::Fresh { .. } => self.use_or_refresh(Event::Hit, key, entry),
            Freshness::Stale {
                while_revalidate: true,
                ..
            } => self.use_or_refresh(Event::Stale, key, entry),
            Freshness::Stale { .. } => (Event::Miss, Found::Load(Some(entry))),
            Freshness::Dead => (Event::Miss, Found::Load(None)),
        }
    }

    fn use_or_refresh(
        &self,
        event: Event,
        key: &FlightKey,
        entry: Arc<Entry<V>>,
    ) -> (Event, Found<V>) {
        let paused = self.store.paused(key.key.as_bytes()).is_some();
        let lead = if paused {
            None
        } else {
            self.store.try_lead(key, self.policy.work_limit())
        };
        let found = match lead {
            Some(lead) => Found::Refresh(entry, lead),
            None => Found::Use(entry),
        };
        (event, found)
    }

    /// Leads the flight of `key`, or waits for who does.
    async fn fly<F, Fut, E>(
        &self,
        key: &FlightKey,
        load: F,
        stale: Option<Arc<Entry<V>>>,
        trail: &Trail,
    ) -> Loaded<V>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
        E: Into<BoxError>,
    {
        let came = self.store.tick();
        let until = timer::later(timer::now(), self.policy.waiting_limit());
        for _ in 0..REJOINS {
            if let Some(error) = self.store.paused(key.key.as_bytes()) {
                return self.fall_back(stale, error, trail);
            }
            let waited = match self.store.join(key, self.policy.work_limit()) {
                Join::Lead(lead) => Waited::Lead(lead),
                Join::Known(outcome) => Waited::Known(outcome),
                Join::Reentrant => return self.fall_back(stale, Error::reentrant(), trail),
                Join::Follow(follower) => {
                    let left = until.saturating_duration_since(timer::now());
                    self.store
                        .wait(follower, left, self.policy.work_limit())
                        .await
                }
            };
            match waited {
                Waited::Lead(lead) => {
                    return match self.settle(lead, stale.as_ref()) {
                        ControlFlow::Continue(lead) => {
                            self.lead(lead, load, stale, until, trail).await
                        }
                        ControlFlow::Break(settled) => self.collapse(settled, stale, trail),
                    };
                }
                Waited::Known(Outcome::Ready(entry)) if entry.is_current_for(came) => {
                    return self.collapse(Ok(entry), stale, trail);
                }
                Waited::Known(Outcome::Failed(error)) => {
                    return self.collapse(Err(error), stale, trail);
                }
                // Invalidated since that load began, maybe before this call did: not for this caller.
                Waited::Known(Outcome::Ready(_) | Outcome::Unshared) => {}
                Waited::TimedOut => {
                    let error = Error::wait(self.policy.waiting_limit());
                    return self.fall_back(stale, error, trail);
                }
            }
        }
        self.load_alone(&key.key, load, stale, trail).await
    }

    fn collapse(
        &self,
        settled: Loaded<V>,
        stale: Option<Arc<Entry<V>>>,
        trail: &Trail,
    ) -> Loaded<V> {
        trail.collapsed();
        settled.or_else(|error| self.fall_back(stale, error, trail))
    }

    async fn refresh<F, Fut, E>(
        &self,
        lead: Lead<V>,
        load: F,
        stale: Arc<Entry<V>>,
        trail: &Trail,
    ) -> Loaded<V>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
        E: Into<BoxError>,
    {
        match self.settle(lead, Some(&stale)) {
            ControlFlow::Continue(lead) => {
                let until = timer::later(timer::now(), self.policy.waiting_limit());
                self.lead(lead, load, Some(stale), until, trail).await
            }
            ControlFlow::Break(settled) => {
                settled.or_else(|error| self.fall_back(Some(stale), error, trail))
            }
        }
    }

    /// Ends the flight at once where another landed between this caller's look-up and its lead: what
    /// that one stored, or its failure, is what this one wants.
    fn settle(
        &self,
        lead: Lead<V>,
        stale: Option<&Arc<Entry<V>>>,
    ) -> ControlFlow<Loaded<V>, Lead<V>> {
        let key = &lead.key().key;
        if let Some(entry) = self.stored_meanwhile(key, stale) {
            lead.finish(Outcome::Ready(Arc::clone(&entry)));
            return ControlFlow::Break(Ok(entry));
        }
        if let Some(error) = self.store.paused(key.as_bytes()) {
            lead.finish(Outcome::Failed(error.clone()));
            return ControlFlow::Break(Err(error));
        }
        ControlFlow::Continue(lead)
    }

    async fn lead<F, Fut, E>(
        &self,
        mut lead: Lead<V>,
        load: F,
        stale: Option<Arc<Entry<V>>>,
        patience: Instant,
        trail: &Trail,
    ) -> Loaded<V>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
        E: Into<BoxError>,
    {
        let sharing = if self.store.has_remote() {
            match self
                .consult(&mut lead, stale.clone(), patience, trail)
                .await
            {
                Consulted::Load(sharing) => sharing,
                Consulted::Settled(Ok(entry)) => {
                    lead.finish(Outcome::Ready(Arc::clone(&entry)));
                    return Ok(entry);
                }
                Consulted::Settled(Err(error)) => {
                    lead.finish(Outcome::Failed(error.clone()));
                    return self.fall_back(stale, error, trail);
                }
                // The lead is dropped: who waits here takes its turn, and its own patience.
                Consulted::Use(entry) => return Ok(entry),
                Consulted::TimedOut => {
                    let error = Error::wait(self.policy.waiting_limit());
                    return self.fall_back(stale, error, trail);
                }
            }
        } else {
            Sharing {
                lease: None,
                budget: Budget::new(Duration::ZERO),
                stale,
            }
        };
        self.load_and_share(lead, load, sharing, trail).await
    }

    async fn load_and_share<F, Fut, E>(
        &self,
        lead: Lead<V>,
        load: F,
        sharing: Sharing<V>,
        trail: &Trail,
    ) -> Loaded<V>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
        E: Into<BoxError>,
    {
        let key = lead.key().key.clone();
        let Sharing {
            lease,
            budget,
            stale,
        } = sharing;
        let began = self.store.now();
        // The loader is called within the scope too: it may ask before it first waits.
        match self.run(lead.scope(async { load().await })).await {
            Ok(value) => {
                let entry = match lease {
                    None => self.keep(lead.ticket(), &key, value, || lead.is_current()),
                    Some(lease) => {
                        let cost = self.store.now().since(began);
                        self.keep_shared(&lead, lease, value, cost, budget).await
                    }
                };
                lead.finish(Outcome::Ready(Arc::clone(&entry)));
                Ok(entry)
            }
            Err(error) => {
                let pause = self.note_failure(lead.ticket(), &key, &error, lead.is_current());
                if let (Some(lease), Some(pause)) = (lease, pause) {
                    lease.fail(&told(&error), pause);
                }
                lead.finish(Outcome::Failed(error.clone()));
                self.fall_back(stale, error, trail)
            }
        }
    }

    /// Asks the remote tier for the value, or for the right to load it.
    async fn consult(
        &self,
        lead: &mut Lead<V>,
        stale: Option<Arc<Entry<V>>>,
        patience: Instant,
        trail: &Trail,
    ) -> Consulted<V> {
        let (key, came) = (lead.key().key.clone(), timer::now());
        let mut budget = self.store.budget();
        let (mut stale, mut seen) = match stale {
            Some(entry) => {
                let nonce = entry.proof().nonce();
                (Some(entry), Some(nonce).filter(|nonce| *nonce != 0))
            }
            None => match self.look_there(lead, &key, &mut budget).await {
                (Some(entry), _) if self.is_fresh(&entry) => {
                    trail.found_there();
                    return Consulted::Settled(Ok(entry));
                }
                found => found,
            },
        };
        let failures = self.failures();
        for _ in 0..ROUNDS {
            let usable = stale.clone().filter(|entry| self.may_be_used(entry));
            // Who has something to use does not wait for another process.
            let waiting = match usable {
                Some(_) => Duration::ZERO,
                None => patience.saturating_duration_since(timer::now()),
            };
            let work_limit = self.policy.work_limit();
            let leasing = self
                .store
                .lease_or_wait(
                    key.as_bytes(),
                    seen,
                    failures,
                    waiting,
                    work_limit,
                    &mut budget,
                )
                .await;
            match leasing {
                Leasing::Found(held) => {
                    let Some(entry) = self.take_in(lead.ticket(), &key, &held) else {
                        break;
                    };
                    let waited = timer::now().saturating_duration_since(came);
                    if self.is_fresh(&entry) || held.age() <= waited {
                        trail.collapsed_elsewhere();
                        return Consulted::Settled(Ok(entry));
                    }
                    // From before this call, and out of date like what is known here.
                    (seen, stale) = (Some(held.nonce()), Some(entry));
                }
                Leasing::Granted(lease) => {
                    self.store.begin_again(lead, work_limit);
                    return Consulted::Load(Sharing {
                        lease: Some(lease),
                        budget,
                        stale,
                    });
                }
                Leasing::Failed { error, left } => {
                    trail.collapsed_elsewhere();
                    if failures == Failures::Remembered {
                        self.store.pause_for(&key, error.clone(), left);
                    }
                    return Consulted::Settled(Err(error));
                }
                Leasing::Held { .. } => {
                    return usable.map_or(Consulted::TimedOut, |entry| {
                        trail.revalidated_elsewhere();
                        Consulted::Use(entry)
                    });
                }
                Leasing::Alone => break,
            }
        }
        Consulted::Load(Sharing {
            lease: None,
            budget,
            stale,
        })
    }

    /// What the remote tier has, as far as it can be used, and the version it is of.
    async fn look_there(
        &self,
        lead: &Lead<V>,
        key: &Key,
        budget: &mut Budget,
    ) -> (Option<Arc<Entry<V>>>, Option<u64>) {
        match self.store.lookup_remote(key.as_bytes(), budget).await {
            Some(held) => (self.take_in(lead.ticket(), key, &held), Some(held.nonce())),
            None => (None, None),
        }
    }

    /// Whether the failures of other processes stand for loads of this one: where it pauses itself.
    fn failures(&self) -> Failures {
        match self.policy.first_pause() >= HEARD {
            true => Failures::Remembered,
            false => Failures::Awaited,
        }
    }

    fn is_fresh(&self, entry: &Entry<V>) -> bool {
        matches!(entry.freshness(self.store.now()), Freshness::Fresh { .. })
    }

    /// Whether an entry may be used while somebody refreshes it.
    fn may_be_used(&self, entry: &Entry<V>) -> bool {
        match entry.freshness(self.store.now()) {
            Freshness::Fresh { .. } => true,
            Freshness::Stale {
                while_revalidate, ..
            } => while_revalidate,
            Freshness::Dead => false,
        }
    }

    /// Makes an entry of a loaded value, stores it in the remote tier, and in memory unless that
    /// refused it: what was invalidated there must not stay here.
    async fn keep_shared(
        &self,
        lead: &Lead<V>,
        lease: Lease,
        value: Option<V>,
        cost: Duration,
        mut budget: Budget,
    ) -> Arc<Entry<V>> {
        let key = &lead.key().key;
        let encoded = self.encode(value.as_ref()).ok();
        let fits = encoded
            .as_ref()
            .is_some_and(|encoded| self.admits(encoded.size));
        let life = self.life_of(value.as_ref());
        let size = encoded.as_ref().map_or(0, |encoded| encoded.size);
        let new = NewEntry {
            value,
            size,
            life,
            groups: self.policy.group_names(),
        };
        let entry = self.store.leased_entry(lead.ticket(), &lease, key, new);
        self.store.succeeded(key.as_bytes());
        let refused = match encoded {
            Some(encoded) if fits && !life.fresh.is_zero() => {
                let shared = self.shared(&encoded, life, cost);
                lease.commit(shared, &mut budget).await == Ok(false)
            }
            // Dropped, the lease goes to who waits.
            _ => false,
        };
        if refused {
            self.store.refused(key.as_bytes());
        } else {
            self.store_loaded(lead.ticket(), key, &entry, fits, || lead.is_current());
        }
        entry
    }

    async fn load_alone<F, Fut, E>(
        &self,
        key: &Key,
        load: F,
        stale: Option<Arc<Entry<V>>>,
        trail: &Trail,
    ) -> Loaded<V>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
        E: Into<BoxError>,
    {
        let ticket = self.store.ticket(key.as_bytes());
        match self.run(load()).await {
            Ok(value) => Ok(self.keep(&ticket, key, value, || true)),
            Err(error) => {
                self.note_failure(&ticket, key, &error, true);
                self.fall_back(stale, error, trail)
            }
        }
    }

    /// Counts a failure, and remembers it unless it was overtaken: a load that began before an
    /// invalidation says nothing to those who come after it. Says for how long it is remembered.
    fn note_failure(
        &self,
        ticket: &Ticket,
        key: &Key,
        error: &Error,
        current: bool,
    ) -> Option<Duration> {
        if !current || self.store.is_overtaken(ticket) {
            self.store.load_failed(key.as_bytes(), error);
            return None;
        }
        let pause = self.store.failed(key, error.clone(), &self.policy);
        // An invalidation that came in between had nothing to forget yet.
        if self.store.is_overtaken(ticket) {
            self.store.succeeded(key.as_bytes());
            return None;
        }
        Some(pause)
    }

    /// Runs a load to its end or its deadline.
    async fn run<E: Into<BoxError>>(
        &self,
        load: impl Future<Output = Result<Option<V>, E>>,
    ) -> Result<Option<V>, Error> {
        self.store.record(Event::Load);
        let loading = self.store.begin_load();
        let limit = self.policy.work_limit();
        let deadline = timer::later(timer::now(), limit);
        match timer::until(deadline, load).await {
            Some(Ok(loaded)) => {
                loading.ends(Ended::Stored);
                Ok(loaded)
            }
            Some(Err(error)) => {
                loading.ends(Ended::Failed);
                Err(Error::load(error))
            }
            None => {
                loading.ends(Ended::Late);
                Err(Error::deadline(limit))
            }
        }
    }

    /// Makes an entry of a loaded value, and stores it if it may be.
    fn keep(
        &self,
        ticket: &Ticket,
        key: &Key,
        value: Option<V>,
        is_current: impl FnOnce() -> bool,
    ) -> Arc<Entry<V>> {
        let size = self.encode(value.as_ref()).map(|encoded| encoded.size).ok();
        let fits = size.is_some_and(|size| self.admits(size));
        let life = self.life_of(value.as_ref());
        let entry = self.new_entry(ticket, key, value, size.unwrap_or(0), life);
        self.store.succeeded(key.as_bytes());
        self.store_loaded(ticket, key, &entry, fits, is_current);
        entry
    }

    fn life_of(&self, value: Option<&V>) -> Life {
        match value {
            Some(_) => self.policy.life(self.store.random()),
            None => self.policy.negative_life(self.store.random()),
        }
    }

    fn store_loaded(
        &self,
        ticket: &Ticket,
        key: &Key,
        entry: &Arc<Entry<V>>,
        fits: bool,
        is_current: impl FnOnce() -> bool,
    ) {
        // Whether the turn is still this leader's is asked under the lock of the commit: so a leader
        // that was overtaken cannot store after its successor did.
        self.store.commit_with(ticket, |writer| {
            if !is_current() {
                self.store.refused(key.as_bytes());
            } else if fits {
                writer.put(key.clone(), Arc::clone(entry));
            } else {
                writer.reject(key.as_bytes());
            }
        });
    }

    pub(crate) fn new_entry(
        &self,
        ticket: &Ticket,
        key: &Key,
        value: Option<V>,
        size: usize,
        life: Life,
    ) -> Arc<Entry<V>> {
        self.store.entry(
            ticket,
            key,
            NewEntry {
                value,
                size,
                life,
                groups: self.policy.group_names(),
            },
        )
    }

    pub(crate) fn admits(&self, size: usize) -> bool {
        self.policy.size_limit().is_none_or(|limit| size <= limit)
    }

    /// A flight that landed between this caller's look-up and its lead has stored what it wants.
    fn stored_meanwhile(&self, key: &Key, stale: Option<&Arc<Entry<V>>>) -> Option<Arc<Entry<V>>> {
        let now = self.store.now();
        let entry = self.store.lookup(key.as_bytes(), now)?;
        let is_new = stale.is_none_or(|stale| !Arc::ptr_eq(stale, &entry));
        let is_fresh = matches!(entry.freshness(now), Freshness::Fresh { .. });
        (is_new && is_fresh).then_some(entry)
    }

    /// The stale entry, where one may be used in place of a failed load.
    fn fall_back(&self, stale: Option<Arc<Entry<V>>>, error: Error, trail: &Trail) -> Loaded<V> {
        match stale {
            Some(entry)
                if entry.is_current() && entry.freshness(self.store.now()) != Freshness::Dead =>
            {
                trail.stood_in();
                Ok(entry)
            }
            _ => Err(error),
        }
    }
}

/// What other processes are told of a failure: the loader's own words where it has any.
fn told(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}
