//! The connections that requests use, from when they are dialled until they are dropped together.
//!
//! A lane is an object of the pool that stays checked out; clones of its connection carry any number
//! of requests at a time. One checkout per request would cost several times the throughput.

use crate::remote::{
    FORBIDDEN, Failure,
    redis::{settings::RedisSettings, shared::Class, tls},
};
use deadpool_redis::{Connection, Manager, Pool, Runtime, Timeouts};
use redis::{
    Cmd, ConnectionAddr, ErrorKind, Pipeline, ProtocolVersion, RedisError, Value,
    aio::MultiplexedConnection,
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// So many requests in a row without an answer, and the connections are given up.
pub(super) const STRAIGHT: u32 = 3;

/// A limit below this says more about who asked than about the server.
pub(super) const TELLING: Duration = Duration::from_millis(10);

/// One set of connections.
pub(super) struct Lanes {
    pub(super) epoch: u64,
    small: Vec<Lane>,
    large: Mutex<Option<Lane>>,
    next: AtomicUsize,
    /// Requests without an answer since the latest answer.
    late: AtomicU32,
    /// The same of the large lane alone, which may be dead while others are well.
    large_late: AtomicU32,
}

struct Lane {
    connection: MultiplexedConnection,
    /// Its place in the pool, until it is given up.
    slot: Mutex<Option<Connection>>,
}

impl Lane {
    fn new(slot: Connection) -> Self {
        Self {
            connection: MultiplexedConnection::clone(&slot),
            slot: Mutex::new(Some(slot)),
        }
    }

    /// Leaves the pool, which would ask after a connection that does not answer.
    fn give_up(&self) {
        let slot = self
            .slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(slot.map(Connection::take));
    }
}

/// A question on the lane of large values. Dropped before it is answered, it says that it was not.
pub(super) struct Asked<'a>(Option<&'a Lanes>);

impl<'a> Asked<'a> {
    pub(super) fn over(lanes: &'a Lanes, class: Class) -> Self {
        Self(Some(lanes).filter(|_| class == Class::Large))
    }

    pub(super) fn answered(mut self) {
        if let Some(lanes) = self.0.take() {
            lanes.large_was(true);
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(lanes) = self.0 {
            lanes.large_was(false);
        }
    }
}

/// What is to become of the connections after a failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are fine; this request was not.
    Keep(Failure),
    /// They are of no use any more.
    Drop(Failure, Arc<str>),
    /// The same, after several in a row without an answer.
    Silent,
    /// They lead to a server that takes no writes.
    ReadOnly(Failure),
    /// They are fine; the key is not there.
    Elsewhere(Redirect),
}

/// Where a key is instead, as the node that was asked for it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirect {
    /// As `host:port`; without a host it is the one that was asked.
    pub(super) address: Box<str>,
    /// Whether only this question should go there, because the key is on its way.
    pub(super) is_asking: bool,
}

impl Redirect {
    pub(super) fn code(&self) -> &'static str {
        if self.is_asking { "ASK" } else { "MOVED" }
    }

    #[cfg(feature = "redis-cluster")]
    pub(super) fn manner(&self) -> Manner {
        if self.is_asking {
            Manner::Asking
        } else {
            Manner::Plain
        }
    }
}

/// How a question is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Plain,
    /// To the node that a key is on its way to.
    #[cfg(feature = "redis-cluster")]
    Asking,
}

impl Lanes {
    pub(super) fn new(epoch: u64, small: Vec<Connection>) -> Self {
        Self {
            epoch,
            small: small.into_iter().map(Lane::new).collect(),
            large: Mutex::new(None),
            next: AtomicUsize::new(0),
            late: AtomicU32::new(0),
            large_late: AtomicU32::new(0),
        }
    }

    pub(super) fn set_large(&self, slot: Connection) {
        *self.large.lock().unwrap_or_else(PoisonError::into_inner) = Some(Lane::new(slot));
    }

    pub(super) fn small(&self) -> Result<MultiplexedConnection, Failure> {
        let index = match self.small.len() {
            0 | 1 => 0,
            many => self.next.fetch_add(1, Ordering::Relaxed) % many,
        };
        let lane = self.small.get(index).ok_or(Failure::Away)?;
        Ok(lane.connection.clone())
    }

