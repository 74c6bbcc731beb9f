//! The body of a response that went through the cache.

use crate::fill::{End, Next, Reader};
use bytes::Bytes;
use cache_core::BoxError;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

pin_project! {
    /// The body of a response that went through the cache: from the store, from the service as it is,
    /// or both at once.
    ///
    /// Frames, trailers and the size hint of the service's body pass unchanged, and its errors as they
    /// are. Its error type is boxed because one who shares the body of another's response has to be
    /// told when that ends early.
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Whole { bytes: Bytes },
        Pass { #[pin] body: B },
        Replay { frames: VecDeque<Frame<Bytes>>, rest: Option<Rest<B>> },
        // In this order: the job must not see the leader there without its reader.
        Shared { rest: Option<Handover<B>>, reader: Reader, ended: bool },
    }
}

/// What is left of a body after its first frames were taken.
pub(crate) enum Rest<B> {
    /// The body itself.
    Body(Pin<Box<B>>),
    /// The error it ended with.
    Error(BoxError),
    /// Nothing: it ended.
    Ended,
}

/// Where the job that takes in a body leaves what only its leader gets.
pub(crate) type Handover<B> = Arc<Mutex<Option<Rest<B>>>>;

impl<B> ResponseBody<B> {
    pub(crate) fn empty() -> Self {
        Self::whole(Bytes::new())
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self {
            kind: Kind::Whole { bytes },
        }
    }

    pub(crate) fn pass(body: B) -> Self {
        Self {
            kind: Kind::Pass { body },
        }
    }

    /// Frames that were taken already, then the rest.
    pub(crate) fn replay(frames: VecDeque<Frame<Bytes>>, rest: Option<Rest<B>>) -> Self {
        Self {
            kind: Kind::Replay { frames, rest },
        }
    }

    /// What comes in for all.
    pub(crate) fn shared(reader: Reader) -> Self {
        Self {
            kind: Kind::Shared {
                reader,
                rest: None,
                ended: false,
            },
        }
    }

    /// The same, for the one whose request it answers.
    pub(crate) fn leading(reader: Reader, rest: Handover<B>) -> Self {
        Self {
            kind: Kind::Shared {
                reader,
                rest: Some(rest),
                ended: false,
            },
        }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let next = match self.as_mut().project().kind.project() {
            KindProj::Whole { bytes } => {
                let bytes = std::mem::take(bytes);
                return Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))));
            }
            KindProj::Pass { body } => return body.poll_frame(cx).map_err(Into::into),
            KindProj::Replay { frames, rest } => match frames.pop_front() {
                Some(frame) => return Poll::Ready(Some(Ok(frame))),
                None => return poll_rest(rest, cx),
            },
            KindProj::Shared { ended: true, .. } => return Poll::Ready(None),
            KindProj::Shared {
                reader,
                rest,
                ended,
            } => match ready!(reader.poll_next(cx)) {
                Next::Frame(frame) => return Poll::Ready(Some(Ok(frame))),
                Next::End(end) => {
                    *ended = true;
                    let rest = rest.take().and_then(|rest| {
                        rest.lock().unwrap_or_else(PoisonError::into_inner).take()
                    });
                    (end, rest)
                }
            },
        };
        match next {
            (End::Clean, _) => Poll::Ready(None),
            // The leader goes on with what was left to it.
            (_, Some(rest)) => {
                self.set(Self::replay(VecDeque::new(), Some(rest)));
                self.poll_frame(cx)
            }
            (_, None) => Poll::Ready(Some(Err(EndedEarly.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole { bytes } => bytes.is_empty(),
            Kind::Pass { body } => body.is_end_stream(),
            Kind::Replay { frames, rest } => {
                frames.is_empty()
                    && match rest {
                        Some(Rest::Body(body)) => body.is_end_stream(),
                        Some(Rest::Error(_)) => false,
                        Some(Rest::Ended) | None => true,
                    }
            }
            Kind::Shared { ended, .. } => *ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole { bytes } => SizeHint::with_exact(bytes.len() as u64),
            Kind::Pass { body } => body.size_hint(),
            Kind::Replay { frames, rest } => replay_hint(frames, rest.as_ref()),
            Kind::Shared { reader, .. } => reader
                .remaining()
                .map_or_else(SizeHint::new, SizeHint::with_exact),
        }
    }
}

fn poll_rest<B>(
    rest: &mut Option<Rest<B>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    match rest {
        None | Some(Rest::Ended) => Poll::Ready(None),
        Some(Rest::Body(body)) => body.as_mut().poll_frame(cx).map_err(Into::into),
        Some(Rest::Error(_)) => match rest.take() {
            Some(Rest::Error(error)) => Poll::Ready(Some(Err(error))),
            _ => Poll::Ready(None),
        },
    }
}

fn replay_hint<B: Body>(frames: &VecDeque<Frame<Bytes>>, rest: Option<&Rest<B>>) -> SizeHint {
    let taken: u64 = frames
        .iter()
        .filter_map(Frame::data_ref)
        .map(|data| data.len() as u64)
        .sum();
    let mut hint = match rest {
        Some(Rest::Body(body)) => body.size_hint(),
        Some(Rest::Error(_)) => SizeHint::new(),
        Some(Rest::Ended) | None => SizeHint::with_exact(0),
    };
    if let Some(upper) = hint.upper() {
        hint.set_upper(upper.saturating_add(taken));
    }
    hint.set_lower(hint.lower().saturating_add(taken));
    hint
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Whole { .. } => "Whole",
            Kind::Pass { .. } => "Pass",
            Kind::Replay { .. } => "Replay",
            Kind::Shared { .. } => "Shared",
        };
        f.debug_struct("ResponseBody")
            .field("kind", &kind)
            .finish_non_exhaustive()
    }
}

/// The body that this one shares ended before its end.
#[derive(Debug)]
struct EndedEarly;

impl fmt::Display for EndedEarly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response that this one shares ended early")
    }
}

impl std::error::Error for EndedEarly {}
