//! An app under test: requests in, answers and counts out.

use super::{
    Body, BoxError, Log, Service, Way, eventually,
    log::Saw,
    metered,
    wire::{self, Wire},
};
use bytes::Bytes;
use cache_axum::{HttpCache, Purger, Stats};
use futures_util::{future::BoxFuture, stream};
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header, request,
};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::rt::TokioIo;
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::{
    net::TcpListener,
    sync::{OnceCell, Semaphore},
    task::JoinHandle,
};
use tower::ServiceExt;

pub(crate) const HOST: &str = "example.test";

/// Cheap to clone; clones are one app.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

/// Serves a connection, until it ends.
pub(super) type Serve = Arc<dyn Fn(Wire) -> BoxFuture<'static, ()> + Send + Sync>;

/// The extensions of the last response, as the server got it.
pub(super) type Seen = Arc<Mutex<Extensions>>;

/// So many connections may wait to be accepted: the kernel's least, beyond which it lets clients try again.
const BACKLOG: usize = 64;

struct Inner {
    serve: Serve,
    backlog: Arc<Semaphore>,
    /// Where it is to be called rather than connected to.
    service: Option<Service>,
    seen: Seen,
    address: OnceCell<SocketAddr>,
    stats: Box<dyn Fn() -> Stats + Send + Sync>,
    purger: Purger,
    calls: BTreeMap<&'static str, Arc<AtomicU64>>,
    log: Log,
    sent: Arc<AtomicU64>,
    was_checked: AtomicBool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let was_checked = *self.was_checked.get_mut() || std::thread::panicking();
        assert!(was_checked, "a test ends with `app.done().await`");
    }
}

impl App {
    /// An app that is a service of axum's.
    pub(crate) fn new(
        service: Service,
        cache: &HttpCache,
        calls: BTreeMap<&'static str, Arc<AtomicU64>>,
    ) -> Self {
        let observed = cache.clone();
        Self::of_service(
            service,
            move || observed.stats(),
            cache.purger(),
            calls,
            Log::default(),
        )
    }

    /// An app that is a service of tower's, whose handlers write what they see to `log`.
    pub(super) fn of_service(
        service: Service,
        stats: impl Fn() -> Stats + Send + Sync + 'static,
        purger: Purger,
        calls: BTreeMap<&'static str, Arc<AtomicU64>>,
        log: Log,
    ) -> Self {
        let sent = Arc::<AtomicU64>::default();
        let counts = Arc::clone(&sent);
        let counted = service.map_request(move |request| {
            counts.fetch_add(1, Ordering::SeqCst);
            request
        });
        let seen = Seen::default();
        let sees = Arc::clone(&seen);
        let service = super::boxed(counted.map_response(move |response| {
            sees.lock().unwrap().clone_from(response.extensions());
            response
        }));
        let called = Some(service.clone()).filter(|_| Way::current() == Way::Call);
        let serve: Serve = match Way::current() {
            Way::Http2 => Arc::new(move |io| wire::serve_http2(service.clone(), io)),
            Way::Wire | Way::Call => Arc::new(move |io| wire::serve(service.clone(), io)),
        };
        Self::made(serve, called, stats, purger, calls, sent, seen, log)
    }

