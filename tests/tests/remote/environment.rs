//! Where entries are kept, as the environment says.

use crate::support::{Loads, until};
use bytes::Bytes;
use cache_core::{Cache, config::Tiers};
use cache_tower::{Config, HttpCache, Policy, ResponseBody, minutes};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use tests::redis::Server;
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};

type Req = Request<Empty<Bytes>>;
type App = BoxCloneSyncService<Req, Response<ResponseBody<Full<Bytes>>>, Infallible>;

/// What a process is told, with patience for a busy machine.
fn config(kind: &str, url: &str) -> Config {
    let vars = [
        ("CACHE_TYPE", kind),
        ("REDIS_URL", url),
        ("CACHE_PREFIX", "it:"),
        ("CACHE_POOL_MIN_SIZE", "2"),
        ("CACHE_POOL_TIMEOUT", "2s"),
        ("CACHE_REMOTE_BUDGET", "1s"),
    ];
    Config::from_vars(vars).unwrap()
}

fn site(config: &Config) -> (HttpCache, App, Arc<AtomicUsize>) {
    let cache = HttpCache::from_config(config).unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let service = tower::service_fn(move |request: Req| {
        let number = counted.fetch_add(1, SeqCst) + 1;
        let mut response = Response::new(Full::from(number.to_string()));
        if request.uri().path() == "/varies" {
            let fields = response.headers_mut();
            fields.insert("vary", http::HeaderValue::from_static("accept"));
        }
        async move { Ok::<_, Infallible>(response) }
    });
    let layer = cache.policy(Policy::ttl(minutes(5)).group("all"));
    (cache, App::new(layer.layer(service)), calls)
}

async fn get(app: &App, path: &str) -> String {
    let request = Request::get(format!("http://test{path}"));
    let request = request.body(Empty::new()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

async fn connected(cache: &HttpCache) {
    until("it is connected and told of changes", async || {
        let stats = cache.remote_stats().unwrap();
        stats.health.is_up() && stats.is_coherent
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_alone_keeps_responses_there_and_none_in_memory() {
    let server = Server::start();
    let config = config("redis", &server.url());
    assert_eq!(config.tiers(), Some(Tiers::Redis));
    let (one, app, calls) = site(&config);
    connected(&one).await;
    for path in ["/", "/varies"] {
        let first = get(&app, path).await;
        for _ in 0..3 {
            assert_eq!(get(&app, path).await, first, "{path}");
        }
    }
    assert_eq!(calls.load(SeqCst), 2);
    let stats = one.stats();
    assert_eq!((stats.entries, stats.hits), (0, 6), "{stats:?}");
    assert!(stats.remote_hits >= stats.hits, "{stats:?}");
    // Another process, another config: the same entries.
    let (other, its_app, its_calls) = site(&self::config("redis", &server.url()));
    connected(&other).await;
    assert_eq!(
        (get(&its_app, "/").await.as_str(), its_calls.load(SeqCst)),
        ("1", 0)
    );
    one.purger().group("all").await;
    assert_eq!(get(&its_app, "/").await, "1", "its own first call");
    assert_eq!(its_calls.load(SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_alone_and_away_each_request_loads() {
    let server = Server::stopped();
    let (cache, app, calls) = site(&config("redis", &server.url()));
    for number in 1..4 {
        assert_eq!(get(&app, "/").await, number.to_string());
    }
    assert_eq!((calls.load(SeqCst), cache.stats().entries), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn tiered_keeps_responses_in_both() {
    let server = Server::start();
    let config = config("tiered", &server.url());
    let (cache, app, calls) = site(&config);
    connected(&cache).await;
    get(&app, "/").await;
    until("it is told of its own write, or not", async || {
        get(&app, "/").await == "1" && cache.stats().hits > 0
    })
    .await;
    assert_eq!((calls.load(SeqCst), cache.stats().entries), (1, 1));
    let (other, its_app, its_calls) = site(&self::config("redis", &server.url()));
    connected(&other).await;
    assert_eq!(
        (get(&its_app, "/").await.as_str(), its_calls.load(SeqCst)),
        ("1", 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_config_gives_all_its_caches_the_same_connections_and_names() {
    let server = Server::start();
    let config = config("tiered", &server.url());
    let (cache, app, _) = site(&config);
    let values: Cache<u64> = Cache::builder("numbers")
        .from_config(&config)
        .build()
        .unwrap();
    connected(&cache).await;
    get(&app, "/").await;
    let loads = Loads::default();
    values
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    let mut redis = redis::Client::open(server.url())
        .unwrap()
        .get_connection()
        .unwrap();
    let names: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut redis).unwrap();
    // Beside what is under the prefix, when the latest entry of a group was born.
    let is_ours = |name: &String| name.starts_with("it:") || name == "lease:{it:}%born";
    assert!(!names.is_empty() && names.iter().all(is_ours), "{names:?}");
    assert!(names.iter().any(|name| name == "it:numbers:1"), "{names:?}");
    // Two lanes, one for large values, the link: of all its caches together. And this test's own.
    let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut redis).unwrap();
    assert!(clients.lines().count() <= 5, "{clients}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_of_memory_leaves_redis_alone() {
    let server = Server::start();
    let (cache, app, calls) = site(&config("memory", &server.url()));
    assert!(cache.remote_stats().is_none());
    assert_eq!(
        (get(&app, "/").await, get(&app, "/").await),
        ("1".into(), "1".into())
    );
    assert_eq!((calls.load(SeqCst), cache.stats().entries), (1, 1));
    let mut redis = redis::Client::open(server.url())
        .unwrap()
        .get_connection()
        .unwrap();
    let count: usize = redis::cmd("DBSIZE").query(&mut redis).unwrap();
    assert_eq!(count, 0);
}
