//! Parts of representations: taken out of what is stored whole, stored, and put together (RFC 9110
//! §14, RFC 9111 §3.3, §3.4).

use crate::support::{Answer, Gate, Received, Reply, Test, each};
use std::thread;

const DIGITS: &str = "0123456789";

/// A test for which this is stored, whole and fresh.
fn stored(reply: Reply) -> Test {
    let t = Test::new();
    t.origin(reply);
    t.get();
    t.was_called(1);
    t
}

fn digits() -> Reply {
    Reply::ok(DIGITS)
        .control("max-age=600")
        .fields("etag: \"a\"\ncontent-type: text/x-digits")
}

fn part(of: &str, first: usize, last: usize) -> Reply {
    let whole = of.len();
    let reply = Reply::new(206)
        .body(&of[first..=last])
        .control("max-age=600");
    reply.field("content-range", &format!("bytes {first}-{last}/{whole}"))
}

/// An origin that gives out parts, as it should.
fn serving(body: &'static str, tag: &'static str) -> impl Fn(&Received, usize) -> Reply {
    move |request, _| {
        let whole = || Reply::ok(body).control("max-age=600").field("etag", tag);
        if request.field("if-none-match") == Some(tag) {
            return Reply::new(304).control("max-age=600").field("etag", tag);
        }
        let is_same = request.field("if-range").is_none_or(|other| other == tag);
        let range = request.field("range").filter(|_| is_same);
        match range.and_then(|range| bounds(range, body.len())) {
            Some((first, last)) => part(body, first, last).field("etag", tag),
            None => whole(),
        }
    }
}

/// Of one range that is no suffix.
fn bounds(range: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let last = last.parse().unwrap_or(length - 1).min(length - 1);
    Some((first.parse().ok()?, last))
}

#[track_caller]
fn is_part(answer: Answer, first: usize, last: usize) -> Answer {
    let range = format!("bytes {first}-{last}/{}", DIGITS.len());
    answer
        .is(206, &DIGITS[first..=last])
        .has("content-range", &range)
}

#[test]
fn a_part_is_taken_out_of_the_whole() {
    // RFC 9110 §14.1.2, §14.2.
    let t = stored(digits());
    each(
        [
            ("bytes=0-3", 0, 3),
            ("bytes=0-0", 0, 0),
            ("bytes=9-9", 9, 9),
            ("bytes=2-", 2, 9),
            ("bytes=9-", 9, 9),
            ("bytes=0-", 0, 9),
            ("bytes=0-9", 0, 9),
            ("bytes=5-99", 5, 9),
            ("bytes=-3", 7, 9),
            ("bytes=-1", 9, 9),
            ("bytes=-10", 0, 9),
            ("bytes=-99", 0, 9),
            ("bytes=0-99999999999999999999999999", 0, 9),
            ("bytes=-99999999999999999999999999", 0, 9),
            ("bytes=000-003", 0, 3),
            ("bytes= 0-3", 0, 3),
            ("bytes=0-3 ,", 0, 3),
            ("Bytes=0-3", 0, 3),
        ],
        |(range, first, last)| {
            let answer = t.ask("GET").field("range", range).send();
            is_part(answer, *first, *last).is_hit();
        },
    );
    t.was_called(1);
}

#[test]
fn a_part_has_the_fields_of_the_whole() {
    // RFC 9110 §15.3.7: those that a 200 would have.
    let lines = "date: {-5}\nexpires: {+600}\nvary: x-a\ncontent-location: /else\nx-a: b";
    let reply = digits().fields(lines);
    let t = stored(reply.clone());
    let answer = is_part(t.get_with("range: bytes=0-3"), 0, 3).is_hit();
    for (name, _) in reply.told().iter() {
        assert_eq!(answer.fields.all(name), reply.told().all(name), "{name}");
    }
    assert_eq!(answer.field("content-length"), Some("4"));
    assert!(answer.number("age") >= 5);
}

#[test]
fn a_range_beyond_the_end_is_not_satisfiable() {
    // RFC 9110 §14.2, §14.4: SHOULD, with the length.
    let t = stored(digits());
    each(
        [
            "bytes=10-",
            "bytes=10-20",
            "bytes=99999999999999999999999-",
            "bytes=-0",
            "bytes=10-,20-",
        ],
        |range| {
            let answer = t.ask("GET").field("range", range).send();
            answer.has_status(416).has("content-range", "bytes */10");
        },
    );
    t.was_called(1);
}

