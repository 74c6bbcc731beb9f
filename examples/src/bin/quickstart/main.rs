//! A JSON service over a SQLite database, with a cache before it.
//!
//! `cargo run -p examples --bin quickstart` shows what the cache does: a miss, hits, a crowd, stale
//! responses, an update, a database that fails. Then it goes on serving, for you to try.
//!
//! The part to copy is `service.rs`; what is around it shows that it works.

#![allow(
    clippy::disallowed_methods,
    reason = "an example reads its own environment and clock"
)]

mod admin;
mod failure;
mod service;

use cache_axum::HttpCache;
use examples::{
    port, program,
    quickstart::{Database, Options, Time, demonstration, help},
};
use std::{
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, task::spawn_blocking, time::timeout};

#[tokio::main]
async fn main() -> ExitCode {
    program::main("quickstart", &help("quickstart"), Options::read(), run).await
}

async fn run(options: Options) -> Result<(), String> {
    let listener = port::listen(options.port)?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let database = open(options.database).await?;

    let cache = HttpCache::new();
    let admin = admin::routes(database.clone(), cache.clone());
    let app = service::routes(database.clone(), &cache).merge(admin);
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let server = tokio::spawn(server.into_future());
    println!("Serving on http://{address}.");

    demonstration::run(address, database, || cache.stats()).await?;
    if !options.once {
        invite(address);
        program::until_ctrl_c().await?;
    }
    drop(stop);
    // Answers on their way are sent; connections that do not end are not waited for.
    let _ = timeout(Duration::from_secs(5), server).await;
    Ok(())
}

async fn open(path: PathBuf) -> Result<Database, String> {
    let verb = if path.exists() { "Opening" } else { "Making" };
    println!("{verb} the database {}.", path.display());
    let began = Instant::now();
    let opened = spawn_blocking(move || Database::open(&path)).await;
    let database = opened.expect("opening does not panic")?;
    println!("That took {}.", Time(began.elapsed()));
    Ok(database)
}

fn invite(address: SocketAddr) {
    println!(
        "
Now try it yourself. Twice, for a miss and a hit; then an update, and once more:

  curl -i http://{address}/users/1
  curl -i http://{address}/users/1 -X PUT -H 'content-type: application/json' -d '{{\"name\":\"Me\"}}'

What the policy says makes no difference makes none:

  curl -i 'http://{address}/sales?item=chair&from=newsletter'

Prices, then a failure, then prices again after two seconds:

  curl -i http://{address}/prices/chair
  curl -i http://{address}/admin/database/failing -X PUT
  curl -i http://{address}/admin/database/on -X PUT

What the cache counted:

  curl http://{address}/admin/cache

Ctrl-C stops it."
    );
}
