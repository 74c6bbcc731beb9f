//! Reading settings, from the command line and the environment.

use std::{env, ffi::OsString};

/// A value, and the name of the setting that it was found in.
pub type Found = (&'static str, OsString);

/// That of a variable, where it is set.
pub fn variable(name: &'static str) -> Option<Found> {
    Some((name, env::var_os(name)?))
}

/// A port of TCP.
///
/// # Errors
///
/// Names the setting, what was found in it, and what is accepted.
pub fn read_port((setting, value): Found) -> Result<u16, String> {
    let port = value.to_str().and_then(|value| value.parse().ok());
    port.ok_or_else(|| {
        let found = value.display();
        format!("{setting} is `{found}`; accepted is a port, 0 to 65535 (0 takes any free one)")
    })
}

/// What is told of a command line that cannot be read.
#[must_use]
pub fn unreadable(error: &lexopt::Error) -> String {
    format!("{error}; `--help` lists the options that are accepted")
}
