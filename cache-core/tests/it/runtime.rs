//! The cache works inside tokio, outside it, and while it goes away.

use crate::support::{Down, Loads, cache, cache_of, settled};
use cache_core::{
    Cache, Policy,
    clock::{Clock, ManualClock},
    policy::{minutes, seconds},
};
use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::SystemTime,
};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor there is.
fn block_on<F: Future>(work: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// Yields once, without tokio.
async fn yield_plainly() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn asy_18_a_cache_works_in_plain_threads() {
    let (cache, loads) = (cache(), Loads::default());
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (cache, loads) = (cache.clone(), loads.clone());
            thread::spawn(move || {
                for key in 0..200_u64 {
                    let load = async || {
                        loads.begin();
                        yield_plainly().await;
                        Ok::<_, Down>(key)
                    };
                    assert_eq!(*block_on(cache.get_or_load(&key, load)).unwrap(), key);
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_eq!(loads.count(), 200);
    block_on(async {
        cache.insert(&1, 5).await.unwrap();
        assert_eq!(*cache.get(&1).await.unwrap(), 5);
        assert!(cache.invalidate(&1).await);
        cache.clear().await;
    });
    settled(&cache);
    drop(cache);
}

#[test]
fn asy_18_without_a_runtime_a_refresh_runs_in_its_callers_task() {
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH);
    let policy = Policy::ttl(seconds(10)).stale_while_revalidate(minutes(1));
    let cache: Cache<u64> = Cache::builder("it")
        .policy(policy)
        .clock(clock.clone())
        .build()
        .unwrap();
    block_on(cache.insert(&1, 1)).unwrap();
    clock.advance(seconds(11));
    let refresh = || {
        cache.refresh_in_background(&1, || async {
            yield_plainly().await;
            Ok::<_, Down>(2)
        })
    };
    assert_eq!(
        *block_on(refresh()).unwrap(),
        1,
        "it was asked for the stale copy"
    );
    assert_eq!(*block_on(refresh()).unwrap(), 2);
    settled(&cache);
}

#[test]
fn a_wall_clock_that_steps_neither_revives_nor_kills_an_entry() {
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH + minutes(60));
    let cache: Cache<u64> = Cache::builder("it")
        .policy(Policy::ttl(seconds(10)))
        .clock(clock.clone())
        .build()
        .unwrap();
    block_on(cache.insert(&1, 1)).unwrap();
    clock.set_wall(SystemTime::UNIX_EPOCH + minutes(600));
    assert!(cache.in_memory(&1).is_some());
    clock.set_wall(SystemTime::UNIX_EPOCH);
    assert_eq!(clock.wall(), SystemTime::UNIX_EPOCH);
    clock.advance(seconds(10));
    assert!(cache.in_memory(&1).is_none());
}

#[test]
fn asy_18_a_cache_built_in_one_runtime_serves_another_and_none() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    };
    let cache = runtime().block_on(async { cache() });
    let load = async || Ok::<_, Down>(1);
    assert_eq!(*block_on(cache.get_or_load(&1, load)).unwrap(), 1);
    let other = async || Ok::<_, Down>(2);
    assert_eq!(
        *runtime().block_on(cache.get_or_load(&2, other)).unwrap(),
        2
    );
    assert_eq!(*block_on(cache.get(&2)).unwrap(), 2);
    settled(&cache);
}

struct CountOnDrop(Arc<AtomicUsize>);

impl Drop for CountOnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn asy_17_a_runtime_dropped_with_refreshes_under_way_takes_them_with_it() {
    for threads in [1, 4] {
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH);
        let policy = Policy::ttl(seconds(10)).stale_while_revalidate(minutes(1));
        let cache: Cache<u64> = Cache::builder("it")
            .policy(policy)
            .clock(clock.clone())
            .max_refreshes(100)
            .build()
            .unwrap();
        let ended = Arc::new(AtomicUsize::new(0));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            for key in 0..100_u64 {
                cache.insert(&key, key).await.unwrap();
            }
            clock.advance(seconds(11));
            for key in 0..100_u64 {
                let guard = CountOnDrop(Arc::clone(&ended));
                let hang = move || async move {
                    let _guard = guard;
                    std::future::pending::<Result<u64, Down>>().await
                };
                assert_eq!(*cache.refresh_in_background(&key, hang).await.unwrap(), key);
            }
        });
        assert_eq!(cache.stats().flights, 100);
        drop(runtime);
        assert_eq!(ended.load(Ordering::SeqCst), 100);
        settled(&cache);
        assert_eq!(
            *block_on(cache.get_or_load(&1, async || Ok::<_, Down>(7))).unwrap(),
            7
        );
    }
}

#[test]
fn asy_17_followers_of_a_leader_that_died_with_its_runtime_load_themselves() {
    let (cache, loads) = (cache_of(Policy::default()), Loads::default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .unwrap();
    {
        let (cache, loads) = (cache.clone(), loads.clone());
        runtime.spawn(async move {
            let hang = async || {
                loads.begin();
                std::future::pending::<Result<u64, Down>>().await
            };
            cache.get_or_load(&1, hang).await.map(|value| *value)
        });
    }
    while loads.count() == 0 {
        thread::yield_now();
    }
    let follower = {
        let cache = cache.clone();
        thread::spawn(move || *block_on(cache.get_or_load(&1, async || Ok::<_, Down>(2))).unwrap())
    };
    while cache.stats().misses < 2 {
        thread::yield_now();
    }
    drop(runtime);
    assert_eq!(follower.join().unwrap(), 2);
    settled(&cache);
}

#[test]
fn a_cache_may_be_used_while_its_thread_ends() {
    struct AskOnExit(Cache<u64>);
    impl Drop for AskOnExit {
        fn drop(&mut self) {
            assert!(self.0.in_memory(&1).is_some());
        }
    }
    thread_local! {
        static LAST: std::cell::OnceCell<AskOnExit> = const { std::cell::OnceCell::new() };
    }
    // Not tokio's clock, which refuses to be read in an ending thread once any test has paused it.
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH);
    let cache: Cache<u64> = Cache::builder("it").clock(clock).build().unwrap();
    block_on(cache.insert(&1, 1)).unwrap();
    let asked = cache.clone();
    thread::spawn(move || {
        // Registered first, so dropped last: the buffer that keys are written to is gone by then.
        LAST.with(|last| assert!(last.set(AskOnExit(asked.clone())).is_ok()));
        asked.in_memory(&1).unwrap();
    })
    .join()
    .unwrap();
    assert_eq!(cache.stats().hits, 2);
}
