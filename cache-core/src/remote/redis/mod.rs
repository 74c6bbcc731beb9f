//! The remote tier in Redis 6.2 or later, or Valkey.
//!
//! # How it is used
//!
//! A lane or two, kept open, carry all requests, many at a time; large values have a lane of their
//! own, and long work takes another connection. What must be one step is a script. One more
//! connection is told of all changes under the prefix.
//!
//! # When it is away
//!
//! Building never dials and never fails for a server that cannot be reached. While there is no
//! connection every operation is [`Failure::Away`] at once; one task dials in the background, at
//! random intervals of up to half a second. Three requests in a row without an answer, and the
//! connections are given up: so a link that is half open, or a frozen server, costs three budgets.
//!
//! # Deployment
//!
//! The user needs `GET`, `MGET`, `SET`, `UNLINK`, `SCAN`, `TIME`, `PUBLISH`, `SUBSCRIBE`, `EVAL` and `EVALSHA`
//! (and within scripts `GETRANGE`, `PTTL`, `PEXPIRE`), `CLIENT TRACKING`, and `CLIENT SETNAME`. What
//! is missing shows in [`Health::degraded`]; the rest works. Nothing but keys of the prefix and their
//! leases is touched; neither `KEYS` nor `FLUSHDB` is ever used.

mod keeper;
mod lanes;
mod link;
mod names;
mod scripts;
mod settings;
mod timeline;

pub use settings::RedisSettings;

use crate::{
    Error,
    observe::tell,
    policy::LONGEST,
    remote::{
        Ask, Failure, Found, Health, Leased, Remote, ServerTime, State, Token, Value, Watcher, Work,
    },
    spawn::spawn,
    timer,
};
use bytes::Bytes;
use deadpool_redis::Pool;
use keeper::{AWAY, Gate};
use lanes::{Lanes, Verdict, ask, ask_all, judge};
use link::{CHANGED, WOKEN, Watchers, message_of};
use names::{Name, Names};
use redis::{Cmd, Pipeline, aio::MultiplexedConnection};
use scripts::{Scripts, Step, is_unknown};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use timeline::Timeline;
use tokio::sync::Notify;

/// Redis or Valkey as a remote tier. A cheap handle; its connections close with the last one.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    settings: RedisSettings,
    names: Names,
    scripts: Scripts,
    pool: Pool,
    lanes: RwLock<Option<Arc<Lanes>>>,
    epochs: AtomicU64,
    gate: Gate,
    timeline: Timeline,
    watchers: Watchers,
    status: Mutex<Status>,
    /// By hash of its name, whether a value was large when it was last seen.
    sizes: Box<[AtomicU8]>,
    wake: Arc<Notify>,
    keeper: Arc<AtomicBool>,
    link: Arc<AtomicBool>,
}

#[derive(Default)]
struct Status {
    state: State,
    degraded: BTreeMap<&'static str, String>,
    told: Option<(Health, Instant)>,
    read_only: Option<Instant>,
}

const SIZES: usize = 4096;

/// One `SCAN` looks at so many keys, and one `UNLINK` removes as many at most.
const BATCH: usize = 512;

/// What a group is kept for beyond what its entries need: a lost one only costs loads.
const GROUP_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

impl Redis {
    /// A tier in the server that `url` names, with the defaults of [`RedisSettings`]. Nothing is
    /// dialled before it is used.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config) where the URL cannot be read.
    pub fn new(url: &str) -> Result<Self, Error> {
        Self::with(RedisSettings::new(url)?)
    }

    /// A tier with these settings.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config), naming each setting that cannot work and what is accepted.
    pub fn with(settings: RedisSettings) -> Result<Self, Error> {
        settings.validate()?;
        let pool = lanes::pool(&settings).map_err(|error| {
            Error::config(format!(
                "the URL of the remote tier cannot be used ({})",
                error.category()
            ))
        })?;
        let inner = Self(Arc::new(Inner {
            names: Names::new(&settings.prefix),
            settings,
            scripts: Scripts::new(),
            pool,
            lanes: RwLock::default(),
            epochs: AtomicU64::new(0),
            gate: Gate::default(),
            timeline: Timeline::new(),
            watchers: Watchers::default(),
            status: Mutex::default(),
            sizes: (0..SIZES).map(|_| AtomicU8::new(0)).collect(),
            wake: Arc::default(),
            keeper: Arc::default(),
            link: Arc::default(),
        }));
        // Within a runtime it begins to connect; outside of one the first request does.
        inner.0.attend();
        Ok(inner)
    }
}

