//! Learning which nodes there are: one task, one question at a time.

use super::{Cluster, seats};
use crate::{
    remote::redis::{
        keeper::{Trouble, pause_after},
        lanes::{Manner, ask, reason},
        node::{Miss, Node, Source},
        shared::Class,
        slots::ranges,
    },
    timer,
};
use redis::{Client, Cmd, ConnectionAddr, ProtocolVersion, Value};
use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// What is heard of who the masters are, beside the voices of the nodes.
pub(super) const VOICE: u64 = u64::MAX;

/// However much news there is, questions are so far apart.
const LEAST: Duration = Duration::from_millis(50);

/// Keeps the map, until the last handle is gone.
pub(super) async fn keep(cluster: Weak<Cluster>, news: Arc<Notify>) {
    let mut failures = 0_u32;
    loop {
        let Some(strong) = cluster.upgrade() else {
            return;
        };
        let pause = match strong.learn().await {
            Ok(()) => {
                failures = 0;
                strong.pause()
            }
            Err(trouble) => {
                failures = failures.saturating_add(1);
                let reason = format!("the nodes of the cluster are not known: {}", trouble.reason);
                strong.shared.health.set_trouble(Some(reason.into()));
                pause_after(failures, trouble.is_refusal)
            }
        };
        drop(strong);
        let now = timer::now();
        timer::until(timer::later(now, LEAST), std::future::pending::<()>()).await;
        timer::until(timer::later(now, pause), news.notified()).await;
    }
}

impl Cluster {
    /// Sooner while a node is away, which may be replaced at any moment.
    fn pause(&self) -> Duration {
        let heartbeat = self.shared.settings.heartbeat;
        let map = self.map().clone();
        let is_all = map.nodes().all(|node| node.lanes().is_some());
        pause_of(heartbeat, is_all)
    }

    async fn learn(self: &Arc<Self>) -> Result<(), Trouble> {
        let asked = timer::now();
        let (answer, address) = match self.connected() {
            Some(node) => self.ask(&node).await?,
            None => self.dial().await?,
        };
        self.adopt(&answer, &address, asked)
    }

    /// One of those that have connections, another each time: who was cut off from the others may not know
    /// what they know.
    fn connected(&self) -> Option<Arc<Node>> {
        let map = self.map().clone();
        let there: Vec<_> = map.nodes().filter(|node| node.lanes().is_some()).collect();
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let chosen = next.checked_rem(there.len())?;
        there.get(chosen).map(|node| Arc::clone(node))
    }

    async fn ask(&self, node: &Arc<Node>) -> Result<(Value, ConnectionAddr), Trouble> {
        let place = node.place().ok_or_else(Trouble::slow)?;
        let (question, limit) = (question(), self.shared.settings.connect);
        match node
            .one(Class::Small, &question, Manner::Plain, limit)
            .await
        {
            Ok(answer) => Ok((answer, place.address.clone())),
            Err(Miss::Failed(failure)) => Err(Trouble::of(&failure.to_string())),
            Err(Miss::Elsewhere(_)) => Err(Trouble::of("it leads to others")),
        }
    }

    /// Asks one after the other of those that are known, over a connection for this alone.
    async fn dial(&self) -> Result<(Value, ConnectionAddr), Trouble> {
        let mut last = Trouble::of("there is no address");
        for address in self.addresses() {
            match self.gate.pass(self.dial_one(&address)).await {
                Ok(answer) => return Ok((answer, address)),
                Err(trouble) => last = trouble.at(&format!("{address}: ")),
            }
        }
        Err(last)
    }

    async fn dial_one(&self, address: &ConnectionAddr) -> Result<Value, Trouble> {
        let settings = &self.shared.settings;
        let asked = async {
            let info = settings.info(address, ProtocolVersion::RESP2);
            let client = Client::open(info).map_err(|error| Trouble::from(&error))?;
            let connection = client
                .get_multiplexed_async_connection_with_config(&settings.lane_config())
                .await
                .map_err(|error| Trouble::from(&error))?;
            match ask(connection, &question(), settings.connect).await {
                Some(Ok(answer)) => Ok(answer),
                Some(Err(error)) if error.code() == Some("ERR") => {
                    Err(Trouble::of("it is not a node of a cluster"))
                }
                Some(Err(error)) => Err(Trouble::of(&reason(&error))),
                None => Err(Trouble::slow()),
            }
        };
        let limit = timer::later(timer::now(), settings.connect);
        timer::until(limit, asked)
            .await
            .unwrap_or_else(|| Err(Trouble::slow()))
    }

    fn addresses(&self) -> Vec<ConnectionAddr> {
        let map = self.map().clone();
        let places = map.nodes().filter_map(|node| node.place());
        let known = places.map(|place| place.address.clone());
        let mut addresses: Vec<_> = known.chain(self.seeds.iter().cloned()).collect();
        if !addresses.is_empty() {
            let first = self.next.fetch_add(1, Ordering::Relaxed) % addresses.len();
            addresses.rotate_left(first);
        }
        addresses
    }

    /// Draws the map by an answer to what was asked at `asked`.
    fn adopt(
        self: &Arc<Self>,
        answer: &Value,
        from: &ConnectionAddr,
        asked: Instant,
    ) -> Result<(), Trouble> {
        let ranges = ranges(answer)
            .ok_or_else(|| Trouble::of("what it says of its slots is not to be understood"))?;
        let make = |address| Node::new(&self.shared, Source::At(address));
        let pen = self.pen();
        let before = self.map().clone();
        let map = before
            .redrawn(&ranges, from, timer::now(), make)
            .map_err(|error| Trouble::from(&error))?;
        let chorus = &self.shared.chorus;
        chorus.seat(seats(&map), before.differs_from(&map));
        self.set_clock(&map);
        let map = self.put_to_use(map);
        drop((pen, before));
        map.nodes().for_each(Node::attend);
        let is_whole = map.is_whole();
        let words = "some slots of the cluster have no node";
        self.shared
            .health
            .set_trouble((!is_whole).then(|| words.into()));
        chorus.heard(VOICE, timer::now().saturating_duration_since(asked));
        Ok(())
    }

    /// Times are by the clock of who has the groups.
    fn set_clock(&self, map: &super::Map) {
        let clock = map.owner(self.shared.names.born()).map(|node| node.id);
        for node in map.nodes() {
            node.set_clock(Some(node.id) == clock);
        }
    }
}

fn pause_of(heartbeat: Duration, is_all: bool) -> Duration {
    if is_all {
        heartbeat.saturating_mul(4)
    } else {
        heartbeat
    }
}

fn question() -> Cmd {
    redis::cmd("CLUSTER").arg("SLOTS").take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_of_any_length_has_a_pause() {
        let (second, longest) = (Duration::from_secs(1), Duration::MAX);
        assert_eq!(pause_of(second, true), 4 * second);
        assert_eq!(pause_of(second, false), second);
        assert_eq!(pause_of(longest, true), longest);
    }
}
