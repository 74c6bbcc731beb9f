//! Many who ask for one thing at once.

use crate::support::{
    Answer, App, Ask, Gate, Piece, Policy, Reply, Settings, Site, eventually, minutes, others_run,
    pass, seconds,
};
use futures_util::future::join_all;
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock},
    task::{Context, Poll},
    time::Duration,
};
use tokio::task::JoinHandle;

/// A future that is dropped at its `left`th poll, as a client may leave at any point.
struct LeavesAt<F> {
    future: Option<Pin<Box<F>>>,
    left: u32,
}

impl<F: Future> Future for LeavesAt<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let left = self.left;
        let Some(future) = self.future.as_mut().filter(|_| left > 0) else {
            self.future = None;
            return Poll::Ready(None);
        };
        let polled = future.as_mut().poll(cx).map(Some);
        self.left -= 1;
        if polled.is_pending() && self.left == 0 {
            cx.waker().wake_by_ref();
        }
        polled
    }
}

fn ask_many(app: &App, path: &str, many: usize) -> Vec<JoinHandle<Answer>> {
    (0..many)
        .map(|_| tokio::spawn(app.get(path).send()))
        .collect()
}

fn slow(
    duration: Duration,
) -> impl Fn(Ask) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync {
    move |ask| {
        Box::pin(async move {
            tokio::time::sleep(duration).await;
            Reply::text(format!("load {}", ask.call))
        })
    }
}

pub(crate) async fn asy_01_when_the_leader_leaves_one_of_those_who_wait_takes_its_turn() {
    let app = Site::of(Policy::ttl(minutes(5)), slow(Duration::from_millis(200))).start();
    let leader = tokio::spawn(app.get("/").send());
    eventually("the leader", || app.calls() == 1).await;
    let followers = ask_many(&app, "/", 100);
    eventually("all are here", || app.stats().misses == 101).await;
    pass(Duration::from_millis(50)).await;
    leader.abort();
    for answer in join_all(followers).await {
        let answer = answer.unwrap();
        assert_eq!((answer.text(), answer.status.as_u16()), ("load 2", 200));
    }
    assert_eq!(app.calls(), 2);
    assert_eq!(app.get("/").send().await.text(), "load 2");
    app.done().await;
}

pub(crate) async fn asy_01_wherever_the_leader_leaves_two_calls_are_enough() {
    for declared in [true, false] {
        for polls in 1..12 {
            let app = Site::of(Policy::ttl(minutes(5)), move |ask: Ask| async move {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                let data = Piece::data("0123456789");
                let reply = Reply::pieces(vec![
                    Piece::Pause,
                    data.clone(),
                    Piece::Pause,
                    Piece::Pause,
                    data,
                ]);
                let reply = reply.header("x-call", ask.call.to_string());
                if declared {
                    reply.header("content-length", "20")
                } else {
                    reply
                }
            })
            .start();
            let leader = app.get("/").send();
            let leader = tokio::spawn(LeavesAt {
                future: Some(Box::pin(leader)),
                left: polls,
            });
            tokio::task::yield_now().await;
            let followers = ask_many(&app, "/", 20);
            for answer in join_all(followers).await {
                assert_eq!(
                    answer.unwrap().text(),
                    "01234567890123456789",
                    "left at poll {polls}"
                );
            }
            leader.await.unwrap();
            app.settled().await;
            assert!(
                app.calls() <= 2,
                "left at poll {polls}: {} calls",
                app.calls()
            );
            app.done().await;
        }
    }
}

pub(crate) async fn asy_01_a_follower_that_leaves_changes_nothing() {
    for polls in 1..6 {
        let app = Site::of(Policy::ttl(minutes(5)), slow(Duration::from_millis(200))).start();
        let leader = tokio::spawn(app.get("/").send());
        eventually("the leader", || app.calls() == 1).await;
        let leaving = (0..20).map(|_| {
            let future = Some(Box::pin(app.get("/").send()));
            tokio::spawn(LeavesAt {
                future,
                left: polls,
            })
        });
        let leaving: Vec<_> = leaving.collect();
        let staying = ask_many(&app, "/", 20);
        for answer in join_all(staying).await {
            assert_eq!(answer.unwrap().text(), "load 1");
        }
        assert_eq!(leader.await.unwrap().text(), "load 1");
        join_all(leaving).await;
        assert_eq!(app.calls(), 1);
        app.done().await;
    }
}

