use super::ResponseFuture;
use crate::{
    adapter::OBSERVED,
    body::ResponseBody,
    engine::{self, Asked, Begin, Choice, FillJob, Origin, Passage, Plan, Reply, Shared},
    policy::Policy,
    routing::Routing,
    spawn::spawn,
};
use bytes::Bytes;
use cache_core::BoxError;
use http::{Request, Response};
use http_body::Body;
use std::{
    fmt,
    future::poll_fn,
    marker::PhantomData,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{ServiceExt, util::Oneshot};
use tower_service::Service;

/// A service with a cache before it. Made by [`CacheLayer`](crate::adapter::CacheLayer).
///
/// # Readiness
///
/// It is always ready: a hit needs nothing of the inner service, is given while that is saturated and
/// holds no permit of it. A request that goes further makes the inner service ready within its own
/// future, and an error of that is returned as the inner service's.
///
/// # Cancel safety
///
/// Dropping the future of a request that leads passes its turn to one that waits. Once a response's
/// head is there, its body is taken in without its client.
pub struct CacheService<S, R> {
    inner: S,
    shared: Arc<Shared>,
    choice: Arc<Choice>,
    routing: PhantomData<fn() -> R>,
}

impl<S, R> CacheService<S, R> {
    pub(super) fn new(inner: S, shared: Arc<Shared>, choice: Arc<Choice>) -> Self {
        Self {
            inner,
            shared,
            choice,
            routing: PhantomData,
        }
    }
}

impl<S: Clone, R> Clone for CacheService<S, R> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            Arc::clone(&self.shared),
            Arc::clone(&self.choice),
        )
    }
}

impl<S: fmt::Debug, R> fmt::Debug for CacheService<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheService")
            .field("inner", &self.inner)
            .field("policy", self.choice.usual())
            .finish_non_exhaustive()
    }
}

impl<S, R, B, RB> Service<Request<B>> for CacheService<S, R>
where
    R: Routing,
    S: Service<Request<B>, Response = Response<RB>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Body + Send + 'static,
    RB: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<ResponseBody<RB>>;
    type Error = S::Error;
    type Future = ResponseFuture<Oneshot<S, Request<B>>, RB>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let asked = asked::<R, B>(&request);
        let route = || R::route(asked.extensions);
        let (policy, rule) = self.choice.of(&self.shared, asked.uri, route);
        match engine::begin(&self.shared, policy, asked) {
            Begin::Answer(answer) => ResponseFuture::ready(answer.into_response(&self.shared)),
            Begin::Refuse(refusal) => ResponseFuture::ready(refusal.into_response()),
            Begin::Bypass(passage) => {
                passage.prepare(&self.shared, &mut request);
                if passage.may_invalidate() && self.shared.store.has_remote() {
                    let forwarded = self.inner.clone().oneshot(request);
                    let shared = Arc::clone(&self.shared);
                    return ResponseFuture::drive(Box::pin(pass(forwarded, passage, shared)));
                }
                ResponseFuture::bypass(
                    self.inner.clone().oneshot(request),
                    passage,
                    Arc::clone(&self.shared),
                )
            }
            Begin::Refresh(answer, mut refresh) => {
                self.name_parameters(&mut refresh.plan, rule, &request);
                let (shared, policy) = (Arc::clone(&self.shared), Arc::clone(policy));
                spawn(engine::refresh(
                    shared,
                    policy,
                    refresh,
                    Inner(self.inner.clone()),
                    request,
                ));
                ResponseFuture::ready(answer.into_response(&self.shared))
            }
            Begin::Drive(mut plan) => {
                self.name_parameters(&mut plan, rule, &request);
                let (shared, policy) = (Arc::clone(&self.shared), Arc::clone(policy));
                let inner = Inner(self.inner.clone());
                ResponseFuture::drive(Box::pin(drive(shared, policy, plan, inner, request)))
            }
        }
    }
}

fn asked<R: Routing, B: Body>(request: &Request<B>) -> Asked<'_> {
    Asked {
        method: request.method(),
        uri: R::uri(request.uri(), request.extensions()),
        headers: request.headers(),
        others: None,
        extensions: request.extensions(),
        has_body: !request.body().is_end_stream(),
        route: match OBSERVED {
            true => R::route(request.extensions()).unwrap_or_default(),
            false => "",
        },
    }
}

impl<S, R: Routing> CacheService<S, R> {
    fn name_parameters<B>(&self, plan: &mut Plan, rule: Option<usize>, request: &Request<B>) {
        let uri = R::uri(request.uri(), request.extensions());
        plan.parameters = R::parameters(uri, request.extensions());
        self.shared.note_rule(plan, rule, uri);
    }
}

async fn drive<S, B, RB>(
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    plan: Box<Plan>,
    inner: Inner<S>,
    request: Request<B>,
) -> Result<Response<ResponseBody<RB>>, S::Error>
where
    S: Service<Request<B>, Response = Response<RB>>,
    RB: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let reply = engine::drive(Arc::clone(&shared), policy, plan, inner, request).await?;
    Ok(match reply {
        Reply::Stored(answer) => answer.into_response(&shared),
        Reply::Refused(refusal) => refusal.into_response(),
        Reply::Origin(response, _, job) => {
            if let Some(job) = job {
                spawn(FillJob::run(job));
            }
            response
        }
    })
}

/// Past the cache; what is invalidated is so in all processes before the response goes on.
async fn pass<RB, E>(
    forwarded: impl Future<Output = Result<Response<RB>, E>>,
    mut passage: Passage,
    shared: Arc<Shared>,
) -> Result<Response<ResponseBody<RB>>, E> {
    let mut forwarded = pin!(forwarded);
    let forwarded = poll_fn(|cx| passage.enter(|| forwarded.as_mut().poll(cx))).await;
    let response = forwarded.inspect_err(|_| passage.failed())?;
    let response = passage.finish_shared(shared, response).await;
    Ok(response.map(ResponseBody::pass))
}

/// The inner service, made ready where it is called.
struct Inner<S>(S);

impl<S, B, RB> Origin<B> for Inner<S>
where
    S: Service<Request<B>, Response = Response<RB>>,
    RB: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Body = RB;
    type Error = S::Error;

    fn forward(self, request: Request<B>) -> impl Future<Output = Result<Response<RB>, S::Error>> {
        self.0.oneshot(request)
    }
}
