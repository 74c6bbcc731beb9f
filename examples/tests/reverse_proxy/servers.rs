//! The same by actix-web: this process runs its tests once more, in another process whose proxies are
//! served by it.

use crate::support::{Server, VARIABLE};
use std::{
    env,
    process::{Command, Output},
};

const NO_INTERIM: &str = "actix-web writes no interim responses but its own 100";
const NO_ORDER: &str = "actix-web keeps no order among fields of different names";

/// The tests that the proxy by actix-web cannot pass, and why. All others it passes.
const EXCEPTED: [(&str, &str); 9] = [
    (
        "interim::an_interim_response_does_not_wait_for_the_final_one",
        NO_INTERIM,
    ),
    ("interim::interim_responses_are_forwarded", NO_INTERIM),
    ("interim::interim_responses_are_not_stored", NO_INTERIM),
    (
        "interim::interim_responses_come_for_every_method",
        NO_INTERIM,
    ),
    (
        "interim::interim_responses_come_with_a_validation",
        NO_INTERIM,
    ),
    (
        "interim::interim_responses_keep_their_order_and_fields",
        NO_INTERIM,
    ),
    (
        "interim::interim_responses_stand_before_the_response_they_are_of",
        NO_INTERIM,
    ),
    ("interim::many_interim_responses_are_no_matter", NO_INTERIM),
    (
        "serving::fields_keep_their_order_out_of_the_store",
        NO_ORDER,
    ),
];

/// These tests, in a process for actix-web.
fn by_actix_web(arguments: &[&str]) -> Output {
    let mut tests = Command::new(env::current_exe().expect("it runs"));
    tests.arg("--exact").args(arguments);
    let output = tests.env(VARIABLE, Server::ActixWeb.name()).output();
    output.expect("it can be run again")
}

/// How many tests there are, without those of this file.
fn count() -> usize {
    let list = by_actix_web(&["--list", "--format", "terse"]);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    names.filter(|name| !name.starts_with("servers::")).count()
}

#[test]
fn by_actix_web_all_holds_that_is_not_excepted() {
    let own = [
        "servers::by_actix_web_all_holds_that_is_not_excepted",
        "servers::by_actix_web_nothing_holds_that_is_excepted",
    ];
    let left_out = EXCEPTED.iter().map(|(name, _)| *name).chain(own);
    let arguments: Vec<_> = left_out.flat_map(|name| ["--skip", name]).collect();
    let output = by_actix_web(&arguments);
    let said = String::from_utf8_lossy(&output.stdout);
    let all = format!(
        "test result: ok. {} passed; 0 failed; 0 ignored;",
        count() - EXCEPTED.len()
    );
    assert!(output.status.success() && said.contains(&all), "{said}");
}

#[test]
fn by_actix_web_nothing_holds_that_is_excepted() {
    let names = EXCEPTED.map(|(name, _)| name);
    let output = by_actix_web(&names);
    let said = String::from_utf8_lossy(&output.stdout);
    for (name, why) in EXCEPTED {
        let failed = format!("test {name} ... FAILED");
        assert!(
            said.contains(&failed),
            "{name} holds, or is no test; it was excepted because {why}"
        );
    }
}
