//! The C interface of a session: what `wasm/session.ts` calls.
//!
//! Tracks are given as fields in the input buffer (see [`Reader`]): the token, the track's name,
//! then the fields of its namespace.

#![allow(
    unsafe_code,
    reason = "exported by name; nothing here dereferences a pointer"
)]

use std::cell::RefCell;

use moqrelay_moqt::{FullTrackName, Location, Namespace};
use moqrelay_wire::video_object::Marking;

use super::{CallError, Client, Content, Offer, Picture, Record, Urgency, Via, Wire, Wish};
use crate::border::{self, INVALID, OK, REFUSED, Reader, UNKNOWN, YES, time};

#[derive(Default)]
struct Instance {
    client: Option<Client>,
    /// The record that JavaScript looks at, and its description.
    shown: Option<(Record, Box<Wire>)>,
}

thread_local! {
    static INSTANCE: RefCell<Instance> = RefCell::default();
}

/// Begins a session; the input is the token for SETUP, `now` in ms.
#[unsafe(no_mangle)]
pub extern "C" fn session_new(token_len_bytes: u32, now: f64) -> i32 {
    let Some(token) = border::bytes(token_len_bytes) else {
        return INVALID;
    };
    INSTANCE.with_borrow_mut(|instance| {
        instance.shown = None;
        instance.client = Some(Client::new(&token, time(now)));
    });
    OK
}

/// Returns the next record, or null. Valid until the next call.
#[unsafe(no_mangle)]
pub extern "C" fn session_poll() -> *const Wire {
    INSTANCE.with_borrow_mut(|instance| {
        let record = instance.client.as_mut().and_then(Client::poll);
        instance.shown = record.map(|record| {
            let wire = Box::new(Wire::of(&record));
            (record, wire)
        });
        match &instance.shown {
            Some((_, wire)) => &raw const **wire,
            None => core::ptr::null(),
        }
    })
}

/// Returns when `session_timeout` must be called, in ms; infinity: never.
#[unsafe(no_mangle)]
pub extern "C" fn session_deadline() -> f64 {
    let deadline = INSTANCE.with_borrow(|instance| instance.client.as_ref()?.poll_timeout());
    deadline.map_or(f64::INFINITY, |deadline| deadline.as_secs_f64() * 1e3)
}

/// Does what is due.
#[unsafe(no_mangle)]
pub extern "C" fn session_timeout(now: f64) -> i32 {
    with(|client| client.handle_timeout(time(now)))
}

/// Names a bidirectional stream that the relay opened.
#[unsafe(no_mangle)]
pub extern "C" fn session_accept_bi() -> u32 {
    INSTANCE.with_borrow_mut(|instance| instance.client.as_mut().map_or(0, Client::accept_bi))
}

/// Names a unidirectional stream that the relay opened.
#[unsafe(no_mangle)]
pub extern "C" fn session_accept_uni() -> u32 {
    INSTANCE.with_borrow_mut(|instance| instance.client.as_mut().map_or(0, Client::accept_uni))
}

/// Takes bytes of a stream; `fin` other than 0: the last ones.
#[unsafe(no_mangle)]
pub extern "C" fn session_stream(id: u32, len_bytes: u32, fin: u32, now: f64) -> i32 {
    let Some(bytes) = border::bytes(len_bytes) else {
        return INVALID;
    };
    with(|client| client.handle_stream(id, bytes, fin != 0, time(now)))
}

/// The relay reset a stream.
#[unsafe(no_mangle)]
pub extern "C" fn session_reset(id: u32, code: u32, now: f64) -> i32 {
    with(|client| client.handle_reset(id, code, time(now)))
}

/// The relay stopped a stream of ours.
#[unsafe(no_mangle)]
pub extern "C" fn session_stop(id: u32, code: u32, now: f64) -> i32 {
    with(|client| client.handle_stop(id, code, time(now)))
}

/// Takes a datagram.
#[unsafe(no_mangle)]
pub extern "C" fn session_datagram(len_bytes: u32, now: f64) -> i32 {
    let Some(bytes) = border::bytes(len_bytes) else {
        return INVALID;
    };
    with(|client| client.handle_datagram(bytes, time(now)))
}

/// Subscribes to the track in the input as `key`; the relay may wait `rendezvous` ms for it.
#[unsafe(no_mangle)]
pub extern "C" fn session_subscribe(key: u32, len_bytes: u32, rendezvous: f64) -> i32 {
    let Some(offer) = offer(len_bytes) else {
        return INVALID;
    };
    attempt(|client| client.subscribe(key, offer, Wish::Voice, time(rendezvous)))
}

/// Subscribes to the pictures in the input as `key`, from a new group on; `priority`: the
/// subscriber's, lower goes first; older ones than `timeout` ms need not be sent.
#[unsafe(no_mangle)]
pub extern "C" fn session_watch(
    key: u32,
    len_bytes: u32,
    rendezvous: f64,
    priority: u32,
    timeout: f64,
) -> i32 {
    let Some(offer) = offer(len_bytes) else {
        return INVALID;
    };
    let wish = Wish::Pictures(Urgency {
        priority: u8::try_from(priority).unwrap_or(u8::MAX),
        timeout: time(timeout),
    });
    attempt(|client| client.subscribe(key, offer, wish, time(rendezvous)))
}

/// Subscribes to the track in the input as `key`, whatever its objects are.
#[unsafe(no_mangle)]
pub extern "C" fn session_follow(key: u32, len_bytes: u32, rendezvous: f64) -> i32 {
    let Some(offer) = offer(len_bytes) else {
        return INVALID;
    };
    attempt(|client| client.subscribe(key, offer, Wish::Objects, time(rendezvous)))
}

