//! The rules of an HTTP cache as pure functions: no I/O, no clock, no task; `now` is an argument.
//!
//! | Question | Asked of |
//! |---|---|
//! | May the cache be used for this request at all? | [`request`] |
//! | Under which key? | [`key`] |
//! | May what is stored answer it? | [`lookup`] |
//! | In full, in parts, or as not modified? | [`shape`], by its conditions ([`conditional`]) and [`range`] |
//! | May this response be stored, and for how long? | [`admit`] |
//! | Which of its fields are stored, and how are they renewed? | [`fields`] |
//! | What proves that it is still the same? | [`validator`] |
//! | Which request fields select among several? | [`vary`] |
//! | Which fields speak to this cache alone? | [`targeted`] |
//! | Which stored responses belong together? | [`cache_groups`] |
//! | What does a response to an unsafe method remove? | [`invalidate`] |
//! | What is the client told about it? | [`cache_status`] |
//!
//! Everything that is stored passes the one [`admit::admit`]. Whatever cannot be parsed, and
//! whatever is in doubt, is passed on and not stored.

pub mod admit;
pub mod cache_control;
pub mod cache_groups;
pub mod cache_status;
pub mod conditional;
pub mod date;
pub mod fields;
pub mod freshness;
pub mod invalidate;
pub mod key;
pub mod lookup;
pub mod range;
pub mod reference;
pub mod request;
pub mod response;
pub mod shape;
pub mod targeted;
pub mod validator;
pub mod vary;

mod structured;
mod text;
