//! What the guarded profile refuses on every way to the store, and the standard one does not.

use crate::support::{
    Answer, App, Ask, Origin, Policy, Reply, Sending, Site, minutes, pass, seconds,
};

fn fields() -> Policy {
    Policy::from_headers()
}

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.text())
}

/// An account page, another one for each user.
fn account(lines: &'static [(&'static str, &'static str)]) -> impl Fn(Ask) -> Reply + Send + Sync {
    move |ask| {
        let user = format!("{}{}", ask.header("cookie"), ask.header("authorization"));
        let page = format!("{:_<10}", format!("of {user}"));
        Origin::of(&format!("\"{user}\""), page)
            .reply(&ask)
            .headers(lines)
    }
}

const LONG_AGO: (&str, &str) = ("last-modified", "Sat, 01 Jan 2000 00:00:00 GMT");
const FRESH: (&str, &str) = ("cache-control", "max-age=600");

pub(crate) async fn dcp_01_no_lifetime_of_any_origin_makes_a_page_with_a_cookie_storable() {
    for lines in [
        &[][..],
        &[LONG_AGO],
        &[FRESH],
        &[FRESH, LONG_AGO],
        &[("cache-control", "max-age=600, must-revalidate")],
        &[("cache-control", "no-cache")],
        &[("cache-control", "max-age=600, no-cache=\"set-cookie\"")],
        &[("expires", "Fri, 01 Jan 2100 00:00:00 GMT")],
        &[(
            "cache-control",
            "max-age=0, stale-while-revalidate=600, stale-if-error=600",
        )],
        &[FRESH, ("cache-groups", "\"css\"")],
    ] {
        for policy in [
            fields(),
            Policy::ttl(minutes(5)),
            Policy::override_ttl(minutes(5)),
        ] {
            let app = Site::replying(policy, account(lines)).start();
            for path in ["/account/x.css", "/static/../account", "/account%2fx.js"] {
                for user in ["alice", "bob", ""] {
                    let calls = app.calls();
                    let request = app.get(path);
                    let request = match user {
                        "" => request,
                        user => request.header("cookie", user),
                    };
                    let answer = request.send().await;
                    let page = format!("{:_<10}", format!("of {user}"));
                    assert_eq!(told(&answer), (200, &*page), "{path} {lines:?}");
                    assert!(
                        app.saw(calls + 1).is_plain(),
                        "nobody's page is asked about"
                    );
                }
            }
            assert_eq!(app.stats().hits, 0, "{lines:?}");
            app.done().await;
        }
    }
}

pub(crate) async fn dcp_01_a_part_of_a_page_with_a_cookie_is_not_stored_nor_completed() {
    for lines in [&[][..], &[FRESH], &[LONG_AGO, FRESH]] {
        let app = Site::replying(Policy::ttl(minutes(5)), account(lines)).start();
        for user in ["alice", "bob", "carol"] {
            let part = app.get("/x.css").header("cookie", user);
            let part = part.header("range", "bytes=3-5").send().await;
            assert_eq!(told(&part), (206, &user[..3]), "{lines:?}");
            assert_eq!(app.stats().entries, 0);
        }
        let anonymous = app.get("/x.css").send().await;
        assert_eq!(told(&anonymous), (200, "of _______"));
        let bob = app.get("/x.css").header("cookie", "bob");
        let bob = bob.header("range", "bytes=3-5").send().await;
        assert_eq!(told(&bob), (206, "bob"), "nor is his a part of that");
        app.done().await;
    }
}