pub(crate) async fn asy_03_a_panic_of_the_leader_hangs_nobody() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::of(Policy::ttl(minutes(5)), move |ask: Ask| {
        let gate = opened.clone();
        async move {
            gate.opened().await;
            assert!(ask.call > 1, "the first call panics, as planned");
            Reply::text(format!("load {}", ask.call))
        }
    })
    .start();
    let asking = ask_many(&app, "/", 101);
    eventually("all are here", || app.stats().misses == 101).await;
    gate.open();
    let answers = join_all(asking).await;
    let panicked = answers.iter().filter(|answer| answer.is_err()).count();
    assert_eq!(panicked, 1, "no follower panics");
    for answer in answers.into_iter().flatten() {
        assert_eq!(answer.text(), "load 2", "the next took its turn");
    }
    assert_eq!(app.calls(), 2);
    assert_eq!(app.get("/").send().await.text(), "load 2");
    app.done().await;
}

pub(crate) async fn asy_03_where_the_next_panics_too_the_others_are_told_to_come_again() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::of(Policy::ttl(minutes(5)), move |ask: Ask| {
        let gate = opened.clone();
        async move {
            gate.opened().await;
            assert!(ask.call > 2, "the first calls panic, as planned");
            Reply::text(format!("load {}", ask.call))
        }
    })
    .start();
    let asking = ask_many(&app, "/", 101);
    eventually("all are here", || app.stats().misses == 101).await;
    gate.open();
    let answers: Vec<_> = join_all(asking).await.into_iter().flatten().collect();
    assert_eq!(
        (answers.len(), app.calls()),
        (99, 2),
        "not one after another"
    );
    for answer in answers {
        assert_eq!(
            (answer.status.as_u16(), answer.header("retry-after")),
            (503, "1")
        );
    }
    assert_eq!(
        app.get("/").send().await.text(),
        "load 3",
        "the key is not poisoned"
    );
    app.done().await;
}

pub(crate) async fn asy_03_a_body_that_panics_hangs_nobody() {
    for declared in [true, false] {
        let gate = Gate::closed();
        let opened = gate.clone();
        let app = Site::replying(Policy::ttl(minutes(5)), move |ask| {
            let gate = opened.clone();
            let frames = futures_util::stream::once(async move {
                gate.opened().await;
                assert!(ask.call > 1, "the first body panics, as planned");
                Ok(http_body::Frame::data("whole".into()))
            });
            let reply = Reply::stream(frames);
            if declared {
                reply.header("content-length", "5")
            } else {
                reply
            }
        })
        .start();
        let asking = ask_many(&app, "/", 20);
        eventually("all are here", || app.stats().misses == 20).await;
        others_run().await;
        gate.open();
        for answer in join_all(asking).await.into_iter().flatten() {
            assert!(
                answer.failed || answer.body == b"whole" || answer.status == 503,
                "{answer:?}"
            );
        }
        app.settled().await;
        assert_eq!(app.get("/").send().await.text(), "whole");
        assert!(app.calls() <= 3, "{}", app.calls());
        app.done().await;
    }
}

pub(crate) async fn asy_05_a_failure_is_shared_after_one_more_try() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::of(Policy::ttl(minutes(5)), move |ask: Ask| {
        let gate = opened.clone();
        async move {
            gate.opened().await;
            Reply::text(format!("error {}", ask.call)).status(500)
        }
    })
    .start();
    let asking = ask_many(&app, "/", 500);
    eventually("all are here", || app.stats().misses == 500).await;
    gate.open();
    for answer in join_all(asking).await {
        let answer = answer.unwrap();
        assert!(answer.status.is_server_error(), "{answer:?}");
    }
    assert!(app.calls() <= 2, "{} calls", app.calls());
    assert_eq!(app.stats().entries, 0);
    app.done().await;
}

