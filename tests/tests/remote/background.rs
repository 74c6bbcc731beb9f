//! Refreshes that nobody waits for, and invalidations whose callers leave.

use crate::support::{Loads, coherent, policy, process, requests, until};
use cache_core::{Cache, Policy, policy::minutes};
use std::{future::Future, pin::pin, task::Poll, time::Duration};
use tests::redis::Server;

const FRESH: Duration = Duration::from_millis(300);

fn stale_for_long() -> Policy {
    Policy::ttl(FRESH).stale_while_revalidate(minutes(5))
}

async fn pair(server: &Server) -> [Cache<u64>; 2] {
    let pair = [(); 2].map(|()| process(&server.url(), stale_for_long()));
    for cache in &pair {
        coherent(cache).await;
    }
    pair
}

async fn get(cache: &Cache<u64>, loads: &Loads) -> u64 {
    let loads = loads.clone();
    let load = move || loads.slowly(Duration::from_millis(100));
    *cache.refresh_in_background(&1, load).await.unwrap()
}

/// Both have it, and it is stale.
async fn both_are_stale(pair: &[Cache<u64>; 2], loads: &Loads) {
    for cache in pair.iter().chain(pair) {
        assert_eq!(get(cache, loads).await, 1);
    }
    until("it is stale", async || {
        pair[0].get(&1).await.is_none_or(|found| found.is_stale())
    })
    .await;
}

fn counted(pair: &[Cache<u64>; 2]) -> u64 {
    requests(&pair.each_ref().map(Cache::stats))
}

fn leases(server: &Server) -> usize {
    let keys: Vec<String> = redis::from_redis_value(server.ask(&["KEYS", "lease:*"])).unwrap();
    keys.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn asy_19_of_two_processes_one_refreshes_in_the_background() {
    let server = Server::start();
    let pair = pair(&server).await;
    let loads = Loads::default();
    both_are_stale(&pair, &loads).await;
    let before = counted(&pair);
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..200 {
        let (cache, loads) = (pair[n % 2].clone(), loads.clone());
        callers.spawn(async move { get(&cache, &loads).await });
    }
    assert!(callers.join_all().await.iter().all(|value| *value == 1));
    assert_eq!(counted(&pair) - before, 200, "a refresh is no request");
    until("both have the new value", async || {
        let mut new = true;
        for cache in &pair {
            // What is known already is looked at, nothing is loaded by that.
            new &= cache.get(&1).await.is_some_and(|value| *value == 2);
        }
        new
    })
    .await;
    assert_eq!(loads.count(), 2);
    until("the lease is given back", async || leases(&server) == 0).await;
}

/// Its process goes on, and another may refresh.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_panics_gives_its_lease_back() {
    let server = Server::start();
    let pair = pair(&server).await;
    let loads = Loads::default();
    both_are_stale(&pair, &loads).await;
    let panics = || async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        std::panic::resume_unwind(Box::new("the loader panicked"));
        #[allow(unreachable_code, reason = "it says what would have been loaded")]
        Ok::<u64, String>(0)
    };
    let before = counted(&pair);
    let stale = pair[0].refresh_in_background(&1, panics).await.unwrap();
    assert_eq!(*stale, 1);
    until("the lease is given back", async || leases(&server) == 0).await;
    assert_eq!(counted(&pair) - before, 1);
    until("the other refreshes", async || {
        get(&pair[1], &loads).await == 2
    })
    .await;
    assert_eq!(loads.count(), 2);
}

/// The runtime that it runs on ends, as when a worker is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_is_cancelled_frees_its_key() {
    let server = Server::start();
    let pair = pair(&server).await;
    let loads = Loads::default();
    both_are_stale(&pair, &loads).await;
    let worker = tokio::runtime::Runtime::new().unwrap();
    let cache = pair[0].clone();
    let never = || std::future::pending::<Result<u64, String>>();
    let stale = worker.spawn(async move { *cache.refresh_in_background(&1, never).await.unwrap() });
    assert_eq!(stale.await.unwrap(), 1);
    until("the refresh has the lease", async || leases(&server) == 1).await;
    worker.shutdown_background();
    // Whoever asks next restarts what was left to do.
    until("one of them refreshes", async || {
        get(&pair[0], &loads).await >= 2 && get(&pair[1], &loads).await >= 2
    })
    .await;
    assert_eq!(loads.count(), 2);
}

/// Polls it once, and drops it.
async fn left(work: impl Future) {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        let _ = work.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalidation_whose_caller_leaves_is_carried_out_all_the_same() {
    let server = Server::start();
    let policy = policy().group("g");
    let pair = [(); 2].map(|()| process(&server.url(), policy.clone()));
    for cache in &pair {
        coherent(cache).await;
    }
    let [a, b] = &pair;
    for round in 0..3 {
        a.insert(&1, 10).await.unwrap();
        until("the other has it", async || b.get(&1).await.is_some()).await;
        match round {
            0 => left(a.invalidate(&1)).await,
            1 => left(a.invalidate_group("g")).await,
            _ => left(a.invalidate_pattern("*")).await,
        }
        assert!(a.get(&1).await.is_none(), "here at once: {round}");
        until("everywhere", async || b.get(&1).await.is_none()).await;
        until("nothing is left to do", async || {
            a.remote_stats().unwrap().pending == (0, 0)
        })
        .await;
        assert!(a.get(&1).await.is_none() && b.get(&1).await.is_none());
    }
}
