//! Files that are said to be recorded sounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moqrelay_audio::clip::Clip;

fuzz_target!(|data: &[u8]| {
    for clip in [Clip::from_ogg(data), Clip::from_wav(data)].into_iter().flatten() {
        assert!(clip.samples().len() <= Clip::SECONDS_MAX * Clip::RATE.hz() as usize);
    }
});
