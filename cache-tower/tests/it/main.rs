//! The layer around plain Tower services: bodies, call counts and bytes, under paused time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test may panic, and spawns its own callers"
)]

mod adapter;
mod bodies;
mod collapse;
mod environment;
mod hit;
mod models;
mod peer;
mod purge;
mod ready;
mod remote;
mod stale;
mod support;
mod tables;
mod threads;
