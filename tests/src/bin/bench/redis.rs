//! A hit in the remote tier beside a bare `GET` of the same size: 64 callers at once, a value of
//! 1 KiB, the same server, both in one run, batch by batch in turn.
//!
//! The hit is all that a remote hit takes but the decoding of the value: a budget, the names, the
//! look-up, the checks of the envelope.

use ::redis::{self, aio::MultiplexedConnection};
use cache_core::{
    Store, StoreBuilder,
    remote::{Budget, Redis, RedisSettings, Remote},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tests::{figure::Figure, redis::Server};

const CALLERS: u64 = 64;
/// Short batches, and many: what else the machine does falls on both sides alike.
const EACH: u64 = 60;
const PAIRS: usize = 301;
const SIZE: usize = 1024;
const KEYS: u64 = 100;

pub(crate) fn measure() -> Figure {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    runtime.block_on(compare())
}

/// So many batches of one side alone, for a profiler: `bench --send redis bare 10`.
pub(crate) fn send(what: &str, batches: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        let server = Server::start();
        let (bare, store) = (bare(&server).await, store(&server).await);
        for _ in 0..batches {
            match what {
                "bare" => batch(|key| get(bare.clone(), key)).await,
                _ => batch(|key| look(store.clone(), key)).await,
            };
        }
    });
}

async fn compare() -> Figure {
    let server = Server::start();
    let (bare, store) = (bare(&server).await, store(&server).await);
    let mut ratios = Vec::new();
    let (mut of_bare, mut of_store) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let there = batch(|key| get(bare.clone(), key)).await;
        let here = batch(|key| look(store.clone(), key)).await;
        let again = batch(|key| get(bare.clone(), key)).await;
        // Between two of the other kind: what drifts cancels out.
        ratios.push(here / there.midpoint(again));
        of_bare.push(there);
        of_store.push(here);
    }
    println!(
        "  a bare GET {:.0}/s, a remote hit {:.0}/s",
        median(&mut of_bare),
        median(&mut of_store)
    );
    Figure::at_least(0.9, "× the throughput of a bare GET", median(&mut ratios))
}

/// Hits a second.
async fn batch<F>(hit: impl Fn(u64) -> F) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let began = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(hit(caller));
    }
    callers.join_all().await;
    (CALLERS * EACH) as f64 / began.elapsed().as_secs_f64()
}

async fn get(mut connection: MultiplexedConnection, caller: u64) {
    for n in 0..EACH {
        let key = format!("bare:{}", (caller + n) % KEYS);
        let value: Vec<u8> = redis::cmd("GET")
            .arg(key)
            .query_async(&mut connection)
            .await
            .expect("the server answers");
        assert!(value.len() >= SIZE);
    }
}

async fn look(store: Store<Vec<u8>>, caller: u64) {
    for n in 0..EACH {
        let key = format!("{}", (caller + n) % KEYS);
        let mut budget = Budget::new(Duration::from_secs(10));
        let held = store.lookup_remote(key.as_bytes(), &mut budget).await;
        assert!(
            held.expect("it is there")
                .body()
                .is_some_and(|body| body.len() == SIZE)
        );
    }
}

async fn bare(server: &Server) -> MultiplexedConnection {
    let info = redis::IntoConnectionInfo::into_connection_info(server.url()).expect("a URL");
    let tcp = redis::io::tcp::TcpSettings::default().set_nodelay(true);
    let client = redis::Client::open(info.set_tcp_settings(tcp)).expect("a client");
    // As it is by default, with a limit for answers; only that a busy machine keeps it.
    let config =
        redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .expect("the server answers");
    for n in 0..KEYS {
        let set = redis::cmd("SET")
            .arg(format!("bare:{n}"))
            .arg(vec![7_u8; SIZE + 100])
            .to_owned();
        set.exec_async(&mut connection)
            .await
            .expect("the server answers");
    }
    connection
}

async fn store(server: &Server) -> Store<Vec<u8>> {
    let settings = RedisSettings::new(&server.url()).expect("a URL");
    let remote = Redis::with(settings.probe(Duration::from_secs(1))).expect("settings that work");
    while !remote.health().is_up() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let store: Store<Vec<u8>> = StoreBuilder::new()
        .remote(Arc::new(remote))
        .build()
        .expect("settings that work");
    for n in 0..KEYS {
        fill(&store, n).await;
    }
    store
}

async fn fill(store: &Store<Vec<u8>>, n: u64) {
    use cache_core::{
        policy::{Life, minutes},
        remote::{Leasing, Shared},
    };
    let mut budget = Budget::new(Duration::from_secs(1));
    let key = n.to_string();
    let leasing = store
        .lease(key.as_bytes(), None, minutes(1), &mut budget)
        .await;
    let Leasing::Granted(lease) = leasing else {
        unreachable!("nobody else loads: {leasing:?}");
    };
    let shared = Shared {
        body: Some(vec![7; SIZE].into()),
        life: Life {
            fresh: minutes(10),
            ..Life::default()
        },
        cost: Duration::ZERO,
        groups: Vec::new(),
    };
    assert_eq!(lease.commit(shared, &mut budget).await, Ok(true));
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
