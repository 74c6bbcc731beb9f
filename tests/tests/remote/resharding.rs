//! Slots that move, masters that come and go: what is asked meanwhile, and what is told.

use crate::{
    cluster::{PATIENT, key_at, look, put, ready},
    faults::all_are_answered,
    support::{coherent, hasty, policy, process, redis, settings, until},
};
use cache_core::{
    Policy,
    policy::seconds,
    remote::{Redis, Remote},
};
use std::time::Duration;
use tests::cluster::Cluster;
use tokio::task::block_in_place;

/// A tier that learns anew who the masters are when it is sent on, and not before.
fn slow_to_learn(cluster: &Cluster) -> Redis {
    let settings = settings(&cluster.url());
    Redis::with(settings.heartbeat(seconds(600))).unwrap()
}

/// A master that is not known has keys as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_is_confirmed_by_who_has_the_slots_alone() {
    let mut cluster = Cluster::start(3, 0);
    let writer = redis(&cluster.url());
    let remote = slow_to_learn(&cluster);
    ready(&writer).await;
    ready(&remote).await;
    put(&writer, "{moving}:1", "v").await.unwrap();
    let new = block_in_place(|| cluster.add_master());
    let moving = cluster.begin_to_move("cache:{moving}:1", new);
    cluster.move_keys(&moving);
    cluster.end_move(&moving);
    until("a confirmation", async || {
        let removed = remote.invalidate_matching(b"{moving}:", "*", PATIENT);
        removed.await.is_ok()
    })
    .await;
    let found = cluster.node(new).ask(&["EXISTS", "cache:{moving}:1"]);
    assert_eq!(found, ::redis::Value::Int(0), "it was confirmed");
}

/// Who does not know the others says nothing of what they have.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_knows_no_other_takes_nobody_with_it() {
    let mut cluster = Cluster::start(3, 0);
    let settings = settings(&cluster.url()).heartbeat(Duration::from_millis(20));
    let remote = Redis::with(settings).unwrap();
    ready(&remote).await;
    let key = format!("it:{}", key_at(&cluster, 1));
    put(&remote, &key, "v").await.unwrap();
    let new = block_in_place(|| cluster.add_master());
    let moving = cluster.begin_to_move("cache:{moving}", new);
    cluster.end_move(&moving);
    // Before version 7 all that is asked of a cluster is counted as one.
    let names = ["cmdstat_cluster|slots:calls", "cmdstat_cluster:calls"];
    let count = |name| cluster.node(new).info(name);
    let asked = || names.map(count).iter().sum::<u64>();
    let before = asked();
    until("it is known", async || {
        let _ = look(&remote, "{moving}").await;
        asked() > before
    })
    .await;
    cluster.isolate(new);
    let before = asked();
    until("it was asked for its slots", async || {
        assert_eq!(look(&remote, &key).await, Ok(Some(b"v".to_vec())));
        asked() > before + 2
    })
    .await;
}

/// The keys of a script need not be at one node while their slot moves.
#[tokio::test(flavor = "multi_thread")]
async fn groups_count_while_their_slot_moves() {
    for moved in ["lease:{cache:}%born", "cache:%g{cache:}:it:g"] {
        let cluster = Cluster::start(3, 0);
        let policy = policy().group("g").group("h");
        let [a, b] = [(); 2].map(|()| process(&cluster.url(), policy.clone()));
        coherent(&a).await;
        coherent(&b).await;
        let groups = cluster.owner(moved);
        // Keys of other slots, which stay where they are.
        let (old, new) = (1, 2);
        a.insert(&old, 1).await.unwrap();
        until("it is in memory", async || {
            b.get(&old).await.is_some() && b.in_memory(&old).is_some()
        })
        .await;
        let moving = cluster.begin_to_move(moved, (groups + 1) % 3);
        cluster.move_key(&moving, moved);
        a.invalidate_group("g").await;
        until("the notice", async || b.get(&old).await.is_none()).await;
        until("what is stored after that counts", async || {
            a.insert(&new, 2).await.unwrap();
            b.get(&new).await.is_some_and(|value| *value == 2)
        })
        .await;
        a.invalidate_group("h").await;
        until("the notice", async || b.get(&new).await.is_none()).await;
        cluster.move_keys(&moving);
        cluster.end_move(&moving);
        for key in [old, new] {
            assert!(b.get(&key).await.is_none());
        }
    }
}

