//! Bodies: streamed, cut, mislabelled, read slowly, with trailers.

use crate::support::{
    App, Ask, Gate, Piece, Policy, Reply, Settings, Site, eventually, minutes, others_run, pass,
    seconds,
};
use bytes::Bytes;
use futures_util::future::join_all;
use std::time::Duration;

fn data(parts: &[&'static str]) -> Vec<Piece> {
    parts.iter().map(|part| Piece::data(*part)).collect()
}

/// The same, asking whoever reads to come again before each.
fn paused(parts: &[&'static str]) -> Vec<Piece> {
    parts
        .iter()
        .flat_map(|part| [Piece::Pause, Piece::data(*part)])
        .collect()
}

pub(crate) async fn sto_41_a_body_of_another_length_than_declared_is_not_stored() {
    for pieces in [data as fn(&[&'static str]) -> Vec<Piece>, paused] {
        for (declared, parts) in [
            ("10", &["four"][..]),
            ("4", &["more", " than four"]),
            ("4", &["five!"]),
            ("0", &["x"]),
            ("10", &[]),
            ("four", &["four"]),
            ("4, 4", &["four"]),
            ("-4", &["four"]),
            ("99999999999999999999", &["four"]),
        ] {
            let app = Site::of(Policy::override_ttl(minutes(5)), move |_| async move {
                Reply::pieces(pieces(parts)).header("content-length", declared)
            })
            .start();
            for call in [1, 2] {
                let answer = app.get("/").send().await;
                assert_eq!(
                    answer.body,
                    parts.concat().as_bytes(),
                    "{declared}: as it is"
                );
                app.settled().await;
                assert_eq!(
                    (app.calls(), app.stats().stored),
                    (call, 0),
                    "{declared} {parts:?}"
                );
            }
            app.done().await;
        }
    }
}

pub(crate) async fn sto_41_those_who_wait_never_get_a_short_body_for_a_whole_one() {
    for (declared, parts) in [("10", &["four"][..]), ("3", &["fo", "ur"])] {
        let gate = Gate::closed();
        let opened = gate.clone();
        let app = Site::replying(Policy::ttl(minutes(5)), move |ask| {
            let mut pieces = vec![Piece::Until(opened.clone())];
            pieces.extend(if ask.call == 1 {
                data(parts)
            } else {
                data(&["four"])
            });
            let reply = Reply::pieces(pieces);
            if ask.call == 1 {
                reply.header("content-length", declared)
            } else {
                reply
            }
        })
        .start();
        let asking: Vec<_> = (0..20).map(|_| tokio::spawn(app.get("/").send())).collect();
        eventually("all are here", || app.stats().misses == 20).await;
        others_run().await;
        gate.open();
        let mut whole = 0;
        for (n, answer) in asking.into_iter().enumerate() {
            let answer = answer.await.unwrap();
            // Their client is told how long it would have been, and that it broke off.
            assert!(
                n == 0 || answer.failed || answer.body == b"four",
                "{declared}: {answer:?}"
            );
            whole += u64::from(answer.body == b"four" && !answer.failed);
        }
        app.settled().await;
        assert!(whole > 0 || declared == "10");
        assert_eq!(app.get("/").send().await.text(), "four");
        app.done().await;
    }
}

pub(crate) async fn sto_42_a_body_that_breaks_off_at_any_frame_is_told_and_not_stored() {
    for declared in [None, Some("8")] {
        for fails_after in 0..=4 {
            for is_paused in [false, true] {
                let app = Site::replying(Policy::ttl(minutes(5)), move |ask| {
                    let mut pieces = data(&["ab", "cd", "ef", "gh"]);
                    if ask.call == 1 {
                        pieces.truncate(fails_after);
                        if is_paused {
                            pieces.insert(fails_after / 2, Piece::Pause);
                        }
                        pieces.push(Piece::Fail);
                    }
                    let reply = Reply::pieces(pieces);
                    match declared {
                        Some(length) => reply.header("content-length", length),
                        None => reply,
                    }
                })
                .start();
                let answer = app.get("/").send().await;
                assert!(answer.failed, "after {fails_after}: the client sees it");
                assert_eq!(answer.body, &b"abcdefgh"[..fails_after * 2]);
                app.settled().await;
                assert_eq!(app.stats().stored, 0);
                assert_eq!(app.get("/").send().await.text(), "abcdefgh");
                assert_eq!(app.get("/").send().await.text(), "abcdefgh");
                assert_eq!(app.calls(), 2);
                app.done().await;
            }
        }
    }
}

pub(crate) async fn sto_42_those_who_read_along_are_told_that_it_broke_off() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::replying(Policy::ttl(minutes(5)), move |ask| {
        let mut pieces = data(&["ab"]);
        if ask.call == 1 {
            pieces.extend([Piece::Until(opened.clone()), Piece::Fail]);
        } else {
            pieces.extend(data(&["cd"]));
        }
        Reply::pieces(pieces).header("content-length", "4")
    })
    .start();
    let asking: Vec<_> = (0..10).map(|_| tokio::spawn(app.get("/").send())).collect();
    eventually("all are here", || app.stats().misses == 10).await;
    others_run().await;
    gate.open();
    for answer in join_all(asking).await {
        let answer = answer.unwrap();
        assert!(answer.failed || answer.body == b"abcd", "{answer:?}");
    }
    app.settled().await;
    assert_eq!(app.get("/").send().await.text(), "abcd");
    assert!(app.calls() <= 3, "{}", app.calls());
    app.done().await;
}

pub(crate) async fn asy_09_events_of_a_stream_come_at_once_and_nobody_queues_behind_it() {
    for control in ["no-store", "public, max-age=60"] {
        let app = Site::replying(Policy::override_ttl(minutes(5)), move |ask| {
            Reply::pieces(vec![
                Piece::data(format!("data: {}\n\n", ask.call)),
                Piece::Wait(seconds(1)),
                Piece::data("data: later\n\n"),
                Piece::Until(Gate::closed()),
            ])
            .header("content-type", "text/event-stream")
            .control(control)
        })
        .start();
        let began = tokio::time::Instant::now();
        let mut first = app.get("/events").open().await;
        assert_eq!(first.data().await.unwrap().unwrap(), "data: 1\n\n");
        let mut second = app.get("/events").open().await;
        assert_eq!(second.data().await.unwrap().unwrap(), "data: 2\n\n");
        assert_eq!(
            began.elapsed(),
            Duration::ZERO,
            "{control}: nothing was held back"
        );
        assert_eq!(first.data().await.unwrap().unwrap(), "data: later\n\n");
        assert_eq!(app.stats().flights, 0, "while both streams go on");
        drop((first, second));
        app.done().await;
    }
}

pub(crate) async fn asy_09_a_stream_that_says_nothing_of_itself_passes_too() {
    let app = Site::replying(Policy::ttl(minutes(5)), move |ask| {
        Reply::pieces(vec![
            Piece::data(format!("{}", ask.call)),
            Piece::Wait(seconds(1)),
            Piece::data("later"),
            Piece::Until(Gate::closed()),
        ])
    })
    .start();
    let began = tokio::time::Instant::now();
    let mut first = app.get("/").open().await;
    assert_eq!(first.data().await.unwrap().unwrap(), "1");
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(first.data().await.unwrap().unwrap(), "later");
    assert_eq!(began.elapsed(), seconds(1));
    let mut second = app.get("/").open().await;
    assert_eq!(
        second.data().await.unwrap().unwrap(),
        "2",
        "within the wait limit"
    );
    assert!(began.elapsed() <= seconds(12));
    drop((first, second));
    pass(seconds(60)).await;
    app.settled().await;
    assert_eq!(app.stats().stored, 0);
    app.done().await;
}

pub(crate) async fn asy_24_a_client_that_leaves_at_any_frame_leaves_the_whole_body_or_nothing() {
    const WHOLE: &str = "0123456789";
    for declared in [None, Some("10")] {
        for reads in 0..=WHOLE.len() {
            let app = Site::replying(Policy::ttl(minutes(5)), move |_| {
                let reply =
                    Reply::pieces(paused(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]));
                match declared {
                    Some(length) => reply.header("content-length", length),
                    None => reply,
                }
            })
            .start();
            let mut leaving = app.get("/").open().await;
            let mut read = 0;
            while read < reads {
                let data = leaving.data().await.unwrap().unwrap();
                assert!(WHOLE.as_bytes()[read..].starts_with(&data));
                read += data.len();
            }
            drop(leaving);
            app.settled().await;
            assert_eq!(app.get("/").send().await.text(), WHOLE, "after {reads}");
            assert_eq!(app.calls(), 1, "it was taken in without its client");
            app.done().await;
        }
    }
}

pub(crate) async fn asy_24_a_client_that_leaves_a_body_too_large_ends_it() {
    let settings = Settings {
        max_body: Some(1024),
        ..Settings::default()
    };
    let app = Site::replying(Policy::ttl(minutes(5)), |_| {
        let endless = futures_util::stream::repeat_with(|| Bytes::from_static(&[b'x'; 100]));
        let frames = futures_util::StreamExt::then(endless, |data| async move {
            tokio::task::yield_now().await;
            Ok(http_body::Frame::data(data))
        });
        Reply::stream(frames)
    })
    .settings(settings)
    .start();
    for _ in 0..2 {
        let mut leaving = app.get("/").open().await;
        for _ in 0..50 {
            assert_eq!(leaving.data().await.unwrap().unwrap().len(), 100);
        }
    }
    app.settled().await;
    assert_eq!((app.calls(), app.stats().stored), (2, 0));
    app.done().await;
}

fn with_trailers(parts: &[&'static str]) -> Vec<Piece> {
    let mut pieces = data(parts);
    pieces.push(Piece::Trailers("grpc-status", "0"));
    pieces
}

pub(crate) async fn asy_26_trailers_are_kept_and_a_response_with_them_is_not_stored() {
    for is_paused in [false, true] {
        for lines in [
            &[][..],
            &[("trailer", "grpc-status")],
            &[("content-type", "application/grpc")],
        ] {
            let app = Site::replying(Policy::override_ttl(minutes(5)), move |ask| {
                let mut pieces = with_trailers(&["mess", "age"]);
                if is_paused {
                    pieces.insert(1, Piece::Pause);
                }
                let reply = Reply::pieces(pieces).headers(lines);
                if ask.method == http::Method::POST {
                    reply
                } else {
                    reply.control("public, max-age=60")
                }
            })
            .start();
            for n in 1..=2 {
                for request in [app.get("/svc"), app.post("/svc").body("x")] {
                    let answer = request.send().await;
                    assert_eq!(answer.text(), "message");
                    assert_eq!(
                        answer.trailers.as_ref().unwrap()["grpc-status"],
                        "0",
                        "{lines:?}"
                    );
                }
                app.settled().await;
                assert_eq!((app.calls(), app.stats().stored), (n * 2, 0));
            }
            app.done().await;
        }
    }
}

pub(crate) async fn asy_26_those_who_read_along_get_the_trailers() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::replying(Policy::ttl(minutes(5)), move |_| {
        let mut pieces = with_trailers(&["message"]);
        pieces.insert(1, Piece::Until(opened.clone()));
        Reply::pieces(pieces).header("content-length", "7")
    })
    .start();
    let asking: Vec<_> = (0..5).map(|_| tokio::spawn(app.get("/").send())).collect();
    eventually("all are here", || app.stats().misses == 5).await;
    others_run().await;
    gate.open();
    for answer in asking {
        let answer = answer.await.unwrap();
        assert_eq!(
            (answer.text(), answer.trailers.is_some()),
            ("message", true)
        );
    }
    app.settled().await;
    assert_eq!(app.stats().stored, 0);
    app.done().await;
}

/// Frames of 64 KiB, as many as make `mib` MiB.
fn large(mib: usize) -> Vec<Piece> {
    let frame = |n: usize| Piece::data(vec![b'a' + u8::try_from(n % 26).unwrap(); 64 * 1024]);
    (0..mib * 16)
        .flat_map(|n| [Piece::Pause, frame(n)])
        .collect()
}

async fn slow_leader(declared: bool) -> App {
    let settings = Settings {
        max_body: Some(8 << 20),
        ..Settings::default()
    };
    let app = Site::replying(Policy::ttl(minutes(5)), move |_| {
        let reply = Reply::pieces(large(4));
        if declared {
            reply.header("content-length", (4 << 20).to_string())
        } else {
            reply
        }
    })
    .settings(settings)
    .start();
    let leader = app.get("/").open().await;
    let followers: Vec<_> = (0..100)
        .map(|_| tokio::spawn(app.get("/").send()))
        .collect();
    for follower in followers {
        let answer = follower.await.unwrap();
        assert_eq!((answer.body.len(), answer.failed), (4 << 20, false));
    }
    app.settled().await;
    assert_eq!(app.stats().stored, 1, "though the leader read nothing");
    assert_eq!(app.get("/").send().await.body.len(), 4 << 20);
    let led = leader.rest().await;
    assert_eq!(
        (led.body.len(), led.failed),
        (4 << 20, false),
        "at its own speed"
    );
    assert_eq!(app.calls(), 1);
    app
}

pub(crate) async fn asy_38_a_leader_that_does_not_read_delays_nobody() {
    for declared in [true, false] {
        slow_leader(declared).await.done().await;
    }
}

pub(crate) async fn asy_38_a_follower_that_does_not_read_delays_nobody() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::replying(Policy::ttl(minutes(5)), move |_| {
        Reply::pieces(vec![
            Piece::data("begin"),
            Piece::Until(opened.clone()),
            Piece::data(" end"),
        ])
        .header("content-length", "9")
    })
    .start();
    let leader = app.get("/").open().await;
    let mut idle = app.get("/").open().await;
    assert_eq!((idle.length(), app.calls()), (Some(9), 1), "it reads along");
    assert_eq!(idle.data().await.unwrap().unwrap(), "begin");
    gate.open();
    assert_eq!(leader.rest().await.text(), "begin end");
    app.settled().await;
    assert_eq!(app.get("/").send().await.text(), "begin end");
    assert_eq!(idle.rest().await.text(), " end");
    app.done().await;
}

pub(crate) async fn asy_38_a_body_that_never_ends_is_given_up_after_its_time_and_its_client_is_not()
{
    let policy = Policy::ttl(minutes(5)).work_deadline(seconds(5));
    let app = Site::replying(policy, |ask: Ask| {
        Reply::pieces(vec![
            Piece::data(format!("{} begins", ask.call)),
            Piece::Wait(seconds(if ask.call == 1 { 60 } else { 0 })),
            Piece::data(", ends"),
        ])
    })
    .start();
    let slow = tokio::spawn(app.get("/").send());
    eventually("the first", || app.calls() == 1).await;
    assert_eq!(
        app.get("/").send().await.text(),
        "2 begins, ends",
        "after its turn was over"
    );
    assert_eq!(
        slow.await.unwrap().text(),
        "1 begins, ends",
        "whole, if late"
    );
    app.done().await;
}
