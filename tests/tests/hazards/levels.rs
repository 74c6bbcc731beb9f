//! Validation, parts and updates through layers of one cache at two levels.
//!
//! The outer layer stores what does not come to the inner one: here what a guard between them says,
//! as to a request with `x-guard`. From then on it asks about that, and the inner layer decides.

use crate::support::{
    Answer, App, Ask, Gate, Origin, Policy, Reply, Sending, Site, eventually, hours, minutes,
    others_run, pass, seconds,
};
use futures_util::future::join_all;
use http::HeaderMap;

const FRESH: &str = "public, max-age=60";

fn told(answer: &Answer) -> (u16, &str, &str) {
    (answer.status.as_u16(), answer.text(), answer.header("etag"))
}

const ONE: (u16, &str, &str) = (200, "one", "\"v1\"");
const TWO: (u16, &str, &str) = (200, "two", "\"v2\"");

/// A route with a layer of its own, a guard before it, and a layer around both.
fn levels(
    policy: &Policy,
    guard: impl Fn(&HeaderMap) -> Reply + Send + Sync + 'static,
    handler: impl Fn(Ask) -> Reply + Send + Sync + 'static,
) -> App {
    Site::new()
        .route("/x", policy.clone(), move |ask| {
            std::future::ready(handler(ask))
        })
        .guarded(move |headers| headers.contains_key("x-guard").then(|| guard(headers)))
        .before(policy.clone())
        .start()
}

/// The profiles: only the standard one asks which of several variants is the current one.
fn profiles() -> [Policy; 2] {
    [Policy::from_headers(), Policy::standard()]
}

fn get(app: &App) -> Sending {
    app.get("/x")
}

/// What the guard says goes into the outer layer's store.
async fn by_the_guard(request: Sending) -> Answer {
    request.header("x-guard", "1").send().await
}

fn page(etag: &str, body: &'static str) -> Reply {
    Reply::text(body).control(FRESH).header("etag", etag)
}

pub(crate) async fn asy_39_a_304_to_the_outer_layers_question_is_no_answer_to_its_client() {
    for policy in profiles() {
        let origin = Origin::of("\"v1\"", "one");
        let app = levels(&policy, |_| page("\"v1\"", "one"), origin.handler(FRESH));
        assert_eq!(told(&by_the_guard(get(&app)).await), ONE);
        assert_eq!(told(&get(&app).send().await), ONE, "the outer one's");
        assert_eq!((app.calls(), app.stats().stored), (0, 1));
        pass(seconds(61)).await;
        for _ in 0..5 {
            assert_eq!(told(&get(&app).send().await), ONE);
        }
        assert!(
            (1..=2).contains(&app.calls()),
            "asked about, then fresh: {}",
            app.calls()
        );
        let known = get(&app).header("if-none-match", "\"v1\"").send().await;
        assert_eq!(told(&known), (304, "", "\"v1\""), "who asks is told");
        let part = get(&app).header("range", "bytes=0-1").send().await;
        assert_eq!((part.status.as_u16(), part.text()), (206, "on"));
        app.done().await;
    }
}

pub(crate) async fn asy_39_the_inner_layers_own_copy_answers_the_outer_ones_question_in_full() {
    for policy in profiles() {
        for etag in ["\"v1\"", "\"v0\"", "W/\"v1\""] {
            let origin = Origin::of("\"v1\"", "one");
            let app = levels(
                &policy,
                move |_| page(etag, "one"),
                origin.handler("public, max-age=6000"),
            );
            // The inner layer has its own copy, of the same page, from before.
            assert_eq!(told(&get(&app).send().await), ONE);
            assert_eq!((app.calls(), app.stats().stored), (1, 1));
            let insists = get(&app).header("cache-control", "no-cache");
            assert_eq!(by_the_guard(insists).await.header("etag"), etag);
            pass(seconds(61)).await;
            for _ in 0..5 {
                let answer = get(&app).send().await;
                let given = (answer.status.as_u16(), answer.text());
                assert_eq!(given, (200, "one"), "{etag}");
            }
            assert!(app.calls() <= 3, "{etag}: {}", app.calls());
            app.done().await;
        }
    }
}

pub(crate) async fn asy_39_what_the_outer_layer_asks_about_may_have_changed() {
    for policy in profiles() {
        let origin = Origin::of("\"v2\"", "two");
        let app = levels(&policy, |_| page("\"v1\"", "one"), origin.handler(FRESH));
        assert_eq!(told(&by_the_guard(get(&app)).await), ONE);
        pass(seconds(61)).await;
        for _ in 0..3 {
            assert_eq!(told(&get(&app).send().await), TWO);
        }
        assert_eq!(app.saw(1).header("if-none-match"), "\"v1\"");
        assert_eq!(app.calls(), 1);
        app.done().await;
    }
}

