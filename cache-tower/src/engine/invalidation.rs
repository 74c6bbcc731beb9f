//! What an unsafe request removes from the store (RFC 9111 §4.4).

use super::{Asked, Shared, origin_of};
use crate::{
    http::{
        cache_groups,
        invalidate::{also_invalidated, invalidates},
        key::uri_key,
        reference::Base,
        request::MethodClass,
    },
    policy::Policy,
    stored::Stored,
};
use cache_core::Key;
use http::{HeaderMap, StatusCode};
use std::{collections::BTreeSet, sync::Arc};

/// What an unsafe request removes from the store, when it is dropped: unless it is known that the
/// request changed nothing, what is stored may be out of date. That is not known when its client went
/// away, and its handler with it, in the middle of an update.
pub(super) struct Invalidation {
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    key: Key,
    scheme: Box<str>,
    authority: Box<str>,
    path: Box<str>,
    query: Option<Box<str>>,
    ended: bool,
}

impl Invalidation {
    pub(super) fn new(shared: &Arc<Shared>, policy: &Arc<Policy>, asked: Asked<'_>) -> Self {
        Self {
            shared: Arc::clone(shared),
            policy: Arc::clone(policy),
            key: uri_key(policy.key(), shared.scheme, asked.uri, asked.headers),
            scheme: shared.scheme_of(asked.uri).into(),
            authority: asked.authority().into(),
            path: asked.uri.path().into(),
            query: asked.uri.query().map(Into::into),
            ended: false,
        }
    }

    /// The URI of the request.
    pub(super) fn target(&self) -> Base<'_> {
        Base {
            scheme: &self.scheme,
            authority: &self.authority,
            path: &self.path,
            query: self.query.as_deref(),
        }
    }

    /// Removes what a response says is out of date; nothing, where it is an error.
    pub(super) fn carry_out(mut self, status: StatusCode, headers: &HeaderMap) {
        self.ended = true;
        if !invalidates(MethodClass::Unsafe, status) {
            return;
        }
        // What belongs to the same groups as what goes, goes as well; not what belongs to those (RFC 9875
        // §2.2.1: no cascade).
        let mut groups = BTreeSet::new();
        if self.shared.heeds_cache_groups {
            groups.extend(self.groups_of(&self.key));
            groups.extend(cache_groups::invalidated(headers));
        }
        self.shared.invalidate_uri(&self.key);
        for uri in also_invalidated(&self.target(), headers) {
            let key = uri_key(
                self.policy.key(),
                self.shared.scheme,
                &uri,
                &HeaderMap::new(),
            );
            self.shared.invalidate_uri(&key);
        }
        let origin = origin_of(&self.scheme, &self.authority);
        for group in groups {
            let name = cache_groups::group_name(&origin, &group);
            self.shared.store.invalidate_group(&name);
        }
    }

    /// The groups that what is stored under a key says it belongs to.
    fn groups_of(&self, key: &Key) -> Vec<String> {
        let store = &self.shared.store;
        let now = store.now();
        let Some(entry) = store.lookup(key.as_bytes(), now) else {
            return Vec::new();
        };
        let of = |stored: &Stored| {
            stored
                .response()
                .and_then(|response| cache_groups::groups(response.headers()))
                .unwrap_or_default()
        };
        match entry.value() {
            Some(Stored::Variants(variants)) => variants
                .keys
                .iter()
                .filter_map(|key| store.lookup(key.as_bytes(), now))
                .flat_map(|variant| variant.value().map(of).unwrap_or_default())
                .collect(),
            Some(response) => of(response),
            None => Vec::new(),
        }
    }

    /// The service failed to answer: nothing is removed.
    pub(super) fn drop_it(mut self) {
        self.ended = true;
    }
}

impl Drop for Invalidation {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.invalidate_uri(&self.key);
        }
    }
}
