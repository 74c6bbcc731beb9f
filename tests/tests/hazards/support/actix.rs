//! A site on actix-web.

use super::{
    App, Ask, Body, Log, Reply, Site, Way,
    app::{Seen, Serve},
    site::{Around, Between, Route},
    tower::cache,
    wire::Wire,
};
use actix_http::HttpService;
use actix_service::{Service, ServiceFactory, map_config};
use actix_web::{
    App as ActixApp, Error, HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev::{AppConfig, ServiceRequest, ServiceResponse},
    http::header as old,
    middleware::{Compress, Condition, Next, from_fn},
    web,
};
use actix_ws::Message;
use bytes::Bytes;
use cache_actix::{Actix, HttpCache, Purge};
use cache_tower::{Groups, Policy};
use futures_util::StreamExt;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use http_body::Body as _;
use std::{
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_local,
};

pub(super) fn start(site: Site) -> App {
    let cache = cache::<Actix>(&site.settings);
    let (connections, accepted) = mpsc::unbounded_channel();
    let sent = Arc::<AtomicU64>::default();
    let (stats, purger, calls) = (cache.clone(), cache.purger(), site.calls());
    let (seen, log) = (Seen::default(), Log::default());
    spawn_local(serve(
        site,
        cache,
        Arc::clone(&sent),
        Arc::clone(&seen),
        log.clone(),
        accepted,
    ));
    let serve: Serve = Arc::new(move |io| {
        let (end, ended) = oneshot::channel();
        let _ = connections.send((io, end));
        Box::pin(async move {
            let _ = ended.await;
        })
    });
    App::served(serve, move || stats.stats(), purger, calls, sent, seen, log)
}

type Accepted = (Wire, oneshot::Sender<()>);

/// Serves connections as a worker of actix's server does, in this thread.
async fn serve(
    site: Site,
    cache: HttpCache,
    sent: Arc<AtomicU64>,
    seen: Seen,
    log: Log,
    accepted: mpsc::UnboundedReceiver<Accepted>,
) {
    let app = map_config(app(site, cache, sent, seen, log), |_| AppConfig::default());
    let http = HttpService::<Wire, _, _>::build()
        // Else a client that leaves is taken to have said all it wants to say.
        .h1_allow_half_closed(false);
    match Way::current() {
        Way::Http2 => serve_by(http.h2(app), accepted).await,
        Way::Wire | Way::Call => serve_by(http.h1(app), accepted).await,
    }
}

async fn serve_by<S>(service: S, mut accepted: mpsc::UnboundedReceiver<Accepted>)
where
    S: ServiceFactory<(Wire, Option<SocketAddr>), Config = ()>,
    S::Service: 'static,
{
    let Ok(handler) = service.new_service(()).await else {
        panic!("the app can be made");
    };
    let handler = Rc::new(handler);
    while let Some((io, end)) = accepted.recv().await {
        let handler = Rc::clone(&handler);
        spawn_local(async move {
            let _ = handler.call((io, None)).await;
            drop(end);
        });
    }
}

fn app(
    site: Site,
    cache: HttpCache,
    sent: Arc<AtomicU64>,
    seen: Seen,
    log: Log,
) -> ActixApp<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let around = match &site.around {
        Around::Nothing => None,
        Around::Router(policy) | Around::Before(policy) => Some(cache.policy(policy.clone())),
    };
    let mut app = ActixApp::new();
    for route in &site.routes {
        let handler = handler(route, &log);
        app = match (route.path, &route.policy) {
            (super::site::EVERYWHERE, _) => app.default_service(web::to(handler)),
            (path, None) => app.service(web::resource(path).to(handler)),
            (path, Some(policy)) => {
                let layer = cache.policy(policy.clone());
                let resource = web::resource(path).wrap(layer).to(handler);
                match route.within.split_last() {
                    None => app.service(resource),
                    Some((last, outer)) => {
                        let scope = web::scope(last).service(resource);
                        let nest = |inner, prefix: &&str| web::scope(prefix).service(inner);
                        app.service(outer.iter().rev().fold(scope, nest))
                    }
                }
            }
        };
    }
    if let Some((path, policy)) = &site.echo {
        let layer = cache.policy(policy.clone());
        app = app.service(web::resource(*path).wrap(layer).get(echo));
    }
    let between = site.between;
    let compresses = |between: &Between| matches!(between, Between::Compression);
    app.wrap(Condition::new(compresses(&between), Compress::default()))
        .wrap(from_fn(move |request, next| {
            pass(between.clone(), request, next)
        }))
        .wrap(Condition::new(
            around.is_some(),
            around.unwrap_or_else(|| cache.policy(Policy::off())),
        ))
        .wrap(from_fn(move |request, next: Next<_>| {
            sent.fetch_add(1, Ordering::SeqCst);
            let (seen, response) = (Arc::clone(&seen), next.call(request));
            async move {
                let response = response.await?;
                *seen.lock().unwrap() = left_on(response.response());
                Ok(response)
            }
        }))
}

