//! What telephones are told of the room they are in, unasked.

use super::config::RoomName;
use super::types::{Kind, Output, Prompt, Role, Who};
use super::{Conferences, room::State};
use crate::{LegId, ParticipantId};

impl Conferences {
    /// Somebody has come in: who keeps or writes the sound is announced to all, and to who comes.
    pub(super) fn announce(&mut self, name: &RoomName, comer: ParticipantId) {
        let Some(room) = self.rooms.get(name).and_then(|known| known.open.as_ref()) else {
            return;
        };
        let Some(own) = room.people.get(&comer) else {
            return;
        };
        let outputs = &mut self.outputs;
        if let Some(prompt) = of_machine(own.kind, own.role) {
            let inside = room.people.values().filter(|it| it.state == State::Here);
            let legs = inside.filter_map(|it| leg_of(it.who));
            outputs.extend(legs.map(|leg| Output::Prompt(leg, prompt)));
        }
        if let Some(leg) = leg_of(own.who) {
            let there = room.people.values().filter(|it| it.state == State::Here);
            let mut prompts: Vec<_> = there
                .filter_map(|it| of_machine(it.kind, it.role))
                .collect();
            prompts.sort_unstable();
            prompts.dedup();
            outputs.extend(prompts.into_iter().map(|it| Output::Prompt(leg, it)));
        }
    }

    /// Notes which telephone is alone in a room now.
    pub(super) fn look_who_is_alone(&mut self, name: &RoomName) {
        let Some(room) = self.rooms.get_mut(name).and_then(|it| it.open.as_mut()) else {
            return;
        };
        let mut inside = room.people.values().filter(|it| {
            let nobody = it.state.is_waiting() || it.kind.is_machine();
            !nobody
        });
        let only = match (inside.next(), inside.next()) {
            (Some(only), None) => leg_of(only.who),
            _ => None,
        };
        let before = std::mem::replace(&mut room.alone, only);
        if before == only {
            return;
        }
        if let Some(leg) = before.filter(|leg| self.places.contains_key(&Who::Leg(*leg))) {
            self.outputs.push_back(Output::Alone(leg, false));
        }
        if let Some(leg) = only {
            self.outputs.push_back(Output::Alone(leg, true));
        }
    }
}

/// Returns what people are told of one that is no person.
fn of_machine(kind: Kind, role: Role) -> Option<Prompt> {
    match (kind, role) {
        (Kind::Recorder, _) | (_, Role::Recorder) => Some(Prompt::Recorded),
        (Kind::Program, _) => Some(Prompt::Listening),
        (Kind::Browser | Kind::Telephone, _) => None,
    }
}

fn leg_of(who: Who) -> Option<LegId> {
    match who {
        Who::Leg(leg) => Some(leg),
        Who::Device(_) | Who::Program(_) => None,
    }
}
