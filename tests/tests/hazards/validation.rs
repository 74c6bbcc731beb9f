//! Asking the origin whether what is stored is still good, and being asked that by clients.

use crate::support::{
    Answer, App, Ask, Gate, Origin, Piece, Policy, Reply, Settings, Site, eventually, hours,
    minutes, others_run, pass, seconds,
};
use cache_axum::ManualClock;
use cache_tower::Groups;
use futures_util::future::join_all;
use http::Method;
use proptest::prelude::*;
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

const FRESH: &str = "public, max-age=60";

fn fields() -> Policy {
    Policy::from_headers()
}

fn site(origin: &Origin, control: &'static str) -> Site {
    Site::replying(fields(), origin.handler(control))
}

/// What a client gets: status, body, ETag.
fn told(answer: &Answer) -> (u16, &str, &str) {
    (answer.status.as_u16(), answer.text(), answer.header("etag"))
}

const ONE: (u16, &str, &str) = (200, "one", "\"v1\"");
const TWO: (u16, &str, &str) = (200, "two", "\"v2\"");

pub(crate) async fn sto_51_a_client_that_did_not_ask_gets_the_whole_when_the_origin_says_304() {
    for (control, profile) in [
        (FRESH, fields()),
        ("max-age=60, must-revalidate", fields()),
        ("no-cache", fields()),
        ("max-age=0", fields()),
        (FRESH, Policy::standard()),
        ("", Policy::ttl(minutes(1))),
    ] {
        let app = Site::replying(profile, Origin::of("\"v1\"", "one").handler(control)).start();
        assert_eq!(told(&app.get("/").send().await), ONE);
        for call in 2..=4 {
            pass(seconds(61)).await;
            let answer = app.get("/").send().await;
            assert_eq!(told(&answer), ONE, "{control}");
            assert_eq!(answer.header("content-length"), "3");
            assert_eq!(
                (answer.header("age"), app.calls()),
                ("0", call),
                "{control}"
            );
            assert_eq!(app.saw(call).header("if-none-match"), "\"v1\"");
        }
        app.done().await;
    }
}

/// A page that is told by its date, and answers 304 to who has it.
fn dated(lines: &'static [(&'static str, &'static str)]) -> impl Fn(Ask) -> Reply + Send + Sync {
    move |ask| {
        let reply = if ask.header("if-modified-since") == LONG_AGO {
            Reply::text("").status(304)
        } else {
            Reply::text("one")
        };
        reply.control(FRESH).headers(lines)
    }
}

const LONG_AGO: &str = "Sat, 01 Jan 2000 00:00:00 GMT";

pub(crate) async fn sto_51_every_validator_there_is_is_asked_by_as_it_came() {
    for (lines, none_match) in [
        (&[("last-modified", LONG_AGO)][..], ""),
        (
            &[("last-modified", LONG_AGO), ("etag", "W/\"v1\"")],
            "W/\"v1\"",
        ),
        (
            &[("last-modified", LONG_AGO), ("etag", "unquoted")],
            "unquoted",
        ),
    ] {
        let app = Site::replying(fields(), dated(lines)).start();
        assert_eq!(app.get("/").send().await.text(), "one");
        pass(seconds(61)).await;
        let answer = app.get("/").send().await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (200, "one"),
            "{lines:?}"
        );
        let saw = app.saw(2);
        assert_eq!(saw.header("if-modified-since"), LONG_AGO);
        assert_eq!(saw.header("if-none-match"), none_match);
        assert_eq!(app.get("/").send().await.text(), "one");
        assert_eq!(app.calls(), 2);
        app.done().await;
    }
}

pub(crate) async fn sto_51_a_304_renews_the_fields_and_leaves_what_frames_the_body() {
    let app = Site::replying(fields(), |ask| {
        match ask.call {
            1 => Reply::text("one")
                .control("max-age=60")
                .header("content-type", "text/plain")
                .header("x-a", "1")
                .header("x-a", "2")
                .header("x-b", "kept"),
            _ => Reply::text("")
                .status(304)
                .control("max-age=600")
                .header("content-length", "0")
                .header("content-encoding", "gzip")
                .header("content-range", "bytes 0-0/1")
                .header("x-a", "3")
                .header("connection", "x-hop")
                .header("x-hop", "1"),
        }
        .header("etag", "\"v1\"")
    })
    .start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    for age in [0, 599] {
        pass(seconds(age)).await;
        let answer = app.get("/").send().await;
        assert_eq!(told(&answer), ONE);
        assert_eq!(answer.header("content-length"), "3");
        assert_eq!(answer.header("content-type"), "text/plain");
        assert_eq!(
            (answer.all("x-a"), answer.all("x-b")),
            (vec!["3"], vec!["kept"])
        );
        for name in ["content-encoding", "content-range", "x-hop"] {
            assert_eq!(answer.all(name), [""; 0], "{name}");
        }
        assert_eq!(app.calls(), 2);
    }
    app.done().await;
}

pub(crate) async fn sto_51_a_304_that_nobody_asked_for_is_no_answer_where_something_is_stored() {
    // Without a validator nothing can be asked; the origin says 304 all the same.
    let app = Site::replying(fields(), |ask| {
        match ask.call {
            2 => Reply::text("").status(304),
            call => Reply::text(format!("page {call}")),
        }
        .control("max-age=60, stale-if-error=600")
    })
    .start();
    assert_eq!(app.get("/").send().await.text(), "page 1");
    pass(seconds(61)).await;
    let answer = app.get("/").send().await;
    assert!(app.saw(2).is_plain());
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "page 1"));
    app.done().await;
}

pub(crate) async fn sto_51_a_304_that_nobody_asked_for_is_none_in_any_shape() {
    for etag in ["", "\"v1\""] {
        for (method, lines, status, body) in [
            (Method::GET, &[][..], 200, "one"),
            (Method::HEAD, &[], 200, ""),
            (Method::GET, &[("range", "bytes=0-1")], 206, "on"),
            (Method::GET, &[("cache-control", "no-cache")], 200, "one"),
            (Method::HEAD, &[("cache-control", "no-cache")], 200, ""),
        ] {
            let app = Site::replying(fields(), move |ask| {
                let reply = match ask.call {
                    1 => Reply::text("one"),
                    _ => Reply::text("").status(304),
                };
                let reply = reply.control("max-age=60, stale-if-error=600");
                match etag {
                    "" => reply,
                    etag => reply.header("etag", etag),
                }
            })
            .start();
            app.get("/").send().await;
            pass(seconds(61)).await;
            let request = app.request(method.clone(), "/");
            let request = lines.iter().fold(request, |request, (name, value)| {
                request.header(name, value)
            });
            let answer = request.send().await;
            let got = (answer.status.as_u16(), answer.text());
            assert_eq!(got, (status, body), "{method} {lines:?} {etag}");
            assert_eq!(app.calls(), 2);
            app.done().await;
        }
    }
}

