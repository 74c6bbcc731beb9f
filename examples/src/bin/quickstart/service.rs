//! The service, as it would be without a cache, and what the cache adds: four policies, a layer on
//! each route, and [`Purge`] in the handlers that change something.

use crate::failure::Failure;
use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use cache_axum::{HttpCache, Policy, Purge, hours, minutes, seconds};
use examples::quickstart::{
    Database,
    shop::{self, Latest, OfItem, Order, Prices, Rename, Sales, User},
};

pub(crate) fn routes(database: Database, cache: &HttpCache) -> Router {
    // For an hour, or until somebody purges the user's group.
    let user = Policy::ttl(hours(1)).group("user:{id}");
    let orders = Policy::ttl(minutes(5)).group("user:{id}");
    // What is older than two seconds is still given while one request fetches it anew.
    let sales = Policy::ttl(seconds(2))
        .stale_while_revalidate(minutes(1))
        .vary_by_query(["item"]);
    // What is older than two seconds is given only where the database fails.
    let prices = Policy::ttl(seconds(2)).stale_if_error(hours(1));

    let user = get(show_user).put(rename_user).layer(cache.policy(user));
    let orders = get(list_orders).post(add_order).layer(cache.policy(orders));
    let sales = get(show_sales).layer(cache.policy(sales));
    let prices = get(show_prices).layer(cache.policy(prices));
    Router::new()
        .route("/users/{id}", user)
        .route("/users/{id}/orders", orders)
        .route("/sales", sales)
        .route("/prices/{item}", prices)
        .with_state(database)
}

type Answer<T> = Result<Json<T>, Failure>;

async fn show_user(State(database): State<Database>, Path(id): Path<u32>) -> Answer<User> {
    let user = database.query(move |db| shop::user(db, id)).await?;
    Ok(Json(user))
}

async fn rename_user(
    State(database): State<Database>,
    purge: Purge,
    Path(id): Path<u32>,
    Json(rename): Json<Rename>,
) -> Result<StatusCode, Failure> {
    to_the_end(async move {
        database
            .query(move |db| shop::rename(db, id, &rename))
            .await?;
        purge.group(format!("user:{id}")).await;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

async fn list_orders(State(database): State<Database>, Path(id): Path<u32>) -> Answer<Latest> {
    let latest = database.query(move |db| shop::latest(db, id)).await?;
    Ok(Json(latest))
}

async fn add_order(
    State(database): State<Database>,
    purge: Purge,
    Path(id): Path<u32>,
    Json(order): Json<Order>,
) -> Result<StatusCode, Failure> {
    to_the_end(async move {
        database
            .query(move |db| shop::order(db, id, &order))
            .await?;
        purge.group(format!("user:{id}")).await;
        Ok(StatusCode::CREATED)
    })
    .await
}

async fn show_sales(State(database): State<Database>, Query(of): Query<OfItem>) -> Answer<Sales> {
    let sales = database.query(move |db| shop::sales(db, &of.item)).await?;
    Ok(Json(sales))
}

async fn show_prices(State(database): State<Database>, Path(item): Path<String>) -> Answer<Prices> {
    let prices = database.query(move |db| shop::prices(db, &item)).await?;
    Ok(Json(prices))
}

/// A client that leaves ends its handler. What is saved must be purged all the same.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    tokio::spawn(work).await.expect("the work does not panic")
}
