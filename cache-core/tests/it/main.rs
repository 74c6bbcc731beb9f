//! What the cache promises, from outside: one module per promise.
//!
//! Time is tokio's, paused, or a `ManualClock`; nothing waits for real time. Tests whose flights
//! have ended check by `support::settled` that none is left.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests spawn callers, and fail by panicking"
)]

mod collapse;
mod config;
mod counts;
mod environment;
mod history;
mod invalidate;
mod memory;
mod remote;
mod runtime;
mod stale;
mod support;
mod threads;
