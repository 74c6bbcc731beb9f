//! Combinations that work, but hardly as anybody wants.

use std::{borrow::Cow, fmt};

/// A setting, or a combination of some, that is possible and dangerous. `Display` says what, why, and
/// what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    code: &'static str,
    variable: Cow<'static, str>,
    text: Cow<'static, str>,
}

impl Warning {
    /// A warning; `code` is explained in the documentation, `variable` the one to look at first.
    pub fn new(
        code: &'static str,
        variable: impl Into<Cow<'static, str>>,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            code,
            variable: variable.into(),
            text: text.into(),
        }
    }

    /// What it is known by, as `W001`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The variable to look at first.
    pub fn variable(&self) -> &str {
        &self.variable
    }

    /// What, why, and what to do, without the code.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}
