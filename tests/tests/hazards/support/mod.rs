//! The harness: a site described without naming a framework, and an app that answers for it.

mod actix;
mod app;
mod axum;
mod framework;
mod log;
mod metered;
mod origin;
mod reply;
mod site;
mod socket;
mod tower;
mod wire;

pub(crate) use app::{Answer, App, Sending};
pub(crate) use framework::{Framework, Time, Way, run};
pub(crate) use log::Log;
pub(crate) use origin::Origin;
pub(crate) use reply::{Ask, Piece, Reply};
pub(crate) use site::{Settings, Site};
pub(crate) use socket::{Raw, responses};
pub(crate) use tower::{Service, boxed};

pub(crate) use cache_axum::{Policy, days, hours, minutes, seconds};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Something that handlers wait for until the test opens it.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn open(&self) {
        self.0.close();
    }

    pub(crate) async fn opened(&self) {
        assert!(self.0.acquire().await.is_err(), "only closing it wakes");
    }
}

/// Lets other tasks run until `holds`. Time does not pass by it where that is paused.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    const HANGS: Duration = Duration::from_secs(20);
    let since = std::time::Instant::now();
    while !holds() {
        assert!(since.elapsed() < HANGS, "this never came: {what}");
        tokio::task::yield_now().await;
        std::thread::yield_now();
    }
}

/// Lets tasks that are ready run, as many as they may be here.
pub(crate) async fn others_run() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

/// Lets `duration` of paused time pass.
pub(crate) async fn pass(duration: Duration) {
    tokio::time::advance(duration).await;
}
