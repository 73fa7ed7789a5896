//! Properties of audio objects: what can be read can be written, and then reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moqrelay_wire::audio_object::{Properties, TIMESCALE, of_seat};

fuzz_target!(|data: &[u8]| {
    let Ok(properties) = Properties::decode(data) else { return };
    assert_eq!(Properties::decode(&properties.to_bytes()), Ok(properties));
    let _timestamp = properties.timestamp_48k(Some(TIMESCALE));
    let _by_default = properties.timestamp_48k(None);
    // In a seat it says the same, and whose it is.
    if let Ok(seat) = of_seat(data, 7, None) {
        let expected = Properties { participant: Some(7), ..properties };
        assert_eq!(Properties::decode(&seat), Ok(expected));
        assert_eq!(of_seat(&seat, 7, None), Ok(seat));
    }
});
