//! The Vary field, and the request fields that select among stored responses (RFC 9111 §4.1).

use super::text::{digits, is_tchar, members, trim};
use http::{HeaderMap, HeaderName, header};

/// More selecting fields than this and a response is not stored: each multiplies the variants.
pub(crate) const MOST_FIELDS: usize = 16;

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
/// A field that is absent differs from one that is empty. Several lines match their joined form. An
/// Accept-Encoding that does not parse is as none: so the request is
/// [forwarded](is_accept_encoding_malformed).
pub fn write_selecting(fields: &[HeaderName], request: &HeaderMap, bytes: &mut Vec<u8>) {
    for name in fields {
        write_name(name, bytes);
        if !request.contains_key(name) {
            bytes.push(0);
            continue;
        }
        bytes.push(1);
        let length_at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        let written = match *name {
            header::ACCEPT_ENCODING => write_codings(request, bytes),
            _ => {
                write_joined(name, request, bytes);
                true
            }
        };
        if !written {
            bytes.truncate(length_at - 1);
            bytes.push(0);
            continue;
        }
        let length = u32::try_from(bytes.len() - length_at - 4).unwrap_or(u32::MAX);
        if let Some(slot) = bytes.get_mut(length_at..length_at + 4) {
            slot.copy_from_slice(&length.to_be_bytes());
        }
    }
}

fn write_name(name: &HeaderName, bytes: &mut Vec<u8>) {
    let length = u16::try_from(name.as_str().len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(name.as_str().as_bytes());
}

/// The lines joined as one (RFC 9110 §5.3), blanks around each left out.
fn write_joined(name: &HeaderName, request: &HeaderMap, bytes: &mut Vec<u8>) {
    for (n, line) in request.get_all(name).iter().enumerate() {
        if n > 0 {
            bytes.extend_from_slice(b", ");
        }
        bytes.extend_from_slice(trim(line.as_bytes()));
    }
}

/// Accept-Encoding in one spelling: the codings in order of their names with their weights. Order,
/// case and blanks carry no meaning in it (RFC 9110 §12.5.3). One of more codings than there are is
/// kept as it came; false for one that does not parse.
fn write_codings(request: &HeaderMap, bytes: &mut Vec<u8>) -> bool {
    let mut codings = Codings::default();
    match codings.read(request) {
        None => return false,
        Some(Read::Some) => {
            write_joined(&header::ACCEPT_ENCODING, request, bytes);
            return true;
        }
        Some(Read::All) => {}
    }
    for Coding { name, weight } in codings.sorted() {
        let at = bytes.len();
        bytes.extend_from_slice(name);
        if let Some(written) = bytes.get_mut(at..) {
            written.make_ascii_lowercase();
        }
        bytes.push(b';');
        bytes.extend_from_slice(&weight.to_be_bytes());
    }
    true
}

/// Whether the request has an Accept-Encoding that does not parse. Such a field is taken away before
/// the request is forwarded: every one of them would be a variant of its own.
pub fn is_accept_encoding_malformed(request: &HeaderMap) -> bool {
    request.contains_key(header::ACCEPT_ENCODING) && Codings::default().read(request).is_none()
}

/// The codings of Accept-Encoding. They are kept in place: a hit must not allocate for them.
#[derive(Default)]
struct Codings<'a> {
    read: [Coding<'a>; 12],
    count: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Coding<'a> {
    name: &'a [u8],
    /// In thousandths.
    weight: u16,
}

/// How much of a well-formed field there was a place for.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    All,
    Some,
}

impl<'a> Codings<'a> {
    /// Reads all lines; `None` where they do not parse, or name a coding twice.
    fn read(&mut self, request: &'a HeaderMap) -> Option<Read> {
        let mut read = Read::All;
        for line in request.get_all(header::ACCEPT_ENCODING) {
            for member in members(line.as_bytes(), b',') {
                let coding = Coding::parse(member?)?;
                match self.read.get_mut(self.count) {
                    Some(place) => {
                        *place = coding;
                        self.count += 1;
                    }
                    None => read = Read::Some,
                }
            }
        }
        let repeats =
            |pair: &[Coding<'_>]| matches!(pair, [a, b] if a.name.eq_ignore_ascii_case(b.name));
        (!self.sorted().windows(2).any(repeats)).then_some(read)
    }

    fn sorted(&mut self) -> &[Coding<'a>] {
        let read = self.read.get_mut(..self.count).unwrap_or_default();
        let lower = |coding: &Coding<'a>| coding.name.iter().map(u8::to_ascii_lowercase);
        read.sort_unstable_by(|a, b| lower(a).cmp(lower(b)));
        read
    }
}

impl<'a> Coding<'a> {
    fn parse(member: &'a [u8]) -> Option<Self> {
        let mut parts = member.splitn(2, |byte| *byte == b';');
        let name = trim(parts.next()?);
        if name.is_empty() || !name.iter().all(|byte| is_tchar(*byte)) {
            return None;
        }
        let weight = match parts.next() {
            None => 1000,
            Some(weight) => qvalue(trim(weight))?,
        };
        Some(Self { name, weight })
    }
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

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn selecting(field: &'static str, lines: &[(&'static str, &'static str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_selecting(
            &[HeaderName::from_static(field)],
            &headers(lines),
            &mut bytes,
        );
        bytes
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
        let absent = selecting("accept-language", &[]);
        let empty = selecting("accept-language", &[("accept-language", "")]);
        assert_ne!(absent, empty);
        let joined = selecting("accept-language", &[("accept-language", "de, en")]);
        let repeated = selecting(
            "accept-language",
            &[("accept-language", "de"), ("accept-language", " en ")],
        );
        assert_eq!(joined, repeated);
        assert_ne!(
            joined,
            selecting("accept-language", &[("accept-language", "en, de")])
        );
    }

    #[test]
    fn var_08_accept_encoding_has_one_spelling_and_malformed_ones_are_known() {
        let one = selecting("accept-encoding", &[("accept-encoding", "gzip, br;q=0.5")]);
        let other = selecting(
            "accept-encoding",
            &[("accept-encoding", "BR; q=0.500 ,GZIP;q=1.0")],
        );
        assert_eq!(one, other);
        assert_ne!(
            one,
            selecting(
                "accept-encoding",
                &[("accept-encoding", "gzip;q=0, br;q=0.5")]
            )
        );
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
        }
        assert_eq!(
            selecting("accept-encoding", &[("accept-encoding", ";;q=,gzip;q=9")]),
            selecting("accept-encoding", &[]),
            "it is forwarded as none"
        );
        for fine in ["", "gzip", "*;q=0", "identity;q=1.000, *;q=0"] {
            assert!(
                !is_accept_encoding_malformed(&headers(&[("accept-encoding", fine)])),
                "{fine}"
            );
        }
    }

    #[test]
    fn key_11_selecting_values_cannot_imitate_one_another() {
        let fields = [HeaderName::from_static("b"), HeaderName::from_static("x")];
        let of = |lines| {
            let mut bytes = Vec::new();
            write_selecting(&fields, &headers(lines), &mut bytes);
            bytes
        };
        assert_ne!(of(&[("x", "b:c=d")]), of(&[("x", "b"), ("b", "c=d")]));
        assert_ne!(of(&[("b", "1\tx")]), of(&[("b", "1"), ("x", "")]));
    }
}
