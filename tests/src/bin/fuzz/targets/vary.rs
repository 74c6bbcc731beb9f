//! What selects among stored responses.

use cache_tower::{
    Profile,
    http::vary::{
        content_language, is_accept_encoding_malformed, preferred_language, write_selecting,
        write_selecting_language,
    },
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    PROFILES,
    text::{BLANKS, blocks, fields},
};

pub(crate) const SEEDS: &[&[u8]] = &[
    b"accept-encoding: gzip, br;q=0.5\n\naccept-encoding: BR ; q=0.500,,GZIP",
    b"accept-encoding: ;;q=,gzip;q=9\n\naccept-encoding: gzip, gzip;q=0",
    b"accept-language: de-CH, en;q=0.5, *;q=0.1\n\naccept-language: DE-ch\naccept-language: *;q=0.1, en;q=0.50",
    b"accept-language: de, en\n\naccept-language: en, de",
    b"accept-language: de_DE\n\naccept-language:\n",
    b"accept: text/html, a/b;x=\"1, 2\";q=0.5\n\naccept: TEXT/html,a/b ; x=\"1, 2\"; q=0.5",
    b"x-any: a\nx-any: b\n\nx-any: a, b",
    b"content-language: de\n\ncontent-language: de, en",
];

pub(crate) const WORDS: &[&[u8]] = &[
    b"accept-encoding: ",
    b"accept-language: ",
    b"accept: ",
    b"content-language: ",
    b"x-any: ",
    b"gzip",
    b"br",
    b"identity",
    b"de",
    b"en-GB",
    b"zh-hant-tw",
    b"text/html",
    b"*/*",
    b"*",
    b";q=",
    b"; Q=0.5",
    b";q=0.500",
    b";q=1.0",
    b";q=0",
    b"0.001",
    b",",
    b";",
    b" ",
    b"\t",
    b"\"",
    b"\\\"",
    b"\n",
    b"\n\n",
    b"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q",
];

const FIELDS: [HeaderName; 4] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    HeaderName::from_static("x-any"),
];

/// The fields of two requests, an empty line between them.
pub(crate) fn check(input: &[u8]) {
    let [one, other] = blocks(input);
    let (one, other) = (fields(one), fields(other));
    for profile in PROFILES {
        for request in [&one, &other] {
            is_stable(request, profile);
            is_respelled(request, profile);
        }
        match_as_they_mean(&one, &other, profile);
        languages_select(&one, &other, profile);
    }
    guarded_tells_more_apart(&one, &other);
    let tag = content_language(&one);
    assert!(tag.is_none_or(|tag| !tag.is_empty() && !tag.contains(&b',')));
}

fn selecting(fields: &[HeaderName], request: &HeaderMap, profile: Profile) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_selecting(fields, request, profile, &mut bytes);
    bytes
}

/// What is written depends on nothing else, and is that of each field in turn.
fn is_stable(request: &HeaderMap, profile: Profile) {
    let whole = selecting(&FIELDS, request, profile);
    let mut after = b"before".to_vec();
    write_selecting(&FIELDS, request, profile, &mut after);
    assert_eq!(after.strip_prefix(b"before"), Some(&*whole));
    let each = FIELDS.map(|field| selecting(&[field], request, profile));
    assert_eq!(each.concat(), whole);
}

/// Case and blanks mean nothing in what parses, and blanks around a line nothing anywhere.
fn is_respelled(request: &HeaderMap, profile: Profile) {
    for field in &FIELDS {
        let before = selecting(std::slice::from_ref(field), request, profile);
        let same = |respelled: &HeaderMap| {
            before == selecting(std::slice::from_ref(field), respelled, profile)
        };
        assert!(same(&respelled(request, |line| {
            [b" \t", line, b" "].concat()
        })));
        let is_list = meaning(request, field).is_some();
        assert!(!is_list || same(&respelled(request, loud)), "{field}");
    }
}

fn respelled(request: &HeaderMap, spell: impl Fn(&[u8]) -> Vec<u8>) -> HeaderMap {
    request
        .iter()
        .map(|(name, value)| {
            let value = HeaderValue::from_maybe_shared(spell(value.as_bytes()));
            (
                name.clone(),
                value.expect("blanks and letters may be in it"),
            )
        })
        .collect()
}

fn loud(line: &[u8]) -> Vec<u8> {
    line.iter()
        .flat_map(|byte| match byte {
            b',' => b" ,, \t".to_vec(),
            b';' => b"\t; ".to_vec(),
            byte => vec![byte.to_ascii_uppercase()],
        })
        .collect()
}

