//! Many keys at once.

#[cfg(feature = "redis-cluster")]
use crate::remote::redis::cluster::{Cluster, Unit};
use crate::remote::{
    FORBIDDEN, Failure, Found, Value,
    redis::{
        CHANGED, Inner, WOKEN,
        answers::count,
        lanes::Manner,
        message_of, millis,
        node::Node,
        servers::{Servers, only},
        shared::{Class, Shared},
    },
};
use redis::{Cmd, Pipeline};
use std::{sync::Arc, time::Duration};

impl Inner {
    pub(super) async fn look_many(
        &self,
        keys: &[&[u8]],
        limit: Duration,
    ) -> Result<Vec<Option<Found>>, Failure> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let answers = match &self.servers {
            Servers::One(node) => get_all(node, keys, limit).await?,
            #[cfg(feature = "redis-cluster")]
            Servers::Many(cluster) => cluster.get_all(keys, limit).await?,
        };
        answers
            .into_iter()
            .map(|answer| self.found(answer))
            .collect()
    }

    pub(super) async fn put_many(
        &self,
        values: &[(&[u8], Value)],
        limit: Duration,
    ) -> Result<(), Failure> {
        let most = self.shared.settings.max_value;
        if values.iter().any(|(_, value)| value.bytes.len() > most) {
            return Err(Failure::TooLarge);
        }
        if values.is_empty() {
            return Ok(());
        }
        match &self.servers {
            Servers::One(node) => put_all(node, values, limit).await,
            #[cfg(feature = "redis-cluster")]
            Servers::Many(cluster) => cluster.put_all(values, limit).await,
        }
    }

    pub(super) async fn invalidate(&self, keys: &[&[u8]], limit: Duration) -> Result<u64, Failure> {
        if keys.is_empty() {
            return Ok(0);
        }
        match &self.servers {
            Servers::One(node) => remove_all(node, keys, limit).await,
            #[cfg(feature = "redis-cluster")]
            Servers::Many(cluster) => cluster.remove_all(keys, limit).await,
        }
    }
}

/// The commands of a cluster: those of one key are in one slot, and no others need be.
#[cfg(feature = "redis-cluster")]
impl Cluster {
    async fn get_all(
        self: &Arc<Self>,
        keys: &[&[u8]],
        limit: Duration,
    ) -> Result<Vec<redis::Value>, Failure> {
        let names = keys.iter().map(|key| self.shared().names.value(key));
        self.get_names(Class::Large, names, limit).await
    }

    /// What is away is missing; only where everything is does all fail.
    pub(super) async fn get_names(
        self: &Arc<Self>,
        class: Class,
        names: impl IntoIterator<Item = Vec<u8>>,
        limit: Duration,
    ) -> Result<Vec<redis::Value>, Failure> {
        let unit = |name: Vec<u8>| {
            let commands = vec![redis::cmd("GET").arg(&name).take()];
            Unit {
                name,
                commands,
                undo: None,
            }
        };
        let units: Vec<Unit> = names.into_iter().map(unit).collect();
        let answers = self.all(class, &units, |_, _| (), limit).await;
        if let Some(failure) = all_failed(&answers) {
            return Err(failure);
        }
        let value = |answer: Result<Vec<redis::Value>, Failure>| {
            let value = answer.ok().and_then(|mut values| values.pop());
            value.unwrap_or(redis::Value::Nil)
        };
        Ok(answers.into_iter().map(value).collect())
    }

    async fn put_all(
        self: &Arc<Self>,
        values: &[(&[u8], Value)],
        limit: Duration,
    ) -> Result<(), Failure> {
        let unit = |(key, value): &(&[u8], Value)| {
            let name = self.shared().names.of(key)?;
            let lease = redis::cmd("UNLINK").arg(name.lease).take();
            let put = put(self.shared(), name.value.clone(), value);
            let undo = Some(redis::cmd("UNLINK").arg(&name.value).take());
            Ok(Unit {
                name: name.value,
                commands: vec![lease, put],
                undo,
            })
        };
        let units = values.iter().map(unit).collect::<Result<Vec<_>, _>>()?;
        let class = class_of(self.shared(), values);
        let close = |pipeline: &mut Pipeline, places: &[usize]| {
            let keys = places.iter().filter_map(|place| values.get(*place));
            tell(pipeline, self.shared(), WOKEN, keys.map(|(key, _)| *key));
        };
        all_done(&self.all(class, &units, close, limit).await)
    }

    async fn remove_all(self: &Arc<Self>, keys: &[&[u8]], limit: Duration) -> Result<u64, Failure> {
        let unit = |key: &&[u8]| {
            let name = self.shared().names.of(key)?;
            let unlink = |name: &[u8]| redis::cmd("UNLINK").arg(name).take();
            Ok(Unit {
                commands: vec![unlink(&name.lease), unlink(&name.value)],
                name: name.value,
                undo: None,
            })
        };
        let units = keys.iter().map(unit).collect::<Result<Vec<_>, _>>()?;
        let close = |pipeline: &mut Pipeline, places: &[usize]| {
            let keys = places.iter().filter_map(|place| keys.get(*place));
            tell(pipeline, self.shared(), CHANGED, keys.copied());
        };
        let answers = self.all(Class::Small, &units, close, limit).await;
        for (unit, answer) in units.iter().zip(&answers) {
            if let Ok(node) = self.owner(&unit.name) {
                note_removal(&node, answer);
            }
        }
        all_done(&answers)?;
        let removed = answers.iter().flatten();
        Ok(removed.map(|counts| counts.last().map_or(0, count)).sum())
    }
}

