//! Waiting for another's response, or leading.

use super::{
    FillJob, Origin, Shared,
    account::{Account, Span},
    ask::{Ask, found_again},
    begin::Plan,
    commit::selecting_of,
    exchange::{Exchange, Settled},
    refusal::Refusal,
    remote::{self, Consulted, Sharing},
};
use crate::{
    body::ResponseBody,
    http::{
        cache_status::{Decision, Ground},
        lookup::{Failure, Lookup, lookup, may_stand_in},
        request::MethodClass,
        shape::{Fit, Shape},
    },
    policy::Policy,
    stored::{Answer, Stored, StoredResponse, candidate},
};
use cache_core::{
    Entry,
    clock::Moment,
    store::{Follower, Join, Lead, Outcome, Waited},
};
use http::{HeaderMap, Request, Response, request};
use std::{sync::Arc, time::Duration};

/// So often a request joins a flight whose outcome turns out not to be for it. Then it counts as one
/// that waited too long.
const REJOINS: usize = 5;

/// What came of [`drive`].
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(crate) enum Reply<RB> {
    /// Something stored, or shared by another request.
    Stored(Answer),
    /// The cache itself says no.
    Refused(Refusal),
    /// The origin's response, what was decided about it, and the job that takes in its body where that is
    /// still coming.
    Origin(Response<ResponseBody<RB>>, Decision, Option<FillJob<RB>>),
}

impl<RB> Reply<RB> {
    fn decision(&self) -> Decision {
        match self {
            Self::Stored(answer) => answer.decision(),
            Self::Refused(refusal) => refusal.decision(),
            Self::Origin(_, decision, _) => *decision,
        }
    }
}

/// What [`begin`](super::begin) decided must wait or go to the origin.
///
/// Dropping it at any point, as when the client leaves, passes the turn to another request.
pub(crate) async fn drive<O, B>(
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    mut plan: Box<Plan>,
    origin: O,
    request: Request<B>,
) -> Result<Reply<O::Body>, O::Error>
where
    O: Origin<B>,
{
    // Dropped with this future, it closes.
    let account = plan.account.take();
    let span = account.as_ref().map_or_else(Span::none, Account::span);
    let within = (plan.depth > 0).then(|| shared.store.clone());
    // Taken apart, because `&Request<B>` across an await would ask `B: Sync`.
    let (parts, body) = request.into_parts();
    let trip = Trip {
        shared,
        policy,
        plan,
        origin,
        parts,
        body,
    };
    let mut reply = span.around(trip.run()).await?;
    if let Some(account) = account {
        account.close(reply.decision());
    }
    if let (Reply::Stored(answer), Some(store)) = (&mut reply, within) {
        answer.tell_outer(&store);
    }
    Ok(reply)
}

/// One request on its way.
struct Trip<O, B> {
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    plan: Box<Plan>,
    origin: O,
    parts: request::Parts,
    body: B,
}

/// What a request gets for joining a flight.
enum Joined {
    Answer(Answer),
    Refused(Refusal),
    Lead(Lead<Stored>),
    /// The outcome is not for it. The plan may be for another flight now.
    Nothing,
    /// It is to go by itself.
    Alone,
}

impl<O: Origin<B>, B> Trip<O, B> {
    async fn run(mut self) -> Result<Reply<O::Body>, O::Error> {
        let until = Until::new(&self.shared, self.policy.life().waiting_limit());
        for _ in 0..REJOINS {
            if !self.may_collapse() {
                let (plan, headers) = (&mut self.plan, &self.parts.headers);
                let found = remote::look(&self.shared, &self.policy, plan, headers).await;
                return match found {
                    Some(answer) => Ok(self.found_there(answer)),
                    None => self.exchange(None, None, None).await,
                };
            }
            let work = self.policy.life().work_limit();
            let joined = match self.shared.store.join(&self.plan.flight, work) {
                Join::Lead(lead) => Joined::Lead(lead),
                Join::Reentrant => return self.exchange(None, None, None).await,
                Join::Known(outcome) => self.share(outcome, &until),
                Join::Follow(follower) => {
                    match wait(&self.shared, &self.policy, follower, &until).await {
                        Waited::Lead(lead) => Joined::Lead(lead),
                        Waited::Known(outcome) => self.share(outcome, &until),
                        Waited::TimedOut => break,
                    }
                }
            };
            match joined {
                Joined::Answer(answer) => return Ok(Reply::Stored(answer)),
                Joined::Refused(refusal) => return Ok(Reply::Refused(refusal)),
                Joined::Lead(lead) => return self.lead(lead, &until).await,
                Joined::Alone => return self.exchange(None, None, Some(false)).await,
                Joined::Nothing => {}
            }
        }
        self.give_up_waiting().await
    }

