//! Invalidations that the remote tier has not confirmed.
//!
//! What is in the journal counts as invalidated for this process: it is not read from the remote
//! tier until that has confirmed the removal. So an outage cannot bring back, to the process that
//! invalidated it, what is still stored there.

use crate::remote::{FORBIDDEN, Failure, Remote, ServerTime};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// More than this, and everything stored before is distrusted instead.
const MOST: usize = 4096;

/// So many answers may be late in one go, and so many in a row be that the user may not do it.
const SOME: u32 = 3;

/// Before the server was ever heard, its time is not known: nothing is used until it is.
const UNKNOWN: ServerTime = ServerTime(u64::MAX);

/// In an order that keeps those of one kind together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Removal {
    Key(Box<[u8]>),
    Group(Box<str>),
    Matching {
        prefix: Box<[u8]>,
        pattern: Box<str>,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Journal {
    pending: Mutex<Pending>,
    /// Lets a look-up pass without the lock while there is nothing.
    count: AtomicUsize,
}

/// Names one entry into the journal. Entries of the same removal are told apart: a confirmation says
/// nothing of one that was entered after what it confirms was sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entered(u64);

/// What came of trying what is pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    /// What is left may be confirmed at any moment.
    Open,
    /// Nothing that was asked is what the user may do: that lasts, and hurrying changes nothing.
    Forbidden,
}

#[derive(Debug, Default)]
struct Pending {
    /// Each with its latest entry.
    removals: BTreeMap<Removal, Entered>,
    entries: u64,
    /// The one that was tried last.
    tried: Entered,
    /// There were too many: whatever was born up to this time is not used by this process.
    floor: Option<ServerTime>,
}

impl Removal {
    /// By its prefix: a key that does not match costs a load, which is rare enough here.
    fn may_match(&self, name: &[u8]) -> bool {
        matches!(self, Self::Matching { prefix, .. } if name.starts_with(prefix))
    }
}

impl Pending {
    /// The patterns alone: every look-up asks for them, and there may be thousands of keys beside them.
    fn patterns(&self) -> impl Iterator<Item = &Removal> {
        let first = Removal::Matching {
            prefix: Box::default(),
            pattern: Box::default(),
        };
        self.removals.range(first..).map(|(removal, _)| removal)
    }
}

impl Journal {
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// To be called before the removal is tried.
    pub(crate) fn enter(&self, removal: Removal, now: Option<ServerTime>) -> Entered {
        let mut pending = self.pending();
        pending.entries += 1;
        let entered = Entered(pending.entries);
        if pending.removals.len() < MOST || pending.removals.contains_key(&removal) {
            pending.removals.insert(removal, entered);
        } else {
            pending.floor = pending.floor.max(Some(now.unwrap_or(UNKNOWN)));
        }
        self.note(&pending);
        entered
    }

    /// The removal was done, as it was entered then; it stays where it was entered again since.
    pub(crate) fn confirm(&self, removal: &Removal, entered: Entered) {
        let mut pending = self.pending();
        if pending.removals.get(removal) == Some(&entered) {
            pending.removals.remove(removal);
        }
        self.note(&pending);
    }

    /// Whether what is stored under `name` must not be used.
    pub(crate) fn covers(&self, name: &[u8]) -> bool {
        if self.is_empty() {
            return false;
        }
        let key = Removal::Key(name.into());
        let pending = self.pending();
        pending.removals.contains_key(&key)
            || pending.patterns().any(|removal| removal.may_match(name))
    }

    /// Whether an entry of these groups, of a load that began at `born`, must not be used.
    pub(crate) fn covers_entry(&self, groups: &[Box<str>], born: ServerTime) -> bool {
        if self.is_empty() {
            return false;
        }
        let pending = self.pending();
        let is_group = |group: &str| pending.removals.contains_key(&Removal::Group(group.into()));
        pending.floor.is_some_and(|floor| born <= floor)
            || groups.iter().any(|group| is_group(group))
    }

