//! The store under a cache: memory, flights, generations, groups, as one.
//!
//! [`Cache`](crate::Cache) is its typed face. An engine with rules of its own, such as an HTTP cache,
//! drives it directly, in this order:
//!
//! 1. [`lookup`](Store::lookup) what is stored; use it if its rules allow.
//! 2. [`join`](Store::join) the flight of the key: lead, or [`wait`](Store::wait) for who leads.
//! 3. A leader loads, within [`Lead::scope`], makes an [`entry`](Store::entry),
//!    [commits](Store::commit) it and [finishes](Lead::finish). A leader that is dropped instead
//!    passes its turn on.

pub use crate::permit::Permit;
use crate::{
    Error,
    clock::{self, Clock, Moment, Random},
    entry::{Entry, Freshness},
    event::{Counters, Event, Stats},
    flight::{self, Flights},
    generation::{Generation, Generations},
    group::{Groups, Tick},
    key::Key,
    memory::{Hashing, Memory, Removed},
    observe::{self, Loaded, Outcome as Ended, Source, tell},
    pause::{Pauses, Unshared},
    permit::Permits,
    policy::{Life, Policy},
    reentry,
    remote::{
        Budget, Failures, Held, Lease, Leasing, RemoteStats,
        coherence::{Mark, Proof},
        tier::{Parts, Tier},
    },
    timer,
};
#[cfg(feature = "metrics")]
use std::sync::atomic::{AtomicU8, Ordering};
use std::{
    cell::RefCell,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

/// A cheap handle to one store.
pub struct Store<V>(Arc<Inner<V>>);

struct Inner<V> {
    memory: Memory<V>,
    flights: Flights<FlightKey, Outcome<V>, Hashing>,
    generations: Generations,
    groups: Arc<Groups>,
    tier: Option<Arc<Tier>>,
    pauses: Pauses,
    unshared: Unshared,
    permits: Permits,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// What the flights of a store are told apart by: the key, and a lane for callers of one key that
/// must not share an outcome. An invalidation of the key reaches all its lanes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FlightKey {
    /// The key that is loaded.
    pub key: Key,
    /// The lane; `None` where there is one only.
    pub lane: Option<Key>,
}

/// How a flight ended, for all in it.
pub enum Outcome<V> {
    /// It loaded this. It may have been too heavy, or too late, to be stored.
    Ready(Arc<Entry<V>>),
    /// It failed so.
    Failed(Error),
    /// What it loaded is for the leader alone; each for itself.
    Unshared,
}

impl<V> Clone for Outcome<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Ready(entry) => Self::Ready(Arc::clone(entry)),
            Self::Failed(error) => Self::Failed(error.clone()),
            Self::Unshared => Self::Unshared,
        }
    }
}

impl<V> flight::Shared for Outcome<V> {
    fn panicked() -> Self {
        Self::Failed(Error::panicked())
    }

    fn is_current(&self) -> bool {
        match self {
            Self::Ready(entry) => entry.is_current(),
            Self::Failed(_) | Self::Unshared => true,
        }
    }
}

/// When a load began, in the measures by which its result may be refused.
#[derive(Debug, Clone, Copy)]
pub struct Ticket {
    hash: u64,
    generation: Generation,
    tick: Tick,
    began: Moment,
    mark: Mark,
}

impl Ticket {
    /// What flights of one key are put into order by: it rises with every invalidation, here or told.
    fn rank(&self) -> u64 {
        self.generation.number().saturating_add(self.mark.rank())
    }
}

/// What to store.
#[derive(Debug)]
pub struct NewEntry<V, G> {
    /// The value; `None` for "there is none".
    pub value: Option<V>,
    /// Its weight in bytes.
    pub size: usize,
    /// Its lifetimes from now.
    pub life: Life,
    /// The groups it belongs to.
    pub groups: G,
}

/// What a caller is, having [joined](Store::join).
#[derive(Debug)]
pub enum Join<V> {
    /// It is to load.
    Lead(Lead<V>),
    /// Another loads: [wait](Store::wait).
    Follow(Follower<V>),
    /// Another has loaded this and is about to store it.
    Known(Outcome<V>),
    /// It is itself within the load of this key: waiting would never end.
    Reentrant,
}

/// What came of [waiting](Store::wait).
#[derive(Debug)]
pub enum Waited<V> {
    /// The outcome of the flight.
    Known(Outcome<V>),
    /// The leader gave up or ran out of time, and this caller is the next.
    Lead(Lead<V>),
    /// The wait limit passed.
    TimedOut,
}

