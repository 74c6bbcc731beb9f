//! Which requests share a response: the key.

use crate::support::{Ask, Framework, Policy, Reply, Settings, Site, minutes};
use http::HeaderName;
use std::collections::HashMap;

/// A handler that builds links from the host it is told, as many do.
fn echo_host(control: &'static str) -> impl Fn(Ask) -> Reply + Send + Sync + 'static {
    move |ask| {
        let reply = Reply::text(ask.header("host"));
        if control.is_empty() {
            reply
        } else {
            reply.control(control)
        }
    }
}

fn echo_uri(ask: Ask) -> Reply {
    Reply::text(ask.uri.to_string())
}

pub(crate) async fn key_01_two_hosts_never_share_a_response() {
    for (policy, control) in [
        (Policy::ttl(minutes(5)), "public"),
        (Policy::from_headers(), "public, max-age=60"),
        (Policy::ttl(minutes(5)), ""),
        (Policy::override_ttl(minutes(5)), "max-age=1"),
    ] {
        let app = Site::replying(policy, echo_host(control)).start();
        for _ in 0..2 {
            for host in ["evil.test", "good.test", ""] {
                assert_eq!(
                    app.get("/").host(host).send().await.text(),
                    host,
                    "{control}"
                );
            }
        }
        assert_eq!(app.calls(), 3, "the second round was stored");
        app.done().await;
    }
}

pub(crate) async fn key_01_an_absolute_uri_and_a_host_field_name_the_same() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(format!("{} {}", ask.call, ask.uri))
    })
    .start();
    let first = app.get("http://good.test/a").host("good.test").send().await;
    assert_eq!(first.text(), "1 http://good.test/a");
    assert_eq!(
        app.get("/a").host("good.test").send().await.text(),
        first.text()
    );
    let https = app
        .get("https://good.test/a")
        .host("good.test")
        .send()
        .await;
    assert_eq!(
        https.text(),
        "2 https://good.test/a",
        "the scheme is in the key"
    );
    // The two disagree: whom such a request is for is the router's to say, not ours.
    for call in [3, 4] {
        let answer = app.get("http://evil.test/a").host("good.test").send().await;
        assert_eq!(answer.text(), format!("{call} http://evil.test/a"));
    }
    assert_eq!(
        app.get("/a").host("good.test").send().await.text(),
        first.text()
    );
    assert_eq!(app.get("/a").host("evil.test").send().await.text(), "5 /a");
    app.done().await;
}

pub(crate) async fn key_01_several_host_fields_are_passed_on() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(ask.call.to_string())
    })
    .start();
    for call in ["1", "2"] {
        let answer = app
            .get("/")
            .host("good.test")
            .header("host", "evil.test")
            .send()
            .await;
        assert_eq!(answer.text(), call);
    }
    assert_eq!(app.get("/").host("good.test").send().await.text(), "3");
    assert_eq!(app.get("/").host("evil.test").send().await.text(), "4");
    app.done().await;
}

pub(crate) async fn key_04_spellings_of_one_host_share_and_others_do_not() {
    let app = Site::replying(Policy::ttl(minutes(5)), echo_host("")).start();
    for (host, answered) in [
        ("example.test", "example.test"),
        ("EXAMPLE.test", "example.test"),
        ("example.test:80", "example.test"),
        ("example.test.", "example.test."),
        ("example.test:8080", "example.test:8080"),
        ("example.test:443", "example.test:443"),
        ("example.test:8", "example.test:8"),
        ("xample.test", "xample.test"),
        ("tenant.example.test", "tenant.example.test"),
    ] {
        assert_eq!(
            app.get("/").host(host).send().await.text(),
            answered,
            "{host}"
        );
    }
    assert_eq!(app.calls(), 7);
    app.done().await;
}

