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
        Pass { #[pin] body: Spliced<B> },
        Replay { frames: VecDeque<Frame<Bytes>>, rest: Option<Rest<B>> },
        // In this order: the job must not see the leader there without its reader.
        Shared { rest: Option<Handover<B>>, reader: Reader, ended: bool },
    }
}

pin_project! {
    /// A body of the service, between bytes that were stored: the missing part of a representation.
    pub(crate) struct Spliced<B> {
        before: Option<Bytes>,
        #[pin]
        body: B,
        // Of the missing part, where it is one.
        left: Option<u64>,
        ended: bool,
        after: Option<Bytes>,
    }
}

impl<B> Spliced<B> {
    /// The body by itself.
    pub(crate) fn alone(body: B) -> Self {
        Self {
            before: None,
            body,
            left: None,
            ended: false,
            after: None,
        }
    }

    /// The body, which is to be of this length, between what is there already.
    pub(crate) fn between(self, before: Bytes, length: u64, after: Bytes) -> Self {
        Self {
            before: Some(before).filter(|bytes| !bytes.is_empty()),
            left: Some(length),
            after: Some(after).filter(|bytes| !bytes.is_empty()),
            ..self
        }
    }

    fn added(&self) -> u64 {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        length(&self.before) + length(&self.after)
    }
}

impl<B> Body for Spliced<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if let Some(before) = this.before.take() {
            return Poll::Ready(Some(Ok(Frame::data(before))));
        }
        if *this.ended {
            return Poll::Ready(this.after.take().map(|after| Ok(Frame::data(after))));
        }
        match ready!(this.body.poll_frame(cx)) {
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match this.left.map(|left| left.checked_sub(length)) {
                    Some(None) => return Poll::Ready(Some(Err(NotThePart.into()))),
                    left => *this.left = left.flatten(),
                }
                Poll::Ready(Some(Ok(frame)))
            }
            None if this.left.is_some_and(|left| left > 0) => {
                Poll::Ready(Some(Err(NotThePart.into())))
            }
            None => {
                *this.ended = true;
                Poll::Ready(this.after.take().map(|after| Ok(Frame::data(after))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_over = self.ended || self.body.is_end_stream();
        self.added() == 0 && self.left.is_none_or(|left| left == 0) && is_over
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Some(left) => SizeHint::with_exact(self.added() + left),
            None => self.body.size_hint(),
        }
    }
}

/// A part did not have the length that it said.
#[derive(Debug)]
struct NotThePart;

impl fmt::Display for NotThePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the part that completes a stored response is not of the length it declared")
    }
}

impl std::error::Error for NotThePart {}

/// What is left of a body after its first frames were taken.
pub(crate) enum Rest<B> {
    /// The body itself.
    Body(Pin<Box<Spliced<B>>>),
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
        Self::spliced(Spliced::alone(body))
    }

    pub(crate) fn spliced(body: Spliced<B>) -> Self {
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
            KindProj::Pass { body } => return body.poll_frame(cx),
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
        Some(Rest::Body(body)) => body.as_mut().poll_frame(cx),
        Some(Rest::Error(_)) => match rest.take() {
            Some(Rest::Error(error)) => Poll::Ready(Some(Err(error))),
            _ => Poll::Ready(None),
        },
    }
}

fn replay_hint<B>(frames: &VecDeque<Frame<Bytes>>, rest: Option<&Rest<B>>) -> SizeHint
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
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
