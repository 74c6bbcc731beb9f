//! What an operator says by the environment, of resources that actix-web matched.

use crate::support::{Calls, get};
use actix_web::{
    App, HttpResponse,
    middleware::NormalizePath,
    test::init_service,
    web::{self, Data},
};
use cache_actix::{CacheLayer, Config, HttpCache, Policy, Purge, hours};

fn cache(vars: &[(&str, &str)]) -> HttpCache {
    HttpCache::from_config(&Config::from_vars(vars.iter().copied()).unwrap()).unwrap()
}

async fn count(calls: Data<Calls>) -> String {
    calls.next().to_string()
}

async fn purge(purge: Purge, id: web::Path<u64>) -> HttpResponse {
    purge.group(format!("user:{id}")).await;
    HttpResponse::Ok().finish()
}

fn routes(app: &mut web::ServiceConfig) {
    app.app_data(Data::new(Calls::default()))
        .route("/users/me", web::get().to(count))
        .route(r"/users/{user:\d+}", web::get().to(count))
        .route("/purge/{id}", web::get().to(purge))
        .route("/posts", web::get().to(count))
        .service(web::scope("/admin").route("/{tail:.*}", web::get().to(count)));
}

macro_rules! keeps {
    ($app:expr, $path:expr) => {
        get($app, $path).await.body == get($app, $path).await.body
    };
}

const ROUTES: &str = "/users/{id} ttl=1h group=user:{id}; /admin/* off; /posts query=page";

#[actix_web::test]
async fn a_line_is_of_the_matched_resource_also_around_the_app() {
    let cache = cache(&[("CACHE_ROUTES", ROUTES)]);
    let app = &init_service(App::new().wrap(cache.clone()).configure(routes)).await;
    assert!(!keeps!(app, "/users/me"), "a resource of its own");
    let first = get(app, "/users/7").await;
    assert!(get(app, "/users/7").await.is_hit());
    // The line calls the parameter otherwise than the resource does: both names are good.
    get(app, "/purge/7").await;
    assert_ne!(get(app, "/users/7").await.body, first.body);
}

#[actix_web::test]
async fn a_line_goes_before_the_policy_of_its_resource() {
    let cache = cache(&[("CACHE_ROUTES", ROUTES)]);
    let hour = || cache.policy(Policy::ttl(hours(1)));
    let app = App::new().app_data(Data::new(Calls::default())).service(
        web::scope("")
            .service(web::resource("/users/me").wrap(hour()).to(count))
            .service(web::resource("/posts").wrap(hour()).to(count))
            .service(web::resource("/admin/{tail:.*}").wrap(hour()).to(count)),
    );
    let app = &init_service(app).await;
    assert!(keeps!(app, "/users/me"), "what no line names is the code's");
    assert!(!keeps!(app, "/admin/users"));
    assert!(get(app, "/admin/users").await.cache().contains("policy"));
    let one = get(app, "/posts?page=1&x=1").await;
    assert_eq!(get(app, "/posts?page=1&x=2").await.body, one.body);
    assert_ne!(get(app, "/posts?page=2&x=1").await.body, one.body);
}

#[actix_web::test]
async fn disabled_everything_passes_through_and_no_field_is_added() {
    let cache = cache(&[("CACHE_ENABLED", "off")]);
    let layer = cache.policy(Policy::ttl(hours(1)));
    let app = &init_service(App::new().wrap(layer).configure(routes)).await;
    assert!(!keeps!(app, "/posts"));
    assert_eq!(get(app, "/posts").await.cache(), "");
    // A handler that purges need not know.
    assert!(get(app, "/purge/1").await.status.is_success());
    let stats = cache.stats();
    assert_eq!((stats.bypasses, stats.misses, stats.entries), (4, 0, 0));
}

#[actix_web::test]
async fn a_layer_from_the_environment_is_safe_as_it_stands() {
    let layer = CacheLayer::from_env().unwrap();
    let app = &init_service(App::new().wrap(layer).configure(routes)).await;
    assert!(
        !keeps!(app, "/posts"),
        "a response that says nothing is not stored"
    );
    let quiet = cache(&[("CACHE_STATUS", "off"), ("CACHE_TTL_DEFAULT", "1h")]);
    let app = &init_service(App::new().wrap(quiet).configure(routes)).await;
    assert!(keeps!(app, "/posts"));
    assert_eq!(get(app, "/posts").await.cache(), "");
}

/// Says which handler it is, and how often one was called.
fn named(name: &'static str) -> actix_web::Route {
    web::to(move |calls: Data<Calls>| async move { format!("{name} {}", calls.next()) })
}

#[actix_web::test]
async fn a_line_is_of_the_resource_that_the_router_finds_however_the_path_is_spelled() {
    let cache = cache(&[("CACHE_ROUTES", "/admin/* off; /{a}/{b} ttl=1h")]);
    let app = App::new()
        .wrap(cache.clone())
        .wrap(cache.policy(Policy::from_headers()))
        .app_data(Data::new(Calls::default()))
        .route("/admin/{page}", named("admin"))
        .route("/{a}/{b}", named("other"));
    let app = &init_service(app).await;
    for path in ["/admin/x", "/%61dmin/x", "/admin/%78"] {
        assert!(get(app, path).await.body.starts_with("admin"), "{path}");
        assert!(!keeps!(app, path), "{path}");
    }
    assert!(keeps!(app, "/x/y"));
}

#[actix_web::test]
async fn a_line_is_of_the_one_pattern_that_took_the_path() {
    let cache = cache(&[("CACHE_ROUTES", "/u/{id} off; /users/{id} ttl=1h")]);
    let both = || web::resource(["/users/{id}", "/u/{id}"]);
    let calls = || App::new().app_data(Data::new(Calls::default()));
    let around = &init_service(calls().wrap(cache.clone()).service(both().to(count))).await;
    assert!(keeps!(around, "/users/1") && !keeps!(around, "/u/1"));
    let within = &init_service(calls().service(both().wrap(cache.clone()).to(count))).await;
    assert!(keeps!(within, "/users/2") && !keeps!(within, "/u/2"));
}

#[actix_web::test]
async fn what_the_app_makes_plain_behind_the_layer_is_off_in_every_spelling() {
    let cache = cache(&[("CACHE_ROUTES", "/admin/* off; /{*rest} ttl=1h")]);
    let app = App::new()
        .wrap(NormalizePath::trim())
        .wrap(cache)
        .app_data(Data::new(Calls::default()))
        .route("/admin/{page}", named("admin"))
        .route("/{rest:.*}", named("other"));
    let app = &init_service(app).await;
    for path in ["/admin/x", "//admin/x", "//admin//x"] {
        assert!(get(app, path).await.body.starts_with("admin"), "{path}");
        assert!(!keeps!(app, path), "{path}");
    }
    assert!(keeps!(app, "//x//y"));
}
