//! Validation (RFC 9111 §4.3): what the proxy asks the origin, what it answers to a client's own
//! conditions, and what a 304 or a HEAD changes.

use crate::support::{Gate, Received, Reply, Test, each};
use std::{thread, time::Duration};

/// A response that was stale when it came.
fn stale(body: &str) -> Reply {
    Reply::ok(body).control("max-age=10").field("age", "30")
}

fn fresh(body: &str) -> Reply {
    Reply::ok(body).control("max-age=600")
}

fn not_modified() -> Reply {
    Reply::new(304)
}

/// A test for which this is stored.
fn stored(reply: Reply) -> Test {
    let t = Test::new();
    t.origin(reply);
    t.get();
    t.was_called(1);
    t
}

fn offered(request: &Received) -> Option<&str> {
    request.field("if-none-match")
}

#[test]
fn a_tag_is_offered_as_it_came() {
    // §4.3.1: "MUST send the relevant entity tags".
    each(
        [
            "\"a\"",
            "W/\"a\"",
            "\"\"",
            "W/\"\"",
            "\"a,b\"",
            "\"a b\"",
            "\"a\\b\"",
            "\"W/\"",
            "\"{}\"",
            "\"\u{e4}\u{ff}\u{80}\"",
            "unquoted",
            "W/unquoted",
            "w/\"a\"",
            "\"open",
            "'a'",
            "\"a\"b",
        ],
        |tag| {
            let t = stored(stale("one").field("etag", tag));
            t.origin(not_modified().field("etag", tag));
            t.get().says("one");
            assert_eq!(offered(&t.last()), Some(*tag));
            t.was_called(2);
        },
    );
}

#[test]
fn a_date_of_modification_is_sent_as_it_came() {
    // §4.3.1: SHOULD; RFC 9110 §13.1.3: some origins go by exact match.
    each(
        [
            "{-1000}",
            "{rfc850-1000}",
            "{asctime-1000}",
            "sun, 06 nov 1994 08:49:37 gmt",
        ],
        |modified| {
            let reply = stale("one").field("last-modified", modified);
            let modified = reply.told().one("last-modified").map(str::to_owned);
            let t = stored(reply);
            t.origin(not_modified());
            t.get().says("one");
            assert_eq!(
                t.last().field("if-modified-since").map(str::to_owned),
                modified
            );
            assert_eq!(offered(&t.last()), None);
        },
    );
}

#[test]
fn both_validators_are_sent() {
    // §4.3.1: "In most cases, both validators are generated".
    let t =
        stored(stale("one").fields("etag: \"a\"\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT"));
    t.origin(not_modified().field("etag", "\"a\""));
    t.get().says("one");
    assert_eq!(offered(&t.last()), Some("\"a\""));
    assert_eq!(
        t.last().field("if-modified-since"),
        Some("Sun, 06 Nov 1994 08:49:37 GMT")
    );
}

#[test]
fn without_a_validator_there_is_no_condition() {
    let t = stored(stale("one"));
    t.origin(fresh("two"));
    t.get().says("two");
    assert_eq!(offered(&t.last()), None);
    assert_eq!(t.last().field("if-modified-since"), None);
    t.get().says("two").is_hit();
}

#[test]
fn what_must_be_validated_is_validated_for_each_request() {
    // §5.2.2.4; a lifetime of none (§4.2).
    each(
        [
            "cache-control: no-cache",
            "cache-control: No-Cache",
            "cache-control: no-cache, max-age=600",
            "cache-control: no-cache, s-maxage=600",
            "cache-control: public, no-cache",
            "cache-control: max-age=600\ncache-control: no-cache",
            "cache-control: max-age=0",
            "cache-control: s-maxage=0, max-age=600",
            "expires: 0",
        ],
        |lines| {
            let t = stored(Reply::ok("one").field("etag", "\"a\"").fields(lines));
            t.origin(not_modified().field("etag", "\"a\"").fields(lines));
            for calls in 2..5 {
                t.get().says("one").is_forwarded();
                assert_eq!(offered(&t.last()), Some("\"a\""));
                t.was_called(calls);
            }
        },
    );
}

