//! A service as it runs in production: set by its environment, counted, telling what is wrong, and ending
//! without cutting anybody off.
//!
//! `CACHE_URL=redis://cache.internal cargo run -p examples --bin production` serves; `--print-config` prints
//! what the environment makes of it, `--once` shows and checks all of it on a free port. Beside it, for those
//! who have Docker, `examples/production` has a fleet of two with Redis, Prometheus and Grafana.
//!
//! The parts to copy are `service.rs`, `operations.rs` and `lifecycle.rs`.

#![allow(
    clippy::disallowed_methods,
    reason = "an example reads its own environment and clock"
)]

mod demonstration;
mod lifecycle;
mod operations;
mod scrape;
mod service;
mod settings;
mod shop;
mod stage;
mod telemetry;

use cache_axum::Config;
use lifecycle::Ended;
use metrics_exporter_prometheus::PrometheusHandle;
use service::Caches;
use settings::{Settings, Verb};
use shop::Shop;
use std::{process::ExitCode, sync::Arc};
use tokio::net::TcpListener;
use tracing::{info, warn};

/// Why it ends early.
enum Problem {
    /// What it was told is wrong, all of it.
    Settings(String),
    Running(String),
}

fn main() -> ExitCode {
    let (problem, code) = match start() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Problem::Settings(problem)) => (problem, ExitCode::from(2)),
        Err(Problem::Running(problem)) => (problem, ExitCode::FAILURE),
    };
    eprintln!("production: {problem}");
    code
}

/// Changes the environment while this is the only thread.
fn start() -> Result<(), Problem> {
    settings::read_file().map_err(Problem::Settings)?;
    let Some(settings) = Settings::read().map_err(Problem::Settings)? else {
        println!("{}", settings::HELP);
        return Ok(());
    };
    let runtime = tokio::runtime::Runtime::new();
    let runtime = runtime.map_err(|error| Problem::Running(error.to_string()))?;
    let outcome = runtime.block_on(run(settings));
    // What was cut off is not waited for again.
    runtime.shutdown_background();
    outcome
}

async fn run(settings: Settings) -> Result<(), Problem> {
    let shop = Arc::new(Shop::default());
    let (app, caches) = service::routes(&shop, &settings.config)
        .map_err(|error| Problem::Settings(error.to_string()))?;
    // From here on it is known which classes policies name.
    if settings.verb == Verb::PrintConfig {
        print!("{}", settings.config);
        return Ok(());
    }
    telemetry::log(settings.filter);
    for warning in settings.config.warnings() {
        warn!(code = warning.code(), "{warning}");
    }
    let recorder = telemetry::record().map_err(Problem::Running)?;
    let app = app.merge(operations::routes(&caches, &recorder));
    let outcome = match settings.verb {
        Verb::Once => demonstration::run(app, caches, shop, recorder)
            .await
            .map_err(|why| relying(&settings.config, why)),
        _ => serve(settings.listen, app, &caches, &recorder).await,
    };
    outcome.map_err(Problem::Running)
}

/// What did not hold, and what may be why: the demonstration shows a cache as it is by default.
fn relying(config: &Config, why: String) -> String {
    let set = config.rows().into_iter().filter(|row| row.is_set);
    let set: Vec<String> = set
        .map(|row| format!("{}={}", row.name, row.value))
        .collect();
    match set.is_empty() {
        true => why,
        false => format!(
            "{why}\nWhat is shown relies on the defaults, and these are set: {}",
            set.join(", ")
        ),
    }
}

async fn serve(
    listen: std::net::SocketAddr,
    app: axum::Router,
    caches: &Caches,
    recorder: &PrometheusHandle,
) -> Result<(), String> {
    let stop = lifecycle::signals()?;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        format!("cannot listen on {listen}: {error}; choose another address by --listen or LISTEN")
    })?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tokio::spawn(telemetry::keep_up(recorder.clone()));
    info!(%address, "serving");
    let ended = lifecycle::serve(listener, app, stop, lifecycle::PATIENCE).await?;
    if ended == Ended::CutOff {
        warn!("some requests took too long, and are cut off");
    }
    lifecycle::flush(caches).await;
    Ok(())
}
