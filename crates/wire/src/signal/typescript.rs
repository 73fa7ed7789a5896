//! The same types for the web page.
//!
//! The table says in TypeScript's words what serde derives from the types; the tests hold every
//! message against it, so that neither can change alone.

/// Returns TypeScript declarations of every message.
pub fn to_typescript() -> String {
    let declarations = TYPES.iter().map(|Type { doc, name, shape }| {
        let declaration = match shape {
            Shape::Alias(target) => format!("type {name} = {target};"),
            Shape::Words(words) => format!("type {name} ={};", union(&quoted(words))),
            Shape::Object(fields) => format!("interface {name} {}", block(fields)),
            Shape::OneOf(variants) => {
                let variants: Vec<String> = variants.iter().map(Variant::print).collect();
                format!("type {name} ={};", union(&variants))
            }
        };
        format!("\n/** {doc} */\nexport {declaration}\n")
    });
    std::iter::once(HEADER.to_owned())
        .chain(declarations)
        .collect()
}

const HEADER: &str = "\
/**
 * Signaling messages (docs/protocol.md, section 4).
 *
 * Made by `cargo xtask schema` from crates/wire/src/signal: do not edit.
 */
";

struct Type {
    doc: &'static str,
    name: &'static str,
    shape: Shape,
}

enum Shape {
    /// Another type.
    Alias(&'static str),
    /// One of these texts.
    Words(&'static [&'static str]),
    /// An object with these fields.
    Object(&'static [Field]),
    /// An object of one of these kinds.
    OneOf(&'static [Variant]),
}

/// A field's name, with `?` when it may be missing, and its type.
type Field = (&'static str, &'static str);

enum Variant {
    /// `type` and fields.
    Tagged(&'static str, &'static [Field]),
    /// `act` and fields.
    Act(&'static str, &'static [Field]),
    /// `type` and the fields of another type.
    Wraps(&'static str, &'static str),
    /// Free text for what the table cannot say.
    Verbatim(&'static str),
}

impl Variant {
    fn print(&self) -> String {
        match self {
            Self::Tagged(tag, fields) => tagged("type", tag, fields),
            Self::Act(act, fields) => tagged("act", act, fields),
            Self::Wraps(tag, inner) => format!("({{ type: \"{tag}\" }} & {inner})"),
            Self::Verbatim(text) => (*text).to_owned(),
        }
    }
}

fn tagged(tag: &str, word: &str, fields: &[Field]) -> String {
    let fields = fields
        .iter()
        .map(|(name, kind)| format!("; {name}: {kind}"));
    format!("{{ {tag}: \"{word}\"{} }}", fields.collect::<String>())
}

fn quoted(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| format!("\"{word}\"")).collect()
}

/// On one line where it fits.
fn union(variants: &[String]) -> String {
    const LINE_LEN_MAX: usize = 60;
    let line = format!(" {}", variants.join(" | "));
    if line.len() <= LINE_LEN_MAX {
        return line;
    }
    variants
        .iter()
        .map(|variant| format!("\n\t| {variant}"))
        .collect()
}

fn block(fields: &[Field]) -> String {
    let lines: String = fields
        .iter()
        .map(|(name, kind)| format!("\t{name}: {kind};\n"))
        .collect();
    format!("{{\n{lines}}}")
}

const CALL: Field = ("call", "CallId");

const ROOM: Field = ("room", "RoomId");

const PARTICIPANT: Field = ("participant", "string");

const TYPES: &[Type] = &[
    Type {
        doc: "32 lower-case hex digits.",
        name: "CallId",
        shape: Shape::Alias("string"),
    },
    Type {
        doc: "What a user says about being there.",
        name: "OwnPresence",
        shape: Shape::Words(&["available", "busy", "away"]),
    },
    Type {
        doc: "What others see of a user.",
        name: "PresenceState",
        shape: Shape::Words(&["available", "busy", "away", "offline", "ringing"]),
    },
    Type {
        doc: "A user, or a telephone of Asterisk's, as others see them.",
        name: "Presence",
        shape: Shape::Object(&[
            ("user", "string"),
            ("name", "string"),
            ("number?", "string"),
            ("state", "PresenceState"),
            ("kind?", "PartyKind"),
        ]),
    },
    Type {
        doc: "What a user wants done with calls: targets are ids or numbers.",
        name: "Rules",
        shape: Shape::Object(&[
            ("undisturbed", "boolean"),
            ("always?", "string"),
            ("busy?", "string"),
            ("no_answer?", "string"),
            ("after_s", "number"),
        ]),
    },
    Type {
        doc: "What kind of thing takes part in a call.",
        name: "PartyKind",
        shape: Shape::Words(&["browser", "phone", "service"]),
    },
    Type {
        doc: "Who is at an end of a call.",
        name: "Party",
        shape: Shape::Object(&[
            ("id", "string"),
            ("name", "string"),
            ("number?", "string"),
            ("kind", "PartyKind"),
        ]),
    },
    Type {
        doc: "A call that waits in a slot.",
        name: "ParkedCall",
        shape: Shape::Object(&[("slot", "string"), ("who", "Party"), ("by", "Party")]),
    },
    Type {
        doc: "What can be dialled for more than a call.",
        name: "Services",
        shape: Shape::Object(&[
            ("voicemail?", "string"),
            ("park?", "string"),
            ("pick_up?", "string"),
        ]),
    },
    Type {
        doc: "Another participant whose audio can be subscribed to.",
        name: "Peer",
        shape: Shape::Object(&[
            ("participant", "string"),
            ("namespace", "string[]"),
            ("name", "string"),
            ("kind", "PartyKind"),
        ]),
    },
    Type {
        doc: "Where a device publishes its audio and whom it hears.",
        name: "Media",
        shape: Shape::Object(&[
            ("room", "CallId"),
            ("participant", "string"),
            ("namespace", "string[]"),
            ("token", "string"),
            ("peers", "Peer[]"),
        ]),
    },
    Type {
        doc: "Who began a call, seen from a device.",
        name: "Direction",
        shape: Shape::Words(&["in", "out"]),
    },
    Type {
        doc: "How far a call has come.",
        name: "CallState",
        shape: Shape::Words(&["calling", "ringing", "early", "up"]),
    },
    Type {
        doc: "A call that is alive, as one of its devices sees it.",
        name: "CallView",
        shape: Shape::Object(&[
            CALL,
            ("direction", "Direction"),
            ("state", "CallState"),
            ("peer", "Party"),
            ("held_by", "string[]"),
            ("muted", "string[]"),
            ("up_ms?", "number"),
            ("media?", "Media"),
            ("transferring?", "Transferring"),
            ("via?", "string"),
        ]),
    },
    Type {
        doc: "One direction of a telephone's sound. Figures are absent when nothing was to be heard.",
        name: "Heard",
        shape: Shape::Object(&[
            ("mos?", "number"),
            ("r?", "number"),
            ("lost_percent?", "number"),
            ("delay_ms?", "number"),
            ("jitter_ms?", "number"),
            ("silent?", "Silence"),
        ]),
    },
    Type {
        doc: "Why nothing is heard.",
        name: "Silence",
        shape: Shape::Words(&[
            "telephone_never_sent",
            "telephone_stopped",
            "telephone_mute",
            "others_never_sent",
            "others_stopped",
        ]),
    },
    Type {
        doc: "A transfer on its way.",
        name: "Transferring",
        shape: Shape::Object(&[("by", "string"), ("to", "Party")]),
    },
    Type {
        doc: "Why a call ended.",
        name: "Cause",
        shape: Shape::Words(&[
            "normal",
            "cancelled",
            "rejected",
            "busy",
            "no_answer",
            "not_found",
            "unreachable",
            "answered_elsewhere",
            "lost",
            "transferred",
            "too_long",
            "failed",
            "shutdown",
        ]),
    },
    Type {
        doc: "Why something was refused.",
        name: "Code",
        shape: Shape::Words(&[
            "bad_message",
            "too_large",
            "unsupported_version",
            "unauthorized",
            "expired",
            "not_registered",
            "already_registered",
            "not_found",
            "offline",
            "busy",
            "no_such_call",
            "wrong_state",
            "forbidden",
            "no_route",
            "blocked",
            "trunk_down",
            "too_many",
            "rate_limited",
            "no_such_room",
            "pin_required",
            "pin_wrong",
            "locked",
            "full",
            "banned",
            "not_host",
            "shutting_down",
            "internal",
        ]),
    },
    Type {
        doc: "An open room: 32 lower-case hex digits, others each time it opens.",
        name: "RoomId",
        shape: Shape::Alias("string"),
    },
    Type {
        doc: "What a participant of a room is.",
        name: "RoomKind",
        shape: Shape::Words(&["browser", "telephone", "recorder", "program"]),
    },
    Type {
        doc: "What a participant of a room may.",
        name: "RoomRole",
        shape: Shape::Words(&["host", "speaker", "listener", "recorder"]),
    },
    Type {
        doc: "How a participant is there.",
        name: "RoomPresence",
        shape: Shape::Words(&["waiting", "here", "away"]),
    },
    Type {
        doc: "What is to be seen of a participant.",
        name: "VideoSource",
        shape: Shape::Words(&["camera", "screen"]),
    },
    Type {
        doc: "One of a roster. `quality` is a mean opinion score.",
        name: "RosterPerson",
        shape: Shape::Object(&[
            PARTICIPANT,
            ("name", "string"),
            ("kind", "RoomKind"),
            ("role", "RoomRole"),
            ("presence", "RoomPresence"),
            ("muted", "boolean"),
            ("hand?", "number"),
            ("speaking", "boolean"),
            ("level_db", "number"),
            ("held", "boolean"),
            ("quality?", "number"),
            ("video", "VideoSource[]"),
        ]),
    },
    Type {
        doc: "Everyone in a room and what holds for it; also the track `roster`.",
        name: "Roster",
        shape: Shape::Object(&[
            ("version", "number"),
            ("room", "string"),
            ("name", "string"),
            ("title", "string"),
            ("number?", "string"),
            ("locked", "boolean"),
            ("lobby", "boolean"),
            ("recording", "boolean"),
            ("listening", "string[]"),
            ("people", "RosterPerson[]"),
        ]),
    },
    Type {
        doc: "Why somebody is in a room no more.",
        name: "RoomLeaving",
        shape: Shape::Words(&[
            "left",
            "lost",
            "removed",
            "banned",
            "ended",
            "shutdown",
            "elsewhere",
        ]),
    },
    Type {
        doc: "What happened in a room.",
        name: "RoomWhat",
        shape: Shape::OneOf(&[
            Variant::Tagged("joined", &[PARTICIPANT]),
            Variant::Tagged("waiting", &[PARTICIPANT]),
            Variant::Tagged("away", &[PARTICIPANT]),
            Variant::Tagged("back", &[PARTICIPANT]),
            Variant::Tagged("left", &[PARTICIPANT, ("why", "RoomLeaving")]),
            Variant::Tagged("muted", &[PARTICIPANT, ("muted", "boolean")]),
            Variant::Tagged("all_muted", &[]),
            Variant::Tagged("hand", &[PARTICIPANT, ("raised", "boolean")]),
            Variant::Tagged("role", &[PARTICIPANT, ("role", "RoomRole")]),
            Variant::Tagged("level", &[PARTICIPANT, ("db", "number")]),
            Variant::Tagged("held", &[PARTICIPANT, ("held", "boolean")]),
            Variant::Tagged("locked", &[("locked", "boolean")]),
            Variant::Tagged("lobby", &[("lobby", "boolean")]),
        ]),
    },
    Type {
        doc: "What happened in a room, and who did it; also the track `events`.",
        name: "RoomHappened",
        shape: Shape::Alias("{ seq: number; by?: string } & RoomWhat"),
    },
    Type {
        doc: "Who wants to come into a room, and how.",
        name: "Join",
        shape: Shape::Object(&[
            ("room", "string"),
            ("name?", "string"),
            ("pin?", "string"),
            ("key?", "string"),
            ("listen?", "boolean"),
        ]),
    },
    Type {
        doc: "What somebody in a room wants.",
        name: "RoomAct",
        shape: Shape::OneOf(&[
            Variant::Act("mute", &[PARTICIPANT, ("muted", "boolean")]),
            Variant::Act("mute_all", &[]),
            Variant::Act("hand", &[PARTICIPANT, ("raised", "boolean")]),
            Variant::Act("lock", &[("locked", "boolean")]),
            Variant::Act("lobby", &[("lobby", "boolean")]),
            Variant::Act("admit", &[PARTICIPANT]),
            Variant::Act("remove", &[PARTICIPANT]),
            Variant::Act("ban", &[PARTICIPANT]),
            Variant::Act("role", &[PARTICIPANT, ("role", "RoomRole")]),
            Variant::Act("level", &[PARTICIPANT, ("db", "number")]),
            Variant::Act("end", &[]),
            Variant::Act("hold", &[("held", "boolean")]),
            Variant::Act("dial", &[("number", "string")]),
            Variant::Act(
                "say",
                &[("text", "string"), ("to?", "string"), ("file?", "string")],
            ),
            Variant::Act("react", &[("emoji", "string")]),
            Variant::Act("quality", &[("mos", "number")]),
            Variant::Act("video", &[("camera", "boolean"), ("screen", "boolean")]),
        ]),
    },
    Type {
        doc: "What names a room to people.",
        name: "RoomView",
        shape: Shape::Object(&[
            ("id", "RoomId"),
            ("name", "string"),
            ("title?", "string"),
            ("number?", "string"),
        ]),
    },
    Type {
        doc: "Where somebody in a room publishes and whom to hear. No `seats`: each participant's own track.",
        name: "RoomMedia",
        shape: Shape::Object(&[
            ROOM,
            PARTICIPANT,
            ("namespace", "string[]"),
            ("token", "string"),
            ("seats", "number"),
            ("video", "boolean"),
            ("files?", "FilesTaken"),
        ]),
    },
    Type {
        doc: "Whether one is in a room or waits to be let in.",
        name: "PlaceState",
        shape: Shape::Words(&["here", "waiting"]),
    },
    Type {
        doc: "A file in a room: at `/api/v1/rooms/{room}/files/{id}` while the room is open.",
        name: "ChatFile",
        shape: Shape::Object(&[
            ("id", "string"),
            ("name", "string"),
            ("type", "string"),
            ("bytes", "number"),
        ]),
    },
    Type {
        doc: "What files a room takes: up to so many bytes, of these media types.",
        name: "FilesTaken",
        shape: Shape::Object(&[("bytes", "number"), ("types", "string[]")]),
    },
    Type {
        doc: "Something said in words: to all, or to one alone.",
        name: "ChatMessage",
        shape: Shape::Object(&[
            ("n", "number"),
            ("from", "string"),
            ("name", "string"),
            ("to?", "string"),
            ("text", "string"),
            ("file?", "ChatFile"),
            ("at_ms", "number"),
        ]),
    },
    Type {
        doc: "How far the call of a telephone into a room has come.",
        name: "DialState",
        shape: Shape::Words(&["calling", "ringing", "up", "ended"]),
    },
    Type {
        doc: "What `ok` carries for `join`. No `media` while waiting.",
        name: "Joined",
        shape: Shape::Object(&[
            ("room", "RoomView"),
            PARTICIPANT,
            ("key", "string"),
            ("role", "RoomRole"),
            ("state", "PlaceState"),
            ("media?", "RoomMedia"),
            ("roster", "Roster"),
            ("chat", "ChatMessage[]"),
        ]),
    },
    Type {
        doc: "The session to take over.",
        name: "Resume",
        shape: Shape::Object(&[("session", "string"), ("key", "string"), ("seq", "number")]),
    },
    Type {
        doc: "What a client wants; `id` is added by whoever sends it.",
        name: "Request",
        shape: Shape::OneOf(&[
            Variant::Tagged("register", &[("token", "string"), ("resume?", "Resume")]),
            Variant::Tagged("presence", &[("state", "OwnPresence")]),
            Variant::Wraps("rules", "Rules"),
            Variant::Tagged("call", &[("to", "string")]),
            Variant::Tagged("ringing", &[CALL]),
            Variant::Tagged("answer", &[CALL]),
            Variant::Tagged("reject", &[CALL]),
            Variant::Tagged("cancel", &[CALL]),
            Variant::Tagged("hangup", &[CALL]),
            Variant::Tagged("hold", &[CALL, ("held", "boolean")]),
            Variant::Tagged("mute", &[CALL, ("muted", "boolean")]),
            Variant::Tagged("dtmf", &[CALL, ("digits", "string")]),
            Variant::Tagged("transfer", &[CALL, ("to", "string")]),
            Variant::Tagged("park", &[CALL]),
            Variant::Tagged("connect", &[CALL, ("with", "CallId")]),
            Variant::Tagged("merge", &[CALL, ("with", "CallId")]),
            Variant::Wraps("join", "Join"),
            Variant::Tagged("leave", &[ROOM]),
            Variant::Tagged("room", &[ROOM, ("do", "RoomAct")]),
        ]),
    },
    Type {
        doc: "What the server allows a device.",
        name: "Limits",
        shape: Shape::Object(&[
            ("message_bytes", "number"),
            ("calls", "number"),
            ("ring_seconds", "number"),
            ("call_seconds", "number"),
            ("grace_seconds", "number"),
        ]),
    },
    Type {
        doc: "What `ok` carries for `register`.",
        name: "Registered",
        shape: Shape::Object(&[
            ("session", "string"),
            ("key", "string"),
            ("user", "string"),
            ("device", "string"),
            ("resumed", "boolean"),
            ("calls", "CallView[]"),
            ("presence", "Presence[]"),
            ("rules", "Rules"),
            ("messages", "boolean"),
            ("parked", "ParkedCall[]"),
            ("services", "Services"),
            ("limits", "Limits"),
        ]),
    },
    Type {
        doc: "Something that happened.",
        name: "Event",
        shape: Shape::OneOf(&[
            Variant::Wraps("presence", "Presence"),
            Variant::Tagged("incoming", &[CALL, ("from", "Party"), ("via?", "string")]),
            Variant::Tagged("ringing", &[CALL]),
            Variant::Tagged("early", &[CALL, ("media", "Media")]),
            Variant::Tagged("up", &[CALL, ("media", "Media")]),
            Variant::Tagged("held", &[CALL, ("held", "boolean"), ("by", "string")]),
            Variant::Tagged(
                "muted",
                &[CALL, ("participant", "string"), ("muted", "boolean")],
            ),
            Variant::Tagged(
                "dtmf",
                &[CALL, ("participant", "string"), ("digit", "string")],
            ),
            Variant::Tagged("transferring", &[CALL, ("by", "string"), ("to", "Party")]),
            Variant::Tagged(
                "transfer_failed",
                &[CALL, ("cause", "Cause"), ("reason", "string")],
            ),
            Variant::Tagged(
                "changed",
                &[
                    CALL,
                    ("now", "CallId"),
                    ("peer", "Party"),
                    ("media", "Media"),
                ],
            ),
            Variant::Tagged(
                "quality",
                &[
                    CALL,
                    ("participant", "string"),
                    ("from", "Heard"),
                    ("to", "Heard"),
                ],
            ),
            Variant::Tagged("diverted", &[CALL, ("to", "Party")]),
            Variant::Wraps("rules", "Rules"),
            Variant::Tagged("messages", &[("waiting", "boolean")]),
            Variant::Wraps("parked", "ParkedCall"),
            Variant::Tagged("unparked", &[("slot", "string")]),
            Variant::Tagged(
                "room_admitted",
                &[
                    ROOM,
                    ("key", "string"),
                    ("role", "RoomRole"),
                    ("media", "RoomMedia"),
                    ("roster", "Roster"),
                    ("chat", "ChatMessage[]"),
                ],
            ),
            Variant::Tagged(
                "room_media",
                &[
                    ROOM,
                    ("key", "string"),
                    ("role", "RoomRole"),
                    ("media", "RoomMedia"),
                ],
            ),
            Variant::Tagged("roster", &[ROOM, ("roster", "Roster")]),
            Variant::Tagged("room_event", &[ROOM, ("event", "RoomHappened")]),
            Variant::Tagged("chat", &[ROOM, ("message", "ChatMessage")]),
            Variant::Tagged("reaction", &[ROOM, ("from", "string"), ("emoji", "string")]),
            Variant::Tagged(
                "room_dial",
                &[
                    ROOM,
                    ("number", "string"),
                    ("state", "DialState"),
                    ("cause?", "Cause"),
                ],
            ),
            Variant::Tagged("room_left", &[ROOM, ("why", "RoomLeaving")]),
            Variant::Tagged("ended", &[CALL, ("cause", "Cause"), ("reason", "string")]),
        ]),
    },
    Type {
        doc: "An answer, or a word about the connection.",
        name: "Notice",
        shape: Shape::OneOf(&[
            Variant::Verbatim(
                "({ type: \"ok\"; id: number } & Partial<Registered> & Partial<Joined> & { call?: CallId })",
            ),
            Variant::Tagged(
                "refused",
                &[("id", "number"), ("code", "Code"), ("reason", "string")],
            ),
            Variant::Tagged("error", &[("code", "Code"), ("reason", "string")]),
            Variant::Tagged("ping", &[]),
            Variant::Tagged("bye", &[("reason", "string")]),
        ]),
    },
    Type {
        doc: "A message from the server.",
        name: "ServerMessage",
        shape: Shape::Alias("(Event & { seq: number }) | Notice"),
    },
];

#[cfg(test)]
mod tests;
