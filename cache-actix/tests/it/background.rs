//! What goes on while or after a request is answered: collapsed loads, refreshes, standing in.

use crate::support::{self, Calls, eventually, get, send, settled};
use actix_web::{
    App, Error, HttpMessage, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{HttpServiceFactory, Service, ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    rt::{System, spawn, time::sleep},
    test::{TestRequest, call_service, init_service},
    web,
};
use cache_actix::{HttpCache, Policy, minutes, seconds};
use futures_util::future::join_all;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

type Counted = web::Data<Arc<Calls>>;

/// A handler that is not `Send`, and waits.
async fn slow(request: HttpRequest, calls: Counted) -> String {
    let local = Rc::new(RefCell::new(calls.next()));
    sleep(Duration::from_millis(20)).await;
    format!(
        "{}: {}",
        request.match_pattern().unwrap_or_default(),
        local.borrow()
    )
}

/// Middleware that awaits after its answer is there, and then looks at its request.
async fn lingering<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    request.extensions_mut().insert(Sign);
    let uri = request.uri().clone();
    let response = next.call(request).await?;
    sleep(Duration::from_millis(5)).await;
    assert_eq!(response.request().uri(), &uri);
    assert_eq!(
        response.request().headers().get(header::HOST).unwrap(),
        "example.test"
    );
    Ok(response)
}

struct Sign;

#[actix_web::test]
async fn many_who_ask_at_once_share_one_load() {
    let (cache, calls) = (HttpCache::new(), Arc::new(Calls::default()));
    let app = init_service(
        App::new()
            .app_data(Counted::new(calls.clone()))
            .wrap(from_fn(lingering))
            .service(
                web::resource("/{p}")
                    .wrap(cache.policy(Policy::ttl(minutes(5))))
                    .get(slow),
            ),
    )
    .await;
    let answers = join_all((0..50).map(|_| get(&app, "/a"))).await;
    assert!(answers.iter().all(|answer| answer.body == "/{p}: 1"));
    assert_eq!((calls.so_far(), cache.stats().collapsed), (1, 49));
    settled(&cache, 50).await;
}

#[actix_web::test]
async fn when_the_leader_leaves_another_takes_its_turn() {
    let (cache, calls) = (HttpCache::new(), Arc::new(Calls::default()));
    let gate = Rc::new(Semaphore::new(0));
    let opened = Rc::clone(&gate);
    let gated = move |request: HttpRequest, calls: Counted| {
        let opened = Rc::clone(&opened);
        async move {
            let call = calls.next();
            let _ = opened.acquire().await;
            format!("{}: {call}", request.match_pattern().unwrap_or_default())
        }
    };
    let app = Rc::new(
        init_service(
            App::new()
                .app_data(Counted::new(calls.clone()))
                .wrap(cache.policy(Policy::ttl(minutes(5))))
                .service(web::resource("/{p}").get(gated)),
        )
        .await,
    );
    let ask = |app: &Rc<_>| {
        let app = Rc::clone(app);
        spawn(async move { get(&*app, "/a").await.body })
    };
    let leader = ask(&app);
    eventually("the leader", || calls.so_far() == 1).await;
    let followers: Vec<_> = (0..20).map(|_| ask(&app)).collect();
    eventually("the followers", || cache.stats().misses == 21).await;
    leader.abort();
    eventually("another leads", || calls.so_far() == 2).await;
    gate.close();
    for follower in followers {
        assert_eq!(follower.await.unwrap(), "/{p}: 2");
    }
    settled(&cache, 21).await;
}

