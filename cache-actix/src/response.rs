//! How answers become responses of actix.

use crate::{
    body::{Incoming, ResponseBody},
    convert,
    request::Marks,
};
use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, MessageBody},
    dev::ServiceResponse,
    http::{Method, header as old},
};
use cache_tower::{
    adapter::{Answer, Engine, Plain},
    http::response::has_content,
};
use http::{Extensions, HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body;
use std::cell::RefCell;

type FromEngine<B> = Response<cache_tower::ResponseBody<Incoming<B>>>;

/// The fields of a stored response as actix has them, to be put into the map that actix has ready for the
/// response. Content-Length is what the body's size says.
struct Head {
    fields: Box<[(old::HeaderName, old::HeaderValue)]>,
    length: Option<u64>,
}

/// What such a copy takes for each field beside its text: its place, and what the reference counts of
/// texts take.
pub(crate) const FIELD_COPY: usize = 144;

impl Head {
    fn of(fields: &HeaderMap) -> Self {
        let mut fields = fields.clone();
        let length = take_length(&mut fields);
        let fields = fields.iter().filter_map(convert::field_for_actix);
        Self {
            fields: fields.collect(),
            length,
        }
    }
}

thread_local! {
    static WRITTEN: RefCell<[Written; 2]> = RefCell::default();
}

/// A value as it was written last: that of most hits within a second.
type Written = Option<(HeaderValue, old::HeaderValue)>;

/// Writes a field that each hit has anew.
fn write(
    fields: &mut old::HeaderMap,
    name: old::HeaderName,
    value: HeaderValue,
    written: &mut Written,
) {
    let is_written = written.as_ref().is_some_and(|(known, _)| *known == value);
    if !is_written {
        *written = convert::value_for_actix(&value).map(|converted| (value, converted));
    }
    if let Some((_, converted)) = written {
        fields.append(name, converted.clone());
    }
}

/// Takes Content-Length off. One that does not parse stays.
fn take_length(fields: &mut HeaderMap) -> Option<u64> {
    let length = fields.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    let length = length.parse().ok()?;
    fields.remove(header::CONTENT_LENGTH);
    Some(length)
}

/// Answers a request by what the cache says.
pub(crate) fn answer<B: MessageBody>(
    engine: &Engine,
    answer: Answer,
    request: HttpRequest,
) -> ServiceResponse<ResponseBody<B>> {
    let is_head = request.method() == Method::HEAD;
    let respond = |plain: Plain<'_, Head, Incoming<B>>| {
        let body = sized(plain.body, is_head, plain.status);
        let status = convert::status_for_actix(plain.status);
        let mut response = HttpResponse::with_body(status, body);
        let fields = response.headers_mut();
        for (name, value) in &plain.head.fields {
            fields.append(name.clone(), value.clone());
        }
        WRITTEN.with_borrow_mut(|[age, status]| {
            write(fields, old::AGE, plain.age, age);
            if let Some(value) = plain.cache_status {
                write(fields, CACHE_STATUS, value, status);
            }
        });
        if is_head {
            declare(&mut response, plain.head.length);
        }
        mark(&mut response, plain.extensions);
        response
    };
    let response = answer
        .with_head(engine, Head::of, respond)
        .unwrap_or_else(|| whole(answer.into_response(engine), is_head));
    ServiceResponse::new(request, response)
}

const CACHE_STATUS: old::HeaderName = old::HeaderName::from_static("cache-status");

/// A response of the engine, by itself.
fn whole<B: MessageBody>(response: FromEngine<B>, is_head: bool) -> HttpResponse<ResponseBody<B>> {
    let head = HttpResponse::with_body(convert::status_for_actix(response.status()), ());
    onto(head, response, is_head)
}

/// A response of the engine, on the head of the service's own: what that says beyond `http` stays.
pub(crate) fn onto<B: MessageBody>(
    mut head: HttpResponse<()>,
    response: FromEngine<B>,
    is_head: bool,
) -> HttpResponse<ResponseBody<B>> {
    let (mut parts, body) = response.into_parts();
    let own = body.size_hint().exact();
    let length = match take_length(&mut parts.headers) {
        // What a body of unknown length is said to have stays a field.
        Some(length) if own.is_none() => {
            parts.headers.insert(header::CONTENT_LENGTH, length.into());
            None
        }
        length => length,
    };
    let body = sized(body, is_head, parts.status);
    *head.status_mut() = convert::status_for_actix(parts.status);
    *head.headers_mut() = convert::fields_for_actix(&parts.headers);
    let mut response = head.set_body(body);
    if is_head {
        declare(&mut response, length);
    }
    mark(&mut response, parts.extensions);
    response
}

/// The body, announced as it is to be. A status without content has none.
fn sized<B: MessageBody>(
    body: cache_tower::ResponseBody<Incoming<B>>,
    is_head: bool,
    status: StatusCode,
) -> ResponseBody<B> {
    let announced = match is_head {
        _ if !has_content(status) && body.is_end_stream() => Some(BodySize::None),
        true => Some(BodySize::Stream),
        false => None,
    };
    ResponseBody::cached(body, announced)
}

/// What the response to a HEAD says of its length, if anything, is what the response to a GET would. It is
/// a field: by the size of a body actix waits for that body where more requests follow on the connection.
fn declare<B>(response: &mut HttpResponse<B>, length: Option<u64>) {
    response.head_mut().no_chunking(true);
    if let Some(length) = length {
        response
            .headers_mut()
            .insert(old::CONTENT_LENGTH, length.into());
    }
}

fn mark<B>(response: &mut HttpResponse<B>, marks: Extensions) {
    if !marks.is_empty() {
        response.extensions_mut().insert(Marks(marks));
    }
}
