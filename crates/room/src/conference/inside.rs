//! What people in a room do.

use std::collections::VecDeque;
use std::time::Instant;

use super::Conferences;
use super::config::RoomName;
use super::room::{Room, State};
use super::types::{Action, Denied, Leaving, Output, Role, What};
use crate::ParticipantId;

impl Conferences {
    /// Does what an operator wants in an open room. What holds already is accepted again.
    ///
    /// # Errors
    ///
    /// When nobody is in it, or it cannot be done; nothing has changed then.
    pub fn operate(&mut self, name: &RoomName, action: Action, now: Instant) -> Result<(), Denied> {
        match action {
            // Nobody opens another one's microphone, or speaks up for another.
            Action::Mute(_, false) | Action::Hand(_, true) => return Err(Denied::NotHost),
            Action::Hold(_) | Action::Show(_) | Action::Leave => return Err(Denied::NotIn),
            Action::Mute(_, true)
            | Action::Hand(_, false)
            | Action::MuteAll
            | Action::Lock(_)
            | Action::Lobby(_)
            | Action::Admit(_)
            | Action::Role(..)
            | Action::Level(..)
            | Action::Remove(_)
            | Action::Ban(_)
            | Action::End => {}
        }
        self.apply(name, None, action, now)
    }

    /// `by`: who does it; `None`: an operator.
    pub(super) fn apply(
        &mut self,
        name: &RoomName,
        by: Option<ParticipantId>,
        action: Action,
        now: Instant,
    ) -> Result<(), Denied> {
        let limits = self.config.limits;
        let room = self.rooms.get_mut(name).and_then(|it| it.open.as_mut());
        let room = room.ok_or(Denied::NoSuchRoom)?;
        let outputs = &mut self.outputs;
        self.touched.insert(name.clone());
        let whom = match action {
            Action::Mute(whom, _)
            | Action::Hand(whom, _)
            | Action::Admit(whom)
            | Action::Role(whom, _)
            | Action::Level(whom, _)
            | Action::Remove(whom)
            | Action::Ban(whom) => Some(whom),
            Action::MuteAll
            | Action::Lock(_)
            | Action::Lobby(_)
            | Action::Hold(_)
            | Action::Show(_)
            | Action::Leave
            | Action::End => None,
        };
        if whom.is_some_and(|whom| !room.people.contains_key(&whom)) {
            return Err(Denied::NoSuchParticipant);
        }
        match action {
            Action::Mute(whom, muted) => mute(room, whom, muted, by, outputs),
            Action::MuteAll => {
                let others = room.people.iter();
                let others = others.filter(|(_, it)| it.role == Role::Speaker && !it.muted);
                let others: Vec<_> = others.map(|(id, _)| *id).collect();
                for whom in others {
                    mute(room, whom, true, by, outputs);
                }
                room.happened(by, What::AllMuted, outputs);
            }
            Action::Hand(whom, raised) => {
                if room.hand(whom, raised) {
                    room.happened(by, What::Hand(whom, raised), outputs);
                }
            }
            Action::Lock(locked) => {
                if std::mem::replace(&mut room.locked, locked) != locked {
                    room.happened(by, What::Locked(locked), outputs);
                }
            }
            Action::Lobby(lobby) => {
                if std::mem::replace(&mut room.lobby, lobby) != lobby {
                    room.happened(by, What::Lobby(lobby), outputs);
                }
            }
            Action::Level(whom, db) => level(room, whom, db, by, outputs),
            Action::Hold(held) => {
                if let Some(me) = by
                    && let Some(own) = room.people.get_mut(&me)
                    && std::mem::replace(&mut own.held, held) != held
                {
                    room.happened(by, What::Held(me, held), outputs);
                }
            }
            Action::Show(shown) => {
                if let Some(me) = by
                    && let Some(own) = room.people.get_mut(&me)
                    && std::mem::replace(&mut own.shown, shown) != shown
                {
                    room.touch();
                }
            }
            Action::Admit(whom) => {
                if admit(room, whom, by, outputs)? {
                    self.announce(name, whom);
                    self.comes(name, whom, now);
                }
            }
            Action::Role(whom, role) => {
                let speakers = room.people.values().filter(|it| it.role.speaks()).count();
                set_role(room, whom, role, by, speakers >= limits.speakers, outputs)?;
            }
            Action::Remove(whom) => self.put_out(name, whom, by, Leaving::Removed, now)?,
            Action::Ban(whom) => {
                if by != Some(whom) {
                    room.ban(whom, &limits);
                }
                self.put_out(name, whom, by, Leaving::Banned, now)?;
            }
            Action::Leave => {
                if let Some(own) = by.and_then(|me| room.people.get(&me)) {
                    let who = own.who;
                    self.leave(who, by, Leaving::Left, now);
                }
            }
            Action::End => self.end(name, by, Leaving::Ended, now),
        }
        Ok(())
    }

