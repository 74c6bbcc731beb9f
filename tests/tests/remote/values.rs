//! What is stored, under which names, and how it comes back.

use crate::support::{Loads, coherent, policy, process, redis, settings, up};
use cache_core::{
    Cache, Policy,
    remote::{Redis, Remote, RemoteSettings, checks},
};
use std::{sync::Arc, time::Duration};
use tests::redis::Server;

#[tokio::test]
async fn redis_passes_the_checks_of_every_remote_tier() {
    let server = Server::start();
    let remote = redis(&server.url());
    up(&remote).await;
    let remote: Arc<dyn Remote> = Arc::new(remote);
    checks::all(&remote).await;
}

#[tokio::test]
async fn an_operator_reads_the_keys_and_every_key_has_a_time_to_live() {
    let server = Server::start();
    let pause = Duration::from_secs(60);
    let cache = process(
        &server.url(),
        policy().group("team:7").failure_pause(pause, pause),
    );
    coherent(&cache).await;
    let loads = Loads::default();
    cache
        .get_or_load(&(42, "profile"), || loads.clone().load())
        .await
        .unwrap();
    cache.insert(&"a b", 7).await.unwrap();
    let failing = || async { Err::<u64, _>("down") };
    cache.get_or_load(&43, failing).await.unwrap_err();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let keys: Vec<String> = redis::from_redis_value(server.ask(&["KEYS", "*"])).unwrap();
    let expected = [
        "cache:%g:it:team:7",
        "cache:it:42:profile",
        "cache:it:a%20b",
        "lease:{cache:it:43}",
        "lease:{cache:}%born",
    ];
    for key in expected {
        assert!(keys.iter().any(|found| found == key), "{key} in {keys:?}");
        let left: i64 = redis::from_redis_value(server.ask(&["PTTL", key])).unwrap();
        assert!(left > 0, "{key} lives for {left}");
    }
    assert_eq!(keys.len(), expected.len(), "{keys:?}");
}

/// RDS-33: other programs' keys are left alone, and nothing walks or flushes the database.
#[tokio::test]
async fn rds_33_only_keys_of_the_prefix_are_touched() {
    let server = Server::start();
    for key in [
        "it:1",
        "other:it:1",
        "lease:{other:it:1}",
        "cachex",
        "cache",
    ] {
        let _ = server.ask(&["SET", key, "foreign"]);
    }
    let a = Cache::<u64>::builder("it")
        .remote(Arc::new(redis(&server.url())))
        .build()
        .unwrap();
    let other = settings(&server.url()).prefix("app2:");
    let b = Cache::<u64>::builder("it")
        .remote(Arc::new(Redis::with(other).unwrap()))
        .build()
        .unwrap();
    coherent(&a).await;
    coherent(&b).await;
    a.insert(&1, 1).await.unwrap();
    b.insert(&1, 2).await.unwrap();
    a.clear().await;
    assert!(a.get(&1).await.is_none());
    assert_eq!(
        *b.get(&1).await.unwrap(),
        2,
        "another prefix is another service"
    );
    let keys: Vec<String> = redis::from_redis_value(server.ask(&["KEYS", "*"])).unwrap();
    assert_eq!(keys.len(), 6, "{keys:?}");
    let stats: String = redis::from_redis_value(server.ask(&["INFO", "commandstats"])).unwrap();
    for forbidden in ["flushdb", "flushall"] {
        assert!(!stats.contains(&format!("cmdstat_{forbidden}:")), "{stats}");
    }
}

/// ADM-05: two caches may use one name of a group.
#[tokio::test]
async fn adm_05_groups_of_two_caches_do_not_meet() {
    let server = Server::start();
    let remote: Arc<dyn Remote> = Arc::new(redis(&server.url()));
    let of = |name: &str| -> Cache<u64> {
        Cache::builder(name)
            .policy(policy().group("g"))
            .remote(Arc::clone(&remote))
            .build()
            .unwrap()
    };
    let (users, posts) = (of("users"), of("posts"));
    coherent(&users).await;
    users.insert(&1, 1).await.unwrap();
    posts.insert(&1, 1).await.unwrap();
    users.invalidate_group("g").await;
    assert!(users.get(&1).await.is_none());
    assert!(posts.get(&1).await.is_some());
}

/// ADM-03, of a size that a test may have.
#[tokio::test]
async fn a_pattern_walks_in_bounded_batches() {
    let server = Server::start();
    let cache = process(&server.url(), Policy::default());
    coherent(&cache).await;
    let many = (0..5_000_u64).map(|n| ((n % 2, n), n));
    cache.insert_many(many).await.unwrap();
    assert_eq!(cache.invalidate_pattern("1:*").await.unwrap(), 2_500);
    let left: i64 = redis::from_redis_value(server.ask(&["DBSIZE"])).unwrap();
    assert_eq!(left, 2_500);
    assert!(server.info("cmdstat_scan:calls") >= 10);
    assert_eq!(server.info("cmdstat_keys:calls"), 0);
}

