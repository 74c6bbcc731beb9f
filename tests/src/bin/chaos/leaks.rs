//! G13 and G16 with a remote tier: what is left when everything has ended.

use super::Counts;
use crate::load::{runtime, settings};
use cache_core::{
    Cache, Policy,
    policy::seconds,
    remote::{Redis, RemoteSettings},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tests::{figure::Figure, redis::Server};

/// Keys of one cycle.
const KEYS: u64 = 1000;
const CALLERS: u64 = 64;
const MIB: f64 = 1024.0 * 1024.0;

/// How long what is left in the background may take to end.
const SETTLING: Duration = Duration::from_secs(10);

pub(crate) fn run(cycles: u32) -> Counts {
    runtime().block_on(async {
        let server =
            Server::start_with(&["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]);
        let before = tasks();
        let cache = small(&server.url());
        crate::scenarios::coherent(&cache).await;
        let (cycles, ended) = (u64::from(cycles), Arc::<Ended>::default());
        // By then memory is full, and what is made once is there.
        let warm = (cycles / 10).max(25).min(cycles / 2);
        ask(&cache, 0..warm * KEYS, &ended).await;
        let early = resident();
        println!("  after {warm} cycles {:.2} MiB", early / MIB);
        let (mut asked, mut grown) = (warm, f64::NAN);
        while asked < cycles {
            let next = (asked + cycles.div_ceil(5)).min(cycles);
            ask(&cache, asked * KEYS..next * KEYS, &ended).await;
            (asked, grown) = (next, resident() - early);
            println!("  after {asked} cycles {:+.2} MiB", grown / MIB);
        }
        settle(&cache).await;
        let pending = cache.remote_stats().map_or((0, 0), |stats| stats.pending);
        let flights = cache.stats().flights;
        // One that could not be given back ends by itself within its time.
        tokio::time::sleep(seconds(2)).await;
        let leases: Vec<Vec<u8>> =
            redis::from_redis_value(server.ask(&["KEYS", "lease:*"])).expect("names are bytes");
        drop(cache);
        tokio::time::sleep(seconds(1)).await;
        let left = tasks().saturating_sub(before);
        println!("  {ended:?}");
        let none = |unit, count: f64| Figure::at_most(0.0, unit, count);
        let some = |part: f64, unit, count: &AtomicU64| {
            let least = (cycles * KEYS) as f64 * part;
            Figure::at_least(least, unit, count.load(Ordering::Relaxed) as f64)
        };
        vec![
            ("loaded", some(0.7, "values", &ended.loaded)),
            ("failed", some(0.05, "loads", &ended.failed)),
            ("left", some(0.02, "callers", &ended.left)),
            ("flights", none("left", flights as f64)),
            ("background", none("left", (pending.0 + pending.1) as f64)),
            ("leases", none("left in the server", leases.len() as f64)),
            ("tasks", none("left a second after the cache", left as f64)),
            ("grown", Figure::at_most(5.0, "MiB", grown / MIB)),
        ]
    })
}

#[derive(Debug, Default)]
struct Ended {
    loaded: AtomicU64,
    failed: AtomicU64,
    left: AtomicU64,
}

fn small(url: &str) -> Cache<u64> {
    let remote = Redis::with(settings(url)).expect("settings that work");
    Cache::builder("leaks")
        .policy(Policy::ttl(seconds(5)).failure_pause(Duration::ZERO, Duration::ZERO))
        .capacity(4 * 1024 * 1024)
        .remote(Arc::new(remote))
        .remote_settings(RemoteSettings::new().budget(seconds(1)))
        .build()
        .expect("settings that work")
}

async fn ask(cache: &Cache<u64>, keys: std::ops::Range<u64>, ended: &Arc<Ended>) {
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (cache, keys, ended) = (cache.clone(), keys.clone(), Arc::clone(ended));
        callers.spawn(async move {
            for key in keys.skip(caller as usize).step_by(CALLERS as usize) {
                one(&cache, key, &ended).await;
            }
        });
    }
    callers.join_all().await;
}

/// A tenth of the loads fails, some take a while, and some callers leave before the end.
async fn one(cache: &Cache<u64>, key: u64, ended: &Ended) {
    let load = || async move {
        if fastrand::u8(..5) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        match fastrand::u8(..10) {
            0 => Err("down"),
            _ => Ok(key),
        }
    };
    let asked = cache.get_or_load(&key, load);
    let patience = match fastrand::u8(..10) {
        0 => Duration::from_micros(fastrand::u64(..1500)),
        _ => seconds(60),
    };
    let count = match tokio::time::timeout(patience, asked).await {
        Ok(Ok(_)) => &ended.loaded,
        Ok(Err(_)) => &ended.failed,
        Err(_) => &ended.left,
    };
    count.fetch_add(1, Ordering::Relaxed);
}

async fn settle(cache: &Cache<u64>) {
    let until = Instant::now() + SETTLING;
    let is_busy = || {
        let pending = cache.remote_stats().map(|stats| stats.pending);
        cache.stats().flights > 0 || pending != Some((0, 0))
    };
    while is_busy() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn tasks() -> usize {
    let runtime = tokio::runtime::Handle::current();
    runtime.metrics().num_alive_tasks()
}

/// The memory of this process, in bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    kib.map_or(f64::NAN, |kib: f64| kib * 1024.0)
}
