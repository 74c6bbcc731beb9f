//! What becomes of a stored response when the origin confirms it.

use cache_tower::{
    Profile,
    http::{
        admit::Terms,
        date,
        fields::{freshened, storable},
        validator::{Freshening, freshening},
    },
};
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use std::{collections::HashSet, time::Duration};

use super::{
    PROFILES,
    http::{Exchange, mentions, now, plainly_says, response_of},
    text::{blocks, fields},
};

/// A byte that picks the policy, a request's fields, an empty line, a response's head, an empty line,
/// the fields of the 304 that came later.
pub(crate) const SEEDS: &[&[u8]] = &[
    b"\x00\n\n200\ncache-control: max-age=60\netag: \"a\"\nx-a: 1\nx-a: 2\ncontent-length: 5\nage: 7\n\netag: \"a\"\nx-a: 3\nage: 2\ncontent-length: 0\n",
    b"\x00\n\n200\ncache-control: max-age=60\nlast-modified: Thu, 01 Jan 2004 00:00:00 GMT\ndate: Thu, 01 Jan 2004 00:01:00 GMT\n\nlast-modified: Thu, 01 Jan 2004 00:00:00 GMT\ndate: Thu, 01 Jan 2004 00:00:59 GMT\n",
    b"\x00cookie: sid=1\n\n200\ncache-control: public, max-age=60\nlast-modified: Thu, 01 Jan 2004 00:00:00 GMT\n\ncache-control: private\n",
    b"\x01authorization: x\n\n203\ncache-control: s-maxage=60, private=\"x-user\"\nx-user: a\netag: W/\"a\"\ncontent-encoding: gzip\n\netag: \"a\"\nset-cookie: a=b\ncontent-encoding: br\n",
    b"\x02\n\n200\nvary: accept\netag: \"a\"\nexpires: Thu, 01 Jan 1970 00:00:00 GMT\n\nvary: *\netag: \"a\"\nconnection: x-a, close\nx-a: 1\ntrailer: x\n",
    b"\x03range: bytes=0-1\n\n206\ncontent-range: bytes 0-1/9\netag: \"a\"\ncdn-cache-control: max-age=9\n\netag: \"a\"\ncontent-range: bytes 2-3/9\ncache-control: no-store, must-understand\ncdn-cache-control: no-store\n",
    b"\x00\n\n200\netag: *\ncache-control: no-cache\n\netag: *\ncache-control: no-cache=\"x-a\", max-age=9\ntransfer-encoding: chunked\nwww-authenticate: x\n",
];

pub(crate) const WORDS: &[&[u8]] = &[
    b"\n\n",
    b"\n",
    b"etag: ",
    b"last-modified: ",
    b"date: ",
    b"age: ",
    b"expires: ",
    b"cache-control: ",
    b"cdn-cache-control: ",
    b"vary: ",
    b"connection: ",
    b"content-length: ",
    b"content-encoding: ",
    b"content-range: ",
    b"set-cookie: ",
    b"x-a: ",
    b"ratelimit: ",
    b"\"a\"",
    b"W/\"a\"",
    b"Thu, 01 Jan 2004 00:00:00 GMT",
    b"no-store",
    b"no-cache",
    b"no-cache=\"x-a\"",
    b"private",
    b"private=\"x-a, set-cookie\"",
    b"public",
    b"must-revalidate",
    b"must-understand",
    b"max-age=60",
    b"s-maxage=60",
    b"stale-if-error=9",
    b", ",
    b"accept",
    b"*",
    b"200",
    b"206",
    b"404",
];

pub(crate) fn check(input: &[u8]) {
    let Some((pick, input)) = input.split_first() else {
        return;
    };
    let [request, response, update] = blocks(input);
    let (request, update) = (fields(request), fields(update));
    let (status, response) = response_of(response);
    for profile in PROFILES {
        let store = Store {
            pick: *pick,
            profile,
            request: &request,
        };
        if let Some((stored, terms)) = store.takes(status, &response) {
            store.is_freshened(&kept(stored), &terms, &update);
        }
    }
}

/// As the cache keeps fields: it says itself which part it holds.
fn kept(mut stored: HeaderMap) -> HeaderMap {
    stored.remove(header::CONTENT_RANGE);
    stored
}

/// A store under one policy, and the fields of the request in question.
struct Store<'a> {
    pick: u8,
    profile: Profile,
    request: &'a HeaderMap,
}

