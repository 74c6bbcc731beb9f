//! Over real sockets: what a parser, a connection and a slow reader add.

use crate::support::{
    Ask, Framework, Gate, Piece, Policy, Raw, Reply, Settings, Site, eventually, hours, minutes,
    responses,
};
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite;

/// A GET by a real client, on a connection of its own.
async fn get(address: SocketAddr, path: &str) -> hyper::Response<hyper::body::Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get(path).header("host", "example.test");
    sender
        .send_request(request.body(Empty::<bytes::Bytes>::new()).unwrap())
        .await
        .unwrap()
}

async fn get_all(address: SocketAddr, path: &str) -> Option<Vec<u8>> {
    let body = get(address, path).await.into_body().collect().await;
    body.ok().map(|body| body.to_bytes().to_vec())
}

fn numbered(ask: Ask) -> Reply {
    Reply::text(format!("{} {} {}", ask.method, ask.uri, ask.call)).control("public, max-age=60")
}

/// What is after the head.
fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

const CLOSE: &str = "Connection: close\r\n\r\n";

pub(crate) async fn key_01_hosts_are_apart_however_the_request_names_them() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(format!("{} {} {}", ask.call, ask.header("host"), ask.uri))
    })
    .start();
    let address = app.listen().await;
    let ask = async |head: &str| {
        let answer = Raw::exchange(address, format!("{head}\r\n{CLOSE}")).await;
        body(&answer).to_owned()
    };
    assert_eq!(
        ask("GET / HTTP/1.1\r\nHost: good.test").await,
        "1 good.test /"
    );
    assert_eq!(
        ask("GET / HTTP/1.1\r\nHost: evil.test").await,
        "2 evil.test /"
    );
    let disagrees = "GET http://good.test/ HTTP/1.1\r\nHost: evil.test";
    assert_eq!(ask(disagrees).await, "3 evil.test http://good.test/");
    let two = ask("GET / HTTP/1.1\r\nHost: good.test\r\nHost: evil.test").await;
    assert!(!two.contains("1 good.test"), "{two}");
    assert_eq!(
        ask("GET / HTTP/1.1\r\nHost: GOOD.test:80").await,
        "1 good.test /"
    );
    let none = ask("GET / HTTP/1.0").await;
    assert!(
        !none.contains(".test"),
        "no host is a host of its own: {none}"
    );
    app.done().await;
}

pub(crate) async fn key_08_a_get_with_a_body_passes_in_both_framings() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(if ask.body.is_empty() {
            "q=a".into()
        } else {
            ask.body
        })
    })
    .start();
    let address = app.listen().await;
    let head = "GET /?q=a HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n";
    for fat in [
        "Content-Length: 6\r\n\r\nq=evil",
        "Transfer-Encoding: chunked\r\n\r\n6\r\nq=evil\r\n0\r\n\r\n",
    ] {
        assert_eq!(
            body(&Raw::exchange(address, format!("{head}{fat}")).await),
            "q=evil"
        );
        assert_eq!(
            body(&Raw::exchange(address, format!("{head}\r\n")).await),
            "q=a"
        );
    }
    assert_eq!(
        (app.calls(), app.stats().bypasses, app.stats().hits),
        (3, 2, 1)
    );
    app.done().await;
}

pub(crate) async fn key_21_nested_routers_do_not_collide() {
    let says = |name: &'static str| {
        move |ask: Ask| {
            let id = ask.uri.path().rsplit('/').next().unwrap().to_owned();
            std::future::ready(Reply::text(format!("{name} {id}")))
        }
    };
    let app = Site::new()
        .nested(&["/a"], "/u/{id}", Policy::ttl(minutes(5)), says("a"))
        .nested(&["/b", "/c"], "/u/{id}", Policy::ttl(minutes(5)), says("c"))
        .start();
    let address = app.listen().await;
    for _ in 0..2 {
        assert_eq!(get_all(address, "/a/u/1").await.unwrap(), b"a 1");
        assert_eq!(get_all(address, "/b/c/u/1").await.unwrap(), b"c 1");
    }
    assert_eq!((app.stats().hits, app.stats().stored), (2, 2));
    app.done().await;
}

