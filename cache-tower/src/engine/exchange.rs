//! One request that was forwarded, and what becomes of its response.

use super::{
    FillJob, Origin, Shared, UNSHARED, UNSHARED_BY_REQUEST,
    begin::Plan,
    commit::{Keep, uri_group},
    drive::stale_answer,
    fill_job::{Drained, drain},
    nested::{self, Outer, Owner},
};
use crate::{
    body::{ResponseBody, Rest},
    fill::Fill,
    groups::Groups,
    http::{
        admit::{Admission, Pass, Received, Terms, admit},
        cache_status::{Decision, Forwarded, Then},
        response::ResponseFacts,
        vary::is_accept_encoding_malformed,
    },
    policy::Policy,
    purge::Purger,
    stored::{Answer, Head, Stored, append_status},
};
use bytes::Bytes;
use cache_core::{
    BoxError, Error, Event,
    clock::Moment,
    store::{Lead, Outcome, Ticket},
};
use http::{HeaderMap, Request, Response, StatusCode, header, request, response};
use http_body::{Body, Frame};
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

pub(super) struct Exchange {
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    plan: Box<Plan>,
    lead: Option<Lead<Stored>>,
    ticket: Ticket,
    collapsed: Option<bool>,
    forwarded: Moment,
    /// What the request has, for the fields that the response says it varies by.
    request_headers: Arc<HeaderMap>,
}

/// What became of it.
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(super) enum Settled<B> {
    /// The response goes to the client; the job takes in its body where that is still coming.
    Response(Response<ResponseBody<B>>, Option<FillJob<B>>),
    /// The origin failed, and this stands in.
    Stale(Answer),
}

impl Exchange {
    pub(super) fn new(
        shared: Arc<Shared>,
        policy: Arc<Policy>,
        plan: Box<Plan>,
        lead: Option<Lead<Stored>>,
        collapsed: Option<bool>,
        headers: &HeaderMap,
    ) -> Self {
        let alone = || shared.store.ticket(plan.key.as_bytes());
        let ticket = lead.as_ref().map_or_else(alone, |lead| *lead.ticket());
        let forwarded = shared.store.now();
        let request_headers = Arc::new(headers.clone());
        Self {
            shared,
            policy,
            plan,
            lead,
            ticket,
            collapsed,
            forwarded,
            request_headers,
        }
    }

