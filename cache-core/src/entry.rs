//! What is stored: a value, its times, and the groups it was born into.

use crate::{
    clock::Moment,
    group::{Membership, Tick},
    policy::Life,
    remote::coherence::Proof,
};
use std::{fmt, ops::Deref, sync::Arc, time::Duration};

/// A stored value with its times. Never changed after it is stored; a refresh replaces it.
pub struct Entry<V> {
    value: Option<V>,
    stored: Moment,
    fresh_until: Moment,
    revalidate_until: Moment,
    error_until: Moment,
    kept_until: Moment,
    cost: Duration,
    groups: Membership,
    weight: u64,
    proof: Proof,
}

/// Where in its life an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It may be used without a question, for `left` more.
    Fresh {
        /// The freshness lifetime that remains.
        left: Duration,
    },
    /// Its lifetime passed `by` ago. Within neither window it is only kept, for who can make it fresh.
    Stale {
        /// The time since it stopped being fresh.
        by: Duration,
        /// It may be used while somebody refreshes it.
        while_revalidate: bool,
        /// It may be used when its load fails.
        if_error: bool,
    },
    /// Past every window.
    Dead,
}

impl<V> Entry<V> {
    pub(crate) fn new(
        value: Option<V>,
        stored: Moment,
        life: Life,
        cost: Duration,
        groups: Membership,
        weight: u64,
        proof: Proof,
    ) -> Self {
        let fresh_until = stored.after(life.fresh);
        Self {
            value,
            stored,
            fresh_until,
            revalidate_until: fresh_until.after(life.stale_while_revalidate),
            error_until: fresh_until.after(life.stale_if_error),
            kept_until: fresh_until.after(life.kept),
            cost,
            groups,
            weight,
            proof,
        }
    }

    /// The value; `None` is a remembered "there is none".
    pub fn value(&self) -> Option<&V> {
        self.value.as_ref()
    }

    /// When it was stored.
    pub fn stored(&self) -> Moment {
        self.stored
    }

    /// How long its load took, smoothed over refreshes.
    pub fn cost(&self) -> Duration {
        self.cost
    }

    /// Its weight in bytes, as the memory tier counts it.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// By what it is known to be current in the remote tier.
    pub(crate) fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Where in its life it is at `now`.
    pub fn freshness(&self, now: Moment) -> Freshness {
        // Who read the clock before this was stored must not find it younger than new: a lifetime of zero
        // would still last.
        let now = now.max(self.stored);
        if now < self.fresh_until {
            return Freshness::Fresh {
                left: self.fresh_until.since(now),
            };
        }
        let while_revalidate = now < self.revalidate_until;
        let if_error = now < self.error_until;
        if while_revalidate || if_error || now < self.kept_until {
            Freshness::Stale {
                by: now.since(self.fresh_until),
                while_revalidate,
                if_error,
            }
        } else {
            Freshness::Dead
        }
    }

    /// No group it belongs to was invalidated since its load began.
    pub fn is_current(&self) -> bool {
        self.groups.is_current()
    }

    /// Whether it may answer a caller that came at `came`.
    pub(crate) fn is_current_for(&self, came: Tick) -> bool {
        self.groups.is_current_for(came)
    }

    /// XFetch: whether this read should refresh it already, `unit` being uniform in (0, 1].
    pub(crate) fn is_due_early(&self, now: Moment, beta: f64, unit: f64) -> bool {
        let lead = self.cost.as_secs_f64() * beta * -unit.ln();
        let left = self.fresh_until.since(now).as_secs_f64();
        beta > 0.0 && lead >= left
    }
}

impl<V> fmt::Debug for Entry<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("stored", &self.stored)
            .field("fresh_until", &self.fresh_until)
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}

/// A value out of the cache. It derefs to the value, which is shared, not copied.
pub struct Cached<V> {
    entry: Arc<Entry<V>>,
    now: Moment,
}

