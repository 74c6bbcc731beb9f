//! The Vary field, and the request fields that select among stored responses (RFC 9111 §4.1).

use super::text::{digits, is_tchar, members, trim};
use crate::policy::Profile;
use http::{HeaderMap, HeaderName, header};
use sha2::{Digest, Sha256};
use std::cmp::Reverse;

/// More selecting fields than this and a response is not stored: each multiplies the variants.
pub(crate) const MOST_FIELDS: usize = 16;

/// A list of more weighted members than this is kept as it came.
const MOST_MEMBERS: usize = 16;

/// What follows the name of a selecting field: so that nothing of one kind equals one of another.
mod tag {
    pub(super) const ABSENT: u8 = 0;
    pub(super) const AS_IT_CAME: u8 = 1;
    pub(super) const ONE_SPELLING: u8 = 2;
    pub(super) const LANGUAGE: u8 = 3;
    pub(super) const CREDENTIALS: u8 = 4;
}

/// What a response's Vary says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vary {
    /// These request fields select, in order of their names; none where there is no Vary.
    Fields(Vec<HeaderName>),
    /// `*`, too many fields, or a name that is none: no other request can be known to match.
    Any,
}

impl Vary {
    /// Reads all lines of the field.
    pub fn parse(headers: &HeaderMap) -> Self {
        let mut fields = Vec::new();
        for line in headers.get_all(header::VARY) {
            for member in members(line.as_bytes(), b',') {
                let name = member.filter(|name| name.iter().all(|byte| is_tchar(*byte)));
                match name.map(HeaderName::from_bytes) {
                    Some(Ok(name)) if name.as_str() != "*" => fields.push(name),
                    _ => return Self::Any,
                }
            }
        }
        fields.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        fields.dedup();
        if fields.len() > MOST_FIELDS {
            Self::Any
        } else {
            Self::Fields(fields)
        }
    }

    /// Whether `name` selects, or everything may.
    pub fn names(&self, name: &HeaderName) -> bool {
        match self {
            Self::Any => true,
            Self::Fields(fields) => fields.contains(name),
        }
    }
}

/// Appends what a request's `fields` select by: injective, so that two requests have the same bytes
/// exactly where every field matches.
///
/// A field that is absent differs from one that is empty. Several lines match their joined form.
/// Three fields have one spelling where they parse:
///
/// - Accept-Encoding: order, case and blanks carry no meaning (RFC 9110 §12.5.3).
/// - Accept-Language: case and blanks carry none, and the weights give the order. The order of equal
///   weights cannot be relied upon (§12.5.4); in the guarded profile it is kept all the same, for
///   handlers that take the first.
/// - Accept: in the standard profile, blanks and the case of media ranges (§12.5.1). The guarded
///   profile keeps it as it came, for handlers that compare it as text.
///
/// What does not parse is kept as it came, but for Accept-Encoding in the guarded profile. There it
/// is as none: so the request is [forwarded](is_accept_encoding_malformed).
pub fn write_selecting(
    fields: &[HeaderName],
    request: &HeaderMap,
    profile: Profile,
    bytes: &mut Vec<u8>,
) {
    for name in fields {
        write_name(name, bytes);
        write_value(name, request, profile, bytes);
    }
}

/// As [`write_selecting`], with `language` in place of what the request has as Accept-Language.
///
/// A response in that [language](content_language) can so be found by each request that
/// [prefers](preferred_language) it, however its Accept-Language goes on.
pub fn write_selecting_language(
    fields: &[HeaderName],
    request: &HeaderMap,
    profile: Profile,
    language: &[u8],
    bytes: &mut Vec<u8>,
) {
    for name in fields {
        write_name(name, bytes);
        if *name == header::ACCEPT_LANGUAGE {
            with_length(tag::LANGUAGE, bytes, |bytes| write_folded(language, bytes));
        } else {
            write_value(name, request, profile, bytes);
        }
    }
}

