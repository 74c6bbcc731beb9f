use crate::{CacheService, body::ResponseBody, response::FIELD_COPY};
use actix_web::{
    Error,
    body::MessageBody,
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
};
use cache_tower::{
    Config, Policy, Purger, Stats,
    adapter::{self, Engine, Framework},
    remote::RemoteStats,
};
use std::future::{Ready, ready};

/// What the engine knows of actix-web.
#[derive(Debug, Clone, Copy, Default)]
pub struct Actix;

impl Framework for Actix {
    type Cache = HttpCache;
    const FIELD_COPY: usize = FIELD_COPY;
}

/// Builds an [`HttpCache`]; see [`cache_tower::adapter::HttpCacheBuilder`].
pub type HttpCacheBuilder = adapter::HttpCacheBuilder<Actix>;

/// One HTTP cache for an actix-web service. A cheap handle: clones, and all layers made of it, share one
/// store.
///
/// Build it outside of the closure that makes the `App`, which runs once on each worker: then all workers
/// share what is stored, and the loads that are under way.
///
/// It is itself a middleware, with the policy [`Policy::from_headers`]: it stores what responses say may
/// be stored. [`policy`](Self::policy) makes layers for scopes and resources that say more.
///
/// ```no_run
/// use actix_web::{App, HttpServer, web};
/// use cache_actix::{HttpCache, Policy, minutes};
///
/// # #[actix_web::main] async fn main() -> std::io::Result<()> {
/// let cache = HttpCache::new();
/// HttpServer::new(move || {
///     App::new().wrap(cache.clone()).service(
///         web::resource("/posts")
///             .wrap(cache.policy(Policy::ttl(minutes(5))))
///             .to(async || "read from the database"),
///     )
/// })
/// .bind(("127.0.0.1", 8080))?
/// .run()
/// .await
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct HttpCache(adapter::HttpCache<Actix>);

impl HttpCache {
    /// A cache with the defaults named at the [builder](HttpCacheBuilder)'s setters.
    pub fn new() -> Self {
        Self(adapter::HttpCache::new())
    }

    /// A cache set by the [environment](cache_tower::config): in memory by default, with Redis if
    /// `CACHE_URL` says so and the feature `redis` is on. Each call makes another cache: a service has one, and
    /// clones it.
    ///
    /// # Errors
    ///
    /// As [`Config::from_env`], and where a size has no place in another.
    pub fn from_env() -> Result<Self, cache_tower::Error> {
        adapter::HttpCache::from_env().map(Self)
    }

    /// The same, by settings that were read before.
    ///
    /// # Errors
    ///
    /// Where a size has no place in another.
    pub fn from_config(config: &Config) -> Result<Self, cache_tower::Error> {
        adapter::HttpCache::from_config(config).map(Self)
    }

    /// The settings that it was built from.
    pub fn config(&self) -> Option<&Config> {
        self.0.config()
    }

    /// Begins a cache.
    pub fn builder() -> HttpCacheBuilder {
        adapter::HttpCache::builder()
    }

    /// A layer of this cache with a policy of its own.
    ///
    /// # Panics
    ///
    /// When the policy is impossible, with the words of [`try_policy`](Self::try_policy)'s error:
    /// policies are written in code, where routes are declared.
    pub fn policy(&self, policy: Policy) -> CacheLayer {
        CacheLayer(self.0.policy(policy))
    }

    /// As [`policy`](Self::policy), for policies that are not known to be possible.
    ///
    /// # Errors
    ///
    /// [`is_config`](cache_tower::Error::is_config), naming each setting that cannot work and what is
    /// accepted.
    pub fn try_policy(&self, policy: Policy) -> Result<CacheLayer, cache_tower::Error> {
        self.0.try_policy(policy).map(CacheLayer)
    }

    /// Something to purge with, to keep where no request is at hand.
    pub fn purger(&self) -> Purger {
        self.0.purger()
    }

    /// The counts so far, and what is held now.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// Sets the gauges of the metrics to what is so now. Requests do so about once a second; whoever is about
    /// to read the metrics may do so just before. Without the feature `metrics` nothing is done.
    pub fn measure(&self) {
        self.0.measure();
    }

    /// How the remote tier is; `None` where there is none.
    pub fn remote_stats(&self) -> Option<RemoteStats> {
        self.0.remote_stats()
    }
}

impl Default for HttpCache {
    fn default() -> Self {
        Self::new()
    }
}

impl From<adapter::HttpCache<Actix>> for HttpCache {
    fn from(cache: adapter::HttpCache<Actix>) -> Self {
        Self(cache)
    }
}

/// Caches the responses of what it wraps, under one policy. Made by [`HttpCache::policy`]; all layers of
/// one cache share its store.
///
/// It wraps an `App`, a `web::scope`, a `web::resource` or, by a macro's `wrap = "…"`, a single route.
/// Layers of one cache may lie within each other: the innermost decides, nothing is stored twice, and each
/// layer gives only what it stored itself. Layers whose policies are equal count as one, as those
/// that each worker makes for itself.
#[derive(Debug, Clone)]
#[must_use = "a layer does nothing until it wraps something"]
pub struct CacheLayer(adapter::CacheLayer<Actix>);

impl CacheLayer {
    /// A layer of a cache of its own, with all defaults: it stores what responses say may be stored. Made
    /// within the closure that makes the `App`, each worker has one for itself.
    pub fn in_memory() -> Self {
        Self(adapter::CacheLayer::in_memory())
    }

    /// A layer of a cache of its own, set by the [environment](cache_tower::config). Make it outside of the
    /// closure that makes the `App`, and clone it: made within, each worker has a cache for itself.
    ///
    /// For a service that needs just this. Beside an [`HttpCache`] with policies it would be a second cache, with
    /// as much memory again, that no purge of the other reaches: there that cache is itself the middleware for all
    /// else.
    ///
    /// # Errors
    ///
    /// As [`Config::from_env`], and where a size has no place in another.
    pub fn from_env() -> Result<Self, cache_tower::Error> {
        adapter::CacheLayer::from_env().map(Self)
    }

    /// The same, by settings that were read before.
    ///
    /// # Errors
    ///
    /// Where a size has no place in another.
    pub fn from_config(config: &Config) -> Result<Self, cache_tower::Error> {
        adapter::CacheLayer::from_config(config).map(Self)
    }
}

fn transform<S>(engine: Engine, service: S) -> Ready<Result<CacheService<S>, ()>> {
    ready(Ok(CacheService::new(service, engine)))
}

impl<S, B> Transform<S, ServiceRequest> for HttpCache
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<ResponseBody<B>>;
    type Error = Error;
    type Transform = CacheService<S>;
    type InitError = ();
    type Future = Ready<Result<CacheService<S>, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        transform(self.0.engine(), service)
    }
}

impl<S, B> Transform<S, ServiceRequest> for CacheLayer
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<ResponseBody<B>>;
    type Error = Error;
    type Transform = CacheService<S>;
    type InitError = ();
    type Future = Ready<Result<CacheService<S>, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        transform(self.0.engine(), service)
    }
}
