//! All of it, shown by requests over TCP. Each line is checked by statuses, bodies, Cache-Status, the number
//! of calls and what `/metrics` counted, never by times.

use crate::{
    lifecycle::{self, Ended, PATIENCE},
    operations,
    scrape::Scrape,
    service::{self, CARTS, Caches, RESPONSES},
    shop::Shop,
    stage::Stage,
};
use axum::{
    Router,
    http::{Method, StatusCode},
};
use cache_axum::{Config, remote::RemoteStats};
use examples::port;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpStream, sync::oneshot, task::JoinHandle, time::sleep};

/// What nobody is to be told.
const SECRET: &str = "hunter2";

/// The names that dashboards and alerts rely on.
const PRESCRIBED: [&str; 6] = [
    "cache_hits_total",
    "cache_misses_total",
    "cache_evictions_total",
    "cache_size_bytes",
    "cache_latency_seconds",
    "cache_errors_total",
];

/// Runs all of it.
///
/// # Errors
///
/// Says what did not hold, or why that cannot be told.
pub(crate) async fn run(
    app: Router,
    caches: Caches,
    shop: Arc<Shop>,
    recorder: PrometheusHandle,
) -> Result<(), String> {
    let instance = Instance::start(app).await?;
    println!("Serving on http://{}.", instance.address);
    // Of this run alone: what an earlier one left in a Redis is not for it.
    let run = SystemTime::now().duration_since(UNIX_EPOCH);
    let run = run.map_or(1, |time| time.as_millis());
    let mut stage = Stage::new(instance.address, &format!("shop-{run}.example"), shop);

    it_says_how_it_is(&mut stage, &caches).await?;
    a_hit_asks_nobody(&mut stage, run).await?;
    an_update_is_visible_at_once(&mut stage, run).await?;
    values_are_kept_as_well(&mut stage, run).await?;
    everything_is_counted(&mut stage, &caches).await?;
    without_redis_it_is_degraded(&mut stage, &recorder).await?;
    nobody_is_cut_off(&mut stage, instance, &caches, run).await?;
    stage.lines.verdict()
}

/// A service on a free port, until it is told to stop.
struct Instance {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<Ended, String>>,
}

impl Instance {
    async fn start(app: Router) -> Result<Self, String> {
        let (listener, address) = port::listen_anywhere().await?;
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _ = stopped.await;
        };
        let ended = tokio::spawn(lifecycle::serve(listener, app, stopped, PATIENCE));
        Ok(Self {
            address,
            stop,
            ended,
        })
    }
}

async fn it_says_how_it_is(stage: &mut Stage, caches: &Caches) -> Result<(), String> {
    println!("\n1. It lives, and it is ready, with Redis or, for a while, without.");
    let alive = stage.get("/healthz").await?;
    stage.show(
        &alive,
        &[("status 200, `alive`", alive.answer.is("alive\n"))],
    );
    if !caches.remote_stats().is_empty() {
        until_connected(caches).await;
    }
    let ready = stage.get("/readyz").await?;
    let said = readiness(&ready.answer.body);
    let is_known = said.status == "ok" || (said.status == "degraded" && !said.missing.is_empty());
    let is_well =
        |it: &RemoteStats| it.health.is_up() && it.health.degraded.is_empty() && it.is_coherent;
    let is_degraded = !caches.remote_stats().iter().all(is_well);
    stage.show(
        &ready,
        &[
            ("status 200", ready.answer.status == StatusCode::OK),
            ("`ok`, or `degraded` and what is missing", is_known),
            ("`ok` where all is well", is_degraded || said.status == "ok"),
            (
                "no field Cache-Status",
                ready.answer.cache_status.is_empty(),
            ),
        ],
    );
    println!("          {}", ready.answer.body);
    Ok(())
}