impl<V> Store<V> {
    pub(crate) fn new(
        name: Arc<str>,
        (capacity, largest): (Option<u64>, u64),
        hashing: &Hashing,
        permits: Permits,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        remote: Option<Parts>,
    ) -> Self {
        /// Flights are rare beside hits; this many tables keep their locks apart.
        const FLIGHT_TABLES: usize = 64;
        let counters = Arc::new(Counters::new(name));
        let groups = Arc::new(Groups::default());
        let tier =
            remote.map(|parts| Arc::new(Tier::new(parts, &groups, &counters, &clock, &random)));
        Self(Arc::new(Inner {
            memory: match capacity {
                Some(capacity) => {
                    Memory::new(capacity, largest, hashing.clone(), Arc::clone(&counters))
                }
                None => Memory::none(hashing.clone(), Arc::clone(&counters)),
            },
            flights: Flights::new(FLIGHT_TABLES, hashing.clone()),
            generations: Generations::default(),
            groups,
            tier,
            pauses: Pauses::new(),
            unshared: Unshared::new(),
            permits,
            counters,
            clock,
            random,
        }))
    }

    /// The current moment of the store's clock.
    pub fn now(&self) -> Moment {
        self.0.clock.now()
    }

    /// The store's clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    /// The store's randomness.
    pub fn random(&self) -> &dyn Random {
        &*self.0.random
    }

    /// The entry of `key`, fresh or stale, unless it is past every window or was invalidated, or, with
    /// a remote tier, is not known to be current in that.
    pub fn lookup(&self, key: &[u8], now: Moment) -> Option<Arc<Entry<V>>> {
        let entry = self.0.memory.get(key, now)?;
        match &self.0.tier {
            Some(tier) if !tier.coherence.trusts(entry.proof(), now) => None,
            _ => Some(entry),
        }
    }

    /// As [`lookup`](Self::lookup), also where the entry is not known to be current, but not where it is
    /// known not to be: for use when nothing else can be had.
    pub fn lookup_unproved(&self, key: &[u8], now: Moment) -> Option<Arc<Entry<V>>> {
        let entry = self.0.memory.get(key, now)?;
        let unchanged = |tier: &Arc<Tier>| tier.coherence.is_unchanged(entry.proof());
        self.0.tier.as_ref().is_none_or(unchanged).then_some(entry)
    }

    /// Whether XFetch picks this read of a fresh entry to refresh it.
    pub fn is_due_early(&self, entry: &Entry<V>, now: Moment, policy: &Policy) -> bool {
        let beta = policy.early_refresh_factor();
        beta > 0.0 && entry.is_due_early(now, beta, clock::unit(self.random()))
    }

    /// Notes that a load of `key` begins, for a caller that loads without a flight.
    pub fn ticket(&self, key: &[u8]) -> Ticket {
        let hash = self.0.memory.hash(key);
        Ticket {
            hash,
            generation: self.0.generations.current(hash),
            tick: self.0.groups.tick(),
            began: self.now(),
            mark: self
                .0
                .tier
                .as_ref()
                .map_or_else(Mark::default, |tier| tier.mark(key)),
        }
    }

    /// Joins the flight of `key`, or begins one; a leader's turn lasts `work_limit`, and 10 ms more
    /// in which to share that it took too long.
    pub fn join(&self, key: &FlightKey, work_limit: Duration) -> Join<V> {
        if reentry::is_loading(self.id(), key) {
            return Join::Reentrant;
        }
        let ticket = self.ticket(key.key.as_bytes());
        let now = timer::now();
        let generation = ticket.rank();
        match self
            .0
            .flights
            .join(key, generation, now, overdue(now, work_limit))
        {
            flight::Join::Lead(lead) if lead.passes() > 0 => {
                tell::overtaken(self.name(), key.key.as_bytes());
                Join::Lead(self.successor(lead))
            }
            flight::Join::Lead(lead) => Join::Lead(self.lead(lead, ticket)),
            flight::Join::Follow(follower) => Join::Follow(Follower(follower)),
            flight::Join::Known(outcome) => Join::Known(outcome),
        }
    }

    /// Leads a flight of `key` unless there is one; the turn lasts `work_limit`.
    pub fn try_lead(&self, key: &FlightKey, work_limit: Duration) -> Option<Lead<V>> {
        if reentry::is_loading(self.id(), key) {
            return None;
        }
        let ticket = self.ticket(key.key.as_bytes());
        let now = timer::now();
        let generation = ticket.rank();
        let deadline = overdue(now, work_limit);
        let lead = self.0.flights.try_lead(key, generation, now, deadline)?;
        Some(self.lead(lead, ticket))
    }

    /// Begins the load of a flight anew, as when it waited for another process first: what was
    /// invalidated until now does not concern it, and its turn lasts `work_limit` from now.
    pub fn begin_again(&self, lead: &mut Lead<V>, work_limit: Duration) {
        lead.lead.renew(overdue(timer::now(), work_limit));
        lead.ticket = self.ticket(lead.key().key.as_bytes());
    }

    /// Permission to refresh in the background; `None` while as many do as may.
    pub fn permit(&self) -> Option<Permit> {
        self.0.permits.take()
    }

