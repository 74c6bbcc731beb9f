//! Readiness: hits need nothing of the service behind.

use crate::support::*;
use cache_tower::{HttpCache, Policy, minutes};
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use std::{convert::Infallible, future::Future, task::Poll};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, service_fn};

type Body = Full<bytes::Bytes>;

#[tokio::test(start_paused = true)]
async fn asy_40_a_hit_is_given_while_the_service_behind_is_saturated() {
    let gate = Gate::default();
    let inner = service_fn({
        let gate = gate.clone();
        move |request: Req| {
            let gate = gate.clone();
            async move {
                if request.uri().path() == "/slow" {
                    gate.pass().await;
                }
                Ok::<_, Infallible>(Response::new(Body::from("x")))
            }
        }
    });
    let cache = HttpCache::new();
    let service = ServiceBuilder::new()
        .layer(cache.policy(Policy::ttl(minutes(5))))
        .layer(ConcurrencyLimitLayer::new(1))
        .service(inner);
    service.clone().oneshot(get("/stored")).await.unwrap();
    let busy = tokio::spawn(service.clone().oneshot(get("/slow")));
    settle().await;
    let hit = service
        .clone()
        .oneshot(get("/stored"))
        .now_or_never()
        .expect("it waits for nothing");
    assert!(
        hit.unwrap().headers()["cache-status"]
            .to_str()
            .unwrap()
            .contains(";hit;")
    );
    let cold = service.clone().oneshot(get("/cold"));
    let mut cold = std::pin::pin!(cold);
    assert!(
        cold.as_mut().now_or_never().is_none(),
        "a miss waits for its permit"
    );
    gate.open();
    busy.await.unwrap().unwrap();
    cold.await.unwrap();
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_30_the_inner_service_is_made_ready_where_it_is_called_and_its_errors_pass() {
    let (mock, mut handle) = tower_test::mock::pair::<Req, Response<Body>>();
    let cache = HttpCache::new();
    let mut service = cache.policy(Policy::ttl(minutes(5))).layer(mock);
    handle.allow(0);
    assert!(
        matches!(futures_util::poll!(service.ready()), Poll::Ready(Ok(_))),
        "always ready"
    );
    let mut miss = std::pin::pin!(service.call(get("/")));
    assert!(futures_util::poll!(miss.as_mut()).is_pending());
    assert!(
        futures_util::poll!(std::pin::pin!(handle.next_request())).is_pending(),
        "not before it is ready"
    );
    handle.allow(1);
    assert!(futures_util::poll!(miss.as_mut()).is_pending());
    let (_, reply) = handle.next_request().await.unwrap();
    reply.send_response(Response::new(Body::from("x")));
    assert_eq!(read(miss.await.unwrap()).await.unwrap().body, "x");

    handle.send_error("out of order");
    let hit = service.clone().oneshot(get("/")).await.unwrap();
    assert_eq!(
        read(hit).await.unwrap().body,
        "x",
        "a hit does not ask whether it is ready"
    );
    let error = service.clone().oneshot(get("/other")).await.unwrap_err();
    assert_eq!(error.to_string(), "out of order");
    handle.send_error("out of order");
    let error = service
        .clone()
        .oneshot(Request::post("http://test/").body(Empty::new()).unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "out of order");
    check(&cache);
}

fn assert_send<F: Future + Send>(future: F) -> F {
    future
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_not_sync_are_accepted() {
    use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
    type Unsync = UnsyncBoxBody<bytes::Bytes, Infallible>;
    let inner = service_fn(|_: Request<Unsync>| async {
        Ok::<_, Infallible>(Response::new(Unsync::new(
            Body::from("x").map_err(|never| match never {}),
        )))
    });
    let cache = HttpCache::new();
    let service = cache.policy(Policy::ttl(minutes(5))).layer(inner);
    let request = || {
        Request::get("http://test/")
            .body(Unsync::new(Empty::new()))
            .unwrap()
    };
    for _ in 0..2 {
        let response = assert_send(service.clone().oneshot(request()))
            .await
            .unwrap();
        assert_eq!(read(response).await.unwrap().body, "x");
    }
    assert_eq!(cache.stats().hits, 1);
}
