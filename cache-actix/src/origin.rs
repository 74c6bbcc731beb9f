//! The service behind the cache, as the engine calls it.

use crate::{
    body::{Incoming, ResponseBody},
    convert,
    request::{Marks, mark, parameters},
    response::onto,
};
use actix_web::{
    Error, HttpRequest, HttpResponse,
    body::{BodySize, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse},
    http::Method,
};
use cache_tower::{Groups, Policy, adapter};
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use std::{cell::RefCell, future::poll_fn, rc::Rc};

/// The service, and the request for it. The engine may answer without forwarding it, so it stays where
/// the adapter finds it again.
pub(crate) struct Origin<S> {
    service: Rc<S>,
    place: Place,
}

/// Where the request of an [`Origin`] is, or what came back of it.
#[derive(Clone)]
pub(crate) struct Place(Rc<RefCell<Held>>);

enum Held {
    Unsent(ServiceRequest),
    /// It is with the service, or was lost to an error of it.
    Sent,
    Answered(HttpRequest, HttpResponse<()>),
}

impl<S> Origin<S> {
    pub(crate) fn new(service: Rc<S>, request: ServiceRequest) -> Self {
        let place = Place(Rc::new(RefCell::new(Held::Unsent(request))));
        Self { service, place }
    }

    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }
}

impl Place {
    fn replace(&self, held: Held) -> Held {
        self.0.replace(held)
    }

    /// The request, to answer it.
    pub(crate) fn into_request(self) -> Option<HttpRequest> {
        match self.replace(Held::Sent) {
            Held::Unsent(request) => Some(request.into_parts().0),
            Held::Sent => None,
            Held::Answered(request, _) => Some(request),
        }
    }

    /// The response of the service, as the engine changed it.
    pub(crate) fn into_response<B: MessageBody>(
        self,
        response: Response<cache_tower::ResponseBody<Incoming<B>>>,
    ) -> ServiceResponse<ResponseBody<B>> {
        let Held::Answered(request, head) = self.replace(Held::Sent) else {
            unreachable!("the engine passes on what the service answered");
        };
        let is_head = request.method() == Method::HEAD;
        let response = onto(head, response, is_head);
        ServiceResponse::new(request, response)
    }
}

impl<S, B> adapter::Origin<()> for Origin<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Body = Incoming<B>;
    type Error = Error;

    fn status_of(error: &Error) -> Option<StatusCode> {
        Some(convert::status_of(error))
    }

    async fn forward(self, request: Request<()>) -> Result<Response<Incoming<B>>, Error> {
        let Held::Unsent(mut forwarded) = self.place.replace(Held::Sent) else {
            unreachable!("a request is forwarded once");
        };
        let (parts, ()) = request.into_parts();
        convert::write(&parts.method, &parts.headers, &mut forwarded);
        mark(&forwarded, parts.extensions);
        poll_fn(|cx| self.service.poll_ready(cx)).await?;
        let (request, response) = self.service.call(forwarded).await?.into_parts();
        let (mut head, body) = response.into_parts();
        let mut converted = Response::new(());
        *converted.status_mut() = convert::status(head.status());
        *converted.headers_mut() = convert::fields(head.headers());
        if request.method() == Method::HEAD {
            declare(converted.headers_mut(), body.size());
        }
        *converted.extensions_mut() = said_to_the_cache(&mut head);
        converted.extensions_mut().insert(parameters(&request));
        self.place.replace(Held::Answered(request, head));
        Ok(converted.map(|()| Incoming::new(body)))
    }
}

/// What the response to a HEAD says of its length, actix reads off the body that it does not send.
fn declare(fields: &mut HeaderMap, size: BodySize) {
    if let BodySize::Sized(length) = size
        && !fields.contains_key(header::CONTENT_LENGTH)
    {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Takes off a response what its handler, and layers further in, say to the cache.
pub(crate) fn said_to_the_cache(head: &mut HttpResponse<()>) -> Extensions {
    let mut extensions = head.extensions_mut();
    let mut said = extensions.remove::<Marks>().unwrap_or_default().0;
    if let Some(groups) = extensions.remove::<Groups>() {
        said.insert(groups);
    }
    if let Some(policy) = extensions.remove::<Policy>() {
        said.insert(policy);
    }
    said
}
