//! The remote tier: bytes by key in a store that processes share, and that may fail at any moment.
//!
//! [`Remote`] is what such a store must offer: values, leases that let one process of all load a key,
//! versions of groups, and a stream of notices that tells memory when it is out of date. With the
//! feature `redis` there is `Redis`, for Redis and Valkey; `fake`, with `test-util`, is one within
//! the process that loses, delays and fails over on demand. `checks`, also with `test-util`, is the
//! suite that any implementation has to pass.
//!
//! # What a caller may rely on
//!
//! * Nothing here fails a request. A store that is away is a miss; [`Failure`] says why, for metrics.
//! * Every operation takes a limit of time and ends by it; only a large value that is known to be on
//!   its way is waited for a little longer, in proportion to its size.
//! * A lease has one owner, known by its [`Token`]. Under another token, or after the key was
//!   invalidated, nothing is stored.
//! * Times are the server's own, so the clocks of processes need not agree.
//!
//! # What an implementation may rely on
//!
//! Keys hold no more than [`MAX_KEY`] bytes, and neither `{` nor `}` except for one deliberate hash
//! tag. Values are opaque; the cache checks what it reads.

mod budget;
#[cfg(feature = "test-util")]
pub mod checks;
pub(crate) mod coherence;
mod envelope;
#[cfg(feature = "test-util")]
pub mod fake;
mod jobs;
mod journal;
mod lease;
#[cfg(feature = "redis")]
pub mod redis;
pub(crate) mod tier;

pub use budget::Budget;
pub use envelope::{Envelope, Odd, Sealed};
#[cfg(feature = "test-util")]
pub use fake::Fake;
pub use lease::{Lease, Shared};
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisSettings};
pub use tier::{Failures, Held, Leasing, RemoteSettings, RemoteStats};

use crate::{Error, observe::Digest};
use bytes::Bytes;
use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The longest key that is shared, in bytes; a longer one stays in memory.
pub const MAX_KEY: usize = 1024;

/// A value of more bytes may need more time on its way than a request has in all.
pub(crate) const LARGE: usize = 64 * 1024;

/// The code of what a user may not do, which lasts.
pub(crate) const FORBIDDEN: &str = "NOPERM";

