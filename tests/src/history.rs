//! Histories over a real server and real processes: what was read, when, beside what had been
//! invalidated by then.
//!
//! Each process notes its operations with the times of a clock that all read alike; who started them
//! merges the notes and checks them. A value is the version of its source, which only rises, and each
//! write raises it before it invalidates. So of a read that gave version `v`:
//!
//! 1. `v` is no older than what the same process had invalidated before the read began.
//! 2. `v` is no older than what any process had invalidated before a moment of which the reader's
//!    process had been told everything when the read began: no notice can be on its way any more. (It
//!    is told so by the heartbeats of its link.)
//! 3. `v` is no older than what any process had invalidated longer ago than `max_staleness` and the
//!    longest load together: a read joins a load that another caller of its process began before.
//! 4. `v` had been written when the read ended.
//!
//! Between two of its steps any operation pauses: on the way to the server and back, where a proxy
//! holds bytes up; in the loader, before and after it reads the source; between a write of the source
//! and the invalidation; and wherever the process is when it is stopped.

use crate::{
    figure::Figure,
    member::{Member, Settings, say},
    monotonic::nanos,
    process::Process,
    proxy::{Proxy, Way},
    redis::Server,
};
use bytes::Bytes;
use cache_core::{Cache, Policy, policy::minutes};
use cache_tower::{HttpCache, ResponseBody, adapter::Purger};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Empty, Full};
use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection};
use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};

/// The first are those of a typed cache, the others pages of an HTTP cache.
const KEYS: u64 = 16;
const PAGES: u64 = 4;
const GROUPS: u64 = 4;
/// In each process.
const WORKERS: u64 = 40;
const BOUND: Duration = Duration::from_secs(1);

type App = BoxCloneSyncService<Request<Empty<Bytes>>, Response<ResponseBody<Full<Bytes>>>, String>;

/// What the operations of one process have in common.
struct Scene {
    source: MultiplexedConnection,
    caches: Vec<Cache<u64>>,
    pages: HttpCache,
    app: App,
    member: Arc<crate::member::Hearing>,
    loads: AtomicU64,
    /// The longest load of a value, in nanoseconds.
    longest: AtomicU64,
    unconfirmed: AtomicU64,
}

pub(crate) async fn operate(member: &Member, operations: u64, source: &str) {
    let scene = Arc::new(Scene::new(member, source).await);
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let scene = Arc::clone(&scene);
        let share = operations / WORKERS + u64::from(worker < operations % WORKERS);
        workers.spawn(async move {
            for _ in 0..share {
                scene.operation().await;
            }
        });
    }
    workers.join_all().await;
    let refused = member.cache.stats().remote_refused + scene.pages.stats().remote_refused;
    let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
    say(format_args!(
        "done {} {refused} {} {}",
        count(&scene.loads),
        count(&scene.unconfirmed),
        count(&scene.longest)
    ));
}

