//! What HEAD, POST and the other methods do to what is stored for GET.

use crate::support::{
    Answer, App, Ask, Gate, Origin, Policy, Reply, Settings, Site, eventually, minutes, pass,
    seconds,
};
use http::Method;

const FRESH: &str = "public, max-age=60";

fn fields() -> Policy {
    Policy::from_headers()
}

fn told(answer: &Answer) -> (u16, &str, &str) {
    (answer.status.as_u16(), answer.text(), answer.header("etag"))
}

const ONE: (u16, &str, &str) = (200, "one", "\"v1\"");

/// A page is stored and goes stale; then a HEAD comes, to which these lines are the answer.
async fn after_head(lines: &'static [(&'static str, &'static str)], status: u16) -> App {
    let app = Site::replying(fields(), move |ask| {
        let reply = match ask.method {
            Method::HEAD => return Reply::text("xxx").status(status).headers(lines),
            _ => Origin::of("\"v1\"", "one").reply(&ask),
        };
        reply
            .control(FRESH)
            .header("last-modified", "Sat, 01 Jan 2000 00:00:00 GMT")
            .header("x-of", ask.call.to_string())
    })
    .start();
    assert_eq!(told(&app.get("/").send().await), ONE);
    pass(seconds(61)).await;
    let head = app.head("/").send().await;
    assert_eq!((head.status.as_u16(), head.text()), (status, ""));
    assert_eq!((app.calls(), app.saw(2).method), (2, Method::HEAD));
    assert!(
        app.saw(2).is_plain(),
        "a HEAD is not for asking about a GET"
    );
    app
}

const CONTROL: (&str, &str) = ("cache-control", FRESH);
const V1: (&str, &str) = ("etag", "\"v1\"");

pub(crate) async fn sto_29_a_head_that_tells_of_the_same_page_renews_it() {
    for lines in [
        &[CONTROL, V1, ("x-of", "head")][..],
        &[
            CONTROL,
            ("last-modified", "Sat, 01 Jan 2000 00:00:00 GMT"),
            ("x-of", "head"),
        ],
        &[
            CONTROL,
            V1,
            ("last-modified", "Sat, 01 Jan 2000 00:00:00 GMT"),
            ("x-of", "head"),
        ],
    ] {
        let app = after_head(lines, 200).await;
        for _ in 0..2 {
            let answer = app.get("/").send().await;
            assert_eq!(told(&answer), ONE, "{lines:?}");
            assert_eq!(
                (answer.header("x-of"), answer.header("content-length")),
                ("head", "3")
            );
            assert_eq!(app.calls(), 2, "{lines:?}: it is fresh again");
        }
        app.done().await;
    }
}

pub(crate) async fn sto_29_a_head_that_tells_of_another_page_makes_what_is_stored_stale() {
    for lines in [
        &[CONTROL, ("etag", "\"v2\"")][..],
        &[CONTROL, ("etag", "W/\"v1\"")],
        &[
            CONTROL,
            V1,
            ("last-modified", "Sun, 02 Jan 2000 00:00:00 GMT"),
        ],
        &[CONTROL, ("last-modified", "Sun, 02 Jan 2000 00:00:00 GMT")],
    ] {
        let app = after_head(lines, 200).await;
        let answer = app.get("/").send().await;
        assert_eq!(told(&answer), ONE, "{lines:?}");
        assert_eq!(answer.header("x-of"), "3", "{lines:?}: asked anew");
        assert_eq!(app.calls(), 3);
        app.done().await;
    }
}

pub(crate) async fn sto_29_a_head_of_a_fresh_page_may_still_find_it_changed() {
    let origin = Origin::of("\"v1\"", "one");
    let app = Site::replying(fields(), origin.handler(FRESH)).start();
    app.get("/").send().await;
    origin.becomes("\"v2\"", "three");
    let head = app.head("/").send().await;
    assert_eq!(
        (head.header("etag"), app.calls()),
        ("\"v1\"", 1),
        "from the store"
    );
    let head = app
        .head("/")
        .header("cache-control", "no-cache")
        .send()
        .await;
    assert_eq!(
        (head.header("etag"), head.header("content-length")),
        ("\"v2\"", "5")
    );
    assert_eq!(told(&app.get("/").send().await), (200, "three", "\"v2\""));
    assert_eq!(app.calls(), 3);
    app.done().await;
}

