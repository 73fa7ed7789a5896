//! Who of a room speaks, and how well each is heard.

use std::{collections::BTreeSet, time::Instant};

use moqrelay_bridge::leg;
use moqrelay_room::{
    LegId, ParticipantId,
    conference::{RoomId, Who},
};

use super::super::Driver;

impl Driver {
    /// Others speak in a room than before.
    pub(in super::super) fn room_speaks(&mut self, room: &str, participants: &[u64]) {
        let Ok(room) = u128::from_str_radix(room, 16) else {
            return;
        };
        let number = |number: &u64| u32::try_from(*number).ok().map(ParticipantId);
        let speaking: BTreeSet<ParticipantId> = participants.iter().filter_map(number).collect();
        self.rooms.board.speak(RoomId(room), &speaking);
    }

    /// A telephone in a room sounds so, as far as there was something to hear.
    pub(in super::super) fn room_leg_quality(&mut self, leg: LegId, heard: Option<&leg::Quality>) {
        let Some(quality) = heard else { return };
        if let Err(denied) = self.rooms.board.rate(Who::Leg(leg), quality.rating.mos()) {
            tracing::trace!(%leg, %denied, "a telephone that is in no room sounds");
        }
    }

    /// The roster has changed in what changes all the time.
    pub(super) fn activity_changed(&mut self, room: RoomId) {
        let Some(roster) = self.rooms.board.roster(room) else {
            return;
        };
        let Some(tracks) = self.rooms.tracks.get_mut(&room) else {
            return;
        };
        if tracks.activity_changed(roster.people.len(), Instant::now()) {
            self.write_roster(room);
        }
    }
}
