//! Deception: one user is made to leave what is theirs where another finds it.

use crate::support::{Ask, Policy, Reply, Site, minutes};

fn account(control: &'static str) -> impl Fn(Ask) -> Reply + Send + Sync + 'static {
    move |ask| {
        let reply = Reply::text(format!("account of {:?}", ask.header("cookie")));
        if control.is_empty() {
            reply
        } else {
            reply.control(control)
        }
    }
}

pub(crate) async fn dcp_01_no_suffix_of_a_path_makes_a_page_with_a_cookie_storable() {
    for (policy, control) in [
        (Policy::ttl(minutes(5)), ""),
        (Policy::override_ttl(minutes(5)), ""),
        (Policy::ttl(minutes(5)), "max-age=600"),
        (Policy::from_headers(), "max-age=600"),
    ] {
        let app = Site::replying(policy, account(control)).start();
        for path in [
            "/account/x.css",
            "/account/%2e%2e/static/x.js",
            "/account;x.png",
            "/account?x.css",
        ] {
            let victim = app.get(path).header("cookie", "sid=alice").send().await;
            assert_eq!(victim.text(), "account of \"sid=alice\"");
            assert_eq!(
                app.get(path).send().await.text(),
                "account of \"\"",
                "{path}: {control}"
            );
            let bob = app.get(path).header("cookie", "sid=bob").send().await;
            assert_eq!(bob.text(), "account of \"sid=bob\"", "{path}: {control}");
        }
        app.done().await;
    }
}

pub(crate) async fn dcp_01_what_says_itself_that_it_is_shared_is_stored() {
    for control in ["public, max-age=600", "s-maxage=600"] {
        let app = Site::replying(Policy::from_headers(), move |ask| {
            Reply::text(ask.call.to_string()).control(control)
        })
        .start();
        assert_eq!(
            app.get("/x.css")
                .header("cookie", "sid=alice")
                .send()
                .await
                .text(),
            "1"
        );
        assert_eq!(app.get("/x.css").send().await.text(), "1", "{control}");
        app.done().await;
    }
}

pub(crate) async fn dcp_04_a_reflected_origin_without_vary_is_not_stored() {
    let reflecting = |ask: Ask| {
        Reply::text(ask.call.to_string())
            .control("public, max-age=60")
            .header("access-control-allow-origin", ask.header("origin"))
    };
    let app = Site::replying(Policy::from_headers(), reflecting).start();
    for origin in ["https://evil.test", "https://good.test", "null"] {
        let answer = app.get("/").header("origin", origin).send().await;
        assert_eq!(answer.header("access-control-allow-origin"), origin);
    }
    assert_eq!((app.calls(), app.stats().stored), (3, 0));
    app.done().await;
}

pub(crate) async fn dcp_04_a_reflected_origin_with_vary_is_stored_for_each_origin() {
    let reflecting = |ask: Ask| {
        Reply::text(ask.header("origin"))
            .control("max-age=60")
            .header("vary", "origin")
            .header("access-control-allow-origin", ask.header("origin"))
    };
    let app = Site::replying(Policy::from_headers(), reflecting).start();
    for origin in [
        "https://evil.test",
        "https://good.test",
        "https://evil.test",
    ] {
        let answer = app.get("/").header("origin", origin).send().await;
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert_eq!(answer.text(), origin);
    }
    assert_eq!(app.calls(), 2);

    let open = Site::replying(Policy::ttl(minutes(1)), |ask| {
        Reply::text(ask.call.to_string()).header("access-control-allow-origin", "*")
    })
    .start();
    for origin in ["https://a.test", "https://b.test"] {
        assert_eq!(
            open.get("/").header("origin", origin).send().await.text(),
            "1"
        );
    }
    open.done().await;
    app.done().await;
}
