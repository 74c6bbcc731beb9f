//! What is axum's own: nested routers, parameters of routes, extractors, layers of tower.

use crate::support::{App, Gate, Policy, boxed, eventually, hours, minutes, pass, seconds};
use axum::{
    Extension, Router,
    error_handling::HandleErrorLayer,
    extract::{Path, Request, State},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use cache_axum::{Groups, HttpCache, Purge};
use http::{StatusCode, header};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tower::{Layer, ServiceBuilder, limit::GlobalConcurrencyLimitLayer};

/// How often handlers were called.
#[derive(Debug, Clone, Default)]
struct Calls(Arc<AtomicU64>);

impl Calls {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn app(cache: &HttpCache, router: Router) -> App {
    App::new(boxed(router), cache, BTreeMap::new())
}

async fn numbered(State(calls): State<Calls>) -> String {
    calls.next().to_string()
}

/// Two routers with equal paths inside, each with a layer of its own within the nest.
pub(crate) fn nested(cache: &HttpCache) -> Router {
    let part = |name: &'static str| {
        let layer = cache.policy(Policy::ttl(minutes(5)).group(format!("{name}:{{id}}")));
        Router::new()
            .route(
                "/u/{id}",
                get(move |Path(id): Path<String>| async move { format!("{name} {id}") }),
            )
            .layer(layer)
    };
    Router::new()
        .nest("/a", part("a"))
        .nest("/b", Router::new().nest("/c", part("c")))
}

#[tokio::test(start_paused = true)]
async fn key_21_nested_routers_with_equal_paths_do_not_collide() {
    let cache = HttpCache::new();
    let app = app(&cache, nested(&cache));
    for _ in 0..2 {
        assert_eq!(app.get("/a/u/1").send().await.text(), "a 1");
        assert_eq!(app.get("/b/c/u/1").send().await.text(), "c 1");
    }
    let stats = app.stats();
    assert_eq!((stats.hits, stats.misses, stats.stored), (2, 2, 2));
    app.done().await;
}

#[tokio::test(start_paused = true)]
async fn key_21_nested_services_and_fallbacks_do_not_collide() {
    let cache = HttpCache::new();
    let part = |name: &'static str| {
        let echo = move |request: Request| async move { format!("{name} {}", request.uri()) };
        Router::new()
            .fallback(echo)
            .layer(cache.policy(Policy::ttl(minutes(5))))
    };
    let router = Router::new()
        .nest_service("/a", part("a"))
        .nest_service("/b", part("b"))
        .merge(part("root"));
    let app = app(&cache, router);
    for _ in 0..2 {
        for (path, text) in [
            ("/a/u", "a /u"),
            ("/b/u", "b /u"),
            ("/u", "root /u"),
            ("/b/u?q", "b /u?q"),
        ] {
            assert_eq!(app.get(path).send().await.text(), text);
        }
    }
    assert_eq!(app.stats().hits, 4);
    app.done().await;
}

#[tokio::test(start_paused = true)]
async fn adm_05_a_group_is_named_by_the_parameters_of_its_route() {
    let cache = HttpCache::new();
    let router = Router::new()
        .route(
            "/purge/{name}",
            post(|purge: Purge, Path(name): Path<String>| async move { purge.group(name).await }),
        )
        .layer(cache.clone())
        .merge(nested(&cache));
    let app = app(&cache, router);
    for path in ["/a/u/1", "/a/u/2", "/b/c/u/1", "/a/u/x%2Fy"] {
        app.get(path).send().await;
    }
    let is_stored = async |path: &str| app.get(path).send().await.cache().contains(";hit");
    app.post("/purge/a:1").send().await;
    assert!(!is_stored("/a/u/1").await);
    assert!(is_stored("/a/u/2").await && is_stored("/b/c/u/1").await);
    app.post("/purge/a:x%2Fy").send().await;
    assert!(
        !is_stored("/a/u/x%2Fy").await,
        "by the parameter as the handler sees it"
    );
    assert!(is_stored("/a/u/1").await);
    app.done().await;
}

