//! Which of several stored responses answers (RFC 9111 §4.1, RFC 9110 §12.5.5).

use crate::support::{Reply, Test, each};

/// Whether what the first request was answered with answers the second, under this Vary.
fn matches(vary: &str, first: &str, second: &str) -> bool {
    let t = Test::new();
    t.origin(Reply::ok("one").control("max-age=600").fields(vary));
    t.get_with(first).says("one");
    t.get_with(second).says("one");
    t.calls() == 1
}

fn each_matches(vary: &str, rows: &[(&str, &str)]) {
    each(rows, |(first, second)| {
        assert!(matches(vary, first, second))
    });
}

fn none_matches(vary: &str, rows: &[(&str, &str)]) {
    each(rows, |(first, second)| {
        assert!(!matches(vary, first, second))
    });
}

#[test]
fn a_response_answers_requests_whose_selecting_fields_match() {
    // §4.1: equal, or absent from both.
    each_matches(
        "vary: x-a",
        &[
            ("", ""),
            ("x-a: 1", "x-a: 1"),
            ("x-a:", "x-a:"),
            ("x-a: 1", "X-A: 1"),
            ("x-a: 1", "x-a:   1  "),
            ("x-a: 1\nx-b: 1", "x-a: 1\nx-b: 2"),
            ("x-a: 1, 2", "x-a: 1\nx-a: 2"),
            ("x-a: 1\nx-a: 2", "x-a: 1, 2"),
            ("x-a: 1\nx-b: 3\nx-a: 2", "x-a: 1\nx-a: 2"),
        ],
    );
    none_matches(
        "vary: x-a",
        &[
            ("", "x-a: 1"),
            ("x-a: 1", ""),
            ("", "x-a:"),
            ("x-a:", ""),
            ("x-a: 1", "x-a: 2"),
            ("x-a: a", "x-a: A"),
            ("x-a: 1, 2", "x-a: 2, 1"),
            ("x-a: 1\nx-a: 2", "x-a: 2\nx-a: 1"),
            ("x-a: 1", "x-a: 1\nx-a: 1"),
            ("x-a: 1", "x-a: 1, 2"),
        ],
    );
}

#[test]
fn all_selecting_fields_have_to_match() {
    // §4.1: "all the presented request header fields nominated by that Vary field value".
    let both = "x-a: 1\nx-b: 2";
    for vary in [
        "vary: x-a, x-b",
        "vary: x-a\nvary: x-b",
        "vary: X-A ,, X-B,",
        "vary: x-b,x-a",
    ] {
        each_matches(vary, &[("", ""), (both, both), (both, "x-b: 2\nx-a: 1")]);
        none_matches(
            vary,
            &[
                (both, "x-a: 1"),
                (both, "x-b: 2"),
                (both, ""),
                (both, "x-a: 1\nx-b: 3"),
                (both, "x-a: 2\nx-b: 1"),
                // Not what one would get by joining both without care.
                ("x-a: 1x-b\nx-b: 2", "x-a: 1\nx-b: x-b2"),
            ],
        );
    }
}

#[test]
fn what_varies_by_everything_matches_nothing() {
    // §4.1: "A stored response with a Vary header field value containing a member * always fails".
    for vary in [
        "vary: *",
        "vary: x-a, *",
        "vary: *, x-a",
        "vary: x-a\nvary: *",
    ] {
        none_matches(vary, &[("", ""), ("x-a: 1", "x-a: 1")]);
    }
}

#[test]
fn what_varies_by_nothing_matches_everything() {
    each_matches(
        "vary:",
        &[("", ""), ("x-a: 1", "x-a: 2"), ("", "accept-language: de")],
    );
    each_matches("x: y", &[("x-a: 1", "x-a: 2")]);
}

#[test]
fn a_client_is_told_apart_by_its_credentials_where_the_origin_says_so() {
    // §4.1: Cookie is a field as others are.
    each_matches("vary: cookie", &[("cookie: a=1", "cookie: a=1"), ("", "")]);
    none_matches(
        "vary: cookie",
        &[("cookie: a=1", "cookie: a=2"), ("cookie: a=1", "")],
    );
}

