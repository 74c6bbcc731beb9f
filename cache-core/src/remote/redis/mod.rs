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

mod answers;
mod batches;
mod chorus;
mod health;
mod keeper;
mod lanes;
mod link;
mod names;
mod node;
mod scripts;
mod servers;
mod settings;
mod shared;
mod timeline;

pub use settings::RedisSettings;

use crate::{
    Error,
    policy::LONGEST,
    remote::{
        Ask, Failure, Found, Health, Leased, Remote, ServerTime, Token, Value, Watcher, Work,
    },
};
use answers::{leased, version};
use bytes::Bytes;
use link::{CHANGED, WOKEN, message_of};
use names::Name;
use node::Call;
use scripts::Step;
use servers::Servers;
use shared::{Class, Shared, expected};
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
            let Inner { shared, servers } = &*self.0;
            let name = shared.names.value(key);
            // Most requests are this one: made at its full length, it need not grow.
            let mut get = redis::Cmd::with_capacity(2, "GET".len() + name.len());
            get.arg("GET").arg(&name);
            let size = shared.size_of(&name);
            let answer = servers.one(expected(size), &name, &get, limit).await?;
            let found = self.0.found(answer)?;
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
            leased(servers.step(&call, limit).await?, None)
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
            self.0.servers.scan(&values, limit).await
        })
    }

    fn groups<'a>(
        &'a self,
        names: &'a [&'a str],
        limit: Duration,
    ) -> Work<'a, Vec<Option<ServerTime>>> {
        Box::pin(async move {
            let Some(first) = names.first() else {
                return Ok(Vec::new());
            };
            let inner = &self.0;
            let mut get = redis::cmd("MGET");
            for name in names {
                get.arg(inner.shared.names.group(name));
            }
            let first = inner.shared.names.group(first);
            match inner.servers.one(Class::Small, &first, &get, limit).await? {
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
            let names: Vec<Vec<u8>> = names
                .iter()
                .map(|name| inner.shared.names.group(name))
                .collect();
            let keys: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            let before = born.0.saturating_sub(1).to_string();
            let kept = positive_millis(lasting.saturating_add(GROUP_KEPT));
            let args = [before.as_bytes(), kept.as_bytes()];
            let step = &inner.shared.scripts.join_groups;
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
            let key = inner.shared.names.group(name);
            let kept = positive_millis(GROUP_KEPT);
            let step = &inner.shared.scripts.invalidate_group;
            let (keys, args) = ([key.as_slice()], [kept.as_bytes()]);
            let answer = inner.step(Class::Small, step, &keys, &args, limit).await;
            answer.map(|_| ())
        })
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
