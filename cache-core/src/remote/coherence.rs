//! When memory may claim that what it holds is current.
//!
//! Every entry carries a proof: a mark, taken before it was read or its load began, and the moment
//! of that. A mark is the count of changes told so far of the names that share its stripe, and the
//! epoch of the link that tells them.
//!
//! 1. A change that is told makes every entry of its name unusable, also one that is only being read:
//!    its mark was taken before. That costs names of the same stripe one more read, never a value.
//! 2. While the link is heard, an entry of its epoch is as old as the last answer on it.
//! 3. Otherwise an entry is trusted for `max_staleness` from the moment of its proof.
//! 4. An epoch begins with the first answer on a link, after the server began to tell: a proof from
//!    before it is of an earlier epoch.

use crate::{
    clock::{Clock, Moment},
    event::Counters,
    group::{Groups, Tick},
    observe::{Source, tell},
    remote::{Notice, ServerTime, Watcher},
};
use foldhash::quality::RandomState;
use std::{
    collections::HashMap,
    fmt,
    hash::BuildHasher,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

const STRIPES: usize = 16 * 1024;
const WAKERS: usize = 256;

/// So many versions of groups are remembered; beyond that all are asked for again.
const VERSIONS: usize = 16 * 1024;

/// What had been told of a name when it was read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    stripe: u32,
    count: u32,
    epoch: u32,
    at: Moment,
}

impl Mark {
    /// A number that rises with every change told of the name. Not with an epoch: when a link comes or
    /// goes, callers go on joining the loads that are under way.
    pub(crate) fn rank(self) -> u64 {
        u64::from(self.count)
    }
}

/// By what an entry in memory is known to be current, and which version of its value it is.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    stripe: u32,
    nonce: u64,
    /// The epoch, then the count.
    stamp: AtomicU64,
    at: AtomicU64,
}

impl Proof {
    pub(crate) fn new(mark: Mark, nonce: u64) -> Self {
        Self {
            stripe: mark.stripe,
            nonce,
            stamp: AtomicU64::new(stamp(mark)),
            at: AtomicU64::new(mark.at.nanos()),
        }
    }

    /// The same proof, for another entry.
    pub(crate) fn copied(&self) -> Self {
        // In the order of `trusts`: the moment is no later than the stamp's.
        let stamp = self.stamp.load(Ordering::Acquire);
        Self {
            stripe: self.stripe,
            nonce: self.nonce,
            stamp: AtomicU64::new(stamp),
            at: AtomicU64::new(self.at.load(Ordering::Acquire)),
        }
    }

    /// The version of the value in the remote tier; 0 where it has none.
    pub(crate) fn nonce(&self) -> u64 {
        self.nonce
    }

    /// The same version was read again, after `mark` was taken.
    pub(crate) fn renew(&self, mark: Mark) {
        // The moment first: whoever reads the new stamp must see at least this moment with it. Of two
        // that renew at once, what is left may be older than either: that only costs a read.
        self.at.store(mark.at.nanos(), Ordering::Release);
        self.stamp.store(stamp(mark), Ordering::Release);
    }
}

fn stamp(mark: Mark) -> u64 {
    u64::from(mark.epoch) << 32 | u64::from(mark.count)
}

pub(crate) struct Coherence {
    counts: Box<[AtomicU32]>,
    wakers: Box<[Notify]>,
    hashing: RandomState,
    epoch: AtomicU32,
    /// The moment up to which everything has been told, in nanoseconds; 0 while nothing is.
    heard: AtomicU64,
    max_staleness: Duration,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
    groups: Arc<Groups>,
    scope: Box<str>,
    versions: Mutex<HashMap<Box<str>, ServerTime>>,
}

impl Coherence {
    pub(crate) fn new(
        max_staleness: Duration,
        counters: Arc<Counters>,
        clock: Arc<dyn Clock>,
        groups: Arc<Groups>,
        scope: Box<str>,
    ) -> Self {
        Self {
            counts: (0..STRIPES).map(|_| AtomicU32::new(0)).collect(),
            wakers: (0..WAKERS).map(|_| Notify::new()).collect(),
            hashing: RandomState::default(),
            epoch: AtomicU32::new(0),
            heard: AtomicU64::new(0),
            max_staleness,
            counters,
            clock,
            groups,
            scope,
            versions: Mutex::default(),
        }
    }

    /// To be taken before `name` is read, or its load begins.
    pub(crate) fn mark(&self, name: &[u8], now: Moment) -> Mark {
        let stripe = self.stripe(name);
        Mark {
            stripe,
            count: self.count(stripe).load(Ordering::Acquire),
            epoch: self.epoch.load(Ordering::Acquire),
            at: now,
        }
    }