#[test]
fn codings_match_by_what_they_mean() {
    // §4.1: "normalizing both header field values in a way that is known to have identical semantics";
    // RFC 9110 §12.5.3: names are case-insensitive, order means nothing, and no weight is 1.
    each_matches(
        "vary: accept-encoding",
        &[
            ("accept-encoding: gzip, br", "accept-encoding: br, gzip"),
            ("accept-encoding: gzip,br", "accept-encoding: gzip ,  br"),
            (
                "accept-encoding: gzip, br",
                "accept-encoding: gzip\naccept-encoding: br",
            ),
            ("accept-encoding: gzip", "accept-encoding: GZIP"),
            ("accept-encoding: gzip", "accept-encoding: gzip;q=1"),
            ("accept-encoding: gzip;q=1", "accept-encoding: gzip;q=1.000"),
            (
                "accept-encoding: gzip;q=0.5",
                "accept-encoding: gzip ; q=0.500",
            ),
            ("accept-encoding: gzip;q=0.5", "accept-encoding: gzip;Q=0.5"),
            ("accept-encoding: gzip;q=0", "accept-encoding: gzip;q=0.0"),
            (
                "accept-encoding: gzip;q=0.5, br, *;q=0",
                "accept-encoding: *;q=0.0, br;q=1.0,gzip;q=0.50",
            ),
        ],
    );
    none_matches(
        "vary: accept-encoding",
        &[
            ("accept-encoding: gzip", "accept-encoding: br"),
            ("accept-encoding: gzip", "accept-encoding: gzip;q=0"),
            ("accept-encoding: gzip", "accept-encoding: gzip;q=0.5"),
            ("accept-encoding: gzip", ""),
            ("accept-encoding:", ""),
            ("accept-encoding: gzip", "accept-encoding: gzip, br"),
            (
                "accept-encoding: gzip;q=0.5, br",
                "accept-encoding: gzip, br;q=0.5",
            ),
        ],
    );
}

#[test]
fn languages_match_by_what_they_mean() {
    // §4.1, RFC 9110 §12.5.4: tags are case-insensitive; weights say which is preferred, not order.
    each_matches(
        "vary: accept-language",
        &[
            ("accept-language: de", "accept-language: DE"),
            ("accept-language: de", "accept-language: de;q=1.0"),
            (
                "accept-language: de, en;q=0.5",
                "accept-language: en;q=0.5, de",
            ),
            (
                "accept-language: de,en;q=0.5",
                "accept-language: de ,  en; q=0.50",
            ),
            (
                "accept-language: de, en;q=0.5",
                "accept-language: de\naccept-language: en;q=0.5",
            ),
        ],
    );
    none_matches(
        "vary: accept-language",
        &[
            ("accept-language: de", "accept-language: en"),
            ("accept-language: de", "accept-language: de-AT"),
            ("accept-language: de", ""),
            (
                "accept-language: de, en;q=0.5",
                "accept-language: de;q=0.5, en",
            ),
            (
                "accept-language: de, en;q=0.5",
                "accept-language: de, en;q=0.6",
            ),
        ],
    );
}

#[test]
fn what_is_in_the_language_that_is_preferred_answers() {
    // §4.1: "that mechanism MAY be used to choose a preferred response".
    let german = "vary: accept-language\ncontent-language: de";
    each_matches(
        german,
        &[
            ("accept-language: de", "accept-language: de, en;q=0.5"),
            ("accept-language: de", "accept-language: en;q=0.5, DE"),
            (
                "accept-language: de, fr;q=0.5",
                "accept-language: de;q=0.9, en;q=0.8",
            ),
        ],
    );
    none_matches(
        german,
        &[
            ("accept-language: de", "accept-language: en, de;q=0.5"),
            ("accept-language: de", "accept-language: en"),
            ("accept-language: de", "accept-language: de;q=0"),
            ("accept-language: de", ""),
        ],
    );
}

#[test]
fn each_variant_is_stored() {
    // §4.1, §2: "A cache might store multiple responses".
    let t = Test::new();
    t.origin_says(|request, _| {
        let language = request
            .field("accept-language")
            .unwrap_or("none")
            .to_owned();
        Reply::ok(language)
            .control("max-age=600")
            .fields("vary: accept-language")
    });
    let languages = ["de", "en", "fr", "pt", "ja", "sw"];
    for language in languages {
        t.ask("GET")
            .field("accept-language", language)
            .send()
            .says(language);
    }
    t.get().says("none");
    for language in languages {
        let ask = t.ask("GET").field("accept-language", language);
        ask.send().says(language).is_hit();
    }
    t.get().says("none").is_hit();
    t.was_called(7);
}

