//! What telephones' lamps show of users.

use super::Switchboard;
use super::roster::Engaged;
use crate::{Lamp, Output, OwnPresence, User, UserId};

impl Switchboard {
    /// Says what is new of the users that something has happened to.
    pub(super) fn refresh_lamps(&mut self) {
        for (user, line) in self.roster.take_touched() {
            // A user who got another number leaves the old one dark.
            let lamp = match self.roster.user(&user) {
                Some(entry) if line_of(entry) == line => self.lamp_of(&user),
                Some(_) | None => Lamp::Unavailable,
            };
            if self.lamps.get(&line).copied().unwrap_or(Lamp::Unavailable) == lamp {
                continue;
            }
            // A line that shows nothing needs no memory.
            let was_dark = match lamp {
                Lamp::Unavailable => self.lamps.remove(&line).is_none(),
                _ => self.lamps.insert(line.clone(), lamp).is_none(),
            };
            if was_dark || lamp == Lamp::Unavailable {
                let (line, watched) = (line.clone(), lamp != Lamp::Unavailable);
                self.outputs.push_back(Output::Mailbox { line, watched });
            }
            self.outputs.push_back(Output::Lamp { line, lamp });
        }
    }

    fn lamp_of(&self, user: &UserId) -> Lamp {
        if self.roster.devices_of(user).next().is_none() {
            return Lamp::Unavailable;
        }
        let is_rung = !self.offers_to(user).is_empty();
        match (self.engaged(user), is_rung, self.roster.own_presence(user)) {
            (Engaged::Yes, true, _) => Lamp::RingInUse,
            (Engaged::Yes, false, _) => Lamp::InUse,
            (Engaged::No, true, _) => Lamp::Ringing,
            (Engaged::No, false, Some(OwnPresence::Busy)) => Lamp::Busy,
            (Engaged::No, false, Some(OwnPresence::Available | OwnPresence::Away) | None) => {
                Lamp::Idle
            }
        }
    }
}

/// Returns what telephones know a user by.
pub(super) fn line_of(user: &User) -> String {
    match &user.number {
        Some(number) => number.as_str().to_owned(),
        None => user.id.as_str().to_owned(),
    }
}
