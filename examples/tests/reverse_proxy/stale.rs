//! Stale responses: who may be given them (RFC 9111 §4.2.4, RFC 5861).

use crate::support::{Gate, Reply, Test, each, eventually};
use std::thread;

/// A response that was stale for twenty seconds when it came.
fn stale(control: &str) -> Reply {
    let control = ["max-age=10", control].join(", ");
    Reply::ok("one")
        .control(&control)
        .fields("age: 30\netag: \"a\"")
}

/// A test for which this is stored.
fn stored(reply: Reply) -> Test {
    keeping(Test::new(), reply)
}

fn keeping(t: Test, reply: Reply) -> Test {
    t.origin(reply);
    t.get().says("one");
    t.was_called(1);
    t
}

/// Directives that forbid what is stale (§4.2.4, §5.2.2).
const FORBIDDEN: [&str; 6] = [
    "must-revalidate",
    "proxy-revalidate",
    "s-maxage=10",
    "no-cache",
    "MUST-revalidate",
    "foo, Proxy-Revalidate",
];

fn failures() -> Vec<Reply> {
    vec![
        Reply::new(500).body("broken"),
        Reply::new(502).body("broken"),
        Reply::new(503).body("broken"),
        Reply::new(504).body("broken"),
        Reply::hang_up(),
        Reply::raw("HTTP/1.1 200 O"),
        Reply::raw("nonsense\r\n\r\n"),
    ]
}

#[test]
fn while_it_is_refreshed_a_stale_response_is_served() {
    // RFC 5861 §3.
    let t = stored(stale("stale-while-revalidate=60"));
    t.origin(Reply::ok("two").control("max-age=600"));
    let answer = t.get().says("one").is_hit();
    assert!(answer.number("age") >= 30, "{answer}");
    t.wait_for_calls(2);
    assert_eq!(t.last().field("if-none-match"), Some("\"a\""));
    assert!(eventually(|| t.get().is_hit().text() == "two"));
    t.was_called(2);
}

#[test]
fn one_refresh_serves_many() {
    // RFC 5861 §3: the response is given while "an asynchronous validation is attempted".
    let t = stored(stale("stale-while-revalidate=60"));
    let gate = Gate::default();
    let refreshed = Reply::new(304).fields("etag: \"a\"\nage: 0\ncache-control: max-age=600");
    t.origin(refreshed.behind(&gate));
    for answer in t.get_at_once(4) {
        answer.says("one").is_hit();
    }
    t.get().says("one").is_hit();
    t.wait_for_calls(2);
    gate.open();
    assert!(eventually(|| t.get().says("one").number("age") < 10));
    t.was_called(2);
}

#[test]
fn a_refresh_is_asked_as_the_request_was() {
    // §4.3.1: with "request header fields identified by the Vary header field".
    let t = Test::new();
    t.origin(stale("stale-while-revalidate=60").fields("vary: x-a"));
    t.get_with("x-a: 1").says("one");
    t.get_with("x-a: 1").says("one").is_hit();
    t.wait_for_calls(2);
    assert_eq!(t.last().field("x-a"), Some("1"));
    assert_eq!((&*t.last().method, t.last().target), ("GET", t.path()));
}

#[test]
fn a_refresh_that_fails_leaves_what_is_stored() {
    // RFC 5861 §3: "If validation is inconclusive [...]" the window goes on.
    each(
        [Reply::new(500), Reply::new(503), Reply::hang_up()],
        |failure| {
            let t = stored(stale("stale-while-revalidate=60"));
            t.origin(failure.clone());
            t.get().says("one").is_hit();
            t.wait_for_calls(2);
            t.get().says("one").is_hit();
        },
    );
}

#[test]
fn after_its_window_nothing_is_served_while_it_is_refreshed() {
    // RFC 5861 §3.1: "the next request will block and be handled normally".
    each(
        ["stale-while-revalidate=10", "stale-while-revalidate=0"],
        |control| {
            let t = stored(stale(control));
            t.origin(Reply::ok("two").control("max-age=600"));
            t.get().says("two").is_forwarded();
            t.was_called(2);
        },
    );
}

