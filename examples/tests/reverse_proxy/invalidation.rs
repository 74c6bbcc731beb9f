//! What makes stored responses invalid (RFC 9111 §4.4), and groups of them (RFC 9875).

use crate::support::{Gate, Reply, Test, each};
use std::thread;

const UNSAFE: [&str; 6] = ["PUT", "POST", "DELETE", "PATCH", "FOO", "get"];

fn fresh(body: &str) -> Reply {
    Reply::ok(body).control("max-age=600")
}

/// Stores what is at each of these ends of the path.
fn storing(ends: &[&str], lines: &str) -> Test {
    let t = Test::new();
    for end in ends {
        t.origin_at(end, fresh("one").fields(lines));
        t.get_at(end).says("one");
        t.get_at(end).says("one").is_hit();
        t.origin_at(end, fresh("two").fields(lines));
    }
    t
}

/// Whether what was stored there is used no more.
fn is_invalid(t: &Test, end: &str) -> bool {
    match &*t.get_at(end).text() {
        "one" => false,
        "two" => true,
        other => panic!("{other}"),
    }
}

#[test]
fn an_unsafe_request_invalidates_its_target() {
    // "MUST invalidate the target URI when it receives a non-error status code in response to an unsafe
    // request method (including methods whose safety is unknown)".
    each(UNSAFE, |method| {
        each(
            [200, 201, 202, 204, 206, 299, 301, 302, 303, 304, 307, 399],
            |status| {
                let t = Test::new();
                t.origin(fresh("one"));
                t.get().says("one");
                t.origin(Reply::new(*status));
                t.ask(method).send().has_status(*status);
                t.origin(fresh("two"));
                t.get().says("two");
            },
        );
    });
}

#[test]
fn an_unsafe_request_that_fails_invalidates_nothing() {
    // "A non-error response is one with a 2xx or 3xx status code".
    each(UNSAFE, |method| {
        each([400, 403, 404, 409, 412, 499, 500, 503, 599], |status| {
            let t = Test::new();
            t.origin(fresh("one"));
            t.get().says("one");
            t.origin(Reply::new(*status));
            t.ask(method).send().has_status(*status);
            t.get().says("one").is_hit();
        });
    });
}

#[test]
fn a_safe_request_invalidates_nothing() {
    // RFC 9110 §9.2.1.
    each(["OPTIONS", "TRACE", "HEAD", "GET"], |method| {
        let t = Test::new();
        t.origin(fresh("one"));
        t.get().says("one");
        t.origin(Reply::new(200).body("one").control("no-store"));
        t.ask(method).at("?other").send();
        t.ask(method).send();
        t.get().says("one").is_hit();
    });
}

#[test]
fn an_unsafe_request_invalidates_every_variant() {
    // "remove all stored responses whose target URI matches".
    let t = Test::new();
    t.origin_says(|request, _| {
        let own = request.field("x-a").unwrap_or("0").to_owned();
        fresh(&own).fields("vary: x-a")
    });
    for value in ["1", "2", "3"] {
        t.ask("GET").field("x-a", value).send().says(value);
        t.ask("GET").field("x-a", value).send().says(value).is_hit();
    }
    t.origin(Reply::new(204));
    t.ask("DELETE").send().has_status(204);
    t.origin(fresh("new").fields("vary: x-a"));
    for value in ["1", "2", "3"] {
        t.ask("GET")
            .field("x-a", value)
            .send()
            .says("new")
            .is_forwarded();
    }
}

#[test]
fn an_unsafe_request_invalidates_parts_too() {
    let t = Test::new();
    let part = Reply::new(206).body("0123").control("max-age=600");
    t.origin(part.fields("content-range: bytes 0-3/10\netag: \"a\""));
    t.get_with("range: bytes=0-3").has_status(206);
    t.get_with("range: bytes=0-3").has_status(206).is_hit();
    t.origin(Reply::new(204));
    t.ask("PUT").body("x").send();
    t.origin(fresh("new"));
    t.get_with("range: bytes=0-3").is_forwarded();
}

