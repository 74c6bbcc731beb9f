//! Settings from the environment, so that an operator changes tiers, lifetimes and limits without a
//! rebuild, and is told plainly what is wrong.
//!
//! ```
//! # fn main() -> Result<(), cache_core::Error> {
//! # #[cfg(feature = "json")] {
//! use cache_core::{Cache, Config, Policy, policy::hours};
//!
//! // As the environment would have them; `Config::from_env()` reads that.
//! let config = Config::from_vars([("CACHE_TTL_SESSION", "30m"), ("CACHE_MEMORY_SIZE", "128MiB")])?;
//! let sessions: Cache<String> = Cache::builder("sessions")
//!     .policy(Policy::ttl(hours(1)).class("session"))
//!     .from_config(&config)
//!     .build()?;
//!
//! // All that is wrong is in one error, with what is accepted and what may have been meant.
//! let error = Config::from_vars([("CACHE_TTL_DEFAULT", "banana"), ("CACHE_ENABELD", "1")]).unwrap_err();
//! assert!(error.to_string().contains("CACHE_TTL_DEFAULT is `banana`"));
//! assert!(error.to_string().contains("did you mean CACHE_ENABLED?"));
//! # }
//! # Ok(()) }
//! ```
//!
//! # Values
//!
//! * A time has a unit (`250ms`, `30s`, `5m`, `1h`, `1d`) or is a bare number in the variable's own.
//! * A size is in bytes or has a unit: `64MiB` is 2²⁶ bytes, `64MB` 64,000,000.
//! * A share is a number from 0 to 1, or a percentage.
//! * Blanks around a value do not count, and an empty value is as none.
//! * A `CACHE_` variable that is not in the [table](VARIABLES) is an error, unless it gives the lifetime
//!   of a [class](crate::Policy::class), or is one by which Kubernetes tells each container where a service is, as
//!   `CACHE_SERVICE_HOST` and `CACHE_PORT_6379_TCP` of one that is called `cache`: those are left alone.
//!
//! # Who wins
//!
//! From the strongest to the weakest:
//!
//! 1. For HTTP, the line of `CACHE_ROUTES` for a route.
//! 2. The lifetime of a policy's class, `CACHE_TTL_<CLASS>`.
//! 3. Any other variable that is set, for all caches and policies.
//! 4. What the code says, before or after `from_env`: it makes no difference when the two meet.
//! 5. `CACHE_TTL_DEFAULT`, which is for policies that name no lifetime.
//! 6. The defaults.
//!
//! # Disabled
//!
//! With `CACHE_ENABLED=false` nothing is stored, looked up or shared, Redis is not connected to, and no
//! load waits for another: it is as if there were no cache, and no protection of what lies behind it. What
//! is changed meanwhile is not invalidated in other processes.
//!
//! # Redis alone
//!
//! With `CACHE_TYPE=redis` memory keeps no entries: each look-up asks Redis, within its budget. Loads are
//! shared as ever. While Redis is away every request loads, one at a time for each key.
//!
//! # Warnings
//!
//! [`Config::warnings`] names what is possible but hardly meant. A printed `Config` ends with them. With the
//! feature `tracing` each is told as an event when the first cache is built from the `Config`; W005 is not, for
//! it is known when the last one is.
//!
//! | Code | What it says |
//! |---|---|
//! | W001 | A stale window is set, and a lifetime is 0: nothing is stored that could go stale. |
//! | W002 | `CACHE_L1_MAX_STALENESS` is longer than a lifetime: cut off from Redis, memory gives out what was changed long ago for all of that lifetime. |
//! | W003 | A variable is set that needs Redis, and there is none. |
//! | W004 | `CACHE_REMOTE_BUDGET` is above a second: a frozen Redis then costs each request as much. |
//! | W005 | No policy has named this class, yet. |
//! | W006 | The cache is disabled: what is changed through this process stays in the caches of others. |
//! | W007 | A password goes to another machine without TLS. |
//! | W008 | `CACHE_WAIT_LIMIT` is longer than `CACHE_WORK_DEADLINE`: no load lasts that long. |

mod apply;
#[cfg(feature = "test-util")]
pub mod checks;
mod env;
pub mod form;
mod problem;
mod read;
mod redact;
mod remote;
mod table;
#[cfg(test)]
mod tests;
mod warning;

pub use form::{Form, Unit, Value};
pub use redact::value as redacted;
pub use table::{OF_HTTP, VARIABLES, Variable, markdown};
pub use warning::Warning;

