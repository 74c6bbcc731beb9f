//! The variables, as data: reading, errors, the printed table, the README's and the tests come from it.

use super::form::{Form, Unit};
use crate::{
    policy::LONGEST,
    remote::{PLAIN_NAMES, is_plain_name},
};
use std::time::Duration;

/// A variable of the environment. One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// How its values are written.
    pub form: Form,
    /// What holds where it is not set: a value, or in words.
    pub default: &'static str,
    /// A value, as an error shows one.
    pub example: &'static str,
    /// What it does, in one sentence of Markdown.
    pub about: &'static str,
}

const fn time(unit: Unit, least: Duration, most: Duration) -> Form {
    Form::Time { unit, least, most }
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

const SECONDS: Form = time(Unit::Seconds, Duration::ZERO, LONGEST);
const SOME_SECONDS: Form = time(Unit::Seconds, millis(1), LONGEST);

/// What the names of this project's variables begin with.
pub(super) const OURS: &str = "CACHE_";

/// What the names of variables of classes begin with.
pub(super) const CLASS: &str = "CACHE_TTL_";

/// Variables that only HTTP caches read, in `cache-tower`: known here, so that a cache of values beside
/// them takes none of them for a mistake.
pub const OF_HTTP: [&str; 5] = [
    "CACHE_MAX_BODY",
    "CACHE_PROFILE",
    "CACHE_ROUTES",
    "CACHE_STATUS",
    "CACHE_TARGETED_FIELDS",
];

pub(super) const ENABLED: Variable = Variable {
    name: "CACHE_ENABLED",
    form: Form::Switch,
    default: "true",
    example: "false",
    about: "`false` turns every layer into pass-through, and a typed cache loads each time.",
};

pub(super) const TYPE: Variable = Variable {
    name: "CACHE_TYPE",
    form: Form::Word(&["memory", "redis", "tiered"]),
    default: "tiered with a CACHE_URL, else memory",
    example: "tiered",
    about: "Where entries are kept: in `memory`, in `redis` alone, or `tiered`, memory in front of Redis.",
};

pub(super) const URL: Variable = Variable {
    name: "CACHE_URL",
    form: Form::Url,
    default: "none",
    example: "redis://localhost:6379",
    about: "The Redis or Valkey that processes share.",
};

pub(super) const REDIS_URL: Variable = Variable {
    name: "REDIS_URL",
    form: Form::Url,
    default: "none",
    example: "redis://localhost:6379",
    about: "Serves where `CACHE_URL` is not set and `CACHE_TYPE` asks for Redis.",
};

pub(super) const PREFIX: Variable = Variable {
    name: "CACHE_PREFIX",
    form: Form::Text {
        accepted: PLAIN_NAMES,
        read: prefix,
    },
    default: "cache:",
    example: "shop:",
    about: "What the names of all keys in Redis begin with: services of the same prefix share them.",
};

pub(super) const TTL_DEFAULT: Variable = Variable {
    name: "CACHE_TTL_DEFAULT",
    form: SECONDS,
    default: "5m for values; what responses say for HTTP",
    example: "30m",
    about: "The lifetime under policies that name none.",
};

/// Stands for all variables of classes.
pub(super) const TTL_CLASS: Variable = Variable {
    name: "CACHE_TTL_<CLASS>",
    form: SECONDS,
    default: "what the policy says",
    example: "86400",
    about: "The lifetime under policies of a class, as `CACHE_TTL_SESSION` of `Policy::class(\"session\")`.",
};

pub(super) const STALE_WHILE_REVALIDATE: Variable = Variable {
    name: "CACHE_STALE_WHILE_REVALIDATE",
    form: SECONDS,
    default: "what policies say",
    example: "1m",
    about: "How long after its lifetime an entry is still used while one caller refreshes it.",
};

pub(super) const STALE_IF_ERROR: Variable = Variable {
    name: "CACHE_STALE_IF_ERROR",
    form: SECONDS,
    default: "what policies say",
    example: "10m",
    about: "How long after its lifetime an entry is used where its load fails.",
};

pub(super) const JITTER: Variable = Variable {
    name: "CACHE_JITTER",
    form: Form::Share,
    default: "what policies say",
    example: "10%",
    about: "Shortens lifetimes by a random share of up to this, so that not all end together.",
};

pub(super) const EARLY_REFRESH: Variable = Variable {
    name: "CACHE_EARLY_REFRESH",
    form: Form::Factor(100.0),
    default: "what policies say",
    example: "1",
    about: "The beta of XFetch: how eagerly entries are refreshed before they expire; 0 is never.",
};

pub(super) const WORK_DEADLINE: Variable = Variable {
    name: "CACHE_WORK_DEADLINE",
    form: SOME_SECONDS,
    default: "what policies say, else 30s",
    example: "10s",
    about: "How long a load may take before it counts as failed.",
};

pub(super) const WAIT_LIMIT: Variable = Variable {
    name: "CACHE_WAIT_LIMIT",
    form: SOME_SECONDS,
    default: "what policies say, else 10s",
    example: "2s",
    about: "How long a caller waits for the load of another.",
};

pub(super) const FAILURE_PAUSE: Variable = Variable {
    name: "CACHE_FAILURE_PAUSE",
    form: time(Unit::Milliseconds, Duration::ZERO, LONGEST),
    default: "what policies say, else 100ms",
    example: "500ms",
    about: "How long a first failed load is remembered; 0 is not at all.",
};

pub(super) const FAILURE_PAUSE_MAX: Variable = Variable {
    name: "CACHE_FAILURE_PAUSE_MAX",
    form: time(Unit::Milliseconds, Duration::ZERO, LONGEST),
    default: "what policies say, else 5s",
    example: "30s",
    about: "How long failed loads in a row are remembered at most.",
};

pub(super) const MEMORY_SIZE: Variable = Variable {
    name: "CACHE_MEMORY_SIZE",
    form: Form::Size {
        least: 4096,
        most: 1 << 50,
    },
    default: "64MiB",
    example: "256MiB",
    about: "What the memory tier of each cache may hold, keys and bookkeeping included.",
};

pub(super) const MAX_STALENESS: Variable = Variable {
    name: "CACHE_L1_MAX_STALENESS",
    form: time(Unit::Seconds, Duration::ZERO, Duration::from_secs(60 * 60)),
    default: "3s",
    example: "1s",
    about: "How long memory uses what it holds while Redis tells it of no changes.",
};

pub(super) const REMOTE_BUDGET: Variable = Variable {
    name: "CACHE_REMOTE_BUDGET",
    form: time(Unit::Milliseconds, millis(1), Duration::from_secs(10)),
    default: "20ms",
    example: "50",
    about: "How long one request spends on Redis at most, waiting for another's load apart.",
};

pub(super) const LEASE: Variable = Variable {
    name: "CACHE_LEASE",
    form: time(Unit::Milliseconds, millis(100), Duration::from_secs(60)),
    default: "2s",
    example: "5s",
    about: "After so long the key that a process was loading when it died is free again.",
};

pub(super) const POOL_MIN_SIZE: Variable = Variable {
    name: "CACHE_POOL_MIN_SIZE",
    form: Form::Count { least: 1, most: 16 },
    default: "1",
    example: "2",
    about: "The connections kept open for requests; each carries any number at a time.",
};

pub(super) const POOL_MAX_SIZE: Variable = Variable {
    name: "CACHE_POOL_MAX_SIZE",
    form: Form::Count {
        least: 3,
        most: 1024,
    },
    default: "4, or two more than CACHE_POOL_MIN_SIZE",
    example: "8",
    about: "The connections at most: those of requests, one for large values, those for long work. \
            At least two more than `CACHE_POOL_MIN_SIZE`.",
};

pub(super) const POOL_TIMEOUT: Variable = Variable {
    name: "CACHE_POOL_TIMEOUT",
    form: time(Unit::Milliseconds, millis(1), Duration::from_secs(60)),
    default: "250ms",
    example: "500",
    about: "A connection must be ready within this time. No request waits for one.",
};

/// The variables of every cache.
pub const VARIABLES: &[Variable] = &[
    ENABLED,
    TYPE,
    URL,
    REDIS_URL,
    PREFIX,
    TTL_DEFAULT,
    TTL_CLASS,
    STALE_WHILE_REVALIDATE,
    STALE_IF_ERROR,
    JITTER,
    EARLY_REFRESH,
    WORK_DEADLINE,
    WAIT_LIMIT,
    FAILURE_PAUSE,
    FAILURE_PAUSE_MAX,
    MEMORY_SIZE,
    MAX_STALENESS,
    REMOTE_BUDGET,
    LEASE,
    POOL_MIN_SIZE,
    POOL_MAX_SIZE,
    POOL_TIMEOUT,
];

/// Those that say something of a remote tier, and nothing where there is none.
pub(super) const OF_REMOTE: [&Variable; 7] = [
    &PREFIX,
    &MAX_STALENESS,
    &REMOTE_BUDGET,
    &LEASE,
    &POOL_MIN_SIZE,
    &POOL_MAX_SIZE,
    &POOL_TIMEOUT,
];

fn prefix(text: &str) -> Result<String, String> {
    if is_plain_name(text) {
        Ok(text.to_owned())
    } else {
        Err(String::new())
    }
}

/// As the README has it: a row for each variable.
pub fn markdown(tables: &[&[Variable]]) -> String {
    let mut text = String::from("| Variable | Default | Unit | |\n|---|---|---|---|\n");
    for variable in tables.iter().copied().flatten() {
        let Variable {
            name,
            default,
            about,
            ..
        } = variable;
        let unit = variable.form.unit();
        text.push_str(&format!("| `{name}` | {default} | {unit} | {about} |\n"));
    }
    text
}
