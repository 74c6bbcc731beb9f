//! Generations: what makes a slow load unable to put back what was just invalidated.
//!
//! Every invalidation raises a generation; a fill notes it before its load begins and is refused at
//! commit if it has moved. Keys share a fixed number of generations by their hash, so an invalidated
//! key leaves nothing behind; that another key of the same stripe is then refused too costs it one
//! more load, never a wrong value.
//!
//! A commit checks and inserts, and an invalidation raises and removes, under the stripe's lock: no
//! reader sees the old value after the invalidation returned.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A quarter of a megabyte. With fewer, a service that invalidates often could hardly store what takes
/// long to load.
const STRIPES: usize = 16 * 1024;

/// The generation of a key when a load of it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation(u64);

impl Generation {
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
pub(crate) struct Generations {
    stripes: Box<[Mutex<u64>]>,
}

impl Default for Generations {
    fn default() -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::new(0)).collect(),
        }
    }
}

impl Generations {
    pub(crate) fn current(&self, hash: u64) -> Generation {
        Generation(*self.stripe(hash))
    }

    /// Runs `commit` if no invalidation came since `began`.
    pub(crate) fn commit<R>(
        &self,
        hash: u64,
        began: Generation,
        commit: impl FnOnce() -> R,
    ) -> Option<R> {
        let generation = self.stripe(hash);
        (*generation == began.0).then(commit)
    }

    /// Refuses every fill of the key that is under way, and runs `remove`.
    pub(crate) fn invalidate<R>(&self, hash: u64, remove: impl FnOnce() -> R) -> R {
        let mut generation = self.stripe(hash);
        *generation += 1;
        remove()
    }

    /// Refuses every fill that is under way.
    pub(crate) fn invalidate_all(&self) {
        for stripe in &self.stripes {
            *stripe.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
    }

    fn stripe(&self, hash: u64) -> MutexGuard<'_, u64> {
        let index = hash as usize % STRIPES;
        let stripe = self
            .stripes
            .get(index)
            .expect("the index is taken modulo the number of stripes");
        stripe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_that_began_before_an_invalidation_is_refused() {
        let generations = Generations::default();
        let began = generations.current(7);
        assert_eq!(generations.commit(7, began, || "stored"), Some("stored"));
        generations.invalidate(7, || ());
        assert_eq!(generations.commit(7, began, || "stored"), None);
        assert!(
            generations
                .commit(8, generations.current(8), || ())
                .is_some()
        );
        let began = generations.current(8);
        generations.invalidate_all();
        assert!(generations.commit(8, began, || ()).is_none());
    }
}
