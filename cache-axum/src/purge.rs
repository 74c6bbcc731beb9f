use crate::AxumRouting;
use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use cache_tower::{Error, Purger, adapter::Routing};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts, uri};
use std::{convert::Infallible, fmt};

/// Removes stored responses, from within a handler.
///
/// It is that of the nearest layer before the handler, of whichever cache. Without one the request is
/// rejected with [`NoCache`]; `Option<Purge>` takes either. Elsewhere, as in a job without a request,
/// use [`HttpCache::purger`](cache_tower::adapter::HttpCache::purger).
///
/// ```
/// use axum::extract::Path;
/// use cache_axum::Purge;
///
/// async fn update(purge: Purge, Path(id): Path<u64>) {
///     // … save it, then:
///     purge.group(format!("user:{id}")).await;
/// }
/// ```
///
/// # Cancel safety
///
/// axum drops a handler at its next await when its client goes away. One that was dropped between its
/// update and its purge leaves what it would have purged. (The URI of its own request is invalidated
/// all the same.) Where that matters, run both to their end in a task of their own:
///
/// ```
/// use axum::extract::Path;
/// use cache_axum::Purge;
///
/// # async fn save(_: u64) {}
/// async fn update(purge: Purge, Path(id): Path<u64>) {
///     let update = async move {
///         save(id).await;
///         purge.group(format!("user:{id}")).await;
///     };
///     tokio::spawn(update).await.expect("the update does not panic");
/// }
/// ```
#[derive(Clone)]
pub struct Purge {
    purger: Purger,
    request: Uri,
    host: Option<HeaderValue>,
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
        let headers: HeaderMap = self
            .host
            .iter()
            .map(|host| (header::HOST, host.clone()))
            .collect();
        self.purger.request(&uri, &headers).await;
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

    fn of(parts: &Parts) -> Option<Self> {
        let purger = parts.extensions.get::<Purger>()?.clone();
        let request = AxumRouting::uri(&parts.uri, &parts.extensions).clone();
        Some(Self {
            purger,
            request,
            host: parts.headers.get(header::HOST).cloned(),
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Purge {
    type Rejection = NoCache;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoCache> {
        Self::of(parts).ok_or(NoCache)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Purge {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(Self::of(parts))
    }
}

/// [`Purge`] was asked for where no layer of a cache lies before the handler. Answers 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoCache;

impl fmt::Display for NoCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no cache layer lies before this handler: add `.layer(cache.policy(…))` after every method of its route, \
             `.layer(cache)` to its router, or keep `cache.purger()` in the state",
        )
    }
}

impl std::error::Error for NoCache {}

impl IntoResponse for NoCache {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}
