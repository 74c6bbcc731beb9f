//! HTTP caching for actix-web: one middleware before a service that already runs.
//!
//! ```
//! use actix_web::{App, web};
//! use cache_actix::{HttpCache, Policy, Purge, hours, minutes};
//!
//! async fn list() -> &'static str {
//!     "a page of posts"
//! }
//!
//! async fn show(id: web::Path<u64>) -> String {
//!     format!("user {id}, read from the database")
//! }
//!
//! async fn update(purge: Purge, id: web::Path<u64>) -> &'static str {
//!     // … save it, then:
//!     purge.group(format!("user:{id}")).await;
//!     "saved"
//! }
//!
//! // Outside of the closure, which runs once on each worker: they share it.
//! let cache = HttpCache::new();
//! let app = move || {
//!     let users = cache.policy(Policy::ttl(hours(1)).group("user:{id}"));
//!     let posts = cache.policy(Policy::ttl(minutes(30)).vary_by_query(["page"]));
//!     App::new()
//!         .service(
//!             web::resource("/users/{id}")
//!                 .wrap(users)
//!                 .get(show)
//!                 .put(update),
//!         )
//!         .service(web::resource("/posts").wrap(posts).get(list))
//! };
//! # let _ = app();
//! ```
//!
//! [`HttpCache`] is a middleware as well: `App::wrap(cache.clone())` stores, of a whole service, what
//! responses themselves say may be stored. Both may be combined: the innermost layer decides, and what
//! it stored is given by itself alone, behind whatever lies between the two.
//!
//! # Where to put a layer
//!
//! * On a scope, a resource, or a route declared by a macro: `#[get("/users/{id}", wrap = "users()")]`,
//!   where `users` is a function that makes the layer of a cache in a `static`. A layer on a route sees
//!   nothing of the other methods of its path, so an update there does not invalidate: put it on
//!   the resource.
//! * Around the `App` a hit is cheapest, for it skips the routing. Groups may name parameters there too;
//!   they are read off the resource that answered.
//! * What [`wrap`](actix_web::App::wrap)s last is outermost.
//! * Where guards choose a resource or scope by a field of the request, the policy has to name that field:
//!   `Policy::ttl(…).vary_by_header("x-tenant")`. Else one gets what another was chosen for.
//! * One cache for a service: what [`Purge`] does, it does to that of the nearest layer, and to no other.
//!
//! The key contains the host as the client names it: `localhost` and `127.0.0.1` are two sites.
//!
//! # What handlers can say
//!
//! * [`Purge`], an extractor, removes what is stored.
//! * [`Groups`], around a responder, names the groups of one response.
//! * A [`Policy`] among the extensions of the `HttpResponse` sets that of one response: its lifetime,
//!   windows and groups. What tells requests apart was decided before, by the layer's.
//!
//! # What middleware further out sees
//!
//! * On most answers, the request that it passed on. An answer that is stale and is being refreshed, or
//!   that stands in for a service that failed, carries another request: of the same method, URI, fields
//!   and peer, without request extensions, `app_data` and matched resource. Nor does it know of the server's own
//!   TLS: `connection_info` says `http` where neither a field nor the URI says `https`. The real one is with the
//!   service at that moment.
//! * Middleware that keeps a clone of the `HttpRequest` while it awaits the service keeps actix from
//!   changing that request, and actix's router and this crate panic where they have to: keep what you
//!   need of it instead.
//!
//! # Errors of middleware
//!
//! An error that middleware behind a layer returns goes on as it is, and is judged by the status of the response
//! that actix makes of it. 500, 502, 503 and 504 are failures, for which a stale response may stand in. With any
//! other the service has answered its client, and that one alone: a 401 or 404 is hidden by nothing stored.
//!
//! # Clients that leave
//!
//! Set [`HttpServer::h1_allow_half_closed(false)`](actix_web::HttpServer::h1_allow_half_closed). actix then
//! drops a handler at its next await when its client closes the connection, and another request that waits
//! for the same response takes the turn. By default it takes that client for one that has said all it wants
//! to say, and lets the handler go on: what it returns is stored and answers those who wait, but who asks for
//! something that takes long, and leaves, has it made all the same. What the setting costs: clients that
//! close their half of the connection before they read get no answer.
//!
//! Over HTTP/2 actix lets a handler go on whose stream was reset, whatever the setting.
//!
//! # What actix-web does not carry
//!
//! Interim responses, as `103 Early Hints`, do not pass, save the `100 Continue` that actix writes itself.
//! Neither do trailers. Fields of one name keep their order; among names there is none. A request with several
//! Host fields is refused by actix.
//!
//! # Runtime
//!
//! What goes on in the background runs on the actix runtime of the worker that began it, and ends with it.
//! Tests need `#[actix_web::test]`.
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
//! | `test-util` | no | a clock and a random source that tests control, and a count of tasks |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod cache;
mod convert;
mod future;
mod groups;
mod origin;
mod purge;
mod request;
mod response;
mod service;
mod spawn;

pub use body::ResponseBody;
pub use cache::{Actix, CacheLayer, HttpCache, HttpCacheBuilder};
pub use cache_core as typed;
pub use cache_tower::{
    Config, Error, Policy, Profile, Purger, Stats, days, hours, minutes, remote, seconds,
};
#[cfg(feature = "test-util")]
pub use cache_tower::{FixedRandom, ManualClock};
pub use future::ResponseFuture;
pub use groups::{Grouped, Groups};
pub use purge::{NoCache, Purge};
pub use service::CacheService;
#[cfg(feature = "test-util")]
pub use spawn::count::background_tasks;