    /// The lane of large values; while there is none, a small one.
    pub(super) fn large(&self) -> Result<MultiplexedConnection, Failure> {
        let large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        match &*large {
            Some(lane) => Ok(lane.connection.clone()),
            None => {
                drop(large);
                self.small()
            }
        }
    }

    /// Whether large values share a lane with small ones, which is slow but works.
    pub(super) fn lacks_large(&self) -> bool {
        let large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        large.is_none()
    }

    /// Whether a question on the lane of large values was answered. After three in a row that were not,
    /// whether for time or because nobody waited any longer, it is given up alone; what is still on its
    /// way over it arrives.
    pub(super) fn large_was(&self, answered: bool) {
        if answered {
            self.large_late.store(0, Ordering::Relaxed);
        } else if self.large_late.fetch_add(1, Ordering::Relaxed) + 1 >= STRAIGHT {
            self.large_late.store(0, Ordering::Relaxed);
            let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
            let given_up = large.take();
            drop(large);
            given_up.iter().for_each(Lane::give_up);
        }
    }

    /// An answer came.
    pub(super) fn answered(&self) {
        if self.late.load(Ordering::Relaxed) != 0 {
            self.late.store(0, Ordering::Relaxed);
        }
    }

    /// No answer came within `limit`.
    pub(super) fn is_late(&self, limit: Duration) -> Verdict {
        if limit >= TELLING && self.late.fetch_add(1, Ordering::Relaxed) + 1 >= STRAIGHT {
            Verdict::Silent
        } else {
            Verdict::Keep(Failure::Late)
        }
    }

    /// Takes the connections from the pool for good. Requests that still use them hold them a moment
    /// longer.
    pub(super) fn give_up(&self) {
        self.small.iter().for_each(Lane::give_up);
        let large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        large.iter().for_each(Lane::give_up);
    }
}

/// Sends one command and waits for its answer.
#[cfg(feature = "redis-cluster")]
pub(super) async fn ask_as(
    manner: Manner,
    connection: MultiplexedConnection,
    cmd: &Cmd,
    limit: Duration,
) -> Option<Result<Value, RedisError>> {
    if manner == Manner::Plain {
        return ask(connection, cmd, limit).await;
    }
    let mut pipeline = redis::pipe();
    pipeline.cmd("ASKING").add_command(cmd.clone());
    let answers = ask_all(connection, &pipeline, 1, 1, limit).await?;
    let answer = answers.map(|mut answers| answers.pop().unwrap_or(Value::Nil));
    Some(answer.and_then(Value::extract_error))
}

/// As [`ask_as`], where there are no clusters.
#[cfg(not(feature = "redis-cluster"))]
pub(super) async fn ask_as(
    _: Manner,
    connection: MultiplexedConnection,
    cmd: &Cmd,
    limit: Duration,
) -> Option<Result<Value, RedisError>> {
    ask(connection, cmd, limit).await
}

/// Sends one command and waits for its answer.
pub(super) async fn ask(
    mut connection: MultiplexedConnection,
    cmd: &Cmd,
    limit: Duration,
) -> Option<Result<Value, RedisError>> {
    let answer = tokio::time::timeout(limit, connection.send_packed_command(cmd)).await;
    Some(answer.ok()?.and_then(Value::extract_error))
}

/// Sends several, as one write, and waits for all answers; gives those after the `skipped` first.
pub(super) async fn ask_all(
    mut connection: MultiplexedConnection,
    pipeline: &Pipeline,
    skipped: usize,
    count: usize,
    limit: Duration,
) -> Option<Result<Vec<Value>, RedisError>> {
    let asked = connection.send_packed_commands(pipeline, skipped, count);
    let answers = tokio::time::timeout(limit, asked).await.ok()?;
    Some(answers)
}

/// What an error says about the connection it came over.
pub(super) fn judge(error: &RedisError) -> Verdict {
    if let Some((address, _)) = error.redirect_node() {
        return Verdict::Elsewhere(Redirect {
            address: address.into(),
            is_asking: error.code() == Some("ASK"),
        });
    }
    match error.code() {
        Some("READONLY") => Verdict::ReadOnly(Failure::Refused("READONLY".into())),
        Some("ERR") if is_read_only_script(error) => {
            Verdict::ReadOnly(Failure::Refused("READONLY".into()))
        }
        Some(code @ ("NOAUTH" | "WRONGPASS")) => {
            Verdict::Drop(Failure::Refused(code.into()), reason(error))
        }
        Some(code) if is_plain(code) => Verdict::Keep(Failure::Refused(code.into())),
        Some(_) => Verdict::Keep(Failure::Refused("UNKNOWN".into())),
        None => match error.kind() {
            ErrorKind::Io | ErrorKind::Parse | ErrorKind::AuthenticationFailed => {
                Verdict::Drop(Failure::Late, reason(error))
            }
            _ => Verdict::Keep(Failure::Refused("CLIENT".into())),
        },
    }
}