#[test]
fn a_304_is_not_passed_to_a_client_that_asked_without_condition() {
    // §4.3.3, §4.3.4: the stored response is updated and reused.
    let t = stored(stale("one").field("etag", "\"a\""));
    t.origin(not_modified().field("etag", "\"a\""));
    t.get().says("one").has("etag", "\"a\"");
    let head = t.head();
    head.is(200, "");
}

#[test]
fn a_304_makes_fresh() {
    // §4.3.4: its fields replace the stored ones, those of freshness too.
    each(
        [
            "cache-control: max-age=600",
            "cache-control: s-maxage=600",
            "cache-control:\nexpires: {+600}",
        ],
        |lines| {
            let t = stored(stale("one").field("etag", "\"a\""));
            t.origin(
                not_modified()
                    .field("etag", "\"a\"")
                    .field("age", "0")
                    .fields(lines),
            );
            t.get().says("one").is_forwarded();
            t.get().says("one").is_hit();
            t.was_called(2);
        },
    );
}

#[test]
fn a_304_starts_the_age_again() {
    // §4.2: age is "the time that has passed since it was generated by, or successfully validated
    // with, the origin server".
    let t = stored(stale("one").field("etag", "\"a\""));
    t.origin(not_modified().field("etag", "\"a\""));
    t.get().says("one").is_forwarded();
    let age = t.get().says("one").is_hit().number("age");
    assert!(age < 10, "{age}");
    t.was_called(2);
}

#[test]
fn a_304_may_be_stale_itself() {
    // §4.2.3: what comes from a cache before this one has an Age.
    let t = stored(stale("one").field("etag", "\"a\""));
    t.origin(not_modified().field("etag", "\"a\"").field("age", "20"));
    t.get().says("one").is_forwarded();
    t.get().says("one").is_forwarded();
    t.was_called(3);
}

#[test]
fn a_304_updates_fields() {
    // §3.2: each of its fields is added, and replaces those that were there.
    let lines = "etag: \"a\"\nx-kept: 1\nx-changed: 1\nx-changed: 2\nx-kept: 3";
    let t = stored(stale("one").fields(lines));
    let lines = "etag: \"a\"\ndate: {-5}\nx-changed: 4\nx-new: 5\nx-new: 6\ncontent-type: text/new\n\
                 cache-control: max-age=600\nage: 0";
    let update = not_modified().fields(lines);
    t.origin(update.clone());
    for answer in [t.get(), t.get().is_hit()] {
        let answer = answer
            .says("one")
            .has("content-type", "text/new")
            .has("x-changed", "4");
        let answer = answer.has("cache-control", "max-age=600");
        assert_eq!(answer.fields.all("x-kept"), ["1", "3"]);
        assert_eq!(answer.fields.all("x-new"), ["5", "6"]);
        assert_eq!(answer.field("date"), update.told().one("date"));
    }
    t.was_called(2);
}

#[test]
fn a_304_does_not_change_what_the_body_is() {
    // §3.2: Content-Length is never updated, nor what the stored body depends upon, nor what
    // describes another range.
    let t = stored(stale("one").fields("etag: \"a\"\ncontent-encoding: x-told"));
    let lines = "etag: \"a\"\ncontent-length: 999\ncontent-encoding: gzip\n\
                 content-range: bytes 0-1/5\ncache-control: max-age=600";
    t.origin(not_modified().fields(lines));
    for _ in 0..2 {
        let answer = t
            .get()
            .says("one")
            .has("content-encoding", "x-told")
            .has_no("content-range");
        assert!(
            [None, Some("3")].contains(&answer.field("content-length")),
            "{answer}"
        );
    }
}

#[test]
fn a_304_brings_no_fields_of_one_hop() {
    // §3.2, §3.1.
    let t = stored(stale("one").field("etag", "\"a\""));
    let lines = "etag: \"a\"\nconnection: x-hop\nx-hop: 1\nkeep-alive: timeout=5\n\
                 proxy-authenticate: Basic\ncache-control: max-age=600\nage: 0";
    t.origin(not_modified().fields(lines));
    t.get().says("one");
    let hit = t.get().says("one").is_hit();
    hit.has_no("x-hop")
        .has_no("keep-alive")
        .has_no("proxy-authenticate");
}