pub(crate) async fn sto_29_a_head_by_its_length_alone_tells_of_another_page() {
    for (new, calls) in [("four", 3), ("two", 2)] {
        // No validator; the origin changes without a word.
        let app = Site::replying(fields(), move |ask| {
            match ask.call {
                1 => Reply::text("one"),
                _ => Reply::text(new),
            }
            .control(FRESH)
        })
        .start();
        app.get("/").send().await;
        app.head("/")
            .header("cache-control", "no-cache")
            .send()
            .await;
        let answer = app.get("/").send().await;
        let length = answer.header("content-length");
        assert!(length.is_empty() || length == answer.body.len().to_string());
        assert_eq!(answer.text(), if calls == 3 { new } else { "one" });
        assert_eq!(app.calls(), calls, "{new}");
        app.done().await;
    }
}

pub(crate) async fn sto_29_an_error_to_a_head_says_nothing_of_the_page() {
    for status in [400, 401, 403, 405, 500, 501, 503] {
        let app = Site::replying(fields(), move |ask| match ask.method {
            Method::HEAD => Reply::text("no")
                .status(status)
                .control("public, max-age=600"),
            _ => Origin::of("\"v1\"", "one").reply(&ask).control(FRESH),
        })
        .start();
        app.get("/").send().await;
        let head = app
            .head("/")
            .header("cache-control", "no-cache")
            .send()
            .await;
        assert_eq!(head.status.as_u16(), status);
        assert_eq!(told(&app.get("/").send().await), ONE, "{status}");
        assert_eq!(app.calls(), 2, "{status}: it is still fresh");
        app.done().await;
    }
}

pub(crate) async fn sto_29_whatever_a_head_says_a_get_has_its_own_body_and_framing() {
    for lines in [
        &[CONTROL, V1, ("content-length", "0")][..],
        &[CONTROL, V1, ("content-encoding", "gzip")],
        &[CONTROL, V1, ("transfer-encoding", "chunked")],
        &[CONTROL, V1, ("content-range", "bytes 0-0/1")],
        &[CONTROL, V1, ("connection", "etag"), ("trailer", "x")],
        &[CONTROL, V1, ("vary", "*")],
        &[CONTROL, V1, ("set-cookie", "sid=head")],
        &[("cache-control", "max-age=60, x=\""), V1],
    ] {
        let app = after_head(lines, 200).await;
        for _ in 0..2 {
            let answer = app.get("/").send().await;
            assert_eq!(told(&answer), ONE, "{lines:?}");
            let length = answer.header("content-length");
            assert!(length.is_empty() || length == "3", "{lines:?}: {length}");
            for name in [
                "content-encoding",
                "transfer-encoding",
                "content-range",
                "set-cookie",
            ] {
                assert_eq!(answer.all(name), [""; 0], "{lines:?}: {name}");
            }
        }
        app.done().await;
    }
}

pub(crate) async fn sto_29_a_head_that_withdraws_ends_what_is_stored() {
    // RFC 9111 §4.3.5: what matches is updated, and what is updated says not to be stored.
    for control in ["no-store", "private, max-age=60", "no-cache"] {
        let app = Site::replying(fields(), move |ask| {
            let reply = Origin::of("\"v1\"", "one").reply(&ask);
            reply.control(if ask.call == 1 { FRESH } else { control })
        })
        .start();
        app.get("/").send().await;
        app.head("/")
            .header("cache-control", "no-cache")
            .send()
            .await;
        assert_eq!(told(&app.get("/").send().await), ONE);
        assert_eq!(app.calls(), 3, "{control}: it is not a hit any more");
        app.done().await;
    }
}

