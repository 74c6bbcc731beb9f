use crate::{
    body::ResponseBody,
    convert,
    future::{Passed, ResponseFuture},
    origin::Origin,
    request::{Marks, for_engine, has_body, mark, route, stand_in},
    response,
    spawn::spawn,
};
use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{Service, ServiceRequest, ServiceResponse},
};
use cache_tower::adapter::{Asked, Begin, Drive, Engine, FillJob, OBSERVED, Reply};
use http::{Extensions, HeaderName};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
};

/// A service with a cache before it. Made by [`HttpCache`](crate::HttpCache) and
/// [`CacheLayer`](crate::CacheLayer), on each worker.
///
/// # Readiness
///
/// It is always ready: a hit needs nothing of the inner service and is given while that is not ready. A
/// request that goes further waits for it within its own future.
///
/// # Cancel safety
///
/// Dropping the future of a request that leads passes its turn to one that waits, on whichever worker.
/// Once a response's head is there, its body is taken in without its client.
pub struct CacheService<S> {
    inner: Rc<S>,
    engine: Engine,
}

impl<S> CacheService<S> {
    pub(crate) fn new(inner: S, engine: Engine) -> Self {
        Self {
            inner: Rc::new(inner),
            engine,
        }
    }
}

impl<S> fmt::Debug for CacheService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheService")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

impl<S, B> Service<ServiceRequest> for CacheService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<ResponseBody<B>>;
    type Error = Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let has_body = has_body(&mut request);
        let Some(begin) = begin(&self.engine, &request, has_body) else {
            return ResponseFuture::unseen(Rc::clone(&self.inner), request);
        };
        match begin {
            Begin::Answer(answer) => {
                let request = request.into_parts().0;
                ResponseFuture::ready(response::answer(&self.engine, answer, request))
            }
            Begin::Bypass(passage) => {
                let mut marks = Extensions::new();
                passage.mark(&self.engine, &mut marks);
                mark(&request, marks);
                let (engine, inner) = (self.engine.clone(), Rc::clone(&self.inner));
                if engine.has_remote() && passage.may_invalidate() {
                    let passed = Passed::new(passage, engine);
                    return ResponseFuture::drive(Box::pin(pass(inner, request, passed)));
                }
                ResponseFuture::bypass(inner, request, passage, engine)
            }
            Begin::Refresh(answer, refresh) => {
                let answered = response::answer(&self.engine, answer, stand_in(&request));
                if let Some(converted) = for_engine(&request) {
                    let engine = self.engine.clone();
                    let origin = Origin::new(Rc::clone(&self.inner), request);
                    spawn(async move { engine.refresh(refresh, origin, converted).await });
                }
                ResponseFuture::ready(answered)
            }
            Begin::Drive(plan) => {
                let (engine, inner) = (self.engine.clone(), Rc::clone(&self.inner));
                ResponseFuture::drive(Box::pin(drive(engine, plan, inner, request)))
            }
        }
    }
}

/// Which way a request takes; `None` where the engine has no form for its method or URI.
fn begin(engine: &Engine, request: &ServiceRequest, has_body: bool) -> Option<Begin> {
    let fields = convert::fields_that(request.headers(), |name| engine.decides_by(name));
    let others = |names: &[HeaderName]| convert::fields_of(request.headers(), names);
    let none = Extensions::new();
    let extensions = request.extensions();
    let marks = extensions.get::<Marks>();
    let asks = OBSERVED || engine.asks_for_route();
    let route = asks.then(|| route(request)).flatten();
    Some(engine.begin(Asked {
        method: &convert::method(request.method())?,
        uri: &convert::uri(request.uri())?,
        headers: &fields,
        others: &others,
        extensions: marks.map_or(&none, |marks| &marks.0),
        has_body,
        route: route.as_deref().unwrap_or_default(),
    }))
}

/// Past the cache; what is invalidated is so in all processes before the response goes on.
async fn pass<S, B>(
    inner: Rc<S>,
    request: ServiceRequest,
    mut passed: Passed,
) -> Result<ServiceResponse<ResponseBody<B>>, Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
{
    let mut forwarded = pin!(async {
        poll_fn(|cx| inner.poll_ready(cx)).await?;
        inner.call(request).await
    });
    let forwarded = poll_fn(|cx| passed.enter(|| forwarded.as_mut().poll(cx))).await;
    match forwarded {
        Ok(response) => {
            passed.invalidate_shared(&response).await;
            Ok(passed.finished(response))
        }
        Err(error) => {
            passed.failed_shared(&error).await;
            Err(error)
        }
    }
}

async fn drive<S, B>(
    engine: Engine,
    drive: Drive,
    inner: Rc<S>,
    request: ServiceRequest,
) -> Result<ServiceResponse<ResponseBody<B>>, Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let converted = for_engine(&request).expect("it was converted to decide which way it takes");
    // An error of the service takes the request along.
    let stand_in = drive.has_stored().then(|| stand_in(&request));
    let origin = Origin::new(inner, request);
    let place = origin.place();
    Ok(match engine.drive(drive, origin, converted).await? {
        Reply::Answer(answer) => {
            let request = place
                .into_request()
                .or(stand_in)
                .expect("only what is stored answers in place of an error");
            response::answer(&engine, answer, request)
        }
        Reply::Origin(response, job) => {
            if let Some(job) = job {
                spawn(FillJob::run(job));
            }
            place.into_response(response)
        }
    })
}
