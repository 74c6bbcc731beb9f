//! What origins can send as Structured Fields: targeted directives, and groups.

use cache_tower::http::{
    cache_groups::{CACHE_GROUP_INVALIDATION, CACHE_GROUPS, group_name, groups, invalidated},
    targeted,
};
use http::{HeaderName, HeaderValue};
use std::time::Duration;

use super::text::{of, values};

/// The longest Structured Field that is read.
const LONGEST_FIELD: usize = 16 * 1024;
/// The longest delta-seconds.
const LONGEST: Duration = Duration::from_secs(1 << 31);

pub(crate) const SEEDS: &[&[u8]] = &[
    b"max-age=60, must-revalidate;x=1",
    b"no-cache=\"set-cookie\", private=\"x-user, x-team\"\nmax-age=600",
    b"none",
    b"max-age=60,",
    b"a=(1 2.5 \"b\";c);d, e=:aGk=:, f=@5, g=%\"f%c3%bc\", h=?0",
    b"s-maxage=60.5, max-age=\"60\", stale-if-error=-1",
    b"no-store, no-store=?0\n\n",
    b"\"scripts\"",
    b"\"b\", \"a\";x=1\n\"b\"",
    b"\"\\\"\\\\\", \"\"",
    b"scripts",
    b"\"a\", (\"b\")",
    b"\"a\",",
];

pub(crate) const WORDS: &[&[u8]] = &[
    b"max-age=",
    b"s-maxage=",
    b"no-store",
    b"no-cache",
    b"private",
    b"public",
    b"stale-if-error=",
    b"Max-Age=1",
    b"=?0",
    b"=?1",
    b"=\"\"",
    b"\"a\"",
    b"\"",
    b"\\\"",
    b"\\\\",
    b"=(",
    b"(",
    b")",
    b";a",
    b";x=\"b\"",
    b"=:",
    b"=@",
    b"=%\"",
    b"?1",
    b", ",
    b",",
    b"\n",
    b"\t",
    b"999999999999999",
    b"2147483649",
];

/// Lines of one field, read as directives and as groups.
pub(crate) fn check(input: &[u8]) {
    let lines = values(input);
    directives(&lines);
    is_void_or_first(&lines);
    names_of_groups(&lines);
}

/// Good members, after which a field is still good if it is not too long.
const MORE: &str = "no-store, max-age=7;x";

const FIRST: HeaderName = HeaderName::from_static("ours-cache-control");
const SECOND: HeaderName = HeaderName::from_static("cdn-cache-control");

fn directives(lines: &[HeaderValue]) {
    let read = |lines: &[HeaderValue]| targeted::read(&[FIRST], &of(&FIRST, lines));
    let found = read(lines);
    assert_eq!(read(&[joined(lines)]), found, "lines are one value");
    let with = |line: &'static str| read(&[lines, &[HeaderValue::from_static(line)]].concat());
    assert_eq!(with("!"), None, "one mistake voids the field");
    let Some(found) = found else {
        return;
    };
    assert!(!found.malformed);
    let spans = [
        found.max_age,
        found.s_maxage,
        found.stale_while_revalidate,
        found.stale_if_error,
    ];
    assert!(spans.into_iter().flatten().all(|span| span <= LONGEST));
    assert!(!found.no_cache || found.no_cache_fields.is_empty());
    assert!(!found.private || found.private_fields.is_empty());
    let whole = joined(lines);
    if whole.len() + ", ".len() + MORE.len() > LONGEST_FIELD {
        return;
    }
    let later = with(MORE).expect("good members were added to good ones");
    assert!(later.no_store && later.max_age == Some(Duration::from_secs(7)));
    assert_eq!(
        read(&[suffixed(&whole, ";zz=1")]),
        Some(found),
        "a parameter says nothing"
    );
}

/// The first field that is good counts.
fn is_void_or_first(lines: &[HeaderValue]) {
    let mut both = of(&FIRST, lines);
    let found = targeted::read(&[FIRST], &both);
    both.insert(SECOND, HeaderValue::from_static("max-age=5"));
    let fallback = targeted::read(&[SECOND], &both);
    assert!(fallback.is_some());
    let chosen = targeted::read(&[FIRST, SECOND], &both);
    assert_eq!(chosen, found.or_else(|| fallback.clone()));
    assert_eq!(targeted::read(&[SECOND, FIRST], &both), fallback);
}

fn names_of_groups(lines: &[HeaderValue]) {
    let read = |lines: &[HeaderValue]| groups(&of(&CACHE_GROUPS, lines));
    let found = read(lines);
    let whole = joined(lines);
    assert_eq!(found.is_none(), whole.len() > LONGEST_FIELD);
    assert_eq!(read(&[whole]), found, "lines are one value");
    let found = found.unwrap_or_default();
    assert_eq!(invalidated(&of(&CACHE_GROUP_INVALIDATION, lines)), found);
    assert!(found.is_sorted_by(|one, next| one < next), "each once");

    let quoted: Vec<_> = found.iter().map(|name| quoted(name)).collect();
    assert_eq!(read(&quoted), Some(found.clone()), "sent again");
    found
        .iter()
        .for_each(|name| is_told_apart("https://a.test", name));
}

/// What moves from the name to its origin, or back, makes another name.
fn is_told_apart(origin: &str, name: &str) {
    let moved = format!("{origin}{name}");
    assert!(name.is_empty() || group_name(origin, name) != group_name(&moved, ""));
    assert_ne!(group_name(origin, name), group_name("", &moved));
}

fn joined(lines: &[HeaderValue]) -> HeaderValue {
    let lines: Vec<_> = lines.iter().map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&lines.join(&b", "[..])).expect("parts of field values make one")
}

/// Blanks before the suffix left out.
fn suffixed(value: &HeaderValue, suffix: &str) -> HeaderValue {
    let bytes = [value.as_bytes().trim_ascii_end(), suffix.as_bytes()].concat();
    HeaderValue::from_bytes(&bytes).expect("parts of field values make one")
}

fn quoted(name: &str) -> HeaderValue {
    let text = name.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::try_from(format!("\"{text}\"")).expect("it was read from a field value")
}
