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
    voices: Mutex<BTreeMap<u64, Option<Instant>>>,
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

    /// From now on it takes these voices, and no others, to be heard.
    pub(super) fn seat(&self, ids: impl IntoIterator<Item = u64>) {
        let mut voices = self.voices();
        let seated = ids
            .into_iter()
            .map(|id| (id, voices.get(&id).copied().flatten()))
            .collect();
        *voices = seated;
        if voices.values().any(Option::is_none) {
            self.tell(Notice::Lost);
        }
    }

    /// This one answered now what it was asked `within` ago.
    pub(super) fn heard(&self, id: u64, within: Duration) {
        let (mut voices, now) = (self.voices(), timer::now());
        let Some(voice) = voices.get_mut(&id) else {
            return;
        };
        *voice = now.checked_sub(within);
        let oldest = voices.values().copied().reduce(Option::min).flatten();
        if let Some(oldest) = oldest {
            let within = now.saturating_duration_since(oldest);
            // Still under the lock, so that a loss is not overtaken by what was heard before it.
            self.tell(Notice::Heard { within });
        }
    }

    /// This one tells nothing any more, or may have left something out.
    pub(super) fn lost(&self, id: u64) {
        let mut voices = self.voices();
        if let Some(voice) = voices.get_mut(&id) {
            *voice = None;
            self.tell(Notice::Lost);
        }
    }

    fn watchers(&self) -> MutexGuard<'_, Vec<Weak<dyn Watcher>>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn voices(&self) -> MutexGuard<'_, BTreeMap<u64, Option<Instant>>> {
        self.voices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
