//! Several responses of one URI: Vary.

use crate::support::{Ask, Policy, Reply, Site, minutes, seconds};

fn by(field: &'static str) -> impl Fn(Ask) -> Reply + Send + Sync + 'static {
    move |ask| {
        let values: Vec<_> = ask
            .headers
            .get_all(field)
            .iter()
            .map(|v| v.to_str().unwrap())
            .collect();
        Reply::text(format!("{} {values:?}", ask.call)).header("vary", field)
    }
}

pub(crate) async fn var_01_a_language_is_never_given_to_who_asked_for_another() {
    for (policy, control) in [
        (Policy::ttl(minutes(5)), "public"),
        (Policy::from_headers(), "max-age=60"),
        (Policy::override_ttl(minutes(5)), "public, max-age=60"),
    ] {
        let app = Site::replying(policy, move |ask| {
            Reply::text(ask.header("accept-language"))
                .control(control)
                .header("vary", "Accept-Language")
        })
        .start();
        for _ in 0..2 {
            for language in ["de", "en", "fr"] {
                let answer = app
                    .get("/")
                    .header("accept-language", language)
                    .send()
                    .await;
                assert_eq!(answer.text(), language, "{control}");
            }
        }
        assert_eq!(app.calls(), 3, "{control}: the second round was stored");
        app.done().await;
    }
}

pub(crate) async fn var_01_all_lines_of_vary_select() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(format!(
            "{}|{}",
            ask.header("accept"),
            ask.header("accept-language")
        ))
        .header("vary", "accept")
        .header("vary", "accept-language")
    })
    .start();
    for (accept, language) in [
        ("a", "de"),
        ("a", "en"),
        ("b", "de"),
        ("b", "en"),
        ("a", "de"),
    ] {
        let request = app
            .get("/")
            .header("accept", accept)
            .header("accept-language", language);
        assert_eq!(request.send().await.text(), format!("{accept}|{language}"));
    }
    assert_eq!(app.calls(), 4);
    app.done().await;
}

pub(crate) async fn var_01_a_vary_that_changes_never_gives_one_the_others_response() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        let reply = Reply::text(format!("{}|{}", ask.header("accept"), ask.header("origin")));
        match ask.call {
            1 => reply.header("vary", "accept"),
            2 => reply.header("vary", "accept, origin"),
            _ => reply,
        }
    })
    .start();
    for (accept, origin, answered) in [
        ("a", "x", "a|x"),
        ("b", "x", "b|x"),
        ("b", "y", "b|y"),
        ("a", "y", "a|y"),
        ("a", "x", "a|x"),
        ("b", "x", "b|x"),
        ("b", "y", "b|y"),
    ] {
        let answer = app
            .get("/")
            .header("accept", accept)
            .header("origin", origin)
            .send()
            .await;
        assert_eq!(answer.text(), answered);
    }
    app.done().await;
}

pub(crate) async fn var_02_a_star_is_never_stored() {
    for lines in [&["*"][..], &["accept, *"], &["accept", " * "]] {
        let app = Site::replying(Policy::override_ttl(minutes(5)), move |ask| {
            let reply = Reply::text(ask.call.to_string()).control("public, max-age=60");
            lines
                .iter()
                .fold(reply, |reply, line| reply.header("vary", line))
        })
        .start();
        for call in ["1", "2", "3"] {
            assert_eq!(app.get("/").send().await.text(), call);
        }
        assert_eq!(app.stats().stored, 0);
        app.done().await;
    }
}

fn page(vary: &'static str, control: &'static str) -> impl Fn(Ask) -> Reply + Send + Sync {
    move |ask| {
        let user = format!("{}{}", ask.header("authorization"), ask.header("cookie"));
        Reply::text(format!("page of {user:?}"))
            .header("vary", vary)
            .control(control)
    }
}

