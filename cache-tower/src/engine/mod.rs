//! The one engine: it drives the pure decisions of [`http`](crate::http) over the store.
//!
//! A request takes one of three ways, decided by [`begin`] without waiting and, on a hit, without
//! allocating: past the cache, out of the store, or along [`drive`]. Nothing here demands `Send` or
//! spawns: [`drive`] and [`refresh`] are plain futures, and work that outlives a request is returned
//! to the adapter as a value ([`Refresh`], [`FillJob`]).

mod alone;
mod commit;
mod exchange;
mod fill_job;
mod nested;

pub(crate) use fill_job::FillJob;
pub(crate) use nested::{Outer, mark_decided};

use crate::{
    body::ResponseBody,
    http::{
        cache_status::{CacheStatus, Decision, Forwarded, Then},
        invalidate::invalidates,
        key::{uri_key, write_key},
        lookup::{Lookup, lookup},
        request::{Bypass, MethodClass, RequestFacts},
        vary::{is_accept_encoding_malformed, write_selecting},
    },
    policy::{Policy, Source},
    purge::Purger,
    stored::{Answer, CACHE_STATUS, Selecting, Stored, candidate},
};
use alone::Alone;
use bytes::Bytes;
use cache_core::{
    BoxError, Entry, Event, Freshness, Key, Store,
    clock::Moment,
    key::scratch,
    store::{FlightKey, Join, Lead, Outcome, Waited},
};
use exchange::{Exchange, Settled};
use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, request,
};
use http_body::Body;
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What all layers and services of one cache share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store<Stored>,
    pub(crate) status: Option<CacheStatus>,
    /// The scheme of requests whose URI names none.
    pub(crate) scheme: &'static str,
    pub(crate) max_body: u64,
    pub(crate) max_refreshes: usize,
    pub(crate) refreshes: AtomicUsize,
    pub(crate) alone: Alone,
    /// Some request had a key longer than its URI's: an invalidation of a URI must reach those too.
    pub(crate) has_longer_keys: AtomicBool,
}

/// So long a response that could not be shared keeps others from queueing behind the next.
const UNSHARED: Duration = Duration::from_secs(10);

/// So often a request joins a flight whose outcome turns out not to be for it. Then it goes alone.
const REJOINS: usize = 3;

/// What stands behind the cache. By value: a request is forwarded at most once.
pub(crate) trait Origin<B> {
    type Body: Body<Data = Bytes, Error: Into<BoxError>>;
    type Error;

    fn forward(
        self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Self::Error>>;
}

/// A request as the engine sees it. The URI is the one the client sent.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
    pub(crate) has_body: bool,
}

/// Which way a request takes.
pub(crate) enum Begin {
    /// Past the cache.
    Bypass(Passage),
    /// Out of the store.
    Answer(Answer),
    /// Out of the store, and the adapter runs the refresh.
    Refresh(Answer, Refresh),
    /// The cache itself says no.
    Refuse(Refusal),
    /// Along [`drive`].
    Drive(Plan),
}

/// What is to be done with the response to a request that goes past the cache.
pub(crate) struct Passage {
    reason: Bypass,
    invalidates: Option<(MethodClass, Key)>,
    /// An outer layer of the same cache must leave the decision to this one.
    within_outer: bool,
}

/// What [`drive`] is to do.
pub(crate) struct Plan {
    pub(crate) key: Key,
    uri_length: usize,
    flight: FlightKey,
    facts: RequestFacts,
    why: Forwarded,
    stale: Option<Arc<Entry<Stored>>>,
    outer: Option<Outer>,
    /// The parameters of the route, for groups that name them.
    pub(crate) parameters: Vec<(Box<str>, String)>,
}

/// A refresh to be run in the background, by [`refresh`].
pub(crate) struct Refresh {
    pub(crate) plan: Plan,
    lead: Lead<Stored>,
    _permit: Permit,
}

/// What came of [`drive`].
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(crate) enum Reply<RB> {
    /// Something stored, or shared by another request.
    Stored(Answer),
    /// The cache itself says no.
    Refused(Refusal),
    /// The origin's response, and the job that takes in its body where that is still coming.
    Origin(Response<ResponseBody<RB>>, Option<FillJob<RB>>),
}

