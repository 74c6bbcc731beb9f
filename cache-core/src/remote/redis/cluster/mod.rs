//! Many servers, of which each has a part of the keys.
//!
//! # How it is used
//!
//! Every master is a [`Node`] like any server: with lanes, a keeper and a link of its own, under the
//! same limits. So one that is away costs what a server that is away costs, for its keys alone.
//! The [map](map) says which node has a key. It is learnt in the background, by one task; requests use
//! the map there is. A node that has not got a key says who has, and is followed once, within
//! the time of the request; where that would take a dial, the request is a miss.
//!
//! # When memory may be trusted
//!
//! A change is told by the node that has the key, on the link to that node, in the order in which
//! it happened there. So memory counts as told only when the links to all masters are heard, and only
//! up to when it was last made sure who the masters are. A slot that changed hands is a gap: what was
//! told of it before, by one node, says nothing of what the other did.
//!
//! Notices that are published go to the node that has the key, behind the change on the same
//! connection. The nodes hand them on to each other as well; those copies come late, and mean no more than
//! one further read.
//!
//! # Which clock
//!
//! The clocks of the nodes differ. All times that are stored, those of entries and those of
//! groups, are by one: that of the node which has the slot of the groups. Groups are invalidated by a
//! script there. For a load elsewhere the time is an estimate, taken before the lease is asked for and
//! never ahead of that clock: so a load is born no later than its lease was granted, and whatever is
//! invalidated after that makes it invalid. The estimate is behind by the way of an answer, so a
//! load that follows an invalidation by another process within that time is taken for one from before it, and
//! not kept.
//!
//! Where another master takes over, its clock may be behind. It then has the time of the latest entry, which
//! is kept beside the groups, and invalidations go beyond that; an entry that is ahead of its
//! clock joins no group. Where that record was lost, so were the versions of the groups, and an entry
//! whose group has none is invalid. What is left is a load that began before the change and ends
//! after the clocks have met again: the clocks of the nodes should agree to within the time that it takes
//! to replace a master.
//!
//! # What it does not promise
//!
//! Nodes replicate late. What a master confirmed and its replica had not got yet is undone when
//! the replica takes over: a value that was invalidated in that moment may be back, until its lifetime ends.
//! While a slot is being moved, leases of its keys are refused (`TRYAGAIN`): they are read, written and removed,
//! and each process loads by itself. And a process that starts while the node with the groups is away, and
//! not replaced, uses no node until it is: it cannot tell the age of anything.

mod batch;
mod learn;
mod map;

pub(super) use batch::Unit;

use crate::{
    remote::{
        Failure,
        redis::{
            address::beside,
            keeper::Gate,
            lanes::Manner,
            node::{Call, Miss, Node, Source, start},
            shared::{Class, Shared},
            slots::{Holdings, known},
        },
    },
    timer,
};
use map::Map;
use redis::{Cmd, ConnectionAddr, Value};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::{Duration, Instant},
};

pub(super) struct Cluster {
    shared: Arc<Shared>,
    seeds: Vec<ConnectionAddr>,
    /// Locked to look something up, and to put another in its place, for nothing that takes longer: a thread
    /// that is made to wait by the machine meanwhile makes all requests wait.
    map: RwLock<Arc<Map>>,
    /// Held by who draws another map.
    pen: Mutex<()>,
    /// For dials that only ask who is there.
    gate: Gate,
    /// Whom to ask next.
    next: AtomicUsize,
    learner: Arc<AtomicBool>,
}

