//! Messages that end early, late or oddly, and who must not notice (RFC 9110 §6.1, RFC 9111 §3.3).

use crate::support::{Answer, Gate, Reply, Test, each, text};
use std::thread;

fn fresh(body: impl Into<Vec<u8>>) -> Reply {
    Reply::ok(body).control("max-age=600")
}

/// It is the next response, or an error: that the connection to the origin ended may be noticed late.
fn is_next(answer: Answer) {
    assert!(answer.status == 502 || answer.text() == "next", "{answer}");
}

/// What is cut off is no response, and the next one is asked for again.
fn is_never_completed(cut: Reply) {
    let t = Test::new();
    t.origin(cut);
    // Where not even a byte of it came, the end of the connection may be all there is.
    if let Some(answer) = t.ask("GET").open().answer_if_any("GET") {
        assert!(!answer.is_whole || answer.status == 502, "{answer}");
    }
    t.origin(fresh("0123456789"));
    t.get().says("0123456789");
    t.get().says("0123456789").is_hit();
}

#[test]
fn an_origin_that_says_nothing_is_a_bad_gateway() {
    // RFC 9110 §15.6.3; §9.2.2: what failed is not sent again.
    each(["GET", "HEAD", "POST", "PUT", "OPTIONS"], |method| {
        each(
            [
                Reply::hang_up(),
                Reply::raw("HTTP/1.1 200 OK\r\nContent-Le"),
                Reply::raw("HTTP/1.1 200 OK\r\n"),
                Reply::raw("nonsense\r\n\r\n"),
                Reply::raw("HTTP/1.1 20 OK\r\n\r\n"),
            ],
            |reply| {
                let t = Test::new();
                t.origin(reply.clone());
                t.ask(method).send().has_status(502);
                t.was_called(1);
            },
        );
    });
}

#[test]
fn a_bad_gateway_is_not_stored() {
    let t = Test::new();
    t.origin(Reply::hang_up());
    t.get().has_status(502);
    t.origin(fresh("one"));
    t.get().says("one");
}

#[test]
fn a_body_that_is_cut_off_is_seen_to_be_and_not_stored() {
    // RFC 9111 §3.3: an incomplete response answers nothing; RFC 9112 §8: nor may it look complete.
    each([0, 1, 5, 9], |count| {
        is_never_completed(fresh("0123456789").cut_after(*count));
        is_never_completed(fresh("0123456789").chunked().cut_after(*count));
        is_never_completed(fresh("0123456789").field("etag", "\"a\"").cut_after(*count));
        is_never_completed(fresh("0123456789").declared(20).cut_after(*count));
    });
    is_never_completed(fresh("0123456789").chunked().cut_after(10));
    is_never_completed(fresh("0123456789").declared(11).cut_after(10));
}

#[test]
fn a_long_body_that_is_cut_off_is_seen_to_be_and_not_stored() {
    let long = vec![b'x'; 1_000_000];
    is_never_completed(fresh(long.clone()).cut_after(900_000));
    is_never_completed(fresh(long).chunked().cut_after(900_000));
}

#[test]
fn chunks_that_are_none_end_a_body_early() {
    // RFC 9112 §7.1.
    let head =
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunks in [
        "3\r\nabc\r\nxyz\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "-1\r\n",
        "3\r\nabc\r\n0\r\n",
        "",
    ] {
        is_never_completed(Reply::raw(format!("{head}{chunks}")));
    }
}

#[test]
fn a_body_that_ends_with_its_connection_is_whole() {
    // RFC 9112 §6.3: there is no telling.
    let t = Test::new();
    t.origin(fresh("one").until_close());
    t.get().says("one");
    t.get().says("one").is_hit();
}

#[test]
fn what_comes_after_a_body_is_of_no_response() {
    // RFC 9112 §6.3: the length says where it ends.
    let t = Test::alone();
    t.origin(fresh("0123456789").declared(4));
    t.get().says("0123");
    t.get().says("0123").is_hit();
    t.origin(fresh("next"));
    is_next(t.get_at("?next"));
}