#[test]
fn a_variant_answers_head_and_conditions() {
    // §4.1, §4.3.2: of the response that was chosen.
    let t = Test::new();
    t.origin_says(|request, _| {
        let own = request.field("x-a").unwrap_or("0").to_owned();
        let reply = Reply::ok(own.clone())
            .control("max-age=600")
            .fields("vary: x-a");
        reply.field("etag", &format!("\"{own}\""))
    });
    t.get_with("x-a: 1");
    t.get_with("x-a: 2");
    t.ask("HEAD")
        .field("x-a", "1")
        .send()
        .has_status(200)
        .is_hit()
        .has("etag", "\"1\"");
    t.get_with("x-a: 2\nif-none-match: \"2\"")
        .has_status(304)
        .is_hit();
    t.get_with("x-a: 2\nif-none-match: \"1\"")
        .says("2")
        .is_hit();
    t.was_called(2);
}

#[test]
fn a_variant_is_validated_and_updated_by_itself() {
    // §4.3.4: those "that could have been chosen for that request".
    let t = Test::new();
    t.origin_says(|request, n| {
        let own = request.field("x-a").unwrap_or("0").to_owned();
        let reply = match request.field("if-none-match") {
            Some(_) => Reply::new(304).control("max-age=600").field("age", "0"),
            None => Reply::ok(own.clone())
                .control("max-age=10")
                .field("age", "30"),
        };
        let reply = reply.field("x-number", &n.to_string()).fields("vary: x-a");
        reply.field("etag", &format!("\"{own}\""))
    });
    t.get_with("x-a: 1").says("1");
    t.get_with("x-a: 1").says("1").is_forwarded();
    t.get_with("x-a: 1").says("1").is_hit().has("x-number", "2");
    t.was_called(2);
}

#[test]
fn what_varies_is_preferred_to_what_forgot_to() {
    // §4.1: "the cache SHOULD choose the most recent [...] stored response with a valid Vary".
    let t = Test::new();
    t.origin_says(|request, _| match request.field("accept-language") {
        Some(language) => {
            let reply = Reply::ok(language.to_owned()).control("max-age=600");
            reply.fields("vary: accept-language")
        }
        None => Reply::ok("default").control("max-age=600"),
    });
    t.get_with("accept-language: de").says("de");
    t.get().says("default");
    t.get_with("accept-language: de").says("de").is_hit();
    t.get().says("default").is_hit();
}

#[test]
fn the_selecting_fields_may_change() {
    // §4.1: each stored response has its own Vary.
    let t = Test::new();
    t.origin(Reply::ok("one").control("max-age=600").fields("vary: x-a"));
    t.get_with("x-a: 1\nx-b: 1").says("one");
    t.origin(Reply::ok("two").control("max-age=600").fields("vary: x-b"));
    t.get_with("x-a: 2\nx-b: 2").says("two");
    t.origin(Reply::ok("three").control("no-store"));
    // Neither matches.
    t.get_with("x-a: 3\nx-b: 3").says("three").is_forwarded();
    t.get_with("x-a: 2\nx-b: 1").says("three").is_forwarded();
    t.get_with("x-a: 1\nx-b: 1");
    // Whoever is given what is stored is given what matches.
    assert_ne!(t.get_with("x-a: 1\nx-b: 3").text(), "two");
    assert_ne!(t.get_with("x-a: 3\nx-b: 2").text(), "one");
}

#[test]
fn many_variants_are_not_mixed_up() {
    // §4.1: however many of them are kept.
    let t = Test::new();
    t.origin_says(|request, _| {
        let own = request.field("x-a").unwrap_or_default().to_owned();
        Reply::ok(own).control("max-age=600").fields("vary: x-a")
    });
    for _ in 0..2 {
        for value in 0..100 {
            let value = value.to_string();
            t.ask("GET").field("x-a", &value).send().says(&value);
        }
    }
}
