//! The right, among all processes, to load one key.

use crate::{
    policy::Life,
    remote::{
        Budget, Envelope, Failure, LARGE, Sealed, ServerTime, Token, Value,
        jobs::PATIENCE,
        on_its_way,
        tier::{HEARD, Tier},
    },
    timer,
};
use bytes::Bytes;
use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// The lease of a key. Dropping it gives it back, and one of those who wait takes it.
pub struct Lease {
    tier: Arc<Tier>,
    key: Box<[u8]>,
    name: Box<[u8]>,
    token: Token,
    nonce: u64,
    born: ServerTime,
    granted: Instant,
    is_successor: bool,
    is_over: bool,
}

/// What a load under a lease yielded, to be shared.
#[derive(Clone)]
pub struct Shared {
    /// The encoded value; `None` for "there is none".
    pub body: Option<Bytes>,
    /// Its lifetimes from now.
    pub life: Life,
    /// How long its load took.
    pub cost: Duration,
    /// The groups it belongs to.
    pub groups: Vec<Box<str>>,
}

/// Without what may not reach a log.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("length", &self.body.as_ref().map(Bytes::len))
            .field("life", &self.life)
            .field("groups", &self.groups.len())
            .finish_non_exhaustive()
    }
}

impl Lease {
    /// A lease that was granted just now, kept until the instant `until`.
    pub(crate) fn new(
        tier: &Arc<Tier>,
        key: &[u8],
        name: &[u8],
        token: Token,
        born: ServerTime,
        until: Instant,
    ) -> Self {
        tier.jobs.keep(name, token, until);
        Self {
            tier: Arc::clone(tier),
            key: key.into(),
            name: name.into(),
            token,
            nonce: fastrand::u64(1..),
            born,
            granted: timer::now(),
            is_successor: false,
            is_over: false,
        }
    }

    /// As it is for one who waited for another's.
    pub(crate) fn after_another(mut self) -> Self {
        self.is_successor = true;
        self
    }

    /// Whether another process had it, and this one waited, until that ended without a value.
    pub fn is_successor(&self) -> bool {
        self.is_successor
    }

    /// Names the version of the value that will be stored under it.
    pub(crate) fn nonce(&self) -> u64 {
        self.nonce
    }

    /// The key it is for.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Names the version of what will be stored under it, and [beside](Self::put_beside) it.
    pub fn version(&self) -> u64 {
        self.nonce
    }

    /// Stores, under another key, what the same load yielded: as old as what is committed, and of no
    /// use unless that leads to it. Says whether it was stored; not where one of its groups was
    /// invalidated since the load began.
    ///
    /// # Errors
    ///
    /// Where the remote tier did not say: it may be stored or not.
    pub async fn put_beside(
        &self,
        key: &[u8],
        loaded: Shared,
        budget: &mut Budget,
    ) -> Result<bool, Failure> {
        let name = self.tier.name(key).ok_or(Failure::TooLarge)?;
        let (sealed, lasting, groups) = self.seal(key, loaded)?;
        if !self.join(&groups, lasting, budget).await? {
            return Ok(false);
        }
        let value = Value {
            bytes: sealed.bytes,
            lasting,
        };
        let size = value.bytes.len();
        if size <= LARGE {
            let values = [(&*name, value)];
            let put = |limit| self.tier.remote.put_many(&values, limit);
            return budget.spend(put).await.map(|()| true);
        }
        let (remote, name) = (Arc::clone(&self.tier.remote), name.into_owned());
        let put = async move {
            let put = remote.put_many(&[(&*name, value)], patience(size)).await;
            put.map(|()| true)
        };
        behind(&self.tier, size, put, budget).await
    }

    /// Stores what was loaded, if the key was not invalidated since and the lease is still this one;
    /// says whether it was stored.
    ///
    /// # Errors
    ///
    /// Where the remote tier did not say: it may be stored or not.
    ///
    /// More than 64 KiB may need longer than a request has: they go on in the background when the
    /// budget is over, and this says [`Failure::Late`]. Where they are refused after that, what memory
    /// holds of the key is not used any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping it gives the lease back, or leaves a large value to the background; what was loaded
    /// may be stored or not.
    pub async fn commit(self, loaded: Shared, budget: &mut Budget) -> Result<bool, Failure> {
        let size = size_of(&loaded);
        if size <= LARGE {
            return self.commit_within(loaded, budget).await;
        }
        let tier = Arc::clone(&self.tier);
        behind(&tier, size, self.commit_large(loaded, size), budget).await
    }

    async fn commit_within(mut self, loaded: Shared, budget: &mut Budget) -> Result<bool, Failure> {
        let committed = self.try_commit(loaded, budget).await;
        self.is_over = committed == Ok(true);
        self.tier.count_commit(&committed);
        committed
    }

