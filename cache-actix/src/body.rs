//! Bodies on their way in and out.

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// The body of a response of the service, as the engine takes it.
    pub(crate) struct Incoming<B> {
        #[pin]
        body: B,
    }
}

impl<B> Incoming<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body }
    }
}

impl<B: MessageBody> Body for Incoming<B> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let next = ready!(self.project().body.poll_next(cx));
        Poll::Ready(next.map(|data| match data {
            Ok(data) => Ok(Frame::data(data)),
            Err(error) => Err(Broken::of(&*error.into())),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.size().is_eof()
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.size() {
            BodySize::None => SizeHint::with_exact(0),
            BodySize::Sized(length) => SizeHint::with_exact(length),
            BodySize::Stream => SizeHint::new(),
        }
    }
}

/// Why a body of the service ended early, in its words: actix's errors stay in their thread, and this
/// one is told to all who read along.
#[derive(Debug)]
pub(crate) struct Broken(String);

impl Broken {
    fn of(error: &(dyn Error + 'static)) -> Self {
        let sources = std::iter::successors(error.source(), |error| (*error).source());
        Self(sources.fold(error.to_string(), |text, source| {
            format!("{text}: {source}")
        }))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Broken {}

pin_project! {
    /// The body of a response that went through the cache: from the store, from the service as it is,
    /// or both at once.
    ///
    /// What goes past the cache stays as it is, size and errors included. Else the error with which the
    /// service's body ended is told in its words, since it may be told to several.
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Own { #[pin] body: B },
        Cached { #[pin] body: cache_tower::ResponseBody<Incoming<B>>, size: BodySize },
    }
}

impl<B> ResponseBody<B> {
    /// One that the cache does not touch.
    pub(crate) fn own(body: B) -> Self {
        Self {
            kind: Kind::Own { body },
        }
    }
}

impl<B: MessageBody> ResponseBody<B> {
    /// One that the engine gave; `announced` is the size to announce where it is not its own, as in the
    /// response to a HEAD.
    pub(crate) fn cached(
        body: cache_tower::ResponseBody<Incoming<B>>,
        announced: Option<BodySize>,
    ) -> Self {
        let own = || match body.size_hint().exact() {
            Some(length) => BodySize::Sized(length),
            None => BodySize::Stream,
        };
        let size = announced.unwrap_or_else(own);
        Self {
            kind: Kind::Cached { body, size },
        }
    }
}

impl<B: MessageBody> MessageBody for ResponseBody<B> {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        match &self.kind {
            Kind::Own { body } => body.size(),
            Kind::Cached { size, .. } => *size,
        }
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Box<dyn Error>>>> {
        let mut body = match self.project().kind.project() {
            KindProj::Own { body } => {
                let next = ready!(body.poll_next(cx));
                return Poll::Ready(next.map(|data| data.map_err(Into::into)));
            }
            KindProj::Cached { body, .. } => body,
        };
        loop {
            match ready!(body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    // actix would take one without data for the end.
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    // There are no trailers: actix has none.
                    Err(_) => {}
                },
            }
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
