//! One cache in several processes: each `Cache` here is a process with a link of its own to one store.

use crate::support::{Down, Loads, settled, yields};
use cache_core::{
    Cache, Error, Json, Key, Policy, Store, StoreBuilder,
    policy::{Life, minutes, seconds},
    remote::{Fake, Leasing, Remote, Shared, checks, fake::Fault},
    store::{FlightKey, Join, NewEntry},
};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

/// A process: its cache, and its link.
#[derive(Clone)]
struct Process {
    cache: Cache<u64>,
    link: Fake,
}

fn process(link: Fake, policy: Policy) -> Process {
    let remote: Arc<dyn Remote> = Arc::new(link.clone());
    let cache = Cache::builder("it")
        .policy(policy)
        .remote(remote)
        .build()
        .unwrap();
    link.beat();
    Process { cache, link }
}

fn processes<const N: usize>(policy: &Policy) -> [Process; N] {
    let first = Fake::new();
    std::array::from_fn(|_| process(first.another(), policy.clone()))
}

fn policy() -> Policy {
    Policy::ttl(minutes(5))
}

async fn slowly(loads: Loads) -> Result<u64, Down> {
    let number = loads.begin();
    tokio::time::sleep(seconds(1)).await;
    Ok(number)
}

async fn slowly_fail(loads: Loads) -> Result<u64, Down> {
    let number = loads.begin();
    tokio::time::sleep(seconds(1)).await;
    Err(Down(number))
}

