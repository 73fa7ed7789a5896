//! Control messages of chan_websocket: an event or a reason, whatever the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moqrelay_wire::chan_websocket::{Command, COMMAND_BYTES_MAX, Event, Form};

fuzz_target!(|text: &str| {
    let Ok((event, form)) = Event::decode(text) else {
        return;
    };
    if let Event::MarkProcessed(Some(name)) = event {
        // A name that can be sent comes back as it was.
        if let Ok(command) = Command::Mark(Some(&name)).encode(form) {
            assert!(command.len() <= COMMAND_BYTES_MAX);
            let back = match form {
                Form::Words => command.replacen("MARK_MEDIA", "MEDIA_MARK_PROCESSED", 1),
                Form::Json => command.replacen(r#""command":"MARK_MEDIA""#, r#""event":"MEDIA_MARK_PROCESSED""#, 1),
            };
            assert_eq!(Event::decode(&back), Ok((Event::MarkProcessed(Some(name)), form)));
        }
    }
});
