//! Two instances of a site that share a remote tier: what one did is the other's as well.

use crate::support::{
    Answer, App, Ask, Policy, Reply, Settings, Site, eventually, minutes, pass, seconds,
};
use cache_core::remote::Fake;
use futures_util::future::join_all;
use std::time::Duration;

/// Two instances, each with a link of its own. Their handlers, and the counts of their calls, are the same.
struct Fleet {
    links: [Fake; 2],
    apps: [App; 2],
}

impl Fleet {
    fn of(site: &Site) -> Self {
        let first = Fake::new();
        let links = [first.another(), first.another()];
        let apps = links.each_ref().map(|link| {
            let settings = Settings {
                remote: Some(link.clone()),
                ..site.settings.clone()
            };
            site.clone().settings(settings).start()
        });
        links.iter().for_each(Fake::beat);
        Self { links, apps }
    }

    /// Handlers that answer with the number of the call.
    fn counting(policy: Policy) -> Self {
        Self::of(&Site::replying(policy, |ask| {
            Reply::text(ask.call.to_string())
        }))
    }

    /// As [`counting`](Self::counting), each after a second.
    fn slow(policy: Policy, reply: impl Fn(&Ask) -> Reply + Clone + Send + Sync + 'static) -> Self {
        Self::of(&Site::of(policy, move |ask: Ask| {
            let reply = reply.clone();
            async move {
                tokio::time::sleep(seconds(1)).await;
                reply(&ask)
            }
        }))
    }

    fn calls(&self) -> u64 {
        self.apps[0].calls()
    }

    /// What each instance answers, in turn.
    async fn all_get(&self, path: &str, expected: &str) {
        for app in &self.apps {
            assert_eq!(app.get(path).send().await.text(), expected);
        }
    }

    /// So many callers of each instance, at once.
    async fn crowd(&self, each: usize) -> Vec<Answer> {
        let callers = self
            .apps
            .iter()
            .flat_map(|app| (0..each).map(|_| app.get("/x").send()));
        join_all(callers).await
    }

    async fn done(self) {
        for app in &self.apps {
            app.done().await;
        }
        let pending = || self.links.iter().all(|link| link.leases() == 0);
        pass(Duration::from_millis(500)).await;
        eventually("no lease is left", pending).await;
    }
}

fn policy() -> Policy {
    Policy::ttl(minutes(5))
}

pub(crate) async fn lck_01_what_one_instance_stored_is_a_hit_of_the_other() {
    let fleet = Fleet::counting(policy());
    let [a, b] = &fleet.apps;
    let stored = a.get("/x").send().await;
    assert!(stored.cache().contains("stored"), "{}", stored.cache());
    let found = b.get("/x").send().await;
    assert_eq!((found.text(), fleet.calls()), ("1", 1));
    assert!(found.cache().contains(";hit"), "{}", found.cache());
    assert_eq!(b.stats().remote_hits, 1);
    assert_eq!(b.get("/x").send().await.text(), "1");
    assert_eq!(b.stats().remote_hits, 1, "by then from memory");
    fleet.done().await;
}

/// Each shape of an answer can be had of what another instance stored.
pub(crate) async fn lck_01_what_one_instance_stored_the_other_gives_in_every_shape() {
    let fleet = Fleet::of(&Site::replying(policy(), |_| {
        Reply::text("0123456789").header("etag", "\"1\"")
    }));
    let [a, b] = &fleet.apps;
    assert_eq!(a.get("/x").send().await.text(), "0123456789");
    let part = b.get("/x").header("range", "bytes=2-4").send().await;
    assert_eq!((part.status.as_u16(), part.text()), (206, "234"));
    let same = b.get("/x").header("if-none-match", "\"1\"").send().await;
    assert_eq!((same.status.as_u16(), same.text()), (304, ""));
    let head = b.head("/x").send().await;
    assert_eq!((head.header("content-length"), head.text()), ("10", ""));
    assert_eq!(fleet.calls(), 1);
    fleet.done().await;
}

pub(crate) async fn asy_05_many_at_both_instances_are_one_call() {
    let fleet = Fleet::slow(policy(), |ask| Reply::text(ask.call.to_string()));
    for answer in fleet.crowd(50).await {
        assert_eq!(answer.text(), "1");
    }
    assert_eq!(fleet.calls(), 1);
    fleet.done().await;
}

/// Of all who wait one tries again; then all get the failure, and who comes after it makes a new call.
pub(crate) async fn asy_05_a_failure_is_shared_by_both_instances_after_one_more_try() {
    let fleet = Fleet::slow(policy(), |ask| {
        let reply = Reply::text(ask.call.to_string());
        if ask.call > 2 {
            reply
        } else {
            reply.status(500)
        }
    });
    let answers = fleet.crowd(50).await;
    let of_origin = answers.iter().filter(|answer| answer.status == 500).count();
    let of_cache = answers.iter().filter(|answer| answer.status == 503).count();
    assert_eq!((of_origin, of_cache, fleet.calls()), (2, 98, 2));
    for answer in fleet.crowd(1).await {
        assert_eq!(answer.text(), "3");
    }
    assert_eq!(fleet.calls(), 3);
    fleet.done().await;
}

pub(crate) async fn asy_01_when_a_leader_leaves_the_other_instance_takes_its_turn() {
    let fleet = Fleet::slow(policy(), |ask| Reply::text(ask.call.to_string()));
    let [a, b] = &fleet.apps;
    let leaves = tokio::time::timeout(Duration::from_millis(500), a.get("/x").send());
    let (left, answer) = tokio::join!(leaves, b.get("/x").send());
    assert!(left.is_err());
    assert!(["1", "2"].contains(&answer.text()), "{answer:?}");
    assert!(fleet.calls() <= 2);
    fleet.done().await;
}

