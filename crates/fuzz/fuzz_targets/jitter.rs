//! Arrivals of any timestamp at any time to the jitter buffer: it stays small, and what it gives can
//! be played.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use moqrelay_audio::jitter::{Buffer, Config, Play};

// Two bytes choose the limits, then each step is: what to do, four bytes of a number.
fuzz_target!(|data: &[u8]| {
    let [first, second, rest @ ..] = data else {
        return;
    };
    let ms = |byte: u8, unit: u64| Duration::from_millis(u64::from(byte) * unit);
    let config = Config {
        delay_min: ms(first & 0xf, 10),
        delay_start: ms(first >> 4, 20),
        delay_max: ms(second & 0xf, 50),
        step: ms(second >> 4, 3),
        recover: first & 1 == 0,
    };
    let mut buffer = Buffer::new(config);
    let mut now = Duration::from_secs(1);
    let mut media = 0u64;
    let mut steps = rest.chunks_exact(5);
    for step in &mut steps {
        let number = u32::from_be_bytes([step[1], step[2], step[3], step[4]]);
        let small = u64::from(number % 60);
        match step[0] % 8 {
            0..=2 => {
                media = media.wrapping_add(960);
                let timestamp = media.wrapping_sub(small / 8 * 960);
                std::hint::black_box(buffer.push(timestamp, Duration::from_millis(20), (), now));
            }
            3 => {
                let timestamp = u64::from(number) << (step[0] >> 2);
                let duration = Duration::from_micros(u64::from(number >> 8));
                std::hint::black_box(buffer.push(timestamp, duration, (), now));
            }
            4 | 5 => match buffer.pop(now, Duration::from_millis(small)) {
                Play::Item { duration, .. } => assert!(duration >= Duration::from_micros(2_500)),
                Play::Recover { missing: d, .. } | Play::Conceal(d) | Play::Silence(d) => {
                    assert!(!d.is_zero() && d <= Duration::from_millis(125));
                }
            },
            6 => now += Duration::from_millis(small),
            _ => {
                now = now.saturating_sub(Duration::from_millis(small))
                    + Duration::from_nanos(u64::from(number))
            }
        }
        let stats = buffer.stats();
        assert!(stats.depth <= config.delay_max + Duration::from_millis(440));
        assert!(stats.played + stats.late + stats.duplicates + stats.overflowed <= stats.received);
    }
});