#[test]
fn a_304_for_another_representation_updates_nothing() {
    // §4.3.4: without the same strong validator, "MUST NOT use the new response to update".
    let t = stored(stale("one").field("etag", "\"a\""));
    let update = not_modified().fields("etag: \"b\"\ncache-control: max-age=600\nage: 0\nx-new: 1");
    t.origin_says(move |request, _| match offered(request) {
        Some(_) => update.clone(),
        None => fresh("two").field("etag", "\"b\""),
    });
    // What this one gets is not said; what is stored is as stale as it was.
    t.get();
    t.get().is_forwarded().has_no("x-new");
}

#[test]
fn a_304_without_validators_validates_the_one_that_was_offered() {
    // §4.3.3: "the stored response can be updated and reused". RFC 9110 §15.4.5 has the origin send the
    // tag, and many do not.
    let t = stored(stale("one").field("etag", "\"a\""));
    t.origin(not_modified());
    t.get().says("one");
}

#[test]
fn a_304_with_a_weak_tag_validates() {
    // §4.3.4: "no strong validators but [...] one or more weak validators".
    let t = stored(stale("one").field("etag", "W/\"a\""));
    t.origin(not_modified().fields("etag: W/\"a\"\ncache-control: max-age=600\nage: 0"));
    t.get().says("one");
    t.get().says("one").is_hit();
    t.was_called(2);
}

#[test]
fn a_full_response_replaces_what_is_stored() {
    // §4.3.3: "MUST use the full response to satisfy the request".
    let t = stored(stale("one").fields("etag: \"a\"\nx-old: 1"));
    t.origin(fresh("two").field("etag", "\"b\""));
    t.get().says("two").has_no("x-old");
    t.get()
        .says("two")
        .is_hit()
        .has_no("x-old")
        .has("etag", "\"b\"");
    t.was_called(2);
}

#[test]
fn a_full_response_that_may_not_be_stored_leaves_nothing_to_serve() {
    // §4.3.3, §5.2.2.5.
    let t = stored(stale("one").field("etag", "\"a\""));
    t.origin(Reply::ok("two").control("no-store"));
    t.get().says("two");
    t.get().says("two");
    t.was_called(3);
}

#[test]
fn a_full_response_that_has_no_lifetime_leaves_nothing_to_serve() {
    // §4.3.3, also where what it replaces would have been fresh: who asked for the new one is not given
    // the old one after it.
    each(
        [
            (200, Reply::ok("two")),
            (200, Reply::ok("two").control("max-age=0")),
            (301, Reply::new(301).body("two")),
        ],
        |(status, reply)| {
            let t = stored(fresh("one").field("etag", "\"a\""));
            t.origin(reply.clone());
            let ask = t.ask("GET").control("no-cache");
            ask.send().is(*status, "two");
            t.get().is(*status, "two");
            t.was_called(3);
        },
    );
}

#[test]
fn a_part_or_an_error_without_a_lifetime_replaces_nothing() {
    // §3.3, §4.3.3: the one is not all of it, the other says nothing of it.
    let part = Reply::new(206)
        .body("on")
        .field("content-range", "bytes 0-1/3");
    each(
        [
            ("range: bytes=0-1", 206, part),
            ("x-a: 1", 405, Reply::new(405)),
        ],
        |(line, status, reply)| {
            let t = stored(fresh("one"));
            t.origin(reply.clone());
            let ask = t.ask("GET").control("no-cache").fields(line);
            ask.send().has_status(*status);
            t.get().says("one").is_hit();
        },
    );
}

#[test]
fn an_error_in_validation_is_passed_on_and_forgets_nothing() {
    // §4.3.3: "it can either forward this response to the requesting client"; the old one is validated
    // again.
    each([500, 502, 503, 504], |status| {
        let t = stored(stale("one").field("etag", "\"a\""));
        t.origin(Reply::new(*status).body("broken"));
        t.get().is(*status, "broken");
        t.origin(not_modified().field("etag", "\"a\""));
        t.get().says("one");
        assert_eq!(offered(&t.last()), Some("\"a\""));
    });
}

