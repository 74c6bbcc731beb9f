//! What the cache keeps of a response, and how it is given out again.

use crate::{
    body::ResponseBody,
    engine::{Owner, mark_decided},
    fill::Fill,
    http::{
        admit::Terms,
        cache_status::{CacheStatus, Decision, Forwarded, Ground, Prepared, Then, Ttl},
        lookup::Candidate,
    },
};
use bytes::Bytes;
use cache_core::{Entry, Event, Freshness, Key, Store, clock::Moment};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, response};
use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The name of the Cache-Status field (RFC 9211), which the `http` crate does not have.
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What lies under one key of the store.
#[derive(Debug)]
pub(crate) enum Stored {
    /// A response.
    Response(StoredResponse),
    /// Where the responses of a URI lie that has several, by selecting fields.
    Variants(Variants),
}

impl Stored {
    /// Whose it is: no other layer may use it.
    pub(crate) fn owner(&self) -> &Owner {
        match self {
            Self::Response(response) => &response.owner,
            Self::Variants(variants) => &variants.owner,
        }
    }

    pub(crate) fn response(&self) -> Option<&StoredResponse> {
        match self {
            Self::Response(response) => Some(response),
            Self::Variants(_) => None,
        }
    }

    pub(crate) fn variants(&self) -> Option<&Variants> {
        match self {
            Self::Response(_) => None,
            Self::Variants(variants) => Some(variants),
        }
    }
}

/// A stored response, its fields ready to be copied with places for the ones each hit writes anew.
#[derive(Debug)]
pub(crate) struct StoredResponse {
    owner: Owner,
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
    initial_age: Duration,
    shared_with_credentials: bool,
    /// Members of Cache-Status that came with the response: ours goes after them.
    has_upstream_status: bool,
    /// What selects it.
    pub(crate) selecting: Selecting,
    /// When it was last given out, for choosing among the variants of a URI.
    used: AtomicU64,
}

/// The fields that select a response, and the bytes that the request it answers has for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Selecting {
    pub(crate) fields: Box<[HeaderName]>,
    pub(crate) values: Box<[u8]>,
}

#[derive(Debug)]
enum Body {
    Whole(Bytes),
    /// Still coming in. Such a response is shared with those who wait and never stored.
    Filling(Arc<Fill>),
}

/// The variants of one URI. Each lies under a key made of the URI's, `nonce`, and its selecting
/// values; another index has another nonce, so that what an invalidated one pointed to is never
/// found again.
#[derive(Debug)]
pub(crate) struct Variants {
    pub(crate) owner: Owner,
    pub(crate) fields: Box<[HeaderName]>,
    pub(crate) nonce: u64,
    pub(crate) keys: Box<[Key]>,
}

/// A response's fields as they are stored.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    owner: Owner,
    status: StatusCode,
    headers: HeaderMap,
    has_upstream_status: bool,
}

impl Head {
    /// Takes what may be stored of a response's head (RFC 9111 §3.1) and makes places for Age and
    /// Cache-Status.
    pub(crate) fn of(parts: &response::Parts, owner: Owner) -> Self {
        let mut headers = parts.headers.clone();
        remove_hop_by_hop(&mut headers);
        remove_rate_limits(&mut headers);
        headers.insert(header::AGE, HeaderValue::from_static("0"));
        let has_upstream_status = headers.contains_key(CACHE_STATUS);
        if !has_upstream_status {
            headers.insert(CACHE_STATUS, HeaderValue::from_static(""));
        }
        Self {
            owner,
            status: parts.status,
            headers,
            has_upstream_status,
        }
    }

    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    fn weight(&self) -> usize {
        /// What a map spends on a field beside its text.
        const FIELD: usize = 104;
        self.headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + FIELD)
            .sum()
    }
}

