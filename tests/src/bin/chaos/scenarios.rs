//! What happens to Redis, and what has to hold meanwhile.

use crate::load::{Felt, during, process, runtime, settings};
use cache_core::{
    Cache, Policy,
    policy::minutes,
    remote::{Redis, Remote},
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use tests::{
    cluster::Cluster,
    figure::Figure,
    proxy::{Proxy, Way},
    redis::Server,
};

type Figures = Vec<(&'static str, Figure)>;

const HALF_SECOND: Duration = Duration::from_millis(500);
const BUDGET: Duration = Duration::from_millis(20);

fn run<F: Future<Output = Figures>>(scenario: F) -> Figures {
    runtime().block_on(scenario)
}

pub(crate) async fn coherent(cache: &Cache<u64>) {
    while !cache.remote_stats().is_some_and(|stats| stats.is_coherent) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn healthy(cache: &Cache<u64>) -> f64 {
    let felt = during(cache, tokio::time::sleep(Duration::from_secs(5))).await;
    let p99 = felt.percentile(0.99);
    println!(
        "  healthy: p99 {p99:.2} ms, longest {:.2} ms",
        felt.percentile(1.0)
    );
    p99
}

fn judged(felt: &Felt, healthy: f64, longest: f64) -> Figures {
    println!("  {} requests", felt.count());
    felt.explain();
    let count = |number: &AtomicU64| number.load(Ordering::Relaxed) as f64;
    vec![
        (
            "failed",
            Figure::at_most(0.0, "requests", count(&felt.failed)),
        ),
        ("wrong", Figure::at_most(0.0, "values", count(&felt.wrong))),
        (
            "p99",
            Figure::at_most((healthy + 5.0).round(), "ms", felt.percentile(0.99)),
        ),
        (
            "longest",
            Figure::at_most(longest, "ms", felt.percentile(1.0)),
        ),
    ]
}

/// G2.
pub(crate) fn kill(cycles: u32) -> Figures {
    away(cycles, HALF_SECOND, 40.0, Server::kill, Server::run)
}

/// G3.
pub(crate) fn freeze(cycles: u32) -> Figures {
    frozen(cycles, HALF_SECOND)
}

/// G3: `seconds` once.
pub(crate) fn long_freeze(seconds: u32) -> Figures {
    frozen(1, Duration::from_secs(u64::from(seconds)))
}

fn frozen(cycles: u32, time: Duration) -> Figures {
    let mut figures = away(cycles, time, 30.0, Server::freeze, Server::thaw);
    // A share of the requests may pay the budget: the percentile is not bounded here.
    figures.retain(|(name, _)| *name != "p99");
    figures
}

/// What requests feel whose server goes away for `time` and comes back for half a second, again and again.
fn away(
    cycles: u32,
    time: Duration,
    longest: f64,
    goes: fn(&mut Server),
    comes: fn(&mut Server),
) -> Figures {
    run(async move {
        let mut server = Server::start();
        let cache = process(&server.url());
        coherent(&cache).await;
        let healthy = healthy(&cache).await;
        let felt = during(&cache, async {
            for _ in 0..cycles {
                tokio::task::block_in_place(|| goes(&mut server));
                tokio::time::sleep(time).await;
                tokio::task::block_in_place(|| comes(&mut server));
                tokio::time::sleep(HALF_SECOND).await;
            }
        })
        .await;
        judged(&felt, healthy, longest)
    })
}

/// G2, for a cluster: a master is killed, its replica takes over, and it comes back as a replica.
pub(crate) fn cluster(cycles: u32) -> Figures {
    run(async move {
        let mut cluster = tokio::task::block_in_place(|| Cluster::start(3, 3));
        let cache = process(&cluster.url());
        coherent(&cache).await;
        let healthy = healthy(&cache).await;
        let felt = during(&cache, async {
            for cycle in 0..cycles as usize {
                tokio::task::block_in_place(|| cluster.replace(cycle % 3));
                tokio::time::sleep(HALF_SECOND).await;
            }
        })
        .await;
        println!(
            "  used again: {}",
            cache.remote_stats().is_some_and(|stats| stats.is_coherent)
        );
        judged(&felt, healthy, 40.0)
    })
}

/// G6, for a cluster: a process that starts while the node with the groups is away, and not replaced yet.
pub(crate) fn late_start(cycles: u32) -> Figures {
    run(async move {
        let mut cluster = tokio::task::block_in_place(|| Cluster::start(3, 3));
        let (mut ready, mut used) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..cycles {
            // Of the name that the default prefix gives to what the groups lie beside.
            let owner = cluster.owner("lease:{cache:}%born");
            let gone = tokio::task::block_in_place(|| cluster.kill_master(owner % 3));
            let began = Instant::now();
            let cache = process(&cluster.url());
            let first = stores(&cache, 0).await;
            ready = ready.max(began.elapsed());
            assert!(!first, "there is no clock yet");
            tokio::task::block_in_place(|| cluster.is_replaced_soon(&gone));
            let (began, mut key) = (Instant::now(), 0);
            while !stores(&cache, key).await {
                key += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            coherent(&cache).await;
            used = used.max(began.elapsed());
            tokio::task::block_in_place(|| cluster.bring_back(&gone));
        }
        vec![
            (
                "ready",
                Figure::at_most(200.0, "ms", ready.as_secs_f64() * 1e3),
            ),
            (
                "used after it was replaced",
                Figure::at_most(1000.0, "ms", used.as_secs_f64() * 1e3),
            ),
        ]
    })
}

/// Loads something, and says whether others can find anything that was loaded so far.
async fn stores(cache: &Cache<u64>, key: u64) -> bool {
    let load = || async { Ok::<u64, String>(7) };
    assert!(cache.get_or_load(&key, load).await.is_ok());
    cache.stats().remote_stored > 0
}

/// G4.
pub(crate) fn half_open(cycles: u32) -> Figures {
    run(async move {
        let server = Server::start();
        let proxy = Proxy::before(server.port()).await;
        let remote = Redis::with(settings(&proxy.url())).expect("settings that work");
        let mut longest = Duration::ZERO;
        for _ in 0..cycles {
            while remote.look(b"k", BUDGET).await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(1200)).await;
            proxy.set_old(Way::BlackHole);
            let began = Instant::now();
            while remote.look(b"k", BUDGET).await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            longest = longest.max(began.elapsed());
        }
        vec![(
            "healed",
            Figure::at_most(150.0, "ms", longest.as_secs_f64() * 1e3),
        )]
    })
}

/// G5 and G6.
pub(crate) fn start(cycles: u32) -> Figures {
    run(async move {
        let (mut ready, mut used) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..cycles {
            let mut server = Server::stopped();
            let began = Instant::now();
            let cache = process(&server.url());
            let first = cache
                .get_or_load(&1, || async { Ok::<u64, String>(7) })
                .await;
            ready = ready.max(began.elapsed());
            assert!(first.is_ok());
            tokio::time::sleep(Duration::from_secs(1)).await;
            tokio::task::block_in_place(|| server.run());
            let began = Instant::now();
            while !cache
                .remote_stats()
                .is_some_and(|stats| stats.health.is_up())
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            used = used.max(began.elapsed());
        }
        vec![
            (
                "ready",
                Figure::at_most(200.0, "ms", ready.as_secs_f64() * 1e3),
            ),
            (
                "used again",
                Figure::at_most(1000.0, "ms", used.as_secs_f64() * 1e3),
            ),
        ]
    })
}

/// G7.
pub(crate) fn read_only(cycles: u32) -> Figures {
    run(async move {
        let server = Server::start();
        let cache = process(&server.url());
        coherent(&cache).await;
        let (mut longest, mut failed, mut key) = (Duration::ZERO, 0.0, 0);
        for _ in 0..cycles {
            let _ = server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
            for _ in 0..50 {
                key += 1;
                let loaded = cache
                    .get_or_load(&key, || async { Ok::<u64, String>(7) })
                    .await;
                failed += f64::from(u8::from(loaded.is_err()));
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let _ = server.ask(&["REPLICAOF", "NO", "ONE"]);
            let (began, before) = (Instant::now(), cache.stats().remote_stored);
            while cache.stats().remote_stored == before {
                key += 1;
                let loaded = cache
                    .get_or_load(&key, || async { Ok::<u64, String>(7) })
                    .await;
                failed += f64::from(u8::from(loaded.is_err()));
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            longest = longest.max(began.elapsed());
        }
        vec![
            ("failed", Figure::at_most(0.0, "requests", failed)),
            (
                "writes work",
                Figure::at_most(1000.0, "ms", longest.as_secs_f64() * 1e3),
            ),
        ]
    })
}

/// G15, with the link up.
pub(crate) fn notices(cycles: u32) -> Figures {
    run(async move {
        let server = Server::start();
        let (a, b) = (process(&server.url()), process(&server.url()));
        let long = Policy::ttl(minutes(5));
        let (a, b) = (
            a.with_policy(long.clone()).expect("a policy that works"),
            b.with_policy(long).expect("a policy that works"),
        );
        coherent(&a).await;
        coherent(&b).await;
        let felt = Felt::default();
        for key in 0..u64::from(cycles) {
            a.insert(&key, 1).await.expect("a number has an encoding");
            while b.in_memory(&key).is_none() {
                b.get(&key).await;
            }
            let began = Instant::now();
            let invalidate = {
                let a = a.clone();
                tokio::spawn(async move { a.invalidate(&key).await })
            };
            while b.in_memory(&key).is_some() {
                tokio::task::yield_now().await;
            }
            let time = began.elapsed();
            invalidate.await.expect("it ends");
            felt.times
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push(time);
        }
        vec![("p99", Figure::at_most(50.0, "ms", felt.percentile(0.99)))]
    })
}
