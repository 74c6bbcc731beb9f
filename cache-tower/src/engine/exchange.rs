//! One request that was forwarded, and what becomes of its response.

use super::{
    FillJob, Origin, Shared, UNSHARED, UNSHARED_BY_REQUEST,
    account::Counted,
    ask::Ask,
    begin::Plan,
    commit::{Keep, uri_group},
    drive::stale_answer,
    fill_job::{Drained, drain},
    nested::{self, Outer, Owner},
    refusal::Refusal,
    remote::{Concerned, Sharing},
};
use crate::{
    body::{ResponseBody, Rest, Spliced},
    fill::Fill,
    groups::Groups,
    http::{
        admit::{Admission, Pass, Received, Terms, admit},
        cache_groups,
        cache_status::{Decision, Then},
        conditional::{self, Verdict, make_not_modified},
        fields,
        invalidate::content_location_is_target,
        lookup::Failure,
        request::MethodClass,
        response::ResponseFacts,
        shape::{Fit, Shape},
        validator::{Freshening, HeadComparison, compare_head, freshening},
        vary::is_accept_encoding_malformed,
    },
    policy::Policy,
    purge::Purger,
    routing::Parameters,
    stored::{Answer, Body as StoredBody, Head, Stored, StoredResponse, append_status, candidate},
};
use bytes::Bytes;
use cache_core::{
    BoxError, Entry, Error, Event,
    clock::Moment,
    observe::Loaded,
    store::{Lead, Loading, Outcome, Ticket},
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request, response};
use http_body::{Body, Frame};
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::{Duration, SystemTime},
};

pub(super) struct Exchange {
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    plan: Box<Plan>,
    lead: Option<Lead<Stored>>,
    sharing: Option<Sharing>,
    ticket: Ticket,
    collapsed: Option<bool>,
    ask: Ask,
    loading: Loading<Stored>,
    /// The response was judged by a targeted field, which is not passed on.
    is_targeted: bool,
    forwarded: Moment,
    /// What the request has, for the fields that the response says it varies by.
    request_headers: Arc<HeaderMap>,
}

/// What became of it.
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(super) enum Settled<B> {
    /// The response goes to the client; the job takes in its body where that is still coming.
    Response(Response<ResponseBody<B>>, Decision, Option<FillJob<B>>),
    /// Something stored answers: confirmed by the origin, or in its place.
    Stored(Answer),
    /// The cache itself says no.
    Refused(Refusal),
}

impl Exchange {
    pub(super) fn new(
        shared: Arc<Shared>,
        policy: Arc<Policy>,
        plan: Box<Plan>,
        lead: Option<Lead<Stored>>,
        sharing: Option<Sharing>,
        collapsed: Option<bool>,
        headers: &HeaderMap,
    ) -> Self {
        let alone = || shared.store.ticket(plan.key.as_bytes());
        let ticket = lead.as_ref().map_or_else(alone, |lead| *lead.ticket());
        let forwarded = shared.store.now();
        let request_headers = Arc::new(headers.clone());
        let ask = Ask::of(&shared, &policy, &plan, headers);
        let loading = shared.store.begin_load();
        Self {
            shared,
            policy,
            plan,
            lead,
            sharing,
            ticket,
            collapsed,
            ask,
            loading,
            is_targeted: false,
            forwarded,
            request_headers,
        }
    }

    /// Makes the request what is forwarded: what the origin is asked, marked for an inner layer, and so
    /// that the handler can purge.
    pub(super) fn prepare(&self, parts: &mut request::Parts) {
        if self.policy.is_guarded() && is_accept_encoding_malformed(&parts.headers) {
            parts.headers.remove(header::ACCEPT_ENCODING);
        }
        self.ask
            .write(&mut parts.headers, self.shared.store.clock().wall());
        let outer = Outer::new(
            &self.shared.store,
            self.plan.depth,
            self.plan.counted.clone(),
            self.sharing.as_ref().map(Sharing::lend),
        );
        parts.extensions.insert(outer);
        parts.extensions.insert(Purger::new(&self.shared));
    }

