//! How long an entry lives, and how it is loaded.

use crate::{Error, clock, clock::Random, timer};
use std::{sync::Arc, time::Duration};

/// The longest lifetime or window there is, one year; longer ones are cut to it.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// `n` seconds.
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `n` minutes; saturates.
pub const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(60))
}

/// `n` hours; saturates.
pub const fn hours(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(60 * 60))
}

/// `n` days; saturates.
pub const fn days(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(24 * 60 * 60))
}

/// What holds for the entries of a cache: lifetimes, refreshing, limits of a load.
///
/// ```
/// use cache_core::policy::{Policy, minutes, seconds};
///
/// let policy = Policy::ttl(minutes(10))
///     .stale_while_revalidate(minutes(1))
///     .stale_if_error(minutes(30))
///     .jitter(0.1)
///     .wait_limit(seconds(2));
/// assert!(policy.validate().is_ok());
///
/// // An impossible policy is refused when the cache is built, by name.
/// let error = Policy::ttl(minutes(10)).jitter(1.5).validate().unwrap_err();
/// assert!(error.to_string().contains("jitter is 1.5"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// `None` is the default, which the environment may set.
    ttl: Option<Duration>,
    class: Option<Arc<str>>,
    stale_while_revalidate: Duration,
    stale_if_error: Duration,
    negative_ttl: Duration,
    jitter: f64,
    early_refresh: f64,
    max_size: Option<usize>,
    work_deadline: Duration,
    wait_limit: Duration,
    failure_pause: (Duration, Duration),
    groups: Vec<Arc<str>>,
}

impl Default for Policy {
    /// Five minutes or, with a [`Config`](crate::Config), `CACHE_TTL_DEFAULT`; nothing stale, no jitter,
    /// and the defaults named at each setter.
    fn default() -> Self {
        Self {
            ttl: None,
            ..Self::ttl(DEFAULT_TTL)
        }
    }
}

impl Policy {
    /// Entries live for `ttl`. Zero stores nothing; beyond a year is cut to a year.
    #[must_use]
    pub fn ttl(ttl: Duration) -> Self {
        Self {
            ttl: Some(ttl.min(LONGEST)),
            class: None,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            negative_ttl: Duration::ZERO,
            jitter: 0.0,
            early_refresh: 0.0,
            max_size: None,
            work_deadline: seconds(30),
            wait_limit: seconds(10),
            failure_pause: (Duration::from_millis(100), seconds(5)),
            groups: Vec::new(),
        }
    }

