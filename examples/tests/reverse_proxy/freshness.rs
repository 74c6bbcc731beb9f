//! How long a response is fresh (RFC 9111 §4.2), seen by whether the origin is asked again.

use crate::support::{Answer, Reply, Test, each};
use std::time::Duration;

/// Asks twice for a response; the second answer, and whether it was given without the origin.
fn ask_twice(reply: Reply) -> (Answer, bool) {
    let t = Test::new();
    t.origin(reply);
    t.get();
    (t.get(), t.calls() == 1)
}

fn is_reused(reply: Reply) -> bool {
    ask_twice(reply).1
}

fn each_is_reused(rows: &[&str]) {
    each(rows, |row| {
        let (second, is_reused) = ask_twice(Reply::ok("one").fields(row));
        assert!(is_reused, "{second}");
    });
}

fn none_is_reused(rows: &[&str]) {
    each(rows, |row| {
        assert!(!is_reused(Reply::ok("one").fields(row)))
    });
}

const OLD: &str = "Last-Modified: {-86400000}";

#[test]
fn a_lifetime_is_that_of_s_maxage_before_max_age_before_expires() {
    // §4.2.1, §5.3: the first of them that is there counts.
    each_is_reused(&[
        "cache-control: max-age=60",
        "cache-control: s-maxage=60",
        "cache-control: s-maxage=60, max-age=0",
        "cache-control: max-age=0, s-maxage=60",
        "cache-control: max-age=60\nexpires: {-60}",
        "cache-control: s-maxage=60\nexpires: {-60}",
        "cache-control: max-age=60\nexpires: 0",
        "cache-control: public\nexpires: {+60}",
        "expires: {+60}",
    ]);
    none_is_reused(&[
        "cache-control: max-age=0",
        "cache-control: s-maxage=0",
        "cache-control: max-age=60, s-maxage=0",
        "cache-control: max-age=0\nexpires: {+60}",
        "cache-control: s-maxage=0\nexpires: {+60}",
        "expires: {-1}",
        "expires: {+0}",
    ]);
}

#[test]
fn a_lifetime_is_a_number_of_seconds_however_long() {
    // §1.2.2: what is too great counts as the greatest; digits may be many.
    each_is_reused(&[
        "cache-control: max-age=00060",
        "cache-control: max-age=2147483647",
        "cache-control: max-age=2147483648",
        "cache-control: max-age=4294967296",
        "cache-control: max-age=9223372036854775808",
        "cache-control: max-age=18446744073709551616",
        "cache-control: max-age=99999999999999999999999999999999999999999999999999999999999999",
        "cache-control: s-maxage=99999999999999999999999999999999999999999999999999999999999999",
    ]);
}

#[test]
fn a_lifetime_may_be_quoted() {
    // §5.2: "recipients ought to accept both forms".
    each_is_reused(&[
        "cache-control: max-age=\"60\"",
        "cache-control: s-maxage=\"60\", max-age=0",
    ]);
    none_is_reused(&[
        "cache-control: max-age=\"0\"",
        "cache-control: s-maxage=\"0\", max-age=60",
    ]);
}

#[test]
fn a_lifetime_that_is_no_number_is_none() {
    // §4.2.1: "encouraged to consider responses that have invalid freshness information to be stale".
    none_is_reused(&[
        "cache-control: max-age",
        "cache-control: max-age=",
        "cache-control: max-age=-1",
        "cache-control: max-age=-60",
        "cache-control: max-age=+60",
        "cache-control: max-age=60.5",
        "cache-control: max-age=60.0",
        "cache-control: max-age=.5",
        "cache-control: max-age=6e1",
        "cache-control: max-age=0x60",
        "cache-control: max-age=60s",
        "cache-control: max-age=sixty",
        "cache-control: max-age='60'",
        "cache-control: max-age=\"\"",
        "cache-control: max-age=\"60s\"",
        "cache-control: s-maxage=abc",
    ]);
}

#[test]
fn a_lifetime_that_is_no_number_is_not_replaced_by_another() {
    // §4.2.1, §5.3: the directive is there, so what comes after it in the order does not count; and no
    // heuristic either (§4.2.2).
    none_is_reused(&[
        "cache-control: max-age=abc\nexpires: {+60}",
        "cache-control: s-maxage=abc, max-age=60",
        "cache-control: s-maxage=-1, max-age=60\nexpires: {+60}",
        &format!("cache-control: max-age=abc\n{OLD}"),
    ]);
}

