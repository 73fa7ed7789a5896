//! How an append reaches a reader.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::Instant,
};

use futures_util::task::AtomicWaker;

use super::Track;
use crate::{
    load::Overload,
    session::{Batch, Habit, Hub},
};

/// Entries of one track that a worker takes at a time, before other tracks have their turn: a
/// second of voice.
const BATCH: usize = 64;

/// Sessions that are asked what else they get: enough to know what most of a crowd do.
const ASKED: usize = 8;

/// Names one reader of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReaderKey(pub(crate) u64);

/// A reader's place.
pub(crate) enum Tap {
    /// A subscription of a session: its worker is told, once for all its sessions.
    Session(Arc<Hub>, SessionTap),
    /// A reader in the process.
    Local(Arc<LocalTap>),
}

/// A subscription of a session, as its worker finds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionTap {
    pub(crate) key: ReaderKey,
    pub(crate) seat: u32,
    pub(crate) slot: u32,
}

/// The bell of a reader in the process. It rings once, however much is appended, until the reader
/// looks.
#[derive(Default)]
pub(crate) struct LocalTap {
    rung: AtomicBool,
    waker: AtomicWaker,
}

impl LocalTap {
    /// Rings, unless it rings already.
    pub(super) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Stops ringing. Look at the log after this, never before.
    pub(super) fn silence(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }

    /// Wakes this task from now on.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }
}

/// Where a track's objects go to one worker.
pub(crate) struct Outlet {
    track: Weak<Track>,
    hub: Arc<Hub>,
    rung: AtomicBool,
    readers: Mutex<Readers>,
}

struct Readers {
    /// The next entry that the worker has not taken.
    cursor: u64,
    taps: Vec<SessionTap>,
    /// Whether it is worth to wait for other tracks.
    habit: Habit,
}

impl Outlet {
    pub(super) fn new(track: Weak<Track>, hub: Arc<Hub>, cursor: u64) -> Self {
        Self {
            track,
            hub,
            rung: AtomicBool::new(false),
            readers: Mutex::new(Readers {
                cursor,
                taps: Vec::new(),
                habit: Habit::default(),
            }),
        }
    }

    pub(super) fn leads_to(&self, hub: &Arc<Hub>) -> bool {
        Arc::ptr_eq(&self.hub, hub)
    }

    /// Tells the worker, unless it is told already.
    pub(super) fn ring(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.hub.outlet_ready(self.clone());
        }
    }

    pub(super) fn add(&self, tap: SessionTap) {
        self.readers().taps.push(tap);
    }

    /// Removes a reader; true when it was here.
    pub(super) fn remove(&self, key: ReaderKey) -> bool {
        let taps = &mut self.readers().taps;
        let found = taps.iter().position(|tap| tap.key == key);
        found.map(|index| taps.swap_remove(index)).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.readers().taps.len()
    }

    /// Moves what is new to `batch`, for the worker. Returns whether some of it was late: then what an overloaded
    /// worker leaves out is not in it.
    pub(crate) fn read(
        self: &Arc<Self>,
        batch: &mut Batch,
        now: Instant,
        overload: &Overload,
    ) -> bool {
        self.rung.swap(false, Ordering::AcqRel);
        let Some(track) = self.track.upgrade() else {
            return false;
        };
        let mut readers = self.readers();
        let log = track.log();
        let oldest = log.get(readers.cursor);
        let late = oldest.is_some_and(|oldest| overload.is_late(oldest.at, now));
        if late && let Some(before) = overload.leave_out(now) {
            readers.cursor = log.skip(readers.cursor, before);
        }
        log.read(&mut readers.cursor, BATCH, &mut batch.entries);
        batch.first = readers.cursor - batch.entries.len() as u64;
        drop(log);
        drop(readers);
        if batch.entries.len() == BATCH {
            self.ring(); // There may be more.
        }
        late
    }

    /// Returns since when something waits to be taken, if it may wait for other tracks.
    pub(crate) fn gathers_since(&self) -> Option<Instant> {
        // Most tracks never wait: nothing more is asked of them.
        let cursor = {
            let readers = self.readers();
            readers.habit.is_shared().then_some(readers.cursor)
        }?;
        let track = self.track.upgrade()?;
        track.log().get(cursor).map(|entry| entry.at)
    }

    /// Asks some of the readers, when there are at least so many, whether they get something else at about the same
    /// time.
    pub(crate) fn learn(&self, crowd: usize, shares: impl Fn(u32) -> bool) {
        let Readers { taps, habit, .. } = &mut *self.readers();
        if taps.len() < crowd {
            *habit = Habit::default();
            return;
        }
        let asked = taps.iter().step_by(taps.len().div_ceil(ASKED).max(1));
        let (mut all, mut some) = (0, 0);
        for tap in asked {
            all += 1;
            some += usize::from(shares(tap.seat));
        }
        habit.note(some * 2 >= all);
    }

    /// Calls `each` with every reader.
    pub(crate) fn for_each(&self, each: impl FnMut(&SessionTap)) {
        self.readers().taps.iter().for_each(each);
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(|e| e.into_inner())
    }
}