/// The language a request prefers to all others: the one range of the highest weight in its
/// Accept-Language (RFC 9110 §12.5.4), as it came. `None` where several have that weight, it is `*`
/// or not acceptable, or the field does not parse.
pub fn preferred_language(request: &HeaderMap) -> Option<&[u8]> {
    let mut ranges = Weighted::languages(request).ok()?;
    match ranges.sorted(Ties::Place) {
        [first, second, ..] if first.weight == second.weight => None,
        [first, ..] if first.weight > 0 && first.name != b"*" => Some(first.name),
        _ => None,
    }
}

/// The one language of a response by its Content-Language (RFC 9110 §8.5), as it came. `None` where
/// it names none or several, or does not parse.
pub fn content_language(response: &HeaderMap) -> Option<&[u8]> {
    let lines = response.get_all(header::CONTENT_LANGUAGE).iter();
    let mut tags = lines.flat_map(|line| members(line.as_bytes(), b','));
    match (tags.next(), tags.next()) {
        (Some(Some(tag)), None) => is_language_tag(tag).then_some(tag),
        _ => None,
    }
}

/// Whether a request takes a response as it is coded (RFC 9110 §12.5.3). One without Accept-Encoding is
/// taken to want it uncoded, as are those that do not parse.
pub fn accepts_coding(request: &HeaderMap, response: &HeaderMap) -> bool {
    let Some(coding) = response.get(header::CONTENT_ENCODING) else {
        return true;
    };
    let is_it = |name: &[u8]| name.eq_ignore_ascii_case(trim(coding.as_bytes()));
    Weighted::codings(request).is_ok_and(|mut codings| {
        let known = codings.sorted(Ties::Name);
        known
            .iter()
            .any(|known| is_it(known.name) && known.weight > 0)
    })
}

/// Whether the request has an Accept-Encoding that does not parse. In the guarded profile such a
/// field is taken away before the request is forwarded: every one of them would be a variant of its
/// own.
pub fn is_accept_encoding_malformed(request: &HeaderMap) -> bool {
    Weighted::codings(request).is_err_and(|unread| unread == Unread::Malformed)
}

