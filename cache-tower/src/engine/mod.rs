//! The one engine: it drives the pure decisions of [`http`](crate::http) over the store.
//!
//! A request takes one of three ways, decided by [`begin`] without waiting and, on a hit, without
//! allocating: past the cache, out of the store, or along [`drive`]. Nothing here demands `Send` or
//! spawns: [`drive`] and [`refresh`] are plain futures, and work that outlives a request is returned
//! to the adapter as a value ([`Refresh`], [`FillJob`]).
//!
//! | File | What |
//! |---|---|
//! | `begin` | which way a request takes |
//! | `drive` | waiting for another's response, or leading |
//! | `exchange` | one request that was forwarded, and what becomes of its response |
//! | `fill_job` | taking in a body that is still coming |
//! | `commit` | storing, also as one of several variants |
//! | `refresh` | renewing what was given out stale |
//! | `nested` | layers of one cache within each other |
//! | `policies` | equal policies as one |
//! | `alone` | how many may go by themselves |

mod alone;
mod begin;
mod commit;
mod drive;
mod exchange;
mod fill_job;
mod nested;
mod policies;
mod refresh;
mod refusal;

pub(crate) use begin::{Asked, Begin, Passage, Plan, begin};
pub(crate) use drive::{Reply, drive};
pub(crate) use fill_job::FillJob;
pub(crate) use nested::{Owner, mark_decided};
pub(crate) use refresh::refresh;

use crate::{http::cache_status::CacheStatus, stored::Stored};
use alone::Alone;
use bytes::Bytes;
use cache_core::{BoxError, Key, Store};
use http::{Request, Response};
use http_body::Body;
use policies::Policies;
use std::{
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// So long a response that could not be shared keeps others from queueing behind the next.
const UNSHARED: Duration = Duration::from_secs(10);

/// The same where that may be this one request's doing, as with an error status.
const UNSHARED_BY_REQUEST: Duration = Duration::from_secs(1);

/// What all layers and services of one cache share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store<Stored>,
    pub(crate) status: Option<CacheStatus>,
    /// The scheme of requests whose URI names none.
    pub(crate) scheme: &'static str,
    pub(crate) max_body: u64,
    pub(crate) alone: Alone,
    pub(crate) policies: Policies,
    /// Some request had a key longer than its URI's: an invalidation of a URI must reach those too.
    pub(crate) has_longer_keys: AtomicBool,
}

impl Shared {
    /// Removes what is stored for a URI, under its own key and under longer ones.
    pub(crate) fn invalidate_uri(&self, key: &Key) {
        self.store.invalidate(key.as_bytes());
        if self.has_longer_keys.load(Ordering::SeqCst) {
            self.store
                .invalidate_group(&commit::uri_group(key.as_bytes()));
        }
    }
}

/// What stands behind the cache. By value: a request is forwarded at most once.
pub(crate) trait Origin<B> {
    type Body: Body<Data = Bytes, Error: Into<BoxError>>;
    type Error;

    fn forward(
        self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Self::Error>>;
}
