//! What must be remembered of a key for a moment, without an entry: that its load failed, or that
//! its outcome cannot be shared. Bounded, and losing a memory costs one load at most.

use crate::{
    Error,
    clock::{Moment, Random},
    key::Key,
    memory::Hashing,
    policy::Policy,
    store::FlightKey,
};
use quick_cache::{UnitWeighter, sync};
use std::{hash::Hash, sync::Arc, time::Duration};

type Small<K, V> = sync::Cache<K, V, UnitWeighter, Hashing>;

/// So many keys are remembered as failing, and as many as not to be shared.
const KEYS: usize = 16 * 1024;

fn small<K: Eq + Hash, V: Clone>(hashing: &Hashing) -> Small<K, V> {
    sync::Cache::with(
        KEYS,
        KEYS as u64,
        UnitWeighter,
        hashing.clone(),
        Default::default(),
    )
}

/// Failures that answer in place of a load until their pause is over.
pub(crate) struct Pauses(Small<Key, Arc<Pause>>);

struct Pause {
    error: Error,
    until: Moment,
    /// Failures in a row.
    streak: u32,
}

impl Pauses {
    pub(crate) fn new(hashing: &Hashing) -> Self {
        Self(small(hashing))
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
        key: &Key,
        error: Error,
        policy: &Policy,
        now: Moment,
        random: &dyn Random,
    ) {
        let before = self.0.get(key).map_or(0, |pause| pause.streak);
        let streak = before.saturating_add(1);
        let until = now.after(policy.pause_after(streak, random));
        self.0.insert(
            key.clone(),
            Arc::new(Pause {
                error,
                until,
                streak,
            }),
        );
    }

    pub(crate) fn forget(&self, key: &[u8]) {
        if self.0.peek(key).is_some() {
            self.0.remove(key);
        }
    }

    pub(crate) fn clear(&self) {
        self.0.clear();
    }
}

/// Flights whose outcome could not be shared: for a moment callers do not queue behind each other.
pub(crate) struct Unshared(Small<FlightKey, Moment>);

impl Unshared {
    pub(crate) fn new(hashing: &Hashing) -> Self {
        Self(small(hashing))
    }

    pub(crate) fn mark(&self, key: FlightKey, now: Moment, lasting: Duration) {
        self.0.insert(key, now.after(lasting));
    }

    pub(crate) fn is_marked(&self, key: &FlightKey, now: Moment) -> bool {
        self.0.get(key).is_some_and(|until| now < until)
    }

    pub(crate) fn forget(&self, key: &FlightKey) {
        if self.0.peek(key).is_some() {
            self.0.remove(key);
        }
    }
}
