//! The Cache-Status field (RFC 9211), written from the one typed decision.
//!
//! It says what the cache did and why, never the key, the host or an error's text.

use super::{admit::Pass, request::Bypass};
use cache_core::observe::{Outcome, Tier};
use http::{HeaderValue, StatusCode};
use std::{
    fmt::{self, Write as _},
    sync::OnceLock,
    time::Duration,
};

/// What the cache did with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It answered from the store, without asking further.
    Hit {
        /// The freshness lifetime that remains; how long ago it ended, where it has.
        ttl: Ttl,
        /// On what ground.
        ground: Ground,
        /// Where it was stored.
        tier: Tier,
    },
    /// It did not look.
    Bypass(Bypass),
    /// It forwarded the request, or took the answer to another that it forwarded.
    Forward {
        /// Why.
        why: Forwarded,
        /// The status that came back, where the client got another.
        status: Option<StatusCode>,
        /// Whether the answer was to another request; `Some(false)` where that was tried in vain.
        collapsed: Option<bool>,
        /// What became of the answer.
        then: Then,
    },
    /// The client wanted nothing but what is stored, and nothing stored will do (RFC 9111 §5.2.1.7). A cache
    /// sends no Cache-Status with what it makes by itself (RFC 9211 §2): of this there is no value.
    OnlyIfCached,
}

impl Decision {
    /// The same in the terms of all caches; `tier` is where the answer came from, if not from the origin.
    pub const fn outcome(self, tier: Tier) -> Outcome {
        match self {
            Self::Hit {
                ground: Ground::Fresh,
                tier,
                ..
            } => Outcome::Hit { tier },
            Self::Hit { ground, .. } => Outcome::Stale {
                reason: ground.as_str(),
            },
            Self::Bypass(reason) => Outcome::Bypass {
                reason: reason.as_str(),
            },
            Self::Forward {
                why: Forwarded::Method,
                ..
            } => Outcome::Bypass {
                reason: Forwarded::Method.as_str(),
            },
            Self::Forward { why, collapsed, .. } => Outcome::Miss {
                reason: why.as_str(),
                collapsed: match collapsed {
                    Some(true) => Some(tier),
                    _ => None,
                },
            },
            Self::OnlyIfCached => Outcome::Miss {
                reason: "only-if-cached",
                collapsed: None,
            },
        }
    }

    /// The freshness lifetime of what answers or is stored.
    pub const fn ttl(self) -> Option<Ttl> {
        match self {
            Self::Hit { ttl, .. }
            | Self::Forward {
                then: Then::Stored { ttl },
                ..
            } => Some(ttl),
            Self::Bypass(_) | Self::Forward { .. } | Self::OnlyIfCached => None,
        }
    }
}

/// The ground on which something stored was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ground {
    /// It is fresh.
    Fresh,
    /// It is stale, and being refreshed.
    WhileRevalidate,
    /// It is stale, and the origin failed.
    IfError,
    /// It is stale, and the client takes it so.
    MaxStale,
}

impl Ground {
    /// A word for metrics, spans and the Cache-Status field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::WhileRevalidate => "swr",
            Self::IfError => "stale-if-error",
            Self::MaxStale => "max-stale",
        }
    }
}

/// Why a request was forwarded (RFC 9211 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forwarded {
    /// Nothing was stored for its URI.
    UriMiss,
    /// Something was, but for other selecting fields.
    VaryMiss,
    /// Something was that this request may not be given.
    Miss,
    /// The client asked for it.
    Request,
    /// What was stored is stale.
    Stale,
    /// What was stored is a part, and not the one.
    Partial,
    /// Its method asks for more than what is stored.
    Method,
}

impl Forwarded {
    /// The token of RFC 9211.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
            Self::Method => "method",
        }
    }
}

/// What became of a forwarded request's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Then {
    /// It is stored, or is being so.
    Stored {
        /// The freshness lifetime it has.
        ttl: Ttl,
    },
    /// It was passed on and not stored.
    Passed(Pass),
    /// It was not stored: an invalidation, or another request's turn, overtook it.
    Overtaken,
    /// It was decided by a layer of the same cache further in.
    DecidedWithin,
    /// The origin failed.
    Failed,
    /// The cache answered by itself that it could not: waiting took too long.
    WaitTimeout,
}

