//! What the origin says, and how it lies.

use super::{Gate, LIMIT, bytes, head::Fields, http_date, text, with_dates};
use std::{
    io::{self, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

/// A response of the origin, or what it does instead.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    framing: Framing,
    interim: Vec<String>,
    is_dated: bool,
    delay: Duration,
    before_head: Option<Gate>,
    before_body: Option<Gate>,
    trailers: String,
    /// The bytes of the body after which the connection ends.
    cut: Option<usize>,
    instead: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Sized,
    /// The length that is declared, whatever is sent.
    Declared(usize),
    Chunked,
    UntilClose,
}

impl Reply {
    /// With `Date` and without anything else.
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status: status.to_string(),
            fields: Vec::new(),
            body: Vec::new(),
            framing: Framing::Sized,
            interim: Vec::new(),
            is_dated: true,
            delay: Duration::ZERO,
            before_head: None,
            before_body: None,
            trailers: String::new(),
            cut: None,
            instead: None,
        }
    }

    /// A 200 that says `body`.
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200).body(body)
    }

    /// The connection is closed instead of an answer.
    pub(crate) fn hang_up() -> Self {
        Self::raw("")
    }

    /// These bytes, and then the connection is closed.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            instead: Some(bytes.into()),
            ..Self::new(200)
        }
    }

    /// What the status line says after the status.
    pub(crate) fn reason(mut self, reason: &str) -> Self {
        self.status.push(' ');
        self.status.push_str(reason);
        self
    }

    /// One more field line; `{-100}` is a date (see [`with_dates`]). A Date takes the place of the
    /// origin's own.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.is_dated &= !name.eq_ignore_ascii_case("date");
        self.fields.push((name.to_owned(), with_dates(value)));
        self
    }

    /// Field lines as they stand in a message.
    pub(crate) fn fields(self, lines: &str) -> Self {
        lines.lines().fold(self, |reply, line| {
            let (name, value) = line.split_once(':').expect("a field line has a colon");
            reply.field(name.trim(), value.trim())
        })
    }

    /// Cache-Control.
    pub(crate) fn control(self, directives: &str) -> Self {
        self.field("Cache-Control", directives)
    }

    pub(crate) fn undated(mut self) -> Self {
        self.is_dated = false;
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// After the last chunk.
    pub(crate) fn trailers(mut self, lines: &str) -> Self {
        self.trailers = lines.to_owned();
        self.chunked()
    }

    /// The end of the connection is the end of the body.
    pub(crate) fn until_close(mut self) -> Self {
        self.framing = Framing::UntilClose;
        self
    }

    /// Content-Length, whatever is sent.
    pub(crate) fn declared(mut self, length: usize) -> Self {
        self.framing = Framing::Declared(length);
        self
    }

    /// The connection ends after so many bytes of the body.
    pub(crate) fn cut_after(mut self, count: usize) -> Self {
        self.cut = Some(count);
        self
    }

    /// An interim response comes before: its status, and field lines.
    pub(crate) fn interim(mut self, status: u16, lines: &str) -> Self {
        let mut head = format!("HTTP/1.1 {status} x\r\n");
        lines.lines().for_each(|line| head.extend([line, "\r\n"]));
        head.push_str("\r\n");
        self.interim.push(head);
        self
    }

    /// It takes so long to come.
    pub(crate) fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Its final head comes when the gate opens.
    pub(crate) fn behind(mut self, gate: &Gate) -> Self {
        self.before_head = Some(gate.clone());
        self
    }

    /// Its body comes when the gate opens.
    pub(crate) fn body_behind(mut self, gate: &Gate) -> Self {
        self.before_body = Some(gate.clone());
        self
    }

    /// Says it in answer to a request of that method; tells whether the connection may go on.
    pub(super) fn say(&self, method: &str, stream: &mut TcpStream) -> io::Result<bool> {
        stream.set_write_timeout(Some(LIMIT))?;
        thread::sleep(self.delay);
        for head in &self.interim {
            stream.write_all(&bytes(head))?;
        }
        self.before_head.iter().for_each(Gate::pass);
        if let Some(instead) = &self.instead {
            stream.write_all(instead)?;
            return Ok(false);
        }
        let has_body = method != "HEAD" && !self.is_bodiless();
        let mut message = self.head();
        if let Some(gate) = &self.before_body {
            stream.write_all(&message)?;
            gate.pass();
            message.clear();
        }
        if has_body {
            message.extend(self.content());
        }
        stream.write_all(&message)?;
        let is_true = matches!(self.framing, Framing::Sized | Framing::Chunked);
        Ok(self.cut.is_none() && (is_true || !has_body))
    }

    /// 204 and 304 end with their head.
    fn is_bodiless(&self) -> bool {
        self.status.starts_with("204") || self.status.starts_with("304")
    }

    fn head(&self) -> Vec<u8> {
        let mut lines = vec![format!("HTTP/1.1 {}", self.status)];
        if !self.status.contains(' ') {
            lines[0].push_str(" Told");
        }
        if self.is_dated {
            lines.push(format!("Date: {}", http_date(0)));
        }
        lines.extend(
            self.fields
                .iter()
                .map(|(name, value)| format!("{name}: {value}")),
        );
        if !self.is_bodiless() {
            lines.extend(match self.framing {
                Framing::Sized => Some(format!("Content-Length: {}", self.body.len())),
                Framing::Declared(length) => Some(format!("Content-Length: {length}")),
                Framing::Chunked => Some("Transfer-Encoding: chunked".to_owned()),
                Framing::UntilClose => None,
            });
        }
        bytes(&(lines.join("\r\n") + "\r\n\r\n"))
    }

    fn content(&self) -> Vec<u8> {
        let sent = &self.body[..self.cut.unwrap_or(self.body.len())];
        if !matches!(self.framing, Framing::Chunked) {
            return sent.to_owned();
        }
        // In two chunks, so that it is not one by chance.
        let (first, second) = sent.split_at(sent.len() / 2);
        let mut content = Vec::new();
        for chunk in [first, second]
            .into_iter()
            .filter(|chunk| !chunk.is_empty())
        {
            content.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            content.extend(chunk);
            content.extend(b"\r\n");
        }
        if self.cut.is_none() {
            content.extend(b"0\r\n");
            for line in self.trailers.lines() {
                content.extend(bytes(line));
                content.extend(b"\r\n");
            }
            content.extend(b"\r\n");
        }
        content
    }
}

/// What the origin was told to say, for tests that compare it with what came out.
impl Reply {
    pub(crate) fn told(&self) -> Fields {
        let mut told = Fields::default();
        self.fields
            .iter()
            .for_each(|(name, value)| told.push(name, value));
        told
    }

    pub(crate) fn text(&self) -> String {
        text(&self.body)
    }
}
