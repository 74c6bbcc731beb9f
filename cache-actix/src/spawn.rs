//! The one place where this crate spawns: what outlives the request that began it.

use std::future::Future;

/// Runs `work` on this thread's actix runtime.
pub(crate) fn spawn(work: impl Future<Output = ()> + 'static) {
    actix_web::rt::spawn(counted(work));
}

#[cfg(not(feature = "test-util"))]
fn counted<F>(work: F) -> F {
    work
}

#[cfg(feature = "test-util")]
fn counted(work: impl Future<Output = ()>) -> impl Future<Output = ()> {
    let task = count::Task::begin();
    async move {
        work.await;
        drop(task);
    }
}

#[cfg(feature = "test-util")]
pub(crate) mod count {
    use std::sync::atomic::{AtomicUsize, Ordering};

    static TASKS: AtomicUsize = AtomicUsize::new(0);

    pub(super) struct Task;

    impl Task {
        pub(super) fn begin() -> Self {
            TASKS.fetch_add(1, Ordering::SeqCst);
            Self
        }
    }

    impl Drop for Task {
        fn drop(&mut self) {
            TASKS.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The tasks that all caches of this process have in the background now.
    pub fn background_tasks() -> usize {
        TASKS.load(Ordering::SeqCst)
    }
}
