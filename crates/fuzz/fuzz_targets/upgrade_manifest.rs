//! What another process says at an upgrade: what is taken is within its limits and is written back
//! the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The daemon is a program, not a library.
#[allow(dead_code, reason = "what sends is not all used here")]
#[path = "../../moqrelay/src/upgrade/manifest.rs"]
mod manifest;

use manifest::{FDS_MAX, INBOX_BYTES_MAX, Manifest, StrayHead};

fuzz_target!(|data: &[u8]| {
    if let Some(bytes) = data.first_chunk()
        && let Ok(head) = StrayHead::decode(*bytes)
    {
        assert!(head.inbox_len <= INBOX_BYTES_MAX);
        assert_eq!(&head.encode().expect("what was read"), bytes);
    }
    let Ok(manifest) = Manifest::decode(data) else {
        return;
    };
    assert!(manifest.fds() <= FDS_MAX);
    let again = serde_json::to_vec(&manifest).expect("a manifest is JSON");
    assert_eq!(Manifest::decode(&again).expect("what was written"), manifest);
});
