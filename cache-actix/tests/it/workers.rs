//! Several workers over real sockets.

use crate::support::{Calls, eventually};
use actix_web::{
    App, HttpServer,
    rt::{System, time::sleep},
    web,
};
use cache_actix::{HttpCache, Policy, minutes};
use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
    time::Duration,
};

fn exchange(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: example.test\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn two_workers_share_hits_and_flights() {
    let cache = HttpCache::new();
    let calls = Arc::new(Calls::default());
    let seen = Arc::new(Mutex::new(HashSet::<ThreadId>::new()));
    let (shared, counted, threads) = (cache.clone(), Arc::clone(&calls), Arc::clone(&seen));
    System::new().block_on(async move {
        let server = HttpServer::new(move || {
            let (calls, threads) = (Arc::clone(&counted), Arc::clone(&threads));
            let note = {
                let threads = Arc::clone(&threads);
                actix_web::middleware::from_fn(
                    move |request, next: actix_web::middleware::Next<_>| {
                        threads.lock().unwrap().insert(thread::current().id());
                        next.call(request)
                    },
                )
            };
            App::new().wrap(note).service(
                web::resource("/{p}")
                    .wrap(shared.policy(Policy::ttl(minutes(5))))
                    .get(move || {
                        let call = calls.next();
                        async move {
                            sleep(Duration::from_millis(300)).await;
                            format!("call {call}")
                        }
                    }),
            )
        })
        .workers(2)
        .bind(("127.0.0.1", 0))
        .unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        // Collapsed: the workers take connections in turn.
        let asking: Vec<_> = (0..16)
            .map(|_| thread::spawn(move || exchange(address, "/a")))
            .collect();
        eventually("they have asked", || {
            asking.iter().all(thread::JoinHandle::is_finished)
        })
        .await;
        for answer in asking {
            let answer = answer.join().unwrap();
            assert!(answer.ends_with("call 1"), "{answer}");
        }
        assert_eq!(seen.lock().unwrap().len(), 2, "both workers had some");
        assert_eq!((calls.so_far(), cache.stats().collapsed), (1, 15));
        let hits =
            thread::spawn(move || (0..8).map(|_| exchange(address, "/a")).collect::<Vec<_>>());
        eventually("they have asked", || hits.is_finished()).await;
        for answer in hits.join().unwrap() {
            assert!(
                answer.contains(";hit;") && answer.ends_with("call 1"),
                "{answer}"
            );
        }
        assert_eq!(
            (calls.so_far(), cache.stats().hits, cache.stats().flights),
            (1, 8, 0)
        );
        handle.stop(true).await;
    });
}
