//! A Redis Cluster of one's own, on this machine.

use crate::redis::Server;
use ::redis::{FromRedisValue, Value};
use std::time::Duration;

/// So many slots have all clusters.
const SLOTS: usize = 16_384;

/// Masters first, then their replicas in the same order. All end when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    /// Starts `masters`, the first `replicas` of which have one each, and waits until all is well.
    ///
    /// # Panics
    ///
    /// Where that takes longer than some seconds.
    #[must_use]
    pub fn start(masters: usize, replicas: usize) -> Self {
        let nodes: Vec<Server> = (0..masters + replicas).map(|_| node()).collect();
        let mut cluster = Self { nodes };
        cluster.share_out(masters);
        cluster.introduce(0);
        for n in 0..replicas {
            cluster.replicate(masters + n, n);
        }
        cluster.is_well_soon();
        cluster
    }

    fn share_out(&self, masters: usize) {
        for (n, node) in self.nodes.iter().enumerate() {
            // Or two would begin with the same, and one of them would have to give way.
            let _ = node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
            if n < masters {
                let share = SLOTS * n / masters..SLOTS * (n + 1) / masters;
                let slots: Vec<String> = share.map(|slot| slot.to_string()).collect();
                let mut words = vec!["CLUSTER", "ADDSLOTS"];
                words.extend(slots.iter().map(String::as_str));
                let _ = node.ask(&words);
            }
        }
    }

    /// Makes all nodes known to each other, from the one at `first` on.
    fn introduce(&self, first: usize) {
        let Some(host) = self.nodes.first() else {
            return;
        };
        for node in self.nodes.iter().skip(first.max(1)) {
            let port = node.port().to_string();
            let _ = host.ask(&["CLUSTER", "MEET", "127.0.0.1", &port]);
        }
        let all = format!("cluster_known_nodes:{}\r", self.nodes.len());
        wait("the nodes know each other", || {
            let knows = |node: &Server| cluster_info(node).contains(&all);
            self.nodes.iter().all(knows)
        });
    }

    fn replicate(&self, replica: usize, master: usize) {
        let id = self.id(master);
        let node = self.node(replica);
        wait("a node becomes a replica", || {
            node.try_ask(&["CLUSTER", "REPLICATE", &id]).is_ok()
        });
        wait("a replica is up to date", || {
            let role: Vec<Value> = text_of(node.ask(&["ROLE"]));
            role.contains(&Value::BulkString(b"connected".to_vec()))
        });
    }

    /// Waits until every node that runs knows of a node for each slot, and of no failure.
    ///
    /// # Panics
    ///
    /// Where that takes longer than some seconds.
    pub fn is_well_soon(&mut self) {
        let running: Vec<&Server> = self.nodes.iter().filter(|node| node.is_running()).collect();
        wait("the cluster is well", || {
            let is_well = |node: &&Server| {
                let info = cluster_info(node);
                let signs = [
                    "cluster_state:ok",
                    "cluster_slots_assigned:16384",
                    "cluster_slots_fail:0",
                    "cluster_slots_pfail:0",
                ];
                signs.iter().all(|sign| info.contains(sign))
            };
            running.iter().all(is_well)
        });
    }

    /// Kills whoever is the master of this pair, waits until the other is, and brings it back as a replica.
    /// There has to be a replica for each master.
    ///
    /// # Panics
    ///
    /// Where that takes longer than some seconds.
    pub fn replace(&mut self, pair: usize) {
        let gone = self.kill_master(pair);
        self.is_replaced_soon(&gone);
        self.bring_back(&gone);
    }

    /// Kills whoever is the master of this pair.
    pub fn kill_master(&mut self, pair: usize) -> Gone {
        let (first, second) = (pair, pair + self.len() / 2);
        let (node, next) = if self.is_master(first) {
            (first, second)
        } else {
            (second, first)
        };
        self.node_mut(node).kill();
        Gone { node, next }
    }

    /// Waits until its replica is the master.
    ///
    /// # Panics
    ///
    /// Where that takes longer than some seconds.
    pub fn is_replaced_soon(&self, gone: &Gone) {
        wait("the replica takes over", || self.is_master(gone.next));
    }

    /// Starts it again, as the replica of who took over.
    ///
    /// # Panics
    ///
    /// Where that takes longer than some seconds.
    pub fn bring_back(&mut self, gone: &Gone) {
        self.node_mut(gone.node).run();
        wait("it is back as a replica", || {
            let info = self.node(gone.node).try_ask(&["INFO", "replication"]);
            let info: String = info.map(text_of).unwrap_or_default();
            info.contains("role:slave") && info.contains("master_link_status:up")
        });
        self.is_well_soon();
    }

    /// Adds a master that has no slots; it is the last.
    pub fn add_master(&mut self) -> usize {
        self.nodes.push(node());
        let added = self.nodes.len() - 1;
        self.introduce(added);
        self.is_well_soon();
        added
    }

    /// As a URL of its first two nodes.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts = self.nodes.iter().take(2);
        let hosts: Vec<_> = hosts
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// The node of this number.
    #[must_use]
    pub fn node(&self, n: usize) -> &Server {
        self.nodes.get(n).expect("there are so many nodes")
    }

    /// As [`node`](Self::node), to kill it or to start it again.
    pub fn node_mut(&mut self, n: usize) -> &mut Server {
        self.nodes.get_mut(n).expect("there are so many nodes")
    }

    /// Starts a node again, so that clients are sent to another port for it, as that of a proxy before it, and
    /// waits until all nodes say so. What it had is lost. Before version 7 no node learns such a port while it runs.
    pub fn announce(&mut self, n: usize, port: u16) {
        let (port, node) = (port.to_string(), self.node_mut(n));
        let bus = (node.port() + 10_000).to_string();
        node.kill();
        node.add_options(&["--cluster-announce-bus-port", &bus]);
        node.add_options(&["--cluster-announce-port", &port]);
        node.run();
        let address = format!("127.0.0.1:{port}@");
        wait("the port is known", || {
            let knows = |node: &Server| {
                text_of::<String>(node.ask(&["CLUSTER", "NODES"])).contains(&address)
            };
            self.nodes.iter().all(knows)
        });
        self.is_well_soon();
    }

    /// The number of nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether the node is a master now.
    #[must_use]
    pub fn is_master(&self, n: usize) -> bool {
        let role = self.node(n).try_ask(&["ROLE"]);
        role.is_ok_and(|role| text_of::<Vec<Value>>(role).first() == Some(&text("master")))
    }

    /// The master that has the slot of `key` at this moment, as the first node that runs knows.
    #[must_use]
    pub fn owner(&self, key: &str) -> usize {
        let node = self.nodes.iter().find(|node| node.is_running());
        let node = node.expect("one node runs");
        let slot: usize = text_of(node.ask(&["CLUSTER", "KEYSLOT", key]));
        let nodes: String = text_of(node.ask(&["CLUSTER", "NODES"]));
        let has = |line: &&str| {
            line.split(' ')
                .skip(8)
                .any(|part| match part.split_once('-') {
                    Some((first, last)) => {
                        let range = first.parse().ok().zip(last.parse().ok());
                        range.is_some_and(|(first, last): (usize, usize)| {
                            (first..=last).contains(&slot)
                        })
                    }
                    None => part.parse() == Ok(slot),
                })
        };
        let line = nodes.lines().find(has).expect("each slot has a node");
        let id = line.split(' ').next().unwrap_or_default();
        let is_it = |n: &usize| self.node(*n).is_running() && self.id(*n) == id;
        (0..self.len()).find(is_it).expect("the node runs")
    }

    /// Lets the slot of `key` be on its way to another master: what is not where it was any more is to be
    /// asked for there.
    pub fn begin_to_move(&self, key: &str, to: usize) -> Move {
        let from = self.owner(key);
        let slot: u64 = text_of(self.node(from).ask(&["CLUSTER", "KEYSLOT", key]));
        let slot = slot.to_string();
        let (source, target) = (self.id(from), self.id(to));
        let _ = self
            .node(to)
            .ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]);
        let _ = self
            .node(from)
            .ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]);
        Move { slot, from, to }
    }

    /// Moves all keys that there are in the slot.
    pub fn move_keys(&self, it: &Move) {
        let keys: Vec<String> =
            text_of(
                self.node(it.from)
                    .ask(&["CLUSTER", "GETKEYSINSLOT", &it.slot, "1000"]),
            );
        for key in keys {
            self.move_key(it, &key);
        }
    }

    /// Moves one key of the slot.
    pub fn move_key(&self, it: &Move, key: &str) {
        let port = self.node(it.to).port().to_string();
        let words = ["MIGRATE", "127.0.0.1", &port, key, "0", "2000"];
        let _ = self.node(it.from).ask(&words);
    }

    /// Lets the slot be the other's for good.
    pub fn end_move(&self, it: &Move) {
        let target = self.id(it.to);
        for n in [it.to, it.from] {
            let words = ["CLUSTER", "SETSLOT", &it.slot, "NODE", &target];
            let _ = self.node(n).ask(&words);
        }
    }

    /// Lets the slot stay where it is; its keys have to be there.
    pub fn give_up_move(&self, it: &Move) {
        for n in [it.to, it.from] {
            let _ = self
                .node(n)
                .ask(&["CLUSTER", "SETSLOT", &it.slot, "STABLE"]);
        }
    }

    /// Makes a node forget all others, for a minute; they do not forget it.
    pub fn isolate(&self, n: usize) {
        for other in (0..self.len()).filter(|other| *other != n) {
            let id = self.id(other);
            let _ = self.node(n).ask(&["CLUSTER", "FORGET", &id]);
        }
    }

    /// Kills a node that has no slots any more, and makes the others forget it.
    pub fn remove(&mut self, n: usize) {
        let id = self.id(n);
        self.node_mut(n).kill();
        for node in self.others(n) {
            let _ = node.ask(&["CLUSTER", "FORGET", &id]);
        }
    }

    fn others(&self, n: usize) -> impl Iterator<Item = &Server> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter_map(move |(other, node)| (other != n && node.is_running()).then_some(node))
    }

    fn id(&self, n: usize) -> String {
        text_of(self.node(n).ask(&["CLUSTER", "MYID"]))
    }
}

/// A master that was killed, and the replica that is to take over.
#[derive(Debug)]
pub struct Gone {
    node: usize,
    next: usize,
}

/// A slot on its way.
#[derive(Debug)]
pub struct Move {
    slot: String,
    from: usize,
    to: usize,
}

/// One that notices within half a second that another is gone.
fn node() -> Server {
    Server::start_with(&[
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "500",
        "--cluster-require-full-coverage",
        "no",
        "--repl-diskless-sync",
        "yes",
        "--repl-diskless-sync-delay",
        "0",
    ])
}

fn cluster_info(node: &Server) -> String {
    node.try_ask(&["CLUSTER", "INFO"])
        .map(text_of)
        .unwrap_or_default()
}

fn text(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

fn text_of<T: FromRedisValue>(value: Value) -> T {
    ::redis::from_redis_value(value).expect("it answers as documented")
}

/// Waits until `is_so`.
///
/// # Panics
///
/// Where that takes longer than some seconds.
pub fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    unreachable!("it does not come about: {what}");
}
