//! Taking in the body of a response: at once as far as it is ready, then by a job of its own.

use super::{
    Shared, UNSHARED,
    commit::Keep,
    exchange::is_second,
    remote::{Concerned, Sharing},
};
use crate::{
    body::{Handover, Rest, Spliced},
    fill::{End, Fill},
    policy::Policy,
    stored::Stored,
};
use bytes::Bytes;
use cache_core::{
    BoxError, Error,
    store::{FlightKey, Lead, Outcome},
};
use http_body::{Body, Frame};
use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
};

/// A body in more pieces than this is not kept: each costs memory beside its bytes.
const MOST_FRAMES: usize = 16 * 1024;

/// What of a body was ready.
pub(super) enum Drained {
    /// All of it.
    Whole(VecDeque<Frame<Bytes>>),
    /// Some; more is to come.
    Partly(VecDeque<Frame<Bytes>>),
    /// More than is kept.
    TooLarge(VecDeque<Frame<Bytes>>),
    /// It failed after these.
    Failed(VecDeque<Frame<Bytes>>, BoxError),
}

/// Takes what is ready of a body, and not much more than `most` bytes.
pub(super) fn drain<B>(mut body: Pin<&mut B>, most: u64, cx: &mut Context<'_>) -> Drained
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let mut frames = VecDeque::new();
    let mut length = 0;
    loop {
        match body.as_mut().poll_frame(cx) {
            Poll::Pending => return Drained::Partly(frames),
            Poll::Ready(None) => return Drained::Whole(frames),
            Poll::Ready(Some(Err(error))) => return Drained::Failed(frames, error.into()),
            Poll::Ready(Some(Ok(frame))) => {
                length += frame.data_ref().map_or(0, |data| data.len() as u64);
                frames.push_back(frame);
                if length > most || frames.len() > MOST_FRAMES {
                    return Drained::TooLarge(frames);
                }
            }
        }
    }
}

/// The job of taking in a body, until its end, its deadline, or too many bytes. It goes on when the
/// client that asked has left.
///
/// Dropped before its end, it cuts off those who read along and passes the turn on.
pub(crate) struct FillJob<B> {
    shared: Arc<Shared>,
    flight: FlightKey,
    keep: Keep,
    lead: Option<Lead<Stored>>,
    sharing: Option<Sharing>,
    fill: Arc<Fill>,
    body: Option<Pin<Box<Spliced<B>>>>,
    handover: Handover<B>,
    data: Vec<Bytes>,
    length: u64,
    has_trailers: bool,
    /// Its time is over: it is taken in for those who read along only.
    is_late: bool,
    policy: Arc<Policy>,
}

impl<B> FillJob<B> {
    #[allow(
        clippy::too_many_arguments,
        reason = "it takes over what the exchange gathered"
    )]
    pub(super) fn new(
        shared: Arc<Shared>,
        flight: FlightKey,
        keep: Keep,
        lead: Option<Lead<Stored>>,
        sharing: Option<Sharing>,
        fill: Arc<Fill>,
        body: Pin<Box<Spliced<B>>>,
        handover: Handover<B>,
        policy: Arc<Policy>,
    ) -> Self {
        let data = fill.data();
        let length = data.iter().map(|data| data.len() as u64).sum();
        let has_trailers = fill.has_trailers();
        let sharing = sharing.map(|sharing| sharing.behind(&shared));
        Self {
            shared,
            flight,
            keep,
            lead,
            sharing,
            fill,
            body: Some(body),
            handover,
            data,
            length,
            has_trailers,
            is_late: false,
            policy,
        }
    }
}

/// How the coming in ended.
enum Ended {
    /// With the end of the body.
    Whole,
    /// With something that cannot be kept.
    Unfit,
    /// With an error.
    Failed(BoxError),
}