fn write_name(name: &HeaderName, bytes: &mut Vec<u8>) {
    let length = u16::try_from(name.as_str().len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(name.as_str().as_bytes());
}

fn write_value(name: &HeaderName, request: &HeaderMap, profile: Profile, bytes: &mut Vec<u8>) {
    if !request.contains_key(name) {
        return bytes.push(tag::ABSENT);
    }
    match (name, profile) {
        (&header::ACCEPT_ENCODING, _) => write_codings(request, profile, bytes),
        (&header::ACCEPT_LANGUAGE, _) => write_languages(request, profile, bytes),
        (&header::ACCEPT, Profile::Standard) => write_media_ranges(request, bytes),
        (&header::AUTHORIZATION | &header::COOKIE | &header::PROXY_AUTHORIZATION, _) => {
            write_digest(name, request, bytes);
        }
        _ => write_as_it_came(name, request, bytes),
    }
}

fn write_codings(request: &HeaderMap, profile: Profile, bytes: &mut Vec<u8>) {
    match Weighted::codings(request) {
        Ok(codings) => codings.write(Ties::Name, bytes),
        Err(Unread::Malformed) if profile == Profile::Guarded => bytes.push(tag::ABSENT),
        Err(_) => write_as_it_came(&header::ACCEPT_ENCODING, request, bytes),
    }
}

fn write_languages(request: &HeaderMap, profile: Profile, bytes: &mut Vec<u8>) {
    let ties = match profile {
        Profile::Guarded => Ties::Place,
        Profile::Standard => Ties::Name,
    };
    match Weighted::languages(request) {
        Ok(ranges) => ranges.write(ties, bytes),
        Err(_) => write_as_it_came(&header::ACCEPT_LANGUAGE, request, bytes),
    }
}

/// Parameters keep their case, as some of their values are sensitive to it, and members their order.
fn write_media_ranges(request: &HeaderMap, bytes: &mut Vec<u8>) {
    let lines = || request.get_all(header::ACCEPT).iter();
    let ranges = || lines().flat_map(|line| members(line.as_bytes(), b','));
    if !ranges().all(|range| range.is_some_and(starts_with_media_range)) {
        return write_as_it_came(&header::ACCEPT, request, bytes);
    }
    with_length(tag::ONE_SPELLING, bytes, |bytes| {
        for range in ranges().flatten() {
            write_media_range(range, bytes);
        }
    });
}

fn starts_with_media_range(member: &[u8]) -> bool {
    let range = member.split(|byte| *byte == b';').next().map(trim);
    let mut parts = range.unwrap_or_default().split(|byte| *byte == b'/');
    parts.next().is_some_and(is_token)
        && parts.next().is_some_and(is_token)
        && parts.next().is_none()
}

fn write_media_range(member: &[u8], bytes: &mut Vec<u8>) {
    let mut parts = members(member, b';').flatten();
    write_folded(parts.next().unwrap_or_default(), bytes);
    for parameter in parts {
        bytes.push(b';');
        bytes.extend_from_slice(parameter);
    }
    bytes.push(b',');
}

/// The lines joined as one (RFC 9110 §5.3), blanks around each left out.
fn write_as_it_came(name: &HeaderName, request: &HeaderMap, bytes: &mut Vec<u8>) {
    with_length(tag::AS_IT_CAME, bytes, |bytes| {
        for (n, line) in request.get_all(name).iter().enumerate() {
            if n > 0 {
                bytes.extend_from_slice(b", ");
            }
            bytes.extend_from_slice(trim(line.as_bytes()));
        }
    });
}

/// Credentials must not be kept, and less so be shared: a digest of them selects as well.
fn write_digest(name: &HeaderName, request: &HeaderMap, bytes: &mut Vec<u8>) {
    let mut credentials = Vec::new();
    write_as_it_came(name, request, &mut credentials);
    bytes.push(tag::CREDENTIALS);
    bytes.extend_from_slice(&Sha256::digest(credentials));
}

/// Appends what `write` does, after `tag` and its length.
fn with_length(tag: u8, bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    bytes.push(tag);
    let start = bytes.len() + 4;
    bytes.extend_from_slice(&[0; 4]);
    write(bytes);
    let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
    if let Some(slot) = bytes.get_mut(start - 4..start) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}

fn write_folded(text: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend(text.iter().map(u8::to_ascii_lowercase));
}

/// A list whose members may have a weight. They are kept in place: a hit must not allocate for them.
#[derive(Default)]
struct Weighted<'a> {
    places: [Member<'a>; MOST_MEMBERS],
    count: usize,
}

#[derive(Clone, Copy, Default)]
struct Member<'a> {
    name: &'a [u8],
    /// In thousandths.
    weight: u16,
    place: usize,
}

/// Why a list was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    /// It does not parse, or names a member twice.
    Malformed,
    TooLong,
}

/// What orders members of equal weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ties {
    Name,
    Place,
}

impl<'a> Weighted<'a> {
    fn codings(request: &'a HeaderMap) -> Result<Self, Unread> {
        Self::read(&header::ACCEPT_ENCODING, request, is_token)
    }

    fn languages(request: &'a HeaderMap) -> Result<Self, Unread> {
        Self::read(&header::ACCEPT_LANGUAGE, request, is_language_range)
    }

    /// Reads all lines of `field`.
    fn read(
        field: &HeaderName,
        request: &'a HeaderMap,
        is_name: fn(&[u8]) -> bool,
    ) -> Result<Self, Unread> {
        let mut list = Self::default();
        let lines = request.get_all(field).iter();
        for member in lines.flat_map(|line| members(line.as_bytes(), b',')) {
            let member = member
                .and_then(Member::parse)
                .filter(|member| is_name(member.name) && !list.has(member.name));
            list.push(member.ok_or(Unread::Malformed)?);
        }
        if list.count > MOST_MEMBERS {
            return Err(Unread::TooLong);
        }
        Ok(list)
    }

    fn has(&self, name: &[u8]) -> bool {
        let members = self.places.iter().take(self.count);
        members
            .map(|member| member.name)
            .any(|had| had.eq_ignore_ascii_case(name))
    }

    /// One too many is counted and let go.
    fn push(&mut self, member: Member<'a>) {
        let place = self.count;
        if let Some(free) = self.places.get_mut(place) {
            *free = Member { place, ..member };
        }
        self.count += 1;
    }

