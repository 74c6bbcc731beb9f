use actix_http::Request;
use actix_web::{
    Error,
    body::{self, MessageBody},
    dev::{Service, ServiceResponse},
    http::{StatusCode, header},
    rt::time::sleep,
    test::{TestRequest, call_service},
};
use cache_actix::{HttpCache, ManualClock, days};
use std::{
    fmt::Debug,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

/// How often a handler was called.
#[derive(Debug, Default)]
pub(crate) struct Calls(AtomicU64);

impl Calls {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn so_far(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// An answer in full.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: header::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// What the cache says it did.
    pub(crate) fn cache(&self) -> &str {
        self.header("cache-status")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let last = self.headers.get_all(name).last();
        last.map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn is_hit(&self) -> bool {
        self.cache().starts_with("cache-tower;hit")
    }
}

pub(crate) async fn answer<B>(response: ServiceResponse<B>) -> Answer
where
    B: MessageBody,
    B::Error: Debug,
{
    let (status, headers) = (response.status(), response.headers().clone());
    let body = body::to_bytes(response.into_body()).await;
    let body = body.unwrap_or_else(|_| panic!("the body broke off"));
    Answer {
        status,
        headers,
        body: String::from_utf8(body.into()).unwrap(),
    }
}

pub(crate) async fn send<S, B>(app: &S, request: TestRequest) -> Answer
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
    B::Error: Debug,
{
    let request = request.insert_header((header::HOST, "example.test"));
    answer(call_service(app, request.to_request()).await).await
}

pub(crate) async fn get<S, B>(app: &S, path: &str) -> Answer
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
    B::Error: Debug,
{
    send(app, TestRequest::get().uri(path)).await
}

/// Lets other tasks run until `holds`.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "this never came: {what}"
        );
        sleep(Duration::from_millis(1)).await;
    }
}

/// What holds after every test: nothing is under way, and each request was counted once.
pub(crate) async fn settled(cache: &HttpCache, requests: u64) {
    eventually("no flight is left", || cache.stats().flights == 0).await;
    let stats = cache.stats();
    let counted = stats.hits + stats.stale + stats.misses + stats.bypasses;
    assert_eq!(counted, requests, "{stats:?}");
}

/// A clock that stands at some time of this century.
pub(crate) fn clock() -> ManualClock {
    ManualClock::at(SystemTime::UNIX_EPOCH + days(20_000))
}
