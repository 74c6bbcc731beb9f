//! An HTTP client over TCP.

use axum::http::{Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{net::SocketAddr, time::Duration};
use tokio::time::timeout;

/// Longer than anything here takes, so that nothing hangs.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(crate) struct Client {
    http: Http<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    host: String,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) cache_status: String,
    pub(crate) body: String,
}

impl Answer {
    /// Whether it is 200 with this body.
    pub(crate) fn is(&self, body: &str) -> bool {
        self.status == StatusCode::OK && self.body == body
    }

    /// Whether Cache-Status has this parameter.
    pub(crate) fn says(&self, parameter: &str) -> bool {
        self.cache_status
            .split(';')
            .any(|part| part.trim() == parameter)
    }
}

impl Client {
    /// It knows the service by the name `host`, which is part of what responses are stored under.
    pub(crate) fn new(address: SocketAddr, host: &str) -> Self {
        let http = Http::builder(TokioExecutor::new()).build_http();
        let host = host.to_owned();
        Self {
            http,
            address,
            host,
        }
    }

    /// Sends it, and waits for all of the answer.
    pub(crate) async fn send(
        &self,
        method: &Method,
        path: &str,
        text: &str,
    ) -> Result<Answer, String> {
        let failed = |problem: String| format!("{method} {path} got no answer: {problem}");
        match timeout(PATIENCE, self.exchange(method, path, text)).await {
            Ok(answer) => answer.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed("it took more than a minute".to_owned())),
        }
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        text: &str,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(header::HOST, &self.host)
            .body(text.to_owned().into())?;
        let (head, body) = self.http.request(request).await?.into_parts();
        let cache_status = head.headers.get("cache-status");
        Ok(Answer {
            status: head.status,
            cache_status: cache_status
                .map_or(Ok(""), |value| value.to_str())?
                .to_owned(),
            body: String::from_utf8(body.collect().await?.to_bytes().into())?,
        })
    }
}
