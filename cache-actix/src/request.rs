//! What the adapter reads from a request and puts there.

use crate::convert;
use actix_web::{
    HttpMessage, HttpRequest,
    dev::{Payload, ServiceRequest},
    http::Method,
    test::TestRequest,
};
use cache_tower::adapter::Parameters;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use http::{Extensions, Request};
use percent_encoding::percent_decode_str;
use std::{
    future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// What layers of the cache put on requests and responses, as one extension of actix's.
#[derive(Clone, Default)]
pub(crate) struct Marks(pub(crate) Extensions);

/// Puts `marks` on a request.
pub(crate) fn mark(request: &ServiceRequest, marks: Extensions) {
    request.extensions_mut().insert(Marks(marks));
}

/// A request as the engine forwards it; its body stays with the adapter. `None` where it has no form in
/// `http` 1.
pub(crate) fn for_engine(request: &ServiceRequest) -> Option<Request<()>> {
    let mut converted = Request::new(());
    *converted.method_mut() = convert::method(request.method())?;
    *converted.uri_mut() = convert::uri(request.uri())?;
    *converted.headers_mut() = convert::fields(request.headers());
    Some(converted)
}

/// Whether a GET or HEAD has a body, or may have: over HTTP/2 no field has to announce one.
pub(crate) fn has_body(request: &mut ServiceRequest) -> bool {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return false;
    }
    let (_, payload) = request.parts_mut();
    if matches!(payload, Payload::None) {
        return false;
    }
    match Pin::new(&mut *payload).poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(None) => false,
        Poll::Pending => true,
        Poll::Ready(Some(first)) => {
            let rest = payload.take();
            let whole = stream::once(future::ready(first)).chain(rest);
            *payload = Payload::Stream {
                payload: Box::pin(whole),
            };
            true
        }
    }
}

/// The parameters of the matched resource, decoded as `web::Path` decodes them; those whose value is not
/// UTF-8 are left out.
pub(crate) fn parameters(request: &HttpRequest) -> Parameters {
    let decoded = |(name, value): (&str, &str)| {
        let value = percent_decode_str(value).decode_utf8().ok()?;
        Some((name.into(), value.into_owned()))
    };
    Parameters(request.match_info().iter().filter_map(decoded).collect())
}

/// The pattern of the matched resource; before the routing, of the one that it will find, guards aside. By the
/// path as the router reads it: `match_pattern` takes what the client wrote, which may look like another's.
pub(crate) fn route(request: &ServiceRequest) -> Option<String> {
    let path = request.match_info();
    if path.unprocessed().is_empty() || path.as_str() == request.path() {
        return request.match_pattern();
    }
    request.resource_map().match_pattern(path.as_str())
}

/// A request that names what was asked, to answer with while the real one is in the background.
///
/// A clone of the real one would not do: actix's router changes the request that it routes, and panics
/// where a clone of it is held, as by outer middleware until its answer is written.
pub(crate) fn stand_in(request: &ServiceRequest) -> HttpRequest {
    let mut stand_in = TestRequest::default()
        .method(request.method().clone())
        .version(request.version())
        .uri(&request.uri().to_string());
    if let Some(peer) = request.peer_addr() {
        stand_in = stand_in.peer_addr(peer);
    }
    for (name, line) in request.headers() {
        stand_in = stand_in.append_header((name.clone(), line.clone()));
    }
    stand_in.to_http_request()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::web::Bytes;

    #[test]
    fn a_stand_in_names_what_was_asked() {
        let peer = "192.0.2.1:4711".parse().unwrap();
        let request = TestRequest::default()
            .method(Method::HEAD)
            .version(actix_web::http::Version::HTTP_2)
            .uri("http://h.test/a%2Fb?c=%zz&d")
            .append_header(("x-a", "1"))
            .append_header(("x-a", "2"))
            .peer_addr(peer)
            .to_srv_request();
        let stand_in = stand_in(&request);
        assert_eq!(stand_in.uri().to_string(), "http://h.test/a%2Fb?c=%zz&d");
        assert_eq!(
            (stand_in.method(), stand_in.version(), stand_in.peer_addr()),
            (request.method(), request.version(), Some(peer))
        );
        let lines: Vec<_> = stand_in.headers().get_all("x-a").collect();
        assert_eq!(lines, ["1", "2"]);
    }

    #[actix_web::test]
    async fn a_body_that_no_field_announces_is_seen_and_lost_in_no_part() {
        assert!(!has_body(&mut TestRequest::get().to_srv_request()));
        let mut request = TestRequest::get().to_srv_request();
        let frames = ["fat ", "get"].map(|frame| Ok(Bytes::from_static(frame.as_bytes())));
        request.set_payload(Payload::Stream {
            payload: Box::pin(stream::iter(frames)),
        });
        assert!(has_body(&mut request));
        let body = request.extract::<Bytes>().await.unwrap();
        assert_eq!(body, "fat get");
        let empty: [Result<Bytes, actix_web::error::PayloadError>; 0] = [];
        request.set_payload(Payload::Stream {
            payload: Box::pin(stream::iter(empty)),
        });
        assert!(!has_body(&mut request));
    }
}
