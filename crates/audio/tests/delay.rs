//! The jitter buffer's delay: low on a good network, enough on a bad one, and given back.

mod common;

use core::time::Duration;

use common::{Conditions, Network, Report, arrivals, ms, run, speech};
use moqrelay_audio::SampleRate::{Hz8000, Hz48000};
use moqrelay_audio::jitter::{Config, Stats};
use moqrelay_audio::playout::PcmPlayer;

/// A leg's ticks at 8 kHz and about a worklet's quantum, at several phases to the sender.
const PLAYERS: [(usize, f64); 4] = [(160, 3.0), (160, 11.0), (160, 17.0), (21, 5.0)];

#[test]
fn on_loopback_the_delay_is_at_most_40_ms_and_nothing_is_missing() {
    for jitter_ms in [0.0, 2.0, 5.0] {
        for player in PLAYERS {
            let report = call(
                60,
                Conditions {
                    jitter_ms,
                    ..Conditions::default()
                },
                player,
            );

            assert!(
                report.delay_max_ms(2..60) <= 40.0,
                "{player:?}: {}",
                report.delay_max_ms(2..60)
            );
            assert!(
                report.delay_ms(5..60) <= 33.0,
                "{player:?}: {}",
                report.delay_ms(5..60)
            );
            assert_eq!(report.stats().concealed, Duration::ZERO, "{player:?}");
            assert!(report.stats().played > 2_990, "{player:?}");
        }
    }
}

#[test]
fn even_jitter_is_covered_by_its_spread_and_a_step() {
    for jitter_ms in [20.0, 52.0] {
        for player in PLAYERS {
            let report = call(
                60,
                Conditions {
                    jitter_ms,
                    ..Conditions::default()
                },
                player,
            );

            let delay = report.delay_ms(10..60);
            assert!(
                delay < jitter_ms + 21.0,
                "{jitter_ms} ms, {player:?}: {delay} ms"
            );
            assert!(
                report.concealed_ms(10..60) <= 20.0,
                "{jitter_ms} ms, {player:?}"
            );
        }
    }
}

#[test]
fn jitter_with_a_tail_leaves_few_gaps() {
    for player in PLAYERS {
        let report = call(
            60,
            Conditions {
                normal_ms: 15.0,
                ..Conditions::default()
            },
            player,
        );

        assert!(
            report.concealed_ms(0..60) <= 120.0,
            "{player:?}: {:?}",
            report.stats()
        );
        assert!(
            report.delay_ms(10..60) < 80.0,
            "{player:?}: {}",
            report.delay_ms(10..60)
        );
    }
}

#[test]
fn stalls_that_come_again_are_heard_once_or_twice() {
    for (stall, most_ms) in [((1_000.0, 100.0), 130.0), ((3_000.0, 250.0), 290.0)] {
        for player in PLAYERS {
            let conditions = Conditions {
                jitter_ms: 5.0,
                stall: Some(stall),
                ..Conditions::default()
            };
            let report = call(60, conditions, player);

            assert_eq!(report.concealed_ms(10..60), 0.0, "{stall:?}, {player:?}");
            assert!(report.delay_ms(20..60) < most_ms, "{stall:?}, {player:?}");
            // What was held back is played late, not thrown away.
            assert_eq!(
                report.stats().late + report.stats().overflowed,
                0,
                "{stall:?}, {player:?}"
            );
        }
    }
}

#[test]
fn delay_gained_in_a_single_stall_is_given_back() {
    for player in PLAYERS {
        // The stall is at 20 s.
        let conditions = Conditions {
            jitter_ms: 5.0,
            stall: Some((20_000.0, 300.0)),
            ..Conditions::default()
        };
        let report = call(35, conditions, player);

        assert!(report.delay_max_ms(20..22) > 250.0, "{player:?}");
        assert!(
            report.delay_ms(30..35) < 40.0,
            "{player:?}: {}",
            report.delay_ms(30..35)
        );
        assert!(
            report.stats().shed > Duration::from_millis(230),
            "{player:?}"
        );
        assert_eq!(report.concealed_ms(22..35), 0.0, "{player:?}");
    }
}

#[test]
fn loss_alone_adds_no_delay_when_it_cannot_be_recovered() {
    for player in PLAYERS {
        let report = call(
            60,
            Conditions {
                jitter_ms: 5.0,
                loss: 0.05,
                ..Conditions::default()
            },
            player,
        );

        assert!(report.delay_max_ms(2..60) <= 40.0, "{player:?}");
        // As much is concealed as was lost.
        let stats = report.stats();
        assert!(stats.lost > 100, "{player:?}");
        assert!(
            (ms(stats.concealed) - stats.lost as f64 * 20.0).abs() <= 60.0,
            "{player:?}: {stats:?}"
        );
        assert_eq!(stats.late, 0, "{player:?}");
    }
}

#[test]
fn packets_out_of_order_are_put_in_order() {
    for player in PLAYERS {
        let conditions = Conditions {
            jitter_ms: 5.0,
            reorder: 0.05,
            ..Conditions::default()
        };
        let report = call(60, conditions, player);

        assert!(
            report.concealed_ms(10..60) <= 120.0,
            "{player:?}: {:?}",
            report.stats()
        );
        assert!(report.stats().late <= 6, "{player:?}: {:?}", report.stats());
    }
}

