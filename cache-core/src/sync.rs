//! The synchronisation that the flight is built from: std's, or loom's when its model is checked.
//!
//! The switch is our own `cfg(cache_loom)`. `--cfg loom` would reach tokio too, whose network half
//! does not build under it.

#[cfg(cache_loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(cache_loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

/// Locks, whatever happened to earlier holders.
///
/// No lock of the flights is held while foreign code runs, and every critical section leaves its
/// data consistent at each step, so a poisoned lock carries no broken state.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
