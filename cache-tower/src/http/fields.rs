//! Which fields of a response are stored (RFC 9111 §3.1), and how later ones replace them (§3.2).

use super::date;
use http::{HeaderMap, HeaderName, header};
use std::time::SystemTime;

/// What may be stored of a response's fields: those that are about this one connection, and those
/// that the response withholds, are left out. One without a date gets the date it came at (RFC 9110
/// §6.6.1).
pub fn storable(headers: &HeaderMap, withheld: &[HeaderName], received: SystemTime) -> HeaderMap {
    let mut headers = headers.clone();
    remove_hop_by_hop(&mut headers);
    remove_rate_limits(&mut headers);
    for name in withheld {
        headers.remove(name);
    }
    if !headers.contains_key(header::DATE) {
        headers.insert(header::DATE, date::format(received));
    }
    headers
}

/// The fields of a stored response, replaced by those of a later one for the same representation (RFC
/// 9111 §3.2): a 304, a response to HEAD, another part. What says how the stored body is framed and
/// coded stays as it is.
pub fn freshened(stored: &HeaderMap, update: &HeaderMap, received: SystemTime) -> HeaderMap {
    let mut update = update.clone();
    remove_hop_by_hop(&mut update);
    for name in [
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::CONTENT_RANGE,
    ] {
        update.remove(name);
    }
    let mut headers = stored.clone();
    // How old the stored one was is no matter any more; nor when it was made, where the later one says.
    headers.remove(header::AGE);
    headers.insert(header::DATE, date::format(received));
    for name in update.keys() {
        headers.remove(name);
        for line in update.get_all(name) {
            headers.append(name.clone(), line.clone());
        }
    }
    headers
}

/// RFC 9110 §7.6.1, and the fields that are about this hop's proxy (RFC 9111 §3.1).
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        header::PROXY_AUTHENTICATE,
        HeaderName::from_static("proxy-authentication-info"),
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
}

/// What is left of one client's quota tells another nothing.
fn remove_rate_limits(headers: &mut HeaderMap) {
    let is_rate_limit = |name: &HeaderName| {
        name.as_str().starts_with("ratelimit") || name.as_str().starts_with("x-ratelimit")
    };
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_rate_limit(name))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::time::Duration;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn lines(headers: &HeaderMap, name: &str) -> Vec<String> {
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        headers.get_all(name).iter().map(text).collect()
    }

    const NOON: Duration = Duration::from_secs(12 * 3600);

    fn noon() -> SystemTime {
        SystemTime::UNIX_EPOCH + NOON
    }

    #[test]
    fn fields_of_the_connection_and_withheld_ones_are_not_stored() {
        let headers = map(&[
            ("connection", "close, X-One"),
            ("x-one", "1"),
            ("keep-alive", "timeout=5"),
            ("x-private", "2"),
            ("ratelimit-remaining", "3"),
            ("x-kept", "4"),
        ]);
        let stored = storable(&headers, &[HeaderName::from_static("x-private")], noon());
        let mut names: Vec<_> = stored.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["date", "x-kept"]);
        assert_eq!(lines(&stored, "date"), ["Thu, 01 Jan 1970 12:00:00 GMT"]);
    }

    #[test]
    fn a_date_stays_as_it_came() {
        let stored = storable(&map(&[("date", "long ago")]), &[], noon());
        assert_eq!(lines(&stored, "date"), ["long ago"]);
    }

    #[test]
    fn later_fields_replace_all_lines_but_what_frames_the_body() {
        let stored = map(&[
            ("x-a", "1"),
            ("x-a", "2"),
            ("x-b", "old"),
            ("content-length", "5"),
            ("content-encoding", "gzip"),
            ("age", "50"),
            ("date", "Thu, 01 Jan 1970 10:00:00 GMT"),
        ]);
        let update = map(&[
            ("x-a", "3"),
            ("x-c", "4"),
            ("x-c", "5"),
            ("content-length", "0"),
            ("content-encoding", "br"),
            ("connection", "x-d"),
            ("x-d", "6"),
        ]);
        let merged = freshened(&stored, &update, noon());
        assert_eq!(lines(&merged, "x-a"), ["3"]);
        assert_eq!(lines(&merged, "x-b"), ["old"]);
        assert_eq!(lines(&merged, "x-c"), ["4", "5"]);
        assert_eq!(lines(&merged, "content-length"), ["5"]);
        assert_eq!(lines(&merged, "content-encoding"), ["gzip"]);
        assert_eq!(lines(&merged, "date"), ["Thu, 01 Jan 1970 12:00:00 GMT"]);
        assert!(!merged.contains_key("age") && !merged.contains_key("x-d"));
    }
}
