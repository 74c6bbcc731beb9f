//! What the command line and the environment say.

use crate::options::{Found, read_port, unreadable, variable};
use std::{
    env,
    path::{Path, PathBuf},
};

/// The help of the example of this name.
#[must_use]
pub fn help(name: &str) -> String {
    format!(
        "\
A JSON service over SQLite with a cache before it, which shows what that does and goes on serving.

Usage: cargo run -p examples --bin {name} -- [OPTIONS]

Options:
  --port N    listen on this port; 0 takes any free one [PORT; default: 3000]
  --db PATH   keep the database in this file, made where there is none
              [QUICKSTART_DB; default: quickstart.sqlite in the target directory]
  --once      stop after the demonstration
  --help      print this"
    )
}

/// What it is told.
#[derive(Debug)]
pub struct Options {
    /// Where it listens; 0 is any free port.
    pub port: u16,
    /// The file of the database.
    pub database: PathBuf,
    /// Whether it stops after the demonstration.
    pub once: bool,
}

impl Options {
    /// Reads them; `None` where only help is asked for. An option goes before its variable.
    ///
    /// # Errors
    ///
    /// Names the setting that is wrong, and what is accepted.
    pub fn read() -> Result<Option<Self>, String> {
        let line = Line::read().map_err(|error| unreadable(&error))?;
        if line.help {
            return Ok(None);
        }
        let port = line.port.or_else(|| variable("PORT"));
        let database = line.database.or_else(|| variable("QUICKSTART_DB"));
        Ok(Some(Self {
            port: port.map_or(Ok(3000), read_port)?,
            database: database.map_or_else(|| Ok(usual_database()), read_path)?,
            once: line.once,
        }))
    }
}

/// The command line.
#[derive(Default)]
struct Line {
    port: Option<Found>,
    database: Option<Found>,
    once: bool,
    help: bool,
}

impl Line {
    fn read() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;

        let mut line = Self::default();
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("port") => line.port = Some(("--port", arguments.value()?)),
                Long("db") => line.database = Some(("--db", arguments.value()?)),
                Long("once") => line.once = true,
                Long("help") | Short('h') => line.help = true,
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(line)
    }
}

fn read_path((setting, value): Found) -> Result<PathBuf, String> {
    let path = PathBuf::from(value);
    if path.file_name().is_some() && !path.is_dir() {
        return Ok(path);
    }
    let found = path.display();
    Err(format!(
        "{setting} is `{found}`; accepted is the path of a file"
    ))
}

/// In the target directory, which cargo marks; where this was not built by cargo, among temporary
/// files.
fn usual_database() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let target = program
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file());
    target
        .map_or_else(env::temp_dir, Path::to_path_buf)
        .join("quickstart.sqlite")
}
