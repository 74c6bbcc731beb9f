//! One load, and one failure, for all processes.

use crate::support::{Loads, coherent, policy, process, until};
use cache_core::{Cache, Error, policy::seconds};
use std::{
    future::Future,
    time::{Duration, Instant},
};
use tests::redis::Server;
use tokio::task::JoinSet;

const WORK: Duration = Duration::from_millis(500);

async fn fleet(url: &str) -> [Cache<u64>; 3] {
    let policy = policy().failure_pause(seconds(5), seconds(5));
    let fleet = [(); 3].map(|()| process(url, policy.clone()));
    for cache in &fleet {
        coherent(cache).await;
    }
    fleet
}

async fn callers<F, Fut>(fleet: &[Cache<u64>], each: usize, load: F) -> Vec<Result<u64, Error>>
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<u64, String>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for cache in fleet {
        for _ in 0..each {
            let (cache, load) = (cache.clone(), load.clone());
            tasks.spawn(async move { cache.get_or_load(&1, load).await.map(|value| *value) });
        }
    }
    tasks.join_all().await
}

/// G9.
#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_callers_of_three_processes_share_one_load() {
    let server = Server::start();
    let fleet = fleet(&server.url()).await;
    let loads = Loads::default();
    let (counted, began) = (loads.clone(), Instant::now());
    let answers = callers(&fleet, 1000, move || counted.clone().slowly(WORK)).await;
    assert!(answers.iter().all(|answer| *answer.as_ref().unwrap() == 1));
    assert_eq!((answers.len(), loads.count()), (3000, 1));
    println!(
        "answered after {:?}, of which {WORK:?} are the load",
        began.elapsed()
    );
    assert!(began.elapsed() < seconds(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_callers_of_three_processes_share_one_failure() {
    let server = Server::start();
    let fleet = fleet(&server.url()).await;
    let loads = Loads::default();
    let (counted, began) = (loads.clone(), Instant::now());
    let answers = callers(&fleet, 1000, move || counted.clone().slowly_fail(WORK)).await;
    for answer in &answers {
        let error = answer.as_ref().unwrap_err();
        assert!(error.is_load());
        let source = std::error::Error::source(error).unwrap().to_string();
        assert_eq!(source, "down for the 1. time");
    }
    assert_eq!((answers.len(), loads.count()), (3000, 1));
    println!(
        "answered after {:?}, of which {WORK:?} are the load",
        began.elapsed()
    );
    assert!(began.elapsed() < seconds(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_of_three_processes_loads_once() {
    let mut server = Server::start();
    let fleet = fleet(&server.url()).await;
    server.kill();
    let loads = Loads::default();
    let counted = loads.clone();
    let answers = callers(&fleet, 1000, move || counted.clone().slowly(WORK)).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!((answers.len(), loads.count()), (3000, 3));
}

/// Woken by push: far sooner than the longest pause between two questions.
#[tokio::test]
async fn those_who_wait_are_woken_within_milliseconds() {
    let server = Server::start();
    let fleet = fleet(&server.url()).await;
    let mut delays = Vec::new();
    for key in 0..20_u64 {
        let loads = Loads::default();
        let leader = {
            let (cache, loads) = (fleet[0].clone(), loads.clone());
            tokio::spawn(async move {
                let load = || loads.slowly(Duration::from_millis(300));
                cache.get_or_load(&key, load).await.unwrap();
                Instant::now()
            })
        };
        until("the load", async || loads.count() == 1).await;
        let value = fleet[1]
            .get_or_load(&key, || loads.clone().load())
            .await
            .unwrap();
        let woken = Instant::now();
        assert_eq!((*value, loads.count()), (1, 1));
        delays.push(woken.saturating_duration_since(leader.await.unwrap()));
    }
    delays.sort();
    println!("median {:?}, longest {:?}", delays[10], delays[19]);
    assert!(delays[10] < Duration::from_millis(20), "{delays:?}");
}

/// The leader's runtime ends with all its tasks, as when its process is killed: nothing is given back.
#[tokio::test]
async fn lck_15_a_killed_leader_frees_the_key_within_three_seconds() {
    let server = Server::start();
    let [survivor, ..] = fleet(&server.url()).await;
    let url = server.url();
    let loads = Loads::default();
    let counted = loads.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let cache = process(&url, policy());
            coherent(&cache).await;
            let load = || counted.clone().slowly(seconds(60));
            let _ =
                tokio::time::timeout(Duration::from_millis(300), cache.get_or_load(&1, load)).await;
            // Never dropped, as in a process that was killed.
            Box::leak(Box::new(cache));
        });
        runtime.shutdown_background();
    })
    .join()
    .unwrap();
    let began = Instant::now();
    let value = survivor
        .get_or_load(&1, || loads.clone().load())
        .await
        .unwrap();
    assert_eq!(*value, 2);
    assert!(began.elapsed() < seconds(3), "{:?}", began.elapsed());
}
