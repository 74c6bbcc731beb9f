//! Where a layer may lie, and what it knows there.

use crate::support::{Calls, clock, eventually, get, send, settled};
use actix_web::{
    App, HttpRequest, HttpResponse, guard,
    http::{Method, StatusCode, header},
    test::{TestRequest, init_service},
    web,
};
use cache_actix::{Groups, HttpCache, Policy, hours, minutes, seconds};
use std::sync::Arc;

type Counted = web::Data<Arc<Calls>>;

async fn show(request: HttpRequest, calls: Counted) -> String {
    let pattern = request.match_pattern().unwrap_or_default();
    format!("{} of {pattern}: {}", request.uri(), calls.next())
}

async fn saved() -> HttpResponse {
    HttpResponse::NoContent().finish()
}

fn five_minutes() -> Policy {
    Policy::ttl(minutes(5))
}

#[actix_web::test]
async fn a_resource_answers_out_of_the_store_and_its_put_invalidates() {
    let (cache, calls) = (HttpCache::new(), Arc::new(Calls::default()));
    let app = init_service(
        App::new().app_data(Counted::new(calls.clone())).service(
            web::resource("/users/{id}")
                .wrap(cache.policy(five_minutes()))
                .get(show)
                .put(saved),
        ),
    )
    .await;
    let first = get(&app, "/users/1").await;
    assert_eq!(first.body, "/users/1 of /users/{id}: 1");
    assert!(!first.is_hit() && first.header("age").is_empty());
    let second = get(&app, "/users/1").await;
    assert_eq!(
        (second.body.as_str(), second.header("age")),
        ("/users/1 of /users/{id}: 1", "0")
    );
    assert!(second.is_hit(), "{}", second.cache());
    assert_eq!(second.header("content-type"), first.header("content-type"));
    assert_eq!(
        get(&app, "/users/2").await.body,
        "/users/2 of /users/{id}: 2"
    );
    let update = send(&app, TestRequest::put().uri("/users/1")).await;
    assert_eq!(update.status, StatusCode::NO_CONTENT);
    assert_eq!(update.cache(), "cache-tower;fwd=method");
    assert_eq!(
        get(&app, "/users/1").await.body,
        "/users/1 of /users/{id}: 3"
    );
    assert!(get(&app, "/users/2").await.is_hit());
    settled(&cache, 6).await;
}

#[actix_web::test]
async fn scopes_with_the_same_paths_within_are_told_apart() {
    let (cache, calls) = (HttpCache::new(), Arc::new(Calls::default()));
    let within = || web::resource("/u/{id}").get(show);
    let app = init_service(
        App::new()
            .app_data(Counted::new(calls.clone()))
            .service(
                web::scope("/a")
                    .wrap(cache.policy(five_minutes()))
                    .service(within()),
            )
            .service(
                web::scope("/b")
                    .service(web::scope("/c").service(within().wrap(cache.policy(five_minutes())))),
            ),
    )
    .await;
    for _ in 0..2 {
        assert_eq!(get(&app, "/a/u/1").await.body, "/a/u/1 of /a/u/{id}: 1");
        assert_eq!(
            get(&app, "/b/c/u/1").await.body,
            "/b/c/u/1 of /b/c/u/{id}: 2"
        );
    }
    assert_eq!(calls.so_far(), 2);
    settled(&cache, 4).await;
}

#[actix_web::test]
async fn groups_name_the_parameters_of_the_resource_wherever_the_layer_lies() {
    for around_all in [true, false] {
        let cache = HttpCache::new();
        let layer = || cache.policy(five_minutes().group("team:{team}:user:{id}"));
        let off = || cache.policy(Policy::off());
        let (outer, inner) = match around_all {
            true => (Some(layer()), None),
            false => (None, Some(layer())),
        };
        let shown = web::resource("/users/{id}/{file:.*}")
            .wrap(inner.unwrap_or_else(off))
            .get(show);
        let calls = Counted::new(Arc::new(Calls::default()));
        let mut scope = web::scope("/t/{team}");
        // A layer within decides; then there is to be none.
        scope = match around_all {
            true => scope.service(web::resource("/users/{id}/{file:.*}").get(show)),
            false => scope.service(shown),
        };
        let app = App::new()
            .app_data(calls.clone())
            .wrap(outer.unwrap_or_else(off));
        let app = init_service(app.service(scope)).await;
        let path = "/t/red%20a/users/7%2F8/a/b";
        get(&app, path).await;
        assert!(get(&app, path).await.is_hit(), "around all: {around_all}");
        cache.purger().group("team:red a:user:7").await;
        assert!(get(&app, path).await.is_hit(), "another group");
        cache.purger().group("team:red a:user:7/8").await;
        assert!(!get(&app, path).await.is_hit());
        assert_eq!(calls.so_far(), 2);
        settled(&cache, 4).await;
    }
}

