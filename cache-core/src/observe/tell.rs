//! Events: what went wrong, each said in one place. Without the feature `tracing` none of it is there.
//!
//! | Level | For |
//! |---|---|
//! | WARN | something is away, damaged or too slow, and somebody should know |
//! | INFO | it is well again |
//! | DEBUG | what is part of working normally, as a load that an invalidation overtook |
#![cfg_attr(
    not(feature = "tracing"),
    allow(unused_variables, reason = "what is told is dropped")
)]

#[cfg(feature = "redis")]
use crate::remote::{Health, State};
use crate::{
    config::Warning,
    remote::{Failure, Odd},
};

macro_rules! event {
    ($level:ident, $($said:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::event!(target: "cache_core", tracing::Level::$level, $($said)*);
    };
}

#[cfg(feature = "tracing")]
use super::Digest;

/// The remote tier's health is another.
#[cfg(feature = "redis")]
pub(crate) fn health(health: &Health) {
    match &health.state {
        State::Connecting => {}
        State::Down(reason) => {
            event!(WARN, reason = &**reason, "the remote tier is away");
        }
        State::Up if health.degraded.is_empty() => {
            event!(INFO, "the remote tier is in use");
        }
        State::Up => {
            event!(WARN, degraded = ?health.degraded, "the remote tier is in use, but not all of it works");
        }
    }
}

/// Settings are possible but hardly meant. The words name variables, and no values but routes.
pub(crate) fn warning(warning: &Warning) {
    event!(
        WARN,
        code = warning.code(),
        variable = warning.variable(),
        "{}",
        warning.text()
    );
}

/// Memory is told of changes from now on, or no longer.
pub(crate) fn coherent(cache: &str, is_so: bool) {
    if is_so {
        event!(INFO, cache.name = cache, "memory is told of changes");
    } else {
        event!(
            WARN,
            cache.name = cache,
            "memory is not told of changes: it trusts what it holds for a moment only"
        );
    }
}

/// Bytes in the remote tier are no entry of their key. After a change of schema that is to be expected.
pub(crate) fn odd(cache: &str, key: &[u8], odd: Odd) {
    match odd {
        Odd::Format | Odd::Schema => {
            event!(DEBUG, cache.name = cache, cache.key = %Digest::of(key), reason = %odd, "what is in the remote tier cannot be used");
        }
        Odd::Foreign | Odd::Damaged | Odd::OtherKey => {
            event!(WARN, cache.name = cache, cache.key = %Digest::of(key), reason = %odd, "what is in the remote tier cannot be used");
        }
    }
}

/// A value in the remote tier has no meaning to its codec.
pub(crate) fn undecodable(cache: &str, key: &[u8]) {
    event!(WARN, cache.name = cache, cache.key = %Digest::of(key), "what is in the remote tier cannot be decoded");
}

/// An operation of the remote tier came to nothing.
pub(crate) fn failed_there(cache: &str, failure: &Failure) {
    event!(DEBUG, cache.name = cache, reason = %failure, "the remote tier did not help");
}

/// What was loaded came too late.
pub(crate) fn refused(cache: &str, key: &[u8]) {
    event!(DEBUG, cache.name = cache, cache.key = %Digest::of(key), "what was loaded is not stored: something overtook it");
}

/// A leader passed its deadline.
pub(crate) fn overtaken(cache: &str, key: &[u8]) {
    event!(WARN, cache.name = cache, cache.key = %Digest::of(key), "a load takes longer than its deadline: another caller takes its turn");
}

/// A refresh passed its deadline, and is given up.
pub(crate) fn late(cache: &str, key: &[u8]) {
    event!(WARN, cache.name = cache, cache.key = %Digest::of(key), "a refresh took longer than its deadline: it is given up");
}

/// A load failed. What the loader says may hold anything, so it is not repeated here.
pub(crate) fn load_failed(cache: &str, key: &[u8], error: &crate::Error) {
    event!(WARN, cache.name = cache, cache.key = %Digest::of(key), reason = %error, "a load failed");
}

/// There was no room for work of the background; `times` so far. Said at powers of two, for it comes in floods.
pub(crate) fn dropped(times: u64) {
    if times.is_power_of_two() {
        event!(
            WARN,
            times,
            "the background has no room for more work: what was loaded is not shared"
        );
    }
}