pub(crate) async fn sto_51_a_304_where_nothing_is_stored_is_kept_for_nobody() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::of(Policy::override_ttl(minutes(5)), move |ask: Ask| {
        let gate = opened.clone();
        async move {
            gate.opened().await;
            let reply = match ask.call {
                1 => Reply::text("").status(304),
                call => Reply::text(format!("page {call}")),
            };
            reply.control(FRESH).header("etag", "\"v1\"")
        }
    })
    .start();
    let first = tokio::spawn(app.get("/").send());
    eventually("the first", || app.calls() == 1).await;
    let others: Vec<_> = (0..20).map(|_| tokio::spawn(app.get("/").send())).collect();
    eventually("all are here", || app.stats().misses == 21).await;
    gate.open();
    first.await.unwrap();
    for answer in join_all(others).await {
        let answer = answer.unwrap();
        assert_eq!(
            answer.status.as_u16(),
            200,
            "its own 304 is the first one's alone"
        );
        assert!(answer.text().starts_with("page "));
    }
    assert_eq!(app.get("/").send().await.status.as_u16(), 200);
    app.done().await;
}

pub(crate) async fn sto_51_a_304_about_another_version_renews_nothing() {
    // RFC 9111 §4.3.4: such a 304 must not be used to update what is stored.
    for etag in ["\"v2\"", "\"V1\"", "W/\"v2\""] {
        let app = Site::replying(fields(), move |ask| match ask.call {
            1 => Reply::text("one").control(FRESH).header("etag", "\"v1\""),
            2 => Reply::text("")
                .status(304)
                .control("public, max-age=600")
                .header("x-new", "1")
                .header("etag", etag),
            _ => Reply::text("two").control(FRESH).header("etag", "\"v2\""),
        })
        .start();
        app.get("/").send().await;
        pass(seconds(61)).await;
        let answer = app.get("/").send().await;
        match answer.status.as_u16() {
            // What it is given is what it is labelled as.
            200 => assert_eq!(told(&answer), ONE, "{etag}"),
            status => assert_eq!((status, answer.text()), (502, ""), "{etag}"),
        }
        let next = app.get("/").send().await;
        assert_eq!(told(&next), TWO, "{etag}: it is not fresh by that");
        assert_eq!(app.calls(), 3);
        app.done().await;
    }
}

pub(crate) async fn sto_51_the_clients_own_condition_is_judged_by_what_was_validated() {
    for (condition, status, body) in [
        ("\"v1\"", 304, ""),
        ("W/\"v1\"", 304, ""),
        ("\"v0\", \"v1\"", 304, ""),
        ("*", 304, ""),
        ("\"v0\"", 200, "one"),
    ] {
        let app = site(&Origin::of("\"v1\"", "one"), FRESH).start();
        app.get("/").send().await;
        pass(seconds(61)).await;
        let answer = app.get("/").header("if-none-match", condition).send().await;
        assert_eq!(told(&answer), (status, body, "\"v1\""), "{condition}");
        assert_eq!(
            told(&app.get("/").send().await),
            ONE,
            "it is fresh again for all"
        );
        assert_eq!(app.calls(), 2, "{condition}");
        app.done().await;
    }
    let origin = Origin::of("\"v1\"", "one");
    let app = site(&origin, FRESH).start();
    app.get("/").send().await;
    origin.becomes("\"v2\"", "two");
    pass(seconds(61)).await;
    let answer = app.get("/").header("if-none-match", "\"v1\"").send().await;
    assert_eq!(told(&answer), TWO, "it has an old one");
    let answer = app.get("/").header("if-none-match", "\"v2\"").send().await;
    assert_eq!(told(&answer), (304, "", "\"v2\""));
    assert_eq!(app.calls(), 2);
    app.done().await;
}

pub(crate) async fn sto_51_a_304_to_one_clients_condition_is_given_to_nobody_else() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let origin = Origin::of("\"v1\"", "one");
    let app = Site::of(fields(), move |ask: Ask| {
        let (gate, origin) = (opened.clone(), origin.clone());
        async move {
            gate.opened().await;
            origin.reply(&ask).control(FRESH)
        }
    })
    .start();
    let conditional = app.get("/").header("if-none-match", "\"v1\"");
    let conditional = tokio::spawn(conditional.send());
    eventually("the conditional one", || app.calls() == 1).await;
    let plain: Vec<_> = (0..20).map(|_| tokio::spawn(app.get("/").send())).collect();
    eventually("all are here", || app.stats().misses == 21).await;
    gate.open();
    assert_eq!(told(&conditional.await.unwrap()), (304, "", "\"v1\""));
    for answer in join_all(plain).await {
        assert_eq!(told(&answer.unwrap()), ONE);
    }
    assert_eq!(told(&app.get("/").send().await), ONE);
    assert_eq!(app.calls(), 2);
    app.done().await;
}

pub(crate) async fn sto_51_one_validation_answers_each_in_the_shape_it_asked_for() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let origin = Origin::of("\"v1\"", "0123456789");
    let app = Site::of(fields(), move |ask: Ask| {
        let (gate, origin) = (opened.clone(), origin.clone());
        async move {
            if ask.call > 1 {
                gate.opened().await;
            }
            origin.reply(&ask).control(FRESH)
        }
    })
    .start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    let ask = |lines: &[(&str, &str)]| {
        let request = lines.iter().fold(app.get("/"), |request, (name, value)| {
            request.header(name, value)
        });
        tokio::spawn(request.send())
    };
    let asking: Vec<_> = (0..10)
        .flat_map(|_| {
            [
                (ask(&[]), (200, "0123456789")),
                (ask(&[("if-none-match", "\"v1\"")]), (304, "")),
                (ask(&[("if-none-match", "\"v0\"")]), (200, "0123456789")),
                (ask(&[("range", "bytes=2-3")]), (206, "23")),
                (ask(&[("range", "bytes=20-")]), (416, "")),
                (
                    ask(&[("range", "bytes=2-3"), ("if-range", "\"v0\"")]),
                    (200, "0123456789"),
                ),
            ]
        })
        .collect();
    eventually("all are here", || app.stats().misses == 61).await;
    others_run().await;
    gate.open();
    for (answer, expected) in asking {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text()), expected);
    }
    assert_eq!(app.calls(), 2);
    app.done().await;
}

pub(crate) async fn sto_52_if_none_match_is_compared_weakly_and_exactly() {
    for (etag, lines, is_known) in [
        ("\"v1\"", &["\"v1\""][..], true),
        ("\"v1\"", &["W/\"v1\""], true),
        ("W/\"v1\"", &["\"v1\""], true),
        ("W/\"v1\"", &["W/\"v1\""], true),
        ("\"v1\"", &["*"], true),
        ("\"v1\"", &[" * "], true),
        ("\"v1\"", &["\"v0\", W/\"v1\" ,\"v2\""], true),
        ("\"v1\"", &["\"v0\"", "\"v1\""], true),
        ("\"v1\"", &["\"v0\",,,\"v1\""], true),
        ("\"v1\"", &[",\"v1\","], true),
        ("\"a,b\"", &["\"x\", \"a,b\""], true),
        ("\"a,b\"", &["\"a", "b\""], false),
        ("\"v1\"", &["\"v\""], false),
        ("\"v1\"", &["\"v11\""], false),
        ("\"v1\"", &["\"V1\""], false),
        ("\"v1\"", &["v1"], false),
        ("\"v1\"", &["'v1'"], false),
        ("\"v1\"", &["\" v1\""], false),
        ("\"v1\"", &["\"v1\\\""], false),
        ("\"v1\"", &["w/\"v1\""], false),
        ("\"v1\"", &["W/ \"v1\""], false),
        ("\"v1\"", &["\"v1"], false),
        ("\"v1\"", &["v1\""], false),
        ("\"v1\"", &["\""], false),
        ("\"v1\"", &["\"v0, \"v1\""], false),
        ("\"v1\"", &["*, \"v2\""], false),
        ("\"v1\"", &["*", "\"v2\""], false),
        ("\"v1\"", &["\"*\""], false),
        ("\"v1\"", &[""], false),
        ("\"\"", &["\"\""], true),
        ("\"\"", &[""], false),
        ("\"\"", &["\"v1\""], false),
    ] {
        let origin = Origin::of(etag, "one");
        // The origin itself is asked once; conditions are the store's to judge.
        let app = site(&origin, FRESH).start();
        assert_eq!(app.get("/").send().await.text(), "one");
        let request = lines.iter().fold(app.get("/"), |request, line| {
            request.header("if-none-match", line)
        });
        let answer = request.send().await;
        let expected = if is_known {
            (304, "", etag)
        } else {
            (200, "one", etag)
        };
        assert_eq!(told(&answer), expected, "{etag} {lines:?}");
        let head = lines.iter().fold(app.head("/"), |request, line| {
            request.header("if-none-match", line)
        });
        assert_eq!(head.send().await.status.as_u16(), expected.0, "as to HEAD");
        assert_eq!(app.calls(), 1);
        app.done().await;
    }
}

