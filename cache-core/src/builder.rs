//! Building a store.

use crate::{
    Config, Error, Store,
    clock::{Clock, Random, SystemClock, SystemRandom},
    config::Tiers,
    memory::Hashing,
    permit::Permits,
    remote::{
        IntoRemote, Remote, RemoteSettings,
        tier::{Naming, Parts},
    },
};
use std::{fmt, sync::Arc};

/// Builds a [`Store`], for engines with rules of their own.
#[must_use = "a builder does nothing until `build`"]
pub struct StoreBuilder {
    capacity: u64,
    max_entry: Option<u64>,
    max_refreshes: usize,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    colliding: bool,
    remote: Option<Result<Arc<dyn Remote>, Error>>,
    remote_settings: RemoteSettings,
    schema: u64,
    naming: Option<Naming>,
    scope: String,
    has_memory: bool,
    config: Option<Config>,
    name: String,
}

impl Default for StoreBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl StoreBuilder {
    /// The defaults named at each setter.
    pub fn new() -> Self {
        Self {
            capacity: 64 * 1024 * 1024,
            max_entry: None,
            max_refreshes: 64,
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
            colliding: false,
            remote: None,
            remote_settings: RemoteSettings::new(),
            schema: 0,
            naming: None,
            scope: String::new(),
            has_memory: true,
            config: None,
            name: "cache".to_owned(),
        }
    }

    /// The bytes that memory may hold, keys and bookkeeping included. Default: 64 MiB.
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// The most bytes that a value and its key may weigh to be kept; at most a quarter of the
    /// capacity. What is heavier is handed out only. Default:
    /// 1 MiB, or a quarter of the capacity where that is less.
    pub fn max_entry(mut self, bytes: u64) -> Self {
        self.max_entry = Some(bytes);
        self
    }

    /// So many refreshes run in the background at a time; beyond that stale values are handed out
    /// without one. Accepted: 1 or more. Default: 64.
    pub fn max_refreshes(mut self, most: usize) -> Self {
        self.max_refreshes = most;
        self
    }

    /// The clock of lifetimes. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The randomness of jitter and early refresh. Default: [`SystemRandom`].
    pub fn random(mut self, random: impl Random) -> Self {
        self.random = Arc::new(random);
        self
    }

    /// The tier that is shared with other processes, or its [URL](crate::remote::from_url). Default: none.
    pub fn remote(mut self, remote: impl IntoRemote) -> Self {
        self.remote = Some(remote.into_remote());
        self
    }

    /// Keeps no entries in memory: each look-up asks the remote tier, which there must be. Default: they
    /// are kept.
    pub fn without_memory(mut self) -> Self {
        self.has_memory = false;
        self
    }

    /// Where these settings, which may be the environment's, say something, it goes before what is said
    /// here. Default: none.
    pub fn from_config(mut self, config: &Config) -> Self {
        self.config = Some(config.clone());
        self
    }

    /// How the remote tier is used. Default: [`RemoteSettings::new`].
    pub fn remote_settings(mut self, settings: RemoteSettings) -> Self {
        self.remote_settings = settings;
        self
    }

    /// What the bodies in the remote tier are: those that were written under another name are misses.
    /// To be changed whenever their encoding is. Default: the empty name.
    pub fn schema(mut self, name: &str) -> Self {
        self.schema = fnv(name.as_bytes());
        self
    }

    /// How keys are named in the remote tier, for keys that cannot be used as they are: `write` is
    /// given a key and appends its name. Names of different keys must differ, save for a chance of a
    /// digest: the key itself is compared as well. Default: as they are.
    pub fn remote_names(
        mut self,
        write: impl Fn(&[u8], &mut Vec<u8>) + Send + Sync + 'static,
    ) -> Self {
        self.naming = Some(Arc::new(write));
        self
    }

