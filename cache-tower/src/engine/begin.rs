//! Which way a request takes.

use super::{
    Shared, commit,
    nested::{self, Outer},
    refresh::Refresh,
    refusal::Refusal,
};
use crate::{
    http::{
        cache_status::{Decision, Forwarded},
        invalidate::invalidates,
        key::{uri_key, write_key},
        lookup::{Lookup, lookup},
        request::{Bypass, MethodClass, RequestFacts},
    },
    policy::{Policy, Source},
    purge::Purger,
    stored::{Answer, Stored, append_status, candidate},
};
use cache_core::{Entry, Event, Key, clock::Moment, key::scratch, store::FlightKey};
use http::{Extensions, HeaderMap, Method, Request, Response, Uri};
use std::sync::{Arc, atomic::Ordering};

/// A request as the engine sees it. The URI is the one the client sent.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
    pub(crate) has_body: bool,
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
    invalidates: Option<Invalidation>,
    /// An outer layer of the same cache must leave the decision to this one.
    within_outer: bool,
}

/// What [`drive`](super::drive) is to do.
pub(crate) struct Plan {
    pub(super) key: Key,
    /// How much of the key is the URI's.
    pub(super) uri_length: usize,
    pub(super) flight: FlightKey,
    pub(super) facts: RequestFacts,
    pub(super) why: Forwarded,
    /// What may answer if the origin fails.
    pub(super) stale: Option<Arc<Entry<Stored>>>,
    pub(super) outer: Option<Outer>,
    /// The parameters of the route, for groups that name them.
    pub(crate) parameters: Vec<(Box<str>, String)>,
}

/// Decides which way a request takes.
pub(crate) fn begin(shared: &Arc<Shared>, policy: &Policy, asked: Asked<'_>) -> Begin {
    let outer = Outer::of(asked.extensions, &shared.store);
    let facts = RequestFacts::read(asked.method, asked.uri, asked.headers, asked.has_body);
    let search = Search {
        shared,
        policy,
        asked,
        facts,
        outer,
    };
    let begin = match search.bypass() {
        Some(reason) => search.pass(reason),
        None => scratch(|key| search.run(key)),
    };
    if outer.is_none() {
        shared.store.record(begin.event());
        return begin;
    }
    // It was counted in the outer layer, which must be told that this one decides.
    match begin {
        Begin::Answer(answer) => Begin::Answer(answer.within(&shared.store)),
        Begin::Refresh(answer, refresh) => Begin::Refresh(answer.within(&shared.store), refresh),
        other => other,
    }
}

impl Begin {
    fn event(&self) -> Event {
        match self {
            Self::Bypass(_) => Event::Bypass,
            Self::Answer(answer) | Self::Refresh(answer, _) if answer.is_fresh() => Event::Hit,
            Self::Answer(_) | Self::Refresh(..) => Event::Stale,
            Self::Refuse(_) | Self::Drive(_) => Event::Miss,
        }
    }
}

/// One request on its way to a decision.
struct Search<'a> {
    shared: &'a Arc<Shared>,
    policy: &'a Policy,
    asked: Asked<'a>,
    facts: RequestFacts,
    outer: Option<&'a Outer>,
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
        self.bytes.get(self.length..).unwrap_or(&[])
    }
}