    /// Waits for the flight, for `wait_limit` at most. Who gets the turn has it for `work_limit`.
    ///
    /// Outside a tokio runtime there are no timers, and neither limit holds. A runtime built without
    /// timers panics here, as it does with every timer.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the flight whole.
    pub async fn wait(
        &self,
        follower: Follower<V>,
        wait_limit: Duration,
        work_limit: Duration,
    ) -> Waited<V> {
        let until = timer::later(timer::now(), wait_limit);
        let mut follower = pin!(follower.0);
        loop {
            let deadline = until.min(follower.deadline());
            match timer::until(deadline, follower.as_mut()).await {
                Some(flight::Turn::Known(outcome)) => return Waited::Known(outcome),
                Some(flight::Turn::Lead(lead)) => {
                    lead.renew(overdue(timer::now(), work_limit));
                    return Waited::Lead(self.successor(lead));
                }
                None => {
                    let now = timer::now();
                    if let Some(lead) = follower.take_over(now, overdue(now, work_limit)) {
                        tell::overtaken(self.name(), lead.key().key.as_bytes());
                        return Waited::Lead(self.successor(lead));
                    }
                    if now >= until {
                        return Waited::TimedOut;
                    }
                }
            }
        }
    }

    /// Runs a load of `key` so that, should it ask for the same key, it is told so instead of waiting
    /// for itself.
    pub fn scope<F: Future>(
        &self,
        key: &FlightKey,
        load: F,
    ) -> impl Future<Output = F::Output> + use<F, V> {
        reentry::scope(self.id(), key.clone(), load)
    }

    /// Makes an entry of what was loaded under `ticket`. The first entry of a group also bears the
    /// weight of the group.
    pub fn entry<G, N>(&self, ticket: &Ticket, key: &Key, new: NewEntry<V, G>) -> Arc<Entry<V>>
    where
        G: IntoIterator<Item = N>,
        N: AsRef<str>,
    {
        self.0.entry(ticket, key, new, self.now(), 0)
    }

    /// Stores an entry; false where an invalidation came since the ticket, or it cannot be kept.
    pub fn commit(&self, ticket: &Ticket, key: Key, entry: Arc<Entry<V>>) -> bool {
        self.commit_with(ticket, |writer| writer.put(key, entry))
            .unwrap_or(false)
    }

    /// Runs `commit`, which may read and store several entries as one step, unless an invalidation of
    /// the ticket's key came since. It runs under a lock: it must be short, and use nothing of the
    /// store but its [`Writer`].
    pub fn commit_with<R>(
        &self,
        ticket: &Ticket,
        commit: impl FnOnce(&Writer<'_, V>) -> R,
    ) -> Option<R> {
        let writer = self.writer();
        let committed = self
            .0
            .generations
            .commit(ticket.hash, ticket.generation, || commit(&writer));
        if committed.is_none() {
            // By the hash alone, which is not the key.
            self.record(Event::Refused);
        }
        committed
    }

    /// Stores a value that is not the result of a load: whatever load of the key is under way is
    /// refused.
    pub fn overwrite(&self, key: Key, entry: Arc<Entry<V>>) -> bool {
        let hash = self.0.memory.hash(key.as_bytes());
        let name = key.clone();
        let writer = self.writer();
        let stored = self
            .0
            .generations
            .invalidate(hash, || writer.put(key, entry));
        self.0.pauses.forget(name.as_bytes());
        stored
    }

    /// Removes the entry of `key` and refuses every load of it that is under way. Says whether there
    /// was one.
    pub fn invalidate(&self, key: &[u8]) -> bool {
        self.record(Event::Invalidated);
        let hash = self.0.memory.hash(key);
        let writer = self.writer();
        let was_there = self.0.generations.invalidate(hash, || writer.take(key));
        self.0.pauses.forget(key);
        was_there
    }

    /// Makes every entry of the group invalid, and what loads under way bring into it.
    pub fn invalidate_group(&self, name: &str) {
        self.record(Event::Invalidated);
        self.0.groups.invalidate(name);
    }

    /// Removes the entries whose keys match, refuses every load that is under way, and says how many
    /// entries those were. Time is proportional to all entries. `matches` runs under a lock: it must
    /// not use the store.
    pub fn invalidate_matching(&self, matches: impl Fn(&[u8]) -> bool) -> usize {
        self.record(Event::Invalidated);
        self.0.generations.invalidate_all();
        let removed = self.0.memory.remove_matching(matches);
        // Between the two a leader may have found an entry that was about to go, and be handing it
        // to its followers: who comes from now on must not join that flight.
        self.0.generations.invalidate_all();
        self.0.pauses.clear();
        removed
    }

    /// Whether there is a remote tier.
    pub fn has_remote(&self) -> bool {
        self.0.tier.is_some()
    }

    /// The time that one request may spend on the remote tier.
    pub fn budget(&self) -> Budget {
        let tier = self.0.tier.as_ref();
        tier.map_or_else(|| Budget::new(Duration::ZERO), |tier| tier.budget())
    }

    /// What the remote tier holds of `key`, in one round trip; `None` too where it is away or late.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub async fn lookup_remote(&self, key: &[u8], budget: &mut Budget) -> Option<Held> {
        self.0.tier.as_ref()?.look(key, budget).await
    }

