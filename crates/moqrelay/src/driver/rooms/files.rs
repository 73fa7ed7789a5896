//! Files in rooms: kept in memory for as long as the conference says.

use std::time::Instant;

use bytes::Bytes;
use moqrelay_control::{FileDone, FileOperation, FileRequest};
use moqrelay_room::conference::{Denied, File, FileId, RoomId};
use moqrelay_wire::signal;

use super::{super::Driver, Rooms};

impl Driver {
    pub(in super::super) fn room_file(&mut self, request: FileRequest) -> Result<FileDone, Denied> {
        let FileRequest {
            path,
            room,
            participant: by,
            operation,
        } = request;
        let roster = self.rooms.board.roster(room).ok_or(Denied::NotIn)?;
        if path != room.to_string() && path != roster.name.as_str() {
            return Err(Denied::NoSuchRoom);
        }
        match operation {
            FileOperation::May => {
                let may = self.rooms.board.may_offer(room, by, Instant::now());
                may.map(|()| FileDone::Granted)
            }
            FileOperation::Keep {
                name,
                media_type,
                bytes,
            } => {
                let len = bytes.len() as u64;
                let board = &mut self.rooms.board;
                let file = board.offer(room, by, &name, media_type, len)?;
                tracing::info!(%room, participant = %by, file = %file.id, media_type, len, "a file is brought into the room");
                self.rooms.files.insert((room, file.id), bytes);
                Ok(FileDone::Kept(to_wire_file(file)))
            }
            FileOperation::Read(id) => {
                let file = self.rooms.board.file(room, by, id)?;
                let bytes = self.rooms.files.get(&(room, id)).cloned();
                let bytes: Bytes = bytes.ok_or(Denied::NoSuchFile)?;
                Ok(FileDone::Read(to_wire_file(file), bytes))
            }
        }
    }
}

impl Rooms {
    /// A file is not to be had any more.
    pub(super) fn drop_file(&mut self, room: RoomId, file: FileId) {
        self.files.remove(&(room, file));
    }

    /// The room is over, and what was brought into it.
    pub(super) fn drop_files(&mut self, room: RoomId) {
        self.files.retain(|(of, _), _| *of != room);
    }

    /// Returns how many bytes are kept.
    pub(super) fn file_bytes(&self) -> usize {
        self.files.values().map(Bytes::len).sum()
    }

    /// Returns what files may be brought, for those who come in.
    pub(super) fn files_taken(&self) -> Option<signal::FilesTaken> {
        self.taken.clone()
    }
}

pub(super) fn to_wire_file(file: File) -> signal::ChatFile {
    signal::ChatFile {
        id: file.id.to_string(),
        name: file.name,
        media_type: file.media_type.to_owned(),
        bytes: file.len_bytes,
    }
}
