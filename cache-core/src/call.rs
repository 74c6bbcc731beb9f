//! One call of a typed cache, from its coming to its end: counted once, measured, traced.

use crate::{
    clock::Moment,
    event::Event,
    observe::{Outcome, Tier, Trail},
    store::Store,
};
use std::future::Future;

/// A call that is not answered at once. It ends when it is dropped, as also when its caller leaves.
pub(crate) struct Call<'a, V> {
    store: &'a Store<V>,
    came: Event,
    began: Moment,
    pub(crate) trail: Trail,
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

impl<'a, V> Call<'a, V> {
    /// Counts the call as what it looks like.
    pub(crate) fn begin(store: &'a Store<V>, came: Event, now: Moment) -> Self {
        store.record(came);
        store.measure_if_due(now);
        Self {
            store,
            came,
            began: now,
            trail: Trail::default(),
            #[cfg(feature = "tracing")]
            span: span(store.name()),
        }
    }

    /// Runs what the call has to wait for, within its span. On the heap: of loaders that ask for other keys
    /// each would hold all of the next, and so deep a future fills the stack.
    #[cfg(feature = "tracing")]
    pub(crate) fn traced<F: Future>(&self, work: F) -> impl Future<Output = F::Output> {
        tracing::Instrument::instrument(Box::pin(work), self.span.clone())
    }

    /// Runs what the call has to wait for, on the heap as well.
    #[cfg(not(feature = "tracing"))]
    #[allow(clippy::unused_self, reason = "it has no span")]
    pub(crate) fn traced<F: Future>(&self, work: F) -> impl Future<Output = F::Output> {
        Box::pin(work)
    }

    fn outcome(&self) -> Outcome {
        match self.came {
            Event::Miss => self.trail.outcome("absent"),
            came => answered(came),
        }
    }
}

impl<V> Drop for Call<'_, V> {
    fn drop(&mut self) {
        let outcome = self.outcome();
        #[cfg(feature = "tracing")]
        outcome.record(&self.span);
        self.store.ended(self.came, outcome, "", Some(self.began));
    }
}

/// Counts a call that memory settles at once. How long it took is not told: reading the clock takes as long.
pub(crate) fn settled<V>(store: &Store<V>, event: Event, now: Moment) {
    store.measure_if_due(now);
    let outcome = answered(event);
    #[cfg(feature = "tracing")]
    if tracing::enabled!(target: "cache_core", tracing::Level::INFO) {
        outcome.record(&span(store.name()));
    }
    store.settled(outcome, "", None);
}

/// The outcome of a call that ends as it looked when it came.
fn answered(came: Event) -> Outcome {
    match came {
        Event::Hit => Outcome::Hit { tier: Tier::Memory },
        Event::Stale => Outcome::Stale {
            reason: "while-revalidate",
        },
        Event::Bypass => Outcome::Bypass { reason: "disabled" },
        _ => Outcome::Miss {
            reason: "absent",
            collapsed: None,
        },
    }
}

#[cfg(feature = "tracing")]
fn span(cache: &str) -> tracing::Span {
    use tracing::field::Empty;
    tracing::info_span!(
        target: "cache_core",
        "cache.get",
        otel.kind = "internal",
        cache.name = cache,
        cache.outcome = Empty,
        cache.tier = Empty,
        cache.reason = Empty,
        cache.collapsed = Empty,
    )
}
