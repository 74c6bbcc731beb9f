//! Stale copies: who gets them, who refreshes, and when neither happens.

use crate::support::{Down, Loads, cache_of, settled, yields};
use cache_core::{
    Cache, Freshness, Policy,
    clock::FixedRandom,
    policy::{minutes, seconds},
};
use std::time::Duration;
use tokio::{task::JoinSet, time::Instant};

fn swr() -> Policy {
    Policy::ttl(seconds(10)).stale_while_revalidate(seconds(20))
}

/// A load that takes a second.
async fn slowly(loads: Loads) -> Result<u64, Down> {
    tokio::time::sleep(seconds(1)).await;
    loads.load().await
}

#[tokio::test(start_paused = true)]
async fn asy_19_one_caller_refreshes_and_waits_while_the_others_get_the_stale_copy() {
    let (cache, loads) = (cache_of(swr()), Loads::default());
    cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    tokio::time::advance(seconds(15)).await;

    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (cache, loads) = (cache.clone(), loads.clone());
        tasks.spawn(async move {
            let value = cache.get_or_load(&1, || slowly(loads)).await.unwrap();
            (*value, value.is_stale(), began.elapsed())
        });
    }
    let answers = tasks.join_all().await;
    let refreshed = answers
        .iter()
        .filter(|(value, stale, _)| *value == 2 && !stale)
        .count();
    let at_once = answers
        .iter()
        .filter(|(value, stale, waited)| *value == 1 && *stale && waited.is_zero())
        .count();
    assert_eq!((refreshed, at_once, loads.count()), (1, 99, 2));
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.stale), (1, 100));
    assert!(!cache.get(&1).await.unwrap().is_stale());
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_in_the_background_lets_nobody_wait_and_survives_its_caller() {
    let (cache, loads) = (cache_of(swr()), Loads::default());
    let refresh = || {
        let loads = loads.clone();
        cache.refresh_in_background(&1, move || slowly(loads))
    };
    assert_eq!(
        *refresh().await.unwrap(),
        1,
        "there is nothing stale yet: it loads"
    );
    tokio::time::advance(seconds(15)).await;
    let began = Instant::now();
    for _ in 0..100 {
        let value = refresh().await.unwrap();
        assert!(value.is_stale());
        assert_eq!(*value, 1);
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(cache.stats().flights, 1);
    tokio::time::sleep(seconds(2)).await;
    assert_eq!((*cache.get(&1).await.unwrap(), loads.count()), (2, 2));
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_window_callers_wait_for_one_load() {
    let (cache, loads) = (cache_of(swr()), Loads::default());
    cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    tokio::time::advance(seconds(30)).await;
    assert!(cache.get(&1).await.is_none());
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (cache, loads) = (cache.clone(), loads.clone());
        tasks.spawn(async move { *cache.get_or_load(&1, || slowly(loads)).await.unwrap() });
    }
    assert!(tasks.join_all().await.iter().all(|value| *value == 2));
    assert_eq!(loads.count(), 2);
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_failed_load_is_answered_by_the_stale_copy_within_the_window_only() {
    let policy = Policy::ttl(seconds(10)).stale_if_error(minutes(1));
    let (cache, loads) = (cache_of(policy), Loads::default());
    cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    tokio::time::advance(seconds(11)).await;
    assert!(cache.get(&1).await.is_none(), "it is for failures only");

    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (cache, loads) = (cache.clone(), loads.clone());
        tasks.spawn(async move { *cache.get_or_load(&1, || loads.fail()).await.unwrap() });
    }
    assert!(tasks.join_all().await.iter().all(|value| *value == 1));
    assert_eq!(loads.count(), 2, "the failure is shared");
    let value = cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    assert!(matches!(
        value.freshness(),
        Freshness::Stale { if_error: true, .. }
    ));
    assert_eq!(loads.count(), 2, "no load while the pause lasts");

    tokio::time::advance(minutes(2)).await;
    let error = cache
        .get_or_load(&1, || loads.clone().fail())
        .await
        .unwrap_err();
    assert_eq!(error.downcast_ref::<Down>(), Some(&Down(3)));
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_07_a_follower_that_waited_too_long_gets_the_stale_copy() {
    let policy = Policy::ttl(seconds(10))
        .stale_if_error(minutes(9))
        .wait_limit(seconds(1));
    let (cache, loads) = (cache_of(policy), Loads::default());
    cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    tokio::time::advance(seconds(11)).await;
    let leader = {
        let (cache, loads) = (cache.clone(), loads.clone());
        tokio::spawn(async move {
            let load = || async {
                tokio::time::sleep(seconds(20)).await;
                loads.load().await
            };
            *cache.get_or_load(&1, load).await.unwrap()
        })
    };
    yields(1).await;
    assert_eq!(
        *cache
            .get_or_load(&1, || loads.clone().load())
            .await
            .unwrap(),
        1
    );
    assert_eq!(leader.await.unwrap(), 2);
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_19_a_refresh_that_fails_is_not_tried_again_before_its_pause_is_over() {
    let policy = swr().failure_pause(seconds(2), seconds(2));
    let (cache, loads) = (cache_of(policy), Loads::default());
    cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    tokio::time::advance(seconds(11)).await;
    for _ in 0..50 {
        let value = cache
            .get_or_load(&1, || loads.clone().fail())
            .await
            .unwrap();
        assert_eq!(*value, 1, "also for the one whose refresh failed");
    }
    assert_eq!(loads.count(), 2);
    tokio::time::advance(seconds(2)).await;
    assert_eq!(
        *cache
            .get_or_load(&1, || loads.clone().load())
            .await
            .unwrap(),
        3
    );
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn an_early_refresh_happens_once_and_the_others_are_served() {
    // All but certain: the random number is the least there is.
    let (cache, loads) = (
        cache_of(Policy::ttl(seconds(60)).early_refresh(1.0)),
        Loads::default(),
    );
    cache
        .get_or_load(&1, || slowly(loads.clone()))
        .await
        .unwrap();
    tokio::time::advance(seconds(40)).await;
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (cache, loads) = (cache.clone(), loads.clone());
        tasks.spawn(async move { *cache.get_or_load(&1, || slowly(loads)).await.unwrap() });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|value| **value == 2).count(), 1);
    assert_eq!(answers.iter().filter(|value| **value == 1).count(), 99);
    assert_eq!((loads.count(), cache.stats().hits), (2, 100));
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn without_early_refresh_there_is_none() {
    let (cache, loads) = (cache_of(Policy::ttl(seconds(60))), Loads::default());
    cache
        .get_or_load(&1, || slowly(loads.clone()))
        .await
        .unwrap();
    tokio::time::advance(Duration::from_millis(59_990)).await;
    cache
        .get_or_load(&1, || slowly(loads.clone()))
        .await
        .unwrap();
    assert_eq!(loads.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn there_is_none_is_remembered_for_its_own_time() {
    let policy = Policy::ttl(minutes(5)).negative_ttl(seconds(5));
    let (cache, loads) = (cache_of(policy), Loads::default());
    let none = || {
        let loads = loads.clone();
        async move {
            loads.begin();
            Ok::<_, Down>(None)
        }
    };
    for _ in 0..3 {
        assert!(
            cache
                .get_or_load_optional(&1, none)
                .await
                .unwrap()
                .is_none()
        );
    }
    assert_eq!(loads.count(), 1);
    assert!(cache.get(&1).await.is_none());
    let error = cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap_err();
    assert!(
        error.is_load(),
        "a loader that always yields a value cannot say so otherwise"
    );
    tokio::time::advance(seconds(5)).await;
    assert!(
        cache
            .get_or_load_optional(&1, none)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(loads.count(), 2);
    tokio::time::advance(seconds(5)).await;
    let some = || async { Ok::<_, Down>(Some(7)) };
    assert_eq!(
        *cache.get_or_load_optional(&1, some).await.unwrap().unwrap(),
        7
    );
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn there_is_none_ends_a_stale_copy_also_where_it_is_not_remembered() {
    let cache = cache_of(swr());
    cache.insert(&1, 1).await.unwrap();
    tokio::time::advance(seconds(11)).await;
    let none = || async { Ok::<Option<u64>, Down>(None) };
    assert!(
        cache
            .get_or_load_optional(&1, none)
            .await
            .unwrap()
            .is_none()
    );
    assert!(cache.get(&1).await.is_none());
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_of_zero_stores_nothing_but_still_collapses() {
    let (cache, loads) = (cache_of(Policy::ttl(Duration::ZERO)), Loads::default());
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let (cache, loads) = (cache.clone(), loads.clone());
        tasks.spawn(async move { *cache.get_or_load(&1, || slowly(loads)).await.unwrap() });
    }
    assert!(tasks.join_all().await.iter().all(|value| *value == 1));
    assert_eq!(cache.stats().entries, 0);
    cache
        .get_or_load(&1, || slowly(loads.clone()))
        .await
        .unwrap();
    assert_eq!(loads.count(), 2);
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_lifetimes_over_its_share() {
    let cache: Cache<u64> = Cache::builder("it")
        .policy(Policy::ttl(seconds(100)).jitter(0.5))
        .build()
        .unwrap();
    for key in 0..200_u64 {
        cache.insert(&key, key).await.unwrap();
    }
    let alive = async || {
        let mut alive = 0;
        for key in 0..200_u64 {
            alive += usize::from(cache.get(&key).await.is_some());
        }
        alive
    };
    tokio::time::advance(seconds(49)).await;
    assert_eq!(alive().await, 200);
    tokio::time::advance(seconds(26)).await;
    let half = alive().await;
    assert!((60..140).contains(&half), "{half}");
    tokio::time::advance(seconds(26)).await;
    assert_eq!(alive().await, 0);
}

#[tokio::test(start_paused = true)]
async fn without_jitter_a_lifetime_is_exact() {
    let cache: Cache<u64> = Cache::builder("it")
        .policy(Policy::ttl(seconds(10)))
        .random(FixedRandom(u64::MAX))
        .build()
        .unwrap();
    cache.insert(&1, 1).await.unwrap();
    tokio::time::advance(seconds(10) - Duration::from_nanos(1)).await;
    let value = cache.get(&1).await.unwrap();
    assert_eq!(
        value.freshness(),
        Freshness::Fresh {
            left: Duration::from_nanos(1)
        }
    );
    tokio::time::advance(Duration::from_nanos(1)).await;
    assert!(cache.get(&1).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn asy_19_so_many_refreshes_run_in_the_background_at_a_time() {
    let cache: Cache<u32> = Cache::builder("n")
        .policy(Policy::ttl(seconds(10)).stale_while_revalidate(seconds(600)))
        .max_refreshes(3)
        .build()
        .unwrap();
    let loads = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let ask = |key: u32| {
        let (cache, loads) = (cache.clone(), std::sync::Arc::clone(&loads));
        async move {
            let load = move || async move {
                loads.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                tokio::time::sleep(seconds(1)).await;
                Ok::<_, std::io::Error>(key)
            };
            cache.refresh_in_background(&key, load).await.unwrap()
        }
    };
    for key in 0..10 {
        ask(key).await;
    }
    tokio::time::sleep(seconds(30)).await;
    for key in 0..10 {
        assert!(ask(key).await.is_stale(), "nobody waits");
    }
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(loads.load(std::sync::atomic::Ordering::SeqCst), 10 + 3);
    assert!(ask(9).await.is_stale(), "its place is free again");
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(loads.load(std::sync::atomic::Ordering::SeqCst), 10 + 4);
    assert_eq!(cache.stats().flights, 0);
}
