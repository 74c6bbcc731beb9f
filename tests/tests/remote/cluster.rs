//! A cluster of three masters: what one server does, it does, and what is away of it is away alone.

use crate::support::{Loads, coherent, hasty, policy, process, redis, until, up};
use cache_core::{
    Cache, Policy,
    policy::seconds,
    remote::{Failure, Remote, Value, checks},
};
use std::{sync::Arc, time::Duration};
use tests::cluster::Cluster;
use tokio::task::JoinSet;

const MINUTE: Duration = Duration::from_secs(60);
const PATIENT: Duration = Duration::from_secs(1);

async fn fleet(url: &str) -> [Cache<u64>; 3] {
    let policy = policy().failure_pause(seconds(5), seconds(5));
    let fleet = [(); 3].map(|()| process(url, policy.clone()));
    for cache in &fleet {
        coherent(cache).await;
    }
    fleet
}

#[tokio::test]
async fn rds_13_a_cluster_passes_the_checks_of_every_remote_tier() {
    let cluster = Cluster::start(3, 0);
    let remote = redis(&cluster.url());
    up(&remote).await;
    let remote: Arc<dyn Remote> = Arc::new(remote);
    until("all nodes", async || {
        remote.look(b"{06S}", PATIENT).await.is_ok() && remote.now().is_some()
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    checks::all(&remote).await;
}
