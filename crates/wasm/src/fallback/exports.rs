//! The C interface of the fallback: what `wasm/fallback.ts` calls.

#![allow(
    unsafe_code,
    reason = "exported by name; nothing here dereferences a pointer"
)]

use std::cell::RefCell;

use moqrelay_moqt::Direction;
use moqrelay_moqt::qmux::Subprotocol;

use super::Fallback;
use crate::border::{self, INVALID, OK, UNKNOWN, YES, time};
use crate::session::{Kind, Record, Wire};

#[derive(Default)]
struct Instance {
    fallback: Option<Fallback>,
    /// The record that JavaScript looks at, and its description.
    shown: Option<(Record, Box<Wire>)>,
}

thread_local! {
    static INSTANCE: RefCell<Instance> = RefCell::default();
}

/// Begins a connection; the input is the WebSocket's subprotocol, `now` in ms.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_new(len_bytes: u32, now: f64) -> i32 {
    let Some(name) = border::bytes(len_bytes) else {
        return INVALID;
    };
    let version = core::str::from_utf8(&name)
        .ok()
        .and_then(Subprotocol::parse)
        .map(|protocol| protocol.version);
    let Some(version) = version else {
        return INVALID;
    };
    INSTANCE.with_borrow_mut(|instance| {
        instance.shown = None;
        instance.fallback = Some(Fallback::new(version, time(now)));
    });
    OK
}

/// Returns what came, or null. Valid until the next call.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_poll() -> *const Wire {
    show(|fallback| fallback.poll())
}

/// Returns the next message for the socket as a record, or null. Valid until the next call.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_transmit(now: f64) -> *const Wire {
    show(|fallback| {
        let message = fallback.poll_transmit(time(now))?;
        Some(Record::new(Kind::Message, 0).bytes(message))
    })
}

/// Returns when `fallback_timeout` must be called, in ms; infinity: never.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_deadline() -> f64 {
    let deadline = INSTANCE.with_borrow(|instance| instance.fallback.as_ref()?.poll_timeout());
    deadline.map_or(f64::INFINITY, |deadline| deadline.as_secs_f64() * 1e3)
}

/// Does what is due.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_timeout(now: f64) -> i32 {
    with(|fallback| fallback.handle_timeout(time(now)))
}

/// Takes a message of the socket.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_message(len_bytes: u32, now: f64) -> i32 {
    with_bytes(len_bytes, |fallback, bytes| {
        fallback.handle_message(bytes, time(now));
    })
}

/// The socket is gone.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_lost() -> i32 {
    with(Fallback::handle_lost)
}

/// Opens a stream; `both` other than 0: a bidirectional one.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_open(id: u32, both: u32) -> i32 {
    let direction = if both == 0 {
        Direction::Uni
    } else {
        Direction::Bi
    };
    with(|fallback| fallback.open(id, direction))
}

/// Opens a unidirectional stream for pictures: the others go before it.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_open_bulk(id: u32) -> i32 {
    with(|fallback| fallback.open_bulk(id))
}

/// Sends the input on a stream.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_write(id: u32, len_bytes: u32) -> i32 {
    with_bytes(len_bytes, |fallback, bytes| fallback.write(id, bytes))
}

/// Ends a stream after what was written.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_finish(id: u32) -> i32 {
    with(|fallback| fallback.finish(id))
}

/// Gives a stream up.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_reset(id: u32, code: u32) -> i32 {
    with(|fallback| fallback.reset(id, code))
}

/// Wants no more of a stream.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_stop(id: u32, code: u32) -> i32 {
    with(|fallback| fallback.stop(id, code))
}

/// Sends the input as a datagram; 1: it will be sent, unless it waits too long.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_datagram(len_bytes: u32, now: f64) -> i32 {
    let mut sent = false;
    let done = with_bytes(len_bytes, |fallback, bytes| {
        sent = fallback.datagram(bytes, time(now));
    });
    if sent { YES } else { done }
}

/// Returns the largest payload of a datagram, or 0.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_datagram_max() -> u32 {
    number(|fallback| fallback.datagram_bytes_max() as u32)
}

/// Returns how many bytes wait on the stream where most wait, those of pictures left out.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_waiting() -> u32 {
    number(|fallback| fallback.waiting_bytes_max() as u32)
}

/// Returns how many bytes wait on all streams of pictures.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_bulk_waiting() -> u32 {
    number(|fallback| fallback.bulk_waiting_bytes() as u32)
}

/// Returns the round trip in ms, or -1.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_round_trip() -> f64 {
    let round_trip = INSTANCE.with_borrow(|instance| instance.fallback.as_ref()?.round_trip());
    round_trip.map_or(-1.0, |time| time.as_secs_f64() * 1e3)
}

/// Ends the connection; the input says why. The next message tells the relay.
#[unsafe(no_mangle)]
pub extern "C" fn fallback_close(code: u32, len_bytes: u32) -> i32 {
    with_bytes(len_bytes, |fallback, reason| {
        fallback.close(code, &String::from_utf8_lossy(&reason));
    })
}

fn show(next: impl FnOnce(&mut Fallback) -> Option<Record>) -> *const Wire {
    INSTANCE.with_borrow_mut(|instance| {
        let record = instance.fallback.as_mut().and_then(next);
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

fn with(call: impl FnOnce(&mut Fallback)) -> i32 {
    INSTANCE.with_borrow_mut(|instance| match &mut instance.fallback {
        Some(fallback) => {
            call(fallback);
            OK
        }
        None => UNKNOWN,
    })
}

fn with_bytes(len_bytes: u32, call: impl FnOnce(&mut Fallback, bytes::Bytes)) -> i32 {
    match border::bytes(len_bytes) {
        Some(bytes) => with(|fallback| call(fallback, bytes)),
        None => INVALID,
    }
}

fn number(of: impl FnOnce(&Fallback) -> u32) -> u32 {
    INSTANCE.with_borrow(|instance| instance.fallback.as_ref().map_or(0, of))
}
