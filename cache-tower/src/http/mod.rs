//! The rules of an HTTP cache as pure functions: no I/O, no clock, no task; `now` is an argument.
//!
//! | Question | Asked of |
//! |---|---|
//! | May the cache be used for this request at all? | [`request`] |
//! | Under which key? | [`key`] |
//! | May what is stored answer it? | [`lookup`] |
//! | May this response be stored, and for how long? | [`admit`] |
//! | Which request fields select among several? | [`vary`] |
//! | What does a response to an unsafe method remove? | [`invalidate`] |
//! | What is the client told about it? | [`cache_status`] |
//!
//! Everything that is stored passes the one [`admit::admit`]. Whatever cannot be parsed, and
//! whatever is in doubt, is passed on and not stored.

pub mod admit;
pub mod cache_control;
pub mod cache_status;
pub mod freshness;
pub mod invalidate;
pub mod key;
pub mod lookup;
pub mod request;
pub mod response;
pub mod vary;

mod text;
