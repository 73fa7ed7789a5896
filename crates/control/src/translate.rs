//! The words of the wire into those of the switchboard, and back.

use std::time::{Duration, Instant};

use moqrelay_room as room;
use moqrelay_room::conference::{Action, Denied, Role, Shown};
use moqrelay_wire::{conference as wire, signal};

use crate::random;

/// Makes the token with which a participant publishes into a room and hears it.
pub(crate) type Mint<'a> = &'a dyn Fn(room::CallId, room::ParticipantId) -> String;

/// Returns what the switchboard is asked, and the call that it would begin; `None` for `register`,
/// and what concerns rooms, which is not the switchboard's to read.
pub(crate) fn request(request: signal::Request) -> Option<(room::Request, Option<signal::CallId>)> {
    let call = |call: signal::CallId| room::CallId(call.0);
    Some((
        match request {
            signal::Request::Register { .. }
            | signal::Request::Join(_)
            | signal::Request::Leave { .. }
            | signal::Request::Room { .. } => return None,
            signal::Request::Presence { state } => room::Request::Presence(own_presence(state)),
            signal::Request::Rules(wanted) => room::Request::Rules(wanted_rules(wanted)),
            signal::Request::Park { call: id } => room::Request::Park(call(id)),
            signal::Request::Call { to } => {
                let new = random::id();
                let request = room::Request::Call {
                    call: room::CallId(new),
                    to,
                };
                return Some((request, Some(signal::CallId(new))));
            }
            signal::Request::Ringing { call: id } => room::Request::Ringing(call(id)),
            signal::Request::Answer { call: id } => room::Request::Answer(call(id)),
            signal::Request::Reject { call: id } => room::Request::Reject(call(id)),
            signal::Request::Cancel { call: id } => room::Request::Cancel(call(id)),
            signal::Request::Hangup { call: id } => room::Request::Hangup(call(id)),
            signal::Request::Hold { call: id, held } => room::Request::Hold(call(id), held),
            signal::Request::Mute { call: id, muted } => room::Request::Mute(call(id), muted),
            signal::Request::Dtmf { call: id, digits } => {
                // Both sides know the same sixteen digits, so none is lost here.
                let digit = |digit| room::Digit::new(digit).ok();
                let digits = digits.as_str().chars().filter_map(digit).collect();
                room::Request::Dtmf(call(id), digits)
            }
            signal::Request::Transfer { call: id, to } => {
                let call = call(id);
                room::Request::Transfer { call, to }
            }
            signal::Request::Connect { call: id, with } => {
                let (call, with) = (call(id), call(with));
                room::Request::Connect { call, with }
            }
            signal::Request::Merge { call: id, with } => {
                let (call, with) = (call(id), call(with));
                room::Request::Merge { call, with }
            }
        },
        None,
    ))
}

/// Returns what a device is told.
pub(crate) fn event(event: room::Event, mint: Mint<'_>) -> signal::Event {
    let id = |call: room::CallId| signal::CallId(call.0);
    match event {
        room::Event::Presence(presence) => signal::Event::Presence(user_presence(presence)),
        room::Event::Incoming { call, from, via } => signal::Event::Incoming {
            call: id(call),
            from: party(from),
            via,
        },
        room::Event::Ringing(call) => signal::Event::Ringing { call: id(call) },
        room::Event::Early { call, media: from } => signal::Event::Early {
            call: id(call),
            media: media(call, from, mint),
        },
        room::Event::Up { call, media: from } => signal::Event::Up {
            call: id(call),
            media: media(call, from, mint),
        },
        room::Event::Held { call, held, by } => signal::Event::Held {
            call: id(call),
            held,
            by: by.to_string(),
        },
        room::Event::Muted {
            call,
            participant,
            muted,
        } => {
            let participant = participant.to_string();
            signal::Event::Muted {
                call: id(call),
                participant,
                muted,
            }
        }
        room::Event::Dtmf {
            call,
            participant,
            digit,
        } => {
            let (participant, digit) = (participant.to_string(), digit.as_char());
            signal::Event::Dtmf {
                call: id(call),
                participant,
                digit,
            }
        }
        room::Event::Transferring { call, by, to } => signal::Event::Transferring {
            call: id(call),
            by: by.to_string(),
            to: party(to),
        },
        room::Event::TransferFailed { call, cause: why } => {
            let (cause, reason) = cause(why);
            signal::Event::TransferFailed {
                call: id(call),
                cause,
                reason: reason.to_owned(),
            }
        }
        room::Event::Changed {
            call,
            now,
            peer,
            media: from,
        } => signal::Event::Changed {
            call: id(call),
            now: id(now),
            peer: party(peer),
            media: media(now, from, mint),
        },
        room::Event::Diverted { call, to } => signal::Event::Diverted {
            call: id(call),
            to: party(to),
        },
        room::Event::Rules(kept) => signal::Event::Rules(rules(kept)),
        room::Event::Messages(waiting) => signal::Event::Messages { waiting },
        room::Event::Line(view) => signal::Event::Presence(line(view)),
        room::Event::Parked(call) => signal::Event::Parked(parked_call(call)),
        room::Event::Unparked { slot } => signal::Event::Unparked { slot },
        room::Event::Ended { call, cause: why } => {
            let (cause, reason) = cause(why);
            signal::Event::Ended {
                call: id(call),
                cause,
                reason: reason.to_owned(),
            }
        }
    }
}

