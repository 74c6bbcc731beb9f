//! `hits hit N` asks a cache N times for what it has; `hits ask N` only makes the requests. What a hit takes is
//! the difference. `cargo xtask bench metrics` has the instructions counted.
//!
//! With the feature `metrics` a recorder is there, as a service has it. With `tracing` no subscriber is: what is
//! measured then is what a service pays that does not look.

use bytes::Bytes;
use cache_tower::{HttpCache, Policy, hours};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::{Empty, Full};
use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    hint::black_box,
    pin::pin,
    process::ExitCode,
    task::{Context, Poll, Waker},
};
use tower::{Layer, Service};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (what, count) = (arguments.next(), arguments.next());
    let Some(count) = count.and_then(|count| count.parse::<u64>().ok()) else {
        return ExitCode::from(2);
    };
    record();
    let cache = HttpCache::new();
    let mut cached = cache.policy(Policy::ttl(hours(1))).layer(Origin);
    let is_hit = what.as_deref() == Some("hit");
    let mut send = || match is_hit {
        true => call(&mut cached),
        false => drop(black_box(request())),
    };
    // Until memory has come to rest.
    (0..200).for_each(|_| send());
    counted(count, &mut send);
    let hits = cache.stats().hits;
    println!("{hits} hits");
    ExitCode::SUCCESS
}

/// What is counted is what this calls: callgrind knows it by its name.
#[inline(never)]
fn counted(count: u64, send: &mut dyn FnMut()) {
    (0..count).for_each(|_| send());
}

#[cfg(feature = "metrics")]
fn record() {
    metrics_exporter_prometheus::PrometheusBuilder::new()
        .install_recorder()
        .expect("it is the only recorder");
}

#[cfg(not(feature = "metrics"))]
fn record() {}

fn request() -> Request<Empty<Bytes>> {
    Request::get("/path?page=2")
        .header("host", "test")
        .body(Empty::new())
        .expect("it is well formed")
}

/// One request, its body read to the end.
fn call<S, RB>(service: &mut S)
where
    S: Service<Request<Empty<Bytes>>, Response = Response<RB>, Error = Infallible>,
    RB: Body<Data = Bytes>,
{
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(response)) = pin!(service.call(request())).poll(&mut cx) else {
        return;
    };
    let (parts, body) = response.into_parts();
    let mut body = pin!(body);
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        black_box(frame.is_ok());
    }
    black_box(parts);
}

/// What is stored: eight fields and 1 KiB.
#[derive(Clone)]
struct Origin;

impl Service<Request<Empty<Bytes>>> for Origin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
        let mut response = Response::new(Full::from(vec![b'x'; 1024]));
        *response.headers_mut() = fields();
        ready(Ok(response))
    }
}

fn fields() -> HeaderMap {
    [
        ("content-type", "application/json"),
        ("cache-control", "public, max-age=60"),
        ("etag", "\"0123456789abcdef\""),
        ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("server", "test"),
        ("x-request-id", "0123456789"),
        ("content-language", "de"),
        ("link", "</style.css>; rel=preload"),
    ]
    .map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    })
    .into_iter()
    .collect()
}
