//! What is left to do for the remote tier when nobody waits for it any more: commits of bodies that
//! ended, leases to give back or to renew, invalidations to confirm.
//!
//! One task does it, of whatever runtime needed it first; it ends when there is nothing left, and
//! when its runtime ends before that, the next request starts it again. `Drop` only enqueues.

use crate::{
    observe::tell,
    remote::{
        Remote, ServerTime, Token,
        journal::{Journal, Round},
    },
    spawn::spawn,
    timer,
};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;
type Trying = Pin<Box<dyn Future<Output = Round> + Send>>;

/// More jobs than these, or more bytes in them, and the next is dropped.
const MOST: usize = 1024;
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// So many run at once.
const TOGETHER: usize = 32;
/// How often an invalidation that is not confirmed is tried again.
const REPLAY: Duration = Duration::from_millis(100);
/// The same, at most, where the user may not do it.
const LONGEST_REPLAY: Duration = Duration::from_secs(5);
/// How long the task stays without work: shorter, and every burst would spawn one.
const IDLE: Duration = Duration::from_millis(500);
/// No operation in the background takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_millis(250);
/// A lease that could not be given back is looked after again so soon, since others wait for it.
const AGAIN: Duration = Duration::from_millis(20);
/// Without an answer for so long it is given back once more, whatever becomes of the answer.
const UNANSWERED: Duration = Duration::from_millis(50);

pub(crate) struct Jobs {
    remote: Arc<dyn Remote>,
    pub(crate) journal: Journal,
    lasting: Duration,
    desk: Mutex<Desk>,
    something: Notify,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Desk {
    queue: VecDeque<(Job, usize)>,
    bytes: usize,
    leases: HashMap<Token, Renewal>,
    returns: HashMap<Token, Return>,
    is_running: bool,
}

struct Renewal {
    name: Box<[u8]>,
    next: Instant,
    until: Instant,
}

/// A lease that nobody here has any more, to be given back.
struct Return {
    name: Box<[u8]>,
    next: Instant,
    /// By then it has ended by itself.
    until: Instant,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    New,
    Asked,
    /// Asked in vain, or not at all because the remote tier is away.
    Lost,
}

impl Return {
    fn asked(&mut self, now: Instant) {
        self.progress = match self.progress {
            Progress::New => Progress::Asked,
            Progress::Asked | Progress::Lost => Progress::Lost,
        };
        self.next = timer::later(now, UNANSWERED);
    }

