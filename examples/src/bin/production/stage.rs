//! Where the demonstration takes place: it sends requests, counts calls of the handlers, and checks each
//! line that it prints.

use crate::shop::Shop;
use axum::http::Method;
use examples::{
    client::{Answer, Client},
    lines::Lines,
};
use std::{net::SocketAddr, sync::Arc};

/// An instance of the service, and those who watch it.
pub(crate) struct Stage {
    pub(crate) shop: Arc<Shop>,
    pub(crate) client: Client,
    pub(crate) sent: Sent,
    pub(crate) lines: Lines,
}

/// Requests so far, as the caches have to have counted them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sent {
    /// To routes with a layer.
    pub(crate) to_layers: u32,
    /// Of those, answered by a hit.
    pub(crate) hits: u32,
    /// Carts asked for.
    pub(crate) for_carts: u32,
}

/// What came of a request.
pub(crate) struct Shown {
    what: String,
    pub(crate) answer: Answer,
    /// Of the handlers, meanwhile.
    pub(crate) calls: usize,
}

impl Shown {
    /// Whether nobody was asked, and Cache-Status says so.
    pub(crate) fn is_hit_of(&self, body: &str) -> bool {
        self.answer.is(body) && self.answer.says("hit") && self.calls == 0
    }

    /// Whether the service was asked. That its answer is stored, the next request shows.
    pub(crate) fn is_miss_of(&self, body: &str) -> bool {
        self.answer.is(body) && self.answer.says("fwd=uri-miss") && self.calls == 1
    }
}

impl Stage {
    pub(crate) fn new(address: SocketAddr, host: &str, shop: Arc<Shop>) -> Self {
        Self {
            shop,
            client: Client::new(address, host),
            sent: Sent::default(),
            lines: Lines::default(),
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Shown, String> {
        self.send(&Method::GET, path, "").await
    }

    pub(crate) async fn send(
        &mut self,
        method: &Method,
        path: &str,
        text: &str,
    ) -> Result<Shown, String> {
        let before = self.shop.calls();
        let answer = self.client.send(method, path, text).await?;
        self.count(method, path, &answer);
        Ok(Shown {
            what: format!("{method} {path}"),
            answer,
            calls: self.shop.calls() - before,
        })
    }

    pub(crate) fn count(&mut self, method: &Method, path: &str, answer: &Answer) {
        let is_cart = path.ends_with("/cart");
        let is_layered = !is_cart && path.matches('/').count() > 1 || path == "/features";
        self.sent.to_layers += u32::from(is_layered);
        self.sent.hits += u32::from(answer.says("hit"));
        self.sent.for_carts += u32::from(is_cart && method == Method::GET);
    }

    /// Prints what came back, marked by whether it is what it must be, and what is not.
    pub(crate) fn show(&mut self, shown: &Shown, checks: &[(&str, bool)]) {
        let calls = match shown.calls {
            1 => "1 call".to_owned(),
            many => format!("{many} calls"),
        };
        let line = format!(
            "{:<34} {} {calls:<8} {}",
            shown.what,
            shown.answer.status.as_u16(),
            shown.answer.cache_status
        );
        self.check(line.trim_end(), checks);
    }

    /// The same for what is no request.
    pub(crate) fn check(&mut self, line: &str, checks: &[(&str, bool)]) {
        self.lines.check(line, checks);
    }
}
