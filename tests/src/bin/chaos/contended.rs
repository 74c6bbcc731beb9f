//! Keys that a foreign client writes while three caches read them: COR-11 and G15 in their hardest form.

use super::Counts;
use crate::load::{process, runtime};
use cache_core::{Cache, Policy, policy::minutes};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tests::{figure::Figure, redis::Server};

const KEYS: u64 = 4_000;
const READERS: usize = 3;

pub(crate) fn run(rounds: u32) -> Counts {
    runtime().block_on(contend(u64::from(rounds)))
}

async fn contend(rounds: u64) -> Counts {
    let (server, mint) = (Server::start(), Server::start());
    let caches = [(); READERS].map(|()| long_lived(&server.url()));
    for cache in &caches {
        crate::scenarios::coherent(cache).await;
    }
    let (done, reads) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let mut readers = tokio::task::JoinSet::new();
    for cache in &caches {
        readers.spawn(read(cache.clone(), Arc::clone(&done), Arc::clone(&reads)));
    }
    for round in 1..=rounds {
        let values = minted(&mint, round).await;
        tokio::task::block_in_place(|| write(&server, &values));
    }
    done.store(true, Ordering::Relaxed);
    readers.join_all().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (mut stale, mut held) = (0, 0);
    for cache in &caches {
        for key in 0..KEYS {
            let found = cache.get(&key).await.map(|value| *value);
            stale += u64::from(found.is_some_and(|version| version != rounds));
            held += u64::from(found.is_some());
        }
    }
    let all = KEYS * READERS as u64;
    let hits: u64 = caches.iter().map(|cache| cache.stats().hits).sum();
    let reads = reads.load(Ordering::Relaxed);
    println!("  {reads} reads while they were written, {hits} hits in memory in all");
    vec![
        ("stale", Figure::at_most(0.0, "values", stale as f64)),
        ("there", Figure::at_least(all as f64, "values", held as f64)),
        (
            "read meanwhile",
            Figure::at_least((rounds * KEYS) as f64, "values", reads as f64),
        ),
        (
            "from memory",
            Figure::at_least((rounds * KEYS / 10) as f64, "hits", hits as f64),
        ),
    ]
}

fn long_lived(url: &str) -> Cache<u64> {
    let policy = Policy::ttl(minutes(5));
    process(url)
        .with_policy(policy)
        .expect("a policy that works")
}

async fn read(cache: Cache<u64>, done: Arc<AtomicBool>, reads: Arc<AtomicU64>) {
    while !done.load(Ordering::Relaxed) {
        for _ in 0..100 {
            // Some are read more often than others, and so are in memory when they are written.
            let key = fastrand::u64(..KEYS).min(fastrand::u64(..KEYS));
            cache.get(&key).await;
        }
        reads.fetch_add(100, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

/// Names and bytes of all keys at version `round`, as a cache of the same name writes them to a server
/// that nobody reads.
async fn minted(mint: &Server, round: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let writer = long_lived(&mint.url());
    crate::scenarios::coherent(&writer).await;
    let mut values = Vec::new();
    for batch in (0..KEYS).collect::<Vec<_>>().chunks(100) {
        let all = batch.iter().map(|key| (*key, round));
        writer
            .insert_many(all)
            .await
            .expect("numbers have an encoding");
    }
    let names: Vec<Vec<u8>> =
        redis::from_redis_value(mint.ask(&["KEYS", "*"])).expect("names are bytes");
    let mut connection = connect(mint);
    for name in names {
        let value: Vec<u8> = redis::cmd("GET")
            .arg(&name)
            .query(&mut connection)
            .expect("it was stored");
        values.push((name, value));
    }
    assert_eq!(values.len() as u64, KEYS, "all were stored");
    fastrand::shuffle(&mut values);
    values
}

/// As any program may.
fn write(server: &Server, values: &[(Vec<u8>, Vec<u8>)]) {
    let mut connection = connect(server);
    for (name, value) in values {
        redis::cmd("SET")
            .arg(name)
            .arg(value)
            .arg("PX")
            .arg(300_000)
            .exec(&mut connection)
            .expect("the server answers");
    }
}

fn connect(server: &Server) -> redis::Connection {
    let client = redis::Client::open(server.url()).expect("a URL");
    client.get_connection().expect("the server answers")
}
