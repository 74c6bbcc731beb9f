//! Which way a request takes.

use super::{
    Shared,
    account::{self, Account, Came, Counted, Span},
    commit,
    invalidation::Invalidation,
    nested::{self, Outer, Owner},
    refresh::Refresh,
    refusal::Refusal,
};
use crate::{
    groups::Groups,
    http::{
        cache_status::{Decision, Forwarded, Ground, Then},
        key::write_key,
        lookup::{Candidate, Failure, Lookup, lookup, may_stand_in},
        request::{Bypass, MethodClass, RequestFacts},
        shape::{Fit, Shape},
        vary::{preferred_language, write_selecting_language},
    },
    policy::{Policy, Source},
    purge::Purger,
    stored::{Answer, Stored, StoredResponse, Variants, append_status, candidate},
};
use cache_core::{Entry, Key, clock::Moment, key::scratch, remote::Lease, store::FlightKey};
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header,
};
use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
};

/// A request as the engine sees it. The URI is the one the client sent.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    /// Those that decisions read, at least; see [`decides`](crate::http::request::decides).
    pub(crate) headers: &'a HeaderMap,
    /// The fields of these names, where `headers` has no others than decisions read.
    pub(crate) others: Option<Others<'a>>,
    pub(crate) extensions: &'a Extensions,
    pub(crate) has_body: bool,
    /// The template of its route, for metrics and spans; empty where it is not known.
    pub(crate) route: &'a str,
}

/// Gives the fields of these names.
pub(crate) type Others<'a> = &'a dyn Fn(&[HeaderName]) -> HeaderMap;

impl<'a> Asked<'a> {
    /// The fields by which a variant is selected.
    fn selecting(&self, names: &[HeaderName]) -> Cow<'a, HeaderMap> {
        match self.others {
            None => Cow::Borrowed(self.headers),
            Some(others) => Cow::Owned(others(names)),
        }
    }

    /// The authority of its URI, or what Host says.
    pub(super) fn authority(&self) -> &'a str {
        let host = || self.headers.get(header::HOST)?.to_str().ok();
        match self.uri.authority() {
            Some(authority) => authority.as_str(),
            None => host().unwrap_or_default(),
        }
    }
}

/// Which way it takes. What only the longer ways need is boxed, so that a hit moves little.
pub(crate) enum Begin {
    /// Past the cache.
    Bypass(Passage),
    /// Out of the store.
    Answer(Answer),
    /// Out of the store, and the adapter runs the refresh.
    Refresh(Answer, Box<Refresh>),
    /// The cache itself says no.
    Refuse(Refusal),
    /// Along [`drive`](super::drive).
    Drive(Box<Plan>),
}

/// What is to be done with a request that goes past the cache, and with its response.
pub(crate) struct Passage {
    reason: Bypass,
    invalidation: Option<Invalidation>,
    /// This layer's depth within others of its cache.
    depth: u8,
    /// `None` for a refresh of an outer layer. Boxed, so that no hit carries its size about.
    account: Option<Box<Account>>,
}

/// What [`drive`](super::drive) is to do.
pub(crate) struct Plan {
    pub(super) key: Key,
    /// How much of the key is the URI's.
    pub(super) uri_length: usize,
    pub(super) flight: FlightKey,
    pub(super) facts: RequestFacts,
    pub(super) why: Forwarded,
    /// What is stored for it: to be validated or completed, and to answer if the origin fails.
    pub(super) stored: Option<Arc<Entry<Stored>>>,
    /// Of an unsafe request whose response may be stored.
    pub(super) invalidation: Option<Invalidation>,
    /// The origin of its URI, for groups that are an origin's own.
    pub(super) origin: Box<str>,
    /// This layer's depth within others of its cache.
    pub(super) depth: u8,
    /// `None` for a refresh.
    pub(super) counted: Option<Counted>,
    /// The same, for who answers it.
    pub(super) account: Option<Account>,
    /// The right to load it, of the layer without.
    pub(super) lease: Option<Lease>,
    /// The parameters of the route, for groups that name them.
    pub(crate) parameters: Vec<(Box<str>, String)>,
    /// The line of `CACHE_ROUTES` that it is by.
    pub(crate) rule: Option<usize>,
}

