//! A `redis-server`, or what `REDIS_SERVER` names, of one's own: on a free port, in a directory of its own, ended by its process id.

use std::{
    ffi::OsString,
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A server process. It is killed, and its directory removed, when this is dropped.
#[derive(Debug)]
pub struct Server {
    port: u16,
    directory: PathBuf,
    options: Vec<String>,
    /// What a sentinel is to watch, in the words of its file.
    watches: Option<String>,
    process: Option<Child>,
    is_frozen: bool,
}

impl Server {
    /// Starts a server that keeps nothing on disk, and waits until it answers.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// As [`start`](Self::start), with further options, as `["--maxmemory", "2mb"]`.
    #[must_use]
    pub fn start_with(options: &[&str]) -> Self {
        let mut server = Self::stopped_with(options);
        server.run();
        server
    }

    /// A server that does not run yet; its address is known.
    #[must_use]
    pub fn stopped() -> Self {
        Self::stopped_with(&[])
    }

    /// Starts a sentinel that watches the master at `port`, known as `service`, and replaces it when `quorum`
    /// of them have not heard of it for half a second.
    #[must_use]
    pub fn sentinel(service: &str, port: u16, quorum: u16) -> Self {
        Self::sentinel_with(service, port, quorum, "")
    }

    /// As [`sentinel`](Self::sentinel), with further lines in its file.
    #[must_use]
    pub fn sentinel_with(service: &str, port: u16, quorum: u16, lines: &str) -> Self {
        let mut server = Self::stopped();
        server.watches = Some(format!(
            "sentinel monitor {service} 127.0.0.1 {port} {quorum}\n\
             sentinel down-after-milliseconds {service} 500\n\
             sentinel failover-timeout {service} 3000\n{lines}"
        ));
        server.run();
        server
    }

    fn stopped_with(options: &[&str]) -> Self {
        let port = free_port();
        let directory =
            std::env::temp_dir().join(format!("cache-redis-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory can be made");
        Self {
            port,
            directory,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            watches: None,
            process: None,
            is_frozen: false,
        }
    }

    /// From the next start on it has these options as well.
    pub fn add_options(&mut self, options: &[&str]) {
        self.options
            .extend(options.iter().map(|&option| option.to_owned()));
    }

    /// Starts the process, and waits until it answers.
    pub fn run(&mut self) {
        let port = self.port.to_string();
        let mut command = Command::new(program());
        if let Some(watches) = &self.watches {
            // It writes to its file what it learns.
            let file = self.directory.join("sentinel.conf");
            std::fs::write(&file, watches).expect("a file can be written");
            command.arg(file).arg("--sentinel");
        } else {
            command.args(["--save", "", "--appendonly", "no"]);
        }
        command
            .args(["--port", &port, "--bind", "127.0.0.1"])
            .args([
                "--dir",
                path(&self.directory),
                "--logfile",
                "redis.log",
                "--protected-mode",
                "no",
            ])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = command
            .spawn()
            .expect("the server can be started; `cargo xtask test` installs redis-server");
        self.process = Some(process);
        for _ in 0..500 {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let log = std::fs::read_to_string(self.directory.join("redis.log")).unwrap_or_default();
        unreachable!("redis-server does not answer: {log}");
    }

    /// Whether it was started, and not killed since.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Its port, the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        self.is_frozen = false;
    }

    /// As `kill -STOP`: it is there, and does not answer.
    pub fn freeze(&mut self) {
        self.signal("-STOP");
        self.is_frozen = true;
    }

    /// As `kill -CONT`.
    pub fn thaw(&mut self) {
        self.signal("-CONT");
        self.is_frozen = false;
    }

    /// Asks it something over a connection of its own, as an operator does.
    ///
    /// # Panics
    ///
    /// Where it does not answer.
    #[must_use]
    pub fn ask(&self, words: &[&str]) -> redis::Value {
        self.try_ask(words).expect("the server answers an operator")
    }

    /// As [`ask`](Self::ask).
    ///
    /// # Errors
    ///
    /// What the server refused.
    pub fn try_ask(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(2))?;
        let (name, args) = words.split_first().expect("a command has a name");
        let mut command = redis::cmd(name);
        for arg in args {
            command.arg(arg);
        }
        command.query(&mut connection)
    }

    /// The number that `INFO` tells under `name`, which may be that of a line and of a field in it, as in
    /// `cmdstat_get:calls`.
    #[must_use]
    pub fn info(&self, name: &str) -> u64 {
        let info: String =
            redis::from_redis_value(self.ask(&["INFO", "everything"])).expect("INFO is text");
        let (name, field) = name.split_once(':').unwrap_or((name, ""));
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| match field {
            "" => Some(line),
            field => line
                .split(',')
                .find_map(|part| part.strip_prefix(field)?.strip_prefix('=')),
        });
        number
            .and_then(|number| number.trim().parse().ok())
            .unwrap_or(0)
    }

    fn signal(&self, signal: &str) {
        if let Some(process) = &self.process {
            crate::process::signal(process.id(), signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_frozen {
            self.thaw();
        }
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// `REDIS_SERVER` in the environment, to test with another version of Redis, or with Valkey.
#[allow(
    clippy::disallowed_methods,
    reason = "it says with which server the tests are run"
)]
fn program() -> OsString {
    std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

fn path(path: &Path) -> &str {
    path.to_str()
        .expect("the temporary directory has a plain name")
}

/// A port that nobody listens on at this moment. There is one that is 10,000 higher as well, which is where
/// nodes of a cluster meet.
#[must_use]
pub fn free_port() -> u16 {
    let bound =
        || -> io::Result<u16> { Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port()) };
    let mut ports = std::iter::repeat_with(|| bound().expect("there is a free port"));
    ports
        .find(|port| {
            let bus = port.checked_add(10_000);
            bus.is_some_and(|bus| TcpListener::bind(("127.0.0.1", bus)).is_ok())
        })
        .expect("the ports do not end")
}
