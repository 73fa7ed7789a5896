//! A client's text to the signaling decoder: what is taken is written back the same, what is not has
//! a short reason.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moqrelay_wire::signal::{ClientMessage, REQUEST_ID_MAX, Request, decode};

fuzz_target!(|text: &str| match decode(text) {
    Ok(ClientMessage::Pong) => {}
    Ok(ClientMessage::Request { id, request }) => {
        assert!(id <= REQUEST_ID_MAX);
        let again = serde_json::to_string(&request).expect("a request is JSON");
        let read: Request = serde_json::from_str(&again).expect("what was written is read");
        assert_eq!(read, request);
    }
    Err(error) => {
        assert!(error.reason.chars().count() <= 200);
        assert!(error.id.is_none_or(|id| id <= REQUEST_ID_MAX));
    }
});