    /// Whether an entry with this proof may be used at `now`.
    pub(crate) fn trusts(&self, proof: &Proof, now: Moment) -> bool {
        let stamp = proof.stamp.load(Ordering::Acquire);
        let at = Moment::from_nanos(proof.at.load(Ordering::Acquire));
        let count = self.count(proof.stripe).load(Ordering::Acquire);
        if stamp as u32 != count {
            return false;
        }
        let of_this_epoch = stamp >> 32 == u64::from(self.epoch.load(Ordering::Acquire));
        now.since(at) <= self.max_staleness || (of_this_epoch && self.is_heard(now))
    }

    /// Whether no change was told since this proof was taken; it may have gone untold.
    pub(crate) fn is_unchanged(&self, proof: &Proof) -> bool {
        let count = self.count(proof.stripe).load(Ordering::Acquire);
        proof.stamp.load(Ordering::Acquire) as u32 == count
    }

    /// Whether changes are being told.
    pub(crate) fn is_heard(&self, now: Moment) -> bool {
        let heard = self.heard.load(Ordering::Acquire);
        heard != 0 && now.since(Moment::from_nanos(heard)) <= self.max_staleness
    }

    /// How far memory may be behind; `None` while nothing is told.
    #[cfg(feature = "metrics")]
    pub(crate) fn lag(&self, now: Moment) -> Option<Duration> {
        let heard = self.heard.load(Ordering::Acquire);
        (heard != 0).then(|| now.since(Moment::from_nanos(heard)))
    }

    /// Makes every entry of the name unusable, as a change that was told does.
    pub(crate) fn changed(&self, name: &[u8]) {
        self.count(self.stripe(name)).fetch_add(1, Ordering::AcqRel);
    }

    /// What is notified when the lease of `name` ends.
    pub(crate) fn waker(&self, name: &[u8]) -> &Notify {
        let index = self.hashing.hash_one(name) as usize % self.wakers.len();
        self.wakers
            .get(index)
            .expect("the index is taken modulo the number of wakers")
    }

    /// The version of a group, if it is known and changes are being told.
    pub(crate) fn version(&self, group: &str, now: Moment) -> Option<ServerTime> {
        if self.is_heard(now) {
            self.versions().get(group).copied()
        } else {
            None
        }
    }

    /// Remembers a version that was asked for after `tick`, unless a group was invalidated since.
    pub(crate) fn remember_version(&self, group: &str, version: ServerTime, tick: Tick) {
        let mut versions = self.versions();
        if self.groups.tick() != tick {
            return;
        }
        if versions.len() >= VERSIONS {
            versions.clear();
        }
        versions.insert(group.into(), version);
    }

    fn group_changed(&self, name: &str) {
        // First the tick, so that a version asked for before this cannot be remembered after it.
        self.groups.invalidate(name);
        self.versions().remove(name);
    }

    fn everything_changed(&self) {
        for count in &self.counts {
            count.fetch_add(1, Ordering::AcqRel);
        }
        self.versions().clear();
    }

    fn heard(&self, within: Duration) {
        let upto = self.clock.now().before(within);
        if self.heard.load(Ordering::Acquire) == 0 {
            tell::coherent(self.counters.cache(), true);
            self.next_epoch();
        }
        self.heard.store(upto.nanos().max(1), Ordering::Release);
    }

    fn lost(&self) {
        if self.heard.swap(0, Ordering::AcqRel) != 0 {
            tell::coherent(self.counters.cache(), false);
        }
        self.next_epoch();
    }

    fn next_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.versions().clear();
        // Who waits for a push may have missed it.
        self.wake_all();
    }

    fn wake_all(&self) {
        self.wakers.iter().for_each(Notify::notify_waiters);
    }

    fn stripe(&self, name: &[u8]) -> u32 {
        (self.hashing.hash_one(name) >> 16) as u32 % STRIPES as u32
    }

    fn count(&self, stripe: u32) -> &AtomicU32 {
        self.counts
            .get(stripe as usize % STRIPES)
            .expect("the index is taken modulo the number of stripes")
    }

    fn versions(&self) -> MutexGuard<'_, HashMap<Box<str>, ServerTime>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher for Coherence {
    fn notice(&self, notice: Notice<'_>) {
        if let Notice::Changed(_) | Notice::Group(_) | Notice::Everything = notice {
            self.counters.invalidated(Source::Remote);
        }
        match notice {
            Notice::Changed(name) => {
                self.changed(name);
                // A commit is told as a change as well: who waits for it need not wait for more.
                self.waker(name).notify_waiters();
            }
            Notice::Woken(name) => self.waker(name).notify_waiters(),
            Notice::Group(name) => {
                let unscoped = name.strip_prefix(&*self.scope);
                if let Some(name) = unscoped.and_then(|name| name.strip_prefix(':')) {
                    self.group_changed(name);
                }
            }
            Notice::Everything => self.everything_changed(),
            Notice::Heard { within } => self.heard(within),
            Notice::Lost => self.lost(),
            Notice::Silent => self.wake_all(),
        }
    }
}

