//! Telling a recorder of the `metrics` facade.
//!
//! A handle that was registered before there was a recorder tells nobody for ever, and looking one up by name
//! is dear beside a hit. So what every hit needs is registered once *for each recorder*, by whose address the
//! handles are known: a recorder may be installed before or after the cache was made, and a test may have one
//! of its own. All else is looked up each time; it happens beside loads, which take longer.

use super::{
    Loaded, Outcome, Source, Tier,
    metrics::{
        BYPASSES, COHERENT, COLLAPSED, ENTRIES, ERRORS, EVICTIONS, FLIGHTS, HITS, INVALIDATIONS,
        LAG, LATENCY, LEASES, LOAD, LOADS, LOOKUPS, MISSES, Metric, OLDEST, PENDING, REFUSED,
        REMOTE_UP, SIZE, STALE, STORED, describe_to,
    },
};
use crate::{
    clock::Moment,
    event::{Event, Stats},
    remote::{Failure, RemoteStats},
};
use metrics::{
    Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, SharedString, with_recorder,
};
use std::{
    ptr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// So many routes are told apart by their names; those that come later are one, [`OTHERS`].
const ROUTES: usize = 256;
const OTHERS: &str = "other";

/// Gauges are set by requests, once in so many nanoseconds at most.
const SAMPLED: u64 = 1_000_000_000;

static METADATA: Metadata<'static> = Metadata::new("cache_core", Level::INFO, None);

/// What one cache tells.
pub(crate) struct Meters {
    cache: SharedString,
    described: Known<()>,
    /// Open addressing by a hash of the name; a place once taken stays so.
    routes: Box<[OnceLock<Box<Route>>]>,
    no_route: Route,
    other_routes: Route,
    told: Known<Counter>,
    /// When the gauges are to be set again.
    due: AtomicU64,
}

/// A route, and what each hit on it needs.
struct Route {
    name: SharedString,
    hit: Known<(Counter, Histogram)>,
}

/// Handles for each recorder there has been. A process has one, tests have a few.
struct Known<T>([OnceLock<(usize, T)>; 4]);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; 4])
    }
}

impl<T> Known<T> {
    /// Uses the handles of the recorder that is there now; most often that is the first.
    #[inline]
    fn with(&self, make: impl Fn(&dyn Recorder) -> T, tell: impl Fn(&T)) {
        with_recorder(|recorder| {
            let this = address(recorder);
            let [first, ..] = &self.0;
            match first.get() {
                Some((address, handles)) if *address == this => tell(handles),
                _ => self.search(recorder, &make, &tell),
            }
        });
    }

    #[cold]
    #[inline(never)]
    fn search(
        &self,
        recorder: &dyn Recorder,
        make: &impl Fn(&dyn Recorder) -> T,
        tell: &impl Fn(&T),
    ) {
        let this = address(recorder);
        for place in &self.0 {
            let (address, handles) = place.get_or_init(|| (this, make(recorder)));
            if *address == this {
                return tell(handles);
            }
        }
        tell(&make(recorder));
    }
}

fn address(recorder: &dyn Recorder) -> usize {
    ptr::from_ref(recorder).cast::<()>().addr()
}

impl Route {
    fn new(name: SharedString) -> Self {
        Self {
            name,
            hit: Known::default(),
        }
    }
}

impl Meters {
    pub(crate) fn new(cache: &Arc<str>) -> Self {
        Self {
            cache: SharedString::from_shared(Arc::clone(cache)),
            described: Known::default(),
            routes: (0..ROUTES).map(|_| OnceLock::new()).collect(),
            no_route: Route::new(SharedString::const_str("")),
            other_routes: Route::new(SharedString::const_str(OTHERS)),
            told: Known::default(),
            due: AtomicU64::new(0),
        }
    }

    /// A request ended; it took so many seconds.
    #[inline]
    pub(crate) fn ended(&self, route: &str, outcome: Outcome, took: Option<f64>) {
        match (outcome, took) {
            (Outcome::Hit { tier: Tier::Memory }, Some(took)) => self.hit(self.route(route), took),
            _ => self.ended_otherwise(self.route(route), outcome, took),
        }
    }

    /// The way of most requests, which does nothing else.
    #[inline]
    fn hit(&self, route: &Route, took: f64) {
        route.hit.with(
            |recorder| self.hit_handles(recorder, &route.name),
            |(counter, histogram)| {
                counter.increment(1);
                histogram.record(took);
            },
        );
    }

    fn ended_otherwise(&self, route: &Route, outcome: Outcome, took: Option<f64>) {
        let name = || route.name.clone();
        let text = SharedString::const_str;
        match outcome {
            Outcome::Hit { tier } => self.add(&HITS, [name(), text(tier.as_str())], 1),
            Outcome::Stale { reason } => self.add(&STALE, [name(), text(reason)], 1),
            Outcome::Bypass { reason } => self.add(&BYPASSES, [name(), text(reason)], 1),
            Outcome::Miss { reason, collapsed } => {
                self.add(&MISSES, [name(), text(reason)], 1);
                if let Some(tier) = collapsed {
                    self.add(&COLLAPSED, [name(), text(tier.as_str())], 1);
                }
            }
        }
        if let Some(took) = took {
            self.sample(&LATENCY, [name(), text(outcome.as_str())], took);
        }
    }