impl Inner {
    fn lanes(&self) -> Option<Arc<Lanes>> {
        self.lanes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sees to it that somebody keeps the connections.
    fn attend(self: &Arc<Self>) {
        let (weak, wake) = (Arc::downgrade(self), &self.wake);
        start(&self.keeper, || {
            keeper::keep(weak.clone(), Arc::clone(wake))
        });
        start(&self.link, || link::keep(weak.clone(), Arc::clone(wake)));
    }

    fn in_use(self: &Arc<Self>) -> Result<Arc<Lanes>, Failure> {
        match self.lanes() {
            Some(lanes) => Ok(lanes),
            None => {
                self.attend();
                Err(AWAY)
            }
        }
    }

    fn next_epoch(&self) -> u64 {
        self.epochs.fetch_add(1, Ordering::Relaxed)
    }

    fn put_to_use(&self, lanes: Arc<Lanes>) {
        *self.lanes.write().unwrap_or_else(PoisonError::into_inner) = Some(lanes);
        self.set_state(State::Up);
        self.wake.notify_waiters();
    }

    /// Gives up the connections of `epoch`, if they are still in use.
    fn give_up(self: &Arc<Self>, epoch: u64, reason: Arc<str>) {
        let lanes = {
            let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
            lanes.take_if(|lanes| lanes.epoch == epoch)
        };
        if let Some(lanes) = lanes {
            self.set_state(State::Down(reason));
            lanes.give_up();
            self.wake.notify_waiters();
            self.attend();
        }
    }

    /// A replica that was promoted elsewhere: the address may lead to the new master by now. Once a
    /// second, because a server that stays read-only can still be read.
    fn give_up_read_only(self: &Arc<Self>, epoch: u64) {
        let now = timer::now();
        let mut status = self.status();
        let lately = status
            .read_only
            .is_some_and(|at| now < at + Duration::from_secs(1));
        if !lately {
            status.read_only = Some(now);
            drop(status);
            self.give_up(epoch, "it takes no writes (READONLY)".into());
        }
    }

    async fn one(
        self: &Arc<Self>,
        lane: Class,
        cmd: &Cmd,
        limit: Duration,
    ) -> Result<redis::Value, Failure> {
        let lanes = self.in_use()?;
        let answer = ask(connection(&lanes, lane)?, cmd, limit).await;
        self.settle(&lanes, answer, limit)
    }

    async fn several(
        self: &Arc<Self>,
        lane: Class,
        pipeline: &Pipeline,
        count: usize,
        limit: Duration,
    ) -> Result<Vec<redis::Value>, Failure> {
        let lanes = self.in_use()?;
        let answers = ask_all(connection(&lanes, lane)?, pipeline, count, limit).await;
        self.settle(&lanes, answers, limit)
    }

    fn settle<T>(
        self: &Arc<Self>,
        lanes: &Arc<Lanes>,
        answer: Option<Result<T, redis::RedisError>>,
        limit: Duration,
    ) -> Result<T, Failure> {
        let verdict = match answer {
            Some(Ok(answer)) => {
                lanes.answered();
                return Ok(answer);
            }
            Some(Err(error)) => judge(&error),
            None => lanes.is_late(limit),
        };
        match verdict {
            Verdict::Keep(failure) => {
                if failure != Failure::Late {
                    lanes.answered();
                }
                Err(failure)
            }
            Verdict::Drop(failure, reason) => {
                self.give_up(lanes.epoch, reason);
                Err(failure)
            }
            Verdict::ReadOnly(failure) => {
                self.give_up_read_only(lanes.epoch);
                Err(failure)
            }
        }
    }

    /// Runs a script, and teaches it to the server where it has forgotten it.
    async fn step(
        self: &Arc<Self>,
        lane: Class,
        step: &Step,
        keys: &[&[u8]],
        args: &[&[u8]],
        limit: Duration,
    ) -> Result<redis::Value, Failure> {
        let asked = timer::now();
        match self.one(lane, &step.by_hash(keys, args), limit).await {
            Err(failure) if is_unknown(&failure) => {
                let spent = timer::now().saturating_duration_since(asked);
                self.one(
                    lane,
                    &step.by_source(keys, args),
                    limit.saturating_sub(spent),
                )
                .await
            }
            answer => answer,
        }
    }

    /// Runs a script that says whether the lease was the caller's.
    async fn owned(
        self: &Arc<Self>,
        lane: Class,
        step: &Step,
        keys: &[&[u8]],
        args: &[&[u8]],
        limit: Duration,
    ) -> Result<bool, Failure> {
        let answer = self.step(lane, step, keys, args, limit).await?;
        Ok(answer == redis::Value::Int(1))
    }

    fn class_of(&self, size: usize) -> Class {
        if size > self.settings.large {
            Class::Large
        } else {
            Class::Small
        }
    }

    /// The lane on which a value is to be expected: nobody knows how large it is before it is read.
    fn expected(&self, name: &[u8]) -> Class {
        match self.size_of(name).load(Ordering::Relaxed) {
            0 => Class::Small,
            _ => Class::Large,
        }
    }

    fn remember_size(&self, name: &[u8], size: usize) {
        let large = u8::from(size > self.settings.large);
        let known = self.size_of(name);
        if known.load(Ordering::Relaxed) != large {
            known.store(large, Ordering::Relaxed);
        }
    }

    fn size_of(&self, name: &[u8]) -> &AtomicU8 {
        let hash = name.iter().fold(0_usize, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(usize::from(*byte))
        });
        self.sizes
            .get(hash % SIZES)
            .expect("the index is taken modulo the number of sizes")
    }

