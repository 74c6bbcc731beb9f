//! A client that says what a test wants, and reads what comes.

use super::{
    Answer, LIMIT, bytes,
    head::{Framing, Head, Reader},
    with_dates,
};
use std::{
    cell::RefCell,
    io::Write,
    net::{Shutdown, SocketAddr, TcpStream},
    time::Instant,
};

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    address: SocketAddr,
    method: String,
    target: String,
    version: &'static str,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        Self {
            address,
            method: method.to_owned(),
            target: target.to_owned(),
            version: "HTTP/1.1",
            fields: vec![("Host".to_owned(), String::new())],
            body: Vec::new(),
        }
    }

    /// What follows the test's path.
    pub(crate) fn at(mut self, end: &str) -> Self {
        self.target.push_str(end);
        self
    }

    /// This, whatever the test's path is.
    pub(crate) fn target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        self.fields[0].1 = host.to_owned();
        self
    }

    pub(crate) fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// One more field line; `{-100}` is a date (see [`with_dates`]).
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), with_dates(value)));
        self
    }

    /// Field lines as they stand in a message.
    pub(crate) fn fields(self, lines: &str) -> Self {
        lines.lines().fold(self, |ask, line| {
            let (name, value) = line.split_once(':').expect("a field line has a colon");
            ask.field(name.trim(), value.trim())
        })
    }

    pub(crate) fn control(self, directives: &str) -> Self {
        self.field("Cache-Control", directives)
    }

    /// With Content-Length.
    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = bytes(body);
        let length = self.body.len().to_string();
        self.field("Content-Length", &length)
    }

    /// As one chunk.
    pub(crate) fn chunked(mut self, body: &str) -> Self {
        let size = body.chars().count();
        self.body = bytes(&format!("{size:x}\r\n{body}\r\n0\r\n\r\n"));
        self.field("Transfer-Encoding", "chunked")
    }

    pub(crate) fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} {}\r\n", self.method, self.target, self.version);
        for (name, value) in &self.fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        bytes(&(head + "\r\n"))
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        [self.head(), self.body.clone()].concat()
    }

    /// Sends it, and reads the answer; on the connection of the request before, where that is in order: a
    /// message that ends elsewhere than it says is then noticed by the next.
    #[track_caller]
    pub(crate) fn send(&self) -> Answer {
        let idle = IDLE.take().filter(|(address, _)| *address == self.address);
        let mut connection = match idle {
            Some((_, connection)) => connection,
            None => Connection::open(self.address),
        };
        connection.write(self.message());
        let answer = connection.answer(&self.method);
        if self.version == "HTTP/1.1" && may_go_on(&answer) {
            IDLE.set(Some((self.address, connection)));
        }
        answer
    }

    /// Sends it on a connection of its own.
    pub(crate) fn open(&self) -> Connection {
        let mut connection = Connection::open(self.address);
        connection.write(self.message());
        connection
    }
}

thread_local! {
    static IDLE: RefCell<Option<(SocketAddr, Connection)>> = const { RefCell::new(None) };
}

/// Whether the connection is in order, and stays open (RFC 9112 §9.3).
fn may_go_on(answer: &Answer) -> bool {
    let is_last = answer.fields.all("connection").contains(&"close");
    let has_end =
        answer.status == 204 || answer.status == 304 || Framing::of(&answer.fields).is_some();
    answer.is_whole && has_end && !is_last
}

/// A connection to the proxy.
#[derive(Debug)]
pub(crate) struct Connection(Reader);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, LIMIT).expect("the proxy listens");
        stream.set_nodelay(true).expect("it is connected");
        stream
            .set_write_timeout(Some(LIMIT))
            .expect("it is connected");
        Self(Reader::new(stream))
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let written = self.0.stream().write_all(bytes.as_ref());
        written.expect("the proxy takes what it is sent");
    }

    pub(crate) fn write_no_more(&mut self) {
        let _ = self.0.stream().shutdown(Shutdown::Write);
    }

    /// The next head, interim or final.
    pub(crate) fn next_head(&mut self) -> Option<Head> {
        self.0.by(Instant::now() + LIMIT);
        self.0.head().expect("the proxy answers in time")
    }

    /// The answer to a request of that method.
    #[track_caller]
    pub(crate) fn answer(&mut self, method: &str) -> Answer {
        self.answer_if_any(method).expect("the proxy answers")
    }

    /// `None` where the proxy closes the connection instead.
    pub(crate) fn answer_if_any(&mut self, method: &str) -> Option<Answer> {
        let mut interim = Vec::new();
        let head = loop {
            let head = self.next_head()?;
            if is_final(&head) {
                break head;
            }
            interim.push(head);
        };
        let body = self.0.body(framing(method, &head));
        let body = body.expect("the body comes in time");
        Some(Answer::new(interim, head, body))
    }

    /// Whether the proxy closes it, and sends nothing before.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.next_head().is_none()
    }
}

fn is_final(head: &Head) -> bool {
    !head.start.starts_with("HTTP/1.1 1")
}

fn framing(method: &str, head: &Head) -> Framing {
    let status = head.start.split(' ').nth(1).unwrap_or_default();
    if method == "HEAD" || ["204", "304"].contains(&status) {
        return Framing::None;
    }
    Framing::of(&head.fields).unwrap_or(Framing::UntilClose)
}