#[actix_web::test]
async fn of_two_layers_the_inner_decides_and_nothing_is_counted_twice() {
    let (cache, calls) = (HttpCache::new(), Arc::new(Calls::default()));
    let app = init_service(
        App::new()
            .app_data(Counted::new(calls.clone()))
            .wrap(cache.clone())
            .service(
                web::resource("/r")
                    .wrap(cache.policy(five_minutes()))
                    .get(show),
            )
            .service(web::resource("/none").get(show)),
    )
    .await;
    get(&app, "/r").await;
    let second = get(&app, "/r").await;
    assert_eq!(
        (
            second.body.as_str(),
            second.headers.get_all("cache-status").count()
        ),
        ("/r of /r: 1", 1)
    );
    assert!(second.is_hit());
    assert_eq!(cache.stats().entries, 1);
    for call in [2, 3] {
        assert_eq!(
            get(&app, "/none").await.body,
            format!("/none of /none: {call}")
        );
    }
    settled(&cache, 4).await;
}

#[actix_web::test]
async fn the_layer_of_one_cache_says_nothing_to_that_of_another() {
    let (outer, inner) = (
        HttpCache::new(),
        HttpCache::builder().name("inner").build().unwrap(),
    );
    let calls = Counted::new(Arc::new(Calls::default()));
    let app = init_service(
        App::new()
            .app_data(calls.clone())
            .wrap(outer.policy(five_minutes()))
            .service(
                web::resource("/")
                    .wrap(inner.policy(five_minutes()))
                    .get(show),
            ),
    )
    .await;
    for _ in 0..3 {
        assert_eq!(get(&app, "/").await.body, "/ of /: 1");
    }
    assert_eq!((outer.stats().hits, inner.stats().hits), (2, 0));
    settled(&outer, 3).await;
    settled(&inner, 1).await;
}

#[actix_web::test]
async fn a_head_is_answered_by_what_a_get_stored() {
    let cache = HttpCache::new();
    let app = init_service(
        App::new().service(
            web::resource("/").wrap(cache.policy(five_minutes())).route(
                web::route()
                    .guard(guard::Any(guard::Get()).or(guard::Head()))
                    .to(|| async { HttpResponse::Ok().body("0123456789") }),
            ),
        ),
    )
    .await;
    let head = || TestRequest::default().method(Method::HEAD);
    let length = async |hit: bool| {
        let head = send(&app, head()).await;
        assert_eq!(head.is_hit(), hit, "{}", head.cache());
        // What the service gives beside it, actix leaves out.
        assert_eq!(head.body.is_empty(), hit);
        head.header("content-length").to_owned()
    };
    assert_eq!(length(false).await, "10", "the service's own");
    assert_eq!(get(&app, "/").await.body, "0123456789");
    assert_eq!(length(true).await, "10", "out of the store");
    settled(&cache, 3).await;
}

#[actix_web::test]
async fn a_handler_names_groups_and_sets_the_policy_of_its_response() {
    let cache = HttpCache::builder().clock(clock()).build().unwrap();
    let calls = Counted::new(Arc::new(Calls::default()));
    let grouped = async |calls: Counted| {
        let within = Groups::new(["team:7"]).on(calls.next().to_string());
        Groups::new(["user:42"]).on(within)
    };
    let own = async |calls: Counted| {
        let mut response = HttpResponse::Ok().body(calls.next().to_string());
        response
            .extensions_mut()
            .insert(Policy::ttl(minutes(5)).group("own"));
        response
    };
    let app = init_service(
        App::new()
            .app_data(calls)
            .wrap(cache.policy(Policy::ttl(minutes(1))))
            .route("/grouped", web::get().to(grouped))
            .route("/own", web::get().to(own)),
    )
    .await;
    let mut call = 0;
    for (path, group, ttl) in [
        ("/grouped", "team:7", ";ttl=60;"),
        ("/grouped", "user:42", ";ttl=60;"),
        ("/own", "own", ";ttl=300;"),
    ] {
        call += 1;
        let first = get(&app, path).await;
        assert!(first.cache().contains(ttl), "{}", first.cache());
        assert_eq!(first.body, call.to_string());
        assert_eq!(get(&app, path).await.body, call.to_string());
        cache.purger().group(group).await;
    }
    settled(&cache, 6).await;
}

