//! The one part of the harness that knows axum.

use super::{
    App, Ask, Log, Reply, Settings, Site,
    site::{Around, EVERYWHERE, Route},
};
use axum::{Router, body::Body, extract::Request, response::Response, routing::any_service};
use cache_axum::HttpCache;
use http::{HeaderMap, HeaderName, Method, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_http::compression::CompressionLayer;

pub(crate) type Service = BoxCloneSyncService<Request, Response, Infallible>;

pub(crate) fn start(site: Site) -> App {
    let cache = cache(&site.settings);
    let log = Log::default();
    let mut router = Router::new();
    for route in &site.routes {
        let service = handler_service(route, &log);
        router = match (route.path, &route.policy) {
            (EVERYWHERE, _) => router.fallback_service(service),
            (path, None) => router.route(path, any_service(service)),
            (path, Some(policy)) => {
                let layer = cache.policy(policy.clone());
                router.route(path, any_service(service).layer(layer))
            }
        };
    }
    if let Some(between) = &site.between {
        router = Router::new().fallback_service(between(boxed(router)));
    }
    let service = match site.around {
        Around::Nothing => boxed(router),
        Around::Router(policy) => boxed(router.layer(cache.policy(policy))),
        Around::Before(policy) => boxed(cache.policy(policy).layer(router)),
    };
    let service = match &site.outside {
        Some(outside) => outside(service),
        None => service,
    };
    let routes = site
        .routes
        .iter()
        .map(|route| (route.path, Arc::clone(&route.calls)));
    App::logged(service, &cache, routes.collect(), log)
}

fn cache(settings: &Settings) -> HttpCache {
    let mut builder = HttpCache::builder();
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
pub(crate) fn guarded(
    service: Service,
    guard: impl Fn(&mut HeaderMap) -> Option<Reply> + Clone + Send + Sync + 'static,
) -> Service {
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

/// `service` with its responses compressed for those who accept that.
pub(crate) fn compressed(service: Service) -> Service {
    boxed(CompressionLayer::new().layer(service))
}

/// A handler of the harness as a service.
fn handler_service(route: &Route, log: &Log) -> Service {
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