pub(crate) async fn asy_05_a_failure_is_not_shared_where_something_stale_may_answer() {
    let policy = Policy::ttl(seconds(10)).stale_if_error(minutes(5));
    let app = Site::of(policy, |ask: Ask| async move {
        tokio::time::sleep(seconds(1)).await;
        let reply = Reply::text(format!("load {}", ask.call));
        if ask.call > 1 {
            reply.status(502)
        } else {
            reply
        }
    })
    .start();
    assert_eq!(app.get("/").send().await.text(), "load 1");
    pass(seconds(20)).await;
    let began = tokio::time::Instant::now();
    for answer in join_all(ask_many(&app, "/", 500)).await {
        let answer = answer.unwrap();
        assert_eq!(
            (answer.text(), answer.status.as_u16()),
            ("load 1", 200),
            "{} after {:?}",
            answer.cache(),
            began.elapsed()
        );
    }
    assert!(app.calls() <= 3, "{} calls", app.calls());
    app.done().await;
}

pub(crate) async fn asy_07_who_has_waited_long_enough_goes_on() {
    let policy = Policy::ttl(minutes(5))
        .wait_limit(seconds(1))
        .work_deadline(minutes(5));
    let app = Site::of(policy, slow(seconds(30))).start();
    let began = tokio::time::Instant::now();
    let leader = tokio::spawn(app.get("/").send());
    eventually("the leader", || app.calls() == 1).await;
    let followers = ask_many(&app, "/", 100);
    eventually("all are here", || app.stats().misses == 101).await;
    others_run().await;
    pass(seconds(1)).await;
    others_run().await;
    assert!(
        (2..=9).contains(&app.calls()),
        "a few go by themselves: {} calls",
        app.calls()
    );
    let mut refused = 0;
    for answer in join_all(followers).await {
        let answer = answer.unwrap();
        match answer.status.as_u16() {
            503 => refused += u64::from(answer.header("retry-after") == "1"),
            status => assert_eq!((status, answer.text().starts_with("load ")), (200, true)),
        }
    }
    assert_eq!(
        began.elapsed(),
        seconds(31),
        "those by themselves took their own time"
    );
    assert_eq!(
        refused + app.calls() - 1,
        100,
        "the others were told to come again"
    );
    assert_eq!(leader.await.unwrap().text(), "load 1");
    app.done().await;
}

pub(crate) async fn asy_07_who_has_waited_long_enough_gets_a_stale_copy_where_there_is_one() {
    let policy = Policy::ttl(seconds(10))
        .stale_if_error(minutes(5))
        .wait_limit(seconds(1))
        .work_deadline(minutes(5));
    let app = Site::of(policy, |ask: Ask| async move {
        tokio::time::sleep(seconds(if ask.call == 2 { 30 } else { 0 })).await;
        Reply::text(format!("load {}", ask.call))
    })
    .start();
    assert_eq!(app.get("/").send().await.text(), "load 1");
    pass(seconds(11)).await;
    let leader = tokio::spawn(app.get("/").send());
    eventually("the leader", || app.calls() == 2).await;
    for answer in join_all(ask_many(&app, "/", 100)).await {
        assert_eq!(answer.unwrap().text(), "load 1");
    }
    assert_eq!(app.calls(), 2);
    assert_eq!(leader.await.unwrap().text(), "load 2");
    app.done().await;
}

pub(crate) async fn asy_11_nobody_queues_for_what_cannot_be_shared() {
    let app = Site::of(Policy::ttl(minutes(5)), |ask: Ask| async move {
        if ask.call == 1 {
            tokio::time::sleep(seconds(3)).await;
        }
        let pieces = vec![
            Piece::data(format!("for {}", ask.header("x-user"))),
            Piece::Wait(seconds(if ask.call == 1 { 60 } else { 0 })),
        ];
        Reply::pieces(pieces).control("no-store")
    })
    .start();
    let began = tokio::time::Instant::now();
    let leader = tokio::spawn(app.get("/").header("x-user", "leader").send());
    eventually("the leader", || app.calls() == 1).await;
    let followers: Vec<_> = (0..50)
        .map(|n| tokio::spawn(app.get("/").header("x-user", n.to_string()).send()))
        .collect();
    for (n, answer) in join_all(followers).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().text(), format!("for {n}"), "each its own");
    }
    assert_eq!(
        began.elapsed(),
        seconds(3),
        "released at the head, not one after another"
    );
    let later = app.get("/").header("x-user", "later").send().await;
    assert_eq!((later.text(), began.elapsed()), ("for later", seconds(3)));
    assert_eq!(leader.await.unwrap().text(), "for leader");
    assert_eq!(app.calls(), 52);
    app.done().await;
}

