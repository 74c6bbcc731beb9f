//! Beside other middleware and services: compression within and around, files, websockets.

use crate::support::{Calls, eventually, get, send, settled};
use actix_web::{
    App, Error, HttpResponse,
    body::BoxBody,
    dev::ServiceRequest,
    error::ErrorGatewayTimeout,
    http::{StatusCode, header},
    middleware::{Compress, Condition, Next, from_fn},
    rt::spawn,
    test::{TestRequest, init_service, try_call_service},
    web,
};
use cache_actix::{HttpCache, Policy, minutes};
use futures_util::{SinkExt, StreamExt};
use std::{fs, rc::Rc, sync::Arc};
use tokio::sync::{Notify, Semaphore};

type Counted = web::Data<Arc<Calls>>;

async fn page(calls: Counted) -> HttpResponse {
    calls.next();
    let text = "long enough to be worth compressing, ".repeat(50);
    HttpResponse::Ok().content_type("text/plain").body(text)
}

fn policy() -> Policy {
    Policy::ttl(minutes(5))
}

fn gzip(coding: &'static str) -> TestRequest {
    TestRequest::get().insert_header((header::ACCEPT_ENCODING, coding))
}

#[actix_web::test]
async fn what_is_compressed_within_is_stored_for_each_coding() {
    let (cache, calls) = (HttpCache::new(), Counted::new(Arc::new(Calls::default())));
    let app = init_service(
        App::new()
            .app_data(calls.clone())
            .wrap(Compress::default())
            .wrap(cache.policy(policy()))
            .route("/", web::get().to(page)),
    )
    .await;
    let mut bodies = Vec::new();
    for coding in ["gzip", "identity", "gzip", "identity"] {
        let request = gzip(coding).insert_header(("host", "example.test"));
        let response = actix_web::test::call_service(&app, request.to_request()).await;
        let coded = response.headers().get(header::CONTENT_ENCODING).cloned();
        assert_eq!(coded.is_some_and(|coded| coded == "gzip"), coding == "gzip");
        bodies.push(
            actix_web::body::to_bytes(response.into_body())
                .await
                .unwrap_or_default(),
        );
    }
    assert!(!bodies[0].is_empty() && bodies[0].len() < bodies[1].len());
    assert_eq!((&bodies[0], &bodies[1]), (&bodies[2], &bodies[3]));
    assert_eq!((calls.so_far(), cache.stats().hits), (2, 2));
    settled(&cache, 4).await;
}

#[actix_web::test]
async fn what_is_compressed_around_is_stored_once_as_it_is() {
    let (cache, calls) = (HttpCache::new(), Counted::new(Arc::new(Calls::default())));
    let app = init_service(
        App::new()
            .app_data(calls.clone())
            .wrap(cache.policy(policy()))
            .wrap(Compress::default())
            .route("/", web::get().to(page)),
    )
    .await;
    for coding in ["gzip", "identity", "gzip"] {
        let request = gzip(coding).insert_header(("host", "example.test"));
        let response = actix_web::test::call_service(&app, request.to_request()).await;
        let is_coded = response.headers().contains_key(header::CONTENT_ENCODING);
        assert_eq!(is_coded, coding == "gzip");
        let declared = response.headers().contains_key(header::CONTENT_LENGTH);
        assert!(
            !declared,
            "the length of the page is not that of its coding"
        );
        let body = actix_web::body::to_bytes(response.into_body()).await;
        let length = body.map_or(0, |body| body.len());
        assert_eq!(length < 1000, is_coded, "{length}");
    }
    assert_eq!((calls.so_far(), cache.stats().entries), (1, 1));
    settled(&cache, 3).await;
}

