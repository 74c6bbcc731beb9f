//! Storing a response: under the key of its URI, or, where it varies, as one of several.

use super::Shared;
use crate::{
    fill::Fill,
    http::{
        admit::Terms,
        cache_status::Ttl,
        fields::freshened,
        key::LONGEST_KEY,
        range::{ContentRange, Segments},
        validator::Validators,
        vary::{MOST_FIELDS, content_language, write_selecting, write_selecting_language},
    },
    policy::Profile,
    stored::{Body, Head, Selecting, Stored, StoredResponse, Variants},
};
use bytes::Bytes;
use cache_core::{
    Entry, Freshness, Key,
    policy::Life,
    store::{FlightKey, NewEntry, Outcome, Ticket, Writer},
};
use http::{HeaderMap, HeaderName, header};
use http_body::Frame;
use sha2::{Digest, Sha256};
use std::{collections::VecDeque, fmt::Write, sync::Arc, time::Duration};

/// So many variants of one URI are kept; another takes the place of the one unused for longest.
const MOST_VARIANTS: usize = 32;

/// What selects a variant may double the longest key; more of it is not kept.
const LONGEST_VARIANT_KEY: usize = 2 * LONGEST_KEY;

/// A response that is to be stored, before its body is here.
pub(super) struct Keep {
    pub(super) key: Key,
    pub(super) ticket: Ticket,
    pub(super) head: Head,
    pub(super) terms: Terms,
    pub(super) declared: Option<u64>,
    /// It renews something stale: a failure is followed by a pause.
    pub(super) renews: bool,
    pub(super) profile: Profile,
    pub(super) request_headers: Arc<HeaderMap>,
    pub(super) groups: Vec<String>,
}