pub(crate) async fn sto_19_an_oversize_field_spoils_nothing() {
    let app = Site::replying(Policy::override_ttl(minutes(5)), |ask| {
        let oversize = ask.headers.values().any(|value| value.len() > 8 * 1024);
        let reply = Reply::text(if oversize { "too large" } else { "the page" });
        if oversize {
            reply.status(431).control("public, max-age=60")
        } else {
            reply
        }
    })
    .start();
    let address = app.listen().await;
    let attack = |size: usize| {
        let field = "a".repeat(size);
        format!("GET / HTTP/1.1\r\nHost: example.test\r\nX-Oversized: {field}\r\n{CLOSE}")
    };
    assert_eq!(
        body(&Raw::exchange(address, attack(9 * 1024)).await),
        "too large"
    );
    // So large that the server refuses it itself, before any layer.
    assert!(Raw::exchange(address, attack(1 << 20)).await.len() < 1000);
    assert_eq!(get_all(address, "/").await.unwrap(), b"the page");
    assert_eq!(app.calls(), 2);
    app.done().await;
}

pub(crate) async fn sto_29_a_head_has_the_length_of_the_get_and_no_body() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(format!("page {}", ask.call))
    })
    .start();
    let address = app.listen().await;
    let head = format!("HEAD / HTTP/1.1\r\nHost: example.test\r\n{CLOSE}");
    let cold = Raw::exchange(address, &head).await;
    assert!(
        cold.contains("content-length: 6\r\n") && body(&cold).is_empty(),
        "{cold}"
    );
    assert_eq!(get_all(address, "/").await.unwrap(), b"page 2");
    let hit = Raw::exchange(address, &head).await;
    assert!(
        hit.contains("content-length: 6\r\n") && body(&hit).is_empty(),
        "{hit}"
    );
    assert_eq!(get_all(address, "/").await.unwrap(), b"page 2");
    assert_eq!(app.calls(), 2);
    app.done().await;
}

pub(crate) async fn sto_40_odd_methods_pass_and_are_taken_to_be_unsafe() {
    let app = Site::replying(Policy::override_ttl(minutes(5)), numbered).start();
    let address = app.listen().await;
    let send = async |line: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: example.test\r\n{CLOSE}");
        Raw::exchange(address, request).await
    };
    assert_eq!(body(&send("GET /").await), "GET / 1");
    assert_eq!(
        body(&send("TRACE /").await),
        "TRACE / 2",
        "safe, and not answered from the store"
    );
    assert_eq!(body(&send("GET /").await), "GET / 1");
    assert_eq!(body(&send("get /").await), "get / 3");
    assert_eq!(body(&send("GET /").await), "GET / 4");
    assert_eq!(body(&send("FOO /").await), "FOO / 5");
    assert_eq!(body(&send("GET /").await), "GET / 6");
    // actix takes the connection for a tunnel, and says nothing more on it.
    if Framework::current() != Framework::Actix {
        send("CONNECT example.test:80").await;
    }
    assert_eq!(
        body(&send("GET /").await),
        "GET / 6",
        "nor does CONNECT leave anything"
    );
    assert_eq!(app.stats().stored, 3);
    app.done().await;
}

pub(crate) async fn sto_41_a_short_body_closes_the_connection_and_is_not_stored() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        let reply = Reply::pieces(vec![Piece::Pause, Piece::data("four")]);
        if ask.call == 1 {
            reply.header("content-length", "10")
        } else {
            reply
        }
    })
    .start();
    let address = app.listen().await;
    assert_eq!(
        get_all(address, "/").await,
        None,
        "the client knows that it is cut"
    );
    for _ in 0..2 {
        assert_eq!(get_all(address, "/").await.unwrap(), b"four");
    }
    assert_eq!(app.calls(), 2);
    app.done().await;
}

pub(crate) async fn sto_42_a_body_that_breaks_off_is_cut_and_not_stored() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        let end = if ask.call == 1 {
            Piece::Fail
        } else {
            Piece::data(" end")
        };
        Reply::pieces(vec![Piece::data("begin"), Piece::Pause, end])
    })
    .start();
    let address = app.listen().await;
    assert_eq!(get_all(address, "/").await, None);
    for _ in 0..2 {
        assert_eq!(get_all(address, "/").await.unwrap(), b"begin end");
    }
    assert_eq!(app.calls(), 2);
    app.done().await;
}

pub(crate) async fn sto_58_a_body_that_a_hit_does_not_read_is_no_request() {
    for framing in ["content-length", "chunked"] {
        let app = Site::new()
            .route("/c", Policy::ttl(minutes(5)), async |_| {
                Reply::text("stored")
            })
            .route("/admin", Policy::off(), async |_| Reply::text("ADMIN"))
            .start();
        let address = app.listen().await;
        assert_eq!(get_all(address, "/c").await.unwrap(), b"stored");
        let smuggled = format!("GET /admin HTTP/1.1\r\nHost: example.test\r\n{CLOSE}");
        for method in ["GET", "HEAD", "POST"] {
            let head = format!("{method} /c HTTP/1.1\r\nHost: example.test\r\n");
            let request = match framing {
                "chunked" => format!(
                    "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n",
                    smuggled.len()
                ),
                _ => format!("{head}Content-Length: {}\r\n\r\n{smuggled}", smuggled.len()),
            };
            let next = format!("GET /c?next HTTP/1.1\r\nHost: example.test\r\n{CLOSE}");
            let answer = Raw::exchange(address, format!("{request}{next}")).await;
            assert!(
                !answer.contains("ADMIN") && responses(&answer) <= 2,
                "{answer}"
            );
        }
        assert_eq!(app.calls_of("/admin"), 0, "{framing}");
        app.done().await;
    }
}

