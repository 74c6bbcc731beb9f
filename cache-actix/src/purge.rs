use crate::{convert, request::Marks};
use actix_web::{FromRequest, HttpMessage, HttpRequest, ResponseError, dev::Payload};
use cache_tower::{Error, Purger};
use http::{HeaderMap, Uri, header, uri};
use std::{
    fmt,
    future::{Ready, ready},
};

/// Removes stored responses, from within a handler.
///
/// It is that of the nearest layer before the handler, of whichever cache. Without one the request is
/// rejected with [`NoCache`]; `Option<Purge>` takes either. Elsewhere, as in a job without a request,
/// use [`HttpCache::purger`](crate::HttpCache::purger).
///
/// ```
/// use actix_web::web;
/// use cache_actix::Purge;
///
/// async fn update(purge: Purge, id: web::Path<u64>) -> &'static str {
///     // … save it, then:
///     purge.group(format!("user:{id}")).await;
///     "saved"
/// }
/// ```
///
/// # Cancel safety
///
/// actix may drop a handler at its next await when its client goes away. One that was dropped between its
/// update and its purge leaves what it would have purged. (The URI of its own request is invalidated
/// all the same.) Where that matters, run both to their end in a task of their own:
/// `actix_web::rt::spawn(async move { save(id).await; purge.group("…").await }).await`.
#[derive(Clone)]
pub struct Purge {
    purger: Purger,
    request: Uri,
    headers: HeaderMap,
}

/// Without what may not reach a log.
impl fmt::Debug for Purge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purge")
            .field("purger", &self.purger)
            .finish_non_exhaustive()
    }
}

impl Purge {
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
        let mut parts = self.request.clone().into_parts();
        parts.path_and_query = Some(path);
        let uri = Uri::from_parts(parts).map_err(|_| wrong())?;
        self.purger.request(&uri, &self.headers).await;
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

    fn of(request: &HttpRequest) -> Option<Self> {
        let extensions = request.extensions();
        let purger = extensions.get::<Marks>()?.0.get::<Purger>()?.clone();
        Some(Self {
            purger,
            request: convert::uri(request.uri())?,
            headers: convert::fields_of(request.headers(), &[header::HOST]),
        })
    }
}

impl FromRequest for Purge {
    type Error = NoCache;
    type Future = Ready<Result<Self, NoCache>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request).ok_or(NoCache))
    }
}

/// [`Purge`] was asked for where no layer of a cache lies before the handler. Answers 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoCache;

impl fmt::Display for NoCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no cache layer lies before this handler: add `.wrap(cache.policy(…))` to its resource or scope, \
             `.wrap(cache)` to the app, or keep `cache.purger()` in the app's data",
        )
    }
}

impl std::error::Error for NoCache {}

impl ResponseError for NoCache {}
