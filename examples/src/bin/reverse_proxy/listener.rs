//! The clients' side: connections, each with a task of its own.

use crate::{
    gateway::Gateway,
    interim::{Stream, interim},
    origin::MOST_FIELDS,
};
use hyper::{
    Request, Version,
    body::Incoming,
    server::conn::http1::{Builder, Parts},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// So long a client may take for a request's head, and may keep an idle connection.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// So long nobody is let in after the system had no room for another connection.
const FULL: Duration = Duration::from_millis(100);

/// Serves all who come, for ever.
pub(crate) async fn serve(listener: TcpListener, gateway: Gateway) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve_one(stream, gateway.clone()));
            }
            // That one client left again.
            Err(error) if is_of_one(&error) => {}
            Err(error) => {
                tracing::error!("no connection can be accepted: {error}");
                sleep(FULL).await;
            }
        }
    }
}

fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

async fn serve_one(stream: TcpStream, gateway: Gateway) {
    // Without it the client waits a little longer, no more.
    let _ = stream.set_nodelay(true);
    let (stream, turns) = interim(stream);
    let is_http_1_0 = Arc::new(AtomicBool::new(false));
    let asked_in_http_1_0 = Arc::clone(&is_http_1_0);
    let service = service_fn(move |mut request: Request<Incoming>| {
        is_http_1_0.store(request.version() == Version::HTTP_10, Ordering::Relaxed);
        let turn = turns.begin(&mut request);
        let gateway = gateway.clone();
        async move {
            let answer = gateway.answer(request).await;
            turn.end().await;
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MOST_FIELDS)
        // Who has sent its last request may close its half, and still gets all responses. The price: a
        // client that has left is noticed only when its response is written. What the origin is at
        // until then is for the cache, and ends within the limits there.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = (&mut connection).await {
        tracing::debug!("a connection ended: {error}");
        if asked_in_http_1_0.load(Ordering::Relaxed) {
            reset(connection.into_parts());
        }
    }
}

/// In HTTP/1.0 the end of the connection is the end of the response: only a reset tells that there
/// should be more.
fn reset<S>(parts: Parts<TokioIo<Stream<TcpStream>>, S>) {
    let stream = parts.io.into_inner().into_inner();
    // Where that cannot be had, it just ends.
    let _ = stream.set_zero_linger();
}
