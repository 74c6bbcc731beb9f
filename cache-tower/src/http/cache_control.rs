//! The Cache-Control field (RFC 9111 §5.2), of requests and of responses.
//!
//! All lines of the field are one list. Names are matched in any case. A number that is none is 0
//! (RFC 9111 §4.2.1 asks to consider such a response stale); one too great is 2³¹ (§1.2.2).
//!
//! Where the text leaves a choice, the [profile](Profile) makes it:
//!
//! | | guarded | standard |
//! |---|---|---|
//! | a directive that stands twice (§4.2.1) | the least counts | the first counts |
//! | a number in quotes (§5.2) | is none | is read |
//! | a directive that does not parse | the field is malformed | it is one of that name and no argument, and permits nothing |
//! | quotes that do not close | the field is malformed | the field is malformed |

use super::text::{digits, is_tchar, members, trim};
use crate::policy::Profile;
use http::HeaderName;
use std::time::Duration;

/// The greatest delta-seconds (RFC 9111 §1.2.2).
pub(super) const FOREVER: u64 = 1 << 31;

/// A directive's name and argument.
struct Directive<'a> {
    name: &'a [u8],
    argument: Option<&'a [u8]>,
    is_well_formed: bool,
}

impl<'a> Directive<'a> {
    fn parse(member: &'a [u8]) -> Self {
        let end = member
            .iter()
            .position(|byte| !is_tchar(*byte))
            .unwrap_or(member.len());
        let (name, rest) = member.split_at(end);
        let (argument, separated) = match rest {
            [] => (None, true),
            [b'=', argument @ ..] => (Some(argument), true),
            rest => (Some(rest), false),
        };
        let well_formed = argument.is_none_or(|argument| is_token(argument) || is_quoted(argument));
        Self {
            name,
            argument,
            is_well_formed: separated && well_formed && !name.is_empty(),
        }
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The argument as delta-seconds (RFC 9111 §1.2.2), zero where it is none.
    fn seconds(&self, profile: Profile) -> Duration {
        self.number(profile).unwrap_or(Duration::ZERO)
    }

    /// The argument as delta-seconds, where it is that.
    fn number(&self, profile: Profile) -> Option<Duration> {
        let argument = self.argument?;
        let number = match profile {
            Profile::Guarded => argument,
            Profile::Standard => unquoted(argument).unwrap_or(argument),
        };
        digits(number).map(|seconds| Duration::from_secs(seconds.min(FOREVER)))
    }

    /// The field names of a qualified form; `None` for the plain one, and for what is none.
    fn fields(&self) -> Option<Vec<HeaderName>> {
        let argument = self.argument?;
        field_names(unquoted(argument).unwrap_or(argument))
    }
}

/// The names of a list of fields, or `None` where it is empty or holds what is no name.
pub(super) fn field_names(list: &[u8]) -> Option<Vec<HeaderName>> {
    let name = |member: Option<&[u8]>| HeaderName::from_bytes(member?).ok();
    let names: Vec<HeaderName> = members(list, b',').map(name).collect::<Option<_>>()?;
    (!names.is_empty()).then_some(names)
}

/// A token, or nothing: `max-age=` is an argument that is no number, not a broken field.
fn is_token(argument: &[u8]) -> bool {
    argument.iter().all(|byte| is_tchar(*byte))
}

fn is_quoted(argument: &[u8]) -> bool {
    let Some(inner) = unquoted(argument) else {
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

/// What stands between the quotes, where there are two. Numbers and names need no escapes.
fn unquoted(argument: &[u8]) -> Option<&[u8]> {
    argument.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Calls `f` with each directive of all `lines`; false where the field is malformed.
fn each<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    profile: Profile,
    mut f: impl FnMut(&Directive<'a>),
) -> bool {
    let mut well_formed = true;
    for line in lines {
        for member in members(line, b',') {
            let Some(directive) = member.map(trim).map(Directive::parse) else {
                well_formed = false;
                continue;
            };
            if directive.is_well_formed || profile == Profile::Standard {
                f(&directive);
            } else {
                well_formed = false;
            }
        }
    }
    well_formed
}

fn least(slot: &mut Option<Duration>, found: Duration) {
    *slot = Some(slot.map_or(found, |earlier| earlier.min(found)));
}

fn greatest(slot: &mut Option<Duration>, found: Duration) {
    *slot = Some(slot.map_or(found, |earlier| earlier.max(found)));
}

/// What a response's Cache-Control says (RFC 9111 §5.2.2, RFC 5861, RFC 8246).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is one directive that is there or not"
)]
pub struct ResponseDirectives {
    /// The field does not parse.
    pub malformed: bool,
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache` of the whole response.
    pub no_cache: bool,
    /// `private` of the whole response.
    pub private: bool,
    /// `public`.
    pub public: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `must-understand`.
    pub must_understand: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// The fields that a qualified `no-cache` names.
    pub no_cache_fields: Vec<HeaderName>,
    /// The fields that a qualified `private` names.
    pub private_fields: Vec<HeaderName>,
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
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>, profile: Profile) -> Self {
        let mut found = Self::default();
        let well_formed = each(lines, profile, |directive| found.take(directive, profile));
        Self {
            malformed: !well_formed,
            ..found
        }
    }

    fn take(&mut self, directive: &Directive<'_>, profile: Profile) {
        let number = |slot: &mut Option<Duration>| {
            let found = directive.seconds(profile);
            match profile {
                Profile::Guarded => least(slot, found),
                Profile::Standard => {
                    slot.get_or_insert(found);
                }
            }
        };
        match () {
            () if directive.is("no-store") => self.no_store = true,
            () if directive.is("no-cache") => {
                qualify(&mut self.no_cache, &mut self.no_cache_fields, directive);
            }
            () if directive.is("private") => {
                qualify(&mut self.private, &mut self.private_fields, directive);
            }
            () if directive.is("public") => self.public |= directive.is_well_formed,
            () if directive.is("must-revalidate") => self.must_revalidate = true,
            () if directive.is("proxy-revalidate") => self.proxy_revalidate = true,
            () if directive.is("must-understand") => {
                self.must_understand |= directive.is_well_formed;
            }
            () if directive.is("immutable") => self.immutable |= directive.is_well_formed,
            () if directive.is("max-age") => number(&mut self.max_age),
            () if directive.is("s-maxage") => number(&mut self.s_maxage),
            () if directive.is("stale-while-revalidate") => {
                number(&mut self.stale_while_revalidate);
            }
            () if directive.is("stale-if-error") => number(&mut self.stale_if_error),
            // An extension we do not know changes nothing (RFC 9111 §5.2.3).
            () => {}
        }
    }

    /// The response says itself that a shared cache may keep it for requests that carried
    /// Authorization (RFC 9111 §3.5). Of the three directives that say so in the text, one only says
    /// when it must be validated; a guarded cache does not take it for consent.
    pub fn is_explicitly_shared(&self, profile: Profile) -> bool {
        self.public
            || self.s_maxage.is_some()
            || (profile == Profile::Standard && self.must_revalidate)
    }

    /// Nothing stale may be served (RFC 9111 §4.2.4): `s-maxage` carries `proxy-revalidate` with it
    /// (§5.2.2.10).
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_cache || self.s_maxage.is_some()
    }

    /// The fields that are not given to anybody else: not stored because they are private
    /// (RFC 9111 §5.2.2.7), or not to be reused without validation (§5.2.2.4), which a stored copy
    /// without them cannot be.
    pub fn withheld_fields(&self) -> impl Iterator<Item = &HeaderName> {
        self.private_fields.iter().chain(&self.no_cache_fields)
    }
}

/// A directive that is about the whole response, or about the fields it names (RFC 9111 §5.2.2.4,
/// §5.2.2.7). An argument that names none is as no argument.
fn qualify(whole: &mut bool, fields: &mut Vec<HeaderName>, directive: &Directive<'_>) {
    match directive.fields().filter(|_| directive.is_well_formed) {
        Some(named) => fields.extend(named),
        None => *whole = true,
    }
}

/// What a request's Cache-Control says (RFC 9111 §5.2.1). Where a directive stands twice, the stricter
/// holds.
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
    /// `max-stale`; without an argument it is all there is.
    pub max_stale: Option<Duration>,
    /// `stale-if-error` (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
}

impl RequestDirectives {
    /// Reads all lines of the field.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>, profile: Profile) -> Self {
        let mut found = Self::default();
        let well_formed = each(lines, profile, |directive| found.take(directive, profile));
        found.no_store |= !well_formed;
        found
    }

    fn take(&mut self, directive: &Directive<'_>, profile: Profile) {
        match () {
            () if directive.is("no-store") => self.no_store = true,
            () if directive.is("no-cache") => self.no_cache = true,
            () if directive.is("only-if-cached") => self.only_if_cached = true,
            () if directive.is("max-age") => least(&mut self.max_age, directive.seconds(profile)),
            () if directive.is("min-fresh") => {
                greatest(&mut self.min_fresh, directive.seconds(profile));
            }
            // An argument that is no number widens nothing.
            () if directive.is("max-stale") => match directive.argument {
                None => least(&mut self.max_stale, Duration::MAX),
                Some(_) => least(&mut self.max_stale, directive.seconds(profile)),
            },
            () if directive.is("stale-if-error") => {
                least(&mut self.stale_if_error, directive.seconds(profile));
            }
            () => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn response(lines: &[&str]) -> ResponseDirectives {
        ResponseDirectives::parse(lines.iter().map(|line| line.as_bytes()), Profile::Guarded)
    }

    fn standard(lines: &[&str]) -> ResponseDirectives {
        ResponseDirectives::parse(lines.iter().map(|line| line.as_bytes()), Profile::Standard)
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
    fn sto_08_the_qualified_forms_name_fields_and_otherwise_count_as_the_plain_ones() {
        let found = response(&[r#"no-cache="set-cookie", private="X-User, x-team""#]);
        assert!(!found.no_cache && !found.private);
        let withheld: Vec<_> = found.withheld_fields().map(HeaderName::as_str).collect();
        assert_eq!(withheld, ["x-user", "x-team", "set-cookie"]);
        assert_eq!(response(&["private=x-user"]).private_fields.len(), 1);
        for plain in [
            "private",
            r#"private="""#,
            "private=",
            r#"private="a b""#,
            r#"private="x-user", private"#,
        ] {
            assert!(response(&[plain]).private, "{plain}");
        }
    }

    #[test]
    fn the_standard_profile_reads_what_the_text_lets_it_read() {
        assert_eq!(standard(&[r#"max-age="60""#]).max_age, secs(60));
        assert_eq!(standard(&["max-age=5, max-age=60"]).max_age, secs(5));
        assert_eq!(standard(&["max-age=60", "max-age=5"]).max_age, secs(60));
        for none in [
            "max-age = 60",
            "max-age= 60",
            "max-age=6 0",
            "max-age=60;x",
            "max-age='60'",
        ] {
            let found = standard(&[none]);
            assert_eq!((found.max_age, found.malformed), (secs(0), false), "{none}");
        }
        assert!(standard(&["no-store junk"]).no_store);
        assert!(standard(&["a b, no-store"]).no_store);
        let found = standard(&["no-store, must-understand;x, public;, immutable junk"]);
        assert!(found.no_store && !found.must_understand && !found.public && !found.immutable);
        assert!(standard(&["max-age=60, ext=\"open"]).malformed);
    }

    #[test]
    fn extensions_are_directives_with_or_without_an_argument() {
        let found = response(&["immutable=1, must-understand, stale-if-error=3"]);
        assert!(found.immutable && found.must_understand);
        assert_eq!(found.stale_if_error, secs(3));
    }

    #[test]
    fn max_stale_is_all_there_is_without_an_argument_and_nothing_with_a_bad_one() {
        let stale =
            |line: &str| RequestDirectives::parse([line.as_bytes()], Profile::Guarded).max_stale;
        assert_eq!(stale("max-stale"), Some(Duration::MAX));
        assert_eq!(stale("max-stale=9"), secs(9));
        assert_eq!(stale("max-stale, max-stale=9"), secs(9));
        assert_eq!(stale("max-stale=x"), secs(0));
        assert_eq!(stale(""), None);
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
        let found = RequestDirectives::parse([&b"no-store=\"x"[..]], Profile::Guarded);
        assert!(found.no_store);
        let found = RequestDirectives::parse(
            [&b"max-age=0, min-fresh=3"[..], b"min-fresh=9"],
            Profile::Guarded,
        );
        assert_eq!((found.max_age, found.min_fresh), (secs(0), secs(9)));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_and_a_plain_no_store_is_never_lost(
            before in proptest::collection::vec(any::<u8>(), 0..40),
            after in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let found = ResponseDirectives::parse([&before[..], b"No-STORE", &after[..]], Profile::Guarded);
            prop_assert!(found.no_store);
            let line = [&before[..], b",no-store,", &after[..]].concat();
            let found = ResponseDirectives::parse([&line[..]], Profile::Guarded);
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