    fn found(&self, answer: redis::Value) -> Option<Found> {
        let redis::Value::BulkString(bytes) = answer else {
            return None;
        };
        Some(Found {
            bytes: Bytes::from(bytes),
            at: self.timeline.now().unwrap_or_default(),
        })
    }

    fn set_state(&self, state: State) {
        let mut status = self.status();
        status.state = state;
        self.tell_health(status);
    }

    /// Notes that a capability is missing, or there.
    fn degrade(&self, what: &'static str, is_missing: bool, consequence: &str) {
        let mut status = self.status();
        if is_missing {
            status
                .degraded
                .insert(what, format!("{what} is not available: {consequence}"));
        } else if status.degraded.remove(what).is_none() {
            return;
        }
        self.tell_health(status);
    }

    /// Tells the observer what is new; the same trouble again once a minute at most.
    fn tell_health(&self, mut status: MutexGuard<'_, Status>) {
        const AGAIN: Duration = Duration::from_secs(60);
        let (health, now) = (status.health(), timer::now());
        let is_news = |(told, at): &(Health, Instant)| *told != health || now >= *at + AGAIN;
        if status.told.as_ref().is_none_or(is_news) {
            status.told = Some((health.clone(), now));
            drop(status);
            tell::health(&health);
            if let Some(observer) = &self.settings.observer {
                observer(&health);
            }
        }
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn scan(self: &Arc<Self>, pattern: &[u8], limit: Duration) -> Result<u64, Failure> {
        // Not a lane: long work must not stand before requests.
        self.in_use()?;
        let connection = self.pool.get().await.map_err(|_| Failure::Late)?;
        let connection = MultiplexedConnection::clone(&connection);
        let lanes = self.in_use()?;
        let (mut cursor, mut removed) = (b"0".to_vec(), 0);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(&cursor)
                .arg("MATCH")
                .arg(pattern)
                .arg("COUNT")
                .arg(BATCH);
            let page = self.settle(&lanes, ask(connection.clone(), &scan, limit).await, limit)?;
            let (next, names) = page_of(page).ok_or_else(|| Failure::Refused("SCAN".into()))?;
            for batch in names.chunks(BATCH) {
                let mut unlink = redis::cmd("UNLINK");
                unlink.arg(batch);
                let answer = ask(connection.clone(), &unlink, limit).await;
                removed += count(&self.settle(&lanes, answer, limit)?);
            }
            if next == b"0" {
                return Ok(removed);
            }
            cursor = next;
        }
    }
}

impl Status {
    fn health(&self) -> Health {
        Health {
            state: self.state.clone(),
            degraded: self.degraded.values().cloned().collect(),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.wake.notify_waiters();
    }
}

/// Which lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Small,
    Large,
}

fn connection(lanes: &Lanes, class: Class) -> Result<MultiplexedConnection, Failure> {
    match class {
        Class::Small => lanes.small(),
        Class::Large => lanes.large(),
    }
}