#[test]
fn an_unsafe_request_leaves_other_targets_alone() {
    // "the target URI"; a query is part of it.
    let t = storing(&["", "?q", "/sub"], "x: y");
    t.origin_at("?other", Reply::new(204));
    t.ask("POST").at("?other").body("x").send().has_status(204);
    for end in ["", "?q", "/sub"] {
        assert!(!is_invalid(&t, end), "{end}");
    }
    let other = t.ask("GET").host("other.test").send();
    other.says("two");
    t.ask("POST")
        .at("?other")
        .host("other.test")
        .send()
        .has_status(204);
    assert!(!is_invalid(&t, ""));
}

#[test]
fn location_and_content_location_of_the_same_origin_are_invalidated() {
    // "MAY invalidate other URIs. In particular, [...] Location and Content-Location"; this cache does.
    each(["location", "content-location"], |field| {
        each(
            [
                "{path}/b",
                "http://{host}{path}/b",
                "{number}/b",
                "./{number}/b",
                "{path}/b#part",
                "//{host}{path}/b",
                "http://{host}:80{path}/b",
            ],
            |form| {
                let t = storing(&["/b"], "x: y");
                let reference = form
                    .replace("{path}", &t.path())
                    .replace("{host}", &t.host())
                    .replace("{number}", t.path().trim_start_matches('/'));
                t.origin_at("", Reply::new(201).field(field, &reference));
                t.ask("POST").body("x").send().has_status(201);
                assert!(is_invalid(&t, "/b"), "{reference}");
            },
        );
    });
}

#[test]
fn location_of_another_origin_is_not_invalidated() {
    // "MUST NOT trigger an invalidation [...] if the origin of the URI to be invalidated differs".
    each(["location", "content-location"], |field| {
        let t = storing(&["/b"], "x: y");
        t.ask("GET").at("/b").host("other.test").send().says("two");
        t.origin_at("/b", fresh("three"));
        let path = t.path();
        let references = [
            format!("http://other.test{path}/b"),
            format!("https://{}{path}/b", t.host()),
            format!("//other.test{path}/b"),
            format!("http://{}:8080{path}/b", t.host()),
            format!("http://www.{}{path}/b", t.host()),
        ];
        for reference in references {
            t.origin_at("", Reply::new(201).field(field, &reference));
            t.ask("POST").body("x").send().has_status(201);
            t.get_at("/b").says("one").is_hit();
            let other = t.ask("GET").at("/b").host("other.test").send();
            other.says("two").is_hit();
        }
    });
}

#[test]
fn location_counts_in_a_non_error_response_to_an_unsafe_request_only() {
    // Both are conditions of the same sentence.
    let t = storing(&["/b"], "x: y");
    let location = t.path() + "/b";
    t.origin_at("", Reply::new(404).field("location", &location));
    t.ask("POST").body("x").send().has_status(404);
    t.origin_at("", Reply::new(301).field("location", &location));
    t.get().has_status(301);
    t.ask("OPTIONS").send().has_status(301);
    assert!(!is_invalid(&t, "/b"));
}

#[test]
fn a_response_that_was_on_its_way_is_not_stored_after_an_invalidation() {
    // The response may be of before the change; what asks afterwards must get what is new.
    let t = Test::new();
    let gate = Gate::default();
    t.origin(fresh("old").behind(&gate));
    thread::scope(|scope| {
        let early = scope.spawn(|| t.get());
        t.wait_for_calls(1);
        t.origin(Reply::new(204));
        t.ask("PUT").body("x").send().has_status(204);
        t.origin(fresh("new"));
        t.get().says("new");
        gate.open();
        early.join().expect("it is answered").says("old");
    });
    t.get().says("new").is_hit();
}

#[test]
fn an_unsafe_request_is_written_through() {
    // §4: "a cache is not allowed to generate a reply to such a request".
    each(UNSAFE, |method| {
        let t = Test::new();
        t.origin(fresh("one"));
        t.get().says("one");
        t.origin_says(|request, _| Reply::ok(request.text()));
        let answer = t
            .ask(method)
            .body("sent")
            .field("if-none-match", "*")
            .send();
        answer.says("sent").is_forwarded();
        assert_eq!(t.last().field("if-none-match"), Some("*"));
    });
}