    /// As [`lookup_remote`](Self::lookup_remote), of many keys in one round trip.
    pub async fn lookup_remote_many(
        &self,
        keys: &[&[u8]],
        budget: &mut Budget,
    ) -> Vec<Option<Held>> {
        match &self.0.tier {
            Some(tier) if !keys.is_empty() => tier.look_many(keys, budget).await,
            _ => keys.iter().map(|_| None).collect(),
        }
    }

    /// Asks once for the right, among all processes, to load `key`, or for a value of another version
    /// than `seen` ([`Held::nonce`]). A lease is kept for `work_limit`.
    ///
    /// # Cancel safety
    ///
    /// A lease that was granted when it is dropped ends by itself within its time.
    pub async fn lease(
        &self,
        key: &[u8],
        seen: Option<u64>,
        work_limit: Duration,
        budget: &mut Budget,
    ) -> Leasing {
        let Some(tier) = &self.0.tier else {
            return Leasing::Alone;
        };
        let until = timer::later(timer::now(), work_limit);
        tier.lease(key, seen, until, budget).await
    }

    /// As [`lease`](Self::lease), but while another process loads it waits, for `wait_limit` at most:
    /// it is woken when that ends, and asks by itself now and then. What it answers at the limit is
    /// [`Leasing::Held`]. A failure that is none of its `failures` delays it for 100 ms at most.
    pub async fn lease_or_wait(
        &self,
        key: &[u8],
        seen: Option<u64>,
        failures: Failures,
        wait_limit: Duration,
        work_limit: Duration,
        budget: &mut Budget,
    ) -> Leasing {
        let Some(tier) = &self.0.tier else {
            return Leasing::Alone;
        };
        let patience = timer::later(timer::now(), wait_limit);
        let leasing = tier
            .lease_or_wait(key, seen, failures, patience, work_limit, budget)
            .await;
        self.tell_leased(&leasing);
        leasing
    }

