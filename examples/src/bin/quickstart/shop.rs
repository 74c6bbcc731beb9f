//! What is asked of the database.

use rusqlite::{Connection, Result};
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
pub(crate) struct User {
    id: u32,
    name: String,
    orders: u32,
    cents: i64,
}

/// The latest orders of a user.
#[derive(Serialize)]
pub(crate) struct Latest {
    user: String,
    orders: Vec<Order>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    item: String,
    cents: u32,
}

#[derive(Deserialize)]
pub(crate) struct Rename {
    name: String,
}

#[derive(Deserialize)]
pub(crate) struct OfItem {
    pub(crate) item: String,
}

#[derive(Serialize)]
pub(crate) struct Sales {
    item: String,
    orders: u32,
    cents: i64,
}

#[derive(Serialize)]
pub(crate) struct Prices {
    lowest: u32,
    highest: u32,
}

/// Reads all orders: there is no index.
pub(crate) fn user(connection: &Connection, id: u32) -> Result<User> {
    let sql = "SELECT name, count(orders.id), coalesce(sum(cents), 0)
        FROM users LEFT JOIN orders ON user_id = users.id WHERE users.id = ?1 GROUP BY users.id";
    connection.query_row(sql, [id], |row| {
        Ok(User {
            id,
            name: row.get(0)?,
            orders: row.get(1)?,
            cents: row.get(2)?,
        })
    })
}

pub(crate) fn rename(connection: &Connection, id: u32, rename: &Rename) -> Result<()> {
    let sql = "UPDATE users SET name = ?2 WHERE id = ?1 RETURNING id";
    connection.query_row(sql, (id, &rename.name), |_| Ok(()))
}

pub(crate) fn latest(connection: &Connection, id: u32) -> Result<Latest> {
    let sql = "SELECT name FROM users WHERE id = ?1";
    let user = connection.query_row(sql, [id], |row| row.get(0))?;
    let sql = "SELECT item, cents FROM orders WHERE user_id = ?1 ORDER BY id DESC LIMIT 5";
    let mut orders = connection.prepare(sql)?;
    let orders = orders.query_map([id], |row| {
        Ok(Order {
            item: row.get(0)?,
            cents: row.get(1)?,
        })
    })?;
    Ok(Latest {
        user,
        orders: orders.collect::<Result<_>>()?,
    })
}

pub(crate) fn order(connection: &Connection, user: u32, order: &Order) -> Result<()> {
    let sql = "INSERT INTO orders (user_id, item, cents)
        SELECT id, ?2, ?3 FROM users WHERE id = ?1 RETURNING id";
    connection.query_row(sql, (user, &order.item, order.cents), |_| Ok(()))
}

/// Reads all orders: there is no index.
pub(crate) fn sales(connection: &Connection, item: &str) -> Result<Sales> {
    let sql = "SELECT count(*), coalesce(sum(cents), 0) FROM orders WHERE item = ?1";
    connection.query_row(sql, [item], |row| {
        Ok(Sales {
            orders: row.get(0)?,
            cents: row.get(1)?,
            item: item.to_owned(),
        })
    })
}

/// Reads all orders: there is no index.
pub(crate) fn prices(connection: &Connection, item: &str) -> Result<Prices> {
    let sql = "SELECT min(cents), max(cents) FROM orders WHERE item = ?1 HAVING count(*) > 0";
    connection.query_row(sql, [item], |row| {
        Ok(Prices {
            lowest: row.get(0)?,
            highest: row.get(1)?,
        })
    })
}
