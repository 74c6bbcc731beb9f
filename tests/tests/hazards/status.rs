//! What is told, and what is kept of a response's fields.

use crate::support::{Ask, Piece, Policy, Reply, Site, minutes, pass, seconds};

pub(crate) async fn sto_44_bytes_of_fields_are_kept_exactly() {
    const NAME: &[u8] = "attachment; filename=\"naïve\t\u{1F980}.txt\"".as_bytes();
    const LATIN: &[u8] = b"caf\xe9 \x80\xff";
    let app = Site::replying(Policy::ttl(minutes(5)), |_| {
        Reply::text("body")
            .header("content-disposition", NAME)
            .header("x-latin", LATIN)
            .header("x-empty", "")
    })
    .start();
    for _ in 0..2 {
        let answer = app.get("/").send().await;
        assert_eq!(answer.headers["content-disposition"].as_bytes(), NAME);
        assert_eq!(answer.headers["x-latin"].as_bytes(), LATIN);
        assert_eq!(answer.headers["x-empty"].as_bytes(), b"");
        assert_eq!(answer.text(), "body");
    }
    assert_eq!(app.calls(), 1);
    app.done().await;
}

pub(crate) async fn sto_45_repeated_fields_keep_their_order_and_number() {
    const LINKS: [&str; 3] = ["</z>; rel=z", "</a>; rel=a", "</m>; rel=m"];
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        let reply = Reply::text(ask.call.to_string())
            .header("via", "1.1 z")
            .header("cache-control", "max-age=60")
            .header("via", "1.1 a")
            .header("cache-control", "public");
        LINKS
            .iter()
            .fold(reply, |reply, link| reply.header("link", link))
    })
    .start();
    for _ in 0..2 {
        let answer = app.get("/").send().await;
        assert_eq!(answer.text(), "1");
        assert_eq!(answer.all("link"), LINKS);
        assert_eq!(answer.all("via"), ["1.1 z", "1.1 a"]);
        assert_eq!(answer.all("cache-control"), ["max-age=60", "public"]);
    }
    app.done().await;
}

pub(crate) async fn sto_45_fields_of_one_connection_are_not_kept() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(ask.call.to_string())
            .header("connection", "x-hop, keep-alive")
            .header("x-hop", "1")
            .header("keep-alive", "timeout=5")
            .header("x-end", "1")
    })
    .start();
    assert_eq!(app.get("/").send().await.text(), "1");
    let hit = app.get("/").send().await;
    assert_eq!((hit.text(), hit.header("x-end")), ("1", "1"));
    for name in ["connection", "x-hop", "keep-alive"] {
        assert_eq!(hit.header(name), "", "{name}");
    }
    app.done().await;
}

pub(crate) async fn sto_61_what_is_told_of_a_decision_names_no_key_no_host_and_no_error() {
    let policy = Policy::ttl(seconds(10))
        .stale_while_revalidate(seconds(10))
        .stale_if_error(seconds(60))
        .group("canary-group");
    let app = Site::replying(policy, |ask| {
        let reply = Reply::text(format!("canary-body {}", ask.call));
        match ask.header("x-do").as_str() {
            "fail" => reply.status(500),
            "break" => Reply::pieces(vec![Piece::data("x"), Piece::Fail]),
            "cookie" => reply.header("set-cookie", "canary-cookie"),
            _ if ask.uri.path() == "/down" && ask.call > 8 => reply.status(503),
            _ => reply,
        }
    })
    .start();
    let mut told = Vec::new();
    let requests = [
        app.get("/canary?canary=1").host("canary.test"),
        app.get("/canary?canary=1").host("canary.test"),
        app.get("/canary-2").header("x-do", "fail"),
        app.get("/canary-3").header("x-do", "break"),
        app.get("/canary-4")
            .header("x-do", "cookie")
            .header("cookie", "canary-sid"),
        app.get("/canary-5").header("range", "bytes=0-canary"),
        app.get("/canary-7").header("if-match", "\"canary\""),
        app.post("/canary-6").body("canary"),
        app.get("/down"),
    ];
    for request in requests {
        told.extend(
            request
                .send()
                .await
                .all("cache-status")
                .iter()
                .map(|s| (*s).to_owned()),
        );
    }
    for later in [11, 20] {
        pass(seconds(later)).await;
        for request in [
            app.get("/canary?canary=1").host("canary.test"),
            app.get("/down"),
        ] {
            told.extend(
                request
                    .send()
                    .await
                    .all("cache-status")
                    .iter()
                    .map(|s| (*s).to_owned()),
            );
            app.settled().await;
        }
    }
    let all = told.join("\n");
    assert!(told.len() >= 11, "{all}");
    for word in [
        ";hit",
        "swr",
        "stale-if-error",
        "fwd=uri-miss",
        "fwd=bypass",
        "fwd=method",
    ] {
        assert!(all.contains(word), "{word} is not among\n{all}");
    }
    for secret in ["canary", ".test", "broke", "500", "503", "127.", "/"] {
        assert!(!all.contains(secret), "{secret} is told in\n{all}");
    }
    app.done().await;
}

