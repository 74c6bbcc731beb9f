//! What a hit costs, and what it says.

use crate::support::*;
use allocation_counter::measure;
use bytes::Bytes;
use cache_tower::{HttpCache, Policy, hours, minutes, seconds};
use http::{HeaderMap, Request, Response};
use http_body_util::{Empty, Full};
use std::{convert::Infallible, future::Future, pin::pin, task::Context};
use tower::{Layer, Service, service_fn};

fn eight_fields() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "public, max-age=60"),
        ("etag", "\"abc\""),
        ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("server", "test"),
        ("x-request-id", "0123456789"),
        ("content-language", "de"),
        ("link", "</style.css>; rel=preload"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    headers
}

/// Polls a future that is ready at once.
fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(std::task::Waker::noop()))
    {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_hit_allocates_nothing_beside_its_header_map_and_boxes_no_future() {
    for policy in [
        Policy::from_headers(),
        Policy::ttl(hours(1)).vary_by_query(["page"]),
        Policy::ttl(hours(1)).group("g"),
    ] {
        let cache = HttpCache::new();
        let inner = service_fn(|_: Request<Empty<Bytes>>| async {
            let mut response = Response::new(Full::from(vec![b'x'; 1024]));
            *response.headers_mut() = eight_fields();
            Ok::<_, Infallible>(response)
        });
        let mut service = cache.policy(policy).layer(inner);
        let request = || {
            Request::get("http://test/path?page=2")
                .header("host", "test")
                .body(Empty::new())
                .unwrap()
        };
        drop(service.call(request()).await.unwrap());
        drop(service.call(request()).await.unwrap());

        let response = service.call(request()).await.unwrap();
        assert!(
            response.headers()["cache-status"]
                .to_str()
                .unwrap()
                .contains(";hit;")
        );
        let headers = response.headers().clone();
        let copying = measure(|| drop(headers.clone()));

        let asked = request();
        let mut answer = None;
        let hit = measure(|| answer = Some(now(service.call(asked))));
        assert_eq!(
            hit.count_total, copying.count_total,
            "allocations of a hit, and of its header map"
        );
        assert_eq!(hit.bytes_total, copying.bytes_total);
        assert_eq!(
            read(answer.unwrap().unwrap()).await.unwrap().body.len(),
            1024
        );
        check(&cache);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hit_of_a_variant_allocates_nothing_more_either() {
    let cache = HttpCache::new();
    let inner = service_fn(|_: Request<Empty<Bytes>>| async {
        let response = Response::builder()
            .header("vary", "accept-language")
            .body(Full::from("x"));
        Ok::<_, Infallible>(response.unwrap())
    });
    let mut service = cache.policy(Policy::ttl(hours(1))).layer(inner);
    let request = || {
        Request::get("http://test/")
            .header("accept-language", "de")
            .body(Empty::<Bytes>::new())
            .unwrap()
    };
    drop(service.call(request()).await.unwrap());
    let headers = service.call(request()).await.unwrap().headers().clone();
    assert!(headers["cache-status"].to_str().unwrap().contains(";hit;"));
    let copying = measure(|| drop(headers.clone()));
    let asked = request();
    let mut answer = None;
    let hit = measure(|| answer = Some(now(service.call(asked))));
    assert_eq!(hit.count_total, copying.count_total);
}

#[tokio::test(start_paused = true)]
async fn a_hit_says_its_age_and_what_is_left() {
    let (cache, app) = app(|_| async { with(text("x"), "age", "10") });
    fetch(&app, "/").await;
    tokio::time::sleep(seconds(70)).await;
    let hit = fetch(&app, "/").await;
    assert_eq!(hit.headers["age"], "80", "ten it came with, seventy here");
    assert_eq!(hit.status_field(), "cache-tower;hit;ttl=220;detail=L1");
    assert_eq!(hit.headers.get_all("age").iter().count(), 1);
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn sto_62_what_others_say_in_cache_status_stays_before_ours() {
    let (cache, app) = app(|_| async { with(text("x"), "cache-status", "origin;hit") });
    for expected in [
        "cache-tower;fwd=uri-miss;ttl=300;stored",
        "cache-tower;hit;ttl=300;detail=L1",
    ] {
        let answer = fetch(&app, "/").await;
        let lines: Vec<_> = answer.headers.get_all("cache-status").iter().collect();
        assert_eq!(lines, ["origin;hit", expected]);
    }
    let silent = HttpCache::builder().without_cache_status().build().unwrap();
    let app = around(&silent, Policy::ttl(minutes(1)), |_| async { text("x") });
    for _ in 0..2 {
        assert!(!fetch(&app, "/").await.headers.contains_key("cache-status"));
    }
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn fields_of_this_hop_and_of_one_clients_quota_are_not_stored() {
    let (cache, app) = app(|_| async {
        let mut response = text("x");
        for (name, value) in [
            ("connection", "x-hop, close"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("ratelimit", "\"a\";r=1"),
            ("x-ratelimit-remaining", "1"),
            ("link", "</a>"),
            ("link", "</b>"),
            ("content-disposition", "attachment"),
        ] {
            response = with(response, name, value);
        }
        response
    });
    let first = fetch(&app, "/").await;
    assert_eq!(
        first.headers["x-hop"], "1",
        "the answer itself is passed on as it is"
    );
    let hit = fetch(&app, "/").await;
    for gone in [
        "connection",
        "x-hop",
        "keep-alive",
        "ratelimit",
        "x-ratelimit-remaining",
    ] {
        assert!(!hit.headers.contains_key(gone), "{gone}");
    }
    assert_eq!(
        hit.headers.get_all("link").iter().collect::<Vec<_>>(),
        ["</a>", "</b>"],
        "STO-45"
    );
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn hits_are_given_without_a_runtime_and_bodies_that_are_ready_are_stored() {
    let (cache, app) = app(|_| async { text("x") });
    std::thread::spawn(move || {
        for expected in ["fwd=uri-miss", "hit"] {
            let response = now(call_future(&app, get("/")));
            assert!(
                response.headers()["cache-status"]
                    .to_str()
                    .unwrap()
                    .contains(expected)
            );
        }
    })
    .join()
    .unwrap();
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_hit_of_a_variant_by_encodings_allocates_its_header_map_only() {
    let cache = HttpCache::new();
    let inner = service_fn(|_: Request<Empty<Bytes>>| async {
        let response = Response::builder()
            .header("vary", "accept-encoding, accept-language")
            .body(Full::from("x"));
        Ok::<_, Infallible>(response.unwrap())
    });
    let mut service = cache.policy(Policy::ttl(hours(1))).layer(inner);
    for encodings in [
        "gzip, deflate, br, zstd",
        "br;q=1.0, gzip;q=0.8, *;q=0.1",
        "a, b, c, d, e, f, g, h, i, j, k, l, m, n",
        "gzip, gzip, not one;",
        "",
    ] {
        let request = || {
            Request::get("http://test/")
                .header("accept-encoding", encodings)
                .header("accept-language", "de")
                .body(Empty::<Bytes>::new())
                .unwrap()
        };
        drop(service.call(request()).await.unwrap());
        let headers = service.call(request()).await.unwrap().headers().clone();
        let says = headers["cache-status"].to_str().unwrap();
        assert!(says.contains(";hit;"), "{encodings:?}: {says}");
        let copying = measure(|| drop(headers.clone()));
        let asked = request();
        let mut answer = None;
        let hit = measure(|| answer = Some(now(service.call(asked))));
        assert_eq!(hit.count_total, copying.count_total, "{encodings:?}");
        assert_eq!(hit.bytes_total, copying.bytes_total, "{encodings:?}");
        let body = read(answer.unwrap().unwrap()).await.unwrap().body;
        assert_eq!(body, "x");
    }
    check(&cache);
}