/// Spawns a task unless it runs. When its runtime ends, the flag is taken back, and the next request
/// starts another on its own.
fn start<F: Future<Output = ()> + Send + 'static>(
    running: &Arc<AtomicBool>,
    task: impl FnOnce() -> F,
) {
    struct Running(Arc<AtomicBool>);
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.store(false, Ordering::Release);
        }
    }
    if running.swap(true, Ordering::AcqRel) {
        return;
    }
    let (guard, task) = (Running(Arc::clone(running)), task());
    // Outside a runtime this drops the guard with the task.
    drop(spawn(async move {
        task.await;
        drop(guard);
    }));
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.min(LONGEST).as_millis()).unwrap_or(u64::MAX)
}

/// Never zero, which the server would refuse.
fn positive_millis(duration: Duration) -> String {
    millis(duration).max(1).to_string()
}

fn count(answer: &redis::Value) -> u64 {
    match answer {
        redis::Value::Int(count) => u64::try_from(*count).unwrap_or(0),
        _ => 0,
    }
}

fn page_of(page: redis::Value) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let redis::Value::Array(parts) = page else {
        return None;
    };
    match <[redis::Value; 2]>::try_from(parts).ok()? {
        [redis::Value::BulkString(cursor), redis::Value::Array(names)] => {
            let name = |name| match name {
                redis::Value::BulkString(name) => Some(name),
                _ => None,
            };
            Some((cursor, names.into_iter().filter_map(name).collect()))
        }
        _ => None,
    }
}

fn leased(answer: redis::Value, inner: &Inner) -> Result<Leased, Failure> {
    let unknown = || Failure::Refused("SCRIPT".into());
    let redis::Value::Array(parts) = answer else {
        return Err(unknown());
    };
    let [kind, bytes, number] = <[redis::Value; 3]>::try_from(parts).map_err(|_| unknown())?;
    let (redis::Value::Int(kind), redis::Value::BulkString(bytes), redis::Value::Int(number)) =
        (kind, bytes, number)
    else {
        return Err(unknown());
    };
    let number = u64::try_from(number).unwrap_or(0);
    let left = Duration::from_millis(number);
    match kind {
        1 => {
            inner.timeline.heard(ServerTime(number));
            Ok(Leased::Value(Found {
                bytes: bytes.into(),
                at: ServerTime(number),
            }))
        }
        2 => {
            inner.timeline.heard(ServerTime(number));
            Ok(Leased::Granted(ServerTime(number)))
        }
        3 => Ok(Leased::Held(left)),
        4 => Ok(Leased::Failed {
            message: String::from_utf8_lossy(&bytes).into_owned(),
            left,
        }),
        5 => {
            inner.timeline.heard(ServerTime(number));
            Err(Failure::Late)
        }
        _ => Err(unknown()),
    }
}

fn version(answer: &redis::Value) -> Option<ServerTime> {
    match answer {
        redis::Value::BulkString(text) => str::from_utf8(text).ok()?.parse().ok().map(ServerTime),
        _ => None,
    }
}

impl Remote for Redis {
    fn look<'a>(&'a self, key: &'a [u8], limit: Duration) -> Work<'a, Option<Found>> {
        Box::pin(async move {
            let inner = &self.0;
            let name = inner.names.value(key);
            let mut get = redis::cmd("GET");
            get.arg(&name);
            let answer = inner.one(inner.expected(&name), &get, limit).await?;
            let found = inner.found(answer);
            inner.remember_size(&name, found.as_ref().map_or(0, |found| found.bytes.len()));
            Ok(found)
        })
    }

