//! What those who run the service ask it, on routes that no cache is before. They are for the network of the
//! machines: do not let them through to the world.

use crate::service::Caches;
use axum::{Json, Router, extract::State, http::header, response::IntoResponse, routing::get};
use cache_axum::remote::{RemoteStats, State as Link};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) fn routes(caches: &Caches, recorder: &PrometheusHandle) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        // That it answers is the answer: a restart would mend nothing else.
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(readiness))
        .with_state((caches.clone(), recorder.clone()))
}

type Shared = State<(Caches, PrometheusHandle)>;

async fn metrics(State((caches, recorder)): Shared) -> impl IntoResponse {
    caches.measure();
    ([(header::CONTENT_TYPE, TEXT)], recorder.render())
}

/// Always 200: without Redis each process is by itself again and still answers, so to take it away from its
/// clients would make an outage of a slow hour.
async fn readiness(State((caches, _)): Shared) -> Json<Readiness> {
    Json(Readiness::of(&caches.remote_stats()))
}

/// How well it serves.
#[derive(Serialize, Debug, PartialEq, Eq)]
struct Readiness {
    status: &'static str,
    /// In words, which the cache has cleared of secrets.
    missing: Vec<String>,
}

impl Readiness {
    /// By the tiers that its caches share with others; none where they share nothing.
    fn of(tiers: &[RemoteStats]) -> Self {
        let mut missing: Vec<String> = tiers.iter().flat_map(missing).collect();
        // They have one Redis in common.
        missing.sort();
        missing.dedup();
        let status = if missing.is_empty() { "ok" } else { "degraded" };
        Self { status, missing }
    }
}

fn missing(tier: &RemoteStats) -> Vec<String> {
    match &tier.health.state {
        Link::Down(reason) => vec![format!("Redis is away: {reason}")],
        Link::Up if !tier.is_coherent => vec!["Redis tells of no changes".to_owned()],
        Link::Up => tier.health.degraded.clone(),
        _ => vec!["Redis is not connected yet".to_owned()],
    }
}
