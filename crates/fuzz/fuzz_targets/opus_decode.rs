//! Hostile packets to the Opus decoder, alone and behind the jitter buffer.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use moqrelay_audio::SampleRate;
use moqrelay_audio::jitter::Config;
use moqrelay_audio::opus::Decoder;
use moqrelay_audio::playout::OpusPlayer;

const RATES: [SampleRate; 5] = [
    SampleRate::Hz8000,
    SampleRate::Hz12000,
    SampleRate::Hz16000,
    SampleRate::Hz24000,
    SampleRate::Hz48000,
];

/// 60 ms at 48 kHz.
const SAMPLES_MAX: usize = 2_880;

// The first byte chooses the rate, then each piece is: what to do, length (two bytes), packet.
fuzz_target!(|data: &[u8]| {
    let Some((&first, mut rest)) = data.split_first() else {
        return;
    };
    let rate = RATES[usize::from(first) % RATES.len()];
    let mut decoder = Decoder::new(rate).expect("a rate of Opus");
    let mut player = OpusPlayer::opus(rate, Config::default()).expect("a rate of Opus");
    let mut sound = Vec::new();
    let mut frame = vec![0i16; rate.frame_samples()];
    let mut now = Duration::ZERO;
    let mut timestamp = 0u64;
    while let [what, high, low, after @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low]) % 1_500).min(after.len());
        let (packet, next) = after.split_at(len);
        rest = next;
        sound.clear();
        let missing = Duration::from_millis(u64::from(what >> 2));
        let good = match what & 0b11 {
            0 | 1 => decoder.decode(packet, &mut sound).is_ok(),
            2 => decoder.recover(packet, missing, &mut sound).is_ok(),
            _ => decoder.conceal(missing, &mut sound).is_ok(),
        };
        assert!(good || sound.is_empty());
        assert!(sound.len() <= SAMPLES_MAX);
        timestamp += u64::from(what >> 4) * 240;
        now += Duration::from_millis(u64::from(what & 0b1111) * 3);
        if let Ok(push) = player.push(timestamp, packet.to_vec().into(), now) {
            std::hint::black_box(push);
        }
        player.pull(now, &mut frame);
    }
});
