//! What tells one version of a representation from another (RFC 9110 §8.8), and which stored response
//! a later one speaks of (RFC 9111 §4.3.4, §4.3.5).
//!
//! Servers send ETag fields that hold no entity tag. Such a value is sent back byte for byte to ask
//! whether a response is still valid; it is weak, and equals the very same bytes alone.

use super::{date, text};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// A version may be replaced unseen within the second that its Last-Modified names. Only where Date
/// is at least this much later is it known to be the last of that second, even if the two were taken
/// from clocks that differ (RFC 9110 §8.8.2.2). A cache cannot know that they were one clock.
const APART: Duration = Duration::from_secs(60);

/// An entity tag (RFC 9110 §8.8.3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EntityTag<'a> {
    is_weak: bool,
    opaque: &'a [u8],
}

/// Without what may not reach a log.
impl fmt::Debug for EntityTag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntityTag")
            .field("is_weak", &self.is_weak)
            .finish_non_exhaustive()
    }
}

impl<'a> EntityTag<'a> {
    /// Reads a tag without blanks around it; `None` for what is none by the grammar.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (is_weak, opaque) = match value.strip_prefix(b"W/") {
            Some(opaque) => (true, opaque),
            None => (false, value),
        };
        let inner = opaque.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        inner
            .iter()
            .all(is_etagc)
            .then_some(Self { is_weak, opaque })
    }

    /// Whether it is marked as weak.
    pub fn is_weak(self) -> bool {
        self.is_weak
    }

    /// What lies between the quotes, and the quotes.
    pub fn opaque(self) -> &'a [u8] {
        self.opaque
    }

    /// The strong comparison (RFC 9110 §8.8.3.2).
    pub fn matches_strongly(self, other: EntityTag<'_>) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }

    /// The weak comparison (RFC 9110 §8.8.3.2).
    pub fn matches_weakly(self, other: EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// A backslash is a character like others, and a blank is none.
fn is_etagc(byte: &u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e | 0x80..=0xff)
}

/// What stands where an entity tag should.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tag<'a> {
    /// An entity tag.
    Entity(EntityTag<'a>),
    /// Anything else.
    Malformed(&'a [u8]),
}

/// Without what may not reach a log.
impl fmt::Debug for Tag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Entity(_) => "Entity",
            Self::Malformed(_) => "Malformed",
        })
    }
}

impl<'a> Tag<'a> {
    /// Reads a tag, blanks around it left out.
    pub fn read(value: &'a [u8]) -> Self {
        let value = text::trim(value);
        EntityTag::parse(value).map_or(Self::Malformed(value), Self::Entity)
    }

    /// The strong comparison (RFC 9110 §8.8.3.2): malformed ones never match.
    pub fn matches_strongly(self, other: Tag<'_>) -> bool {
        match (self, other) {
            (Self::Entity(tag), Tag::Entity(other)) => tag.matches_strongly(other),
            _ => false,
        }
    }

    /// The weak comparison (RFC 9110 §8.8.3.2): a malformed one matches its own bytes.
    pub fn matches_weakly(self, other: Tag<'_>) -> bool {
        match (self, other) {
            (Self::Entity(tag), Tag::Entity(other)) => tag.matches_weakly(other),
            (Self::Malformed(bytes), Tag::Malformed(other)) => bytes == other,
            _ => false,
        }
    }

    fn is_strong(self) -> bool {
        matches!(self, Self::Entity(tag) if !tag.is_weak)
    }

    /// Nothing, or what a server might read as `*`: it would match whatever is current for ever.
    fn is_useless(self) -> bool {
        match self {
            Self::Entity(_) => false,
            Self::Malformed(bytes) => {
                bytes.is_empty()
                    || bytes
                        .split(|byte| *byte == b',')
                        .any(|member| text::trim(member) == b"*")
            }
        }
    }

    fn weakened(self) -> Self {
        match self {
            Self::Entity(tag) => Self::Entity(EntityTag {
                is_weak: true,
                ..tag
            }),
            malformed @ Self::Malformed(_) => malformed,
        }
    }
}

