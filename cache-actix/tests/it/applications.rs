//! Layers within applications as people write them: other middleware around and between, extractors that
//! refuse, clients that send several requests at once.

use crate::support::{self, Calls, eventually, get, send, settled};
use actix_web::{
    App, HttpMessage, HttpRequest, HttpResponse, HttpServer,
    dev::Service,
    error::ErrorInternalServerError,
    guard,
    http::{StatusCode, header},
    middleware::{
        Compress, Condition, DefaultHeaders, ErrorHandlerResponse, ErrorHandlers, Logger, Next,
        NormalizePath, from_fn,
    },
    rt::{System, time::sleep},
    test::{TestRequest, call_service, init_service},
    web,
};
use cache_actix::{HttpCache, Policy, minutes, seconds};
use futures_util::stream::{self, StreamExt};
use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

type Counted = web::Data<Arc<Calls>>;

fn counted() -> Counted {
    Counted::new(Arc::new(Calls::default()))
}

/// The number of the call, and what the request carries.
async fn show(request: HttpRequest, calls: Counted) -> String {
    let signed = request.extensions().get::<Sign>().is_some();
    format!("{} {} {signed}", request.path(), calls.next())
}

struct Sign;

/// Numbers by their names.
type Named = HashMap<String, u32>;

#[actix_web::test]
async fn among_all_that_actix_has_each_request_is_answered_as_without_a_cache() {
    for is_on in [true, false] {
        let clock = support::clock();
        let cache = HttpCache::builder().clock(clock.clone()).build().unwrap();
        let calls = counted();
        let policy = Policy::ttl(seconds(10)).stale_while_revalidate(minutes(5));
        let app = App::new()
            .app_data(calls.clone())
            .service(
                web::scope("/a")
                    .guard(guard::Header("x-a", "1"))
                    .wrap(DefaultHeaders::new().add(("x-scope", "a")))
                    .wrap(Condition::new(is_on, cache.policy(policy.clone())))
                    .service(
                        web::scope("/b")
                            .wrap(Condition::new(is_on, cache.policy(policy.clone())))
                            .wrap(NormalizePath::trim())
                            .route("/{c}", web::get().to(show)),
                    ),
            )
            .wrap(NormalizePath::trim())
            .wrap(
                ErrorHandlers::new().handler(StatusCode::NOT_FOUND, |mut response| {
                    let name = header::HeaderName::from_static("x-none");
                    response
                        .headers_mut()
                        .insert(name, header::HeaderValue::from_static("1"));
                    Ok(ErrorHandlerResponse::Response(
                        response.map_into_left_body(),
                    ))
                }),
            )
            .wrap(DefaultHeaders::new().add(("x-app", "1")))
            .wrap_fn(|request, service| {
                request.extensions_mut().insert(Sign);
                let answered = service.call(request);
                async move {
                    let response = answered.await?;
                    let (path, uri) = (response.request().path(), response.request().uri());
                    assert_eq!(path, uri.path());
                    Ok(response)
                }
            })
            .wrap(from_fn(async |request, next: Next<_>| {
                next.call(request).await
            }))
            .wrap(Compress::default())
            .wrap(Logger::new("%a %r %s %b %{x-a}i %{x-app}o %T %U"));
        let app = init_service(app).await;
        let ask = async |path: &str| {
            let request = TestRequest::get().uri(path).insert_header(("x-a", "1"));
            send(&app, request).await
        };
        let mut answers = Vec::new();
        for (path, after) in [
            ("/a/b/c", 0),
            ("/a/b/c/", 0),
            ("/a/b/c", 11),
            ("//a//b/c", 0),
            ("/a/none", 0),
            ("/none", 0),
        ] {
            clock.advance(seconds(after));
            let loads = calls.so_far();
            let answer = ask(path).await;
            if after > 0 {
                eventually("the refresh", || calls.so_far() > loads).await;
            }
            assert_eq!(answer.header("x-app"), "1", "{path}");
            assert_eq!(
                answer.header("x-none").is_empty(),
                answer.status == StatusCode::OK
            );
            answers.push((
                answer.status,
                answer.header("x-scope").to_owned(),
                answer.body,
            ));
        }
        let other = get(&app, "/a/b/c").await;
        assert_eq!(other.status, StatusCode::NOT_FOUND, "the guard is in front");
        let statuses: Vec<_> = answers.iter().map(|(status, ..)| status.as_u16()).collect();
        assert_eq!(statuses, [200, 200, 200, 200, 404, 404], "{answers:?}");
        assert!(answers[..4].iter().all(|(_, scope, body)| {
            scope == "a" && body.starts_with("/a/b/c ") && body.ends_with("true")
        }));
        assert_eq!(calls.so_far(), if is_on { 2 } else { 4 });
        if is_on {
            settled(&cache, 5).await;
        }
    }
}

