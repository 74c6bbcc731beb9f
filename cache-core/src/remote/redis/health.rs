//! How the servers are, and telling of it.

use crate::{
    observe::tell,
    remote::{Health, State},
    timer,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Told of every change of health; of the same trouble again once a minute at most.
pub(super) type Observer = Arc<dyn Fn(&Health) + Send + Sync>;

/// What is known of every node.
pub(super) struct Board {
    observer: Option<Observer>,
    /// Whether there are several, and which one is meant has to be said.
    is_cluster: bool,
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    next: u64,
    nodes: BTreeMap<u64, Row>,
    /// Why it is not known which nodes there are.
    trouble: Option<Arc<str>>,
    told: Told,
}

/// What the observer knows.
#[derive(Default)]
struct Told {
    was_up: Option<bool>,
    lately: VecDeque<(Health, Instant)>,
}

impl Told {
    /// Whether the observer is to be told: that it is in use, that it no longer is, and any trouble,
    /// but the same once a minute at most. Two reasons may take turns many times a second.
    fn is_news(&mut self, health: &Health, now: Instant) -> bool {
        const AGAIN: Duration = Duration::from_secs(60);
        const MOST: usize = 16;
        self.lately.retain(|(_, at)| now < *at + AGAIN);
        let turned = self.was_up.replace(health.is_up()) != Some(health.is_up());
        let known = self.lately.iter().any(|(told, _)| told == health);
        if known {
            return turned;
        }
        self.lately.push_back((health.clone(), now));
        if self.lately.len() > MOST {
            self.lately.pop_front();
        }
        true
    }
}

#[derive(Default)]
struct Row {
    address: Option<String>,
    state: State,
    degraded: BTreeMap<&'static str, String>,
}

impl Board {
    pub(super) fn new(observer: Option<Observer>, is_cluster: bool) -> Self {
        Self {
            observer,
            is_cluster,
            rows: Mutex::default(),
        }
    }

    /// Begins a row for a node; gives the number it goes by.
    pub(super) fn enter(&self, address: Option<String>) -> u64 {
        let mut rows = self.rows();
        let id = rows.next;
        rows.next += 1;
        let row = Row {
            address: address.filter(|_| self.is_cluster),
            ..Row::default()
        };
        rows.nodes.insert(id, row);
        id
    }

    pub(super) fn leave(&self, id: u64) {
        let mut rows = self.rows();
        rows.nodes.remove(&id);
        self.tell(rows);
    }

    pub(super) fn set_state(&self, id: u64, state: State) {
        let mut rows = self.rows();
        if let Some(row) = rows.nodes.get_mut(&id) {
            row.state = state;
            self.tell(rows);
        }
    }

    /// Notes that a capability of a node is missing, or there.
    pub(super) fn degrade(&self, id: u64, what: &'static str, is_missing: bool, consequence: &str) {
        let mut rows = self.rows();
        let Some(row) = rows.nodes.get_mut(&id) else {
            return;
        };
        if is_missing {
            let words = format!("{what} is not available: {consequence}");
            row.degraded.insert(what, words);
        } else if row.degraded.remove(what).is_none() {
            return;
        }
        self.tell(rows);
    }

    /// Notes why it is not known which nodes there are, or that it is.
    #[cfg(feature = "redis-cluster")]
    pub(super) fn set_trouble(&self, trouble: Option<Arc<str>>) {
        let mut rows = self.rows();
        if rows.trouble != trouble {
            rows.trouble = trouble;
            self.tell(rows);
        }
    }

    pub(super) fn health(&self) -> Health {
        self.rows().health()
    }

    /// Tells the observer what is new; the same trouble again once a minute at most.
    fn tell(&self, mut rows: MutexGuard<'_, Rows>) {
        if self.observer.is_none() && !cfg!(feature = "tracing") {
            return;
        }
        let health = rows.health();
        if rows.told.is_news(&health, timer::now()) {
            drop(rows);
            tell::health(&health);
            if let Some(observer) = &self.observer {
                observer(&health);
            }
        }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn health(&self) -> Health {
        let state = self.state();
        let away = self.nodes.values().filter(|_| state == State::Up);
        let away = away.filter_map(|row| {
            row.away()
                .map(|reason| format!("it is away: {reason}"))
                .map(|words| row.says(&words))
        });
        let missing = self.nodes.values();
        let missing = missing.flat_map(|row| row.degraded.values().map(|words| row.says(words)));
        let unknown = self.trouble.iter().filter(|_| state == State::Up);
        Health {
            degraded: unknown
                .map(ToString::to_string)
                .chain(away)
                .chain(missing)
                .collect(),
            state,
        }
    }

    /// In use as long as one node is: others are only away for their own keys.
    fn state(&self) -> State {
        let mut rows = self.nodes.values();
        if rows.any(|row| row.state == State::Up) {
            return State::Up;
        }
        let away = |row: &Row| row.away().map(|reason| row.says(reason).into());
        let reason = self.nodes.values().find_map(away);
        match reason.or_else(|| self.trouble.clone()) {
            Some(reason) => State::Down(reason),
            None => State::Connecting,
        }
    }
}

impl Row {
    fn away(&self) -> Option<&Arc<str>> {
        match &self.state {
            State::Down(reason) => Some(reason),
            State::Connecting | State::Up => None,
        }
    }

    /// The words, and of which node they are where there are several.
    fn says(&self, words: &str) -> String {
        match &self.address {
            Some(address) => format!("{address}: {words}"),
            None => words.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_is_not_named() {
        let board = Board::new(None, false);
        let id = board.enter(Some("a:1".to_owned()));
        assert_eq!(board.health().state, State::Connecting);
        board.set_state(id, State::Down("why".into()));
        assert_eq!(board.health().state, State::Down("why".into()));
        board.set_state(id, State::Up);
        board.degrade(id, "EVAL", true, "that is bad");
        assert_eq!(
            board.health().degraded,
            ["EVAL is not available: that is bad"]
        );
        board.degrade(id, "EVAL", false, "");
        assert_eq!(board.health().degraded, Vec::<String>::new());
    }

    #[test]
    fn of_several_the_one_that_is_away_is_named() {
        let told = Arc::new(Mutex::new(0));
        let count = Arc::clone(&told);
        let board = Board::new(Some(Arc::new(move |_| *count.lock().unwrap() += 1)), true);
        let [a, b] = ["a:1", "b:2"].map(|name| board.enter(Some(name.to_owned())));
        board.set_state(a, State::Down("why".into()));
        assert_eq!(board.health().state, State::Down("a:1: why".into()));
        board.set_state(b, State::Up);
        let health = board.health();
        assert!(health.is_up(), "what the other has is there");
        assert_eq!(health.degraded, ["a:1: it is away: why"]);
        board.degrade(b, "tracking", true, "too bad");
        board.leave(a);
        assert_eq!(
            board.health().degraded,
            ["b:2: tracking is not available: too bad"]
        );
        assert_eq!(*told.lock().unwrap(), 4, "of each change once");
    }

    fn down(reason: &str) -> Health {
        Health {
            state: State::Down(reason.into()),
            degraded: Vec::new(),
        }
    }

    fn up() -> Health {
        Health {
            state: State::Up,
            degraded: Vec::new(),
        }
    }

    #[test]
    fn rds_08_the_same_trouble_is_told_once_a_minute() {
        let (mut told, began) = (Told::default(), timer::now());
        let second = Duration::from_secs(1);
        let mut count = 0;
        for n in 0..180_u32 {
            count += u32::from(told.is_news(&down("password"), began + second * n));
        }
        assert_eq!(count, 3);
    }

    #[test]
    fn two_troubles_that_take_turns_are_told_once_each() {
        let (mut told, now) = (Told::default(), timer::now());
        let news: Vec<bool> = (0..6)
            .map(|n| told.is_news(&down(["a", "b"][n % 2]), now))
            .collect();
        assert_eq!(news, [true, true, false, false, false, false]);
    }

    #[test]
    fn every_outage_is_told_and_every_end_of_one() {
        let (mut told, now) = (Told::default(), timer::now());
        for _ in 0..3 {
            assert!(told.is_news(&up(), now));
            assert!(!told.is_news(&up(), now));
            assert!(told.is_news(&down("a"), now));
            assert!(!told.is_news(&down("a"), now));
        }
    }
}