/// An answer that the cache makes itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    /// `only-if-cached`, and nothing stored will do (RFC 9111 §5.2.1.7).
    OnlyIfCached,
    /// The request it waited for failed, as did the next.
    Failed(Forwarded),
    /// Waiting took too long, and enough others go by themselves.
    WaitTimeout(Forwarded),
}

/// One of the refreshes that may run at a time.
struct Permit(Arc<Shared>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.refreshes.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn permit(self: &Arc<Self>) -> Option<Permit> {
        let more = |running| (running < self.max_refreshes).then_some(running + 1);
        self.refreshes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(Permit(Arc::clone(self)))
    }

    /// Removes what is stored for a URI, under its own key and under longer ones.
    pub(crate) fn invalidate_uri(&self, key: &Key) {
        self.store.invalidate(key.as_bytes());
        if self.has_longer_keys.load(Ordering::SeqCst) {
            self.store
                .invalidate_group(&commit::uri_group(key.as_bytes()));
        }
    }
}

/// Decides which way a request takes.
pub(crate) fn begin(shared: &Arc<Shared>, policy: &Policy, asked: Asked<'_>) -> Begin {
    let outer = Outer::of(asked.extensions, &shared.store);
    let facts = RequestFacts::read(asked.method, asked.uri, asked.headers, asked.has_body);
    let begin = match bypass(&facts, policy) {
        Some(reason) => pass(shared, policy, asked, &facts, reason, outer.is_some()),
        None => scratch(|key| look_up(shared, policy, asked, facts, outer, key)),
    };
    let within = outer.map(|_| &shared.store);
    if outer.is_none() {
        // A request within another layer of this cache was counted there.
        shared.store.record(match &begin {
            Begin::Bypass(_) => Event::Bypass,
            Begin::Answer(answer) | Begin::Refresh(answer, _) if answer.is_fresh() => Event::Hit,
            Begin::Answer(_) | Begin::Refresh(..) => Event::Stale,
            Begin::Refuse(_) | Begin::Drive(_) => Event::Miss,
        });
    }
    match begin {
        Begin::Answer(answer) => Begin::Answer(answer.within(within)),
        Begin::Refresh(answer, refresh) => Begin::Refresh(answer.within(within), refresh),
        other => other,
    }
}

fn bypass(facts: &RequestFacts, policy: &Policy) -> Option<Bypass> {
    let off = (policy.source() == Source::Off).then_some(Bypass::Policy);
    let no_store = facts.directives.no_store.then_some(Bypass::NoStore);
    facts.bypass_reason().or(off).or(no_store)
}

fn pass(
    shared: &Shared,
    policy: &Policy,
    asked: Asked<'_>,
    facts: &RequestFacts,
    reason: Bypass,
    within_outer: bool,
) -> Begin {
    let is_unsafe = facts.method == MethodClass::Unsafe;
    let invalidates = is_unsafe.then(|| {
        (
            facts.method,
            uri_key(policy.key(), shared.scheme, asked.uri, asked.headers),
        )
    });
    Begin::Bypass(Passage {
        reason,
        invalidates,
        within_outer,
    })
}

