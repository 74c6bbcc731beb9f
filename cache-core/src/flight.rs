//! Flights: one load per key, however many ask.
//!
//! Invariants, checked by the model at the end of this file:
//!
//! 1. A flight has at most one leader whose turn is current. A leader that was passed over can no
//!    longer end the flight: the number of its turn is old.
//! 2. A leader that is dropped without ending the flight (client gone, panic) passes the turn to
//!    one follower, never to all. A follower that is dropped with the turn in its hands passes it on.
//! 3. A flight leaves the table when it ends or when nobody is left; nothing leaks.
//! 4. A second leader that is dropped by a panic ends the flight: its followers share that failure
//!    instead of panicking one after another.
//! 5. Locks are taken in one order, table before flight, and none is held while foreign code runs:
//!    wakers are woken, cloned and dropped, and outcomes dropped, after it is released.
//! 6. A flight that ends leaves the table before any follower hears of it: a follower that cannot
//!    use the outcome and asks again begins, or joins, the next flight.
//!
//! There are no timers in here. A follower that finds the leader's deadline passed takes over by
//! [`Follower::take_over`]; who waits how long is the caller's business.

use crate::sync::{Arc, Mutex, MutexGuard, lock};
use std::{
    collections::{BTreeMap, HashMap, hash_map},
    future::Future,
    hash::{BuildHasher, Hash},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

/// What a flight ends with, handed to every follower.
pub(crate) trait Shared: Clone {
    /// What followers get when two leaders panicked.
    fn panicked() -> Self;

    /// Whether it may still be shared with who comes now.
    fn is_current(&self) -> bool;
}

pub(crate) struct Flights<K, T, S> {
    tables: Box<[Arc<Table<K, T, S>>]>,
    hashing: S,
}

type Table<K, T, S> = Mutex<HashMap<K, Arc<Flight<T>>, S>>;

struct Flight<T> {
    /// Who comes after an invalidation must not join a load that began before it; who came before
    /// may join one that began after.
    generation: u64,
    #[cfg(feature = "metrics")]
    began: Instant,
    state: Mutex<State<T>>,
}

struct State<T> {
    phase: Phase<T>,
    /// Rises whenever the lead changes hands.
    turn: u64,
    /// The follower that the turn was passed to and that has not taken it yet.
    offered: Option<u64>,
    /// When the current turn is over, whatever its leader does.
    deadline: Instant,
    panics: u32,
    /// By the order of their coming.
    followers: BTreeMap<u64, Option<Waker>>,
    next_follower: u64,
}

enum Phase<T> {
    Loading,
    /// The outcome is known. The flight may still be in the table, so that no other load begins
    /// before the result is stored.
    Known(T),
}

/// What a caller is, having asked to fly.
pub(crate) enum Join<K: Hash + Eq, T: Shared, S: BuildHasher> {
    Lead(Lead<K, T, S>),
    Follow(Follower<K, T, S>),
    /// The flight has announced its outcome already.
    Known(T),
}

impl<K: Hash + Eq + Clone, T: Shared, S: BuildHasher + Clone> Flights<K, T, S> {
    pub(crate) fn new(tables: usize, hashing: S) -> Self {
        let table = || Arc::new(Mutex::new(HashMap::with_hasher(hashing.clone())));
        Self {
            tables: (0..tables.max(1)).map(|_| table()).collect(),
            hashing,
        }
    }

    /// Joins the flight of `key`, or begins one and leads it until `deadline`.
    pub(crate) fn join(
        &self,
        key: &K,
        generation: u64,
        now: Instant,
        deadline: Instant,
    ) -> Join<K, T, S> {
        let table = self.table(key);
        let mut flights = lock(table);
        let vacant = match flights.entry(key.clone()) {
            hash_map::Entry::Vacant(vacant) => hash_map::Entry::Vacant(vacant),
            hash_map::Entry::Occupied(flying) => {
                match flying.get().enter(generation, now, deadline) {
                    Some(Entered::Known(outcome)) => return Join::Known(outcome),
                    Some(Entered::Leading(turn)) => {
                        return Join::Lead(Lead::new(table, key, flying.get(), turn));
                    }
                    Some(Entered::Following(id)) => {
                        return Join::Follow(Follower::new(table, key, flying.get(), id));
                    }
                    // Of an earlier generation, or overdue or invalidated after its outcome was announced.
                    None => hash_map::Entry::Occupied(flying),
                }
            }
        };
        let flight = Arc::new(Flight::new(generation, now, deadline));
        vacant.insert_entry(Arc::clone(&flight));
        Join::Lead(Lead::new(table, key, &flight, 0))
    }

    /// Leads a flight of `key` unless there is one already.
    pub(crate) fn try_lead(
        &self,
        key: &K,
        generation: u64,
        now: Instant,
        deadline: Instant,
    ) -> Option<Lead<K, T, S>> {
        match self.join(key, generation, now, deadline) {
            Join::Lead(lead) => Some(lead),
            Join::Follow(_) | Join::Known(_) => None,
        }
    }

    /// When the flight began that is under way for the longest.
    #[cfg(feature = "metrics")]
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let began = |table: &Arc<Table<K, T, S>>| {
            let flights = lock(table);
            flights.values().map(|flight| flight.began).min()
        };
        self.tables.iter().filter_map(began).min()
    }

    /// The flights under way.
    pub(crate) fn len(&self) -> usize {
        self.tables.iter().map(|table| lock(table).len()).sum()
    }

    fn table(&self, key: &K) -> &Arc<Table<K, T, S>> {
        let index = self.hashing.hash_one(key) as usize % self.tables.len();
        self.tables
            .get(index)
            .expect("the index is taken modulo the number of tables")
    }
}

