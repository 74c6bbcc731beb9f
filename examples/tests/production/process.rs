//! Its process, from start to signal.

use serde_json::Value;
use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

/// In a directory of its own, with no environment but `vars`.
pub(crate) fn command(directory: &Directory, arguments: &[&str], vars: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_production"));
    command
        .args(arguments)
        .env_clear()
        .envs(vars.iter().copied())
        .current_dir(&directory.0);
    command
}

/// Its output, when it has ended by itself.
pub(crate) fn run(arguments: &[&str], vars: &[(&str, &str)]) -> Output {
    command(&Directory::new("plain"), arguments, vars)
        .output()
        .unwrap()
}

/// An empty directory, which goes with this.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let thread = format!("{:?}", std::thread::current().id());
        let name = format!("production-{name}-{}-{thread}", std::process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One that serves, killed when this is dropped.
struct Serving {
    process: Child,
    logs: BufReader<ChildStderr>,
}

impl Serving {
    fn start(vars: &[(&str, &str)]) -> Self {
        let arguments = ["--listen", "127.0.0.1:0"];
        let mut process = command(&Directory::new("serving"), &arguments, vars)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let logs = BufReader::new(process.stderr.take().unwrap());
        Self { process, logs }
    }

    /// The events up to the one with this message, all of them lines of JSON.
    fn logs_until(&mut self, message: &str) -> Vec<Value> {
        let mut events = Vec::new();
        for line in self.logs.by_ref().lines() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let is_last = event["message"] == message;
            events.push(event);
            if is_last {
                return events;
            }
        }
        panic!("it ended without saying `{message}`: {events:?}");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(unix)]
#[test]
fn it_warns_serves_and_ends_on_sigterm() {
    let mut service = Serving::start(&[("CACHE_TTL_CONFG", "1m")]);
    let events = service.logs_until("serving");
    let [warning, .., serving] = events.as_slice() else {
        panic!("there is no warning: {events:?}");
    };
    assert_eq!(
        (&warning["level"], &warning["code"]),
        (&"WARN".into(), &"W005".into())
    );
    let address = serving["address"].as_str().unwrap();

    let mut client = TcpStream::connect(address).unwrap();
    let request = "GET /users/1 HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("user 1"), "{answer}");

    // One that is idle is not waited for.
    let idle = TcpStream::connect(address).unwrap();
    let pid = service.process.id().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(told.success());
    let events = service.logs_until("stopped");
    let counted = events.last().unwrap()["responses"].as_str().unwrap();
    assert!(
        counted.starts_with("1 requests: 0 hits, 0 stale, 1 misses"),
        "{counted}"
    );
    assert!(service.process.wait().unwrap().success());
    drop(idle);
}
