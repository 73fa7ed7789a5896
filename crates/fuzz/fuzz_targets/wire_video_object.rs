//! Properties of pictures: what can be read can be written, and then reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moqrelay_wire::video_object::Properties;

fuzz_target!(|data: &[u8]| {
    let Ok(properties) = Properties::decode(data) else { return };
    let _timestamp = properties.timestamp_48k(Some(90_000));
    assert_eq!(Properties::decode(&properties.to_bytes()), Ok(properties));
});