impl StoredResponse {
    /// A response whose body is here.
    pub(crate) fn whole(mut head: Head, body: Bytes, terms: &Terms, selecting: Selecting) -> Self {
        // So that a HEAD can say how long the body would be (RFC 9110 §9.3.2).
        if head.status != StatusCode::NO_CONTENT
            && !head.headers.contains_key(header::CONTENT_LENGTH)
        {
            head.headers
                .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        Self::new(head, Body::Whole(body), terms, selecting)
    }

    /// A response whose body is on its way.
    pub(crate) fn filling(
        head: Head,
        fill: Arc<Fill>,
        terms: &Terms,
        selecting: Selecting,
    ) -> Self {
        Self::new(head, Body::Filling(fill), terms, selecting)
    }

    fn new(head: Head, body: Body, terms: &Terms, selecting: Selecting) -> Self {
        Self {
            owner: head.owner,
            status: head.status,
            headers: head.headers,
            body,
            initial_age: terms.initial_age,
            shared_with_credentials: terms.shared_with_credentials,
            has_upstream_status: head.has_upstream_status,
            selecting,
            used: AtomicU64::new(0),
        }
    }

    /// What it weighs in memory, beside its key.
    pub(crate) fn weight(head: &Head, body: usize, selecting: &Selecting) -> usize {
        size_of::<Self>() + head.weight() + body + selecting.values.len()
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn touch(&self, now: Moment) {
        self.used.store(
            now.since(Moment::from_nanos(0)).as_nanos() as u64,
            Ordering::Relaxed,
        );
    }
}

/// What the rules need to know of an entry; `None` where it is not a response.
pub(crate) fn candidate(entry: &Entry<Stored>, now: Moment) -> Option<Candidate> {
    let response = entry.value()?.response()?;
    Some(Candidate {
        age: response
            .initial_age
            .saturating_add(now.since(entry.stored())),
        freshness: entry.freshness(now),
        shared_with_credentials: response.shared_with_credentials,
    })
}

/// A stored response on its way to a client: everything that is needed to write it.
#[derive(Debug)]
pub(crate) struct Answer {
    entry: Arc<Entry<Stored>>,
    age: Duration,
    decision: Decision,
    is_head: bool,
    /// The cache, where an outer layer of it must be told that this one decided.
    within: Option<Store<Stored>>,
}

impl Answer {
    /// An answer out of the store.
    pub(crate) fn hit(
        entry: Arc<Entry<Stored>>,
        now: Moment,
        if_error: bool,
        is_head: bool,
    ) -> Option<Self> {
        let candidate = candidate(&entry, now)?;
        let (ttl, ground) = match candidate.freshness {
            Freshness::Fresh { left } => (Ttl::left(left), Ground::Fresh),
            Freshness::Stale { by, .. } if if_error => (Ttl::ended(by), Ground::IfError),
            Freshness::Stale { by, .. } => (Ttl::ended(by), Ground::WhileRevalidate),
            Freshness::Dead => return None,
        };
        let decision = Decision::Hit { ttl, ground };
        Some(Self {
            entry,
            age: candidate.age,
            decision,
            is_head,
            within: None,
        })
    }

    /// An answer out of another request's load.
    pub(crate) fn collapsed(
        entry: Arc<Entry<Stored>>,
        now: Moment,
        why: Forwarded,
    ) -> Option<Self> {
        let candidate = candidate(&entry, now)?;
        let ttl = match candidate.freshness {
            Freshness::Fresh { left } => Ttl::left(left),
            Freshness::Stale { by, .. } => Ttl::ended(by),
            Freshness::Dead => Ttl::left(Duration::ZERO),
        };
        let decision = Decision::Forward {
            why,
            collapsed: Some(true),
            then: Then::Stored { ttl },
        };
        Some(Self {
            entry,
            age: candidate.age,
            decision,
            is_head: false,
            within: None,
        })
    }

    /// How a request that is answered so is counted.
    pub(crate) fn event(&self) -> Event {
        match self.decision {
            Decision::Hit {
                ground: Ground::Fresh,
                ..
            } => Event::Hit,
            _ => Event::Stale,
        }
    }

    /// The same, for an outer layer of the cache `store`.
    pub(crate) fn within(mut self, store: &Store<Stored>) -> Self {
        self.within = Some(store.clone());
        self
    }

    /// Writes the response.
    pub(crate) fn into_response<B>(
        self,
        status: Option<&CacheStatus>,
    ) -> Response<ResponseBody<B>> {
        let stored = self
            .entry
            .value()
            .and_then(Stored::response)
            .expect("an answer is made of a stored response");
        let mut headers = stored.headers.clone();
        headers.insert(header::AGE, age_value(self.age));
        write_status(
            &mut headers,
            status,
            self.decision,
            stored.has_upstream_status,
        );
        let body = match &stored.body {
            _ if self.is_head => ResponseBody::empty(),
            Body::Whole(bytes) => ResponseBody::whole(bytes.clone()),
            Body::Filling(fill) => ResponseBody::shared(fill.reader()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = stored.status;
        *response.headers_mut() = headers;
        if let Some(store) = &self.within {
            mark_decided(response.extensions_mut(), store);
        }
        response
    }
}

/// Adds ours after what others said. A map that holds as many fields as one can is left as it is.
pub(crate) fn append_status(headers: &mut HeaderMap, value: HeaderValue) {
    let _ = headers.try_append(CACHE_STATUS, value);
}

fn write_status(
    headers: &mut HeaderMap,
    status: Option<&CacheStatus>,
    decision: Decision,
    has_upstream: bool,
) {
    match status {
        Some(status) if has_upstream => {
            append_status(headers, status.value(decision));
        }
        Some(status) => {
            headers.insert(CACHE_STATUS, status.value(decision));
        }
        None if has_upstream => {}
        None => {
            headers.remove(CACHE_STATUS);
        }
    }
}

/// The value of Age: seconds, rounded down (RFC 9111 §5.1).
fn age_value(age: Duration) -> HeaderValue {
    static PREPARED: LazyLock<Prepared> = LazyLock::new(Prepared::default);
    let seconds = age.as_secs().min(1 << 31);
    PREPARED.get(seconds as i64, || HeaderValue::from(seconds))
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
