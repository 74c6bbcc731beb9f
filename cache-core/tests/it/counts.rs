//! Whatever becomes of a call, it is counted once.

use crate::support::{Down, panic_quietly, settled, yields};
use cache_core::{
    Cache, Policy,
    clock::ManualClock,
    policy::{minutes, seconds},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::task::JoinSet;

/// How a loader ends, by chance.
async fn load(chance: u64) -> Result<Option<u64>, Down> {
    match chance % 7 {
        0 => yields(3).await,
        1 => tokio::time::sleep(seconds(1)).await,
        2 => std::future::pending().await,
        _ => {}
    }
    match chance % 5 {
        0 => Err(Down(chance)),
        1 => panic_quietly(),
        2 => Ok(None),
        _ => Ok(Some(chance)),
    }
}

/// One call by chance, of keys that nearly everybody asks for.
async fn call(cache: Cache<u64>, chance: u64, calls: Arc<AtomicU64>) {
    let (key, chance) = (chance % 3, chance / 3);
    let (kind, chance) = (chance % 8, chance / 8);
    let came = |count| calls.fetch_add(count, Ordering::SeqCst);
    let present = async move || load(chance).await.map(|value| value.unwrap_or(7));
    match kind {
        0 => {
            came(1);
            cache.get(&key).await;
        }
        1 => {
            came(3);
            cache.get_many(&[key, key, 9]).await;
        }
        2 => {
            came(1);
            cache.in_memory(&key);
        }
        3 => {
            came(1);
            let _ = cache.refresh_in_background(&key, present).await;
        }
        4 => {
            came(1);
            let _ = cache.get_or_load_optional(&key, || load(chance)).await;
        }
        // A loader that asks for another key, and for its own, is two callers more.
        5 => {
            came(1);
            let inner = async || {
                came(1);
                let _ = cache.get_or_load(&(key + 1), present).await;
                came(1);
                let own = cache.get_or_load(&key, present).await;
                own.map(|value| *value)
            };
            let _ = cache.get_or_load(&key, inner).await;
        }
        // One that tries again by itself is one caller.
        6 => {
            came(1);
            let again = async || match load(chance).await {
                Err(_) => load(chance / 5).await,
                loaded => loaded,
            };
            let _ = cache.get_or_load_optional(&key, again).await;
        }
        _ => {
            came(1);
            let _ = cache.get_or_load(&key, present).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_is_counted_once_whatever_becomes_of_it() {
    let (mut stale, mut refused) = (0, 0);
    for seed in 0..40 {
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH);
        let policy = Policy::ttl(seconds(10))
            .stale_while_revalidate(seconds(10))
            .stale_if_error(minutes(1))
            .negative_ttl(seconds(5))
            .early_refresh(1.0)
            .group("all")
            .work_deadline(seconds(5))
            .wait_limit(seconds(2));
        let cache: Cache<u64> = Cache::builder("it")
            .policy(policy)
            .clock(clock.clone())
            .max_refreshes(2)
            .build()
            .unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let (calls, mut tasks) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
        for _ in 0..400 {
            let task = tasks.spawn(call(cache.clone(), random.u64(..), Arc::clone(&calls)));
            match random.u8(..24) {
                0 => cache.invalidate_group("all").await,
                1 => drop(cache.invalidate(&random.u64(..3)).await),
                2 => drop(cache.insert(&random.u64(..3), 1).await),
                3 => clock.advance(seconds(random.u64(..12))),
                4 => tokio::time::sleep(Duration::from_millis(random.u64(..1500))).await,
                5..9 => yields(random.usize(..4)).await,
                9..14 => task.abort(),
                _ => {}
            }
        }
        while let Some(ended) = tasks.join_next().await {
            drop(ended);
        }
        // Refreshes in the background have a deadline of their own.
        tokio::time::sleep(seconds(6)).await;
        let stats = cache.stats();
        let counted = stats.hits + stats.stale + stats.misses + stats.bypasses;
        assert_eq!(
            counted,
            calls.load(Ordering::SeqCst),
            "seed {seed}: {stats:?}"
        );
        assert!(stats.hits > 0 && stats.collapsed > 0, "{stats:?}");
        settled(&cache);
        (stale, refused) = (stale + stats.stale, refused + stats.refused);
    }
    assert!(stale > 0 && refused > 0, "{stale}, {refused}");
}