    /// Makes the request what is forwarded: it is marked for an inner layer, and lets the handler purge.
    pub(super) fn prepare(&self, parts: &mut request::Parts) {
        if is_accept_encoding_malformed(&parts.headers) {
            parts.headers.remove(header::ACCEPT_ENCODING);
        }
        let outer = Outer::new(
            &self.shared.store,
            self.plan.depth,
            self.plan.counted.clone(),
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

    /// The origin failed. What is stale answers, where it may; else one of those who wait tries in
    /// its turn, and if that fails too the others share the failure.
    pub(super) fn failed(&mut self) -> Option<Answer> {
        let error = Error::load("the origin failed");
        self.shared.store.record(Event::LoadFailed);
        if self.lead.is_some() && self.plan.why == Forwarded::Stale {
            self.shared
                .store
                .pause(&self.plan.key, error.clone(), self.policy.life());
        }
        let stale = stale_answer(
            &self.shared,
            &self.policy,
            &self.plan,
            &self.request_headers,
        );
        match self.lead.take() {
            Some(lead) if stale.is_none() && lead.predecessors() == 0 => drop(lead),
            Some(lead) => {
                lead.finish(Outcome::Failed(error));
            }
            None => {}
        }
        stale
    }

    /// Decides about a response and does what follows from it.
    pub(super) async fn settle<B>(&mut self, response: Response<B>) -> Settled<B>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let (mut parts, body) = response.into_parts();
        let own = parts.extensions.remove::<Policy>();
        let groups = parts.extensions.remove::<Groups>();
        if nested::was_decided(&mut parts.extensions, &self.shared.store) {
            self.release(UNSHARED);
            return self.pass(parts, body, Then::DecidedWithin);
        }
        self.shared.store.record(Event::Load);
        if is_failure(parts.status) {
            return match self.failed() {
                Some(stale) => Settled::Stale(stale),
                None => self.pass(parts, body, Then::Failed),
            };
        }
        let policy = own.map_or_else(
            || Arc::clone(&self.policy),
            |own| Arc::new(self.policy.for_response(own)),
        );
        let groups = self.groups(&policy, groups);
        let received = Received {
            at: self.shared.store.clock().wall(),
            delay: self.shared.store.now().since(self.forwarded),
            max_body: self.shared.max_body,
            groups_known: groups.is_some(),
        };
        let facts = ResponseFacts::read(parts.status, &parts.headers);
        match admit(&self.plan.facts, &facts, &policy, received) {
            Admission::Store(terms) => {
                self.keep(
                    parts,
                    body,
                    self.jittered(terms, &policy),
                    groups.unwrap_or_default(),
                )
                .await
            }
            Admission::Pass(reason) => {
                self.supersede(parts.status, reason);
                self.release(unshared(reason));
                self.pass(parts, body, Then::Passed(reason))
            }
        }
    }

    /// What is stored is out of date, and the origin says that what replaces it is not to be stored.
    fn supersede(&self, status: StatusCode, reason: Pass) {
        let is_gone = matches!(status.as_u16(), 404 | 410);
        let is_withdrawn = matches!(reason, Pass::NoStore | Pass::Private | Pass::NoCache);
        if self.plan.why == Forwarded::Stale && (is_gone || is_withdrawn) {
            self.shared.store.invalidate(self.plan.key.as_bytes());
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
    fn groups(&self, policy: &Policy, of_handler: Option<Groups>) -> Option<Vec<String>> {
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
        if !Groups::are_within_limits(&names) {
            return None;
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
        if let Some(lead) = self.lead.take() {
            self.shared.store.mark_unshared(&self.plan.flight, lasting);
            lead.finish(Outcome::Unshared);
        }
    }

    fn pass<B>(&self, parts: response::Parts, body: B, then: Then) -> Settled<B> {
        self.respond(parts, ResponseBody::pass(body), then, None)
    }

    fn respond<B>(
        &self,
        mut parts: response::Parts,
        body: ResponseBody<B>,
        then: Then,
        job: Option<FillJob<B>>,
    ) -> Settled<B> {
        if let (Some(status), true) = (&self.shared.status, then != Then::DecidedWithin) {
            let decision = Decision::Forward {
                why: self.plan.why,
                collapsed: self.collapsed,
                then,
            };
            append_status(&mut parts.headers, status.value(decision));
        }
        if self.plan.depth > 0 {
            nested::mark_decided(&mut parts.extensions, &self.shared.store);
        }
        Settled::Response(Response::from_parts(parts, body), job)
    }

    /// Takes in the body: at once where it is ready, else by a job. The client gets each frame as it
    /// comes, either way.
    async fn keep<B>(
        &mut self,
        parts: response::Parts,
        body: B,
        terms: Terms,
        groups: Vec<String>,
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
        let mut body = Box::pin(body);
        let drained =
            poll_fn(|cx| Poll::Ready(drain(body.as_mut(), self.shared.max_body, cx))).await;
        let keep = Keep {
            key: self.plan.key.clone(),
            ticket: self.ticket,
            head: Head::of(&parts, Owner::new(&self.policy, self.plan.depth)),
            terms,
            declared,
            renews: self.plan.why == Forwarded::Stale,
            request_headers: Arc::clone(&self.request_headers),
            groups,
        };
        self.take_in(parts, drained, body, keep)
    }

    /// What follows from how much of the body was ready.
    fn take_in<B>(
        &mut self,
        parts: response::Parts,
        drained: Drained,
        body: Pin<Box<B>>,
        keep: Keep,
    ) -> Settled<B>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        match drained {
            Drained::Whole(frames) if keep.is_whole(&frames) => {
                let then = self.commit(&keep, &frames);
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
            Drained::Failed(frames, error) => match self.failed() {
                Some(stale) => Settled::Stale(stale),
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

    fn commit(&mut self, keep: &Keep, frames: &VecDeque<Frame<Bytes>>) -> Then {
        let lead = self.lead.take();
        let current = lead.as_ref().is_none_or(Lead::is_current);
        let (entry, stored) = keep.commit(
            &self.shared,
            frames.iter().filter_map(Frame::data_ref),
            current,
        );
        self.shared.store.succeeded(keep.key.as_bytes());
        match lead {
            Some(lead) => {
                lead.finish(Outcome::Ready(entry));
            }
            None => self.shared.store.mark_shared(&self.plan.flight),
        }
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
        body: Pin<Box<B>>,
        keep: Keep,
    ) -> Settled<B>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let lead = self.lead.take();
        let fill = Arc::new(Fill::new(keep.declared));
        frames.into_iter().for_each(|frame| fill.push(frame));
        if let Some(lead) = lead.as_ref().filter(|_| keep.declared.is_some()) {
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
            fill,
            body,
            handover,
            policy,
        );
        self.respond(parts, reader, then, Some(job))
    }
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