pub(crate) async fn asy_11_when_the_mark_is_over_requests_are_collapsed_again() {
    let app = Site::of(Policy::ttl(minutes(5)), |ask: Ask| async move {
        tokio::time::sleep(seconds(1)).await;
        let reply = Reply::text(format!("load {}", ask.call));
        if ask.call == 1 {
            reply.control("no-store")
        } else {
            reply
        }
    })
    .start();
    assert_eq!(app.get("/").send().await.text(), "load 1");
    pass(minutes(1)).await;
    for answer in join_all(ask_many(&app, "/", 50)).await {
        assert_eq!(answer.unwrap().text(), "load 2");
    }
    assert_eq!(app.calls(), 2);
    app.done().await;
}

pub(crate) async fn asy_13_a_handler_that_asks_for_its_own_url_does_not_wait_for_itself() {
    let this = Arc::<OnceLock<App>>::default();
    let itself = Arc::clone(&this);
    let app = Site::of(Policy::ttl(minutes(5)), move |ask: Ask| {
        let itself = Arc::clone(&itself);
        async move {
            let app = itself.get().unwrap();
            match ask.call {
                1 => {
                    let inner = app.get("/").send().await;
                    let other = app.get("/other").send().await;
                    Reply::text(format!(
                        "1 around {:?} and {:?}",
                        inner.text(),
                        other.text()
                    ))
                }
                2 => Reply::text("2, within"),
                _ => Reply::text("another page"),
            }
        }
    })
    .start();
    let app = this.get_or_init(|| app);
    let began = tokio::time::Instant::now();
    assert_eq!(
        app.get("/").send().await.text(),
        "1 around \"2, within\" and \"another page\""
    );
    assert_eq!(began.elapsed(), Duration::ZERO);
    app.get("/").send().await.text();
    assert_eq!(app.calls(), 3);
    app.done().await;
}

pub(crate) async fn asy_13_nor_for_ever_where_it_asks_from_another_task() {
    let this = Arc::<OnceLock<App>>::default();
    let itself = Arc::clone(&this);
    let app = Site::of(Policy::ttl(minutes(5)), move |ask: Ask| {
        let itself = Arc::clone(&itself);
        async move {
            let app = itself.get().unwrap();
            if ask.call == 1 {
                let inner = tokio::spawn(app.get("/").send()).await.unwrap();
                return Reply::text(format!("around {}", inner.status));
            }
            Reply::text("within")
        }
    })
    .start();
    let app = this.get_or_init(|| app);
    let answer = app.get("/").send().await;
    assert!(answer.text().starts_with("around "), "{answer:?}");
    assert!(app.calls() <= 2);
    app.done().await;
}

pub(crate) async fn asy_15_no_flight_is_left_behind_whatever_becomes_of_it() {
    const KEYS: u32 = 6000;
    let app = Site::of(Policy::ttl(minutes(5)), |ask: Ask| async move {
        let fate = ask.uri.path().len() % 2 + ask.uri.path().bytes().last().map_or(0, usize::from);
        tokio::task::yield_now().await;
        match fate % 5 {
            0 => Reply::text("").status(500),
            1 => Reply::text("own").control("private"),
            2 => Reply::pieces(vec![Piece::Pause, Piece::data("x"), Piece::Fail]),
            3 => Reply::pieces(vec![Piece::Pause, Piece::data("whole")]),
            _ => Reply::text("whole"),
        }
    })
    .start();
    for n in 0..KEYS {
        let path = format!("/{n}");
        let leaving = LeavesAt {
            future: Some(Box::pin(app.get(&path).send())),
            left: 1 + n % 4,
        };
        let staying = app.get(&path).send();
        tokio::join!(leaving, staying);
    }
    app.settled().await;
    let stats = app.stats();
    assert_eq!(stats.flights, 0);
    assert!(
        stats.bytes <= 64 << 20 && stats.entries <= u64::from(KEYS),
        "{stats:?}"
    );
    app.done().await;
}

