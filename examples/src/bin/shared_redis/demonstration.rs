//! What two instances share, shown by requests over TCP. Each line is checked by statuses, bodies,
//! Cache-Status and the number of calls, never by times.

use crate::{
    server::Server,
    service::Shop,
    stage::{At, Instance, Stage},
};
use axum::http::Method;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// So many clients ask at once.
const CROWD: usize = 100;

/// Runs all of it. A server that is not its own it does not kill.
///
/// # Errors
///
/// Says what did not hold, or why that cannot be told.
pub(crate) async fn run(
    instances: [Instance; 2],
    shop: Arc<Shop>,
    server: Option<&mut Server>,
) -> Result<(), String> {
    let mut stage = Stage::new(instances, shop);
    println!("\n1. Nothing waits for Redis; soon both are connected.");
    stage.until_shared().await?;
    what_one_stored_is_a_hit_of_the_other(&mut stage).await?;
    one_load_is_for_both(&mut stage).await?;
    what_one_changed_the_other_does_not_give(&mut stage).await?;
    match server {
        Some(server) => redis_goes_and_comes_back(&mut stage, server).await?,
        None => println!("\nYour Redis is not killed; without --redis, one of its own is."),
    }
    stage.lines.verdict()
}

async fn what_one_stored_is_a_hit_of_the_other(stage: &mut Stage) -> Result<(), String> {
    println!("\n2. What A stored is a hit of B, which was never asked before.");
    let miss = stage.get(At::A, "/articles/1").await?;
    stage.show(
        &miss,
        &[
            ("status 200, `article 1`", miss.are("article 1")),
            ("one call", miss.calls == 1),
            ("Cache-Status `stored`", miss.all(|it| it.says("stored"))),
        ],
    );
    let hit = stage.get(At::B, "/articles/1").await?;
    stage.show(
        &hit,
        &[
            ("status 200, `article 1`", hit.are("article 1")),
            ("no call", hit.calls == 0),
            ("Cache-Status `hit`", hit.all(|it| it.says("hit"))),
        ],
    );
    Ok(())
}

async fn one_load_is_for_both(stage: &mut Stage) -> Result<(), String> {
    println!("\n3. {CROWD} clients at once, at both, want what is not stored: one call for all.");
    let crowd = stage.crowd(CROWD, "/articles/2").await?;
    stage.show(
        &crowd,
        &[
            ("status 200, `article 2`", crowd.are("article 2")),
            ("one call", crowd.calls == 1),
        ],
    );
    println!("   So it is for values, which the handlers take from a typed cache.");
    let crowd = stage.crowd(CROWD, "/rates/eur").await?;
    stage.show(
        &crowd,
        &[
            ("status 200, `1087`", crowd.are("1087")),
            ("one call", crowd.calls == 1),
        ],
    );
    Ok(())
}

async fn what_one_changed_the_other_does_not_give(stage: &mut Stage) -> Result<(), String> {
    println!("\n4. An update at A invalidates what B has in memory.");
    let (path, began) = ("/articles/1", Instant::now());
    let update = stage.send(At::A, &Method::PUT, path, "changed").await?;
    let is_done = update.all(|answer| answer.status.as_u16() == 204);
    stage.show(&update, &[("status 204", is_done)]);
    let mut seen = stage.get(At::B, path).await?;
    // B is told within milliseconds, but not before A's client is answered.
    while !seen.are("changed") && began.elapsed() < Duration::from_secs(5) {
        sleep(Duration::from_millis(1)).await;
        seen = stage.get(At::B, path).await?;
    }
    let new = (
        "the new text, by one call",
        seen.are("changed") && seen.calls == 1,
    );
    stage.show(&seen, &[new]);
    let hit = stage.get(At::A, path).await?;
    let shared = (
        "the new text, by no call",
        hit.are("changed") && hit.calls == 0,
    );
    stage.show(&hit, &[shared]);
    Ok(())
}

async fn redis_goes_and_comes_back(stage: &mut Stage, server: &mut Server) -> Result<(), String> {
    println!("\n5. Redis is killed. Nothing fails: memory answers, and each loads for itself.");
    server.kill().await?;
    for at in [At::A, At::B] {
        let known = stage.get(at, "/articles/1").await?;
        stage.show(&known, &[("status 200, `changed`", known.are("changed"))]);
    }
    let crowd = stage.crowd(CROWD, "/articles/3").await?;
    stage.show(
        &crowd,
        &[
            ("status 200, `article 3`", crowd.are("article 3")),
            ("a call of each instance", crowd.calls == 2),
        ],
    );
    let rate = stage.get(At::A, "/rates/usd").await?;
    let loaded = (
        "status 200, by one call",
        rate.are("1087") && rate.calls == 1,
    );
    stage.show(&rate, &[loaded]);

    println!("\n6. Redis is back, empty, and used again.");
    server.restart().await?;
    stage.until_shared().await?;
    let miss = stage.get(At::B, "/articles/4").await?;
    let loaded = (
        "`article 4`, by one call",
        miss.are("article 4") && miss.calls == 1,
    );
    stage.show(&miss, &[loaded]);
    let hit = stage.get(At::A, "/articles/4").await?;
    let shared = (
        "`article 4`, by no call",
        hit.are("article 4") && hit.calls == 0,
    );
    stage.show(&hit, &[shared]);
    Ok(())
}
