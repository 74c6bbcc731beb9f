//! An origin that says what a test tells it to, a client that reads what comes to the byte, and the
//! proxy between them.
//!
//! Texts stand for bytes by Latin-1: each char below U+0100 is one byte, so that a field's value can
//! be written, compared and printed whatever is in it.

mod answer;
mod ask;
mod cache_status;
mod each;
mod gate;
mod head;
mod origin;
mod proxy;
mod reply;
mod server;
mod test;
mod time;

pub(crate) use answer::Answer;
pub(crate) use ask::{Ask, Connection};
pub(crate) use each::each;
pub(crate) use gate::Gate;
pub(crate) use origin::Received;
pub(crate) use reply::Reply;
pub(crate) use server::{Server, VARIABLE};
pub(crate) use test::Test;
pub(crate) use time::{eventually, http_date, with_dates};

use std::time::Duration;

/// Nothing that a test waits for takes longer, or it failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// The bytes that a text stands for.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let byte = |char| u8::try_from(u32::from(char)).expect("a text stands for bytes");
    text.chars().map(byte).collect()
}

/// The text that stands for these bytes.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
