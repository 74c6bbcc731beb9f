use super::CacheService;
use crate::{
    adapter::Engine,
    config::Config,
    engine::{Choice, Shared},
    policy::Policy,
    routing::Framework,
};
use cache_core::Error;
use std::{fmt, marker::PhantomData, sync::Arc};
use tower_layer::Layer;

/// Caches the responses of the services it wraps, under one policy. Made by
/// [`HttpCache::policy`](crate::adapter::HttpCache::policy); all layers of one cache share its store.
///
/// Layers of one cache may lie within each other. The innermost decides, nothing is stored twice, and
/// each layer gives only what it stored itself: a guard between two layers is never passed by. Layers side
/// by side whose policies are equal count as one.
#[must_use = "a layer does nothing until it is put before a service"]
pub struct CacheLayer<R> {
    shared: Arc<Shared>,
    choice: Arc<Choice>,
    routing: PhantomData<fn() -> R>,
}

impl<R> CacheLayer<R> {
    pub(super) fn new(shared: Arc<Shared>, policy: Policy) -> Self {
        Self {
            choice: Arc::new(Choice::new(&shared, policy)),
            shared,
            routing: PhantomData,
        }
    }
}

impl<R: Framework> CacheLayer<R> {
    /// A layer of a cache of its own, with all defaults: it stores what responses say may be stored.
    pub fn in_memory() -> Self {
        let cache = super::HttpCache::<R>::new();
        Self::new(Arc::clone(&cache.shared), Policy::from_headers())
    }

    /// A layer of a cache of its own, set by the [environment](crate::config): in memory by default, with
    /// Redis if `CACHE_URL` says so. It stores what responses say may be stored.
    ///
    /// For a service that needs just this. Beside an [`HttpCache`](crate::adapter::HttpCache) with policies on
    /// routes it would be a second cache, with as much memory again, that no purge of the other reaches: there
    /// that cache is itself the layer for all else.
    ///
    /// # Errors
    ///
    /// As [`Config::from_env`], and where a size has no place in another.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_config(&Config::from_env()?)
    }

    /// The same, by settings that were read before.
    ///
    /// # Errors
    ///
    /// Where a size has no place in another.
    pub fn from_config(config: &Config) -> Result<Self, Error> {
        super::HttpCache::<R>::from_config(config).map(|cache| cache.into_layer())
    }
}

impl<R> CacheLayer<R> {
    /// For adapters: what drives requests by the policy of this layer.
    pub fn engine(&self) -> Engine {
        Engine::new(Arc::clone(&self.shared), Arc::clone(&self.choice))
    }
}

impl<R> Clone for CacheLayer<R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            choice: Arc::clone(&self.choice),
            routing: PhantomData,
        }
    }
}

impl<R> fmt::Debug for CacheLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("policy", self.choice.usual())
            .finish_non_exhaustive()
    }
}

impl<S, R> Layer<S> for CacheLayer<R> {
    type Service = CacheService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        CacheService::new(inner, Arc::clone(&self.shared), Arc::clone(&self.choice))
    }
}
