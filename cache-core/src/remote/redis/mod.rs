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
//! A name is looked up on one thread of the runtime at a time, however long that takes.
//!
//! What is invalidated meanwhile is removed when the server is back. Where the user may not, it is tried again at
//! growing intervals of up to 5 seconds, a few at a time; until then it is not found by the process that invalidated it.
//!
//! # Sentinel
//!
//! With `redis+sentinel://host,host/service` the sentinels are asked, one after the other, where the master of
//! the service is, at every dial. A master that was replaced breaks its connections or refuses
//! writes; both lead to a dial.
//!
//! # Cluster
//!
//! With `redis+cluster://host,host`, and the feature `redis-cluster`, each master has lanes, and a connection that
//! tells of changes, of its own; the nodes that are named lead to the others. While one of them is
//! away, so are its keys, and those of the others are not; [`Health::degraded`] says which node. Memory counts as told
//! of changes when all masters tell. Batches go to all nodes at once; patterns walk all of them,
//! also while slots are moved. The versions of all groups of a prefix are in one slot, and all times are by
//! the clock of the node that has it. A slot that moves is followed; loads of its keys are not shared meanwhile.
//! A replica that takes over may lack what its master had confirmed a moment before; the clocks of the nodes should
//! agree to within the time that takes.
//!
//! # Deployment
//!
//! The user needs `GET`, `STRLEN`, `MGET`, `SET`, `UNLINK`, `SCAN`, `TIME`, `PUBLISH`, `SUBSCRIBE`,
//! `EVAL` and `EVALSHA` (and within scripts `GETRANGE`, `PTTL`, `PEXPIRE`), `CLIENT TRACKING` and
//! `CLIENT SETNAME`; in a cluster also `CLUSTER SLOTS`, `CLUSTER NODES` and `ASKING`. Connections are set up
//! with `HELLO` and checked with `PING` and `UNWATCH`. Since version 7 a user also needs the channel that the
//! prefix names, as `&cache:%wake`. What is missing shows in [`Health::degraded`]; the
//! rest works. Nothing but keys of the prefix and their leases is touched; neither `KEYS` nor
//! `FLUSHDB` is ever used. A cluster should have `cluster-require-full-coverage no`: otherwise its nodes refuse
//! everything while one of them is not replaced.
//!
//! A value of more than 64 KiB may need longer on its way than a request has. It is stored in the
//! background, and read over a connection for such values; the second who asks for it waits for it, as
//! long as its size says, because the first could not know. Of many keys that are asked for together
//! the large ones are not waited for.
//!
//! # TLS
//!
//! With the feature `redis-tls`, `rediss://` and `valkeys://` speak TLS 1.2 or 1.3, by rustls and ring,
//! over every connection. The server's certificate must be for the host in the URL, and of a CA that
//! the system trusts, or of one given to `RedisSettings::ca_certificate`; there is no way around either.
//! A certificate that is refused, or a port that speaks no TLS, is [`State::Down`](super::State::Down)
//! with the reason: nothing is ever sent in plain text instead.
//!
//! An application that chooses the cryptography of rustls for its process itself
//! (`CryptoProvider::install_default`) does so before it builds the first of these.

mod address;
mod answers;
mod batches;
mod chorus;
#[cfg(feature = "redis-cluster")]
mod cluster;
mod groups;
mod health;
mod keeper;
mod lanes;
mod link;
mod names;
mod node;
mod resolver;
mod scripts;
mod sentinel;
mod servers;
mod settings;
mod shared;
mod sized;
#[cfg(any(test, feature = "redis-cluster"))]
mod slots;
mod timeline;
mod tls;

pub use settings::RedisSettings;

use crate::{
    Error,
    policy::LONGEST,
    remote::{
        Ask, FORBIDDEN, Failure, Found, Health, Leased, Remote, ServerTime, Token, Value, Watcher,
        Work,
    },
    timer,
};
use answers::{leased, size_in};
use bytes::Bytes;
use link::{CHANGED, EVERYTHING, WOKEN, message_of};
use names::Name;
use node::Call;
use scripts::Step;
use servers::Servers;
use shared::{Class, Shared};
use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