/// Returns the calls that are alive on a device.
pub(crate) fn calls(
    views: Vec<room::CallView>,
    now: Instant,
    mint: Mint<'_>,
) -> Vec<signal::CallView> {
    views
        .into_iter()
        .map(|view| call_view(view, now, mint))
        .collect()
}

/// Returns every user known, and the telephones that are shown.
pub(crate) fn presence(
    presence: Vec<room::UserPresence>,
    lines: Vec<room::LineView>,
) -> Vec<signal::Presence> {
    let users = presence.into_iter().map(user_presence);
    users.chain(lines.into_iter().map(line)).collect()
}

/// Returns the calls that are parked.
pub(crate) fn parked(calls: Vec<room::ParkedCall>) -> Vec<signal::ParkedCall> {
    calls.into_iter().map(parked_call).collect()
}

/// Returns what a user wants done with calls.
pub(crate) fn rules(rules: room::Rules) -> signal::Rules {
    let target = |to: Option<room::Forward>| to.map(|to| to.as_str().to_owned());
    signal::Rules {
        undisturbed: rules.undisturbed,
        always: target(rules.always),
        busy: target(rules.busy),
        no_answer: target(rules.no_answer),
        after_s: u32::try_from(rules.after.as_secs()).unwrap_or(u32::MAX),
    }
}

fn wanted_rules(rules: signal::Rules) -> room::Rules {
    // What cannot be shown is nobody's name or number.
    let target = |to: Option<String>| to.and_then(|to| room::Forward::new(&to));
    room::Rules {
        undisturbed: rules.undisturbed,
        always: target(rules.always),
        busy: target(rules.busy),
        no_answer: target(rules.no_answer),
        after: Duration::from_secs(u64::from(rules.after_s)),
    }
}

fn parked_call(call: room::ParkedCall) -> signal::ParkedCall {
    signal::ParkedCall {
        slot: call.slot,
        who: party(call.who),
        by: party(call.by),
    }
}

/// A telephone is shown like a user whose id is its number.
fn line(view: room::LineView) -> signal::Presence {
    let number = view.line.number.as_str().to_owned();
    signal::Presence {
        user: number.clone(),
        name: view.line.name,
        number: Some(number),
        state: match view.state {
            room::LineState::Available => signal::PresenceState::Available,
            room::LineState::Ringing => signal::PresenceState::Ringing,
            room::LineState::Busy => signal::PresenceState::Busy,
            room::LineState::Offline => signal::PresenceState::Offline,
        },
        kind: Some(signal::PartyKind::Phone),
    }
}

