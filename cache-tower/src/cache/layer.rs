use super::CacheService;
use crate::{adapter::Engine, engine::Shared, policy::Policy, routing::Framework};
use std::{fmt, marker::PhantomData, sync::Arc};
use tower_layer::Layer;

/// Caches the responses of the services it wraps, under one policy. Made by
/// [`HttpCache::policy`](crate::adapter::HttpCache::policy); all layers of one cache share its store.
///
/// Layers of one cache may lie within each other. The innermost decides, nothing is stored twice, and
/// each layer gives only what it stored itself: a guard between two layers is never passed by. Layers side
/// by side whose policies are equal count as one.
pub struct CacheLayer<R> {
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    routing: PhantomData<fn() -> R>,
}

impl<R> CacheLayer<R> {
    pub(super) fn new(shared: Arc<Shared>, policy: Policy) -> Self {
        Self {
            policy: shared.policies.one(policy),
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
}

impl<R> CacheLayer<R> {
    /// For adapters: what drives requests by the policy of this layer.
    pub fn engine(&self) -> Engine {
        Engine::new(Arc::clone(&self.shared), Arc::clone(&self.policy))
    }
}

impl<R> Clone for CacheLayer<R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            policy: Arc::clone(&self.policy),
            routing: PhantomData,
        }
    }
}

impl<R> fmt::Debug for CacheLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl<S, R> Layer<S> for CacheLayer<R> {
    type Service = CacheService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        CacheService::new(inner, Arc::clone(&self.shared), Arc::clone(&self.policy))
    }
}