#[test]
fn messages_whose_end_is_in_doubt_are_refused() {
    // RFC 9112 §6.3: lengths that differ are an error.
    for lines in [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: x",
        "Content-Length: -3",
    ] {
        let t = Test::new();
        let head = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n{lines}\r\n\r\n");
        t.origin(Reply::raw(head + "abcd"));
        t.get().has_status(502);
        t.origin(fresh("one"));
        t.get().says("one");
    }
}

#[test]
fn a_slow_client_hinders_nobody() {
    // What is taken from the origin is taken at its speed, not at one client's.
    let long = vec![b'x'; 12_000_000];
    let t = Test::new();
    t.origin(fresh(long.clone()));
    let slow = t.ask("GET").open();
    t.wait_for_calls(1);
    let answer = t.get();
    assert!(
        answer.is_whole && answer.body == long,
        "{} bytes",
        answer.body.len()
    );
    t.was_called(1);
    let mut slow = slow;
    assert_eq!(slow.answer("GET").body.len(), long.len());
}

#[test]
fn a_client_that_leaves_hinders_nobody() {
    // RFC 9111 §4: a response under way may satisfy others.
    let t = Test::new();
    let gate = Gate::default();
    t.origin(fresh("0123456789").body_behind(&gate));
    let leaving = t.ask("GET").open();
    t.wait_for_calls(1);
    thread::scope(|scope| {
        let staying = scope.spawn(|| t.get());
        drop(leaving);
        gate.open();
        staying.join().expect("it is answered").says("0123456789");
    });
    t.get().says("0123456789");
}

#[test]
fn many_who_ask_at_once_share_one_request() {
    // RFC 9111 §4: "combine multiple incoming requests into a single forward request".
    let t = Test::new();
    let gate = Gate::default();
    t.origin(fresh("one").behind(&gate));
    thread::scope(|scope| {
        let clients = scope.spawn(|| t.get_at_once(10));
        t.wait_for_calls(1);
        gate.open();
        for answer in clients.join().expect("all are answered") {
            answer.says("one");
        }
    });
    t.was_called(1);
}

#[test]
fn what_is_for_one_alone_is_given_to_one_alone() {
    // RFC 9111 §4: "if the cache cannot use the returned response for some or all of the collapsed
    // requests, it will need to forward the requests".
    each(
        [
            "no-store",
            "private",
            "private, max-age=600",
            "no-cache",
            "max-age=0",
        ],
        |control| {
            let t = Test::new();
            let gate = Gate::default();
            let (own, control) = (gate.clone(), (*control).to_owned());
            t.origin_says(move |_, n| Reply::ok(n.to_string()).control(&control).behind(&own));
            let mut texts: Vec<_> = thread::scope(|scope| {
                let clients = scope.spawn(|| t.get_at_once(4));
                t.wait_for_calls(1);
                gate.open();
                let answers = clients.join().expect("all are answered");
                answers.iter().map(Answer::text).collect()
            });
            texts.sort();
            assert_eq!(texts, ["1", "2", "3", "4"]);
        },
    );
}

#[test]
fn those_who_ask_for_other_variants_do_not_share() {
    // RFC 9111 §4.1: also while nothing is stored.
    let t = Test::new();
    let gate = Gate::default();
    let own = gate.clone();
    t.origin_says(move |request, _| {
        let value = request.field("x-a").unwrap_or("0").to_owned();
        fresh(value).fields("vary: x-a").behind(&own)
    });
    thread::scope(|scope| {
        let values = ["1", "2", "3"];
        let clients = values.map(|value| {
            let ask = t.ask("GET").field("x-a", value);
            scope.spawn(move || ask.send().says(value))
        });
        t.wait_for_calls(1);
        gate.open();
        for client in clients {
            client.join().expect("it is answered");
        }
    });
}

