//! Asking sentinels where the master is.
//!
//! They are asked at every dial, and for nothing else: a master that was replaced breaks its
//! connections or refuses writes, and either leads to a dial.

use crate::{
    remote::redis::{address::beside, keeper::Trouble, lanes::ask, settings::RedisSettings},
    timer,
};
use redis::{Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisConnectionInfo, Value};

/// The master of `service`, as the first of the sentinels knows that knows one, from the `first` on.
pub(super) async fn master(
    settings: &RedisSettings,
    sentinels: &[ConnectionAddr],
    service: &str,
    password: Option<&str>,
    first: usize,
) -> Result<ConnectionAddr, Trouble> {
    let first = first % sentinels.len().max(1);
    let mut last = Trouble::of("the URL names no sentinel");
    let (before, from) = sentinels
        .split_at_checked(first)
        .unwrap_or((sentinels, &[]));
    for sentinel in from.iter().chain(before) {
        match asked(settings, sentinel, service, password).await {
            Ok((host, port)) => {
                return beside(sentinel, &host, port)
                    .ok_or_else(|| Trouble::of("a sentinel has no address of this kind"));
            }
            Err(trouble) => last = trouble,
        }
    }
    Err(last.at("of its sentinels, the last that was asked: "))
}

async fn asked(
    settings: &RedisSettings,
    sentinel: &ConnectionAddr,
    service: &str,
    password: Option<&str>,
) -> Result<(String, u16), Trouble> {
    let info = info(settings.info(sentinel, ProtocolVersion::RESP2), password);
    let question = async {
        let client = Client::open(info).map_err(|error| Trouble::from(&error))?;
        let connection = client
            .get_multiplexed_async_connection_with_config(&settings.lane_config())
            .await
            .map_err(|error| Trouble::from(&error))?;
        let mut cmd = redis::cmd("SENTINEL");
        cmd.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
        match ask(connection, &cmd, settings.connect).await {
            Some(Ok(answer)) => address_in(&answer)
                .ok_or_else(|| Trouble::of("it knows no service of the name in the URL")),
            Some(Err(error)) => Err(Trouble::from(&error)),
            None => Err(Trouble::slow()),
        }
    };
    let limit = timer::later(timer::now(), settings.connect);
    timer::until(limit, question)
        .await
        .unwrap_or_else(|| Err(Trouble::slow()))
}

/// The user in the URL is one of the data nodes: a sentinel has at most a password of its own.
fn info(info: ConnectionInfo, password: Option<&str>) -> ConnectionInfo {
    let login = RedisConnectionInfo::default();
    info.set_redis_settings(match password {
        Some(password) => login.set_password(password),
        None => login,
    })
}

fn address_in(answer: &Value) -> Option<(String, u16)> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let text = |value: &Value| match value {
        Value::BulkString(text) => str::from_utf8(text).ok().map(str::to_owned),
        _ => None,
    };
    match parts.as_slice() {
        [host, port] => Some((text(host)?, text(port)?.parse().ok()?)),
        _ => None,
    }
}
