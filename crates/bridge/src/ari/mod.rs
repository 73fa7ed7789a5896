//! Call steering through the Asterisk REST Interface (ARI).
//!
//! The dialplan hands a call over with `Stasis(moqrelay,${EXTEN})`, or [`Handle::dial`] makes one;
//! from then on everything is decided here: ringing, answer, digits, hold, hang-up causes. Sound
//! does not pass through this module: it asks Asterisk to connect an AudioSocket with a UUID that
//! the caller of [`Handle::dial`] or [`Handle::answer`] chose and told the bridge of before, or, on
//! another [`Road`], says by [`Event::Reach`] where the bridge is to go for that UUID.
//!
//! [`Steering`] decides, without I/O; [`Client`] carries it out over HTTP and the events
//! WebSocket.
//!
//! # A telephone calls
//!
//! 1. [`Event::Incoming`] names the call and the number dialled.
//! 2. [`Handle::adopt`] gives it a leg, or [`Handle::refuse`] a cause, within [`ADOPT_TIMEOUT`].
//! 3. [`Handle::ring`]: the caller hears it ring.
//! 4. Tell the AudioSocket server to expect a UUID, then [`Handle::answer`].
//! 5. [`Event::Ended`], exactly once, whoever ended it.
//!
//! # A browser calls
//!
//! 1. Tell the AudioSocket server to expect a UUID, then [`Handle::dial`].
//! 2. [`Event::Ringing`], [`Event::Early`], [`Event::Answered`], as the network says, each at most
//!    once and in this order. AudioSocket is connected before the first of them, so that
//!    announcements before the answer are heard.
//! 3. [`Event::Ended`], exactly once, whoever ended it.
//!
//! # Transfers
//!
//! SIP telephones that are in our application themselves (`PJSIP/…`) are asked to leave transfers to
//! us: [`Event::Transfers`] or [`Event::Connects`], then [`Handle::transfer`] until it is answered or
//! has failed. Asterisk before 20.13 and 22.3 cannot, and transfers our AudioSocket instead, which
//! ends the leg.
//!
//! # Trunks
//!
//! A number is dialled by the trunk that [`Handle::dial`] names, or by [`Config::dial`]. Of trunks with
//! an endpoint [`Event::Trunk`] says how it is: first when that is known, and when it changes.
//!
//! # Lamps
//!
//! [`Handle::lamp`] sets `Custom:APP-LINE` by the function `DEVICE_STATE`, since ARI's own device states
//! are all named `Stasis:`. It is set anew after each reconnection, and dark when the daemon goes.
//!
//! # Telephones and mailboxes
//!
//! [`Config::lines`] are devices whose states [`Event::Device`] tells; [`Handle::mailbox`] lets
//! [`Event::Messages`] tell whether messages wait, by the device states `MWI:MAILBOX` of `res_mwi_devstate`.
//!
//! # Settings
//!
//! `Stasis(APP,set:WHAT,USER,VALUE)` is no call: [`Event::Setting`], then [`Handle::answer_setting`].
//!
//! # Digits
//!
//! A key pressed on the telephone is reported twice: as [`Event::Digit`], and by the AudioSocket
//! as a message of type 0x03 (Asterisk 20.14, 22.4 and newer). For legs of this module use
//! [`Event::Digit`] and ignore the AudioSocket's; it is reported also by older versions.

mod backoff;
mod cause;
mod client;
mod config;
mod driver;
mod event;
mod message;
mod probe;
mod request;
mod rest;
mod road;
mod socket;
mod steering;
mod trunk;

pub use crate::LegId;
pub use cause::{after_answer, before_answer, to_q850};
pub use client::{Client, CommandRefused, Handle};
pub use config::{Config, ConfigError, Secret, Unanswered};
pub use event::TransferProgress;
pub use event::{
    Caller, Command, DeviceState, Event, Incoming, IncomingId, Lamp, SentOn, SentOnReason,
};
pub use message::{
    CallerId, Channel, ChannelState, DialStatus, Dialplan, Message, MessageError, ReferTarget,
};
pub use probe::{Deaf, Ears, Probe, Reply};
pub use request::{Failure, Method, Request, RequestId, Response};
pub use road::{Calls, Choice, Plan, Road, RoadRule};
pub use steering::{ADOPT_TIMEOUT, Output, Steering};
pub use trunk::{EndpointState, Trunk};
