//! What a client gets out of the store, and what it can ask of it (RFC 9111 §4, §5.2.1).

use crate::support::{Answer, Reply, Test, each};
use std::{thread, time::Duration};

/// A test whose response is stored, and was of that age when it came.
fn stored(control: &str, age: u32) -> Test {
    let t = Test::new();
    let reply = Reply::ok("one").control(control).field("etag", "\"a\"");
    t.origin(reply.field("age", &age.to_string()));
    t.get().says("one");
    t.was_called(1);
    t
}

#[test]
fn a_hit_has_its_age() {
    // §4: "MUST generate an Age header field, replacing any present".
    each(
        [
            ("age: 0", 0),
            ("age: 30", 30),
            ("age: 30, 50", 30),
            ("age: 30\nage: 50", 30),
            ("date: {-40}", 40),
            ("date: {-40}\nage: 30", 40),
            ("date: {-30}\nage: 40", 40),
            ("x: 1", 0),
            ("age: nonsense", 0),
        ],
        |(lines, least)| {
            let t = Test::new();
            t.origin(Reply::ok("one").control("max-age=600").fields(lines));
            t.get().says("one");
            let age = t.get().says("one").is_hit().number("age");
            assert!((*least..=least + 5).contains(&age), "{age}");
        },
    );
}

#[test]
fn a_response_that_just_came_has_the_age_it_came_with() {
    // §5.1: Age tells of caches before; RFC 9110 §7.6: what is forwarded is left alone.
    let t = Test::new();
    t.origin(Reply::ok("one").control("max-age=600").field("age", "30"));
    t.get().says("one").has("age", "30");
    let t = Test::new();
    t.origin(Reply::ok("one").control("max-age=600"));
    t.get().says("one").has_no("age");
}

#[test]
fn fields_are_the_same_to_the_byte_out_of_the_store() {
    // §3.1: all fields are stored, the unknown included; nothing allows to change them.
    each(
        [
            "date: {-10}\nexpires: {+600}\nlast-modified: {-100}",
            "date: {rfc850-10}\nexpires: {asctime+600}\nlast-modified: {rfc850-1000}",
            "expires: 0\ncache-control: max-age=60",
            "expires:   Fri,  never",
            "etag: W/\"a\"\nage-of-wisdom: 1",
            "etag: unquoted",
            "cache-control: Max-Age=60 ,foo=\"BAR, \\\"q\\\"\" , ,PUBLIC",
            "vary: Accept-Language ,accept-ENCODING",
            "content-type: Text/HTML;  charset=\"UTF-8\"",
            "content-language: de-AT",
            "content-location: ../else?where",
            "warning: 110 - \"stale\"",
            "pragma: no-cache",
            "x-unknown: a, b;c=d , \"e\"",
            "x-empty:",
            "www-authenticate: Basic realm=\"x\"",
            "via: 1.0 fred",
            "link: </a>; rel=preload, </b>; rel=prefetch",
            "accept-ranges: none",
            "content-encoding: gzip",
            "clear-site-data: \"cache\"",
            "access-control-allow-origin: https://a.test",
        ],
        |lines| {
            let t = Test::new();
            let mut reply = Reply::ok("one").fields(lines);
            if !lines.contains("cache-control") {
                reply = reply.control("max-age=6000");
            }
            t.origin(reply.clone());
            let (miss, hit) = (t.get().says("one"), t.get().says("one").is_hit());
            let told = reply.told();
            for (name, _) in told.iter() {
                assert_eq!(miss.fields.all(name), told.all(name), "{name}");
                assert_eq!(hit.fields.all(name), told.all(name), "{name}");
            }
            assert_eq!(sorted(&miss), sorted(&hit));
        },
    );
}

fn sorted(answer: &Answer) -> Vec<(&str, &str)> {
    let mut fields = answer.end_to_end();
    fields.sort_unstable();
    fields
}

#[test]
fn fields_keep_their_order_out_of_the_store() {
    // RFC 9110 §5.3: it is significant within a name only; this cache keeps it as well among names.
    let t = Test::new();
    let lines: Vec<_> = (0..20).map(|n| format!("x-{}: {n}", n * 7 % 20)).collect();
    t.origin(
        Reply::ok("one")
            .control("max-age=600")
            .fields(&lines.join("\n")),
    );
    let (miss, hit) = (t.get().says("one"), t.get().says("one").is_hit());
    let own =
        |(name, value): &(&str, &str)| name.starts_with("x-").then(|| format!("{name}: {value}"));
    let kept: Vec<_> = miss.end_to_end().iter().filter_map(own).collect();
    assert_eq!(kept, lines);
    assert_eq!(miss.end_to_end(), hit.end_to_end());
}