    #[cfg_attr(
        not(feature = "metrics"),
        allow(unused_variables, clippy::unused_self, reason = "nobody is told")
    )]
    fn tell_leased(&self, leasing: &Leasing) {
        #[cfg(feature = "metrics")]
        self.0.counters.meters.leased(match leasing {
            Leasing::Found(_) => "found",
            Leasing::Granted(_) => "granted",
            Leasing::Held { .. } => "held",
            Leasing::Failed { .. } => "failed",
            Leasing::Alone => "alone",
        });
    }

    /// The entry in memory, where it is the version that was found: it is known to be current again,
    /// and the body need not be decoded.
    pub fn renewed(&self, key: &[u8], held: &Held) -> Option<Arc<Entry<V>>> {
        let now = self.now();
        let entry = self.0.memory.get(key, now)?;
        if entry.proof().nonce() != held.nonce() {
            return None;
        }
        entry.proof().renew(held.mark);
        Some(entry)
    }

    /// Makes an entry of what was found in the remote tier and decoded: `value`, which weighs `size`.
    /// It is as old as it is there.
    pub fn adopt(&self, key: &Key, held: &Held, value: Option<V>, size: usize) -> Arc<Entry<V>> {
        let stored = self.now().before(held.age());
        let groups = self.0.groups.join(held.tick, held.groups());
        let weight = Memory::<V>::weigh(key, size).saturating_add(groups.weight());
        let proof = Proof::new(held.mark, held.nonce());
        let (life, cost) = (held.life(), held.cost().min(held.life().fresh / 4));
        Arc::new(Entry::new(value, stored, life, cost, groups, weight, proof))
    }

    /// Makes an entry of what was loaded under a lease, as [`entry`](Self::entry) does.
    pub fn leased_entry<G, N>(
        &self,
        ticket: &Ticket,
        lease: &Lease,
        key: &Key,
        new: NewEntry<V, G>,
    ) -> Arc<Entry<V>>
    where
        G: IntoIterator<Item = N>,
        N: AsRef<str>,
    {
        self.0.entry(ticket, key, new, self.now(), lease.nonce())
    }

    /// Removes the entries of `keys`, from memory and the remote tier, and refuses every load of them
    /// that is under way in any process. Says how many there were.
    ///
    /// What the remote tier does not confirm within the budget is not used by this process until it
    /// does, and is tried again in the background.
    pub async fn invalidate_shared(&self, keys: &[&[u8]]) -> u64 {
        let here: u64 = keys.iter().map(|key| u64::from(self.invalidate(key))).sum();
        let Some(tier) = &self.0.tier else {
            return here;
        };
        let removed = tier.invalidate(keys, &mut tier.budget()).await;
        // What was read there before it was removed must not stay in memory.
        for key in keys {
            self.invalidate_quietly(key);
        }
        removed.map_or(here, |there| there.max(here))
    }

    /// As [`invalidate_group`](Self::invalidate_group), in all processes.
    pub async fn invalidate_group_shared(&self, name: &str) {
        self.invalidate_group(name);
        if let Some(tier) = &self.0.tier {
            tier.invalidate_group(name, &mut tier.budget()).await;
            self.0.groups.invalidate(name);
        }
    }

    /// As [`invalidate_matching`](Self::invalidate_matching), in all processes: of the keys that begin
    /// with `prefix` and go on as `pattern`. Only where keys are shared under their own names.
    pub async fn invalidate_pattern_shared(
        &self,
        prefix: &[u8],
        pattern: &crate::Pattern,
    ) -> usize {
        let matches = |key: &[u8]| {
            key.strip_prefix(prefix)
                .is_some_and(|key| pattern.matches(key))
        };
        let here = self.invalidate_matching(matches);
        let Some(tier) = &self.0.tier else {
            return here;
        };
        let removed = tier.invalidate_matching(prefix, pattern.as_str()).await;
        self.0.generations.invalidate_all();
        self.0.memory.remove_matching(matches);
        self.0.generations.invalidate_all();
        removed.map_or(here, |there| (there as usize).max(here))
    }

    /// As [`invalidate_shared`](Self::invalidate_shared) and
    /// [`invalidate_group_shared`](Self::invalidate_group_shared), without waiting: here at once, in the
    /// remote tier in the background. Until that confirms it this process does not use what is there.
    pub fn invalidate_behind(&self, keys: &[&[u8]], groups: &[&str]) {
        for key in keys {
            self.invalidate(key);
        }
        for group in groups {
            self.invalidate_group(group);
        }
        if let Some(tier) = &self.0.tier {
            tier.invalidate_behind(keys, groups);
        }
    }

    /// Removes everything here, and in the remote tier what is named with `prefix`.
    pub async fn invalidate_all_shared(&self, prefix: &[u8]) {
        self.invalidate_matching(|_| true);
        if let Some(tier) = &self.0.tier {
            tier.invalidate_matching(prefix, "*").await;
            // What was read there before it was removed must not stay in memory.
            self.0.generations.invalidate_all();
            self.0.memory.remove_matching(|_| true);
            self.0.generations.invalidate_all();
        }
    }

    /// How the remote tier is, and what is left to do for it; `None` where there is none.
    pub fn remote_stats(&self) -> Option<RemoteStats> {
        self.0.tier.as_ref().map(|tier| tier.stats())
    }

    pub(crate) fn tier(&self) -> Option<&Arc<Tier>> {
        self.0.tier.as_ref()
    }

    fn invalidate_quietly(&self, key: &[u8]) {
        let hash = self.0.memory.hash(key);
        let writer = self.writer();
        self.0.generations.invalidate(hash, || writer.take(key));
    }

    /// The moment of this call, in invalidations of groups.
    pub(crate) fn tick(&self) -> Tick {
        self.0.groups.tick()
    }

    /// Whether an invalidation of the key came since the ticket.
    pub(crate) fn is_overtaken(&self, ticket: &Ticket) -> bool {
        self.0.generations.current(ticket.hash) != ticket.generation
    }

    fn writer(&self) -> Writer<'_, V> {
        Writer {
            inner: &self.0,
            now: self.now(),
            removed: RefCell::default(),
        }
    }

    /// The remembered failure of `key`, while the pause after it lasts.
    pub fn paused(&self, key: &[u8]) -> Option<Error> {
        self.0.pauses.current(key, self.now())
    }

    /// Counts that a load of `key` failed, and remembers it for a [`pause`](Self::pause).
    pub fn failed(&self, key: &Key, error: Error, policy: &Policy) -> Duration {
        self.load_failed(key.as_bytes(), &error);
        self.pause(key, error, policy)
    }

    /// Remembers for the policy's pause that a load of `key` failed; says how long that is.
    pub fn pause(&self, key: &Key, error: Error, policy: &Policy) -> Duration {
        let (now, random) = (self.now(), self.random());
        self.0
            .pauses
            .failed(key.as_bytes(), error, policy, now, random)
    }

    /// Remembers for `left` that another process's load of `key` failed.
    pub fn pause_for(&self, key: &Key, error: Error, left: Duration) {
        self.0
            .pauses
            .failed_elsewhere(key.as_bytes(), error, self.now().after(left));
    }

    /// Forgets earlier failures of `key`.
    pub fn succeeded(&self, key: &[u8]) {
        self.0.pauses.forget(key);
    }

    /// Remembers for `lasting` that outcomes of this flight cannot be shared.
    pub fn mark_unshared(&self, key: &FlightKey, lasting: Duration) {
        self.0.unshared.mark(key, self.now(), lasting);
    }

    /// Whether outcomes of this flight could not be shared lately.
    pub fn is_unshared(&self, key: &FlightKey) -> bool {
        self.0.unshared.is_marked(key, self.now())
    }

    /// Forgets that outcomes of this flight could not be shared.
    pub fn mark_shared(&self, key: &FlightKey) {
        self.0.unshared.forget(key);
    }

    /// The name of the cache, in metrics and spans.
    pub fn name(&self) -> &str {
        self.0.counters.cache()
    }

    /// Counts an event.
    pub fn record(&self, event: Event) {
        self.0.counters.record(event);
    }

    /// Takes back that an event was [counted](Self::record), where another part of an engine counts the
    /// same request.
    pub fn retract(&self, event: Event) {
        self.0.counters.retract(event);
    }

    /// A request ended so that [was counted](Self::record) as `came`: it is counted as what it turned out to
    /// be. `route` is the template of its route, empty where it has none; `began` when it came, where
    /// how long it took is worth telling.
    pub fn ended(&self, came: Event, outcome: Ended, route: &str, began: Option<Moment>) {
        let is = outcome.event();
        if came != is {
            // In this order, so that no request is missing at any moment.
            self.record(is);
            self.retract(came);
        }
        if let Ended::Miss {
            collapsed: Some(tier),
            ..
        } = outcome
        {
            self.record(match tier {
                observe::Tier::Memory => Event::Collapsed,
                observe::Tier::Remote => Event::RemoteCollapsed,
            });
        }
        self.tell_ended(outcome, route, began);
    }

    /// A request came and ended at once, so: counted and told in one step.
    #[inline]
    pub fn settled(&self, outcome: Ended, route: &str, began: Option<Moment>) {
        self.record(outcome.event());
        self.tell_ended(outcome, route, began);
    }

    #[cfg(feature = "metrics")]
    #[inline]
    fn tell_ended(&self, outcome: Ended, route: &str, began: Option<Moment>) {
        let took = began.map(|began| self.now().seconds_since(began));
        self.0.counters.meters.ended(route, outcome, took);
    }

    #[cfg(not(feature = "metrics"))]
    #[allow(clippy::unused_self, reason = "nobody is told")]
    fn tell_ended(&self, _: Ended, _: &str, _: Option<Moment>) {}

    /// Sets the gauges of the metrics to what is so now. Requests do so about once a second; whoever is about
    /// to read the metrics may do so just before. Without the feature `metrics` nothing is done.
    pub fn measure(&self) {
        #[cfg(feature = "metrics")]
        self.set_gauges();
    }

    /// As [`measure`](Self::measure), if that was not done within the last second.
    #[inline]
    #[cfg_attr(
        not(feature = "metrics"),
        allow(unused_variables, reason = "nobody is told")
    )]
    pub fn measure_if_due(&self, now: Moment) {
        #[cfg(feature = "metrics")]
        if self.0.counters.meters.is_due(now) {
            self.set_gauges();
        }
    }

    #[cfg(feature = "metrics")]
    fn set_gauges(&self) {
        let now = self.now();
        let remote = self
            .0
            .tier
            .as_ref()
            .map(|tier| (tier.stats(), tier.coherence.lag(now)));
        let began = self.0.flights.oldest();
        let oldest = began.map_or(Duration::ZERO, |began| {
            timer::now().saturating_duration_since(began)
        });
        self.0.counters.meters.gauges(
            &self.stats(),
            oldest,
            remote.as_ref().map(|(stats, lag)| (stats, *lag)),
        );
    }

    /// Something is about to be invalidated, for this reason; how much of it is counted by itself.
    pub fn invalidated(&self, source: Source) {
        self.0.counters.invalidated(source);
    }

    /// A load begins. How it ends is told when what this gives is dropped.
    #[cfg_attr(
        not(feature = "metrics"),
        allow(clippy::unused_self, reason = "nobody is told")
    )]
    pub fn begin_load(&self) -> Loading<V> {
        Loading {
            #[cfg(feature = "metrics")]
            load: Some((self.clone(), self.now())),
            #[cfg(feature = "metrics")]
            how: AtomicU8::new(Loaded::Dropped as u8),
            of: PhantomData,
        }
    }

    /// What was loaded of `key` came too late: counted, and told as an event.
    pub fn refused(&self, key: &[u8]) {
        self.0.counters.refused(key);
    }

    /// The value of `key` in the remote tier has no meaning to its codec.
    pub fn undecodable(&self, key: &[u8]) {
        self.0.counters.undecodable(key);
    }

    /// A load of `key` failed; counted, and told as an event.
    pub fn load_failed(&self, key: &[u8], error: &Error) {
        self.record(Event::LoadFailed);
        self.0.counters.error(observe::Tier::Memory, "load");
        tell::load_failed(self.name(), key, error);
    }

    /// A load of `key` in the background was given up after its deadline: told as an event.
    pub fn late(&self, key: &[u8]) {
        tell::late(self.name(), key);
    }

    /// The counts so far, and what is held now.
    pub fn stats(&self) -> Stats {
        Stats {
            entries: self.0.memory.len() as u64,
            bytes: self.0.memory.weight(),
            flights: self.0.flights.len() as u64,
            ..Stats::of(&self.0.counters)
        }
    }

    /// Whether both are handles to one store.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn lead(&self, lead: FlightLead<V>, ticket: Ticket) -> Lead<V> {
        Lead {
            lead,
            ticket,
            store: self.id(),
        }
    }

    /// The lead of one who took over: its load begins now, not when it came.
    fn successor(&self, lead: FlightLead<V>) -> Lead<V> {
        let ticket = self.ticket(lead.key().key.as_bytes());
        self.lead(lead, ticket)
    }
}

