//! Settings that cannot work, and servers that refuse: visible in words, never fatal, never a secret.

use crate::support::{Loads, coherent, policy, process, redis, settings, until};
use cache_core::{
    Cache,
    remote::{self, Health, Redis, RedisSettings, Remote, State},
};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tests::{
    proxy::{Proxy, Way},
    redis::Server,
};

pub(crate) const CANARY: &str = "canary-7f3a";

/// Builds at once, serves, and says what is wrong.
pub(crate) async fn serves_and_says(settings: RedisSettings, words: &str) {
    let told: Arc<Mutex<Vec<Health>>> = Arc::default();
    let observed = Arc::clone(&told);
    let began = Instant::now();
    let settings = settings.observe(move |health| observed.lock().unwrap().push(health.clone()));
    let shown = format!("{settings:?}");
    let remote = Redis::with(settings).unwrap();
    let cache: Cache<u64> = Cache::builder("it")
        .policy(policy())
        .remote(Arc::new(remote.clone()))
        .build()
        .unwrap();
    let loads = Loads::default();
    assert_eq!(
        *cache
            .get_or_load(&1, || loads.clone().load())
            .await
            .unwrap(),
        1
    );
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    let mut reason: Arc<str> = Arc::from("");
    let since = Instant::now();
    while !reason.contains(words) {
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "`{reason}` has no `{words}`"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
        if let State::Down(found) = remote.health().state {
            reason = found;
        }
    }
    let told = told.lock().unwrap();
    assert!(
        told.iter()
            .any(|health| matches!(&health.state, State::Down(reason) if reason.contains(words))),
        "{told:?}"
    );
    for text in [
        shown,
        reason.to_string(),
        format!("{told:?}"),
        format!("{cache:?} {remote:?} {:?}", cache.remote_stats()),
    ] {
        assert!(!text.contains(CANARY), "SEC-01: {text}");
    }
}

#[tokio::test]
async fn rds_08_a_wrong_password_is_said_and_not_shown() {
    let server = Server::start_with(&["--requirepass", "right"]);
    let url = format!("redis://:{CANARY}@127.0.0.1:{}", server.port());
    serves_and_says(settings(&url), "password").await;
}

#[tokio::test]
async fn rds_08_a_missing_password_is_said() {
    let server = Server::start_with(&["--requirepass", "right"]);
    serves_and_says(settings(&server.url()), "password").await;
}

/// RDS-08: no more than one attempt a second, so that the server's log does not fill.
#[tokio::test]
async fn rds_08_a_wrong_password_is_not_tried_again_at_once() {
    let server = Server::start_with(&["--requirepass", "right"]);
    let proxy = Proxy::before(server.port()).await;
    let remote = redis(
        &proxy
            .url()
            .replace("redis://", &format!("redis://:{CANARY}@")),
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!remote.health().is_up());
    assert!(proxy.accepted() <= 4, "{}", proxy.accepted());
}

