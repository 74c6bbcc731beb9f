//! The typed cache.

use crate::{
    BoxError, Codec, Error, Pattern, Policy, StoreBuilder,
    clock::{Clock, Random},
    entry::{Cached, Entry, Freshness},
    event::{Event, Stats},
    key::{CacheKey, Key, Namespace, scratch},
    store::Store,
};
use std::{fmt, future::Future, sync::Arc};

/// A cache of values of one type. A cheap handle: clones share everything.
///
/// Values are kept as they are and handed out shared, so a hit neither decodes nor copies. However
/// many callers miss a key at once, one of them loads it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), cache_core::Error> {
/// use cache_core::{Cache, Policy, policy::{hours, minutes}};
///
/// let users: Cache<String> = Cache::builder("users")
///     .policy(Policy::ttl(hours(1)).stale_if_error(minutes(10)))
///     .build()?;
///
/// let user = users.get_or_load(&42, || async { Ok::<_, std::io::Error>("Ada".to_owned()) }).await?;
/// assert_eq!(*user, "Ada");
///
/// // The second call does not load.
/// let again = users.get_or_load(&42, || async { Err::<String, _>("the database is away") }).await?;
/// assert_eq!(*again, "Ada");
///
/// // After an invalidation it does, and a load that began before can no longer store its result.
/// users.invalidate(&42).await;
/// assert!(users.get(&42).await.is_none());
/// # Ok(()) }
/// ```
pub struct Cache<V> {
    pub(crate) store: Store<V>,
    pub(crate) policy: Arc<Policy>,
    shape: Arc<Shape<V>>,
}

/// What does not change between handles of other policies.
struct Shape<V> {
    namespace: Namespace,
    sizes: Sizes<V>,
}

enum Sizes<V> {
    Weighed(Box<dyn Fn(&V) -> usize + Send + Sync>),
    Encoded(Box<dyn Codec<V>>),
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// Begins a cache; `name` is the first part of all its keys.
    pub fn builder(name: impl Into<String>) -> CacheBuilder<V> {
        CacheBuilder::new(name.into())
    }

    /// The value of `key` if there is one, fresh or within
    /// [`stale_while_revalidate`](Policy::stale_while_revalidate). Never loads.
    pub async fn get<K: CacheKey + ?Sized>(&self, key: &K) -> Option<Cached<V>> {
        self.in_memory(key)
    }

    /// As [`get`](Self::get), from memory alone and without waiting.
    pub fn in_memory<K: CacheKey + ?Sized>(&self, key: &K) -> Option<Cached<V>> {
        let now = self.store.now();
        let entry = scratch(|bytes| {
            self.shape.namespace.write(key, bytes);
            self.store.lookup(bytes, now)
        });
        let (event, found) = match entry {
            None => (Event::Miss, None),
            Some(entry) => match entry.freshness(now) {
                Freshness::Fresh { .. } => (Event::Hit, Some(entry)),
                Freshness::Stale {
                    while_revalidate: true,
                    ..
                } => (Event::Stale, Some(entry)),
                Freshness::Stale { .. } | Freshness::Dead => (Event::Miss, None),
            },
        };
        self.store.record(event);
        found.and_then(|entry| Cached::new(entry, now))
    }

    /// Stores a value. A load of the same key that is under way can no longer store its result.
    ///
    /// A value that may not be kept (it is too heavy, or the policy's lifetime is zero) is handed
    /// back all the same, and the one before it removed.
    ///
    /// # Errors
    ///
    /// [`is_codec`](Error::is_codec), where the cache has a codec and the value no encoding; nothing
    /// is changed then.
    pub async fn insert<K: CacheKey + ?Sized>(
        &self,
        key: &K,
        value: V,
    ) -> Result<Cached<V>, Error> {
        let key = self.key(key);
        let size = self.size(&value)?;
        let ticket = self.store.ticket(key.as_bytes());
        let life = self.policy.life(self.store.random());
        let entry = self.new_entry(&ticket, &key, Some(value), size, life);
        if self.admits(size) {
            self.store.overwrite(key, Arc::clone(&entry));
        } else {
            // What was there is not the current value any more.
            self.store.invalidate(key.as_bytes());
        }
        Ok(Cached::new(entry, self.store.now()).expect("the entry was made of a value"))
    }

