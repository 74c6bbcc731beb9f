//! Layers of one cache at two levels: around the router, and on the route.

use crate::support::{
    App, Ask, Piece, Policy, Reply, Site, eventually, hours, minutes, others_run, pass, seconds,
};
use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The policy of the inner layer, with windows for every kind of staleness.
fn inner() -> Policy {
    Policy::ttl(minutes(5))
        .stale_while_revalidate(minutes(5))
        .stale_if_error(hours(1))
        .group("g")
}

fn numbered(ask: Ask) -> std::future::Ready<Reply> {
    std::future::ready(Reply::text(format!("{} {}", ask.call, ask.uri)))
}

/// Both ways to put a layer around a route that has its own.
fn both(outer: &Policy, inner: &Policy) -> [App; 2] {
    let site = || Site::new().route("/x", inner.clone(), numbered);
    [
        site().around(outer.clone()).start(),
        site().before(outer.clone()).start(),
    ]
}

pub(crate) async fn asy_39_a_cold_request_is_one_call_and_one_copy_and_then_a_hit() {
    for outer in [Policy::from_headers(), Policy::ttl(hours(1)), Policy::off()] {
        for app in both(&outer, &inner()) {
            let began = tokio::time::Instant::now();
            assert_eq!(app.get("/x").send().await.text(), "1 /x");
            assert_eq!(began.elapsed(), seconds(0), "it did not wait for itself");
            assert_eq!((app.calls(), app.stats().stored), (1, 1), "{outer:?}");
            let hit = app.get("/x").send().await;
            assert_eq!(hit.text(), "1 /x");
            assert_eq!((app.calls(), app.stats().stored), (1, 1), "{outer:?}");
            assert_eq!(hit.all("cache-status").len(), 1, "one member for one cache");
            app.done().await;
        }
    }
}

pub(crate) async fn asy_39_a_stale_response_is_refreshed_by_one_call_that_reaches_the_handler() {
    for outer in [Policy::from_headers(), Policy::ttl(hours(1)), Policy::off()] {
        for app in both(&outer, &inner()) {
            assert_eq!(app.get("/x").send().await.text(), "1 /x");
            pass(minutes(6)).await;
            assert_eq!(app.get("/x").send().await.text(), "1 /x", "stale, at once");
            eventually("the refresh", || app.calls() == 2).await;
            app.settled().await;
            assert_eq!((app.calls(), app.stats().stored), (2, 2), "{outer:?}");
            assert_eq!(app.get("/x").send().await.text(), "2 /x", "{outer:?}");
            assert_eq!(app.calls(), 2);
            app.done().await;
        }
    }
}

pub(crate) async fn asy_39_a_purge_takes_the_one_copy() {
    for outer in [Policy::from_headers(), Policy::ttl(hours(1)), Policy::off()] {
        for app in both(&outer, &inner()) {
            let mut calls = 0;
            for purge in ["group", "uri", "all", "put"] {
                calls += 1;
                for _ in 0..2 {
                    assert_eq!(
                        app.get("/x").send().await.text(),
                        format!("{calls} /x"),
                        "{purge}"
                    );
                }
                match purge {
                    "group" => app.purger().group("g").await,
                    "uri" => {
                        app.purger()
                            .uri(&"http://example.test/x".parse().unwrap())
                            .await
                    }
                    "all" => app.purger().all().await,
                    _ => {
                        app.put("/x").send().await;
                        calls += 1;
                    }
                }
            }
            assert_eq!(
                app.get("/x").send().await.text(),
                format!("{} /x", calls + 1)
            );
            assert_eq!(app.stats().stored, 5, "{outer:?}");
            app.done().await;
        }
    }
}

