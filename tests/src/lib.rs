//! What the tests of the whole have in common.

pub mod cluster;
pub mod figure;
pub mod fleet;
pub mod history;
pub mod log;
pub mod member;
pub mod monotonic;
pub mod process;
pub mod proxy;
pub mod redis;
