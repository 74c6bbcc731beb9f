//! How inputs are cut into heads, lines and fields.

use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const BLANKS: [char; 2] = [' ', '\t'];

/// Blocks with an empty line between them; the last has what is left, and those that are missing are empty.
pub(super) fn blocks<const N: usize>(input: &[u8]) -> [&[u8]; N] {
    let mut rest = input;
    let mut next = |is_last: bool| {
        let end = rest.windows(2).position(|pair| pair == b"\n\n");
        let (block, after) = rest.split_at(end.filter(|_| !is_last).unwrap_or(rest.len()));
        rest = after.strip_prefix(b"\n\n").unwrap_or_default();
        block
    };
    std::array::from_fn(|n| next(n + 1 == N))
}

/// Of each line that is a field, blanks around its value left out.
pub(super) fn fields(lines: &[u8]) -> HeaderMap {
    let field = |line: &[u8]| {
        let (name, value) = cut(line, b':')?;
        let name = HeaderName::from_bytes(name).ok()?;
        let value = HeaderValue::from_bytes(value.trim_ascii()).ok()?;
        Some((name, value))
    };
    lines
        .split(|byte| *byte == b'\n')
        .filter_map(field)
        .collect()
}

/// What stands before the first `at`, and after it.
pub(super) fn cut(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let mut halves = text.splitn(2, |byte| *byte == at);
    Some((halves.next()?, halves.next()?))
}

/// The same, where without an `at` all stands before it.
pub(super) fn first_and_rest(text: &[u8], at: u8) -> (&[u8], &[u8]) {
    cut(text, at).unwrap_or((text, b""))
}

/// Each line as the value of one field.
pub(super) fn values(lines: &[u8]) -> Vec<HeaderValue> {
    lines
        .split(|byte| *byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .collect()
}

/// A field of these lines.
pub(super) fn of(name: &HeaderName, lines: &[HeaderValue]) -> HeaderMap {
    lines
        .iter()
        .map(|line| (name.clone(), line.clone()))
        .collect()
}
