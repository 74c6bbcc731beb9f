//! Histories: what was read, when, beside what had been invalidated by then. Time is paused, so that
//! operations pause at random points, on their way to the remote tier, there and back, and within
//! loads, and a hundred thousand of them take seconds.

use cache_core::{
    Cache, Policy,
    policy::minutes,
    remote::{Fake, Remote, RemoteSettings, fake::Fault},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

const KEYS: usize = 16;
const WORKERS: usize = 40;
const EACH: usize = 2_600;

/// The source, and what every process may no longer be given.
#[derive(Default)]
struct World {
    source: [AtomicU64; KEYS],
    /// The latest version whose invalidation was acknowledged, by any process.
    acknowledged: [AtomicU64; KEYS],
    /// The same, by each process.
    here: [[AtomicU64; KEYS]; 3],
    loads: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
}

/// A tenth of the loads pauses for long between reading the source and returning.
async fn load(world: Arc<World>, key: usize) -> Result<u64, String> {
    world.loads.fetch_add(1, Ordering::Relaxed);
    pause(2).await;
    let value = world.source[key].load(Ordering::SeqCst);
    pause(if fastrand::u8(..10) == 0 { 100 } else { 3 }).await;
    if fastrand::u8(..50) == 0 {
        Err("down".into())
    } else {
        Ok(value)
    }
}

async fn pause(most_millis: u64) {
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..most_millis * 1000))).await;
}

async fn read(world: &Arc<World>, cache: &Cache<u64>, process: usize, key: usize, lossy: bool) {
    let floors = if lossy {
        &world.here[process]
    } else {
        &world.acknowledged
    };
    let floor = floors[key].load(Ordering::SeqCst);
    let load = || load(Arc::clone(world), key);
    if let Ok(value) = cache.get_or_load(&key, load).await {
        assert!(
            *value >= floor,
            "process {process} was given {} of {key} after {floor}",
            *value
        );
    }
    world.reads.fetch_add(1, Ordering::Relaxed);
}

async fn write(world: &World, cache: &Cache<u64>, process: usize, key: usize) {
    let version = world.source[key].fetch_add(1, Ordering::SeqCst) + 1;
    pause(1).await;
    cache.invalidate(&key).await;
    world.acknowledged[key].fetch_max(version, Ordering::SeqCst);
    world.here[process][key].fetch_max(version, Ordering::SeqCst);
    world.writes.fetch_add(1, Ordering::Relaxed);
}

async fn run(processes: usize, lossy: bool) {
    let world = Arc::new(World::default());
    let first = Fake::new();
    let links: Vec<Fake> = (0..processes).map(|_| first.another()).collect();
    let policy = Policy::ttl(minutes(5)).failure_pause(Duration::ZERO, Duration::ZERO);
    let caches: Vec<Cache<u64>> = links
        .iter()
        .map(|link| {
            link.set_random_latency(Duration::from_millis(4));
            let remote: Arc<dyn Remote> = Arc::new(link.clone());
            let settings = RemoteSettings::new().lease(Duration::from_millis(200));
            let builder = Cache::builder("it").policy(policy.clone()).remote(remote);
            builder.remote_settings(settings).build().unwrap()
        })
        .collect();
    links.iter().for_each(Fake::beat);
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let process = worker % processes;
        let (world, cache, link) = (
            Arc::clone(&world),
            caches[process].clone(),
            links[process].clone(),
        );
        workers.spawn(async move {
            for _ in 0..EACH {
                let key = fastrand::usize(..KEYS);
                if lossy && fastrand::u8(..50) == 0 {
                    let fault = [Fault::RequestLost, Fault::ReplyLost, Fault::Refused];
                    link.inject([fastrand::choice(fault)]);
                }
                match fastrand::u8(..10) {
                    0 => write(&world, &cache, process, key).await,
                    // Callers leave at any moment.
                    1 => {
                        let reading = read(&world, &cache, process, key, lossy);
                        let patience = Duration::from_micros(fastrand::u64(..8_000));
                        let _ = tokio::time::timeout(patience, reading).await;
                    }
                    _ => read(&world, &cache, process, key, lossy).await,
                }
            }
        });
    }
    workers.join_all().await;
    let (reads, writes) = (&world.reads, &world.writes);
    let (reads, writes) = (
        reads.load(Ordering::Relaxed),
        writes.load(Ordering::Relaxed),
    );
    let loads = world.loads.load(Ordering::Relaxed);
    println!("{processes} processes: {reads} reads, {writes} writes, {loads} loads");
    assert!(reads + writes >= 90_000 && writes > 5_000);
    assert!(loads < reads, "most reads are hits or shared");
    let refused: u64 = caches.iter().map(|cache| cache.stats().refused).sum();
    assert!(
        refused > 100,
        "late loads did come, and were refused: {refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn cor_07_one_process_never_sees_what_it_invalidated() {
    run(1, false).await;
}

#[tokio::test(start_paused = true)]
async fn cor_07_three_processes_never_see_what_any_of_them_invalidated() {
    run(3, false).await;
}

/// What an invalidation means to others while its messages are lost is a matter of time; who
/// invalidated is never given the value again.
#[tokio::test(start_paused = true)]
async fn cor_07_who_invalidates_over_a_lossy_link_never_sees_the_value_again() {
    run(3, true).await;
}