#[test]
fn a_range_that_is_invalid_is_ignored() {
    // RFC 9110 §14.2: an unknown unit MUST be ignored by an origin, what is invalid MAY be.
    let t = stored(digits());
    each(
        [
            "bytes=5-2",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=0-x",
            "bytes",
            "0-3",
            "bytes 0-3",
            "bytes=0--3",
            "bytes=0-3-5",
            "bytes=1.5-3",
            "bytes=+1-3",
            "bytes=--3",
            "bytes=0-3, 5-2",
            "lines=0-3",
            "bytes=0 - 3",
            "",
        ],
        |range| {
            let answer = t.ask("GET").field("range", range).send();
            answer.says(DIGITS);
        },
    );
}

#[test]
fn a_range_is_for_get_alone() {
    // RFC 9110 §14.2.
    let t = stored(digits());
    let answer = t.ask("HEAD").field("range", "bytes=0-3").send();
    answer.is(200, "").is_hit().has_no("content-range");
}

#[test]
fn a_range_is_of_a_200_alone() {
    // RFC 9110 §14.2: "only if the result in absence of the Range header field would be a 200".
    each([404, 410, 301], |status| {
        let reply = Reply::new(*status).body(DIGITS).control("max-age=600");
        stored(reply)
            .get_with("range: bytes=0-3")
            .is(*status, DIGITS)
            .is_hit();
    });
}

/// The parts of a multipart body: their fields as one text, and their content.
#[track_caller]
fn parts(answer: &Answer) -> Vec<(String, String)> {
    let media_type = answer
        .field("content-type")
        .expect("it has a type")
        .to_owned();
    let boundary = media_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap_or_else(|| panic!("{media_type}"));
    let boundary = boundary.trim_matches('"');
    let body = format!("\r\n{}", answer.text());
    let body = body.strip_suffix("\r\n").unwrap_or(&body);
    let body = body
        .strip_suffix(&format!("\r\n--{boundary}--"))
        .expect("it ends so");
    let delimiter = format!("\r\n--{boundary}\r\n");
    let mut found = body.split(&delimiter);
    assert_eq!(
        found.next(),
        Some(""),
        "nothing comes before the first part"
    );
    let part = |part: &str| {
        let (head, content) = part.split_once("\r\n\r\n").expect("a part has a head");
        (head.to_ascii_lowercase(), content.to_owned())
    };
    found.map(part).collect()
}

#[test]
fn several_ranges_are_parts_of_one_body() {
    // RFC 9110 §14.6, §15.3.7.2; as far apart as not to be better sent as one.
    let body: String = (0..1000).map(|n| format!("{n:03},")).collect();
    let reply = Reply::ok(body.clone())
        .control("max-age=600")
        .field("content-type", "text/x-told");
    let t = stored(reply);
    each(
        [
            ("bytes=0-1,2000-2003", vec![(0, 1), (2000, 2003)]),
            ("bytes=2000-2003, 0-1", vec![(2000, 2003), (0, 1)]),
            (
                "bytes=0-0,1500-1509,-4",
                vec![(0, 0), (1500, 1509), (3996, 3999)],
            ),
            ("bytes=10-20,9999-,3000-", vec![(10, 20), (3000, 3999)]),
        ],
        |(range, wanted)| {
            let answer = t
                .ask("GET")
                .field("range", range)
                .send()
                .has_status(206)
                .is_hit();
            let answer = answer.has_no("content-range");
            assert!(answer.is_whole);
            let length = answer.body.len().to_string();
            assert_eq!(answer.field("content-length"), Some(&*length));
            let parts = parts(&answer);
            assert_eq!(parts.len(), wanted.len(), "{answer}");
            for ((head, content), (first, last)) in parts.iter().zip(wanted) {
                assert!(
                    head.contains(&format!("content-range: bytes {first}-{last}/4000")),
                    "{head}"
                );
                assert!(head.contains("content-type: text/x-told"), "{head}");
                assert_eq!(*content, body[*first..=*last]);
            }
        },
    );
}

