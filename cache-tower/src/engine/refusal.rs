//! The answers that the cache makes itself.

use crate::{
    body::ResponseBody,
    http::cache_status::{Decision, Forwarded, Then},
};
use http::{HeaderValue, Response, StatusCode, header};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    /// `only-if-cached`, and nothing stored will do (RFC 9111 §5.2.1.7).
    OnlyIfCached,
    /// The request it waited for failed, as did the next.
    Failed(Forwarded),
    /// The origin answered what it was not asked, and the client's own question is gone.
    BadGateway(Forwarded),
    /// Waiting took too long, and enough others go by themselves.
    WaitTimeout(Forwarded),
}

impl Refusal {
    /// Without Cache-Status: "An intermediary SHOULD NOT append a Cache-Status member to responses that it
    /// generates locally" (RFC 9211 §2).
    pub(crate) fn into_response<RB>(self) -> Response<ResponseBody<RB>> {
        let mut response = Response::new(ResponseBody::empty());
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        *response.status_mut() = match self {
            Self::OnlyIfCached => StatusCode::GATEWAY_TIMEOUT,
            Self::BadGateway(_) => StatusCode::BAD_GATEWAY,
            Self::Failed(_) | Self::WaitTimeout(_) => {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        response
    }

    pub(super) fn decision(self) -> Decision {
        let forward = |why, collapsed, then| Decision::Forward {
            why,
            status: None,
            collapsed,
            then,
        };
        match self {
            Self::OnlyIfCached => Decision::OnlyIfCached,
            Self::Failed(why) => forward(why, Some(true), Then::Failed),
            Self::BadGateway(why) => forward(why, None, Then::Failed),
            Self::WaitTimeout(why) => forward(why, Some(false), Then::WaitTimeout),
        }
    }
}
