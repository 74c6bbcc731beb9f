//! What may be shown of values: nobody's password.

use std::net::Ipv6Addr;

/// Scheme and host of a URL, and no more of it than can be no secret: where it is not certain what is
/// the host, as with a password that holds a `/` or an `@`, the scheme alone.
pub(crate) fn url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return HIDDEN.to_owned();
    };
    if !is_scheme(scheme) {
        return HIDDEN.to_owned();
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    if behind.contains('@') || behind.contains("%40") || !host.split(',').all(is_host) {
        return format!("{scheme}://{HIDDEN}");
    }
    format!("{scheme}://{host}")
}

/// What stands in place of what is not shown.
const HIDDEN: &str = "(hidden)";

/// Only schemes that have a meaning here: anything else may be a part of a secret.
fn is_scheme(text: &str) -> bool {
    let known = ["redis", "rediss", "valkey", "valkeys", "unix"];
    let mut parts = text.split(['+', '-']);
    let family = parts.next().is_some_and(|family| known.contains(&family));
    family
        && text.len() <= 32
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b"+-".contains(&b))
}

/// A name or an address, and a port that is a number.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (text, ""),
    };
    // What is no port may be a password that no host follows.
    let is_port = port.is_empty() || port.parse::<u16>().is_ok();
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_name = !name.is_empty() && name.bytes().all(in_name);
    is_port && (is_name || is_bracketed_address(name))
}

fn is_bracketed_address(text: &str) -> bool {
    let address = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// A wrong value, as an error may show it: not what looks like a URL or an address with a password,
/// nothing that is not printed plainly, and no more than says what it was. For the variables of a service
/// that reads some of its own, where the URL of a server may land by mistake.
pub fn value(text: &str) -> String {
    const MOST: usize = 48;
    if is_suspect(text) {
        return url(text);
    }
    let mut shown: String = text
        .chars()
        .take(MOST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether it looks like a URL, or an address with a password: also like a part of one, and percent-encoded,
/// were it more than once.
pub(crate) fn is_suspect(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let begins_as_url = text.split_once(':').is_some_and(|(it, _)| is_scheme(it));
    let signs = ["//", "@", "%40", "%3a", "%25"];
    begins_as_url || signs.iter().any(|sign| text.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_01_a_url_is_shown_by_scheme_and_host_only() {
        for (text, shown) in [
            (
                "redis://cache.internal:6379/0",
                "redis://cache.internal:6379",
            ),
            ("redis://:canary@localhost", "redis://localhost"),
            (
                "rediss://user:canary@[::1]:6380/2?x=canary",
                "rediss://[::1]:6380",
            ),
            (
                "redis+cluster://a:canary@h1:7000,h2:7001",
                "redis+cluster://h1:7000,h2:7001",
            ),
            // Whose are the slashes and the signs here?
            ("redis://user:can/ary@host", "redis://(hidden)"),
            ("redis://user:can#ary@host", "redis://(hidden)"),
            ("redis://user:can@ary@host", "redis://host"),
            ("redis://host/0?auth=canary@x", "redis://(hidden)"),
            ("redis://user:canary", "redis://(hidden)"),
            ("redis://user:99887766", "redis://(hidden)"),
            ("redis://user:@canary/%40host", "redis://(hidden)"),
            ("redis://[user:canary%40host]", "redis://(hidden)"),
            ("redis://", "redis://(hidden)"),
            ("unix:///run/redis.sock?pass=canary", "unix://(hidden)"),
            ("canary", "(hidden)"),
            ("canary://host", "(hidden)"),
            ("user:canary@host", "(hidden)"),
        ] {
            assert_eq!(url(text), shown, "{text}");
            assert!(!url(text).contains("canary"), "{text}");
        }
    }

    #[test]
    fn sec_01_a_wrong_value_is_shown_unless_it_may_hold_a_secret() {
        assert_eq!(value("banana"), "banana");
        assert_eq!(value("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(value("redis://:canary@host/0"), "redis://host");
        assert_eq!(value("user:canary@host"), "(hidden)");
        for text in [
            "redis%3A%2F%2Fuser%3Acanary%40host",
            "redis%253a%252f%252f:canary",
            "user%3acanary",
            "canary%40host",
            "redis:canary",
            "rediss:/user:canary",
            "REDIS:canary",
            "redis//user:canary",
        ] {
            assert_eq!(value(text), "(hidden)", "{text}");
        }
        assert_eq!(value("/a%2Fb off; 50%"), "/a%2Fb off; 50%");
        let long = "é".repeat(1000);
        assert_eq!(value(&long).chars().count(), 49);
    }
}
