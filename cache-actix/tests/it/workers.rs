//! Several workers over real sockets.

use crate::support::{Calls, clock, eventually};
use actix_web::{
    App, HttpServer,
    middleware::{Next, from_fn},
    rt::System,
    web,
};
use cache_actix::{HttpCache, Policy, minutes, seconds};
use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, ThreadId},
};
use tokio::sync::Semaphore;

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
    let gate = Arc::new(Semaphore::new(0));
    let permits = Arc::clone(&gate);
    System::new().block_on(async move {
        let server = HttpServer::new(move || {
            let (calls, threads) = (Arc::clone(&counted), Arc::clone(&threads));
            let permits = Arc::clone(&permits);
            let note = {
                let threads = Arc::clone(&threads);
                from_fn(move |request, next: Next<_>| {
                    threads.lock().unwrap().insert(thread::current().id());
                    next.call(request)
                })
            };
            App::new().wrap(note).service(
                web::resource("/{p}")
                    .wrap(shared.policy(Policy::ttl(minutes(5))))
                    .get(move || {
                        let (call, opened) = (calls.next(), Arc::clone(&permits));
                        async move {
                            let _ = opened.acquire().await;
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
        eventually("all are here", || cache.stats().misses == 16).await;
        gate.close();
        eventually("they are answered", || {
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

#[test]
fn two_workers_share_the_limit_on_refreshes() {
    let clock = clock();
    let cache = HttpCache::builder()
        .clock(clock.clone())
        .max_refreshes(1)
        .build()
        .unwrap();
    let (calls, gate) = (Arc::new(Calls::default()), Arc::new(Semaphore::new(8)));
    let seen = Arc::new(Mutex::new(HashSet::<ThreadId>::new()));
    let (shared, counted, permits) = (cache.clone(), Arc::clone(&calls), Arc::clone(&gate));
    let threads = Arc::clone(&seen);
    System::new().block_on(async move {
        let server = HttpServer::new(move || {
            let (calls, permits) = (Arc::clone(&counted), Arc::clone(&permits));
            let threads = Arc::clone(&threads);
            let policy = Policy::ttl(seconds(10)).stale_while_revalidate(minutes(5));
            App::new()
                .wrap(shared.policy(policy))
                .wrap(from_fn(move |request, next: Next<_>| {
                    threads.lock().unwrap().insert(thread::current().id());
                    next.call(request)
                }))
                .default_service(web::to(move || {
                    let (call, permits) = (calls.next(), Arc::clone(&permits));
                    async move {
                        if let Ok(permit) = permits.acquire().await {
                            permit.forget();
                        }
                        format!("call {call}")
                    }
                }))
        })
        .workers(2)
        .bind(("127.0.0.1", 0))
        .unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let ask_all = async || {
            let asking: Vec<_> = (0..8)
                .map(|n| thread::spawn(move || exchange(address, &format!("/{n}"))))
                .collect();
            eventually("they have asked", || {
                asking.iter().all(thread::JoinHandle::is_finished)
            })
            .await;
            let answers = asking.into_iter().map(|answer| answer.join().unwrap());
            answers.collect::<Vec<_>>()
        };
        for answer in ask_all().await {
            assert!(answer.contains(";stored"), "{answer}");
        }
        assert_eq!((calls.so_far(), seen.lock().unwrap().len()), (8, 2));
        clock.advance(seconds(11));
        // Of each page there is something stale; the first refresh does not end before all are asked for.
        for answer in ask_all().await {
            assert!(answer.contains(";hit;"), "{answer}");
        }
        assert_eq!((cache.stats().stale, cache.stats().flights), (8, 1));
        gate.close();
        eventually("the refresh", || cache.stats().flights == 0).await;
        assert_eq!(calls.so_far(), 9);
        handle.stop(true).await;
    });
}

/// What was told to who asks for what another asked for, whose connection ended meanwhile.
fn answer_after_the_leader_left(allow_half_closed: bool) -> String {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (cache, calls) = (HttpCache::new(), Arc::new(Calls::default()));
    let (gate, is_dropped) = (
        Arc::new(Semaphore::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (shared, counted) = (cache.clone(), Arc::clone(&calls));
    let (opened, dropped) = (Arc::clone(&gate), Arc::clone(&is_dropped));
    System::new().block_on(async move {
        let server = HttpServer::new(move || {
            let (calls, opened) = (Arc::clone(&counted), Arc::clone(&opened));
            let dropped = Arc::clone(&dropped);
            App::new()
                .wrap(shared.policy(Policy::ttl(minutes(5))))
                .default_service(web::to(move || {
                    let (call, opened) = (calls.next(), Arc::clone(&opened));
                    let dropped = Dropped(Arc::clone(&dropped));
                    async move {
                        let _ = opened.acquire().await;
                        drop(dropped);
                        format!("call {call}")
                    }
                }))
        })
        .workers(1)
        .h1_allow_half_closed(allow_half_closed)
        .bind(("127.0.0.1", 0))
        .unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let mut leader = TcpStream::connect(address).unwrap();
        leader
            .write_all(b"GET / HTTP/1.1\r\nhost: example.test\r\n\r\n")
            .unwrap();
        eventually("the leader", || calls.so_far() == 1).await;
        drop(leader);
        if !allow_half_closed {
            eventually("it is noticed", || is_dropped.load(Ordering::SeqCst)).await;
        }
        let asking = thread::spawn(move || exchange(address, "/"));
        eventually("the other asks", || cache.stats().misses == 2).await;
        gate.close();
        eventually("it is answered", || asking.is_finished()).await;
        handle.stop(true).await;
        asking.join().unwrap()
    })
}

#[test]
fn where_half_closed_connections_are_not_allowed_a_leader_that_leaves_passes_its_turn() {
    let answer = answer_after_the_leader_left(false);
    assert!(answer.ends_with("call 2"), "{answer}");
}

#[test]
fn where_they_are_allowed_its_handler_goes_on_for_the_others() {
    let answer = answer_after_the_leader_left(true);
    assert!(answer.ends_with("call 1"), "{answer}");
}
