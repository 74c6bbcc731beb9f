//! Over HTTP/2: what streams of one connection, and a URI that names its host, add.

use crate::support::{
    App, Ask, Framework, Gate, Piece, Policy, Raw, Reply, Settings, Site, days, eventually,
    minutes, seconds,
};
use actix_web::{HttpRequest, HttpServer, rt::System, web};
use bytes::Bytes;
use cache_axum::ManualClock;
use futures_util::{future::join_all, stream};
use http::{Request, Response, Version, header, request};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{convert::Infallible, net::SocketAddr, time::SystemTime};
use tokio::{net::TcpStream, task::JoinHandle};

/// A client with one connection, on which each request is a stream.
struct Client {
    sender: http2::SendRequest<UnsyncBoxBody<Bytes, Infallible>>,
    connection: JoinHandle<()>,
}

impl Client {
    async fn of(app: &App) -> Self {
        Self::at(app.listen().await).await
    }

    async fn at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        Self { sender, connection }
    }

    fn send(
        &self,
        request: request::Builder,
        body: UnsyncBoxBody<Bytes, Infallible>,
    ) -> impl Future<Output = Response<Incoming>> + use<> {
        let request = request.body(body).unwrap();
        let sent = self.sender.clone().send_request(request);
        async move { sent.await.unwrap() }
    }

    /// A stream that is reset when this is dropped.
    fn get(&self, uri: &str) -> impl Future<Output = Response<Incoming>> + use<> {
        self.send(Request::get(uri), Full::default().boxed_unsync())
    }

    async fn ask(&self, request: request::Builder) -> Said {
        let response = self.send(request, Full::default().boxed_unsync()).await;
        assert_eq!(response.version(), Version::HTTP_2);
        Said::of(response).await
    }

    /// What a GET gets.
    async fn text(&self, uri: &str) -> String {
        self.ask(Request::get(uri)).await.body
    }

    /// The connection is as good as before.
    fn is_open(&self) -> bool {
        !self.connection.is_finished()
    }
}

/// A whole answer.
struct Said {
    status: u16,
    cache: String,
    length: Option<String>,
    body: String,
}

impl Said {
    async fn of(response: Response<Incoming>) -> Self {
        let field = |name| {
            let value = response.headers().get(name)?.to_str().unwrap();
            Some(value.to_owned())
        };
        let (status, cache) = (response.status().as_u16(), field("cache-status"));
        let length = field("content-length");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Self {
            status,
            cache: cache.unwrap_or_default(),
            length,
            body: String::from_utf8(body.into()).unwrap(),
        }
    }

    fn is_hit(&self) -> bool {
        self.cache.starts_with("cache-tower;hit")
    }
}

const PAGE: &str = "http://example.test/page";

fn numbered(ask: Ask) -> Reply {
    Reply::text(format!("{} {}", ask.call, ask.uri)).control("public, max-age=60")
}

pub(crate) async fn sto_51_a_page_is_stored_given_and_validated() {
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH + days(20_000));
    let settings = Settings {
        clock: Some(clock.clone()),
        ..Settings::default()
    };
    let app = Site::replying(Policy::ttl(seconds(10)), |ask| {
        let reply = match ask.header("if-none-match").as_str() {
            "\"a\"" => Reply::text("").status(304),
            _ => Reply::text("the page"),
        };
        reply
            .header("etag", "\"a\"")
            .header("x-call", ask.call.to_string())
    })
    .settings(settings)
    .start();
    let client = Client::of(&app).await;
    let get = async || client.ask(Request::get(PAGE)).await;
    let miss = get().await;
    assert_eq!((miss.status, miss.body.as_str()), (200, "the page"));
    let hit = get().await;
    assert_eq!(
        (hit.body.as_str(), hit.is_hit(), app.calls()),
        ("the page", true, 1)
    );
    clock.advance(seconds(11));
    let validated = get().await;
    assert_eq!(
        (validated.status, validated.body.as_str()),
        (200, "the page")
    );
    assert!(
        validated.cache.contains("fwd-status=304"),
        "{}",
        validated.cache
    );
    assert!(get().await.is_hit());
    let unchanged = client
        .ask(Request::get(PAGE).header("if-none-match", "\"a\""))
        .await;
    assert_eq!((unchanged.status, unchanged.body.as_str()), (304, ""));
    let part = client
        .ask(Request::get(PAGE).header("range", "bytes=4-"))
        .await;
    assert_eq!((part.status, part.body.as_str()), (206, "page"));
    assert_eq!(app.calls(), 2);
    app.done().await;
}

