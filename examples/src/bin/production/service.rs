//! The service, and what the cache adds: one `Config` for a cache of responses, with policies on routes, and
//! for a cache of values behind a handler.
//!
//! What policies say is for those who know the service. Who runs it changes lifetimes by class
//! (`CACHE_TTL_CONFIG=300`, `CACHE_TTL_SESSION=86400`) and single routes by `CACHE_ROUTES`.

use crate::shop::{Cart, Shop};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use cache_axum::{
    Config, Error, HttpCache, Policy, Purge, hours, minutes,
    remote::RemoteStats,
    typed::{self, Cache, config::Tiers},
};
use std::sync::Arc;
use tracing::warn;

/// The names that metrics and Cache-Status know them by.
pub(crate) const RESPONSES: &str = "responses";
pub(crate) const CARTS: &str = "carts";

/// A heavier cart is loaded each time.
const HEAVIEST_CART: u64 = 16 * 1024;

/// All caches of this process.
#[derive(Clone)]
pub(crate) struct Caches {
    pub(crate) responses: HttpCache,
    pub(crate) carts: Cache<Cart>,
}

impl Caches {
    fn new(config: &Config) -> Result<Self, Error> {
        let session = typed::Policy::ttl(hours(24)).class("session");
        // By its length as JSON, for a cart has no size of its own: `size_of_val` sees no items.
        let carts = Cache::builder(CARTS).policy(session).codec(typed::Json);
        Ok(Self {
            responses: HttpCache::builder()
                .name(RESPONSES)
                .from_config(config)
                .build()?,
            carts: carts.max_entry(HEAVIEST_CART).from_config(config).build()?,
        })
    }

    /// Sets the gauges.
    pub(crate) fn measure(&self) {
        self.responses.measure();
        self.carts.measure();
    }

    /// Whether they hold anything in this process.
    pub(crate) fn keep_in_memory(&self) -> bool {
        let tiers = self.responses.config().and_then(|config| config.tiers());
        tiers != Some(Tiers::Redis)
    }

    pub(crate) fn remote_stats(&self) -> Vec<RemoteStats> {
        let stats = [self.responses.remote_stats(), self.carts.remote_stats()];
        stats.into_iter().flatten().collect()
    }

    /// Whether the background still has something to write to Redis.
    pub(crate) fn has_pending(&self) -> bool {
        let up = |it: &RemoteStats| it.health.is_up() && it.pending.0 > 0;
        self.remote_stats().iter().any(up)
    }
}

pub(crate) fn routes(shop: &Arc<Shop>, config: &Config) -> Result<(Router, Caches), Error> {
    let caches = Caches::new(config)?;
    let cache = &caches.responses;
    let user = Policy::ttl(hours(1))
        .stale_if_error(minutes(10))
        .group("user:{id}");
    let orders = Policy::ttl(minutes(5)).group("user:{id}");
    let config = Policy::ttl(minutes(5))
        .stale_while_revalidate(minutes(1))
        .class("config");

    let user = get(show_user).put(rename_user).layer(cache.policy(user));
    let orders = get(list_orders).layer(cache.policy(orders));
    let features = get(show_features).layer(cache.policy(config));
    // By what its responses say.
    let report = get(show_report).layer(cache.clone());
    let app = Router::new()
        .route("/users/{id}", user)
        .route("/users/{id}/orders", orders)
        .route("/features", features)
        .route("/reports/{id}", report)
        .route("/users/{id}/cart", get(show_cart).post(add_to_cart))
        .with_state((Arc::clone(shop), caches.carts.clone()));
    Ok((app, caches))
}

type Shared = State<(Arc<Shop>, Cache<Cart>)>;

async fn show_user(State((shop, _)): Shared, Path(id): Path<u64>) -> String {
    shop.name_of(id)
}

async fn rename_user(
    State((shop, _)): Shared,
    purge: Purge,
    Path(id): Path<u64>,
    name: String,
) -> StatusCode {
    // A client that leaves ends its handler. What is saved must be purged all the same.
    to_the_end(async move {
        shop.rename(id, name);
        purge.group(format!("user:{id}")).await;
        StatusCode::NO_CONTENT
    })
    .await
}

async fn list_orders(State((shop, _)): Shared, Path(id): Path<u64>) -> String {
    shop.orders_of(id)
}

async fn show_features(State((shop, _)): Shared) -> &'static str {
    shop.features()
}

async fn show_report(State((shop, _)): Shared, Path(id): Path<u64>) -> impl IntoResponse {
    (
        [(header::CACHE_CONTROL, "max-age=60")],
        shop.report(id).await,
    )
}

/// No layer is before this: who sees it is decided here, and what is dear is the cart.
async fn show_cart(
    State((shop, carts)): Shared,
    Path(id): Path<u64>,
) -> Result<impl IntoResponse, StatusCode> {
    let cart = carts.get_or_load(&id, async || shop.cart_of(id)).await;
    let cart = cart.map_err(|error| {
        warn!(%error, "no cart");
        StatusCode::SERVICE_UNAVAILABLE
    })?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json((*cart).clone())))
}

async fn add_to_cart(
    State((shop, carts)): Shared,
    Path(id): Path<u64>,
    item: String,
) -> StatusCode {
    to_the_end(async move {
        shop.add_to_cart(id, item);
        carts.invalidate(&id).await;
        StatusCode::CREATED
    })
    .await
}

async fn to_the_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    tokio::spawn(work).await.expect("the work does not panic")
}
