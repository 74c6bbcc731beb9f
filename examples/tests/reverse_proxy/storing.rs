//! What is stored, and what of it (RFC 9111 §3).

use crate::support::{Ask, Reply, Test, each};

const FRESH: &str = "max-age=60";

/// Asks twice; whether the second was answered without the origin.
fn is_stored(reply: Reply, ask: impl Fn(Ask) -> Ask) -> bool {
    let t = Test::new();
    t.origin(reply);
    ask(t.ask("GET")).send();
    ask(t.ask("GET")).send();
    t.calls() == 1
}

fn plain(ask: Ask) -> Ask {
    ask
}

#[test]
fn every_final_status_is_stored_where_the_response_says_how_long() {
    // §3: the status need not be known, where there is an explicit lifetime.
    each(
        [
            200, 201, 202, 203, 204, 205, 207, 208, 226, 299, 300, 301, 302, 303, 305, 307, 308,
            399, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 413, 414, 415, 418, 421,
            422, 423, 424, 425, 451, 499, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 599,
        ],
        |status| {
            let t = Test::new();
            t.origin(Reply::new(*status).control(FRESH).field("x-told", "yes"));
            t.get().has_status(*status);
            t.get().has_status(*status).has("x-told", "yes").is_hit();
            t.was_called(1);
        },
    );
}

#[test]
fn statuses_of_rfc_6585_are_never_stored() {
    // RFC 6585 §3, §4, §5, §6: "MUST NOT be stored by a cache".
    each([428, 429, 431, 511], |status| {
        assert!(!is_stored(Reply::new(*status).control(FRESH), plain));
        assert!(!is_stored(
            Reply::new(*status).control("public, s-maxage=60"),
            plain
        ));
    });
}

#[test]
fn what_is_about_a_field_of_one_request_is_not_stored() {
    // RFC 9110 §15.5.13, §15.5.17: about its conditions, or its Range. Those select nothing, so another
    // request would be told of what it never asked.
    each(
        [(412, "if-none-match: \"a\""), (416, "range: bytes=50-")],
        |(status, line)| {
            let t = Test::new();
            t.origin(Reply::new(*status).control(FRESH));
            t.get_with(line).has_status(*status);
            t.origin(Reply::ok("one").control(FRESH));
            t.get().says("one");
        },
    );
}

#[test]
fn a_status_beyond_599_is_passed_on() {
    // RFC 9110 §15: it is invalid, and a client's to make sense of.
    each([600, 799, 999], |status| {
        let t = Test::new();
        t.origin(Reply::new(*status).body("odd"));
        t.get().is(*status, "odd");
    });
}

#[test]
fn a_304_is_not_stored_where_there_is_nothing_to_update() {
    // §3: a 304 has nothing to answer a request with.
    let t = Test::new();
    t.origin(Reply::new(304).control(FRESH).field("etag", "\"a\""));
    t.get_with("if-none-match: \"a\"").has_status(304);
    t.origin(Reply::ok("one").control(FRESH));
    t.get().says("one");
    t.was_called(2);
}

#[test]
fn what_may_not_be_shared_is_not_stored() {
    // §5.2.2.5, §5.2.2.7, also against directives that say otherwise.
    each(
        [
            "no-store, max-age=60",
            "max-age=60, no-store",
            "private, max-age=60",
            "max-age=60, private",
            "NO-STORE, max-age=60",
            "No-Store, max-age=60",
            "Private, max-age=60",
            "PRIVATE, max-age=60",
            "public, no-store, max-age=60",
            "public, private, max-age=60",
            "s-maxage=60, private",
            "s-maxage=60, no-store",
            "immutable, no-store, max-age=60",
            "max-age=60, foo=\"bar\", private",
            "max-age=60,private",
            "max-age=60,,no-store",
        ],
        |control| assert!(!is_stored(Reply::ok("one").control(control), plain)),
    );
}

#[test]
fn a_directive_counts_on_every_line() {
    // §5.2: Cache-Control is a list; its lines are one (RFC 9110 §5.3).
    each(
        ["no-store", "private", "No-Store", "Private", "s-maxage=0"],
        |directive| {
            let before = Reply::ok("one")
                .control(directive)
                .control("max-age=60, public");
            assert!(!is_stored(before, plain));
            let after = Reply::ok("one")
                .control("max-age=60, public")
                .control(directive);
            assert!(!is_stored(after, plain));
        },
    );
}

