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
    /// Whether that had an answer.
    has_arrived: bool,
}

impl Budget {
    /// A budget of `whole`.
    pub fn new(whole: Duration) -> Self {
        Self {
            left: whole,
            since: None,
            has_arrived: false,
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
        let result = work(self.left).await;
        self.has_arrived = result.is_ok();
        result
    }

    fn settle(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.left = self.without(since, now);
        }
    }

    fn without(&self, since: Instant, now: Instant) -> Duration {
        let spent = now.saturating_duration_since(since);
        if self.has_arrived && spent > self.left {
            // Bytes were on their way. What is left must do for asking whether they may be used.
            self.left / 2
        } else {
            self.left.saturating_sub(spent)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn operations_share_one_budget() {
        let mut budget = Budget::new(20 * MS);
        let work = |took: Duration, result: Result<(), Failure>| {
            move |_| async move {
                sleep(took).await;
                result
            }
        };
        assert_eq!(budget.spend(work(5 * MS, Ok(()))).await, Ok(()));
        assert_eq!(budget.left(), 15 * MS);
        let late = budget.spend(work(15 * MS, Err(Failure::Late))).await;
        assert_eq!((late, budget.left()), (Err(Failure::Late), Duration::ZERO));
        let none = budget.spend(work(MS, Ok(()))).await;
        assert_eq!(none, Err(Failure::Late), "nothing is tried");
    }

    /// RDS-37: who has waited for a large value can still ask whether it may be used.
    #[tokio::test(start_paused = true)]
    async fn rds_37_what_a_large_value_needed_on_its_way_is_not_all_of_the_budget() {
        let mut budget = Budget::new(20 * MS);
        let slow = |_| async {
            sleep(100 * MS).await;
            Ok(())
        };
        assert_eq!(budget.spend(slow).await, Ok(()));
        assert_eq!(budget.left(), 10 * MS);
    }

    async fn takes(time: Duration) -> Result<(), Failure> {
        sleep(time).await;
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
