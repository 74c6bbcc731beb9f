//! The small grammar that list-shaped fields share (RFC 9110 §5.6).

/// Blank space within a field value (RFC 9110 §5.6.3).
pub(crate) fn is_ows(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// A character of a token (RFC 9110 §5.6.2).
pub(crate) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `bytes` without blanks around them.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_ows(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_ows(*last)
    {
        bytes = rest;
    }
    bytes
}

/// The members of a list, split at `separator` outside of quoted strings, trimmed, empty ones left
/// out (RFC 9110 §5.6.1.2). `None` ends a list whose quotes do not close.
pub(crate) fn members(list: &[u8], separator: u8) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        loop {
            let list = rest?;
            let Some(end) = member_end(list, separator) else {
                rest = None;
                return Some(None);
            };
            let (member, after) = list.split_at(end);
            rest = after.split_first().map(|(_, after)| after);
            let member = trim(member);
            if !member.is_empty() {
                return Some(Some(member));
            }
        }
    })
}

/// Where the first member ends; `None` where a quoted string does not.
fn member_end(list: &[u8], separator: u8) -> Option<usize> {
    let mut quoted = false;
    let mut bytes = list.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                bytes.next();
            }
            _ if byte == separator && !quoted => return Some(at),
            _ => {}
        }
    }
    (!quoted).then_some(list.len())
}

/// A run of digits as a number; beyond `u64` it saturates. `None` for anything else.
pub(crate) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |number: u64, digit: &u8| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    };
    Some(text.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_split_outside_of_quotes_and_skip_empty_members() {
        let split = |list: &'static str| members(list.as_bytes(), b',').collect::<Vec<_>>();
        assert_eq!(split(" a ,, b\t,"), [Some(&b"a"[..]), Some(b"b")]);
        assert_eq!(
            split(r#"a="x,\",y", b"#),
            [Some(&br#"a="x,\",y""#[..]), Some(b"b")]
        );
        assert_eq!(split(r#"a, b="x"#), [Some(&b"a"[..]), None]);
        assert_eq!(split(""), []);
    }

    #[test]
    fn digits_saturate_and_nothing_else_is_a_number() {
        assert_eq!(digits(b"007"), Some(7));
        assert_eq!(digits(b"99999999999999999999999"), Some(u64::MAX));
        for not in ["", "-1", "+1", "1.5", "1e3", " 1", "0x1"] {
            assert_eq!(digits(not.as_bytes()), None, "{not}");
        }
    }
}
