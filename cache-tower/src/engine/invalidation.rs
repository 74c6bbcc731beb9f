//! What an unsafe request removes from the store (RFC 9111 §4.4).

use super::{Asked, Shared, nested::Owner, origin_of, remote};
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
use cache_core::{Key, observe::Source};
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

    /// Removes what a response says is out of date; nothing, where it is an error. In all processes by
    /// when it is done; dropped before, it goes on in the background.
    pub(super) async fn carry_out(mut self, status: StatusCode, headers: &HeaderMap) {
        if invalidates(MethodClass::Unsafe, status) {
            self.shared.store.invalidated(Source::Update);
            let of_stored = self.groups_of(&self.key).await;
            let (keys, groups) = self.outdated(headers, of_stored);
            self.shared.invalidate(&keys, groups).await;
        }
        self.ended = true;
    }

    /// The same: here at once, in other processes in the background.
    pub(super) fn carry_out_behind(mut self, status: StatusCode, headers: &HeaderMap) {
        self.ended = true;
        if !invalidates(MethodClass::Unsafe, status) {
            return;
        }
        self.shared.store.invalidated(Source::Update);
        let (keys, groups) = self.outdated(headers, self.groups_here(&self.key));
        for key in keys {
            self.shared.invalidate_uri_behind(&key);
        }
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        self.shared.store.invalidate_behind(&[], &groups);
    }

    /// The keys of URIs that are out of date, and the names of groups.
    fn outdated(&self, headers: &HeaderMap, of_stored: Vec<String>) -> (Vec<Key>, Vec<String>) {
        // What belongs to the same groups as what goes, goes as well; not what belongs to those (RFC 9875
        // §2.2.1: no cascade).
        let mut groups = BTreeSet::new();
        if self.shared.heeds_cache_groups {
            let name = |group: String| self.group_name(&group);
            groups.extend(of_stored);
            groups.extend(cache_groups::invalidated(headers).into_iter().map(name));
        }
        let mut keys = vec![self.key.clone()];
        for uri in also_invalidated(&self.target(), headers) {
            let policy = self.policy.key();
            keys.push(uri_key(policy, self.shared.scheme, &uri, &HeaderMap::new()));
        }
        (keys, groups.into_iter().collect())
    }

    fn group_name(&self, group: &str) -> String {
        cache_groups::group_name(&origin_of(&self.scheme, &self.authority), group)
    }

    /// The groups that what is stored under a key says it belongs to, here or in the remote tier.
    async fn groups_of(&self, key: &Key) -> Vec<String> {
        let mut names = self.groups_here(key);
        if self.shared.heeds_cache_groups && self.shared.store.has_remote() {
            let owner = Owner::new(&self.policy, 0);
            let there = remote::groups_of(&self.shared, key, &owner).await;
            // What a handler or a route named is not of the origin.
            let of_origin = self.group_name("");
            names.extend(
                there
                    .into_iter()
                    .filter(|name| name.starts_with(&of_origin)),
            );
        }
        names
    }

    fn groups_here(&self, key: &Key) -> Vec<String> {
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
        let groups: Vec<String> = match entry.value() {
            Some(Stored::Variants(variants)) => variants
                .keys
                .iter()
                .filter_map(|key| store.lookup(key.as_bytes(), now))
                .flat_map(|variant| variant.value().map(of).unwrap_or_default())
                .collect(),
            Some(response) => of(response),
            None => Vec::new(),
        };
        groups.iter().map(|group| self.group_name(group)).collect()
    }

    /// The service failed to answer: nothing is removed.
    pub(super) fn drop_it(mut self) {
        self.ended = true;
    }
}

impl Drop for Invalidation {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.store.invalidated(Source::Update);
            self.shared.invalidate_uri_behind(&self.key);
        }
    }
}