#[test]
fn a_date_is_added_once_and_stored() {
    // RFC 9110 §6.6.1: "MUST record the time it was received and append a corresponding Date".
    let t = Test::new();
    t.origin(Reply::ok("one").undated().control("max-age=60"));
    let miss = t.get().says("one");
    let date = miss.field("date").expect("it has a date").to_owned();
    t.get().says("one").is_hit().has("date", &date);
}

#[test]
fn fields_that_repeat_keep_their_order() {
    // RFC 9110 §5.3: "MUST NOT change the order of these field line values".
    let t = Test::new();
    let lines = "x-a: 3\nx-b: 1\nx-a: 1\nset-cookie: z=1\nx-a: 2\nset-cookie: a=1\nx-a: 1";
    t.origin(Reply::ok("one").control("max-age=60").fields(lines));
    for answer in [t.get(), t.get().is_hit()] {
        assert_eq!(answer.fields.all("x-a"), ["3", "1", "2", "1"]);
        assert_eq!(answer.fields.all("set-cookie"), ["z=1", "a=1"]);
    }
}

#[test]
fn bodies_are_the_same_to_the_byte_out_of_the_store() {
    let every_byte: Vec<u8> = (0..=255).collect();
    let long: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for body in [
        every_byte,
        long,
        b"\r\n\r\n0\r\n\r\n".to_vec(),
        vec![0; 70_000],
    ] {
        let sized = Reply::ok(body.clone()).control("max-age=60");
        let framings = [sized.clone(), sized.clone().chunked(), sized.until_close()];
        for reply in framings {
            let t = Test::new();
            t.origin(reply);
            for answer in [t.get(), t.get().is_hit()] {
                assert!(answer.is_whole && answer.body == body, "{answer}");
            }
        }
    }
}

#[test]
fn a_status_is_the_same_out_of_the_store() {
    let t = Test::new();
    t.origin(
        Reply::new(299)
            .reason("Odd")
            .body("one")
            .control("max-age=60"),
    );
    t.get().is(299, "one");
    t.get().is(299, "one").is_hit();
}

#[test]
fn a_get_answers_a_later_head() {
    // RFC 9110 §9.3.1, §9.3.2: the same fields, and no content.
    each(
        [
            Reply::ok("four"),
            Reply::ok("four").chunked(),
            Reply::ok("four").until_close(),
        ],
        |reply| {
            let t = Test::new();
            t.origin(reply.clone().control("max-age=60").field("x", "y"));
            t.get().says("four");
            let head = t.head().is_hit().is(200, "").has("x", "y");
            assert!(
                ["4"].contains(&head.field("content-length").unwrap_or("4")),
                "{head}"
            );
            // The connection is in order: what comes next is the next response.
            let mut connection = t.connect();
            let [head, get] = ["HEAD", "GET"].map(|method| t.ask(method).message());
            connection.write([head, get].concat());
            connection.answer("HEAD").is(200, "");
            connection.answer("GET").says("four");
            t.was_called(1);
        },
    );
}

#[test]
fn a_client_may_limit_the_age() {
    // §5.2.1.1: optional, and honoured here.
    let t = stored("max-age=600", 30);
    each(
        [
            "max-age=100",
            "MAX-AGE=100",
            "max-age=600",
            "max-age=\"100\"",
        ],
        |control| {
            t.ask("GET").control(control).send().says("one").is_hit();
        },
    );
    t.was_called(1);
    each(
        ["max-age=0", "max-age=20", "max-age=20, max-age=100"],
        |control| {
            let t = stored("max-age=600", 30);
            t.ask("GET")
                .control(control)
                .send()
                .says("one")
                .is_forwarded();
            t.was_called(2);
        },
    );
}

#[test]
fn a_client_may_ask_for_what_stays_fresh() {
    // §5.2.1.3: optional, and honoured here.
    let t = stored("max-age=600", 100);
    each(
        ["min-fresh=0", "min-fresh=100", "min-fresh=400"],
        |control| {
            t.ask("GET").control(control).send().says("one").is_hit();
        },
    );
    t.was_called(1);
    each(
        [
            "min-fresh=501",
            "min-fresh=600",
            "min-fresh=99999999999999999999",
        ],
        |control| {
            let t = stored("max-age=600", 100);
            t.ask("GET")
                .control(control)
                .send()
                .says("one")
                .is_forwarded();
            t.was_called(2);
        },
    );
}