/// Decides which way a request takes.
pub(crate) fn begin(shared: &Arc<Shared>, policy: &Arc<Policy>, asked: Asked<'_>) -> Begin {
    let came = Came::now(&shared.store);
    let outer = Outer::of(asked.extensions, &shared.store);
    let facts = RequestFacts::read(
        asked.method,
        asked.uri,
        asked.headers,
        asked.has_body,
        policy.follows(),
    );
    if let Some(outer) = outer {
        outer.take_count_back();
    }
    let search = Search {
        shared,
        policy,
        asked,
        facts,
        depth: outer.map_or(0, Outer::within),
        is_refresh: outer.is_some_and(Outer::is_refresh),
        outer,
        came,
    };
    let mut begin = match search.bypass() {
        Some(Bypass::Disabled) => search.pass_through(),
        Some(reason) => search.pass(reason),
        None => scratch(|key| search.run(key)),
    };
    search.count(&mut begin);
    begin
}

/// One request on its way to a decision.
struct Search<'a> {
    shared: &'a Arc<Shared>,
    policy: &'a Arc<Policy>,
    asked: Asked<'a>,
    facts: RequestFacts,
    depth: u8,
    is_refresh: bool,
    outer: Option<&'a Outer>,
    came: Came,
}

/// The response that is stored for a request, and what the rules know of it.
struct Found {
    entry: Arc<Entry<Stored>>,
    judged: Candidate,
}

impl Found {
    fn of(entry: Arc<Entry<Stored>>, now: Moment) -> Option<Self> {
        let judged = candidate(&entry, now)?;
        Some(Self { entry, judged })
    }
}

/// A key in a borrowed buffer. Behind the first `length` bytes stands what selects a variant, where
/// the key's entry has any.
struct SearchKey<'a> {
    bytes: &'a mut Vec<u8>,
    length: usize,
    uri_length: usize,
}

impl SearchKey<'_> {
    fn primary(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(self.bytes)
    }

    fn selected(&self) -> &[u8] {
        let values = self.length + commit::VARIANT_PREFIX;
        self.bytes.get(values..).unwrap_or(&[])
    }
}

