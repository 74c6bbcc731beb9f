//! What must be remembered of a key for a moment, without an entry: that its load failed, or that
//! its outcome cannot be shared. Bounded, and losing a memory costs one load at most.
//!
//! Keys are remembered by a digest of 128 bits, seeded per cache, because strangers choose how long
//! keys are.

use crate::{
    Error,
    clock::{Moment, Random},
    policy::Policy,
    store::FlightKey,
};
use foldhash::quality::RandomState;
use quick_cache::{UnitWeighter, sync};
use std::{
    cell::RefCell,
    hash::{BuildHasher, Hash},
    sync::Arc,
    time::Duration,
};

/// So many keys are remembered as failing, and as many as not to be shared.
const KEYS: usize = 16 * 1024;

struct Remembered<V> {
    moments: sync::Cache<u128, V, UnitWeighter, RandomState>,
    seeds: (RandomState, RandomState),
}

impl<V: Clone> Remembered<V> {
    fn new() -> Self {
        let moments = sync::Cache::with(
            KEYS,
            KEYS as u64,
            UnitWeighter,
            RandomState::default(),
            Default::default(),
        );
        Self {
            moments,
            seeds: Default::default(),
        }
    }

    fn digest(&self, key: impl Hash) -> u128 {
        let (high, low) = (self.seeds.0.hash_one(&key), self.seeds.1.hash_one(&key));
        u128::from(high) << 64 | u128::from(low)
    }

    fn get(&self, key: impl Hash) -> Option<V> {
        self.moments.get(&self.digest(key))
    }

    fn insert(&self, key: impl Hash, value: V) {
        self.moments.insert(self.digest(key), value);
    }

    fn forget(&self, key: impl Hash) {
        let digest = self.digest(key);
        if self.moments.peek(&digest).is_some() {
            self.moments.remove(&digest);
        }
    }
}

/// Failures that answer in place of a load until their pause is over.
pub(crate) struct Pauses(Remembered<Arc<Pause>>);

struct Pause {
    error: Error,
    until: Moment,
    /// Failures in a row.
    streak: u32,
}

impl Pauses {
    pub(crate) fn new() -> Self {
        Self(Remembered::new())
    }

    /// The failure to answer with, while the pause after it lasts.
    pub(crate) fn current(&self, key: &[u8], now: Moment) -> Option<Error> {
        self.0
            .get(key)
            .filter(|pause| now < pause.until)
            .map(|pause| pause.error.clone())
    }

    pub(crate) fn failed(
        &self,
        key: &[u8],
        error: Error,
        policy: &Policy,
        now: Moment,
        random: &dyn Random,
    ) -> Duration {
        let before = self.0.get(key).map_or(0, |pause| pause.streak);
        let streak = before.saturating_add(1);
        let pause = policy.pause_after(streak, random);
        if pause.is_zero() {
            // Under a policy without pauses there is nothing to remember, and no table to fill.
            self.forget(key);
        } else {
            self.remember(key, error, now.after(pause), streak);
        }
        pause
    }

    /// Another process failed, whose pause ends at `until`.
    pub(crate) fn failed_elsewhere(&self, key: &[u8], error: Error, until: Moment) {
        let streak = self.0.get(key).map_or(0, |pause| pause.streak);
        self.remember(key, error, until, streak);
    }

    fn remember(&self, key: &[u8], error: Error, until: Moment, streak: u32) {
        self.0.insert(
            key,
            Arc::new(Pause {
                error,
                until,
                streak,
            }),
        );
    }

    pub(crate) fn forget(&self, key: &[u8]) {
        self.0.forget(key);
    }

    pub(crate) fn clear(&self) {
        // Held until the locks are released: the `Drop` of a loader's error is foreign code.
        let forgotten = RefCell::new(Vec::new());
        self.0.moments.retain(|_, pause| {
            forgotten.borrow_mut().push(Arc::clone(pause));
            false
        });
    }
}

/// Flights whose outcome could not be shared: for a moment callers do not queue behind each other.
pub(crate) struct Unshared(Remembered<Moment>);

impl Unshared {
    pub(crate) fn new() -> Self {
        Self(Remembered::new())
    }

    pub(crate) fn mark(&self, key: &FlightKey, now: Moment, lasting: Duration) {
        self.0.insert(key, now.after(lasting));
    }

    pub(crate) fn is_marked(&self, key: &FlightKey, now: Moment) -> bool {
        self.0.get(key).is_some_and(|until| now < until)
    }

    pub(crate) fn forget(&self, key: &FlightKey) {
        self.0.forget(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    #[test]
    fn without_pauses_no_failure_takes_up_memory() {
        let (pauses, now) = (Pauses::new(), Moment::from_nanos(0));
        let kept = || pauses.0.moments.len();
        let fails = |policy: &Policy, key: u32| {
            let error = Error::load("the origin is down");
            pauses.failed(&key.to_be_bytes(), error, policy, now, &SystemRandom)
        };
        let without = Policy::default().failure_pause(Duration::ZERO, Duration::ZERO);
        (0..100).for_each(|key| assert_eq!(fails(&without, key), Duration::ZERO));
        assert_eq!(kept(), 0);
        (0..100).for_each(|key| assert!(!fails(&Policy::default(), key).is_zero()));
        assert_eq!(kept(), 100);
        assert!(pauses.current(&1_u32.to_be_bytes(), now).is_some());
        fails(&without, 1);
        assert!(pauses.current(&1_u32.to_be_bytes(), now).is_none());
        assert_eq!(kept(), 99);
    }
}
