//! The service of production as its operator sees it: its process, and the files that it is deployed with.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod deployment;
mod process;
mod settings;