impl Scene {
    async fn new(member: &Member, source: &str) -> Self {
        let config =
            AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(60)));
        let client = Client::open(source).expect("a URL");
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        let source = connection.await.expect("the source answers");
        let policy = Policy::ttl(minutes(5)).failure_pause(Duration::ZERO, Duration::ZERO);
        let of_group = |group| {
            let policy = policy.clone().group(format!("group {group}"));
            member.cache.with_policy(policy)
        };
        let (remote, how) = (Arc::clone(&member.remote), member.settings.remote().1);
        let pages = HttpCache::builder()
            .remote(remote)
            .remote_settings(how)
            .build()
            .expect("settings that work");
        let app = app(&pages, source.clone());
        member.hearing.begin(&member.remote);
        Self {
            caches: (0..GROUPS)
                .map(|group| of_group(group).expect("a policy that works"))
                .collect(),
            source,
            pages,
            app,
            member: Arc::clone(&member.hearing),
            loads: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            unconfirmed: AtomicU64::new(0),
        }
    }

    async fn operation(&self) {
        let key = fastrand::u64(..KEYS + PAGES);
        match fastrand::u8(..10) {
            0 => self.write(key).await,
            // Callers leave at any moment.
            1 => {
                let patience = Duration::from_micros(fastrand::u64(..30_000));
                let _ = tokio::time::timeout(patience, self.read(key)).await;
            }
            _ => self.read(key).await,
        }
    }

    async fn read(&self, key: u64) {
        let (told, began) = (self.member.told(), nanos());
        let found = if key < KEYS {
            let load = || self.load(key);
            let found = self.cache(key).get_or_load(&key, load).await;
            found.ok().map(|value| *value)
        } else {
            self.page(key).await
        };
        if let Some(value) = found {
            say(format_args!("r {key} {value} {began} {told} {}", nanos()));
        }
    }

    async fn write(&self, key: u64) {
        let began = nanos();
        let version = raise(self.source.clone(), key).await;
        pause(1).await;
        let failed = self.failed();
        let as_group = fastrand::u8(..4) == 0;
        match (key < KEYS, as_group) {
            (true, false) => {
                self.cache(key).invalidate(&key).await;
            }
            (true, true) => {
                let group = format!("group {}", key % GROUPS);
                self.cache(key).invalidate_group(&group).await;
            }
            (false, false) => self.purger().uri(&uri(key)).await,
            (false, true) => self.purger().group("pages").await,
        }
        let ended = nanos();
        // One that the server did not confirm binds this process alone.
        let confirmed = self.failed() == failed;
        if !confirmed {
            self.unconfirmed.fetch_add(1, Ordering::Relaxed);
        }
        let how = u8::from(confirmed) + 2 * u8::from(as_group);
        say(format_args!("w {key} {version} {began} {how} {ended}"));
    }

    async fn load(&self, key: u64) -> Result<u64, &'static str> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let began = nanos();
        let loaded = load(self.source.clone(), key).await;
        self.note_load(began);
        loaded
    }

    fn note_load(&self, began: u64) {
        self.longest.fetch_max(nanos() - began, Ordering::Relaxed);
    }

    async fn page(&self, key: u64) -> Option<u64> {
        let request = Request::get(uri(key)).body(Empty::new()).ok()?;
        let response = self.app.clone().oneshot(request).await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        let body = response.into_body().collect().await.ok()?;
        str::from_utf8(&body.to_bytes()).ok()?.parse().ok()
    }

    fn cache(&self, key: u64) -> &Cache<u64> {
        let cache = self.caches.iter().cycle().nth((key % GROUPS) as usize);
        cache.expect("there is one for each group")
    }

    fn purger(&self) -> Purger {
        self.pages.purger()
    }

    fn failed(&self) -> u64 {
        let of_values = self.cache(0).stats().remote_failures;
        of_values + self.pages.stats().remote_failures
    }
}

fn uri(key: u64) -> Uri {
    format!("http://history.test/{key}").parse().expect("a URI")
}

fn app(pages: &HttpCache, source: MultiplexedConnection) -> App {
    let policy = cache_tower::Policy::ttl(minutes(5))
        .failure_pause(Duration::ZERO, Duration::ZERO)
        .group("pages");
    let service = tower::service_fn(move |request: Request<Empty<Bytes>>| {
        let source = source.clone();
        let key = request.uri().path().trim_start_matches('/').parse();
        async move {
            let loaded = load(source, key.expect("a number")).await?;
            Ok::<_, String>(Response::new(Full::from(loaded.to_string())))
        }
    });
    BoxCloneSyncService::new(pages.policy(policy).layer(service))
}

async fn raise(mut source: MultiplexedConnection, key: u64) -> u64 {
    let mut raise = redis::cmd("INCR");
    let raised = raise.arg(key).query_async(&mut source).await;
    raised.expect("the source answers")
}

/// A tenth of the loads pauses for long between reading the source and returning.
async fn load(mut source: MultiplexedConnection, key: u64) -> Result<u64, &'static str> {
    pause(2).await;
    let mut read = redis::cmd("GET");
    let read: Option<u64> = read
        .arg(key)
        .query_async(&mut source)
        .await
        .expect("the source answers");
    pause(if fastrand::u8(..10) == 0 { 100 } else { 3 }).await;
    if fastrand::u8(..50) == 0 {
        Err("down")
    } else {
        Ok(read.unwrap_or(0))
    }
}

async fn pause(most_millis: u64) {
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..most_millis * 1000))).await;
}

