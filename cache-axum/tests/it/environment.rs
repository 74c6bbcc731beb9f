//! What an operator says by the environment, of routes that axum matched.

use axum::{Router, body::Body, extract::Path, routing::get};
use cache_axum::{CacheLayer, Config, HttpCache, Policy, Purge, hours};
use http::Request;
use http_body_util::BodyExt;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use tower::{Layer, Service, ServiceExt};

fn config(vars: &[(&str, &str)]) -> Config {
    Config::from_vars(vars.iter().copied()).unwrap()
}

fn cache(routes: &str) -> HttpCache {
    HttpCache::from_config(&config(&[("CACHE_ROUTES", routes)])).unwrap()
}

/// Handlers that say how often one was called.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn router(&self) -> Router {
        let counted = || {
            let calls = self.clone();
            move || async move { (calls.0.fetch_add(1, SeqCst) + 1).to_string() }
        };
        let purge = |purge: Purge, Path(id): Path<u64>| async move {
            purge.group(format!("user:{id}")).await;
        };
        Router::new()
            .route("/users/{user}", get(counted()))
            .route("/users/me", get(counted()))
            .route("/posts", get(counted()))
            .route("/admin/{*rest}", get(counted()))
            .route("/purge/{id}", get(purge))
    }
}

/// A service of whichever layers, in one type.
fn app<S>(service: S) -> Router
where
    S: Service<Request<Body>, Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
    S::Response: axum::response::IntoResponse,
    S::Future: Send,
{
    Router::new().fallback_service(service)
}

async fn body(app: &Router, path: &str) -> String {
    let request = Request::get(format!("http://test{path}"));
    let request = request.body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

async fn keeps(app: &Router, path: &str) -> bool {
    body(app, path).await == body(app, path).await
}

const ROUTES: &str = "/users/{id} ttl=1h group=user:{id}; /admin/* off; /posts query=page";

#[tokio::test]
async fn a_line_is_of_the_matched_route_for_layers_behind_the_routing() {
    let app = Calls::default().router().layer(cache(ROUTES));
    assert!(keeps(&app, "/users/1").await);
    assert!(!keeps(&app, "/users/me").await, "a route of its own");
}

#[tokio::test]
async fn within_a_nest_the_matched_route_is_the_whole_one() {
    let (short, whole) = (ROUTES, "/api/users/{id} ttl=1h");
    for (routes, is_of_it) in [(short, false), (whole, true)] {
        let (inner, outer) = (cache(routes), cache(routes));
        for app in [
            Router::new().nest("/api", Calls::default().router().layer(inner)),
            Router::new()
                .nest("/api", Calls::default().router())
                .layer(outer),
        ] {
            assert_eq!(keeps(&app, "/api/users/1").await, is_of_it, "{routes}");
            assert!(!keeps(&app, "/api/users/me").await);
        }
    }
}

#[tokio::test]
async fn a_line_goes_before_the_policy_of_its_route() {
    let cache = cache(ROUTES);
    let long = || cache.policy(Policy::ttl(hours(9)));
    let app = Calls::default().router().layer(long());
    assert!(
        keeps(&app, "/users/me").await,
        "what no line names is the code's"
    );
    assert!(!keeps(&app, "/admin/users").await);
    assert_eq!(
        body(&app, "/posts?page=1&x=1").await,
        body(&app, "/posts?page=1&x=2").await
    );
    assert_ne!(
        body(&app, "/posts?page=1").await,
        body(&app, "/posts?page=2").await
    );
    // The line calls the parameter otherwise than the route does: both names are good.
    let first = body(&app, "/users/7").await;
    assert_eq!(body(&app, "/users/7").await, first);
    body(&app, "/purge/7").await;
    assert_ne!(body(&app, "/users/7").await, first);
}

#[tokio::test]
async fn a_line_is_of_the_path_for_a_layer_around_the_router() {
    let cache = cache(ROUTES);
    let app = app(cache.layer(Calls::default().router()));
    assert!(keeps(&app, "/users/1").await);
    assert!(keeps(&app, "/users/me").await, "nothing is matched yet");
    assert!(!keeps(&app, "/admin/users").await && !keeps(&app, "/posts").await);
    let exact = self::cache(&format!("{ROUTES}; /users/me off"));
    let app = self::app(exact.layer(Calls::default().router()));
    assert!(keeps(&app, "/users/1").await && !keeps(&app, "/users/me").await);
}

#[tokio::test]
async fn a_layer_from_the_environment_is_safe_as_it_stands() {
    let app = Calls::default()
        .router()
        .layer(CacheLayer::from_env().unwrap());
    assert!(
        !keeps(&app, "/users/1").await,
        "a response that says nothing is not stored"
    );
    let off = CacheLayer::from_config(&config(&[("CACHE_ENABLED", "false")])).unwrap();
    let app = Calls::default().router().layer(off);
    let request = Request::get("http://test/users/1")
        .body(Body::empty())
        .unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert!(!response.headers().contains_key("cache-status"));
}

#[tokio::test]
async fn what_is_off_is_so_on_a_route_that_takes_more() {
    let calls = Calls::default();
    let count = move || async move { (calls.0.fetch_add(1, SeqCst) + 1).to_string() };
    let long = cache("/admin/* off").policy(Policy::ttl(hours(9)));
    let app = Router::new()
        .route("/{section}/{page}", get(count))
        .layer(long);
    assert!(!keeps(&app, "/admin/users").await);
    assert!(keeps(&app, "/posts/1").await);
}