/// Returns the code of a refusal.
pub(crate) fn code(reason: room::Reason) -> signal::Code {
    match reason {
        room::Reason::NotRegistered => signal::Code::NotRegistered,
        room::Reason::AlreadyRegistered => signal::Code::AlreadyRegistered,
        room::Reason::BadRequest => signal::Code::BadMessage,
        room::Reason::NotFound => signal::Code::NotFound,
        room::Reason::Offline => signal::Code::Offline,
        room::Reason::Busy => signal::Code::Busy,
        room::Reason::NoSuchCall => signal::Code::NoSuchCall,
        room::Reason::WrongState => signal::Code::WrongState,
        room::Reason::Forbidden => signal::Code::Forbidden,
        room::Reason::NoRoute => signal::Code::NoRoute,
        room::Reason::Blocked => signal::Code::Blocked,
        room::Reason::TrunkDown => signal::Code::TrunkDown,
        room::Reason::TooMany => signal::Code::TooMany,
        room::Reason::ShuttingDown => signal::Code::ShuttingDown,
    }
}

/// Returns what somebody in a room, or an operator, wants; `None`: that is no action.
///
/// # Errors
///
/// When it names no participant.
pub fn action(act: &signal::Act) -> Result<Option<Action>, Denied> {
    use signal::Act;
    let whom = |text: &str| participant(text).ok_or(Denied::NoSuchParticipant);
    Ok(Some(match act {
        Act::Mute { participant, muted } => Action::Mute(whom(participant)?, *muted),
        Act::MuteAll {} => Action::MuteAll,
        Act::Hand {
            participant,
            raised,
        } => Action::Hand(whom(participant)?, *raised),
        Act::Lock { locked } => Action::Lock(*locked),
        Act::Lobby { lobby } => Action::Lobby(*lobby),
        Act::Admit { participant } => Action::Admit(whom(participant)?),
        Act::Remove { participant } => Action::Remove(whom(participant)?),
        Act::Ban { participant } => Action::Ban(whom(participant)?),
        Act::Role { participant, role } => Action::Role(whom(participant)?, room_role(*role)),
        Act::Level { participant, db } => Action::Level(whom(participant)?, *db),
        Act::End {} => Action::End,
        Act::Hold { held } => Action::Hold(*held),
        Act::Video { camera, screen } => Action::Show(Shown {
            camera: *camera,
            screen: *screen,
        }),
        Act::Dial { .. } | Act::Say { .. } | Act::React { .. } | Act::Quality { .. } => {
            return Ok(None);
        }
    }))
}

/// Reads the name of a participant: `p1`, `p2`, ….
pub fn participant(text: &str) -> Option<room::ParticipantId> {
    let number = text.strip_prefix('p')?;
    let plain = !number.starts_with(['0', '+']) && !number.is_empty();
    plain.then(|| number.parse().ok().map(room::ParticipantId))?
}

fn room_role(role: wire::Role) -> Role {
    match role {
        wire::Role::Host => Role::Host,
        wire::Role::Speaker => Role::Speaker,
        wire::Role::Listener => Role::Listener,
        wire::Role::Recorder => Role::Recorder,
    }
}

/// Returns the code of what a conference denies.
pub(crate) fn denied(denied: Denied) -> signal::Code {
    match denied {
        Denied::NoSuchRoom | Denied::NotIn | Denied::BadName => signal::Code::NoSuchRoom,
        Denied::PinWanted => signal::Code::PinRequired,
        Denied::WrongPin | Denied::BadPin => signal::Code::PinWrong,
        Denied::TooManyTries | Denied::TooFast => signal::Code::RateLimited,
        Denied::Locked => signal::Code::Locked,
        Denied::Full => signal::Code::Full,
        Denied::Banned => signal::Code::Banned,
        Denied::NotHost => signal::Code::NotHost,
        Denied::NoSuchParticipant | Denied::NoSuchFile => signal::Code::NotFound,
        Denied::AlreadyIn | Denied::WrongState => signal::Code::WrongState,
        Denied::NothingToShow => signal::Code::BadMessage,
        Denied::Taken => signal::Code::Busy,
        Denied::TooManyRooms | Denied::FileTooLong => signal::Code::TooMany,
        Denied::ShuttingDown => signal::Code::ShuttingDown,
        _ => signal::Code::Internal,
    }
}