/// RDS-18: a large value is refused before it is sent; one that fits is read back whole.
#[tokio::test]
async fn rds_18_large_values_have_a_lane_and_a_limit() {
    let server = Server::start();
    let remote: Arc<dyn Remote> = Arc::new(redis(&server.url()));
    let process = || -> Cache<String> {
        Cache::builder("it")
            .remote(Arc::clone(&remote))
            .remote_settings(RemoteSettings::new().budget(Duration::from_secs(1)))
            .build()
            .unwrap()
    };
    let (cache, other) = (process(), process());
    crate::support::until("a connection", async || {
        cache.remote_stats().unwrap().health.is_up()
    })
    .await;
    for (key, size) in [(1, 500), (2, 100_000), (3, 1_000_000), (4, 2_000_000)] {
        let value = "x".repeat(size);
        cache
            .get_or_load(&key, || async { Ok::<_, String>(value.clone()) })
            .await
            .unwrap();
        let found = other.get(&key).await;
        assert_eq!(
            found.map(|found| found.len()),
            (size < 1_048_000).then_some(size),
            "{size}"
        );
    }
    assert_eq!(
        cache.remote_stats().unwrap().health.degraded,
        Vec::<String>::new()
    );
}

/// RDS-16 and COR-01: what foreign hands did to a key is a miss.
#[tokio::test]
async fn a_key_of_another_type_or_with_odd_bytes_is_a_miss() {
    let server = Server::start();
    let cache = process(&server.url(), policy());
    coherent(&cache).await;
    let loads = Loads::default();
    let _ = server.ask(&["LPUSH", "cache:it:1", "a", "b"]);
    let _ = server.ask(&["SET", "cache:it:2", "not an entry"]);
    for key in [1, 2] {
        assert!(cache.get(&key).await.is_none());
        let value = cache
            .get_or_load(&key, || loads.clone().load())
            .await
            .unwrap();
        assert_eq!(*value, key);
    }
    assert!(cache.stats().remote_odd >= 1);
    assert_eq!(*cache.get(&2).await.unwrap(), 2);
}

/// RDS-14: the server may forget its scripts at any moment.
#[tokio::test]
async fn rds_14_scripts_that_were_forgotten_are_taught_again() {
    let server = Server::start();
    let (a, b) = (
        process(&server.url(), policy().group("g")),
        process(&server.url(), policy()),
    );
    coherent(&a).await;
    coherent(&b).await;
    let loads = Loads::default();
    for key in 0..20_u64 {
        let _ = server.ask(&["SCRIPT", "FLUSH"]);
        let value = a.get_or_load(&key, || loads.clone().load()).await.unwrap();
        assert_eq!(*value, key + 1);
        assert_eq!(*b.get(&key).await.unwrap(), key + 1, "it was stored");
    }
    assert_eq!(a.stats().remote_failures, 0);
}

/// RDS-16: an entry without the version of its group is none, whichever of the two was evicted.
#[tokio::test]
async fn rds_16_an_entry_whose_group_was_evicted_is_a_miss_and_loaded_again() {
    let server = Server::start();
    let fresh = async || {
        let cache = process(&server.url(), policy().group("g"));
        coherent(&cache).await;
        cache
    };
    let loads = Loads::default();
    for (round, evicted) in [
        (1, "cache:%g:it:g"),
        (2, "cache:it:1"),
        (3, "cache:%g:it:g"),
    ] {
        let cache = fresh().await;
        let load = || loads.clone().load();
        assert_eq!(*cache.get_or_load(&1, load).await.unwrap(), round);
        let other = fresh().await;
        assert_eq!(other.get(&1).await.map(|found| *found), Some(round));
        let gone: i64 = redis::from_redis_value(server.ask(&["DEL", evicted])).unwrap();
        assert_eq!(gone, 1, "{evicted} was there");
        assert!(fresh().await.get(&1).await.is_none(), "without {evicted}");
    }
}

/// Says what the server is asked for, as an operator sees it.
struct Monitor(std::net::TcpStream);

impl Monitor {
    fn of(server: &Server) -> Self {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let mut ok = [0; 5];
        stream.read_exact(&mut ok).unwrap();
        assert_eq!(&ok, b"+OK\r\n");
        Self(stream)
    }