    /// The same with another lifetime. Zero stores nothing; beyond a year is cut to a year.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl.min(LONGEST));
        self
    }

    /// Names the kind of these entries, as `session`, so that an operator can set the lifetime of all
    /// policies of that kind: `CACHE_TTL_SESSION` goes before what is said here, in caches that are built
    /// [from the environment](crate::config). Case does not count; `-` and `.` are as `_`. Accepted: 1 to
    /// 64 letters, digits, `-`, `.` and `_`, but not `default`. Default: none.
    #[must_use]
    pub fn class(mut self, name: impl Into<Arc<str>>) -> Self {
        self.class = Some(name.into());
        self
    }

    /// For `window` after the lifetime an entry is still served while one caller refreshes it
    /// (RFC 5861 §3). Default: zero.
    #[must_use]
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.stale_while_revalidate = window.min(LONGEST);
        self
    }

    /// For `window` after the lifetime an entry is served when its load fails (RFC 5861 §4).
    /// Default: zero.
    #[must_use]
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.stale_if_error = window.min(LONGEST);
        self
    }

    /// "There is none" is remembered for `ttl`, where the loader can say so
    /// ([`get_or_load_optional`](crate::Cache::get_or_load_optional)). Default: zero, not remembered.
    #[must_use]
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = ttl.min(LONGEST);
        self
    }

    /// Shortens each lifetime by a random share of up to `fraction`, so that entries stored together
    /// do not expire together. Accepted: 0 to 1. Default: 0.
    #[must_use]
    pub fn jitter(mut self, fraction: f64) -> Self {
        self.jitter = fraction;
        self
    }

    /// Refreshes an entry before it expires, the likelier the nearer and the longer its load took
    /// (XFetch, VLDB 2015); 1 is the paper's choice, more refreshes earlier. One caller does it, the
    /// others go on being served. Accepted: 0 (off) to 100. Default: 0.
    #[must_use]
    pub fn early_refresh(mut self, beta: f64) -> Self {
        self.early_refresh = beta;
        self
    }

    /// Values that weigh more than `bytes` are handed out but not kept. Default: what the cache
    /// admits at most.
    #[must_use]
    pub fn max_size(mut self, bytes: usize) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// A load may take this long. Then it is dropped and counts as failed, for those who wait too. A
    /// leader that does not even notice, because nobody polls it, is overtaken by one of those who
    /// wait 10 ms later, and can no longer store its result. Accepted: above zero. Default: 30
    /// seconds.
    #[must_use]
    pub fn work_deadline(mut self, limit: Duration) -> Self {
        self.work_deadline = limit.min(LONGEST);
        self
    }

    /// A caller waits this long for the load of another. Accepted: above zero. Default: 10 seconds.
    #[must_use]
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.wait_limit = limit.min(LONGEST);
        self
    }

    /// After a failed load callers get the same failure, without a new load, for `first`; after each
    /// further one for twice as long, up to `longest`; each pause is shortened by a random share of
    /// up to half. A panic is not remembered. Accepted: `first` at most `longest`; zero turns it off.
    /// Default: 100 ms and 5 s.
    #[must_use]
    pub fn failure_pause(mut self, first: Duration, longest: Duration) -> Self {
        self.failure_pause = (first, longest.min(LONGEST));
        self
    }

    /// Puts the entries into a group that can be invalidated as one, in addition to earlier ones.
    /// Default: none.
    #[doc(alias = "tag")]
    #[must_use]
    pub fn group(mut self, name: impl Into<Arc<str>>) -> Self {
        self.groups.push(name.into());
        self
    }

    /// Checks that the policy can work.
    ///
    /// # Errors
    ///
    /// Names every setting that cannot, what was found, and what is accepted.
    pub fn validate(&self) -> Result<(), Error> {
        let mut problems = Vec::new();
        let windows = self.stale_while_revalidate.max(self.stale_if_error);
        if self.lifetime().is_zero() && !windows.is_zero() {
            problems.push(format!(
                "a stale window is {windows:?} but ttl is 0: nothing is stored that could go stale; accepted is a ttl above 0, or no stale window"
            ));
        }
        if let Some(class) = self.class.as_deref().filter(|class| !is_class(class)) {
            problems.push(format!(
                "class is `{class}`; accepted is 1 to 64 letters, digits, `-`, `.` and `_`, but not `default`"
            ));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            problems.push(format!("jitter is {}; accepted is 0 to 1", self.jitter));
        }
        if !(0.0..=100.0).contains(&self.early_refresh) {
            problems.push(format!(
                "early_refresh is {}; accepted is 0 to 100",
                self.early_refresh
            ));
        }
        if self.max_size == Some(0) {
            problems.push("max_size is 0 bytes; accepted is 1 or more".to_owned());
        }
        if self.work_deadline.is_zero() {
            problems.push("work_deadline is 0; accepted is any time above 0".to_owned());
        }
        if self.wait_limit.is_zero() {
            problems.push("wait_limit is 0; accepted is any time above 0".to_owned());
        }
        let (first, longest) = self.failure_pause;
        if first > longest {
            problems.push(format!(
                "failure_pause starts at {first:?}, above its longest of {longest:?}; accepted is a first pause of at most the longest"
            ));
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::config(problems.join("; ")))
        }
    }

    /// The lifetimes of a value stored now, jitter applied.
    pub fn life(&self, random: &dyn Random) -> Life {
        Life {
            fresh: self.jittered(self.lifetime(), random),
            stale_while_revalidate: self.stale_while_revalidate,
            stale_if_error: self.stale_if_error,
            kept: Duration::ZERO,
        }
    }

    /// The lifetime of "there is none", jitter applied.
    pub(crate) fn negative_life(&self, random: &dyn Random) -> Life {
        Life {
            fresh: self.jittered(self.negative_ttl, random),
            ..Life::default()
        }
    }

    /// `lifetime`, shortened as [`jitter`](Self::jitter) asks.
    pub fn jittered(&self, lifetime: Duration, random: &dyn Random) -> Duration {
        let kept = 1.0 - self.jitter * clock::unit(random);
        // A jitter that was never validated must not panic either: NaN is in no range.
        if (0.0..1.0).contains(&kept) {
            lifetime.mul_f64(kept)
        } else {
            lifetime
        }
    }

    /// How long the `streak`-th failure in a row (from 1) is remembered.
    pub(crate) fn pause_after(&self, streak: u32, random: &dyn Random) -> Duration {
        let (first, longest) = self.failure_pause;
        let pause = timer::doubled(first, streak.saturating_sub(1), longest);
        pause.mul_f64(1.0 - clock::unit(random) / 2.0)
    }

    /// The windows set by [`stale_while_revalidate`](Self::stale_while_revalidate) and
    /// [`stale_if_error`](Self::stale_if_error).
    pub fn stale_windows(&self) -> (Duration, Duration) {
        (self.stale_while_revalidate, self.stale_if_error)
    }

    /// The lifetime, before jitter.
    pub fn lifetime(&self) -> Duration {
        self.ttl.unwrap_or(DEFAULT_TTL)
    }

    /// The lifetime, where the policy names one itself.
    pub fn own_ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// The name set by [`class`](Self::class).
    pub fn class_name(&self) -> Option<&str> {
        self.class.as_deref()
    }

    /// The pauses set by [`failure_pause`](Self::failure_pause).
    pub(crate) fn pauses(&self) -> (Duration, Duration) {
        self.failure_pause
    }

    /// Without stale windows, where nothing is stored that could go stale.
    #[must_use]
    pub fn possible(self) -> Self {
        if self.lifetime().is_zero() {
            self.stale_while_revalidate(Duration::ZERO)
                .stale_if_error(Duration::ZERO)
        } else {
            self
        }
    }

    /// The XFetch factor, zero when off.
    pub fn early_refresh_factor(&self) -> f64 {
        self.early_refresh
    }

    /// The limit set by [`work_deadline`](Self::work_deadline).
    pub fn work_limit(&self) -> Duration {
        self.work_deadline
    }

    /// The limit set by [`wait_limit`](Self::wait_limit).
    pub fn waiting_limit(&self) -> Duration {
        self.wait_limit
    }

    /// For how long a first failure is remembered, at most.
    pub(crate) fn first_pause(&self) -> Duration {
        self.failure_pause.0
    }

    pub(crate) fn size_limit(&self) -> Option<usize> {
        self.max_size
    }

    pub(crate) fn group_names(&self) -> &[Arc<str>] {
        &self.groups
    }
}

