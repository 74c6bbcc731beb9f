//! Learning which nodes there are: one task, one question at a time.

use super::{Cluster, seats};
use crate::{
    remote::redis::{
        keeper::{Trouble, pause_after},
        lanes::{Manner, ask, reason},
        node::{Miss, Node, Source},
        shared::Class,
        slots::{Range, SLOTS, ranges},
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
    /// Sooner while a node is away, or not known, which may be replaced at any moment.
    fn pause(&self) -> Duration {
        let heartbeat = self.shared.settings.heartbeat;
        let map = self.map().clone();
        let is_all = map.is_whole() && map.nodes().all(|node| node.lanes().is_some());
        pause_of(heartbeat, is_all)
    }

    async fn learn(self: &Arc<Self>) -> Result<(), Trouble> {
        let view = self.view().await?;
        self.adopt(&view)
    }

    /// What one says who knows a node for each slot: who was taken out of the cluster, or cut off from it, may
    /// know of none. Where nobody does, what is said by the one who knows most.
    async fn view(&self) -> Result<View, Trouble> {
        let mut widest = Err(Trouble::of("there is no address"));
        let connected = self.connected();
        for node in &connected {
            widest = wider(widest, self.ask(node).await);
            if is_whole(&widest) {
                return widest;
            }
        }
        if !connected.is_empty() {
            return widest;
        }
        for address in self.addresses() {
            widest = wider(widest, self.gate.pass(self.dial(&address)).await);
            if is_whole(&widest) {
                return widest;
            }
        }
        widest
    }

    /// Those that have connections, beginning with another each time: who was cut off from the others may not
    /// know what they know.
    fn connected(&self) -> Vec<Arc<Node>> {
        let map = self.map().clone();
        let there = map.nodes().filter(|node| node.lanes().is_some());
        self.in_turn(there.cloned().collect())
    }

    async fn ask(&self, node: &Arc<Node>) -> Result<View, Trouble> {
        let place = node.place().ok_or_else(Trouble::slow)?;
        let (question, limit) = (question(), self.shared.settings.connect);
        let asked = timer::now();
        let answer = node.one(Class::Small, &question, Manner::Plain, limit);
        match answer.await {
            Ok(answer) => View::read(&answer, &place.address, asked),
            Err(Miss::Failed(failure)) => Err(Trouble::of(&failure.to_string())),
            Err(Miss::Elsewhere(_)) => Err(Trouble::of("it leads to others")),
        }
    }

    /// Asks over a connection for this alone.
    async fn dial(&self, address: &ConnectionAddr) -> Result<View, Trouble> {
        let asked = timer::now();
        let answer = self.dial_one(address).await;
        let view = answer.and_then(|answer| View::read(&answer, address, asked));
        view.map_err(|trouble| trouble.at(&format!("{address}: ")))
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
        self.in_turn(known.chain(self.seeds.iter().cloned()).collect())
    }

    fn in_turn<T>(&self, mut all: Vec<T>) -> Vec<T> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let first = next.checked_rem(all.len()).unwrap_or(0);
        all.rotate_left(first);
        all
    }

    /// Draws the map by what was seen.
    fn adopt(self: &Arc<Self>, view: &View) -> Result<(), Trouble> {
        let make = |address| Node::new(&self.shared, Source::At(address));
        let pen = self.pen();
        let before = self.map().clone();
        let map = before
            .redrawn(&view.ranges, &view.from, timer::now(), make)
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
        chorus.heard(VOICE, timer::now().saturating_duration_since(view.asked));
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

/// Who has which slots, in the eyes of one node.
struct View {
    ranges: Vec<Range>,
    from: ConnectionAddr,
    asked: Instant,
}

impl View {
    fn read(answer: &Value, from: &ConnectionAddr, asked: Instant) -> Result<Self, Trouble> {
        let ranges = ranges(answer)
            .ok_or_else(|| Trouble::of("what it says of its slots is not to be understood"))?;
        Ok(Self {
            ranges,
            from: from.clone(),
            asked,
        })
    }

    /// Of how many slots it knows where they are.
    fn slots(&self) -> usize {
        let known = self.ranges.iter().filter(|range| range.port != 0);
        known.map(Range::len).sum()
    }
}

fn is_whole(view: &Result<View, Trouble>) -> bool {
    matches!(view, Ok(view) if view.slots() >= usize::from(SLOTS))
}

/// Any view is more than trouble, and of two troubles the later is told.
fn wider(one: Result<View, Trouble>, other: Result<View, Trouble>) -> Result<View, Trouble> {
    let slots = |view: &Result<View, Trouble>| view.as_ref().map_or(0, |view| view.slots() + 1);
    if slots(&one) > slots(&other) {
        one
    } else {
        other
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
