//! What a response removes from the store (RFC 9111 §4.4).

use super::request::MethodClass;
use http::StatusCode;

/// Whether a response to a request of this method invalidates what is stored for its URI: a
/// non-error response to a method that is not safe, the unknown ones included.
pub fn invalidates(method: MethodClass, status: StatusCode) -> bool {
    method == MethodClass::Unsafe && (status.is_success() || status.is_redirection())
}
