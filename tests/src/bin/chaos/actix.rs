//! actix-web: requests are moved into refreshes while middleware further out awaits and then looks at
//! its own.

use super::Counts;
use actix_web::{
    App, Error, HttpRequest, HttpResponse, HttpServer,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    rt::{System, spawn, time::sleep},
    web,
};
use cache_actix::{HttpCache, Policy, background_tasks, hours};
use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tests::figure::Figure;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const CLIENTS: usize = 48;

/// How long what is left in the background may take to end.
const SETTLING: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Seen {
    panics: AtomicU64,
    answers: AtomicU64,
    wrong: AtomicU64,
    in_handlers: AtomicU64,
}

/// One that is in a handler, until it is dropped.
struct Within(Arc<Seen>);

impl Drop for Within {
    fn drop(&mut self) {
        self.0.in_handlers.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) fn run(duration: Duration) -> Counts {
    let seen = Arc::<Seen>::default();
    count_panics(Arc::clone(&seen));
    let cache = HttpCache::new();
    let (loaded, served) = (Arc::clone(&seen), cache.clone());
    System::new().block_on(async move {
        let (address, server) = serve(served, Arc::clone(&loaded));
        let handle = server.handle();
        spawn(server);
        let until = Instant::now() + duration;
        let clients = (0..CLIENTS).map(|_| spawn(client(address, until, Arc::clone(&loaded))));
        futures_util::future::join_all(clients).await;
        let settled = Instant::now() + SETTLING;
        while background_tasks() > 0 && Instant::now() < settled {
            sleep(Duration::from_millis(20)).await;
        }
        handle.stop(true).await;
    });
    let stats = cache.stats();
    let of = |count: &AtomicU64| count.load(Ordering::SeqCst) as f64;
    let left = background_tasks() as f64 + stats.flights as f64 + of(&seen.in_handlers);
    vec![
        (
            "answered",
            Figure::at_least(1000.0, "answers", of(&seen.answers)),
        ),
        (
            "stale",
            Figure::at_least(100.0, "answers", stats.stale as f64),
        ),
        ("wrong", Figure::at_most(0.0, "answers", of(&seen.wrong))),
        ("panics", Figure::at_most(0.0, "panics", of(&seen.panics))),
        (
            "leaks",
            Figure::at_most(0.0, "tasks, flights and handlers left", left),
        ),
    ]
}

fn count_panics(seen: Arc<Seen>) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        seen.panics.fetch_add(1, Ordering::SeqCst);
        usual(panic);
    }));
}

fn serve(cache: HttpCache, seen: Arc<Seen>) -> (SocketAddr, actix_web::dev::Server) {
    // A lifetime so short that most answers are stale, on the route or around everything.
    let policy = Policy::ttl(Duration::from_millis(2))
        .stale_while_revalidate(hours(1))
        .stale_if_error(hours(1));
    let app = move || {
        App::new()
            .app_data(web::Data::new(Arc::clone(&seen)))
            .wrap(cache.policy(policy.clone()))
            .wrap(from_fn(lingering))
            .service(web::resource("/around/{id}").to(show))
            .service(
                web::scope("/scope").wrap(from_fn(lingering)).service(
                    web::resource("/{id}")
                        .wrap(cache.policy(policy.clone()))
                        .wrap(from_fn(lingering))
                        .to(show),
                ),
            )
    };
    let server = HttpServer::new(app)
        .workers(4)
        .disable_signals()
        .h1_allow_half_closed(false)
        .bind(("127.0.0.1", 0))
        .expect("there is a free port");
    let address = server.addrs().first().copied();
    (address.expect("it is bound"), server.run())
}

/// Awaits when its answer is there, and then looks at its request.
async fn lingering<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let uri = request.uri().clone();
    let response = next.call(request).await?;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(
        response.request().uri(),
        &uri,
        "it is the request that was asked"
    );
    Ok(response)
}

/// Not `Send`, slow, and failing now and then.
async fn show(
    request: HttpRequest,
    id: web::Path<u64>,
    seen: web::Data<Arc<Seen>>,
) -> HttpResponse {
    seen.in_handlers.fetch_add(1, Ordering::SeqCst);
    let _within = Within(Arc::clone(&seen));
    let chance = Rc::new(Cell::new(fastrand::u8(..)));
    sleep(Duration::from_millis(u64::from(chance.get() % 8))).await;
    let path = request.path();
    match chance.get() {
        0..24 => HttpResponse::InternalServerError().finish(),
        24..48 => {
            let pieces = [format!("{path} "), format!("is {id}")];
            let pieces = pieces.map(|piece| Ok::<_, Error>(web::Bytes::from(piece)));
            let pieces = futures_util::stream::iter(pieces);
            HttpResponse::Ok().streaming(futures_util::StreamExt::then(pieces, async |piece| {
                sleep(Duration::from_millis(2)).await;
                piece
            }))
        }
        _ => HttpResponse::Ok().body(format!("{path} is {id}")),
    }
}

/// Asks, and sometimes leaves before the answer.
async fn client(address: SocketAddr, until: Instant, seen: Arc<Seen>) {
    while Instant::now() < until {
        let id = fastrand::u64(0..6);
        let path = match fastrand::bool() {
            true => format!("/around/{id}"),
            false => format!("/scope/{id}"),
        };
        let Ok(mut stream) = TcpStream::connect(address).await else {
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: example.test\r\nconnection: close\r\n\r\n");
        if stream.write_all(head.as_bytes()).await.is_err() {
            continue;
        }
        if fastrand::u8(..) < 32 {
            sleep(Duration::from_millis(fastrand::u64(0..6))).await;
            continue;
        }
        let mut answer = String::new();
        if stream.read_to_string(&mut answer).await.is_err() {
            continue;
        }
        seen.answers.fetch_add(1, Ordering::SeqCst);
        let is_whole = answer.contains(&format!("{path} ")) && answer.contains(&format!("is {id}"));
        let is_error = answer.starts_with("HTTP/1.1 50");
        if !is_whole && !is_error {
            seen.wrong.fetch_add(1, Ordering::SeqCst);
            eprintln!("{path}: {answer}");
        }
    }
}
