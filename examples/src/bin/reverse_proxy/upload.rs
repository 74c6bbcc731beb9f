//! A request's body on its way to the origin.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::oneshot;

/// The body as the client sends it, which tells when it was sent: hyper then drops it.
pub(crate) struct Upload<B> {
    body: B,
    _sent: oneshot::Sender<()>,
}

impl<B> Upload<B> {
    /// With it comes what is closed when the body has been sent, or is no longer wanted.
    pub(crate) fn new(body: B) -> (Self, oneshot::Receiver<()>) {
        let (_sent, sent) = oneshot::channel();
        (Self { body, _sent }, sent)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Upload<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