    pub(super) fn served(
        serve: Serve,
        stats: impl Fn() -> Stats + Send + Sync + 'static,
        purger: Purger,
        calls: BTreeMap<&'static str, Arc<AtomicU64>>,
        sent: Arc<AtomicU64>,
        seen: Seen,
        log: Log,
    ) -> Self {
        assert_ne!(
            Way::current(),
            Way::Call,
            "only tower's services are called"
        );
        Self::made(serve, None, stats, purger, calls, sent, seen, log)
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "it is put together in two places"
    )]
    fn made(
        serve: Serve,
        service: Option<Service>,
        stats: impl Fn() -> Stats + Send + Sync + 'static,
        purger: Purger,
        calls: BTreeMap<&'static str, Arc<AtomicU64>>,
        sent: Arc<AtomicU64>,
        seen: Seen,
        log: Log,
    ) -> Self {
        Self(Arc::new(Inner {
            serve,
            backlog: Arc::new(Semaphore::new(BACKLOG)),
            service,
            seen,
            address: OnceCell::new(),
            stats: Box::new(stats),
            purger,
            calls,
            log,
            sent,
            was_checked: AtomicBool::new(false),
        }))
    }

    pub(crate) fn get(&self, path: &str) -> Sending {
        self.request(Method::GET, path)
    }

    pub(crate) fn head(&self, path: &str) -> Sending {
        self.request(Method::HEAD, path)
    }

    pub(crate) fn post(&self, path: &str) -> Sending {
        self.request(Method::POST, path)
    }

    pub(crate) fn put(&self, path: &str) -> Sending {
        self.request(Method::PUT, path)
    }

    /// A request of HTTP/1.1 to [`HOST`], unless a header says otherwise.
    pub(crate) fn request(&self, method: Method, path: &str) -> Sending {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, HOST);
        Sending {
            app: self.clone(),
            request,
            body: Bytes::new(),
            has_frames: false,
        }
    }

    /// All handler calls.
    pub(crate) fn calls(&self) -> u64 {
        self.0
            .calls
            .values()
            .map(|calls| calls.load(Ordering::SeqCst))
            .sum()
    }

    /// The calls of one route's handler.
    pub(crate) fn calls_of(&self, path: &str) -> u64 {
        self.0.calls[path].load(Ordering::SeqCst)
    }

    /// The request that a handler got at this call of all, from 1 on.
    pub(crate) fn saw(&self, call: u64) -> Saw {
        self.0.log.at(call)
    }

    pub(crate) fn stats(&self) -> Stats {
        (self.0.stats)()
    }

    pub(crate) fn purger(&self) -> Purger {
        self.0.purger.clone()
    }

    /// The framework's server on a socket of this machine, for as long as the runtime lives.
    pub(crate) async fn listen(&self) -> SocketAddr {
        let listen = async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let (serve, backlog) = (Arc::clone(&self.0.serve), Arc::clone(&self.0.backlog));
            tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    backlog.add_permits(1);
                    tokio::spawn(serve(Wire::accepted(stream)));
                }
            });
            address
        };
        *self.0.address.get_or_init(|| listen).await
    }

    /// Waits for the end of all that goes on in the background.
    pub(crate) async fn settled(&self) {
        eventually("no flight is left", || self.stats().flights == 0).await;
    }

    /// What holds after every test: no flight is left, and each request was counted once. `apart` are
    /// requests that no layer of the cache saw.
    pub(crate) async fn done_but(&self, apart: u64) {
        self.0.was_checked.store(true, Ordering::SeqCst);
        self.settled().await;
        let sent = self.0.sent.load(Ordering::SeqCst) - apart;
        let counted = |stats: &Stats| stats.hits + stats.stale + stats.misses + stats.bypasses;
        // One that its client left, and that has no flight, may still be under way.
        eventually("each request is counted", || counted(&self.stats()) >= sent).await;
        let stats = self.stats();
        assert_eq!(
            counted(&stats),
            sent,
            "each request is counted once: {stats:?}"
        );
        assert!(stats.collapsed <= stats.misses, "{stats:?}");
        metered::expect(|| self.stats()).await;
    }

    /// The same, where `others` were sent to the same cache by another app.
    pub(crate) async fn done_with(&self, others: u64) {
        self.0.sent.fetch_add(others, Ordering::SeqCst);
        self.done().await;
    }

    pub(crate) async fn done(&self) {
        self.done_but(0).await;
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// A request on its way.
pub(crate) struct Sending {
    app: App,
    request: request::Builder,
    body: Bytes,
    has_frames: bool,
}

impl Sending {
    /// Appends a line.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request = self.request.header(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_ref()).unwrap(),
        );
        self
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        let headers = self.request.headers_mut().unwrap();
        headers.insert(
            header::HOST,
            HeaderValue::from_bytes(host.as_bytes()).unwrap(),
        );
        self
    }

    /// A body that a field announces.
    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = Bytes::copy_from_slice(body.as_bytes());
        let length = self.body.len().to_string();
        self.header("content-length", length)
    }

    /// A body that no field announces.
    pub(crate) fn unannounced(mut self, body: &str) -> Self {
        self.body = Bytes::copy_from_slice(body.as_bytes());
        self.has_frames = true;
        self
    }

    /// The answer as far as its head.
    pub(crate) async fn open(self) -> Open {
        match self.app.0.service.clone() {
            Some(service) => self.call(service).await,
            None => self.exchange().await,
        }
    }

    async fn call(self, service: Service) -> Open {
        let body = if self.has_frames || !self.body.is_empty() {
            axum::body::Body::new(Full::new(self.body))
        } else {
            axum::body::Body::empty()
        };
        let request = self.request.body(body).unwrap();
        drop(self.app);
        let response = match service.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        Open {
            status: parts.status,
            headers: parts.headers,
            extensions: parts.extensions,
            body: body.map_err(Into::into).boxed_unsync(),
            _connection: None,
        }
    }

    /// On a connection of its own.
    async fn exchange(self) -> Open {
        let body = if self.has_frames {
            StreamBody::new(stream::iter([Ok(Frame::data(self.body))])).boxed_unsync()
        } else {
            Full::new(self.body).boxed_unsync()
        };
        let request = self.request.body(body).unwrap();
        let address = self.app.listen().await;
        self.app.0.backlog.acquire().await.unwrap().forget();
        let stream = Wire::connect(address).await;
        let seen = Arc::clone(&self.app.0.seen);
        drop(self.app);
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let connection = Connection(connection);
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        Open {
            status: parts.status,
            headers: parts.headers,
            extensions: std::mem::take(&mut *seen.lock().unwrap()),
            body: body.map_err(Into::into).boxed_unsync(),
            _connection: Some(connection),
        }
    }

    /// The whole answer.
    pub(crate) async fn send(self) -> Answer {
        self.open().await.rest().await
    }
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// As its server got it, where one is sent at a time.
    pub(crate) extensions: Extensions,
    body: Body,
    _connection: Option<Connection>,
}

/// The client's side of a connection. It leaves when this is dropped.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Open {
    /// The next data, `None` at the end.
    pub(crate) async fn data(&mut self) -> Option<Result<Bytes, BoxError>> {
        let frame = self.body.frame().await?;
        Some(frame.map(|frame| frame.into_data().unwrap()))
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The answer with what is left of its body.
    pub(crate) async fn rest(mut self) -> Answer {
        let mut body = Vec::new();
        let mut trailers = None;
        let mut failed = false;
        while let Some(frame) = self.body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => body.extend_from_slice(&data),
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(_) => {
                    failed = true;
                    break;
                }
            }
        }
        Answer {
            status: self.status,
            headers: self.headers,
            body,
            trailers,
            failed,
        }
    }
}

/// An answer in full.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    /// Its body ended with an error.
    pub(crate) failed: bool,
}

impl Answer {
    /// The body of an answer that is whole.
    pub(crate) fn text(&self) -> &str {
        assert!(!self.failed, "the body broke off");
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The first value of a field, empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect()
    }

    /// What the cache says it did.
    pub(crate) fn cache(&self) -> &str {
        self.all("cache-status").last().copied().unwrap_or_default()
    }
}
