//! What changes all the time in a room: who speaks, and how well each is heard.

use std::collections::BTreeSet;

use super::Conferences;
use super::types::{Denied, RoomId, Who};
use crate::ParticipantId;

/// A mean opinion score in halves, 2 to 10: what is finer moves without meaning anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quality(u8);

impl Quality {
    /// Returns it as a mean opinion score, 1 to 5.
    #[must_use]
    pub fn mos(self) -> f64 {
        f64::from(self.0) / 2.0
    }

    /// Returns the nearest one; what is no number is the worst.
    #[must_use]
    pub fn of(mos: f64) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::manual_clamp,
            reason = "2 to 10; what is no number becomes 2"
        )]
        Self((mos.max(1.0).min(5.0) * 2.0).round() as u8)
    }

    /// Returns what is shown after `mos`: a value between two halves does not go to and fro.
    fn follow(shown: Option<Self>, mos: f64) -> Self {
        match shown {
            Some(shown) if (shown.mos() - mos).abs() < STEADY => shown,
            _ => Self::of(mos),
        }
    }
}

/// What is so near to what is shown changes nothing; half of a half would be where it flickers.
const STEADY: f64 = 0.35;

impl Conferences {
    /// Tells who of a room speaks now.
    pub fn speak(&mut self, room: RoomId, speaking: &BTreeSet<ParticipantId>) {
        let Some(name) = self.names.get(&room) else {
            return;
        };
        let Some(open) = self.rooms.get_mut(name).and_then(|it| it.open.as_mut()) else {
            return;
        };
        let mut changed = false;
        for (id, it) in &mut open.people {
            let speaks = speaking.contains(id);
            changed |= std::mem::replace(&mut it.speaking, speaks) != speaks;
        }
        if changed {
            open.stir();
            self.touched.insert(name.clone());
        }
    }

    /// Tells how well somebody inside is heard, as a mean opinion score.
    ///
    /// # Errors
    ///
    /// When it is in no room, or waits.
    pub fn rate(&mut self, who: Who, mos: f64) -> Result<(), Denied> {
        let (name, _) = self.places.get(&who).cloned().ok_or(Denied::NotIn)?;
        let (room, me) = self.talker(who)?;
        let own = room.people.get_mut(&me).ok_or(Denied::NotIn)?;
        let quality = Quality::follow(own.quality, mos);
        if own.quality.replace(quality) != Some(quality) {
            room.stir();
            self.touched.insert(name);
        }
        Ok(())
    }
}
