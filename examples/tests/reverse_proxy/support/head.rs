//! Messages as they are on the wire (RFC 9112): what both ends read.

use super::{bytes, text};
use std::{
    io::{self, Read},
    net::TcpStream,
    time::Instant,
};

/// Fields in their order, names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_ascii_lowercase(), value.to_owned()));
    }

    /// The value of each line of that name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.0.iter().filter(|(found, _)| found == name);
        lines.map(|(_, value)| value.as_str()).collect()
    }

    /// The value, where there is exactly one line of that name.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        match self.all(name)[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A start line and what follows it.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) fields: Fields,
}

impl Head {
    fn parse(block: &[u8]) -> Self {
        let block = text(block);
        let mut lines = block.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let mut fields = Fields::default();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap_or((line, "(no colon)"));
            fields.push(name, value.trim_matches([' ', '\t']));
        }
        Self { start, fields }
    }
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Sized(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    /// What the fields say, if there is a body at all.
    pub(crate) fn of(fields: &Fields) -> Option<Self> {
        if fields.has("transfer-encoding") {
            return Some(Self::Chunked);
        }
        let length = fields.all("content-length").first()?.parse().ok();
        Some(Self::Sized(length.expect("a length is a number")))
    }
}

/// A body, and whether its end came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) content: Vec<u8>,
    pub(crate) is_whole: bool,
    pub(crate) trailers: Fields,
}

/// What comes on a connection.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: TcpStream,
    ahead: Vec<u8>,
    deadline: Option<Instant>,
}

impl Reader {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let ahead = Vec::new();
        Self {
            stream,
            ahead,
            deadline: None,
        }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What is read after this must have come by then.
    pub(crate) fn by(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Reads some more; false where there is no more.
    fn more(&mut self) -> io::Result<bool> {
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
        }
        let mut buffer = [0; 64 * 1024];
        let read = self.stream.read(&mut buffer)?;
        self.ahead.extend_from_slice(&buffer[..read]);
        Ok(read > 0)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.ahead.split_off(count);
        std::mem::replace(&mut self.ahead, rest)
    }

    /// Up to and with `end`; `None` where the connection ends before.
    fn until(&mut self, end: &str) -> io::Result<Option<Vec<u8>>> {
        let end = bytes(end);
        let mut searched = 0;
        loop {
            let found = self.ahead[searched..]
                .windows(end.len())
                .position(|part| part == end);
            if let Some(at) = found {
                return Ok(Some(self.take(searched + at + end.len())));
            }
            searched = self.ahead.len().saturating_sub(end.len() - 1);
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    pub(crate) fn head(&mut self) -> io::Result<Option<Head>> {
        Ok(self.until("\r\n\r\n")?.map(|block| Head::parse(&block)))
    }

    /// `None` where the connection broke off.
    pub(crate) fn body(&mut self, framing: Framing) -> io::Result<Body> {
        let mut body = Body::default();
        body.is_whole = match framing {
            Framing::None => true,
            Framing::Sized(length) => self.some(length, &mut body.content)?,
            Framing::Chunked => self.chunks(&mut body)?,
            Framing::UntilClose => self.rest(&mut body.content)?,
        };
        Ok(body)
    }

    /// So many bytes; false where there are fewer.
    fn some(&mut self, count: usize, content: &mut Vec<u8>) -> io::Result<bool> {
        while self.ahead.len() < count && self.more_or_broken()? {}
        let there = count.min(self.ahead.len());
        content.extend(self.take(there));
        Ok(there == count)
    }

    fn chunks(&mut self, body: &mut Body) -> io::Result<bool> {
        loop {
            let Some(line) = self.until("\r\n")? else {
                return Ok(false);
            };
            let size = text(&line);
            let size = size.trim_end().split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).expect("a chunk has a size");
            if size == 0 {
                return self.trailers(body);
            }
            let mut end = Vec::new();
            if !self.some(size, &mut body.content)? || !self.some(2, &mut end)? {
                return Ok(false);
            }
        }
    }

    fn trailers(&mut self, body: &mut Body) -> io::Result<bool> {
        loop {
            match self.until("\r\n")? {
                None => return Ok(false),
                Some(line) if line == b"\r\n" => return Ok(true),
                Some(line) => {
                    let line = text(&line);
                    let (name, value) = line.split_once(':').unwrap_or((&line, ""));
                    body.trailers.push(name, value.trim());
                }
            }
        }
    }

    fn rest(&mut self, content: &mut Vec<u8>) -> io::Result<bool> {
        let is_whole = loop {
            match self.more() {
                Ok(true) => {}
                Ok(false) => break true,
                Err(error) if is_broken(&error) => break false,
                Err(error) => return Err(error),
            }
        };
        content.append(&mut self.ahead);
        Ok(is_whole)
    }

    /// As `more`, where an end that is not clean is an end.
    fn more_or_broken(&mut self) -> io::Result<bool> {
        match self.more() {
            Err(error) if is_broken(&error) => Ok(false),
            other => other,
        }
    }
}

fn is_broken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}
