//! HTTP-date (RFC 9110 §5.6.7): the three forms in which dates are sent, and the one we send.
//!
//! Exact to the grammar but for letters, which a cache matches in any case (RFC 9111 §4.2). A date
//! in another zone than GMT is none. The name of the day has to be one, but not the right one: a
//! sender that gets it wrong still means the date.

use super::text;
use http::HeaderValue;
use std::time::{Duration, SystemTime};

/// How far ahead a year of two digits may lie (RFC 9110 §5.6.7).
const YEARS_AHEAD: i64 = 50;

/// 9999-12-31 23:59:59, the last date of four-digit year, in seconds since 1970.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// The date that `value` is, in any of the three forms; blanks around it do not count.
///
/// Years are 0001 to 9999. Second 60, a leap second, is the start of the next minute. `now` is what
/// the two-digit year of an RFC 850 date is near to: it means the latest year with these digits
/// that lies at most 50 years ahead. `None` for anything that is no date, and for a date that
/// [`SystemTime`] cannot hold.
pub fn parse(value: &[u8], now: SystemTime) -> Option<SystemTime> {
    let text = Text(text::trim(value));
    text.imf_fixdate()
        .or_else(|| text.rfc850_date(now))
        .or_else(|| text.asctime_date())
        .filter(Date::is_real)
        .and_then(|date| system_time(date.seconds()))
}

/// `at` as an IMF-fixdate, without its fraction of a second.
///
/// What the form cannot express is sent as the nearest it can: 1970-01-01 for anything earlier,
/// the last second of the year 9999 for anything later.
pub fn format(at: SystemTime) -> HeaderValue {
    let at = at.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LAST);
    HeaderValue::try_from(httpdate::fmt_http_date(at)).expect("an IMF-fixdate is printable ASCII")
}

/// A date and time as written, in UTC.
#[derive(Clone, Copy)]
struct Date {
    year: i64,
    /// How many months of the year are over.
    month: usize,
    day: i64,
    second_of_day: i64,
}

const DAY_NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const LONG_DAY_NAMES: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Their days, in a year that is no leap year.
const MONTH_LENGTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// The days from the first of the year 1 to that of 1970.
const DAYS_TO_EPOCH: i64 = 719_162;

const SECONDS_OF_DAY: i64 = 24 * 60 * 60;

impl Date {
    fn is_real(&self) -> bool {
        (1..=9999).contains(&self.year) && (1..=self.days_of_month()).contains(&self.day)
    }

    fn days_of_month(&self) -> i64 {
        let days = MONTH_LENGTHS.get(self.month).copied().unwrap_or(0);
        days + i64::from(self.month == 1 && self.is_leap_year())
    }

    fn is_leap_year(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    /// Since 1970.
    fn seconds(&self) -> i64 {
        let days = days_before_year(self.year) + self.days_before() - DAYS_TO_EPOCH;
        days * SECONDS_OF_DAY + self.second_of_day
    }

    /// The days of the year that are over.
    fn days_before(&self) -> i64 {
        let months: i64 = MONTH_LENGTHS.iter().take(self.month).sum();
        months + i64::from(self.month > 1 && self.is_leap_year()) + self.day - 1
    }

    /// With the latest year that ends in `digits` and is not too far ahead of `now`.
    fn with_short_year(self, digits: i64, now: SystemTime) -> Option<Self> {
        let now = seconds_of(now);
        let is_too_far_ahead = |date: &Self| {
            let earlier = Self {
                year: date.year - YEARS_AHEAD,
                ..*date
            };
            earlier.seconds() > now
        };
        (0..100)
            .rev()
            .map(|century| Self {
                year: century * 100 + digits,
                ..self
            })
            .find(|date| !is_too_far_ahead(date))
    }
}

/// The days from the first of the year 1 to that of `year`.
fn days_before_year(year: i64) -> i64 {
    let years = year - 1;
    let leap_days = years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
    years * 365 + leap_days
}

/// Whole seconds since 1970, of what may lie before.
fn seconds_of(at: SystemTime) -> i64 {
    let (span, sign) = match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => (since, 1),
        Err(before) => (before.duration(), -1),
    };
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX) * sign
}

fn system_time(seconds: i64) -> Option<SystemTime> {
    let span = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(span)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(span)
    }
}