#[actix_web::test]
async fn an_error_of_the_service_goes_on_as_it_is() {
    use actix_web::{Error, dev::Service, error::ErrorImATeapot, middleware::from_fn};
    let cache = HttpCache::new();
    let app = init_service(
        App::new().service(
            web::resource("/")
                .wrap(from_fn(async |_, _| {
                    Err::<actix_web::dev::ServiceResponse, Error>(ErrorImATeapot("no"))
                }))
                .wrap(cache.policy(five_minutes()))
                .get(show),
        ),
    )
    .await;
    for method in [Method::GET, Method::PUT] {
        let request = TestRequest::default().method(method).to_request();
        let Err(error) = app.call(request).await else {
            panic!("it is an error");
        };
        assert_eq!(
            error.as_response_error().status_code(),
            StatusCode::IM_A_TEAPOT
        );
    }
    settled(&cache, 2).await;
}

#[actix_web::test]
async fn a_hit_needs_nothing_of_a_service_that_is_not_ready() {
    use actix_web::{
        Error,
        dev::{Service, ServiceRequest, ServiceResponse, Transform},
    };
    use futures_util::FutureExt;
    use std::{
        future::{Future, Ready, poll_fn, ready},
        sync::atomic::{AtomicBool, Ordering},
        task::{Context, Poll},
    };

    #[derive(Clone, Default)]
    struct Saturated(Arc<AtomicBool>);
    struct Gated<S>(S, Arc<AtomicBool>);

    impl<S, B> Transform<S, ServiceRequest> for Saturated
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    {
        type Response = ServiceResponse<B>;
        type Error = Error;
        type Transform = Gated<S>;
        type InitError = ();
        type Future = Ready<Result<Gated<S>, ()>>;
        fn new_transform(&self, service: S) -> Self::Future {
            ready(Ok(Gated(service, self.0.clone())))
        }
    }
    impl<S: Service<ServiceRequest>> Service<ServiceRequest> for Gated<S> {
        type Response = S::Response;
        type Error = S::Error;
        type Future = S::Future;
        fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
            match self.1.load(Ordering::SeqCst) {
                true => Poll::Pending,
                false => self.0.poll_ready(cx),
            }
        }
        fn call(&self, request: ServiceRequest) -> S::Future {
            assert!(
                !self.1.load(Ordering::SeqCst),
                "it is not called before it is ready"
            );
            self.0.call(request)
        }
    }

    let (cache, gate) = (HttpCache::new(), Saturated::default());
    let calls = Counted::new(Arc::new(Calls::default()));
    let app = init_service(
        App::new().app_data(calls).service(
            web::resource("/{p}")
                .wrap(gate.clone())
                .wrap(cache.policy(five_minutes()))
                .to(show),
        ),
    )
    .await;
    get(&app, "/a").await;
    gate.0.store(true, Ordering::SeqCst);
    poll_fn(|cx| app.poll_ready(cx))
        .now_or_never()
        .unwrap()
        .unwrap();
    assert!(get(&app, "/a").await.is_hit());
    for request in [TestRequest::get().uri("/b"), TestRequest::put().uri("/b")] {
        let mut waiting = Box::pin(send(&app, request));
        for _ in 0..3 {
            let polled = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await;
            assert!(polled);
        }
    }
    settled(&cache, 4).await;
}

#[actix_web::test]
async fn where_the_resource_has_no_such_parameter_nothing_is_stored() {
    for around_all in [true, false] {
        let cache = HttpCache::new();
        let layer = || cache.policy(five_minutes().group("user:{id}"));
        let off = || cache.policy(Policy::off());
        let (outer, inner) = match around_all {
            true => (layer(), off()),
            false => (off(), layer()),
        };
        let resource = web::resource("/users/{name}").get(show);
        let app = App::new()
            .app_data(Counted::new(Arc::new(Calls::default())))
            .wrap(outer);
        let app = match around_all {
            true => init_service(app.service(resource)).await,
            false => init_service(app.service(web::scope("").service(resource.wrap(inner)))).await,
        };
        for call in [1, 2] {
            let answer = get(&app, "/users/1").await;
            assert_eq!(answer.body, format!("/users/1 of /users/{{name}}: {call}"));
            assert!(
                answer.cache().ends_with("detail=groups"),
                "{}",
                answer.cache()
            );
        }
        assert_eq!(cache.stats().stored, 0, "around all: {around_all}");
        settled(&cache, 2).await;
    }
}