impl Search<'_> {
    /// Counts the request, and tells an outer layer of it. In its place: what is decided is large.
    fn count(&self, begin: &mut Begin) {
        let settled = match begin {
            Begin::Answer(answer) | Begin::Refresh(answer, _) => {
                self.tell_outer(answer);
                answer.decision()
            }
            Begin::Refuse(refusal) => refusal.decision(),
            Begin::Bypass(passage) => {
                let account = self.account(Decision::Bypass(passage.reason));
                passage.account = account.map(Box::new);
                return;
            }
            Begin::Drive(plan) => {
                plan.account = self.account(Decision::Forward {
                    why: plan.why,
                    status: None,
                    collapsed: None,
                    then: Then::Failed,
                });
                if let Some(account) = &plan.account {
                    account.about(plan.key.as_bytes());
                }
                plan.counted = plan.account.as_ref().map(Account::counted);
                return;
            }
        };
        self.settle(settled);
    }

    /// It is answered, and that is its end.
    fn settle(&self, decision: Decision) {
        if self.is_refresh {
            return;
        }
        let store = &self.shared.store;
        let span = Span::of(store.name(), self.asked.route);
        account::settle(store, decision, self.asked.route, self.came, &span);
        self.came.measure(store);
    }

    /// It is under way, and will end so unless it is decided otherwise.
    fn account(&self, looks: Decision) -> Option<Account> {
        let (store, route) = (&self.shared.store, self.asked.route);
        if self.is_refresh {
            return None;
        }
        let span = Span::of(store.name(), route);
        Some(Account::open(store, looks, route, self.came, span))
    }

    /// Tells an outer layer that this one decided.
    fn tell_outer(&self, answer: &mut Answer) {
        if self.depth > 0 {
            answer.tell_outer(&self.shared.store);
        }
    }

    fn bypass(&self) -> Option<Bypass> {
        if !self.shared.is_enabled {
            return Some(Bypass::Disabled);
        }
        let off = (self.policy.source() == Source::Off).then_some(Bypass::Policy);
        let reason = self.facts.bypass_reason().or(off);
        reason.filter(|_| !self.may_store_post())
    }

    /// The response to a POST may answer a later GET (RFC 9110 §9.3.3).
    fn may_store_post(&self) -> bool {
        self.facts.method == MethodClass::Post
            && self.facts.bypass_reason() == Some(Bypass::Method)
            && self.policy.source() != Source::Off
            && !self.policy.is_guarded()
            && !self.facts.directives.no_store
    }

    fn pass(&self, reason: Bypass) -> Begin {
        Begin::Bypass(Passage {
            reason,
            invalidation: self.invalidation(),
            depth: self.depth,
            account: None,
        })
    }

    /// As if there were no cache.
    fn pass_through(&self) -> Begin {
        Begin::Bypass(Passage {
            reason: Bypass::Disabled,
            invalidation: None,
            depth: self.depth,
            account: None,
        })
    }

    /// What an unsafe request removes. Whom a request means whose authorities disagree nobody knows.
    fn invalidation(&self) -> Option<Invalidation> {
        let is_update = self.facts.method.is_unsafe() && !self.facts.authorities_disagree;
        is_update.then(|| Invalidation::new(self.shared, self.policy, self.asked))
    }

    fn run(&self, bytes: &mut Vec<u8>) -> Begin {
        let Some(key) = self.key(bytes) else {
            return self.pass(Bypass::KeyTooLong);
        };
        if self.facts.method == MethodClass::Post {
            return self.forward_post(&key);
        }
        let now = self.came.moment(&self.shared.store);
        let found = if self.is_refresh {
            Err(Forwarded::Stale)
        } else {
            find(
                self.shared,
                self.policy,
                self.depth,
                |names| self.asked.selecting(names),
                key.bytes,
                now,
            )
            .and_then(|entry| Found::of(entry, now).ok_or(Forwarded::UriMiss))
        };
        let judged = found.as_ref().map(|found| found.judged).map_err(|why| *why);
        let decision = lookup(&self.facts, judged, self.policy);
        self.follow(decision, found.ok(), &key, now)
    }

    fn forward_post(&self, key: &SearchKey<'_>) -> Begin {
        let mut plan = self.plan(Forwarded::Method, None, key);
        plan.invalidation = self.invalidation();
        Begin::Drive(plan)
    }

    fn key<'k>(&self, bytes: &'k mut Vec<u8>) -> Option<SearchKey<'k>> {
        let Self {
            shared,
            policy,
            asked,
            facts,
            ..
        } = self;
        let written = write_key(
            policy.key(),
            shared.scheme,
            asked.uri,
            asked.headers,
            facts.forwarded,
            bytes,
        );
        let uri_length = written?.uri_length;
        let length = bytes.len();
        if length > uri_length && !shared.has_longer_keys.load(Ordering::Relaxed) {
            // Before any such request takes its ticket, so that no invalidation misses it.
            shared.has_longer_keys.store(true, Ordering::SeqCst);
        }
        Some(SearchKey {
            bytes,
            length,
            uri_length,
        })
    }

    /// Turns the decision into the way the request takes.
    fn follow(
        &self,
        decision: Lookup,
        found: Option<Found>,
        key: &SearchKey<'_>,
        now: Moment,
    ) -> Begin {
        let why = match decision {
            Lookup::GatewayTimeout => return Begin::Refuse(Refusal::OnlyIfCached),
            Lookup::Forward(why) => why,
            Lookup::Fresh | Lookup::StaleWhileRevalidate | Lookup::MaxStale => {
                return match found {
                    Some(found) => self.reuse(decision, found, key, now),
                    None => self.forward(Forwarded::UriMiss, None, key),
                };
            }
        };
        match found {
            // What may not be given to this client is no matter to its request.
            None => self.forward(why, None, key),
            Some(_) if why == Forwarded::Miss => self.forward(why, None, key),
            Some(found) => self.forward_or_pause(why, found, key),
        }
    }

    /// Answers with what is stored, where it has what is asked for.
    fn reuse(
        &self,
        decision: Lookup,
        Found { entry, judged }: Found,
        key: &SearchKey<'_>,
        now: Moment,
    ) -> Begin {
        let shape = match self.fit(&entry) {
            Fit::As(shape) => shape,
            Fit::Lacks | Fit::Precondition if self.wants_stored_only() => {
                return Begin::Refuse(Refusal::OnlyIfCached);
            }
            Fit::Precondition => return self.pass(Bypass::Precondition),
            Fit::Lacks => return self.forward(Forwarded::Partial, Some(entry), key),
        };
        let ground = match decision {
            Lookup::MaxStale => Ground::MaxStale,
            _ => Ground::WhileRevalidate,
        };
        let is_due = match decision {
            Lookup::Fresh => self.is_due_early(&entry, now),
            Lookup::StaleWhileRevalidate => true,
            _ => false,
        };
        if is_due {
            let refreshed = Arc::clone(&entry);
            let answer = Answer::hit(entry, shape, &judged, ground, self.is_head());
            return self.refresh(answer, &refreshed, key);
        }
        Begin::Answer(Answer::hit(entry, shape, &judged, ground, self.is_head()))
    }

    fn fit(&self, entry: &Entry<Stored>) -> Fit {
        if self.facts.is_plain() {
            // As for almost all: without a look at the clock on the wall.
            let holds_all = entry
                .value()
                .and_then(Stored::response)
                .is_some_and(StoredResponse::holds_all);
            return if holds_all {
                Fit::As(Shape::Full)
            } else {
                Fit::Lacks
            };
        }
        entry
            .value()
            .and_then(Stored::response)
            .map_or(Fit::Lacks, |response| {
                let now = self.shared.store.clock().wall();
                response.fit(&self.facts, self.asked.headers, now)
            })
    }

    fn wants_stored_only(&self) -> bool {
        self.facts.directives.only_if_cached && self.policy.heeds_client()
    }

    fn is_due_early(&self, entry: &Entry<Stored>, now: Moment) -> bool {
        self.shared
            .store
            .is_due_early(entry, now, self.policy.life())
    }

    /// A stale response, or a fresh one that is due early, is given out; one request refreshes it.
    fn refresh(&self, answer: Answer, entry: &Arc<Entry<Stored>>, key: &SearchKey<'_>) -> Begin {
        // After a failure there is a pause; and of a request that keeps nothing nothing is kept.
        if self.is_paused(key) || self.facts.directives.no_store {
            return Begin::Answer(answer);
        }
        let mut plan = self.plan(Forwarded::Stale, Some(Arc::clone(entry)), key);
        plan.lay_off_credentials();
        match Refresh::begin(self.shared, self.policy, plan) {
            Some(refresh) if self.is_stored(entry, key) => {
                Begin::Refresh(answer, Box::new(refresh))
            }
            _ => Begin::Answer(answer),
        }
    }

    /// Whether that is still what is stored: another refresh may have ended between the look-up and the turn
    /// of this one. Apart from the way of hits.
    #[cold]
    #[inline(never)]
    fn is_stored(&self, entry: &Arc<Entry<Stored>>, key: &SearchKey<'_>) -> bool {
        scratch(|bytes| {
            bytes.extend_from_slice(key.primary());
            let fields = |names: &[HeaderName]| self.asked.selecting(names);
            let now = self.shared.store.now();
            let found = find(self.shared, self.policy, self.depth, fields, bytes, now);
            found.is_ok_and(|found| Arc::ptr_eq(&found, entry))
        })
    }

    /// Within the pause after a failure the stale response answers without another attempt.
    fn forward_or_pause(
        &self,
        why: Forwarded,
        Found { entry, judged }: Found,
        key: &SearchKey<'_>,
    ) -> Begin {
        let may = why == Forwarded::Stale
            && !(self.policy.heeds_client() && self.facts.insists())
            && self.is_paused(key)
            && may_stand_in(&self.facts, &judged, self.policy, Failure::Status);
        if may && let Fit::As(shape) = self.fit(&entry) {
            let ground = Ground::IfError;
            return Begin::Answer(Answer::hit(entry, shape, &judged, ground, self.is_head()));
        }
        self.forward(why, Some(entry), key)
    }

    /// To the origin: past the cache where nothing of it may be kept, or where only the origin can tell
    /// what the request's preconditions ask.
    fn forward(
        &self,
        why: Forwarded,
        stored: Option<Arc<Entry<Stored>>>,
        key: &SearchKey<'_>,
    ) -> Begin {
        if self.facts.directives.no_store {
            return self.pass(Bypass::NoStore);
        }
        if self.facts.precondition {
            return self.pass(Bypass::Precondition);
        }
        Begin::Drive(self.plan(why, stored, key))
    }

    fn is_paused(&self, key: &SearchKey<'_>) -> bool {
        self.shared.store.paused(key.primary()).is_some()
    }

    fn is_head(&self) -> bool {
        self.facts.method == MethodClass::Head
    }

    fn plan(
        &self,
        why: Forwarded,
        stored: Option<Arc<Entry<Stored>>>,
        key: &SearchKey<'_>,
    ) -> Box<Plan> {
        let primary = Key::from(key.primary());
        let flight = FlightKey {
            key: primary.clone(),
            lane: Some(self.lane(key.selected())),
        };
        Box::new(Plan {
            key: primary,
            uri_length: key.uri_length,
            flight,
            facts: self.facts,
            why,
            stored,
            invalidation: None,
            origin: self.shared.origin(self.asked).into(),
            depth: self.depth,
            counted: None,
            account: None,
            lease: self.outer.and_then(|outer| outer.take_lease(key.primary())),
            parameters: Vec::new(),
            rule: None,
        })
    }

    /// Requests of one key that must not share an outcome fly in lanes of their own: those of each layer,
    /// those that carry credentials apart from those that do not, and each selection of a variant.
    fn lane(&self, selected: &[u8]) -> Key {
        let apart = self.facts.has_credentials() && self.policy.separates_credentials();
        let mut lane = Vec::with_capacity(LANE + selected.len());
        lane.push(u8::from(apart));
        Owner::new(self.policy, self.depth).write(&mut lane);
        lane.extend_from_slice(selected);
        Key::from(&*lane)
    }
}

