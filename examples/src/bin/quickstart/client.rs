//! An HTTP client over TCP, which takes the time.

use axum::http::{Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::timeout};

/// Longer than anything here takes, so that nothing hangs.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(crate) struct Client {
    http: Http<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) cache_status: String,
    pub(crate) body: String,
    pub(crate) time: Duration,
}

impl Answer {
    pub(crate) fn is_ok(&self) -> bool {
        self.status == StatusCode::OK
    }

    /// Whether Cache-Status has this parameter.
    pub(crate) fn is(&self, parameter: &str) -> bool {
        self.cache_status.split(';').any(|part| part == parameter)
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let http = Http::builder(TokioExecutor::new()).build_http();
        Self { http, address }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, String> {
        self.send(&Method::GET, path, String::new()).await
    }

    /// Sends it, and waits for all of the answer.
    pub(crate) async fn send(
        &self,
        method: &Method,
        path: &str,
        json: String,
    ) -> Result<Answer, String> {
        let failed = |problem: &str| format!("{method} {path} got no answer: {problem}");
        let began = Instant::now();
        match timeout(PATIENCE, self.exchange(method, path, json)).await {
            Ok(Ok(answer)) => Ok(Answer {
                time: began.elapsed(),
                ..answer
            }),
            Ok(Err(error)) => Err(failed(&with_sources(&*error))),
            Err(_) => Err(failed("it took more than a minute")),
        }
    }

    /// So many at once.
    pub(crate) async fn get_at_once(
        &self,
        count: usize,
        path: &str,
    ) -> Result<Vec<Answer>, String> {
        let mut requests = JoinSet::new();
        for _ in 0..count {
            let (client, path) = (self.clone(), path.to_owned());
            requests.spawn(async move { client.get(&path).await });
        }
        requests.join_all().await.into_iter().collect()
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        json: String,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        if !json.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let response = self.http.request(request.body(json.into())?).await?;
        let (head, body) = response.into_parts();
        let cache_status = head.headers.get("cache-status");
        Ok(Answer {
            status: head.status,
            cache_status: cache_status
                .map_or(Ok(""), |value| value.to_str())?
                .to_owned(),
            body: String::from_utf8(body.collect().await?.to_bytes().into())?,
            time: Duration::ZERO,
        })
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| {
        format!("{text}: {source}")
    })
}