#[test]
fn nothing_is_stored_without_a_lifetime_or_a_reason_to_guess_one() {
    // §3: none of the last seven; such a response cannot be reused.
    each([200, 404, 302, 500], |status| {
        assert!(!is_stored(Reply::new(*status).body("one"), plain));
    });
}

#[test]
fn fields_that_private_names_are_not_stored() {
    // §5.2.2.7: "MUST NOT store the listed header fields [...] but MAY store the remainder".
    each(
        [
            "private=\"x-mine\"",
            "private=\"X-MINE\"",
            "private=x-mine",
            "Private=\"x-mine\"",
            "private=\"x-other, x-mine\"",
            "private=\"x-other\", private=\"x-mine\"",
            "private=\" x-mine , \"",
        ],
        |directive| {
            let t = Test::new();
            let reply = Reply::ok("one").fields("x-mine: 1\nx-theirs: 2\nx-mine: 3");
            t.origin(reply.control(&format!("max-age=60, {directive}")));
            assert_eq!(t.get().says("one").fields.all("x-mine"), ["1", "3"]);
            t.get()
                .says("one")
                .is_hit()
                .has("x-theirs", "2")
                .has_no("x-mine");
            t.was_called(1);
        },
    );
}

#[test]
fn fields_that_no_cache_names_are_not_reused() {
    // §5.2.2.4: "if the listed header fields are excluded from the subsequent response".
    each(
        [
            "no-cache=\"x-mine\"",
            "no-cache=\"X-Mine\"",
            "No-Cache=x-mine",
            "no-cache=\"x-other,x-mine\"",
        ],
        |directive| {
            let t = Test::new();
            let reply = Reply::ok("one").fields("x-mine: 1\nx-theirs: 2");
            t.origin(reply.control(&format!("max-age=60, {directive}")));
            t.get().says("one").has("x-mine", "1");
            t.get()
                .says("one")
                .is_hit()
                .has("x-theirs", "2")
                .has_no("x-mine");
            t.was_called(1);
        },
    );
}

#[test]
fn a_directive_without_names_goes_before_one_with() {
    // §4.2.1: "the most restrictive directive should be honored".
    each(
        [
            "private=\"x\", private",
            "private, private=\"x\"",
            "private, no-cache=\"x\"",
        ],
        |directives| {
            let control = format!("max-age=60, {directives}");
            assert!(!is_stored(Reply::ok("one").control(&control), plain));
        },
    );
    each(
        ["no-cache=\"x\", no-cache", "no-cache, no-cache=\"x\""],
        |directives| {
            let control = format!("max-age=60, {directives}");
            assert!(!is_stored(Reply::ok("one").control(&control), plain));
        },
    );
}

#[test]
fn must_understand_overrides_no_store_for_a_status_that_is_understood() {
    // §5.2.2.3.
    each(
        [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501],
        |status| {
            let reply = Reply::new(*status).control("must-understand, no-store, max-age=60");
            assert!(is_stored(reply, plain));
            let reply = Reply::new(*status).control("max-age=60, Must-Understand");
            assert!(is_stored(reply, plain));
        },
    );
}

#[test]
fn must_understand_forbids_a_status_that_is_not_understood() {
    // §3, §5.2.2.3.
    each([299, 399, 499, 599], |status| {
        each(
            [
                "must-understand, max-age=60",
                "must-understand, no-store, max-age=60",
                "public, must-understand, s-maxage=60",
            ],
            |control| assert!(!is_stored(Reply::new(*status).control(control), plain)),
        );
    });
}

#[test]
fn must_understand_overrides_nothing_but_no_store() {
    // §5.2.2.3, §5.2.2.7.
    let reply = Reply::ok("one").control("must-understand, no-store, private, max-age=60");
    assert!(!is_stored(reply, plain));
}

