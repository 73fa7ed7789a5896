//! What the daemon itself publishes in a room: `roster`, `events` and `chat`.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use moqrelay_relay::{
    FullTrackName, Namespace, Relay,
    track::{Info, Object, Writer},
};
use moqrelay_room::conference::RoomId;
use moqrelay_wire::{conference as wire, signal};

/// How often a roster is written again, for those who came since: the relay keeps a track for a minute.
const ROSTER_INTERVAL: Duration = Duration::from_secs(5);

/// How often a roster is written because somebody speaks.
const ACTIVITY_INTERVAL: Duration = Duration::from_millis(250);

/// So many people have a roster of 3 KB; of more, the track `speakers` says who speaks.
const ACTIVE_PEOPLE_MAX: usize = 20;

/// How often what was said is written again, for the same reason.
const CHAT_INTERVAL: Duration = Duration::from_secs(30);

/// What a late joiner reads of a room's chat by its track; by signaling there is more.
const CHAT_KEPT_MAX: usize = 20;

/// The same in bytes: all of it goes to every reader again with each message.
const CHAT_BYTES_MAX: usize = 16 * 1024;

/// A room's own tracks.
pub(super) struct Tracks {
    roster: Writer,
    events: Writer,
    chat: Writer,
    rosters: u64,
    happened: u64,
    chats: u64,
    said: VecDeque<signal::ChatMessage>,
    /// When the roster was written last.
    written: Option<Instant>,
    roster_due: Option<Instant>,
    /// Whether it has changed since.
    changed: bool,
    chat_due: Option<Instant>,
}

impl Tracks {
    pub(super) fn publish(relay: &Relay, room: RoomId) -> anyhow::Result<Self> {
        let track = |track: &'static str| {
            let room = room.to_string();
            let fields = ["room", &room].map(|field| Bytes::copy_from_slice(field.as_bytes()));
            let name = FullTrackName::new(Namespace::new(fields)?, track);
            Ok::<_, anyhow::Error>(relay.publish(&name?, Info::default())?)
        };
        Ok(Self {
            roster: track("roster")?,
            events: track("events")?,
            chat: track("chat")?,
            rosters: 0,
            happened: 0,
            chats: 0,
            said: VecDeque::new(),
            written: None,
            roster_due: None,
            changed: false,
            chat_due: None,
        })
    }

    /// Notes that the roster has changed: returns whether to write it now; if not, it is due soon. A roster of many is
    /// long and changes often.
    pub(super) fn roster_changed(&mut self, people: usize, now: Instant) -> bool {
        self.changed = true;
        let due = self.written.map_or(now, |at| at + pace(people));
        if due <= now {
            return true;
        }
        self.roster_due = Some(self.roster_due.map_or(due, |known| known.min(due)));
        false
    }

    /// The same for what changes all the time: it waits for its turn, and in a room of many for something else, because
    /// the whole roster goes to everyone for it.
    pub(super) fn activity_changed(&mut self, people: usize, now: Instant) -> bool {
        self.changed = true;
        if people > ACTIVE_PEOPLE_MAX {
            return false;
        }
        let due = self.written.map_or(now, |at| at + ACTIVITY_INTERVAL);
        if due <= now {
            return true;
        }
        self.roster_due = Some(self.roster_due.map_or(due, |known| known.min(due)));
        false
    }

    /// Writes the roster, and returns whether it is another than the one before.
    pub(super) fn write_roster(&mut self, roster: &wire::Roster, now: Instant) -> bool {
        self.written = Some(now);
        self.roster_due = Some(now + ROSTER_INTERVAL);
        let object = whole_group(self.rosters, roster.to_json());
        self.rosters += 1;
        write(&mut self.roster, object, "roster");
        std::mem::take(&mut self.changed)
    }

    pub(super) fn write_event(&mut self, happened: &wire::Happened) {
        let object = whole_group(self.happened, happened.to_json());
        self.happened += 1;
        write(&mut self.events, object, "event");
    }

    pub(super) fn write_message(&mut self, message: signal::ChatMessage, now: Instant) {
        self.said.push_back(message);
        let bytes = |said: &VecDeque<signal::ChatMessage>| {
            said.iter().map(|it| it.text.len()).sum::<usize>()
        };
        while self.said.len() > 1
            && (self.said.len() > CHAT_KEPT_MAX || bytes(&self.said) > CHAT_BYTES_MAX)
        {
            self.said.pop_front();
        }
        self.write_chat(now);
    }

    fn write_chat(&mut self, now: Instant) {
        self.chat_due = Some(now + CHAT_INTERVAL);
        let messages = self.said.make_contiguous();
        let text = serde_json::json!({ "version": 1, "messages": messages }).to_string();
        let object = whole_group(self.chats, text.into());
        self.chats += 1;
        write(&mut self.chat, object, "message");
    }

    /// Returns when something is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.roster_due.into_iter().chain(self.chat_due).min()
    }

    /// Writes the chat again when it is time, and returns whether the roster is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.chat_due.is_some_and(|due| due <= now) {
            self.write_chat(now);
        }
        self.roster_due.is_some_and(|due| due <= now)
    }
}

/// How long it takes from one roster to the next: it grows with the people, and so do those who read it.
fn pace(people: usize) -> Duration {
    Duration::from_millis(match people {
        0..=20 => 0,
        21..=100 => 250,
        101..=300 => 1000,
        _ => 3000,
    })
}

fn write(writer: &mut Writer, object: Object, what: &'static str) {
    if let Err(error) = writer.write(object) {
        tracing::debug!(what, %error, "not published in the room");
    }
}

/// An object that is a group of its own: who comes later finds the newest whole.
fn whole_group(group: u64, payload: Bytes) -> Object {
    Object {
        group,
        subgroup: Some(0),
        end_of_group: true,
        payload,
        ..Object::default()
    }
}
