//! Slots that move, masters that come and go: what is asked meanwhile, and what is told.

use crate::{
    cluster::{PATIENT, key_at, look, put, ready},
    support::{coherent, policy, process, redis, settings, until},
};
use cache_core::{
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
    let asked = || cluster.node(new).info("cmdstat_cluster|slots:calls");
    until("it is known", async || {
        let _ = look(&remote, "{moving}").await;
        asked() > 0
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