fn match_as_they_mean(one: &HeaderMap, other: &HeaderMap, profile: Profile) {
    for field in [header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE] {
        let (Some(mut a), Some(mut b)) = (meaning(one, &field), meaning(other, &field)) else {
            continue;
        };
        if field == header::ACCEPT_ENCODING || profile == Profile::Standard {
            a.sort_unstable();
            b.sort_unstable();
        }
        for list in [&mut a, &mut b] {
            list.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
        }
        let fields = [field];
        let matches = selecting(&fields, one, profile) == selecting(&fields, other, profile);
        assert_eq!(matches, a == b, "{fields:?} {a:?} {b:?}");
    }
}

/// The members of a weighted list in lower case with their thousandths, read as simply as can be.
/// `None` for one that is absent, long, repeats itself or does not parse.
fn meaning(request: &HeaderMap, field: &HeaderName) -> Option<Vec<(String, u32)>> {
    let is_language = *field == header::ACCEPT_LANGUAGE;
    if !is_language && *field != header::ACCEPT_ENCODING || !request.contains_key(field) {
        return None;
    }
    let mut list: Vec<(String, u32)> = Vec::new();
    for line in request.get_all(field) {
        for member in line.to_str().ok()?.split(',') {
            let member = member.trim_matches(BLANKS);
            if member.is_empty() {
                continue;
            }
            let (name, weight) = member.split_once(';').unwrap_or((member, "q=1"));
            let name = name.trim_matches(BLANKS).to_ascii_lowercase();
            let weight = weight.trim_matches(BLANKS).to_ascii_lowercase();
            let plain = is_plain(&name, is_language);
            if !plain || list.iter().any(|(had, _)| *had == name) || list.len() == 16 {
                return None;
            }
            list.push((name, thousandths(weight.strip_prefix("q=")?)?));
        }
    }
    Some(list)
}

fn is_plain(name: &str, is_language: bool) -> bool {
    let is_part = |part: &str| {
        (1..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    if is_language {
        let first = name.split('-').next().unwrap_or_default();
        name == "*"
            || name.split('-').all(is_part) && first.chars().all(|c| c.is_ascii_alphabetic())
    } else {
        let is_token = |c: char| c.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(c);
        !name.is_empty() && name.chars().all(is_token)
    }
}

fn thousandths(value: &str) -> Option<u32> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let is_fraction = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction: u32 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" if is_fraction => Some(fraction),
        "1" if is_fraction && fraction == 0 => Some(1000),
        _ => None,
    }
}

fn languages_select(one: &HeaderMap, other: &HeaderMap, profile: Profile) {
    let selecting_language = |request: &HeaderMap, language: &[u8]| {
        let mut bytes = Vec::new();
        write_selecting_language(&FIELDS, request, profile, language, &mut bytes);
        bytes
    };
    let Some(preferred) = preferred_language(one) else {
        return;
    };
    let ranges = meaning(one, &header::ACCEPT_LANGUAGE).expect("it was read");
    let most = ranges.iter().map(|(_, weight)| *weight).max();
    let named: Vec<_> = ranges
        .iter()
        .filter(|(_, weight)| Some(*weight) == most)
        .map(|(name, _)| name.as_bytes())
        .collect();
    assert_eq!(named, [&*preferred.to_ascii_lowercase()]);
    assert!(most > Some(0) && preferred != b"*");
    let alias = selecting_language(one, preferred);
    assert_eq!(
        alias,
        selecting_language(one, &preferred.to_ascii_uppercase())
    );
    for request in [one, other] {
        assert_ne!(alias, selecting(&FIELDS, request, profile));
    }
    if let Some(preferred) = preferred_language(other) {
        let same = alias == selecting_language(other, preferred);
        let rest: Vec<_> = FIELDS
            .into_iter()
            .filter(|field| *field != header::ACCEPT_LANGUAGE)
            .collect();
        let rest_is_same = selecting(&rest, one, profile) == selecting(&rest, other, profile);
        assert_eq!(
            same,
            rest_is_same && named == [&*preferred.to_ascii_lowercase()]
        );
    }
}

fn guarded_tells_more_apart(one: &HeaderMap, other: &HeaderMap) {
    let matches = |field: &HeaderName, profile| {
        let field = std::slice::from_ref(field);
        selecting(field, one, profile) == selecting(field, other, profile)
    };
    for field in &FIELDS {
        let one_was_taken_away = *field == header::ACCEPT_ENCODING
            && (is_accept_encoding_malformed(one) || is_accept_encoding_malformed(other));
        let finer = !matches(field, Profile::Guarded) || matches(field, Profile::Standard);
        assert!(finer || one_was_taken_away, "{field}");
    }
}
