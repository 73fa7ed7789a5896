//! A file's name and type: whatever comes is read or refused, and a name that was read comes out the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moqrelay_wire::file::{FileType, NAME_LEN_MAX, decode_name, encode_name};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(name) = decode_name(bytes) {
        let written = encode_name(&name);
        assert!(written.is_ascii() && !written.contains([' ', '"', ';', '\r', '\n']));
        if written.len() <= NAME_LEN_MAX {
            assert_eq!(decode_name(written.as_bytes()).as_deref(), Ok(name.as_str()));
        }
    }
    if FileType::of(bytes) == Some(FileType::Text) {
        assert!(str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0')));
    }
    if let Ok(text) = str::from_utf8(bytes) {
        let named = FileType::named(text);
        assert!(named.is_none_or(|it| FileType::named(it.as_str()) == Some(it)));
    }
});
