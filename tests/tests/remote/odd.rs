//! What is odd: lifetimes at their extremes, and bytes that others wrote (COR rows).

use crate::http::{PATIENT, connected, process, process_under, send};
use crate::support::{Loads, coherent, policy, process as typed};
use cache_core::Policy as Typed;
use cache_tower::{Policy, minutes};
use http::Method;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tests::redis::Server;

const YEAR_MS: i64 = 365 * 24 * 60 * 60 * 1000;

const EXTREMES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_micros(999),
    Duration::from_secs(u64::MAX),
    Duration::MAX,
];

/// All that is stored, with what is left of it in milliseconds.
fn stored(server: &Server, pattern: &str) -> Vec<(String, i64)> {
    let keys: Vec<String> = redis::from_redis_value(server.ask(&["KEYS", pattern])).unwrap();
    let left = |key: String| {
        let left = redis::from_redis_value(server.ask(&["PTTL", &key])).unwrap();
        (key, left)
    };
    // One that ended in between has -2.
    keys.into_iter()
        .map(left)
        .filter(|(_, left)| *left != -2)
        .collect()
}

/// COR-05: never an error of the server, never without an end, never longer than was said.
#[tokio::test]
async fn cor_05_values_of_every_lifetime_are_stored_within_it() {
    for lifetime in EXTREMES {
        let server = Server::start();
        let loads = Loads::default();
        let policies = [
            Typed::ttl(lifetime),
            Typed::ttl(lifetime).failure_pause(lifetime.min(minutes(1)), lifetime),
            Typed::ttl(lifetime.max(Duration::from_nanos(1)))
                .stale_if_error(lifetime)
                .stale_while_revalidate(lifetime)
                .negative_ttl(lifetime)
                .group("g"),
        ];
        for (n, policy) in policies.into_iter().enumerate() {
            let cache = typed(&server.url(), policy);
            coherent(&cache).await;
            let key = format!("{n}");
            let loaded = cache
                .get_or_load(key.as_str(), || loads.clone().load())
                .await;
            assert!(loaded.is_ok(), "{lifetime:?}");
            cache.insert(&(n, "inserted"), 7).await.unwrap();
            let down = || async { Err::<u64, _>("down") };
            assert!(cache.get_or_load(&(n, "failing"), down).await.is_err());
            let none = || async { Ok::<Option<u64>, String>(None) };
            let none = cache
                .get_or_load_optional(&(n, "none"), none)
                .await
                .unwrap();
            assert!(none.is_none());
            crate::support::until("nothing is left to do", async || {
                cache.remote_stats().unwrap().pending == (0, 0)
            })
            .await;
            let stats = cache.stats();
            assert_eq!(stats.remote_failures, 0, "{lifetime:?}: {stats:?}");
        }
        for (key, left) in stored(&server, "*") {
            assert!(
                (0..=3 * YEAR_MS).contains(&left),
                "{key} of {lifetime:?}: {left}"
            );
        }
        let long = stored(&server, "cache:it:*");
        if lifetime.is_zero() {
            assert!(long.iter().all(|(_, left)| *left <= 1), "{long:?}");
        } else if lifetime > minutes(1) {
            assert_eq!(long.len(), 7, "{long:?}");
            assert!(long.iter().all(|(_, left)| *left > YEAR_MS / 2), "{long:?}");
        }
    }
}

/// COR-05, of responses: by a policy, and by what an origin says.
#[tokio::test]
async fn cor_05_responses_of_every_lifetime_are_stored_within_it() {
    for lifetime in EXTREMES {
        let server = Server::start();
        let calls = Arc::new(AtomicUsize::new(0));
        let policy = Policy::ttl(lifetime.max(Duration::from_nanos(1)))
            .stale_if_error(lifetime)
            .stale_while_revalidate(lifetime);
        for policy in [Policy::ttl(lifetime), policy] {
            let (cache, app) = process_under(&server.url(), PATIENT, &calls, policy);
            connected(&cache).await;
            for path in ["/a", "/extreme"] {
                assert!(send(&app, Method::GET, path).await.starts_with("canary"));
            }
            let stats = cache.stats();
            assert_eq!(stats.remote_failures, 0, "{lifetime:?}: {stats:?}");
        }
        let entries = stored(&server, "cache:http%*");
        for (key, left) in &entries {
            assert!(
                (0..=3 * YEAR_MS).contains(left),
                "{key} of {lifetime:?}: {left}"
            );
        }
        assert!(
            !entries.is_empty(),
            "what says itself that it lasts is there"
        );
    }
}

