//! What only processes of their own can show: one load for all of them, a leader that is killed, and
//! that what was invalidated by any of them is not seen again.

use super::Counts;
use std::{path::PathBuf, time::Duration};
use tests::{
    figure::Figure,
    fleet::{Answers, Fleet},
    history,
    redis::Server,
};

const WORK: Duration = Duration::from_millis(500);
const CALLERS: u64 = 1000;

fn this_program() -> PathBuf {
    std::env::current_exe().expect("this program has a path")
}

/// G9.
pub(crate) fn run(cycles: u32) -> Counts {
    let mut server = Server::start();
    let mut fleet = Fleet::start(&this_program(), &server.url());
    let keys = u64::from(cycles);
    let shared = most((0..keys).map(|key| fleet.ask(key, CALLERS, WORK, true)));
    let failing = most((keys..2 * keys).map(|key| fleet.ask(key, CALLERS, WORK, false)));
    let mut lost = Answers::default();
    let mut freed = Duration::ZERO;
    for key in 2 * keys..2 * keys + keys.min(3) {
        let (answers, after) = fleet.lose_leader(key, CALLERS);
        lost = most([lost, answers].into_iter());
        freed = freed.max(after);
    }
    server.kill();
    let without = fleet.ask(3 * keys, CALLERS, WORK, true);
    let late = |answers: Answers| millis(answers.slowest.saturating_sub(WORK));
    let all = 3 * CALLERS;
    vec![
        ("loads", one(shared.loads)),
        ("failures", one(failing.loads)),
        ("loads after a leader was killed", one(lost.loads)),
        (
            "loads without Redis",
            Figure::at_most(3.0, "of one key", without.loads as f64),
        ),
        (
            "answered",
            Figure::at_least(all as f64, "callers", shared.good as f64),
        ),
        (
            "answered with the failure",
            Figure::at_least(all as f64, "callers", failing.failed as f64),
        ),
        (
            "answered without Redis",
            Figure::at_least(all as f64, "callers", without.good as f64),
        ),
        (
            "answered after the load",
            Figure::at_most(100.0, "ms", late(shared)),
        ),
        (
            "answered after the failure",
            Figure::at_most(100.0, "ms", late(failing)),
        ),
        (
            "answered after a leader was killed",
            Figure::at_most(3000.0, "ms", millis(freed)),
        ),
    ]
}

fn one(loads: u64) -> Figure {
    Figure::at_most(1.0, "of one key", loads as f64)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The worst of each.
fn most(all: impl Iterator<Item = Answers>) -> Answers {
    let worse = |one: Answers, other: Answers| Answers {
        loads: one.loads.max(other.loads),
        good: one.good.min(other.good),
        failed: one.failed.min(other.failed),
        slowest: one.slowest.max(other.slowest),
    };
    all.reduce(worse).unwrap_or_default()
}

/// COR-07.
pub(crate) fn histories(operations: u32) -> Counts {
    let operations = u64::from(operations);
    let mut figures = Vec::new();
    for processes in [1, 3] {
        let past = history::run_until_enough(&this_program(), processes, operations);
        println!("  {processes} processes: {past:?}");
        for (what, figure) in past.figures(operations) {
            println!("  {processes} processes: {what}: {figure}");
            figures.push((what, figure));
        }
    }
    figures
}