/// Redis or Valkey as a remote tier. A cheap handle; its connections close with the last one.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    servers: Servers,
}

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
        let shared = Arc::new(Shared::new(settings));
        let servers = Servers::new(&shared).map_err(|error| {
            Error::config(format!(
                "the URL of the remote tier cannot be used ({})",
                error.category()
            ))
        })?;
        // Within a runtime it begins to connect; outside of one the first request does.
        servers.attend();
        Ok(Self(Arc::new(Inner { shared, servers })))
    }
}

impl Inner {
    /// Runs a script that says whether the lease was the caller's.
    async fn owned(
        &self,
        class: Class,
        step: &Step,
        keys: &[&[u8]],
        args: &[&[u8]],
        limit: Duration,
    ) -> Result<bool, Failure> {
        let answer = self.step(class, step, keys, args, limit).await?;
        Ok(answer == redis::Value::Int(1))
    }

    async fn step(
        &self,
        class: Class,
        step: &Step,
        keys: &[&[u8]],
        args: &[&[u8]],
        limit: Duration,
    ) -> Result<redis::Value, Failure> {
        let call = Call {
            class,
            step,
            keys,
            args,
            is_timed: false,
        };
        self.servers.step(&call, limit).await
    }

    /// Tells that anything may have changed: what only memories hold, no server can name.
    async fn tell_everything(&self, limit: Duration) -> Result<(), Failure> {
        let channel = self.shared.names.channel();
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(channel).arg(message_of(EVERYTHING, []));
        let told = self.servers.one(Class::Small, channel, &publish, limit);
        match told.await {
            Err(Failure::Refused(code)) if *code == *FORBIDDEN => Ok(()),
            told => told.map(|_| ()),
        }
    }

    /// When a load was born whose lease is asked for now; `None` where the server that grants it says so
    /// itself.
    fn born(&self) -> Result<Option<ServerTime>, Failure> {
        if !self.shared.settings.is_cluster() {
            return Ok(None);
        }
        self.shared.clock.earliest().ok_or(Failure::Away).map(Some)
    }

    /// A value as it was found, if there was one.
    fn found(&self, answer: redis::Value) -> Result<Option<Found>, Failure> {
        let redis::Value::BulkString(bytes) = answer else {
            return Ok(None);
        };
        Ok(Some(Found {
            bytes: Bytes::from(bytes),
            at: self.shared.clock.now().ok_or(Failure::Away)?,
        }))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.min(LONGEST).as_millis()).unwrap_or(u64::MAX)
}

/// Never zero, which the server would refuse.
fn positive_millis(duration: Duration) -> String {
    millis(duration).max(1).to_string()
}

impl Remote for Redis {
    fn look<'a>(&'a self, key: &'a [u8], limit: Duration) -> Work<'a, Option<Found>> {
        Box::pin(async move {
            let (inner, shared) = (&self.0, &self.0.shared);
            let name = shared.names.value(key);
            let size = shared.size_of(&name);
            let found = inner.found(inner.get(&name, size, limit).await?)?;
            shared.note_size(size, found.as_ref().map_or(0, |found| found.bytes.len()));
            Ok(found)
        })
    }

