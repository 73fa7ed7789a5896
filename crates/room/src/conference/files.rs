//! Files that people in a room give each other: whose they are, who may have them, and which has to go.
//!
//! What is in them is the business of those who keep them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use super::Conferences;
use super::chat::visible;
use super::room::Room;
use super::types::{Denied, Kind, Output, RoomId};
use crate::ParticipantId;

/// The longest name that is shown, in characters: what file systems take, and more than a line.
const NAME_CHARS_MAX: usize = 100;

/// A file in a room: counted from 1 in each room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId(pub u32);

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f{}", self.0)
    }
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Which.
    pub id: FileId,
    /// Its name: without path and control characters, but of whatever look.
    pub name: String,
    /// Its media type.
    pub media_type: &'static str,
    /// Its length.
    pub len_bytes: u64,
}

/// A room's files.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    files: BTreeMap<FileId, Kept>,
    bytes: u64,
    last: u32,
}

#[derive(Debug)]
struct Kept {
    file: File,
    by: ParticipantId,
    /// Which of this node's it is, counted from 1.
    order: u64,
    readers: Readers,
}

#[derive(Debug)]
enum Readers {
    /// Those to whom it was given, beside who brought it.
    These(BTreeSet<ParticipantId>),
    All,
}

impl Shelf {
    fn remove(&mut self, id: FileId) {
        if let Some(kept) = self.files.remove(&id) {
            self.bytes -= kept.file.len_bytes;
        }
    }

    fn oldest(&self) -> Option<(u64, FileId)> {
        self.files.first_key_value().map(|(id, it)| (it.order, *id))
    }

    /// Lets others have a file that one of them brought; `None`: it is not that one's, or there no more.
    pub(super) fn give(
        &mut self,
        id: FileId,
        by: ParticipantId,
        to: Option<ParticipantId>,
    ) -> Option<File> {
        let kept = self.files.get_mut(&id).filter(|kept| kept.by == by)?;
        match (&mut kept.readers, to) {
            (Readers::These(these), Some(to)) => drop(these.insert(to)),
            (readers, None) => *readers = Readers::All,
            (Readers::All, Some(_)) => {}
        }
        Some(kept.file.clone())
    }
}

impl Conferences {
    /// Tells whether somebody may bring a file into the room now, and counts that it has asked.
    ///
    /// # Errors
    ///
    /// When it is not inside, brings too many, or files are not taken.
    pub fn may_offer(
        &mut self,
        room: RoomId,
        me: ParticipantId,
        now: Instant,
    ) -> Result<(), Denied> {
        let limits = self.config.limits;
        if limits.file_bytes == 0 {
            return Err(Denied::NoFiles);
        }
        if self.draining {
            return Err(Denied::ShuttingDown);
        }
        let own = self.insider(room, me)?.people.get_mut(&me);
        let own = own.ok_or(Denied::NotIn)?;
        if own.kind != Kind::Browser {
            return Err(Denied::WrongState);
        }
        let per_minute = limits.files_per_minute.max(1);
        own.offers
            .take(now, super::chat::MINUTE / per_minute, per_minute)
    }

    /// Puts a file into the room, for nobody else until it is [said](Self::say). The oldest ones go for it.
    ///
    /// # Errors
    ///
    /// When its owner is not inside, or it is too long.
    pub fn offer(
        &mut self,
        room: RoomId,
        me: ParticipantId,
        name: &str,
        media_type: &'static str,
        len_bytes: u64,
    ) -> Result<File, Denied> {
        let limits = self.config.limits;
        if len_bytes > limits.file_bytes {
            return Err(Denied::FileTooLong);
        }
        let order = self.files + 1;
        let shelf = &mut self.insider(room, me)?.shelf;
        shelf.last += 1;
        let id = FileId(shelf.last);
        let file = File {
            id,
            name: file_name(name, id),
            media_type,
            len_bytes,
        };
        shelf.bytes += len_bytes;
        let kept = Kept {
            file: file.clone(),
            by: me,
            order,
            readers: Readers::These(BTreeSet::new()),
        };
        shelf.files.insert(id, kept);
        let mut gone = Vec::new();
        while (shelf.bytes > limits.file_total || shelf.files.len() > limits.files)
            && let Some((_, oldest)) = shelf.oldest().filter(|(_, oldest)| *oldest != id)
        {
            shelf.remove(oldest);
            gone.push(Output::FileGone(room, oldest));
        }
        self.files = order;
        self.outputs.extend(gone);
        self.make_room_for_files(order);
        Ok(file)
    }

    /// Lets the oldest files of all rooms go while there are too many bytes, but for the newest.
    fn make_room_for_files(&mut self, newest: u64) {
        let total = self.config.limits.files_total;
        loop {
            let open = self.rooms.values_mut().filter_map(|it| it.open.as_mut());
            let (mut bytes, mut oldest) = (0, None::<(u64, FileId, &mut Room)>);
            for room in open {
                bytes += room.shelf.bytes;
                if let Some((order, id)) = room.shelf.oldest()
                    && oldest.as_ref().is_none_or(|(known, ..)| order < *known)
                {
                    oldest = Some((order, id, room));
                }
            }
            let Some((order, id, room)) = oldest.filter(|_| bytes > total) else {
                return;
            };
            if order == newest {
                return;
            }
            room.shelf.remove(id);
            self.outputs.push_back(Output::FileGone(room.id, id));
        }
    }

    /// Returns a file that somebody inside may have.
    ///
    /// # Errors
    ///
    /// When it is not inside, or there is no such file for it.
    pub fn file(&mut self, room: RoomId, me: ParticipantId, id: FileId) -> Result<File, Denied> {
        let shelf = &self.insider(room, me)?.shelf;
        let kept = shelf.files.get(&id).ok_or(Denied::NoSuchFile)?;
        let readable = match &kept.readers {
            Readers::All => true,
            Readers::These(these) => kept.by == me || these.contains(&me),
        };
        match readable {
            true => Ok(kept.file.clone()),
            false => Err(Denied::NoSuchFile),
        }
    }

    /// Returns the room of somebody who is inside, and does not wait.
    fn insider(&mut self, room: RoomId, me: ParticipantId) -> Result<&mut Room, Denied> {
        let name = self.names.get(&room).ok_or(Denied::NotIn)?;
        let open = self.rooms.get_mut(name).and_then(|it| it.open.as_mut());
        let open = open.ok_or(Denied::NotIn)?;
        let own = open.people.get(&me).ok_or(Denied::NotIn)?;
        match own.state.is_waiting() {
            true => Err(Denied::WrongState),
            false => Ok(open),
        }
    }
}

/// Returns what of a file's name can be shown: its last part, on one line.
fn file_name(name: &str, id: FileId) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let short = visible(last, NAME_CHARS_MAX, |c| c != '\n');
    match short.trim_matches(['.', ' ']).is_empty() {
        true => id.to_string(),
        false => short,
    }
}
