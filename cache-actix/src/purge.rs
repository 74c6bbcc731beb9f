use crate::{convert, request::Marks};
use actix_web::{FromRequest, HttpMessage, HttpRequest, ResponseError, dev::Payload};
use cache_tower::{Purger, adapter::RequestPurger};
use http::header;
use std::{
    fmt,
    future::{Ready, ready},
    ops::Deref,
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
#[derive(Debug, Clone)]
pub struct Purge(RequestPurger);

impl Deref for Purge {
    type Target = RequestPurger;

    fn deref(&self) -> &RequestPurger {
        &self.0
    }
}

impl Purge {
    fn of(request: &HttpRequest) -> Option<Self> {
        let extensions = request.extensions();
        let purger = extensions.get::<Marks>()?.0.get::<Purger>()?.clone();
        let uri = convert::uri(request.uri())?;
        let host = convert::fields_of(request.headers(), &[header::HOST]).remove(header::HOST);
        Some(Self(RequestPurger::new(purger, uri, host)))
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
