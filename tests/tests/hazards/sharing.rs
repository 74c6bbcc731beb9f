//! What may be stored and given to others: the one gate to the store.

use crate::support::{Ask, Policy, Reply, Site, hours, minutes, pass, seconds};
use cache_tower::Groups;
use futures_util::future::join_all;
use http::{HeaderName, Method};
use std::sync::atomic::{AtomicBool, Ordering};

/// A page that says whose it is and which call made it.
fn page_of(
    field: &'static str,
    lines: &'static [(&'static str, &'static str)],
) -> impl Fn(Ask) -> Reply + Send + Sync {
    move |ask| Reply::text(format!("{} of {:?}", ask.call, ask.header(field))).headers(lines)
}

/// Asked `times` times, each answer is a new one, and nothing is stored.
async fn is_never_stored(
    policy: Policy,
    status: u16,
    lines: &'static [(&'static str, &'static str)],
) {
    let app = Site::replying(policy, move |ask| {
        Reply::text(ask.call.to_string())
            .status(status)
            .headers(lines)
    })
    .start();
    for call in ["1", "2", "3"] {
        let answer = app.get("/").send().await;
        assert_eq!(
            (answer.text(), answer.status.as_u16()),
            (call, status),
            "{lines:?}"
        );
        for (name, value) in lines {
            assert!(
                answer.all(name).contains(value),
                "{name} is passed on as it is"
            );
        }
    }
    let stats = app.stats();
    assert_eq!(
        (stats.stored, stats.entries, stats.hits),
        (0, 0, 0),
        "{status} {lines:?}"
    );
    app.done().await;
}

const CONTROL: &str = "cache-control";

pub(crate) async fn sto_01_answers_to_authorization_are_not_shared_unless_they_say_so() {
    for lines in [
        &[][..],
        &[(CONTROL, "max-age=60")],
        &[(CONTROL, "max-age=60, stale-while-revalidate=60")],
        &[("expires", "Fri, 01 Jan 2100 00:00:00 GMT")],
        &[(CONTROL, "max-age=60"), ("vary", "authorization")],
    ] {
        let app = Site::replying(Policy::ttl(minutes(5)), page_of("authorization", lines)).start();
        for (call, user) in [(1, "alice"), (2, "bob"), (3, "alice")] {
            let answer = app.get("/").header("authorization", user).send().await;
            assert_eq!(answer.text(), format!("{call} of {user:?}"), "{lines:?}");
        }
        assert_eq!(app.get("/").send().await.text(), "4 of \"\"", "{lines:?}");
        app.done().await;
    }
}

pub(crate) async fn sto_01_public_and_s_maxage_share_them() {
    for control in ["public, max-age=60", "s-maxage=60"] {
        let app = Site::replying(Policy::from_headers(), move |ask| {
            Reply::text(ask.call.to_string()).control(control)
        })
        .start();
        for user in ["alice", "bob"] {
            let answer = app.get("/").header("authorization", user).send().await;
            assert_eq!(answer.text(), "1", "{control}");
        }
        assert_eq!(app.get("/").send().await.text(), "1");
        app.done().await;
    }
}

pub(crate) async fn sto_01_what_was_stored_for_nobody_is_not_given_to_somebody() {
    let app = Site::replying(Policy::ttl(minutes(5)), page_of("authorization", &[])).start();
    assert_eq!(app.get("/").send().await.text(), "1 of \"\"");
    assert_eq!(
        app.get("/")
            .header("authorization", "alice")
            .send()
            .await
            .text(),
        "2 of \"alice\""
    );
    assert_eq!(app.get("/").send().await.text(), "1 of \"\"");
    app.done().await;
}