pub(crate) async fn key_06_forwarding_fields_that_name_a_host_or_scheme_are_not_shared() {
    for name in [
        "x-forwarded-host",
        "x-forwarded-server",
        "x-forwarded-scheme",
        "x-forwarded-proto",
        "x-forwarded-protocol",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-path",
        "x-forwarded-ssl",
        "x-host",
        "x-original-host",
        "x-original-url",
        "x-rewrite-url",
        "x-http-host-override",
        "x-url-scheme",
        "front-end-https",
    ] {
        let reflected = move |ask: Ask| Reply::text(format!("<script src=//{}>", ask.header(name)));
        let app = Site::replying(Policy::ttl(minutes(5)), reflected).start();
        let evil = app.get("/").header(name, "evil.test").send().await;
        assert_eq!(evil.text(), "<script src=//evil.test>", "{name}");
        for _ in 0..2 {
            assert_eq!(
                app.get("/").send().await.text(),
                "<script src=//>",
                "{name}"
            );
            let other = app.get("/").header(name, "good.test").send().await;
            assert_eq!(other.text(), "<script src=//good.test>", "{name}");
        }
        assert_eq!(app.calls(), 3, "{name}: each is stored by itself");
        app.done().await;
    }
}

pub(crate) async fn key_06_forwarded_counts_by_its_host_and_proto_and_not_by_its_clients() {
    let reflected = |ask: Ask| Reply::text(format!("{} {}", ask.call, ask.header("forwarded")));
    let app = Site::replying(Policy::ttl(minutes(5)), reflected).start();
    for (line, call) in [
        ("host=evil.test", 1),
        ("for=1.1.1.1;host=evil.test", 1),
        ("for=2.2.2.2;host=good.test", 2),
        ("for=2.2.2.2;host=good.test;proto=https", 3),
        ("host=\"evil", 4),
        ("for=3.3.3.3", 5),
        ("for=4.4.4.4;by=5.5.5.5", 5),
    ] {
        let answer = app.get("/").header("forwarded", line).send().await;
        assert!(
            answer.text().starts_with(&format!("{call} ")),
            "{line}: {}",
            answer.text()
        );
    }
    assert_eq!(app.get("/").send().await.text(), "5 for=3.3.3.3");
    for client in ["x-forwarded-for", "via", "x-real-ip"] {
        let answer = app.get("/").header(client, "9.9.9.9").send().await;
        assert_eq!(answer.text(), "5 for=3.3.3.3", "{client} names a client");
    }
    app.done().await;
}

/// A handler that takes its parameter from the body, where there is one.
fn prefers_body(ask: Ask) -> Reply {
    Reply::text(if ask.body.is_empty() {
        "q=a".into()
    } else {
        ask.body
    })
}

pub(crate) async fn key_08_a_get_with_a_body_neither_takes_nor_leaves_anything() {
    let app = Site::replying(Policy::ttl(minutes(5)), prefers_body).start();
    assert_eq!(
        app.get("/?q=a").body("q=evil").send().await.text(),
        "q=evil"
    );
    assert_eq!(
        app.get("/?q=a").unannounced("q=evil").send().await.text(),
        "q=evil"
    );
    assert_eq!(app.get("/?q=a").send().await.text(), "q=a");
    assert_eq!(app.get("/?q=a").send().await.text(), "q=a");
    assert_eq!(app.calls(), 3);
    assert_eq!(
        app.get("/?q=a").body("q=mine").send().await.text(),
        "q=mine",
        "nor is it answered"
    );
    let chunked = app
        .get("/?q=a")
        .header("transfer-encoding", "chunked")
        .unannounced("q=mine");
    assert_eq!(chunked.send().await.text(), "q=mine");
    assert_eq!(app.get("/?q=a").send().await.text(), "q=a");
    let empty = app.get("/?q=a").header("content-length", "0").send().await;
    assert_eq!(empty.text(), "q=a");
    assert_eq!((app.calls(), app.stats().bypasses), (5, 4));
    app.done().await;
}

