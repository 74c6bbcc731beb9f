//! The addresses of names.
//!
//! The system looks them up on a thread that nothing calls back. Where who answers for names is silent, a
//! dial that gives up leaves that thread behind, and dials come several times a second. So who asks for a name
//! that is being looked up waits for the same answer: a name holds one thread, however often it is dialled.

use crate::{spawn::spawn, timer};
use redis::{RedisError, RedisFuture, io::AsyncDNSResolver};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// An answer that came when nobody waited any longer is there for the next dial.
const KEPT: Duration = Duration::from_secs(1);

type Addresses = Vec<SocketAddr>;
type Answer = watch::Receiver<Option<Result<Addresses, RedisError>>>;
type Looking = Pin<Box<dyn Future<Output = io::Result<Addresses>> + Send>>;

#[derive(Clone)]
pub(super) struct Resolver {
    look_up: fn(Box<str>, u16) -> Looking,
    asked: Arc<Mutex<Asked>>,
}

type Asked = HashMap<(Box<str>, u16), Answer>;

impl Default for Resolver {
    fn default() -> Self {
        Self::new(|host, port| Box::pin(by_system(host, port)))
    }
}

impl Resolver {
    fn new(look_up: fn(Box<str>, u16) -> Looking) -> Self {
        Self {
            look_up,
            asked: Arc::default(),
        }
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Addresses, RedisError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok([SocketAddr::new(address, port)].into());
        }
        let mut answer = self.answer(host, port);
        let answered = answer.wait_for(Option::is_some).await;
        let known = answered.ok().and_then(|answer| answer.clone());
        // Its runtime ended.
        known.unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::Interrupted).into()))
    }

    /// The answer that is on its way, or will be.
    fn answer(&self, host: &str, port: u16) -> Answer {
        let name = (Box::from(host), port);
        let mut asked = locked(&self.asked);
        let is_alive = |answer: &&Answer| answer.has_changed().is_ok();
        if let Some(answer) = asked.get(&name).filter(is_alive) {
            return answer.clone();
        }
        let (says, answer) = watch::channel(None);
        asked.insert(name.clone(), answer.clone());
        drop(asked);
        let (looking, asked) = (
            (self.look_up)(name.0.clone(), port),
            Arc::clone(&self.asked),
        );
        drop(spawn(async move {
            let found = looking.await.map_err(RedisError::from);
            // Beside those who wait there is the one in the table.
            let is_late = found.is_ok() && says.receiver_count() <= 1;
            says.send_replace(Some(found));
            if is_late {
                let until = timer::later(timer::now(), KEPT);
                timer::until(until, std::future::pending::<()>()).await;
            }
            locked(&asked).remove(&name);
        }));
        answer
    }
}

impl AsyncDNSResolver for Resolver {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        host: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let found = self.addresses(host, port).await?;
            let found: Box<dyn Iterator<Item = SocketAddr> + Send> = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

async fn by_system(host: Box<str>, port: u16) -> io::Result<Addresses> {
    Ok(tokio::net::lookup_host((&*host, port)).await?.collect())
}

fn locked(asked: &Mutex<Asked>) -> MutexGuard<'_, Asked> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::{Redis, RedisSettings, Remote as _, State};
    use std::sync::atomic::{AtomicU32, Ordering};

    const MS: Duration = Duration::from_millis(1);

    /// As a dial: it gives up.
    async fn dial(resolver: &Resolver, host: &str) -> Option<Result<Addresses, RedisError>> {
        tokio::time::timeout(250 * MS, resolver.addresses(host, 1))
            .await
            .ok()
    }

    /// RDS-23: dials of a name that nobody answers for do not leave a thread each behind.
    #[tokio::test(start_paused = true)]
    async fn rds_23_a_name_that_is_being_looked_up_is_not_looked_up_again() {
        static LOOKED_UP: AtomicU32 = AtomicU32::new(0);
        let resolver = Resolver::new(|_, _| {
            LOOKED_UP.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::pending())
        });
        for _ in 0..100 {
            assert!(dial(&resolver, "a").await.is_none());
        }
        assert_eq!(LOOKED_UP.load(Ordering::Relaxed), 1);
        assert!(dial(&resolver, "b").await.is_none());
        assert_eq!(
            LOOKED_UP.load(Ordering::Relaxed),
            2,
            "names do not wait for each other"
        );
        let literal = dial(&resolver, "::1").await.unwrap().unwrap();
        assert_eq!(*literal, ["[::1]:1".parse().unwrap()]);
        assert_eq!(LOOKED_UP.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn rds_23_a_server_of_a_silent_name_is_dialled_for_a_minute_with_one_look_up() {
        static LOOKED_UP: AtomicU32 = AtomicU32::new(0);
        let resolver = Resolver::new(|_, _| {
            LOOKED_UP.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::pending())
        });
        let mut settings = RedisSettings::new("redis://cache.example").unwrap();
        settings.resolver = resolver;
        let remote = Redis::with(settings).unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(matches!(remote.health().state, State::Down(_)));
        assert_eq!(LOOKED_UP.load(Ordering::Relaxed), 1);
    }

    /// Slower than a dial waits, it would be asked for in vain for ever.
    #[tokio::test(start_paused = true)]
    async fn an_answer_that_came_too_late_is_there_for_the_next_who_asks() {
        static LOOKED_UP: AtomicU32 = AtomicU32::new(0);
        let resolver = Resolver::new(|_, port| {
            LOOKED_UP.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                tokio::time::sleep(300 * MS).await;
                Ok([SocketAddr::new([127, 0, 0, 1].into(), port)].into())
            })
        });
        assert!(dial(&resolver, "a").await.is_none());
        tokio::time::sleep(400 * MS).await;
        assert!(dial(&resolver, "a").await.unwrap().is_ok());
        assert_eq!(LOOKED_UP.load(Ordering::Relaxed), 1);
        tokio::time::sleep(2 * KEPT).await;
        assert!(dial(&resolver, "a").await.is_none(), "asked for anew");
        assert_eq!(LOOKED_UP.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_name_that_the_system_knows_is_found_with_the_port_that_was_asked_for() {
        let resolver = Resolver::default();
        let found = resolver.addresses("localhost", 7).await.unwrap();
        let is_it = |at: &SocketAddr| at.ip().is_loopback() && at.port() == 7;
        assert!(!found.is_empty() && found.iter().all(is_it), "{found:?}");
    }

    /// Whoever comes after the end of the runtime that asked asks again.
    #[test]
    fn an_answer_that_ended_with_its_runtime_is_asked_for_again() {
        static LOOKED_UP: AtomicU32 = AtomicU32::new(0);
        let resolver = Resolver::new(|_, _| {
            LOOKED_UP.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::pending())
        });
        for _ in 0..2 {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_time().start_paused(true).build().unwrap();
            assert!(runtime.block_on(dial(&resolver, "a")).is_none());
        }
        assert_eq!(LOOKED_UP.load(Ordering::Relaxed), 2);
    }
}
