//! The time that one request may spend on the remote tier, in all.

use crate::{remote::Failure, timer};
use std::{
    future::Future,
    time::{Duration, Instant},
};

/// What is left of a request's time for the remote tier. Waiting for another process's load is not
/// counted, only asking is.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    left: Duration,
    /// When asking began whose time has not been taken yet.
    since: Option<Instant>,
}

impl Budget {
    /// A budget of `whole`.
    pub fn new(whole: Duration) -> Self {
        Self {
            left: whole,
            since: None,
        }
    }

    /// What is left.
    pub fn left(&self) -> Duration {
        match self.since {
            Some(since) => self.without(since, timer::now()),
            None => self.left,
        }
    }

    /// Runs an operation within what is left, and takes what it needed.
    pub(crate) async fn spend<T, W>(
        &mut self,
        work: impl FnOnce(Duration) -> W,
    ) -> Result<T, Failure>
    where
        W: Future<Output = Result<T, Failure>>,
    {
        let result = self.spend_on(work).await;
        self.settle(timer::now());
        result
    }

    /// As [`spend`](Self::spend), where at once nothing follows, or another operation: what this one
    /// needed is taken when that begins. A clock is read once less, and most operations are such.
    pub(crate) async fn spend_on<T, W>(
        &mut self,
        work: impl FnOnce(Duration) -> W,
    ) -> Result<T, Failure>
    where
        W: Future<Output = Result<T, Failure>>,
    {
        let now = timer::now();
        self.settle(now);
        if self.left.is_zero() {
            return Err(Failure::Late);
        }
        self.since = Some(now);
        work(self.left).await
    }

    fn settle(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.left = self.without(since, now);
        }
    }

    fn without(&self, since: Instant, now: Instant) -> Duration {
        let spent = now.saturating_duration_since(since);
        self.left.saturating_sub(spent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    async fn takes(time: Duration) -> Result<(), Failure> {
        timer::until(
            timer::later(timer::now(), time),
            std::future::pending::<()>(),
        )
        .await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_at_once_is_within_the_same_time() {
        let mut budget = Budget::new(20 * MS);
        assert_eq!(budget.spend_on(|_| takes(8 * MS)).await, Ok(()));
        assert_eq!(budget.left(), 12 * MS);
        let limit = |limit| async move { Ok(limit) };
        assert_eq!(budget.spend(limit).await, Ok(12 * MS));
        assert_eq!(budget.spend_on(|_| takes(12 * MS)).await, Ok(()));
        assert_eq!(budget.spend(limit).await, Err(Failure::Late));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_between_two_operations_is_the_callers() {
        let mut budget = Budget::new(20 * MS);
        assert_eq!(budget.spend(|_| takes(8 * MS)).await, Ok(()));
        assert_eq!(takes(60 * MS).await, Ok(()));
        assert_eq!(budget.left(), 12 * MS);
    }
}
