//! Keeps the lanes dialled: one task, one attempt at a time.
//!
//! A server that went away is dialled again at random intervals, and used again only when it answers
//! a question within the time a request would give it: the half-open state of a circuit breaker,
//! with the attempt as its probe. Requests never wait for any of this.

use crate::{
    clock,
    remote::{
        State,
        redis::{
            answers::server_time,
            lanes::{Lanes, ask, is_forbidden, reason},
            node::Node,
            tls,
        },
    },
    timer,
};
use deadpool_redis::{Connection, PoolError};
use redis::{RedisError, Value};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Attempts within any second, of lanes and link together.
const PER_SECOND: usize = 4;
/// The longest random pause before the next attempt.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// After a refused password: trying harder only fills the server's log.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// Lets through one attempt at a time, and so many a second.
#[derive(Debug, Default)]
pub(super) struct Gate {
    latest: Mutex<VecDeque<Instant>>,
    turn: tokio::sync::Mutex<()>,
}

impl Gate {
    /// Runs `attempt` when it may be made.
    pub(super) async fn pass<T>(&self, attempt: impl Future<Output = T>) -> T {
        let _turn = self.turn.lock().await;
        if let Some(at) = self.opens() {
            timer::until(at, std::future::pending::<()>()).await;
        }
        self.note(timer::now());
        attempt.await
    }

    fn note(&self, now: Instant) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.push_back(now);
        if latest.len() > PER_SECOND {
            latest.pop_front();
        }
    }

    fn opens(&self) -> Option<Instant> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let full = latest.len() >= PER_SECOND;
        latest
            .front()
            .filter(|_| full)
            .map(|first| *first + Duration::from_secs(1))
    }
}

/// Whoever sees to it that there are lanes, until the last handle is gone.
pub(super) async fn keep(node: Weak<Node>, wake: Arc<Notify>) {
    let mut failures = 0_u32;
    loop {
        let Some(strong) = node.upgrade() else {
            return;
        };
        // Listening before looking, so that lanes given up in between are not missed.
        let woken = wake.notified();
        if let Some(lanes) = strong.lanes() {
            failures = 0;
            if lanes.lacks_large()
                && let Ok(large) = strong.gate.pass(checkout(&strong)).await
            {
                lanes.set_large(large);
            }
            drop((lanes, strong));
            // Looks up now and then: whoever drops the last handle need not find a runtime.
            timer::until(timer::later(timer::now(), LONGEST_PAUSE), woken).await;
            continue;
        }
        let dialled = strong.gate.pass(dial(&strong)).await;
        let pause = match dialled {
            Ok(()) => continue,
            Err(trouble) => {
                failures = failures.saturating_add(1);
                strong.set_state(State::Down(trouble.reason));
                pause_after(failures, trouble.is_refusal)
            }
        };
        drop(strong);
        timer::until(
            timer::later(timer::now(), pause),
            std::future::pending::<()>(),
        )
        .await;
    }
}

/// Full jitter: anything up to a limit that doubles to its longest.
pub(super) fn pause_after(failures: u32, is_refusal: bool) -> Duration {
    let limit = timer::doubled(Duration::from_millis(50), failures, LONGEST_PAUSE);
    let pause = limit.mul_f64(clock::unit(&clock::SystemRandom));
    if is_refusal {
        AFTER_REFUSAL + pause
    } else {
        pause
    }
}

/// Why an attempt failed.
pub(super) struct Trouble {
    pub(super) reason: Arc<str>,
    pub(super) is_refusal: bool,
}

impl From<&RedisError> for Trouble {
    fn from(error: &RedisError) -> Self {
        let is_refusal = error.kind() == redis::ErrorKind::AuthenticationFailed
            || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"));
        Self {
            reason: reason(error),
            is_refusal,
        }
    }
}

impl Trouble {
    pub(super) fn slow() -> Self {
        Self::of("it does not answer in time")
    }

    pub(super) fn of(words: &str) -> Self {
        Self {
            reason: words.into(),
            is_refusal: false,
        }
    }