    /// Only GETs fly together that ask the origin what the others ask: a HEAD, a client's own condition or
    /// range gets an answer that is nobody else's. And not where answers could not be shared lately.
    fn may_collapse(&self) -> bool {
        self.plan.facts.method == MethodClass::Get
            && self.plan.counted.is_some()
            && !self.shared.store.is_unshared(&self.plan.flight)
            && (self.plan.facts.is_plain() || self.ask().is_own())
    }

    fn ask(&self) -> Ask {
        Ask::of(&self.shared, &self.policy, &self.plan, &self.parts.headers)
    }

    /// What another request's outcome gives to this one.
    fn share(&mut self, outcome: Outcome<Stored>, until: &Until) -> Joined {
        match outcome {
            Outcome::Unshared => Joined::Alone,
            Outcome::Failed(_) => self.stale_answer().map_or(
                Joined::Refused(Refusal::Failed(self.plan.why)),
                Joined::Answer,
            ),
            // An invalidation overtook it, maybe before this request came.
            Outcome::Ready(entry) if !entry.is_current() => Joined::Nothing,
            Outcome::Ready(entry) => self.share_response(&entry, until.since),
        }
    }

    fn share_response(&mut self, entry: &Arc<Entry<Stored>>, came: Moment) -> Joined {
        let Some(response) = entry.value().and_then(Stored::response) else {
            return Joined::Nothing;
        };
        let theirs = &response.selecting;
        let profile = self.policy.follows();
        let mine = selecting_of(&theirs.fields, &self.parts.headers, profile);
        if mine.values != theirs.values {
            self.plan.select(&mine.values);
            return Joined::Nothing;
        }
        let Some(shape) = self.shape(response) else {
            return Joined::Alone;
        };
        let now = self.shared.store.now();
        match candidate(entry, now) {
            Some(judged) if judged.is_for_who_came(now.since(came)) => {
                let why = self.plan.why;
                Joined::Answer(Answer::collapsed(Arc::clone(entry), shape, &judged, why))
            }
            // There is no other flight before this one's body is here.
            Some(_) if response.is_coming() => Joined::Alone,
            Some(_) | None => Joined::Nothing,
        }
    }

    fn shape(&self, response: &StoredResponse) -> Option<Shape> {
        let now = self.shared.store.clock().wall();
        match response.fit(&self.plan.facts, &self.parts.headers, now) {
            Fit::As(shape) => Some(shape),
            Fit::Lacks | Fit::Precondition => None,
        }
    }

    /// Having waited too long: what was stored meanwhile, or the stale response, or to the origin if
    /// there is a place, or no.
    async fn give_up_waiting(self) -> Result<Reply<O::Body>, O::Error> {
        let stored = self.stored_meanwhile().map(|(_, answer)| answer);
        if let Some(answer) = stored.or_else(|| self.stale_answer()) {
            return Ok(Reply::Stored(answer));
        }
        match self.shared.alone.enter(&self.plan.flight) {
            Some(_place) => self.exchange(None, None, Some(false)).await,
            None => Ok(Reply::Refused(Refusal::WaitTimeout(self.plan.why))),
        }
    }

    async fn lead(
        mut self,
        mut lead: Lead<Stored>,
        until: &Until,
    ) -> Result<Reply<O::Body>, O::Error> {
        if let Some((entry, answer)) = self.stored_meanwhile() {
            lead.finish(Outcome::Ready(entry));
            return Ok(Reply::Stored(answer));
        }
        let (plan, headers) = (&mut self.plan, &self.parts.headers);
        let patience = until.left(&self.shared);
        let consulted = remote::consult(
            &self.shared,
            &self.policy,
            plan,
            headers,
            &mut lead,
            patience,
        );
        match consulted.await {
            Consulted::Load(sharing) => self.exchange(Some(lead), sharing, None).await,
            Consulted::Answer(entry, answer) => {
                lead.finish(Outcome::Ready(entry));
                Ok(self.found_there(answer))
            }
            Consulted::Failed(error) => {
                lead.finish(Outcome::Failed(error));
                self.note_remote();
                let stale = self.stale_answer();
                let refused = || Reply::Refused(Refusal::Failed(self.plan.why));
                Ok(stale.map_or_else(refused, Reply::Stored))
            }
            // Who waits here takes its turn, and its own patience.
            Consulted::TimedOut => {
                drop(lead);
                self.give_up_waiting().await
            }
        }
    }