    fn put_out(
        &mut self,
        name: &RoomName,
        whom: ParticipantId,
        by: Option<ParticipantId>,
        why: Leaving,
        now: Instant,
    ) -> Result<(), Denied> {
        let room = self.room(name).ok_or(Denied::NoSuchRoom)?;
        let it = room.people.get(&whom).ok_or(Denied::NoSuchParticipant)?;
        if by == Some(whom) {
            return Err(Denied::WrongState);
        }
        let who = it.who;
        self.leave(who, by, why, now);
        Ok(())
    }
}

fn mute(
    room: &mut Room,
    whom: ParticipantId,
    muted: bool,
    by: Option<ParticipantId>,
    outputs: &mut VecDeque<Output>,
) {
    let id = room.id;
    let Some(it) = room.people.get_mut(&whom) else {
        return;
    };
    if std::mem::replace(&mut it.muted, muted) == muted {
        return;
    }
    outputs.push_back(Output::Mute {
        room: id,
        participant: whom,
        who: it.who,
        muted,
    });
    room.happened(by, What::Muted(whom, muted), outputs);
}

fn level(
    room: &mut Room,
    whom: ParticipantId,
    db: i8,
    by: Option<ParticipantId>,
    outputs: &mut VecDeque<Output>,
) {
    let id = room.id;
    let Some(it) = room.people.get_mut(&whom) else {
        return;
    };
    let db = db.clamp(LEVEL_DB.0, LEVEL_DB.1);
    if std::mem::replace(&mut it.level_db, db) == db {
        return;
    }
    outputs.push_back(Output::Level {
        room: id,
        participant: whom,
        db,
    });
    room.happened(by, What::Level(whom, db), outputs);
}

/// Below is as good as mute, above is shouting.
const LEVEL_DB: (i8, i8) = (-20, 10);

/// False when it is inside already.
fn admit(
    room: &mut Room,
    whom: ParticipantId,
    by: Option<ParticipantId>,
    outputs: &mut VecDeque<Output>,
) -> Result<bool, Denied> {
    let id = room.id;
    let it = room.people.get_mut(&whom);
    let it = it.ok_or(Denied::NoSuchParticipant)?;
    it.state = match it.state {
        State::Waiting => State::Here,
        // It finds itself inside when it comes back.
        State::Away {
            until,
            waiting: true,
        } => State::Away {
            until,
            waiting: false,
        },
        State::Here | State::Away { waiting: false, .. } => return Ok(false),
    };
    outputs.push_back(Output::Enter {
        room: id,
        participant: whom,
        who: it.who,
        role: it.role,
        muted: it.muted,
    });
    outputs.push_back(Output::Admitted {
        room: id,
        participant: whom,
        who: it.who,
    });
    room.happened(by, What::Joined(whom), outputs);
    Ok(true)
}

fn set_role(
    room: &mut Room,
    whom: ParticipantId,
    role: Role,
    by: Option<ParticipantId>,
    crowded: bool,
    outputs: &mut VecDeque<Output>,
) -> Result<(), Denied> {
    let id = room.id;
    let hosts = room.people.values().filter(|it| it.role == Role::Host);
    let last_host = hosts.count() == 1;
    let it = room.people.get_mut(&whom);
    let it = it.ok_or(Denied::NoSuchParticipant)?;
    if it.role == role {
        return Ok(());
    }
    // What keeps or writes the sound is not made a person, nor a person such a thing.
    let recorder = it.kind.is_machine() || it.role == Role::Recorder || role == Role::Recorder;
    let orphans = it.role == Role::Host && last_host;
    if recorder || orphans || it.state.is_waiting() {
        return Err(Denied::WrongState);
    }
    if crowded && role.speaks() && !it.role.speaks() {
        return Err(Denied::Full);
    }
    it.role = role;
    outputs.push_back(Output::Role {
        room: id,
        participant: whom,
        who: it.who,
        role,
    });
    room.happened(by, What::Role(whom, role), outputs);
    Ok(())
}
