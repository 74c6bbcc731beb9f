//! What the tests of the whole have in common.

pub mod cluster;
pub mod figure;
pub mod proxy;
pub mod redis;