/// The lifetime under a policy that names none.
const DEFAULT_TTL: Duration = minutes(5);

/// Whether it can be a part of the name of a variable, and not that of the default's.
fn is_class(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=64).contains(&name.len())
        && name.bytes().all(plain)
        && !name.eq_ignore_ascii_case("default")
}

/// The lifetimes of one entry, counted from when it is stored; the windows follow the fresh time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Life {
    /// Served without a question.
    pub fresh: Duration,
    /// Then, for so long, served while one caller refreshes it.
    pub stale_while_revalidate: Duration,
    /// Also after the fresh time, for so long, served when a load fails.
    pub stale_if_error: Duration,
    /// Also after the fresh time, for so long, kept for who can make it fresh again, as by validating it.
    pub kept: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FixedRandom;

    #[test]
    fn every_impossible_setting_is_named_with_what_is_accepted() {
        let policy = Policy::ttl(Duration::ZERO)
            .stale_if_error(seconds(1))
            .jitter(f64::NAN)
            .early_refresh(-1.0)
            .max_size(0)
            .work_deadline(Duration::ZERO)
            .wait_limit(Duration::ZERO)
            .failure_pause(seconds(2), seconds(1));
        let text = policy.validate().unwrap_err().to_string();
        for setting in [
            "stale window",
            "jitter",
            "early_refresh",
            "max_size",
            "work_deadline",
            "wait_limit",
            "failure_pause",
        ] {
            assert!(text.contains(setting), "{setting} in {text}");
        }
        assert_eq!(text.matches("accepted is").count(), 7);
    }

    #[test]
    fn cor_05_extreme_lifetimes_are_cut_not_overflowed() {
        let policy = Policy::ttl(Duration::MAX)
            .stale_if_error(Duration::MAX)
            .failure_pause(Duration::MAX, Duration::MAX);
        let life = policy.life(&FixedRandom(0));
        assert_eq!((life.fresh, life.stale_if_error), (LONGEST, LONGEST));
        assert_eq!(
            Policy::ttl(days(u64::MAX)).life(&FixedRandom(0)).fresh,
            LONGEST
        );
        assert!(Policy::ttl(Duration::from_nanos(1)).validate().is_ok());
    }

    #[test]
    fn a_jitter_that_was_never_validated_does_not_panic() {
        for jitter in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300] {
            let policy = Policy::ttl(seconds(100)).jitter(jitter);
            assert_eq!(
                policy.life(&FixedRandom(u64::MAX)).fresh,
                seconds(100),
                "{jitter}"
            );
        }
        let all = Policy::default().jitter(1.0);
        assert_eq!(
            all.jittered(Duration::MAX, &FixedRandom(u64::MAX)),
            Duration::ZERO
        );
        assert!(all.jittered(Duration::MAX, &FixedRandom(0)) <= Duration::MAX);
    }

    #[test]
    fn jitter_only_shortens_and_within_its_share() {
        let policy = Policy::ttl(seconds(100)).jitter(0.2);
        for bits in [0, 1 << 40, u64::MAX / 3, u64::MAX] {
            let fresh = policy.life(&FixedRandom(bits)).fresh;
            assert!((seconds(80)..=seconds(100)).contains(&fresh), "{fresh:?}");
        }
    }

    #[test]
    fn pauses_grow_to_their_longest_and_jitter_by_at_most_half() {
        let policy = Policy::default().failure_pause(seconds(1), seconds(8));
        let longest = FixedRandom(0);
        let pauses: Vec<_> = (1..=5)
            .map(|n| policy.pause_after(n, &longest).as_secs_f64().round())
            .collect();
        assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0, 8.0]);
        assert_eq!(
            policy.pause_after(u32::MAX, &FixedRandom(u64::MAX)),
            seconds(4)
        );
    }
}
