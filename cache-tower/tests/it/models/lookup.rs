//! RFC 9111 §4 and §5.2.1 in the order of their sentences.

use cache_tower::{
    Freshness, Policy, Profile,
    http::{
        cache_status::Forwarded,
        lookup::{Candidate, Failure, Lookup, lookup, may_stand_in},
        request::RequestFacts,
    },
};
use http::{HeaderMap, Method, Uri, header};
use proptest::{option::weighted, prelude::*, sample::select};
use std::time::Duration;

/// However stale.
const ANY: u64 = u64::MAX;

/// What a client asks for.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    no_cache: bool,
    only_if_cached: bool,
    max_age: Option<u64>,
    min_fresh: Option<u64>,
    /// [`ANY`] without a number.
    max_stale: Option<u64>,
    stale_if_error: Option<u64>,
}

impl Asked {
    fn text(self) -> String {
        let number = |name: &str, seconds: u64| format!("{name}={seconds}");
        let directives = [
            self.no_cache.then(|| "no-cache".to_owned()),
            self.only_if_cached.then(|| "only-if-cached".to_owned()),
            self.max_age.map(|most| number("max-age", most)),
            self.min_fresh.map(|least| number("min-fresh", least)),
            self.max_stale.map(|most| match most {
                ANY => "max-stale".to_owned(),
                most => number("max-stale", most),
            }),
            self.stale_if_error
                .map(|most| number("stale-if-error", most)),
        ];
        directives
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Takes a response that is stale by so much, and says so.
    fn takes_stale(self, by: u64) -> bool {
        self.max_stale.is_some_and(|most| by <= most)
    }
}

#[derive(Debug, Clone)]
struct Case {
    asked: Asked,
    credentials: bool,
    stored: Result<Candidate, Forwarded>,
    profile: Profile,
    per_credential: bool,
    heeds_client: bool,
}

impl Case {
    fn request(&self) -> RequestFacts {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, self.asked.text().parse().unwrap());
        if self.credentials {
            headers.insert(header::COOKIE, "sid=1".parse().unwrap());
        }
        let uri = Uri::from_static("/");
        RequestFacts::read(&Method::GET, &uri, &headers, false, self.profile)
    }

    fn policy(&self) -> Policy {
        let policy = Policy::from_headers().profile(self.profile);
        let policy = match self.per_credential {
            true => policy.per_credential(),
            false => policy,
        };
        match self.heeds_client {
            true => policy,
            false => policy.ignore_client_directives(),
        }
    }

    fn heeded(&self) -> Asked {
        match self.heeds_client {
            true => self.asked,
            false => Asked::default(),
        }
    }

    /// "The stored response ... one of the following: fresh, allowed to be served stale, validated" (§4).
    fn expected(&self) -> Lookup {
        match self.answer() {
            Ok(answer) => answer,
            // §5.2.1.7: a stored response, "or a 504".
            Err(_) if self.heeded().only_if_cached => Lookup::GatewayTimeout,
            Err(why) => Lookup::Forward(why),
        }
    }

    fn answer(&self) -> Result<Lookup, Forwarded> {
        let stored = self.stored?;
        let asked = self.heeded();
        if !self.may_have(&stored) {
            return Err(Forwarded::Miss);
        }
        let (left, by, is_revalidated) = match stored.freshness {
            Freshness::Fresh { left } => (left.as_secs(), None, false),
            Freshness::Stale {
                by,
                while_revalidate,
                ..
            } => (0, Some(by.as_secs()), while_revalidate),
            Freshness::Dead => return Err(Forwarded::Stale),
        };
        let is_fresh = by.is_none();
        // §5.2.1.1; RFC 8246 §2.1 for what is immutable, and §4 for an age of zero.
        let is_too_old = asked
            .max_age
            .is_some_and(|most| stored.age.as_secs() > most || most == 0)
            && !(is_fresh && stored.immutable);
        // §5.2.1.3.
        let is_too_short = asked.min_fresh.is_some_and(|least| left < least);
        let is_refused = asked.no_cache || is_too_old || is_too_short;
        match by {
            None if is_refused => Err(Forwarded::Request),
            None => Ok(Lookup::Fresh),
            Some(_) if is_refused => Err(Forwarded::Stale),
            // RFC 5861 §3, but for who gave a max-age and no max-stale.
            Some(by) if is_revalidated && (asked.max_age.is_none() || asked.takes_stale(by)) => {
                Ok(Lookup::StaleWhileRevalidate)
            }
            // §5.2.1.2, and §4.2.4 for what prohibits it.
            Some(by) if asked.takes_stale(by) && !stored.forbids_stale => Ok(Lookup::MaxStale),
            Some(_) => Err(Forwarded::Stale),
        }
    }

