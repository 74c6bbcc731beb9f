//! Storing a response: under the key of its URI, or, where it varies, as one of several.

use super::{Shared, drive::selecting_of};
use crate::{
    fill::Fill,
    http::{
        admit::Terms,
        cache_status::Ttl,
        key::LONGEST_KEY,
        vary::{MOST_FIELDS, write_selecting},
    },
    stored::{Head, Selecting, Stored, StoredResponse, Variants},
};
use bytes::Bytes;
use cache_core::{
    Entry, Freshness, Key,
    policy::Life,
    store::{NewEntry, Ticket, Writer},
};
use http::{HeaderMap, HeaderName};
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
    nonce: u64,
    fields: &[HeaderName],
    request: &HeaderMap,
    key: &mut Vec<u8>,
) {
    key.extend_from_slice(MARK);
    key.extend_from_slice(&nonce.to_be_bytes());
    write_selecting(fields, request, key);
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

    /// The entry that those who wait get while the body is coming in. It is never stored.
    pub(super) fn announcement(&self, shared: &Shared, fill: &Arc<Fill>) -> Arc<Entry<Stored>> {
        let selecting = selecting_of(&self.terms.vary, &self.request_headers);
        let response =
            StoredResponse::filling(self.head.clone(), Arc::clone(fill), &self.terms, selecting);
        shared
            .store
            .entry(&self.ticket, &self.key, self.new_entry(response, 0))
    }

    /// Stores the response, unless it was overtaken. Gives the entry, and whether it is stored.
    pub(super) fn commit<'a>(
        &self,
        shared: &Shared,
        body: impl Iterator<Item = &'a Bytes>,
        current: bool,
    ) -> (Arc<Entry<Stored>>, bool) {
        let body = joined(body);
        let committed = current
            .then(|| {
                shared.store.commit_with(&self.ticket, |writer| {
                    self.write(shared, writer, body.clone())
                })
            })
            .flatten();
        committed.unwrap_or_else(|| {
            let selecting = selecting_of(&self.terms.vary, &self.request_headers);
            (
                shared
                    .store
                    .entry(&self.ticket, &self.key, self.whole(body, selecting)),
                false,
            )
        })
    }

    fn write(
        &self,
        shared: &Shared,
        writer: &Writer<'_, Stored>,
        body: Bytes,
    ) -> (Arc<Entry<Stored>>, bool) {
        let current = writer.current(self.key.as_bytes());
        let owner = self.head.owner();
        let variants = current
            .as_ref()
            .and_then(|entry| entry.value()?.variants())
            .filter(|variants| variants.owner == *owner);
        if self.terms.vary.is_empty() && variants.is_none() {
            let entry = writer.entry(
                &self.ticket,
                &self.key,
                self.whole(body, Selecting::default()),
            );
            // One that was purged must not displace what was stored since.
            let stored = entry.is_current() && writer.put(self.key.clone(), Arc::clone(&entry));
            return (entry, stored);
        }
        let mut index = self.index(shared, variants);
        let selecting = selecting_of(&index.fields, &self.request_headers);
        let mut key = self.key.as_bytes().to_vec();
        write_variant(index.nonce, &index.fields, &self.request_headers, &mut key);
        let fits = key.len() <= LONGEST_VARIANT_KEY && index.fields.len() <= MOST_FIELDS;
        let key = Key::from(&*key);
        let entry = writer.entry(&self.ticket, &key, self.whole(body, selecting));
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
            index.add(writer, key);
            let lasting = self.lasting(shared, current.as_deref());
            let size = index.keys.iter().map(|key| key.as_bytes().len() + 64).sum();
            let life = Life {
                fresh: lasting,
                ..Life::default()
            };
            let new = NewEntry {
                value: Some(Stored::Variants(index)),
                size,
                life,
                groups: [""; 0],
            };
            let index = writer.entry(&self.ticket, &self.key, new);
            writer.link(self.key.clone(), index);
        }
        (entry, stored)
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
        }
    }

    /// The index must outlive each of its variants.
    fn lasting(&self, shared: &Shared, earlier: Option<&Entry<Stored>>) -> Duration {
        let life = self.terms.life;
        let whole = life
            .fresh
            .saturating_add(life.stale_while_revalidate.max(life.stale_if_error));
        match earlier.map(|entry| entry.freshness(shared.store.now())) {
            Some(Freshness::Fresh { left }) => whole.max(left),
            _ => whole,
        }
    }

    fn whole(&self, body: Bytes, selecting: Selecting) -> NewEntry<Stored, &[String]> {
        let size = StoredResponse::weight(&self.head, body.len(), &selecting);
        self.new_entry(
            StoredResponse::whole(self.head.clone(), body, &self.terms, selecting),
            size,
        )
    }

    fn new_entry(&self, response: StoredResponse, size: usize) -> NewEntry<Stored, &[String]> {
        NewEntry {
            value: Some(Stored::Response(response)),
            size,
            life: self.terms.life,
            groups: &self.groups,
        }
    }
}

impl Variants {
    /// Adds a variant's key; over the limit the variant unused for longest goes.
    fn add(&mut self, writer: &Writer<'_, Stored>, key: Key) {
        if self.keys.contains(&key) {
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
        self.keys = keys.into_iter().map(|(_, key)| key).chain([key]).collect();
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
