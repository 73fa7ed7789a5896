//! Messages of ARI's events WebSocket, and the lists its REST side gives.

use serde::Deserialize;

/// What Asterisk says happened, as far as we care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A channel was given to our application.
    Started {
        /// The channel.
        channel: Box<Channel>,
        /// The arguments of `Stasis()` after the application's name.
        args: Vec<String>,
        /// The channel whose place it takes, after a transfer.
        replaces: Option<String>,
    },
    /// A channel left our application.
    Left {
        /// Its id.
        channel: String,
    },
    /// A channel is to be hung up, and why; more may come.
    HangupRequested {
        /// Its id.
        channel: String,
        /// Q.850; absent when it was a normal end.
        cause: Option<u16>,
    },
    /// A channel is no more.
    Destroyed {
        /// Its id.
        channel: String,
        /// Q.850.
        cause: u16,
    },
    /// A channel has another state.
    State {
        /// Its id.
        channel: String,
        /// Which.
        state: ChannelState,
    },
    /// A channel that is dialled made progress.
    Dial {
        /// Its id.
        channel: String,
        /// How far it is.
        status: DialStatus,
    },
    /// A key was pressed.
    Digit {
        /// The channel's id.
        channel: String,
        /// The key.
        digit: char,
    },
    /// The far end holds the call, or takes it up again.
    Hold {
        /// The channel's id.
        channel: String,
        /// Whether it is held now.
        held: bool,
    },
    /// A telephone asks for a transfer (SIP's REFER).
    Refer {
        /// The id of the channel that asks.
        channel: String,
        /// Where to.
        to: ReferTarget,
    },
    /// Something has become of an endpoint.
    Endpoint {
        /// `TECHNOLOGY/RESOURCE`.
        name: String,
    },
    /// A device has another state.
    Device {
        /// Its name.
        name: String,
        /// Asterisk's word for the state.
        state: String,
    },
    /// Another client has taken an application's place.
    Replaced {
        /// Its name.
        app: String,
    },
    /// Something we do not care about.
    Other,
}

/// Where a telephone transfers its call to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferTarget {
    /// A number, as dialled.
    Number(String),
    /// Another of its calls (Replaces), by its channel's id in Asterisk.
    Channel(String),
    /// Another of its calls, which this Asterisk does not know, or nothing at all.
    Unknown,
}

/// A channel, as far as we care.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Channel {
    /// Its id.
    pub id: String,
    /// Its name, for example `PJSIP/alice-00000001`.
    #[serde(default)]
    pub name: String,
    /// Its state.
    #[serde(default)]
    pub state: ChannelState,
    /// The SIP Call-ID, or empty.
    #[serde(default)]
    pub protocol_id: String,
    /// Who called by it.
    #[serde(default)]
    pub caller: CallerId,
    /// What it executes.
    #[serde(default)]
    pub dialplan: Dialplan,
}

/// A name and a number, empty when not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CallerId {
    /// The name.
    pub name: String,
    /// The number.
    pub number: String,
}

/// Where a channel is in the dialplan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Dialplan {
    /// The extension.
    pub exten: String,
    /// The dialplan's application, `Stasis` for ours.
    pub app_name: String,
    /// Its arguments, for example `moqrelay,7001`.
    pub app_data: String,
}

/// The states of a channel that we tell apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum ChannelState {
    /// Made, nothing else yet.
    Down,
    /// It calls us and was not answered.
    Ring,
    /// We call it and it rings.
    Ringing,
    /// Answered.
    Up,
    /// One of those that do not matter here.
    #[default]
    #[serde(other)]
    Unknown,
}

/// How far a dialled channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialStatus {
    /// Dialled.
    Begun,
    /// It rings.
    Ringing,
    /// It speaks before the answer.
    Progress,
    /// It answered.
    Answer,
    /// It is busy.
    Busy,
    /// It did not answer.
    NoAnswer,
    /// Congestion, or the channel's driver gave up.
    Unavailable,
    /// Nothing that changes anything.
    Other,
}

/// A bridge, as far as we care.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct BridgeEntry {
    pub(crate) id: String,
}

/// The text is no message of ARI.
#[derive(Debug, thiserror::Error)]
#[error("not a message of ARI: {0}")]
pub struct MessageError(#[from] serde_json::Error);

impl Message {
    /// Reads one text message of the events WebSocket.
    ///
    /// # Errors
    ///
    /// When it is not JSON, or lacks what its type needs. The next message can be read.
    pub fn parse(text: &[u8]) -> Result<Self, MessageError> {
        let raw: Raw = serde_json::from_slice(text)?;
        Ok(raw.into_message())
    }
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "type")]
    kind: String,
    channel: Option<Channel>,
    peer: Option<Channel>,
    replace_channel: Option<Channel>,
    #[serde(default)]
    args: Vec<String>,
    cause: Option<i64>,
    dialstatus: Option<String>,
    digit: Option<String>,
    state: Option<String>,
    #[serde(default)]
    application: String,
    refer_to: Option<ReferTo>,
    referred_by: Option<ReferredBy>,
    endpoint: Option<Endpoint>,
    device_state: Option<DeviceEntry>,
}

