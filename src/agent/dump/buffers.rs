//! The memory in which compressed data waits: a bounded number of pieces of one size, which are used again and again.
//!
//! This is where back-pressure comes from: whatever wants to write waits here until a part has arrived in the store.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};

/// Size of a piece in bytes.
pub(super) const PIECE: usize = 256 * 1024;

/// A bounded number of pieces.
#[derive(Clone, Debug)]
pub(crate) struct Buffers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    free: Vec<Vec<u8>>,
    used: u64,
    limit: u64,
    closed: bool,
}

/// A piece that is being filled. Its content travels on as [`Bytes`], and its memory comes back once they are dropped.
#[derive(Debug)]
pub(crate) struct Piece {
    bytes: Vec<u8>,
    shared: Arc<Shared>,
}

impl Buffers {
    /// Pieces of at most this many bytes in total.
    #[must_use]
    pub(crate) fn new(limit: u64) -> Self {
        let buffers = Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changed: Condvar::new(),
            }),
        };
        buffers.allow(limit);
        buffers
    }

    /// From now on, pieces may have this many bytes in total.
    pub(crate) fn allow(&self, limit: u64) {
        self.shared.lock().limit = limit / PIECE as u64;
        self.shared.changed.notify_all();
    }

    /// Waits for an empty piece; `None` once the buffers are closed.
    #[must_use]
    pub(crate) fn take(&self) -> Option<Piece> {
        let mut state = self.shared.lock();
        while state.used >= state.limit && !state.closed {
            self.shared.changed.wait(&mut state);
        }
        if state.closed {
            return None;
        }
        state.used += 1;
        let bytes = state
            .free
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(PIECE));
        Some(Piece {
            bytes,
            shared: Arc::clone(&self.shared),
        })
    }

    /// Lets nothing wait any longer.
    pub(crate) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Piece {
    /// Its content, to be filled up to its capacity.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Whether nothing more fits.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= PIECE
    }

    /// Its content, to be read.
    #[must_use]
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut state = self.shared.lock();
        state.used = state.used.saturating_sub(1);
        state.free.push(bytes);
        drop(state);
        self.shared.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn no_more_than_the_limit_until_one_comes_back() {
        let buffers = Buffers::new(2 * PIECE as u64);
        let mut one = buffers.take().unwrap();
        one.bytes().extend_from_slice(b"abc");
        let other = buffers.take().unwrap();
        let waiting = thread::spawn({
            let buffers = buffers.clone();
            move || buffers.take().map(|mut piece| piece.bytes().len())
        });
        let bytes = one.freeze();
        let tail = bytes.slice(1..);
        drop(bytes);
        assert_eq!(tail, "bc");
        assert_eq!(buffers.shared.lock().used, 2);
        assert!(!waiting.is_finished());
        drop(tail);
        assert_eq!(waiting.join().unwrap(), Some(0), "empty again");
        buffers.close();
        assert!(buffers.take().is_none());
        drop(other);
    }
}