#[test]
fn asy_17_a_runtime_that_ends_takes_its_refreshes_with_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    let policy = Policy::ttl(Duration::from_nanos(1)).stale_while_revalidate(minutes(5));
    let app = Site::of(policy, |ask: Ask| async move {
        if (101..=200).contains(&ask.call) {
            std::future::pending::<()>().await;
        }
        Reply::text("v1")
    })
    .settings(Settings {
        max_refreshes: Some(100),
        ..Settings::default()
    })
    .start();
    runtime.block_on(async {
        for _ in 0..2 {
            for n in 0..100 {
                assert_eq!(app.get(&format!("/{n}")).send().await.text(), "v1");
            }
        }
        eventually("the refreshes", || app.calls() == 200).await;
        assert_eq!(app.stats().flights, 100);
    });
    drop(runtime);
    assert_eq!(app.stats().flights, 0, "no task is left");
    let other = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    other.block_on(async {
        assert_eq!(
            app.get("/0").send().await.text(),
            "v1",
            "it goes on in another runtime"
        );
        app.done().await;
    });
}

#[test]
fn asy_18_without_a_runtime_it_is_made_asked_and_dropped() {
    let policy = Policy::ttl(minutes(5))
        .stale_while_revalidate(minutes(5))
        .early_refresh(1.0);
    let app = Site::replying(policy, |ask| {
        let reply = Reply::pieces(vec![Piece::data(format!("load {}", ask.call))]);
        if ask.uri.path() == "/own" {
            reply.control("no-store")
        } else {
            reply
        }
    })
    .start();
    let (first, again, own, posted) = futures_util::future::FutureExt::now_or_never(async {
        (
            app.get("/").send().await,
            app.get("/").send().await,
            app.get("/own").send().await,
            app.post("/").body("x").send().await,
        )
    })
    .unwrap();
    assert_eq!((first.text(), again.text()), ("load 1", "load 1"));
    assert_eq!((own.text(), posted.text()), ("load 2", "load 3"));
    let local = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    local.block_on(async {
        assert_eq!(
            app.get("/").send().await.text(),
            "load 4",
            "without timers too"
        );
        app.done().await;
    });
    drop(app);
}

#[test]
fn asy_18_without_a_runtime_a_body_in_pieces_passes() {
    let app = Site::replying(Policy::ttl(minutes(5)), |_| {
        Reply::stream(futures_util::stream::unfold(
            (0, false),
            |(n, paused)| async move {
                if !paused {
                    let mut first = true;
                    std::future::poll_fn(|cx| {
                        cx.waker().wake_by_ref();
                        if std::mem::take(&mut first) {
                            Poll::Pending
                        } else {
                            Poll::Ready(())
                        }
                    })
                    .await;
                }
                (n < 3).then(|| (Ok(http_body::Frame::data("x".into())), (n + 1, false)))
            },
        ))
    })
    .start();
    let answer = futures_executor(app.get("/").send());
    assert_eq!(answer.text(), "xxx");
    futures_executor(app.done());
}

/// Polls a future to its end, with nothing around it.
fn futures_executor<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
}

pub(crate) async fn asy_19_a_stale_key_is_refreshed_once_at_a_time() {
    let policy = Policy::ttl(seconds(10)).stale_while_revalidate(minutes(5));
    let app = Site::of(policy, slow(seconds(2))).start();
    assert_eq!(app.get("/").send().await.text(), "load 1");
    pass(seconds(10)).await;
    for _ in 0..1000 {
        assert_eq!(app.get("/").send().await.text(), "load 1", "at once");
        pass(Duration::from_millis(1)).await;
    }
    assert_eq!(app.calls(), 2);
    pass(seconds(2)).await;
    app.settled().await;
    assert_eq!(app.get("/").send().await.text(), "load 2");
    app.done().await;
}

