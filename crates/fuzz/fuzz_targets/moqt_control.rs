//! Control messages: what can be read can be written, and then reads the same.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use moqrelay_moqt::{Draft, Message, ObjectProperties, TrackProperties};

fuzz_target!(|data: &[u8]| {
    let draft = Draft::D18;
    let mut buf = BytesMut::from(data);
    while let Ok(Some(message)) = Message::decode(draft, &mut buf) {
        if let Message::Publish(publish) = &message {
            let _track = TrackProperties::read(draft, &publish.properties);
            let _object = ObjectProperties::read(draft, &publish.properties);
        }
        let mut out = BytesMut::new();
        // We write the shortest integers, so it cannot get longer.
        message.encode(draft, &mut out).expect("what was read fits");
        let again = Message::decode(draft, &mut out)
            .expect("our own message")
            .expect("all of it");
        assert_eq!(again, message);
    }
});