/// The validators of a response.
#[derive(Clone, Copy)]
pub struct Validators<'a> {
    etag: Option<(&'a HeaderValue, Tag<'a>)>,
    last_modified: Option<(&'a HeaderValue, SystemTime)>,
    is_date_apart: bool,
}

/// Without what may not reach a log.
impl fmt::Debug for Validators<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validators")
            .field("etag", &self.etag.is_some())
            .field("last_modified", &self.last_modified.is_some())
            .finish_non_exhaustive()
    }
}

impl<'a> Validators<'a> {
    /// Reads the first line of ETag, and that of Last-Modified where it is a date.
    ///
    /// By `now` the two digits of some years are read (RFC 9110 §5.6.7).
    pub fn read(headers: &'a HeaderMap, now: SystemTime) -> Self {
        let last_modified = dated(headers, header::LAST_MODIFIED, now);
        let date = dated(headers, header::DATE, now);
        let is_date_apart = match (last_modified, date) {
            (Some((_, modified)), Some((_, date))) => date
                .duration_since(modified)
                .is_ok_and(|apart| apart >= APART),
            _ => false,
        };
        Self {
            etag: etag(headers),
            last_modified,
            is_date_apart,
        }
    }

    /// Whether there is anything to validate the response by.
    pub fn is_any(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }

    /// The value of ETag as it came.
    pub fn etag(&self) -> Option<&'a HeaderValue> {
        self.etag.map(|(value, _)| value)
    }

    /// What ETag says.
    pub fn tag(&self) -> Option<Tag<'a>> {
        self.etag.map(|(_, tag)| tag)
    }

    /// The value of Last-Modified as it came.
    pub fn last_modified(&self) -> Option<&'a HeaderValue> {
        self.last_modified.map(|(value, _)| value)
    }

    /// What Last-Modified says.
    pub fn modified(&self) -> Option<SystemTime> {
        self.last_modified.map(|(_, modified)| modified)
    }

    /// What Last-Modified says, where that is a strong validator (RFC 9110 §8.8.2.2).
    pub fn strongly_modified(&self) -> Option<SystemTime> {
        self.modified().filter(|_| self.is_date_apart)
    }

    /// The value of the strong validator, as If-Range wants it: ETag where there is one, or else
    /// Last-Modified (RFC 9110 §13.1.5).
    ///
    /// Beside an ETag the date proves nothing. The tag is the more exact of the two, and where it is
    /// weak, the origin itself does not promise the same bytes.
    pub fn strong(&self) -> Option<&'a HeaderValue> {
        match self.tag() {
            Some(tag) => self.etag().filter(|_| tag.is_strong()),
            None => self.last_modified().filter(|_| self.is_date_apart),
        }
    }

    /// Whether these, of a stored response, and those of a later one are the same and strong: then
    /// the two hold the same bytes, or parts of the same (RFC 9111 §3.4).
    ///
    /// It is by the Date of the stored one that a modification date is known to be strong (RFC 9110
    /// §8.8.2.2).
    pub fn shares_strong(&self, later: &Validators<'_>) -> bool {
        match (self.tag(), later.tag()) {
            (Some(tag), Some(later)) => tag.matches_strongly(later),
            (None, None) => self.is_date_apart && self.modified() == later.modified(),
            _ => false,
        }
    }

    /// By the tags where both have one, or else by the dates.
    fn matches_weakly(&self, other: &Validators<'_>) -> bool {
        match (self.tag(), other.tag()) {
            (Some(tag), Some(other)) => tag.matches_weakly(other),
            _ => self.modified().is_some() && self.modified() == other.modified(),
        }
    }
}

/// The first line of ETag, if it is of any use. Where others differ from it, nobody knows which is
/// meant: it is weak.
pub(super) fn etag(headers: &HeaderMap) -> Option<(&HeaderValue, Tag<'_>)> {
    let mut lines = headers.get_all(header::ETAG).iter();
    let first = lines.next()?;
    let tag = Tag::read(first.as_bytes());
    if tag.is_useless() {
        return None;
    }
    let is_sole = lines.all(|line| line == first);
    Some((first, if is_sole { tag } else { tag.weakened() }))
}