pub(crate) async fn asy_19_refreshes_of_many_keys_are_limited() {
    let policy = Policy::ttl(seconds(10)).stale_while_revalidate(minutes(5));
    let settings = Settings {
        max_refreshes: Some(7),
        ..Settings::default()
    };
    let app = Site::of(policy, slow(seconds(2)))
        .settings(settings)
        .start();
    let paths: Vec<_> = (0..100).map(|n| format!("/{n}")).collect();
    join_all(paths.iter().map(|path| app.get(path).send())).await;
    pass(seconds(10)).await;
    for path in &paths {
        assert_eq!(
            app.get(path).send().await.header("age"),
            "12",
            "each is answered"
        );
    }
    others_run().await;
    assert_eq!((app.calls(), app.stats().flights), (107, 7));
    pass(seconds(3)).await;
    app.settled().await;
    app.get("/99").send().await;
    others_run().await;
    assert_eq!(app.calls(), 108, "permits are given back");
    pass(seconds(3)).await;
    app.done().await;
}

pub(crate) async fn asy_19_failed_refreshes_back_off() {
    let policy = Policy::ttl(seconds(10))
        .stale_while_revalidate(minutes(5))
        .failure_pause(seconds(1), seconds(8));
    let app = Site::replying(policy, |ask| {
        let reply = Reply::text(format!("load {}", ask.call));
        if ask.call > 1 {
            reply.status(500)
        } else {
            reply
        }
    })
    .start();
    assert_eq!(app.get("/").send().await.text(), "load 1");
    pass(seconds(10)).await;
    for _ in 0..600 {
        assert_eq!(app.get("/").send().await.text(), "load 1");
        app.settled().await;
        pass(Duration::from_millis(100)).await;
    }
    assert!(
        (5..=20).contains(&app.calls()),
        "{} calls in a minute",
        app.calls()
    );
    app.done().await;
}

pub(crate) async fn sto_56_many_who_want_it_fresh_share_one_load() {
    let app = Site::of(Policy::ttl(minutes(5)), slow(seconds(1))).start();
    assert_eq!(app.get("/").send().await.text(), "load 1");
    let asking =
        (0..200).map(|_| tokio::spawn(app.get("/").header("cache-control", "no-cache").send()));
    let asking: Vec<_> = asking.collect();
    eventually("all are here", || app.stats().misses == 201).await;
    assert_eq!(
        app.get("/").send().await.text(),
        "load 1",
        "others are answered meanwhile"
    );
    for answer in join_all(asking).await {
        assert_eq!(answer.unwrap().text(), "load 2");
    }
    assert_eq!(app.calls(), 2);
    assert_eq!(app.get("/").send().await.text(), "load 2");
    app.done().await;
}

pub(crate) async fn var_04_users_never_share_a_flight_unless_the_response_is_shared() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::of(Policy::ttl(minutes(5)), move |ask: Ask| {
        let gate = opened.clone();
        async move {
            gate.opened().await;
            Reply::text(format!("of {:?}", ask.header("cookie")))
        }
    })
    .start();
    let users = (0..50).map(|n| {
        if n % 2 == 0 {
            format!("user {n}")
        } else {
            String::new()
        }
    });
    let asking: Vec<_> = users
        .map(|user| {
            let request = app.get("/");
            let request = if user.is_empty() {
                request
            } else {
                request.header("cookie", &user)
            };
            (user, tokio::spawn(request.send()))
        })
        .collect();
    eventually("all are here", || app.stats().misses == 50).await;
    gate.open();
    for (user, answer) in asking {
        assert_eq!(answer.await.unwrap().text(), format!("of {user:?}"));
    }
    assert_eq!(app.calls(), 26, "those without a cookie shared one");
    app.done().await;
}