/// The group of all entries whose key begins with that of a URI and goes on.
pub(super) fn uri_group(uri: &[u8]) -> String {
    let mut name = String::from("\0uri:");
    for byte in Sha256::digest(uri) {
        // A `String` takes everything.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// What stands between the key of a URI and the values that select one of its variants.
pub(super) const VARIANT_PREFIX: usize = MARK.len() + size_of::<u64>();

const MARK: &[u8] = b"\0vary";

/// Makes the key of a URI that of one of its variants.
pub(super) fn write_variant(
    variants: &Variants,
    request: &HeaderMap,
    profile: Profile,
    key: &mut Vec<u8>,
) {
    key.extend_from_slice(MARK);
    key.extend_from_slice(&variants.nonce.to_be_bytes());
    write_selecting(&variants.fields, request, profile, key);
}

impl Keep {
    /// The freshness lifetime it has.
    pub(super) fn ttl(&self) -> Ttl {
        Ttl::left(self.terms.life.fresh)
    }

    /// Whether these frames are the body in full: of the declared length, and nothing but data.
    pub(super) fn is_whole(&self, frames: &VecDeque<Frame<Bytes>>) -> bool {
        let length: u64 = frames
            .iter()
            .filter_map(Frame::data_ref)
            .map(|data| data.len() as u64)
            .sum();
        self.declared.is_none_or(|declared| declared == length) && frames.iter().all(Frame::is_data)
    }

    /// What those who wait are told of an entry: what has to be validated each time is not theirs.
    pub(super) fn outcome(&self, entry: Arc<Entry<Stored>>) -> Outcome<Stored> {
        if self.terms.shared_at_once {
            Outcome::Ready(entry)
        } else {
            Outcome::Unshared
        }
    }

    /// Who loaded by itself tells others whether they may load as one again.
    pub(super) fn release(&self, shared: &Shared, flight: &FlightKey) {
        if self.terms.shared_at_once {
            shared.store.mark_shared(flight);
        }
    }

    /// The entry that those who wait get while the body is coming in. It is never stored.
    pub(super) fn announcement(&self, shared: &Shared, fill: &Arc<Fill>) -> Arc<Entry<Stored>> {
        self.passing(shared, Body::Filling(Arc::clone(fill)))
    }

    /// Stores the response, unless it was overtaken. Gives the entry, and whether it is stored.
    pub(super) fn commit<'a>(
        &self,
        shared: &Shared,
        body: impl Iterator<Item = &'a Bytes>,
        current: bool,
    ) -> (Arc<Entry<Stored>>, bool) {
        let body = joined(body);
        self.commit_body(shared, &self.extent(body), current)
    }

    fn extent(&self, body: Bytes) -> Body {
        let Some(range) = self.terms.part else {
            return Body::Whole(body);
        };
        let mut parts = Segments::new(range.complete());
        // One that is not what it says was refused before: of its declared length it is.
        let _ = parts.combine(range, body);
        parts.to_whole().map_or(Body::Parts(parts), Body::Whole)
    }

    /// The same, for a body that is kept already.
    pub(super) fn commit_body(
        &self,
        shared: &Shared,
        body: &Body,
        current: bool,
    ) -> (Arc<Entry<Stored>>, bool) {
        let committed = current
            .then(|| {
                shared
                    .store
                    .commit_with(&self.ticket, |writer| self.write(shared, writer, body))
            })
            .flatten();
        committed.unwrap_or_else(|| (self.passing(shared, body.clone()), false))
    }

    /// An entry that is not stored.
    fn passing(&self, shared: &Shared, body: Body) -> Arc<Entry<Stored>> {
        let selecting = self.selecting(&self.terms.vary);
        let response = StoredResponse::new(self.head.clone(), body, &self.terms, selecting);
        let new = self.new_entry(shared, response);
        shared.store.entry(&self.ticket, &self.key, new)
    }

    fn selecting(&self, fields: &[HeaderName]) -> Selecting {
        selecting_of(fields, &self.request_headers, self.profile)
    }

    fn write(
        &self,
        shared: &Shared,
        writer: &Writer<'_, Stored>,
        body: &Body,
    ) -> (Arc<Entry<Stored>>, bool) {
        let current = writer.current(self.key.as_bytes());
        let variants = current
            .as_ref()
            .and_then(|entry| entry.value()?.variants())
            .filter(|variants| variants.owner == *self.head.owner());
        if self.terms.vary.is_empty() && variants.is_none() {
            let entry = self.merged(shared, writer, &self.key, body, Selecting::default());
            // One that was purged must not displace what was stored since.
            let stored = entry.is_current() && writer.put(self.key.clone(), Arc::clone(&entry));
            return (entry, stored);
        }
        let mut index = self.index(shared, variants);
        let mut key = self.key.as_bytes().to_vec();
        write_variant(&index, &self.request_headers, self.profile, &mut key);
        let fits = key.len() <= LONGEST_VARIANT_KEY && index.fields.len() <= MOST_FIELDS;
        let key = Key::from(&*key);
        let selecting = self.selecting(&index.fields);
        let entry = self.merged(shared, writer, &key, body, selecting);
        if !entry.is_current() {
            return (entry, false);
        }
        if let Some(replaced) = variants.filter(|variants| variants.nonce != index.nonce) {
            replaced
                .keys
                .iter()
                .for_each(|key| writer.remove(key.as_bytes()));
        }
        let stored = fits && writer.put(key.clone(), Arc::clone(&entry));
        if stored {
            index.add(writer, &key);
            self.name_language(&mut index, key);
            self.link(shared, writer, index, current.as_deref());
        }
        (entry, stored)
    }

    fn link(
        &self,
        shared: &Shared,
        writer: &Writer<'_, Stored>,
        index: Variants,
        current: Option<&Entry<Stored>>,
    ) {
        let keys: usize = index.keys.iter().map(|key| key.as_bytes().len() + 64).sum();
        let languages: usize = index
            .languages
            .iter()
            .map(|(selected, key)| selected.len() + key.as_bytes().len() + 64)
            .sum();
        let new = NewEntry {
            value: Some(Stored::Variants(index)),
            size: keys + languages,
            life: Life {
                fresh: self.lasting(shared, current),
                ..Life::default()
            },
            groups: [""; 0],
        };
        writer.link(self.key.clone(), writer.entry(&self.ticket, &self.key, new));
    }

    /// The entry, combined with what is stored where both hold parts of one representation.
    fn merged(
        &self,
        shared: &Shared,
        writer: &Writer<'_, Stored>,
        key: &Key,
        body: &Body,
        selecting: Selecting,
    ) -> Arc<Entry<Stored>> {
        let current = writer.current(key.as_bytes());
        let of_ours = current
            .as_ref()
            .and_then(|entry| entry.value()?.response())
            .filter(|response| response.head().owner() == self.head.owner());
        let (head, body) = of_ours
            .and_then(|stored| self.combined(shared, stored, body))
            .unwrap_or_else(|| (self.head.clone(), body.clone()));
        let response = StoredResponse::new(head, body, &self.terms, selecting);
        writer.entry(&self.ticket, key, self.new_entry(shared, response))
    }

    /// Parts that one strong validator proves to be of one representation are kept as one (RFC 9111 §3.4).
    fn combined(
        &self,
        shared: &Shared,
        stored: &StoredResponse,
        body: &Body,
    ) -> Option<(Head, Body)> {
        let Body::Parts(new) = body else {
            return None;
        };
        let fields = self.head.fields();
        let validators = |headers| Validators::read(headers, self.head.received());
        if !validators(stored.headers()).shares_strong(&validators(&fields)) {
            return None;
        }
        let union = match stored.body() {
            Body::Whole(whole) => {
                let is_same = new.complete_length() == Some(whole.len() as u64);
                is_same.then(|| Body::Whole(whole.clone()))?
            }
            Body::Parts(parts) => united(parts, new, self.terms.part?, shared.max_body)?,
            Body::Filling(_) => return None,
        };
        let headers = freshened(&stored.head().fields(), &fields, self.head.received());
        Some((self.head.with_fields(headers), union))
    }

    /// Makes it findable by who prefers its language (RFC 9110 §12.5.4).
    fn name_language(&self, index: &mut Variants, key: Key) {
        let by_language = index.fields.contains(&header::ACCEPT_LANGUAGE);
        let fields = self.head.fields();
        let language =
            content_language(&fields).filter(|_| by_language && self.profile == Profile::Standard);
        let Some(language) = language else {
            return;
        };
        let mut selected = Vec::new();
        write_selecting_language(
            &index.fields,
            &self.request_headers,
            self.profile,
            language,
            &mut selected,
        );
        let is_there = |key: &Key| index.keys.contains(key);
        let others = index
            .languages
            .iter()
            .filter(|(known, key)| **known != *selected && is_there(key))
            .cloned();
        index.languages = others.chain([(selected.clone().into(), key)]).collect();
    }

    /// The index that the variant goes into: the one there is, where its fields are enough to select
    /// this response too; else one by the fields of both, which then starts empty.
    ///
    /// A response that names no field while others of its URI do is taken to vary like those: the
    /// omission is a common mistake (RFC 9111 §4.1).
    fn index(&self, shared: &Shared, there: Option<&Variants>) -> Variants {
        let fields = |there: &Variants| {
            self.terms
                .vary
                .iter()
                .all(|name| there.fields.contains(name))
        };
        if let Some(there) = there.filter(|there| fields(there)) {
            return Variants {
                owner: self.head.owner().clone(),
                fields: there.fields.clone(),
                nonce: there.nonce,
                keys: there.keys.clone(),
                languages: there.languages.clone(),
            };
        }
        let mut fields = self.terms.vary.clone();
        fields.extend(
            there
                .into_iter()
                .flat_map(|there| there.fields.iter().cloned()),
        );
        fields.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        fields.dedup();
        Variants {
            owner: self.head.owner().clone(),
            fields: fields.into(),
            nonce: shared.store.random().bits(),
            keys: Box::default(),
            languages: Box::default(),
        }
    }

    /// The index must outlive each of its variants.
    fn lasting(&self, shared: &Shared, earlier: Option<&Entry<Stored>>) -> Duration {
        let life = self.terms.life;
        let after = life
            .stale_while_revalidate
            .max(life.stale_if_error)
            .max(life.kept);
        let whole = life.fresh.saturating_add(after);
        match earlier.map(|entry| entry.freshness(shared.store.now())) {
            Some(Freshness::Fresh { left }) => whole.max(left),
            _ => whole,
        }
    }

    fn new_entry(&self, shared: &Shared, response: StoredResponse) -> NewEntry<Stored, &[String]> {
        NewEntry {
            size: response.weight(shared.field_copy),
            value: Some(Stored::Response(response)),
            life: self.terms.life,
            groups: &self.groups,
        }
    }
}

/// The parts of both; all of it, where none is missing. `None` where that is more than is kept.
fn united(stored: &Segments, new: &Segments, range: ContentRange, most: u64) -> Option<Body> {
    let content = new.slice(range.span()?)?.concat();
    let mut union = stored.clone();
    union.combine(range, content.into()).ok()?;
    if union.len() > most {
        return None;
    }
    Some(union.to_whole().map_or(Body::Parts(union), Body::Whole))
}

/// What a request's `fields` select by.
pub(super) fn selecting_of(
    fields: &[HeaderName],
    headers: &HeaderMap,
    profile: Profile,
) -> Selecting {
    let mut values = Vec::new();
    write_selecting(fields, headers, profile, &mut values);
    Selecting {
        fields: fields.into(),
        values: values.into(),
    }
}

impl Variants {
    /// Adds a variant's key; over the limit the variant unused for longest goes.
    fn add(&mut self, writer: &Writer<'_, Stored>, key: &Key) {
        if self.keys.contains(key) {
            return;
        }
        let used = |key: &Key| {
            let entry = writer.current(key.as_bytes())?;
            Some(entry.value()?.response()?.used())
        };
        // Those that are gone from the store need no place.
        let mut keys: Vec<(u64, Key)> = self
            .keys
            .iter()
            .filter_map(|key| Some((used(key)?, key.clone())))
            .collect();
        if keys.len() >= MOST_VARIANTS
            && let Some(oldest) =
                (0..keys.len()).min_by_key(|at| keys.get(*at).map(|(used, _)| *used))
        {
            let (_, oldest) = keys.swap_remove(oldest);
            writer.remove(oldest.as_bytes());
        }
        self.keys = keys
            .into_iter()
            .map(|(_, key)| key)
            .chain([key.clone()])
            .collect();
    }
}

/// One piece of memory of its own: a frame may be a small slice of a large buffer, which would stay
/// as long as the entry.
fn joined<'a>(pieces: impl Iterator<Item = &'a Bytes>) -> Bytes {
    let mut body = Vec::new();
    pieces.for_each(|piece| body.extend_from_slice(piece));
    body.shrink_to_fit();
    Bytes::from(body)
}
