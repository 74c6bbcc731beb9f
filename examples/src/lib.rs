//! What the examples have in common: how they are started and told what to do, the client that asks them,
//! and the lines that it checks.
//!
//! None of it sets up a cache or uses one. How that is done is shown in each example by itself, in its
//! `service.rs`.

#![allow(
    clippy::disallowed_methods,
    reason = "an example reads its own environment and clock"
)]

pub mod client;
pub mod lines;
pub mod options;
pub mod port;
pub mod program;
pub mod quickstart;
