//! Two instances of one service, on two ports, that share a cache by way of Redis.
//!
//! `cargo run -p examples --bin shared_redis` starts a `redis-server` of its own, and shows a hit, a load
//! and an invalidation that both share, and what becomes of them when Redis is killed and comes back.
//! Then it goes on serving, for you to try.
//!
//! The part to copy is `service.rs`; what is around it shows that it works.

#![allow(
    clippy::disallowed_methods,
    reason = "an example reads its own environment and clock"
)]

mod client;
mod demonstration;
mod options;
mod server;
mod service;
mod stage;

use cache_axum::HttpCache;
use options::Options;
use server::Server;
use service::{Rates, Shop};
use stage::Instance;
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::Arc,
};
use tokio::{net::TcpListener, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Options::read() {
        Ok(Some(options)) => run(options).await,
        Ok(None) => {
            println!("{}", options::HELP);
            Ok(())
        }
        Err(problem) => Err(problem),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("shared_redis: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), String> {
    // Killed when this ends, however it does.
    let (mut server, url) = match options.redis {
        Some(url) => (None, url),
        None => {
            let server = Server::start().await?;
            println!("{server}");
            let url = server.url();
            (Some(server), url)
        }
    };
    let shop = Arc::new(Shop::new());
    let instances = [serve(&shop, &url).await?, serve(&shop, &url).await?];
    let [a, b] = &instances;
    println!(
        "Instance A serves on http://{}, instance B on http://{}.",
        a.address, b.address
    );
    let (at, host) = (a.address, shop.host().to_owned());
    demonstration::run(instances, shop, server.as_mut()).await?;
    println!("\nAll of it held.");
    if !options.once {
        println!(
            "\nNow try it yourself, on both ports: curl -i http://{at}/articles/1 -H 'host: {host}'\nCtrl-C stops it."
        );
        let waited = signal::ctrl_c().await;
        waited.map_err(|error| format!("cannot wait for Ctrl-C: {error}"))?;
        println!("\nStopping.");
    }
    Ok(())
}

/// One instance: caches and connections of its own. In truth this is another machine.
async fn serve(shop: &Arc<Shop>, url: &str) -> Result<Instance, String> {
    let failed = |error: std::io::Error| format!("cannot listen on a free port: {error}");
    let (app, cache, rates): (_, HttpCache, Rates) =
        service::routes(shop, url).map_err(|error| error.to_string())?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
    let listener = listener.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tokio::spawn(axum::serve(listener, app).into_future());
    Ok(Instance {
        address,
        cache,
        rates,
    })
}
