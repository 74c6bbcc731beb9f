//! Logs as lines of JSON, and the metrics of this process.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::{convert::Infallible, io, time::Duration};
use tokio::time;
use tracing_subscriber::EnvFilter;

/// In seconds: from a hit in memory to the deadline of a load. Buckets, unlike quantiles, can be added up over
/// a fleet.
const BUCKETS: [f64; 16] = [
    1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// From here on events are lines of JSON on standard error, each with the fields of the span that it
/// happened in.
pub(crate) fn log(filter: EnvFilter) {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
}

/// From here on metrics are recorded, for `operations` to show.
pub(crate) fn record() -> Result<PrometheusHandle, String> {
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS);
    builder
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| format!("metrics cannot be recorded: {error}"))
}

/// Sums up samples, which would pile up while nobody scrapes them.
pub(crate) async fn keep_up(recorder: PrometheusHandle) -> Infallible {
    loop {
        time::sleep(Duration::from_secs(5)).await;
        recorder.run_upkeep();
    }
}
