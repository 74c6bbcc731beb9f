//! Where the demonstration takes place: it sends requests, counts calls of the handlers, and checks each
//! line that it prints.

use crate::{
    client::{Answer, Client},
    service::{Rates, Shop},
};
use axum::http::Method;
use cache_axum::HttpCache;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep};

/// So wide is what stands before a line: whether it holds.
const MARGIN: usize = 10;

/// An instance of the service.
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    pub(crate) cache: HttpCache,
    pub(crate) rates: Rates,
}

impl Instance {
    /// Whether its caches are connected, and told what others change.
    fn shares(&self) -> bool {
        [self.cache.remote_stats(), self.rates.remote_stats()]
            .into_iter()
            .flatten()
            .all(|stats| stats.health.is_up() && stats.is_coherent)
    }

    /// How Redis is, in words.
    fn state(&self) -> String {
        match self.cache.remote_stats() {
            Some(stats) => format!("{:?}", stats.health.state),
            None => "there is none".to_owned(),
        }
    }
}

/// Which instance.
#[derive(Clone, Copy)]
pub(crate) enum At {
    A,
    B,
}

pub(crate) struct Stage {
    instances: [Instance; 2],
    shop: Arc<Shop>,
    client: Client,
    lines: usize,
    failed: usize,
}

/// What came of a request, or of many of the same.
pub(crate) struct Shown {
    what: String,
    pub(crate) answers: Vec<Answer>,
    /// Of the handlers, meanwhile.
    pub(crate) calls: usize,
}

impl Shown {
    pub(crate) fn all(&self, holds: impl Fn(&Answer) -> bool) -> bool {
        self.answers.iter().all(holds)
    }

    /// Whether all are 200 with this body.
    pub(crate) fn are(&self, body: &str) -> bool {
        self.all(|answer| answer.status.as_u16() == 200 && answer.body == body)
    }
}

impl Stage {
    pub(crate) fn new(instances: [Instance; 2], shop: Arc<Shop>) -> Self {
        Self {
            client: Client::new(shop.host()),
            instances,
            shop,
            lines: 0,
            failed: 0,
        }
    }

    fn address(&self, at: At) -> SocketAddr {
        let [a, b] = &self.instances;
        match at {
            At::A => a.address,
            At::B => b.address,
        }
    }

    pub(crate) async fn get(&self, at: At, path: &str) -> Result<Shown, String> {
        self.send(at, &Method::GET, path, "").await
    }

    pub(crate) async fn send(
        &self,
        at: At,
        method: &Method,
        path: &str,
        text: &str,
    ) -> Result<Shown, String> {
        let before = self.shop.calls();
        let answer = self
            .client
            .send(self.address(at), method, path, text)
            .await?;
        let name = match at {
            At::A => "A",
            At::B => "B",
        };
        Ok(Shown {
            what: format!("{method} {path} at {name}"),
            answers: vec![answer],
            calls: self.shop.calls() - before,
        })
    }

    /// So many at once, half of them at each instance.
    pub(crate) async fn crowd(&self, count: usize, path: &str) -> Result<Shown, String> {
        let before = self.shop.calls();
        let mut requests = JoinSet::new();
        for n in 0..count {
            let at = if n % 2 == 0 { At::A } else { At::B };
            let (client, address) = (self.client.clone(), self.address(at));
            let path = path.to_owned();
            requests.spawn(async move { client.send(address, &Method::GET, &path, "").await });
        }
        let answers: Result<_, _> = requests.join_all().await.into_iter().collect();
        Ok(Shown {
            what: format!("{count} x GET {path} at both"),
            answers: answers?,
            calls: self.shop.calls() - before,
        })
    }

    /// Prints what came back, marked by whether it is what it must be, and what is not.
    pub(crate) fn show(&mut self, shown: &Shown, checks: &[(&str, bool)]) {
        let is_ok = checks.iter().all(|(_, holds)| *holds);
        let mark = if is_ok { "   ok" } else { "   FAILED" };
        let calls = match shown.calls {
            1 => "1 call".to_owned(),
            many => format!("{many} calls"),
        };
        let field = match shown.answers.as_slice() {
            [answer] => &*answer.cache_status,
            _ => "",
        };
        println!("{mark:MARGIN$}{:<34} {calls:<8} {field}", shown.what);
        for (expected, _) in checks.iter().filter(|(_, holds)| !holds) {
            println!("{:MARGIN$}expected: {expected}", "");
        }
        self.lines += 1;
        self.failed += usize::from(!is_ok);
    }

    /// Waits until both instances are connected, and says how long that took.
    pub(crate) async fn until_shared(&self) -> Result<(), String> {
        let began = Instant::now();
        while !self.instances.iter().all(Instance::shares) {
            if began.elapsed() > Duration::from_secs(20) {
                let states = self.instances.iter().map(Instance::state);
                let states = states.collect::<Vec<_>>().join("; ");
                return Err(format!("Redis is not used after 20 seconds: {states}"));
            }
            sleep(Duration::from_millis(10)).await;
        }
        let took = began.elapsed().as_millis();
        println!("{:MARGIN$}both are connected after {took} ms", "");
        Ok(())
    }

    /// Whether all lines held.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        match self.failed {
            0 => Ok(()),
            failed => Err(format!(
                "{failed} of {} lines did not hold; they are marked FAILED above",
                self.lines
            )),
        }
    }
}
