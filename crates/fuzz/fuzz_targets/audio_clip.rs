//! Files that are said to be recorded sounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moqrelay_audio::clip::Clip;

fuzz_target!(|data: &[u8]| {
    if let Ok(clip) = Clip::from_ogg(data) {
        assert!(clip.samples().len() <= Clip::SECONDS_MAX * Clip::RATE.hz() as usize);
    }
});
