//! The one error of this crate.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

/// What a loader's error is turned into: any error type, `anyhow::Error`, a string.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why the cache could not answer, or could not be built.
///
/// One opaque type, because a caller of a cache rarely wants to match on how it is built inside:
/// the predicates tell apart what can be acted on, and [`downcast_ref`](Self::downcast_ref) gives
/// back the loader's own error. It is cheap to clone, because one failed load answers every caller
/// that waited for it.
///
/// `Display` prints this level only; [`source`](StdError::source) leads on to the loader's error.
#[derive(Clone)]
pub struct Error(Kind);

#[derive(Clone)]
enum Kind {
    Load(Arc<dyn StdError + Send + Sync>),
    Panicked,
    Deadline(Duration),
    Wait(Duration),
    Reentrant,
    Config(Arc<str>),
    Codec(Arc<dyn StdError + Send + Sync>),
}

impl Error {
    /// The loader failed, in this call or in the one that led its flight.
    pub fn is_load(&self) -> bool {
        matches!(self.0, Kind::Load(_) | Kind::Panicked)
    }

    /// The load passed its work deadline, or this caller its wait limit.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, Kind::Deadline(_) | Kind::Wait(_))
    }

    /// A loader asked the cache for the very key it is loading.
    pub fn is_reentrant(&self) -> bool {
        matches!(self.0, Kind::Reentrant)
    }

    /// A setting has a value that cannot work.
    pub fn is_config(&self) -> bool {
        matches!(self.0, Kind::Config(_))
    }

    /// A value could not be encoded or decoded.
    pub fn is_codec(&self) -> bool {
        matches!(self.0, Kind::Codec(_))
    }

    /// The loader's own error, if it is an `E`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), cache_core::Error> {
    /// use cache_core::Cache;
    ///
    /// let users: Cache<String> = Cache::builder("users").build()?;
    /// let failed = users.get_or_load(&1, || async { Err("no connection".parse::<u8>().unwrap_err()) });
    /// let error = failed.await.unwrap_err();
    /// assert!(error.is_load());
    /// assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
    /// # Ok(()) }
    /// ```
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.inner()?.downcast_ref()
    }

    /// An error of a loader, for engines that share an outcome of their own.
    pub fn load(error: impl Into<BoxError>) -> Self {
        Self(Kind::Load(Arc::from(error.into())))
    }

    /// An error of a setting: `problem` names it, what was found, and what is accepted.
    pub fn config(problem: impl Into<String>) -> Self {
        Self(Kind::Config(problem.into().into()))
    }

    /// An error of a [`Codec`](crate::Codec).
    pub fn codec(error: impl Into<BoxError>) -> Self {
        Self(Kind::Codec(Arc::from(error.into())))
    }

    pub(crate) fn panicked() -> Self {
        Self(Kind::Panicked)
    }

    pub(crate) fn deadline(limit: Duration) -> Self {
        Self(Kind::Deadline(limit))
    }

    pub(crate) fn wait(limit: Duration) -> Self {
        Self(Kind::Wait(limit))
    }

    pub(crate) fn reentrant() -> Self {
        Self(Kind::Reentrant)
    }

    fn inner(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Kind::Load(error) | Kind::Codec(error) => Some(&**error),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Load(_) => f.write_str("the load failed"),
            Kind::Panicked => f.write_str("the load panicked, and so did the next caller's"),
            Kind::Deadline(limit) => write!(
                f,
                "the load took longer than its work deadline of {limit:?}"
            ),
            Kind::Wait(limit) => {
                write!(
                    f,
                    "another caller's load took longer than this one's wait limit of {limit:?}"
                )
            }
            Kind::Reentrant => f.write_str("the loader asked for the key it is itself loading"),
            Kind::Config(problem) => f.write_str(problem),
            Kind::Codec(_) => f.write_str("the value could not be encoded or decoded"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A `main` that returns it prints it so: lines of what is wrong, for whoever runs the service.
        if let Kind::Config(problem) = &self.0 {
            return f.write_str(problem);
        }
        let mut tuple = f.debug_tuple("Error");
        tuple.field(&format_args!("{self}"));
        if let Some(inner) = self.inner() {
            tuple.field(inner_debug(&inner));
        }
        tuple.finish()
    }
}

fn inner_debug<'a>(inner: &'a &(dyn StdError + 'static)) -> &'a dyn fmt::Debug {
    inner
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_display_is_one_level_and_the_source_the_next() {
        let error = Error::load("connection refused");
        assert_eq!(error.to_string(), "the load failed");
        assert_eq!(error.source().unwrap().to_string(), "connection refused");
    }

    #[test]
    fn what_is_wrong_with_settings_reads_the_same_where_main_returns_it() {
        let error = Error::config("two are wrong:\n  one\n  other");
        assert_eq!(format!("{error:?}"), error.to_string());
        let error = Error::load("connection refused");
        assert_eq!(
            format!("{error:?}"),
            r#"Error(the load failed, "connection refused")"#
        );
    }

    #[test]
    fn a_clone_gives_back_the_same_error() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "gone");
        let error = Error::load(io);
        let clone = error.clone();
        for error in [&error, &clone] {
            let inner = error.downcast_ref::<std::io::Error>().unwrap();
            assert_eq!(inner.kind(), std::io::ErrorKind::NotFound);
        }
    }
}
