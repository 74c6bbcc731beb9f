//! Servers that die, freeze and come back. Three cycles of each; `cargo xtask chaos` runs a hundred.

use crate::support::{
    Loads, coherent, hasty, policy, process, redis, requests, settings, until, up,
};
use cache_core::{
    Cache, Policy,
    policy::seconds,
    remote::{Failure, Notice, Redis, Remote, State, Watcher},
};
use futures_util::future::poll_immediate;
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tests::{
    proxy::{Proxy, Way},
    redis::Server,
};

const BUDGET: Duration = Duration::from_millis(20);

/// Requests of many keys while `trouble` lasts: all answered, none wrong, each counted once.
pub(crate) async fn all_are_answered(cache: &Cache<u64>, trouble: impl Future<Output = ()>) -> u64 {
    let before = requests(&[cache.stats()]);
    let asked = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (cache, asked) = (cache.clone(), Arc::clone(&asked));
            tokio::spawn(async move {
                loop {
                    let key = fastrand::u64(..500);
                    let load = || async move { Ok::<u64, String>(key * 3) };
                    // Before it is answered: who is aborted has asked.
                    asked.fetch_add(1, Ordering::Relaxed);
                    let value = cache
                        .get_or_load(&key, load)
                        .await
                        .expect("every request is answered");
                    assert_eq!(*value, key * 3, "a wrong value");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            })
        })
        .collect();
    trouble.await;
    for task in tasks {
        assert!(!task.is_finished(), "no request failed");
        task.abort();
        let _ = task.await;
    }
    let asked = asked.load(Ordering::Relaxed);
    let counted = requests(&[cache.stats()]) - before;
    assert_eq!(counted, asked, "{:?}", cache.stats());
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn rds_02_a_server_that_is_killed_and_restarted_fails_no_request() {
    let mut server = Server::start();
    let cache = hasty(&server.url(), Policy::ttl(Duration::from_millis(50)));
    coherent(&cache).await;
    let trouble = async {
        for _ in 0..3 {
            server.kill();
            tokio::time::sleep(Duration::from_millis(500)).await;
            tokio::task::block_in_place(|| server.run());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    assert!(all_are_answered(&cache, trouble).await > 500);
    until("recovery", async || {
        cache.remote_stats().unwrap().is_coherent
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rds_03_a_server_that_freezes_costs_a_few_requests_their_budget() {
    let mut server = Server::start();
    let remote = redis(&server.url());
    up(&remote).await;
    let cache = hasty(&server.url(), Policy::ttl(Duration::from_millis(50)));
    coherent(&cache).await;
    let trouble = async {
        for _ in 0..3 {
            tokio::task::block_in_place(|| server.freeze());
            tokio::time::sleep(Duration::from_millis(500)).await;
            tokio::task::block_in_place(|| server.thaw());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    assert!(all_are_answered(&cache, trouble).await > 500);
    tokio::task::block_in_place(|| server.freeze());
    let mut late = 0;
    for _ in 0..10 {
        let mut look = remote.look(b"k", BUDGET);
        match poll_immediate(&mut look).await {
            Some(answer) => assert_eq!(answer, Err(Failure::Away)),
            None => {
                assert_eq!(look.await, Err(Failure::Late));
                late += 1;
            }
        }
    }
    assert_eq!(late, 3, "then nobody waits for it");
}

/// So that who waits for the load of another need not ask in vain as well.
#[tokio::test(flavor = "multi_thread")]
async fn rds_03_who_waits_is_told_of_a_server_that_freezes() {
    let mut server = Server::start();
    let remote = redis(&server.url());
    up(&remote).await;
    let silences = Arc::new(Silences::default());
    let weak: Weak<Silences> = Arc::downgrade(&silences);
    remote.watch(weak);
    tokio::task::block_in_place(|| server.freeze());
    for told in [0, 0, 1] {
        assert_eq!(remote.look(b"k", BUDGET).await, Err(Failure::Late));
        assert_eq!(silences.0.load(Ordering::Relaxed), told);
    }
    assert!(!remote.health().is_up());
}

#[derive(Default)]
struct Silences(AtomicU64);

impl Watcher for Silences {
    fn notice(&self, notice: Notice<'_>) {
        if notice == Notice::Silent {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What a frozen server was asked for it does when it goes on, when nobody waits for it any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_thawed_server_blocks_no_key() {
    let mut server = Server::start();
    let cache = hasty(&server.url(), policy());
    coherent(&cache).await;
    tokio::task::block_in_place(|| server.freeze());
    let loads = Loads::default();
    for key in 0..10_u64 {
        cache
            .get_or_load(&key, || loads.clone().load())
            .await
            .unwrap();
    }
    tokio::task::block_in_place(|| server.thaw());
    until("recovery", async || {
        cache.remote_stats().unwrap().is_coherent
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let leases: Vec<String> = redis::from_redis_value(server.ask(&["KEYS", "lease:*"])).unwrap();
    assert!(leases.is_empty(), "{leases:?}");
}

#[tokio::test]
async fn rds_04_a_half_open_link_is_replaced_after_three_silent_requests() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let remote = redis(&proxy.url());
    up(&remote).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    proxy.set_old(Way::BlackHole);
    let began = Instant::now();
    let mut late = 0;
    while let Err(failure) = remote.look(b"k", BUDGET).await {
        late += u64::from(failure == Failure::Late);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(began.elapsed() < seconds(5));
    }
    println!("healed after {:?}", began.elapsed());
    assert_eq!(late, 3);
}

#[tokio::test]
async fn rds_01_without_a_server_it_starts_and_uses_it_when_it_appears() {
    let mut server = Server::stopped();
    let began = Instant::now();
    let cache = hasty(&server.url(), policy());
    let loads = Loads::default();
    assert_eq!(
        *cache
            .get_or_load(&1, || loads.clone().load())
            .await
            .unwrap(),
        1
    );
    assert!(
        began.elapsed() < Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
    tokio::time::sleep(Duration::from_millis(700)).await;
    let State::Down(reason) = cache.remote_stats().unwrap().health.state else {
        panic!("{:?}", cache.remote_stats());
    };
    assert!(reason.contains("nothing listens"), "{reason}");
    server.run();
    let took = until("a connection", async || {
        cache.remote_stats().unwrap().health.is_up()
    })
    .await;
    println!("used again after {took:?}");
    assert!(took < seconds(2), "{took:?}");
}

/// Nobody asks for anything meanwhile: the end of the link is the only sign.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_sends_nothing_notices_a_server_that_went_away() {
    let mut server = Server::start();
    let cache = hasty(&server.url(), policy());
    let is_up = || cache.remote_stats().unwrap().health.is_up();
    coherent(&cache).await;
    tokio::task::block_in_place(|| server.freeze());
    until("the silence is noticed", async || !is_up()).await;
    tokio::task::block_in_place(|| server.thaw());
    until("recovery", async || is_up()).await;
    coherent(&cache).await;
    server.kill();
    until("the end is noticed", async || !is_up()).await;
    tokio::task::block_in_place(|| server.run());
    until("recovery", async || is_up()).await;
    assert_eq!(cache.stats().remote_failures, 0, "no request was needed");
}

/// RDS-06, RDS-24: whoever accepts and never answers keeps nobody waiting.
#[tokio::test]
async fn rds_06_a_tarpit_is_dialled_in_the_background_alone() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    proxy.set_new(Way::BlackHole);
    let remote = redis(&proxy.url());
    let began = Instant::now();
    for _ in 0..100 {
        let at_once = poll_immediate(remote.look(b"k", BUDGET)).await;
        assert_eq!(at_once, Some(Err(Failure::Away)));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let attempts = proxy.accepted();
    println!("{attempts} attempts in {seconds:.1} s");
    assert!(
        attempts as f64 <= 4.0 * (seconds + 1.0),
        "RDS-23: {attempts} in {seconds}"
    );
}

/// RDS-11: the server becomes a replica, and later the address leads to a master again.
#[tokio::test]
async fn rds_11_after_a_failover_writes_work_again() {
    let server = Server::start();
    let cache = process(&server.url(), policy());
    coherent(&cache).await;
    let _ = server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    let loads = Loads::default();
    for key in 0..20_u64 {
        cache
            .get_or_load(&key, || loads.clone().load())
            .await
            .unwrap();
    }
    assert_eq!(
        loads.count(),
        20,
        "reads go on, writes do not, nobody fails"
    );
    let _ = server.ask(&["REPLICAOF", "NO", "ONE"]);
    let mut key = 100;
    let took = until("a write", async || {
        key += 1;
        cache
            .get_or_load(&key, || loads.clone().load())
            .await
            .unwrap();
        cache.stats().remote_stored > 0
    })
    .await;
    println!("writes work after {took:?}");
    assert!(took < seconds(2));
}

/// RDS-10: a server without room refuses writes; reads go on.
#[tokio::test]
async fn rds_10_a_full_server_is_still_read() {
    let server = Server::start_with(&["--maxmemory-policy", "noeviction"]);
    let cache = process(&server.url(), policy());
    let other = process(&server.url(), policy());
    coherent(&cache).await;
    coherent(&other).await;
    cache.insert(&1, 1).await.unwrap();
    let _ = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let loads = Loads::default();
    let server_dialled = server.info("total_connections_received");
    for key in 2..12_u64 {
        cache
            .get_or_load(&key, || loads.clone().load())
            .await
            .unwrap();
    }
    // The operator, who asks this, is one.
    let dialled = server.info("total_connections_received") - server_dialled;
    assert_eq!(dialled, 1, "no connection was given up");
    assert!(
        cache.remote_stats().unwrap().health.is_up(),
        "{:?}",
        cache.remote_stats()
    );
    assert_eq!(*other.get(&1).await.unwrap(), 1);
    let stats = cache.stats();
    assert_eq!(stats.remote_stored, 0);
    assert!(
        stats.remote_failures >= 10,
        "every write is counted: {stats:?}"
    );
    let _ = server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    cache
        .get_or_load(&20, || loads.clone().load())
        .await
        .unwrap();
    assert_eq!(
        cache.stats().remote_stored,
        1,
        "with room it is written again"
    );
}

/// RDS-22: requests dropped at any moment leave no answer for the next.
#[tokio::test(flavor = "multi_thread")]
async fn rds_22_dropped_requests_do_not_answer_others() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let remote = Arc::new(redis(&proxy.url()));
    up(&remote).await;
    for key in 0..200_u64 {
        let name = format!("k{key}");
        let value = cache_core::remote::Value {
            bytes: name.clone().into(),
            lasting: seconds(60),
        };
        remote
            .put_many(&[(name.as_bytes(), value)], seconds(1))
            .await
            .unwrap();
    }
    proxy.set(Way::Slow(Duration::from_millis(2)));
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let remote = Arc::clone(&remote);
            tokio::spawn(async move {
                let mut completed = 0;
                for _ in 0..300 {
                    let name = format!("k{}", fastrand::u64(..200));
                    let asked = remote.look(name.as_bytes(), Duration::from_millis(500));
                    let patience = Duration::from_micros(fastrand::u64(..10_000));
                    if let Ok(Ok(found)) = tokio::time::timeout(patience, asked).await {
                        assert_eq!(found.unwrap().bytes, name.as_bytes());
                        completed += 1;
                    }
                }
                completed
            })
        })
        .collect();
    let mut completed = 0;
    for task in tasks {
        completed += task.await.unwrap();
    }
    println!("{completed} of 9600 completed");
    assert!((100..9600).contains(&completed), "{completed}");
}

/// G16 and ASY-17: a second after the last handle is gone nothing is left, also in the server.
#[tokio::test]
async fn dropping_the_cache_ends_its_tasks_and_connections() {
    let server = Server::start();
    let before = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    let cache = process(&server.url(), policy());
    coherent(&cache).await;
    let loads = Loads::default();
    cache
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    assert!(server.info("connected_clients") >= 3);
    drop(cache);
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks(),
        before
    );
    assert_eq!(server.info("connected_clients"), 1, "the operator who asks");
}

/// As an actix worker that stopped: the next request brings its own runtime.
#[test]
fn asy_18_a_cache_outlives_the_runtime_it_was_first_used_in() {
    let server = Server::start();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let cache = process(&server.url(), policy());
    let loads = Loads::default();
    for key in 0..3_u64 {
        let runtime = runtime();
        runtime.block_on(async {
            until("a connection", async || {
                cache.get(&99).await;
                let stats = cache.remote_stats().unwrap();
                stats.health.is_up() && stats.is_coherent
            })
            .await;
            cache
                .get_or_load(&key, || loads.clone().load())
                .await
                .unwrap();
        });
        drop(runtime);
    }
    assert_eq!(cache.stats().remote_stored, 3);
}

#[tokio::test]
async fn a_limit_is_kept_whatever_the_way() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let remote = Redis::with(settings(&proxy.url()).probe(seconds(1))).unwrap();
    up(&remote).await;
    proxy.set(Way::Slow(Duration::from_millis(100)));
    let asked = Instant::now();
    assert_eq!(remote.look(b"k", BUDGET).await, Err(Failure::Late));
    assert!(
        asked.elapsed() < Duration::from_millis(60),
        "{:?}",
        asked.elapsed()
    );
}