#[derive(Deserialize)]
struct DeviceEntry {
    name: String,
    state: String,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default)]
    technology: String,
    #[serde(default)]
    resource: String,
}

#[derive(Deserialize)]
struct ReferTo {
    #[serde(default)]
    requested_destination: Destination,
    destination_channel: Option<Channel>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Destination {
    destination: Option<String>,
    /// The other call's SIP Call-ID.
    protocol_id: Option<String>,
}

#[derive(Deserialize)]
struct ReferredBy {
    source_channel: Channel,
}

impl ReferTo {
    fn target(self) -> ReferTarget {
        let Destination {
            destination,
            protocol_id,
        } = self.requested_destination;
        let other_call = protocol_id.is_some_and(|id| !id.is_empty());
        match (self.destination_channel, destination) {
            (Some(channel), _) => ReferTarget::Channel(channel.id),
            (None, Some(number)) if !other_call => ReferTarget::Number(number),
            (None, _) => ReferTarget::Unknown,
        }
    }
}

impl Raw {
    fn into_message(self) -> Message {
        let cause = self.cause.and_then(|cause| u16::try_from(cause).ok());
        match (self.kind.as_str(), self.channel, self.peer) {
            ("StasisStart", Some(channel), _) => Message::Started {
                channel: Box::new(channel),
                args: self.args,
                replaces: self.replace_channel.map(|channel| channel.id),
            },
            ("StasisEnd", Some(channel), _) => Message::Left {
                channel: channel.id,
            },
            ("ChannelHangupRequest", Some(channel), _) => Message::HangupRequested {
                channel: channel.id,
                cause,
            },
            ("ChannelDestroyed", Some(channel), _) => Message::Destroyed {
                channel: channel.id,
                cause: cause.unwrap_or(0),
            },
            ("ChannelStateChange", Some(channel), _) => Message::State {
                channel: channel.id,
                state: channel.state,
            },
            ("Dial", _, Some(peer)) => Message::Dial {
                channel: peer.id,
                status: dial_status(self.dialstatus.as_deref().unwrap_or_default()),
            },
            ("ChannelDtmfReceived", Some(channel), _) => {
                match self.digit.as_deref().and_then(single_digit) {
                    Some(digit) => Message::Digit {
                        channel: channel.id,
                        digit,
                    },
                    None => Message::Other,
                }
            }
            ("ChannelHold", Some(channel), _) => Message::Hold {
                channel: channel.id,
                held: true,
            },
            ("ChannelUnhold", Some(channel), _) => Message::Hold {
                channel: channel.id,
                held: false,
            },
            ("DeviceStateChanged", _, _) => match self.device_state {
                Some(DeviceEntry { name, state }) => Message::Device { name, state },
                None => Message::Other,
            },
            // What we tell of a transfer comes back as an event with that state.
            ("ChannelTransfer", _, _) if is_progress(self.state.as_deref()) => Message::Other,
            ("ChannelTransfer", _, _) => match (self.referred_by, self.refer_to) {
                (Some(by), Some(to)) => Message::Refer {
                    channel: by.source_channel.id,
                    to: to.target(),
                },
                _ => Message::Other,
            },
            ("ContactStatusChange" | "PeerStatusChange", _, _) => match self.endpoint {
                Some(endpoint) => Message::Endpoint {
                    name: format!("{}/{}", endpoint.technology, endpoint.resource),
                },
                None => Message::Other,
            },
            ("ApplicationReplaced", _, _) => Message::Replaced {
                app: self.application,
            },
            _ => Message::Other,
        }
    }
}

fn is_progress(state: Option<&str>) -> bool {
    state.is_some_and(|state| state.starts_with("channel_"))
}

fn dial_status(text: &str) -> DialStatus {
    match text {
        "" => DialStatus::Begun,
        "RINGING" => DialStatus::Ringing,
        "PROGRESS" => DialStatus::Progress,
        "ANSWER" => DialStatus::Answer,
        "BUSY" => DialStatus::Busy,
        "NOANSWER" => DialStatus::NoAnswer,
        "CONGESTION" | "CHANUNAVAIL" => DialStatus::Unavailable,
        _ => DialStatus::Other,
    }
}

/// Returns the key when the text is one.
pub(crate) fn single_digit(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let digit = chars.next()?;
    (chars.next().is_none() && is_digit(digit)).then_some(digit)
}

/// Returns whether it is a key of a telephone.
pub(crate) fn is_digit(c: char) -> bool {
    matches!(c, '0'..='9' | 'A'..='D' | '*' | '#')
}
