//! Telephones in rooms hear who comes and goes: by two notes, or by name.

use std::time::{Duration, Instant};

use moqrelay_bridge::{Chime, Clip};
use moqrelay_room::{
    LegId,
    conference::{Coming, News, RoomId, SENTENCE, Who},
};

use super::{
    super::{Driver, words::told},
    to_bridge,
};
use crate::{
    sentences::Sentences,
    speech::{Said, Speech, Spoken, Wanted},
};

/// What speaks names.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) sentences: Sentences,
    pub(crate) speech: Speech<Announcement>,
}

/// Who is to hear a sentence.
#[derive(Debug)]
pub(crate) struct Announcement {
    room: RoomId,
    legs: Vec<LegId>,
    /// What is heard when the sentence cannot be spoken.
    signs: Vec<Coming>,
    since: Instant,
}

impl Driver {
    /// Lets everybody who hears the room's mix hear that somebody comes or goes.
    pub(super) fn chime(&self, room: RoomId, coming: Coming) {
        let chime = match coming {
            Coming::Joined => Chime::Joined,
            Coming::Left => Chime::Left,
        };
        self.bridge.chime(&room.to_string(), chime);
    }

    /// Says to telephones who has come and gone, as soon as that has been spoken.
    pub(super) fn announce_comings(&mut self, room: RoomId, legs: Vec<LegId>, news: &[News]) {
        let announcement = Announcement {
            room,
            legs,
            signs: news.iter().map(|it| it.coming).collect(),
            since: Instant::now(),
        };
        let Some(names) = &mut self.rooms.names else {
            return self.not_spoken(announcement, "failed");
        };
        let wanted = Wanted {
            text: names.sentences.of(news),
            longest: longest(news.len()),
        };
        match names.speech.say(wanted, announcement) {
            Said::Now(clip, announcement) => self.spoken_to(&announcement, &clip),
            Said::Later => {}
            Said::Never(announcement) => self.not_spoken(announcement, "refused"),
        }
    }

    /// A sentence has been spoken, or cannot be.
    pub(in super::super) fn spoken(&mut self, spoken: Spoken) {
        let Some(names) = &mut self.rooms.names else {
            return;
        };
        let (clip, announcements) = names.speech.take(spoken);
        let clip = clip.inspect_err(|error| {
            let error = format!("{error:#}");
            tracing::warn!(error, "a name is not spoken in a room");
        });
        for announcement in announcements {
            let late = announcement.since.elapsed() > longest(announcement.signs.len());
            match &clip {
                Ok(_) if late => self.not_spoken(announcement, "late"),
                Ok(clip) => self.spoken_to(&announcement, clip),
                Err(_) => self.not_spoken(announcement, "failed"),
            }
        }
    }

    fn spoken_to(&self, announcement: &Announcement, clip: &Clip) {
        count("spoken");
        for leg in &announcement.legs {
            let place = self.rooms.board.place_of(Who::Leg(*leg));
            if place.is_some_and(|place| place.room == announcement.room) {
                told(self.bridge.say(to_bridge(*leg), vec![clip.clone()]));
            }
        }
    }

    fn not_spoken(&self, announcement: Announcement, why: &'static str) {
        count(why);
        for coming in announcement.signs {
            self.chime(announcement.room, coming);
        }
    }
}

fn longest(sentences: usize) -> Duration {
    // Two at most.
    SENTENCE * u32::try_from(sentences).unwrap_or(1)
}

fn count(result: &'static str) {
    metrics::counter!("moqrelay_room_announcements_total", "result" => result).increment(1);
}
