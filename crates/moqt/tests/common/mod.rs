//! Arbitrary values of every kind of message, and an in-memory connection of two sessions.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub)]

pub mod arbitrary;
pub mod drafts;
pub mod pair;

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{Draft, FullTrackName, Message, Namespace};

pub const D19: Draft = Draft::D19;
pub const D18: Draft = Draft::D18;
pub const D16: Draft = Draft::D16;
pub const D14: Draft = Draft::D14;

/// Every draft that has tables, offered or not.
pub const DRAFTS: [Draft; 4] = [D19, D18, D16, D14];

pub fn namespace(fields: &[&'static str]) -> Namespace {
    Namespace::new(fields.iter().copied()).unwrap()
}

pub fn track(fields: &[&'static str], name: &'static str) -> FullTrackName {
    FullTrackName::new(namespace(fields), name).unwrap()
}

pub fn encode(message: &Message) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(D18, &mut out).unwrap();
    out.freeze()
}

/// A control message with a type below 64 and this payload.
pub fn frame(code: u8, payload: &[u8]) -> Vec<u8> {
    [
        &[code, 0, u8::try_from(payload.len()).unwrap()][..],
        payload,
    ]
    .concat()
}