/// So much of a lane is not what it selects.
const LANE: usize = 1 + size_of::<usize>() + 1;

impl Plan {
    /// Whether it renews something for all: its failure is followed by a pause. What one client insists on
    /// may fail for it alone.
    pub(super) fn renews(&self, policy: &Policy) -> bool {
        self.why == Forwarded::Stale && !(policy.heeds_client() && self.facts.insists())
    }

    /// Whether there is something stored that may answer if the origin fails.
    pub(crate) fn has_stored(&self) -> bool {
        self.stored.is_some()
    }

    /// From here on the request flies with those that select the same variant.
    pub(super) fn select(&mut self, selected: &[u8]) {
        let lane = self
            .flight
            .lane
            .as_ref()
            .and_then(|lane| lane.as_bytes().get(..LANE));
        self.flight.lane = lane.map(|lane| Key::from([lane, selected].concat().as_slice()));
        self.why = Forwarded::VaryMiss;
    }

    /// From here on the request flies with those that carry no credentials: what it is about is shared
    /// with both.
    fn lay_off_credentials(&mut self) {
        let lane = self
            .flight
            .lane
            .as_ref()
            .and_then(|lane| lane.as_bytes().get(1..));
        self.flight.lane = lane.map(|lane| Key::from([&[0], lane].concat().as_slice()));
    }
}