fn look_up(
    shared: &Arc<Shared>,
    policy: &Policy,
    asked: Asked<'_>,
    facts: RequestFacts,
    outer: Option<&Outer>,
    key: &mut Vec<u8>,
) -> Begin {
    let Some(parts) = write_key(
        policy.key(),
        shared.scheme,
        asked.uri,
        asked.headers,
        facts.forwarded,
        key,
    ) else {
        return pass(
            shared,
            policy,
            asked,
            &facts,
            Bypass::KeyTooLong,
            outer.is_some(),
        );
    };
    let now = shared.store.now();
    let key_length = key.len();
    if key_length > parts.uri_length && !shared.has_longer_keys.load(Ordering::Relaxed) {
        // Before any such request takes its ticket, so that no invalidation misses it.
        shared.has_longer_keys.store(true, Ordering::SeqCst);
    }
    let found = match outer {
        // A refresh is not answered from the store; neither is a flight by itself.
        Some(outer) if outer.forbids_lookup(key) => Err(Forwarded::Stale),
        _ => find(shared, asked.headers, key, now),
    };
    let judged = found.as_ref().map_err(|why| *why).and_then(|entry| {
        let response = entry
            .value()
            .and_then(Stored::response)
            .ok_or(Forwarded::UriMiss)?;
        Ok(candidate(entry, response, now))
    });
    let decision = lookup(&facts, judged, policy);
    let is_head = facts.method == MethodClass::Head;
    let plan = |why, stale: Option<Arc<Entry<Stored>>>, key: &[u8]| {
        plan(
            policy,
            facts,
            outer,
            why,
            stale,
            key,
            key_length,
            parts.uri_length,
        )
    };
    match (decision, found) {
        (Lookup::GatewayTimeout, _) => Begin::Refuse(Refusal::OnlyIfCached),
        (Lookup::Fresh, Ok(entry)) if !shared.store.is_due_early(&entry, now, policy.life()) => {
            hit(entry, now, is_head)
                .unwrap_or_else(|| Begin::Drive(plan(Forwarded::Stale, None, key)))
        }
        (Lookup::Fresh | Lookup::StaleWhileRevalidate, Ok(entry)) => {
            let plan = plan(Forwarded::Stale, Some(Arc::clone(&entry)), key);
            serve_and_refresh(shared, policy, plan, entry, now, is_head)
        }
        (
            Lookup::Forward {
                why,
                stale_if_error: true,
            },
            Ok(entry),
        ) => {
            let paused = shared
                .store
                .paused(key.get(..key_length).unwrap_or(key))
                .is_some();
            match Answer::hit(Arc::clone(&entry), now, true, is_head)
                .filter(|_| paused && why == Forwarded::Stale)
            {
                Some(answer) => Begin::Answer(answer),
                None => Begin::Drive(plan(why, Some(entry), key)),
            }
        }
        (Lookup::Forward { why, .. }, _) => Begin::Drive(plan(why, None, key)),
        (Lookup::Fresh | Lookup::StaleWhileRevalidate, Err(why)) => {
            Begin::Drive(plan(why, None, key))
        }
    }
}

/// The stored response that the request selects. `key` is left longer where selecting fields had to
/// be looked at: by what they select.
fn find(
    shared: &Shared,
    headers: &HeaderMap,
    key: &mut Vec<u8>,
    now: Moment,
) -> Result<Arc<Entry<Stored>>, Forwarded> {
    let entry = shared.store.lookup(key, now).ok_or(Forwarded::UriMiss)?;
    let Some(variants) = entry.value().and_then(Stored::variants) else {
        return Ok(entry);
    };
    commit::write_variant(variants.nonce, &variants.fields, headers, key);
    let variant = shared.store.lookup(key, now).ok_or(Forwarded::VaryMiss)?;
    if let Some(response) = variant.value().and_then(Stored::response) {
        response.touch(now);
    }
    Ok(variant)
}

fn hit(entry: Arc<Entry<Stored>>, now: Moment, is_head: bool) -> Option<Begin> {
    Answer::hit(entry, now, false, is_head).map(Begin::Answer)
}

#[allow(
    clippy::too_many_arguments,
    reason = "it gathers what the look-up found into one value"
)]
fn plan(
    policy: &Policy,
    facts: RequestFacts,
    outer: Option<&Outer>,
    why: Forwarded,
    stale: Option<Arc<Entry<Stored>>>,
    key: &[u8],
    key_length: usize,
    uri_length: usize,
) -> Plan {
    let (primary, selected) = key.split_at_checked(key_length).unwrap_or((key, &[]));
    let key = Key::from(primary);
    let lane = lane(&facts, policy, selected);
    let flight = FlightKey {
        key: key.clone(),
        lane,
    };
    Plan {
        key,
        uri_length,
        flight,
        facts,
        why,
        stale,
        outer: outer.cloned(),
        parameters: Vec::new(),
    }
}

/// Requests of one key that must not share an outcome fly in lanes of their own: those that carry
/// credentials apart from those that do not, and each selection of a variant.
fn lane(facts: &RequestFacts, policy: &Policy, selected: &[u8]) -> Option<Key> {
    let apart = facts.has_credentials() && policy.separates_credentials();
    if !apart && selected.is_empty() {
        return None;
    }
    Some(Key::from(
        [&[u8::from(apart)], selected].concat().as_slice(),
    ))
}

