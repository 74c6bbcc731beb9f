//! HTTP caches that share one server.

use crate::support::{redis as link, requests, until};
use bytes::Bytes;
use cache_core::remote::{RemoteSettings, State};
use cache_tower::{HttpCache, Policy, ResponseBody, minutes};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tests::redis::Server;
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};

type Req = Request<Empty<Bytes>>;
pub(crate) type App = BoxCloneSyncService<Req, Response<ResponseBody<Full<Bytes>>>, Infallible>;

/// What fails does so when this is closed.
static MAY_FAIL: Semaphore = Semaphore::const_new(0);

/// A process: a cache with connections of its own before a handler that counts.
pub(crate) fn process(url: &str, budget: Duration, calls: &Arc<AtomicUsize>) -> (HttpCache, App) {
    process_under(url, budget, calls, Policy::ttl(minutes(5)).group("all"))
}

/// Three of them, connected.
async fn fleet(url: &str, calls: &Arc<AtomicUsize>) -> Vec<(HttpCache, App)> {
    let nodes: Vec<_> = (0..3).map(|_| process(url, PATIENT, calls)).collect();
    for (cache, _) in &nodes {
        connected(cache).await;
    }
    nodes
}

/// As [`process`], under a policy.
pub(crate) fn process_under(
    url: &str,
    budget: Duration,
    calls: &Arc<AtomicUsize>,
    policy: Policy,
) -> (HttpCache, App) {
    let cache = HttpCache::builder()
        .remote(Arc::new(link(url)))
        .remote_settings(RemoteSettings::new().budget(budget))
        .build()
        .unwrap();
    let calls = Arc::clone(calls);
    let service = tower::service_fn(move |request: Req| {
        let n = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            if request.uri().path() == "/failing" {
                let _ = MAY_FAIL.acquire().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut response = Response::new(Full::from(format!("canary {n}")));
            let (control, vary, status, body) = match request.uri().path() {
                "/secret" => ("no-store", "", 200, None),
                "/extreme" => ("max-age=18446744073709551615", "", 200, None),
                "/kib" => (
                    "",
                    "",
                    200,
                    Some(format!("canary {n} {}", "x".repeat(1024))),
                ),
                "/vary" => ("", "x-kind", 200, Some(kind(&request))),
                "/failing" => ("", "", 500, None),
                _ => ("", "", 200, None),
            };
            for (name, value) in [("cache-control", control), ("vary", vary)] {
                if !value.is_empty() {
                    let value = http::HeaderValue::from_static(value);
                    response.headers_mut().insert(name, value);
                }
            }
            if let Some(body) = body {
                *response.body_mut() = Full::from(body);
            }
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    let layer = cache.policy(policy);
    let app = BoxCloneSyncService::new(layer.layer(service));
    (cache, app)
}

fn kind(request: &Req) -> String {
    request.headers()["x-kind"].to_str().unwrap().to_owned()
}

pub(crate) async fn send(app: &App, method: Method, path: &str) -> String {
    let uri = format!("http://test{path}");
    let request = Request::builder().method(method).uri(uri);
    let request = request.body(Empty::new()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    let body = response.into_body().collect().await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

pub(crate) async fn connected(cache: &HttpCache) {
    until("it is connected and told of changes", async || {
        let stats = cache.remote_stats().unwrap();
        stats.health.state == State::Up && stats.is_coherent
    })
    .await;
}

pub(crate) const PATIENT: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_share_hits_loads_and_invalidations() {
    let server = Server::start();
    let calls = Arc::new(AtomicUsize::new(0));
    let nodes = fleet(&server.url(), &calls).await;
    let callers: Vec<_> = (0..999)
        .map(|n| {
            let app = nodes[n % 3].1.clone();
            tokio::spawn(async move { send(&app, Method::GET, "/a").await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "canary 0");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1, "one load of all processes");
    send(&nodes[0].1, Method::PUT, "/a").await;
    until("the update is seen everywhere", async || {
        let mut new = true;
        for (_, app) in &nodes {
            new &= send(app, Method::GET, "/a").await == "canary 2";
        }
        new
    })
    .await;
    nodes[1].0.purger().group("all").await;
    until("the purge is seen everywhere", async || {
        let mut new = true;
        for (_, app) in &nodes {
            new &= send(app, Method::GET, "/a").await == "canary 3";
        }
        new
    })
    .await;
    assert_eq!(calls.load(Ordering::SeqCst), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_stored_is_nowhere_in_the_server() {
    let server = Server::start();
    let calls = Arc::new(AtomicUsize::new(0));
    let (cache, app) = process(&server.url(), PATIENT, &calls);
    connected(&cache).await;
    send(&app, Method::GET, "/secret").await;
    send(&app, Method::GET, "/public").await;
    let keys: Vec<String> = redis::from_redis_value(server.ask(&["KEYS", "*"])).unwrap();
    let mut found = 0;
    for key in keys {
        let Ok(value) = server.try_ask(&["GET", &key]) else {
            continue;
        };
        let bytes: Vec<u8> = redis::from_redis_value(value).unwrap_or_default();
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        assert!(!holds(b"secret") && !key.contains("public"), "{key}");
        found += usize::from(holds(b"canary 1"));
    }
    assert_eq!(found, 1, "the public one is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_absent_killed_or_frozen_fails_no_request() {
    let mut server = Server::stopped();
    let calls = Arc::new(AtomicUsize::new(0));
    let (cache, app) = process(&server.url(), Duration::from_millis(20), &calls);
    let burst = async |name: &str| {
        for n in 0..20 {
            let begun = Instant::now();
            let method = if n % 5 == 4 {
                Method::POST
            } else {
                Method::GET
            };
            let path = format!("/{name}/{}", n % 7);
            assert!(send(&app, method, &path).await.starts_with("canary"));
            assert!(
                begun.elapsed() < Duration::from_secs(2),
                "{:?}",
                begun.elapsed()
            );
        }
    };
    burst("absent").await;
    server.run();
    connected(&cache).await;
    burst("up").await;
    server.freeze();
    burst("frozen").await;
    server.thaw();
    server.kill();
    burst("killed").await;
    server.run();
    connected(&cache).await;
    burst("again").await;
    assert_eq!(requests(&[cache.stats()]), 100, "{:?}", cache.stats());
}

/// ASY-05 over a fleet: of all who wait one tries again, then all get the failure.
#[tokio::test(flavor = "multi_thread")]
async fn asy_05_three_processes_share_a_failure_after_one_more_try() {
    let server = Server::start();
    let calls = Arc::new(AtomicUsize::new(0));
    let nodes = fleet(&server.url(), &calls).await;
    let callers: Vec<_> = (0..300)
        .map(|n| {
            let app = nodes[n % 3].1.clone();
            let request = Request::get("http://test/failing")
                .body(Empty::new())
                .unwrap();
            tokio::spawn(async move { app.oneshot(request).await.unwrap().status().as_u16() })
        })
        .collect();
    until("all have come", async || {
        let misses = |(cache, _): &(HttpCache, App)| cache.stats().misses;
        nodes.iter().map(misses).sum::<u64>() == 300
    })
    .await;
    MAY_FAIL.close();
    let begun = Instant::now();
    let mut of_origin = 0;
    for caller in callers {
        let status = caller.await.unwrap();
        assert!([500, 503].contains(&status), "{status}");
        of_origin += usize::from(status == 500);
    }
    println!(
        "answered after {:?}, of which 40 ms are two calls",
        begun.elapsed()
    );
    assert_eq!((of_origin, calls.load(Ordering::SeqCst)), (2, 2));
    let counted: Vec<_> = nodes.iter().map(|(cache, _)| cache.stats()).collect();
    assert_eq!(requests(&counted), 300, "{counted:?}");
    for (cache, _) in &nodes {
        assert_eq!(cache.stats().flights, 0);
    }
}

async fn variant(app: &App, kind: &str) -> String {
    let request = Request::get("http://test/vary").header("x-kind", kind);
    let request = request.body(Empty::new()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// An index is made by who has the lease of its URI; a variant by who has that of the variant. Whatever
/// the order in which two processes do both, each finds its own again, at worst after one more load.
#[tokio::test(flavor = "multi_thread")]
async fn variants_that_two_processes_add_at_once_are_not_lost() {
    let server = Server::start();
    let calls = Arc::new(AtomicUsize::new(0));
    let nodes = fleet(&server.url(), &calls).await;
    let kinds: Vec<String> = (0..8).map(|n| format!("kind {n}")).collect();
    for round in 0..5 {
        let before = calls.load(Ordering::SeqCst);
        let callers: Vec<_> = kinds
            .iter()
            .enumerate()
            .map(|(n, kind)| {
                let (app, kind) = (nodes[n % 2].1.clone(), kind.clone());
                tokio::spawn(async move { (variant(&app, &kind).await, kind) })
            })
            .collect();
        for caller in callers {
            let (body, kind) = caller.await.unwrap();
            assert_eq!(body, kind);
        }
        // Twice: once to load what was lost, and then there is nothing to load.
        for _ in 0..2 {
            for kind in &kinds {
                for (_, app) in &nodes {
                    assert_eq!(variant(app, kind).await, *kind);
                }
            }
        }
        let settled = calls.load(Ordering::SeqCst);
        assert!(
            settled - before <= 2 * kinds.len(),
            "{round}: {}",
            settled - before
        );
        for kind in &kinds {
            for (_, app) in &nodes {
                assert_eq!(variant(app, kind).await, *kind);
            }
        }
        assert_eq!(calls.load(Ordering::SeqCst), settled, "round {round}");
        // All of it goes, and is made anew.
        nodes[round % 3].0.purger().group("all").await;
        send(&nodes[2].1, Method::PUT, "/other").await;
        until("the purge is told", async || {
            let before = calls.load(Ordering::SeqCst);
            variant(&nodes[2].1, "told").await;
            calls.load(Ordering::SeqCst) > before
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_whose_caller_leaves_is_carried_out_all_the_same() {
    let server = Server::start();
    let calls = Arc::new(AtomicUsize::new(0));
    let nodes: Vec<_> = (0..2)
        .map(|_| process(&server.url(), PATIENT, &calls))
        .collect();
    for (cache, _) in &nodes {
        connected(cache).await;
    }
    for round in 0..3 {
        let first = send(&nodes[0].1, Method::GET, "/a").await;
        assert_eq!(send(&nodes[1].1, Method::GET, "/a").await, first);
        let purger = nodes[0].0.purger();
        let uri = "http://test/a".parse().unwrap();
        let purge = async {
            match round {
                0 => purger.uri(&uri).await,
                1 => purger.group("all").await,
                _ => purger.all().await,
            }
        };
        {
            let mut purge = std::pin::pin!(purge);
            std::future::poll_fn(|cx| {
                let _ = purge.as_mut().poll(cx);
                std::task::Poll::Ready(())
            })
            .await;
        }
        assert_ne!(send(&nodes[0].1, Method::GET, "/a").await, first);
        until("it is seen everywhere", async || {
            let seen = send(&nodes[1].1, Method::GET, "/a").await;
            seen != first && seen == send(&nodes[0].1, Method::GET, "/a").await
        })
        .await;
    }
}

/// A process whose handler answers in the language that is asked for.
fn in_languages(url: &str, calls: &Arc<AtomicUsize>) -> (HttpCache, App) {
    let cache = HttpCache::builder()
        .remote(Arc::new(link(url)))
        .remote_settings(RemoteSettings::new().budget(PATIENT))
        .build()
        .unwrap();
    let calls = Arc::clone(calls);
    let service = tower::service_fn(move |request: Req| {
        let n = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            let language = request.headers()["accept-language"].to_str().unwrap();
            let mut response = Response::new(Full::from(format!("{language} {n}")));
            let vary = http::HeaderValue::from_static("accept-language");
            response.headers_mut().insert("vary", vary);
            Ok::<_, Infallible>(response)
        }
    });
    let layer = cache.policy(Policy::ttl(minutes(5)));
    let app = BoxCloneSyncService::new(layer.layer(service));
    (cache, app)
}

async fn ask_in(app: &App, language: &str) -> String {
    let request = Request::get("http://test/a").header("accept-language", language);
    let request = request.body(Empty::new()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// What is stored: indexes, and the variants they lead to. Names are digests; a variant has a body.
fn stored(server: &Server) -> (Vec<String>, Vec<String>) {
    let keys: Vec<String> = redis::from_redis_value(server.ask(&["KEYS", "cache:*"])).unwrap();
    let values = keys
        .into_iter()
        .filter(|key| key.starts_with("cache:http%"));
    values.partition(|key| {
        let value: Vec<u8> = redis::from_redis_value(server.ask(&["GET", key])).unwrap();
        let holds = |text: &[u8]| value.windows(text.len()).any(|part| part == text);
        !holds(b"en ") && !holds(b"de ")
    })
}

/// RDS-16: what `lost` says was evicted in Redis. A process that holds nothing in memory asks the
/// handler for what is gone, once for all processes, and everything is whole again.
async fn loads_again_what_was_evicted(lost: impl Fn(&Server), again: usize) {
    let server = Server::start();
    let calls = Arc::new(AtomicUsize::new(0));
    let fresh = async || {
        let (cache, app) = in_languages(&server.url(), &calls);
        connected(&cache).await;
        (cache, app)
    };
    let (_first, app) = fresh().await;
    assert_eq!(ask_in(&app, "en").await, "en 0");
    assert_eq!(ask_in(&app, "de").await, "de 1");
    until("both are stored", async || stored(&server).1.len() == 2).await;
    let (_second, app) = fresh().await;
    assert_eq!(ask_in(&app, "en").await, "en 0", "shared before");
    lost(&server);
    let (_third, app) = fresh().await;
    for language in ["en", "de", "en", "de"] {
        assert!(ask_in(&app, language).await.starts_with(language));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2 + again);
    until("both are stored again", async || {
        stored(&server).1.len() >= 2
    })
    .await;
    let (_fourth, app) = fresh().await;
    for language in ["en", "de"] {
        assert!(ask_in(&app, language).await.starts_with(language));
    }
    assert_eq!(
        calls.load(Ordering::SeqCst),
        2 + again,
        "the index leads to both"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rds_16_an_index_whose_variant_was_evicted_is_mended() {
    let one = |server: &Server| {
        let (_, variants) = stored(server);
        let _ = server.ask(&["DEL", &variants[0]]);
    };
    loads_again_what_was_evicted(one, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rds_16_an_index_whose_variants_were_all_evicted_is_mended() {
    let all = |server: &Server| {
        for variant in stored(server).1 {
            let _ = server.ask(&["DEL", &variant]);
        }
    };
    loads_again_what_was_evicted(all, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rds_16_variants_whose_index_was_evicted_are_never_found() {
    let index = |server: &Server| {
        let _ = server.ask(&["DEL", &stored(server).0[0]]);
    };
    loads_again_what_was_evicted(index, 2).await;
}
