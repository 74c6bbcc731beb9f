//! The server's time, as far as it can be known here.

use crate::{
    remote::{ServerTime, micros},
    timer,
};
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Instant,
};

/// A lower bound of the server's time: what it said, plus the time since the answer came. So it is
/// behind by the way of one answer at most, and never ahead.
#[derive(Debug)]
pub(super) struct Timeline {
    origin: Instant,
    /// From microseconds since the origin to the server's; `UNKNOWN` before the first answer.
    offset: AtomicI64,
    /// When that was heard, in microseconds since the origin.
    heard: AtomicI64,
}

/// No two clocks differ in speed by more than one part of so many: four times what a machine that is
/// set right slowly may differ by.
const DRIFT: i64 = 512;

const UNKNOWN: i64 = i64::MIN;

impl Timeline {
    pub(super) fn new() -> Self {
        Self {
            origin: timer::now(),
            offset: AtomicI64::new(UNKNOWN),
            heard: AtomicI64::new(0),
        }
    }

    /// The server said `time` in an answer that came just now.
    pub(super) fn heard(&self, time: ServerTime) {
        let here = self.here();
        let offset = signed(time.0).saturating_sub(here);
        self.offset.store(offset, Ordering::Release);
        // After the offset: who reads this moment has that offset, or a later one.
        self.heard.store(here, Ordering::Release);
    }

    pub(super) fn now(&self) -> Option<ServerTime> {
        let offset = self.offset.load(Ordering::Acquire);
        let time = self.here().saturating_add(offset);
        (offset != UNKNOWN).then(|| ServerTime(u64::try_from(time).unwrap_or(0)))
    }

    /// As [`now`](Self::now), and certainly no later than it is there: less what the two clocks may have
    /// drifted apart since the server was heard.
    pub(super) fn earliest(&self) -> Option<ServerTime> {
        let heard = self.heard.load(Ordering::Acquire);
        let drift = self.here().saturating_sub(heard) / DRIFT;
        let drift = u64::try_from(drift).unwrap_or(0);
        self.now()
            .map(|now| ServerTime(now.0.saturating_sub(drift)))
    }

    fn here(&self) -> i64 {
        signed(micros(timer::now().saturating_duration_since(self.origin)))
    }
}

fn signed(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_time_goes_on_from_what_the_server_said() {
        let timeline = Timeline::new();
        assert_eq!(timeline.now(), None);
        tokio::time::advance(Duration::from_secs(5)).await;
        timeline.heard(ServerTime(1_000));
        tokio::time::advance(Duration::from_millis(3)).await;
        assert_eq!(timeline.now(), Some(ServerTime(4_000)));
        timeline.heard(ServerTime(500));
        assert_eq!(
            timeline.now(),
            Some(ServerTime(500)),
            "its clock may be set back"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_certain_falls_behind_until_the_server_is_heard_again() {
        let timeline = Timeline::new();
        assert_eq!(timeline.earliest(), None);
        tokio::time::advance(Duration::from_secs(5)).await;
        timeline.heard(ServerTime(1_000_000));
        assert_eq!(timeline.earliest(), timeline.now());
        tokio::time::advance(Duration::from_micros(512_000)).await;
        assert_eq!(timeline.earliest(), Some(ServerTime(1_511_000)));
        assert_eq!(timeline.now(), Some(ServerTime(1_512_000)));
        timeline.heard(ServerTime(1_512_050));
        assert_eq!(timeline.earliest(), timeline.now());
    }
}
