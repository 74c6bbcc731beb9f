//! Cache control for this cache alone (RFC 9213): CDN-Cache-Control, and fields that the proxy is told.

use crate::support::{Reply, Test, each};

fn is_reused(t: &Test, lines: &str) -> bool {
    let before = t.calls();
    let end = format!("?{before}");
    t.origin(Reply::ok("one").fields(lines));
    t.get_at(&end).says("one");
    t.get_at(&end).says("one");
    t.calls() == before + 1
}

fn each_is_reused(rows: &[&str]) {
    each(rows, |row| assert!(is_reused(&Test::new(), row)));
}

fn none_is_reused(rows: &[&str]) {
    each(rows, |row| assert!(!is_reused(&Test::new(), row)));
}

#[test]
fn the_targeted_field_counts_instead_of_cache_control_and_expires() {
    // §2.2: "MUST select the first [...] field with a valid, non-empty value [...] and it MUST ignore the
    // Cache-Control and Expires header fields in that response".
    each_is_reused(&[
        "cdn-cache-control: max-age=600",
        "cdn-cache-control: max-age=600\ncache-control: no-store",
        "cdn-cache-control: max-age=600\ncache-control: private",
        "cdn-cache-control: max-age=600\ncache-control: no-cache",
        "cdn-cache-control: max-age=600\ncache-control: max-age=0",
        "cdn-cache-control: max-age=600\ncache-control: s-maxage=0, must-revalidate",
        "cdn-cache-control: max-age=600\nexpires: {-60}",
        "cdn-cache-control: max-age=600\nexpires: 0\npragma: no-cache",
        "cdn-cache-control: s-maxage=600, max-age=0",
        "cdn-cache-control: public, max-age=600",
        "cdn-cache-control: max-age=600\nage: 200\ncache-control: max-age=60",
    ]);
    none_is_reused(&[
        "cdn-cache-control: no-store\ncache-control: max-age=600",
        "cdn-cache-control: private\ncache-control: max-age=600",
        "cdn-cache-control: no-cache\ncache-control: max-age=600",
        "cdn-cache-control: max-age=0\ncache-control: max-age=600",
        "cdn-cache-control: max-age=0\nexpires: {+600}",
        "cdn-cache-control: none\ncache-control: max-age=600",
        "cdn-cache-control: none\nexpires: {+600}",
        "cdn-cache-control: max-age=60\nage: 200\ncache-control: max-age=600",
        // "no-store and no-cache make max-age inoperative".
        "cdn-cache-control: max-age=600, no-store",
        "cdn-cache-control: max-age=600, no-cache",
        "cdn-cache-control: max-age=600, private",
        "cdn-cache-control: s-maxage=0, max-age=600",
    ]);
}

#[test]
fn none_is_a_word_without_directives() {
    // §3.1: it only prevents that the field is empty; what may be stored without directives is.
    each_is_reused(&[
        "cdn-cache-control: none\ncache-control: no-store\nlast-modified: {-86400000}",
    ]);
}

#[test]
fn a_field_that_does_not_parse_is_ignored() {
    // §2.1: "if a parsing error is encountered, that field MUST be ignored"; RFC 9651.
    each(
        [
            "max-age=600,",
            "MAX-AGE=600",
            "Max-Age=600",
            "max-age=600, Public",
            "max-age=600 public",
            "max-age=",
            "max-age=600.",
            "max-age=600s",
            "max-age=1000000000000000",
            "max-age=600, foo=\"bar",
            "max-age=600, foo=b@r",
            "max-age=600;=x",
            "max-age=600 ;x",
            "max-age =600",
            "max-age= 600",
            "no-store,",
            "No-Store",
            "\"max-age\"=600",
            "max-age=600, foo=\u{e4}",
            "",
            "   ",
        ],
        |value| {
            let fallback =
                |control| format!("cdn-cache-control: {value}\ncache-control: {control}");
            assert!(is_reused(&Test::new(), &fallback("max-age=600")));
            assert!(!is_reused(&Test::new(), &fallback("no-store")));
        },
    );
}

#[test]
fn a_lifetime_is_an_integer() {
    // §2.1: "SHOULD NOT consume values that violate these inferred constraints"; the field is valid, so
    // that nothing else says how long.
    each(
        [
            "max-age=600.5",
            "max-age=600.0",
            "max-age=\"600\"",
            "max-age",
            "max-age=?1",
            "max-age=-600",
            "max-age=abc",
            "max-age=:YWJj:",
            "max-age=(600)",
            "max-age=@600",
        ],
        |value| {
            let lines = format!("cdn-cache-control: {value}\ncache-control: max-age=600");
            assert!(!is_reused(&Test::new(), &lines));
        },
    );
}

