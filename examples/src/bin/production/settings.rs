//! What the command line and the environment say. What is wrong is told at once, all of it.

use cache_axum::{Config, typed::config::redacted};
use examples::options::unreadable;
use std::{env, net::SocketAddr, path::Path};
use tracing_subscriber::EnvFilter;

pub(crate) const HELP: &str = "\
A service with a cache before it, as it runs in production.

Usage: cargo run -p examples --bin production -- [OPTIONS]

Options:
  --listen ADDRESS  serve there [LISTEN; default: 127.0.0.1:3000]
  --print-config    print what the environment says of the cache, without secrets, and stop
  --once            show on a free port that all of it holds, and stop
  --help            print this

Environment, and a file `.env` in this directory for what is not set there:
  CACHE_*           the cache: --print-config lists them
  RUST_LOG          what is logged, as `info` or `warn,cache_core=debug`
                    [default: info; with --once: warn]";

const LISTEN: &str = "LISTEN";
const FILTER: &str = "RUST_LOG";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Serve,
    PrintConfig,
    Once,
}

pub(crate) struct Settings {
    pub(crate) verb: Verb,
    pub(crate) listen: SocketAddr,
    pub(crate) filter: EnvFilter,
    pub(crate) config: Config,
}

impl Settings {
    /// Reads them; `None` where only help is asked for.
    ///
    /// # Errors
    ///
    /// Names everything that is wrong.
    pub(crate) fn read() -> Result<Option<Self>, String> {
        let line = Line::read().map_err(|error| unreadable(&error))?;
        let Some(Line { verb, listen }) = line else {
            return Ok(None);
        };
        let listen = read_listen(listen);
        let filter = read_filter(verb);
        let config = Config::from_env().map_err(|error| error.to_string());
        match (listen, filter, config) {
            (Ok(listen), Ok(filter), Ok(config)) => Ok(Some(Self {
                verb,
                listen,
                filter,
                config,
            })),
            (listen, filter, config) => {
                let problems = [listen.err(), filter.err(), config.err()];
                Err(problems
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join("\n"))
            }
        }
    }
}

/// The command line.
struct Line {
    verb: Verb,
    listen: Option<String>,
}

impl Line {
    fn read() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;

        let mut line = Self {
            verb: Verb::Serve,
            listen: None,
        };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("listen") => line.listen = Some(arguments.value()?.string()?),
                Long("print-config") => line.verb = Verb::PrintConfig,
                Long("once") => line.verb = Verb::Once,
                Long("help") | Short('h') => return Ok(None),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(Some(line))
    }
}

/// Sets what `.env` in this directory names and the environment does not. Only this example does so: a
/// library leaves its environment alone.
///
/// # Errors
///
/// Without a word of the file: it holds secrets.
pub(crate) fn read_file() -> Result<(), String> {
    match dotenvy::from_path(Path::new(".env")) {
        Err(dotenvy::Error::LineParse(..)) => Err(
            ".env has a line that cannot be read; accepted are NAME=VALUE, with quotes ('…') around a \
             value with blanks or `$` in it, and # comments"
                .to_owned(),
        ),
        Err(error) if !error.not_found() => Err(".env cannot be read; accepted is a file of text".to_owned()),
        _ => Ok(()),
    }
}

fn read_listen(option: Option<String>) -> Result<SocketAddr, String> {
    let (name, text) = match option {
        Some(text) => ("--listen", Some(text)),
        None => (LISTEN, variable(LISTEN)?),
    };
    let text = text.unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    text.parse().map_err(|_| {
        format!(
            "{name} is `{}`; accepted is an address and a port; for example {name}=0.0.0.0:3000 (port 0 \
             takes any free one)",
            redacted(&text)
        )
    })
}

fn read_filter(verb: Verb) -> Result<EnvFilter, String> {
    let default = match verb {
        Verb::Once => "warn",
        Verb::Serve | Verb::PrintConfig => "info",
    };
    let text = variable(FILTER)?.unwrap_or_else(|| default.to_owned());
    EnvFilter::try_new(&text).map_err(|_| {
        format!(
            "{FILTER} is `{}`; accepted are levels, also of targets; for example {FILTER}=warn,cache_core=debug",
            redacted(&text)
        )
    })
}

/// An empty one is as none.
fn variable(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(format!("{name} is not Unicode")),
    }
}
