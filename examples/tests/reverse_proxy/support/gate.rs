//! Something that waits until a test lets it go on.

use super::LIMIT;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A gate, closed until it is opened. Whoever waits too long goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        let is_open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .0
            .1
            .wait_timeout_while(is_open, LIMIT, |is_open| !*is_open);
        drop(waited);
    }
}