pub(crate) async fn var_01_those_who_wait_share_only_what_was_made_for_their_like() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::of(Policy::ttl(minutes(5)), move |ask: Ask| {
        let gate = opened.clone();
        async move {
            gate.opened().await;
            Reply::text(ask.header("accept-language")).header("vary", "accept-language")
        }
    })
    .start();
    let languages = ["de", "en", "fr", "it"];
    let asking: Vec<_> = (0..200)
        .map(|n| {
            let language = languages[n % 4];
            (
                language,
                tokio::spawn(app.get("/").header("accept-language", language).send()),
            )
        })
        .collect();
    eventually("all are here", || app.stats().misses == 200).await;
    gate.open();
    for (language, answer) in asking {
        assert_eq!(answer.await.unwrap().text(), language);
    }
    assert_eq!(app.calls(), 4);
    app.done().await;
}

pub(crate) async fn asy_05_ten_thousand_cold_requests_are_one_call() {
    const MANY: u64 = 10_000;
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::of(Policy::ttl(minutes(5)), move |_| {
        let gate = opened.clone();
        async move {
            gate.opened().await;
            Reply::text("made once")
        }
    })
    .start();
    let asking = ask_many(&app, "/", usize::try_from(MANY).unwrap());
    eventually("all are here", || app.stats().misses == MANY).await;
    gate.open();
    for answer in join_all(asking).await {
        assert_eq!(answer.unwrap().text(), "made once");
    }
    assert_eq!((app.calls(), app.stats().collapsed), (1, MANY - 1));
    app.done().await;
}

