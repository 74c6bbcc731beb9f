//! The remote tier as a store uses it: names, envelopes, groups, counts around a [`Remote`].

use crate::{
    Error,
    clock::{Clock, Random},
    event::{Counters, Event},
    group::{Groups, Tick},
    policy::{LONGEST, Life},
    remote::{
        Ask, Budget, Envelope, Failure, Found, Health, Lease, Leased, MAX_KEY, Notice, Remote,
        Sealed, ServerTime, Token, Value, Watcher,
        coherence::{Coherence, Mark},
        envelope::{HEAD, head_of},
        jobs::{Jobs, PATIENCE},
        journal::{Entered, Removal, remove},
        lease::Shared,
        on_its_way,
    },
    timer,
};
use bytes::Bytes;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// Writes the name, in the remote tier, of a key.
pub(crate) type Naming = Arc<dyn Fn(&[u8], &mut Vec<u8>) + Send + Sync>;

/// How a store uses its remote tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct RemoteSettings {
    budget: Duration,
    lease: Duration,
    max_staleness: Duration,
}

impl Default for RemoteSettings {
    fn default() -> Self {
        Self::new()
    }
}

impl RemoteSettings {
    /// The defaults named at each setter.
    pub fn new() -> Self {
        Self {
            budget: Duration::from_millis(20),
            lease: Duration::from_secs(2),
            max_staleness: Duration::from_secs(3),
        }
    }

    /// One request spends this long on the remote tier at most, waiting for another process's load
    /// apart. A value of more than 64 KiB that is known to be on its way, or is being inserted, is
    /// given 1 ms more for each 8 KiB: so it is found over a link of 100 Mbit/s as well, and a tier
    /// that says nothing still costs no more than this. Accepted: 1 ms to 10 s. Default: 20 ms.
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// A lease ends after this time unless it is renewed, so the key of a process that died is free
    /// again by then. Accepted: 100 ms to 60 s. Default: 2 seconds.
    pub fn lease(mut self, lasting: Duration) -> Self {
        self.lease = lasting;
        self
    }

    /// While it is not told of changes, memory uses what it holds for this long after it was last
    /// known to be current. Accepted: 0 to an hour. Default: 3 seconds.
    pub fn max_staleness(mut self, bound: Duration) -> Self {
        self.max_staleness = bound;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let mut problems = Vec::new();
        let mut check = |name, found: Duration, least: Duration, most: Duration| {
            if !(least..=most).contains(&found) {
                problems.push(format!(
                    "{name} is {found:?}; accepted is {least:?} to {most:?}"
                ));
            }
        };
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        check("the remote budget", self.budget, ms(1), s(10));
        check("the remote lease", self.lease, ms(100), s(60));
        check("max_staleness", self.max_staleness, ms(0), s(3600));
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::config(problems.join("; ")))
        }
    }
}

/// What was found in the remote tier: whole, of this key, not invalidated.
#[derive(Debug)]
pub struct Held {
    envelope: Envelope,
    age: Duration,
    pub(crate) mark: Mark,
    pub(crate) tick: Tick,
}

impl Held {
    /// The encoded value; `None` is a remembered "there is none".
    pub fn body(&self) -> Option<&Bytes> {
        self.envelope.body.as_ref()
    }

    /// How long ago it was stored.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Its lifetimes, from when it was stored.
    pub fn life(&self) -> Life {
        let life = self.envelope.life;
        Life {
            fresh: life.fresh.min(LONGEST),
            stale_while_revalidate: life.stale_while_revalidate.min(LONGEST),
            stale_if_error: life.stale_if_error.min(LONGEST),
            kept: life.kept.min(LONGEST),
        }
    }

    /// Whether its freshness lifetime lasts.
    pub fn is_fresh(&self) -> bool {
        self.age < self.life().fresh
    }

    /// How long its load took.
    pub fn cost(&self) -> Duration {
        self.envelope.cost
    }