#[test]
fn a_response_to_authorization_is_stored_where_it_allows_that() {
    // §3.5: must-revalidate, public, s-maxage.
    let with_credentials = |ask: Ask| ask.field("authorization", "Basic YTpi");
    each(
        [
            "public, max-age=60",
            "s-maxage=60",
            "max-age=60, must-revalidate",
            "max-age=60, Must-Revalidate",
            "max-age=60, PUBLIC",
            "s-maxage=\"60\"",
        ],
        |control| {
            assert!(is_stored(
                Reply::ok("one").control(control),
                with_credentials
            ))
        },
    );
    each(
        [
            "max-age=60",
            "max-age=60, proxy-revalidate",
            "max-age=60, immutable",
            "max-age=60, foo=\"public\"",
            "max-age=60, must-understand",
            "max-age=60, stale-while-revalidate=60",
            "public, private, max-age=60",
            "public, no-store, max-age=60",
        ],
        |control| {
            assert!(!is_stored(
                Reply::ok("one").control(control),
                with_credentials
            ))
        },
    );
    let expires = Reply::ok("one").field("expires", "{+60}");
    assert!(!is_stored(expires, with_credentials));
    let heuristic = Reply::ok("one").field("last-modified", "{-864000}");
    assert!(!is_stored(heuristic, with_credentials));
}

#[test]
fn what_authorization_got_is_given_to_nobody_else() {
    // §3.5: also not to one without credentials.
    let t = Test::new();
    t.origin_says(|request, _| {
        let name = request
            .field("authorization")
            .unwrap_or("nobody")
            .to_owned();
        Reply::ok(name).control(FRESH)
    });
    t.get_with("authorization: alice").says("alice");
    t.get_with("authorization: bob").says("bob");
    t.get().says("nobody");
    t.was_called(3);
}

#[test]
fn what_authorization_may_share_is_given_to_all() {
    // §3.5.
    let t = Test::new();
    t.origin(Reply::ok("all").control("public, max-age=60"));
    t.get_with("authorization: alice").says("all");
    t.get_with("authorization: bob").says("all").is_hit();
    t.get().says("all").is_hit();
    t.was_called(1);
}

#[test]
fn what_was_got_without_authorization_is_given_to_those_with() {
    // §3.5 restricts responses to requests that had it, and no others.
    let t = Test::new();
    t.origin(Reply::ok("all").control(FRESH));
    t.get().says("all");
    t.get_with("authorization: alice").says("all").is_hit();
    t.was_called(1);
}

#[test]
fn a_cookie_in_the_request_is_no_matter() {
    // §7.3: caches heed Cache-Control, not Cookie.
    let t = Test::new();
    t.origin(Reply::ok("all").control(FRESH));
    t.get_with("cookie: sid=alice").says("all");
    t.get_with("cookie: sid=bob").says("all").is_hit();
}

#[test]
fn set_cookie_is_stored_as_every_field() {
    // §7.3: "does not inhibit caching"; §3.1: all fields are stored.
    let t = Test::new();
    t.origin(
        Reply::ok("one")
            .control(FRESH)
            .fields("set-cookie: a=1\nset-cookie: b=2, c"),
    );
    t.get().says("one");
    let hit = t.get().says("one").is_hit();
    assert_eq!(hit.fields.all("set-cookie"), ["a=1", "b=2, c"]);
}

#[test]
fn fields_of_one_hop_are_neither_passed_nor_stored() {
    // §3.1, RFC 9110 §7.6.1.
    let t = Test::new();
    let lines = "connection: x-hop, X-Jump\nx-hop: 1\nx-jump: 2\nkeep-alive: timeout=5\n\
                 proxy-connection: keep-alive\nupgrade: h2c\nx-stays: 3";
    t.origin(Reply::ok("one").control(FRESH).fields(lines));
    for answer in [t.get(), t.get().is_hit()] {
        let gone = [
            "x-hop",
            "x-jump",
            "keep-alive",
            "proxy-connection",
            "upgrade",
        ];
        let answer = gone
            .into_iter()
            .fold(answer, |answer, name| answer.has_no(name));
        answer.says("one").has("x-stays", "3");
    }
}

#[test]
fn connection_cannot_hide_cache_control() {
    // RFC 9110 §7.6.1: it "is never appropriate as a connection option".
    let reply = Reply::ok("one").fields("connection: cache-control\ncache-control: no-store");
    assert!(!is_stored(reply.field("expires", "{+60}"), plain));
}