    fn lost(&mut self, now: Instant) {
        self.progress = Progress::Lost;
        self.next = timer::later(now, AGAIN);
    }
}

impl Jobs {
    pub(crate) fn new(remote: Arc<dyn Remote>, lasting: Duration) -> Self {
        Self {
            remote,
            journal: Journal::default(),
            lasting,
            desk: Mutex::default(),
            something: Notify::new(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Has `job` done, which holds `bytes`; false where there is no room.
    pub(crate) fn enqueue(
        self: &Arc<Self>,
        bytes: usize,
        job: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        let mut desk = self.desk();
        if desk.queue.len() >= MOST || desk.bytes.saturating_add(bytes) > MOST_BYTES {
            drop(desk);
            tell::dropped(self.dropped.fetch_add(1, Ordering::Relaxed) + 1);
            return false;
        }
        desk.bytes += bytes;
        desk.queue.push_back((Box::pin(job), bytes));
        drop(desk);
        self.attend();
        true
    }

    /// Renews the lease from now on, but not past `until`.
    pub(crate) fn keep(self: &Arc<Self>, name: &[u8], token: Token, until: Instant) {
        let next = timer::later(timer::now(), self.lasting / 3);
        let renewal = Renewal {
            name: name.into(),
            next,
            until,
        };
        self.desk().leases.insert(token, renewal);
        self.attend();
    }

    pub(crate) fn stop_keeping(&self, token: Token) {
        self.desk().leases.remove(&token);
    }

    /// Gives the lease back, which may or may not be held: again and again while there is no answer,
    /// until it has ended by itself. Without that a server that was frozen meanwhile would go on with
    /// the lease of nobody.
    pub(crate) fn give_back(self: &Arc<Self>, name: &[u8], token: Token) {
        let now = timer::now();
        let given = Return {
            name: name.into(),
            next: now,
            // A renewal may have been on its way just now.
            until: timer::later(now, self.lasting.saturating_add(PATIENCE)),
            progress: Progress::New,
        };
        let mut desk = self.desk();
        desk.leases.remove(&token);
        if desk.returns.len() >= MOST {
            drop(desk);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        desk.returns.insert(token, given);
        drop(desk);
        self.attend();
    }

    /// Whether the lease of `name` may be one that nobody has: it was to be given back, and there was
    /// no answer. To wait for its end would be to wait for oneself.
    pub(crate) fn is_ownerless(&self, name: &[u8]) -> bool {
        let desk = self.desk();
        let mut returns = desk.returns.values();
        returns.any(|given| given.progress == Progress::Lost && *given.name == *name)
    }

    pub(crate) fn server_time(&self) -> Option<ServerTime> {
        self.remote.now()
    }

    /// Jobs for which there was no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Jobs that wait, with the leases to give back, and leases that are renewed.
    pub(crate) fn pending(&self) -> (usize, usize) {
        let desk = self.desk();
        (desk.queue.len() + desk.returns.len(), desk.leases.len())
    }

    /// Sees to it that somebody works.
    pub(crate) fn attend(self: &Arc<Self>) {
        let begins = !std::mem::replace(&mut self.desk().is_running, true);
        if !begins {
            self.something.notify_one();
            return;
        }
        let shift = Shift {
            jobs: Arc::clone(self),
            running: Vec::new(),
            replay: Replay::default(),
            is_over: false,
        };
        // Outside a runtime the shift is dropped, and so over, and what is queued waits.
        drop(spawn(async move { shift.work().await }));
    }

    /// What is to be done next, at most so many.
    fn take(&self, most: usize) -> Vec<Job> {
        let mut desk = self.desk();
        let count = desk.queue.len().min(most);
        let taken: Vec<_> = desk.queue.drain(..count).collect();
        desk.bytes -= taken.iter().map(|(_, bytes)| bytes).sum::<usize>();
        taken.into_iter().map(|(job, _)| job).collect()
    }

    /// The leases to renew now; those past their deadline are let go.
    fn due(&self, now: Instant) -> Vec<(Token, Box<[u8]>)> {
        let mut desk = self.desk();
        desk.leases.retain(|_, renewal| now < renewal.until);
        let mut due = Vec::new();
        for (token, renewal) in &mut desk.leases {
            if renewal.next <= now {
                renewal.next = timer::later(now, self.lasting / 3);
                due.push((*token, renewal.name.clone()));
            }
        }
        due
    }

    /// The renewals of the leases that are due.
    fn renewals(self: &Arc<Self>) -> impl Iterator<Item = Job> + use<> {
        let jobs = Arc::clone(self);
        let renewal = move |(token, name): (Token, Box<[u8]>)| -> Job {
            let jobs = Arc::clone(&jobs);
            Box::pin(async move {
                let renewed = jobs.remote.renew(&name, token, jobs.lasting, PATIENCE);
                if renewed.await == Ok(false) {
                    jobs.stop_keeping(token);
                }
            })
        };
        self.due(timer::now()).into_iter().map(renewal)
    }

    /// The leases to give back now; those that have ended by themselves are forgotten. A remote
    /// tier that is known to be away is not asked.
    fn due_back(&self, now: Instant) -> Vec<(Token, Box<[u8]>)> {
        if self.desk().returns.is_empty() {
            return Vec::new();
        }
        let is_up = self.remote.health().is_up();
        let mut desk = self.desk();
        desk.returns.retain(|_, given| now < given.until);
        let mut due = Vec::new();
        for (token, given) in &mut desk.returns {
            if now < given.next {
                continue;
            }
            if is_up {
                due.push((*token, given.name.clone()));
                given.asked(now);
            } else {
                given.lost(now);
            }
        }
        due
    }

    /// The returns of the leases that are due.
    fn returns(self: &Arc<Self>) -> impl Iterator<Item = Job> + use<> {
        let jobs = Arc::clone(self);
        let giving = move |(token, name): (Token, Box<[u8]>)| -> Job {
            let jobs = Arc::clone(&jobs);
            Box::pin(async move {
                let released = jobs.remote.release(&name, token, PATIENCE).await;
                jobs.was_given_back(token, released.is_ok());
            })
        };
        self.due_back(timer::now()).into_iter().map(giving)
    }

    fn is_to_replay(&self, replay: &Replay) -> bool {
        replay.is_due(timer::now()) && self.journal.is_pending() && self.remote.health().is_up()
    }

    fn replay(self: &Arc<Self>) -> Trying {
        let jobs = Arc::clone(self);
        Box::pin(async move { jobs.journal.replay(&*jobs.remote, PATIENCE).await })
    }

    fn was_given_back(&self, token: Token, is_heard: bool) {
        let mut desk = self.desk();
        if is_heard {
            desk.returns.remove(&token);
        } else if let Some(given) = desk.returns.get_mut(&token) {
            given.lost(timer::now());
        }
    }

    fn next_wake(&self) -> Instant {
        let now = timer::now();
        let idle = timer::later(
            now,
            if self.journal.is_pending() {
                REPLAY
            } else {
                IDLE
            },
        );
        let desk = self.desk();
        let renewals = desk.leases.values().map(|renewal| renewal.next);
        let returns = desk.returns.values().map(|given| given.next);
        renewals.chain(returns).fold(idle, Instant::min)
    }

    /// Ends the shift if nothing is left, or nobody for whom to wait.
    fn is_over(self: &Arc<Self>) -> bool {
        let is_alone = Arc::strong_count(self) == 1;
        // A lease that cannot be given back ends by itself.
        let is_vain = is_alone && !self.remote.health().is_up();
        let mut desk = self.desk();
        let is_done = desk.leases.is_empty() && !self.journal.is_pending();
        let is_empty = desk.queue.is_empty() && (is_vain || desk.returns.is_empty());
        let over = is_empty && (is_alone || is_done);
        if over {
            desk.is_running = false;
        }
        over
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (queued, leases) = self.pending();
        f.debug_struct("Jobs")
            .field("queued", &queued)
            .field("leases", &leases)
            .finish_non_exhaustive()
    }
}

/// The one task at work. Dropping it, as when its runtime ends, lets another begin.
struct Shift {
    jobs: Arc<Jobs>,
    running: Vec<Job>,
    replay: Replay,
    is_over: bool,
}

/// Invalidations being confirmed, which may take longer than a lease lasts.
#[derive(Default)]
struct Replay {
    running: Option<Trying>,
    /// Not before this.
    next: Option<Instant>,
    /// So often in a row it was forbidden.
    forbidden: u32,
}

impl Replay {
    fn is_running(&self) -> bool {
        self.running.is_some()
    }

    fn is_due(&self, now: Instant) -> bool {
        !self.is_running() && self.next.is_none_or(|at| at <= now)
    }

    /// Whether it has just ended.
    fn ends(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(running) = &mut self.running else {
            return false;
        };
        let Poll::Ready(round) = running.as_mut().poll(cx) else {
            return false;
        };
        self.running = None;
        self.forbidden = match round {
            Round::Open => 0,
            Round::Forbidden => self.forbidden.saturating_add(1),
        };
        let pause = timer::doubled(REPLAY, self.forbidden, LONGEST_REPLAY);
        self.next = Some(timer::later(timer::now(), pause));
        true
    }
}

impl Shift {
    async fn work(mut self) {
        while !self.is_over {
            self.round().await;
        }
    }

    async fn round(&mut self) {
        let jobs = Arc::clone(&self.jobs);
        let room = TOGETHER.saturating_sub(self.running.len());
        self.running.extend(jobs.take(room));
        // Renewals wait for no job: one may take longer than a lease lasts.
        self.running.extend(jobs.renewals());
        self.running.extend(jobs.returns());
        if jobs.is_to_replay(&self.replay) {
            self.replay.running = Some(jobs.replay());
        }
        let something = jobs.something.notified();
        let news = news(&mut self.running, &mut self.replay, something);
        let news = timer::until(jobs.next_wake(), news).await;
        drop(jobs);
        let is_idle = self.running.is_empty() && !self.replay.is_running();
        self.is_over = news.is_none() && is_idle && self.jobs.is_over();
    }
}

impl Drop for Shift {
    fn drop(&mut self) {
        if !self.is_over {
            self.jobs.desk().is_running = false;
        }
    }
}

/// Runs jobs side by side until one is done, or something else is to be.
async fn news(running: &mut Vec<Job>, replay: &mut Replay, something: impl Future<Output = ()>) {
    let mut something = std::pin::pin!(something);
    poll_fn(|cx| {
        let before = running.len();
        running.retain_mut(|job| job.as_mut().poll(cx).is_pending());
        if replay.ends(cx) || running.len() < before {
            return Poll::Ready(());
        }
        something.as_mut().poll(cx)
    })
    .await;
}