    /// The highest weight first. Stable sorting would allocate.
    fn sorted(&mut self, ties: Ties) -> &[Member<'a>] {
        let members = self.places.get_mut(..self.count).unwrap_or_default();
        let lower = |member: &Member<'a>| member.name.iter().map(u8::to_ascii_lowercase);
        members.sort_unstable_by(|a, b| {
            let tie = || match ties {
                Ties::Name => lower(a).cmp(lower(b)),
                Ties::Place => a.place.cmp(&b.place),
            };
            Reverse(a.weight).cmp(&Reverse(b.weight)).then_with(tie)
        });
        members
    }

    fn write(mut self, ties: Ties, bytes: &mut Vec<u8>) {
        with_length(tag::ONE_SPELLING, bytes, |bytes| {
            for member in self.sorted(ties) {
                write_folded(member.name, bytes);
                bytes.push(b';');
                bytes.extend_from_slice(&member.weight.to_be_bytes());
            }
        });
    }
}

impl<'a> Member<'a> {
    /// A name and a weight, of which none is 1 (RFC 9110 §12.4.2).
    fn parse(member: &'a [u8]) -> Option<Self> {
        let mut parts = member.splitn(2, |byte| *byte == b';');
        let name = trim(parts.next()?);
        let weight = parts
            .next()
            .map_or(Some(1000), |weight| qvalue(trim(weight)))?;
        Some(Self {
            name,
            weight,
            place: 0,
        })
    }
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_tchar(*byte))
}

/// RFC 4647 §2.1.
fn is_language_range(text: &[u8]) -> bool {
    text == b"*" || is_language_tag(text)
}

/// As far as its characters go (RFC 5646 §2.1).
fn is_language_tag(text: &[u8]) -> bool {
    let mut subtags = text.split(|byte| *byte == b'-');
    let language = subtags.next().unwrap_or_default();
    language.iter().all(u8::is_ascii_alphabetic) && is_subtag(language) && subtags.all(is_subtag)
}

fn is_subtag(text: &[u8]) -> bool {
    (1..=8).contains(&text.len()) && text.iter().all(u8::is_ascii_alphanumeric)
}