pub(crate) async fn asy_39_a_304_to_no_question_of_the_clients_never_reaches_it() {
    for policy in profiles() {
        // The handler says 304 whenever it is asked by a tag, and does not say of which page.
        let says_yes = |ask: Ask| {
            if ask.header("if-none-match").is_empty() {
                return page("\"v2\"", "two");
            }
            Reply::text("").status(304).control(FRESH)
        };
        // The outer layer has one page, two variants, or a page in another language than is asked for.
        for languages in [&[""][..], &["de"], &["de", "en"], &["de", "en", "fr", "it"]] {
            let by_language = |headers: &HeaderMap| {
                let language = headers.get("accept-language");
                let language = language.map_or("", |value| value.to_str().unwrap());
                let reply = page(&format!("\"{language}\""), "of the guard");
                match language {
                    "" => reply,
                    _ => reply.header("vary", "accept-language"),
                }
            };
            let app = levels(&policy, by_language, says_yes);
            for language in languages {
                let request = get(&app);
                let request = match *language {
                    "" => request,
                    language => request.header("accept-language", language),
                };
                assert_eq!(by_the_guard(request).await.text(), "of the guard");
            }
            for age in [0, 61] {
                pass(seconds(age)).await;
                for language in ["", "de", "xx"] {
                    let request = get(&app);
                    let request = match language {
                        "" => request,
                        language => request.header("accept-language", language),
                    };
                    let answer = request.send().await;
                    let status = answer.status.as_u16();
                    assert!(
                        matches!(status, 200 | 502),
                        "{languages:?} {language} {status}"
                    );
                    if status == 200 {
                        assert!(!answer.body.is_empty(), "{languages:?} {language}");
                    }
                }
            }
            app.done().await;
        }
    }
}

pub(crate) async fn asy_39_a_variant_that_the_inner_layer_chose_is_not_asked_for_again_and_again() {
    for policy in profiles() {
        let by_language = |headers: &HeaderMap| {
            let language = headers["accept-language"].to_str().unwrap();
            page(&format!("\"{language}\""), "of the guard").header("vary", "accept-language")
        };
        let app = levels(&policy, by_language, |ask| {
            Origin::of("\"en\"", "of the guard")
                .reply(&ask)
                .control(FRESH)
                .header("vary", "accept-language")
        });
        for language in ["de", "en"] {
            by_the_guard(get(&app).header("accept-language", language)).await;
        }
        for _ in 0..6 {
            let french = get(&app).header("accept-language", "fr").send().await;
            assert_eq!(
                (french.status.as_u16(), french.text()),
                (200, "of the guard")
            );
            assert_eq!(french.header("etag"), "\"en\"");
        }
        assert!(app.calls() <= 3, "{}", app.calls());
        app.done().await;
    }
}

pub(crate) async fn asy_39_what_the_outer_layer_lacks_of_a_page_is_no_answer_to_who_wants_it_all() {
    for policy in profiles() {
        const TEN: &str = "0123456789";
        for (etag, whole) in [("\"v1\"", TEN), ("\"v2\"", "abcdefghij")] {
            let origin = Origin::of(etag, whole);
            let guard = |_: &HeaderMap| {
                let reply = page("\"v1\"", "0123").status(206);
                reply.header("content-range", "bytes 0-3/10")
            };
            let app = levels(&policy, guard, origin.handler(FRESH));
            let part = get(&app).header("range", "bytes=0-3");
            assert_eq!(by_the_guard(part).await.text(), "0123");
            let again = get(&app).header("range", "bytes=1-2").send().await;
            assert_eq!((again.text(), app.calls()), ("12", 0), "the outer one's");
            for _ in 0..3 {
                let answer = get(&app).send().await;
                assert_eq!(
                    (answer.status.as_u16(), answer.text()),
                    (200, whole),
                    "{etag}"
                );
                assert_eq!(answer.header("etag"), etag);
            }
            app.done().await;
        }
    }
}

pub(crate) async fn asy_39_parts_of_two_layers_are_not_joined_even_under_one_tag() {
    for policy in profiles() {
        let origin = Origin::of("\"v1\"", "0123456789");
        let guard = |_: &HeaderMap| {
            let reply = page("\"v1\"", "GGGG").status(206);
            reply.header("content-range", "bytes 0-3/10")
        };
        let app = levels(&policy, guard, origin.handler(FRESH));
        let part = get(&app).header("range", "bytes=0-3");
        assert_eq!(by_the_guard(part).await.text(), "GGGG");
        let rest = get(&app).header("range", "bytes=4-9").send().await;
        assert_eq!((rest.status.as_u16(), rest.text()), (206, "456789"));
        for _ in 0..2 {
            let whole = get(&app).send().await;
            assert_eq!((whole.status.as_u16(), whole.text()), (200, "0123456789"));
        }
        app.done().await;
    }
}

