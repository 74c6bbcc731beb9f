//! How requests end, in the terms that all caches share.

use crate::event::Event;
use std::sync::atomic::{AtomicU8, Ordering};

/// How one request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A fresh entry answered.
    Hit {
        /// Where that was.
        tier: Tier,
    },
    /// A stale entry answered.
    Stale {
        /// On what ground, in a word of the engine's.
        reason: &'static str,
    },
    /// Nothing that was stored answered, or it was asked for in vain: the caller left, the load failed.
    Miss {
        /// Why what was stored, if anything, did not answer, in a word of the engine's.
        reason: &'static str,
        /// Whether another caller's load answered, and where that ran.
        collapsed: Option<Tier>,
    },
    /// The cache was not asked.
    Bypass {
        /// Why, in a word of the engine's.
        reason: &'static str,
    },
}

/// Where something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// In this process.
    Memory,
    /// In the tier that processes share, or in another process.
    Remote,
}

impl Tier {
    /// Its word in metrics and spans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Remote => "remote",
        }
    }
}

impl Outcome {
    /// Its word in metrics and spans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit { .. } => "hit",
            Self::Stale { .. } => "stale",
            Self::Miss { .. } => "miss",
            Self::Bypass { .. } => "bypass",
        }
    }

    /// Why, in a word; empty for a hit.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Hit { .. } => "",
            Self::Stale { reason } | Self::Miss { reason, .. } | Self::Bypass { reason } => reason,
        }
    }

    /// As what the request is counted.
    #[inline]
    pub const fn event(self) -> Event {
        match self {
            Self::Hit { .. } => Event::Hit,
            Self::Stale { .. } => Event::Stale,
            Self::Miss { .. } => Event::Miss,
            Self::Bypass { .. } => Event::Bypass,
        }
    }

    /// Writes it to the span of its request, which has these fields: `cache.outcome`, `cache.tier`,
    /// `cache.reason` and `cache.collapsed`.
    #[cfg(feature = "tracing")]
    pub fn record(self, span: &tracing::Span) {
        span.record("cache.outcome", self.as_str());
        match self {
            Self::Hit { tier } => {
                span.record("cache.tier", tier.as_str());
            }
            Self::Stale { reason } | Self::Bypass { reason } => {
                span.record("cache.reason", reason);
            }
            Self::Miss { reason, collapsed } => {
                span.record("cache.reason", reason);
                span.record("cache.collapsed", collapsed.is_some());
            }
        }
    }
}

/// Who wanted something invalidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The code of this process, by a call.
    Local,
    /// The remote tier told of a change; of our own writes it tells as well.
    Remote,
    /// The code of this process, by a purge.
    Purge,
    /// A request that changed something.
    Update,
    /// A response that is no longer to be kept.
    Withdrawn,
}

impl Source {
    /// Its word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Purge => "purge",
            Self::Update => "update",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// How a load ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loaded {
    /// It may be, or is being, stored.
    Stored,
    /// It is for its own caller alone.
    Passed,
    /// An invalidation, or another's turn, overtook it.
    Overtaken,
    /// It failed.
    Failed,
    /// It passed its deadline.
    Late,
    /// It was dropped: its caller left, or it panicked.
    Dropped,
}

impl Loaded {
    /// All, in order of their discriminants.
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 6] = [
        Self::Stored,
        Self::Passed,
        Self::Overtaken,
        Self::Failed,
        Self::Late,
        Self::Dropped,
    ];

    /// Its word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Passed => "passed",
            Self::Overtaken => "overtaken",
            Self::Failed => "failed",
            Self::Late => "late",
            Self::Dropped => "dropped",
        }
    }
}

/// What became of one call, noted where it is decided and read at its end. Shared by reference, so that
/// futures which hold it stay `Send`.
#[derive(Debug, Default)]
pub(crate) struct Trail(AtomicU8);

impl Trail {
    const REMOTE: u8 = 1;
    const COLLAPSED: u8 = 2;
    const ELSEWHERE: u8 = 3;
    const STOOD_IN: u8 = 4;
    const REVALIDATED: u8 = 5;

    /// The remote tier had it.
    pub(crate) fn found_there(&self) {
        self.0.store(Self::REMOTE, Ordering::Relaxed);
    }

    /// Another caller's load answered.
    pub(crate) fn collapsed(&self) {
        self.0.store(Self::COLLAPSED, Ordering::Relaxed);
    }

    /// Another process's load answered.
    pub(crate) fn collapsed_elsewhere(&self) {
        self.0.store(Self::ELSEWHERE, Ordering::Relaxed);
    }

    /// Something stale answers in place of a failure.
    pub(crate) fn stood_in(&self) {
        self.0.store(Self::STOOD_IN, Ordering::Relaxed);
    }

    /// Something stale answers, for the time that another process refreshes it in.
    pub(crate) fn revalidated_elsewhere(&self) {
        self.0.store(Self::REVALIDATED, Ordering::Relaxed);
    }

    /// How a call ended that had to load, as far as memory knew.
    pub(crate) fn outcome(&self, reason: &'static str) -> Outcome {
        let miss = |collapsed| Outcome::Miss { reason, collapsed };
        match self.0.load(Ordering::Relaxed) {
            Self::REMOTE => Outcome::Hit { tier: Tier::Remote },
            Self::COLLAPSED => miss(Some(Tier::Memory)),
            Self::ELSEWHERE => miss(Some(Tier::Remote)),
            Self::STOOD_IN => Outcome::Stale { reason: "if-error" },
            Self::REVALIDATED => Outcome::Stale {
                reason: "while-revalidate",
            },
            _ => miss(None),
        }
    }
}