/// What is left to read.
#[derive(Clone, Copy)]
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    fn imf_fixdate(mut self) -> Option<Date> {
        self.name(&DAY_NAMES)?;
        self.literal(", ")?;
        let day = self.number(2)?;
        self.literal(" ")?;
        let month = self.name(&MONTHS)?;
        self.literal(" ")?;
        let year = self.number(4)?;
        self.literal(" ")?;
        let second_of_day = self.time_of_day()?;
        self.literal(" GMT")?;
        self.end(Date {
            year,
            month,
            day,
            second_of_day,
        })
    }

    /// `Sunday, 06-Nov-94 08:49:37 GMT`
    fn rfc850_date(mut self, now: SystemTime) -> Option<Date> {
        self.name(&LONG_DAY_NAMES)?;
        self.literal(", ")?;
        let day = self.number(2)?;
        self.literal("-")?;
        let month = self.name(&MONTHS)?;
        self.literal("-")?;
        let year = self.number(2)?;
        self.literal(" ")?;
        let second_of_day = self.time_of_day()?;
        self.literal(" GMT")?;
        let date = self.end(Date {
            year,
            month,
            day,
            second_of_day,
        })?;
        date.with_short_year(year, now)
    }

    /// `Sun Nov  6 08:49:37 1994`
    fn asctime_date(mut self) -> Option<Date> {
        self.name(&DAY_NAMES)?;
        self.literal(" ")?;
        let month = self.name(&MONTHS)?;
        self.literal(" ")?;
        let day = self.padded_day()?;
        self.literal(" ")?;
        let second_of_day = self.time_of_day()?;
        self.literal(" ")?;
        let year = self.number(4)?;
        self.end(Date {
            year,
            month,
            day,
            second_of_day,
        })
    }

    /// Two digits, or a space and one.
    fn padded_day(&mut self) -> Option<i64> {
        let width = self.literal(" ").map_or(2, |()| 1);
        self.number(width)
    }

    /// In seconds; 23:59:60 is the greatest.
    fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.number(2).filter(|hour| *hour < 24)?;
        self.literal(":")?;
        let minute = self.number(2).filter(|minute| *minute < 60)?;
        self.literal(":")?;
        let second = self.number(2).filter(|second| *second <= 60)?;
        Some((hour * 60 + minute) * 60 + second)
    }

    /// Which of `names` comes next.
    fn name(&mut self, names: &[&str]) -> Option<usize> {
        names.iter().position(|name| self.literal(name).is_some())
    }

    /// Takes nothing where it is not next.
    fn literal(&mut self, literal: &str) -> Option<()> {
        let (next, rest) = self.0.split_at_checked(literal.len())?;
        let matches = next.eq_ignore_ascii_case(literal.as_bytes());
        matches.then(|| self.0 = rest)
    }

    /// Of so many digits.
    fn number(&mut self, width: usize) -> Option<i64> {
        let (next, rest) = self.0.split_at_checked(width)?;
        self.0 = rest;
        i64::try_from(text::digits(next)?).ok()
    }

    fn end(self, date: Date) -> Option<Date> {
        self.0.is_empty().then_some(date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 1994-11-06 08:49:37, the example of RFC 9110.
    const EXAMPLE: i64 = 784_111_777;

    fn at(seconds: i64) -> SystemTime {
        system_time(seconds).unwrap()
    }

    fn parsed(value: &str) -> Option<i64> {
        parse(value.as_bytes(), at(EXAMPLE)).map(seconds_of)
    }

    fn year_of(value: &str, now: &str) -> i64 {
        let now = parse(now.as_bytes(), at(EXAMPLE)).unwrap();
        let found = seconds_of(parse(value.as_bytes(), now).unwrap());
        (1..=9999)
            .rev()
            .find(|year| (days_before_year(*year) - DAYS_TO_EPOCH) * SECONDS_OF_DAY <= found)
            .unwrap()
    }

    #[test]
    fn all_three_forms_are_read() {
        for value in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun Nov 06 08:49:37 1994",
            " \tSun, 06 Nov 1994 08:49:37 GMT\t ",
        ] {
            assert_eq!(parsed(value), Some(EXAMPLE), "{value}");
        }
    }

    #[test]
    fn letters_are_matched_in_any_case() {
        for value in [
            "sun, 06 nov 1994 08:49:37 gmt",
            "SUNDAY, 06-NOV-94 08:49:37 Gmt",
            "sUN nOV  6 08:49:37 1994",
        ] {
            assert_eq!(parsed(value), Some(EXAMPLE), "{value}");
        }
    }

    #[test]
    fn the_name_of_the_day_is_one_but_need_not_be_the_right_one() {
        assert_eq!(parsed("Wed, 06 Nov 1994 08:49:37 GMT"), Some(EXAMPLE));
        assert_eq!(parsed("Friday, 06-Nov-94 08:49:37 GMT"), Some(EXAMPLE));
        assert_eq!(parsed("Mon Nov  6 08:49:37 1994"), Some(EXAMPLE));
        for value in [
            "Xyz, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sunday Nov  6 08:49:37 1994",
            "06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parsed(value), None, "{value}");
        }
    }

    #[test]
    fn nothing_else_is_a_date() {
        for value in [
            "",
            "0",
            "-1",
            "784111777",
            "1994-11-06T08:49:37Z",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 EST",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT+1",
            "Sun, 06 Nov 1994 08:49:37 GMT 1",
            "Sun, 06 Nov 1994  08:49:37 GMT",
            "Sun,  06 Nov 1994 08:49:37 GMT",
            "Sun,06 Nov 1994 08:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994\t08:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun,  6 Nov 1994 08:49:37 GMT",
            "Sun, 006 Nov 1994 08:49:37 GMT",
            "Sun, 06 November 1994 08:49:37 GMT",
            "Sun, 06 11 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 01994 08:49:37 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 08:49:37.5 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "\"Sun, 06 Nov 1994 08:49:37 GMT\"",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 UTC",
            "Sunday, 06-Nov-94 08:49:37",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sunday, 6-Nov-94 08:49:37 GMT",
            "Sunday, 06 Nov 94 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov   6 08:49:37 1994",
            "Sun Nov  16 08:49:37 1994",
            "Sun Nov  6 08:49:37 94",
            "Sun Nov  6 08:49:37 1994 GMT",
            "Sun Nov  6 08:49:37 GMT 1994",
            "Sun, Nov  6 08:49:37 1994",
            "Sun, 06 N\u{f6}v 1994 08:49:37 GMT",
        ] {
            assert_eq!(parsed(value), None, "{value}");
        }
    }

    #[test]
    fn days_and_times_that_the_calendar_does_not_have_are_no_dates() {
        let date = |day: &str| parsed(&format!("Sun, {day} 08:49:37 GMT"));
        for day in [
            "29 Feb 2024",
            "29 Feb 2000",
            "31 Jan 2023",
            "28 Feb 1900",
            "31 Dec 9999",
            "01 Jan 0001",
        ] {
            assert!(date(day).is_some(), "{day}");
        }
        for day in [
            "32 Jan 2023",
            "00 Jan 2023",
            "29 Feb 2023",
            "29 Feb 1900",
            "30 Feb 2024",
            "31 Apr 2023",
            "31 Nov 2023",
            "01 Jan 0000",
            "29 Feb 0000",
        ] {
            assert_eq!(date(day), None, "{day}");
        }
        let time = |time: &str| parsed(&format!("Sun, 06 Nov 1994 {time} GMT"));
        for not in ["24:00:00", "23:60:00", "23:59:61", "-1:00:00", "99:99:99"] {
            assert_eq!(time(not), None, "{not}");
        }
    }

    #[test]
    fn a_leap_second_is_the_start_of_the_next_minute() {
        assert_eq!(
            parsed("Sat, 31 Dec 2016 23:59:60 GMT"),
            parsed("Sun, 01 Jan 2017 00:00:00 GMT")
        );
        assert!(parsed("Fri, 31 Dec 9999 23:59:60 GMT").is_some());
    }

    #[test]
    fn dates_before_1970_are_dates() {
        assert_eq!(parsed("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(parsed("Wed, 31 Dec 1969 23:59:59 GMT"), Some(-1));
        assert_eq!(
            parsed("Mon, 01 Jan 0001 00:00:00 GMT"),
            Some(-62_135_596_800)
        );
        assert_eq!(parsed("Mon Jan  1 00:00:00 0001"), Some(-62_135_596_800));
    }

    #[test]
    fn a_short_year_is_the_latest_that_is_at_most_50_years_ahead() {
        let now = "Thu, 15 May 2025 12:00:00 GMT";
        for (date, year) in [
            ("Monday, 01-Jan-00 00:00:00 GMT", 2000),
            ("Monday, 01-Jan-25 00:00:00 GMT", 2025),
            ("Monday, 31-Dec-74 00:00:00 GMT", 2074),
            ("Monday, 15-May-75 12:00:00 GMT", 2075),
            ("Monday, 15-May-75 12:00:01 GMT", 1975),
            ("Monday, 16-May-75 00:00:00 GMT", 1975),
            ("Monday, 01-Jan-76 00:00:00 GMT", 1976),
            ("Monday, 01-Jan-99 00:00:00 GMT", 1999),
        ] {
            assert_eq!(year_of(date, now), year, "{date}");
        }
        let eve = "Fri, 31 Dec 1999 23:59:59 GMT";
        assert_eq!(year_of("Saturday, 01-Jan-00 00:00:00 GMT", eve), 2000);
        assert_eq!(year_of("Saturday, 01-Jan-50 00:00:00 GMT", eve), 1950);
    }

    #[test]
    fn a_short_year_needs_no_sensible_clock() {
        let date = b"Sunday, 06-Nov-94 08:49:37 GMT";
        for seconds in [i64::MIN + 1, -1 << 40, -1, 0, 1 << 40, i64::MAX] {
            if let Some(now) = system_time(seconds) {
                let _ = parse(date, now);
            }
        }
        assert_eq!(parse(date, at(-62_135_596_800 - (100 << 32))), None);
        assert!(parse(date, at(-1)).is_some());
    }

    #[test]
    fn what_cannot_be_expressed_is_sent_as_the_nearest() {
        assert_eq!(format(at(EXAMPLE)), "Sun, 06 Nov 1994 08:49:37 GMT");
        let half = Duration::from_millis(500);
        assert_eq!(format(at(EXAMPLE) + half), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(format(at(-1)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format(at(1 << 40)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        #[test]
        fn every_form_of_a_date_is_read_as_that_date(seconds in 0..=LAST.as_secs()) {
            let seconds = i64::try_from(seconds).unwrap();
            let date = at(seconds);
            let fixdate = format(date).to_str().unwrap().to_owned();
            prop_assert_eq!(parse(fixdate.as_bytes(), date), Some(date));
            prop_assert_eq!(Some(date), httpdate::parse_http_date(&fixdate).ok());

            let [day_name, day, month, year, time, _] =
                fixdate.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let day_name = day_name.trim_end_matches(',');
            let long_name = LONG_DAY_NAMES.iter().find(|name| name.starts_with(day_name)).unwrap();
            let digits = year.get(2..).unwrap();
            let rfc850 = format!("{long_name}, {day}-{month}-{digits} {time} GMT");
            prop_assert_eq!(parse(rfc850.as_bytes(), date), Some(date));

            for day in [day.to_owned(), day.replacen('0', " ", usize::from(day.starts_with('0')))] {
                let asctime = format!("{day_name} {month} {day} {time} {year}");
                prop_assert_eq!(parse(asctime.as_bytes(), at(0)), Some(date));
            }
        }

        #[test]
        fn each_day_follows_the_one_before(year in 1..=9999_i64, month in 0..12_usize, day in 1..=31_i64) {
            let date = Date { year, month, day, second_of_day: 0 };
            let next = match (date.day < date.days_of_month(), month < 11) {
                (true, _) => Date { day: day + 1, ..date },
                (false, true) => Date { month: month + 1, day: 1, ..date },
                (false, false) => Date { year: year + 1, month: 0, day: 1, ..date },
            };
            if date.is_real() {
                prop_assert_eq!(next.seconds() - date.seconds(), SECONDS_OF_DAY);
            }
        }

        #[test]
        fn a_short_year_is_never_more_than_50_years_ahead_nor_nearer_in_the_past(
            now in -(1_i64 << 34)..1 << 36, year in 0..100_i64,
        ) {
            let written = Date { year: 0, month: 5, day: 15, second_of_day: 0 };
            let date = written.with_short_year(year, at(now)).unwrap();
            let shifted = |years: i64| Date { year: date.year + years, ..date }.seconds();
            prop_assert_eq!(date.year.rem_euclid(100), year);
            prop_assert!(shifted(-50) <= now && now < shifted(50));
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            value in proptest::collection::vec(any::<u8>(), 0..40), now in any::<i64>(),
        ) {
            if let Some(now) = system_time(now) {
                let _ = parse(&value, now);
                let _ = format(now);
            }
        }

        #[test]
        fn a_date_with_any_byte_changed_is_read_without_panic(
            form in 0..3_usize, place in any::<proptest::sample::Index>(), byte in any::<u8>(),
        ) {
            let forms = [
                "Sun, 06 Nov 1994 08:49:37 GMT",
                "Sunday, 06-Nov-94 08:49:37 GMT",
                "Sun Nov  6 08:49:37 1994",
            ];
            let mut value = forms[form].as_bytes().to_vec();
            let place = place.index(value.len());
            value[place] = byte;
            let _ = parse(&value, at(EXAMPLE));
        }
    }
}