#[test]
fn a_lifetime_is_read_as_a_structured_field() {
    // RFC 9651: parameters are ignored (§2.1), of keys given twice the last counts, lines are joined.
    each_is_reused(&[
        "cdn-cache-control: max-age=600;foo=bar",
        "cdn-cache-control: max-age=600;max-age=0",
        "cdn-cache-control: max-age=00600",
        "cdn-cache-control: foo, bar=(1 2), max-age=600, baz=\"max-age=0\"",
        "cdn-cache-control: max-age=0, max-age=600",
        "cdn-cache-control: foo\ncdn-cache-control: max-age=600",
        "cdn-cache-control: max-age=0\ncdn-cache-control: max-age=600",
        "cdn-cache-control: max-age=999999999999999",
        "cdn-cache-control: foo=\"no-store, private\", max-age=600",
        "CDN-Cache-Control: max-age=600",
    ]);
    none_is_reused(&[
        "cdn-cache-control: max-age=600, max-age=0",
        "cdn-cache-control: max-age=600\ncdn-cache-control: no-store",
        "cdn-cache-control: foo=\"max-age=600\"",
        "cdn-cache-control: foo;max-age=600",
        // Joined, an empty line leaves a comma at the beginning, which is an error.
        "cdn-cache-control:\ncdn-cache-control: max-age=600\ncache-control: no-store",
    ]);
}

#[test]
fn fields_may_be_named_there_too() {
    // §2.1: private and no-cache may have a String.
    each(["private=\"x-mine\"", "no-cache=\"x-mine\""], |directive| {
        let t = Test::new();
        let lines = format!("cdn-cache-control: max-age=600, {directive}\nx-mine: 1\nx-theirs: 2");
        t.origin(Reply::ok("one").fields(&lines));
        t.get().says("one").has("x-mine", "1");
        t.get()
            .says("one")
            .is_hit()
            .has_no("x-mine")
            .has("x-theirs", "2");
    });
}

#[test]
fn its_stale_windows_and_prohibitions_count() {
    // §2.2: other directives SHOULD be implemented.
    let stale = |control: &str| {
        let t = Test::new();
        let lines = format!("cdn-cache-control: {control}\nage: 30\netag: \"a\"");
        t.origin(Reply::ok("one").fields(&lines));
        t.get().says("one");
        t.origin(Reply::new(503));
        t.get().status
    };
    assert_eq!(stale("max-age=10, stale-if-error=60"), 200);
    assert_eq!(stale("max-age=10, stale-while-revalidate=60"), 200);
    assert_eq!(stale("max-age=10, stale-if-error=60, must-revalidate"), 503);
    assert_eq!(stale("max-age=10\ncache-control: stale-if-error=60"), 503);
}

#[test]
fn it_may_allow_to_store_a_response_to_authorization() {
    // §2.2: "The semantics and precedence of cache directives in a targeted field are the same".
    let is_shared = |lines: &str| {
        let t = Test::new();
        t.origin(Reply::ok("one").fields(lines));
        t.get_with("authorization: alice");
        t.get_with("authorization: alice");
        t.calls() == 1
    };
    assert!(is_shared("cdn-cache-control: public, max-age=600"));
    assert!(is_shared("cdn-cache-control: s-maxage=600"));
    assert!(!is_shared("cdn-cache-control: max-age=600"));
    assert!(!is_shared(
        "cdn-cache-control: max-age=600\ncache-control: public"
    ));
}

#[test]
fn fields_that_do_not_count_are_passed_on_as_they_came() {
    // §2.2: those "not on a cache's target list [...] MUST be passed through"; others have to know of
    // Cache-Control and Expires.
    let t = Test::new();
    let lines = "cache-control: no-store\nexpires: 0\nother-cache-control: No-Store , x";
    let reply = Reply::ok("one").fields(lines);
    let told = reply.told();
    t.origin(reply.field("cdn-cache-control", "max-age=600;x , foo"));
    for answer in [t.get(), t.get().is_hit()] {
        for (name, value) in told.iter() {
            assert_eq!(answer.fields.all(name), [value], "{name}");
        }
        // §3: a cache that it was for MAY remove it.
        let targeted = answer.field("cdn-cache-control");
        assert!(
            [None, Some("max-age=600;x , foo")].contains(&targeted),
            "{answer}"
        );
    }
    t.was_called(1);
}