    /// The value of `key`, loaded where there is none.
    ///
    /// Of all who miss at once one loads, in its own task, so the loader may borrow; the others wait,
    /// for [`wait_limit`](Policy::wait_limit) at most, and share what came of it, a failure too. While
    /// a stale copy may be used, one caller refreshes it and waits for that; the others get the copy.
    ///
    /// # Errors
    ///
    /// * [`is_load`](Error::is_load): the loader failed, here, in the call that led, or within the
    ///   [pause](Policy::failure_pause) before; [`Error::downcast_ref`] gives its error. Also where
    ///   two loaders panicked, and where "there is none" is remembered of the key
    ///   ([`get_or_load_optional`](Self::get_or_load_optional)).
    /// * [`is_timeout`](Error::is_timeout): the loader passed the
    ///   [`work_deadline`](Policy::work_deadline), or waiting for another's the `wait_limit`.
    /// * [`is_reentrant`](Error::is_reentrant): the loader asked for its own key.
    ///
    /// In place of any of these a stale value is returned where
    /// [`stale_if_error`](Policy::stale_if_error) allows, or its refresh window still lasts.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops its loader, and one of those who wait takes its turn.
    ///
    /// # Panics
    ///
    /// A panic of the loader goes on to its own caller, and one of those who wait loads. If that
    /// panics as well the others get an error.
    ///
    /// # Concurrent calls
    ///
    /// The loaders of all concurrent calls for one key must be interchangeable: which one runs is not
    /// defined.
    pub async fn get_or_load<K, F, Fut, E>(&self, key: &K, load: F) -> Result<Cached<V>, Error>
    where
        K: CacheKey + ?Sized,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
        E: Into<BoxError>,
    {
        let load = || async { load().await.map(Some) };
        let entry = self.entry_or_load(self.key(key), load).await?;
        self.present(entry)
    }

    /// As [`get_or_load`](Self::get_or_load), for a loader that can answer "there is none". That is
    /// remembered for [`negative_ttl`](Policy::negative_ttl).
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn get_or_load_optional<K, F, Fut, E>(
        &self,
        key: &K,
        load: F,
    ) -> Result<Option<Cached<V>>, Error>
    where
        K: CacheKey + ?Sized,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
        E: Into<BoxError>,
    {
        let entry = self.entry_or_load(self.key(key), load).await?;
        Ok(Cached::new(entry, self.store.now()))
    }

    /// As [`get_or_load`](Self::get_or_load), but a caller that finds a usable stale value never
    /// waits: the refresh runs in a task of its own, which the caller's leaving does not end.
    ///
    /// Outside a tokio runtime the refresh runs in the caller's task, which waits for it.
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn refresh_in_background<K, F, Fut, E>(
        &self,
        key: &K,
        load: F,
    ) -> Result<Cached<V>, Error>
    where
        K: CacheKey + ?Sized,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        let load = || async { load().await.map(Some) };
        let entry = self.entry_or_load_behind(self.key(key), load).await?;
        self.present(entry)
    }

    /// Removes the entry of `key`; says whether there was one. A load of it that is under way can no
    /// longer store its result, and who asks from now on does not get it.
    pub async fn invalidate<K: CacheKey + ?Sized>(&self, key: &K) -> bool {
        self.store.invalidate(self.key(key).as_bytes())
    }

    /// Makes every entry of the group invalid, in one step however many there are. What a load under
    /// way brings into the group is invalid too, and not for who asks from now on.
    pub async fn invalidate_group(&self, name: &str) {
        self.store.invalidate_group(name);
    }

    /// Removes the entries whose keys match, after the cache's name: of the cache `users`, `42:*`
    /// removes `users:42:profile`. Says how many those were. Time is proportional to all entries.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config) for a malformed [`Pattern`].
    pub async fn invalidate_pattern(&self, pattern: &str) -> Result<usize, Error> {
        let pattern = Pattern::new(pattern)?;
        let namespace = &self.shape.namespace;
        Ok(self.store.invalidate_matching(|key| {
            namespace.strip(key).is_some_and(|key| pattern.matches(key))
        }))
    }

    /// Removes every entry. A load that is under way can no longer store its result. Time is
    /// proportional to all entries.
    pub async fn clear(&self) {
        self.store.invalidate_matching(|_| true);
    }

    /// A handle to the same entries that loads and stores under another policy.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), cache_core::Error> {
    /// # use cache_core::{Cache, Policy, policy::minutes};
    /// # let users: Cache<String> = Cache::builder("users").build()?;
    /// let in_team = users.with_policy(Policy::ttl(minutes(5)).group("team:7"))?;
    /// in_team.insert(&42, "Ada".to_owned()).await?;
    /// users.invalidate_group("team:7").await;
    /// assert!(users.get(&42).await.is_none());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config) for an impossible policy.
    pub fn with_policy(&self, policy: Policy) -> Result<Self, Error> {
        policy.validate()?;
        Ok(Self {
            policy: Arc::new(policy),
            ..self.clone()
        })
    }

    /// The counts so far, and what is held now.
    pub fn stats(&self) -> Stats {
        self.store.stats()
    }

    pub(crate) fn size(&self, value: &V) -> Result<usize, Error> {
        match &self.shape.sizes {
            Sizes::Weighed(weigh) => Ok(weigh(value)),
            Sizes::Encoded(codec) => codec.encode(value).map(|bytes| bytes.len()),
        }
    }

    fn key<K: CacheKey + ?Sized>(&self, key: &K) -> Key {
        self.shape.namespace.key(key)
    }

    /// The value of an entry whose loader always yields one. "There is none" can still be stored
    /// under the key, by [`get_or_load_optional`](Self::get_or_load_optional).
    fn present(&self, entry: Arc<Entry<V>>) -> Result<Cached<V>, Error> {
        Cached::new(entry, self.store.now())
            .ok_or_else(|| Error::load("another loader found that there is none"))
    }
}

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            policy: Arc::clone(&self.policy),
            shape: Arc::clone(&self.shape),
        }
    }
}

impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("store", &self.store)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Builds a [`Cache`].
#[must_use = "a builder does nothing until `build`"]
pub struct CacheBuilder<V> {
    name: String,
    policy: Policy,
    sizes: Sizes<V>,
    memory: StoreBuilder,
}

impl<V: Send + Sync + 'static> CacheBuilder<V> {
    fn new(name: String) -> Self {
        let sizes = Sizes::Weighed(Box::new(|value| size_of_val(value)));
        Self {
            name,
            policy: Policy::default(),
            sizes,
            memory: StoreBuilder::new(),
        }
    }

    /// The policy of the cache. Default: [`Policy::default`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The bytes that memory may hold, keys and bookkeeping included. Default: 64 MiB.
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.memory = self.memory.capacity(bytes);
        self
    }

    /// The most bytes that a value and its key may weigh to be kept; at most a quarter of the
    /// capacity. What is heavier is handed out only. Default:
    /// 1 MiB, or a quarter of the capacity where that is less.
    pub fn max_entry(mut self, bytes: u64) -> Self {
        self.memory = self.memory.max_entry(bytes);
        self
    }

    /// How many bytes a value weighs. Default: `size_of_val`, which is shallow: it does not see what
    /// a `String` or `Vec` points to. Name a better one for such values, or a codec.
    pub fn weigh(mut self, weigh: impl Fn(&V) -> usize + Send + Sync + 'static) -> Self {
        self.sizes = Sizes::Weighed(Box::new(weigh));
        self
    }

    /// Weighs a value by its length as encoded with `codec`; in memory it stays as it is. A loaded
    /// value that has no encoding is handed out, but not kept. Default: none.
    pub fn codec(mut self, codec: impl Codec<V>) -> Self {
        self.sizes = Sizes::Encoded(Box::new(codec));
        self
    }

    /// So many refreshes run in the background at a time
    /// ([`refresh_in_background`](Cache::refresh_in_background)); beyond that stale values are handed
    /// out without one. Accepted: 1 or more. Default: 64.
    pub fn max_refreshes(mut self, most: usize) -> Self {
        self.memory = self.memory.max_refreshes(most);
        self
    }

    /// The clock of lifetimes. Default: [`SystemClock`](crate::clock::SystemClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.memory = self.memory.clock(clock);
        self
    }

    /// The randomness of jitter and early refresh. Default: [`SystemRandom`](crate::clock::SystemRandom).
    pub fn random(mut self, random: impl Random) -> Self {
        self.memory = self.memory.random(random);
        self
    }

    /// Makes the hashes of all keys equal, to test that keys are told apart without them.
    #[cfg(any(test, feature = "test-util"))]
    pub fn colliding_hashes(mut self) -> Self {
        self.memory = self.memory.colliding_hashes();
        self
    }

    /// Builds the cache.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config), naming each setting that cannot work and what is accepted.
    pub fn build(self) -> Result<Cache<V>, Error> {
        if self.name.is_empty() {
            return Err(Error::config(
                "name is empty; accepted is any text of one character or more",
            ));
        }
        self.policy.validate()?;
        Ok(Cache {
            store: self.memory.build()?,
            policy: Arc::new(self.policy),
            shape: Arc::new(Shape {
                namespace: Namespace::new(&self.name),
                sizes: self.sizes,
            }),
        })
    }
}

impl<V> fmt::Debug for CacheBuilder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
