//! Events of Asterisk's REST interface: whatever comes is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moqrelay_bridge::ari::Message;

fuzz_target!(|data: &[u8]| {
    // A message that is none of ours is an error or nothing; both are values.
    drop(Message::parse(data));
});
