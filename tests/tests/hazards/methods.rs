//! Which methods are answered, stored, and what they remove.

use crate::support::{Ask, Policy, Reply, Site, minutes};
use http::Method;

/// Says which call this is, of which method.
fn numbered(ask: Ask) -> Reply {
    Reply::text(format!("{} {}", ask.method, ask.call)).control("public, max-age=60")
}

pub(crate) async fn sto_29_a_head_never_becomes_the_answer_to_a_get() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(format!("the page, {}", ask.call)).control("public, max-age=60")
    })
    .start();
    for _ in 0..2 {
        let head = app.head("/").send().await;
        assert_eq!((head.text(), head.header("content-length")), ("", "11"));
    }
    assert_eq!(app.stats().stored, 0);
    assert_eq!(app.get("/").send().await.text(), "the page, 3");
    let head = app.head("/").send().await;
    assert_eq!(
        (head.text(), head.header("content-length")),
        ("", "11"),
        "from the stored GET"
    );
    assert!(head.cache().contains(";hit"), "{}", head.cache());
    assert_eq!(app.get("/").send().await.text(), "the page, 3");
    assert_eq!(app.calls(), 3);
    app.done().await;
}

pub(crate) async fn sto_29_a_head_does_not_wait_for_a_get_nor_a_get_for_a_head() {
    let gate = crate::support::Gate::closed();
    let opened = gate.clone();
    let app = Site::of(Policy::ttl(minutes(5)), move |ask| {
        let gate = opened.clone();
        async move {
            if ask.call == 1 {
                gate.opened().await;
            }
            Reply::text(format!("the page, {}", ask.call))
        }
    })
    .start();
    let slow = tokio::spawn(app.head("/").send());
    crate::support::eventually("the HEAD", || app.calls() == 1).await;
    assert_eq!(app.get("/").send().await.text(), "the page, 2");
    gate.open();
    assert_eq!(slow.await.unwrap().text(), "");
    assert_eq!(app.get("/").send().await.text(), "the page, 2");
    app.done().await;
}

pub(crate) async fn sto_36_a_post_is_never_looked_up_and_never_stored() {
    let app = Site::replying(Policy::override_ttl(minutes(5)), |ask| {
        Reply::text(ask.body).control("public, max-age=60")
    })
    .start();
    for payee in ["bob", "carol", "bob"] {
        assert_eq!(app.post("/pay").body(payee).send().await.text(), payee);
    }
    assert_eq!((app.calls(), app.stats().stored), (3, 0));
    assert_eq!(app.get("/pay").send().await.text(), "");
    assert_eq!(app.post("/pay").body("dave").send().await.text(), "dave");
    app.done().await;
}

pub(crate) async fn sto_36_of_all_methods_only_get_is_stored() {
    for method in [
        "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "get", "Head",
        "X",
    ] {
        let app = Site::replying(Policy::override_ttl(minutes(5)), numbered).start();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        for call in 1..=2 {
            let answer = app.request(method.clone(), "/").send().await;
            assert_eq!(answer.text(), format!("{method} {call}"));
        }
        assert_eq!(app.get("/").send().await.text(), "GET 3");
        assert_eq!(
            app.request(method.clone(), "/").send().await.text(),
            format!("{method} 4")
        );
        app.done().await;
    }
}

pub(crate) async fn sto_37_an_unsafe_method_removes_what_is_stored_for_its_uri() {
    for (method, status, removes) in [
        ("PUT", 200, true),
        ("POST", 201, true),
        ("DELETE", 204, true),
        ("PATCH", 200, true),
        ("POST", 303, true),
        ("FOO", 200, true),
        ("get", 200, true),
        ("PUT", 400, false),
        ("PUT", 404, false),
        ("DELETE", 500, false),
        ("OPTIONS", 200, false),
        ("TRACE", 200, false),
    ] {
        let app = Site::replying(Policy::ttl(minutes(5)), move |ask| {
            match ask.method.as_str() {
                "GET" => numbered(ask),
                _ => Reply::text("").status(status),
            }
        })
        .start();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(app.get("/a?b").send().await.text(), "GET 1");
        assert_eq!(app.get("/a").send().await.text(), "GET 2");
        app.request(method.clone(), "/a?b").send().await;
        let after = if removes { "GET 4" } else { "GET 1" };
        assert_eq!(
            app.get("/a?b").send().await.text(),
            after,
            "{method} {status}"
        );
        assert_eq!(
            app.get("/a").send().await.text(),
            "GET 2",
            "{method}: another URI stays"
        );
        assert_eq!(
            app.get("/a?b").host("other.test").send().await.text().len(),
            5
        );
        app.done().await;
    }
}

pub(crate) async fn sto_37_all_variants_and_longer_keys_of_the_uri_go() {
    let policy = Policy::ttl(minutes(5)).vary_by_header(http::HeaderName::from_static("x-tenant"));
    let app = Site::replying(policy, |ask| {
        Reply::text(ask.call.to_string()).header("vary", "accept")
    })
    .start();
    let requests = || {
        [
            app.get("/"),
            app.get("/").header("accept", "de"),
            app.get("/").header("x-tenant", "a"),
            app.get("/").header("x-tenant", "a").header("accept", "de"),
            app.get("/").header("x-forwarded-host", "other.test"),
            app.get("/").header("forwarded", "host=other.test"),
        ]
    };
    for calls in [6, 12] {
        for _ in 0..2 {
            for request in requests() {
                request.send().await;
            }
        }
        assert!(
            app.calls() >= calls && app.calls() <= calls + 1,
            "each once: {}",
            app.calls()
        );
        if calls == 6 {
            app.put("/").send().await;
        }
    }
    app.done().await;
}

