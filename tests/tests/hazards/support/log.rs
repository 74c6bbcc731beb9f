//! What handlers saw.

use http::{HeaderMap, Method, Request};
use std::sync::{Arc, Mutex};

/// So many calls are kept; tests that make more look at none.
const MOST: usize = 1024;

/// The requests that came to the handlers of an app, in their order. Clones are one log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Saw>>>);

/// A request as it came to a handler.
#[derive(Debug, Clone)]
pub(crate) struct Saw {
    pub(crate) method: Method,
    headers: HeaderMap,
}

impl Log {
    pub(crate) fn note<B>(&self, request: &Request<B>) {
        let mut calls = self.0.lock().unwrap();
        if calls.len() < MOST {
            calls.push(Saw {
                method: request.method().clone(),
                headers: request.headers().clone(),
            });
        }
    }

    pub(crate) fn at(&self, call: u64) -> Saw {
        let calls = self.0.lock().unwrap();
        let at = usize::try_from(call).unwrap() - 1;
        calls
            .get(at)
            .unwrap_or_else(|| panic!("there was no call {call}, but {}", calls.len()))
            .clone()
    }
}

impl Saw {
    /// The lines of a field, joined; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> String {
        let line =
            |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let lines: Vec<_> = self.headers.get_all(name).iter().map(line).collect();
        lines.join(", ")
    }

    /// Whether it asks for the whole, without conditions.
    pub(crate) fn is_plain(&self) -> bool {
        [
            "if-match",
            "if-none-match",
            "if-modified-since",
            "if-unmodified-since",
            "if-range",
            "range",
        ]
        .iter()
        .all(|name| !self.headers.contains_key(*name))
    }
}
