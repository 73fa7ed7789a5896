//! What a client sends.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::room::{Act, Join, RoomId};
use super::types::{CallId, Code, Digits, OwnPresence, Rules};
use super::{MESSAGE_LEN_MAX, REQUEST_ID_MAX, TARGET_LEN_MAX, TOKEN_LEN_MAX};

/// A message from a client.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientMessage {
    /// Gets exactly one `ok` or `refused` with the same id.
    Request {
        /// Chosen by the client, ascending, at most [`REQUEST_ID_MAX`].
        id: u64,
        /// What is wanted.
        request: Request,
    },
    /// Answers a `ping`.
    Pong,
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Signs in; must be first.
    Register {
        /// A JWT with `sub`.
        token: String,
        /// Names the session to take over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume: Option<Resume>,
    },
    /// Says how the user is.
    Presence {
        /// The new state.
        state: OwnPresence,
    },
    /// Says what becomes of calls to the user; what is left out goes nowhere.
    Rules(Rules),
    /// Calls someone.
    Call {
        /// A user's id, a number or a service.
        to: String,
    },
    /// The device rings.
    Ringing {
        /// The call.
        call: CallId,
    },
    /// Takes a call.
    Answer {
        /// The call.
        call: CallId,
    },
    /// Turns a call down on every device of the user.
    Reject {
        /// The call.
        call: CallId,
    },
    /// Gives up before the answer.
    Cancel {
        /// The call.
        call: CallId,
    },
    /// Ends a call.
    Hangup {
        /// The call.
        call: CallId,
    },
    /// Holds a call or takes it up again.
    Hold {
        /// The call.
        call: CallId,
        /// True to hold.
        held: bool,
    },
    /// Tells the others whether the microphone is off.
    Mute {
        /// The call.
        call: CallId,
        /// True when off.
        muted: bool,
    },
    /// Sends digits.
    Dtmf {
        /// The call.
        call: CallId,
        /// What was pressed.
        digits: Digits,
    },
    /// Lets somebody else take one's place; without an answer the call comes back.
    Transfer {
        /// An answered call between two.
        call: CallId,
        /// A user's id, a number or a service.
        to: String,
    },
    /// Lets the other side of an answered call between two wait until somebody takes the call.
    Park {
        /// The call.
        call: CallId,
    },
    /// Connects the others of two answered calls, and leaves both.
    Connect {
        /// The call that goes on.
        call: CallId,
        /// The other one, which ends.
        with: CallId,
    },
    /// Makes two answered calls one.
    Merge {
        /// The call that goes on.
        call: CallId,
        /// The other one, which ends.
        with: CallId,
    },
    /// Comes into a room of many, or back into it.
    Join(Join),
    /// Leaves a room.
    Leave {
        /// Which.
        room: RoomId,
    },
    /// Does something in a room.
    Room {
        /// In which.
        room: RoomId,
        /// What.
        r#do: Act,
    },
}

/// The session to take over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Its name, from the first `ok`.
    pub session: String,
    /// Its key, from the last `ok` to a `register`.
    pub key: String,
    /// The last event that arrived.
    pub seq: u64,
}

/// What is wrong with a client's message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", .code.as_str())]
pub struct DecodeError {
    /// The request's id when it could be read: then `refused` answers, else `error`.
    pub id: Option<u64>,
    /// [`Code::BadMessage`] or [`Code::TooLarge`].
    pub code: Code,
    /// For people.
    pub reason: String,
}

/// Reads one message of a client. Unknown fields are ignored.
///
/// # Errors
///
/// When the text is too long, no JSON object, of an unknown type, or a field is missing or wrong.
pub fn decode(text: &str) -> Result<ClientMessage, DecodeError> {
    if text.len() > MESSAGE_LEN_MAX {
        let reason = format!("{} bytes, at most {MESSAGE_LEN_MAX}", text.len());
        return Err(DecodeError {
            id: None,
            code: Code::TooLarge,
            reason,
        });
    }
    let fields: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| bad(None, error.to_string()))?;
    let id = fields
        .get("id")
        .and_then(Value::as_u64)
        .filter(|id| *id <= REQUEST_ID_MAX);
    let kind = match fields.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(_) => return Err(bad(id, "type is no text".into())),
        None => return Err(bad(id, "type is missing".into())),
    };
    if kind == "pong" {
        return Ok(ClientMessage::Pong);
    }
    let Some(id) = id else {
        let reason = format!("id must be a whole number from 0 to {REQUEST_ID_MAX}");
        return Err(bad(None, reason));
    };
    let request = serde_json::from_value(Value::Object(fields))
        .map_err(|error| bad(Some(id), format!("{}: {error}", shorten(&kind))))?;
    check_lengths(&request).map_err(|reason| bad(Some(id), reason))?;
    Ok(ClientMessage::Request { id, request })
}

