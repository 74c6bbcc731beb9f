//! Who is told, and when all servers together are heard.

use crate::{
    remote::{Notice, Watcher},
    timer,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

/// The watchers, and of every server up to when it has told everything.
///
/// A change of a key is told by the server that has it, and nobody else knows whether it was. So all
/// of them are heard only as far as the one that was heard least; and while one is lost, all are.
#[derive(Default)]
pub(super) struct Chorus {
    watchers: Mutex<Vec<Weak<dyn Watcher>>>,
    voices: Mutex<Voices>,
}

#[derive(Default)]
struct Voices {
    heard: BTreeMap<u64, Option<Instant>>,
    /// Whether the watchers were last told that all are heard.
    is_told: bool,
}

impl Chorus {
    pub(super) fn add(&self, watcher: Weak<dyn Watcher>) {
        let mut watchers = self.watchers();
        watchers.retain(|known| known.strong_count() > 0);
        watchers.push(watcher);
    }

    pub(super) fn tell(&self, notice: Notice<'_>) {
        let watchers = self.watchers().clone();
        for watcher in watchers.iter().filter_map(Weak::upgrade) {
            watcher.notice(notice);
        }
    }

    /// From now on it takes these voices, and no others, to be heard. After a gap each of them has to be
    /// heard again.
    pub(super) fn seat(&self, ids: impl IntoIterator<Item = u64>, is_gap: bool) {
        let mut voices = self.voices();
        let before = std::mem::take(&mut voices.heard);
        let kept = |id| before.get(&id).copied().flatten().filter(|_| !is_gap);
        voices.heard = ids.into_iter().map(|id| (id, kept(id))).collect();
        if voices.heard.values().any(Option::is_none) {
            self.tell_lost(voices);
        }
    }

    /// This one answered now what it was asked `within` ago.
    pub(super) fn heard(&self, id: u64, within: Duration) {
        let (mut voices, now) = (self.voices(), timer::now());
        let Some(voice) = voices.heard.get_mut(&id) else {
            return;
        };
        *voice = now.checked_sub(within);
        // One that was not heard is less than any that was.
        if let Some(oldest) = voices.heard.values().copied().min().flatten() {
            voices.is_told = true;
            let within = now.saturating_duration_since(oldest);
            // Still under the lock, so that a loss is not overtaken by what was heard before it.
            self.tell(Notice::Heard { within });
        }
    }

    /// This one tells nothing any more, or may have left something out.
    pub(super) fn lost(&self, id: u64) {
        let mut voices = self.voices();
        if let Some(voice) = voices.heard.get_mut(&id) {
            *voice = None;
            self.tell_lost(voices);
        }
    }

    fn tell_lost(&self, mut voices: MutexGuard<'_, Voices>) {
        if std::mem::take(&mut voices.is_told) {
            self.tell(Notice::Lost);
        }
    }

    fn watchers(&self) -> MutexGuard<'_, Vec<Weak<dyn Watcher>>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn voices(&self) -> MutexGuard<'_, Voices> {
        self.voices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Default)]
    struct Ear(Mutex<Vec<Option<Duration>>>);

    impl Watcher for Ear {
        fn notice(&self, notice: Notice<'_>) {
            let heard = match notice {
                Notice::Heard { within } => Some(within),
                Notice::Lost => None,
                other => unreachable!("{other:?}"),
            };
            self.0.lock().unwrap().push(heard);
        }
    }

    fn scene() -> (Chorus, Arc<Ear>) {
        let (chorus, ear) = (Chorus::default(), Arc::<Ear>::default());
        let weak: Weak<Ear> = Arc::downgrade(&ear);
        chorus.add(weak);
        (chorus, ear)
    }

    fn told(ear: &Ear) -> Vec<Option<Duration>> {
        std::mem::take(&mut ear.0.lock().unwrap())
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_heard_as_far_as_the_one_that_was_heard_least() {
        let (chorus, ear) = scene();
        tokio::time::advance(ms(1000)).await;
        chorus.seat([1, 2], false);
        chorus.heard(1, ms(10));
        assert_eq!(told(&ear), [], "one of two is not all");
        tokio::time::advance(ms(100)).await;
        chorus.heard(2, ms(1));
        assert_eq!(told(&ear), [Some(ms(110))]);
        tokio::time::advance(ms(100)).await;
        chorus.heard(1, ms(3));
        assert_eq!(told(&ear), [Some(ms(101))]);
        chorus.heard(7, ms(0));
        chorus.lost(7);
        assert_eq!(told(&ear), [], "it has no seat");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_lost_or_new_silences_all_until_it_is_heard() {
        let (chorus, ear) = scene();
        tokio::time::advance(ms(1000)).await;
        chorus.seat([1, 2], false);
        chorus.heard(1, ms(0));
        chorus.heard(2, ms(0));
        chorus.lost(2);
        chorus.lost(2);
        chorus.heard(1, ms(0));
        assert_eq!(told(&ear), [Some(ms(0)), None]);
        chorus.heard(2, ms(0));
        chorus.seat([1, 2, 3], false);
        chorus.heard(1, ms(0));
        assert_eq!(told(&ear), [Some(ms(0)), None]);
        chorus.heard(3, ms(0));
        chorus.seat([1, 3], false);
        chorus.heard(1, ms(0));
        assert_eq!(told(&ear), [Some(ms(0)), Some(ms(0))]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_gap_everyone_has_to_be_heard_again() {
        let (chorus, ear) = scene();
        tokio::time::advance(ms(1000)).await;
        chorus.seat([1, 2], false);
        chorus.heard(1, ms(0));
        chorus.heard(2, ms(0));
        chorus.seat([1, 2], true);
        chorus.heard(1, ms(0));
        assert_eq!(told(&ear), [Some(ms(0)), None]);
        chorus.heard(2, ms(0));
        assert_eq!(told(&ear), [Some(ms(0))]);
    }
}