pub(crate) async fn var_04_pages_that_vary_by_credentials_stay_with_their_users() {
    for (field, control) in [
        ("authorization", "max-age=60"),
        ("authorization", "public, max-age=60"),
        ("cookie", "max-age=60"),
        ("cookie", "s-maxage=60"),
        ("Cookie, accept", "public"),
    ] {
        let sent = field.split(',').next().unwrap();
        let app = Site::replying(Policy::ttl(minutes(5)), page(field, control)).start();
        for user in ["alice", "bob", "alice"] {
            let answer = app.get("/").header(sent, user).send().await;
            assert_eq!(
                answer.text(),
                format!("page of {user:?}"),
                "{field}: {control}"
            );
        }
        assert_eq!(app.get("/").send().await.text(), "page of \"\"");
        assert_eq!(
            (app.calls(), app.stats().stored),
            (4, 0),
            "{field}: {control}"
        );
        app.done().await;
    }
}

pub(crate) async fn var_04_a_policy_may_keep_them_for_each_user() {
    let policy = Policy::ttl(minutes(5)).per_credential();
    let app = Site::replying(policy, page("authorization", "max-age=60")).start();
    for _ in 0..2 {
        for user in ["alice", "bob"] {
            let answer = app.get("/").header("authorization", user).send().await;
            assert_eq!(answer.text(), format!("page of {user:?}"));
        }
        assert_eq!(app.get("/").send().await.text(), "page of \"\"");
    }
    assert_eq!(app.calls(), 3);
    app.done().await;
}

pub(crate) async fn var_05_variants_of_one_url_are_capped_and_the_ones_in_use_stay() {
    const AGENTS: u64 = 2000;
    let app = Site::replying(Policy::ttl(minutes(60)), |ask| {
        Reply::text(ask.header("user-agent")).header("vary", "user-agent")
    })
    .start();
    assert_eq!(
        app.get("/other")
            .header("user-agent", "steady")
            .send()
            .await
            .text(),
        "steady"
    );
    for n in 0..AGENTS {
        let agent = format!("agent {n}");
        let answer = app.get("/").header("user-agent", &agent).send().await;
        assert_eq!(answer.text(), agent);
        if n % 16 == 0 {
            let steady = app.get("/").header("user-agent", "steady").send().await;
            assert_eq!(steady.text(), "steady");
        }
        crate::support::pass(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(
        app.calls(),
        AGENTS + 2,
        "who comes again finds their variant"
    );
    assert!(app.stats().entries <= 2 + 33, "{:?}", app.stats());
    assert_eq!(
        app.get("/other")
            .header("user-agent", "steady")
            .send()
            .await
            .text(),
        "steady"
    );
    assert_eq!(app.calls(), AGENTS + 2, "another URL is unaffected");
    app.done().await;
}

pub(crate) async fn var_07_absent_differs_from_empty_and_joined_equals_repeated() {
    let app = Site::replying(Policy::ttl(minutes(5)), by("accept-language")).start();
    for (lines, answered) in [
        (&[][..], "1 []"),
        (&[""], "2 [\"\"]"),
        (&["de, en"], "3 [\"de, en\"]"),
        (&["de", "en"], "3 [\"de, en\"]"),
        (&["en", "de"], "4 [\"en\", \"de\"]"),
        (&["de"], "5 [\"de\"]"),
        (&["DE;q=1.0"], "5 [\"de\"]"),
        (&["de-CH"], "6 [\"de-CH\"]"),
        (&[" de "], "5 [\"de\"]"),
        (&[], "1 []"),
        (&[""], "2 [\"\"]"),
    ] {
        let request = lines.iter().fold(app.get("/"), |request, line| {
            request.header("accept-language", line)
        });
        assert_eq!(request.send().await.text(), answered, "{lines:?}");
    }
    app.done().await;
}

pub(crate) async fn var_08_malformed_accept_encodings_are_one_class_at_most() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        let coding = if ask.header("accept-encoding").contains("gzip") {
            "gzip"
        } else {
            "identity"
        };
        Reply::text(coding)
            .header("vary", "accept-encoding")
            .header("content-encoding", coding)
    })
    .start();
    for spelling in ["gzip, br;q=0.5", "br;q=0.5,gzip", "GZIP;q=1.0 , br; q=0.50"] {
        assert_eq!(
            app.get("/")
                .header("accept-encoding", spelling)
                .send()
                .await
                .text(),
            "gzip"
        );
    }
    assert_eq!(app.calls(), 1, "spellings of one meaning are one variant");
    assert_eq!(app.get("/").send().await.text(), "identity");
    assert_eq!(app.calls(), 2);
    for n in 0..500 {
        for malformed in [
            format!(";;q=,gzip;q={n}"),
            format!("x{n} y"),
            format!("gzip;q=9{n}"),
        ] {
            let answer = app
                .get("/")
                .header("accept-encoding", &malformed)
                .send()
                .await;
            assert_eq!(answer.text(), "identity", "{malformed}");
        }
    }
    assert!(app.calls() <= 3, "{} calls", app.calls());
    for spelling in ["gzip, br;q=0.5", "gzip;q=1,br;q=0.500"] {
        assert_eq!(
            app.get("/")
                .header("accept-encoding", spelling)
                .send()
                .await
                .text(),
            "gzip"
        );
    }
    assert!(app.calls() <= 3, "nobody's variant was displaced");
    app.done().await;
}

