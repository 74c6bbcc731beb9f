//! Waiting, by tokio's timers. Outside a tokio runtime there are none, and nothing is cut short.

use crate::clock;
use std::{
    future::Future,
    time::{Duration, Instant},
};

/// The instant deadlines are counted from.
pub(crate) fn now() -> Instant {
    clock::timer_now().into_std()
}

/// `now`, `duration` later, a year at most.
pub(crate) fn later(now: Instant, duration: Duration) -> Instant {
    now + duration.min(crate::policy::LONGEST)
}

/// Twice as long each of so many times, up to `longest`.
pub(crate) fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    let factor = 2_u32.saturating_pow(times);
    first.saturating_mul(factor).min(longest)
}

/// The output of `work`, or `None` where the deadline passes first.
pub(crate) async fn until<F: Future>(deadline: Instant, work: F) -> Option<F::Output> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Some(work.await);
    }
    tokio::time::timeout_at(deadline.into(), work).await.ok()
}
