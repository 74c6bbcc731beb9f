//! Settings that cannot work are refused when the cache is built, by name.

use cache_core::{
    Cache, CacheBuilder, Error, Policy,
    policy::{minutes, seconds},
};
use std::time::Duration;

type Setting = fn(CacheBuilder<u64>) -> CacheBuilder<u64>;

fn refused(name: &str, set: Setting) -> Error {
    set(Cache::builder(name)).build().unwrap_err()
}

#[test]
fn every_impossible_setting_is_named_with_what_is_accepted() {
    let cases: [(&str, Setting, &str, &str); 14] = [
        ("", |b| b, "name", "one character or more"),
        (
            "it",
            |b| b.capacity(0),
            "capacity is 0 bytes",
            "4096 or more",
        ),
        (
            "it",
            |b| b.capacity(4095),
            "capacity is 4095 bytes",
            "4096 or more",
        ),
        (
            "it",
            |b| b.capacity(8192).max_entry(2049),
            "max_entry is 2049",
            "1 to 2048",
        ),
        (
            "it",
            |b| b.max_entry(0),
            "max_entry is 0",
            "a quarter of the capacity",
        ),
        (
            "it",
            |b| b.policy(Policy::default().jitter(1.5)),
            "jitter is 1.5",
            "0 to 1",
        ),
        (
            "it",
            |b| b.policy(Policy::default().jitter(f64::NAN)),
            "jitter is NaN",
            "0 to 1",
        ),
        (
            "it",
            |b| b.policy(Policy::default().early_refresh(-1.0)),
            "early_refresh",
            "0 to 100",
        ),
        (
            "it",
            |b| b.policy(Policy::default().max_size(0)),
            "max_size is 0",
            "1 or more",
        ),
        (
            "it",
            |b| b.policy(Policy::ttl(Duration::ZERO).stale_while_revalidate(seconds(1))),
            "stale window",
            "a ttl above 0",
        ),
        (
            "it",
            |b| b.policy(Policy::ttl(Duration::ZERO).stale_if_error(seconds(1))),
            "stale window",
            "a ttl above 0",
        ),
        (
            "it",
            |b| b.policy(Policy::default().work_deadline(Duration::ZERO)),
            "work_deadline is 0",
            "above 0",
        ),
        (
            "it",
            |b| b.policy(Policy::default().wait_limit(Duration::ZERO)),
            "wait_limit is 0",
            "above 0",
        ),
        (
            "it",
            |b| b.policy(Policy::default().failure_pause(seconds(2), seconds(1))),
            "failure_pause starts at 2s",
            "at most the longest",
        ),
    ];
    for (name, set, named, accepted) in cases {
        let error = refused(name, set);
        assert!(error.is_config());
        let text = error.to_string();
        assert!(text.contains(named) && text.contains(accepted), "{text}");
        assert!(text.contains("accepted is"), "{text}");
    }
}

#[test]
fn a_handle_with_an_impossible_policy_is_refused_too() {
    let cache: Cache<u64> = Cache::builder("it").build().unwrap();
    let error = cache
        .with_policy(Policy::default().jitter(2.0))
        .unwrap_err();
    assert!(
        error.is_config() && error.to_string().contains("jitter is 2"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn cor_05_settings_at_their_extremes_work() {
    let extreme = Policy::ttl(Duration::MAX)
        .stale_while_revalidate(Duration::MAX)
        .stale_if_error(Duration::MAX)
        .negative_ttl(Duration::MAX)
        .jitter(1.0)
        .early_refresh(100.0)
        .max_size(usize::MAX)
        .work_deadline(Duration::MAX)
        .wait_limit(Duration::MAX)
        .failure_pause(Duration::MAX, Duration::MAX);
    assert!(
        extreme.validate().is_err(),
        "the first pause is not cut, the longest is a year"
    );
    let policy = extreme.failure_pause(Duration::ZERO, Duration::MAX);
    for capacity in [4096, u64::MAX] {
        let cache: Cache<u64> = Cache::builder("it")
            .capacity(capacity)
            .policy(policy.clone())
            .build()
            .unwrap();
        for _ in 0..3 {
            let load = async || Ok::<_, Error>(1);
            assert_eq!(*cache.get_or_load(&1, load).await.unwrap(), 1);
            tokio::time::advance(minutes(1)).await;
        }
        let fail = async || Err::<u64, _>("down");
        cache.get_or_load(&2, fail).await.unwrap_err();
        assert_eq!(cache.stats().flights, 0);
    }
    let heavy: Cache<u64> = Cache::builder("it").weigh(|_| usize::MAX).build().unwrap();
    heavy.insert(&1, 1).await.unwrap();
    assert_eq!(heavy.stats().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn cor_05_a_lifetime_of_a_nanosecond_ends_after_it() {
    let policy = Policy::ttl(Duration::from_nanos(1));
    let cache: Cache<u64> = Cache::builder("it").policy(policy).build().unwrap();
    cache.insert(&1, 1).await.unwrap();
    assert!(cache.get(&1).await.is_some());
    tokio::time::advance(Duration::from_nanos(1)).await;
    assert!(cache.get(&1).await.is_none());
}
