//! A site: a cache, routes with their policies and handlers.

use super::{App, Ask, Framework, Policy, Reply};
use cache_axum::ManualClock;
use cache_core::remote::Fake;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, atomic::AtomicU64},
};
use tokio::sync::Semaphore;

/// How the cache is built, where not by its defaults.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) capacity: Option<u64>,
    pub(crate) max_body: Option<u64>,
    pub(crate) max_refreshes: Option<usize>,
    pub(crate) clock: Option<ManualClock>,
    pub(crate) colliding_hashes: bool,
    /// The targeted fields that it heeds, by preference.
    pub(crate) targeted: Vec<&'static str>,
    pub(crate) without_cache_groups: bool,
    /// What it shares with other instances.
    pub(crate) remote: Option<Fake>,
}

pub(crate) type Handler = Arc<dyn Fn(Ask) -> BoxFuture<'static, Reply> + Send + Sync>;

/// A route. `policy` is that of a layer on the route itself.
#[derive(Clone)]
pub(crate) struct Route {
    /// The prefixes of the routers that it lies in, from the outermost on.
    pub(crate) within: &'static [&'static str],
    pub(crate) path: &'static str,
    pub(crate) policy: Option<Policy>,
    pub(crate) handler: Handler,
    pub(crate) calls: Arc<AtomicU64>,
}

/// Where a layer around all routes lies.
#[derive(Clone)]
pub(crate) enum Around {
    Nothing,
    /// A layer of the router.
    Router(Policy),
    /// Before the router: a hit does not come to it.
    Before(Policy),
}

/// Changes a request's fields, or refuses it.
pub(crate) type Guard = Arc<dyn Fn(&mut HeaderMap) -> Option<Reply> + Send + Sync>;

/// What lies between the routes and the layer around them.
#[derive(Clone)]
pub(crate) enum Between {
    Nothing,
    Guard(Guard),
    /// So many may pass at a time.
    Permits(Arc<Semaphore>),
    Compression,
}

#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) settings: Settings,
    pub(crate) routes: Vec<Route>,
    pub(crate) between: Between,
    pub(crate) around: Around,
    pub(crate) outside: Between,
    /// The path of a websocket that says what it is told, and the policy of the layer on it.
    pub(crate) echo: Option<(&'static str, Policy)>,
}

/// The path of a route that takes what no other does.
pub(crate) const EVERYWHERE: &str = "*";

impl Site {
    pub(crate) fn new() -> Self {
        Self {
            settings: Settings::default(),
            routes: Vec::new(),
            between: Between::Nothing,
            around: Around::Nothing,
            outside: Between::Nothing,
            echo: None,
        }
    }

    /// One handler for every path and method, behind one layer.
    pub(crate) fn of<F>(policy: Policy, handler: impl Fn(Ask) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        Self::new().around(policy).inner(EVERYWHERE, handler)
    }

    /// The same for a handler that does not wait.
    pub(crate) fn replying(
        policy: Policy,
        handler: impl Fn(Ask) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::of(policy, move |ask| std::future::ready(handler(ask)))
    }

    pub(crate) fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// A route with a layer of its own.
    pub(crate) fn route<F>(
        self,
        path: &'static str,
        policy: Policy,
        handler: impl Fn(Ask) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        self.add(&[], path, Some(policy), handler)
    }

    /// The same in routers that lie in each other, the outermost first. No other route lies in these.
    pub(crate) fn nested<F>(
        self,
        within: &'static [&'static str],
        path: &'static str,
        policy: Policy,
        handler: impl Fn(Ask) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        self.add(within, path, Some(policy), handler)
    }

    /// A websocket that says what it is told, behind a layer of its own.
    pub(crate) fn echo(mut self, path: &'static str, policy: Policy) -> Self {
        self.echo = Some((path, policy));
        self
    }

    /// A route without one.
    pub(crate) fn inner<F>(
        self,
        path: &'static str,
        handler: impl Fn(Ask) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        self.add(&[], path, None, handler)
    }

    fn add<F>(
        mut self,
        within: &'static [&'static str],
        path: &'static str,
        policy: Option<Policy>,
        handler: impl Fn(Ask) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |ask| Box::pin(handler(ask)));
        self.routes.push(Route {
            within,
            path,
            policy,
            handler,
            calls: Arc::default(),
        });
        self
    }

    /// Puts a guard between the routes and the layer around them.
    pub(crate) fn guarded(
        mut self,
        guard: impl Fn(&mut HeaderMap) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        self.between = Between::Guard(Arc::new(guard));
        self
    }

    /// Lets only those who hold a permit pass from the layer around all routes to these.
    pub(crate) fn limited(mut self, permits: Arc<Semaphore>) -> Self {
        self.between = Between::Permits(permits);
        self
    }

    /// A layer around all routes.
    pub(crate) fn around(mut self, policy: Policy) -> Self {
        self.around = Around::Router(policy);
        self
    }

    /// A layer before the router.
    pub(crate) fn before(mut self, policy: Policy) -> Self {
        self.around = Around::Before(policy);
        self
    }

    /// Compresses what passes the routes, for those who accept that.
    pub(crate) fn compressed(mut self) -> Self {
        self.between = Between::Compression;
        self
    }

    /// Compresses what passes all layers, for those who accept that.
    pub(crate) fn compressed_outside(mut self) -> Self {
        self.outside = Between::Compression;
        self
    }

    /// On the framework that the scenario runs on.
    pub(crate) fn start(self) -> App {
        match Framework::current() {
            Framework::Tower => super::tower::start(self),
            Framework::Axum => super::axum::start(self),
            Framework::Actix => super::actix::start(self),
        }
    }

    pub(super) fn calls(&self) -> BTreeMap<&'static str, Arc<AtomicU64>> {
        let calls = |route: &Route| (route.path, Arc::clone(&route.calls));
        self.routes.iter().map(calls).collect()
    }
}