#[test]
fn of_lifetimes_given_twice_the_first_counts() {
    // §4.2.1: "either the first occurrence should be used or the response should be considered stale".
    each_is_reused(&[
        "cache-control: max-age=60, max-age=0",
        "cache-control: max-age=60\ncache-control: max-age=0",
        "cache-control: s-maxage=60, s-maxage=0",
        "expires: {+60}\nexpires: {-60}",
    ]);
    none_is_reused(&[
        "cache-control: max-age=0, max-age=60",
        "cache-control: max-age=0\ncache-control: max-age=60",
        "cache-control: s-maxage=0, s-maxage=60",
        "expires: {-60}\nexpires: {+60}",
    ]);
}

#[test]
fn directives_are_read_in_any_case_and_among_others() {
    // §5.2, §5.2.3: names are case-insensitive, unknown ones are ignored, and a list may have empty
    // members (RFC 9110 §5.6.1.2).
    each_is_reused(&[
        "cache-control: MAX-AGE=60",
        "cache-control: Max-Age=60",
        "cache-control: S-MaxAge=60, max-age=0",
        "cache-control: ,, max-age=60 ,",
        "cache-control: max-age=60,",
        "cache-control:max-age=60",
        "cache-control: public,max-age=60",
        "cache-control: public ,\tmax-age=60",
        "cache-control: foo, bar=baz, max-age=60, quux=\"a, b\"",
        "cache-control: foo=\"max-age=0\", max-age=60",
        "cache-control: foo=\"a\\\"b, max-age=0\", max-age=60",
        "cache-control: foo=\", no-store, private, no-cache\", max-age=60",
        "cache-control: public\ncache-control: max-age=60",
        "cache-control:\ncache-control: max-age=60",
        "cache-control: x-max-age=0, max-age=60",
        "cache-control: immutable, max-age=60",
    ]);
    none_is_reused(&[
        "cache-control: foo=\"max-age=60\"",
        "cache-control: foo=\"bar, max-age=60\"",
        "cache-control: foo=\"a\\\", max-age=60\"",
        "cache-control: \"max-age=60\"",
        "cache-control: max-age =60",
        "cache-control: max-age= 60",
        "cache-control: max-age=60;foo",
        "cache-control: max-age=60 foo",
        "cache-control: xmax-age=60",
        "cache-control: max-age-=60",
    ]);
}

#[test]
fn pragma_in_a_response_means_nothing() {
    // §5.4: "the meaning of Pragma: no-cache in responses was never specified".
    each_is_reused(&["cache-control: max-age=60\npragma: no-cache"]);
}

#[test]
fn expires_has_three_formats_in_any_case() {
    // RFC 9110 §5.6.7: all three MUST be accepted; RFC 9111 §4.2: in any case.
    each_is_reused(&[
        "expires: {+60}",
        "expires: {rfc850+60}",
        "expires: {asctime+60}",
        "expires: Fri, 06 Nov 2099 08:49:37 GMT",
        "expires: fri, 06 nov 2099 08:49:37 gmt",
        "expires: FRI, 06 NOV 2099 08:49:37 GMT",
        "expires: Fri, 06 Nov 9999 08:49:37 GMT",
        // A leap second has its place in the grammar.
        "expires: Thu, 31 Dec 2099 23:59:60 GMT",
        // Two digits: less than 50 years ahead.
        "expires: Saturday, 06-Nov-60 08:49:37 GMT",
    ]);
    none_is_reused(&[
        "expires: {-60}",
        "expires: {rfc850-60}",
        "expires: {asctime-60}",
        "expires: Sun, 06 Nov 1994 08:49:37 GMT",
        "expires: Thu, 01 Jan 1970 00:00:00 GMT",
        // More than 50 years ahead is the past.
        "expires: Sunday, 06-Nov-94 08:49:37 GMT",
    ]);
}

#[test]
fn expires_that_is_no_date_is_in_the_past() {
    // §5.3: "MUST interpret invalid date formats, especially the value 0, as [...] a time in the past";
    // §4.2: a zone other than GMT SHOULD be considered invalid.
    let rows = [
        "0",
        "-1",
        "1",
        "never",
        "",
        "4102444800",
        "Fri, 06 Nov 2099 08:49:37",
        "Fri, 06 Nov 2099 08:49:37 UTC",
        "Fri, 06 Nov 2099 08:49:37 EST",
        "Fri, 06 Nov 2099 08:49:37 PST",
        "Fri, 06 Nov 2099 08:49:37 +0000",
        "Fri, 06 Nov 2099 08:49:37 GMT+1",
        "Fri, 06 Nov 2099 08:49:37 GMTX",
        "Fri, 32 Nov 2099 08:49:37 GMT",
        "Fri, 00 Nov 2099 08:49:37 GMT",
        "Tue, 30 Feb 2099 08:49:37 GMT",
        "Fri, 06 Nix 2099 08:49:37 GMT",
        "Fri, 06 Nov 2099 24:49:37 GMT",
        "Fri, 06 Nov 2099 08:60:37 GMT",
        "Fri, 06 Nov 2099 08:49:61 GMT",
        "Fri, 06 Nov 2099 GMT",
        "2099-11-06T08:49:37Z",
    ];
    each(rows, |row| {
        assert!(!is_reused(Reply::ok("one").field("expires", row)))
    });
    // And no heuristic: there is an explicit expiration time (§4.2.2).
    none_is_reused(&[
        &format!("expires: 0\n{OLD}"),
        &format!("expires: never\n{OLD}"),
    ]);
}