#[test]
fn a_client_error_in_validation_is_the_answer() {
    // §4.3.3.
    each([403, 404, 410], |status| {
        let t = stored(stale("one").field("etag", "\"a\""));
        t.origin(Reply::new(*status).body("gone").control("no-store"));
        t.get().is(*status, "gone");
    });
}

#[test]
fn one_validation_is_under_way_for_many() {
    // §4: requests may be collapsed. What was stale when it came would not do: such a response is known to
    // be of one use, and those who ask for it do not wait for each other.
    let t = stored(Reply::ok("one").control("max-age=1").field("etag", "\"a\""));
    let gate = Gate::default();
    let reply = not_modified().field("etag", "\"a\"").control("max-age=600");
    t.origin(reply.behind(&gate));
    thread::sleep(Duration::from_millis(1500));
    thread::scope(|scope| {
        let clients = scope.spawn(|| t.get_at_once(8));
        t.wait_for_calls(2);
        gate.open();
        for answer in clients.join().expect("all are answered") {
            answer.says("one");
        }
    });
    t.was_called(2);
}

#[test]
fn a_client_s_tags_are_compared_with_what_is_stored() {
    // §4.3.2; RFC 9110 §13.1.2: by weak comparison (§8.8.3.2).
    each(
        [
            ("\"a\"", "\"a\"", 304),
            ("\"a\"", "W/\"a\"", 304),
            ("W/\"a\"", "\"a\"", 304),
            ("W/\"a\"", "W/\"a\"", 304),
            ("\"a\"", "\"b\", \"a\"", 304),
            ("\"a\"", "\"b\",W/\"a\",\"c\"", 304),
            ("\"a\"", ", \"a\" ,", 304),
            ("\"a,b\"", "\"x\", \"a,b\"", 304),
            ("\"a\"", "*", 304),
            ("\"\"", "\"\"", 304),
            ("\"\u{e4}\"", "\"\u{e4}\"", 304),
            ("\"a\"", "\"b\"", 200),
            ("\"a\"", "\"A\"", 200),
            ("\"a\"", "\"a \"", 200),
            ("\"a\"", "\"aa\", \"\"", 200),
            ("\"a,b\"", "\"a\", \"b\"", 200),
            ("\"a\"", "\"*\"", 200),
            ("\"\u{e4}\"", "\"\u{e5}\"", 200),
        ],
        |(tag, asked, status)| {
            let t = stored(fresh("one").field("etag", tag));
            let answer = t.ask("GET").field("if-none-match", asked).send();
            answer.has_status(*status).is_hit();
            t.was_called(1);
        },
    );
}

#[test]
fn a_client_s_tags_may_stand_on_several_lines() {
    // RFC 9110 §5.3.
    let t = stored(fresh("one").field("etag", "\"a\""));
    t.get_with("if-none-match: \"b\"\nif-none-match: \"a\"")
        .is(304, "")
        .is_hit();
    t.was_called(1);
}

#[test]
fn a_client_s_date_is_compared_with_what_is_stored() {
    // RFC 9110 §13.1.3; RFC 9111 §4.3.2: Date stands in for Last-Modified.
    let modified = "last-modified: Sun, 06 Nov 1994 08:49:37 GMT";
    each(
        [
            (modified, "Sun, 06 Nov 1994 08:49:37 GMT", 304),
            (modified, "Sun, 06 Nov 1994 08:49:38 GMT", 304),
            (modified, "Sunday, 06-Nov-94 08:49:37 GMT", 304),
            (modified, "Sun Nov  6 08:49:37 1994", 304),
            (modified, "{-10}", 304),
            (
                "last-modified: Sun Nov  6 08:49:37 1994",
                "Sun, 06 Nov 1994 08:49:37 GMT",
                304,
            ),
            (modified, "Sun, 06 Nov 1994 08:49:36 GMT", 200),
            (modified, "Thu, 01 Jan 1970 00:00:00 GMT", 200),
            // Not valid: ignored.
            (modified, "tomorrow", 200),
            (modified, "0", 200),
            (modified, "{-10}, {-10}", 200),
            ("date: {-100}", "{-50}", 304),
            ("date: {-100}", "{-150}", 200),
        ],
        |(lines, asked, status)| {
            let t = stored(fresh("one").fields(lines));
            let answer = t.ask("GET").field("if-modified-since", asked).send();
            answer.has_status(*status).is_hit();
            t.was_called(1);
        },
    );
}

