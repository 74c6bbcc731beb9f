//! The cache key of a request (RFC 9111 §2): what two requests must share to share a response.
//!
//! The key is the scheme, the authority, the raw path and the raw query of the URI the client sent,
//! each with its length before it, so that no value can imitate another's boundary. Nothing is
//! normalised but what has one meaning by RFC 3986 §6.2: the case of scheme and host, and the
//! default port. Then follow, each under a tag of its own, what only some requests have: fields that
//! name a forwarded host, scheme or path, fields the policy names, and a digest of the credentials
//! where the policy keeps them apart.
//!
//! GET and HEAD share a key; no other method is ever looked up or stored.

use super::{
    request::is_forwarding,
    text::{members, trim},
};
use crate::policy::{KeyPolicy, QueryKey};
use cache_core::Key;
use http::{HeaderMap, HeaderName, Uri, header};
use percent_encoding::percent_decode;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Longer keys are not looked up and nothing is stored under them.
pub const LONGEST_KEY: usize = 8 * 1024;

/// The first byte of each key. It names this encoding, so that another can be told from it.
const FORMAT: u8 = 1;

/// What follows the URI in a key.
mod tag {
    pub(super) const FORWARDED: u8 = 1;
    pub(super) const FIELD: u8 = 2;
    pub(super) const CREDENTIALS: u8 = 3;
}

/// The key of a request, while it is built in a borrowed buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyParts {
    /// How much of the key is the URI. A longer key belongs to one of several kinds of requests for
    /// that URI; an invalidation of the URI reaches them all.
    pub uri_length: usize,
}

/// Appends the key of a request to `bytes`, or nothing and `None` where it would be too long.
pub fn write_key(
    policy: &KeyPolicy,
    scheme: &str,
    uri: &Uri,
    headers: &HeaderMap,
    forwarded: bool,
    bytes: &mut Vec<u8>,
) -> Option<KeyParts> {
    let start = bytes.len();
    write_uri(policy, scheme, uri, headers, bytes);
    let uri_length = bytes.len() - start;
    if forwarded {
        write_forwarded(headers, bytes);
    }
    write_fields(policy, headers, bytes);
    if policy.per_credential {
        write_credentials(headers, bytes);
    }
    if bytes.len() - start > LONGEST_KEY {
        bytes.truncate(start);
        return None;
    }
    Some(KeyParts { uri_length })
}

/// The key of a URI by itself, for invalidation.
pub fn uri_key(policy: &KeyPolicy, scheme: &str, uri: &Uri, headers: &HeaderMap) -> Key {
    cache_core::key::scratch(|bytes| {
        write_uri(policy, scheme, uri, headers, bytes);
        Key::from(&**bytes)
    })
}

fn write_uri(
    policy: &KeyPolicy,
    scheme: &str,
    uri: &Uri,
    headers: &HeaderMap,
    bytes: &mut Vec<u8>,
) {
    let scheme = uri.scheme_str().unwrap_or(scheme);
    let authority = match uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => headers
            .get(header::HOST)
            .map_or(&[][..], |host| host.as_bytes()),
    };
    bytes.push(FORMAT);
    write_folded(scheme.as_bytes(), bytes);
    write_folded(without_default_port(scheme, authority), bytes);
    write(uri.path().as_bytes(), bytes);
    write_query(&policy.query, uri.query(), bytes);
}

/// RFC 3986 §6.2.3 and RFC 9110 §4.2.3.
pub(crate) fn without_default_port<'a>(scheme: &str, authority: &'a [u8]) -> &'a [u8] {
    let port: &[u8] = if scheme.eq_ignore_ascii_case("https") {
        b":443"
    } else {
        b":80"
    };
    authority.strip_suffix(port).unwrap_or(authority)
}

fn write(value: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
    bytes.extend_from_slice(value);
}

fn write_folded(value: &[u8], bytes: &mut Vec<u8>) {
    let at = bytes.len();
    write(value, bytes);
    // The length before it is binary and must stay as it is.
    if let Some(written) = bytes.get_mut(at + 4..) {
        written.make_ascii_lowercase();
    }
}

