//! What the variables change about a policy, a store, a remote tier.

use super::{
    Config, Tiers, Warning,
    form::Value,
    problem,
    table::{
        EARLY_REFRESH, ENABLED, FAILURE_PAUSE, FAILURE_PAUSE_MAX, JITTER, LEASE, MAX_STALENESS,
        MEMORY_SIZE, OF_REMOTE, REDIS_URL, REMOTE_BUDGET, STALE_IF_ERROR, STALE_WHILE_REVALIDATE,
        URL, WAIT_LIMIT, WORK_DEADLINE,
    },
};
use crate::{Policy, remote::RemoteSettings};
use std::{net::IpAddr, time::Duration};

impl Config {
    /// A policy as the variables have it: of what they say the policy's own setting is replaced, the
    /// lifetime only by that of its [class](Policy::class), or where it names none. A possible policy
    /// stays possible: with a lifetime of 0 from here stale windows are dropped.
    #[must_use]
    pub fn policy(&self, policy: Policy) -> Policy {
        let of_class = policy.class_name().and_then(|class| self.ttl(class));
        let or_default = || {
            policy
                .own_ttl()
                .is_none()
                .then(|| self.default_ttl())
                .flatten()
        };
        let ttl = of_class.or_else(or_default);
        let windows = [
            self.time(&STALE_WHILE_REVALIDATE),
            self.time(&STALE_IF_ERROR),
        ];
        let says = ttl.is_some() || windows.iter().any(Option::is_some);
        let policy = set(policy, ttl, Policy::with_ttl);
        let [revalidate, error] = windows;
        let policy = set(policy, revalidate, Policy::stale_while_revalidate);
        let policy = set(policy, error, Policy::stale_if_error);
        let policy = set(policy, self.decimal(&JITTER), Policy::jitter);
        let policy = set(policy, self.decimal(&EARLY_REFRESH), Policy::early_refresh);
        let policy = set(policy, self.time(&WORK_DEADLINE), Policy::work_deadline);
        let policy = set(policy, self.time(&WAIT_LIMIT), Policy::wait_limit);
        let policy = self.pauses(policy);
        if says { policy.possible() } else { policy }
    }

    /// The one pause that is set wins over the other that is not.
    fn pauses(&self, policy: Policy) -> Policy {
        let (first, longest) = policy.pauses();
        match (self.time(&FAILURE_PAUSE), self.time(&FAILURE_PAUSE_MAX)) {
            (None, None) => policy,
            (Some(first), None) => policy.failure_pause(first, longest.max(first)),
            (None, Some(longest)) => policy.failure_pause(first.min(longest), longest),
            (Some(first), Some(longest)) => policy.failure_pause(first.min(longest), longest),
        }
    }

    /// How the remote tier is used.
    pub(crate) fn remote_settings(&self, settings: RemoteSettings) -> RemoteSettings {
        let settings = set(settings, self.time(&REMOTE_BUDGET), RemoteSettings::budget);
        let settings = set(settings, self.time(&LEASE), RemoteSettings::lease);
        set(
            settings,
            self.time(&MAX_STALENESS),
            RemoteSettings::max_staleness,
        )
    }

    /// What memory may hold.
    pub(crate) fn capacity(&self) -> Option<u64> {
        self.number(&MEMORY_SIZE)
    }
}

fn set<S, T>(settings: S, value: Option<T>, setter: impl FnOnce(S, T) -> S) -> S {
    match value {
        Some(value) => setter(settings, value),
        None => settings,
    }
}

/// The warning that is only known when all policies have been made.
pub(super) const UNNAMED: &str = "W005";

/// In the order of their codes.
pub(super) fn warnings(config: &Config) -> Vec<Warning> {
    let found = [
        stale_without_lifetime(config),
        staler_than_lifetime(config),
        without_remote(config),
        large_budget(config),
        unnamed_classes(config),
        disabled(config),
        plain_password(config),
        long_wait(config),
    ];
    found.into_iter().flatten().collect()
}

/// The names and lifetimes that are set.
fn lifetimes(config: &Config) -> Vec<(String, Duration)> {
    let of_class = |(class, ttl): (&String, &Duration)| (problem::of_class(class), *ttl);
    let classes = config.0.classes.iter().map(of_class);
    let default = config
        .default_ttl()
        .map(|ttl| ("CACHE_TTL_DEFAULT".to_owned(), ttl));
    default.into_iter().chain(classes).collect()
}

