//! Memory that knows when it is out of date.

use crate::support::{Loads, coherent, hasty, policy, process, settings, until};
use cache_core::{Cache, remote::Redis};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tests::{
    proxy::{Proxy, Way},
    redis::Server,
};

/// How a link fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The connections there are are cut.
    Cut,
    /// Those there are go silent, also to writes; new ones work.
    HalfOpen,
    /// All go silent, and after a while everything comes at once.
    Frozen,
}

#[tokio::test]
async fn an_invalidation_reaches_another_process_within_milliseconds() {
    let server = Server::start();
    let (a, b) = (
        process(&server.url(), policy()),
        process(&server.url(), policy()),
    );
    coherent(&a).await;
    coherent(&b).await;
    let mut delays = Vec::new();
    for key in 0..100_u64 {
        a.insert(&key, 1).await.unwrap();
        until("memory", async || {
            b.get(&key).await;
            b.in_memory(&key).is_some()
        })
        .await;
        a.invalidate(&key).await;
        delays.push(until("the notice", async || b.in_memory(&key).is_none()).await);
        assert!(b.get(&key).await.is_none());
    }
    delays.sort();
    println!("median {:?}, 99 of 100 within {:?}", delays[50], delays[98]);
    assert!(delays[98] < Duration::from_millis(200), "{delays:?}");
}