#[tokio::test(start_paused = true)]
async fn adm_05_where_the_route_has_no_such_parameter_nothing_is_stored() {
    let cache = HttpCache::new();
    let calls = Calls::default();
    let policy = Policy::ttl(minutes(5)).group("user:{id}");
    let within = Router::new()
        .route(
            "/users/{name}",
            get(numbered).layer(cache.policy(policy.clone())),
        )
        .with_state(calls.clone());
    let app = app(&cache, within);
    for call in ["1", "2"] {
        assert_eq!(app.get("/users/1").send().await.text(), call);
    }
    let before = Router::new()
        .route("/users/{id}", get(numbered))
        .with_state(calls);
    let outside = App::new(
        boxed(cache.policy(policy).layer(before)),
        &cache,
        BTreeMap::new(),
    );
    for call in ["3", "4"] {
        let answer = outside.get("/users/1").send().await;
        assert_eq!(
            (answer.text(), answer.cache().ends_with("detail=groups")),
            (call, true)
        );
    }
    assert_eq!(app.stats().stored, 0);
    // Both are counted by the one cache.
    app.done_with(2).await;
    outside.done_with(2).await;
}

#[tokio::test(start_paused = true)]
async fn adm_05_a_handler_names_the_groups_of_one_response() {
    let cache = HttpCache::new();
    let calls = Calls::default();
    let show = |State(calls): State<Calls>, Path(id): Path<u64>| async move {
        let text = format!("{} {id}", calls.next());
        (
            Groups::new([format!("team:{}", id % 2)]),
            Groups::new(["all"]),
            text,
        )
    };
    let router = Router::new()
        .route("/users/{id}", get(show))
        .route(
            "/move",
            post(|purge: Purge| async move { purge.group("team:1").await }),
        )
        .layer(cache.policy(Policy::ttl(minutes(5))))
        .with_state(calls);
    let app = app(&cache, router);
    for (path, text) in [
        ("/users/1", "1 1"),
        ("/users/2", "2 2"),
        ("/users/3", "3 3"),
    ] {
        assert_eq!(app.get(path).send().await.text(), text);
    }
    app.post("/move").send().await;
    for (path, text) in [
        ("/users/1", "4 1"),
        ("/users/2", "2 2"),
        ("/users/3", "5 3"),
    ] {
        assert_eq!(app.get(path).send().await.text(), text);
    }
    cache.purger().group("all").await;
    assert_eq!(app.get("/users/2").send().await.text(), "6 2");
    app.done().await;
}

#[tokio::test(start_paused = true)]
async fn sto_37_a_handler_purges_a_path_of_its_host() {
    let cache = HttpCache::new();
    let show = |State(calls): State<Calls>| async move {
        ([(header::VARY, "accept")], calls.next().to_string())
    };
    let purge = |purge: Purge, body: String| async move {
        match purge.path(&body).await {
            Ok(()) => StatusCode::NO_CONTENT.into_response(),
            Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
        }
    };
    let router = Router::new()
        .route("/x", get(show))
        .nest("/admin", Router::new().route("/purge", post(purge)))
        .layer(cache.policy(Policy::ttl(minutes(5))))
        .with_state(Calls::default());
    let app = app(&cache, router);
    let hosts = || {
        [
            app.get("/x?q"),
            app.get("/x?q").header("accept", "de"),
            app.get("/x"),
            app.get("/x?q").host("other.test"),
        ]
    };
    for (n, request) in hosts().into_iter().enumerate() {
        assert_eq!(request.send().await.text(), (n + 1).to_string());
    }
    assert_eq!(
        app.post("/admin/purge").body("/x?q").send().await.status,
        StatusCode::NO_CONTENT
    );
    for (text, request) in ["5", "6", "3", "4"].into_iter().zip(hosts()) {
        assert_eq!(request.send().await.text(), text);
    }
    let wrong = app.post("/admin/purge").body("no path").send().await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(
        wrong.text().contains("path is `no path`; accepted is"),
        "{}",
        wrong.text()
    );
    app.done().await;
}

#[tokio::test(start_paused = true)]
async fn adm_01_purge_without_a_layer_answers_500_and_says_what_is_missing() {
    let cache = HttpCache::new();
    let router = Router::new()
        .route(
            "/purge",
            post(|purge: Purge| async move { purge.all().await }),
        )
        .route(
            "/maybe",
            post(|purge: Option<Purge>| async move { purge.is_some().to_string() }),
        )
        .route(
            "/",
            get(async || "page").layer(cache.policy(Policy::ttl(minutes(5)))),
        );
    let app = app(&cache, router);
    app.get("/").send().await;
    let answer = app.post("/purge").send().await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(
        answer
            .text()
            .starts_with("no cache layer lies before this handler: add `.layer(cache.policy(")
    );
    assert_eq!(app.post("/maybe").send().await.text(), "false");
    assert!(app.get("/").send().await.cache().contains(";hit"));
    app.done_but(2).await;
}

