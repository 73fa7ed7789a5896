//! What the daemon is asked, and how it answers.

use std::fmt;
use std::time::Duration;

use axum::body::Bytes;
use moqrelay_room::{
    Arrival, Attachment, DeviceId, ParticipantId, Refusal, Snapshot, User,
    conference::{Action, Denied, Does, FileId, RoomId, RoomName, Spec},
};
use moqrelay_wire::signal;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::ops::Operated;

/// The daemon's end of the queue; it ends when every [`Control`](crate::Control) is dropped.
pub type Requests = mpsc::Receiver<Request>;

/// Something for the switchboard to decide.
#[derive(Debug)]
pub enum Request {
    /// For `Switchboard::register`.
    Register {
        /// A new device.
        device: DeviceId,
        /// Whose, as the token and the directory say.
        user: User,
        /// Its first socket.
        attachment: Attachment,
        /// Takes the answer.
        reply: Reply<Snapshot>,
    },
    /// For `Switchboard::resume`.
    Resume {
        /// The device that comes back.
        device: DeviceId,
        /// Its new socket.
        attachment: Attachment,
        /// Takes the answer.
        reply: Reply<Snapshot>,
    },
    /// For `Switchboard::request`.
    Signal {
        /// Who asks.
        device: DeviceId,
        /// What.
        request: moqrelay_room::Request,
        /// Takes the answer.
        reply: Reply<()>,
    },
    /// For `Conferences`.
    Room {
        /// Who asks.
        device: DeviceId,
        /// By which of its sockets.
        attachment: Attachment,
        /// As whom.
        visitor: Visitor,
        /// What.
        request: RoomRequest,
        /// Takes the answer.
        reply: Reply<signal::Done>,
    },
    /// For `Conferences`, by an operator.
    Operate {
        /// What.
        operation: Operation,
        /// Takes the answer.
        reply: Reply<Operated>,
    },
    /// For `Conferences`, about a file.
    File {
        /// What.
        request: FileRequest,
        /// Takes the answer.
        reply: Reply<FileDone>,
    },
    /// For `Input::Dropped`.
    Dropped {
        /// The device.
        device: DeviceId,
        /// Which of its sockets is gone.
        attachment: Attachment,
    },
    /// For `Switchboard::ticket`: on consent tell the bridge a UUID and answer with it.
    Ticket {
        /// Who calls whom.
        arrival: Arrival,
        /// Takes the answer.
        reply: Reply<Uuid>,
    },
}

/// Who asks about rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Who is signed in.
    pub user: User,
    /// Whose wrong PINs are counted together: the user, or the address of a guest, who can have as many names as it
    /// likes.
    pub caller: String,
}

/// What operators want of rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// To see every room.
    List,
    /// To see who is in one.
    Roster(RoomName),
    /// To set one up.
    Create(Spec),
    /// To have one no more.
    Forget(RoomName),
    /// To do something in one.
    Act(RoomName, Action),
    /// To let a program in.
    Bring(RoomName, Bidden),
    /// To take a program out.
    TakeOut(RoomName, ParticipantId),
}

/// A program that an operator lets into a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bidden {
    /// Its name for people.
    pub name: String,
    /// What it does.
    pub does: Does,
    /// How long it may.
    pub lifetime: Duration,
}

/// What somebody in a room wants with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRequest {
    /// How the path named the room: by its id or its name.
    pub path: String,
    /// The room, as the token says.
    pub room: RoomId,
    /// Who in it, as the token says.
    pub participant: ParticipantId,
    /// What.
    pub operation: FileOperation,
}

/// What can be wanted with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOperation {
    /// To bring one.
    May,
    /// To have one kept that was brought.
    Keep {
        /// Its name, as its owner calls it.
        name: String,
        /// What it is.
        media_type: &'static str,
        /// It.
        bytes: Bytes,
    },
    /// To have one.
    Read(FileId),
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileDone {
    /// It may be brought.
    Granted,
    /// It is kept.
    Kept(signal::ChatFile),
    /// Here it is.
    Read(signal::ChatFile, Bytes),
}

/// What is wanted of rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomRequest {
    /// To come in.
    Join(signal::Join),
    /// To go.
    Leave(signal::RoomId),
    /// To do something inside.
    Act(signal::RoomId, signal::Act),
}

/// Takes the one answer to a request. Dropped without one, it answers with a fault of the server.
///
/// Answer before passing on the events that the request has caused: the device sees them in that
/// order.
pub struct Reply<T>(Option<Sink<T>>);

/// Why there is no answer of the kind hoped for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The switchboard refuses.
    Refused(Refusal),
    /// The conference denies it.
    Denied(Denied),
    /// The daemon dropped the request.
    Dropped,
}

type Sink<T> = Box<dyn FnOnce(Result<T, Failure>) + Send>;

impl<T> Reply<T> {
    pub(crate) fn new(sink: impl FnOnce(Result<T, Failure>) + Send + 'static) -> Self {
        Self(Some(Box::new(sink)))
    }

    /// Answers that a conference denies it.
    pub fn deny(mut self, denied: Denied) {
        if let Some(sink) = self.0.take() {
            sink(Err(Failure::Denied(denied)));
        }
    }

    /// Answers.
    pub fn send(mut self, result: Result<T, Refusal>) {
        if let Some(sink) = self.0.take() {
            sink(result.map_err(Failure::Refused));
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(sink) = self.0.take() {
            sink(Err(Failure::Dropped));
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}
