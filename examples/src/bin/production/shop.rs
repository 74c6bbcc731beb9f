//! What the service would ask a database for. Each question is counted.

use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Cart {
    pub(crate) items: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Shop {
    tables: Mutex<Tables>,
    calls: AtomicUsize,
    is_failing: AtomicBool,
    reports: Arc<RwLock<()>>,
}

#[derive(Default)]
struct Tables {
    names: HashMap<u64, String>,
    carts: HashMap<u64, Cart>,
}

impl Shop {
    /// How often it was asked.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Whether carts are out of reach.
    pub(crate) fn set_failing(&self, is_so: bool) {
        self.is_failing.store(is_so, Ordering::SeqCst);
    }

    /// No report is ready before what this returns is dropped.
    pub(crate) async fn hold_up_reports(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.reports).write_owned().await
    }

    pub(crate) fn name_of(&self, id: u64) -> String {
        self.count();
        name(&self.tables(), id)
    }

    pub(crate) fn rename(&self, id: u64, name: String) {
        self.tables().names.insert(id, name);
    }

    pub(crate) fn orders_of(&self, id: u64) -> String {
        self.count();
        format!("orders of {}", name(&self.tables(), id))
    }

    pub(crate) fn features(&self) -> &'static str {
        self.count();
        "search, wishlist"
    }

    pub(crate) async fn report(&self, id: u64) -> String {
        self.count();
        let _ready = self.reports.read().await;
        format!("report {id}")
    }

    pub(crate) fn cart_of(&self, id: u64) -> io::Result<Cart> {
        self.count();
        if self.is_failing.load(Ordering::SeqCst) {
            return Err(io::Error::other("the database does not answer"));
        }
        Ok(self.tables().carts.get(&id).cloned().unwrap_or_default())
    }

    pub(crate) fn add_to_cart(&self, id: u64, item: String) {
        self.tables().carts.entry(id).or_default().items.push(item);
    }

    fn count(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(tables: &Tables, id: u64) -> String {
    let name = tables.names.get(&id).cloned();
    name.unwrap_or_else(|| format!("user {id}"))
}