/// RDS-08: a password that is set while the service runs.
#[tokio::test]
async fn rds_08_a_password_that_is_set_at_runtime_is_told_once_and_tried_once_a_second() {
    let server = Server::start_with(&["--requirepass", CANARY]);
    let proxy = Proxy::recording(server.port()).await;
    let url = format!("redis://:{CANARY}@127.0.0.1:{}", proxy.port());
    let told: Arc<Mutex<Vec<Health>>> = Arc::default();
    let observed = Arc::clone(&told);
    let settings = settings(&url).observe(move |health| {
        observed.lock().unwrap().push(health.clone());
    });
    let operator = |password: &str, new: &str| {
        let url = format!("redis://:{password}@127.0.0.1:{}", server.port());
        let client = ::redis::Client::open(url).unwrap();
        let mut operator = client.get_connection().unwrap();
        let mut set = ::redis::cmd("CONFIG");
        set.arg("SET").arg("requirepass").arg(new);
        set.exec(&mut operator).unwrap();
    };
    let remote = Redis::with(settings).unwrap();
    let cache: Cache<u64> = Cache::builder("it")
        .policy(policy())
        .remote(Arc::new(remote.clone()))
        .build()
        .unwrap();
    coherent(&cache).await;
    operator(CANARY, "another");
    proxy.set_old(Way::Cut);
    let refused =
        |health: &Health| matches!(&health.state, State::Down(why) if why.contains("password"));
    until("the refusal", async || {
        let _ = remote.look(b"k", Duration::from_secs(1)).await;
        refused(&remote.health())
    })
    .await;
    let attempts = |bytes: &[u8]| {
        bytes
            .windows(CANARY.len())
            .filter(|part| *part == CANARY.as_bytes())
            .count()
    };
    let (before, began) = (attempts(&proxy.recorded()), Instant::now());
    let loads = Loads::default();
    for key in 0..30_u64 {
        cache
            .get_or_load(&key, || loads.clone().load())
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(loads.count(), 30, "everybody is served");
    let most = began.elapsed().as_secs_f64() + 1.0;
    let tried = attempts(&proxy.recorded()) - before;
    assert!(tried as f64 <= most, "{tried} in {most} s");
    let times = told
        .lock()
        .unwrap()
        .iter()
        .filter(|health| refused(health))
        .count();
    assert_eq!(times, 1);
    operator("another", CANARY);
    until("it is used again", async || remote.health().is_up()).await;
}

#[tokio::test]
async fn a_wrong_database_is_said() {
    let server = Server::start();
    let url = format!("redis://:{CANARY}@127.0.0.1:{}/99", server.port());
    let _ = server.ask(&["CONFIG", "SET", "requirepass", CANARY]);
    serves_and_says(settings(&url), "database").await;
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_said() {
    let port = tests::redis::free_port();
    let url = format!("redis://user:{CANARY}@127.0.0.1:{port}");
    serves_and_says(settings(&url), "nothing listens").await;
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_said() {
    // Where nobody answers for names either, that nothing answers is all there is to say.
    let url = format!("redis://user:{CANARY}@no-such-host.invalid");
    serves_and_says(settings(&url), "in its URL").await;
}

#[tokio::test]
async fn an_address_that_swallows_everything_is_said() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    proxy.set_new(Way::BlackHole);
    let url = format!("redis://user:{CANARY}@127.0.0.1:{}", proxy.port());
    serves_and_says(settings(&url), "nothing answers in time").await;
}

/// SEC-01: what a server repeats of what it was sent, is not repeated here.
#[tokio::test]
async fn sec_01_a_server_that_repeats_the_password_is_not_quoted() {
    for reply in [
        format!("-{CANARY} refused\r\n"),
        format!("-ERR unknown command 'AUTH', with args beginning with: '{CANARY}'\r\n"),
        format!("-WRONGPASS {CANARY}\r\n"),
        format!("${CANARY}\r\n"),
    ] {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut asked = [0; 4096];
                while socket.read(&mut asked).await.is_ok_and(|length| length > 0) {
                    let _ = socket.write_all(reply.repeat(4).as_bytes()).await;
                }
            }
        });
        let url = format!("redis://{CANARY}:{CANARY}@127.0.0.1:{port}");
        serves_and_says(settings(&url), "in its URL").await;
    }
}

/// SEC-01: every public type that a secret goes through.
#[tokio::test]
async fn sec_01_nothing_that_can_be_printed_shows_a_secret() {
    let server = Server::start_with(&["--requirepass", CANARY]);
    let url = format!("redis://:{CANARY}@127.0.0.1:{}", server.port());
    let made = settings(&url);
    let remote = Redis::with(made.clone()).unwrap();
    let dynamic = remote::from_url(&url).unwrap();
    let builder = Cache::<u64>::builder("it").remote(Arc::new(remote.clone()));
    let mut shown = format!("{made:?} {made:#?} {remote:?} {dynamic:?} {builder:?}");
    let cache = builder.build().unwrap();
    let http = cache_tower::HttpCache::builder().remote(dynamic);
    shown += &format!("{http:?}");
    let http = http.build().unwrap();
    coherent(&cache).await;
    let failing = || async { Err::<u64, _>("down") };
    let error = cache.get_or_load(&1, failing).await.unwrap_err();
    cache.insert(&2, 2).await.unwrap();
    let loaded = cache.get(&2).await;
    shown += &format!(
        "{cache:?} {:?} {:?} {:?}",
        cache.stats(),
        cache.remote_stats(),
        remote.health()
    );
    shown += &format!(
        "{http:?} {:?} {error} {error:?} {loaded:?}",
        http.remote_stats()
    );
    shown += &format!("{:?}", remote.look(b"it:2", Duration::from_secs(1)).await);
    assert!(shown.len() > 500 && !shown.contains(CANARY), "{shown}");
}

