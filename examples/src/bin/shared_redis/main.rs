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

mod demonstration;
mod options;
mod server;
mod service;
mod stage;

use cache_axum::HttpCache;
use examples::{port, program};
use options::Options;
use server::Server;
use service::{Rates, Shop};
use stage::Instance;
use std::{process::ExitCode, sync::Arc};

#[tokio::main]
async fn main() -> ExitCode {
    program::main("shared_redis", options::HELP, Options::read(), run).await
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
    if !options.once {
        println!(
            "\nNow try it yourself, on both ports: curl -i http://{at}/articles/1 -H 'host: {host}'\nCtrl-C stops it."
        );
        program::until_ctrl_c().await?;
    }
    Ok(())
}

/// One instance: caches and connections of its own. In truth this is another machine.
async fn serve(shop: &Arc<Shop>, url: &str) -> Result<Instance, String> {
    let (app, cache, rates): (_, HttpCache, Rates) =
        service::routes(shop, url).map_err(|error| error.to_string())?;
    let (listener, address) = port::listen_anywhere().await?;
    tokio::spawn(axum::serve(listener, app).into_future());
    Ok(Instance {
        address,
        cache,
        rates,
    })
}
