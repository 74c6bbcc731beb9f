//! Which server has what.

use crate::remote::{
    Failure,
    redis::{
        node::{Call, Miss, Node},
        shared::{Class, Shared},
    },
};
use redis::{Cmd, RedisError, Value};
use std::{sync::Arc, time::Duration};

pub(super) enum Servers {
    /// One has everything.
    One(Arc<Node>),
}

impl Servers {
    /// # Errors
    ///
    /// Where the address is of no use.
    pub(super) fn new(shared: &Arc<Shared>) -> Result<Self, RedisError> {
        let node = Node::new(shared, shared.settings.info.addr().clone())?;
        node.set_clock(true);
        shared.chorus.seat([node.id]);
        Ok(Self::One(node))
    }

    /// Sees to it that somebody keeps the connections.
    pub(super) fn attend(&self) {
        match self {
            Self::One(node) => node.attend(),
        }
    }

    /// Asks who has `name`.
    pub(super) async fn one(
        &self,
        class: Class,
        _name: &[u8],
        cmd: &Cmd,
        limit: Duration,
    ) -> Result<Value, Failure> {
        match self {
            Self::One(node) => node
                .one(class, cmd, limit)
                .await
                .map_err(|miss| only(node, miss)),
        }
    }

    /// Runs a script where its keys are.
    pub(super) async fn step(&self, call: &Call<'_>, limit: Duration) -> Result<Value, Failure> {
        match self {
            Self::One(node) => node
                .step(call, limit)
                .await
                .map_err(|miss| only(node, miss)),
        }
    }

    /// Removes whatever is named as `pattern`.
    pub(super) async fn scan(&self, pattern: &[u8], limit: Duration) -> Result<u64, Failure> {
        match self {
            Self::One(node) => node
                .scan(pattern, limit)
                .await
                .map_err(|miss| only(node, miss)),
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
