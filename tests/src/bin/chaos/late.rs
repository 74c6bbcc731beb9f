//! How late this process and its machine are, to be shown beside requests that were slow.
//!
//! Nothing of it is subtracted from what requests felt, and no request is left out for it.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

const MILLISECOND: Duration = Duration::from_millis(1);
/// How often it is read how long threads have waited.
const READ: Duration = Duration::from_millis(5);
/// What those who watch are called; they are not among the watched.
const WATCHER: &str = "late";

/// When somebody went to sleep for a millisecond, and how late it woke.
pub(crate) type Woke = (Instant, Duration);

/// A thread that only sleeps, a millisecond at a time, on one core or on any.
pub(crate) struct Sleeper {
    done: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Woke>>,
}

impl Sleeper {
    pub(crate) fn start(core: Option<usize>) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let is_done = Arc::clone(&done);
        let sleep = move || {
            core.inspect(|core| stay_on(*core));
            let mut woke = Vec::new();
            while !is_done.load(Ordering::Relaxed) {
                let slept = Instant::now();
                std::thread::sleep(MILLISECOND);
                woke.push((slept, slept.elapsed().saturating_sub(MILLISECOND)));
            }
            woke
        };
        Self {
            done,
            thread: watcher(sleep),
        }
    }

    pub(crate) fn end(self) -> Vec<Woke> {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// Everything that may say why all requests of a moment were slow.
pub(crate) struct Watch {
    began: Instant,
    cores: Vec<Sleeper>,
    runtime: tokio::task::JoinHandle<()>,
    runtime_woke: Arc<Mutex<Vec<Woke>>>,
    done: Arc<AtomicBool>,
    waits: JoinHandle<Vec<Waits>>,
}

impl Watch {
    /// Begins to watch, in the runtime whose requests are to be explained.
    pub(crate) fn start() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime_woke = Arc::<Mutex<Vec<Woke>>>::default();
        let done = Arc::new(AtomicBool::new(false));
        let is_done = Arc::clone(&done);
        Self {
            began: Instant::now(),
            cores: (0..cores).map(|core| Sleeper::start(Some(core))).collect(),
            runtime: tokio::spawn(sleep_in_the_runtime(Arc::clone(&runtime_woke))),
            runtime_woke,
            done,
            waits: watcher(move || read_waits(&is_done)),
        }
    }

    pub(crate) fn end(self) -> Lateness {
        self.runtime.abort();
        self.done.store(true, Ordering::Relaxed);
        let mut woke = locked(&self.runtime_woke);
        Lateness {
            began: Some(self.began),
            cores: self.cores.into_iter().map(Sleeper::end).collect(),
            runtime: std::mem::take(&mut woke),
            waits: self.waits.join().unwrap_or_default(),
        }
    }
}

/// What was seen.
#[derive(Default)]
pub(crate) struct Lateness {
    began: Option<Instant>,
    cores: Vec<Vec<Woke>>,
    runtime: Vec<Woke>,
    waits: Vec<Waits>,
}

impl Lateness {
    /// The seconds from the beginning until `at`.
    pub(crate) fn second(&self, at: Instant) -> f64 {
        let since = |began| at.saturating_duration_since(began).as_secs_f64();
        self.began.map_or(0.0, since)
    }

    /// What it was while a request took `time` from `at` on.
    pub(crate) fn meanwhile(&self, at: Instant, time: Duration) -> Meanwhile {
        let end = at + time;
        let latest = |woke: &Vec<Woke>| {
            let overlaps = |woke: &&Woke| woke.0 < end && woke.0 + MILLISECOND + woke.1 > at;
            let late = woke.iter().filter(overlaps).map(|(_, late)| *late).max();
            late.unwrap_or_default()
        };
        let (mut threads, mut stolen) = (BTreeMap::<&str, Duration>::new(), Duration::ZERO);
        for waits in &self.waits {
            if waits.from < end && waits.to > at {
                stolen += waits.stolen;
                for (thread, waited) in &waits.threads {
                    *threads.entry(thread).or_default() += *waited;
                }
            }
        }
        let longest = threads.into_iter().max_by_key(|(_, waited)| *waited);
        Meanwhile {
            runtime: latest(&self.runtime),
            cores: self.cores.iter().map(latest).collect(),
            waited: longest.map(|(thread, waited)| (thread.to_owned(), waited)),
            stolen,
        }
    }
}

