//! What the proxy does, shown before an origin of its own. Client and origin speak over TCP byte by
//! byte, so that nothing but the proxy comes between.

use crate::options::Server;
use hyper::http::uri::Authority;
use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

/// Longer than anything here takes, so that nothing hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A little more than the lifetime of `/prices`.
const UNTIL_STALE: Duration = Duration::from_millis(1100);

/// What the origin answers when a path is asked for the `nth` time; `None` where it hangs up.
fn script(path: &str, nth: usize, is_conditional: bool) -> Option<String> {
    let response = |fields: &str| {
        let body = format!("answer {nth}\n");
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
    };
    match (path, nth) {
        ("/article", _) => Some(response("Cache-Control: max-age=60\r\n")),
        ("/news", _) if is_conditional => {
            Some("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_owned())
        }
        ("/news", _) => Some(response("Cache-Control: no-cache\r\nETag: \"a\"\r\n")),
        ("/page", _) => {
            let hints = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
            Some(hints.to_owned() + &response("Cache-Control: max-age=60\r\n"))
        }
        ("/prices", 1) => Some(response("Cache-Control: max-age=1, stale-if-error=60\r\n")),
        _ => None,
    }
}

/// Shows all of it.
///
/// # Errors
///
/// Says how many lines did not hold, or why that cannot be told.
pub(crate) async fn run(proxy: SocketAddr, server: Server) -> Result<(), String> {
    let mut stage = Stage { proxy, failed: 0 };

    println!("\n1. Nothing is stored yet: the origin is asked. From then on memory answers.");
    let miss = stage.get("/article").await?;
    stage.show(&miss, miss.is("200", "stored") && miss.body == "answer 1\n");
    let hit = stage.get("/article").await?;
    stage.show(&hit, hit.is("200", "hit") && hit.body == miss.body);

    println!(
        "\n2. `no-cache` is stored too, and confirmed by the origin each time: a 304, no body."
    );
    let first = stage.get("/news").await?;
    stage.show(&first, first.is("200", "stored"));
    let again = stage.get("/news").await?;
    let is_confirmed = again.is("200", "fwd-status=304") && again.body == first.body;
    stage.show(&again, is_confirmed);

    println!("\n3. {}", third(server));
    let hinted = stage.get("/page").await?;
    stage.show(&hinted, hinted.is(statuses(server), "stored"));
    let plain = stage.get("/page").await?;
    stage.show(&plain, plain.is("200", "hit"));

    println!("\n4. The origin hangs up: what is stale stands in. What was never stored is a 502.");
    let old = stage.get("/prices").await?;
    stage.show(&old, old.is("200", "stored"));
    sleep(UNTIL_STALE).await;
    let stale = stage.get("/prices").await?;
    let stands_in = stale.is("200", "detail=stale-if-error") && stale.body == old.body;
    stage.show(&stale, stands_in);
    let error = stage.get("/nothing").await?;
    stage.show(&error, error.statuses == "502");

    stage.verdict()
}

fn third(server: Server) -> &'static str {
    match server {
        Server::Hyper => "A 103 goes on to the client that asked. It is not stored.",
        Server::ActixWeb => "actix-web cannot write a 103. It is not stored either.",
    }
}

/// Those of a response that a 103 comes before.
fn statuses(server: Server) -> &'static str {
    match server {
        Server::Hyper => "103 200",
        Server::ActixWeb => "200",
    }
}

struct Stage {
    proxy: SocketAddr,
    failed: usize,
}

/// What came back.
struct Answer {
    path: &'static str,
    /// The status codes, interim ones too.
    statuses: String,
    cache_status: String,
    body: String,
}

impl Answer {
    /// Whether it has these statuses, and this parameter in Cache-Status.
    fn is(&self, statuses: &str, parameter: &str) -> bool {
        let mut parameters = self.cache_status.split(';');
        self.statuses == statuses && parameters.any(|found| found == parameter)
    }
}

impl Stage {
    async fn get(&self, path: &'static str) -> Result<Answer, String> {
        let failed = |problem: &str| format!("GET {path} got no answer: {problem}");
        let text = match timeout(PATIENCE, exchange(self.proxy, path)).await {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => return Err(failed(&error.to_string())),
            Err(_) => return Err(failed("it took more than half a minute")),
        };
        parse(path, &text).ok_or_else(|| failed(&format!("this is no HTTP: {text}")))
    }

    fn show(&mut self, answer: &Answer, holds: bool) {
        let mark = if holds { "ok" } else { "FAILED" };
        let Answer {
            path,
            statuses,
            cache_status,
            body,
        } = answer;
        let body = body.trim_end();
        println!("   {mark:<7}GET {path:<9} {statuses:<8} {body:<29} {cache_status}");
        self.failed += usize::from(!holds);
    }

    fn verdict(&self) -> Result<(), String> {
        match self.failed {
            0 => {
                println!("\nAll of it held.");
                Ok(())
            }
            failed => Err(format!(
                "{failed} lines did not hold; they are marked FAILED above"
            )),
        }
    }
}

async fn exchange(proxy: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(proxy).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

fn parse(path: &'static str, text: &str) -> Option<Answer> {
    let mut statuses = Vec::new();
    let (mut head, mut rest) = text.split_once("\r\n\r\n")?;
    loop {
        let status = head.split(' ').nth(1)?;
        statuses.push(status);
        if !status.starts_with('1') {
            break;
        }
        (head, rest) = rest.split_once("\r\n\r\n")?;
    }
    Some(Answer {
        path,
        statuses: statuses.join(" "),
        cache_status: field(head, "cache-status: ").to_owned(),
        body: rest.to_owned(),
    })
}

fn field<'a>(head: &'a str, beginning: &str) -> &'a str {
    let mut lines = head.lines();
    lines
        .find_map(|line| line.strip_prefix(beginning))
        .unwrap_or_default()
}

/// Where the origin is, and its work. It has one connection at a time.
pub(crate) async fn origin() -> Result<(Authority, impl Future<Output = ()>), String> {
    let failed = |error: std::io::Error| format!("the origin cannot listen: {error}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?.to_string();
    let authority = Authority::try_from(address).expect("an address is an authority");
    Ok((authority, async move {
        let mut asked = HashMap::new();
        while let Ok((stream, _)) = listener.accept().await {
            // Without its connection the proxy says what it did not get.
            let _ = converse(stream, &mut asked).await;
        }
    }))
}

async fn converse(
    mut stream: TcpStream,
    asked: &mut HashMap<String, usize>,
) -> std::io::Result<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(stream.read_u8().await?.into());
    }
    let path = head.split(' ').nth(1).unwrap_or_default();
    let nth = asked.entry(path.to_owned()).or_default();
    *nth += 1;
    let is_conditional = head
        .to_ascii_lowercase()
        .contains("\r\nif-none-match: \"a\"\r\n");
    if let Some(response) = script(path, *nth, is_conditional) {
        stream.write_all(response.as_bytes()).await?;
    }
    Ok(())
}