enum Entered<T> {
    Leading(u64),
    Following(u64),
    Known(T),
}

impl<T: Shared> Flight<T> {
    #[cfg_attr(
        not(feature = "metrics"),
        allow(unused_variables, reason = "nobody asks how old it is")
    )]
    fn new(generation: u64, now: Instant, deadline: Instant) -> Self {
        let state = State {
            phase: Phase::Loading,
            turn: 0,
            offered: None,
            deadline,
            panics: 0,
            followers: BTreeMap::new(),
            next_follower: 0,
        };
        Self {
            generation,
            #[cfg(feature = "metrics")]
            began: now,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }

    fn enter(&self, generation: u64, now: Instant, deadline: Instant) -> Option<Entered<T>> {
        if self.generation < generation {
            return None;
        }
        let mut state = self.state();
        let overdue = state.is_overdue(now);
        match &state.phase {
            Phase::Known(outcome) if overdue || !outcome.is_current() => None,
            Phase::Known(outcome) => Some(Entered::Known(outcome.clone())),
            Phase::Loading if overdue => Some(Entered::Leading(state.take_turn(deadline))),
            Phase::Loading => Some(Entered::Following(state.follow())),
        }
    }
}

impl<T: Shared> State<T> {
    fn is_overdue(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    fn take_turn(&mut self, deadline: Instant) -> u64 {
        self.turn += 1;
        self.offered = None;
        self.deadline = deadline;
        self.turn
    }

    fn follow(&mut self) -> u64 {
        let id = self.next_follower;
        self.next_follower += 1;
        self.followers.insert(id, None);
        id
    }

    /// Offers the turn to the follower that waits longest; false where nobody waits. That one is to
    /// be woken, if it has been polled yet.
    fn offer(&mut self, wake: &mut Option<Waker>) -> bool {
        let Some((id, waker)) = self.followers.iter_mut().next() else {
            return false;
        };
        self.offered = Some(*id);
        self.turn += 1;
        *wake = waker.take();
        true
    }

    fn share(&mut self, outcome: T) -> Handover<T> {
        self.offered = None;
        Handover {
            replaced: Some(std::mem::replace(&mut self.phase, Phase::Known(outcome))),
            followers: std::mem::take(&mut self.followers),
        }
    }
}

/// What is left to do once the locks are released: to wake followers, and to drop an outcome that
/// was announced before.
struct Handover<T> {
    replaced: Option<Phase<T>>,
    followers: BTreeMap<u64, Option<Waker>>,
}

impl<T> Handover<T> {
    fn complete(self) {
        self.followers.into_values().flatten().for_each(Waker::wake);
        drop(self.replaced);
    }
}

/// Passes the turn of a flight whose leader is gone, or ends the flight where nobody waits.
fn pass<K: Hash + Eq, T: Shared, S: BuildHasher>(
    table: &Table<K, T, S>,
    key: &K,
    flight: &Arc<Flight<T>>,
    turn: u64,
    panicked: bool,
) {
    let mut flights = lock(table);
    let mut state = flight.state();
    if state.turn != turn {
        return;
    }
    state.panics += u32::from(panicked);
    let loading = matches!(state.phase, Phase::Loading);
    let (mut handover, mut successor) = (None, None);
    if loading && state.panics > 1 {
        land(&mut flights, key, flight);
        handover = Some(state.share(T::panicked()));
    } else if !loading || !state.offer(&mut successor) {
        land(&mut flights, key, flight);
    }
    drop((state, flights));
    handover.into_iter().for_each(Handover::complete);
    successor.into_iter().for_each(Waker::wake);
}

/// Takes a flight out of the table, unless another has taken its place there.
fn land<K: Hash + Eq, T, S: BuildHasher>(
    flights: &mut HashMap<K, Arc<Flight<T>>, S>,
    key: &K,
    flight: &Arc<Flight<T>>,
) {
    if flights
        .get(key)
        .is_some_and(|flying| Arc::ptr_eq(flying, flight))
    {
        flights.remove(key);
        // A burst of flights should not pin the size of its table. (`HashMap::capacity` does not tell
        // that size after removals, so a table is not shrunk before it is empty.)
        if flights.is_empty() {
            flights.shrink_to(FEW);
        }
    }
}

/// A table for so many flights is not worth shrinking.
const FEW: usize = 28;

/// The right, and the duty, to load. Dropping it passes the turn on.
pub(crate) struct Lead<K: Hash + Eq, T: Shared, S: BuildHasher> {
    table: Arc<Table<K, T, S>>,
    key: K,
    flight: Arc<Flight<T>>,
    turn: u64,
}

impl<K: Hash + Eq + Clone, T: Shared, S: BuildHasher> Lead<K, T, S> {
    fn new(table: &Arc<Table<K, T, S>>, key: &K, flight: &Arc<Flight<T>>, turn: u64) -> Self {
        Self {
            table: Arc::clone(table),
            key: key.clone(),
            flight: Arc::clone(flight),
            turn,
        }
    }
}

impl<K: Hash + Eq, T: Shared, S: BuildHasher> Lead<K, T, S> {
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    /// How often the turn of this flight changed hands before.
    pub(crate) fn passes(&self) -> u64 {
        self.turn
    }

