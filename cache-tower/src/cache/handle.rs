use super::{CacheLayer, CacheService};
use crate::{
    adapter::Engine, codec::SCHEMA, config::Config, engine::Shared,
    http::cache_status::CacheStatus, policy::Policy, purge::Purger, routing::Framework,
};
use cache_core::{
    Error, Stats, StoreBuilder,
    clock::{Clock, Random},
    remote::{IntoRemote, RemoteSettings, RemoteStats},
};
use http::HeaderName;
use sha2::{Digest, Sha256};
use std::{fmt, marker::PhantomData, sync::Arc};
use tower_layer::Layer;

/// One HTTP cache. A cheap handle: clones, and all layers made of it, share one store.
///
/// It is itself a layer, with the policy [`Policy::from_headers`]: it stores what responses say may
/// be stored. [`policy`](Self::policy) makes layers for routes that say more.
///
/// ```
/// use cache_tower::{HttpCache, Policy, minutes};
/// use tower::{ServiceBuilder, service_fn};
/// # use http::{Request, Response};
/// # use http_body_util::{Empty, Full};
/// # use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), cache_core::Error> {
/// let cache = HttpCache::new();
/// let service = ServiceBuilder::new()
///     .layer(cache.policy(Policy::ttl(minutes(5))))
///     .service(service_fn(|_: Request<Empty<bytes::Bytes>>| async {
///         Ok::<_, std::convert::Infallible>(Response::new(Full::from("made once")))
///     }));
///
/// for answered in ["fwd=uri-miss", "hit"] {
///     let request = Request::get("http://localhost/").body(Empty::new()).unwrap();
///     let response = service.clone().oneshot(request).await.unwrap();
///     let status = response.headers()["cache-status"].to_str().unwrap();
///     assert!(status.starts_with(&format!("cache-tower;{answered};ttl=")), "{status}");
/// }
/// assert_eq!(cache.stats().hits, 1);
/// # Ok(()) }
/// ```
pub struct HttpCache<R> {
    pub(super) shared: Arc<Shared>,
    default: CacheLayer<R>,
}

impl<R: Framework> HttpCache<R> {
    /// A cache with the defaults named at the [builder](HttpCacheBuilder)'s setters.
    pub fn new() -> Self {
        Self::builder()
            .assemble()
            .expect("the defaults are accepted")
    }

    /// Begins a cache.
    pub fn builder() -> HttpCacheBuilder<R> {
        HttpCacheBuilder::new()
    }

    /// A cache set by the [environment](crate::config): in memory by default, with Redis if `CACHE_URL`
    /// says so and the feature `redis` is on. Each call makes another cache: a service has one, and clones it.
    ///
    /// # Errors
    ///
    /// As [`Config::from_env`], and where a size has no place in another.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_config(&Config::from_env()?)
    }

    /// The same, by settings that were read before.
    ///
    /// # Errors
    ///
    /// Where a size has no place in another.
    pub fn from_config(config: &Config) -> Result<Self, Error> {
        Self::builder().from_config(config).assemble()
    }

    /// The settings that it was built [from](HttpCacheBuilder::from_config).
    pub fn config(&self) -> Option<&Config> {
        self.shared.config.as_ref()
    }

    pub(super) fn into_layer(self) -> CacheLayer<R> {
        self.default
    }

    /// A layer of this cache with a policy of its own.
    ///
    /// # Panics
    ///
    /// When the policy is impossible, with the words of [`try_policy`](Self::try_policy)'s error:
    /// policies are written in code, where routes are declared.
    pub fn policy(&self, policy: Policy) -> CacheLayer<R> {
        match self.try_policy(policy) {
            Ok(layer) => layer,
            #[allow(
                clippy::panic,
                reason = "documented, as a router panics on a route it cannot parse"
            )]
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`policy`](Self::policy), for policies that are not known to be possible.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config), naming each setting that cannot work and what is accepted.
    pub fn try_policy(&self, policy: Policy) -> Result<CacheLayer<R>, Error> {
        policy.validate()?;
        Ok(CacheLayer::new(Arc::clone(&self.shared), policy))
    }

    /// Something to purge with, to keep where no request is at hand.
    pub fn purger(&self) -> Purger {
        Purger::new(&self.shared)
    }

    /// For adapters: what drives requests by the policy of the cache as a layer.
    pub fn engine(&self) -> Engine {
        self.default.engine()
    }

    /// The counts so far, and what is held now.
    pub fn stats(&self) -> Stats {
        self.shared.store.stats()
    }

    /// Sets the gauges of the metrics to what is so now. Requests do so about once a second; whoever is about
    /// to read the metrics may do so just before. Without the feature `metrics` nothing is done.
    pub fn measure(&self) {
        self.shared.store.measure();
    }

    /// How the remote tier is; `None` where there is none.
    pub fn remote_stats(&self) -> Option<RemoteStats> {
        self.shared.store.remote_stats()
    }
}

