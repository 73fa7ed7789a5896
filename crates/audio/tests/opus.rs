//! Opus: tones survive at every rate, lost packets are recovered, hostile ones are refused.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![cfg(feature = "opus")]

mod common;

use core::time::Duration;

use bytes::Bytes;
use common::{Rng, sine, speech};
use moqrelay_audio::opus::{Config, Decoder, Encoder, Error, PACKET_LEN_MAX};
use moqrelay_audio::packet::{self, PacketError};
use moqrelay_audio::tone::{Detector, Tone};
use moqrelay_audio::{Frame, SampleRate, level};
use proptest::prelude::*;

const RATES: [SampleRate; 5] = [
    SampleRate::Hz8000,
    SampleRate::Hz12000,
    SampleRate::Hz16000,
    SampleRate::Hz24000,
    SampleRate::Hz48000,
];

#[test]
fn a_tone_survives_within_a_decibel_between_all_rates() {
    for from in RATES {
        let mut tone = Tone::milliwatt(from);
        let packets = encode(from, |_| {
            let mut frame = Frame::silence(from);
            tone.fill(frame.samples_mut());
            frame
        });
        for to in RATES {
            let mut decoder = Decoder::new(to).unwrap();
            let mut sound = Vec::new();
            for packet in &packets {
                decoder.decode(packet, &mut sound).unwrap();
            }

            assert_eq!(sound.len(), packets.len() * to.frame_samples());
            let settled = &sound[sound.len() - to.hz() as usize / 2..];
            let detector = Detector::new(to, 1004.0);
            assert!(
                (detector.dbov(settled) + 16.18).abs() < 1.0,
                "{from} to {to}"
            );
            assert!(detector.purity(settled) > 0.97, "{from} to {to}");
        }
    }
}

#[test]
fn the_bitrate_is_about_what_was_asked_for_and_every_frame_makes_a_packet() {
    for rate in RATES {
        let packets = encode(rate, |n| frame(rate, &speech(rate, n)));

        let bits: usize = packets.iter().map(|packet| packet.len() * 8).sum();
        let per_second = bits * 50 / packets.len();
        let asked = Config::new(rate).bitrate_bps as usize;
        assert!(per_second < asked * 5 / 4, "{rate}: {per_second} bit/s");
        assert!(
            packets
                .iter()
                .all(|p| packet::duration(p) == Ok(Duration::from_millis(20)))
        );
    }
}

#[test]
fn narrow_band_begins_and_ends_with_the_next_packet() {
    let rate = SampleRate::Hz16000;
    let mut encoder = Encoder::new(Config::new(rate)).unwrap();
    let mut decoder = Decoder::new(rate).unwrap();
    let mut coded = |encoder: &mut Encoder, from: u64| {
        let mut sound = Vec::new();
        let mut bands = Vec::new();
        for number in from..from + 50 {
            let packet = encoder.encode(&frame(rate, &speech(rate, number))).unwrap();
            decoder.decode(&packet, &mut sound).unwrap();
            // RFC 6716 section 3.1: SILK in narrow, medium and wide band, four lengths of each.
            bands.push(packet[0] >> 5);
        }
        bands.dedup();
        (bands, level::Level::of(&sound).minus_dbov())
    };

    let (wide, _) = coded(&mut encoder, 0);
    encoder.set_narrow(true).unwrap();
    let (narrow, narrow_loud) = coded(&mut encoder, 50);
    encoder.set_narrow(false).unwrap();
    let (again, _) = coded(&mut encoder, 100);

    assert_eq!(wide, again);
    assert_eq!(narrow, [0]);
    assert!(!wide.contains(&0), "{wide:?}");
    assert!(narrow_loud < 30, "{narrow_loud}");
}

#[test]
fn silence_is_coded_too() {
    let packets = encode(SampleRate::Hz48000, |_| Frame::silence(SampleRate::Hz48000));

    // DTX would send one packet in 20, of a single byte.
    assert!(packets.iter().all(|packet| packet.len() > 2));
}

#[test]
fn an_isolated_loss_is_recovered_better_than_concealed() {
    for rate in [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz48000] {
        let packets = encode(rate, |n| frame(rate, &chirps(rate, n)));
        let whole = decode_without(rate, &packets, &[], Loss::Conceal);
        let lost: Vec<usize> = (10..packets.len() - 1).step_by(7).collect();

        let concealed = decode_without(rate, &packets, &lost, Loss::Conceal);
        let recovered = decode_without(rate, &packets, &lost, Loss::Recover);

        let error = |sound: &[i16]| {
            let n = rate.frame_samples();
            let error: f64 = lost
                .iter()
                .flat_map(|i| i * n..(i + 1) * n)
                .map(|i| (f64::from(sound[i]) - f64::from(whole[i])).powi(2))
                .sum();
            10.0 * error.log10()
        };
        let (recovered, concealed) = (error(&recovered), error(&concealed));
        assert!(
            recovered < concealed - 3.0,
            "{rate}: {recovered} and {concealed} dB"
        );
    }
}