#[test]
fn fields_between_proxies_are_not_stored() {
    // §3.1: "MUST NOT be stored".
    let t = Test::new();
    let lines = "proxy-authenticate: Basic realm=x\nproxy-authentication-info: a=b\n\
                 proxy-authorization: Basic YTpi\nx-stays: 3";
    t.origin(Reply::ok("one").control(FRESH).fields(lines));
    t.get().says("one");
    let hit = t.get().says("one").is_hit().has("x-stays", "3");
    hit.has_no("proxy-authenticate")
        .has_no("proxy-authentication-info")
        .has_no("proxy-authorization");
}

#[test]
fn trailers_do_not_become_fields() {
    // §3.1: "MUST NOT combine trailer fields with header fields". A response that has some need not be
    // stored; this cache does not.
    let t = Test::new();
    let reply = Reply::ok("one").control(FRESH);
    t.origin(reply.trailers("x-late: 1\ncache-control: no-store"));
    for _ in 0..2 {
        let answer = t.get().says("one").has_no("x-late");
        answer.has("cache-control", FRESH);
    }
}

#[test]
fn a_request_may_forbid_to_store_its_response() {
    // §5.2.1.5.
    each(
        [
            "no-store",
            "No-Store",
            "max-age=60, no-store",
            "foo=\"a\", no-store",
        ],
        |control| {
            let t = Test::new();
            t.origin(Reply::ok("one").control(FRESH));
            t.ask("GET").control(control).send().says("one");
            t.get().says("one");
            t.was_called(2);
        },
    );
}

#[test]
fn a_request_may_not_forbid_what_is_stored_already() {
    // §5.2.1.5: "the no-store request directive does not apply to the already stored response".
    let t = Test::new();
    t.origin(Reply::ok("one").control(FRESH));
    t.get().says("one");
    t.ask("GET").control("no-store").send().says("one");
    t.get().says("one").is_hit();
}

#[test]
fn only_get_head_and_post_have_responses_to_store() {
    // RFC 9110 §9.2.3: "a method definition that does not do so cannot be cached".
    each(
        [
            "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "QUERY", "get", "FOO",
        ],
        |method| {
            let t = Test::new();
            t.origin_says(|_, n| Reply::ok(n.to_string()).control("public, max-age=60"));
            t.ask(method).send().says("1");
            t.ask(method).send().says("2");
            t.get().says("3");
            t.was_called(3);
        },
    );
}

#[test]
fn a_response_to_post_answers_a_later_get() {
    // RFC 9110 §9.3.3: with an explicit lifetime, and a Content-Location that is the target.
    each(["/{}", "http://{host}/{}"], |form| {
        each(
            [
                "cache-control: max-age=60",
                "expires: {+60}",
                "cache-control: s-maxage=60",
            ],
            |line| {
                let t = Test::new();
                let location = form.replace("/{}", &t.path()).replace("{host}", &t.host());
                t.origin(
                    Reply::ok("posted")
                        .field("content-location", &location)
                        .fields(line),
                );
                t.ask("POST").body("x").send().says("posted");
                t.get().says("posted").is_hit();
                t.head().has_status(200).is_hit();
                t.was_called(1);
            },
        );
    });
}

#[test]
fn a_response_to_post_answers_no_post() {
    // RFC 9110 §9.3.3, RFC 9111 §4: unsafe requests MUST be written through.
    let t = Test::new();
    t.origin(
        Reply::ok("posted")
            .field("content-location", &t.path())
            .control(FRESH),
    );
    for _ in 0..2 {
        t.ask("POST").body("x").send().says("posted").is_forwarded();
    }
    t.was_called(2);
}

#[test]
fn a_response_to_post_is_otherwise_not_stored() {
    // RFC 9110 §9.3.3: no lifetime but a guessed one, no Content-Location, or another one.
    let t = Test::new();
    let path = t.path();
    let host = t.host();
    each(
        [
            "cache-control: max-age=60".to_owned(),
            format!("content-location: {path}\nlast-modified: {{-864000}}"),
            format!("content-location: {path}\ncache-control: public"),
            format!("content-location: {path}/other\ncache-control: max-age=60"),
            format!("content-location: {path}?q\ncache-control: max-age=60"),
            format!("content-location: http://other.test{path}\ncache-control: max-age=60"),
            format!("content-location: https://{host}{path}\ncache-control: max-age=60"),
            format!("content-location: {path}\ncache-control: no-store, max-age=60"),
            format!("content-location: {path}\ncache-control: private, max-age=60"),
            format!("content-location: {path}\ncache-control: max-age=0"),
        ],
        |lines| {
            let before = t.calls();
            t.origin(Reply::ok("posted").fields(lines));
            t.ask("POST").body("x").send().says("posted");
            t.origin(Reply::ok("got").control("no-store"));
            t.get().says("got");
            t.was_called(before + 2);
        },
    );
}