/// What `bytes` that are known to be on their way are waited for, beyond the limit: 1 ms for 8 KiB,
/// which a link of 100 Mbit/s does in two thirds of that. Over one that is slower, or that many
/// share, a value of this size is not worth waiting for.
pub(crate) fn on_its_way(bytes: usize) -> Duration {
    const PER_MILLISECOND: usize = 8 * 1024;
    let millis = if bytes > LARGE {
        bytes / PER_MILLISECOND
    } else {
        0
    };
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// The result of an operation on a [`Remote`], in the making.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// A store that processes share.
///
/// Every operation ends within its `limit`, or a scheduler's delay later, and may be dropped at any
/// point. One that failed with [`Failure::Late`] may have happened or not.
///
/// Where a [`look`](Self::look) or a [`lease`](Self::lease) has learnt within its limit that a value of
/// more than 64 KiB is on its way, it may take longer: by 1 ms for each 8 KiB, and no more.
pub trait Remote: fmt::Debug + Send + Sync + 'static {
    /// The value of `key`.
    fn look<'a>(&'a self, key: &'a [u8], limit: Duration) -> Work<'a, Option<Found>>;

    /// The values of `keys`, in their order, in one round trip (per node, where there are several). What is
    /// on a node that is away is missing.
    fn look_many<'a>(
        &'a self,
        keys: &'a [&'a [u8]],
        limit: Duration,
    ) -> Work<'a, Vec<Option<Found>>>;

    /// In one step and one round trip: the value of the key, unless it begins with the bytes the
    /// caller has seen; else its lease, or who else has that, or the failure of who had it.
    fn lease<'a>(&'a self, ask: Ask<'a>, limit: Duration) -> Work<'a, Leased>;

    /// Stores the value and ends the lease, if the lease still carries `token`; says whether it did.
    fn commit<'a>(
        &'a self,
        key: &'a [u8],
        token: Token,
        value: Value,
        limit: Duration,
    ) -> Work<'a, bool>;

    /// Ends the lease with a failure, which those who ask for it get during `pause`; false where the
    /// lease no longer carries `token`.
    fn fail<'a>(
        &'a self,
        key: &'a [u8],
        token: Token,
        message: &'a str,
        pause: Duration,
        limit: Duration,
    ) -> Work<'a, bool>;

    /// Ends the lease without an outcome; false where it no longer carries `token`.
    fn release<'a>(&'a self, key: &'a [u8], token: Token, limit: Duration) -> Work<'a, bool>;

    /// Lets the lease last for `lasting` from now; false where it no longer carries `token`.
    fn renew<'a>(
        &'a self,
        key: &'a [u8],
        token: Token,
        lasting: Duration,
        limit: Duration,
    ) -> Work<'a, bool>;

    /// Stores values whoever has their leases, and ends those. May fail [for some](Failure::Partly).
    fn put_many<'a>(&'a self, values: &'a [(&'a [u8], Value)], limit: Duration) -> Work<'a, ()>;

    /// Removes the values and ends the leases of `keys`; says how many values those were. May fail
    /// [for some](Failure::Partly).
    fn invalidate<'a>(&'a self, keys: &'a [&'a [u8]], limit: Duration) -> Work<'a, u64>;

    /// Removes the values and ends the leases of all keys that begin with `prefix` and go on as
    /// `pattern` (in the notation of [`Pattern`](crate::Pattern)). In bounded batches: time is
    /// proportional to all keys, and `limit` is that of each batch. Then tells that
    /// [everything](Notice::Everything) may have changed, since memories also hold what is not here.
    fn invalidate_matching<'a>(
        &'a self,
        prefix: &'a [u8],
        pattern: &'a str,
        limit: Duration,
    ) -> Work<'a, u64>;

    /// When each group was last invalidated, by the server's clock; `None` where that is not known,
    /// and then no entry of it is valid.
    fn groups<'a>(
        &'a self,
        names: &'a [&'a str],
        limit: Duration,
    ) -> Work<'a, Vec<Option<ServerTime>>>;

    /// As [`groups`](Self::groups), but a group that is not known is made one that was invalidated
    /// just before `born`, and all are kept for `lasting` at least.
    fn join_groups<'a>(
        &'a self,
        names: &'a [&'a str],
        born: ServerTime,
        lasting: Duration,
        limit: Duration,
    ) -> Work<'a, Vec<ServerTime>>;

    /// Makes every entry of the group invalid whose load began before now.
    fn invalidate_group<'a>(&'a self, name: &'a str, limit: Duration) -> Work<'a, ()>;

    /// Tells `watcher` what happens, from now on and until it is dropped.
    fn watch(&self, watcher: Weak<dyn Watcher>);

    /// The server's time now, never later than it is; `None` before it was ever heard.
    fn now(&self) -> Option<ServerTime>;

    /// How it is. Answers at once, and a store that was never used begins to be.
    fn health(&self) -> Health;

    /// The largest value it takes, in bytes.
    fn max_value(&self) -> usize;
}

/// Why an operation on a remote tier came to nothing. To a caller of the cache it is a miss.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// It is known to be away; nothing was tried.
    Away,
    /// It did not answer within the limit, or the connection broke.
    Late,
    /// It refused, with this code; other operations may work. `NOPERM` is for what lasts, since the user may not do
    /// it: an invalidation is then tried again less and less often.
    Refused(Arc<str>),
    /// The value or key is larger than it takes.
    TooLarge,
    /// It is done for all but some of the keys, which are elsewhere: those at these places, in ascending
    /// order, of the keys that were given.
    Partly(Arc<[usize]>),
}

impl Failure {
    /// Its word in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Late => "late",
            Self::Refused(_) => "refused",
            Self::TooLarge => "too-large",
            Self::Partly(_) => "partly",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away => f.write_str("the remote tier is away"),
            Self::Late => f.write_str("the remote tier did not answer in time"),
            Self::Refused(code) => write!(f, "the remote tier refused with {code}"),
            Self::TooLarge => f.write_str("too large for the remote tier"),
            Self::Partly(places) => {
                write!(
                    f,
                    "a part of the remote tier failed, for {} keys",
                    places.len()
                )
            }
        }
    }
}

impl std::error::Error for Failure {}

/// A value as it was found.
#[derive(Clone, PartialEq, Eq)]
pub struct Found {
    /// Its bytes.
    pub bytes: Bytes,
    /// The server's time when it was read.
    pub at: ServerTime,
}

/// Without what may not reach a log.
impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("length", &self.bytes.len())
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// A value to store.
#[derive(Clone)]
pub struct Value {
    /// Its bytes.
    pub bytes: Bytes,
    /// How long it is kept; less than a millisecond stores nothing.
    pub lasting: Duration,
}