/// Asks the publisher of an incoming track for a new group, not below `group`.
#[unsafe(no_mangle)]
pub extern "C" fn session_ask_group(key: u32, group: f64) -> i32 {
    attempt(|client| client.ask_group(key, group as u64))
}

/// Publishes pictures as the track in the input, as `key`; `priority`: the publisher's.
#[unsafe(no_mangle)]
pub extern "C" fn session_show(key: u32, len_bytes: u32, priority: u32) -> i32 {
    let Some(offer) = offer(len_bytes) else {
        return INVALID;
    };
    let content = Content::Pictures(u8::try_from(priority).unwrap_or(u8::MAX));
    attempt(|client| client.publish(key, offer, Via::Stream, content))
}

/// Sends a picture: the input is a field with the decoder's configuration, and the picture; `at` in
/// 1/48000 s, `flags` as in `Kind::Picture`. Returns 1 when the relay wants it, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn session_picture(
    key: u32,
    group: f64,
    object: u32,
    at: f64,
    flags: u32,
    len_bytes: u32,
) -> i32 {
    let Some(mut reader) = border::bytes(len_bytes).map(Reader::new) else {
        return INVALID;
    };
    let Some(config) = reader.field() else {
        return INVALID;
    };
    let picture = Picture {
        at: at as u64,
        marking: Marking {
            independent: flags & 1 != 0,
            discardable: flags & 2 != 0,
        },
        config,
        payload: reader.into_rest(),
    };
    let place = Location::new(group as u64, object.into());
    answer(|client| client.picture(key, place, picture))
}

/// Gives up the group of pictures that is being sent.
#[unsafe(no_mangle)]
pub extern "C" fn session_give_up(key: u32) -> i32 {
    attempt(|client| client.give_up(key))
}

/// Publishes the track in the input as `key`; `stream` other than 0: not by datagrams; `voice`
/// other than 0: objects will have timestamps.
#[unsafe(no_mangle)]
pub extern "C" fn session_publish(key: u32, len_bytes: u32, stream: u32, voice: u32) -> i32 {
    let Some(offer) = offer(len_bytes) else {
        return INVALID;
    };
    let via = if stream == 0 {
        Via::Datagram
    } else {
        Via::Stream
    };
    let content = if voice == 0 {
        Content::Other
    } else {
        Content::Voice
    };
    attempt(|client| client.publish(key, offer, via, content))
}

/// Asks for objects of the past of the incoming track `of`, both ends included, to be told as `key`.
#[unsafe(no_mangle)]
pub extern "C" fn session_fetch(
    key: u32,
    of: u32,
    from_group: u64,
    from_object: u64,
    last_group: u64,
    last_object: u64,
) -> i32 {
    let from = Location::new(from_group, from_object);
    let last = Location::new(last_group, last_object);
    attempt(|client| client.fetch(key, of, from, last))
}

/// Ends a track, or a fetch.
#[unsafe(no_mangle)]
pub extern "C" fn session_end(key: u32) -> i32 {
    attempt(|client| client.end(key))
}

/// Sends the Opus packet in the input as an object; `at` in 1/48000 s, `level` as in RFC 6464.
/// Returns 1 when the relay wants objects now, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn session_voice(
    key: u32,
    group: f64,
    object: u32,
    at: f64,
    level: u32,
    len_bytes: u32,
) -> i32 {
    let Some(payload) = border::bytes(len_bytes) else {
        return INVALID;
    };
    // A float to integer cast saturates and maps NaN to 0.
    let place = Location::new(group as u64, object.into());
    answer(|client| client.voice(key, place, at as u64, level as u8, payload))
}

/// Sends the input as a group of one object. Returns as `session_voice`.
#[unsafe(no_mangle)]
pub extern "C" fn session_single(key: u32, group: f64, len_bytes: u32) -> i32 {
    let Some(payload) = border::bytes(len_bytes) else {
        return INVALID;
    };
    answer(|client| client.single(key, group as u64, payload))
}

/// Asks for the status of a track, to measure the round trip.
#[unsafe(no_mangle)]
pub extern "C" fn session_ping(key: u32, now: f64) -> i32 {
    attempt(|client| client.ping(key, time(now)))
}

fn with(call: impl FnOnce(&mut Client)) -> i32 {
    attempt(|client| {
        call(client);
        Ok(())
    })
}

fn attempt(call: impl FnOnce(&mut Client) -> Result<(), CallError>) -> i32 {
    answer(|client| call(client).map(|()| false))
}

/// Returns 1 or 0 for what was answered, negative numbers for errors.
fn answer(call: impl FnOnce(&mut Client) -> Result<bool, CallError>) -> i32 {
    INSTANCE.with_borrow_mut(|instance| match instance.client.as_mut().map(call) {
        Some(Ok(true)) => YES,
        Some(Ok(false)) => OK,
        None | Some(Err(CallError::Unknown)) => UNKNOWN,
        Some(Err(CallError::Invalid)) => INVALID,
        Some(Err(CallError::Refused)) => REFUSED,
    })
}

fn offer(len_bytes: u32) -> Option<Offer> {
    let mut reader = Reader::new(border::bytes(len_bytes)?);
    let token = reader.field()?;
    let name = reader.field()?;
    let namespace = Namespace::new(reader.rest()?).ok()?;
    Some(Offer {
        name: FullTrackName::new(namespace, name).ok()?,
        token,
    })
}