/// An absent query differs from an empty one; else the bytes are kept as they came.
fn write_query(rule: &QueryKey, query: Option<&str>, bytes: &mut Vec<u8>) {
    let Some(query) = query else {
        return bytes.push(0);
    };
    match rule {
        QueryKey::All => {
            bytes.push(1);
            write(query.as_bytes(), bytes);
        }
        QueryKey::Only(names) => write_pairs(query, bytes, |name| {
            names.iter().any(|kept| **kept == *name)
        }),
        QueryKey::Ignoring(names) => write_pairs(query, bytes, |name| {
            !names.iter().any(|ignored| ignored.matches(name))
        }),
    }
}

/// The pairs whose names `keeps`, as they came and in their order; none of them is as no query.
///
/// Names are compared decoded, as the handler reads them: otherwise `?p%61ge=2` would be keyed as if
/// it named no page, and answered as if it did.
fn write_pairs(query: &str, bytes: &mut Vec<u8>, keeps: impl Fn(&str) -> bool) {
    let mut kept = query.split('&').filter(|pair| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
        !pair.is_empty() && keeps(&decoded(name))
    });
    let Some(first) = kept.next() else {
        return bytes.push(0);
    };
    bytes.push(1);
    write(first.as_bytes(), bytes);
    for pair in kept {
        bytes.push(1);
        write(pair.as_bytes(), bytes);
    }
    bytes.push(0);
}

fn decoded(name: &str) -> Cow<'_, str> {
    if !name.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Cow::Borrowed(name);
    }
    let spaced = name.replace('+', " ");
    Cow::Owned(
        percent_decode(spaced.as_bytes())
            .decode_utf8_lossy()
            .into_owned(),
    )
}

fn write_forwarded(headers: &HeaderMap, bytes: &mut Vec<u8>) {
    for (name, value) in headers {
        if name.as_str() == "forwarded" {
            write_forwarded_line(value.as_bytes(), bytes);
        } else if is_forwarding(name.as_str()) {
            write_tagged(tag::FORWARDED, name, value.as_bytes(), bytes);
        }
    }
}

/// Of Forwarded (RFC 7239) only `host` and `proto`: `for` and `by` name the client and the proxies
/// and would keep every client apart. A line that does not parse counts whole.
fn write_forwarded_line(line: &[u8], bytes: &mut Vec<u8>) {
    let start = bytes.len();
    for element in members(line, b',') {
        for pair in element
            .into_iter()
            .flat_map(|element| members(element, b';'))
        {
            let name = pair
                .and_then(|pair| pair.split(|byte| *byte == b'=').next())
                .map(trim);
            let known = |name: &[u8], of: &[&str]| {
                of.iter()
                    .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
            };
            match (name, pair) {
                (Some(name), Some(pair)) if known(name, &["host", "proto"]) => {
                    write_tagged(tag::FORWARDED, &header::FORWARDED, pair, bytes);
                }
                (Some(name), Some(_)) if known(name, &["for", "by"]) => {}
                _ => return write_whole_line(start, line, bytes),
            }
        }
        if element.is_none() {
            return write_whole_line(start, line, bytes);
        }
    }
}

fn write_whole_line(start: usize, line: &[u8], bytes: &mut Vec<u8>) {
    bytes.truncate(start);
    write_tagged(tag::FORWARDED, &header::FORWARDED, line, bytes);
}

fn write_fields(policy: &KeyPolicy, headers: &HeaderMap, bytes: &mut Vec<u8>) {
    for name in &policy.fields {
        let is_credential = matches!(
            *name,
            header::AUTHORIZATION | header::COOKIE | header::PROXY_AUTHORIZATION
        );
        for value in headers.get_all(name) {
            if is_credential {
                let digest = Sha256::digest(value.as_bytes());
                write_tagged(tag::FIELD, name, &digest, bytes);
            } else {
                write_tagged(tag::FIELD, name, value.as_bytes(), bytes);
            }
        }
    }
}

fn write_tagged(tag: u8, name: &HeaderName, value: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(tag);
    write(name.as_str().as_bytes(), bytes);
    write(value, bytes);
}

