//! Patterns over keys, in the notation of Redis' `SCAN MATCH`.

use crate::Error;

/// A pattern that keys match or not: `*` any run of bytes (also across `:`), `?` any one byte,
/// `[ab]`, `[a-c]`, `[^a]` one of a set, `\` takes the next byte literally.
///
/// It is matched against the whole key after the cache's own namespace, so it cannot reach another
/// cache's entries. Keys hold none of these characters themselves, nor blanks, nor anything
/// beyond ASCII: those are matched in their encoded form, a blank as `%20` (see [`key`](crate::key)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
    text: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    AnyRun,
    AnyOne,
    Byte(u8),
    Set {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// A set that is not closed and a `\` at the end are refused: they match nothing that anybody
    /// means, and an invalidation that silently matches nothing is worse than an error.
    pub fn new(text: &str) -> Result<Self, Error> {
        let mut tokens = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let token = match byte {
                b'*' => Token::AnyRun,
                b'?' => Token::AnyOne,
                b'[' => set(&mut bytes).ok_or_else(|| malformed(text, "a `[` without its `]`"))?,
                b'\\' => Token::Byte(
                    bytes
                        .next()
                        .ok_or_else(|| malformed(text, "a `\\` at the end"))?,
                ),
                literal => Token::Byte(literal),
            };
            if token != Token::AnyRun || tokens.last() != Some(&Token::AnyRun) {
                tokens.push(token);
            }
        }
        Ok(Self {
            tokens,
            text: text.into(),
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether all of `key` matches. Time is at most the product of both lengths.
    pub fn matches(&self, key: &[u8]) -> bool {
        let (mut token, mut at) = (0, 0);
        // Where to resume when what follows the latest `*` fails: let that `*` take one more byte.
        let mut resume: Option<(usize, usize)> = None;
        loop {
            match (self.tokens.get(token), key.get(at)) {
                (Some(Token::AnyRun), _) => {
                    resume = Some((token + 1, at));
                    token += 1;
                }
                (Some(one), Some(byte)) if one.accepts(*byte) => {
                    token += 1;
                    at += 1;
                }
                (None, None) => return true,
                _ => match resume {
                    Some((after, from)) if from < key.len() => {
                        resume = Some((after, from + 1));
                        token = after;
                        at = from + 1;
                    }
                    _ => return false,
                },
            }
        }
    }
}

impl Token {
    fn accepts(&self, byte: u8) -> bool {
        match self {
            Self::AnyRun => false,
            Self::AnyOne => true,
            Self::Byte(literal) => *literal == byte,
            Self::Set { negated, ranges } => {
                ranges
                    .iter()
                    .any(|(low, high)| (low..=high).contains(&&byte))
                    != *negated
            }
        }
    }
}

fn set(bytes: &mut impl Iterator<Item = u8>) -> Option<Token> {
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    let mut negated = false;
    let mut open_range = false;
    let mut first = true;
    loop {
        let byte = match bytes.next()? {
            b']' => break,
            b'^' if first => {
                negated = true;
                first = false;
                continue;
            }
            b'-' if !ranges.is_empty() && !open_range => {
                open_range = true;
                continue;
            }
            b'\\' => bytes.next()?,
            byte => byte,
        };
        first = false;
        match ranges.last_mut() {
            Some(last) if open_range => *last = (last.0.min(byte), last.0.max(byte)),
            _ => ranges.push((byte, byte)),
        }
        open_range = false;
    }
    if open_range {
        ranges.push((b'-', b'-'));
    }
    Some(Token::Set { negated, ranges })
}

fn malformed(text: &str, what: &str) -> Error {
    Error::config(format!(
        "pattern `{text}` has {what}; accepted are `*`, `?`, `[ab]`, `[a-c]`, `[^a]` and `\\` before a literal"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_matches_as_in_redis() {
        for (pattern, key, expected) in [
            ("*", "", true),
            ("*", "a:b", true),
            ("42:*", "42:profile", true),
            ("42:*", "421:profile", false),
            ("*:profile", "42:profile", true),
            ("?2", "42", true),
            ("?2", "442", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[a-]x", "-x", true),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
        ] {
            let matched = Pattern::new(pattern).unwrap().matches(key.as_bytes());
            assert_eq!(matched, expected, "{pattern} on {key}");
        }
    }

    #[test]
    fn a_malformed_pattern_says_what_is_wrong() {
        for pattern in ["[ab", "a\\", "[", "[a\\"] {
            let error = Pattern::new(pattern).unwrap_err();
            assert!(error.is_config());
            assert!(error.to_string().contains(pattern), "{error}");
        }
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = Pattern::new(&"a*".repeat(64)).unwrap();
        assert!(!pattern.matches(&[b'a'; 63]));
        assert!(!pattern.matches(&b"ab".repeat(4096)[1..8191]));
    }

    proptest! {
        #[test]
        fn text_without_special_characters_matches_itself_only(a in "[a-d:]{0,8}", b in "[a-d:]{0,8}") {
            prop_assert_eq!(Pattern::new(&a).unwrap().matches(b.as_bytes()), a == b);
            let prefixed = format!("{b}{a}");
            let star = format!("*{a}");
            prop_assert!(Pattern::new(&star).unwrap().matches(prefixed.as_bytes()));
        }
    }
}
