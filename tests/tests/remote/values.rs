//! What is stored, under which names, and how it comes back.

use crate::support::{Loads, coherent, policy, process, redis, settings, up};
use cache_core::{
    Cache, Policy,
    remote::{Redis, Remote, checks},
};
use std::{sync::Arc, time::Duration};
use tests::redis::Server;

#[tokio::test]
async fn redis_passes_the_checks_of_every_remote_tier() {
    let server = Server::start();
    let remote = redis(&server.url());
    up(&remote).await;
    let remote: Arc<dyn Remote> = Arc::new(remote);
    checks::all(&remote).await;
}

#[tokio::test]
async fn an_operator_reads_the_keys_and_every_key_has_a_time_to_live() {
    let server = Server::start();
    let pause = Duration::from_secs(60);
    let cache = process(
        &server.url(),
        policy().group("team:7").failure_pause(pause, pause),
    );
    coherent(&cache).await;
    let loads = Loads::default();
    cache
        .get_or_load(&(42, "profile"), || loads.clone().load())
        .await
        .unwrap();
    cache.insert(&"a b", 7).await.unwrap();
    let failing = || async { Err::<u64, _>("down") };
    cache.get_or_load(&43, failing).await.unwrap_err();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let keys: Vec<String> = redis::from_redis_value(server.ask(&["KEYS", "*"])).unwrap();
    let expected = [
        "cache:%g:it:team:7",
        "cache:it:42:profile",
        "cache:it:a%20b",
        "lease:{cache:it:43}",
        "lease:{cache:}%born",
    ];
    for key in expected {
        assert!(keys.iter().any(|found| found == key), "{key} in {keys:?}");
        let left: i64 = redis::from_redis_value(server.ask(&["PTTL", key])).unwrap();
        assert!(left > 0, "{key} lives for {left}");
    }
    assert_eq!(keys.len(), expected.len(), "{keys:?}");
}

/// RDS-33: other programs' keys are left alone, and nothing walks or flushes the database.
#[tokio::test]
async fn rds_33_only_keys_of_the_prefix_are_touched() {
    let server = Server::start();
    for key in [
        "it:1",
        "other:it:1",
        "lease:{other:it:1}",
        "cachex",
        "cache",
    ] {
        let _ = server.ask(&["SET", key, "foreign"]);
    }
    let a = Cache::<u64>::builder("it")
        .remote(Arc::new(redis(&server.url())))
        .build()
        .unwrap();
    let other = settings(&server.url()).prefix("app2:");
    let b = Cache::<u64>::builder("it")
        .remote(Arc::new(Redis::with(other).unwrap()))
        .build()
        .unwrap();
    coherent(&a).await;
    coherent(&b).await;
    a.insert(&1, 1).await.unwrap();
    b.insert(&1, 2).await.unwrap();
    a.clear().await;
    assert!(a.get(&1).await.is_none());
    assert_eq!(
        *b.get(&1).await.unwrap(),
        2,
        "another prefix is another service"
    );
    let keys: Vec<String> = redis::from_redis_value(server.ask(&["KEYS", "*"])).unwrap();
    assert_eq!(keys.len(), 6, "{keys:?}");
    let stats: String = redis::from_redis_value(server.ask(&["INFO", "commandstats"])).unwrap();
    for forbidden in ["flushdb", "flushall"] {
        assert!(!stats.contains(&format!("cmdstat_{forbidden}:")), "{stats}");
    }
}

/// ADM-05: two caches may use one name of a group.
#[tokio::test]
async fn adm_05_groups_of_two_caches_do_not_meet() {
    let server = Server::start();
    let remote: Arc<dyn Remote> = Arc::new(redis(&server.url()));
    let of = |name: &str| -> Cache<u64> {
        Cache::builder(name)
            .policy(policy().group("g"))
            .remote(Arc::clone(&remote))
            .build()
            .unwrap()
    };
    let (users, posts) = (of("users"), of("posts"));
    coherent(&users).await;
    users.insert(&1, 1).await.unwrap();
    posts.insert(&1, 1).await.unwrap();
    users.invalidate_group("g").await;
    assert!(users.get(&1).await.is_none());
    assert!(posts.get(&1).await.is_some());
}

