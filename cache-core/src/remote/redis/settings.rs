//! Where Redis is, and the limits it is used within.

use super::{
    address::{Kind, Layout, Several, alike, info_of},
    health::Observer,
    resolver::Resolver,
    tls,
};
use crate::{
    Error,
    remote::{Connections, Health, PLAIN_NAMES, is_plain_name},
};
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, ProtocolVersion,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use std::{fmt, sync::Arc, time::Duration};

/// How a [`Redis`](super::Redis) is reached and used.
///
/// `Debug` shows the address, never the user, the password, a certificate or a key.
#[derive(Clone)]
#[must_use]
pub struct RedisSettings {
    pub(super) info: ConnectionInfo,
    pub(super) layout: Layout,
    pub(super) prefix: String,
    pub(super) client_name: String,
    pub(super) lanes: usize,
    pub(super) connections: usize,
    pub(super) connect: Duration,
    pub(super) probe: Duration,
    pub(super) wait: Duration,
    pub(super) heartbeat: Duration,
    pub(super) max_value: usize,
    pub(super) large: usize,
    pub(super) observer: Option<Observer>,
    pub(super) resolver: Resolver,
    #[cfg(feature = "redis-tls")]
    pub(super) tls: tls::Given,
}

impl RedisSettings {
    /// Settings for what `url` names: one server, as `redis://user:password@host:6379/0`; the master
    /// that sentinels know, as `redis+sentinel://user:password@host:26379,host:26379/service/0`; or,
    /// with the feature `redis-cluster`, a cluster, as `redis+cluster://user:password@host:6379,host:6379`.
    /// One host leads to all, more are for when it is away; the user is that of the data nodes. With the
    /// feature `redis-tls` also with `rediss` and `valkeys` instead of `redis`.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config) where the URL cannot be read. It is not shown, since it may hold
    /// a password.
    pub fn new(url: &str) -> Result<Self, Error> {
        match Several::parse(url) {
            None => Self::single(url),
            Some(several) => match several.kind {
                Kind::Sentinel => Self::by_sentinels(&several),
                Kind::Cluster => Self::of_cluster(&several),
            },
        }
    }

    /// Settings for the master of `service`, as the sentinels at `urls` know it. The user, the password,
    /// the database and the use of TLS in these URLs are those of the data nodes, and the same in all.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config) where there is no URL, or one cannot be read.
    pub fn sentinel<S: AsRef<str>>(
        service: impl Into<String>,
        urls: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        let (mut settings, sentinels) = Self::at_all(urls)?;
        settings.layout = Layout::Sentinel {
            sentinels,
            service: service.into(),
            password: None,
        };
        Ok(settings)
    }

    /// Settings for the cluster that the nodes at `urls` are of, as `redis://user:password@host:6379`.
    /// One that answers is enough. A cluster has no database but 0.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config) where there is no URL, one cannot be read, or names a database.
    #[cfg(feature = "redis-cluster")]
    pub fn cluster<S: AsRef<str>>(urls: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        let (mut settings, seeds) = Self::at_all(urls)?;
        if settings.info.redis_settings().db() != 0 {
            return Err(Error::config(
                "the URL of the remote tier names a database; a cluster has none but 0",
            ));
        }
        settings.layout = Layout::Cluster { seeds };
        Ok(settings)
    }

    fn by_sentinels(several: &Several) -> Result<Self, Error> {
        match several.path.as_slice() {
            [service] if is_plain(service) => Self::sentinel(service, several.urls("")),
            [service, database] if is_plain(service) && is_plain(database) => {
                Self::sentinel(service, several.urls(database))
            }
            _ => Err(Error::config(
                "the URL of the remote tier names no service of its sentinels, or more than that and a database; accepted is redis+sentinel://[user:password@]host[:port][,host[:port]]/service[/database]",
            )),
        }
    }

    #[cfg(feature = "redis-cluster")]
    fn of_cluster(several: &Several) -> Result<Self, Error> {
        Self::cluster(several.urls(&several.path.join("/")))
    }

