//! What may go from thread to thread, and be used by several: this compiles, or it may not.

use cache_actix::{CacheLayer, Groups, HttpCache, NoCache, Policy, Purge, Purger};

fn shared<T: Clone + Send + Sync + 'static>() {}

#[test]
fn what_the_closure_of_all_workers_holds_is_for_all_threads() {
    shared::<HttpCache>();
    shared::<CacheLayer>();
    shared::<Policy>();
    shared::<Purger>();
    shared::<Purge>();
    shared::<Groups>();
    shared::<NoCache>();
}