    /// The guarded keep what did not say otherwise from requests with credentials.
    fn may_have(&self, stored: &Candidate) -> bool {
        self.profile == Profile::Standard
            || self.per_credential
            || !self.credentials
            || stored.shared_with_credentials
    }

    /// RFC 9111 §4.2.4, RFC 5861 §4.
    fn expected_to_stand_in(&self, stored: &Candidate, failure: Failure) -> bool {
        let Freshness::Stale { by, if_error, .. } = stored.freshness else {
            return false;
        };
        let asked = self.heeded();
        let is_disconnected = failure == Failure::Unreachable;
        let a_day = Duration::from_secs(24 * 60 * 60);
        let by_cache = self.profile == Profile::Standard && is_disconnected && by <= a_day;
        let by_client = asked
            .stale_if_error
            .is_some_and(|most| by.as_secs() <= most);
        let is_permitted = if_error || ((by_cache || by_client) && !stored.forbids_stale);
        is_permitted && !asked.no_cache && self.may_have(stored)
    }
}

/// Few seconds, so that they often are the same.
fn seconds() -> impl Strategy<Value = u64> {
    prop_oneof![5 => 0..6_u64, 1 => select(vec![1 << 20, 1 << 40])]
}

fn asked() -> impl Strategy<Value = Asked> {
    let max_stale = weighted(0.4, prop_oneof![4 => seconds(), 1 => Just(ANY)]);
    let number = || weighted(0.3, seconds());
    let flag = || prop::bool::weighted(0.15);
    (flag(), flag(), number(), number(), max_stale, number()).prop_map(
        |(no_cache, only_if_cached, max_age, min_fresh, max_stale, stale_if_error)| Asked {
            no_cache,
            only_if_cached,
            max_age,
            min_fresh,
            max_stale,
            stale_if_error,
        },
    )
}

fn freshness(forbids_stale: bool) -> impl Strategy<Value = Freshness> {
    let span = || (0..6_u64).prop_map(Duration::from_secs);
    // What forbids it has no window (`http::admit`).
    let window = move || any::<bool>().prop_map(move |open| open && !forbids_stale);
    let fresh = (1..6_u64).prop_map(|left| Freshness::Fresh {
        left: Duration::from_secs(left),
    });
    let stale = (span(), window(), window()).prop_map(|(by, while_revalidate, if_error)| {
        Freshness::Stale {
            by,
            while_revalidate,
            if_error,
        }
    });
    prop_oneof![3 => fresh, 4 => stale, 1 => Just(Freshness::Dead)]
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (flags, 0..6_u64).prop_flat_map(|((shared, forbids_stale, immutable), age)| {
        freshness(forbids_stale).prop_map(move |freshness| Candidate {
            age: Duration::from_secs(age),
            freshness,
            shared_with_credentials: shared,
            forbids_stale,
            immutable,
        })
    })
}

fn case() -> impl Strategy<Value = Case> {
    let none = select(vec![
        Forwarded::UriMiss,
        Forwarded::VaryMiss,
        Forwarded::Partial,
    ]);
    let stored = prop_oneof![7 => candidate().prop_map(Ok), 1 => none.prop_map(Err)];
    let profile = select(vec![Profile::Guarded, Profile::Standard]);
    let flags = (
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.8),
    );
    (asked(), stored, profile, flags).prop_map(
        |(asked, stored, profile, (credentials, per_credential, heeds_client))| Case {
            asked,
            credentials,
            stored,
            profile,
            per_credential,
            heeds_client,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn what_is_stored_answers_as_the_sentences_say(case in case()) {
        let found = lookup(&case.request(), case.stored, &case.policy());
        prop_assert_eq!(found, case.expected());
    }

    #[test]
    fn what_is_stale_stands_in_as_the_sentences_say(
        case in case(), stored in candidate(), failure in select(vec![Failure::Unreachable, Failure::Status]),
    ) {
        let found = may_stand_in(&case.request(), &stored, &case.policy(), failure);
        prop_assert_eq!(found, case.expected_to_stand_in(&stored, failure));
    }
}
