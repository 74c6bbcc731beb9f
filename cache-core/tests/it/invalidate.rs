//! After an invalidation is acknowledged nobody gets an older value.

use crate::support::{Down, Loads, asked, cache, cache_of, polled, settled, yields};
use cache_core::{Cache, Policy, clock::Random, policy::minutes};
use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
};
use tokio::{
    sync::{Mutex, Notify},
    task::JoinSet,
};

const GROUP: &str = "team:7";

/// The ways to say that what is stored is old.
#[derive(Debug, Clone, Copy)]
enum Way {
    Key,
    Group,
    Pattern,
    Clear,
    Insert,
}

const WAYS: [Way; 5] = [Way::Key, Way::Group, Way::Pattern, Way::Clear, Way::Insert];

impl Way {
    /// Invalidates `key`, or replaces its value with `value`.
    async fn invalidate(self, cache: &Cache<u64>, key: u64, value: u64) {
        match self {
            Self::Key => {
                cache.invalidate(&key).await;
            }
            Self::Group => cache.invalidate_group(GROUP).await,
            Self::Pattern => {
                cache.invalidate_pattern("*").await.unwrap();
            }
            Self::Clear => cache.clear().await,
            Self::Insert => {
                cache.insert(&key, value).await.unwrap();
            }
        }
    }
}

fn grouped() -> Cache<u64> {
    cache_of(Policy::ttl(minutes(5)).group(GROUP))
}

#[tokio::test(start_paused = true)]
async fn cor_07_a_load_that_began_before_never_puts_the_old_value_back() {
    for way in WAYS {
        let (cache, gate) = (grouped(), Notify::new());
        let mut slow = pin!(cache.get_or_load(&1, || async {
            gate.notified().await;
            Ok::<_, Down>(1)
        }));
        assert!(polled(slow.as_mut(), 1).await.is_none());
        way.invalidate(&cache, 1, 2).await;
        gate.notify_one();
        assert_eq!(*slow.await.unwrap(), 1, "its caller came before");
        let stored = cache.get(&1).await.map(|value| *value);
        assert_eq!(stored, matches!(way, Way::Insert).then_some(2), "{way:?}");
        settled(&cache);
    }
}

#[tokio::test(start_paused = true)]
async fn cor_07_who_comes_after_does_not_get_what_a_load_before_brings() {
    for way in WAYS {
        let cache = grouped();
        let (gate, loads) = (Arc::new(Notify::new()), Loads::default());
        let slow = {
            let (cache, gate) = (cache.clone(), Arc::clone(&gate));
            tokio::spawn(async move {
                let load = || async {
                    gate.notified().await;
                    Ok::<_, Down>(1)
                };
                *cache.get_or_load(&1, load).await.unwrap()
            })
        };
        yields(1).await;
        way.invalidate(&cache, 1, 2).await;
        let mut after = JoinSet::new();
        for _ in 0..100 {
            let (cache, loads) = (cache.clone(), loads.clone());
            after.spawn(async move {
                let load = || async { loads.load().await.map(|number| number + 1) };
                *cache.get_or_load(&1, load).await.unwrap()
            });
        }
        asked(&cache, 101).await;
        gate.notify_one();
        assert_eq!(slow.await.unwrap(), 1);
        assert!(
            after.join_all().await.iter().all(|value| *value == 2),
            "{way:?}"
        );
        assert_eq!(
            loads.count(),
            u64::from(!matches!(way, Way::Insert)),
            "{way:?}"
        );
        assert_eq!(*cache.get(&1).await.unwrap(), 2, "{way:?}");
        settled(&cache);
    }
}

