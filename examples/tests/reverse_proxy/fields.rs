//! Fields whose values are no text, or long, or many (RFC 9110 §5.5).

use crate::support::{Reply, Test, each};

/// All bytes that a value may have (RFC 9110 §5.5), but for a space at an end.
fn every_byte() -> String {
    ('!'..='~')
        .chain([' ', '\t'])
        .chain('\u{80}'..='\u{ff}')
        .collect()
}

#[test]
fn values_are_bytes_on_the_way_and_out_of_the_store() {
    let latin = "caf\u{e9}";
    let every = every_byte();
    each(
        [
            latin,
            "\u{80}",
            "\u{ff}\u{fe}",
            "a\tb",
            "\u{c3}\u{28}",
            &every,
        ],
        |value| {
            let t = Test::new();
            t.origin(
                Reply::ok("one")
                    .control("max-age=600")
                    .field("x-odd", value),
            );
            t.get().says("one").has("x-odd", value);
            t.get().says("one").is_hit().has("x-odd", value);
            t.get_with("if-none-match: \"x\"")
                .says("one")
                .has("x-odd", value);
            t.was_called(1);
        },
    );
}

#[test]
fn values_of_known_fields_may_be_odd_too() {
    // What does not parse is passed, and stored, as it came.
    each(
        [
            "etag",
            "last-modified",
            "content-type",
            "content-language",
            "link",
            "server",
            "content-location",
        ],
        |name| {
            let t = Test::new();
            t.origin(
                Reply::ok("one")
                    .control("max-age=600")
                    .field(name, "\u{e9}\u{ff} x"),
            );
            t.get().says("one").has(name, "\u{e9}\u{ff} x");
            t.get().says("one").is_hit().has(name, "\u{e9}\u{ff} x");
        },
    );
}

#[test]
fn odd_bytes_beside_directives_do_not_hide_them() {
    // RFC 9111 §5.2.3: what is unknown is ignored, and no more than that.
    let is_reused = |control: &str| {
        let t = Test::new();
        t.origin(Reply::ok("one").control(control));
        t.get().says("one").has("cache-control", control);
        t.get().says("one");
        t.calls() == 1
    };
    assert!(!is_reused("max-age=600, foo=\"\u{e9}\", no-store"));
    assert!(!is_reused("foo=\"\u{ff}\u{fe}\", private, max-age=600"));
    assert!(is_reused("foo=\"\u{e9}\", max-age=600"));
}

#[test]
fn values_of_a_request_reach_the_origin() {
    let every = every_byte();
    let t = Test::new();
    t.origin(Reply::ok("one"));
    t.ask("GET").field("x-odd", &every).send().says("one");
    assert_eq!(t.last().field("x-odd"), Some(&*every));
}

#[test]
fn values_that_select_a_variant_are_bytes() {
    // RFC 9111 §4.1.
    let t = Test::new();
    t.origin_says(|request, _| {
        let value = request.field("x-a").unwrap_or_default();
        Reply::ok(crate::support::bytes(value))
            .control("max-age=600")
            .fields("vary: x-a")
    });
    let values = ["\u{e9}", "\u{c3}\u{a9}", "\u{ff}", "?", "\u{fd}"];
    for value in values {
        t.ask("GET").field("x-a", value).send().says(value);
    }
    for value in values {
        t.ask("GET").field("x-a", value).send().says(value).is_hit();
    }
    t.was_called(values.len());
}

#[test]
fn names_may_have_every_char_that_a_token_has() {
    // RFC 9110 §5.6.2.
    let t = Test::new();
    let name = "x!#$%&'*+-.^_`|~09az";
    t.origin(Reply::ok("one").control("max-age=600").field(name, "1"));
    t.get().says("one").has(name, "1");
    t.get().says("one").is_hit().has(name, "1");
}

#[test]
fn values_may_be_long() {
    let t = Test::new();
    let long = "x".repeat(20_000);
    t.origin(
        Reply::ok("one")
            .control("max-age=600")
            .field("x-long", &long),
    );
    t.get().says("one").has("x-long", &long);
    t.get().says("one").is_hit().has("x-long", &long);
}

#[test]
fn fields_may_be_many() {
    let t = Test::new();
    let reply = Reply::ok("one").control("max-age=600");
    let reply = (0..150).fold(reply, |reply, n| {
        reply.field(&format!("x-{n}"), &n.to_string())
    });
    let reply = (0..50).fold(reply, |reply, n| reply.field("x-same", &n.to_string()));
    t.origin(reply.clone());
    for answer in [t.get(), t.get().is_hit()] {
        let answer = answer.says("one");
        for (name, _) in reply.told().iter() {
            assert_eq!(answer.fields.all(name), reply.told().all(name));
        }
    }
}

#[test]
fn empty_values_are_values() {
    // RFC 9110 §5.5.
    let t = Test::new();
    t.origin(
        Reply::ok("one")
            .control("max-age=600")
            .fields("x-a:\nx-a: 1\nx-a:"),
    );
    for answer in [t.get(), t.get().is_hit()] {
        assert_eq!(answer.fields.all("x-a"), ["", "1", ""]);
    }
}
