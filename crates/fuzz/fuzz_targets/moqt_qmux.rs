//! QMux records: whatever a peer sends, before and after it has introduced itself, is a value or ends its connection.
#![no_main]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use moqrelay_moqt::{
    Direction, Role,
    qmux::{Config, Frame, Mux, Parameters, Received, Version},
};

fuzz_target!(|data: &[u8]| {
    let [first, data @ ..] = data else {
        return;
    };
    let role = match first & 1 {
        0 => Role::Client,
        _ => Role::Server,
    };
    let mut mux = Mux::new(role, Version::V02, Config::default(), Duration::ZERO);
    if first & 2 != 0 {
        mux.handle_message(introduction(), Duration::ZERO);
    }
    // Records of a length that the input chooses.
    let size = usize::from(first >> 2) + 1;
    for (step, record) in (0_u64..).zip(data.chunks(size)) {
        let now = Duration::from_millis(step);
        mux.handle_message(Bytes::copy_from_slice(record), now);
        use_it(&mut mux, now);
    }
});

/// What a session does with a connection.
fn use_it(mux: &mut Mux, now: Duration) {
    for direction in [Direction::Bi, Direction::Uni] {
        if let Some(key) = mux.open(direction) {
            let _written = mux.write(key, &mut [Bytes::from_static(b"hello")]);
            mux.release_send(key);
            mux.release_recv(key);
        }
        while let Some(key) = mux.accept(direction) {
            while let Ok(Received::Bytes(_)) = mux.read(key) {}
            mux.release_send(key);
            mux.release_recv(key);
        }
    }
    while mux.receive_datagram().is_some() {}
    while mux.poll_event().is_some() {}
    while let Some(mut record) = mux.poll_transmit(now) {
        while let Ok(Some(_)) = Frame::decode(&mut record) {}
        assert!(record.is_empty(), "what we send can be read");
    }
}

fn introduction() -> Bytes {
    let parameters = Parameters {
        data: 1 << 16,
        streams_bi: 4,
        streams_uni: 4,
        stream_data_uni: 1 << 12,
        stream_data_bi_local: 1 << 12,
        stream_data_bi_remote: 1 << 12,
        datagram_frame_bytes: 1 << 12,
        ..Parameters::default()
    };
    let mut out = BytesMut::new();
    Frame::Parameters(parameters).encode(&mut out);
    out.freeze()
}