#[test]
fn a_window_that_is_no_number_is_none() {
    // RFC 5861 §3: delta-seconds.
    each(
        [
            "stale-while-revalidate",
            "stale-while-revalidate=abc",
            "stale-while-revalidate=-60",
        ],
        |control| {
            let t = stored(stale(control));
            t.origin(Reply::ok("two").control("max-age=600"));
            t.get().says("two").is_forwarded();
        },
    );
}

#[test]
fn nothing_that_must_be_validated_is_served_while_it_is_refreshed() {
    // §4.2.4, §5.2.2.10.
    each(FORBIDDEN, |forbidden| {
        let t = stored(stale(&format!("stale-while-revalidate=60, {forbidden}")));
        t.origin(Reply::ok("two").control("max-age=600"));
        t.get().says("two").is_forwarded();
        t.was_called(2);
    });
}

#[test]
fn a_client_may_refuse_what_is_refreshed() {
    // §5.2.1.1: "Unless the max-stale request directive is also present, the client does not wish to
    // receive a stale response".
    each(
        ["max-age=600", "max-age=0", "no-cache", "min-fresh=1"],
        |control| {
            let t = stored(stale("stale-while-revalidate=60"));
            t.origin(Reply::ok("two").control("max-age=600"));
            t.ask("GET")
                .control(control)
                .send()
                .says("two")
                .is_forwarded();
        },
    );
}

#[test]
fn in_place_of_an_error_a_stale_response_is_served() {
    // RFC 5861 §4: 500, 502, 503, 504, and whatever would become one.
    each(failures(), |failure| {
        let t = stored(stale("stale-if-error=60"));
        t.origin(failure.clone());
        let answer = t.get().says("one").has("etag", "\"a\"");
        assert!(answer.number("age") >= 30, "{answer}");
        t.was_called(2);
    });
}

#[test]
fn a_client_may_take_what_is_stale_in_place_of_an_error() {
    // RFC 5861 §4: "its scope of application is the request it appears in".
    each([500, 502, 503, 504], |status| {
        let t = stored(stale("foo"));
        t.origin(Reply::new(*status).body("broken"));
        t.ask("GET").control("stale-if-error=60").send().says("one");
        t.ask("GET")
            .control("stale-if-error=10")
            .send()
            .is(*status, "broken");
        t.get().is(*status, "broken");
    });
}

#[test]
fn in_place_of_other_statuses_nothing_is_served() {
    // RFC 5861 §4: these are no errors in its sense.
    each([400, 403, 404, 410, 501, 505, 599], |status| {
        let t = stored(stale("stale-if-error=60"));
        t.origin(Reply::new(*status).body("other").control("no-store"));
        t.get().is(*status, "other");
    });
}

#[test]
fn after_its_window_an_error_is_passed_on() {
    // RFC 5861 §4.1: "the cache must write the error message through".
    each(
        [
            "stale-if-error=10",
            "stale-if-error=0",
            "stale-if-error=x",
            "stale-if-error",
        ],
        |control| {
            let t = stored(stale(control));
            t.origin(Reply::new(503).body("broken"));
            t.get().is(503, "broken");
        },
    );
}

#[test]
fn nothing_that_must_be_validated_is_served_in_place_of_an_error() {
    // §4.2.4, §5.2.2.2: "MUST NOT ignore the must-revalidate directive".
    each(FORBIDDEN, |forbidden| {
        each(failures(), |failure| {
            let t = stored(stale(&format!("stale-if-error=60, {forbidden}")));
            t.origin(failure.clone());
            let answer = t.get();
            assert!((500..=504).contains(&answer.status), "{answer}");
            assert_ne!(answer.text(), "one");
        });
    });
}

#[test]
fn without_leave_an_error_is_passed_on() {
    // §4.2.4: an origin that answers 5xx was reached.
    each([500, 502, 503, 504], |status| {
        let t = stored(stale("foo"));
        t.origin(Reply::new(*status).body("broken"));
        t.get().is(*status, "broken");
    });
}

