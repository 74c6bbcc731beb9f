//! The engine as adapters of other frameworks drive it.

use crate::support::{Calls, TestBody};
use cache_tower::{
    HttpCache, Policy,
    adapter::{Asked, Begin, Engine},
    minutes,
};
use http::{Extensions, HeaderMap, Method, Request, Response, Uri};
use http_body_util::Empty;
use std::convert::Infallible;
use tower::{Layer, ServiceExt};

const PAGE: &str = "http://test/page";

/// Writes a hit with fields in a form of the adapter's own.
fn written<H: Send + Sync + 'static>(
    engine: &Engine,
    convert: impl FnOnce(&HeaderMap) -> H,
    write: impl FnOnce(&H) -> String,
) -> Option<String> {
    let (uri, fields, none) = (Uri::from_static(PAGE), HeaderMap::new(), Extensions::new());
    let asked = Asked {
        method: &Method::GET,
        uri: &uri,
        headers: &fields,
        others: &|_| HeaderMap::new(),
        extensions: &none,
        has_body: false,
        route: "",
    };
    let Begin::Answer(answer) = engine.begin(asked) else {
        panic!("it is stored");
    };
    answer.with_head::<H, TestBody, _>(engine, convert, |plain| write(plain.head))
}

#[tokio::test]
async fn fields_are_converted_once_for_each_stored_response() {
    let (cache, calls, conversions) = (HttpCache::new(), Calls::default(), Calls::default());
    let layer = cache.policy(Policy::ttl(minutes(5)));
    let service = layer.layer(tower::service_fn(move |_: Request<Empty<bytes::Bytes>>| {
        let response = Response::builder().header("x-call", calls.note());
        std::future::ready(Ok::<_, Infallible>(
            response.body(TestBody::full("page")).unwrap(),
        ))
    }));
    let store = async || {
        let request = Request::get(PAGE).body(Empty::new()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        crate::support::read(response).await.unwrap();
    };
    let engine = layer.engine();
    let hit = || {
        let convert = |fields: &HeaderMap| {
            conversions.note();
            assert!(!fields.contains_key("age") && !fields.contains_key("cache-status"));
            fields["x-call"].to_str().unwrap().to_owned()
        };
        written(&engine, convert, String::clone).unwrap()
    };
    store().await;
    assert_eq!(
        ([hit(), hit(), hit()], conversions.count()),
        (["0"; 3].map(str::to_owned), 1)
    );
    cache.purger().all().await;
    store().await;
    assert_eq!(
        ([hit(), hit()], conversions.count()),
        (["1"; 2].map(str::to_owned), 2)
    );
    let of_another = written(&engine, |_| (), |()| String::new());
    assert_eq!(of_another, None, "that is an adapter with another form");
}
