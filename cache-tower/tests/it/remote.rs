//! What several caches share by a remote tier.

use crate::support::{
    App, Calls, Gate, Step, TestBody, around, call, call_future, check, fetch, get, read, settle,
    status, text, with,
};
use cache_core::remote::{Fake, Remote, fake::Fault};
use cache_tower::{HttpCache, ManualClock, Policy, minutes, seconds};
use http::{Method, Request, Response};
use http_body_util::Empty;
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// One process of a fleet.
struct Node {
    cache: HttpCache,
    app: App,
    link: Fake,
}

fn node<F, Fut>(link: Fake, policy: Policy, handler: F) -> Node
where
    F: Fn(crate::support::Req) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<TestBody>> + Send + 'static,
{
    let remote: Arc<dyn Remote> = Arc::new(link.clone());
    let cache = HttpCache::builder().remote(remote).build().unwrap();
    let app = around(&cache, policy, handler);
    link.beat();
    Node { cache, app, link }
}

/// A cache of this name and its own handler, with a group, on a link.
fn named(link: &Fake, name: &str) -> (HttpCache, App) {
    let remote: Arc<dyn Remote> = Arc::new(link.clone());
    let cache = HttpCache::builder().name(name).remote(remote);
    let cache = cache.build().unwrap();
    let name = name.to_owned();
    let handler = move |_| std::future::ready(Response::new(TestBody::full(name.clone())));
    let app = around(&cache, Policy::ttl(minutes(5)).group("all"), handler);
    link.beat();
    (cache, app)
}

fn fleet<F, Fut>(count: usize, policy: &Policy, handler: F) -> Vec<Node>
where
    F: Fn(crate::support::Req) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<TestBody>> + Send + 'static,
{
    let first = Fake::new();
    (0..count)
        .map(|_| node(first.another(), policy.clone(), handler.clone()))
        .collect()
}

fn counted(
    calls: &Calls,
) -> impl Fn(crate::support::Req) -> std::future::Ready<Response<TestBody>> + Clone + Send + Sync + 'static
{
    let calls = calls.clone();
    move |_| {
        let n = calls.note();
        std::future::ready(with(
            Response::new(TestBody::full(format!("answer {n}"))),
            "x-made",
            "by the handler",
        ))
    }
}