pub(crate) async fn sto_03_a_response_that_sets_a_cookie_is_never_stored() {
    const COOKIE: (&str, &str) = ("set-cookie", "sid=alice");
    for lines in [
        &[COOKIE][..],
        &[COOKIE, (CONTROL, "public")],
        &[COOKIE, (CONTROL, "public, max-age=60")],
        &[COOKIE, (CONTROL, "s-maxage=60, no-cache=\"set-cookie\"")],
        &[
            ("set-cookie2", "sid=alice"),
            (CONTROL, "public, max-age=60"),
        ],
    ] {
        for policy in [
            Policy::ttl(minutes(5)),
            Policy::override_ttl(minutes(5)),
            Policy::from_headers(),
            Policy::ttl(minutes(5)).ignore_credentials(),
            Policy::ttl(minutes(5)).per_credential(),
        ] {
            is_never_stored(policy, 200, lines).await;
        }
    }
}

pub(crate) async fn sto_04_fields_about_one_client_keep_a_response_from_being_stored() {
    const PUBLIC: (&str, &str) = (CONTROL, "public, max-age=60");
    for lines in [
        &[PUBLIC, ("www-authenticate", "Negotiate abc")][..],
        &[PUBLIC, ("authentication-info", "nextnonce=1")],
        &[PUBLIC, ("proxy-authenticate", "Basic")],
        &[PUBLIC, ("proxy-authentication-info", "nextnonce=1")],
        &[PUBLIC, ("clear-site-data", "\"cookies\"")],
        &[PUBLIC, ("set-login", "logged-in")],
        &[
            PUBLIC,
            ("content-security-policy", "script-src 'nonce-r4nd0m'"),
        ],
        &[
            PUBLIC,
            ("content-security-policy", "script-src 'NONCE-r4nd0m'"),
        ],
        &[
            PUBLIC,
            (
                "content-security-policy-report-only",
                "script-src 'nonce-r4nd0m'",
            ),
        ],
    ] {
        is_never_stored(Policy::ttl(minutes(5)), 200, lines).await;
    }
}

pub(crate) async fn sto_05_a_lifetime_the_policy_supplies_is_not_for_requests_with_cookies() {
    for policy in [Policy::ttl(minutes(5)), Policy::override_ttl(minutes(5))] {
        let app = Site::replying(policy, page_of("cookie", &[])).start();
        for (call, cookie) in [
            (1, "sid=alice"),
            (2, "sid=bob"),
            (3, "sid=alice"),
            (4, "theme=dark"),
        ] {
            let answer = app.get("/").header("cookie", cookie).send().await;
            assert_eq!(answer.text(), format!("{call} of {cookie:?}"));
        }
        assert_eq!(app.stats().stored, 0);
        assert_eq!(app.get("/").send().await.text(), "5 of \"\"");
        assert_eq!(
            app.get("/").header("cookie", "sid=bob").send().await.text(),
            "6 of \"sid=bob\""
        );
        app.done().await;
    }
}

pub(crate) async fn sto_06_directives_count_in_any_case() {
    for control in [
        "No-Store",
        "PRIVATE",
        "No-Cache",
        "max-age=60, NO-STORE",
        "Private, S-MaxAge=60",
    ] {
        let lines: &'static [_] = Box::leak(Box::new([(CONTROL, control)]));
        is_never_stored(Policy::ttl(minutes(5)), 200, lines).await;
        is_never_stored(Policy::override_ttl(minutes(5)), 200, lines).await;
    }
}

pub(crate) async fn sto_07_the_strictest_of_all_lines_holds() {
    const PUBLIC: (&str, &str) = (CONTROL, "public, max-age=60");
    for lines in [
        &[PUBLIC, (CONTROL, "private")][..],
        &[PUBLIC, (CONTROL, "no-store")],
        &[(CONTROL, "no-store"), PUBLIC],
        &[PUBLIC, (CONTROL, "max-age=0")],
        &[PUBLIC, (CONTROL, ""), (CONTROL, ",,no-cache")],
        &[(CONTROL, "public,max-age=60,private")],
    ] {
        is_never_stored(Policy::ttl(minutes(5)), 200, lines).await;
    }
}