#[test]
fn expires_is_seen_from_date() {
    // §4.2.1: "its value minus the value of the Date response header field".
    each_is_reused(&[
        "date: {-100}\nexpires: {+50}",
        "date: {+100}\nexpires: {+150}",
        "date: {+1000}\nexpires: {+1001}",
        "date: {rfc850-10}\nexpires: {+50}",
        "date: {asctime-10}\nexpires: {+50}",
    ]);
    none_is_reused(&[
        "date: {+60}\nexpires: {+60}",
        "date: {+100}\nexpires: {+50}",
        "date: {-100}\nexpires: {-50}",
    ]);
}

#[test]
fn without_a_date_it_is_the_time_it_came() {
    // §4.2.1, RFC 9110 §6.6.1.
    each(["max-age=60", ""], |control| {
        let reply = Reply::ok("one")
            .undated()
            .control(control)
            .field("expires", "{+60}");
        assert!(is_reused(reply));
    });
    assert!(!is_reused(
        Reply::ok("one").undated().field("expires", "{-60}")
    ));
}

#[test]
fn a_date_that_is_none_counts_as_missing() {
    // RFC 9110 §6.6.1: it MAY be replaced by the time the response came.
    each_is_reused(&[
        "date: yesterday\nexpires: {+60}",
        "date: 0\ncache-control: max-age=60",
        "date: Fri, 06 Nov 2099 08:49:37 EST\ncache-control: max-age=60",
    ]);
}

#[test]
fn a_heuristic_is_for_the_statuses_that_allow_it() {
    // RFC 9110 §15.1; 206 is in `ranges`.
    each(
        [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501],
        |status| {
            assert!(is_reused(Reply::new(*status).fields(OLD)));
        },
    );
    each(
        [
            201, 202, 205, 207, 208, 226, 299, 302, 303, 307, 399, 400, 401, 402, 403, 406, 408,
            409, 411, 413, 415, 421, 422, 428, 429, 431, 499, 500, 502, 503, 504, 505, 511, 599,
        ],
        |status| assert!(!is_reused(Reply::new(*status).fields(OLD))),
    );
}

#[test]
fn public_allows_a_heuristic_for_other_statuses() {
    // §5.2.2.9: "If a response with the public directive has no explicit freshness information, it is
    // heuristically cacheable".
    each(
        [200, 201, 202, 299, 302, 303, 307, 400, 403, 500, 599],
        |status| {
            assert!(is_reused(Reply::new(*status).fields(OLD).control("public")));
        },
    );
}

#[test]
fn a_heuristic_is_a_tenth_of_the_time_since_the_last_modification() {
    // §4.2.2: 10 % is "typical", and what this cache takes; for a week at most.
    each_is_reused(&[
        "last-modified: {-1000}\nage: 80",
        "last-modified: {rfc850-1000}\nage: 80",
        "last-modified: {asctime-1000}\nage: 80",
        "date: {-500}\nlast-modified: {-10500}",
        "last-modified: {-864000000}\nage: 600000",
    ]);
    none_is_reused(&[
        "last-modified: {-1000}\nage: 120",
        "date: {-500}\nlast-modified: {-1500}",
        "last-modified: {-864000000}\nage: 610000",
    ]);
}

#[test]
fn there_is_no_heuristic_without_a_modification_in_the_past() {
    // §4.2.2: there is nothing to guess from.
    none_is_reused(&[
        "x: 1",
        "cache-control: public",
        "etag: \"a\"",
        "last-modified: {+1000}",
        "last-modified: long ago",
        "last-modified: 0",
        "last-modified: {+0}",
    ]);
}

#[test]
fn there_is_no_heuristic_beside_an_explicit_lifetime() {
    // §4.2.2: "MUST NOT use heuristics [...] when an explicit expiration time is present".
    none_is_reused(&[
        &format!("cache-control: max-age=0\n{OLD}"),
        &format!("cache-control: s-maxage=0\n{OLD}"),
        &format!("cache-control: max-age=10\nage: 20\n{OLD}"),
        &format!("expires: {{-10}}\n{OLD}"),
    ]);
}

#[test]
fn there_is_no_heuristic_against_no_cache() {
    // §5.2.2.4.
    none_is_reused(&[&format!("cache-control: no-cache\n{OLD}")]);
}

