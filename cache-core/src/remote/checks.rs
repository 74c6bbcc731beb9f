//! What every remote tier has to do, as checks to run against one.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use cache_core::remote::{Fake, Remote, checks};
//! use std::sync::Arc;
//!
//! let remote: Arc<dyn Remote> = Arc::new(Fake::new());
//! checks::all(&remote).await;
//! # }
//! ```
//!
//! They use keys of their own, under `check:`, and leave them behind for a minute at most. The tier
//! must be up. Together they take about two seconds.
//!
//! # Panics
//!
//! Each check panics where the tier does not hold what [`Remote`] promises.

use crate::remote::{Ask, Failure, Leased, Notice, Remote, ServerTime, Token, Value, Watcher};
use bytes::Bytes;
use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Ample: what is checked is what is answered, not how fast.
const LIMIT: Duration = Duration::from_secs(2);
const MINUTE: Duration = Duration::from_secs(60);

/// Runs every check.
pub async fn all(remote: &Arc<dyn Remote>) {
    values_come_back_as_they_went_in(remote).await;
    values_expire(remote).await;
    batches_keep_their_order(remote).await;
    one_of_many_gets_the_lease(remote).await;
    a_value_is_found_instead_of_the_lease_unless_it_was_seen(remote).await;
    only_the_lease_commits(remote).await;
    an_invalidation_voids_the_lease(remote).await;
    putting_voids_the_lease(remote).await;
    a_failure_is_shared_for_its_pause(remote).await;
    a_released_lease_is_free_and_a_renewed_one_lasts(remote).await;
    a_group_that_is_not_known_is_not_valid(remote).await;
    patterns_reach_values_and_leases_of_their_prefix_alone(remote).await;
    what_is_too_large_is_refused(remote).await;
    watchers_are_told(remote).await;
}

/// Any bytes, the empty ones too.
pub async fn values_come_back_as_they_went_in(remote: &Arc<dyn Remote>) {
    for bytes in [&b""[..], b"\0\r\n$3\r\n", &[0xff; 70_000]] {
        let key = key("value");
        put(remote, &key, bytes, MINUTE).await;
        let found = remote.look(&key, LIMIT).await.expect("it answers");
        assert_eq!(found.expect("it was put").bytes, bytes);
    }
    assert_eq!(remote.look(&key("none"), LIMIT).await, Ok(None));
}

/// A time to live counts in milliseconds; one below stores nothing.
pub async fn values_expire(remote: &Arc<dyn Remote>) {
    let (short, zero, extreme) = (key("short"), key("zero"), key("extreme"));
    put(remote, &short, b"v", Duration::from_millis(60)).await;
    put(remote, &zero, b"v", Duration::from_nanos(1)).await;
    put(remote, &extreme, b"v", Duration::MAX).await;
    assert!(look(remote, &short).await.is_some());
    assert_eq!(look(remote, &zero).await, None);
    assert!(
        look(remote, &extreme).await.is_some(),
        "the longest is cut, not refused"
    );
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(look(remote, &short).await, None);
}

/// Also with gaps, repetitions, and nothing at all.
pub async fn batches_keep_their_order(remote: &Arc<dyn Remote>) {
    let keys: Vec<Vec<u8>> = (0..100).map(|n| key(&format!("batch{n}"))).collect();
    let value = |n: usize| Value {
        bytes: n.to_string().into(),
        lasting: MINUTE,
    };
    let even: Vec<(&[u8], Value)> = keys
        .iter()
        .enumerate()
        .filter(|(n, _)| n % 2 == 0)
        .map(|(n, key)| (key.as_slice(), value(n)))
        .collect();
    remote.put_many(&even, LIMIT).await.expect("they are put");
    let asked: Vec<&[u8]> = keys.iter().chain(keys.first()).map(Vec::as_slice).collect();
    let found = remote.look_many(&asked, LIMIT).await.expect("it answers");
    assert_eq!(found.len(), asked.len());
    for (n, found) in found.iter().enumerate().take(100) {
        let expected = (n % 2 == 0).then(|| Bytes::from(n.to_string()));
        assert_eq!(
            found.as_ref().map(|found| found.bytes.clone()),
            expected,
            "{n}"
        );
    }
    assert_eq!(remote.invalidate(&asked, LIMIT).await, Ok(50));
    assert_eq!(remote.look_many(&[], LIMIT).await, Ok(Vec::new()));
    assert_eq!(remote.invalidate(&[], LIMIT).await, Ok(0));
}