/// A stale response, or a fresh one that is due early, is given out; one request refreshes it.
fn serve_and_refresh(
    shared: &Arc<Shared>,
    policy: &Policy,
    plan: Plan,
    entry: Arc<Entry<Stored>>,
    now: Moment,
    is_head: bool,
) -> Begin {
    let Some(answer) = Answer::hit(entry, now, false, is_head) else {
        return Begin::Drive(plan);
    };
    // After a failure there is a pause.
    let may = !is_head && shared.store.paused(plan.key.as_bytes()).is_none();
    let refresh = may.then(|| shared.permit()).flatten().and_then(|permit| {
        let lead = shared
            .store
            .try_lead(&plan.flight, policy.life().work_limit())?;
        Some((lead, permit))
    });
    match refresh {
        Some((lead, permit)) => Begin::Refresh(
            answer,
            Refresh {
                plan,
                lead,
                _permit: permit,
            },
        ),
        None => Begin::Answer(answer),
    }
}

/// What [`begin`] decided must wait or go to the origin.
///
/// Dropping it at any point, as when the client leaves, passes the turn to another request.
pub(crate) async fn drive<O, B>(
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    plan: Plan,
    origin: O,
    request: Request<B>,
) -> Result<Reply<O::Body>, O::Error>
where
    O: Origin<B>,
{
    let within = plan.outer.as_ref().map(|_| shared.store.clone());
    let reply = fly(shared, policy, plan, origin, request).await?;
    Ok(match reply {
        Reply::Stored(answer) => Reply::Stored(answer.within(within.as_ref())),
        other => other,
    })
}

async fn fly<O, B>(
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    mut plan: Plan,
    origin: O,
    request: Request<B>,
) -> Result<Reply<O::Body>, O::Error>
where
    O: Origin<B>,
{
    // `&Request<B>` across an await would ask `B: Sync`.
    let (parts, body) = request.into_parts();
    let work = policy.life().work_limit();
    let mut left = Waiting::new(&shared, policy.life().waiting_limit());
    if let Some(lead) = plan
        .outer
        .as_ref()
        .and_then(|outer| outer.take(&plan.flight))
    {
        return lead_flight(
            shared,
            policy,
            plan,
            lead,
            origin,
            Request::from_parts(parts, body),
        )
        .await;
    }
    let mut collapsed = None;
    for _ in 0..REJOINS {
        if !may_collapse(&shared, &plan) {
            break;
        }
        let outcome = match shared.store.join(&plan.flight, work) {
            Join::Lead(lead) => {
                return lead_flight(
                    shared,
                    policy,
                    plan,
                    lead,
                    origin,
                    Request::from_parts(parts, body),
                )
                .await;
            }
            Join::Reentrant => break,
            Join::Known(outcome) => outcome,
            Join::Follow(follower) => {
                match shared.store.wait(follower, left.time(&shared), work).await {
                    Waited::Lead(lead) => {
                        return lead_flight(
                            shared,
                            policy,
                            plan,
                            lead,
                            origin,
                            Request::from_parts(parts, body),
                        )
                        .await;
                    }
                    Waited::Known(outcome) => outcome,
                    Waited::TimedOut => {
                        let Some(_place) = shared.alone.enter(&plan.flight) else {
                            return Ok(fall_back(&shared, &plan)
                                .unwrap_or(Reply::Refused(Refusal::WaitTimeout(plan.why))));
                        };
                        if let Some(reply) = fall_back(&shared, &plan) {
                            return Ok(reply);
                        }
                        return go_alone(
                            shared,
                            policy,
                            plan,
                            Some(false),
                            origin,
                            Request::from_parts(parts, body),
                        )
                        .await;
                    }
                }
            }
        };
        collapsed = Some(false);
        match shared_outcome(&shared, &mut plan, &parts.headers, outcome) {
            Some(reply) => return Ok(reply),
            None => {}
        }
    }
    go_alone(
        shared,
        policy,
        plan,
        collapsed,
        origin,
        Request::from_parts(parts, body),
    )
    .await
}

/// The time a request may still wait, whatever it waits for.
struct Waiting {
    since: Moment,
    limit: Duration,
}

impl Waiting {
    fn new(shared: &Shared, limit: Duration) -> Self {
        Self {
            since: shared.store.now(),
            limit,
        }
    }

    fn time(&mut self, shared: &Shared) -> Duration {
        self.limit
            .saturating_sub(shared.store.now().since(self.since))
    }
}

/// Only plain GETs fly together: a HEAD or a condition gets an answer that is nobody else's. And not
/// where answers could not be shared lately.
fn may_collapse(shared: &Shared, plan: &Plan) -> bool {
    plan.facts.method == MethodClass::Get
        && !plan.facts.conditional
        && plan.outer.as_ref().is_none_or(|outer| !outer.is_refresh())
        && !shared.store.is_unshared(&plan.flight)
}