/// Without what may not reach a log.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("length", &self.bytes.len())
            .field("lasting", &self.lasting)
            .finish_non_exhaustive()
    }
}

/// Asking for a value or the lease of its key.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The key.
    pub key: &'a [u8],
    /// A token of this asking alone.
    pub token: Token,
    /// A value that begins with these bytes is known and not wanted; empty where none is.
    pub seen: &'a [u8],
    /// How long a lease lasts unless it is renewed.
    pub lasting: Duration,
}

/// Without what may not reach a log.
impl fmt::Debug for Ask<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("token", &self.token)
            .field("lasting", &self.lasting)
            .finish_non_exhaustive()
    }
}

/// What came of [`Remote::lease`].
#[derive(Clone, PartialEq, Eq)]
pub enum Leased {
    /// There is a value.
    Value(Found),
    /// The caller has the lease, from this server time on.
    Granted(ServerTime),
    /// Another has it, for so long unless it is renewed.
    Held(Duration),
    /// Who had it failed, and the failure stands for so long.
    Failed {
        /// What it said.
        message: String,
        /// What is left of the pause.
        left: Duration,
    },
}

/// Without what may not reach a log: a message is a loader's own.
impl fmt::Debug for Leased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(found) => f.debug_tuple("Value").field(found).finish(),
            Self::Granted(from) => f.debug_tuple("Granted").field(from).finish(),
            Self::Held(left) => f.debug_tuple("Held").field(left).finish(),
            Self::Failed { left, .. } => f
                .debug_struct("Failed")
                .field("left", left)
                .finish_non_exhaustive(),
        }
    }
}

/// Names the owner of a lease: no two are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; 16]);

impl Token {
    /// A new token. The first half tells processes apart (64 bits that the operating system seeded),
    /// the second counts within the process.
    pub fn new() -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let process = *PROCESS.get_or_init(|| RandomState::new().hash_one("token"));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self((u128::from(process) << 64 | u128::from(count)).to_be_bytes())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Default for Token {
    fn default() -> Self {
        Self::new()
    }
}

/// A point in the server's time, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServerTime(pub u64);

impl ServerTime {
    /// This time, `duration` later; saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// The time from `earlier`, zero if that one is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Told what happens in a remote tier. Must answer at once: it runs where notices arrive.
pub trait Watcher: Send + Sync {
    /// Something happened.
    fn notice(&self, notice: Notice<'_>);
}

/// What a [`Watcher`] is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Notice<'a> {
    /// The value of this key was written or removed, by anybody.
    Changed(&'a [u8]),
    /// The lease of this key ended: who waits should ask again.
    Woken(&'a [u8]),
    /// This group was invalidated.
    Group(&'a str),
    /// Everything may have changed.
    Everything,
    /// Whatever happened up to `within` ago has been told by now.
    Heard {
        /// The time since the question was sent that was answered now.
        within: Duration,
    },
    /// From here on nothing is told, until the next `Heard`; what happened meanwhile is lost.
    Lost,
    /// It does not answer, and is not asked for now: who waits for the load of another need not.
    Silent,
}

/// Keys and groups as digests.
impl fmt::Debug for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, what, name: &[u8]| {
            f.debug_tuple(what).field(&Digest::of(name)).finish()
        };
        match self {
            Self::Changed(name) => named(f, "Changed", name),
            Self::Woken(name) => named(f, "Woken", name),
            Self::Group(name) => named(f, "Group", name.as_bytes()),
            Self::Everything => f.write_str("Everything"),
            Self::Heard { within } => f.debug_struct("Heard").field("within", within).finish(),
            Self::Lost => f.write_str("Lost"),
            Self::Silent => f.write_str("Silent"),
        }
    }
}

/// How a remote tier is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Health {
    /// Whether operations are tried at all.
    pub state: State,
    /// What does not work although it is up, in words; empty where everything does.
    pub degraded: Vec<String>,
}

/// The state of a remote tier.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum State {
    /// Not connected yet.
    #[default]
    Connecting,
    /// In use.
    Up,
    /// Away, for this reason, which names the setting concerned and shows no secret.
    Down(Arc<str>),
}

impl Health {
    /// Whether operations are tried.
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }
}

