//! A process of a fleet, from outside: what it is told and what it says, line by line.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

/// Longer than anything takes here, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(300);

/// A process that runs [`member::serve`](crate::member::serve). It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    orders: ChildStdin,
    said: Receiver<String>,
}

impl Process {
    /// Starts `program` as a member with these settings, and waits until it is told of changes.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    #[must_use]
    pub fn start(program: &Path, settings: &[String]) -> Self {
        let process = Self::start_apart(program, settings);
        process.hears("ready");
        process
    }

    /// As [`start`](Self::start), without waiting.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    #[must_use]
    pub fn start_apart(program: &Path, settings: &[String]) -> Self {
        let mut child = Command::new(program)
            .arg("--member")
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let orders = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (say, said) = channel();
        std::thread::spawn(move || {
            // Ends with the process, or with whoever listens.
            for line in output.lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            orders,
            said,
        }
    }

    /// Tells it what to do.
    ///
    /// # Panics
    ///
    /// Where it is gone.
    pub fn tell(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("it is there");
    }

    /// What it says next; `None` where it ended.
    ///
    /// # Panics
    ///
    /// Where it says nothing for minutes.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        match self.said.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => unreachable!("a process says nothing any more"),
        }
    }

    /// What it says next within `limit`.
    #[must_use]
    pub fn line_within(&self, limit: Duration) -> Option<String> {
        self.said.recv_timeout(limit).ok()
    }

    /// Waits until it says something that begins with `word`, and gives the rest.
    ///
    /// # Panics
    ///
    /// Where it ends without.
    pub fn hears(&self, word: &str) -> String {
        loop {
            let line = self.line().expect("the process goes on");
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    /// As `kill -STOP`.
    pub fn freeze(&self) {
        signal(self.child.id(), "-STOP");
    }

    /// As `kill -CONT`.
    pub fn thaw(&self) {
        signal(self.child.id(), "-CONT");
    }

    /// As `kill -9`; gives the moment at which that was done.
    #[allow(
        clippy::disallowed_methods,
        reason = "the clock rule is for the caches; a test measures"
    )]
    pub fn kill(&mut self) -> Instant {
        let killed = Instant::now();
        let _ = self.child.kill();
        let _ = self.child.wait();
        killed
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to the process `id`, which is one of ours.
///
/// # Panics
///
/// Where that is not possible.
pub fn signal(id: u32, signal: &str) {
    let kill = Command::new("kill")
        .args([signal, &id.to_string()])
        .status();
    assert!(kill.is_ok_and(|status| status.success()), "kill {signal}");
}