impl Cluster {
    pub(super) fn new(shared: &Arc<Shared>, seeds: &[ConnectionAddr]) -> Arc<Self> {
        // Nobody is heard before the masters are known.
        shared.chorus.seat([learn::VOICE], false);
        Arc::new(Self {
            shared: Arc::clone(shared),
            seeds: seeds.to_vec(),
            map: RwLock::default(),
            pen: Mutex::default(),
            gate: Gate::default(),
            next: AtomicUsize::new(0),
            learner: Arc::default(),
        })
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Sees to it that somebody keeps the map, and so the nodes.
    pub(super) fn attend(self: &Arc<Self>) {
        let (weak, news) = (Arc::downgrade(self), &self.shared.news);
        start(&self.learner, || learn::keep(weak, Arc::clone(news)));
    }

    pub(super) async fn one(
        self: &Arc<Self>,
        class: Class,
        name: &[u8],
        cmd: &Cmd,
        limit: Duration,
    ) -> Result<Value, Failure> {
        let asked = timer::now();
        let node = self.owner(name)?;
        let miss = match node.one(class, cmd, Manner::Plain, limit).await {
            Ok(answer) => return Ok(answer),
            Err(miss) => miss,
        };
        let (node, manner) = self.follow(&node, miss)?;
        let answer = node.one(class, cmd, manner, left(limit, asked)).await;
        answer.map_err(|miss| self.ended(miss))
    }

    pub(super) async fn step(
        self: &Arc<Self>,
        call: &Call<'_>,
        limit: Duration,
    ) -> Result<Value, Failure> {
        let asked = timer::now();
        let node = self.owner(call.keys.first().copied().unwrap_or_default())?;
        let miss = match node.step(call, Manner::Plain, limit).await {
            Ok(answer) => return Ok(answer),
            Err(miss) => miss,
        };
        let (node, manner) = self.follow(&node, miss)?;
        let answer = node.step(call, manner, left(limit, asked)).await;
        answer.map_err(|miss| self.ended(miss))
    }

    /// Removes whatever is named as `pattern`, from every master.
    pub(super) async fn scan(
        self: &Arc<Self>,
        pattern: &[u8],
        limit: Duration,
    ) -> Result<u64, Failure> {
        let before = self.holdings(limit).await?;
        let mut removed = self.walk(pattern, limit).await?;
        // What moved meanwhile from a node yet to be walked to one that had been is there by now.
        let is_moving = before.iter().any(|(_, held)| held.is_moving());
        if is_moving || self.holdings(limit).await? != before {
            removed += self.walk(pattern, limit).await?;
        }
        Ok(removed)
    }

    async fn walk(self: &Arc<Self>, pattern: &[u8], limit: Duration) -> Result<u64, Failure> {
        let mut removed = 0;
        for node in self.nodes()? {
            let walked = node.walk(pattern, limit).await;
            let walked = walked.map_err(|miss| self.ended(miss))?;
            removed += walked.removed;
            removed += self.unlink(&walked.elsewhere, limit).await?;
        }
        Ok(removed)
    }

    /// Removes what the node that listed it has not got any more.
    async fn unlink(self: &Arc<Self>, names: &[Vec<u8>], limit: Duration) -> Result<u64, Failure> {
        let unit = |name: &Vec<u8>| Unit {
            name: name.clone(),
            commands: vec![redis::cmd("UNLINK").arg(name).take()],
            undo: None,
        };
        let units: Vec<Unit> = names.iter().map(unit).collect();
        let mut removed = 0;
        for answers in self.all(Class::Small, &units, |_, _| (), limit).await {
            let counts = answers?;
            removed += counts.iter().map(super::answers::count).sum::<u64>();
        }
        Ok(removed)
    }

    /// Which slots each node has, is getting and is giving away. Who is getting some is known from then on,
    /// also one that has none yet.
    async fn holdings(self: &Arc<Self>, limit: Duration) -> Result<Vec<(u64, Holdings)>, Failure> {
        let mut all = Vec::new();
        let nodes = redis::cmd("CLUSTER").arg("NODES").take();
        for node in self.nodes()? {
            let answer = node.one(Class::Small, &nodes, Manner::Plain, limit).await;
            let answer = answer.map_err(|miss| self.ended(miss))?;
            let held = held(&node, &answer).ok_or_else(|| Failure::Refused("CLUSTER".into()))?;
            for taker in &held.takers {
                self.led_to(&node, taker);
            }
            all.push((node.id, held));
        }
        if Holdings::are_all(all.iter().map(|(_, held)| held)) {
            return Ok(all);
        }
        // Another has what none of these has: a master that is not known yet.
        let elsewhere = Failure::Refused("MOVED".into());
        Err(self.ended(elsewhere.into()))
    }

    /// All nodes that may have keys, unless there are slots of which none is known.
    fn nodes(self: &Arc<Self>) -> Result<Vec<Arc<Node>>, Failure> {
        let map = self.map();
        if map.is_whole() {
            return Ok(map.nodes().cloned().collect());
        }
        drop(map);
        self.attend();
        Err(Failure::Away)
    }

    pub(super) fn owner(self: &Arc<Self>, name: &[u8]) -> Result<Arc<Node>, Failure> {
        if let Some(node) = self.map().owner(name) {
            return Ok(Arc::clone(node));
        }
        self.attend();
        Err(Failure::Away)
    }

    /// Who has it instead, and how to ask there; only where the miss says so.
    fn follow(self: &Arc<Self>, asked: &Node, miss: Miss) -> Result<(Arc<Node>, Manner), Failure> {
        let Miss::Elsewhere(redirect) = miss else {
            return Err(self.ended(miss));
        };
        if !redirect.is_asking {
            self.shared.news.notify_one();
        }
        let node = self.led_to(asked, &redirect.address);
        let node = node.ok_or_else(|| Failure::Refused(redirect.code().into()))?;
        Ok((node, redirect.manner()))
    }

    /// The node that another leads to, which may be one nobody has heard of yet.
    fn led_to(&self, asked: &Node, address: &str) -> Option<Arc<Node>> {
        let like = &asked.place()?.address;
        let (host, port) = address.rsplit_once(':')?;
        let host = known(host).or_else(|| host_of(like))?;
        let address = beside(like, host, port.parse().ok()?)?;
        if let Some(node) = self.map().at(&address) {
            return Some(Arc::clone(node));
        }
        let node = Node::new(&self.shared, Source::At(address.clone())).ok()?;
        let pen = self.pen();
        let map = self.map().clone();
        // Another may have been as quick.
        if let Some(node) = map.at(&address) {
            return Some(Arc::clone(node));
        }
        let map = map.welcoming(Arc::clone(&node), timer::now());
        self.shared.chorus.seat(seats(&map), false);
        self.put_to_use(map);
        drop(pen);
        node.attend();
        Some(node)
    }

    /// Lets requests use this map from now on. Who has to be heard is known by then, so that nothing is read
    /// from a node whose changes nobody waits for.
    fn put_to_use(&self, map: Map) -> Arc<Map> {
        let map = Arc::new(map);
        let mut place = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *place, Arc::clone(&map));
        drop(place);
        // Whoever is not among the nodes any more ends here, outside of the lock.
        drop(old);
        map
    }