/// The answer that another request's outcome gives to this one; `None` where it gives none, and
/// then `plan` is for the flight that may.
fn shared_outcome<RB>(
    shared: &Shared,
    plan: &mut Plan,
    headers: &HeaderMap,
    outcome: Outcome<Stored>,
) -> Option<Reply<RB>> {
    match outcome {
        Outcome::Unshared => None,
        Outcome::Failed(_) => {
            shared.store.record(Event::Collapsed);
            Some(fall_back(shared, plan).unwrap_or(Reply::Refused(Refusal::Failed(plan.why))))
        }
        // An invalidation overtook it, maybe before this request came.
        Outcome::Ready(entry) if !entry.is_current() => None,
        Outcome::Ready(entry) => {
            let selecting = &entry.value().and_then(Stored::response)?.selecting;
            let mine = selecting_of(&selecting.fields, headers);
            if mine.values == selecting.values {
                shared.store.record(Event::Collapsed);
                return Answer::collapsed(Arc::clone(&entry), shared.store.now(), plan.why)
                    .map(Reply::Stored);
            }
            // Made for other selecting fields. From here on this request flies with its like.
            let apart = plan
                .flight
                .lane
                .as_ref()
                .map_or(0, |lane| lane.as_bytes().first().copied().unwrap_or(0));
            plan.flight.lane = Some(Key::from([&[apart], &*mine.values].concat().as_slice()));
            plan.why = Forwarded::VaryMiss;
            None
        }
    }
}

fn selecting_of(fields: &[header::HeaderName], headers: &HeaderMap) -> Selecting {
    let mut values = Vec::new();
    write_selecting(fields, headers, &mut values);
    Selecting {
        fields: fields.into(),
        values: values.into(),
    }
}

fn fall_back<RB>(shared: &Shared, plan: &Plan) -> Option<Reply<RB>> {
    stale_answer(shared, plan).map(Reply::Stored)
}

/// The stale response, where it may answer for a failing origin.
fn stale_answer(shared: &Shared, plan: &Plan) -> Option<Answer> {
    let entry = plan.stale.as_ref().filter(|entry| entry.is_current())?;
    let now = shared.store.now();
    let usable = matches!(
        entry.freshness(now),
        Freshness::Fresh { .. } | Freshness::Stale { if_error: true, .. }
    );
    let is_head = plan.facts.method == MethodClass::Head;
    usable
        .then(|| Answer::hit(Arc::clone(entry), now, true, is_head))
        .flatten()
}

async fn lead_flight<O, B>(
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    plan: Plan,
    lead: Lead<Stored>,
    origin: O,
    request: Request<B>,
) -> Result<Reply<O::Body>, O::Error>
where
    O: Origin<B>,
{
    if plan.outer.is_none()
        && let Some(answer) = stored_meanwhile(&shared, &policy, &plan, request.headers(), &lead)
    {
        return Ok(Reply::Stored(answer));
    }
    exchange(shared, policy, plan, Some(lead), None, origin, request).await
}

/// A flight that landed between this request's look-up and its lead may have stored what it wants.
fn stored_meanwhile(
    shared: &Shared,
    policy: &Policy,
    plan: &Plan,
    headers: &HeaderMap,
    lead: &Lead<Stored>,
) -> Option<Answer> {
    let now = shared.store.now();
    let entry = scratch(|key| {
        key.extend_from_slice(plan.key.as_bytes());
        find(shared, headers, key, now)
    })
    .ok()?;
    let judged = candidate(&entry, entry.value()?.response()?, now);
    if lookup(&plan.facts, Ok(judged), policy) != Lookup::Fresh {
        return None;
    }
    lead.announce(Outcome::Ready(Arc::clone(&entry)));
    shared.store.record(Event::Collapsed);
    Answer::collapsed(entry, now, plan.why)
}

async fn go_alone<O, B>(
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    plan: Plan,
    collapsed: Option<bool>,
    origin: O,
    request: Request<B>,
) -> Result<Reply<O::Body>, O::Error>
where
    O: Origin<B>,
{
    exchange(shared, policy, plan, None, collapsed, origin, request).await
}