#[test]
fn concealment_goes_on_and_gets_no_louder() {
    let rate = SampleRate::Hz16000;
    let packets = encode(rate, |n| frame(rate, &speech(rate, n)));
    let mut decoder = Decoder::new(rate).unwrap();
    let mut heard = Vec::new();
    // Until in the middle of a word.
    for packet in &packets[..50] {
        decoder.decode(packet, &mut heard).unwrap();
    }

    let mut made = Vec::new();
    for _ in 0..25 {
        decoder
            .conceal(Duration::from_millis(20), &mut made)
            .unwrap();
    }

    let n = rate.frame_samples();
    assert_eq!(made.len(), 25 * n);
    let before = level::dbov(&heard[heard.len() - n..]);
    let first = level::dbov(&made[..n]);
    assert!((first - before).abs() < 6.0, "{first} after {before} dBov");
    let louder = made.chunks(n).map(level::dbov).fold(f32::MIN, f32::max);
    assert!(louder < before + 1.0, "{louder} after {before} dBov");
}

#[test]
fn packets_of_all_accepted_durations_decode_to_their_length() {
    let rate = SampleRate::Hz16000;
    for (ms, samples) in [
        (2.5, 40),
        (5.0, 80),
        (10.0, 160),
        (20.0, 320),
        (40.0, 640),
        (60.0, 960),
    ] {
        let packet = foreign(rate, samples);
        assert_eq!(
            packet::duration(&packet),
            Ok(Duration::from_secs_f64(ms / 1e3))
        );

        let mut sound = Vec::new();
        Decoder::new(rate)
            .unwrap()
            .decode(&packet, &mut sound)
            .unwrap();

        assert_eq!(sound.len(), samples);
    }
}

#[test]
fn stereo_becomes_mono() {
    let mut encoder =
        opus::Encoder::new(48_000, opus::Channels::Stereo, opus::Application::Voip).unwrap();
    let mut decoder = Decoder::new(SampleRate::Hz8000).unwrap();
    let mut sound = Vec::new();
    for number in 0..10 {
        let left = sine(SampleRate::Hz48000, 440.0, 8_000.0, number);
        let both: Vec<i16> = left.iter().flat_map(|sample| [*sample, *sample]).collect();
        let packet = encoder.encode_vec(&both, 1_000).unwrap();
        decoder.decode(&packet, &mut sound).unwrap();
    }

    assert_eq!(sound.len(), 1_600);
    assert!(Detector::new(SampleRate::Hz8000, 440.0).purity(&sound[800..]) > 0.9);
}

#[test]
fn packets_that_are_none_are_refused_by_name() {
    let mut decoder = Decoder::new(SampleRate::Hz48000).unwrap();
    let mut out = Vec::new();
    let mut refuse = |packet: &[u8]| decoder.decode(packet, &mut out).unwrap_err();

    assert_eq!(refuse(&[]), Error::Packet(PacketError::Empty));
    assert_eq!(refuse(&[0x03]), Error::Packet(PacketError::Truncated));
    // Code 3 with no frames; with two frames of 60 ms.
    assert!(matches!(
        refuse(&[0x03, 0]),
        Error::Packet(PacketError::Duration(_))
    ));
    assert!(matches!(
        refuse(&[0x1b, 2, 0, 0]),
        Error::Packet(PacketError::Duration(_))
    ));
    let large = vec![0; packet::LEN_MAX + 1];
    assert!(matches!(
        refuse(&large),
        Error::Packet(PacketError::TooLarge { .. })
    ));
    // Code 1: two frames of equal length in an odd number of bytes.
    assert!(matches!(refuse(&[0x01, 1, 2, 3]), Error::Codec(_)));
    assert_eq!(out, []);
}

#[test]
fn settings_out_of_range_are_refused() {
    let config = Config::new(SampleRate::Hz16000);

    for bad in [
        Config {
            rate: SampleRate::Hz44100,
            ..config
        },
        Config {
            bitrate_bps: 0,
            ..config
        },
        Config {
            bitrate_bps: u32::MAX,
            ..config
        },
        Config {
            complexity: 11,
            ..config
        },
        Config {
            loss_percent: 101,
            ..config
        },
    ] {
        assert!(Encoder::new(bad).is_err(), "{bad:?}");
    }
    assert_eq!(
        Decoder::new(SampleRate::Hz32000).unwrap_err(),
        Error::Rate(SampleRate::Hz32000)
    );
    let mut encoder = Encoder::new(config).unwrap();
    assert!(encoder.encode(&Frame::silence(SampleRate::Hz8000)).is_err());
}