#[test]
fn an_origin_that_hangs_up_is_as_one_that_is_away() {
    // §4.2.4: "disconnected"; allowed, and done here for a day.
    each([Reply::hang_up(), Reply::raw("HTTP/1.1 20")], |failure| {
        let t = stored(stale("foo"));
        t.origin(failure.clone());
        let answer = t.get().says("one");
        assert!(answer.number("age") >= 30, "{answer}");
    });
}

#[test]
fn what_is_stale_for_too_long_is_not_served() {
    // §4.2.4: a day is what this cache allows itself.
    let t = stored(
        Reply::ok("one")
            .control("max-age=10")
            .fields("age: 100000\netag: \"a\""),
    );
    t.origin(Reply::hang_up());
    t.get().has_status(502);
}

#[test]
fn a_client_that_insists_gets_an_error() {
    // §5.2.1.4.
    let t = stored(stale("stale-if-error=60"));
    t.origin(Reply::hang_up());
    t.ask("GET").control("no-cache").send().has_status(502);
}

#[test]
fn when_the_origin_is_away_what_is_stored_is_served() {
    // §4.2.4: fresh or stale.
    let t = keeping(Test::alone(), stale("foo"));
    t.origin_at("/fresh", Reply::ok("fresh").control("max-age=600"));
    t.get_at("/fresh").says("fresh");
    t.origin_leaves();
    let answer = t.get().says("one");
    assert!(answer.number("age") >= 30, "{answer}");
    t.head().is(200, "");
    t.get_at("/fresh").says("fresh").is_hit();
    t.get_at("/other").has_status(502);
    t.ask("POST").body("x").send().has_status(502);
    t.was_called(2);
}

#[test]
fn when_the_origin_is_away_what_must_be_validated_is_an_error() {
    // §5.2.2.2: "the cache MUST generate an error response rather than reuse the stale response"; 504
    // unless another is more applicable.
    let t = Test::alone();
    let paths: Vec<_> = (0..FORBIDDEN.len()).map(|n| format!("/{n}")).collect();
    for (path, forbidden) in paths.iter().zip(FORBIDDEN) {
        t.origin_at(path, stale(&format!("stale-if-error=60, {forbidden}")));
        t.get_at(path).says("one");
    }
    t.origin_leaves();
    each(paths, |path| {
        let answer = t.get_at(path);
        assert!([502, 504].contains(&answer.status), "{answer}");
    });
}

#[test]
fn many_who_meet_a_failure_get_what_is_stale() {
    // RFC 5861 §4, for those who wait as well.
    let t = stored(stale("stale-if-error=60"));
    let gate = Gate::default();
    t.origin(Reply::new(503).body("broken").behind(&gate));
    thread::scope(|scope| {
        let clients = scope.spawn(|| t.get_at_once(6));
        t.wait_for_calls(2);
        gate.open();
        for answer in clients.join().expect("all are answered") {
            answer.says("one");
        }
    });
}

#[test]
fn what_is_stale_again_is_validated_again() {
    // §4.2.4: that it was served once is no permission for ever.
    let t = stored(stale("stale-if-error=60"));
    t.origin(Reply::new(503));
    t.get().says("one");
    t.origin(Reply::ok("two").control("max-age=600"));
    assert!(eventually(|| t.get().text() == "two"));
    t.get().says("two").is_hit();
}

#[test]
fn what_was_invalidated_is_not_served_in_place_of_an_error() {
    // §4.4: invalid is "in need of a mandatory validation".
    let t = stored(stale("stale-if-error=60"));
    t.origin(Reply::new(204));
    t.ask("PUT").body("x").send().has_status(204);
    t.origin(Reply::new(503).body("broken"));
    t.get().is(503, "broken");
    t.origin(Reply::hang_up());
    t.get().has_status(502);
}