impl<V> Inner<V> {
    fn entry<G, N>(
        &self,
        ticket: &Ticket,
        key: &Key,
        new: NewEntry<V, G>,
        now: Moment,
        nonce: u64,
    ) -> Arc<Entry<V>>
    where
        G: IntoIterator<Item = N>,
        N: AsRef<str>,
    {
        self.entry_with(ticket, key, new, now, Proof::new(ticket.mark, nonce))
    }

    fn entry_with<G, N>(
        &self,
        ticket: &Ticket,
        key: &Key,
        new: NewEntry<V, G>,
        now: Moment,
        proof: Proof,
    ) -> Arc<Entry<V>>
    where
        G: IntoIterator<Item = N>,
        N: AsRef<str>,
    {
        let earlier = self.memory.peek(key.as_bytes()).map(|entry| entry.cost());
        let cost = smoothed(earlier, now.since(ticket.began)).min(new.life.fresh / 4);
        let groups = self.groups.join(ticket.tick, new.groups);
        let weight = Memory::<V>::weigh(key, new.size).saturating_add(groups.weight());
        Arc::new(Entry::new(
            new.value, now, new.life, cost, groups, weight, proof,
        ))
    }
}

/// A load under way, from [`Store::begin_load`]. Dropped before it [ends](Self::ends), it counts as dropped.
pub struct Loading<V> {
    #[cfg(feature = "metrics")]
    load: Option<(Store<V>, Moment)>,
    /// An atomic, so that one who lends what holds it may say how it ends.
    #[cfg(feature = "metrics")]
    how: AtomicU8,
    of: PhantomData<fn() -> V>,
}

