//! AudioSocket: every message is taken out, whatever it holds, and what can be read can be written.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use moqrelay_wire::audiosocket::Message;

fuzz_target!(|data: &[u8]| {
    let mut buffer = BytesMut::from(data);
    loop {
        let before = buffer.len();
        match Message::decode(&mut buffer) {
            Ok(None) => break,
            Err(_) => assert!(buffer.len() < before, "an error takes its message out"),
            Ok(Some(message)) => {
                assert!(buffer.len() < before);
                let mut out = BytesMut::new();
                message.encode(&mut out).expect("what was read fits");
                let again = Message::decode(&mut out);
                // A fault keeps only its code, all others are whole.
                assert_eq!(again, Ok(Some(message)));
                assert!(out.is_empty());
            }
        }
    }
});
