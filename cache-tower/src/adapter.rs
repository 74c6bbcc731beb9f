//! For adapters of web frameworks.
//!
//! A framework built on Tower takes the layers as they are and says by [`Routing`] what it knows of a
//! request. Any other drives the engine itself: [`Engine::begin`] says which way a request takes, and the
//! adapter does the rest with its own requests, bodies and tasks. Nothing here asks for `Send`.
//!
//! | [`Begin`] | What the adapter does |
//! |---|---|
//! | `Bypass` | [marks](Passage::mark) the request, forwards it, does by its response what the [`Passage`] says |
//! | `Answer` | writes the [`Answer`] |
//! | `Refresh` | the same, and runs [`Engine::refresh`] in the background |
//! | `Drive` | awaits [`Engine::drive`], writes the [`Reply`], and runs its [`FillJob`] in the background |

use crate::{
    body::ResponseBody,
    config::Pattern,
    engine::{self, Choice, Refusal, Shared},
    http::request,
    policy::Policy,
    stored,
};
use bytes::Bytes;
use cache_core::BoxError;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
};
use http_body::Body;
use std::{any::Any, fmt, sync::Arc};

pub use crate::{
    cache::{CacheLayer, CacheService, HttpCache, HttpCacheBuilder},
    engine::Origin,
    purge::{Purger, RequestPurger},
    routing::{Direct, Framework, Parameters, Routing},
    stored::Plain,
};

/// What drives the requests of one layer. A cheap handle.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    choice: Arc<Choice>,
}

/// A request, as far as it decides which way it takes.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The URI that the client sent.
    pub uri: &'a Uri,
    /// Its fields, or those of them whose names the engine [decides by](Engine::decides_by).
    pub headers: &'a HeaderMap,
    /// The fields of these names, for a response that varies by them.
    pub others: &'a dyn Fn(&[HeaderName]) -> HeaderMap,
    /// What a layer further out put there: the extensions of the request it forwarded.
    pub extensions: &'a Extensions,
    /// Whether there is a body, or may be.
    pub has_body: bool,
    /// The template of the matched route, as it is written in code; empty where it is not known. Only read
    /// where [`OBSERVED`], for metrics and spans, or where the engine [asks for it](Engine::asks_for_route). For
    /// `CACHE_ROUTES` one that the URI is not of counts as none: of a resource with several patterns a framework
    /// may name another.
    pub route: &'a str,
}

/// Whether this build tells anybody of routes: with the features `metrics` or `tracing`.
pub const OBSERVED: bool = cfg!(any(feature = "metrics", feature = "tracing"));

/// Which way a request takes.
#[derive(Debug)]
pub enum Begin {
    /// Past the cache.
    Bypass(Passage),
    /// It is answered.
    Answer(Answer),
    /// It is answered, and what answers it is to be renewed in the background.
    Refresh(Answer, Refresh),
    /// It waits for another's response or goes to the origin.
    Drive(Drive),
}

impl Engine {
    pub(crate) fn new(shared: Arc<Shared>, choice: Arc<Choice>) -> Self {
        Self { shared, choice }
    }

    /// Whether a field of this name decides which way a request takes. Names are lower-case.
    pub fn decides_by(&self, name: &str) -> bool {
        let is_named = |policy: &Arc<Policy>| {
            let named = &policy.key().fields;
            named.iter().any(|known| known.as_str() == name)
        };
        request::decides(name) || self.choice.all().any(is_named)
    }

    /// Whether the cache is shared with other processes: what is invalidated should then be
    /// [awaited](Passage::invalidate_shared).
    pub fn has_remote(&self) -> bool {
        self.shared.store.has_remote()
    }

    /// Whether it matters which route was matched: some have lines in `CACHE_ROUTES`.
    pub fn asks_for_route(&self) -> bool {
        self.shared.routes().is_some()
    }

    /// Decides which way a request takes. Never waits.
    pub fn begin(&self, asked: Asked<'_>) -> Begin {
        let (policy, rule) = self.choice.of(&self.shared, asked.uri, || {
            let is_of = |route: &&str| Pattern::of_route(route).may_take(asked.uri.path());
            Some(asked.route)
                .filter(|route| !route.is_empty())
                .filter(is_of)
        });
        let asked = engine::Asked {
            method: asked.method,
            uri: asked.uri,
            headers: asked.headers,
            others: Some(asked.others),
            extensions: asked.extensions,
            has_body: asked.has_body,
            route: asked.route,
        };
        match engine::begin(&self.shared, policy, asked) {
            engine::Begin::Bypass(passage) => Begin::Bypass(Passage(passage)),
            engine::Begin::Answer(answer) => Begin::Answer(Answer::stored(answer)),
            engine::Begin::Refuse(refusal) => Begin::Answer(Answer::refused(refusal)),
            engine::Begin::Refresh(answer, mut refresh) => {
                self.shared.note_rule(&mut refresh.plan, rule, asked.uri);
                let refresh = Refresh(refresh, Arc::clone(policy));
                Begin::Refresh(Answer::stored(answer), refresh)
            }
            engine::Begin::Drive(mut plan) => {
                self.shared.note_rule(&mut plan, rule, asked.uri);
                Begin::Drive(Drive(plan, Arc::clone(policy)))
            }
        }
    }

