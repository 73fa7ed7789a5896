//! G.711 and G.722 against what other implementations make of the same sound (CPython's `audioop`, and `libg722`,
//! which follows the ITU's reference).

use moqrelay_audio::{
    SampleRate,
    g711::Law,
    g722::{Decoder, Encoder},
};

#[test]
fn g722_is_bit_exact_with_another_implementation() {
    let sound = sound(32_000);
    let mut bytes = Vec::new();
    let mut heard = Vec::new();

    Encoder::default().encode(&sound, &mut bytes);
    Decoder::default().decode(&bytes, &mut heard);

    assert_eq!(bytes[..8], [0xde, 0x7a, 0xf7, 0xf0, 0xfa, 0x6c, 0xa9, 0x91]);
    assert_eq!(bytes.len(), 16_000);
    assert_eq!(hash(&bytes), 0x0685_0d1a_a7cd_a21d);
    assert_eq!(hash(&le(&heard)), 0xf9ee_e0a1_992e_aa9c);
}

#[test]
fn g722_in_pieces_is_g722_in_one() {
    let sound = sound(3_200);
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());

    Encoder::default().encode(&sound, &mut whole);
    let mut encoder = Encoder::default();
    for frame in sound.chunks(SampleRate::Hz16000.frame_samples()) {
        encoder.encode(frame, &mut pieces);
    }

    assert_eq!(pieces, whole);
}

#[test]
fn every_byte_is_sound() {
    let mut heard = Vec::new();

    for byte in 0..=255 {
        Decoder::default().decode(&[byte; 800], &mut heard);
    }

    assert_eq!(heard.len(), 256 * 1_600);
}

#[test]
fn g711_decodes_as_another_implementation_does() {
    for (law, wanted) in [
        (Law::Mu, 0xb91e_65d6_8481_a1a8),
        (Law::A, 0x693a_40ca_62a3_d2a5),
    ] {
        let mut samples = Vec::new();

        law.decode(&(0..=255).collect::<Vec<u8>>(), &mut samples);

        assert_eq!(hash(&le(&samples)), wanted, "{law:?}");
    }
}

#[test]
fn g711_encodes_as_another_implementation_does() {
    for (law, wanted) in [
        (Law::Mu, 0x1830_3138_f6ea_eb89),
        (Law::A, 0xd107_4309_fe65_b625),
    ] {
        let (mut above, mut below) = (Vec::new(), Vec::new());

        law.encode(&(0..=i16::MAX).collect::<Vec<_>>(), &mut above);
        law.encode(
            &(0..=i16::MAX).map(|it| !it).collect::<Vec<_>>(),
            &mut below,
        );

        assert_eq!(hash(&above), wanted, "{law:?}");
        assert!(
            above.iter().zip(&below).all(|(a, b)| a ^ b == 0x80),
            "{law:?}"
        );
    }
}

#[test]
fn every_sample_becomes_the_nearest_that_g711_has() {
    for law in [Law::Mu, Law::A] {
        let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let (mut bytes, mut heard) = (Vec::new(), Vec::new());

        law.encode(&samples, &mut bytes);
        law.decode(&bytes, &mut heard);

        for (sample, heard) in samples.iter().zip(heard) {
            let (sample, heard) = (i32::from(*sample), i32::from(heard));
            // Half of the segment's step, which is a 16th of its first value; the last one reaches further.
            let step = (sample.abs() / 16).max(16);
            let off = (sample - heard).abs();
            assert!(
                off <= step / 2 + 8 || sample.abs() > 32_124,
                "{law:?}: {sample} as {heard}"
            );
        }
    }
}

#[test]
fn a_code_of_g711_survives_decoding_and_coding() {
    for law in [Law::Mu, Law::A] {
        let codes: Vec<u8> = (0..=255).collect();
        let (mut samples, mut again) = (Vec::new(), Vec::new());

        law.decode(&codes, &mut samples);
        law.encode(&samples, &mut again);

        // µ-law has two zeros.
        let same = |(a, b): &(&u8, &u8)| a == b || (**a == 0x7f && **b == 0xff);
        assert_eq!(
            codes.iter().zip(&again).filter(same).count(),
            256,
            "{law:?}"
        );
    }
}

/// Noise without highs that grows louder and softer, the same everywhere.
fn sound(len: usize) -> Vec<i16> {
    let (mut random, mut value) = (1_u32, 0_i32);
    let sample = |index: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        value += (i32::from((random >> 16) as i16) - value) >> 2;
        let loudness = [1, 4, 16, 64, 256][index / 1_600 % 5];
        (value * loudness).div_euclid(256) as i16
    };
    (0..len).map(sample).collect()
}

fn le(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
