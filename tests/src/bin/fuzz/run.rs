//! Calling a target again and again, watched from outside.

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::mutate::Mutator;
use crate::targets::Target;

/// When to stop; whichever comes first. Kept inputs and seeds are tried in any case.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    pub(crate) count: u64,
}

pub(crate) struct Outcome {
    pub(crate) inputs: u64,
    pub(crate) end: End,
}

/// Why it ended, with the input that did it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Withstood,
    Panicked(Vec<u8>),
    Hung(Vec<u8>),
}

/// No honest input takes this long, even on a busy machine with every check on.
const TOO_LONG: Duration = Duration::from_secs(10);

pub(crate) fn run(target: &'static Target, kept: Vec<Vec<u8>>, limits: Limits) -> Outcome {
    run_patiently(target, kept, limits, TOO_LONG)
}

fn run_patiently(
    target: &'static Target,
    kept: Vec<Vec<u8>>,
    limits: Limits,
    patience: Duration,
) -> Outcome {
    let progress = Arc::new(Progress::default());
    let (done, ended) = mpsc::channel();
    let reported = Arc::clone(&progress);
    // The default stack, because that is about what the threads of a server have.
    thread::Builder::new()
        .name(target.name.to_owned())
        .spawn(move || done.send(fuzz(target, kept, limits, &reported)))
        .expect("a thread can be started");
    let end = watch(&ended, &progress, patience);
    Outcome {
        inputs: progress.inputs(),
        end,
    }
}

/// What the watcher may know of the thread that calls the target.
#[derive(Default)]
struct Progress {
    inputs: AtomicU64,
    current: Mutex<Vec<u8>>,
}

impl Progress {
    fn begin(&self, input: &[u8]) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clear();
        current.extend_from_slice(input);
        self.inputs.fetch_add(1, Ordering::Relaxed);
    }

    fn inputs(&self) -> u64 {
        self.inputs.load(Ordering::Relaxed)
    }

    fn current(&self) -> Vec<u8> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A thread that hangs is left behind; it ends with the process.
fn watch(ended: &mpsc::Receiver<End>, progress: &Progress, patience: Duration) -> End {
    let mut before = None;
    loop {
        match ended.recv_timeout(patience) {
            Ok(end) => return end,
            Err(RecvTimeoutError::Disconnected) => return End::Panicked(progress.current()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // At nought the thread has not begun, which is the machine's fault and not an input's.
        let now = Some(progress.inputs()).filter(|inputs| *inputs > 0);
        if now.is_some() && now == before {
            return End::Hung(progress.current());
        }
        before = now;
    }
}

fn fuzz(target: &Target, kept: Vec<Vec<u8>>, limits: Limits, progress: &Progress) -> End {
    let seeds = target.seeds.iter().map(|seed| seed.to_vec());
    let corpus: Vec<Vec<u8>> = kept.into_iter().chain(seeds).collect();
    for input in &corpus {
        if let Some(end) = attempt(target, input, progress) {
            return end;
        }
    }
    let started = Instant::now();
    let mut mutator = Mutator::new(limits.seed, corpus, target.dictionary);
    while progress.inputs() < limits.count && started.elapsed() < limits.time {
        if let Some(end) = attempt(target, &mutator.next(), progress) {
            return end;
        }
    }
    End::Withstood
}

fn attempt(target: &Target, input: &[u8], progress: &Progress) -> Option<End> {
    progress.begin(input);
    let withstood = catch_unwind(|| (target.check)(input)).is_ok();
    (!withstood).then(|| End::Panicked(input.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        seed: 1,
        time: Duration::from_secs(600),
        count: 100_000,
    };

    #[test]
    fn a_target_that_withstands_is_called_as_often_as_asked() {
        static TARGET: Target = Target {
            name: "withstands",
            seeds: &[b"a"],
            dictionary: &[],
            check: |_| {},
        };
        let outcome = run(&TARGET, vec![b"kept".to_vec()], LIMITS);
        assert_eq!(outcome.end, End::Withstood);
        assert_eq!(outcome.inputs, LIMITS.count);
    }

    #[test]
    fn a_panic_ends_the_run_with_the_input_that_caused_it() {
        static TARGET: Target = Target {
            name: "panics",
            seeds: &[b"harmless"],
            dictionary: &[b"boom"],
            check: |input| assert!(!input.windows(4).any(|part| part == b"boom")),
        };
        let End::Panicked(input) = run(&TARGET, Vec::new(), LIMITS).end else {
            panic!("the word is in the dictionary, so it is found soon");
        };
        assert!(input.windows(4).any(|part| part == b"boom"));
    }

    #[test]
    fn a_kept_input_is_tried_before_anything_else_and_without_time() {
        static TARGET: Target = Target {
            name: "remembers",
            seeds: &[],
            dictionary: &[],
            check: |input| assert_ne!(input, b"kept"),
        };
        let limits = Limits {
            time: Duration::ZERO,
            ..LIMITS
        };
        let outcome = run(&TARGET, vec![b"kept".to_vec()], limits);
        assert_eq!(
            (outcome.inputs, outcome.end),
            (1, End::Panicked(b"kept".to_vec()))
        );
    }

    #[test]
    fn an_input_that_never_returns_is_named() {
        static TARGET: Target = Target {
            name: "hangs",
            seeds: &[b"forever"],
            dictionary: &[],
            check: |input| {
                if input == b"forever" {
                    loop {
                        thread::park();
                    }
                }
            },
        };
        let outcome = run_patiently(&TARGET, Vec::new(), LIMITS, Duration::from_millis(20));
        assert_eq!(outcome.end, End::Hung(b"forever".to_vec()));
    }
}
