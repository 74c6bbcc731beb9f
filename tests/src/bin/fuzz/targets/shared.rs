//! What comes out of a tier that other programs write to as well: entries, and stored responses in them.

use bytes::Bytes;
use cache_core::remote::Envelope;
use cache_tower::rewritten_frame;

/// What the seeds were sealed for.
const KEY: &[u8] = b"users:42:profile";
const SCHEMA: u64 = 0x0102_0304_0506_0708;

/// Where the checksum of an entry stands.
const CHECKSUM: std::ops::Range<usize> = 92..96;

pub(crate) const ENTRIES: &[&[u8]] = &[
    include_bytes!("seeds/envelope.bin"),
    b"",
    b"{\"some\":\"json\"}",
];

pub(crate) const ENTRY_WORDS: &[&[u8]] = &[
    b"\x00\x00",
    b"\x01\x00",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x07\x00user:42",
    b"\x04\x00team",
    KEY,
];

pub(crate) const FRAMES: &[&[u8]] = &[
    include_bytes!("seeds/response.bin"),
    include_bytes!("seeds/variants.bin"),
    b"\x01",
];

pub(crate) const FRAME_WORDS: &[&[u8]] = &[
    b"\x00\x00",
    b"\x00\x01",
    b"\x0f\xff",
    b"\x10\x00",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x04link",
    b"\x00\x00\x00\x04LINK",
    b"\x00\x00\x00\x0econtent-length",
    b"\x00\x00\x00\x0dcache-control",
    b"\x00\x00\x00\x04vary",
    b"\x00\x00\x00\x00",
];

/// As they are, and with the checksum that a writer of ours would have given them.
pub(crate) fn entry(input: &[u8]) {
    open(input);
    let mut summed = input.to_vec();
    let sum = checksum(input);
    if let Some(at) = summed.get_mut(CHECKSUM) {
        at.copy_from_slice(&sum.to_le_bytes());
        open(&summed);
    }
}

/// What opens is exactly what would be written of it, and no more than came.
fn open(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    let Ok(entry) = Envelope::open(bytes.clone(), KEY, SCHEMA) else {
        return;
    };
    let groups: usize = entry.groups.iter().map(|group| group.len()).sum();
    let body = entry.body.as_ref().map_or(0, Bytes::len);
    assert!(groups + body <= input.len());
    let sealed = entry.seal(KEY, SCHEMA);
    assert_eq!(sealed.map(|sealed| sealed.bytes), Some(bytes.clone()));
    for (key, schema) in [(&b"users:43:profile"[..], SCHEMA), (KEY, SCHEMA + 1)] {
        assert!(Envelope::open(bytes.clone(), key, schema).is_err());
    }
}

/// CRC-32, bit by bit.
fn checksum(input: &[u8]) -> u32 {
    let (head, rest) = input.split_at(CHECKSUM.start.min(input.len()));
    let rest = rest.get(CHECKSUM.len()..).unwrap_or_default();
    let sum = head.iter().chain(rest).fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            let carried = sum & 1 == 1;
            sum >> 1 ^ if carried { 0xedb8_8320 } else { 0 }
        })
    });
    !sum
}

/// What a frame holds is held by what is written of it, too.
pub(crate) fn frame(input: &[u8]) {
    if let Some(written) = rewritten_frame(input) {
        let again = rewritten_frame(&written);
        assert_eq!(again, Some(written), "it holds the same");
    }
}
