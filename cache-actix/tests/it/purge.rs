//! Purging from handlers.

use crate::support::{Calls, get, send, settled};
use actix_web::{
    App, HttpResponse,
    http::StatusCode,
    test::{TestRequest, init_service},
    web,
};
use cache_actix::{HttpCache, Policy, Purge, minutes};
use std::sync::Arc;

type Counted = web::Data<Arc<Calls>>;

async fn purge(purge: Purge, what: web::Path<String>) -> HttpResponse {
    match what.as_str() {
        "path" => {
            if purge.path("no path").await.is_ok() {
                return HttpResponse::InternalServerError().finish();
            }
            purge.path("/page?q").await.unwrap();
        }
        "uri" => {
            purge
                .uri(&"http://example.test/page?q".parse().unwrap())
                .await
        }
        "group" => purge.group("pages").await,
        _ => purge.all().await,
    }
    HttpResponse::NoContent().finish()
}

#[actix_web::test]
async fn handlers_purge_by_path_uri_group_and_all() {
    let (cache, calls) = (HttpCache::new(), Arc::new(Calls::default()));
    let page = async |calls: Counted| calls.next().to_string();
    let app = init_service(
        App::new()
            .app_data(Counted::new(calls.clone()))
            .wrap(cache.policy(Policy::ttl(minutes(5)).group("pages")))
            .route("/page", web::get().to(page))
            .route("/purge/{what}", web::post().to(purge)),
    )
    .await;
    let mut call = 0;
    for what in ["path", "uri", "group", "all"] {
        call += 1;
        for _ in 0..2 {
            assert_eq!(
                get(&app, "/page?q").await.body,
                call.to_string(),
                "before {what}"
            );
        }
        let done = send(&app, TestRequest::post().uri(&format!("/purge/{what}"))).await;
        assert_eq!(done.status, StatusCode::NO_CONTENT, "{what}");
    }
    assert_eq!(get(&app, "/page?q").await.body, "5");
    settled(&cache, 13).await;
}

#[actix_web::test]
async fn the_purger_is_that_of_the_nearest_layer() {
    let (near, far) = (HttpCache::new(), HttpCache::new());
    let calls = Counted::new(Arc::new(Calls::default()));
    let page = async |calls: Counted| calls.next().to_string();
    let app = init_service(
        App::new()
            .app_data(calls)
            .wrap(far.policy(Policy::ttl(minutes(5))))
            .service(
                web::scope("")
                    .wrap(near.policy(Policy::ttl(minutes(5))))
                    .route("/page", web::get().to(page))
                    .route("/purge/{what}", web::post().to(purge)),
            ),
    )
    .await;
    get(&app, "/page").await;
    send(&app, TestRequest::post().uri("/purge/all")).await;
    assert_eq!((near.stats().entries, far.stats().entries), (0, 1));
    assert!(
        get(&app, "/page").await.is_hit(),
        "the farther one keeps what it has"
    );
    settled(&far, 3).await;
}

#[actix_web::test]
async fn without_a_layer_the_request_is_rejected_with_what_to_do() {
    let optional = async |purge: Option<Purge>| purge.is_some().to_string();
    let app = init_service(
        App::new()
            .route("/purge/{what}", web::post().to(purge))
            .route("/optional", web::get().to(optional)),
    )
    .await;
    let answer = send(&app, TestRequest::post().uri("/purge/all")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(
        answer.body.contains(".wrap(cache.policy(…))"),
        "{}",
        answer.body
    );
    assert_eq!(get(&app, "/optional").await.body, "false");
}