impl<V> Cached<V> {
    /// `None` where the entry says "there is none".
    pub(crate) fn new(entry: Arc<Entry<V>>, now: Moment) -> Option<Self> {
        entry.value.is_some().then_some(Self { entry, now })
    }

    /// How long ago the value was stored, when it was handed out.
    pub fn age(&self) -> Duration {
        self.now.since(self.entry.stored)
    }

    /// Where in its life it was when it was handed out.
    pub fn freshness(&self) -> Freshness {
        self.entry.freshness(self.now)
    }

    /// Whether it was handed out past its lifetime, in a stale window.
    pub fn is_stale(&self) -> bool {
        !matches!(self.freshness(), Freshness::Fresh { .. })
    }
}

impl<V> Deref for Cached<V> {
    type Target = V;

    fn deref(&self) -> &V {
        self.entry
            .value
            .as_ref()
            .expect("a `Cached` is only made of an entry that holds a value")
    }
}

impl<V> AsRef<V> for Cached<V> {
    fn as_ref(&self) -> &V {
        self
    }
}

impl<V> Clone for Cached<V> {
    fn clone(&self) -> Self {
        Self {
            entry: Arc::clone(&self.entry),
            now: self.now,
        }
    }
}

impl<V: fmt::Debug> fmt::Debug for Cached<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<V: PartialEq> PartialEq<V> for Cached<V> {
    fn eq(&self, other: &V) -> bool {
        **self == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::seconds;

    fn entry(life: Life, cost: Duration) -> Entry<u8> {
        Entry::new(
            Some(1),
            Moment::from_nanos(0),
            life,
            cost,
            Membership::default(),
            1,
            Proof::default(),
        )
    }

    #[test]
    fn an_entry_passes_through_its_windows_and_dies() {
        let life = Life {
            fresh: seconds(10),
            stale_while_revalidate: seconds(5),
            stale_if_error: seconds(20),
            kept: seconds(40),
        };
        let entry = entry(life, Duration::ZERO);
        let at = |secs: u64| entry.freshness(Moment::from_nanos(secs * 1_000_000_000));
        assert_eq!(at(9), Freshness::Fresh { left: seconds(1) });
        assert_eq!(
            at(10),
            Freshness::Stale {
                by: seconds(0),
                while_revalidate: true,
                if_error: true
            }
        );
        assert_eq!(
            at(15),
            Freshness::Stale {
                by: seconds(5),
                while_revalidate: false,
                if_error: true
            }
        );
        assert_eq!(
            at(30),
            Freshness::Stale {
                by: seconds(20),
                while_revalidate: false,
                if_error: false
            }
        );
        assert_eq!(at(50), Freshness::Dead);
    }

    #[test]
    fn a_lifetime_of_zero_is_over_also_for_who_read_the_clock_before() {
        let stored = Moment::from_nanos(10);
        let life = Life {
            kept: seconds(1),
            ..Life::default()
        };
        let entry = Entry {
            stored,
            fresh_until: stored,
            revalidate_until: stored,
            error_until: stored,
            ..entry(life, Duration::ZERO)
        };
        assert_eq!(
            entry.freshness(Moment::from_nanos(9)),
            Freshness::Stale {
                by: Duration::ZERO,
                while_revalidate: false,
                if_error: false
            }
        );
    }

    #[test]
    fn an_early_refresh_is_due_the_likelier_the_nearer_the_end() {
        let life = Life {
            fresh: seconds(60),
            ..Life::default()
        };
        let entry = entry(life, seconds(1));
        let at = |secs: u64, unit: f64| {
            entry.is_due_early(Moment::from_nanos(secs * 1_000_000_000), 1.0, unit)
        };
        assert!(!at(0, 0.5));
        assert!(at(59, 0.3), "e^-1 of the reads one cost before the end");
        assert!(!at(59, 0.4));
        assert!(
            !entry.is_due_early(Moment::from_nanos(59_999_999_999), 0.0, 1e-9),
            "off is off"
        );
    }
}
