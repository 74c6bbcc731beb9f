//! A site on axum.

use super::{
    App, Log, Service, Site, boxed,
    site::{Around, EVERYWHERE},
    tower::{between, cache, handler_service},
};
use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
    response::Response,
    routing::{any, any_service},
};
use cache_axum::AxumRouting;
use tower::Layer;

pub(super) fn start(site: Site) -> App {
    let cache = cache::<AxumRouting>(&site.settings);
    let log = Log::default();
    let mut router = Router::new();
    for route in &site.routes {
        let service = handler_service(route, &log);
        router = match (route.path, &route.policy) {
            (EVERYWHERE, _) => router.fallback_service(service),
            (path, None) => router.route(path, any_service(service)),
            (path, Some(policy)) => {
                let layer = cache.policy(policy.clone());
                let of_route = Router::new().route(path, any_service(service).layer(layer));
                router.merge(nested(route.within, of_route))
            }
        };
    }
    if let Some((path, policy)) = &site.echo {
        router = router.route(path, any(echo).layer(cache.policy(policy.clone())));
    }
    let between = |service: Service| between(site.between.clone(), service);
    let router = Router::new().fallback_service(between(boxed(router)));
    let service = match &site.around {
        Around::Nothing => boxed(router),
        Around::Router(policy) => boxed(router.layer(cache.policy(policy.clone()))),
        Around::Before(policy) => boxed(cache.policy(policy.clone()).layer(router)),
    };
    let service = super::tower::between(site.outside.clone(), service);
    let stats = cache.clone();
    App::of_service(
        service,
        move || stats.stats(),
        cache.purger(),
        site.calls(),
        log,
    )
}

fn nested(within: &[&str], router: Router) -> Router {
    let nest = |inner, prefix: &&str| Router::new().nest(prefix, inner);
    within.iter().rev().fold(router, nest)
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Message::Text(_)) && socket.send(message).await.is_err() {
                break;
            }
        }
    })
}
