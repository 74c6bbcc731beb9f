//! `http::admit`: what is stored, and on what terms.

use super::text::{fields, names, now, policy, seconds};
use cache_tower::{
    Profile,
    http::{
        admit::{Admission, Received, Terms, admit},
        request::RequestFacts,
        response::{Reading, ResponseFacts},
    },
};
use http::StatusCode;
use serde::Deserialize;

/// A request, the response to it, and the cache between.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Exchange {
    pub(super) method: String,
    pub(super) uri: String,
    pub(super) request: Vec<String>,
    pub(super) has_body: bool,
    pub(super) status: u16,
    pub(super) response: Vec<String>,
    pub(super) policy: Vec<String>,
    /// The targeted fields that the cache looks for.
    pub(super) targets: Vec<String>,
    /// In seconds, from the request to the response.
    pub(super) delay: u64,
    /// In bytes.
    pub(super) max_body: u64,
    pub(super) groups_known: bool,
    /// In the table of terms: which of them.
    pub(super) term: String,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            uri: "/".to_owned(),
            request: Vec::new(),
            has_body: false,
            status: 200,
            response: Vec::new(),
            policy: Vec::new(),
            targets: Vec::new(),
            delay: 0,
            max_body: 1024,
            groups_known: true,
            term: String::new(),
        }
    }
}

impl Exchange {
    pub(super) fn admission(&self, profile: Profile) -> Admission {
        let received = Received {
            at: now(),
            delay: seconds(self.delay),
            max_body: self.max_body,
            groups_known: self.groups_known,
        };
        admit(
            &self.request_facts(profile),
            &self.response_facts(profile),
            &policy(&self.policy, profile),
            received,
        )
    }

    fn request_facts(&self, profile: Profile) -> RequestFacts {
        RequestFacts::read(
            &self.method.parse().expect("a method"),
            &self.uri.parse().expect("a URI"),
            &fields(&self.request),
            self.has_body,
            profile,
        )
    }

    fn response_facts(&self, profile: Profile) -> ResponseFacts {
        let reading = Reading {
            profile,
            targets: &names(&self.targets),
            received: now(),
        };
        let status = StatusCode::from_u16(self.status).expect("a status");
        ResponseFacts::read(status, &fields(&self.response), reading)
    }

    /// What `say` says of the terms, or why there are none.
    fn told(&self, profile: Profile, say: impl FnOnce(&Terms) -> String) -> String {
        match self.admission(profile) {
            Admission::Store(terms) => say(&terms),
            Admission::Pass(pass) => format!("passed on: {}", pass.as_str()),
        }
    }
}

pub(super) fn stored(exchange: &Exchange, profile: Profile) -> String {
    exchange.told(profile, |_| "stored".to_owned())
}

pub(super) fn lifetime(exchange: &Exchange, profile: Profile) -> String {
    exchange.told(profile, |terms| {
        let (fresh, overdue) = (terms.life.fresh.as_secs(), terms.nature.overdue.as_secs());
        match (fresh, overdue) {
            (0, 0) => "not fresh".to_owned(),
            (0, overdue) => format!("stale for {overdue} s"),
            (fresh, _) => format!("fresh for {fresh} s"),
        }
    })
}

pub(super) fn windows(exchange: &Exchange, profile: Profile) -> String {
    exchange.told(profile, |terms| {
        let (revalidate, error) = (
            terms.life.stale_while_revalidate.as_secs(),
            terms.life.stale_if_error.as_secs(),
        );
        match (revalidate, error) {
            (0, 0) => "no window".to_owned(),
            (revalidate, 0) => format!("{revalidate} s while revalidating"),
            (0, error) => format!("{error} s on error"),
            (revalidate, error) => format!("{revalidate} s while revalidating, {error} s on error"),
        }
    })
}

pub(super) fn age(exchange: &Exchange, profile: Profile) -> String {
    exchange.told(profile, |terms| {
        format!("{} s old", terms.nature.initial_age.as_secs())
    })
}

/// One of the terms, as words.
pub(super) fn term(exchange: &Exchange, profile: Profile) -> String {
    let whether = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let list = |names: &[http::HeaderName]| {
        let names: Vec<&str> = names.iter().map(http::HeaderName::as_str).collect();
        names.join(", ")
    };
    exchange.told(profile, |terms| match exchange.term.as_str() {
        "forbids stale" => whether(terms.nature.forbids_stale),
        "for requests with credentials" => whether(terms.nature.shared_with_credentials),
        "immutable" => whether(terms.nature.immutable),
        "targeted" => whether(terms.nature.is_targeted),
        "for those who wait" => whether(terms.shared_at_once),
        "selecting fields" => list(&terms.vary),
        "withheld fields" => list(&terms.withheld),
        "part" => terms
            .part
            .map_or("all of it".to_owned(), |part| part.to_string()),
        "length" => terms
            .length
            .map_or("any".to_owned(), |length| format!("{length} bytes")),
        other => panic!("`{other}` is no term"),
    })
}
