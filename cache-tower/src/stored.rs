//! What the cache keeps of a response, and how it is given out again.

use crate::{
    body::ResponseBody,
    engine::{Owner, Shared, mark_decided},
    fill::Fill,
    http::{
        admit::{Nature, Terms},
        cache_status::{CacheStatus, Decision, Forwarded, Ground, Prepared, Then, Ttl},
        conditional, fields,
        lookup::Candidate,
        range::{ContentRange, Multipart, Segments, Span},
        request::RequestFacts,
        shape::{self, Fit, Shape},
    },
};
use bytes::Bytes;
use cache_core::{Entry, Freshness, Key, Store, clock::Moment, observe::Tier};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use std::{
    any::Any,
    fmt,
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// The name of the Cache-Status field (RFC 9211), which the `http` crate does not have.
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What lies under one key of the store.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "almost all are responses")]
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
            Self::Response(response) => &response.head.owner,
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
    head: Head,
    body: Body,
    nature: Nature,
    /// What selects it.
    pub(crate) selecting: Selecting,
    /// The fields in an adapter's own form.
    native: OnceLock<Box<dyn Any + Send + Sync>>,
    /// When it was last given out, for choosing among the variants of a URI.
    used: AtomicU64,
}

/// The fields that select a response, and the bytes that the request it answers has for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Selecting {
    pub(crate) fields: Box<[HeaderName]>,
    pub(crate) values: Box<[u8]>,
}

/// The body of a stored response.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// All of it.
    Whole(Bytes),
    /// Parts of it (RFC 9111 §3.3).
    Parts(Segments),
    /// Still coming in. Such a response is shared with those who wait and never stored.
    Filling(Arc<Fill>),
}

impl Body {
    fn weight(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Parts(parts) => usize::try_from(parts.len()).unwrap_or(usize::MAX),
            Self::Filling(_) => 0,
        }
    }
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
    /// Variants in one language, by the selection of a request that prefers this language to all others.
    pub(crate) languages: Box<[(Box<[u8]>, Key)]>,
}

impl Variants {
    /// What it weighs in memory, beside its key.
    pub(crate) fn weight(&self) -> usize {
        let keys: usize = self.keys.iter().map(|key| key.as_bytes().len() + 64).sum();
        let languages: usize = self
            .languages
            .iter()
            .map(|(selected, key)| selected.len() + key.as_bytes().len() + 64)
            .sum();
        keys + languages
    }
}

/// A response's fields as they are stored.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    owner: Owner,
    status: StatusCode,
    headers: HeaderMap,
    received: SystemTime,
    /// The route's and the handler's groups, for what renews it.
    groups: Arc<[String]>,
    /// Members of Cache-Status that came with the response: ours goes after them.
    has_upstream_status: bool,
}

impl Head {
    /// Takes what may be stored of a response's head (RFC 9111 §3.1) and makes places for Age and
    /// Cache-Status.
    pub(crate) fn of(
        status: StatusCode,
        headers: &HeaderMap,
        owner: Owner,
        terms: &Terms,
        received: SystemTime,
        groups: Arc<[String]>,
    ) -> Self {
        let fields = fields::storable(headers, &terms.withheld, received);
        Self::restored(status, fields, owner, received, groups)
    }

    /// As it was before it went to another process; `fields` are without those places.
    pub(crate) fn restored(
        status: StatusCode,
        fields: HeaderMap,
        owner: Owner,
        received: SystemTime,
        groups: Arc<[String]>,
    ) -> Self {
        Self {
            owner,
            status,
            headers: HeaderMap::new(),
            received,
            groups,
            has_upstream_status: false,
        }
        .with_fields(fields)
    }

    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn groups(&self) -> &Arc<[String]> {
        &self.groups
    }

    /// The fields without the places that hits write to.
    pub(crate) fn fields(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.remove(header::AGE);
        if !self.has_upstream_status {
            headers.remove(CACHE_STATUS);
        }
        headers
    }

    /// The same response with other fields.
    pub(crate) fn with_fields(&self, mut headers: HeaderMap) -> Self {
        headers.insert(header::AGE, HeaderValue::from_static("0"));
        let has_upstream_status = headers.contains_key(CACHE_STATUS);
        if !has_upstream_status {
            headers.insert(CACHE_STATUS, HeaderValue::from_static(""));
        }
        Self {
            headers,
            has_upstream_status,
            ..self.clone()
        }
    }

    pub(crate) fn received(&self) -> SystemTime {
        self.received
    }

