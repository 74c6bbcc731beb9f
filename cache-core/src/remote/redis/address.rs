//! Where servers are: URLs taken apart, and who leads to whom.

use crate::Error;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

/// How servers belong together.
#[derive(Debug, Clone)]
pub(super) enum Layout {
    /// The one in the URL.
    Single,
    /// The one that sentinels know to be the master.
    Sentinel {
        sentinels: Vec<ConnectionAddr>,
        service: String,
        password: Option<String>,
    },
    /// Many, of which each has a part of the keys.
    #[cfg(feature = "redis-cluster")]
    Cluster { seeds: Vec<ConnectionAddr> },
}

/// The port of a sentinel whose URL names none.
const SENTINEL_PORT: &str = "26379";

/// The URLs that a URL of several hosts stands for, and what follows the hosts.
pub(super) struct Several {
    pub(super) kind: Kind,
    scheme: String,
    user: String,
    hosts: Vec<String>,
    /// Between the slashes after the hosts.
    pub(super) path: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Cluster,
    Sentinel,
}

impl Several {
    /// `None` where the URL is that of one server.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (scheme, kind) = match scheme.split_once('+')? {
            (scheme, "cluster") => (scheme, Kind::Cluster),
            (scheme, "sentinel") => (scheme, Kind::Sentinel),
            _ => return None,
        };
        let (user, hosts) = match rest.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), rest),
        };
        let mut parts = hosts.split('/');
        let hosts = parts.next().unwrap_or_default().split(',');
        Some(Self {
            kind,
            scheme: scheme.to_owned(),
            user,
            hosts: hosts.map(str::to_owned).collect(),
            path: parts
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }

    /// One URL for each host, with this database.
    pub(super) fn urls(&self, database: &str) -> Vec<String> {
        let Self { scheme, user, .. } = self;
        let host = |host: &String| match self.kind {
            Kind::Sentinel if !has_port(host) => format!("{host}:{SENTINEL_PORT}"),
            Kind::Cluster | Kind::Sentinel => host.clone(),
        };
        let hosts = self.hosts.iter().map(host);
        hosts
            .map(|host| format!("{scheme}://{user}{host}/{database}"))
            .collect()
    }
}

/// An address of six may have colons of its own, in brackets.
fn has_port(host: &str) -> bool {
    host.rsplit(']')
        .next()
        .is_some_and(|rest| rest.contains(':'))
}

/// Reads a URL of one server.
pub(super) fn info_of(url: &str) -> Result<ConnectionInfo, Error> {
    url.into_connection_info().map_err(|error| {
        Error::config(format!(
            "the URL of the remote tier cannot be read ({}); accepted is redis://[user:password@]host[:port][/database]",
            error.category()
        ))
    })
}

/// The address `host` and `port`, spoken to as is `like`; `None` where that is a path.
pub(super) fn beside(like: &ConnectionAddr, host: &str, port: u16) -> Option<ConnectionAddr> {
    let host = host.to_owned();
    match like.clone() {
        ConnectionAddr::Tcp(..) => Some(ConnectionAddr::Tcp(host, port)),
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => Some(ConnectionAddr::TcpTls {
            host,
            port,
            insecure,
            tls_params,
        }),
        _ => None,
    }
}

/// The same address, spoken to as is `like`.
pub(super) fn alike(like: &ConnectionAddr, address: &ConnectionAddr) -> ConnectionAddr {
    match address {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            beside(like, host, *port)
        }
        _ => None,
    }
    .unwrap_or_else(|| address.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_several_hosts_is_one_for_each() {
        let several = Several::parse("rediss+sentinel://u:p%40@a,b:1,[::1]/main/2").unwrap();
        assert_eq!(several.kind, Kind::Sentinel);
        assert_eq!(several.path, ["main", "2"]);
        assert_eq!(
            several.urls("2"),
            [
                "rediss://u:p%40@a:26379/2",
                "rediss://u:p%40@b:1/2",
                "rediss://u:p%40@[::1]:26379/2"
            ]
        );
        let several = Several::parse("redis+cluster://a:7000,b").unwrap();
        assert_eq!(several.kind, Kind::Cluster);
        assert_eq!(several.urls(""), ["redis://a:7000/", "redis://b/"]);
        for single in ["redis://a", "redis+unix:///run/a", "a", ""] {
            assert!(Several::parse(single).is_none(), "{single}");
        }
    }
}