    /// Takes a request the long way. It is forwarded once, or not at all.
    ///
    /// # Cancel safety
    ///
    /// Dropping it at any point, as when the client leaves, passes its turn to another request.
    ///
    /// # Errors
    ///
    /// The origin's, as it is, where nothing stored may answer instead.
    pub async fn drive<O, B>(
        &self,
        drive: Drive,
        origin: O,
        request: Request<B>,
    ) -> Result<Reply<O::Body>, O::Error>
    where
        O: Origin<B>,
    {
        let Drive(plan, policy) = drive;
        let shared = Arc::clone(&self.shared);
        let reply = engine::drive(shared, policy, plan, origin, request).await?;
        Ok(match reply {
            engine::Reply::Stored(answer) => Reply::Answer(Answer::stored(answer)),
            engine::Reply::Refused(refusal) => Reply::Answer(Answer::refused(refusal)),
            engine::Reply::Origin(response, _, job) => Reply::Origin(response, job.map(FillJob)),
        })
    }

    /// Renews what was given out. Nobody waits for it; it ends by the policy's work deadline.
    pub async fn refresh<O, B>(&self, refresh: Refresh, origin: O, request: Request<B>)
    where
        O: Origin<B>,
    {
        let Refresh(refresh, policy) = refresh;
        engine::refresh(Arc::clone(&self.shared), policy, refresh, origin, request).await;
    }
}

/// A request on its way past the cache.
pub struct Passage(engine::Passage);

impl Passage {
    /// Puts into the request's extensions what layers further in look for, and a [`Purger`].
    pub fn mark(&self, engine: &Engine, extensions: &mut Extensions) {
        self.0.mark(&engine.shared, extensions);
    }

    /// Whether [`invalidate`](Self::invalidate) does anything, and its response's fields are needed.
    pub fn may_invalidate(&self) -> bool {
        self.0.may_invalidate()
    }

    /// Removes from the store what the response says is out of date: from memory at once, from a remote tier
    /// in the background. It is done as well where the passage is dropped without an answer.
    pub fn invalidate(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.0.invalidate(status, headers);
    }

    /// The same; it is done in all processes by when this is, or soon after where the remote tier takes too
    /// long.
    pub async fn invalidate_shared(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.0.invalidate_shared(status, headers).await;
    }

    /// Runs what belongs to the request, as a poll of its future, within its span.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        self.0.enter(f)
    }

    /// The service failed to answer: nothing is out of date.
    pub fn failed(&mut self) {
        self.0.failed();
    }

    /// Takes off the response's extensions what is meant for the cache, and puts on what a layer further
    /// out looks for. Gives the value of Cache-Status that is to be appended.
    pub fn label(&self, engine: &Engine, extensions: &mut Extensions) -> Option<HeaderValue> {
        self.0.label(&engine.shared, extensions)
    }
}

/// A refresh that is to be run by [`Engine::refresh`]. Dropped instead, it passes its turn on.
pub struct Refresh(Box<engine::Refresh>, Arc<Policy>);

/// What [`Engine::drive`] is to do. Dropped instead, the request goes nowhere.
pub struct Drive(Box<engine::Plan>, Arc<Policy>);

impl Drive {
    /// Whether something stored may answer where the origin fails.
    pub fn has_stored(&self) -> bool {
        self.0.has_stored()
    }
}

/// What came of [`Engine::drive`].
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub enum Reply<RB> {
    /// Something stored or shared, or the cache's own word.
    Answer(Answer),
    /// The origin's response, and the job that takes in its body where that is still coming.
    Origin(Response<ResponseBody<RB>>, Option<FillJob<RB>>),
}

/// A response of the cache, ready to be written.
#[derive(Debug)]
pub struct Answer(Kind);

#[derive(Debug)]
enum Kind {
    Stored(stored::Answer),
    Refused(Refusal),
}

impl Answer {
    fn stored(answer: stored::Answer) -> Self {
        Self(Kind::Stored(answer))
    }

    fn refused(refusal: Refusal) -> Self {
        Self(Kind::Refused(refusal))
    }

    /// Writes it from the fields in the adapter's own form, which `convert` makes once for each stored
    /// response. `None` where the answer is another than what is stored, as a part of it: then
    /// [`into_response`](Self::into_response) gives it.
    ///
    /// All adapters of one cache must agree on `H`; one that differs gets `None`.
    pub fn with_head<H, B, R>(
        &self,
        engine: &Engine,
        convert: impl FnOnce(&HeaderMap) -> H,
        write: impl FnOnce(Plain<'_, H, B>) -> R,
    ) -> Option<R>
    where
        H: Any + Send + Sync,
    {
        match &self.0 {
            Kind::Stored(answer) => answer.with_head(&engine.shared, convert, write),
            Kind::Refused(_) => None,
        }
    }

    /// Writes it.
    pub fn into_response<B>(self, engine: &Engine) -> Response<ResponseBody<B>> {
        match self.0 {
            Kind::Stored(answer) => answer.into_response(&engine.shared),
            Kind::Refused(refusal) => refusal.into_response(),
        }
    }
}

/// The job of taking in a body: to be run in the background, where it goes on without the client that
/// asked. Dropped before its end, it cuts off those who read along and passes the turn on.
pub struct FillJob<B>(engine::FillJob<B>);

impl<B> FillJob<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Runs it to its end.
    pub async fn run(self) {
        self.0.run().await;
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("policy", self.choice.usual())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passage").finish_non_exhaustive()
    }
}

impl fmt::Debug for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh").finish_non_exhaustive()
    }
}

impl fmt::Debug for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive").finish_non_exhaustive()
    }
}

impl<B> fmt::Debug for FillJob<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FillJob").finish_non_exhaustive()
    }
}