    /// Whether nobody has taken over.
    pub(crate) fn is_current(&self) -> bool {
        self.flight.state().turn == self.turn
    }

    /// Shares the outcome with the followers, and with those to come until the lead is dropped.
    pub(crate) fn announce(&self, outcome: T) -> bool {
        let mut state = self.flight.state();
        if state.turn != self.turn {
            return false;
        }
        let handover = state.share(outcome);
        drop(state);
        handover.complete();
        true
    }

    /// Shares the outcome and ends the flight; false if another has taken over.
    pub(crate) fn finish(self, outcome: T) -> bool {
        let mut flights = lock(&self.table);
        let mut state = self.flight.state();
        if state.turn != self.turn {
            return false;
        }
        land(&mut flights, &self.key, &self.flight);
        let handover = state.share(outcome);
        drop((state, flights));
        handover.complete();
        true
    }

    /// Counts the turn from now on, until `deadline`: a turn that was passed on still has the
    /// deadline of the leader before.
    pub(crate) fn renew(&self, deadline: Instant) {
        let mut state = self.flight.state();
        if state.turn == self.turn {
            state.deadline = deadline;
        }
    }
}

impl<K: Hash + Eq, T: Shared, S: BuildHasher> Drop for Lead<K, T, S> {
    fn drop(&mut self) {
        pass(
            &self.table,
            &self.key,
            &self.flight,
            self.turn,
            std::thread::panicking(),
        );
    }
}

/// Waits for the outcome, or for the turn.
///
/// # Cancel safety
///
/// Dropping it at any point leaves the flight whole; a turn it was offered goes to the next.
pub(crate) struct Follower<K: Hash + Eq, T: Shared, S: BuildHasher> {
    table: Arc<Table<K, T, S>>,
    key: K,
    flight: Arc<Flight<T>>,
    id: u64,
}

/// What came of following.
pub(crate) enum Turn<K: Hash + Eq, T: Shared, S: BuildHasher> {
    Known(T),
    Lead(Lead<K, T, S>),
}

impl<K: Hash + Eq + Clone, T: Shared, S: BuildHasher> Follower<K, T, S> {
    fn new(table: &Arc<Table<K, T, S>>, key: &K, flight: &Arc<Flight<T>>, id: u64) -> Self {
        Self {
            table: Arc::clone(table),
            key: key.clone(),
            flight: Arc::clone(flight),
            id,
        }
    }

