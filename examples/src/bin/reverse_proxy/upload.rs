//! A request's body on its way to the origin.

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::oneshot;

/// The body as the client sends it, which tells when it was sent: hyper then drops it.
pub(crate) struct Upload {
    body: Incoming,
    _sent: oneshot::Sender<()>,
}

impl Upload {
    /// With it comes what is closed when the body has been sent, or is no longer wanted.
    pub(crate) fn new(body: Incoming) -> (Self, oneshot::Receiver<()>) {
        let (_sent, sent) = oneshot::channel();
        (Self { body, _sent }, sent)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
