//! What the daemon must do.

use std::time::{Duration, Instant};

use crate::{
    CallId, Cause, DeviceId, Digit, Diverted, Event, Lamp, LegId, ParticipantId, Party, Route,
    Rules, Service, User,
};

/// Something to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Tell a device. It may be without a socket: the event waits for its return.
    Notify {
        /// The device.
        device: DeviceId,
        /// What.
        event: Event,
    },
    /// The device's grace is over: its session cannot be resumed any more.
    Forget(DeviceId),
    /// Call a number over the trunk. The leg's sound is `room/<call>/<participant>`.
    Dial {
        /// The new leg.
        leg: LegId,
        /// Its call and room.
        call: CallId,
        /// Its place in the room.
        participant: ParticipantId,
        /// What to dial, and by which trunk.
        route: Route,
        /// Whom to show as the caller.
        from: Party,
        /// Present when the call was sent on.
        diverted: Option<Diverted>,
    },
    /// Begin a built-in party. Its sound is `room/<call>/<participant>`.
    StartService {
        /// The new leg.
        leg: LegId,
        /// Which.
        service: Service,
        /// Its call and room.
        call: CallId,
        /// Its place in the room.
        participant: ParticipantId,
    },
    /// Say to an unanswered telephone leg that it rings here.
    Ring(LegId),
    /// Answer an unanswered telephone leg.
    Answer(LegId),
    /// Play a ringing tone to an answered telephone leg until [`Output::StopTone`].
    PlayRingback(LegId),
    /// End the ringing tone.
    StopTone(LegId),
    /// Play music to a telephone leg that is held, until [`Output::StopMusic`].
    PlayMusic(LegId),
    /// End the music.
    StopMusic(LegId),
    /// From now on a leg's sound is `room/<call>/<participant>`. It listens to nobody then.
    Move {
        /// The leg.
        leg: LegId,
        /// Its new call and room.
        call: CallId,
        /// Its place there.
        participant: ParticipantId,
    },
    /// Tell a telephone that transfers what becomes of it.
    Transfer {
        /// The leg that asked.
        leg: LegId,
        /// How far it is.
        progress: TransferProgress,
    },
    /// A device is out of a room that goes on: its token for the room must be worth nothing.
    Left {
        /// The room.
        room: CallId,
        /// Which place in it was the device's.
        participant: ParticipantId,
    },
    /// Let a leg hear a participant of its room.
    Listen {
        /// The leg.
        leg: LegId,
        /// Its room.
        room: CallId,
        /// Whom.
        participant: ParticipantId,
    },
    /// Let a leg hear a participant no longer.
    Unlisten {
        /// The leg.
        leg: LegId,
        /// Its room.
        room: CallId,
        /// Whom.
        participant: ParticipantId,
    },
    /// Send digits to the far end of a telephone leg.
    SendDigits {
        /// The leg.
        leg: LegId,
        /// At most [`Switchboard::DIGITS_MAX`](crate::Switchboard::DIGITS_MAX).
        digits: Vec<Digit>,
    },
    /// End a leg, telephone or service. It is not named again.
    HangUp {
        /// The leg.
        leg: LegId,
        /// What to tell the telephone network.
        cause: Cause,
    },
    /// Show on telephones how a user is.
    Lamp {
        /// The user's number, or else the id.
        line: String,
        /// The state.
        lamp: Lamp,
    },
    /// Watch whether messages wait for a user, or no longer.
    Mailbox {
        /// The user's number, or else the id.
        line: String,
        /// Whether to watch.
        watched: bool,
    },
    /// Keep what a user wants done with calls beyond the daemon's end.
    Keep {
        /// The user.
        user: User,
        /// What is wanted; the default need not be kept.
        rules: Rules,
    },
    /// A call is over: its facts. Exactly once for each call.
    Ended(CallRecord),
}

/// How far a transfer is, for the telephone that asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferProgress {
    /// The new one rings.
    Ringing,
    /// The new one has answered: the leg is not needed any more.
    Answered,
    /// Nothing came of it; the call is as before.
    Failed(Cause),
}

/// What remains of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// The call.
    pub call: CallId,
    /// Who called.
    pub from: Party,
    /// Who was called.
    pub to: Party,
    /// When it began.
    pub started: Instant,
    /// When the far end first said that it rings.
    pub rang: Option<Instant>,
    /// When it was answered.
    pub answered: Option<Instant>,
    /// When it ended.
    pub ended: Instant,
    /// Why.
    pub cause: Cause,
    /// Which side ended it; `None` when no side did.
    pub ended_by: Option<ParticipantId>,
    /// The call whose room those who were in it have moved to.
    pub went_on_in: Option<CallId>,
    /// Everyone who was in it or was called, in the order of their ends.
    pub legs: Vec<LegRecord>,
}

/// What remains of one party's part in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegRecord {
    /// Its place in the room.
    pub participant: ParticipantId,
    /// Who.
    pub party: Party,
    /// The telephone channel or service; `None` for a device.
    pub leg: Option<LegId>,
    /// When it called or was called.
    pub began: Instant,
    /// When it was answered.
    pub answered: Option<Instant>,
    /// When its part was over.
    pub ended: Instant,
    /// Why.
    pub cause: Cause,
}

impl LegRecord {
    /// Returns how long it was up; zero when it was never answered.
    pub fn talked(&self) -> Duration {
        self.answered.map_or(Duration::ZERO, |since| {
            self.ended.saturating_duration_since(since)
        })
    }
}

impl CallRecord {
    /// Returns how long the call was up; zero when it was never answered.
    pub fn talked(&self) -> Duration {
        self.answered.map_or(Duration::ZERO, |since| {
            self.ended.saturating_duration_since(since)
        })
    }
}