pub(crate) async fn asy_05_requests_invalidations_and_departures_at_random_never_mix_bodies() {
    let version = Arc::new(std::sync::atomic::AtomicU64::new(1));
    let current = Arc::clone(&version);
    let app = Site::of(Policy::ttl(minutes(5)), move |ask: Ask| {
        let version = current.load(std::sync::atomic::Ordering::SeqCst);
        async move {
            tokio::task::yield_now().await;
            let line = format!("{}{version};", ask.uri.path());
            Reply::pieces(vec![
                Piece::data(line.clone()),
                Piece::Pause,
                Piece::data(line),
            ])
        }
    })
    .start();
    let workers = (0..4).map(|seed| {
        let (app, version) = (app.clone(), Arc::clone(&version));
        tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..1500 {
                let path = format!("/{}", random.u8(..4));
                match random.u8(..10) {
                    0 => {
                        version.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        app.purger().all().await;
                    }
                    1 | 2 => {
                        let future = Some(Box::pin(app.get(&path).send()));
                        LeavesAt {
                            future,
                            left: random.u32(1..6),
                        }
                        .await;
                    }
                    _ => {
                        let answer = app.get(&path).send().await;
                        let (first, second) = answer.text().split_at(answer.text().len() / 2);
                        assert_eq!(first, second, "two versions in one body");
                        assert!(first.starts_with(&path), "another's body");
                    }
                }
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    app.done().await;
}

pub(crate) async fn asy_01_a_handler_that_keeps_what_is_in_the_request_does_not_keep_the_turn() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let app = Site::of(Policy::ttl(minutes(5)), {
        let kept = Arc::clone(&kept);
        move |ask: Ask| {
            let kept = Arc::clone(&kept);
            async move {
                if ask.call == 1 {
                    kept.lock().unwrap().push(ask.extensions);
                    std::future::pending::<()>().await;
                }
                Reply::text(format!("load {}", ask.call))
            }
        }
    })
    .start();
    let leader = tokio::spawn(app.get("/").send());
    eventually("the leader", || app.calls() == 1).await;
    let followers = ask_many(&app, "/", 50);
    others_run().await;
    let began = tokio::time::Instant::now();
    leader.abort();
    for follower in followers {
        assert_eq!(follower.await.unwrap().text(), "load 2");
    }
    assert_eq!(began.elapsed(), seconds(0), "nobody waited out a limit");
    assert_eq!((app.calls(), kept.lock().unwrap().len()), (2, 1));
    app.done().await;
}

pub(crate) async fn asy_19_one_refresh_is_for_those_with_credentials_and_those_without() {
    let app = Site::of(Policy::from_headers(), |ask: Ask| async move {
        tokio::time::sleep(seconds(1)).await;
        let control = "public, max-age=60, stale-while-revalidate=600";
        Reply::text(format!("load {}", ask.call)).control(control)
    })
    .start();
    assert_eq!(app.get("/").send().await.text(), "load 1");
    pass(seconds(90)).await;
    for _ in 0..3 {
        for request in [
            app.get("/").header("cookie", "a"),
            app.get("/"),
            app.get("/").header("cookie", "b"),
            app.get("/").header("authorization", "c"),
        ] {
            assert_eq!(request.send().await.text(), "load 1");
            others_run().await;
        }
    }
    assert_eq!(app.calls(), 2);
    pass(seconds(1)).await;
    app.settled().await;
    assert_eq!(app.get("/").send().await.text(), "load 2");
    let user = app.get("/").header("cookie", "a").send().await;
    assert_eq!((user.text(), app.calls()), ("load 2", 2));
    app.done().await;
}

pub(crate) async fn var_01_a_variant_is_loaded_once_whether_or_not_it_was_known_that_there_are_any()
{
    let app = Site::of(Policy::ttl(minutes(5)), |ask: Ask| async move {
        let language = ask.header("accept-language");
        tokio::time::sleep(seconds(if language == "de" { 1 } else { 5 })).await;
        Reply::text(format!("{} {language}", ask.call)).header("vary", "accept-language")
    })
    .start();
    let speaks = |language: &str| {
        let request = app.get("/").header("accept-language", language);
        tokio::spawn(request.send())
    };
    let german = speaks("de");
    others_run().await;
    let before: Vec<_> = (0..20).map(|_| speaks("fr")).collect();
    assert_eq!(german.await.unwrap().text(), "1 de");
    others_run().await;
    let after: Vec<_> = (0..20).map(|_| speaks("fr")).collect();
    for french in before.into_iter().chain(after) {
        assert_eq!(french.await.unwrap().text(), "2 fr");
    }
    assert_eq!((app.calls(), app.stats().stored), (2, 2));
    app.done().await;
}

pub(crate) async fn asy_11_what_one_request_brought_about_ends_collapsing_for_a_second_at_most() {
    for (status, control) in [(406, ""), (401, ""), (404, ""), (206, "max-age=60")] {
        let app = Site::of(Policy::ttl(minutes(5)), move |ask: Ask| async move {
            if ask.headers.contains_key("x-bad") {
                return Reply::text("not for you").status(status).control(control);
            }
            tokio::time::sleep(seconds(3)).await;
            Reply::text(format!("load {}", ask.call))
        })
        .start();
        let refused = app.get("/").header("x-bad", "1").send().await;
        assert_eq!(refused.status.as_u16(), status);
        pass(seconds(1)).await;
        for answer in join_all(ask_many(&app, "/", 100)).await {
            assert_eq!(answer.unwrap().text(), "load 2", "after {status}");
        }
        assert_eq!(app.calls(), 2, "after {status}");
        app.done().await;
    }
}

pub(crate) async fn asy_19_failures_of_one_who_insists_do_not_stop_the_refreshes_of_others() {
    let policy = Policy::ttl(seconds(10))
        .stale_while_revalidate(minutes(100))
        .stale_if_error(minutes(100));
    let app = Site::replying(policy, |ask| {
        let is_bad = ask.headers.contains_key("x-bad");
        let reply = Reply::text(format!("load {}", ask.call));
        if is_bad { reply.status(500) } else { reply }
    })
    .start();
    let mut load = 1;
    assert_eq!(app.get("/").send().await.text(), "load 1");
    for _ in 0..20 {
        pass(seconds(11)).await;
        for control in ["no-cache", "max-age=0"] {
            for _ in 0..3 {
                let bad = app.get("/").header("x-bad", "1");
                bad.header("cache-control", control).send().await;
                app.settled().await;
            }
        }
        let before = app.calls();
        let stale = app.get("/").send().await;
        assert_eq!(stale.text(), format!("load {load}"));
        eventually("the refresh", || app.calls() == before + 1).await;
        app.settled().await;
        load = app.calls();
        assert_eq!(app.get("/").send().await.text(), format!("load {load}"));
    }
    app.done().await;
}
