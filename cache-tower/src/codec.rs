//! What is stored as bytes, for the tier that processes share.
//!
//! A frame is a byte for its kind, the digest of its owner, and fields in a fixed order, each with its
//! length before it; a body is the rest. Whatever does not read so to its last byte, or is another
//! owner's, is nothing. Lengths are compared with what is there before anything is made of them, and a
//! body is a slice of the bytes that came.

use crate::{
    engine::Owner,
    http::admit::Nature,
    stored::{Body, Head, Selecting, Stored, StoredResponse, Variants},
};
use bytes::Bytes;
use cache_core::Key;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::time::{Duration, SystemTime};

/// To be changed with the frame; the policies of owners are told apart by their text in a version.
pub(crate) const SCHEMA: &str = concat!("cache-tower ", env!("CARGO_PKG_VERSION"), " frame 1");

const RESPONSE: u8 = 1;
const VARIANTS: u8 = 2;

/// More of anything that is counted is not read.
const MOST: usize = 4096;

/// The frame; `None` for what is not all here.
pub(crate) fn encode(stored: &Stored) -> Option<Bytes> {
    let mut frame = Writer(Vec::new());
    match stored {
        Stored::Response(response) => {
            let Body::Whole(body) = response.body() else {
                return None;
            };
            frame.response(response, body)?;
        }
        Stored::Variants(variants) => frame.variants(variants)?,
    }
    Some(frame.0.into())
}

/// What a frame of this owner holds; `None` for anything odd.
pub(crate) fn decode(frame: Bytes, owner: &Owner) -> Option<Stored> {
    let mut frame = Reader(frame);
    let kind = frame.byte()?;
    if *frame.take(size_of::<[u8; 32]>())? != owner.digest() {
        return None;
    }
    match kind {
        RESPONSE => frame.response(owner).map(Stored::Response),
        VARIANTS => frame.variants(owner).map(Stored::Variants),
        _ => None,
    }
}

/// The index in a frame, whoever its owner is; `owner` is taken to be.
pub(crate) fn index(frame: Bytes, owner: &Owner) -> Option<Variants> {
    let mut frame = Reader(frame);
    let kind = frame.byte()?;
    frame.take(size_of::<[u8; 32]>())?;
    (kind == VARIANTS).then(|| frame.variants(owner)).flatten()
}

/// What a frame holds, written again; `None` where it holds nothing. For fuzzing; of both the digest of
/// the owner is left out.
#[cfg(feature = "test-util")]
pub fn rewritten(frame: &[u8]) -> Option<Vec<u8>> {
    const OWNER: std::ops::Range<usize> = 1..33;
    let policy = crate::policy::Policy::from_headers();
    let owner = Owner::new(&std::sync::Arc::new(policy), 0);
    let (kind, rest) = frame.split_first()?;
    let frame = [&[*kind], &owner.digest()[..], rest].concat();
    let stored = decode(frame.into(), &owner)?;
    let mut frame = encode(&stored)
        .expect("what was read can be written")
        .to_vec();
    frame.drain(OWNER);
    Some(frame)
}

struct Writer(Vec<u8>);

impl Writer {
    fn response(&mut self, response: &StoredResponse, body: &Bytes) -> Option<()> {
        let head = response.head();
        let nature = response.nature();
        self.0.push(RESPONSE);
        self.0.extend_from_slice(&head.owner().digest());
        self.0.extend(head.status().as_u16().to_be_bytes());
        let since = head.received().duration_since(SystemTime::UNIX_EPOCH);
        self.duration(since.ok()?);
        self.duration(nature.initial_age);
        self.duration(nature.overdue);
        let flags = [
            nature.shared_with_credentials,
            nature.forbids_stale,
            nature.immutable,
            nature.is_targeted,
        ];
        self.0.push(bits(flags));
        self.count(head.groups().len())?;
        for group in &**head.groups() {
            self.bytes(group.as_bytes())?;
        }
        let fields = head.fields();
        self.count(fields.len())?;
        for (name, value) in &fields {
            self.bytes(name.as_str().as_bytes())?;
            self.bytes(value.as_bytes())?;
        }
        self.names(&response.selecting.fields)?;
        self.bytes(&response.selecting.values)?;
        self.0.extend_from_slice(body);
        Some(())
    }