pub(crate) async fn sto_58_requests_that_can_be_read_two_ways_get_nothing_stored_and_smuggle_nothing()
 {
    let app = Site::new()
        .route("/c", Policy::ttl(minutes(5)), async |_| {
            Reply::text("stored")
        })
        .route("/admin", Policy::off(), async |_| Reply::text("ADMIN"))
        .start();
    let address = app.listen().await;
    assert_eq!(get_all(address, "/c").await.unwrap(), b"stored");
    let smuggled = format!("GET /admin HTTP/1.1\r\nHost: example.test\r\n{CLOSE}");
    let head = "GET /c HTTP/1.1\r\nHost: example.test\r\n";
    for lines in [
        format!(
            "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            smuggled.len() + 5
        ),
        format!(
            "Content-Length: 0\r\nContent-Length: {}\r\n\r\n",
            smuggled.len()
        ),
        format!(
            "Transfer-Encoding: xchunked\r\nContent-Length: {}\r\n\r\n",
            smuggled.len()
        ),
    ] {
        let answer = Raw::exchange(address, format!("{head}{lines}{smuggled}")).await;
        // Whether the server refuses it, or reads a second request: that one is not the first's answer.
        assert!(responses(&answer) <= 2, "{answer}");
        assert_eq!(get_all(address, "/c").await.unwrap(), b"stored");
    }
    assert_eq!(
        app.calls_of("/c"),
        1 + app.stats().bypasses - app.calls_of("/admin")
    );
    app.done().await;
}

pub(crate) async fn asy_05_five_hundred_connections_are_one_call() {
    const MANY: u64 = 500;
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::replying(Policy::ttl(minutes(5)), move |_| {
        Reply::pieces(vec![Piece::Until(opened.clone()), Piece::data("made once")])
    })
    .start();
    let address = app.listen().await;
    let asking: Vec<_> = (0..MANY)
        .map(|_| tokio::spawn(get_all(address, "/")))
        .collect();
    eventually("all are here", || app.stats().misses == MANY).await;
    gate.open();
    for answer in asking {
        assert_eq!(answer.await.unwrap().unwrap(), b"made once");
    }
    assert_eq!(app.calls(), 1);
    app.done().await;
}

pub(crate) async fn asy_09_events_come_while_the_stream_goes_on() {
    let app = Site::replying(Policy::override_ttl(minutes(5)), |ask| {
        Reply::pieces(vec![
            Piece::data(format!("data: {}\n\n", ask.call)),
            Piece::Until(Gate::closed()),
        ])
        .header("content-type", "text/event-stream")
    })
    .start();
    let address = app.listen().await;
    let mut streams = Vec::new();
    for call in 1..=3 {
        let mut stream = Raw::connect(address).await;
        stream
            .write("GET /events HTTP/1.1\r\nHost: example.test\r\n\r\n")
            .await;
        let said = stream.until("\n\n").await;
        assert!(said.contains(&format!("data: {call}\n\n")), "{said}");
        streams.push(stream);
    }
    assert_eq!((app.calls(), app.stats().flights), (3, 0));
    drop(streams);
    app.done().await;
}

pub(crate) async fn asy_24_a_client_that_hangs_up_leaves_the_whole_body_or_nothing() {
    let (first, rest) = (Gate::closed(), Gate::closed());
    let (begin, go_on) = (first.clone(), rest.clone());
    let app = Site::replying(Policy::ttl(minutes(5)), move |_| {
        Reply::pieces(vec![
            Piece::Until(begin.clone()),
            Piece::data("begin"),
            Piece::Until(go_on.clone()),
            Piece::data(" end"),
        ])
    })
    .start();
    let address = app.listen().await;
    let mut leaving = Raw::connect(address).await;
    leaving
        .write("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")
        .await;
    first.open();
    let said = leaving.until("begin").await;
    assert!(said.ends_with("begin"), "{said}");
    drop(leaving);
    rest.open();
    for _ in 0..2 {
        assert_eq!(get_all(address, "/").await.unwrap(), b"begin end");
    }
    assert_eq!(app.calls(), 1);
    app.done().await;
}

