//! Recorded sounds.
#![allow(clippy::unwrap_used)]

use moqrelay_audio::{
    Frame, SampleRate,
    clip::{Clip, ClipError},
    opus::{Config, Encoder},
    tone::{Detector, Tone},
};

/// Made by opusenc (libopusenc 0.2.1) from half a second of a 1004 Hz sine at 22,050 Hz.
const TONE: &[u8] = include_bytes!("data/tone.opus");

#[test]
fn a_file_of_another_program_is_heard_as_long_as_it_is() {
    let clip = Clip::from_ogg(TONE).unwrap();

    let seconds = clip.samples().len() as f32 / Clip::RATE.hz() as f32;
    assert!((seconds - 0.5).abs() < 0.001, "{seconds} s");
    let middle = &clip.samples()[1600..6400];
    assert!(Detector::new(Clip::RATE, 1004.0).purity(middle) > 0.95);
}

#[test]
fn what_a_program_speaks_at_its_own_rate_is_heard_as_long_as_it_is() {
    for hz in [8_000, 16_000, 22_050, 48_000] {
        let file = spoken(hz, 1, u32::MAX);

        let clip = Clip::from_wav(&file).unwrap();

        let seconds = clip.samples().len() as f32 / Clip::RATE.hz() as f32;
        assert!((seconds - 0.5).abs() < 0.001, "{hz} Hz: {seconds} s");
        let middle = &clip.samples()[1600..6400];
        let purity = Detector::new(Clip::RATE, 1004.0).purity(middle);
        assert!(purity > 0.95, "{hz} Hz: {purity}");
    }
}

#[test]
fn a_wav_file_that_is_cut_or_something_else_is_refused_or_shorter_and_nothing_worse() {
    let whole = spoken(22_050, 1, 22_050);
    for len in 0..HEAD_LEN + 4 {
        let cut = Clip::from_wav(&whole[..len]);
        assert_eq!(cut.is_ok(), len >= HEAD_LEN, "{len} bytes");
    }
    // Behind another chunk of an odd length, and before another one.
    let mut between = whole[..12].to_vec();
    between.extend_from_slice(b"LIST\x03\0\0\0abc\0");
    between.extend_from_slice(&whole[12..]);
    between.extend_from_slice(b"LIST\x04\0\0\0abcd");
    assert_eq!(Clip::from_wav(&between), Clip::from_wav(&whole));

    let changed = |at: usize, byte: u8| {
        let mut file = whole.clone();
        file[at] = byte;
        Clip::from_wav(&file)
    };
    assert_eq!(Clip::from_wav(TONE), Err(ClipError::NotWav));
    assert_eq!(changed(20, 3), Err(ClipError::NotPcm));
    assert_eq!(changed(34, 8), Err(ClipError::NotPcm));
    assert_eq!(changed(22, 2), Err(ClipError::Channels(2)));
    assert_eq!(changed(24, 0x23), Err(ClipError::Rate(0x5623)));
    let mut long = [&whole[..], &vec![0; 31 * 2 * 22_050]].concat();
    long[HEAD_LEN - 4..HEAD_LEN].fill(0xff);
    assert_eq!(Clip::from_wav(&long), Err(ClipError::Long));
}

const HEAD_LEN: usize = 44;

/// Half a second of 1004 Hz as a WAV file that says it has `len` bytes.
fn spoken(hz: u32, channels: u8, len: u32) -> Vec<u8> {
    let mut file = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\x01\0".to_vec();
    file.extend([channels, 0]);
    file.extend(hz.to_le_bytes());
    file.extend((2 * hz).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(len.to_le_bytes());
    let sample =
        |at: u32| 8_000.0 * (core::f64::consts::TAU * 1004.0 * f64::from(at) / f64::from(hz)).sin();
    file.extend((0..hz / 2).flat_map(|at| (sample(at) as i16).to_le_bytes()));
    file
}

#[test]
fn packets_go_on_over_segments_and_pages() {
    let packets = packets();
    let whole = ogg(&packets, 255);
    let torn = ogg(&packets, 3);

    let clip = Clip::from_ogg(&whole).unwrap();

    assert_eq!(clip.samples().len(), 3_200 - 104);
    assert_eq!(Clip::from_ogg(&torn), Ok(clip));
}

#[test]
fn a_file_that_is_cut_is_refused_or_shorter_and_nothing_worse() {
    for len in 0..TONE.len() {
        let cut = Clip::from_ogg(&TONE[..len]);

        assert!(cut.is_err() || cut.unwrap().samples().len() <= 8_000);
    }
}

#[test]
fn what_is_no_mono_opus_is_refused_in_words() {
    let head = |bytes: &[u8]| ogg(&[bytes.to_vec()], 255);
    let stereo = head(b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0");
    let vorbis = head(b"\x01vorbis");

    assert_eq!(Clip::from_ogg(b"RIFF"), Err(ClipError::NotOgg));
    assert_eq!(Clip::from_ogg(b""), Err(ClipError::Cut));
    assert_eq!(Clip::from_ogg(&stereo), Err(ClipError::Channels(2)));
    assert_eq!(Clip::from_ogg(&vorbis), Err(ClipError::NotOpus));
}

#[test]
fn a_clip_that_is_too_long_is_refused() {
    let mut packets = packets();
    let sound = packets[2].clone();
    packets.extend(std::iter::repeat_n(sound, Clip::SECONDS_MAX * 50));

    assert_eq!(Clip::from_ogg(&ogg(&packets, 255)), Err(ClipError::Long));
}

/// The two headers, and 200 ms of a tone.
fn packets() -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(Config::new(SampleRate::Hz16000)).unwrap();
    let mut tone = Tone::milliwatt(SampleRate::Hz16000);
    let mut packets = vec![
        b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0".to_vec(),
        b"OpusTags\0\0\0\0\0\0\0\0".to_vec(),
    ];
    for _ in 0..10 {
        let mut frame = Frame::silence(SampleRate::Hz16000);
        tone.fill(frame.samples_mut());
        packets.push(encoder.encode(&frame).unwrap().to_vec());
    }
    packets
}

/// Lays packets in pages of so many segments.
fn ogg(packets: &[Vec<u8>], segments: usize) -> Vec<u8> {
    let mut lacing = Vec::new();
    for packet in packets {
        lacing.extend(std::iter::repeat_n(255, packet.len() / 255));
        lacing.push((packet.len() % 255) as u8);
    }
    let mut body = packets.concat();
    let mut file = Vec::new();
    for page in lacing.chunks(segments) {
        let len = page.iter().map(|len| usize::from(*len)).sum();
        let rest = body.split_off(len);
        file.extend_from_slice(b"OggS\0\0");
        file.extend_from_slice(&9_600u64.to_le_bytes());
        file.extend_from_slice(&[0; 12]);
        file.push(page.len() as u8);
        file.extend_from_slice(page);
        file.extend_from_slice(&body);
        body = rest;
    }
    file
}
