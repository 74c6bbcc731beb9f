//! What all servers of one tier have in common.

use crate::remote::redis::{
    chorus::Chorus, health::Board, names::Names, scripts::Scripts, settings::RedisSettings,
    timeline::Timeline,
};
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};
use tokio::sync::Notify;

const SIZES: usize = 4096;

pub(super) struct Shared {
    pub(super) settings: RedisSettings,
    pub(super) names: Names,
    pub(super) scripts: Scripts,
    pub(super) chorus: Chorus,
    pub(super) health: Board,
    /// The one clock that the times of entries and groups are stated by.
    pub(super) clock: Timeline,
    /// Told when a server is lost: others may have what it had.
    pub(super) news: Arc<Notify>,
    /// By hash of its name, whether a value was large when it was last seen.
    sizes: Box<[AtomicU8]>,
}

/// Which lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Small,
    Large,
}

impl Shared {
    pub(super) fn new(settings: RedisSettings) -> Self {
        let is_cluster = settings.is_cluster();
        Self {
            names: Names::new(&settings.prefix, is_cluster),
            scripts: Scripts::new(),
            chorus: Chorus::default(),
            health: Board::new(settings.observer.clone(), is_cluster),
            clock: Timeline::new(),
            news: Arc::default(),
            sizes: (0..SIZES).map(|_| AtomicU8::new(0)).collect(),
            settings,
        }
    }

    pub(super) fn class_of(&self, size: usize) -> Class {
        if size > self.settings.large {
            Class::Large
        } else {
            Class::Small
        }
    }

    /// The lane on which a value is to be expected: nobody knows how large it is before it is read.
    pub(super) fn expected(&self, name: &[u8]) -> Class {
        expected(self.size_of(name))
    }

    pub(super) fn remember_size(&self, name: &[u8], size: usize) {
        self.note_size(self.size_of(name), size);
    }

    /// As [`remember_size`](Self::remember_size), where `known` is what is known of the name.
    pub(super) fn note_size(&self, known: &AtomicU8, size: usize) {
        let large = u8::from(size > self.settings.large);
        if known.load(Ordering::Relaxed) != large {
            known.store(large, Ordering::Relaxed);
        }
    }

    pub(super) fn size_of(&self, name: &[u8]) -> &AtomicU8 {
        let hash = name.iter().fold(0_usize, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(usize::from(*byte))
        });
        self.sizes
            .get(hash % SIZES)
            .expect("the index is taken modulo the number of sizes")
    }
}

/// The lane for a name of which this is known.
pub(super) fn expected(size: &AtomicU8) -> Class {
    match size.load(Ordering::Relaxed) {
        0 => Class::Small,
        _ => Class::Large,
    }
}
