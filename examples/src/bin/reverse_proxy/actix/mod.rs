//! The proxy by actix-web: the same rules, the same way to the origin, another server. What its HTTP/1
//! cannot say is left out: interim responses, reasons of the origin's own, trailers, the order of fields.

mod body;
mod message;

use crate::{
    failure::Failure,
    gateway::{Own, answer_here, explain},
    listener::HEAD_TIMEOUT,
    origin::Origin,
    policy,
};
use actix_web::{
    App, Error, HttpResponse, HttpServer, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse, fn_service},
    http::{Method, StatusCode},
    middleware::{Next, from_fn},
};
use body::Payload;
use cache_actix::HttpCache;
use tokio::net::TcpListener;

/// Serves all who come, for ever.
///
/// # Errors
///
/// Says why that cannot be begun.
pub(crate) async fn serve(
    listener: TcpListener,
    origin: Origin<Payload>,
    cache: HttpCache,
) -> Result<(), String> {
    let app = move || {
        let (origin, cache) = (origin.clone(), cache.clone());
        App::new()
            .default_service(fn_service(move |request| forward(origin.clone(), request)))
            .wrap(cache.policy(policy()))
            .wrap(from_fn(answer))
    };
    // A half-closed connection stays one, as with hyper.
    let server = HttpServer::new(app)
        .client_request_timeout(HEAD_TIMEOUT)
        .keep_alive(HEAD_TIMEOUT)
        .disable_signals();
    let listener = listener.into_std().map_err(|error| error.to_string())?;
    let server = server.listen(listener).map_err(|error| error.to_string())?;
    server.run().await.map_err(|error| error.to_string())
}

/// What stands outside of the cache.
async fn answer<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut asked = message::request(request.request());
    if let Some(own) = answer_here(&mut asked) {
        return Ok(request.into_response(whole(own)));
    }
    message::write(&asked, &mut request);
    let answer = next.call(request).await?;
    Ok(with_reason(answer).map_into_boxed_body())
}

/// Asks the origin.
async fn forward(
    origin: Origin<Payload>,
    request: ServiceRequest,
) -> Result<ServiceResponse, Error> {
    let (request, payload) = request.into_parts();
    let asked = message::request(&request);
    let payload = Payload::new(payload, asked.headers());
    let response = origin.ask(asked.map(|()| payload)).await?;
    let is_head = *request.method() == Method::HEAD;
    Ok(ServiceResponse::new(
        request,
        message::response(response, is_head),
    ))
}

fn whole(own: Own) -> HttpResponse {
    let (head, content) = own.into_parts();
    message::head(&head).set_body(content).map_into_boxed_body()
}

/// actix says that a status is unknown where it has no reason.
fn with_reason<B>(mut answer: ServiceResponse<B>) -> ServiceResponse<B> {
    if answer.status().canonical_reason().is_none() {
        answer.response_mut().head_mut().reason = Some("");
    }
    answer
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        message::status(self.status())
    }

    fn error_response(&self) -> HttpResponse {
        tracing::warn!("{self}");
        whole(explain(self))
    }
}
