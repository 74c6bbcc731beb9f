//! A `redis-server` of one's own: on a free port, in a directory of its own, ended by its process id.

use std::{
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

    fn stopped_with(options: &[&str]) -> Self {
        let port = free_port();
        let directory =
            std::env::temp_dir().join(format!("cache-redis-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory can be made");
        Self {
            port,
            directory,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            process: None,
            is_frozen: false,
        }
    }

    /// Starts the process, and waits until it answers.
    pub fn run(&mut self) {
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        command
            .args([
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
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
            .expect("redis-server can be started; `cargo xtask test` installs it");
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

    /// The number that `INFO` tells under `name`.
    #[must_use]
    pub fn info(&self, name: &str) -> u64 {
        let info: String =
            redis::from_redis_value(self.ask(&["INFO", "everything"])).expect("INFO is text");
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|number| number.trim().parse().ok())
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

fn path(path: &Path) -> &str {
    path.to_str()
        .expect("the temporary directory has a plain name")
}

/// A port that nobody listens on at this moment.
#[must_use]
pub fn free_port() -> u16 {
    let bound =
        || -> io::Result<u16> { Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port()) };
    bound().expect("there is a free port")
}