#[test]
fn of_several_ranges_one_that_can_be_satisfied_is_enough() {
    // RFC 9110 §14.1.1, §15.3.7.2: then one part may come alone.
    let t = stored(digits());
    let answer = t
        .get_with("range: bytes=50-60, 2-4")
        .has_status(206)
        .is_hit();
    match answer.field("content-range") {
        Some(range) => assert_eq!((range, &*answer.text()), ("bytes 2-4/10", "234")),
        None => assert_eq!(parts(&answer)[0].1, "234"),
    }
}

#[test]
fn many_ranges_make_no_response_greater_than_the_whole_by_much() {
    // RFC 9110 §14.2, §17.15: overlapping and many small ranges are an attack.
    let t = stored(digits());
    let many = ["0-9"; 200].join(",");
    let answer = t.ask("GET").field("range", &format!("bytes={many}")).send();
    assert!([200, 206, 416].contains(&answer.status), "{answer}");
    assert!(answer.is_whole && answer.body.len() < 1000, "{answer}");
}

#[test]
fn if_range_asks_for_the_part_of_what_is_known() {
    // RFC 9110 §13.1.5: by strong comparison, and a date by exact match where it is strong (§8.8.2.2).
    let old = "Sun, 06 Nov 1994 08:49:37 GMT";
    let dated = format!("last-modified: {old}");
    let just_now =
        "date: Sun, 06 Nov 1994 08:49:37 GMT\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT";
    each(
        [
            ("etag: \"a\"", "\"a\"", true),
            ("etag: \"a\"", "\"b\"", false),
            ("etag: \"a\"", "W/\"a\"", false),
            ("etag: W/\"a\"", "W/\"a\"", false),
            ("etag: W/\"a\"", "\"a\"", false),
            ("etag: \"a\"", "\"a\", \"b\"", false),
            ("etag: \"a\"", "*", false),
            (&dated, old, true),
            (&dated, "Sun, 06 Nov 1994 08:49:38 GMT", false),
            (&dated, "Sun, 06 Nov 1994 08:49:36 GMT", false),
            (&dated, "\"a\"", false),
            (just_now, old, false),
            ("x: y", "\"a\"", false),
            ("x: y", old, false),
        ],
        |(lines, condition, is_part_wanted)| {
            let reply = Reply::ok(DIGITS)
                .control("s-maxage=2000000000")
                .fields(lines);
            let t = stored(reply);
            let ask = t
                .ask("GET")
                .field("range", "bytes=0-3")
                .field("if-range", condition);
            if *is_part_wanted {
                is_part(ask.send(), 0, 3).is_hit();
            } else {
                ask.send().says(DIGITS).is_hit().has_no("content-range");
            }
        },
    );
}

#[test]
fn if_range_means_nothing_without_a_range() {
    // RFC 9110 §13.1.5.
    let t = stored(digits());
    each(["\"a\"", "\"b\""], |condition| {
        t.ask("GET")
            .field("if-range", condition)
            .send()
            .says(DIGITS)
            .is_hit();
    });
}

#[test]
fn conditions_go_before_ranges() {
    // RFC 9110 §13.2.2, §14.2.
    let t = stored(digits().field("last-modified", "{-1000}"));
    each(
        [
            "if-none-match: \"a\"",
            "if-modified-since: {-10}",
            "if-none-match: \"a\"\nif-range: \"b\"",
        ],
        |lines| {
            let ask = t.ask("GET").fields(lines).field("range", "bytes=0-3");
            ask.send().is(304, "").is_hit();
        },
    );
    each(
        ["if-none-match: \"b\"", "if-modified-since: {-2000}"],
        |lines| {
            let ask = t.ask("GET").fields(lines).field("range", "bytes=0-3");
            is_part(ask.send(), 0, 3).is_hit();
        },
    );
    t.was_called(1);
}

#[test]
fn a_part_of_what_is_stale_is_validated() {
    // RFC 9111 §4: a part is a use of the stored response.
    let t = Test::new();
    t.origin(digits().field("age", "1000"));
    t.get().says(DIGITS);
    t.origin_says(serving(DIGITS, "\"a\""));
    is_part(t.get_with("range: bytes=0-3"), 0, 3).is_forwarded();
    t.was_called(2);
}

