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
        let took = timer::now().saturating_duration_since(begun);
        self.left = if result.is_ok() && took > self.left {
            // Bytes were on their way. What is left must do for asking whether they may be used.
            self.left / 2
        } else {
            self.left.saturating_sub(took)
        };
        result
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
}