fn call_view(view: room::CallView, now: Instant, mint: Mint<'_>) -> signal::CallView {
    let names = |ids: Vec<room::ParticipantId>| ids.iter().map(ToString::to_string).collect();
    let (state, up_ms) = match view.progress {
        room::Progress::Calling => (signal::CallState::Calling, None),
        room::Progress::Ringing => (signal::CallState::Ringing, None),
        room::Progress::Early => (signal::CallState::Early, None),
        room::Progress::Up { since } => {
            let up = now.saturating_duration_since(since).as_millis();
            (
                signal::CallState::Up,
                Some(u64::try_from(up).unwrap_or(u64::MAX)),
            )
        }
    };
    signal::CallView {
        call: signal::CallId(view.call.0),
        direction: match view.direction {
            room::Direction::In => signal::Direction::In,
            room::Direction::Out => signal::Direction::Out,
        },
        state,
        peer: party(view.peer),
        held_by: names(view.held_by),
        muted: names(view.muted),
        up_ms,
        media: view.media.map(|from| media(view.call, from, mint)),
        transferring: view.transferring.map(|transfer| signal::Transferring {
            by: transfer.by.to_string(),
            to: party(transfer.to),
        }),
        via: view.via,
    }
}

fn media(call: room::CallId, from: room::Media, mint: Mint<'_>) -> signal::Media {
    let namespace = |participant: room::ParticipantId| {
        vec!["room".to_owned(), call.to_string(), participant.to_string()]
    };
    let peer = |peer: room::Peer| signal::Peer {
        participant: peer.participant.to_string(),
        namespace: namespace(peer.participant),
        name: peer.name,
        kind: kind(peer.kind),
    };
    signal::Media {
        room: signal::CallId(call.0),
        participant: from.participant.to_string(),
        namespace: namespace(from.participant),
        token: mint(call, from.participant),
        peers: from.peers.into_iter().map(peer).collect(),
    }
}

fn party(party: room::Party) -> signal::Party {
    let room::Party {
        id,
        name,
        number,
        kind: of,
    } = party;
    signal::Party {
        id,
        name,
        number,
        kind: kind(of),
    }
}

fn kind(kind: room::PartyKind) -> signal::PartyKind {
    match kind {
        room::PartyKind::Browser => signal::PartyKind::Browser,
        room::PartyKind::Phone => signal::PartyKind::Phone,
        room::PartyKind::Service => signal::PartyKind::Service,
    }
}

fn user_presence(presence: room::UserPresence) -> signal::Presence {
    let room::UserPresence { user, state } = presence;
    signal::Presence {
        user: user.id.as_str().to_owned(),
        name: user.name,
        number: user.number.map(|number| number.as_str().to_owned()),
        state: match state {
            room::Presence::Available => signal::PresenceState::Available,
            room::Presence::Busy => signal::PresenceState::Busy,
            room::Presence::Away => signal::PresenceState::Away,
            room::Presence::Offline => signal::PresenceState::Offline,
        },
        kind: None,
    }
}

fn own_presence(state: signal::OwnPresence) -> room::OwnPresence {
    match state {
        signal::OwnPresence::Available => room::OwnPresence::Available,
        signal::OwnPresence::Busy => room::OwnPresence::Busy,
        signal::OwnPresence::Away => room::OwnPresence::Away,
    }
}

fn cause(cause: room::Cause) -> (signal::Cause, &'static str) {
    match cause {
        room::Cause::Normal => (signal::Cause::Normal, "hung up"),
        room::Cause::Cancelled => (signal::Cause::Cancelled, "the caller gave up"),
        room::Cause::Rejected => (signal::Cause::Rejected, "declined"),
        room::Cause::Busy => (signal::Cause::Busy, "busy"),
        room::Cause::NoAnswer => (signal::Cause::NoAnswer, "nobody answered"),
        room::Cause::NotFound => (signal::Cause::NotFound, "nobody has that number"),
        room::Cause::Unreachable => (signal::Cause::Unreachable, "cannot be reached now"),
        room::Cause::AnsweredElsewhere => (
            signal::Cause::AnsweredElsewhere,
            "answered on another device",
        ),
        room::Cause::Lost => (signal::Cause::Lost, "the connection was lost"),
        room::Cause::Transferred => (signal::Cause::Transferred, "somebody else has taken over"),
        room::Cause::TooLong => (signal::Cause::TooLong, "the longest duration was reached"),
        room::Cause::Failed => (signal::Cause::Failed, "something broke on the way"),
        room::Cause::Shutdown => (signal::Cause::Shutdown, "the server is going down"),
    }
}
