//! What a web framework knows of a request beyond `http`'s own types.

use http::{Extensions, Uri};

/// How to find the URI that the client sent, and the parameters of the matched route.
///
/// Routers rewrite the URI of a request that they pass on to a nested router; a key made of that one
/// would be shared by nested routers that have the same paths. An adapter for a framework implements
/// this on a type of its own.
pub trait Routing: Send + Sync + 'static {
    /// The URI the client sent. `uri` is the one the request has now.
    fn uri<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri;

    /// The parameters of the matched route, decoded as the handler sees them. `uri` is the one the
    /// client sent. Only asked for when a response may be stored.
    fn parameters(uri: &Uri, extensions: &Extensions) -> Vec<(Box<str>, String)>;
}

/// No framework: the request's URI is the client's, and routes have no parameters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Direct;

impl Routing for Direct {
    fn uri<'a>(uri: &'a Uri, _: &'a Extensions) -> &'a Uri {
        uri
    }

    fn parameters(_: &Uri, _: &Extensions) -> Vec<(Box<str>, String)> {
        Vec::new()
    }
}
