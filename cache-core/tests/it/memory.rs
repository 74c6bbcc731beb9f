//! Memory stays within its bytes, and what is used often stays in memory.

use crate::support::{Down, cache_of, panic_quietly, polled, settled, yields};
use allocation_counter::measure;
use cache_core::{
    Cache, Policy,
    clock::ManualClock,
    policy::{hours, minutes},
};
use std::{
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// As many where tests are optimised, fewer where they are not.
const fn rounds(optimised: u64, plain: u64) -> u64 {
    if cfg!(debug_assertions) {
        plain
    } else {
        optimised
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

#[tokio::test(start_paused = true)]
async fn the_bytes_held_never_exceed_the_capacity() {
    const CAPACITY: u64 = 4 * 1024 * 1024 + 1;
    let cache: Cache<u32> = Cache::builder("it")
        .capacity(CAPACITY)
        .weigh(|bytes| *bytes as usize)
        .build()
        .unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut fullest = 0;
    for _ in 0..rounds(1_000_000, 200_000) {
        // Mostly small, some as heavy as is kept, some heavier.
        let weight = 1_u32 << rng.u32(0..22);
        cache
            .insert(&rng.u32(0..100_000), rng.u32(0..weight) + weight / 2)
            .await
            .unwrap();
        let bytes = cache.stats().bytes;
        assert!(bytes <= CAPACITY, "{bytes}");
        fullest = fullest.max(bytes);
    }
    assert!(
        fullest > CAPACITY / 10 * 9,
        "{fullest}: what may be held is used"
    );
    cache.clear().await;
    assert_eq!(cache.stats().bytes, 0);
}

/// What is allocated while a cache is filled several times over, with keys of 27 bytes.
fn allocated<V: Send + Sync + 'static>(
    capacity: u64,
    policy: impl Fn(u64) -> Policy,
    value: impl Fn() -> V,
    bytes: usize,
) -> (u64, u64) {
    let kept = OnceLock::new();
    let counted = measure(|| {
        run(async {
            let cache = Cache::builder("it")
                .capacity(capacity)
                .weigh(move |_| bytes);
            let cache: Cache<V> = cache.build().unwrap();
            for n in 0..capacity / 200 {
                let cache = cache.with_policy(policy(n)).unwrap();
                cache
                    .insert(&format!("key-with-24-bytes-{n:06}"), value())
                    .await
                    .unwrap();
            }
            kept.set(cache).unwrap();
        });
    });
    let held = u64::try_from(counted.bytes_current).unwrap();
    let entries = kept.get().unwrap().stats().entries;
    (held, held / entries)
}

#[test]
fn what_is_allocated_is_at_most_a_tenth_above_the_capacity() {
    let plain = |_| Policy::ttl(hours(1));
    let grouped = |n| Policy::ttl(hours(1)).group(format!("group-of-one:{n}"));
    // Several, because tables grow by doubling and may be just grown, or just full.
    for capacity in [2, 6, 8].map(|mebibytes| mebibytes * 1024 * 1024) {
        for (what, (held, per_entry)) in [
            (
                "100 bytes",
                allocated(capacity, plain, || vec![7_u8; 100], 100),
            ),
            ("8 bytes, in place", allocated(capacity, plain, || 7_u64, 8)),
            (
                "4 KiB",
                allocated(capacity, plain, || vec![7_u8; 4096], 4096),
            ),
            (
                "a group each",
                allocated(capacity, grouped, || vec![7_u8; 100], 100),
            ),
        ] {
            println!("{what}: {per_entry} bytes per entry, {held} of {capacity}");
            assert!(held <= capacity / 10 * 11, "{what}: {held} of {capacity}");
        }
    }
}

/// The share of a hot set's reads that hit, with `scanned` one-time keys between any two of them.
async fn hot_hits(scanned: u64) -> f64 {
    let cache: Cache<u64> = Cache::builder("it").capacity(1024 * 1024).build().unwrap();
    let mut rng = fastrand::Rng::with_seed(11);
    let (mut next, mut hits, reads) = (1_000_000, 0, rounds(200_000, 40_000));
    for read in 0..reads {
        let key = rng.u64(0..1_000);
        // The first fifth of the reads fills the cache.
        hits += u64::from(read >= reads / 5 && cache.in_memory(&key).is_some());
        cache
            .get_or_load(&key, async || Ok::<_, Down>(key))
            .await
            .unwrap();
        for _ in 0..scanned {
            next += 1;
            cache
                .get_or_load(&next, async || Ok::<_, Down>(next))
                .await
                .unwrap();
        }
    }
    hits as f64 / (reads - reads / 5) as f64
}

#[tokio::test(start_paused = true)]
async fn key_19_a_scan_of_one_time_keys_leaves_the_hot_set_in_place() {
    let alone = hot_hits(0).await;
    let scanned = hot_hits(3).await;
    assert!(alone > 0.99, "{alone}");
    assert!(scanned >= 0.9 * alone, "{scanned} of {alone}");
}

#[test]
fn asy_15_keys_that_are_gone_leave_nothing_behind() {
    let cache = Cache::<u64>::builder("it")
        .capacity(64 * 1024)
        .build()
        .unwrap();
    let counted = measure(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            for key in 0..rounds(1_000_000, 100_000) {
                let load = async || {
                    if key % 100 == 1 {
                        panic_quietly();
                    }
                    yields(1).await;
                    if key % 4 == 2 {
                        Err(Down(key))
                    } else {
                        Ok(key)
                    }
                };
                let mut call = Box::pin(cache.get_or_load(&key, load));
                if key % 100 == 1 {
                    let call = std::panic::AssertUnwindSafe(|| {
                        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                        let _ = call.as_mut().poll(&mut cx);
                    });
                    assert!(std::panic::catch_unwind(call).is_err());
                } else if key % 4 == 3 {
                    assert!(polled(call.as_mut(), 1).await.is_none());
                } else {
                    assert_eq!(call.await.is_ok(), key % 4 != 2);
                }
            }
        });
    });
    settled(&cache);
    let held = counted.bytes_current;
    assert!(held < 5 * 1024 * 1024, "{held} bytes more than before");
}