pub(crate) async fn sto_08_the_fields_that_qualified_directives_name_are_given_to_nobody_else() {
    for control in [
        "no-cache=\"x-user\", max-age=60",
        "private=\"X-User\", max-age=60",
        "max-age=60, private=\"x-user, x-team\"",
        "max-age=60, private=x-user",
        "max-age=60, x=\"a, \\\"\", private=\"x-user\"",
    ] {
        let app = Site::replying(Policy::ttl(minutes(5)), move |ask| {
            Reply::text(ask.call.to_string())
                .control(control)
                .header("x-user", "alice")
                .header("x-other", "kept")
        })
        .start();
        let first = app.get("/").send().await;
        assert_eq!(
            (first.text(), first.all("x-user").len()),
            ("1", 1),
            "{control}"
        );
        let second = app.get("/").send().await;
        assert_eq!(
            (second.text(), second.all("x-user").len()),
            ("1", 0),
            "{control}"
        );
        assert_eq!(second.all("x-other"), ["kept"]);
        app.done().await;
    }
    for control in [
        "max-age=60, no-cache=\"\"",
        "max-age=60, private=\"x user\"",
    ] {
        let lines: &'static [_] = Box::leak(Box::new([(CONTROL, control), ("x-user", "alice")]));
        is_never_stored(Policy::ttl(minutes(5)), 200, lines).await;
    }
}

pub(crate) async fn sto_08_a_directive_within_quotes_is_none_and_what_does_not_parse_is_not_stored()
{
    let app = Site::replying(Policy::from_headers(), |ask| {
        Reply::text(ask.call.to_string()).control("max-age=60, x=\"private, no-store\"")
    })
    .start();
    assert_eq!(app.get("/").send().await.text(), "1");
    assert_eq!(app.get("/").send().await.text(), "1");
    app.done().await;
    for control in [
        "max-age=60, x=\"private",
        "max-age=60 private",
        "max-age=60; private",
        "max-age=60, =1",
    ] {
        let lines: &'static [_] = Box::leak(Box::new([(CONTROL, control)]));
        is_never_stored(Policy::ttl(minutes(5)), 200, lines).await;
    }
}

pub(crate) async fn sto_18_a_method_override_poisons_nothing() {
    for field in [
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
    ] {
        for (status, control) in [
            (405, "public, max-age=60"),
            (404, "public, max-age=60"),
            (200, "public, max-age=60"),
        ] {
            let app = Site::replying(Policy::ttl(minutes(5)), move |ask| {
                if ask.headers.contains_key(field) {
                    Reply::text("deleted, or not")
                        .status(status)
                        .control(control)
                } else {
                    Reply::text("the page")
                }
            })
            .start();
            let evil = app.get("/").header(field, "DELETE").send().await;
            assert_eq!(
                (evil.text(), evil.status.as_u16()),
                ("deleted, or not", status)
            );
            assert_eq!(app.get("/").send().await.text(), "the page");
            let evil = app.get("/").header(field, "DELETE").send().await;
            assert_eq!(
                evil.text(),
                "deleted, or not",
                "it is not answered from the store either"
            );
            assert_eq!(app.get("/").send().await.text(), "the page");
            assert_eq!(app.calls(), 3);
            app.done().await;
        }
    }
}

pub(crate) async fn sto_18_errors_are_stored_only_where_they_say_so_themselves() {
    for status in [404, 410] {
        is_never_stored(Policy::ttl(minutes(5)), status, &[]).await;
        is_never_stored(
            Policy::override_ttl(minutes(5)),
            status,
            &[(CONTROL, "max-age=60")],
        )
        .await;
        let app = Site::replying(Policy::from_headers(), move |ask| {
            Reply::text(ask.call.to_string())
                .status(status)
                .control("max-age=60")
        })
        .start();
        for _ in 0..2 {
            let answer = app.get("/").send().await;
            assert_eq!((answer.text(), answer.status.as_u16()), ("1", status));
        }
        app.done().await;
    }
}

pub(crate) async fn sto_19_statuses_that_one_request_caused_are_never_stored() {
    const SAYS_SO: &[(&str, &str)] = &[(CONTROL, "public, max-age=60")];
    for status in [
        400, 402, 405, 406, 407, 408, 409, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423,
        424, 425, 428, 431, 451, 500, 501, 502, 503, 504, 505, 507, 508, 511, 599, 299, 399, 499,
    ] {
        for policy in [
            Policy::ttl(minutes(5)),
            Policy::override_ttl(minutes(5)),
            Policy::from_headers(),
        ] {
            is_never_stored(policy, status, SAYS_SO).await;
        }
    }
}