impl Store<'_> {
    /// What it keeps of a response, and on what terms, which are held against the rules.
    fn takes(&self, status: StatusCode, response: &HeaderMap) -> Option<(HeaderMap, Terms)> {
        let uri = Uri::from_static("/");
        let asked = (&Method::GET, &uri, self.request);
        let exchange = Exchange::new(self.pick, self.profile, asked, (status, response));
        let terms = exchange.judged(Duration::ZERO)?;
        Some((storable(response, &terms.withheld, now()), terms))
    }

    fn is_freshened(&self, stored: &HeaderMap, terms: &Terms, update: &HeaderMap) {
        let is_same = freshening(stored, update, now());
        assert_ne!(freshening(stored, stored, now()), Freshening::Mismatch);
        is_named_by_the_letter(stored, update, is_same);
        if is_same == Freshening::Mismatch {
            return;
        }
        let merged = freshened(stored, update, now());
        each_field_is_of_one(stored, update, &merged);
        assert_eq!(freshened(&merged, update, now()), merged, "once is enough");
        if !update.contains_key(header::CONNECTION) {
            assert_ne!(freshening(&merged, update, now()), Freshening::Mismatch);
        }
        // The status of the whole, since what is stored may hold parts of it.
        let Some((again, later)) = self.takes(StatusCode::OK, &merged) else {
            return;
        };
        assert!(!forbids_storing(update, &merged));
        if !update.contains_key(header::VARY) && stored.contains_key(header::VARY) {
            assert_eq!(later.vary, terms.vary, "what selects it stays");
        }
        let again = kept(again);
        let twice = self.takes(StatusCode::OK, &freshened(&again, update, now()));
        let (twice, latest) = twice.expect("it was taken before");
        assert_eq!(kept(twice), again);
        assert_eq!(latest, later);
    }
}

/// RFC 9111 §4.3.4, of what is plain.
fn is_named_by_the_letter(stored: &HeaderMap, update: &HeaderMap, is_same: Freshening) {
    let read = |headers: &HeaderMap, name: HeaderName| {
        let value = headers.get(name)?;
        date::parse(value.as_bytes(), now())
    };
    let tag = |headers: &HeaderMap| {
        let inner = headers.get(header::ETAG)?.as_bytes();
        let inner = inner.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        let is_plain = headers.get_all(header::ETAG).iter().count() == 1
            && inner.iter().all(u8::is_ascii_alphanumeric);
        is_plain.then(|| inner.to_vec())
    };
    let own = tag(stored);
    let is_untold = stored.contains_key(header::ETAG) && own.is_none();
    if let Some(named) = tag(update).filter(|_| !is_untold) {
        let expected = if own == Some(named) {
            Freshening::Strong
        } else {
            Freshening::Mismatch
        };
        assert_eq!(is_same, expected);
    }
    if !stored.contains_key(header::ETAG) && !update.contains_key(header::ETAG) {
        let modified = read(stored, header::LAST_MODIFIED);
        let is_equal = modified.is_some() && modified == read(update, header::LAST_MODIFIED);
        let is_apart =
            read(stored, header::DATE) >= modified.map(|at| at + Duration::from_secs(60));
        assert_eq!(is_same == Freshening::Strong, is_equal && is_apart);
        assert_eq!(is_same == Freshening::Weak, is_equal && !is_apart);
    }
}

/// Field by field what was stored or what came, and what frames the body as it was.
fn each_field_is_of_one(stored: &HeaderMap, update: &HeaderMap, merged: &HeaderMap) {
    let framing = [
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::CONTENT_RANGE,
    ];
    let names: HashSet<&HeaderName> = stored.keys().chain(update.keys()).collect();
    assert!(
        merged
            .keys()
            .all(|name| names.contains(name) || name == header::DATE)
    );
    for name in names {
        let lines = merged.get_all(name);
        let is_as_stored = lines == stored.get_all(name);
        if framing.contains(name) {
            assert!(is_as_stored, "{name}");
        } else if is_of_the_connection(name) {
            assert!(!merged.contains_key(name), "{name}");
        } else if !update.contains_key(header::CONNECTION) && update.contains_key(name) {
            assert_eq!(lines, update.get_all(name), "{name}");
        } else if *name == header::AGE {
            // What was stored is confirmed now.
            assert!(lines == update.get_all(name) || !merged.contains_key(name));
        } else if *name != header::DATE {
            assert!(is_as_stored || lines == update.get_all(name), "{name}");
        }
    }
}

/// RFC 9110 §7.6.1, RFC 9111 §3.1.
fn is_of_the_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
    )
}

/// Whether the update says so itself, by a reading as simple as can be.
fn forbids_storing(update: &HeaderMap, merged: &HeaderMap) -> bool {
    let lines = |name| -> Vec<&[u8]> {
        let lines = update.get_all(name).iter();
        lines.map(|line| line.as_bytes()).collect()
    };
    let directives = lines("cache-control");
    let is_plain = !update.contains_key(header::CONNECTION)
        && !merged.contains_key("cdn-cache-control")
        && !directives.iter().any(|line| line.contains(&b'"'));
    let says = |directive| plainly_says(&directives, directive);
    let forbids = says("private") || says("no-store") && !mentions(&directives, "must-understand");
    is_plain && (forbids || plainly_says(&lines("vary"), "*"))
}
