//! What caches tell of themselves: each request once, and no secret.

use crate::support::{Loads, coherent, policy, process, redis, requests, until};
use cache_core::{
    Cache, Config,
    policy::minutes,
    remote::{Fake, Redis, RedisSettings, Remote},
};
use cache_tower::HttpCache;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use std::{collections::BTreeMap, convert::Infallible, fmt::Write as _, sync::Arc, time::Duration};
use tests::{cluster::Cluster, log::Log, redis::Server};
use tower::{Layer, ServiceExt};

const CANARY: &str = "canary7d1f";

/// The last values of a metric, by its cache and one more label.
fn told(recorder: &DebuggingRecorder, metric: &str, label: &str) -> BTreeMap<String, u64> {
    let mut told = BTreeMap::new();
    for (key, _, _, value) in recorder.snapshotter().snapshot().into_vec() {
        let key = key.key();
        let of = |name: &str| {
            let mut labels = key.labels().filter(|label| label.key() == name);
            labels.next().map_or("", |label| label.value())
        };
        let value = match value {
            DebugValue::Counter(count) => count,
            DebugValue::Gauge(value) => value.0 as u64,
            DebugValue::Histogram(samples) => samples.len() as u64,
        };
        if key.name() == metric {
            told.insert(format!("{} {}", of("cache"), of(label)), value);
        }
    }
    told
}

