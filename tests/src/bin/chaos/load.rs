//! Requests in an open loop.

use crate::late::{Lateness, Watch};
use cache_core::{
    Cache, Policy,
    remote::{Redis, RedisSettings},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const RATE: u64 = 2_000;
const KEYS: u64 = 2_000;

/// A cache whose entries live so shortly that most requests reach the remote tier.
pub(crate) fn process(url: &str) -> Cache<u64> {
    let remote = Redis::with(settings(url)).expect("settings that work");
    Cache::builder("chaos")
        .policy(Policy::ttl(Duration::from_millis(250)))
        .remote(Arc::new(remote))
        .build()
        .expect("settings that work")
}

pub(crate) fn settings(url: &str) -> RedisSettings {
    RedisSettings::new(url).expect("a URL")
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

/// What requests felt.
#[derive(Default)]
pub(crate) struct Felt {
    pub(crate) times: Mutex<Vec<Duration>>,
    /// The slow ones, and when they were meant to begin.
    slow: Mutex<Vec<(Instant, Duration)>>,
    late: Mutex<Lateness>,
    pub(crate) failed: AtomicU64,
    pub(crate) wrong: AtomicU64,
}

impl Felt {
    /// The share `part` of all took at most this long, in milliseconds.
    pub(crate) fn percentile(&self, part: f64) -> f64 {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.sort();
        let index = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
        times
            .get(index)
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }

    /// Shows the slowest, and how late the process and the machine were meanwhile.
    pub(crate) fn explain(&self) {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        for (at, time) in slow.iter().take(5) {
            println!(
                "  slow: {:.1} ms at second {:.3}; {}",
                time.as_secs_f64() * 1e3,
                late.second(*at),
                late.meanwhile(*at, *time)
            );
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.times
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

/// Asks at the rate while `trouble` lasts, and says what was felt.
pub(crate) async fn during(cache: &Cache<u64>, trouble: impl Future<Output = ()>) -> Arc<Felt> {
    let (felt, done) = (Arc::new(Felt::default()), Arc::new(AtomicBool::new(false)));
    let watch = Watch::start();
    let asking = tokio::spawn(ask(cache.clone(), Arc::clone(&felt), Arc::clone(&done)));
    trouble.await;
    done.store(true, Ordering::Relaxed);
    asking.await.expect("asking goes on to its end");
    *felt.late.lock().unwrap_or_else(PoisonError::into_inner) = watch.end();
    felt
}

async fn ask(cache: Cache<u64>, felt: Arc<Felt>, done: Arc<AtomicBool>) {
    let began = Instant::now();
    let mut requests = tokio::task::JoinSet::new();
    let mut asked = 0;
    while !done.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let due = began.elapsed().as_micros() as u64 * RATE / 1_000_000;
        while asked < due {
            let intended = began + Duration::from_micros(asked * 1_000_000 / RATE);
            requests.spawn(request(cache.clone(), Arc::clone(&felt), intended));
            asked += 1;
        }
        while requests.try_join_next().is_some() {}
    }
    requests.join_all().await;
}

async fn request(cache: Cache<u64>, felt: Arc<Felt>, intended: Instant) {
    let key = fastrand::u64(..KEYS);
    let load = || async move { Ok::<u64, String>(key * 7) };
    match cache.get_or_load(&key, load).await {
        Ok(value) if *value == key * 7 => {}
        Ok(_) => {
            felt.wrong.fetch_add(1, Ordering::Relaxed);
        }
        Err(_) => {
            felt.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
    let time = intended.elapsed();
    if time > Duration::from_millis(20) {
        let mut slow = felt.slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.push((intended, time));
    }
    felt.times
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(time);
}