pub(crate) async fn asy_39_different_query_policies_inside_and_outside_agree_on_one_copy() {
    for (outer, inner) in [
        (Policy::from_headers(), inner().vary_by_query(["page"])),
        (Policy::ttl(hours(1)).vary_by_query(["page"]), inner()),
        (
            Policy::from_headers().ignore_query(["utm_*"]),
            inner().vary_by_query(["page"]),
        ),
    ] {
        for app in both(&outer, &inner) {
            for path in ["/x?page=1", "/x?page=2"] {
                let first = app.get(path).send().await;
                assert!(first.text().ends_with(path), "{}", first.text());
                for _ in 0..2 {
                    assert_eq!(app.get(path).send().await.text(), first.text());
                }
            }
            assert_eq!(
                (app.calls(), app.stats().stored),
                (2, 2),
                "{outer:?} {inner:?}"
            );
            pass(minutes(6)).await;
            for path in ["/x?page=1", "/x?page=2"] {
                assert!(app.get(path).send().await.text().ends_with(path), "stale");
            }
            eventually("the refreshes", || app.calls() == 4).await;
            app.settled().await;
            for (path, text) in [("/x?page=1", "3 /x?page=1"), ("/x?page=2", "4 /x?page=2")] {
                assert_eq!(
                    app.get(path).send().await.text(),
                    text,
                    "{outer:?} {inner:?}"
                );
            }
            assert_eq!((app.calls(), app.stats().stored), (4, 4));
            app.purger().group("g").await;
            assert_eq!(app.get("/x?page=1").send().await.text(), "5 /x?page=1");
            app.done().await;
        }
    }
}

pub(crate) async fn asy_39_many_at_once_are_one_call_through_both() {
    for inner in [
        inner(),
        inner().vary_by_query(["page"]),
        Policy::from_headers(),
    ] {
        let site = || {
            Site::new().route("/x", inner.clone(), async |ask: Ask| {
                tokio::time::sleep(seconds(1)).await;
                Reply::pieces(vec![
                    Piece::data("body "),
                    Piece::Pause,
                    Piece::data(ask.call.to_string()),
                ])
                .control("max-age=60")
            })
        };
        for app in [
            site().around(Policy::from_headers()).start(),
            site().before(Policy::ttl(hours(1))).start(),
        ] {
            let asking: Vec<_> = (0..100)
                .map(|_| tokio::spawn(app.get("/x").send()))
                .collect();
            for answer in asking {
                assert_eq!(answer.await.unwrap().text(), "body 1", "{inner:?}");
            }
            app.settled().await;
            assert_eq!((app.calls(), app.stats().stored), (1, 1), "{inner:?}");
            app.done().await;
        }
    }
}

pub(crate) async fn asy_39_what_is_not_shared_passes_both_and_delays_nobody() {
    for inner in [Policy::ttl(minutes(5)), Policy::off()] {
        let site = Site::new().route("/x", inner.clone(), async |ask: Ask| {
            tokio::time::sleep(seconds(3)).await;
            Reply::text(format!("of {}", ask.header("x-user"))).control("private, max-age=60")
        });
        let app = site.around(Policy::from_headers()).start();
        let began = tokio::time::Instant::now();
        let asking: Vec<_> = (0..20)
            .map(|n| tokio::spawn(app.get("/x").header("x-user", n.to_string()).send()))
            .collect();
        for (n, answer) in asking.into_iter().enumerate() {
            assert_eq!(answer.await.unwrap().text(), format!("of {n}"));
        }
        assert!(
            began.elapsed() <= seconds(6),
            "not one after another: {:?}",
            began.elapsed()
        );
        assert_eq!((app.calls(), app.stats().stored), (20, 0), "{inner:?}");
        app.done().await;
    }
}

