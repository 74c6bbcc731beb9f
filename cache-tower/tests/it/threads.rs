//! What may go from thread to thread, and be used by several: this compiles, or it may not.

use bytes::Bytes;
use cache_core::BoxError;
use cache_tower::{
    CacheLayer, CacheService, Config, Groups, HttpCache, Policy, Purger, ResponseBody,
};
use http::{Request, Response};
use http_body_util::{Full, combinators::UnsyncBoxBody};
use tower::util::BoxCloneService;

type Unsync = UnsyncBoxBody<Bytes, BoxError>;

fn shared<T: Send + Sync + 'static>() {}
fn sent<T: Send + 'static>() {}

#[test]
fn handles_and_layers_are_for_all_threads() {
    shared::<HttpCache>();
    shared::<CacheLayer>();
    shared::<Config>();
    shared::<Policy>();
    shared::<Purger>();
    shared::<Groups>();
}

#[test]
fn services_and_bodies_that_are_not_sync_are_sent_all_the_same() {
    type Inner = BoxCloneService<Request<Full<Bytes>>, Response<Unsync>, BoxError>;
    sent::<CacheService<Inner>>();
    sent::<ResponseBody<Unsync>>();
}
