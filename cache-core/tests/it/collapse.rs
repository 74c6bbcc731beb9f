//! One load per key, whatever becomes of who leads it.

use crate::support::{Down, Loads, asked, cache, cache_of, panic_quietly, polled, settled, yields};
use cache_core::{
    Cache, Error, Policy,
    policy::{minutes, seconds},
};
use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{sync::Notify, task::JoinSet, time::Instant};

/// Spawns callers of one key and returns when all of them have asked.
async fn callers<F, Fut>(cache: &Cache<u64>, count: usize, load: F) -> JoinSet<Result<u64, Error>>
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<u64, Down>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let before = cache.stats();
    for _ in 0..count {
        let (cache, load) = (cache.clone(), load.clone());
        tasks.spawn(async move { cache.get_or_load(&1, load).await.map(|value| *value) });
    }
    asked(
        cache,
        before.hits + before.stale + before.misses + count as u64,
    )
    .await;
    tasks
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_callers_of_a_cold_key_share_one_load() {
    let (cache, loads) = (cache(), Loads::default());
    let load = {
        let loads = loads.clone();
        move || {
            let loads = loads.clone();
            async move {
                tokio::time::sleep(seconds(1)).await;
                loads.load().await
            }
        }
    };
    let answers = callers(&cache, 10_000, load).await.join_all().await;
    assert!(answers.iter().all(|answer| *answer.as_ref().unwrap() == 1));
    assert_eq!(answers.len(), 10_000);
    let stats = cache.stats();
    assert_eq!((loads.count(), stats.loads, stats.stored), (1, 1, 1));
    assert_eq!((stats.misses, stats.collapsed), (10_000, 9_999));
    settled(&cache);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_on_four_threads_share_one_load() {
    for _ in 0..20 {
        let (cache, loads) = (cache(), Loads::default());
        let load = {
            let loads = loads.clone();
            move || loads.clone().load()
        };
        let answers = callers(&cache, 1_000, load).await.join_all().await;
        assert!(answers.iter().all(|answer| *answer.as_ref().unwrap() == 1));
        assert_eq!(loads.count(), 1);
        settled(&cache);
    }
}

#[tokio::test(start_paused = true)]
async fn asy_01_a_leader_dropped_at_any_poll_costs_one_load_more() {
    for polls in 0.. {
        let (cache, loads) = (cache(), Loads::default());
        let load = {
            let loads = loads.clone();
            move || {
                let loads = loads.clone();
                async move {
                    let number = loads.begin();
                    yields(6).await;
                    Ok::<_, Down>(number)
                }
            }
        };
        let mut leader = Box::pin(cache.get_or_load(&1, load.clone()));
        assert!(polled(leader.as_mut(), 1).await.is_none());
        let followers = callers(&cache, 100, load).await;
        let done = polled(leader.as_mut(), polls).await;
        drop(leader);
        let answers = followers.join_all().await;
        assert!(answers.iter().all(Result::is_ok), "dropped at poll {polls}");
        assert_eq!(
            loads.count(),
            if done.is_some() { 1 } else { 2 },
            "dropped at poll {polls}"
        );
        settled(&cache);
        if done.is_some() {
            assert!(polls > 3, "the loader yields several times");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn asy_01_a_follower_dropped_at_any_poll_strands_nobody() {
    for leader_polls in 1..6 {
        for polls in 0..6 {
            let (cache, loads) = (cache(), Loads::default());
            let load = || loads.clone().load();
            let mut leader = Box::pin(cache.get_or_load(&1, load));
            assert!(polled(leader.as_mut(), 1).await.is_none());
            let mut leaving = Box::pin(cache.get_or_load(&1, load));
            let mut staying = pin!(cache.get_or_load(&1, load));
            assert!(polled(leaving.as_mut(), 1).await.is_none());
            assert!(polled(staying.as_mut(), 1).await.is_none());
            polled(leader.as_mut(), leader_polls).await;
            drop(leader);
            polled(leaving.as_mut(), polls).await;
            drop(leaving);
            staying.await.unwrap();
            assert!(loads.count() <= 3, "two left");
            settled(&cache);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_was_passed_on_lasts_the_whole_deadline() {
    let policy = Policy::default()
        .work_deadline(seconds(30))
        .wait_limit(minutes(2));
    let (cache, loads) = (cache_of(policy), Loads::default());
    let load = {
        let loads = loads.clone();
        move || {
            let loads = loads.clone();
            async move {
                let number = loads.begin();
                let takes = if number == 1 { minutes(1) } else { seconds(20) };
                tokio::time::sleep(takes).await;
                Ok(number)
            }
        }
    };
    let mut leader = callers(&cache, 1, load.clone()).await;
    let followers = callers(&cache, 50, load).await;
    tokio::time::sleep(seconds(29)).await;
    leader.abort_all();
    assert!(
        leader
            .join_next()
            .await
            .unwrap()
            .unwrap_err()
            .is_cancelled()
    );
    let answers = followers.join_all().await;
    assert!(answers.iter().all(|answer| *answer.as_ref().unwrap() == 2));
    assert_eq!(
        loads.count(),
        2,
        "the second leader is not overtaken a second after it began"
    );
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_03_a_leader_that_panics_costs_one_load_more() {
    let (cache, loads) = (cache(), Loads::default());
    let load = {
        let loads = loads.clone();
        move || {
            let loads = loads.clone();
            async move {
                let number = loads.begin();
                yields(3).await;
                if number == 1 {
                    panic_quietly();
                }
                Ok(number)
            }
        }
    };
    let mut tasks = callers(&cache, 100, load).await;
    let mut panicked = 0;
    while let Some(task) = tasks.join_next().await {
        match task {
            Ok(answer) => assert_eq!(answer.unwrap(), 2),
            Err(error) => panicked += usize::from(error.is_panic()),
        }
    }
    assert_eq!((panicked, loads.count()), (1, 2));
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_03_a_loader_that_always_panics_is_called_twice_and_the_others_get_an_error() {
    let (cache, loads) = (cache(), Loads::default());
    let load = {
        let loads = loads.clone();
        move || {
            let loads = loads.clone();
            async move {
                loads.begin();
                yields(3).await;
                panic_quietly()
            }
        }
    };
    let mut tasks = callers(&cache, 100, load).await;
    let (mut panicked, mut told) = (0, 0);
    while let Some(task) = tasks.join_next().await {
        match task {
            Ok(answer) => told += usize::from(answer.unwrap_err().is_load()),
            Err(error) => panicked += usize::from(error.is_panic()),
        }
    }
    assert_eq!((panicked, told, loads.count()), (2, 98, 2));
    settled(&cache);
    let after = cache
        .get_or_load(&1, || async { Ok::<_, Down>(7) })
        .await
        .unwrap();
    assert_eq!(*after, 7, "nothing is poisoned");
}

#[tokio::test(start_paused = true)]
async fn asy_05_a_failure_is_shared_and_answers_until_its_pause_is_over() {
    let policy = Policy::default().failure_pause(Duration::from_millis(100), seconds(1));
    let (cache, loads) = (cache_of(policy), Loads::default());
    let fail = {
        let loads = loads.clone();
        move || loads.clone().fail()
    };
    let answers = callers(&cache, 1_000, fail.clone()).await.join_all().await;
    assert_eq!((answers.len(), loads.count()), (1_000, 1));
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(error.is_load());
        assert_eq!(error.downcast_ref::<Down>(), Some(&Down(1)));
    }
    // 100 ms, then twice as long each time, up to a second.
    for (failures, pause) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (6, 1000)] {
        assert_eq!(loads.count(), failures);
        tokio::time::advance(Duration::from_millis(pause - 1)).await;
        let error = cache.get_or_load(&1, fail.clone()).await.unwrap_err();
        assert_eq!(
            error.downcast_ref::<Down>(),
            Some(&Down(failures)),
            "within the pause"
        );
        assert_eq!(loads.count(), failures);
        tokio::time::advance(Duration::from_millis(1)).await;
        let error = cache.get_or_load(&1, fail.clone()).await.unwrap_err();
        assert_eq!(
            error.downcast_ref::<Down>(),
            Some(&Down(failures + 1)),
            "after the pause"
        );
    }
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_the_row_of_failures() {
    let policy = Policy::ttl(seconds(1)).failure_pause(Duration::from_millis(100), seconds(9));
    let (cache, loads) = (cache_of(policy), Loads::default());
    let fail = || loads.clone().fail();
    for _ in 0..4 {
        cache.get_or_load(&1, fail).await.unwrap_err();
        tokio::time::advance(seconds(9)).await;
    }
    cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    tokio::time::advance(seconds(2)).await;
    cache.get_or_load(&1, fail).await.unwrap_err();
    assert_eq!(loads.count(), 6);
    tokio::time::advance(Duration::from_millis(100)).await;
    cache.get_or_load(&1, fail).await.unwrap_err();
    assert_eq!(loads.count(), 7, "the pause is the first again");
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.load_failures), (7, 6));
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_zero_remembers_nothing() {
    let policy = Policy::default().failure_pause(Duration::ZERO, Duration::ZERO);
    let (cache, loads) = (cache_of(policy), Loads::default());
    for _ in 0..5 {
        cache
            .get_or_load(&1, || loads.clone().fail())
            .await
            .unwrap_err();
    }
    assert_eq!(loads.count(), 5);
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_07_a_follower_waits_no_longer_than_its_limit() {
    let policy = Policy::default()
        .work_deadline(minutes(2))
        .wait_limit(seconds(1));
    let (cache, loads) = (cache_of(policy), Loads::default());
    let load = {
        let loads = loads.clone();
        move || {
            let loads = loads.clone();
            async move {
                tokio::time::sleep(seconds(30)).await;
                loads.load().await
            }
        }
    };
    let leader = callers(&cache, 1, load.clone()).await;
    let began = Instant::now();
    let followers = callers(&cache, 100, load).await.join_all().await;
    assert!(began.elapsed() < seconds(2), "{:?}", began.elapsed());
    assert!(
        followers
            .iter()
            .all(|answer| answer.as_ref().unwrap_err().is_timeout())
    );
    assert_eq!(leader.join_all().await.pop().unwrap().unwrap(), 1);
    assert_eq!(loads.count(), 1);
    settled(&cache);
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_past_its_deadline_is_dropped_and_its_failure_shared() {
    let policy = Policy::default()
        .work_deadline(seconds(5))
        .wait_limit(minutes(1));
    let (cache, loads) = (cache_of(policy), Loads::default());
    let dropped = Arc::new(AtomicBool::new(false));
    let load = {
        let (loads, dropped) = (loads.clone(), Arc::clone(&dropped));
        move || {
            let guard = SetOnDrop(Arc::clone(&dropped));
            loads.begin();
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        }
    };
    let began = Instant::now();
    let answers = callers(&cache, 100, load).await.join_all().await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().unwrap_err().is_timeout())
    );
    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(
        loads.count(),
        1,
        "the followers share the failure of a leader that is alive"
    );
    assert!(began.elapsed() < seconds(6), "{:?}", began.elapsed());
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_wakes_at_the_deadline_before_the_leader_does_not_overtake_it() {
    let policy = Policy::default()
        .work_deadline(seconds(5))
        .wait_limit(minutes(1));
    let (cache, loads) = (cache_of(policy), Loads::default());
    let hang = {
        let loads = loads.clone();
        move || {
            loads.begin();
            std::future::pending()
        }
    };
    let leader = callers(&cache, 1, hang).await;
    // This task is the one the runtime polls first.
    let error = cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap_err();
    assert!(error.is_timeout());
    assert!(leader.join_all().await.iter().all(Result::is_err));
    assert_eq!(loads.count(), 1);
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_leader_nobody_polls_is_overtaken_and_its_late_result_refused() {
    let policy = Policy::default()
        .work_deadline(seconds(5))
        .wait_limit(minutes(1));
    let (cache, loads) = (cache_of(policy), Loads::default());
    let gate = Notify::new();
    let slow = || async {
        let number = loads.begin();
        gate.notified().await;
        Ok::<_, Down>(number)
    };
    let mut held = pin!(cache.get_or_load(&1, slow));
    assert!(polled(held.as_mut(), 1).await.is_none());
    let quick = {
        let loads = loads.clone();
        move || loads.clone().load()
    };
    let began = Instant::now();
    let answers = callers(&cache, 100, quick).await.join_all().await;
    assert!(answers.iter().all(|answer| *answer.as_ref().unwrap() == 2));
    assert!(
        (seconds(5)..seconds(6)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    gate.notify_one();
    assert_eq!(*held.await.unwrap(), 1, "its own caller gets it");
    assert_eq!(*cache.get(&1).await.unwrap(), 2, "the cache does not");
    assert_eq!((loads.count(), cache.stats().refused), (2, 1));
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_the_deadline_of_a_leader_nobody_polls_does_not_wait() {
    let policy = Policy::default().work_deadline(seconds(5));
    let (cache, loads) = (cache_of(policy), Loads::default());
    let mut held = Box::pin(cache.get_or_load(&1, || async {
        loads.begin();
        std::future::pending::<Result<u64, Down>>().await
    }));
    assert!(polled(held.as_mut(), 1).await.is_none());
    tokio::time::advance(seconds(6)).await;
    let began = Instant::now();
    assert_eq!(
        *cache
            .get_or_load(&1, || loads.clone().load())
            .await
            .unwrap(),
        2
    );
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop(held);
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_13_a_loader_that_asks_for_its_own_key_is_told_so() {
    let (cache, loads) = (cache(), Loads::default());
    let began = Instant::now();
    let inner = || async {
        loads.begin();
        cache
            .get_or_load(&1, || loads.clone().load())
            .await
            .map(|value| *value)
    };
    let error = cache.get_or_load(&1, inner).await.unwrap_err();
    assert!(error.is_load());
    assert!(error.downcast_ref::<Error>().unwrap().is_reentrant());
    assert_eq!((loads.count(), began.elapsed()), (1, Duration::ZERO));
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_13_a_loader_that_asks_for_its_own_key_before_it_waits_is_told_so_as_well() {
    let cache = cache();
    let ask = || cache.get_or_load_optional(&1, || async { Ok::<_, Down>(Some(0)) });
    let load = || {
        // As one that blocks its thread until it has an answer.
        let polled = pin!(ask()).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Err(error)) = polled else {
            panic!("it would wait for itself");
        };
        assert!(error.is_reentrant());
        async { Ok::<_, Down>(Some(1)) }
    };
    let value = cache.get_or_load_optional(&1, load).await.unwrap();
    assert_eq!(value.map(|value| *value), Some(1));
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_13_loaders_may_ask_for_other_keys_and_circles_are_noticed() {
    let cache = cache();
    let leaf = || cache.get_or_load(&3, || async { Ok::<_, Down>(3) });
    let middle = || async { Ok::<_, Error>(*leaf().await? + 20) };
    let outer = || async { Ok::<_, Error>(*cache.get_or_load(&2, middle).await? + 100) };
    assert_eq!(*cache.get_or_load(&1, outer).await.unwrap(), 123);

    let back = || cache.get_or_load(&11, || async { Ok::<_, Down>(0) });
    let far = || async { Ok::<_, Error>(*back().await?) };
    let near = || async { Ok::<_, Error>(*cache.get_or_load(&12, far).await?) };
    let error = cache.get_or_load(&11, near).await.unwrap_err();
    let mut cause: &(dyn std::error::Error + 'static) = &error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    assert!(
        cause.downcast_ref::<Error>().unwrap().is_reentrant(),
        "{error:?}"
    );
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_13_the_same_key_of_another_cache_is_another_key() {
    let (outer, inner) = (cache(), cache());
    let load =
        || async { Ok::<_, Error>(*inner.get_or_load(&1, || async { Ok::<_, Down>(5) }).await?) };
    assert_eq!(*outer.get_or_load(&1, load).await.unwrap(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_loader_may_borrow_and_the_future_is_send() {
    fn is_send<T: Send>(work: T) -> T {
        work
    }
    let (cache, name) = (
        Cache::<String>::builder("it").build().unwrap(),
        "Ada".to_owned(),
    );
    let load = || async { Ok::<_, Down>(name.clone()) };
    assert_eq!(
        *is_send(cache.get_or_load("user", load)).await.unwrap(),
        "Ada"
    );
}

#[tokio::test(start_paused = true)]
async fn key_13_keys_whose_hashes_collide_have_values_and_flights_of_their_own() {
    let cache: Cache<u64> = Cache::builder("it").colliding_hashes().build().unwrap();
    let loads = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for key in 0..100_u64 {
        for _ in 0..3 {
            let (cache, loads) = (cache.clone(), Arc::clone(&loads));
            tasks.spawn(async move {
                let load = || async {
                    loads.fetch_add(1, Ordering::SeqCst);
                    yields(3).await;
                    Ok::<_, Down>(key)
                };
                assert_eq!(*cache.get_or_load(&key, load).await.unwrap(), key);
            });
        }
    }
    tasks.join_all().await;
    assert_eq!(loads.load(Ordering::SeqCst), 100);
    for key in 0..100_u64 {
        assert_eq!(*cache.get(&key).await.unwrap(), key);
    }
    cache.invalidate(&7).await;
    assert!(cache.get(&7).await.is_none());
    assert!(cache.get(&8).await.is_some());
    settled(&cache);
}