pub(crate) async fn asy_39_an_error_behind_both_is_answered_by_the_one_stale_copy() {
    for outer in [
        Policy::from_headers(),
        Policy::ttl(hours(1)).stale_if_error(hours(1)),
        Policy::off(),
    ] {
        let inner = Policy::ttl(seconds(10)).stale_if_error(hours(1));
        let site = || {
            Site::new().route("/x", inner.clone(), async |ask: Ask| {
                let reply = Reply::text(ask.call.to_string());
                if ask.call == 2 {
                    reply.status(500)
                } else {
                    reply
                }
            })
        };
        for app in [
            site().around(outer.clone()).start(),
            site().before(outer.clone()).start(),
        ] {
            assert_eq!(app.get("/x").send().await.text(), "1");
            pass(seconds(20)).await;
            let stale = app.get("/x").send().await;
            assert_eq!(
                (stale.text(), stale.status.as_u16()),
                ("1", 200),
                "{outer:?}"
            );
            assert_eq!(app.calls(), 2);
            pass(seconds(20)).await;
            assert_eq!(app.get("/x").send().await.text(), "3", "{outer:?}");
            app.done().await;
        }
    }
}

pub(crate) async fn asy_39_the_inner_policy_may_forbid_what_the_outer_allows() {
    let site = || {
        Site::new().route("/x", Policy::off(), async |ask: Ask| {
            Reply::text(ask.call.to_string()).control("public, max-age=60")
        })
    };
    for app in [
        site().around(Policy::ttl(hours(1))).start(),
        site().before(Policy::ttl(hours(1))).start(),
    ] {
        for call in ["1", "2", "3"] {
            assert_eq!(app.get("/x").send().await.text(), call);
        }
        assert_eq!(app.stats().stored, 0);
        app.done().await;
    }
}

pub(crate) async fn asy_39_an_invalidation_behind_both_is_heeded_by_both() {
    let policy = Policy::ttl(minutes(5));
    let site = || {
        Site::new().route("/x", policy.clone(), async |ask: Ask| {
            Reply::text(format!("{} {}", ask.method, ask.call)).header("vary", "accept")
        })
    };
    for app in [
        site().around(policy.clone()).start(),
        site().before(policy.clone()).start(),
    ] {
        let host = || app.get("/x").header("x-forwarded-host", "other.test");
        assert_eq!(app.get("/x").send().await.text(), "GET 1");
        assert_eq!(
            app.get("/x").header("accept", "de").send().await.text(),
            "GET 2"
        );
        assert_eq!(host().send().await.text(), "GET 3");
        assert_eq!(app.put("/x").send().await.text(), "PUT 4");
        assert_eq!(app.get("/x").send().await.text(), "GET 5");
        assert_eq!(
            app.get("/x").header("accept", "de").send().await.text(),
            "GET 6"
        );
        assert_eq!(host().send().await.text(), "GET 7");
        app.done().await;
    }
}

pub(crate) async fn asy_39_layers_of_different_caches_are_each_their_own() {
    let within = Site::new()
        .route("/x", Policy::ttl(seconds(10)), numbered)
        .start();
    let through = within.clone();
    let app = Site::of(Policy::ttl(seconds(60)), move |_| {
        let within = through.clone();
        async move { Reply::text(within.get("/x").send().await.text().to_owned()) }
    })
    .start();
    for _ in 0..2 {
        assert_eq!(app.get("/x").send().await.text(), "1 /x");
    }
    pass(seconds(30)).await;
    assert_eq!(app.get("/x").send().await.text(), "1 /x");
    pass(seconds(31)).await;
    assert_eq!(app.get("/x").send().await.text(), "2 /x");
    assert_eq!((app.stats().stored, within.stats().stored), (2, 2));
    app.done().await;
    within.done().await;
}

