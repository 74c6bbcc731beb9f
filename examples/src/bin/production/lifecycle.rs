//! From the first connection to the last answer.

use crate::service::Caches;
use axum::Router;
use std::{future::IntoFuture, time::Duration};
use tokio::{
    net::TcpListener,
    select, signal,
    sync::oneshot,
    time::{sleep, timeout},
};
use tracing::{info, warn};

/// So long requests have to end after a signal. Orchestrators kill after 10 seconds (Docker) or 30
/// (Kubernetes) by default; `flush` takes its time after it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(7);

/// So long the background has to end after that.
const FLUSH: Duration = Duration::from_secs(2);

/// How serving ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// Every request was answered.
    Finished,
    /// Some took longer than they had.
    CutOff,
}

/// Serves until `stop`. Then nobody is accepted any more, and who was has `patience` to be answered.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    stop: impl Future<Output = ()> + Send + 'static,
    patience: Duration,
) -> Result<Ended, String> {
    let (stopping, is_stopping) = oneshot::channel();
    let stop = async move {
        stop.await;
        info!("stopping");
        let _ = stopping.send(());
    };
    let too_long = async {
        // Where serving ends by itself, nobody is left to wait for.
        let _ = is_stopping.await;
        sleep(patience).await;
    };
    let server = axum::serve(listener, app).with_graceful_shutdown(stop);
    select! {
        biased;
        ended = server.into_future() => {
            ended.map_err(|error| format!("cannot serve any more: {error}"))?;
            Ok(Ended::Finished)
        }
        () = too_long => Ok(Ended::CutOff),
    }
}

/// Waits, within a bound, for what the background still has to write to Redis; then says what was done, because
/// nobody will scrape this process again.
pub(crate) async fn flush(caches: &Caches) {
    let idle = async {
        while caches.has_pending() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(FLUSH, idle).await.is_err() {
        warn!("Redis did not take all that there was to share");
    }
    info!(responses = %caches.responses.stats(), carts = %caches.carts.stats(), "stopped");
}

/// Ends with the first SIGTERM or Ctrl-C from now on.
pub(crate) fn signals() -> Result<impl Future<Output = ()> + Send + 'static, String> {
    let failed = |error: std::io::Error| format!("cannot wait for signals: {error}");
    #[cfg(unix)]
    {
        use signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        Ok(async move {
            select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
    }
    #[cfg(windows)]
    {
        let mut ctrl_c = signal::windows::ctrl_c().map_err(failed)?;
        Ok(async move {
            ctrl_c.recv().await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::{net::Ipv4Addr, sync::Arc};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::Notify,
    };

    /// One request, which its handler has begun when this returns and ends when `end` says so.
    async fn request(end: &Arc<Notify>) -> (TcpStream, TcpListener, Router, Arc<Notify>) {
        let begun = Arc::new(Notify::new());
        let (begins, ends) = (Arc::clone(&begun), Arc::clone(end));
        let handler = async move || {
            begins.notify_one();
            ends.notified().await;
            "whole"
        };
        let app = Router::new().route("/", get(handler));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let text = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";
        client.write_all(text).await.unwrap();
        (client, listener, app, begun)
    }

    #[tokio::test]
    async fn who_was_accepted_is_answered_after_the_signal() {
        let end = Arc::new(Notify::new());
        let (mut client, listener, app, begun) = request(&end).await;
        let stop = async move {
            begun.notified().await;
            end.notify_one();
        };
        let ended = serve(listener, app, stop, Duration::from_secs(600)).await;
        assert_eq!(ended, Ok(Ended::Finished));
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("whole"));
    }

    #[tokio::test]
    async fn a_request_that_never_ends_is_not_waited_for_for_ever() {
        let never = Arc::new(Notify::new());
        let (_client, listener, app, begun) = request(&never).await;
        let stop = async move { begun.notified().await };
        let ended = serve(listener, app, stop, Duration::ZERO).await;
        assert_eq!(ended, Ok(Ended::CutOff));
    }
}