/// Before version 7 a server says so of a script within an error of another code.
fn is_read_only_script(error: &RedisError) -> bool {
    let words = error.detail().unwrap_or_default();
    words.starts_with("Error running script") && words.contains("-READONLY ")
}

/// What went wrong, in words that name the setting and show none of its secrets: nothing the server
/// or the library says is repeated, since that may hold what was sent.
pub(super) fn reason(error: &RedisError) -> Arc<str> {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "the user or the password in its URL was refused".into();
    }
    if let Some(words) = tls::reason(error) {
        return words.into();
    }
    match error.code() {
        Some("NOAUTH") => "it asks for a password, and its URL has none".into(),
        Some("WRONGPASS") => "the user or the password in its URL was refused".into(),
        Some("LOADING") => "it is still loading its data".into(),
        Some("NOPERM") => "the user in its URL may not use it (NOPERM)".into(),
        Some("ERR") => "it refused the database in its URL, or to be set up".into(),
        Some(code) if is_plain(code) => format!("it refuses with {code}").into(),
        Some(_) => "what answers at the address in its URL is not Redis".into(),
        None if error.is_timeout() => "it does not answer in time".into(),
        None if error.is_connection_refusal() => "nothing listens at the address in its URL".into(),
        None if is_unknown_host(error) => "the host in its URL is not known by that name".into(),
        None if error.is_io_error() => "the connection to the address in its URL broke".into(),
        None => "what answers at the address in its URL is not Redis".into(),
    }
}

/// Whether the user may not do it, or not there.
pub(super) fn is_forbidden(error: &RedisError) -> bool {
    error.code() == Some(FORBIDDEN)
}

/// The library and the system say so in words alone.
pub(super) fn is_unknown_host(error: &RedisError) -> bool {
    error.is_io_error()
        && error
            .to_string()
            .contains("failed to lookup address information")
}

/// Whether it is a code as servers have them, and no piece of what was sent.
fn is_plain(code: &str) -> bool {
    code.len() <= 16 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// The pool: it dials, and it owns the limits of dialling.
pub(super) fn pool(settings: &RedisSettings, address: &ConnectionAddr) -> Result<Pool, RedisError> {
    let info = settings.info(address, ProtocolVersion::RESP2);
    let manager = Manager::new_with_config(info, settings.lane_config())?;
    let timeouts = Timeouts {
        wait: Some(settings.wait),
        create: Some(settings.connect),
        recycle: Some(settings.probe),
    };
    Ok(Pool::builder(manager)
        .max_size(settings.connections)
        .timeouts(timeouts)
        .runtime(Runtime::Tokio1)
        .build()
        .expect("a runtime is named, which is all that limits of time need"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(answer: &[u8]) -> Verdict {
        let answer = redis::parse_redis_value(answer).expect("it is an answer");
        judge(&answer.extract_error().expect_err("it is an error"))
    }

    /// RDS-11: each version says in words of its own that a script may not write.
    #[test]
    fn rds_11_a_script_that_a_replica_refuses_is_known_for_it() {
        let words = "You can't write against a read only replica.";
        for answer in [
            format!("-READONLY {words}\r\n"),
            format!("-READONLY {words} script: 5f, on @user_script:18.\r\n"),
            format!(
                "-ERR Error running script (call to f_5f): @user_script:18: @user_script: 18: -READONLY {words}\r\n"
            ),
        ] {
            let read_only = Verdict::ReadOnly(Failure::Refused("READONLY".into()));
            assert_eq!(judged(answer.as_bytes()), read_only, "{answer}");
        }
        let other = b"-ERR Error running script (call to f_5f): @user_script:1: no such thing\r\n";
        assert_eq!(judged(other), Verdict::Keep(Failure::Refused("ERR".into())));
    }
}
