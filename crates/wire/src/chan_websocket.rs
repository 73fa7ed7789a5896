//! The control messages of `chan_websocket`, Asterisk's channel whose sound is a WebSocket.
//!
//! Sound is in binary messages, one for each 20 ms, without any framing of its own; control is in text messages,
//! either as words (`MEDIA_START key:value …`, the only form before Asterisk 22.8) or as JSON
//! (`{"event":"MEDIA_START",…}`). Asterisk says [`Event`]s and takes [`Command`]s, both in the [`Form`] that the
//! channel has; [`Event::decode`] finds out which it is.

use std::fmt::Write as _;

use serde_json::Value;
use thiserror::Error;

/// The subprotocol that both sides name in the handshake.
pub const SUBPROTOCOL: &str = "media";

/// Asterisk ignores longer text messages.
pub const COMMAND_BYTES_MAX: usize = 128;

/// No event of Asterisk's is longer: `MEDIA_START` with all channel variables is about a kilobyte.
pub const EVENT_BYTES_MAX: usize = 16 * 1024;

/// How control messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// Words: the option `f` absent or `f(plain-text)`.
    #[default]
    Words,
    /// JSON: `f(json)`.
    Json,
}

/// What Asterisk says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The channel is connected; said once, usually before any sound.
    Start(Start),
    /// Asterisk's queue is nearly full: send nothing until [`Event::Xon`].
    Xoff,
    /// Asterisk's queue has room again.
    Xon,
    /// The answer to [`Command::Status`].
    Status(Status),
    /// What was sent up to [`Command::StopBuffering`] has been played.
    BufferingCompleted(Option<String>),
    /// What was sent before [`Command::Mark`] has been played.
    MarkProcessed(Option<String>),
    /// The queue has run dry, once after [`Command::ReportDrained`].
    QueueDrained,
    /// A key of the telephone was released: one of `0-9A-D*#`.
    Digit(char),
    /// A command could not be carried out; Asterisk's words.
    Fault(String),
    /// An event that this version does not know.
    Other,
}

/// What a channel is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Start {
    /// The channel's unique id in Asterisk.
    pub channel_id: String,
    /// Asterisk's name of the codec, `slin16` or `opus` for example.
    pub format: String,
    /// Bytes of one piece of sound; 0 for codecs that are passed through, as Opus.
    pub frame_bytes: usize,
    /// Milliseconds of one piece of sound; 0 when not said.
    pub frame_ms: u32,
}

/// How Asterisk's queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Pieces of sound that wait to be played.
    pub queued: u32,
    /// Whether [`Event::Xoff`] holds.
    pub full: bool,
}

/// What Asterisk can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command<'a> {
    /// Answers a channel that was made with the option `n`.
    Answer,
    /// Hangs the channel up.
    HangUp,
    /// What follows may come faster than it is played. Not for codecs that are passed through, as all that follow.
    StartBuffering,
    /// Ends that; [`Event::BufferingCompleted`] repeats the name.
    StopBuffering(Option<&'a str>),
    /// Asks for [`Event::MarkProcessed`] with this name.
    Mark(Option<&'a str>),
    /// Throws away what waits to be played.
    Flush,
    /// Asks for [`Event::Status`]; every codec takes it.
    Status,
    /// Asks for [`Event::QueueDrained`], once.
    ReportDrained,
    /// Plays silence and keeps what waits.
    Pause,
    /// Ends that.
    Continue,
}

/// A text message that is no event.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than any event.
    #[error("control message of {0} bytes, at most {EVENT_BYTES_MAX}")]
    TooLong(usize),
    /// It begins like JSON and is none, or has no `event`.
    #[error("control message is no JSON with an event: {0}")]
    Json(String),
    /// Nothing but blanks.
    #[error("empty control message")]
    Empty,
    /// The digit is on no telephone.
    #[error("digit {0:?} is none of 0-9A-D*#")]
    Digit(String),
    /// The channel does not say what its sound is.
    #[error("MEDIA_START without a format")]
    NoFormat,
}

/// A command that Asterisk would not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Longer than Asterisk reads.
    #[error("command of {0} bytes, at most {COMMAND_BYTES_MAX}")]
    TooLong(usize),
    /// Names are printable ASCII without blanks and quotes.
    #[error("a name may have only printable ASCII without blanks, quotes and backslashes")]
    Name,
}

impl Event {
    /// Reads a text message, and tells in which form it was.
    ///
    /// # Errors
    ///
    /// When it makes no sense; the connection can go on.
    pub fn decode(text: &str) -> Result<(Self, Form), DecodeError> {
        if text.len() > EVENT_BYTES_MAX {
            return Err(DecodeError::TooLong(text.len()));
        }
        let text = text.trim();
        if text.starts_with('{') {
            let value: Value =
                serde_json::from_str(text).map_err(|error| DecodeError::Json(error.to_string()))?;
            let name = value.get("event").and_then(Value::as_str);
            let name = name.ok_or_else(|| DecodeError::Json("no event".into()))?;
            Ok((Self::read(name, &Fields::Json(&value))?, Form::Json))
        } else {
            let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
            if name.is_empty() {
                return Err(DecodeError::Empty);
            }
            Ok((Self::read(name, &Fields::Words(rest))?, Form::Words))
        }
    }

