//! Calls, legs, presence: who may talk to whom and what happens next.
//!
//! [`Switchboard`] decides; it opens no socket and reads no clock. A **device** is one signaling
//! session of a user. A **leg** is a party that the daemon must set up and tear down itself:
//! a telephone channel or a built-in service. A **call** is a room: the caller is always
//! participant `p1`, the first who is called `p2`; who joins later is counted on. Rooms of many are
//! decided beside it, by [`conference::Conferences`].

pub mod conference;
mod config;
mod event;
mod id;
mod input;
mod output;
mod party;
mod routing;
mod rules;
mod switchboard;

pub use config::{Config, Limits};
pub use event::{
    CallView, Direction, Event, Media, Peer, Progress, Snapshot, Transferring, UserPresence,
};
pub use id::{
    Attachment, CallId, DeviceId, Digit, InvalidId, LegId, Number, ParticipantId, UserId,
};
pub use input::{Arrival, Input, OwnPresence, Reason, Refusal, Request, Trunk};
pub use output::{CallRecord, LegRecord, Output, TransferProgress};
pub use party::{Caller, Cause, Lamp, Party, PartyKind, Presence, Service, User};
pub use routing::{NumberForm, Prefix, Region, Route, Routing, TrunkName, TrunkPlan};
pub use rules::{
    DivertReason, Diverted, Forward, Line, LineState, LineView, ParkedCall, Parking, Rules, Setting,
};
pub use switchboard::{Counts, Switchboard};
