//! Storing a response: under the key of its URI, or, where it varies, as one of several.

use super::{Shared, remote::Sharing};
use crate::{
    codec,
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
    clock::Moment,
    policy::Life,
    remote,
    store::{FlightKey, Lead, NewEntry, Outcome, Ticket, Writer},
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
    /// Its age and what is left of its lifetime are those at `came`.
    pub(super) terms: Terms,
    /// When its head came; after [`grow_older`](Self::grow_older), when its body had.
    pub(super) came: Moment,
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

    /// The time that its body took counts as its age, which is that of the response and not of what is
    /// stored of it (RFC 9111 §4.2.3).
    pub(super) fn grow_older(&mut self, now: Moment) {
        self.terms.later(now.since(self.came));
        self.came = now;
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

    /// The body that these pieces are.
    pub(super) fn joined<'a>(&self, pieces: impl Iterator<Item = &'a Bytes>) -> Body {
        self.extent(joined(pieces))
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

    /// Stores the response, unless it was overtaken, here or in another process. Gives the entry, and
    /// whether it is stored.
    pub(super) async fn commit(
        &self,
        shared: &Shared,
        body: &Body,
        lead: Option<&Lead<Stored>>,
        sharing: Option<Sharing>,
    ) -> (Arc<Entry<Stored>>, bool) {
        let is_current = || lead.is_none_or(Lead::is_current);
        let mut place = None;
        if let Some(sharing) = sharing.filter(|_| is_current()) {
            match self.share(shared, body, sharing).await {
                Ok(shared) => place = shared,
                Err(Overtaken) => {
                    shared.store.refused(self.key.as_bytes());
                    return (self.passing(shared, body.clone()), false);
                }
            }
        }
        // Whether the turn is still this leader's is asked under the lock of the commit: so one that was
        // overtaken cannot store after its successor did.
        let write = |writer: &Writer<'_, Stored>| {
            is_current().then(|| self.write(shared, writer, body, place.as_ref()))
        };
        let committed = shared.store.commit_with(&self.ticket, write).flatten();
        // Memory may decline what the remote tier has: it keeps nothing, or was told of this very write.
        let is_there = place.is_some_and(|place| place.version != 0);
        match committed {
            Some((entry, is_here)) => (entry, is_here || is_there),
            None => (self.passing(shared, body.clone()), false),
        }
    }

    /// Stores the response in the remote tier, as far as it goes there; says where that is.
    async fn share(
        &self,
        shared: &Shared,
        body: &Body,
        sharing: Sharing,
    ) -> Result<Option<Place>, Overtaken> {
        if !matches!(body, Body::Whole(_)) || !self.terms.shared_at_once {
            return Ok(None);
        }
        let Some(lease) = sharing.take() else {
            return Ok(None);
        };
        let mut budget = sharing.budget;
        let cost = shared.store.now().since(sharing.since);
        let place = Place {
            base: sharing.base.clone(),
            nonce: shared.store.random().bits(),
            version: lease.version(),
        };
        let there = place.variants(self);
        let is_primary = lease.key() == self.key.as_bytes();
        if self.terms.vary.is_empty() && there.is_none() {
            if !is_primary {
                return Ok(None);
            }
            let frame = self.frame(body, Selecting::default(), cost);
            return place.unless_overtaken(&lease.commit(frame, &mut budget).await);
        }
        let mut index = self.index(there, place.nonce);
        let Some(key) = self.variant_key(&index) else {
            return Ok(None);
        };
        let frame = self.frame(body, self.selecting(&index.fields), cost);
        if lease.key() == key.as_bytes() {
            return place.unless_overtaken(&lease.commit(frame, &mut budget).await);
        }
        if !is_primary {
            // An index by other fields is another's to make: under the lease of its key.
            shared.withdraw(&self.key);
            return Err(Overtaken);
        }
        if let Ok(false) = lease.put_beside(key.as_bytes(), frame, &mut budget).await {
            return Err(Overtaken);
        }
        index.note(&key);
        self.name_language(&mut index, key);
        let lasting = self.lasting(shared, place.base.as_deref());
        let frame = remote::Shared {
            body: codec::encode(&Stored::Variants(index)),
            life: Life {
                fresh: lasting,
                ..Life::default()
            },
            cost,
            groups: Vec::new(),
        };
        place.unless_overtaken(&lease.commit(frame, &mut budget).await)
    }

    fn frame(&self, body: &Body, selecting: Selecting, cost: Duration) -> remote::Shared {
        let response = StoredResponse::new(self.head.clone(), body.clone(), &self.terms, selecting);
        remote::Shared {
            body: codec::encode(&Stored::Response(response)),
            life: self.terms.life,
            cost,
            groups: self
                .groups
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
        }
    }

    /// The key of the variant that this is; `None` where it would be too long.
    fn variant_key(&self, index: &Variants) -> Option<Key> {
        let mut key = self.key.as_bytes().to_vec();
        write_variant(index, &self.request_headers, self.profile, &mut key);
        let fits = key.len() <= LONGEST_VARIANT_KEY && index.fields.len() <= MOST_FIELDS;
        fits.then(|| Key::from(&*key))
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
        place: Option<&Place>,
    ) -> (Arc<Entry<Stored>>, bool) {
        let alone = || Place {
            base: writer.trusted(self.key.as_bytes()),
            nonce: shared.store.random().bits(),
            version: 0,
        };
        let here;
        let place = match place {
            Some(place) => place,
            None => {
                here = alone();
                &here
            }
        };
        let earlier = writer.current(self.key.as_bytes());
        let earlier = earlier.as_ref().and_then(|entry| entry.value()?.variants());
        let variants = place.variants(self);
        if self.terms.vary.is_empty() && variants.is_none() {
            let new = self.merged(shared, writer, &self.key, body, Selecting::default());
            let entry = writer.shared_entry(&self.ticket, place.version, &self.key, new);
            // One that was purged must not displace what was stored since.
            let stored = entry.is_current() && writer.put(self.key.clone(), Arc::clone(&entry));
            return (entry, stored);
        }
        let mut index = self.index(variants, place.nonce);
        let selecting = self.selecting(&index.fields);
        let Some(key) = self.variant_key(&index) else {
            let new = self.merged(shared, writer, &self.key, body, selecting);
            return (writer.shared_entry(&self.ticket, 0, &self.key, new), false);
        };
        let new = self.merged(shared, writer, &key, body, selecting);
        let entry = writer.entry_beside(&self.ticket, place.version, &key, new);
        if !entry.is_current() {
            return (entry, false);
        }
        if let Some(replaced) = earlier.filter(|earlier| earlier.nonce != index.nonce) {
            replaced
                .keys
                .iter()
                .for_each(|key| writer.remove(key.as_bytes()));
        }
        let stored = writer.put(key.clone(), Arc::clone(&entry));
        if stored {
            index.add(writer, &key);
            self.name_language(&mut index, key);
            self.link(shared, writer, index, place);
        }
        (entry, stored)
    }

    fn link(&self, shared: &Shared, writer: &Writer<'_, Stored>, index: Variants, place: &Place) {
        let base = place.base.as_deref();
        let is_heir = place
            .variants(self)
            .is_some_and(|base| base.nonce == index.nonce);
        let new = NewEntry {
            size: index.weight(),
            value: Some(Stored::Variants(index)),
            life: Life {
                fresh: self.lasting(shared, base),
                ..Life::default()
            },
            groups: [""; 0],
        };
        let entry = match base.filter(|_| is_heir) {
            Some(base) => writer.heir(base, &self.ticket, &self.key, new),
            None => writer.shared_entry(&self.ticket, place.version, &self.key, new),
        };
        writer.link(self.key.clone(), entry);
    }

    /// The entry, combined with what is stored where both hold parts of one representation.
    fn merged(
        &self,
        shared: &Shared,
        writer: &Writer<'_, Stored>,
        key: &Key,
        body: &Body,
        selecting: Selecting,
    ) -> NewEntry<Stored, &[String]> {
        let current = writer.current(key.as_bytes());
        let of_ours = current
            .as_ref()
            .and_then(|entry| entry.value()?.response())
            .filter(|response| response.head().owner() == self.head.owner());
        let (head, body) = of_ours
            .and_then(|stored| self.combined(shared, stored, body))
            .unwrap_or_else(|| (self.head.clone(), body.clone()));
        let response = StoredResponse::new(head, body, &self.terms, selecting);
        self.new_entry(shared, response)
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
    fn index(&self, there: Option<&Variants>, nonce: u64) -> Variants {
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
            nonce,
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

/// What was loaded must not be kept: it was invalidated meanwhile.
struct Overtaken;

/// Where a response goes.
struct Place {
    /// The index that there is, if it is known to be current.
    base: Option<Arc<Entry<Stored>>>,
    /// That of an index that has to be made.
    nonce: u64,
    /// The version that the remote tier has; 0 where it has none.
    version: u64,
}

impl Place {
    fn variants(&self, keep: &Keep) -> Option<&Variants> {
        let variants = self.base.as_ref()?.value()?.variants()?;
        (variants.owner == *keep.head.owner()).then_some(variants)
    }

    /// This, unless the remote tier refused. Where it did not say, what is stored here has no version.
    fn unless_overtaken(
        self,
        committed: &Result<bool, remote::Failure>,
    ) -> Result<Option<Self>, Overtaken> {
        match committed {
            Ok(true) => Ok(Some(self)),
            Ok(false) => Err(Overtaken),
            Err(_) => Ok(Some(Self { version: 0, ..self })),
        }
    }
}

impl Variants {
    /// Adds a variant's key where use cannot be told; over the limit the first goes.
    fn note(&mut self, key: &Key) {
        let others = self.keys.iter().filter(|known| *known != key).cloned();
        let keys: Vec<Key> = others.chain([key.clone()]).collect();
        let over = keys.len().saturating_sub(MOST_VARIANTS);
        self.keys = keys.into_iter().skip(over).collect();
    }

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