impl<V> Loading<V> {
    /// How it ends.
    #[cfg_attr(
        not(feature = "metrics"),
        allow(unused_variables, clippy::unused_self, reason = "nobody is told")
    )]
    pub fn ends(&self, how: Loaded) {
        #[cfg(feature = "metrics")]
        self.how.store(how as u8, Ordering::Relaxed);
    }

    /// It is not counted: another counts it.
    #[cfg_attr(
        not(feature = "metrics"),
        allow(clippy::unused_self, reason = "nobody is told")
    )]
    pub fn forget(&mut self) {
        #[cfg(feature = "metrics")]
        {
            self.load = None;
        }
    }
}

#[cfg(feature = "metrics")]
impl<V> Drop for Loading<V> {
    fn drop(&mut self) {
        if let Some((store, began)) = self.load.take() {
            let took = store.now().since(began);
            let how = usize::from(*self.how.get_mut());
            let how = Loaded::ALL.get(how).copied().unwrap_or(Loaded::Dropped);
            store.0.counters.meters.loaded(how, took);
        }
    }
}

impl<V> fmt::Debug for Loading<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading").finish_non_exhaustive()
    }
}

type FlightLead<V> = flight::Lead<FlightKey, Outcome<V>, Hashing>;

/// When a turn that begins now is over.
///
/// A leader that is alive ends its load itself at the work limit, and its followers share that
/// failure. The grace lets it: without it they would wake with the leader, and one would load again.
fn overdue(now: Instant, work_limit: Duration) -> Instant {
    const GRACE: Duration = Duration::from_millis(10);
    timer::later(now, work_limit.saturating_add(GRACE))
}

/// An average that follows changes within a few loads.
fn smoothed(earlier: Option<Duration>, measured: Duration) -> Duration {
    earlier.map_or(measured, |earlier| {
        earlier.saturating_mul(3).saturating_add(measured) / 4
    })
}

impl<V> Clone for Store<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<V> fmt::Debug for Store<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("memory", &self.0.memory)
            .finish_non_exhaustive()
    }
}

/// Reads and stores within one [commit](Store::commit_with).
pub struct Writer<'a, V> {
    inner: &'a Inner<V>,
    now: Moment,
    /// Dropped with the writer, after the lock.
    removed: RefCell<Removed<V>>,
}