    /// What a miss means that is not followed.
    fn ended(&self, miss: Miss) -> Failure {
        let failure = match miss {
            Miss::Failed(failure) => failure,
            Miss::Elsewhere(redirect) => Failure::Refused(redirect.code().into()),
        };
        if matches!(&failure, Failure::Refused(code) if matches!(&**code, "MOVED" | "CLUSTERDOWN"))
        {
            self.shared.news.notify_one();
        }
        failure
    }

    fn map(&self) -> RwLockReadGuard<'_, Arc<Map>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn pen(&self) -> MutexGuard<'_, ()> {
        self.pen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shared.news.notify_one();
    }
}

/// Who has to be heard: every node that may have a key, and whoever knows that these are all.
fn seats(map: &Map) -> impl Iterator<Item = u64> {
    map.nodes().map(|node| node.id).chain([learn::VOICE])
}

fn held(node: &Node, answer: &Value) -> Option<Holdings> {
    let Value::BulkString(text) = answer else {
        return None;
    };
    let place = node.place()?;
    Holdings::parse(str::from_utf8(text).ok()?, host_of(&place.address)?)
}

fn left(limit: Duration, asked: Instant) -> Duration {
    limit.saturating_sub(timer::now().saturating_duration_since(asked))
}

fn host_of(address: &ConnectionAddr) -> Option<&str> {
    match address {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => Some(host),
        _ => None,
    }
}
