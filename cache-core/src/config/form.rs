//! How values are written: read strictly, and printed so that they read back as the same.

use super::redact;
use crate::policy::LONGEST;
use std::{borrow::Cow, fmt, time::Duration};

/// How the values of a variable are written.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// `true` or `false`.
    Switch,
    /// A time; a bare number is in `unit`.
    Time {
        /// Of a number that names none.
        unit: Unit,
        /// The least that is accepted.
        least: Duration,
        /// The most that is accepted. Where that is [`LONGEST`], more is cut to it.
        most: Duration,
    },
    /// A number of bytes.
    Size {
        /// The least that is accepted.
        least: u64,
        /// The most that is accepted.
        most: u64,
    },
    /// A whole number.
    Count {
        /// The least that is accepted.
        least: u64,
        /// The most that is accepted.
        most: u64,
    },
    /// A share of the whole: 0 to 1, or a percentage.
    Share,
    /// A decimal number from 0 to this.
    Factor(f64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A URL, which may hold a secret.
    Url,
    /// Text of a form of its own.
    Text {
        /// What is accepted, in words.
        accepted: &'static str,
        /// The text as it is printed, or what is wrong with it.
        read: fn(&str) -> Result<String, String>,
    },
}

/// The unit of a bare number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Thousandths of a second.
    Milliseconds,
    /// Seconds.
    Seconds,
}

impl Unit {
    fn millis(self) -> u64 {
        match self {
            Self::Milliseconds => 1,
            Self::Seconds => 1000,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Milliseconds => "milliseconds",
            Self::Seconds => "seconds",
        }
    }
}

/// A value that was read.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Of [`Form::Switch`].
    Switch(bool),
    /// Of [`Form::Time`].
    Time(Duration),
    /// Of [`Form::Size`] and [`Form::Count`].
    Number(u64, Scale),
    /// Of [`Form::Share`] and [`Form::Factor`].
    Decimal(f64),
    /// Of [`Form::Word`].
    Word(&'static str),
    /// Of [`Form::Url`].
    Url(String),
    /// Of [`Form::Text`].
    Text(String),
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scale {
    /// Bytes.
    Bytes,
    /// Anything else.
    Pieces,
}

/// As it is written, but no secret: of a URL scheme and host.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(on) => write!(f, "{on}"),
            Self::Time(time) => write_time(f, *time),
            Self::Number(bytes, Scale::Bytes) => write_size(f, *bytes),
            Self::Number(count, Scale::Pieces) => write!(f, "{count}"),
            Self::Decimal(number) => write!(f, "{number}"),
            Self::Word(word) => f.write_str(word),
            Self::Url(url) => f.write_str(&redact::url(url)),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn write_time(f: &mut fmt::Formatter<'_>, time: Duration) -> fmt::Result {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (unit, of) = TIMES
        .into_iter()
        .find(|(_, of)| millis != 0 && millis.is_multiple_of(*of))
        .unwrap_or(("s", 1000));
    write!(f, "{}{unit}", millis / of)
}

fn write_size(f: &mut fmt::Formatter<'_>, bytes: u64) -> fmt::Result {
    let (unit, of) = SIZES
        .into_iter()
        .find(|(_, of)| bytes != 0 && bytes.is_multiple_of(*of))
        .unwrap_or(("", 1));
    write!(f, "{}{unit}", bytes / of)
}

/// In milliseconds, the largest first.
const TIMES: [(&str, u64); 5] = [
    ("d", 24 * 60 * 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// In bytes, the largest power of two first.
const SIZES: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
];

impl Form {
    /// The unit of a bare number; empty where there is none.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Time { unit, .. } => unit.as_str(),
            Self::Size { .. } => "bytes",
            Self::Share => "share",
            _ => "",
        }
    }

    /// What is accepted, in words.
    pub fn accepted(&self) -> Cow<'static, str> {
        match self {
            Self::Switch => "true or false (also 1, 0, yes, no, on, off)".into(),
            Self::Time { unit, least, most } => {
                let unit = unit.as_str();
                let form =
                    format!("a time as 250ms, 30s, 5m, 1h or 1d, where a bare number is {unit}");
                let (least, most) = (Value::Time(*least), Value::Time(*most));
                format!("{form}; {least} to {most}").into()
            }
            Self::Size { least, most } => {
                let bytes = |bytes: &u64| Value::Number(*bytes, Scale::Bytes);
                let (least, most) = (bytes(least), bytes(most));
                format!("a size as 512KiB, 64MiB, 1GiB, 64MB or in bytes; {least} to {most}").into()
            }
            Self::Count { least, most } => format!("a whole number, {least} to {most}").into(),
            Self::Share => "a share as 0.1 or 10%; 0 to 1".into(),
            Self::Factor(most) => format!("a number as 1 or 0.5; 0 to {most}").into(),
            Self::Word(words) => words.join(", ").into(),
            Self::Url => {
                "redis://[user:password@]host[:port][/database], or another URL of Redis or Valkey"
                    .into()
            }
            Self::Text { accepted, .. } => (*accepted).into(),
        }
    }

    /// Reads a value. It never panics, and numbers saturate.
    ///
    /// # Errors
    ///
    /// What is wrong, in addition to that the form is another; empty where that is all.
    pub fn read(&self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        match *self {
            Self::Text { read, .. } => return read(text).map(Value::Text),
            Self::Url => Some(Value::Url(text.to_owned())),
            Self::Switch => switch(text).map(Value::Switch),
            Self::Word(words) => words
                .iter()
                .find(|word| word.eq_ignore_ascii_case(text))
                .map(|word| Value::Word(word)),
            Self::Time { unit, least, most } => {
                let cut = |time: Duration| {
                    if most == LONGEST {
                        time.min(most)
                    } else {
                        time
                    }
                };
                let within = |time: &Duration| (least..=most).contains(time);
                time(text, unit).map(cut).filter(within).map(Value::Time)
            }
            Self::Size { least, most } => size(text)
                .filter(|size| (least..=most).contains(size))
                .map(|size| Value::Number(size, Scale::Bytes)),
            Self::Count { least, most } => whole(text)
                .filter(|count| (least..=most).contains(count))
                .map(|count| Value::Number(count, Scale::Pieces)),
            Self::Share => {
                let share = match text.strip_suffix('%') {
                    Some(percent) => decimal(percent).map(|percent| percent / 100.0),
                    None => decimal(text),
                };
                within_decimal(share, 1.0)
            }
            Self::Factor(most) => within_decimal(decimal(text), most),
        }
        .ok_or_else(String::new)
    }
}