/// The first line of a field, where it is a date.
fn dated(
    headers: &HeaderMap,
    name: HeaderName,
    now: SystemTime,
) -> Option<(&HeaderValue, SystemTime)> {
    let value = headers.get(name)?;
    Some((value, date::parse(value.as_bytes(), now)?))
}

/// Whether a 304 speaks of a stored response (RFC 9111 §4.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshening {
    /// They share a strong validator. All stored responses of which this is true are updated.
    Strong,
    /// They share a weak validator. The most recent of which this is true is updated.
    Weak,
    /// Neither has a validator. It is updated if it is the only one stored.
    Unvalidated,
    /// The stored response has a validator, the 304 has none. The text names none to update; yet an
    /// answer to a request that asked by the validators of one response alone can mean no other.
    Unnamed,
    /// The 304 speaks of another version, and must not be used to update this one.
    Mismatch,
}

impl Freshening {
    /// The reason, as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strong => "strong",
            Self::Weak => "weak",
            Self::Unvalidated => "unvalidated",
            Self::Unnamed => "unnamed",
            Self::Mismatch => "mismatch",
        }
    }
}

/// Whether `update`, the fields of a 304, speaks of the response with the fields `stored`.
pub fn freshening(stored: &HeaderMap, update: &HeaderMap, now: SystemTime) -> Freshening {
    let stored = Validators::read(stored, now);
    let update = Validators::read(update, now);
    if stored.shares_strong(&update) {
        return Freshening::Strong;
    }
    match update.tag() {
        Some(tag) if tag.is_strong() => Freshening::Mismatch,
        None if !update.is_any() && stored.is_any() => Freshening::Unnamed,
        None if !update.is_any() => Freshening::Unvalidated,
        _ if stored.matches_weakly(&update) => Freshening::Weak,
        _ => Freshening::Mismatch,
    }
}

/// What a response to HEAD says of a response to GET that is stored (RFC 9111 §4.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadComparison {
    /// It may be updated.
    Match,
    /// It is to be considered stale, for this field differs.
    Differs(Difference),
    /// There is neither a validator nor a Content-Length to tell by. By the letter such a response
    /// updates; it proves nothing.
    NoEvidence,
}

/// The field by which two responses are found to differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// ETag.
    ETag,
    /// Last-Modified.
    LastModified,
    /// Content-Length.
    ContentLength,
}

impl Difference {
    /// The name of the field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ETag => "ETag",
            Self::LastModified => "Last-Modified",
            Self::ContentLength => "Content-Length",
        }
    }
}

/// Compares a 200 to HEAD with a stored response: every validator it has must be there byte for byte,
/// and its Content-Length must be `length`.
///
/// `length` is that of the whole stored representation, in bytes, where it is known.
pub fn compare_head(stored: &HeaderMap, length: Option<u64>, head: &HeaderMap) -> HeadComparison {
    let differs = |name: &HeaderName, is_same: bool| head.contains_key(name) && !is_same;
    let same_lines = |name: &HeaderName| head.get_all(name) == stored.get_all(name);
    if differs(&header::ETAG, same_lines(&header::ETAG)) {
        return HeadComparison::Differs(Difference::ETag);
    }
    if differs(&header::LAST_MODIFIED, same_lines(&header::LAST_MODIFIED)) {
        return HeadComparison::Differs(Difference::LastModified);
    }
    if differs(&header::CONTENT_LENGTH, is_length(head, length)) {
        return HeadComparison::Differs(Difference::ContentLength);
    }
    let told_by = [header::ETAG, header::LAST_MODIFIED, header::CONTENT_LENGTH];
    if told_by.iter().any(|name| head.contains_key(name)) {
        HeadComparison::Match
    } else {
        HeadComparison::NoEvidence
    }
}