/// One line of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Note {
    Read(Read),
    Write(Write),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Read {
    process: usize,
    key: u64,
    value: u64,
    began: u64,
    told: u64,
    ended: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Write {
    process: usize,
    key: u64,
    version: u64,
    began: u64,
    is_confirmed: bool,
    as_group: bool,
    ended: u64,
}

impl Note {
    fn parse(process: usize, line: &str) -> Option<Self> {
        let (kind, numbers) = line.split_once(' ')?;
        let numbers: Vec<u64> = numbers
            .split(' ')
            .map_while(|word| word.parse().ok())
            .collect();
        let [key, version, began, third, ended] = <[u64; 5]>::try_from(numbers).ok()?;
        match kind {
            "r" => Some(Self::Read(Read {
                process,
                key,
                value: version,
                began,
                told: third,
                ended,
            })),
            "w" => Some(Self::Write(Write {
                process,
                key,
                version,
                began,
                is_confirmed: third % 2 == 1,
                as_group: third >= 2,
                ended,
            })),
            _ => None,
        }
    }
}

/// The newest version by time, of what had been reached by then.
#[derive(Debug, Default)]
struct Rising(Vec<(u64, u64)>);

impl Rising {
    fn of(points: impl Iterator<Item = (u64, u64)>) -> Self {
        let mut points: Vec<_> = points.collect();
        points.sort_unstable();
        let mut newest = 0;
        for (_, version) in &mut points {
            newest = newest.max(*version);
            *version = newest;
        }
        Self(points)
    }

    /// The newest of all before `moment`.
    fn before(&self, moment: u64) -> u64 {
        let index = self.0.partition_point(|(at, _)| *at < moment);
        let last = index.checked_sub(1).and_then(|last| self.0.get(last));
        last.map_or(0, |(_, version)| *version)
    }
}

/// A read that gave what it must not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wrong {
    read: Read,
    rule: &'static str,
    bound: u64,
}

/// The reads that broke one of the rules.
fn check(notes: &[Note], bound: Duration) -> Vec<Wrong> {
    let writes: Vec<Write> = notes
        .iter()
        .filter_map(|note| match note {
            Note::Write(write) => Some(*write),
            Note::Read(_) => None,
        })
        .collect();
    let mut by_key: HashMap<u64, Vec<Write>> = HashMap::new();
    let mut by_process: HashMap<(usize, u64), Vec<Write>> = HashMap::new();
    for write in &writes {
        by_key.entry(write.key).or_default().push(*write);
        let own = by_process.entry((write.process, write.key)).or_default();
        own.push(*write);
    }
    let ended = |writes: &[Write], sure: bool| {
        let sound = writes.iter().filter(|write| write.is_confirmed || !sure);
        Rising::of(sound.map(|write| (write.ended, write.version)))
    };
    let begun = |writes: &[Write]| Rising::of(writes.iter().map(|it| (it.began, it.version)));
    let every: HashMap<u64, (Rising, Rising)> = by_key
        .iter()
        .map(|(key, writes)| (*key, (ended(writes, true), begun(writes))))
        .collect();
    let own: HashMap<(usize, u64), Rising> = by_process
        .iter()
        .map(|(whose, writes)| (*whose, ended(writes, false)))
        .collect();
    let bound = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
    let mut wrong = Vec::new();
    for note in notes {
        let Note::Read(read) = *note else { continue };
        let Some((acknowledged, written)) = every.get(&read.key) else {
            continue;
        };
        let mine = own.get(&(read.process, read.key));
        let floors = [
            ("its own", mine.map_or(0, |mine| mine.before(read.began))),
            ("told", acknowledged.before(read.told)),
            (
                "the bound",
                acknowledged.before(read.began.saturating_sub(bound)),
            ),
        ];
        for (rule, floor) in floors {
            if read.value < floor {
                wrong.push(Wrong {
                    read,
                    rule,
                    bound: floor,
                });
            }
        }
        let newest = written.before(read.ended);
        if read.value > newest {
            wrong.push(Wrong {
                read,
                rule: "not yet written",
                bound: newest,
            });
        }
    }
    wrong
}

/// What came of a history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Reads that were answered.
    pub reads: u64,
    /// Those of them that could be held to what the reader had been told.
    pub told: u64,
    /// Invalidations.
    pub writes: u64,
    /// Those of them that the server did not confirm in time.
    pub unconfirmed: u64,
    /// Loads.
    pub loads: u64,
    /// Loads that came too late for the server.
    pub refused: u64,
    /// How often a process was stopped.
    pub stops: u64,
    /// Reads that broke a rule.
    pub wrong: u64,
}