#[test]
fn tags_go_before_dates() {
    // RFC 9110 §13.1.3, §13.2.2.
    let both = "etag: \"a\"\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT";
    each(
        [
            (
                both,
                "if-none-match: \"a\"\nif-modified-since: Sat, 05 Nov 1994 08:49:37 GMT",
                304,
            ),
            (both, "if-none-match: \"b\"\nif-modified-since: {-10}", 200),
            (both, "if-modified-since: {-10}\nif-none-match: \"b\"", 200),
            (both, "if-modified-since: {-10}", 304),
            // There is a tag to compare, and it is none of the stored one's.
            (
                "last-modified: {-1000}",
                "if-none-match: \"b\"\nif-modified-since: {-10}",
                200,
            ),
        ],
        |(lines, asked, status)| {
            let t = stored(fresh("one").fields(lines));
            t.get_with(asked).has_status(*status).is_hit();
            t.was_called(1);
        },
    );
}

#[test]
fn conditions_hold_for_head() {
    // RFC 9110 §13.2.2.
    let t = stored(fresh("one").field("etag", "\"a\""));
    let ask = t.ask("HEAD").field("if-none-match", "\"a\"");
    ask.send().is(304, "").is_hit();
    t.was_called(1);
}

#[test]
fn a_304_out_of_the_store_has_what_a_200_would_have() {
    // RFC 9110 §15.4.5: these MUST be there.
    let lines = "etag: \"a\"\ndate: {-5}\nexpires: {+600}\nvary: x-a\ncontent-location: /else\n\
                 content-type: text/plain";
    let reply = fresh("one").fields(lines);
    let t = stored(reply.clone());
    let answer = t.get_with("if-none-match: \"a\"").is(304, "").is_hit();
    for name in [
        "cache-control",
        "content-location",
        "date",
        "etag",
        "expires",
        "vary",
    ] {
        assert_eq!(answer.fields.all(name), reply.told().all(name), "{name}");
    }
    assert!(answer.number("age") >= 5);
    assert!(
        [None, Some("3")].contains(&answer.field("content-length")),
        "{answer}"
    );
}

#[test]
fn conditions_mean_nothing_for_other_statuses() {
    // RFC 9110 §13.2.1: "MUST ignore all received preconditions if its response [...] without those
    // conditions [...] would have been a status code other than a 2xx or 412"; RFC 9111 §4.3.2.
    each([301, 404, 410, 501], |status| {
        let reply = Reply::new(*status)
            .body("one")
            .control("max-age=600")
            .field("etag", "\"a\"");
        let t = stored(reply);
        t.get_with("if-none-match: \"a\"")
            .is(*status, "one")
            .is_hit();
        t.get_with("if-none-match: *").is(*status, "one").is_hit();
        t.was_called(1);
    });
}

#[test]
fn conditions_for_an_origin_are_not_the_cache_s_to_judge() {
    // §4.3.2: "A cache MUST NOT evaluate conditional header fields that only apply to an origin server".
    each(
        [
            "if-match: \"b\"",
            "if-unmodified-since: Thu, 01 Jan 1970 00:00:00 GMT",
        ],
        |line| {
            let t = stored(fresh("one").fields("etag: \"a\"\nlast-modified: {-1000}"));
            t.get_with(line).says("one");
        },
    );
}

#[test]
fn conditions_go_to_the_origin_where_nothing_is_stored() {
    // §4.3.2, RFC 9110 §13.2.1: as they came.
    let t = Test::new();
    t.origin(not_modified().field("etag", "\"b\""));
    let lines = "if-none-match: \"a\", W/\"b\"\nif-modified-since: sunday\nif-match: \"c\"\n\
                 if-unmodified-since: monday";
    t.get_with(lines).is(304, "").has("etag", "\"b\"");
    let asked = t.last();
    assert_eq!(asked.field("if-none-match"), Some("\"a\", W/\"b\""));
    assert_eq!(asked.field("if-modified-since"), Some("sunday"));
    assert_eq!(asked.field("if-match"), Some("\"c\""));
    assert_eq!(asked.field("if-unmodified-since"), Some("monday"));
    t.origin(fresh("one"));
    t.get().says("one");
    t.was_called(2);
}