pub(crate) async fn dcp_01_a_user_neither_has_the_shared_page_validated_nor_renews_it() {
    let app = Site::replying(Policy::ttl(minutes(1)), account(&[])).start();
    assert_eq!(told(&app.get("/").send().await), (200, "of _______"));
    for round in 0..2 {
        for user in ["alice", "bob"] {
            let calls = app.calls();
            let answer = app.get("/").header("cookie", user).send().await;
            assert_eq!(answer.text(), format!("{:_<10}", format!("of {user}")));
            assert!(app.saw(calls + 1).is_plain(), "{round}");
        }
        pass(seconds(61)).await;
    }
    let calls = app.calls();
    let renewed = app.get("/").send().await;
    assert_eq!(
        (told(&renewed), renewed.header("etag")),
        ((200, "of _______"), "\"\"")
    );
    assert_eq!(app.saw(calls + 1).header("if-none-match"), "\"\"");
    app.done().await;
}

pub(crate) async fn dcp_01_a_users_condition_is_not_answered_by_what_is_anothers() {
    for control in ["", "max-age=600"] {
        let app = Site::replying(Policy::ttl(minutes(5)), move |ask| {
            let reply = account(&[])(ask);
            match control {
                "" => reply,
                control => reply.control(control),
            }
        })
        .start();
        assert_eq!(told(&app.get("/").send().await), (200, "of _______"));
        let alice = |condition: &str| {
            let request = app.get("/").header("cookie", "alice");
            request.header("if-none-match", condition)
        };
        assert_eq!(
            told(&alice("\"\"").send().await),
            (200, "of alice__"),
            "{control}"
        );
        assert_eq!(told(&alice("\"alice\"").send().await), (304, ""));
        let bob = app.get("/").header("cookie", "bob");
        let bob = bob.header("if-none-match", "\"alice\"").send().await;
        assert_eq!(told(&bob), (200, "of bob____"), "{control}");
        assert_eq!(app.calls(), 4);
        app.done().await;
    }
}

pub(crate) async fn dcp_01_the_standard_profile_minds_authorization_and_not_cookies() {
    for (field, control, is_shared) in [
        ("cookie", "max-age=600", true),
        ("cookie", "", true),
        ("authorization", "max-age=600", false),
        ("authorization", "no-cache", false),
        ("authorization", "", false),
        ("authorization", "public", true),
        ("authorization", "s-maxage=600", true),
        ("authorization", "max-age=600, must-revalidate", true),
    ] {
        let app = Site::replying(Policy::standard(), move |ask| {
            let reply = Reply::text(ask.call.to_string()).headers(&[LONG_AGO]);
            match control {
                "" => reply,
                control => reply.control(control),
            }
        })
        .start();
        for call in ["1", "2"] {
            let answer = app.get("/").header(field, call).send().await;
            let expected = if is_shared { "1" } else { call };
            assert_eq!(answer.text(), expected, "{field} {control:?}");
        }
        app.done().await;
    }
}

const ACAO: &str = "access-control-allow-origin";

fn from(app: &App, origin: &str) -> Sending {
    app.get("/").header("origin", origin)
}

pub(crate) async fn dcp_04_a_304_that_reflects_an_origin_allows_it_for_nobody_else() {
    let page = Origin::of("\"v1\"", "one");
    let app = Site::replying(fields(), move |ask: Ask| {
        let reply = page.reply(&ask).control("public, max-age=60");
        match &*ask.header("origin") {
            "" => reply,
            origin => reply.header(ACAO, origin),
        }
    })
    .start();
    assert_eq!(told(&app.get("/").send().await), (200, "one"));
    pass(seconds(61)).await;
    let evil = from(&app, "https://evil.test").send().await;
    assert_eq!(
        (told(&evil), evil.header(ACAO)),
        ((200, "one"), "https://evil.test")
    );
    assert_eq!(app.saw(2).header("if-none-match"), "\"v1\"");
    for origin in ["https://good.test", "https://other.test"] {
        let answer = from(&app, origin).send().await;
        assert_eq!((told(&answer), answer.header(ACAO)), ((200, "one"), origin));
    }
    let anonymous = app.get("/").send().await;
    assert_eq!(
        (told(&anonymous), anonymous.header(ACAO)),
        ((200, "one"), "")
    );
    app.done().await;
}