    /// The same for a response that holds all of what this one holds parts of, or the other way round.
    fn framed(mut self, body: &Body) -> Self {
        self.headers.remove(header::CONTENT_RANGE);
        match body {
            Body::Whole(bytes) => {
                if self.status == StatusCode::PARTIAL_CONTENT {
                    self.status = StatusCode::OK;
                    self.headers.remove(header::CONTENT_LENGTH);
                }
                // So that a HEAD can say how long the body would be (RFC 9110 §9.3.2).
                if self.status != StatusCode::NO_CONTENT
                    && !self.headers.contains_key(header::CONTENT_LENGTH)
                {
                    self.headers
                        .insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
                }
            }
            Body::Parts(_) => {
                self.headers.remove(header::CONTENT_LENGTH);
            }
            Body::Filling(_) => {}
        }
        self
    }

    /// With an adapter's copy, which takes `copy` bytes for each field beside its text.
    fn weight(&self, copy: usize) -> usize {
        /// What a map spends on a field beside its text.
        const FIELD: usize = 104;
        let copies = 1 + usize::from(copy > 0);
        self.headers
            .iter()
            .map(|(name, value)| copies * (name.as_str().len() + value.len()) + FIELD + copy)
            .sum()
    }
}

impl StoredResponse {
    pub(crate) fn new(head: Head, body: Body, terms: &Terms, selecting: Selecting) -> Self {
        Self {
            head: head.framed(&body),
            body,
            nature: terms.nature,
            selecting,
            native: OnceLock::new(),
            used: AtomicU64::new(0),
        }
    }

    /// One that came from another process, in full.
    pub(crate) fn restored(head: Head, body: Bytes, nature: Nature, selecting: Selecting) -> Self {
        let body = Body::Whole(body);
        Self {
            head: head.framed(&body),
            body,
            nature,
            selecting,
            native: OnceLock::new(),
            used: AtomicU64::new(0),
        }
    }

    pub(crate) fn nature(&self) -> &Nature {
        &self.nature
    }