fn check_lengths(request: &Request) -> Result<(), String> {
    match request {
        Request::Register { token, resume } => {
            within("token", token, TOKEN_LEN_MAX)?;
            let Some(resume) = resume else { return Ok(()) };
            within("session", &resume.session, TARGET_LEN_MAX)?;
            within("key", &resume.key, TARGET_LEN_MAX)
        }
        Request::Call { to } | Request::Transfer { to, .. } => within("to", to, TARGET_LEN_MAX),
        Request::Rules(rules) => {
            let targets = [&rules.always, &rules.busy, &rules.no_answer];
            let mut targets = targets.into_iter().flatten();
            targets.try_for_each(|to| within("target", to, TARGET_LEN_MAX))
        }
        Request::Join(join) => join.check(),
        Request::Room { r#do, .. } => r#do.check(),
        Request::Presence { .. }
        | Request::Ringing { .. }
        | Request::Answer { .. }
        | Request::Reject { .. }
        | Request::Cancel { .. }
        | Request::Hangup { .. }
        | Request::Hold { .. }
        | Request::Mute { .. }
        | Request::Dtmf { .. }
        | Request::Park { .. }
        | Request::Connect { .. }
        | Request::Merge { .. }
        | Request::Leave { .. } => Ok(()),
    }
}

pub(super) fn within(field: &str, value: &str, len_max: usize) -> Result<(), String> {
    if value.is_empty() || value.len() > len_max {
        return Err(format!(
            "{field} must be 1 to {len_max} bytes long, is {}",
            value.len()
        ));
    }
    Ok(())
}

fn bad(id: Option<u64>, reason: String) -> DecodeError {
    DecodeError {
        id,
        code: Code::BadMessage,
        reason: shorten(&reason),
    }
}

/// A reason goes back to the peer and into logs; what it quotes is the peer's own.
fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    text.chars().take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::signal::DIGITS_MAX;

    const CALL: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_request_is_read_and_unknown_fields_are_ignored() {
        let text = json!({"type": "hold", "id": 7, "call": CALL, "held": true, "mood": "good"});

        let message = decode(&text.to_string()).unwrap();

        let request = Request::Hold {
            call: CALL.parse().unwrap(),
            held: true,
        };
        assert_eq!(message, ClientMessage::Request { id: 7, request });
    }

    #[test]
    fn a_pong_needs_no_id() {
        assert_eq!(decode(r#"{"type":"pong"}"#), Ok(ClientMessage::Pong));
    }

    #[test]
    fn a_fault_in_a_request_is_answered_under_its_id() {
        let faults = [
            json!({"id": 3}),
            json!({"id": 3, "type": 5}),
            json!({"id": 3, "type": "fly"}),
            json!({"id": 3, "type": "call"}),
            json!({"id": 3, "type": "call", "to": 7001}),
            json!({"id": 3, "type": "call", "to": ""}),
            json!({"id": 3, "type": "call", "to": "x".repeat(65)}),
            json!({"id": 3, "type": "answer", "call": CALL.to_uppercase()}),
            json!({"id": 3, "type": "answer", "call": &CALL[1..]}),
            json!({"id": 3, "type": "answer", "call": format!("+{}", &CALL[1..])}),
            json!({"id": 3, "type": "presence", "state": "offline"}),
            json!({"id": 3, "type": "hold", "call": CALL, "held": "yes"}),
            json!({"id": 3, "type": "dtmf", "call": CALL, "digits": ""}),
            json!({"id": 3, "type": "dtmf", "call": CALL, "digits": "1a"}),
            json!({"id": 3, "type": "dtmf", "call": CALL, "digits": "1".repeat(DIGITS_MAX + 1)}),
            json!({"id": 3, "type": "transfer", "call": CALL, "to": ""}),
            json!({"id": 3, "type": "transfer", "call": CALL}),
            json!({"id": 3, "type": "rules", "always": ""}),
            json!({"id": 3, "type": "rules", "busy": "x".repeat(65)}),
            json!({"id": 3, "type": "rules", "undisturbed": "yes"}),
            json!({"id": 3, "type": "rules", "after_s": -1}),
            json!({"id": 3, "type": "join"}),
            json!({"id": 3, "type": "join", "room": ""}),
            json!({"id": 3, "type": "join", "room": "x".repeat(65)}),
            json!({"id": 3, "type": "join", "room": "board", "pin": 1234}),
            json!({"id": 3, "type": "join", "room": "board", "key": "x".repeat(1025)}),
            json!({"id": 3, "type": "leave", "room": "board"}),
            json!({"id": 3, "type": "room", "room": CALL}),
            json!({"id": 3, "type": "room", "room": CALL, "do": {"act": "fly"}}),
            json!({"id": 3, "type": "room", "room": CALL, "do": {"act": "mute", "muted": true}}),
            json!({"id": 3, "type": "room", "room": CALL, "do": {"act": "say", "text": ""}}),
            json!({"id": 3, "type": "room", "room": CALL,
                "do": {"act": "level", "participant": "p1", "db": 11}}),
            json!({"id": 3, "type": "room", "room": CALL,
                "do": {"act": "level", "participant": "p1", "db": -21}}),
            json!({"id": 3, "type": "room", "room": CALL,
                "do": {"act": "role", "participant": "p1", "role": "king"}}),
            json!({"id": 3, "type": "room", "room": CALL,
                "do": {"act": "react", "emoji": "x".repeat(65)}}),
            json!({"id": 3, "type": "park"}),
            json!({"id": 3, "type": "merge", "call": CALL, "with": "x"}),
            json!({"id": 3, "type": "register", "token": "x".repeat(TOKEN_LEN_MAX + 1)}),
            json!({"id": 3, "type": "register", "token": "x", "resume": {"session": "s"}}),
        ];
        for fault in faults {
            let error = decode(&fault.to_string()).unwrap_err();
            assert_eq!(
                (error.id, error.code),
                (Some(3), Code::BadMessage),
                "{fault}"
            );
        }
    }

    #[test]
    fn a_fault_without_an_id_is_answered_without() {
        for text in [
            "",
            "null",
            "[]",
            "{",
            r#"{"type":"answer"}"#,
            r#"{"type":"answer","id":-1}"#,
            r#"{"type":"answer","id":1.5}"#,
            r#"{"type":"answer","id":"1"}"#,
            r#"{"type":"answer","id":9007199254740992}"#,
            r#"{"type":"pong"} trailing"#,
        ] {
            let error = decode(text).unwrap_err();
            assert_eq!((error.id, error.code), (None, Code::BadMessage), "{text}");
        }
    }

    #[test]
    fn the_reason_names_the_unknown_type() {
        let error = decode(r#"{"id":1,"type":"fly"}"#).unwrap_err();

        assert!(
            error.reason.contains("unknown variant `fly`"),
            "{}",
            error.reason
        );
    }

    #[test]
    fn a_message_that_is_too_long_is_not_even_read() {
        let text = json!({"id": 1, "type": "call", "to": "x".repeat(MESSAGE_LEN_MAX)});

        let error = decode(&text.to_string()).unwrap_err();

        assert_eq!((error.id, error.code), (None, Code::TooLarge));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = format!("{{\"x\":{}", "[".repeat(10_000));

        assert_eq!(decode(&text).unwrap_err().code, Code::BadMessage);
    }

    proptest! {
        #[test]
        fn any_text_gives_a_message_or_a_short_reason(text in ".{0,200}") {
            check(&text);
        }

        #[test]
        fn any_json_gives_a_message_or_a_short_reason(value in hostile()) {
            check(&value.to_string());
        }
    }

    fn check(text: &str) {
        match decode(text) {
            Ok(ClientMessage::Request { id, .. }) => assert!(id <= REQUEST_ID_MAX),
            Ok(ClientMessage::Pong) => {}
            Err(error) => assert!(error.reason.chars().count() <= 200),
        }
    }

    /// Messages of every kind with fields of every kind.
    fn hostile() -> impl Strategy<Value = serde_json::Value> {
        let kind = prop::sample::select(vec![
            "register", "presence", "call", "ringing", "answer", "reject", "cancel", "hangup",
            "hold", "mute", "dtmf", "transfer", "connect", "merge", "rules", "park", "join",
            "leave", "room", "pong", "ok", "",
        ]);
        let field = prop::sample::select(vec![
            "id",
            "token",
            "resume",
            "state",
            "to",
            "call",
            "with",
            "held",
            "muted",
            "digits",
            "seq",
            "type",
            "undisturbed",
            "always",
            "busy",
            "no_answer",
            "after_s",
            "room",
            "name",
            "pin",
            "key",
            "listen",
            "do",
        ]);
        let value = prop_oneof![
            Just(json!(null)),
            Just(json!(CALL)),
            any::<bool>().prop_map(|value| json!(value)),
            any::<i64>().prop_map(|value| json!(value)),
            any::<f64>().prop_map(|value| json!(value)),
            ".{0,80}".prop_map(|value| json!(value)),
            Just(json!({"session": "s", "key": "k", "seq": 1})),
            Just(json!({"act": "say", "text": "hello", "to": "p2"})),
            Just(json!({"act": "level", "participant": "p2", "db": -300})),
            Just(json!([[[]]])),
        ];
        let fields = prop::collection::btree_map(field, value, 0..6);
        (kind, any::<u32>(), fields).prop_map(|(kind, id, fields)| {
            let mut message = json!({"type": kind, "id": id});
            for (name, value) in fields {
                message[name] = value;
            }
            message
        })
    }
}
