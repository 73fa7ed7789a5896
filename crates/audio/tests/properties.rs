//! Whatever comes, at whatever time: no panic, bounded memory, sound for every tick.

use core::time::Duration;

use moqrelay_audio::SampleRate::Hz48000;
use moqrelay_audio::jitter::{Buffer, Config, Play};
use moqrelay_audio::playout::PcmPlayer;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Push {
        timestamp: u64,
        duration_us: u64,
    },
    Pop {
        ahead_ms: u64,
    },
    /// The clock, forward or back.
    Clock {
        nanos: i64,
    },
    ClockTo(Duration),
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let timestamp = prop_oneof![
        6 => (0u64..200).prop_map(|n| n * 960),
        2 => 0u64..400_000,
        1 => any::<u64>(),
        1 => Just(u64::MAX),
    ];
    let duration_us = prop_oneof![
        6 => Just(20_000u64),
        2 => prop::sample::select(vec![2_500u64, 5_000, 10_000, 40_000, 60_000, 120_000]),
        1 => any::<u64>(),
    ];
    prop_oneof![
        10 => (timestamp, duration_us)
            .prop_map(|(timestamp, duration_us)| Step::Push { timestamp, duration_us }),
        10 => prop_oneof![9 => 0u64..40, 1 => any::<u64>()]
            .prop_map(|ahead_ms| Step::Pop { ahead_ms }),
        8 => (-5_000_000i64..40_000_000).prop_map(|nanos| Step::Clock { nanos }),
        1 => (any::<u64>(), 0u32..1_000_000_000)
            .prop_map(|(s, n)| Step::ClockTo(Duration::new(s, n))),
        1 => Just(Step::Reset),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let ms = |max: u64| prop_oneof![9 => (0..max).prop_map(Duration::from_millis), 1 => Just(Duration::MAX)];
    (ms(200), ms(200), ms(600), ms(60), any::<bool>()).prop_map(
        |(delay_min, delay_start, delay_max, step, recover)| Config {
            delay_min,
            delay_start,
            delay_max,
            step,
            recover,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_buffer_never_panics_and_stays_small(
        config in config(),
        steps in proptest::collection::vec(step(), 0..600),
    ) {
        let mut buffer = Buffer::new(config);
        let mut now = Duration::from_secs(5);
        let (mut pushed, mut popped) = (0u64, 0u64);
        for step in steps {
            match step {
                Step::Push { timestamp, duration_us } => {
                    let _ = buffer.push(timestamp, Duration::from_micros(duration_us), pushed, now);
                    pushed += 1;
                }
                Step::Pop { ahead_ms } => match buffer.pop(now, Duration::from_millis(ahead_ms)) {
                    Play::Item { duration, .. } => {
                        popped += 1;
                        prop_assert!(duration >= Duration::from_micros(2_500));
                    }
                    Play::Recover { missing: d, .. } | Play::Conceal(d) | Play::Silence(d) => {
                        prop_assert!(!d.is_zero() && d <= Duration::from_millis(125), "{:?}", d);
                    }
                },
                Step::Clock { nanos } if nanos < 0 => {
                    now = now.saturating_sub(Duration::from_nanos(nanos.unsigned_abs()));
                }
                Step::Clock { nanos } => {
                    now = now.saturating_add(Duration::from_nanos(nanos.unsigned_abs()));
                }
                Step::ClockTo(to) => now = to,
                Step::Reset => buffer.reset(),
            }
            let stats = buffer.stats();
            prop_assert!(stats.depth <= config.delay_max.saturating_add(Duration::from_millis(440)));
            prop_assert!(stats.depth <= Duration::from_secs(11));
            prop_assert!(popped + stats.late + stats.duplicates + stats.overflowed <= pushed);
            prop_assert_eq!(stats.received, pushed);
            prop_assert_eq!(stats.played, popped);
        }
    }

    #[test]
    fn the_player_fills_every_tick(
        seed_frames in proptest::collection::vec((0u64..300, 1usize..3_000, 0u64..60), 0..200),
        tick in 1usize..2_000,
    ) {
        let mut player = PcmPlayer::<f32>::pcm(Hz48000, Config::default());
        let mut now = Duration::ZERO;
        let mut out = vec![9.0f32; tick];
        for (slot, samples, wait_ms) in seed_frames {
            let _ = player.push(slot * 960, &vec![0.5; samples], now);
            now += Duration::from_millis(wait_ms);
            out.fill(9.0);
            player.pull(now, &mut out);
            prop_assert!(out.iter().all(|x| (-1.0..=1.0).contains(x)));
        }
    }
}