pub(crate) async fn sto_29_a_head_of_one_user_tells_others_nothing() {
    for field in ["cookie", "authorization"] {
        let app = Site::replying(Policy::ttl(minutes(1)), move |ask| {
            let user = ask.header(field);
            let reply = Origin::of("\"v1\"", "one").reply(&ask);
            reply.header("x-user", user)
        })
        .start();
        app.get("/").send().await;
        for _ in 0..2 {
            let head = app.head("/").header("cache-control", "no-cache");
            let head = head.header(field, "alice").send().await;
            assert_eq!(head.header("x-user"), "alice");
            let answer = app.get("/").send().await;
            assert_eq!(
                (told(&answer), answer.header("x-user")),
                (ONE, ""),
                "{field}"
            );
        }
        assert_eq!(app.calls(), 3, "{field}");
        app.done().await;
    }
}

pub(crate) async fn sto_29_a_head_renews_the_variant_it_is_about_alone() {
    let app = Site::replying(fields(), |ask| {
        let accept = ask.header("accept");
        Origin::of(&format!("\"{accept}\""), format!("page {accept}"))
            .reply(&ask)
            .control(FRESH)
            .header("vary", "accept")
    })
    .start();
    for accept in ["a", "b"] {
        app.get("/").header("accept", accept).send().await;
    }
    pass(seconds(61)).await;
    app.head("/").header("accept", "a").send().await;
    for (accept, calls) in [("a", 3), ("b", 4)] {
        let answer = app.get("/").header("accept", accept).send().await;
        assert_eq!(answer.text(), format!("page {accept}"));
        assert_eq!(app.calls(), calls, "{accept}");
    }
    app.done().await;
}

pub(crate) async fn sto_29_a_head_that_was_overtaken_by_a_purge_renews_nothing() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::of(fields(), move |ask: Ask| {
        let gate = opened.clone();
        async move {
            let reply = Origin::of("\"v1\"", "one").reply(&ask).control(FRESH);
            if ask.method == Method::HEAD {
                gate.opened().await;
            }
            reply
        }
    })
    .start();
    app.get("/").send().await;
    pass(seconds(61)).await;
    let head = tokio::spawn(app.head("/").send());
    eventually("the HEAD", || app.calls() == 2).await;
    app.purger().all().await;
    gate.open();
    assert_eq!(head.await.unwrap().header("etag"), "\"v1\"");
    assert_eq!(told(&app.get("/").send().await), ONE);
    assert_eq!(app.calls(), 3);
    assert!(app.saw(3).is_plain());
    app.done().await;
}

/// Says which call this is; a POST is answered with these lines.
fn posting(
    status: u16,
    lines: &'static [(&'static str, &'static str)],
) -> impl Fn(Ask) -> Reply + Send + Sync {
    move |ask| {
        let reply = Reply::text(format!("{} {}", ask.method, ask.call));
        match ask.method {
            Method::POST => reply.status(status).headers(lines),
            _ => reply.control(FRESH),
        }
    }
}

const HERE: (&str, &str) = ("content-location", "/page?q");

pub(crate) async fn sto_36_in_the_guarded_profile_no_post_is_stored_whatever_it_says() {
    for policy in [
        fields(),
        Policy::ttl(minutes(5)),
        Policy::override_ttl(minutes(5)),
    ] {
        let app = Site::replying(policy, posting(200, &[CONTROL, HERE, V1])).start();
        for call in 1..=3 {
            let answer = app.post("/page?q").body("pay").send().await;
            assert_eq!(
                (answer.text(), app.calls()),
                (&*format!("POST {call}"), call)
            );
            assert_eq!(app.stats().entries, 0);
        }
        assert_eq!(app.get("/page?q").send().await.text(), "GET 4");
        app.done().await;
    }
}

