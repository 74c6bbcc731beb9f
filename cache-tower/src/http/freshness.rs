//! How long a response is fresh, and how old it is (RFC 9111 §4.2).

use super::response::{Expires, ResponseFacts};
use cache_core::policy::days;
use http::StatusCode;
use std::time::{Duration, SystemTime};

/// The lifetime a response gives itself (RFC 9111 §4.2.1); the first rule that applies decides.
pub fn explicit_lifetime(response: &ResponseFacts, received: SystemTime) -> Option<Duration> {
    let directives = &response.directives;
    let from_expires = || match response.expires {
        Expires::Absent => None,
        Expires::Past => Some(Duration::ZERO),
        Expires::At(expires) => {
            let date = response.date.unwrap_or(received);
            Some(expires.duration_since(date).unwrap_or(Duration::ZERO))
        }
    };
    directives
        .s_maxage
        .or(directives.max_age)
        .or_else(from_expires)
}

/// A heuristic lifetime is a week at most.
pub const LONGEST_HEURISTIC: Duration = days(7);

/// A tenth of the time that the response had not changed for when it was made (RFC 9111 §4.2.2), for a
/// status that is heuristically cacheable (RFC 9110 §15.1), or any by `public`.
pub fn heuristic_lifetime(response: &ResponseFacts, received: SystemTime) -> Option<Duration> {
    let may = response.directives.public || is_heuristically_cacheable(response.status);
    let modified = response.last_modified.filter(|_| may)?;
    let unchanged = response
        .date
        .unwrap_or(received)
        .duration_since(modified)
        .ok()?;
    Some((unchanged / 10).min(LONGEST_HEURISTIC))
}

/// RFC 9110 §15.1.
pub fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// How old a response was when it was received (RFC 9111 §4.2.3, `corrected_initial_age`).
///
/// `delay` is the time between the request and the response.
pub fn initial_age(response: &ResponseFacts, received: SystemTime, delay: Duration) -> Duration {
    let apparent = response
        .date
        .and_then(|date| received.duration_since(date).ok())
        .unwrap_or(Duration::ZERO);
    let corrected = response.age.saturating_add(delay);
    apparent.max(corrected)
}

