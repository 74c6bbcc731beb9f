//! The slots of a cluster.

#[cfg(feature = "redis-cluster")]
use redis::Value;

/// So many slots have all clusters.
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a name: CRC16 (XMODEM) of its hash tag, or of all of it.
pub(super) fn slot_of(name: &[u8]) -> u16 {
    let crc = tag_of(name).iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    });
    crc % SLOTS
}

/// What is between the first `{` and the next `}`, unless that is nothing.
fn tag_of(name: &[u8]) -> &[u8] {
    let tag = || {
        let open = name.iter().position(|byte| *byte == b'{')?;
        let rest = name.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    };
    tag().unwrap_or(name)
}

/// Slots from the first to the last, and where their master is.
#[cfg(feature = "redis-cluster")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    /// `None` where it is the one that was asked.
    pub(super) host: Option<String>,
    pub(super) port: u16,
}

/// What `CLUSTER SLOTS` answers; `None` where that is not to be understood.
#[cfg(feature = "redis-cluster")]
pub(super) fn ranges(answer: &Value) -> Option<Vec<Range>> {
    let Value::Array(ranges) = answer else {
        return None;
    };
    ranges.iter().map(range).collect()
}

#[cfg(feature = "redis-cluster")]
fn range(answer: &Value) -> Option<Range> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let [
        Value::Int(first),
        Value::Int(last),
        Value::Array(master),
        ..,
    ] = parts.as_slice()
    else {
        return None;
    };
    let [host, Value::Int(port), ..] = master.as_slice() else {
        return None;
    };
    let slot = |number: i64| u16::try_from(number).ok().filter(|slot| *slot < SLOTS);
    Some(Range {
        first: slot(*first)?,
        last: slot(*last)?,
        host: named(host),
        port: u16::try_from(*port).ok()?,
    })
}

#[cfg(feature = "redis-cluster")]
impl Range {
    pub(super) fn len(&self) -> usize {
        usize::from(self.last.saturating_sub(self.first)) + 1
    }
}

#[cfg(feature = "redis-cluster")]
fn named(host: &Value) -> Option<String> {
    let host = match host {
        Value::BulkString(host) => str::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        _ => return None,
    };
    known(host).map(str::to_owned)
}

/// A node whose name is not known is given none, or a question mark.
#[cfg(feature = "redis-cluster")]
pub(super) fn known(host: &str) -> Option<&str> {
    (!matches!(host, "" | "?")).then_some(host)
}

/// What a node says of itself in `CLUSTER NODES`.
#[cfg(feature = "redis-cluster")]
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holdings {
    /// The slots it has, is getting and is giving away.
    pub(super) slots: String,
    /// Where those go that it is giving away, as `host:port`.
    pub(super) takers: Vec<Box<str>>,
}

#[cfg(feature = "redis-cluster")]
impl Holdings {
    /// `host` is how the node itself is known: others go by a name where it does, and by an address where it
    /// does.
    pub(super) fn parse(nodes: &str, host: &str) -> Option<Self> {
        let lines = || nodes.lines().map(|line| line.split(' '));
        let own = lines().find(|fields| {
            let flags = fields.clone().nth(2).unwrap_or_default();
            flags.split(',').any(|flag| flag == "myself")
        })?;
        // Flags, master, ping, pong, epoch and state of the link come before.
        let slots: Vec<&str> = own.clone().skip(8).collect();
        let is_named = name_in(own) == Some(host);
        let address = |id| {
            let fields = lines().find(|fields| fields.clone().next() == Some(id))?;
            let (address, _) = fields.clone().nth(1)?.split_once('@')?;
            let name = name_in(fields).filter(|_| is_named);
            let Some((name, (_, port))) = name.zip(address.rsplit_once(':')) else {
                return Some(address.into());
            };
            Some(format!("{name}:{port}").into())
        };
        let takers = slots.iter().filter_map(|slot| {
            let (_, id) = slot.strip_suffix(']')?.split_once("->-")?;
            address(id)
        });
        Some(Self {
            takers: takers.collect(),
            slots: slots.join(" "),
        })
    }

    pub(super) fn is_moving(&self) -> bool {
        self.slots.contains('[')
    }

    /// The slots it has, from the first to the last of each range.
    fn ranges(&self) -> impl Iterator<Item = (usize, usize)> {
        let slots = self.slots.split(' ');
        slots.filter_map(|slots| {
            let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
            Some((first.parse().ok()?, last.parse().ok()?))
        })
    }

