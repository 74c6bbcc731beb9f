//! What the two read differently, and why.

use super::case::{Case, DAY, When};

/// What the two read differently.
pub(super) struct Class {
    pub(super) name: &'static str,
    /// Why ours is right, and by which section.
    pub(super) reason: &'static str,
    /// Makes of it what both read alike: what it means to us, in words that they know.
    pub(super) repair: fn(&mut Case),
}

pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "a status they do not know",
        reason: "RFC 9111 §3 demands that of 206, 304 and must-understand alone; RFC 7234 did of all",
        repair: |case| {
            if [201, 403, 500].contains(&case.status) {
                case.status = 302;
            }
        },
    },
    Class {
        name: "must-understand",
        reason: "RFC 9111 §5.2.2.3: it lifts no-store where the status is understood",
        repair: |case| {
            if case.directives.contains(&"must-understand") {
                case.replace("must-understand", None);
                case.replace("no-store", None);
                case.replace("No-Store", None);
            }
        },
    },
    Class {
        name: "letters in upper case",
        reason: "RFC 9111 §5.2: directives are compared case-insensitively",
        repair: |case| {
            case.replace("No-Store", Some("no-store"));
            case.replace("MAX-AGE=60", Some("max-age=60"));
            case.replace("Public", Some("public"));
        },
    },
    Class {
        name: "private with fields",
        reason: "RFC 9111 §5.2.2.7: the rest may be stored",
        repair: |case| case.replace("private=\"x-a\"", None),
    },
    Class {
        name: "no-cache with fields",
        reason: "RFC 9111 §5.2.2.4: the rest may be reused",
        repair: |case| case.replace("no-cache=\"x-a\"", None),
    },
    Class {
        name: "a comma within quotes",
        reason: "RFC 9110 §5.6.4: it is part of the quoted string",
        repair: |case| case.replace("x-ext=\"a, no-store, b\"", None),
    },
    Class {
        name: "quotes that do not close",
        reason: "RFC 9111 §5.2 has no such field, and what follows may have forbidden to store it",
        repair: |case| case.replace("x-ext=\"open", Some("no-store")),
    },
    Class {
        name: "blanks around an equals sign",
        reason: "RFC 9111 §5.2 allows none, and §4.2.1 encourages to take what is invalid as stale",
        repair: |case| case.replace("max-age = 60", Some("max-age=0")),
    },
    Class {
        name: "a lifetime without a number",
        reason: "RFC 9111 §4.2.1 encourages to take what is invalid as stale; they take Expires",
        repair: |case| {
            case.replace("max-age", Some("max-age=0"));
            case.replace("s-maxage", Some("s-maxage=0"));
        },
    },
    Class {
        name: "a lifetime with a sign",
        reason: "RFC 9111 §1.2.2: delta-seconds are digits",
        repair: |case| case.replace("max-age=+60", Some("max-age=0")),
    },
    Class {
        name: "a lifetime of more than a year",
        reason: "RFC 9111 §1.2.2: what overflows is the greatest there is, and ours is a year",
        repair: |case| {
            let a_year = Some("max-age=31536000");
            case.replace("max-age=2147483648", a_year);
            case.replace("max-age=99999999999999999999", a_year);
        },
    },
    Class {
        name: "proxy-revalidate",
        reason: "RFC 9111 §5.2.2.8: it is about what is stale",
        repair: |case| case.replace("proxy-revalidate", None),
    },
    Class {
        name: "a directive that stands twice",
        reason: "RFC 9111 §4.2.1: the first counts; they add must-revalidate, which is consent by §3.5",
        repair: |case| {
            let mut names = Vec::new();
            case.directives.retain(|directive| {
                let name = directive.split('=').next();
                let is_first = !names.contains(&name);
                names.push(name);
                is_first
            });
        },
    },
    Class {
        name: "Set-Cookie",
        reason: "RFC 9111 §7.3: it does not inhibit caching",
        repair: |case| case.set_cookie = false,
    },
    Class {
        name: "Pragma",
        reason: "RFC 9111 §5.4: in responses it means nothing",
        repair: |case| case.pragma = false,
    },
    Class {
        name: "Vary by everything",
        reason: "RFC 9111 §4.1: it never matches, so we do not store it and they let it have no lifetime",
        repair: |case| {
            if std::mem::take(&mut case.varies_by_all) {
                case.directives = vec!["no-store"];
            }
        },
    },
    Class {
        name: "the obsolete forms of a date",
        reason: "RFC 9110 §5.6.7: a recipient MUST accept all three",
        repair: |case| {
            for when in [&mut case.date, &mut case.expires, &mut case.last_modified] {
                *when = when.map(|when| when.ahead().map_or(when, When::Fixdate));
            }
        },
    },
    Class {
        name: "a date in another zone",
        reason: "RFC 9111 §4.2: it SHOULD be considered invalid",
        repair: |case| {
            for when in [&mut case.date, &mut case.expires, &mut case.last_modified] {
                if matches!(when, Some(When::Zoned(_))) {
                    *when = Some(When::Junk);
                }
            }
        },
    },
    Class {
        name: "a heuristic lifetime of more than a week",
        reason: "RFC 9111 §4.2.2 leaves it to the cache",
        repair: |case| {
            let made = case.date.and_then(When::ahead).unwrap_or(0);
            let earliest = made - 70 * DAY;
            if let Some(When::Fixdate(at)) = &mut case.last_modified {
                *at = earliest.max(*at);
            }
        },
    },
    Class {
        name: "a list of ages",
        reason: "RFC 9111 §5.1: the first member counts",
        repair: |case| {
            if let Some((first, _)) = case.age.as_deref().and_then(|age| age.split_once(", ")) {
                case.age = Some(first.to_owned());
            }
        },
    },
    Class {
        name: "an age with a sign",
        reason: "RFC 9111 §5.1: what is no number SHOULD be ignored",
        repair: |case| case.age = case.age.take().filter(|age| !age.starts_with('+')),
    },
    Class {
        name: "an age that overflows",
        reason: "RFC 9111 §1.2.2: it is 2147483648, where they ignore it",
        repair: |case| {
            if case.age.as_deref() == Some("99999999999999999999") {
                case.age = Some("2147483648".to_owned());
            }
        },
    },
    Class {
        name: "a Date in the past",
        reason: "RFC 9111 §4.2.3: it is the apparent age, of which the greater counts",
        repair: |case| {
            let said = case.age.as_deref().and_then(|age| age.parse().ok());
            let apparent = case.date.and_then(When::ahead).map_or(0, |at| -at);
            if apparent > said.unwrap_or(0) {
                case.age = Some(apparent.to_string());
            }
        },
    },
];
