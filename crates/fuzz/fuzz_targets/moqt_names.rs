//! Printed names: there is one text for each name and one name for each text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moqrelay_moqt::{FullTrackName, Namespace};

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = core::str::from_utf8(data) {
        if let Ok(track) = text.parse::<FullTrackName>() {
            assert_eq!(track.to_string(), text);
        }
        if let Ok(namespace) = text.parse::<Namespace>() {
            assert_eq!(namespace.to_string(), text);
        }
    }
    let fields = data.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    if let Ok(namespace) = Namespace::new(fields) {
        assert_eq!(namespace.to_string().parse(), Ok(namespace));
    }
});
