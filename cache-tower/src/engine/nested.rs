//! Layers of one cache within each other, as around a router and on one of its routes.
//!
//! The innermost layer decides, because its policy is nearest the handler and because what lies between
//! the layers (a guard, a rewriting of fields) has been passed by then. So each layer uses only what it
//! stored itself: what is stored has an [`Owner`]. An outer layer marks the request it forwards; the
//! inner one marks the response it decided about; and the outer one then stores nothing.

use super::account::Counted;
use crate::{policy::Policy, stored::Stored};
use cache_core::{Store, remote::Lease};
use http::Extensions;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};

/// Whose a stored response is, and a flight: one layer's, at one depth within others of its cache.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    policy: Arc<Policy>,
    depth: u8,
}

impl Owner {
    pub(crate) fn new(policy: &Arc<Policy>, depth: u8) -> Self {
        Self {
            policy: Arc::clone(policy),
            depth,
        }
    }

    /// Whether it is that of the layer with this policy at this depth.
    pub(crate) fn is(&self, policy: &Arc<Policy>, depth: u8) -> bool {
        Arc::ptr_eq(&self.policy, policy) && self.depth == depth
    }

    /// What tells it from other owners in all processes: policies of the same text are one.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update([self.depth]);
        digest.update(format!("{:?}", self.policy));
        digest.finalize().into()
    }

    /// Appends what tells it from other owners that there are now.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&Arc::as_ptr(&self.policy).addr().to_be_bytes());
        bytes.push(self.depth);
    }
}

impl PartialEq for Owner {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.policy, other.depth)
    }
}

/// The mark on a request that comes through an outer layer.
#[derive(Clone)]
pub(crate) struct Outer {
    store: Store<Stored>,
    depth: u8,
    /// `None` for a refresh, which no client sent and nobody counts.
    counted: Option<Counted>,
    /// The right to load the key, for the layer within to take: it must not wait for this one's.
    lease: Option<Lent>,
}

/// A lease that another layer may take.
pub(crate) type Lent = Arc<Mutex<Option<Lease>>>;

impl Outer {
    /// The mark of a layer at `depth`.
    pub(crate) fn new(
        store: &Store<Stored>,
        depth: u8,
        counted: Option<Counted>,
        lease: Option<Lent>,
    ) -> Self {
        Self {
            store: store.clone(),
            depth,
            counted,
            lease,
        }
    }

    /// The lease of the layer without, where it has one of this key or of a variant of it.
    pub(crate) fn take_lease(&self, key: &[u8]) -> Option<Lease> {
        let mut lease = self
            .lease
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lease.take_if(|lease| lease.key().starts_with(key))
    }

    /// The mark of a layer of the same cache.
    pub(crate) fn of<'a>(extensions: &'a Extensions, store: &Store<Stored>) -> Option<&'a Self> {
        extensions
            .get::<Self>()
            .filter(|outer| outer.store.is_same(store))
    }

    /// The depth of a layer right within.
    pub(crate) fn within(&self) -> u8 {
        self.depth.saturating_add(1)
    }

    /// Whether the request is a refresh, which the store must not answer.
    pub(crate) fn is_refresh(&self) -> bool {
        self.counted.is_none()
    }

    /// The layer within counts the request.
    pub(crate) fn take_count_back(&self) {
        if let Some(counted) = &self.counted {
            counted.take_back(&self.store);
        }
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