    /// What it weighs in memory, beside its key.
    pub(crate) fn weight(&self, field_copy: usize) -> usize {
        size_of::<Self>()
            + self.head.weight(field_copy)
            + self.body.weight()
            + self.selecting.values.len()
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Whether nothing of its representation is missing.
    pub(crate) fn holds_all(&self) -> bool {
        !matches!(self.body, Body::Parts(_))
    }

    /// Whether its body is still coming in.
    pub(crate) fn is_coming(&self) -> bool {
        matches!(self.body, Body::Filling(_))
    }

    pub(crate) fn groups(&self) -> &Arc<[String]> {
        &self.head.groups
    }

    /// How it would answer a request.
    pub(crate) fn fit(&self, request: &RequestFacts, headers: &HeaderMap, now: SystemTime) -> Fit {
        let extent = match &self.body {
            Body::Whole(bytes) => shape::Held::Whole(bytes.len() as u64),
            Body::Parts(parts) => shape::Held::Parts(parts),
            Body::Filling(_) => shape::Held::Coming,
        };
        let stored = conditional::Stored {
            status: self.head.status,
            headers: &self.head.headers,
            received: self.head.received,
        };
        shape::fit(request, headers, stored, extent, now)
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
    let nature = &entry.value()?.response()?.nature;
    let freshness = match entry.freshness(now) {
        Freshness::Stale {
            by,
            while_revalidate,
            if_error,
        } => Freshness::Stale {
            by: by.saturating_add(nature.overdue),
            while_revalidate,
            if_error,
        },
        other => other,
    };
    Some(Candidate {
        age: nature.initial_age.saturating_add(now.since(entry.stored())),
        freshness,
        shared_with_credentials: nature.shared_with_credentials,
        forbids_stale: nature.forbids_stale,
        immutable: nature.immutable,
    })
}

/// A stored response on its way to a client: everything that is needed to write it.
#[derive(Debug)]
pub(crate) struct Answer {
    entry: Arc<Entry<Stored>>,
    shape: Shape,
    age: Duration,
    decision: Decision,
    is_head: bool,
    /// The cache, where an outer layer of it must be told that this one decided.
    within: Option<Store<Stored>>,
}

impl Answer {
    /// An answer out of the store; `stale` is the ground on which it may be given where it is stale.
    pub(crate) fn hit(
        entry: Arc<Entry<Stored>>,
        shape: Shape,
        judged: &Candidate,
        stale: Ground,
        is_head: bool,
    ) -> Self {
        let ground = match judged.freshness {
            Freshness::Fresh { .. } => Ground::Fresh,
            Freshness::Stale { .. } | Freshness::Dead => stale,
        };
        let decision = |ttl| Decision::Hit {
            ttl,
            ground,
            tier: Tier::Memory,
        };
        Self::decided(entry, shape, judged, is_head, decision)
    }

    /// An answer out of another request's load.
    pub(crate) fn collapsed(
        entry: Arc<Entry<Stored>>,
        shape: Shape,
        judged: &Candidate,
        why: Forwarded,
    ) -> Self {
        let decision = |ttl| Decision::Forward {
            why,
            status: None,
            collapsed: Some(true),
            then: Then::Stored { ttl },
        };
        Self::decided(entry, shape, judged, false, decision)
    }

    /// An answer of which it is decided so.
    pub(crate) fn decided(
        entry: Arc<Entry<Stored>>,
        shape: Shape,
        judged: &Candidate,
        is_head: bool,
        decision: impl FnOnce(Ttl) -> Decision,
    ) -> Self {
        Self {
            entry,
            shape,
            age: judged.age,
            decision: decision(ttl(judged.freshness)),
            is_head,
            within: None,
        }
    }

    /// What is decided by it.
    pub(crate) fn decision(&self) -> Decision {
        self.decision
    }

    /// The same, where it is the remote tier that had it.
    pub(crate) fn found_there(mut self) -> Self {
        if let Decision::Hit { tier, .. } = &mut self.decision {
            *tier = Tier::Remote;
        }
        self
    }

    /// Tells an outer layer of the cache `store` that it was decided here.
    pub(crate) fn tell_outer(&mut self, store: &Store<Stored>) {
        self.within = Some(store.clone());
    }

    /// Its parts, where it is nothing but what is stored, with Age and Cache-Status written anew. `convert`
    /// makes the adapter's own form of the stored fields, once for each stored response.
    pub(crate) fn with_head<H, B, R>(
        &self,
        shared: &Shared,
        convert: impl FnOnce(&HeaderMap) -> H,
        write: impl FnOnce(Plain<'_, H, B>) -> R,
    ) -> Option<R>
    where
        H: Any + Send + Sync,
    {
        let stored = self.entry.value()?.response()?;
        let is_plain = matches!(self.shape, Shape::Full)
            && !stored.head.has_upstream_status
            && !stored.nature.is_targeted;
        if !is_plain {
            return None;
        }
        let head = stored.native.get_or_init(|| {
            let mut fields = stored.head.headers.clone();
            fields.remove(header::AGE);
            fields.remove(CACHE_STATUS);
            Box::new(convert(&fields))
        });
        let mut extensions = Extensions::new();
        if let Some(store) = &self.within {
            mark_decided(&mut extensions, store);
        }
        Some(write(Plain {
            status: stored.head.status,
            head: head.downcast_ref()?,
            age: age_value(self.age),
            cache_status: shared
                .status
                .as_ref()
                .map(|status| status.value(self.decision)),
            extensions,
            body: match self.is_head {
                true => ResponseBody::empty(),
                false => stored.full_body(),
            },
        }))
    }

    /// Writes the response.
    pub(crate) fn into_response<B>(self, shared: &Shared) -> Response<ResponseBody<B>> {
        let stored = self
            .entry
            .value()
            .and_then(Stored::response)
            .expect("an answer is made of a stored response");
        let mut headers = stored.head.headers.clone();
        overwrite(&mut headers, &header::AGE, age_value(self.age));
        let has_upstream = stored.head.has_upstream_status;
        write_status(
            &mut headers,
            shared.status.as_ref(),
            self.decision,
            has_upstream,
        );
        if stored.nature.is_targeted {
            for name in &shared.targets {
                headers.remove(name);
            }
        }
        let mut response = Response::new(ResponseBody::empty());
        *response.status_mut() = stored.head.status;
        *response.headers_mut() = headers;
        match &self.shape {
            Shape::Full => *response.body_mut() = stored.full_body(),
            shape => stored.write_shaped(shape, shared, &mut response),
        }
        if self.is_head {
            *response.body_mut() = ResponseBody::empty();
        }
        if let Some(store) = &self.within {
            mark_decided(response.extensions_mut(), store);
        }
        response
    }
}

/// An answer that is nothing but what is stored, with two fields written anew.
pub struct Plain<'a, H, B> {
    /// The status of the response.
    pub status: StatusCode,
    /// Its fields, in the adapter's form, without the two that follow.
    pub head: &'a H,
    /// The value of Age.
    pub age: HeaderValue,
    /// The value of Cache-Status, where the cache sends it.
    pub cache_status: Option<HeaderValue>,
    /// The marks that a layer further out looks for; often none.
    pub extensions: Extensions,
    /// The body.
    pub body: ResponseBody<B>,
}

/// Without what may not reach a log.
impl<H, B> fmt::Debug for Plain<'_, H, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain")
            .field("status", &self.status)
            .field("age", &self.age)
            .field("cache_status", &self.cache_status)
            .finish_non_exhaustive()
    }
}

