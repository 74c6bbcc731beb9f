//! HTTP caching for axum: one layer before a service that already runs.
//!
//! ```
//! use axum::{Router, extract::Path, routing::get};
//! use cache_axum::{HttpCache, Policy, Purge, hours, minutes};
//!
//! # async fn list() {}
//! async fn show(Path(id): Path<u64>) -> String {
//!     format!("user {id}, read from the database")
//! }
//!
//! async fn update(purge: Purge, Path(id): Path<u64>) {
//!     // … save it, then:
//!     purge.group(format!("user:{id}")).await;
//! }
//!
//! let cache = HttpCache::new();
//! let users = cache.policy(Policy::ttl(hours(1)).group("user:{id}"));
//! let posts = cache.policy(Policy::ttl(minutes(30)).vary_by_query(["page"]));
//! let app: Router = Router::new()
//!     .route("/users/{id}", get(show).put(update).layer(users))
//!     .route("/posts", get(list).layer(posts));
//! ```
//!
//! [`HttpCache`] is a layer as well: `Router::layer(cache.clone())` stores, of a whole service, what
//! responses themselves say may be stored. Both may be combined: the innermost layer decides, and what
//! it stored is given by itself alone, behind whatever lies between the two.
//!
//! # Where to put a layer
//!
//! * A policy goes after every method of its route: axum's `layer` covers the handlers added before
//!   it, and a `put` outside of it would not invalidate what its `get` stored.
//! * Around the router rather than on each route a hit is several times cheaper, for it skips the
//!   routing: `ServiceBuilder::new().layer(cache).service(router)`. There the layer does not know the
//!   matched route, so a policy whose groups name parameters stores nothing.
//! * One cache for a service: what [`Purge`] does, it does to that of the nearest layer, and to no other.
//!
//! The key contains the host as the client names it: `localhost` and `127.0.0.1` are two sites.
//!
//! # What handlers can say
//!
//! * [`Purge`], an extractor, removes what is stored.
//! * [`Groups`], a response part, names the groups of one response.
//! * `Extension(policy)`, axum's own response part, sets the [`Policy`] of one response: its lifetime,
//!   windows and groups. What tells requests apart was decided before, by the layer's.
//!
//! # Who is asking
//!
//! Of who a client is the cache knows Cookie and Authorization. A route that goes by anything else, as an `X-Api-Key`,
//! a client's certificate or its address, would give one what it made for another: name the field by
//! [`Policy::vary_by_header`], and give no policy where it is no field.
//!
//! # Values behind the handlers
//!
//! [`typed`] is a cache of values, with a [`Policy`](typed::Policy) of its own. Where a handler changes what responses
//! and values are made of, it invalidates the values first, then purges the responses: in the other order a response
//! may be made of the old value in between, and is stored.
//!
//! # More
//!
//! The cache's rules, and what they do not protect from, are described in [`cache_tower`].
//! [`HttpCache::from_env`] lets an operator change tiers, lifetimes and the policies of single routes: see
//! [`cache_tower::config`].
//!
//! # Features
//!
//! | Feature | Default | What it adds |
//! |---|---|---|
//! | `json` | yes | a JSON codec for typed caches ([`typed`]) |
//! | `bincode` | no | a bincode 2 codec for typed caches; no longer maintained (RUSTSEC-2025-0141) |
//! | `metrics` | no | what the cache does, told to a recorder of the `metrics` facade ([guide](cache_core::observe::guide)) |
//! | `tracing` | no | a span for each request, and what goes wrong as events ([guide](cache_core::observe::guide)) |
//! | `redis` | no | the [`remote`] tier in Redis or Valkey |
//! | `redis-cluster` | no | the same in a cluster |
//! | `redis-tls` | no | the same over TLS: `rediss://` and `valkeys://` |
//! | `test-util` | no | a clock and a random source that tests control |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod groups;
mod purge;
mod routing;

pub use cache_core as typed;
pub use cache_tower::{
    Config, Error, Policy, Profile, Purger, ResponseBody, Stats, days, hours, minutes, remote,
    seconds,
};
#[cfg(feature = "test-util")]
pub use cache_tower::{FixedRandom, ManualClock};
pub use groups::Groups;
pub use purge::{NoCache, Purge};
pub use routing::AxumRouting;

/// One HTTP cache for an axum service; see [`cache_tower::adapter::HttpCache`].
pub type HttpCache = cache_tower::adapter::HttpCache<AxumRouting>;

/// Builds an [`HttpCache`]; see [`cache_tower::adapter::HttpCacheBuilder`].
pub type HttpCacheBuilder = cache_tower::adapter::HttpCacheBuilder<AxumRouting>;

/// A layer of a cache; see [`cache_tower::adapter::CacheLayer`].
pub type CacheLayer = cache_tower::adapter::CacheLayer<AxumRouting>;

/// A service with a cache before it; see [`cache_tower::adapter::CacheService`].
pub type CacheService<S> = cache_tower::adapter::CacheService<S, AxumRouting>;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