#[tokio::test]
async fn a_server_of_another_kind_is_said() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            use tokio::io::AsyncWriteExt as _;
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let url = format!("redis://:{CANARY}@127.0.0.1:{port}");
    serves_and_says(settings(&url), "in its URL").await;
}

#[tokio::test]
async fn a_cluster_where_nobody_listens_is_said() {
    let [a, b] = [(); 2].map(|()| tests::redis::free_port());
    let url = format!("redis+cluster://user:{CANARY}@127.0.0.1:{a},127.0.0.1:{b}");
    serves_and_says(settings(&url), "nothing listens").await;
}

#[tokio::test]
async fn a_server_that_is_no_node_of_a_cluster_is_said() {
    let server = Server::start();
    let url = format!("redis+cluster://127.0.0.1:{}", server.port());
    serves_and_says(settings(&url), "not a node of a cluster").await;
}

/// RDS-13: what it has is used, and what it has not says which setting is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn rds_13_a_node_of_a_cluster_that_is_used_as_one_server_is_said() {
    let cluster = tests::cluster::Cluster::start(3, 0);
    let remote = redis(&cluster.node(0).url());
    crate::support::up(&remote).await;
    let (mut found, mut moved) = (0, 0);
    for key in 0..100_u64 {
        match remote
            .look(&key.to_be_bytes(), Duration::from_secs(1))
            .await
        {
            Ok(None) => found += 1,
            Err(remote::Failure::Refused(code)) if &*code == "MOVED" => moved += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(found > 0 && moved > 0, "{found} {moved}");
    let degraded = remote.health().degraded.join("; ");
    assert!(degraded.contains("redis+cluster://"), "{degraded}");
}

#[tokio::test]
async fn sentinels_that_know_no_master_are_said() {
    let (server, secret) = (Server::start(), "redis+sentinel://:canary-7f3a@127.0.0.1");
    let sentinel = Server::sentinel("main", server.port(), 1);
    let url = format!("{secret}:{}/other", sentinel.port());
    serves_and_says(settings(&url), "no service of the name").await;
    let nobody = tests::redis::free_port();
    serves_and_says(
        settings(&format!("{secret}:{nobody}/main")),
        "nothing listens",
    )
    .await;
}

#[test]
fn urls_that_cannot_be_used_are_errors_that_show_no_secret() {
    for (url, words) in [
        (
            format!("rediss://:{CANARY}@localhost#insecure"),
            "ca_certificate",
        ),
        (
            format!("valkeys://:{CANARY}@localhost#insecure"),
            "ca_certificate",
        ),
        (format!("http://:{CANARY}@localhost"), "scheme"),
        (
            format!("redis://:{CANARY}@local host"),
            "accepted is redis://",
        ),
        (
            format!("redis://:{CANARY}@localhost:99999"),
            "accepted is redis://",
        ),
        (
            format!("redis://:{CANARY}@localhost/first"),
            "accepted is redis://",
        ),
        (
            format!("redis+cluster://:{CANARY}@localhost,local host"),
            "accepted is redis://",
        ),
        (format!("redis+cluster://:{CANARY}@localhost/1"), "database"),
        (format!("redis+ring://:{CANARY}@localhost"), "redis+cluster"),
        (format!("redis+sentinel://:{CANARY}@localhost"), "/service"),
        (
            format!("redis+sentinel://:{CANARY}@localhost/main/first"),
            "accepted is redis://",
        ),
        (
            format!("redis+sentinel://:{CANARY}@localhost/main/0?db=3"),
            "/service[/database]",
        ),
        (
            format!("redis+sentinel://:{CANARY}@localhost/main?db=3"),
            "/service[/database]",
        ),
        (format!("redis://:{CANARY}@localhost/-1"), "database -1"),
        (String::new(), "scheme"),
    ] {
        let error = remote::from_url(&url).unwrap_err();
        assert!(error.is_config());
        let text = format!("{error} {error:?}");
        assert!(text.contains(words), "{url}: {text}");
        assert!(!text.contains(CANARY), "SEC-01: {text}");
    }
}

#[test]
fn every_setting_that_cannot_work_is_named() {
    let settings = settings("redis://localhost")
        .prefix("a*")
        .client_name("a b")
        .lanes(0)
        .connections(1)
        .connect(Duration::ZERO)
        .probe(Duration::ZERO)
        .heartbeat(Duration::ZERO)
        .max_value(0);
    let text = Redis::with(settings).unwrap_err().to_string();
    for name in [
        "prefix",
        "client_name",
        "lanes",
        "connections",
        "connect",
        "probe",
        "heartbeat",
        "max_value",
    ] {
        assert!(text.contains(name), "{name} in {text}");
    }
}

/// RDS-09: what a user may not do is missing, and said; the rest works.
#[tokio::test]
async fn rds_09_a_user_without_scripts_reads_and_is_told_what_is_missing() {
    let server = Server::start();
    let _ = server.ask(&[
        "ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all", "-eval", "-evalsha",
    ]);
    let full: Cache<u64> = Cache::builder("it")
        .remote(Arc::new(redis(&server.url())))
        .build()
        .unwrap();
    let url = format!("redis://limited:pw@127.0.0.1:{}", server.port());
    let limited = redis(&url);
    let cache: Cache<u64> = Cache::builder("it")
        .remote(Arc::new(limited.clone()))
        .build()
        .unwrap();
    until("connections", async || {
        limited.health().is_up() && full.remote_stats().unwrap().health.is_up()
    })
    .await;
    full.insert(&1, 1).await.unwrap();
    assert_eq!(*cache.get(&1).await.unwrap(), 1);
    let loads = Loads::default();
    assert_eq!(
        *cache
            .get_or_load(&2, || loads.clone().load())
            .await
            .unwrap(),
        1
    );
    let degraded = limited.health().degraded;
    assert!(
        degraded.iter().any(|text| text.contains("EVAL")),
        "{degraded:?}"
    );
    assert!(limited.health().is_up());
}

/// RDS-09: each of what a user may not do is named, and nobody fails for it.
#[tokio::test]
async fn rds_09_whatever_a_user_may_not_do_is_named() {
    let server = Server::start();
    for (forbidden, words) in [
        ("-unlink", "UNLINK is not available"),
        ("-publish", "PUBLISH is not available"),
        ("-subscribe", "tracking is not available"),
        ("-client", "CLIENT SETNAME is not available"),
        ("-eval -evalsha", "EVAL is not available"),
    ] {
        let mut user = vec![
            "ACL", "SETUSER", "limited", "reset", "on", ">pw", "~*", "&*", "+@all",
        ];
        user.extend(forbidden.split(' '));
        let _ = server.ask(&user);
        let remote = redis(&format!("redis://limited:pw@127.0.0.1:{}", server.port()));
        let cache: Cache<u64> = Cache::builder("it")
            .policy(policy())
            .remote(Arc::new(remote.clone()))
            .build()
            .unwrap();
        until(words, async || {
            let Health {
                state, degraded, ..
            } = remote.health();
            state == State::Up && degraded.iter().any(|text| text.contains(words))
        })
        .await;
        let loads = Loads::default();
        for key in 0..3_u64 {
            let value = cache
                .get_or_load(&(forbidden, key), || loads.clone().load())
                .await;
            assert_eq!(*value.unwrap(), key + 1);
            cache.invalidate(&(forbidden, key)).await;
            assert!(cache.get(&(forbidden, key)).await.is_none());
        }
        assert!(remote.health().is_up(), "{:?}", remote.health());
    }
}

/// RDS-09: what a user may no longer do while it is used, it does not go on trying without a pause.
#[tokio::test]
async fn rds_09_who_may_no_longer_remove_says_so_and_asks_little() {
    const KEYS: u64 = 500;
    let server = Server::start();
    let user = |may: &str| {
        let words = [
            "ACL", "SETUSER", "worker", "on", ">pw", "~*", "&*", "+@all", may,
        ];
        let _ = server.ask(&words);
    };
    user("+unlink");
    let url = format!("redis://worker:pw@127.0.0.1:{}", server.port());
    let cache = process(&url, policy());
    coherent(&cache).await;
    for key in 0..KEYS {
        cache.insert(&key, 1).await.unwrap();
    }
    user("-unlink");
    for key in 0..KEYS {
        cache.invalidate(&key).await;
    }
    let degraded = || cache.remote_stats().unwrap().health.degraded.join("; ");
    assert!(
        degraded().contains("UNLINK is not available"),
        "{}",
        degraded()
    );
    let tried = || refused(&server, "unlink");
    let before = tried();
    until("it is tried again", async || tried() > before).await;
    // In this time all were tried ten times over, were none held back.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(tried() - before < KEYS, "{}", tried() - before);
    user("+unlink");
    let left = || match server.ask(&["DBSIZE"]) {
        ::redis::Value::Int(left) => left,
        other => panic!("{other:?}"),
    };
    until("all are removed", async || left() == 0).await;
    assert!(!degraded().contains("UNLINK"), "{}", degraded());
}

/// How often the server has refused a command to its user.
fn refused(server: &Server, command: &str) -> u64 {
    let stats: String = ::redis::from_redis_value(server.ask(&["INFO", "commandstats"])).unwrap();
    let line = format!("cmdstat_{command}:");
    let line = stats.lines().find(|text| text.starts_with(&line)).unwrap();
    let (_, count) = line.split_once("rejected_calls=").unwrap();
    count.split(',').next().unwrap().parse().unwrap()
}

/// RDS-09: since version 7 a user has no channels unless they are granted.
#[tokio::test]
async fn rds_09_a_user_without_channels_stores_and_invalidates_all_the_same() {
    let server = Server::start();
    // Before version 7 a user has all channels unless it is said otherwise.
    let _ = server.ask(&[
        "ACL",
        "SETUSER",
        "quiet",
        "on",
        ">pw",
        "~*",
        "resetchannels",
        "+@all",
    ]);
    let url = format!("redis://quiet:pw@127.0.0.1:{}", server.port());
    let remote = redis(&url);
    let quiet: Cache<u64> = Cache::builder("it")
        .policy(policy())
        .remote(Arc::new(remote.clone()))
        .build()
        .unwrap();
    let other = process(&server.url(), policy());
    until("the complaint", async || {
        let degraded = remote.health().degraded;
        let says = |words| degraded.iter().any(|text| text.contains(words));
        says("PUBLISH") && says("tracking")
    })
    .await;
    coherent(&other).await;
    quiet.insert(&1, 1).await.unwrap();
    assert_eq!(*other.get(&1).await.unwrap(), 1);
    quiet.invalidate(&1).await;
    assert!(other.get(&1).await.is_none());
    quiet.invalidate_pattern("2*").await.unwrap();
    other.insert(&2, 2).await.unwrap();
    assert_eq!(*quiet.get(&2).await.unwrap(), 2);
    // What was not confirmed would be tried again by now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let there = server.ask(&["EXISTS", "cache:it:2"]);
    assert_eq!(there, ::redis::Value::Int(1));
}

/// RDS-09, RDS-36: without tracking memory lives by its bound.
#[tokio::test]
async fn rds_36_a_server_that_tells_nothing_of_changes_is_used_all_the_same() {
    let server = Server::start();
    let _ = server.ask(&[
        "ACL", "SETUSER", "deaf", "on", ">pw", "~*", "&*", "+@all", "-client",
    ]);
    let remote = redis(&format!("redis://deaf:pw@127.0.0.1:{}", server.port()));
    let cache: Cache<u64> = Cache::builder("it")
        .remote(Arc::new(remote.clone()))
        .build()
        .unwrap();
    until("the complaint", async || {
        remote
            .health()
            .degraded
            .iter()
            .any(|text| text.contains("memory is not told"))
    })
    .await;
    assert!(remote.health().is_up());
    cache.insert(&1, 1).await.unwrap();
    assert_eq!(*cache.get(&1).await.unwrap(), 1);
    assert!(!cache.remote_stats().unwrap().is_coherent);
}

/// RDS-26: a server that takes no more clients is tried until it does.
#[tokio::test]
async fn rds_26_a_server_with_too_many_clients_is_used_when_it_has_room() {
    let server = Server::start_with(&["--maxclients", "2"]);
    let client = ::redis::Client::open(server.url()).unwrap();
    let held = [
        client.get_connection().unwrap(),
        client.get_connection().unwrap(),
    ];
    let remote = redis(&server.url());
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!remote.health().is_up());
    drop(held);
    let took = crate::support::up(&remote).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
}
