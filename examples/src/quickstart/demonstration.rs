//! What the cache does, shown by requests over TCP. Each line is checked by statuses, bodies,
//! Cache-Status and the number of queries, never by times.

use super::{
    database::Database,
    stage::{Stage, until},
    table::{Counts, TimesAsFast},
};
use crate::client::Answer;
use cache_axum::Stats;
use hyper::{Method, StatusCode};
use serde_json::json;
use std::{net::SocketAddr, time::Duration};
use tokio::{join, time::sleep};

/// So many clients ask at once.
const CROWD: usize = 500;

/// A little more than the lifetime of sales and prices.
const UNTIL_STALE: Duration = Duration::from_millis(2100);

/// Runs all of it. `counted` is what the cache counted so far.
///
/// # Errors
///
/// Says what did not hold, or why that cannot be told.
pub async fn run(
    address: SocketAddr,
    database: Database,
    counted: impl Fn() -> Stats,
) -> Result<(), String> {
    let mut stage = Stage::new(address, database, &counted);
    a_hit_asks_no_database(&mut stage).await?;
    a_crowd_asks_once(&mut stage).await?;
    stale_is_served_while_one_request_refreshes_it(&mut stage).await?;
    an_update_is_visible_at_once(&mut stage).await?;
    a_failing_database_is_covered(&mut stage).await?;
    every_request_is_counted(&mut stage);
    stage.lines.verdict()
}

async fn a_hit_asks_no_database(stage: &mut Stage<'_>) -> Result<(), String> {
    println!("\n1. Nothing is stored yet: the database is asked.");
    let miss = stage.get("/users/42").await?;
    stage.show(
        &miss,
        &[
            ("status 200", miss.all(Answer::is_ok)),
            ("one query", miss.queries == 1),
            ("Cache-Status `stored`", miss.all(|it| it.says("stored"))),
        ],
    );

    println!("\n2. From then on memory answers. The time is the median.");
    let hits = stage.get_in_turn(100, "/users/42").await?;
    let is_same = hits.all(|it| it.body == miss.body());
    stage.show(
        &hits,
        &[
            ("no query", hits.queries == 0),
            ("the body of the miss", is_same),
            ("Cache-Status `hit`", hits.all(|it| it.says("hit"))),
        ],
    );
    println!("{}", TimesAsFast(miss.time, hits.time));
    Ok(())
}

async fn a_crowd_asks_once(stage: &mut Stage<'_>) -> Result<(), String> {
    println!(
        "\n3. {CROWD} clients at once want what nobody asked for before: one query for all. It is"
    );
    println!("   held up until the last of them has come.");
    may_connect(CROWD)?;
    let counted = stage.counted;
    let misses = counted().misses;
    let held_up = stage.database.hold_up().await;
    let release = async {
        // Less than requests wait for each other.
        let longest = Duration::from_secs(5);
        until(counted, longest, |stats| {
            stats.misses >= misses + CROWD as u64
        })
        .await;
        drop(held_up);
    };
    let (crowd, ()) = join!(stage.get_at_once(CROWD, "/users/7"), release);
    let crowd = crowd?;
    let is_same = crowd.all(|it| it.body == crowd.body());
    let is_stored_once = crowd.count(|it| it.says("stored")) == 1;
    stage.show(
        &crowd,
        &[
            ("status 200 for all", crowd.all(Answer::is_ok)),
            ("one query", crowd.queries == 1),
            ("one body for all", is_same),
            ("Cache-Status `stored` once", is_stored_once),
        ],
    );
    Ok(())
}

async fn stale_is_served_while_one_request_refreshes_it(
    stage: &mut Stage<'_>,
) -> Result<(), String> {
    const SALES: &str = "/sales?item=lamp";
    println!(
        "\n4. After two seconds, sales are out of date: they are still given, at once, while one"
    );
    println!("   request in the background fetches them anew. The database is held up meanwhile.");
    let old = stage.get(SALES).await?;
    stage.show(&old, &[("status 200", old.all(Answer::is_ok))]);
    let order = json!({ "item": "lamp", "cents": 4900 });
    let order = stage.send(&Method::POST, "/users/7/orders", order).await?;
    let is_added = order.all(|it| it.status == StatusCode::CREATED);
    stage.show(&order, &[("status 201", is_added)]);
    sleep(UNTIL_STALE).await;

    let (stored, queries) = (stage.stats().stored, stage.database.queries());
    let held_up = stage.database.hold_up().await;
    let mut stale = stage.get_at_once(20, SALES).await?;
    drop(held_up);
    let longest = Duration::from_secs(30);
    until(stage.counted, longest, |stats| stats.stored > stored).await;
    stale.queries = stage.database.queries() - queries;
    let is_same = stale.all(|it| it.body == old.body());
    let is_stale = stale.all(|it| it.says("hit") && it.says("detail=swr"));
    stage.show(
        &stale,
        &[
            ("status 200 for all", stale.all(Answer::is_ok)),
            ("one query, in the background", stale.queries == 1),
            ("the old body for all", is_same),
            ("Cache-Status `hit` and `swr` for all", is_stale),
        ],
    );
    let new = stage.get(SALES).await?;
    let is_more = new.number("orders") > old.number("orders");
    stage.show(
        &new,
        &[
            ("more orders than before", is_more),
            ("Cache-Status `hit`", new.all(|it| it.says("hit"))),
        ],
    );
    Ok(())
}

