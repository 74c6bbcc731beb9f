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
//! | `account` | how a request is counted, measured and traced |
//! | `drive` | waiting for another's response, or leading |
//! | `ask` | what the origin is asked, by what is stored |
//! | `exchange` | one request that was forwarded, and what becomes of its response |
//! | `fill_job` | taking in a body that is still coming |
//! | `commit` | storing, also as one of several variants |
//! | `invalidation` | what an unsafe request removes |
//! | `refresh` | renewing what was given out stale |
//! | `remote` | what processes share |
//! | `nested` | layers of one cache within each other |
//! | `choice` | which policy is that of a request |
//! | `policies` | equal policies as one |
//! | `alone` | how many may go by themselves |

mod account;
mod alone;
mod ask;
mod begin;
mod choice;
mod commit;
mod drive;
mod exchange;
mod fill_job;
mod invalidation;
mod nested;
mod policies;
mod refresh;
mod refusal;
mod remote;

pub(crate) use begin::{Asked, Begin, Passage, Plan, begin};
pub(crate) use choice::Choice;
pub(crate) use drive::{Reply, drive};
pub(crate) use fill_job::FillJob;
pub(crate) use nested::{Owner, mark_decided};
pub(crate) use refresh::{Refresh, refresh};
pub(crate) use refusal::Refusal;

use crate::{
    config::Config,
    http::{cache_status::CacheStatus, key::without_default_port, response::Reading},
    policy::Policy,
    stored::Stored,
};
use alone::Alone;
use bytes::Bytes;
use cache_core::{BoxError, Key, Store, observe::Source};
use http::{HeaderName, Request, Response, StatusCode, Uri};
use http_body::Body;
use policies::Policies;
use std::{
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

/// So long a response that could not be shared keeps others from queueing behind the next.
const UNSHARED: Duration = Duration::from_secs(10);

/// The same where that may be this one request's doing, as with an error status.
const UNSHARED_BY_REQUEST: Duration = Duration::from_secs(1);

/// What all layers and services of one cache share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store<Stored>,
    /// What the names of its responses in a remote tier begin with.
    pub(crate) names: std::sync::Arc<[u8]>,
    pub(crate) status: Option<CacheStatus>,
    /// The scheme of requests whose URI names none.
    pub(crate) scheme: &'static str,
    pub(crate) max_body: u64,
    /// The targeted fields that are heeded, in order (RFC 9213 §2.1).
    pub(crate) targets: Box<[HeaderName]>,
    /// Cache-Groups and Cache-Group-Invalidation are heeded (RFC 9875).
    pub(crate) heeds_cache_groups: bool,
    pub(crate) alone: Alone,
    pub(crate) policies: Policies,
    /// What the environment says.
    pub(crate) config: Option<Config>,
    /// Where it is not, requests pass through as if there were no cache.
    pub(crate) is_enabled: bool,
    /// What an adapter's own copy of a stored field takes, beside its text.
    pub(crate) field_copy: usize,
    /// Some request had a key longer than its URI's: an invalidation of a URI must reach those too.
    pub(crate) has_longer_keys: AtomicBool,
}

impl Shared {
    /// The scheme of a URI.
    pub(crate) fn scheme_of<'a>(&self, uri: &'a Uri) -> &'a str {
        uri.scheme_str().unwrap_or(self.scheme)
    }

    /// The origin of a request's URI (RFC 9110 §4.3.1), in one spelling.
    pub(crate) fn origin(&self, asked: Asked<'_>) -> String {
        origin_of(self.scheme_of(asked.uri), asked.authority())
    }

    /// A policy as the environment has it, on the route of a rule.
    pub(crate) fn under(&self, policy: Policy, rule: Option<usize>) -> Policy {
        match &self.config {
            Some(config) => config.policy(policy, rule),
            None => policy,
        }
    }

    /// How a response's head is read.
    pub(crate) fn reading(&self, policy: &Policy, received: SystemTime) -> Reading<'_> {
        Reading {
            profile: policy.follows(),
            targets: &self.targets,
            received,
        }
    }

    /// Removes what is stored for a URI, under its own key and under longer ones: here at once, in other
    /// processes in the background.
    pub(crate) fn invalidate_uri_behind(&self, key: &Key) {
        let group = self
            .has_longer_keys()
            .then(|| commit::uri_group(key.as_bytes()));
        let groups: Vec<&str> = group.iter().map(String::as_str).collect();
        self.store.invalidate_behind(&[key.as_bytes()], &groups);
    }

    /// Removes what is stored for URIs, and groups: in all processes by when it is done, or soon after
    /// where the remote tier takes too long.
    pub(crate) async fn invalidate(&self, uris: &[Key], mut groups: Vec<String>) {
        let (begun, limit) = (self.store.now(), self.store.budget().left());
        let keys: Vec<&[u8]> = uris.iter().map(Key::as_bytes).collect();
        self.store.invalidate_shared(&keys).await;
        if self.has_longer_keys() {
            groups.extend(keys.into_iter().map(commit::uri_group));
        }
        for group in groups {
            if self.store.has_remote() && self.store.now().since(begun) >= limit {
                self.store.invalidate_behind(&[], &[&group]);
            } else {
                self.store.invalidate_group_shared(&group).await;
            }
        }
    }

    /// Whether some request, of another process maybe, had a key longer than its URI's.
    fn has_longer_keys(&self) -> bool {
        self.has_longer_keys.load(Ordering::SeqCst) || self.store.has_remote()
    }

    /// What is stored under a key is not so any more.
    pub(crate) fn withdraw(&self, key: &Key) {
        self.store.invalidated(Source::Withdrawn);
        self.store.invalidate_behind(&[key.as_bytes()], &[]);
    }
}

fn origin_of(scheme: &str, authority: &str) -> String {
    let scheme = scheme.to_ascii_lowercase();
    let authority = without_default_port(&scheme, authority.as_bytes());
    let authority = String::from_utf8_lossy(authority).to_ascii_lowercase();
    format!("{scheme}://{authority}")
}

/// What stands behind the cache. By value: a request is forwarded at most once.
pub trait Origin<B> {
    /// The body of its responses.
    type Body: Body<Data = Bytes, Error: Into<BoxError>>;

    /// Why there is no response. It is passed on as it is.
    type Error;

    /// The status of the response that the framework makes of such an error further out, where it makes one.
    /// A status that is no failure says that the origin did answer: nothing stale stands in for that, and it
    /// is its own client's alone. Default: none, so that every error is a failure.
    fn status_of(_: &Self::Error) -> Option<StatusCode> {
        None
    }

    /// Forwards a request. Its fields may be others than the client's, as where it validates what is
    /// stored; its extensions are for what lies behind.
    fn forward(
        self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Self::Error>>;
}
