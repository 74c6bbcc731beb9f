//! What the command line and the environment say.

use examples::options::{Found, read_port, unreadable, variable};
use hyper::{
    Uri,
    header::HeaderName,
    http::uri::{Authority, Scheme},
};
use std::ffi::OsString;

pub(crate) const HELP: &str = "\
A reverse proxy: one origin, with a cache before it (RFC 9111).

Usage: cargo run --release -p examples --bin reverse_proxy -- [OPTIONS]

Options:
  --origin URL  what stands behind, as http://127.0.0.1:8000 [ORIGIN]
  --port N      listen on this port of 127.0.0.1; 0 takes any free one [PORT; default: 8080]
  --cdn LIST    names of fields, separated by commas, of which the first that a response has is heeded
                instead of Cache-Control (RFC 9213); `none` for none of them
                [default: CDN-Cache-Control]
  --actix-web   let actix-web serve the clients, not hyper: the same, without interim responses
  --once        show what it does before an origin of its own, and stop
  --help        print this

RUST_LOG says what is logged, to standard error: RUST_LOG=reverse_proxy=debug for what went wrong with
origin and clients.";

pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) server: Server,
    pub(crate) port: u16,
    /// The fields that go before Cache-Control, in this order.
    pub(crate) targeted: Vec<HeaderName>,
}

pub(crate) enum Mode {
    /// Before an origin of its own, to show what it does.
    Once,
    /// Before this origin.
    Before(Authority),
}

/// What serves the clients.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Hyper,
    ActixWeb,
}

impl Options {
    /// Reads them; `None` where only help is asked for. An option goes before its variable.
    pub(crate) fn read() -> Result<Option<Self>, String> {
        let line = Line::read(lexopt::Parser::from_env()).map_err(|error| unreadable(&error))?;
        if line.help {
            return Ok(None);
        }
        line.options().map(Some)
    }
}

/// The command line.
#[derive(Default)]
struct Line {
    origin: Option<Found>,
    port: Option<Found>,
    targeted: Option<Found>,
    actix_web: bool,
    once: bool,
    help: bool,
}

impl Line {
    fn read(mut arguments: lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;

        let mut line = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("origin") => line.origin = Some(("--origin", arguments.value()?)),
                Long("port") => line.port = Some(("--port", arguments.value()?)),
                Long("cdn") => line.targeted = list(&mut arguments).map(|list| ("--cdn", list)),
                Long("actix-web") => line.actix_web = true,
                Long("once") => line.once = true,
                Long("help") | Short('h') => line.help = true,
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(line)
    }

    fn options(self) -> Result<Options, String> {
        let port = self.port.or_else(|| variable("PORT"));
        let targeted = self
            .targeted
            .unwrap_or(("--cdn", "CDN-Cache-Control".into()));
        let mode = if self.once {
            Mode::Once
        } else {
            let origin = self.origin.or_else(|| variable("ORIGIN"));
            Mode::Before(read_origin(origin.unwrap_or_default())?)
        };
        let server = if self.actix_web {
            Server::ActixWeb
        } else {
            Server::Hyper
        };
        Ok(Options {
            mode,
            server,
            port: port.map_or(Ok(8080), read_port)?,
            targeted: read_targeted(targeted)?,
        })
    }
}

/// The value of an option that needs none.
fn list(arguments: &mut lexopt::Parser) -> Option<OsString> {
    arguments.optional_value().or_else(|| {
        let mut rest = arguments.try_raw_args()?;
        rest.next_if(|next| !next.as_encoded_bytes().starts_with(b"-"))
    })
}

fn read_origin((setting, value): Found) -> Result<Authority, String> {
    let origin = value.to_str().and_then(|value| value.parse().ok());
    origin.and_then(authority).ok_or_else(|| {
        let (setting, found) = match setting {
            "" => ("ORIGIN", "not set".to_owned()),
            setting => (setting, format!("`{}`", value.display())),
        };
        format!("{setting} is {found}; accepted is http://HOST:PORT, without a path")
    })
}