    /// For the background, where each step may take what its bytes need.
    async fn commit_large(self, loaded: Shared, size: usize) -> Result<bool, Failure> {
        let (tier, name) = (Arc::clone(&self.tier), self.name.clone());
        let committed = self
            .commit_within(loaded, &mut Budget::new(patience(size)))
            .await;
        if committed == Ok(false) {
            tier.coherence.changed(&name);
        }
        committed
    }

    /// As [`commit`](Self::commit), in the background. Where it is refused, or there is no room for
    /// it, what memory holds of the key is not used any more.
    pub fn publish(self, loaded: Shared) {
        let (tier, name) = (Arc::clone(&self.tier), self.name.clone());
        let size = size_of(&loaded);
        let job = async move {
            let _ = self.commit_large(loaded, size).await;
        };
        if !tier.jobs.enqueue(size, job) {
            tier.coherence.changed(&name);
        }
    }

    /// Lets all who wait, in all processes, get this failure, and during `pause`, which lasts 100 ms at
    /// least, all who come and [heed](super::Failures::Remembered) it.
    pub fn fail(mut self, message: &str, pause: Duration) {
        self.is_over = true;
        let jobs = &self.tier.jobs;
        jobs.stop_keeping(self.token);
        let (remote, name, token) = (Arc::clone(&self.tier.remote), self.name.clone(), self.token);
        let (message, weak) = (excerpt(message), Arc::downgrade(jobs));
        let has_room = jobs.enqueue(0, async move {
            let failed = remote.fail(&name, token, &message, pause.max(HEARD), PATIENCE);
            // A failure that is not heard of costs another process a load of its own, and no wait.
            if let (Err(_), Some(jobs)) = (failed.await, weak.upgrade()) {
                jobs.give_back(&name, token);
            }
        });
        if !has_room {
            jobs.give_back(&self.name, self.token);
        }
    }

    /// The lease is kept meanwhile: it must not end before the last byte has arrived.
    async fn try_commit(&self, loaded: Shared, budget: &mut Budget) -> Result<bool, Failure> {
        let (sealed, lasting, groups) = self.seal(&self.key, loaded)?;
        if !self.join(&groups, lasting, budget).await? {
            return Ok(false);
        }
        let remote = &*self.tier.remote;
        let value = Value {
            bytes: sealed.bytes,
            lasting,
        };
        let commit = |limit| remote.commit(&self.name, self.token, value, limit);
        budget.spend(commit).await
    }

    /// Makes sure that the groups are known; says whether none was invalidated since the load began.
    async fn join(
        &self,
        groups: &[Box<str>],
        lasting: Duration,
        budget: &mut Budget,
    ) -> Result<bool, Failure> {
        if groups.is_empty() {
            return Ok(true);
        }
        let names: Vec<String> = groups.iter().map(|name| self.tier.scoped(name)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        // Longer than the entry, so that each commit need not write them anew.
        let kept = lasting.saturating_mul(2);
        let joined = |limit| self.tier.remote.join_groups(&names, self.born, kept, limit);
        let versions = budget.spend(joined).await?;
        Ok(versions.iter().all(|version| *version < self.born))
    }

    fn seal(
        &self,
        key: &[u8],
        loaded: Shared,
    ) -> Result<(Sealed, Duration, Vec<Box<str>>), Failure> {
        let envelope = Envelope {
            nonce: self.nonce,
            born: self.born,
            stored: self
                .born
                .after(timer::now().saturating_duration_since(self.granted)),
            life: loaded.life,
            cost: loaded.cost,
            groups: loaded.groups,
            body: loaded.body,
        };
        let sealed = self.tier.seal(&envelope, key)?;
        Ok((sealed, envelope.lasting(), envelope.groups))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_over {
            self.tier.jobs.stop_keeping(self.token);
        } else {
            self.tier.jobs.give_back(&self.name, self.token);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("born", &self.born)
            .finish_non_exhaustive()
    }
}

fn size_of(loaded: &Shared) -> usize {
    loaded.body.as_ref().map_or(0, Bytes::len)
}

/// What storing so many bytes may take in the background: a megabyte a second is a slow link.
fn patience(size: usize) -> Duration {
    PATIENCE.saturating_add(on_its_way(size).saturating_mul(8))
}

/// Has `work` done in the background, and waits for it as long as the budget lasts.
async fn behind(
    tier: &Tier,
    size: usize,
    work: impl Future<Output = Result<bool, Failure>> + Send + 'static,
    budget: &mut Budget,
) -> Result<bool, Failure> {
    let (tell, told) = oneshot::channel();
    let job = async move {
        // Nobody may be waiting any more.
        let _ = tell.send(work.await);
    };
    if !tier.jobs.enqueue(size, job) {
        return Err(Failure::Away);
    }
    let wait = |limit| async move {
        let told = timer::until(timer::later(timer::now(), limit), told).await;
        told.and_then(Result::ok).unwrap_or(Err(Failure::Late))
    };
    budget.spend(wait).await
}

/// A message short enough to be kept beside every key that fails.
fn excerpt(message: &str) -> String {
    const LONGEST: usize = 256;
    message.chars().take(LONGEST).collect()
}
