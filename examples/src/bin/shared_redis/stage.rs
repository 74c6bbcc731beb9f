//! Where the demonstration takes place: it sends requests, counts calls of the handlers, and checks each
//! line that it prints.

use crate::service::{Rates, Shop};
use axum::http::Method;
use cache_axum::HttpCache;
use examples::{
    client::{Answer, Client, get_at_once},
    lines::{Lines, MARGIN},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

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
    /// One of each instance; they know both by one name, as behind a load balancer.
    clients: [Client; 2],
    pub(crate) lines: Lines,
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
        self.all(|answer| answer.is(body))
    }
}

impl Stage {
    pub(crate) fn new(instances: [Instance; 2], shop: Arc<Shop>) -> Self {
        let client = |instance: &Instance| Client::new(instance.address, shop.host());
        Self {
            clients: instances.each_ref().map(client),
            instances,
            shop,
            lines: Lines::default(),
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
        let [a, b] = &self.clients;
        let (name, client) = match at {
            At::A => ("A", a),
            At::B => ("B", b),
        };
        let answer = client.send(method, path, text).await?;
        Ok(Shown {
            what: format!("{method} {path} at {name}"),
            answers: vec![answer],
            calls: self.shop.calls() - before,
        })
    }

    /// So many at once, half of them at each instance.
    pub(crate) async fn crowd(&self, count: usize, path: &str) -> Result<Shown, String> {
        let before = self.shop.calls();
        let clients = self.clients.iter().cycle().take(count);
        let answers = get_at_once(clients, path).await?;
        Ok(Shown {
            what: format!("{count} x GET {path} at both"),
            answers,
            calls: self.shop.calls() - before,
        })
    }

    /// Prints what came back, marked by whether it is what it must be, and what is not.
    pub(crate) fn show(&mut self, shown: &Shown, checks: &[(&str, bool)]) {
        let calls = match shown.calls {
            1 => "1 call".to_owned(),
            many => format!("{many} calls"),
        };
        let field = match shown.answers.as_slice() {
            [answer] => &*answer.cache_status,
            _ => "",
        };
        let line = format!("{:<34} {calls:<8} {field}", shown.what);
        self.lines.check(&line, checks);
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
}
