//! A reverse proxy: one origin behind, a cache before it, and HTTP/1.1 on both sides.
//!
//! `ORIGIN=http://127.0.0.1:8000 PORT=8080 cargo run --release -p examples --bin reverse_proxy`
//!
//! It is a gateway (RFC 9110 §3.7) and leaves alone what it can: methods, paths, statuses and fields
//! pass as they are, bodies as they come, and nothing is sent twice. The cache layer goes by RFC 9111 to
//! the letter. A request takes this way, and its response the same way back:
//!
//! | File | What |
//! |---|---|
//! | `listener.rs` | a connection of a client |
//! | `interim.rs` | 1xx responses, written between hyper's final ones |
//! | `actix/` | in place of both, with `--actix-web`: its server, its messages, and the way between them |
//! | `gateway.rs` | what is answered at once, what an unknown failure becomes |
//! | `hop.rs` | fields that are between neighbours only |
//! | (the cache) | what is stored; all above sees a hit, all below does not |
//! | `origin.rs` | the request to the origin, and its response as it may be stored |
//! | `upload.rs`, `failure.rs` | the request's body on its way; why there is no response |
//!
//! # Choices
//!
//! * **Via** is sent to the origin, as a gateway must, and not to clients, as it need not (RFC 9110
//!   §7.6.3): Cache-Status tells them who answered, and what is not added cannot differ between a
//!   response of the origin and the same one out of the store.
//! * **Host** goes to the origin as it came; the key is made of it.
//! * **Upgrade** goes no further, so the origin answers in HTTP. There are no tunnels: CONNECT is a 501.
//! * **TE** goes no further either: trailers of the origin pass, but are not asked for.
//! * **Date** is added on arrival where the origin sent none (RFC 9110 §6.6.1).

#![allow(
    clippy::disallowed_methods,
    reason = "an example reads its own environment and clock, and spawns"
)]

mod actix;
mod demonstration;
mod failure;
mod gateway;
mod hop;
mod interim;
mod listener;
mod options;
mod origin;
mod upload;

#[cfg(test)]
mod tests;

use cache_actix::Actix;
use cache_tower::{
    HttpCache, Policy,
    adapter::{self, Direct, Framework},
};
use examples::{port, program};
use gateway::Gateway;
use hyper::{header::HeaderName, http::uri::Authority};
use options::{Mode, Options, Server};
use origin::Origin;
use std::{io, process::ExitCode};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// Bytes that the cache may hold, and the largest body that it keeps.
const CAPACITY: u64 = 256 * 1024 * 1024;
const MAX_BODY: u64 = 16 * 1024 * 1024;

/// Each client takes one, and each request to the origin another.
const OPEN_FILES: u64 = 16 * 1024;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    program::main("reverse_proxy", options::HELP, Options::read(), run).await
}

async fn run(options: Options) -> Result<(), String> {
    // With fewer it serves fewer clients.
    let _ = rlimit::increase_nofile_limit(OPEN_FILES);
    let listener = port::listen(options.port)?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    println!("listening on http://{address}");
    let (server, targeted) = (options.server, options.targeted);
    match options.mode {
        Mode::Before(origin) => serve(server, listener, origin, targeted).await,
        Mode::Once => {
            let (origin, work) = demonstration::origin().await?;
            tokio::spawn(work);
            tokio::spawn(serve(server, listener, origin, targeted));
            demonstration::run(address, server).await
        }
    }
}

/// Serves all who come, for ever.
async fn serve(
    server: Server,
    listener: TcpListener,
    origin: Authority,
    targeted: Vec<HeaderName>,
) -> Result<(), String> {
    match server {
        Server::Hyper => {
            listener::serve(listener, before(origin, &cache::<Direct>(targeted)?)).await;
            Ok(())
        }
        Server::ActixWeb => {
            let cache = cache::<Actix>(targeted)?;
            actix::serve(listener, Origin::new(origin), cache).await
        }
    }
}

fn before(origin: Authority, cache: &HttpCache) -> Gateway {
    Gateway::new(&cache.policy(policy()), Origin::new(origin))
}

/// By RFC 9111 alone.
fn policy() -> Policy {
    Policy::standard()
}

/// The cache, for whichever framework.
fn cache<F: Framework>(targeted: Vec<HeaderName>) -> Result<F::Cache, String> {
    let cache = adapter::HttpCache::<F>::builder()
        .capacity(CAPACITY)
        .max_body(MAX_BODY)
        .targeted_fields(targeted);
    cache.build().map_err(|error| error.to_string())
}
