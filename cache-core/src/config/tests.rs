//! Each variable of the table: what it changes. That its row is right in itself is in `checks`.

use super::*;
use crate::{
    Policy, StoreBuilder,
    clock::ManualClock,
    policy::{LONGEST, hours, seconds},
    remote::RemoteSettings,
};

type Vars<'a> = &'a [(&'a str, &'a str)];

fn config(vars: Vars<'_>) -> Config {
    Config::from_vars(vars.iter().copied()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(vars: Vars<'_>) -> String {
    let error = Config::from_vars(vars.iter().copied()).unwrap_err();
    assert!(error.is_config());
    error.to_string()
}

fn policy() -> Policy {
    Policy::ttl(hours(1)).class("session")
}

fn codes(vars: Vars<'_>) -> Vec<&'static str> {
    let warnings = config(vars).warnings();
    warnings.iter().map(Warning::code).collect()
}

#[cfg(feature = "redis")]
/// What a variable changes: what to set, and what is then so.
type Effect = (&'static str, Vars<'static>, fn(&Config) -> bool);

#[cfg(feature = "redis")]
fn remote_is(config: &Config, part: &str) -> bool {
    format!("{:?}", config.remote()).contains(part)
}

#[cfg(feature = "redis")]
const REDIS: (&str, &str) = ("CACHE_URL", "redis://:canary@cache.test:6380/2");

#[cfg(feature = "redis")]
const EFFECTS: &[Effect] = &[
    (
        "CACHE_ENABLED",
        &[("CACHE_ENABLED", "off"), REDIS],
        |config| !config.is_enabled() && config.remote().is_none(),
    ),
    ("CACHE_TYPE", &[("CACHE_TYPE", "Redis"), REDIS], |config| {
        config.tiers() == Some(Tiers::Redis)
    }),
    ("CACHE_URL", &[REDIS], |config| {
        config.tiers() == Some(Tiers::Tiered) && remote_is(config, "cache.test:6380")
    }),
    (
        "REDIS_URL",
        &[("CACHE_TYPE", "redis"), ("REDIS_URL", "redis://lent.test")],
        |config| remote_is(config, "lent.test:6379"),
    ),
    (
        "CACHE_PREFIX",
        &[("CACHE_PREFIX", "shop:"), REDIS],
        |config| remote_is(config, "prefix: \"shop:\""),
    ),
    (
        "CACHE_TTL_DEFAULT",
        &[("CACHE_TTL_DEFAULT", "90")],
        |config| {
            config.policy(Policy::default()).lifetime() == seconds(90)
                && config.policy(policy()).lifetime() == hours(1)
        },
    ),
    (
        "CACHE_TTL_<CLASS>",
        &[("CACHE_TTL_SESSION", "90")],
        |config| {
            config.policy(policy()).lifetime() == seconds(90)
                && config
                    .policy(Policy::ttl(hours(1)).class("other"))
                    .lifetime()
                    == hours(1)
        },
    ),
    (
        "CACHE_STALE_WHILE_REVALIDATE",
        &[("CACHE_STALE_WHILE_REVALIDATE", "5m")],
        |config| config.policy(policy()) == policy().stale_while_revalidate(seconds(300)),
    ),
    (
        "CACHE_STALE_IF_ERROR",
        &[("CACHE_STALE_IF_ERROR", "5m")],
        |config| config.policy(policy()) == policy().stale_if_error(seconds(300)),
    ),
    ("CACHE_JITTER", &[("CACHE_JITTER", "5%")], |config| {
        config.policy(policy()) == policy().jitter(0.05)
    }),
    (
        "CACHE_EARLY_REFRESH",
        &[("CACHE_EARLY_REFRESH", "1.5")],
        |config| config.policy(policy()) == policy().early_refresh(1.5),
    ),
    (
        "CACHE_WORK_DEADLINE",
        &[("CACHE_WORK_DEADLINE", "5")],
        |config| config.policy(policy()) == policy().work_deadline(seconds(5)),
    ),
    ("CACHE_WAIT_LIMIT", &[("CACHE_WAIT_LIMIT", "5")], |config| {
        config.policy(policy()) == policy().wait_limit(seconds(5))
    }),
    (
        "CACHE_FAILURE_PAUSE",
        &[("CACHE_FAILURE_PAUSE", "8s")],
        |config| {
            // The longest, 5 seconds, goes along.
            config.policy(policy()) == policy().failure_pause(seconds(8), seconds(8))
        },
    ),
    (
        "CACHE_FAILURE_PAUSE_MAX",
        &[("CACHE_FAILURE_PAUSE_MAX", "50")],
        |config| {
            let short = Duration::from_millis(50);
            config.policy(policy()) == policy().failure_pause(short, short)
        },
    ),
    (
        "CACHE_MEMORY_SIZE",
        &[("CACHE_MEMORY_SIZE", "2GB")],
        |config| config.capacity() == Some(2_000_000_000),
    ),
    (
        "CACHE_L1_MAX_STALENESS",
        &[("CACHE_L1_MAX_STALENESS", "1")],
        |config| {
            let settings = RemoteSettings::new();
            config.remote_settings(settings) == settings.max_staleness(seconds(1))
        },
    ),
    (
        "CACHE_REMOTE_BUDGET",
        &[("CACHE_REMOTE_BUDGET", "35")],
        |config| {
            let settings = RemoteSettings::new();
            config.remote_settings(settings) == settings.budget(Duration::from_millis(35))
        },
    ),
    ("CACHE_LEASE", &[("CACHE_LEASE", "4s")], |config| {
        let settings = RemoteSettings::new();
        config.remote_settings(settings) == settings.lease(seconds(4))
    }),
    (
        "CACHE_POOL_MIN_SIZE",
        &[("CACHE_POOL_MIN_SIZE", "5"), REDIS],
        |config| remote_is(config, "lanes: 5, connections: 7"),
    ),
    (
        "CACHE_POOL_MAX_SIZE",
        &[("CACHE_POOL_MAX_SIZE", "9"), REDIS],
        |config| remote_is(config, "lanes: 1, connections: 9"),
    ),
    (
        "CACHE_POOL_TIMEOUT",
        &[("CACHE_POOL_TIMEOUT", "70"), REDIS],
        |config| remote_is(config, "connect: 70ms"),
    ),
];

#[test]
#[cfg(all(feature = "redis", feature = "test-util"))]
fn every_variable_has_a_default_a_form_and_a_unit_as_its_row_says() {
    let read = |vars: Vec<(&'static str, String)>| Config::from_vars(vars);
    checks::every_variable(VARIABLES, &read);
}

#[test]
#[cfg(feature = "redis")]
fn every_variable_changes_what_its_row_says() {
    for variable in VARIABLES {
        let effect = EFFECTS.iter().find(|(name, ..)| *name == variable.name);
        let (name, vars, is_so) = effect.unwrap_or_else(|| panic!("{} has no test", variable.name));
        assert!(is_so(&config(vars)), "{name}");
        let own = name.trim_end_matches("<CLASS>");
        let without = vars
            .iter()
            .copied()
            .filter(|(set, _)| !set.starts_with(own));
        if let Ok(config) = Config::from_vars(without) {
            assert!(!is_so(&config), "{name} is so without it");
        }
    }
    assert_eq!(EFFECTS.len(), VARIABLES.len());
}

#[test]
fn defaults_that_are_values_are_those_that_hold() {
    for (name, text) in [
        ("CACHE_ENABLED", "true"),
        ("CACHE_MEMORY_SIZE", "64MiB"),
        ("CACHE_L1_MAX_STALENESS", "3s"),
        ("CACHE_REMOTE_BUDGET", "20ms"),
        ("CACHE_LEASE", "2s"),
    ] {
        let variable = VARIABLES
            .iter()
            .find(|variable| variable.name == name)
            .unwrap();
        assert_eq!(variable.default, text);
        let (set, unset) = (config(&[(name, text)]), config(&[]));
        let settings = RemoteSettings::new();
        assert_eq!(set.remote_settings(settings), settings, "{name}");
        assert_eq!(set.is_enabled(), unset.is_enabled(), "{name}");
        let clock = ManualClock::at(std::time::UNIX_EPOCH);
        let builder = |config: &Config| {
            let builder = StoreBuilder::new().clock(clock.clone());
            format!("{:?}", builder.from_config(config).configured())
        };
        assert_eq!(builder(&set), builder(&unset), "{name}");
    }
}

#[test]
#[cfg(feature = "redis")]
fn the_defaults_of_connections_are_those_that_hold() {
    let defaults = [
        ("CACHE_PREFIX", "cache:"),
        ("CACHE_POOL_MIN_SIZE", "1"),
        ("CACHE_POOL_TIMEOUT", "250ms"),
    ];
    for (name, text) in defaults {
        let variable = VARIABLES
            .iter()
            .find(|variable| variable.name == name)
            .unwrap();
        assert_eq!(variable.default, text);
    }
    let settings = |config: &Config| format!("{:?}", config.remote());
    let [one, two, three] = defaults;
    assert_eq!(
        settings(&config(&[REDIS, one, two, three])),
        settings(&config(&[REDIS]))
    );
    assert!(settings(&config(&[REDIS])).contains("connections: 4"));
}

#[test]
fn all_that_is_wrong_is_in_one_error_with_what_was_meant() {
    let error = refused(&[("CACHE_TTL_DEFAULT", "banana"), ("CACHE_ENABELD", "1")]);
    for said in [
        "2 variables of the environment are wrong",
        "CACHE_TTL_DEFAULT is `banana`",
        "accepted is a time as 250ms, 30s, 5m, 1h or 1d, where a bare number is seconds",
        "for example CACHE_TTL_DEFAULT=30m",
        "CACHE_ENABELD is not known; did you mean CACHE_ENABLED?",
    ] {
        assert!(error.contains(said), "{said} is not in {error}");
    }
}

#[test]
fn a_word_that_is_like_another_may_be_the_name_of_a_class() {
    let config = Config::from_vars([("CACHE_TTL_FAULT", "1m")]).unwrap();
    assert_eq!(config.ttl("fault"), Some(Duration::from_secs(60)));
}

#[test]
fn a_name_that_is_not_known_is_refused_and_its_value_not_shown() {
    for (name, meant) in [
        ("CACHE_URI", Some("CACHE_URL")),
        ("CACHE_TTL_DEFUALT", Some("CACHE_TTL_DEFAULT")),
        ("CACHE_TTL_DEFAULTS", Some("CACHE_TTL_DEFAULT")),
        ("CACHE_POOL_MAXSIZE", Some("CACHE_POOL_MAX_SIZE")),
        // A word is missing, or one too many.
        ("CACHE_MEMORY", Some("CACHE_MEMORY_SIZE")),
        ("CACHE_SIZE", Some("CACHE_MEMORY_SIZE")),
        ("CACHE_TTL", Some("CACHE_TTL_DEFAULT")),
        ("CACHE_DEFAULT_TTL", Some("CACHE_TTL_DEFAULT")),
        ("CACHE_BUDGET", Some("CACHE_REMOTE_BUDGET")),
        ("CACHE_REDIS_URL", Some("CACHE_URL")),
        // It may be the one or the other.
        ("CACHE_POOL_SIZE", None),
        ("CACHE_STALE", None),
        ("CACHE_PASSWORD", None),
        ("CACHE_", None),
        ("CACHE_TTL_", None),
        ("CACHE_TTL_a/b", None),
    ] {
        let error = refused(&[(name, "canary")]);
        let meant = meant.map(|meant| format!("did you mean {meant}?"));
        assert!(error.contains(&format!("{name} is not known")), "{error}");
        assert_eq!(error.contains("did you mean"), meant.is_some(), "{error}");
        assert!(error.contains(&meant.unwrap_or_default()), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
    // What belongs to nobody here, and what HTTP caches read.
    let others = [
        ("PATH", "x"),
        ("CACHED", "x"),
        ("cache_enabled", "x"),
        ("CACHE_ROUTES", "x"),
    ];
    assert_eq!(config(&others), config(&[]));
}

#[test]
fn names_that_are_like_none_are_answered_with_all_there_are() {
    let error = refused(&[
        ("CACHE_PASSWORD", "canary"),
        ("CACHE_HOST", "x"),
        ("CACHE_URI", "x"),
    ]);
    let known = error
        .lines()
        .filter(|line| line.starts_with("  known are "));
    let known: Vec<&str> = known.collect();
    assert_eq!(known.len(), 1, "once: {error}");
    for variable in VARIABLES {
        assert!(known[0].contains(variable.name), "{known:?}");
    }
    let error = refused(&[("CACHE_URI", "x")]);
    assert!(!error.contains("known are"), "{error}");
}

#[test]
fn what_kubernetes_tells_of_a_service_named_cache_is_not_meant_for_us() {
    let links = [
        ("CACHE_SERVICE_HOST", "10.0.0.1"),
        ("CACHE_SERVICE_PORT", "6379"),
        ("CACHE_SERVICE_PORT_REDIS", "6379"),
        ("CACHE_PORT", "tcp://10.0.0.1:6379"),
        ("CACHE_PORT_6379_TCP", "tcp://10.0.0.1:6379"),
        ("CACHE_PORT_6379_TCP_PROTO", "tcp"),
        ("CACHE_PORT_6379_TCP_PORT", "6379"),
        ("CACHE_PORT_6379_TCP_ADDR", "10.0.0.1"),
        ("CACHE_REDIS_SERVICE_HOST", "10.0.0.1"),
        ("CACHE_REDIS_PORT", "tcp://10.0.0.1:6379"),
        ("CACHE_REDIS_PORT_6379_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(config(&links), config(&[]));
    for (name, value) in [
        ("CACHE_PORT", "6379"),
        ("CACHE_PORT_TCP", "x"),
        ("CACHE_PORT_6379", "x"),
        ("CACHE_SERVICE", "x"),
        ("CACHE_SERVICE_HOSTS", "x"),
    ] {
        let error = refused(&[(name, value)]);
        assert!(error.contains(&format!("{name} is not known")), "{error}");
    }
}

#[test]
fn a_type_that_asks_for_redis_asks_for_a_url() {
    for kind in ["redis", "tiered"] {
        let error = refused(&[("CACHE_TYPE", kind), ("CACHE_JITTER", "2")]);
        assert!(
            error.contains("CACHE_URL is not set, but CACHE_TYPE asks for Redis"),
            "{error}"
        );
        assert!(error.contains("CACHE_JITTER is `2`"), "{error}");
    }
    let memory = config(&[("CACHE_TYPE", "memory"), ("REDIS_URL", "nonsense")]);
    assert_eq!(
        (memory.tiers(), memory.remote().is_none()),
        (Some(Tiers::Memory), true)
    );
    assert_eq!(
        config(&[("REDIS_URL", "nonsense")]).tiers(),
        None,
        "it is another's"
    );
}

#[test]
#[cfg(not(feature = "redis"))]
fn redis_without_the_feature_names_the_feature() {
    let error = refused(&[
        ("CACHE_TYPE", "redis"),
        ("CACHE_URL", "redis://:canary@host"),
    ]);
    assert!(
        error.contains("CACHE_URL is `redis://host`") && error.contains("feature `redis`"),
        "{error}"
    );
}

#[test]
fn pool_sizes_that_do_not_fit_are_refused() {
    let error = refused(&[("CACHE_POOL_MIN_SIZE", "4"), ("CACHE_POOL_MAX_SIZE", "5")]);
    assert!(
        error.contains("CACHE_POOL_MAX_SIZE is `5`: it must be two more"),
        "{error}"
    );
}

#[test]
fn a_class_is_known_whatever_its_case_and_its_dashes() {
    let config = config(&[("CACHE_TTL_USER_LIST", "7")]);
    for class in ["user-list", "User.List", "USER_LIST"] {
        assert_eq!(config.ttl(class), Some(seconds(7)));
    }
    assert_eq!(config.ttl("user"), None);
}

#[test]
fn an_impossible_class_is_refused_with_the_policy() {
    for class in ["", "a b", "default", "Default", "a:b", &"a".repeat(65)] {
        let error = Policy::default().class(class).validate().unwrap_err();
        assert!(error.to_string().contains("class is"), "{error}");
    }
    assert!(Policy::default().class("user-list.v2").validate().is_ok());
}

#[test]
#[cfg(feature = "redis")]
fn sec_01_no_secret_is_in_what_is_printed_of_a_config() {
    let config = config(&[REDIS]);
    let (shown, debug) = (
        config.to_string(),
        format!("{config:?} {:?}", config.remote()),
    );
    for text in [&shown, &debug] {
        assert!(
            text.contains("redis://cache.test:6380") && !text.contains("canary"),
            "{text}"
        );
    }
}

#[test]
fn sec_01_no_secret_is_in_what_is_wrong_with_the_environment() {
    for text in [
        "canary",
        "redis://:canary@",
        "http://u:canary@h",
        "redis://u:can/ary:canary@h",
    ] {
        let error = refused(&[("CACHE_URL", text), ("CACHE_PREFIX", "redis://:canary@h")]);
        assert!(!error.contains("canary"), "{error}");
        assert!(
            error.contains("CACHE_URL is") && error.contains("CACHE_PREFIX is"),
            "{error}"
        );
    }
}

#[test]
fn what_is_possible_but_hardly_meant_is_warned_of() {
    assert_eq!(codes(&[]), [""; 0]);
    assert_eq!(
        codes(&[("CACHE_TTL_DEFAULT", "0"), ("CACHE_STALE_IF_ERROR", "1m")]),
        ["W001"]
    );
    assert_eq!(
        codes(&[("CACHE_TTL_DEFAULT", "0"), ("CACHE_STALE_IF_ERROR", "0")]),
        [""; 0]
    );
    assert_eq!(codes(&[("CACHE_POOL_MIN_SIZE", "2")]), ["W003"]);
    assert_eq!(codes(&[("CACHE_TTL_SESSION", "2")]), ["W005"]);
    assert_eq!(
        codes(&[("CACHE_WAIT_LIMIT", "2"), ("CACHE_WORK_DEADLINE", "1")]),
        ["W008"]
    );
    let named = config(&[("CACHE_TTL_SESSION", "2")]);
    let _ = named.policy(policy());
    assert_eq!(named.warnings(), []);
}

#[test]
#[cfg(feature = "redis")]
fn what_is_hardly_meant_with_redis_is_warned_of() {
    let near = ("CACHE_URL", "redis://:canary@localhost");
    assert_eq!(codes(&[near]), [""; 0]);
    assert_eq!(codes(&[REDIS]), ["W007"]);
    for near in ["localhost:6380", "127.0.0.2/0", "[::1]:6380"] {
        let url = format!("redis://:canary@{near}");
        assert_eq!(codes(&[("CACHE_URL", &url)]), [""; 0], "{near}");
    }
    for far in ["localhost.test", "127.test", "[2001:db8::1]"] {
        let url = format!("redis://:canary@{far}");
        assert_eq!(codes(&[("CACHE_URL", &url)]), ["W007"], "{far}");
    }
    // It goes nowhere.
    assert_eq!(codes(&[REDIS, ("CACHE_TYPE", "memory")]), ["W003"]);
    assert_eq!(
        codes(&[
            near,
            ("CACHE_L1_MAX_STALENESS", "9"),
            ("CACHE_TTL_DEFAULT", "5")
        ]),
        ["W002"]
    );
    assert_eq!(codes(&[near, ("CACHE_REMOTE_BUDGET", "2s")]), ["W004"]);
    assert_eq!(codes(&[near, ("CACHE_TYPE", "memory")]), ["W003"]);
    assert_eq!(codes(&[near, ("CACHE_ENABLED", "0")]), ["W006"]);
    for warning in config(&[REDIS]).warnings() {
        assert!(!warning.to_string().contains("canary"));
    }
}

#[test]
fn the_printed_table_has_a_line_for_each_variable_and_one_for_each_warning() {
    let config = config(&[
        ("CACHE_TTL_SESSION", "1h"),
        ("CACHE_JITTER", "0.1"),
        ("CACHE_LEASE", "5000"),
    ]);
    let text = config.to_string();
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), VARIABLES.len() + 2);
    assert!(lines.contains(&vec!["CACHE_TTL_SESSION", "1h", "set", "seconds"]));
    assert!(lines.contains(&vec!["CACHE_JITTER", "0.1", "set", "share"]));
    assert!(lines.contains(&vec!["CACHE_LEASE", "5s", "set", "milliseconds"]));
    assert!(lines.contains(&vec!["CACHE_MEMORY_SIZE", "64MiB", "default", "bytes"]));
    assert!(
        text.contains("\nW003: ") && text.contains("\nW005: "),
        "{text}"
    );
}

proptest::proptest! {
    #[test]
    fn no_variables_make_a_possible_policy_impossible(
        ttl in "0|7|5m|1h|99999999999999d",
        windows in proptest::collection::vec("0|1m|99999999d", 2),
        pauses in proptest::collection::vec("0|1|3s|9999999d", 2),
        code in (0..3_u64, 0..3_u64),
    ) {
        let config = config(&[
            ("CACHE_TTL_DEFAULT", &ttl),
            ("CACHE_TTL_SESSION", &ttl),
            ("CACHE_STALE_WHILE_REVALIDATE", &windows[0]),
            ("CACHE_STALE_IF_ERROR", &windows[1]),
            ("CACHE_FAILURE_PAUSE", &pauses[0]),
            ("CACHE_FAILURE_PAUSE_MAX", &pauses[1]),
        ]);
        let window = if code.0 == 0 { 0 } else { code.1 };
        for policy in [Policy::default(), Policy::ttl(seconds(code.0)).stale_if_error(seconds(window)).class("session")] {
            proptest::prop_assert!(policy.validate().is_ok());
            let policy = config.policy(policy);
            proptest::prop_assert!(policy.validate().is_ok(), "{policy:?}");
            proptest::prop_assert!(policy.lifetime() <= LONGEST);
        }
    }

    #[test]
    fn whatever_is_set_is_read_or_refused_but_never_a_panic(name in "CACHE_[A-Z_]{0,12}", text in "\\PC{0,24}") {
        if let Ok(config) = Config::from_vars([(name, text)]) {
            let _ = config.to_string();
        }
    }
}
