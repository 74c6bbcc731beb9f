//! The variables of HTTP caches, as data.

use super::Routes;
use cache_core::config::{Form, Variable};
use http::HeaderName;

pub(super) const MAX_BODY: Variable = Variable {
    name: "CACHE_MAX_BODY",
    form: Form::Size {
        least: 1,
        most: 1 << 40,
    },
    default: "1MiB, or as much as fits",
    example: "4MiB",
    about: "The largest body that is kept. With its fields it must fit into a quarter of `CACHE_MEMORY_SIZE`.",
};

pub(super) const PROFILE: Variable = Variable {
    name: "CACHE_PROFILE",
    form: Form::Word(&["guarded", "standard"]),
    default: "what policies say, else guarded",
    example: "guarded",
    about: "How closely RFC 9111 is followed: `standard` is to the letter, `guarded` refuses what a service \
            may not have meant.",
};

pub(super) const TARGETED_FIELDS: Variable = Variable {
    name: "CACHE_TARGETED_FIELDS",
    form: Form::Text {
        accepted: "names of fields, separated by commas, or none",
        read: |text| fields(text).map(|names| print(&names)),
    },
    default: NONE,
    example: "CDN-Cache-Control",
    about: "The fields that go before `Cache-Control` (RFC 9213), in order.",
};

pub(super) const STATUS: Variable = Variable {
    name: "CACHE_STATUS",
    form: Form::Switch,
    default: "true",
    example: "off",
    about: "Whether responses say in `Cache-Status` (RFC 9211) what the cache did.",
};

pub(super) const ROUTES: Variable = Variable {
    name: "CACHE_ROUTES",
    form: Form::Text {
        accepted: "routes separated by `;`, each followed by what holds for it: off, ttl=TIME, \
                   override_ttl=TIME, stale_while_revalidate=TIME, stale_if_error=TIME, group=NAME, \
                   query=NAMES, ignore_query=NAMES, vary=FIELDS, per_credential, profile=WORD, class=NAME; or none",
        read: |text| Routes::parse(text).map(|routes| routes.to_string()),
    },
    default: NONE,
    example: "'/users/{id} ttl=1h group=user:{id}; /posts ttl=30m query=page; /admin/* off'",
    about: "What holds for single routes, whatever the code says.",
};

/// The variables of HTTP caches, beside [those of all](cache_core::config::VARIABLES).
pub const VARIABLES: &[Variable] = &[MAX_BODY, PROFILE, TARGETED_FIELDS, STATUS, ROUTES];

/// How a list is written that holds nothing.
pub(super) const NONE: &str = "none";

/// The names of fields, in a list.
pub(super) fn fields(text: &str) -> Result<Vec<HeaderName>, String> {
    if text.eq_ignore_ascii_case(NONE) {
        return Ok(Vec::new());
    }
    let name = |name: &str| {
        let name = name.trim();
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("`{name}` is no name of a field"))
    };
    text.split(',').map(name).collect()
}

fn print(names: &[HeaderName]) -> String {
    if names.is_empty() {
        return NONE.to_owned();
    }
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    names.join(",")
}
