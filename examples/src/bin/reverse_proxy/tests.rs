//! The proxy between a client and an origin that speak byte by byte.

use crate::{before, cache, listener};
use cache_tower::adapter::Direct;
use examples::port;
use hyper::http::uri::Authority;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// An origin, and the proxy before it.
struct Stage {
    origin: TcpListener,
    proxy: SocketAddr,
}

impl Stage {
    async fn new() -> Self {
        let origin = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = proxy(origin.local_addr().unwrap());
        Self { origin, proxy }
    }

    async fn client(&self) -> Peer {
        Peer(TcpStream::connect(self.proxy).await.unwrap())
    }

    /// The next connection of the proxy.
    async fn origin(&self) -> Peer {
        let accepted = timeout(PATIENCE, self.origin.accept()).await;
        Peer(accepted.expect("the proxy connects").unwrap().0)
    }

    /// A client that sent this, and the origin that read the head of what came of it.
    async fn ask(&self, request: impl AsRef<[u8]>) -> (Peer, Peer, String) {
        let mut client = self.client().await;
        client.send(request).await;
        let mut origin = self.origin().await;
        let head = origin.head().await;
        (client, origin, head)
    }

    /// What the client gets to a request that the origin does not see, or answers with this.
    async fn exchange(&self, request: &str, response: &str) -> String {
        let (mut client, mut origin, _) = self.ask(request).await;
        origin.send(response).await;
        drop(origin);
        client.head().await
    }

    async fn refused(&self, request: &str) -> String {
        let mut client = self.client().await;
        client.send(request).await;
        client.head().await
    }
}

fn proxy(origin: SocketAddr) -> SocketAddr {
    let listener = port::listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let origin = Authority::try_from(origin.to_string()).unwrap();
    let gateway = before(origin, &cache::<Direct>(Vec::new()).unwrap());
    tokio::spawn(listener::serve(listener, gateway));
    address
}

const PATIENCE: Duration = Duration::from_secs(30);

/// One end of a connection. Text is ISO-8859-1: each byte is a character.
struct Peer(TcpStream);

