//! What a scenario's caches tell of themselves: after each of them the metrics have to agree with the counts,
//! and with their table.

use super::eventually;
use cache_axum::{
    Stats,
    typed::observe::{Kind, METRICS, Metric},
};
use metrics::{LocalRecorderGuard, set_default_local_recorder};
use metrics_util::{
    CompositeKey, MetricKind,
    debugging::{DebugValue, DebuggingRecorder},
};
use std::{cell::RefCell, collections::BTreeMap};

type Recorder = &'static DebuggingRecorder;

thread_local! {
    static CURRENT: RefCell<Option<Scenario>> = const { RefCell::new(None) };
    static GUARD: RefCell<Option<LocalRecorderGuard<'static>>> = const { RefCell::new(None) };
}

/// The scenario of this thread: what its caches told, and what they should have.
struct Scenario {
    recorder: Recorder,
    told: BTreeMap<String, u64>,
    counted: BTreeMap<&'static str, u64>,
}

/// From now on what is told in this thread is recorded. A test that is over leaves its recorder behind, for
/// others must not come to lie at its address.
pub(super) fn begin() -> Recorder {
    let recorder: Recorder = Box::leak(Box::default());
    join(recorder);
    CURRENT.set(Some(Scenario {
        recorder,
        told: BTreeMap::new(),
        counted: BTreeMap::new(),
    }));
    recorder
}

/// The same, in another thread of a scenario.
pub(super) fn join(recorder: Recorder) {
    GUARD.set(Some(set_default_local_recorder(recorder)));
}

/// The scenario is over: its caches, together, told what they counted.
pub(super) fn end() {
    GUARD.take();
    if let Some(mut scenario) = CURRENT.take() {
        scenario.hear();
        for (name, counted) in &scenario.counted {
            assert_eq!(scenario.told(name), *counted, "{name}: {:?}", scenario.told);
        }
    }
}

impl Scenario {
    /// Takes in what was told since it was last asked for. Of histograms the samples are counted.
    fn hear(&mut self) {
        for (key, _, _, value) in self.recorder.snapshotter().snapshot().into_vec() {
            is_in_the_table(&key);
            let more = match value {
                DebugValue::Counter(count) => count,
                DebugValue::Histogram(samples) => samples.len() as u64,
                DebugValue::Gauge(_) => continue,
            };
            *self.told.entry(key.key().name().to_owned()).or_default() += more;
        }
    }

    fn told(&self, name: &str) -> u64 {
        self.told.get(name).copied().unwrap_or_default()
    }

    fn expect(&mut self, stats: &Stats) {
        let requests = stats.hits + stats.stale + stats.misses + stats.bypasses;
        for (name, count) in [
            ("cache_hits_total", stats.hits),
            ("cache_stale_total", stats.stale),
            ("cache_misses_total", stats.misses),
            ("cache_bypass_total", stats.bypasses),
            ("cache_latency_seconds", requests),
            (
                "cache_collapsed_total",
                stats.collapsed + stats.remote_collapsed,
            ),
            ("cache_stored_total", stats.stored + stats.remote_stored),
            ("cache_evictions_total", stats.evictions),
        ] {
            *self.counted.entry(name).or_default() += count;
        }
    }
}

/// A cache whose requests have all come. Who left may still be on the way out of the server: waits until each
/// is told.
pub(super) async fn expect(stats: impl Fn() -> Stats) {
    let with = |f: &mut dyn FnMut(&mut Scenario)| CURRENT.with_borrow_mut(|it| it.as_mut().map(f));
    let mut before = 0;
    // Without a recorder it is a test of one framework's own.
    if with(&mut |it| {
        before = it
            .counted
            .get("cache_latency_seconds")
            .copied()
            .unwrap_or(0)
    })
    .is_none()
    {
        return;
    }
    eventually("every request is told", || {
        let stats = stats();
        let all = before + stats.hits + stats.stale + stats.misses + stats.bypasses;
        let mut told = 0;
        with(&mut |it| {
            it.hear();
            told = it.told("cache_latency_seconds");
        });
        told >= all
    })
    .await;
    let stats = stats();
    with(&mut |it| it.expect(&stats));
}

fn is_in_the_table(key: &CompositeKey) {
    let name = key.key().name();
    let metric: &Metric = METRICS
        .iter()
        .find(|metric| metric.name == name)
        .unwrap_or_else(|| panic!("{name} is not in the table"));
    let kind = match metric.kind {
        Kind::Counter => MetricKind::Counter,
        Kind::Gauge => MetricKind::Gauge,
        Kind::Histogram => MetricKind::Histogram,
    };
    assert_eq!(key.kind(), kind, "{name}");
    let labels: Vec<_> = key.key().labels().map(metrics::Label::key).collect();
    assert_eq!(labels, metric.labels, "{name}");
}