impl Then {
    /// A word for spans and the Cache-Status field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stored { .. } => "stored",
            Self::Passed(pass) => pass.as_str(),
            Self::Overtaken => "overtaken",
            Self::DecidedWithin => "inner",
            Self::Failed => "failed",
            Self::WaitTimeout => "wait-timeout",
        }
    }
}

/// A freshness lifetime in whole seconds, negative where it has ended (RFC 9211 §2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(i64);

impl Ttl {
    /// So much remains; parts of a second are left out.
    pub fn left(left: Duration) -> Self {
        Self(i64::try_from(left.as_secs()).unwrap_or(i64::MAX))
    }

    /// The seconds.
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// It ended so long ago; parts of a second count as one.
    pub fn ended(by: Duration) -> Self {
        let seconds = by.as_secs() + u64::from(by.subsec_nanos() > 0);
        Self(-i64::try_from(seconds).unwrap_or(i64::MAX))
    }
}

/// The member of one cache, with the values it sends often prepared.
pub struct CacheStatus {
    name: Box<str>,
    fresh: Prepared,
    while_revalidate: Prepared,
    bypasses: [HeaderValue; Bypass::ALL.len()],
}

impl CacheStatus {
    /// The member of the cache `name`, or `None` where that is no token (RFC 9651 §3.3.4).
    pub fn new(name: &str) -> Option<Self> {
        let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*');
        let token = name
            .bytes()
            .all(|byte| super::text::is_tchar(byte) || byte == b':' || byte == b'/');
        (starts && token).then(|| Self {
            name: name.into(),
            fresh: Prepared::default(),
            while_revalidate: Prepared::default(),
            bypasses: Bypass::ALL.map(|reason| value(name, Decision::Bypass(reason))),
        })
    }

    /// The field's value for a decision.
    pub fn value(&self, decision: Decision) -> HeaderValue {
        let write = || value(&self.name, decision);
        match decision {
            Decision::Hit {
                ttl,
                ground: Ground::Fresh,
                tier: Tier::Memory,
            } => self.fresh.get(ttl.0, write),
            Decision::Hit {
                ttl,
                ground: Ground::WhileRevalidate,
                ..
            } => self.while_revalidate.get(-ttl.0, write),
            Decision::Bypass(reason) => self
                .bypasses
                .get(reason as usize)
                .cloned()
                .unwrap_or_else(write),
            _ => write(),
        }
    }
}

impl fmt::Debug for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheStatus")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn value(name: &str, decision: Decision) -> HeaderValue {
    let mut text = String::with_capacity(64);
    // A `String` takes everything.
    let _ = write!(text, "{name}{}", Parameters(decision));
    HeaderValue::try_from(text).expect("a token and parameters of this file are a field value")
}

struct Parameters(Decision);

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Decision::Hit { ttl, ground, tier } => {
                let detail = match (ground, tier) {
                    (Ground::Fresh, Tier::Memory) => "L1",
                    (Ground::Fresh, Tier::Remote) => "L2",
                    (ground, _) => ground.as_str(),
                };
                write!(f, ";hit;ttl={};detail={detail}", ttl.0)
            }
            Decision::Bypass(Bypass::Method) => f.write_str(";fwd=method"),
            Decision::Bypass(reason) => write!(f, ";fwd=bypass;detail={}", reason.as_str()),
            Decision::Forward {
                why,
                status,
                collapsed,
                then,
            } => {
                write!(f, ";fwd={}", why.as_str())?;
                if let Some(status) = status {
                    write!(f, ";fwd-status={}", status.as_u16())?;
                }
                match then {
                    Then::Stored { ttl } if collapsed != Some(true) => {
                        write!(f, ";ttl={};stored", ttl.0)?
                    }
                    Then::Stored { ttl } => write!(f, ";ttl={}", ttl.0)?,
                    _ => {}
                }
                match collapsed {
                    Some(true) => f.write_str(";collapsed")?,
                    Some(false) => f.write_str(";collapsed=?0")?,
                    None => {}
                }
                match then {
                    Then::Stored { .. } => Ok(()),
                    then => write!(f, ";detail={}", then.as_str()),
                }
            }
            Decision::OnlyIfCached => Ok(()),
        }
    }
}

