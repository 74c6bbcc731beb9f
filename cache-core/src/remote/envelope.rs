//! How an entry is written into a remote tier.
//!
//! Whatever comes back from there is hostile until it has been checked: other versions of this
//! crate, other programs and broken disks write there too. Every length is checked against what was
//! read before anything is allocated by it, and the body is a slice of the reply.
//!
//! | Bytes | |
//! |---|---|
//! | 0–3 | magic |
//! | 4 | version of the format, 1 |
//! | 5–7 | zero |
//! | 8–15 | nonce: names this version of the value |
//! | 16–23 | schema of the body |
//! | 24–31 | born: server time, in µs, when its load began |
//! | 32–39 | stored: server time, in µs |
//! | 40–71 | lifetimes in µs: fresh, stale while revalidate, stale if error, kept |
//! | 72–79 | cost of its load, in µs |
//! | 80 | 1 where there is a value, 0 for "there is none" |
//! | 81 | zero |
//! | 82–83 | number of groups |
//! | 84–87 | length of the groups |
//! | 88–91 | length of the key |
//! | 92–95 | CRC-32 of everything else |
//! | 96– | key, groups (each with its length in two bytes), body |
//!
//! Numbers are little-endian. The first sixteen bytes are the [`head`](Sealed::head): they differ
//! between any two versions of a value, so a reader that knows one can ask for any other.

use crate::{
    policy::Life,
    remote::{ServerTime, micros},
};
use bytes::{Buf, Bytes};
use std::{fmt, time::Duration};

const MAGIC: [u8; 4] = *b"\xCAche";
const FORMAT: u8 = 1;
const HEADER: usize = 96;
const CHECKSUM: std::ops::Range<usize> = 92..96;

/// The bytes by which versions of a value are told apart.
pub(crate) const HEAD: usize = 16;

/// More groups than this are not shared.
const MAX_GROUPS: usize = 256;

/// An entry as it was read: checked, its body not yet decoded.
#[derive(Clone, PartialEq)]
pub struct Envelope {
    /// Names this version of the value.
    pub nonce: u64,
    /// When its load began.
    pub born: ServerTime,
    /// When it was stored.
    pub stored: ServerTime,
    /// Its lifetimes, from when it was stored.
    pub life: Life,
    /// How long its load took.
    pub cost: Duration,
    /// The groups it belongs to.
    pub groups: Vec<Box<str>>,
    /// The encoded value; `None` for "there is none".
    pub body: Option<Bytes>,
}

/// Without what may not reach a log.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("nonce", &self.nonce)
            .field("born", &self.born)
            .field("stored", &self.stored)
            .field("life", &self.life)
            .field("groups", &self.groups.len())
            .field("length", &self.body.as_ref().map(Bytes::len))
            .finish_non_exhaustive()
    }
}

/// An entry as it is written.
#[derive(Clone)]
pub struct Sealed {
    /// All of it.
    pub bytes: Bytes,
}

/// Without what may not reach a log.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Why bytes are not an entry of this key. Each is a miss, and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Odd {
    /// Not written by this crate.
    Foreign,
    /// Another version of the format.
    Format,
    /// The body is of another schema.
    Schema,
    /// Cut, or changed.
    Damaged,
    /// The entry of another key.
    OtherKey,
}

impl Odd {
    /// Its word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Format => "format",
            Self::Schema => "schema",
            Self::Damaged => "damaged",
            Self::OtherKey => "other-key",
        }
    }
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "not an entry",
            Self::Format => "an entry of another format",
            Self::Schema => "an entry of another schema",
            Self::Damaged => "a damaged entry",
            Self::OtherKey => "the entry of another key",
        })
    }
}

impl std::error::Error for Odd {}

