//! Where the demonstration takes place: it sends requests, counts queries, and checks each line that
//! it prints.

use super::{database::Database, table::Line};
use crate::{
    client::{Answer, Client, Content, get_at_once},
    lines::Lines,
};
use cache_axum::Stats;
use hyper::Method;
use serde_json::Value;
use std::{
    iter::repeat_n,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// The counts of a cache, of whichever framework.
pub(crate) type Counted<'a> = &'a dyn Fn() -> Stats;

pub(crate) struct Stage<'a> {
    client: Client,
    pub(crate) database: Database,
    pub(crate) counted: Counted<'a>,
    /// The requests so far that the cache saw.
    pub(crate) requests: usize,
    pub(crate) lines: Lines,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(address: SocketAddr, database: Database, counted: Counted<'a>) -> Self {
        Self {
            client: Client::new(address, &address.to_string()),
            database,
            counted,
            requests: 0,
            lines: Lines::default(),
        }
    }

    /// What the cache counted so far.
    pub(crate) fn stats(&self) -> Stats {
        (self.counted)()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Shown, String> {
        self.send(&Method::GET, path, "").await
    }

    /// As [`get`](Self::get), so many times one after another.
    pub(crate) async fn get_in_turn(&mut self, count: usize, path: &str) -> Result<Shown, String> {
        let queries = self.database.queries();
        let mut answers = Vec::new();
        for _ in 0..count {
            answers.push(self.client.get(path).await?);
        }
        Ok(self.shown(&Method::GET, path, answers, queries))
    }

    /// As [`get`](Self::get), so many times at once; the time is that of all of them.
    pub(crate) async fn get_at_once(&mut self, count: usize, path: &str) -> Result<Shown, String> {
        let (queries, began) = (self.database.queries(), Instant::now());
        let answers = get_at_once(repeat_n(&self.client, count), path).await?;
        let time = began.elapsed();
        Ok(Shown {
            time,
            ..self.shown(&Method::GET, path, answers, queries)
        })
    }

    pub(crate) async fn send(
        &mut self,
        method: &Method,
        path: &str,
        content: impl Into<Content>,
    ) -> Result<Shown, String> {
        let queries = self.database.queries();
        let answer = self.client.send(method, path, content).await?;
        Ok(self.shown(method, path, vec![answer], queries))
    }

    fn shown(
        &mut self,
        method: &Method,
        path: &str,
        answers: Vec<Answer>,
        queries: usize,
    ) -> Shown {
        let is_cached = !path.starts_with("/admin");
        self.requests += if is_cached { answers.len() } else { 0 };
        Shown {
            request: format!("{method} {path}"),
            time: median(&answers),
            answers,
            queries: self.database.queries() - queries,
        }
    }

    /// Prints what came back, and whether it is what it must be.
    pub(crate) fn show(&mut self, shown: &Shown, checks: &[(&str, bool)]) {
        let line = Line {
            request: &shown.request,
            answers: &shown.answers,
            time: shown.time,
            queries: shown.queries,
        };
        self.lines.check(&line.to_string(), checks);
    }
}

/// What came of a request, or of many of the same.
pub(crate) struct Shown {
    request: String,
    pub(crate) answers: Vec<Answer>,
    pub(crate) time: Duration,
    /// Those that ran meanwhile.
    pub(crate) queries: usize,
}

impl Shown {
    pub(crate) fn all(&self, holds: impl Fn(&Answer) -> bool) -> bool {
        self.answers.iter().all(holds)
    }

    pub(crate) fn count(&self, holds: impl Fn(&Answer) -> bool) -> usize {
        self.answers.iter().filter(|answer| holds(answer)).count()
    }

    /// The first body.
    pub(crate) fn body(&self) -> &str {
        self.answers.first().map_or("", |answer| &answer.body)
    }

    /// A text in the first body.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        Some(self.field(name)?.as_str()?.to_owned())
    }

    /// A number in the first body.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.as_u64()
    }

    fn field(&self, name: &str) -> Option<Value> {
        let body: Value = serde_json::from_str(self.body()).ok()?;
        body.get(name).cloned()
    }
}

/// Waits until the counts of a cache show that something happened, or this long.
pub(crate) async fn until(
    counted: Counted<'_>,
    longest: Duration,
    has_happened: impl Fn(Stats) -> bool,
) {
    let began = Instant::now();
    while !has_happened(counted()) && began.elapsed() < longest {
        sleep(Duration::from_millis(5)).await;
    }
}

fn median(answers: &[Answer]) -> Duration {
    let mut times: Vec<_> = answers.iter().map(|answer| answer.time).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
