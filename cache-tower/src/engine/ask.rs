//! How a request is put to the origin, by what is stored for it.

use super::{
    Shared,
    begin::{Plan, find},
};
use crate::{
    http::{
        cache_status::Forwarded,
        conditional,
        range::{ContentRange, Span},
        request::MethodClass,
        shape::Fit,
        validator::{Freshening, Validators, freshening},
        vary::accepts_coding,
    },
    policy::Policy,
    stored::{Body, Stored, StoredResponse},
};
use bytes::Bytes;
use cache_core::{Entry, key::scratch};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::{borrow::Cow, sync::Arc, time::SystemTime};

/// What the origin is asked.
pub(super) enum Ask {
    /// What the client asked.
    AsIs,
    /// Whether this is still what it has (RFC 9111 §4.3.1).
    Validate(Arc<Entry<Stored>>),
    /// Which of these, stored for other selecting fields, it would give.
    Choose(Vec<Arc<Entry<Stored>>>),
    /// What is missing of this (RFC 9111 §3.4).
    Complete(Arc<Entry<Stored>>, Span),
}

impl Ask {
    /// By what is stored and was not purged since the request looked.
    pub(super) fn of(
        shared: &Shared,
        policy: &Arc<Policy>,
        plan: &Plan,
        headers: &HeaderMap,
    ) -> Self {
        if plan.facts.method != MethodClass::Get {
            return Self::AsIs;
        }
        let stored = plan
            .stored
            .as_ref()
            .filter(|stored| is_still_stored(shared, policy, plan, headers, stored));
        if let Some(entry) = stored {
            return about(shared, plan, headers, entry).unwrap_or(Self::AsIs);
        }
        // Guarded: fields that depend on what selects, and are not in the 304, would be another variant's.
        if plan.why == Forwarded::VaryMiss && plan.facts.is_plain() && !policy.is_guarded() {
            let others = tagged_variants(shared, policy, plan, headers);
            if !others.is_empty() {
                return Self::Choose(others);
            }
        }
        Self::AsIs
    }

    /// Whether it is not the client's own question: the response is then not the client's alone.
    pub(super) fn is_own(&self) -> bool {
        !matches!(self, Self::AsIs)
    }

    /// Writes the question into the request's fields.
    pub(super) fn write(&self, headers: &mut HeaderMap, now: SystemTime) {
        match self {
            Self::AsIs => {}
            Self::Validate(entry) => {
                if let Some(stored) = response(entry) {
                    conditional::validate(headers, stored.headers(), now);
                }
            }
            Self::Choose(entries) => {
                let tag = |entry: &Arc<Entry<Stored>>| {
                    response(entry)?.headers().get(header::ETAG).cloned()
                };
                conditional::offer(headers, entries.iter().filter_map(tag));
            }
            Self::Complete(entry, gap) => {
                let validator = response(entry).and_then(|stored| strong_validator(stored, now));
                let range = HeaderValue::try_from(format!("bytes={gap}"));
                if let (Some(validator), Ok(range)) = (validator, range) {
                    headers.insert(header::RANGE, range);
                    headers.insert(header::IF_RANGE, validator);
                }
            }
        }
    }

    /// The stored response that a 304 is about (RFC 9111 §4.3.4).
    pub(super) fn confirmed(
        &self,
        update: &HeaderMap,
        now: SystemTime,
    ) -> Option<&Arc<Entry<Stored>>> {
        match self {
            Self::AsIs | Self::Complete(..) => None,
            Self::Validate(entry) => Some(entry),
            Self::Choose(entries) => {
                let is_it = |entry: &&Arc<Entry<Stored>>| {
                    response(entry).is_some_and(|stored| {
                        matches!(
                            freshening(stored.headers(), update, now),
                            Freshening::Strong | Freshening::Weak
                        )
                    })
                };
                match &**entries {
                    [only] if !update.contains_key(header::ETAG) => Some(only),
                    _ => entries.iter().find(is_it),
                }
            }
        }
    }