pub(crate) async fn asy_39_a_416_to_the_outer_layers_question_is_no_answer_either() {
    for policy in profiles() {
        let guard = |_: &HeaderMap| {
            let reply = page("\"v1\"", "0123").status(206);
            reply.header("content-range", "bytes 0-3/10")
        };
        let app = levels(&policy, guard, |ask| {
            if ask.header("range").is_empty() {
                return page("\"v2\"", "two");
            }
            let reply = Reply::text("").status(416);
            reply.header("content-range", "bytes */3")
        });
        let part = get(&app).header("range", "bytes=0-3");
        assert_eq!(by_the_guard(part).await.text(), "0123");
        let answer = get(&app).send().await;
        let status = answer.status.as_u16();
        assert!(matches!(status, 200 | 502), "{status}");
        if status == 200 {
            assert_eq!(told(&answer), TWO);
        }
        assert_eq!(told(&get(&app).send().await), TWO);
        app.done().await;
    }
}

pub(crate) async fn asy_39_a_purge_while_the_inner_layer_is_asked_is_heeded() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::new()
        .route("/x", Policy::from_headers(), move |ask: Ask| {
            let gate = opened.clone();
            async move {
                let version = if ask.call == 1 { ONE } else { TWO };
                let reply = Origin::of(version.2, version.1).reply(&ask).control(FRESH);
                if ask.call == 1 {
                    gate.opened().await;
                }
                reply
            }
        })
        .guarded(move |headers| {
            headers
                .contains_key("x-guard")
                .then(|| page("\"v1\"", "one"))
        })
        .before(Policy::from_headers())
        .start();
    assert_eq!(told(&by_the_guard(get(&app)).await), ONE);
    pass(seconds(61)).await;
    let early = tokio::spawn(get(&app).send());
    eventually("the validation", || app.calls() == 1).await;
    app.purger().all().await;
    assert_eq!(told(&get(&app).send().await), TWO);
    gate.open();
    let early = early.await.unwrap();
    assert_eq!(told(&early), ONE, "it asked before");
    assert_eq!(told(&get(&app).send().await), TWO);
    assert_eq!(app.calls(), 2);
    app.done().await;
}

/// The same policies around and within, in both places that the outer one can have.
fn both(handler: impl Fn(Ask) -> Reply + Clone + Send + Sync + 'static) -> [App; 2] {
    let site = || {
        let handler = handler.clone();
        Site::new().route("/x", Policy::from_headers().group("g"), move |ask| {
            std::future::ready(handler(ask))
        })
    };
    [
        site().around(Policy::from_headers()).start(),
        site().before(Policy::ttl(hours(1))).start(),
    ]
}

pub(crate) async fn asy_39_through_both_a_stale_page_is_validated_and_given_in_full() {
    let origin = Origin::of("\"v1\"", "one");
    for app in both(origin.handler(FRESH)) {
        assert_eq!(told(&get(&app).send().await), ONE);
        for call in 2..=3 {
            pass(seconds(61)).await;
            let answer = get(&app).send().await;
            assert_eq!((told(&answer), answer.header("age")), (ONE, "0"));
            assert_eq!(answer.all("cache-status").len(), 1);
            assert_eq!(app.calls(), call);
            assert_eq!(app.saw(call).header("if-none-match"), "\"v1\"");
        }
        app.done().await;
    }
}

pub(crate) async fn asy_39_through_both_each_client_gets_the_shape_it_asked_for() {
    let origin = Origin::of("\"v1\"", "0123456789");
    for app in both(origin.handler(FRESH)) {
        for age in [0, 0, 61] {
            pass(seconds(age)).await;
            for (lines, status, body) in [
                (&[][..], 200, "0123456789"),
                (&[("if-none-match", "\"v1\"")], 304, ""),
                (&[("if-none-match", "\"v0\"")], 200, "0123456789"),
                (&[("range", "bytes=2-3")], 206, "23"),
                (&[("range", "bytes=20-")], 416, ""),
                (
                    &[("range", "bytes=2-3"), ("if-range", "\"v0\"")],
                    200,
                    "0123456789",
                ),
                (
                    &[("range", "bytes=2-3"), ("if-none-match", "\"v1\"")],
                    304,
                    "",
                ),
            ] {
                let request = lines.iter().fold(get(&app), |request, (name, value)| {
                    request.header(name, value)
                });
                let answer = request.send().await;
                assert_eq!(
                    (answer.status.as_u16(), answer.text()),
                    (status, body),
                    "{lines:?}"
                );
                assert_eq!(answer.all("cache-status").len(), 1);
            }
        }
        assert_eq!((app.calls(), app.stats().entries), (2, 1));
        app.done().await;
    }
}