#[test]
fn a_range_goes_to_the_origin_where_nothing_is_stored() {
    let t = Test::new();
    t.origin_says(serving(DIGITS, "\"a\""));
    is_part(t.get_with("range: bytes=2-5"), 2, 5).is_forwarded();
    assert_eq!(t.last().field("range"), Some("bytes=2-5"));
}

#[test]
fn a_whole_in_answer_to_a_range_is_stored_whole() {
    // RFC 9110 §14.2: an origin MAY ignore Range.
    let t = Test::new();
    t.origin(digits());
    t.get_with("range: bytes=0-3");
    t.get().says(DIGITS).is_hit();
    is_part(t.get_with("range: bytes=2-5"), 2, 5).is_hit();
    t.was_called(1);
}

#[test]
fn a_stored_part_answers_for_what_is_in_it() {
    // RFC 9111 §3.3: "the request is partial and specifies a range wholly within".
    let t = Test::new();
    t.origin_says(serving(DIGITS, "\"a\""));
    is_part(t.get_with("range: bytes=2-6"), 2, 6);
    each([(2, 6), (2, 3), (4, 5), (6, 6)], |(first, last)| {
        let ask = t
            .ask("GET")
            .field("range", &format!("bytes={first}-{last}"));
        is_part(ask.send(), *first, *last).is_hit();
    });
    t.was_called(1);
    is_part(t.get_with("range: bytes=5-8"), 5, 8).is_forwarded();
    t.was_called(2);
}

#[test]
fn a_stored_part_answers_conditions_and_if_range() {
    // RFC 9111 §4.3.2: of a stored 206 as of a stored 200.
    let t = Test::new();
    t.origin_says(serving(DIGITS, "\"a\""));
    t.get_with("range: bytes=2-6");
    is_part(t.get_with("range: bytes=3-4\nif-range: \"a\""), 3, 4).is_hit();
    t.get_with("range: bytes=3-4\nif-none-match: \"a\"")
        .is(304, "");
    t.was_called(1);
}

#[test]
fn a_stored_part_never_answers_a_request_for_the_whole() {
    // RFC 9111 §3.3: "MUST NOT use an incomplete response to answer requests".
    each(["", "accept: */*"], |lines| {
        let t = Test::new();
        t.origin(part(DIGITS, 0, 3).field("etag", "\"a\""));
        is_part(t.get_with("range: bytes=0-3"), 0, 3);
        t.origin(digits().field("x-whole", "1"));
        t.get_with(lines).says(DIGITS);
        t.get_with(lines).says(DIGITS).is_hit();
        t.was_called(2);
    });
}

#[test]
fn a_stored_part_never_answers_a_head_with_its_length() {
    // RFC 9110 §9.3.2: as a GET would be answered.
    let t = Test::new();
    t.origin_says(serving(DIGITS, "\"a\""));
    t.get_with("range: bytes=0-3");
    let head = t.head().has_status(200).has_no("content-range");
    assert_ne!(head.field("content-length"), Some("4"));
}

#[test]
fn the_whole_is_completed_by_what_is_missing() {
    // RFC 9111 §3.3: "by making a subsequent range request"; RFC 9110 §13.1.5: If-Range.
    let t = Test::new();
    t.origin_says(serving(DIGITS, "\"a\""));
    t.get_with("range: bytes=0-3");
    t.get().says(DIGITS).has_no("content-range");
    let asked = t.last();
    assert!(["bytes=4-", "bytes=4-9"].contains(&asked.field("range").unwrap_or_default()));
    assert_eq!(asked.field("if-range"), Some("\"a\""));
    t.get().says(DIGITS).is_hit().has_no("content-range");
    is_part(t.get_with("range: bytes=2-7"), 2, 7).is_hit();
    t.was_called(2);
}

#[test]
fn the_whole_is_not_completed_by_what_is_of_another() {
    // RFC 9111 §3.4: "if they all share the same strong validator".
    let t = Test::new();
    t.origin_says(serving(DIGITS, "\"a\""));
    t.get_with("range: bytes=0-3");
    t.origin_says(serving("abcdefghij", "\"b\""));
    t.get().says("abcdefghij");
    t.get().says("abcdefghij").is_hit();
}

