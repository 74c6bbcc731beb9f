//! An HTTP cache as a Tower layer (RFC 9111), with request collapsing and streaming bodies.
//!
//! ```
//! use cache_tower::{HttpCache, Policy, hours};
//! use tower::{Layer, ServiceBuilder};
//!
//! let cache = HttpCache::new();
//! // What responses say themselves is heeded; nothing else is stored.
//! let service = ServiceBuilder::new().layer(cache.clone());
//! // On a route that says nothing, the policy speaks.
//! let users = ServiceBuilder::new().layer(cache.policy(Policy::ttl(hours(1)).group("users")));
//! # let _: &dyn Layer<(), Service = _> = &cache;
//! ```
//!
//! Users of axum take `cache-axum`, which has all of this and knows axum's routes; users of actix-web
//! `cache-actix`.
//!
//! # What it goes before
//!
//! Any service from `http::Request<B>` to `http::Response<RB>` that is `Clone` and `Send`, as is its future, with
//! bodies of `Bytes`. On hyper alone:
//!
//! ```
//! use cache_tower::{HttpCache, Policy, minutes};
//! use http_body_util::Full;
//! use hyper::{Request, Response, body::{Bytes, Incoming}, server::conn::http1};
//! use hyper_util::{rt::TokioIo, service::TowerToHyperService};
//! use std::{convert::Infallible, error::Error};
//! use tokio::net::TcpListener;
//! use tower::{ServiceBuilder, service_fn};
//!
//! async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     Ok(Response::new(format!("made for {}", request.uri().path()).into()))
//! }
//!
//! async fn serve(listener: TcpListener) -> Result<(), Box<dyn Error>> {
//!     let cache = HttpCache::from_env()?;
//!     // Once for all connections: clones share the cache.
//!     let service = ServiceBuilder::new()
//!         .layer(cache.policy(Policy::ttl(minutes(1))))
//!         .service(service_fn(answer));
//!     loop {
//!         let (stream, _) = listener.accept().await?;
//!         let service = TowerToHyperService::new(service.clone());
//!         tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
//!     }
//! }
//! ```
//!
//! A layer before a router of one's own sees every path: give it [`Policy::from_headers`], and lifetimes by
//! `CACHE_ROUTES`, or lay one under the router for each route. Handlers find a [`Purger`] among the extensions of
//! their request.
//!
//! # What it does
//!
//! * **Safe when pasted.** The key is scheme, authority, path and query, as the client sent them, and
//!   the fields by which proxies forward them; then Vary. Responses to requests with credentials,
//!   with Set-Cookie, `private`, `no-store`, errors: not stored unless the response says so itself or
//!   you do. Whatever does not parse is passed on. See [`http::request`] and [`http::admit`].
//! * **One request to the origin**, however many ask at once. When the client that leads goes away,
//!   another takes its turn; when the response cannot be shared, nobody queues for it.
//! * **Bodies stream.** Each frame goes on as it comes; a copy is kept on the way. No client's speed
//!   is another's, and only a body that ends in full is stored.
//! * **Stale is better than nothing**, where allowed: while one request refreshes it, and when the
//!   origin fails.
//! * **Hits are cheap.** A hit copies the stored fields and allocates nothing else; it needs no permit
//!   of the service behind.
//!
//! # What it does not protect from
//!
//! * A handler whose response depends on a field that is neither in the key nor named by its Vary:
//!   the first answer is given to all. Name it in Vary, or by [`Policy::vary_by_header`]. Cookie and
//!   Authorization are known for what they are; an `X-Api-Key` is not, nor a client's certificate or address.
//! * A policy that declares more than is true: [`Policy::ignore_credentials`], a query parameter that
//!   is ignored and matters.
//! * Other processes, without a [remote tier](adapter::HttpCacheBuilder::remote): an invalidation reaches
//!   this process's memory only.
//! * A client that sends ever new URLs makes the service work for each; it does not displace what is
//!   in use from memory, but it is not slowed down either.
//!
//! # Two profiles
//!
//! [`Policy::from_headers`] and [`Policy::ttl`] are guarded: made for services that never thought of
//! caching. [`Policy::standard`] is RFC 9111 as a shared cache, to the letter, for proxies and for origins
//! that are known. [`Profile`] tells the difference, rule by rule.
//!
//! # What is validated
//!
//! What is stored and no longer fresh is kept for a week, if it has an ETag or a Last-Modified, and the
//! handler behind is asked with If-None-Match or If-Modified-Since whether it still holds. A handler that
//! does not know these fields answers in full, as ever; one that answers 304 saves its body. A client that
//! did not ask so gets the body in either case.
//!
//! Requests for ranges are answered from what is stored, in one part or several; a handler that answers
//! 206 has its parts kept and put together, where a strong validator proves that they belong to one.
//!
//! # Settings of the environment
//!
//! [`HttpCache::from_env`](adapter::HttpCache::from_env) lets an operator change tiers, lifetimes and the
//! policies of single routes without a rebuild; see [`config`].
//!
//! # Features
//!
//! | Feature | Default | What it adds |
//! |---|---|---|
//! | `metrics` | no | what the cache does, told to a recorder of the `metrics` facade ([guide](cache_core::observe::guide)) |
//! | `tracing` | no | a span for each request, and what goes wrong as events ([guide](cache_core::observe::guide)) |
//! | `redis` | no | the [remote tier](adapter::HttpCacheBuilder::remote) in Redis or Valkey |
//! | `redis-cluster` | no | the same in a cluster |
//! | `redis-tls` | no | the same over TLS: `rediss://` and `valkeys://` |
//! | `test-util` | no | a clock and a random source that tests control |

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod adapter;
mod body;
mod cache;
mod codec;
pub mod config;
mod engine;
mod fill;
mod groups;
pub mod http;
mod policy;
mod purge;
mod routing;
mod spawn;
mod stored;

/// One HTTP cache for Tower services; see [`adapter::HttpCache`].
pub type HttpCache = adapter::HttpCache<adapter::Direct>;

/// Builds an [`HttpCache`]; see [`adapter::HttpCacheBuilder`].
pub type HttpCacheBuilder = adapter::HttpCacheBuilder<adapter::Direct>;

/// A layer of a cache; see [`adapter::CacheLayer`].
pub type CacheLayer = adapter::CacheLayer<adapter::Direct>;

/// A service with a cache before it; see [`adapter::CacheService`].
pub type CacheService<S> = adapter::CacheService<S, adapter::Direct>;

#[cfg(feature = "test-util")]
#[doc(hidden)]
pub use codec::rewritten as rewritten_frame;

pub use body::ResponseBody;
pub use cache::ResponseFuture;
#[cfg(feature = "test-util")]
pub use cache_core::clock::{FixedRandom, ManualClock};
pub use cache_core::remote;
pub use cache_core::{
    BoxError, Error, Freshness, Stats,
    policy::{days, hours, minutes, seconds},
};
pub use config::Config;
pub use groups::Groups;
pub use policy::{KeyPolicy, NamePattern, Policy, Profile, QueryKey};
pub use purge::Purger;