pub(crate) async fn asy_39_what_only_the_inner_policy_lifts_is_lifted() {
    let inner = Policy::ttl(minutes(5))
        .ignore_credentials()
        .ignore_client_directives();
    for app in both(&Policy::from_headers(), &inner) {
        let requests = || {
            [
                app.get("/x").header("cookie", "sid=1"),
                app.get("/x").header("authorization", "me"),
                app.get("/x").header("cache-control", "no-cache"),
                app.get("/x")
                    .header("cookie", "sid=2")
                    .header("pragma", "no-cache"),
                app.get("/x"),
            ]
        };
        for calls in [1, 2] {
            for request in requests().into_iter().chain(requests()) {
                assert_eq!(request.send().await.text(), format!("{calls} /x"));
            }
            assert_eq!((app.calls(), app.stats().stored), (calls, calls));
            app.purger().all().await;
        }
        app.done().await;
    }
}

pub(crate) async fn asy_39_a_client_that_insists_does_not_end_collapsing() {
    let inner = Policy::ttl(minutes(5)).ignore_client_directives();
    let site = Site::new().route("/x", inner, async |ask: Ask| {
        tokio::time::sleep(seconds(1)).await;
        Reply::text(ask.call.to_string())
    });
    let app = site.around(Policy::from_headers()).start();
    assert_eq!(app.get("/x").send().await.text(), "1");
    let insists = app.get("/x").header("cache-control", "no-cache");
    assert_eq!(insists.send().await.text(), "1");
    app.purger().all().await;
    let asking: Vec<_> = (0..50)
        .map(|_| tokio::spawn(app.get("/x").send()))
        .collect();
    for answer in asking {
        assert_eq!(answer.await.unwrap().text(), "2");
    }
    app.done().await;
}

pub(crate) async fn asy_39_what_goes_past_goes_past_both_and_is_told_once() {
    for outer in [Policy::from_headers(), Policy::off()] {
        for app in both(&outer, &inner()) {
            let past = || {
                [
                    app.get("/x").header("if-match", "\"x\""),
                    app.get("/x").header("cache-control", "no-store"),
                    app.get("/x").body("fat"),
                    app.put("/x"),
                    app.request(http::Method::OPTIONS, "/x"),
                ]
            };
            for (n, request) in past().into_iter().enumerate() {
                let answer = request.send().await;
                assert_eq!(answer.text(), format!("{} /x", n + 1));
                assert_eq!(answer.all("cache-status").len(), 1, "{:?}", answer.headers);
            }
            assert_eq!((app.stats().bypasses, app.stats().stored), (5, 0));
            app.done().await;
        }
    }
}

pub(crate) async fn asy_39_a_head_is_answered_from_the_one_copy() {
    for outer in [Policy::from_headers(), Policy::ttl(hours(1)), Policy::off()] {
        for app in both(&outer, &inner()) {
            assert_eq!(app.head("/x").send().await.header("content-length"), "4");
            assert_eq!(app.get("/x").send().await.text(), "2 /x");
            let head = app.head("/x").send().await;
            assert_eq!((head.text(), head.header("content-length")), ("", "4"));
            assert_eq!((app.calls(), app.stats().stored), (2, 1), "{outer:?}");
            app.done().await;
        }
    }
}

pub(crate) async fn asy_39_an_early_refresh_reaches_the_handler() {
    let policy = Policy::ttl(minutes(5)).early_refresh(20.0);
    // A load takes a second: with half a minute left one read in five refreshes, with five minutes left
    // one in three million.
    let site = Site::new().route("/x", policy.clone(), async |ask: Ask| {
        tokio::time::sleep(seconds(1)).await;
        Reply::text(ask.call.to_string())
    });
    let app = site.around(policy).start();
    assert_eq!(app.get("/x").send().await.text(), "1");
    pass(minutes(4) + seconds(30)).await;
    while app.calls() == 1 {
        assert_eq!(app.get("/x").send().await.text(), "1", "it is still fresh");
        others_run().await;
    }
    pass(seconds(2)).await;
    app.settled().await;
    assert_eq!((app.get("/x").send().await.text(), app.calls()), ("2", 2));
    app.done().await;
}

