//! How an append reaches a reader.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;

use crate::session::Signal;

/// Names one reader of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReaderKey(pub(crate) u64);

/// A reader's bell. It rings once, however much is appended, until the reader looks.
pub(crate) struct Tap {
    rung: AtomicBool,
    bell: Bell,
}

enum Bell {
    /// A subscription of a session: its number goes on the session's list, the session wakes once.
    Session { signal: Arc<Signal>, slot: u32 },
    /// A reader in the process.
    Local(AtomicWaker),
}

impl Tap {
    pub(crate) fn session(signal: Arc<Signal>, slot: u32) -> Arc<Self> {
        Arc::new(Self {
            rung: AtomicBool::new(false),
            bell: Bell::Session { signal, slot },
        })
    }

    pub(crate) fn local() -> Arc<Self> {
        Arc::new(Self {
            rung: AtomicBool::new(false),
            bell: Bell::Local(AtomicWaker::new()),
        })
    }

    /// Rings, unless it rings already.
    pub(crate) fn ring(&self) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        match &self.bell {
            Bell::Session { signal, slot } => signal.subscription_ready(*slot),
            Bell::Local(waker) => waker.wake(),
        }
    }

    /// Stops ringing. Look at the log after this, never before.
    pub(crate) fn silence(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }

    /// Wakes this task from now on; for readers in the process.
    pub(crate) fn register(&self, waker: &Waker) {
        match &self.bell {
            Bell::Local(own) => own.register(waker),
            Bell::Session { .. } => {}
        }
    }
}
