//! The Cache-Control field (RFC 9111 §5.2), of requests and of responses.
//!
//! All lines of the field are one list. Names are matched in any case. Where a directive stands
//! twice, the stricter holds; a number that is none is 0 (RFC 9111 §4.2.1 asks to consider such a
//! response stale); one too great is 2³¹ (§1.2.2). A field that does not parse is reported as
//! malformed, and nothing is stored on its word.

use super::text::{digits, is_tchar, members, trim};
use std::time::Duration;

/// The greatest delta-seconds (RFC 9111 §1.2.2).
const FOREVER: u64 = 1 << 31;

/// A directive's name and argument.
struct Directive<'a> {
    name: &'a [u8],
    argument: Option<&'a [u8]>,
}

impl<'a> Directive<'a> {
    fn parse(member: &'a [u8]) -> Option<Self> {
        let end = member
            .iter()
            .position(|byte| !is_tchar(*byte))
            .unwrap_or(member.len());
        let (name, rest) = member.split_at(end);
        let argument = match rest {
            [] => None,
            [b'=', argument @ ..] => Some(argument),
            _ => return None,
        };
        let well_formed = argument.is_none_or(|argument| is_token(argument) || is_quoted(argument));
        (!name.is_empty() && well_formed).then_some(Self { name, argument })
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The argument as delta-seconds: the token form only (RFC 9111 §5.2.2.1).
    fn seconds(&self) -> Duration {
        let seconds = self.argument.and_then(digits).unwrap_or(0);
        Duration::from_secs(seconds.min(FOREVER))
    }
}

/// A token, or nothing: `max-age=` is an argument that is no number, not a broken field.
fn is_token(argument: &[u8]) -> bool {
    argument.iter().all(|byte| is_tchar(*byte))
}

fn is_quoted(argument: &[u8]) -> bool {
    let Some(inner) = argument
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
    else {
        return false;
    };
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return false,
            b'\\' if bytes.next().is_none() => return false,
            _ => {}
        }
    }
    true
}

/// Calls `f` with each directive of all `lines`; false where one is malformed.
fn each<'a>(lines: impl IntoIterator<Item = &'a [u8]>, mut f: impl FnMut(&Directive<'a>)) -> bool {
    let mut well_formed = true;
    for line in lines {
        for member in members(line, b',') {
            match member.map(trim).and_then(Directive::parse) {
                Some(directive) => f(&directive),
                None => well_formed = false,
            }
        }
    }
    well_formed
}

fn least(slot: &mut Option<Duration>, found: Duration) {
    *slot = Some(slot.map_or(found, |earlier| earlier.min(found)));
}

/// What a response's Cache-Control says (RFC 9111 §5.2.2, RFC 5861).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResponseDirectives {
    /// The field does not parse.
    pub malformed: bool,
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`, also in its qualified form, which is taken as strictly.
    pub no_cache: bool,
    /// `private`, also in its qualified form, which is taken as strictly.
    pub private: bool,
    /// `public`.
    pub public: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `max-age`.
    pub max_age: Option<Duration>,
    /// `s-maxage`.
    pub s_maxage: Option<Duration>,
    /// `stale-while-revalidate` (RFC 5861 §3).
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error` (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
}

impl ResponseDirectives {
    /// Reads all lines of the field.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut found = Self::default();
        let well_formed = each(lines, |directive| found.take(directive));
        Self {
            malformed: !well_formed,
            ..found
        }
    }

    fn take(&mut self, directive: &Directive<'_>) {
        match () {
            () if directive.is("no-store") => self.no_store = true,
            () if directive.is("no-cache") => self.no_cache = true,
            () if directive.is("private") => self.private = true,
            () if directive.is("public") => self.public = true,
            () if directive.is("must-revalidate") => self.must_revalidate = true,
            () if directive.is("proxy-revalidate") => self.proxy_revalidate = true,
            () if directive.is("max-age") => least(&mut self.max_age, directive.seconds()),
            () if directive.is("s-maxage") => least(&mut self.s_maxage, directive.seconds()),
            () if directive.is("stale-while-revalidate") => {
                least(&mut self.stale_while_revalidate, directive.seconds());
            }
            () if directive.is("stale-if-error") => {
                least(&mut self.stale_if_error, directive.seconds())
            }
            // An extension we do not know changes nothing (RFC 9111 §5.2.3).
            () => {}
        }
    }

    /// The response says itself that a shared cache may keep it for requests that carried
    /// credentials (RFC 9111 §3.5).
    pub fn is_explicitly_shared(&self) -> bool {
        self.public || self.s_maxage.is_some()
    }

    /// Nothing stale may be served (RFC 9111 §4.2.4): `s-maxage` carries `proxy-revalidate` with it
    /// (§5.2.2.10).
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_cache || self.s_maxage.is_some()
    }
}

