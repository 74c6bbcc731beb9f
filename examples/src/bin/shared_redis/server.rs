//! A Redis server of this example's own.

use examples::port;
use std::{env, fmt, io, net::Ipv4Addr, process::Stdio, time::Duration};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};

/// Either will do.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// A server process, which keeps nothing on disk and is killed when this is dropped.
pub(crate) struct Server {
    program: &'static str,
    port: u16,
    process: Child,
}

impl Server {
    /// Starts one on a free port.
    pub(crate) async fn start() -> Result<Self, String> {
        let port = port::free()?;
        for program in PROGRAMS {
            match spawn(program, port) {
                Ok(process) => {
                    let server = Self {
                        program,
                        port,
                        process,
                    };
                    return server.answers().await.map(|()| server);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{program} cannot be started: {error}")),
            }
        }
        Err(
            "there is no redis-server here. Install one (`apt-get install redis-server`, `brew install \
             redis`, or Valkey), or name one that runs by --redis URL or the environment variable \
             CACHE_URL"
                .to_owned(),
        )
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// As `kill -9`.
    pub(crate) async fn kill(&mut self) -> Result<(), String> {
        let killed = self.process.kill().await;
        killed.map_err(|error| format!("{} cannot be killed: {error}", self.program))
    }

    /// Again, on the same port.
    pub(crate) async fn restart(&mut self) -> Result<(), String> {
        let program = self.program;
        let process = spawn(program, self.port);
        self.process = process.map_err(|error| format!("{program} cannot be started: {error}"))?;
        self.answers().await
    }

    async fn answers(&self) -> Result<(), String> {
        for _ in 0..1000 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
                .await
                .is_ok()
            {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        let (program, port) = (self.program, self.port);
        Err(format!(
            "{program} was started on port {port} and does not answer"
        ))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (program, port) = (self.program, self.port);
        write!(f, "Started {program} on port {port}.")
    }
}

fn spawn(program: &str, port: u16) -> io::Result<Child> {
    Command::new(program)
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no"])
        .current_dir(env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}