/// Whether every line of Content-Length is `length`.
fn is_length(head: &HeaderMap, length: Option<u64>) -> bool {
    let mut lines = head.get_all(header::CONTENT_LENGTH).iter();
    length.is_some() && lines.all(|line| text::digits(line.as_bytes()) == length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    const NOON: &str = "Thu, 01 Jan 1970 12:00:00 GMT";
    const A_SECOND_LATER: &str = "Thu, 01 Jan 1970 12:00:01 GMT";
    const A_MINUTE_LATER: &str = "Thu, 01 Jan 1970 12:01:00 GMT";

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let value = |value: &str| HeaderValue::from_bytes(value.as_bytes()).unwrap();
        lines
            .iter()
            .map(|(name, text)| (HeaderName::from_static(name), value(text)))
            .collect()
    }

    fn etags(value: &str) -> HeaderMap {
        map(&[("etag", value)])
    }

    #[test]
    fn tags_are_read_by_the_grammar() {
        for (value, is_weak, opaque) in [
            (&b"\"\""[..], false, &b"\"\""[..]),
            (b"\"a,b\"", false, b"\"a,b\""),
            (b"W/\"a\\\"", true, b"\"a\\\""),
            (b"\"\xff\x80!#~\"", false, b"\"\xff\x80!#~\""),
        ] {
            let tag = EntityTag::parse(value).unwrap();
            assert_eq!((tag.is_weak(), tag.opaque()), (is_weak, opaque));
        }
        for not in [
            "", "\"", "a", "W/", "W/\"", "w/\"a\"", "W/a", "W/ \"a\"", "\"a", "a\"", "\"a\"b",
            "\"a\"\"", "\"a b\"", "\"a\tb\"", "\"\x7f\"", "*", "'a'", " \"a\"", "\"a\" ",
        ] {
            assert_eq!(EntityTag::parse(not.as_bytes()), None, "{not}");
        }
    }

    #[test]
    fn only_two_strong_tags_match_strongly() {
        let compare = |a: &str, b: &str| {
            let (a, b) = (Tag::read(a.as_bytes()), Tag::read(b.as_bytes()));
            assert_eq!(a.matches_strongly(b), b.matches_strongly(a));
            assert_eq!(a.matches_weakly(b), b.matches_weakly(a));
            (a.matches_strongly(b), a.matches_weakly(b))
        };
        assert_eq!(compare("\"1\"", "\"1\""), (true, true));
        assert_eq!(compare("W/\"1\"", "\"1\""), (false, true));
        assert_eq!(compare("W/\"1\"", "W/\"1\""), (false, true));
        assert_eq!(compare("W/\"1\"", "W/\"2\""), (false, false));
        assert_eq!(compare("\"a\"", "\"A\""), (false, false));
        assert_eq!(compare("abc", " abc"), (false, true), "malformed");
        assert_eq!(compare("abc", "\"abc\""), (false, false), "malformed");
        assert_eq!(compare("W/abc", "abc"), (false, false), "malformed");
    }

    #[test]
    fn validators_come_as_they_were_sent() {
        let headers = map(&[("etag", "not quoted"), ("last-modified", NOON)]);
        let validators = Validators::read(&headers, NOW);
        assert_eq!(validators.etag().unwrap(), "not quoted");
        assert_eq!(validators.last_modified().unwrap(), NOON);
        assert!(validators.is_any());
        assert_eq!(validators.strong(), None);
    }

    #[test]
    fn what_would_match_everything_or_nothing_is_no_validator() {
        for useless in ["", " ", "*", "\"a\", *", "*,"] {
            let headers = etags(useless);
            assert!(!Validators::read(&headers, NOW).is_any(), "{useless}");
        }
        assert!(Validators::read(&etags("\"*\""), NOW).is_any());
        let headers = map(&[("last-modified", "yesterday")]);
        assert!(!Validators::read(&headers, NOW).is_any());
    }

    #[test]
    fn the_first_of_several_etags_counts_and_is_weak_if_they_differ() {
        let differing = map(&[("etag", "\"1\""), ("etag", "\"2\"")]);
        let validators = Validators::read(&differing, NOW);
        assert_eq!(validators.etag().unwrap(), "\"1\"");
        assert_eq!(validators.strong(), None);
        let repeated = map(&[("etag", "\"1\""), ("etag", "\"1\"")]);
        assert!(Validators::read(&repeated, NOW).strong().is_some());
    }

    #[test]
    fn a_modification_date_is_strong_once_its_second_is_long_past() {
        let strong = |lines: &[(&'static str, &str)]| {
            let headers = map(lines);
            let validators = Validators::read(&headers, NOW);
            (
                validators.strongly_modified().is_some(),
                validators.strong().is_some(),
            )
        };
        let modified = ("last-modified", NOON);
        let later = ("date", A_MINUTE_LATER);
        assert_eq!(strong(&[modified, later]), (true, true));
        assert_eq!(strong(&[modified, ("date", NOON)]), (false, false));
        assert_eq!(
            strong(&[modified, ("date", A_SECOND_LATER)]),
            (false, false)
        );
        assert_eq!(strong(&[modified, ("date", "now")]), (false, false));
        assert_eq!(strong(&[modified]), (false, false));
        assert_eq!(
            strong(&[("last-modified", A_MINUTE_LATER), ("date", NOON)]),
            (false, false),
            "modified in the future"
        );
        assert_eq!(
            strong(&[modified, later, ("etag", "W/\"1\"")]),
            (true, false)
        );
        assert_eq!(strong(&[modified, later, ("etag", "\"1\"")]), (true, true));
    }

    #[test]
    fn a_304_updates_what_shares_its_strong_validator_and_nothing_else() {
        let of = |stored: &str, update: &str| freshening(&etags(stored), &etags(update), NOW);
        assert_eq!(of("\"1\"", "\"1\""), Freshening::Strong);
        assert_eq!(of("\"1\"", "\"2\""), Freshening::Mismatch);
        assert_eq!(of("W/\"1\"", "\"1\""), Freshening::Mismatch);
        assert_eq!(of("\"1\"", "W/\"1\""), Freshening::Weak);
        assert_eq!(of("W/\"1\"", "W/\"1\""), Freshening::Weak);
        assert_eq!(of("W/\"1\"", "W/\"2\""), Freshening::Mismatch);
        assert_eq!(of("abc", "abc"), Freshening::Weak);
        assert_eq!(of("abc", "\"abc\""), Freshening::Mismatch);
    }

    #[test]
    fn a_304_is_told_by_its_date_where_there_is_no_tag() {
        let modified = ("last-modified", NOON);
        let date = ("date", A_MINUTE_LATER);
        let stored = map(&[modified, date]);
        let of = |stored: &HeaderMap, update: &[(&'static str, &str)]| {
            freshening(stored, &map(update), NOW)
        };
        let other = ("last-modified", A_SECOND_LATER);
        assert_eq!(of(&stored, &[modified, date]), Freshening::Strong);
        assert_eq!(of(&stored, &[modified]), Freshening::Strong);
        let just_modified = map(&[modified, ("date", NOON)]);
        assert_eq!(of(&just_modified, &[modified, date]), Freshening::Weak);
        assert_eq!(of(&just_modified, &[other, date]), Freshening::Mismatch);
        assert_eq!(of(&stored, &[other]), Freshening::Mismatch);
        assert_eq!(of(&stored, &[("etag", "\"1\"")]), Freshening::Mismatch);
        let tagged = map(&[modified, date, ("etag", "\"1\"")]);
        assert_eq!(
            of(&tagged, &[modified, date]),
            Freshening::Weak,
            "a 304 that forgot its tag"
        );
        assert_eq!(
            of(&tagged, &[modified, date, ("etag", "\"2\"")]),
            Freshening::Mismatch,
            "the tag is the more exact"
        );
        assert_eq!(
            of(&tagged, &[other, date, ("etag", "W/\"1\"")]),
            Freshening::Weak,
            "a touched file of the same content"
        );
    }

    #[test]
    fn parts_belong_together_by_one_strong_validator() {
        let modified = ("last-modified", NOON);
        let late = map(&[modified, ("date", A_MINUTE_LATER)]);
        let early = map(&[modified, ("date", NOON)]);
        let strong = etags("\"1\"");
        let weak = etags("W/\"1\"");
        let tagged = map(&[modified, ("date", A_MINUTE_LATER), ("etag", "\"1\"")]);
        let none = HeaderMap::new();
        let share = |stored: &HeaderMap, later: &HeaderMap| {
            Validators::read(stored, NOW).shares_strong(&Validators::read(later, NOW))
        };
        assert!(share(&strong, &strong) && share(&strong, &tagged) && share(&late, &early));
        for (stored, later) in [
            (&weak, &weak),
            (&strong, &weak),
            (&strong, &etags("\"2\"")),
            (&early, &late),
            (&tagged, &late),
            (&late, &tagged),
            (&none, &none),
            (&late, &none),
        ] {
            assert!(!share(stored, later), "{stored:?} {later:?}");
        }
        assert_eq!(Validators::read(&tagged, NOW).strong().unwrap(), "\"1\"");
        assert_eq!(Validators::read(&late, NOW).strong().unwrap(), NOON);
    }

    #[test]
    fn a_304_without_validators_names_nothing() {
        let none = HeaderMap::new();
        assert_eq!(freshening(&none, &none, NOW), Freshening::Unvalidated);
        assert_eq!(freshening(&etags("\"1\""), &none, NOW), Freshening::Unnamed);
        assert_eq!(
            freshening(&none, &etags("W/\"1\""), NOW),
            Freshening::Mismatch
        );
        assert_eq!(
            freshening(&none, &etags("\"1\""), NOW),
            Freshening::Mismatch
        );
    }

    #[test]
    fn a_head_must_match_in_every_field_it_has() {
        let stored = map(&[("etag", "\"1\""), ("last-modified", NOON)]);
        let of = |head: &[(&'static str, &str)]| compare_head(&stored, Some(5), &map(head));
        let differs = HeadComparison::Differs;
        assert_eq!(of(&[("etag", "\"1\"")]), HeadComparison::Match);
        assert_eq!(of(&[("content-length", "5")]), HeadComparison::Match);
        assert_eq!(
            of(&[
                ("etag", "\"1\""),
                ("last-modified", NOON),
                ("content-length", "5")
            ]),
            HeadComparison::Match
        );
        assert_eq!(of(&[]), HeadComparison::NoEvidence);
        assert_eq!(of(&[("date", NOON)]), HeadComparison::NoEvidence);
        assert_eq!(of(&[("etag", "W/\"1\"")]), differs(Difference::ETag));
        assert_eq!(
            of(&[("etag", "\"1\""), ("last-modified", A_SECOND_LATER)]),
            differs(Difference::LastModified)
        );
        for length in ["6", "", "-5", "five", "5, 5"] {
            assert_eq!(
                of(&[("etag", "\"1\""), ("content-length", length)]),
                differs(Difference::ContentLength),
                "{length}"
            );
        }
        for length in ["5", "five"] {
            let unknown = compare_head(&stored, None, &map(&[("content-length", length)]));
            assert_eq!(unknown, differs(Difference::ContentLength));
        }
        let bare = compare_head(&HeaderMap::new(), Some(5), &etags("\"1\""));
        assert_eq!(bare, differs(Difference::ETag));
    }

    proptest! {
        #[test]
        fn what_matches_strongly_matches_weakly_and_each_matches_itself(
            a in "(W/)?\"?[ab]{0,2}\"?", b in "(W/)?\"?[ab]{0,2}\"?",
        ) {
            let (a, b) = (Tag::read(a.as_bytes()), Tag::read(b.as_bytes()));
            prop_assert!(!a.matches_strongly(b) || a.matches_weakly(b));
            prop_assert!(a.matches_weakly(a));
        }

        #[test]
        fn a_304_that_repeats_the_stored_validators_is_never_a_mismatch(
            etag in "(W/)?\"?[ab]{0,2}\"?", modified in any::<bool>(), dated in any::<bool>(),
        ) {
            let mut lines = vec![("etag", &*etag)];
            lines.extend(modified.then_some(("last-modified", NOON)));
            lines.extend(dated.then_some(("date", A_MINUTE_LATER)));
            let headers = map(&lines);
            prop_assert_ne!(freshening(&headers, &headers, NOW), Freshening::Mismatch);
        }
    }
}
