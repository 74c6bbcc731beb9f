//! The service, as it would be without a cache, and what makes a fleet of it share one: a URL, for the
//! responses and for the values that it keeps.

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use cache_axum::{
    Error, HttpCache, Policy, minutes, remote::RemoteSettings, seconds, typed, typed::Cache,
};
use std::{
    collections::HashMap,
    process,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::sleep;

pub(crate) type Rates = Cache<u64>;

pub(crate) fn routes(shop: &Arc<Shop>, url: &str) -> Result<(Router, HttpCache, Rates), Error> {
    // What is shown here is counted: it has patience with a busy machine. A service keeps the default
    // of 20 ms, and goes on by itself when Redis takes longer.
    let patient = RemoteSettings::new().budget(seconds(1));
    let cache = HttpCache::builder()
        .remote(url)
        .remote_settings(patient)
        .build()?;
    let rates = Cache::builder(&shop.name)
        .policy(typed::Policy::ttl(minutes(5)))
        .remote(url)
        .remote_settings(patient)
        .build()?;

    let article = get(show_article).put(change_article);
    let article = article.layer(cache.policy(Policy::ttl(minutes(5))));
    let app = Router::new()
        .route("/articles/{id}", article)
        .route("/rates/{currency}", get(show_rate))
        .with_state((Arc::clone(shop), rates.clone()));
    Ok((app, cache, rates))
}

type Shared = State<(Arc<Shop>, Rates)>;

async fn show_article(State((shop, _)): Shared, Path(id): Path<u32>) -> String {
    shop.article(id).await
}

/// A successful PUT invalidates what is stored for its URL: here and in every other instance.
async fn change_article(State((shop, _)): Shared, Path(id): Path<u32>, text: String) -> StatusCode {
    shop.change(id, text);
    StatusCode::NO_CONTENT
}

async fn show_rate(
    State((shop, rates)): Shared,
    Path(currency): Path<String>,
) -> Result<String, StatusCode> {
    let rate = rates.get_or_load(&currency, || shop.rate()).await;
    rate.map(|rate| rate.to_string())
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

/// What all instances have in common, as a database is.
pub(crate) struct Shop {
    /// Of this run alone: what an earlier one left in a Redis is not for it.
    name: String,
    host: String,
    articles: Mutex<HashMap<u32, String>>,
    calls: AtomicUsize,
}

impl Shop {
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let run = now.map_or(0, |now| now.as_millis()) + u128::from(process::id());
        Self {
            name: format!("rates-{run}"),
            host: format!("shop-{run}.example"),
            articles: Mutex::default(),
            calls: AtomicUsize::new(0),
        }
    }

    /// The name that clients know all instances by. It is part of what a response is stored under.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// How often it was asked.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn article(&self, id: u32) -> String {
        let text = {
            let articles = self.articles.lock();
            let articles = articles.unwrap_or_else(PoisonError::into_inner);
            articles.get(&id).cloned()
        };
        self.take_time().await;
        text.unwrap_or_else(|| format!("article {id}"))
    }

    fn change(&self, id: u32, text: String) {
        let articles = self.articles.lock();
        articles
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, text);
    }

    async fn rate(&self) -> Result<u64, std::convert::Infallible> {
        self.take_time().await;
        Ok(1_087)
    }

    async fn take_time(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        sleep(Duration::from_millis(100)).await;
    }
}
