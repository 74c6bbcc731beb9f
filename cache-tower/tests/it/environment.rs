//! What an operator says by the environment, before handlers that count their calls.

use crate::support::{
    Answer, App, Calls, Step, TestBody, call, check, fetch, read, status, text, with,
};
use bytes::Bytes;
use cache_core::config::checks;
use cache_tower::{Config, HttpCache, Policy, Profile, config, hours, minutes, seconds};
use http::Request;
use http_body_util::Empty;
use proptest::prelude::*;
use std::convert::Infallible;
use tower::{Layer, util::BoxCloneSyncService};

type Vars<'a> = &'a [(&'a str, &'a str)];

fn configured(vars: Vars<'_>) -> Config {
    Config::from_vars(vars.iter().copied()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(vars: Vars<'_>) -> String {
    let error = Config::from_vars(vars.iter().copied()).unwrap_err();
    assert!(error.is_config());
    error.to_string()
}

/// A cache that the environment sets, and a service under a policy of the code, whose bodies are numbers
/// of calls.
struct Site {
    cache: HttpCache,
    app: App,
    calls: Calls,
}

impl Site {
    fn new(vars: Vars<'_>, policy: Policy) -> Self {
        Self::with(vars, policy, |response| response)
    }

    fn with(
        vars: Vars<'_>,
        policy: Policy,
        change: impl Fn(http::Response<TestBody>) -> http::Response<TestBody>
        + Clone
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let cache = HttpCache::from_config(&configured(vars)).unwrap();
        let calls = Calls::default();
        let counted = calls.clone();
        let service = tower::service_fn(move |_: crate::support::Req| {
            let number = counted.note() + 1;
            let response = http::Response::new(TestBody::full(number.to_string()));
            let response = change(response);
            async move { Ok::<_, Infallible>(response) }
        });
        let app = BoxCloneSyncService::new(cache.policy(policy).layer(service));
        Self { cache, app, calls }
    }

    async fn get(&self, path: &str) -> Answer {
        fetch(&self.app, path).await
    }

    async fn body(&self, path: &str) -> String {
        String::from_utf8(self.get(path).await.body.to_vec()).unwrap()
    }

    async fn get_with(&self, path: &str, name: &'static str, value: &'static str) -> Answer {
        let request = Request::get(format!("http://test{path}")).header(name, value);
        let response = call(&self.app, request.body(Empty::new()).unwrap()).await;
        read(response).await.unwrap()
    }

    /// Whether the second of two requests is answered by the first's response.
    async fn keeps(&self, path: &str) -> bool {
        self.body(path).await == self.body(path).await
    }
}

/// What a variable of HTTP changes: what to set, and what is then so, and was not before.
async fn has_effect(name: &str, vars: Vars<'_>) -> bool {
    match name {
        "CACHE_MAX_BODY" => {
            let long = |response: http::Response<TestBody>| {
                response.map(|_| TestBody::full("x".repeat(5000)))
            };
            let site = Site::with(vars, Policy::ttl(hours(1)), long);
            site.get("/").await;
            site.get("/").await;
            site.calls.count() == 2
        }
        "CACHE_PROFILE" => {
            let cookie = |response| {
                with(
                    with(response, "set-cookie", "a=1"),
                    "cache-control",
                    "max-age=60",
                )
            };
            Site::with(vars, Policy::from_headers(), cookie)
                .keeps("/")
                .await
        }
        "CACHE_TARGETED_FIELDS" => {
            let targeted = |response| {
                let response = with(response, "cache-control", "no-store");
                with(response, "cdn-cache-control", "max-age=60")
            };
            Site::with(vars, Policy::from_headers(), targeted)
                .keeps("/")
                .await
        }
        "CACHE_STATUS" => {
            let site = Site::new(vars, Policy::ttl(hours(1)));
            let answers = [site.get("/").await, site.get("/").await];
            let says = |answer: &Answer| answer.headers.contains_key("cache-status");
            assert_eq!(site.calls.count(), 1);
            !answers.iter().any(says)
        }
        "CACHE_ROUTES" => Site::new(vars, Policy::off()).keeps("/posts").await,
        other => panic!("{other} has no test"),
    }
}

const EFFECTS: [(&str, &str); 5] = [
    ("CACHE_MAX_BODY", "4KiB"),
    ("CACHE_PROFILE", "standard"),
    ("CACHE_TARGETED_FIELDS", "CDN-Cache-Control"),
    ("CACHE_STATUS", "off"),
    ("CACHE_ROUTES", "/posts ttl=1m"),
];

#[tokio::test(start_paused = true)]
async fn every_variable_changes_what_its_row_says() {
    for variable in config::VARIABLES {
        let set = EFFECTS.iter().find(|(name, _)| *name == variable.name);
        let (name, value) = set.unwrap_or_else(|| panic!("{} has no test", variable.name));
        assert!(has_effect(name, &[(name, value)]).await, "{name}");
        assert!(!has_effect(name, &[]).await, "{name} without it");
    }
}

#[test]
fn every_variable_has_a_default_a_form_and_a_unit_as_its_row_says() {
    let read =
        |vars: Vec<(&'static str, String)>| Config::from_vars(vars).map(|config| (*config).clone());
    checks::every_variable(config::VARIABLES, &read);
}

#[test]
fn caches_of_values_leave_all_variables_of_http_alone() {
    let mut names: Vec<&str> = config::VARIABLES
        .iter()
        .map(|variable| variable.name)
        .collect();
    names.sort_unstable();
    assert_eq!(names, cache_core::config::OF_HTTP);
}

#[tokio::test(start_paused = true)]
async fn a_line_goes_before_what_the_code_says_of_its_route() {
    let vars = [(
        "CACHE_ROUTES",
        "/users/{id} ttl=10; /posts query=page; /admin/* off; /now override_ttl=10",
    )];
    let site = Site::with(&vars, Policy::ttl(hours(1)), |response| response);
    // The lifetime, and that alone, of one route.
    assert_eq!(site.body("/users/1").await, "1");
    assert_eq!(site.body("/users/1").await, "1");
    assert_eq!(site.body("/other").await, "2");
    tokio::time::advance(seconds(10)).await;
    assert_eq!(site.body("/users/1").await, "3");
    assert_eq!(site.body("/other").await, "2");
    // What tells requests apart.
    assert_eq!(site.body("/posts?page=1&utm=a").await, "4");
    assert_eq!(site.body("/posts?page=1&utm=b").await, "4");
    assert_eq!(site.body("/posts?page=2").await, "5");
    // Nothing at all, and Cache-Status says by what.
    let passed = site.get("/admin/users").await;
    assert!(passed.status_field().contains("policy"), "{passed:?}");
    assert!(!site.keeps("/admin/users").await && !site.keeps("/%61dmin/users").await);
    check(&site.cache);
}

#[tokio::test(start_paused = true)]
async fn a_line_turns_on_what_the_code_has_off_and_off_what_it_has_on() {
    let vars = [("CACHE_ROUTES", "/a ttl=10; /b off; /c stale_if_error=60")];
    let off = Site::new(&vars, Policy::off());
    assert!(off.keeps("/a").await && !off.keeps("/c").await);
    let on = Site::new(&vars, Policy::ttl(hours(1)));
    assert!(!on.keeps("/b").await && on.keeps("/c").await && on.keeps("/d").await);
}

#[tokio::test(start_paused = true)]
async fn a_line_goes_before_what_a_handler_says_of_its_response() {
    let vars = [("CACHE_ROUTES", "/a ttl=10")];
    let hour = |mut response: http::Response<TestBody>| {
        response.extensions_mut().insert(Policy::ttl(hours(1)));
        response
    };
    let site = Site::with(&vars, Policy::from_headers(), hour);
    for (path, calls) in [("/a", 2), ("/b", 1)] {
        let before = site.calls.count();
        site.get(path).await;
        tokio::time::advance(seconds(11)).await;
        site.get(path).await;
        assert_eq!(site.calls.count() - before, calls, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_of_a_line_takes_the_parameters_of_its_own_route() {
    let vars = [("CACHE_ROUTES", "/users/{id} ttl=1h group=user:{id}")];
    let site = Site::new(&vars, Policy::from_headers());
    assert_eq!(
        (site.body("/users/1").await, site.body("/users/2").await),
        ("1".into(), "2".into())
    );
    site.cache.purger().group("user:1").await;
    assert_eq!(
        (site.body("/users/1").await, site.body("/users/2").await),
        ("3".into(), "2".into())
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_line_puts_off_is_off_in_every_spelling_of_its_path() {
    let vars = [("CACHE_ROUTES", "/admin/* off; /* ttl=1h")];
    let site = Site::new(&vars, Policy::from_headers());
    for path in [
        "/admin/x",
        "//admin/x",
        "/admin%2Fx",
        "/x/../admin/x",
        "/x%2f..%2fadmin/x",
    ] {
        assert!(!site.keeps(path).await, "{path}");
    }
    assert!(site.keeps("/x%2Fadmin/x").await && site.keeps("//x").await);
}

#[tokio::test(start_paused = true)]
async fn a_line_keeps_the_groups_of_the_code() {
    let vars = [("CACHE_ROUTES", "/users/{id} ttl=1h group=more")];
    for group in ["more", "all"] {
        let site = Site::new(&vars, Policy::ttl(hours(2)).group("all"));
        assert!(site.keeps("/users/1").await);
        site.cache.purger().group(group).await;
        assert_eq!(site.body("/users/1").await, "2", "{group}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_keeps_users_apart() {
    let vars = [("CACHE_ROUTES", "/me ttl=1h per_credential")];
    let site = Site::new(&vars, Policy::ttl(hours(1)).ignore_credentials());
    let get = async |path, value| site.get_with(path, "cookie", value).await.body;
    assert_eq!(get("/me", "a").await, "1");
    assert_eq!(get("/me", "a").await, "1");
    assert_eq!(get("/me", "b").await, "2");
    assert_eq!(get("/all", "a").await, "3");
    assert_eq!(get("/all", "b").await, "3");
}

#[tokio::test(start_paused = true)]
async fn a_line_tells_requests_apart_by_a_field_and_by_that_alone_more() {
    let vars = [("CACHE_ROUTES", "/a vary=x-tenant")];
    let site = Site::new(&vars, Policy::ttl(hours(1)));
    let get = async |path, value| site.get_with(path, "x-tenant", value).await.body;
    assert_ne!(get("/a", "1").await, get("/a", "2").await);
    assert_eq!(get("/b", "1").await, get("/b", "2").await);
}

#[tokio::test(start_paused = true)]
async fn an_update_invalidates_on_the_route_of_a_line_too() {
    let vars = [("CACHE_ROUTES", "/posts ttl=1h query=page")];
    let site = Site::new(&vars, Policy::from_headers());
    assert!(site.keeps("/posts?page=1&x=1").await);
    let put = Request::put("http://test/posts?page=1")
        .body(Empty::new())
        .unwrap();
    call(&site.app, put).await;
    assert_eq!(site.body("/posts?page=1&x=2").await, "3");
}

#[tokio::test(start_paused = true)]
async fn classes_and_defaults_are_lifetimes_of_responses_that_name_none() {
    let vars = [("CACHE_TTL_SESSION", "10"), ("CACHE_TTL_DEFAULT", "20")];
    for (policy, lifetime) in [
        (Policy::ttl(hours(1)).class("session"), 10),
        (Policy::from_headers().class("session"), 10),
        (Policy::override_ttl(hours(1)).class("session"), 10),
        (Policy::from_headers(), 20),
        (Policy::ttl(seconds(30)), 30),
    ] {
        let site = Site::new(&vars, policy.clone());
        site.get("/").await;
        tokio::time::advance(seconds(lifetime - 1)).await;
        assert_eq!(site.body("/").await, "1", "{policy:?}");
        tokio::time::advance(seconds(1)).await;
        assert_eq!(site.body("/").await, "2", "{policy:?}");
    }
    let off = Site::new(&vars, Policy::off());
    assert!(!off.keeps("/").await, "what is off stays off");
    let named = |response| with(response, "cache-control", "max-age=5");
    let site = Site::with(&vars, Policy::from_headers(), named);
    site.get("/").await;
    tokio::time::advance(seconds(5)).await;
    assert_eq!(
        site.body("/").await,
        "2",
        "what a response names itself stands"
    );
}

#[tokio::test(start_paused = true)]
async fn windows_of_the_environment_go_before_the_codes() {
    let vars = [("CACHE_STALE_IF_ERROR", "60")];
    let cache = HttpCache::from_config(&configured(&vars)).unwrap();
    let calls = Calls::default();
    let counted = calls.clone();
    let service = tower::service_fn(move |_: crate::support::Req| {
        let first = counted.note() == 0;
        async move {
            Ok::<_, Infallible>(if first {
                text("stored")
            } else {
                status(500, "down")
            })
        }
    });
    let policy = Policy::ttl(seconds(1)).stale_if_error(seconds(0));
    let app: App = BoxCloneSyncService::new(cache.policy(policy).layer(service));
    for past in [0, 30] {
        tokio::time::advance(seconds(past)).await;
        assert_eq!(fetch(&app, "/").await.body, "stored");
    }
    tokio::time::advance(seconds(60)).await;
    assert_eq!(fetch(&app, "/").await.body, "down");
}

#[tokio::test(start_paused = true)]
async fn disabled_everything_passes_through_and_no_field_is_added() {
    let site = Site::with(
        &[("CACHE_ENABLED", "no")],
        Policy::ttl(hours(1)),
        |response| with(response, "x-own", "1"),
    );
    let (one, other) = tokio::join!(site.get("/"), site.get("/"));
    assert_ne!(one.body, other.body);
    for answer in [&one, &other] {
        let names: Vec<&str> = answer.headers.keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["x-own"]);
    }
    let only = site.get_with("/", "cache-control", "only-if-cached").await;
    assert_eq!(only.body, "3", "nor is anything refused");
    site.cache.purger().all().await;
    let stats = site.cache.stats();
    assert_eq!(
        (stats.bypasses, stats.hits, stats.misses, stats.entries),
        (3, 0, 0, 0)
    );
    check(&site.cache);
}

#[tokio::test(start_paused = true)]
async fn disabled_a_handler_can_purge_and_bodies_stream_all_the_same() {
    let cache = HttpCache::from_config(&configured(&[("CACHE_ENABLED", "0")])).unwrap();
    let service = tower::service_fn(|request: crate::support::Req| async move {
        let purger = request
            .extensions()
            .get::<cache_tower::adapter::Purger>()
            .cloned();
        purger
            .expect("it is there, whether there is a cache or not")
            .group("g")
            .await;
        let frames = [
            Step::Data(Bytes::from("a")),
            Step::Yield,
            Step::Data(Bytes::from("b")),
        ];
        Ok::<_, Infallible>(http::Response::new(TestBody::of(frames)))
    });
    let app: App = BoxCloneSyncService::new(cache.policy(Policy::ttl(hours(1))).layer(service));
    assert_eq!(fetch(&app, "/").await.body, "ab");
}

#[tokio::test(start_paused = true)]
async fn one_config_serves_caches_of_both_kinds() {
    let config = configured(&[("CACHE_TTL_SESSION", "10"), ("CACHE_ROUTES", "/a off")]);
    let values: cache_core::Cache<u64> = cache_core::Cache::builder("it")
        .policy(cache_core::Policy::ttl(minutes(5)).class("session"))
        .from_config_with(&config, cache_core_codec::Number)
        .build()
        .unwrap();
    values.insert(&1, 1).await.unwrap();
    tokio::time::advance(seconds(10)).await;
    assert!(values.get(&1).await.is_none());
    assert_eq!(config.warnings(), [], "the class is named by now");
    let cache = HttpCache::from_config(&config).unwrap();
    assert_eq!(cache.config(), Some(&config));
}

mod cache_core_codec {
    use cache_core::{Codec, Error};

    #[derive(Debug)]
    pub(super) struct Number;

    impl Codec<u64> for Number {
        fn encode(&self, value: &u64) -> Result<Vec<u8>, Error> {
            Ok(value.to_be_bytes().to_vec())
        }

        fn decode(&self, bytes: &[u8]) -> Result<u64, Error> {
            bytes
                .try_into()
                .map(u64::from_be_bytes)
                .map_err(Error::codec)
        }
    }
}

#[test]
fn sizes_that_have_no_place_in_each_other_are_named() {
    let vars = [("CACHE_MAX_BODY", "1MiB"), ("CACHE_MEMORY_SIZE", "1MiB")];
    let error = HttpCache::from_config(&configured(&vars))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("CACHE_MAX_BODY") && error.contains("CACHE_MEMORY_SIZE"),
        "{error}"
    );
}

/// A body that fits is kept, and one that is larger than could be is passed on.
#[tokio::test]
async fn in_a_small_memory_the_largest_body_is_what_fits() {
    for (memory, kept, passed) in [
        ("64MiB", 1 << 20, (1 << 20) + 1),
        ("4MiB", 800 << 10, 1 << 20),
        ("256KiB", 20 << 10, 64 << 10),
    ] {
        let calls = async |length: usize| {
            let long = move |response: http::Response<TestBody>| {
                response.map(|_| TestBody::full("x".repeat(length)))
            };
            let site = Site::with(
                &[("CACHE_MEMORY_SIZE", memory)],
                Policy::ttl(hours(1)),
                long,
            );
            for _ in 0..2 {
                assert_eq!(site.body("/").await.len(), length);
            }
            site.calls.count()
        };
        assert_eq!((calls(kept).await, calls(passed).await), (1, 2), "{memory}");
    }
}

#[test]
fn what_is_wrong_with_http_and_with_the_rest_is_in_one_error() {
    let error = refused(&[
        ("CACHE_ROUTES", "/users/{id} ttl=banana"),
        ("CACHE_TTL_DEFAULT", "banana"),
        ("CACHE_ROUTE", "/a off"),
        ("CACHE_STATUS", "maybe"),
    ]);
    for said in [
        "4 variables",
        "CACHE_ROUTES is `/users/{id} ttl=banana`: `/users/{id} ttl=banana`: it is no time",
        "CACHE_TTL_DEFAULT is `banana`",
        "CACHE_ROUTE is not known; did you mean CACHE_ROUTES?",
        "CACHE_STATUS is `maybe`; accepted is true or false",
    ] {
        assert!(error.contains(said), "{said} is not in {error}");
    }
}

#[test]
fn sec_01_a_secret_in_the_wrong_place_is_not_shown() {
    for name in [
        "CACHE_ROUTES",
        "CACHE_TARGETED_FIELDS",
        "CACHE_PROFILE",
        "CACHE_STATUS",
    ] {
        let error = refused(&[(name, "redis://user:canary@host/0")]);
        assert!(
            error.contains("redis://host") && !error.contains("canary"),
            "{error}"
        );
    }
}

#[test]
fn routes_are_warned_of() {
    let codes = |vars: Vars<'_>| -> Vec<&'static str> {
        configured(vars)
            .warnings()
            .iter()
            .map(|warning| warning.code())
            .collect()
    };
    for (vars, expected) in [
        (("CACHE_ROUTES", "/api/Me/{x} ttl=1h"), Some("W101")),
        (
            (
                "CACHE_ROUTES",
                "/cart ttl=1h per_credential; /account off; /orders ttl=0; /post ttl=1h",
            ),
            None,
        ),
        (("CACHE_PROFILE", "standard"), Some("W102")),
        (("CACHE_TTL_DEFAULT", "1h"), Some("W103")),
        (("CACHE_TTL_DEFAULT", "0"), None),
        (("CACHE_ROUTES", "/a ttl=0 stale_if_error=1m"), Some("W104")),
    ] {
        assert_eq!(codes(&[vars]), Vec::from_iter(expected), "{vars:?}");
    }
    let of_class = |ttl| {
        let routes = ("CACHE_ROUTES", "/me class=session");
        codes(&[routes, ("CACHE_TTL_SESSION", ttl)])
    };
    assert_eq!((of_class("1h"), of_class("0")), (vec!["W101"], vec![]));
    let text = configured(&[("CACHE_ROUTES", "/me ttl=1h")]).to_string();
    assert!(text.contains("\nW101: ") && text.contains("/me"), "{text}");
    // Each is explained where its code leads.
    let pages = [
        include_str!("../../src/config/mod.rs"),
        include_str!("../../../cache-core/src/config/mod.rs"),
    ];
    for code in [
        "W001", "W002", "W003", "W004", "W005", "W006", "W007", "W008", "W101", "W102", "W103",
        "W104",
    ] {
        assert!(
            pages
                .iter()
                .any(|page| page.contains(&format!("//! | {code} | "))),
            "{code}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_without_a_lifetime_is_no_panic_where_routes_are_declared() {
    let vars = [
        ("CACHE_TTL_SESSION", "0"),
        ("CACHE_ROUTES", "/a ttl=0 stale_if_error=1m"),
    ];
    let policy = Policy::ttl(hours(1))
        .stale_if_error(hours(1))
        .class("session");
    let site = Site::new(&vars, policy);
    assert!(!site.keeps("/a").await && !site.keeps("/b").await);
}

#[test]
fn the_readme_has_the_table_of_variables() {
    let readme = include_str!("../../../README.md");
    let table = format!(
        "<!-- variables -->\n\n{}\n<!-- /variables -->\n",
        config::markdown()
    );
    assert!(
        readme.contains(&table),
        "the README's table of variables is out of date: run `cargo xtask variables`"
    );
}

#[test]
fn the_readme_has_all_warnings_as_the_documentation_has_them() {
    let readme = include_str!("../../../README.md");
    let documented = [
        include_str!("../../../cache-core/src/config/mod.rs"),
        include_str!("../../src/config/mod.rs"),
    ];
    let lines = documented.into_iter().flat_map(str::lines);
    let rows: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("//! "))
        .filter(|line| line.starts_with("| W0") || line.starts_with("| W1"))
        .collect();
    assert_eq!(rows.len(), 12);
    let missing: Vec<_> = rows.iter().filter(|row| !readme.contains(**row)).collect();
    assert!(missing.is_empty(), "the README lacks {missing:?}");
}

#[tokio::test(start_paused = true)]
async fn a_profile_of_a_line_is_that_of_its_route_alone() {
    for (vars, standard) in [
        (
            [
                ("CACHE_ROUTES", "/a profile=standard"),
                ("CACHE_PROFILE", "guarded"),
            ],
            "/a",
        ),
        (
            [
                ("CACHE_ROUTES", "/a profile=guarded"),
                ("CACHE_PROFILE", "standard"),
            ],
            "/b",
        ),
    ] {
        let cookie = |response| {
            with(
                with(response, "set-cookie", "a=1"),
                "cache-control",
                "max-age=60",
            )
        };
        let policy = Policy::from_headers().profile(Profile::Guarded);
        let site = Site::with(&vars, policy, cookie);
        for path in ["/a", "/b"] {
            assert_eq!(site.keeps(path).await, path == standard, "{path} {vars:?}");
        }
    }
}

fn times() -> impl Strategy<Value = String> {
    (
        0_u64..100_000,
        prop::sample::select(vec!["", "ms", "s", "m", "h", "d"]),
    )
        .prop_map(|(number, unit)| format!("{number}{unit}"))
}

/// A value that may be one of a variable.
fn values(variable: &'static cache_core::config::Variable) -> BoxedStrategy<String> {
    use cache_core::config::Form;
    match variable.form {
        Form::Switch => prop::sample::select(vec!["1", "off", "True", "no"]).prop_map(String::from).boxed(),
        Form::Time { .. } => times().boxed(),
        Form::Size { .. } => (1_u64..5000, prop::sample::select(vec!["", "KiB", "MB", "mib", "GiB"]))
            .prop_map(|(number, unit)| format!("{number}{unit}"))
            .boxed(),
        Form::Count { .. } => (0_u64..20).prop_map(|count| count.to_string()).boxed(),
        Form::Share => (0.0_f64..1.1).prop_map(|share| share.to_string()).boxed(),
        Form::Factor(_) => (0.0_f64..101.0).prop_map(|factor| factor.to_string()).boxed(),
        Form::Word(words) => prop::sample::select(words).prop_map(String::from).boxed(),
        Form::Url => Just("memory".to_owned()).boxed(),
        Form::Text { .. } => prop_oneof![
            "/[a-c]{1,2}(/\\{[a-c]\\})? (off|ttl=[0-9]{1,3}[smh]|query=[a-c]|vary=x-[a-c])(; /d/\\* off)?",
            "[a-zA-Z]{1,8}(,[a-zA-Z]{1,8})?",
            Just("none".to_owned()),
        ]
        .boxed(),
    }
}

fn some_variables() -> impl Strategy<Value = Vec<(String, String)>> {
    let all: Vec<_> = cache_core::config::VARIABLES
        .iter()
        .chain(config::VARIABLES)
        .filter(|variable| !matches!(variable.form, cache_core::config::Form::Url))
        .map(|variable| {
            let name = variable.name.replace("<CLASS>", "SESSION");
            prop::option::of(values(variable).prop_map(move |value| (name.clone(), value)))
        })
        .collect();
    all.prop_map(|set| set.into_iter().flatten().collect())
}

proptest! {
    #[test]
    fn what_is_printed_of_a_config_reads_back_as_the_same(vars in some_variables()) {
        // Those that are refused are left out, one by one.
        let good = vars.into_iter().filter(|var| Config::from_vars([var.clone()]).is_ok());
        let Ok(config) = Config::from_vars(good.collect::<Vec<_>>()) else { return Ok(()) };
        let set = config.rows().into_iter().filter(|row| row.is_set);
        let printed: Vec<(String, String)> = set.map(|row| (row.name.into_owned(), row.value)).collect();
        let again = Config::from_vars(printed).unwrap();
        prop_assert_eq!(&again, &config);
        prop_assert_eq!(again.to_string(), config.to_string());
    }

    #[test]
    fn whatever_routes_say_layers_are_made_of_it_or_it_is_refused(
        text in "(/[-/a-c{}*]{0,9} ([a-z_]{1,9}=[a-c{}0-9smh,]{0,6}|off|ttl=[0-9]{1,4}[smhd]?|group=[a{}]{1,5})[; \n]?){0,3}",
    ) {
        if let Ok(config) = Config::from_vars([("CACHE_ROUTES", text)]) {
            let cache = HttpCache::from_config(&config).unwrap();
            let _ = cache.policy(Policy::ttl(minutes(1)).stale_if_error(minutes(1)));
        }
    }
}