impl Peer {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Up to the next empty line; no further.
    async fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let byte = timeout(PATIENCE, self.0.read_u8())
                .await
                .expect("a head comes");
            head.push(
                byte.unwrap_or_else(|error| panic!("{error} after {head}"))
                    .into(),
            );
        }
        head
    }

    async fn expect(&mut self, expected: &str) {
        let mut bytes = vec![0; expected.chars().count()];
        let read = timeout(PATIENCE, self.0.read_exact(&mut bytes)).await;
        read.expect("as many bytes come").unwrap();
        assert_eq!(text(&bytes), expected);
    }

    async fn rest(&mut self) -> io::Result<String> {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await;
        read.expect("the connection ends").map(|_| text(&bytes))
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// A head without the date, which is another each time, and what the cache says.
fn plain(head: &str) -> String {
    let is_ours = |line: &&str| !line.starts_with("date: ") && !line.starts_with("cache-status: ");
    head.split_inclusive("\r\n").filter(is_ours).collect()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n")
}

const STORABLE: &str =
    "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 2\r\n\r\nhi";
const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_request_passes_to_the_byte() {
    let stage = Stage::new().await;
    let mut request = b"BREW //a/../%7e;%2F?x=%20&&y={z}?/ HTTP/1.1\r\n".to_vec();
    request.extend(b"Host: A.test:8080\r\nX: 1\r\nB: \xff\t\x80\r\nX: 2\r\nE:\r\n\r\n");
    let (mut client, mut origin, head) = stage.ask(request).await;
    let expected = "BREW //a/../%7e;%2F?x=%20&&y={z}?/ HTTP/1.1\r\n\
                    host: A.test:8080\r\nx: 1\r\nx: 2\r\nb: \u{ff}\t\u{80}\r\ne: \r\n\
                    via: 1.1 cache-reverse-proxy\r\n\r\n";
    assert_eq!(head, expected);
    origin.send(EMPTY).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_response_passes_to_the_byte() {
    let stage = Stage::new().await;
    let (mut client, mut origin, _) = stage.ask(get("/")).await;
    let mut response = b"HTTP/1.1 799 Odd\r\nX: 1\r\nB: \xff\r\nX: 2\r\n".to_vec();
    response.extend(b"Connection: c, close\r\nC: 3\r\nKeep-Alive: 5\r\nDate: never\r\n");
    response.extend(b"Content-Length: 3\r\n\r\n\x00\xff\n");
    origin.send(response).await;
    let head = client.head().await;
    let head: String = head
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("cache-status"))
        .collect();
    let expected = "HTTP/1.1 799 Odd\r\nx: 1\r\nx: 2\r\nb: \u{ff}\r\ndate: never\r\n\
                    content-length: 3\r\n\r\n";
    assert_eq!(head, expected);
    client.expect("\0\u{ff}\n").await;
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let stage = Stage::new().await;
    let (mut client, mut origin, _) = stage.ask(get("/a")).await;
    for path in ["/b", "/c"] {
        origin.send(EMPTY).await;
        client.head().await;
        client.send(get(path)).await;
        assert!(origin.head().await.starts_with(&format!("GET {path} ")));
    }
}

#[tokio::test]
async fn an_interim_response_goes_on_while_the_origin_works() {
    let stage = Stage::new().await;
    let (mut client, mut origin, _) = stage.ask(get("/")).await;
    for (response, expected) in [
        ("HTTP/1.1 100 Continue\r\n\r\n", ""),
        (
            "HTTP/1.1 102 Processing\r\n\r\n",
            "HTTP/1.1 102 Processing\r\n\r\n",
        ),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\nConnection: x\r\nX: 1\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n",
        ),
        ("HTTP/1.1 199 Odd\r\n\r\n", "HTTP/1.1 199 \r\n\r\n"),
    ] {
        origin.send(response).await;
        client.expect(expected).await;
    }
    origin.send(STORABLE).await;
    let head = client.head().await;
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && !head.contains("link"),
        "{head}"
    );
    client.expect("hi").await;
}

