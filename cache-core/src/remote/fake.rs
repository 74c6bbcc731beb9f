//! A remote tier within the process, that fails on demand.

use crate::{
    Pattern,
    remote::{
        Ask, FORBIDDEN, Failure, Found, Health, Leased, MAX_KEY, Notice, Remote, ServerTime, State,
        Token, Value, Watcher, Work,
    },
    timer,
};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

/// One process's link to a store that lives in this process. [`another`](Self::another) is the link
/// of another process to the same store.
///
/// Its times are tokio's, so they are paused with it. It has no task of its own: changes are told as
/// they happen, and that everything was told with every answer.
#[derive(Clone)]
pub struct Fake {
    server: Arc<Mutex<Server>>,
    link: Arc<Mutex<Link>>,
    origin: Instant,
}

/// What goes wrong with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It never reaches the store.
    RequestLost,
    /// It is done, but the answer never comes.
    ReplyLost,
    /// The store refuses it.
    Refused,
    /// Its user may not do it.
    Forbidden,
}

#[derive(Default, Clone)]
struct Data {
    values: HashMap<Box<[u8]>, (Bytes, ServerTime)>,
    leases: HashMap<Box<[u8]>, (Lease, ServerTime)>,
    groups: HashMap<Box<str>, ServerTime>,
}

#[derive(Clone)]
enum Lease {
    Held(Token),
    Failed(String),
}

#[derive(Default)]
struct Server {
    data: Data,
    replica: Option<Data>,
    links: Vec<Weak<Mutex<Link>>>,
    /// Operations that reached it.
    served: u64,
    last: ServerTime,
}

#[derive(Default)]
struct Link {
    watchers: Vec<Weak<dyn Watcher>>,
    is_down: bool,
    is_mute: bool,
    latency: Duration,
    random_latency: Duration,
    faults: VecDeque<Option<Fault>>,
}

impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}

impl Fake {
    /// A link to a new, empty store.
    pub fn new() -> Self {
        let fake = Self {
            server: Arc::default(),
            link: Arc::default(),
            origin: timer::now(),
        };
        fake.register();
        fake
    }

    /// The link of another process to the same store.
    #[must_use]
    pub fn another(&self) -> Self {
        let fake = Self {
            server: Arc::clone(&self.server),
            link: Arc::default(),
            origin: self.origin,
        };
        fake.register();
        fake
    }

    /// Takes this link down, or up again. Nothing is told over it while it is down.
    pub fn set_down(&self, down: bool) {
        let watchers = {
            let mut link = locked(&self.link);
            link.is_down = down;
            link.alive()
        };
        tell(&watchers, if down { Notice::Lost } else { HEARD });
    }

    /// Silently stops telling changes over this link, or goes on: what happened meanwhile is lost.
    pub fn set_mute(&self, mute: bool) {
        locked(&self.link).is_mute = mute;
    }

    /// Says that the link was lost and is there again, as a driver does that noticed it.
    pub fn reconnect(&self) {
        self.set_down(true);
        self.set_down(false);
    }

    /// Says over this link that everything has been told.
    pub fn beat(&self) {
        self.heard(Duration::ZERO);
    }

    /// Lets every operation over this link take so long.
    pub fn set_latency(&self, latency: Duration) {
        locked(&self.link).latency = latency;
    }

    /// Lets every operation over this link take a random time of up to `most`, on either way.
    pub fn set_random_latency(&self, most: Duration) {
        locked(&self.link).random_latency = most;
    }

    /// Lets the next operations over this link go wrong, one after another; `None` lets one go well.
    pub fn inject(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        locked(&self.link).faults.extend(faults);
    }

    /// From here on writes do not reach the replica.
    pub fn stop_replication(&self) {
        let mut server = locked(&self.server);
        server.replica = Some(server.data.clone());
    }

    /// The replica takes over: what was written since
    /// [`stop_replication`](Self::stop_replication) is lost, and every link is a new one.
    pub fn fail_over(&self) {
        let links = {
            let mut server = locked(&self.server);
            server.data = server.replica.take().unwrap_or_default();
            server.links()
        };
        for link in links {
            let watchers = locked(&link).alive();
            tell(&watchers, Notice::Lost);
            tell(&watchers, HEARD);
        }
    }

