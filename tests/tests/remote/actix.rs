//! Two services on actix-web that share one server.

use crate::support::{redis as link, requests, until};
use actix_web::{App, HttpResponse, dev::ServerHandle, rt, web};
use cache_actix::{HttpCache, Policy, Purge, minutes};
use cache_core::remote::RemoteSettings;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tests::redis::Server;

/// A process: two workers, a cache with connections of its own, handlers that count.
struct Service {
    address: SocketAddr,
    cache: HttpCache,
    handle: ServerHandle,
    sent: AtomicU64,
}

impl Service {
    fn start(url: &str, calls: &Arc<AtomicUsize>) -> Self {
        let cache = HttpCache::builder()
            .remote(Arc::new(link(url)))
            .remote_settings(RemoteSettings::new().budget(Duration::from_secs(1)))
            .build()
            .unwrap();
        let (served, calls) = (cache.clone(), Arc::clone(calls));
        let server = actix_web::HttpServer::new(move || {
            let calls = Arc::clone(&calls);
            let get = move || {
                let n = calls.fetch_add(1, Ordering::SeqCst);
                async move {
                    rt::time::sleep(Duration::from_millis(100)).await;
                    HttpResponse::Ok().body(format!("made {n}"))
                }
            };
            let purge = async |purge: Purge| {
                purge.group("all").await;
                HttpResponse::NoContent().finish()
            };
            let resource = web::resource("/{name}")
                .wrap(served.policy(Policy::ttl(minutes(5)).group("all")))
                .get(get)
                .put(async || HttpResponse::NoContent().finish())
                .post(purge);
            App::new().service(resource)
        });
        let server = server.workers(2).disable_signals().shutdown_timeout(1);
        let server = server.bind(("127.0.0.1", 0)).unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        rt::spawn(server);
        Self {
            address,
            cache,
            handle,
            sent: AtomicU64::new(0),
        }
    }

    async fn send(&self, method: &str, path: &str) -> (String, String) {
        self.sent.fetch_add(1, Ordering::SeqCst);
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "shared.test")
            .body(Empty::<bytes::Bytes>::new())
            .unwrap();
        let stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let response = client.send_request(request).await.unwrap();
        assert!(response.status().is_success(), "{response:?}");
        let status = response.headers().get("cache-status");
        let status = status
            .map_or("", |status| status.to_str().unwrap())
            .to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        connection.abort();
        (String::from_utf8(body.to_vec()).unwrap(), status)
    }
}

#[actix_web::test]
async fn two_actix_services_share_hits_loads_and_invalidations() {
    let server = Server::start();
    let calls = Arc::new(AtomicUsize::new(0));
    let services = [(); 2].map(|()| Service::start(&server.url(), &calls));
    for service in &services {
        until("it is connected and told of changes", async || {
            let stats = service.cache.remote_stats().unwrap();
            stats.health.is_up() && stats.is_coherent
        })
        .await;
    }
    let [a, b] = &services;

    assert_eq!(a.send("GET", "/a").await.0, "made 0");
    let (body, status) = b.send("GET", "/a").await;
    assert_eq!((body.as_str(), calls.load(Ordering::SeqCst)), ("made 0", 1));
    assert!(status.contains(";hit"), "{status}");

    let crowd = (0..60).map(|n| services[n % 2].send("GET", "/b"));
    for (body, _) in futures_util::future::join_all(crowd).await {
        assert_eq!(body, "made 1");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);

    let everywhere = async |path: &str, expected: &str| {
        until("the change is seen everywhere", async || {
            a.send("GET", path).await.0 == expected && b.send("GET", path).await.0 == expected
        })
        .await;
    };
    a.send("PUT", "/a").await;
    everywhere("/a", "made 2").await;
    b.send("POST", "/purge").await;
    everywhere("/b", "made 3").await;
    everywhere("/a", "made 4").await;
    assert_eq!(calls.load(Ordering::SeqCst), 5);
    for service in services {
        let stats = service.cache.stats();
        let sent = service.sent.load(Ordering::SeqCst);
        assert_eq!(requests(&[stats]), sent, "{stats:?}");
        service.handle.stop(false).await;
    }
}
