//! All metrics, as data: what is told to a recorder, documented and tested is this table.

use std::fmt::Write as _;

/// A metric of the caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// In what it is counted.
    pub unit: Unit,
    /// The names of its labels, `cache` first. All have few values, whatever requests there are.
    pub labels: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
}

/// What kind of number a [`Metric`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only rises.
    Counter,
    /// It is what it is now.
    Gauge,
    /// How samples are distributed.
    Histogram,
}

/// In what a [`Metric`] is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

macro_rules! metrics {
    ($($constant:ident $name:ident $kind:ident $unit:ident [$($label:ident)*] $meaning:literal;)*) => {
        $(pub(crate) const $constant: Metric = Metric {
            name: stringify!($name),
            kind: Kind::$kind,
            unit: Unit::$unit,
            labels: &["cache", $(stringify!($label)),*],
            meaning: $meaning,
        };)*

        /// All of them.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    HITS cache_hits_total Counter Count [route tier]
        "Requests answered from a fresh entry, of memory or of the remote tier; and the call of a typed cache that renews one early.";
    STALE cache_stale_total Counter Count [route reason]
        "Requests answered from a stale entry; and the call of a typed cache that refreshes one and waits for it.";
    MISSES cache_misses_total Counter Count [route reason]
        "Requests that nothing stored answered, or that were given up. Hits, stale, misses and bypasses together are the requests.";
    BYPASSES cache_bypass_total Counter Count [route reason]
        "Requests that went past the cache.";
    COLLAPSED cache_collapsed_total Counter Count [route tier]
        "Misses that another's load answered, or its failure: of this process (memory), or of another (remote).";
    LATENCY cache_latency_seconds Histogram Seconds [route outcome]
        "From a request's coming to the head of its response, or to its being given up. Typed caches measure calls that waited.";
    LOADS cache_loads_total Counter Count [outcome]
        "Loads, refreshes too, by how they ended.";
    LOAD cache_load_seconds Histogram Seconds [outcome]
        "How long loads took; those of HTTP as far as the response's head, or its body where that was there at once.";
    STORED cache_stored_total Counter Count [tier]
        "Entries stored.";
    REFUSED cache_refused_total Counter Count [tier]
        "Loaded values not stored because an invalidation or another load overtook them.";
    EVICTIONS cache_evictions_total Counter Count [tier]
        "Entries evicted for space, and values too heavy to be kept.";
    INVALIDATIONS cache_invalidations_total Counter Count [source]
        "Invalidations, of whatever extent, by who wanted them.";
    ERRORS cache_errors_total Counter Count [tier reason]
        "What went wrong: failed loads, operations of the remote tier that came to nothing, bytes that are no entry.";
    LOOKUPS cache_remote_lookups_total Counter Count [outcome]
        "Look-ups in the remote tier.";
    LEASES cache_leases_total Counter Count [outcome]
        "Questions for the right to load a key for all processes, by the answer.";
    SIZE cache_size_bytes Gauge Bytes [tier]
        "The weight of the entries held, bookkeeping included.";
    ENTRIES cache_entries Gauge Count [tier]
        "Entries held.";
    FLIGHTS cache_flights Gauge Count []
        "Loads under way that callers could join.";
    OLDEST cache_oldest_leader_seconds Gauge Seconds []
        "How long the load has been under way that began first; 0 where none is.";
    REMOTE_UP cache_remote_up Gauge Count []
        "1 while the remote tier is in use, 0 while it is away: the state of the circuit breaker.";
    COHERENT cache_coherent Gauge Count []
        "1 while memory is told of changes in the remote tier, 0 while it is not.";
    LAG cache_coherence_lag_seconds Gauge Seconds []
        "How far memory may be behind the remote tier: the time since everything was known to have been told; -1 while nothing is told.";
    PENDING cache_remote_pending Gauge Count []
        "What the background has still to do for the remote tier.";
}

/// Tells the recorder that is there now what the metrics mean. A cache does so by itself when it first tells a
/// recorder anything.
pub fn describe() {
    metrics::with_recorder(describe_to);
}

pub(crate) fn describe_to(recorder: &dyn metrics::Recorder) {
    for metric in METRICS {
        let (name, meaning) = (metric.name.into(), metric.meaning.into());
        let unit = Some(match metric.unit {
            Unit::Count => metrics::Unit::Count,
            Unit::Bytes => metrics::Unit::Bytes,
            Unit::Seconds => metrics::Unit::Seconds,
        });
        match metric.kind {
            Kind::Counter => recorder.describe_counter(name, unit, meaning),
            Kind::Gauge => recorder.describe_gauge(name, unit, meaning),
            Kind::Histogram => recorder.describe_histogram(name, unit, meaning),
        }
    }
}

/// The table of all metrics, in Markdown.
pub fn table() -> String {
    let mut table =
        "| Name | Kind | Unit | Labels | What it says |\n|---|---|---|---|---|\n".to_owned();
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|it| format!("`{it}`")).collect();
        let (kind, unit) = (format!("{:?}", metric.kind), format!("{:?}", metric.unit));
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} | {} |",
            metric.name,
            kind.to_lowercase(),
            unit.to_lowercase(),
            labels.join(", "),
            metric.meaning
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_has_the_table() {
        let guide = include_str!("guide.md");
        assert!(guide.contains(&table()), "the table is:\n{}", table());
    }

    #[test]
    fn names_are_unique_and_say_their_unit() {
        for (index, metric) in METRICS.iter().enumerate() {
            let is_same = |other: &&Metric| other.name == metric.name;
            assert_eq!(METRICS.iter().position(|it| is_same(&it)), Some(index));
            match (metric.kind, metric.unit) {
                (Kind::Counter, _) => assert!(metric.name.ends_with("_total")),
                (_, Unit::Bytes) => assert!(metric.name.ends_with("_bytes")),
                (_, Unit::Seconds) => assert!(metric.name.ends_with("_seconds")),
                (Kind::Gauge | Kind::Histogram, Unit::Count) => {}
            }
        }
    }
}