pub(crate) async fn sto_52_if_none_match_takes_the_place_of_if_modified_since() {
    let lines: &[(&str, &str)] = &[("etag", "\"v1\""), ("last-modified", LONG_AGO)];
    let app = Site::replying(fields(), dated(lines)).start();
    app.get("/").send().await;
    for (none_match, since, status) in [
        ("\"v1\"", "Fri, 01 Jan 1999 00:00:00 GMT", 304),
        ("\"v0\"", LONG_AGO, 200),
        ("junk", LONG_AGO, 200),
        ("", LONG_AGO, 200),
    ] {
        let request = app.get("/").header("if-none-match", none_match);
        let answer = request.header("if-modified-since", since).send().await;
        assert_eq!(answer.status.as_u16(), status, "{none_match}");
    }
    for (since, status) in [
        (LONG_AGO, 304),
        ("Sat, 01 Jan 2000 00:00:01 GMT", 304),
        ("Saturday, 01-Jan-00 00:00:00 GMT", 304),
        ("Sat Jan  1 00:00:00 2000", 304),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 200),
        ("Sat, 01 Jan 2000 00:00:00", 200),
        ("0", 200),
        ("", 200),
    ] {
        let answer = app.get("/").header("if-modified-since", since).send().await;
        assert_eq!(answer.status.as_u16(), status, "{since}");
    }
    assert_eq!(app.calls(), 1);
    app.done().await;
}

pub(crate) async fn sto_52_a_304_says_what_the_200_would_have_and_nothing_of_the_body() {
    let app = Site::replying(fields(), |_| {
        Reply::text("one")
            .control(FRESH)
            .header("etag", "\"v1\"")
            .header("vary", "accept")
            .header("content-location", "/one")
            .header("expires", "Fri, 01 Jan 2100 00:00:00 GMT")
            .header("content-type", "text/plain")
            .header("content-language", "en")
    })
    .start();
    app.get("/").send().await;
    let full = app.get("/").send().await;
    assert_eq!(told(&full), ONE);
    for request in [app.get("/"), app.head("/")] {
        let answer = request.header("if-none-match", "\"v1\"").send().await;
        assert_eq!(told(&answer), (304, "", "\"v1\""));
        // RFC 9110 §15.4.5.
        for name in [
            "cache-control",
            "content-location",
            "date",
            "etag",
            "expires",
            "vary",
        ] {
            assert_eq!(answer.all(name), full.all(name), "{name}");
        }
        for name in ["content-length", "content-type", "content-language"] {
            assert_eq!(answer.all(name), [""; 0], "{name}");
        }
    }
    assert_eq!(app.calls(), 1);
    app.done().await;
}

pub(crate) async fn sto_52_a_thousand_tags_and_a_million_are_read_once() {
    let app = site(&Origin::of("\"v1\"", "one"), FRESH).start();
    app.get("/").send().await;
    // To compare each of a million tags with each other would not end.
    for many in [1000, 1_000_000] {
        let others: Vec<_> = (0..many)
            .map(|n| format!("{}\"x{n}\"", if n % 2 == 0 { "W/" } else { "" }))
            .collect();
        let list = others.join(", ");
        for (list, expected) in [
            (list.clone(), ONE),
            (format!("{list}, \"v1\""), (304, "", "\"v1\"")),
            (format!("W/\"v1\", {list}"), (304, "", "\"v1\"")),
            (format!("\"{list}, \"v1\""), ONE),
            ("\"".repeat(many), ONE),
            (",".repeat(many), ONE),
            ("W/".repeat(many), ONE),
        ] {
            let answer = app.get("/").header("if-none-match", list).send().await;
            assert_eq!(told(&answer), expected);
        }
    }
    let lines = (0..1000).fold(app.get("/"), |request, n| {
        request.header("if-none-match", format!("\"x{n}\""))
    });
    let answer = lines.header("if-none-match", "\"v1\"").send().await;
    assert_eq!(told(&answer), (304, "", "\"v1\""));
    assert_eq!(app.calls(), 1);
    app.done().await;
}

pub(crate) async fn sto_52_a_thousand_tags_are_not_passed_on_when_the_cache_asks() {
    let app = site(&Origin::of("\"v1\"", "one"), FRESH).start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    let list: Vec<_> = (0..1000).map(|n| format!("\"x{n}\"")).collect();
    let request = app.get("/").header("if-none-match", list.join(", "));
    assert_eq!(told(&request.send().await), ONE);
    let offered = app.saw(2).header("if-none-match");
    assert!(offered.contains("\"v1\""), "{offered}");
    assert_eq!((app.calls(), app.get("/").send().await.text()), (2, "one"));
    app.done().await;
}

fn runs<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(test)
}

/// An entity tag: whether it is weak, and what is between its quotes.
fn tag() -> impl Strategy<Value = (bool, String)> {
    (any::<bool>(), "[a-b,W/*\\\\]{0,3}")
}

fn write_tag((is_weak, opaque): &(bool, String)) -> String {
    format!("{}\"{opaque}\"", if *is_weak { "W/" } else { "" })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn sto_52_any_list_of_tags_is_compared_weakly(
        stored in tag(), listed in prop::collection::vec(tag(), 1..6), separator in "[ \t]{0,2},[ ,\t]{0,3}",
    ) {
        runs(async move {
            let etag = write_tag(&stored);
            let app = Site::replying(fields(), {
                let etag = etag.clone();
                move |_| Reply::text("one").control(FRESH).header("etag", &etag)
            })
            .start();
            app.get("/").send().await;
            let list: Vec<_> = listed.iter().map(write_tag).collect();
            let request = app.get("/").header("if-none-match", list.join(&separator));
            let is_known = listed.iter().any(|(_, opaque)| *opaque == stored.1);
            let status = if is_known { 304 } else { 200 };
            let answer = request.send().await;
            assert_eq!(answer.status.as_u16(), status, "{etag} in {list:?}");
            assert_eq!(app.calls(), 1);
            app.done().await;
        });
    }

    #[test]
    fn sto_52_no_text_breaks_it(
        etag in "[\"*W/a,\\\\ ]{0,6}",
        name in prop::sample::select(vec![
            "if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range",
        ]),
        text in "[\"*W/a,\\\\ 0-9:A-Za-z\\x80-\\xff]{0,30}",
    ) {
        runs(async move {
            let app = Site::replying(fields(), move |_| {
                Reply::text("one").control(FRESH).header("etag", &etag)
            })
            .start();
            app.get("/").send().await;
            let bytes: Vec<u8> = text.chars().map(|c| c as u8).collect();
            let request = app.get("/").header(name, bytes.clone());
            let answer = request.header("range", "bytes=0-0").send().await;
            match answer.status.as_u16() {
                200 => assert_eq!(answer.text(), "one"),
                206 => assert_eq!(answer.text(), "o"),
                status => assert_eq!((status, answer.text()), (304, "")),
            }
            pass(seconds(61)).await;
            let answer = app.get("/").header(name, bytes).send().await;
            assert!(matches!(answer.status.as_u16(), 200 | 304), "{answer:?}");
            app.done().await;
        });
    }
}

