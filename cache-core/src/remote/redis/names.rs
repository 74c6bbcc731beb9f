//! What keys are called in Redis.
//!
//! | Name | |
//! |---|---|
//! | `<prefix><key>` | a value |
//! | `lease:{<prefix><key>}` | its lease, in the same slot of a cluster, and not under the prefix that is tracked |
//! | `<prefix>%g:<group>` | the version of a group |
//! | `<prefix>%wake` | the channel that ends of leases are told on |
//!
//! No key begins with `%g` or `%wake`: keys write a percent sign as `%25`.

use crate::remote::{Failure, MAX_KEY};

#[derive(Debug)]
pub(super) struct Names {
    prefix: Box<[u8]>,
    channel: Box<[u8]>,
}

const GROUP: &[u8] = b"%g:";
const LEASE: &[u8] = b"lease:";

/// The names of one key.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) value: Vec<u8>,
    pub(super) lease: Vec<u8>,
}

/// What a name that was told of means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    Key(&'a [u8]),
    Group(&'a str),
    Nothing,
}

impl Names {
    pub(super) fn new(prefix: &str, _is_cluster: bool) -> Self {
        Self {
            prefix: prefix.as_bytes().into(),
            channel: [prefix.as_bytes(), b"%wake"].concat().into(),
        }
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(super) fn channel(&self) -> &[u8] {
        &self.channel
    }

    pub(super) fn value(&self, key: &[u8]) -> Vec<u8> {
        [&self.prefix, key].concat()
    }

    /// # Errors
    ///
    /// Where the key is too long, or has braces from which no one slot follows.
    pub(super) fn of(&self, key: &[u8]) -> Result<Name, Failure> {
        if key.len() > MAX_KEY {
            return Err(Failure::TooLarge);
        }
        let value = self.value(key);
        let lease = if has_tag(&value).ok_or_else(|| Failure::Refused("BRACES".into()))? {
            [LEASE, &value].concat()
        } else {
            [LEASE, b"{", &value, b"}"].concat()
        };
        Ok(Name { value, lease })
    }

    pub(super) fn group(&self, name: &str) -> Vec<u8> {
        [&self.prefix, GROUP, name.as_bytes()].concat()
    }

    pub(super) fn meaning<'a>(&self, name: &'a [u8]) -> Meaning<'a> {
        let Some(rest) = name.strip_prefix(&*self.prefix) else {
            return Meaning::Nothing;
        };
        match rest.strip_prefix(GROUP).map(str::from_utf8) {
            Some(Ok(group)) => Meaning::Group(group),
            Some(Err(_)) => Meaning::Nothing,
            None => Meaning::Key(rest),
        }
    }

    /// A pattern for `SCAN` that matches the values of `prefix` and `pattern`, and one their leases.
    pub(super) fn patterns(&self, prefix: &[u8], pattern: &str) -> [Vec<u8>; 2] {
        let literal = escaped(prefix);
        let values = [&*self.prefix, &literal, pattern.as_bytes()].concat();
        [[LEASE, b"{", &values, b"}"].concat(), values]
    }
}

/// Whether the name has one hash tag; `None` where its braces are anything else.
fn has_tag(name: &[u8]) -> Option<bool> {
    let count = |brace| name.iter().filter(|byte| **byte == brace).count();
    let position = |brace| name.iter().position(|byte| *byte == brace);
    match (count(b'{'), count(b'}')) {
        (0, 0) => Some(false),
        (1, 1) => (position(b'{')? + 1 < position(b'}')?).then_some(true),
        _ => None,
    }
}

fn escaped(literal: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(literal.len());
    for byte in literal {
        if b"*?[]\\^-".contains(byte) {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a cluster's 16,384: CRC16 (XMODEM) of the tag, or of all.
    fn slot(name: &[u8]) -> u16 {
        let tag = name.iter().position(|byte| *byte == b'{').and_then(|open| {
            let rest = &name[open + 1..];
            let close = rest.iter().position(|byte| *byte == b'}')?;
            (close > 0).then(|| &rest[..close])
        });
        let mut crc = 0_u16;
        for byte in tag.unwrap_or(name) {
            crc ^= u16::from(*byte) << 8;
            for _ in 0..8 {
                crc = if crc & 0x8000 == 0 {
                    crc << 1
                } else {
                    crc << 1 ^ 0x1021
                };
            }
        }
        crc % 16384
    }

    #[test]
    fn rds_13_a_value_and_its_lease_are_in_one_slot() {
        assert_eq!(slot(b"123456789"), 12739, "as the specification says");
        let names = Names::new("app:", false);
        for key in [
            "users:42",
            "users:42:profile",
            "{d41d8cd9}",
            "{d41d8cd9}:v:7",
        ] {
            let name = names.of(key.as_bytes()).unwrap();
            assert_eq!(slot(&name.value), slot(&name.lease), "{key}");
            assert!(
                !name.lease.starts_with(names.prefix()),
                "leases are not tracked"
            );
        }
        for key in ["a}b", "a{b", "{}a", "}{", "{a}{b}", "{{a}}"] {
            assert!(names.of(key.as_bytes()).is_err(), "{key}");
        }
    }

    #[test]
    fn what_is_told_is_read_back() {
        let names = Names::new("app:", false);
        assert_eq!(
            names.meaning(&names.value(b"users:1")),
            Meaning::Key(b"users:1")
        );
        assert_eq!(
            names.meaning(&names.group("team 7")),
            Meaning::Group("team 7")
        );
        assert_eq!(names.meaning(b"other:users:1"), Meaning::Nothing);
    }
}