pub(crate) async fn sto_61_flights_that_are_shared_are_told_as_such_and_no_more() {
    let gate = crate::support::Gate::closed();
    let opened = gate.clone();
    let app = Site::of(Policy::ttl(minutes(5)), move |_| {
        let gate = opened.clone();
        async move {
            gate.opened().await;
            Reply::text("shared")
        }
    })
    .start();
    let flying: Vec<_> = (0..3)
        .map(|_| tokio::spawn(app.get("/canary").send()))
        .collect();
    crate::support::eventually("all are here", || app.stats().misses == 3).await;
    gate.open();
    let mut told = Vec::new();
    for answer in flying {
        let answer = answer.await.unwrap();
        assert_eq!(answer.text(), "shared");
        told.push(answer.cache().to_owned());
    }
    told.sort();
    assert_eq!(
        told,
        [
            "cache-tower;fwd=uri-miss;ttl=300;collapsed",
            "cache-tower;fwd=uri-miss;ttl=300;collapsed",
            "cache-tower;fwd=uri-miss;ttl=300;stored",
        ]
    );
    app.done().await;
}

pub(crate) async fn sto_62_what_a_client_says_of_caches_changes_nothing() {
    let spoofed = |ask: Ask| {
        Reply::text(format!("{} {}", ask.call, ask.header("cache-status"))).header("x-cache", "HIT")
    };
    let app = Site::replying(Policy::ttl(minutes(5)), spoofed).start();
    let request = || {
        app.get("/")
            .header("cache-status", "cache-tower;hit;ttl=9999")
            .header("age", "999999")
            .header("x-cache", "HIT")
            .header("surrogate-control", "no-store")
    };
    let first = request().send().await;
    assert_eq!(first.text(), "1 cache-tower;hit;ttl=9999");
    assert_eq!(
        first.all("cache-status"),
        ["cache-tower;fwd=uri-miss;ttl=300;stored"]
    );
    let hit = request().send().await;
    assert_eq!(
        (hit.text(), hit.header("age")),
        ("1 cache-tower;hit;ttl=9999", "0")
    );
    assert_eq!(
        hit.all("cache-status"),
        ["cache-tower;hit;ttl=300;detail=L1"]
    );
    assert_eq!(
        app.get("/").send().await.text(),
        hit.text(),
        "nor is it in the key"
    );
    app.done().await;
}

pub(crate) async fn sto_62_ours_comes_after_what_the_handler_says() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(ask.call.to_string())
            .header("cache-status", "origin;hit;ttl=7")
            .header("cache-status", "edge;fwd=miss")
            .header("age", "3")
    })
    .start();
    let theirs = ["origin;hit;ttl=7", "edge;fwd=miss"];
    for (text, ours, age) in [
        ("1", "cache-tower;fwd=uri-miss;ttl=297;stored", "3"),
        ("1", "cache-tower;hit;ttl=297;detail=L1", "3"),
        ("1", "cache-tower;hit;ttl=297;detail=L1", "3"),
    ] {
        let answer = app.get("/").send().await;
        assert_eq!(answer.text(), text);
        assert_eq!(answer.all("cache-status"), [&theirs[..], &[ours]].concat());
        assert_eq!(answer.all("age"), [age]);
    }
    app.done().await;
}