/// An origin that answers after a second, and knows how many it is answering at most.
fn counting(origin: &Origin, control: &'static str) -> (Site, Arc<AtomicU64>) {
    let (origin, most, now) = (
        origin.clone(),
        Arc::<AtomicU64>::default(),
        Arc::<AtomicU64>::default(),
    );
    let counted = Arc::clone(&most);
    let site = Site::of(fields(), move |ask: Ask| {
        let (origin, most, now) = (origin.clone(), Arc::clone(&counted), Arc::clone(&now));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(seconds(1)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            origin.reply(&ask).control(control)
        }
    });
    (site, most)
}

async fn insist(app: &App, many: usize) -> Vec<Answer> {
    let asking: Vec<_> = (0..many)
        .map(|n| {
            let (name, value) = match n % 3 {
                0 => ("cache-control", "no-cache"),
                1 => ("cache-control", "max-age=0"),
                _ => ("pragma", "no-cache"),
            };
            tokio::spawn(app.get("/").header(name, value).send())
        })
        .collect();
    join_all(asking)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

pub(crate) async fn sto_56_of_many_clients_that_insist_one_at_a_time_has_it_validated() {
    let (site, most) = counting(&Origin::of("\"v1\"", "one"), FRESH);
    let app = site.start();
    app.get("/").send().await;
    for wave in 1..=3 {
        for answer in insist(&app, 200).await {
            assert_eq!(told(&answer), ONE);
        }
        assert_eq!(most.load(Ordering::SeqCst), 1, "at most one in flight");
        assert_eq!(app.calls(), 1 + wave, "one for all who asked at once");
        assert_eq!(app.saw(1 + wave).header("if-none-match"), "\"v1\"");
    }
    assert_eq!(told(&app.get("/").send().await), ONE);
    assert_eq!(app.calls(), 4);
    app.done().await;
}

pub(crate) async fn sto_56_of_many_clients_that_insist_all_get_the_new_version() {
    let origin = Origin::of("\"v1\"", "one");
    let (site, most) = counting(&origin, FRESH);
    let app = site.start();
    app.get("/").send().await;
    origin.becomes("\"v2\"", "two");
    for answer in insist(&app, 200).await {
        assert_eq!(told(&answer), TWO);
    }
    assert_eq!((most.load(Ordering::SeqCst), app.calls()), (1, 2));
    assert_eq!(told(&app.get("/").send().await), TWO);
    app.done().await;
}

pub(crate) async fn sto_56_who_does_not_insist_gets_what_is_fresh_while_others_have_it_validated() {
    let (site, most) = counting(&Origin::of("\"v1\"", "one"), FRESH);
    let app = site.start();
    app.get("/").send().await;
    let insisting = app.clone();
    let insisting = tokio::spawn(async move { insist(&insisting, 50).await });
    eventually("the validation", || app.calls() == 2).await;
    let began = tokio::time::Instant::now();
    for _ in 0..50 {
        assert_eq!(told(&app.get("/").send().await), ONE);
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(
        insisting
            .await
            .unwrap()
            .iter()
            .all(|answer| told(answer) == ONE)
    );
    assert_eq!((most.load(Ordering::SeqCst), app.calls()), (1, 2));
    app.done().await;
}

pub(crate) async fn sto_56_a_stale_page_is_validated_once_for_all_who_ask_at_once() {
    let (site, most) = counting(&Origin::of("\"v1\"", "one"), FRESH);
    let app = site.start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    let asking: Vec<_> = (0..200)
        .map(|_| tokio::spawn(app.get("/").send()))
        .collect();
    for answer in join_all(asking).await {
        assert_eq!(told(&answer.unwrap()), ONE);
    }
    assert_eq!((most.load(Ordering::SeqCst), app.calls()), (1, 2));
    app.done().await;
}

pub(crate) async fn sto_56_what_must_be_validated_each_time_is_validated_for_each_and_sent_once() {
    for control in [
        "no-cache",
        "max-age=0, must-revalidate",
        "private=\"x\", no-cache",
    ] {
        let app = site(&Origin::of("\"v1\"", "one"), control).start();
        for call in 1..=5 {
            assert_eq!(told(&app.get("/").send().await), ONE, "{control}");
            assert_eq!(app.calls(), call, "{control}");
            if call > 1 {
                assert_eq!(app.saw(call).header("if-none-match"), "\"v1\"");
            }
        }
        app.done().await;
    }
}

/// Validates by its tag; the calls in `failing` fail.
fn failing(
    control: &'static str,
    status: u16,
    failing: std::ops::RangeInclusive<u64>,
) -> impl Fn(Ask) -> Reply + Send + Sync {
    let origin = Origin::of("\"v1\"", "one");
    move |ask| {
        if failing.contains(&ask.call) {
            return Reply::text("down").status(status);
        }
        origin.reply(&ask).control(control)
    }
}

pub(crate) async fn sto_26_a_failed_validation_leaves_what_is_stored() {
    for status in [500, 502, 503, 504] {
        let control = "public, max-age=10, stale-if-error=60";
        let app = Site::replying(fields(), failing(control, status, 2..=2)).start();
        app.get("/").send().await;
        pass(seconds(11)).await;
        let stale = app.get("/").send().await;
        assert_eq!(told(&stale), ONE, "{status}");
        assert_eq!((stale.header("age"), app.calls()), ("11", 2));
        assert_eq!(app.saw(2).header("if-none-match"), "\"v1\"");
        let mine = app.get("/").header("if-none-match", "\"v1\"").send().await;
        assert_eq!(
            told(&mine),
            (304, "", "\"v1\""),
            "{status}: stale in its shape"
        );
        pass(seconds(6)).await;
        let renewed = app.get("/").send().await;
        assert_eq!((told(&renewed), renewed.header("age")), (ONE, "0"));
        assert_eq!(
            app.saw(3).header("if-none-match"),
            "\"v1\"",
            "it is still there to ask about"
        );
        assert_eq!(app.calls(), 3);
        app.done().await;
    }
}

pub(crate) async fn sto_26_past_every_window_a_failed_validation_is_told_and_the_next_is_one_again()
{
    let app = Site::replying(fields(), failing(FRESH, 500, 2..=3)).start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    for call in 2..=3 {
        let failed = app.get("/").send().await;
        assert_eq!((failed.status.as_u16(), failed.text()), (500, "down"));
        assert_eq!(app.saw(call).header("if-none-match"), "\"v1\"");
    }
    assert_eq!(told(&app.get("/").send().await), ONE);
    assert_eq!(
        app.saw(4).header("if-none-match"),
        "\"v1\"",
        "nothing was lost"
    );
    assert_eq!(app.calls(), 4);
    app.done().await;
}

pub(crate) async fn sto_26_a_new_version_that_breaks_off_does_not_displace_the_old() {
    for is_paused in [false, true] {
        let app = Site::replying(fields(), move |ask| {
            match ask.call {
                1 => Reply::text("one").header("etag", "\"v1\""),
                2 => {
                    let mut pieces = vec![Piece::data("tw"), Piece::Fail];
                    if is_paused {
                        pieces.insert(1, Piece::Pause);
                    }
                    Reply::pieces(pieces).header("etag", "\"v2\"")
                }
                _ => Origin::of("\"v1\"", "one").reply(&ask),
            }
            .control(FRESH)
        })
        .start();
        app.get("/").send().await;
        pass(seconds(61)).await;
        let cut = app.get("/").send().await;
        assert!(cut.failed && b"tw".starts_with(&cut.body), "{cut:?}");
        app.settled().await;
        assert_eq!(told(&app.get("/").send().await), ONE);
        assert_eq!(app.saw(3).header("if-none-match"), "\"v1\"");
        assert_eq!(app.calls(), 3);
        app.done().await;
    }
}

pub(crate) async fn sto_17_where_stale_is_forbidden_a_failed_validation_is_told() {
    for directive in [
        "must-revalidate",
        "proxy-revalidate",
        "s-maxage=9",
        "no-cache",
    ] {
        let control = format!("public, max-age=9, stale-if-error=900, {directive}").leak();
        for policy in [
            Policy::ttl(minutes(1))
                .stale_if_error(hours(1))
                .stale_while_revalidate(hours(1)),
            Policy::standard().stale_if_error(hours(1)),
        ] {
            let app = Site::replying(policy, failing(control, 500, 2..=4)).start();
            app.get("/").send().await;
            pass(seconds(10)).await;
            for lines in [
                &[][..],
                &[("cache-control", "max-stale")],
                &[("cache-control", "stale-if-error=900")],
            ] {
                let request = lines.iter().fold(app.get("/"), |request, (name, value)| {
                    request.header(name, value)
                });
                let failed = request.send().await;
                let got = (failed.status.as_u16(), failed.text());
                assert_eq!(got, (500, "down"), "{directive} {lines:?}");
            }
            assert_eq!(told(&app.get("/").send().await), ONE, "{directive}");
            assert_eq!(app.calls(), 5);
            app.done().await;
        }
    }
}

pub(crate) async fn sto_17_a_304_that_withdraws_is_the_last_of_what_is_stored() {
    for control in [
        "no-store",
        "private",
        "public, max-age=60, no-store",
        "max-age=60, x=\"",
    ] {
        let origin = Origin::of("\"v1\"", "one");
        let policy = Policy::ttl(minutes(1)).stale_if_error(hours(1));
        let app = Site::replying(policy, move |ask: Ask| {
            let given = if ask.call == 1 { FRESH } else { control };
            origin.reply(&ask).control(given)
        })
        .start();
        app.get("/").send().await;
        pass(seconds(61)).await;
        for call in 2..=4 {
            let answer = app.get("/").send().await;
            assert_eq!(told(&answer), ONE, "{control}: confirmed for this one");
            assert_eq!(answer.header("cache-control"), control);
            assert_eq!(app.calls(), call, "{control}");
        }
        app.done().await;
    }
}

pub(crate) async fn sto_51_what_a_304_confirmed_for_one_is_given_in_the_shape_that_was_asked_for() {
    for control in ["no-store", "private"] {
        for (name, value, status, body) in [
            ("if-none-match", "\"v1\"", 304, ""),
            ("if-none-match", "\"v0\"", 200, "one"),
            ("range", "bytes=0-1", 206, "on"),
            ("range", "bytes=9-", 416, ""),
            ("x-plain", "", 200, "one"),
        ] {
            let origin = Origin::of("\"v1\"", "one");
            let app = Site::replying(fields(), move |ask: Ask| {
                let given = if ask.call == 1 { FRESH } else { control };
                origin.reply(&ask).control(given)
            })
            .start();
            app.get("/").send().await;
            pass(seconds(61)).await;
            let answer = app.get("/").header(name, value).send().await;
            let got = (answer.status.as_u16(), answer.text());
            assert_eq!(got, (status, body), "{control} {name} {value}");
            let length = answer.header("content-length");
            assert!(
                length.is_empty() || length == body.len().to_string(),
                "{length}"
            );
            assert_eq!(app.saw(2).header("if-none-match"), "\"v1\"");
            app.done().await;
        }
    }
}

pub(crate) async fn sto_03_a_cookie_that_a_304_sets_is_set_for_one() {
    for policy in [
        fields(),
        Policy::ttl(minutes(1)),
        Policy::override_ttl(minutes(1)),
    ] {
        let origin = Origin::of("\"v1\"", "one");
        let app = Site::replying(policy, move |ask: Ask| {
            let reply = origin.reply(&ask).control(FRESH);
            match ask.call {
                2 => reply.header("set-cookie", "sid=alice"),
                _ => reply,
            }
        })
        .start();
        app.get("/").send().await;
        pass(seconds(61)).await;
        let alice = app.get("/").send().await;
        assert_eq!(told(&alice), ONE);
        assert_eq!(alice.header("set-cookie"), "sid=alice", "it is hers");
        for _ in 0..3 {
            let other = app.get("/").send().await;
            assert_eq!((told(&other), other.header("set-cookie")), (ONE, ""));
        }
        app.done().await;
    }
}

pub(crate) async fn sto_17_a_client_may_take_it_stale_and_no_staler_than_it_says() {
    let app = site(&Origin::of("\"v1\"", "one"), "max-age=60").start();
    app.get("/").send().await;
    pass(seconds(90)).await;
    let takes = |limit: &str| app.get("/").header("cache-control", limit);
    for limit in ["max-stale", "max-stale=30", "max-stale=999, max-age=90"] {
        let answer = takes(limit).send().await;
        assert_eq!(
            (told(&answer), answer.header("age")),
            (ONE, "90"),
            "{limit}"
        );
    }
    assert_eq!(app.calls(), 1);
    for (call, limit) in [
        (2, "max-stale=29"),
        (3, "max-stale=999, max-age=89"),
        (4, "max-stale=x"),
    ] {
        let answer = takes(limit).send().await;
        assert_eq!((told(&answer), answer.header("age")), (ONE, "0"), "{limit}");
        assert_eq!(app.calls(), call, "{limit}");
        pass(seconds(90)).await;
    }
    app.done().await;
}

pub(crate) async fn sto_15_a_heuristic_lifetime_is_a_tenth_and_then_it_is_validated() {
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH + hours(24 * 365 * 40));
    let settings = Settings {
        clock: Some(clock.clone()),
        ..Settings::default()
    };
    // Unchanged for a hundred hours.
    let modified = "Thu, 17 Dec 2009 20:00:00 GMT";
    let app = Site::replying(fields(), move |ask| {
        let is_known = ask.header("if-modified-since") == modified;
        let reply = if is_known {
            Reply::text("").status(304)
        } else {
            Reply::text("one")
        };
        reply.header("last-modified", modified)
    })
    .settings(settings)
    .start();
    assert_eq!(app.get("/").send().await.text(), "one");
    clock.advance(hours(10) - seconds(1));
    assert_eq!(app.get("/").send().await.text(), "one");
    assert_eq!(app.calls(), 1);
    clock.advance(seconds(1));
    let validated = app.get("/").send().await;
    assert_eq!((validated.status.as_u16(), validated.text()), (200, "one"));
    assert_eq!(
        (app.calls(), app.saw(2).header("if-modified-since")),
        (2, modified.to_owned())
    );
    clock.advance(hours(11) - seconds(1));
    assert_eq!(app.get("/").send().await.text(), "one");
    assert_eq!(app.calls(), 2, "it has not changed for longer now");
    app.done().await;
}

pub(crate) async fn sto_37_a_304_that_names_no_groups_takes_nothing_out_of_them() {
    for purge in ["route", "handler", "field", "all"] {
        let origin = Origin::of("\"v1\"", "one");
        let app = Site::replying(Policy::from_headers().group("route"), move |ask: Ask| {
            let mut reply = origin.reply(&ask).control(FRESH);
            if ask.call == 1 {
                Groups::new(["handler"]).put(reply.response.extensions_mut());
                reply = reply.header("cache-groups", "\"field\"");
            }
            if ask.method == Method::POST {
                reply = Reply::text("").header("cache-group-invalidation", "\"field\"");
            }
            reply
        })
        .start();
        app.get("/").send().await;
        for call in 2..=3 {
            pass(seconds(61)).await;
            assert_eq!(told(&app.get("/").send().await), ONE);
            assert_eq!(app.calls(), call, "validated");
        }
        match purge {
            "field" => drop(app.post("/other").send().await),
            "all" => app.purger().all().await,
            group => app.purger().group(group).await,
        }
        let calls = app.calls();
        assert_eq!(told(&app.get("/").send().await), ONE);
        assert_eq!(app.calls(), calls + 1, "{purge}: it was removed");
        assert!(app.saw(calls + 1).is_plain(), "{purge}: all of it");
        app.done().await;
    }
}

pub(crate) async fn sto_37_a_304_may_add_a_group_and_change_those_of_the_field() {
    for (purge, removes) in [
        ("first", true),
        ("second", true),
        ("old", false),
        ("new", true),
    ] {
        let origin = Origin::of("\"v1\"", "one");
        let app = Site::replying(fields(), move |ask: Ask| {
            if ask.method == Method::POST {
                let group = format!("\"{}\"", ask.uri.path().trim_start_matches('/'));
                return Reply::text("").header("cache-group-invalidation", group);
            }
            let (of_handler, of_field) = match ask.call {
                1 => ("first", "\"old\""),
                _ => ("second", "\"new\""),
            };
            let mut reply = origin.reply(&ask).control(FRESH);
            Groups::new([of_handler]).put(reply.response.extensions_mut());
            reply.header("cache-groups", of_field)
        })
        .start();
        app.get("/").send().await;
        pass(seconds(61)).await;
        assert_eq!(told(&app.get("/").send().await), ONE);
        match purge {
            "old" | "new" => drop(app.post(&format!("/{purge}")).send().await),
            group => app.purger().group(group).await,
        }
        let calls = app.calls();
        assert_eq!(told(&app.get("/").send().await), ONE);
        assert_eq!(app.calls(), calls + u64::from(removes), "{purge}");
        app.done().await;
    }
}

/// Validates at once, but for the second call, which waits at a gate.
fn gated(origin: &Origin, control: &'static str) -> (Site, Gate) {
    let (origin, gate) = (origin.clone(), Gate::closed());
    let opened = gate.clone();
    let site = Site::of(Policy::from_headers().group("g"), move |ask: Ask| {
        let (origin, gate) = (origin.clone(), opened.clone());
        async move {
            // What it says was true when it was asked.
            let reply = match ask.method {
                Method::PUT => Reply::text("saved"),
                _ => origin.reply(&ask).control(control),
            };
            if ask.call == 2 {
                gate.opened().await;
            }
            reply
        }
    });
    (site, gate)
}

pub(crate) async fn sto_37_what_was_purged_while_it_was_validated_is_not_put_back() {
    for purge in ["group", "uri", "all", "put"] {
        for vary in [false, true] {
            let origin = Origin::of("\"v1\"", "one");
            let (mut site, gate) = gated(&origin, FRESH);
            if vary {
                let handler = Arc::clone(&site.routes[0].handler);
                site.routes[0].handler = Arc::new(move |ask| {
                    let reply = handler(ask);
                    Box::pin(async move { reply.await.header("vary", "accept") })
                });
            }
            let app = site.start();
            assert_eq!(told(&app.get("/").send().await), ONE);
            pass(seconds(61)).await;
            let early = tokio::spawn(app.get("/").send());
            eventually("the validation", || app.calls() == 2).await;
            assert_eq!(app.saw(2).header("if-none-match"), "\"v1\"");
            origin.becomes("\"v2\"", "two");
            match purge {
                "group" => app.purger().group("g").await,
                "uri" => {
                    app.purger()
                        .uri(&"http://example.test/".parse().unwrap())
                        .await
                }
                "all" => app.purger().all().await,
                _ => assert_eq!(app.put("/").send().await.text(), "saved"),
            }
            let calls = app.calls();
            assert_eq!(
                told(&app.get("/").send().await),
                TWO,
                "{purge}: who asks after it"
            );
            assert!(
                app.saw(calls + 1).is_plain(),
                "{purge}: there is nothing to ask about"
            );
            gate.open();
            assert_eq!(told(&early.await.unwrap()), ONE, "{purge}: it asked before");
            app.settled().await;
            assert_eq!(told(&app.get("/").send().await), TWO, "{purge}");
            assert_eq!(app.calls(), calls + 1);
            app.done().await;
        }
    }
}

pub(crate) async fn sto_37_who_takes_the_turn_after_a_purge_does_not_ask_about_what_was_purged() {
    for purge in ["group", "uri", "all"] {
        let origin = Origin::of("\"v1\"", "one");
        let (site, gate) = gated(&origin, FRESH);
        let app = site.start();
        app.get("/").send().await;
        pass(seconds(61)).await;
        let leader = tokio::spawn(app.get("/").send());
        eventually("the validation", || app.calls() == 2).await;
        // They looked, found the old one, and wait for what is said of it.
        let followers: Vec<_> = (0..20).map(|_| tokio::spawn(app.get("/").send())).collect();
        eventually("all are here", || app.stats().misses == 22).await;
        others_run().await;
        match purge {
            "group" => app.purger().group("g").await,
            "uri" => {
                app.purger()
                    .uri(&"http://example.test/".parse().unwrap())
                    .await
            }
            _ => app.purger().all().await,
        }
        leader.abort();
        for answer in join_all(followers).await {
            assert_eq!(told(&answer.unwrap()), ONE, "{purge}");
        }
        assert!(app.saw(3).is_plain(), "{purge}: {:?}", app.saw(3));
        assert_eq!(app.calls(), 3, "{purge}");
        gate.open();
        app.done().await;
    }
}

pub(crate) async fn sto_37_what_was_purged_while_it_was_refreshed_is_not_put_back() {
    let origin = Origin::of("\"v1\"", "one");
    let (site, gate) = gated(&origin, "public, max-age=60, stale-while-revalidate=600");
    let app = site.start();
    assert_eq!(told(&app.get("/").send().await), ONE);
    pass(seconds(61)).await;
    assert_eq!(told(&app.get("/").send().await), ONE, "stale, at once");
    eventually("the refresh", || app.calls() == 2).await;
    assert_eq!(app.saw(2).header("if-none-match"), "\"v1\"");
    origin.becomes("\"v2\"", "two");
    app.purger().group("g").await;
    assert_eq!(told(&app.get("/").send().await), TWO);
    gate.open();
    app.settled().await;
    others_run().await;
    assert_eq!(told(&app.get("/").send().await), TWO);
    assert_eq!(app.calls(), 3);
    app.done().await;
}

pub(crate) async fn asy_19_a_refresh_asks_for_all_of_it_and_by_no_clients_condition() {
    let origin = Origin::of("\"v1\"", "0123456789");
    let app = site(&origin, "public, max-age=60, stale-while-revalidate=600").start();
    app.get("/").send().await;
    for lines in [
        &[("if-none-match", "\"v0\"")][..],
        &[("if-none-match", "\"v1\"")],
        &[("range", "bytes=2-3")],
        &[("range", "bytes=2-3"), ("if-range", "\"v1\"")],
        &[("if-modified-since", LONG_AGO)],
    ] {
        let calls = app.calls();
        pass(seconds(61)).await;
        let request = lines.iter().fold(app.get("/"), |request, (name, value)| {
            request.header(name, value)
        });
        let answer = request.send().await;
        match answer.status.as_u16() {
            206 => assert_eq!(answer.text(), "23"),
            304 => assert_eq!(answer.text(), ""),
            _ => assert_eq!(answer.text(), "0123456789"),
        }
        eventually("the refresh", || app.calls() == calls + 1).await;
        app.settled().await;
        let saw = app.saw(calls + 1);
        assert_eq!(saw.header("if-none-match"), "\"v1\"", "{lines:?}");
        for name in ["range", "if-range", "if-modified-since"] {
            assert_eq!(saw.header(name), "", "{lines:?}");
        }
        let fresh = app.get("/").send().await;
        assert_eq!((fresh.text(), fresh.header("age")), ("0123456789", "0"));
        assert_eq!(app.calls(), calls + 1, "{lines:?}");
    }
    app.done().await;
}

pub(crate) async fn asy_19_a_refresh_of_what_has_no_validator_asks_by_no_clients_condition_either()
{
    for lines in [
        &[("if-none-match", "*")][..],
        &[("if-none-match", "\"v1\"")],
        &[("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT")],
        &[("range", "bytes=0-0"), ("if-range", "\"v1\"")],
        &[("range", "bytes=0-0")],
    ] {
        let app = Site::replying(fields(), |ask| {
            Reply::text(format!("page {}", ask.call))
                .control("public, max-age=60, stale-while-revalidate=600")
        })
        .start();
        app.get("/").send().await;
        pass(seconds(61)).await;
        let request = lines.iter().fold(app.get("/"), |request, (name, value)| {
            request.header(name, value)
        });
        let stale = request.send().await;
        assert!(b"page 1".starts_with(&stale.body), "{lines:?}: {stale:?}");
        eventually("the refresh", || app.calls() == 2).await;
        app.settled().await;
        assert!(app.saw(2).is_plain(), "{lines:?}: {:?}", app.saw(2));
        assert_eq!(app.get("/").send().await.text(), "page 2", "{lines:?}");
        app.done().await;
    }
}

pub(crate) async fn asy_19_a_head_that_finds_it_stale_has_all_of_it_refreshed() {
    let origin = Origin::of("\"v1\"", "one");
    let app = site(&origin, "public, max-age=60, stale-while-revalidate=600").start();
    app.get("/").send().await;
    origin.becomes("\"v2\"", "two");
    pass(seconds(61)).await;
    let head = app.head("/").send().await;
    assert_eq!((head.text(), head.header("etag")), ("", "\"v1\""));
    eventually("the refresh", || app.calls() == 2).await;
    app.settled().await;
    assert_eq!(app.saw(2).method, Method::GET);
    assert_eq!(told(&app.get("/").send().await), TWO);
    assert_eq!(app.calls(), 2);
    app.done().await;
}

pub(crate) async fn asy_01_when_a_client_leaves_during_a_validation_another_takes_its_turn() {
    let (site, _) = counting(&Origin::of("\"v1\"", "one"), FRESH);
    let app = site.start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    let leader = tokio::spawn(app.get("/").send());
    eventually("the leader", || app.calls() == 2).await;
    let followers: Vec<_> = (0..100)
        .map(|_| tokio::spawn(app.get("/").send()))
        .collect();
    eventually("all are here", || app.stats().misses == 102).await;
    leader.abort();
    for answer in join_all(followers).await {
        assert_eq!(told(&answer.unwrap()), ONE);
    }
    assert_eq!(app.calls(), 3);
    assert_eq!(
        app.saw(3).header("if-none-match"),
        "\"v1\"",
        "the turn is a validation too"
    );
    assert_eq!(told(&app.get("/").send().await), ONE);
    assert_eq!(app.calls(), 3);
    app.done().await;
}

pub(crate) async fn asy_01_a_client_that_leaves_a_validation_alone_loses_nothing_of_what_is_stored()
{
    let origin = Origin::of("\"v1\"", "one");
    let (site, gate) = gated(&origin, FRESH);
    let app = site.start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    let leaving = tokio::spawn(app.get("/").send());
    eventually("the validation", || app.calls() == 2).await;
    leaving.abort();
    assert!(leaving.await.is_err());
    assert_eq!(told(&app.get("/").send().await), ONE);
    assert_eq!(app.saw(3).header("if-none-match"), "\"v1\"");
    gate.open();
    assert_eq!(told(&app.get("/").send().await), ONE);
    assert_eq!(app.calls(), 3);
    app.done().await;
}

pub(crate) async fn asy_03_a_panic_during_a_validation_hangs_nobody() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let origin = Origin::of("\"v1\"", "one");
    let app = Site::of(fields(), move |ask: Ask| {
        let (gate, origin) = (opened.clone(), origin.clone());
        async move {
            if ask.call > 1 {
                gate.opened().await;
            }
            assert!(ask.call != 2, "the validation panics, as planned");
            origin.reply(&ask).control(FRESH)
        }
    })
    .start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    let asking: Vec<_> = (0..101)
        .map(|_| tokio::spawn(app.get("/").send()))
        .collect();
    eventually("all are here", || app.stats().misses == 102).await;
    gate.open();
    let answers = join_all(asking).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 1);
    for answer in answers.into_iter().flatten() {
        assert_eq!(told(&answer), ONE, "the next took its turn");
    }
    assert_eq!(app.calls(), 3);
    assert_eq!(app.saw(3).header("if-none-match"), "\"v1\"");
    app.done().await;
}

