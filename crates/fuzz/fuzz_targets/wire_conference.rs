//! A room's tracks: whatever comes is read or refused, and what was read comes out the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moqrelay_wire::{
    conference::{Happened, Roster},
    speakers::Speakers,
};

fuzz_target!(|text: &[u8]| {
    if let Ok(roster) = Roster::decode(text) {
        let again = Roster::decode(&roster.to_json()).expect("what was written can be read");
        assert_eq!(again, roster);
    }
    if let Ok(happened) = Happened::decode(text) {
        let again = Happened::decode(&happened.to_json()).expect("what was written can be read");
        assert_eq!(again, happened);
    }
    if let Ok(speakers) = Speakers::decode(text) {
        let again = Speakers::decode(&speakers.to_json()).expect("what was written can be read");
        assert_eq!(again, speakers);
    }
});
