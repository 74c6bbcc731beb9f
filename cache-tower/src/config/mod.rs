//! Settings from the environment: those of [`cache_core::config`], and those of HTTP.
//!
//! ```
//! # fn main() -> Result<(), cache_core::Error> {
//! use cache_tower::{Config, HttpCache, Policy, hours};
//!
//! // As the environment would have them; `HttpCache::from_env()` reads that.
//! let config = Config::from_vars([
//!     ("CACHE_ROUTES", "/users/{id} ttl=5m group=user:{id}; /admin/* off"),
//!     ("CACHE_MAX_BODY", "4MiB"),
//! ])?;
//! let cache = HttpCache::from_config(&config)?;
//! // What the code says holds for the routes that the environment does not name.
//! let layer = cache.policy(Policy::ttl(hours(1)));
//! # Ok(()) }
//! ```
//!
//! # Routes
//!
//! `CACHE_ROUTES` holds lines, separated by `;` or ends of line: a route, and what is to hold for it. What
//! a line does not name stays as the code has it.
//!
//! | Word | As in code |
//! |---|---|
//! | `off` | [`Policy::off`]: passed through; unsafe methods still invalidate |
//! | `ttl=1h` | [`Policy::ttl`]; under an [`override_ttl`](Policy::override_ttl) of the code, that |
//! | `override_ttl=1h` | [`Policy::override_ttl`] |
//! | `stale_while_revalidate=1m`, `stale_if_error=10m` | the windows of these names |
//! | `group=user:{id}` | [`Policy::group`], in addition to those of the code |
//! | `query=page,size` | [`Policy::vary_by_query`] |
//! | `ignore_query=utm_*` | [`Policy::ignore_query`] |
//! | `vary=accept-language` | [`Policy::vary_by_header`], in addition to those of the code |
//! | `per_credential` | [`Policy::per_credential`] |
//! | `profile=standard` | [`Policy::profile`] |
//! | `class=session` | [`Policy::class`] |
//!
//! A route is written as in axum: `/users/{id}`, `/files/{*path}`, also `/img/{name}.png`; `/admin/*` is
//! all that lies under `/admin/`. Of several that match, the one that is more exact from the left wins,
//! whatever their order: text before a parameter, a parameter before the rest.
//!
//! It means *the matched route* where the layer knows that, whatever its parameters are called:
//!
//! * on axum, for layers on a route or a router's `layer`; there `/users/{id}` is not `/users/me`, if that
//!   is a route of its own;
//! * on actix-web, for layers everywhere; before the routing without regard to guards: of several resources
//!   that have the path, the first.
//!
//! Of nested routers and scopes that is the whole route: `/api/users/{id}`.
//!
//! Else it means *the path* that the client sent, decoded: on bare Tower, and for a layer around a whole
//! axum router, which sees the request before it is routed. There `/users/{id}` is `/users/me` as well,
//! unless that has a line of its own. Upper and lower case differ, and a slash at the end makes another path.
//!
//! What a line with `off` or `per_credential` keeps from being shared it keeps so
//!
//! * whichever route takes it, where the line is of all that lies somewhere: `/admin/* off` holds for
//!   `/admin/x` on the route `/{section}/{page}` as well;
//! * in other spellings of its path, whatever lies behind makes of them: `//admin/x`, `/admin%2Fx`,
//!   `/x/../admin/x` and `/admin;a=b/x` are under `/admin/*`, though another line takes them as they stand.
//!
//! Groups may name the parameters of the line's own route, and those of the matched one.
//!
//! # Warnings
//!
//! Beside those of [`cache_core::config`], and told as events in the same way:
//!
//! | Code | What it says |
//! |---|---|
//! | W101 | A route that looks like one user's own has a lifetime, and neither `off` nor `per_credential`: whoever sends no credentials in Cookie or Authorization shares it. |
//! | W102 | `CACHE_PROFILE` is `standard`: responses with Set-Cookie are stored and given to all, as RFC 9111 has it. |
//! | W103 | `CACHE_TTL_DEFAULT` gives a lifetime to every response that names none, on routes without a policy too. |
//! | W104 | A route has a stale window and a lifetime of 0: nothing is stored that could go stale. |

mod pattern;
mod routes;
mod table;

pub use table::VARIABLES;

pub(crate) use pattern::Pattern;
pub(crate) use routes::{Change, Routes, Rule};

use cache_core::{
    Error,
    config::{self, Value, Variable, Warning},
};
use http::HeaderName;
use std::{fmt, ops::Deref, sync::Arc};
use table::{MAX_BODY, PROFILE, ROUTES, STATUS, TARGETED_FIELDS};

use crate::policy::{Policy, Profile};

