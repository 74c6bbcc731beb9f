//! A test's own place in the world: a path that no other test has.

use super::{
    Answer, Ask, Connection, Reply,
    origin::{Origin, Received, Script},
    proxy::Proxy,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// An origin, and a proxy before it.
struct Site {
    origin: Origin,
    proxy: Proxy,
}

impl Site {
    fn start(arguments: &[&str]) -> Arc<Self> {
        let origin = Origin::start();
        let proxy = Proxy::start(origin.address, arguments);
        Arc::new(Self { origin, proxy })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.origin.leave();
    }
}

thread_local! {
    /// The one of this thread, and so of one test: an invalidation may keep what is on its way for another
    /// test from being stored, and a connection that one origin closed is another's bad gateway.
    static SITE: Arc<Site> = Site::start(&[]);
}

/// A test, or a row of one: what the origin says at its path, and who asks for it.
pub(crate) struct Test {
    site: Arc<Site>,
    script: Arc<Script>,
    number: usize,
}

impl Test {
    pub(crate) fn new() -> Self {
        SITE.with(|site| Self::on(Arc::clone(site)))
    }

    /// With an origin and a proxy of its own, for what other rows would notice.
    pub(crate) fn alone() -> Self {
        Self::with(&[])
    }

    /// The same, with these arguments of the proxy.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        Self::on(Site::start(arguments))
    }

    fn on(site: Arc<Site>) -> Self {
        static NUMBERS: AtomicUsize = AtomicUsize::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let script = site.origin.script(number);
        Self {
            site,
            script,
            number,
        }
    }

    /// The path that is this test's.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.number)
    }

    /// The authority that is this test's: groups are of an origin (RFC 9875 §2.1).
    pub(crate) fn host(&self) -> String {
        format!("{}.test", self.number)
    }

    /// From now on the origin says this, wherever nothing else was told.
    pub(crate) fn origin(&self, reply: Reply) {
        self.origin_says(move |_, _| reply.clone());
    }

    /// From now on it says this where the target ends so after the test's path.
    pub(crate) fn origin_at(&self, end: &str, reply: Reply) {
        self.script
            .set(Some(end), Arc::new(move |_, _| reply.clone()));
    }

    /// From now on it says what follows from the request, and from how many there were, with this.
    pub(crate) fn origin_says(
        &self,
        says: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static,
    ) {
        self.script.set(None, Arc::new(says));
    }

    /// The origin goes: no connection can be made to it.
    pub(crate) fn origin_leaves(&self) {
        self.site.origin.leave();
    }

    pub(crate) fn ask(&self, method: &str) -> Ask {
        Ask::new(self.site.proxy.address, method, &self.path()).host(&self.host())
    }

    #[track_caller]
    pub(crate) fn get(&self) -> Answer {
        self.ask("GET").send()
    }

    /// A GET with these field lines.
    #[track_caller]
    pub(crate) fn get_with(&self, lines: &str) -> Answer {
        self.ask("GET").fields(lines).send()
    }

    /// A GET of what follows the test's path.
    #[track_caller]
    pub(crate) fn get_at(&self, end: &str) -> Answer {
        self.ask("GET").at(end).send()
    }

    #[track_caller]
    pub(crate) fn head(&self) -> Answer {
        self.ask("HEAD").send()
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.site.proxy.address)
    }

    /// So many at once.
    pub(crate) fn get_at_once(&self, count: usize) -> Vec<Answer> {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..count).map(|_| scope.spawn(|| self.get())).collect();
            let answers = clients.into_iter().map(|client| client.join());
            answers
                .map(|answer| answer.expect("each is answered"))
                .collect()
        })
    }

    /// How often the origin was asked.
    pub(crate) fn calls(&self) -> usize {
        self.script.received().len()
    }

    #[track_caller]
    pub(crate) fn was_called(&self, times: usize) {
        let received = self.script.received();
        assert_eq!(
            received.len(),
            times,
            "times that the origin was asked: {received:#?}"
        );
    }

    /// Waits until the origin was asked so often at least.
    #[track_caller]
    pub(crate) fn wait_for_calls(&self, times: usize) {
        let asked = self.script.wait_for(times);
        assert!(asked >= times, "the origin was asked {asked} times");
    }

    /// What the origin was asked last.
    #[track_caller]
    pub(crate) fn last(&self) -> Received {
        self.script.received().pop().expect("the origin was asked")
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert!(!self.site.proxy.has_panicked(), "the proxy panicked");
        }
    }
}
