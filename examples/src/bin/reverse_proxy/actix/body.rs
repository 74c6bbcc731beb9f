//! Bodies: actix's stay in their thread, those of hyper's client do not.

use actix_web::{
    body::{BodySize, MessageBody},
    dev, rt,
    web::Bytes,
};
use futures_util::StreamExt;
use hyper::{
    HeaderMap,
    body::{Body, Frame, Incoming, SizeHint},
    header,
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::sync::mpsc;

/// A request's body, as it goes from its client's thread to the origin's connection.
pub(crate) struct Payload {
    chunks: Option<mpsc::Receiver<io::Result<Bytes>>>,
    length: Option<u64>,
}

impl Payload {
    pub(super) fn new(payload: dev::Payload, fields: &HeaderMap) -> Self {
        let length = length(fields);
        if matches!(payload, dev::Payload::None) {
            return Self {
                chunks: None,
                length: Some(0),
            };
        }
        let (sender, chunks) = mpsc::channel(1);
        rt::spawn(send(payload, sender));
        Self {
            chunks: Some(chunks),
            length,
        }
    }
}

fn length(fields: &HeaderMap) -> Option<u64> {
    let length = fields.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    length.parse().ok()
}

/// Sends chunks as they come, until nobody wants them.
async fn send(mut payload: dev::Payload, chunks: mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let next = tokio::select! {
            next = payload.next() => next,
            () = chunks.closed() => None,
        };
        let Some(chunk) = next else { return };
        if chunks.send(chunk.map_err(io::Error::other)).await.is_err() {
            return;
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(chunks) = &mut self.chunks else {
            return Poll::Ready(None);
        };
        let next = ready!(chunks.poll_recv(cx));
        Poll::Ready(next.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.length.map(SizeHint::with_exact);
        length.unwrap_or_default()
    }
}

/// A response's body, on its way from the origin.
pub(super) struct Passed {
    body: Incoming,
    size: BodySize,
}

impl Passed {
    /// The length that the response to a HEAD has is that of the response to a GET, where it is known.
    pub(super) fn new(body: Incoming, fields: &HeaderMap, is_head: bool) -> Self {
        let size = match body.size_hint().exact() {
            _ if is_head => length(fields).map_or(BodySize::None, BodySize::Sized),
            Some(length) => BodySize::Sized(length),
            None => BodySize::Stream,
        };
        Self { body, size }
    }
}

impl MessageBody for Passed {
    type Error = hyper::Error;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Bytes>>> {
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
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
