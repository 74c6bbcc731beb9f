//! A TCP proxy that gets in the way.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// What happens to bytes on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They pass.
    Open,
    /// They pass after a while.
    Slow(Duration),
    /// They pass after a while that differs each time, and is this long at most.
    Unsteady(Duration),
    /// They are held up until the way changes, and come then: as over a frozen host.
    Held,
    /// They vanish, and nobody is told: a link that is half open.
    BlackHole,
    /// The connection is cut.
    Cut,
}

/// A proxy before one address, for as long as it is not dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// The way of connections made from now on.
    new: Arc<Mutex<Way>>,
    /// The ways of those there are.
    old: Arc<Mutex<Vec<watch::Sender<Way>>>>,
    accepted: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

#[allow(
    clippy::disallowed_methods,
    reason = "a proxy has tasks, and belongs to the tests"
)]
impl Proxy {
    /// Starts one before `port` on this machine.
    ///
    /// # Panics
    ///
    /// Where no port is free.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let new = Arc::new(Mutex::new(Way::Open));
        let old: Arc<Mutex<Vec<watch::Sender<Way>>>> = Arc::default();
        let accepted = Arc::new(AtomicU64::new(0));
        let task = {
            let (new, old, accepted) = (Arc::clone(&new), Arc::clone(&old), Arc::clone(&accepted));
            tokio::spawn(async move {
                let mut connections = JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    let way = *new.lock().unwrap_or_else(PoisonError::into_inner);
                    let (set, watched) = watch::channel(way);
                    old.lock().unwrap_or_else(PoisonError::into_inner).push(set);
                    connections.spawn(relay(client, port, watched));
                }
            })
        };
        Self {
            address,
            new,
            old,
            accepted,
            task,
        }
    }

    /// Where it is, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Connections that were made through it.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// From now on for the connections there are.
    pub fn set_old(&self, way: Way) {
        let old = self.old.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in old.iter() {
            let _ = connection.send(way);
        }
    }

    /// For connections made from now on.
    pub fn set_new(&self, way: Way) {
        *self.new.lock().unwrap_or_else(PoisonError::into_inner) = way;
    }

    /// For all.
    pub fn set(&self, way: Way) {
        self.set_new(way);
        self.set_old(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(client: TcpStream, port: u16, way: watch::Receiver<Way>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(
        pump(from_client, to_server, way.clone()),
        pump(from_server, to_client, way),
    );
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let now = *way.borrow_and_update();
        if now == Way::Cut {
            return;
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = way.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok(length @ 1..) = read else {
            return;
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        while *way.borrow_and_update() == Way::Held {
            if way.changed().await.is_err() {
                return;
            }
        }
        let now = *way.borrow();
        match now {
            Way::Open | Way::Held => {}
            Way::Slow(pause) => tokio::time::sleep(pause).await,
            Way::Unsteady(most) => tokio::time::sleep(most.mul_f64(fastrand::f64())).await,
            Way::BlackHole => continue,
            Way::Cut => return,
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
