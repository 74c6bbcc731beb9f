//! The service of production as its operator sees it: its process, and the files that it is deployed with.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and start processes"
)]

mod deployment;
mod process;
mod settings;
