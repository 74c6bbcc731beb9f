//! Many requests, one response.

use crate::support::*;
use bytes::Bytes;
use cache_core::clock::{Clock, Moment};
use cache_tower::{HttpCache, Policy, minutes, seconds};
use futures_util::future::{join_all, poll_immediate};
use http::Response;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use std::{
    pin::pin,
    sync::{Arc, Mutex, OnceLock},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};
use tower::{BoxError, Layer, ServiceExt, util::BoxCloneSyncService};

async fn yields(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asy_10_000_cold_requests_for_one_key_call_the_handler_once() {
    let calls = Calls::default();
    let (cache, app) = app({
        let calls = calls.clone();
        move |_| {
            calls.note();
            async {
                yields(50).await;
                text("one")
            }
        }
    });
    let callers = (0..10_000).map(|_| {
        let app = app.clone();
        tokio::spawn(async move { fetch(&app, "/").await })
    });
    for answer in join_all(callers).await {
        let answer = answer.unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"one"[..]));
    }
    assert_eq!(calls.count(), 1);
    let stats = cache.stats();
    assert_eq!(stats.hits + stats.misses, 10_000);
    assert_eq!(stats.stored, 1);
    check(&cache);
}

/// Drops the leader when it has been polled `k` times; 100 others wait. Says whether it had finished.
async fn leader_dropped_after(k: usize) -> bool {
    let calls = Calls::default();
    let (cache, app) = app({
        let calls = calls.clone();
        move |_| {
            calls.note();
            async {
                yields(5).await;
                let steps = [
                    Step::Yield,
                    Step::Data(Bytes::from("he")),
                    Step::Yield,
                    Step::Data(Bytes::from("ad")),
                ];
                Response::new(TestBody::of(steps))
            }
        }
    });
    let leader = async { read(call_future(&app, get("/")).await).await };
    let finished = {
        let mut leader = Box::pin(leader);
        let mut finished = poll_immediate(leader.as_mut()).await.is_some();
        let followers = (0..100).map(|_| {
            let app = app.clone();
            tokio::spawn(async move { fetch(&app, "/").await })
        });
        let followers: Vec<_> = followers.collect();
        for _ in 1..k {
            tokio::task::yield_now().await;
            finished = finished || poll_immediate(leader.as_mut()).await.is_some();
        }
        drop(leader);
        for follower in followers {
            let answer = follower.await.unwrap();
            assert_eq!(
                (answer.status.as_u16(), &*answer.body),
                (200, &b"head"[..]),
                "k = {k}: {answer:?}"
            );
        }
        finished
    };
    assert!(calls.count() <= 2, "{} calls for k = {k}", calls.count());
    settle().await;
    check(&cache);
    finished
}

#[tokio::test(start_paused = true)]
async fn asy_01_a_leader_dropped_at_any_poll_costs_at_most_one_more_call() {
    let mut k = 1;
    while !leader_dropped_after(k).await {
        k += 1;
        assert!(k < 100, "the leader never finishes");
    }
    assert!(k > 5, "it was dropped at several polls");
}

#[tokio::test(start_paused = true)]
async fn asy_03_a_leader_that_panics_costs_at_most_one_more_call_and_nobody_hangs() {
    for always in [false, true] {
        let calls = Calls::default();
        let (cache, app) = app({
            let calls = calls.clone();
            move |_| {
                let n = calls.note();
                async move {
                    yields(3).await;
                    assert!(!always && n > 0, "as told");
                    text("second")
                }
            }
        });
        let callers = (0..100).map(|_| {
            let app = app.clone();
            tokio::spawn(async move { fetch(&app, "/").await })
        });
        let answers = join_all(callers).await;
        let answered: Vec<_> = answers.iter().flatten().collect();
        assert_eq!(calls.count(), 2);
        assert_eq!(answered.len(), if always { 98 } else { 99 });
        for answer in answered {
            let expected = if always {
                (503, &b""[..])
            } else {
                (200, &b"second"[..])
            };
            assert_eq!((answer.status.as_u16(), &*answer.body), expected);
        }
        check(&cache);
    }
}