pub(crate) async fn sto_19_an_oversize_field_of_one_spoils_the_page_of_none() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        let oversize = ask.headers.values().any(|value| value.len() > 8 * 1024);
        let control = "public, max-age=60";
        if oversize {
            Reply::text("too large").status(431).control(control)
        } else {
            Reply::text("the page").control(control)
        }
    })
    .start();
    let evil = app
        .get("/")
        .header("x-oversized", "a".repeat(9 * 1024))
        .send()
        .await;
    assert_eq!((evil.text(), evil.status.as_u16()), ("too large", 431));
    assert_eq!(app.get("/").send().await.text(), "the page");
    app.done().await;
}

pub(crate) async fn sto_21_a_refusal_to_one_is_not_given_to_another() {
    for status in [401, 403] {
        for control in ["", "public, max-age=60", "s-maxage=60"] {
            let app = Site::replying(Policy::override_ttl(minutes(5)), move |ask| {
                let reply = match ask.header("authorization").as_str() {
                    "valid" => Reply::text("come in"),
                    _ => Reply::text("stay out").status(status),
                };
                if control.is_empty() {
                    reply
                } else {
                    reply.control(control)
                }
            })
            .start();
            assert_eq!(app.get("/").send().await.text(), "stay out");
            let valid = app.get("/").header("authorization", "valid").send().await;
            assert_eq!(valid.text(), "come in", "{status} {control}");
            app.done().await;
        }
    }
}

pub(crate) async fn sto_24_a_limiter_within_the_layer_throttles_only_whom_it_means() {
    let app = Site::replying(Policy::override_ttl(minutes(5)), |ask| {
        if ask.header("x-client") == "attacker" {
            Reply::text("slow down")
                .status(429)
                .control("public, max-age=60")
                .header("retry-after", "60")
        } else {
            Reply::text("the page")
        }
    })
    .start();
    assert_eq!(
        app.get("/")
            .header("x-client", "attacker")
            .send()
            .await
            .status
            .as_u16(),
        429
    );
    assert_eq!(app.get("/").send().await.text(), "the page");
    assert_eq!(
        app.get("/")
            .header("x-client", "attacker")
            .send()
            .await
            .text(),
        "the page"
    );
    app.done().await;
}

pub(crate) async fn sto_24_what_is_left_of_one_clients_quota_is_not_told_another() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(ask.call.to_string())
            .header("ratelimit-remaining", "1")
            .header("x-ratelimit-remaining", "1")
            .header("x-kept", "yes")
    })
    .start();
    assert_eq!(app.get("/").send().await.header("ratelimit-remaining"), "1");
    let hit = app.get("/").send().await;
    assert_eq!((hit.text(), hit.header("x-kept")), ("1", "yes"));
    assert_eq!(
        (
            hit.header("ratelimit-remaining"),
            hit.header("x-ratelimit-remaining")
        ),
        ("", "")
    );
    app.done().await;
}

pub(crate) async fn sto_25_an_upgrade_is_not_looked_up_and_426_is_not_stored() {
    let app = Site::replying(Policy::override_ttl(minutes(5)), |ask| {
        if ask.headers.contains_key("upgrade") {
            Reply::text("")
                .status(101)
                .header("upgrade", "x")
                .control("public, max-age=60")
        } else if ask.uri.path() == "/page" {
            Reply::text("the page")
        } else {
            Reply::text("upgrade!")
                .status(426)
                .control("public, max-age=60")
        }
    })
    .start();
    let upgrade = |path| {
        app.get(path)
            .header("connection", "upgrade")
            .header("upgrade", "x")
    };
    assert_eq!(app.get("/ws").send().await.status.as_u16(), 426);
    assert_eq!(upgrade("/ws").send().await.status.as_u16(), 101);
    assert_eq!(app.get("/ws").send().await.status.as_u16(), 426);
    assert_eq!(app.get("/page").send().await.text(), "the page");
    assert_eq!(
        upgrade("/page").send().await.status.as_u16(),
        101,
        "though the page is stored"
    );
    assert_eq!((app.calls(), app.stats().stored), (5, 1));
    app.done().await;
}

