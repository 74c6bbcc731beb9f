//! The answers that the cache makes itself.

use crate::{
    body::ResponseBody,
    http::cache_status::{CacheStatus, Decision, Forwarded, Then},
    stored::CACHE_STATUS,
};
use http::{HeaderValue, Response, StatusCode, header};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    /// `only-if-cached`, and nothing stored will do (RFC 9111 §5.2.1.7).
    OnlyIfCached,
    /// The request it waited for failed, as did the next.
    Failed(Forwarded),
    /// Waiting took too long, and enough others go by themselves.
    WaitTimeout(Forwarded),
}

impl Refusal {
    pub(crate) fn into_response<RB>(
        self,
        status: Option<&CacheStatus>,
    ) -> Response<ResponseBody<RB>> {
        let mut response = Response::new(ResponseBody::empty());
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let (Some(status), Some(decision)) = (status, self.decision()) {
            headers.insert(CACHE_STATUS, status.value(decision));
        }
        *response.status_mut() = match self {
            Self::OnlyIfCached => StatusCode::GATEWAY_TIMEOUT,
            Self::Failed(_) | Self::WaitTimeout(_) => {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        response
    }

    fn decision(self) -> Option<Decision> {
        let forward = |why, collapsed, then| {
            Some(Decision::Forward {
                why,
                collapsed: Some(collapsed),
                then,
            })
        };
        match self {
            // RFC 9211 §2: the field is not for what a cache makes by itself.
            Self::OnlyIfCached => None,
            Self::Failed(why) => forward(why, true, Then::Failed),
            Self::WaitTimeout(why) => forward(why, false, Then::WaitTimeout),
        }
    }
}
