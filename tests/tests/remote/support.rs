//! What several modules need.

use cache_core::{
    Cache, CacheBuilder, Policy, Stats,
    policy::minutes,
    remote::{Redis, RedisSettings, Remote, RemoteSettings},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The settings that suit a test: a probe that a busy machine passes.
pub(crate) fn settings(url: &str) -> RedisSettings {
    RedisSettings::new(url)
        .unwrap()
        .probe(Duration::from_millis(200))
}

pub(crate) fn redis(url: &str) -> Redis {
    Redis::with(settings(url)).unwrap()
}

/// One process: a cache with connections of its own, and patience with a busy machine, for tests that
/// count.
pub(crate) fn process(url: &str, policy: Policy) -> Cache<u64> {
    let patient = RemoteSettings::new().budget(Duration::from_secs(1));
    builder(url, policy)
        .remote_settings(patient)
        .build()
        .unwrap()
}

/// As [`process`], with the budget that is the default.
pub(crate) fn hasty(url: &str, policy: Policy) -> Cache<u64> {
    builder(url, policy).build().unwrap()
}

fn builder(url: &str, policy: Policy) -> CacheBuilder<u64> {
    Cache::builder("it")
        .policy(policy)
        .remote(Arc::new(redis(url)))
}

pub(crate) fn policy() -> Policy {
    Policy::ttl(minutes(5))
}

/// Waits until `done`, some seconds at most, and says how long that took.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        if done().await {
            return began.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{what} did not come about");
}

/// Connected, and told of changes.
pub(crate) async fn coherent(cache: &Cache<u64>) {
    until("coherence", async || {
        cache.remote_stats().unwrap().is_coherent
    })
    .await;
}

pub(crate) async fn up(remote: &Redis) -> Duration {
    until("a connection", async || remote.health().is_up()).await
}

/// The requests that caches counted: each as one of four.
pub(crate) fn requests<'a>(stats: impl IntoIterator<Item = &'a Stats>) -> u64 {
    let of = |stats: &Stats| stats.hits + stats.stale + stats.misses + stats.bypasses;
    stats.into_iter().map(of).sum()
}

/// Numbers the loads. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loads(Arc<AtomicU64>);

impl Loads {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) async fn load(self) -> Result<u64, String> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }

    pub(crate) async fn slowly(self, time: Duration) -> Result<u64, String> {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(time).await;
        Ok(number)
    }

    pub(crate) async fn slowly_fail(self, time: Duration) -> Result<u64, String> {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(time).await;
        Err(format!("down for the {number}. time"))
    }
}