impl Outcome {
    /// This and another, as one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            reads: self.reads + other.reads,
            told: self.told + other.told,
            writes: self.writes + other.writes,
            unconfirmed: self.unconfirmed + other.unconfirmed,
            loads: self.loads + other.loads,
            refused: self.refused + other.refused,
            stops: self.stops + other.stops,
            wrong: self.wrong + other.wrong,
        }
    }

    /// What has to hold, and that what was to happen did.
    #[must_use]
    pub fn figures(&self, operations: u64) -> Vec<(&'static str, Figure)> {
        let operations = operations as f64;
        let least = |part: f64, unit, count: u64| {
            Figure::at_least((operations * part).floor(), unit, count as f64)
        };
        vec![
            ("wrong", Figure::at_most(0.0, "reads", self.wrong as f64)),
            ("reads", least(0.75, "reads", self.reads)),
            ("told of", least(0.5, "reads", self.told)),
            ("writes", least(0.08, "invalidations", self.writes)),
            ("too late", least(0.001, "loads", self.refused)),
            ("stopped", least(0.0005, "times", self.stops)),
        ]
    }
}

/// As [`run`], and again, a few times at most, until what was to happen did: how much of a short history
/// can be held to a rule depends on what else the machine does. What is wrong stays wrong.
#[must_use]
pub fn run_until_enough(program: &Path, processes: usize, operations: u64) -> Outcome {
    let is_enough = |past: &Outcome| {
        let figures = past.figures(operations);
        figures.iter().all(|(_, figure)| figure.is_enough())
    };
    let mut past = run(program, processes, operations);
    for _ in 0..4 {
        if past.wrong > 0 || is_enough(&past) {
            break;
        }
        past = past.and(run(program, processes, operations));
    }
    past
}

/// Has `processes` run so many operations in all, and checks what they noted.
///
/// # Panics
///
/// Where a process or server does not start, or ends early.
#[must_use]
pub fn run(program: &Path, processes: usize, operations: u64) -> Outcome {
    let (server, source) = (Server::start(), Server::start());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let proxies: Vec<Proxy> = (0..processes)
        .map(|_| runtime.block_on(Proxy::before(server.port())))
        .collect();
    let members: Vec<Process> = proxies
        .iter()
        .map(|proxy| {
            let settings = Settings {
                budget: Duration::from_secs(10),
                lease: Duration::from_millis(500),
                heartbeat: Duration::from_millis(10),
                max_staleness: BOUND,
                ..Settings::of(&proxy.url())
            };
            Process::start(program, &settings.words())
        })
        .collect();
    for proxy in &proxies {
        proxy.set(Way::Unsteady(Duration::from_millis(3)));
    }
    let mut past = Past::default();
    past.follow(members, operations / processes as u64, &source.url());
    let wrong = check(&past.notes, BOUND + past.longest);
    for wrong in wrong.iter().take(10) {
        let bound = past.notes.iter().find(|note| match note {
            Note::Write(write) => (write.key, write.version) == (wrong.read.key, wrong.bound),
            Note::Read(_) => false,
        });
        eprintln!(
            "  wrong by what is {}: {wrong:?} after {bound:?}",
            wrong.rule
        );
    }
    past.outcome.wrong = wrong.len() as u64;
    past.outcome
}

#[derive(Default)]
struct Past {
    notes: Vec<Note>,
    /// The longest load.
    longest: Duration,
    outcome: Outcome,
}

impl Past {
    /// Collects what they note, and stops one or another of them now and then.
    fn follow(&mut self, mut members: Vec<Process>, each: u64, source: &str) {
        for member in &mut members {
            member.tell(&format!("history {each} {source}"));
        }
        let mut working: Vec<bool> = members.iter().map(|_| true).collect();
        while working.contains(&true) {
            let paused = fastrand::usize(..members.len());
            let is_stopped = working.get(paused) == Some(&true) && fastrand::u8(..3) == 0;
            let long = fastrand::u8(..20) == 0;
            let time = fastrand::u64(if long { 1000..1500 } else { 5..60 });
            if let Some(member) = members.get(paused).filter(|_| is_stopped) {
                member.freeze();
                self.outcome.stops += 1;
            }
            std::thread::sleep(Duration::from_millis(time.min(if is_stopped {
                u64::MAX
            } else {
                30
            })));
            if let Some(member) = members.get(paused).filter(|_| is_stopped) {
                member.thaw();
            }
            for (index, (member, working)) in members.iter().zip(&mut working).enumerate() {
                while let Some(line) = member.line_within(Duration::ZERO) {
                    *working &= !self.note(index, &line);
                }
            }
        }
    }

