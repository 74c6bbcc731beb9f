//! What several modules need.

use cache_core::{Cache, Policy, clock::FixedRandom, policy::minutes};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

/// The error of failing loaders.
#[derive(Debug, PartialEq)]
pub(crate) struct Down(pub(crate) u64);

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "down for the {}. time", self.0)
    }
}

impl std::error::Error for Down {}

/// Numbers the loads. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loads(Arc<AtomicU64>);

impl Loads {
    pub(crate) fn begin(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Loads the number of the load, having yielded.
    pub(crate) async fn load(self) -> Result<u64, Down> {
        let number = self.begin();
        yields(2).await;
        Ok(number)
    }

    pub(crate) async fn fail(self) -> Result<u64, Down> {
        let number = self.begin();
        yields(2).await;
        Err(Down(number))
    }
}

/// Minutes to live, and randomness that neither jitters nor shortens a pause.
pub(crate) fn cache() -> Cache<u64> {
    cache_of(Policy::ttl(minutes(5)))
}

pub(crate) fn cache_of(policy: Policy) -> Cache<u64> {
    Cache::builder("it")
        .policy(policy)
        .random(FixedRandom(0))
        .build()
        .unwrap()
}

pub(crate) async fn yields(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

/// Panics as a loader would, without the message on the terminal.
pub(crate) fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("the loader panicked"))
}

/// Polls `work` up to `polls` times. `None` where it is not done by then.
pub(crate) async fn polled<F: Future>(mut work: Pin<&mut F>, polls: usize) -> Option<F::Output> {
    let mut left = polls;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match work.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// After a test: no flight is left, and the counts agree.
pub(crate) fn settled<V: Send + Sync + 'static>(cache: &Cache<V>) {
    let stats = cache.stats();
    assert_eq!(stats.flights, 0, "{stats:?}");
    assert!(stats.collapsed <= stats.misses, "{stats:?}");
    assert!(stats.load_failures <= stats.loads, "{stats:?}");
}

/// Lets the spawned callers run until `count` have asked.
pub(crate) async fn asked<V: Send + Sync + 'static>(cache: &Cache<V>, count: u64) {
    loop {
        let stats = cache.stats();
        if stats.hits + stats.stale + stats.misses >= count {
            return;
        }
        yields(1).await;
    }
}
