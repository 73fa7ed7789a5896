//! The C interface of the time lines: what `wasm/lines.ts` calls.

#![allow(
    unsafe_code,
    reason = "exported by name; nothing here dereferences a pointer"
)]

use std::cell::RefCell;

use super::{Lines, Packet};

#[derive(Default)]
struct Instance {
    lines: Lines,
    counts: [f64; 2],
}

thread_local! {
    static INSTANCE: RefCell<Instance> = RefCell::default();
}

/// Returns the place of a packet on a line, 1/48000 s, or -1 when it is not to be played. `stamp`:
/// its timestamp, negative: none; `ticks`: its duration, both in the same unit.
#[unsafe(no_mangle)]
pub extern "C" fn line_place(line: u32, group: u64, object: u64, stamp: f64, ticks: u32) -> f64 {
    let packet = Packet {
        group,
        object,
        // A float to integer cast saturates and maps NaN to 0.
        stamp: (stamp >= 0.0).then_some(stamp as u64),
        ticks,
    };
    let at = INSTANCE.with_borrow_mut(|instance| instance.lines.place(line, packet));
    at.map_or(-1.0, |at| at as f64)
}

/// Returns two numbers: objects that came, objects that are missing.
#[unsafe(no_mangle)]
pub extern "C" fn line_counts(line: u32) -> *const f64 {
    INSTANCE.with_borrow_mut(|instance| {
        let counts = instance.lines.counts(line);
        instance.counts = [counts.received as f64, counts.lost as f64];
        instance.counts.as_ptr()
    })
}

/// Forgets a line.
#[unsafe(no_mangle)]
pub extern "C" fn line_end(line: u32) {
    INSTANCE.with_borrow_mut(|instance| instance.lines.end(line));
}
