//! Bodies: streamed to the client as they come, stored only in full.

use crate::support::*;
use bytes::Bytes;
use cache_tower::{HttpCache, Policy, minutes, seconds};
use futures_util::{FutureExt, future::join_all};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::BodyExt;

fn data(text: &'static str) -> Step {
    Step::Data(Bytes::from_static(text.as_bytes()))
}

/// The same steps each time, from a handler that counts.
fn app_of(make: fn() -> Response<TestBody>) -> (HttpCache, App, Calls) {
    let calls = Calls::default();
    let (cache, app) = app({
        let calls = calls.clone();
        move |_| {
            calls.note();
            async move { make() }
        }
    });
    (cache, app, calls)
}

/// Asks twice; says whether the second was answered from the store.
async fn is_stored(make: fn() -> Response<TestBody>) -> bool {
    let (cache, app, calls) = app_of(make);
    for _ in 0..2 {
        let _ = read(call(&app, get("/")).await).await;
        settle().await;
    }
    check(&cache);
    assert_eq!(cache.stats().stored, u64::from(calls.count() == 1));
    calls.count() == 1
}

#[tokio::test(start_paused = true)]
async fn a_body_in_pieces_is_passed_on_as_it_comes_and_stored_in_full() {
    let gate = Gate::default();
    let calls = Calls::default();
    let (cache, app) = app({
        let (gate, calls) = (gate.clone(), calls.clone());
        move |_| {
            calls.note();
            let body = TestBody::of([data("first "), Step::Wait(gate.clone()), data("second")]);
            async move { Response::new(body) }
        }
    });
    let mut body = call(&app, get("/")).await.into_body();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "first "
    );
    settle().await;
    assert!(
        body.frame().now_or_never().is_none(),
        "the second is not there yet"
    );
    gate.open();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "second"
    );
    assert!(body.frame().await.is_none());
    let hit = fetch(&app, "/").await;
    assert_eq!((&*hit.body, calls.count()), (&b"first second"[..], 1));
    assert_eq!(hit.headers["content-length"], "12");
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn sto_41_a_body_shorter_or_longer_than_declared_is_never_stored() {
    fn declared(length: &'static str, steps: Vec<Step>) -> Response<TestBody> {
        with(Response::new(TestBody::of(steps)), "content-length", length)
    }
    assert!(is_stored(|| declared("4", vec![data("four")])).await);
    assert!(
        is_stored(|| declared("4", vec![Step::Yield, data("fo"), Step::Yield, data("ur")])).await
    );
    assert!(!is_stored(|| declared("10", vec![data("four")])).await);
    assert!(!is_stored(|| declared("10", vec![data("four"), Step::Yield])).await);
    assert!(!is_stored(|| declared("4", vec![data("four and more")])).await);
    assert!(!is_stored(|| declared("4", vec![data("four"), data(" and more")])).await);
    assert!(
        !is_stored(|| declared(
            "4",
            vec![Step::Yield, data("four"), Step::Yield, data(" and more")]
        ))
        .await
    );
    assert!(!is_stored(|| with(declared("4", vec![data("four")]), "content-length", "5")).await);
    assert!(!is_stored(|| declared("four", vec![data("four")])).await);
    // The body knows its length, and the field says another.
    assert!(!is_stored(|| with(text("four"), "content-length", "5")).await);
}

