//! Control messages of every draft: what can be read can be written, and then reads the same.
//!
//! The first byte chooses the draft.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use moqrelay_moqt::{
    Draft, Envelope, Message, ObjectProperties, TrackProperties, translate_properties,
};

const DRAFTS: [Draft; 4] = [Draft::D18, Draft::D16, Draft::D14, Draft::D19];

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let draft = DRAFTS[usize::from(*first) % DRAFTS.len()];
    let mut buf = BytesMut::from(data);
    while let Ok(Some(message)) = Envelope::decode(draft, &mut buf) {
        if let Message::Publish(publish) = &message.message {
            let _track = TrackProperties::read(draft, &publish.properties);
            let _object = ObjectProperties::read(draft, &publish.properties);
            for to in DRAFTS {
                let _other = translate_properties(draft, to, &publish.properties);
            }
        }
        let mut out = BytesMut::new();
        // We write the shortest integers, so it cannot get longer.
        message.encode(draft, &mut out).expect("what was read fits");
        let again = Envelope::decode(draft, &mut out)
            .expect("our own message")
            .expect("all of it");
        assert_eq!(again, message);
    }
});
