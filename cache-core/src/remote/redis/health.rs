//! How the servers are, and telling of it.

use crate::{
    remote::{Health, State},
    timer,
};
use redis::ConnectionAddr;
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
    pub(super) fn enter(&self, address: &ConnectionAddr) -> u64 {
        let mut rows = self.rows();
        let id = rows.next;
        rows.next += 1;
        let row = Row {
            address: self.is_cluster.then(|| address.to_string()),
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

    pub(super) fn health(&self) -> Health {
        self.rows().health()
    }

    /// Tells the observer what is new; the same trouble again once a minute at most.
    fn tell(&self, mut rows: MutexGuard<'_, Rows>) {
        let Some(observer) = &self.observer else {
            return;
        };
        let health = rows.health();
        if rows.told.is_news(&health, timer::now()) {
            drop(rows);
            observer(&health);
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