    #[cold]
    fn hit_handles(&self, recorder: &dyn Recorder, route: &SharedString) -> (Counter, Histogram) {
        self.describe();
        let text = SharedString::const_str;
        let hits = self.key(&HITS, [route.clone(), text(Tier::Memory.as_str())]);
        let latency = self.key(&LATENCY, [route.clone(), text("hit")]);
        (
            recorder.register_counter(&hits, &METADATA),
            recorder.register_histogram(&latency, &METADATA),
        )
    }

    /// Something happened that is not the end of a request.
    #[inline]
    pub(crate) fn event(&self, event: Event, count: u64) {
        let (metric, label) = match event {
            Event::Stored => (&STORED, "memory"),
            Event::RemoteStored => (&STORED, "remote"),
            Event::Refused => (&REFUSED, "memory"),
            Event::RemoteRefused => (&REFUSED, "remote"),
            Event::Evicted => (&EVICTIONS, "memory"),
            Event::RemoteHit => (&LOOKUPS, "hit"),
            Event::RemoteMiss => (&LOOKUPS, "miss"),
            // Told with more than that it happened, by the others of these functions.
            _ => return,
        };
        if count > 0 {
            self.add(metric, [SharedString::const_str(label)], count);
        }
    }

    pub(crate) fn loaded(&self, how: Loaded, took: Duration) {
        let label = SharedString::const_str(how.as_str());
        self.add(&LOADS, [label.clone()], 1);
        self.sample(&LOAD, [label], took.as_secs_f64());
    }

    pub(crate) fn invalidated(&self, source: Source) {
        if source == Source::Remote {
            // Told of every change by any process.
            let make = |recorder: &dyn Recorder| {
                self.describe();
                let label = SharedString::const_str(source.as_str());
                recorder.register_counter(&self.key(&INVALIDATIONS, [label]), &METADATA)
            };
            return self.told.with(make, |counter| counter.increment(1));
        }
        self.add(
            &INVALIDATIONS,
            [SharedString::const_str(source.as_str())],
            1,
        );
    }

    pub(crate) fn error(&self, tier: Tier, reason: &'static str) {
        let labels = [tier.as_str(), reason];
        self.add(&ERRORS, labels.map(SharedString::const_str), 1);
    }

    pub(crate) fn leased(&self, outcome: &'static str) {
        self.add(&LEASES, [SharedString::const_str(outcome)], 1);
    }

    /// Whether the gauges are to be set: once in a while.
    #[inline]
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        let (nanos, due) = (now.nanos(), self.due.load(Ordering::Relaxed));
        nanos >= due && self.takes_turn(due, nanos.saturating_add(SAMPLED))
    }

    /// Of all who see that it is time one does it.
    #[cold]
    fn takes_turn(&self, due: u64, next: u64) -> bool {
        self.due
            .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Sets the gauges.
    pub(crate) fn gauges(
        &self,
        stats: &Stats,
        oldest: Duration,
        remote: Option<(&RemoteStats, Option<Duration>)>,
    ) {
        self.begin_at_zero(remote.is_some());
        let memory = || [SharedString::const_str(Tier::Memory.as_str())];
        self.set(&SIZE, memory(), stats.bytes as f64);
        self.set(&ENTRIES, memory(), stats.entries as f64);
        self.set(&FLIGHTS, [], stats.flights as f64);
        self.set(&OLDEST, [], oldest.as_secs_f64());
        if let Some((remote, lag)) = remote {
            let (queued, leases) = remote.pending;
            let flag = |is_so| f64::from(u8::from(is_so));
            self.set(&REMOTE_UP, [], flag(remote.health.is_up()));
            self.set(&COHERENT, [], flag(remote.is_coherent));
            self.set(&LAG, [], lag.map_or(-1.0, |lag| lag.as_secs_f64()));
            self.set(&PENDING, [], (queued + leases) as f64);
        }
    }

    /// A counter that comes into being with its first event had no rate before it: what alerts are for is there
    /// from the beginning.
    fn begin_at_zero(&self, has_remote: bool) {
        let text = SharedString::const_str;
        self.add(&EVICTIONS, [text(Tier::Memory.as_str())], 0);
        self.add(&ERRORS, [Tier::Memory.as_str(), "load"].map(text), 0);
        let failures = [
            Failure::Away,
            Failure::Late,
            Failure::Refused(Arc::default()),
        ];
        for failure in failures.iter().filter(|_| has_remote) {
            self.add(
                &ERRORS,
                [Tier::Remote.as_str(), failure.as_str()].map(text),
                0,
            );
        }
    }

    fn add<const N: usize>(&self, metric: &Metric, labels: [SharedString; N], count: u64) {
        let key = self.key(metric, labels);
        self.describe();
        with_recorder(|recorder| recorder.register_counter(&key, &METADATA)).increment(count);
    }

    fn sample<const N: usize>(&self, metric: &Metric, labels: [SharedString; N], took: f64) {
        let key = self.key(metric, labels);
        let histogram: Histogram =
            with_recorder(|recorder| recorder.register_histogram(&key, &METADATA));
        histogram.record(took);
    }

    fn set<const N: usize>(&self, metric: &Metric, labels: [SharedString; N], value: f64) {
        let key = self.key(metric, labels);
        self.describe();
        let gauge: Gauge = with_recorder(|recorder| recorder.register_gauge(&key, &METADATA));
        gauge.set(value);
    }

    fn key<const N: usize>(&self, metric: &Metric, labels: [SharedString; N]) -> Key {
        debug_assert_eq!(metric.labels.len(), N + 1, "{}", metric.name);
        let values = std::iter::once(self.cache.clone()).chain(labels);
        let labels: Vec<Label> = (metric.labels.iter().zip(values))
            .map(|(name, value)| Label::new(*name, value))
            .collect();
        Key::from_parts(metric.name, labels)
    }

    fn describe(&self) {
        self.described.with(describe_to, |()| {});
    }

    #[inline]
    fn route(&self, name: &str) -> &Route {
        match name {
            "" => &self.no_route,
            name => self.named(name),
        }
    }

    /// The route of this name: at its place, or the first free one after it.
    fn named(&self, name: &str) -> &Route {
        let first = hash(name) % ROUTES;
        let (before, from) = self.routes.split_at(first);
        for place in from.iter().chain(before) {
            let route = place.get_or_init(|| Box::new(Route::new(name.to_owned().into())));
            if *route.name == *name {
                return route;
            }
        }
        &self.other_routes
    }
}

