//! Programs that operators let into rooms.

use std::time::Instant;

use moqrelay_control::{Bidden, ProgramPlace};
use moqrelay_room::conference::{Denied, Program, ProgramId, RoomName};

use super::{super::Driver, fresh};

impl Driver {
    /// Lets a program in, and gives it what it needs to take part.
    pub(super) fn bring_program(
        &mut self,
        name: &RoomName,
        bidden: Bidden,
    ) -> Result<ProgramPlace, Denied> {
        let id = ProgramId(self.rooms.programs);
        self.rooms.programs += 1;
        let now = Instant::now();
        let program = Program {
            id,
            name: bidden.name,
            does: bidden.does,
            until: now + bidden.lifetime,
        };
        let place = self.rooms.board.bring(name, program, fresh(), now)?;
        let (room, participant) = (place.room, place.participant);
        tracing::info!(%name, %room, %participant, does = ?bidden.does, "an operator lets a program in");
        let token = self
            .control
            .program_token(room, participant, place.role, bidden.lifetime);
        Ok(ProgramPlace {
            room: room.to_string(),
            participant: participant.to_string(),
            namespace: vec!["room".into(), room.to_string(), participant.to_string()],
            token,
            lifetime_s: bidden.lifetime.as_secs(),
        })
    }
}