    fn read(name: &str, fields: &Fields<'_>) -> Result<Self, DecodeError> {
        Ok(match name {
            "MEDIA_START" => Self::Start(Start::read(fields)?),
            "MEDIA_XOFF" => Self::Xoff,
            "MEDIA_XON" => Self::Xon,
            "STATUS" => Self::Status(Status {
                queued: fields.number("queue_length"),
                full: fields.flag("queue_full"),
            }),
            "MEDIA_BUFFERING_COMPLETED" => Self::BufferingCompleted(fields.name()),
            "MEDIA_MARK_PROCESSED" => Self::MarkProcessed(fields.name()),
            "QUEUE_DRAINED" => Self::QueueDrained,
            "DTMF_END" => {
                let digit = fields.text("digit").unwrap_or_default();
                let mut chars = digit.chars();
                match (chars.next(), chars.next()) {
                    (Some(key @ ('0'..='9' | 'A'..='D' | '*' | '#')), None) => Self::Digit(key),
                    _ => return Err(DecodeError::Digit(digit)),
                }
            }
            "ERROR" => Self::Fault(fields.rest("error_text")),
            _ => Self::Other,
        })
    }
}

impl Start {
    fn read(fields: &Fields<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            channel_id: fields.text("channel_id").unwrap_or_default(),
            format: fields.text("format").ok_or(DecodeError::NoFormat)?,
            frame_bytes: fields.number("optimal_frame_size") as usize,
            frame_ms: fields.number("ptime"),
        })
    }
}

impl Command<'_> {
    /// Returns the text message.
    ///
    /// # Errors
    ///
    /// When Asterisk would not read it.
    pub fn encode(self, form: Form) -> Result<String, EncodeError> {
        let (word, name) = match self {
            Self::Answer => ("ANSWER", None),
            Self::HangUp => ("HANGUP", None),
            Self::StartBuffering => ("START_MEDIA_BUFFERING", None),
            Self::StopBuffering(name) => ("STOP_MEDIA_BUFFERING", name),
            Self::Mark(name) => ("MARK_MEDIA", name),
            Self::Flush => ("FLUSH_MEDIA", None),
            Self::Status => ("GET_STATUS", None),
            Self::ReportDrained => ("REPORT_QUEUE_DRAINED", None),
            Self::Pause => ("PAUSE_MEDIA", None),
            Self::Continue => ("CONTINUE_MEDIA", None),
        };
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '\'');
        if name.is_some_and(|name| name.is_empty() || !name.chars().all(plain)) {
            return Err(EncodeError::Name);
        }
        let mut text = String::with_capacity(COMMAND_BYTES_MAX);
        // Writing to a String cannot fail.
        let _written = match (form, name) {
            (Form::Words, None) => write!(text, "{word}"),
            (Form::Words, Some(name)) => write!(text, "{word} {name}"),
            (Form::Json, None) => write!(text, r#"{{"command":"{word}"}}"#),
            (Form::Json, Some(name)) => {
                write!(text, r#"{{"command":"{word}","correlation_id":"{name}"}}"#)
            }
        };
        match text.len() {
            ..=COMMAND_BYTES_MAX => Ok(text),
            len => Err(EncodeError::TooLong(len)),
        }
    }
}

/// The fields of an event, in either form.
enum Fields<'a> {
    Words(&'a str),
    Json(&'a Value),
}

impl Fields<'_> {
    fn text(&self, key: &str) -> Option<String> {
        let text = match self {
            Self::Words(words) => words
                .split_ascii_whitespace()
                .filter_map(|word| word.split_once(':'))
                .find_map(|(name, value)| (name == key).then(|| value.to_owned())),
            Self::Json(value) => value.get(key).and_then(Value::as_str).map(str::to_owned),
        };
        text.filter(|text| !text.is_empty())
    }

    fn number(&self, key: &str) -> u32 {
        match self {
            Self::Words(_) => self.text(key).and_then(|text| text.parse().ok()),
            Self::Json(value) => value
                .get(key)
                .and_then(Value::as_u64)
                .and_then(|number| u32::try_from(number).ok()),
        }
        .unwrap_or(0)
    }

    fn flag(&self, key: &str) -> bool {
        match self {
            Self::Words(_) => self.text(key).is_some_and(|text| text == "true"),
            Self::Json(value) => value.get(key).and_then(Value::as_bool).unwrap_or(false),
        }
    }

    /// The name that a command had; as words it stands alone.
    fn name(&self) -> Option<String> {
        match self {
            Self::Words(words) => Some(words.trim().to_owned()).filter(|name| !name.is_empty()),
            Self::Json(_) => self.text("correlation_id"),
        }
    }

    /// A text with blanks, which is the last field.
    fn rest(&self, key: &str) -> String {
        match self {
            Self::Words(words) => words
                .split_once(key)
                .and_then(|(_, rest)| rest.strip_prefix(':'))
                .unwrap_or(words)
                .to_owned(),
            Self::Json(_) => self.text(key).unwrap_or_default(),
        }
    }
}
