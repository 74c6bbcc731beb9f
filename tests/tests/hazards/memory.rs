//! What it costs in memory, whatever is asked.

use crate::support::{Framework, Piece, Policy, Reply, Settings, Site, Time, Way, minutes, run};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body::Frame;
use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const MIB: u64 = 1 << 20;

fn small(capacity: u64) -> Settings {
    Settings {
        capacity: Some(capacity),
        max_body: Some(64 * 1024),
        ..Settings::default()
    }
}

pub(crate) async fn key_18_long_urls_stay_within_the_capacity() {
    let site = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(ask.uri.path().len().to_string())
    });
    let app = site.settings(small(2 * MIB)).start();
    for n in 0..2000 {
        let path = format!("/{n:0>7000}");
        assert_eq!(app.get(&path).send().await.text(), "7001");
        assert!(
            app.stats().bytes <= 2 * MIB + 2 * MIB / 20,
            "{:?}",
            app.stats()
        );
    }
    assert!(app.stats().entries > 50, "and use it: {:?}", app.stats());
    app.done().await;
}

pub(crate) async fn key_19_a_flood_of_new_urls_neither_outgrows_memory_nor_displaces_what_is_in_use()
 {
    const HOT: u32 = 200;
    const FLOOD: u32 = 20_000;
    let site = Site::replying(Policy::ttl(minutes(5)), |ask| {
        Reply::text(format!("{}{}", ask.uri, " ".repeat(1024)))
    });
    let app = site.settings(small(2 * MIB)).start();
    for n in (0..HOT).chain(0..HOT).chain(0..HOT) {
        app.get(&format!("/hot/{n}")).send().await;
    }
    let (hits, asked) = (app.stats().hits, AtomicUsize::new(0));
    let mut random = fastrand::Rng::with_seed(19);
    for n in 0..FLOOD {
        let path = format!("/?x={}", random.u64(..));
        assert!(app.get(&path).send().await.text().starts_with(&path));
        let hot = format!("/hot/{}", n % HOT);
        assert!(app.get(&hot).send().await.text().starts_with(&hot));
        asked.fetch_add(1, Ordering::Relaxed);
        if n % 100 == 0 {
            assert!(
                app.stats().bytes <= 2 * MIB + 2 * MIB / 20,
                "{:?}",
                app.stats()
            );
        }
    }
    let hits = app.stats().hits - hits;
    assert!(
        hits * 10 >= u64::from(FLOOD) * 9,
        "{hits} hits of {FLOOD} requests of the hot set"
    );
    app.done().await;
}

/// The greatest size in memory that this process ever had, in bytes.
fn high_water() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

const BODY: u64 = 256 * MIB;
const FRAME: usize = 64 * 1024;

async fn stream_through(control: &'static str, is_paused: bool) {
    let made = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&made);
    let app = Site::replying(Policy::from_headers(), move |ask| {
        if ask.uri.path() == "/small" {
            return Reply::text("small").control("max-age=60");
        }
        let counter = Arc::clone(&counter);
        let frames = stream::iter(0..BODY / FRAME as u64).then(move |n| {
            counter.fetch_add(1, Ordering::Relaxed);
            async move {
                if is_paused && n % 4 == 0 {
                    tokio::task::yield_now().await;
                }
                Ok(Frame::data(Bytes::from(vec![n as u8; FRAME])))
            }
        });
        Reply::stream(frames).control(control)
    })
    .start();
    app.get("/small").send().await;
    let before = high_water();
    let mut answer = app.get("/large").open().await;
    let mut length = answer.data().await.unwrap().unwrap().len() as u64;
    let most = 2 * MIB as usize / FRAME;
    assert!(
        made.load(Ordering::Relaxed) <= most,
        "the first byte does not wait for the others"
    );
    while let Some(data) = answer.data().await {
        length += data.unwrap().len() as u64;
    }
    assert_eq!(length, BODY);
    let growth = high_water() - before;
    assert!(
        growth <= 8 * MIB,
        "{control}: grew by {} KiB",
        growth / 1024
    );
    assert_eq!(
        (app.stats().stored, app.get("/small").send().await.text()),
        (1, "small")
    );
    app.done().await;
}

/// Run by the test below, in a process of its own, where no other test uses memory.
#[test]
#[ignore = "asy_22_… runs it in a process of its own"]
fn streams_in_a_process_of_its_own() {
    for framework in [Framework::Tower, Framework::Axum] {
        run(framework, Way::Call, Time::Real, streams());
    }
}

async fn streams() {
    for control in ["no-store", "public, max-age=60"] {
        for is_paused in [false, true] {
            stream_through(control, is_paused).await;
        }
    }
}

#[test]
fn asy_22_a_body_larger_than_what_is_kept_is_never_held_as_a_whole() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "memory::streams_in_a_process_of_its_own",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

pub(crate) async fn asy_22_a_small_slice_of_a_large_buffer_does_not_keep_the_buffer() {
    let app = Site::replying(Policy::ttl(minutes(5)), |_| {
        let buffer = Bytes::from(vec![b'x'; 1 << 20]);
        Reply::pieces(vec![Piece::Pause, Piece::data(buffer.slice(..100))])
    })
    .start();
    for n in 0..50 {
        assert_eq!(app.get(&format!("/{n}")).send().await.text().len(), 100);
        app.settled().await;
    }
    assert!(
        app.stats().bytes < MIB && app.stats().entries == 50,
        "{:?}",
        app.stats()
    );
    app.done().await;
}
