//! What a hit adds through actix-web beside what it adds through axum, in instructions: what a request to a
//! route with a layer takes that is answered out of the store, less what one takes to the same route
//! without a layer, whose handler answers with nothing. Counted by callgrind, in processes of their own.

use super::FIELDS;
use actix_web::{
    App, HttpResponse,
    body::MessageBody,
    dev::Service as _,
    test::{TestRequest, init_service},
    web,
};
use axum::{Router, routing::get};
use cache_tower::{Policy, hours};
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body::Body;
use std::{
    future::poll_fn,
    hint::black_box,
    pin::pin,
    process::{Command, ExitCode, Stdio},
};
use tests::figure::Figure;
use tower::Service as _;

/// So many requests are counted; some before that are not, while memory comes to rest.
const COUNTED: u64 = 500;
const BEFORE: u64 = 100;

const PATH: &str = "/users/42?full";

/// What clients send with each request.
const ASKED: [(&str, &str); 6] = [
    ("host", "example.test"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
    ("accept", "application/json, text/plain, */*"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-language", "de, en;q=0.7"),
    ("referer", "http://example.test/users"),
];

pub(crate) fn measure() -> Figure {
    let added = |framework| {
        added(framework).inspect(|added| println!("{framework}: a hit adds {added} instructions"))
    };
    match (added("axum"), added("actix")) {
        (Ok(axum), Ok(actix)) => Figure::at_most(1.5, "× what it adds through axum", actix / axum),
        (Err(problem), _) | (_, Err(problem)) => {
            eprintln!("error: {problem}");
            Figure::at_most(1.5, "× what it adds through axum", f64::NAN)
        }
    }
}

fn added(framework: &str) -> Result<f64, String> {
    Ok(per_request(framework, "hit")? - per_request(framework, "bare")?)
}

fn per_request(framework: &str, what: &str) -> Result<f64, String> {
    let some = instructions(framework, what, BEFORE)?;
    let more = instructions(framework, what, BEFORE + COUNTED)?;
    Ok((more - some) / COUNTED as f64)
}

/// The instructions of this program, run to send so many requests.
fn instructions(framework: &str, what: &str, requests: u64) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--send", framework, what, &requests.to_string()])
        .stdout(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind, which counts, does not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    let count = collected.and_then(|(_, count)| count.trim().parse().ok());
    count
        .filter(|_| output.status.success())
        .ok_or_else(|| format!("callgrind counted nothing: {said}"))
}

/// Sends requests, in a process of its own.
pub(crate) fn send(arguments: &[String]) -> ExitCode {
    let [framework, what, requests] = arguments else {
        return ExitCode::from(2);
    };
    let requests = requests.parse().unwrap_or(0);
    match framework.as_str() {
        "redis" => super::redis::send(what, requests),
        "axum" => through_axum(what == "hit", requests),
        _ => actix_web::rt::System::new().block_on(through_actix(what == "hit", requests)),
    }
    ExitCode::SUCCESS
}

fn policy() -> Policy {
    Policy::ttl(hours(1)).group("user:{id}")
}

fn through_axum(is_hit: bool, requests: u64) {
    let show = async || {
        let mut response = http::Response::new(axum::body::Body::from(vec![b'x'; 1024]));
        for (name, value) in FIELDS {
            let name = HeaderName::from_static(name);
            response
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
        response
    };
    let cache = cache_axum::HttpCache::new();
    let route = match is_hit {
        true => get(show).layer(cache.policy(policy())),
        false => get(async || StatusCode::OK),
    };
    let mut app: Router = Router::new().route("/users/{id}", route);
    let mut call = || {
        let mut request = Request::get(PATH);
        for (name, value) in ASKED {
            request = request.header(name, value);
        }
        let request = request.body(axum::body::Body::empty());
        let request = request.expect("it is well formed");
        let Some(Ok(response)) = app.call(request).now_or_never() else {
            return;
        };
        let (parts, body) = response.into_parts();
        let mut body = pin!(body);
        while let Some(Some(frame)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).now_or_never() {
            black_box(frame.is_ok());
        }
        black_box(parts);
    };
    (0..requests).for_each(|_| call());
    assert!(
        !is_hit || cache.stats().hits == requests - 1,
        "all but one are hits"
    );
}

async fn through_actix(is_hit: bool, requests: u64) {
    let show = async || {
        let mut response = HttpResponse::Ok();
        for field in FIELDS {
            response.append_header(field);
        }
        response.body(vec![b'x'; 1024])
    };
    let cache = cache_actix::HttpCache::new();
    let resource = web::resource("/users/{id}");
    let app = match is_hit {
        true => App::new().service(resource.wrap(cache.policy(policy())).get(show)),
        false => App::new().service(resource.get(async || HttpResponse::Ok())),
    };
    let app = init_service(app).await;
    let call = || {
        let mut request = TestRequest::get().uri(PATH);
        for field in ASKED {
            request = request.append_header(field);
        }
        let Some(Ok(response)) = app.call(request.to_request()).now_or_never() else {
            return;
        };
        let (parts, body) = response.into_parts();
        let (head, body) = body.into_parts();
        let mut body = pin!(body);
        while let Some(Some(data)) = poll_fn(|cx| body.as_mut().poll_next(cx)).now_or_never() {
            black_box(data.is_ok());
        }
        black_box((parts, head));
    };
    (0..requests).for_each(|_| call());
    assert!(
        !is_hit || cache.stats().hits == requests - 1,
        "all but one are hits"
    );
}