/// What is written to a slot on its way is at one node, or its keys could not be moved any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_while_its_slot_moves_can_be_moved() {
    let cluster = Cluster::start(3, 0);
    let remote = redis(&cluster.url());
    ready(&remote).await;
    for key in ["{moving}:1", "{moving}:2", "{moving}:3"] {
        put(&remote, key, "before").await.unwrap();
    }
    let from = cluster.owner("cache:{moving}:1");
    let moving = cluster.begin_to_move("cache:{moving}:1", (from + 1) % 3);
    put(&remote, "{moving}:1", "during").await.unwrap();
    put(&remote, "{moving}:4", "during").await.unwrap();
    let removed = remote.invalidate(&[b"{moving}:2"], PATIENT).await;
    assert_eq!(removed, Ok(1));
    for key in ["{moving}:1", "{moving}:4"] {
        assert_eq!(look(&remote, key).await, Ok(Some(b"during".to_vec())));
    }
    cluster.move_keys(&moving);
    cluster.end_move(&moving);
    for (key, value) in [
        ("{moving}:1", Some("during")),
        ("{moving}:2", None),
        ("{moving}:3", Some("before")),
        ("{moving}:4", Some("during")),
    ] {
        let value = value.map(|value| value.as_bytes().to_vec());
        assert_eq!(look(&remote, key).await, Ok(value), "{key}");
    }
}

/// It may have had keys for as long as it was there, and nobody leads to it any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_left_before_it_had_a_slot_is_not_waited_for() {
    let mut cluster = Cluster::start(3, 0);
    let remote = redis(&cluster.url());
    let cache = process(&cluster.url(), policy());
    ready(&remote).await;
    coherent(&cache).await;
    let new = block_in_place(|| cluster.add_master());
    let key = key_at(&cluster, 0);
    let moving = cluster.begin_to_move(&format!("cache:it:{key}"), new);
    until("the new node was asked", async || {
        assert!(cache.get(&key).await.is_none());
        let found = look(&remote, &format!("it:{key}")).await;
        assert!(matches!(found, Ok(None) | Err(_)), "{found:?}");
        found == Ok(None)
    })
    .await;
    coherent(&cache).await;
    cluster.give_up_move(&moving);
    block_in_place(|| cluster.remove(new));
    until("it is missed", async || {
        !remote.health().degraded.is_empty()
    })
    .await;
    coherent(&cache).await;
    until("a confirmation", async || {
        let removed = remote.invalidate_matching(b"it:", "*", PATIENT);
        removed.await.is_ok()
    })
    .await;
}

/// Every change is told, whoever has the slot by then, and nothing is seen again that was replaced.
#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_up_with_a_slot_that_goes_round() {
    let cluster = Cluster::start(3, 0);
    let busy = hasty(&cluster.url(), Policy::ttl(Duration::from_millis(50)));
    let [writer, one, two] = [(); 3].map(|()| process(&cluster.url(), policy()));
    for cache in [&busy, &writer, &one, &two] {
        coherent(cache).await;
    }
    let key = key_at(&cluster, 0);
    let name = format!("cache:it:{key}");
    let (mut version, mut seen) = (0, [0; 2]);
    let mut change = async || {
        version += 1;
        writer.insert(&key, version).await.unwrap();
        until("both see it", async || {
            for (cache, seen) in [&one, &two].into_iter().zip(&mut seen) {
                if let Some(found) = cache.get(&key).await {
                    assert!(*found >= *seen, "{} after {seen}", *found);
                    *seen = *found;
                }
            }
            seen == [version; 2]
        })
        .await;
    };
    let trouble = async {
        for _ in 0..6 {
            let from = cluster.owner(&name);
            let moving = cluster.begin_to_move(&name, (from + 1) % 3);
            change().await;
            cluster.move_keys(&moving);
            change().await;
            cluster.end_move(&moving);
            change().await;
            // Who is sent on twice does not follow: what it stored is not there.
            let sent_on = || (0..3).map(|n| cluster.node(n).info("errorstat_MOVED:count"));
            until("the new map", async || {
                let before: Vec<u64> = sent_on().collect();
                writer.invalidate(&key).await;
                sent_on().eq(before)
            })
            .await;
        }
    };
    assert!(all_are_answered(&busy, trouble).await > 0);
    assert_eq!(seen, [18; 2]);
}