#[actix_web::test]
async fn a_stale_response_is_given_at_once_and_refreshed_once() {
    let (clock, calls) = (support::clock(), Arc::new(Calls::default()));
    let cache = HttpCache::builder().clock(clock.clone()).build().unwrap();
    let policy = Policy::ttl(seconds(10)).stale_while_revalidate(minutes(5));
    for around_all in [true, false] {
        let before = calls.so_far();
        let outer = if around_all {
            policy.clone()
        } else {
            Policy::off()
        };
        let inner = if around_all {
            Policy::off()
        } else {
            policy.clone()
        };
        let mut resource = web::resource(["/{p}/x", "/{p}"]);
        // What is refreshed needs its app data, and its request's extensions.
        let handler = async |request: HttpRequest, calls: Counted| {
            let signed = request.extensions().get::<Sign>().is_some();
            sleep(Duration::from_millis(20)).await;
            format!("{} {signed}", calls.next())
        };
        resource = resource.get(handler);
        let app = App::new()
            .app_data(Counted::new(calls.clone()))
            .wrap(cache.policy(outer))
            .wrap(from_fn(lingering));
        let app = match around_all {
            true => init_service(app.service(resource)).await,
            false => {
                init_service(
                    app.service(web::scope("").service(resource.wrap(cache.policy(inner)))),
                )
                .await
            }
        };
        let path = if around_all { "/a" } else { "/b" };
        assert_eq!(get(&app, path).await.body, format!("{} true", before + 1));
        clock.advance(seconds(11));
        let stale = join_all((0..20).map(|_| get(&app, path))).await;
        for answer in stale {
            assert_eq!(
                answer.body,
                format!("{} true", before + 1),
                "{}",
                answer.cache()
            );
        }
        eventually("the refresh", || {
            cache.stats().flights == 0 && calls.so_far() == before + 2
        })
        .await;
        let fresh = get(&app, path).await;
        assert_eq!(
            fresh.body,
            format!("{} true", before + 2),
            "around all: {around_all}"
        );
        assert!(fresh.is_hit(), "{}", fresh.cache());
    }
    assert_eq!(cache.stats().stale, 40);
    eventually("no task is left", || cache_actix::background_tasks() == 0).await;
    settled(&cache, 44).await;
}

#[actix_web::test]
async fn the_answer_to_who_is_refreshed_carries_a_request_without_extensions() {
    let clock = support::clock();
    let cache = HttpCache::builder().clock(clock.clone()).build().unwrap();
    let policy = Policy::ttl(seconds(10)).stale_while_revalidate(minutes(5));
    let calls = Counted::new(Arc::new(Calls::default()));
    let app = init_service(
        App::new().app_data(calls.clone()).service(
            web::resource("/{p}")
                .wrap(cache.policy(policy))
                .wrap(from_fn(lingering))
                .get(slow),
        ),
    )
    .await;
    let signed = async || {
        let request = TestRequest::get()
            .uri("/a")
            .insert_header((header::HOST, "example.test"));
        let response = call_service(&app, request.to_request()).await;
        response.request().extensions().get::<Sign>().is_some()
    };
    assert!(signed().await, "a miss");
    assert!(signed().await, "a hit");
    clock.advance(seconds(11));
    assert!(!signed().await, "stale, and being refreshed");
    eventually("the refresh", || calls.so_far() == 2).await;
    settled(&cache, 3).await;
}

#[actix_web::test]
async fn what_is_stale_answers_for_a_service_that_fails_or_is_gone() {
    let clock = support::clock();
    let cache = HttpCache::builder().clock(clock.clone()).build().unwrap();
    let policy = Policy::ttl(seconds(10))
        .stale_if_error(minutes(5))
        .failure_pause(Duration::from_millis(1), Duration::from_millis(1));
    let failing = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&failing);
    let gate = from_fn(move |request: ServiceRequest, next: Next<_>| {
        let fails = fails.load(Ordering::SeqCst);
        async move {
            match fails {
                true if request.query_string() == "error" => {
                    Err(actix_web::error::ErrorBadGateway("gone"))
                }
                true => Ok(request
                    .into_response(HttpResponse::ServiceUnavailable().finish())
                    .map_into_left_body()),
                false => Ok(next.call(request).await?.map_into_right_body()),
            }
        }
    });
    let calls = Counted::new(Arc::new(Calls::default()));
    let app = init_service(
        App::new()
            .app_data(calls)
            .wrap(gate)
            .wrap(cache.policy(policy))
            .wrap(from_fn(lingering))
            .service(web::resource("/{p}").get(slow)),
    )
    .await;
    for path in ["/a?error", "/b?status"] {
        failing.store(false, Ordering::SeqCst);
        let first = get(&app, path).await;
        failing.store(true, Ordering::SeqCst);
        clock.advance(seconds(11));
        let stale = get(&app, path).await;
        assert_eq!(
            (stale.status, stale.body),
            (StatusCode::OK, first.body),
            "{path}"
        );
        assert!(stale.headers.get("cache-status").is_some());
    }
    settled(&cache, 4).await;
}