#[test]
fn parts_are_put_together() {
    // RFC 9111 §3.4, RFC 9110 §15.3.7.3.
    each(
        [
            [(0, 4), (5, 9)],
            [(5, 9), (0, 4)],
            [(0, 6), (4, 9)],
            [(3, 9), (0, 5)],
        ],
        |ranges| {
            let t = Test::new();
            t.origin_says(serving(DIGITS, "\"a\""));
            for (first, last) in ranges {
                let ask = t
                    .ask("GET")
                    .field("range", &format!("bytes={first}-{last}"));
                is_part(ask.send(), *first, *last);
            }
            let calls = t.calls();
            let whole = t.get().says(DIGITS).is_hit().has_no("content-range");
            assert!(
                [None, Some("10")].contains(&whole.field("content-length")),
                "{whole}"
            );
            is_part(t.get_with("range: bytes=3-7"), 3, 7).is_hit();
            t.was_called(calls);
        },
    );
}

#[test]
fn fields_of_the_newer_part_count() {
    // RFC 9111 §3.4: "MUST update the stored response header fields".
    let t = Test::new();
    t.origin(part(DIGITS, 0, 4).fields("etag: \"a\"\nx-number: 1\nx-first: 1"));
    t.get_with("range: bytes=0-4");
    t.origin(part(DIGITS, 5, 9).fields("etag: \"a\"\nx-number: 2"));
    t.get_with("range: bytes=5-9");
    t.get()
        .says(DIGITS)
        .is_hit()
        .has("x-number", "2")
        .has("x-first", "1");
}

#[test]
fn parts_without_the_same_strong_validator_are_not_put_together() {
    // RFC 9111 §3.4.
    each(
        [
            ("etag: \"a\"", "etag: \"b\""),
            ("etag: W/\"a\"", "etag: W/\"a\""),
            ("etag: \"a\"", "etag: W/\"a\""),
            ("etag: \"a\"", "x: y"),
            ("x: y", "x: y"),
        ],
        |(first, second)| {
            let t = Test::new();
            t.origin(part(DIGITS, 0, 4).fields(first));
            is_part(t.get_with("range: bytes=0-4"), 0, 4);
            t.origin(part(DIGITS, 5, 9).fields(second));
            is_part(t.get_with("range: bytes=5-9"), 5, 9);
            t.origin(Reply::ok("abcdefghij").field("etag", "\"c\""));
            t.get().says("abcdefghij");
        },
    );
}

#[test]
fn a_content_range_that_lies_is_passed_on_and_used_no_further() {
    // RFC 9110 §14.4: "MUST NOT attempt to recombine the received content with a stored representation".
    each(
        [
            "bytes 0-9/10",
            "bytes 0-2/10",
            "bytes 3-0/10",
            "bytes 0-3/2",
            "bytes 0-3/3",
            "bytes */10",
            "bytes 0-3",
            "bytes=0-3/10",
            "lines 0-3/10",
            "nonsense",
            "bytes -3/10",
            "bytes 0-99999999999999999999/999999999999999999999",
        ],
        |range| {
            let t = Test::new();
            let lie = Reply::new(206)
                .body("0123")
                .control("max-age=600")
                .field("etag", "\"a\"");
            t.origin(lie.field("content-range", range));
            t.get_with("range: bytes=0-3")
                .is(206, "0123")
                .has("content-range", range);
            t.origin_says(serving(DIGITS, "\"a\""));
            is_part(t.get_with("range: bytes=1-2"), 1, 2).is_forwarded();
            t.get().says(DIGITS);
        },
    );
}

#[test]
fn a_part_without_content_range_is_not_stored() {
    // RFC 9110 §15.3.7.1: there is no telling what it is a part of.
    let t = Test::new();
    t.origin(
        Reply::new(206)
            .body("0123")
            .control("max-age=600")
            .field("etag", "\"a\""),
    );
    t.get_with("range: bytes=0-3").is(206, "0123");
    t.origin_says(serving(DIGITS, "\"a\""));
    is_part(t.get_with("range: bytes=0-3"), 0, 3).is_forwarded();
    t.get().says(DIGITS);
}

