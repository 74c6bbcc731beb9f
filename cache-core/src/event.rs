//! What happens in a cache, counted.

#[cfg(feature = "metrics")]
use crate::observe::Meters;
use crate::{
    observe::{Source, Tier, tell},
    remote::{Failure, Odd},
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// One thing that happened. Each request is counted as exactly one of the first four: as it looks when it
/// comes, and at its end as it turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Answered from a fresh entry.
    Hit,
    /// Answered from an entry past its lifetime, in a stale window.
    Stale,
    /// Nothing usable was stored: it loaded, or waited for another's load.
    Miss,
    /// The cache was not asked.
    Bypass,
    /// A miss that was answered by another caller's load, or its failure.
    Collapsed,
    /// A load began.
    Load,
    /// A load failed or passed its deadline; not one that panicked or whose caller left.
    LoadFailed,
    /// An entry was stored.
    Stored,
    /// A loaded value came too late: an invalidation, or another's turn, overtook it.
    Refused,
    /// A key, a group, a pattern or everything was invalidated.
    Invalidated,
    /// An entry was evicted for space, or a value was too heavy to be kept.
    Evicted,
    /// The remote tier had what memory did not.
    RemoteHit,
    /// The remote tier had nothing usable.
    RemoteMiss,
    /// What the remote tier had was damaged, of another key, schema or format.
    RemoteOdd,
    /// An operation of the remote tier came to nothing: it is away, late, or refused.
    RemoteFailed,
    /// A value was stored in the remote tier.
    RemoteStored,
    /// A loaded value came too late for the remote tier: an invalidation or another's load overtook it.
    RemoteRefused,
    /// A miss that was answered by another process's load, or its failure.
    RemoteCollapsed,
}

const EVENTS: usize = Event::RemoteCollapsed as usize + 1;

/// The counts of one cache, and who is told of them.
pub(crate) struct Counters {
    counts: [AtomicU64; EVENTS],
    cache: Arc<str>,
    #[cfg(feature = "metrics")]
    pub(crate) meters: Meters,
}

