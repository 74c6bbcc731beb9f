use crate::AxumRouting;
use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use cache_tower::{
    Purger,
    adapter::{RequestPurger, Routing},
};
use http::{StatusCode, header, request::Parts};
use std::{convert::Infallible, fmt, ops::Deref};

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
#[derive(Debug, Clone)]
pub struct Purge(RequestPurger);

impl Deref for Purge {
    type Target = RequestPurger;

    fn deref(&self) -> &RequestPurger {
        &self.0
    }
}

impl Purge {
    fn of(parts: &Parts) -> Option<Self> {
        let purger = parts.extensions.get::<Purger>()?.clone();
        let uri = AxumRouting::uri(&parts.uri, &parts.extensions).clone();
        let host = parts.headers.get(header::HOST).cloned();
        Some(Self(RequestPurger::new(purger, uri, host)))
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
