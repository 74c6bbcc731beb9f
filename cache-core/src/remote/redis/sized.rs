//! Reading values whose size nobody knows before they are there.
//!
//! A small one comes within the time of a request or not at all. A large one may need more than that
//! for its bytes alone, and then every request would ask for it in vain. So its size is asked for at
//! the same time, over a lane where nothing large is in the way: that answer says that the server is
//! well and the value on its way, and for how long that is worth waiting. A server that says nothing
//! costs a request its limit, whatever it asks for.

use crate::{
    remote::{
        Failure, on_its_way,
        redis::{
            Inner,
            answers::count,
            shared::{Class, expected},
        },
    },
    timer,
};
use redis::{Cmd, Value};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::atomic::AtomicU8,
    task::Poll,
    time::Duration,
};

impl Inner {
    /// The value of `name`, whose `size` was noted before.
    pub(super) async fn get(
        &self,
        name: &[u8],
        size: &AtomicU8,
        limit: Duration,
    ) -> Result<Value, Failure> {
        let get = of("GET", name);
        if expected(size) == Class::Large {
            // The box keeps the usual way small.
            return Box::pin(self.get_large(name, &get, limit)).await;
        }
        let answer = self.servers.one(Class::Small, name, &get, limit).await;
        if answer == Err(Failure::Late) {
            // It may be large: the next who asks finds out.
            self.shared.note_size(size, usize::MAX);
        }
        answer
    }

    async fn get_large(&self, name: &[u8], get: &Cmd, limit: Duration) -> Result<Value, Failure> {
        let (asked, strlen) = (timer::now(), of("STRLEN", name));
        let longest = limit.saturating_add(self.bytes_of(u64::MAX));
        let mut value = pin!(self.servers.one(Class::Large, name, get, longest));
        let mut size = pin!(self.servers.one(Class::Small, name, &strlen, limit));
        let size = match first(value.as_mut(), size.as_mut()).await {
            First::One(answer) => return answer,
            // A user who may not ask for sizes waits as for a small one.
            First::Other(Err(Failure::Refused(_))) => 0,
            First::Other(size) => count(&size?),
        };
        let deadline = timer::later(asked, limit.saturating_add(self.bytes_of(size)));
        let arrived = timer::until(deadline, value).await;
        arrived.unwrap_or(Err(Failure::Late))
    }

    /// The value of `name`, which was of `size` just now.
    pub(super) async fn get_sized(
        &self,
        name: &[u8],
        size: u64,
        limit: Duration,
    ) -> Result<Value, Failure> {
        let limit = limit.saturating_add(self.bytes_of(size));
        let get = of("GET", name);
        self.servers.one(Class::Large, name, &get, limit).await
    }

    /// The time for `bytes`, if they are a value of ours.
    fn bytes_of(&self, bytes: u64) -> Duration {
        let most = self.shared.settings.max_value;
        on_its_way(usize::try_from(bytes).unwrap_or(most).min(most))
    }
}

fn of(command: &str, name: &[u8]) -> Cmd {
    // Made at its full length, it need not grow.
    let mut cmd = Cmd::with_capacity(2, command.len() + name.len());
    cmd.arg(command).arg(name);
    cmd
}

enum First<A, B> {
    One(A),
    Other(B),
}

/// Runs both until either is done.
async fn first<A: Future, B: Future>(
    mut one: Pin<&mut A>,
    mut other: Pin<&mut B>,
) -> First<A::Output, B::Output> {
    poll_fn(|cx| {
        if let Poll::Ready(output) = one.as_mut().poll(cx) {
            return Poll::Ready(First::One(output));
        }
        other.as_mut().poll(cx).map(First::Other)
    })
    .await
}