pub(crate) async fn asy_03_a_panic_during_a_refresh_leaves_the_next_one_its_turn() {
    let origin = Origin::of("\"v1\"", "one");
    let app = Site::replying(fields(), move |ask: Ask| {
        assert!(ask.call != 2, "the refresh panics, as planned");
        origin
            .reply(&ask)
            .control("public, max-age=60, stale-while-revalidate=600")
    })
    .start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    assert_eq!(told(&app.get("/").send().await), ONE);
    eventually("the refresh", || app.calls() == 2).await;
    app.settled().await;
    pass(seconds(10)).await;
    assert_eq!(told(&app.get("/").send().await), ONE, "still stale");
    eventually("the next refresh", || app.calls() == 3).await;
    app.settled().await;
    let fresh = app.get("/").send().await;
    assert_eq!((told(&fresh), fresh.header("age")), (ONE, "0"));
    assert_eq!(app.saw(3).header("if-none-match"), "\"v1\"");
    app.done().await;
}

pub(crate) async fn asy_05_a_failed_validation_is_shared_after_one_more_try() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let origin = Origin::of("\"v1\"", "one");
    let app = Site::of(fields(), move |ask: Ask| {
        let (gate, origin) = (opened.clone(), origin.clone());
        async move {
            if ask.call > 1 {
                gate.opened().await;
                return Reply::text("down").status(502);
            }
            origin.reply(&ask).control(FRESH)
        }
    })
    .start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    let asking: Vec<_> = (0..200)
        .map(|_| tokio::spawn(app.get("/").send()))
        .collect();
    eventually("all are here", || app.stats().misses == 201).await;
    gate.open();
    for answer in join_all(asking).await {
        let answer = answer.unwrap();
        assert!(answer.status.is_server_error(), "{answer:?}");
    }
    assert!(app.calls() <= 3, "{} calls", app.calls());
    app.done().await;
}