#[test]
fn several_requests_come_on_one_connection() {
    // RFC 9112 §9.3.
    let t = Test::new();
    t.origin_says(|request, _| fresh(request.target.clone()));
    let mut connection = t.connect();
    for end in ["?1", "?2", "?1", "?3"] {
        connection.write(t.ask("GET").at(end).message());
        connection.answer("GET").says(&(t.path() + end));
    }
    t.was_called(3);
}

#[test]
fn requests_in_a_row_are_answered_in_order() {
    // RFC 9112 §9.3.2.
    let t = Test::new();
    let gate = Gate::default();
    t.origin_at("?slow", fresh("slow").behind(&gate));
    t.origin_at("?fast", fresh("fast"));
    t.get_at("?fast").says("fast");
    let mut connection = t.connect();
    let ends = ["?slow", "?fast", "?slow"];
    connection.write(ends.map(|end| t.ask("GET").at(end).message()).concat());
    t.wait_for_calls(2);
    gate.open();
    for body in ["slow", "fast", "slow"] {
        connection.answer("GET").says(body);
    }
}

#[test]
fn a_client_may_ask_for_the_last_response() {
    // RFC 9112 §9.6.
    let t = Test::new();
    t.origin(fresh("one"));
    let mut connection = t.ask("GET").field("connection", "close").open();
    connection.answer("GET").says("one");
    assert!(connection.is_closed());
}

#[test]
fn a_client_that_says_no_more_still_gets_its_response() {
    let t = Test::new();
    t.origin(fresh("one"));
    let mut connection = t.ask("GET").open();
    connection.write_no_more();
    connection.answer("GET").says("one");
}

#[test]
fn a_request_s_body_reaches_the_origin() {
    // RFC 9110 §7.6: messages are forwarded.
    let bytes = text(&(0..=255).collect::<Vec<u8>>());
    let long = "x".repeat(1_000_000);
    for body in ["", "x", &bytes, &long] {
        each(["POST", "PUT", "PATCH", "DELETE", "FOO"], |method| {
            let t = Test::new();
            t.origin(Reply::ok("done"));
            t.ask(method).body(body).send().says("done");
            assert!(t.last().text() == body);
            t.ask(method)
                .chunked(if body.is_empty() { "x" } else { body })
                .send()
                .says("done");
            assert!(t.last().text() == if body.is_empty() { "x" } else { body });
        });
    }
}

#[test]
fn a_get_with_a_body_is_nobody_else_s() {
    // RFC 9110 §9.3.1: it has no meaning for a cache, and the origin may answer it differently.
    let t = Test::new();
    t.origin_says(|request, _| fresh(format!("({})", request.text())));
    t.ask("GET").body("a").send().says("(a)");
    t.ask("GET").body("b").send().says("(b)");
    t.get().says("()");
    t.get().says("()").is_hit();
    t.ask("GET").chunked("c").send().says("(c)");
}

#[test]
fn a_client_that_waits_to_be_asked_is_asked() {
    // RFC 9110 §10.1.1.
    let t = Test::new();
    t.origin_says(|request, _| Reply::ok(request.text()));
    let ask = t.ask("POST").field("expect", "100-continue").body("sent");
    let mut connection = t.connect();
    connection.write(ask.head());
    let interim = connection.next_head().expect("it is asked");
    assert!(
        interim.start.starts_with("HTTP/1.1 100"),
        "{}",
        interim.start
    );
    connection.write("sent");
    connection.answer("POST").says("sent");
}