    /// Forwards it, so that the handler, should it ask for its own URL, does not wait for itself.
    pub(super) fn forward<O: Origin<B>, B>(
        &self,
        origin: O,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<O::Body>, O::Error>> + use<O, B> {
        self.shared
            .store
            .scope(&self.plan.flight, origin.forward(request))
    }

    /// The origin gave an error in place of a response: of which the framework makes one of this status, if
    /// it makes any.
    pub(super) fn erred(&mut self, status: Option<StatusCode>) -> Option<Answer> {
        let answered = status.filter(|status| !is_failure(*status));
        if self.was_within() {
            self.loading.forget();
        } else {
            self.shared.store.record(Event::Load);
            match answered {
                Some(_) => self.loading.ends(Loaded::Passed),
                None => self.note_failure(),
            }
        }
        match answered {
            Some(status) => {
                self.answered_by_error(status);
                None
            }
            None => self.without_answer(Failure::Unreachable),
        }
    }

    /// Whether a layer of this cache further in had the request: then that one's load it was.
    fn was_within(&self) -> bool {
        let counted = self.plan.counted.as_ref();
        counted.is_some_and(Counted::is_another_layers)
    }

    /// It has no fields and no body here, so nothing of it is kept; else it is as a response.
    fn answered_by_error(&mut self, status: StatusCode) {
        if let Some(invalidation) = self.plan.invalidation.take() {
            // In the background: to wait while holding the error would ask that it be `Send`.
            invalidation.carry_out_behind(status, &HeaderMap::new());
        }
        self.supersede(status, Pass::Status);
        self.release(unshared(Pass::Status));
    }

    /// The origin failed. What is stale answers, where it may; else one of those who wait tries in
    /// its turn, and if that fails too the others share the failure.
    fn failed(&mut self, failure: Failure) -> Option<Answer> {
        self.note_failure();
        self.without_answer(failure)
    }

    fn note_failure(&self) {
        self.loading.ends(Loaded::Failed);
        let key = self.plan.key.as_bytes();
        self.shared.store.load_failed(key, &origin_failed());
    }

    fn without_answer(&mut self, failure: Failure) -> Option<Answer> {
        let error = origin_failed();
        if let (Some(invalidation), Failure::Unreachable) = (self.plan.invalidation.take(), failure)
        {
            invalidation.drop_it();
        }
        let renews = self.lead.is_some() && self.plan.renews(&self.policy);
        let pause = renews.then(|| {
            let (key, life) = (&self.plan.key, self.policy.life());
            self.shared.store.pause(key, error.clone(), life)
        });
        let stale = self.stale_answer(failure);
        let sharing = self.sharing.take();
        match self.lead.take() {
            Some(lead) if stale.is_none() && !is_second(&lead, sharing.as_ref()) => {
                // Nobody waits for a refresh; in other processes too there is a pause after it.
                let is_refresh = self.plan.counted.is_none();
                if let (Some(sharing), Some(pause)) = (sharing.filter(|_| is_refresh), pause) {
                    sharing.fail(&Concerned::Others(pause));
                }
                drop(lead);
            }
            Some(lead) => {
                if let Some(sharing) = sharing {
                    sharing.fail(&pause.map_or(Concerned::Waiting, Concerned::All));
                }
                lead.finish(Outcome::Failed(error));
            }
            None => {}
        }
        stale
    }

    fn stale_answer(&self, failure: Failure) -> Option<Answer> {
        stale_answer(
            &self.shared,
            &self.policy,
            &self.plan,
            &self.request_headers,
            failure,
        )
    }

    /// Decides about a response and does what follows from it.
    pub(super) async fn settle<B>(&mut self, response: Response<B>) -> Settled<B>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let (mut parts, body) = response.into_parts();
        let body = Spliced::alone(body);
        let own = parts.extensions.remove::<Policy>();
        let groups = parts.extensions.remove::<Groups>();
        if let Some(Parameters(mut parameters)) = parts.extensions.remove() {
            parameters.append(&mut self.plan.parameters);
            self.plan.parameters = parameters;
        }
        if nested::was_decided(&mut parts.extensions, &self.shared.store) {
            // That one's load it was.
            self.loading.forget();
            self.release(UNSHARED);
            return self.decided_within(parts, body);
        }
        self.shared.store.record(Event::Load);
        if let Some(invalidation) = self.plan.invalidation.take() {
            let may_answer_get = parts.status == StatusCode::OK
                && content_location_is_target(&invalidation.target(), &parts.headers);
            invalidation.carry_out(parts.status, &parts.headers).await;
            if !may_answer_get {
                return self.pass(parts, body, Then::Passed(Pass::Request));
            }
            // What it stores is newer than what it invalidated.
            self.ticket = self.shared.store.ticket(self.plan.key.as_bytes());
        }
        if is_failure(parts.status)
            && self.stale_answer(Failure::Status).is_some()
            && let Some(stale) = self.failed(Failure::Status)
        {
            return Settled::Stored(stale);
        }
        let policy = own.map_or_else(
            || Arc::clone(&self.policy),
            |own| {
                let own = self.shared.under(own, self.plan.rule);
                Arc::new(self.policy.for_response(own))
            },
        );
        if parts.status == StatusCode::NOT_MODIFIED
            && let Some(settled) = self
                .not_modified(&mut parts, &policy, groups.as_ref())
                .await
        {
            return settled;
        }
        match (&self.ask, parts.status) {
            (Ask::AsIs, _) => {}
            (
                Ask::Complete(..),
                StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE,
            ) => {
                return match self.completed(parts, body) {
                    Some((parts, body)) => self.judge(parts, body, &policy, groups).await,
                    None => self.incoherent(),
                };
            }
            _ => {}
        }
        if self.plan.facts.method == MethodClass::Head && parts.status == StatusCode::OK {
            self.compare(&parts, &policy, groups.clone()).await;
        }
        self.judge(parts, body, &policy, groups).await
    }