pub(crate) async fn asy_07_who_waits_too_long_for_a_validation_goes_on() {
    let origin = Origin::of("\"v1\"", "one");
    let policy = Policy::from_headers()
        .wait_limit(seconds(1))
        .work_deadline(minutes(5));
    let app = Site::of(policy, move |ask: Ask| {
        let origin = origin.clone();
        async move {
            if ask.call == 2 {
                tokio::time::sleep(seconds(30)).await;
            }
            origin.reply(&ask).control(FRESH)
        }
    })
    .start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    let leader = tokio::spawn(app.get("/").send());
    eventually("the leader", || app.calls() == 2).await;
    let began = tokio::time::Instant::now();
    let followers: Vec<_> = (0..4).map(|_| tokio::spawn(app.get("/").send())).collect();
    for answer in join_all(followers).await {
        assert_eq!(told(&answer.unwrap()), ONE);
    }
    assert_eq!(began.elapsed(), seconds(1));
    assert_eq!(told(&leader.await.unwrap()), ONE);
    for call in 3..=app.calls() {
        assert_eq!(app.saw(call).header("if-none-match"), "\"v1\"");
    }
    assert_eq!(told(&app.get("/").send().await), ONE);
    app.done().await;
}

pub(crate) async fn sto_12_an_age_that_comes_with_a_304_counts() {
    let origin = Origin::of("\"v1\"", "one");
    let app = Site::replying(fields(), move |ask: Ask| {
        let reply = origin.reply(&ask).control(FRESH);
        match ask.call {
            2 => reply.header("age", "50"),
            3 => reply.header("age", "18446744073709551615"),
            _ => reply,
        }
    })
    .start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    for (age, calls) in [(0, 2), (9, 2), (1, 3), (0, 4), (0, 4)] {
        pass(seconds(age)).await;
        assert_eq!(told(&app.get("/").send().await), ONE);
        assert_eq!(app.calls(), calls, "{age}");
    }
    let hit = app.get("/").send().await;
    assert_eq!((hit.header("age"), hit.all("age").len()), ("0", 1));
    app.done().await;
}