/// Values for small numbers, made once each: a hit then formats and allocates nothing.
pub(crate) struct Prepared {
    chunks: Box<[OnceLock<Box<Chunk>>]>,
}

type Chunk = [OnceLock<HeaderValue>; CHUNK];

const CHUNK: usize = 64;

/// Four hours and a half of seconds, less than a megabyte where all are used. Beyond that a value is
/// written anew each time.
const PREPARED: usize = 256 * CHUNK;

impl Default for Prepared {
    fn default() -> Self {
        Self {
            chunks: (0..PREPARED / CHUNK).map(|_| OnceLock::new()).collect(),
        }
    }
}

impl Prepared {
    /// The value for `number`, written by `write` the first time.
    pub(crate) fn get(&self, number: i64, write: impl FnOnce() -> HeaderValue) -> HeaderValue {
        match usize::try_from(number)
            .ok()
            .and_then(|number| self.slot(number))
        {
            Some(slot) => slot.get_or_init(write).clone(),
            None => write(),
        }
    }

    fn slot(&self, number: usize) -> Option<&OnceLock<HeaderValue>> {
        let chunk = self.chunks.get(number / CHUNK)?;
        chunk
            .get_or_init(|| Box::new([const { OnceLock::new() }; CHUNK]))
            .get(number % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(decision: Decision) -> String {
        CacheStatus::new("cache-tower")
            .unwrap()
            .value(decision)
            .to_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn each_decision_is_written_as_rfc_9211_has_it() {
        let ttl = Ttl::left(Duration::from_millis(376_900));
        let forward = |collapsed, then| Decision::Forward {
            why: Forwarded::UriMiss,
            status: None,
            collapsed,
            then,
        };
        for (decision, expected) in [
            (
                Decision::Hit {
                    ttl,
                    ground: Ground::Fresh,
                    tier: Tier::Memory,
                },
                "cache-tower;hit;ttl=376;detail=L1",
            ),
            (
                Decision::Hit {
                    ttl: Ttl::ended(Duration::from_millis(11_001)),
                    ground: Ground::IfError,
                    tier: Tier::Memory,
                },
                "cache-tower;hit;ttl=-12;detail=stale-if-error",
            ),
            (
                Decision::Hit {
                    ttl: Ttl::ended(Duration::from_secs(3)),
                    ground: Ground::WhileRevalidate,
                    tier: Tier::Memory,
                },
                "cache-tower;hit;ttl=-3;detail=swr",
            ),
            (
                forward(None, Then::Stored { ttl }),
                "cache-tower;fwd=uri-miss;ttl=376;stored",
            ),
            (
                forward(Some(true), Then::Stored { ttl }),
                "cache-tower;fwd=uri-miss;ttl=376;collapsed",
            ),
            (
                forward(Some(false), Then::Passed(Pass::SetCookie)),
                "cache-tower;fwd=uri-miss;collapsed=?0;detail=set-cookie",
            ),
            (
                Decision::Forward {
                    why: Forwarded::Stale,
                    status: Some(StatusCode::NOT_MODIFIED),
                    collapsed: None,
                    then: Then::Stored { ttl },
                },
                "cache-tower;fwd=stale;fwd-status=304;ttl=376;stored",
            ),
            (Decision::Bypass(Bypass::Method), "cache-tower;fwd=method"),
            (
                Decision::Bypass(Bypass::Upgrade),
                "cache-tower;fwd=bypass;detail=upgrade",
            ),
        ] {
            assert_eq!(text(decision), expected);
        }
    }

    #[test]
    fn prepared_values_are_the_ones_asked_for() {
        let prepared = Prepared::default();
        for number in [
            0,
            63,
            64,
            100,
            PREPARED as i64 - 1,
            PREPARED as i64,
            i64::MAX,
            -1,
        ] {
            for _ in 0..2 {
                assert_eq!(
                    prepared.get(number, || HeaderValue::from(number)),
                    HeaderValue::from(number)
                );
            }
        }
    }

    #[test]
    fn a_name_must_be_a_token() {
        for name in ["", "two words", "3x", "\"q\"", "a;b", "é"] {
            assert!(CacheStatus::new(name).is_none(), "{name}");
        }
        assert!(CacheStatus::new("Edge:1/a").is_some());
    }
}