impl Search<'_> {
    fn bypass(&self) -> Option<Bypass> {
        let off = (self.policy.source() == Source::Off).then_some(Bypass::Policy);
        let no_store = self.facts.directives.no_store.then_some(Bypass::NoStore);
        self.facts.bypass_reason().or(off).or(no_store)
    }

    fn pass(&self, reason: Bypass) -> Begin {
        let Self {
            shared,
            policy,
            asked,
            facts,
            ..
        } = self;
        let invalidates = (facts.method == MethodClass::Unsafe).then(|| Invalidation {
            shared: Arc::clone(shared),
            key: uri_key(policy.key(), shared.scheme, asked.uri, asked.headers),
            ended: false,
        });
        Begin::Bypass(Passage {
            reason,
            invalidates,
            within_outer: self.outer.is_some(),
        })
    }

    fn run(&self, bytes: &mut Vec<u8>) -> Begin {
        let Some(mut key) = self.key(bytes) else {
            return self.pass(Bypass::KeyTooLong);
        };
        let now = self.shared.store.now();
        let found = match self.outer {
            // A refresh is not answered from the store; neither is a flight by itself.
            Some(outer) if outer.forbids_lookup(key.primary()) => Err(Forwarded::Stale),
            _ => find(self.shared, self.asked.headers, key.bytes, now),
        };
        let judged = found.as_ref().map_err(|why| *why).and_then(|entry| {
            let response = entry
                .value()
                .and_then(Stored::response)
                .ok_or(Forwarded::UriMiss)?;
            Ok(candidate(entry, response, now))
        });
        let decision = lookup(&self.facts, judged, self.policy);
        self.follow(decision, found.ok(), &mut key, now)
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
        found: Option<Arc<Entry<Stored>>>,
        key: &mut SearchKey<'_>,
        now: Moment,
    ) -> Begin {
        match (decision, found) {
            (Lookup::GatewayTimeout, _) => Begin::Refuse(Refusal::OnlyIfCached),
            (Lookup::Fresh, Some(entry)) if !self.is_due_early(&entry, now) => {
                self.answer(entry, key, now)
            }
            (Lookup::Fresh | Lookup::StaleWhileRevalidate, Some(entry)) => {
                self.refresh(entry, key, now)
            }
            (
                Lookup::Forward {
                    why,
                    stale_if_error: true,
                },
                Some(entry),
            ) => self.forward_or_pause(why, entry, key, now),
            (Lookup::Forward { why, .. }, _) => Begin::Drive(self.plan(why, None, key)),
            (Lookup::Fresh | Lookup::StaleWhileRevalidate, None) => {
                Begin::Drive(self.plan(Forwarded::UriMiss, None, key))
            }
        }
    }

    fn is_due_early(&self, entry: &Entry<Stored>, now: Moment) -> bool {
        self.shared
            .store
            .is_due_early(entry, now, self.policy.life())
    }

    fn answer(&self, entry: Arc<Entry<Stored>>, key: &SearchKey<'_>, now: Moment) -> Begin {
        match Answer::hit(entry, now, false, self.is_head()) {
            Some(answer) => Begin::Answer(answer),
            None => Begin::Drive(self.plan(Forwarded::Stale, None, key)),
        }
    }

    /// A stale response, or a fresh one that is due early, is given out; one request refreshes it.
    fn refresh(&self, entry: Arc<Entry<Stored>>, key: &SearchKey<'_>, now: Moment) -> Begin {
        let Some(answer) = Answer::hit(Arc::clone(&entry), now, false, self.is_head()) else {
            return Begin::Drive(self.plan(Forwarded::Stale, None, key));
        };
        let plan = self.plan(Forwarded::Stale, Some(entry), key);
        // A HEAD cannot renew what a GET stored; after a failure there is a pause.
        let may = !self.is_head() && !self.is_paused(key);
        match may
            .then(|| Refresh::begin(self.shared, self.policy, plan))
            .flatten()
        {
            Some(refresh) => Begin::Refresh(answer, Box::new(refresh)),
            None => Begin::Answer(answer),
        }
    }

    /// Within the pause after a failure the stale response answers without another attempt.
    fn forward_or_pause(
        &self,
        why: Forwarded,
        entry: Arc<Entry<Stored>>,
        key: &SearchKey<'_>,
        now: Moment,
    ) -> Begin {
        let paused = why == Forwarded::Stale && self.is_paused(key);
        match paused
            .then(|| Answer::hit(Arc::clone(&entry), now, true, self.is_head()))
            .flatten()
        {
            Some(answer) => Begin::Answer(answer),
            None => Begin::Drive(self.plan(why, Some(entry), key)),
        }
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
        stale: Option<Arc<Entry<Stored>>>,
        key: &SearchKey<'_>,
    ) -> Box<Plan> {
        let primary = Key::from(key.primary());
        // What the outer layer forbids to look up may still stand in for a failing origin.
        let stale = stale.or_else(|| self.outer?.stale(key.primary()));
        let flight = FlightKey {
            key: primary.clone(),
            lane: self.lane(key.selected()),
        };
        Box::new(Plan {
            key: primary,
            uri_length: key.uri_length,
            flight,
            facts: self.facts,
            why,
            stale,
            outer: self.outer.cloned(),
            parameters: Vec::new(),
        })
    }

    /// Requests of one key that must not share an outcome fly in lanes of their own: those that carry
    /// credentials apart from those that do not, and each selection of a variant.
    fn lane(&self, selected: &[u8]) -> Option<Key> {
        let apart = self.facts.has_credentials() && self.policy.separates_credentials();
        (apart || !selected.is_empty()).then(|| lane(apart, selected))
    }
}

fn lane(apart: bool, selected: &[u8]) -> Key {
    Key::from([&[u8::from(apart)], selected].concat().as_slice())
}

impl Plan {
    /// From here on the request flies with those that select the same variant.
    pub(super) fn select(&mut self, selected: &[u8]) {
        let apart = self
            .flight
            .lane
            .as_ref()
            .and_then(|lane| lane.as_bytes().first())
            == Some(&1);
        self.flight.lane = Some(lane(apart, selected));
        self.why = Forwarded::VaryMiss;
    }
}

/// The stored response that the request selects. `key` is left longer where selecting fields had to
/// be looked at: by what they select.
pub(super) fn find(
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

/// What an unsafe request removes from the store, when it is dropped: unless it is known that the
/// request changed nothing, what is stored may be out of date. That is not known when its client went
/// away, and its handler with it, in the middle of an update.
struct Invalidation {
    shared: Arc<Shared>,
    key: Key,
    /// It ended, and changed nothing.
    ended: bool,
}

impl Drop for Invalidation {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.invalidate_uri(&self.key);
        }
    }
}

impl Passage {
    /// Gives the handler behind its purger, and tells an inner layer that the request is counted.
    pub(crate) fn prepare<B>(shared: &Arc<Shared>, request: &mut Request<B>) {
        let extensions = request.extensions_mut();
        extensions.insert(Purger::new(shared));
        if Outer::of(extensions, &shared.store).is_none() {
            extensions.insert(Outer::passing(&shared.store));
        }
    }

    /// Does what a response to such a request asks for, and says that the cache was not asked.
    pub(crate) fn finish<B>(&mut self, shared: &Shared, response: &mut Response<B>) {
        if let Some(invalidation) = &mut self.invalidates {
            invalidation.ended = !invalidates(MethodClass::Unsafe, response.status());
        }
        self.invalidates = None;
        if self.within_outer {
            nested::mark_decided(response.extensions_mut(), &shared.store);
        }
    }
}
