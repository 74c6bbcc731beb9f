//! The one place that reads the environment.

use super::table::{OURS, REDIS_URL};
use std::env;

/// The variables that may be this project's; without a value where that is not Unicode. A name that is not is none of
/// ours, and shown as far as it is.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
pub(super) fn vars() -> Vec<(String, Option<String>)> {
    env::vars_os()
        .filter_map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            let is_ours = name.starts_with(OURS) || name == REDIS_URL.name;
            is_ours.then(|| (name, value.into_string().ok()))
        })
        .collect()
}