pub(crate) async fn asy_39_when_the_leader_leaves_another_takes_its_turn_through_both() {
    for inner in [inner(), inner().vary_by_query(["page"])] {
        let site = || {
            Site::new().route("/x", inner.clone(), async |ask: Ask| {
                tokio::time::sleep(seconds(1)).await;
                Reply::text(ask.call.to_string())
            })
        };
        for app in [
            site().around(Policy::from_headers()).start(),
            site().before(Policy::ttl(hours(1))).start(),
        ] {
            let leader = tokio::spawn(app.get("/x").send());
            eventually("the leader", || app.calls() == 1).await;
            let followers: Vec<_> = (0..50)
                .map(|_| tokio::spawn(app.get("/x").send()))
                .collect();
            others_run().await;
            leader.abort();
            for follower in followers {
                assert_eq!(follower.await.unwrap().text(), "2");
            }
            assert_eq!((app.calls(), app.stats().stored), (2, 1), "{inner:?}");
            app.done().await;
        }
    }
}

/// A page for each tenant, behind an inner layer that tells them apart.
fn tenants() -> [App; 2] {
    let inner = Policy::ttl(minutes(5)).vary_by_header(HeaderName::from_static("x-tenant"));
    let site = || {
        Site::new().route("/x", inner.clone(), async |ask: Ask| {
            tokio::time::sleep(seconds(1)).await;
            Reply::text(format!("{} of {:?}", ask.call, ask.header("x-tenant")))
        })
    };
    [
        site().around(Policy::from_headers()).start(),
        site().before(Policy::ttl(hours(1))).start(),
    ]
}

pub(crate) async fn asy_39_what_the_inner_layer_stored_under_its_own_key_is_not_the_outers_to_give()
{
    for app in tenants() {
        let tenant = |name: &str| app.get("/x").header("x-tenant", name);
        for _ in 0..2 {
            assert_eq!(app.get("/x").send().await.text(), "1 of \"\"");
            assert_eq!(tenant("a").send().await.text(), "2 of \"a\"");
            assert_eq!(tenant("b").send().await.text(), "3 of \"b\"");
            assert_eq!(tenant("").send().await.text(), "4 of \"\"");
        }
        assert_eq!((app.calls(), app.stats().stored), (4, 4));
        app.done().await;
    }
}

pub(crate) async fn asy_39_who_waits_at_the_outer_layer_does_not_get_what_the_inner_keeps_apart() {
    for app in tenants() {
        let asking: Vec<_> = ["", "a", "b", "", "a", "b"]
            .into_iter()
            .map(|tenant| {
                let request = app.get("/x");
                let request = if tenant.is_empty() {
                    request
                } else {
                    request.header("x-tenant", tenant)
                };
                (tenant, tokio::spawn(request.send()))
            })
            .collect();
        for (tenant, answer) in asking {
            let answer = answer.await.unwrap();
            let whose = format!("of {tenant:?}");
            assert!(answer.text().ends_with(&whose), "{}", answer.text());
        }
        assert_eq!((app.calls(), app.stats().stored), (3, 3));
        app.done().await;
    }
}

pub(crate) async fn asy_39_a_guard_between_two_layers_is_asked_by_everyone() {
    for (field, inner) in [
        ("x-api-key", Policy::ttl(minutes(5))),
        ("cookie", Policy::ttl(minutes(5)).ignore_credentials()),
    ] {
        let site = || {
            let site = Site::new().route("/x", inner.clone(), numbered);
            site.guarded(move |headers| {
                let refused = !headers.contains_key(field);
                refused.then(|| Reply::text("for staff only").status(403))
            })
        };
        for app in [
            site().around(Policy::from_headers()).start(),
            site().before(Policy::ttl(hours(1))).start(),
        ] {
            for _ in 0..3 {
                let anybody = app.get("/x").send().await;
                let said = (anybody.status.as_u16(), anybody.text());
                assert_eq!(said, (403, "for staff only"), "{field}");
                let staff = app.get("/x").header(field, "1").send().await;
                assert_eq!((staff.status.as_u16(), staff.text()), (200, "1 /x"));
            }
            assert_eq!((app.calls(), app.stats().stored), (1, 1), "{field}");
            app.done().await;
        }
    }
}

