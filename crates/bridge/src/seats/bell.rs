//! How one task learns which of many tracks has something new, without looking at all of them.

use std::{
    sync::Arc,
    task::{Wake, Waker},
};

use tokio::sync::mpsc;

/// Something has happened to a track of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ring {
    pub(super) room: u32,
    pub(super) what: What,
}

/// Which track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The voice of the participant with that number has new objects.
    Voice(u64),
    /// One of the room's own has got readers or lost them: that many seats, then `speakers`.
    Track(usize),
}

/// Makes bells.
///
/// A bell rings once until its track has been looked at, so no more rings wait than there are tracks.
#[derive(Debug, Clone)]
pub(super) struct Bells {
    rings: mpsc::UnboundedSender<Ring>,
}

impl Bells {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Ring>) {
        let (rings, rings_rx) = mpsc::unbounded_channel();
        (Self { rings }, rings_rx)
    }

    /// Returns what makes the bells of one room.
    pub(super) fn of(&self, room: u32) -> RoomBells {
        RoomBells {
            bells: self.clone(),
            room,
        }
    }
}

/// Makes the bells of a room.
#[derive(Debug)]
pub(super) struct RoomBells {
    bells: Bells,
    room: u32,
}

impl RoomBells {
    pub(super) fn bell(&self, what: What) -> Waker {
        Waker::from(Arc::new(Bell {
            rings: self.bells.rings.clone(),
            ring: Ring {
                room: self.room,
                what,
            },
        }))
    }
}

struct Bell {
    rings: mpsc::UnboundedSender<Ring>,
    ring: Ring,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Without the task there is nobody to be told.
        self.rings.send(self.ring).ok();
    }
}