pub(crate) async fn var_01_one_variant_expires_without_the_others() {
    let app = Site::replying(Policy::from_headers(), |ask| {
        let accept = ask.header("accept");
        Reply::text(format!("{} {accept}", ask.call))
            .control(if accept == "short" {
                "max-age=1"
            } else {
                "max-age=100"
            })
            .header("vary", "accept")
    })
    .start();
    let ask = |accept: &'static str| app.get("/").header("accept", accept);
    assert_eq!(ask("long").send().await.text(), "1 long");
    assert_eq!(ask("short").send().await.text(), "2 short");
    crate::support::pass(seconds(50)).await;
    assert_eq!(ask("short").send().await.text(), "3 short");
    assert_eq!(ask("long").send().await.text(), "1 long");
    app.done().await;
}

pub(crate) async fn var_05_huge_values_that_select_do_not_displace_the_variants_there_are() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        let length = ask.header("accept-language").len();
        Reply::text(format!("{} {length}", ask.call)).header("vary", "accept-language")
    })
    .start();
    let speaks = |language: &str| app.get("/").header("accept-language", language);
    for (call, language) in [(1, "de"), (2, "de-AT")] {
        let page = format!("{call} {}", language.len());
        assert_eq!(speaks(language).send().await.text(), page);
    }
    let bytes = app.stats().bytes;
    for n in 0..40 {
        let huge = format!("{n:0>60000}");
        assert_eq!(
            speaks(&huge).send().await.text(),
            format!("{} 60000", n + 3)
        );
        assert_eq!(speaks("de").send().await.text(), "1 2");
        assert_eq!(speaks("de-AT").send().await.text(), "2 5");
    }
    let stats = app.stats();
    assert_eq!((stats.stored, stats.bytes), (2, bytes), "{stats:?}");
    app.done().await;
}

pub(crate) async fn var_05_an_origin_that_varies_by_whatever_it_is_told_does_not_fill_the_cache() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        let (field, call) = (ask.header("x-vary"), ask.call);
        Reply::text(format!("{call} by {field}")).header("vary", field)
    })
    .start();
    let by = |field: &str| app.get("/").header("x-vary", field);
    for n in 0..500 {
        let field = format!("f{n}");
        let answer = by(&field).header("f0", n.to_string()).send().await;
        assert!(answer.text().ends_with(&format!(" by {field}")));
        let stats = app.stats();
        assert!(stats.entries <= 40, "{stats:?}");
        assert!(stats.bytes <= 256 * 1024, "{stats:?}");
    }
    app.done().await;
}
