//! What operators see of rooms, and do with them.

use std::time::Instant;

use moqrelay_control::{Operated, Operation, Room};
use moqrelay_room::conference::{Denied, Roster, Spec};

use super::{super::Driver, to_wire_roster};

impl Driver {
    pub(in super::super) fn operate_rooms(
        &mut self,
        operation: Operation,
    ) -> Result<Operated, Denied> {
        let now = Instant::now();
        let board = &mut self.rooms.board;
        match operation {
            Operation::List => {
                let rooms = board
                    .rooms()
                    .map(|(spec, roster)| room(spec, roster.as_ref()));
                Ok(Operated::Rooms(rooms.collect()))
            }
            Operation::Roster(name) => {
                let known = board.rooms().any(|(spec, _)| spec.name == name);
                let roster = board.roster_named(&name);
                match known {
                    true => Ok(Operated::Roster(roster.as_ref().map(to_wire_roster))),
                    false => Err(Denied::NoSuchRoom),
                }
            }
            Operation::Create(spec) => {
                tracing::info!(name = %spec.name, "an operator sets a room up");
                board.create(spec.clone())?;
                if let Some(keeper) = &mut self.rooms.keeper {
                    keeper.keep(spec);
                }
                Ok(Operated::Done)
            }
            Operation::Forget(name) => {
                tracing::info!(%name, "an operator has a room forgotten");
                board.forget(&name, now)?;
                if let Some(keeper) = &mut self.rooms.keeper {
                    keeper.forget(&name);
                }
                Ok(Operated::Done)
            }
            Operation::Bring(name, bidden) => {
                self.bring_program(&name, bidden).map(Operated::Brought)
            }
            Operation::TakeOut(name, participant) => {
                tracing::info!(%name, %participant, "an operator takes a program out");
                board
                    .take_out(&name, participant, now)
                    .map(|()| Operated::Done)
            }
            Operation::Act(name, action) => {
                tracing::info!(%name, ?action, "an operator acts in a room");
                board.operate(&name, action, now).map(|()| Operated::Done)
            }
        }
    }
}

fn room(spec: &Spec, roster: Option<&Roster>) -> Room {
    Room {
        name: spec.name.to_string(),
        title: spec.title.clone(),
        number: spec.number.as_ref().map(ToString::to_string),
        pin: spec.pin.is_some(),
        host_pin: spec.host_pin.is_some(),
        lobby: spec.lobby,
        owner: spec.owner.as_ref().map(ToString::to_string),
        people_max: spec.people_max,
        announce: spec.announce.map(|it| it.as_str().to_owned()),
        id: roster.map(|roster| roster.room.to_string()),
        people: roster.map_or(0, |roster| roster.people.len()),
    }
}
