//! The environment: lines of a name, `=`, a value.

use super::text::cut;
use cache_tower::{Config, HttpCache, Policy, minutes};
use std::borrow::Cow;

pub(super) const SEEDS: &[&[u8]] = &[
    b"CACHE_TTL_DEFAULT=banana\nCACHE_ENABELD=1",
    b"CACHE_URL=redis://:canary@localhost:6379/0\nCACHE_TYPE=tiered",
    b"CACHE_TYPE=redis\nREDIS_URL=redis://u:can/ary@h",
    b"CACHE_ROUTES=/users/{id} ttl=1h group=user:{id}; /posts ttl=30m query=page; /admin/* off",
    b"CACHE_ROUTES=/img/{n}.png override_ttl=1d per_credential vary=accept profile=standard class=a",
    b"CACHE_TTL_SESSION=86400\nCACHE_TTL_DEFAULT=0\nCACHE_STALE_IF_ERROR=10m\nCACHE_JITTER=10%",
    b"CACHE_MEMORY_SIZE=64MiB\nCACHE_MAX_BODY=64KB\nCACHE_EARLY_REFRESH=1.5\nCACHE_STATUS=off",
    b"CACHE_POOL_MIN_SIZE=2\nCACHE_POOL_MAX_SIZE=3\nCACHE_PREFIX=a:\nCACHE_TARGETED_FIELDS=a,b",
    b"CACHE_FAILURE_PAUSE=9s\nCACHE_FAILURE_PAUSE_MAX=1\nCACHE_WAIT_LIMIT=99999999999999999999d",
];

pub(super) const WORDS: &[&[u8]] = &[
    b"CACHE_",
    b"CACHE_TTL_",
    b"CACHE_URL=",
    b"CACHE_ROUTES=",
    b"redis://",
    b"rediss://",
    b"unix://",
    b"canary",
    b":canary@",
    b"?pass=canary",
    b"ms",
    b"MiB",
    b"%",
    b"{id}",
    b"{*rest}",
    b"/*",
    b";",
    b" off",
    b" ttl=",
    b" group=",
    b" query=",
    b" vary=",
    b"none",
    b"18446744073709551616",
    b"=",
];

/// What holds of whatever an environment says: it is read or refused; no secret is printed; what is
/// printed reads back as the same; and layers can be made of it.
pub(super) fn check(input: &[u8]) {
    let vars: Vec<(Cow<'_, str>, Cow<'_, str>)> = input
        .split(|byte| *byte == b'\n')
        .filter_map(|line| cut(line, b'='))
        .map(|(name, value)| {
            (
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value),
            )
        })
        .collect();
    // A password that is nothing else in the input: then it must be nowhere in the output.
    let secret = vars.iter().any(|(name, value)| {
        let is_url = name == "CACHE_URL" || name == "REDIS_URL";
        is_url && value.contains(":canary@") && value.starts_with("redis://")
    });
    let once = String::from_utf8_lossy(input).matches("canary").count() == 1;
    let printed = match Config::from_vars(vars) {
        Err(error) => {
            assert!(error.is_config());
            format!("{error} {error:?}")
        }
        Ok(config) => {
            reads_back(&config);
            if let Ok(cache) = HttpCache::from_config(&config) {
                let policy = Policy::ttl(minutes(1))
                    .stale_if_error(minutes(1))
                    .class("session");
                let _ = cache.policy(policy);
            }
            format!("{config} {config:?}")
        }
    };
    assert!(!(secret && once && printed.contains("canary")), "{printed}");
}

fn reads_back(config: &Config) {
    let is_url = |name: &str| name.ends_with("_URL");
    let rows = config.rows();
    if rows.iter().any(|row| row.is_set && is_url(&row.name)) {
        // Of which more is set than is printed.
        return;
    }
    let set = rows.into_iter().filter(|row| row.is_set);
    let again = Config::from_vars(set.map(|row| (row.name, row.value)));
    assert_eq!(again.as_ref().ok(), Some(config), "{again:?}");
}