/// However many ask at once.
pub async fn one_of_many_gets_the_lease(remote: &Arc<dyn Remote>) {
    let key = key("many");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (remote, key) = (Arc::clone(remote), key.clone());
        tasks.spawn(async move { take(&remote, &key, Token::new(), MINUTE).await });
    }
    let answers = tasks.join_all().await;
    let granted = answers
        .iter()
        .filter(|leased| matches!(leased, Leased::Granted(_)));
    assert_eq!(granted.count(), 1);
    let held = answers
        .iter()
        .filter(|leased| matches!(leased, Leased::Held(left) if *left <= MINUTE));
    assert_eq!(held.count(), 49);
}

/// A refresh asks for any version but the one it has.
pub async fn a_value_is_found_instead_of_the_lease_unless_it_was_seen(remote: &Arc<dyn Remote>) {
    let key = key("seen");
    put(remote, &key, b"headbody", MINUTE).await;
    let ask = |seen| Ask {
        key: &key,
        token: Token::new(),
        seen,
        lasting: MINUTE,
    };
    for seen in [&b""[..], b"HEAD", b"headbodytoolong"] {
        match remote.lease(ask(seen), LIMIT).await {
            Ok(Leased::Value(found)) => assert_eq!(found.bytes, &b"headbody"[..]),
            other => unreachable!("there is a value, not {other:?}"),
        }
    }
    let leased = remote.lease(ask(b"head"), LIMIT).await;
    assert!(matches!(leased, Ok(Leased::Granted(_))), "{leased:?}");
}

/// Not another token, not twice.
pub async fn only_the_lease_commits(remote: &Arc<dyn Remote>) {
    let (key, mine) = (key("commit"), Token::new());
    assert_eq!(
        commit(remote, &key, mine, b"early").await,
        Ok(false),
        "without a lease"
    );
    let before = granted(take(remote, &key, mine, MINUTE).await);
    assert_eq!(
        commit(remote, &key, Token::new(), b"foreign").await,
        Ok(false)
    );
    assert_eq!(look(remote, &key).await, None);
    assert_eq!(commit(remote, &key, mine, b"mine").await, Ok(true));
    assert_eq!(commit(remote, &key, mine, b"again").await, Ok(false));
    let found = remote
        .look(&key, LIMIT)
        .await
        .expect("it answers")
        .expect("it is there");
    assert_eq!(found.bytes, &b"mine"[..]);
    assert!(
        found.at.after(Duration::from_millis(50)) >= before,
        "the server's clock goes on"
    );
}

/// COR-07: who began before can no longer commit; who comes after gets a lease of its own.
pub async fn an_invalidation_voids_the_lease(remote: &Arc<dyn Remote>) {
    let (key, old, new) = (key("void"), Token::new(), Token::new());
    granted(take(remote, &key, old, MINUTE).await);
    assert_eq!(
        remote.invalidate(&[&key], LIMIT).await,
        Ok(0),
        "there was no value"
    );
    granted(take(remote, &key, new, MINUTE).await);
    assert_eq!(commit(remote, &key, old, b"old").await, Ok(false));
    assert_eq!(remote.release(&key, old, LIMIT).await, Ok(false));
    assert_eq!(commit(remote, &key, new, b"new").await, Ok(true));
    assert_eq!(look(remote, &key).await.as_deref(), Some(&b"new"[..]));
    assert_eq!(remote.invalidate(&[&key], LIMIT).await, Ok(1));
    assert_eq!(look(remote, &key).await, None);
}

/// A value put by hand is newer than any load under way.
pub async fn putting_voids_the_lease(remote: &Arc<dyn Remote>) {
    let (key, token) = (key("put"), Token::new());
    granted(take(remote, &key, token, MINUTE).await);
    put(remote, &key, b"put", MINUTE).await;
    assert_eq!(commit(remote, &key, token, b"loaded").await, Ok(false));
    assert_eq!(look(remote, &key).await.as_deref(), Some(&b"put"[..]));
}