    /// When the current leader's turn will be over.
    pub(crate) fn deadline(&self) -> Instant {
        self.flight.state().deadline
    }

    /// Takes the lead if the current turn is overdue at `now`, until `deadline`.
    pub(crate) fn take_over(&self, now: Instant, deadline: Instant) -> Option<Lead<K, T, S>> {
        let mut state = self.flight.state();
        if matches!(state.phase, Phase::Known(_)) || !state.is_overdue(now) {
            return None;
        }
        let waker = state.followers.remove(&self.id);
        let turn = state.take_turn(deadline);
        drop(state);
        drop(waker);
        Some(self.lead(turn))
    }

    fn poll_turn(&self, waker: &Waker) -> Poll<Turn<K, T, S>> {
        // Cloned before the lock, and what it replaces dropped after: both run foreign code.
        let waker = waker.clone();
        let mut state = self.flight.state();
        if let Phase::Known(outcome) = &state.phase {
            return Poll::Ready(Turn::Known(outcome.clone()));
        }
        if state.offered == Some(self.id) {
            state.offered = None;
            let turn = state.turn;
            let replaced = state.followers.remove(&self.id);
            drop(state);
            drop(replaced);
            return Poll::Ready(Turn::Lead(self.lead(turn)));
        }
        let replaced = state
            .followers
            .get_mut(&self.id)
            .and_then(|known| known.replace(waker));
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    fn lead(&self, turn: u64) -> Lead<K, T, S> {
        Lead::new(&self.table, &self.key, &self.flight, turn)
    }
}

impl<K: Hash + Eq + Clone, T: Shared, S: BuildHasher> Future for Follower<K, T, S> {
    type Output = Turn<K, T, S>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_turn(cx.waker())
    }
}

impl<K: Hash + Eq, T: Shared, S: BuildHasher> Drop for Follower<K, T, S> {
    fn drop(&mut self) {
        let mut state = self.flight.state();
        let waker = state.followers.remove(&self.id);
        let held = (state.offered == Some(self.id)).then_some(state.turn);
        if held.is_some() {
            state.offered = None;
        }
        drop(state);
        drop(waker);
        if let Some(turn) = held {
            pass(&self.table, &self.key, &self.flight, turn, false);
        }
    }
}

#[cfg(test)]
#[derive(Debug, Clone, PartialEq)]
struct Loaded(u8);

#[cfg(test)]
const PANICKED: Loaded = Loaded(u8::MAX);

#[cfg(test)]
impl Shared for Loaded {
    fn panicked() -> Self {
        PANICKED
    }