#[tokio::test(start_paused = true)]
async fn followers_that_came_before_a_group_was_invalidated_share_what_they_waited_for() {
    let (cache, loads) = (grouped(), Loads::default());
    let gate = Arc::new(Notify::new());
    let mut before = JoinSet::new();
    for _ in 0..1_000 {
        let (cache, loads, gate) = (cache.clone(), loads.clone(), Arc::clone(&gate));
        before.spawn(async move {
            let load = || async {
                gate.notified().await;
                loads.load().await
            };
            *cache.get_or_load(&1, load).await.unwrap()
        });
    }
    asked(&cache, 1_000).await;
    // Also when it happens again and again: nobody is sent to load by himself.
    for _ in 0..10 {
        cache.invalidate_group(GROUP).await;
    }
    gate.notify_one();
    assert!(before.join_all().await.iter().all(|value| *value == 1));
    assert_eq!(loads.count(), 1);
    assert!(cache.get(&1).await.is_none());
    settled(&cache);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn followers_of_an_outcome_they_cannot_use_share_the_next_load() {
    for _ in 0..50 {
        let (cache, loads) = (grouped(), Loads::default());
        let gate = Arc::new(Notify::new());
        let mut slow = Box::pin(cache.get_or_load(&1, || async {
            loads.begin();
            gate.notified().await;
            Ok::<_, Down>(0)
        }));
        assert!(polled(slow.as_mut(), 1).await.is_none());
        cache.invalidate_group(GROUP).await;
        let mut after = JoinSet::new();
        for _ in 0..500 {
            let (cache, loads) = (cache.clone(), loads.clone());
            after.spawn(async move { *cache.get_or_load(&1, || loads.load()).await.unwrap() });
        }
        asked(&cache, 501).await;
        gate.notify_one();
        slow.await.unwrap();
        assert!(after.join_all().await.iter().all(|value| *value == 2));
        assert_eq!(loads.count(), 2);
        settled(&cache);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_named_by_another_handle_of_the_cache_is_the_same_group() {
    let cache = cache();
    let in_team = cache
        .with_policy(Policy::ttl(minutes(5)).group(GROUP).group("all"))
        .unwrap();
    let gate = Notify::new();
    let mut slow = pin!(in_team.get_or_load(&1, || async {
        gate.notified().await;
        Ok::<_, Down>(1)
    }));
    assert!(polled(slow.as_mut(), 1).await.is_none());
    in_team.insert(&2, 2).await.unwrap();
    cache.insert(&3, 3).await.unwrap();
    cache.invalidate_group("all").await;
    gate.notify_one();
    slow.await.unwrap();
    assert!(cache.get(&1).await.is_none(), "its load began before");
    assert!(cache.get(&2).await.is_none());
    assert!(cache.get(&3).await.is_some(), "not of the group");
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_failure_from_before_an_invalidation_does_not_answer_after_it() {
    for way in [Way::Key, Way::Pattern, Way::Clear] {
        let (cache, gate) = (cache(), Notify::new());
        let mut slow = pin!(cache.get_or_load(&1, || async {
            gate.notified().await;
            Err::<u64, _>(Down(1))
        }));
        assert!(polled(slow.as_mut(), 1).await.is_none());
        way.invalidate(&cache, 1, 2).await;
        gate.notify_one();
        slow.await.unwrap_err();
        let value = cache.get_or_load(&1, || async { Ok::<_, Down>(2) }).await;
        assert_eq!(*value.unwrap(), 2, "{way:?}");
        assert_eq!(cache.stats().load_failures, 1);
        settled(&cache);
    }
}

/// Randomness that is asked for while a failure is being remembered, when an invalidation comes.
#[derive(Debug, Default, Clone)]
struct Meddling(Arc<std::sync::Mutex<Option<Cache<u64>>>>);

impl Random for Meddling {
    fn bits(&self) -> u64 {
        let cache = self.0.lock().unwrap().take();
        if let Some(cache) = cache {
            let invalidated =
                pin!(cache.invalidate(&1)).poll(&mut Context::from_waker(Waker::noop()));
            assert!(invalidated.is_ready());
        }
        0
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_an_invalidation_overtakes_while_it_is_remembered_is_forgotten() {
    let meddling = Meddling::default();
    let cache: Cache<u64> = Cache::builder("it")
        .random(meddling.clone())
        .build()
        .unwrap();
    *meddling.0.lock().unwrap() = Some(cache.clone());
    let failed = cache.get_or_load(&1, || async { Err::<u64, _>(Down(1)) });
    failed.await.unwrap_err();
    assert_eq!(cache.stats().invalidations, 1);
    let value = cache.get_or_load(&1, || async { Ok::<_, Down>(2) }).await;
    assert_eq!(*value.unwrap(), 2);
    settled(&cache);
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_ends_the_pause_after_a_failure() {
    let cache = cache();
    cache
        .get_or_load(&1, || async { Err::<u64, _>(Down(1)) })
        .await
        .unwrap_err();
    cache
        .get_or_load(&1, || async { Ok::<_, Down>(2) })
        .await
        .unwrap_err();
    cache.invalidate(&1).await;
    assert_eq!(
        *cache
            .get_or_load(&1, || async { Ok::<_, Down>(2) })
            .await
            .unwrap(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_pattern_removes_what_matches_and_says_how_much() {
    let cache: Cache<u64> = Cache::builder("users").build().unwrap();
    for user in 1..=3_u64 {
        cache.insert(&(user, "profile"), user).await.unwrap();
        cache.insert(&(user, "posts"), user).await.unwrap();
    }
    assert_eq!(cache.invalidate_pattern("2:*").await.unwrap(), 2);
    assert_eq!(
        cache.invalidate_pattern("users:*").await.unwrap(),
        0,
        "after the cache's name"
    );
    assert_eq!(cache.invalidate_pattern("*:posts").await.unwrap(), 2);
    assert!(cache.invalidate_pattern("[").await.unwrap_err().is_config());
    assert_eq!(cache.stats().entries, 2);
    assert!(cache.invalidate(&(1, "profile")).await);
    assert!(!cache.invalidate(&(1, "profile")).await);
    cache.clear().await;
    assert_eq!((cache.stats().entries, cache.stats().bytes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_insert_that_stores_nothing_still_removes_the_old_value() {
    let cache = cache();
    let unkept = cache
        .with_policy(Policy::ttl(std::time::Duration::ZERO))
        .unwrap();
    let heavy = cache
        .with_policy(Policy::ttl(minutes(1)).max_size(1))
        .unwrap();
    for other in [unkept, heavy] {
        cache.insert(&1, 1).await.unwrap();
        assert_eq!(*other.insert(&1, 2).await.unwrap(), 2);
        assert!(cache.get(&1).await.is_none());
    }
}

/// What a run of callers and invalidations must never show: a value older than the latest
/// invalidation that was acknowledged before the caller came.
#[derive(Default)]
struct History {
    /// The version at the origin, by key.
    origin: [AtomicU64; KEYS],
    /// The version whose invalidation was acknowledged.
    acknowledged: [AtomicU64; KEYS],
    /// Inserts of one key one after another: which of two at once is later is not defined.
    writing: [Mutex<()>; KEYS],
}

const KEYS: usize = 3;

impl History {
    async fn write(&self, cache: &Cache<u64>, way: Way, key: usize) {
        let _writing = self.writing[key].lock().await;
        let version = self.origin[key].fetch_add(1, Ordering::SeqCst) + 1;
        way.invalidate(cache, key as u64, version).await;
        self.acknowledged[key].fetch_max(version, Ordering::SeqCst);
    }

    async fn read(&self, cache: &Cache<u64>, key: usize, rng: &mut fastrand::Rng) {
        let least = self.acknowledged[key].load(Ordering::SeqCst);
        let (before, after) = (rng.usize(0..3), rng.usize(0..6));
        let fails = rng.u8(0..8) == 0;
        let load = || async {
            yields(before).await;
            let version = self.origin[key].load(Ordering::SeqCst);
            yields(after).await;
            if fails {
                Err(Down(version))
            } else {
                Ok(version)
            }
        };
        if let Ok(value) = cache.get_or_load(&(key as u64), load).await {
            assert!(*value >= least, "key {key}: {} after {least}", *value);
        }
    }

    async fn look(&self, cache: &Cache<u64>, key: usize) {
        let least = self.acknowledged[key].load(Ordering::SeqCst);
        if let Some(value) = cache.get(&(key as u64)).await {
            assert!(*value >= least, "key {key}: {} after {least}", *value);
        }
    }
}

/// No pause, so that failures do not hide the loads.
fn contended() -> Cache<u64> {
    let policy = Policy::ttl(minutes(5)).group(GROUP);
    cache_of(policy.failure_pause(std::time::Duration::ZERO, std::time::Duration::ZERO))
}

#[test]
fn cor_07_versions_never_go_back_in_any_of_many_schedules() {
    for seed in 0..400 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(schedule(seed));
    }
}

async fn schedule(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (cache, history) = (contended(), Arc::new(History::default()));
    let mut tasks = JoinSet::new();
    for _ in 0..120 {
        let (cache, history, mut own) = (cache.clone(), Arc::clone(&history), rng.fork());
        let key = rng.usize(0..KEYS);
        match rng.u8(0..10) {
            0..6 => {
                let reader = tasks.spawn(async move {
                    history.read(&cache, key, &mut own).await;
                });
                if rng.u8(0..10) == 0 {
                    yields(rng.usize(0..5)).await;
                    reader.abort();
                }
            }
            6 => history.look(&cache, key).await,
            7 => yields(rng.usize(1..4)).await,
            _ => {
                let way = WAYS[rng.usize(0..WAYS.len())];
                history.write(&cache, way, key).await;
            }
        }
    }
    while let Some(task) = tasks.join_next().await {
        if let Err(error) = task {
            assert!(error.is_cancelled(), "seed {seed}: {error}");
        }
    }
    settled(&cache);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cor_07_versions_never_go_back_on_four_threads() {
    let (cache, history) = (contended(), Arc::new(History::default()));
    let mut tasks = JoinSet::new();
    for seed in 0..16 {
        let (cache, history) = (cache.clone(), Arc::clone(&history));
        tasks.spawn(async move {
            let mut rng = fastrand::Rng::with_seed(seed);
            for _ in 0..2_000 {
                let key = rng.usize(0..KEYS);
                match rng.u8(0..10) {
                    0..7 => history.read(&cache, key, &mut rng).await,
                    7 => history.look(&cache, key).await,
                    _ => {
                        let way = WAYS[rng.usize(0..WAYS.len())];
                        history.write(&cache, way, key).await;
                    }
                }
            }
        });
    }
    tasks.join_all().await;
    settled(&cache);
}
