//! HTTP caching as a Tower layer.

mod future;
mod handle;
mod layer;
mod service;

pub use future::ResponseFuture;
pub use handle::{HttpCache, HttpCacheBuilder};
pub use layer::CacheLayer;
pub use service::CacheService;