#[tokio::test(start_paused = true)]
async fn the_client_gets_a_lying_body_as_it_is() {
    let (cache, app, _) = app_of(|| {
        let body = TestBody::of([
            Step::Yield,
            data("four"),
            Step::Yield,
            data(" and more"),
            data("!"),
        ]);
        with(Response::new(body), "content-length", "4")
    });
    assert_eq!(fetch(&app, "/").await.body, "four and more!");
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn sto_42_a_body_that_fails_midway_is_passed_on_failing_and_not_stored() {
    for before in 0..4 {
        for yielding in [false, true] {
            let calls = Calls::default();
            let (cache, app) = app({
                let calls = calls.clone();
                move |_| {
                    let n = calls.note();
                    let mut steps: Vec<Step> = (0..before).map(|_| data("x")).collect();
                    if yielding {
                        steps.insert(0, Step::Yield);
                    }
                    steps.push(if n == 0 { Step::Fail } else { data("end") });
                    async move { Response::new(TestBody::of(steps)) }
                }
            });
            let error = read(call(&app, get("/")).await).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "the body failed",
                "the service's own error"
            );
            settle().await;
            assert_eq!(cache.stats().stored, 0);
            assert!(fetch(&app, "/").await.body.ends_with(b"end"));
            assert_eq!(calls.count(), 2);
            check(&cache);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn asy_24_a_client_that_leaves_midway_leaves_nothing_truncated() {
    for frames_read in 0..4 {
        let (cache, app, calls) = app_of(|| {
            Response::new(TestBody::of([
                data("a"),
                Step::Yield,
                data("b"),
                Step::Yield,
                data("c"),
            ]))
        });
        let mut body = call(&app, get("/")).await.into_body();
        for _ in 0..frames_read {
            body.frame().await.unwrap().unwrap();
        }
        drop(body);
        settle().await;
        assert_eq!(fetch(&app, "/").await.body, "abc");
        assert_eq!(calls.count(), 1, "it was taken in without its client");
        check(&cache);
    }
}

#[tokio::test(start_paused = true)]
async fn asy_38_a_slow_client_delays_nobody() {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let calls = Calls::default();
    let cache = HttpCache::builder().max_body(8 << 20).build().unwrap();
    let app = around(&cache, Policy::ttl(minutes(5)), {
        let (calls, piece) = (calls.clone(), piece.clone());
        move |_| {
            calls.note();
            let steps = (0..64).flat_map(|_| [Step::Yield, Step::Data(piece.clone())]);
            let body = TestBody::of(steps.collect::<Vec<_>>());
            async move { with(Response::new(body), "content-length", "4194304") }
        }
    });
    // Its client reads the head and then no more.
    let stalled = call(&app, get("/")).await;
    let answers = join_all((0..100).map(|_| fetch(&app, "/"))).await;
    for answer in answers {
        assert_eq!(answer.body.len(), 4 << 20);
    }
    assert_eq!((calls.count(), cache.stats().stored), (1, 1));
    assert_eq!(read(stalled).await.unwrap().body.len(), 4 << 20);
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn followers_read_along_before_the_end_where_the_length_is_known() {
    let gate = Gate::default();
    let (cache, app) = app({
        let gate = gate.clone();
        move |_| {
            let body = TestBody::of([data("ab"), Step::Wait(gate.clone()), data("cd")]);
            async move { with(Response::new(body), "content-length", "4") }
        }
    });
    let leader = call(&app, get("/")).await;
    let mut follower = call(&app, get("/")).await;
    assert_eq!(
        follower
            .body_mut()
            .frame()
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap(),
        "ab"
    );
    assert!(
        follower.headers()["cache-status"]
            .to_str()
            .unwrap()
            .ends_with(";collapsed")
    );
    gate.open();
    assert_eq!(read(follower).await.unwrap().body, "cd");
    assert_eq!(read(leader).await.unwrap().body, "abcd");
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn a_follower_is_told_when_the_body_it_shares_ends_early() {
    let gate = Gate::default();
    let (cache, app) = app({
        let gate = gate.clone();
        move |_| {
            let body = TestBody::of([data("ab"), Step::Wait(gate.clone()), Step::Fail]);
            async move { with(Response::new(body), "content-length", "4") }
        }
    });
    let leader = call(&app, get("/")).await;
    let follower = call(&app, get("/")).await;
    gate.open();
    assert_eq!(
        read(leader).await.unwrap_err().to_string(),
        "the body failed"
    );
    let error = read(follower).await.unwrap_err();
    assert!(error.to_string().contains("ended early"), "{error}");
    settle().await;
    assert_eq!(cache.stats().stored, 0);
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_26_trailers_arrive_and_a_body_with_trailers_is_not_stored() {
    fn trailers() -> HeaderMap {
        [(
            http::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]
        .into_iter()
        .collect()
    }
    for yielding in [false, true] {
        let calls = Calls::default();
        let (cache, app) = app({
            let calls = calls.clone();
            move |_| {
                calls.note();
                let pause = if yielding { vec![Step::Yield] } else { vec![] };
                let steps =
                    [vec![data("x")], pause, vec![Step::Trailers(trailers())]].concat_steps();
                async move { Response::new(TestBody::of(steps)) }
            }
        });
        for n in 1..=2 {
            let answer = fetch(&app, "/").await;
            assert_eq!(
                (&*answer.body, answer.trailers),
                (&b"x"[..], Some(trailers()))
            );
            settle().await;
            assert_eq!(calls.count(), n);
        }
        check(&cache);
    }
}

trait ConcatSteps {
    fn concat_steps(self) -> Vec<Step>;
}

impl<const N: usize> ConcatSteps for [Vec<Step>; N] {
    fn concat_steps(self) -> Vec<Step> {
        self.into_iter().flatten().collect()
    }
}

#[tokio::test(start_paused = true)]
async fn asy_09_an_event_stream_starts_at_once_and_holds_nobody() {
    let calls = Calls::default();
    let (cache, app) = app({
        let calls = calls.clone();
        move |_| {
            calls.note();
            let body = TestBody::of([data("data: 1\n\n"), Step::Wait(Gate::default())]);
            async move {
                with(
                    Response::new(body),
                    "content-type",
                    "text/event-stream; charset=utf-8",
                )
            }
        }
    });
    let mut streams = Vec::new();
    for n in 1..=3 {
        let mut stream = call(&app, get("/"))
            .now_or_never()
            .expect("the head is not held back");
        let first = stream
            .body_mut()
            .frame()
            .now_or_never()
            .expect("nor is the first event");
        assert_eq!(first.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
        assert_eq!(calls.count(), n);
        streams.push(stream);
    }
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn asy_22_a_body_over_the_cap_is_passed_through_whole_and_buffered_to_the_cap_only() {
    let piece = Bytes::from(vec![7; 64 * 1024]);
    for yielding in [false, true] {
        let polled = Calls::default();
        let (cache, app) = app({
            let (piece, polled) = (piece.clone(), polled.clone());
            move |_| {
                let steps = (0..64).flat_map(|_| {
                    let piece = Step::Data(piece.clone());
                    if yielding {
                        vec![Step::Yield, piece]
                    } else {
                        vec![piece]
                    }
                });
                let body = TestBody::of(steps.collect::<Vec<_>>()).counted(polled.clone());
                async move { Response::new(body) }
            }
        });
        let response = call(&app, get("/")).await;
        settle().await;
        let frames = if yielding { 2 } else { 1 } * (1 + (1 << 20) / piece.len());
        assert!(
            polled.count() <= frames + 1,
            "{} polls before the client reads",
            polled.count()
        );
        assert_eq!(read(response).await.unwrap().body.len(), 64 * piece.len());
        settle().await;
        assert_eq!(cache.stats().stored, 0);
        check(&cache);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_past_the_work_deadline_goes_on_to_its_client_and_is_not_stored() {
    let gate = Gate::default();
    let calls = Calls::default();
    let (cache, app) = app_under(Policy::ttl(minutes(5)).work_deadline(seconds(5)), {
        let (gate, calls) = (gate.clone(), calls.clone());
        move |_| {
            calls.note();
            let body = TestBody::of([data("slow "), Step::Wait(gate.clone()), data("body")]);
            async move { Response::new(body) }
        }
    });
    let response = call(&app, get("/")).await;
    tokio::time::sleep(seconds(6)).await;
    settle().await;
    check(&cache);
    gate.open();
    assert_eq!(read(response).await.unwrap().body, "slow body");
    assert_eq!(cache.stats().stored, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_never_polled_after_its_end() {
    // Test bodies panic if they are.
    fn steps(of: &'static str) -> Vec<Step> {
        of.chars()
            .map(|step| match step {
                '.' => Step::Yield,
                _ => data("abc"),
            })
            .collect()
    }
    for order in ["aa", ".aa", "a.a", "aa.", ".a.a.", "..", ""] {
        for declared in [None, Some("0"), Some("3"), Some("6"), Some("9")] {
            let calls = Calls::default();
            let (cache, app) = app({
                let calls = calls.clone();
                move |_| {
                    calls.note();
                    let response = Response::new(TestBody::of(steps(order)));
                    let response = match declared {
                        Some(length) => with(response, "content-length", length),
                        None => response,
                    };
                    async move { response }
                }
            });
            let whole = "abc".repeat(order.matches('a').count());
            let asking = (0..4).map(|_| tokio::spawn(call_future(&app, get("/"))));
            let (mut in_full, mut cut) = (0, 0);
            for response in join_all(asking).await {
                match read(response.unwrap()).await {
                    Ok(answer) => {
                        assert_eq!(answer.body, whole, "{order:?} {declared:?}");
                        in_full += 1;
                    }
                    Err(error) => {
                        assert!(error.to_string().contains("ended early"), "{error}");
                        cut += 1;
                    }
                }
            }
            settle().await;
            let is_true = declared.is_none_or(|length| length == whole.len().to_string());
            assert!(in_full >= calls.count(), "those who asked get it as it is");
            assert!(!is_true || cut == 0, "{order:?} {declared:?}");
            assert_eq!(cache.stats().stored, u64::from(is_true));
            check(&cache);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_read_along_a_declared_body_outlive_its_deadline() {
    for leader_leaves in [false, true] {
        let gate = Gate::default();
        let calls = Calls::default();
        let policy = Policy::ttl(minutes(5)).work_deadline(seconds(5));
        let (cache, app) = app_under(policy, {
            let (gate, calls) = (gate.clone(), calls.clone());
            move |_| {
                let n = calls.note();
                let mut steps = vec![data("slow "), Step::Wait(gate.clone()), data("body")];
                if n > 0 {
                    steps = vec![data("next body")];
                }
                async move { with(Response::new(TestBody::of(steps)), "content-length", "9") }
            }
        });
        let mut leader = Some(call(&app, get("/")).await);
        let follower = call(&app, get("/")).await;
        assert_eq!(calls.count(), 1);
        if leader_leaves {
            leader = None;
        }
        tokio::time::sleep(seconds(6)).await;
        settle().await;
        check(&cache);
        gate.open();
        let followed = read(follower).await;
        assert_eq!(followed.unwrap().body, "slow body", "{leader_leaves}");
        if let Some(leader) = leader {
            assert_eq!(read(leader).await.unwrap().body, "slow body");
        }
        settle().await;
        assert_eq!(cache.stats().stored, 0, "it came too late for that");
        assert_eq!(fetch(&app, "/").await.body, "next body");
        assert_eq!(calls.count(), 2);
        check(&cache);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_very_many_tiny_frames_is_passed_whole_and_not_kept() {
    const FRAMES: usize = 50_000;
    for pause_at in [None, Some(0), Some(1000)] {
        let calls = Calls::default();
        let (cache, app) = app({
            let calls = calls.clone();
            move |_| {
                calls.note();
                let frames = (0..FRAMES).flat_map(|n| {
                    let pause = (Some(n) == pause_at).then_some(Step::Yield);
                    pause.into_iter().chain([data("x")])
                });
                let body = TestBody::of(frames);
                async move { Response::new(body) }
            }
        });
        for n in 1..=2 {
            let answer = fetch(&app, "/").await;
            assert_eq!(answer.body, "x".repeat(FRAMES));
            settle().await;
            assert_eq!((calls.count(), cache.stats().stored), (n, 0));
        }
        check(&cache);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_hangs_past_its_deadline_is_let_go_when_all_have_left() {
    let dropped = Gate::default();
    let (cache, app) = app_under(Policy::ttl(minutes(5)).work_deadline(seconds(5)), {
        let dropped = dropped.clone();
        move |_| {
            let told = OpensOnDrop(dropped.clone());
            let body = TestBody::of([data("ab"), Step::Hold(Box::new(told)), data("cd")]);
            async move { with(Response::new(body), "content-length", "4") }
        }
    });
    let leader = call(&app, get("/")).await;
    let follower = call(&app, get("/")).await;
    tokio::time::sleep(seconds(6)).await;
    drop((leader, follower));
    dropped.pass().await;
    check(&cache);
}

struct OpensOnDrop(Gate);

impl Drop for OpensOnDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// A response with this lifetime, whose body takes 20 seconds after its head.
fn slow(control: &'static str, length: Option<&'static str>) -> Response<TestBody> {
    let body = TestBody::of([data("long "), Step::Sleep(seconds(20)), data("song")]);
    let response = with(Response::new(body), "cache-control", control);
    match length {
        Some(length) => with(response, "content-length", length),
        None => response,
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_body_took_counts_as_its_age() {
    // RFC 9111 §4.2.3: the age counts from when the response was received, which is before its body is.
    for length in [None, Some("9")] {
        let (cache, app) = app_under(Policy::from_headers(), move |_| async move {
            slow("max-age=60", length)
        });
        fetch(&app, "/").await;
        settle().await;
        let hit = fetch(&app, "/").await;
        assert_eq!(hit.status_field(), "cache-tower;hit;ttl=40;detail=L1");
        assert_eq!(hit.headers["age"], "20");
        check(&cache);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_takes_longer_than_its_lifetime_is_stale_when_it_is_here() {
    let calls = Calls::default();
    let (cache, app) = app_under(Policy::from_headers(), {
        let calls = calls.clone();
        move |_| {
            calls.note();
            let control = "max-age=15, stale-while-revalidate=7";
            async move { slow(control, Some("9")) }
        }
    });
    fetch(&app, "/").await;
    settle().await;
    let stale = fetch(&app, "/").await;
    assert_eq!(
        stale.status_field(),
        "cache-tower;hit;ttl=-5;detail=swr",
        "its window began with the end of its lifetime"
    );
    assert_eq!(stale.headers["age"], "20");
    // What refreshes it takes as long: meanwhile the window ends.
    tokio::time::sleep(seconds(3)).await;
    assert_eq!(calls.count(), 2);
    let refreshed = call(&app, get("/")).await;
    assert_eq!(refreshed.headers()["age"], "3");
    let _ = read(refreshed).await;
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn who_comes_when_a_body_on_its_way_is_stale_does_not_read_along() {
    // RFC 9111 §4: "provided that it is allowed to reuse that response for the requests in question".
    let calls = Calls::default();
    let (cache, app) = app_under(Policy::from_headers(), {
        let calls = calls.clone();
        move |_| {
            calls.note();
            async { slow("max-age=15", Some("9")) }
        }
    });
    let leader = call(&app, get("/")).await;
    tokio::time::sleep(seconds(10)).await;
    let early = call(&app, get("/")).await;
    assert_eq!(
        (&early.headers()["age"], calls.count()),
        (&"10".parse().unwrap(), 1)
    );
    tokio::time::sleep(seconds(6)).await;
    let late = call(&app, get("/")).await;
    assert_eq!(calls.count(), 2);
    assert_eq!(
        late.headers()["cache-status"],
        "cache-tower;fwd=uri-miss;ttl=15;stored;collapsed=?0"
    );
    for response in [leader, early, late] {
        assert_eq!(read(response).await.unwrap().body, "long song");
    }
    check(&cache);
}

/// Who waits for the end of a body, because its length is not known, learns only then that it was stale when
/// they came. They load once for all.
#[tokio::test(start_paused = true)]
async fn who_waited_for_a_body_that_was_stale_when_they_came_loads_again() {
    let calls = Calls::default();
    let (cache, app) = app_under(Policy::from_headers().wait_limit(seconds(30)), {
        let calls = calls.clone();
        move |_| {
            calls.note();
            async { slow("max-age=15", None) }
        }
    });
    let leader = call(&app, get("/")).await;
    tokio::time::sleep(seconds(12)).await;
    let (early, (late, later)) = futures_util::join!(call(&app, get("/")), async {
        tokio::time::sleep(seconds(4)).await;
        futures_util::join!(call(&app, get("/")), call(&app, get("/")))
    });
    assert_eq!(early.headers()["age"], "20", "it was fresh when this came");
    let has_age = |response: &Response<_>| response.headers().contains_key("age");
    assert!(
        !has_age(&late) || !has_age(&later),
        "one of these loaded it again"
    );
    for response in [leader, early, late, later] {
        assert_eq!(read(response).await.unwrap().body, "long song");
    }
    assert_eq!(calls.count(), 2);
    check(&cache);
}

#[tokio::test(start_paused = true)]
async fn who_may_have_it_stale_or_waited_for_its_end_shares_a_slow_body_all_the_same() {
    for (control, length, comes_after) in [
        ("max-age=15, stale-while-revalidate=60", Some("9"), 16),
        ("max-age=15", None, 12),
    ] {
        let calls = Calls::default();
        let (cache, app) = app_under(Policy::from_headers(), {
            let calls = calls.clone();
            move |_| {
                calls.note();
                async move { slow(control, length) }
            }
        });
        let leader = call(&app, get("/")).await;
        tokio::time::sleep(seconds(comes_after)).await;
        let follower = call(&app, get("/")).await;
        assert!(
            follower.headers()["cache-status"]
                .to_str()
                .unwrap()
                .ends_with(";collapsed"),
            "{control}"
        );
        for response in [leader, follower] {
            assert_eq!(read(response).await.unwrap().body, "long song");
        }
        assert_eq!(calls.count(), 1, "{control}");
        check(&cache);
    }
}