/// What a request's Cache-Control says (RFC 9111 §5.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestDirectives {
    /// `no-store`, or a field that does not parse, which may have meant it.
    pub no_store: bool,
    /// `no-cache`, also as `Pragma` where there is no Cache-Control (RFC 9111 §5.4).
    pub no_cache: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
    /// `max-age`.
    pub max_age: Option<Duration>,
    /// `min-fresh`.
    pub min_fresh: Option<Duration>,
}

impl RequestDirectives {
    /// Reads all lines of the field.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut found = Self::default();
        let well_formed = each(lines, |directive| found.take(directive));
        found.no_store |= !well_formed;
        found
    }

    fn take(&mut self, directive: &Directive<'_>) {
        match () {
            () if directive.is("no-store") => self.no_store = true,
            () if directive.is("no-cache") => self.no_cache = true,
            () if directive.is("only-if-cached") => self.only_if_cached = true,
            () if directive.is("max-age") => least(&mut self.max_age, directive.seconds()),
            () if directive.is("min-fresh") => {
                let asked = directive.seconds();
                self.min_fresh = Some(self.min_fresh.map_or(asked, |earlier| earlier.max(asked)));
            }
            // `max-stale` widens; a cache is not required to honour it, and does not (§5.2.1.2).
            () => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn response(lines: &[&str]) -> ResponseDirectives {
        ResponseDirectives::parse(lines.iter().map(|line| line.as_bytes()))
    }

    const fn secs(n: u64) -> Option<Duration> {
        Some(Duration::from_secs(n))
    }

    #[test]
    fn sto_06_names_are_read_in_any_case() {
        let found = response(&["No-Store, PRIVATE, No-Cache, Max-AGE=5"]);
        assert!(found.no_store && found.private && found.no_cache);
        assert_eq!(found.max_age, secs(5));
    }

    #[test]
    fn sto_07_lines_are_one_list_and_the_stricter_holds() {
        let found = response(&["public, max-age=60", "private", "max-age=5, no-store"]);
        assert!(found.public && found.private && found.no_store);
        assert_eq!(found.max_age, secs(5));
    }

    #[test]
    fn sto_08_the_qualified_forms_count_as_the_plain_ones() {
        assert!(response(&[r#"no-cache="set-cookie""#]).no_cache);
        assert!(response(&[r#"private="x-user, x-team""#]).private);
    }

    #[test]
    fn sto_11_numbers_that_are_none_are_zero_and_great_ones_saturate() {
        for text in ["-1", "\"60\"", "1.5", "1e30", "", "ten"] {
            let found = response(&[&format!("max-age={text}")]);
            assert_eq!(found.max_age, secs(0), "{text}");
        }
        assert_eq!(response(&["max-age"]).max_age, secs(0));
        for text in [
            "2147483648",
            "9223372036854775808",
            "18446744073709551616",
            "999999999999999999999999999999",
        ] {
            assert_eq!(
                response(&[&format!("s-maxage={text}")]).s_maxage,
                secs(1 << 31),
                "{text}"
            );
        }
    }

    #[test]
    fn text_within_quotes_is_not_a_directive() {
        let found = response(&[r#"ext="a, no-store, max-age=9", max-age=3"#]);
        assert!(!found.no_store && !found.malformed);
        assert_eq!(found.max_age, secs(3));
    }

    #[test]
    fn what_does_not_parse_is_malformed() {
        for line in [
            "max-age = 60",
            "no store",
            "ext=\"open",
            "=5",
            "max-age=5; public",
            "a=\"b\"c",
            "pub\u{e9}lic",
        ] {
            assert!(response(&[line]).malformed, "{line}");
        }
        for line in ["", ",,", "public,", " a , b=c ", "x=\"\\\"\""] {
            assert!(!response(&[line]).malformed, "{line}");
        }
    }

    #[test]
    fn a_request_that_does_not_parse_is_taken_as_no_store() {
        let found = RequestDirectives::parse([&b"no-store=\"x"[..]]);
        assert!(found.no_store);
        let found = RequestDirectives::parse([&b"max-age=0, min-fresh=3"[..], b"min-fresh=9"]);
        assert_eq!((found.max_age, found.min_fresh), (secs(0), secs(9)));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_and_a_plain_no_store_is_never_lost(
            before in proptest::collection::vec(any::<u8>(), 0..40),
            after in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let found = ResponseDirectives::parse([&before[..], b"No-STORE", &after[..]]);
            prop_assert!(found.no_store);
            let line = [&before[..], b",no-store,", &after[..]].concat();
            let found = ResponseDirectives::parse([&line[..]]);
            let quoted = before.contains(&b'"');
            prop_assert!(found.no_store || found.malformed || quoted);
        }

        #[test]
        fn a_number_is_read_exactly_or_saturates(n in any::<u64>(), zeros in 0..5_usize) {
            let text = format!("max-age={}{n}", "0".repeat(zeros));
            prop_assert_eq!(response(&[&text]).max_age, secs(n.min(1 << 31)));
        }
    }
}
