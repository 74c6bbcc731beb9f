//! What may go from thread to thread, and be used by several: this compiles, or it may not.

use cache_axum::{CacheLayer, Groups, HttpCache, NoCache, Purge, Purger};

fn shared<T: Clone + Send + Sync + 'static>() {}

#[test]
fn what_a_router_and_its_state_hold_is_for_all_threads() {
    shared::<HttpCache>();
    shared::<CacheLayer>();
    shared::<Purger>();
    shared::<Purge>();
    shared::<Groups>();
    shared::<NoCache>();
}
