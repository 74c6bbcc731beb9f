//! What caches tell of themselves, caught for a test.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};
use tracing::{Level, subscriber};
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

/// All that was logged.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Of this thread, at TRACE, with each span when it begins and when it ends.
    pub fn begin(&self) -> subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish();
        // Threads of other tests have no subscriber, and what they come to first would be off for all.
        let _ = subscriber::set_global_default(tracing_subscriber::registry());
        subscriber::set_default(subscriber)
    }

    /// What there is so far.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
