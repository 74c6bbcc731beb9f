//! What Cache-Status says (RFC 9211).

use crate::support::{Gate, Reply, Test, each};
use std::thread;

fn fresh() -> Reply {
    Reply::ok("one").control("max-age=600")
}

fn stale() -> Reply {
    Reply::ok("one")
        .control("max-age=10")
        .fields("age: 30\netag: \"a\"")
}

#[test]
fn a_hit_says_so_and_how_long_it_stays_fresh() {
    // §2.1, §2.4.
    let t = Test::new();
    t.origin(fresh().field("age", "100"));
    t.get();
    let status = t.get().cache_status();
    assert!(status.has("hit") && !status.has("fwd"), "{status:?}");
    let left = status.number("ttl").expect("it has a number of seconds");
    assert!((490..=500).contains(&left), "{left}");
}

#[test]
fn a_miss_says_why_and_whether_it_was_stored() {
    // §2.2, §2.5.
    let t = Test::new();
    t.origin(fresh());
    let status = t.get().cache_status();
    assert_eq!(status.parameter("fwd"), Some("uri-miss"), "{status:?}");
    assert!(status.has("stored") && !status.has("hit"), "{status:?}");

    let t = Test::new();
    t.origin(Reply::ok("one").control("no-store"));
    let status = t.get().cache_status();
    assert_eq!(status.parameter("fwd"), Some("uri-miss"), "{status:?}");
    assert!(!status.has("stored"), "{status:?}");
}

#[test]
fn each_reason_to_go_forward_has_its_word() {
    // §2.2: the most specific.
    let t = Test::new();
    t.origin(fresh().fields("vary: x-a"));
    let why = |lines: &str| {
        let status = t.get_with(lines).cache_status();
        status.parameter("fwd").map(str::to_owned)
    };
    assert_eq!(why("x-a: 1").as_deref(), Some("uri-miss"));
    assert_eq!(why("x-a: 2").as_deref(), Some("vary-miss"));
    assert_eq!(
        why("x-a: 1\ncache-control: no-cache").as_deref(),
        Some("request")
    );
    assert_eq!(
        why("x-a: 1\ncache-control: max-age=0").as_deref(),
        Some("request")
    );
    assert_eq!(why("x-a: 1"), None);
    let status = t.ask("POST").body("x").send().cache_status();
    assert_eq!(status.parameter("fwd"), Some("method"));
}

#[test]
fn a_validation_says_what_the_origin_said() {
    // §2.3: "to distinguish cases when the next-hop server sends a 304".
    let t = Test::new();
    t.origin(stale());
    t.get();
    t.origin(Reply::new(304).fields("etag: \"a\"\nage: 0\ncache-control: max-age=600"));
    let status = t.get().says("one").cache_status();
    assert_eq!(status.parameter("fwd"), Some("stale"), "{status:?}");
    assert_eq!(status.number("fwd-status"), Some(304), "{status:?}");
    assert!(!status.has("hit"), "{status:?}");
}

#[test]
fn the_status_of_the_origin_is_that_of_the_response_or_is_named() {
    // §2.3.
    let t = Test::new();
    t.origin(Reply::new(404));
    let status = t.get().has_status(404).cache_status();
    assert!(
        [None, Some(404)].contains(&status.number("fwd-status")),
        "{status:?}"
    );
}

#[test]
fn a_stale_hit_has_less_than_no_time_left() {
    // §2.4: "It may be negative, to indicate staleness".
    let t = Test::new();
    t.origin(stale());
    t.get();
    let status = t
        .ask("GET")
        .control("max-stale")
        .send()
        .is_hit()
        .cache_status();
    let left = status.number("ttl").expect("it has a number of seconds");
    assert!((-30..=-20).contains(&left), "{left}");
}

#[test]
fn what_was_made_of_a_stored_response_is_a_hit() {
    // §2.1: "modified by the cache (for example, a 304 or 206 status code)".
    let t = Test::new();
    t.origin(fresh().field("etag", "\"a\""));
    t.get();
    t.get_with("if-none-match: \"a\"").has_status(304).is_hit();
    t.get_with("range: bytes=0-1").has_status(206).is_hit();
    t.head().has_status(200).is_hit();
}

#[test]
fn a_part_that_is_not_enough_is_why() {
    // §2.2: partial.
    let t = Test::new();
    let part = Reply::new(206).body("0123").control("max-age=600");
    t.origin(part.fields("content-range: bytes 0-3/10\netag: \"a\""));
    t.get_with("range: bytes=0-3");
    t.origin(Reply::ok("0123456789").field("etag", "\"b\""));
    let status = t.get().says("0123456789").cache_status();
    assert_eq!(status.parameter("fwd"), Some("partial"), "{status:?}");
}

#[test]
fn those_who_shared_one_request_say_so() {
    // §2.6.
    let t = Test::new();
    let gate = Gate::default();
    t.origin(fresh().behind(&gate));
    let answers = thread::scope(|scope| {
        let clients = scope.spawn(|| t.get_at_once(4));
        t.wait_for_calls(1);
        // Whoever comes later is a hit, which is as good.
        gate.open();
        clients.join().expect("all are answered")
    });
    t.was_called(1);
    let shared = answers.iter().filter(|answer| {
        let status = answer.cache_status();
        status.has("hit") || (status.has("fwd") && status.has("collapsed"))
    });
    assert_eq!(shared.count(), 3, "all but the one that asked");
}

#[test]
fn members_of_caches_before_are_kept_in_their_order() {
    // §2: "caches SHOULD preserve the existing field value"; the last is nearest to the client.
    each(
        [
            "OriginCache;hit;ttl=1100",
            "OriginCache; hit; ttl=1100, \"A, B\"; hit; ttl=545",
            "A;fwd=miss\ncache-status: B;hit",
        ],
        |value| {
            let t = Test::new();
            let reply = fresh().fields(&format!("cache-status: {value}"));
            t.origin(reply.clone());
            let told = reply.told();
            let before = told.all("cache-status").join(", ");
            for (answer, own) in [(t.get(), "fwd"), (t.get(), "hit")] {
                let all = answer.fields.all("cache-status").join(", ");
                assert!(all.starts_with(&format!("{before}, ")), "{all}");
                let members = answer.cache_statuses();
                let [earlier @ .., last] = &members[..] else {
                    panic!("{answer}");
                };
                assert!(last.has(own), "{answer}");
                assert!(
                    !earlier.iter().any(|member| member.name == last.name),
                    "{answer}"
                );
            }
        },
    );
}

#[test]
fn what_the_proxy_says_by_itself_has_none() {
    // §2: "SHOULD NOT append a Cache-Status member to responses that it generates locally".
    let t = Test::new();
    t.origin(Reply::hang_up());
    t.get().has_status(502).has_no("cache-status");
    t.ask("GET")
        .control("only-if-cached")
        .send()
        .has_status(504)
        .has_no("cache-status");
    t.ask("GET")
        .host("a b")
        .send()
        .has_status(400)
        .has_no("cache-status");
}

#[test]
fn no_member_tells_the_key() {
    // §6: it would help to poison the cache.
    let t = Test::new();
    t.origin(fresh());
    for answer in [t.get(), t.get()] {
        assert_eq!(answer.cache_status().parameter("key"), None);
    }
}
