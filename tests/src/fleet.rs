//! Three processes of one service, and what they do about a key that none of them has.

use crate::{member::Settings, process::Process};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// What came of a key that all asked for at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// In all processes.
    pub loads: u64,
    /// Callers who got the value.
    pub good: u64,
    /// Callers who got an error.
    pub failed: u64,
    /// How long the slowest of them waited.
    pub slowest: Duration,
}

/// Three processes that share a Redis.
#[derive(Debug)]
pub struct Fleet {
    program: std::path::PathBuf,
    settings: Settings,
    members: Vec<Process>,
}

impl Fleet {
    /// Starts them, `program` each, before the server at `url`, and waits until they are told of
    /// changes.
    #[must_use]
    pub fn start(program: &Path, url: &str) -> Self {
        let settings = Settings::of(url);
        let words = settings.words();
        let members = (0..3).map(|_| Process::start(program, &words)).collect();
        Self {
            program: program.to_owned(),
            settings,
            members,
        }
    }

    /// So many callers of each process ask for `key` at once, a load of which takes `time`.
    #[must_use]
    pub fn ask(&mut self, key: u64, callers: u64, time: Duration, is_good: bool) -> Answers {
        let order = order(key, callers, time, is_good);
        for member in &mut self.members {
            member.tell(&order);
        }
        let of_each = self.members.iter().map(answers);
        of_each.fold(Answers::default(), Answers::and)
    }

    /// Kills the process that leads a load of `key`, and says how the others fare who ask for it then:
    /// what came of it, and how long after the end of the leader they had the value.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the clock rule is for the caches; here a clock measures"
    )]
    pub fn lose_leader(&mut self, key: u64, callers: u64) -> (Answers, Duration) {
        let (leader, others) = self.members.split_first_mut().expect("there are three");
        leader.tell(&order(key, 1, Duration::from_secs(600), true));
        leader.hears("loading");
        // They wait when it is killed.
        for member in &mut *others {
            member.tell(&order(key, callers, Duration::ZERO, true));
        }
        std::thread::sleep(Duration::from_millis(300));
        let killed: Instant = leader.kill();
        let of_each = others.iter().map(answers);
        let answers = of_each.fold(Answers::default(), Answers::and);
        let freed = killed.elapsed();
        *leader = Process::start(&self.program, &self.settings.words());
        (answers, freed)
    }
}

impl Answers {
    fn and(self, other: Self) -> Self {
        Self {
            loads: self.loads + other.loads,
            good: self.good + other.good,
            failed: self.failed + other.failed,
            slowest: self.slowest.max(other.slowest),
        }
    }
}

fn order(key: u64, callers: u64, time: Duration, is_good: bool) -> String {
    let outcome = if is_good { "ok" } else { "failing" };
    format!("cold {key} {callers} {} {outcome}", time.as_millis())
}

fn answers(member: &Process) -> Answers {
    let said = member.hears("answered");
    let numbers: Vec<u64> = said
        .split(' ')
        .map_while(|word| word.parse().ok())
        .collect();
    match numbers.as_slice() {
        [loads, good, failed, micros] => Answers {
            loads: *loads,
            good: *good,
            failed: *failed,
            slowest: Duration::from_micros(*micros),
        },
        _ => unreachable!("`{said}` is no answer"),
    }
}
