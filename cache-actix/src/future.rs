use crate::{body::ResponseBody, convert, origin::said_to_the_cache, request::Marks};
use actix_web::{
    Error, HttpResponse,
    dev::{Service, ServiceRequest, ServiceResponse},
    http::header::HeaderName,
};
use cache_tower::adapter::{Engine, Passage};
use futures_util::future::LocalBoxFuture;
use http::HeaderMap;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

type Outcome<B> = Result<ServiceResponse<ResponseBody<B>>, Error>;

pin_project! {
    /// The future of a response that goes through the cache. `S` is the inner service, `B` its
    /// responses' body.
    ///
    /// A hit and a bypass allocate no future of their own; only what must wait is boxed.
    pub struct ResponseFuture<S, B>
    where
        S: Service<ServiceRequest>,
    {
        #[pin]
        kind: Kind<S, S::Future, B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<S, F, B> {
        Waiting { service: Rc<S>, request: Option<ServiceRequest>, passed: Option<Passed> },
        Forwarded { #[pin] forwarded: F, passed: Option<Passed> },
        Ready { response: Option<ServiceResponse<ResponseBody<B>>> },
        Drive { driven: LocalBoxFuture<'static, Outcome<B>> },
    }
}

/// What goes past the cache.
pub(crate) struct Passed {
    passage: Passage,
    engine: Engine,
}

impl<S: Service<ServiceRequest>, B> ResponseFuture<S, B> {
    /// Past the cache, and without its knowing.
    pub(crate) fn unseen(service: Rc<S>, request: ServiceRequest) -> Self {
        Self::waiting(service, request, None)
    }

    pub(crate) fn bypass(
        service: Rc<S>,
        request: ServiceRequest,
        passage: Passage,
        engine: Engine,
    ) -> Self {
        Self::waiting(service, request, Some(Passed { passage, engine }))
    }

    fn waiting(service: Rc<S>, request: ServiceRequest, passed: Option<Passed>) -> Self {
        Self {
            kind: Kind::Waiting {
                service,
                request: Some(request),
                passed,
            },
        }
    }

    pub(crate) fn ready(response: ServiceResponse<ResponseBody<B>>) -> Self {
        Self {
            kind: Kind::Ready {
                response: Some(response),
            },
        }
    }

    pub(crate) fn drive(driven: LocalBoxFuture<'static, Outcome<B>>) -> Self {
        Self {
            kind: Kind::Drive { driven },
        }
    }
}

const ONCE: &str = "a future is not polled after it was ready";

impl<S, B> Future for ResponseFuture<S, B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Output = Outcome<B>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<B>> {
        let mut kind = self.project().kind;
        loop {
            let forwarded = match kind.as_mut().project() {
                KindProj::Waiting {
                    service,
                    request,
                    passed,
                } => {
                    if let Err(error) = ready!(service.poll_ready(cx)) {
                        return Poll::Ready(Err(failed(passed, error)));
                    }
                    let forwarded = service.call(request.take().expect(ONCE));
                    let passed = passed.take();
                    Kind::Forwarded { forwarded, passed }
                }
                KindProj::Forwarded { forwarded, passed } => {
                    let polled = match passed {
                        Some(known) => known.enter(|| forwarded.poll(cx)),
                        None => forwarded.poll(cx),
                    };
                    return Poll::Ready(match ready!(polled) {
                        Err(error) => Err(failed(passed, error)),
                        Ok(response) => Ok(finished(passed, response)),
                    });
                }
                KindProj::Ready { response } => {
                    return Poll::Ready(Ok(response.take().expect(ONCE)));
                }
                KindProj::Drive { driven } => return driven.as_mut().poll(cx),
            };
            kind.set(forwarded);
        }
    }
}

fn failed(passed: &mut Option<Passed>, error: Error) -> Error {
    if let Some(passed) = passed {
        passed.failed(&error);
    }
    error
}

fn finished<B>(
    passed: &mut Option<Passed>,
    response: ServiceResponse<B>,
) -> ServiceResponse<ResponseBody<B>> {
    let (request, response) = response.into_parts();
    let (mut head, body) = response.into_parts();
    if let Some(passed) = passed {
        passed.finish(&mut head);
    }
    ServiceResponse::new(request, head.set_body(ResponseBody::own(body)))
}

impl Passed {
    pub(crate) fn new(passage: Passage, engine: Engine) -> Self {
        Self { passage, engine }
    }

    /// Runs what belongs to the request, within its span.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        self.passage.enter(f)
    }

    /// The response that actix makes of an error has a status as well; its fields are not made yet.
    fn failed(&mut self, error: &Error) {
        self.passage
            .invalidate(convert::status_of(error), &HeaderMap::new());
    }

    pub(crate) async fn failed_shared(&mut self, error: &Error) {
        let (status, none) = (convert::status_of(error), HeaderMap::new());
        self.passage.invalidate_shared(status, &none).await;
    }

    pub(crate) async fn invalidate_shared<B>(&mut self, response: &ServiceResponse<B>) {
        let status = convert::status(response.status());
        let fields = convert::fields(response.headers());
        self.passage.invalidate_shared(status, &fields).await;
    }

    pub(crate) fn finished<B>(
        self,
        response: ServiceResponse<B>,
    ) -> ServiceResponse<ResponseBody<B>> {
        finished(&mut Some(self), response)
    }

    fn finish(&mut self, head: &mut HttpResponse<()>) {
        let status = convert::status(head.status());
        if self.passage.may_invalidate() {
            self.passage
                .invalidate(status, &convert::fields(head.headers()));
        }
        let mut said = said_to_the_cache(head);
        let value = self.passage.label(&self.engine, &mut said);
        if let Some(value) = value.as_ref().and_then(convert::value_for_actix) {
            let name = HeaderName::from_static("cache-status");
            head.headers_mut().append(name, value);
        }
        if !said.is_empty() {
            head.extensions_mut().insert(Marks(said));
        }
    }
}

impl<S: Service<ServiceRequest>, B> fmt::Debug for ResponseFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
