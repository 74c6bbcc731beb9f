//! What may go from thread to thread, and be used by several: this compiles, or it may not.

use cache_core::{Cache, Cached, Config, Entry, Error, Event, Key, Policy, Stats, Store};
use std::cell::Cell;

fn shared<T: Send + Sync + 'static>() {}

fn sent<T: Send>(value: T) -> T {
    value
}

#[test]
fn handles_and_what_they_give_are_for_all_threads() {
    shared::<Cache<String>>();
    shared::<Cached<String>>();
    shared::<Entry<String>>();
    shared::<Store<String>>();
    shared::<Config>();
    shared::<Policy>();
    shared::<Key>();
    shared::<Error>();
    shared::<(Event, Stats)>();
}

#[tokio::test]
async fn a_load_is_as_free_to_move_as_its_loader() {
    let cache: Cache<u64> = Cache::builder("it").build().unwrap();
    let load = || async { Ok::<_, Error>(7) };
    assert_eq!(*sent(cache.get_or_load(&1, load)).await.unwrap(), 7);
    // One that stays in its thread is as good.
    let local = Cell::new(8);
    let load = || async { Ok::<_, Error>(local.get()) };
    assert_eq!(*cache.get_or_load(&2, load).await.unwrap(), 8);
}