/// What the environment says, for HTTP caches and, as a [`cache_core::Config`], for caches of values
/// beside them. A cheap handle.
///
/// `Display` prints a table: each variable, its value, whether that is set, its unit; then the
/// [warnings](Self::warnings). Of URLs it shows scheme and host.
#[derive(Clone, PartialEq)]
pub struct Config {
    core: cache_core::Config,
    routes: Arc<Routes>,
    targeted: Option<Arc<[HeaderName]>>,
}

impl Config {
    /// What the environment of this process says.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config), naming every wrong variable with its value (of URLs scheme and
    /// host), what is accepted, and an example; and every unknown `CACHE_` variable, with the one that may
    /// have been meant.
    pub fn from_env() -> Result<Self, Error> {
        cache_core::Config::from_env_with(VARIABLES).and_then(Self::of)
    }

    /// What these variables say, in place of the environment's.
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    pub fn from_vars<N, T>(vars: impl IntoIterator<Item = (N, T)>) -> Result<Self, Error>
    where
        N: Into<String>,
        T: Into<String>,
    {
        cache_core::Config::from_vars_with(VARIABLES, vars).and_then(Self::of)
    }

    /// Reads again what was read to be checked.
    fn of(core: cache_core::Config) -> Result<Self, Error> {
        let text = |variable: &Variable| match core.value(variable) {
            Some(Value::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let routes = text(&ROUTES).map_or_else(|| Ok(Routes::default()), Routes::parse);
        let routes = routes.map_err(Error::config)?;
        for class in routes.classes() {
            // From here on it is named.
            let _ = core.ttl(class);
        }
        let targeted = text(&TARGETED_FIELDS).map(table::fields).transpose();
        Ok(Self {
            routes: Arc::new(routes),
            targeted: targeted.map_err(Error::config)?.map(Into::into),
            core,
        })
    }

    /// What is possible but hardly meant: of all caches, and of HTTP.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = self.core.warnings();
        warnings.extend(self.warnings_of_http());
        warnings
    }

    /// Tells them as events, each once: those of all caches the store tells.
    pub(crate) fn tell_warnings(&self) {
        self.core.tell(&self.warnings_of_http());
    }

    fn warnings_of_http(&self) -> Vec<Warning> {
        let mut warnings: Vec<Warning> = self.routes.private(&self.core).into_iter().collect();
        if self.profile() == Some(Profile::Standard) {
            warnings.push(Warning::new(
                "W102",
                PROFILE.name,
                "CACHE_PROFILE is standard: responses with Set-Cookie are stored and given to all",
            ));
        }
        if self.core.default_ttl().is_some_and(|ttl| !ttl.is_zero()) {
            warnings.push(Warning::new(
                "W103",
                "CACHE_TTL_DEFAULT",
                "CACHE_TTL_DEFAULT gives a lifetime to every response that names none",
            ));
        }
        warnings.extend(self.routes.stale_without_lifetime());
        warnings
    }

    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
    }

    pub(crate) fn max_body(&self) -> Option<u64> {
        match self.core.value(&MAX_BODY)? {
            Value::Number(bytes, _) => Some(*bytes),
            _ => None,
        }
    }

    /// Whether Cache-Status is sent.
    pub(crate) fn sends_status(&self) -> Option<bool> {
        match self.core.value(&STATUS)? {
            Value::Switch(on) => Some(*on),
            _ => None,
        }
    }

    pub(crate) fn targeted(&self) -> Option<&[HeaderName]> {
        self.targeted.as_deref()
    }

    fn profile(&self) -> Option<Profile> {
        match self.core.value(&PROFILE)? {
            Value::Word("standard") => Some(Profile::Standard),
            _ => Some(Profile::Guarded),
        }
    }

    /// A policy as the environment has it, on the route of a rule.
    pub(crate) fn policy(&self, policy: Policy, rule: Option<usize>) -> Policy {
        let rule = rule.and_then(|rule| self.routes.get(rule));
        let change = rule.map(Rule::change).cloned().unwrap_or_default();
        let policy = match &change.class {
            Some(class) => policy.class(Arc::clone(class)),
            None => policy,
        };
        let policy = policy.under(&self.core);
        let policy = match self.profile() {
            Some(profile) => policy.profile(profile),
            None => policy,
        };
        policy.changed(change)
    }
}

/// The settings that all kinds of caches have.
impl Deref for Config {
    type Target = cache_core::Config;

    fn deref(&self) -> &cache_core::Config {
        &self.core
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.write(f, &self.warnings())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.core, f)
    }
}

/// The table of all variables in Markdown, as the README has it.
pub fn markdown() -> String {
    config::markdown(&[config::VARIABLES, VARIABLES])
}