#[tokio::test(start_paused = true)]
async fn asy_05_a_failing_origin_is_asked_twice_however_many_wait() {
    let calls = Calls::default();
    let (cache, app) = app({
        let calls = calls.clone();
        move |_| {
            calls.note();
            async {
                yields(3).await;
                status(500, "secret of one request")
            }
        }
    });
    let answers = join_all((0..500).map(|_| fetch(&app, "/"))).await;
    assert_eq!(calls.count(), 2);
    let own = answers.iter().filter(|answer| answer.status == 500).count();
    assert_eq!(own, 2, "the two that asked get what they were answered");
    for shared in answers.iter().filter(|answer| answer.status != 500) {
        assert_eq!(
            (shared.status.as_u16(), shared.body.len()),
            (503, 0),
            "nobody else's body"
        );
        assert_eq!(shared.headers["retry-after"], "1");
        assert!(
            !shared.headers.contains_key("cache-status"),
            "the cache says this by itself (RFC 9211 §2)"
        );
    }
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_07_who_waits_too_long_goes_alone_a_few_at_a_time() {
    let calls = Calls::default();
    let policy = Policy::ttl(minutes(5))
        .wait_limit(seconds(1))
        .work_deadline(seconds(60));
    let (cache, app) = app_under(policy, {
        let calls = calls.clone();
        move |_| {
            calls.note();
            async {
                tokio::time::sleep(seconds(30)).await;
                text("slow")
            }
        }
    });
    let start = tokio::time::Instant::now();
    let answers = join_all((0..100).map(|_| async {
        let answer = fetch(&app, "/").await;
        (answer.status.as_u16(), start.elapsed())
    }))
    .await;
    let refused = answers.iter().filter(|(status, _)| *status == 503).count();
    assert!(
        answers
            .iter()
            .filter(|(status, _)| *status == 503)
            .all(|(_, after)| *after < seconds(2))
    );
    assert_eq!(
        calls.count(),
        1 + 8,
        "the leader, and so many by themselves"
    );
    assert_eq!(refused, 100 - calls.count());
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_leader_past_its_work_deadline_is_overtaken_and_still_answered() {
    let calls = Calls::default();
    let policy = Policy::ttl(minutes(5))
        .wait_limit(seconds(20))
        .work_deadline(seconds(5));
    let (cache, app) = app_under(policy, {
        let calls = calls.clone();
        move |_| {
            let n = calls.note();
            async move {
                tokio::time::sleep(if n == 0 { seconds(60) } else { seconds(1) }).await;
                text(if n == 0 { "first" } else { "second" })
            }
        }
    });
    let (first, second) = tokio::join!(fetch(&app, "/"), fetch(&app, "/"));
    assert_eq!(
        (&*first.body, &*second.body),
        (&b"first"[..], &b"second"[..])
    );
    assert_eq!(
        fetch(&app, "/").await.body,
        "second",
        "what came too late was not stored"
    );
    assert_eq!(calls.count(), 2);
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_11_nobody_queues_for_a_response_that_cannot_be_shared() {
    let calls = Calls::default();
    let gate = Gate::default();
    let (cache, app) = app({
        let (calls, gate) = (calls.clone(), gate.clone());
        move |_| {
            let n = calls.note();
            let gate = gate.clone();
            async move {
                if n == 0 {
                    tokio::time::sleep(seconds(3)).await;
                }
                let body = TestBody::of([Step::Data(Bytes::from("mine")), Step::Wait(gate)]);
                with(Response::new(body), "cache-control", "no-store")
            }
        }
    });
    let start = tokio::time::Instant::now();
    let leader = tokio::spawn(call_future(&app, get("/")));
    settle().await;
    let follower = call(&app, get("/")).await;
    assert_eq!(
        start.elapsed(),
        seconds(3),
        "released when the head came, not the body"
    );
    let later = call(&app, get("/")).await;
    assert_eq!(
        start.elapsed(),
        seconds(3),
        "and who comes later does not wait at all"
    );
    assert_eq!(calls.count(), 3);
    gate.open();
    for response in [leader.await.unwrap(), follower, later] {
        assert_eq!(read(response).await.unwrap().body, "mine");
    }
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_13_a_handler_that_asks_for_its_own_url_does_not_wait_for_itself() {
    let calls = Calls::default();
    let cache = HttpCache::new();
    let slot: Arc<OnceLock<App>> = Arc::default();
    let app = around(&cache, Policy::ttl(minutes(5)), {
        let (calls, slot) = (calls.clone(), slot.clone());
        move |_| {
            let n = calls.note();
            let slot = slot.clone();
            async move {
                if n == 0 {
                    let inner = fetch(slot.get().unwrap(), "/").await;
                    assert_eq!(inner.body, "inner");
                    text("outer")
                } else {
                    text("inner")
                }
            }
        }
    });
    slot.set(app.clone()).ok().unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(fetch(&app, "/").await.body, "outer");
    assert_eq!((calls.count(), start.elapsed()), (2, Duration::ZERO));
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn requests_that_select_other_variants_fly_apart_once_that_is_known() {
    let calls = Calls::default();
    let (cache, app) = app({
        let calls = calls.clone();
        move |request: Req| {
            calls.note();
            async move {
                yields(3).await;
                let language = request.headers()["accept-language"].clone();
                let mut response = with(text("-"), "vary", "accept-language");
                *response.body_mut() = TestBody::full(Bytes::copy_from_slice(language.as_bytes()));
                response
            }
        }
    });
    let ask = |language: &'static str| {
        let app = app.clone();
        async move {
            let mut request = get("/");
            request
                .headers_mut()
                .insert("accept-language", language.parse().unwrap());
            let answer = read(call(&app, request).await).await.unwrap();
            assert_eq!(answer.body, language);
        }
    };
    let languages = ["de", "en", "fr"];
    join_all((0..300).map(|n| ask(languages[n % 3]))).await;
    assert_eq!(calls.count(), 3);
    for language in languages {
        ask(language).await;
    }
    assert_eq!(calls.count(), 3, "all three are stored");
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_purge_is_not_overtaken_by_a_response_on_its_way() {
    let calls = Calls::default();
    let gate = Gate::default();
    let (cache, app) = app_under(Policy::ttl(minutes(5)).group("all"), {
        let (calls, gate) = (calls.clone(), gate.clone());
        move |_| {
            let n = calls.note();
            let gate = gate.clone();
            async move {
                if n == 0 {
                    gate.pass().await;
                    text("before")
                } else {
                    text("after")
                }
            }
        }
    });
    for purge_group in [true, false] {
        let before = tokio::spawn(call_future(&app, get("/")));
        settle().await;
        if purge_group {
            cache.purger().group("all").await;
        } else {
            cache.purger().uri(&"http://test/".parse().unwrap()).await;
        }
        let after = tokio::spawn(call_future(&app, get("/")));
        settle().await;
        gate.open();
        let before = read(before.await.unwrap()).await.unwrap();
        let after = read(after.await.unwrap()).await.unwrap();
        assert_eq!(after.body, "after", "it came after the purge: {before:?}");
        assert_eq!(fetch(&app, "/").await.body, "after");
        cache.purger().all().await;
    }
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn an_update_whose_client_leaves_invalidates_all_the_same() {
    let calls = Calls::default();
    let (cache, app) = app({
        let calls = calls.clone();
        move |request: Req| {
            let calls = calls.clone();
            async move {
                if request.method() == http::Method::PUT {
                    // Saved, and then the client is gone.
                    std::future::pending::<()>().await;
                }
                calls.note();
                text("read")
            }
        }
    });
    fetch(&app, "/").await;
    let put = http::Request::put("http://test/")
        .body(http_body_util::Empty::new())
        .unwrap();
    let mut update = Box::pin(call_future(&app, put));
    assert!(poll_immediate(update.as_mut()).await.is_none());
    drop(update);
    fetch(&app, "/").await;
    assert_eq!(calls.count(), 2);
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn sto_37_an_update_that_fails_invalidates_nothing() {
    let calls = Calls::default();
    let (cache, app) = app({
        let calls = calls.clone();
        move |request: Req| {
            let refused = request.method() == http::Method::PUT;
            if !refused {
                calls.note();
            }
            async move {
                if refused {
                    status(409, "no")
                } else {
                    text("read")
                }
            }
        }
    });
    fetch(&app, "/").await;
    let put = http::Request::put("http://test/")
        .body(http_body_util::Empty::new())
        .unwrap();
    assert_eq!(call(&app, put).await.status(), 409);
    fetch(&app, "/").await;
    assert_eq!(calls.count(), 1);
    check(&cache);
}

type Boxed = UnsyncBoxBody<Bytes, BoxError>;
type Failing = BoxCloneSyncService<Req, Response<Boxed>, std::io::Error>;

#[tokio::test]
async fn a_service_that_fails_is_one_load_that_failed_through_however_many_layers() {
    for depth in 1..4 {
        let (cache, calls) = (HttpCache::new(), Calls::default());
        let noted = calls.clone();
        let service = tower::service_fn(move |_: Req| {
            noted.note();
            async { Err::<Response<Boxed>, _>(std::io::Error::other("it is away")) }
        });
        let around = |inner: Failing| {
            let layered = cache.policy(Policy::ttl(minutes(5))).layer(inner);
            let boxed = |response: Response<_>| response.map(BodyExt::boxed_unsync);
            BoxCloneSyncService::new(layered.map_response(boxed))
        };
        let app = (0..depth).fold(BoxCloneSyncService::new(service), |app, _| around(app));
        for request in 1..3 {
            assert!(app.clone().oneshot(get("/")).await.is_err());
            let stats = cache.stats();
            assert_eq!(
                (
                    calls.count(),
                    stats.misses,
                    stats.loads,
                    stats.load_failures
                ),
                (request, request as u64, request as u64, request as u64),
                "{depth} layers"
            );
        }
        check(&cache);
    }
}

/// A clock that stands, and that does something when it is read for the `n`-th time from now on.
#[derive(Clone, Default)]
struct Striking(Arc<Mutex<Option<Strike>>>);

type Strike = (usize, Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Striking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Striking")
    }
}

impl Clock for Striking {
    fn now(&self) -> Moment {
        let mut armed = self.0.lock().unwrap();
        let strikes = armed.take_if(|(left, _)| *left == 0);
        if let Some((left, _)) = armed.as_mut() {
            *left -= 1;
        }
        drop(armed);
        if let Some((_, strike)) = strikes {
            strike();
        }
        Moment::from_nanos(1 << 60)
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }
}

/// What is stored where a leader is overtaken at the `n`-th reading of the clock after its response came, by one
/// that does all it has to do at once. `None` where it was not overtaken.
async fn stored_after_overtaken_at(n: usize) -> Option<Bytes> {
    let (calls, clock) = (Calls::default(), Striking::default());
    let cache = HttpCache::builder().clock(clock.clone()).build().unwrap();
    let itself = Arc::new(OnceLock::<App>::new());
    let app = around(&cache, Policy::ttl(minutes(5)), {
        let (calls, itself) = (calls.clone(), Arc::clone(&itself));
        move |_| {
            let is_first = calls.note() == 0;
            if is_first {
                let app = itself.get().unwrap().clone();
                let overtake = move || {
                    // Past the deadline of whoever leads.
                    let advanced = poll_at_once(tokio::time::advance(minutes(1)));
                    assert!(advanced.is_none(), "it advances, and yields");
                    poll_at_once(fetch(&app, "/"));
                };
                *clock.0.lock().unwrap() = Some((n, Box::new(overtake)));
            }
            async move { text(if is_first { "old" } else { "new" }) }
        }
    });
    assert!(itself.set(app.clone()).is_ok());
    assert_eq!(fetch(&app, "/").await.body, "old");
    let stored = fetch(&app, "/").await.body;
    check(&cache);
    (calls.count() == 2).then_some(stored)
}

fn poll_at_once<F: Future>(work: F) -> Option<F::Output> {
    let polled = pin!(work).poll(&mut Context::from_waker(Waker::noop()));
    match polled {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_overtaken_at_any_moment_never_stores_over_its_successor() {
    let mut overtaken = 0;
    for n in 0..40 {
        if let Some(stored) = stored_after_overtaken_at(n).await {
            assert_eq!(stored, "new", "at reading {n}");
            overtaken += 1;
        }
    }
    assert!(overtaken >= 2, "{overtaken}");
}