    /// The groups it belongs to.
    pub fn groups(&self) -> &[Box<str>] {
        &self.envelope.groups
    }

    /// Names this version of the value.
    pub fn nonce(&self) -> u64 {
        self.envelope.nonce
    }
}

/// What came of asking for the lease of a key.
#[derive(Debug)]
pub enum Leasing {
    /// There is a value, other than the one that was known.
    Found(Held),
    /// This process is to load.
    Granted(Lease),
    /// Another process loads.
    Held {
        /// So long, unless it goes on or ends before.
        left: Duration,
    },
    /// Another process's load failed.
    Failed {
        /// As this.
        error: Error,
        /// For so long nobody tries again.
        left: Duration,
    },
    /// The remote tier is of no help: each process for itself.
    Alone,
}

/// Which failures of other processes are a caller's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failures {
    /// Also one from before it came, while that is remembered.
    Remembered,
    /// Only that of a load it waited for.
    Awaited,
}

/// Counts of the remote tier.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RemoteStats {
    /// How it is.
    pub health: Health,
    /// Whether memory is being told of changes.
    pub is_coherent: bool,
    /// Work for the background that wait, and leases being held.
    pub pending: (usize, usize),
    /// Work for which there was no room.
    pub dropped: u64,
}

pub(crate) struct Tier {
    pub(crate) remote: Arc<dyn Remote>,
    pub(crate) coherence: Arc<Coherence>,
    pub(crate) jobs: Arc<Jobs>,
    settings: RemoteSettings,
    schema: u64,
    naming: Option<Naming>,
    /// Before the names of groups, so that those of two caches do not meet.
    scope: Box<str>,
    groups: Arc<Groups>,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// What a [`Tier`] is made of beside what it makes itself.
pub(crate) struct Parts {
    pub(crate) remote: Arc<dyn Remote>,
    pub(crate) settings: RemoteSettings,
    pub(crate) schema: u64,
    pub(crate) naming: Option<Naming>,
    pub(crate) scope: Box<str>,
}

impl Tier {
    pub(crate) fn new(
        parts: Parts,
        groups: &Arc<Groups>,
        counters: &Arc<Counters>,
        clock: &Arc<dyn Clock>,
        random: &Arc<dyn Random>,
    ) -> Self {
        let Parts {
            remote,
            settings,
            schema,
            naming,
            scope,
        } = parts;
        let coherence = Arc::new(Coherence::new(
            settings.max_staleness,
            Arc::clone(counters),
            Arc::clone(clock),
            Arc::clone(groups),
            scope.clone(),
        ));
        let watcher: Weak<dyn Watcher> = {
            let weak: Weak<Coherence> = Arc::downgrade(&coherence);
            weak
        };
        remote.watch(watcher);
        Self {
            jobs: Arc::new(Jobs::new(Arc::clone(&remote), settings.lease)),
            remote,
            coherence,
            settings,
            schema,
            naming,
            scope,
            groups: Arc::clone(groups),
            counters: Arc::clone(counters),
            clock: Arc::clone(clock),
            random: Arc::clone(random),
        }
    }

    /// The name of a group, in the remote tier.
    pub(crate) fn scoped(&self, group: &str) -> String {
        format!("{}:{group}", self.scope)
    }

    pub(crate) fn budget(&self) -> Budget {
        Budget::new(self.settings.budget)
    }

