//! Purging: who may, how far it reaches, and what it must not cost.

use crate::support::{Ask, Gate, Policy, Reply, Site, eventually, minutes};
use http::Method;

pub(crate) async fn adm_01_nothing_is_purged_over_http_unless_a_handler_does_it() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| match ask.method.as_str() {
        "GET" => Reply::text(ask.call.to_string()),
        _ => Reply::text("no").status(405),
    })
    .start();
    assert_eq!(app.get("/x").send().await.text(), "1");
    for (method, path) in [
        ("PURGE", "/x"),
        ("BAN", "/x"),
        ("REFRESH", "/x"),
        ("DELETE", "/x"),
        ("POST", "/admin/purge"),
        ("POST", "/purge"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = app
            .request(method, path)
            .header("x-purge", "all")
            .send()
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (405, "no"),
            "the handler's own answer"
        );
    }
    for field in [
        "x-purge",
        "x-refresh",
        "fastly-purge",
        "surrogate-key",
        "x-cache-bypass",
    ] {
        assert_eq!(
            app.get("/x").header(field, "1").send().await.text(),
            "1",
            "{field}"
        );
    }
    app.done().await;
}

pub(crate) async fn adm_01_a_handler_purges_whom_it_lets() {
    let app = Site::of(Policy::ttl(minutes(5)), |ask: Ask| async move {
        if ask.method == Method::POST {
            if ask.header("authorization") != "admin" {
                return Reply::text("no").status(403);
            }
            ask.purger().all().await;
        }
        Reply::text(ask.call.to_string())
    })
    .start();
    assert_eq!(app.get("/x").send().await.text(), "1");
    assert_eq!(app.post("/admin").send().await.status.as_u16(), 403);
    assert_eq!(app.get("/x").send().await.text(), "1");
    assert_eq!(
        app.post("/admin")
            .header("authorization", "admin")
            .send()
            .await
            .text(),
        "3"
    );
    assert_eq!(app.get("/x").send().await.text(), "4");
    app.done().await;
}

fn name(n: usize, length: usize) -> String {
    let n = n.to_string();
    format!("{n}{}", "x".repeat(length - n.len()))
}

pub(crate) async fn adm_04_too_many_groups_or_too_long_ones_are_not_stored() {
    for (count, length, is_stored) in [
        (128, 10, true),
        (129, 10, false),
        (10_000, 10, false),
        (1, 1024, true),
        (1, 1025, false),
        (1, 1 << 20, false),
    ] {
        let app = Site::replying(Policy::ttl(minutes(5)), move |ask| {
            let names = (0..count).map(|n| name(n, length));
            let mut reply = Reply::text(ask.call.to_string());
            cache_tower::Groups::new(names).put(reply.response.extensions_mut());
            reply
        })
        .start();
        assert_eq!(app.get("/").send().await.text(), "1");
        let next = if is_stored { "1" } else { "2" };
        assert_eq!(
            app.get("/").send().await.text(),
            next,
            "{count} of {length}"
        );
        app.purger().group(name(count - 1, length)).await;
        let after = app.get("/").send().await;
        assert_ne!(after.text(), next, "each of them can be purged");
        app.done().await;
    }
}

pub(crate) async fn adm_05_a_purge_reaches_its_own_cache_only() {
    let site = Site::replying(Policy::ttl(minutes(5)).group("users"), |ask| {
        Reply::text(ask.call.to_string())
    });
    let (one, mut other) = (site.clone().start(), site);
    other.routes[0].calls = std::sync::Arc::default();
    let other = other.start();
    for app in [&one, &other] {
        assert_eq!(app.get("/").send().await.text(), "1");
    }
    one.purger().group("users").await;
    one.purger().all().await;
    assert_eq!(one.get("/").send().await.text(), "2");
    assert_eq!(other.get("/").send().await.text(), "1");
    one.done().await;
    other.done().await;
}

pub(crate) async fn adm_05_a_group_reaches_all_its_responses_and_no_others() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        let mut reply = Reply::text(ask.call.to_string()).header("vary", "accept");
        let groups = ask
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|group| !group.is_empty());
        cache_tower::Groups::new(groups).put(reply.response.extensions_mut());
        reply
    })
    .start();
    let paths = ["/1?a", "/2?a&b", "/3?b", "/4", "/5?ab"];
    for (n, path) in paths.iter().enumerate() {
        assert_eq!(app.get(path).send().await.text(), (n + 1).to_string());
    }
    assert_eq!(
        app.get("/1?a").header("accept", "de").send().await.text(),
        "6"
    );
    app.purger().group("a").await;
    let mut after = Vec::new();
    for path in paths {
        after.push(app.get(path).send().await.text().to_owned());
    }
    assert_eq!(after, ["7", "8", "3", "4", "5"]);
    assert_eq!(
        app.get("/1?a").header("accept", "de").send().await.text(),
        "9",
        "all variants"
    );
    app.done().await;
}

pub(crate) async fn adm_05_a_purge_refuses_what_is_on_its_way() {
    for purge in ["group", "uri", "all"] {
        let gate = Gate::closed();
        let opened = gate.clone();
        let policy = Policy::ttl(minutes(5)).group("g");
        let app = Site::of(policy, move |ask: Ask| {
            let gate = opened.clone();
            async move {
                if ask.call == 1 {
                    gate.opened().await;
                }
                Reply::text(ask.call.to_string())
            }
        })
        .start();
        let early = tokio::spawn(app.get("/").send());
        eventually("the first", || app.calls() == 1).await;
        match purge {
            "group" => app.purger().group("g").await,
            "uri" => {
                app.purger()
                    .uri(&"http://example.test/".parse().unwrap())
                    .await
            }
            _ => app.purger().all().await,
        }
        gate.open();
        assert_eq!(early.await.unwrap().text(), "1");
        assert_eq!(app.get("/").send().await.text(), "2", "{purge}");
        assert_eq!(app.get("/").send().await.text(), "2", "{purge}");
        app.done().await;
    }
}
