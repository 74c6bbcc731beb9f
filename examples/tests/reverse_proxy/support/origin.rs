//! The origin: one listener, a script for each test, and a record of what it was asked.

use super::{
    LIMIT, Reply,
    head::{Fields, Framing, Reader},
    text,
};
use std::{
    collections::HashMap,
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request as it reached the origin.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
}

impl Received {
    fn read(reader: &mut Reader) -> io::Result<Option<Self>> {
        let Some(head) = reader.head()? else {
            return Ok(None);
        };
        let mut words = head.start.split(' ').map(str::to_owned);
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        if head.fields.one("expect") == Some("100-continue") {
            io::Write::write_all(&mut reader.stream(), b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let framing = Framing::of(&head.fields).unwrap_or(Framing::None);
        let body = reader.body(framing)?.content;
        let fields = head.fields;
        Ok(Some(Self {
            method,
            target,
            fields,
            body,
        }))
    }

    /// The field's value, where there is one line of it.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.one(name)
    }

    pub(crate) fn text(&self) -> String {
        text(&self.body)
    }
}

type Says = Arc<dyn Fn(&Received, usize) -> Reply + Send + Sync>;

/// What is said to the requests of one test, and what these were.
#[derive(Default)]
pub(crate) struct Script {
    /// By what follows the test's path in the target; the last that fits counts.
    says: Mutex<Vec<(Option<String>, Says)>>,
    received: Mutex<Vec<Received>>,
    decided: Mutex<usize>,
    decision: Condvar,
}

impl Script {
    /// From now on, `says` answers for the targets that end so, or for all.
    pub(crate) fn set(&self, end: Option<&str>, says: Says) {
        let mut all = lock(&self.says);
        let end = end.map(str::to_owned);
        all.retain(|(other, _)| *other != end);
        all.push((end, says));
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        lock(&self.received).clone()
    }

    /// Waits until it is decided what so many requests are told; tells of how many it is.
    pub(crate) fn wait_for(&self, count: usize) -> usize {
        let decided = lock(&self.decided);
        let (decided, _) = self
            .decision
            .wait_timeout_while(decided, LIMIT, |decided| *decided < count)
            .unwrap_or_else(PoisonError::into_inner);
        *decided
    }

    fn answer(&self, request: Received, end: &str) -> Reply {
        let number = {
            let mut received = lock(&self.received);
            received.push(request.clone());
            received.len()
        };
        let says = {
            let all = lock(&self.says);
            let exact = all.iter().find(|(own, _)| own.as_deref() == Some(end));
            let general = || all.iter().find(|(own, _)| own.is_none());
            exact.or_else(general).map(|(_, says)| Arc::clone(says))
        };
        let reply = says.map_or_else(
            || Reply::new(599).body("the origin was told nothing"),
            |says| says(&request, number),
        );
        *lock(&self.decided) += 1;
        self.decision.notify_all();
        reply
    }
}

#[derive(Default)]
struct State {
    scripts: HashMap<usize, Arc<Script>>,
    connections: Vec<TcpStream>,
}

/// A server that acts by scripts. The first segment of a path is the number of a script.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    is_gone: Arc<AtomicBool>,
}

impl Origin {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::default();
        let is_gone = Arc::default();
        let origin = Self {
            address,
            state,
            is_gone,
        };
        let (state, is_gone) = (Arc::clone(&origin.state), Arc::clone(&origin.is_gone));
        thread::spawn(move || accept(&listener, &state, &is_gone));
        origin
    }

    pub(crate) fn script(&self, number: usize) -> Arc<Script> {
        Arc::clone(lock(&self.state).scripts.entry(number).or_default())
    }

    /// Closes all connections; from now on none can be made.
    pub(crate) fn leave(&self) {
        self.is_gone.store(true, Ordering::SeqCst);
        // The listener wakes up, and goes.
        let _ = TcpStream::connect(self.address);
        while TcpStream::connect(self.address).is_ok() {
            thread::yield_now();
        }
        for connection in lock(&self.state).connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, state: &Arc<Mutex<State>>, is_gone: &AtomicBool) {
    for stream in listener.incoming().map_while(Result::ok) {
        if is_gone.load(Ordering::SeqCst) {
            return;
        }
        lock(state).connections.extend(stream.try_clone());
        let state = Arc::clone(state);
        thread::spawn(move || {
            // A client that leaves is its own matter.
            let _ = serve(stream, &state);
        });
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = Reader::new(stream);
    while let Some(request) = Received::read(&mut reader)? {
        let target = request.target.clone();
        let (number, end) = route(&target);
        let script = number.and_then(|number| lock(state).scripts.get(&number).cloned());
        let method = request.method.clone();
        let reply = match script {
            Some(script) => script.answer(request, end),
            None => Reply::new(598).body("no test has this path"),
        };
        if !reply.say(&method, &mut writer)? {
            writer.shutdown(Shutdown::Both)?;
            return Ok(());
        }
    }
    Ok(())
}

/// The number of a script, and what follows it: `/7/b?c` is `7` and `/b?c`.
fn route(target: &str) -> (Option<usize>, &str) {
    let path = target.strip_prefix('/').unwrap_or(target);
    let end = path.find(['/', '?']).unwrap_or(path.len());
    let (number, end) = path.split_at(end);
    (number.parse().ok(), end)
}