    /// The name of `key`; `None` where it is too long to be shared.
    pub(crate) fn name<'k>(&self, key: &'k [u8]) -> Option<Cow<'k, [u8]>> {
        let name = match &self.naming {
            None => Cow::Borrowed(key),
            Some(naming) => {
                let mut name = Vec::new();
                naming(key, &mut name);
                Cow::Owned(name)
            }
        };
        (name.len() <= MAX_KEY).then_some(name)
    }

    /// The mark of a key as of now.
    pub(crate) fn mark(&self, key: &[u8]) -> Mark {
        let now = self.clock.now();
        match &self.naming {
            // A key that is too long has a mark all the same: it is never told of, and trusted by time.
            None => self.coherence.mark(key, now),
            Some(_) => self
                .name(key)
                .map_or_else(Mark::default, |name| self.coherence.mark(&name, now)),
        }
    }

    pub(crate) async fn look(&self, key: &[u8], budget: &mut Budget) -> Option<Held> {
        let name = self.name(key)?;
        if self.jobs.journal.covers(&name) {
            return None;
        }
        let (mark, tick) = (
            self.coherence.mark(&name, self.clock.now()),
            self.groups.tick(),
        );
        let found = budget.spend_on(|limit| self.remote.look(&name, limit));
        let found = found.await;
        match self.counted(found)? {
            Some(found) => {
                let held = self.open(key, found, mark, tick, budget).await;
                self.counters.record(if held.is_some() {
                    Event::RemoteHit
                } else {
                    Event::RemoteMiss
                });
                held
            }
            None => {
                self.counters.record(Event::RemoteMiss);
                None
            }
        }
    }

    pub(crate) async fn look_many(&self, keys: &[&[u8]], budget: &mut Budget) -> Vec<Option<Held>> {
        // Once: what is pending now may be confirmed before the answers are here, which belong to these.
        let is_asked = |name: &Cow<'_, [u8]>| !self.jobs.journal.covers(name);
        let names: Vec<_> = keys
            .iter()
            .map(|key| self.name(key).filter(is_asked))
            .collect();
        let asked: Vec<&[u8]> = names.iter().flatten().map(|name| &**name).collect();
        let now = self.clock.now();
        let tick = self.groups.tick();
        let marks: Vec<Mark> = asked
            .iter()
            .map(|name| self.coherence.mark(name, now))
            .collect();
        let found = budget
            .spend(|limit| self.remote.look_many(&asked, limit))
            .await;
        let mut found = self
            .counted(found)
            .unwrap_or_default()
            .into_iter()
            .zip(marks);
        let mut all = Vec::with_capacity(keys.len());
        for (key, name) in keys.iter().zip(&names) {
            let answer = name.as_ref().and_then(|_| found.next());
            all.push(match answer {
                Some((Some(found), mark)) => self.opened(key, found, mark, tick),
                _ => None,
            });
        }
        let versions = self.versions(all.iter().flatten(), tick, budget).await;
        for held in &mut all {
            held.take_if(|held| !is_current(&held.envelope, &versions));
            self.counters.record(if held.is_some() {
                Event::RemoteHit
            } else {
                Event::RemoteMiss
            });
        }
        all
    }

    /// Asks once for the lease of `key`, or a value of another version than `seen`.
    pub(crate) async fn lease(
        self: &Arc<Self>,
        key: &[u8],
        seen: Option<u64>,
        until: Instant,
        budget: &mut Budget,
    ) -> Leasing {
        let Some(name) = self
            .name(key)
            .filter(|name| !self.jobs.journal.covers(name))
        else {
            return Leasing::Alone;
        };
        let mut seen: Vec<u8> = seen.map_or_else(Vec::new, |nonce| head_of(nonce).to_vec());
        // What is there but cannot be used is asked past, once: it is to be replaced.
        for _ in 0..2 {
            let (mark, tick) = (
                self.coherence.mark(&name, self.clock.now()),
                self.groups.tick(),
            );
            let token = Token::new();
            let ask = Ask {
                key: &name,
                token,
                seen: &seen,
                lasting: self.settings.lease,
            };
            let unheard = Unheard::new(self, &name, token);
            let is_asked = !budget.left().is_zero();
            let leased = budget.spend(|limit| self.remote.lease(ask, limit)).await;
            // Only of one that came too late is it not known whether it was granted.
            if !is_asked || !matches!(leased, Err(Failure::Late)) {
                unheard.forget();
            }
            match self.counted(leased) {
                Some(Leased::Value(found)) => {
                    seen = found.bytes.get(..HEAD).unwrap_or(&found.bytes).to_vec();
                    if let Some(held) = self.open(key, found, mark, tick, budget).await {
                        return Leasing::Found(held);
                    }
                }
                Some(Leased::Granted(born)) => {
                    return Leasing::Granted(Lease::new(self, key, &name, token, born, until));
                }
                Some(Leased::Held(_)) if self.jobs.is_ownerless(&name) => return Leasing::Alone,
                Some(Leased::Held(left)) => return Leasing::Held { left },
                Some(Leased::Failed { message, left }) => {
                    let error = Error::load(message);
                    return Leasing::Failed { error, left };
                }
                None => return Leasing::Alone,
            }
        }
        Leasing::Alone
    }

    /// As [`lease`](Self::lease), waiting until `patience` ends for another process that loads.
    pub(crate) async fn lease_or_wait(
        self: &Arc<Self>,
        key: &[u8],
        seen: Option<u64>,
        failures: Failures,
        patience: Instant,
        work_limit: Duration,
        budget: &mut Budget,
    ) -> Leasing {
        let Some(name) = self.name(key) else {
            return Leasing::Alone;
        };
        let (mut poll, mut is_held, mut unheard) = (FIRST_POLL, false, 0);
        loop {
            // Listening before asking: a lease that ends in between is heard of.
            let mut woken = std::pin::pin!(self.coherence.waker(&name).notified());
            woken.as_mut().enable();
            let until = timer::later(timer::now(), work_limit);
            let (left, pause) = match self.lease(key, seen, until, budget).await {
                Leasing::Held { left } => {
                    (is_held, unheard) = (true, 0);
                    let pause = self.jittered(poll.min(left.max(FIRST_POLL)));
                    poll = (poll * 2).min(LAST_POLL);
                    (left, pause)
                }
                Leasing::Granted(lease) if is_held => {
                    return Leasing::Granted(lease.after_another());
                }
                // It stands for those who waited. Who came after that gives them the time to hear of it.
                Leasing::Failed { left, .. } if failures == Failures::Awaited && !is_held => {
                    if left > HEARD {
                        return Leasing::Alone;
                    }
                    (left, left)
                }
                // One question without an answer does not free a lease that another has.
                Leasing::Alone
                    if is_held && unheard + 1 < UNHEARD && self.remote.health().is_up() =>
                {
                    unheard += 1;
                    // The silence was a pause.
                    (FIRST_POLL, Duration::ZERO)
                }
                settled => return settled,
            };
            let now = timer::now();
            if now >= patience {
                return Leasing::Held { left };
            }
            let wake = timer::later(now, pause);
            timer::until(wake.min(patience), woken).await;
            // Waiting is not asking: each question may take its time again.
            *budget = self.budget();
        }
    }

    fn jittered(&self, pause: Duration) -> Duration {
        pause.mul_f64(1.0 - crate::clock::unit(&*self.random) / 2.0)
    }

    /// Stores values whoever loads their keys.
    pub(crate) async fn put_many(
        self: &Arc<Self>,
        entries: Vec<(&[u8], u64, Shared)>,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        let keys: Vec<&[u8]> = entries.iter().map(|(key, ..)| *key).collect();
        // Until it is stored, what is there is not the current value.
        let pending = self.pending_keys(&keys);
        let stored = self.try_put_many(entries, budget).await;
        self.settle(pending, &stored);
        stored
    }

    async fn try_put_many(
        &self,
        entries: Vec<(&[u8], u64, Shared)>,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        let born = self.remote.now().ok_or(Failure::Away)?;
        let mut names = Vec::with_capacity(entries.len());
        let (mut groups, mut longest) = (BTreeSet::new(), Duration::ZERO);
        for (key, nonce, new) in entries {
            let name = self.name(key).ok_or(Failure::TooLarge)?;
            let envelope = Envelope {
                nonce,
                born,
                stored: born,
                life: new.life,
                cost: new.cost,
                groups: new.groups,
                body: new.body,
            };
            let lasting = envelope.lasting();
            groups.extend(envelope.groups.iter().map(|group| self.scoped(group)));
            longest = longest.max(lasting);
            let bytes = self.seal(&envelope, key)?.bytes;
            names.push((name, Value { bytes, lasting }));
        }
        if !groups.is_empty() {
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            let kept = longest.saturating_mul(2);
            let joined = |limit| self.remote.join_groups(&groups, born, kept, limit);
            budget.spend(joined).await?;
        }
        let values: Vec<(&[u8], Value)> = names
            .iter()
            .map(|(name, value)| (&**name, value.clone()))
            .collect();
        let size = values.iter().map(|(_, value)| value.bytes.len()).sum();
        let put = |limit: Duration| {
            let limit = limit.saturating_add(on_its_way(size));
            self.remote.put_many(&values, limit)
        };
        let result = budget.spend(put).await;
        self.counted(result.clone());
        result
    }

    pub(crate) fn seal(&self, envelope: &Envelope, key: &[u8]) -> Result<Sealed, Failure> {
        let sealed = envelope.seal(key, self.schema).ok_or(Failure::TooLarge)?;
        if sealed.bytes.len() > self.remote.max_value() || envelope.lasting().is_zero() {
            return Err(Failure::TooLarge);
        }
        Ok(sealed)
    }

    /// Removes keys; says how many there were, or `None` where that is not confirmed yet.
    pub(crate) async fn invalidate(
        self: &Arc<Self>,
        keys: &[&[u8]],
        budget: &mut Budget,
    ) -> Option<u64> {
        let pending = self.pending_keys(keys);
        let removals = pending.removals.iter();
        let names: Vec<&[u8]> = removals.filter_map(|(removal, _)| named(removal)).collect();
        let removed = budget
            .spend(|limit| self.remote.invalidate(&names, limit))
            .await;
        for name in names {
            self.coherence.changed(name);
        }
        self.settle(pending, &removed);
        removed.ok()
    }

    pub(crate) async fn invalidate_group(self: &Arc<Self>, name: &str, budget: &mut Budget) {
        self.invalidate_by(Removal::Group(self.scoped(name).into()), budget.left())
            .await;
    }

    pub(crate) async fn invalidate_matching(
        self: &Arc<Self>,
        prefix: &[u8],
        pattern: &str,
    ) -> Option<u64> {
        let removal = Removal::Matching {
            prefix: prefix.into(),
            pattern: pattern.into(),
        };
        self.invalidate_by(removal, PATIENCE).await
    }

    /// Removes keys and groups in the background. Until that is confirmed they are misses here.
    pub(crate) fn invalidate_behind(self: &Arc<Self>, keys: &[&[u8]], groups: &[&str]) {
        let keys = keys.iter().filter_map(|key| self.name(key));
        let groups = groups.iter().map(|group| self.scoped(group).into());
        let removals = keys
            .map(|name| Removal::Key(name.into()))
            .chain(groups.map(Removal::Group));
        // Dropped with all of them, it leaves them to the background.
        drop(self.pending(removals.collect()));
    }

    async fn invalidate_by(self: &Arc<Self>, removal: Removal, limit: Duration) -> Option<u64> {
        let pending = self.pending(vec![removal.clone()]);
        let removed = remove(&*self.remote, &removal, limit).await;
        self.settle(pending, &removed);
        removed.ok()
    }

    fn pending_keys(self: &Arc<Self>, keys: &[&[u8]]) -> PendingRemovals {
        let names = keys.iter().filter_map(|key| self.name(key));
        self.pending(names.map(|name| Removal::Key(name.into())).collect())
    }

    fn pending(self: &Arc<Self>, removals: Vec<Removal>) -> PendingRemovals {
        let now = self.remote.now();
        let enter = |removal: Removal| {
            let entered = self.jobs.journal.enter(removal.clone(), now);
            // Not before this, or a version that was read meanwhile would be remembered.
            if let Removal::Group(name) = &removal {
                self.coherence.notice(Notice::Group(name));
            }
            (removal, entered)
        };
        PendingRemovals {
            jobs: Arc::clone(&self.jobs),
            removals: removals.into_iter().map(enter).collect(),
        }
    }

    /// Confirms what is done; the rest goes on in the background.
    fn settle<T: Clone>(&self, mut pending: PendingRemovals, result: &Result<T, Failure>) {
        self.counted(result.clone());
        let is_done = |place: usize| match result {
            Ok(_) => true,
            Err(Failure::Partly(failed)) => failed.binary_search(&place).is_err(),
            Err(_) => false,
        };
        let mut left = Vec::new();
        for (place, (removal, entered)) in pending.removals.drain(..).enumerate() {
            if is_done(place) {
                self.jobs.journal.confirm(&removal, entered);
            } else {
                left.push((removal, entered));
            }
        }
        pending.removals = left;
    }

    pub(crate) fn count_commit(&self, committed: &Result<bool, Failure>) {
        match committed {
            Ok(true) => self.counters.record(Event::RemoteStored),
            Ok(false) => self.counters.record(Event::RemoteRefused),
            Err(failure) => self.counters.failed_there(failure),
        }
    }

    pub(crate) fn stats(&self) -> RemoteStats {
        RemoteStats {
            health: self.remote.health(),
            is_coherent: self.coherence.is_heard(self.clock.now()),
            pending: self.jobs.pending(),
            dropped: self.jobs.dropped(),
        }
    }

    /// Checks what was found: that it is an entry of this key, alive, of groups that were not
    /// invalidated.
    async fn open(
        &self,
        key: &[u8],
        found: Found,
        mark: Mark,
        tick: Tick,
        budget: &mut Budget,
    ) -> Option<Held> {
        let held = self.opened(key, found, mark, tick)?;
        if self.is_known_current(&held.envelope) {
            return Some(held);
        }
        let versions = self.versions([&held], tick, budget).await;
        is_current(&held.envelope, &versions).then_some(held)
    }

    /// As [`is_current`], by what needs no question.
    fn is_known_current(&self, envelope: &Envelope) -> bool {
        let mut groups = envelope.groups.iter();
        let now = self.clock.now();
        groups.all(|group| {
            let version = self.coherence.version(group, now);
            version.is_some_and(|version| version < envelope.born)
        })
    }

    /// As [`open`](Self::open), but its groups are yet to be looked at.
    fn opened(&self, key: &[u8], found: Found, mark: Mark, tick: Tick) -> Option<Held> {
        let Found { bytes, at } = found;
        let envelope = match Envelope::open(bytes, key, self.schema) {
            Ok(envelope) => envelope,
            Err(odd) => {
                self.counters.odd(key, odd);
                return None;
            }
        };
        let age = at.since(envelope.stored);
        let is_ahead = envelope.stored.since(at) > AHEAD;
        if is_ahead || age >= envelope.lasting() || self.covers_entry(&envelope) {
            return None;
        }
        Some(Held {
            envelope,
            age,
            mark,
            tick,
        })
    }

    fn covers_entry(&self, envelope: &Envelope) -> bool {
        let journal = &self.jobs.journal;
        !journal.is_empty() && {
            let groups: Vec<Box<str>> = envelope
                .groups
                .iter()
                .map(|group| self.scoped(group).into())
                .collect();
            journal.covers_entry(&groups, envelope.born)
        }
    }

    /// When the groups of these entries were last invalidated, as far as that is known here, or answered
    /// to one question for all the others.
    async fn versions(
        &self,
        entries: impl IntoIterator<Item = &Held>,
        tick: Tick,
        budget: &mut Budget,
    ) -> Versions {
        let now = self.clock.now();
        let groups = entries.into_iter().flat_map(|held| &held.envelope.groups);
        let mut versions: Versions = groups
            .map(|group| (group.clone(), self.coherence.version(group, now)))
            .collect();
        let unknown: Vec<Box<str>> = versions
            .iter()
            .filter(|(_, version)| version.is_none())
            .map(|(group, _)| group.clone())
            .collect();
        if unknown.is_empty() {
            return versions;
        }
        let scoped: Vec<String> = unknown.iter().map(|group| self.scoped(group)).collect();
        let scoped: Vec<&str> = scoped.iter().map(String::as_str).collect();
        let answers = budget
            .spend(|limit| self.remote.groups(&scoped, limit))
            .await;
        let answers = self.counted(answers).unwrap_or_default();
        if answers.len() != unknown.len() {
            return versions;
        }
        for (group, version) in unknown.iter().zip(answers) {
            if let Some(version) = version {
                self.coherence.remember_version(group, version, tick);
            }
            versions.insert(group.clone(), version);
        }
        versions
    }

    fn counted<T>(&self, result: Result<T, Failure>) -> Option<T> {
        result
            .inspect_err(|failure| self.counters.failed_there(failure))
            .ok()
    }
}