    fn variants(&mut self, variants: &Variants) -> Option<()> {
        self.0.push(VARIANTS);
        self.0.extend_from_slice(&variants.owner.digest());
        self.0.extend(variants.nonce.to_be_bytes());
        self.names(&variants.fields)?;
        self.count(variants.keys.len())?;
        for key in &variants.keys {
            self.bytes(key.as_bytes())?;
        }
        self.count(variants.languages.len())?;
        for (selected, key) in &variants.languages {
            self.bytes(selected)?;
            self.bytes(key.as_bytes())?;
        }
        Some(())
    }

    fn names(&mut self, names: &[HeaderName]) -> Option<()> {
        self.count(names.len())?;
        names
            .iter()
            .try_for_each(|name| self.bytes(name.as_str().as_bytes()))
    }

    fn count(&mut self, count: usize) -> Option<()> {
        let count = u16::try_from(count)
            .ok()
            .filter(|count| usize::from(*count) <= MOST)?;
        self.0.extend(count.to_be_bytes());
        Some(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.0
            .extend(u32::try_from(bytes.len()).ok()?.to_be_bytes());
        self.0.extend_from_slice(bytes);
        Some(())
    }

    fn duration(&mut self, duration: Duration) {
        self.0.extend(duration.as_secs().to_be_bytes());
        self.0.extend(duration.subsec_nanos().to_be_bytes());
    }
}

fn bits(flags: [bool; 4]) -> u8 {
    flags
        .into_iter()
        .fold(0, |bits, flag| bits << 1 | u8::from(flag))
}

struct Reader(Bytes);

impl Reader {
    fn response(mut self, owner: &Owner) -> Option<StoredResponse> {
        let status = StatusCode::from_u16(u16::from_be_bytes(self.array()?)).ok()?;
        let received = SystemTime::UNIX_EPOCH.checked_add(self.duration()?)?;
        let (initial_age, overdue) = (self.duration()?, self.duration()?);
        let flags = self.byte().filter(|flags| *flags < 16)?;
        let nature = Nature {
            initial_age,
            overdue,
            shared_with_credentials: flags & 8 != 0,
            forbids_stale: flags & 4 != 0,
            immutable: flags & 2 != 0,
            is_targeted: flags & 1 != 0,
        };
        let groups = self.several(|frame| String::from_utf8(frame.bytes()?.to_vec()).ok())?;
        let mut fields = HeaderMap::new();
        for _ in 0..self.count()? {
            let name = self.name()?;
            let value = HeaderValue::from_maybe_shared(self.bytes()?).ok()?;
            fields.try_append(name, value).ok()?;
        }
        let selecting = Selecting {
            fields: self.several(Self::name)?.into(),
            values: self.bytes()?.to_vec().into(),
        };
        let head = Head::restored(status, fields, owner.clone(), received, groups.into());
        Some(StoredResponse::restored(head, self.0, nature, selecting))
    }

    fn variants(mut self, owner: &Owner) -> Option<Variants> {
        let nonce = u64::from_be_bytes(self.array()?);
        let fields = self.several(Self::name)?.into();
        let keys = self.several(Self::key)?.into();
        let languages = self
            .several(|frame| Some((frame.bytes()?.to_vec().into(), frame.key()?)))?
            .into();
        self.0.is_empty().then(|| Variants {
            owner: owner.clone(),
            fields,
            nonce,
            keys,
            languages,
        })
    }

