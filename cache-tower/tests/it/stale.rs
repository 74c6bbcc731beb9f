//! Stale responses: while one refreshes, and when the origin fails.

use crate::support::*;
use cache_core::clock::{Clock, Moment};
use cache_tower::{HttpCache, ManualClock, Policy, minutes, seconds};
use futures_util::{FutureExt, future::join_all};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

/// A handler that says which call it is, and fails when told.
fn counting(policy: Policy) -> (HttpCache, App, Calls, Arc<AtomicBool>) {
    let (calls, failing) = (Calls::default(), Arc::new(AtomicBool::new(false)));
    let (cache, app) = app_under(policy, {
        let (calls, failing) = (calls.clone(), failing.clone());
        move |_| {
            let n = calls.note();
            let failing = failing.load(SeqCst);
            async move {
                tokio::time::sleep(seconds(2)).await;
                match (failing, n) {
                    (true, _) => status(500, "failed"),
                    (false, 0) => text("first"),
                    (false, _) => text("later"),
                }
            }
        }
    });
    (cache, app, calls, failing)
}

#[tokio::test(start_paused = true)]
async fn asy_19_a_stale_response_is_given_to_all_while_one_request_refreshes_it() {
    let (cache, app, calls, _) =
        counting(Policy::ttl(seconds(10)).stale_while_revalidate(seconds(60)));
    fetch(&app, "/").await;
    tokio::time::sleep(seconds(15)).await;
    let start = tokio::time::Instant::now();
    for answer in join_all((0..1000).map(|_| fetch(&app, "/"))).await {
        assert_eq!(answer.body, "first");
        assert_eq!(
            answer.status_field(),
            "cache-tower;hit;ttl=-7;detail=swr",
            "two on its way, fifteen here"
        );
    }
    assert_eq!(start.elapsed(), seconds(0), "nobody waits");
    tokio::time::sleep(seconds(3)).await;
    assert_eq!(fetch(&app, "/").await.body, "later");
    assert_eq!(calls.count(), 2);
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_window_a_stale_response_is_not_given() {
    let (cache, app, calls, _) =
        counting(Policy::ttl(seconds(10)).stale_while_revalidate(seconds(60)));
    fetch(&app, "/").await;
    tokio::time::sleep(seconds(71)).await;
    assert_eq!(fetch(&app, "/").await.body, "later");
    assert_eq!(calls.count(), 2);
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn failed_refreshes_back_off_and_the_stale_response_stays() {
    let policy = Policy::ttl(seconds(10))
        .stale_while_revalidate(minutes(10))
        .failure_pause(seconds(8), seconds(60));
    let (cache, app, calls, failing) = counting(policy);
    fetch(&app, "/").await;
    failing.store(true, SeqCst);
    tokio::time::sleep(seconds(11)).await;
    for _ in 0..60 {
        assert_eq!(fetch(&app, "/").await.body, "first");
        tokio::time::sleep(seconds(1)).await;
    }
    let attempts = calls.count() - 1;
    assert!(
        (2..=8).contains(&attempts),
        "{attempts} attempts in a minute"
    );
    failing.store(false, SeqCst);
    tokio::time::sleep(seconds(61)).await;
    fetch(&app, "/").await;
    tokio::time::sleep(seconds(3)).await;
    assert_eq!(fetch(&app, "/").await.body, "later");
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn sto_26_a_failing_origin_is_answered_from_the_stale_response() {
    let policy = Policy::ttl(seconds(10))
        .stale_if_error(seconds(60))
        .failure_pause(seconds(4), seconds(4));
    let (cache, app, calls, failing) = counting(policy);
    fetch(&app, "/").await;
    failing.store(true, SeqCst);
    tokio::time::sleep(seconds(15)).await;
    let answers = join_all((0..50).map(|_| fetch(&app, "/"))).await;
    for answer in &answers {
        assert_eq!(
            (answer.status.as_u16(), &*answer.body),
            (200, &b"first"[..])
        );
        assert!(
            answer.status_field().ends_with(";detail=stale-if-error"),
            "{}",
            answer.status_field()
        );
    }
    assert_eq!(calls.count(), 2, "one tried");
    assert_eq!(fetch(&app, "/").await.body, "first");
    assert_eq!(calls.count(), 2, "and for a while nobody else does");
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(
        fetch(&app, "/").await.status,
        500,
        "beyond its window the failure is shown"
    );
    failing.store(false, SeqCst);
    assert_eq!(fetch(&app, "/").await.body, "later");
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn sto_17_must_revalidate_shows_the_failure() {
    let failing = Arc::new(AtomicBool::new(false));
    let policy = Policy::ttl(seconds(10))
        .stale_if_error(minutes(10))
        .stale_while_revalidate(minutes(10));
    let (cache, app) = app_under(policy, {
        let failing = failing.clone();
        move |_| {
            let failing = failing.load(SeqCst);
            async move {
                if failing {
                    status(503, "away")
                } else {
                    with(text("x"), "cache-control", "max-age=5, must-revalidate")
                }
            }
        }
    });
    fetch(&app, "/").await;
    failing.store(true, SeqCst);
    tokio::time::sleep(seconds(6)).await;
    assert_eq!(fetch(&app, "/").await.status, 503);
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn so_many_refreshes_run_at_a_time() {
    let calls = Calls::default();
    let cache = HttpCache::builder().max_refreshes(3).build().unwrap();
    let app = around(
        &cache,
        Policy::ttl(seconds(10)).stale_while_revalidate(minutes(5)),
        {
            let calls = calls.clone();
            move |_| {
                calls.note();
                async {
                    tokio::time::sleep(seconds(1)).await;
                    text("x")
                }
            }
        },
    );
    join_all((0..10).map(|n| {
        let app = app.clone();
        async move { fetch(&app, &format!("/{n}")).await }
    }))
    .await;
    tokio::time::sleep(seconds(20)).await;
    join_all((0..10).map(|n| {
        let app = app.clone();
        async move { fetch(&app, &format!("/{n}")).await }
    }))
    .await;
    settle().await;
    assert_eq!(calls.count(), 10 + 3);
    tokio::time::sleep(seconds(2)).await;
    fetch(&app, "/9").await;
    settle().await;
    assert_eq!(calls.count(), 10 + 4, "their places are free again");
    tokio::time::sleep(seconds(2)).await;
    check(&cache);
}

#[test]
fn asy_17_a_runtime_that_ends_takes_its_refreshes_with_it() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let (cache, app, calls, _) =
        counting(Policy::ttl(seconds(10)).stale_while_revalidate(minutes(5)));
    runtime.block_on(async {
        let ask = || {
            join_all((0..100).map(|n| {
                let app = app.clone();
                async move { fetch(&app, &format!("/{n}")).await }
            }))
        };
        ask().await;
        tokio::time::sleep(seconds(20)).await;
        ask().await;
        settle().await;
        assert!(
            calls.count() > 100 && cache.stats().flights > 0,
            "refreshes are on their way"
        );
    });
    drop(runtime);
    check(&cache);
    // The store serves on, in another runtime.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        fetch(&app, "/0").await;
        tokio::time::sleep(seconds(3)).await;
    });
}

/// A clock that does something else at one of its next readings.
#[derive(Clone)]
struct Busy {
    clock: ManualClock,
    next: Arc<Mutex<Option<Next>>>,
}

struct Next {
    readings: u32,
    what: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Busy").finish_non_exhaustive()
    }
}

impl Clock for Busy {
    fn now(&self) -> Moment {
        let next = self.next.lock().unwrap().take();
        match next {
            Some(next) if next.readings == 0 => (next.what)(),
            Some(next) => {
                let readings = next.readings - 1;
                *self.next.lock().unwrap() = Some(Next { readings, ..next });
            }
            None => {}
        }
        self.clock.now()
    }

    fn wall(&self) -> std::time::SystemTime {
        self.clock.wall()
    }
}

/// ASY-19: between the look-up of one request and its turn to refresh another may renew the response.
#[tokio::test(start_paused = true)]
async fn asy_19_who_finds_its_turn_when_all_is_done_does_not_refresh_again() {
    let calls = Calls::default();
    let clock = Busy {
        clock: ManualClock::at(std::time::SystemTime::UNIX_EPOCH + minutes(1)),
        next: Arc::default(),
    };
    let cache = HttpCache::builder().clock(clock.clone()).build().unwrap();
    let app = around(&cache, Policy::standard(), {
        let calls = calls.clone();
        move |_| {
            let body = if calls.note() == 0 { "first" } else { "later" };
            let control = "max-age=10, stale-while-revalidate=60";
            std::future::ready(with(text(body), "cache-control", control))
        }
    });
    let renewed = Arc::new(AtomicUsize::new(0));
    for readings in 0..20 {
        fetch(&app, "/").await;
        clock.clock.advance(seconds(15));
        let before = calls.count();
        let (other, counted, asked) = (app.clone(), Arc::clone(&renewed), calls.clone());
        let what = Box::new(move || {
            let mut request = get("/");
            let insists = http::HeaderValue::from_static("no-cache");
            request.headers_mut().insert("cache-control", insists);
            // Where the turn is another's already, this one would wait for it, and after that it is too late.
            let is_before = asked.count() == before;
            if is_before && call(&other, request).now_or_never().is_some() {
                counted.fetch_add(1, SeqCst);
            }
        });
        *clock.next.lock().unwrap() = Some(Next { readings, what });
        fetch(&app, "/").await;
        settle().await;
        if clock.next.lock().unwrap().take().is_some() {
            // It reads the clock less often: all its readings were tried.
            let renewed = renewed.load(SeqCst);
            assert!(renewed > 1, "before it looked and after: {renewed}");
            return;
        }
        assert_eq!(calls.count(), before + 1, "after {readings} readings");
        clock.clock.advance(seconds(100));
    }
    panic!("it reads the clock too often");
}