#[tokio::test(start_paused = true)]
async fn sto_37_a_put_invalidates_the_get_of_its_route_and_its_variants() {
    let cache = HttpCache::new();
    let show = |State(calls): State<Calls>| async move {
        (
            [(header::VARY, "accept-language")],
            calls.next().to_string(),
        )
    };
    let users = cache.policy(
        Policy::ttl(hours(1))
            .vary_by_query(["page"])
            .per_credential(),
    );
    let router = Router::new()
        .route(
            "/users/{id}",
            get(show).put(async || StatusCode::NO_CONTENT).layer(users),
        )
        .with_state(Calls::default());
    let app = app(&cache, router);
    let variants = || {
        [
            app.get("/users/1"),
            app.get("/users/1").header("accept-language", "de"),
            app.get("/users/1").header("x-forwarded-host", "cdn.test"),
            app.get("/users/1").header("cookie", "sid=1"),
            app.get("/users/2"),
        ]
    };
    for _ in 0..2 {
        for (n, request) in variants().into_iter().enumerate() {
            assert_eq!(request.send().await.text(), (n + 1).to_string());
        }
    }
    assert_eq!(
        app.put("/users/1").send().await.status,
        StatusCode::NO_CONTENT
    );
    for (text, request) in ["6", "7", "8", "9", "5"].into_iter().zip(variants()) {
        assert_eq!(request.send().await.text(), text);
    }
    app.done().await;
}

#[tokio::test(start_paused = true)]
async fn key_20_policies_of_routes_share_one_cache_and_keep_to_their_routes() {
    let cache = HttpCache::new();
    let router = Router::new()
        .route(
            "/short",
            get(numbered).layer(cache.policy(Policy::ttl(seconds(10)))),
        )
        .route(
            "/long",
            get(numbered).layer(cache.policy(Policy::ttl(hours(1)).ignore_query(["utm_*"]))),
        )
        .route("/own", get(numbered).layer(cache.policy(Policy::off())))
        .route(
            "/says",
            get(|State(calls): State<Calls>| async move {
                (
                    [(header::CACHE_CONTROL, "max-age=60")],
                    calls.next().to_string(),
                )
            }),
        )
        .route("/silent", get(numbered))
        .layer(cache.clone())
        .with_state(Calls::default());
    let app = app(&cache, router);
    let ask = async |path: &str| app.get(path).send().await.text().to_owned();
    assert_eq!(
        (ask("/short").await, ask("/long?utm_a=1").await),
        ("1".into(), "2".into())
    );
    assert_eq!(
        (ask("/own").await, ask("/says").await, ask("/silent").await),
        ("3".into(), "4".into(), "5".into())
    );
    assert_eq!(
        (ask("/short").await, ask("/long?utm_b=2").await),
        ("1".into(), "2".into())
    );
    assert_eq!(
        (ask("/own").await, ask("/says").await, ask("/silent").await),
        ("6".into(), "4".into(), "7".into())
    );
    pass(seconds(30)).await;
    assert_eq!(
        (ask("/short").await, ask("/long").await, ask("/says").await),
        ("8".into(), "2".into(), "4".into())
    );
    app.done().await;
}

#[tokio::test(start_paused = true)]
async fn sto_05_a_handler_sets_the_policy_of_one_response() {
    let cache = HttpCache::new();
    let show = |State(calls): State<Calls>, Path(id): Path<u64>| async move {
        let text = calls.next().to_string();
        match id {
            1 => (Extension(Policy::ttl(seconds(10)).group("one")), text).into_response(),
            2 => (Extension(Policy::off()), text).into_response(),
            3 => (Extension(Policy::ttl(hours(1)).group("{broken")), text).into_response(),
            _ => text.into_response(),
        }
    };
    let router = Router::new()
        .route("/{id}", get(show))
        .layer(cache.policy(Policy::ttl(hours(1)).group("all")))
        .with_state(Calls::default());
    let app = app(&cache, router);
    let ask = async |path: &str| app.get(path).send().await.text().to_owned();
    for (path, text) in [
        ("/1", "1"),
        ("/1", "1"),
        ("/2", "2"),
        ("/2", "3"),
        ("/3", "4"),
        ("/3", "5"),
        ("/4", "6"),
        ("/4", "6"),
    ] {
        assert_eq!(ask(path).await, text);
    }
    pass(seconds(11)).await;
    assert_eq!((ask("/1").await, ask("/4").await), ("7".into(), "6".into()));
    cache.purger().group("one").await;
    assert_eq!((ask("/1").await, ask("/4").await), ("8".into(), "6".into()));
    let hit = app.get("/1").open().await;
    assert!(hit.extensions.get::<Policy>().is_none());
    app.done().await;
}

