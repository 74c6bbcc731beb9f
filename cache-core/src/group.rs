//! Groups of entries that are invalidated as one (RFC 9875 calls them cache groups).
//!
//! Invalidating a group of a million entries is one step of a counter. There is one clock of
//! invalidations; a group remembers at which tick it was last invalidated, an entry at which tick
//! its load began. An entry is valid while none of its groups was invalidated after that.
//!
//! 1. A load takes its tick before it begins, so what it reads before an invalidation is never
//!    valid after it, also when the group is only named by what was loaded.
//! 2. A record that was dropped for space counts as invalidated at `floor`, the latest tick of any
//!    dropped record: lost means invalid, never valid.
//! 3. A record in use by an entry is never dropped.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// A tick of the invalidation clock, taken when a load begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u64);

struct Group {
    invalidated: AtomicU64,
}

/// The groups an entry belongs to, and the tick at which its load began.
#[derive(Default)]
pub(crate) struct Membership {
    born: u64,
    groups: Box<[Arc<Group>]>,
    weight: u64,
}

impl Membership {
    pub(crate) fn is_current(&self) -> bool {
        self.groups
            .iter()
            .all(|group| group.invalidated.load(Ordering::Acquire) <= self.born)
    }

    /// Whether it may answer a caller that came at `came`: an invalidation after that does not
    /// concern it.
    pub(crate) fn is_current_for(&self, came: Tick) -> bool {
        came.0 <= self.born || self.is_current()
    }

    /// The bytes it takes, and those of the groups that it is the first member of.
    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("born", &self.born)
            .field("groups", &self.groups.len())
            .finish()
    }
}

/// All groups of one store.
#[derive(Default)]
pub(crate) struct Groups {
    clock: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    groups: HashMap<Arc<str>, Arc<Group>>,
    floor: u64,
    prune_at: usize,
}

/// The bytes by which an entry refers to one group.
const MEMBER: u64 = 8;

/// The bytes of a group's record beside its name: two shared allocations and a slot of the table,
/// measured with a group for each entry.
const RECORD: u64 = 224;

/// Below this many records nothing is dropped.
const FEW: usize = 1024;

impl Groups {
    pub(crate) fn tick(&self) -> Tick {
        Tick(self.clock.load(Ordering::Acquire))
    }

    /// Registers an entry whose load began at `born` with the groups `names`.
    pub(crate) fn join<N: AsRef<str>>(
        &self,
        born: Tick,
        names: impl IntoIterator<Item = N>,
    ) -> Membership {
        // Collected before the lock: what yields the names is foreign code.
        let names: Vec<N> = names.into_iter().collect();
        if names.is_empty() {
            return Membership {
                born: born.0,
                ..Membership::default()
            };
        }
        let mut table = self.table();
        let mut weight = 0;
        let groups = names
            .iter()
            .map(|name| {
                let name = name.as_ref();
                let group = table.group(name);
                // Held by the table and here: this entry is the first of its group, and pays for it.
                let is_first = Arc::strong_count(&group) == 2;
                weight += MEMBER
                    + if is_first {
                        RECORD + name.len() as u64
                    } else {
                        0
                    };
                group
            })
            .collect();
        Membership {
            born: born.0,
            groups,
            weight,
        }
    }

    /// Makes every entry of `name` invalid, and every load that already began.
    pub(crate) fn invalidate(&self, name: &str) {
        let mut table = self.table();
        let group = table.group(name);
        let tick = self.clock.fetch_add(1, Ordering::AcqRel) + 1;
        group.invalidated.store(tick, Ordering::Release);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn records(&self) -> usize {
        self.table().groups.len()
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups")
            .field("records", &self.table().groups.len())
            .finish_non_exhaustive()
    }
}

impl Table {
    fn group(&mut self, name: &str) -> Arc<Group> {
        if let Some(group) = self.groups.get(name) {
            return Arc::clone(group);
        }
        if self.groups.len() >= self.prune_at.max(FEW) {
            self.prune();
        }
        let group = Arc::new(Group {
            invalidated: AtomicU64::new(self.floor),
        });
        self.groups.insert(name.into(), Arc::clone(&group));
        group
    }

    /// Drops the records no entry uses. The next pruning waits until there are twice as many as
    /// remain, so its cost is spread over as many insertions.
    fn prune(&mut self) {
        let floor = &mut self.floor;
        self.groups.retain(|_, group| {
            let used = Arc::strong_count(group) > 1;
            if !used {
                *floor = (*floor).max(group.invalidated.load(Ordering::Acquire));
            }
            used
        });
        self.prune_at = self.groups.len().saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_valid_until_one_of_its_groups_is_invalidated() {
        let groups = Groups::default();
        let entry = groups.join(groups.tick(), ["a", "b"]);
        let other = groups.join(groups.tick(), ["c"]);
        assert!(entry.is_current());
        groups.invalidate("b");
        assert!(!entry.is_current());
        assert!(other.is_current());
        assert!(
            groups.join(groups.tick(), ["b"]).is_current(),
            "a load that began after is valid"
        );
    }

    #[test]
    fn cor_07_a_load_that_began_before_the_invalidation_is_never_valid() {
        let groups = Groups::default();
        let began = groups.tick();
        groups.invalidate("named only by what was loaded");
        assert!(
            !groups
                .join(began, ["named only by what was loaded"])
                .is_current()
        );
    }

    #[test]
    fn a_dropped_record_means_invalid_never_valid() {
        let groups = Groups::default();
        let began = groups.tick();
        groups.invalidate("g");
        for n in 0..FEW * 4 {
            groups.invalidate(&n.to_string());
        }
        assert!(!groups.join(began, ["g"]).is_current());
    }

    #[test]
    fn adm_04_records_without_entries_do_not_pile_up() {
        let groups = Groups::default();
        let held = groups.join(groups.tick(), ["held"]);
        for n in 0..100_000 {
            groups.invalidate(&n.to_string());
        }
        assert!(groups.records() <= FEW * 2, "{}", groups.records());
        assert!(held.is_current());
        groups.invalidate("held");
        assert!(!held.is_current(), "a record in use is never dropped");
    }
}