fn switch(text: &str) -> Option<bool> {
    let is = |words: [&str; 4]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is(["true", "1", "yes", "on"]) {
        Some(true)
    } else if is(["false", "0", "no", "off"]) {
        Some(false)
    } else {
        None
    }
}

/// A time, as [`Form::Time`] has it: for forms of one's own.
pub fn time(text: &str, unit: Unit) -> Option<Duration> {
    let (number, suffix) = number(text)?;
    let of = match suffix {
        "" => unit.millis(),
        suffix => named(&TIMES, |name| name == suffix)?,
    };
    Some(Duration::from_millis(number.saturating_mul(of)))
}

fn size(text: &str) -> Option<u64> {
    let (number, suffix) = number(text)?;
    let of = match suffix {
        "" | "B" | "b" => 1,
        suffix => named(&SIZES, |name| name.eq_ignore_ascii_case(suffix))?,
    };
    Some(number.saturating_mul(of))
}

fn named(units: &[(&str, u64)], is: impl Fn(&str) -> bool) -> Option<u64> {
    units.iter().find(|(name, _)| is(name)).map(|(_, of)| *of)
}

fn whole(text: &str) -> Option<u64> {
    number(text)
        .filter(|(_, suffix)| suffix.is_empty())
        .map(|(number, _)| number)
}

/// A number that saturates, and what follows it.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|char: char| !char.is_ascii_digit());
    let (digits, suffix) = text.split_at(end.unwrap_or(text.len()));
    // Of digits alone only what is too large does not parse.
    (!digits.is_empty()).then(|| (digits.parse().unwrap_or(u64::MAX), suffix))
}

/// Digits with at most one point: neither an exponent nor a name of something that is no number.
fn decimal(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| plain)
}

fn within_decimal(number: Option<f64>, most: f64) -> Option<Value> {
    number
        .filter(|number| (0.0..=most).contains(number))
        .map(Value::Decimal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{days, hours, minutes, seconds};

    const ANY: Form = Form::Time {
        unit: Unit::Seconds,
        least: Duration::ZERO,
        most: LONGEST,
    };

    #[test]
    fn times_have_units_and_bare_numbers_that_of_the_variable() {
        for (text, read) in [
            ("0", Duration::ZERO),
            ("90", seconds(90)),
            ("250ms", Duration::from_millis(250)),
            ("30s", seconds(30)),
            ("5m", minutes(5)),
            ("1h", hours(1)),
            ("1d", days(1)),
            ("99999999999999999999999d", LONGEST),
        ] {
            assert_eq!(ANY.read(text), Ok(Value::Time(read)), "{text}");
        }
        let millis = time("20", Unit::Milliseconds);
        assert_eq!(millis, Some(Duration::from_millis(20)));
        for text in [
            "", "s", "-1", "1.5s", "1 h", "1M", "1w", "1h30m", "٣s", "1e3", "banana",
        ] {
            assert_eq!(ANY.read(text), Err(String::new()), "{text}");
        }
    }

    #[test]
    fn sizes_tell_powers_of_two_from_powers_of_ten() {
        for (text, read) in [
            ("4096", 4096),
            ("1b", 1),
            ("64MiB", 64 << 20),
            ("64mib", 64 << 20),
            ("64MB", 64_000_000),
            ("1kB", 1000),
            ("2GiB", 2 << 30),
            ("18446744073709551616TiB", u64::MAX),
        ] {
            assert_eq!(size(text), Some(read), "{text}");
        }
        for text in ["", "MiB", "64M", "64K", "1.5GiB", "-1", "1 MiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn decimals_are_plain_ones() {
        assert_eq!(Form::Share.read("10%"), Ok(Value::Decimal(0.1)));
        assert_eq!(Form::Share.read(".5"), Ok(Value::Decimal(0.5)));
        let huge = "9".repeat(400);
        for text in [
            "", ".", "%", "nan", "inf", "1e-3", "1.1", "101%", "-0", "0.1.1", &huge,
        ] {
            assert!(Form::Share.read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_printed_is_the_shortest_that_reads_back() {
        for (text, printed) in [
            ("3600", "1h"),
            ("90", "90s"),
            ("0h", "0s"),
            ("1500ms", "1500ms"),
        ] {
            assert_eq!(ANY.read(text).unwrap().to_string(), printed);
        }
        for (bytes, printed) in [
            (0, "0"),
            (64 << 20, "64MiB"),
            (1000, "1KB"),
            (1023, "1023"),
            (u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(Value::Number(bytes, Scale::Bytes).to_string(), printed);
        }
    }
}
