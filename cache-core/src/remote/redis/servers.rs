//! Which server has what.

#[cfg(feature = "redis-cluster")]
use crate::remote::redis::cluster::Cluster;
use crate::remote::{
    Failure,
    redis::{
        address::Layout,
        lanes::Manner,
        node::{Call, Miss, Node, Source},
        shared::{Class, Shared},
    },
};
use redis::{Cmd, RedisError, Value};
use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

pub(super) enum Servers {
    /// One has everything.
    One(Arc<Node>),
    /// Each has a part.
    #[cfg(feature = "redis-cluster")]
    Many(Arc<Cluster>),
}

impl Servers {
    /// # Errors
    ///
    /// Where the address is of no use.
    pub(super) fn new(shared: &Arc<Shared>) -> Result<Self, RedisError> {
        let source = match &shared.settings.layout {
            Layout::Single => Source::At(shared.settings.info.addr().clone()),
            Layout::Sentinel { .. } => Source::Sentinels(AtomicUsize::new(0)),
            #[cfg(feature = "redis-cluster")]
            Layout::Cluster { seeds } => return Ok(Self::Many(Cluster::new(shared, seeds))),
        };
        let node = Node::new(shared, source)?;
        node.set_clock(true);
        shared.chorus.seat([node.id], false);
        Ok(Self::One(node))
    }

    /// Sees to it that somebody keeps the connections.
    pub(super) fn attend(&self) {
        match self {
            Self::One(node) => node.attend(),
            #[cfg(feature = "redis-cluster")]
            Self::Many(cluster) => cluster.attend(),
        }
    }

    /// Asks who has `name`.
    #[cfg_attr(
        not(feature = "redis-cluster"),
        allow(unused_variables, reason = "one has all")
    )]
    pub(super) async fn one(
        &self,
        class: Class,
        name: &[u8],
        cmd: &Cmd,
        limit: Duration,
    ) -> Result<Value, Failure> {
        match self {
            Self::One(node) => {
                let answer = node.one(class, cmd, Manner::Plain, limit).await;
                answer.map_err(|miss| only(node, miss))
            }
            #[cfg(feature = "redis-cluster")]
            Self::Many(cluster) => cluster.one(class, name, cmd, limit).await,
        }
    }

    /// Runs a script where its keys are.
    pub(super) async fn step(&self, call: &Call<'_>, limit: Duration) -> Result<Value, Failure> {
        match self {
            Self::One(node) => {
                let answer = node.step(call, Manner::Plain, limit).await;
                answer.map_err(|miss| only(node, miss))
            }
            #[cfg(feature = "redis-cluster")]
            Self::Many(cluster) => cluster.step(call, limit).await,
        }
    }

    /// Removes whatever is named as `pattern`; says how many that were.
    pub(super) async fn scan(&self, pattern: &[u8], limit: Duration) -> Result<u64, Failure> {
        match self {
            Self::One(node) => {
                let walked = node.walk(pattern, limit).await;
                let walked = walked.map_err(|miss| only(node, miss))?;
                Ok(walked.removed)
            }
            #[cfg(feature = "redis-cluster")]
            Self::Many(cluster) => cluster.scan(pattern, limit).await,
        }
    }
}

/// The only server there is knows of others: then it is the URL that is wrong.
pub(super) fn only(node: &Node, miss: Miss) -> Failure {
    match miss {
        Miss::Failed(failure) => failure,
        Miss::Elsewhere(redirect) => {
            let words = "it is a node of a cluster, whose URL begins with redis+cluster://";
            node.degrade("what other nodes have", true, words);
            Failure::Refused(redirect.code().into())
        }
    }
}