pub(crate) async fn asy_28_a_websocket_works_through_layers_and_nothing_of_it_is_stored() {
    for is_twice in [false, true] {
        let site = Site::new().echo("/ws", Policy::override_ttl(hours(1)));
        let site = if is_twice {
            site.around(Policy::from_headers())
        } else {
            site
        };
        let app = site.start();
        let address = app.listen().await;
        // A plain GET is told to upgrade; that answer must not be the next one's.
        let plain = get(address, "/ws").await;
        assert!(plain.status().is_client_error(), "{plain:?}");
        for _ in 0..2 {
            let stream = TcpStream::connect(address).await.unwrap();
            let url = "ws://example.test/ws";
            let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
            for text in ["one", "two"] {
                socket.send(tungstenite::Message::text(text)).await.unwrap();
                let echoed = socket.next().await.unwrap().unwrap();
                assert_eq!(echoed.into_text().unwrap().as_str(), text);
            }
            socket.close(None).await.unwrap();
        }
        assert_eq!((app.stats().bypasses, app.stats().stored), (2, 0));
        app.done().await;
    }
}

pub(crate) async fn asy_38_a_client_that_stops_reading_delays_nobody() {
    const LENGTH: usize = 4 << 20;
    for declared in [true, false] {
        let settings = Settings {
            max_body: Some(8 << 20),
            ..Settings::default()
        };
        let site = Site::replying(Policy::ttl(minutes(5)), move |_| {
            let frame = |n: u8| Piece::data(vec![n; LENGTH / 64]);
            let reply = Reply::pieces((0..64).flat_map(|n| [Piece::Pause, frame(n)]).collect());
            if declared {
                reply.header("content-length", LENGTH.to_string())
            } else {
                reply
            }
        });
        let app = site.settings(settings).start();
        let address = app.listen().await;
        let mut leader = Raw::connect(address).await;
        leader
            .write(format!("GET / HTTP/1.1\r\nHost: example.test\r\n{CLOSE}"))
            .await;
        let head = leader.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let followers: Vec<_> = (0..30)
            .map(|_| tokio::spawn(get_all(address, "/")))
            .collect();
        for follower in followers {
            assert_eq!(follower.await.unwrap().unwrap().len(), LENGTH);
        }
        app.settled().await;
        assert_eq!((app.calls(), app.stats().stored), (1, 1));
        assert!(
            leader.rest().await.len() >= LENGTH,
            "and it gets its body when it goes on"
        );
        app.done().await;
    }
}

pub(crate) async fn asy_39_layers_at_two_levels_answer_a_cold_request_and_a_hit() {
    for site in [
        Site::new().around(Policy::from_headers()),
        Site::new().before(Policy::ttl(hours(1))),
    ] {
        let app = site
            .route("/x", Policy::ttl(minutes(5)), async |ask: Ask| {
                Reply::pieces(vec![
                    Piece::data("body "),
                    Piece::Pause,
                    Piece::data(ask.call.to_string()),
                ])
            })
            .start();
        let address = app.listen().await;
        for _ in 0..3 {
            assert_eq!(get_all(address, "/x").await.unwrap(), b"body 1");
        }
        app.purger().all().await;
        assert_eq!(get_all(address, "/x").await.unwrap(), b"body 2");
        assert_eq!((app.calls(), app.stats().stored), (2, 2));
        app.done().await;
    }
}

pub(crate) async fn sto_41_a_body_shorter_than_declared_breaks_off_and_its_server_goes_on() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        // A stream that panics if it is asked for more after its end.
        let frames = futures_util::stream::unfold(0, |n| async move {
            tokio::task::yield_now().await;
            (n < 4).then(|| (Ok(http_body::Frame::data("abcde".into())), n + 1))
        });
        let length = if ask.uri.path() == "/short" {
            "30"
        } else {
            "20"
        };
        Reply::stream(frames).header("content-length", length)
    })
    .start();
    let address = app.listen().await;
    for _ in 0..3 {
        let head = "GET /short HTTP/1.1\r\nHost: example.test";
        let asking = (0..5).map(|_| Raw::exchange(address, format!("{head}\r\n{CLOSE}")));
        for answer in futures_util::future::join_all(asking).await {
            let part = body(&answer);
            assert!("abcdeabcdeabcdeabcde".starts_with(part), "{answer}");
            assert!(answer.contains("content-length: 30"), "{answer}");
        }
        let whole = get_all(address, "/whole").await.unwrap();
        assert_eq!(whole, b"abcdeabcdeabcdeabcde");
    }
    assert_eq!((app.calls_of("*") > 1, app.stats().stored), (true, 1));
    app.done().await;
}
