//! Packets of Asterisk's manager interface: whatever pieces the bytes come in, the same packets come out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moqrelay_bridge::ami::{Inbox, Packet};

fuzz_target!(|input: (u16, &[u8])| {
    let (at, bytes) = input;
    let (first, second) = bytes.split_at(usize::from(at).min(bytes.len()));
    assert_eq!(read(&[bytes]), read(&[first, second]));
});

/// `None` behind what was read: it was given up.
fn read(pieces: &[&[u8]]) -> Vec<Option<Packet>> {
    let mut inbox = Inbox::default();
    let mut packets = Vec::new();
    for piece in pieces {
        inbox.push(piece);
        loop {
            match inbox.take() {
                Ok(Some(packet)) => packets.push(Some(packet)),
                Ok(None) => break,
                Err(_) => {
                    packets.push(None);
                    return packets;
                }
            }
        }
    }
    packets
}
