//! One server: its connections, what is known of its time, and who keeps them.

use crate::{
    remote::{
        Failure, Notice, ServerTime, State,
        redis::{
            address::Layout,
            answers::{count, page_of, time_in},
            keeper::{self, Gate, Trouble},
            lanes::{
                self, Asked, Lanes, Manner, Redirect, STRAIGHT, TELLING, Verdict, ask, ask_all,
                ask_as, is_forbidden, judge,
            },
            link,
            scripts::{Step, is_unknown},
            sentinel,
            shared::{Class, Shared},
            timeline::Timeline,
        },
    },
    spawn::spawn,
    timer,
};
use deadpool_redis::Pool;
use redis::{Cmd, ConnectionAddr, Pipeline, RedisError, Value, aio::MultiplexedConnection};
use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// One `SCAN` looks at so many keys, and one `UNLINK` removes as many at most.
const BATCH: usize = 512;

pub(super) struct Node {
    pub(super) shared: Arc<Shared>,
    /// No other node of this tier has it, also none of the same address.
    pub(super) id: u64,
    source: Source,
    /// `None` before it was found.
    place: RwLock<Option<Arc<Place>>>,
    lanes: RwLock<Option<Arc<Lanes>>>,
    epochs: AtomicU64,
    pub(super) gate: Gate,
    pub(super) timeline: Timeline,
    /// Whether its time is that of the whole tier.
    is_clock: AtomicBool,
    /// How often it led to another server; a link of before is none to it.
    turns: AtomicU64,
    read_only: Mutex<Option<Instant>>,
    wake: Arc<Notify>,
    keeper: Arc<AtomicBool>,
    link: Arc<AtomicBool>,
}

/// How a node is found.
pub(super) enum Source {
    At(ConnectionAddr),
    /// By the sentinels, of whom the one to ask first is counted here.
    Sentinels(AtomicUsize),
}

/// Where a node is, and the pool of connections to there.
pub(super) struct Place {
    pub(super) address: ConnectionAddr,
    pub(super) pool: Pool,
}

impl Place {
    fn new(shared: &Shared, address: ConnectionAddr) -> Result<Arc<Self>, RedisError> {
        let pool = lanes::pool(&shared.settings, &address)?;
        Ok(Arc::new(Self { address, pool }))
    }
}

/// Why a node has no answer.
#[derive(Debug, Clone)]
pub(super) enum Miss {
    Failed(Failure),
    /// It says that another has the key.
    Elsewhere(Redirect),
}

impl From<Failure> for Miss {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What a walk over all names of a node came to.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) removed: u64,
    /// Listed here, and moved before they could be removed.
    #[cfg(feature = "redis-cluster")]
    pub(super) elsewhere: Vec<Vec<u8>>,
}

/// A script to run.
pub(super) struct Call<'a> {
    pub(super) class: Class,
    pub(super) step: &'a Step,
    pub(super) keys: &'a [&'a [u8]],
    pub(super) args: &'a [&'a [u8]],
    /// Whether a last argument says, by the clock of the node that runs it, until when it is wanted.
    pub(super) is_timed: bool,
}

impl Call<'_> {
    fn last(&self, timeline: &Timeline, limit: Duration) -> Option<String> {
        let now = timeline.now().unwrap_or(ServerTime(u64::MAX / 2));
        self.is_timed.then(|| now.after(limit).0.to_string())
    }
}

impl Node {
    /// A node that is found by `source`. Nothing is dialled before it is [attended](Self::attend) to.
    ///
    /// # Errors
    ///
    /// Where no connection can be made to such an address.
    pub(super) fn new(shared: &Arc<Shared>, source: Source) -> Result<Arc<Self>, RedisError> {
        let place = match &source {
            Source::At(address) => Some(Place::new(shared, address.clone())?),
            Source::Sentinels(_) => None,
        };
        let address = place.as_ref().map(|place| place.address.to_string());
        let id = shared.health.enter(address);
        Ok(Arc::new(Self {
            shared: Arc::clone(shared),
            id,
            source,
            place: RwLock::new(place),
            lanes: RwLock::default(),
            epochs: AtomicU64::new(0),
            gate: Gate::default(),
            timeline: Timeline::new(),
            is_clock: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            read_only: Mutex::default(),
            wake: Arc::default(),
            keeper: Arc::default(),
            link: Arc::default(),
        }))
    }