#[actix_web::test]
async fn files_are_stored_validated_and_cut() {
    let directory = std::env::temp_dir().join(format!("cache-actix-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("page.txt"), "0123456789").unwrap();
    let cache = HttpCache::new();
    let app = init_service(
        App::new().service(
            web::scope("/files")
                .wrap(cache.policy(policy()))
                .service(actix_files::Files::new("/", &directory)),
        ),
    )
    .await;
    let first = get(&app, "/files/page.txt").await;
    assert_eq!(
        (first.status, first.body.as_str()),
        (StatusCode::OK, "0123456789")
    );
    // From here on it is the store that answers.
    fs::remove_dir_all(&directory).unwrap();
    let hit = get(&app, "/files/page.txt").await;
    assert_eq!((hit.body.as_str(), hit.is_hit()), ("0123456789", true));
    assert_eq!(hit.header("etag"), first.header("etag"));
    let ask = |name: header::HeaderName, value: &str| {
        let request = TestRequest::get().uri("/files/page.txt");
        send(&app, request.insert_header((name, value)))
    };
    let part = ask(header::RANGE, "bytes=2-4").await;
    assert_eq!(
        (part.status, part.body.as_str()),
        (StatusCode::PARTIAL_CONTENT, "234")
    );
    let unchanged = ask(header::IF_NONE_MATCH, first.header("etag")).await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
    assert_eq!(
        get(&app, "/files/none.txt").await.status,
        StatusCode::NOT_FOUND
    );
    settled(&cache, 5).await;
}

#[actix_web::test]
async fn a_websocket_works_through_layers_and_nothing_of_it_is_stored() {
    async fn echo(
        request: actix_web::HttpRequest,
        body: web::Payload,
    ) -> actix_web::Result<HttpResponse> {
        let (response, mut session, mut messages) = actix_ws::handle(&request, body)?;
        spawn(async move {
            while let Some(Ok(actix_ws::Message::Text(text))) = messages.next().await {
                if session.text(text).await.is_err() {
                    break;
                }
            }
            let _ = session.close(None).await;
        });
        Ok(response)
    }
    let cache = HttpCache::new();
    let layer = cache.clone();
    let server = actix_web::HttpServer::new(move || {
        App::new().wrap(layer.clone()).service(
            web::resource("/ws")
                .wrap(layer.policy(Policy::override_ttl(minutes(5))))
                .get(echo),
        )
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    spawn(server);
    for _ in 0..2 {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let socket = tokio_tungstenite::client_async("ws://example.test/ws", stream).await;
        let (mut socket, _) = socket.unwrap();
        for text in ["one", "two"] {
            let message = tokio_tungstenite::tungstenite::Message::text(text);
            socket.send(message).await.unwrap();
            let echoed = socket.next().await.unwrap().unwrap();
            assert_eq!(echoed.into_text().unwrap().as_str(), text);
        }
        socket.close(None).await.unwrap();
    }
    handle.stop(true).await;
    assert_eq!((cache.stats().bypasses, cache.stats().stored), (2, 0));
    settled(&cache, 2).await;
}

#[actix_web::test]
async fn a_limiter_around_the_layer_is_not_cached_by_it() {
    let limiter = |request: ServiceRequest, next: Next<BoxBody>| async move {
        let client = request.headers().get("x-client");
        if client.is_some_and(|client| client == "attacker") {
            let mut refusal = HttpResponse::TooManyRequests();
            refusal.insert_header((header::CACHE_CONTROL, "public, max-age=60"));
            return Ok(request.into_response(refusal.body("slow down")));
        }
        next.call(request).await
    };
    for is_outside in [true, false] {
        let cache = HttpCache::new();
        let layer = |applies: bool| {
            let policy = Policy::override_ttl(minutes(5));
            Condition::new(applies, cache.policy(policy))
        };
        let boxed = || {
            from_fn(|request, next: Next<_>| async move {
                Ok::<_, Error>(next.call(request).await?.map_into_boxed_body())
            })
        };
        let app = init_service(
            App::new()
                .app_data(Counted::new(Arc::new(Calls::default())))
                .wrap(layer(is_outside))
                .wrap(boxed())
                .wrap(from_fn(limiter))
                .wrap(layer(!is_outside))
                .route(
                    "/",
                    web::get().to(async |calls: Counted| calls.next().to_string()),
                ),
        )
        .await;
        let attack = || {
            send(
                &app,
                TestRequest::get().insert_header(("x-client", "attacker")),
            )
        };
        assert_eq!(attack().await.body, "slow down");
        assert_eq!(get(&app, "/").await.body, "1", "outside: {is_outside}");
        // Within the layer the limiter does not see hits; outside of it, it sees all.
        let then = if is_outside { "slow down" } else { "1" };
        assert_eq!(attack().await.body, then);
        settled(&cache, if is_outside { 1 } else { 3 }).await;
    }
}

#[actix_web::test]
async fn a_timeout_around_the_layer_costs_one_more_load_at_most() {
    let (cache, calls) = (HttpCache::new(), Counted::new(Arc::new(Calls::default())));
    let (given_up, gate) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let opened = Arc::clone(&gate);
    let slow = move |calls: Counted| {
        let (call, opened) = (calls.next(), Arc::clone(&opened));
        async move {
            let _ = opened.acquire().await;
            call.to_string()
        }
    };
    let end = Arc::clone(&given_up);
    let limit = move |request: ServiceRequest, next: Next<BoxBody>| {
        let (is_hasty, end) = (request.headers().contains_key("x-hasty"), Arc::clone(&end));
        async move {
            let answer = next.call(request);
            if !is_hasty {
                return answer.await;
            }
            tokio::select! {
                answer = answer => answer,
                () = end.notified() => Err(ErrorGatewayTimeout("it took too long")),
            }
        }
    };
    let app = Rc::new(
        init_service(
            App::new()
                .app_data(calls.clone())
                .wrap(cache.policy(Policy::ttl(minutes(5))))
                .wrap(from_fn(|request, next: Next<_>| async move {
                    Ok::<_, Error>(next.call(request).await?.map_into_boxed_body())
                }))
                .wrap(from_fn(limit))
                .route("/", web::get().to(slow)),
        )
        .await,
    );
    let ask = |name: &'static str| {
        let app = Rc::clone(&app);
        spawn(async move {
            let request = TestRequest::get()
                .insert_header((name, "1"))
                .insert_header((header::HOST, "example.test"));
            let answered = try_call_service(&*app, request.to_request()).await;
            let response = answered.map_err(|error| error.as_response_error().status_code())?;
            Ok::<_, StatusCode>(crate::support::answer(response).await.body)
        })
    };
    let hasty = ask("x-hasty");
    eventually("the leader", || calls.so_far() == 1).await;
    let patient: Vec<_> = (0..50).map(|_| ask("x-patient")).collect();
    eventually("all are here", || cache.stats().misses == 51).await;
    given_up.notify_one();
    assert_eq!(hasty.await.unwrap(), Err(StatusCode::GATEWAY_TIMEOUT));
    eventually("another leads", || calls.so_far() == 2).await;
    gate.close();
    for answer in patient {
        assert_eq!(answer.await.unwrap().unwrap(), "2");
    }
    settled(&cache, 51).await;
}
