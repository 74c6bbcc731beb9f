//! The groups a handler puts its response into.

use http::Extensions;
use std::fmt;

/// Groups of one response, given by its handler as an extension of the response: entries of one group
/// are purged together. They are taken off before the response goes on.
///
/// At most 128 groups of at most 1024 bytes each, whose names do not begin with NUL; a response with
/// others is not stored.
///
/// ```
/// use cache_tower::Groups;
///
/// let mut response = http::Response::new("…");
/// Groups::new(["user:42", "team:7"]).put(response.extensions_mut());
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
#[must_use = "groups are of no response until they are put into its extensions"]
pub struct Groups(Vec<String>);

/// Without what may not reach a log.
impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups")
            .field("count", &self.0.len())
            .finish_non_exhaustive()
    }
}

impl Groups {
    /// The groups of these names.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// Adds them to those a response has.
    pub fn put(self, extensions: &mut Extensions) {
        let mut groups = extensions.remove::<Self>().unwrap_or_default();
        groups.0.extend(self.0);
        extensions.insert(groups);
    }

    /// These and those, which may be none.
    pub fn and(mut self, others: Option<Self>) -> Self {
        self.0.extend(others.into_iter().flat_map(Self::into_names));
        self
    }

    pub(crate) fn into_names(self) -> Vec<String> {
        self.0
    }

    /// Names that begin with NUL are the cache's own.
    pub(crate) fn are_within_limits(names: &[String]) -> bool {
        let is_fine = |name: &String| name.len() <= 1024 && !name.starts_with('\0');
        names.len() <= 128 && names.iter().all(is_fine)
    }
}
