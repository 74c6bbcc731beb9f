//! Responses as both read them, and where they come from.

use http::{Request, Response};
use proptest::{prelude::*, sample::select};
use std::time::{Duration, SystemTime};

/// When each response is received, in seconds since 1970.
const NOW: u64 = 784_111_777;

/// A day, in seconds.
pub(super) const DAY: i64 = 24 * 60 * 60;

pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

/// A response, and whether its request carried Authorization.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Case {
    pub(super) status: u16,
    pub(super) directives: Vec<&'static str>,
    pub(super) date: Option<When>,
    pub(super) expires: Option<When>,
    pub(super) last_modified: Option<When>,
    pub(super) age: Option<String>,
    pub(super) authorization: bool,
    pub(super) set_cookie: bool,
    pub(super) pragma: bool,
    pub(super) varies_by_all: bool,
}

/// A date, in seconds from now, and how it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum When {
    Fixdate(i64),
    Rfc850(i64),
    Asctime(i64),
    /// In another zone than GMT.
    Zoned(i64),
    Junk,
}

impl When {
    fn text(self) -> String {
        let fixdate = |from_now: i64| {
            let at = NOW.checked_add_signed(from_now).unwrap();
            httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(at))
        };
        match self {
            Self::Fixdate(at) => fixdate(at),
            Self::Rfc850(at) => rfc850(&fixdate(at)),
            Self::Asctime(at) => asctime(&fixdate(at)),
            Self::Zoned(at) => fixdate(at).replace("GMT", "EST"),
            Self::Junk => "0".to_owned(),
        }
    }

    /// In seconds from now, if it is a date.
    pub(super) fn ahead(self) -> Option<i64> {
        match self {
            Self::Fixdate(at) | Self::Rfc850(at) | Self::Asctime(at) => Some(at),
            Self::Zoned(_) | Self::Junk => None,
        }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as `Sunday, 06-Nov-94 08:49:37 GMT`. Any name of a day will do.
fn rfc850(fixdate: &str) -> String {
    let words: Vec<&str> = fixdate.split(' ').collect();
    let (day, month, year, time) = (words[1], words[2], words[3].split_at(2).1, words[4]);
    format!("Sunday, {day}-{month}-{year} {time} GMT")
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as `Sun Nov 06 08:49:37 1994`.
fn asctime(fixdate: &str) -> String {
    let words: Vec<&str> = fixdate.split(' ').collect();
    format!("Sun {} {} {} {}", words[2], words[1], words[4], words[3])
}

impl Case {
    pub(super) fn request(&self) -> Request<()> {
        let request = Request::get("/");
        let request = match self.authorization {
            true => request.header("authorization", "Basic eDp5"),
            false => request,
        };
        request.body(()).unwrap()
    }

    /// With an ETag, so that it is of use whatever its lifetime.
    pub(super) fn response(&self) -> Response<()> {
        let mut response = Response::builder()
            .status(self.status)
            .header("etag", "\"1\"");
        let text = |when: Option<When>| when.map(When::text);
        let directives = (!self.directives.is_empty()).then(|| self.directives.join(", "));
        let word = |there: bool, word: &str| there.then(|| word.to_owned());
        for (name, value) in [
            ("cache-control", directives),
            ("date", text(self.date)),
            ("expires", text(self.expires)),
            ("last-modified", text(self.last_modified)),
            ("age", self.age.clone()),
            ("set-cookie", word(self.set_cookie, "a=1")),
            ("pragma", word(self.pragma, "no-cache")),
            ("vary", word(self.varies_by_all, "*")),
        ] {
            if let Some(value) = value {
                response = response.header(name, value);
            }
        }
        response.body(()).unwrap()
    }

    pub(super) fn replace(&mut self, directive: &str, by: Option<&'static str>) {
        for found in &mut self.directives {
            if *found == directive {
                *found = by.unwrap_or("");
            }
        }
        self.directives.retain(|directive| !directive.is_empty());
    }
}

fn directive() -> impl Strategy<Value = &'static str> {
    let usual = select(vec![
        "max-age=60",
        "max-age=600",
        "max-age=\"60\"",
        "max-age=0",
        "max-age=x",
        "s-maxage=30",
        "s-maxage=0",
        "public",
        "private",
        "no-cache",
        "no-store",
        "must-revalidate",
        "immutable",
        "x-ext=1",
        "stale-while-revalidate=30",
    ]);
    let odd = select(vec![
        "must-understand",
        "must-understand",
        "No-Store",
        "MAX-AGE=60",
        "Public",
        "private=\"x-a\"",
        "no-cache=\"x-a\"",
        "x-ext=\"a, no-store, b\"",
        "x-ext=\"open",
        "max-age = 60",
        "max-age",
        "s-maxage",
        "max-age=+60",
        "max-age=2147483648",
        "max-age=99999999999999999999",
        "proxy-revalidate",
    ]);
    prop_oneof![2 => usual, 1 => odd]
}

fn when(range: std::ops::Range<i64>) -> impl Strategy<Value = Option<When>> {
    let when = prop_oneof![
        6 => range.clone().prop_map(When::Fixdate),
        1 => range.clone().prop_map(When::Rfc850),
        1 => range.clone().prop_map(When::Asctime),
        1 => range.prop_map(When::Zoned),
        1 => Just(When::Junk),
    ];
    prop::option::weighted(0.4, when)
}

fn age() -> impl Strategy<Value = Option<String>> {
    let odd = select(vec![
        "7, 900",
        "+7",
        "x",
        "-7",
        "7.5",
        "",
        "99999999999999999999",
    ]);
    let age = prop_oneof![
        2 => (0..700_u32).prop_map(|age| age.to_string()),
        1 => odd.prop_map(str::to_owned),
    ];
    prop::option::weighted(0.4, age)
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let status = prop_oneof![
        3 => Just(200_u16),
        2 => select(vec![203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501]),
        1 => select(vec![201, 403, 500, 304, 429]),
    ];
    let dates = (when(-900..300), when(-600..900), when(-200 * DAY..900));
    let flags = prop::array::uniform4(prop::bool::weighted(0.15));
    let directives = prop::collection::vec(directive(), 0..5);
    (status, directives, dates, age(), flags).prop_map(
        |(status, directives, (date, expires, last_modified), age, flags)| Case {
            status,
            directives,
            date,
            expires,
            last_modified,
            age,
            authorization: flags[0],
            set_cookie: flags[1],
            pragma: flags[2],
            varies_by_all: flags[3],
        },
    )
}