    /// Writes bytes as a foreign client would, for a minute.
    pub fn write_raw(&self, key: &[u8], bytes: impl Into<Bytes>) {
        let until = self.time().after(Duration::from_secs(60));
        locked(&self.server)
            .data
            .values
            .insert(key.into(), (bytes.into(), until));
        self.tell_all(Notice::Changed(key));
    }

    /// The bytes stored under `key`.
    pub fn read_raw(&self, key: &[u8]) -> Option<Bytes> {
        self.value(key).map(|found| found.bytes)
    }

    /// The keys that have a value, in any order.
    pub fn keys(&self) -> Vec<Box<[u8]>> {
        locked(&self.server).data.values.keys().cloned().collect()
    }

    /// Leases that somebody has.
    pub fn leases(&self) -> usize {
        let now = self.time();
        let server = locked(&self.server);
        let held =
            |(lease, until): &&(Lease, ServerTime)| matches!(lease, Lease::Held(_)) && now < *until;
        server.data.leases.values().filter(held).count()
    }

    /// Operations that reached the store.
    pub fn served(&self) -> u64 {
        locked(&self.server).served
    }

    fn register(&self) {
        locked(&self.server).links.push(Arc::downgrade(&self.link));
    }

    fn time(&self) -> ServerTime {
        const START: ServerTime = ServerTime(1_000_000_000_000_000);
        let time = START.after(timer::now().saturating_duration_since(self.origin));
        let mut server = locked(&self.server);
        // Paused time stands still, but what happens later is to be seen as later.
        server.last = time.max(server.last.after(Duration::from_micros(1)));
        server.last
    }

    fn value(&self, key: &[u8]) -> Option<Found> {
        let at = self.time();
        let server = locked(&self.server);
        let (bytes, until) = server.data.values.get(key)?;
        (at < *until).then(|| Found {
            bytes: bytes.clone(),
            at,
        })
    }

    /// The state of a lease, and what is left of it.
    fn lease_of(&self, key: &[u8]) -> Option<(Lease, Duration)> {
        let now = self.time();
        let server = locked(&self.server);
        let (lease, until) = server.data.leases.get(key)?;
        (now < *until).then(|| (lease.clone(), until.since(now)))
    }

    fn is_held_by(&self, key: &[u8], token: Token) -> bool {
        matches!(self.lease_of(key), Some((Lease::Held(held), _)) if held == token)
    }

    fn set_lease(&self, key: &[u8], lease: Lease, lasting: Duration) {
        let until = self.time().after(lasting);
        locked(&self.server)
            .data
            .leases
            .insert(key.into(), (lease, until));
    }

    fn end_lease(&self, key: &[u8]) {
        locked(&self.server).data.leases.remove(key);
        self.tell_all(Notice::Woken(key));
    }

    fn set_value(&self, key: &[u8], value: &Value) {
        let until = self.time().after(value.lasting);
        let bytes = value.bytes.clone();
        locked(&self.server)
            .data
            .values
            .insert(key.into(), (bytes, until));
        self.tell_all(Notice::Changed(key));
    }

    fn remove(&self, key: &[u8]) -> u64 {
        let was_there = self.value(key).is_some();
        locked(&self.server).data.values.remove(key);
        self.end_lease(key);
        self.tell_all(Notice::Changed(key));
        u64::from(was_there)
    }

    fn tell_all(&self, notice: Notice<'_>) {
        let links = locked(&self.server).links();
        for link in links {
            let watchers = {
                let link = locked(&link);
                if link.is_down || link.is_mute {
                    Vec::new()
                } else {
                    link.alive()
                }
            };
            tell(&watchers, notice);
        }
    }

    fn heard(&self, within: Duration) {
        let watchers = {
            let link = locked(&self.link);
            if link.is_down || link.is_mute {
                Vec::new()
            } else {
                link.alive()
            }
        };
        tell(&watchers, Notice::Heard { within });
    }