#[test]
fn a_heuristic_is_as_good_for_a_query() {
    // §4.2.2: what RFC 2616 prohibited.
    let t = Test::new();
    t.origin(Reply::ok("one").fields(OLD));
    t.get_at("?a=b").says("one");
    t.get_at("?a=b").says("one").is_hit();
    t.was_called(1);
}

#[test]
fn a_response_comes_with_an_age() {
    // §4.2.3: what Age says, or Date, whichever is more; "fresh" is less than its lifetime (§4.2).
    each_is_reused(&[
        "cache-control: max-age=60\nage: 0",
        "cache-control: max-age=60\nage: 40",
        "cache-control: max-age=60\nage: 00040",
        "cache-control: max-age=60\ndate: {-40}",
        "cache-control: max-age=60\ndate: {-40}\nage: 5",
        "cache-control: max-age=60\ndate: {+1000}",
        "cache-control: max-age=2147483648\nage: 2000000000",
    ]);
    none_is_reused(&[
        "cache-control: max-age=60\nage: 60",
        "cache-control: max-age=60\nage: 61",
        "cache-control: max-age=60\nage: 100",
        "cache-control: max-age=60\ndate: {-100}",
        "cache-control: max-age=60\ndate: {-100}\nage: 5",
        "cache-control: max-age=60\ndate: {+1000}\nage: 100",
        "cache-control: s-maxage=60\nage: 100",
        "expires: {+60}\nage: 100",
    ]);
}

#[test]
fn an_age_too_great_is_the_greatest() {
    // §1.2.2.
    none_is_reused(&[
        "cache-control: max-age=60\nage: 2147483648",
        "cache-control: max-age=60\nage: 9223372036854775808",
        "cache-control: max-age=60\nage: 99999999999999999999999999999999999999999999999999",
    ]);
}

#[test]
fn of_a_list_of_ages_the_first_counts() {
    // §5.1.
    each_is_reused(&[
        "cache-control: max-age=60\nage: 0, 100",
        "cache-control: max-age=60\nage: 0\nage: 100",
    ]);
    none_is_reused(&[
        "cache-control: max-age=60\nage: 100, 0",
        "cache-control: max-age=60\nage: 100,0",
        "cache-control: max-age=60\nage: 100\nage: 0",
    ]);
}

#[test]
fn an_age_that_is_no_number_is_ignored() {
    // §5.1.
    each_is_reused(&[
        "cache-control: max-age=60\nage: old",
        "cache-control: max-age=60\nage: -100",
        "cache-control: max-age=60\nage: +100",
        "cache-control: max-age=60\nage: 100.5",
        "cache-control: max-age=60\nage: 1e9",
        "cache-control: max-age=60\nage: \"100\"",
        "cache-control: max-age=60\nage: 100s",
        "cache-control: max-age=60\nage: 100;a=b",
        "cache-control: max-age=60\nage:",
    ]);
}

#[test]
fn the_time_that_a_response_took_counts_as_its_age() {
    // §4.2.3: Age MUST be seen from when the request was made.
    let t = Test::new();
    t.origin(
        Reply::ok("one")
            .control("max-age=60")
            .delayed(Duration::from_millis(1200)),
    );
    t.get().says("one");
    let age = t.get().says("one").is_hit().number("age");
    assert!((1..=5).contains(&age), "{age}");
}

#[test]
fn what_is_immutable_is_not_validated_while_it_is_fresh() {
    // RFC 8246 §2, §2.1: unless the client says no-cache; arguments mean nothing.
    each(
        [
            "immutable",
            "IMMUTABLE",
            "immutable=x",
            "immutable, immutable",
        ],
        |immutable| {
            let t = Test::new();
            let reply = Reply::ok("one").field("etag", "\"a\"");
            t.origin(reply.control(&format!("max-age=600, {immutable}")));
            t.get().says("one");
            t.ask("GET")
                .control("max-age=0")
                .send()
                .says("one")
                .is_hit();
            t.get_with("cache-control: max-age=0\nif-none-match: \"a\"")
                .is(304, "")
                .is_hit();
            t.was_called(1);
            t.ask("GET")
                .control("no-cache")
                .send()
                .says("one")
                .is_forwarded();
        },
    );
}

#[test]
fn what_is_immutable_is_validated_once_it_is_stale() {
    // RFC 8246 §2: "Stale responses SHOULD be revalidated as they normally would be".
    none_is_reused(&[
        "cache-control: max-age=10, immutable\nage: 20\netag: \"a\"",
        "cache-control: immutable",
        "cache-control: immutable, max-age=0\netag: \"a\"",
    ]);
}

#[test]
fn immutable_in_a_request_has_no_effect() {
    // RFC 8246 §2.
    let t = Test::new();
    t.origin(Reply::ok("one").control("max-age=600"));
    t.get().says("one");
    t.ask("GET")
        .control("max-age=0, immutable")
        .send()
        .is_forwarded();
}
