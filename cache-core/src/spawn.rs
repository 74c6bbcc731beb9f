//! The one place where this crate spawns: a refresh in the background.

use std::future::Future;

/// Runs `work` on the current tokio runtime; gives it back where there is none.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that spawns"
)]
pub(crate) fn spawn<F: Future<Output = ()> + Send + 'static>(work: F) -> Result<(), F> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => {
            runtime.spawn(work);
            Ok(())
        }
        Err(_) => Err(work),
    }
}