    fn is_current(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "the flight only compares what it is given"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
const LONG: std::time::Duration = std::time::Duration::from_secs(3600);

#[cfg(test)]
#[cfg(not(cache_loom))]
mod tests {
    use super::*;
    use std::hash::RandomState;

    type Table = Flights<u8, Loaded, RandomState>;

    fn lead(flights: &Table) -> Lead<u8, Loaded, RandomState> {
        flights
            .try_lead(&1, 0, now(), now() + LONG)
            .expect("nobody leads")
    }

    fn follow(flights: &Table) -> Follower<u8, Loaded, RandomState> {
        match flights.join(&1, 0, now(), now() + LONG) {
            Join::Follow(follower) => follower,
            _ => panic!("somebody leads"),
        }
    }

    fn poll(follower: &Follower<u8, Loaded, RandomState>) -> Poll<Turn<u8, Loaded, RandomState>> {
        follower.poll_turn(Waker::noop())
    }

    #[test]
    fn followers_share_what_the_leader_loaded() {
        let flights = Table::new(4, RandomState::new());
        let lead = lead(&flights);
        let (a, b) = (follow(&flights), follow(&flights));
        assert!(poll(&a).is_pending());
        assert!(lead.finish(Loaded(7)));
        for follower in [a, b] {
            assert!(matches!(
                poll(&follower),
                Poll::Ready(Turn::Known(Loaded(7)))
            ));
        }
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn asy_01_a_dropped_leader_passes_the_turn_to_one_follower() {
        let flights = Table::new(1, RandomState::new());
        let first = lead(&flights);
        let (a, b) = (follow(&flights), follow(&flights));
        drop(first);
        let Poll::Ready(Turn::Lead(second)) = poll(&a) else {
            panic!("the turn is a's")
        };
        assert!(poll(&b).is_pending());
        assert_eq!(second.passes(), 1);
        assert!(second.finish(Loaded(2)));
        assert!(matches!(poll(&b), Poll::Ready(Turn::Known(Loaded(2)))));
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn a_follower_that_leaves_with_the_turn_in_its_hands_passes_it_on() {
        let flights = Table::new(1, RandomState::new());
        let first = lead(&flights);
        let (a, b) = (follow(&flights), follow(&flights));
        drop(first);
        drop(a);
        assert!(matches!(poll(&b), Poll::Ready(Turn::Lead(_))));
    }

    #[test]
    fn asy_03_a_second_panic_ends_the_flight_for_all() {
        let flights = Table::new(1, RandomState::new());
        let panic_with = |lead: Lead<u8, Loaded, RandomState>| {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _lead = lead;
                panic!("loader");
            }));
            assert!(caught.is_err());
        };
        let first = lead(&flights);
        let (a, b, c) = (follow(&flights), follow(&flights), follow(&flights));
        panic_with(first);
        let Poll::Ready(Turn::Lead(second)) = poll(&a) else {
            panic!("the turn is a's")
        };
        panic_with(second);
        for follower in [b, c] {
            assert!(matches!(
                poll(&follower),
                Poll::Ready(Turn::Known(PANICKED))
            ));
        }
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn a_leader_past_its_deadline_has_lost_its_turn() {
        let flights = Table::new(1, RandomState::new());
        let start = now();
        let slow = flights.try_lead(&1, 0, start, start).unwrap();
        let follower = match flights.join(&1, 0, start - LONG, start) {
            Join::Follow(follower) => follower,
            _ => panic!("not overdue then"),
        };
        let second = follower.take_over(start, start + LONG).unwrap();
        assert!(!slow.is_current());
        assert!(!slow.finish(Loaded(1)), "too late");
        assert!(second.finish(Loaded(2)));
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn who_comes_after_an_invalidation_does_not_join_the_load_before_it() {
        let flights = Table::new(1, RandomState::new());
        let old = lead(&flights);
        let new = flights
            .try_lead(&1, 1, now(), now() + LONG)
            .expect("a flight of its own");
        assert!(old.finish(Loaded(1)));
        assert_eq!(
            flights.len(),
            1,
            "the old flight does not take the new one down"
        );
        assert!(new.finish(Loaded(2)));
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn an_announced_outcome_is_shared_until_the_leader_is_done() {
        let flights = Table::new(1, RandomState::new());
        let lead = lead(&flights);
        assert!(lead.announce(Loaded(3)));
        assert!(matches!(
            flights.join(&1, 0, now(), now() + LONG),
            Join::Known(Loaded(3))
        ));
        drop(lead);
        assert_eq!(flights.len(), 0);
    }
}

/// Every interleaving of small scenes, by loom: `cargo xtask loom`.
#[cfg(test)]
#[cfg(cache_loom)]
mod model {
    use super::*;
    use loom::{future::block_on, thread};
    use std::hash::{BuildHasherDefault, DefaultHasher};

    type Fixed = BuildHasherDefault<DefaultHasher>;
    type Model = Arc<Flights<u8, Loaded, Fixed>>;

    /// Runs `scene` in every interleaving, and says how many those were.
    fn explore(scene: impl Fn() + Send + Sync + 'static) {
        let explored = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = std::sync::Arc::clone(&explored);
        loom::model(move || {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            scene();
        });
        println!(
            "{} interleavings",
            explored.load(std::sync::atomic::Ordering::Relaxed)
        );
    }

    fn flights() -> Model {
        Arc::new(Flights::new(1, Fixed::default()))
    }

    fn fly(flights: &Model, start: Instant) -> Join<u8, Loaded, Fixed> {
        flights.join(&1, 0, start, start + LONG)
    }

    /// Flies to the end: leads with `value`, or follows. Says what came out and whether it loaded.
    fn load(flights: &Model, start: Instant, value: u8) -> (Loaded, bool) {
        let lead = match fly(flights, start) {
            Join::Known(outcome) => return (outcome, false),
            Join::Lead(lead) => lead,
            Join::Follow(follower) => match block_on(follower) {
                Turn::Known(outcome) => return (outcome, false),
                Turn::Lead(lead) => lead,
            },
        };
        assert!(lead.finish(Loaded(value)));
        (Loaded(value), true)
    }

    #[test]
    fn a_caller_shares_an_outcome_or_loads_itself() {
        let start = now();
        explore(move || {
            let flights = flights();
            let other = {
                let flights = flights.clone();
                thread::spawn(move || load(&flights, start, 1))
            };
            let (mine, i_loaded) = load(&flights, start, 2);
            let (theirs, they_loaded) = other.join().unwrap();
            assert!(i_loaded || they_loaded);
            if !(i_loaded && they_loaded) {
                assert_eq!(mine, theirs);
            }
            assert_eq!(flights.len(), 0);
        });
    }

    #[test]
    fn a_dropped_leader_is_replaced_and_nobody_hangs() {
        let start = now();
        explore(move || {
            let flights = flights();
            let Join::Lead(first) = fly(&flights, start) else {
                panic!("nobody leads yet")
            };
            let followers: Vec<_> = (1..=2)
                .map(|value| {
                    let flights = flights.clone();
                    thread::spawn(move || load(&flights, start, value))
                })
                .collect();
            drop(first);
            let outcomes: Vec<_> = followers.into_iter().map(|f| f.join().unwrap()).collect();
            assert!(outcomes.iter().any(|(_, loaded)| *loaded));
            assert_eq!(flights.len(), 0);
        });
    }

    #[test]
    fn a_follower_that_leaves_while_the_turn_comes_to_it_strands_nobody() {
        let start = now();
        explore(move || {
            let flights = flights();
            let Join::Lead(first) = fly(&flights, start) else {
                panic!("nobody leads yet")
            };
            let Join::Follow(leaving) = fly(&flights, start) else {
                panic!("somebody leads")
            };
            let staying = {
                let flights = flights.clone();
                thread::spawn(move || load(&flights, start, 1))
            };
            let leaver = thread::spawn(move || drop(leaving));
            drop(first);
            leaver.join().unwrap();
            assert_eq!(staying.join().unwrap().0, Loaded(1));
            assert_eq!(flights.len(), 0);
        });
    }

    #[test]
    fn of_an_overdue_leader_and_its_successor_one_ends_the_flight() {
        let start = now();
        explore(move || {
            let flights = flights();
            let Join::Lead(slow) = flights.join(&1, 0, start, start + LONG) else {
                panic!("nobody leads yet")
            };
            let Join::Follow(follower) = fly(&flights, start) else {
                panic!("somebody leads")
            };
            let late = start + LONG;
            let successor = thread::spawn(move || match follower.take_over(late, late + LONG) {
                Some(lead) => lead.finish(Loaded(2)),
                None => {
                    assert!(matches!(block_on(follower), Turn::Known(Loaded(1))));
                    false
                }
            });
            let slow_ended = slow.finish(Loaded(1));
            let successor_ended = successor.join().unwrap();
            assert!(slow_ended != successor_ended);
            assert_eq!(flights.len(), 0);
        });
    }

    #[test]
    fn of_two_leaders_that_leave_one_by_time_nobody_is_stranded() {
        let start = now();
        explore(move || {
            let flights = flights();
            let Join::Lead(first) = fly(&flights, start) else {
                panic!("nobody leads yet")
            };
            let Join::Follow(impatient) = fly(&flights, start) else {
                panic!("somebody leads")
            };
            let staying = {
                let flights = flights.clone();
                thread::spawn(move || load(&flights, start, 1))
            };
            // Takes over what may at this moment be offered to itself, then leaves as well.
            let leaver = thread::spawn(move || {
                let late = start + LONG;
                drop(impatient.take_over(late, late + LONG));
            });
            drop(first);
            leaver.join().unwrap();
            assert_eq!(staying.join().unwrap().0, Loaded(1));
            assert_eq!(flights.len(), 0);
        });
    }

    #[test]
    fn who_has_heard_an_outcome_is_not_given_it_again() {
        let start = now();
        explore(move || {
            let flights = flights();
            let Join::Lead(first) = fly(&flights, start) else {
                panic!("nobody leads yet")
            };
            let Join::Follow(follower) = fly(&flights, start) else {
                panic!("somebody leads")
            };
            let again = {
                let flights = flights.clone();
                thread::spawn(move || {
                    assert!(matches!(block_on(follower), Turn::Known(Loaded(1))));
                    assert_eq!(load(&flights, start, 2), (Loaded(2), true));
                })
            };
            assert!(first.finish(Loaded(1)));
            again.join().unwrap();
            assert_eq!(flights.len(), 0);
        });
    }

    #[test]
    fn flights_of_two_generations_do_not_end_each_other() {
        let start = now();
        explore(move || {
            let flights = flights();
            let Join::Lead(old) = fly(&flights, start) else {
                panic!("nobody leads yet")
            };
            let new = {
                let flights = flights.clone();
                thread::spawn(move || {
                    let Some(new) = flights.try_lead(&1, 1, start, start + LONG) else {
                        panic!("the old flight is not for this generation")
                    };
                    // Who comes late from before the invalidation joins the newer flight.
                    let Join::Follow(late) = fly(&flights, start) else {
                        panic!("the new flight is for older callers too")
                    };
                    assert!(new.finish(Loaded(2)));
                    assert!(matches!(block_on(late), Turn::Known(Loaded(2))));
                })
            };
            assert!(old.finish(Loaded(1)));
            new.join().unwrap();
            assert_eq!(flights.len(), 0);
        });
    }
}