/// Where some are not, which.
#[cfg(feature = "redis-cluster")]
fn all_done<T>(answers: &[Result<T, Failure>]) -> Result<(), Failure> {
    if let Some(failure) = all_failed(answers) {
        return Err(failure);
    }
    let places = answers.iter().enumerate();
    let failed = places.filter(|(_, answer)| answer.is_err());
    let failed: Arc<[usize]> = failed.map(|(place, _)| place).collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Partly(failed))
    }
}

/// Why, where not one of them is well.
#[cfg(feature = "redis-cluster")]
fn all_failed<T>(answers: &[Result<T, Failure>]) -> Option<Failure> {
    let failures = || answers.iter().filter_map(|answer| answer.as_ref().err());
    failures()
        .next()
        .filter(|_| failures().count() == answers.len())
        .cloned()
}

fn class_of(shared: &Shared, values: &[(&[u8], Value)]) -> Class {
    shared.class_of(values.iter().map(|(_, value)| value.bytes.len()).sum())
}

/// The commands of one server, which may name any keys together.
async fn get_all(
    node: &Arc<Node>,
    keys: &[&[u8]],
    limit: Duration,
) -> Result<Vec<redis::Value>, Failure> {
    let mut get = redis::cmd("MGET");
    for key in keys {
        get.arg(node.shared.names.value(key));
    }
    let answer = node.one(Class::Large, &get, Manner::Plain, limit).await;
    match answer.map_err(|miss| only(node, miss))? {
        redis::Value::Array(answers) if answers.len() == keys.len() => Ok(answers),
        _ => Err(Failure::Refused("MGET".into())),
    }
}

async fn put_all(
    node: &Arc<Node>,
    values: &[(&[u8], Value)],
    limit: Duration,
) -> Result<(), Failure> {
    let shared = &node.shared;
    let (mut pipeline, mut unlink) = (redis::pipe(), redis::cmd("UNLINK"));
    // Leases first: after this no earlier load can commit over what is put.
    for (key, _) in values {
        unlink.arg(shared.names.of(key)?.lease);
    }
    pipeline.add_command(unlink);
    for (key, value) in values {
        pipeline.add_command(put(shared, shared.names.value(key), value));
    }
    tell(
        &mut pipeline,
        shared,
        WOKEN,
        values.iter().map(|(key, _)| *key),
    );
    let class = class_of(shared, values);
    let answers = node.several(class, &pipeline, limit).await;
    answers.map(|_| ()).map_err(|miss| only(node, miss))
}

async fn remove_all(node: &Arc<Node>, keys: &[&[u8]], limit: Duration) -> Result<u64, Failure> {
    let shared = &node.shared;
    let (mut leases, mut values) = (redis::cmd("UNLINK"), redis::cmd("UNLINK"));
    for key in keys {
        let name = shared.names.of(key)?;
        leases.arg(name.lease);
        values.arg(name.value);
    }
    let mut pipeline = redis::pipe();
    // Leases first: between the two no load that began before can commit.
    pipeline.add_command(leases).add_command(values);
    tell(&mut pipeline, shared, CHANGED, keys.iter().copied());
    let answers = node.several(Class::Small, &pipeline, limit).await;
    let answers = answers.map_err(|miss| only(node, miss));
    note_removal(node, &answers);
    let answers = answers?;
    Ok(answers.get(1).map_or(0, count))
}

/// Whether the user may remove what a node has is known once it was tried.
fn note_removal<T>(node: &Node, answer: &Result<T, Failure>) {
    match answer {
        Ok(_) => node.may_remove(true),
        Err(Failure::Refused(code)) if **code == *FORBIDDEN => node.may_remove(false),
        Err(_) => {}
    }
}

fn put(shared: &Shared, name: Vec<u8>, value: &Value) -> Cmd {
    shared.remember_size(&name, value.bytes.len());
    match millis(value.lasting) {
        0 => redis::cmd("UNLINK").arg(name).take(),
        lasting => redis::cmd("SET")
            .arg(name)
            .arg(&*value.bytes)
            .arg("PX")
            .arg(lasting)
            .take(),
    }
}

/// The server itself tells only of values that were there; a load may be under way of one that is not.
fn tell<'a>(
    pipeline: &mut Pipeline,
    shared: &Shared,
    what: u8,
    keys: impl Iterator<Item = &'a [u8]>,
) {
    pipeline
        .cmd("PUBLISH")
        .arg(shared.names.channel())
        .arg(message_of(what, keys));
}
