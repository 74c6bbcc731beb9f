//! Routes that are declared by attributes.

use crate::support::{Calls, get, send, settled};
use actix_web::{
    App, get as on_get, route,
    test::{TestRequest, init_service},
    web,
};
use cache_actix::{CacheLayer, HttpCache, Policy, Purge, minutes};
use std::sync::LazyLock;

static CACHE: LazyLock<HttpCache> = LazyLock::new(HttpCache::new);
static CALLS: LazyLock<Calls> = LazyLock::new(Calls::default);

fn users() -> CacheLayer {
    CACHE.policy(Policy::ttl(minutes(5)).group("user:{id}"))
}

#[on_get("/users/{id}", wrap = "users()")]
async fn show(id: web::Path<String>) -> String {
    format!("user {id}: {}", CALLS.next())
}

#[route("/both/{id}", method = "GET", method = "PUT", wrap = "users()")]
async fn both(id: web::Path<String>, purge: Purge, request: actix_web::HttpRequest) -> String {
    if request.method() == actix_web::http::Method::PUT {
        purge.group(format!("user:{id}")).await;
    }
    format!("both {id}: {}", CALLS.next())
}

#[actix_web::test]
async fn a_route_of_an_attribute_has_a_layer_of_its_own() {
    let app = init_service(App::new().service(show).service(both)).await;
    for _ in 0..2 {
        assert_eq!(get(&app, "/users/1").await.body, "user 1: 1");
        assert_eq!(get(&app, "/both/1").await.body, "both 1: 2");
    }
    send(&app, TestRequest::put().uri("/both/1")).await;
    assert_eq!(get(&app, "/users/1").await.body, "user 1: 4");
    assert_eq!(get(&app, "/both/1").await.body, "both 1: 5");
    settled(&CACHE, 7).await;
}