    /// The same, and of whom it is said.
    pub(super) fn at(self, whom: &str) -> Self {
        Self {
            reason: format!("{whom}{}", self.reason).into(),
            ..self
        }
    }
}

/// Dials the first lane, probes it, puts it to use, and dials the others.
async fn dial(node: &Arc<Node>) -> Result<(), Trouble> {
    node.find().await?;
    let first = checkout(node).await?;
    if let Err(trouble) = probe(node, &first).await {
        drop(Connection::take(first));
        return Err(trouble);
    }
    let mut small = vec![first];
    for _ in 1..node.shared.settings.lanes {
        small.push(checkout(node).await?);
    }
    let lanes = Arc::new(Lanes::new(node.next_epoch(), small));
    node.put_to_use(Arc::clone(&lanes));
    // Without it large values share a lane, which is slow but works.
    if let Ok(large) = checkout(node).await {
        lanes.set_large(large);
    }
    Ok(())
}

async fn checkout(node: &Node) -> Result<Connection, Trouble> {
    let place = node.place().ok_or_else(Trouble::slow)?;
    place.pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) if !error.is_timeout() => {
            tls::hint(&place.address, &error).map_or_else(|| Trouble::from(&error), Trouble::of)
        }
        _ => Trouble::of(tls::silence(&place.address)),
    })
}

/// Names the connection, asks for the time, and finds out what the server can do.
async fn probe(node: &Node, connection: &Connection) -> Result<(), Trouble> {
    let mut time = redis::cmd("TIME");
    let answer = question(node, connection, &mut time).await?;
    let at = server_time(&answer).ok_or_else(Trouble::slow)?;
    node.heard(at);
    let name = &node.shared.settings.client_name;
    let mut set_name = redis::cmd("CLIENT");
    set_name.arg("SETNAME").arg(name);
    let named = ask(clone(connection), &set_name, node.shared.settings.probe).await;
    node.degrade(
        "CLIENT SETNAME",
        matches!(named, Some(Err(_))),
        "connections have no name",
    );
    let mut script = redis::cmd("EVAL");
    script.arg("return 1").arg(0);
    let scripted = ask(clone(connection), &script, node.shared.settings.probe).await;
    node.degrade(
        "EVAL",
        matches!(scripted, Some(Err(_))),
        "loads are not shared, and what is loaded is not stored",
    );
    let mut unlink = redis::cmd("UNLINK");
    unlink.arg(node.shared.names.group("%none"));
    let unlinked = ask(clone(connection), &unlink, node.shared.settings.probe).await;
    // Of a cluster, another node may have that name.
    node.may_remove(!matches!(&unlinked, Some(Err(error)) if is_forbidden(error)));
    // Nothing, which means nothing to who hears it. A user may be allowed the command, and no channel.
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(node.shared.names.channel()).arg("");
    let published = ask(clone(connection), &publish, node.shared.settings.probe).await;
    node.degrade(
        "PUBLISH",
        matches!(&published, Some(Err(error)) if is_forbidden(error)),
        "who waits for a load asks again and again, and what is invalidated without being stored stays in the memory of others",
    );
    Ok(())
}

async fn question(
    node: &Node,
    connection: &Connection,
    cmd: &mut redis::Cmd,
) -> Result<Value, Trouble> {
    match ask(clone(connection), cmd, node.shared.settings.probe).await {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(error)) => Err(Trouble::from(&error)),
        None => Err(Trouble::slow()),
    }
}

fn clone(connection: &Connection) -> redis::aio::MultiplexedConnection {
    redis::aio::MultiplexedConnection::clone(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rds_23_no_more_than_four_attempts_a_second() {
        let gate = Gate::default();
        let began = timer::now();
        for _ in 0..9 {
            gate.pass(async {}).await;
        }
        let took = timer::now().saturating_duration_since(began);
        assert!((2..3).contains(&took.as_secs()), "{took:?}");
    }

    #[test]
    fn pauses_grow_to_their_longest_and_a_refusal_waits_a_second() {
        for failures in 1..40 {
            assert!(pause_after(failures, false) <= LONGEST_PAUSE);
            assert!(pause_after(failures, true) >= AFTER_REFUSAL);
        }
    }
}
