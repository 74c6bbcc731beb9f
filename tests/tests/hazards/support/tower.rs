//! Services of tower: a site without a framework, and what axum's is made of as well.

use super::{
    App, Ask, Log, Settings, Site,
    site::{Around, Between, EVERYWHERE, Guard, Route},
};
use axum::{body::Body, extract::Request, response::Response};
use cache_tower::adapter::{Direct, Framework, HttpCache};
use http::{HeaderName, Method, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::Semaphore;
use tower::{
    Layer, ServiceExt, limit::GlobalConcurrencyLimitLayer, service_fn, util::BoxCloneSyncService,
};
use tower_http::compression::CompressionLayer;

pub(crate) type Service = BoxCloneSyncService<Request, Response, Infallible>;

pub(super) fn start(site: Site) -> App {
    let cache: HttpCache<Direct> = cache::<Direct>(&site.settings);
    let log = Log::default();
    let with_layer = |route: &Route| {
        let service = handler_service(route, &log);
        let service = match &route.policy {
            Some(policy) => boxed(cache.policy(policy.clone()).layer(service)),
            None => service,
        };
        (route.path, service)
    };
    let routes: Vec<_> = site.routes.iter().map(with_layer).collect();
    let service = between(site.between.clone(), routed(routes));
    let service = match &site.around {
        Around::Nothing => service,
        Around::Router(policy) | Around::Before(policy) => {
            boxed(cache.policy(policy.clone()).layer(service))
        }
    };
    let service = between(site.outside.clone(), service);
    let stats = cache.clone();
    App::of_service(
        service,
        move || stats.stats(),
        cache.purger(),
        site.calls(),
        log,
    )
}

/// Calls the service of the first route that has the request's path. A parameter takes one segment.
fn routed(routes: Vec<(&'static str, Service)>) -> Service {
    BoxCloneSyncService::new(service_fn(move |request: Request| {
        let route = routes
            .iter()
            .find(|(path, _)| has_path(path, request.uri().path()));
        let service = route.map(|(_, service)| service.clone());
        async move {
            match service {
                Some(service) => service.oneshot(request).await,
                None => {
                    let mut response = Response::new(Body::empty());
                    *response.status_mut() = StatusCode::NOT_FOUND;
                    Ok(response)
                }
            }
        }
    }))
}

fn has_path(route: &str, path: &str) -> bool {
    let is_same = |(piece, segment): (&str, &str)| piece.starts_with('{') || piece == segment;
    let (pieces, segments) = (route.split('/'), path.split('/'));
    route == EVERYWHERE
        || pieces.clone().count() == segments.clone().count() && pieces.zip(segments).all(is_same)
}

/// The cache of a site, as a framework has it.
pub(super) fn cache<F: Framework>(settings: &Settings) -> F::Cache {
    let mut builder = HttpCache::<F>::builder();
    if let Some(capacity) = settings.capacity {
        builder = builder.capacity(capacity);
    }
    if let Some(most) = settings.max_body {
        builder = builder.max_body(most);
    }
    if let Some(most) = settings.max_refreshes {
        builder = builder.max_refreshes(most);
    }
    if let Some(clock) = settings.clock.clone() {
        builder = builder.clock(clock);
    }
    if settings.colliding_hashes {
        builder = builder.colliding_hashes();
    }
    if let Some(link) = settings.remote.clone() {
        builder = builder.remote(Arc::new(link));
    }
    if settings.without_cache_groups {
        builder = builder.without_cache_groups();
    }
    let targeted = settings.targeted.iter().copied();
    builder = builder.targeted_fields(targeted.map(HeaderName::from_static));
    builder.build().unwrap()
}

pub(crate) fn boxed<S, B>(service: S) -> Service
where
    S: tower::Service<Request, Response = http::Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    B: http_body::Body<Data = bytes::Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    BoxCloneSyncService::new(service.map_response(|response| response.map(Body::new)))
}

/// `service` behind a guard, who may change a request's fields, or refuse the request by a reply.
fn guarded(service: Service, guard: Guard) -> Service {
    BoxCloneSyncService::new(service_fn(move |mut request: Request| {
        let (refusal, service) = (guard(request.headers_mut()), service.clone());
        async move {
            match refusal {
                Some(reply) => Ok(reply.response.map(Body::new)),
                None => service.oneshot(request).await,
            }
        }
    }))
}

/// `service`, called only by who holds a permit.
fn limited(service: Service, permits: Arc<Semaphore>) -> Service {
    boxed(GlobalConcurrencyLimitLayer::with_semaphore(permits).layer(service))
}

/// What lies between the routes and the layer around them.
pub(super) fn between(between: Between, service: Service) -> Service {
    match between {
        Between::Nothing => service,
        Between::Guard(guard) => guarded(service, guard),
        Between::Permits(permits) => limited(service, permits),
        Between::Compression => boxed(CompressionLayer::new().layer(service)),
    }
}

/// A handler of the harness as a service.
pub(super) fn handler_service(route: &Route, log: &Log) -> Service {
    let (handler, calls) = (Arc::clone(&route.handler), Arc::clone(&route.calls));
    let log = log.clone();
    BoxCloneSyncService::new(service_fn(move |request: Request| {
        let (handler, calls) = (Arc::clone(&handler), Arc::clone(&calls));
        log.note(&request);
        async move { Ok(answer(&handler, &calls, request).await) }
    }))
}

async fn answer(handler: &super::site::Handler, calls: &AtomicU64, request: Request) -> Response {
    let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map_or_else(|_| Default::default(), |body| body.to_bytes());
    let ask = Ask {
        call,
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        extensions: parts.extensions,
        body,
    };
    let is_head = ask.method == Method::HEAD;
    let response = handler(ask).await.response.map(Body::new);
    if is_head {
        without_body(response)
    } else {
        response
    }
}

/// As routers answer a HEAD by a GET's handler.
fn without_body(mut response: Response) -> Response {
    if let Some(length) = response.body().size_hint().exact() {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length.into());
    }
    response.map(|_| Body::empty())
}
