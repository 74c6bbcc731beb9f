//! What the command line and the environment say.

use examples::options::unreadable;
use std::env;

pub(crate) const HELP: &str = "\
Two instances of a service that share a cache by way of Redis, which show what they share.

Usage: cargo run -p examples --bin shared_redis -- [OPTIONS]

Options:
  --redis URL  share by this Redis or Valkey, as redis://127.0.0.1:6379
               [CACHE_URL; default: a redis-server of its own, on a free port]
  --once       stop after the demonstration
  --help       print this";

pub(crate) struct Options {
    pub(crate) redis: Option<String>,
    pub(crate) once: bool,
}

impl Options {
    /// Reads them; `None` where only help is asked for. An option goes before its variable.
    pub(crate) fn read() -> Result<Option<Self>, String> {
        Self::of_line().map_err(|error| unreadable(&error))
    }

    fn of_line() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;

        let mut options = Self {
            redis: env::var("CACHE_URL").ok(),
            once: false,
        };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("redis") => options.redis = Some(arguments.value()?.string()?),
                Long("once") => options.once = true,
                Long("help") | Short('h') => return Ok(None),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(Some(options))
    }
}