/// The work of the background is done: nothing is left of any load.
async fn rested(process: &Process) {
    for _ in 0..100 {
        let stats = process.cache.remote_stats().unwrap();
        if stats.pending == (0, 0) && process.link.leases() == 0 {
            settled(&process.cache);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!(
        "{:?}, {} leases",
        process.cache.remote_stats(),
        process.link.leases()
    );
}

#[tokio::test(start_paused = true)]
async fn the_fake_passes_the_checks_it_helps_to_write() {
    let remote: Arc<dyn Remote> = Arc::new(Fake::new());
    checks::all(&remote).await;
}

#[tokio::test(start_paused = true)]
async fn what_one_process_loads_another_finds() {
    let [a, b] = processes(&policy());
    let loads = Loads::default();
    assert_eq!(
        *a.cache
            .get_or_load(&1, || loads.clone().load())
            .await
            .unwrap(),
        1
    );
    tokio::time::sleep(seconds(7)).await;
    let found = b
        .cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    assert_eq!((*found, loads.count()), (1, 1));
    let age = found.age().as_millis();
    assert!(
        (6_999..=7_001).contains(&age),
        "it is as old as it is, not {age} ms"
    );
    assert_eq!(b.cache.stats().remote_hits, 1);
    assert_eq!(*b.cache.get(&1).await.unwrap(), 1);
    let stats = b.cache.stats();
    assert_eq!(
        (stats.hits, stats.remote_hits, stats.misses),
        (2, 1, 0),
        "once from there, and by then from memory"
    );
    rested(&a).await;
    rested(&b).await;
}

#[tokio::test(start_paused = true)]
async fn memory_does_not_outlive_what_is_left_in_the_remote_tier() {
    let [a, b] = processes(&Policy::ttl(seconds(10)));
    let loads = Loads::default();
    a.cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    tokio::time::sleep(seconds(9)).await;
    assert!(b.cache.get(&1).await.is_some());
    tokio::time::sleep(Duration::from_millis(1001)).await;
    assert!(b.cache.get(&1).await.is_none());
    assert!(b.cache.in_memory(&1).is_none());
}

async fn callers<F, Fut>(processes: &[Process], each: usize, load: F) -> Vec<Result<u64, Error>>
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<u64, Down>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for process in processes {
        for _ in 0..each {
            let (cache, load) = (process.cache.clone(), load.clone());
            tasks.spawn(async move { cache.get_or_load(&1, load).await.map(|value| *value) });
        }
    }
    tasks.join_all().await
}

#[tokio::test(start_paused = true)]
async fn three_processes_with_a_thousand_callers_each_load_once() {
    let fleet: [Process; 3] = processes(&policy());
    for each in &fleet {
        each.link.set_latency(Duration::from_millis(1));
    }
    let loads = Loads::default();
    let (counted, began) = (loads.clone(), Instant::now());
    let answers = callers(&fleet, 1000, move || slowly(counted.clone())).await;
    assert!(answers.iter().all(|answer| *answer.as_ref().unwrap() == 1));
    assert_eq!((answers.len(), loads.count()), (3000, 1));
    assert!(
        began.elapsed() < Duration::from_millis(1100),
        "{:?}",
        began.elapsed()
    );
    for each in &fleet {
        rested(each).await;
    }
}

#[tokio::test(start_paused = true)]
async fn three_processes_share_one_failure_and_its_pause() {
    let fleet: [Process; 3] = processes(&policy().failure_pause(seconds(4), seconds(4)));
    let loads = Loads::default();
    let (counted, began) = (loads.clone(), Instant::now());
    let answers = callers(&fleet, 1000, move || slowly_fail(counted.clone())).await;
    for answer in &answers {
        let error = answer.as_ref().unwrap_err();
        assert!(error.is_load());
        let source = std::error::Error::source(error).unwrap();
        assert_eq!(source.to_string(), "down for the 1. time");
    }
    assert_eq!((answers.len(), loads.count()), (3000, 1));
    assert!(
        began.elapsed() < Duration::from_millis(1100),
        "{:?}",
        began.elapsed()
    );
    let later = fleet[2]
        .cache
        .get_or_load(&1, || loads.clone().load())
        .await;
    assert!(later.unwrap_err().is_load(), "the pause is everybody's");
    tokio::time::sleep(seconds(4)).await;
    assert_eq!(
        *fleet[2]
            .cache
            .get_or_load(&1, || loads.clone().load())
            .await
            .unwrap(),
        2
    );
}

/// Pauses too short to be heard of: who waits gets the failure, who comes after it does not.
#[tokio::test(start_paused = true)]
async fn a_failure_that_nobody_remembers_is_shared_by_who_waits_for_it() {
    for pause in [Duration::ZERO, Duration::from_micros(1)] {
        let fleet: [Process; 3] = processes(&policy().failure_pause(pause, pause));
        for each in &fleet {
            each.link.set_latency(Duration::from_millis(1));
        }
        let loads = Loads::default();
        let (counted, began) = (loads.clone(), Instant::now());
        let answers = callers(&fleet, 100, move || slowly_fail(counted.clone())).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!((answers.len(), loads.count()), (300, 1), "{pause:?}");
        assert!(began.elapsed() < Duration::from_millis(1100));
        let mut new = JoinSet::new();
        for each in &fleet {
            let (cache, loads) = (each.cache.clone(), loads.clone());
            new.spawn(async move { cache.get_or_load(&1, || slowly(loads)).await.unwrap() });
        }
        for value in new.join_all().await {
            assert_eq!(*value, 2, "one load of all who came after");
        }
        assert!(began.elapsed() < Duration::from_millis(2300));
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_remote_tier_each_process_loads_once() {
    let fleet: [Process; 3] = processes(&policy());
    for each in &fleet {
        each.link.set_down(true);
    }
    let loads = Loads::default();
    let counted = loads.clone();
    let answers = callers(&fleet, 1000, move || slowly(counted.clone())).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(loads.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_leaves_hands_the_lease_to_another_process() {
    let [a, b] = processes(&policy());
    let loads = Loads::default();
    let leaving = {
        let (cache, loads) = (a.cache.clone(), loads.clone());
        tokio::spawn(async move {
            cache
                .get_or_load(&1, || async {
                    loads.begin();
                    std::future::pending::<Result<u64, Down>>().await
                })
                .await
        })
    };
    yields(20).await;
    assert_eq!((loads.count(), a.link.leases()), (1, 1));
    let waiting = {
        let (cache, loads) = (b.cache.clone(), loads.clone());
        tokio::spawn(async move {
            cache
                .get_or_load(&1, || loads.load())
                .await
                .map(|value| *value)
        })
    };
    yields(20).await;
    let left = Instant::now();
    leaving.abort();
    assert_eq!(waiting.await.unwrap().unwrap(), 2);
    assert!(
        left.elapsed() < Duration::from_millis(5),
        "woken, not polling: {:?}",
        left.elapsed()
    );
    rested(&b).await;
}

/// As after `kill -9`: nobody gives the lease back, nobody renews it.
#[tokio::test(start_paused = true)]
async fn lck_15_a_process_that_dies_frees_the_key_within_three_seconds() {
    let [a, b] = processes(&policy());
    let loads = Loads::default();
    let dying = {
        let (cache, loads) = (a.cache.clone(), loads.clone());
        tokio::spawn(async move {
            cache
                .get_or_load(&1, || async {
                    loads.begin();
                    std::future::pending::<Result<u64, Down>>().await
                })
                .await
        })
    };
    yields(20).await;
    a.link.set_down(true);
    dying.abort();
    let began = Instant::now();
    assert_eq!(
        *b.cache
            .get_or_load(&1, || loads.clone().load())
            .await
            .unwrap(),
        2
    );
    assert!(began.elapsed() < seconds(3), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_long_load_keeps_its_lease_but_not_past_its_deadline() {
    let [a, b] = processes(&policy().work_deadline(seconds(8)).wait_limit(seconds(30)));
    let loads = Loads::default();
    let long = {
        let (cache, loads) = (a.cache.clone(), loads.clone());
        tokio::spawn(async move {
            let load = || async move {
                loads.begin();
                tokio::time::sleep(seconds(7)).await;
                Ok::<u64, Down>(77)
            };
            cache.get_or_load(&1, load).await.map(|value| *value)
        })
    };
    yields(20).await;
    let found = b
        .cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    assert_eq!((*found, loads.count()), (77, 1));
    assert_eq!(long.await.unwrap().unwrap(), 77);

    // One that blocks its thread is dropped by nobody: its lease ends all the same.
    let stuck = {
        let (cache, loads) = (a.cache.clone(), loads.clone());
        tokio::spawn(async move {
            cache
                .get_or_load(&2, || async {
                    loads.begin();
                    std::future::pending::<Result<u64, Down>>().await
                })
                .await
                .map(|value| *value)
        })
    };
    yields(20).await;
    let began = Instant::now();
    let answer = b.cache.get_or_load(&2, || loads.clone().load()).await;
    assert!(began.elapsed() < seconds(11), "{:?}", began.elapsed());
    assert!(
        answer.is_err(),
        "the deadline of the load is its failure, for all"
    );
    assert!(stuck.await.unwrap().unwrap_err().is_timeout());
}

#[tokio::test(start_paused = true)]
async fn cor_07_a_load_that_began_before_an_invalidation_elsewhere_is_stored_nowhere() {
    let [a, b] = processes(&policy());
    let source = Arc::new(AtomicU64::new(1));
    let old = {
        let (cache, source) = (b.cache.clone(), Arc::clone(&source));
        tokio::spawn(async move {
            let load = || async move {
                let value = source.load(Ordering::SeqCst);
                tokio::time::sleep(seconds(1)).await;
                Ok::<u64, Down>(value)
            };
            cache.get_or_load(&1, load).await.map(|value| *value)
        })
    };
    yields(20).await;
    source.store(2, Ordering::SeqCst);
    a.cache.invalidate(&1).await;
    // Who comes after does not wait for the old load, in either process.
    let now = || {
        let source = Arc::clone(&source);
        async move { Ok::<u64, Down>(source.load(Ordering::SeqCst)) }
    };
    assert_eq!(*a.cache.get_or_load(&1, now).await.unwrap(), 2);
    assert_eq!(*b.cache.get_or_load(&1, now).await.unwrap(), 2);
    assert_eq!(old.await.unwrap().unwrap(), 1, "its own caller came before");
    assert_eq!(*b.cache.get(&1).await.unwrap(), 2);
    assert_eq!(*a.cache.get(&1).await.unwrap(), 2);
    assert_eq!(b.cache.stats().remote_refused, 1);
    rested(&b).await;
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_reaches_the_memory_of_other_processes_at_once() {
    let [a, b] = processes(&policy());
    a.cache.insert(&1, 10).await.unwrap();
    assert_eq!(*b.cache.get(&1).await.unwrap(), 10);
    assert!(b.cache.in_memory(&1).is_some());
    assert!(a.cache.invalidate(&1).await);
    assert!(b.cache.in_memory(&1).is_none());
    assert!(b.cache.get(&1).await.is_none());
    a.cache.insert(&1, 11).await.unwrap();
    assert_eq!(*b.cache.get(&1).await.unwrap(), 11);
}

#[tokio::test(start_paused = true)]
async fn rds_28_in_silence_memory_is_used_for_the_bound_and_then_asked_again() {
    let [a, b] = processes(&policy());
    a.cache.insert(&1, 10).await.unwrap();
    assert_eq!(*b.cache.get(&1).await.unwrap(), 10);
    b.link.set_mute(true);
    a.cache.insert(&1, 11).await.unwrap();
    tokio::time::sleep(seconds(3)).await;
    assert_eq!(*b.cache.get(&1).await.unwrap(), 10, "within the bound");
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(*b.cache.get(&1).await.unwrap(), 11);
}

#[tokio::test(start_paused = true)]
async fn after_a_reconnect_what_did_not_change_is_proved_again_without_a_copy() {
    let [a, b] = processes(&policy());
    a.cache.insert(&1, 10).await.unwrap();
    let before = b.cache.get(&1).await.unwrap();
    b.link.reconnect();
    tokio::time::sleep(seconds(4)).await;
    b.link.beat();
    assert!(
        b.cache.in_memory(&1).is_none(),
        "changes may have gone untold"
    );
    let after = b.cache.get(&1).await.unwrap();
    assert!(std::ptr::eq(&*before, &*after), "the same entry");
    assert!(b.cache.in_memory(&1).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_group_is_invalidated_in_all_processes() {
    let fleet: [Process; 2] = processes(&policy().group("team:7"));
    let [a, b] = &fleet;
    let loads = Loads::default();
    for key in 0..10 {
        a.cache
            .get_or_load(&key, || loads.clone().load())
            .await
            .unwrap();
        assert!(b.cache.get(&key).await.is_some());
    }
    b.cache.invalidate_group("team:7").await;
    for key in 0..10 {
        for each in &fleet {
            assert!(each.cache.in_memory(&key).is_none());
            assert!(
                each.cache.get(&key).await.is_none(),
                "nor from the remote tier"
            );
        }
    }
    assert_eq!(
        *a.cache
            .get_or_load(&1, || loads.clone().load())
            .await
            .unwrap(),
        11
    );
    assert_eq!(*b.cache.get(&1).await.unwrap(), 11);
}

/// The notice of it may come later than the answer.
#[tokio::test(start_paused = true)]
async fn cor_07_who_invalidates_a_group_needs_no_notice_of_it() {
    let [a, b]: [Process; 2] = processes(&policy().group("g"));
    let loads = Loads::default();
    a.cache.get_or_load(&1, || loads.load()).await.unwrap();
    assert_eq!(b.cache.get(&1).await.map(|value| *value), Some(1));
    b.link.set_mute(true);
    b.cache.invalidate_group("g").await;
    assert!(b.cache.get(&1).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_invalidated_during_a_load_voids_it() {
    let fleet: [Process; 2] = processes(&policy().group("g"));
    let [a, b] = &fleet;
    let loads = Loads::default();
    let load = {
        let (cache, loads) = (a.cache.clone(), loads.clone());
        tokio::spawn(async move {
            cache
                .get_or_load(&1, || slowly(loads))
                .await
                .map(|value| *value)
        })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    b.cache.invalidate_group("g").await;
    assert_eq!(load.await.unwrap().unwrap(), 1);
    assert!(a.cache.get(&1).await.is_none());
    assert!(b.cache.get(&1).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn patterns_and_clear_reach_the_remote_tier() {
    let [a, b] = processes(&policy());
    for key in [(1, "a"), (1, "b"), (2, "a")] {
        a.cache.insert(&key, 1).await.unwrap();
        assert!(b.cache.get(&key).await.is_some());
    }
    assert_eq!(a.cache.invalidate_pattern("1:*").await.unwrap(), 2);
    assert!(b.cache.get(&(1, "a")).await.is_none());
    assert!(b.cache.get(&(2, "a")).await.is_some());
    a.cache.clear().await;
    assert!(b.cache.get(&(2, "a")).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_during_an_outage_holds_when_the_remote_tier_is_back() {
    let [a, b] = processes(&policy());
    a.cache.insert(&1, 10).await.unwrap();
    assert!(a.cache.get(&1).await.is_some() && b.cache.get(&1).await.is_some());
    a.link.set_down(true);
    assert!(
        a.cache.get(&1).await.is_some(),
        "memory is still within the bound"
    );
    a.cache.invalidate(&1).await;
    assert!(a.cache.get(&1).await.is_none());
    a.link.set_down(false);
    assert!(
        a.cache.get(&1).await.is_none(),
        "not confirmed, so not used"
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(b.cache.get(&1).await.is_none(), "by now everybody knows");
    let loads = Loads::default();
    a.cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    assert_eq!(*b.cache.get(&1).await.unwrap(), 1);
    rested(&a).await;
}

#[tokio::test(start_paused = true)]
async fn batches_take_one_round_trip() {
    let [a, b] = processes(&policy());
    let keys: Vec<u64> = (0..200).collect();
    let before = a.link.served();
    let inserted = a
        .cache
        .insert_many(keys.iter().map(|key| (*key, key * 2)))
        .await
        .unwrap();
    assert_eq!(inserted.len(), 200);
    assert_eq!(a.link.served() - before, 1);
    assert_eq!(*b.cache.get(&7).await.unwrap(), 14);
    let before = b.link.served();
    let asked: Vec<u64> = (0..201).collect();
    let found = b.cache.get_many(&asked).await;
    assert_eq!(b.link.served() - before, 1);
    for (key, found) in asked.iter().zip(&found) {
        assert_eq!(
            found.as_ref().map(|found| **found),
            (*key < 200).then_some(key * 2)
        );
    }
    let before = b.link.served();
    assert_eq!(b.cache.invalidate_many(&keys).await, 200);
    assert_eq!(b.link.served() - before, 1);
    assert!(a.cache.get_many(&keys).await.iter().all(Option::is_none));
}

/// What is pending is not asked for; each answer stays with its key all the same.
#[tokio::test(start_paused = true)]
async fn an_invalidation_that_is_confirmed_while_many_are_asked_for_shifts_no_answer() {
    let [a, b] = processes(&policy());
    for key in 0..40 {
        b.cache.insert(&key, key).await.unwrap();
    }
    a.link.inject([Some(Fault::Refused); 2]);
    a.cache.invalidate(&0).await;
    // Refused once more in the background.
    tokio::time::sleep(Duration::from_millis(1)).await;
    a.link.set_latency(Duration::from_millis(7));
    for key in 1..40 {
        let found = a.cache.get_many(&[0, key]).await;
        let found: Vec<_> = found
            .iter()
            .map(|value| value.as_deref().copied())
            .collect();
        assert_eq!(found, [None, Some(key)]);
    }
    assert!(b.link.read_raw(b"it:0").is_none(), "it was confirmed");
    rested(&a).await;
}

#[tokio::test(start_paused = true)]
async fn cor_01_what_is_odd_is_a_miss_that_is_counted_and_replaced() {
    let [a, _] = processes::<2>(&policy());
    let loads = Loads::default();
    let whole = {
        a.cache.insert(&1, 5).await.unwrap();
        a.link.read_raw(b"it:1").unwrap()
    };
    let mut flipped = whole.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let odd: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"x".to_vec(),
        b"{\"json\":true}".to_vec(),
        flipped,
        whole[..whole.len() - 1].to_vec(),
    ];
    for (n, bytes) in odd.into_iter().enumerate() {
        let key = 100 + n as u64;
        a.link.write_raw(format!("it:{key}").as_bytes(), bytes);
        let value = a
            .cache
            .get_or_load(&key, || loads.clone().load())
            .await
            .unwrap();
        assert_eq!(*value, loads.count());
        assert!(
            a.link
                .read_raw(format!("it:{key}").as_bytes())
                .unwrap()
                .len()
                > 96,
            "replaced"
        );
    }
    // The entry of another key, whole, under this one (KEY-13).
    a.link.write_raw(b"it:2", whole);
    assert!(a.cache.get(&2).await.is_none());
    assert!(a.cache.stats().remote_odd >= 5, "{:?}", a.cache.stats());
}

#[tokio::test(start_paused = true)]
async fn a_cache_of_another_schema_misses() {
    let store = Fake::new();
    let of = |schema: &str| -> Cache<u64> {
        Cache::builder("it")
            .schema(schema)
            .remote_with(Arc::new(store.another()), Json)
            .build()
            .unwrap()
    };
    let (old, new) = (of("1"), of("2"));
    old.insert(&1, 1).await.unwrap();
    assert!(new.get(&1).await.is_none());
    new.insert(&1, 2).await.unwrap();
    assert!(of("1").get(&1).await.is_none());
    assert_eq!(*of("2").get(&1).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn writes_lost_in_a_failover_cost_loads_and_bring_nothing_back() {
    let [a, b] = processes(&policy());
    a.cache.insert(&1, 10).await.unwrap();
    a.link.stop_replication();
    a.cache.insert(&2, 20).await.unwrap();
    assert!(b.cache.get(&2).await.is_some());
    a.link.fail_over();
    tokio::time::sleep(seconds(4)).await;
    a.link.beat();
    b.link.beat();
    assert_eq!(*b.cache.get(&1).await.unwrap(), 10);
    assert!(
        b.cache.get(&2).await.is_none(),
        "the new master does not know of it"
    );
    let loads = Loads::default();
    assert_eq!(
        *a.cache
            .get_or_load(&2, || loads.clone().load())
            .await
            .unwrap(),
        1
    );
    assert_eq!(*b.cache.get(&2).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_process_refreshes_while_the_others_use_the_stale_copy() {
    let fleet: [Process; 3] =
        processes(&Policy::ttl(seconds(10)).stale_while_revalidate(seconds(60)));
    let loads = Loads::default();
    for each in &fleet {
        each.cache
            .get_or_load(&1, || loads.clone().load())
            .await
            .unwrap();
    }
    assert_eq!(loads.count(), 1);
    tokio::time::sleep(seconds(11)).await;
    let (counted, began) = (loads.clone(), Instant::now());
    let answers = callers(&fleet, 100, move || slowly(counted.clone())).await;
    let new = answers
        .iter()
        .filter(|answer| *answer.as_ref().unwrap() == 2)
        .count();
    assert_eq!(
        (loads.count(), new),
        (2, 1),
        "who refreshes waits, the others do not"
    );
    assert!(began.elapsed() < Duration::from_millis(1100));
    for each in &fleet {
        assert_eq!(*each.cache.get(&1).await.unwrap(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn the_budget_of_a_request_is_one_for_all_it_asks() {
    let [a, _] = processes::<2>(&policy());
    let loads = Loads::default();
    // Each answer comes within the budget, but not two of them.
    a.link.set_latency(Duration::from_millis(12));
    let began = Instant::now();
    a.cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    assert!(
        began.elapsed() <= Duration::from_millis(20),
        "{:?}",
        began.elapsed()
    );
    a.link.set_latency(seconds(1));
    let began = Instant::now();
    a.cache
        .get_or_load(&2, || loads.clone().load())
        .await
        .unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(20));
}

#[tokio::test(start_paused = true)]
async fn whatever_is_lost_on_the_way_every_caller_is_answered() {
    for fault in [Fault::RequestLost, Fault::ReplyLost, Fault::Refused] {
        // The look-up, the lease, the commit, and what comes after them.
        for at in 0..5 {
            let [a, b] = processes(&policy());
            let loads = Loads::default();
            a.link
                .inject(std::iter::repeat_n(None, at).chain([Some(fault)]));
            let value = a
                .cache
                .get_or_load(&1, || loads.clone().load())
                .await
                .unwrap();
            assert_eq!((*value, loads.count()), (1, 1), "{fault:?} at {at}");
            let again = b
                .cache
                .get_or_load(&1, || loads.clone().load())
                .await
                .unwrap();
            assert_eq!(*again, loads.count(), "{fault:?} at {at}");
            tokio::time::sleep(seconds(3)).await;
            rested(&a).await;
            rested(&b).await;
        }
    }
}

/// A lease that was granted without its leader hearing of it is given back.
#[tokio::test(start_paused = true)]
async fn lck_06_a_lease_granted_unheard_is_given_back() {
    let [a, b] = processes(&policy());
    let loads = Loads::default();
    // The look-up is answered, the answer to the lease is lost.
    a.link.inject([None, Some(Fault::ReplyLost)]);
    a.cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    yields(20).await;
    assert_eq!(a.link.leases(), 0);
    // A caller that leaves while it asks for the lease.
    a.link.set_latency(Duration::from_millis(8));
    let leaving = a.cache.get_or_load(&2, || loads.clone().load());
    let patience = Duration::from_millis(14);
    assert!(tokio::time::timeout(patience, leaving).await.is_err());
    assert_eq!(a.link.leases(), 1, "on its way back");
    let began = Instant::now();
    b.cache
        .get_or_load(&2, || loads.clone().load())
        .await
        .unwrap();
    assert!(
        began.elapsed() < Duration::from_millis(100),
        "{:?}",
        began.elapsed()
    );
    rested(&a).await;
}

/// How a process comes to have a lease that it cannot give back.
#[derive(Debug, Clone, Copy)]
enum Orphaned {
    /// It was granted, and the answer was lost.
    Unheard,
    /// The commit, and what followed, did not arrive.
    Uncommitted,
    /// The load failed, and that did not arrive.
    Unfailed,
}

/// The server froze with the lease of key 1 held by nobody, was given up, and answers again.
async fn orphaned(how: Orphaned, a: &Process, loads: &Loads) {
    if matches!(how, Orphaned::Unheard) {
        a.link.inject([None, Some(Fault::ReplyLost)]);
    }
    let (link, number) = (a.link.clone(), loads.begin());
    let freeze = || async move {
        link.set_latency(seconds(1));
        match how {
            Orphaned::Unfailed => Err(Down(number)),
            Orphaned::Unheard | Orphaned::Uncommitted => Ok(number),
        }
    };
    let loaded = a.cache.get_or_load(&1, freeze).await;
    assert_eq!(loaded.is_err(), matches!(how, Orphaned::Unfailed));
    tokio::time::sleep(Duration::from_millis(400)).await;
    a.link.set_down(true);
    a.link.set_latency(Duration::ZERO);
    tokio::time::sleep(Duration::from_millis(100)).await;
    a.link.set_down(false);
    assert_eq!(a.link.leases(), 1, "{how:?}");
}

const ORPHANED: [Orphaned; 3] = [Orphaned::Unheard, Orphaned::Uncommitted, Orphaned::Unfailed];

fn brief() -> Policy {
    Policy::ttl(Duration::from_millis(100))
}

#[tokio::test(start_paused = true)]
async fn rds_03_a_thawed_server_goes_on_with_no_lease_of_nobody() {
    for how in ORPHANED {
        let [a, b] = processes(&brief());
        let loads = Loads::default();
        orphaned(how, &a, &loads).await;
        let began = Instant::now();
        b.cache
            .get_or_load(&1, || loads.clone().load())
            .await
            .unwrap();
        assert_eq!(loads.count(), 2, "{how:?}");
        let waited = began.elapsed();
        assert!(waited <= Duration::from_millis(20), "{how:?}: {waited:?}");
        rested(&a).await;
    }
}

/// Its own lease, of which it knows that nobody has it, is none to wait for.
#[tokio::test(start_paused = true)]
async fn rds_03_who_lost_a_lease_does_not_wait_for_it() {
    for how in ORPHANED {
        let [a] = processes(&brief());
        let loads = Loads::default();
        orphaned(how, &a, &loads).await;
        let began = Instant::now();
        a.cache
            .get_or_load(&1, || loads.clone().load())
            .await
            .unwrap();
        assert_eq!(
            (loads.count(), began.elapsed()),
            (2, Duration::ZERO),
            "{how:?}"
        );
        rested(&a).await;
    }
}

/// What cannot be given back ends by itself, and then nobody tries any more.
#[tokio::test(start_paused = true)]
async fn a_lease_is_given_back_for_as_long_as_it_may_last() {
    let [a, b] = processes(&brief());
    let loads = Loads::default();
    orphaned(Orphaned::Uncommitted, &a, &loads).await;
    a.link.set_down(true);
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(a.cache.remote_stats().unwrap().pending, (1, 0));
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(a.cache.remote_stats().unwrap().pending, (0, 0));
    assert_eq!(b.link.leases(), 0);
    settled(&a.cache);
}

/// Who waits for another's load waits no longer than that for a server that froze meanwhile.
#[tokio::test(start_paused = true)]
async fn rds_03_who_waits_for_another_goes_alone_when_the_server_freezes() {
    let [a, b] = processes(&policy());
    let loads = Loads::default();
    let (cache, long) = (a.cache.clone(), loads.clone());
    let leader = tokio::spawn(async move { cache.get_or_load(&1, || slowly(long)).await });
    yields(20).await;
    let (cache, own) = (b.cache.clone(), loads.clone());
    let waiting = tokio::spawn(async move { cache.get_or_load(&1, || own.load()).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    b.link.set_latency(seconds(1));
    let began = Instant::now();
    assert_eq!(*waiting.await.unwrap().unwrap(), 2);
    // The longest pause there is, three questions, and the pauses between them.
    let most = Duration::from_millis(80 + 3 * 20 + 2 * 20);
    assert!(began.elapsed() <= most, "{:?}", began.elapsed());
    assert_eq!(b.cache.stats().remote_failures, 3);
    assert_eq!(*leader.await.unwrap().unwrap(), 1);
}

/// An engine with rules and names of its own, as an HTTP cache is: it drives the store itself.
struct Engine {
    store: Store<String>,
    link: Fake,
}

fn engines<const N: usize>() -> [Engine; N] {
    let first = Fake::new();
    std::array::from_fn(|_| {
        let link = first.another();
        let digest = |key: &[u8], name: &mut Vec<u8>| {
            let sum: u64 = key.iter().map(|byte| u64::from(*byte)).sum();
            name.extend_from_slice(format!("{{{sum:016x}}}").as_bytes());
        };
        let builder = StoreBuilder::new()
            .remote(Arc::new(link.clone()))
            .remote_names(digest);
        let store = builder.schema("texts 1").build().unwrap();
        link.beat();
        Engine { store, link }
    })
}

impl Engine {
    /// Loads `text` under a lease and publishes it from the background; invalidates itself in between
    /// where `overtaken`.
    async fn load(&self, key: &Key, text: &str, overtaken: Option<&Self>) {
        let flight = FlightKey {
            key: key.clone(),
            lane: None,
        };
        let Join::Lead(mut lead) = self.store.join(&flight, seconds(1)) else {
            panic!("nobody leads");
        };
        let mut budget = self.store.budget();
        assert!(
            self.store
                .lookup_remote(key.as_bytes(), &mut budget)
                .await
                .is_none()
        );
        let leasing = self
            .store
            .lease(key.as_bytes(), None, seconds(1), &mut budget)
            .await;
        let Leasing::Granted(lease) = leasing else {
            panic!("nobody else loads: {leasing:?}");
        };
        self.store.begin_again(&mut lead, seconds(1));
        if let Some(other) = overtaken {
            other.store.invalidate_shared(&[key.as_bytes()]).await;
        }
        let life = Life {
            fresh: minutes(5),
            ..Life::default()
        };
        let new = NewEntry {
            value: Some(text.to_owned()),
            size: text.len(),
            life,
            groups: ["g"],
        };
        let entry = self.store.leased_entry(lead.ticket(), &lease, key, new);
        self.store.commit(lead.ticket(), key.clone(), entry);
        lease.publish(Shared {
            body: Some(text.to_owned().into()),
            life,
            cost: Duration::ZERO,
            groups: vec!["g".into()],
        });
        drop(lead);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    fn in_memory(&self, key: &Key) -> Option<String> {
        let entry = self.store.lookup(key.as_bytes(), self.store.now())?;
        entry.value().cloned()
    }

    async fn fetch(&self, key: &Key) -> Option<String> {
        let ticket = self.store.ticket(key.as_bytes());
        let mut budget = self.store.budget();
        let held = self
            .store
            .lookup_remote(key.as_bytes(), &mut budget)
            .await?;
        if let Some(entry) = self.store.renewed(key.as_bytes(), &held) {
            return entry.value().cloned();
        }
        let text = String::from_utf8(held.body()?.to_vec()).unwrap();
        let entry = self.store.adopt(key, &held, Some(text.clone()), text.len());
        self.store.commit(&ticket, key.clone(), entry);
        Some(text)
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_shares_what_it_publishes_from_the_background() {
    let [a, b] = engines();
    let key = Key::from(&b"GET https://example.test/a"[..]);
    a.load(&key, "one", None).await;
    assert_eq!(b.fetch(&key).await.as_deref(), Some("one"));
    assert_eq!(b.in_memory(&key).as_deref(), Some("one"));
    // Told by its name, which is a digest; found in memory by its key.
    a.store.invalidate_shared(&[key.as_bytes()]).await;
    assert_eq!(b.in_memory(&key), None);
    assert_eq!(b.fetch(&key).await, None);
    a.load(&key, "two", None).await;
    assert_eq!(b.fetch(&key).await.as_deref(), Some("two"));
    b.store.invalidate_group_shared("g").await;
    assert_eq!((a.in_memory(&key), b.in_memory(&key)), (None, None));
    assert_eq!((a.fetch(&key).await, b.fetch(&key).await), (None, None));
}

#[tokio::test(start_paused = true)]
async fn what_an_engine_published_too_late_is_not_used_in_its_memory_either() {
    let [a, b] = engines();
    let key = Key::from(&b"GET https://example.test/a"[..]);
    // Nothing is told, so only the refusal says so.
    a.link.set_mute(true);
    a.load(&key, "old", Some(&b)).await;
    assert_eq!(a.in_memory(&key), None);
    assert_eq!(b.fetch(&key).await, None);
    assert_eq!(a.store.stats().remote_refused, 1);
}

/// KEY-13: the digests of two keys are equal.
#[tokio::test(start_paused = true)]
async fn key_13_keys_of_one_digest_are_told_apart() {
    let [a, b] = engines();
    let (key, twin) = (Key::from(&b"ab"[..]), Key::from(&b"ba"[..]));
    a.load(&key, "of ab", None).await;
    assert_eq!(b.fetch(&twin).await, None);
    assert_eq!(b.fetch(&key).await.as_deref(), Some("of ab"));
    assert!(b.store.stats().remote_odd >= 1);
}

/// RDS-25: however many ask, each waits for its own budget and no longer.
#[tokio::test(start_paused = true)]
async fn rds_25_a_thousand_callers_of_a_slow_tier_wait_for_one_budget() {
    let [a] = processes(&policy());
    a.link.set_latency(Duration::from_millis(50));
    let (loads, began) = (Loads::default(), Instant::now());
    let mut callers = JoinSet::new();
    for key in 0..1_000_u64 {
        let (cache, loads) = (a.cache.clone(), loads.clone());
        callers.spawn(async move { cache.get_or_load(&key, || loads.load()).await.is_ok() });
    }
    assert!(
        callers
            .join_all()
            .await
            .into_iter()
            .all(|answered| answered)
    );
    let took = began.elapsed();
    assert!(took <= Duration::from_millis(21), "{took:?}");
    assert_eq!(loads.count(), 1_000);
    rested(&a).await;
}

/// RDS-37: who loads a large value does not wait for its bytes to be sent; they are, all the same.
#[tokio::test(start_paused = true)]
async fn rds_37_a_large_value_is_stored_behind_who_loaded_it() {
    let link = Fake::new();
    let cache: Cache<String> = Cache::builder("it")
        .policy(policy())
        .remote(Arc::new(link.clone()))
        .build()
        .unwrap();
    link.beat();
    for (size, is_stored) in [(100, false), (100_000, true)] {
        link.set_latency(Duration::ZERO);
        let began = Instant::now();
        let load = || async {
            // From here on a way takes 100 ms.
            link.set_latency(Duration::from_millis(200));
            Ok::<_, String>("x".repeat(size))
        };
        let loaded = cache.get_or_load(&size, load).await.unwrap();
        assert_eq!(loaded.len(), size);
        let took = began.elapsed();
        assert!(took <= Duration::from_millis(21), "{size}: {took:?}");
        assert!(cache.in_memory(&size).is_some());
        tokio::time::sleep(seconds(1)).await;
        link.set_latency(Duration::ZERO);
        let key = format!("it:{size}");
        assert_eq!(link.read_raw(key.as_bytes()).is_some(), is_stored, "{size}");
        assert_eq!(link.leases(), 0, "{size}");
    }
    assert_eq!(cache.stats().remote_stored, 1);
}

/// What is invalidated while its bytes are being sent is used by nobody, here neither.
#[tokio::test(start_paused = true)]
async fn a_large_value_that_is_invalidated_on_its_way_is_dropped_from_memory() {
    let (link, other) = {
        let link = Fake::new();
        let other = link.another();
        (link, other)
    };
    let cache: Cache<String> = Cache::builder("it")
        .policy(policy())
        .remote(Arc::new(link.clone()))
        .build()
        .unwrap();
    link.beat();
    let load = || async {
        link.set_latency(Duration::from_millis(200));
        Ok::<_, String>("x".repeat(100_000))
    };
    cache.get_or_load(&1, load).await.unwrap();
    // Not told of by this link, so the refusal alone says it.
    link.set_mute(true);
    let removed = other.invalidate(&[b"it:1"], seconds(1)).await;
    assert_eq!(removed, Ok(0), "it has not arrived");
    link.set_mute(false);
    assert!(cache.in_memory(&1).is_some());
    tokio::time::sleep(seconds(1)).await;
    assert!(cache.in_memory(&1).is_none());
    assert_eq!(link.read_raw(b"it:1"), None);
    assert_eq!(cache.stats().remote_refused, 1);
}

#[tokio::test(start_paused = true)]
async fn what_another_stored_answers_no_load_once_it_is_out_of_date() {
    let [a, b] = processes(&Policy::ttl(seconds(1)).stale_if_error(minutes(1)));
    // It keeps in memory what the other replaces.
    a.link.set_mute(true);
    let loads = Loads::default();
    for process in [&a, &b] {
        let load = || async { Ok::<_, Down>(loads.begin()) };
        process.cache.get_or_load(&1, load).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    let load = || async { Ok::<_, Down>(loads.begin()) };
    let value = a.cache.get_or_load(&1, load).await.unwrap();
    assert_eq!((*value, value.is_stale()), (3, false));
}

#[tokio::test(start_paused = true)]
async fn many_values_of_a_group_are_inserted_in_two_round_trips() {
    let [a] = processes(&policy().group("g"));
    let before = a.link.served();
    a.cache
        .insert_many((0..100_u64).map(|key| (key, key)))
        .await
        .unwrap();
    assert_eq!(a.link.served() - before, 2);
    assert_eq!(a.link.keys().len(), 100);
}

/// Of what was never asked for nothing can have been granted.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_not_asked_for_is_not_given_back() {
    let [a] = processes(&policy());
    a.link.set_latency(seconds(1));
    let load = || async { Ok::<_, Down>(1) };
    assert_eq!(*a.cache.get_or_load(&1, load).await.unwrap(), 1);
    assert_eq!(a.cache.remote_stats().unwrap().pending, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_while_many_invalidations_are_confirmed() {
    let [a] = processes(&policy());
    let loads = Loads::default();
    let (cache, loading) = (a.cache.clone(), loads.clone());
    let load = tokio::spawn(async move {
        let slowly = || async move {
            let number = loading.begin();
            tokio::time::sleep(seconds(10)).await;
            Ok::<_, Down>(number)
        };
        cache.get_or_load(&0, slowly).await.map(|value| *value)
    });
    yields(10).await;
    assert_eq!(a.link.leases(), 1);
    a.link.set_latency(Duration::from_millis(100));
    for key in 1..=60_u64 {
        a.cache.invalidate(&key).await;
    }
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(a.link.leases(), 1);
    }
    assert_eq!(load.await.unwrap().unwrap(), 1);
}

/// RDS-09: a user who may not remove anything does not go on asking for it without a pause; what may be removed
/// again is.
#[tokio::test(start_paused = true)]
async fn rds_09_what_may_not_be_removed_is_tried_less_and_less_often() {
    const KEYS: u64 = 1000;
    const REFUSALS: u64 = 100_000;
    let [a, b] = processes(&policy());
    for key in 0..KEYS {
        a.cache.insert(&key, 1).await.unwrap();
    }
    a.link.inject((0..REFUSALS).map(|_| Some(Fault::Forbidden)));
    for key in 0..KEYS {
        a.cache.invalidate(&key).await;
    }
    tokio::time::sleep(seconds(60)).await;
    let mut left = 0;
    while a.link.look(b"none", seconds(1)).await.is_err() {
        left += 1;
    }
    let again = REFUSALS - left - KEYS;
    assert!((20..120).contains(&again), "{again} in a minute");
    tokio::time::sleep(seconds(6)).await;
    for key in 0..KEYS {
        assert!(b.cache.get(&key).await.is_none());
    }
    rested(&a).await;
}

/// G16: also while the lease of a load that was cancelled cannot be given back.
#[tokio::test(start_paused = true)]
async fn nothing_runs_on_for_a_store_that_is_away() {
    let [a] = processes(&policy());
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = alive();
    let cache = a.cache.clone();
    let load = tokio::spawn(async move {
        let _ = cache.get_or_load(&1, || slowly(Loads::default())).await;
    });
    yields(10).await;
    assert_eq!(a.link.leases(), 1);
    a.link.set_down(true);
    load.abort();
    let _ = load.await;
    drop(a.cache);
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(alive(), before);
}

/// Its age is not known then, and the server keeps it longer too.
#[tokio::test(start_paused = true)]
async fn what_was_stored_before_the_clock_of_the_server_was_set_back_is_not_used() {
    let before = process(Fake::new(), policy());
    tokio::time::sleep(seconds(3600)).await;
    before.cache.insert(&1, 1).await.unwrap();
    let key = before.link.keys().remove(0);
    let bytes = before.link.read_raw(&key).unwrap();
    // The clock of a new one begins anew.
    let after = process(Fake::new(), policy());
    after.link.write_raw(&key, bytes);
    assert!(after.cache.get(&1).await.is_none());
    after.cache.insert(&1, 2).await.unwrap();
    tokio::time::sleep(seconds(299)).await;
    assert_eq!(*after.cache.get(&1).await.unwrap(), 2);
}

/// Also where the versions of groups are not remembered, because nobody tells of them.
#[tokio::test(start_paused = true)]
async fn many_values_of_a_group_are_found_in_two_round_trips() {
    let [a, b] = processes(&policy().group("g"));
    let keys: Vec<u64> = (0..100).collect();
    a.cache
        .insert_many(keys.iter().map(|key| (*key, *key)))
        .await
        .unwrap();
    b.link.set_mute(true);
    b.link.reconnect();
    let before = b.link.served();
    let found = b.cache.get_many(&keys).await;
    assert_eq!(found.iter().flatten().count(), 100);
    assert_eq!(b.link.served() - before, 2);
    a.cache.invalidate_group("g").await;
    tokio::time::sleep(seconds(4)).await;
    let found = b.cache.get_many(&keys).await;
    assert_eq!(found.iter().flatten().count(), 0);
}
