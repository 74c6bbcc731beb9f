//! The master that sentinels know.

use crate::{
    faults::all_are_answered,
    support::{Loads, coherent, hasty, policy, process, redis, until, up},
};
use cache_core::{
    Policy,
    policy::seconds,
    remote::{Redis, RedisSettings, Remote, checks},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tests::{cluster::wait, redis::Server};
use tokio::task::block_in_place;

/// Not among those of [`all_are_answered`].
const KEY: u64 = 1000;

/// A master, its replica, and sentinels that watch them.
struct Scene {
    master: Server,
    replica: Server,
    sentinels: Vec<Server>,
}

impl Scene {
    fn start(sentinels: u16) -> Self {
        let fast = ["--repl-diskless-sync-delay", "0"];
        let master = Server::start_with(&fast);
        let of = ["--replicaof", "127.0.0.1", &master.port().to_string()];
        let replica = Server::start_with(&[&fast[..], &of].concat());
        wait("the replica is up to date", || {
            info(&replica).contains("master_link_status:up")
        });
        let quorum = sentinels / 2 + 1;
        let sentinels: Vec<_> = (0..sentinels)
            .map(|_| Server::sentinel("main", master.port(), quorum))
            .collect();
        for sentinel in &sentinels {
            let others = format!("sentinels={}", sentinels.len());
            wait("the sentinel knows them all", || {
                let info = info(sentinel);
                info.contains("slaves=1") && info.contains(&others)
            });
        }
        Self {
            master,
            replica,
            sentinels,
        }
    }

    fn url(&self) -> String {
        let host = |sentinel: &Server| format!("127.0.0.1:{}", sentinel.port());
        let hosts: Vec<String> = self.sentinels.iter().map(host).collect();
        format!("redis+sentinel://{}/main", hosts.join(","))
    }
}

/// Nothing from one that closes its connections, as when it changes places.
fn info(server: &Server) -> String {
    let info = server.try_ask(&["INFO"]);
    info.map_or_else(
        |_| String::new(),
        |info| redis::from_redis_value(info).unwrap(),
    )
}

#[tokio::test]
async fn the_master_that_sentinels_know_passes_the_checks_of_every_remote_tier() {
    let scene = Scene::start(1);
    let url = scene.url();
    let remote = redis(&url);
    up(&remote).await;
    let remote: Arc<dyn Remote> = Arc::new(remote);
    checks::all(&remote).await;
    // A database, and a sentinel that is away.
    let gone = tests::redis::free_port();
    let url = url.replace("sentinel://", &format!("sentinel://127.0.0.1:{gone},"));
    let remote = redis(&format!("{url}/3"));
    up(&remote).await;
    let cache: cache_core::Cache<u64> = cache_core::Cache::builder("it")
        .remote(Arc::new(remote))
        .build()
        .unwrap();
    cache.insert(&1, 1).await.unwrap();
    assert!(info(&scene.master).contains("db3:keys=1"));
}

#[tokio::test]
async fn sentinels_may_have_a_password_of_their_own() {
    let master = Server::start();
    let sentinel = Server::sentinel_with("main", master.port(), 1, "requirepass hidden\n");
    let url = format!("redis://127.0.0.1:{}", sentinel.port());
    let settings = || RedisSettings::sentinel("main", [&url]).unwrap();
    let without = Redis::with(settings()).unwrap();
    let with = settings().probe(seconds(1)).sentinel_password("hidden");
    assert!(!format!("{with:?}").contains("hidden"));
    up(&Redis::with(with).unwrap()).await;
    until("the complaint", async || {
        format!("{:?}", without.health()).contains("password")
    })
    .await;
}

/// RDS-11: who was a replica is the master, at another address.
#[tokio::test(flavor = "multi_thread")]
async fn rds_11_a_master_that_is_killed_is_replaced_by_who_the_sentinels_say() {
    let mut scene = Scene::start(3);
    let cache = hasty(&scene.url(), Policy::ttl(Duration::from_millis(50)));
    let [a, b] = [(); 2].map(|()| process(&scene.url(), policy()));
    for cache in [&cache, &a, &b] {
        coherent(cache).await;
    }
    a.insert(&KEY, 1).await.unwrap();
    assert_eq!(b.get(&KEY).await.as_deref(), Some(&1));
    let trouble = async {
        let promoted = block_in_place(|| {
            scene.master.kill();
            wait("the replica takes over", || {
                info(&scene.replica).contains("role:master")
            });
            Instant::now()
        });
        let took = until("writes work", async || {
            a.insert(&KEY, 2).await.unwrap();
            b.get(&KEY).await.is_some_and(|value| *value == 2)
        })
        .await;
        println!("writes work after {took:?}");
        assert!(promoted.elapsed() < seconds(5), "{:?}", promoted.elapsed());
    };
    assert!(all_are_answered(&cache, trouble).await > 200);
    for cache in [&a, &b] {
        coherent(cache).await;
    }
    a.insert(&KEY, 3).await.unwrap();
    until("the notice by the new master", async || {
        b.get(&KEY).await.is_some_and(|value| *value == 3)
    })
    .await;
}

/// Nothing breaks: the master becomes a replica of the other, and both answer.
#[tokio::test(flavor = "multi_thread")]
async fn rds_11_a_master_that_changes_places_is_left_for_the_other() {
    let scene = Scene::start(1);
    let [a, b] = [(); 2].map(|()| process(&scene.url(), policy()));
    for cache in [&a, &b] {
        coherent(cache).await;
    }
    a.insert(&1, 1).await.unwrap();
    assert_eq!(b.get(&1).await.as_deref(), Some(&1));
    block_in_place(|| {
        wait("a failover begins", || {
            scene.sentinels[0]
                .try_ask(&["SENTINEL", "FAILOVER", "main"])
                .is_ok()
        });
        wait("they have changed places", || {
            info(&scene.replica).contains("role:master")
                && info(&scene.master).contains("role:slave")
        });
    });
    let loads = Loads::default();
    let mut key = 100;
    until("writes work, and are heard of", async || {
        key += 1;
        for cache in [&a, &b] {
            let load = || loads.clone().load();
            cache.get_or_load(&key, load).await.unwrap();
        }
        a.insert(&1, key).await.unwrap();
        b.get(&1).await.is_some_and(|value| *value == key)
    })
    .await;
    for cache in [&a, &b] {
        coherent(cache).await;
    }
    a.insert(&1, 7).await.unwrap();
    until("the notice by the new master", async || {
        b.get(&1).await.is_some_and(|value| *value == 7)
    })
    .await;
}