pub(crate) async fn sto_37_an_update_at_one_instance_is_seen_at_the_other() {
    let fleet = Fleet::counting(policy());
    fleet.all_get("/x", "1").await;
    let [a, b] = &fleet.apps;
    assert_eq!(a.put("/x").send().await.text(), "2");
    assert_eq!(b.get("/x").send().await.text(), "3");
    fleet.all_get("/x", "3").await;
    fleet.done().await;
}

/// COR-07 over two instances.
pub(crate) async fn sto_37_a_load_that_an_update_elsewhere_overtook_is_stored_nowhere() {
    let fleet = Fleet::of(&Site::of(policy(), |ask: Ask| async move {
        if ask.call == 1 {
            tokio::time::sleep(seconds(1)).await;
        }
        Reply::text(ask.call.to_string())
    }));
    let [a, b] = &fleet.apps;
    let update = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        b.put("/x").send().await
    };
    let (old, _) = tokio::join!(a.get("/x").send(), update);
    assert_eq!(old.text(), "1", "it came before the update");
    fleet.all_get("/x", "3").await;
    fleet.done().await;
}

pub(crate) async fn adm_05_groups_uris_and_all_are_purged_in_both_instances() {
    let fleet = Fleet::counting(policy().group("users"));
    let [a, b] = &fleet.apps;
    fleet.all_get("/x", "1").await;
    a.purger().group("users").await;
    fleet.all_get("/x", "2").await;
    let uri = "http://example.test/x".parse().unwrap();
    b.purger().uri(&uri).await;
    fleet.all_get("/x", "3").await;
    a.purger().all().await;
    fleet.all_get("/x", "4").await;
    fleet.done().await;
}

pub(crate) async fn var_01_variants_of_one_instance_are_found_by_the_other() {
    let fleet = Fleet::of(&Site::replying(policy(), |ask| {
        let text = format!("{} {}", ask.header("x-kind"), ask.call);
        Reply::text(text).header("vary", "x-kind")
    }));
    let [a, b] = &fleet.apps;
    let get = async |app: &App, kind| {
        let answer = app.get("/x").header("x-kind", kind).send().await;
        answer.text().to_owned()
    };
    assert_eq!(get(a, "tea").await, "tea 1");
    assert_eq!(get(b, "cocoa").await, "cocoa 2");
    for app in [a, b] {
        assert_eq!(get(app, "tea").await, "tea 1");
        assert_eq!(get(app, "cocoa").await, "cocoa 2");
    }
    assert_eq!(fleet.calls(), 2);
    fleet.done().await;
}

/// Neither the private nor what sets a cookie, nor the answer to credentials.
pub(crate) async fn sto_01_what_is_one_clients_is_in_no_remote_tier() {
    let fleet = Fleet::of(&Site::replying(policy(), |ask| {
        let reply = Reply::text(format!("canary {}", ask.call));
        match ask.uri.path() {
            "/cookie" => reply.header("set-cookie", "a=b"),
            "/private" => reply.control("private"),
            "/no-store" => reply.control("no-store"),
            _ => reply,
        }
    }));
    let [a, b] = &fleet.apps;
    let mut calls = 0;
    for path in ["/cookie", "/private", "/no-store", "/authorized"] {
        for app in [a, b] {
            calls += 1;
            let asked = app.get(path).header("authorization", "Bearer canary");
            assert_eq!(asked.send().await.text(), format!("canary {calls}"));
        }
    }
    assert!(fleet.links[0].keys().is_empty());
    fleet.done().await;
}

pub(crate) async fn rds_01_without_the_remote_tier_each_instance_is_by_itself() {
    let fleet = Fleet::counting(policy());
    let [a, b] = &fleet.apps;
    fleet.all_get("/x", "1").await;
    fleet.links.iter().for_each(|link| link.set_down(true));
    assert_eq!(a.get("/y").send().await.text(), "2");
    assert_eq!(b.get("/y").send().await.text(), "3");
    assert_eq!(a.get("/y").send().await.text(), "2");
    assert_eq!(a.put("/y").send().await.text(), "4");
    assert_eq!(a.get("/y").send().await.text(), "5");
    fleet.links.iter().for_each(|link| link.set_down(false));
    // What was updated meanwhile is removed there first.
    pass(seconds(1)).await;
    fleet.all_get("/z", "6").await;
    fleet.done().await;
}

/// ASY-19 over two instances: one refreshes, both give out what is stale until then.
pub(crate) async fn asy_19_one_of_two_instances_refreshes() {
    let swr = Policy::ttl(seconds(10)).stale_while_revalidate(minutes(5));
    let fleet = Fleet::slow(swr, |ask| Reply::text(ask.call.to_string()));
    fleet.all_get("/x", "1").await;
    // Who stored it was told of that, and reads it once more.
    fleet.all_get("/x", "1").await;
    for _ in 0..22 {
        pass(Duration::from_millis(500)).await;
        fleet.links.iter().for_each(Fake::beat);
    }
    for _ in 0..5 {
        fleet.all_get("/x", "1").await;
    }
    eventually("a refresh begins", || fleet.calls() == 2).await;
    pass(seconds(1)).await;
    for app in &fleet.apps {
        app.settled().await;
    }
    fleet.all_get("/x", "2").await;
    assert_eq!(fleet.calls(), 2);
    fleet.done().await;
}
