//! What a cache tells of itself.
//!
//! Each request ends with one [`Outcome`]: it is counted by it, measured by it (feature `metrics`), and
//! its span carries it (feature `tracing`). Keys, URLs and values never leave by this way: a key is shown
//! as a [`Digest`], everything else that is shown is written in code.
//!
//! What there is to be seen, and how to read it: [the guide](guide).

#[doc = include_str!("guide.md")]
pub mod guide {}

#[cfg(feature = "metrics")]
mod meters;
#[cfg(feature = "metrics")]
mod metrics;
mod outcome;
pub(crate) mod tell;

#[cfg(feature = "metrics")]
pub(crate) use meters::Meters;
#[cfg(feature = "metrics")]
pub use metrics::{Kind, METRICS, Metric, Unit, describe, table};
pub(crate) use outcome::Trail;
pub use outcome::{Loaded, Outcome, Source, Tier};

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::OnceLock,
};

/// What stands for a key in events and spans: equal for equal keys within one process, and different in
/// each process.
///
/// Keys are often short and hold what is personal, as an address or a number that can be guessed. A digest
/// that everybody can compute would confirm a guess; this one is keyed (SipHash) with a secret that the
/// operating system gave to the process and that it never shows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(u64);

impl Digest {
    /// The digest of a key.
    pub fn of(key: &[u8]) -> Self {
        static SECRET: OnceLock<RandomState> = OnceLock::new();
        Self(SECRET.get_or_init(RandomState::new).hash_one(key))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn a_digest_tells_keys_apart_and_shows_none() {
        let (ada, bob) = (Digest::of(b"users:ada"), Digest::of(b"users:bob"));
        assert_ne!(ada, bob);
        assert_eq!(ada, Digest::of(b"users:ada"));
        assert_eq!(ada.to_string().len(), 16);
        assert!(!format!("{ada:?}").contains("ada"));
    }
}