    fn look_many<'a>(
        &'a self,
        keys: &'a [&'a [u8]],
        limit: Duration,
    ) -> Work<'a, Vec<Option<Found>>> {
        Box::pin(async move {
            if keys.is_empty() {
                return Ok(Vec::new());
            }
            let inner = &self.0;
            let mut get = redis::cmd("MGET");
            for key in keys {
                get.arg(inner.names.value(key));
            }
            match inner.one(Class::Large, &get, limit).await? {
                redis::Value::Array(answers) if answers.len() == keys.len() => Ok(answers
                    .into_iter()
                    .map(|answer| inner.found(answer))
                    .collect()),
                _ => Err(Failure::Refused("MGET".into())),
            }
        })
    }

    fn lease<'a>(&'a self, asked: Ask<'a>, limit: Duration) -> Work<'a, Leased> {
        Box::pin(async move {
            let inner = &self.0;
            let Name { value, lease } = inner.names.of(asked.key)?;
            let lasting = positive_millis(asked.lasting);
            let wanted = inner.timeline.now().unwrap_or(ServerTime(u64::MAX / 2));
            let wanted = wanted.after(limit).0.to_string();
            let keys = [value.as_slice(), &lease];
            let args = [
                asked.token.as_bytes(),
                lasting.as_bytes(),
                asked.seen,
                wanted.as_bytes(),
            ];
            let class = inner.expected(&value);
            let answer = inner
                .step(class, &inner.scripts.lease, &keys, &args, limit)
                .await?;
            leased(answer, inner)
        })
    }

    fn commit<'a>(
        &'a self,
        key: &'a [u8],
        token: Token,
        value: Value,
        limit: Duration,
    ) -> Work<'a, bool> {
        Box::pin(async move {
            let inner = &self.0;
            if value.bytes.len() > inner.settings.max_value {
                return Err(Failure::TooLarge);
            }
            let name = inner.names.of(key)?;
            let message = message_of(WOKEN, &[key]);
            let lasting = positive_millis(value.lasting);
            let keys = [name.value.as_slice(), &name.lease];
            let args = [
                token.as_bytes(),
                inner.names.channel(),
                &message,
                &value.bytes,
                lasting.as_bytes(),
            ];
            let class = inner.class_of(value.bytes.len());
            inner.remember_size(&name.value, value.bytes.len());
            inner
                .owned(class, &inner.scripts.commit, &keys, &args, limit)
                .await
        })
    }

    fn fail<'a>(
        &'a self,
        key: &'a [u8],
        token: Token,
        message: &'a str,
        pause: Duration,
        limit: Duration,
    ) -> Work<'a, bool> {
        Box::pin(async move {
            let inner = &self.0;
            let name = inner.names.of(key)?;
            let (woken, pause) = (message_of(WOKEN, &[key]), positive_millis(pause));
            let channel = inner.names.channel();
            let args = [
                token.as_bytes(),
                channel,
                &woken,
                message.as_bytes(),
                pause.as_bytes(),
            ];
            inner
                .owned(
                    Class::Small,
                    &inner.scripts.fail,
                    &[&name.lease],
                    &args,
                    limit,
                )
                .await
        })
    }

    fn release<'a>(&'a self, key: &'a [u8], token: Token, limit: Duration) -> Work<'a, bool> {
        Box::pin(async move {
            let inner = &self.0;
            let name = inner.names.of(key)?;
            let woken = message_of(WOKEN, &[key]);
            let args = [token.as_bytes(), inner.names.channel(), &woken];
            inner
                .owned(
                    Class::Small,
                    &inner.scripts.release,
                    &[&name.lease],
                    &args,
                    limit,
                )
                .await
        })
    }

    fn renew<'a>(
        &'a self,
        key: &'a [u8],
        token: Token,
        lasting: Duration,
        limit: Duration,
    ) -> Work<'a, bool> {
        Box::pin(async move {
            let inner = &self.0;
            let name = inner.names.of(key)?;
            let lasting = positive_millis(lasting);
            let args = [token.as_bytes(), lasting.as_bytes()];
            inner
                .owned(
                    Class::Small,
                    &inner.scripts.renew,
                    &[&name.lease],
                    &args,
                    limit,
                )
                .await
        })
    }

    fn put_many<'a>(&'a self, values: &'a [(&'a [u8], Value)], limit: Duration) -> Work<'a, ()> {
        Box::pin(async move {
            if values.is_empty() {
                return Ok(());
            }
            let inner = &self.0;
            let mut pipeline = redis::pipe();
            let (mut commands, mut size) = (0, 0);
            // Leases first: after this no earlier load can commit over what is put.
            let mut unlink = redis::cmd("UNLINK");
            for (key, _) in values {
                unlink.arg(inner.names.of(key)?.lease);
            }
            pipeline.add_command(unlink);
            for (key, value) in values {
                if value.bytes.len() > inner.settings.max_value {
                    return Err(Failure::TooLarge);
                }
                let name = inner.names.value(key);
                inner.remember_size(&name, value.bytes.len());
                size += value.bytes.len();
                let lasting = millis(value.lasting);
                if lasting == 0 {
                    pipeline.cmd("UNLINK").arg(name);
                } else {
                    pipeline
                        .cmd("SET")
                        .arg(name)
                        .arg(&*value.bytes)
                        .arg("PX")
                        .arg(lasting);
                }
                commands += 1;
            }
            let keys: Vec<&[u8]> = values.iter().map(|(key, _)| *key).collect();
            pipeline
                .cmd("PUBLISH")
                .arg(inner.names.channel())
                .arg(message_of(WOKEN, &keys));
            let class = inner.class_of(size);
            inner
                .several(class, &pipeline, commands + 2, limit)
                .await
                .map(|_| ())
        })
    }

    fn invalidate<'a>(&'a self, keys: &'a [&'a [u8]], limit: Duration) -> Work<'a, u64> {
        Box::pin(async move {
            if keys.is_empty() {
                return Ok(0);
            }
            let inner = &self.0;
            let (mut leases, mut values) = (redis::cmd("UNLINK"), redis::cmd("UNLINK"));
            for key in keys {
                let name = inner.names.of(key)?;
                leases.arg(name.lease);
                values.arg(name.value);
            }
            let mut pipeline = redis::pipe();
            // Leases first: between the two no load that began before can commit.
            pipeline.add_command(leases).add_command(values);
            // The server tells only of values that were there; a load may be under way of one that is not.
            pipeline
                .cmd("PUBLISH")
                .arg(inner.names.channel())
                .arg(message_of(CHANGED, keys));
            let answers = inner.several(Class::Small, &pipeline, 3, limit).await?;
            Ok(answers.get(1).map_or(0, count))
        })
    }

    fn invalidate_matching<'a>(
        &'a self,
        prefix: &'a [u8],
        pattern: &'a str,
        limit: Duration,
    ) -> Work<'a, u64> {
        Box::pin(async move {
            let [leases, values] = self.0.names.patterns(prefix, pattern);
            self.0.scan(&leases, limit).await?;
            self.0.scan(&values, limit).await
        })
    }

    fn groups<'a>(
        &'a self,
        names: &'a [&'a str],
        limit: Duration,
    ) -> Work<'a, Vec<Option<ServerTime>>> {
        Box::pin(async move {
            if names.is_empty() {
                return Ok(Vec::new());
            }
            let inner = &self.0;
            let mut get = redis::cmd("MGET");
            for name in names {
                get.arg(inner.names.group(name));
            }
            match inner.one(Class::Small, &get, limit).await? {
                redis::Value::Array(versions) => Ok(versions.iter().map(version).collect()),
                _ => Err(Failure::Refused("MGET".into())),
            }
        })
    }

    fn join_groups<'a>(
        &'a self,
        names: &'a [&'a str],
        born: ServerTime,
        lasting: Duration,
        limit: Duration,
    ) -> Work<'a, Vec<ServerTime>> {
        Box::pin(async move {
            let inner = &self.0;
            let names: Vec<Vec<u8>> = names.iter().map(|name| inner.names.group(name)).collect();
            let keys: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            let before = born.0.saturating_sub(1).to_string();
            let kept = positive_millis(lasting.saturating_add(GROUP_KEPT));
            let args = [before.as_bytes(), kept.as_bytes()];
            let step = &inner.scripts.join_groups;
            match inner.step(Class::Small, step, &keys, &args, limit).await? {
                redis::Value::Array(versions) if versions.len() == keys.len() => {
                    // What is no number is nobody's version: no entry is valid under it.
                    let known = |answer| version(answer).unwrap_or(ServerTime(u64::MAX));
                    Ok(versions.iter().map(known).collect())
                }
                _ => Err(Failure::Refused("SCRIPT".into())),
            }
        })
    }

    fn invalidate_group<'a>(&'a self, name: &'a str, limit: Duration) -> Work<'a, ()> {
        Box::pin(async move {
            let inner = &self.0;
            let key = inner.names.group(name);
            let kept = positive_millis(GROUP_KEPT);
            let step = &inner.scripts.invalidate_group;
            let (keys, args) = ([key.as_slice()], [kept.as_bytes()]);
            let answer = inner.step(Class::Small, step, &keys, &args, limit).await;
            answer.map(|_| ())
        })
    }

    fn watch(&self, watcher: Weak<dyn Watcher>) {
        self.0.watchers.add(watcher);
    }

    fn now(&self) -> Option<ServerTime> {
        self.0.timeline.now()
    }

    fn health(&self) -> Health {
        self.0.attend();
        self.0.status().health()
    }

    fn max_value(&self) -> usize {
        self.0.settings.max_value
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("settings", &self.0.settings)
            .field("state", &self.0.status().state)
            .finish_non_exhaustive()
    }
}
