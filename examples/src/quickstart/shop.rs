//! What is asked of the database. What it does not hold is an error of its own,
//! [`rusqlite::Error::QueryReturnedNoRows`].

use rusqlite::{Connection, Result};
use serde::{Deserialize, Serialize};

/// A user, and what they spent.
#[derive(Debug, Serialize)]
pub struct User {
    id: u32,
    name: String,
    orders: u32,
    cents: i64,
}

/// The latest orders of a user.
#[derive(Debug, Serialize)]
pub struct Latest {
    user: String,
    orders: Vec<Order>,
}

/// An order of one item.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    item: String,
    cents: u32,
}

/// The new name of a user.
#[derive(Debug, Deserialize)]
pub struct Rename {
    name: String,
}

/// Which item, as a query says it.
#[derive(Debug, Deserialize)]
pub struct OfItem {
    /// Its name.
    pub item: String,
}

/// What was sold of an item.
#[derive(Debug, Serialize)]
pub struct Sales {
    item: String,
    orders: u32,
    cents: i64,
}

/// What was paid for an item, in cents.
#[derive(Debug, Serialize)]
pub struct Prices {
    lowest: u32,
    highest: u32,
}

/// A user by its number. Reads all orders: there is no index.
pub fn user(connection: &Connection, id: u32) -> Result<User> {
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

/// Gives a user another name.
pub fn rename(connection: &Connection, id: u32, rename: &Rename) -> Result<()> {
    let sql = "UPDATE users SET name = ?2 WHERE id = ?1 RETURNING id";
    connection.query_row(sql, (id, &rename.name), |_| Ok(()))
}

/// The latest five orders of a user.
pub fn latest(connection: &Connection, id: u32) -> Result<Latest> {
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

/// Adds an order of a user.
pub fn order(connection: &Connection, user: u32, order: &Order) -> Result<()> {
    let sql = "INSERT INTO orders (user_id, item, cents)
        SELECT id, ?2, ?3 FROM users WHERE id = ?1 RETURNING id";
    connection.query_row(sql, (user, &order.item, order.cents), |_| Ok(()))
}

/// What was sold of an item. Reads all orders: there is no index.
pub fn sales(connection: &Connection, item: &str) -> Result<Sales> {
    let sql = "SELECT count(*), coalesce(sum(cents), 0) FROM orders WHERE item = ?1";
    connection.query_row(sql, [item], |row| {
        Ok(Sales {
            orders: row.get(0)?,
            cents: row.get(1)?,
            item: item.to_owned(),
        })
    })
}

/// The lowest and the highest price of an item. Reads all orders: there is no index.
pub fn prices(connection: &Connection, item: &str) -> Result<Prices> {
    let sql = "SELECT min(cents), max(cents) FROM orders WHERE item = ?1 HAVING count(*) > 0";
    connection.query_row(sql, [item], |row| {
        Ok(Prices {
            lowest: row.get(0)?,
            highest: row.get(1)?,
        })
    })
}
