//! What a scenario runs on.

use super::metered;
use std::{cell::Cell, future::Future};
use tokio::{runtime, task::LocalSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framework {
    /// A service, a few routes, and hyper.
    Tower,
    Axum,
    Actix,
}

/// How requests reach an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Over a socket, as HTTP/1.1.
    Wire,
    /// Over a socket, as HTTP/2 without a word of HTTP/1.1 before it.
    Http2,
    /// By a call, for what no wire carries. Services of tower alone can be called so.
    Call,
}

// What does not stand in the table is called, on axum.
thread_local! {
    static CURRENT: Cell<(Framework, Way)> = const { Cell::new((Framework::Axum, Way::Call)) };
}

impl Way {
    /// That of the scenario which this thread runs.
    pub(crate) fn current() -> Self {
        CURRENT.get().1
    }
}

impl Framework {
    /// That of the scenario which this thread runs.
    pub(crate) fn current() -> Self {
        CURRENT.get().0
    }
}

/// How time passes in a scenario.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Time {
    /// Only when nothing else can happen, and when told.
    Paused,
    Real,
    /// The same, with several threads.
    Threads,
}

/// Runs a scenario on a framework.
pub(crate) fn run(framework: Framework, way: Way, time: Time, scenario: impl Future<Output = ()>) {
    CURRENT.set((framework, way));
    let mut builder = match time {
        Time::Paused | Time::Real => runtime::Builder::new_current_thread(),
        Time::Threads => runtime::Builder::new_multi_thread(),
    };
    builder.enable_all();
    // What handles and threads the scenario leaves behind may still tell it.
    let recorder = metered::begin();
    builder.on_thread_start(move || metered::join(recorder));
    match time {
        Time::Paused => builder.start_paused(true),
        Time::Real => &mut builder,
        Time::Threads => builder.worker_threads(2),
    };
    let runtime = builder.build().unwrap();
    // actix's services stay in this thread.
    LocalSet::new().block_on(&runtime, scenario);
    metered::end();
}