    /// Stores the response or passes it on.
    async fn judge<B>(
        &mut self,
        parts: response::Parts,
        body: Spliced<B>,
        policy: &Policy,
        groups: Option<Groups>,
    ) -> Settled<B>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let received = self.received();
        let facts = ResponseFacts::read(
            parts.status,
            &parts.headers,
            self.shared.reading(&self.policy, received.at),
        );
        self.is_targeted = facts.is_targeted;
        let groups = self.groups(policy, groups, &parts.headers);
        let received = Received {
            groups_known: groups.is_some(),
            ..received
        };
        match admit(&self.plan.facts, &facts, policy, received) {
            Admission::Store(terms) => {
                let groups = groups.unwrap_or_default();
                let terms = self.jittered(terms, policy);
                self.keep(parts, body, terms, groups, received.at).await
            }
            Admission::Pass(_) if is_failure(parts.status) => {
                self.failed(Failure::Status);
                self.pass(parts, body, Then::Failed)
            }
            Admission::Pass(reason) => {
                self.supersede(parts.status, reason);
                self.release(unshared(reason));
                self.pass(parts, body, Then::Passed(reason))
            }
        }
    }

    fn received(&self) -> Received {
        Received {
            at: self.shared.store.clock().wall(),
            delay: self.shared.store.now().since(self.forwarded),
            max_body: self.shared.max_body,
            groups_known: true,
        }
    }

    /// A layer further in decided. Where this one asked a question of its own, the client, which did not
    /// ask it, gets what the answer comes to; and what the question was about is that layer's from now on.
    fn decided_within<B>(&mut self, parts: response::Parts, body: Spliced<B>) -> Settled<B> {
        if !self.ask.is_own() {
            return self.pass(parts, body, Then::DecidedWithin);
        }
        if self.stored_is_there() {
            self.shared.withdraw(&self.plan.key);
        }
        let now = self.shared.store.clock().wall();
        let is_complete = matches!(self.ask, Ask::Complete(..));
        match parts.status {
            StatusCode::NOT_MODIFIED => {
                let confirmed = self.ask.confirmed(&parts.headers, now).cloned();
                match confirmed
                    .as_ref()
                    .and_then(|entry| entry.value()?.response())
                {
                    Some(stored) => self.pass_confirmed(stored, parts, Then::DecidedWithin),
                    None => self.incoherent(),
                }
            }
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if is_complete => {
                match self.completed(parts, body) {
                    Some((parts, body)) => self.pass(parts, body, Then::DecidedWithin),
                    None => self.incoherent(),
                }
            }
            _ => self.pass(parts, body, Then::DecidedWithin),
        }
    }

    /// Whether something of this layer's is stored for the URI.
    fn stored_is_there(&self) -> bool {
        let store = &self.shared.store;
        let entry = store.lookup(self.plan.key.as_bytes(), store.now());
        let is_ours = |stored: &Stored| stored.owner().is(&self.policy, self.plan.depth);
        entry.is_some_and(|entry| entry.value().is_some_and(is_ours))
    }

    /// A 304: what it is about is freshened and answers (RFC 9111 §4.3.3). `None` where it answers the
    /// client's own condition.
    async fn not_modified<B>(
        &mut self,
        parts: &mut response::Parts,
        policy: &Policy,
        groups: Option<&Groups>,
    ) -> Option<Settled<B>> {
        let now = self.shared.store.clock().wall();
        let confirmed = match &self.ask {
            Ask::AsIs if self.plan.facts.conditional => return None,
            // Nobody asked for it; what is stored without a validator is what it can be about (§4.3.4).
            Ask::AsIs => self.plan.stored.clone()?,
            ask => match ask.confirmed(&parts.headers, now).cloned() {
                Some(confirmed) => confirmed,
                None => return Some(self.incoherent()),
            },
        };
        let stored = confirmed.value()?.response()?;
        if stored.fit(&self.plan.facts, &self.request_headers, now) == Fit::Lacks {
            return Some(self.incoherent());
        }
        let parts = std::mem::replace(parts, Response::new(()).into_parts().0);
        let groups = groups.cloned();
        Some(self.confirmed(stored, parts, policy, groups).await)
    }

    async fn confirmed<B>(
        &mut self,
        stored: &StoredResponse,
        parts: response::Parts,
        policy: &Policy,
        groups: Option<Groups>,
    ) -> Settled<B> {
        let now = self.shared.store.clock().wall();
        let fields = stored.head().fields();
        // RFC 9111 §4.3.4: one that is about another representation renews nothing. The origin says all
        // the same that this client may have what is stored; the next one asks again.
        if freshening(&fields, &parts.headers, now) == Freshening::Mismatch {
            self.release(UNSHARED_BY_REQUEST);
            return self.pass_confirmed(stored, parts, Then::Passed(Pass::Request));
        }
        match self.freshen(stored, &parts.headers, policy, groups) {
            Ok((keep, body)) => {
                let (entry, is_stored) = self.commit_body(&keep, &body).await;
                self.answer(&entry, is_stored).map_or_else(
                    || self.pass_confirmed(stored, parts, Then::Overtaken),
                    Settled::Stored,
                )
            }
            Err(reason) => {
                self.supersede(stored.status(), reason);
                self.release(unshared(reason));
                self.pass_confirmed(stored, parts, Then::Passed(reason))
            }
        }
    }

    /// What is stored, with the fields of a later response for the same representation; or why it may not
    /// be kept any longer.
    fn freshen(
        &mut self,
        stored: &StoredResponse,
        update: &HeaderMap,
        policy: &Policy,
        groups: Option<Groups>,
    ) -> Result<(Keep, StoredBody), Pass> {
        let received = self.received();
        let headers = fields::freshened(&stored.head().fields(), update, received.at);
        let whole = match stored.status() {
            StatusCode::PARTIAL_CONTENT => StatusCode::OK,
            status => status,
        };
        let facts = ResponseFacts::read(
            whole,
            &headers,
            self.shared.reading(&self.policy, received.at),
        );
        self.is_targeted = facts.is_targeted;
        let kept = Groups::new(stored.groups().iter().cloned());
        let groups = self.groups(policy, Some(kept.and(groups)), &headers);
        let received = Received {
            groups_known: groups.is_some(),
            ..received
        };
        match admit(&self.plan.facts.as_plain_get(), &facts, policy, received) {
            Admission::Pass(reason) => Err(reason),
            Admission::Store(terms) => {
                let terms = self.jittered(terms, policy);
                let groups = groups.unwrap_or_default();
                let keep =
                    self.to_keep(stored.status(), &headers, terms, None, groups, received.at);
                Ok((keep, stored.body().clone()))
            }
        }
    }

    async fn commit_body(&mut self, keep: &Keep, body: &StoredBody) -> (Arc<Entry<Stored>>, bool) {
        let (lead, sharing) = (self.lead.take(), self.sharing.take());
        let (entry, stored) = keep
            .commit(&self.shared, body, lead.as_ref(), sharing)
            .await;
        self.shared.store.succeeded(keep.key.as_bytes());
        self.end(lead, keep, &entry);
        (entry, stored)
    }

    /// Tells those who wait.
    fn end(&self, lead: Option<Lead<Stored>>, keep: &Keep, entry: &Arc<Entry<Stored>>) {
        match lead {
            Some(lead) => {
                if !keep.terms.shared_at_once {
                    self.shared.store.mark_unshared(&self.plan.flight, UNSHARED);
                }
                lead.finish(keep.outcome(Arc::clone(entry)));
            }
            None => keep.release(&self.shared, &self.plan.flight),
        }
    }

    /// The answer that the origin's 304 makes of an entry.
    fn answer(&self, entry: &Arc<Entry<Stored>>, is_stored: bool) -> Option<Answer> {
        let response = entry.value()?.response()?;
        let wall = self.shared.store.clock().wall();
        let shape = match response.fit(&self.plan.facts, &self.request_headers, wall) {
            Fit::As(shape) => shape,
            Fit::Lacks | Fit::Precondition => Shape::Full,
        };
        let status = Some(StatusCode::NOT_MODIFIED).filter(|_| shape != Shape::NotModified);
        let (why, collapsed) = (self.plan.why, self.collapsed);
        let judged = candidate(entry, self.shared.store.now())?;
        let decision = |ttl| Decision::Forward {
            why,
            status,
            collapsed,
            then: if is_stored {
                Then::Stored { ttl }
            } else {
                Then::Overtaken
            },
        };
        self.loading.ends(match is_stored {
            true => Loaded::Stored,
            false => Loaded::Overtaken,
        });
        let is_head = self.plan.facts.method == MethodClass::Head;
        let entry = Arc::clone(entry);
        Some(Answer::decided(entry, shape, &judged, is_head, decision))
    }

    /// What was confirmed goes to this client and is not kept: with the fields of the 304, if they are about
    /// it.
    fn pass_confirmed<B>(
        &self,
        stored: &StoredResponse,
        parts: response::Parts,
        then: Then,
    ) -> Settled<B> {
        let now = self.shared.store.clock().wall();
        let fields = stored.head().fields();
        let fields = match freshening(&fields, &parts.headers, now) {
            Freshening::Mismatch => fields,
            _ => fields::freshened(&fields, &parts.headers, now),
        };
        self.pass_stored(stored, with_fields(parts, fields), then)
    }

    /// What is stored goes to this client, with these fields.
    fn pass_stored<B>(
        &self,
        stored: &StoredResponse,
        mut parts: response::Parts,
        then: Then,
    ) -> Settled<B> {
        parts.status = stored.status();
        let mut response = Response::from_parts(parts, stored.full_body());
        let now = self.shared.store.clock().wall();
        if let Fit::As(shape) = stored.fit(&self.plan.facts, &self.request_headers, now) {
            stored.write_shaped(&shape, &self.shared, &mut response);
        }
        if self.plan.facts.method == MethodClass::Head {
            *response.body_mut() = ResponseBody::empty();
        }
        let (parts, body) = response.into_parts();
        self.respond(parts, body, then, None)
    }

    /// The missing part came: with what is stored it is the whole response.
    fn completed<B>(
        &self,
        mut parts: response::Parts,
        body: Spliced<B>,
    ) -> Option<(response::Parts, Spliced<B>)> {
        let received = self.shared.store.clock().wall();
        let completed = self.ask.completed(&parts.headers, received)?;
        let stored = completed.stored.head().fields();
        parts.headers = fields::freshened(&stored, &parts.headers, received);
        let length = HeaderValue::from(completed.length);
        parts.headers.insert(header::CONTENT_LENGTH, length);
        parts.status = StatusCode::OK;
        let gap = completed.gap.length();
        Some((parts, body.between(completed.before, gap, completed.after)))
    }

    /// The origin answered a question of ours so that it answers no client. What the question was about is
    /// not asked about again.
    fn incoherent<B>(&mut self) -> Settled<B> {
        self.loading.ends(Loaded::Failed);
        let error = Error::load("the origin answered what it was not asked");
        self.shared
            .store
            .load_failed(self.plan.key.as_bytes(), &error);
        self.shared.withdraw(&self.plan.key);
        self.release(UNSHARED_BY_REQUEST);
        Settled::Refused(Refusal::BadGateway(self.plan.why))
    }

    /// A response to HEAD tells of what is stored for GET (RFC 9111 §4.3.5).
    async fn compare(&mut self, parts: &response::Parts, policy: &Policy, groups: Option<Groups>) {
        let Some(stored) = self.plan.stored.clone() else {
            return;
        };
        let Some(response) = stored.value().and_then(Stored::response) else {
            return;
        };
        let fields = response.head().fields();
        match compare_head(&fields, response.complete_length(), &parts.headers) {
            HeadComparison::NoEvidence => {}
            HeadComparison::Differs(_) => self.shared.withdraw(&self.plan.key),
            HeadComparison::Match => match self.freshen(response, &parts.headers, policy, groups) {
                Ok((keep, body)) => {
                    keep.commit(&self.shared, &body, None, None).await;
                }
                Err(reason) => self.supersede(response.status(), reason),
            },
        }
    }

    /// What is stored is out of date, and the origin says that what replaces it is not to be stored.
    fn supersede(&self, status: StatusCode, reason: Pass) {
        let is_gone = matches!(status.as_u16(), 404 | 410);
        let is_withdrawn = matches!(reason, Pass::NoStore | Pass::Private | Pass::NoCache);
        // A part is not all of it, and an error says nothing of it.
        let is_full = status.is_success() && status != StatusCode::PARTIAL_CONTENT;
        let is_replaced = reason == Pass::NoLifetime && (is_full || status.is_redirection());
        if self.plan.stored.is_some() && (is_gone || is_withdrawn || is_replaced) {
            self.shared.withdraw(&self.plan.key);
        }
    }

    fn jittered(&self, mut terms: Terms, policy: &Policy) -> Terms {
        terms.life.fresh = policy
            .life()
            .jittered(terms.life.fresh, self.shared.store.random());
        terms
    }

    /// All groups of the response: the route's, the handler's, and the URI's own where its key says
    /// more than the URI. `None` where one cannot be named.
    fn groups(
        &self,
        policy: &Policy,
        of_handler: Option<Groups>,
        headers: &HeaderMap,
    ) -> Option<Vec<String>> {
        let of_route = |name: &str| {
            self.plan
                .parameters
                .iter()
                .find(|(known, _)| **known == *name)
                .map(|(_, value)| value.clone())
        };
        let mut names: Vec<String> = policy
            .groups()
            .iter()
            .map(|group| group.fill(of_route))
            .collect::<Option<_>>()?;
        names.extend(of_handler.into_iter().flat_map(Groups::into_names));
        names.sort_unstable();
        names.dedup();
        if !Groups::are_within_limits(&names) {
            return None;
        }
        if self.shared.heeds_cache_groups {
            let of_origin = cache_groups::groups(headers)?;
            if !Groups::are_within_limits(&of_origin) {
                return None;
            }
            let name = |group: String| cache_groups::group_name(&self.plan.origin, &group);
            names.extend(of_origin.into_iter().map(name));
        }
        if let Some(uri) = self.plan.key.as_bytes().get(..self.plan.uri_length)
            && uri.len() < self.plan.key.as_bytes().len()
        {
            names.push(uri_group(uri));
        }
        Some(names)
    }

    /// The response is its own client's alone: who waits goes by itself, and so do others for a while.
    fn release(&mut self, lasting: Duration) {
        self.sharing = None;
        if let Some(lead) = self.lead.take() {
            self.shared.store.mark_unshared(&self.plan.flight, lasting);
            lead.finish(Outcome::Unshared);
        }
    }

    fn pass<B>(&self, parts: response::Parts, body: Spliced<B>, then: Then) -> Settled<B> {
        self.respond(parts, ResponseBody::spliced(body), then, None)
    }

    fn respond<B>(
        &self,
        mut parts: response::Parts,
        body: ResponseBody<B>,
        then: Then,
        job: Option<FillJob<B>>,
    ) -> Settled<B> {
        let decision = Decision::Forward {
            why: self.plan.why,
            status: None,
            collapsed: self.collapsed,
            then,
        };
        self.loading.ends(match then {
            Then::Stored { .. } => Loaded::Stored,
            Then::Overtaken => Loaded::Overtaken,
            Then::Failed | Then::WaitTimeout => Loaded::Failed,
            Then::Passed(_) | Then::DecidedWithin => Loaded::Passed,
        });
        if let (Some(status), true) = (&self.shared.status, then != Then::DecidedWithin) {
            append_status(&mut parts.headers, status.value(decision));
        }
        if self.is_targeted {
            for name in &self.shared.targets {
                parts.headers.remove(name);
            }
        }
        let body = if self.has_it(&parts) {
            parts.status = StatusCode::NOT_MODIFIED;
            make_not_modified(&mut parts.headers);
            ResponseBody::empty()
        } else {
            body
        };
        if self.plan.depth > 0 {
            nested::mark_decided(&mut parts.extensions, &self.shared.store);
        }
        Settled::Response(Response::from_parts(parts, body), decision, job)
    }

    /// Whether the client has the response already, whose condition was put aside for a question of ours.
    fn has_it(&self, parts: &response::Parts) -> bool {
        let now = self.shared.store.clock().wall();
        let response = conditional::Stored {
            status: parts.status,
            headers: &parts.headers,
            received: now,
        };
        self.ask.is_own()
            && self.plan.facts.conditional
            && conditional::evaluate(&self.request_headers, response, now) == Verdict::NotModified
    }

    /// Takes in the body: at once where it is ready, else by a job. The client gets each frame as it
    /// comes, either way.
    async fn keep<B>(
        &mut self,
        parts: response::Parts,
        body: Spliced<B>,
        terms: Terms,
        groups: Vec<String>,
        received: SystemTime,
    ) -> Settled<B>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let declared = match declared(&terms, &body, self.shared.max_body) {
            Ok(declared) => declared,
            Err(reason) => {
                self.release(UNSHARED);
                return self.pass(parts, body, Then::Passed(reason));
            }
        };
        if !terms.shared_at_once {
            // What has to be validated each time is loaded by each process for itself.
            self.sharing = None;
        }
        let mut body = Box::pin(body);
        let drained =
            poll_fn(|cx| Poll::Ready(drain(body.as_mut(), self.shared.max_body, cx))).await;
        let keep = self.to_keep(
            parts.status,
            &parts.headers,
            terms,
            declared,
            groups,
            received,
        );
        self.take_in(parts, drained, body, keep).await
    }

    fn to_keep(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        terms: Terms,
        declared: Option<u64>,
        groups: Vec<String>,
        received: SystemTime,
    ) -> Keep {
        let owner = Owner::new(&self.policy, self.plan.depth);
        Keep {
            key: self.plan.key.clone(),
            ticket: self.ticket,
            head: Head::of(status, headers, owner, &terms, received, lasting(&groups)),
            terms,
            came: self.shared.store.now(),
            declared,
            renews: self.plan.renews(&self.policy),
            profile: self.policy.follows(),
            request_headers: Arc::clone(&self.request_headers),
            groups,
        }
    }

    /// What follows from how much of the body was ready.
    async fn take_in<B>(
        &mut self,
        parts: response::Parts,
        drained: Drained,
        body: Pin<Box<Spliced<B>>>,
        keep: Keep,
    ) -> Settled<B>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        match drained {
            Drained::Whole(frames) if keep.is_whole(&frames) => {
                let then = self.commit(&keep, &frames).await;
                self.respond(parts, ResponseBody::replay(frames, None), then, None)
            }
            // Longer or shorter than declared, or with trailers: as it is, to this client only.
            Drained::Whole(frames) if frames.iter().all(Frame::is_data) => {
                self.unfit(parts, frames, None, Pass::Length)
            }
            Drained::Whole(frames) => self.unfit(parts, frames, None, Pass::Trailers),
            Drained::TooLarge(frames) => {
                self.unfit(parts, frames, Some(Rest::Body(body)), Pass::TooLarge)
            }
            Drained::Failed(frames, error) => match self.failed(Failure::Unreachable) {
                Some(stale) => Settled::Stored(stale),
                None => {
                    let body = ResponseBody::replay(frames, Some(Rest::Error(error)));
                    self.respond(parts, body, Then::Failed, None)
                }
            },
            // Without a runtime there is nobody to run the job.
            Drained::Partly(frames) if tokio::runtime::Handle::try_current().is_err() => {
                self.unfit(parts, frames, Some(Rest::Body(body)), Pass::Stream)
            }
            Drained::Partly(frames) => self.fill(parts, frames, body, keep),
        }
    }

    async fn commit(&mut self, keep: &Keep, frames: &VecDeque<Frame<Bytes>>) -> Then {
        let body = keep.joined(frames.iter().filter_map(Frame::data_ref));
        let (_, stored) = self.commit_body(keep, &body).await;
        if stored {
            Then::Stored { ttl: keep.ttl() }
        } else {
            Then::Overtaken
        }
    }

    fn unfit<B>(
        &mut self,
        parts: response::Parts,
        frames: VecDeque<Frame<Bytes>>,
        rest: Option<Rest<B>>,
        reason: Pass,
    ) -> Settled<B>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        self.release(UNSHARED);
        self.respond(
            parts,
            ResponseBody::replay(frames, rest),
            Then::Passed(reason),
            None,
        )
    }

    /// The rest of the body comes in by a job. Where its length is known to be one that is kept, those
    /// who wait read along from now on; else they are told at its end.
    fn fill<B>(
        &mut self,
        parts: response::Parts,
        frames: VecDeque<Frame<Bytes>>,
        body: Pin<Box<Spliced<B>>>,
        keep: Keep,
    ) -> Settled<B>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let lead = self.lead.take();
        let fill = Arc::new(Fill::new(keep.declared));
        frames.into_iter().for_each(|frame| fill.push(frame));
        let is_shared = keep.terms.shared_at_once && keep.declared.is_some();
        if let Some(lead) = lead.as_ref().filter(|_| is_shared) {
            lead.announce(Outcome::Ready(keep.announcement(&self.shared, &fill)));
        }
        let then = Then::Stored { ttl: keep.ttl() };
        let handover = Arc::new(Mutex::new(None));
        let reader = ResponseBody::leading(fill.reader(), Arc::clone(&handover));
        let (shared, policy) = (Arc::clone(&self.shared), Arc::clone(&self.policy));
        let job = FillJob::new(
            shared,
            self.plan.flight.clone(),
            keep,
            lead,
            self.sharing.take(),
            fill,
            body,
            handover,
            policy,
        );
        self.respond(parts, reader, then, Some(job))
    }
}

