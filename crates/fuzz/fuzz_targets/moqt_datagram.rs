//! Datagrams: what was read can be written, and then reads the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use moqrelay_moqt::{
    Draft, ObjectProperties,
    data::{Datagram, FetchHeader},
};

fuzz_target!(|data: &[u8]| {
    let draft = Draft::D18;
    let _fetch = FetchHeader::peek(draft, data);
    if let Ok(Datagram::Object(object)) = Datagram::decode(draft, Bytes::copy_from_slice(data)) {
        let _properties = ObjectProperties::read(draft, &object.properties);
        let again = object.encode(draft).expect("what was read can be written");
        assert_eq!(Datagram::decode(draft, again), Ok(Datagram::Object(object)));
    }
});