async fn an_update_is_visible_at_once(stage: &mut Stage<'_>) -> Result<(), String> {
    println!("\n5. An update purges the group `user:42`: both of its responses are new at once.");
    let user = stage.get("/users/42").await?;
    let name = match user.text("name").as_deref() {
        Some("Ada Lovelace") => "Grace Hopper",
        _ => "Ada Lovelace",
    };
    stage.show(&user, &[("a hit", user.all(|it| it.says("hit")))]);
    let orders = stage.get("/users/42/orders").await?;
    let is_stored = orders.all(|it| it.says("stored"));
    stage.show(&orders, &[("Cache-Status `stored`", is_stored)]);

    let rename = json!({ "name": name });
    let rename = stage.send(&Method::PUT, "/users/42", rename).await?;
    let is_done = rename.all(|it| it.status == StatusCode::NO_CONTENT);
    stage.show(&rename, &[("status 204", is_done)]);
    for (path, field) in [("/users/42", "name"), ("/users/42/orders", "user")] {
        let new = stage.get(path).await?;
        let is_new = new.text(field).as_deref() == Some(name);
        stage.show(
            &new,
            &[("the new name", is_new), ("one query", new.queries == 1)],
        );
    }
    Ok(())
}

async fn a_failing_database_is_covered(stage: &mut Stage<'_>) -> Result<(), String> {
    println!(
        "\n6. The database fails: old prices stand in. What was never stored is an honest error."
    );
    let old = stage.get("/prices/lamp").await?;
    stage.show(&old, &[("status 200", old.all(Answer::is_ok))]);
    switch_database(stage, "failing").await?;
    sleep(UNTIL_STALE).await;
    let stale = stage.get("/prices/lamp").await?;
    let is_stale = stale.all(|it| it.says("hit") && it.says("detail=stale-if-error"));
    stage.show(
        &stale,
        &[
            ("status 200", stale.all(Answer::is_ok)),
            ("one query, in vain", stale.queries == 1),
            ("the old body", stale.body() == old.body()),
            ("Cache-Status `hit` and `stale-if-error`", is_stale),
        ],
    );
    let error = stage.get("/prices/desk").await?;
    let is_error = error.all(|it| it.status == StatusCode::INTERNAL_SERVER_ERROR);
    let is_stored = error.all(|it| it.says("hit") || it.says("stored"));
    stage.show(
        &error,
        &[
            ("status 500", is_error),
            ("neither `hit` nor `stored` in Cache-Status", !is_stored),
        ],
    );
    switch_database(stage, "on").await?;
    let good = stage.get("/prices/desk").await?;
    stage.show(&good, &[("status 200", good.all(Answer::is_ok))]);
    Ok(())
}

async fn switch_database(stage: &mut Stage<'_>, state: &str) -> Result<(), String> {
    let path = format!("/admin/database/{state}");
    let switched = stage.send(&Method::PUT, &path, "").await?;
    let is_done = switched.all(|it| it.status == StatusCode::NO_CONTENT);
    stage.show(&switched, &[("status 204", is_done)]);
    Ok(())
}

fn every_request_is_counted(stage: &mut Stage<'_>) {
    println!("\n7. What the cache counted, as `cache.stats()` tells.");
    let stats = stage.stats();
    print!("{}", Counts(stats));
    let sum = stats.hits + stats.stale + stats.misses + stats.bypasses;
    let line = format!("hits, stale, misses and bypasses make {sum}");
    let is_all = sum == stage.requests as u64;
    stage
        .lines
        .check(&line, &[("as many as requests were sent", is_all)]);
}

/// Each connection takes two open files of this process, which is both client and server.
fn may_connect(clients: usize) -> Result<(), String> {
    let needed = 2 * clients as u64 + 100;
    match rlimit::increase_nofile_limit(needed) {
        Ok(allowed) if allowed < needed => Err(format!(
            "{clients} clients take {needed} open files, and this process may have {allowed}; \
             accepted is a higher limit, as `ulimit -n {needed}` sets"
        )),
        // Where the limit cannot be told, the connections will.
        _ => Ok(()),
    }
}