/// A digest, because keys are compared, counted and may be shared, and credentials must not be.
fn write_credentials(headers: &HeaderMap, bytes: &mut Vec<u8>) {
    let mut digest = Sha256::new();
    for name in [header::AUTHORIZATION, header::COOKIE] {
        for value in headers.get_all(&name) {
            digest.update((name.as_str().len() as u64).to_be_bytes());
            digest.update(name.as_str());
            digest.update((value.len() as u64).to_be_bytes());
            digest.update(value.as_bytes());
        }
    }
    bytes.push(tag::CREDENTIALS);
    bytes.extend_from_slice(&digest.finalize());
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect()
    }

    fn key_under(policy: &KeyPolicy, uri: &str, lines: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_key(
            policy,
            "http",
            &uri.parse().unwrap(),
            &headers(lines),
            true,
            &mut bytes,
        )
        .unwrap();
        bytes
    }

    fn key(uri: &str, lines: &[(&str, &str)]) -> Vec<u8> {
        key_under(&KeyPolicy::default(), uri, lines)
    }

    #[test]
    fn key_01_the_authority_is_in_every_key() {
        assert_ne!(
            key("/", &[("host", "evil.test")]),
            key("/", &[("host", "good.test")])
        );
        assert_eq!(
            key("http://good.test/", &[]),
            key("/", &[("host", "good.test")])
        );
        assert_ne!(
            key("https://good.test/", &[]),
            key("http://good.test/", &[])
        );
    }

    #[test]
    fn key_04_host_spellings_that_mean_the_same_share_a_key() {
        let plain = key("/", &[("host", "example.test")]);
        assert_eq!(plain, key("/", &[("host", "EXAMPLE.test")]));
        assert_eq!(plain, key("/", &[("host", "example.test:80")]));
        for other in [
            "example.test.",
            "example.test:8080",
            "example.test:443",
            "",
            "example.test:",
        ] {
            assert_ne!(plain, key("/", &[("host", other)]), "{other}");
        }
    }

    #[test]
    fn key_06_fields_that_name_a_host_or_scheme_are_in_the_key() {
        let plain = key("/", &[]);
        for name in [
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-protocol",
            "x-forwarded-scheme",
            "x-forwarded-server",
            "x-forwarded-port",
            "x-forwarded-prefix",
            "x-forwarded-path",
            "x-forwarded-uri",
            "x-forwarded-ssl",
            "x-host",
            "x-original-host",
            "x-original-url",
            "x-original-uri",
            "x-rewrite-url",
            "x-http-host-override",
            "x-url-scheme",
            "front-end-https",
        ] {
            assert_ne!(plain, key("/", &[(name, "evil")]), "{name}");
            assert_ne!(
                key("/", &[(name, "good")]),
                key("/", &[(name, "evil")]),
                "{name}"
            );
        }
        for name in ["x-forwarded-for", "via", "x-real-ip", "user-agent"] {
            assert_eq!(plain, key("/", &[(name, "1.2.3.4")]), "{name}");
        }
        assert_eq!(plain, key("/", &[("forwarded", "for=1.2.3.4;by=a, for=b")]));
        assert_eq!(
            key("/", &[("forwarded", "host=a")]),
            key("/", &[("forwarded", "for=x; host=a;by=y")])
        );
        assert_ne!(plain, key("/", &[("forwarded", "for=x;Host=\"evil;a,b\"")]));
        assert_ne!(
            plain,
            key("/", &[("forwarded", "host=\"evil")]),
            "what does not parse counts whole"
        );
        assert_ne!(plain, key("/", &[("forwarded", "proto")]));
    }

    #[test]
    fn key_09_the_query_is_kept_to_the_byte() {
        let spellings = [
            "/",
            "/?",
            "/?a",
            "/?a=",
            "/?a=1",
            "/?a=1&b=2",
            "/?b=2&a=1",
            "/?a=1&a=1",
            "/?a=%31",
            "/?a=1&",
        ];
        for (n, a) in spellings.iter().enumerate() {
            for (m, b) in spellings.iter().enumerate() {
                assert_eq!(n == m, key(a, &[]) == key(b, &[]), "{a} and {b}");
            }
        }
    }

    #[test]
    fn key_16_paths_are_not_normalised() {
        let paths = [
            "/b",
            "//b",
            "/a/../b",
            "/./b",
            "/b/.",
            "/%2e%2e/b",
            "/%62",
            "/B",
            "/b/",
        ];
        let keys: std::collections::HashSet<_> = paths.iter().map(|path| key(path, &[])).collect();
        assert_eq!(keys.len(), paths.len());
    }

    #[test]
    fn key_18_a_key_that_would_be_too_long_is_none() {
        let uri: Uri = format!("/{}", "a".repeat(LONGEST_KEY)).parse().unwrap();
        let mut bytes = vec![7];
        assert_eq!(
            write_key(
                &KeyPolicy::default(),
                "http",
                &uri,
                &HeaderMap::new(),
                false,
                &mut bytes
            ),
            None
        );
        assert_eq!(bytes, [7]);
    }

    #[test]
    fn a_policy_may_leave_out_parts_of_the_query() {
        let only = KeyPolicy {
            query: QueryKey::only(["page"]),
            ..KeyPolicy::default()
        };
        assert_eq!(
            key_under(&only, "/p?page=2&utm=x", &[]),
            key_under(&only, "/p?utm=y&page=2", &[])
        );
        assert_ne!(
            key_under(&only, "/p?page=2", &[]),
            key_under(&only, "/p?p%61ge=3", &[])
        );
        assert_ne!(
            key_under(&only, "/p", &[]),
            key_under(&only, "/p?p%61ge=3", &[]),
            "names are decoded"
        );
        assert_ne!(
            key_under(&only, "/p?page=1&page=2", &[]),
            key_under(&only, "/p?page=2&page=1", &[])
        );
        let ignoring = KeyPolicy {
            query: QueryKey::ignoring(["utm_*", "ref"]),
            ..KeyPolicy::default()
        };
        assert_eq!(
            key_under(&ignoring, "/p?utm_a=1&x=2&ref=3", &[]),
            key_under(&ignoring, "/p?x=2", &[])
        );
        assert_ne!(
            key_under(&ignoring, "/p?x=2&refer=3", &[]),
            key_under(&ignoring, "/p?x=2", &[])
        );
    }

    #[test]
    fn credentials_are_in_the_key_as_a_digest_only() {
        let policy = KeyPolicy {
            per_credential: true,
            ..KeyPolicy::default()
        };
        let alice = key_under(&policy, "/", &[("cookie", "sid=alice-secret")]);
        assert_ne!(alice, key_under(&policy, "/", &[("cookie", "sid=bob")]));
        assert_ne!(
            alice,
            key_under(&policy, "/", &[("authorization", "sid=alice-secret")])
        );
        assert!(!alice.windows(12).any(|bytes| bytes == b"alice-secret"));
    }

    fn dense() -> impl Strategy<Value = String> {
        proptest::string::string_regex("[a/:?&=%.1]{0,5}").unwrap()
    }

    fn requests() -> impl Strategy<Value = (String, Option<String>, String, Vec<(bool, String)>)> {
        (
            dense(),
            proptest::option::of(dense()),
            dense(),
            proptest::collection::vec((any::<bool>(), dense()), 0..3),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn key_11_different_requests_have_different_keys(a in requests(), b in requests()) {
            let key_of = |(path, query, host, forwarded): &(String, Option<String>, String, Vec<(bool, String)>)| {
                let path = path.replace('?', "!");
                let uri = query.as_ref().map_or(format!("/{path}"), |query| format!("/{path}?{query}"));
                let mut lines = vec![("host", host.as_str())];
                for (which, value) in forwarded {
                    lines.push((if *which { "x-host" } else { "x-forwarded-host" }, value));
                }
                // Fields are read by name, so only the order within a name distinguishes requests.
                let mut apart: Vec<_> = forwarded.clone();
                apart.sort_by_key(|(which, _)| *which);
                let first_is = forwarded.first().map(|(which, _)| *which);
                let host = host.strip_suffix(":80").unwrap_or(host).to_owned();
                (key(&uri, &lines), (path, query.clone(), host, apart, first_is))
            };
            let ((key_a, meaning_a), (key_b, meaning_b)) = (key_of(&a), key_of(&b));
            prop_assert_eq!(meaning_a == meaning_b, key_a == key_b);
        }
    }
}