/// The remote tier that `url` names, by its scheme: `redis://`, `redis+unix://`, `unix://` and
/// `redis+sentinel://`, with the feature `redis`; `redis+cluster://` with `redis-cluster`; with `rediss`
/// instead of `redis` they ask for TLS, and need `redis-tls`.
///
/// Nothing is dialled: what cannot be reached shows in [`Remote::health`].
///
/// # Errors
///
/// [`is_config`](Error::is_config) for an unknown scheme, one whose feature this build lacks, or a URL
/// that cannot be read; the URL itself, which may hold a password, is not shown.
pub fn from_url(url: &str) -> Result<Arc<dyn Remote>, Error> {
    from_url_with(url, &Connections::default())
}

/// How a remote tier that a URL names is connected to; what is `None` has the default of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connections {
    /// What the names of all keys begin with.
    pub prefix: Option<String>,
    /// So many connections are kept open for requests.
    pub least: Option<usize>,
    /// So many connections there are at most.
    pub most: Option<usize>,
    /// A connection must be ready within this time.
    pub timeout: Option<Duration>,
}

impl Connections {
    /// So many there have to be where so many are kept open for requests: one more is for large values, and
    /// one for long work.
    pub(crate) fn needed(least: usize) -> usize {
        least.saturating_add(2)
    }
}

/// What [`is_plain_name`] accepts, in words.
pub(crate) const PLAIN_NAMES: &str = "1 to 64 letters, digits, `:`, `-`, `_` and `.`";

/// Whether names in a server may begin with `text`: it holds nothing that patterns, hash tags or commands
/// give a meaning.
pub(crate) fn is_plain_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// As [`from_url`], connected so.
///
/// # Errors
///
/// As [`from_url`], and for what the remote tier does not accept.
pub fn from_url_with(url: &str, connections: &Connections) -> Result<Arc<dyn Remote>, Error> {
    let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
    // Before the plus how it is spoken to, after it how servers belong together.
    match scheme.split_once('+').unwrap_or((scheme, "")) {
        ("redis" | "rediss" | "valkey" | "valkeys", "" | "cluster" | "sentinel")
        | ("redis", "unix")
        | ("unix", "") => by_redis(url, connections),
        _ => Err(Error::config(
            "the URL of the remote tier has an unknown scheme; accepted are redis://, rediss://, redis+unix://, redis+sentinel://, redis+cluster://, valkey:// and valkeys://",
        )),
    }
}

/// What names a remote tier to a builder: the tier itself, or a [URL](from_url). One that cannot be read
/// is the error of `build`.
pub trait IntoRemote {
    /// The tier that it names.
    ///
    /// # Errors
    ///
    /// Those of [`from_url`].
    fn into_remote(self) -> Result<Arc<dyn Remote>, Error>;
}

impl IntoRemote for Arc<dyn Remote> {
    fn into_remote(self) -> Result<Arc<dyn Remote>, Error> {
        Ok(self)
    }
}

impl<R: Remote> IntoRemote for Arc<R> {
    fn into_remote(self) -> Result<Arc<dyn Remote>, Error> {
        Ok(self)
    }
}

impl IntoRemote for &str {
    fn into_remote(self) -> Result<Arc<dyn Remote>, Error> {
        from_url(self)
    }
}

impl IntoRemote for &String {
    fn into_remote(self) -> Result<Arc<dyn Remote>, Error> {
        from_url(self)
    }
}

impl IntoRemote for String {
    fn into_remote(self) -> Result<Arc<dyn Remote>, Error> {
        from_url(&self)
    }
}

#[cfg(feature = "redis")]
fn by_redis(url: &str, connections: &Connections) -> Result<Arc<dyn Remote>, Error> {
    let settings = RedisSettings::new(url)?.connected_by(connections);
    Ok(Arc::new(Redis::with(settings)?))
}

#[cfg(not(feature = "redis"))]
fn by_redis(_: &str, _: &Connections) -> Result<Arc<dyn Remote>, Error> {
    Err(Error::config(
        "the URL of the remote tier asks for Redis, but this build lacks the feature `redis`, which cache-core and each crate over it has",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_tokens_are_equal() {
        let tokens: HashSet<Token> = (0..10_000).map(|_| Token::new()).collect();
        assert_eq!(tokens.len(), 10_000);
    }

    #[test]
    fn a_url_of_another_scheme_is_refused_without_showing_it() {
        let error = from_url("http://user:canary@host").unwrap_err();
        assert!(error.is_config());
        assert!(!error.to_string().contains("canary"));
        assert!(error.to_string().contains("redis://"));
    }

    #[cfg(not(feature = "redis"))]
    #[test]
    fn a_redis_url_without_the_feature_names_the_feature() {
        let error = from_url("redis://localhost").unwrap_err();
        assert!(error.to_string().contains("feature `redis`"), "{error}");
    }
}
