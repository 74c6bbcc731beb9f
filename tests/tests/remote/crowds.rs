//! Many at once: clients that lose a server together, and callers that come while it is away or slow.

use crate::support::{redis, settings, until, up};
use cache_core::remote::{Failure, Redis, Remote};
use futures_util::FutureExt as _;
use std::{sync::Arc, time::Duration};
use tests::{
    proxy::{Proxy, Way},
    redis::Server,
};
use tokio::{task::JoinSet, time::Instant};

const BUDGET: Duration = Duration::from_millis(20);

/// RDS-23: each client has one attempt under way, and four a second at most.
#[tokio::test(flavor = "multi_thread")]
async fn rds_23_clients_that_lose_a_server_together_do_not_storm_it() {
    const CLIENTS: u64 = 60;
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let clients: Vec<Redis> = (0..CLIENTS).map(|_| redis(&proxy.url())).collect();
    for client in &clients {
        up(client).await;
    }
    // Connections that hang at once, then such that are cut at once.
    for way in [Way::BlackHole, Way::Cut] {
        proxy.set(Way::Open);
        until("all connections", async || proxy.open() == 3 * CLIENTS).await;
        proxy.set_new(way);
        proxy.set_old(Way::Cut);
        // Who asks nothing does not notice.
        for client in &clients {
            until("the loss", async || {
                let _ = client.look(b"k", BUDGET).await;
                !client.health().is_up()
            })
            .await;
        }
        let (before, began) = (proxy.accepted(), Instant::now());
        let mut open = 0;
        while began.elapsed() < Duration::from_secs(3) {
            open = open.max(proxy.open());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let tried = proxy.accepted() - before;
        let most = 4.0 * CLIENTS as f64 * (began.elapsed().as_secs_f64() + 1.0);
        println!(
            "{way:?}: {tried} attempts in {:?}, {open} at once",
            began.elapsed()
        );
        assert!(tried >= CLIENTS, "each tries: {tried}");
        assert!(tried as f64 <= most, "{tried}, at most {most}");
        // A closed connection may not be seen as such at once.
        assert!(open <= CLIENTS + CLIENTS / 2, "{open} at once");
    }
    proxy.set(Way::Open);
    for client in &clients {
        up(client).await;
    }
}

/// RDS-24: what is asked meanwhile is answered in the caller's first step, which dials nothing.
#[tokio::test(flavor = "multi_thread")]
async fn rds_24_whoever_asks_while_it_is_dialled_waits_for_nothing() {
    let mut server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let remote = redis(&proxy.url());
    up(&remote).await;
    server.kill();
    proxy.set_new(Way::BlackHole);
    until("the loss", async || {
        let _ = remote.look(b"k", BUDGET).await;
        !remote.health().is_up()
    })
    .await;
    let (before, began, mut asked) = (proxy.accepted(), Instant::now(), 0_u64);
    while began.elapsed() < Duration::from_secs(2) {
        for _ in 0..100 {
            let first_step = remote.look(b"k", Duration::from_secs(10)).now_or_never();
            assert_eq!(first_step, Some(Err(Failure::Away)));
            let many = remote.look_many(&[b"k", b"l"], Duration::from_secs(10));
            assert_eq!(many.now_or_never(), Some(Err(Failure::Away)));
            asked += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let tried = (proxy.accepted() - before) as f64;
    println!("{tried} attempts while {asked} asked");
    assert!(asked > 1_000);
    assert!(
        tried <= 4.0 * (began.elapsed().as_secs_f64() + 1.0),
        "{tried}"
    );
}

/// RDS-25: behind a server that is slow nothing piles up.
#[tokio::test(flavor = "multi_thread")]
async fn rds_25_a_thousand_callers_of_a_slow_server_wait_no_longer_than_they_may() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let remote = Arc::new(redis(&proxy.url()));
    up(&remote).await;
    until("all connections", async || proxy.open() == 3).await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    proxy.set(Way::Slow(Duration::from_millis(50)));
    let mut callers = JoinSet::new();
    for n in 0..1_000_u32 {
        let remote = Arc::clone(&remote);
        callers.spawn(async move { remote.look(format!("k{n}").as_bytes(), BUDGET).await });
    }
    let answers = callers.join_all().await;
    assert_eq!(answers.len(), 1_000);
    for answer in answers {
        assert!(
            matches!(answer, Err(Failure::Late | Failure::Away)),
            "{answer:?}"
        );
    }
    until("nothing is left of them", async || tasks() <= before).await;
    assert!(proxy.open() <= 4, "the pool has no more");
}

/// RDS-25: long work has the connections that are left, and whoever gets none is told so in time.
#[tokio::test(flavor = "multi_thread")]
async fn rds_25_long_work_does_not_queue_for_a_connection() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let few = settings(&proxy.url()).connections(3);
    let remote = Arc::new(Redis::with(few).unwrap());
    up(&remote).await;
    until("all connections", async || proxy.open() == 3).await;
    proxy.set(Way::Slow(Duration::from_millis(100)));
    let mut work = JoinSet::new();
    for _ in 0..20 {
        let remote = Arc::clone(&remote);
        work.spawn(async move {
            let limit = Duration::from_secs(5);
            remote.invalidate_matching(b"it:", "*", limit).await
        });
    }
    let outcomes = work.join_all().await;
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let late = outcomes
        .iter()
        .filter(|outcome| **outcome == Err(Failure::Late))
        .count();
    println!("{done} done, {late} without a connection");
    assert_eq!(done + late, 20, "{outcomes:?}");
    assert!(late >= 15, "{late}: who waits longer than 20 ms gives up");
    assert!(proxy.open() <= 4, "three and the link");
}
