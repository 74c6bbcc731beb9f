//! What an operator says by the environment, in typed caches.

use crate::support::Loads;
use cache_core::{
    Cache, Config, Policy,
    policy::{hours, minutes, seconds},
    remote::{Fake, Remote},
};
use std::sync::Arc;

fn config(vars: &[(&str, &str)]) -> Config {
    Config::from_vars(vars.iter().copied()).unwrap()
}

fn cache(config: &Config, policy: Policy) -> Cache<u64> {
    let builder = Cache::builder("it").policy(policy);
    builder.from_config(config).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_lifetime_of_a_class_goes_before_the_codes_and_the_default_behind() {
    let config = config(&[("CACHE_TTL_SESSION", "10"), ("CACHE_TTL_DEFAULT", "20")]);
    let session = cache(&config, Policy::ttl(hours(1)).class("session"));
    let named = cache(&config, Policy::ttl(seconds(30)).class("other"));
    let unnamed = cache(&config, Policy::default());
    let of_session = unnamed
        .with_policy(Policy::ttl(hours(1)).class("Session"))
        .unwrap();
    for (cache, key, lifetime) in [
        (&session, 1, 10),
        (&named, 1, 30),
        (&unnamed, 1, 20),
        (&of_session, 2, 10),
    ] {
        cache.insert(&key, 7).await.unwrap();
        tokio::time::advance(seconds(lifetime) - std::time::Duration::from_millis(1)).await;
        assert!(cache.get(&key).await.is_some(), "{lifetime}");
        tokio::time::advance(std::time::Duration::from_millis(1)).await;
        assert!(cache.get(&key).await.is_none(), "{lifetime}");
    }
}

#[test]
fn a_memory_too_small_for_what_the_code_says_is_refused_by_the_name_of_its_variable() {
    let config = config(&[("CACHE_MEMORY_SIZE", "8KiB")]);
    let builder = Cache::<u64>::builder("it").max_entry(4096);
    let error = builder.from_config(&config).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "max_entry is 4096 bytes; accepted is 1 to 2048, a quarter of the capacity, which is 8192 by CACHE_MEMORY_SIZE"
    );
    let builder = Cache::<u64>::builder("it").max_entry(4096).capacity(8192);
    let error = builder.build().unwrap_err();
    assert!(!error.to_string().contains("CACHE_"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn it_makes_no_difference_when_the_environment_comes_to_the_code() {
    let config = config(&[
        ("CACHE_STALE_IF_ERROR", "60"),
        ("CACHE_MEMORY_SIZE", "4096"),
    ]);
    let policy = || Policy::ttl(seconds(1)).stale_if_error(seconds(0));
    let before: Cache<u64> = Cache::builder("it")
        .from_config(&config)
        .policy(policy())
        .capacity(1 << 30)
        .build()
        .unwrap();
    let behind: Cache<u64> = Cache::builder("it")
        .policy(policy())
        .capacity(1 << 30)
        .from_config(&config)
        .build()
        .unwrap();
    for cache in [before, behind] {
        cache.insert(&0, 1).await.unwrap();
        tokio::time::advance(seconds(30)).await;
        let failed = cache.get_or_load(&0, async || Err::<u64, _>("away")).await;
        assert_eq!(*failed.unwrap(), 1, "stale, by the environment");
        for key in 1..100 {
            cache.insert(&key, 1).await.unwrap();
        }
        assert!(cache.stats().bytes <= 4096, "{:?}", cache.stats());
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn it_makes_no_difference_when_a_shared_tier_comes_to_a_cache_that_weighs() {
    let config = config(&[("CACHE_URL", "redis://127.0.0.1:1")]);
    let builder = || Cache::<String>::builder("it");
    for builder in [
        builder().weigh(String::len).from_config(&config),
        builder().from_config(&config).weigh(String::len),
    ] {
        let cache = builder.build().unwrap();
        let value = "x".repeat(1000);
        cache.insert(&1, value).await.unwrap();
        assert!(cache.stats().bytes > 1000 && cache.remote_stats().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn disabled_each_call_loads_for_itself_and_nothing_is_kept() {
    let config = config(&[("CACHE_ENABLED", "false")]);
    let cache = cache(&config, Policy::ttl(hours(1)));
    assert!(!cache.is_enabled());
    let loads = Loads::default();
    let call = || cache.get_or_load(&1, || loads.clone().load());
    let (one, other) = tokio::join!(call(), call());
    assert_ne!(*one.unwrap(), *other.unwrap(), "nobody waits for another");
    assert_eq!(loads.count(), 2);
    assert_eq!(*cache.insert(&1, 9).await.unwrap(), 9);
    assert!(cache.get(&1).await.is_none());
    assert_eq!(cache.get_many(&[1, 2]).await.len(), 2);
    // A failure is nobody else's, and not remembered.
    let failed = cache.get_or_load(&1, async || Err::<u64, _>("away")).await;
    assert!(failed.unwrap_err().is_load());
    let behind = loads.clone();
    cache
        .refresh_in_background(&1, move || async move { behind.load().await })
        .await
        .unwrap();
    assert_eq!(loads.count(), 3);
    let stats = cache.stats();
    assert_eq!(
        (stats.entries, stats.flights, stats.hits, stats.misses),
        (0, 0, 0, 0)
    );
    assert_eq!((stats.loads, stats.bypasses), (4, 7));
}

#[tokio::test(start_paused = true)]
async fn without_memory_values_are_asked_of_the_remote_tier_each_time() {
    let remote = Arc::new(Fake::new());
    let build = |memory: bool| {
        let builder = Cache::builder("it").policy(Policy::ttl(minutes(5)));
        let builder = builder.remote(Arc::new(remote.another()) as Arc<dyn Remote>);
        let builder = if memory {
            builder
        } else {
            builder.without_memory()
        };
        builder.build().unwrap()
    };
    let (with, without): (Cache<u64>, Cache<u64>) = (build(true), build(false));
    let loads = Loads::default();
    assert_eq!(
        *without
            .get_or_load(&1, || loads.clone().load())
            .await
            .unwrap(),
        1
    );
    let served = remote.served();
    for _ in 0..3 {
        assert_eq!(
            *without
                .get_or_load(&1, || loads.clone().load())
                .await
                .unwrap(),
            1
        );
        assert_eq!(*without.get(&1).await.unwrap(), 1);
    }
    let stats = without.stats();
    assert_eq!((loads.count(), stats.entries, stats.evictions), (1, 0, 0));
    assert!(remote.served() >= served + 6, "each look-up asks");
    assert_eq!(
        *with.get_or_load(&1, || loads.clone().load()).await.unwrap(),
        1
    );
    assert_eq!(with.stats().entries, 1);
    // What another process changes is seen at once.
    with.insert(&1, 8).await.unwrap();
    assert_eq!(*without.get(&1).await.unwrap(), 8);
    // One load at a time for each key, in one process, as ever.
    let call = || without.get_or_load(&2, || loads.clone().load());
    let (one, other) = tokio::join!(call(), call());
    assert_eq!((*one.unwrap(), *other.unwrap()), (2, 2));
}

#[test]
fn without_memory_there_must_be_a_remote_tier() {
    let builder: cache_core::CacheBuilder<u64> = Cache::builder("it").without_memory();
    let error = builder.build().unwrap_err();
    assert!(error.is_config() && error.to_string().contains("without_memory"));
}

#[tokio::test(start_paused = true)]
async fn a_type_of_memory_leaves_the_codes_remote_tier_alone() {
    let remote = Arc::new(Fake::new());
    for (vars, shares) in [
        (&[][..], true),
        (&[("CACHE_TYPE", "memory")], false),
        (&[("CACHE_ENABLED", "0")], false),
    ] {
        let builder = Cache::builder("it").remote(Arc::clone(&remote) as Arc<dyn Remote>);
        let cache: Cache<u64> = builder.from_config(&config(vars)).build().unwrap();
        assert_eq!(cache.remote_stats().is_some(), shares, "{vars:?}");
    }
}

#[test]
fn the_environment_itself_is_read() {
    // That of the test runner has none of our variables, or the suite could not run with defaults.
    let cache: Cache<u64> = Cache::builder("it").from_env().unwrap().build().unwrap();
    assert!(cache.is_enabled() && cache.remote_stats().is_none());
}
