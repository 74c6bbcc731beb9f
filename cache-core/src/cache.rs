//! The typed cache.

use crate::{
    BoxError, Codec, Config, Error, Pattern, Policy, StoreBuilder,
    call::{self, Call},
    clock::{Clock, Moment, Random},
    entry::{Cached, Entry, Freshness},
    event::{Event, Stats},
    key::{CacheKey, Key, Namespace, scratch},
    observe::{Source, Trail},
    policy::Life,
    remote::{Held, IntoRemote, RemoteSettings, RemoteStats, Shared},
    store::{Store, Ticket},
};
use bytes::Bytes;
use std::{fmt, future::Future, sync::Arc, time::Duration};

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
    config: Option<Config>,
}

enum Sizes<V> {
    Weighed(Box<dyn Fn(&V) -> usize + Send + Sync>),
    Encoded(Box<dyn Codec<V>>),
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// Begins a cache; `name` is the first part of all its keys, and with a remote tier caches of one name share
    /// their entries.
    ///
    /// What values weigh that own more than themselves, as a `String` or a `Vec`, has to be said, by
    /// [`weigh`](CacheBuilder::weigh) or a [`codec`](CacheBuilder::codec): else memory holds more than its
    /// [`capacity`](CacheBuilder::capacity).
    ///
    /// ```
    /// # fn main() -> Result<(), cache_core::Error> {
    /// let names: cache_core::Cache<String> = cache_core::Cache::builder("names").weigh(String::len).build()?;
    /// # Ok(()) }
    /// ```
    pub fn builder(name: impl Into<String>) -> CacheBuilder<V> {
        CacheBuilder::new(name.into())
    }

    /// The value of `key` if there is one, fresh or within
    /// [`stale_while_revalidate`](Policy::stale_while_revalidate). Never loads.
    pub async fn get<K: CacheKey + ?Sized>(&self, key: &K) -> Option<Cached<V>> {
        let now = self.store.now();
        let (event, found) = self.seen(key, now);
        if !self.is_to_be_asked_there(event) {
            call::settled(&self.store, event, now);
            return found;
        }
        let key = self.key(key);
        let call = Call::begin(&self.store, event, now);
        let there = async {
            let ticket = self.store.ticket(key.as_bytes());
            let mut budget = self.store.budget();
            let held = self
                .store
                .lookup_remote(key.as_bytes(), &mut budget)
                .await?;
            self.present_held(&ticket, &key, &held, &call.trail)
        };
        call.traced(there).await
    }

    /// As [`get`](Self::get), of many keys, in their order: what memory does not have is asked of the
    /// remote tier in one round trip. Each key counts as a request.
    pub async fn get_many<K: CacheKey>(&self, keys: &[K]) -> Vec<Option<Cached<V>>> {
        let now = self.store.now();
        let (mut answers, mut missed) = (Vec::with_capacity(keys.len()), Vec::new());
        for (index, key) in keys.iter().enumerate() {
            let (event, found) = self.seen(key, now);
            answers.push(found);
            if self.is_to_be_asked_there(event) {
                let key = self.key(key);
                let ticket = self.store.ticket(key.as_bytes());
                missed.push((index, key, ticket, Call::begin(&self.store, event, now)));
            } else {
                call::settled(&self.store, event, now);
            }
        }
        let names: Vec<&[u8]> = missed.iter().map(|(_, key, ..)| key.as_bytes()).collect();
        let mut budget = self.store.budget();
        let held = self.store.lookup_remote_many(&names, &mut budget).await;
        for ((index, key, ticket, call), held) in missed.iter().zip(held) {
            if let (Some(slot), Some(held)) = (answers.get_mut(*index), held) {
                *slot = self.present_held(ticket, key, &held, &call.trail);
            }
        }
        answers
    }

    /// As [`get`](Self::get), from memory alone and without waiting.
    pub fn in_memory<K: CacheKey + ?Sized>(&self, key: &K) -> Option<Cached<V>> {
        let now = self.store.now();
        let (event, found) = self.seen(key, now);
        call::settled(&self.store, event, now);
        found
    }

    /// As what a look-up counts as far as memory knows, and what it finds there.
    fn seen<K: CacheKey + ?Sized>(&self, key: &K, now: Moment) -> (Event, Option<Cached<V>>) {
        if !self.is_enabled() {
            return (Event::Bypass, None);
        }
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
        (event, found.and_then(|entry| Cached::new(entry, now)))
    }

    /// Whether the remote tier may have what memory has not.
    fn is_to_be_asked_there(&self, event: Event) -> bool {
        event == Event::Miss && self.store.has_remote()
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
        let encoded = self.encode(Some(&value))?;
        let insertion = self.insertion(key, value, &encoded);
        let mut inserted = self.insert_all(vec![insertion]).await;
        Ok(inserted.pop().expect("one goes in and comes out"))
    }