#[test]
fn a_targeted_field_that_does_not_parse_is_passed_on() {
    // §2.1: it is ignored.
    let t = Test::new();
    let lines = "cache-control: max-age=600\ncdn-cache-control: Max-Age=0";
    t.origin(Reply::ok("one").fields(lines));
    for answer in [t.get(), t.get().is_hit()] {
        answer.has("cdn-cache-control", "Max-Age=0");
    }
}

#[test]
fn a_field_for_others_means_nothing() {
    // §2.2: "Targeted fields that are not on a cache's target list MUST NOT change that cache's behavior".
    each_is_reused(&[
        "other-cache-control: no-store\ncache-control: max-age=600",
        "surrogate-control: no-store\ncache-control: max-age=600",
        "cache-control: max-age=600\nx-cdn-cache-control: max-age=0",
    ]);
    none_is_reused(&["other-cache-control: max-age=600\ncache-control: no-store"]);
}

#[test]
fn a_request_has_no_such_field() {
    // §2: it "is an HTTP response header field".
    let t = Test::new();
    t.origin(Reply::ok("one").control("max-age=600"));
    t.get();
    t.get_with("cdn-cache-control: no-store, max-age=0, no-cache")
        .says("one")
        .is_hit();
}

#[test]
fn fields_count_in_the_order_of_the_list() {
    // §2.2: "the first (in target-list order) field with a valid, non-empty value".
    let t = Test::with(&["--cdn", "Near-Cache-Control, CDN-Cache-Control"]);
    each(
        [
            (
                "near-cache-control: max-age=600\ncdn-cache-control: no-store",
                true,
            ),
            (
                "cdn-cache-control: no-store\nnear-cache-control: max-age=600",
                true,
            ),
            (
                "near-cache-control: no-store\ncdn-cache-control: max-age=600",
                false,
            ),
            (
                "near-cache-control: x,\ncdn-cache-control: max-age=600\ncache-control: no-store",
                true,
            ),
            (
                "near-cache-control:\ncdn-cache-control: no-store\ncache-control: max-age=600",
                false,
            ),
            (
                "near-cache-control: X\ncdn-cache-control: Y\ncache-control: max-age=600",
                true,
            ),
            ("cache-control: max-age=600", true),
        ],
        |(lines, reused)| assert_eq!(is_reused(&t, lines), *reused),
    );
}

#[test]
fn without_a_list_no_field_counts() {
    // §2.2: the list is the cache's own.
    let t = Test::with(&["--cdn", "none"]);
    assert!(!is_reused(
        &t,
        "cdn-cache-control: max-age=600\ncache-control: no-store"
    ));
    assert!(is_reused(
        &t,
        "cdn-cache-control: no-store\ncache-control: max-age=600"
    ));
}

#[test]
fn a_304_is_judged_by_the_targeted_field_too() {
    // §2.2, RFC 9111 §4.3.4: of the response as it is updated.
    let is_fresh_after = |stored: &str, update: &str| {
        let t = Test::new();
        let full = Reply::ok("one")
            .fields(stored)
            .fields("age: 30\netag: \"a\"");
        t.origin(full.clone());
        t.get().says("one");
        let update = Reply::new(304).fields(update).field("etag", "\"a\"");
        t.origin_says(move |request, _| match request.field("if-none-match") {
            Some(_) => update.clone(),
            None => full.clone(),
        });
        t.get().says("one").is_forwarded();
        t.get().says("one");
        t.calls() == 2
    };
    let targeted = "cdn-cache-control: max-age=10\ncache-control: no-store";
    assert!(is_fresh_after(targeted, "x: y"));
    assert!(is_fresh_after(targeted, "cdn-cache-control: max-age=600"));
    assert!(is_fresh_after(targeted, "cache-control: max-age=0"));
    assert!(!is_fresh_after(
        targeted,
        "cdn-cache-control: max-age=0\ncache-control: max-age=600"
    ));
    let plain = "cache-control: max-age=10";
    assert!(is_fresh_after(plain, "cdn-cache-control: max-age=600"));
    assert!(!is_fresh_after(plain, "cdn-cache-control: no-store"));
}