    pub(super) fn place(&self) -> Option<Arc<Place>> {
        self.place
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sees to it that its place is where it is now.
    pub(super) async fn find(&self) -> Result<(), Trouble> {
        let (
            Source::Sentinels(count),
            Layout::Sentinel {
                sentinels,
                service,
                password,
            },
        ) = (&self.source, &self.shared.settings.layout)
        else {
            return Ok(());
        };
        let first = count.fetch_add(1, Ordering::Relaxed);
        let settings = &self.shared.settings;
        let address =
            sentinel::master(settings, sentinels, service, password.as_deref(), first).await?;
        if self.place().is_none_or(|place| place.address != address) {
            let place = Place::new(&self.shared, address).map_err(|error| Trouble::from(&error))?;
            *self.place.write().unwrap_or_else(PoisonError::into_inner) = Some(place);
            self.turns.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    pub(super) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    pub(super) fn set_clock(&self, is_clock: bool) {
        self.is_clock.store(is_clock, Ordering::Release);
    }

    /// The server said `time` in an answer that came just now.
    pub(super) fn heard(&self, time: ServerTime) {
        self.timeline.heard(time);
        if self.is_clock.load(Ordering::Acquire) {
            self.shared.clock.heard(time);
        }
    }

    pub(super) fn lanes(&self) -> Option<Arc<Lanes>> {
        self.lanes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sees to it that somebody keeps the connections.
    pub(super) fn attend(self: &Arc<Self>) {
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
                Err(Failure::Away)
            }
        }
    }

    pub(super) fn next_epoch(&self) -> u64 {
        self.epochs.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn put_to_use(&self, lanes: Arc<Lanes>) {
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
            self.shared.news.notify_one();
            self.attend();
        }
    }

    /// A replica that was promoted elsewhere: the address may lead to the new master by now. Once a
    /// second, because a server that stays read-only can still be read.
    fn give_up_read_only(self: &Arc<Self>, epoch: u64) {
        let now = timer::now();
        let mut latest = self
            .read_only
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let lately = latest.is_some_and(|at| now < at + Duration::from_secs(1));
        if !lately {
            *latest = Some(now);
            drop(latest);
            // A replica tells of changes as well, but late.
            self.turns.fetch_add(1, Ordering::AcqRel);
            self.give_up(epoch, "it takes no writes (READONLY)".into());
        }
    }

    pub(super) async fn one(
        self: &Arc<Self>,
        class: Class,
        cmd: &Cmd,
        manner: Manner,
        limit: Duration,
    ) -> Result<Value, Miss> {
        let lanes = self.in_use()?;
        let asked = Asked::over(&lanes, class);
        let answer = ask_as(manner, connection(&lanes, class)?, cmd, limit).await;
        if answer.is_some() {
            asked.answered();
        }
        self.settle(&lanes, answer, limit)
    }

    /// The answers to `pipeline` but the last, which is to a notice, if none of them is an error.
    pub(super) async fn several(
        self: &Arc<Self>,
        class: Class,
        pipeline: &Pipeline,
        limit: Duration,
    ) -> Result<Vec<Value>, Miss> {
        let lanes = self.in_use()?;
        let connection = connection(&lanes, class)?;
        let answers = ask_all(connection, pipeline, 0, pipeline.len(), limit).await;
        self.settle(&lanes, answers.map(|answers| answers.and_then(done)), limit)
    }

    /// Each answer to `pipeline`, for itself.
    #[cfg(feature = "redis-cluster")]
    pub(super) async fn each(
        self: &Arc<Self>,
        class: Class,
        pipeline: &Pipeline,
        limit: Duration,
    ) -> Result<Vec<Result<Value, Miss>>, Miss> {
        let lanes = self.in_use()?;
        let connection = connection(&lanes, class)?;
        self.each_of(&lanes, connection, pipeline, limit).await
    }

    #[cfg(feature = "redis-cluster")]
    async fn each_of(
        self: &Arc<Self>,
        lanes: &Arc<Lanes>,
        connection: MultiplexedConnection,
        pipeline: &Pipeline,
        limit: Duration,
    ) -> Result<Vec<Result<Value, Miss>>, Miss> {
        let answers = ask_all(connection, pipeline, 0, pipeline.len(), limit).await;
        let answers = self.settle(lanes, answers, limit)?;
        let judged = |answer: Value| {
            let answer = answer.extract_error();
            answer.map_err(|error| self.obey(lanes, judge(&error)))
        };
        Ok(answers.into_iter().map(judged).collect())
    }

    /// Asks whether the connections still work, as often as it takes to give them up where they do
    /// not.
    pub(super) async fn doubt(self: &Arc<Self>) {
        let limit = self.shared.settings.probe.max(TELLING);
        for _ in 0..STRAIGHT {
            let Some(lanes) = self.lanes() else {
                return;
            };
            let Ok(connection) = lanes.small() else {
                return;
            };
            let answer = ask(connection, &redis::cmd("TIME"), limit).await;
            if self.settle(&lanes, answer, limit).is_ok() {
                return;
            }
        }
    }

    fn settle<T>(
        self: &Arc<Self>,
        lanes: &Arc<Lanes>,
        answer: Option<Result<T, RedisError>>,
        limit: Duration,
    ) -> Result<T, Miss> {
        let verdict = match answer {
            Some(Ok(answer)) => {
                lanes.answered();
                return Ok(answer);
            }
            Some(Err(error)) => judge(&error),
            None => lanes.is_late(limit),
        };
        Err(self.obey(lanes, verdict))
    }

    fn obey(self: &Arc<Self>, lanes: &Lanes, verdict: Verdict) -> Miss {
        match verdict {
            Verdict::Keep(failure) => {
                if failure != Failure::Late {
                    lanes.answered();
                }
                Miss::Failed(failure)
            }
            Verdict::Elsewhere(redirect) => {
                lanes.answered();
                Miss::Elsewhere(redirect)
            }
            Verdict::Drop(failure, reason) => {
                self.give_up(lanes.epoch, reason);
                Miss::Failed(failure)
            }
            Verdict::Silent => {
                self.give_up(lanes.epoch, "it does not answer in time".into());
                self.shared.chorus.tell(Notice::Silent);
                Miss::Failed(Failure::Late)
            }
            Verdict::ReadOnly(failure) => {
                self.give_up_read_only(lanes.epoch);
                Miss::Failed(failure)
            }
        }
    }

    /// Runs a script, and teaches it to the server where it has forgotten it.
    pub(super) async fn step(
        self: &Arc<Self>,
        call: &Call<'_>,
        manner: Manner,
        limit: Duration,
    ) -> Result<Value, Miss> {
        let asked = timer::now();
        let last = call.last(&self.timeline, limit);
        let cmd = call.step.by_hash(call.keys, call.args, last.as_deref());
        let answer = match self.one(call.class, &cmd, manner, limit).await {
            Err(Miss::Failed(failure)) if is_unknown(&failure) => {
                let spent = timer::now().saturating_duration_since(asked);
                let cmd = call.step.by_source(call.keys, call.args, last.as_deref());
                let left = limit.saturating_sub(spent);
                self.one(call.class, &cmd, manner, left).await
            }
            answer => answer,
        }?;
        if let Some(time) = time_in(&answer).filter(|_| call.is_timed) {
            self.heard(time);
        }
        Ok(answer)
    }

    /// Removes what is named as `pattern`.
    pub(super) async fn walk(
        self: &Arc<Self>,
        pattern: &[u8],
        limit: Duration,
    ) -> Result<Walked, Miss> {
        // Not a lane: long work must not stand before requests.
        self.in_use()?;
        let place = self.place().ok_or(Failure::Away)?;
        let connection = place.pool.get().await.map_err(|_| Failure::Late)?;
        let connection = MultiplexedConnection::clone(&connection);
        let lanes = self.in_use()?;
        let (mut cursor, mut walked) = (b"0".to_vec(), Walked::default());
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
                self.unlink(&lanes, &connection, batch, &mut walked, limit)
                    .await?;
            }
            if next == b"0" {
                return Ok(walked);
            }
            cursor = next;
        }
    }

