//! Beside other middleware and services: compression within and around, files, websockets.

use crate::support::{Calls, get, send, settled};
use actix_web::{
    App, HttpResponse,
    http::{StatusCode, header},
    middleware::Compress,
    test::{TestRequest, init_service},
    web,
};
use cache_actix::{HttpCache, Policy, minutes};
use futures_util::{SinkExt, StreamExt};
use std::{fs, sync::Arc};

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
        actix_web::rt::spawn(async move {
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
    actix_web::rt::spawn(server);
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