pub(crate) async fn sto_36_in_the_standard_profile_a_post_is_stored_where_it_is_what_a_get_would_get()
 {
    for (status, lines, is_stored) in [
        (200, &[CONTROL, HERE][..], true),
        (
            200,
            &[CONTROL, ("content-location", "http://example.test/page?q")],
            true,
        ),
        (
            200,
            &[("expires", "Fri, 01 Jan 2100 00:00:00 GMT"), HERE],
            true,
        ),
        (200, &[CONTROL], false),
        (200, &[HERE], false),
        (200, &[("cache-control", "public"), HERE], false),
        (
            200,
            &[HERE, ("last-modified", "Sat, 01 Jan 2000 00:00:00 GMT")],
            false,
        ),
        (200, &[CONTROL, ("content-location", "/page")], false),
        (200, &[CONTROL, ("content-location", "/other?q")], false),
        (
            200,
            &[CONTROL, ("content-location", "http://other.test/page?q")],
            false,
        ),
        (
            200,
            &[CONTROL, ("content-location", "https://example.test/page?q")],
            false,
        ),
        (200, &[CONTROL, HERE, HERE], false),
        (200, &[CONTROL, ("content-location", "")], false),
        (200, &[CONTROL, ("location", "/page?q")], false),
        (
            200,
            &[("cache-control", "no-store, max-age=60"), HERE],
            false,
        ),
        (
            200,
            &[("cache-control", "private, max-age=60"), HERE],
            false,
        ),
        (200, &[("cache-control", "max-age=0"), HERE], false),
        (200, &[CONTROL, HERE, ("vary", "*")], false),
        (201, &[CONTROL, HERE], false),
        (404, &[CONTROL, HERE], false),
        (500, &[CONTROL, HERE], false),
    ] {
        let app = Site::replying(Policy::standard(), posting(status, lines)).start();
        let posted = app.post("/page?q").body("say it").send().await;
        assert_eq!((posted.status.as_u16(), posted.text()), (status, "POST 1"));
        let got = app.get("/page?q").send().await;
        let expected = if is_stored { "POST 1" } else { "GET 2" };
        assert_eq!(
            (got.status.as_u16(), got.text()),
            (200, expected),
            "{status} {lines:?}"
        );
        app.done().await;
    }
}

pub(crate) async fn sto_36_a_post_is_never_answered_from_the_store_in_any_profile() {
    for policy in [
        fields(),
        Policy::standard(),
        Policy::standard().ignore_client_directives(),
    ] {
        let app = Site::replying(policy, posting(200, &[CONTROL, HERE])).start();
        for call in 1..=4 {
            let payee = format!("pay {call}");
            let answer = app.post("/page?q").body(&payee).send().await;
            assert_eq!(answer.text(), format!("POST {call}"));
            assert_eq!(app.saw(call).method, Method::POST);
        }
        let empty = app.post("/page?q").send().await;
        assert_eq!((empty.text(), app.calls()), ("POST 5", 5));
        app.done().await;
    }
}

pub(crate) async fn sto_36_posts_at_once_are_each_carried_out() {
    let app = Site::of(Policy::standard(), |ask: Ask| async move {
        tokio::time::sleep(seconds(1)).await;
        let body = String::from_utf8(ask.body.to_vec()).unwrap();
        let reply = Reply::text(format!("paid {body}"));
        reply.headers(&[CONTROL, HERE])
    })
    .start();
    let asking: Vec<_> = (0..50)
        .map(|n| tokio::spawn(app.post("/page?q").body(&n.to_string()).send()))
        .collect();
    for (n, answer) in asking.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap().text(), format!("paid {n}"));
    }
    assert_eq!(app.calls(), 50);
    app.done().await;
}