    /// The words of every command so far: from a client, or from a script of one.
    fn commands(mut self, server: &Server) -> Vec<(bool, Vec<String>)> {
        use std::io::Read as _;
        let _ = server.ask(&["ECHO", "the end"]);
        let (mut seen, mut part) = (Vec::new(), [0; 4096]);
        while !seen.ends_with(b"\"ECHO\" \"the end\"\r\n") {
            let length = self.0.read(&mut part).unwrap();
            seen.extend_from_slice(&part[..length]);
        }
        let text = String::from_utf8(seen).unwrap();
        let words = |line: &str| -> Vec<String> {
            let quoted = line
                .split_once("] ")
                .unwrap()
                .1
                .split('"')
                .skip(1)
                .step_by(2);
            quoted.map(ToOwned::to_owned).collect()
        };
        let lines = text
            .lines()
            .map(|line| (line.contains(" lua] "), words(line)));
        lines.collect()
    }
}

/// RDS-33: the documentation of `remote::redis` lists what a user must be allowed to do, and that is
/// all that is done: never `KEYS`, `FLUSHDB` or `FLUSHALL`, and nothing to the keys of others.
#[tokio::test]
async fn rds_33_nothing_is_asked_for_that_is_not_listed() {
    let server = Server::start();
    let monitor = Monitor::of(&server);
    let cache = process(&server.url(), policy().group("g"));
    let other = process(&server.url(), policy().group("g"));
    coherent(&cache).await;
    coherent(&other).await;
    let loads = Loads::default();
    for key in 0..5_u64 {
        let (first, second) = tokio::join!(
            cache.get_or_load(&key, || loads.clone().slowly(Duration::from_millis(20))),
            other.get_or_load(&key, || loads.clone().slowly(Duration::from_millis(20))),
        );
        assert_eq!(*first.unwrap(), *second.unwrap());
    }
    cache
        .get_or_load(&9, || async { Err::<u64, _>("down") })
        .await
        .unwrap_err();
    cache.insert_many([(10, 1), (11, 2)]).await.unwrap();
    other.get_many(&[10, 11, 12]).await;
    cache.invalidate(&1).await;
    cache.invalidate_group("g").await;
    cache.invalidate_pattern("1*").await.unwrap();
    cache.clear().await;
    let commands = monitor.commands(&server);
    assert!(commands.len() > 40, "{}", commands.len());
    const LISTED: [&str; 18] = [
        "GET",
        "STRLEN",
        "MGET",
        "SET",
        "UNLINK",
        "SCAN",
        "TIME",
        "PUBLISH",
        "SUBSCRIBE",
        "EVAL",
        "EVALSHA",
        "CLIENT",
        "HELLO",
        "PING",
        "UNWATCH",
        "GETRANGE",
        "PTTL",
        "PEXPIRE",
    ];
    let ours = |key: &str| key.starts_with("cache:") || key.starts_with("lease:{cache:");
    for (_, words) in commands.iter().filter(|(_, words)| words[0] != "ECHO") {
        let name = words[0].to_ascii_uppercase();
        assert!(LISTED.contains(&&*name), "{words:?}");
        let keys: Vec<&String> = match &*name {
            "GET" | "STRLEN" | "SET" | "GETRANGE" | "PTTL" | "PEXPIRE" | "PUBLISH"
            | "SUBSCRIBE" => {
                vec![&words[1]]
            }
            "MGET" | "UNLINK" => words[1..].iter().collect(),
            "SCAN" => vec![&words[3]],
            "EVAL" | "EVALSHA" => {
                let count: usize = words[2].parse().unwrap();
                words[3..3 + count].iter().collect()
            }
            _ => Vec::new(),
        };
        assert!(keys.iter().all(|key| ours(key)), "{words:?}");
    }
    for needed in ["SCAN", "EVALSHA", "MGET", "UNLINK", "SUBSCRIBE"] {
        assert!(
            commands.iter().any(|(_, words)| words[0] == needed),
            "{needed}"
        );
    }
}

/// As after a failover to a server whose clock is behind: entries from before it are ahead of that clock.
#[tokio::test]
async fn an_invalidation_reaches_entries_that_were_born_by_a_clock_ahead() {
    let limit = Duration::from_secs(1);
    let server = Server::start();
    let remote = redis(&server.url());
    up(&remote).await;
    let ahead = remote.now().unwrap().after(Duration::from_secs(60));
    let joined = remote
        .join_groups(&["g"], ahead, limit, limit)
        .await
        .unwrap();
    assert!(
        joined.iter().all(|version| *version > ahead),
        "it is not stored"
    );
    remote.invalidate_group("g", limit).await.unwrap();
    let versions = remote.groups(&["g"], limit).await.unwrap();
    assert!(
        versions.iter().all(|version| *version > Some(ahead)),
        "{versions:?}"
    );
    let now = remote.now().unwrap();
    assert!(now < ahead, "its clock is what it is");
}