fn of(fake: Arc<Fake>) -> Cache<u64> {
    let remote: Arc<dyn Remote> = fake;
    let policy = cache_core::Policy::ttl(minutes(1)).stale_while_revalidate(minutes(5));
    let builder = Cache::builder("it").policy(policy);
    builder.remote(remote).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_the_remote_tier_has_is_a_hit_of_it_whoever_asks() {
    let recorder = DebuggingRecorder::new();
    let fake = Arc::new(Fake::new());
    let link = Arc::new(fake.another());
    let (writer, reader) = (of(Arc::clone(&fake)), of(Arc::clone(&link)));
    for key in 1..=4 {
        writer.insert(&key, key).await.unwrap();
    }
    let _guard = metrics::set_default_local_recorder(&recorder);
    assert_eq!(*reader.get(&1).await.unwrap(), 1);
    assert!(reader.get(&9).await.is_none());
    let found = reader.get_many(&[1, 2, 3, 9]).await;
    assert_eq!(found.iter().flatten().count(), 3);
    let stats = reader.stats();
    assert_eq!((stats.hits, stats.misses, requests(&[stats])), (4, 2, 6));
    let hits = told(&recorder, "cache_hits_total", "tier");
    assert_eq!(hits.get("it remote"), Some(&3), "{hits:?}");

    // Past its lifetime, and within the time that somebody refreshes it in.
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert!(reader.get(&4).await.unwrap().is_stale());
    let stats = reader.stats();
    assert_eq!((stats.stale, requests(&[stats])), (1, 7));
    // Who leaves has asked.
    link.set_latency(Duration::from_millis(5));
    let asked = reader.get(&5);
    assert!(
        tokio::time::timeout(Duration::from_millis(1), asked)
            .await
            .is_err()
    );
    assert_eq!(requests(&[reader.stats()]), 8);
}

#[tokio::test]
async fn a_disabled_cache_counts_each_request_as_past_it_and_says_why() {
    let recorder = DebuggingRecorder::new();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let vars = [("CACHE_ENABLED", "false")];
    let config = cache_tower::Config::from_vars(vars).unwrap();
    let loads = Loads::default();
    let values: Cache<u64> = Cache::builder("values")
        .remote(Arc::new(Fake::new()) as Arc<dyn Remote>)
        .from_config(&config)
        .build()
        .unwrap();
    for _ in 0..2 {
        values
            .get_or_load(&1, || loads.clone().load())
            .await
            .unwrap();
    }
    let load = || loads.clone().load();
    let behind = loads.clone();
    values
        .refresh_in_background(&1, move || behind.load())
        .await
        .unwrap();
    values
        .get_or_load_optional(&1, || async { load().await.map(Some) })
        .await
        .unwrap();
    assert!(values.get(&1).await.is_none() && values.in_memory(&1).is_none());
    assert_eq!(values.get_many(&[1, 2]).await.len(), 2);
    assert_eq!(loads.count(), 4);
    let stats = values.stats();
    assert_eq!((stats.bypasses, requests(&[stats])), (8, 8));

    let cache = HttpCache::from_config(&config).unwrap();
    let layer = cache.policy(cache_tower::Policy::ttl(minutes(5)));
    let app = layer.layer(tower::service_fn(async |_| {
        Ok::<_, Infallible>(Response::new(Full::from("body")))
    }));
    for method in ["GET", "GET", "HEAD", "PUT"] {
        let request = Request::builder().method(method).uri("http://test/");
        let request = request.body(Full::<bytes::Bytes>::default()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    let stats = cache.stats();
    assert_eq!((stats.bypasses, requests(&[stats])), (4, 4));
    let told = told(&recorder, "cache_bypass_total", "reason");
    let expected = [("cache-tower disabled", 4), ("values disabled", 8)];
    let expected = expected.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(told, expected.into());
}

#[tokio::test]
async fn warnings_are_told_once_for_all_caches_of_a_config_and_hold_no_secret() {
    let log = Log::default();
    let _guard = log.begin();
    let url = format!("redis://{CANARY}:{CANARY}@cache.test/");
    let config = cache_tower::Config::from_vars([
        ("CACHE_URL", url.as_str()),
        ("CACHE_REMOTE_BUDGET", "2s"),
        ("CACHE_TTL_SESSION", "1h"),
        ("CACHE_TTL_DEFAULT", "0"),
        ("CACHE_STALE_IF_ERROR", "1m"),
        ("CACHE_PROFILE", "standard"),
        ("CACHE_ROUTES", "/me ttl=1h"),
    ])
    .unwrap();
    assert_eq!(log.text(), "", "reading it says nothing");
    for _ in 0..2 {
        let values = Cache::<u64>::builder("values").from_config(&config);
        values.build().unwrap();
        HttpCache::from_config(&config).unwrap();
    }
    let text = log.text();
    for (code, variable) in [
        ("W001", "CACHE_STALE_IF_ERROR"),
        ("W004", "CACHE_REMOTE_BUDGET"),
        ("W007", "CACHE_URL"),
        ("W101", "CACHE_ROUTES"),
        ("W102", "CACHE_PROFILE"),
    ] {
        let words = format!("code=\"{code}\" variable=\"{variable}\"");
        let lines: Vec<_> = text.lines().filter(|line| line.contains(&words)).collect();
        assert_eq!(lines.len(), 1, "{words}:\n{text}");
        assert!(lines[0].contains("WARN"), "{lines:?}");
    }
    assert!(text.contains("a frozen Redis costs each request as much"));
    // One that is known when all policies are made is none of a single cache.
    assert!(!text.contains("W005") && !text.contains(CANARY), "{text}");
    // Another Config is another matter.
    let another = Config::from_vars([("CACHE_LEASE", "5s")]).unwrap();
    Cache::<u64>::builder("other")
        .from_config(&another)
        .build()
        .unwrap();
    assert!(
        log.text()
            .contains("code=\"W003\" variable=\"CACHE_LEASE\"")
    );
}

/// The health of a tier that cannot be used, once it is known, and all that is shown of it.
async fn refused(settings: RedisSettings) -> String {
    let mut said = format!("{settings:?}");
    let remote = Redis::with(settings).unwrap();
    let key = CANARY.as_bytes();
    until("it is known to be away", async || {
        let _ = remote.look(key, Duration::from_millis(20)).await;
        matches!(remote.health().state, cache_core::remote::State::Down(_))
    })
    .await;
    let _ = write!(said, "{remote:?} {:?}", remote.health());
    said
}

#[tokio::test]
async fn sec_10_neither_of_a_cluster_nor_over_tls_is_a_password_told() {
    let (cluster, server) = (Cluster::start(3, 0), Server::start());
    let with_password = |url: String| url.replacen("://", &format!("://{CANARY}:{CANARY}@"), 1);
    let plain_port = server.url().replacen("redis://", "rediss://", 1);
    let log = Log::default();
    let _guard = log.begin();
    for url in [cluster.url(), server.url(), plain_port] {
        let url = with_password(url);
        let before = log.text().len();
        let said = refused(RedisSettings::new(&url).unwrap()).await;
        let text = log.text();
        let (_, news) = text.split_at(before);
        assert!(news.contains("the remote tier is away"), "{news}");
        assert!(!said.contains(CANARY), "{said}");
        assert!(!news.contains(CANARY), "{news}");
    }
}

#[tokio::test]
async fn each_cache_of_a_cluster_tells_how_that_is() {
    let recorder = DebuggingRecorder::new();
    let mut cluster = Cluster::start(3, 0);
    let caches = [process(&cluster.url(), policy()), {
        let remote = Arc::new(redis(&cluster.url()));
        let builder = Cache::builder("other").policy(policy());
        builder.remote(remote).build().unwrap()
    }];
    let measured = |metric: &str| {
        metrics::with_local_recorder(&recorder, || caches.each_ref().map(Cache::measure));
        let told = told(&recorder, metric, "");
        ["it ", "other "].map(|name| told[name])
    };
    for cache in &caches {
        coherent(cache).await;
    }
    assert_eq!(measured("cache_remote_up"), [1, 1]);
    assert_eq!(measured("cache_coherent"), [1, 1]);
    cluster.node_mut(0).kill();
    until("a node is away", async || {
        let degraded = |cache: &Cache<u64>| cache.remote_stats().unwrap().health.degraded;
        caches.iter().all(|cache| !degraded(cache).is_empty())
    })
    .await;
    assert_eq!(measured("cache_remote_up"), [1, 1], "the others are there");
    for node in 1..3 {
        cluster.node_mut(node).kill();
    }
    until("all are away", async || {
        let is_up = |cache: &Cache<u64>| cache.remote_stats().unwrap().health.is_up();
        !caches.iter().any(is_up)
    })
    .await;
    assert_eq!(measured("cache_remote_up"), [0, 0]);
}
