use axum::response::{IntoResponseParts, ResponseParts};
use std::convert::Infallible;

/// The groups of one response, given as a response part: entries of one group are purged together.
///
/// At most 128 groups of at most 1024 bytes each; a response with more is not stored.
///
/// ```
/// use axum::response::IntoResponse;
/// use cache_axum::Groups;
///
/// async fn show() -> impl IntoResponse {
///     (Groups::new(["user:42", "team:7"]), "Ada, of team 7")
/// }
/// ```
#[doc(alias = "tags")]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "groups are of no response until they are returned with it"]
pub struct Groups(cache_tower::Groups);

impl Groups {
    /// The groups of these names.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self(cache_tower::Groups::new(names))
    }
}

impl IntoResponseParts for Groups {
    type Error = Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Infallible> {
        self.0.put(response.extensions_mut());
        Ok(response)
    }
}
