//! RDS-37: large values over links that are narrow. They need more time than a request has, and are
//! shared all the same.

use crate::support::{Loads, policy, settings, until, up};
use cache_core::{
    Cache,
    remote::{Failure, Redis, Remote, RemoteSettings, Value},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tests::{
    proxy::{Proxy, Way},
    redis::Server,
};

const MIB: usize = 1024 * 1024;
/// Ten times the default, for a busy machine, and less than half of what 5 MiB take.
const BUDGET: Duration = Duration::from_millis(200);
/// 100 Mbit/s, in bytes.
const NARROW: Way = Way::Narrow(12_500_000);

fn remote(url: &str) -> Redis {
    Redis::with(settings(url).max_value(8 * MIB)).unwrap()
}

async fn process(url: &str) -> Cache<String> {
    process_with(url, RemoteSettings::new().budget(BUDGET)).await
}

async fn process_with(url: &str, tier: RemoteSettings) -> Cache<String> {
    let cache = Cache::builder("it")
        .policy(policy())
        .remote(Arc::new(remote(url)))
        .remote_settings(tier)
        .max_entry(8 << 20)
        .capacity(256 << 20)
        .build()
        .unwrap();
    until("coherence", async || {
        cache.remote_stats().unwrap().is_coherent
    })
    .await;
    cache
}

/// 5 MiB at 100 Mbit/s take 420 ms.
#[tokio::test(flavor = "multi_thread")]
async fn rds_37_what_one_process_loads_over_a_narrow_link_another_finds() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let (a, b) = (process(&proxy.url()).await, process(&proxy.url()).await);
    proxy.set(NARROW);
    let loads = Loads::default();
    let load = || async {
        loads.clone().load().await?;
        Ok::<_, String>("x".repeat(5 * MIB))
    };
    a.get_or_load(&1, load).await.unwrap();
    until("it is stored", async || a.stats().remote_stored == 1).await;
    until("a hit", async || {
        b.get(&1).await.is_some_and(|value| value.len() == 5 * MIB)
    })
    .await;
    b.get_or_load(&1, load).await.unwrap();
    assert_eq!(loads.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rds_37_a_large_load_is_shared_while_it_lasts() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let (a, b) = (process(&proxy.url()).await, process(&proxy.url()).await);
    proxy.set(NARROW);
    let loads = Loads::default();
    let load = || async {
        loads.clone().slowly(Duration::from_millis(100)).await?;
        Ok::<_, String>("x".repeat(5 * MIB))
    };
    let (first, second) = tokio::join!(a.get_or_load(&1, load), b.get_or_load(&1, load));
    assert_eq!(
        (first.unwrap().len(), second.unwrap().len()),
        (5 * MIB, 5 * MIB)
    );
    assert_eq!(loads.count(), 1);
}

#[tokio::test]
async fn rds_37_a_large_insert_is_given_the_time_its_bytes_need() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let cache = process(&proxy.url()).await;
    proxy.set(NARROW);
    until("an insert", async || {
        cache.insert(&1, "x".repeat(5 * MIB)).await.is_ok()
    })
    .await;
    let found = crate::support::redis(&server.url());
    up(&found).await;
    let found = found.look(b"it:1", Duration::from_secs(1)).await.unwrap();
    assert!(found.is_some_and(|found| found.bytes.len() > 5 * MIB));
}

/// 7 MiB take 590 ms, and a lease ends sooner unless it is renewed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn rds_37_a_lease_is_kept_until_the_last_byte_has_arrived() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let brief = RemoteSettings::new()
        .budget(BUDGET)
        .lease(Duration::from_millis(400));
    let cache = process_with(&proxy.url(), brief).await;
    proxy.set(NARROW);
    let mut key = 0;
    // Again, where this machine was too busy to renew it in time.
    until("it is stored", async || {
        key += 1;
        let load = || async { Ok::<_, String>("x".repeat(7 * MIB)) };
        cache.get_or_load(&key, load).await.unwrap();
        until("the end", async || {
            cache.remote_stats().unwrap().pending == (0, 0)
        })
        .await;
        cache.stats().remote_stored > 0
    })
    .await;
}

async fn put(remote: &Redis, size: usize) {
    let value = Value {
        bytes: vec![b'x'; size].into(),
        lasting: Duration::from_secs(60),
    };
    let limit = Duration::from_secs(5);
    remote.put_many(&[(b"k", value)], limit).await.unwrap();
}

/// A server that says nothing costs what it costs without large values.
#[tokio::test]
async fn rds_37_of_a_frozen_server_nobody_waits_for_a_large_value() {
    let mut server = Server::start();
    let remote = remote(&server.url());
    up(&remote).await;
    put(&remote, 8 * MIB).await;
    let found = remote.look(b"k", Duration::from_secs(5)).await.unwrap();
    assert_eq!(found.unwrap().bytes.len(), 8 * MIB);
    server.freeze();
    let asked = Instant::now();
    assert_eq!(remote.look(b"k", BUDGET).await, Err(Failure::Late));
    // Its bytes would have been given a second.
    assert!(
        asked.elapsed() < Duration::from_millis(700),
        "{:?}",
        asked.elapsed()
    );
}

/// RDS-04, of the lane that large values have for themselves.
#[tokio::test]
async fn rds_04_a_large_lane_that_is_half_open_is_replaced_alone() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let remote = remote(&proxy.url());
    up(&remote).await;
    put(&remote, MIB).await;
    until("all connections", async || proxy.accepted() == 3).await;
    assert!(remote.look(b"k", Duration::from_secs(5)).await.is_ok());
    // The second that was made: after the small lane, before the link is.
    proxy.set_one(1, Way::BlackHole);
    let mut late = 0;
    until("the value", async || {
        let found = remote.look(b"k", BUDGET).await;
        late += u64::from(found == Err(Failure::Late));
        assert_eq!(
            remote.look(b"small", Duration::from_secs(1)).await,
            Ok(None)
        );
        found.is_ok_and(|found| found.is_some())
    })
    .await;
    assert_eq!(late, 3);
    until("a new lane", async || proxy.accepted() == 4).await;
    assert!(remote.health().is_up());
}