#[cfg(test)]
mod tests {
    use super::{super::response::Reading, *};
    use crate::policy::Profile;
    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn facts(lines: &[(&'static str, &str)]) -> ResponseFacts {
        let headers: HeaderMap = lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect();
        ResponseFacts::read(StatusCode::OK, &headers, reading(Profile::Guarded))
    }

    fn reading(profile: Profile) -> Reading<'static> {
        Reading {
            profile,
            targets: &[],
            received: at(0),
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const NOON: &str = "Thu, 01 Jan 1970 12:00:00 GMT";
    const ONE: &str = "Thu, 01 Jan 1970 13:00:00 GMT";

    #[test]
    fn the_first_of_s_maxage_max_age_and_expires_decides() {
        let lifetime = |lines: &[(&'static str, &str)]| {
            explicit_lifetime(&facts(lines), at(0)).map(|l| l.as_secs())
        };
        let all = [
            ("cache-control", "max-age=2, s-maxage=1"),
            ("expires", ONE),
            ("date", NOON),
        ];
        assert_eq!(lifetime(&all), Some(1));
        assert_eq!(
            lifetime(&[
                ("cache-control", "max-age=2"),
                ("expires", ONE),
                ("date", NOON)
            ]),
            Some(2)
        );
        assert_eq!(lifetime(&[("expires", ONE), ("date", NOON)]), Some(3600));
        assert_eq!(
            lifetime(&[("expires", ONE)]),
            Some(13 * 3600),
            "since it was received"
        );
        assert_eq!(lifetime(&[("date", NOON)]), None);
    }

    #[test]
    fn sto_15_zero_lifetimes_are_zero() {
        for lines in [
            [("cache-control", "max-age=0"), ("date", NOON)],
            [("cache-control", "s-maxage=0, max-age=60"), ("date", NOON)],
            [("expires", "0"), ("date", NOON)],
            [("expires", NOON), ("date", ONE)],
            [("expires", "Thu, 32 Jan 1970 12:00:00 GMT"), ("date", NOON)],
        ] {
            assert_eq!(
                explicit_lifetime(&facts(&lines), at(0)),
                Some(Duration::ZERO),
                "{lines:?}"
            );
        }
        let twice = facts(&[("expires", ONE), ("expires", NOON), ("date", NOON)]);
        assert_eq!(explicit_lifetime(&twice, at(0)), Some(Duration::ZERO));
    }

    #[test]
    fn a_heuristic_lifetime_is_a_tenth_of_the_time_since_the_last_change() {
        let heuristic = |status: u16, lines: &[(&'static str, &str)]| {
            let mut facts = facts(lines);
            facts.status = StatusCode::from_u16(status).unwrap();
            heuristic_lifetime(&facts, at(13 * 3600)).map(|lifetime| lifetime.as_secs())
        };
        let dated = [("last-modified", NOON), ("date", ONE)];
        assert_eq!(heuristic(200, &dated), Some(360));
        assert_eq!(heuristic(410, &dated), Some(360));
        assert_eq!(heuristic(302, &dated), None);
        let public = [dated[0], dated[1], ("cache-control", "public")];
        assert_eq!(heuristic(302, &public), Some(360));
        assert_eq!(
            heuristic(200, &dated[..1]),
            Some(360),
            "since it was received"
        );
        assert_eq!(
            heuristic(200, &[("last-modified", ONE), ("date", NOON)]),
            None
        );
        assert_eq!(
            heuristic(200, &[("last-modified", "yesterday"), ("date", ONE)]),
            None
        );
        let old = [
            ("last-modified", "Sun, 01 Jan 1950 00:00:00 GMT"),
            ("date", ONE),
        ];
        assert_eq!(heuristic(200, &old), Some(7 * 24 * 3600));
    }

    #[test]
    fn sto_12_an_age_that_overflows_saturates() {
        let old = facts(&[("age", "18446744073709551615")]);
        assert_eq!(initial_age(&old, at(0), Duration::MAX), Duration::MAX);
        assert_eq!(
            initial_age(&old, at(0), Duration::ZERO),
            Duration::from_secs(1 << 31)
        );
        for ignored in ["-5", "5.5", "", "x", "\"5\""] {
            assert_eq!(
                initial_age(&facts(&[("age", ignored)]), at(0), Duration::ZERO),
                Duration::ZERO,
                "{ignored}"
            );
        }
        assert_eq!(
            initial_age(&facts(&[("age", "7, 9")]), at(0), Duration::ZERO),
            Duration::from_secs(7)
        );
    }

    #[test]
    fn the_age_is_the_greater_of_apparent_and_corrected() {
        let response = facts(&[("age", "10"), ("date", NOON)]);
        let noon = 12 * 3600;
        assert_eq!(
            initial_age(&response, at(noon + 60), Duration::from_secs(2)).as_secs(),
            60
        );
        assert_eq!(
            initial_age(&response, at(noon + 3), Duration::from_secs(2)).as_secs(),
            12
        );
        assert_eq!(
            initial_age(&response, at(noon - 500), Duration::ZERO).as_secs(),
            10,
            "a date ahead of ours"
        );
    }

    proptest! {
        #[test]
        fn ages_and_lifetimes_never_panic_and_stay_in_range(
            age in any::<u64>(), max_age in any::<u64>(), received in 0..1u64 << 40, delay in any::<u64>(), date in 0..1u64 << 36,
        ) {
            let date = httpdate::fmt_http_date(at(date % (253_402_300_799)));
            let response = facts(&[
                ("age", &age.to_string()), ("cache-control", &format!("max-age={max_age}")), ("date", &date), ("expires", &date),
            ]);
            let lifetime = explicit_lifetime(&response, at(received)).unwrap();
            prop_assert_eq!(lifetime, Duration::from_secs(max_age.min(1 << 31)));
            let initial = initial_age(&response, at(received), Duration::from_secs(delay));
            prop_assert!(initial >= Duration::from_secs(age.min(1 << 31)).min(initial));
        }
    }
}
