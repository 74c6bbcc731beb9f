//! Handlers that count their calls, clients, and bodies that do as told.

use bytes::Bytes;
use cache_tower::{HttpCache, Policy, ResponseBody, minutes};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};

pub type Req = Request<Empty<Bytes>>;
pub type Res = Response<ResponseBody<TestBody>>;
pub type App = BoxCloneSyncService<Req, Res, Infallible>;

/// How often a handler was called.
#[derive(Clone, Default)]
pub struct Calls(Arc<AtomicUsize>);

impl Calls {
    /// Notes a call; says how many there were before.
    pub fn note(&self) -> usize {
        self.0.fetch_add(1, SeqCst)
    }

    pub fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// A cache with a policy of five minutes around `handler`.
pub fn app<F, Fut>(handler: F) -> (HttpCache, App)
where
    F: Fn(Req) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<TestBody>> + Send + 'static,
{
    app_under(Policy::ttl(minutes(5)), handler)
}

pub fn app_under<F, Fut>(policy: Policy, handler: F) -> (HttpCache, App)
where
    F: Fn(Req) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<TestBody>> + Send + 'static,
{
    let cache = HttpCache::new();
    let app = around(&cache, policy, handler);
    (cache, app)
}

pub fn around<F, Fut>(cache: &HttpCache, policy: Policy, handler: F) -> App
where
    F: Fn(Req) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<TestBody>> + Send + 'static,
{
    let service = tower::service_fn(move |request: Req| {
        let response = handler(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    BoxCloneSyncService::new(cache.policy(policy).layer(service))
}

pub fn get(path: &str) -> Req {
    Request::get(format!("http://test{path}"))
        .body(Empty::new())
        .unwrap()
}

pub async fn call(app: &App, request: Req) -> Res {
    app.clone().oneshot(request).await.unwrap()
}

pub fn call_future(app: &App, request: Req) -> impl Future<Output = Res> + Send + use<> {
    let mut app = app.clone();
    async move { app.ready().await.unwrap().call(request).await.unwrap() }
}

/// A response read to its end.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn status_field(&self) -> &str {
        self.headers["cache-status"].to_str().unwrap()
    }
}

pub async fn read<B>(response: Response<B>) -> Result<Answer, B::Error>
where
    B: Body<Data = Bytes>,
{
    let (parts, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.to_bytes(),
        trailers,
    })
}

pub async fn fetch(app: &App, path: &str) -> Answer {
    read(call(app, get(path)).await).await.unwrap()
}

/// What a [`TestBody`] does when it is polled.
pub enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Fail,
    /// Pending once, and woken at once.
    Yield,
    /// Pending until the gate opens.
    Wait(Gate),
    /// Pending for so long.
    Sleep(std::time::Duration),
    /// Pending for ever; holds something until the body is dropped.
    Hold(Box<dyn std::any::Any + Send + Sync>),
}

/// A body that does as told. It panics if it is polled after its end.
pub struct TestBody {
    steps: VecDeque<Step>,
    hint: SizeHint,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
    polled: Calls,
    ended: bool,
}

impl TestBody {
    pub fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        let steps: VecDeque<Step> = steps.into_iter().collect();
        Self {
            steps,
            hint: SizeHint::new(),
            waiting: None,
            polled: Calls::default(),
            ended: false,
        }
    }

    /// Notes its polls in `polled`.
    pub fn counted(self, polled: Calls) -> Self {
        Self { polled, ..self }
    }

    /// One piece whose length is known.
    pub fn full(data: impl Into<Bytes>) -> Self {
        let data = data.into();
        Self {
            hint: SizeHint::with_exact(data.len() as u64),
            ..Self::of([Step::Data(data)])
        }
    }
}

impl Body for TestBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.polled.note();
        assert!(!self.ended, "a body is polled after its end");
        loop {
            if let Some(waiting) = &mut self.waiting {
                std::task::ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            }
            return Poll::Ready(match self.steps.pop_front() {
                None => {
                    self.ended = true;
                    None
                }
                Some(Step::Data(data)) => Some(Ok(Frame::data(data))),
                Some(Step::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
                Some(Step::Fail) => Some(Err(std::io::Error::other("the body failed"))),
                Some(Step::Yield) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Step::Hold(held)) => {
                    self.steps.push_front(Step::Hold(held));
                    return Poll::Pending;
                }
                Some(Step::Wait(gate)) => {
                    self.waiting = Some(Box::pin(async move { gate.pass().await }));
                    continue;
                }
                Some(Step::Sleep(time)) => {
                    self.waiting = Some(Box::pin(tokio::time::sleep(time)));
                    continue;
                }
            });
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// Something that waits until a test lets it go on.
#[derive(Clone)]
pub struct Gate(Arc<tokio::sync::watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(tokio::sync::watch::channel(false).0))
    }
}

impl Gate {
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub async fn pass(&self) {
        self.0.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

pub fn text(body: &'static str) -> Response<TestBody> {
    Response::new(TestBody::full(body))
}

pub fn with(
    mut response: Response<TestBody>,
    name: &'static str,
    value: &'static str,
) -> Response<TestBody> {
    response
        .headers_mut()
        .append(name, HeaderValue::from_static(value));
    response
}

pub fn status(status: u16, body: &'static str) -> Response<TestBody> {
    let mut response = text(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Lets every task that can run do so.
pub async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// What must be so after every test.
pub fn check(cache: &HttpCache) {
    let stats = cache.stats();
    assert_eq!(stats.flights, 0, "a flight is left: {stats:?}");
}
