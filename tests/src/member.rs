//! A process of a fleet, from within: it does as it is told, line by line, and says what it saw.
//!
//! | It is told | It does, and says |
//! |---|---|
//! | `cold KEY CALLERS MILLIS ok` (or `failing`) | so many ask for the key at once, a load of which takes so long; `loading KEY` for each load, then `answered LOADS GOOD FAILED MICROS`, of which the last is how long the slowest waited |
//! | `history OPERATIONS SOURCE` | [operations](crate::history) on values that are kept in the server at that URL, each as a line; then `done LOADS REFUSED UNCONFIRMED NANOS`, of which the last is how long the longest load took |

use crate::{history, monotonic};
use cache_core::{
    Cache, Policy,
    policy::minutes,
    remote::{Notice, Redis, RedisSettings, Remote, RemoteSettings, Watcher},
};
use std::{
    fmt::Display,
    io::{BufRead, Write, stdin, stdout},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A failure is remembered until a process that the machine holds up has heard of it.
const PAUSE: Duration = Duration::from_secs(2);

/// How a member is set up: the words it is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where Redis is.
    pub url: String,
    /// Of one request.
    pub budget: Duration,
    /// How long a lease lasts.
    pub lease: Duration,
    /// How often the link is asked.
    pub heartbeat: Duration,
    /// How long memory is trusted without being told.
    pub max_staleness: Duration,
}

impl Settings {
    /// What suits a fleet that is measured: the defaults, with patience where a machine is busy.
    #[must_use]
    pub fn of(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            budget: Duration::from_secs(1),
            lease: Duration::from_secs(2),
            heartbeat: Duration::from_millis(250),
            max_staleness: Duration::from_secs(3),
        }
    }

    /// The words that [`parse`](Self::parse) reads.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let millis = |time: Duration| time.as_millis().to_string();
        vec![
            self.url.clone(),
            millis(self.budget),
            millis(self.lease),
            millis(self.heartbeat),
            millis(self.max_staleness),
        ]
    }

    /// Reads the words of [`words`](Self::words).
    #[must_use]
    pub fn parse(words: &[String]) -> Option<Self> {
        let [url, times @ ..] = words else {
            return None;
        };
        let times: Vec<Duration> = times
            .iter()
            .filter_map(|word| word.parse().ok().map(Duration::from_millis))
            .collect();
        match times.as_slice() {
            [budget, lease, heartbeat, max_staleness] => Some(Self {
                url: url.clone(),
                budget: *budget,
                lease: *lease,
                heartbeat: *heartbeat,
                max_staleness: *max_staleness,
            }),
            _ => None,
        }
    }

    /// A connection of its own, and how it is used.
    pub(crate) fn remote(&self) -> (Arc<dyn Remote>, RemoteSettings) {
        let redis = RedisSettings::new(&self.url)
            .and_then(|redis| {
                let redis = redis.heartbeat(self.heartbeat);
                Redis::with(redis.probe(Duration::from_millis(200)))
            })
            .expect("settings that work");
        let settings = RemoteSettings::new()
            .budget(self.budget)
            .lease(self.lease)
            .max_staleness(self.max_staleness);
        (Arc::new(redis), settings)
    }
}

/// Does as it is told, until there is nobody any more who tells it anything.
///
/// # Panics
///
/// Where it is told what it does not understand.
pub fn serve(words: &[String]) {
    let settings = Settings::parse(words).expect("the words of settings");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let member = runtime.block_on(Member::new(settings));
    say("ready");
    for order in stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = order.split(' ').collect();
        match words.as_slice() {
            ["cold", key, callers, millis, outcome] => {
                let load = Load {
                    key: number(key),
                    callers: number(callers),
                    time: Duration::from_millis(number(millis)),
                    is_good: *outcome == "ok",
                };
                runtime.spawn(cold(member.cache.clone(), load));
            }
            ["history", operations, source] => {
                let past = history::operate(&member, number(operations), source);
                runtime.block_on(past);
            }
            _ => unreachable!("`{order}` is no order"),
        }
    }
    runtime.shutdown_background();
}