    /// Notes one line; says whether it was the last.
    fn note(&mut self, process: usize, line: &str) -> bool {
        match Note::parse(process, line) {
            Some(note) => {
                match note {
                    Note::Read(read) => {
                        self.outcome.reads += 1;
                        self.outcome.told += u64::from(read.told > 0);
                    }
                    Note::Write(_) => self.outcome.writes += 1,
                }
                self.notes.push(note);
                false
            }
            None => self.end(line),
        }
    }

    fn end(&mut self, line: &str) -> bool {
        let numbers: Vec<u64> = line
            .split(' ')
            .skip(1)
            .map_while(|word| word.parse().ok())
            .collect();
        let [loads, refused, unconfirmed, longest] = numbers.as_slice() else {
            unreachable!("`{line}` is no note");
        };
        self.longest = self.longest.max(Duration::from_nanos(*longest));
        self.outcome.loads += loads;
        self.outcome.refused += refused;
        self.outcome.unconfirmed += unconfirmed;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_nanos(1000);

    fn write(process: usize, version: u64, began: u64, ended: u64) -> Note {
        Note::Write(Write {
            process,
            key: 1,
            version,
            began,
            is_confirmed: true,
            as_group: false,
            ended,
        })
    }

    fn read(value: u64, began: u64, told: u64) -> Note {
        Note::Read(Read {
            process: 0,
            key: 1,
            value,
            began,
            told,
            ended: began + 10,
        })
    }

    fn rules(notes: &[Note]) -> Vec<&'static str> {
        check(notes, BOUND).iter().map(|wrong| wrong.rule).collect()
    }

    #[test]
    fn what_the_same_process_invalidated_is_never_given_again() {
        let past = write(0, 1, 100, 200);
        assert_eq!(rules(&[past, read(0, 150, 0)]), [""; 0]);
        assert_eq!(rules(&[past, read(0, 201, 0)]), ["its own"]);
        assert_eq!(rules(&[past, read(1, 201, 0)]), [""; 0]);
    }

    #[test]
    fn what_another_invalidated_may_be_given_until_it_was_told() {
        let past = write(1, 1, 100, 200);
        assert_eq!(rules(&[past, read(0, 300, 150)]), [""; 0]);
        assert_eq!(rules(&[past, read(0, 300, 201)]), ["told"]);
        assert_eq!(rules(&[past, read(0, 1300, 150)]), ["the bound"]);
    }

    #[test]
    fn what_was_not_confirmed_binds_its_own_process_alone() {
        let unconfirmed = |process| match write(process, 1, 100, 200) {
            Note::Write(write) => Note::Write(Write {
                is_confirmed: false,
                ..write
            }),
            read @ Note::Read(_) => read,
        };
        assert_eq!(rules(&[unconfirmed(1), read(0, 5000, 4000)]), [""; 0]);
        assert_eq!(rules(&[unconfirmed(0), read(0, 300, 0)]), ["its own"]);
    }

    #[test]
    fn the_newest_of_several_counts_whatever_their_order() {
        let past = [write(1, 2, 100, 110), write(0, 1, 90, 200)];
        assert_eq!(
            rules(&[past[0], past[1], read(1, 300, 150)]),
            ["told"],
            "the second was acknowledged first"
        );
    }

    #[test]
    fn a_value_from_the_future_is_wrong() {
        assert_eq!(
            rules(&[write(1, 1, 100, 200), read(2, 300, 0)]),
            ["not yet written"]
        );
    }

    #[test]
    fn notes_are_read_as_they_are_written() {
        let Some(Note::Read(found)) = Note::parse(2, "r 7 3 100 50 120") else {
            unreachable!("it is a read");
        };
        assert_eq!((found.process, found.key, found.value), (2, 7, 3));
        assert_eq!((found.began, found.told, found.ended), (100, 50, 120));
        assert_eq!(Note::parse(0, "done 1 2 3"), None);
    }
}