#[test]
fn asy_15_a_burst_of_flights_gives_its_memory_back() {
    let cache = Cache::<u64>::builder("it")
        .capacity(64 * 1024)
        .build()
        .unwrap();
    let counted = measure(|| {
        run(async {
            let load = async || std::future::pending::<Result<u64, Down>>().await;
            let mut calls = Vec::new();
            for key in 0..rounds(400_000, 100_000) {
                let cache = cache.clone();
                let mut call = Box::pin(async move { cache.get_or_load(&key, load).await });
                assert!(polled(call.as_mut(), 1).await.is_none());
                calls.push(call);
            }
            assert_eq!(cache.stats().flights, calls.len() as u64);
        });
    });
    settled(&cache);
    let held = counted.bytes_current;
    assert!(held < 1024 * 1024, "{held} bytes more than before");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_heavy_is_handed_out_but_not_kept() {
    let cache: Cache<u32> = Cache::builder("it")
        .capacity(64 * 1024)
        .max_entry(1024)
        .weigh(|bytes| *bytes as usize)
        .build()
        .unwrap();
    for _ in 0..2 {
        let value = cache
            .get_or_load(&1, async || Ok::<_, Down>(1025))
            .await
            .unwrap();
        assert_eq!(*value, 1025);
    }
    assert_eq!((cache.stats().entries, cache.stats().loads), (0, 2));
    cache
        .get_or_load(&2, async || Ok::<_, Down>(1000))
        .await
        .unwrap();
    assert!(cache.get(&2).await.is_some());
    cache.insert(&2, 1025).await.unwrap();
    assert!(
        cache.get(&2).await.is_none(),
        "the lighter value before it is not the current one"
    );
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_too_heavy_to_keep_ends_the_copy_before_it() {
    let policy = Policy::ttl(minutes(1))
        .stale_while_revalidate(minutes(9))
        .max_size(100);
    let cache: Cache<u32> = Cache::builder("it")
        .policy(policy)
        .weigh(|bytes| *bytes as usize)
        .build()
        .unwrap();
    cache.insert(&1, 50).await.unwrap();
    tokio::time::advance(minutes(2)).await;
    assert_eq!(
        *cache
            .get_or_load(&1, async || Ok::<_, Down>(101))
            .await
            .unwrap(),
        101
    );
    assert!(cache.get(&1).await.is_none());
    let stats = cache.stats();
    assert_eq!(
        (stats.evictions, stats.refused),
        (1, 0),
        "too heavy is not too late"
    );
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_codec_weighs_a_value_by_its_encoded_length() {
    let weight = async |codec: bool, text: &str| {
        let cache = Cache::<String>::builder("it").policy(Policy::default().max_size(1000));
        let cache = if codec {
            cache.codec(cache_core::Json)
        } else {
            cache
        };
        let cache = cache.build().unwrap();
        cache.insert(&1, text.to_owned()).await.unwrap();
        cache.stats().bytes
    };
    let long = "x".repeat(900);
    assert_eq!(weight(true, &long).await - weight(true, "").await, 900);
    assert_eq!(
        weight(false, &long).await,
        weight(false, "").await,
        "shallow"
    );
    assert_eq!(
        weight(true, &"x".repeat(999)).await,
        0,
        "beyond max_size with its quotes"
    );
}

#[tokio::test(start_paused = true)]
async fn a_value_without_an_encoding_is_an_error_to_insert_and_handed_out_when_loaded() {
    // JSON has no keys that are sequences.
    type Odd = std::collections::BTreeMap<Vec<u8>, u8>;
    let cache = Cache::<Odd>::builder("it")
        .codec(cache_core::Json)
        .build()
        .unwrap();
    let odd = Odd::from([(vec![1], 1)]);
    assert!(cache.insert(&1, odd.clone()).await.unwrap_err().is_codec());
    let load = async || Ok::<_, Down>(odd.clone());
    assert_eq!(*cache.get_or_load(&1, load).await.unwrap(), odd);
    assert!(cache.get(&1).await.is_none());
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn to_replace_a_value_is_not_to_evict_it() {
    let cache = cache_of(Policy::default());
    for value in 0..100 {
        cache.insert(&1, value).await.unwrap();
    }
    let stats = cache.stats();
    assert_eq!((stats.stored, stats.evictions, stats.entries), (100, 0, 1));

    let small: Cache<u64> = Cache::builder("it").capacity(8 * 1024).build().unwrap();
    for key in 0..1_000_u64 {
        small.insert(&key, key).await.unwrap();
    }
    let stats = small.stats();
    assert_eq!(stats.evictions, 1_000 - stats.entries);
}

/// A value that asks its own cache while it is dropped.
struct Nosy {
    cache: Arc<OnceLock<Cache<Nosy>>>,
    drops: Arc<AtomicU64>,
}

impl Drop for Nosy {
    fn drop(&mut self) {
        if let Some(cache) = self.cache.get() {
            for key in 0..8_u64 {
                let _ = cache.in_memory(&key);
            }
            let waker = std::task::Waker::noop();
            let mut invalidate = pin!(cache.invalidate(&1_000));
            assert!(
                invalidate
                    .as_mut()
                    .poll(&mut std::task::Context::from_waker(waker))
                    .is_ready()
            );
            cache.stats();
        }
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn asy_16_a_value_may_ask_the_cache_while_it_is_dropped() {
    let cell = Arc::new(OnceLock::new());
    let drops = Arc::new(AtomicU64::new(0));
    // Colliding hashes: every key has the same locks.
    let cache = Cache::<Nosy>::builder("it")
        .capacity(16 * 1024)
        .colliding_hashes();
    let policy = Policy::ttl(minutes(1)).group("all");
    let cache = cache.policy(policy).build().unwrap();
    assert!(cell.set(cache.clone()).is_ok());
    let value = || Nosy {
        cache: Arc::clone(&cell),
        drops: Arc::clone(&drops),
    };
    for key in 0..200_u64 {
        // Replaced and evicted.
        drop(cache.insert(&(key % 120), value()).await.unwrap());
        drop(
            cache
                .get_or_load(&(key + 500), async || Ok::<_, Down>(value()))
                .await
                .unwrap(),
        );
    }
    cache.insert(&1, value()).await.unwrap();
    cache.invalidate(&1).await;
    cache.insert(&1, value()).await.unwrap();
    cache.invalidate_pattern("1").await.unwrap();
    cache.invalidate_group("all").await;
    assert!(cache.get(&699).await.is_none());
    cache.insert(&2, value()).await.unwrap();
    cache
        .with_policy(Policy::ttl(std::time::Duration::ZERO))
        .unwrap();
    tokio::time::advance(minutes(2)).await;
    assert!(cache.get(&2).await.is_none());
    cache.clear().await;
    assert_eq!(drops.load(Ordering::SeqCst), 403);
    settled(&cache);
}

/// An error that asks the cache, for more keys than there are locks, when it is dropped.
#[derive(Debug)]
struct Prying {
    cache: Arc<OnceLock<Cache<u64>>>,
    drops: Arc<AtomicU64>,
}

impl std::fmt::Display for Prying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it pries")
    }
}

impl std::error::Error for Prying {}

impl Drop for Prying {
    fn drop(&mut self) {
        if let Some(cache) = self.cache.get() {
            for key in 0..256_u64 {
                let asked = cache.get_or_load(&key, std::future::pending::<Result<u64, Down>>);
                let _ = std::pin::pin!(asked)
                    .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
            }
        }
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn asy_16_an_error_may_ask_the_cache_while_it_is_forgotten() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (cell, drops) = (Arc::new(OnceLock::new()), Arc::new(AtomicU64::new(0)));
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH);
        let cache: Cache<u64> = Cache::builder("it").clock(clock.clone()).build().unwrap();
        assert!(cell.set(cache.clone()).is_ok());
        let fails = async || {
            let (cache, drops) = (Arc::clone(&cell), Arc::clone(&drops));
            let failed = cache.get().unwrap().clone();
            let fail = async || Err::<u64, _>(Prying { cache, drops });
            failed.get_or_load(&1, fail).await.unwrap_err();
        };
        run(async {
            fails().await;
            clock.advance(minutes(1));
            // Replaced, then forgotten by its key, by a pattern, and by a success.
            fails().await;
            cache.invalidate(&1).await;
            fails().await;
            cache.invalidate_pattern("*").await.unwrap();
            fails().await;
            clock.advance(minutes(1));
            cache
                .get_or_load(&1, async || Ok::<_, Down>(1))
                .await
                .unwrap();
            cache.clear().await;
        });
        settled(&cache);
        done.send(drops.load(Ordering::SeqCst))
    });
    let drops = is_done.recv_timeout(std::time::Duration::from_secs(20));
    assert_eq!(drops, Ok(4), "it waits for a lock that it holds");
}
