//! Bodies that stream, break, or have another length than they say.

use crate::support::{Calls, eventually, get, settled};
use actix_web::{
    App, HttpResponse,
    body::{BodySize, MessageBody},
    rt::spawn,
    test::{TestRequest, call_service, init_service},
    web::{self, Bytes},
};
use cache_actix::{HttpCache, Policy, minutes};
use futures_util::{StreamExt, stream};
use std::{cell::Cell, future::poll_fn, pin::pin, rc::Rc, sync::Arc};
use tokio::sync::{Semaphore, mpsc};

type Counted = web::Data<Arc<Calls>>;

type Piece = Result<Bytes, actix_web::Error>;

/// A body whose pieces come when the test sends them, for the one who asks first.
#[derive(Clone)]
struct Feed(Rc<Cell<Option<mpsc::UnboundedReceiver<Piece>>>>);

fn feed() -> (mpsc::UnboundedSender<Piece>, Feed) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Feed(Rc::new(Cell::new(Some(receiver)))))
}

impl Feed {
    fn into_response(self) -> HttpResponse {
        let receiver = self.0.take().expect("it is asked once");
        let pieces = stream::unfold(receiver, async |mut receiver| {
            Some((receiver.recv().await?, receiver))
        });
        HttpResponse::Ok().streaming(pieces)
    }
}

async fn next<B: MessageBody>(body: &mut std::pin::Pin<&mut B>) -> Option<Result<Bytes, B::Error>> {
    poll_fn(|cx| body.as_mut().poll_next(cx)).await
}

#[actix_web::test]
async fn each_piece_goes_on_as_it_comes_and_all_of_them_are_stored() {
    let (cache, (pieces, feed)) = (HttpCache::new(), feed());
    let handler = move || std::future::ready(feed.clone().into_response());
    let app = init_service(
        App::new()
            .wrap(cache.policy(Policy::ttl(minutes(5))))
            .route("/", web::get().to(handler)),
    )
    .await;
    let request = TestRequest::get().insert_header(("host", "example.test"));
    let response = call_service(&app, request.to_request()).await;
    let mut body = pin!(response.into_body());
    assert_eq!(body.size(), BodySize::Stream);
    for piece in ["one ", "", "two ", "three"] {
        pieces.send(Ok(piece.into())).unwrap();
        if !piece.is_empty() {
            assert_eq!(next(&mut body).await.unwrap().unwrap(), piece);
        }
    }
    drop(pieces);
    assert!(next(&mut body).await.is_none());
    eventually("it is stored", || cache.stats().stored == 1).await;
    let hit = get(&app, "/").await;
    assert_eq!((hit.body.as_str(), hit.is_hit()), ("one two three", true));
    settled(&cache, 2).await;
}

#[actix_web::test]
async fn a_body_whose_client_left_is_taken_in_to_its_end() {
    let (cache, (pieces, feed)) = (HttpCache::new(), feed());
    let handler = move || std::future::ready(feed.clone().into_response());
    let app = init_service(
        App::new()
            .wrap(cache.policy(Policy::ttl(minutes(5))))
            .route("/", web::get().to(handler)),
    )
    .await;
    let request = TestRequest::get().insert_header(("host", "example.test"));
    let response = call_service(&app, request.to_request()).await;
    pieces.send(Ok("one ".into())).unwrap();
    drop(response);
    pieces.send(Ok("two".into())).unwrap();
    drop(pieces);
    eventually("it is stored", || cache.stats().stored == 1).await;
    assert_eq!(get(&app, "/").await.body, "one two");
    eventually("no task is left", || cache_actix::background_tasks() == 0).await;
    settled(&cache, 2).await;
}

#[actix_web::test]
async fn a_body_that_breaks_is_not_stored_and_its_error_is_told() {
    let (cache, (pieces, feed)) = (HttpCache::new(), feed());
    let handler = move || std::future::ready(feed.clone().into_response());
    let app = init_service(
        App::new()
            .wrap(cache.policy(Policy::ttl(minutes(5))))
            .route("/", web::get().to(handler)),
    )
    .await;
    let response = call_service(&app, TestRequest::get().to_request()).await;
    let mut body = pin!(response.into_body());
    pieces.send(Ok("one".into())).unwrap();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "one");
    pieces
        .send(Err(actix_web::error::ErrorBadGateway("the wire was cut")))
        .unwrap();
    let error = next(&mut body).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the wire was cut");
    assert_eq!(cache.stats().stored, 0);
    settled(&cache, 1).await;
}

#[actix_web::test]
async fn an_event_stream_is_held_back_by_nothing_and_never_stored() {
    let cache = HttpCache::new();
    let gate = Arc::new(Semaphore::new(0));
    let events = Arc::clone(&gate);
    let handler = move || {
        let events = Arc::clone(&events);
        let stream = stream::iter(1..=3).then(move |event| {
            let events = Arc::clone(&events);
            async move {
                events.acquire().await.unwrap().forget();
                Ok::<_, actix_web::Error>(Bytes::from(format!("data: {event}\n\n")))
            }
        });
        let mut response = HttpResponse::Ok();
        response.content_type("text/event-stream");
        std::future::ready(response.streaming(Box::pin(stream)))
    };
    let app = init_service(
        App::new()
            .wrap(cache.policy(Policy::ttl(minutes(5))))
            .route("/events", web::get().to(handler)),
    )
    .await;
    for _ in 0..2 {
        let request = TestRequest::get().uri("/events").to_request();
        let mut body = pin!(call_service(&app, request).await.into_body());
        for event in 1..=3 {
            gate.add_permits(1);
            let data = next(&mut body).await.unwrap().unwrap();
            assert_eq!(data, format!("data: {event}\n\n"));
        }
        assert!(next(&mut body).await.is_none());
    }
    assert_eq!(cache.stats().stored, 0);
    settled(&cache, 2).await;
}

#[actix_web::test]
async fn those_who_wait_read_along_at_their_own_speed() {
    let (cache, (pieces, feed)) = (HttpCache::new(), feed());
    let calls = Counted::new(Arc::new(Calls::default()));
    let handler = move |calls: Counted| {
        calls.next();
        let mut response = feed.clone().into_response();
        response
            .headers_mut()
            .insert("content-length".parse().unwrap(), 8.into());
        response.head_mut().no_chunking(true);
        std::future::ready(response)
    };
    let app = Rc::new(
        init_service(
            App::new()
                .app_data(calls.clone())
                .wrap(cache.policy(Policy::ttl(minutes(5))))
                .route("/", web::get().to(handler)),
        )
        .await,
    );
    let ask = |app: &Rc<_>| {
        let app = Rc::clone(app);
        spawn(async move { get(&*app, "/").await.body })
    };
    // The one that leads does not read at all.
    let request = TestRequest::get().insert_header(("host", "example.test"));
    let led = call_service(&*app, request.to_request()).await;
    let followers: Vec<_> = (0..5).map(|_| ask(&app)).collect();
    eventually("all are here", || cache.stats().misses == 6).await;
    for piece in ["one ", "four"] {
        pieces.send(Ok(piece.into())).unwrap();
    }
    drop(pieces);
    for follower in followers {
        assert_eq!(follower.await.unwrap(), "one four");
    }
    assert_eq!(
        actix_web::body::to_bytes(led.into_body()).await.unwrap(),
        "one four"
    );
    assert_eq!(calls.so_far(), 1);
    settled(&cache, 6).await;
}