pub(crate) async fn sto_36_what_a_post_stored_is_removed_and_replaced_like_any_other() {
    let app = Site::replying(Policy::standard(), posting(200, &[CONTROL, HERE])).start();
    assert_eq!(app.get("/page?q").send().await.text(), "GET 1");
    assert_eq!(app.post("/page?q").body("x").send().await.text(), "POST 2");
    assert_eq!(
        app.get("/page?q").send().await.text(),
        "POST 2",
        "it took the place of the old"
    );
    assert_eq!(
        app.head("/page?q").send().await.header("content-length"),
        "6"
    );
    app.put("/page?q").send().await;
    assert_eq!(app.get("/page?q").send().await.text(), "GET 4");
    assert_eq!(app.post("/page?q").body("x").send().await.text(), "POST 5");
    pass(seconds(61)).await;
    assert_eq!(app.get("/page?q").send().await.text(), "GET 6");
    let unkept = app.post("/page?q").header("cache-control", "no-store");
    assert_eq!(unkept.body("x").send().await.text(), "POST 7");
    assert_eq!(app.get("/page?q").send().await.text(), "GET 8");
    app.done().await;
}

/// GETs are numbered and belong to the groups that their query names; others say what their query says.
fn site_of_pages(settings: Settings) -> App {
    Site::replying(Policy::ttl(minutes(5)), |ask| {
        let says = ask.header("x-say");
        let reply = Reply::text(ask.call.to_string());
        let groups = ask.header("x-groups");
        let reply = match groups.is_empty() {
            true => reply,
            false => reply.header("cache-groups", groups),
        };
        says.split('|')
            .filter_map(|line| line.split_once(": "))
            .fold(reply, |reply, (name, value)| match name {
                "status" => reply.status(value.parse().unwrap()),
                name => reply.header(name, value),
            })
    })
    .settings(settings)
    .start()
}

/// Asks for pages until they are stored; says of which of them then another method, said to say this,
/// left nothing.
async fn removed(
    app: &App,
    pages: &[(&str, &str)],
    method: Method,
    path: &str,
    says: &str,
) -> Vec<String> {
    let get = |(url, groups): (&str, &str)| {
        let (host, path) = url.split_once('/').unwrap();
        let request = app.get(&format!("/{path}")).host(host);
        match groups {
            "" => request,
            groups => request.header("x-groups", groups),
        }
    };
    let mut before = Vec::new();
    for page in pages {
        before.push(get(*page).send().await.body);
    }
    app.request(method, path).header("x-say", says).send().await;
    let mut gone = Vec::new();
    for (page, before) in pages.iter().zip(before) {
        if get(*page).send().await.body != before {
            gone.push(page.0.to_owned());
        }
    }
    gone
}

const PAGES: &[(&str, &str)] = &[
    ("example.test/a", ""),
    ("example.test/a?q", ""),
    ("example.test/b", ""),
    ("example.test/dir/c", ""),
    ("other.test/b", ""),
    ("example.test:8080/b", ""),
];

pub(crate) async fn sto_37_an_update_removes_what_its_location_and_content_location_name() {
    for (says, also) in [
        ("", None),
        ("location: /b", Some("example.test/b")),
        ("content-location: /b", Some("example.test/b")),
        ("location: http://example.test/b", Some("example.test/b")),
        ("location: HTTP://EXAMPLE.test:80/b", Some("example.test/b")),
        ("content-location: //example.test/b", Some("example.test/b")),
        ("location: b", Some("example.test/b")),
        ("location: dir/c", Some("example.test/dir/c")),
        ("location: ?q", Some("example.test/a?q")),
        ("location: /dir/../b#top", Some("example.test/b")),
        ("status: 201|location: /b", Some("example.test/b")),
        ("status: 303|location: /b", Some("example.test/b")),
    ] {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let app = site_of_pages(Settings::default());
            let gone = removed(&app, PAGES, method.clone(), "/a", says).await;
            let expected: Vec<_> = ["example.test/a"].into_iter().chain(also).collect();
            let mut gone: Vec<_> = gone.iter().map(String::as_str).collect();
            gone.sort_unstable();
            let mut expected = expected;
            expected.sort_unstable();
            assert_eq!(gone, expected, "{method} {says}");
            app.done().await;
        }
    }
}