pub(crate) async fn key_01_the_authority_names_the_host() {
    let app = Site::replying(Policy::ttl(minutes(5)), numbered).start();
    let client = Client::of(&app).await;
    assert_eq!(client.text("http://a.test/").await, "1 http://a.test/");
    assert_eq!(client.text("http://b.test/").await, "2 http://b.test/");
    for same in ["http://a.test/", "http://A.test/", "http://a.test:80/"] {
        assert_eq!(client.text(same).await, "1 http://a.test/", "{same}");
    }
    assert_eq!(
        client.text("http://a.test:81/").await,
        "3 http://a.test:81/"
    );
    app.purger().uri(&"http://a.test/".parse().unwrap()).await;
    assert_eq!(client.text("http://a.test/").await, "4 http://a.test/");
    assert_eq!(client.text("http://b.test/").await, "2 http://b.test/");
    app.done().await;
}

pub(crate) async fn key_01_a_host_field_that_disagrees_with_the_authority_is_passed_on() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(format!("{} {}", ask.call, ask.header("host")))
    })
    .start();
    let client = Client::of(&app).await;
    let ask = async |host: &str| {
        let request = Request::get("http://good.test/").header(header::HOST, host);
        client.ask(request).await.body
    };
    assert_eq!(ask("good.test").await, "1 good.test");
    assert_eq!(ask("evil.test").await, "2 evil.test");
    assert_eq!(ask("evil.test").await, "3 evil.test");
    assert_eq!(client.text("http://good.test/").await, "1 good.test");
    assert_eq!((app.stats().bypasses, app.stats().stored), (2, 1));
    app.done().await;
}

pub(crate) async fn key_08_a_get_with_a_body_that_no_field_announces_neither_takes_nor_leaves_anything()
 {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(format!("{} {:?}", ask.call, ask.body))
    })
    .start();
    let client = Client::of(&app).await;
    let fat = async || {
        let frames = stream::iter([Ok(Frame::data(Bytes::from("evil")))]);
        let body = StreamBody::new(frames).boxed_unsync();
        Said::of(client.send(Request::get(PAGE), body).await)
            .await
            .body
    };
    assert_eq!(fat().await, "1 b\"evil\"");
    assert_eq!(client.text(PAGE).await, "2 b\"\"");
    assert_eq!(fat().await, "3 b\"evil\"");
    assert_eq!(client.text(PAGE).await, "2 b\"\"");
    assert_eq!((app.stats().bypasses, app.stats().stored), (2, 1));
    app.done().await;
}

pub(crate) async fn sto_29_a_head_has_the_length_of_the_get_and_no_body() {
    let app = Site::replying(Policy::ttl(minutes(5)), |_| Reply::text("0123456789")).start();
    let client = Client::of(&app).await;
    let head = async || {
        let said = client.ask(Request::head(PAGE)).await;
        assert_eq!(
            (said.length.as_deref(), said.body.as_str()),
            (Some("10"), "")
        );
        said.is_hit()
    };
    assert!(!head().await);
    assert_eq!(client.text(PAGE).await, "0123456789");
    assert!(head().await);
    assert_eq!(client.text(PAGE).await, "0123456789");
    assert_eq!(app.calls(), 2);
    app.done().await;
}

pub(crate) async fn sto_42_a_stream_that_breaks_off_is_reset_and_not_stored() {
    for is_declared in [true, false] {
        let gate = Gate::closed();
        let opened = gate.clone();
        let app = Site::replying(Policy::ttl(minutes(5)), move |ask| {
            let end = if ask.call == 1 {
                Piece::Fail
            } else {
                Piece::data(" end")
            };
            let until = Piece::Until(opened.clone());
            let reply = Reply::pieces(vec![Piece::data("begin"), until, end]);
            if is_declared {
                reply.header("content-length", "9")
            } else {
                reply
            }
        })
        .start();
        let client = Client::of(&app).await;
        let mut body = client.get(PAGE).await.into_body();
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "begin");
        gate.open();
        let error = body.frame().await.expect("it is no end").unwrap_err();
        assert!(client.is_open(), "it is the stream that ended: {error}");
        for _ in 0..2 {
            assert_eq!(client.text(PAGE).await, "begin end");
        }
        assert_eq!((app.calls(), app.stats().stored), (2, 1));
        app.done().await;
    }
}