#[test]
fn no_packet_is_too_large_for_a_datagram() {
    let rate = SampleRate::Hz48000;
    let mut rng = Rng::new(9);
    let mut encoder = Encoder::new(Config {
        bitrate_bps: 128_000,
        ..Config::new(rate)
    })
    .unwrap();
    for _ in 0..50 {
        let noise: Vec<i16> = (0..960).map(|_| rng.next() as i16).collect();
        assert!(encoder.encode(&frame(rate, &noise)).unwrap().len() <= PACKET_LEN_MAX);
    }
}

proptest! {
    #[test]
    fn hostile_packets_end_in_a_value(packets in proptest::collection::vec(hostile(), 1..8)) {
        let mut decoder = Decoder::new(SampleRate::Hz16000).unwrap();
        let mut out = Vec::new();
        for packet in &packets {
            let before = out.len();
            if decoder.decode(packet, &mut out).is_err() {
                prop_assert_eq!(out.len(), before);
            }
            let middle = out.len();
            let recovered = decoder.recover(packet, Duration::from_millis(20), &mut out);
            prop_assert_eq!(recovered.is_ok(), out.len() > middle);
            prop_assert!(decoder.conceal(Duration::from_millis(20), &mut out).is_ok());
            prop_assert!(out.len() <= before + 3 * 960);
        }
    }
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        proptest::collection::vec(any::<u8>(), 0..1_400),
        // A good packet with some bytes changed.
        (any::<u64>(), 0u64..50).prop_map(|(seed, n)| {
            let rate = SampleRate::Hz16000;
            let mut rng = Rng::new(seed);
            let mut packet = encode_one(rate, n).to_vec();
            for _ in 0..3 {
                let at = rng.next() as usize % packet.len();
                packet[at] ^= rng.next() as u8;
            }
            packet
        }),
    ]
}

fn encode_one(rate: SampleRate, number: u64) -> Bytes {
    Encoder::new(Config::new(rate))
        .unwrap()
        .encode(&frame(rate, &speech(rate, number)))
        .unwrap()
}

/// Two seconds of packets.
fn encode(rate: SampleRate, mut source: impl FnMut(u64) -> Frame) -> Vec<Bytes> {
    let mut encoder = Encoder::new(Config::new(rate)).unwrap();
    (0..100)
        .map(|n| encoder.encode(&source(n)).unwrap())
        .collect()
}

fn frame(rate: SampleRate, samples: &[i16]) -> Frame {
    Frame::new(rate, samples).unwrap()
}

/// One packet as another publisher might send it.
fn foreign(rate: SampleRate, samples: usize) -> Vec<u8> {
    let mut encoder =
        opus::Encoder::new(rate.hz(), opus::Channels::Mono, opus::Application::Voip).unwrap();
    encoder.encode_vec(&vec![100; samples], 1_000).unwrap()
}

/// A voice whose pitch and loudness change all the time, so that repeating it is wrong.
fn chirps(rate: SampleRate, number: u64) -> Vec<i16> {
    let n = rate.frame_samples() as u64;
    (0..n)
        .map(|i| {
            let t = (number * n + i) as f64 / f64::from(rate.hz());
            let pitch = 150.0 * t + 40.0 / 9.0 * (9.0 * t).sin();
            let buzz: f64 = (1..16)
                .map(|h| (pitch * f64::from(h) * core::f64::consts::TAU).sin() / f64::from(h))
                .sum();
            let loudness = 0.55 + 0.45 * (t * 31.0).sin();
            (buzz * loudness * 6_000.0) as i16
        })
        .collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Loss {
    Conceal,
    Recover,
}

fn decode_without(rate: SampleRate, packets: &[Bytes], lost: &[usize], how: Loss) -> Vec<i16> {
    let mut decoder = Decoder::new(rate).unwrap();
    let mut sound = Vec::new();
    let frame = Duration::from_millis(20);
    for (i, packet) in packets.iter().enumerate() {
        if !lost.contains(&i) {
            decoder.decode(packet, &mut sound).unwrap();
        } else if how == Loss::Recover {
            decoder.recover(&packets[i + 1], frame, &mut sound).unwrap();
        } else {
            decoder.conceal(frame, &mut sound).unwrap();
        }
    }
    sound
}
