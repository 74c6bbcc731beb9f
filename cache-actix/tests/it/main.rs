//! What is actix-web's own: where layers go, extractors, requests that are moved, workers. What holds for
//! every framework is tested for all of them at once, in the member `tests`.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and do not hang"
)]

mod applications;
mod background;
mod bodies;
mod environment;
mod layers;
mod macros;
mod middleware;
mod purge;
mod support;
mod threads;
mod workers;