fn authority(origin: Uri) -> Option<Authority> {
    let parts = origin.into_parts();
    let is_bare = parts.path_and_query.is_none_or(|path| path == "/");
    let authority = parts
        .authority
        .filter(|authority| !authority.as_str().contains('@'))?;
    (parts.scheme == Some(Scheme::HTTP) && is_bare).then_some(authority)
}

fn read_targeted((setting, value): Found) -> Result<Vec<HeaderName>, String> {
    if value.is_empty() || value == "none" {
        return Ok(Vec::new());
    }
    let names = value.to_str().map(|value| value.split(','));
    let names = names.and_then(|names| names.map(|name| name.trim().parse().ok()).collect());
    names.ok_or_else(|| {
        let found = value.display();
        format!(
            "{setting} is `{found}`; accepted are names of fields, separated by commas, or `none`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Options, String> {
        let line = Line::read(lexopt::Parser::from_args(arguments));
        line.map_err(|error| error.to_string())?.options()
    }

    fn targeted(arguments: &[&str]) -> Result<Vec<String>, String> {
        let before = ["--once"].iter().chain(arguments).copied();
        let options = read(&before.collect::<Vec<_>>())?;
        let names = options.targeted.iter();
        Ok(names.map(ToString::to_string).collect())
    }

    #[test]
    fn the_targeted_fields_are_those_named() {
        let usual = Ok(vec!["cdn-cache-control".to_owned()]);
        assert_eq!(targeted(&[]), usual);
        assert_eq!(targeted(&["--cdn"]), usual);
        assert_eq!(targeted(&["--cdn", "--port", "0"]), usual);
        let both = Ok(vec!["a-cache-control".to_owned(), "b".to_owned()]);
        assert_eq!(targeted(&["--cdn", "A-Cache-Control, b"]), both);
        assert_eq!(targeted(&["--cdn=A-Cache-Control,b"]), both);
        for none in [&["--cdn", ""][..], &["--cdn", "none"], &["--cdn=none"]] {
            assert_eq!(targeted(none), Ok(Vec::new()));
        }
    }

    #[test]
    fn hyper_serves_the_clients_unless_actix_web_is_asked_for() {
        let server = |arguments| read(arguments).map(|options| options.server);
        assert!(server(&["--once"]) == Ok(Server::Hyper));
        assert!(server(&["--once", "--actix-web"]) == Ok(Server::ActixWeb));
    }

    #[test]
    fn an_error_names_the_setting_what_was_found_and_what_is_accepted() {
        for (arguments, beginning) in [
            (&["--cdn", "a b"][..], "--cdn is `a b`; accepted are"),
            (&["--cdn", "a,,b"], "--cdn is `a,,b`; accepted are"),
            (&["--port", "x"], "--port is `x`; accepted is"),
        ] {
            let error = targeted(arguments).unwrap_err();
            assert!(error.starts_with(beginning), "{error}");
        }
    }

    #[test]
    fn an_origin_is_a_scheme_and_an_authority() {
        let origin = |value: &str| read_origin(("ORIGIN", value.into()));
        assert_eq!(origin("http://127.0.0.1:8000").unwrap(), "127.0.0.1:8000");
        assert_eq!(origin("http://[::1]:8000/").unwrap(), "[::1]:8000");
        for wrong in [
            "",
            "127.0.0.1:8000",
            "https://a.test:443",
            "http://a.test/path",
            "http://a.test/?q",
            "http://me@a.test",
            "/",
        ] {
            let error = origin(wrong).unwrap_err();
            let expected =
                format!("ORIGIN is `{wrong}`; accepted is http://HOST:PORT, without a path");
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn an_origin_must_be_named() {
        let Err(error) = read_origin(Found::default()) else {
            panic!("it is not");
        };
        assert!(error.starts_with("ORIGIN is not set;"), "{error}");
    }
}