#[actix_web::test]
async fn policies_of_resources_share_one_cache_and_keep_to_their_resources() {
    let clock = clock();
    let cache = HttpCache::builder().clock(clock.clone()).build().unwrap();
    let numbered = async |calls: Counted| calls.next().to_string();
    let says = async |calls: Counted| {
        HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "max-age=60"))
            .body(calls.next().to_string())
    };
    let wrapped = |path: &str, policy| web::resource(path).wrap(cache.policy(policy)).get(numbered);
    let app = init_service(
        App::new()
            .app_data(Counted::new(Arc::new(Calls::default())))
            .wrap(cache.clone())
            .service(wrapped("/short", Policy::ttl(seconds(10))))
            .service(wrapped(
                "/long",
                Policy::ttl(hours(1)).ignore_query(["utm_*"]),
            ))
            .service(wrapped("/own", Policy::off()))
            .route("/says", web::get().to(says))
            .route("/silent", web::get().to(numbered)),
    )
    .await;
    let ask = async |path: &str| get(&app, path).await.body;
    for (path, body) in [
        ("/short", "1"),
        ("/long?utm_a=1", "2"),
        ("/own", "3"),
        ("/says", "4"),
        ("/silent", "5"),
        ("/short", "1"),
        ("/long?utm_b=2", "2"),
        ("/own", "6"),
        ("/says", "4"),
        ("/silent", "7"),
    ] {
        assert_eq!(ask(path).await, body, "{path}");
    }
    clock.advance(seconds(30));
    for (path, body) in [("/short", "8"), ("/long", "2"), ("/says", "4")] {
        assert_eq!(ask(path).await, body, "{path}");
    }
    settled(&cache, 13).await;
}

#[actix_web::test]
async fn guards_choose_behind_a_layer_by_what_its_policy_names() {
    let cache = HttpCache::new();
    let of_tenant = |tenant: &'static str| {
        let policy = five_minutes().vary_by_header("x-tenant");
        web::scope("/pages")
            .guard(guard::Header("x-tenant", tenant))
            .wrap(cache.policy(policy))
            .route("/{id}", web::get().to(move || std::future::ready(tenant)))
    };
    let app = init_service(App::new().service(of_tenant("a")).service(of_tenant("b"))).await;
    let ask = async |tenant: &str| {
        let request = TestRequest::get().uri("/pages/1");
        send(&app, request.insert_header(("x-tenant", tenant))).await
    };
    for is_hit in [false, true] {
        for tenant in ["a", "b"] {
            let page = ask(tenant).await;
            assert_eq!((page.body.as_str(), page.is_hit()), (tenant, is_hit));
        }
        assert_eq!(ask("c").await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(cache.stats().stored, 2);
    settled(&cache, 4).await;
}

#[actix_web::test]
async fn methods_outside_the_layer_of_their_path_invalidate_by_the_layer_around() {
    let cache = HttpCache::new();
    let app = init_service(
        App::new()
            .app_data(Counted::new(Arc::new(Calls::default())))
            .wrap(cache.clone())
            .service(
                web::resource("/x")
                    .guard(guard::Get())
                    .wrap(cache.policy(five_minutes()))
                    .to(show),
            )
            .service(web::resource("/x").put(saved)),
    )
    .await;
    for body in ["/x of /x: 1", "/x of /x: 1"] {
        assert_eq!(get(&app, "/x").await.body, body);
    }
    let update = send(&app, TestRequest::put().uri("/x")).await;
    assert_eq!(update.status, StatusCode::NO_CONTENT);
    assert_eq!(get(&app, "/x").await.body, "/x of /x: 2");
    settled(&cache, 4).await;
}

#[actix_web::test]
async fn three_layers_are_as_one() {
    for [outermost, middle] in [
        [Policy::from_headers(), Policy::off()],
        [Policy::off(), Policy::from_headers()],
        [
            Policy::ttl(hours(1)),
            Policy::ttl(minutes(1)).ignore_query(["*"]),
        ],
    ] {
        let clock = clock();
        let cache = HttpCache::builder().clock(clock.clone()).build().unwrap();
        let innermost = five_minutes().stale_while_revalidate(minutes(5));
        let app = init_service(
            App::new()
                .app_data(Counted::new(Arc::new(Calls::default())))
                .wrap(cache.policy(outermost))
                .service(
                    web::scope("").wrap(cache.policy(middle)).service(
                        web::resource("/x")
                            .wrap(cache.policy(innermost))
                            .get(show)
                            .put(saved),
                    ),
                ),
        )
        .await;
        let ask = async || get(&app, "/x").await.body;
        for _ in 0..3 {
            assert_eq!(ask().await, "/x of /x: 1");
        }
        clock.advance(minutes(6));
        assert_eq!(ask().await, "/x of /x: 1");
        eventually("the refresh", || cache.stats().stored == 2).await;
        assert_eq!(ask().await, "/x of /x: 2");
        send(&app, TestRequest::put().uri("/x")).await;
        assert_eq!(ask().await, "/x of /x: 3");
        assert_eq!(cache.stats().stored, 3);
        settled(&cache, 7).await;
    }
}
