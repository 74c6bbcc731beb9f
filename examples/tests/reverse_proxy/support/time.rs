//! Dates near now, and waiting.

use super::LIMIT;
use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

/// The date so many seconds from now, in the preferred format (RFC 9110 §5.6.7).
pub(crate) fn http_date(seconds: i64) -> String {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    let then = if seconds < 0 {
        now - distance
    } else {
        now + distance
    };
    httpdate::fmt_http_date(then)
}

/// `text` with dates for what is in braces: `{-100}` is a hundred seconds ago, and `{rfc850+60}` and
/// `{asctime+60}` are a minute ahead in the obsolete formats. Other braces stay.
pub(crate) fn with_dates(text: &str) -> String {
    let mut parts = text.split('{');
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part
            .split_once('}')
            .and_then(|(inner, rest)| Some((date(inner)?, rest)))
        {
            Some((date, rest)) => result.extend([&date, rest]),
            None => result.extend(["{", part]),
        }
    }
    result
}

fn date(inner: &str) -> Option<String> {
    let (format, seconds) = inner.split_at(inner.find(['+', '-'])?);
    let date = http_date(seconds.parse().ok()?);
    match format {
        "" => Some(date),
        "rfc850" => Some(rfc850(&date)),
        "asctime" => Some(asctime(&date)),
        _ => None,
    }
}

/// `Sunday, 06-Nov-94 08:49:37 GMT` of `Sun, 06 Nov 1994 08:49:37 GMT`.
fn rfc850(date: &str) -> String {
    let [weekday, day, month, year, time] = words(date);
    let weekday = match weekday {
        "Tue," => "Tuesday".to_owned(),
        "Wed," => "Wednesday".to_owned(),
        "Thu," => "Thursday".to_owned(),
        "Sat," => "Saturday".to_owned(),
        other => format!("{}day", &other[..3]),
    };
    format!("{weekday}, {day}-{month}-{} {time} GMT", &year[2..])
}

/// `Sun Nov  6 08:49:37 1994` of the same.
fn asctime(date: &str) -> String {
    let [weekday, day, month, year, time] = words(date);
    let day: u8 = day.parse().expect("a day is a number");
    format!("{} {month} {day:>2} {time} {year}", &weekday[..3])
}

fn words(date: &str) -> [&str; 5] {
    let words: Vec<_> = date.split(' ').take(5).collect();
    words.try_into().expect("a date has these parts")
}

/// Whether something that the proxy does by itself comes about in time.
pub(crate) fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        if holds() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn dates_have_three_formats() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(rfc850(date), "Sunday, 06-Nov-94 08:49:37 GMT");
    assert_eq!(asctime(date), "Sun Nov  6 08:49:37 1994");
    assert_eq!(with_dates("a {b} {c"), "a {b} {c");
    assert!(with_dates("x: {-100}, {asctime+5}.").ends_with('.'));
}
