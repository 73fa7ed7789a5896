//! Frames become packets, and silence becomes nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use core::time::Duration;

use moqrelay_audio::level::{AudioLevel, Level};
use moqrelay_audio::mode::{Packer, Piece, Report};
use moqrelay_audio::{Frame, SampleRate};

const FRAME_TICKS: u64 = 960;
const VOICE: AudioLevel = AudioLevel {
    level: Level::new(20),
    voice: true,
};
const HUM: AudioLevel = AudioLevel {
    level: Level::new(60),
    voice: false,
};

#[test]
fn steady_is_a_packet_for_each_frame_even_in_silence() {
    let mut packets = Packer::steady(24_000);

    let pieces = take(&mut packets, &[VOICE, HUM, HUM]);

    assert_eq!(pieces, ["speech 0 20", "speech 1 20", "speech 2 20"]);
}

#[test]
fn steady_is_what_was_asked_for_but_on_a_narrow_way() {
    let mut packets = Packer::steady(32_000);
    let asked = packets.mode();
    let second = Duration::from_secs;

    packets.carried(1_000_000, second(1));
    packets.carried(1_000_000, second(30));
    let wide = packets.mode();
    packets.carried(50_000, second(31));
    let narrow = packets.mode();
    let pieces = take(&mut packets, &[VOICE; 6]);
    for at in 32..80 {
        packets.carried(1_000_000, second(at));
    }

    assert_eq!((asked.bitrate_bps, asked.wire_bps()), (32_000, 61_600));
    assert_eq!(wide, asked, "what nobody asked for is not taken");
    assert!(narrow.wire_bps() <= 37_500, "{narrow:?}");
    assert_eq!(pieces, ["speech 0 60", "speech 3 60"]);
    assert_eq!(packets.mode(), asked, "and back, by and by");
}

#[test]
fn saving_joins_two_frames_and_leaves_silence_out() {
    let mut packets = saving();
    let mut levels = vec![VOICE; 4];
    levels.extend([HUM; 30]);

    let pieces = take(&mut packets, &levels);

    let wanted = [
        "key 0 40",
        "speech 2 40",
        "speech 4 40",
        "speech 6 40",
        "silence 8",
    ];
    assert_eq!(pieces, wanted);
}

#[test]
fn a_word_begins_with_the_frame_before_it() {
    let mut packets = saving();

    let pieces = take(&mut packets, &[HUM, HUM, HUM, VOICE, VOICE, VOICE]);

    assert_eq!(pieces, ["silence 0", "key 2 40", "speech 4 40"]);
}

#[test]
fn an_odd_frame_at_the_end_is_sent_alone_before_the_silence() {
    let mut packets = saving();
    let mut levels = vec![VOICE; 5];
    levels.extend([HUM; 5]);

    let pieces = take(&mut packets, &levels);

    assert_eq!(pieces[4..], ["speech 8 20", "silence 9"]);
}

#[test]
fn a_gap_in_time_ends_the_started_packet() {
    let mut packets = saving();
    let mut pieces = take(&mut packets, &[VOICE; 3]);
    let frame = Frame::silence(SampleRate::Hz16000);
    packets
        .take(&frame, 100 * FRAME_TICKS, VOICE, |piece| {
            pieces.push(text(&piece));
            Ok::<(), ()>(())
        })
        .unwrap();

    assert_eq!(pieces, ["key 0 40", "speech 2 20"]);
}

#[test]
fn loss_makes_packets_short_and_prepares_for_more() {
    let mut packets = saving();
    let report = Report {
        loss: 0.1,
        bandwidth_bps: None,
    };

    packets.measured(report, Duration::from_secs(5));

    assert_eq!(take(&mut packets, &[VOICE; 2]), ["key 0 20", "speech 1 20"]);
    assert_eq!(packets.mode().fec_percent, 15);
}

fn saving() -> Packer {
    Packer::saving(24_000)
}

fn take(packets: &mut Packer, levels: &[AudioLevel]) -> Vec<String> {
    let frame = Frame::silence(SampleRate::Hz16000);
    let mut pieces = Vec::new();
    for (index, level) in (0..).zip(levels) {
        packets
            .take(&frame, index * FRAME_TICKS, *level, |piece| {
                pieces.push(text(&piece));
                Ok::<(), ()>(())
            })
            .unwrap();
    }
    pieces
}

/// Kind, first frame, length in ms.
fn text(piece: &Piece<'_>) -> String {
    match piece {
        Piece::Packet {
            timestamp,
            first,
            samples,
            ..
        } => {
            let kind = if *first { "key" } else { "speech" };
            format!("{kind} {} {}", timestamp / FRAME_TICKS, samples.len() / 16)
        }
        Piece::Silence { timestamp, .. } => format!("silence {}", timestamp / FRAME_TICKS),
    }
}