    /// The remote tier, or another process, answers.
    fn found_there(&self, answer: Answer) -> Reply<O::Body> {
        self.note_remote();
        Reply::Stored(answer.found_there())
    }

    fn note_remote(&self) {
        if let Some(counted) = &self.plan.counted {
            counted.found_there();
        }
    }

    /// What another flight stored since this request looked.
    fn stored_meanwhile(&self) -> Option<(Arc<Entry<Stored>>, Answer)> {
        // A refresh is not answered from the store.
        self.plan.counted.as_ref()?;
        let now = self.shared.store.now();
        let entry = found_again(&self.shared, &self.policy, &self.plan, &self.parts.headers)?;
        let judged = candidate(&entry, now)?;
        if lookup(&self.plan.facts, Ok(judged), &self.policy) != Lookup::Fresh {
            return None;
        }
        let shape = self.shape(entry.value()?.response()?)?;
        let answer = Answer::collapsed(Arc::clone(&entry), shape, &judged, self.plan.why);
        Some((entry, answer))
    }

    /// Forwards the request, and settles what becomes of the response.
    async fn exchange(
        self,
        lead: Option<Lead<Stored>>,
        sharing: Option<Sharing>,
        collapsed: Option<bool>,
    ) -> Result<Reply<O::Body>, O::Error> {
        let Self {
            shared,
            policy,
            plan,
            origin,
            mut parts,
            body,
        } = self;
        let mut exchange = Exchange::new(
            shared,
            policy,
            plan,
            lead,
            sharing,
            collapsed,
            &parts.headers,
        );
        exchange.prepare(&mut parts);
        match exchange
            .forward(origin, Request::from_parts(parts, body))
            .await
        {
            Err(error) => exchange
                .erred(O::status_of(&error))
                .map_or(Err(error), |stale| Ok(Reply::Stored(stale))),
            Ok(response) => Ok(match exchange.settle(response).await {
                Settled::Response(response, decision, job) => {
                    Reply::Origin(response, decision, job)
                }
                Settled::Stored(answer) => Reply::Stored(answer),
                Settled::Refused(refusal) => Reply::Refused(refusal),
            }),
        }
    }

    fn stale_answer(&self) -> Option<Answer> {
        let (shared, headers) = (&self.shared, &self.parts.headers);
        stale_answer(shared, &self.policy, &self.plan, headers, Failure::Status)
    }
}

async fn wait(
    shared: &Shared,
    policy: &Policy,
    follower: Follower<Stored>,
    until: &Until,
) -> Waited<Stored> {
    let left = until.left(shared);
    shared
        .store
        .wait(follower, left, policy.life().work_limit())
        .await
}

/// How long a request may wait, whatever it waits for.
struct Until {
    since: Moment,
    limit: Duration,
}

impl Until {
    fn new(shared: &Shared, limit: Duration) -> Self {
        Self {
            since: shared.store.now(),
            limit,
        }
    }

    fn left(&self, shared: &Shared) -> Duration {
        self.limit
            .saturating_sub(shared.store.now().since(self.since))
    }
}

/// The stale response, where it may answer for a failing origin, or might have without asking that at all:
/// only while it is still stored, for it may have been purged since the request looked.
pub(super) fn stale_answer(
    shared: &Shared,
    policy: &Arc<Policy>,
    plan: &Plan,
    headers: &HeaderMap,
    failure: Failure,
) -> Option<Answer> {
    let stored = plan.stored.as_ref()?;
    let entry =
        found_again(shared, policy, plan, headers).filter(|entry| Arc::ptr_eq(entry, stored))?;
    let now = shared.store.now();
    let judged = candidate(&entry, now)?;
    // A refresh answers nobody.
    let might_have = plan.counted.is_some()
        && lookup(&plan.facts, Ok(judged), policy) == Lookup::StaleWhileRevalidate;
    let stands_in = might_have || may_stand_in(&plan.facts, &judged, policy, failure);
    if !stands_in {
        return None;
    }
    let wall = shared.store.clock().wall();
    let fit = entry.value()?.response()?.fit(&plan.facts, headers, wall);
    let Fit::As(shape) = fit else {
        return None;
    };
    let is_head = plan.facts.method == MethodClass::Head;
    let ground = Ground::IfError;
    Some(Answer::hit(entry, shape, &judged, ground, is_head))
}
