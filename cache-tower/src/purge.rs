//! Removing what is stored, on purpose.

use crate::{cache::NAMES, engine::Shared, http::key::uri_key, policy::KeyPolicy};
use cache_core::observe::Source;
use http::{HeaderMap, Uri};
use std::{fmt, sync::Arc};

/// Removes stored responses: those of a group, of a URI, or all.
///
/// A handler finds one among its request's extensions wherever a layer of the cache lies before it;
/// [`HttpCache::purger`](crate::adapter::HttpCache::purger) gives one to keep elsewhere. What was purged is
/// not given out any more once the call returns, and a response that is on its way at that moment is
/// not stored. With a [remote tier](crate::adapter::HttpCacheBuilder::remote) that is so in all processes;
/// where that is away, as soon as it is there again.
///
/// # Cancel safety
///
/// A handler may be dropped at any of its awaits: a server does so when the client goes away. One that
/// was dropped between its update and its purge leaves what it would have purged. (The URI of its own
/// request is invalidated all the same.) Where that matters, run both to their end in a task of their
/// own: `tokio::spawn(async move { save().await; purger.group("…").await }).await`.
///
/// There is no purging over HTTP unless you write a handler that does it; such a handler must ask who
/// may.
#[derive(Clone)]
pub struct Purger(Arc<Shared>);

impl Purger {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// Removes the responses of a group, in one step however many there are.
    pub async fn group(&self, name: impl AsRef<str>) {
        self.0.store.invalidated(Source::Purge);
        self.0.store.invalidate_group_shared(name.as_ref()).await;
    }

    /// Removes the responses of a URI: all variants, and those whose key contains more than the URI.
    /// It must name scheme and authority as clients do, and its query to the byte; under a policy that
    /// [leaves out parts of the query](crate::Policy::vary_by_query), name a group instead.
    pub async fn uri(&self, uri: &Uri) {
        self.request(uri, &HeaderMap::new()).await;
    }

    /// As [`uri`](Self::uri), for the URI as a request has it: where it names no authority, that of
    /// the Host field is meant.
    pub async fn request(&self, uri: &Uri, headers: &HeaderMap) {
        self.0.store.invalidated(Source::Purge);
        let key = uri_key(&KeyPolicy::default(), self.0.scheme, uri, headers);
        self.0.invalidate(&[key], Vec::new()).await;
    }

    /// Removes all responses.
    pub async fn all(&self) {
        self.0.store.invalidated(Source::Purge);
        self.0.store.invalidate_all_shared(NAMES).await;
    }
}

impl fmt::Debug for Purger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purger").finish_non_exhaustive()
    }
}