#[tokio::test]
async fn an_interim_response_is_not_stored() {
    let stage = Stage::new().await;
    let hinted = format!("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n{STORABLE}");
    let (mut client, mut origin, _) = stage.ask(get("/")).await;
    origin.send(&hinted).await;
    assert!(client.head().await.starts_with("HTTP/1.1 103 "));
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    client.expect("hi").await;
    client.send(get("/")).await;
    let hit = client.head().await;
    assert!(
        hit.starts_with("HTTP/1.1 200 ") && hit.contains(";hit;"),
        "{hit}"
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_turn_with_their_interim_responses() {
    let stage = Stage::new().await;
    let mut client = stage.client().await;
    client
        .send(format!("{}{}{}", get("/a"), get("/b"), get("/c")))
        .await;
    let mut origin = stage.origin().await;
    for path in ["/a", "/b", "/c"] {
        let head = origin.head().await;
        assert!(head.starts_with(&format!("GET {path} ")), "{head}");
        let hint = format!("HTTP/1.1 103 Early Hints\r\nlink: <{path}>\r\n\r\n");
        let fields = format!("HTTP/1.1 200 OK\r\nlink: <{path}>\r\n");
        origin
            .send(format!("{hint}{fields}content-length: 2\r\n\r\n{path}"))
            .await;
        client.expect(&hint).await;
        client.expect(&fields).await;
        client.head().await;
        client.expect(path).await;
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_interim_response() {
    let stage = Stage::new().await;
    let (mut client, mut origin, head) = stage.ask("GET / HTTP/1.0\r\nExpect: x\r\n\r\n").await;
    let address = stage.origin.local_addr().unwrap();
    let expected =
        format!("GET / HTTP/1.1\r\nvia: 1.0 cache-reverse-proxy\r\nhost: {address}\r\n\r\n");
    assert_eq!(head, expected);
    origin.send("HTTP/1.1 103 Early Hints\r\n\r\n").await;
    origin.send(STORABLE).await;
    let answer = client.rest().await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nhi"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_cut_off_for_the_client_and_not_stored() {
    let stage = Stage::new().await;
    for directive in ["no-store", "max-age=60"] {
        for (framing, came) in [
            ("content-length: 10", "12345"),
            ("transfer-encoding: chunked", "5\r\n12345\r\n"),
        ] {
            let (mut client, mut origin, _) = stage.ask(get("/")).await;
            let fields = format!("cache-control: {directive}\r\n{framing}\r\n\r\n");
            origin
                .send(format!("HTTP/1.1 200 OK\r\n{fields}{came}"))
                .await;
            assert!(client.head().await.contains(framing));
            client.expect(came).await;
            drop(origin);
            let rest = client.rest().await.unwrap_or_default();
            assert_eq!(rest, "", "no last chunk");
        }
    }
}

#[tokio::test]
async fn where_only_the_end_of_the_connection_ends_a_body_one_cut_off_is_a_reset() {
    let stage = Stage::new().await;
    let (mut client, mut origin, _) = stage.ask("GET / HTTP/1.0\r\n\r\n").await;
    origin
        .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n")
        .await;
    client.head().await;
    client.expect("12345").await;
    drop(origin);
    let error = client.rest().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_body_without_length_ends_with_the_connection() {
    let stage = Stage::new().await;
    let (mut client, mut origin, _) = stage.ask(get("/")).await;
    origin.send("HTTP/1.0 200 OK\r\n\r\n12345").await;
    assert!(client.head().await.contains("transfer-encoding: chunked"));
    client.expect("5\r\n12345\r\n").await;
    drop(origin);
    client.expect("0\r\n\r\n").await;
}

#[tokio::test]
async fn an_origin_that_refuses_is_a_502() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let mut client = Peer(TcpStream::connect(proxy(nobody)).await.unwrap());
    client.send(get("/")).await;
    let head = plain(&client.head().await);
    let expected =
        "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/plain\r\ncontent-length: 29\r\n\r\n";
    assert_eq!(head, expected);
    client.expect("the origin cannot be reached\n").await;
}

#[tokio::test]
async fn an_answer_that_is_none_is_a_502() {
    let stage = Stage::new().await;
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "220 smtp.test ESMTP\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
    ] {
        let head = stage.exchange(&get("/"), answer).await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{answer}: {head}");
    }
}

#[tokio::test]
async fn an_interim_response_before_a_failure_stands_before_the_502() {
    let stage = Stage::new().await;
    let (mut client, mut origin, _) = stage.ask(get("/")).await;
    origin.send("HTTP/1.1 103 Early Hints\r\n\r\n").await;
    drop(origin);
    assert_eq!(client.head().await, "HTTP/1.1 103 Early Hints\r\n\r\n");
    assert!(client.head().await.starts_with("HTTP/1.1 502 "));
}

#[tokio::test]
async fn the_length_of_a_head_is_the_origins() {
    let stage = Stage::new().await;
    let request = "HEAD / HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let (mut client, mut origin, _) = stage.ask(request).await;
    for (response, expected) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            Some("\r\ncontent-length: 5\r\n"),
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", None),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            None,
        ),
    ] {
        origin.send(response).await;
        let head = client.head().await;
        match expected {
            Some(length) => assert!(head.contains(length), "{head}"),
            None => assert!(!head.contains("content-length"), "{head}"),
        }
        client.send(request).await;
        origin.head().await;
    }
}

#[tokio::test]
async fn a_204_and_a_304_have_no_body() {
    let stage = Stage::new().await;
    let (mut client, mut origin, _) = stage.ask(get("/")).await;
    for status in ["204 No Content", "304 Not Modified"] {
        origin
            .send(format!(
                "HTTP/1.1 {status}\r\ncache-control: no-store\r\n\r\n"
            ))
            .await;
        let head = plain(&client.head().await);
        assert_eq!(
            head,
            format!("HTTP/1.1 {status}\r\ncache-control: no-store\r\n\r\n")
        );
        client.send(get("/")).await;
        origin.head().await;
    }
}

#[tokio::test]
async fn an_upload_goes_on_as_it_comes() {
    let stage = Stage::new().await;
    let fields = "host: a.test\r\ntransfer-encoding: chunked\r\n\r\n";
    for method in ["POST", "GET", "ODD"] {
        let (mut client, mut origin, head) =
            stage.ask(format!("{method} / HTTP/1.1\r\n{fields}")).await;
        assert!(
            head.contains("\r\ntransfer-encoding: chunked\r\n"),
            "{head}"
        );
        for chunk in ["1\r\na\r\n", "2\r\nbc\r\n", "0\r\n\r\n"] {
            client.send(chunk).await;
            origin.expect(chunk).await;
        }
        origin.send(EMPTY).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn an_upload_of_known_length_keeps_it() {
    let stage = Stage::new().await;
    let request = "PUT / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4\r\n\r\nab";
    let (mut client, mut origin, head) = stage.ask(request).await;
    assert!(
        head.contains("\r\ncontent-length: 4\r\n") && !head.contains("chunked"),
        "{head}"
    );
    origin.expect("ab").await;
    client.send("cd").await;
    origin.expect("cd").await;
}

#[tokio::test]
async fn an_answer_may_come_before_the_end_of_the_upload() {
    let stage = Stage::new().await;
    let request = "PUT / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4\r\n\r\nab";
    let (mut client, mut origin, _) = stage.ask(request).await;
    origin
        .send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn a_client_may_wait_for_100_continue() {
    let stage = Stage::new().await;
    let request = "PUT / HTTP/1.1\r\nhost: a.test\r\nexpect: 100-continue\r\n\
                   content-length: 4\r\n\r\n";
    let (mut client, mut origin, head) = stage.ask(request).await;
    assert!(head.contains("\r\nexpect: 100-continue\r\n"), "{head}");
    origin.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abcd").await;
    origin.expect("abcd").await;
    origin.send(EMPTY).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_target_that_names_an_authority_goes_before_host() {
    let stage = Stage::new().await;
    for (target, line, host) in [
        ("http://b.test:80/p?q", "GET /p?q ", "b.test:80"),
        ("http://b.test", "GET / ", "b.test"),
        ("http://b.test?q", "GET /?q ", "b.test"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: a.test\r\n\r\n");
        let (_client, _origin, head) = stage.ask(request).await;
        assert!(head.starts_with(line), "{head}");
        assert!(head.contains(&format!("\r\nhost: {host}\r\n")), "{head}");
    }
}

#[tokio::test]
async fn options_of_the_server_go_on() {
    let stage = Stage::new().await;
    let request = "OPTIONS * HTTP/1.1\r\nhost: a.test\r\nmax-forwards: 2\r\n\r\n";
    let (_client, _origin, head) = stage.ask(request).await;
    assert!(head.starts_with("OPTIONS * HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nmax-forwards: 1\r\n"), "{head}");
}

#[tokio::test]
async fn requests_without_a_clear_host_are_refused() {
    let stage = Stage::new().await;
    for (head, status) in [
        ("GET / HTTP/1.1", "400"),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: a", "400"),
        ("GET / HTTP/1.1\r\nhost: a b", "400"),
        ("GET / HTTP/1.1\r\nhost: me@a", "400"),
        ("GET / HTTP/1.0\r\nhost: a/b", "400"),
        ("GET a.test HTTP/1.1\r\nhost: a", "400"),
        ("CONNECT a.test:443 HTTP/1.1\r\nhost: a", "501"),
        (
            "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked",
            "501",
        ),
    ] {
        let answer = stage.refused(&format!("{head}\r\n\r\n")).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}");
    }
}

#[tokio::test]
async fn the_last_recipient_of_a_trace_gives_it_back() {
    let stage = Stage::new().await;
    let mut client = stage.client().await;
    client
        .send("TRACE /a HTTP/1.1\r\nhost: a.test\r\ncookie: c\r\nmax-forwards: 0\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(
        head.contains("\r\ncontent-type: message/http\r\n"),
        "{head}"
    );
    client
        .expect("TRACE /a HTTP/1.1\r\nhost: a.test\r\nmax-forwards: 0\r\n\r\n")
        .await;
    client
        .send("OPTIONS /a HTTP/1.1\r\nhost: a.test\r\nmax-forwards: 0\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn many_fields_pass() {
    let stage = Stage::new().await;
    let fields: String = (0..200).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let request = format!("GET / HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n");
    let (mut client, mut origin, head) = stage.ask(request).await;
    assert!(head.contains(&fields));
    origin
        .send(format!(
            "HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n"
        ))
        .await;
    assert!(client.head().await.contains(&fields));
}

#[tokio::test]
async fn folded_lines_and_spaces_before_colons_are_mended() {
    let stage = Stage::new().await;
    let response = "HTTP/1.1 200 OK\r\na : 1\r\nb: 2\r\n  3\r\ncontent-length: 0\r\n\r\n";
    let head = stage.exchange(&get("/"), response).await;
    assert!(head.contains("\r\na: 1\r\nb: 2 3\r\n"), "{head}");
}

#[tokio::test]
async fn a_length_beside_chunks_is_not_passed_on() {
    let stage = Stage::new().await;
    let response = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    let (mut client, mut origin, _) = stage.ask(get("/")).await;
    origin.send(response).await;
    let head = client.head().await;
    assert!(!head.contains("content-length: 9"), "{head}");
}

#[tokio::test]
async fn a_response_without_a_date_gets_one() {
    let stage = Stage::new().await;
    let head = stage.exchange(&get("/"), STORABLE).await;
    assert_eq!(head.matches("\r\ndate: ").count(), 1, "{head}");
}

#[tokio::test]
async fn a_stored_status_without_a_known_reason_has_none() {
    let stage = Stage::new().await;
    let (mut client, mut origin, _) = stage.ask(get("/")).await;
    origin.send(STORABLE.replace("200 OK", "299 Odd")).await;
    let miss = client.head().await;
    assert!(miss.starts_with("HTTP/1.1 299 Odd\r\n"), "{miss}");
    client.expect("hi").await;
    client.send(get("/")).await;
    let hit = client.head().await;
    assert!(hit.starts_with("HTTP/1.1 299 \r\n"), "{hit}");
}

#[tokio::test]
async fn a_client_that_has_sent_all_is_still_answered() {
    let stage = Stage::new().await;
    let (mut client, mut origin, _) = stage.ask(get("/")).await;
    client.0.shutdown().await.unwrap();
    origin.send(STORABLE).await;
    assert!(client.rest().await.unwrap().ends_with("\r\n\r\nhi"));
}

#[tokio::test]
async fn upgrades_and_what_belongs_to_the_hop_go_no_further() {
    let stage = Stage::new().await;
    let request = "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade, x\r\nupgrade: websocket\r\n\
                   x: 1\r\nte: trailers\r\nproxy-connection: y\r\nkeep-alive: z\r\n\r\n";
    let (_client, _origin, head) = stage.ask(request).await;
    let expected = "GET / HTTP/1.1\r\nhost: a.test\r\nvia: 1.1 cache-reverse-proxy\r\n\r\n";
    assert_eq!(head, expected);
}

#[tokio::test]
async fn trailers_pass_to_who_takes_them() {
    let stage = Stage::new().await;
    let request = "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: te\r\nte: trailers\r\n\r\n";
    let (mut client, mut origin, _) = stage.ask(request).await;
    let body = "1\r\na\r\n0\r\nx: 1\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\ntrailer: x\r\ntransfer-encoding: chunked\r\n\r\n";
    origin.send(format!("{head}{body}")).await;
    client.head().await;
    client.expect(body).await;
}
