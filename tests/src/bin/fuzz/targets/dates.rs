//! What strangers can send as a date.

use cache_tower::http::date;
use std::time::{Duration, SystemTime};

pub(crate) const SEEDS: &[&[u8]] = &[
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"Sunday, 06-Nov-94 08:49:37 GMT",
    b"Sun Nov  6 08:49:37 1994",
    b"Sat, 31 Dec 2016 23:59:60 GMT",
    b"Thu, 29 Feb 2024 00:00:00 GMT",
    b"Fri, 31 Dec 9999 23:59:60 GMT",
    b"Mon, 01 Jan 0001 00:00:00 GMT",
    b"Wednesday, 31-Dec-69 23:59:59 GMT",
    b" 1994-11-06T08:49:37Z\t",
];

pub(crate) const WORDS: &[&[u8]] = &[
    b"Sun", b"Sunday", b", ", b"-Nov-", b" Feb ", b" GMT", b" UTC", b"29", b"31", b"60", b"00",
    b"99", b"0000", b"9999", b"  ", b":",
];

/// 9999-12-31 23:59:59.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// In 1970, 1994, 2038 and 6325.
const CLOCKS: [u64; 4] = [0, 784_111_777, 1 << 31, 1 << 37];

/// One HTTP-date.
pub(crate) fn check(input: &[u8]) {
    let read: Vec<_> = CLOCKS
        .into_iter()
        .map(|now| read_by(input, SystemTime::UNIX_EPOCH + Duration::from_secs(now)))
        .collect();
    if !input.contains(&b'-') {
        assert!(
            read.windows(2).all(|pair| pair.first() == pair.last()),
            "a full year does not depend on the clock"
        );
    }
}

fn read_by(input: &[u8], now: SystemTime) -> Option<SystemTime> {
    let read = date::parse(input, now);
    let padded = [b" \t", input, b"\t "].concat();
    assert_eq!(date::parse(&padded, now), read, "blanks do not count");
    let shouted = input.to_ascii_uppercase();
    assert_eq!(date::parse(&shouted, now), read, "nor does case");
    let epoch = SystemTime::UNIX_EPOCH;
    if let Some(at) = read.filter(|at| (epoch..=epoch + LAST).contains(at)) {
        let sent = date::format(at);
        assert_eq!(
            date::parse(sent.as_bytes(), now),
            Some(at),
            "sent as {sent:?}"
        );
    }
    if let Some(at) = read.filter(|_| input.contains(&b'-')) {
        // 50 years hold 18 263 days at most, and the second 60 is the next minute's.
        let latest = now + Duration::from_secs(18_263 * 24 * 60 * 60 + 1);
        assert!(at <= latest, "two digits are no year so far ahead");
    }
    read
}
