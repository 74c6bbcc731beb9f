//! Beside the service: a switch that makes its database fail, and the counts of its cache.

use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    routing::{get, put},
};
use cache_axum::HttpCache;
use examples::quickstart::{Counts, Database};

pub(crate) fn routes(database: Database, cache: HttpCache) -> Router {
    let switch = |Path(state): Path<String>| async move {
        match state.as_str() {
            "on" => database.set_failing(false),
            "failing" => database.set_failing(true),
            _ => return StatusCode::NOT_FOUND,
        }
        StatusCode::NO_CONTENT
    };
    let counts = || async move { Counts(cache.stats()).to_string() };
    Router::new()
        .route("/admin/database/{state}", put(switch))
        .route("/admin/cache", get(counts))
}