impl fmt::Debug for Coherence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coherence")
            .field("heard", &self.is_heard(self.clock.now()))
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::ManualClock, policy::seconds};
    use std::time::SystemTime;

    fn scene() -> (ManualClock, Coherence) {
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH);
        let coherence = Coherence::new(
            seconds(3),
            Arc::new(Counters::new("test".into())),
            Arc::new(clock.clone()),
            Arc::default(),
            "s".into(),
        );
        (clock, coherence)
    }

    fn proof(coherence: &Coherence, clock: &ManualClock) -> Proof {
        Proof::new(coherence.mark(b"k", clock.now()), 1)
    }

    const HEARD: Notice<'_> = Notice::Heard {
        within: Duration::ZERO,
    };

    #[test]
    fn without_a_link_a_proof_holds_for_the_bound() {
        let (clock, coherence) = scene();
        let proof = proof(&coherence, &clock);
        clock.advance(seconds(3));
        assert!(coherence.trusts(&proof, clock.now()));
        clock.advance(Duration::from_millis(1));
        assert!(!coherence.trusts(&proof, clock.now()));
        proof.renew(coherence.mark(b"k", clock.now()));
        assert!(coherence.trusts(&proof, clock.now()));
    }

    #[test]
    fn while_the_link_is_heard_a_proof_of_its_epoch_holds() {
        let (clock, coherence) = scene();
        let before = proof(&coherence, &clock);
        coherence.notice(HEARD);
        let after = proof(&coherence, &clock);
        for _ in 0..10 {
            clock.advance(seconds(2));
            coherence.notice(HEARD);
        }
        assert!(coherence.trusts(&after, clock.now()));
        assert!(
            !coherence.trusts(&before, clock.now()),
            "changes before it were not told"
        );
        clock.advance(Duration::from_millis(3001));
        assert!(!coherence.trusts(&after, clock.now()), "silence");
    }

    #[test]
    fn cor_07_a_change_told_during_a_read_voids_it() {
        let (clock, coherence) = scene();
        coherence.notice(HEARD);
        let mark = coherence.mark(b"k", clock.now());
        coherence.notice(Notice::Changed(b"k"));
        assert!(!coherence.trusts(&Proof::new(mark, 1), clock.now()));
        assert!(coherence.trusts(&proof(&coherence, &clock), clock.now()));
    }

    #[test]
    fn rds_28_a_lost_link_ends_what_it_vouched_for() {
        let (clock, coherence) = scene();
        coherence.notice(HEARD);
        let vouched = proof(&coherence, &clock);
        clock.advance(seconds(2));
        coherence.notice(Notice::Lost);
        assert!(coherence.trusts(&vouched, clock.now()), "within the bound");
        clock.advance(seconds(2));
        coherence.notice(HEARD);
        assert!(
            !coherence.trusts(&vouched, clock.now()),
            "a new link vouches for nothing before it"
        );
    }

    #[tokio::test]
    async fn who_waits_is_woken_when_nobody_answers_any_more() {
        let (clock, coherence) = scene();
        coherence.notice(HEARD);
        let entry = proof(&coherence, &clock);
        let mut woken = std::pin::pin!(coherence.waker(b"k").notified());
        woken.as_mut().enable();
        coherence.notice(Notice::Silent);
        woken.await;
        assert!(
            coherence.trusts(&entry, clock.now()),
            "it is told of changes"
        );
        assert!(coherence.is_heard(clock.now()));
    }

    #[test]
    fn a_flush_makes_everything_unusable_at_once() {
        let (clock, coherence) = scene();
        let proof = proof(&coherence, &clock);
        coherence.notice(Notice::Everything);
        assert!(!coherence.trusts(&proof, clock.now()));
    }

    #[test]
    fn a_version_asked_for_before_an_invalidation_is_not_remembered_after_it() {
        let (clock, coherence) = scene();
        coherence.notice(HEARD);
        let tick = coherence.groups.tick();
        coherence.notice(Notice::Group("s:g"));
        coherence.remember_version("g", ServerTime(1), tick);
        assert_eq!(coherence.version("g", clock.now()), None);
        coherence.remember_version("g", ServerTime(2), coherence.groups.tick());
        assert_eq!(coherence.version("g", clock.now()), Some(ServerTime(2)));
        coherence.notice(Notice::Lost);
        assert_eq!(coherence.version("g", clock.now()), None);
    }
}
