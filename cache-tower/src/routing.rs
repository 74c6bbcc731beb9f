//! What a web framework knows of a request beyond `http`'s own types.

use crate::cache::HttpCache;
use http::{Extensions, Uri};
use std::fmt;

/// A web framework, and what its adapter adds to a cache.
pub trait Framework: Sized + Send + Sync + 'static {
    /// What [`HttpCacheBuilder::build`](crate::adapter::HttpCacheBuilder::build) gives: the cache, in a
    /// type of the adapter's own where the framework's traits ask for one.
    type Cache: From<HttpCache<Self>>;

    /// An adapter may keep each stored response's fields in a form of its own, made at the first hit; see
    /// [`Answer::with_head`](crate::adapter::Answer::with_head). That takes so many bytes for each field,
    /// beside its text, and counts as memory from the beginning. Default: 0, for none.
    const FIELD_COPY: usize = 0;
}

/// How to find the URI that the client sent, and the parameters of the matched route.
///
/// Routers rewrite the URI of a request that they pass on to a nested router; a key made of that one
/// would be shared by nested routers that have the same paths. An adapter for a framework implements
/// this on a type of its own.
pub trait Routing: Framework {
    /// The URI the client sent. `uri` is the one the request has now.
    fn uri<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri;

    /// The parameters of the matched route, decoded as the handler sees them. `uri` is the one the
    /// client sent. Only asked for when a response may be stored.
    fn parameters(uri: &Uri, extensions: &Extensions) -> Vec<(Box<str>, String)>;

    /// The template of the matched route, as it is written in code, as `/users/{id}`: for `CACHE_ROUTES`, and for
    /// metrics and spans, which must never have the path itself. `None` where it is not known (yet).
    /// Default: `None`.
    fn route(extensions: &Extensions) -> Option<&str> {
        let _ = extensions;
        None
    }
}

/// No framework: the request's URI is the client's, and routes have no parameters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Direct;

impl Framework for Direct {
    type Cache = HttpCache<Self>;
}

impl Routing for Direct {
    fn uri<'a>(uri: &'a Uri, _: &'a Extensions) -> &'a Uri {
        uri
    }

    fn parameters(_: &Uri, _: &Extensions) -> Vec<(Box<str>, String)> {
        Vec::new()
    }
}

/// The parameters of the route that a response came from, as an extension of it: for adapters that know
/// them only then. They take the place of those known before.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Parameters(pub Vec<(Box<str>, String)>);

/// Without what may not reach a log.
impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parameters")
            .field("count", &self.0.len())
            .finish_non_exhaustive()
    }
}
