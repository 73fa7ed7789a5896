//! RTP and RTCP: refused or read, and what was read is written the same.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use moqrelay_wire::rtp::{Packet, Reports};

fuzz_target!(|data: &[u8]| {
    if let Ok(packet) = Packet::decode(&Bytes::copy_from_slice(data)) {
        let mut out = BytesMut::new();
        packet.encode(&mut out);
        assert_eq!(Packet::decode(&out.freeze()), Ok(packet));
    }
    if let Ok(reports) = Reports::decode(data) {
        let mut out = BytesMut::new();
        reports.encode("fuzz", &mut out);
        assert_eq!(Reports::decode(&out), Ok(reports));
    }
});
