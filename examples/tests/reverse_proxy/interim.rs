//! Interim responses (RFC 9110 §15.2): they pass, and are no part of what is stored.

use crate::support::{Answer, Gate, Reply, Test, each};

fn statuses(answer: &Answer) -> Vec<&str> {
    let starts = answer.interim.iter().map(|head| head.start.as_str());
    starts
        .map(|start| start.split(' ').nth(1).unwrap_or_default())
        .collect()
}

#[test]
fn interim_responses_are_forwarded() {
    // "A proxy MUST forward 1xx responses".
    each([102, 103, 104, 150, 199], |status| {
        let t = Test::new();
        t.origin(Reply::ok("one").interim(*status, "link: </a>; rel=preload"));
        let answer = t.get().says("one");
        assert_eq!(statuses(&answer), [status.to_string()]);
        assert_eq!(answer.interim[0].fields.all("link"), ["</a>; rel=preload"]);
        answer.has_no("link");
    });
}

#[test]
fn interim_responses_keep_their_order_and_fields() {
    let t = Test::new();
    let reply = Reply::ok("one")
        .interim(103, "link: </a>\nlink: </b>\nx-a: \u{e4}")
        .interim(102, "")
        .interim(103, "link: </c>\nconnection: x-hop\nx-hop: 1");
    t.origin(reply.fields("link: </final>"));
    let answer = t.get().says("one").has("link", "</final>");
    assert_eq!(statuses(&answer), ["103", "102", "103"]);
    assert_eq!(answer.interim[0].fields.all("link"), ["</a>", "</b>"]);
    assert_eq!(answer.interim[0].fields.all("x-a"), ["\u{e4}"]);
    assert_eq!(answer.interim[2].fields.all("link"), ["</c>"]);
    assert!(!answer.interim[2].fields.has("x-hop"));
}

#[test]
fn interim_responses_come_for_every_method() {
    each(["GET", "HEAD", "POST", "OPTIONS", "FOO"], |method| {
        let t = Test::new();
        t.origin(Reply::ok("one").interim(103, "x-early: 1"));
        assert_eq!(statuses(&t.ask(method).send()), ["103"]);
    });
}

#[test]
fn an_interim_response_does_not_wait_for_the_final_one() {
    // RFC 9110 §15.2: it is for "communicating connection status or request progress".
    let t = Test::new();
    let gate = Gate::default();
    t.origin(Reply::ok("one").interim(103, "x-early: 1").behind(&gate));
    let mut connection = t.ask("GET").open();
    let early = connection.next_head().expect("it comes before");
    assert!(early.start.starts_with("HTTP/1.1 103"), "{}", early.start);
    gate.open();
    connection.answer("GET").says("one").has_no("x-early");
}

#[test]
fn interim_responses_are_not_stored() {
    // RFC 9111 §3: "the response status code is final".
    let t = Test::new();
    t.origin(
        Reply::ok("one")
            .control("max-age=600")
            .interim(103, "cache-control: max-age=600"),
    );
    assert_eq!(statuses(&t.get().says("one")), ["103"]);
    let hit = t.get().says("one").is_hit();
    assert_eq!(statuses(&hit), [""; 0]);
    t.was_called(1);
}

#[test]
fn fields_of_interim_responses_say_nothing_of_the_final_one() {
    let t = Test::new();
    let interim = "cache-control: max-age=600\nexpires: {+600}\netag: \"a\"\nvary: x-a";
    t.origin(Reply::ok("one").interim(103, interim).control("no-store"));
    let answer = t.get().says("one").has("cache-control", "no-store");
    answer.has_no("etag").has_no("vary").has_no("expires");
    t.get().says("one");
    t.was_called(2);
}

#[test]
fn interim_responses_come_with_a_validation() {
    let t = Test::new();
    t.origin(
        Reply::ok("one")
            .control("max-age=10")
            .fields("age: 30\netag: \"a\""),
    );
    t.get().says("one");
    t.origin(
        Reply::new(304)
            .field("etag", "\"a\"")
            .interim(103, "x-early: 1"),
    );
    assert_eq!(statuses(&t.get().says("one").has_no("x-early")), ["103"]);
}

#[test]
fn a_client_of_http_1_0_gets_no_interim_response() {
    // "a server MUST NOT send a 1xx response to an HTTP/1.0 client".
    let t = Test::new();
    t.origin(Reply::ok("one").interim(103, "x-early: 1"));
    let answer = t.ask("GET").version("HTTP/1.0").send().says("one");
    assert_eq!(statuses(&answer), [""; 0]);
}

#[test]
fn many_interim_responses_are_no_matter() {
    let t = Test::new();
    let reply = (0..50).fold(Reply::ok("one"), |reply, n| {
        reply.interim(102, &format!("x-n: {n}"))
    });
    t.origin(reply);
    assert_eq!(statuses(&t.get().says("one")).len(), 50);
}

#[test]
fn interim_responses_stand_before_the_response_they_are_of() {
    // RFC 9112 §9.3.2: where requests come in a row.
    let t = Test::new();
    t.origin_says(|request, _| {
        let own = request.target.clone();
        Reply::ok(own.clone()).interim(103, &format!("x-of: {own}"))
    });
    let mut connection = t.connect();
    let ends = ["?1", "?2", "?3"];
    connection.write(ends.map(|end| t.ask("GET").at(end).message()).concat());
    for end in ends {
        let own = t.path() + end;
        let answer = connection.answer("GET").says(&own);
        assert_eq!(answer.interim.len(), 1);
        assert_eq!(answer.interim[0].fields.all("x-of"), [own]);
    }
}
