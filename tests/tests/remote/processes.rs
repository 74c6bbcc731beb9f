//! Processes of their own, which tests start and end by their ids.

use std::{path::Path, time::Duration};
use tests::{
    fleet::{Answers, Fleet},
    history,
    redis::Server,
};

const WORK: Duration = Duration::from_millis(300);

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_chaos"))
}

fn counts(answers: Answers) -> (u64, u64, u64) {
    (answers.loads, answers.good, answers.failed)
}

/// G9.
#[test]
fn three_processes_load_and_fail_once_and_a_killed_leader_frees_its_key() {
    let mut server = Server::start();
    let mut fleet = Fleet::start(program(), &server.url());
    assert_eq!(counts(fleet.ask(1, 1000, WORK, true)), (1, 3000, 0));
    assert_eq!(counts(fleet.ask(2, 1000, WORK, false)), (1, 0, 3000));
    let (answers, freed) = fleet.lose_leader(3, 1000);
    assert_eq!(counts(answers), (1, 2000, 0));
    println!("freed {freed:?} after the leader was killed");
    server.kill();
    assert_eq!(counts(fleet.ask(4, 1000, WORK, true)), (3, 3000, 0));
}

fn never_sees_again_what_was_invalidated(processes: usize) {
    const OPERATIONS: u64 = 3000;
    let past = history::run_until_enough(program(), processes, OPERATIONS);
    println!("{past:?}");
    for (what, figure) in past.figures(OPERATIONS) {
        assert!(figure.is_enough(), "{what}: {figure}");
    }
}

#[test]
fn cor_07_one_process_never_sees_again_what_it_invalidated() {
    never_sees_again_what_was_invalidated(1);
}

#[test]
fn cor_07_three_processes_never_see_again_what_any_of_them_invalidated() {
    never_sees_again_what_was_invalidated(3);
}
