//! What the command line and the environment say.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

pub(crate) const HELP: &str = concat!(
    "\
A JSON service over SQLite with a cache before it, which shows what that does and goes on serving.

Usage: cargo run -p examples --bin ",
    env!("CARGO_BIN_NAME"),
    " -- [OPTIONS]

Options:
  --port N    listen on this port; 0 takes any free one [PORT; default: 3000]
  --db PATH   keep the database in this file, made where there is none
              [QUICKSTART_DB; default: quickstart.sqlite in the target directory]
  --once      stop after the demonstration
  --help      print this"
);

pub(crate) struct Options {
    pub(crate) port: u16,
    pub(crate) database: PathBuf,
    pub(crate) once: bool,
}

impl Options {
    /// Reads them; `None` where only help is asked for. An option goes before its variable.
    pub(crate) fn read() -> Result<Option<Self>, String> {
        let line = Line::read()
            .map_err(|error| format!("{error}; `--help` lists the options that are accepted"))?;
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

/// A value, and the name of the setting that it was found in.
type Found = (&'static str, OsString);

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

fn variable(name: &'static str) -> Option<Found> {
    Some((name, env::var_os(name)?))
}

fn read_port((setting, value): Found) -> Result<u16, String> {
    let port = value.to_str().and_then(|value| value.parse().ok());
    port.ok_or_else(|| {
        let found = value.display();
        format!("{setting} is `{found}`; accepted is a port, 0 to 65535 (0 takes any free one)")
    })
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