#[tokio::test]
async fn a_flush_by_an_operator_empties_memory() {
    let server = Server::start();
    let cache = process(&server.url(), policy());
    coherent(&cache).await;
    cache.insert(&1, 1).await.unwrap();
    until("memory", async || {
        cache.get(&1).await;
        cache.in_memory(&1).is_some()
    })
    .await;
    let _ = server.ask(&["FLUSHALL"]);
    until("the notice", async || cache.in_memory(&1).is_none()).await;
    assert!(cache.get(&1).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn contended_keys_written_by_a_foreign_client_are_not_stale_three_seconds_later() {
    const KEYS: u64 = 4_000;
    let server = Server::start();
    // Entries as this cache writes them, made under another prefix.
    let writer = process(&server.url(), policy());
    let reader = process(&server.url(), policy());
    coherent(&writer).await;
    coherent(&reader).await;
    let keys: Vec<u64> = (0..KEYS).collect();
    writer
        .insert_many(keys.iter().map(|key| (*key, 0)))
        .await
        .unwrap();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (reader, done) = (reader.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    for _ in 0..100 {
                        let key = fastrand::u64(..KEYS);
                        reader.get(&key).await;
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for round in 1..=3_u64 {
        for batch in keys.chunks(50) {
            writer
                .insert_many(batch.iter().map(|key| (*key, round)))
                .await
                .unwrap();
        }
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    for task in readers {
        task.await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut stale = 0;
    for key in &keys {
        stale += u64::from(reader.get(key).await.is_some_and(|value| *value != 3));
    }
    assert_eq!(stale, 0, "of {KEYS}");
}

/// RDS-28, in each way a link can fail: what is served as fresh is never older than the bound.
async fn never_older_than_the_bound(trouble: Trouble) {
    const BOUND: Duration = Duration::from_secs(3);
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let writer = process(&server.url(), policy());
    let reader = hasty(&proxy.url(), policy());
    coherent(&writer).await;
    coherent(&reader).await;
    // When the version that is the index was no longer the newest.
    let mut ended: Vec<Instant> = Vec::new();
    writer.insert(&1, 0).await.unwrap();
    reader.get(&1).await;
    let began = Instant::now();
    let (mut found, mut old, mut oldest) = (0, 0, Duration::ZERO);
    let mut since = None;
    while ended.len() < 1000 || began.elapsed() < Duration::from_secs(6) {
        writer.insert(&1, ended.len() as u64 + 1).await.unwrap();
        ended.push(Instant::now());
        if since.is_none() && ended.len() > 100 {
            since = Some(Instant::now());
            match trouble {
                Trouble::Cut => proxy.set_old(Way::Cut),
                Trouble::HalfOpen => proxy.set_old(Way::BlackHole),
                Trouble::Frozen => proxy.set(Way::Held),
            }
        }
        if trouble == Trouble::Frozen
            && since.is_some_and(|since| since.elapsed() > Duration::from_secs(4))
        {
            proxy.set(Way::Open);
        }
        let asked = Instant::now();
        if let Some(version) = reader.get(&1).await {
            let version = usize::try_from(*version).unwrap();
            assert!(version <= ended.len(), "{version} was never written");
            found += 1;
            if let Some(ended) = ended.get(version) {
                old += 1;
                oldest = oldest.max(asked.saturating_duration_since(*ended));
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let written = ended.len();
    println!("{trouble:?}: {written} writes, {found} found, {old} of them old, at most {oldest:?}");
    assert!(found > 100, "{found}");
    assert!(oldest <= BOUND, "{oldest:?}");
    until("the newest value", async || {
        reader
            .get(&1)
            .await
            .is_some_and(|value| *value == written as u64)
    })
    .await;
}

#[tokio::test]
async fn rds_28_a_link_that_is_cut_bounds_staleness() {
    never_older_than_the_bound(Trouble::Cut).await;
}

#[tokio::test]
async fn rds_28_a_link_that_is_half_open_bounds_staleness() {
    never_older_than_the_bound(Trouble::HalfOpen).await;
}

#[tokio::test]
async fn rds_28_a_link_that_is_frozen_bounds_staleness() {
    never_older_than_the_bound(Trouble::Frozen).await;
}

/// A slow load in one process, an invalidation by another: the old value is stored nowhere.
#[tokio::test]
async fn cor_07_a_load_that_began_before_an_invalidation_is_stored_nowhere() {
    let server = Server::start();
    let (a, b) = (
        process(&server.url(), policy()),
        process(&server.url(), policy()),
    );
    coherent(&a).await;
    coherent(&b).await;
    for key in 0..10_u64 {
        let loads = Loads::default();
        let old = {
            let (b, loads) = (b.clone(), loads.clone());
            tokio::spawn(async move {
                let load = || loads.slowly(Duration::from_millis(100));
                b.get_or_load(&key, load).await.map(|value| *value)
            })
        };
        until("the load", async || loads.count() == 1).await;
        a.invalidate(&key).await;
        let new = a.get_or_load(&key, || loads.clone().load()).await.unwrap();
        assert_eq!(*new, 2);
        assert_eq!(old.await.unwrap().unwrap(), 1);
        for process in [&a, &b] {
            assert_eq!(process.get(&key).await.map(|value| *value), Some(2));
        }
    }
    assert_eq!(b.stats().remote_refused, 10);
}

/// What is too large to be shared, or could not be stored, no server names.
#[tokio::test]
async fn a_pattern_reaches_what_only_the_memory_of_others_has() {
    let server = Server::start();
    let [a, b] = [(); 2].map(|()| {
        let remote = Redis::with(settings(&server.url()).max_value(64)).unwrap();
        let cache: Cache<String> = Cache::builder("it")
            .policy(policy())
            .remote(Arc::new(remote))
            .build()
            .unwrap();
        cache
    });
    for cache in [&a, &b] {
        until("coherence", async || {
            cache.remote_stats().unwrap().is_coherent
        })
        .await;
    }
    let large = || async { Ok::<_, String>("x".repeat(500)) };
    for key in [1, 2] {
        b.get_or_load(&key, large).await.unwrap();
    }
    assert!(b.get(&1).await.is_some());
    a.invalidate(&1).await;
    until("the key", async || b.get(&1).await.is_none()).await;
    assert!(b.get(&2).await.is_some());
    assert_eq!(a.invalidate_pattern("2*").await.unwrap(), 0);
    until("the pattern", async || b.get(&2).await.is_none()).await;
}
