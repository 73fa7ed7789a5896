//! How the world reaches a session: notes about what to look at.
//!
//! Looking at everything each time would cost more than the work itself. So each thing that can
//! happen has its own waker, which leaves a note, and puts the session on its host's list when no
//! note was there.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Wake, Waker},
};

use super::{host::Hub, mail::Mail};
use crate::track::{ReaderKey, SessionTap, Tap};

/// A kind of thing that can happen to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// The peer opened a unidirectional stream.
    Uni = 1,
    /// The peer opened a bidirectional stream.
    Bi = 2,
    /// A datagram arrived.
    Datagram = 4,
    /// The connection closed.
    Closed = 8,
    /// A time is due.
    Timer = 16,
    /// Streams can go on: [`Signal::take_streams`].
    Streams = 32,
    /// The track table says something: [`Signal::take_mail`].
    Mail = 64,
}

/// Every note: what a session looks at when it begins.
const ALL: u32 = 127;

/// Letters that may wait for a session; a session that does not read that many is ended.
/// Each answers to a track, namespace or watch of its own, of which it may have 2,000.
const MAIL_MAX: usize = 8192;

/// One session's notes.
pub(crate) struct Signal {
    hub: Arc<Hub>,
    seat: u32,
    notes: AtomicU32,
    streams: Mutex<Vec<u32>>,
    mail: Mutex<VecDeque<Mail>>,
    overrun: AtomicBool,
}

/// Which notes were there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notes(u32);

impl Signal {
    /// For a session in a seat of a host, which looks at it once without being told.
    pub(super) fn new(hub: Arc<Hub>, seat: u32) -> Arc<Self> {
        Arc::new(Self {
            hub,
            seat,
            notes: AtomicU32::new(ALL),
            streams: Mutex::default(),
            mail: Mutex::default(),
            overrun: AtomicBool::new(false),
        })
    }

    /// Leaves a note.
    pub(crate) fn raise(&self, note: Note) {
        let before = self.notes.fetch_or(note as u32, Ordering::AcqRel);
        if before == 0 {
            self.hub.session_ready(self.seat);
        }
    }

    /// Takes all notes.
    pub(crate) fn take(&self) -> Notes {
        Notes(self.notes.swap(0, Ordering::AcqRel))
    }

    /// Returns the place of a subscription of this session, for the track.
    pub(super) fn tap(&self, key: ReaderKey, slot: u32) -> Tap {
        let tap = SessionTap {
            key,
            seat: self.seat,
            slot,
        };
        Tap::Session(self.hub.clone(), tap)
    }

    fn stream_ready(&self, slot: u32) {
        lock(&self.streams).push(slot);
        self.raise(Note::Streams);
    }

    /// Sends a letter. When too many wait already the session is ended instead.
    pub(crate) fn post(&self, letter: Mail) {
        let mut mail = lock(&self.mail);
        if mail.len() < MAIL_MAX {
            mail.push_back(letter);
        } else {
            self.overrun.store(true, Ordering::Release);
        }
        drop(mail);
        self.raise(Note::Mail);
    }

    pub(crate) fn take_streams(&self, into: &mut Vec<u32>) {
        std::mem::swap(&mut *lock(&self.streams), into);
    }

    pub(crate) fn take_mail(&self) -> VecDeque<Mail> {
        std::mem::take(&mut *lock(&self.mail))
    }

    /// Returns whether letters were lost.
    pub(crate) fn overrun(&self) -> bool {
        self.overrun.load(Ordering::Acquire)
    }

    /// Makes a waker that leaves a note.
    pub(crate) fn waker(self: &Arc<Self>, note: Note) -> Waker {
        Waker::from(Arc::new(NoteWaker {
            signal: self.clone(),
            note,
        }))
    }
}

impl Notes {
    pub(crate) fn has(self, note: Note) -> bool {
        self.0 & note as u32 != 0
    }
}

struct NoteWaker {
    signal: Arc<Signal>,
    note: Note,
}

impl Wake for NoteWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.signal.raise(self.note);
    }
}

/// The waker of one stream: puts its number on the session's list, once until it is looked at.
pub(crate) struct StreamBell {
    signal: Arc<Signal>,
    slot: u32,
    rung: AtomicBool,
}

impl StreamBell {
    pub(crate) fn new(signal: Arc<Signal>, slot: u32) -> Arc<Self> {
        Arc::new(Self {
            signal,
            slot,
            rung: AtomicBool::new(false),
        })
    }

    /// Call before polling the stream, never after.
    pub(crate) fn silence(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
}

impl Wake for StreamBell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.signal.stream_ready(self.slot);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