#[test]
fn a_client_may_take_what_is_stale() {
    // §5.2.1.2: by a number of seconds, or any.
    let t = stored("max-age=10", 30);
    each(
        [
            "max-stale",
            "MAX-STALE",
            "max-stale=100",
            "max-stale=\"100\"",
            "max-age=100, max-stale=100",
        ],
        |control| {
            let answer = t.ask("GET").control(control).send().says("one").is_hit();
            assert!(answer.number("age") >= 30, "{answer}");
        },
    );
    t.was_called(1);
    each(
        ["max-stale=5", "max-stale=0", "max-age=20, max-stale", "foo"],
        |control| {
            let t = stored("max-age=10", 30);
            t.ask("GET")
                .control(control)
                .send()
                .says("one")
                .is_forwarded();
            t.was_called(2);
        },
    );
}

#[test]
fn a_client_may_not_take_what_must_be_validated() {
    // §4.2.4: "MUST NOT generate a stale response if it is prohibited by an explicit in-protocol
    // directive".
    each(
        [
            "max-age=10, must-revalidate",
            "max-age=10, proxy-revalidate",
            "s-maxage=10",
            "max-age=10, no-cache",
            "max-age=10, Must-Revalidate",
        ],
        |control| {
            let t = Test::new();
            let reply = Reply::ok("one")
                .control(control)
                .fields("age: 30\netag: \"a\"");
            t.origin(reply);
            t.get().says("one");
            t.ask("GET")
                .control("max-stale")
                .send()
                .says("one")
                .is_forwarded();
            t.was_called(2);
        },
    );
}

#[test]
fn a_client_may_ask_for_validation() {
    // §5.2.1.4.
    each(
        [
            "no-cache",
            "No-Cache",
            "max-age=100, no-cache",
            "no-cache, max-stale",
        ],
        |control| {
            let t = stored("max-age=600", 0);
            t.origin(Reply::ok("two").control("max-age=600"));
            t.ask("GET")
                .control(control)
                .send()
                .says("two")
                .is_forwarded();
            t.get().says("two").is_hit();
            t.was_called(2);
        },
    );
}

#[test]
fn pragma_asks_for_validation_where_there_is_no_cache_control() {
    // §5.4: deprecated; what it was for is kept.
    let t = stored("max-age=600", 0);
    t.get_with("pragma: no-cache").says("one").is_forwarded();
    t.get_with("pragma: no-cache\ncache-control: max-age=100")
        .says("one")
        .is_hit();
    t.get_with("pragma: foo").says("one").is_hit();
    t.was_called(2);
}

#[test]
fn a_client_may_want_what_is_stored_or_nothing() {
    // §5.2.1.7: "either a stored response consistent with the other constraints of the request or a 504".
    let t = Test::new();
    t.origin(Reply::ok("one").control("max-age=600"));
    t.ask("GET")
        .control("only-if-cached")
        .send()
        .has_status(504);
    t.was_called(0);
    t.get().says("one");
    t.ask("GET")
        .control("only-if-cached")
        .send()
        .says("one")
        .is_hit();
    t.ask("GET")
        .control("Only-If-Cached")
        .send()
        .says("one")
        .is_hit();
    t.ask("GET")
        .control("only-if-cached, no-cache")
        .send()
        .has_status(504);
    t.ask("GET")
        .control("only-if-cached, min-fresh=1000")
        .send()
        .has_status(504);
    t.was_called(1);

    let stale = stored("max-age=10", 30);
    stale
        .ask("GET")
        .control("only-if-cached")
        .send()
        .has_status(504);
    stale
        .ask("GET")
        .control("only-if-cached, max-stale")
        .send()
        .says("one")
        .is_hit();
    stale.was_called(1);
}

#[test]
fn unknown_request_directives_are_ignored() {
    // §5.2.3.
    let t = stored("max-age=600", 0);
    each(
        [
            "foo",
            "foo=bar",
            "foo=\"no-cache, max-age=0\"",
            ",",
            "no-transform",
        ],
        |control| {
            t.ask("GET").control(control).send().says("one").is_hit();
        },
    );
    t.was_called(1);
}

#[test]
fn cache_directives_go_through_in_both_directions() {
    // §5.2: "MUST pass cache directives through in forwarded messages".
    let t = Test::new();
    let control = "max-age=60 , Foo=\"bar\", community=\"UCI\"";
    t.origin(Reply::ok("one").control(control));
    let asked = "max-age=100, Bar=\"baz\", min-fresh=1";
    t.ask("GET")
        .control(asked)
        .send()
        .has("cache-control", control);
    assert_eq!(t.last().field("cache-control"), Some(asked));
    t.get().is_hit().has("cache-control", control);
}