pub(crate) async fn asy_39_a_field_that_is_rewritten_between_two_layers_selects_as_the_inner_sees_it()
 {
    let site = || {
        let site = Site::new().route("/x", Policy::ttl(minutes(5)), async |ask: Ask| {
            Reply::text(format!("{}: mail of {}", ask.call, ask.header("x-user")))
                .header("vary", "x-user")
        });
        site.guarded(|headers| {
            let is_alice = headers
                .get("x-api-key")
                .is_some_and(|key| key == "of alice");
            let user = if is_alice { "alice" } else { "nobody" };
            headers.insert("x-user", HeaderValue::from_static(user));
            None
        })
    };
    for app in [
        site().around(Policy::from_headers()).start(),
        site().before(Policy::ttl(hours(1))).start(),
    ] {
        for _ in 0..2 {
            let alice = app.get("/x").header("x-api-key", "of alice");
            assert_eq!(alice.send().await.text(), "1: mail of alice");
            let mallory = app.get("/x").header("x-user", "alice");
            assert_eq!(mallory.send().await.text(), "2: mail of nobody");
        }
        assert_eq!((app.calls(), app.stats().stored), (2, 2));
        app.done().await;
    }
}

pub(crate) async fn asy_39_two_layers_with_one_permit_between_them_do_not_wait_for_each_other() {
    for (inner, other) in [
        (Policy::ttl(minutes(5)).vary_by_query(["page"]), "?x=1"),
        (Policy::ttl(minutes(5)).ignore_credentials(), ""),
    ] {
        let permits = Arc::new(Semaphore::new(1));
        let app = Site::new()
            .route("/x", inner.clone(), async |ask: Ask| {
                tokio::time::sleep(seconds(1)).await;
                Reply::text(ask.call.to_string())
            })
            .limited(Arc::clone(&permits))
            .around(Policy::from_headers())
            .start();
        let held = permits.acquire().await.unwrap();
        let began = tokio::time::Instant::now();
        // One key within, two without: the second waits for the permit first.
        let second = app.get(&format!("/x{other}")).header("cookie", "a");
        let second = tokio::spawn(second.send());
        others_run().await;
        let first = tokio::spawn(app.get("/x").send());
        others_run().await;
        drop(held);
        for answer in [second, first] {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status, 200, "{inner:?}");
        }
        assert!(
            began.elapsed() <= seconds(2),
            "nobody waited in vain: {:?}",
            began.elapsed()
        );
        app.done().await;
    }
}

pub(crate) async fn asy_39_clients_that_want_only_what_is_stored_do_not_stop_refreshes() {
    let inner = || Policy::ttl(minutes(1)).stale_while_revalidate(hours(1));
    let site = || Site::new().route("/x", inner(), numbered);
    let heedless = || Policy::from_headers().ignore_client_directives();
    for app in [
        site().start(),
        site().around(Policy::from_headers()).start(),
        site().around(heedless()).start(),
        site().before(heedless()).start(),
    ] {
        for call in 1..=5 {
            for _ in 0..2 {
                let answer = app.get("/x").send().await;
                assert_eq!(answer.text(), format!("{call} /x"));
            }
            pass(seconds(90)).await;
            let only = app.get("/x").header("cache-control", "only-if-cached");
            let only = only.send().await;
            let said = (only.status.as_u16(), only.text().to_owned());
            let stale = (200, format!("{call} /x"));
            assert!(said == stale || said == (504, String::new()), "{said:?}");
            app.get("/x").send().await;
            eventually("the refresh", || app.calls() == call + 1).await;
            app.settled().await;
        }
        assert_eq!(app.calls(), 6);
        app.done().await;
    }
}
