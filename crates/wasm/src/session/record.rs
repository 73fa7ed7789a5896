//! What a session wants done or has to tell, in the form that JavaScript reads.

use bytes::Bytes;

/// What a [`Record`] means. The numbers are part of the interface with `wasm/session.ts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Open a bidirectional stream and call it `id`.
    OpenBi = 1,
    /// Open a unidirectional stream and call it `id`; `code` 1: for pictures, which voice does not wait for.
    OpenUni = 2,
    /// Write `bytes` to stream `id`.
    Write = 3,
    /// Send FIN on stream `id` after what was written.
    Finish = 4,
    /// Reset our direction of stream `id` with `code`.
    Reset = 5,
    /// Ask the peer to stop sending on stream `id` with `code`.
    Stop = 6,
    /// Close the session with `code`; `bytes` says why. Nothing follows.
    Close = 7,
    /// Send `bytes` as a datagram.
    Datagram = 8,
    /// The peer's SETUP arrived; `bytes`: its implementation.
    Ready = 16,
    /// Track `id` was accepted.
    Live = 17,
    /// Track `id` was refused and is forgotten; `code`, `bytes` say why, `at`: after how many ms it
    /// may be tried again, negative: never.
    Refused = 18,
    /// Track `id` is over and forgotten; `code`, `bytes` say why.
    Ended = 19,
    /// The peer answered a ping after `at` ms.
    Pong = 20,
    /// The peer wants us to leave within `at` ms (0: not said); `bytes`: where to, empty: the same.
    GoAway = 21,
    /// Track `id` brought an Opus packet, `bytes`; `group`, `object`: its location; `at`: its
    /// timestamp, 1/48000 s, negative: none; `ticks`: its duration in the same unit; `code`: its
    /// level (RFC 6464), or 255 when it has none; `participant`: in a seat of a room, whose it is.
    /// Without bytes: it is silent from `at` on.
    Packet = 22,
    /// Track `id` brought a picture; `group`, `object`: its location; `at`: its timestamp, 1/48000 s,
    /// negative: none; `code`: bit 0 it needs no other picture, bit 1 no other picture needs it;
    /// `ticks`: so many of `bytes` are the decoder's configuration, the rest is the picture.
    Picture = 23,
    /// The relay wants track `id` to begin a new group, above `group` minus one (0: any).
    NewGroup = 24,
    /// Nothing more comes of `group` of track `id`: the relay gave it up, or we did.
    Cut = 25,
    /// The relay wants no objects of track `id` until [`Live`](Self::Live) comes again.
    Idle = 26,
    /// Track `id` brought an object, `bytes`, that is neither voice nor picture; `group`, `object`:
    /// its location.
    Object = 27,
    /// The fallback: the relay opened a stream, which is called `id`; `code` 1: a bidirectional one.
    Incoming = 32,
    /// The fallback: stream `id` brought `bytes`; `code` 1: nothing follows.
    Arrived = 33,
    /// The fallback: the relay reset its direction of stream `id` with `code`.
    WasReset = 34,
    /// The fallback: the relay wants no more of stream `id`, with `code`.
    WasStopped = 35,
    /// The fallback: a datagram.
    DatagramArrived = 36,
    /// The fallback: the connection is over; `at`: the session's code, negative: it has none;
    /// `bytes` says why. Nothing follows.
    Over = 37,
    /// The fallback: send `bytes` as a message.
    Message = 38,
}

/// One thing to do or to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// What it is.
    pub kind: Kind,
    /// Stream or track.
    pub id: u32,
    /// Error code or level.
    pub code: u32,
    /// A time.
    pub at: f64,
    /// Where an object belongs.
    pub group: u64,
    /// Its id within the group.
    pub object: u64,
    /// How long it plays.
    pub ticks: u32,
    /// The 3 of `p3`; 0: it does not say.
    pub participant: u32,
    /// Bytes or words.
    pub bytes: Bytes,
}

impl Record {
    pub(crate) fn new(kind: Kind, id: u32) -> Self {
        Self {
            kind,
            id,
            code: 0,
            at: 0.0,
            group: 0,
            object: 0,
            ticks: 0,
            participant: 0,
            bytes: Bytes::new(),
        }
    }

    pub(crate) fn code(mut self, code: u64) -> Self {
        self.code = u32::try_from(code).unwrap_or(u32::MAX);
        self
    }

    pub(crate) fn at(mut self, at: f64) -> Self {
        self.at = at;
        self
    }

    pub(crate) fn bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        self.bytes = bytes.into();
        self
    }
}

/// A [`Record`] as it lies in memory: on wasm32 the offsets are 0, 4, 8, 12, 16, 24, 32, 40, 44
/// and 48.
#[derive(Debug)]
#[repr(C)]
pub struct Wire {
    kind: u32,
    id: u32,
    code: u32,
    len_bytes: u32,
    at: f64,
    group: u64,
    object: u64,
    ticks: u32,
    bytes: *const u8,
    participant: u32,
}

impl Wire {
    /// Describes `record`, which must outlive it.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self {
            kind: record.kind as u32,
            id: record.id,
            code: record.code,
            len_bytes: record.bytes.len() as u32,
            at: record.at,
            group: record.group,
            object: record.object,
            ticks: record.ticks,
            bytes: record.bytes.as_ptr(),
            participant: record.participant,
        }
    }
}