#[test]
fn parts_of_several_ranges_are_passed_on() {
    // RFC 9110 §14.6: from the origin to the client, to the byte.
    let t = Test::new();
    let body = "--x\r\nContent-Range: bytes 0-0/10\r\n\r\n0\r\n--x\r\nContent-Range: bytes 9-9/10\r\n\r\n\
                9\r\n--x--\r\n";
    let reply = Reply::new(206)
        .body(body)
        .control("max-age=600")
        .field("etag", "\"a\"");
    t.origin(reply.field("content-type", "multipart/byteranges; boundary=x"));
    t.get_with("range: bytes=0-0,-1").is(206, body);
    t.origin_says(serving(DIGITS, "\"a\""));
    t.get().says(DIGITS);
}

#[test]
fn a_part_that_nobody_asked_for_is_not_used() {
    // RFC 9111 §3.3: "MUST NOT send a partial response to a client without explicitly marking it".
    let t = Test::new();
    t.origin(part(DIGITS, 0, 3).field("etag", "\"a\""));
    t.get().has_status(206);
    t.origin(digits());
    t.get().says(DIGITS);
}

#[test]
fn a_refusal_of_a_range_answers_nothing_else() {
    // RFC 9110 §15.5.17: it is about the Range of one request.
    let t = Test::new();
    t.origin(
        Reply::new(416)
            .control("max-age=600")
            .field("content-range", "bytes */10"),
    );
    t.get_with("range: bytes=50-").has_status(416);
    t.origin_says(serving(DIGITS, "\"a\""));
    is_part(t.get_with("range: bytes=0-3"), 0, 3);
    t.get().says(DIGITS);
}

#[test]
fn a_part_that_is_cut_off_is_no_more_than_what_came() {
    // RFC 9111 §3.3, and the whole of it: what is stored is what came, or nothing.
    let t = Test::new();
    t.origin(part(DIGITS, 0, 5).field("etag", "\"a\"").cut_after(3));
    let answer = t.get_with("range: bytes=0-5");
    assert!(!answer.is_whole, "{answer}");
    t.origin_says(serving(DIGITS, "\"a\""));
    is_part(t.get_with("range: bytes=0-5"), 0, 5);
    t.get().says(DIGITS);
}

#[test]
fn a_part_is_stored_by_a_heuristic_too() {
    // RFC 9110 §15.3.7: "A 206 response is heuristically cacheable".
    let t = Test::new();
    let reply = Reply::new(206)
        .body("0123")
        .field("content-range", "bytes 0-3/10");
    t.origin(reply.fields("etag: \"a\"\nlast-modified: {-86400000}"));
    t.get_with("range: bytes=0-3");
    is_part(t.get_with("range: bytes=1-2"), 1, 2).is_hit();
}

#[test]
fn a_part_may_be_forbidden_to_be_stored() {
    // RFC 9111 §3: as every response.
    each(
        ["no-store, max-age=600", "private, max-age=600"],
        |control| {
            let t = Test::new();
            let reply = Reply::new(206)
                .body("0123")
                .field("content-range", "bytes 0-3/10");
            t.origin(reply.control(control).field("etag", "\"a\""));
            for calls in 1..3 {
                t.get_with("range: bytes=0-3").is(206, "0123");
                t.was_called(calls);
            }
        },
    );
}

#[test]
fn of_nothing_there_is_no_part() {
    // RFC 9110 §14.1.2: nothing but a suffix can be satisfied; §14.2: Range may be ignored.
    let t = stored(Reply::ok("").control("max-age=600"));
    each(["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"], |range| {
        let answer = t.ask("GET").field("range", range).send();
        assert!([200, 416].contains(&answer.status), "{answer}");
    });
}

#[test]
fn those_who_want_a_part_and_those_who_want_the_whole_may_come_together() {
    // RFC 9111 §4, §3.3: while the whole is on its way.
    let t = Test::new();
    let gate = Gate::default();
    let own = gate.clone();
    let serve = serving(DIGITS, "\"a\"");
    t.origin_says(move |request, n| serve(request, n).body_behind(&own));
    thread::scope(|scope| {
        let whole = scope.spawn(|| t.get());
        t.wait_for_calls(1);
        let part = scope.spawn(|| t.get_with("range: bytes=2-5"));
        let head = scope.spawn(|| t.head());
        let same = scope.spawn(|| t.get_with("if-none-match: \"a\""));
        let other = scope.spawn(|| t.get());
        head.join().unwrap().is(200, "");
        same.join().unwrap().is(304, "");
        gate.open();
        whole.join().unwrap().says(DIGITS);
        other.join().unwrap().says(DIGITS);
        is_part(part.join().unwrap(), 2, 5);
    });
}