impl<V> Writer<'_, V> {
    /// The entry of `key` as it is.
    pub fn current(&self, key: &[u8]) -> Option<Arc<Entry<V>>> {
        let entry = self.inner.memory.peek(key)?;
        let is_alive = entry.is_current() && entry.freshness(self.now) != Freshness::Dead;
        is_alive.then_some(entry)
    }

    /// Makes an entry, as [`Store::entry`] does.
    pub fn entry<G, N>(&self, ticket: &Ticket, key: &Key, new: NewEntry<V, G>) -> Arc<Entry<V>>
    where
        G: IntoIterator<Item = N>,
        N: AsRef<str>,
    {
        self.inner.entry(ticket, key, new, self.now, 0)
    }

    /// As [`current`](Self::current), where the entry is known to be current in the remote tier too.
    pub fn trusted(&self, key: &[u8]) -> Option<Arc<Entry<V>>> {
        let entry = self.current(key)?;
        let trusts = |tier: &Arc<Tier>| tier.coherence.trusts(entry.proof(), self.now);
        self.inner.tier.as_ref().is_none_or(trusts).then_some(entry)
    }

    /// As [`entry`](Self::entry), of the key that was loaded, for what the remote tier has as this
    /// [version](Lease::version); 0 where it has it not.
    pub fn shared_entry<G, N>(
        &self,
        ticket: &Ticket,
        version: u64,
        key: &Key,
        new: NewEntry<V, G>,
    ) -> Arc<Entry<V>>
    where
        G: IntoIterator<Item = N>,
        N: AsRef<str>,
    {
        self.inner.entry(ticket, key, new, self.now, version)
    }

    /// As [`shared_entry`](Self::shared_entry), for a key beside the one that was loaded. From now on
    /// it goes with what is told of its own key; it must only be found by way of an entry of the other.
    pub fn entry_beside<G, N>(
        &self,
        ticket: &Ticket,
        version: u64,
        key: &Key,
        new: NewEntry<V, G>,
    ) -> Arc<Entry<V>>
    where
        G: IntoIterator<Item = N>,
        N: AsRef<str>,
    {
        let tier = self.inner.tier.as_ref();
        let mark = tier.map_or_else(Mark::default, |tier| tier.mark(key.as_bytes()));
        let ticket = Ticket { mark, ..*ticket };
        self.inner.entry(&ticket, key, new, self.now, version)
    }

    /// As [`entry`](Self::entry), for an entry that says no more than `earlier` says and what is stored
    /// beside it: it is known to be current as far as that one is.
    pub fn heir<G, N>(
        &self,
        earlier: &Entry<V>,
        ticket: &Ticket,
        key: &Key,
        new: NewEntry<V, G>,
    ) -> Arc<Entry<V>>
    where
        G: IntoIterator<Item = N>,
        N: AsRef<str>,
    {
        let proof = earlier.proof().copied();
        self.inner.entry_with(ticket, key, new, self.now, proof)
    }

    /// Removes an entry.
    pub fn remove(&self, key: &[u8]) {
        self.take(key);
    }

    /// Notes that what was loaded is too heavy to be kept; an earlier entry, which it supersedes,
    /// goes.
    pub(crate) fn reject(&self, key: &[u8]) {
        self.take(key);
        self.inner.counters.record(Event::Evicted);
    }

    fn take(&self, key: &[u8]) -> bool {
        self.inner
            .memory
            .remove(key, &mut self.removed.borrow_mut())
    }

    /// Stores an entry. False where it has no lifetime or is too heavy, and then an earlier entry of the
    /// key, which it supersedes, is removed; false too where it was invalidated by group.
    pub fn put(&self, key: Key, entry: Arc<Entry<V>>) -> bool {
        let stored = self.link(key, entry);
        if stored {
            self.inner.counters.record(Event::Stored);
        }
        stored
    }

    /// As [`put`](Self::put), for an entry that only leads to others: it is not counted as stored.
    pub fn link(&self, key: Key, entry: Arc<Entry<V>>) -> bool {
        let mut removed = self.removed.borrow_mut();
        let is_current = entry.is_current();
        if is_current && entry.freshness(self.now) != Freshness::Dead {
            return self.inner.memory.insert(key, entry, &mut removed);
        }
        // One that a purge of its group overtook supersedes nothing: what is there may be newer.
        if is_current {
            self.inner.memory.remove(key.as_bytes(), &mut removed);
        }
        removed.push(key, entry);
        false
    }
}

impl<V> fmt::Debug for Writer<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// The right, and the duty, to load one key. Dropping it passes the turn to one who waits.
pub struct Lead<V> {
    lead: FlightLead<V>,
    ticket: Ticket,
    store: usize,
}

impl<V> Lead<V> {
    /// What is to be loaded.
    pub fn key(&self) -> &FlightKey {
        self.lead.key()
    }

    /// When this load began.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// How many leaders of this flight came before, and gave up or ran out of time.
    pub fn predecessors(&self) -> u64 {
        self.lead.passes()
    }

    /// Whether nobody has taken over since.
    pub fn is_current(&self) -> bool {
        self.lead.is_current()
    }

    /// Runs the load so that, should it ask for the same key, it is told so instead of waiting for
    /// itself.
    pub fn scope<F: Future>(&self, load: F) -> impl Future<Output = F::Output> + use<F, V> {
        reentry::scope(self.store, self.key().clone(), load)
    }

    /// Hands the outcome to those who wait, and to those who come until the lead is dropped. False
    /// where another has taken over.
    pub fn announce(&self, outcome: Outcome<V>) -> bool {
        self.lead.announce(outcome)
    }

    /// Hands the outcome to those who wait and ends the flight. False where another has taken over.
    pub fn finish(self, outcome: Outcome<V>) -> bool {
        self.lead.finish(outcome)
    }
}

impl<V> fmt::Debug for Lead<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lead")
            .field("key", self.key())
            .finish_non_exhaustive()
    }
}

/// One who waits for another's load.
pub struct Follower<V>(flight::Follower<FlightKey, Outcome<V>, Hashing>);

impl<V> fmt::Debug for Follower<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

impl<V> fmt::Debug for Outcome<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(entry) => f.debug_tuple("Ready").field(entry).finish(),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            Self::Unshared => f.write_str("Unshared"),
        }
    }
}