pub(crate) async fn sto_37_both_fields_count_and_all_their_lines() {
    let app = site_of_pages(Settings::default());
    let says = "location: /b|content-location: /dir/c|content-location: /a?q";
    let gone = removed(&app, PAGES, Method::POST, "/a", says).await;
    assert_eq!(
        gone,
        [
            "example.test/a",
            "example.test/a?q",
            "example.test/b",
            "example.test/dir/c"
        ]
    );
    app.done().await;
}

pub(crate) async fn sto_37_nobody_empties_the_cache_of_another_origin() {
    for says in [
        "location: http://other.test/b",
        "content-location: //other.test/b",
        "location: http://example.test:8080/b",
        "location: http://example.test:8080/b|content-location: http://other.test/b",
        "location: http://example.test@other.test/b",
        "location: https://example.test/b",
        "location: mailto:b",
        "location: not a uri",
        "location: ",
    ] {
        let app = site_of_pages(Settings::default());
        let gone = removed(&app, PAGES, Method::POST, "/a", says).await;
        assert_eq!(gone, ["example.test/a"], "{says}");
        app.done().await;
    }
}

pub(crate) async fn sto_37_neither_an_error_nor_a_safe_method_removes_what_it_names() {
    for (method, says) in [
        (
            Method::POST,
            "status: 400|location: /b|cache-group-invalidation: \"g\"",
        ),
        (
            Method::PUT,
            "status: 500|content-location: /b|cache-group-invalidation: \"g\"",
        ),
        (Method::GET, "location: /b|cache-group-invalidation: \"g\""),
        (
            Method::HEAD,
            "content-location: /b|cache-group-invalidation: \"g\"",
        ),
        (
            Method::OPTIONS,
            "location: /b|cache-group-invalidation: \"g\"",
        ),
        (
            Method::TRACE,
            "location: /b|cache-group-invalidation: \"g\"",
        ),
    ] {
        let app = site_of_pages(Settings::default());
        let pages = [("example.test/b", "\"g\""), ("example.test/c", "\"g\"")];
        let gone = removed(&app, &pages, method.clone(), "/a", says).await;
        assert_eq!(gone, [""; 0], "{method} {says}");
        app.done().await;
    }
}

const GROUPED: &[(&str, &str)] = &[
    ("example.test/one", "\"one\""),
    ("example.test/both", "\"two\", \"one\""),
    ("example.test/two", "\"two\""),
    ("example.test/ONE", "\"ONE\""),
    ("example.test/param", "\"one\";x=1"),
    ("example.test/token", "one"),
    ("example.test/none", ""),
    ("other.test/one", "\"one\""),
    ("example.test:8080/one", "\"one\""),
];

pub(crate) async fn sto_37_an_update_removes_the_groups_it_names_of_its_own_origin() {
    const OF_ONE: [&str; 3] = [
        "example.test/one",
        "example.test/both",
        "example.test/param",
    ];
    for (says, expected) in [
        ("cache-group-invalidation: \"one\"", &OF_ONE[..]),
        ("cache-group-invalidation: \"x\", \"one\";y=2", &OF_ONE),
        (
            "cache-group-invalidation: \"x\"|cache-group-invalidation: \"one\"",
            &OF_ONE,
        ),
        ("status: 303|cache-group-invalidation: \"one\"", &OF_ONE),
        (
            "cache-group-invalidation: \"two\"",
            &["example.test/both", "example.test/two"],
        ),
        ("cache-group-invalidation: one", &[]),
        ("cache-group-invalidation: \"one\", two", &[]),
        ("cache-group-invalidation: \"one\",", &[]),
        ("cache-group-invalidation: \"one", &[]),
        ("cache-group-invalidation: ", &[]),
        ("cache-group-invalidation: \"\"", &[]),
        ("cache-groups: \"one\"", &[]),
    ] {
        let app = site_of_pages(Settings::default());
        let gone = removed(&app, GROUPED, Method::POST, "/update", says).await;
        assert_eq!(gone, expected, "{says}");
        app.done().await;
    }
}