    /// What the groups of this store are told apart by from those of other stores in the same remote
    /// tier. It must hold no `:`. Default: empty.
    pub fn group_scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = scope.into();
        self
    }

    /// What the store is called in metrics and spans. Default: `cache`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Makes the hashes of all keys equal, to test that keys are told apart without them.
    #[cfg(any(test, feature = "test-util"))]
    pub fn colliding_hashes(mut self) -> Self {
        self.colliding = true;
        self
    }

    /// The most that [`max_entry`](Self::max_entry) may be: a quarter of the capacity, as the environment has it.
    pub fn most_per_entry(&self) -> u64 {
        let config = self.config.as_ref().and_then(Config::capacity);
        config.unwrap_or(self.capacity) / 4
    }

    /// Builds the store.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config), naming each setting that cannot work and what is accepted.
    pub fn build<V>(self) -> Result<Store<V>, Error> {
        self.configured().assemble()
    }

    pub(crate) fn configured(self) -> Self {
        let Some(config) = self.config.clone() else {
            return self;
        };
        config.tell_warnings();
        let remote = config.remote().map(Ok);
        let (remote, has_memory) = match config.tiers() {
            _ if !config.is_enabled() => (None, true),
            None => (self.remote, self.has_memory),
            Some(Tiers::Memory) => (None, true),
            Some(Tiers::Redis) => (remote, false),
            Some(Tiers::Tiered) => (remote, true),
        };
        Self {
            capacity: config.capacity().unwrap_or(self.capacity),
            remote_settings: config.remote_settings(self.remote_settings),
            remote,
            has_memory,
            ..self
        }
    }

    fn assemble<V>(self) -> Result<Store<V>, Error> {
        /// Below this a store holds next to nothing beside its own bookkeeping.
        const LEAST: u64 = 4096;
        if self.capacity < LEAST {
            let found = self.capacity;
            return Err(Error::config(format!(
                "capacity is {found} bytes; accepted is {LEAST} or more"
            )));
        }
        let most = self.most_per_entry();
        let largest = self.max_entry.unwrap_or_else(|| most.min(1024 * 1024));
        if largest == 0 || largest > most {
            let config = self.config.as_ref().and_then(Config::capacity);
            let told = config.map(|bytes| format!(", which is {bytes} by CACHE_MEMORY_SIZE"));
            return Err(Error::config(format!(
                "max_entry is {largest} bytes; accepted is 1 to {most}, a quarter of the capacity{}",
                told.unwrap_or_default()
            )));
        }
        if self.max_refreshes == 0 {
            return Err(Error::config("max_refreshes is 0; accepted is 1 or more"));
        }
        if !self.has_memory && self.remote.is_none() {
            return Err(Error::config(
                "without_memory is set and there is no remote tier; accepted is one of both",
            ));
        }
        self.remote_settings.validate()?;
        let hashing = self.hashing();
        let parts = self.remote.transpose()?.map(|remote| Parts {
            remote,
            settings: self.remote_settings,
            schema: self.schema,
            naming: self.naming,
            scope: self.scope.into(),
        });
        let permits = Permits::new(self.max_refreshes);
        Ok(Store::new(
            self.name.into(),
            (self.has_memory.then_some(self.capacity), largest),
            &hashing,
            permits,
            self.clock,
            self.random,
            parts,
        ))
    }

    #[cfg(any(test, feature = "test-util"))]
    fn hashing(&self) -> Hashing {
        if self.colliding {
            Hashing::colliding()
        } else {
            Hashing::default()
        }
    }

    #[cfg(not(any(test, feature = "test-util")))]
    fn hashing(&self) -> Hashing {
        debug_assert!(!self.colliding);
        Hashing::default()
    }
}

impl fmt::Debug for StoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreBuilder")
            .field("capacity", &self.capacity)
            .field("max_entry", &self.max_entry)
            .field("max_refreshes", &self.max_refreshes)
            .field("clock", &self.clock)
            .field("random", &self.random)
            .field("remote", &self.remote)
            .field("remote_settings", &self.remote_settings)
            .finish_non_exhaustive()
    }
}

/// FNV-1a: fixed for ever, because processes of different builds compare it.
fn fnv(bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}