fn stale_without_lifetime(config: &Config) -> Option<Warning> {
    let windows = [&STALE_WHILE_REVALIDATE, &STALE_IF_ERROR];
    let lasts =
        |window: &&&super::Variable| config.time(window).is_some_and(|time| !time.is_zero());
    let window = windows.iter().find(lasts)?.name;
    let all = lifetimes(config);
    let (name, _) = all.iter().find(|(_, ttl)| ttl.is_zero())?;
    Some(Warning::new(
        "W001",
        window,
        format!("{window} is set, but {name} is 0, so that nothing is stored that could go stale"),
    ))
}

fn staler_than_lifetime(config: &Config) -> Option<Warning> {
    let bound = config.time(&MAX_STALENESS)?;
    let all = lifetimes(config);
    let (name, _) = all.iter().find(|(_, ttl)| !ttl.is_zero() && *ttl < bound)?;
    Some(Warning::new(
        "W002",
        MAX_STALENESS.name,
        format!(
            "CACHE_L1_MAX_STALENESS is longer than {name}: without Redis memory may be out of date for all of that lifetime"
        ),
    ))
}

fn without_remote(config: &Config) -> Option<Warning> {
    let is_there = matches!(config.tiers(), Some(Tiers::Redis | Tiers::Tiered));
    let all = [&URL].into_iter().chain(OF_REMOTE);
    let set: Vec<&str> = all
        .filter(|row| !is_there && config.value(row).is_some())
        .map(|row| row.name)
        .collect();
    let names = set.join(", ");
    (!set.is_empty()).then(|| {
        Warning::new(
            "W003",
            set.first().copied().unwrap_or_default(),
            format!("{names}: set, but of no use without Redis; set CACHE_URL, and CACHE_TYPE to tiered or redis"),
        )
    })
}

fn large_budget(config: &Config) -> Option<Warning> {
    let budget = config.time(&REMOTE_BUDGET)?;
    (budget > Duration::from_secs(1)).then(|| {
        Warning::new(
            "W004",
            REMOTE_BUDGET.name,
            "CACHE_REMOTE_BUDGET is above a second: a frozen Redis costs each request as much",
        )
    })
}

fn unnamed_classes(config: &Config) -> Option<Warning> {
    let unnamed: Vec<String> = config
        .unnamed()
        .iter()
        .map(|class| problem::of_class(class))
        .collect();
    let names = unnamed.join(", ");
    (!unnamed.is_empty()).then(|| {
        Warning::new(
            UNNAMED,
            unnamed.first().cloned().unwrap_or_default(),
            format!("{names}: no policy has named this class so far"),
        )
    })
}

fn disabled(config: &Config) -> Option<Warning> {
    let shares = config.0.tiers.is_some_and(|tiers| tiers != Tiers::Memory);
    (shares && !config.is_enabled()).then(|| {
        Warning::new(
            "W006",
            ENABLED.name,
            "CACHE_ENABLED is false: what is changed through this process stays in the caches of others",
        )
    })
}

fn plain_password(config: &Config) -> Option<Warning> {
    let is_used = !matches!(config.tiers(), None | Some(Tiers::Memory));
    let used = [&URL, &REDIS_URL].into_iter().filter(|_| is_used);
    let (row, url) = used.into_iter().find_map(|row| match config.value(row) {
        Some(Value::Url(url)) => Some((row, url.as_str())),
        _ => None,
    })?;
    let (scheme, rest) = url.split_once("://")?;
    let is_plain = matches!(scheme.split('+').next(), Some("redis" | "valkey"));
    let (_, hosts) = rest.split_once('@')?;
    let end = hosts.find(['/', '?', '#']).unwrap_or(hosts.len());
    let (hosts, _) = hosts.split_at(end);
    let is_near = scheme.contains("unix") || hosts.split(',').all(is_this_machine);
    (is_plain && !is_near).then(|| {
        Warning::new(
            "W007",
            row.name,
            "the password in the URL of Redis goes to another machine without TLS; rediss:// is with",
        )
    })
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    let name = name.unwrap_or_default();
    let is_loopback = |address: IpAddr| address.is_loopback();
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
}

fn long_wait(config: &Config) -> Option<Warning> {
    let (wait, work) = (config.time(&WAIT_LIMIT)?, config.time(&WORK_DEADLINE)?);
    (wait > work).then(|| {
        Warning::new(
            "W008",
            WAIT_LIMIT.name,
            "CACHE_WAIT_LIMIT is longer than CACHE_WORK_DEADLINE: no load lasts that long",
        )
    })
}
