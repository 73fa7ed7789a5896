//! Recorders and other programs that an operator lets into a room. Everyone sees them for as long as they may hear.

use std::time::Instant;

use super::Conferences;
use super::config::RoomName;
use super::types::{Applicant, Denied, Fresh, Kind, Leaving, Place, Role, Who};
use super::{Due, ProgramId};
use crate::ParticipantId;

/// A program that is to take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Which.
    pub id: ProgramId,
    /// Its name for people.
    pub name: String,
    /// What it does.
    pub does: Does,
    /// When it has to go.
    pub until: Instant,
}

/// What a program does in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// It keeps what is said.
    Records,
    /// It hears what is said.
    Listens,
    /// It hears, and speaks itself.
    Speaks,
}

impl Does {
    fn kind_and_role(self) -> (Kind, Role) {
        match self {
            Self::Records => (Kind::Recorder, Role::Recorder),
            Self::Listens => (Kind::Program, Role::Listener),
            Self::Speaks => (Kind::Program, Role::Speaker),
        }
    }
}

impl Conferences {
    /// Lets a program into an open room, past PIN, lock and lobby, and tells everyone.
    ///
    /// It opens no room and keeps none open: it leaves when the last one of the others has.
    ///
    /// # Errors
    ///
    /// When nobody is in the room, or there are too many.
    pub fn bring(
        &mut self,
        name: &RoomName,
        program: Program,
        fresh: Fresh,
        now: Instant,
    ) -> Result<Place, Denied> {
        let limits = self.config.limits;
        let known = self.rooms.get(name).ok_or(Denied::NoSuchRoom)?;
        let room = known.open.as_ref().ok_or(Denied::Empty)?;
        let (kind, role) = program.does.kind_and_role();
        let people = known.spec.people_max.unwrap_or(limits.people);
        let speakers = room.people.values().filter(|it| it.role.speaks()).count();
        let programs = room.people.values().filter(|it| it.kind.is_machine());
        if room.people.len() >= people.min(limits.people)
            || programs.count() >= limits.programs
            || (role.speaks() && speakers >= limits.speakers)
        {
            return Err(Denied::Full);
        }
        let applicant = Applicant {
            who: Who::Program(program.id),
            user: None,
            name: program.name,
            kind,
            role,
            caller: format!("program {}", program.id.0),
            pin: None,
            key: None,
            // It needs no admission.
            was: Some(role),
        };
        let place = self.seat(name, &applicant, role, fresh, now);
        let room = self.rooms.get_mut(name).and_then(|it| it.open.as_mut());
        let own = room.and_then(|room| room.people.get_mut(&place.participant));
        if let Some(own) = own {
            own.until = Some(program.until);
            let due = Due::Away(place.room, place.participant);
            self.deadlines.insert((program.until, due));
        }
        Ok(place)
    }

    /// Takes a program out of a room.
    ///
    /// # Errors
    ///
    /// When there is none at that place.
    pub fn take_out(
        &mut self,
        name: &RoomName,
        whom: ParticipantId,
        now: Instant,
    ) -> Result<(), Denied> {
        let room = self.room(name).ok_or(Denied::NoSuchRoom)?;
        let it = room.people.get(&whom).filter(|it| it.kind.is_machine());
        let who = it.ok_or(Denied::NoSuchParticipant)?.who;
        self.leave(who, None, Leaving::Left, now);
        Ok(())
    }
}
