//! What is purged, and what an unsafe request removes, while others ask for it.

use crate::support::*;
use bytes::Bytes;
use cache_tower::{HttpCache, Policy, minutes, seconds};
use futures_util::future::join_all;
use http::{Method, Request, Response};
use http_body_util::Empty;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};
use tower::{Layer, ServiceExt, service_fn};

/// A body that says which call made it.
fn numbered(n: usize) -> TestBody {
    TestBody::full(n.to_string())
}

async fn purge(cache: &HttpCache, what: &str) {
    match what {
        "group" => cache.purger().group("g").await,
        "uri" => cache.purger().uri(&"http://test/".parse().unwrap()).await,
        _ => cache.purger().all().await,
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_purge_of_what_is_coming_in_all_share_one_load() {
    let ways = ["group", "uri", "all"].map(|what| [(what, "x"), (what, "accept")]);
    for (what, varies_by) in ways.into_iter().flatten() {
        let (calls, gate) = (Calls::default(), Gate::default());
        let (cache, app) = app_under(Policy::ttl(minutes(5)).group("g"), {
            let (calls, gate) = (calls.clone(), gate.clone());
            move |_| {
                let n = calls.note();
                let gate = gate.clone();
                async move {
                    if n == 0 {
                        let old = Bytes::from_static(b"old ");
                        let page = Bytes::from_static(b"page");
                        let steps = [Step::Data(old), Step::Wait(gate), Step::Data(page)];
                        let body = TestBody::of(steps);
                        let response = with(Response::new(body), "vary", varies_by);
                        return with(response, "content-length", "8");
                    }
                    tokio::time::sleep(seconds(1)).await;
                    with(Response::new(numbered(n)), "vary", "accept")
                }
            }
        });
        let leader = call(&app, get("/")).await;
        let reads_along = call(&app, get("/")).await;
        assert_eq!(calls.count(), 1);
        purge(&cache, what).await;
        for answer in join_all((0..50).map(|_| fetch(&app, "/"))).await {
            assert_eq!(answer.body, "1", "{what}");
        }
        assert_eq!(calls.count(), 2, "{what}");
        gate.open();
        for before in [leader, reads_along] {
            assert_eq!(read(before).await.unwrap().body, "old page");
        }
        settle().await;
        assert_eq!(
            fetch(&app, "/").await.body,
            "1",
            "{what}: the newer one stays"
        );
        assert_eq!((calls.count(), cache.stats().stored), (2, 1));
        check(&cache);
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_purge_gets_what_is_loaded_after_it_by_one_for_all() {
    for what in ["group", "uri", "all"] {
        for purges in 1..=3 {
            let calls = Calls::default();
            let (cache, app) = app_under(Policy::ttl(minutes(5)).group("g"), {
                let calls = calls.clone();
                move |_| {
                    let n = calls.note();
                    async move {
                        tokio::time::sleep(seconds(1)).await;
                        Response::new(numbered(n))
                    }
                }
            });
            let mut asking = Vec::new();
            for wave in 0..=purges {
                if wave > 0 {
                    while calls.count() < wave {
                        tokio::time::sleep(seconds(1) / 10).await;
                    }
                    purge(&cache, what).await;
                }
                asking.extend((0..50).map(|_| {
                    let app = app.clone();
                    tokio::spawn(async move { (wave, fetch(&app, "/").await) })
                }));
                settle().await;
            }
            for answer in join_all(asking).await {
                let (wave, answer) = answer.unwrap();
                let load: usize = std::str::from_utf8(&answer.body).unwrap().parse().unwrap();
                assert!(load >= wave, "{what}: {load} for one who came after {wave}");
            }
            assert_eq!(calls.count(), purges + 1, "{what}");
            assert_eq!(fetch(&app, "/").await.body, purges.to_string());
            assert_eq!(calls.count(), purges + 1, "{what}");
            check(&cache);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_that_was_purged_stands_in_for_a_failure() {
    for what in ["group", "uri", "all", "nothing"] {
        let calls = Calls::default();
        let policy = Policy::ttl(minutes(1)).stale_if_error(minutes(10));
        let (cache, app) = app_under(policy.group("g"), {
            let calls = calls.clone();
            move |_| {
                let n = calls.note();
                async move {
                    if n == 0 {
                        return text("old");
                    }
                    tokio::time::sleep(seconds(2)).await;
                    status(502, "bad")
                }
            }
        });
        fetch(&app, "/").await;
        tokio::time::sleep(seconds(90)).await;
        let asking: Vec<_> = (0..10)
            .map(|_| {
                let app = app.clone();
                tokio::spawn(async move { fetch(&app, "/").await })
            })
            .collect();
        settle().await;
        if what != "nothing" {
            purge(&cache, what).await;
        }
        for answer in join_all(asking).await {
            let answer = answer.unwrap();
            let is_old = answer.status == 200 && answer.body == "old";
            assert_eq!(is_old, what == "nothing", "{what}: {answer:?}");
            assert!(is_old || answer.status.is_server_error());
        }
        assert!(calls.count() <= 3, "{what}: {}", calls.count());
        check(&cache);
    }
}

#[tokio::test(start_paused = true)]
async fn sto_37_a_request_whose_authorities_disagree_invalidates_nothing() {
    let calls = Calls::default();
    let (cache, app) = app({
        let calls = calls.clone();
        move |request: Req| {
            let is_read = request.method() == Method::GET;
            let n = if is_read { calls.note() } else { 0 };
            async move { Response::new(numbered(n)) }
        }
    });
    let post = |uri: &str, hosts: &[&str]| {
        let request = Request::post(uri);
        let request = hosts
            .iter()
            .fold(request, |request, host| request.header("host", *host));
        request.body(Empty::new()).unwrap()
    };
    assert_eq!(fetch(&app, "/").await.body, "0");
    for (uri, hosts) in [
        ("http://test/", &["attacker"][..]),
        ("http://attacker/", &["test"]),
        ("/", &["test", "attacker"]),
        ("/", &["attacker", "test"]),
    ] {
        assert_eq!(call(&app, post(uri, hosts)).await.status(), 200);
        assert_eq!(fetch(&app, "/").await.body, "0", "{uri} {hosts:?}");
    }
    assert_eq!(calls.count(), 1);
    assert_eq!(
        call(&app, post("http://test/", &["test"])).await.status(),
        200
    );
    assert_eq!(fetch(&app, "/").await.body, "1", "they agree");
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn sto_37_an_update_that_the_service_did_not_answer_invalidates_nothing() {
    let (calls, fails) = (Calls::default(), Arc::new(AtomicBool::new(true)));
    let cache = HttpCache::new();
    let inner = service_fn({
        let (calls, fails) = (calls.clone(), Arc::clone(&fails));
        move |request: Req| {
            let is_read = request.method() == Method::GET;
            let n = if is_read { calls.note() } else { 0 };
            let fails = !is_read && fails.load(SeqCst);
            async move {
                settle().await;
                if fails {
                    Err("overloaded")
                } else {
                    Ok(Response::new(numbered(n)))
                }
            }
        }
    });
    let service = cache.policy(Policy::ttl(minutes(5))).layer(inner);
    let ask = async |method: Method| {
        let request = Request::builder().method(method).uri("http://test/");
        let request = request.body(Empty::new()).unwrap();
        let response = service.clone().oneshot(request).await?;
        Ok::<_, &str>(read(response).await.unwrap().body)
    };
    assert_eq!(ask(Method::GET).await.unwrap(), "0");
    for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH] {
        assert_eq!(ask(method).await.unwrap_err(), "overloaded");
        assert_eq!(ask(Method::GET).await.unwrap(), "0");
    }
    fails.store(false, SeqCst);
    assert_eq!(ask(Method::PUT).await.unwrap(), "0");
    assert_eq!(ask(Method::GET).await.unwrap(), "1", "that one did");
    assert_eq!(calls.count(), 2);
    check(&cache);
}