pub(crate) async fn sto_31_a_part_is_never_given_for_the_whole() {
    let whole = "0123456789";
    let app = Site::replying(Policy::override_ttl(minutes(5)), move |ask| {
        let reply = Reply::text(if ask.headers.contains_key("range") {
            &whole[..4]
        } else {
            whole
        });
        match ask.headers.contains_key("range") {
            true => reply.status(206).header("content-range", "bytes 0-3/10"),
            false => reply,
        }
        .control("public, max-age=60")
    })
    .start();
    let part = || app.get("/").header("range", "bytes=0-3");
    assert_eq!(part().send().await.text(), "0123");
    assert_eq!(app.get("/").send().await.text(), whole);
    let again = part().send().await;
    assert_eq!((again.status.as_u16(), again.text()), (206, "0123"));
    assert_eq!(app.get("/").send().await.text(), whole);
    assert_eq!(app.calls(), 2, "the part is cut from the whole");
    app.done().await;
    is_never_stored(
        Policy::override_ttl(minutes(5)),
        206,
        &[(CONTROL, "public, max-age=60")],
    )
    .await;
    const ALONE: &[(&str, &str)] = &[
        ("content-range", "bytes 0-3/10"),
        (CONTROL, "public, max-age=60"),
    ];
    is_never_stored(Policy::override_ttl(minutes(5)), 200, ALONE).await;
}

pub(crate) async fn sto_35_a_private_body_is_in_no_store_whoever_asks_for_a_part() {
    let app = Site::replying(Policy::override_ttl(minutes(5)), |ask| {
        let user = ask.header("cookie");
        let body = format!("the secret of {user}");
        let control = "no-store";
        if ask.headers.contains_key("range") {
            let part = format!("{}{user}", &body[..3]);
            Reply::text(part)
                .status(206)
                .header("content-range", "bytes 0-2/20")
                .control(control)
        } else {
            Reply::text(body).control(control)
        }
    })
    .start();
    let alice = app.get("/").header("cookie", "alice").send().await;
    assert_eq!(alice.text(), "the secret of alice");
    let bob = app
        .get("/")
        .header("cookie", "bob")
        .header("range", "bytes=0-2")
        .send()
        .await;
    assert_eq!(bob.text(), "thebob");
    let anonymous = app
        .get("/")
        .header("if-range", "\"x\"")
        .header("range", "bytes=0-2")
        .send()
        .await;
    assert_eq!(anonymous.text(), "the");
    assert_eq!((app.calls(), app.stats().entries), (3, 0));
    app.done().await;
}

pub(crate) async fn sto_49_extensions_of_a_response_are_not_given_to_another_client() {
    #[derive(Debug, Clone, PartialEq)]
    struct Session(&'static str);
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(ask.call.to_string()).extension(Session("alice"))
    })
    .start();
    let first = app.get("/").open().await;
    assert_eq!(
        first.extensions.get(),
        Some(&Session("alice")),
        "its own client's layers see it"
    );
    assert_eq!(first.rest().await.text(), "1");
    let hit = app.get("/").open().await;
    assert_eq!(hit.extensions.get::<Session>(), None);
    assert_eq!(hit.rest().await.text(), "1");
    app.done().await;
}

pub(crate) async fn sto_53_a_bomb_of_fields_is_passed_on_and_not_stored() {
    for (fields, size) in [(10_000, 10), (200, 10_000), (9, 8 * 1024), (1, 64 * 1024)] {
        let app = Site::replying(Policy::ttl(minutes(5)), move |ask| {
            let reply = Reply::text(ask.call.to_string()).control("public, max-age=60");
            (0..fields).fold(reply, |reply, n| {
                reply.header(&format!("x-{n}"), "v".repeat(size))
            })
        })
        .start();
        for call in ["1", "2"] {
            let answer = app.get("/").send().await;
            assert_eq!(answer.text(), call);
            let kept = answer
                .headers
                .iter()
                .filter(|(name, _)| name.as_str().starts_with("x-"));
            assert_eq!(
                kept.map(|(_, value)| value.len()).sum::<usize>(),
                fields * size
            );
        }
        assert_eq!(app.stats().bytes, 0);
        app.done().await;
    }
}

