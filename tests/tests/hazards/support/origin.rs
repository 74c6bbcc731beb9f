//! An origin that does as RFC 9110 says: what it has is validated, and given in parts.

use super::{Ask, Reply};
use bytes::Bytes;
use std::{
    fmt,
    sync::{Arc, Mutex},
};

/// One representation, which changes. Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Origin(Arc<Mutex<Version>>);

#[derive(Debug, Clone)]
struct Version {
    etag: String,
    body: Bytes,
}

impl Origin {
    /// `etag` is the value of the field; where it is empty there is none.
    pub(crate) fn of(etag: &str, body: impl Into<Bytes>) -> Self {
        let (etag, body) = (etag.to_owned(), body.into());
        Self(Arc::new(Mutex::new(Version { etag, body })))
    }

    pub(crate) fn becomes(&self, etag: &str, body: impl Into<Bytes>) {
        let (etag, body) = (etag.to_owned(), body.into());
        *self.0.lock().unwrap() = Version { etag, body };
    }

    /// A handler that gives it with this Cache-Control.
    pub(crate) fn handler(
        &self,
        control: &'static str,
    ) -> impl Fn(Ask) -> Reply + Clone + Send + Sync + use<> {
        let origin = self.clone();
        move |ask| origin.reply(&ask).control(control)
    }

    /// What a GET gets.
    pub(crate) fn reply(&self, ask: &Ask) -> Reply {
        let version = self.0.lock().unwrap().clone();
        let reply = version.reply(ask);
        if version.etag.is_empty() {
            reply
        } else {
            reply.header("etag", &version.etag)
        }
    }
}

impl Version {
    fn reply(&self, ask: &Ask) -> Reply {
        if self.is_listed(&ask.header("if-none-match")) {
            return Reply::text("").status(304);
        }
        let condition = ask.header("if-range");
        let is_strong = !self.etag.is_empty() && !self.etag.starts_with("W/");
        let is_same = condition.is_empty() || (is_strong && condition == self.etag);
        let range = ask.header("range");
        if range.is_empty() || !is_same {
            return Reply::text(self.body.clone());
        }
        self.part(&range)
    }

    /// By the weak comparison (RFC 9110 §13.1.2).
    fn is_listed(&self, condition: &str) -> bool {
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        !self.etag.is_empty()
            && (condition == "*"
                || condition
                    .split(',')
                    .any(|tag| opaque(tag) == opaque(&self.etag)))
    }

    /// Several ranges get the whole, as they may.
    fn part(&self, range: &str) -> Reply {
        let length = self.body.len();
        let whole = || Reply::text(self.body.clone());
        let Some((first, last)) = range
            .strip_prefix("bytes=")
            .and_then(|set| set.split_once('-'))
        else {
            return whole();
        };
        let number = |text: &str| text.parse::<usize>().ok();
        let (first, last) = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, last.min(length - 1)),
            (Some(first), None) if last.is_empty() => (first, length - 1),
            (None, Some(suffix)) if first.is_empty() => (length - suffix.min(length), length - 1),
            _ => return whole(),
        };
        if first >= length {
            let unsatisfied = format!("bytes */{length}");
            return Reply::text("")
                .status(416)
                .header("content-range", unsatisfied);
        }
        Reply::text(self.body.slice(first..=last))
            .status(206)
            .header("content-range", Span(first, last, length).to_string())
    }
}

struct Span(usize, usize, usize);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/{}", self.0, self.1, self.2)
    }
}
