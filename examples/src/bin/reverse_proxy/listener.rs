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
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

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
    let is_old = Arc::new(AtomicBool::new(false));
    let asks_in_old_version = Arc::clone(&is_old);
    let service = service_fn(move |mut request: Request<Incoming>| {
        is_old.store(request.version() == Version::HTTP_10, Ordering::Relaxed);
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
        // Who has sent all of its requests may say so, and still gets all responses. The price: that a
        // client has left is noticed when its response is written, and what the origin is at until
        // then is for the cache.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = (&mut connection).await {
        tracing::debug!("a connection ended: {error}");
        if asks_in_old_version.load(Ordering::Relaxed) {
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