fn ttl(freshness: Freshness) -> Ttl {
    match freshness {
        Freshness::Fresh { left } => Ttl::left(left),
        Freshness::Stale { by, .. } => Ttl::ended(by),
        Freshness::Dead => Ttl::left(Duration::ZERO),
    }
}

impl StoredResponse {
    pub(crate) fn full_body<B>(&self) -> ResponseBody<B> {
        match &self.body {
            Body::Whole(bytes) => ResponseBody::whole(bytes.clone()),
            Body::Filling(fill) => ResponseBody::shared(fill.reader()),
            Body::Parts(_) => ResponseBody::empty(),
        }
    }

    /// Makes of a full answer what the request asks for.
    pub(crate) fn write_shaped<B>(
        &self,
        shape: &Shape,
        shared: &Shared,
        response: &mut Response<ResponseBody<B>>,
    ) {
        match shape {
            Shape::Full => {}
            Shape::NotModified => {
                *response.body_mut() = ResponseBody::empty();
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                conditional::make_not_modified(response.headers_mut());
            }
            Shape::Part(span) => {
                let bytes = self.bytes(*span);
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
                let range = ContentRange::Part {
                    span: *span,
                    complete: self.complete_length(),
                };
                headers.insert(header::CONTENT_RANGE, range.to_value());
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                *response.body_mut() = ResponseBody::whole(bytes);
            }
            Shape::Parts(spans) => self.write_parts(spans, shared, response),
            Shape::Unsatisfiable(length) => {
                *response.body_mut() = ResponseBody::empty();
                let headers = response.headers_mut();
                conditional::make_not_modified(headers);
                headers.remove(header::EXPIRES);
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
                let range = ContentRange::Unsatisfied { complete: *length };
                headers.insert(header::CONTENT_RANGE, range.to_value());
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            }
        }
    }

    fn write_parts<B>(
        &self,
        spans: &[Span],
        shared: &Shared,
        response: &mut Response<ResponseBody<B>>,
    ) {
        let headers = response.headers_mut();
        let content_type = headers.remove(header::CONTENT_TYPE);
        let bits = || u128::from(shared.store.random().bits());
        let multipart = Multipart {
            content_type: content_type.as_ref(),
            boundary: bits() << 64 | bits(),
        };
        let whole;
        let segments = match &self.body {
            Body::Parts(parts) => parts,
            Body::Whole(bytes) => {
                whole = Segments::whole(bytes.clone());
                &whole
            }
            Body::Filling(_) => return,
        };
        // The shape was made of what is there.
        let Some((content_type, body)) = multipart.write(spans, segments) else {
            return;
        };
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        *response.body_mut() = ResponseBody::whole(body);
    }

    /// Bytes that are there: the shape was made of what is.
    fn bytes(&self, span: Span) -> Bytes {
        match &self.body {
            Body::Whole(bytes) => span.of(bytes).unwrap_or_default(),
            Body::Parts(parts) => match parts.slice(span).as_deref() {
                Some([only]) => only.clone(),
                Some(pieces) => pieces.concat().into(),
                None => Bytes::new(),
            },
            Body::Filling(_) => Bytes::new(),
        }
    }

    pub(crate) fn complete_length(&self) -> Option<u64> {
        match &self.body {
            Body::Whole(bytes) => Some(bytes.len() as u64),
            Body::Parts(parts) => parts.complete_length(),
            Body::Filling(_) => None,
        }
    }
}

/// Adds ours after what others said. A map that holds as many fields as one can is left as it is.
pub(crate) fn append_status(headers: &mut HeaderMap, value: HeaderValue) {
    let _ = headers.try_append(CACHE_STATUS, value);
}

/// Writes to a field that has a place. (`insert` makes room for one more in any case, which may
/// allocate.)
fn overwrite(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    if let Some(place) = headers.get_mut(name) {
        *place = value;
    }
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
        Some(status) => overwrite(headers, &CACHE_STATUS, status.value(decision)),
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