#[tokio::test(start_paused = true)]
async fn sto_24_a_limiter_around_the_layer_is_not_cached_by_it() {
    async fn limited(request: Request, next: middleware::Next) -> Response {
        if request
            .headers()
            .get("x-client")
            .is_some_and(|client| client == "attacker")
        {
            let says_so = [(header::CACHE_CONTROL, "public, max-age=60")];
            return (StatusCode::TOO_MANY_REQUESTS, says_so, "slow down").into_response();
        }
        next.run(request).await
    }
    for is_outside in [true, false] {
        let cache = HttpCache::new();
        let limiter = middleware::from_fn(limited);
        let layer = cache.policy(Policy::override_ttl(minutes(5)));
        let router = Router::new().route("/", get(numbered));
        let router = if is_outside {
            router.layer(layer).layer(limiter)
        } else {
            router.layer(limiter).layer(layer)
        };
        let app = app(&cache, router.with_state(Calls::default()));
        let attack = || app.get("/").header("x-client", "attacker");
        assert_eq!(attack().send().await.text(), "slow down");
        assert_eq!(
            app.get("/").send().await.text(),
            "1",
            "outside: {is_outside}"
        );
        // Within the layer the limiter does not see hits; outside of it, it sees all.
        assert_eq!(
            attack().send().await.text(),
            if is_outside { "slow down" } else { "1" }
        );
        app.done_but(if is_outside { 2 } else { 0 }).await;
    }
}

async fn overloaded(error: tower::BoxError) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

/// `/slow` waits for the gate, holding the one permit there is; other paths are answered at once.
fn gated(gate: &Gate) -> Router {
    let gate = gate.clone();
    let handler = move |State(calls): State<Calls>, request: Request| {
        let gate = gate.clone();
        async move {
            let call = calls.next();
            if request.uri().path() == "/slow" {
                gate.opened().await;
            }
            format!("{call} {}", request.uri())
        }
    };
    Router::new().fallback(handler).with_state(Calls::default())
}

#[tokio::test(start_paused = true)]
async fn asy_40_a_hit_is_given_while_the_service_behind_is_saturated() {
    let (cache, gate) = (HttpCache::new(), Gate::closed());
    let layers = ServiceBuilder::new()
        .layer(cache.policy(Policy::ttl(minutes(5))))
        .layer(GlobalConcurrencyLimitLayer::new(1));
    let app = app(&cache, gated(&gate).layer(layers));
    assert_eq!(app.get("/hot").send().await.text(), "1 /hot");
    let slow = tokio::spawn(app.get("/slow").send());
    eventually("it holds the permit", || app.stats().flights == 1).await;
    crate::support::others_run().await;
    for _ in 0..100 {
        assert_eq!(app.get("/hot").send().await.text(), "1 /hot");
    }
    let waiting = tokio::spawn(app.get("/cold").send());
    crate::support::others_run().await;
    assert!(
        !waiting.is_finished(),
        "who goes further waits for a permit"
    );
    gate.open();
    assert_eq!(slow.await.unwrap().text(), "2 /slow");
    assert_eq!(waiting.await.unwrap().text(), "3 /cold");
    app.done().await;
}

#[tokio::test(start_paused = true)]
async fn asy_30_services_that_must_be_ready_are_made_so_where_they_are_called() {
    let (cache, gate) = (HttpCache::new(), Gate::closed());
    let layers = ServiceBuilder::new()
        .layer(cache.policy(Policy::ttl(minutes(5))))
        .layer(HandleErrorLayer::new(overloaded))
        .load_shed()
        .buffer(4)
        .layer(GlobalConcurrencyLimitLayer::new(1));
    let app = app(&cache, gated(&gate).layer(layers));
    for n in 0..20 {
        let path = format!("/{n}");
        for _ in 0..3 {
            assert_eq!(
                app.get(&path).send().await.text(),
                format!("{} {path}", 2 * n + 1)
            );
        }
        assert_eq!(
            app.post("/x").send().await.status,
            StatusCode::OK,
            "{n}: a bypass too"
        );
    }
    app.done().await;
}

