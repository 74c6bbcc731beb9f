//! Groups of responses, named by the origin (RFC 9875): Cache-Groups and Cache-Group-Invalidation.
//!
//! Both are Lists of Strings. One that does not parse, or has a member that is no String, is ignored
//! as a whole (RFC 9651 §2.2, §4.2). Parameters are ignored, the order has no meaning, and two names
//! are one where they agree to the letter.
//!
//! Neither the number of groups nor the length of a name has a limit of its own; the field has:
//! 16 KiB, all of its lines joined, which is room for some four hundred groups of 32 characters.

use super::structured::{self, Unread, Value};
use http::{HeaderMap, HeaderName};

/// The groups that a response belongs to (RFC 9875 §2).
pub const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");

/// The groups that a response to an unsafe method invalidates (RFC 9875 §3).
pub const CACHE_GROUP_INVALIDATION: HeaderName =
    HeaderName::from_static("cache-group-invalidation");

/// The groups of a response, each once, in order of their names; none where Cache-Groups is absent
/// or ignored.
///
/// `None` where the field is longer than 16 KiB: the response may have groups, and they
/// are not known. Were it stored without them, it would outlive their invalidation.
pub fn groups(headers: &HeaderMap) -> Option<Vec<String>> {
    match names(headers, &CACHE_GROUPS) {
        Ok(names) => Some(names),
        Err(Unread::Malformed) => Some(Vec::new()),
        Err(Unread::TooLong) => None,
    }
}

/// The groups that a response invalidates, each once, in order of their names; none where
/// Cache-Group-Invalidation is absent or ignored, also for its length.
///
/// To be asked of responses to unsafe methods only: on others the field must be ignored (RFC 9875
/// §3).
pub fn invalidated(headers: &HeaderMap) -> Vec<String> {
    names(headers, &CACHE_GROUP_INVALIDATION).unwrap_or_default()
}

/// The name under which the index of groups holds a group of an origin: two responses share a group
/// only within one origin (RFC 9875 §2.1).
///
/// No other pair has the same name, because the length of the origin stands before it.
///
/// ```
/// # use cache_tower::http::cache_groups::group_name;
/// assert_eq!(group_name("https://a.test", "news"), "\0grp:14:https://a.testnews");
/// ```
pub fn group_name(origin: &str, group: &str) -> String {
    format!("\0grp:{}:{origin}{group}", origin.len())
}

fn names(headers: &HeaderMap, field: &HeaderName) -> Result<Vec<String>, Unread> {
    let mut names = Vec::new();
    let mut are_strings = true;
    structured::list(headers, field, |member| match member {
        Value::String(name) => names.push(name.into_owned()),
        _ => are_strings = false,
    })?;
    if !are_strings {
        return Err(Unread::Malformed);
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::{structured::LONGEST_FIELD, *};
    use http::HeaderValue;
    use proptest::prelude::*;

    fn of(lines: &[&str]) -> HeaderMap {
        let line = |line: &&str| HeaderValue::from_bytes(line.as_bytes()).unwrap();
        let both = [CACHE_GROUPS, CACHE_GROUP_INVALIDATION];
        both.iter()
            .flat_map(|name| lines.iter().map(move |text| (name.clone(), line(text))))
            .collect()
    }

    /// What both fields say, which is the same.
    fn read(lines: &[&str]) -> Option<Vec<String>> {
        let headers = of(lines);
        let found = groups(&headers);
        assert_eq!(invalidated(&headers), found.clone().unwrap_or_default());
        found
    }

    #[test]
    fn groups_are_read_from_all_lines_each_once() {
        assert_eq!(read(&[]), Some(vec![]));
        assert_eq!(read(&[r#""scripts""#]).unwrap(), ["scripts"]);
        assert_eq!(
            read(&[r#""b", "a";x=1;y"#, r#""b" , "c, d", "\"\\""#]).unwrap(),
            ["\"\\", "a", "b", "c, d"]
        );
        assert_eq!(
            read(&[r#""A", "a", " a", """#]).unwrap(),
            ["", " a", "A", "a"]
        );
    }

    #[test]
    fn each_field_is_read_for_itself() {
        let headers = HeaderMap::from_iter([(CACHE_GROUPS, HeaderValue::from_static("\"a\""))]);
        assert_eq!(groups(&headers).unwrap(), ["a"]);
        assert!(invalidated(&headers).is_empty());
    }

    #[test]
    fn a_member_that_is_no_string_voids_the_field() {
        for line in [
            "scripts",
            r#""a", b"#,
            r#""a", 1, "b""#,
            r#""a", ("b")"#,
            r#""a", ?1"#,
            r#""a", :aGk=:"#,
            r#""a", %"b""#,
            r#""a","#,
            r#""a" "b""#,
            r#""a"#,
            "\"\u{e4}\"",
        ] {
            assert_eq!(read(&[line]), Some(vec![]), "{line}");
            assert_eq!(read(&["\"c\"", line]), Some(vec![]), "{line}");
        }
    }

    #[test]
    fn many_groups_and_long_ones_are_read_up_to_the_length_of_the_field() {
        let names = |count: usize, length: usize| -> Vec<String> {
            (0..count).map(|n| format!("{n:0length$}")).collect()
        };
        let line = |names: &[String]| format!("\"{}\"", names.join("\", \""));
        for (count, length) in [(32, 32), (400, 32), (2000, 4), (1, LONGEST_FIELD - 2)] {
            let names = names(count, length);
            assert_eq!(read(&[&line(&names)]), Some(names));
        }
        assert_eq!(read(&[&line(&names(1, LONGEST_FIELD - 1))]), None);
        assert_eq!(read(&["\"a\"", &line(&names(500, 32))]), None);
    }

    #[test]
    fn a_group_of_one_origin_is_not_that_of_another() {
        let name = group_name("http://a", "b");
        assert!(name.starts_with("\0grp:"));
        for (origin, group) in [
            ("http://a", "B"),
            ("http://a", ""),
            ("https://a", "b"),
            ("http://ab", ""),
            ("http://", "ab"),
            ("", "http://ab"),
        ] {
            assert_ne!(group_name(origin, group), name, "{origin} {group}");
        }
    }

    proptest! {
        #[test]
        fn names_of_groups_are_as_many_as_groups(
            one in ("[0-9:ab]{0,12}", "[0-9:ab]{0,12}"), other in ("[0-9:ab]{0,3}", "[0-9:ab]{0,3}"),
            cut in 0..24_usize,
        ) {
            let named = |(origin, group): &(String, String)| group_name(origin, group);
            prop_assert_eq!(named(&one) == named(&other), one == other);
            let whole = format!("{}{}", one.0, one.1);
            if let Some((origin, group)) = whole.split_at_checked(cut) {
                let moved = (origin.to_owned(), group.to_owned());
                prop_assert_eq!(named(&one) == named(&moved), one == moved);
            }
        }

        #[test]
        fn any_strings_are_read_each_once(names in proptest::collection::vec("[ -~]{0,3}", 0..9)) {
            let quote = |name: &String| {
                format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
            };
            let lines: Vec<_> = names.iter().map(quote).collect();
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            let expected: std::collections::BTreeSet<_> = names.into_iter().collect();
            prop_assert_eq!(read(&lines), Some(expected.into_iter().collect()));
        }
    }
}