#[test]
fn a_request_reaches_the_origin_as_it_came() {
    // RFC 9110 §7.6: but for the fields of one hop, and Via (§7.6.1, §7.6.3).
    let t = Test::new();
    t.origin(Reply::ok("one"));
    let lines = "accept: text/html;q=0.5, */*\nx-a: 1\nx-b: 2\nx-a: 3\ncookie: a=b\nuser-agent: x\n\
                 connection: x-hop\nx-hop: 1\nkeep-alive: 5\nte: trailers\nproxy-connection: close\n\
                 via: 1.0 fred\nrange: lines=1-2\nif-none-match: \"a\"\nauthorization: alice";
    t.ask("GET")
        .at("/a%2Fb//c/../d?x=%20&y&")
        .host("a.test")
        .fields(lines)
        .send()
        .says("one");
    let asked = t.last();
    assert_eq!(asked.target, t.path() + "/a%2Fb//c/../d?x=%20&y&");
    assert_eq!(asked.field("host"), Some("a.test"));
    assert_eq!(asked.fields.all("x-a"), ["1", "3"]);
    for (name, value) in [
        ("accept", "text/html;q=0.5, */*"),
        ("x-b", "2"),
        ("cookie", "a=b"),
        ("user-agent", "x"),
        ("range", "lines=1-2"),
        ("if-none-match", "\"a\""),
        ("authorization", "alice"),
    ] {
        assert_eq!(asked.field(name), Some(value), "{name}");
    }
    for name in ["x-hop", "keep-alive", "te", "proxy-connection"] {
        assert!(!asked.fields.has(name), "{name}");
    }
    let via = asked.fields.all("via").join(", ");
    assert!(via.starts_with("1.0 fred, 1.1 "), "{via}");
}

#[test]
fn a_head_has_no_body_whatever_its_fields_say() {
    // RFC 9110 §9.3.2.
    let t = Test::new();
    t.origin(Reply::ok("0123456789").control("no-store"));
    let mut connection = t.connect();
    connection.write([t.ask("HEAD").message(), t.ask("GET").message()].concat());
    connection
        .answer("HEAD")
        .is(200, "")
        .has("content-length", "10");
    connection.answer("GET").says("0123456789");
}

#[test]
fn a_head_says_no_length_that_the_origin_does_not_say() {
    // RFC 9110 §8.6: unless it "equals the decimal number of octets" that a GET would get.
    for control in ["no-store", "max-age=600"] {
        let t = Test::new();
        t.origin(Reply::ok("0123456789").chunked().control(control));
        for _ in 0..2 {
            t.head().is(200, "").has_no("content-length");
        }
    }
}

#[test]
fn those_with_credentials_do_not_share() {
    // RFC 9111 §3.5, §4: also while nothing is stored.
    let t = Test::new();
    let gate = Gate::default();
    let own = gate.clone();
    t.origin_says(move |request, _| {
        let name = request
            .field("authorization")
            .unwrap_or("nobody")
            .to_owned();
        fresh(name).behind(&own)
    });
    thread::scope(|scope| {
        let names = ["alice", "bob", "carol", "alice"];
        let clients = names.map(|name| {
            let ask = t.ask("GET").field("authorization", name);
            scope.spawn(move || ask.send().says(name))
        });
        t.wait_for_calls(1);
        gate.open();
        for client in clients {
            client.join().expect("it is answered");
        }
    });
    t.was_called(4);
}

#[test]
fn one_who_may_not_be_stored_for_shares_nothing() {
    // RFC 9111 §5.2.1.5: "a cache MUST NOT store any part of either this request or any response to it".
    let t = Test::new();
    let gate = Gate::default();
    let own = gate.clone();
    t.origin_says(move |_, n| fresh(n.to_string()).behind(&own));
    thread::scope(|scope| {
        let secret = scope.spawn(|| t.ask("GET").control("no-store").send().says("1"));
        t.wait_for_calls(1);
        let other = scope.spawn(|| t.get().says("2"));
        gate.open();
        secret.join().expect("it is answered");
        other.join().expect("it is answered");
    });
    t.get().says("2").is_hit();
}

#[test]
fn an_origin_of_http_1_0_is_an_origin() {
    // RFC 9112 §6.3, RFC 9110 §2.5.
    let t = Test::new();
    t.origin(Reply::raw(
        "HTTP/1.0 200 OK\r\nCache-Control: max-age=600\r\n\r\none",
    ));
    t.get().says("one");
    t.get().says("one").is_hit();
    t.was_called(1);
}

