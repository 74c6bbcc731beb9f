//! Keys: bytes that name one entry, and the encoding that keeps two values from sharing one.
//!
//! A typed key reads `namespace:part:part`, so that an operator who looks into a shared store sees
//! `users:42:profile`. The encoding is injective: whatever a part contains, no two different keys
//! have the same bytes. Three rules give that.
//!
//! 1. The bytes `{ } : % * ? [ ] \`, blanks, controls and everything beyond ASCII are written as
//!    `%XX`. So no value can forge the separator, a pattern, or the hash tag of a Redis Cluster.
//! 2. Text that reads like another type's encoding (`42`, `-7`, `true`, `false`) has its first byte
//!    written as `%XX`: the number `42` and the string `"42"` are different keys.
//! 3. Tuples do not nest, so that `(a, b), c` and `a, (b, c)` cannot meet.
//!
//! Types without one canonical text (floating point, hash maps) are not key parts. Text is compared
//! byte by byte; whoever wants Unicode normalisation does it before.

use std::{
    borrow::{Borrow, Cow},
    cell::Cell,
    fmt::{self, Write as _},
    sync::Arc,
};

/// The full name of an entry, as bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Shows the length only: keys may hold what must not reach a log.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}

/// Collects the parts of one key.
pub struct KeyWriter<'a> {
    bytes: &'a mut Vec<u8>,
}

/// Without what may not reach a log.
impl fmt::Debug for KeyWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyWriter")
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl KeyWriter<'_> {
    /// Writes a part that is text.
    pub fn text(&mut self, text: &str) {
        let mut bytes = text.bytes();
        if reads_like_another_type(text)
            && let Some(first) = bytes.next()
        {
            self.escape(first);
        }
        for byte in bytes {
            if is_plain(byte) {
                self.bytes.push(byte);
            } else {
                self.escape(byte);
            }
        }
    }

    /// Writes a part that is a whole number.
    pub fn number(&mut self, number: impl Into<i128>) {
        self.verbatim(format_args!("{}", number.into()));
    }

    fn verbatim(&mut self, text: fmt::Arguments<'_>) {
        // Only numbers and words of this file come here: nothing to escape, nothing to fail.
        let _ = Verbatim(self.bytes).write_fmt(text);
    }

    fn escape(&mut self, byte: u8) {
        self.verbatim(format_args!("%{byte:02X}"));
    }

    fn separator(&mut self) {
        self.bytes.push(b':');
    }
}

struct Verbatim<'a>(&'a mut Vec<u8>);

impl fmt::Write for Verbatim<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'{' | b'}' | b':' | b'%' | b'*' | b'?' | b'[' | b']' | b'\\'
        )
}

fn reads_like_another_type(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    number || text == "true" || text == "false"
}

/// A value that can be one part of a typed key.
///
/// Implemented for whole numbers, `bool`, `char`, text, and `Option` and references of those. For a
/// type of your own, write the one canonical text it has:
///
/// ```
/// use cache_core::key::{KeyPart, KeyWriter};
///
/// struct Sku(String);
///
/// impl KeyPart for Sku {
///     fn write(&self, key: &mut KeyWriter<'_>) {
///         key.text(&self.0);
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no part of a cache key",
    label = "neither text, a number, nor another key part"
)]
pub trait KeyPart {
    /// Writes the part.
    fn write(&self, key: &mut KeyWriter<'_>);
}

macro_rules! number_parts {
    ($($t:ty)*) => { $(
        impl KeyPart for $t {
            fn write(&self, key: &mut KeyWriter<'_>) {
                key.verbatim(format_args!("{self}"));
            }
        }
    )* };
}

number_parts!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize bool);

impl KeyPart for str {
    fn write(&self, key: &mut KeyWriter<'_>) {
        key.text(self);
    }
}

impl KeyPart for String {
    fn write(&self, key: &mut KeyWriter<'_>) {
        key.text(self);
    }
}

impl KeyPart for Cow<'_, str> {
    fn write(&self, key: &mut KeyWriter<'_>) {
        key.text(self);
    }
}

impl KeyPart for char {
    fn write(&self, key: &mut KeyWriter<'_>) {
        key.text(self.encode_utf8(&mut [0; 4]));
    }
}

impl<T: KeyPart + ?Sized> KeyPart for &T {
    fn write(&self, key: &mut KeyWriter<'_>) {
        (**self).write(key);
    }
}

impl<T: KeyPart + ?Sized> KeyPart for Arc<T> {
    fn write(&self, key: &mut KeyWriter<'_>) {
        (**self).write(key);
    }
}

impl<T: KeyPart + ?Sized> KeyPart for Box<T> {
    fn write(&self, key: &mut KeyWriter<'_>) {
        (**self).write(key);
    }
}

impl<T: KeyPart> KeyPart for Option<T> {
    fn write(&self, key: &mut KeyWriter<'_>) {
        match self {
            Some(part) => part.write(key),
            // No text encodes to this: a percent sign is always followed by two digits.
            None => key.verbatim(format_args!("%-")),
        }
    }
}

