//! The C interface of a session: what `wasm/session.ts` calls.
//!
//! Tracks are given as fields in the input buffer (see [`Reader`]): the token, the track's name,
//! then the fields of its namespace.

#![allow(
    unsafe_code,
    reason = "exported by name; nothing here dereferences a pointer"
)]

use core::time::Duration;
use std::cell::RefCell;

use moqrelay_moqt::{FullTrackName, Namespace};

use super::{CallError, Client, Content, Offer, Record, Via, Wire};
use crate::border::{self, INVALID, OK, REFUSED, Reader, UNKNOWN};

#[derive(Default)]
struct Instance {
    client: Option<Client>,
    /// The record that JavaScript looks at, and its description.
    shown: Option<(Record, Box<Wire>)>,
    counts: [f64; 2],
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
    attempt(|client| client.subscribe(key, offer, time(rendezvous)))
}

/// Publishes the track in the input as `key`, from `group` on; `stream` other than 0: not by
/// datagrams; `timestamps` other than 0: objects will have them.
#[unsafe(no_mangle)]
pub extern "C" fn session_publish(
    key: u32,
    len_bytes: u32,
    group: f64,
    stream: u32,
    voice: u32,
) -> i32 {
    let Some(offer) = offer(len_bytes) else {
        return INVALID;
    };
    let content = if voice == 0 {
        Content::Other
    } else {
        Content::Voice
    };
    // A float to integer cast saturates and maps NaN to 0.
    attempt(|client| client.publish(key, offer, group as u64, via(stream), content))
}

/// Ends a track.
#[unsafe(no_mangle)]
pub extern "C" fn session_end(key: u32) -> i32 {
    attempt(|client| client.end(key))
}

/// Sends the Opus packet in the input; `at` in 1/48000 s, `level` as in RFC 6464.
#[unsafe(no_mangle)]
pub extern "C" fn session_voice(key: u32, at: f64, level: u32, len_bytes: u32) -> i32 {
    let Some(payload) = border::bytes(len_bytes) else {
        return INVALID;
    };
    attempt(|client| client.voice(key, at as u64, level as u8, payload))
}

/// Sends the input as a group of one object.
#[unsafe(no_mangle)]
pub extern "C" fn session_single(key: u32, len_bytes: u32) -> i32 {
    let Some(payload) = border::bytes(len_bytes) else {
        return INVALID;
    };
    attempt(|client| client.single(key, payload))
}

/// Changes how the objects of a track go out.
#[unsafe(no_mangle)]
pub extern "C" fn session_via(key: u32, stream: u32) -> i32 {
    with(|client| client.set_via(key, via(stream)))
}

/// Returns the group of the next object of a track that goes out, or -1.
#[unsafe(no_mangle)]
pub extern "C" fn session_group(key: u32) -> f64 {
    INSTANCE.with_borrow(|instance| {
        let group = instance
            .client
            .as_ref()
            .and_then(|client| client.group(key));
        group.map_or(-1.0, |group| group as f64)
    })
}

/// Returns two numbers: objects that came, objects that are missing; null for an unknown track.
#[unsafe(no_mangle)]
pub extern "C" fn session_counts(key: u32) -> *const f64 {
    INSTANCE.with_borrow_mut(|instance| {
        let Some((received, lost)) = instance
            .client
            .as_ref()
            .and_then(|client| client.counts(key))
        else {
            return core::ptr::null();
        };
        instance.counts = [received as f64, lost as f64];
        instance.counts.as_ptr()
    })
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
    INSTANCE.with_borrow_mut(|instance| match instance.client.as_mut().map(call) {
        Some(Ok(())) => OK,
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

fn via(stream: u32) -> Via {
    if stream == 0 {
        Via::Datagram
    } else {
        Via::Stream
    }
}

/// Ms since any start as a duration; what makes no sense is zero.
fn time(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default()
}