pub(crate) async fn sto_55_an_interim_status_is_never_stored() {
    for status in [100, 102, 103] {
        is_never_stored(
            Policy::override_ttl(minutes(5)),
            status,
            &[(CONTROL, "public, max-age=60")],
        )
        .await;
    }
}

pub(crate) async fn sto_63_nothing_private_is_left_to_be_found_by_probing() {
    let app = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(format!("{} {:?}", ask.call, ask.header("cookie")))
    })
    .start();
    for n in 0..10 {
        app.get(&format!("/{n}"))
            .header("cookie", "victim")
            .send()
            .await;
    }
    for n in 0..100 {
        let answer = app
            .get(&format!("/{n}"))
            .header("cookie", "prober")
            .send()
            .await;
        assert_eq!(answer.text(), format!("{} \"prober\"", n + 11));
        assert!(!answer.cache().contains(";hit"), "{}", answer.cache());
    }
    assert_eq!(app.stats().hits, 0);
    app.done().await;
}

pub(crate) async fn sto_63_per_credential_isolates_users_from_each_other() {
    let policy = Policy::ttl(minutes(5)).per_credential();
    let app = Site::replying(policy, page_of("cookie", &[])).start();
    let ask = |user| app.get("/").header("cookie", user);
    assert_eq!(ask("victim").send().await.text(), "1 of \"victim\"");
    assert_eq!(ask("prober").send().await.text(), "2 of \"prober\"");
    assert_eq!(app.get("/").send().await.text(), "3 of \"\"");
    let sneaky = app.get("/").header("authorization", "victim").send().await;
    assert_eq!(
        sneaky.text(),
        "4 of \"\"",
        "the same bytes in another field are another credential"
    );
    let split = app
        .get("/")
        .header("cookie", "vic")
        .header("cookie", "tim")
        .send()
        .await;
    assert_eq!(split.text(), "5 of \"vic\"");
    assert_eq!(ask("victim").send().await.text(), "1 of \"victim\"");
    assert_eq!(ask("prober").send().await.text(), "2 of \"prober\"");
    app.done().await;
}

pub(crate) async fn sto_63_a_declared_indifference_to_credentials_shares() {
    static SEEN: AtomicBool = AtomicBool::new(false);
    let app = Site::replying(Policy::ttl(minutes(5)).ignore_credentials(), |ask| {
        SEEN.store(!ask.header("cookie").is_empty(), Ordering::Relaxed);
        Reply::text(ask.call.to_string())
    })
    .start();
    assert_eq!(
        app.get("/").header("cookie", "alice").send().await.text(),
        "1"
    );
    assert!(SEEN.load(Ordering::Relaxed), "the handler still gets them");
    assert_eq!(
        app.get("/")
            .header("authorization", "bob")
            .send()
            .await
            .text(),
        "1"
    );
    assert_eq!(app.get("/").send().await.text(), "1");
    app.done().await;
}

pub(crate) async fn sto_63_a_handlers_own_policy_does_not_change_who_shares() {
    let own = || Policy::ttl(minutes(5));
    for own in [
        own().per_credential(),
        own().ignore_credentials(),
        own().vary_by_header(HeaderName::from_static("cookie")),
        own().vary_by_query(["page"]),
    ] {
        let app = Site::of(Policy::ttl(hours(1)), {
            let own = own.clone();
            move |ask: Ask| {
                let own = own.clone();
                async move {
                    tokio::time::sleep(seconds(1)).await;
                    let who = ask.header("cookie");
                    Reply::text(format!("{} {} of {who:?}", ask.call, ask.uri)).extension(own)
                }
            }
        })
        .start();
        let of = |who: &str, path: &str| {
            let request = app.get(path);
            if who.is_empty() {
                request
            } else {
                request.header("cookie", who)
            }
        };
        let requests = [
            ("alice", "/"),
            ("", "/"),
            ("bob", "/"),
            ("alice", "/?page=1"),
            ("", "/?page=1&x"),
            ("", "/?page=1"),
        ];
        let at_once = join_all(requests.map(|(who, path)| of(who, path).send()));
        let mut answers = at_once.await;
        for (who, path) in requests {
            answers.push(of(who, path).send().await);
        }
        for ((who, path), answer) in requests.iter().chain(&requests).zip(&answers) {
            let whose = format!(" {path} of {who:?}");
            assert!(answer.text().ends_with(&whose), "{} {own:?}", answer.text());
        }
        assert_eq!((app.calls(), app.stats().stored), (12, 0), "{own:?}");
        app.done().await;
    }
}