/// A resource whose middleware, behind the layer, errs with this status while it is not zero.
fn erring(
    cache: &HttpCache,
    policy: Policy,
    status: &Arc<AtomicU16>,
) -> impl HttpServiceFactory + use<> {
    let status = Arc::clone(status);
    let errs = from_fn(move |request: ServiceRequest, next: Next<_>| {
        let status = StatusCode::from_u16(status.load(Ordering::SeqCst));
        async move {
            match status {
                Ok(status) => Err(InternalError::new("no", status).into()),
                Err(_) => next.call(request).await,
            }
        }
    });
    web::resource("/{p}")
        .wrap(errs)
        .wrap(cache.policy(policy))
        .get(slow)
        .put(HttpResponse::Ok)
}

#[actix_web::test]
async fn an_error_that_says_no_is_an_answer_and_hidden_by_nothing_stale() {
    let clock = support::clock();
    let cache = HttpCache::builder().clock(clock.clone()).build().unwrap();
    let policy = Policy::ttl(seconds(10)).stale_if_error(minutes(5));
    let status = Arc::new(AtomicU16::new(0));
    let calls = Counted::new(Arc::new(Calls::default()));
    let app = App::new()
        .app_data(calls)
        .service(erring(&cache, policy, &status));
    let app = init_service(app).await;
    let outcome = async |path: &str, is: u16| {
        status.store(is, Ordering::SeqCst);
        let request = TestRequest::get().uri(path);
        let request = request.insert_header((header::HOST, "example.test"));
        match app.call(request.to_request()).await {
            Ok(response) => response.status().as_u16(),
            Err(error) => error.as_response_error().status_code().as_u16(),
        }
    };
    for (no, is_there_after) in [
        (401, true),
        (403, true),
        (429, true),
        (404, false),
        (410, false),
    ] {
        let path = format!("/{no}");
        assert_eq!(outcome(&path, 0).await, 200);
        clock.advance(seconds(11));
        assert_eq!(outcome(&path, no).await, no, "it is no failure");
        let after = if is_there_after { 200 } else { 503 };
        assert_eq!(outcome(&path, 503).await, after, "after {no}");
    }
    settled(&cache, 15).await;
}

#[actix_web::test]
async fn an_error_of_one_client_is_not_that_of_those_who_wait() {
    let cache = HttpCache::new();
    let calls = Counted::new(Arc::new(Calls::default()));
    let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let at_once = Rc::clone(&most);
    let refused = from_fn(move |request: ServiceRequest, next: Next<_>| {
        let inside = Rc::clone(&inside);
        inside.set(inside.get() + 1);
        at_once.set(at_once.get().max(inside.get()));
        async move {
            sleep(Duration::from_millis(20)).await;
            inside.set(inside.get() - 1);
            match request.headers().contains_key("x-too-many") {
                true => Err(actix_web::error::ErrorTooManyRequests("slower")),
                false => next.call(request).await,
            }
        }
    });
    let app = init_service(
        App::new().app_data(calls).service(
            web::resource("/")
                .wrap(refused)
                .wrap(cache.policy(Policy::ttl(minutes(5))))
                .get(slow),
        ),
    )
    .await;
    let ask = async |is_refused: bool| {
        let mut request = TestRequest::get();
        if is_refused {
            request = request.insert_header(("x-too-many", "1"));
        }
        match app.call(request.to_request()).await {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        }
    };
    // Those who are refused come first, and lead.
    let statuses = join_all((0..10).map(|index| ask(index < 3))).await;
    let (refused, others) = statuses.split_at(3);
    assert_eq!(refused, [StatusCode::TOO_MANY_REQUESTS; 3]);
    assert_eq!(others, [StatusCode::OK; 7]);
    assert_eq!(most.get(), 9, "and none of them waits for another");
    settled(&cache, 10).await;
}

