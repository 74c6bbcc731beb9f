//! Removing what is stored, on purpose.

use crate::{engine::Shared, http::key::uri_key, policy::KeyPolicy};
use cache_core::{Error, observe::Source};
use http::{HeaderMap, HeaderValue, Uri, header, uri};
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

    /// Removes all responses of this cache, and of those of its name that share its remote tier: there in time
    /// proportional to all keys, after which each process asks once for what its memory holds. Not for every
    /// day; a [group](Self::group) takes one step.
    pub async fn all(&self) {
        self.0.store.invalidated(Source::Purge);
        let Shared { store, names, .. } = &*self.0;
        store.invalidate_all_shared(names).await;
    }
}

impl fmt::Debug for Purger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purger").finish_non_exhaustive()
    }
}

/// A [`Purger`] in the hands of who answers a request: paths are those of that request's host.
///
/// It is what the extractors of adapters give; see theirs for an example and for cancel safety.
#[derive(Clone)]
pub struct RequestPurger {
    purger: Purger,
    uri: Uri,
    host: Option<HeaderValue>,
}

impl RequestPurger {
    /// For a request of this URI, as the client sent it, and this Host field.
    pub fn new(purger: Purger, uri: Uri, host: Option<HeaderValue>) -> Self {
        Self { purger, uri, host }
    }

    /// Removes the responses of a group, in one step however many there are.
    pub async fn group(&self, name: impl AsRef<str>) {
        self.purger.group(name).await;
    }

    /// Removes the responses of a path of this host, as `/users/42?full`: all variants. Its query
    /// counts to the byte; under a policy that leaves out parts of it, name a group instead.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config) where it is no path.
    pub async fn path(&self, path: &str) -> Result<(), Error> {
        let wrong = || {
            Error::config(format!(
                "path is `{path}`; accepted is one as in `/users/42?full`"
            ))
        };
        let path: uri::PathAndQuery = path.parse().map_err(|_| wrong())?;
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = Some(path);
        let uri = Uri::from_parts(parts).map_err(|_| wrong())?;
        let host = self.host.iter().map(|host| (header::HOST, host.clone()));
        self.purger.request(&uri, &host.collect()).await;
        Ok(())
    }

    /// Removes the responses of a URI of any host; see [`Purger::uri`].
    pub async fn uri(&self, uri: &Uri) {
        self.purger.uri(uri).await;
    }

    /// Removes all responses of the cache.
    pub async fn all(&self) {
        self.purger.all().await;
    }

    /// The same for what has no request of its own, as a job that the handler begins.
    pub fn purger(&self) -> &Purger {
        &self.purger
    }
}

/// Without what may not reach a log.
impl fmt::Debug for RequestPurger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestPurger")
            .field("purger", &self.purger)
            .finish_non_exhaustive()
    }
}