impl Envelope {
    /// Writes the entry of `key`; `None` where key or groups are too many or too long.
    pub fn seal(&self, key: &[u8], schema: u64) -> Option<Sealed> {
        let groups = groups_bytes(&self.groups)?;
        let body = self.body.as_deref().unwrap_or_default();
        let mut bytes = Vec::with_capacity(HEADER + key.len() + groups.len() + body.len());
        bytes.extend_from_slice(&head_of(self.nonce));
        for number in [
            schema,
            self.born.0,
            self.stored.0,
            micros(self.life.fresh),
            micros(self.life.stale_while_revalidate),
            micros(self.life.stale_if_error),
            micros(self.life.kept),
            micros(self.cost),
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&[u8::from(self.body.is_some()), 0]);
        bytes.extend_from_slice(&u16::try_from(self.groups.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(groups.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(key.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&groups);
        bytes.extend_from_slice(body);
        let sum = checksum(&bytes)?;
        bytes.get_mut(CHECKSUM)?.copy_from_slice(&sum.to_le_bytes());
        Some(Sealed {
            bytes: bytes.into(),
        })
    }

    /// Reads the entry of `key`. Its body is what is left of `bytes`, neither copied nor counted anew.
    ///
    /// # Errors
    ///
    /// For whatever is not exactly what [`seal`](Self::seal) wrote for this key and schema.
    pub fn open(mut bytes: Bytes, key: &[u8], schema: u64) -> Result<Self, Odd> {
        let mut header = Numbers(&bytes);
        match header.take::<4>() {
            Some(MAGIC) => {}
            _ => return Err(Odd::Foreign),
        }
        if header.take::<4>().ok_or(Odd::Damaged)? != [FORMAT, 0, 0, 0] {
            return Err(Odd::Format);
        }
        let nonce = header.u64()?;
        let found_schema = header.u64()?;
        let (born, stored) = (ServerTime(header.u64()?), ServerTime(header.u64()?));
        let life = Life {
            fresh: header.time()?,
            stale_while_revalidate: header.time()?,
            stale_if_error: header.time()?,
            kept: header.time()?,
        };
        let cost = header.time()?;
        let flags = header.take::<2>().ok_or(Odd::Damaged)?;
        let group_count = usize::from(u16::from_le_bytes(header.take().ok_or(Odd::Damaged)?));
        let (group_bytes, key_bytes) = (header.u32()?, header.u32()?);
        let sum = u32::from_le_bytes(header.take().ok_or(Odd::Damaged)?);
        if checksum(&bytes) != Some(sum) {
            return Err(Odd::Damaged);
        }
        // The checksum holds: from here on only another writer explains what is odd.
        if found_schema != schema {
            return Err(Odd::Schema);
        }
        let groups_at = HEADER.checked_add(key_bytes).ok_or(Odd::Damaged)?;
        let body_at = groups_at.checked_add(group_bytes).ok_or(Odd::Damaged)?;
        let found_key = bytes.get(HEADER..groups_at).ok_or(Odd::Damaged)?;
        let groups = bytes.get(groups_at..body_at).ok_or(Odd::Damaged)?;
        if found_key != key {
            return Err(Odd::OtherKey);
        }
        let has_body = match flags {
            [1, 0] => true,
            [0, 0] if bytes.len() == body_at => false,
            _ => return Err(Odd::Damaged),
        };
        let groups = read_groups(groups, group_count).ok_or(Odd::Damaged)?;
        bytes.advance(body_at);
        Ok(Self {
            nonce,
            born,
            stored,
            life,
            cost,
            groups,
            body: has_body.then_some(bytes),
        })
    }

    /// How long it is of any use, from when it was stored.
    pub fn lasting(&self) -> Duration {
        let life = &self.life;
        let windows = life.stale_while_revalidate.max(life.stale_if_error);
        life.fresh.saturating_add(windows.max(life.kept))
    }
}

impl Sealed {
    /// The bytes by which this version is told from any other.
    pub fn head(&self) -> &[u8] {
        self.bytes.get(..HEAD).unwrap_or_default()
    }
}

/// The head of the version that `nonce` names.
pub(crate) fn head_of(nonce: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let [m0, m1, m2, m3] = MAGIC;
    let fixed = [m0, m1, m2, m3, FORMAT, 0, 0, 0].into_iter();
    for (to, from) in head.iter_mut().zip(fixed.chain(nonce.to_le_bytes())) {
        *to = from;
    }
    head
}

fn checksum(bytes: &[u8]) -> Option<u32> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes.get(..CHECKSUM.start)?);
    hasher.update(bytes.get(CHECKSUM.end..)?);
    Some(hasher.finalize())
}

fn groups_bytes(groups: &[Box<str>]) -> Option<Vec<u8>> {
    if groups.len() > MAX_GROUPS {
        return None;
    }
    let mut bytes = Vec::new();
    for group in groups {
        bytes.extend_from_slice(&u16::try_from(group.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(group.as_bytes());
    }
    Some(bytes)
}

fn read_groups(bytes: &[u8], count: usize) -> Option<Vec<Box<str>>> {
    let mut rest = Numbers(bytes);
    let mut groups = Vec::new();
    for _ in 0..count {
        let length = u16::from_le_bytes(rest.take()?);
        groups.push(
            str::from_utf8(rest.slice(usize::from(length))?)
                .ok()?
                .into(),
        );
    }
    rest.0.is_empty().then_some(groups)
}

/// Reads numbers off the front.
struct Numbers<'a>(&'a [u8]);

impl<'a> Numbers<'a> {
    fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.slice(N)?.try_into().ok()
    }

    fn u64(&mut self) -> Result<u64, Odd> {
        self.take().map(u64::from_le_bytes).ok_or(Odd::Damaged)
    }

    fn u32(&mut self) -> Result<usize, Odd> {
        let number = self.take().map(u32::from_le_bytes).ok_or(Odd::Damaged)?;
        usize::try_from(number).map_err(|_| Odd::Damaged)
    }

    fn time(&mut self) -> Result<Duration, Odd> {
        self.u64().map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::seconds;
    use proptest::prelude::*;

    const KEY: &[u8] = b"users:42:profile";
    const SCHEMA: u64 = 0x0102_0304_0506_0708;

    fn envelope() -> Envelope {
        Envelope {
            nonce: 0x1122_3344_5566_7788,
            born: ServerTime(1_795_000_000_000_000),
            stored: ServerTime(1_795_000_000_250_000),
            life: Life {
                fresh: seconds(300),
                stale_while_revalidate: seconds(30),
                stale_if_error: seconds(60),
                kept: seconds(0),
            },
            cost: Duration::from_micros(250_000),
            groups: vec!["user:42".into(), "team".into()],
            body: Some(Bytes::from_static(br#"{"name":"Ada"}"#)),
        }
    }

    fn sealed() -> Bytes {
        envelope().seal(KEY, SCHEMA).unwrap().bytes
    }

    #[test]
    fn the_bytes_of_the_first_format_are_these() {
        let snapshot = include_str!("envelope-1.hex");
        let found: String = sealed()
            .chunks(16)
            .map(|line| {
                line.iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>()
                    + "\n"
            })
            .collect();
        assert_eq!(found, snapshot, "a change of the format needs a new number");
    }

    #[test]
    fn what_was_sealed_is_opened_and_its_body_is_not_copied() {
        let bytes = sealed();
        let opened = Envelope::open(bytes.clone(), KEY, SCHEMA).unwrap();
        assert_eq!(opened, envelope());
        let body = opened.body.unwrap();
        let offset = body.as_ptr().addr() - bytes.as_ptr().addr();
        assert_eq!(offset + body.len(), bytes.len(), "a slice of the reply");
        assert_eq!(bytes[..HEAD], head_of(envelope().nonce));
    }

    #[test]
    fn there_is_none_survives_without_a_body() {
        let none = Envelope {
            body: None,
            ..envelope()
        };
        let bytes = none.seal(KEY, SCHEMA).unwrap().bytes;
        assert_eq!(Envelope::open(bytes, KEY, SCHEMA).unwrap(), none);
    }

    /// COR-03, SEC-05: each bit flipped, cut at each offset, of an entry of 1 KiB.
    #[test]
    fn cor_03_every_flipped_bit_and_every_cut_is_refused() {
        let large = Envelope {
            body: Some(vec![0x5a; 1024].into()),
            ..envelope()
        };
        let bytes = large.seal(KEY, SCHEMA).unwrap().bytes;
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                Envelope::open(flipped.into(), KEY, SCHEMA).is_err(),
                "bit {bit}"
            );
        }
        for cut in 0..bytes.len() {
            assert!(
                Envelope::open(bytes.slice(..cut), KEY, SCHEMA).is_err(),
                "cut {cut}"
            );
        }
        let longer = [&bytes[..], b"\0"].concat();
        assert_eq!(
            Envelope::open(longer.into(), KEY, SCHEMA),
            Err(Odd::Damaged)
        );
    }

    #[test]
    fn key_13_the_entry_of_another_key_is_refused_though_it_is_whole() {
        assert_eq!(
            Envelope::open(sealed(), b"users:43:profile", SCHEMA),
            Err(Odd::OtherKey)
        );
    }

    #[test]
    fn cor_01_older_and_newer_schemas_and_formats_are_told_apart() {
        assert_eq!(Envelope::open(sealed(), KEY, SCHEMA + 1), Err(Odd::Schema));
        let mut newer = sealed().to_vec();
        newer[4] = 2;
        assert_eq!(Envelope::open(newer.into(), KEY, SCHEMA), Err(Odd::Format));
        let foreign = Bytes::from_static(b"{\"some\":\"json\"}");
        assert_eq!(Envelope::open(foreign, KEY, SCHEMA), Err(Odd::Foreign));
    }

    /// Lengths that lie, with a checksum that holds: what only a hostile writer would produce.
    #[test]
    fn a_length_that_lies_under_a_valid_checksum_is_refused() {
        for at in (80..92).chain([5, 6, 7]) {
            for value in [1, 0x7f, 0xff] {
                let mut bytes = sealed().to_vec();
                if bytes[at] == value {
                    continue;
                }
                bytes[at] = value;
                let sum = checksum(&bytes).unwrap();
                bytes[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
                assert!(
                    Envelope::open(bytes.into(), KEY, SCHEMA).is_err(),
                    "byte {at} as {value}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), ours: bool) {
            let mut bytes = bytes;
            if ours {
                bytes.splice(..0, head_of(1));
            }
            let _ = Envelope::open(bytes.into(), KEY, SCHEMA);
        }

        #[test]
        fn groups_and_bodies_of_any_kind_survive(
            groups in proptest::collection::vec(".{0,20}", 0..5),
            body in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..50)),
        ) {
            let groups: Vec<Box<str>> = groups.into_iter().map(Into::into).collect();
            let it = Envelope { groups, body: body.map(Bytes::from), ..envelope() };
            let bytes = it.seal(KEY, SCHEMA).unwrap().bytes;
            prop_assert_eq!(Envelope::open(bytes, KEY, SCHEMA).unwrap(), it);
        }
    }
}