impl<R: Framework> Default for HttpCache<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Clone for HttpCache<R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            default: self.default.clone(),
        }
    }
}

impl<R> fmt::Debug for HttpCache<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCache")
            .field("store", &self.shared.store)
            .finish_non_exhaustive()
    }
}

impl<S, R> Layer<S> for HttpCache<R> {
    type Service = CacheService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        self.default.layer(inner)
    }
}

/// What tells the responses and groups of a cache of this name, in a remote tier, from those of caches of
/// other names, and of typed caches: what these write before their first `:` has no `%` before a letter.
fn scope(name: &str) -> String {
    format!("http%{}", name.replace('%', "%25").replace(':', "%3A"))
}

/// Keys hold URLs, and are long: a digest stands for them, and the key itself is compared.
fn write_name(scope: &[u8], key: &[u8], name: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or_default();
    name.extend_from_slice(scope);
    for byte in Sha256::digest(key).iter().take(16) {
        name.extend([digit(byte >> 4), digit(byte & 15)]);
    }
}

/// Beside a body: fields at their largest, with what a map spends on them.
const HEAD: u64 = 128 * 1024;

/// Builds an [`HttpCache`].
#[must_use = "a builder does nothing until `build`"]
pub struct HttpCacheBuilder<R> {
    store: StoreBuilder,
    name: String,
    sends_status: bool,
    scheme: String,
    max_body: Option<u64>,
    targets: Vec<HeaderName>,
    heeds_cache_groups: bool,
    config: Option<Config>,
    routing: PhantomData<fn() -> R>,
}

impl<R: Framework> HttpCacheBuilder<R> {
    fn new() -> Self {
        Self {
            store: StoreBuilder::new().name("cache-tower").schema(SCHEMA),
            name: "cache-tower".to_owned(),
            sends_status: true,
            scheme: "http".to_owned(),
            max_body: None,
            targets: Vec::new(),
            heeds_cache_groups: true,
            config: None,
            routing: PhantomData,
        }
    }