pub(crate) async fn sto_37_an_invalidation_refuses_the_load_that_began_before_it() {
    let gate = crate::support::Gate::closed();
    let opened = gate.clone();
    let app = Site::of(Policy::ttl(minutes(5)), move |ask| {
        let gate = opened.clone();
        async move {
            if ask.call == 1 {
                gate.opened().await;
            }
            Reply::text(format!("{} {}", ask.method, ask.call))
        }
    })
    .start();
    let early = tokio::spawn(app.get("/").send());
    crate::support::eventually("the first", || app.calls() == 1).await;
    app.put("/").send().await;
    let after = app.get("/").send().await;
    assert_eq!(
        after.text(),
        "GET 3",
        "who comes after the PUT does not get what began before it"
    );
    gate.open();
    assert_eq!(
        early.await.unwrap().text(),
        "GET 1",
        "its own client gets what it asked for"
    );
    assert_eq!(app.get("/").send().await.text(), "GET 3");
    app.done().await;
}

pub(crate) async fn sto_40_unknown_methods_and_spellings_are_passed_on() {
    let app = Site::replying(Policy::override_ttl(minutes(5)), numbered).start();
    assert_eq!(app.get("/").send().await.text(), "GET 1");
    for (call, method) in [
        (2, "get"),
        (3, "GETX"),
        (4, "FOO"),
        (5, "TRACE"),
        (6, "HEADS"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = app.request(method.clone(), "/x").send().await;
        assert_eq!(answer.text(), format!("{method} {call}"));
        assert!(answer.cache().ends_with("fwd=method"), "{}", answer.cache());
    }
    assert_eq!(app.get("/").send().await.text(), "GET 1");
    assert_eq!(app.stats().bypasses, 5);
    app.done().await;
}

pub(crate) async fn sto_58_each_reason_to_go_past_the_cache_is_named() {
    let app = Site::replying(Policy::override_ttl(minutes(5)), numbered).start();
    assert_eq!(app.get("/").send().await.text(), "GET 1");
    let lines: [(&str, &str, &str); 8] = [
        ("if-match", "\"x\"", "precondition"),
        (
            "if-unmodified-since",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "precondition",
        ),
        ("content-length", "5", "request-body"),
        ("transfer-encoding", "chunked", "request-body"),
        ("upgrade", "h2c", "upgrade"),
        ("x-http-method-override", "PUT", "method-override"),
        ("host", "second.test", "authority"),
        ("content-length", "x", "request-body"),
    ];
    for (n, (name, value, reason)) in lines.into_iter().enumerate() {
        let answer = app.get("/").header(name, value).send().await;
        assert_eq!(answer.text(), format!("GET {}", n + 2), "{name}");
        assert_eq!(
            answer.cache(),
            format!("cache-tower;fwd=bypass;detail={reason}")
        );
    }
    assert_eq!(app.get("/").send().await.text(), "GET 1");
    let unkept = app.get("/unkept").header("cache-control", "no-store");
    let answer = unkept.send().await;
    assert_eq!(answer.cache(), "cache-tower;fwd=bypass;detail=no-store");
    assert_eq!((app.stats().bypasses, app.stats().stored), (9, 1));
    app.done().await;

    let off = Site::replying(Policy::off(), numbered).start();
    for call in ["GET 1", "GET 2"] {
        let answer = off.get("/").send().await;
        assert_eq!(
            (answer.text(), answer.cache()),
            (call, "cache-tower;fwd=bypass;detail=policy")
        );
    }
    off.done().await;
}

pub(crate) async fn sto_58_only_if_cached_is_answered_from_the_store_or_with_504() {
    let app = Site::replying(Policy::ttl(minutes(5)), numbered).start();
    let only = || app.get("/").header("cache-control", "only-if-cached");
    let refused = only().send().await;
    assert_eq!(
        (refused.status.as_u16(), refused.text(), app.calls()),
        (504, "", 0)
    );
    assert_eq!(app.get("/").send().await.text(), "GET 1");
    assert_eq!(only().send().await.text(), "GET 1");
    crate::support::pass(minutes(6)).await;
    assert_eq!(only().send().await.status.as_u16(), 504);
    assert_eq!(app.calls(), 1);
    app.done().await;
}

pub(crate) async fn sto_37_an_update_whose_client_leaves_may_have_happened() {
    let app = Site::of(Policy::ttl(minutes(5)), |ask: Ask| async move {
        if ask.method == Method::PUT {
            std::future::pending::<()>().await;
        }
        Reply::text(ask.call.to_string())
    })
    .start();
    assert_eq!(app.get("/").send().await.text(), "1");
    let update = tokio::spawn(app.put("/").send());
    crate::support::eventually("the update", || app.calls() == 2).await;
    assert_eq!(app.get("/").send().await.text(), "1");
    update.abort();
    assert!(update.await.is_err());
    assert_eq!(app.get("/").send().await.text(), "3");
    app.done().await;
}
