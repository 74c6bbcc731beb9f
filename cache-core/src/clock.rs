//! Time and randomness, injected: lifetimes read [`Clock`], jitter reads [`Random`].
//!
//! Lifetimes use a monotonic clock, so a wall clock that steps, in either direction, neither
//! revives nor kills an entry. The wall clock is read only where a protocol demands a date.
//! Waiting (deadlines, pauses between polls) uses tokio's timers, which a test pauses together
//! with [`SystemClock`], since that one reads tokio's clock too.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// A point in monotonic time, in nanoseconds since an arbitrary origin.
///
/// Moments of one [`Clock`] compare; moments of different clocks do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The origin plus `nanos` nanoseconds, for implementations of [`Clock`].
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// This moment, `duration` later; saturates some 500 years after the origin.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(duration)))
    }

    /// This moment, `duration` earlier; saturates at the origin.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(duration)))
    }

    /// The nanoseconds since the origin.
    pub(crate) fn nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this moment, zero if that one is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// As [`since`](Self::since), in seconds.
    #[cfg(feature = "metrics")]
    pub(crate) fn seconds_since(self, earlier: Self) -> f64 {
        // Signed, for that is one instruction: no two moments are 2⁶³ nanoseconds apart.
        self.0.saturating_sub(earlier.0).cast_signed() as f64 / 1e9
    }
}

fn saturating_nanos(duration: Duration) -> u64 {
    // Not by way of `as_nanos`, whose 128 bits each hit would pay for.
    const SECOND: u64 = 1_000_000_000;
    match duration.as_secs() {
        seconds if seconds < u64::MAX / SECOND => {
            seconds * SECOND + u64::from(duration.subsec_nanos())
        }
        _ => u64::MAX,
    }
}

/// Where the current time comes from.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The monotonic time. It never goes back.
    fn now(&self) -> Moment;

    /// The wall-clock time, for protocol dates only. It may step either way.
    fn wall(&self) -> SystemTime;
}

/// The machine's clock. Under tokio's paused time the monotonic half is paused with it.
#[derive(Debug, Clone)]
pub struct SystemClock {
    origin: tokio::time::Instant,
}

/// Where [`SystemClock`] puts its own creation, so that a moment may also lie before it: a runtime
/// with paused time can be entered after the clock was made and read earlier times.
const ORIGIN: u64 = 1 << 60;

#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
impl SystemClock {
    /// A clock that starts now.
    pub fn new() -> Self {
        Self {
            origin: tokio::time::Instant::now(),
        }
    }

    fn instant() -> tokio::time::Instant {
        tokio::time::Instant::now()
    }

    /// The moment of an instant before it was made. Apart, and by reference, for it almost never is, and what
    /// it would keep at hand each reading would pay for.
    #[cold]
    #[inline(never)]
    fn earlier(&self, instant: &tokio::time::Instant) -> Moment {
        Moment(ORIGIN).before(self.origin.duration_since(*instant))
    }

    fn system() -> SystemTime {
        SystemTime::now()
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let now = Self::instant();
        match now.checked_duration_since(self.origin) {
            Some(after) => Moment(ORIGIN).after(after),
            None => self.earlier(&now),
        }
    }

    fn wall(&self) -> SystemTime {
        Self::system()
    }
}

/// The instant that tokio's timers count from, for deadlines of waits.
pub(crate) fn timer_now() -> tokio::time::Instant {
    SystemClock::instant()
}

/// Where randomness comes from: jitter and early refresh, nothing that guards a secret.
pub trait Random: fmt::Debug + Send + Sync + 'static {
    /// Sixty-four uniformly distributed bits.
    fn bits(&self) -> u64;
}

/// A fast generator, seeded by the operating system, one per thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn bits(&self) -> u64 {
        fastrand::u64(..)
    }
}

/// A number in (0, 1]: never zero, because its logarithm is taken.
pub(crate) fn unit(random: &dyn Random) -> f64 {
    const STEPS: f64 = (1_u64 << 53) as f64;
    ((random.bits() >> 11) as f64 + 1.0) / STEPS
}

#[cfg(any(test, feature = "test-util"))]
pub use manual::{FixedRandom, ManualClock};

#[cfg(any(test, feature = "test-util"))]
mod manual {
    use super::{Clock, Moment, ORIGIN, Random};
    use std::{
        sync::{Arc, Mutex, PoisonError},
        time::{Duration, SystemTime},
    };

    /// A clock that moves only when told. Clones show the same time.
    ///
    /// It governs lifetimes, not timers: pause tokio's time for those.
    #[derive(Debug, Clone)]
    pub struct ManualClock(Arc<Mutex<(Moment, SystemTime)>>);

    impl ManualClock {
        /// A clock that stands at `wall`.
        pub fn at(wall: SystemTime) -> Self {
            Self(Arc::new(Mutex::new((Moment(ORIGIN), wall))))
        }

        /// Lets `duration` pass on both clocks.
        pub fn advance(&self, duration: Duration) {
            self.change(|now, wall| {
                *now = now.after(duration);
                *wall += duration;
            });
        }

        /// Steps the wall clock alone, as an operator or NTP would; the monotonic time stays.
        pub fn set_wall(&self, to: SystemTime) {
            self.change(|_, wall| *wall = to);
        }

        fn change<R>(&self, f: impl FnOnce(&mut Moment, &mut SystemTime) -> R) -> R {
            let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let (now, wall) = &mut *times;
            f(now, wall)
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> Moment {
            self.change(|now, _| *now)
        }

        fn wall(&self) -> SystemTime {
            self.change(|_, wall| *wall)
        }
    }

    /// A source that always answers the same bits.
    #[derive(Debug, Clone, Copy)]
    pub struct FixedRandom(
        /// The bits it answers. With 0 jitter shortens nothing and early refresh is as early as can
        /// be; with `u64::MAX` jitter shortens by its whole share and early refresh never happens.
        pub u64,
    );

    impl Random for FixedRandom {
        fn bits(&self) -> u64 {
            self.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_saturate_instead_of_wrapping() {
        let late = Moment(u64::MAX - 5).after(Duration::MAX);
        assert_eq!(late, Moment(u64::MAX));
        assert_eq!(Moment(3).since(Moment(9)), Duration::ZERO);
    }

    #[test]
    fn a_unit_is_never_zero_and_never_above_one() {
        assert!(unit(&FixedRandom(0)) > 0.0);
        assert!(unit(&FixedRandom(u64::MAX)) <= 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_system_clock_is_paused_with_tokio() {
        let clock = SystemClock::new();
        let start = clock.now();
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now().since(start), Duration::from_secs(90));
    }
}
