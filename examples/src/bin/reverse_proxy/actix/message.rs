//! Heads of messages: actix-web has those of `http` 0.2, hyper those of `http` 1.

use super::body::Passed;
use actix_web::{HttpRequest, HttpResponse, dev::ServiceRequest, http as old};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    body::Incoming,
    header::{HeaderName, HeaderValue},
    http::response,
};

const SAME: &str = "both accept the same";

pub(super) fn request(old: &HttpRequest) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(old.method().as_str().as_bytes()).expect(SAME);
    *request.uri_mut() = old.uri().to_string().parse().expect(SAME);
    *request.version_mut() = match old.version() {
        old::Version::HTTP_10 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    *request.headers_mut() = old.headers().iter().map(field).collect();
    request
}

fn field(
    (name, value): (&old::header::HeaderName, &old::header::HeaderValue),
) -> (HeaderName, HeaderValue) {
    let name = HeaderName::from_bytes(name.as_str().as_bytes());
    let value = HeaderValue::from_bytes(value.as_bytes());
    (name.expect(SAME), value.expect(SAME))
}

/// Makes `request` what was made of it.
pub(super) fn write(asked: &Request<()>, request: &mut ServiceRequest) {
    request.head_mut().uri = asked.uri().to_string().parse().expect(SAME);
    *request.headers_mut() = fields(asked.headers());
}

fn fields(fields: &HeaderMap) -> old::header::HeaderMap {
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        let name = old::header::HeaderName::from_bytes(name.as_str().as_bytes());
        let value = old::header::HeaderValue::from_bytes(value.as_bytes());
        (name.expect(SAME), value.expect(SAME))
    };
    fields.iter().map(field).collect()
}

pub(super) fn status(status: StatusCode) -> old::StatusCode {
    old::StatusCode::from_u16(status.as_u16()).expect(SAME)
}

pub(super) fn head(head: &response::Parts) -> HttpResponse<()> {
    let mut response = HttpResponse::with_body(status(head.status), ());
    *response.headers_mut() = fields(&head.headers);
    response
}

pub(super) fn response(response: Response<Incoming>, is_head: bool) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let body = Passed::new(body, &parts.headers, is_head);
    head(&parts).set_body(body).map_into_boxed_body()
}
