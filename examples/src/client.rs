//! An HTTP client over TCP, which takes the time.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use std::{
    error::Error,
    iter::successors,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::timeout};

/// Longer than anything here takes, so that nothing hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks one service. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: Http<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    host: String,
}

/// What a request carries.
#[derive(Debug)]
pub enum Content {
    /// Text without a type, or nothing.
    Text(String),
    /// JSON, which is said to be so.
    Json(Value),
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Value> for Content {
    fn from(json: Value) -> Self {
        Self::Json(json)
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The field Cache-Status; empty where there is none.
    pub cache_status: String,
    /// All of the body.
    pub body: String,
    /// From the request to the end of the body.
    pub time: Duration,
}

impl Answer {
    /// Whether it is 200.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.status == StatusCode::OK
    }

    /// Whether it is 200 with this body.
    #[must_use]
    pub fn is(&self, body: &str) -> bool {
        self.is_ok() && self.body == body
    }

    /// Whether Cache-Status has this parameter.
    #[must_use]
    pub fn says(&self, parameter: &str) -> bool {
        self.cache_status.split(';').any(|part| part == parameter)
    }
}

impl Client {
    /// It knows the service by the name `host`, which is part of what responses are stored under.
    #[must_use]
    pub fn new(address: SocketAddr, host: &str) -> Self {
        Self {
            http: Http::builder(TokioExecutor::new()).build_http(),
            address,
            host: host.to_owned(),
        }
    }

    /// Asks for it, and waits for all of the answer.
    ///
    /// # Errors
    ///
    /// Says why there is none.
    pub async fn get(&self, path: &str) -> Result<Answer, String> {
        self.send(&Method::GET, path, "").await
    }

    /// The same with another method, and with content.
    ///
    /// # Errors
    ///
    /// Says why there is no answer.
    pub async fn send(
        &self,
        method: &Method,
        path: &str,
        content: impl Into<Content>,
    ) -> Result<Answer, String> {
        let failed = |problem: &str| format!("{method} {path} got no answer: {problem}");
        match timeout(PATIENCE, self.exchange(method, path, content.into())).await {
            Ok(answer) => answer.map_err(|error| failed(&with_sources(&*error))),
            Err(_) => Err(failed("it took more than a minute")),
        }
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        content: Content,
    ) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(header::HOST, &self.host);
        let request = match content {
            Content::Text(text) => request.body(text.into()),
            Content::Json(json) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(json.to_string().into()),
        };
        let began = Instant::now();
        let (head, body) = self.http.request(request?).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let cache_status = head.headers.get("cache-status");
        Ok(Answer {
            status: head.status,
            cache_status: cache_status
                .map_or(Ok(""), |value| value.to_str())?
                .to_owned(),
            body: String::from_utf8(body.into())?,
            time: began.elapsed(),
        })
    }
}

/// As [`Client::get`], once by each of the clients, all at the same time.
///
/// # Errors
///
/// Says of one of those that have no answer why.
pub async fn get_at_once(
    clients: impl Iterator<Item = &Client>,
    path: &str,
) -> Result<Vec<Answer>, String> {
    let mut requests = JoinSet::new();
    for client in clients {
        let (client, path) = (client.clone(), path.to_owned());
        requests.spawn(async move { client.get(&path).await });
    }
    requests.join_all().await.into_iter().collect()
}

fn with_sources(error: &dyn Error) -> String {
    let sources = successors(error.source(), |source| (*source).source());
    sources.fold(error.to_string(), |text, source| {
        format!("{text}: {source}")
    })
}
