use actix_web::{HttpRequest, HttpResponse, Responder};

/// The groups of one response, given by its handler: entries of one group are purged together.
///
/// At most 128 groups of at most 1024 bytes each; a response with others is not stored.
///
/// ```
/// use actix_web::Responder;
/// use cache_actix::Groups;
///
/// async fn show() -> impl Responder {
///     Groups::new(["user:42", "team:7"]).on("Ada, of team 7")
/// }
/// ```
#[doc(alias = "tags")]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "groups are of no response until they are `on` its responder"]
pub struct Groups(cache_tower::Groups);

impl Groups {
    /// The groups of these names.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self(cache_tower::Groups::new(names))
    }

    /// The response of `responder`, in these groups.
    pub fn on<R: Responder>(self, responder: R) -> Grouped<R> {
        Grouped {
            groups: self.0,
            responder,
        }
    }
}

/// What responds as `R` does, in groups. Made by [`Groups::on`].
#[derive(Debug, Clone)]
#[must_use = "a responder does nothing until it is returned"]
pub struct Grouped<R> {
    groups: cache_tower::Groups,
    responder: R,
}

impl<R: Responder> Responder for Grouped<R> {
    type Body = R::Body;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse<R::Body> {
        let mut response = self.responder.respond_to(request);
        let mut extensions = response.extensions_mut();
        // What is within names groups as well.
        let others = extensions.remove::<cache_tower::Groups>();
        extensions.insert(self.groups.and(others));
        drop(extensions);
        response
    }
}
