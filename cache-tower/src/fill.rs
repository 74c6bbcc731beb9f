//! A body that comes in once and goes out to many.
//!
//! One [job](crate::engine::FillJob) takes the body from the origin into a [`Fill`]; every
//! [`Reader`] takes it from there at its own speed, so no client delays another. The fill never
//! holds more than the largest body that is kept, and one frame.

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// What has come in so far.
pub(crate) struct Fill {
    /// The length that was declared, for the readers' size hints.
    declared: Option<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pieces: Vec<Piece>,
    end: Option<End>,
    readers: BTreeMap<u64, Option<Waker>>,
    next_reader: u64,
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    // Boxed: there is one of them at most, and many of the others.
    Trailers(Box<HeaderMap>),
}

/// How the coming in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With the end of the body.
    Clean,
    /// Too early: with an error, or when its time was over.
    Cut,
    /// It became too large: the leader goes on with the body itself.
    HandedOver,
}

/// What a reader gets next.
pub(crate) enum Next {
    Frame(Frame<Bytes>),
    End(End),
}

impl Fill {
    pub(crate) fn new(declared: Option<u64>) -> Self {
        Self {
            declared,
            state: Mutex::default(),
        }
    }

    /// Adds a frame of data or trailers; there are no others.
    pub(crate) fn push(&self, frame: Frame<Bytes>) {
        let piece = match frame.into_data() {
            Ok(data) => Piece::Data(data),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => Piece::Trailers(Box::new(trailers)),
                Err(_) => return,
            },
        };
        self.change(|state| state.pieces.push(piece));
    }

    /// Ends the coming in; only the first end counts.
    pub(crate) fn end(&self, end: End) {
        self.change(|state| {
            state.end.get_or_insert(end);
        });
    }

    /// Another reader, from the beginning.
    pub(crate) fn reader(self: &Arc<Self>) -> Reader {
        let mut state = self.state();
        let id = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(id, None);
        drop(state);
        Reader {
            fill: Arc::clone(self),
            id,
            at: 0,
            read: 0,
        }
    }

    /// The data that came in so far.
    pub(crate) fn data(&self) -> Vec<Bytes> {
        let data = |piece: &Piece| match piece {
            Piece::Data(data) => Some(data.clone()),
            Piece::Trailers(_) => None,
        };
        self.state().pieces.iter().filter_map(data).collect()
    }

    /// Whether trailers came in.
    pub(crate) fn has_trailers(&self) -> bool {
        self.state()
            .pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Trailers(_)))
    }

    /// How many read.
    pub(crate) fn readers(&self) -> usize {
        self.state().readers.len()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let wakers: Vec<Waker> = state
            .readers
            .values_mut()
            .filter_map(Option::take)
            .collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fill")
            .field("declared", &self.declared)
            .finish_non_exhaustive()
    }
}

/// One who reads a fill.
pub(crate) struct Reader {
    fill: Arc<Fill>,
    id: u64,
    at: usize,
    read: u64,
}

impl Reader {
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        // Cloned before the lock, and what it replaces dropped after: both run foreign code.
        let waker = cx.waker().clone();
        let mut state = self.fill.state();
        if let Some(piece) = state.pieces.get(self.at) {
            self.at += 1;
            return Poll::Ready(Next::Frame(match piece.clone() {
                Piece::Data(data) => {
                    self.read += data.len() as u64;
                    Frame::data(data)
                }
                Piece::Trailers(trailers) => Frame::trailers(*trailers),
            }));
        }
        if let Some(end) = state.end {
            return Poll::Ready(Next::End(end));
        }
        let known = state.readers.get_mut(&self.id);
        let replaced = known.and_then(|known| known.replace(waker));
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// What is still to come, where that was declared.
    pub(crate) fn remaining(&self) -> Option<u64> {
        Some(self.fill.declared?.saturating_sub(self.read))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let waker = self.fill.state().readers.remove(&self.id);
        // After the lock, as above.
        drop(waker);
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, task::Wake, thread, time::Duration};

    /// A task that is owned by its wakers alone, as with the simplest of executors, and owns a reader.
    struct Task(#[allow(dead_code, reason = "it is dropped with the task")] Reader);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    fn poll(reader: &mut Reader, waker: &Waker) {
        let polled = reader.poll_next(&mut Context::from_waker(waker));
        assert!(polled.is_pending());
    }

    /// Has `part` part with the last waker of a task that reads the same fill.
    fn parted(part: fn(Reader)) {
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            let fill = Arc::new(Fill::new(None));
            let mut reader = fill.reader();
            poll(&mut reader, &Arc::new(Task(fill.reader())).into());
            part(reader);
            done.send(fill.readers())
        });
        let left = is_done.recv_timeout(Duration::from_secs(20));
        assert_eq!(left, Ok(0), "it waits for a lock that it holds");
    }

    #[test]
    fn asy_16_a_waker_is_replaced_and_dropped_without_the_lock() {
        parted(|mut reader| poll(&mut reader, Waker::noop()));
        parted(drop);
    }
}