#[tokio::test(start_paused = true)]
async fn asy_30_what_is_shed_is_an_answer_of_its_own_client_only() {
    let (cache, gate) = (HttpCache::new(), Gate::closed());
    let layers = ServiceBuilder::new()
        .layer(cache.policy(Policy::ttl(minutes(5))))
        .layer(HandleErrorLayer::new(overloaded))
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::new(1));
    let app = app(&cache, gated(&gate).layer(layers));
    let slow = tokio::spawn(app.get("/slow").send());
    eventually("it holds the permit", || app.stats().flights == 1).await;
    crate::support::others_run().await;
    let shed = app.get("/cold").send().await;
    assert_eq!(
        (shed.status, shed.text()),
        (StatusCode::SERVICE_UNAVAILABLE, "service overloaded")
    );
    gate.open();
    assert_eq!(slow.await.unwrap().status, StatusCode::OK);
    assert_eq!(
        app.get("/cold").send().await.text(),
        "2 /cold",
        "the refusal was not stored"
    );
    app.done().await;
}

#[tokio::test(start_paused = true)]
async fn asy_32_a_timeout_around_the_layer_costs_one_more_load_at_most() {
    let cache = HttpCache::new();
    let calls = Calls::default();
    let slow = |State(calls): State<Calls>| async move {
        let call = calls.next();
        tokio::time::sleep(seconds(2)).await;
        call.to_string()
    };
    let limit = |request: Request, next: middleware::Next| async move {
        let limit = if request.headers().contains_key("x-hasty") {
            1
        } else {
            60
        };
        match tokio::time::timeout(seconds(limit), next.run(request)).await {
            Ok(response) => response,
            Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
        }
    };
    let router = Router::new()
        .route("/", get(slow))
        .layer(cache.policy(Policy::ttl(minutes(5))))
        .layer(middleware::from_fn(limit))
        .with_state(calls.clone());
    let app = app(&cache, router);
    let hasty = tokio::spawn(app.get("/").header("x-hasty", "1").send());
    eventually("the leader", || calls.count() == 1).await;
    let patient: Vec<_> = (0..100)
        .map(|_| tokio::spawn(app.get("/").send()))
        .collect();
    for answer in patient {
        assert_eq!(answer.await.unwrap().text(), "2");
    }
    assert_eq!(hasty.await.unwrap().status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!((calls.count(), app.stats().bypasses), (2, 0));
    app.done().await;
}

#[tokio::test(start_paused = true)]
async fn sto_37_methods_outside_the_layer_of_their_route_invalidate_by_the_layer_around() {
    let cache = HttpCache::new();
    let router = Router::new()
        .route(
            "/x",
            get(numbered)
                .layer(cache.policy(Policy::ttl(hours(1))))
                .merge(put(async || "put")),
        )
        .layer(cache.clone())
        .with_state(Calls::default());
    let app = app(&cache, router);
    assert_eq!(app.get("/x").send().await.text(), "1");
    assert_eq!(app.get("/x").send().await.text(), "1");
    assert_eq!(app.put("/x").send().await.text(), "put");
    assert_eq!(app.get("/x").send().await.text(), "2");
    app.done().await;
}

#[tokio::test(start_paused = true)]
async fn asy_39_three_layers_are_as_one() {
    for [outermost, middle] in [
        [Policy::from_headers(), Policy::off()],
        [Policy::off(), Policy::from_headers()],
        [
            Policy::ttl(hours(1)),
            Policy::ttl(minutes(1)).ignore_query(["*"]),
        ],
    ] {
        let cache = HttpCache::new();
        let policy = Policy::ttl(minutes(5)).stale_while_revalidate(minutes(5));
        let router = Router::new()
            .route(
                "/x",
                get(numbered).put(numbered).layer(cache.policy(policy)),
            )
            .layer(cache.policy(middle.clone()))
            .with_state(Calls::default());
        let service = boxed(cache.policy(outermost.clone()).layer(router));
        let app = App::new(service, &cache, BTreeMap::new());
        for _ in 0..3 {
            assert_eq!(
                app.get("/x").send().await.text(),
                "1",
                "{outermost:?} {middle:?}"
            );
        }
        pass(minutes(6)).await;
        assert_eq!(app.get("/x").send().await.text(), "1");
        eventually("the refresh", || app.stats().stored == 2).await;
        assert_eq!(app.get("/x").send().await.text(), "2");
        assert_eq!(app.put("/x").send().await.text(), "3");
        assert_eq!(app.get("/x").send().await.text(), "4");
        assert_eq!(app.stats().stored, 3);
        app.done().await;
    }
}