/// The first pause between two questions for a lease that another has, and the longest. They are
/// the safety net: a push comes within milliseconds.
const FIRST_POLL: Duration = Duration::from_millis(20);
const LAST_POLL: Duration = Duration::from_millis(80);

/// A failure is there for so long at least: whoever waits has asked again by then, pushed or not.
pub(crate) const HEARD: Duration = Duration::from_millis(100);

/// After so many questions in a row without an answer who waits loads by itself.
const UNHEARD: u32 = 3;

/// What was stored later than now by more than this was stored by a clock that was set back since: its age
/// is not known, and the server keeps it longer too. Less is how late this process may hear of the time.
const AHEAD: Duration = Duration::from_secs(5);

/// When groups were last invalidated; `None` where that is not known.
type Versions = BTreeMap<Box<str>, Option<ServerTime>>;

/// Whether no group of the entry was invalidated since its load began. Not known is no.
fn is_current(envelope: &Envelope, versions: &Versions) -> bool {
    let version = |group| versions.get(group).copied().flatten();
    let mut groups = envelope.groups.iter();
    groups.all(|group| version(group).is_some_and(|version| version < envelope.born))
}

fn named(removal: &Removal) -> Option<&[u8]> {
    match removal {
        Removal::Key(name) => Some(name),
        Removal::Group(_) | Removal::Matching { .. } => None,
    }
}

/// A lease that may have been granted without anybody here hearing of it: the answer was lost, or the
/// caller left. It is given back, or its key would be blocked until it ends.
struct Unheard<'a> {
    tier: &'a Tier,
    name: Option<&'a [u8]>,
    token: Token,
}

impl<'a> Unheard<'a> {
    fn new(tier: &'a Tier, name: &'a [u8], token: Token) -> Self {
        Self {
            tier,
            name: Some(name),
            token,
        }
    }

    fn forget(mut self) {
        self.name = None;
    }
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.name {
            self.tier.jobs.give_back(name, self.token);
        }
    }
}

/// Removals in the journal. Those that are left when it is dropped are done in the background.
struct PendingRemovals {
    jobs: Arc<Jobs>,
    removals: Vec<(Removal, Entered)>,
}

impl Drop for PendingRemovals {
    fn drop(&mut self) {
        if self.removals.is_empty() {
            return;
        }
        for (removal, _) in self.removals.drain(..) {
            // Again: another's removal of the same may have been confirmed before this one was tried.
            self.jobs.journal.enter(removal, self.jobs.server_time());
        }
        self.jobs.attend();
    }
}

impl fmt::Debug for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier")
            .field("remote", &self.remote)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
