//! Frames, rates and what a packet says of itself.

use core::time::Duration;

use moqrelay_audio::packet::{self, PacketError};
use moqrelay_audio::{FRAME_DURATION, Frame, FrameError, Sample, SampleRate};

#[test]
fn every_rate_has_whole_frames() {
    for rate in SampleRate::ALL {
        assert_eq!(rate.frame_samples() * 50, rate.hz() as usize);
        assert_eq!(rate.samples_in(FRAME_DURATION), rate.frame_samples());
        assert_eq!(rate.duration_of(rate.frame_samples()), FRAME_DURATION);
        assert_eq!(SampleRate::from_hz(rate.hz()), Some(rate));
        assert!(rate.opus_rate().is_opus());
    }
    assert_eq!(SampleRate::from_hz(11_025), None);
    assert_eq!(SampleRate::Hz44100.opus_rate(), SampleRate::Hz48000);
    assert_eq!(SampleRate::Hz12000.opus_rate(), SampleRate::Hz12000);
}

#[test]
fn durations_and_samples_are_rounded_to_the_nearest() {
    assert_eq!(
        SampleRate::Hz8000.samples_in(Duration::from_micros(2_667)),
        21
    );
    assert_eq!(
        SampleRate::Hz48000.samples_in(Duration::from_micros(2_667)),
        128
    );
    assert_eq!(
        SampleRate::Hz48000.duration_of(128),
        Duration::from_nanos(2_666_666)
    );
}

#[test]
fn bytes_and_samples_are_the_same_frame() {
    let samples: Vec<i16> = (0..160).map(|i| i * 200 - 16_000).collect();
    let frame = Frame::new(SampleRate::Hz8000, &samples).unwrap();

    let mut bytes = Vec::new();
    frame.write_le(&mut bytes);

    assert_eq!(bytes.len(), 320);
    assert_eq!(bytes[..2], (-16_000i16).to_le_bytes());
    assert_eq!(Frame::from_le_bytes(SampleRate::Hz8000, &bytes), Ok(frame));
}

#[test]
fn what_is_not_20_ms_is_no_frame() {
    let rate = SampleRate::Hz16000;
    let wrong = |samples| Err(FrameError::Len { rate, samples });

    assert_eq!(Frame::new(rate, &[0; 160]), wrong(160));
    assert_eq!(Frame::from_le_bytes(rate, &[0; 641]), wrong(320));
    assert_eq!(Frame::from_le_bytes(rate, &[0; 638]), wrong(319));
    let mut frame = Frame::silence(rate);
    assert_eq!(frame.copy_from(&[1; 321]), wrong(321).map(|_: Frame| ()));
    assert_eq!(frame, Frame::silence(rate));
}

#[test]
fn samples_survive_the_way_through_floats() {
    for sample in i16::MIN..=i16::MAX {
        assert_eq!(i16::from_f32(sample.to_f32()), sample);
    }
    assert_eq!(i16::from_f32(2.0), i16::MAX);
    assert_eq!(i16::from_f32(f32::NEG_INFINITY), i16::MIN);
    assert_eq!(i16::from_f32(f32::NAN), 0);
    assert_eq!(f32::from_f32(f32::NAN), 0.0);
}

#[test]
fn a_packet_tells_its_duration_by_its_configuration() {
    // RFC 6716 table 2: the configuration number is the five bits on top.
    let durations_us: [(u8, u64); 14] = [
        (0, 10_000),
        (1, 20_000),
        (2, 40_000),
        (3, 60_000),
        (7, 60_000),
        (9, 20_000),
        (12, 10_000),
        (13, 20_000),
        (14, 10_000),
        (15, 20_000),
        (16, 2_500),
        (21, 5_000),
        (26, 10_000),
        (31, 20_000),
    ];
    for (config, micros) in durations_us {
        let duration = Duration::from_micros(micros);
        assert_eq!(packet::duration(&[config << 3]), Ok(duration), "{config}");
        let twice = packet::duration(&[config << 3 | 1]);
        if micros * 2 <= 60_000 {
            assert_eq!(twice, Ok(duration * 2), "{config}");
        } else {
            assert_eq!(twice, Err(PacketError::Duration(duration * 2)), "{config}");
        }
    }
}

#[test]
fn a_packet_of_many_frames_may_last_60_ms_and_not_more() {
    assert_eq!(
        packet::duration(&[31 << 3 | 3, 3]),
        Ok(Duration::from_millis(60))
    );
    // The two bits on top of the count are flags.
    assert_eq!(
        packet::duration(&[31 << 3 | 3, 0xc3]),
        Ok(Duration::from_millis(60))
    );
    assert!(packet::duration(&[31 << 3 | 3, 4]).is_err());
    assert!(packet::duration(&[16 << 3 | 3, 63]).is_err());
    assert_eq!(
        packet::duration(&[16 << 3 | 3, 24]),
        Ok(Duration::from_millis(60))
    );
}
