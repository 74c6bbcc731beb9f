//! Versions of groups. In a cluster all of a prefix are in one slot, beside the time when the latest entry of any
//! was born: what names several of them is one step.
//!
//! While that slot is on its way to another node, some are here and some are there, and no node does what names both.
//! Then they are named one by one, each of which is followed. It takes no step that is one: the time of the latest
//! entry only rises, each version only rises, and each is set by the clock of the node that has it.

use crate::{
    remote::{
        Failure, ServerTime,
        redis::{
            Inner,
            answers::{count, version},
            positive_millis,
            servers::Servers,
            shared::Class,
        },
    },
    timer,
};
use redis::Value;
use std::time::{Duration, Instant};

/// What a group is kept for beyond what its entries need: a lost one only costs loads.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

impl Inner {
    /// The version of each.
    pub(super) async fn groups(
        &self,
        groups: &[&str],
        limit: Duration,
    ) -> Result<Vec<Option<ServerTime>>, Failure> {
        let names = self.group_names(groups);
        let Some(first) = names.first() else {
            return Ok(Vec::new());
        };
        let versions = match &self.servers {
            Servers::One(_) => {
                let mut get = redis::cmd("MGET");
                get.arg(&names);
                match self.servers.one(Class::Small, first, &get, limit).await? {
                    Value::Array(versions) => versions,
                    _ => return Err(Failure::Refused("MGET".into())),
                }
            }
            #[cfg(feature = "redis-cluster")]
            Servers::Many(cluster) => cluster.get_names(Class::Small, names, limit).await?,
        };
        Ok(versions.iter().map(version).collect())
    }

    /// The version of each, which begins just before `born` where there is none.
    pub(super) async fn join_groups(
        &self,
        groups: &[&str],
        born: ServerTime,
        lasting: Duration,
        limit: Duration,
    ) -> Result<Vec<ServerTime>, Failure> {
        let names = self.group_names(groups);
        let groups: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let kept = positive_millis(lasting.saturating_add(KEPT));
        let latest = self.shared.names.born();
        let until = timer::later(timer::now(), limit);
        let joined = self.join(&groups, Some(latest), born, &kept, until).await;
        if !is_split(&joined) {
            return joined;
        }
        self.join(&[], Some(latest), born, &kept, until).await?;
        let mut versions = Vec::with_capacity(groups.len());
        for group in groups {
            versions.extend(self.join(&[group], None, born, &kept, until).await?);
        }
        Ok(versions)
    }

    async fn join(
        &self,
        groups: &[&[u8]],
        latest: Option<&[u8]>,
        born: ServerTime,
        kept: &str,
        until: Instant,
    ) -> Result<Vec<ServerTime>, Failure> {
        let keys: Vec<&[u8]> = groups.iter().copied().chain(latest).collect();
        let (before, count) = (
            born.0.saturating_sub(1).to_string(),
            groups.len().to_string(),
        );
        let born = born.0.to_string();
        let args = [&before, kept, &born, &count].map(str::as_bytes);
        let step = &self.shared.scripts.join_groups;
        match self
            .step(Class::Small, step, &keys, &args, left(until))
            .await?
        {
            Value::Array(versions) if versions.len() == groups.len() => {
                // What is no number is nobody's version: no entry is valid under it.
                let known = |answer| version(answer).unwrap_or(ServerTime(u64::MAX));
                Ok(versions.iter().map(known).collect())
            }
            _ => Err(Failure::Refused("SCRIPT".into())),
        }
    }

    pub(super) async fn invalidate_group(
        &self,
        group: &str,
        limit: Duration,
    ) -> Result<(), Failure> {
        let group = self.shared.names.group(group);
        let latest = self.shared.names.born();
        let until = timer::later(timer::now(), limit);
        let mut now = self.invalidate_after(&[&group, latest], b"", until).await;
        if is_split(&now) {
            let born = self.born_latest(left(until)).await?;
            now = self.invalidate_after(&[&group], &born, until).await;
        }
        // What is loaded from now on is born later than that.
        self.shared.clock.heard(ServerTime(now?.saturating_add(1)));
        Ok(())
    }

    /// Says what time it was done at.
    async fn invalidate_after(
        &self,
        keys: &[&[u8]],
        born: &[u8],
        until: Instant,
    ) -> Result<u64, Failure> {
        let kept = positive_millis(KEPT);
        let step = &self.shared.scripts.invalidate_group;
        let args = [kept.as_bytes(), born];
        let now = self.step(Class::Small, step, keys, &args, left(until));
        now.await.map(|now| count(&now))
    }

    /// When the latest entry of any group was born, as it is written there.
    async fn born_latest(&self, limit: Duration) -> Result<Vec<u8>, Failure> {
        let latest = self.shared.names.born();
        let get = redis::cmd("GET").arg(latest).take();
        match self.servers.one(Class::Small, latest, &get, limit).await? {
            Value::BulkString(born) => Ok(born),
            _ => Ok(Vec::new()),
        }
    }

    fn group_names(&self, groups: &[&str]) -> Vec<Vec<u8>> {
        let name = |group: &&str| self.shared.names.group(group);
        groups.iter().map(name).collect()
    }
}

/// Whether what was named is not all at one node.
fn is_split<T>(answer: &Result<T, Failure>) -> bool {
    matches!(answer, Err(Failure::Refused(code)) if &**code == "TRYAGAIN")
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(timer::now())
}