    fn look_many<'a>(
        &'a self,
        keys: &'a [&'a [u8]],
        limit: Duration,
    ) -> Work<'a, Vec<Option<Found>>> {
        Box::pin(async move { self.0.look_many(keys, limit).await })
    }

    fn lease<'a>(&'a self, asked: Ask<'a>, limit: Duration) -> Work<'a, Leased> {
        Box::pin(async move {
            let Inner { shared, servers } = &*self.0;
            let Name { value, lease } = shared.names.of(asked.key)?;
            let lasting = positive_millis(asked.lasting);
            let call = Call {
                class: shared.expected(&value),
                step: &shared.scripts.lease,
                keys: &[&value, &lease],
                args: &[asked.token.as_bytes(), lasting.as_bytes(), asked.seen],
                is_timed: true,
            };
            // Before it is asked for: a load is born no later than its lease is granted.
            let at = self.0.born()?;
            let asked = timer::now();
            let answer = servers.step(&call, limit).await?;
            let Some(size) = size_in(&answer) else {
                return leased(answer, at);
            };
            shared.remember_size(&value, usize::try_from(size).unwrap_or(usize::MAX));
            let left = limit.saturating_sub(timer::now().saturating_duration_since(asked));
            let found = self.0.found(self.0.get_sized(&value, size, left).await?)?;
            // Evicted in between: who asked loads for itself.
            let found = found.ok_or_else(|| Failure::Refused("GONE".into()))?;
            Ok(Leased::Value(found))
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
            if value.bytes.len() > inner.shared.settings.max_value {
                return Err(Failure::TooLarge);
            }
            let name = inner.shared.names.of(key)?;
            let message = message_of(WOKEN, [key]);
            let lasting = positive_millis(value.lasting);
            let keys = [name.value.as_slice(), &name.lease];
            let args = [
                token.as_bytes(),
                inner.shared.names.channel(),
                &message,
                &value.bytes,
                lasting.as_bytes(),
            ];
            let class = inner.shared.class_of(value.bytes.len());
            inner.shared.remember_size(&name.value, value.bytes.len());
            inner
                .owned(class, &inner.shared.scripts.commit, &keys, &args, limit)
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
            let name = inner.shared.names.of(key)?;
            let (woken, pause) = (message_of(WOKEN, [key]), positive_millis(pause));
            let channel = inner.shared.names.channel();
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
                    &inner.shared.scripts.fail,
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
            let name = inner.shared.names.of(key)?;
            let woken = message_of(WOKEN, [key]);
            let args = [token.as_bytes(), inner.shared.names.channel(), &woken];
            inner
                .owned(
                    Class::Small,
                    &inner.shared.scripts.release,
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
            let name = inner.shared.names.of(key)?;
            let lasting = positive_millis(lasting);
            let args = [token.as_bytes(), lasting.as_bytes()];
            inner
                .owned(
                    Class::Small,
                    &inner.shared.scripts.renew,
                    &[&name.lease],
                    &args,
                    limit,
                )
                .await
        })
    }

    fn put_many<'a>(&'a self, values: &'a [(&'a [u8], Value)], limit: Duration) -> Work<'a, ()> {
        Box::pin(async move { self.0.put_many(values, limit).await })
    }

    fn invalidate<'a>(&'a self, keys: &'a [&'a [u8]], limit: Duration) -> Work<'a, u64> {
        Box::pin(async move { self.0.invalidate(keys, limit).await })
    }

    fn invalidate_matching<'a>(
        &'a self,
        prefix: &'a [u8],
        pattern: &'a str,
        limit: Duration,
    ) -> Work<'a, u64> {
        Box::pin(async move {
            let [leases, values] = self.0.shared.names.patterns(prefix, pattern);
            self.0.servers.scan(&leases, limit).await?;
            let removed = self.0.servers.scan(&values, limit).await?;
            self.0.tell_everything(limit).await?;
            Ok(removed)
        })
    }

    fn groups<'a>(
        &'a self,
        names: &'a [&'a str],
        limit: Duration,
    ) -> Work<'a, Vec<Option<ServerTime>>> {
        Box::pin(async move { self.0.groups(names, limit).await })
    }

    fn join_groups<'a>(
        &'a self,
        names: &'a [&'a str],
        born: ServerTime,
        lasting: Duration,
        limit: Duration,
    ) -> Work<'a, Vec<ServerTime>> {
        Box::pin(async move { self.0.join_groups(names, born, lasting, limit).await })
    }

    fn invalidate_group<'a>(&'a self, name: &'a str, limit: Duration) -> Work<'a, ()> {
        Box::pin(async move { self.0.invalidate_group(name, limit).await })
    }

    fn watch(&self, watcher: Weak<dyn Watcher>) {
        self.0.shared.chorus.add(watcher);
    }

    fn now(&self) -> Option<ServerTime> {
        self.0.shared.clock.now()
    }

    fn health(&self) -> Health {
        self.0.servers.attend();
        self.0.shared.health.health()
    }

    fn max_value(&self) -> usize {
        self.0.shared.settings.max_value
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("settings", &self.0.shared.settings)
            .field("state", &self.0.shared.health.health().state)
            .finish_non_exhaustive()
    }
}
