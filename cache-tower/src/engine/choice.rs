//! Which policy is that of a request: the layer's, or what a line of `CACHE_ROUTES` makes of it.

use super::{Plan, Shared};
use crate::{
    config::{Routes, Rule},
    policy::Policy,
};
use http::Uri;
use std::sync::Arc;

/// The policies of one layer, each made once.
#[derive(Debug)]
pub(crate) struct Choice {
    usual: Arc<Policy>,
    by_rule: Box<[Arc<Policy>]>,
}

impl Choice {
    /// Those that come of what the code says.
    pub(crate) fn new(shared: &Shared, policy: Policy) -> Self {
        let of = |policy, rule| shared.policies.one(shared.under(policy, rule));
        let rules = shared.routes().map_or(0, Routes::len);
        Self {
            by_rule: (0..rules)
                .map(|rule| of(policy.clone(), Some(rule)))
                .collect(),
            usual: of(policy, None),
        }
    }

    /// The policy of most requests.
    pub(crate) fn usual(&self) -> &Arc<Policy> {
        &self.usual
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Policy>> {
        [&self.usual].into_iter().chain(&self.by_rule)
    }

    /// That of a request, and the line it is by. `route` is only asked where there are lines.
    pub(crate) fn of<'r>(
        &self,
        shared: &Shared,
        uri: &Uri,
        route: impl FnOnce() -> Option<&'r str>,
    ) -> (&Arc<Policy>, Option<usize>) {
        let Some(routes) = shared.routes() else {
            return (&self.usual, None);
        };
        let rule = routes.find(route(), uri);
        let by_rule = rule.and_then(|rule| self.by_rule.get(rule));
        (by_rule.unwrap_or(&self.usual), rule)
    }
}

impl Shared {
    /// The lines of `CACHE_ROUTES`, where there are any.
    pub(crate) fn routes(&self) -> Option<&Routes> {
        let routes = self.config.as_ref()?.routes();
        (!routes.is_empty()).then_some(routes)
    }

    /// Notes the line that a request is by, and the parameters that its route finds: behind those that the
    /// framework knows.
    pub(crate) fn note_rule(&self, plan: &mut Plan, rule: Option<usize>, uri: &Uri) {
        plan.rule = rule;
        let rule = rule.and_then(|rule| self.routes()?.get(rule));
        plan.parameters.extend(
            rule.map(|rule| Rule::parameters(rule, uri))
                .unwrap_or_default(),
        );
    }
}