#[test]
fn every_target_has_a_response_of_its_own() {
    // §4: "the presented target URI and that of the stored response match".
    let t = Test::new();
    t.origin_says(|request, _| Reply::ok(request.target.clone()).control("max-age=60"));
    let ends = [
        "", "?", "?a", "?a=", "?a=1", "?A=1", "?a=1&b=2", "?b=2&a=1", "?a=1&a=1", "/", "/a", "/A",
        "/a/", "//a", "/a;x", "/%61", "?a=%31", "/a?b?c", "/a%3Fb", "/.%2F",
    ];
    let own = |end: &str| t.path() + end;
    each(ends, |end| drop(t.get_at(end).says(&own(end))));
    t.was_called(ends.len());
    each(ends, |end| drop(t.get_at(end).says(&own(end)).is_hit()));
    t.was_called(ends.len());
}

#[test]
fn every_host_has_a_response_of_its_own() {
    // §4, RFC 9110 §7.1: the target URI has an authority.
    let t = Test::new();
    t.origin_says(|request, _| {
        let host = request.field("host").unwrap_or_default().to_owned();
        Reply::ok(host).control("max-age=60")
    });
    let hosts = ["a.test", "b.test", "a.test:8080", "www.a.test"];
    each(hosts, |host| {
        drop(t.ask("GET").host(host).send().says(host))
    });
    each(hosts, |host| {
        drop(t.ask("GET").host(host).send().says(host).is_hit())
    });
    t.was_called(hosts.len());
    // RFC 9110 §4.2.3: the same authority.
    t.ask("GET").host("A.Test").send().says("a.test").is_hit();
    t.ask("GET")
        .host("a.test:80")
        .send()
        .says("a.test")
        .is_hit();
}

#[test]
fn only_get_and_head_are_answered_out_of_the_store() {
    // §4: "the request method associated with the stored response allows it".
    each(
        [
            "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY", "FOO", "get",
        ],
        |method| {
            let t = stored("max-age=600", 0);
            t.origin(Reply::ok("other"));
            t.ask(method).send().says("other").is_forwarded();
            t.was_called(2);
        },
    );
}

#[test]
fn a_client_of_http_1_0_is_served_out_of_the_store() {
    // RFC 9110 §2.5: the version is a matter of each hop.
    let t = Test::new();
    t.origin(Reply::ok("one").control("max-age=60").chunked());
    t.get().says("one");
    let answer = t.ask("GET").version("HTTP/1.0").send();
    answer.says("one").is_hit().has_no("transfer-encoding");
    t.was_called(1);
}

#[test]
fn time_passes() {
    // §4.2: `freshness_lifetime > current_age`, and both are in seconds.
    let t = Test::new();
    t.origin(Reply::ok("one").control("max-age=3"));
    t.get().says("one");
    assert!(t.get().says("one").is_hit().number("age") <= 1);
    thread::sleep(Duration::from_millis(1600));
    let later = t.get().says("one").is_hit();
    assert!((1..=2).contains(&later.number("age")), "{later}");
    thread::sleep(Duration::from_millis(1600));
    t.get().says("one").is_forwarded();
    t.was_called(2);
}

#[test]
fn only_if_cached_goes_with_conditions_and_ranges() {
    // §5.2.1.7: "a stored response consistent with the other constraints of the request".
    let t = stored("max-age=600", 0);
    let only = |lines: &str| t.ask("GET").control("only-if-cached").fields(lines).send();
    only("if-none-match: \"a\"").is(304, "").is_hit();
    only("if-none-match: \"b\"").says("one").is_hit();
    only("range: bytes=0-1").is(206, "on").is_hit();
    only("if-match: \"a\"").says("one").is_hit();
    only("if-match: \"b\"").has_status(504);
    t.was_called(1);
}

#[test]
fn only_if_cached_gives_nothing_that_must_be_validated() {
    // §5.2.2.2, §5.2.1.7.
    each(
        [
            "max-age=10, must-revalidate",
            "no-cache",
            "max-age=0, must-revalidate",
        ],
        |control| {
            let t = stored(control, 30);
            t.ask("GET")
                .control("only-if-cached, max-stale")
                .send()
                .has_status(504);
            t.was_called(1);
        },
    );
}

#[test]
fn an_error_does_not_replace_what_is_fresh() {
    // §4.3.3.
    let t = stored("max-age=600", 0);
    t.origin(Reply::new(500).body("broken"));
    t.ask("GET").control("no-cache").send().is(500, "broken");
    t.get().says("one").is_hit();
}

#[test]
fn what_has_no_validator_may_be_taken_stale_too() {
    // §5.2.1.2: the client takes it, and nothing forbids.
    let t = Test::new();
    t.origin(Reply::ok("one").control("max-age=10").field("age", "30"));
    t.get().says("one");
    t.ask("GET")
        .control("max-stale=60")
        .send()
        .says("one")
        .is_hit();
    t.get().says("one").is_forwarded();
}