    /// The bytes before and after the missing part, where a 206 is that part.
    pub(super) fn completed(&self, part: &HeaderMap, now: SystemTime) -> Option<Completed<'_>> {
        let Self::Complete(entry, gap) = self else {
            return None;
        };
        let stored = response(entry)?;
        let Body::Parts(parts) = stored.body() else {
            return None;
        };
        let range = ContentRange::parse(part.get(header::CONTENT_RANGE)?.as_bytes())?;
        let fits = range.span() == Some(*gap)
            && range.complete() == parts.complete_length()
            && Validators::read(stored.headers(), now).shares_strong(&Validators::read(part, now));
        let (before, after) = parts.around_gap()?;
        fits.then(|| Completed {
            stored,
            gap: *gap,
            length: parts.complete_length().unwrap_or_default(),
            before: before.concat().into(),
            after: after.concat().into(),
        })
    }
}

/// A missing part that came, and what there is around it.
pub(super) struct Completed<'a> {
    pub(super) stored: &'a StoredResponse,
    pub(super) gap: Span,
    pub(super) length: u64,
    pub(super) before: Bytes,
    pub(super) after: Bytes,
}

fn response(entry: &Arc<Entry<Stored>>) -> Option<&StoredResponse> {
    entry.value()?.response()
}

fn about(
    shared: &Shared,
    plan: &Plan,
    headers: &HeaderMap,
    entry: &Arc<Entry<Stored>>,
) -> Option<Ask> {
    let stored = response(entry)?;
    let now = shared.store.clock().wall();
    if let Body::Parts(parts) = stored.body()
        && plan.facts.is_plain()
    {
        strong_validator(stored, now)?;
        return Some(Ask::Complete(Arc::clone(entry), parts.gap()?));
    }
    let holds = stored.fit(&plan.facts, headers, now) != Fit::Lacks;
    let has_validator = Validators::read(stored.headers(), now).is_any();
    (holds && has_validator).then(|| Ask::Validate(Arc::clone(entry)))
}

/// As it is sent in If-Range (RFC 9110 §13.1.5).
fn strong_validator(stored: &StoredResponse, now: SystemTime) -> Option<HeaderValue> {
    Validators::read(stored.headers(), now).strong().cloned()
}

fn is_still_stored(
    shared: &Shared,
    policy: &Arc<Policy>,
    plan: &Plan,
    headers: &HeaderMap,
    stored: &Arc<Entry<Stored>>,
) -> bool {
    found_again(shared, policy, plan, headers).is_some_and(|found| Arc::ptr_eq(&found, stored))
}

/// What is stored now of what the request selects.
pub(super) fn found_again(
    shared: &Shared,
    policy: &Arc<Policy>,
    plan: &Plan,
    headers: &HeaderMap,
) -> Option<Arc<Entry<Stored>>> {
    scratch(|key| {
        key.extend_from_slice(plan.key.as_bytes());
        let fields = |_: &[HeaderName]| Cow::Borrowed(headers);
        find(shared, policy, plan.depth, fields, key, shared.store.now()).ok()
    })
}

/// The stored responses of the URI that have an entity tag and are coded as the request allows: a tag
/// that does not tell codings apart, which it should, must not get it another's.
fn tagged_variants(
    shared: &Shared,
    policy: &Arc<Policy>,
    plan: &Plan,
    headers: &HeaderMap,
) -> Vec<Arc<Entry<Stored>>> {
    let now = shared.store.now();
    let Some(index) = shared.store.lookup(plan.key.as_bytes(), now) else {
        return Vec::new();
    };
    let Some(variants) = index
        .value()
        .filter(|stored| stored.owner().is(policy, plan.depth))
        .and_then(Stored::variants)
    else {
        return Vec::new();
    };
    let is_tagged = |entry: &Arc<Entry<Stored>>| {
        response(entry).is_some_and(|stored| {
            matches!(stored.body(), Body::Whole(_))
                && stored.headers().contains_key(header::ETAG)
                && accepts_coding(headers, stored.headers())
        })
    };
    variants
        .keys
        .iter()
        .filter_map(|key| shared.store.lookup(key.as_bytes(), now))
        .filter(is_tagged)
        .collect()
}