#[test]
fn a_full_response_to_a_condition_is_stored() {
    // §3: nothing says otherwise.
    let t = Test::new();
    t.origin(fresh("one").field("etag", "\"a\""));
    t.get_with("if-none-match: \"b\"").says("one");
    t.get().says("one").is_hit();
    t.was_called(1);
}

#[test]
fn a_client_that_has_what_is_validated_gets_a_304() {
    // §4.3.2, §4.3.4: the client's own condition holds for the updated response.
    let t = stored(stale("one").field("etag", "\"a\""));
    t.origin(not_modified().field("etag", "\"a\""));
    t.get_with("if-none-match: \"a\"")
        .is(304, "")
        .has("etag", "\"a\"");
    t.was_called(2);
}

#[test]
fn a_client_that_has_something_else_gets_what_is_validated() {
    // §4.3.2: with "an entity tag that is not in the client's list, the cache MUST generate a 200".
    let t = stored(stale("one").field("etag", "\"a\""));
    t.origin_says(|request, _| {
        let offered = offered(request).unwrap_or_default();
        assert!(offered.contains("\"a\""), "{offered}");
        not_modified().field("etag", "\"a\"")
    });
    t.get_with("if-none-match: \"b\"").says("one");
    t.was_called(2);
}

#[test]
fn a_client_that_has_what_is_new_is_not_sent_it_again() {
    // §4.3.2: the tags of both may be united; a 304 for the client's own is passed on.
    let t = stored(stale("one").field("etag", "\"a\""));
    t.origin_says(|request, _| match offered(request) {
        Some(tags) if tags.contains("\"b\"") => not_modified().field("etag", "\"b\""),
        _ => fresh("two").field("etag", "\"b\""),
    });
    t.get_with("if-none-match: \"b\"")
        .is(304, "")
        .has("etag", "\"b\"");
}

#[test]
fn a_client_that_has_what_is_replaced_gets_what_is_new() {
    // §4.3.3.
    let t = stored(stale("one").field("etag", "\"a\""));
    t.origin(fresh("two").field("etag", "\"b\""));
    t.get_with("if-none-match: \"a\"").says("two");
    t.get().says("two").is_hit();
}

#[test]
fn a_client_that_insists_gets_a_validated_response() {
    // §5.2.1.4: fresh or not.
    let t = stored(fresh("one").field("etag", "\"a\""));
    t.origin_says(|request, _| match offered(request) {
        Some("\"a\"") => not_modified().field("etag", "\"a\""),
        _ => Reply::ok("one")
            .field("etag", "\"a\"")
            .control("max-age=600"),
    });
    t.ask("GET")
        .control("no-cache")
        .send()
        .says("one")
        .is_forwarded();
    t.was_called(2);
}

#[test]
fn a_head_freshens_what_is_stored() {
    // §4.3.5: SHOULD update, where its validators and length are the same.
    each(
        [
            "etag: \"a\"",
            "last-modified: Sun, 06 Nov 1994 08:49:37 GMT",
        ],
        |validator| {
            let t = stored(stale("one").fields(validator));
            t.origin(fresh("one").fields(validator).fields("x-new: 1\nage: 0"));
            t.head().has_status(200);
            assert_eq!(t.last().method, "HEAD");
            t.get().says("one").is_hit().has("x-new", "1");
            t.was_called(2);
        },
    );
}

#[test]
fn a_head_that_tells_of_another_makes_stale() {
    // §4.3.5: "otherwise, the cache SHOULD consider the stored response to be stale".
    each(
        [
            fresh("one").field("etag", "\"b\""),
            fresh("longer").field("etag", "\"a\""),
            fresh("one")
                .field("etag", "\"b\"")
                .field("last-modified", "{-1000}"),
        ],
        |other| {
            let t = stored(fresh("one").field("etag", "\"a\""));
            t.origin(other.clone());
            t.ask("HEAD").control("no-cache").send().has_status(200);
            t.get().says(&other.text()).is_forwarded();
            t.was_called(3);
        },
    );
}

