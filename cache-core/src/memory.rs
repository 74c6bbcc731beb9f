//! The memory tier: values ready to use, bounded by bytes, hits without a lock held across anything.
//!
//! `quick_cache` decides what stays (its Clock-PRO resists scans); this file translates. Times are
//! ours: it has no expiry of its own.

use crate::{
    clock::Moment,
    entry::{Entry, Freshness},
    event::{Counters, Event},
    key::Key,
};
use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync};
use std::{
    cell::RefCell,
    fmt,
    hash::{BuildHasher, Hash},
    sync::Arc,
};

/// What an entry costs beside its key and value: its slots, which come in powers of two, the two
/// shared allocations, the times. Measured by filling stores of many sizes with small entries: 235
/// to 275 bytes are asked of the allocator, which adds some 15 to each allocation.
const OVERHEAD: u64 = 288;

pub(crate) struct Memory<V> {
    entries: sync::Cache<Key, Arc<Entry<V>>, ByWeight, Hashing, Collecting>,
    hashing: Hashing,
    admits: u64,
    /// Where it keeps nothing, everything goes as soon as it comes.
    keeps: bool,
    counters: Arc<Counters>,
}

impl<V> Memory<V> {
    pub(crate) fn new(
        capacity: u64,
        largest: u64,
        hashing: Hashing,
        counters: Arc<Counters>,
    ) -> Self {
        let shards = shards(capacity, largest);
        let options = OptionsBuilder::new()
            // Each shard gets its part rounded up: without a remainder that adds nothing.
            .weight_capacity(capacity - capacity % shards as u64)
            // Used for the ghosts and to keep shards from being tiny: a typical small response.
            .estimated_items_capacity(
                usize::try_from(capacity / 1024)
                    .unwrap_or(usize::MAX)
                    .max(shards * 32),
            )
            .shards(shards)
            .build()
            .expect("both capacities are set");
        let entries = sync::Cache::with_options(options, ByWeight, hashing.clone(), Collecting);
        Self {
            entries,
            hashing,
            admits: largest + OVERHEAD,
            keeps: true,
            counters,
        }
    }

    /// One that keeps nothing.
    pub(crate) fn none(hashing: Hashing, counters: Arc<Counters>) -> Self {
        Self {
            keeps: false,
            ..Self::new(1, 1, hashing, counters)
        }
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.hashing.hash_one(key)
    }

    /// The weight of an entry whose value weighs `value`.
    pub(crate) fn weigh(key: &Key, value: usize) -> u64 {
        (key.as_bytes().len() as u64)
            .saturating_add(value as u64)
            .saturating_add(OVERHEAD)
    }

    /// The entry, unless it is past its windows or one of its groups was invalidated; such a one is
    /// removed.
    pub(crate) fn get(&self, key: &[u8], now: Moment) -> Option<Arc<Entry<V>>> {
        let entry = self.entries.get(key)?;
        if entry.is_current() && entry.freshness(now) != Freshness::Dead {
            return Some(entry);
        }
        self.entries
            .remove_if(key, |found| Arc::ptr_eq(found, &entry));
        None
    }

    /// The entry as it is, without counting as a use of it.
    pub(crate) fn peek(&self, key: &[u8]) -> Option<Arc<Entry<V>>> {
        self.entries.peek(key)
    }

    /// Stores the entry in place of an earlier one; one that is too heavy only removes that. What goes
    /// is put into `removed`.
    pub(crate) fn insert(&self, key: Key, entry: Arc<Entry<V>>, removed: &mut Removed<V>) -> bool {
        if !self.keeps {
            removed.0.push((key, entry));
            return false;
        }
        if entry.weight() > self.admits {
            self.remove(key.as_bytes(), removed);
            removed.0.push((key, entry));
            self.counters.record(Event::Evicted);
            return false;
        }
        let before = removed.0.len();
        self.entries
            .insert_with_lifecycle(key.clone(), entry, removed);
        let evicted = removed
            .0
            .iter()
            .skip(before)
            .filter(|(gone, _)| *gone != key)
            .count();
        self.counters.add(Event::Evicted, evicted as u64);
        true
    }

    /// Removes the entry of `key` into `removed`; says whether there was one.
    pub(crate) fn remove(&self, key: &[u8], removed: &mut Removed<V>) -> bool {
        let gone = self.entries.remove(key);
        let was_there = gone.is_some();
        removed.0.extend(gone);
        was_there
    }

    /// Removes what matches and says how many those were.
    pub(crate) fn remove_matching(&self, matches: impl Fn(&[u8]) -> bool) -> usize {
        // Held until the locks of the shards are released: a value's `Drop` is foreign code.
        let removed = RefCell::new(Vec::new());
        self.entries.retain(|key, entry| {
            let matched = matches(key.as_bytes());
            if matched {
                removed.borrow_mut().push(Arc::clone(entry));
            }
            !matched
        });
        removed.into_inner().len()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.entries.weight()
    }
}

impl<V> fmt::Debug for Memory<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("entries", &self.len())
            .field("weight", &self.weight())
            .finish_non_exhaustive()
    }
}

/// The capacity is divided among the shards, and a shard keeps 97 % of its part for what it admits:
/// as many shards as the cores deserve, but none too small for the largest entry.
fn shards(capacity: u64, largest: u64) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let fitting = capacity / (largest + OVERHEAD).saturating_mul(2).max(1);
    let wanted = fitting.min(cores as u64 * 4).max(1);
    // quick_cache rounds up to a power of two; a rounding up here would make shards too small.
    1 << wanted.ilog2()
}

#[derive(Clone)]
struct ByWeight;

impl<V> Weighter<Key, Arc<Entry<V>>> for ByWeight {
    fn weight(&self, _: &Key, entry: &Arc<Entry<V>>) -> u64 {
        entry.weight()
    }
}

/// What one step removed. It is dropped when no lock is held, because a value's `Drop` is foreign
/// code: it may ask this very cache.
pub(crate) struct Removed<V>(Vec<(Key, Arc<Entry<V>>)>);

impl<V> Removed<V> {
    pub(crate) fn push(&mut self, key: Key, entry: Arc<Entry<V>>) {
        self.0.push((key, entry));
    }
}

impl<V> Default for Removed<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Collects what an insertion evicts, and what it replaces.
#[derive(Clone)]
struct Collecting;

impl<V> Lifecycle<Key, Arc<Entry<V>>> for Collecting {
    type RequestState = Removed<V>;

    fn on_evict(&self, removed: &mut Self::RequestState, key: Key, entry: Arc<Entry<V>>) {
        removed.0.push((key, entry));
    }
}

/// How keys are hashed: seeded per process, so that nobody can choose keys that collide.
#[derive(Clone, Default)]
pub(crate) struct Hashing {
    seed: foldhash::quality::RandomState,
    /// Lets a test make every key collide, to show that entries are told apart by their keys.
    colliding: bool,
}

impl Hashing {
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn colliding() -> Self {
        Self {
            colliding: true,
            ..Self::default()
        }
    }
}

impl BuildHasher for Hashing {
    type Hasher = <foldhash::quality::RandomState as BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        self.seed.build_hasher()
    }

    fn hash_one<T: Hash>(&self, value: T) -> u64 {
        if self.colliding {
            0
        } else {
            self.seed.hash_one(value)
        }
    }
}