/// COR-01, COR-03: a stored response of 1 KiB with bits flipped and cut, and what is not one at all, as a
/// foreign client wrote it. Never wrong, never an error: the origin answers, it is counted, and what is
/// there is replaced. (Every bit and every cut: `cache-tower/tests/it/remote.rs`.)
#[tokio::test(flavor = "multi_thread")]
async fn cor_03_a_response_that_a_foreign_client_altered_is_a_miss_and_is_replaced() {
    let server = Server::start();
    let calls = Arc::new(AtomicUsize::new(0));
    let (writer, app) = process(&server.url(), PATIENT, &calls);
    connected(&writer).await;
    let whole = send(&app, Method::GET, "/kib").await;
    assert!(whole.len() >= 1024 && calls.load(Ordering::SeqCst) == 1);
    let [(key, _)] = stored(&server, "cache:http%*").try_into().unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut foreign = client.get_connection().unwrap();
    let good: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut foreign).unwrap();
    let flipped = (0..good.len() * 8).step_by(97).map(|bit| {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    let cut = (0..good.len()).step_by(61).map(|at| good[..at].to_vec());
    let other = [b"{\"json\":true}".to_vec(), [&good[..], b"\0"].concat()];
    let (reader, app) = process(&server.url(), PATIENT, &calls);
    connected(&reader).await;
    let mut count = 0;
    for bytes in flipped.chain(cut).chain(other) {
        let length = bytes.len();
        let () = redis::cmd("SET")
            .arg(&key)
            .arg(bytes)
            .query(&mut foreign)
            .unwrap();
        let before = calls.load(Ordering::SeqCst);
        // What it has of its own is forgotten, so that it must read.
        let answer = until_called(&app, &calls, before).await;
        assert_eq!(
            answer,
            whole.replace("canary 0", &format!("canary {before}"))
        );
        let stored: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut foreign).unwrap();
        assert_eq!(
            stored.len(),
            good.len() + answer.len() - whole.len(),
            "{length}: replaced; {:?} {:?}",
            reader.stats(),
            reader.remote_stats()
        );
        count += 1;
    }
    let odd = reader.stats().remote_odd;
    assert!(odd >= count, "{odd} of {count} were counted");
    let () = redis::cmd("DEL").arg(&key).query(&mut foreign).unwrap();
    let () = redis::cmd("LPUSH")
        .arg(&key)
        .arg("a")
        .query(&mut foreign)
        .unwrap();
    let before = calls.load(Ordering::SeqCst);
    until_called(&app, &calls, before).await;
}

/// Asks until the handler is called: memory may hold what it had before for the moment until it is told.
async fn until_called(app: &crate::http::App, calls: &AtomicUsize, before: usize) -> String {
    let mut answer = String::new();
    crate::support::until("the origin is asked", async || {
        answer = send(app, Method::GET, "/kib").await;
        calls.load(Ordering::SeqCst) > before
    })
    .await;
    answer
}

/// COR-01: of an older and a newer format, and of another schema.
#[tokio::test]
async fn cor_01_entries_of_other_formats_and_schemas_are_misses_and_replaced() {
    let server = Server::start();
    let cache = typed(&server.url(), policy());
    coherent(&cache).await;
    let loads = Loads::default();
    let client = redis::Client::open(server.url()).unwrap();
    let mut foreign = client.get_connection().unwrap();
    cache.insert(&0, 7).await.unwrap();
    let good: Vec<u8> = redis::cmd("GET")
        .arg("cache:it:0")
        .query(&mut foreign)
        .unwrap();
    const FORMAT: usize = 4;
    const SCHEMA: usize = 16;
    for (key, at) in [(1, FORMAT), (2, FORMAT), (3, SCHEMA)] {
        let mut other = good.clone();
        other[at] = other[at].wrapping_add(if key == 1 { 1 } else { 255 });
        let name = format!("cache:it:{key}");
        let () = redis::cmd("SET")
            .arg(&name)
            .arg(&other)
            .query(&mut foreign)
            .unwrap();
        assert!(cache.get(&key).await.is_none());
        let loaded = cache
            .get_or_load(&key, || loads.clone().load())
            .await
            .unwrap();
        assert_eq!(*loaded, u64::try_from(key).unwrap());
        let stored: Vec<u8> = redis::cmd("GET").arg(&name).query(&mut foreign).unwrap();
        assert_eq!(stored[..8], good[..8], "replaced by one of this format");
    }
    assert!(cache.stats().remote_odd >= 3, "{:?}", cache.stats());
    assert_eq!(cache.stats().remote_failures, 0);
}

/// COR-12: values of different types are different keys, also in the names that operators see.
#[tokio::test]
async fn cor_12_keys_of_different_types_and_spellings_are_different() {
    let server = Server::start();
    let cache = typed(&server.url(), policy());
    coherent(&cache).await;
    cache.insert(&1_i32, 1).await.unwrap();
    cache.insert("caf\u{e9}", 2).await.unwrap();
    cache.insert("cafe\u{301}", 3).await.unwrap();
    cache.insert(&(1, "a"), 4).await.unwrap();
    cache.insert(&("1:a", ""), 5).await.unwrap();
    assert_eq!(*cache.get(&1_i32).await.unwrap(), 1);
    assert_eq!(*cache.get("caf\u{e9}").await.unwrap(), 2);
    assert_eq!(*cache.get("cafe\u{301}").await.unwrap(), 3);
    assert_eq!(*cache.get(&(1, "a")).await.unwrap(), 4);
    assert_eq!(*cache.get(&("1:a", "")).await.unwrap(), 5);
    assert_eq!(stored(&server, "cache:it:*").len(), 5);
}

/// What is no version is none, and the next invalidation of the group puts one in its place.
#[tokio::test]
async fn a_group_whose_version_others_wrote_over_is_invalidated_and_used_again() {
    for junk in [["SET", "junk"], ["RPUSH", "1"]] {
        let server = Server::start();
        let [a, b] = [(); 2].map(|()| typed(&server.url(), policy().group("g")));
        coherent(&a).await;
        coherent(&b).await;
        for key in ["cache:%g:it:g", "lease:{cache:}%born"] {
            let _ = server.ask(&["DEL", key]);
            let _ = server.ask(&[junk[0], key, junk[1]]);
        }
        a.insert(&1, 1).await.unwrap();
        assert!(
            b.get(&1).await.is_none(),
            "under no version nothing is valid"
        );
        a.invalidate_group("g").await;
        a.insert(&2, 2).await.unwrap();
        assert_eq!(*b.get(&2).await.unwrap(), 2, "{junk:?}");
        a.invalidate_group("g").await;
        assert!(b.get(&2).await.is_none());
    }
}