/// One line to whoever started this process.
pub(crate) fn say(line: impl Display) {
    // Without anybody who listens this process is about to end.
    let _ = writeln!(stdout().lock(), "{line}");
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

/// One process of a fleet.
pub(crate) struct Member {
    pub(crate) settings: Settings,
    pub(crate) remote: Arc<dyn Remote>,
    pub(crate) cache: Cache<u64>,
    pub(crate) hearing: Arc<Hearing>,
}

impl Member {
    async fn new(settings: Settings) -> Self {
        let (remote, how) = settings.remote();
        let cache = Cache::builder("fleet")
            .policy(Policy::ttl(minutes(5)).failure_pause(PAUSE, PAUSE))
            .remote(Arc::clone(&remote))
            .remote_settings(how)
            .build()
            .expect("settings that work");
        while !cache.remote_stats().is_some_and(|stats| stats.is_coherent) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self {
            hearing: Arc::new(Hearing::new(settings.max_staleness)),
            settings,
            remote,
            cache,
        }
    }
}

struct Load {
    key: u64,
    callers: u64,
    time: Duration,
    is_good: bool,
}

#[allow(
    clippy::disallowed_methods,
    reason = "the clock rule is for the caches; here a clock measures"
)]
async fn cold(cache: Cache<u64>, load: Load) {
    let Load {
        key,
        callers,
        time,
        is_good,
    } = load;
    let (loads, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (cache, loads) = (cache.clone(), Arc::clone(&loads));
        asking.spawn(async move {
            let load = || async move {
                loads.fetch_add(1, Ordering::Relaxed);
                say(format_args!("loading {key}"));
                tokio::time::sleep(time).await;
                if is_good { Ok(key) } else { Err("down") }
            };
            cache.get_or_load(&key, load).await.is_ok()
        });
    }
    let good = asking.join_all().await.into_iter().filter(|good| *good);
    let good = good.count() as u64;
    let (loads, took) = (loads.load(Ordering::Relaxed), began.elapsed().as_micros());
    say(format_args!(
        "answered {loads} {good} {} {took}",
        callers - good
    ));
}

/// Up to when this process has been told of all changes.
pub(crate) struct Hearing {
    /// In nanoseconds; 0 while it is not told.
    upto: AtomicU64,
    /// From when on all that is in memory has been told of, in nanoseconds.
    sure: AtomicU64,
    losses: AtomicU64,
    max_staleness: Duration,
}

impl Hearing {
    fn new(max_staleness: Duration) -> Self {
        Self {
            upto: AtomicU64::new(0),
            sure: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            max_staleness,
        }
    }

    /// To be called after the caches were made: who watches first is told first.
    pub(crate) fn begin(self: &Arc<Self>, remote: &Arc<dyn Remote>) {
        let weak: Weak<Self> = Arc::downgrade(self);
        remote.watch(weak);
    }

    /// What was acknowledged before this moment has been told of; 0 where that is not sure.
    pub(crate) fn told(&self) -> u64 {
        let upto = self.upto.load(Ordering::Acquire);
        if upto >= self.sure.load(Ordering::Acquire) {
            upto
        } else {
            0
        }
    }
}

impl Watcher for Hearing {
    fn notice(&self, notice: Notice<'_>) {
        let now = monotonic::nanos();
        match notice {
            Notice::Heard { within } => {
                let within = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
                if self.upto.load(Ordering::Acquire) == 0 && self.losses.load(Ordering::Acquire) > 0
                {
                    // What was in memory before is used for so long, told or not.
                    let bound = u64::try_from(self.max_staleness.as_nanos()).unwrap_or(u64::MAX);
                    self.sure.store(now + bound, Ordering::Release);
                }
                self.upto
                    .store(now.saturating_sub(within), Ordering::Release);
            }
            Notice::Lost => {
                self.losses.fetch_add(1, Ordering::AcqRel);
                self.upto.store(0, Ordering::Release);
            }
            _ => {}
        }
    }
}