    async fn unlink(
        self: &Arc<Self>,
        lanes: &Arc<Lanes>,
        connection: &MultiplexedConnection,
        names: &[Vec<u8>],
        walked: &mut Walked,
        limit: Duration,
    ) -> Result<(), Miss> {
        #[cfg(feature = "redis-cluster")]
        if self.shared.settings.is_cluster() {
            // One command may name what is in one slot alone.
            let mut pipeline = redis::pipe();
            for name in names {
                pipeline.cmd("UNLINK").arg(name);
            }
            let answers = self.each_of(lanes, connection.clone(), &pipeline, limit);
            for (name, answer) in names.iter().zip(answers.await?) {
                match answer {
                    Ok(answer) => walked.removed += count(&answer),
                    Err(Miss::Elsewhere(_)) => walked.elsewhere.push(name.clone()),
                    Err(miss) => return Err(miss),
                }
            }
            return Ok(());
        }
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(names);
        let answer = ask(connection.clone(), &unlink, limit).await;
        walked.removed += count(&self.settle(lanes, answer, limit)?);
        Ok(())
    }

    pub(super) fn set_state(&self, state: State) {
        self.shared.health.set_state(self.id, state);
    }

    /// Notes whether its user may remove what is stored, which may change while it is used.
    pub(super) fn may_remove(&self, may: bool) {
        let consequence = "nothing is stored, and what is invalidated is found again by others";
        self.degrade("UNLINK", !may, consequence);
    }

    /// Notes that a capability is missing, or there.
    pub(super) fn degrade(&self, what: &'static str, is_missing: bool, consequence: &str) {
        self.shared
            .health
            .degrade(self.id, what, is_missing, consequence);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shared.health.leave(self.id);
        self.wake.notify_waiters();
    }
}

/// What was done, whether or not anybody may be told of it.
fn done(mut answers: Vec<Value>) -> Result<Vec<Value>, RedisError> {
    match answers.pop().map(Value::extract_error) {
        Some(Err(error)) if !is_forbidden(&error) => return Err(error),
        _ => {}
    }
    answers.into_iter().map(Value::extract_error).collect()
}

fn connection(lanes: &Lanes, class: Class) -> Result<MultiplexedConnection, Failure> {
    match class {
        Class::Small => lanes.small(),
        Class::Large => lanes.large(),
    }
}

/// Spawns a task unless it runs. When its runtime ends, the flag is taken back, and the next request
/// starts another on its own.
pub(super) fn start<F: Future<Output = ()> + Send + 'static>(
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