/// Forwards the request, and settles what becomes of the response.
async fn exchange<O, B>(
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    plan: Plan,
    lead: Option<Lead<Stored>>,
    collapsed: Option<bool>,
    origin: O,
    request: Request<B>,
) -> Result<Reply<O::Body>, O::Error>
where
    O: Origin<B>,
{
    let (mut parts, body) = request.into_parts();
    let mut exchange = Exchange::new(shared, policy, plan, lead, collapsed, &parts.headers);
    prepare(&mut parts, &exchange, false);
    let forwarded = exchange
        .scope(origin.forward(Request::from_parts(parts, body)))
        .await;
    match forwarded {
        Err(error) => exchange
            .failed()
            .map_or(Err(error), |answer| Ok(Reply::Stored(answer))),
        Ok(response) => Ok(match exchange.settle(response).await {
            Settled::Response(response, job) => Reply::Origin(response, job),
            Settled::Stale(answer) => Reply::Stored(answer),
        }),
    }
}

/// Makes the request what is forwarded: it says which flight it is, and how to purge.
fn prepare(parts: &mut request::Parts, exchange: &Exchange, is_refresh: bool) {
    if is_accept_encoding_malformed(&parts.headers) {
        parts.headers.remove(header::ACCEPT_ENCODING);
    }
    parts.extensions.insert(exchange.marker(is_refresh));
    parts.extensions.insert(Purger::new(exchange.shared()));
}

/// Runs a refresh to its end. Its response is stored or dropped; nobody waits for it.
pub(crate) async fn refresh<O, B>(
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    refresh: Refresh,
    origin: O,
    request: Request<B>,
) where
    O: Origin<B>,
{
    let Refresh {
        mut plan,
        lead,
        _permit,
    } = refresh;
    let limit = policy.life().work_limit();
    let (mut parts, body) = request.into_parts();
    // The client was answered. The whole response is wanted now, whatever its own condition was.
    parts.headers.remove(header::IF_NONE_MATCH);
    parts.headers.remove(header::IF_MODIFIED_SINCE);
    plan.facts.conditional = false;
    plan.stale = None;
    let mut exchange = Exchange::new(shared, policy, plan, Some(lead), None, &parts.headers);
    prepare(&mut parts, &exchange, true);
    let work = async {
        match exchange
            .scope(origin.forward(Request::from_parts(parts, body)))
            .await
        {
            Err(_) => {
                exchange.failed();
            }
            Ok(response) => {
                if let Settled::Response(_, Some(job)) = exchange.settle(response).await {
                    job.run().await;
                }
            }
        }
    };
    // A refresh that takes too long is given up; its lead is dropped with it.
    let _ = tokio::time::timeout(limit, work).await;
}

impl Passage {
    /// Writes on a response that went past the cache what that means for it.
    pub(crate) fn finish<B>(&self, shared: &Shared, response: &mut Response<B>) {
        if let Some((method, key)) = &self.invalidates
            && invalidates(*method, response.status())
        {
            shared.invalidate_uri(key);
        }
        if self.within_outer {
            mark_decided(response.extensions_mut(), &shared.store);
        } else if let Some(status) = &shared.status {
            response
                .headers_mut()
                .append(CACHE_STATUS, status.value(Decision::Bypass(self.reason)));
        }
    }

    /// The purger for the handler behind.
    pub(crate) fn prepare<B>(shared: &Arc<Shared>, request: &mut Request<B>) {
        request.extensions_mut().insert(Purger::new(shared));
    }
}

impl Refusal {
    pub(crate) fn into_response<RB>(
        self,
        status: Option<&CacheStatus>,
    ) -> Response<ResponseBody<RB>> {
        let mut response = Response::new(ResponseBody::empty());
        *response.status_mut() = match self {
            Self::OnlyIfCached => StatusCode::GATEWAY_TIMEOUT,
            Self::Failed(_) | Self::WaitTimeout(_) => {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let decision = match self {
            // RFC 9211 §2: not on what the cache makes by itself without having tried anything.
            Self::OnlyIfCached => None,
            Self::Failed(why) => Some(Decision::Forward {
                why,
                collapsed: Some(true),
                then: Then::Failed,
            }),
            Self::WaitTimeout(why) => Some(Decision::Forward {
                why,
                collapsed: Some(false),
                then: Then::WaitTimeout,
            }),
        };
        if let (Some(status), Some(decision)) = (status, decision) {
            response
                .headers_mut()
                .insert(CACHE_STATUS, status.value(decision));
        }
        response
    }
}