/// ADM-03, of a size that a test may have.
#[tokio::test]
async fn a_pattern_walks_in_bounded_batches() {
    let server = Server::start();
    let cache = process(&server.url(), Policy::default());
    coherent(&cache).await;
    let many = (0..5_000_u64).map(|n| ((n % 2, n), n));
    cache.insert_many(many).await.unwrap();
    assert_eq!(cache.invalidate_pattern("1:*").await.unwrap(), 2_500);
    let left: i64 = redis::from_redis_value(server.ask(&["DBSIZE"])).unwrap();
    assert_eq!(left, 2_500);
    assert!(server.info("cmdstat_scan:calls") >= 10);
    assert_eq!(server.info("cmdstat_keys:calls"), 0);
}

/// RDS-18: a large value is refused before it is sent; one that fits is read back whole.
#[tokio::test]
async fn rds_18_large_values_have_a_lane_and_a_limit() {
    let server = Server::start();
    let remote: Arc<dyn Remote> = Arc::new(redis(&server.url()));
    let cache: Cache<String> = Cache::builder("it")
        .remote(Arc::clone(&remote))
        .build()
        .unwrap();
    let other: Cache<String> = Cache::builder("it").remote(remote).build().unwrap();
    crate::support::until("a connection", async || {
        cache.remote_stats().unwrap().health.is_up()
    })
    .await;
    for (key, size) in [(1, 500), (2, 100_000), (3, 1_000_000), (4, 2_000_000)] {
        let value = "x".repeat(size);
        cache
            .get_or_load(&key, || async { Ok::<_, String>(value.clone()) })
            .await
            .unwrap();
        let found = other.get(&key).await;
        assert_eq!(
            found.map(|found| found.len()),
            (size < 1_048_000).then_some(size),
            "{size}"
        );
    }
    assert_eq!(
        cache.remote_stats().unwrap().health.degraded,
        Vec::<String>::new()
    );
}

/// RDS-16 and COR-01: what foreign hands did to a key is a miss.
#[tokio::test]
async fn a_key_of_another_type_or_with_odd_bytes_is_a_miss() {
    let server = Server::start();
    let cache = process(&server.url(), policy());
    coherent(&cache).await;
    let loads = Loads::default();
    let _ = server.ask(&["LPUSH", "cache:it:1", "a", "b"]);
    let _ = server.ask(&["SET", "cache:it:2", "not an entry"]);
    for key in [1, 2] {
        assert!(cache.get(&key).await.is_none());
        let value = cache
            .get_or_load(&key, || loads.clone().load())
            .await
            .unwrap();
        assert_eq!(*value, key);
    }
    assert!(cache.stats().remote_odd >= 1);
    assert_eq!(*cache.get(&2).await.unwrap(), 2);
}

/// RDS-14: the server may forget its scripts at any moment.
#[tokio::test]
async fn rds_14_scripts_that_were_forgotten_are_taught_again() {
    let server = Server::start();
    let (a, b) = (
        process(&server.url(), policy().group("g")),
        process(&server.url(), policy()),
    );
    coherent(&a).await;
    coherent(&b).await;
    let loads = Loads::default();
    for key in 0..20_u64 {
        let _ = server.ask(&["SCRIPT", "FLUSH"]);
        let value = a.get_or_load(&key, || loads.clone().load()).await.unwrap();
        assert_eq!(*value, key + 1);
        assert_eq!(*b.get(&key).await.unwrap(), key + 1, "it was stored");
    }
    assert_eq!(a.stats().remote_failures, 0);
}

/// As after a failover to a server whose clock is behind: entries from before it are ahead of that clock.
#[tokio::test]
async fn an_invalidation_reaches_entries_that_were_born_by_a_clock_ahead() {
    let limit = Duration::from_secs(1);
    let server = Server::start();
    let remote = redis(&server.url());
    up(&remote).await;
    let ahead = remote.now().unwrap().after(Duration::from_secs(60));
    let joined = remote
        .join_groups(&["g"], ahead, limit, limit)
        .await
        .unwrap();
    assert!(
        joined.iter().all(|version| *version > ahead),
        "it is not stored"
    );
    remote.invalidate_group("g", limit).await.unwrap();
    let versions = remote.groups(&["g"], limit).await.unwrap();
    assert!(
        versions.iter().all(|version| *version > Some(ahead)),
        "{versions:?}"
    );
    let now = remote.now().unwrap();
    assert!(now < ahead, "its clock is what it is");
}