#[test]
fn what_a_refresh_brings_counts_though_it_may_not_be_stored() {
    // §4.3.3: "none of the stored responses [...] are suitable".
    each(
        [Reply::new(404), Reply::new(410), Reply::ok("two")],
        |reply| {
            let t = stored(stale("stale-while-revalidate=60"));
            t.origin(reply.clone().control("no-store"));
            t.get().says("one").is_hit();
            t.wait_for_calls(2);
            assert!(eventually(|| t.get().text() != "one"));
        },
    );
}

#[test]
fn a_stale_response_answers_conditions_and_ranges_while_it_is_refreshed() {
    // RFC 5861 §3, §4.3.2.
    each(
        [("if-none-match: \"a\"", 304), ("range: bytes=0-1", 206)],
        |(lines, status)| {
            let t = stored(stale("stale-while-revalidate=60"));
            t.origin(Reply::ok("two").control("max-age=600"));
            t.get_with(lines).has_status(*status).is_hit();
            t.wait_for_calls(2);
            // What is stored is renewed as a whole.
            assert!(eventually(|| t.get().text() == "two"));
            assert!(!t.last().fields.has("range"));
        },
    );
}

#[test]
fn a_head_is_served_while_what_is_stored_is_refreshed() {
    // RFC 5861 §3.
    let t = stored(stale("stale-while-revalidate=60"));
    t.origin(Reply::ok("two").control("max-age=600"));
    t.head().is(200, "").is_hit();
    t.get().has_status(200);
    assert!(eventually(|| t.get().text() == "two"));
}

#[test]
fn what_is_never_fresh_may_have_a_window() {
    // RFC 5861 §3, §4: fresh for no time, and then stale for a minute; also without a validator.
    each(
        ["max-age=0", "s-maxage=60\nage: 90", "max-age=10\nage: 30"],
        |lines| {
            let windows = "stale-while-revalidate=60, stale-if-error=60";
            // s-maxage forbids both.
            let is_allowed = !lines.contains("s-maxage");
            let reply = || Reply::ok("one").fields(&format!("cache-control: {windows}, {lines}"));
            let t = Test::new();
            t.origin(reply());
            t.get().says("one");
            t.origin(Reply::ok("two").control("max-age=600"));
            let body = if is_allowed { "one" } else { "two" };
            t.get().says(body);
            assert!(eventually(|| t.get().text() == "two"));
            t.was_called(2);
        },
    );
}

#[test]
fn without_a_validator_what_is_stale_may_still_stand_in() {
    // RFC 5861 §4, RFC 9111 §4.2.4.
    let t = Test::new();
    let control = "max-age=10, stale-if-error=60";
    t.origin(Reply::ok("one").control(control).field("age", "30"));
    t.get().says("one");
    t.origin(Reply::new(503).body("broken"));
    t.get().says("one");
    t.origin(Reply::hang_up());
    t.get().says("one");
}

#[test]
fn a_head_is_answered_in_place_of_an_error() {
    // RFC 5861 §4.
    let t = stored(stale("stale-if-error=60"));
    t.origin(Reply::new(503).body("broken"));
    t.head().is(200, "").has("etag", "\"a\"");
}

#[test]
fn conditions_and_ranges_are_answered_in_place_of_an_error() {
    // RFC 5861 §4, RFC 9111 §4.3.2.
    each(
        [
            ("if-none-match: \"a\"", 304, ""),
            ("range: bytes=1-2", 206, "ne"),
        ],
        |row| {
            let (lines, status, body) = row;
            let t = stored(stale("stale-if-error=60"));
            t.origin(Reply::new(503).body("broken"));
            t.get_with(lines).is(*status, body);
        },
    );
}

#[test]
fn a_stored_error_is_an_error_no_more_than_others_are() {
    // RFC 9111 §3: an error may have a lifetime, and is served for so long.
    let t = Test::new();
    t.origin(Reply::new(503).body("broken").control("max-age=600"));
    t.get().is(503, "broken");
    t.origin(Reply::ok("one"));
    t.get().is(503, "broken").is_hit();
}