pub(crate) async fn sto_37_what_goes_with_its_group_takes_no_other_group_with_it() {
    for (method, path, says) in [
        (Method::POST, "/update", "cache-group-invalidation: \"one\""),
        (Method::PUT, "/one", ""),
        (Method::POST, "/update", "location: /one"),
    ] {
        let app = site_of_pages(Settings::default());
        let gone = removed(&app, GROUPED, method, path, says).await;
        assert!(
            gone.contains(&"example.test/one".to_owned()),
            "{path} {says}"
        );
        for stays in ["example.test/two", "example.test/none", "other.test/one"] {
            assert!(!gone.contains(&stays.to_owned()), "{path} {says}: {stays}");
        }
        app.done().await;
    }
}

pub(crate) async fn sto_37_groups_of_the_field_and_of_the_handler_are_two_things() {
    let app = site_of_pages(Settings::default());
    let get = || app.get("/").header("x-groups", "\"g\"");
    assert_eq!(get().send().await.text(), "1");
    for name in ["g", "http://example.testg", "\0grp:19:http://example.testg"] {
        app.purger().group(name).await;
    }
    let after = get().send().await;
    assert_eq!(after.header("cache-groups"), "\"g\"", "it is passed on");
    app.post("/x")
        .header("x-say", "cache-group-invalidation: \"g\"")
        .send()
        .await;
    assert_ne!(get().send().await.text(), after.text());
    app.done().await;
}

pub(crate) async fn sto_37_a_shared_host_may_have_both_fields_ignored() {
    let app = site_of_pages(Settings {
        without_cache_groups: true,
        ..Settings::default()
    });
    let says = "cache-group-invalidation: \"one\", \"two\"";
    let gone = removed(&app, GROUPED, Method::POST, "/update", says).await;
    assert_eq!(gone, [""; 0]);
    let gone = removed(&app, GROUPED, Method::PUT, "/one", says).await;
    assert_eq!(gone, ["example.test/one"], "its own URI goes all the same");
    app.done().await;
}

pub(crate) async fn sto_37_a_group_that_is_invalidated_refuses_the_loads_that_began_before() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::of(Policy::ttl(minutes(5)), move |ask: Ask| {
        let gate = opened.clone();
        async move {
            if ask.call == 1 {
                gate.opened().await;
            }
            match ask.method {
                Method::GET => Reply::text(ask.call.to_string()).header("cache-groups", "\"g\""),
                _ => Reply::text("").header("cache-group-invalidation", "\"g\""),
            }
        }
    })
    .start();
    let early = tokio::spawn(app.get("/").send());
    eventually("the first", || app.calls() == 1).await;
    app.post("/update").send().await;
    gate.open();
    assert_eq!(early.await.unwrap().text(), "1", "it asked before");
    assert_eq!(
        app.get("/").send().await.text(),
        "3",
        "and is given to nobody after it"
    );
    assert_eq!(app.get("/").send().await.text(), "3");
    app.done().await;
}

pub(crate) async fn sto_37_all_variants_and_parts_go_with_a_location_and_with_a_group() {
    for says in ["location: /page", "cache-group-invalidation: \"g\""] {
        let origin = Origin::of("\"v1\"", "0123456789");
        let app = Site::replying(fields(), move |ask| match ask.method {
            Method::POST => says
                .split_once(": ")
                .map(|(name, value)| Reply::text("").header(name, value))
                .unwrap(),
            _ => origin
                .reply(&ask)
                .control(FRESH)
                .header("vary", "accept")
                .header("cache-groups", "\"g\""),
        })
        .start();
        let requests = || {
            [
                app.get("/page").header("accept", "a"),
                app.get("/page").header("accept", "b"),
                app.get("/page")
                    .header("accept", "c")
                    .header("range", "bytes=0-3"),
            ]
        };
        for calls in [3, 7] {
            for _ in 0..2 {
                for request in requests() {
                    request.send().await;
                }
            }
            assert_eq!(app.calls(), calls, "{says}");
            if calls == 3 {
                app.post("/update").send().await;
            }
        }
        assert!(app.saw(5).is_plain(), "nothing is left to ask about");
        app.done().await;
    }
}
