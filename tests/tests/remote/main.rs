//! The remote tier over real servers, which the tests start and end themselves.
//!
//! What depends on how fast a machine is, is bounded generously here and asserted as counts and
//! bytes; `cargo xtask chaos` runs the same in full and prints the figures.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests spawn callers, read the clock, and fail by panicking"
)]

mod actix;
mod background;
mod cluster;
mod coherence;
mod crowds;
mod environment;
mod faults;
mod fleet;
mod http;
mod large;
mod odd;
mod processes;
mod refusals;
mod resharding;
mod sentinel;
mod support;
mod tls;
mod told;
mod values;
