//! The one place where this crate spawns: what outlives the request that began it.

use std::future::Future;

/// Runs `work` on the current tokio runtime. Outside of one it is dropped, which passes turns on and
/// leaves what is stored as it is.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that spawns"
)]
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work);
    }
}