    /// Does `operation` as the link allows, within `limit`.
    fn serve<'a, T: Send + 'a>(
        &'a self,
        limit: Duration,
        operation: impl FnOnce(&Self) -> T + Send + 'a,
    ) -> Work<'a, T> {
        Box::pin(async move {
            let (is_down, latency, fault) = {
                let mut link = locked(&self.link);
                (link.is_down, link.ways(), link.faults.pop_front().flatten())
            };
            if is_down {
                return Err(Failure::Away);
            }
            match fault {
                Some(Fault::Refused) => return Err(Failure::Refused("FAKE".into())),
                Some(Fault::Forbidden) => return Err(Failure::Refused(FORBIDDEN.into())),
                Some(Fault::RequestLost) => return late(limit).await,
                Some(Fault::ReplyLost) | None => {}
            }
            let (there, back) = latency;
            if there.saturating_add(back) >= limit {
                return late(limit).await;
            }
            pause(there).await;
            locked(&self.server).served += 1;
            let answer = operation(self);
            if fault == Some(Fault::ReplyLost) {
                return late(limit.saturating_sub(there)).await;
            }
            pause(back).await;
            self.heard(there + back);
            Ok(answer)
        })
    }
}

const HEARD: Notice<'static> = Notice::Heard {
    within: Duration::ZERO,
};

async fn late<T>(limit: Duration) -> Result<T, Failure> {
    pause(limit).await;
    Err(Failure::Late)
}

async fn pause(duration: Duration) {
    if !duration.is_zero() {
        let end = timer::later(timer::now(), duration);
        timer::until(end, std::future::pending::<()>()).await;
    }
}

