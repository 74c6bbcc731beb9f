//! The service, as it would be without a cache, and what the cache adds: four policies, a layer on
//! each resource, and [`Purge`] in the handlers that change something.

use crate::failure::Failure;
use actix_web::{
    HttpResponse, rt,
    web::{self, Data, Json, Path, Query},
};
use cache_actix::{HttpCache, Policy, Purge, hours, minutes, seconds};
use examples::quickstart::{
    Database,
    shop::{self, Latest, OfItem, Order, Prices, Rename, Sales, User},
};

pub(crate) fn routes(service: &mut web::ServiceConfig, database: Database, cache: &HttpCache) {
    // For an hour, or until somebody purges the user's group.
    let user = Policy::ttl(hours(1)).group("user:{id}");
    let orders = Policy::ttl(minutes(5)).group("user:{id}");
    // What is older than two seconds is still given while one request fetches it anew.
    let sales = Policy::ttl(seconds(2))
        .stale_while_revalidate(minutes(1))
        .vary_by_query(["item"]);
    // What is older than two seconds is given only where the database fails.
    let prices = Policy::ttl(seconds(2)).stale_if_error(hours(1));

    service
        .app_data(Data::new(database))
        .service(
            web::resource("/users/{id}")
                .wrap(cache.policy(user))
                .get(show_user)
                .put(rename_user),
        )
        .service(
            web::resource("/users/{id}/orders")
                .wrap(cache.policy(orders))
                .get(list_orders)
                .post(add_order),
        )
        .service(
            web::resource("/sales")
                .wrap(cache.policy(sales))
                .get(show_sales),
        )
        .service(
            web::resource("/prices/{item}")
                .wrap(cache.policy(prices))
                .get(show_prices),
        );
}

type Answer<T> = Result<Json<T>, Failure>;

async fn show_user(database: Data<Database>, id: Path<u32>) -> Answer<User> {
    let user = database.query(move |db| shop::user(db, *id)).await?;
    Ok(Json(user))
}

async fn rename_user(
    database: Data<Database>,
    purge: Purge,
    id: Path<u32>,
    rename: Json<Rename>,
) -> Result<HttpResponse, Failure> {
    let id = *id;
    to_the_end(async move {
        database
            .query(move |db| shop::rename(db, id, &rename))
            .await?;
        purge.group(format!("user:{id}")).await;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

async fn list_orders(database: Data<Database>, id: Path<u32>) -> Answer<Latest> {
    let latest = database.query(move |db| shop::latest(db, *id)).await?;
    Ok(Json(latest))
}

async fn add_order(
    database: Data<Database>,
    purge: Purge,
    id: Path<u32>,
    order: Json<Order>,
) -> Result<HttpResponse, Failure> {
    let id = *id;
    to_the_end(async move {
        database
            .query(move |db| shop::order(db, id, &order))
            .await?;
        purge.group(format!("user:{id}")).await;
        Ok(HttpResponse::Created().finish())
    })
    .await
}

async fn show_sales(database: Data<Database>, of: Query<OfItem>) -> Answer<Sales> {
    let sales = database.query(move |db| shop::sales(db, &of.item)).await?;
    Ok(Json(sales))
}

async fn show_prices(database: Data<Database>, item: Path<String>) -> Answer<Prices> {
    let prices = database.query(move |db| shop::prices(db, &item)).await?;
    Ok(Json(prices))
}

/// A client that leaves ends its handler. What is saved must be purged all the same.
async fn to_the_end<T: 'static>(work: impl Future<Output = T> + 'static) -> T {
    rt::spawn(work).await.expect("the work does not panic")
}