#[test]
fn a_group_named_by_a_response_to_an_unsafe_request_is_invalidated() {
    // RFC 9875 §3: MAY; this cache does.
    each(
        [
            ("\"news\"", "\"news\""),
            ("\"a\", \"news\" , \"b\"", "\"x\", \"news\""),
            ("\"news\";x=1", "\"news\";y"),
            ("\"a b, c\"", "\"a b, c\""),
            ("\"a\\\"b\"", "\"a\\\"b\""),
        ],
        |(groups, invalidated)| {
            let t = Test::new();
            t.origin_at("/in", fresh("one").field("cache-groups", groups));
            t.get_at("/in").says("one");
            t.origin_at("/in", fresh("two"));
            t.origin_at(
                "/do",
                Reply::new(204).field("cache-group-invalidation", invalidated),
            );
            t.ask("POST").at("/do").body("x").send().has_status(204);
            assert!(is_invalid(&t, "/in"));
        },
    );
}

#[test]
fn groups_are_told_apart() {
    // RFC 9875 §2.1: "compared character-by-character (case sensitive)"; RFC 9651: a List of Strings,
    // or nothing.
    each(
        [
            ("\"news\"", "\"News\""),
            ("\"news\"", "\"new\""),
            ("\"news\"", "\"\""),
            ("\"news\"", "news"),
            ("news", "\"news\""),
            ("news", "news"),
            ("\"news\"", "\"news\","),
            ("\"news\"", "\"news\" \"b\""),
            ("\"news\", b c", "\"news\""),
            ("\"news\"", "(\"news\")"),
            ("\"news\"", ""),
        ],
        |(groups, invalidated)| {
            let t = storing(&["/in"], &format!("cache-groups: {groups}"));
            t.origin_at(
                "/do",
                Reply::new(204).field("cache-group-invalidation", invalidated),
            );
            t.ask("POST").at("/do").body("x").send().has_status(204);
            assert!(!is_invalid(&t, "/in"));
        },
    );
}

#[test]
fn groups_may_stand_on_several_lines() {
    // RFC 9651 §4.2: lines are joined before they are parsed.
    let t = storing(&["/in"], "cache-groups: \"a\"\ncache-groups: \"b\"");
    let lines = "cache-group-invalidation: \"x\"\ncache-group-invalidation: \"b\"";
    t.origin_at("/do", Reply::new(204).fields(lines));
    t.ask("POST").at("/do").body("x").send();
    assert!(is_invalid(&t, "/in"));
}

#[test]
fn many_long_groups_are_heeded() {
    // RFC 9875 §2, §3: 32 groups of 32 characters at least.
    let names: Vec<_> = (0..32).map(|n| format!("\"{n:032}\"")).collect();
    for name in [&names[0], &names[31]] {
        let t = storing(&["/in"], &format!("cache-groups: {}", names.join(", ")));
        t.origin_at(
            "/do",
            Reply::new(204).field("cache-group-invalidation", name),
        );
        t.ask("POST").at("/do").body("x").send();
        assert!(is_invalid(&t, "/in"));
    }
    let t = storing(&["/in"], &format!("cache-groups: {}", names[7]));
    t.origin_at(
        "/do",
        Reply::new(204).field("cache-group-invalidation", &names.join(", ")),
    );
    t.ask("POST").at("/do").body("x").send();
    assert!(is_invalid(&t, "/in"));
}

#[test]
fn a_group_is_not_invalidated_by_a_safe_request() {
    // RFC 9875 §3: "MUST be ignored on responses to requests that have a safe method".
    let t = storing(&["/in"], "cache-groups: \"news\"");
    t.origin_at(
        "/do",
        fresh("x").field("cache-group-invalidation", "\"news\""),
    );
    for method in ["GET", "HEAD", "OPTIONS"] {
        t.ask(method).at("/do").send().has_status(200);
    }
    assert!(!is_invalid(&t, "/in"));
}

#[test]
fn a_group_is_not_invalidated_by_an_error() {
    // RFC 9111 §4.4, which RFC 9875 §2.2.1 is about.
    each([400, 404, 500, 503], |status| {
        let t = storing(&["/in"], "cache-groups: \"news\"");
        t.origin_at(
            "/do",
            Reply::new(*status).field("cache-group-invalidation", "\"news\""),
        );
        t.ask("POST").at("/do").body("x").send().has_status(*status);
        assert!(!is_invalid(&t, "/in"));
    });
}

