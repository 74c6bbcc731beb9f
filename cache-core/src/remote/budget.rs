//! The time that one request may spend on the remote tier, in all.

use crate::{remote::Failure, timer};
use std::{future::Future, time::Duration};

/// What is left of a request's time for the remote tier. Waiting for another process's load is not
/// counted, only asking is.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    left: Duration,
}

impl Budget {
    /// A budget of `whole`.
    pub fn new(whole: Duration) -> Self {
        Self { left: whole }
    }

    /// What is left.
    pub fn left(&self) -> Duration {
        self.left
    }

    /// Runs an operation within what is left, and takes what it needed.
    pub(crate) async fn spend<T, W>(
        &mut self,
        work: impl FnOnce(Duration) -> W,
    ) -> Result<T, Failure>
    where
        W: Future<Output = Result<T, Failure>>,
    {
        if self.left.is_zero() {
            return Err(Failure::Late);
        }
        let begun = timer::now();
        let result = work(self.left).await;
        self.left = self
            .left
            .saturating_sub(timer::now().saturating_duration_since(begun));
        result
    }
}