#[test]
fn bursts_of_loss_do_not_make_the_delay_grow() {
    for player in PLAYERS {
        let conditions = Conditions {
            jitter_ms: 5.0,
            burst: Some((0.02, 4.0)),
            ..Conditions::default()
        };
        let report = call(60, conditions, player);

        assert!(
            report.delay_max_ms(2..60) <= 60.0,
            "{player:?}: {}",
            report.delay_max_ms(2..60)
        );
        assert!(
            report.delay_ms(30..60) <= 40.0,
            "{player:?}: {}",
            report.delay_ms(30..60)
        );
    }
}

#[test]
fn a_sender_100_ppm_fast_is_followed_for_an_hour() {
    for player in [(160, 11.0), (80, 5.0)] {
        let stats = an_hour(100.0, player);
        let moved = ms(stats.shed) - ms(stats.gained);
        assert!((340.0..400.0).contains(&moved), "{player:?}: {moved} ms");
        // Up to a period for each of 18 to 36 corrections.
        assert!(
            ms(stats.gained) < 200.0,
            "{player:?}: {:?} in vain",
            stats.gained
        );
    }
}

#[test]
fn a_sender_100_ppm_slow_is_followed_for_an_hour() {
    for player in [(160, 11.0), (80, 5.0)] {
        let stats = an_hour(-100.0, player);
        let moved = ms(stats.gained) - ms(stats.shed);
        assert!((320.0..380.0).contains(&moved), "{player:?}: {moved} ms");
        assert!(
            ms(stats.shed) < 200.0,
            "{player:?}: {:?} in vain",
            stats.shed
        );
    }
}

#[test]
fn people_in_a_room_whose_clocks_are_400_ppm_apart_stay_together_for_an_hour() {
    // The node's own clock is between the two: 200 ppm from each.
    let player = (160, 11.0);
    let conditions = Conditions {
        jitter_ms: 5.0,
        ..Conditions::default()
    };
    let [fast, slow] = [200.0, -200.0].map(|ppm| drifting(3_600, ppm, conditions, player));

    for (report, moved) in [(&fast, 720.0), (&slow, -720.0)] {
        let stats = report.stats();
        assert_eq!(stats.underruns, 0, "{stats:?}");
        assert_eq!(stats.concealed, Duration::ZERO, "{stats:?}");
        assert_eq!(stats.late + stats.overflowed + stats.lost, 0, "{stats:?}");
        let by = ms(stats.shed) - ms(stats.gained);
        assert!((by - moved).abs() < 60.0, "moved by {by} ms, not {moved}");
    }
    for second in 2..3_599 {
        let of = |report: &Report<i16>| report.delay_max_ms(second..second + 1);
        let (fast, slow) = (of(&fast), of(&slow));
        assert!(
            fast <= 50.0 && slow <= 50.0,
            "{second} s: {fast}, {slow} ms"
        );
    }
}

/// Neither a gap nor growth, and the delay at the end is that of the beginning.
fn an_hour(ppm: f64, player: (usize, f64)) -> Stats {
    let conditions = Conditions {
        jitter_ms: 5.0,
        ..Conditions::default()
    };
    let report = drifting(3_600, ppm, conditions, player);

    let stats = report.stats();
    assert_eq!(stats.underruns, 0, "{player:?}: {stats:?}");
    assert_eq!(stats.concealed, Duration::ZERO, "{player:?}");
    assert_eq!(stats.late + stats.overflowed + stats.lost, 0, "{player:?}");
    assert!(
        report.delay_max_ms(2..3_600) <= 46.0,
        "{player:?}: {}",
        report.delay_max_ms(2..3_600)
    );
    let (early, late) = (report.delay_ms(10..600), report.delay_ms(3_000..3_600));
    assert!(
        (early - late).abs() < 10.0,
        "{player:?}: {early} then {late}"
    );
    stats
}

#[test]
fn a_browser_at_48_khz_in_quanta_of_128_is_served_alike() {
    let conditions = Conditions {
        jitter_ms: 5.0,
        ..Conditions::default()
    };
    let arrivals = arrivals(1_000, 0.0, &mut Network::new(3, conditions));
    let config = Config {
        step: Hz48000.duration_of(128),
        ..Config::default()
    };
    let mut player = PcmPlayer::<f32>::pcm(Hz48000, config);

    let report = run(
        &mut player,
        &arrivals,
        20,
        (128, 1.0),
        |player, number, now| {
            let sound: Vec<f32> = speech(Hz48000, number)
                .iter()
                .map(|s| f32::from(*s) / 32_768.0)
                .collect();
            let _ = player.push(number * 960, &sound, now);
        },
        Hz48000,
    );

    assert!(report.delay_ms(3..20) <= 30.0, "{}", report.delay_ms(3..20));
    assert_eq!(report.stats().concealed, Duration::ZERO);
}

fn call(seconds: usize, conditions: Conditions, player: (usize, f64)) -> Report<i16> {
    drifting(seconds, 0.0, conditions, player)
}

fn drifting(
    seconds: usize,
    ppm: f64,
    conditions: Conditions,
    (step, phase_ms): (usize, f64),
) -> Report<i16> {
    let mut network = Network::new(7, conditions);
    let arrivals = arrivals(seconds as u64 * 50 + 50, ppm, &mut network);
    let config = Config {
        step: Hz8000.duration_of(step),
        ..Config::default()
    };
    let mut player = PcmPlayer::pcm(Hz8000, config);
    let cycle: Vec<Vec<i16>> = (0..100).map(|n| speech(Hz8000, n)).collect();
    run(
        &mut player,
        &arrivals,
        seconds,
        (step, phase_ms),
        |player, number, now| {
            let _ = player.push(number * 960, &cycle[(number % 100) as usize], now);
        },
        Hz8000,
    )
}