impl Counters {
    pub(crate) fn new(cache: Arc<str>) -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; EVENTS],
            #[cfg(feature = "metrics")]
            meters: Meters::new(&cache),
            cache,
        }
    }

    /// The name of the cache.
    pub(crate) fn cache(&self) -> &str {
        &self.cache
    }

    #[inline]
    pub(crate) fn record(&self, event: Event) {
        self.add(event, 1);
    }

    #[inline]
    pub(crate) fn add(&self, event: Event, count: u64) {
        self.counter(event).fetch_add(count, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.meters.event(event, count);
    }

    /// Something was invalidated because `source` wanted it; how much is counted where it is done.
    #[cfg_attr(
        not(feature = "metrics"),
        allow(unused_variables, clippy::unused_self, reason = "nobody is told")
    )]
    pub(crate) fn invalidated(&self, source: Source) {
        #[cfg(feature = "metrics")]
        self.meters.invalidated(source);
    }

    /// Counts that something went wrong, by a word of few.
    #[cfg_attr(
        not(feature = "metrics"),
        allow(unused_variables, clippy::unused_self, reason = "nobody is told")
    )]
    pub(crate) fn error(&self, tier: Tier, reason: &'static str) {
        #[cfg(feature = "metrics")]
        self.meters.error(tier, reason);
    }

    /// Bytes in the remote tier are no entry of `key`.
    pub(crate) fn odd(&self, key: &[u8], odd: Odd) {
        self.record(Event::RemoteOdd);
        self.error(Tier::Remote, odd.as_str());
        tell::odd(&self.cache, key, odd);
    }

    /// A value in the remote tier has no meaning to its codec.
    pub(crate) fn undecodable(&self, key: &[u8]) {
        self.record(Event::RemoteOdd);
        self.error(Tier::Remote, "undecodable");
        tell::undecodable(&self.cache, key);
    }

    /// An operation of the remote tier came to nothing.
    pub(crate) fn failed_there(&self, failure: &Failure) {
        self.record(Event::RemoteFailed);
        self.error(Tier::Remote, failure.as_str());
        tell::failed_there(&self.cache, failure);
    }

    /// What was loaded of `key` came too late.
    pub(crate) fn refused(&self, key: &[u8]) {
        self.record(Event::Refused);
        tell::refused(&self.cache, key);
    }

    pub(crate) fn retract(&self, event: Event) {
        self.counter(event).fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, event: Event) -> u64 {
        self.counter(event).load(Ordering::Relaxed)
    }

    #[inline]
    fn counter(&self, event: Event) -> &AtomicU64 {
        self.counts
            .get(event as usize)
            .expect("there is a counter for every event")
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// Counts since the cache was made, and what it holds now.
///
/// The counts are read one after another while the cache goes on, so between them they may differ by
/// what happened meanwhile. Requests under way count as what they were when they came: as misses, for
/// those who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Requests answered from a fresh entry, of memory or of the remote tier.
    pub hits: u64,
    /// Requests answered from a stale one.
    pub stale: u64,
    /// Requests that found nothing usable.
    pub misses: u64,
    /// Requests that went past the cache.
    pub bypasses: u64,
    /// Those of the misses that were answered by another caller's load.
    pub collapsed: u64,
    /// Loads begun.
    pub loads: u64,
    /// Loads that failed.
    pub load_failures: u64,
    /// Entries stored.
    pub stored: u64,
    /// Loaded values refused because an invalidation or another load overtook them.
    pub refused: u64,
    /// Invalidations, of whatever extent.
    pub invalidations: u64,
    /// Entries evicted for space, and values too heavy to be kept.
    pub evictions: u64,
    /// Look-ups in the remote tier that found something usable.
    pub remote_hits: u64,
    /// Those that did not.
    pub remote_misses: u64,
    /// Stored bytes that were not an entry of their key, or damaged, or of another schema or format.
    pub remote_odd: u64,
    /// Operations of the remote tier that came to nothing.
    pub remote_failures: u64,
    /// Values stored in the remote tier.
    pub remote_stored: u64,
    /// Loaded values that the remote tier refused, because something overtook them.
    pub remote_refused: u64,
    /// Those of the misses that another process's load answered.
    pub remote_collapsed: u64,
    /// Entries held now.
    pub entries: u64,
    /// Their weight in bytes, bookkeeping included.
    pub bytes: u64,
    /// Flights under way now that a caller could join.
    pub flights: u64,
}

impl Stats {
    pub(crate) fn of(counters: &Counters) -> Self {
        let count = |event| counters.count(event);
        Self {
            hits: count(Event::Hit),
            stale: count(Event::Stale),
            misses: count(Event::Miss),
            bypasses: count(Event::Bypass),
            collapsed: count(Event::Collapsed),
            loads: count(Event::Load),
            load_failures: count(Event::LoadFailed),
            stored: count(Event::Stored),
            refused: count(Event::Refused),
            invalidations: count(Event::Invalidated),
            evictions: count(Event::Evicted),
            remote_hits: count(Event::RemoteHit),
            remote_misses: count(Event::RemoteMiss),
            remote_odd: count(Event::RemoteOdd),
            remote_failures: count(Event::RemoteFailed),
            remote_stored: count(Event::RemoteStored),
            remote_refused: count(Event::RemoteRefused),
            remote_collapsed: count(Event::RemoteCollapsed),
            ..Self::default()
        }
    }
}

/// One line: requests and how they ended, loads, what is held.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = self.hits + self.stale + self.misses + self.bypasses;
        write!(
            f,
            "{requests} requests: {} hits, {} stale, {} misses ({} collapsed), {} bypasses; {} loads, {} failed; {} entries, {} bytes",
            self.hits,
            self.stale,
            self.misses,
            self.collapsed + self.remote_collapsed,
            self.bypasses,
            self.loads,
            self.load_failures,
            self.entries,
            self.bytes,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_read_as_a_line() {
        let stats = Stats {
            hits: 3,
            misses: 2,
            collapsed: 1,
            loads: 1,
            ..Stats::default()
        };
        assert_eq!(
            stats.to_string(),
            "5 requests: 3 hits, 0 stale, 2 misses (1 collapsed), 0 bypasses; 1 loads, 0 failed; 0 entries, 0 bytes"
        );
    }
}
