//! Cache directives meant for us alone (RFC 9213): CDN-Cache-Control, and fields like it.
//!
//! Such a field looks like Cache-Control and is not: it is a Dictionary Structured Field, so its
//! names are lower-case, of a directive that stands twice the last holds, and a field with a single
//! mistake is ignored as a whole (§2.1).

use super::{
    cache_control::{FOREVER, ResponseDirectives, field_names},
    structured::{self, Value},
};
use http::{HeaderMap, HeaderName};
use std::time::Duration;

/// The directives of the first of `targets` that is present, parses and is not empty (RFC 9213
/// §2.2).
///
/// Where there is one, Cache-Control and Expires are to be ignored completely, even if it holds no
/// directive that is known, as in `CDN-Cache-Control: none` (§3.1). `None` where there is none: then
/// they apply. A field longer than 16 KiB, all of its lines joined, counts as one that does not parse.
///
/// Parameters and unknown directives are ignored. A value of a wrong type is never taken for one of
/// the right type (§2.1), and the directive is read in the way that is safe without it:
///
/// - `max-age` and `s-maxage` are 0, invalid freshness information being stale (RFC 9111 §4.2.1);
///   a negative number is invalid as well;
/// - `stale-while-revalidate` and `stale-if-error` permit nothing;
/// - `no-store`, `no-cache`, `private`, `must-revalidate` and `proxy-revalidate` forbid as without
///   a value, unless that is false;
/// - `public`, `immutable` and `must-understand` permit only as Boolean true.
pub fn read(targets: &[HeaderName], headers: &HeaderMap) -> Option<ResponseDirectives> {
    targets
        .iter()
        .find_map(|target| directives(target, headers))
}

fn directives(target: &HeaderName, headers: &HeaderMap) -> Option<ResponseDirectives> {
    let mut found = None;
    structured::dictionary(headers, target, |name, value| {
        take(found.get_or_insert_default(), name, &value);
    })
    .ok()?;
    found
}

/// Overwrites what an earlier directive of the same name said (RFC 9651 §4.2.2).
fn take(found: &mut ResponseDirectives, name: &str, value: &Value<'_>) {
    match name {
        "no-store" => found.no_store = forbids(value),
        "no-cache" => (found.no_cache, found.no_cache_fields) = qualified(value),
        "private" => (found.private, found.private_fields) = qualified(value),
        "must-revalidate" => found.must_revalidate = forbids(value),
        "proxy-revalidate" => found.proxy_revalidate = forbids(value),
        "public" => found.public = permits(value),
        "must-understand" => found.must_understand = permits(value),
        "immutable" => found.immutable = permits(value),
        "max-age" => found.max_age = Some(lifetime(value)),
        "s-maxage" => found.s_maxage = Some(lifetime(value)),
        "stale-while-revalidate" => found.stale_while_revalidate = seconds(value),
        "stale-if-error" => found.stale_if_error = seconds(value),
        // An extension we do not know changes nothing (RFC 9213 §2.2).
        _ => {}
    }
}

fn forbids(value: &Value<'_>) -> bool {
    *value != Value::Boolean(false)
}

fn permits(value: &Value<'_>) -> bool {
    *value == Value::Boolean(true)
}

/// Whether the directive holds for the whole response, and else for which fields.
fn qualified(value: &Value<'_>) -> (bool, Vec<HeaderName>) {
    match value {
        Value::String(names) => match field_names(names.as_bytes()) {
            Some(names) => (false, names),
            None => (true, Vec::new()),
        },
        _ => (forbids(value), Vec::new()),
    }
}

fn lifetime(value: &Value<'_>) -> Duration {
    seconds(value).unwrap_or(Duration::ZERO)
}

