//! A cluster of three masters: what one server does, it does, and what is away of it is away alone.

use crate::{
    faults::all_are_answered,
    support::{Loads, coherent, hasty, policy, process, redis, until},
};
use cache_core::{
    Policy,
    policy::seconds,
    remote::{Ask, Failure, Leased, Redis, Remote, Token, Value, checks},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tests::{
    cluster::{Cluster, wait},
    proxy::{Proxy, Way},
};
use tokio::task::{JoinSet, block_in_place};

pub(crate) const PATIENT: Duration = Duration::from_secs(1);
const BUDGET: Duration = Duration::from_millis(20);

/// Connected to each node.
pub(crate) async fn ready(remote: &Redis) {
    until("connections to all nodes", async || {
        let health = remote.health();
        let mut all = health.is_up() && health.degraded.is_empty();
        for key in 0..50_u64 {
            all &= remote.look(&key.to_be_bytes(), PATIENT).await.is_ok();
        }
        all
    })
    .await;
}

pub(crate) async fn put(remote: &Redis, key: &str, text: &'static str) -> Result<(), Failure> {
    let value = Value {
        bytes: text.into(),
        lasting: seconds(60),
    };
    let values = [(key.as_bytes(), value)];
    remote.put_many(&values, PATIENT).await
}

pub(crate) async fn look(remote: &Redis, key: &str) -> Result<Option<Vec<u8>>, Failure> {
    let found = remote.look(key.as_bytes(), PATIENT).await;
    found.map(|found| found.map(|found| found.bytes.to_vec()))
}

pub(crate) async fn lease(remote: &Redis, key: &str, token: Token) -> Result<Leased, Failure> {
    let ask = Ask {
        key: key.as_bytes(),
        token,
        seen: b"",
        lasting: seconds(60),
    };
    remote.lease(ask, PATIENT).await
}

/// A number whose entry is at the node, and that is not among those of [`all_are_answered`].
pub(crate) fn key_at(cluster: &Cluster, node: usize) -> u64 {
    let is_there = |key: &u64| cluster.owner(&format!("cache:it:{key}")) == node;
    (1000..).find(is_there).unwrap()
}

#[tokio::test]
async fn rds_13_a_cluster_passes_the_checks_of_every_remote_tier() {
    let cluster = Cluster::start(3, 0);
    let remote = redis(&cluster.url());
    ready(&remote).await;
    let remote: Arc<dyn Remote> = Arc::new(remote);
    checks::all(&remote).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_of_a_cluster_share_loads_and_failures() {
    let cluster = Cluster::start(3, 0);
    let policy = policy().failure_pause(seconds(5), seconds(5));
    let fleet = [(); 3].map(|()| process(&cluster.url(), policy.clone()));
    for cache in &fleet {
        coherent(cache).await;
    }
    for node in 0..3 {
        let key = key_at(&cluster, node);
        for (key, fails) in [(key, false), (key + 1_000_000, true)] {
            let loads = Loads::default();
            let mut callers = JoinSet::new();
            for cache in &fleet {
                for _ in 0..1000 {
                    let (cache, loads) = (cache.clone(), loads.clone());
                    let work = Duration::from_millis(300);
                    callers.spawn(async move {
                        let value = if fails {
                            let load = || loads.slowly_fail(work);
                            cache.get_or_load(&key, load).await
                        } else {
                            cache.get_or_load(&key, || loads.slowly(work)).await
                        };
                        value.map(|value| *value).ok()
                    });
                }
            }
            let expected = (!fails).then_some(1);
            let answers = callers.join_all().await;
            assert!(answers.iter().all(|answer| *answer == expected));
            assert_eq!((answers.len(), loads.count()), (3000, 1), "{node} {fails}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_patterns_groups_and_notices_reach_every_node() {
    const KEYS: u64 = 300;
    let cluster = Cluster::start(3, 0);
    let policy = policy().group("g");
    let [a, b] = [(); 2].map(|()| process(&cluster.url(), policy.clone()));
    coherent(&a).await;
    coherent(&b).await;
    let keys: Vec<u64> = (0..KEYS).collect();
    a.insert_many(keys.iter().map(|key| (*key, key * 7)))
        .await
        .unwrap();
    let found = b.get_many(&keys).await;
    for (key, found) in keys.iter().zip(found) {
        assert_eq!(found.as_deref(), Some(&(key * 7)));
    }
    for node in 0..3 {
        let size: u64 = redis::from_redis_value(cluster.node(node).ask(&["DBSIZE"])).unwrap();
        assert!(size > KEYS / 6, "each has a share: {size}");
    }
    // One after the other, whichever node it is on.
    for key in 0..60 {
        // Notices of what was put before may still have been on their way when it was read.
        until("it is in memory", async || {
            b.get(&key).await.is_some() && b.in_memory(&key).is_some()
        })
        .await;
        a.invalidate(&key).await;
        until("the notice", async || b.in_memory(&key).is_none()).await;
        assert!(b.get(&key).await.is_none());
    }
    a.invalidate_many(&(60..120).collect::<Vec<u64>>()).await;
    until("the notices", async || {
        (60..120).all(|key| b.in_memory(&key).is_none())
    })
    .await;
    // The rest is of one group.
    assert!(b.get(&200).await.is_some());
    a.invalidate_group("g").await;
    until("the notice", async || {
        (120..KEYS).all(|key| b.in_memory(&key).is_none())
    })
    .await;
    for key in 120..KEYS {
        assert!(b.get(&key).await.is_none());
    }
    until("what is stored after that counts", async || {
        a.insert(&7, 8).await.unwrap();
        b.get(&7).await.is_some_and(|value| *value == 8)
    })
    .await;
    // Two kinds of keys.
    let pairs = (0..KEYS).map(|n| ((n % 2, n), n));
    a.insert_many(pairs).await.unwrap();
    let removed = a.invalidate_pattern("1:*").await.unwrap();
    assert_eq!(removed as u64, KEYS / 2);
    for n in 0..KEYS {
        assert_eq!(b.get(&(n % 2, n)).await.is_some(), n % 2 == 0, "{n}");
    }
}

/// What a node has that does not answer is missing; what the others have is not.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_node_is_away_only_its_keys_are() {
    let mut cluster = Cluster::start(3, 0);
    let remote = redis(&cluster.url());
    let cache = hasty(&cluster.url(), policy());
    ready(&remote).await;
    coherent(&cache).await;
    let numbers: Vec<u64> = (0..3).map(|node| key_at(&cluster, node)).collect();
    let names: Vec<String> = numbers.iter().map(|key| format!("it:{key}")).collect();
    let keys: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    for name in &names {
        put(&remote, name, "v").await.unwrap();
    }
    block_in_place(|| cluster.node_mut(1).freeze());
    until("it is given up", async || {
        remote.look(keys[1], BUDGET).await == Err(Failure::Away)
    })
    .await;
    for _ in 0..50 {
        for (node, key) in keys.iter().enumerate() {
            let found = remote.look(key, PATIENT).await;
            let is_there = matches!(found, Ok(Some(_)));
            assert_eq!(is_there, node != 1, "{node}: {found:?}");
        }
    }
    let found = remote.look_many(&keys, PATIENT).await.unwrap();
    let found: Vec<bool> = found.iter().map(Option::is_some).collect();
    assert_eq!(found, [true, false, true]);
    let degraded = remote.health().degraded.join("\n");
    let port = cluster.node(1).port().to_string();
    assert!(remote.health().is_up());
    assert!(
        degraded.contains(&port) && degraded.contains("away"),
        "{degraded}"
    );
    // An invalidation that one of them has not confirmed is not confirmed.
    let removed = remote.invalidate(&keys, PATIENT).await;
    assert_eq!(removed, Err(Failure::Partly([1].into())));
    assert_eq!(look(&remote, &names[0]).await, Ok(None));
    assert!(
        remote
            .invalidate_matching(b"it:", "*", PATIENT)
            .await
            .is_err()
    );
    put(&remote, &names[0], "v").await.unwrap();
    // What the others have stored stays.
    let pairs = numbers.iter().map(|key| (*key, 1));
    cache.insert_many(pairs).await.unwrap();
    for _ in 0..50 {
        let found = look(&remote, &names[2]).await.unwrap();
        assert!(found.is_some_and(|value| value != b"v"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // It is tried again, and holds when the node is back; another's is not kept waiting by it.
    cache.invalidate_many(&numbers).await;
    until("the others confirm", async || {
        look(&remote, &names[0]).await == Ok(None)
    })
    .await;
    block_in_place(|| cluster.node_mut(1).thaw());
    until("the node confirms", async || {
        look(&remote, &names[1]).await == Ok(None)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_killed_and_replaced_fails_no_request() {
    let mut cluster = Cluster::start(3, 1);
    let short = Policy::ttl(Duration::from_millis(50));
    let cache = hasty(&cluster.url(), short);
    let [a, b] = [(); 2].map(|()| process(&cluster.url(), policy()));
    for cache in [&cache, &a, &b] {
        coherent(cache).await;
    }
    let key = key_at(&cluster, 0);
    a.insert(&key, 1).await.unwrap();
    assert_eq!(b.get(&key).await.as_deref(), Some(&1));
    let trouble = async {
        block_in_place(|| {
            cluster.node_mut(0).kill();
            wait("the replica takes over", || cluster.is_master(3));
        });
        until("it is used in place of the other", async || {
            a.insert(&key, 2).await.unwrap();
            b.get(&key).await.is_some_and(|value| *value == 2)
        })
        .await;
    };
    assert!(all_are_answered(&cache, trouble).await > 200);
    for cache in [&a, &b] {
        coherent(cache).await;
    }
    a.insert(&key, 3).await.unwrap();
    until("the notice by the new master", async || {
        b.get(&key).await.is_some_and(|value| *value == 3)
    })
    .await;
    // Who comes back is a replica, and tells nobody anything.
    block_in_place(|| {
        cluster.node_mut(0).run();
        cluster.is_well_soon();
    });
    for cache in [&a, &b] {
        coherent(cache).await;
    }
    a.insert(&key, 4).await.unwrap();
    until("the notice", async || {
        b.get(&key).await.is_some_and(|value| *value == 4)
    })
    .await;
    assert!(!cluster.is_master(0));
}

/// MOVED and ASK, to a node that was no part of the cluster when it was first asked.
#[tokio::test(flavor = "multi_thread")]
async fn rds_13_a_slot_that_moves_is_followed() {
    let mut cluster = Cluster::start(3, 0);
    let remote = redis(&cluster.url());
    ready(&remote).await;
    let tag = |n: u32| format!("{{moving}}:{n}");
    let full = |n: u32| format!("cache:{}", tag(n));
    for n in 0..10 {
        put(&remote, &tag(n), "before").await.unwrap();
    }
    let (token, early) = (Token::new(), Token::new());
    assert!(matches!(
        lease(&remote, &tag(20), early).await,
        Ok(Leased::Granted(_))
    ));
    let new = block_in_place(|| cluster.add_master());
    let moving = cluster.begin_to_move(&full(0), new);
    cluster.move_keys(&moving);
    until("what has moved is asked for where it is", async || {
        look(&remote, &tag(0)).await == Ok(Some(b"before".to_vec()))
    })
    .await;
    // One by one, and many at a time; what is new goes there as well.
    put(&remote, &tag(10), "during").await.unwrap();
    let names: Vec<String> = (0..11).map(tag).collect();
    let keys: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    let found = remote.look_many(&keys, PATIENT).await.unwrap();
    assert!(found.iter().all(Option::is_some), "{found:?}");
    // Of two keys one is always missing there: the server asks to try again when all has moved.
    let leased = lease(&remote, &tag(11), token).await;
    assert_eq!(leased, Err(Failure::Refused("TRYAGAIN".into())));
    // A lease that moved is ended by an invalidation all the same.
    let removed = remote
        .invalidate(&[tag(20).as_bytes(), keys[0]], PATIENT)
        .await;
    assert_eq!(removed, Ok(1));
    assert_eq!(look(&remote, &tag(0)).await, Ok(None));
    let removed = remote.invalidate_matching(b"{moving}:", "[1-5]", PATIENT);
    assert_eq!(removed.await, Ok(5));
    cluster.end_move(&moving);
    let value = Value {
        bytes: "old".into(),
        lasting: seconds(60),
    };
    let committed = remote
        .commit(tag(20).as_bytes(), early, value, PATIENT)
        .await;
    assert_eq!(committed, Ok(false), "it was invalidated");
    for n in 6..10 {
        assert_eq!(look(&remote, &tag(n)).await, Ok(Some(b"before".to_vec())));
    }
    let leased = lease(&remote, &tag(11), token).await;
    assert!(matches!(leased, Ok(Leased::Granted(_))), "{leased:?}");
    // From now on nobody is sent on: the map has been drawn anew.
    let asked = |node: usize| cluster.node(node).info("errorstat_MOVED:count");
    until("the new map", async || {
        let before: Vec<u64> = (0..3).map(asked).collect();
        let found = look(&remote, &tag(6)).await;
        found.is_ok() && before == (0..3).map(asked).collect::<Vec<_>>()
    })
    .await;
}

/// Memory heard of a slot from the node that had it, and hears from the one that has it.
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_not_stale_after_a_slot_moved() {
    let mut cluster = Cluster::start(3, 0);
    let [a, b] = [(); 2].map(|()| process(&cluster.url(), policy()));
    coherent(&a).await;
    coherent(&b).await;
    a.insert(&1, 1).await.unwrap();
    assert_eq!(b.get(&1).await.as_deref(), Some(&1));
    let new = block_in_place(|| cluster.add_master());
    let moving = cluster.begin_to_move("cache:it:1", new);
    cluster.move_keys(&moving);
    cluster.end_move(&moving);
    let began = Instant::now();
    until("the value is written where it is now", async || {
        a.insert(&1, 2).await.unwrap();
        b.get(&1).await.is_some_and(|value| *value == 2)
    })
    .await;
    assert!(began.elapsed() < seconds(4), "{:?}", began.elapsed());
    coherent(&b).await;
    a.insert(&1, 3).await.unwrap();
    until("the notice", async || {
        b.get(&1).await.is_some_and(|value| *value == 3)
    })
    .await;
}

/// RDS-28: the links to the other nodes do not speak for the one that is silent.
#[tokio::test(flavor = "multi_thread")]
async fn rds_28_a_link_to_one_node_that_is_half_open_bounds_staleness() {
    const BOUND: Duration = Duration::from_secs(3);
    let mut cluster = Cluster::start(3, 0);
    let proxy = Proxy::before(cluster.node(0).port()).await;
    block_in_place(|| cluster.announce(0, proxy.port()));
    let [writer, reader] = [(); 2].map(|()| hasty(&cluster.url(), policy()));
    coherent(&writer).await;
    coherent(&reader).await;
    assert!(proxy.accepted() >= 4, "lanes and links go through it");
    let key = key_at(&cluster, 0);
    let history: Arc<Mutex<HashMap<u64, Instant>>> = Arc::default();
    let (began, mut version, mut oldest) = (Instant::now(), 0, Duration::ZERO);
    let mut seen = BTreeSet::new();
    while began.elapsed() < seconds(6) {
        version += 1;
        writer.insert(&key, version).await.unwrap();
        history.lock().unwrap().insert(version - 1, Instant::now());
        if version == 100 {
            proxy.set_old(Way::BlackHole);
        }
        let asked = Instant::now();
        if let Some(found) = reader.get(&key).await {
            seen.insert(*found);
            if let Some(ended) = history.lock().unwrap().get(&*found) {
                oldest = oldest.max(asked.saturating_duration_since(*ended));
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!(
        "{version} writes, {} seen, at most {oldest:?} old",
        seen.len()
    );
    assert!(version > 300 && seen.len() > 50);
    assert!(oldest <= BOUND, "{oldest:?}");
    until("the newest value", async || {
        reader
            .get(&key)
            .await
            .is_some_and(|value| *value == version)
    })
    .await;
}