fn tell(watchers: &[Arc<dyn Watcher>], notice: Notice<'_>) {
    for watcher in watchers {
        watcher.notice(notice);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// What an operation takes there, and its answer back.
    fn ways(&self) -> (Duration, Duration) {
        let way = || self.latency / 2 + self.random_latency.mul_f64(fastrand::f64() / 2.0);
        (way(), way())
    }

    fn alive(&self) -> Vec<Arc<dyn Watcher>> {
        self.watchers.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Server {
    fn links(&self) -> Vec<Arc<Mutex<Link>>> {
        self.links.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Remote for Fake {
    fn look<'a>(&'a self, key: &'a [u8], limit: Duration) -> Work<'a, Option<Found>> {
        self.serve(limit, move |fake| fake.value(key))
    }

    fn look_many<'a>(
        &'a self,
        keys: &'a [&'a [u8]],
        limit: Duration,
    ) -> Work<'a, Vec<Option<Found>>> {
        self.serve(limit, move |fake| {
            keys.iter().map(|key| fake.value(key)).collect()
        })
    }

    fn lease<'a>(&'a self, ask: Ask<'a>, limit: Duration) -> Work<'a, Leased> {
        self.serve(limit, move |fake| {
            let is_unseen = |found: &Found| {
                !found.bytes.is_empty()
                    && (ask.seen.is_empty() || !found.bytes.starts_with(ask.seen))
            };
            if let Some(found) = fake.value(ask.key).filter(is_unseen) {
                return Leased::Value(found);
            }
            match fake.lease_of(ask.key) {
                Some((Lease::Held(_), left)) => Leased::Held(left),
                Some((Lease::Failed(message), left)) => Leased::Failed { message, left },
                None => {
                    fake.set_lease(ask.key, Lease::Held(ask.token), ask.lasting);
                    Leased::Granted(fake.time())
                }
            }
        })
    }

    fn commit<'a>(
        &'a self,
        key: &'a [u8],
        token: Token,
        value: Value,
        limit: Duration,
    ) -> Work<'a, bool> {
        if value.bytes.len() > self.max_value() || key.len() > MAX_KEY {
            return Box::pin(std::future::ready(Err(Failure::TooLarge)));
        }
        self.serve(limit, move |fake| {
            let is_mine = fake.is_held_by(key, token);
            if is_mine {
                fake.set_value(key, &value);
                fake.end_lease(key);
            }
            is_mine
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
        self.serve(limit, move |fake| {
            let is_mine = fake.is_held_by(key, token);
            if is_mine {
                fake.set_lease(key, Lease::Failed(message.to_owned()), pause);
                fake.tell_all(Notice::Woken(key));
            }
            is_mine
        })
    }

    fn release<'a>(&'a self, key: &'a [u8], token: Token, limit: Duration) -> Work<'a, bool> {
        self.serve(limit, move |fake| {
            let is_mine = fake.is_held_by(key, token);
            if is_mine {
                fake.end_lease(key);
            }
            is_mine
        })
    }

    fn renew<'a>(
        &'a self,
        key: &'a [u8],
        token: Token,
        lasting: Duration,
        limit: Duration,
    ) -> Work<'a, bool> {
        self.serve(limit, move |fake| {
            let is_mine = fake.is_held_by(key, token);
            if is_mine {
                fake.set_lease(key, Lease::Held(token), lasting);
            }
            is_mine
        })
    }

    fn put_many<'a>(&'a self, values: &'a [(&'a [u8], Value)], limit: Duration) -> Work<'a, ()> {
        self.serve(limit, move |fake| {
            for (key, value) in values {
                fake.set_value(key, value);
                fake.end_lease(key);
            }
        })
    }

    fn invalidate<'a>(&'a self, keys: &'a [&'a [u8]], limit: Duration) -> Work<'a, u64> {
        self.serve(limit, move |fake| {
            keys.iter().map(|key| fake.remove(key)).sum()
        })
    }

    fn invalidate_matching<'a>(
        &'a self,
        prefix: &'a [u8],
        pattern: &'a str,
        limit: Duration,
    ) -> Work<'a, u64> {
        self.serve(limit, move |fake| {
            let Ok(pattern) = Pattern::new(pattern) else {
                return 0;
            };
            let keys: Vec<Box<[u8]>> = {
                let server = locked(&fake.server);
                let keys = server.data.leases.keys().chain(server.data.values.keys());
                keys.filter(|key| {
                    key.strip_prefix(prefix)
                        .is_some_and(|rest| pattern.matches(rest))
                })
                .cloned()
                .collect()
            };
            let removed = keys.iter().map(|key| fake.remove(key)).sum();
            fake.tell_all(Notice::Everything);
            removed
        })
    }

    fn groups<'a>(
        &'a self,
        names: &'a [&'a str],
        limit: Duration,
    ) -> Work<'a, Vec<Option<ServerTime>>> {
        self.serve(limit, move |fake| {
            let server = locked(&fake.server);
            names
                .iter()
                .map(|name| server.data.groups.get(*name).copied())
                .collect()
        })
    }

    fn join_groups<'a>(
        &'a self,
        names: &'a [&'a str],
        born: ServerTime,
        _: Duration,
        limit: Duration,
    ) -> Work<'a, Vec<ServerTime>> {
        self.serve(limit, move |fake| {
            let mut server = locked(&fake.server);
            let before = ServerTime(born.0.saturating_sub(1));
            let groups = &mut server.data.groups;
            names
                .iter()
                .map(|name| *groups.entry((*name).into()).or_insert(before))
                .collect()
        })
    }

    fn invalidate_group<'a>(&'a self, name: &'a str, limit: Duration) -> Work<'a, ()> {
        self.serve(limit, move |fake| {
            let now = fake.time();
            {
                let mut server = locked(&fake.server);
                let version = server.data.groups.entry(name.into()).or_insert(now);
                *version = now.max(ServerTime(version.0 + 1));
            }
            fake.tell_all(Notice::Group(name));
        })
    }

    fn watch(&self, watcher: Weak<dyn Watcher>) {
        let mut link = locked(&self.link);
        link.watchers.retain(|watcher| watcher.strong_count() > 0);
        link.watchers.push(watcher);
    }

    fn now(&self) -> Option<ServerTime> {
        Some(self.time())
    }

    fn health(&self) -> Health {
        Health {
            state: if locked(&self.link).is_down {
                State::Down("taken down".into())
            } else {
                State::Up
            },
            degraded: Vec::new(),
        }
    }

    fn max_value(&self) -> usize {
        1024 * 1024
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake").finish_non_exhaustive()
    }
}