/// And ends with it.
pub async fn a_failure_is_shared_for_its_pause(remote: &Arc<dyn Remote>) {
    let (key, token) = (key("fail"), Token::new());
    granted(take(remote, &key, token, MINUTE).await);
    let pause = Duration::from_millis(200);
    let foreign = remote
        .fail(&key, Token::new(), "foreign", pause, LIMIT)
        .await;
    assert_eq!(foreign, Ok(false));
    let message = "no database: {}%\n\u{e9}";
    assert_eq!(
        remote.fail(&key, token, message, pause, LIMIT).await,
        Ok(true)
    );
    match take(remote, &key, Token::new(), MINUTE).await {
        Leased::Failed {
            message: found,
            left,
        } => {
            assert_eq!(found, message);
            assert!(left <= pause, "{left:?}");
        }
        other => unreachable!("the failure stands, not {other:?}"),
    }
    assert_eq!(commit(remote, &key, token, b"late").await, Ok(false));
    tokio::time::sleep(pause + Duration::from_millis(50)).await;
    granted(take(remote, &key, Token::new(), MINUTE).await);
}

/// Without either it ends by itself.
pub async fn a_released_lease_is_free_and_a_renewed_one_lasts(remote: &Arc<dyn Remote>) {
    let (key, first, second) = (key("renew"), Token::new(), Token::new());
    let short = Duration::from_millis(300);
    granted(take(remote, &key, first, MINUTE).await);
    assert_eq!(remote.release(&key, first, LIMIT).await, Ok(true));
    granted(take(remote, &key, second, short).await);
    assert_eq!(remote.renew(&key, first, MINUTE, LIMIT).await, Ok(false));
    assert_eq!(remote.renew(&key, second, short * 3, LIMIT).await, Ok(true));
    tokio::time::sleep(short + Duration::from_millis(100)).await;
    assert!(matches!(
        take(remote, &key, first, MINUTE).await,
        Leased::Held(_)
    ));
    tokio::time::sleep(short * 2).await;
    granted(take(remote, &key, first, MINUTE).await);
    assert_eq!(commit(remote, &key, second, b"overdue").await, Ok(false));
    assert_eq!(remote.renew(&key, second, MINUTE, LIMIT).await, Ok(false));
}

/// A version is a time; what is not known is older than nothing.
pub async fn a_group_that_is_not_known_is_not_valid(remote: &Arc<dyn Remote>) {
    let (known, lost) = (group("known"), group("lost"));
    let names = [known.as_str(), lost.as_str()];
    assert_eq!(remote.groups(&names, LIMIT).await, Ok(vec![None, None]));
    let born = granted(take(remote, &key("born"), Token::new(), MINUTE).await);
    let joined = remote
        .join_groups(&[&known], born, MINUTE, LIMIT)
        .await
        .expect("it answers");
    assert!(
        joined.iter().all(|version| *version < born),
        "the first member is valid"
    );
    let second = granted(take(remote, &key("second"), Token::new(), MINUTE).await);
    let again = remote.join_groups(&[&known], second, MINUTE, LIMIT).await;
    assert_eq!(
        again.as_ref(),
        Ok(&joined),
        "joining does not move a version"
    );
    remote
        .invalidate_group(&known, LIMIT)
        .await
        .expect("it answers");
    let versions = remote.groups(&names, LIMIT).await.expect("it answers");
    assert!(
        versions.first().copied().flatten() >= Some(born),
        "{versions:?}"
    );
    assert_eq!(versions.get(1), Some(&None));
    let later = granted(take(remote, &key("later"), Token::new(), MINUTE).await);
    assert!(
        versions.first().copied().flatten() < Some(later),
        "who comes after is valid"
    );
}

/// Not what merely contains it, and not another prefix.
pub async fn patterns_reach_values_and_leases_of_their_prefix_alone(remote: &Arc<dyn Remote>) {
    let (prefix, token) = (key("pattern:"), Token::new());
    let of = |name: &str| [prefix.as_slice(), name.as_bytes()].concat();
    let (inside, outside) = ([of("1:a"), of("1:b")], [of("2:a"), of("11:a"), key("1:a")]);
    for key in inside.iter().chain(&outside) {
        put(remote, key, b"v", MINUTE).await;
    }
    let loading = of("1:loading");
    granted(take(remote, &loading, token, MINUTE).await);
    assert_eq!(
        remote.invalidate_matching(&prefix, "1:*", LIMIT).await,
        Ok(2)
    );
    for key in &inside {
        assert_eq!(look(remote, key).await, None);
    }
    for key in &outside {
        assert!(look(remote, key).await.is_some());
    }
    assert_eq!(commit(remote, &loading, token, b"old").await, Ok(false));
}

