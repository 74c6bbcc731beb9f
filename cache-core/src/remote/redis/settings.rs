//! Where Redis is, and the limits it is used within.

use crate::{
    Error,
    remote::{Connections, Health},
};
use redis::{
    AsyncConnectionConfig, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use std::{fmt, sync::Arc, time::Duration};

/// Told of every change of health; of the same trouble again once a minute at most.
type Observer = Arc<dyn Fn(&Health) + Send + Sync>;

/// How a [`Redis`](super::Redis) is reached and used.
///
/// `Debug` shows the address, never the user or the password.
#[derive(Clone)]
#[must_use]
pub struct RedisSettings {
    pub(super) info: ConnectionInfo,
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
}

impl RedisSettings {
    /// Settings for the server that `url` names, as `redis://user:password@host:6379/0`.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config) where the URL cannot be read. It is not shown, since it may hold
    /// a password.
    pub fn new(url: &str) -> Result<Self, Error> {
        if url.starts_with("rediss:") || url.starts_with("valkeys:") {
            return Err(Error::config(
                "the URL of the remote tier asks for TLS, but this build lacks the feature `redis-tls` of cache-core",
            ));
        }
        let info = url.into_connection_info().map_err(|error| {
            Error::config(format!(
                "the URL of the remote tier cannot be read ({}); accepted is redis://[user:password@]host[:port][/database]",
                error.category()
            ))
        })?;
        Ok(Self {
            info,
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
        })
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

    /// How often it is made sure that changes are still being told. Default: 250 ms.
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
        let needed = self.connections.max(self.lanes.saturating_add(2));
        self.connections = connections.most.unwrap_or(needed);
        self.connect = connections.timeout.unwrap_or(self.connect);
        self
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let mut problems = Vec::new();
        for (name, text) in [("prefix", &self.prefix), ("client_name", &self.client_name)] {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.".contains(&byte);
            if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
                problems.push(format!(
                    "{name} is `{text}`; accepted are 1 to 64 letters, digits, `:`, `-`, `_` and `.`"
                ));
            }
        }
        if !(1..=16).contains(&self.lanes) {
            problems.push(format!("lanes is {}; accepted is 1 to 16", self.lanes));
        }
        if self.connections < self.lanes.saturating_add(2) {
            problems.push(format!(
                "connections is {}; accepted is {} or more, two more than the lanes",
                self.connections,
                self.lanes.saturating_add(2)
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
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::config(problems.join("; ")))
        }
    }

    /// Where it is, without who may use it.
    pub(super) fn address(&self) -> String {
        self.info.addr().to_string()
    }

    pub(super) fn info(&self, protocol: ProtocolVersion) -> ConnectionInfo {
        let settings = self.info.redis_settings().clone().set_protocol(protocol);
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(5))
            .with_interval(Duration::from_secs(1));
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(keepalive);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(Duration::from_secs(5));
        self.info
            .clone()
            .set_redis_settings(settings)
            .set_tcp_settings(tcp)
    }

    /// Without a limit of its own for answers: every operation has one, and two would be two timers.
    pub(super) fn lane_config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(1024)
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