pub(crate) async fn dcp_04_neither_a_part_nor_a_head_that_reflects_an_origin_is_kept() {
    let page = Origin::of("\"v1\"", "one");
    let app = Site::replying(fields(), move |ask: Ask| {
        let reply = page.reply(&ask).control("public, max-age=60");
        match &*ask.header("origin") {
            "" => reply,
            origin => reply.header(ACAO, origin),
        }
    })
    .start();
    let part = from(&app, "https://evil.test").header("range", "bytes=0-0");
    let part = part.send().await;
    assert_eq!((told(&part), app.stats().entries), ((206, "o"), 0));
    assert_eq!(told(&app.get("/").send().await), (200, "one"));
    pass(seconds(61)).await;
    let head = app.head("/").header("origin", "https://evil.test");
    assert_eq!(head.send().await.header(ACAO), "https://evil.test");
    for _ in 0..2 {
        let answer = app.get("/").send().await;
        assert_eq!((told(&answer), answer.header(ACAO)), ((200, "one"), ""));
    }
    let good = from(&app, "https://good.test").send().await;
    assert_ne!(good.header(ACAO), "https://evil.test");
    app.done().await;
}

pub(crate) async fn dcp_04_with_vary_each_origin_has_its_own_also_when_it_is_validated() {
    let page = Origin::of("\"v1\"", "one");
    let app = Site::replying(fields(), move |ask: Ask| {
        page.reply(&ask)
            .control("public, max-age=60")
            .header("vary", "origin")
            .header(ACAO, ask.header("origin"))
    })
    .start();
    for age in [0, 0, 61, 0] {
        pass(seconds(age)).await;
        for origin in ["https://evil.test", "https://good.test", "null"] {
            let answer = from(&app, origin).send().await;
            assert_eq!(
                (told(&answer), answer.header(ACAO)),
                ((200, "one"), origin),
                "{age}"
            );
        }
    }
    assert_eq!(app.calls(), 6);
    app.done().await;
}

pub(crate) async fn sto_04_a_304_that_is_about_one_client_is_kept_for_nobody() {
    for (name, value) in [
        ("www-authenticate", "Negotiate abc"),
        ("authentication-info", "nextnonce=1"),
        ("clear-site-data", "\"cookies\""),
        ("content-security-policy", "script-src 'nonce-r4nd0m'"),
        ("set-cookie", "sid=1"),
    ] {
        let page = Origin::of("\"v1\"", "one");
        let app = Site::replying(fields(), move |ask: Ask| {
            let reply = page.reply(&ask).control("public, max-age=60");
            match ask.call {
                2 => reply.header(name, value),
                _ => reply,
            }
        })
        .start();
        app.get("/").send().await;
        pass(seconds(61)).await;
        let first = app.get("/").send().await;
        assert_eq!((told(&first), first.header(name)), ((200, "one"), value));
        for _ in 0..2 {
            let other = app.get("/").send().await;
            assert_eq!(
                (told(&other), other.header(name)),
                ((200, "one"), ""),
                "{name}"
            );
        }
        assert_eq!(app.calls(), 3, "{name}");
        app.done().await;
    }
}

pub(crate) async fn sto_07_what_does_not_parse_is_not_stored_on_any_way() {
    for control in [
        "public, max-age=60, x=\"",
        "max-age=60 public",
        "public; max-age=60",
    ] {
        let page = Origin::of("\"v1\"", "0123456789");
        let app = Site::replying(Policy::ttl(minutes(5)), page.handler(control)).start();
        for call in [1, 3] {
            assert_eq!(told(&app.get("/").send().await), (200, "0123456789"));
            let part = app.get("/").header("range", "bytes=0-3").send().await;
            assert_eq!(told(&part), (206, "0123"), "{control}");
            assert_eq!(
                (app.calls(), app.stats().entries),
                (call + 1, 0),
                "{control}"
            );
        }
        app.done().await;
    }
}
