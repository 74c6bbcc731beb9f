//! What a hit costs beside a service that is as cheap as one can be: always ready, its response
//! prebuilt, 1 KiB of body and 8 fields. Both in one run, batch by batch in turn.
//!
//! The goal is what the leanest published cache layer for axum costs by this measure, one that heeds
//! no field of request or response at all.

use super::FIELDS;
use bytes::Bytes;
use cache_tower::{HttpCache, Policy, hours};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::{Empty, Full};
use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Instant,
};
use tests::figure::Figure;
use tower::{Layer, Service};

const BATCHES: usize = 401;
const BATCH: usize = 500;

pub(crate) fn measure() -> Figure {
    let mut bare = Bare {
        headers: fields(),
        body: Bytes::from(vec![b'x'; 1024]),
    };
    let mut cached = HttpCache::new()
        .policy(Policy::ttl(hours(1)))
        .layer(bare.clone());
    call(&mut cached);
    let mut ratios: Vec<f64> = (0..BATCHES)
        .map(|_| batch(&mut cached) / batch(&mut bare))
        .collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios.get(BATCHES / 2).copied().unwrap_or(f64::NAN);
    Figure::at_most(2.4, "× the bare service", median)
}

fn batch<S, RB>(service: &mut S) -> f64
where
    S: Service<Request<Empty<Bytes>>, Response = Response<RB>, Error = Infallible>,
    RB: Body<Data = Bytes>,
{
    let start = Instant::now();
    for _ in 0..BATCH {
        call(service);
    }
    start.elapsed().as_secs_f64()
}

/// One request, its body read to the end.
fn call<S, RB>(service: &mut S)
where
    S: Service<Request<Empty<Bytes>>, Response = Response<RB>, Error = Infallible>,
    RB: Body<Data = Bytes>,
{
    let request = Request::get("/path?page=2")
        .header("host", "test")
        .body(Empty::new())
        .expect("it is well formed");
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(&mut cx) else {
        return;
    };
    let (parts, body) = response.into_parts();
    let mut body = pin!(body);
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        black_box(frame.is_ok());
    }
    black_box(parts);
}

#[derive(Clone)]
struct Bare {
    headers: HeaderMap,
    body: Bytes,
}

impl Service<Request<Empty<Bytes>>> for Bare {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.headers_mut() = self.headers.clone();
        ready(Ok(response))
    }
}

fn fields() -> HeaderMap {
    let fields = FIELDS.map(|(name, value)| {
        let name = http::HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    fields.into_iter().collect()
}
