//! The origin, as a Tower service. What the cache forwards goes through here, and nothing else does:
//! here a request becomes the next hop's, and a response what may be stored.

use crate::{failure::Failure, hop, interim::Sender, upload::Upload};
use bytes::Bytes;
use hyper::{
    HeaderMap, Request, Response, StatusCode, Uri, Version,
    body::{Body, Incoming},
    ext::on_informational,
    header::{self, HeaderValue},
    http::uri::{Authority, PathAndQuery, Scheme},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};
use tokio::{sync::oneshot, time::sleep};
use tower::Service;

/// So long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// So long the origin may take from the end of a request to the head of its response. An upload takes
/// as long as it takes.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// An idle connection is closed after this: before the origin closes it, which at many is after five
/// seconds, and a request is lost that was just sent on it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// More fields than hyper accepts by itself.
pub(crate) const MOST_FIELDS: usize = 256;

/// A request's body, of whichever server.
pub(crate) trait Sent:
    Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static
{
}

impl<B> Sent for B where B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static {}

type BoxError = Box<dyn Error + Send + Sync>;

/// `B` is the body of its requests.
pub(crate) struct Origin<B> {
    client: Client<HttpConnector, Upload<B>>,
    authority: Authority,
}

impl<B> Clone for Origin<B> {
    fn clone(&self) -> Self {
        let (client, authority) = (self.client.clone(), self.authority.clone());
        Self { client, authority }
    }
}

impl<B: Sent> Origin<B> {
    pub(crate) fn new(authority: Authority) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            // Not a retry: it is about requests that were never begun, because their connection was closed
            // before. One that was begun may have been acted on, and is never sent again.
            .retry_canceled_requests(true)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .http1_max_headers(MOST_FIELDS)
            // A proxy removes them (RFC 9112 §5.1), and replaces line folding (RFC 9112 §5.2).
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .build(connector);
        Self { client, authority }
    }

    /// Sends a request, at most once.
    pub(crate) async fn ask(self, request: Request<B>) -> Result<Response<Incoming>, Failure> {
        let (request, sent) = self.outgoing(request);
        tokio::select! {
            response = self.client.request(request) => incoming(response?),
            failure = overdue(sent) => Err(failure),
        }
    }

    /// The request for the next hop.
    fn outgoing(&self, request: Request<B>) -> (Request<Upload<B>>, oneshot::Receiver<()>) {
        let (mut head, body) = request.into_parts();
        hop::append_via(&mut head.headers, head.version);
        if head.version == Version::HTTP_10 {
            // Of that version it is to be ignored (RFC 9110 §10.1.1).
            head.headers.remove(header::EXPECT);
        }
        if is_length_unknown(&body) {
            // hyper would leave out the body of a GET.
            let chunked = HeaderValue::from_static("chunked");
            head.headers.insert(header::TRANSFER_ENCODING, chunked);
        }
        head.uri = self.uri(head.uri);
        head.version = Version::HTTP_11;
        let (upload, sent) = Upload::new(body);
        let mut request = Request::from_parts(head, upload);
        listen(&mut request);
        (request, sent)
    }

    /// The same path and query, to the byte, at the origin's authority.
    fn uri(&self, uri: Uri) -> Uri {
        let mut parts = uri.into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        let root = || PathAndQuery::from_static("/");
        parts.path_and_query = Some(parts.path_and_query.unwrap_or_else(root));
        Uri::from_parts(parts).expect("all three parts are there")
    }
}

impl<B: Sent> Service<Request<B>> for Origin<B> {
    type Response = Response<Incoming>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(self.clone().ask(request))
    }
}

fn is_length_unknown(body: &impl Body) -> bool {
    !body.is_end_stream() && body.size_hint().exact().is_none()
}

/// Passes interim responses on as they come. A `100 Continue` is not: hyper sends its own when the body
/// is first read, which is at once (RFC 9110 §10.1.1).
fn listen<B>(request: &mut Request<Upload<B>>) {
    let Some(sender) = request.extensions().get::<Sender>().cloned() else {
        return;
    };
    on_informational(request, move |response| {
        if response.status() != StatusCode::CONTINUE {
            let mut fields = response.headers().clone();
            hop::strip(&mut fields);
            sender.send(response.status(), &fields);
        }
    });
}

/// Ends so long after the request was sent.
async fn overdue(sent: oneshot::Receiver<()>) -> Failure {
    // It is never sent to, only closed.
    let _ = sent.await;
    sleep(HEAD_TIMEOUT).await;
    Failure::Overdue
}

/// The response, as far as it is for more than this hop.
fn incoming(mut response: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::Unfit("the origin switched protocols unasked"));
    }
    if hop::has_foreign_coding(response.headers()) {
        return Err(Failure::Unfit("the origin used an unknown transfer coding"));
    }
    hop::strip(response.headers_mut());
    date(response.headers_mut());
    // Its own version is a matter of each hop (RFC 9110 §2.5).
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}

/// A response without a date is dated when it comes (RFC 9110 §6.6.1): the date is stored with it.
fn date(fields: &mut HeaderMap) {
    if !fields.contains_key(header::DATE) {
        let now = httpdate::fmt_http_date(SystemTime::now());
        let date = HeaderValue::from_str(&now);
        fields.insert(header::DATE, date.expect("a date is text"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn the_head_is_waited_for_from_the_end_of_the_request_on() {
        let (sending, sent) = oneshot::channel();
        let began = Instant::now();
        tokio::spawn(async move {
            sleep(Duration::from_secs(3600)).await;
            drop(sending);
        });
        assert!(matches!(overdue(sent).await, Failure::Overdue));
        assert_eq!(began.elapsed(), Duration::from_secs(3600) + HEAD_TIMEOUT);
    }
}