#[test]
fn a_head_that_fails_changes_nothing() {
    // §4.3.5 is about a 200.
    let t = stored(fresh("one").field("etag", "\"a\""));
    t.origin(Reply::new(500));
    t.ask("HEAD").control("no-cache").send().has_status(500);
    t.get().says("one").is_hit();
}

#[test]
fn tags_of_other_variants_are_offered_and_a_304_selects_one() {
    // §4.1, §4.3.1: "a cache is allowed to validate a response that it cannot choose".
    let t = Test::new();
    t.origin_says(|request, _| {
        let language = request.field("accept-language").unwrap_or_default();
        let (tag, body) = match language {
            "de" | "at" => ("\"d\"", "deutsch"),
            _ => ("\"e\"", "english"),
        };
        let reply = match offered(request) {
            Some(tags) if tags.contains(tag) => not_modified(),
            _ => Reply::ok(body),
        };
        reply
            .control("max-age=600")
            .fields("vary: accept-language")
            .field("etag", tag)
    });
    t.get_with("accept-language: de").says("deutsch");
    t.get_with("accept-language: en").says("english");
    t.get_with("accept-language: at")
        .says("deutsch")
        .is_forwarded();
    let tags = offered(&t.last()).unwrap_or_default().to_owned();
    assert!(tags.contains("\"d\"") && tags.contains("\"e\""), "{tags}");
    t.get_with("accept-language: de").says("deutsch").is_hit();
    t.get_with("accept-language: en").says("english").is_hit();
    t.was_called(3);
}

#[test]
fn a_304_may_withdraw_what_is_stored() {
    // §3.2, §5.2.2: its directives are those of the stored response now.
    each(
        ["no-store", "private", "no-cache", "max-age=0"],
        |control| {
            let t = stored(stale("one").field("etag", "\"a\""));
            let control = (*control).to_owned();
            t.origin_says(move |request, _| match offered(request) {
                Some(_) => not_modified().field("etag", "\"a\"").control(&control),
                None => stale("one").field("etag", "\"a\""),
            });
            t.get().says("one");
            t.get().says("one").is_forwarded();
        },
    );
}

#[test]
fn a_304_may_say_that_the_response_varies() {
    // §3.2, §4.1: its Vary is that of the stored response now.
    let t = stored(stale("one").field("etag", "\"a\""));
    let reply = not_modified().fields("etag: \"a\"\nvary: x-a\nage: 0");
    t.origin(reply.control("max-age=600"));
    t.get_with("x-a: 1").says("one");
    t.origin(fresh("two").field("vary", "x-a"));
    t.get_with("x-a: 2").says("two").is_forwarded();
}

#[test]
fn a_304_to_a_client_s_own_condition_updates_what_is_stored() {
    // §4.3.4: whoever asked, "the cache MUST update its header fields".
    let t = stored(fresh("one").field("etag", "\"a\""));
    t.origin(
        not_modified()
            .fields("etag: \"a\"\nx-new: 1")
            .control("max-age=600"),
    );
    let ask = t.ask("GET").control("no-cache");
    ask.field("if-none-match", "\"a\"").send().is(304, "");
    t.get().says("one").is_hit().has("x-new", "1");
    t.was_called(2);
}

#[test]
fn a_client_s_conditions_do_not_spoil_the_cache_s_own() {
    // §4.3.1, §4.3.2: an origin that goes by the standard is asked such that its answer is right.
    fn origin(request: &Received) -> Reply {
        let is_same = match (offered(request), request.field("if-modified-since")) {
            (Some(tags), _) => tags.contains("\"a\"") || tags == "*",
            (None, Some(date)) => date == "Sun, 06 Nov 1994 08:49:37 GMT",
            (None, None) => false,
        };
        let reply = if is_same {
            not_modified()
        } else {
            Reply::ok("one")
        };
        let lines = "etag: \"a\"\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT";
        reply.control("max-age=0").fields(lines)
    }
    each(
        [
            ("if-none-match: \"a\"", 304),
            ("if-none-match: W/\"a\"", 304),
            ("if-none-match: \"b\"", 200),
            ("if-none-match: \"b\", \"a\"", 304),
            ("if-none-match: *", 304),
            ("if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT", 304),
            ("if-modified-since: Sat, 05 Nov 1994 08:49:37 GMT", 200),
            (
                "if-none-match: \"b\"\nif-modified-since: Sun, 06 Nov 1994 08:49:37 GMT",
                200,
            ),
            (
                "if-none-match: \"a\"\nif-modified-since: Sat, 05 Nov 1994 08:49:37 GMT",
                304,
            ),
            ("if-modified-since: nonsense", 200),
            ("x: y", 200),
        ],
        |(lines, status)| {
            let t = Test::new();
            t.origin_says(move |request, _| origin(request));
            t.get().says("one");
            for _ in 0..2 {
                let body = if *status == 304 { "" } else { "one" };
                t.get_with(lines).is(*status, body).is_forwarded();
            }
            t.get().says("one");
        },
    );
}

