//! Real sockets, where time stands still.
//!
//! While tokio's time is paused, it leaps to the next timer whenever no task is ready, and does not know
//! that bytes may be on their way through the kernel. Here both ends of each connection are in this
//! thread, so it is known what one end wrote and the other did not read yet. While there is such, the
//! runtime is kept awake, unless it lasts so long that the other end must have stopped reading.

use super::Service;
use futures_util::future::BoxFuture;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    cell::RefCell,
    collections::HashMap,
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

/// The same while something is on its way.
const EXPECTING: u32 = 4000;

/// What is on its way between the two ends of a connection, by the client's port.
struct Flow {
    ends: u8,
    bytes: i64,
}

#[derive(Default)]
struct Kernel {
    flows: HashMap<u16, Flow>,
    on_its_way: i64,
    left: u32,
    keeper: Option<Waker>,
    is_kept: bool,
}

thread_local! {
    static KERNEL: RefCell<Kernel> = RefCell::default();
}

impl Kernel {
    /// Something happened to a connection: so much more is on its way in it.
    fn stir(&mut self, port: u16, bytes: i64) {
        if let Some(flow) = self.flows.get_mut(&port) {
            flow.bytes += bytes;
            self.on_its_way += bytes;
        }
        self.left = if self.on_its_way > 0 {
            EXPECTING
        } else {
            AWAKE
        };
        if let Some(keeper) = self.keeper.take() {
            keeper.wake();
        }
    }

    /// One of the two ends is there.
    fn open(&mut self, port: u16) {
        let flow = self.flows.entry(port);
        flow.or_insert(Flow { ends: 2, bytes: 0 });
        self.stir(port, 0);
    }

    /// An end is gone; the other one has to be told.
    fn close(&mut self, port: u16) {
        let Some(flow) = self.flows.get_mut(&port) else {
            return;
        };
        flow.ends -= 1;
        let (bytes, is_last) = (flow.bytes, flow.ends == 0);
        self.stir(port, if is_last { -bytes } else { 1 - bytes });
        if is_last {
            self.flows.remove(&port);
        }
    }
}

fn kernel<R: Default>(change: impl FnOnce(&mut Kernel) -> R) -> R {
    // A socket may be closed when the thread ends.
    KERNEL
        .try_with(|kernel| change(&mut kernel.borrow_mut()))
        .unwrap_or_default()
}

/// Keeps the runtime of this thread awake while something is on its way.
async fn keep_awake() {
    loop {
        poll_fn(|cx| {
            let may_sleep = kernel(|kernel| {
                let may_sleep = kernel.left == 0;
                if may_sleep {
                    kernel.keeper = Some(cx.waker().clone());
                }
                may_sleep
            });
            if may_sleep {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
        kernel(|kernel| kernel.left = kernel.left.saturating_sub(1));
        tokio::task::yield_now().await;
    }
}

/// An end of a connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    /// The client's, which tells a connection from others.
    port: u16,
}

impl Wire {
    fn end(stream: TcpStream, port: u16) -> Self {
        stream.set_nodelay(true).unwrap();
        kernel(|kernel| kernel.open(port));
        Self { stream, port }
    }

    /// The end that was accepted.
    pub(super) fn accepted(stream: TcpStream) -> Self {
        let port = stream.peer_addr().map_or(0, |peer| peer.port());
        // What was on its way until here is the connection itself.
        kernel(|kernel| kernel.on_its_way -= 1);
        Self::end(stream, port)
    }

    pub(super) async fn connect(address: SocketAddr) -> Self {
        if !kernel(|kernel| std::mem::replace(&mut kernel.is_kept, true)) {
            tokio::spawn(keep_awake());
        }
        kernel(|kernel| {
            kernel.on_its_way += 1;
            kernel.stir(0, 0);
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let port = stream.local_addr().unwrap().port();
        Self::end(stream, port)
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

/// The same in HTTP/2.
pub(super) fn serve_http2(service: Service, io: Wire) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let service = hyper::service::service_fn(move |request: hyper::Request<_>| {
            service.clone().oneshot(request.map(axum::body::Body::new))
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(io), service);
        let _ = connection.await;
    })
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() {
            let read = buf.filled().len() - before;
            kernel(|kernel| kernel.stir(self.port, -(read as i64)));
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            kernel(|kernel| kernel.stir(self.port, written as i64));
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        kernel(|kernel| kernel.stir(self.port, 0));
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        kernel(|kernel| kernel.close(self.port));
    }
}
