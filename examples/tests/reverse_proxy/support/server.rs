//! What serves the proxy's clients.

use std::env;

/// Says to a process of these tests which server they are for.
pub(crate) const VARIABLE: &str = "REVERSE_PROXY_BY";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Hyper,
    ActixWeb,
}

impl Server {
    /// That of this process.
    pub(crate) fn current() -> Self {
        match env::var(VARIABLE) {
            Ok(name) if name == Self::ActixWeb.name() => Self::ActixWeb,
            _ => Self::Hyper,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hyper => "hyper",
            Self::ActixWeb => "actix-web",
        }
    }

    /// What the proxy has to be told.
    pub(super) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Hyper => &[],
            Self::ActixWeb => &["--actix-web"],
        }
    }
}
