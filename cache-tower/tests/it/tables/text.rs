//! From text to what the rules take.

use cache_tower::{Policy, Profile};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::{Duration, SystemTime};

/// When every row takes place: the example of RFC 9110 §5.6.7, Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: u64 = 784_111_777;

pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + seconds(NOW)
}

pub(super) fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// `text` with a date for each `{now}`, `{now+SECONDS}` and `{now-SECONDS}`.
pub(super) fn dated(text: &str) -> String {
    let mut pieces = text.split("{now");
    let mut dated = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (offset, rest) = piece.split_once('}').expect("a brace that closes");
        let offset = match offset {
            "" => 0,
            offset => offset.parse().expect("a sign and a number of seconds"),
        };
        let at = NOW.checked_add_signed(offset).expect("a time after 1970");
        dated += &httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + seconds(at));
        dated += rest;
    }
    dated
}

/// The fields of lines as they stand in a message.
pub(super) fn fields(lines: &[String]) -> HeaderMap {
    let field = |line: &String| {
        let (name, value) = line.split_once(':').expect("a name, a colon and a value");
        let value = value.strip_prefix(' ').unwrap_or(value);
        (
            name.parse::<HeaderName>().expect("a name"),
            HeaderValue::from_bytes(value.as_bytes()).expect("a value"),
        )
    };
    lines.iter().map(field).collect()
}

/// The lines of fields, in order of their names; the lines of one name as they are.
pub(super) fn lines(fields: &HeaderMap) -> String {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut lines: Vec<(&str, String)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), text(value)))
        .collect();
    lines.sort_by_key(|(name, _)| *name);
    let lines: Vec<String> = lines
        .into_iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.join("\n")
}

pub(super) fn names(names: &[String]) -> Vec<HeaderName> {
    let name = |name: &String| name.parse().expect("a name");
    names.iter().map(name).collect()
}

/// A policy of its settings in words, as `ttl 60`; those that say where lifetimes come from stand first.
pub(super) fn policy(settings: &[String], profile: Profile) -> Policy {
    let policy = Policy::from_headers();
    settings.iter().fold(policy, set).profile(profile)
}

fn set(policy: Policy, setting: &String) -> Policy {
    let (name, number) = setting.split_once(' ').unwrap_or((setting, "0"));
    let span = seconds(number.parse().expect("a number of seconds"));
    match name {
        "ttl" => Policy::ttl(span),
        "override-ttl" => Policy::override_ttl(span),
        "off" => Policy::off(),
        "stale-while-revalidate" => policy.stale_while_revalidate(span),
        "stale-if-error" => policy.stale_if_error(span),
        "max-stale" => policy.max_stale(span),
        "per-credential" => policy.per_credential(),
        "ignore-credentials" => policy.ignore_credentials(),
        "ignore-client-directives" => policy.ignore_client_directives(),
        _ => panic!("`{setting}` is no setting"),
    }
}
