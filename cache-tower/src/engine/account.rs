//! The account of one request: counted when it comes, and closed when it is known how it ended.
//!
//! A request is counted at once, as what it looks like, so that those under way are seen; the one
//! [`Decision`] that ends it moves the count if it turned out otherwise, and is what metrics and the span get.
//! One whose future is dropped ends as what it was when it came. Of layers of one cache within each other the
//! innermost that a request comes to keeps its account.

use crate::{http::cache_status::Decision, stored::Stored};
use cache_core::{
    Event, Store,
    clock::Moment,
    observe::{Outcome, Tier},
};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

/// When a request came. Where nobody is told of it, the clock is not looked at.
#[derive(Clone, Copy)]
pub(super) struct Came(#[cfg(feature = "metrics")] Moment);

#[cfg(feature = "metrics")]
impl Came {
    pub(super) fn now(store: &Store<Stored>) -> Self {
        Self(store.now())
    }

    /// The moment to judge what is stored by.
    pub(super) fn moment(self, _: &Store<Stored>) -> Moment {
        self.0
    }

    /// Has the gauges set, now and then.
    pub(super) fn measure(self, store: &Store<Stored>) {
        store.measure_if_due(self.0);
    }

    fn began(self) -> Option<Moment> {
        Some(self.0)
    }
}

#[cfg(not(feature = "metrics"))]
impl Came {
    pub(super) fn now(_: &Store<Stored>) -> Self {
        Self()
    }

    /// The moment to judge what is stored by.
    #[allow(clippy::unused_self, reason = "it knows none")]
    pub(super) fn moment(self, store: &Store<Stored>) -> Moment {
        store.now()
    }

    #[allow(clippy::unused_self, reason = "it knows none")]
    pub(super) fn measure(self, _: &Store<Stored>) {}

    #[allow(clippy::unused_self, reason = "it knows none")]
    fn began(self) -> Option<Moment> {
        None
    }
}

/// The span of a request; nothing without the feature `tracing`.
#[derive(Clone)]
pub(super) struct Span(#[cfg(feature = "tracing")] tracing::Span);

#[cfg(not(feature = "tracing"))]
#[allow(clippy::unused_self, reason = "there is no span")]
impl Span {
    pub(super) fn of(_: &str, _: &str) -> Self {
        Self()
    }

    fn about(&self, _: &[u8]) {}

    fn note(&self, _: Decision, _: Outcome) {}

    fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }

    pub(super) fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work
    }

    pub(super) fn none() -> Self {
        Self()
    }
}

#[cfg(feature = "tracing")]
impl Span {
    pub(super) fn of(cache: &str, route: &str) -> Self {
        use tracing::field::Empty;
        let span = tracing::info_span!(
            target: "cache_tower",
            "cache.request",
            otel.kind = "internal",
            cache.name = cache,
            cache.outcome = Empty,
            cache.tier = Empty,
            cache.reason = Empty,
            cache.collapsed = Empty,
            cache.ttl = Empty,
            cache.then = Empty,
            cache.key = Empty,
            http.route = Empty,
        );
        if !route.is_empty() {
            span.record("http.route", route);
        }
        Self(span)
    }

    fn about(&self, key: &[u8]) {
        if !self.0.is_disabled() {
            let digest = cache_core::observe::Digest::of(key);
            self.0.record("cache.key", tracing::field::display(digest));
        }
    }

    fn note(&self, decision: Decision, outcome: Outcome) {
        if self.0.is_disabled() {
            return;
        }
        let span = &self.0;
        outcome.record(span);
        if let Some(ttl) = decision.ttl() {
            span.record("cache.ttl", ttl.seconds());
        }
        if let Decision::Forward { then, .. } = decision {
            span.record("cache.then", then.as_str());
        }
    }

    fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        self.0.in_scope(f)
    }

    /// Runs what waits within it.
    pub(super) fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        tracing::Instrument::instrument(work, self.0.clone())
    }

    pub(super) fn none() -> Self {
        Self(tracing::Span::none())
    }
}

/// That a layer counted a request. The layer right within takes it back and counts by itself, so each
/// request is counted once, by the innermost layer it came to.
#[derive(Clone)]
pub(crate) struct Counted(Arc<Count>);

struct Count {
    came: Event,
    state: AtomicU8,
}

/// Under way.
const OPEN: u8 = 0;
/// The same; what answers was found in the remote tier, or made by another process.
const FOUND_THERE: u8 = 1;
/// It ended, or a layer within has it.
const CLOSED: u8 = 2;

impl Counted {
    fn new(store: &Store<Stored>, came: Event) -> Self {
        store.record(came);
        Self(Arc::new(Count {
            came,
            state: AtomicU8::new(OPEN),
        }))
    }

    /// The remote tier, or another process, answers.
    pub(super) fn found_there(&self) {
        let state = &self.0.state;
        // One that ended stays so.
        let _ = state.compare_exchange(OPEN, FOUND_THERE, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn take_back(&self, store: &Store<Stored>) {
        if self.close().is_some() {
            store.retract(self.0.came);
        }
    }

    /// Whether a layer within took it back, asked before the account is closed.
    pub(super) fn is_another_layers(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) == CLOSED
    }

    /// Where the answer is from; `None` where the account was closed before.
    fn close(&self) -> Option<Tier> {
        match self.0.state.swap(CLOSED, Ordering::Relaxed) {
            CLOSED => None,
            FOUND_THERE => Some(Tier::Remote),
            _ => Some(Tier::Memory),
        }
    }
}

/// The account of a request that is not answered at once. Dropped, it is closed.
pub(crate) struct Account {
    store: Store<Stored>,
    counted: Counted,
    /// How it ends unless it is decided otherwise.
    looks: Decision,
    route: Box<str>,
    came: Came,
    span: Span,
}

impl Account {
    pub(super) fn open(
        store: &Store<Stored>,
        looks: Decision,
        route: &str,
        came: Came,
        span: Span,
    ) -> Self {
        Self {
            store: store.clone(),
            counted: Counted::new(store, looks.outcome(Tier::Memory).event()),
            looks,
            route: route.into(),
            came,
            span,
        }
    }

    pub(super) fn counted(&self) -> Counted {
        self.counted.clone()
    }

    /// What the request is about.
    pub(super) fn about(&self, key: &[u8]) {
        self.span.about(key);
    }

    /// Runs what belongs to the request, within its span.
    pub(super) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        self.span.enter(f)
    }

    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// The request ended so. Whatever comes after is not its end.
    pub(super) fn close(&self, decision: Decision) {
        let Some(tier) = self.counted.close() else {
            return;
        };
        let outcome = decision.outcome(tier);
        self.span.note(decision, outcome);
        let (came, began) = (self.counted.0.came, self.came.began());
        self.store.ended(came, outcome, &self.route, began);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.close(self.looks);
    }
}

/// A request that is answered at once: counted and told in one step.
#[inline]
pub(super) fn settle(
    store: &Store<Stored>,
    decision: Decision,
    route: &str,
    came: Came,
    span: &Span,
) {
    let outcome = decision.outcome(Tier::Memory);
    span.note(decision, outcome);
    store.settled(outcome, route, came.began());
}
