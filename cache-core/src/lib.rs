//! A cache for values that are costly to come by, that loads each of them once.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), cache_core::Error> {
//! use cache_core::{Cache, Policy, policy::minutes};
//!
//! let prices: Cache<u64> = Cache::builder("prices").policy(Policy::ttl(minutes(5))).build()?;
//! let load = || async { Ok::<_, std::io::Error>(1299) };
//! let price = prices.get_or_load(&("de", 42), load).await?;
//! assert_eq!(*price, 1299);
//! # Ok(()) }
//! ```
//!
//! # What it does
//!
//! * **One load per key**, however many callers miss it at once; a failed load is shared as well, and
//!   remembered for a short, growing [pause](Policy::failure_pause).
//! * **Leaders cannot get stuck.** A leader that is cancelled, panics or passes its
//!   [deadline](Policy::work_deadline) loses its turn to one of those who wait; each of those has a
//!   [limit](Policy::wait_limit) of its own.
//! * **Late writes are refused.** A load that began before an invalidation cannot store its result.
//! * **Stale is better than nothing**, where allowed: [while one caller
//!   refreshes](Policy::stale_while_revalidate), and [when a load
//!   fails](Policy::stale_if_error).
//! * **Groups** of any number of entries are invalidated in one step.
//! * **Memory is bounded by bytes**, keys and bookkeeping included, as far as it is
//!   [told](CacheBuilder::weigh) what values weigh.
//!
//! # Where values are kept
//!
//! In memory, as they are, and where there is a [remote tier](remote), encoded there as well, for all
//! processes: then a key is loaded once for all of them, an invalidation reaches them all, and when
//! the remote tier is away each goes on by itself. [`Cache`] is the typed face; [`Store`] lies under
//! it for engines with rules of their own, such as the HTTP cache of `cache-tower`.
//!
//! # Settings of the environment
//!
//! `CacheBuilder::from_env` lets an operator change tiers, lifetimes and limits without a rebuild; see
//! [`config`].
//!
//! # Features
//!
//! | Feature | Default | What it adds |
//! |---|---|---|
//! | `json` | yes | [`Json`], a codec on serde_json |
//! | `bincode` | no | `Bincode`, a codec on bincode 2, which is no longer maintained (RUSTSEC-2025-0141) |
//! | `metrics` | no | what a cache does, told to a recorder of the `metrics` facade ([`observe`]) |
//! | `tracing` | no | what goes wrong, and how calls end, told to a subscriber of `tracing` ([`observe`]) |
//! | `redis` | no | [`remote::Redis`](remote), the remote tier in Redis 6.2 or later, or Valkey |
//! | `redis-cluster` | no | the same in a cluster |
//! | `redis-tls` | no | the same over TLS: `rediss://` and `valkeys://` |
//! | `test-util` | no | `ManualClock`, `FixedRandom`, keys whose hashes collide, a remote tier within the process, and the checks of every remote tier |
//!
//! # Limits
//!
//! * Without a remote tier, one process: two with a cache each load a key twice, and an invalidation in
//!   one is not seen by the other before the lifetime ends. With one, memory is behind by milliseconds
//!   while it is told of changes, and by [`max_staleness`](remote::RemoteSettings::max_staleness) at
//!   most. Who waits for a load shares it even where it began before another process's invalidation
//!   that was lost with the link.
//! * A remote tier that loses writes in a failover may cost loads. One that loses an invalidation
//!   brings the value back, until its lifetime ends: replication of Redis is asynchronous.
//! * Deadlines and limits need a tokio runtime, with its timers enabled; outside of any runtime
//!   everything else works.
//! * A loader that waits for a task which asks for the same key waits for itself: that is only
//!   noticed within one task, and ends with the wait limit otherwise.
//! * A value must not be changed through interior mutability: its weight is taken once.
//! * Beside the bytes of its entries a cache remembers up to 16,384 failing keys, with their errors.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod cache;
mod call;
pub mod clock;
mod codec;
pub mod config;
mod entry;
mod error;
mod event;
mod flight;
mod generation;
mod group;
pub mod key;
mod load;
mod memory;
pub mod observe;
mod pattern;
mod pause;
mod permit;
pub mod policy;
mod reentry;
pub mod remote;
mod spawn;
pub mod store;
mod sync;
mod timer;

pub use builder::StoreBuilder;
pub use cache::{Cache, CacheBuilder};
#[cfg(feature = "bincode")]
pub use codec::Bincode;
pub use codec::Codec;
#[cfg(feature = "json")]
pub use codec::Json;
pub use config::Config;
pub use entry::{Cached, Entry, Freshness};
pub use error::{BoxError, Error};
pub use event::{Event, Stats};
pub use key::Key;
pub use pattern::Pattern;
pub use policy::Policy;
pub use remote::Remote;
pub use store::Store;
