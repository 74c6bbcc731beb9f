//! What must not be seen: nothing that a client, a handler or a loader said reaches a log, a span, a metric or the
//! `Debug` of a type.

use axum::{
    Extension, Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use cache_axum::{
    Groups, HttpCache, Policy, Purge, Purger, hours, minutes,
    remote::{Ask, Fake, Found, Notice, RedisSettings, Remote, ServerTime, Token, Value},
    seconds,
    typed::{Cache, Codec, Error},
};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use metrics_util::debugging::DebuggingRecorder;
use std::{
    fmt::Write as _,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tests::log::Log;
use tower::ServiceExt;

const CANARY: &str = "canary7d1f";

/// Answers as the path says, with the canary wherever it can be.
async fn handler(Extension(fails): Extension<Arc<AtomicBool>>, request: Request) -> Response {
    if fails.load(Ordering::SeqCst) {
        return (StatusCode::SERVICE_UNAVAILABLE, CANARY).into_response();
    }
    let groups = Groups::new([CANARY]);
    let vary = [("vary", "x-canary"), ("etag", "\"canary7d1f\"")];
    match *request.method() {
        Method::GET => (groups, vary, format!("{CANARY} {}", request.uri())).into_response(),
        _ => CANARY.into_response(),
    }
}

async fn send(app: &Router, method: Method, path: &str) -> StatusCode {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{CANARY}.test{path}?token={CANARY}"))
        .header("x-canary", CANARY)
        .header("referer", CANARY)
        .body(Body::empty())
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    response.into_body().collect().await.unwrap();
    status
}

/// All that a cache of responses goes through, its remote tier failing now and then.
async fn through_http(said: &mut String) {
    let fake = Arc::new(Fake::new());
    let remote: Arc<dyn Remote> = Arc::<Fake>::clone(&fake);
    let cache = HttpCache::builder().remote(remote).build().unwrap();
    let policy = Policy::ttl(seconds(60))
        .stale_while_revalidate(seconds(60))
        .stale_if_error(hours(1))
        .group("user:{id}");
    let fails = Arc::new(AtomicBool::new(false));
    let layer = cache.policy(policy);
    let app = Router::new()
        .route(
            "/users/{id}",
            get(handler).put(handler).post(handler).layer(layer.clone()),
        )
        .route(
            "/purge/{id}",
            get(|purge: Purge| async move {
                purge.group(CANARY).await;
                purge.path("/users/canary7d1f").await.unwrap();
                format!("{purge:?}")
            })
            .layer(layer.clone()),
        )
        .layer(Extension(Arc::clone(&fails)));
    let path = format!("/users/{CANARY}");
    for _ in 0..2 {
        send(&app, Method::GET, &path).await;
        send(&app, Method::HEAD, &path).await;
    }
    for key in fake.keys() {
        fake.write_raw(&key, CANARY);
    }
    // Longer than memory trusts what it holds, and shorter than that is fresh.
    tokio::time::sleep(Duration::from_secs(10)).await;
    send(&app, Method::GET, &path).await;
    fails.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(
        send(&app, Method::GET, &path).await,
        StatusCode::OK,
        "stale"
    );
    assert_eq!(
        send(&app, Method::GET, "/users/another").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    fails.store(false, Ordering::SeqCst);
    fake.set_down(true);
    send(&app, Method::PUT, &path).await;
    send(&app, Method::POST, &path).await;
    send(&app, Method::GET, &path).await;
    send(&app, Method::GET, &format!("/purge/{CANARY}")).await;
    fake.reconnect();
    fake.set_down(false);
    fake.beat();
    send(&app, Method::GET, &path).await;
    cache.measure();
    let purger: Purger = cache.purger();
    let _ = write!(
        said,
        "{cache:?} {layer:?} {purger:?} {:?} {:?}",
        cache.stats(),
        cache.remote_stats()
    );
    let _ = write!(said, "{:?} {}", layer.engine(), cache.stats());
}

/// The same for values, whose loader says what it likes.
async fn through_values(said: &mut String) {
    let fake = Arc::new(Fake::new());
    let remote: Arc<dyn Remote> = Arc::<Fake>::clone(&fake);
    let policy = Policy_::ttl(minutes(1))
        .group(CANARY)
        .work_deadline(seconds(1));
    let cache: Cache<String> = Cache::builder("values")
        .policy(policy)
        .remote(remote)
        .build()
        .unwrap();
    let load = || async { Ok::<_, io::Error>(CANARY.to_owned()) };
    let fail = || async { Err::<String, _>(io::Error::other(CANARY)) };
    cache.get_or_load(CANARY, load).await.unwrap();
    cache.get_or_load(CANARY, load).await.unwrap();
    cache.invalidate_group(CANARY).await;
    let error: Error = cache.get_or_load(&(CANARY, 1), fail).await.unwrap_err();
    let _ = write!(said, "{error}");
    for key in fake.keys() {
        fake.write_raw(&key, CANARY);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    cache.get_or_load(CANARY, load).await.unwrap();
    cache.clear().await;
    let slow = || std::future::pending::<Result<String, io::Error>>();
    assert!(
        cache
            .get_or_load(&(CANARY, 2), slow)
            .await
            .unwrap_err()
            .is_timeout()
    );
    fake.set_down(true);
    cache.get_or_load(&(CANARY, 3), load).await.unwrap();
    let _ = write!(said, "{cache:?} {:?}", cache.stats());
}

use cache_axum::typed::Policy as Policy_;

/// A server that cannot be reached, under a URL with a password.
async fn through_redis(said: &mut String) {
    let url = format!("redis://{CANARY}:{CANARY}@127.0.0.1:1/");
    let settings = RedisSettings::new(&url).unwrap();
    let _ = write!(said, "{settings:?}");
    let redis = cache_axum::remote::Redis::with(settings).unwrap();
    let key = CANARY.as_bytes();
    assert!(redis.look(key, Duration::from_millis(20)).await.is_err());
    while redis.health() == cache_axum::remote::Health::default() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let _ = write!(said, "{redis:?} {:?}", redis.health());
    for wrong in [format!("http://{CANARY}"), format!("redis://{CANARY}:port")] {
        let error = cache_axum::remote::from_url(&wrong).unwrap_err();
        let _ = write!(said, "{error} {error:?}");
    }
}

/// `Debug` of what is made of bytes that others chose.
fn of_types(said: &mut String) {
    let (bytes, key) = (Bytes::from_static(CANARY.as_bytes()), CANARY.as_bytes());
    let found = Found {
        bytes: bytes.clone(),
        at: ServerTime(1),
    };
    let value = Value {
        bytes,
        lasting: seconds(1),
    };
    let ask = Ask {
        key,
        token: Token::new(),
        seen: key,
        lasting: seconds(1),
    };
    let _ = write!(
        said,
        "{found:?} {value:?} {ask:?} {:?}",
        Groups::new([CANARY])
    );
    for notice in [
        Notice::Changed(key),
        Notice::Woken(key),
        Notice::Group(CANARY),
    ] {
        let _ = write!(said, "{notice:?}");
    }
    let encoded = cache_axum::typed::Json.decode(key) as Result<String, Error>;
    let _ = write!(said, "{:?}", encoded.unwrap_err().is_codec());
}

#[test]
fn sec_01_sec_10_nothing_that_anybody_said_is_logged_traced_measured_or_shown() {
    let (log, recorder) = (Log::default(), DebuggingRecorder::new());
    let mut said = String::new();
    metrics::with_local_recorder(&recorder, || {
        let _guard = log.begin();
        let runtime = |paused| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().start_paused(paused).build().unwrap()
        };
        runtime(true).block_on(async {
            through_http(&mut said).await;
            through_values(&mut said).await;
        });
        runtime(false).block_on(through_redis(&mut said));
        of_types(&mut said);
    });
    let logged = log.text();
    for expected in [
        "cache.request",
        "cache.get",
        "cache.outcome=\"hit\"",
        "cache.outcome=\"stale\"",
        "cache.outcome=\"miss\"",
        "cache.outcome=\"bypass\"",
        "http.route=\"/users/{id}\"",
        "cache.key=",
        "a load failed",
        "the remote tier is away",
        "memory is not told of changes",
        "what is in the remote tier cannot be used",
    ] {
        assert!(logged.contains(expected), "{expected} is not in:\n{logged}");
    }
    let told: String = recorder
        .snapshotter()
        .snapshot()
        .into_vec()
        .iter()
        .map(|(key, _, _, value)| format!("{key:?} {value:?}\n"))
        .collect();
    let is_error =
        |line: &&str| line.contains("cache_errors_total") && !line.contains("Counter(0)");
    assert!(told.lines().any(|line| is_error(&line)), "{told}");
    for (what, text) in [("the log", &logged), ("metrics", &told), ("Debug", &said)] {
        let found = text.lines().find(|line| line.contains(CANARY));
        assert_eq!(found, None, "in {what}");
    }
}