#[test]
fn what_is_in_a_stored_part_may_be_asked_for_in_any_form() {
    // RFC 9110 §14.1.2: its Content-Range tells the length of the whole.
    let t = Test::new();
    t.origin_says(serving(DIGITS, "\"a\""));
    is_part(t.get_with("range: bytes=5-"), 5, 9);
    for (range, first) in [
        ("bytes=7-", 7),
        ("bytes=-2", 8),
        ("bytes=6-99", 6),
        ("bytes=-5", 5),
    ] {
        is_part(t.ask("GET").field("range", range).send(), first, 9).is_hit();
    }
    t.was_called(1);
    is_part(t.get_with("range: bytes=4-"), 4, 9).is_forwarded();
}

#[test]
fn a_part_of_each_variant_is_its_own() {
    // RFC 9111 §4.1: a stored part has selecting fields as well.
    let t = Test::new();
    t.origin_says(|request, _| {
        let body = if request.field("x-a") == Some("1") {
            DIGITS
        } else {
            "abcdefghij"
        };
        let tag = if body == DIGITS { "\"1\"" } else { "\"2\"" };
        part(body, 0, 3).field("etag", tag).field("vary", "x-a")
    });
    t.get_with("range: bytes=0-3\nx-a: 1").is(206, "0123");
    t.get_with("range: bytes=0-3\nx-a: 2")
        .is(206, "abcd")
        .is_forwarded();
    t.get_with("range: bytes=1-2\nx-a: 1")
        .is(206, "12")
        .is_hit();
    t.get_with("range: bytes=1-2\nx-a: 2")
        .is(206, "bc")
        .is_hit();
}

#[test]
fn a_content_range_without_a_206_means_nothing() {
    // RFC 9110 §14.4: "has no meaning for status codes that do not explicitly describe its semantic".
    let t = Test::new();
    t.origin(digits().field("content-range", "bytes 0-9/100"));
    t.get().says(DIGITS).has("content-range", "bytes 0-9/100");
    t.get().says(DIGITS);
}

#[test]
fn a_part_with_an_unknown_length_is_passed_on() {
    // RFC 9110 §14.4: `*` stands for a length that is not known.
    let t = Test::new();
    let reply = Reply::new(206)
        .body("0123")
        .control("max-age=600")
        .field("etag", "\"a\"");
    t.origin(reply.field("content-range", "bytes 0-3/*"));
    t.get_with("range: bytes=0-3")
        .is(206, "0123")
        .has("content-range", "bytes 0-3/*");
    t.get_with("range: bytes=0-3").is(206, "0123");
    t.origin_says(serving(DIGITS, "\"a\""));
    t.get().says(DIGITS);
    is_part(t.get_with("range: bytes=2-7"), 2, 7);
}

#[test]
fn parts_that_leave_a_gap_are_not_the_whole() {
    // RFC 9111 §3.3, §3.4.
    let t = Test::new();
    t.origin_says(serving(DIGITS, "\"a\""));
    is_part(t.get_with("range: bytes=0-2"), 0, 2);
    is_part(t.get_with("range: bytes=7-9"), 7, 9);
    is_part(t.get_with("range: bytes=1-8"), 1, 8).is_forwarded();
    t.get().says(DIGITS);
}

#[test]
fn a_stale_part_is_validated() {
    // RFC 9111 §4, §4.3.1.
    let t = Test::new();
    let reply = Reply::new(206)
        .body("0123")
        .control("max-age=10")
        .fields("age: 30\netag: \"a\"");
    t.origin(reply.field("content-range", "bytes 0-3/10"));
    t.get_with("range: bytes=0-3").has_status(206);
    t.origin_says(serving("abcdefghij", "\"b\""));
    // As If-Range asks for the whole of another, this may be the whole.
    let answer = t.get_with("range: bytes=0-3").is_forwarded();
    let found = (answer.status, &*answer.text());
    assert!(
        [(206, "abcd"), (200, "abcdefghij")].contains(&found),
        "{answer}"
    );
    t.get().says("abcdefghij");
}