    /// Tries what is pending, each once: one that is not confirmed need not keep others waiting, whose keys
    /// may be elsewhere. Some that are not answered in time, or that the user may not do, are reason enough to
    /// stop; the next go begins behind them.
    pub(crate) async fn replay(&self, remote: &dyn Remote, limit: Duration) -> Round {
        let (mut late, mut forbidden, mut is_open) = (0, 0, false);
        for (removal, entered) in self.turns(remote) {
            self.pending().tried = entered;
            match remove(remote, &removal, limit).await {
                Err(Failure::Refused(code)) if *code == *FORBIDDEN => forbidden += 1,
                other => {
                    (forbidden, is_open) = (0, true);
                    late += u32::from(other == Err(Failure::Late));
                    if other.is_ok() {
                        self.confirm(&removal, entered);
                    }
                }
            }
            if late > SOME || forbidden > SOME {
                break;
            }
        }
        if is_open || forbidden == 0 {
            Round::Open
        } else {
            Round::Forbidden
        }
    }

    /// What is pending, from the one after that which was tried last.
    fn turns(&self, remote: &dyn Remote) -> Vec<(Removal, Entered)> {
        let mut pending = self.pending();
        if pending.floor == Some(UNKNOWN) {
            pending.floor = remote.now().or(Some(UNKNOWN));
        }
        let removals = pending.removals.iter();
        let mut turns: Vec<(Removal, Entered)> = removals
            .map(|(removal, entered)| (removal.clone(), *entered))
            .collect();
        let tried = pending.tried;
        turns.sort_unstable_by_key(|(_, entered)| (*entered <= tried, *entered));
        turns
    }

    /// Whether there is anything to replay.
    pub(crate) fn is_pending(&self) -> bool {
        !self.is_empty() && {
            let pending = self.pending();
            !pending.removals.is_empty() || pending.floor == Some(UNKNOWN)
        }
    }