pub(crate) async fn key_09_the_query_counts_to_the_byte() {
    let app = Site::replying(Policy::ttl(minutes(5)), echo_uri).start();
    let spellings = [
        "/",
        "/?",
        "/?a",
        "/?a=",
        "/?a=1",
        "/?a=1&b=2",
        "/?b=2&a=1",
        "/?a=1&a=1",
        "/?a=%31",
        "/?a=1&",
        "/?&a=1",
        "/?A=1",
        "/?a=+",
        "/?a=%20",
    ];
    for _ in 0..2 {
        for path in spellings {
            assert_eq!(app.get(path).send().await.text(), path);
        }
    }
    assert_eq!(app.calls(), spellings.len() as u64);
    app.done().await;
}

pub(crate) async fn key_09_a_policy_that_leaves_out_parameters_keeps_the_order_of_duplicates() {
    let policy = Policy::ttl(minutes(5)).vary_by_query(["page"]);
    let app = Site::replying(policy, echo_uri).start();
    for (path, answered) in [
        ("/?page=1&page=2", "/?page=1&page=2"),
        ("/?page=2&page=1", "/?page=2&page=1"),
        ("/?page=1&utm=x&page=2", "/?page=1&page=2"),
        ("/?p%61ge=1&page=2", "/?p%61ge=1&page=2"),
        ("/?page", "/?page"),
        ("/?page=", "/?page="),
        ("/?utm=x", "/?utm=x"),
        ("/", "/?utm=x"),
    ] {
        assert_eq!(app.get(path).send().await.text(), answered, "{path}");
    }
    app.done().await;
}

/// What an answer must be made of for it to be this request's own.
fn everything(ask: Ask) -> Reply {
    let fields =
        ["host", "x", "x-host", "accept"].map(|name| format!("{name}={:?}", ask.header(name)));
    Reply::text(format!("{} {fields:?}", ask.uri)).header("vary", "accept")
}

pub(crate) async fn key_11_no_value_imitates_the_boundary_of_another() {
    const ALPHABET: [char; 10] = ['/', ':', '?', '&', '=', '%', '.', 'a', 'b', ';'];
    let policy = Policy::ttl(minutes(5)).vary_by_header(HeaderName::from_static("x"));
    let app = Site::replying(policy, everything).start();
    let mut random = fastrand::Rng::with_seed(11);
    let mut dense = |most| -> String {
        let length = random.usize(0..=most);
        (0..length)
            .map(|_| ALPHABET[random.usize(..ALPHABET.len())])
            .collect()
    };
    let mut answers: HashMap<String, String> = HashMap::new();
    for _ in 0..4000 {
        let path = format!("/{}", dense(3));
        let fields = [("x", dense(2)), ("x-host", dense(2)), ("accept", dense(1))];
        let mut request = app.get(&path).host("a");
        for (name, value) in &fields {
            request = request.header(name, value);
        }
        let values = fields.map(|(name, value)| format!("{name}={value:?}"));
        let own = format!(
            "{path} {:?}",
            [&["host=\"a\"".to_owned()][..], &values].concat()
        );
        let answer = request.send().await.text().to_owned();
        assert_eq!(answer, own);
        answers.insert(own, answer);
    }
    assert_eq!(app.calls(), answers.len() as u64, "each was made once");
    app.done().await;
}

pub(crate) async fn key_11_an_encoded_question_mark_begins_no_query() {
    let app = Site::replying(Policy::ttl(minutes(5)), echo_uri).start();
    for path in ["/a?b", "/a%3Fb", "/a%3fb", "/a/b", "/a%2Fb", "/a"] {
        assert_eq!(app.get(path).send().await.text(), path);
    }
    assert_eq!(app.calls(), 6);
    app.done().await;
}