/// `q=` with 0 to 1 and at most three decimals (RFC 9110 §12.4.2), in thousandths.
fn qvalue(weight: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', value @ ..] = weight else {
        return None;
    };
    let (whole, fraction) = match value {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut padded = [b'0'; 3];
    padded
        .iter_mut()
        .zip(fraction)
        .for_each(|(slot, digit)| *slot = *digit);
    let thousandths = u16::from(whole - b'0') * 1000 + u16::try_from(digits(&padded)?).ok()?;
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const BOTH: [Profile; 2] = [Profile::Guarded, Profile::Standard];

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    fn selecting(profile: Profile, field: &'static str, values: &[&str]) -> Vec<u8> {
        let lines: Vec<_> = values.iter().map(|value| (field, *value)).collect();
        let mut bytes = Vec::new();
        write_selecting(
            &[HeaderName::from_static(field)],
            &headers(&lines),
            profile,
            &mut bytes,
        );
        bytes
    }

    fn match_in(profile: Profile, field: &'static str, one: &str, other: &str) -> bool {
        selecting(profile, field, &[one]) == selecting(profile, field, &[other])
    }

    #[test]
    fn vary_is_read_over_all_lines_in_any_case_and_order() {
        let vary = Vary::parse(&headers(&[
            ("vary", "Accept, ORIGIN"),
            ("vary", "accept,,"),
        ]));
        assert_eq!(vary, Vary::Fields(vec![header::ACCEPT, header::ORIGIN]));
        assert_eq!(Vary::parse(&HeaderMap::new()), Vary::Fields(vec![]));
    }

    #[test]
    fn var_02_a_star_anywhere_matches_nothing() {
        for line in [
            "*",
            "accept, *",
            "* ,accept",
            "acc ept",
            "a\"b",
            "accept;q=1",
        ] {
            assert_eq!(
                Vary::parse(&headers(&[("vary", "accept"), ("vary", line)])),
                Vary::Any,
                "{line}"
            );
        }
    }

    #[test]
    fn var_07_absent_differs_from_empty_and_joined_equals_repeated() {
        for profile in BOTH {
            for field in ["accept-language", "accept-encoding", "accept", "x-any"] {
                let of = |values: &[&str]| selecting(profile, field, values);
                assert_ne!(of(&[]), of(&[""]), "{field}");
                assert_eq!(of(&["de, en"]), of(&["de", " en "]), "{field}");
            }
        }
        let swapped = |profile| match_in(profile, "accept-language", "de, en", "en, de");
        assert!(!swapped(Profile::Guarded), "a handler may take the first");
        assert!(swapped(Profile::Standard), "RFC 9110 §12.5.4");
        for profile in BOTH {
            assert!(!match_in(profile, "x-any", "de, en", "en, de"));
            assert!(!match_in(profile, "x-any", "de, en", "de,en"));
            assert!(!match_in(profile, "x-any", "de", "DE"));
        }
    }

    #[test]
    fn var_08_accept_encoding_has_one_spelling_and_malformed_ones_are_known() {
        for profile in BOTH {
            let matches = |one, other| match_in(profile, "accept-encoding", one, other);
            assert!(matches("gzip, br;q=0.5", "BR; q=0.500 ,GZIP;q=1.0"));
            assert!(matches("gzip, br", "br,,gzip"));
            assert!(!matches("gzip, br;q=0.5", "gzip;q=0, br;q=0.5"));
            assert!(!matches("gzip, br;q=0.5", "gzip;q=0.5, br"));
        }
        for malformed in [
            ";;q=,gzip;q=9",
            "gzip;q=1.001",
            "gzip;q=0.1234",
            "gz ip",
            "gzip;level=9",
            "gzip, gzip;q=0",
        ] {
            assert!(
                is_accept_encoding_malformed(&headers(&[("accept-encoding", malformed)])),
                "{malformed}"
            );
            assert_eq!(
                selecting(Profile::Guarded, "accept-encoding", &[malformed]),
                selecting(Profile::Guarded, "accept-encoding", &[]),
                "it is forwarded as none"
            );
            assert_ne!(
                selecting(Profile::Standard, "accept-encoding", &[malformed]),
                selecting(Profile::Standard, "accept-encoding", &[]),
                "it is forwarded as it came"
            );
        }
        assert!(!match_in(
            Profile::Standard,
            "accept-encoding",
            "gz ip",
            "gzip;q=9"
        ));
        for fine in ["", "gzip", "*;q=0", "identity;q=1.000, *;q=0"] {
            assert!(
                !is_accept_encoding_malformed(&headers(&[("accept-encoding", fine)])),
                "{fine}"
            );
        }
        assert!(!is_accept_encoding_malformed(&HeaderMap::new()));
    }

    #[test]
    fn what_is_malformed_is_known_after_more_members_than_are_kept() {
        let many: Vec<_> = (0..=MOST_MEMBERS).map(|n| format!("x{n}")).collect();
        let many = many.join(",");
        let malformed =
            |value: &str| is_accept_encoding_malformed(&headers(&[("accept-encoding", value)]));
        assert!(!malformed(&many));
        assert!(malformed(&format!("{many}, gz ip")));
        assert!(malformed(&format!("{many}, X3;q=0")));
    }

    #[test]
    fn accept_language_has_one_spelling_of_case_blanks_and_weights() {
        for profile in BOTH {
            let matches = |one, other| match_in(profile, "accept-language", one, other);
            assert!(matches("de-CH, en;q=0.5", "DE-ch ,, EN ; q=0.50"));
            assert!(matches("de;q=1.0, *;q=0", "de,*;Q=0.000"));
            assert!(matches("en;q=0.5, de", "de, en;q=0.5"));
            assert!(!matches("de, en;q=0.5", "de, en;q=0.6"));
            assert!(!matches("de, en;q=0.5", "en, de;q=0.5"));
            assert!(!matches("de, en", "de, en;q=0"));
            assert!(!matches("de", "de, en;q=0"));
            assert!(!matches("de", "de-de"));
        }
    }

    #[test]
    fn languages_of_equal_weight_keep_their_order_in_the_guarded_profile_alone() {
        let matches = |profile| {
            match_in(
                profile,
                "accept-language",
                "it;q=0.3, de, en, fr;q=0.3",
                "en, de, fr;q=0.3, it;q=0.3",
            )
        };
        assert!(!matches(Profile::Guarded));
        assert!(matches(Profile::Standard));
        for profile in BOTH {
            assert!(match_in(
                profile,
                "accept-language",
                "it;q=0.3, de, en, fr;q=0.3",
                "de, it;q=0.3, fr;q=0.3, en",
            ));
        }
    }

    #[test]
    fn languages_that_do_not_parse_or_repeat_are_kept_as_they_came() {
        let many = (b'a'..=b'q').map(char::from).map(String::from);
        let many = many.collect::<Vec<_>>().join(",");
        for profile in BOTH {
            for value in [
                "de_DE",
                "abcdefghi",
                "de-",
                "d3",
                "de;q=2",
                "de;v=1",
                "de, de;q=0.5",
                "de, DE",
                "de-*",
                "\"de\"",
                &many,
            ] {
                let matches = |other: &str| match_in(profile, "accept-language", value, other);
                assert!(matches(&format!(" {value}")), "{value}");
                assert!(!matches(&format!("{value},")), "{value}");
                let swapped: String = value
                    .chars()
                    .map(|c| {
                        if c.is_lowercase() {
                            c.to_ascii_uppercase()
                        } else {
                            c.to_ascii_lowercase()
                        }
                    })
                    .collect();
                assert!(!matches(&swapped), "{value}");
            }
        }
    }

    #[test]
    fn accept_has_one_spelling_of_blanks_and_ranges_in_the_standard_profile_alone() {
        let same = [
            ("text/html, a/b;q=0.5", "text/html,a/b ; q=0.5,,"),
            ("text/html", "TEXT/html"),
            ("a/b;x=\"1, 2\" , c/d", "a/b;x=\"1, 2\",c/d"),
        ];
        for (one, other) in same {
            assert!(match_in(Profile::Standard, "accept", one, other), "{one}");
            assert!(!match_in(Profile::Guarded, "accept", one, other), "{one}");
        }
        let different = [
            ("a/b, c/d", "c/d, a/b"),
            ("a/b;x=\"1,2\"", "a/b;x=\"1, 2\""),
            ("a/b;x=Y", "a/b;x=y"),
            ("a/b;c/d", "a/b,c/d"),
            (";q=1", "q=1"),
            ("a/b, c", "a/b,c"),
            ("a/b;x=\", c/d", "a/b;x=\",c/d"),
        ];
        for (one, other) in different {
            assert!(!match_in(Profile::Standard, "accept", one, other), "{one}");
        }
    }

    #[test]
    fn a_language_is_preferred_by_its_weight_alone() {
        let preferred = |value: &'static str| {
            let request = headers(&[("accept-language", value)]);
            preferred_language(&request).map(|range| String::from_utf8(range.to_vec()).unwrap())
        };
        for (value, language) in [
            ("de", "de"),
            ("en;q=0.5, de-CH;q=0.8, *;q=0.1", "de-CH"),
            ("de;q=0.001, en;q=0", "de"),
            ("DE, *;q=0.9", "DE"),
        ] {
            assert_eq!(preferred(value).as_deref(), Some(language), "{value}");
        }
        for value in [
            "",
            "*",
            "de, en",
            "de;q=0",
            "*, de;q=0.5",
            "de, *",
            "de, en_GB;q=0.5",
            "de, de;q=0.1",
        ] {
            assert_eq!(preferred(value), None, "{value}");
        }
        assert_eq!(preferred_language(&HeaderMap::new()), None);
    }

    #[test]
    fn a_response_has_one_content_language_or_none_that_counts() {
        let of = |lines: &[&'static str]| {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| ("content-language", *line))
                .collect();
            content_language(&headers(&lines)).map(|tag| String::from_utf8(tag.to_vec()).unwrap())
        };
        assert_eq!(of(&[" de-CH ,"]).as_deref(), Some("de-CH"));
        assert_eq!(of(&["", "de"]).as_deref(), Some("de"));
        for several in [&["de, en"][..], &["de", "en"], &["de", "de"]] {
            assert_eq!(of(several), None, "{several:?}");
        }
        for none in [&[][..], &[""], &["*"], &["de_DE"], &["de;q=1"], &["de, \""]] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }

    fn selecting_language(
        fields: &[HeaderName],
        lines: &[(&'static str, &str)],
        language: &str,
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        let request = headers(lines);
        write_selecting_language(
            fields,
            &request,
            Profile::Standard,
            language.as_bytes(),
            &mut bytes,
        );
        bytes
    }

    #[test]
    fn a_language_selects_whatever_else_is_accepted_but_by_all_other_fields() {
        let fields = [header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE];
        let of = |lines: &[_], language| selecting_language(&fields, lines, language);
        let one = of(&[("accept-language", "de, en;q=0.1")], "de");
        assert_eq!(one, of(&[("accept-language", "fr;q=0.3, DE")], "DE"));
        assert_eq!(one, of(&[], "de"));
        assert_ne!(one, of(&[], "en"));
        assert_ne!(one, of(&[("accept-encoding", "gzip")], "de"));
    }

    #[test]
    fn a_language_is_no_value_of_the_field() {
        let fields = [header::ACCEPT_LANGUAGE];
        for lines in [
            &[][..],
            &[("accept-language", "de")],
            &[("accept-language", "")],
        ] {
            for profile in BOTH {
                let mut value = Vec::new();
                write_selecting(&fields, &headers(lines), profile, &mut value);
                for language in ["", "de", "de;"] {
                    assert_ne!(value, selecting_language(&fields, lines, language));
                }
            }
        }
    }

    #[test]
    fn key_11_selecting_values_cannot_imitate_one_another() {
        let fields = [HeaderName::from_static("b"), HeaderName::from_static("x")];
        for profile in BOTH {
            let of = |lines| {
                let mut bytes = Vec::new();
                write_selecting(&fields, &headers(lines), profile, &mut bytes);
                bytes
            };
            assert_ne!(of(&[("x", "b:c=d")]), of(&[("x", "b"), ("b", "c=d")]));
            assert_ne!(of(&[("b", "1\tx")]), of(&[("b", "1"), ("x", "")]));
        }
    }

    /// Members with a name of their own each, in an order of their own.
    fn ranges() -> impl Strategy<Value = Vec<(&'static str, u16)>> {
        let names = vec!["de", "en", "fr-CH", "it", "zh-hant-tw", "*"];
        let len = names.len();
        (
            proptest::sample::subsequence(names, 0..=len).prop_shuffle(),
            proptest::collection::vec(proptest::sample::select(vec![0, 1, 50, 500, 1000]), len),
        )
            .prop_map(|(names, weights)| names.into_iter().zip(weights).collect())
    }

    fn spelled(ranges: &[(&str, u16)], loudly: bool) -> String {
        let spell = |(name, weight): &(&str, u16)| match (loudly, weight) {
            (true, 1000) => format!("{}\t;Q=1.00 ,", name.to_uppercase()),
            (true, _) => format!("{} ; q=0.{weight:03} ,", name.to_uppercase()),
            (false, 1000) => format!("{name},"),
            (false, _) => format!("{name};q=0.{weight:03},"),
        };
        ranges.iter().map(spell).collect()
    }

    proptest! {
        #[test]
        fn lists_match_exactly_where_they_mean_the_same(one in ranges(), other in ranges()) {
            let by = |ties| move |ranges: &[(&'static str, u16)]| {
                let mut ranges = ranges.to_vec();
                if ties == Ties::Name {
                    ranges.sort_unstable();
                }
                ranges.sort_by_key(|(_, weight)| Reverse(*weight));
                ranges
            };
            for (profile, field, ties) in [
                (Profile::Guarded, "accept-language", Ties::Place),
                (Profile::Standard, "accept-language", Ties::Name),
                (Profile::Guarded, "accept-encoding", Ties::Name),
                (Profile::Standard, "accept-encoding", Ties::Name),
            ] {
                let meaning = by(ties);
                let matches = |a: &[_], b: &[_]| {
                    match_in(profile, field, &spelled(a, false), &spelled(b, true))
                };
                prop_assert_eq!(matches(&one, &other), meaning(&one) == meaning(&other));
                prop_assert!(matches(&one, &one));
                prop_assert!(matches(&one, &meaning(&one)));
            }
        }
    }
}