/// How late it was around one slow request.
pub(crate) struct Meanwhile {
    /// A task of the same runtime that only sleeps.
    runtime: Duration,
    /// A thread on each core that only sleeps.
    cores: Vec<Duration>,
    /// The thread of this process that was ready to run, and waited for a core, for longest in all.
    waited: Option<(String, Duration)>,
    /// What the machine's host took from all cores together, in steps of 10 ms.
    stolen: Duration,
}

impl fmt::Display for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "meanwhile late: the runtime {:.1} ms",
            millis(self.runtime)
        )?;
        for (core, late) in self.cores.iter().enumerate() {
            write!(f, ", core {core} {:.1} ms", millis(*late))?;
        }
        if let Some((thread, waited)) = &self.waited {
            let waited = millis(*waited);
            write!(f, "; {thread} waited {waited:.1} ms for a core")?;
        }
        write!(f, "; stolen {:.0} ms", millis(self.stolen))
    }
}

/// What was waited between two looks.
struct Waits {
    from: Instant,
    to: Instant,
    threads: Vec<(String, Duration)>,
    stolen: Duration,
}

/// A task that only sleeps: as late as the runtime is with whatever is due.
async fn sleep_in_the_runtime(woke: Arc<Mutex<Vec<Woke>>>) {
    loop {
        let slept = Instant::now();
        tokio::time::sleep(MILLISECOND).await;
        let late = slept.elapsed().saturating_sub(MILLISECOND);
        locked(&woke).push((slept, late));
    }
}

fn read_waits(done: &AtomicBool) -> Vec<Waits> {
    let (mut all, mut before) = (Vec::new(), Totals::read());
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(READ);
        let now = Totals::read();
        all.push(now.since(&before));
        before = now;
    }
    all
}

/// What was waited so far; nothing where the system does not say.
struct Totals {
    at: Instant,
    threads: BTreeMap<String, Duration>,
    stolen: Duration,
}

impl Totals {
    fn read() -> Self {
        let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
        let threads = threads.filter_map(|thread| waited(&thread.ok()?.path()));
        Self {
            at: Instant::now(),
            threads: threads.collect(),
            stolen: stolen().unwrap_or_default(),
        }
    }

    fn since(&self, before: &Self) -> Waits {
        let waited = |(thread, total): (&String, &Duration)| {
            let earlier = before.threads.get(thread).copied().unwrap_or_default();
            let waited = total.saturating_sub(earlier);
            (waited > MILLISECOND / 10).then(|| (thread.clone(), waited))
        };
        Waits {
            from: before.at,
            to: self.at,
            threads: self.threads.iter().filter_map(waited).collect(),
            stolen: self.stolen.saturating_sub(before.stolen),
        }
    }
}

/// The name and number of a thread, and how long it has waited for a core: the second number of its `schedstat`, in
/// nanoseconds.
fn waited(thread: &Path) -> Option<(String, Duration)> {
    let read = |file| std::fs::read_to_string(thread.join(file)).ok();
    let name = read("comm")?;
    let number = thread.file_name()?.to_str()?;
    let nanos = read("schedstat")?.split(' ').nth(1)?.parse().ok()?;
    let name = name.trim_end();
    (name != WATCHER).then(|| (format!("{name}/{number}"), Duration::from_nanos(nanos)))
}

/// The eighth number of the first line of `/proc/stat`, in hundredths of a second.
fn stolen() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks: u64 = stat.split_ascii_whitespace().nth(8)?.parse().ok()?;
    Some(Duration::from_millis(10 * ticks))
}

fn watcher<T: Send + 'static>(watch: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::Builder::new()
        .name(WATCHER.to_owned())
        .spawn(watch)
        .expect("a thread can be started")
}

/// Keeps this thread on one core, where the system lets it.
#[cfg(target_os = "linux")]
fn stay_on(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    if core < rustix::thread::CpuSet::MAX_CPU {
        set.set(core);
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
}

#[cfg(not(target_os = "linux"))]
fn stay_on(_: usize) {}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