pub(crate) async fn key_13_equal_hashes_never_mean_equal_keys() {
    let settings = Settings {
        colliding_hashes: true,
        ..Settings::default()
    };
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(format!(
            "{}{}{}",
            ask.header("host"),
            ask.uri,
            ask.header("accept")
        ))
        .header("vary", "accept")
    })
    .settings(settings)
    .start();
    for _ in 0..2 {
        for host in ["a.test", "b.test"] {
            for path in ["/1", "/2", "/3?q"] {
                for accept in ["de", "en"] {
                    let answer = app
                        .get(path)
                        .host(host)
                        .header("accept", accept)
                        .send()
                        .await;
                    assert_eq!(answer.text(), format!("{host}{path}{accept}"));
                }
            }
        }
    }
    assert_eq!(app.calls(), 12);
    app.put("/1").host("a.test").send().await;
    assert_eq!(
        app.get("/2")
            .host("a.test")
            .header("accept", "de")
            .send()
            .await
            .text(),
        "a.test/2de"
    );
    assert_eq!(app.calls(), 13, "the PUT removed nothing of another URI");
    app.done().await;
}

pub(crate) async fn key_16_paths_are_not_normalised() {
    let app = Site::new()
        .route("/b", Policy::ttl(minutes(5)), async |_| {
            Reply::text("the page")
        })
        .inner("*", async |ask: Ask| {
            Reply::text(format!("no page {}", ask.uri))
        })
        .around(Policy::ttl(minutes(5)))
        .start();
    for _ in 0..2 {
        assert_eq!(app.get("/b").send().await.text(), "the page");
        for path in [
            "/a/../b",
            "//b",
            "/b/.",
            "/./b",
            "/%2e%2e/b",
            "/%62",
            "/B",
            "/b/",
            "/b;x",
        ] {
            let answer = app.get(path).send().await;
            // actix's router decodes before it looks for a route.
            let is_found = path == "/%62" && Framework::current() == Framework::Actix;
            let text = match is_found {
                true => "the page".to_owned(),
                false => format!("no page {path}"),
            };
            assert_eq!(answer.text(), text);
        }
    }
    assert_eq!(app.calls(), 10, "one for each spelling");
    app.done().await;
}

pub(crate) async fn key_18_a_key_over_the_limit_is_passed_on() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(format!("{} {}", ask.call, ask.uri.path().len()))
    })
    .start();
    let long = format!("/{}", "a".repeat(60 * 1024));
    for call in [1, 2] {
        let answer = app.get(&long).send().await;
        assert_eq!(answer.text(), format!("{call} {}", long.len()));
        assert!(
            answer.cache().ends_with("detail=key-too-long"),
            "{}",
            answer.cache()
        );
    }
    assert_eq!((app.stats().entries, app.stats().bypasses), (0, 2));
    app.done().await;
}

pub(crate) async fn key_20_whatever_a_policy_adds_or_leaves_out_hosts_stay_apart() {
    let named = HeaderName::from_static("accept");
    for policy in [
        Policy::ttl(minutes(5)).vary_by_header(named),
        Policy::ttl(minutes(5)).vary_by_query(["page"]),
        Policy::ttl(minutes(5)).vary_by_query([""; 0]),
        Policy::ttl(minutes(5)).ignore_query(["*"]),
        Policy::ttl(minutes(5)).per_credential(),
        Policy::ttl(minutes(5)).ignore_credentials(),
        Policy::ttl(minutes(5)).ignore_client_directives(),
        Policy::ttl(minutes(5)).group("all"),
    ] {
        let described = format!("{policy:?}");
        let app = Site::replying(policy, echo_host("")).start();
        for host in ["evil.test", "good.test", "evil.test"] {
            assert_eq!(
                app.get("/?page=1").host(host).send().await.text(),
                host,
                "{described}"
            );
        }
        assert_eq!(app.calls(), 2, "{described}");
        app.done().await;
    }
}

pub(crate) async fn key_20_a_field_the_policy_names_keeps_tenants_apart() {
    let policy = Policy::ttl(minutes(5)).vary_by_header(HeaderName::from_static("x-tenant"));
    let app = Site::replying(policy, |ask| Reply::text(ask.header("x-tenant"))).start();
    for tenant in ["a", "b", "a", "b"] {
        assert_eq!(
            app.get("/").header("x-tenant", tenant).send().await.text(),
            tenant
        );
    }
    assert_eq!(app.get("/").send().await.text(), "");
    assert_eq!(app.calls(), 3);
    app.done().await;
}