#[actix_web::test]
async fn an_update_that_answers_by_an_error_invalidates_as_its_status_says() {
    let cache = HttpCache::new();
    let status = Arc::new(AtomicU16::new(0));
    let calls = Counted::new(Arc::new(Calls::default()));
    let app = App::new().app_data(calls.clone()).service(erring(
        &cache,
        Policy::ttl(minutes(5)),
        &status,
    ));
    let app = init_service(app).await;
    for (is, loads) in [(403, 1), (500, 1), (303, 2)] {
        status.store(0, Ordering::SeqCst);
        get(&app, "/a").await;
        status.store(is, Ordering::SeqCst);
        let update = TestRequest::put().uri("/a");
        let update = update.insert_header((header::HOST, "example.test"));
        assert!(app.call(update.to_request()).await.is_err());
        status.store(0, Ordering::SeqCst);
        get(&app, "/a").await;
        assert_eq!(calls.so_far(), loads, "after {is}");
    }
    settled(&cache, 9).await;
}

#[actix_web::test]
async fn what_is_stored_is_validated_by_the_service_that_gets_the_condition() {
    let clock = support::clock();
    let cache = HttpCache::builder().clock(clock.clone()).build().unwrap();
    let handler = async |request: HttpRequest, calls: Counted| {
        calls.next();
        let mut response = HttpResponse::Ok();
        let tag = request.headers().get(header::IF_NONE_MATCH);
        if tag.is_some_and(|tag| tag == "\"1\"") {
            response.status(StatusCode::NOT_MODIFIED);
        }
        response
            .insert_header((header::ETAG, "\"1\""))
            .insert_header(("x-a", "1"))
            .append_header(("x-a", "2"));
        match tag {
            Some(_) => response.finish(),
            None => response.body("the page"),
        }
    };
    let calls = Counted::new(Arc::new(Calls::default()));
    let app = init_service(
        App::new()
            .app_data(calls.clone())
            .wrap(cache.policy(Policy::ttl(seconds(10))))
            .route("/", web::get().to(handler)),
    )
    .await;
    for (call, after) in [(1, 0), (1, 5), (2, 6), (2, 5), (3, 6)] {
        clock.advance(seconds(after));
        let answer = get(&app, "/").await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (StatusCode::OK, "the page")
        );
        assert_eq!(
            answer.headers.get_all("x-a").collect::<Vec<_>>(),
            ["1", "2"]
        );
        assert_eq!(calls.so_far(), call);
    }
    let conditional = TestRequest::get().insert_header((header::IF_NONE_MATCH, "\"1\""));
    let unchanged = send(&app, conditional).await;
    assert_eq!(
        (unchanged.status, unchanged.body.as_str()),
        (StatusCode::NOT_MODIFIED, "")
    );
    let part = send(
        &app,
        TestRequest::get().insert_header((header::RANGE, "bytes=4-")),
    )
    .await;
    assert_eq!(
        (part.status, part.body.as_str()),
        (StatusCode::PARTIAL_CONTENT, "page")
    );
    assert_eq!(part.header("content-range"), "bytes 4-7/8");
    settled(&cache, 7).await;
}

#[test]
fn a_worker_that_ends_takes_its_refreshes_with_it() {
    let clock = support::clock();
    let cache = HttpCache::builder().clock(clock.clone()).build().unwrap();
    let calls = Counted::new(Arc::new(Calls::default()));
    // What is asked of a worker that lasts only so long.
    let worker = |is_to_end: bool| {
        let (clock, shared, calls) = (clock.clone(), cache.clone(), calls.clone());
        System::new().block_on(async move {
            let policy = Policy::ttl(seconds(10)).stale_while_revalidate(minutes(5));
            let counted = calls.clone();
            let handler = move |calls: Counted| async move {
                let call = calls.next();
                if is_to_end && call > 1 {
                    std::future::pending::<()>().await;
                }
                call.to_string()
            };
            let app = App::new()
                .app_data(counted)
                .wrap(shared.policy(policy))
                .route("/", web::get().to(handler));
            let app = init_service(app).await;
            assert_eq!(get(&app, "/").await.body, "1");
            if is_to_end {
                clock.advance(seconds(11));
                assert_eq!(get(&app, "/").await.body, "1");
                eventually("it is being refreshed", || calls.so_far() == 2).await;
            } else {
                eventually("the refresh", || shared.stats().stored == 2).await;
                assert_eq!(get(&app, "/").await.body, "3");
            }
        });
    };
    worker(true);
    assert_eq!(cache.stats().flights, 0, "its turn is given back");
    worker(false);
    assert_eq!((calls.so_far(), cache.stats().flights), (3, 0));
}
