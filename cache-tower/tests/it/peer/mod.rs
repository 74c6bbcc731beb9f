//! Lifetimes and ages, compared with those of another crate that reads the same rules.
//!
//! Where the two differ, one of [`CLASSES`] has to explain it: it says what of the response is read
//! differently and why, and makes of it a response that both read alike. With all of them applied no
//! difference may be left, and each of them has to be needed.

mod case;
mod classes;

use cache_tower::{
    Policy, Profile,
    http::{
        admit::{Admission, Received, admit},
        freshness::initial_age,
        request::RequestFacts,
        response::{Reading, ResponseFacts},
    },
};
use case::{Case, now};
use classes::{CLASSES, Class};
use http::{HeaderMap, Method, StatusCode, Uri};
use http_cache_semantics::{CacheOptions, CachePolicy};
use proptest::{
    prelude::*,
    test_runner::{TestError, TestRunner},
};
use std::{cell::RefCell, collections::BTreeMap, time::Duration};

const CASES: u32 = 4_000;

/// What is compared.
#[derive(Debug, PartialEq)]
struct Verdict {
    is_storable: bool,
    fresh: u64,
    age: u64,
}

fn ours(case: &Case) -> Verdict {
    let request = case.request();
    let request = RequestFacts::read(
        &Method::GET,
        &Uri::from_static("/"),
        request.headers(),
        false,
        Profile::Standard,
    );
    let response = facts(case.status, case.response().headers());
    let received = Received {
        at: now(),
        delay: Duration::ZERO,
        max_body: 0,
        groups_known: true,
    };
    let admission = admit(&request, &response, &Policy::standard(), received);
    let fresh = match &admission {
        Admission::Store(terms) => terms.life.fresh.as_secs(),
        Admission::Pass(_) => 0,
    };
    Verdict {
        is_storable: matches!(admission, Admission::Store(_)),
        fresh,
        age: initial_age(&response, now(), Duration::ZERO).as_secs(),
    }
}

fn facts(status: u16, headers: &HeaderMap) -> ResponseFacts {
    let reading = Reading {
        profile: Profile::Standard,
        targets: &[],
        received: now(),
    };
    ResponseFacts::read(StatusCode::from_u16(status).unwrap(), headers, reading)
}

fn theirs(case: &Case) -> Verdict {
    let options = CacheOptions {
        shared: true,
        cache_heuristic: 0.1,
        // Theirs alone.
        immutable_min_time_to_live: Duration::ZERO,
        ignore_cargo_cult: false,
    };
    let policy = CachePolicy::new_options(&case.request(), &case.response(), now(), options);
    Verdict {
        is_storable: policy.is_storable(),
        fresh: policy.time_to_live(now()).as_secs(),
        age: policy.age(now()).as_secs(),
    }
}

fn agree(case: &Case) -> bool {
    ours(case) == theirs(case)
}

/// The case as both read it alike, by every class but one.
fn repaired(case: &Case, but: Option<&str>) -> Case {
    let mut case = case.clone();
    let classes = CLASSES.iter().filter(|class| Some(class.name) != but);
    classes.for_each(|class| (class.repair)(&mut case));
    case
}

/// The classes without which the difference would stay.
fn needed(case: &Case) -> impl Iterator<Item = &'static Class> {
    CLASSES
        .iter()
        .filter(move |class| !agree(&repaired(case, Some(class.name))))
}

#[test]
fn what_another_reading_finds_differs_in_explained_classes_alone() {
    let hits = RefCell::new(BTreeMap::<&str, u32>::new());
    let mut runner = TestRunner::new(ProptestConfig {
        cases: CASES,
        source_file: Some(file!()),
        ..ProptestConfig::default()
    });
    let result = runner.run(&case::case(), |case| {
        if agree(&case) {
            return Ok(());
        }
        let alike = repaired(&case, None);
        prop_assert_eq!(ours(&alike), theirs(&alike), "of {:?}", alike);
        for class in needed(&case) {
            *hits.borrow_mut().entry(class.name).or_default() += 1;
        }
        Ok(())
    });
    if let Err(TestError::Fail(reason, case)) = result {
        panic!(
            "{reason}\n{case:?}\nours {:?}\ntheirs {:?}",
            ours(&case),
            theirs(&case)
        );
    }
    let hits = hits.into_inner();
    let idle = CLASSES
        .iter()
        .filter(|class| !hits.contains_key(class.name));
    let idle: Vec<String> = idle
        .map(|class| format!("{}: {}", class.name, class.reason))
        .collect();
    assert!(idle.is_empty(), "explain nothing: {idle:#?}");
}
