//! What can go wrong with an HTTP cache, one test per hazard, named by its id.
//!
//! The tests see an [`App`](support::App): requests in, answers and counts of handler calls out. Which
//! framework is behind it is known to `support` alone, and to the tests of what is axum's own (`routes`);
//! what does not stand in the table is named in `outside`. Time is tokio's, paused, wherever a lifetime or a
//! limit matters; nothing sleeps, and nothing is asserted about how long real things take.
//!
//! Every test ends with [`App::done`](support::App::done): no flight is left, and every request was
//! counted once.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests spawn callers and fail by panicking; handlers take what they are asked"
)]

mod admin;
mod bodies;
mod deception;
mod directives;
mod flights;
mod freshness;
mod guarded;
mod http2;
mod keys;
mod layers;
mod levels;
mod memory;
mod methods;
mod outside;
mod ranges;
mod routes;
mod secrets;
mod shared_tier;
mod sharing;
mod sockets;
mod status;
mod support;
mod table;
mod updates;
mod validation;
mod variants;
mod vary;