async fn pass<B: MessageBody + 'static>(
    between: Between,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let _permit = match between {
        Between::Nothing | Between::Compression => None,

        Between::Permits(permits) => Some(permits.acquire_owned().await.unwrap()),
        Between::Guard(guard) => {
            let mut fields = fields(request.headers());
            if let Some(reply) = guard(&mut fields) {
                return Ok(request.into_response(response(reply)));
            }
            *request.headers_mut() = fields_for_actix(&fields);
            None
        }
    };
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// A handler of the harness.
fn handler(
    route: &Route,
    log: &Log,
) -> impl Fn(HttpRequest, Option<Purge>, Bytes) -> Pin<Box<dyn Future<Output = HttpResponse>>>
+ Clone
+ 'static {
    let (handler, calls) = (Arc::clone(&route.handler), Arc::clone(&route.calls));
    let log = log.clone();
    move |request, purge, body| {
        let mut extensions = Extensions::new();
        if let Some(purge) = purge {
            extensions.insert(purge.purger().clone());
        }
        let ask = Ask {
            call: calls.fetch_add(1, Ordering::SeqCst) + 1,
            method: request.method().as_str().parse().unwrap(),
            uri: request.uri().to_string().parse().unwrap(),
            headers: fields(request.headers()),
            extensions,
            body,
        };
        let mut noted = http::Request::new(());
        noted.method_mut().clone_from(&ask.method);
        noted.headers_mut().clone_from(&ask.headers);
        log.note(&noted);
        let reply = handler(ask);
        Box::pin(async move { response(reply.await) })
    }
}

async fn echo(request: HttpRequest, body: web::Payload) -> Result<HttpResponse, Error> {
    let (response, mut session, mut messages) = actix_ws::handle(&request, body)?;
    spawn_local(async move {
        while let Some(Ok(Message::Text(text))) = messages.next().await {
            if session.text(text).await.is_err() {
                break;
            }
        }
        let _ = session.close(None).await;
    });
    Ok(response)
}

fn fields(old: &old::HeaderMap) -> HeaderMap {
    let field = |(name, value): (&old::HeaderName, &old::HeaderValue)| {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).unwrap();
        (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    old.iter().map(field).collect()
}

fn fields_for_actix(fields: &HeaderMap) -> old::HeaderMap {
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        let name = old::HeaderName::from_bytes(name.as_str().as_bytes()).unwrap();
        (
            name,
            old::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        )
    };
    fields.iter().map(field).collect()
}

fn response(reply: Reply) -> HttpResponse {
    let (mut parts, body) = reply.response.into_parts();
    let status = actix_web::http::StatusCode::from_u16(parts.status.as_u16()).unwrap();
    let is_declared = parts.headers.contains_key(http::header::CONTENT_LENGTH);
    let mut response = HttpResponse::with_body(status, Frames(body));
    *response.headers_mut() = fields_for_actix(&parts.headers);
    // As `HttpResponseBuilder::no_chunking` does.
    response.head_mut().no_chunking(is_declared);
    let mut extensions = response.extensions_mut();
    if let Some(groups) = parts.extensions.remove::<Groups>() {
        extensions.insert(groups);
    }
    if let Some(policy) = parts.extensions.remove::<Policy>() {
        extensions.insert(policy);
    }
    drop(extensions);
    response.map_into_boxed_body()
}

/// What a response has of what was meant for the cache.
fn left_on<B>(response: &HttpResponse<B>) -> Extensions {
    let (extensions, mut left) = (response.extensions(), Extensions::new());
    if let Some(groups) = extensions.get::<Groups>() {
        left.insert(groups.clone());
    }
    if let Some(policy) = extensions.get::<Policy>() {
        left.insert(policy.clone());
    }
    left
}

/// A body of the harness. actix has no trailers.
struct Frames(Body);

impl MessageBody for Frames {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        let length = self.0.size_hint().exact();
        length.map_or(BodySize::Stream, BodySize::Sized)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }
}