    /// The bytes that memory may hold, keys and bookkeeping included. Default: 64 MiB.
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.store = self.store.capacity(bytes);
        self
    }

    /// The largest body that is kept, in bytes; a larger one is passed on as it comes. It must fit,
    /// with its fields, into a quarter of the capacity. Default: 1 MiB, or as much as fits.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// So many refreshes run in the background at a time; beyond that stale responses are given out
    /// without one. Accepted: 1 or more. Default: 64.
    pub fn max_refreshes(mut self, most: usize) -> Self {
        self.store = self.store.max_refreshes(most);
        self
    }

    /// The scheme of requests whose URI names none, as those of HTTP/1.1: `https` where TLS ends
    /// before the service. Default: `http`.
    pub fn scheme(mut self, scheme: impl Into<String>) -> Self {
        self.scheme = scheme.into();
        self
    }

    /// The name of this cache in the Cache-Status field (RFC 9211), in metrics and spans; an RFC 9651 token.
    /// In a [remote tier](Self::remote) caches of different names have nothing in common. Default:
    /// `cache-tower`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.store = self.store.name(name.as_str());
        self.name = name;
        self
    }

    /// Sends no Cache-Status field. Default: it is sent.
    pub fn without_cache_status(mut self) -> Self {
        self.sends_status = false;
        self
    }

    /// The targeted fields that this cache heeds, in order of preference (RFC 9213), as
    /// `CDN-Cache-Control`: the first of them that a response has takes the place of its Cache-Control
    /// and Expires. What was heeded is not passed on from the store. Default: none.
    pub fn targeted_fields(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.targets = names.into_iter().collect();
        self
    }

    /// Does not heed Cache-Groups and Cache-Group-Invalidation (RFC 9875), for an origin whose paths
    /// belong to parties that must not invalidate each other's responses. Default: they are heeded.
    pub fn without_cache_groups(mut self) -> Self {
        self.heeds_cache_groups = false;
        self
    }

    /// The tier that this cache shares with those of other processes: responses, loads, invalidations.
    /// Layers share what they store where their policies are equal, their depth is the same, and so is the
    /// [name](Self::name) of their caches. Default: none.
    ///
    /// A [`redis://` URL](cache_core::remote::from_url) names one, with the feature `redis`. Where it is
    /// away, everything is as without one.
    pub fn remote(mut self, remote: impl IntoRemote) -> Self {
        self.store = self.store.remote(remote);
        self
    }

    /// Keeps no responses in memory: each look-up asks the remote tier, which there must be. Default: they
    /// are kept.
    pub fn without_memory(mut self) -> Self {
        self.store = self.store.without_memory();
        self
    }

    /// Settings of the [environment](crate::config): where it says something, that goes before what is said
    /// here, in whatever order, and before the policies of layers.
    ///
    /// # Errors
    ///
    /// As [`Config::from_env`].
    pub fn from_env(self) -> Result<Self, Error> {
        Ok(self.from_config(&Config::from_env()?))
    }

    /// The same, by settings that were read before, and may serve several caches.
    pub fn from_config(mut self, config: &Config) -> Self {
        self.store = self.store.from_config(config);
        self.config = Some(config.clone());
        self
    }

    /// How the remote tier is used. Default: [`RemoteSettings::new`].
    pub fn remote_settings(mut self, settings: RemoteSettings) -> Self {
        self.store = self.store.remote_settings(settings);
        self
    }

    /// The clock of lifetimes and dates. Default: the machine's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.store = self.store.clock(clock);
        self
    }

    /// The randomness of jitter and early refresh. Default: the machine's.
    pub fn random(mut self, random: impl Random) -> Self {
        self.store = self.store.random(random);
        self
    }

    /// Makes the hashes of all keys equal, to test that keys are told apart without them.
    #[cfg(feature = "test-util")]
    pub fn colliding_hashes(mut self) -> Self {
        self.store = self.store.colliding_hashes();
        self
    }

    /// Builds the cache.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config), naming a setting that cannot work and what is accepted.
    pub fn build(self) -> Result<R::Cache, Error> {
        self.assemble().map(R::Cache::from)
    }

    /// Takes from the environment what is not the store's.
    fn configured(mut self) -> Self {
        if let Some(config) = &self.config {
            self.max_body = config.max_body().or(self.max_body);
            self.sends_status = config.sends_status().unwrap_or(self.sends_status);
            if let Some(fields) = config.targeted() {
                self.targets = fields.to_vec();
            }
        }
        self
    }

    fn assemble(self) -> Result<HttpCache<R>, Error> {
        if let Some(config) = &self.config {
            config.tell_warnings();
        }
        self.configured().make()
    }

    /// The largest body, and the largest entry: with what a response has beside its body.
    fn sizes(&self) -> Result<(u64, u64), Error> {
        const USUAL: u64 = 1024 * 1024;
        match self.max_body {
            Some(0) => Err(Error::config("max_body is 0; accepted is 1 or more")),
            Some(body) => Ok((body, body.saturating_add(HEAD))),
            None => {
                let entry = (USUAL + HEAD).min(self.store.most_per_entry());
                Ok((entry.saturating_sub(HEAD).max(entry / 2), entry))
            }
        }
    }

    fn make(self) -> Result<HttpCache<R>, Error> {
        let (max_body, max_entry) = self.sizes()?;
        let scheme = match self.scheme.as_str() {
            "http" => "http",
            "https" => "https",
            other => {
                return Err(Error::config(format!(
                    "scheme is `{other}`; accepted are `http` and `https`"
                )));
            }
        };
        let name = self.name;
        let status = CacheStatus::new(&name).ok_or_else(|| {
            Error::config(format!("name is `{name}`; accepted is a token: letters, digits and !#$%&'*+-.^_`|~:/, beginning with a letter"))
        })?;
        let scope = scope(&name);
        let names: Arc<[u8]> = format!("{scope}:").into_bytes().into();
        let prefix = Arc::clone(&names);
        let shared = Arc::new(Shared {
            store: self
                .store
                .group_scope(scope)
                .remote_names(move |key, name| write_name(&prefix, key, name))
                .max_entry(max_entry)
                .build()
                .map_err(|error| {
                    Error::config(format!(
                        "{error}; max_entry is max_body (CACHE_MAX_BODY) and {HEAD} bytes for its fields, capacity is CACHE_MEMORY_SIZE where that is set"
                    ))
                })?,
            status: self.sends_status.then_some(status),
            names,
            scheme,
            max_body,
            targets: self.targets.into(),
            heeds_cache_groups: self.heeds_cache_groups,
            alone: Default::default(),
            policies: Default::default(),
            is_enabled: self.config.as_ref().is_none_or(|config| config.is_enabled()),
            config: self.config,
            has_longer_keys: Default::default(),
            field_copy: R::FIELD_COPY,
        });
        let default = CacheLayer::new(Arc::clone(&shared), Policy::from_headers());
        Ok(HttpCache { shared, default })
    }
}

impl<R> fmt::Debug for HttpCacheBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCacheBuilder")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