pub(crate) async fn asy_39_through_both_parts_become_one_whole() {
    let origin = Origin::of("\"v1\"", "0123456789");
    for app in both(origin.handler(FRESH)) {
        for (asked, given) in [
            ("bytes=0-3", "0123"),
            ("bytes=1-2", "12"),
            ("bytes=6-9", "6789"),
        ] {
            let answer = get(&app).header("range", asked).send().await;
            assert_eq!((answer.status.as_u16(), answer.text()), (206, given));
        }
        assert_eq!(app.calls(), 2);
        for _ in 0..2 {
            let whole = get(&app).send().await;
            assert_eq!((whole.status.as_u16(), whole.text()), (200, "0123456789"));
        }
        assert_eq!((app.calls(), app.stats().entries), (3, 1));
        app.purger().group("g").await;
        assert_eq!(get(&app).send().await.text(), "0123456789");
        assert_eq!(app.calls(), 4);
        app.done().await;
    }
}

pub(crate) async fn asy_39_through_both_clients_that_insist_have_it_validated_once() {
    for app in [false, true].map(|is_before| {
        let origin = Origin::of("\"v1\"", "one");
        let site = Site::new().route("/x", Policy::from_headers(), move |ask: Ask| {
            let origin = origin.clone();
            async move {
                tokio::time::sleep(seconds(1)).await;
                origin.reply(&ask).control(FRESH)
            }
        });
        match is_before {
            true => site.before(Policy::from_headers()).start(),
            false => site.around(Policy::from_headers()).start(),
        }
    }) {
        assert_eq!(told(&get(&app).send().await), ONE);
        let asking: Vec<_> = (0..200)
            .map(|_| tokio::spawn(get(&app).header("cache-control", "no-cache").send()))
            .collect();
        for answer in join_all(asking).await {
            assert_eq!(told(&answer.unwrap()), ONE);
        }
        assert_eq!(app.calls(), 2);
        app.done().await;
    }
}

pub(crate) async fn asy_39_through_both_a_refresh_validates_and_a_head_renews() {
    let origin = Origin::of("\"v1\"", "one");
    for app in both(origin.handler("public, max-age=60, stale-while-revalidate=60")) {
        assert_eq!(told(&get(&app).send().await), ONE);
        pass(seconds(61)).await;
        assert_eq!(told(&get(&app).send().await), ONE, "stale, at once");
        eventually("the refresh", || app.calls() == 2).await;
        app.settled().await;
        assert_eq!(app.saw(2).header("if-none-match"), "\"v1\"");
        let fresh = get(&app).send().await;
        assert_eq!((told(&fresh), fresh.header("age")), (ONE, "0"));
        pass(minutes(3)).await;
        let head = app.head("/x").send().await;
        assert_eq!((head.status.as_u16(), head.header("etag")), (200, "\"v1\""));
        assert_eq!(told(&get(&app).send().await), ONE);
        assert_eq!(app.calls(), 3, "the HEAD renewed it");
        app.done().await;
    }
}

pub(crate) async fn asy_39_a_panic_or_a_leaving_client_during_a_validation_through_both_hangs_nobody()
 {
    for leaves in [false, true] {
        let gate = Gate::closed();
        let opened = gate.clone();
        let origin = Origin::of("\"v1\"", "one");
        let site = Site::new().route("/x", Policy::from_headers(), move |ask: Ask| {
            let (gate, origin) = (opened.clone(), origin.clone());
            async move {
                if ask.call == 2 {
                    gate.opened().await;
                    panic!("the validation panics, as planned");
                }
                origin.reply(&ask).control(FRESH)
            }
        });
        let app = site.before(Policy::from_headers()).start();
        assert_eq!(told(&get(&app).send().await), ONE);
        pass(seconds(61)).await;
        let leader = tokio::spawn(get(&app).send());
        eventually("the leader", || app.calls() == 2).await;
        let followers: Vec<_> = (0..50).map(|_| tokio::spawn(get(&app).send())).collect();
        others_run().await;
        match leaves {
            true => leader.abort(),
            false => gate.open(),
        }
        assert!(leader.await.is_err());
        for answer in join_all(followers).await {
            assert_eq!(told(&answer.unwrap()), ONE, "leaves: {leaves}");
        }
        assert_eq!(app.calls(), 3);
        assert_eq!(app.saw(3).header("if-none-match"), "\"v1\"");
        app.done().await;
    }
}