pub(crate) async fn sto_63_a_handlers_own_lifetime_keeps_apart_whom_the_layer_keeps_apart() {
    let layer = Policy::ttl(hours(1))
        .per_credential()
        .vary_by_header(HeaderName::from_static("x-tenant"));
    let app = Site::replying(layer, |ask| {
        let whose = format!("{}/{}", ask.header("cookie"), ask.header("x-tenant"));
        Reply::text(format!("{} of {whose}", ask.call)).extension(Policy::ttl(minutes(1)))
    })
    .start();
    for round in [0, 4] {
        for _ in 0..2 {
            for (n, (user, tenant)) in [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
                .into_iter()
                .enumerate()
            {
                let request = app.get("/").header("cookie", user);
                let answer = request.header("x-tenant", tenant).send().await;
                let page = format!("{} of {user}/{tenant}", round + n + 1);
                assert_eq!(answer.text(), page);
            }
        }
        pass(seconds(61)).await;
    }
    assert_eq!((app.calls(), app.stats().stored), (8, 8));
    app.done().await;
}

pub(crate) async fn sto_63_users_kept_apart_share_nothing_where_a_page_varies_by_their_cookies() {
    let app = Site::replying(
        Policy::ttl(minutes(5)).per_credential(),
        page_of("cookie", &[("vary", "cookie, authorization, accept")]),
    )
    .start();
    for _ in 0..3 {
        for (call, cookie) in [(1, "sid=alice"), (2, "sid=bob"), (3, "")] {
            let request = app.get("/");
            let request = if cookie.is_empty() {
                request
            } else {
                request.header("cookie", cookie)
            };
            assert_eq!(request.send().await.text(), format!("{call} of {cookie:?}"));
        }
    }
    assert_eq!((app.calls(), app.stats().hits), (3, 6));
    app.done().await;
}

pub(crate) async fn sto_49_a_handlers_policy_and_groups_never_leave_the_cache() {
    let route = |policy: &Policy| {
        Site::new().route("/{what}", policy.clone(), async |ask: Ask| {
            let reply = Reply::text(ask.call.to_string()).extension(Policy::ttl(minutes(5)));
            let reply = reply.extension(Groups::new(["g"]));
            match ask.uri.path() {
                "/fails" => reply.status(500),
                "/is-gone" => reply.status(410),
                "/own" => reply.control("no-store"),
                _ => reply,
            }
        })
    };
    let policies = [
        Policy::from_headers(),
        Policy::ttl(minutes(5)),
        Policy::off(),
    ];
    for policy in &policies {
        for app in [
            route(policy).start(),
            route(policy).around(Policy::ttl(minutes(5))).start(),
        ] {
            for request in [
                app.get("/x"),
                app.get("/x"),
                app.head("/x"),
                app.head("/y"),
                app.get("/fails"),
                app.get("/is-gone"),
                app.get("/own"),
                app.get("/x").header("range", "bytes=0-0"),
                app.get("/x").header("cookie", "sid=alice"),
                app.get("/x").header("cache-control", "no-store"),
                app.put("/x"),
                app.request(Method::OPTIONS, "/x"),
            ] {
                let answer = request.open().await;
                assert!(answer.extensions.get::<Policy>().is_none(), "{answer:?}");
                assert!(answer.extensions.get::<Groups>().is_none(), "{answer:?}");
                answer.rest().await;
            }
            app.done().await;
        }
    }
}