/// FNV-1a: names of routes are short, and written in code.
fn hash(name: &str) -> usize {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_util::debugging::DebuggingRecorder;

    const HIT: Outcome = Outcome::Hit { tier: Tier::Memory };

    fn hits(recorder: &DebuggingRecorder) -> usize {
        let counted = recorder.snapshotter().snapshot().into_vec();
        let is_hits = |key: &metrics_util::CompositeKey| key.key().name() == HITS.name;
        counted.iter().filter(|(key, ..)| is_hits(key)).count()
    }

    #[test]
    fn cor_15_a_million_routes_are_a_few_hundred_series() {
        let recorder = DebuggingRecorder::new();
        metrics::with_local_recorder(&recorder, || {
            let meters = Meters::new(&"c".into());
            for n in 0..1_000_000 {
                meters.ended(&format!("/{n}"), HIT, Some(0.0));
            }
        });
        assert_eq!(hits(&recorder), ROUTES + 1);
    }

    #[test]
    fn what_alerts_are_for_is_at_zero_before_it_first_happens() {
        let counters = |has_remote: bool| {
            let recorder = DebuggingRecorder::new();
            let remote = has_remote.then(|| (RemoteStats::default(), None));
            metrics::with_local_recorder(&recorder, || {
                let meters = Meters::new(&"c".into());
                let remote = remote.as_ref().map(|(stats, lag)| (stats, *lag));
                meters.gauges(&Stats::default(), Duration::ZERO, remote);
                meters.error(Tier::Memory, "load");
                meters.gauges(&Stats::default(), Duration::ZERO, remote);
            });
            let counted = recorder.snapshotter().snapshot().into_vec();
            let told = |(key, _, _, value): &(metrics_util::CompositeKey, _, _, _)| {
                let metrics_util::debugging::DebugValue::Counter(count) = value else {
                    return None;
                };
                let labels = key.key().labels().skip(1).map(Label::value);
                let labels = labels.collect::<Vec<_>>().join(" ");
                Some(format!("{} {labels} {count}", key.key().name()))
            };
            let mut counted: Vec<_> = counted.iter().filter_map(told).collect();
            counted.sort();
            counted
        };
        let alone = [
            "cache_errors_total memory load 1",
            "cache_evictions_total memory 0",
        ];
        assert_eq!(counters(false), alone);
        let [errors, evictions] = alone;
        assert_eq!(
            counters(true),
            [
                errors,
                "cache_errors_total remote away 0",
                "cache_errors_total remote late 0",
                "cache_errors_total remote refused 0",
                evictions,
            ]
        );
    }

    #[test]
    fn a_recorder_that_comes_after_the_first_hit_is_told_of_those_after_it() {
        let meters = Meters::new(&"c".into());
        meters.ended("/a", HIT, Some(0.0));
        // More than are remembered; all alive, for it is by their addresses that they are told apart.
        let recorders: Vec<_> = (0..6).map(|_| Box::new(DebuggingRecorder::new())).collect();
        for recorder in &recorders {
            metrics::with_local_recorder(&**recorder, || {
                meters.ended("/a", HIT, Some(0.0));
            });
            assert_eq!(hits(recorder), 1);
        }
    }
}