#[test]
fn directives_cannot_be_hidden_by_how_fields_are_written() {
    // RFC 9112 §5.1, §5.2: white space before the colon is removed and folded lines are one, or it is no
    // response.
    for head in [
        "HTTP/1.1 200 OK\r\nExpires: Fri, 06 Nov 2099 08:49:37 GMT\r\nCache-Control : no-store\r\n",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=600,\r\n no-store\r\n",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nCache-Control:\r\n\tno-store\r\n",
        "HTTP/1.1 200 OK\nCache-Control: no-store\nExpires: Fri, 06 Nov 2099 08:49:37 GMT\n",
        "HTTP/1.1 200 OK\r\ncACHE-cONTROL:nO-sTORE\r\nExpires: Fri, 06 Nov 2099 08:49:37 GMT\r\n",
    ] {
        let t = Test::new();
        let rest = "Connection: close\r\nContent-Length: 3\r\n\r\none";
        t.origin(Reply::raw(format!("{head}{rest}")));
        let first = t.get();
        assert!([200, 502].contains(&first.status), "{first}");
        t.get();
        t.was_called(2);
    }
}

#[test]
fn a_length_beside_chunks_means_nothing() {
    // RFC 9112 §6.3: Transfer-Encoding overrides it, and it is removed, or it is no response.
    let t = Test::new();
    let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 100\r\n\
                Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    t.origin(Reply::raw(format!("{head}3\r\none\r\n0\r\n\r\n")));
    let answer = t.get();
    if answer.status != 502 {
        answer.says("one");
        t.get().says("one");
    }
}

#[test]
fn a_coding_that_is_unknown_is_a_bad_gateway() {
    // RFC 9112 §6.1: nobody behind could tell where the message ends, or what it is.
    each(["gzip, chunked", "foo", "chunked, chunked"], |coding| {
        let t = Test::new();
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: max-age=600\r\n\
                    Transfer-Encoding:";
        t.origin(Reply::raw(format!(
            "{head} {coding}\r\n\r\n3\r\none\r\n0\r\n\r\n"
        )));
        t.get().has_status(502);
        t.origin(fresh("two"));
        t.get().says("two");
    });
}

#[test]
fn a_switch_that_nobody_asked_for_is_a_bad_gateway() {
    // RFC 9110 §15.2.2.
    let t = Test::new();
    t.origin(Reply::raw(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ));
    t.get().has_status(502);
}

#[test]
fn what_follows_a_response_without_body_is_of_no_response() {
    // RFC 9110 §15.3.5, §9.3.2, RFC 9112 §6.3.
    let t = Test::alone();
    t.origin(Reply::raw(
        "HTTP/1.1 204 No Content\r\nCache-Control: max-age=600\r\n\r\nHTTP/1.1 200",
    ));
    t.get().is(204, "");
    t.origin(fresh("next"));
    is_next(t.get_at("?next"));
}

#[test]
fn what_was_cut_off_harms_nobody_who_asks_next() {
    // RFC 9111 §3.3: however soon that is.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for count in 0..100 {
                    let whole = fresh("0123456789");
                    let whole = if count % 2 == 0 {
                        whole
                    } else {
                        whole.chunked()
                    };
                    is_never_completed(whole.cut_after(1 + count % 9));
                }
            });
        }
    });
}

#[test]
fn what_must_be_validated_is_never_shared() {
    // RFC 9111 §5.2.2.4: "MUST NOT be used to satisfy any other request without forwarding it for
    // validation", however many ask at once.
    for control in [
        "no-cache",
        "max-age=0",
        "s-maxage=0",
        "no-cache, max-age=600",
    ] {
        let t = Test::new();
        t.origin_says(move |request, _| {
            let is_known = request.field("if-none-match") == Some("\"a\"");
            let reply = if is_known {
                Reply::new(304)
            } else {
                Reply::ok("one")
            };
            reply.control(control).field("etag", "\"a\"")
        });
        const CLIENTS: usize = 4;
        const EACH: usize = 150;
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| (0..EACH).for_each(|_| drop(t.get().says("one"))));
            }
        });
        assert_eq!(t.calls(), CLIENTS * EACH, "{control}");
    }
}