pub(crate) async fn asy_01_when_the_stream_of_a_leader_is_reset_the_others_are_answered() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::of(Policy::ttl(minutes(5)), move |ask: Ask| {
        let opened = opened.clone();
        async move {
            opened.opened().await;
            Reply::text(ask.call.to_string())
        }
    })
    .start();
    let client = Client::of(&app).await;
    let leader = tokio::spawn(client.get(PAGE));
    eventually("it leads", || app.calls() == 1).await;
    let others: Vec<_> = (0..10).map(|_| tokio::spawn(client.get(PAGE))).collect();
    eventually("all are here", || app.stats().misses == 11).await;
    leader.abort();
    // actix lets a handler go on whose stream was reset; hyper ends it, and another leads.
    let calls = match Framework::current() {
        Framework::Actix => 1,
        Framework::Tower | Framework::Axum => 2,
    };
    eventually("the turn is passed on", || app.calls() == calls).await;
    gate.open();
    for other in others {
        let said = Said::of(other.await.unwrap()).await;
        assert_eq!((said.status, said.body), (200, calls.to_string()));
    }
    assert!(client.is_open());
    assert_eq!((app.calls(), app.stats().stored), (calls, 1));
    app.done().await;
}

pub(crate) async fn asy_05_many_streams_of_one_connection_are_one_call() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::replying(Policy::ttl(minutes(5)), move |_| {
        Reply::pieces(vec![Piece::Until(opened.clone()), Piece::data("made once")])
    })
    .start();
    let client = Client::of(&app).await;
    let asking: Vec<_> = (0..50).map(|_| tokio::spawn(client.get(PAGE))).collect();
    eventually("all are here", || app.stats().misses == 50).await;
    gate.open();
    for asked in join_all(asking).await {
        assert_eq!(Said::of(asked.unwrap()).await.body, "made once");
    }
    assert_eq!((app.calls(), app.stats().collapsed), (1, 49));
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
    let client = Client::of(&app).await;
    let mut streams = Vec::new();
    for call in 1..=3 {
        let mut events = client.get("http://example.test/events").await.into_body();
        let event = events.frame().await.unwrap().unwrap();
        let event = event.into_data().unwrap();
        assert_eq!(event, format!("data: {call}\n\n"));
        streams.push(events);
    }
    assert_eq!((app.calls(), app.stats().flights), (3, 0));
    drop(streams);
    app.done().await;
}

pub(crate) async fn asy_24_a_client_that_resets_its_stream_leaves_the_whole_body_or_nothing() {
    let rest = Gate::closed();
    let go_on = rest.clone();
    let app = Site::replying(Policy::ttl(minutes(5)), move |_| {
        Reply::pieces(vec![
            Piece::data("begin"),
            Piece::Until(go_on.clone()),
            Piece::data(" end"),
        ])
    })
    .start();
    let client = Client::of(&app).await;
    let mut leaving = client.get(PAGE).await.into_body();
    assert!(leaving.frame().await.is_some());
    drop(leaving);
    // What is answered on the same connection came after the reset.
    let other = client.get("http://example.test/other").await;
    rest.open();
    for _ in 0..2 {
        assert_eq!(client.text(PAGE).await, "begin end");
    }
    assert_eq!(Said::of(other).await.body, "begin end");
    assert_eq!((app.calls(), app.stats().stored), (2, 2));
    app.done().await;
}

#[test]
fn actixs_server_speaks_the_version_that_its_client_does_and_both_share_what_is_stored() {
    let cache = cache_actix::HttpCache::new();
    let layer = cache.clone();
    let app = move || {
        let page = async |request: HttpRequest| format!("{:?}", request.version());
        let policy = Policy::ttl(minutes(5));
        let route = web::resource("/page").wrap(layer.policy(policy)).get(page);
        actix_web::App::new().service(route)
    };
    System::new().block_on(async {
        let server = HttpServer::new(app).workers(1).disable_signals();
        let server = server.bind_auto_h2c(("127.0.0.1", 0)).unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        tokio::task::spawn_local(server);
        let client = Client::at(address).await;
        let miss = client.ask(Request::get(PAGE)).await;
        assert_eq!((miss.body.as_str(), miss.is_hit()), ("HTTP/2.0", false));
        let head = "GET /page HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n";
        let hit = Raw::exchange(address, head).await;
        assert!(hit.contains(";hit;") && hit.ends_with("HTTP/2.0"), "{hit}");
        assert!(client.ask(Request::get(PAGE)).await.is_hit());
        handle.stop(false).await;
    });
    assert_eq!((cache.stats().hits, cache.stats().misses), (2, 1));
}