pub(crate) async fn sto_15_a_304_may_end_or_shorten_the_lifetime() {
    for lines in [
        &[("cache-control", "max-age=0")][..],
        &[("cache-control", "no-cache")],
        &[("cache-control", "public, max-age=60, s-maxage=0")],
        &[("cache-control", "public"), ("expires", "0")],
        &[("vary", "*")],
    ] {
        let origin = Origin::of("\"v1\"", "one");
        let app = Site::replying(fields(), move |ask: Ask| match ask.call {
            1 => origin.reply(&ask).control(FRESH),
            _ => origin.reply(&ask).headers(lines),
        })
        .start();
        app.get("/").send().await;
        pass(seconds(61)).await;
        for call in 2..=4 {
            assert_eq!(told(&app.get("/").send().await), ONE, "{lines:?}");
            assert_eq!(app.calls(), call, "{lines:?}");
        }
        app.done().await;
    }
}

pub(crate) async fn sto_52_a_precondition_that_is_the_origins_to_judge_reaches_it_as_it_came() {
    for (name, holds, fails) in [
        ("if-match", "\"v1\"", "\"v0\""),
        ("if-match", "*", "W/\"v1\""),
        ("if-match", "\"v0\", \"v1\"", "v1"),
    ] {
        let app = Site::replying(fields(), move |ask| {
            if ask.header(name) == fails {
                return Reply::text("failed").status(412).control(FRESH);
            }
            Origin::of("\"v1\"", "one").reply(&ask).control(FRESH)
        })
        .start();
        for call in 1..=2 {
            let cold = app.get("/cold").header(name, fails).send().await;
            assert_eq!((cold.status.as_u16(), cold.text()), (412, "failed"));
            assert_eq!((app.calls(), app.stats().entries), (call, 0));
            assert_eq!(app.saw(call).header(name), fails);
        }
        app.get("/").send().await;
        for age in [0, 61] {
            pass(seconds(age)).await;
            let known = app.get("/").header(name, holds).send().await;
            assert_eq!(told(&known), ONE, "{name}: {holds} {age}");
            let failed = app.get("/").header(name, fails).send().await;
            assert_eq!(
                (failed.status.as_u16(), failed.text()),
                (412, "failed"),
                "{age}"
            );
            assert_eq!(
                told(&app.get("/").send().await),
                ONE,
                "nobody else is told so"
            );
        }
        app.done().await;
    }
}

