//! Detects a load that asks for the very key it is loading, which would wait for itself.
//!
//! The keys a task is loading are known to that task. A load that spawns another task and waits for
//! it is not seen; its wait limit ends that.

use crate::store::FlightKey;
use std::{future::Future, sync::Arc};

tokio::task_local! {
    static HELD: Arc<Held>;
}

struct Held {
    store: usize,
    key: FlightKey,
    outer: Option<Arc<Held>>,
}

/// Runs `load` as the load of `key` in the store at address `store`.
pub(crate) fn scope<F: Future>(
    store: usize,
    key: FlightKey,
    load: F,
) -> impl Future<Output = F::Output> {
    let outer = HELD.try_with(Arc::clone).ok();
    HELD.scope(Arc::new(Held { store, key, outer }), load)
}

/// Whether the current task is within the load of `key`.
pub(crate) fn is_loading(store: usize, key: &FlightKey) -> bool {
    let held = |innermost: &Arc<Held>| {
        let mut held = Some(innermost);
        while let Some(load) = held {
            if load.store == store && load.key == *key {
                return true;
            }
            held = load.outer.as_ref();
        }
        false
    };
    HELD.try_with(held).unwrap_or(false)
}