    /// As [`insert`](Self::insert), of many values, which reach the remote tier in one round trip.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); nothing is changed then.
    pub async fn insert_many<K: CacheKey>(
        &self,
        values: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Vec<Cached<V>>, Error> {
        let mut insertions = Vec::new();
        for (key, value) in values {
            let encoded = self.encode(Some(&value))?;
            insertions.push(self.insertion(self.key(&key), value, &encoded));
        }
        Ok(self.insert_all(insertions).await)
    }

    fn insertion(&self, key: Key, value: V, encoded: &Encoded) -> Insertion<V> {
        let ticket = self.store.ticket(key.as_bytes());
        let life = self.policy.life(self.store.random());
        let fits = self.is_enabled() && self.admits(encoded.size) && !life.fresh.is_zero();
        let entry = self.new_entry(&ticket, &key, Some(value), encoded.size, life);
        let shared = self.shared(encoded, life, Duration::ZERO);
        Insertion {
            key,
            entry,
            shared,
            fits,
        }
    }

    /// The remote tier first: when memory holds the value, no process can be handed the one before.
    async fn insert_all(&self, insertions: Vec<Insertion<V>>) -> Vec<Cached<V>> {
        if let Some(tier) = self.store.tier() {
            let mut budget = tier.budget();
            let (fitting, others): (Vec<_>, Vec<_>) = insertions.iter().partition(|it| it.fits);
            let entries = fitting
                .iter()
                .map(|it| (it.key.as_bytes(), fastrand::u64(1..), it.shared.clone()))
                .collect();
            // Where it fails these keys are invalidated as soon as the remote tier is back.
            let _ = tier.put_many(entries, &mut budget).await;
            let gone: Vec<&[u8]> = others.iter().map(|it| it.key.as_bytes()).collect();
            if !gone.is_empty() {
                tier.invalidate(&gone, &mut budget).await;
            }
        }
        let keep = |it: Insertion<V>| {
            if it.fits {
                self.store.overwrite(it.key, Arc::clone(&it.entry));
            } else {
                // What was there is not the current value any more.
                self.store.invalidate(it.key.as_bytes());
            }
            Cached::new(it.entry, self.store.now()).expect("the entry was made of a value")
        };
        insertions.into_iter().map(keep).collect()
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
    ///
    /// With a remote tier this reaches all processes: their memory within milliseconds while they are
    /// told of changes, and within [`max_staleness`](RemoteSettings::max_staleness) otherwise.
    pub async fn invalidate<K: CacheKey + ?Sized>(&self, key: &K) -> bool {
        self.store.invalidated(Source::Local);
        let key = self.key(key);
        self.store.invalidate_shared(&[key.as_bytes()]).await > 0
    }

    /// As [`invalidate`](Self::invalidate), of many keys in one round trip; says how many there were.
    pub async fn invalidate_many<K: CacheKey>(&self, keys: &[K]) -> u64 {
        self.store.invalidated(Source::Local);
        let keys: Vec<Key> = keys.iter().map(|key| self.key(key)).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Key::as_bytes).collect();
        self.store.invalidate_shared(&keys).await
    }

    /// Makes every entry of the group invalid, in one step however many there are. What a load under
    /// way brings into the group is invalid too, and not for who asks from now on.
    pub async fn invalidate_group(&self, name: &str) {
        self.store.invalidated(Source::Local);
        self.store.invalidate_group_shared(name).await;
    }

    /// Removes the entries whose keys match, after the cache's name: of the cache `users`, `42:*`
    /// removes `users:42:profile`. Says how many those were. Time is proportional to all entries; with a remote
    /// tier to all of its keys, and after it each process asks there once for what its memory holds, of every
    /// cache: a [group](Self::invalidate_group) takes one step.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config) for a malformed [`Pattern`].
    pub async fn invalidate_pattern(&self, pattern: &str) -> Result<usize, Error> {
        let pattern = Pattern::new(pattern)?;
        self.store.invalidated(Source::Local);
        let namespace = self.shape.namespace.as_bytes();
        Ok(self
            .store
            .invalidate_pattern_shared(namespace, &pattern)
            .await)
    }

    /// Removes every entry. A load that is under way can no longer store its result. Time is
    /// proportional to all entries, as with [`invalidate_pattern`](Self::invalidate_pattern).
    pub async fn clear(&self) {
        self.store.invalidated(Source::Local);
        let all = Pattern::new("*").expect("a star is a pattern");
        let namespace = self.shape.namespace.as_bytes();
        self.store.invalidate_pattern_shared(namespace, &all).await;
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
            policy: Arc::new(under(self.shape.config.as_ref(), policy)),
            ..self.clone()
        })
    }

    /// The counts so far, and what is held now.
    pub fn stats(&self) -> Stats {
        self.store.stats()
    }

    /// Sets the gauges of the metrics to what is so now. Calls do so about once a second; whoever is about to
    /// read the metrics may do so just before. Without the feature `metrics` nothing is done.
    pub fn measure(&self) {
        self.store.measure();
    }

    /// How the remote tier is; `None` where there is none.
    pub fn remote_stats(&self) -> Option<RemoteStats> {
        self.store.remote_stats()
    }

    pub(crate) fn encode(&self, value: Option<&V>) -> Result<Encoded, Error> {
        let Some(value) = value else {
            return Ok(Encoded::default());
        };
        match &self.shape.sizes {
            Sizes::Weighed(weigh) => Ok(Encoded {
                size: weigh(value),
                body: None,
            }),
            Sizes::Encoded(codec) => codec.encode(value).map(|bytes| Encoded {
                size: bytes.len(),
                body: Some(bytes.into()),
            }),
        }
    }

    /// What another process needs to know of a value.
    pub(crate) fn shared(&self, encoded: &Encoded, life: Life, cost: Duration) -> Shared {
        let groups = self.policy.group_names();
        Shared {
            body: encoded.body.clone(),
            life,
            cost,
            groups: groups.iter().map(|name| name.as_ref().into()).collect(),
        }
    }

    /// The entry of what was found in the remote tier, and now also in memory; `None` where it cannot
    /// be decoded.
    pub(crate) fn take_in(&self, ticket: &Ticket, key: &Key, held: &Held) -> Option<Arc<Entry<V>>> {
        if let Some(entry) = self.store.renewed(key.as_bytes(), held) {
            return Some(entry);
        }
        let value = match held.body() {
            Some(body) => Some(self.decode(key, body)?),
            None => None,
        };
        let size = held.body().map_or(0, Bytes::len);
        let entry = self.store.adopt(key, held, value, size);
        self.store.commit_with(ticket, |writer| {
            writer.link(key.clone(), Arc::clone(&entry));
        });
        Some(entry)
    }

    fn decode(&self, key: &Key, body: &[u8]) -> Option<V> {
        let Sizes::Encoded(codec) = &self.shape.sizes else {
            return None;
        };
        let decoded = codec.decode(body);
        if decoded.is_err() {
            self.store.undecodable(key.as_bytes());
        }
        decoded.ok()
    }

    fn present_held(
        &self,
        ticket: &Ticket,
        key: &Key,
        held: &Held,
        trail: &Trail,
    ) -> Option<Cached<V>> {
        let entry = self.take_in(ticket, key, held)?;
        let now = self.store.now();
        match entry.freshness(now) {
            Freshness::Fresh { .. } => trail.found_there(),
            Freshness::Stale {
                while_revalidate: true,
                ..
            } => trail.revalidated_elsewhere(),
            Freshness::Stale { .. } | Freshness::Dead => return None,
        }
        Cached::new(entry, now)
    }

    /// Whether it is a cache at all: the [environment](crate::config) may have it off.
    pub fn is_enabled(&self) -> bool {
        self.shape.config.as_ref().is_none_or(Config::is_enabled)
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

/// A value as the remote tier takes it, and its weight.
#[derive(Default)]
pub(crate) struct Encoded {
    pub(crate) size: usize,
    /// `None` without a codec, or where there is no value.
    pub(crate) body: Option<Bytes>,
}

struct Insertion<V> {
    key: Key,
    entry: Arc<Entry<V>>,
    shared: Shared,
    fits: bool,
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

/// Without its policy, whose groups may name whom they are about.
impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("store", &self.store)
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
    schema: Option<String>,
    config: Option<Config>,
    /// For values that the environment has shared, where the code names no codec.
    spare: Option<Box<dyn Codec<V>>>,
}

impl<V: Send + Sync + 'static> CacheBuilder<V> {
    fn new(name: String) -> Self {
        let sizes = Sizes::Weighed(Box::new(|value| size_of_val(value)));
        Self {
            name,
            policy: Policy::default(),
            sizes,
            memory: StoreBuilder::new(),
            schema: None,
            config: None,
            spare: None,
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

    /// Shares values with other processes, by a remote tier or its [URL](crate::remote::from_url), encoded
    /// as JSON unless a [`codec`](Self::codec) was named.
    ///
    /// ```
    /// # fn main() -> Result<(), cache_core::Error> {
    /// use cache_core::Cache;
    ///
    /// # #[cfg(feature = "redis")] {
    /// // Nothing is dialled here: without Redis the cache works as if it had memory alone.
    /// let users: Cache<String> = Cache::builder("users").remote("redis://127.0.0.1/").build()?;
    /// # }
    ///
    /// // What cannot be used is an error of `build`, which shows no secret.
    /// let refused = Cache::<String>::builder("users").remote("http://user:secret@cache/").build();
    /// assert!(refused.is_err_and(|error| !error.to_string().contains("secret")));
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "json")]
    pub fn remote(mut self, remote: impl IntoRemote) -> Self
    where
        V: serde::Serialize + serde::de::DeserializeOwned,
    {
        if matches!(self.sizes, Sizes::Weighed(_)) {
            self.sizes = Sizes::Encoded(Box::new(crate::Json));
        }
        self.memory = self.memory.remote(remote);
        self
    }

    /// Shares values with other processes, encoded by `codec`.
    pub fn remote_with(mut self, remote: impl IntoRemote, codec: impl Codec<V>) -> Self {
        self.memory = self.memory.remote(remote);
        self.codec(codec)
    }

    /// Settings of the environment: where it says something, that goes before what is said here, in
    /// whatever order. See [`config`](crate::config). Where it names a remote tier values are encoded as
    /// JSON, unless a [`codec`](Self::codec) was named.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config), naming every wrong variable and what is accepted.
    #[cfg(feature = "json")]
    pub fn from_env(self) -> Result<Self, Error>
    where
        V: serde::Serialize + serde::de::DeserializeOwned,
    {
        Ok(self.from_config(&Config::from_env()?))
    }

    /// As [`from_env`](Self::from_env), of settings that were read before, and may serve several caches.
    #[cfg(feature = "json")]
    pub fn from_config(mut self, config: &Config) -> Self
    where
        V: serde::Serialize + serde::de::DeserializeOwned,
    {
        self.spare = Some(Box::new(crate::Json));
        self.configured(config)
    }

    /// As [`from_config`](Self::from_config), with values encoded by `codec`.
    pub fn from_config_with(self, config: &Config, codec: impl Codec<V>) -> Self {
        self.configured(config).codec(codec)
    }

    fn configured(mut self, config: &Config) -> Self {
        self.memory = self.memory.from_config(config);
        self.config = Some(config.clone());
        self
    }

    /// With the spare codec where the environment names a remote tier, and the code none for it.
    fn encoded_where_shared(mut self) -> Self {
        let is_shared = self.config.as_ref().and_then(Config::remote).is_some();
        if is_shared
            && matches!(self.sizes, Sizes::Weighed(_))
            && let Some(codec) = self.spare.take()
        {
            self.sizes = Sizes::Encoded(codec);
        }
        self
    }

    /// Keeps no values in memory: each look-up asks the remote tier, which there must be. Default: they
    /// are kept.
    pub fn without_memory(mut self) -> Self {
        self.memory = self.memory.without_memory();
        self
    }

    /// How the remote tier is used. Default: [`RemoteSettings::new`].
    pub fn remote_settings(mut self, settings: RemoteSettings) -> Self {
        self.memory = self.memory.remote_settings(settings);
        self
    }

    /// What the values are, to other processes: those stored under another name are misses. To be
    /// changed with the meaning of the values' encoding. Default: the names of the value's type and
    /// its codec.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
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
        self.encoded_where_shared().assemble()
    }

    fn assemble(self) -> Result<Cache<V>, Error> {
        let schema = self.schema.unwrap_or_else(|| match &self.sizes {
            Sizes::Weighed(_) => std::any::type_name::<V>().to_owned(),
            Sizes::Encoded(codec) => format!("{} {codec:?}", std::any::type_name::<V>()),
        });
        let namespace = Namespace::new(&self.name);
        let memory = self
            .memory
            .schema(&schema)
            .group_scope(namespace.scope())
            .name(self.name.as_str());
        let store: Store<V> = memory.build()?;
        if store.has_remote() && matches!(self.sizes, Sizes::Weighed(_)) {
            return Err(Error::config(
                "the cache has a remote tier but no codec, since `weigh` was called after it; accepted is one of both, or `codec` last",
            ));
        }
        Ok(Cache {
            store,
            policy: Arc::new(under(self.config.as_ref(), self.policy)),
            shape: Arc::new(Shape {
                namespace,
                sizes: self.sizes,
                config: self.config,
            }),
        })
    }
}

/// The policy as the environment has it.
fn under(config: Option<&Config>, policy: Policy) -> Policy {
    match config {
        Some(config) => config.policy(policy),
        None => policy,
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