    /// Whether each slot is with one of them.
    pub(super) fn are_all<'a>(held: impl IntoIterator<Item = &'a Self>) -> bool {
        let mut slots = vec![false; usize::from(SLOTS)];
        for (first, last) in held.into_iter().flat_map(Self::ranges) {
            slots.get_mut(first..=last).unwrap_or_default().fill(true);
        }
        slots.into_iter().all(|is_held| is_held)
    }
}

/// The name that a node announces, after its address and the port of the bus.
#[cfg(feature = "redis-cluster")]
fn name_in<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known(fields.nth(1)?.split(',').nth(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rds_13_a_slot_is_that_of_the_hash_tag() {
        assert_eq!(slot_of(b"123456789"), 12_739, "as the specification says");
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
        assert_eq!(slot_of(b"foo{bar}{zap}"), slot_of(b"bar"));
        assert_ne!(slot_of(b"foo{}{bar}"), slot_of(b"bar"));
        assert_ne!(slot_of(b"a}{b"), slot_of(b"b"));
    }

    #[cfg(feature = "redis-cluster")]
    #[test]
    fn ranges_are_read_and_oddities_refused() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let master = |host: Value| {
            let id = text("id");
            Value::Array(vec![host, Value::Int(7000), id, Value::Array(vec![])])
        };
        let range = |first, last, host| {
            Value::Array(vec![Value::Int(first), Value::Int(last), master(host)])
        };
        let known = |answer| ranges(&Value::Array(vec![answer]));
        let expected = |host: Option<&str>| {
            let host = host.map(str::to_owned);
            Some(vec![Range {
                first: 0,
                last: 16_383,
                host,
                port: 7000,
            }])
        };
        assert_eq!(known(range(0, 16_383, text("::1"))), expected(Some("::1")));
        assert_eq!(known(range(0, 16_383, text(""))), expected(None));
        assert_eq!(known(range(0, 16_383, Value::Nil)), expected(None));
        assert_eq!(known(range(0, 16_384, text("h"))), None);
        assert_eq!(known(range(-1, 2, text("h"))), None);
        assert_eq!(
            known(Value::Array(vec![Value::Int(0), Value::Int(1)])),
            None
        );
        assert_eq!(ranges(&Value::Nil), None);
    }

    #[cfg(feature = "redis-cluster")]
    #[test]
    fn what_a_node_holds_is_read_from_its_own_line() {
        let nodes = "a 127.0.0.1:1@11 master - 0 5 2 connected 5461-10922\n\
                     b 127.0.0.1:2@12,host myself,master - 0 0 1 connected 0-5460 [7->-a]\n";
        let held = Holdings::parse(nodes, "127.0.0.1").unwrap();
        assert_eq!(held.slots, "0-5460 [7->-a]");
        assert_eq!(held.takers, [Box::from("127.0.0.1:1")]);
        assert!(held.is_moving());
        let other = "a 127.0.0.1:1@11 myself,master - 0 5 2 connected 1 [7-<-b]";
        let held = Holdings::parse(other, "127.0.0.1").unwrap();
        assert!(held.is_moving() && held.takers.is_empty());
        assert_eq!(
            Holdings::parse("a 127.0.0.1:1@11 master - 0 5 2 connected\n", "127.0.0.1"),
            None
        );
    }

    /// Or a node that is known would be taken for another, at an address that may lead nowhere.
    #[cfg(feature = "redis-cluster")]
    #[test]
    fn who_takes_a_slot_goes_by_what_the_others_go_by() {
        let nodes = "a 10.0.0.1:1@11,one,shard-id=5 master - 0 5 2 connected 5461-10922\n\
                     b 10.0.0.2:2@12,two myself,master - 0 0 1 connected 0-5460 [7->-a] [8->-c]\n\
                     c 10.0.0.3:3@13, master - 0 5 2 connected\n";
        let takers = |host| Holdings::parse(nodes, host).unwrap().takers;
        assert_eq!(takers("two"), ["one:1", "10.0.0.3:3"].map(Box::from));
        assert_eq!(
            takers("10.0.0.2"),
            ["10.0.0.1:1", "10.0.0.3:3"].map(Box::from)
        );
    }

    #[cfg(feature = "redis-cluster")]
    #[test]
    fn all_slots_are_there_where_each_is_with_somebody() {
        let held = |slots: &str| Holdings {
            slots: slots.to_owned(),
            takers: Vec::new(),
        };
        let first = held("0-99 101-16383 [100->-a]");
        assert!(Holdings::are_all([&first, &held("100")]));
        assert!(!Holdings::are_all([&first, &held("[100-<-b]")]));
        assert!(!Holdings::are_all([&first, &held("")]), "a replica");
    }
}
