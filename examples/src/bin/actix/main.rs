//! The service of the quickstart on actix-web: the same database, the same policies, the same
//! demonstration. `cargo run -p examples --bin actix`.
//!
//! The part to copy is `service.rs`; what is around it shows that it works.

mod failure;
mod service;

use actix_web::{App, HttpResponse, HttpServer, dev::Server, rt, web};
use cache_actix::HttpCache;
use examples::{
    program,
    quickstart::{Counts, Database, Options, demonstration, help},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
};
use tokio::task::spawn_blocking;

#[actix_web::main]
async fn main() -> ExitCode {
    program::main("actix", &help("actix"), Options::read(), run).await
}

async fn run(options: Options) -> Result<(), String> {
    let path = options.database;
    println!("The database is {}.", path.display());
    let opened = spawn_blocking(move || Database::open(&path)).await;
    let database = opened.expect("opening does not panic")?;

    // Before the server and its workers, which share it.
    let cache = HttpCache::new();
    let (address, server) = serve(options.port, database.clone(), cache.clone())?;
    let handle = server.handle();
    let server = rt::spawn(server);
    println!("Serving on http://{address}, by two workers.");

    demonstration::run(address, database, || cache.stats()).await?;
    if !options.once {
        println!(
            "\nNow try it yourself, twice: curl -i http://{address}/users/1\nCtrl-C stops it."
        );
        program::until_ctrl_c().await?;
    }
    handle.stop(true).await;
    let stopped = server.await.expect("the server does not panic");
    stopped.map_err(|error| error.to_string())
}

fn serve(port: u16, database: Database, cache: HttpCache) -> Result<(SocketAddr, Server), String> {
    let app = move || {
        let (database, cache) = (database.clone(), cache.clone());
        App::new()
            .configure(|service| service::routes(service, database.clone(), &cache))
            .configure(|service| admin(service, database, cache.clone()))
    };
    let server = HttpServer::new(app)
        .workers(2)
        .disable_signals()
        .shutdown_timeout(5)
        .bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|error| {
            format!(
                "cannot listen on port {port}: {error}; choose another by --port N or the \
                 environment variable PORT (0 takes any free one)"
            )
        })?;
    let address = server.addrs().first().copied();
    let address = address.expect("a server that is bound has an address");
    Ok((address, server.run()))
}

/// Beside the service: a switch that makes its database fail, and the counts of its cache.
fn admin(service: &mut web::ServiceConfig, database: Database, cache: HttpCache) {
    let switch = move |state: web::Path<String>| {
        let is_known = ["on", "failing"].contains(&state.as_str());
        if is_known {
            database.set_failing(*state == "failing");
        }
        async move {
            match is_known {
                true => HttpResponse::NoContent().finish(),
                false => HttpResponse::NotFound().finish(),
            }
        }
    };
    let counts = move || std::future::ready(Counts(cache.stats()).to_string());
    service
        .route("/admin/database/{state}", web::put().to(switch))
        .route("/admin/cache", web::get().to(counts));
}
