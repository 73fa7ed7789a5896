//! Datagrams of every draft: what was read can be written, and then reads the same.
//!
//! The first byte chooses the draft.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use moqrelay_moqt::{
    Draft, ObjectProperties,
    data::{Datagram, FetchHeader},
};

const DRAFTS: [Draft; 4] = [Draft::D18, Draft::D16, Draft::D14, Draft::D19];

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let draft = DRAFTS[usize::from(*first) % DRAFTS.len()];
    let _fetch = FetchHeader::peek(draft, data);
    if let Ok(Datagram::Object(object)) = Datagram::decode(draft, Bytes::copy_from_slice(data)) {
        let _properties = ObjectProperties::read(draft, &object.properties);
        let again = object.encode(draft).expect("what was read can be written");
        assert_eq!(Datagram::decode(draft, again), Ok(Datagram::Object(object)));
    }
});