/// Before it is sent.
pub async fn what_is_too_large_is_refused(remote: &Arc<dyn Remote>) {
    let (key, token) = (key("large"), Token::new());
    granted(take(remote, &key, token, MINUTE).await);
    let value = Value {
        bytes: vec![0; remote.max_value() + 1].into(),
        lasting: MINUTE,
    };
    let refused = remote.commit(&key, token, value, LIMIT).await;
    assert_eq!(refused, Err(Failure::TooLarge));
    let fitting = vec![1; remote.max_value()];
    assert_eq!(commit(remote, &key, token, &fitting).await, Ok(true));
}

/// Of every change by anybody, of leases that end, of groups.
pub async fn watchers_are_told(remote: &Arc<dyn Remote>) {
    let (key, name, token) = (key("told"), group("told"), Token::new());
    let ear = Arc::new(Ear::default());
    let weak: Weak<Ear> = Arc::downgrade(&ear);
    remote.watch(weak);
    put(remote, &key, b"v", MINUTE).await;
    ear.hears("changed", &key).await;
    ear.forget();
    remote.invalidate(&[&key], LIMIT).await.expect("it answers");
    ear.hears("changed", &key).await;
    granted(take(remote, &key, token, MINUTE).await);
    // Whoever waits has asked, and is to be told.
    assert!(matches!(
        take(remote, &key, Token::new(), MINUTE).await,
        Leased::Held(_)
    ));
    ear.forget();
    assert_eq!(remote.release(&key, token, LIMIT).await, Ok(true));
    ear.hears("woken", &key).await;
    remote
        .invalidate_group(&name, LIMIT)
        .await
        .expect("it answers");
    ear.hears("group", name.as_bytes()).await;
    // Nothing matches it here, but it may in somebody's memory.
    let matching = remote.invalidate_matching(&key, "none:*", LIMIT).await;
    assert_eq!(matching, Ok(0));
    ear.hears("everything", b"").await;
    ear.hears("heard", b"").await;
}

#[derive(Default)]
struct Ear(Mutex<Vec<(&'static str, Vec<u8>)>>);

impl Ear {
    fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    async fn hears(&self, what: &'static str, of: &[u8]) {
        for _ in 0..200 {
            let heard = self
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            if heard.iter().any(|(kind, name)| *kind == what && name == of) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let heard = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        unreachable!("`{what}` was not told, but {heard:?}");
    }
}

impl Watcher for Ear {
    fn notice(&self, notice: Notice<'_>) {
        let heard = match notice {
            Notice::Changed(key) => ("changed", key.to_vec()),
            Notice::Woken(key) => ("woken", key.to_vec()),
            Notice::Group(name) => ("group", name.as_bytes().to_vec()),
            Notice::Everything => ("everything", Vec::new()),
            Notice::Heard { .. } => ("heard", Vec::new()),
            Notice::Lost => ("lost", Vec::new()),
            Notice::Silent => ("silent", Vec::new()),
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(heard);
    }
}

/// A key that no other check, and no other run, uses.
fn key(name: &str) -> Vec<u8> {
    format!("check:{}:{name}", unique()).into_bytes()
}

fn group(name: &str) -> String {
    format!("check {} {name}", unique())
}

fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let run = Token::new();
    let run: String = run
        .as_bytes()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{run}:{count}")
}

async fn put(remote: &Arc<dyn Remote>, key: &[u8], bytes: &[u8], lasting: Duration) {
    let bytes = Bytes::copy_from_slice(bytes);
    let values = [(key, Value { bytes, lasting })];
    remote.put_many(&values, LIMIT).await.expect("it is put");
}

async fn look(remote: &Arc<dyn Remote>, key: &[u8]) -> Option<Bytes> {
    let found = remote.look(key, LIMIT).await.expect("it answers");
    found.map(|found| found.bytes)
}

async fn take(remote: &Arc<dyn Remote>, key: &[u8], token: Token, lasting: Duration) -> Leased {
    let ask = Ask {
        key,
        token,
        seen: b"",
        lasting,
    };
    remote.lease(ask, LIMIT).await.expect("it answers")
}

fn granted(leased: Leased) -> ServerTime {
    match leased {
        Leased::Granted(at) => at,
        other => unreachable!("the lease is free, not {other:?}"),
    }
}

async fn commit(
    remote: &Arc<dyn Remote>,
    key: &[u8],
    token: Token,
    bytes: &[u8],
) -> Result<bool, Failure> {
    let value = Value {
        bytes: Bytes::copy_from_slice(bytes),
        lasting: MINUTE,
    };
    remote.commit(key, token, value, LIMIT).await
}
