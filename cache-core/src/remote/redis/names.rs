//! What keys are called in Redis.
//!
//! | Name | |
//! |---|---|
//! | `<prefix><key>` | a value |
//! | `lease:{<prefix><key>}` | its lease, in the same slot of a cluster, and not under the prefix that is tracked |
//! | `<prefix>%g:<group>` | the version of a group |
//! | `<prefix>%g{<prefix>}:<group>` | the same in a cluster, where all of them are in one slot |
//! | `lease:{<prefix>}%born` | when the latest entry of a group was born, in the slot of the groups |
//! | `<prefix>%wake` | the channel that ends of leases are told on |
//!
//! No key begins with `%g` or `%wake`: keys write a percent sign as `%25`.

use crate::remote::{Failure, MAX_KEY};

#[derive(Debug)]
pub(super) struct Names {
    prefix: Box<[u8]>,
    channel: Box<[u8]>,
    /// What the names of groups go on with after the prefix.
    group: Box<[u8]>,
    born: Box<[u8]>,
}

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
    pub(super) fn new(prefix: &str, is_cluster: bool) -> Self {
        let group = if is_cluster {
            format!("%g{{{prefix}}}:")
        } else {
            "%g:".to_owned()
        };
        Self {
            prefix: prefix.as_bytes().into(),
            channel: [prefix.as_bytes(), b"%wake"].concat().into(),
            group: group.into_bytes().into(),
            born: format!("lease:{{{prefix}}}%born").into_bytes().into(),
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
        [&self.prefix, &self.group, name.as_bytes()].concat()
    }

    pub(super) fn born(&self) -> &[u8] {
        &self.born
    }

    pub(super) fn meaning<'a>(&self, name: &'a [u8]) -> Meaning<'a> {
        let Some(rest) = name.strip_prefix(&*self.prefix) else {
            return Meaning::Nothing;
        };
        match rest.strip_prefix(&*self.group).map(str::from_utf8) {
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
    use crate::remote::redis::slots::slot_of;

    #[test]
    fn rds_13_a_value_and_its_lease_are_in_one_slot() {
        let names = Names::new("app:", false);
        for key in [
            "users:42",
            "users:42:profile",
            "{d41d8cd9}",
            "{d41d8cd9}:v:7",
        ] {
            let name = names.of(key.as_bytes()).unwrap();
            assert_eq!(slot_of(&name.value), slot_of(&name.lease), "{key}");
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
    fn rds_13_all_groups_of_a_prefix_are_in_one_slot_of_a_cluster() {
        let names = Names::new("app:", true);
        for group in ["a", "team 7", "{b}", "}{"] {
            let name = names.group(group);
            assert_eq!(slot_of(&name), slot_of(names.born()), "{group}");
            assert!(name.starts_with(names.prefix()), "groups are tracked");
            assert_eq!(names.meaning(&name), Meaning::Group(group));
        }
        assert!(!names.born().starts_with(names.prefix()));
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
