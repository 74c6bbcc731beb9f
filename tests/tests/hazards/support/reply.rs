//! What handlers are asked and reply.

use super::{Body, BoxError, Gate};
use bytes::Bytes;
use cache_axum::Purger;
use futures_util::{Stream, StreamExt, stream};
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header,
};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use std::time::Duration;

/// A request, as a handler gets it.
#[derive(Debug)]
pub(crate) struct Ask {
    /// Which call of its route this is, from 1 on.
    pub(crate) call: u64,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) extensions: Extensions,
    pub(crate) body: Bytes,
}

impl Ask {
    /// The value of a field, empty where there is none.
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).map_or_else(String::new, |value| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        })
    }

    pub(crate) fn purger(&self) -> Purger {
        self.extensions
            .get::<Purger>()
            .expect("a layer lies before")
            .clone()
    }
}

/// A piece of a body that comes in pieces.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Data(Bytes),
    Trailers(&'static str, &'static str),
    /// Nothing yet: whoever reads is asked to come again.
    Pause,
    /// Nothing for so long.
    Wait(Duration),
    /// Nothing until it opens.
    Until(Gate),
    /// The body ends with an error.
    Fail,
}

impl Piece {
    pub(crate) fn data(data: impl Into<Bytes>) -> Self {
        Self::Data(data.into())
    }

    async fn frame(self) -> Option<Result<Frame<Bytes>, BoxError>> {
        match self {
            Self::Data(data) => Some(Ok(Frame::data(data))),
            Self::Trailers(name, value) => {
                let trailers = [(
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )];
                Some(Ok(Frame::trailers(trailers.into_iter().collect())))
            }
            Self::Fail => Some(Err("the origin's body broke".into())),
            Self::Pause => {
                tokio::task::yield_now().await;
                None
            }
            Self::Wait(duration) => {
                tokio::time::sleep(duration).await;
                None
            }
            Self::Until(gate) => {
                gate.opened().await;
                None
            }
        }
    }
}

/// What a handler says.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) response: Response<Body>,
}

impl Reply {
    pub(crate) fn text(body: impl Into<Bytes>) -> Self {
        Self::of(
            Full::new(body.into())
                .map_err(|never| match never {})
                .boxed_unsync(),
        )
    }

    pub(crate) fn pieces(pieces: Vec<Piece>) -> Self {
        Self::stream(stream::iter(pieces).filter_map(Piece::frame))
    }

    pub(crate) fn stream(
        frames: impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static,
    ) -> Self {
        Self::of(StreamBody::new(frames).boxed_unsync())
    }

    fn of(body: Body) -> Self {
        Self {
            response: Response::new(body),
        }
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        *self.response.status_mut() = StatusCode::from_u16(status).unwrap();
        self
    }

    /// Appends a line.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.response.headers_mut().append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_ref()).unwrap(),
        );
        self
    }

    /// Appends lines.
    pub(crate) fn headers(self, lines: &[(&str, &str)]) -> Self {
        lines
            .iter()
            .fold(self, |reply, (name, value)| reply.header(name, value))
    }

    /// Cache-Control.
    pub(crate) fn control(self, value: &str) -> Self {
        self.header(header::CACHE_CONTROL.as_str(), value)
    }

    pub(crate) fn extension(mut self, value: impl Clone + Send + Sync + 'static) -> Self {
        self.response.extensions_mut().insert(value);
        self
    }
}