async fn until_connected(caches: &Caches) {
    for _ in 0..300 {
        let tiers = caches.remote_stats();
        if tiers.iter().all(|it| it.health.is_up() && it.is_coherent) {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

async fn a_hit_asks_nobody(stage: &mut Stage, run: u128) -> Result<(), String> {
    println!("\n2. What was stored is given without asking the service.");
    for (path, body) in [
        (format!("/users/{run}"), format!("user {run}")),
        ("/features".to_owned(), "search, wishlist".to_owned()),
        ("/reports/1".to_owned(), "report 1".to_owned()),
    ] {
        let miss = stage.get(&path).await?;
        stage.show(&miss, &[("a miss, by one call", miss.is_miss_of(&body))]);
        let hit = stage.get(&path).await?;
        stage.show(&hit, &[("a hit, by no call", hit.is_hit_of(&body))]);
    }
    Ok(())
}

async fn an_update_is_visible_at_once(stage: &mut Stage, run: u128) -> Result<(), String> {
    println!("\n3. An update purges its group: what was stored under two URLs is new at once.");
    let (user, orders) = (format!("/users/{run}"), format!("/users/{run}/orders"));
    let old = stage.get(&orders).await?;
    let body = format!("orders of user {run}");
    stage.show(&old, &[("a miss, by one call", old.is_miss_of(&body))]);
    let rename = stage.send(&Method::PUT, &user, "Grace Hopper").await?;
    let is_done = rename.answer.status == StatusCode::NO_CONTENT;
    stage.show(&rename, &[("status 204", is_done)]);
    for (path, body) in [(&user, "Grace Hopper"), (&orders, "orders of Grace Hopper")] {
        let new = stage.get(path).await?;
        stage.show(&new, &[("the new name, by one call", new.is_miss_of(body))]);
        let hit = stage.get(path).await?;
        stage.show(&hit, &[("a hit, by no call", hit.is_hit_of(body))]);
    }
    Ok(())
}

async fn values_are_kept_as_well(stage: &mut Stage, run: u128) -> Result<(), String> {
    println!("\n4. Behind a handler, a cache of values, set by the same environment.");
    let path = format!("/users/{run}/cart");
    let cart = |items: &[&str]| json!({ "items": items }).to_string();
    let cold = stage.get(&path).await?;
    let is_loaded = cold.answer.is(&cart(&[])) && cold.calls == 1;
    stage.show(&cold, &[("an empty cart, by one call", is_loaded)]);
    let warm = stage.get(&path).await?;
    let is_hit = warm.answer.is(&cart(&[])) && warm.calls == 0;
    stage.show(&warm, &[("the same, by no call", is_hit)]);
    let added = stage.send(&Method::POST, &path, "lamp").await?;
    let is_added = added.answer.status == StatusCode::CREATED;
    stage.show(&added, &[("status 201", is_added)]);
    let new = stage.get(&path).await?;
    let is_new = new.answer.is(&cart(&["lamp"])) && new.calls == 1;
    stage.show(&new, &[("a cart with a lamp, by one call", is_new)]);

    println!(
        "   One that is too heavy is given and not kept; where the database fails, so does this."
    );
    let heavy = "x".repeat(32 * 1024);
    let added = stage.send(&Method::POST, &path, &heavy).await?;
    let is_added = added.answer.status == StatusCode::CREATED;
    stage.show(&added, &[("status 201", is_added)]);
    let given = stage.get(&path).await?;
    let is_given = given.answer.is(&cart(&["lamp", &heavy])) && given.calls == 1;
    stage.show(&given, &[("the heavy cart, by one call", is_given)]);
    stage.shop.set_failing(true);
    let failed = stage.get(&format!("/users/{}/cart", run + 1)).await?;
    stage.shop.set_failing(false);
    let is_failure = failed.answer.status == StatusCode::SERVICE_UNAVAILABLE;
    stage.show(
        &failed,
        &[("status 503, by one call", is_failure && failed.calls == 1)],
    );
    Ok(())
}

async fn everything_is_counted(stage: &mut Stage, caches: &Caches) -> Result<(), String> {
    println!("\n5. Prometheus reads what came of each request.");
    let metrics = stage.get("/metrics").await?;
    stage.show(
        &metrics,
        &[("status 200", metrics.answer.status == StatusCode::OK)],
    );
    let scrape = Scrape::read(&metrics.answer.body)?;
    let keeps_in_memory = caches.keep_in_memory();
    let missing: Vec<_> = PRESCRIBED
        .into_iter()
        .filter(|name| !scrape.has(name))
        // Where memory keeps nothing, it evicts nothing.
        .filter(|name| keeps_in_memory || *name != "cache_evictions_total")
        .collect();
    let line = format!("missing of the names that others rely on: {missing:?}");
    stage.check(&line, &[("none", missing.is_empty())]);

    let sent = stage.sent;
    for (cache, requests) in [(RESPONSES, sent.to_layers), (CARTS, sent.for_carts)] {
        let sum = |name: &str| scrape.sum(name, cache);
        let (hits, misses) = (sum("cache_hits_total"), sum("cache_misses_total"));
        let (stale, bypass) = (sum("cache_stale_total"), sum("cache_bypass_total"));
        let line =
            format!("{cache}: {hits} hits + {stale} stale + {misses} misses + {bypass} bypass");
        let expected = format!("{requests} in all, as many as were sent");
        let is_all = hits + stale + misses + bypass == f64::from(requests);
        stage.check(&line, &[(expected.as_str(), is_all)]);
    }
    let (hits, sent_hits) = (
        scrape.sum("cache_hits_total", RESPONSES),
        f64::from(sent.hits),
    );
    let samples = scrape.sum("cache_latency_seconds_count", RESPONSES);
    let (evicted, failed) = (
        scrape.sum("cache_evictions_total", CARTS),
        scrape.sum("cache_errors_total", CARTS),
    );
    stage.check(
        &format!("{hits} hits and {samples} latencies of {RESPONSES}; {evicted} evictions, {failed} errors of {CARTS}"),
        &[
            ("as many hits as Cache-Status told of", hits == sent_hits),
            ("a latency of each request", samples == f64::from(sent.to_layers)),
            ("the cart that was too heavy", evicted >= 1.0 || !keeps_in_memory),
            ("the load that failed", failed >= 1.0),
        ],
    );
    Ok(())
}

async fn without_redis_it_is_degraded(
    stage: &mut Stage,
    recorder: &PrometheusHandle,
) -> Result<(), String> {
    println!(
        "\n6. Another instance, whose CACHE_URL names nothing that listens: degraded, not down."
    );
    println!("   What it logs of that are lines of JSON.");
    let url = format!("redis://cache:{SECRET}@127.0.0.1:{}", port::free()?);
    let config = Config::from_vars([("CACHE_URL", url)]).map_err(|error| error.to_string())?;
    let shop = Arc::new(Shop::default());
    let built = service::routes(&shop, &config).map_err(|error| error.to_string())?;
    let (app, caches) = built;
    let app = app.merge(operations::routes(&caches, recorder));
    let instance = Instance::start(app).await?;
    let mut alone = Stage::new(instance.address, "alone.example", shop);

    let miss = alone.get("/users/1").await?;
    alone.show(&miss, &[("a miss, by one call", miss.is_miss_of("user 1"))]);
    let hit = alone.get("/users/1").await?;
    alone.show(&hit, &[("a hit, by no call", hit.is_hit_of("user 1"))]);
    let ready = alone.get("/readyz").await?;
    let said = readiness(&ready.answer.body);
    let is_hidden = !ready.answer.body.contains(SECRET);
    alone.show(
        &ready,
        &[
            ("status 200", ready.answer.status == StatusCode::OK),
            ("`degraded`", said.status == "degraded"),
            ("words about Redis", said.missing.contains("Redis")),
            ("no password", is_hidden),
        ],
    );
    println!("          {}", ready.answer.body);
    let table = config.to_string();
    let is_hidden = table.contains("redis://127.0.0.1") && !table.contains(SECRET);
    alone.check(
        "its settings, printed",
        &[("the host, without its password", is_hidden)],
    );
    stop(&mut alone, instance).await;
    stage.lines.add(&alone.lines);
    Ok(())
}

async fn nobody_is_cut_off(
    stage: &mut Stage,
    instance: Instance,
    caches: &Caches,
    run: u128,
) -> Result<(), String> {
    println!("\n7. It is told to stop while a report is still being written.");
    let path = format!("/reports/{run}");
    let (client, calls) = (stage.client.clone(), stage.shop.calls());
    let held_up = stage.shop.hold_up_reports().await;
    let slow = {
        let path = path.clone();
        tokio::spawn(async move { client.get(&path).await })
    };
    until(async || stage.shop.calls() > calls).await?;

    let Instance {
        address,
        stop,
        ended,
    } = instance;
    let _ = stop.send(());
    let is_closed = until(async || TcpStream::connect(address).await.is_err()).await;
    stage.check("a new connection", &[("refused", is_closed.is_ok())]);
    stage.check("the report", &[("still under way", !slow.is_finished())]);
    drop(held_up);
    let report = slow.await.expect("the client does not panic");
    let is_whole = report.is_ok_and(|it| it.is(&format!("report {run}")));
    stage.check(&format!("GET {path}"), &[("the whole report", is_whole)]);
    let ended = ended.await.expect("serving does not panic")?;
    stage.check(
        "the service",
        &[("ended, and cut nobody off", ended == Ended::Finished)],
    );
    lifecycle::flush(caches).await;
    Ok(())
}

async fn stop(stage: &mut Stage, instance: Instance) {
    let _ = instance.stop.send(());
    let ended = instance.ended.await.expect("serving does not panic");
    stage.check("the service", &[("ended", ended == Ok(Ended::Finished))]);
}

async fn until(holds: impl AsyncFn() -> bool) -> Result<(), String> {
    for _ in 0..1000 {
        if holds().await {
            return Ok(());
        }
        sleep(Duration::from_millis(5)).await;
    }
    Err("what was waited for did not come about in five seconds".to_owned())
}

/// What `/readyz` said.
struct Said {
    status: String,
    missing: String,
}

fn readiness(body: &str) -> Said {
    let said: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let missing = said.get("missing").and_then(Value::as_array);
    let missing = missing.into_iter().flatten().map(text);
    Said {
        status: said.get("status").map(text).unwrap_or_default(),
        missing: missing.collect::<Vec<_>>().join("; "),
    }
}