pub(crate) async fn sto_58_what_is_stale_is_asked_about_for_nobody_who_wants_only_what_is_stored() {
    let app = site(&Origin::of("\"v1\"", "one"), FRESH).start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    for request in [
        app.get("/"),
        app.head("/"),
        app.get("/").header("if-none-match", "\"v1\""),
        app.get("/").header("range", "bytes=0-1"),
    ] {
        let refused = request.header("cache-control", "only-if-cached");
        let refused = refused.send().await;
        assert_eq!((refused.status.as_u16(), refused.text()), (504, ""));
    }
    let stale = app
        .get("/")
        .header("cache-control", "only-if-cached, max-stale");
    assert_eq!(told(&stale.send().await), ONE);
    assert_eq!(app.calls(), 1);
    app.done().await;
}

pub(crate) async fn sto_56_what_is_made_for_no_store_is_validated_and_kept_for_nobody() {
    let app = Site::replying(fields(), |ask| {
        let version = format!("\"v{}\"", ask.call);
        Origin::of(&version, ask.call.to_string())
            .reply(&ask)
            .control(FRESH)
    })
    .start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    let unkept = app.get("/").header("cache-control", "no-store");
    assert_eq!(unkept.send().await.text(), "2");
    assert!(app.saw(2).is_plain());
    let mine = app.get("/").header("cache-control", "no-store");
    let mine = mine.header("if-none-match", "\"v3\"").send().await;
    assert_eq!(
        (mine.status.as_u16(), mine.text()),
        (304, ""),
        "its own question"
    );
    assert_eq!(app.get("/").send().await.text(), "4");
    assert_eq!(app.saw(4).header("if-none-match"), "\"v1\"");
    app.done().await;
}
