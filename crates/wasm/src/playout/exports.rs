//! The C interface of the playout: what `wasm/playout.ts` calls.

#![allow(
    unsafe_code,
    reason = "exported by name; nothing here dereferences a pointer"
)]

use std::cell::RefCell;

use super::{Mixer, Numbers, PUSH_SAMPLES_MAX};
use crate::border::{self, INVALID, OK, REFUSED, UNKNOWN};

#[derive(Default)]
struct Instance {
    mixer: Mixer,
    pushed: Vec<f32>,
    numbers: Numbers,
}

thread_local! {
    static INSTANCE: RefCell<Instance> = RefCell::default();
}

/// Forgets all peers.
#[unsafe(no_mangle)]
pub extern "C" fn playout_reset() {
    INSTANCE.with_borrow_mut(|instance| *instance = Instance::default());
}

/// Adds a peer.
#[unsafe(no_mangle)]
pub extern "C" fn playout_add(peer: u32) -> i32 {
    INSTANCE.with_borrow_mut(|instance| {
        if instance.mixer.add(peer) {
            OK
        } else {
            REFUSED
        }
    })
}

/// Stops hearing a peer.
#[unsafe(no_mangle)]
pub extern "C" fn playout_remove(peer: u32) {
    INSTANCE.with_borrow_mut(|instance| instance.mixer.remove(peer));
}

/// Makes a peer softer or louder; 1 is as it comes.
#[unsafe(no_mangle)]
pub extern "C" fn playout_gain(peer: u32, gain: f32) -> i32 {
    INSTANCE.with_borrow_mut(|instance| {
        if instance.mixer.set_gain(peer, gain) {
            OK
        } else {
            UNKNOWN
        }
    })
}

/// Takes `samples` floats of a peer from the input; the first belongs at `at` of the peer's clock.
/// They arrived at `frame` of ours.
#[unsafe(no_mangle)]
pub extern "C" fn playout_push(peer: u32, at: f64, samples: u32, frame: f64) -> i32 {
    if samples as usize > PUSH_SAMPLES_MAX {
        return INVALID;
    }
    INSTANCE.with_borrow_mut(|Instance { mixer, pushed, .. }| {
        pushed.clear();
        if !border::floats(samples, |numbers| pushed.extend(numbers)) {
            return INVALID;
        }
        // A float to integer cast saturates and maps NaN to 0.
        match mixer.push(peer, at as u64, pushed, frame as u64) {
            Some(_) => OK,
            None => UNKNOWN,
        }
    })
}

/// Takes a peer's word that it is silent from `at` of its clock on.
#[unsafe(no_mangle)]
pub extern "C" fn playout_pause(peer: u32, at: f64) -> i32 {
    // A float to integer cast saturates and maps NaN to 0.
    INSTANCE.with_borrow_mut(|instance| {
        if instance.mixer.pause(peer, at as u64) {
            OK
        } else {
            UNKNOWN
        }
    })
}

/// Returns the `samples` floats to play from `frame` on; at most 4096. Valid until the next call.
#[unsafe(no_mangle)]
pub extern "C" fn playout_render(samples: u32, frame: f64) -> *const f32 {
    INSTANCE.with_borrow_mut(|instance| {
        let sum = instance.mixer.render(samples as usize, frame as u64);
        if sum.len() == samples as usize {
            sum.as_ptr()
        } else {
            core::ptr::null()
        }
    })
}

/// Returns a peer's level since the last call, dB.
#[unsafe(no_mangle)]
pub extern "C" fn playout_level(peer: u32) -> f64 {
    INSTANCE.with_borrow_mut(|instance| instance.mixer.level(peer))
}

/// Returns 1 once anything of a peer was played, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn playout_heard(peer: u32) -> u32 {
    INSTANCE.with_borrow(|instance| instance.mixer.is_heard(peer).into())
}

/// Returns a peer's numbers (see [`Numbers`]), or null. Valid until the next call.
#[unsafe(no_mangle)]
pub extern "C" fn playout_stats(peer: u32) -> *const f64 {
    INSTANCE.with_borrow_mut(|instance| {
        let Some(numbers) = instance.mixer.numbers(peer) else {
            return core::ptr::null();
        };
        instance.numbers = numbers;
        instance.numbers.as_ptr()
    })
}