    fn note(&self, pending: &Pending) {
        let count = pending.removals.len() + usize::from(pending.floor.is_some());
        self.count.store(count, Ordering::Release);
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes it; says how many values that were, where that is known.
pub(crate) async fn remove(
    remote: &dyn Remote,
    removal: &Removal,
    limit: Duration,
) -> Result<u64, Failure> {
    match removal {
        Removal::Key(key) => remote.invalidate(&[key], limit).await,
        Removal::Group(name) => remote.invalidate_group(name, limit).await.map(|()| 0),
        Removal::Matching { prefix, pattern } => {
            remote.invalidate_matching(prefix, pattern, limit).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Removal {
        Removal::Key(name.as_bytes().into())
    }

    #[test]
    fn what_is_pending_is_covered_until_it_is_confirmed() {
        let journal = Journal::default();
        let a = journal.enter(key("a"), None);
        let g = journal.enter(Removal::Group("g".into()), None);
        assert!(journal.covers(b"a") && !journal.covers(b"b"));
        assert!(journal.covers_entry(&["g".into()], ServerTime(1)));
        journal.confirm(&key("a"), a);
        journal.confirm(&Removal::Group("g".into()), g);
        assert!(!journal.covers(b"a"));
        assert!(journal.is_empty());
    }

    #[test]
    fn a_look_up_finds_its_key_and_the_patterns_without_walking_over_all_that_is_pending() {
        let journal = Journal::default();
        for n in 0..1000 {
            journal.enter(key(&n.to_string()), None);
            journal.enter(Removal::Group(format!("g{n}").into()), None);
        }
        let matching = |prefix: &[u8]| Removal::Matching {
            prefix: prefix.into(),
            pattern: "*".into(),
        };
        let all = journal.enter(matching(b""), None);
        assert!(journal.covers(b"anything"));
        journal.confirm(&matching(b""), all);
        journal.enter(matching(b"users:"), None);
        assert!(journal.covers(b"7") && journal.covers(b"999"));
        assert!(journal.covers(b"users:7"));
        assert!(!journal.covers(b"g7"), "a group is not its name's key");
        assert!(!journal.covers(b"users") && !journal.covers(b"1000"));
        let pending = journal.pending();
        assert_eq!(pending.patterns().count(), 1, "of 2001");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_not_confirmed_keeps_no_other_waiting() {
        use crate::remote::fake::{Fake, Fault};
        let (journal, remote) = (Journal::default(), Fake::new());
        for name in ["a", "b", "c"] {
            journal.enter(key(name), None);
        }
        remote.inject([Some(Fault::RequestLost), None, None]);
        journal.replay(&remote, Duration::from_millis(10)).await;
        assert_eq!(journal.pending().removals.len(), 1);
        journal.replay(&remote, Duration::from_millis(10)).await;
        assert!(journal.is_empty());
    }

    /// RDS-09: who may not remove anything asks little, and of all in turn.
    #[tokio::test(start_paused = true)]
    async fn rds_09_where_all_is_forbidden_some_are_tried_and_then_the_next() {
        use crate::remote::fake::{Fake, Fault};
        let (journal, remote) = (Journal::default(), Fake::new());
        for n in 0..100 {
            journal.enter(key(&n.to_string()), None);
        }
        let limit = Duration::from_millis(10);
        let forbidden = [Some(Fault::Forbidden); 4];
        for _ in 0..2 {
            remote.inject(forbidden);
            assert_eq!(journal.replay(&remote, limit).await, Round::Forbidden);
            assert_eq!(journal.pending().removals.len(), 100);
        }
        remote.inject([None].into_iter().chain(forbidden));
        assert_eq!(journal.replay(&remote, limit).await, Round::Open);
        assert!(journal.covers(b"7") && !journal.covers(b"8"));
        journal.replay(&remote, limit).await;
        assert!(journal.is_empty());
    }

    /// As by a master that is being replaced: other nodes take what is theirs, and it does so soon.
    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_now_keeps_no_other_waiting() {
        use crate::remote::fake::{Fake, Fault};
        let (journal, remote) = (Journal::default(), Fake::new());
        for n in 0..100 {
            journal.enter(key(&n.to_string()), None);
        }
        remote.inject([Some(Fault::Refused); 50]);
        let limit = Duration::from_millis(10);
        assert_eq!(journal.replay(&remote, limit).await, Round::Open);
        assert_eq!(journal.pending().removals.len(), 50);
        remote.inject([Some(Fault::Refused); 50]);
        assert_eq!(journal.replay(&remote, limit).await, Round::Open);
    }

    #[test]
    fn too_many_distrust_everything_born_before_them() {
        let journal = Journal::default();
        let entered: Vec<_> = (0..=MOST)
            .map(|n| journal.enter(key(&n.to_string()), Some(ServerTime(100))))
            .collect();
        for (n, entered) in entered.into_iter().enumerate() {
            journal.confirm(&key(&n.to_string()), entered);
        }
        assert!(journal.covers_entry(&[], ServerTime(100)));
        assert!(!journal.covers_entry(&[], ServerTime(101)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_distrusted_before_the_server_was_heard_is_trusted_again_later() {
        use crate::remote::{Fake, Remote as _};
        let (journal, remote) = (Journal::default(), Fake::new());
        for n in 0..=MOST {
            journal.enter(key(&n.to_string()), None);
        }
        assert!(journal.covers_entry(&[], ServerTime(u64::MAX - 1)));
        let heard = remote.now().unwrap();
        journal.replay(&remote, Duration::from_millis(10)).await;
        assert!(!journal.is_pending());
        assert!(journal.covers_entry(&[], heard), "invalidated, maybe");
        let later = remote.now().unwrap();
        assert!(!journal.covers_entry(&[], later));
    }

    /// One that is on its way was sent before the next came: what it removes may be there again.
    #[test]
    fn cor_07_a_confirmation_does_not_cover_what_was_entered_after_it_was_sent() {
        let journal = Journal::default();
        let sent = journal.enter(key("a"), None);
        let refused = journal.enter(key("a"), None);
        journal.confirm(&key("a"), sent);
        assert!(journal.covers(b"a"));
        journal.confirm(&key("a"), refused);
        assert!(!journal.covers(b"a"));
    }
}