fn ask(method: Method, path: &str) -> crate::support::Req {
    let uri = format!("http://test{path}");
    Request::builder()
        .method(method)
        .uri(uri)
        .body(Empty::new())
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_one_process_stored_is_a_hit_in_another() {
    let calls = Calls::default();
    let nodes = fleet(2, &Policy::ttl(minutes(5)), counted(&calls));
    let made = fetch(&nodes[0].app, "/a").await;
    let found = fetch(&nodes[1].app, "/a").await;
    assert_eq!((calls.count(), &found.body), (1, &made.body));
    assert_eq!(found.headers["x-made"], "by the handler");
    assert!(
        found.status_field().starts_with("cache-tower;hit;ttl="),
        "{}",
        found.status_field()
    );
    assert_eq!(nodes[1].cache.stats().remote_hits, 1);
    let again = fetch(&nodes[1].app, "/a").await;
    assert_eq!((calls.count(), again.body), (1, made.body));
    nodes.iter().for_each(|node| check(&node.cache));
}

#[tokio::test(start_paused = true)]
async fn caches_of_different_names_have_nothing_in_common() {
    let link = Fake::new();
    // Also where one name begins as the other does.
    let nodes = ["public", "public:open", "internal"].map(|name| named(&link.another(), name));
    for (name, (_, app)) in ["public", "public:open", "internal"].iter().zip(&nodes) {
        assert_eq!(fetch(app, "/a").await.body, *name);
    }
    let [(public, _), (_, open), (internal, _)] = &nodes;
    public.purger().all().await;
    internal.purger().group("all").await;
    let again = named(&link.another(), "public:open").1;
    for app in [open, &again] {
        assert!(fetch(app, "/a").await.status_field().contains(";hit;"));
    }
    for name in ["public", "internal"] {
        let found = fetch(&named(&link.another(), name).1, "/a").await;
        assert!(found.status_field().contains(";fwd="), "{name} was purged");
    }
}

#[tokio::test(start_paused = true)]
async fn what_memory_does_not_keep_is_stored_all_the_same() {
    let (calls, link) = (Calls::default(), Fake::new());
    let cache = HttpCache::builder()
        .remote(Arc::new(link.clone()) as Arc<dyn Remote>)
        .without_memory()
        .build()
        .unwrap();
    let app = around(&cache, Policy::ttl(minutes(5)), counted(&calls));
    link.beat();
    let made = fetch(&app, "/a").await;
    assert_eq!(
        made.status_field(),
        "cache-tower;fwd=uri-miss;ttl=300;stored"
    );
    let found = fetch(&app, "/a").await;
    assert_eq!((calls.count(), &found.body), (1, &made.body));
    assert!(
        found.status_field().ends_with(";detail=L2"),
        "{}",
        found.status_field()
    );
    assert_eq!(cache.stats().entries, 0);
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_of_three_processes_are_one_load() {
    let (calls, gate) = (Calls::default(), Gate::default());
    let handler = {
        let (calls, gate) = (calls.clone(), gate.clone());
        move |_| {
            let (calls, gate) = (calls.clone(), gate.clone());
            async move {
                calls.note();
                gate.pass().await;
                text("made once")
            }
        }
    };
    let nodes = fleet(3, &Policy::ttl(minutes(5)), handler);
    let callers: Vec<_> = (0..999)
        .map(|n| tokio::spawn(call_future(&nodes[n % 3].app, get("/a"))))
        .collect();
    settle().await;
    gate.open();
    for caller in callers {
        let answer = read(caller.await.unwrap()).await.unwrap();
        assert_eq!(answer.body, "made once");
    }
    assert_eq!(calls.count(), 1);
    nodes.iter().for_each(|node| check(&node.cache));
    settle().await;
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(nodes[0].link.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_streams_is_shared_when_it_has_ended() {
    let (calls, gate) = (Calls::default(), Gate::default());
    let handler = {
        let (calls, gate) = (calls.clone(), gate.clone());
        move |_| {
            calls.note();
            let steps = [
                Step::Data("one ".into()),
                Step::Wait(gate.clone()),
                Step::Data("two".into()),
            ];
            std::future::ready(Response::new(TestBody::of(steps)))
        }
    };
    let nodes = fleet(2, &Policy::ttl(minutes(5)), handler);
    let first = tokio::spawn(call_future(&nodes[0].app, get("/a")));
    settle().await;
    let second = tokio::spawn(call_future(&nodes[1].app, get("/a")));
    settle().await;
    gate.open();
    for caller in [first, second] {
        let answer = read(caller.await.unwrap()).await.unwrap();
        assert_eq!(answer.body, "one two");
    }
    assert_eq!(calls.count(), 1);
}

fn by_language(
    calls: &Calls,
) -> impl Fn(crate::support::Req) -> std::future::Ready<Response<TestBody>> + Clone + Send + Sync + 'static
{
    let calls = calls.clone();
    move |request| {
        let n = calls.note();
        let language = request.headers()["x-kind"].to_str().unwrap().to_owned();
        std::future::ready(with(
            Response::new(TestBody::full(format!("{language} {n}"))),
            "vary",
            "x-kind",
        ))
    }
}

fn kind(kind: &str) -> crate::support::Req {
    let mut request = get("/a");
    request
        .headers_mut()
        .insert("x-kind", kind.parse().unwrap());
    request
}

async fn body(app: &App, request: crate::support::Req) -> String {
    let answer = read(call(app, request).await).await.unwrap();
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn variants_are_shared_each_under_its_own_key() {
    let calls = Calls::default();
    let nodes = fleet(3, &Policy::ttl(minutes(5)), by_language(&calls));
    assert_eq!(body(&nodes[0].app, kind("x")).await, "x 0");
    assert_eq!(body(&nodes[1].app, kind("y")).await, "y 1");
    for node in &nodes {
        assert_eq!(body(&node.app, kind("x")).await, "x 0");
        assert_eq!(body(&node.app, kind("y")).await, "y 1");
    }
    assert_eq!(calls.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_removes_all_variants_in_all_processes() {
    let calls = Calls::default();
    let handler = {
        let inner = by_language(&calls);
        move |request: crate::support::Req| {
            let inner = inner.clone();
            async move {
                match *request.method() {
                    Method::GET => inner(request).await,
                    _ => status(204, ""),
                }
            }
        }
    };
    let nodes = fleet(2, &Policy::ttl(minutes(5)), handler);
    for node in &nodes {
        assert_eq!(body(&node.app, kind("x")).await, "x 0");
        assert_eq!(body(&node.app, kind("y")).await, "y 1");
    }
    call(&nodes[0].app, ask(Method::PUT, "/a")).await;
    // The index is made anew by one of them; what the old one led to is not found again.
    assert_eq!(body(&nodes[1].app, kind("x")).await, "x 2");
    assert_eq!(body(&nodes[0].app, kind("y")).await, "y 3");
    assert_eq!(body(&nodes[0].app, kind("x")).await, "x 2");
    assert_eq!(body(&nodes[1].app, kind("y")).await, "y 3");
}

#[tokio::test(start_paused = true)]
async fn rds_16_an_index_that_leads_to_nothing_is_a_miss_and_is_mended() {
    let calls = Calls::default();
    let nodes = fleet(2, &Policy::ttl(minutes(5)), by_language(&calls));
    assert_eq!(body(&nodes[0].app, kind("x")).await, "x 0");
    let keys = nodes[0].link.keys();
    assert_eq!(keys.len(), 2);
    let variant = keys
        .iter()
        .max_by_key(|key| nodes[0].link.read_raw(key).map(|bytes| bytes.len()))
        .unwrap();
    let remote: &dyn Remote = &nodes[0].link;
    remote.invalidate(&[variant], seconds(1)).await.unwrap();
    assert_eq!(body(&nodes[1].app, kind("x")).await, "x 1");
    assert_eq!(body(&nodes[0].app, kind("x")).await, "x 1");
}

#[tokio::test(start_paused = true)]
async fn an_update_in_one_process_is_seen_by_all_when_its_response_is_there() {
    let calls = Calls::default();
    let nodes = fleet(2, &Policy::ttl(minutes(5)), counted(&calls));
    assert_eq!(body(&nodes[0].app, get("/a")).await, "answer 0");
    assert_eq!(body(&nodes[1].app, get("/a")).await, "answer 0");
    call(&nodes[0].app, ask(Method::POST, "/a")).await;
    assert_eq!(body(&nodes[1].app, get("/a")).await, "answer 2");
    assert_eq!(body(&nodes[0].app, get("/a")).await, "answer 2");
}

#[tokio::test(start_paused = true)]
async fn groups_uris_and_everything_are_purged_in_all_processes() {
    let calls = Calls::default();
    let nodes = fleet(2, &Policy::ttl(minutes(5)).group("users"), counted(&calls));
    for node in &nodes {
        assert_eq!(body(&node.app, get("/a")).await, "answer 0");
    }
    nodes[0].cache.purger().group("users").await;
    for node in nodes.iter().rev() {
        assert_eq!(body(&node.app, get("/a")).await, "answer 1");
    }
    nodes[1]
        .cache
        .purger()
        .uri(&"http://test/a".parse().unwrap())
        .await;
    for node in &nodes {
        assert_eq!(body(&node.app, get("/a")).await, "answer 2");
    }
    nodes[0].cache.purger().all().await;
    for node in nodes.iter().rev() {
        assert_eq!(body(&node.app, get("/a")).await, "answer 3");
    }
}

#[tokio::test(start_paused = true)]
async fn cor_07_a_leader_that_began_before_an_invalidation_stores_nothing_anywhere() {
    let (calls, gate) = (Calls::default(), Gate::default());
    let handler = {
        let (calls, gate) = (calls.clone(), gate.clone());
        move |request: crate::support::Req| {
            let (calls, gate) = (calls.clone(), gate.clone());
            async move {
                if request.method() != Method::GET {
                    return status(204, "");
                }
                match calls.note() {
                    0 => {
                        gate.pass().await;
                        text("old")
                    }
                    _ => text("new"),
                }
            }
        }
    };
    let nodes = fleet(2, &Policy::ttl(minutes(5)), handler);
    let late = tokio::spawn(call_future(&nodes[0].app, get("/a")));
    settle().await;
    call(&nodes[1].app, ask(Method::DELETE, "/a")).await;
    gate.open();
    assert_eq!(read(late.await.unwrap()).await.unwrap().body, "old");
    for node in &nodes {
        assert_eq!(fetch(&node.app, "/a").await.body, "new");
    }
}

fn on(clock: &ManualClock, link: Fake, policy: Policy, calls: &Calls) -> Node {
    let remote: Arc<dyn Remote> = Arc::new(link.clone());
    let cache = HttpCache::builder()
        .clock(clock.clone())
        .remote(remote)
        .build()
        .unwrap();
    let calls = calls.clone();
    let app = around(&cache, policy, move |request: crate::support::Req| {
        calls.note();
        let response = match request.headers().get("if-none-match") {
            Some(_) => status(304, ""),
            None => text("the body"),
        };
        let response = with(response, "etag", "\"1\"");
        std::future::ready(with(response, "cache-control", "max-age=60"))
    });
    Node { cache, app, link }
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_in_the_remote_tier_is_validated() {
    let clock = ManualClock::at(SystemTime::now());
    let (calls, link) = (Calls::default(), Fake::new());
    let node = |link| on(&clock, link, Policy::from_headers(), &calls);
    let (first, second) = (node(link.another()), node(link.another()));
    assert_eq!(fetch(&first.app, "/a").await.body, "the body");
    clock.advance(seconds(61));
    tokio::time::advance(seconds(61)).await;
    let confirmed = fetch(&second.app, "/a").await;
    assert_eq!(confirmed.body, "the body");
    let status = confirmed.status_field();
    assert!(status.contains("fwd=stale;fwd-status=304"), "{status}");
    assert_eq!(calls.count(), 2);
    let found = fetch(&first.app, "/a").await;
    assert!(
        found.status_field().contains(";hit"),
        "{}",
        found.status_field()
    );
    assert_eq!(calls.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_stored_never_gets_there() {
    let nodes = fleet(
        2,
        &Policy::ttl(minutes(5)),
        |request: crate::support::Req| {
            let name = match request.uri().path() {
                "/cookie" => ("set-cookie", "a=b"),
                "/private" => ("cache-control", "private"),
                _ => ("cache-control", "no-store"),
            };
            std::future::ready(with(text("canary-of-a-secret"), name.0, name.1))
        },
    );
    for path in ["/no-store", "/private", "/cookie"] {
        for node in &nodes {
            assert_eq!(fetch(&node.app, path).await.body, "canary-of-a-secret");
        }
    }
    tokio::time::sleep(seconds(1)).await;
    assert!(nodes[0].link.keys().is_empty());
    assert_eq!(nodes[0].link.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn credentials_are_in_the_remote_tier_as_digests_only() {
    let policy = Policy::standard();
    let nodes = fleet(1, &policy, |_| {
        let response = with(text("public"), "cache-control", "public, max-age=60");
        std::future::ready(with(response, "vary", "authorization, cookie"))
    });
    let mut request = get("/a");
    request
        .headers_mut()
        .insert("authorization", "canary-1".parse().unwrap());
    request
        .headers_mut()
        .insert("cookie", "canary-2".parse().unwrap());
    call(&nodes[0].app, request).await;
    let keys = nodes[0].link.keys();
    assert_eq!(keys.len(), 2);
    for key in keys {
        let bytes = nodes[0].link.read_raw(&key).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"canary-"));
        let prefix = "http%cache-tower:";
        assert!(key.starts_with(prefix.as_bytes()), "{key:?}");
        assert_eq!(key.len(), prefix.len() + 32, "the name has a fixed length");
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_remote_tier_away_everything_is_as_without_one() {
    let calls = Calls::default();
    let nodes = fleet(2, &Policy::ttl(minutes(5)), counted(&calls));
    nodes.iter().for_each(|node| node.link.set_down(true));
    assert_eq!(body(&nodes[0].app, get("/a")).await, "answer 0");
    assert_eq!(body(&nodes[0].app, get("/a")).await, "answer 0");
    assert_eq!(body(&nodes[1].app, get("/a")).await, "answer 1");
    call(&nodes[0].app, ask(Method::POST, "/a")).await;
    assert_eq!(body(&nodes[0].app, get("/a")).await, "answer 3");
}

#[tokio::test(start_paused = true)]
async fn no_fault_of_the_remote_tier_fails_a_request() {
    let calls = Calls::default();
    let nodes = fleet(2, &Policy::ttl(minutes(5)), counted(&calls));
    let faults = [Fault::RequestLost, Fault::ReplyLost, Fault::Refused];
    for round in 0..60_usize {
        let node = &nodes[round % 2];
        node.link
            .inject((0..round % 5).map(|n| (n % 2 == 0).then(|| faults[round % 3])));
        let path = format!("/{}", round % 7);
        let method = if round % 4 == 3 {
            Method::POST
        } else {
            Method::GET
        };
        let answer = read(call(&node.app, ask(method, &path)).await)
            .await
            .unwrap();
        assert!(answer.body.starts_with(b"answer "), "{answer:?}");
    }
    nodes.iter().for_each(|node| check(&node.cache));
}

#[tokio::test(start_paused = true)]
async fn a_slow_remote_tier_costs_a_request_its_budget_and_no_more() {
    let calls = Calls::default();
    let nodes = fleet(1, &Policy::ttl(minutes(5)), counted(&calls));
    nodes[0].link.set_latency(seconds(30));
    let begun = tokio::time::Instant::now();
    assert_eq!(body(&nodes[0].app, get("/a")).await, "answer 0");
    assert!(
        begun.elapsed() <= Duration::from_millis(30),
        "{:?}",
        begun.elapsed()
    );
    call(&nodes[0].app, ask(Method::POST, "/a")).await;
    assert!(
        begun.elapsed() <= Duration::from_millis(75),
        "{:?}",
        begun.elapsed()
    );
}

/// One that answers, but slowly: looking, leading and storing are within one budget.
#[tokio::test(start_paused = true)]
async fn all_that_a_request_asks_of_the_remote_tier_is_within_one_budget() {
    let calls = Calls::default();
    let policy = Policy::ttl(minutes(5)).group("all");
    let nodes = fleet(1, &policy, counted(&calls));
    for latency in 1..=20 {
        nodes[0].link.set_latency(Duration::from_millis(latency));
        let begun = tokio::time::Instant::now();
        body(&nodes[0].app, get(&format!("/{latency}"))).await;
        let took = begun.elapsed();
        assert!(took <= Duration::from_millis(21), "{latency}: {took:?}");
    }
}

/// COR-03: a stored response of 1 KiB, each bit flipped, cut at each offset. Never wrong: the origin
/// answers, it is counted, and what is there is replaced.
#[tokio::test(start_paused = true)]
async fn cor_03_a_response_with_any_bit_flipped_or_cut_anywhere_is_a_miss() {
    let calls = Calls::default();
    let handler = {
        let calls = calls.clone();
        move |_| {
            let n = calls.note();
            let body = format!("answer {n:05} {}", "x".repeat(720));
            std::future::ready(Response::new(TestBody::full(body)))
        }
    };
    let nodes = fleet(1, &Policy::ttl(minutes(5)), handler);
    let Node { cache, app, link } = &nodes[0];
    let whole = body(app, get("/a")).await;
    let key = link.keys().pop().unwrap();
    let good = link.read_raw(&key).unwrap();
    let flipped = (0..good.len() * 8).map(|bit| {
        let mut bytes = good.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    let cut = (0..good.len()).map(|at| good[..at].to_vec());
    let longer = [&good[..], b"x"].concat();
    for (nth, bytes) in flipped.chain(cut).chain([longer]).enumerate() {
        let odd = cache.stats().remote_odd;
        link.write_raw(&key, bytes.clone());
        let before = calls.count();
        let expected = whole.replace("00000", &format!("{before:05}"));
        assert_eq!(body(app, get("/a")).await, expected, "the {nth}th");
        assert!(cache.stats().remote_odd > odd, "the {nth}th is counted");
        let stored = link.read_raw(&key).unwrap();
        assert_eq!(stored.len(), good.len());
        assert_ne!(stored, bytes, "the {nth}th is replaced");
    }
    check(cache);
}

#[tokio::test(start_paused = true)]
async fn layers_of_other_policies_do_not_share() {
    let (calls, link) = (Calls::default(), Fake::new());
    let first = node(link.another(), Policy::ttl(minutes(5)), counted(&calls));
    let other = node(link.another(), Policy::ttl(minutes(6)), counted(&calls));
    assert_eq!(body(&first.app, get("/a")).await, "answer 0");
    assert_eq!(body(&other.app, get("/a")).await, "answer 1");
}

#[tokio::test(start_paused = true)]
async fn a_layer_within_another_takes_its_lease_and_shares() {
    use tower::{Layer, util::BoxCloneSyncService};
    let (calls, link) = (Calls::default(), Fake::new());
    let nested = |link: Fake| {
        let inner = node(link, Policy::ttl(minutes(5)), by_language(&calls));
        let outer = BoxCloneSyncService::new(inner.cache.layer(inner.app.clone()));
        let outer = tower::ServiceExt::<crate::support::Req>::map_response(
            outer,
            |response: Response<cache_tower::ResponseBody<cache_tower::ResponseBody<TestBody>>>| {
                response
            },
        );
        (inner.cache, outer)
    };
    let begun = tokio::time::Instant::now();
    let (first, second) = (nested(link.another()), nested(link.another()));
    for (_, app) in [&first, &second] {
        for wanted in ["x", "y"] {
            let response = tower::ServiceExt::oneshot(app.clone(), kind(wanted))
                .await
                .unwrap();
            let answer = read(response).await.unwrap();
            assert!(answer.body.starts_with(wanted.as_bytes()));
        }
    }
    assert_eq!(calls.count(), 2);
    assert!(begun.elapsed() < seconds(1), "nobody waited for itself");
    check(&first.0);
}

#[tokio::test(start_paused = true)]
async fn a_head_finds_what_another_process_stored() {
    let calls = Calls::default();
    let nodes = fleet(2, &Policy::ttl(minutes(5)), counted(&calls));
    assert_eq!(body(&nodes[0].app, get("/a")).await, "answer 0");
    let head = read(call(&nodes[1].app, ask(Method::HEAD, "/a")).await)
        .await
        .unwrap();
    assert_eq!((calls.count(), &*head.body), (1, &b""[..]));
    assert_eq!(head.headers["content-length"], "8");
}

/// A handler that takes a second; it fails while `fails` says so.
fn slowly(
    calls: &Calls,
    fails: impl Fn(usize, &crate::support::Req) -> bool + Clone + Send + Sync + 'static,
) -> impl Fn(crate::support::Req) -> std::pin::Pin<Box<dyn Future<Output = Response<TestBody>> + Send>>
+ Clone
+ Send
+ Sync
+ 'static {
    let calls = calls.clone();
    move |request| {
        let n = calls.note();
        let fails = fails(n, &request);
        Box::pin(async move {
            tokio::time::sleep(seconds(1)).await;
            if fails {
                status(500, "the origin fails")
            } else {
                Response::new(TestBody::full(format!("answer {n}")))
            }
        })
    }
}

/// The answers to `each` callers of each node, by their status: from the origin, and by the cache.
async fn statuses(nodes: &[Node], each: usize) -> (usize, usize) {
    let callers: Vec<_> = nodes
        .iter()
        .flat_map(|node| (0..each).map(|_| tokio::spawn(call_future(&node.app, get("/a")))))
        .collect();
    let (mut of_origin, mut of_cache) = (0, 0);
    for caller in callers {
        match caller.await.unwrap().status().as_u16() {
            500 => of_origin += 1,
            503 => of_cache += 1,
            other => panic!("{other}"),
        }
    }
    (of_origin, of_cache)
}

/// ASY-05 over a fleet: of all who wait one tries again, then all get the failure.
#[tokio::test(start_paused = true)]
async fn asy_05_a_failure_is_shared_by_all_processes_after_one_more_try() {
    for count in [2, 3, 7] {
        let calls = Calls::default();
        let nodes = fleet(count, &Policy::ttl(minutes(5)), slowly(&calls, |_, _| true));
        for node in &nodes {
            node.link.set_latency(Duration::from_millis(1));
        }
        let begun = tokio::time::Instant::now();
        assert_eq!(statuses(&nodes, 100).await, (2, count * 100 - 2));
        assert_eq!(calls.count(), 2, "of {count} processes");
        assert!(begun.elapsed() < Duration::from_millis(2100));
        nodes.iter().for_each(|node| check(&node.cache));
    }
}

/// It answers nobody who comes after it: those make one call together, and one more.
#[tokio::test(start_paused = true)]
async fn asy_05_a_failure_of_before_answers_no_new_request_in_any_process() {
    let calls = Calls::default();
    let nodes = fleet(3, &Policy::ttl(minutes(5)), slowly(&calls, |n, _| n < 2));
    assert_eq!(statuses(&nodes, 10).await, (2, 28));
    let begun = tokio::time::Instant::now();
    let callers: Vec<_> = nodes
        .iter()
        .map(|node| tokio::spawn(call_future(&node.app, get("/a"))))
        .collect();
    for caller in callers {
        let answer = read(caller.await.unwrap()).await.unwrap();
        assert_eq!(answer.body, "answer 2");
    }
    assert_eq!(calls.count(), 3);
    assert!(begun.elapsed() < Duration::from_millis(1200));
}

#[tokio::test(start_paused = true)]
async fn asy_05_when_the_second_try_succeeds_all_processes_have_its_response() {
    let calls = Calls::default();
    let nodes = fleet(3, &Policy::ttl(minutes(5)), slowly(&calls, |n, _| n == 0));
    let callers: Vec<_> = (0..30)
        .map(|n| tokio::spawn(call_future(&nodes[n % 3].app, get("/a"))))
        .collect();
    let mut failed = 0;
    for caller in callers {
        match read(caller.await.unwrap()).await.unwrap() {
            answer if answer.status == 500 => failed += 1,
            answer => assert_eq!(answer.body, "answer 1"),
        }
    }
    assert_eq!((failed, calls.count()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn asy_05_bodies_that_break_off_are_shared_failures_too() {
    let calls = Calls::default();
    let handler = {
        let calls = calls.clone();
        move |_| {
            calls.note();
            std::future::ready(Response::new(TestBody::of([
                Step::Data("some".into()),
                Step::Sleep(seconds(1)),
                Step::Fail,
            ])))
        }
    };
    let nodes = fleet(5, &Policy::ttl(minutes(5)), handler);
    // Those of other processes are the first to hear that the first one failed.
    nodes[0].link.set_latency(Duration::from_millis(5));
    let callers: Vec<_> = (0..50)
        .map(|n| tokio::spawn(call_future(&nodes[n % 5].app, get("/a"))))
        .collect();
    for caller in callers {
        let response = caller.await.unwrap();
        let refused = response.status() == 503;
        assert!(refused || read(response).await.is_err());
    }
    assert_eq!(calls.count(), 2);
}

/// In one process they fly apart; over a fleet they have one lease, and fail apart all the same.
#[tokio::test(start_paused = true)]
async fn asy_05_the_failures_of_those_with_credentials_are_not_those_of_others() {
    let calls = Calls::default();
    let handler = slowly(&calls, |_, request| {
        request.headers().contains_key("authorization")
    });
    let nodes = fleet(3, &Policy::ttl(minutes(5)), handler);
    let with_credentials = || {
        let mut request = get("/a");
        let value = "Bearer canary".parse().unwrap();
        request.headers_mut().insert("authorization", value);
        request
    };
    let mut callers = Vec::new();
    for request in [with_credentials(), with_credentials(), get("/a")] {
        let node = &nodes[callers.len()];
        callers.push(tokio::spawn(call_future(&node.app, request)));
        settle().await;
    }
    let statuses = futures_of(callers).await;
    assert_eq!(statuses, [500, 500, 200]);
    assert_eq!(calls.count(), 3);
}

async fn futures_of(callers: Vec<tokio::task::JoinHandle<crate::support::Res>>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for caller in callers {
        statuses.push(caller.await.unwrap().status().as_u16());
    }
    statuses
}

/// ASY-19 over a fleet: one refreshes; where that fails, all pause.
#[tokio::test(start_paused = true)]
async fn asy_19_one_process_refreshes_and_all_pause_when_that_fails() {
    let calls = Calls::default();
    let policy = Policy::ttl(seconds(10))
        .stale_while_revalidate(minutes(10))
        .failure_pause(seconds(8), seconds(8));
    let handler = slowly(&calls, |n, _| n == 1);
    let nodes = fleet(3, &policy, handler);
    let pass = async |time| {
        let until = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(500)).await;
            // All of it was told: memory goes on.
            nodes.iter().for_each(|node| node.link.beat());
        }
        settle().await;
    };
    let all_get = async |expected: &str| {
        for node in &nodes {
            assert_eq!(body(&node.app, get("/a")).await, expected);
        }
    };
    all_get("answer 0").await;
    // Who stored it has been told of that, and reads it once more.
    all_get("answer 0").await;
    pass(seconds(11)).await;
    for _ in 0..5 {
        all_get("answer 0").await;
    }
    settle().await;
    assert_eq!(calls.count(), 2, "one refresh of all processes");
    pass(seconds(1)).await;
    settle().await;
    for _ in 0..5 {
        all_get("answer 0").await;
        pass(Duration::from_millis(500)).await;
    }
    assert_eq!(calls.count(), 2, "and one pause");
    pass(seconds(8)).await;
    all_get("answer 0").await;
    pass(seconds(1)).await;
    settle().await;
    all_get("answer 2").await;
    assert_eq!(calls.count(), 3);
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(nodes[0].link.leases(), 0);
}

/// Who finds it stale in the remote tier, and is the one to renew it, waits; but not for an error.
#[tokio::test(start_paused = true)]
async fn asy_19_a_failure_is_not_told_where_what_is_stale_may_be_used() {
    let calls = Calls::default();
    let policy = Policy::ttl(seconds(10))
        .stale_while_revalidate(minutes(10))
        .failure_pause(seconds(8), seconds(8));
    let nodes = fleet(2, &policy, slowly(&calls, |n, _| n > 0));
    assert_eq!(body(&nodes[0].app, get("/a")).await, "answer 0");
    tokio::time::sleep(seconds(11)).await;
    for node in nodes.iter().rev() {
        assert_eq!(body(&node.app, get("/a")).await, "answer 0");
    }
    assert_eq!(calls.count(), 2, "and the other pauses too");
}

#[cfg(not(feature = "redis"))]
#[test]
fn a_redis_url_in_a_build_without_the_feature_is_an_error_that_names_it() {
    let error = HttpCache::builder()
        .remote("redis://:canary@localhost/")
        .build()
        .unwrap_err();
    assert!(error.is_config());
    let text = error.to_string();
    assert!(text.contains("feature `redis`"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn a_url_that_names_no_remote_tier_is_an_error_that_names_what_does() {
    for url in ["", "localhost:6379", "http://:canary@localhost/"] {
        let refused = HttpCache::builder().remote(url).build();
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("redis://"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
}