impl<B> FillJob<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Runs the job to its end.
    pub(crate) async fn run(mut self) {
        let limit = self.policy.life().work_limit();
        match tokio::time::timeout(limit, self.take_in()).await {
            Ok(ended) => self.finish(ended).await,
            Err(_) => self.overrun().await,
        }
    }

    async fn finish(mut self, ended: Ended) {
        match ended {
            Ended::Failed(error) => self.failed(error),
            // Shorter than declared, and over: the client that asked gets it as it is.
            Ended::Whole
                if self
                    .keep
                    .declared
                    .is_some_and(|declared| declared != self.length) =>
            {
                self.hand_over(Rest::Ended);
            }
            // In full for all who read along, but a stored copy would lack the trailers.
            Ended::Whole if self.has_trailers => {
                self.fill.end(End::Clean);
                self.unshare();
            }
            Ended::Whole if self.lead.is_none() && self.is_late => self.fill.end(End::Clean),
            Ended::Whole => self.commit().await,
            Ended::Unfit => self.hand_over_body(),
        }
    }

    /// Its time is over: it will not be stored, and others may load. Those who read along, of a length
    /// that is known, are served to its end; the client that asked alone goes on by itself.
    async fn overrun(mut self) {
        let limit = self.policy.life().work_limit();
        self.unshare();
        self.is_late = true;
        // The client that asked holds the other end of the handover, as long as it is there.
        while self.fill.readers() >= Arc::strong_count(&self.handover) {
            // Now and then it looks whether they still do, also while nothing comes.
            if let Ok(Some(ended)) = tokio::time::timeout(limit, self.next()).await {
                return self.finish(ended).await;
            }
        }
        self.hand_over_body();
    }

    async fn take_in(&mut self) -> Ended {
        loop {
            if let Some(ended) = self.next().await {
                return ended;
            }
        }
    }

    /// Takes in a frame; says how it ended, if it did.
    async fn next(&mut self) -> Option<Ended> {
        let Some(body) = self.body.as_mut() else {
            return Some(Ended::Whole);
        };
        match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => {
                // A body must not be polled after its end.
                self.body = None;
                Some(Ended::Whole)
            }
            Some(Err(error)) => {
                self.body = None;
                Some(Ended::Failed(error))
            }
            Some(Ok(frame)) => {
                let fits = self.fits(&frame);
                self.fill.push(frame);
                (!fits).then_some(Ended::Unfit)
            }
        }
    }

    /// Notes a frame; false where with it the response can no longer be kept.
    fn fits(&mut self, frame: &Frame<Bytes>) -> bool {
        let Some(data) = frame.data_ref() else {
            self.has_trailers = true;
            return true;
        };
        self.length += data.len() as u64;
        self.data.push(data.clone());
        let most = self.keep.declared.unwrap_or(self.shared.max_body);
        self.length <= most && self.data.len() <= MOST_FRAMES
    }

    async fn commit(&mut self) {
        let (lead, sharing) = (self.lead.take(), self.sharing.take());
        let body = self.keep.joined(self.data.iter());
        self.keep.grow_older(self.shared.store.now());
        let (entry, _) = self
            .keep
            .commit(&self.shared, &body, lead.as_ref(), sharing)
            .await;
        self.shared.store.succeeded(self.keep.key.as_bytes());
        self.fill.end(End::Clean);
        match lead {
            Some(lead) => {
                lead.finish(self.keep.outcome(entry));
            }
            None => self.keep.release(&self.shared, &self.flight),
        }
    }

    /// It cannot be kept: what is left of the body goes to the client that asked, if it is still
    /// there, and those who wait go by themselves.
    fn hand_over_body(&mut self) {
        let rest = self.body.take().map_or(Rest::Ended, Rest::Body);
        self.hand_over(rest);
    }

    fn hand_over(&mut self, rest: Rest<B>) {
        self.leave(rest);
        // Before its end is seen: who joined this flight after that would get a body that is over.
        self.unshare();
        self.fill.end(End::HandedOver);
    }

    fn unshare(&mut self) {
        self.sharing = None;
        if let Some(lead) = self.lead.take() {
            self.shared.store.mark_unshared(&self.flight, UNSHARED);
            lead.finish(Outcome::Unshared);
        }
    }

    fn failed(&mut self, error: BoxError) {
        self.leave(Rest::Error(error));
        let failure = Error::load("the response ended early");
        self.shared
            .store
            .load_failed(self.keep.key.as_bytes(), &failure);
        let renews = self.keep.renews && self.lead.is_some();
        let pause = renews.then(|| {
            let (key, life) = (&self.keep.key, self.policy.life());
            self.shared.store.pause(key, failure.clone(), life)
        });
        match self.lead.take() {
            Some(lead) if is_second(&lead, self.sharing.as_ref()) => {
                if let Some(sharing) = self.sharing.take() {
                    sharing.fail(&pause.map_or(Concerned::Waiting, Concerned::All));
                }
                lead.finish(Outcome::Failed(failure));
            }
            lead => drop(lead),
        }
        self.fill.end(End::Cut);
    }

    fn leave(&self, rest: Rest<B>) {
        if self.fill.readers() > 0 {
            *self.handover.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}

impl<B> Drop for FillJob<B> {
    fn drop(&mut self) {
        // In this order, as in `hand_over`.
        self.lead = None;
        self.fill.end(End::Cut);
    }
}
