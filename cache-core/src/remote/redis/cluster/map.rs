//! Which node has which slots.

use crate::remote::redis::{
    address::beside,
    node::Node,
    slots::{Range, SLOTS, slot_of},
};
use redis::ConnectionAddr;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A node that others led to, and that the map does not know, is kept for so long.
const GUEST: Duration = Duration::from_secs(60);

/// But only for so long where there is no connection to it. What is in memory is trusted no longer for that: not
/// to hear it was a gap, and so it is again when it is next led to.
const AWAY: Duration = Duration::from_secs(1);

#[derive(Default, Clone)]
pub(super) struct Map {
    /// By slot, the place of its node among the masters.
    owners: Arc<[Option<u16>]>,
    masters: Vec<Arc<Node>>,
    guests: Vec<(Arc<Node>, Instant)>,
}

impl Map {
    /// All masters, also those that have no slot yet, as far as they are known.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        let guests = self.guests.iter().map(|(node, _)| node);
        self.masters.iter().chain(guests)
    }

    pub(super) fn owner(&self, name: &[u8]) -> Option<&Arc<Node>> {
        self.owner_of(slot_of(name))
    }

    fn owner_of(&self, slot: u16) -> Option<&Arc<Node>> {
        let place = (*self.owners.get(usize::from(slot))?)?;
        self.masters.get(usize::from(place))
    }

    pub(super) fn at(&self, address: &ConnectionAddr) -> Option<&Arc<Node>> {
        let is_there = |node: &&Arc<Node>| node.place().is_some_and(|at| at.address == *address);
        self.nodes().find(is_there)
    }

    /// Whether every slot has a node.
    pub(super) fn is_whole(&self) -> bool {
        !self.owners.is_empty() && self.owners.iter().all(Option::is_some)
    }

    /// The same, which keeps `node` for a while.
    pub(super) fn welcoming(&self, node: Arc<Node>, now: Instant) -> Self {
        let mut new = self.clone();
        new.guests.push((node, now));
        new
    }

    /// The map that these ranges are of. Nodes that are known stay; `make` makes the others.
    ///
    /// # Errors
    ///
    /// Those of `make`.
    pub(super) fn redrawn<E>(
        &self,
        ranges: &[Range],
        asked: &ConnectionAddr,
        now: Instant,
        make: impl Fn(ConnectionAddr) -> Result<Arc<Node>, E>,
    ) -> Result<Self, E> {
        let (mut new, mut owners) = (Self::default(), vec![None; usize::from(SLOTS)]);
        for range in ranges {
            let Some(address) = range.address(asked) else {
                continue;
            };
            let place = match new.place_of(&address) {
                Some(place) => place,
                None => {
                    let known = self.at(&address).cloned();
                    let node = known.map_or_else(|| make(address), Ok)?;
                    new.masters.push(node);
                    new.masters.len() - 1
                }
            };
            let slots = usize::from(range.first)..=usize::from(range.last);
            for owner in owners.get_mut(slots).unwrap_or_default() {
                *owner = u16::try_from(place).ok();
            }
        }
        let is_new = |node: &Arc<Node>| new.masters.iter().all(|master| master.id != node.id);
        let stays = |(node, since): &&(Arc<Node>, Instant)| {
            let kept = node.lanes().map_or(AWAY, |_| GUEST);
            is_new(node) && now < *since + kept
        };
        let guests = self.guests.iter().filter(stays).cloned().collect();
        (new.owners, new.guests) = (owners.into(), guests);
        Ok(new)
    }

    fn place_of(&self, address: &ConnectionAddr) -> Option<usize> {
        let is_there = |node: &Arc<Node>| node.place().is_some_and(|at| at.address == *address);
        self.masters.iter().position(is_there)
    }

    /// Whether a slot has another node in `new`.
    pub(super) fn differs_from(&self, new: &Self) -> bool {
        let id = |map: &Self, slot| map.owner_of(slot).map(|node| node.id);
        (0..SLOTS).any(|slot| {
            let before = id(self, slot);
            before.is_some() && before != id(new, slot)
        })
    }
}

impl Range {
    fn address(&self, asked: &ConnectionAddr) -> Option<ConnectionAddr> {
        if self.port == 0 {
            // Nobody knows where that node is any more.
            return None;
        }
        let host = self.host.as_deref().or_else(|| super::host_of(asked))?;
        beside(asked, host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_whose_port_is_not_known_is_nowhere() {
        let asked = ConnectionAddr::Tcp("a".to_owned(), 1);
        let range = |host: Option<&str>, port| Range {
            first: 0,
            last: 1,
            host: host.map(str::to_owned),
            port,
        };
        let at = |host: &str, port| Some(ConnectionAddr::Tcp(host.to_owned(), port));
        assert_eq!(range(None, 2).address(&asked), at("a", 2));
        assert_eq!(range(Some("b"), 2).address(&asked), at("b", 2));
        assert_eq!(range(None, 0).address(&asked), None);
    }
}
