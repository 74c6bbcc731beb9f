//! What is around the service of the quickstart, whichever framework that is on: its options, the
//! database that it asks, and the demonstration that its cache is put through.

mod database;
pub mod demonstration;
mod options;
pub mod shop;
mod stage;
mod table;

pub use database::Database;
pub use options::{Options, help};
pub use table::{Counts, Time};