/// The stored response that the request selects, if it is this layer's. `key` is left longer where
/// selecting fields had to be looked at: by what they select.
#[inline]
pub(super) fn find<'h>(
    shared: &Shared,
    policy: &Arc<Policy>,
    depth: u8,
    fields: impl FnOnce(&[HeaderName]) -> Cow<'h, HeaderMap>,
    key: &mut Vec<u8>,
    now: Moment,
) -> Result<Arc<Entry<Stored>>, Forwarded> {
    let entry = shared.store.lookup(key, now).ok_or(Forwarded::UriMiss)?;
    let stored = entry.value().ok_or(Forwarded::UriMiss)?;
    if !stored.owner().is(policy, depth) {
        return Err(Forwarded::UriMiss);
    }
    let Stored::Variants(variants) = stored else {
        return Ok(entry);
    };
    let profile = policy.follows();
    let headers = &*fields(&variants.fields);
    commit::write_variant(variants, headers, profile, key);
    let variant = shared
        .store
        .lookup(key, now)
        .or_else(|| in_preferred_language(shared, policy, variants, headers, now))
        .ok_or(Forwarded::VaryMiss)?;
    if let Some(response) = variant.value().and_then(Stored::response) {
        response.touch(now);
    }
    Ok(variant)
}

/// The variant in the one language that the request prefers to all others: whatever else it would take,
/// there is none it would rather have (RFC 9110 §12.5.4).
fn in_preferred_language(
    shared: &Shared,
    policy: &Policy,
    variants: &Variants,
    headers: &HeaderMap,
    now: Moment,
) -> Option<Arc<Entry<Stored>>> {
    let key = preferred(policy, variants, headers)?;
    shared.store.lookup(key.as_bytes(), now)
}