    fn several<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.count()?).map(|_| one(self)).collect()
    }

    fn name(&mut self) -> Option<HeaderName> {
        HeaderName::from_bytes(&self.bytes()?).ok()
    }

    fn key(&mut self) -> Option<Key> {
        Some(Key::from(&*self.bytes()?))
    }

    fn duration(&mut self) -> Option<Duration> {
        let seconds = u64::from_be_bytes(self.array()?);
        let nanos = u32::from_be_bytes(self.array()?);
        (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
    }

    fn count(&mut self) -> Option<usize> {
        let count = usize::from(u16::from_be_bytes(self.array()?));
        (count <= MOST).then_some(count)
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let length = u32::from_be_bytes(self.array()?);
        self.take(usize::try_from(length).ok()?)
    }

    fn byte(&mut self) -> Option<u8> {
        let [byte] = self.array()?;
        Some(byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        (*self.take(N)?).try_into().ok()
    }

    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use cache_core::policy::minutes;
    use std::sync::Arc;

    fn owner() -> Owner {
        Owner::new(&Arc::new(Policy::ttl(minutes(5))), 0)
    }

    fn response() -> Stored {
        let mut fields = HeaderMap::new();
        fields.insert("etag", HeaderValue::from_static("\"1\""));
        fields.append("link", HeaderValue::from_static("<a>"));
        fields.append("link", HeaderValue::from_bytes(b"<\xfc>").unwrap());
        let received = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5);
        let groups = vec!["users".to_owned()];
        let head = Head::restored(StatusCode::OK, fields, owner(), received, groups.into());
        let nature = Nature {
            initial_age: Duration::from_secs(3),
            overdue: Duration::ZERO,
            shared_with_credentials: true,
            forbids_stale: false,
            immutable: true,
            is_targeted: false,
        };
        let selecting = Selecting {
            fields: [http::header::ACCEPT].into(),
            values: (*b"x").into(),
        };
        let body = Bytes::from_static(b"the body");
        Stored::Response(StoredResponse::restored(head, body, nature, selecting))
    }

    fn variants() -> Stored {
        let key = Key::from(&b"k\0v"[..]);
        Stored::Variants(Variants {
            owner: owner(),
            fields: [http::header::ACCEPT_LANGUAGE].into(),
            nonce: 7,
            keys: [key.clone()].into(),
            languages: [((*b"en").into(), key)].into(),
        })
    }

    #[test]
    fn a_frame_reads_back_as_what_it_was_made_of() {
        for stored in [response(), variants()] {
            let frame = encode(&stored).unwrap();
            let read = decode(frame.clone(), &owner()).unwrap();
            assert_eq!(encode(&read).unwrap(), frame);
        }
        let read = decode(encode(&response()).unwrap(), &owner()).unwrap();
        let read = read.response().unwrap();
        assert_eq!(read.headers().get_all("link").iter().count(), 2);
        assert!(matches!(read.body(), Body::Whole(body) if body == "the body"));
    }

    #[test]
    fn a_body_is_a_slice_of_what_came() {
        let frame = encode(&response()).unwrap();
        let read = decode(frame.clone(), &owner()).unwrap();
        let Body::Whole(body) = read.response().unwrap().body() else {
            unreachable!("it is whole");
        };
        assert!(frame.as_ptr_range().contains(&body.as_ptr()));
    }

    #[test]
    fn another_owners_frame_is_nothing() {
        let frame = encode(&response()).unwrap();
        let policy = Arc::new(Policy::ttl(minutes(5)));
        assert!(decode(frame.clone(), &Owner::new(&policy, 1)).is_none());
        let other = Arc::new(Policy::ttl(minutes(6)));
        assert!(decode(frame, &Owner::new(&other, 0)).is_none());
    }

    #[test]
    fn cor_03_a_frame_that_is_cut_or_altered_never_panics() {
        for stored in [response(), variants()] {
            let frame = encode(&stored).unwrap();
            for at in 0..frame.len() {
                let cut = decode(frame.slice(..at), &owner());
                assert!(cut.is_none_or(|cut| cut.response().is_some_and(|cut| {
                    matches!(cut.body(), Body::Whole(body) if body.len() < 8)
                })));
                for bit in 0..8 {
                    let mut altered = frame.to_vec();
                    altered[at] ^= 1 << bit;
                    let _ = decode(altered.into(), &owner());
                }
            }
        }
    }

    #[test]
    fn a_length_that_is_a_lie_allocates_nothing() {
        let mut frame = vec![VARIANTS];
        frame.extend(owner().digest());
        frame.extend([0; 8]);
        frame.extend([0, 1, 0xff, 0xff, 0xff, 0xff]);
        assert!(decode(frame.into(), &owner()).is_none());
    }

    /// The bytes of the first format. Where this fails, `SCHEMA` must change with it.
    #[test]
    fn cor_01_the_frame_is_as_it_was() {
        let hex = |stored: &Stored| -> String {
            let frame = encode(stored).unwrap();
            frame.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let digest = owner().digest().map(|byte| format!("{byte:02x}")).concat();
        let of_response = hex(&response()).replace(&digest, "OWNER");
        let of_variants = hex(&variants()).replace(&digest, "OWNER");
        let snapshot = include_str!("codec.snapshot");
        assert_eq!(format!("{of_response}\n{of_variants}\n"), snapshot);
    }
}