    #[cfg(not(feature = "redis-cluster"))]
    fn of_cluster(_: &Several) -> Result<Self, Error> {
        Err(Error::config(
            "the URL of the remote tier asks for a cluster, but this build lacks the feature `redis-cluster`, which cache-core and each crate over it has",
        ))
    }

    /// What the first URL says, and the addresses of all.
    fn at_all<S: AsRef<str>>(
        urls: impl IntoIterator<Item = S>,
    ) -> Result<(Self, Vec<ConnectionAddr>), Error> {
        let all = urls.into_iter().map(|url| Self::single(url.as_ref()));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        let addresses: Vec<_> = all.iter().map(|one| one.info.addr().clone()).collect();
        if addresses
            .iter()
            .any(|at| matches!(at, ConnectionAddr::Unix(_)))
        {
            return Err(Error::config(
                "the URL of the remote tier is a path; accepted for sentinels and clusters are hosts",
            ));
        }
        match all.into_iter().next() {
            Some(first) => Ok((first, addresses)),
            None => Err(Error::config(
                "there is no URL of the remote tier; accepted is one or more",
            )),
        }
    }

    fn single(url: &str) -> Result<Self, Error> {
        tls::check_url(url)?;
        let info = info_of(url)?;
        tls::check(&info)?;
        let database = info.redis_settings().db();
        if database < 0 {
            return Err(Error::config(format!(
                "the URL of the remote tier names the database {database}; accepted is 0 or more"
            )));
        }
        Ok(Self {
            info,
            layout: Layout::Single,
            prefix: "cache:".to_owned(),
            client_name: "cache-core".to_owned(),
            lanes: 1,
            connections: 4,
            connect: Duration::from_millis(250),
            probe: Duration::from_millis(20),
            wait: Duration::from_millis(20),
            heartbeat: Duration::from_millis(250),
            max_value: 1024 * 1024,
            large: 64 * 1024,
            observer: None,
            resolver: Resolver::default(),
            #[cfg(feature = "redis-tls")]
            tls: tls::Given::default(),
        })
    }

