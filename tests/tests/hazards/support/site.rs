//! A site: a cache, routes with their policies and handlers.

use super::{App, Ask, Policy, Reply, Service};
use cache_axum::ManualClock;
use futures_util::future::BoxFuture;
use std::{
    future::Future,
    sync::{Arc, atomic::AtomicU64},
};

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
}

pub(crate) type Handler = Arc<dyn Fn(Ask) -> BoxFuture<'static, Reply> + Send + Sync>;

/// A route. `policy` is that of a layer on the route itself.
#[derive(Clone)]
pub(crate) struct Route {
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

/// What lies between the routes and the layer around them.
pub(crate) type Between = Arc<dyn Fn(Service) -> Service + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) settings: Settings,
    pub(crate) routes: Vec<Route>,
    pub(crate) between: Option<Between>,
    pub(crate) around: Around,
    pub(crate) outside: Option<Between>,
}

/// The path of a route that takes what no other does.
pub(crate) const EVERYWHERE: &str = "*";

impl Site {
    pub(crate) fn new() -> Self {
        Self {
            settings: Settings::default(),
            routes: Vec::new(),
            between: None,
            around: Around::Nothing,
            outside: None,
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
        self.add(path, Some(policy), handler)
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
        self.add(path, None, handler)
    }

    fn add<F>(
        mut self,
        path: &'static str,
        policy: Option<Policy>,
        handler: impl Fn(Ask) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |ask| Box::pin(handler(ask)));
        self.routes.push(Route {
            path,
            policy,
            handler,
            calls: Arc::default(),
        });
        self
    }

    /// Puts something between the routes and the layer around them.
    pub(crate) fn between(
        mut self,
        wrap: impl Fn(Service) -> Service + Send + Sync + 'static,
    ) -> Self {
        self.between = Some(Arc::new(wrap));
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

    /// Puts something around it all.
    pub(crate) fn outside(
        mut self,
        wrap: impl Fn(Service) -> Service + Send + Sync + 'static,
    ) -> Self {
        self.outside = Some(Arc::new(wrap));
        self
    }

    pub(crate) fn start(self) -> App {
        super::axum::start(self)
    }
}
