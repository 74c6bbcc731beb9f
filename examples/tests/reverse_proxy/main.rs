//! The reverse proxy as a client and an origin see it: bytes on sockets on both sides, and the RFCs as
//! the judge.
//!
//! Each test has a proxy's process and a scripted origin for itself, and each row of a table a path
//! ([`Test`](support::Test)). Nothing waits for time to pass: what is to be stale was stale when the origin sent it, by its
//! Age, Date, Expires or Last-Modified. Where a rule is optional (MAY, SHOULD) the test holds what this
//! cache chose, and says so.
//!
//! All of them run twice: with hyper to serve the proxy's clients, and with actix-web (`servers`).
//!
//! The proxy caches by `Profile::Standard`: as a shared cache, and to the letter of RFC 9111.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::wrong_self_convention,
    reason = "tests read the clock, fail by panicking, and chain what they expect"
)]

mod cache_status;
mod connection;
mod fields;
mod freshness;
mod interim;
mod invalidation;
mod ranges;
mod servers;
mod serving;
mod stale;
mod storing;
mod support;
mod targeted;
mod transparency;
mod validation;
mod vary;