/// What a [`Cache`](crate::Cache) is asked with: one [`KeyPart`], or a tuple of up to six.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no cache key",
    label = "neither a key part nor a tuple of up to six",
    note = "name what tells it apart, as `&id.0` or `&(user.id, \"profile\")`, or implement `cache_core::key::KeyPart` \
            for its type (`typed::key::KeyPart` in the crates of frameworks)"
)]
pub trait CacheKey {
    /// Writes the parts, separated.
    fn write_parts(&self, key: &mut KeyWriter<'_>);
}

impl<T: KeyPart + ?Sized> CacheKey for T {
    fn write_parts(&self, key: &mut KeyWriter<'_>) {
        self.write(key);
    }
}

macro_rules! tuple_keys {
    ($(($first:ident $($rest:ident)+))*) => { $(
        impl<$first: KeyPart, $($rest: KeyPart),+> CacheKey for ($first, $($rest),+) {
            #[allow(non_snake_case, reason = "the type parameters name the fields")]
            fn write_parts(&self, key: &mut KeyWriter<'_>) {
                let ($first, $($rest),+) = self;
                $first.write(key);
                $(key.separator(); $rest.write(key);)+
            }
        }
    )* };
}

tuple_keys!((A B) (A B C) (A B C D) (A B C D E) (A B C D E F));

/// The part of every key of one cache, with the separator that ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Namespace(Box<[u8]>);

impl Namespace {
    pub(crate) fn new(name: &str) -> Self {
        let mut bytes = Vec::with_capacity(name.len() + 1);
        let mut writer = KeyWriter { bytes: &mut bytes };
        writer.text(name);
        writer.separator();
        Self(bytes.into())
    }

    pub(crate) fn key<K: CacheKey + ?Sized>(&self, key: &K) -> Key {
        scratch(|bytes| {
            self.write(key, bytes);
            Key::from(&**bytes)
        })
    }

    pub(crate) fn write<K: CacheKey + ?Sized>(&self, key: &K, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0);
        key.write_parts(&mut KeyWriter { bytes });
    }

    /// The name of the namespace, as keys write it: without any `:`.
    pub(crate) fn scope(&self) -> String {
        String::from_utf8_lossy(&self.0)
            .trim_end_matches(':')
            .to_owned()
    }

    /// What every key of this namespace begins with.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Lends an empty buffer in which to build a key for a look-up, so that a hit allocates none.
///
/// The buffer belongs to the thread and keeps its capacity. A nested call gets a buffer of its own.
#[inline]
pub fn scratch<R>(f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    /// Above this a buffer is given back to the allocator: one long key should not pin its size.
    const KEEP: usize = 16 * 1024;
    thread_local! {
        static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    // In a thread that is ending the buffer may be gone already.
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    buffer.clear();
    let result = f(&mut buffer);
    if buffer.capacity() <= KEEP {
        let _ = BUFFER.try_with(|kept| kept.set(buffer));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text_of<K: CacheKey + ?Sized>(key: &K) -> String {
        String::from_utf8(Namespace::new("n").key(key).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_key_reads_as_its_parts() {
        assert_eq!(text_of(&42), "n:42");
        assert_eq!(text_of(&("user", 42_u64, "profile")), "n:user:42:profile");
        assert_eq!(text_of("a b"), "n:a%20b");
    }

    #[test]
    fn cor_12_types_do_not_meet_in_one_text() {
        assert_ne!(text_of(&1_i32), text_of("1"));
        assert_ne!(text_of(&-1_i32), text_of("-1"));
        assert_ne!(text_of(&true), text_of("true"));
        assert_ne!(text_of(&None::<u8>), text_of("%-"));
        assert_ne!(
            text_of("\u{e9}"),
            text_of("e\u{301}"),
            "composed and decomposed differ"
        );
        assert_eq!(text_of(&1_u8), text_of(&1_i128), "a number is a number");
    }

    #[test]
    fn no_value_forges_a_separator_a_pattern_or_a_hash_tag() {
        let forged = text_of(r"{a}:b%3Ac*?[d]\");
        assert_eq!(forged.matches(':').count(), 1);
        assert!(!forged.contains(['{', '}', '*', '?', '[', ']', '\\']));
    }

    /// Text made mostly of what an encoding could trip over.
    fn dense() -> impl Strategy<Value = String> {
        proptest::string::string_regex("[ab1:%{}*?\\[\\]\\\\\\-253ACtrue\u{e9} ]{0,6}").unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn key_11_different_parts_have_different_keys(a in (dense(), dense()), b in (dense(), dense())) {
            prop_assert_eq!(a == b, text_of(&a) == text_of(&b));
            let joined = format!("{}:{}", a.0, a.1);
            prop_assert_ne!(text_of(&a), text_of(joined.as_str()));
        }
    }

    #[test]
    fn a_scratch_buffer_may_be_asked_for_within_another() {
        let outer = scratch(|a| {
            a.push(1);
            scratch(|b| assert!(b.is_empty()));
            a.len()
        });
        assert_eq!(outer, 1);
    }
}