/// Delta-seconds (RFC 9111 §1.2.2): an Integer that is not negative.
fn seconds(value: &Value<'_>) -> Option<Duration> {
    let Value::Integer(seconds) = value else {
        return None;
    };
    let seconds = u64::try_from(*seconds).ok()?;
    Some(Duration::from_secs(seconds.min(FOREVER)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, header::CACHE_CONTROL};
    use proptest::prelude::*;

    const OURS: HeaderName = HeaderName::from_static("ours-cache-control");
    const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");

    fn fields(lines: &[(HeaderName, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, line)| (name.clone(), HeaderValue::from_str(line).unwrap()))
            .collect()
    }

    fn chosen(lines: &[(HeaderName, &str)]) -> Option<ResponseDirectives> {
        read(&[OURS, CDN], &fields(lines))
    }

    fn of(lines: &[&str]) -> Option<ResponseDirectives> {
        chosen(&lines.iter().map(|line| (CDN, *line)).collect::<Vec<_>>())
    }

    fn none() -> ResponseDirectives {
        ResponseDirectives::default()
    }

    fn max_age(seconds: u64) -> ResponseDirectives {
        ResponseDirectives {
            max_age: secs(seconds),
            ..none()
        }
    }

    const fn secs(n: u64) -> Option<Duration> {
        Some(Duration::from_secs(n))
    }

    #[test]
    fn all_directives_are_read() {
        let line = "no-store, no-cache, private, public, must-revalidate, proxy-revalidate, \
                    must-understand, immutable, max-age=1, s-maxage=2, stale-while-revalidate=3, \
                    stale-if-error=4, no-transform, community=\"UCI\"";
        let all = ResponseDirectives {
            malformed: false,
            no_store: true,
            no_cache: true,
            private: true,
            public: true,
            must_revalidate: true,
            proxy_revalidate: true,
            must_understand: true,
            immutable: true,
            no_cache_fields: vec![],
            private_fields: vec![],
            max_age: secs(1),
            s_maxage: secs(2),
            stale_while_revalidate: secs(3),
            stale_if_error: secs(4),
        };
        assert_eq!(of(&[line]), Some(all));
    }

    #[test]
    fn the_first_target_that_is_usable_decides() {
        assert_eq!(
            chosen(&[(CDN, "max-age=1"), (OURS, "max-age=2")]),
            Some(max_age(2))
        );
        for unusable in [
            "",
            "  ",
            "max-age=2,",
            "MaX-aGe=2",
            "max-age=2;x =1",
            "a=@1.5",
        ] {
            let both = [(OURS, unusable), (CDN, "max-age=1")];
            assert_eq!(chosen(&both), Some(max_age(1)), "{unusable:?}");
            assert_eq!(chosen(&[(OURS, unusable)]), None, "{unusable:?}");
        }
        let too_long = format!("max-age=2, x=\"{}\"", "x".repeat(structured::LONGEST_FIELD));
        let both = [(OURS, &*too_long), (CDN, "max-age=1")];
        assert_eq!(chosen(&both), Some(max_age(1)));
    }

    #[test]
    fn only_targets_are_read() {
        let others = [
            (CACHE_CONTROL, "max-age=1"),
            (HeaderName::from_static("other-cache-control"), "no-store"),
        ];
        assert_eq!(chosen(&others), None);
        assert_eq!(read(&[], &fields(&[(CDN, "max-age=1")])), None);
    }

    #[test]
    fn a_field_without_a_known_directive_is_still_the_one_that_counts() {
        for line in ["none", "none=?0", "max-stale=5", "x=(a b);c"] {
            assert_eq!(of(&[line]), Some(none()), "{line}");
        }
    }

    #[test]
    fn lines_are_one_dictionary_of_which_the_last_holds() {
        assert_eq!(
            of(&["max-age=5", "public, max-age=9"]),
            of(&["public, max-age=9"])
        );
        assert_eq!(of(&["max-age=5", "Public"]), None);
        assert_eq!(of(&["no-store", "no-store=?0"]), Some(none()));
        let unqualified = of(&["no-cache=\"a\", no-cache"]).unwrap();
        assert!(unqualified.no_cache && unqualified.no_cache_fields.is_empty());
        let qualified = of(&["private, private=\"a\""]).unwrap();
        assert!(!qualified.private && qualified.private_fields == ["a"]);
    }

    #[test]
    fn parameters_are_ignored() {
        assert_eq!(of(&["max-age=60;x=1;no-store"]), Some(max_age(60)));
        assert!(of(&["no-store;a=?0"]).unwrap().no_store);
    }

    #[test]
    fn qualified_forms_name_fields() {
        let found = of(&[r#"no-cache="Set-Cookie", private="x-user , x-team""#]).unwrap();
        assert!(!found.no_cache && !found.private);
        assert_eq!(found.no_cache_fields, ["set-cookie"]);
        assert_eq!(found.private_fields, ["x-user", "x-team"]);
    }

    #[test]
    fn qualified_forms_that_name_none_hold_for_all() {
        for value in [
            "\"\"",
            "\" , \"",
            "\"a b\"",
            "\"a, b/c\"",
            "x-user",
            "5",
            "(\"a\")",
        ] {
            let found = of(&[&format!("no-cache={value}, private={value}")]).unwrap();
            assert!(
                found.no_cache && found.no_cache_fields.is_empty(),
                "{value}"
            );
            assert!(found.private && found.private_fields.is_empty(), "{value}");
        }
    }

    #[test]
    fn numbers_are_integers_and_saturate() {
        for (value, seconds) in [
            ("0", 0),
            ("060", 60),
            ("2147483648", 1 << 31),
            ("2147483649", 1 << 31),
            ("999999999999999", 1 << 31),
        ] {
            assert_eq!(
                of(&[&format!("max-age={value}")]),
                Some(max_age(seconds)),
                "{value}"
            );
        }
        assert_eq!(of(&["max-age=1000000000000000"]), None, "no Integer");
    }

    #[test]
    fn lifetimes_of_a_wrong_type_are_over_and_permit_nothing_stale() {
        for value in [
            "=60.5", "=\"60\"", "=ten", "=-1", "=?0", "", "=(60)", "=@60", "=:aGk:",
        ] {
            let line = format!(
                "max-age{value}, s-maxage{value}, stale-while-revalidate{value}, stale-if-error{value}"
            );
            let over = ResponseDirectives {
                s_maxage: secs(0),
                ..max_age(0)
            };
            assert_eq!(of(&[&line]), Some(over), "{value}");
        }
    }

    #[test]
    fn in_doubt_what_forbids_does_and_what_permits_does_not() {
        for value in ["1", "yes", "\"\"", "()", "1.5"] {
            let line = format!(
                "no-store={value}, must-revalidate={value}, proxy-revalidate={value}, \
                 public={value}, immutable={value}, must-understand={value}"
            );
            let found = ResponseDirectives {
                no_store: true,
                must_revalidate: true,
                proxy_revalidate: true,
                ..none()
            };
            assert_eq!(of(&[&line]), Some(found), "{value}");
        }
        let denied = "no-store=?0, no-cache=?0, private=?0, must-revalidate=?0, public=?0";
        assert_eq!(of(&[denied]), Some(none()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            line in proptest::collection::vec(32..=255_u8, 0..60),
        ) {
            if let Ok(line) = HeaderValue::from_bytes(&line) {
                let _ = read(&[CDN], &HeaderMap::from_iter([(CDN, line)]));
            }
        }

        #[test]
        fn where_lines_end_does_not_matter(
            members in proptest::collection::vec(
                proptest::sample::select(vec![
                    "no-store", "no-cache=\"a\"", "private", "max-age=5", "max-age=7;x", "max-age=?0",
                    "s-maxage=\"1\"", "public=?0", "public", "x=(1 2)", "Bad", "",
                ]),
                1..6,
            ),
            cut in any::<proptest::sample::Index>(),
        ) {
            let cut = cut.index(members.len());
            let (first, second) = members.split_at(cut);
            let one = of(&[&members.join(", ")]);
            prop_assert_eq!(&of(&members), &one);
            if cut > 0 {
                prop_assert_eq!(&of(&[&first.join(","), &second.join("\t,")]), &one);
            }
        }
    }
}