fn origin_failed() -> Error {
    Error::load("the origin failed")
}

/// Whether those who wait, here or in other processes, have waited for another before in vain.
pub(super) fn is_second(lead: &Lead<Stored>, sharing: Option<&Sharing>) -> bool {
    lead.predecessors() > 0 || sharing.is_some_and(Sharing::is_successor)
}

fn with_fields(mut parts: response::Parts, fields: HeaderMap) -> response::Parts {
    parts.headers = fields;
    parts
}

/// The groups that are not read from the fields: what freshens the response does not repeat them.
fn lasting(groups: &[String]) -> Arc<[String]> {
    let is_named = |name: &&String| !name.starts_with('\0');
    groups.iter().filter(is_named).cloned().collect()
}

/// The length that the body must have, where it is known before.
fn declared<B: Body>(terms: &Terms, body: &B, most: u64) -> Result<Option<u64>, Pass> {
    let exact = body.size_hint().exact();
    let declared = terms.length.or(exact);
    if exact.is_some() && exact != declared {
        return Err(Pass::Length);
    }
    if declared.is_some_and(|length| length > most) {
        return Err(Pass::TooLarge);
    }
    Ok(declared)
}

/// How long others need not queue: where the response itself says that it cannot be shared, longer than
/// where this one request may have brought it about.
fn unshared(reason: Pass) -> Duration {
    match reason {
        Pass::Request
        | Pass::Status
        | Pass::Credentials
        | Pass::Personal
        | Pass::Cors
        | Pass::Vary
        | Pass::Partial => UNSHARED_BY_REQUEST,
        _ => UNSHARED,
    }
}

/// The statuses for which a stale response may stand in (RFC 5861 §4).
fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}