#[test]
fn a_response_to_head_answers_no_get() {
    // RFC 9110 §9.3.2: there is nothing to answer with.
    let t = Test::new();
    t.origin(Reply::ok("one").control(FRESH));
    t.head().has_status(200);
    t.get().says("one");
    t.get().says("one").is_hit();
    t.was_called(2);
}

#[test]
fn a_response_with_a_body_that_is_empty_is_stored() {
    // §3: nothing says otherwise.
    each(
        [Reply::new(200), Reply::new(200).chunked(), Reply::new(204)],
        |reply| {
            let t = Test::new();
            t.origin(reply.clone().control(FRESH));
            let status = t.get().status;
            t.get().is(status, "").is_hit();
        },
    );
}

#[test]
fn what_authorization_stored_by_must_revalidate_is_validated_when_stale() {
    // §3.5: "and the cache conforms to the requirements of that directive".
    each(["max-age=10, must-revalidate", "s-maxage=10"], |control| {
        let t = Test::new();
        let reply = Reply::ok("one").control(control);
        t.origin(reply.fields("age: 30\netag: \"a\""));
        t.get_with("authorization: alice").says("one");
        t.origin(Reply::hang_up());
        t.get_with("authorization: alice").has_status(502);
        t.get().has_status(502);
    });
}

#[test]
fn fields_that_private_names_are_not_stored_of_a_304_either() {
    // §3.2, §3.1: fields excepted from storage are not updated.
    let t = Test::new();
    let control = "private=\"x-mine\"";
    let reply = Reply::ok("one").control(&format!("max-age=10, {control}"));
    t.origin(reply.fields("age: 30\netag: \"a\"\nx-mine: 1"));
    t.get_with("x: alice").has("x-mine", "1");
    let reply = Reply::new(304).control(&format!("max-age=600, {control}"));
    t.origin(reply.fields("age: 0\netag: \"a\"\nx-mine: 2"));
    assert_ne!(t.get_with("x: bob").says("one").field("x-mine"), Some("1"));
    t.get_with("x: carol").says("one").is_hit().has_no("x-mine");
}

#[test]
fn fields_that_no_cache_names_are_those_of_the_validation() {
    // §5.2.2.4: "updating or removing those fields".
    let t = Test::new();
    let control = "max-age=10, no-cache=\"x-mine\"";
    t.origin(
        Reply::ok("one")
            .control(control)
            .fields("age: 30\netag: \"a\"\nx-mine: 1"),
    );
    t.get().has("x-mine", "1");
    t.origin(Reply::new(304).fields("etag: \"a\"\nx-mine: 2"));
    assert_ne!(t.get().says("one").field("x-mine"), Some("1"));
    t.get().says("one").is_hit().has_no("x-mine");
}

#[test]
fn a_long_target_is_a_target() {
    // RFC 9110 §4.1: 8000 octets ought to be supported.
    let t = Test::new();
    t.origin_says(|request, _| {
        let end = request.target.len();
        Reply::ok(end.to_string()).control(FRESH)
    });
    for length in [4_000, 7_900] {
        let end = format!("?{}", "x".repeat(length));
        let whole = t.path().len() + end.len();
        t.get_at(&end).says(&whole.to_string());
        t.get_at(&end).says(&whole.to_string());
    }
}

#[test]
fn a_target_with_an_authority_is_the_same_target() {
    // RFC 9112 §3.2.2: the authority of the target goes before Host.
    let t = Test::new();
    t.origin(Reply::ok("one").control(FRESH));
    t.get().says("one");
    let absolute = format!("http://{}{}", t.host(), t.path());
    let asked = |target: &str| t.ask("GET").target(target).host("other.test").send();
    asked(&absolute).says("one").is_hit();
    t.was_called(1);
    asked(&absolute.replace(&t.host(), "third.test"))
        .says("one")
        .is_forwarded();
    assert_eq!(t.last().field("host"), Some("third.test"));
}