use crate::{Error, Remote, observe::tell};
use read::Read;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use table::{ENABLED, TTL_CLASS, TTL_DEFAULT};

/// What the environment says. A cheap handle: one serves any number of caches, which then share the
/// connections of their remote tier.
///
/// `Display` prints a table: each variable, its value, whether that is set, its unit; then the
/// [warnings](Self::warnings). Of URLs it shows scheme and host, and so does `Debug`.
#[derive(Clone)]
pub struct Config(Arc<Inner>);

struct Inner {
    tables: Vec<&'static [Variable]>,
    values: BTreeMap<&'static str, Value>,
    /// Lifetimes, by the name of the class as variables have it.
    classes: BTreeMap<String, Duration>,
    tiers: Option<Tiers>,
    remote: Option<Arc<dyn Remote>>,
    /// Classes that policies named.
    named: Mutex<BTreeSet<String>>,
    /// The codes of warnings that were told as events.
    told: Mutex<BTreeSet<&'static str>>,
}

/// Where entries are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tiers {
    /// In memory.
    Memory,
    /// In the remote tier alone.
    Redis,
    /// In memory, in front of the remote tier.
    Tiered,
}

/// A line of the printed table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The variable.
    pub name: Cow<'static, str>,
    /// Its value, without secrets, or its default.
    pub value: String,
    /// Whether it is set.
    pub is_set: bool,
    /// The unit of a bare number; empty where there is none.
    pub unit: &'static str,
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
        Self::from_env_with(&[])
    }

    /// What these variables say, in place of the environment's. Those whose names begin otherwise than
    /// with `CACHE_` are left alone, but for `REDIS_URL`.
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    pub fn from_vars<N, T>(vars: impl IntoIterator<Item = (N, T)>) -> Result<Self, Error>
    where
        N: Into<String>,
        T: Into<String>,
    {
        Self::from_vars_with(&[], vars)
    }

    /// As [`from_env`](Self::from_env), for crates that have variables of their own.
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    pub fn from_env_with(more: &'static [Variable]) -> Result<Self, Error> {
        Self::read(more, env::vars())
    }

    /// As [`from_vars`](Self::from_vars), for crates that have variables of their own.
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    pub fn from_vars_with<N, T>(
        more: &'static [Variable],
        vars: impl IntoIterator<Item = (N, T)>,
    ) -> Result<Self, Error>
    where
        N: Into<String>,
        T: Into<String>,
    {
        let vars = vars
            .into_iter()
            .map(|(name, value)| (name.into(), Some(value.into())));
        Self::read(more, vars)
    }

    fn read(
        more: &'static [Variable],
        vars: impl IntoIterator<Item = (String, Option<String>)>,
    ) -> Result<Self, Error> {
        let mut tables = vec![VARIABLES];
        tables.extend((!more.is_empty()).then_some(more));
        let mut read = read::read(&tables, vars);
        let remote = remote::of(&mut read);
        if !read.problems.is_empty() {
            return Err(problem::error(&read.problems, &tables));
        }
        let is_enabled = !matches!(read.values.get(ENABLED.name), Some(Value::Switch(false)));
        let tiers = read.tiers();
        let Read {
            values, classes, ..
        } = read;
        Ok(Self(Arc::new(Inner {
            tables,
            values,
            classes,
            tiers,
            remote: remote.filter(|_| is_enabled),
            named: Mutex::default(),
            told: Mutex::default(),
        })))
    }

    /// The value of a variable, where it is set.
    pub fn value(&self, variable: &Variable) -> Option<&Value> {
        self.0.values.get(variable.name)
    }

    /// Whether there is to be a cache at all: `CACHE_ENABLED`.
    pub fn is_enabled(&self) -> bool {
        self.switch(&ENABLED).unwrap_or(true)
    }

    /// Where entries are to be kept, if the variables say so: `CACHE_TYPE`, and `tiered` where that is not
    /// set and `CACHE_URL` is.
    pub fn tiers(&self) -> Option<Tiers> {
        self.0.tiers
    }

    /// The remote tier that the variables name; the same for all who ask. Nothing is dialled before it is
    /// used. `None` where there is none, and where the cache is disabled.
    pub fn remote(&self) -> Option<Arc<dyn Remote>> {
        self.0.remote.clone()
    }

    /// The lifetime of a class of policies: `CACHE_TTL_<CLASS>`. The name counts without regard to case;
    /// `-` and `.` are as `_`.
    pub fn ttl(&self, class: &str) -> Option<Duration> {
        let class = variable_part(class);
        let ttl = self.0.classes.get(&class).copied()?;
        let mut named = self.0.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.insert(class);
        Some(ttl)
    }

    /// The lifetime under policies that name none: `CACHE_TTL_DEFAULT`.
    pub fn default_ttl(&self) -> Option<Duration> {
        self.time(&TTL_DEFAULT)
    }

    /// The table: all variables, in the order of the documentation. Values that are set read back as the
    /// same, but for URLs that hold more than scheme and host.
    pub fn rows(&self) -> Vec<Row> {
        let variables = self.0.tables.iter().copied().flatten();
        variables
            .flat_map(|variable| self.rows_of(variable))
            .collect()
    }

    fn rows_of(&self, variable: &'static Variable) -> Vec<Row> {
        let row = |name: Cow<'static, str>, value: Option<String>| Row {
            name,
            is_set: value.is_some(),
            value: value.unwrap_or_else(|| variable.default.to_owned()),
            unit: variable.form.unit(),
        };
        if variable.name == TTL_CLASS.name && !self.0.classes.is_empty() {
            let of_class = |(class, ttl): (&String, &Duration)| {
                let value = Value::Time(*ttl).to_string();
                row(problem::of_class(class).into(), Some(value))
            };
            return self.0.classes.iter().map(of_class).collect();
        }
        let value = self.value(variable).map(Value::to_string);
        vec![row(variable.name.into(), value)]
    }

    /// What is possible but hardly meant. One is known late: call it when all caches and policies are made,
    /// and it tells also of classes that none of them named.
    pub fn warnings(&self) -> Vec<Warning> {
        apply::warnings(self)
    }

    /// Tells these warnings as events, each once however many caches come of these settings. Nothing is
    /// told without the feature `tracing`.
    pub fn tell(&self, warnings: &[Warning]) {
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        let news = warnings
            .iter()
            .filter(|warning| told.insert(warning.code()));
        news.for_each(tell::warning);
    }

    /// Tells the warnings of a cache that is about to be built, but for those that are known when all are.
    pub(crate) fn tell_warnings(&self) {
        let mut warnings = self.warnings();
        warnings.retain(|warning| warning.code() != apply::UNNAMED);
        self.tell(&warnings);
    }

    /// Writes the table and these warnings.
    ///
    /// # Errors
    ///
    /// Those of `f`.
    pub fn write(&self, f: &mut fmt::Formatter<'_>, warnings: &[Warning]) -> fmt::Result {
        let rows = self.rows();
        let width = |text: fn(&Row) -> usize| rows.iter().map(text).max().unwrap_or_default();
        let (name, value) = (
            width(|row| row.name.chars().count()),
            width(|row| row.value.chars().count()),
        );
        for row in &rows {
            let set = if row.is_set { "set" } else { "default" };
            let line = format!(
                "{:name$}  {:value$}  {set:7}  {}",
                row.name, row.value, row.unit
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        warnings
            .iter()
            .try_for_each(|warning| writeln!(f, "{warning}"))
    }

    fn switch(&self, variable: &Variable) -> Option<bool> {
        match self.value(variable)? {
            Value::Switch(on) => Some(*on),
            _ => None,
        }
    }

    fn time(&self, variable: &Variable) -> Option<Duration> {
        match self.value(variable)? {
            Value::Time(time) => Some(*time),
            _ => None,
        }
    }

    fn number(&self, variable: &Variable) -> Option<u64> {
        match self.value(variable)? {
            Value::Number(number, _) => Some(*number),
            _ => None,
        }
    }

    fn decimal(&self, variable: &Variable) -> Option<f64> {
        match self.value(variable)? {
            Value::Decimal(number) => Some(*number),
            _ => None,
        }
    }

    /// The classes that are set and that no policy named so far.
    fn unnamed(&self) -> Vec<String> {
        let named = self.0.named.lock().unwrap_or_else(PoisonError::into_inner);
        let classes = self.0.classes.keys();
        classes
            .filter(|class| !named.contains(*class))
            .cloned()
            .collect()
    }
}

/// The name of a class as it stands in that of its variable.
fn variable_part(class: &str) -> String {
    class.to_ascii_uppercase().replace(['-', '.'], "_")
}

/// Equal where the same variables have the same values.
impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        self.0.values == other.0.values && self.0.classes == other.0.classes
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &self.warnings())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.rows().into_iter().filter(|row| row.is_set);
        f.debug_map()
            .entries(set.map(|row| (row.name, row.value)))
            .finish()
    }
}
