//! Telephones in rooms: those that a host calls, what is spoken to them, music for the first one, and the held line.

use std::time::{Duration, Instant};

use moqrelay_bridge::{Clip, ari};
use moqrelay_room::{
    Cause, LegId, ParticipantId,
    conference::{CallState, Input, Kind, Person, Prompt, Role, RoomId, Who},
};
use moqrelay_wire::signal;
use uuid::Uuid;

use super::{
    super::{ATTACH_TIMEOUT, Driver, Road, words::to_wire},
    beep,
    browsers::Fault,
    fresh, room_place, to_ari, to_bridge, told,
};

/// Between what is said to who is alone and the music.
const PAUSE_BEFORE_MUSIC: Duration = Duration::from_secs(1);

/// Telephones that are called.
impl Driver {
    /// Calls a telephone into the room of somebody.
    pub(super) fn dial_out(&mut self, who: Who, number: &str) -> Result<(), Fault> {
        let route = self.board.telephone(number).map_err(Fault::Refused)?;
        let leg = self.rooms.new_leg();
        let shown = route.shown.as_str();
        let calling_as = self
            .rooms
            .board
            .call_in(who, leg, shown, fresh(), Instant::now())?;
        let uuid = Uuid::new_v4();
        let trunk = route.trunk.as_ref().map(|trunk| trunk.as_str());
        tracing::info!(%leg, number = %route.number, trunk, room = calling_as.title, "a telephone is called into a room");
        let caller = ari::Caller {
            name: Some(calling_as.title),
            number: calling_as.number,
            sent_on: None,
        };
        let Some(ari) = self.ari.clone() else {
            self.room_input(Input::LegEnded(leg, Cause::Unreachable));
            return Ok(());
        };
        self.legs.insert(leg, Road::Ari { uuid });
        let rings = self.board.config().ring_timeout;
        self.expect_room_leg(leg, uuid, self.ari_rate, rings + ATTACH_TIMEOUT);
        self.process(to_bridge(leg), Some(shown), None);
        if let Err(error) = ari.dial(to_ari(leg), route.number.as_str(), trunk, caller, uuid) {
            tracing::warn!(%leg, %error, "the telephone is not dialled");
            self.forget_leg(leg);
            self.room_input(Input::LegEnded(leg, Cause::Failed));
        }
        Ok(())
    }

    /// Tells the hosts how far a telephone is that was called.
    pub(super) fn tell_calling(&self, room: RoomId, number: &str, state: CallState) {
        tracing::info!(%room, number, ?state, "a telephone is called into the room");
        let (state, cause) = match state {
            CallState::Calling => (signal::DialState::Calling, None),
            CallState::Ringing => (signal::DialState::Ringing, None),
            CallState::Up => (signal::DialState::Up, None),
            CallState::Ended(cause) => (signal::DialState::Ended, Some(to_wire(cause))),
        };
        for device in self.rooms.board.hosts(room) {
            let event = signal::Event::RoomDial {
                room: signal::CallId(room.0),
                number: number.to_owned(),
                state,
                cause,
            };
            self.control.tell(device, event);
        }
    }
}

/// What telephones hear.
impl Driver {
    /// Says something to a telephone, in words where there are some.
    pub(super) fn prompt(&self, leg: LegId, prompt: Prompt) {
        match self.rooms.sounds.of(prompt) {
            Some(clip) => told(self.bridge.say(to_bridge(leg), vec![clip.clone()])),
            None => told(self.bridge.beep(to_bridge(leg), beep(prompt))),
        }
    }

    /// What is being said to a telephone ends.
    pub(super) fn hush(&self, leg: LegId) {
        told(self.bridge.say(to_bridge(leg), Vec::new()));
    }

    /// A telephone is alone in its room, or no longer.
    pub(super) fn alone(&mut self, leg: LegId, alone: bool) {
        if !self.rooms.music {
            return;
        }
        if alone {
            let said = self.rooms.sounds.of(Prompt::Alone).map_or(0, |clip| {
                clip.samples().len() as u64 * 1000 / u64::from(Clip::RATE.hz())
            });
            let until = Instant::now() + Duration::from_millis(said) + PAUSE_BEFORE_MUSIC;
            self.rooms.lonely.insert(leg, Some(until));
        } else if self.rooms.lonely.remove(&leg) == Some(None) {
            self.with_ari(leg, |ari, _| ari.resume(to_ari(leg)));
        }
    }

    /// Plays music to those who have been alone for long enough. A telephone without ARI hears silence.
    pub(super) fn play_music(&mut self, now: Instant) {
        let due = self.rooms.lonely.iter_mut();
        let due = due.filter(|(_, until)| until.is_some_and(|until| until <= now));
        let legs: Vec<LegId> = due
            .map(|(leg, until)| {
                *until = None;
                *leg
            })
            .collect();
        for leg in legs {
            self.with_ari(leg, |ari, _| ari.hold(to_ari(leg)));
        }
    }

    /// A telephone holds the line, or takes it up again: its music must not be heard in the room.
    pub(in super::super) fn room_leg_held(&mut self, leg: LegId, held: bool) {
        self.room_input(Input::LegHeld(leg, held));
        let who = Who::Leg(leg);
        let Some(place) = self.rooms.board.place_of(who) else {
            return;
        };
        let silent = self.is_silent_in_room(place.room, place.participant, place.role);
        if let Some(place) = room_place(place.room, place.participant) {
            self.silence_in_room(place, who, silent);
        }
    }

    /// Returns whether nothing is to be heard of somebody: muted, no speaker, or a telephone that holds the line.
    pub(super) fn is_silent_in_room(
        &self,
        room: RoomId,
        participant: ParticipantId,
        role: Role,
    ) -> bool {
        let roster = self.rooms.board.roster(room);
        let people = roster.into_iter().flat_map(|roster| roster.people);
        let mut own = people.filter(|it| it.participant == participant);
        let silent = |it: Person| it.muted || (it.held && it.kind == Kind::Telephone);
        !role.speaks() || own.next().is_none_or(silent)
    }
}