#[test]
fn a_head_is_about_the_variant_it_selects() {
    // §4.3.5: those "that could have been chosen for that request".
    let t = Test::new();
    t.origin_says(|request, _| {
        let own = request.field("x-a").unwrap_or("0").to_owned();
        let reply = fresh(&own).fields("vary: x-a");
        reply.field("etag", &format!("\"{own}\""))
    });
    t.get_with("x-a: 1").says("1");
    t.ask("HEAD").field("x-a", "2").send().has_status(200);
    t.get_with("x-a: 1").says("1").is_hit();
}

#[test]
fn a_head_of_another_kind_is_validated_too() {
    // §4.3.2: a client may send conditions with HEAD.
    let t = stored(stale("one").field("etag", "\"a\""));
    t.origin(not_modified().field("etag", "\"a\""));
    let ask = t.ask("HEAD").field("if-none-match", "\"a\"");
    ask.send().is(304, "");
    assert_eq!(t.last().method, "HEAD");
}

#[test]
fn a_304_may_bring_a_new_expiry() {
    // §4.3.4, §3.2, §4.2.1.
    let t = stored(Reply::ok("one").fields("expires: {-60}\netag: \"a\"\ndate: {-100}"));
    t.origin(not_modified().fields("expires: {+600}\netag: \"a\""));
    t.get().says("one").is_forwarded();
    t.get().says("one").is_hit();
    t.was_called(2);
}

#[test]
fn a_304_keeps_every_line_of_what_it_does_not_mention() {
    // §3.2: only "replacing field values that are already present".
    let lines = "etag: \"a\"\nset-cookie: a=1\nset-cookie: b=2\nlink: </x>\nlink: </y>";
    let t = stored(stale("one").fields(lines));
    let update = not_modified().fields("etag: \"a\"\nset-cookie: c=3\nage: 0");
    t.origin(update.control("max-age=600"));
    for answer in [t.get(), t.get().is_hit()] {
        assert_eq!(answer.fields.all("set-cookie"), ["c=3"]);
        assert_eq!(answer.fields.all("link"), ["</x>", "</y>"]);
    }
}

#[test]
fn a_304_after_an_invalidation_brings_nothing_back() {
    // §4.4: what was asked before the change says nothing of what is after it.
    let t = stored(stale("one").field("etag", "\"a\""));
    let gate = Gate::default();
    let reply = not_modified()
        .fields("etag: \"a\"\nage: 0")
        .control("max-age=600");
    t.origin(reply.behind(&gate));
    thread::scope(|scope| {
        let early = scope.spawn(|| t.get());
        t.wait_for_calls(2);
        t.origin(Reply::new(204));
        t.ask("PUT").body("x").send().has_status(204);
        gate.open();
        early.join().expect("it is answered").says("one");
    });
    t.origin(fresh("two"));
    t.get().says("two");
}

#[test]
fn a_stored_error_or_redirection_is_validated_as_others_are() {
    // §4.3.1: what has a validator can be validated, whatever its status.
    each([301, 404, 410], |status| {
        let reply = Reply::new(*status).body("one").control("max-age=10");
        let t = stored(reply.fields("age: 30\netag: \"a\""));
        t.origin_says(|request, _| match offered(request) {
            Some(_) => not_modified().field("etag", "\"a\""),
            None => Reply::new(500),
        });
        let answer = t.get();
        assert!([*status, 500].contains(&answer.status), "{answer}");
    });
}
