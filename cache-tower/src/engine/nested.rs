//! Layers of one cache at two levels, as around a router and on one of its routes.
//!
//! The outer layer marks the request it forwards with its flight. The inner layer takes the lead of
//! that flight instead of joining it, where it would wait for itself; its policy decides, because it
//! is nearer the handler; and it marks the response, so that the outer one stores nothing.

use crate::stored::Stored;
use cache_core::{
    Entry, Store,
    store::{FlightKey, Lead},
};
use http::Extensions;
use std::sync::{Arc, Mutex, PoisonError};

/// The mark on a request that comes through an outer layer.
#[derive(Clone)]
pub(crate) struct Outer {
    store: Store<Stored>,
    /// Its flight there; `None` where that layer did not ask the cache.
    flight: Option<FlightKey>,
    lead: Slot,
    /// What may answer if the origin fails.
    stale: Option<Arc<Entry<Stored>>>,
    is_refresh: bool,
}

/// Where the lead of a flight lies while its request is forwarded.
pub(crate) type Slot = Arc<Mutex<Option<Lead<Stored>>>>;

pub(crate) fn take(slot: &Slot) -> Option<Lead<Stored>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Outer {
    pub(crate) fn new(
        store: &Store<Stored>,
        flight: &FlightKey,
        lead: &Slot,
        stale: Option<&Arc<Entry<Stored>>>,
        is_refresh: bool,
    ) -> Self {
        Self {
            store: store.clone(),
            flight: Some(flight.clone()),
            lead: Arc::clone(lead),
            stale: stale.cloned(),
            is_refresh,
        }
    }

    /// The mark of a layer that did not ask the cache. It counted the request all the same.
    pub(crate) fn passing(store: &Store<Stored>) -> Self {
        Self {
            store: store.clone(),
            flight: None,
            lead: Slot::default(),
            stale: None,
            is_refresh: false,
        }
    }

    /// The mark of a layer of the same cache.
    pub(crate) fn of<'a>(extensions: &'a Extensions, store: &Store<Stored>) -> Option<&'a Self> {
        extensions
            .get::<Self>()
            .filter(|outer| outer.store.is_same(store))
    }

    /// Whether the store must not answer a request of this key: what it holds is what the outer layer
    /// is refreshing, or has just not found.
    pub(crate) fn forbids_lookup(&self, key: &[u8]) -> bool {
        self.is_refresh || self.is_of(key)
    }

    /// What may answer a request of this key if the origin fails.
    pub(crate) fn stale(&self, key: &[u8]) -> Option<Arc<Entry<Stored>>> {
        self.stale.clone().filter(|_| self.is_of(key))
    }

    fn is_of(&self, key: &[u8]) -> bool {
        self.flight
            .as_ref()
            .is_some_and(|flight| flight.key.as_bytes() == key)
    }

    pub(crate) fn is_refresh(&self) -> bool {
        self.is_refresh
    }

    /// The lead, for a request that is the same flight.
    pub(crate) fn take(&self, flight: &FlightKey) -> Option<Lead<Stored>> {
        (self.flight.as_ref() == Some(flight))
            .then(|| take(&self.lead))
            .flatten()
    }
}

/// The mark on a response: a layer of this cache decided about it.
#[derive(Clone)]
struct Decided(Store<Stored>);

pub(crate) fn mark_decided(extensions: &mut Extensions, store: &Store<Stored>) {
    extensions.insert(Decided(store.clone()));
}

/// Takes the mark off, and says whether it was there.
pub(crate) fn was_decided(extensions: &mut Extensions, store: &Store<Stored>) -> bool {
    let decided = extensions
        .get::<Decided>()
        .is_some_and(|decided| decided.0.is_same(store));
    if decided {
        extensions.remove::<Decided>();
    }
    decided
}
