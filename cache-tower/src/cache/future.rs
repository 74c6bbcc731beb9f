use crate::{
    body::ResponseBody,
    engine::{Passage, Shared},
};
use futures_core::TryFuture;
use http::Response;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

type Outcome<RB, E> = Result<Response<ResponseBody<RB>>, E>;
type Driven<RB, E> = Pin<Box<dyn Future<Output = Outcome<RB, E>> + Send>>;

pin_project! {
    /// The future of a response that goes through the cache. `F` is the inner service's future, `RB`
    /// its response's body.
    ///
    /// A hit and a bypass allocate no future of their own; only what must wait is boxed.
    pub struct ResponseFuture<F, RB>
    where
        F: TryFuture,
    {
        #[pin]
        kind: Kind<F, RB, F::Error>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<F, RB, E> {
        Bypass { #[pin] forwarded: F, passage: Passage, shared: Arc<Shared> },
        Ready { response: Option<Response<ResponseBody<RB>>> },
        Drive { driven: Driven<RB, E> },
    }
}

impl<F: TryFuture, RB> ResponseFuture<F, RB> {
    pub(super) fn bypass(forwarded: F, passage: Passage, shared: Arc<Shared>) -> Self {
        Self {
            kind: Kind::Bypass {
                forwarded,
                passage,
                shared,
            },
        }
    }

    pub(super) fn ready(response: Response<ResponseBody<RB>>) -> Self {
        Self {
            kind: Kind::Ready {
                response: Some(response),
            },
        }
    }

    pub(super) fn drive(driven: Driven<RB, F::Error>) -> Self {
        Self {
            kind: Kind::Drive { driven },
        }
    }
}

impl<F, RB, E> Future for ResponseFuture<F, RB>
where
    F: Future<Output = Result<Response<RB>, E>>,
{
    type Output = Outcome<RB, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Bypass {
                forwarded,
                passage,
                shared,
            } => {
                let mut response = match ready!(passage.enter(|| forwarded.poll(cx))) {
                    Ok(response) => response,
                    Err(error) => {
                        passage.failed();
                        return Poll::Ready(Err(error));
                    }
                };
                passage.finish(shared, &mut response);
                Poll::Ready(Ok(response.map(ResponseBody::pass)))
            }
            KindProj::Ready { response } => Poll::Ready(Ok(response
                .take()
                .expect("a future is not polled after it was ready"))),
            KindProj::Drive { driven } => driven.as_mut().poll(cx),
        }
    }
}

impl<F: TryFuture, RB> fmt::Debug for ResponseFuture<F, RB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