/// The key of that variant.
pub(super) fn preferred<'v>(
    policy: &Policy,
    variants: &'v Variants,
    headers: &HeaderMap,
) -> Option<&'v Key> {
    if variants.languages.is_empty() {
        return None;
    }
    let mut selected = Vec::new();
    write_selecting_language(
        &variants.fields,
        headers,
        policy.follows(),
        preferred_language(headers)?,
        &mut selected,
    );
    let (_, key) = variants
        .languages
        .iter()
        .find(|(known, _)| **known == *selected)?;
    Some(key)
}

impl Passage {
    /// Marks the request, and gives the handler behind its purger.
    pub(crate) fn prepare<B>(&self, shared: &Arc<Shared>, request: &mut Request<B>) {
        self.mark(shared, request.extensions_mut());
    }

    /// The same, by its extensions.
    pub(crate) fn mark(&self, shared: &Arc<Shared>, extensions: &mut Extensions) {
        let counted = self.account.as_deref().map(Account::counted);
        let outer = Outer::new(&shared.store, self.depth, counted, None);
        extensions.insert(outer);
        extensions.insert(Purger::new(shared));
    }

    /// Does what a response to such a request asks for, and says that the cache was not asked.
    pub(crate) fn finish<B>(&mut self, shared: &Shared, response: &mut Response<B>) {
        self.invalidate(response.status(), response.headers());
        self.append_label(shared, response);
    }

    /// The same; what is to be removed is so in all processes by when it is done.
    pub(crate) async fn finish_shared<B>(
        mut self,
        shared: Arc<Shared>,
        response: Response<B>,
    ) -> Response<B> {
        let (mut parts, body) = response.into_parts();
        self.invalidate_shared(parts.status, &parts.headers).await;
        if let Some(value) = self.label(&shared, &mut parts.extensions) {
            append_status(&mut parts.headers, value);
        }
        Response::from_parts(parts, body)
    }

    fn append_label<B>(&self, shared: &Shared, response: &mut Response<B>) {
        if let Some(value) = self.label(shared, response.extensions_mut()) {
            append_status(response.headers_mut(), value);
        }
    }

    /// Whether [`invalidate`](Self::invalidate) does anything.
    pub(crate) fn may_invalidate(&self) -> bool {
        self.invalidation.is_some()
    }

    /// Removes what a response says is out of date.
    pub(crate) fn invalidate(&mut self, status: StatusCode, headers: &HeaderMap) {
        if let Some(invalidation) = self.invalidation.take() {
            invalidation.carry_out_behind(status, headers);
        }
    }

    /// The same, in all processes by when it is done.
    pub(crate) async fn invalidate_shared(&mut self, status: StatusCode, headers: &HeaderMap) {
        if let Some(invalidation) = self.invalidation.take() {
            invalidation.carry_out(status, headers).await;
        }
    }

    /// Takes off what a handler said to the cache. Gives the Cache-Status that the response is to have.
    pub(crate) fn label(
        &self,
        shared: &Shared,
        extensions: &mut Extensions,
    ) -> Option<HeaderValue> {
        extensions.remove::<Groups>();
        extensions.remove::<Policy>();
        let decided = nested::was_decided(extensions, &shared.store);
        if self.depth > 0 {
            nested::mark_decided(extensions, &shared.store);
        }
        let decision = Decision::Bypass(self.reason);
        if let Some(account) = &self.account {
            account.close(decision);
        }
        let says = !decided && self.reason != Bypass::Disabled;
        let status = shared.status.as_ref().filter(|_| says)?;
        Some(status.value(decision))
    }

    /// Runs what belongs to the request, within its span.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        match &self.account {
            Some(account) => account.enter(f),
            None => f(),
        }
    }

    /// The service failed to answer: what it may have done is not known, but an overloaded one must not
    /// lose what it has stored.
    pub(crate) fn failed(&mut self) {
        if let Some(invalidation) = self.invalidation.take() {
            invalidation.drop_it();
        }
    }
}