#[actix_web::test]
async fn what_extractors_refuse_is_each_clients_own_and_kept_by_nobody() {
    let cache = HttpCache::new();
    let calls = counted();
    let app = init_service(
        App::new().app_data(calls.clone()).service(
            web::resource("/{id}")
                .wrap(cache.policy(Policy::ttl(minutes(5))))
                .get(
                    async |id: web::Path<u32>, page: web::Query<Named>, calls: Counted| {
                        format!("{id} {} {}", page["page"], calls.next())
                    },
                )
                .post(async |page: web::Json<Named>| page["page"].to_string()),
        ),
    )
    .await;
    for _ in 0..2 {
        for (path, status) in [("/x?page=1", 404), ("/1?page=x", 400), ("/1?page=1", 200)] {
            assert_eq!(get(&app, path).await.status.as_u16(), status, "{path}");
        }
    }
    let post = |body: &'static str| TestRequest::post().uri("/1?page=1").set_payload(body);
    let typed = |body| post(body).insert_header((header::CONTENT_TYPE, "application/json"));
    assert_eq!(
        send(&app, typed(r#"{"page":"x"}"#)).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        get(&app, "/1?page=1").await.body,
        "1 1 1",
        "nothing was changed"
    );
    assert_eq!(send(&app, typed(r#"{"page":2}"#)).await.body, "2");
    assert_eq!(get(&app, "/1?page=1").await.body, "1 1 2");
    settled(&cache, 10).await;
}

#[actix_web::test]
async fn an_error_of_a_handler_is_judged_by_what_its_response_says() {
    let cache = HttpCache::new();
    let calls = counted();
    let gone = async |calls: Counted, path: web::Path<String>| {
        let call = calls.next();
        let response = match path.as_str() {
            "said" => HttpResponse::NotFound()
                .insert_header((header::CACHE_CONTROL, "max-age=60"))
                .body(call.to_string()),
            "unsaid" => HttpResponse::BadRequest().body(call.to_string()),
            _ => return Err::<HttpResponse, _>(ErrorInternalServerError(call)),
        };
        Err(actix_web::error::InternalError::from_response("no", response).into())
    };
    let app = init_service(
        App::new().app_data(calls.clone()).service(
            web::resource("/{what}")
                .wrap(cache.policy(Policy::from_headers()))
                .get(gone),
        ),
    )
    .await;
    for (path, bodies) in [
        ("/said", ["1", "1"]),
        ("/unsaid", ["2", "3"]),
        ("/fails", ["4", "5"]),
    ] {
        for body in bodies {
            assert_eq!(get(&app, path).await.body, body, "{path}");
        }
    }
    settled(&cache, 6).await;
}

#[actix_web::test]
async fn what_outer_middleware_put_on_a_request_is_there_for_it_after_a_hit() {
    let cache = HttpCache::new();
    let app = init_service(
        App::new()
            .app_data(counted())
            .wrap(cache.policy(Policy::ttl(minutes(5))))
            .wrap_fn(|request, service| {
                request.extensions_mut().insert(Sign);
                service.call(request)
            })
            .route("/", web::get().to(show)),
    )
    .await;
    for _ in 0..2 {
        let response = call_service(&app, TestRequest::default().to_request()).await;
        assert!(response.request().extensions().get::<Sign>().is_some());
        assert!(response.request().app_data::<Counted>().is_some());
    }
    settled(&cache, 2).await;
}

/// Sends all of it at once, and reads to the end.
fn exchange(address: SocketAddr, requests: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers);
    String::from_utf8_lossy(&answers).into_owned()
}

/// One worker or several, with a cache around everything, as long as `ask` takes.
fn served(workers: usize, cache: &HttpCache, ask: impl FnOnce(SocketAddr) + Send + 'static) {
    let (shared, calls) = (cache.clone(), counted());
    System::new().block_on(async move {
        let server = HttpServer::new(move || {
            App::new()
                .app_data(calls.clone())
                .wrap(shared.policy(Policy::ttl(minutes(5))))
                .wrap(Compress::default())
                .route(
                    "/panic",
                    web::get().to(async || -> String {
                        std::panic::resume_unwind(Box::new("it panicked"))
                    }),
                )
                .route(
                    "/breaks",
                    web::get().to(async || {
                        let begun = stream::iter([Ok(web::Bytes::from("begun"))]);
                        let broken = stream::once(async {
                            // Time for what has begun to be sent.
                            sleep(Duration::from_millis(20)).await;
                            Err(ErrorInternalServerError("broken"))
                        });
                        HttpResponse::Ok().streaming(begun.chain(broken))
                    }),
                )
                .route(
                    "/read",
                    web::get().to(async |body: web::Bytes, calls: Counted| {
                        format!("read {} in call {}", body.len(), calls.next())
                    }),
                )
                .route(
                    "/{p}",
                    web::get().to(async |calls: Counted| format!("call {}", calls.next())),
                )
                .route(
                    "/long",
                    web::route()
                        .guard(guard::Any(guard::Get()).or(guard::Head()))
                        .to(async || "long enough to be compressed ".repeat(40)),
                )
                .route("/{p}", web::head().to(HttpResponse::Ok))
                .route(
                    "/{p}",
                    web::post().to(async |body: web::Bytes| format!("posted {}", body.len())),
                )
        })
        .workers(workers)
        .bind(("127.0.0.1", 0))
        .unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let asked = thread::spawn(move || ask(address));
        eventually("all is asked", || asked.is_finished()).await;
        asked.join().unwrap();
        handle.stop(true).await;
    });
}

const HOST: &str = "HTTP/1.1\r\nhost: example.test\r\n";

#[test]
fn requests_sent_at_once_with_bodies_that_nobody_reads_stay_in_step() {
    let cache = HttpCache::new();
    served(1, &cache, |address| {
        let with_body = |method: &str, path: &str, body: &str| {
            format!(
                "{method} {path} {HOST}content-length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let plain = |method: &str, path: &str| format!("{method} {path} {HOST}\r\n");
        // What looks like a request within each body is none.
        let smuggled = format!("GET /smuggled {HOST}\r\n");
        let requests = [
            plain("GET", "/a"),
            plain("GET", "/a"),
            plain("HEAD", "/a"),
            with_body("GET", "/read", &smuggled),
            with_body("GET", "/read", &smuggled),
            with_body("POST", "/b", &smuggled),
            plain("GET", "/a"),
            format!("GET /a {HOST}connection: close\r\n\r\n"),
        ];
        let answers = exchange(address, &requests.concat());
        let heads: Vec<_> = answers.match_indices("HTTP/1.1 200 OK").collect();
        assert_eq!(heads.len(), requests.len(), "{answers}");
        assert_eq!(answers.matches("call 1").count(), 4, "{answers}");
        let read = format!("read {}", smuggled.len());
        assert_eq!(answers.matches(&read).count(), 2, "{answers}");
        assert!(
            answers.contains(&format!("posted {}", smuggled.len())),
            "{answers}"
        );
        assert_eq!(answers.matches(";hit").count(), 4, "{answers}");
        assert!(!answers.contains("call 4"), "{answers}");
    });
}

#[test]
fn a_handler_that_panics_and_a_body_that_breaks_cost_their_connection_and_nothing_else() {
    for workers in [1, 2] {
        let cache = HttpCache::new();
        served(workers, &cache, move |address| {
            for _ in 0..6 {
                let close = |path: &str| format!("GET {path} {HOST}connection: close\r\n\r\n");
                assert_eq!(exchange(address, &close("/panic")), "");
                let broken = exchange(address, &close("/breaks"));
                assert!(
                    broken.contains("begun") && !broken.ends_with("0\r\n\r\n"),
                    "{broken}"
                );
                assert!(exchange(address, &close("/a")).ends_with("call 1"));
            }
        });
        let stats = cache.stats();
        assert_eq!((stats.flights, stats.entries), (0, 1), "{workers} workers");
        assert_eq!((stats.hits, stats.misses), (5, 13), "{workers} workers");
    }
}

#[test]
fn a_head_through_compression_declares_no_length_of_another_coding() {
    let cache = HttpCache::new();
    served(1, &cache, |address| {
        let ask = |method: &str| {
            let fields = "accept-encoding: gzip\r\nconnection: close\r\n\r\n";
            let answer = exchange(address, &format!("{method} /long {HOST}{fields}"));
            answer.to_ascii_lowercase()
        };
        let head = |answer: &str| answer.split("\r\n\r\n").next().unwrap().to_owned();
        // Before anything is stored, and after.
        for _ in 0..2 {
            for answer in [ask("HEAD"), ask("GET")] {
                let head = head(&answer);
                assert!(head.contains("content-encoding: gzip"), "{head}");
                assert!(!head.contains("content-length"), "{head}");
            }
        }
    });
}