    /// The password of the sentinels themselves, where they ask for one. Default: none.
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        if let Layout::Sentinel { password: own, .. } = &mut self.layout {
            *own = Some(password.into());
        }
        self
    }

    /// What the names of all keys begin with; what one service stores another of the same prefix
    /// finds. Accepted: 1 to 64 letters, digits, `:`, `-`, `_` and `.`. Default: `cache:`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// What connections are called in `CLIENT LIST`. Accepted: as for the prefix. Default:
    /// `cache-core`.
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.client_name = name.into();
        self
    }

    /// So many connections carry small values; each carries any number of requests at a time.
    /// Accepted: 1 to 16. Default: 1, which is the fastest below some 300,000 requests a second.
    pub fn lanes(mut self, count: usize) -> Self {
        self.lanes = count;
        self
    }

    /// So many connections at most, beside the one that changes are told over: the lanes, one for large
    /// values, and those for long work. Accepted: two more than the lanes, or more. Default: 4.
    pub fn connections(mut self, most: usize) -> Self {
        self.connections = most;
        self
    }

    /// A connection must be ready within this time, name look-up and authentication included.
    /// Default: 250 ms.
    pub fn connect(mut self, limit: Duration) -> Self {
        self.connect = limit;
        self
    }

    /// A server that has been away is used again once it answers within this time. It should be no
    /// longer than the budget of a request. Default: 20 ms.
    pub fn probe(mut self, limit: Duration) -> Self {
        self.probe = limit;
        self
    }

    /// How often it is made sure that changes are still being told; in a cluster, four times this is how
    /// often it is made sure who tells them. Default: 250 ms.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// Larger values are not sent, in bytes. Accepted: up to 64 MiB. Default: 1 MiB.
    pub fn max_value(mut self, bytes: usize) -> Self {
        self.max_value = bytes;
        self
    }

    /// Values larger than this, in bytes, have a connection of their own, so that small ones need not
    /// wait behind them. Default: 64 KiB.
    pub fn large(mut self, bytes: usize) -> Self {
        self.large = bytes;
        self
    }

    /// Calls `observer` whenever the health changes; for the same trouble again once a minute at most.
    /// It must not block.
    pub fn observe(mut self, observer: impl Fn(&Health) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// As these say, where they say something; there are always as many connections as the lanes need.
    pub(in crate::remote) fn connected_by(mut self, connections: &Connections) -> Self {
        if let Some(prefix) = &connections.prefix {
            self.prefix.clone_from(prefix);
        }
        self.lanes = connections.least.unwrap_or(self.lanes);
        let needed = self.connections.max(Connections::needed(self.lanes));
        self.connections = connections.most.unwrap_or(needed);
        self.connect = connections.timeout.unwrap_or(self.connect);
        self
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let mut problems = Vec::new();
        for (name, text) in [("prefix", &self.prefix), ("client_name", &self.client_name)] {
            if !is_plain_name(text) {
                problems.push(format!("{name} is `{text}`; accepted are {PLAIN_NAMES}"));
            }
        }
        if !(1..=16).contains(&self.lanes) {
            problems.push(format!("lanes is {}; accepted is 1 to 16", self.lanes));
        }
        let needed = Connections::needed(self.lanes);
        if self.connections < needed {
            problems.push(format!(
                "connections is {}; accepted is {needed} or more, two more than the lanes",
                self.connections
            ));
        }
        for (name, limit) in [
            ("connect", self.connect),
            ("probe", self.probe),
            ("heartbeat", self.heartbeat),
        ] {
            if limit.is_zero() {
                problems.push(format!("{name} is 0; accepted is any time above 0"));
            }
        }
        if !(1..=64 * 1024 * 1024).contains(&self.max_value) {
            problems.push(format!(
                "max_value is {} bytes; accepted is 1 to 64 MiB",
                self.max_value
            ));
        }
        #[cfg(feature = "redis-tls")]
        self.check_tls(&mut problems);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::config(problems.join("; ")))
        }
    }

    #[cfg(feature = "redis-cluster")]
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.layout, Layout::Cluster { .. })
    }

    #[cfg(not(feature = "redis-cluster"))]
    #[allow(
        clippy::unused_self,
        reason = "the answer of a build without the feature"
    )]
    pub(super) fn is_cluster(&self) -> bool {
        false
    }

    /// Where it is, without who may use it.
    fn address(&self) -> String {
        let all = |addresses: &[ConnectionAddr]| {
            let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            all.join(",")
        };
        match &self.layout {
            Layout::Single => self.info.addr().to_string(),
            Layout::Sentinel {
                sentinels, service, ..
            } => format!("{service} of {}", all(sentinels)),
            #[cfg(feature = "redis-cluster")]
            Layout::Cluster { seeds } => all(seeds),
        }
    }

    pub(super) fn info(
        &self,
        address: &ConnectionAddr,
        protocol: ProtocolVersion,
    ) -> ConnectionInfo {
        let settings = self.info.redis_settings().clone().set_protocol(protocol);
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(5))
            .with_interval(Duration::from_secs(1));
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(keepalive);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(Duration::from_secs(5));
        // As the URL says, also where it was named before the certificates were given.
        let address = alike(self.info.addr(), address);
        self.info
            .clone()
            .set_addr(address)
            .set_redis_settings(settings)
            .set_tcp_settings(tcp)
    }

    /// Without a limit of its own for answers: every operation has one, and two would be two timers.
    pub(super) fn lane_config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(1024)
            .set_dns_resolver(self.resolver.clone())
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("address", &self.address())
            .field("database", &self.info.redis_settings().db())
            .field("prefix", &self.prefix)
            .field("lanes", &self.lanes)
            .field("connections", &self.connections)
            .field("connect", &self.connect)
            .finish_non_exhaustive()
    }
}
/// Whether a part of a path is that alone, and nothing that a URL goes on with.
fn is_plain(part: &str) -> bool {
    !part.contains(['?', '#'])
}
