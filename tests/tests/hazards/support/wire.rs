//! Real sockets, where time stands still.
//!
//! While tokio's time is paused, it leaps to the next timer whenever no task is ready, and does not know
//! that bytes may be on their way through the kernel. Here both ends of each connection are in this
//! thread, and what one end writes the other can read at once. So every read and write keeps the
//! runtime awake for as long as it takes that to be seen.

use super::Service;
use futures_util::future::BoxFuture;
use hyper_util::rt::TokioIo;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tower::ServiceExt;

/// So often the runtime asks the kernel for news after the last read or write, before time may pass.
const AWAKE: u32 = 32;

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(0) };
    static KEEPER: RefCell<Option<Waker>> = const { RefCell::new(None) };
    static IS_KEPT: Cell<bool> = const { Cell::new(false) };
}

/// Something is on its way.
fn stir() {
    // A socket may be closed when the thread ends.
    let _ = LEFT.try_with(|left| left.set(AWAKE));
    let keeper = KEEPER.try_with(|keeper| keeper.borrow_mut().take());
    if let Ok(Some(keeper)) = keeper {
        keeper.wake();
    }
}

/// Keeps the runtime of this thread awake while something is on its way.
async fn keep_awake() {
    loop {
        if LEFT.get() == 0 {
            poll_fn(|cx| {
                if LEFT.get() > 0 {
                    return Poll::Ready(());
                }
                KEEPER.set(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
        }
        LEFT.set(LEFT.get().saturating_sub(1));
        tokio::task::yield_now().await;
    }
}

/// An end of a connection.
#[derive(Debug)]
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        stir();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub(super) async fn connect(address: SocketAddr) -> Self {
        if !IS_KEPT.replace(true) {
            tokio::spawn(keep_awake());
        }
        stir();
        Self::new(TcpStream::connect(address).await.unwrap())
    }
}

/// Serves a connection to a service of tower's, by hyper.
pub(super) fn serve(service: Service, io: Wire) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let service = hyper::service::service_fn(move |request: hyper::Request<_>| {
            service.clone().oneshot(request.map(axum::body::Body::new))
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let _ = connection.await;
    })
}

fn stirred<T>(polled: Poll<T>) -> Poll<T> {
    if polled.is_ready() {
        stir();
    }
    polled
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        stirred(Pin::new(&mut self.0).poll_read(cx, buf))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        stirred(Pin::new(&mut self.0).poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        stirred(Pin::new(&mut self.0).poll_shutdown(cx))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        stir();
    }
}
