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
    time::Instant,
};

/// What a narrow link may make up for when it was held up.
const SLACK: Duration = Duration::from_millis(20);

/// What happens to bytes on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They pass.
    Open,
    /// They pass after a while.
    Slow(Duration),
    /// So many a second pass, on each connection and in each direction.
    Narrow(u32),
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
    open: Arc<AtomicU64>,
    record: Record,
    task: tokio::task::JoinHandle<()>,
}

/// What was seen on the wire, where that is recorded.
type Record = Option<Arc<Mutex<Vec<u8>>>>;

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
        Self::start(port, None).await
    }

    /// As [`before`](Self::before), and keeps all bytes that come by.
    ///
    /// # Panics
    ///
    /// Where no port is free.
    pub async fn recording(port: u16) -> Self {
        Self::start(port, Some(Arc::default())).await
    }

    async fn start(port: u16, record: Record) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let new = Arc::new(Mutex::new(Way::Open));
        let old: Arc<Mutex<Vec<watch::Sender<Way>>>> = Arc::default();
        let accepted = Arc::new(AtomicU64::new(0));
        let open = Arc::new(AtomicU64::new(0));
        let task = {
            let (new, old, accepted) = (Arc::clone(&new), Arc::clone(&old), Arc::clone(&accepted));
            let (record, open) = (record.clone(), Arc::clone(&open));
            tokio::spawn(async move {
                let mut connections = JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    let way = *new.lock().unwrap_or_else(PoisonError::into_inner);
                    let (set, watched) = watch::channel(way);
                    old.lock().unwrap_or_else(PoisonError::into_inner).push(set);
                    let (record, open) = (record.clone(), Arc::clone(&open));
                    open.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(async move {
                        relay(client, port, watched, record).await;
                        open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            })
        };
        Self {
            address,
            new,
            old,
            accepted,
            open,
            record,
            task,
        }
    }

    /// Where it is, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What was recorded so far, in the order it came by, both directions of all connections.
    #[must_use]
    pub fn recorded(&self) -> Vec<u8> {
        let record = self.record.as_ref();
        record.map_or_else(Vec::new, |record| {
            record
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        })
    }

    /// Connections that were made through it.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Connections that neither side has ended.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::SeqCst)
    }

    /// From now on for the connections there are.
    pub fn set_old(&self, way: Way) {
        let old = self.old.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in old.iter() {
            let _ = connection.send(way);
        }
    }

    /// From now on for one of the connections there are, the `nth` that was made.
    pub fn set_one(&self, nth: usize, way: Way) {
        let old = self.old.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = old.get(nth) {
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

async fn relay(client: TcpStream, port: u16, way: watch::Receiver<Way>, record: Record) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(
        pump(from_client, to_server, way.clone(), record.clone()),
        pump(from_server, to_client, way, record),
    );
}

#[allow(
    clippy::disallowed_methods,
    reason = "how wide a link is, is a matter of real time"
)]
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
    record: Record,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut free = Instant::now();
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
        if let Some(record) = &record {
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            record.extend_from_slice(bytes);
        }
        while *way.borrow_and_update() == Way::Held {
            if way.changed().await.is_err() {
                return;
            }
        }
        let now = *way.borrow();
        match now {
            Way::Open | Way::Held => {}
            Way::Slow(pause) => tokio::time::sleep(pause).await,
            Way::Narrow(rate) => {
                // From when the last byte went, so that being woken late does not add up.
                let seconds = length as f64 / f64::from(rate);
                free = free.max(Instant::now() - SLACK) + Duration::from_secs_f64(seconds);
                tokio::time::sleep_until(free).await;
            }
            Way::Unsteady(most) => tokio::time::sleep(most.mul_f64(fastrand::f64())).await,
            Way::BlackHole => continue,
            Way::Cut => return,
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
