//! The proxy's process.

use super::Server;
use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Ends the proxy by its process id as soon as the shell's standard input ends: when [`Proxy`] is
/// dropped, and also when the process of the tests ends, however it does.
const UNTIL_INPUT_ENDS: &str =
    r#""$0" "$@" & proxy=$!; exec >&- 2>&-; read -r line; kill "$proxy""#;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shell: Child,
    has_panicked: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) fn start(origin: SocketAddr, arguments: &[&str]) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", UNTIL_INPUT_ENDS, env!("CARGO_BIN_EXE_reverse_proxy")])
            .args(Server::current().arguments())
            .args(arguments)
            .env("PORT", "0")
            .env("ORIGIN", format!("http://{origin}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell can be started");
        let errors = shell.stderr.take().expect("it is piped");
        let has_panicked = Arc::default();
        let watched = Arc::clone(&has_panicked);
        thread::spawn(move || watch(errors, &watched));
        let address = address(shell.stdout.take().expect("it is piped"));
        Self {
            address,
            shell,
            has_panicked,
        }
    }

    /// Nothing that a test sends may make it panic.
    pub(crate) fn has_panicked(&self) -> bool {
        self.has_panicked.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn address(output: impl Read) -> SocketAddr {
    let mut line = String::new();
    let _ = BufReader::new(output).read_line(&mut line);
    let address = line.trim_end().strip_prefix("listening on http://");
    let address = address.and_then(|address| address.parse().ok());
    address.unwrap_or_else(|| panic!("the proxy does not say where it listens: {line:?}"))
}

fn watch(errors: impl Read, has_panicked: &AtomicBool) {
    for line in BufReader::new(errors).lines().map_while(Result::ok) {
        if line.contains("panicked at") {
            has_panicked.store(true, Ordering::SeqCst);
        }
        eprintln!("proxy: {line}");
    }
}