#[test]
fn a_group_is_of_one_origin() {
    // RFC 9875 §2.1: "They both share the same URI origin".
    let t = storing(&["/in"], "cache-groups: \"news\"");
    t.origin_at(
        "/do",
        Reply::new(204).field("cache-group-invalidation", "\"news\""),
    );
    let elsewhere = t.ask("POST").at("/do").host("other.test").body("x");
    elsewhere.send().has_status(204);
    assert!(!is_invalid(&t, "/in"));
}

#[test]
fn what_shares_a_group_with_what_is_invalidated_is_invalidated_but_no_further() {
    // RFC 9875 §2.2.1: MAY, and done; "this mechanism does not cascade".
    let t = Test::new();
    for (end, groups) in [("/a", "\"x\""), ("/b", "\"x\", \"y\""), ("/c", "\"y\"")] {
        t.origin_at(end, fresh("one").field("cache-groups", groups));
        t.get_at(end).says("one");
        t.origin_at(end, fresh("two").field("cache-groups", groups));
    }
    t.ask("PUT").at("/a").body("x").send().has_status(200);
    assert!(is_invalid(&t, "/b"));
    assert!(!is_invalid(&t, "/c"));
}

#[test]
fn groups_are_passed_on_as_they_came() {
    // RFC 9111 §3.1: fields as others.
    let t = Test::new();
    t.origin(fresh("one").field("cache-groups", "\"a\" , \"b\";x"));
    t.get().has("cache-groups", "\"a\" , \"b\";x");
    t.get().is_hit().has("cache-groups", "\"a\" , \"b\";x");
    t.origin(Reply::new(200).field("cache-group-invalidation", "\"a\""));
    t.ask("POST")
        .body("x")
        .send()
        .has("cache-group-invalidation", "\"a\"");
}

#[test]
fn a_target_is_the_same_however_it_is_written() {
    // RFC 9110 §4.2.3: a host is case-insensitive, and 80 is the default; RFC 9112 §3.2.2.
    each(["{host}", "{HOST}", "{host}:80"], |form| {
        let t = storing(&["/in"], "x: y");
        let host = t.host();
        let other = form
            .replace("{host}", &host)
            .replace("{HOST}", &host.to_uppercase());
        t.origin_at("/in", Reply::new(204));
        t.ask("PUT").at("/in").host(&other).send().has_status(204);
        t.origin_at("/in", fresh("two"));
        assert!(is_invalid(&t, "/in"));
        t.origin_at("/in", Reply::new(204));
        let absolute = format!("http://{other}{}/in", t.path());
        t.ask("DELETE").target(&absolute).send().has_status(204);
        t.origin_at("/in", fresh("three"));
        t.get_at("/in").says("three");
    });
}

#[test]
fn a_group_may_be_given_by_a_304() {
    // RFC 9111 §3.2: the field is of the stored response now.
    let t = Test::new();
    let reply = Reply::ok("one").control("max-age=10");
    t.origin_at(
        "/in",
        reply.fields("age: 30\netag: \"a\"\ncache-groups: \"old\""),
    );
    t.get_at("/in").says("one");
    let reply = Reply::new(304).control("max-age=600");
    t.origin_at(
        "/in",
        reply.fields("age: 0\netag: \"a\"\ncache-groups: \"new\""),
    );
    t.get_at("/in").says("one");
    t.get_at("/in").says("one").is_hit();
    t.origin_at(
        "/do",
        Reply::new(204).field("cache-group-invalidation", "\"new\""),
    );
    t.ask("POST").at("/do").body("x").send();
    t.origin_at("/in", fresh("two"));
    assert!(is_invalid(&t, "/in"));
}

#[test]
fn a_group_of_each_variant_counts() {
    // RFC 9875 §2.1: it is the stored response that has the field.
    let t = Test::new();
    t.origin_says(|request, _| {
        let own = request.field("x-a").unwrap_or("0").to_owned();
        let reply = fresh(&own).fields("vary: x-a");
        reply.field("cache-groups", &format!("\"{own}\""))
    });
    t.get_with("x-a: 1").says("1");
    t.get_with("x-a: 2").says("2");
    t.origin_at(
        "/do",
        Reply::new(204).field("cache-group-invalidation", "\"1\""),
    );
    t.ask("POST").at("/do").body("x").send();
    t.get_with("x-a: 1").says("1").is_forwarded();
    t.get_with("x-a: 2").says("2").is_hit();
}
