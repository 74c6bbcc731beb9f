//! Everything that a client may ask, answered: outside the cache stand the rules for requests that
//! nobody else should see, and what becomes of a failure that no stored response covers.

use crate::{
    failure::Failure,
    hop::{self, Forwards},
    origin::Origin,
};
use bytes::Bytes;
use cache_tower::{CacheLayer, CacheService, ResponseBody};
use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode, Uri, Version,
    body::Incoming,
    ext::ReasonPhrase,
    header::{self, HeaderValue},
    http::uri::Authority,
};
use std::io::Write as _;
use tower::{Layer, ServiceExt};

pub(crate) type Answer = Response<Either<ResponseBody<Incoming>, Full<Bytes>>>;

#[derive(Clone)]
pub(crate) struct Gateway {
    cached: CacheService<Origin<Incoming>>,
}

impl Gateway {
    pub(crate) fn new(cache: &CacheLayer, origin: Origin<Incoming>) -> Self {
        let cached = cache.layer(origin);
        Self { cached }
    }

    pub(crate) async fn answer(self, mut request: Request<Incoming>) -> Answer {
        if let Some(answer) = answer_here(&mut request) {
            return whole(answer);
        }
        match self.cached.oneshot(request).await {
            Ok(response) => with_reason(response.map(Either::Left)),
            Err(failure) => {
                tracing::warn!("{failure}");
                whole(explain(&failure))
            }
        }
    }
}

/// A response of the proxy itself.
pub(crate) type Own = Response<Bytes>;

fn whole(own: Own) -> Answer {
    own.map(|content| Either::Right(Full::new(content)))
}

/// What is answered without the origin; every other request has the form in which it is forwarded.
pub(crate) fn answer_here<B>(request: &mut Request<B>) -> Option<Own> {
    if request.method() == Method::CONNECT {
        // Tunnels are not for one who stands in for an origin (RFC 9110 §9.3.6).
        return Some(own(
            StatusCode::NOT_IMPLEMENTED,
            "there are no tunnels here",
        ));
    }
    if let Err(problem) = direct(request) {
        return Some(own(StatusCode::BAD_REQUEST, problem));
    }
    if hop::has_foreign_coding(request.headers()) {
        let problem = "this transfer coding is unknown";
        return Some(own(StatusCode::NOT_IMPLEMENTED, problem));
    }
    match hop::count_forward(request) {
        Forwards::On => {
            // Before the cache: what Connection names is no part of what is asked for.
            hop::strip(request.headers_mut());
            None
        }
        Forwards::EndHere if request.method() == Method::TRACE => Some(reflect(request)),
        Forwards::EndHere => Some(Response::default()),
    }
}

/// Checks whom the request is for, and says so in Host alone: a target that names an authority goes
/// before Host (RFC 9112 §3.2, §3.2.2).
fn direct<B>(request: &mut Request<B>) -> Result<(), &'static str> {
    check_host(request)?;
    if request.uri().scheme().is_none() {
        return match request.uri().authority() {
            Some(_) => Err("the request's target is no path"),
            None => Ok(()),
        };
    }
    let authority = request.uri().authority().map(Authority::as_str);
    let host = authority.and_then(|authority| HeaderValue::from_str(authority).ok());
    let host = host.ok_or("the request's target names no host")?;
    request.headers_mut().insert(header::HOST, host);
    *request.uri_mut() = path_of(request.uri());
    Ok(())
}

fn path_of(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned();
    path.map_or_else(Uri::default, Uri::from)
}

/// One Host, of a form that it may have; in HTTP/1.0 it may be missing.
fn check_host<B>(request: &Request<B>) -> Result<(), &'static str> {
    let mut hosts = request.headers().get_all(header::HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_10 => Ok(()),
        (None, _) => Err("the request has no Host"),
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        (Some(_), None) => Err("the request's Host is malformed"),
        (Some(_), Some(_)) => Err("the request has more than one Host"),
    }
}

/// `uri-host [ ":" port ]`; empty where the target has no authority (RFC 9110 §7.2).
fn is_host(host: &[u8]) -> bool {
    host.is_empty() || (!host.contains(&b'@') && Authority::try_from(host).is_ok())
}

/// The final recipient of a TRACE gives it back, without what is secret (RFC 9110 §9.3.8).
fn reflect<B>(request: &Request<B>) -> Own {
    const SECRET: [header::HeaderName; 3] = [
        header::AUTHORIZATION,
        header::COOKIE,
        header::PROXY_AUTHORIZATION,
    ];
    let mut message = Vec::new();
    let line = (request.method(), request.uri(), request.version());
    let written = write!(message, "{} {} {:?}\r\n", line.0, line.1, line.2);
    written.expect("a vector takes all that is written");
    let fields = request.headers().iter();
    hop::write(
        &mut message,
        fields.filter(|(name, _)| !SECRET.contains(name)),
    );
    typed("message/http", message)
}

pub(crate) fn explain(failure: &Failure) -> Own {
    own(failure.status(), failure.problem())
}

fn own(status: StatusCode, problem: &str) -> Own {
    let mut response = typed("text/plain", format!("{problem}\n"));
    *response.status_mut() = status;
    response
}

fn typed(media_type: &'static str, content: impl Into<Bytes>) -> Own {
    let mut response = Response::new(content.into());
    let media_type = HeaderValue::from_static(media_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    response
}

/// hyper makes up a reason where a status has none; a stored response has lost its own.
fn with_reason(mut answer: Answer) -> Answer {
    let is_known = answer.status().canonical_reason().is_some();
    if !is_known && answer.extensions().get::<ReasonPhrase>().is_none() {
        let none = ReasonPhrase::from_static(b"");
        answer.extensions_mut().insert(none);
    }
    answer
}
