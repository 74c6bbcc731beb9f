//! Directives that name fields, and fields of directives that are for this cache alone.

use crate::support::{
    Answer, App, Ask, Origin, Policy, Reply, Settings, Site, eventually, minutes, pass, seconds,
};

fn fields() -> Policy {
    Policy::from_headers()
}

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.text())
}

pub(crate) async fn sto_08_a_named_field_is_in_no_shape_of_what_comes_from_the_store() {
    for (control, profile) in [
        ("public, max-age=60, private=\"x-user\"", fields()),
        ("public, max-age=60, no-cache=\"x-user, x-team\"", fields()),
        ("public, max-age=60, private=\"X-User\"", Policy::standard()),
        ("public, max-age=60, PRIVATE=\"x-none , x-user\"", fields()),
        (
            "public, max-age=60, private=x-user, no-cache=\"x-team\"",
            fields(),
        ),
    ] {
        let origin = Origin::of("\"v1\"", "0123456789");
        let app = Site::replying(profile, move |ask| {
            let reply = origin.reply(&ask).control(control);
            reply.header("x-user", ask.header("x-asked-by"))
        })
        .start();
        let alice = app.get("/").header("x-asked-by", "alice").send().await;
        assert_eq!(alice.header("x-user"), "alice", "{control}: it is hers");
        for (request, status) in [
            (app.get("/"), 200),
            (app.head("/"), 200),
            (app.get("/").header("if-none-match", "\"v1\""), 304),
            (app.get("/").header("range", "bytes=0-3"), 206),
            (app.get("/").header("range", "bytes=0-1,4-5"), 206),
            (app.get("/").header("range", "bytes=99-"), 416),
        ] {
            let answer = request.header("x-asked-by", "bob").send().await;
            assert_eq!(answer.status.as_u16(), status, "{control}");
            assert_eq!(answer.all("x-user"), [""; 0], "{control} {status}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("alice"));
        }
        assert_eq!(app.calls(), 1, "{control}");
        app.done().await;
    }
}

pub(crate) async fn sto_08_a_named_field_that_comes_with_a_304_is_for_nobody_else() {
    for control in [
        "max-age=60, private=\"x-user\"",
        "max-age=60, no-cache=\"x-user\"",
    ] {
        let origin = Origin::of("\"v1\"", "one");
        let app = Site::replying(fields(), move |ask| {
            let reply = origin.reply(&ask).control(control);
            reply.header("x-user", ask.header("x-asked-by"))
        })
        .start();
        app.get("/").header("x-asked-by", "alice").send().await;
        pass(seconds(61)).await;
        let bob = app.get("/").header("x-asked-by", "bob").send().await;
        assert_eq!((told(&bob), app.calls()), ((200, "one"), 2));
        let mine = bob.header("x-user");
        assert!(mine.is_empty() || mine == "bob", "{control}: {mine}");
        let carol = app.get("/").header("x-asked-by", "carol").send().await;
        assert_eq!((told(&carol), app.calls()), ((200, "one"), 2));
        assert_eq!(carol.all("x-user"), [""; 0], "{control}");
        app.done().await;
    }
}

pub(crate) async fn sto_08_a_304_may_name_a_field_that_was_stored_before() {
    for control in [
        "max-age=60, private=\"x-user\"",
        "max-age=60, no-cache=\"x-user\"",
    ] {
        let origin = Origin::of("\"v1\"", "one");
        let app = Site::replying(fields(), move |ask: Ask| match ask.call {
            1 => origin
                .reply(&ask)
                .control("max-age=60")
                .header("x-user", "alice"),
            _ => origin.reply(&ask).control(control),
        })
        .start();
        app.get("/").send().await;
        assert_eq!(
            app.get("/").send().await.header("x-user"),
            "alice",
            "so it was told"
        );
        pass(seconds(61)).await;
        app.get("/").send().await;
        let later = app.get("/").send().await;
        assert_eq!(
            (told(&later), later.all("x-user").len()),
            ((200, "one"), 0),
            "{control}"
        );
        assert_eq!(app.calls(), 2);
        app.done().await;
    }
}

pub(crate) async fn sto_08_to_withhold_what_selects_or_validates_does_not_change_what_is_shared() {
    // Though Vary itself is not given out, it selects.
    for control in [
        "max-age=60, private=\"vary\"",
        "max-age=60, no-cache=\"vary, etag\"",
    ] {
        let app = Site::replying(fields(), move |ask| {
            Reply::text(ask.header("accept"))
                .control(control)
                .header("vary", "accept")
                .header("etag", "\"v1\"")
        })
        .start();
        for _ in 0..2 {
            for accept in ["a", "b"] {
                let answer = app.get("/").header("accept", accept).send().await;
                assert_eq!(told(&answer), (200, accept), "{control}");
            }
        }
        app.done().await;
    }
    for control in [
        "max-age=60, private=\"etag, last-modified\"",
        "max-age=60, private=\"content-length, date\"",
    ] {
        let app = Site::replying(fields(), move |ask| {
            Reply::text(format!("page {}", ask.call))
                .control(control)
                .header("etag", format!("\"v{}\"", ask.call))
        })
        .start();
        for _ in 0..2 {
            assert_eq!(
                told(&app.get("/").send().await),
                (200, "page 1"),
                "{control}"
            );
        }
        pass(seconds(61)).await;
        assert_eq!(
            told(&app.get("/").send().await),
            (200, "page 2"),
            "{control}"
        );
        app.done().await;
    }
}

pub(crate) async fn sto_08_without_what_governs_it_the_rest_is_not_stored() {
    for field in ["content-type", "content-encoding", "cache-control", "vary"] {
        let app = Site::replying(fields(), move |ask| {
            Reply::text(format!("page {}", ask.call))
                .control(&format!("max-age=60, private=\"{field}\""))
        })
        .start();
        for page in ["page 1", "page 2"] {
            assert_eq!(told(&app.get("/").send().await), (200, page), "{field}");
        }
        assert_eq!(app.stats().stored, 0);
        app.done().await;
    }
}

pub(crate) async fn sto_08_without_a_name_no_cache_is_validated_each_time_and_private_is_not_stored()
 {
    for (control, is_stored) in [
        ("no-cache", true),
        ("no-cache, max-age=60", true),
        ("public, max-age=60, no-cache, no-cache=\"x-user\"", true),
        ("private", false),
        ("private, max-age=60", false),
        ("public, max-age=60, private, private=\"x-user\"", false),
        ("public, max-age=60, no-cache, private", false),
        ("public, max-age=60, no-cache=\"\"", false),
    ] {
        let origin = Origin::of("\"v1\"", "one");
        let app = Site::replying(fields(), origin.handler(control)).start();
        for call in 1..=4 {
            assert_eq!(told(&app.get("/").send().await), (200, "one"), "{control}");
            assert_eq!(app.calls(), call, "{control}");
            let asked = app.saw(call).header("if-none-match");
            if is_stored && call > 1 {
                assert_eq!(asked, "\"v1\"", "{control}");
            }
        }
        if !is_stored && !control.contains("\"\"") {
            assert_eq!(app.stats().entries, 0, "{control}");
        }
        app.done().await;
    }
}

const CDN: &str = "cdn-cache-control";

fn heeding(
    targeted: &[&'static str],
    policy: Policy,
    handler: impl Fn(Ask) -> Reply + Send + Sync + 'static,
) -> App {
    Site::replying(policy, handler)
        .settings(Settings {
            targeted: targeted.to_vec(),
            ..Settings::default()
        })
        .start()
}

fn numbered(lines: &'static [(&'static str, &'static str)]) -> impl Fn(Ask) -> Reply + Send + Sync {
    move |ask| Reply::text(ask.call.to_string()).headers(lines)
}

pub(crate) async fn sto_54_a_field_for_other_caches_changes_nothing_and_is_passed_on() {
    for name in [CDN, "surrogate-control", "other-cache-control"] {
        for (value, control, hits) in [
            ("max-age=600", "no-store", false),
            ("no-store", "max-age=60", true),
            ("private", "max-age=60", true),
            ("max-age=0", "max-age=60", true),
        ] {
            let app = heeding(&["mine-cache-control"], fields(), move |ask| {
                Reply::text(ask.call.to_string())
                    .control(control)
                    .header(name, value)
            });
            for call in ["1", "2"] {
                let answer = app.get("/").send().await;
                assert_eq!(
                    answer.text(),
                    if hits { "1" } else { call },
                    "{name}: {value}"
                );
                assert_eq!(answer.header(name), value, "it is theirs");
                assert_eq!(answer.header("cache-control"), control);
            }
            app.done().await;
        }
    }
}

pub(crate) async fn sto_54_a_field_that_is_heeded_takes_the_place_of_cache_control_and_expires() {
    for (lines, lifetime) in [
        (
            &[
                (CDN, "max-age=600"),
                ("cache-control", "max-age=60, s-maxage=120"),
            ][..],
            600,
        ),
        (&[(CDN, "max-age=600"), ("cache-control", "no-store")], 600),
        (
            &[(CDN, "max-age=600"), ("cache-control", "private, no-cache")],
            600,
        ),
        (&[(CDN, "max-age=600"), ("expires", "0")], 600),
        (
            &[
                (CDN, "s-maxage=600, max-age=60"),
                ("cache-control", "no-store"),
            ],
            600,
        ),
        (
            &[(CDN, "max-age=600;x=1"), ("cache-control", "no-store")],
            600,
        ),
        (
            &[
                (CDN, "max-age=60"),
                (CDN, "max-age=600"),
                ("cache-control", "no-store"),
            ],
            600,
        ),
        (&[(CDN, "max-age=60"), ("cache-control", "max-age=600")], 60),
        (
            &[
                (CDN, "max-age=60"),
                ("expires", "Fri, 01 Jan 2100 00:00:00 GMT"),
            ],
            60,
        ),
    ] {
        let app = heeding(&[CDN], fields(), numbered(lines));
        for age in ["", "0"] {
            let answer = app.get("/").send().await;
            assert_eq!(
                (answer.text(), answer.header("age")),
                ("1", age),
                "{lines:?}"
            );
            assert_eq!(answer.all(CDN), [""; 0], "{lines:?}: it was consumed");
            for (name, value) in lines.iter().filter(|(name, _)| *name != CDN) {
                assert_eq!(answer.all(name), [*value], "for those who come after us");
            }
        }
        pass(seconds(lifetime - 1)).await;
        assert_eq!(app.get("/").send().await.text(), "1", "{lines:?}");
        pass(seconds(1)).await;
        assert_eq!(app.get("/").send().await.text(), "2", "{lines:?}");
        app.done().await;
    }
}

pub(crate) async fn sto_54_a_field_that_is_heeded_may_forbid_what_cache_control_allows() {
    for value in [
        "no-store",
        "private",
        "no-cache",
        "max-age=0",
        "max-age=600, private",
        "max-age=600, no-store",
        "max-age=600, no-cache",
        "s-maxage=0, max-age=600",
        "no-store, max-age=600;a=b",
    ] {
        for policy in [fields(), Policy::standard()] {
            let app = heeding(&[CDN], policy, move |ask| {
                Reply::text(ask.call.to_string())
                    .control("public, max-age=600")
                    .header(CDN, value)
            });
            for call in ["1", "2", "3"] {
                let answer = app.get("/").send().await;
                assert_eq!(answer.text(), call, "{value}");
                assert_eq!(
                    answer.all(CDN),
                    [""; 0],
                    "{value}: not even where it is passed on"
                );
                assert_eq!(answer.header("cache-control"), "public, max-age=600");
            }
            app.done().await;
        }
    }
}

pub(crate) async fn sto_54_a_field_that_does_not_parse_is_as_if_it_were_not_there() {
    for value in [
        "",
        " ",
        "max-age=600,",
        "MAX-AGE=600",
        "Max-Age=600, no-store",
        "max-age=600; no-store,",
        "max-age=600 no-store",
        "max-age=",
        "private=\"x",
        "no-store, =1",
        "max-age=9999999999999999",
    ] {
        for (control, hits) in [("max-age=60", true), ("no-store", false)] {
            let app = heeding(&[CDN], fields(), move |ask| {
                Reply::text(ask.call.to_string())
                    .control(control)
                    .header(CDN, value)
            });
            for call in ["1", "2"] {
                let answer = app.get("/").send().await;
                assert_eq!(
                    answer.text(),
                    if hits { "1" } else { call },
                    "{value:?} {control}"
                );
                assert_eq!(answer.header(CDN), value, "nobody consumed it");
            }
            pass(seconds(61)).await;
            let answer = app.get("/").send().await;
            assert_ne!(answer.text(), "1", "{value:?} {control}");
            app.done().await;
        }
    }
}

pub(crate) async fn sto_54_directives_of_the_wrong_type_are_not_taken_for_others() {
    for value in [
        "max-age=\"600\"",
        "max-age=600.5",
        "max-age=?1",
        "max-age",
        "max-age=token",
        "max-age=-1",
        "max-age=(600)",
        "max-age=:aGk=:",
    ] {
        let app = heeding(&[CDN], fields(), move |ask| {
            Reply::text(ask.call.to_string())
                .control("no-store")
                .header(CDN, value)
        });
        // It is there, and valid: Cache-Control is not asked. It names no lifetime.
        for call in ["1", "2"] {
            assert_eq!(app.get("/").send().await.text(), call, "{value}");
        }
        app.done().await;
    }
}

pub(crate) async fn sto_54_the_first_of_the_list_that_is_valid_decides() {
    const MINE: &str = "mine-cache-control";
    for (mine, cdn, lifetime) in [
        ("max-age=60", "max-age=600", 60),
        ("max-age=60,", "max-age=600", 600),
        ("", "max-age=600", 600),
        ("MAX-AGE=60", "max-age=600,", 6),
        ("", "", 6),
    ] {
        let app = heeding(&[MINE, CDN], fields(), move |ask| {
            let reply = Reply::text(ask.call.to_string()).control("max-age=6");
            // Their order in the response is no matter.
            reply.header(CDN, cdn).header(MINE, mine)
        });
        assert_eq!(app.get("/").send().await.text(), "1");
        pass(seconds(lifetime - 1)).await;
        assert_eq!(app.get("/").send().await.text(), "1", "{mine:?} {cdn:?}");
        pass(seconds(1)).await;
        assert_eq!(app.get("/").send().await.text(), "2", "{mine:?} {cdn:?}");
        app.done().await;
    }
}

pub(crate) async fn sto_54_what_was_consumed_is_in_no_shape_of_an_answer() {
    let origin = Origin::of("\"v1\"", "0123456789");
    let app = heeding(&[CDN], fields().stale_if_error(minutes(10)), move |ask| {
        if ask.header("x-fail") == "1" {
            return Reply::text("down").status(500).header(CDN, "max-age=60");
        }
        let reply = origin.reply(&ask).control("no-store");
        reply.header(CDN, "max-age=60, stale-while-revalidate=60")
    });
    let is_clean = |answer: &Answer, status: u16, what: &str| {
        assert_eq!(answer.status.as_u16(), status, "{what}");
        assert_eq!(answer.all(CDN), [""; 0], "{what}");
    };
    is_clean(
        &app.get("/").header("range", "bytes=0-3").send().await,
        206,
        "a part that comes",
    );
    is_clean(&app.get("/").send().await, 200, "a part that is completed");
    for (request, status, what) in [
        (app.get("/"), 200, "a hit"),
        (app.head("/"), 200, "a HEAD"),
        (app.get("/").header("if-none-match", "\"v1\""), 304, "a 304"),
        (app.get("/").header("range", "bytes=2-3"), 206, "a part"),
        (app.get("/").header("range", "bytes=0-1,4-5"), 206, "parts"),
        (
            app.get("/").header("cache-control", "no-cache"),
            200,
            "a validation",
        ),
        (
            app.head("/").header("cache-control", "no-cache"),
            200,
            "a HEAD that is forwarded",
        ),
        (
            app.get("/x").header("if-none-match", "\"v1\""),
            304,
            "a 304 of the origin",
        ),
        (app.get("/y").header("x-fail", "1"), 500, "an error"),
    ] {
        is_clean(&request.send().await, status, what);
    }
    pass(seconds(61)).await;
    let calls = app.calls();
    is_clean(&app.get("/").send().await, 200, "a stale one");
    eventually("the refresh", || app.calls() == calls + 1).await;
    app.settled().await;
    is_clean(&app.get("/").send().await, 200, "a refreshed one");
    app.done().await;
}

pub(crate) async fn sto_54_a_304_may_withdraw_by_the_field_that_is_heeded_and_does_not_leak_it() {
    for value in ["no-store", "private", "no-cache=\"\", private"] {
        let origin = Origin::of("\"v1\"", "one");
        let app = heeding(&[CDN], fields(), move |ask| {
            let targeted = if ask.call == 1 { "max-age=60" } else { value };
            origin
                .reply(&ask)
                .control("public, max-age=600")
                .header(CDN, targeted)
        });
        app.get("/").send().await;
        pass(seconds(61)).await;
        for call in 2..=3 {
            let answer = app.get("/").send().await;
            assert_eq!(
                (told(&answer), app.calls()),
                ((200, "one"), call),
                "{value}"
            );
            assert_eq!(answer.all(CDN), [""; 0], "{value}: consumed is consumed");
            assert_eq!(answer.header("cache-control"), "public, max-age=600");
        }
        app.done().await;
    }
}

pub(crate) async fn sto_54_a_304_that_does_not_repeat_the_field_leaves_it_in_force() {
    let origin = Origin::of("\"v1\"", "one");
    let app = heeding(&[CDN], fields(), move |ask| {
        let reply = origin.reply(&ask);
        match ask.call {
            1 => reply.control("no-store").header(CDN, "max-age=60"),
            _ => reply,
        }
    });
    app.get("/").send().await;
    for call in 2..=3 {
        pass(seconds(61)).await;
        for _ in 0..2 {
            let answer = app.get("/").send().await;
            assert_eq!((told(&answer), app.calls()), ((200, "one"), call));
            assert_eq!(answer.all(CDN), [""; 0]);
            assert_eq!(answer.header("cache-control"), "no-store");
        }
    }
    app.done().await;
}

pub(crate) async fn sto_54_a_field_that_is_heeded_lifts_no_other_rule() {
    for lines in [
        &[(CDN, "max-age=600"), ("set-cookie", "sid=1")][..],
        &[(CDN, "max-age=600"), ("vary", "*")],
        &[(CDN, "max-age=600"), ("vary", "cookie")],
        &[
            (CDN, "max-age=600"),
            ("access-control-allow-origin", "https://a.test"),
        ],
    ] {
        let app = heeding(&[CDN], fields(), numbered(lines));
        for call in ["1", "2"] {
            assert_eq!(app.get("/").send().await.text(), call, "{lines:?}");
        }
        assert_eq!(app.stats().entries, 0);
        app.done().await;
    }
    for (value, is_shared) in [
        ("max-age=600", false),
        ("public, max-age=600", true),
        ("s-maxage=600", true),
    ] {
        for field in ["cookie", "authorization"] {
            let app = heeding(&[CDN], fields(), move |ask| {
                Reply::text(ask.call.to_string())
                    .control("public, s-maxage=600")
                    .header(CDN, value)
            });
            for call in ["1", "2"] {
                let answer = app.get("/").header(field, call).send().await;
                assert_eq!(
                    answer.text(),
                    if is_shared { "1" } else { call },
                    "{value} {field}"
                );
            }
            app.done().await;
        }
    }
}
