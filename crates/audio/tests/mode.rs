//! How a voice is sent, by what is measured; and what is not sent at all.

use core::time::Duration;

use moqrelay_audio::level::{AudioLevel, Level};
use moqrelay_audio::mode::{
    Aim, BASELINE, Controller, Gate, Length, Mode, PATIENCE, Report, Sending,
};

const SECOND: Duration = Duration::from_secs(1);
const CLEAN: Report = Report {
    loss: 0.0,
    bandwidth_bps: None,
};

#[test]
fn saving_means_40_ms_and_the_base_bitrate() {
    let controller = Controller::new(Aim::Saving, 24_000, Length::Ms20);

    let mode = controller.mode();

    let wanted = Mode {
        length: Length::Ms40,
        bitrate_bps: 24_000,
        fec_percent: 0,
    };
    assert_eq!(mode, wanted);
    assert!(f64::from(mode.wire_bps()) < 0.75 * f64::from(BASELINE.wire_bps()));
}

#[test]
fn quality_begins_at_20_ms_and_rises_only_on_a_wide_way() {
    let mut controller = Controller::new(Aim::Quality, 24_000, Length::Ms10);
    assert_eq!(controller.mode().length, Length::Ms20);

    run(
        &mut controller,
        0..60,
        Report {
            bandwidth_bps: Some(1_000_000),
            ..CLEAN
        },
    );

    let mode = controller.mode();
    assert_eq!((mode.length, mode.bitrate_bps), (Length::Ms10, 48_000));
}

#[test]
fn pieces_of_20_ms_are_never_cut() {
    let mut controller = Controller::new(Aim::Quality, 24_000, Length::Ms20);

    run(
        &mut controller,
        0..60,
        Report {
            bandwidth_bps: Some(1_000_000),
            ..CLEAN
        },
    );

    assert_eq!(controller.mode().length, Length::Ms20);
}

#[test]
fn loss_means_short_packets_and_error_correction_at_once() {
    let mut controller = Controller::new(Aim::Saving, 24_000, Length::Ms20);

    controller.handle(
        Report {
            loss: 0.05,
            ..CLEAN
        },
        SECOND,
    );

    let mode = controller.mode();
    assert_eq!((mode.length, mode.bitrate_bps), (Length::Ms20, 24_000));
    assert_eq!(mode.fec_percent, 7);
}

#[test]
fn after_loss_it_goes_back_only_when_it_stays_away() {
    let mut controller = Controller::new(Aim::Saving, 24_000, Length::Ms20);
    controller.handle(
        Report {
            loss: 0.05,
            ..CLEAN
        },
        Duration::ZERO,
    );

    run(&mut controller, 1..8, CLEAN);
    assert_eq!(controller.mode().length, Length::Ms20);
    controller.handle(
        Report {
            loss: 0.02,
            ..CLEAN
        },
        8 * SECOND,
    );
    let calm = 9 + 2;
    run(&mut controller, 9..calm + PATIENCE.as_secs(), CLEAN);
    assert_eq!(controller.mode().length, Length::Ms20);
    run(&mut controller, 21..26, CLEAN);

    assert_eq!(
        controller.mode(),
        Controller::new(Aim::Saving, 24_000, Length::Ms20).mode()
    );
}

#[test]
fn a_narrow_way_is_fitted_at_once_and_a_wider_one_slowly() {
    let mut controller = Controller::new(Aim::Saving, 24_000, Length::Ms20);
    let narrow = Report {
        bandwidth_bps: Some(32_000),
        ..CLEAN
    };
    let wide = Report {
        bandwidth_bps: Some(500_000),
        ..CLEAN
    };

    controller.handle(narrow, SECOND);
    let low = controller.mode();
    assert!(
        low.wire_bps() <= 24_000 && low.length == Length::Ms60,
        "{low:?}"
    );

    run(&mut controller, 2..8, wide);
    assert_eq!(controller.mode(), low);
    run(&mut controller, 8..14, wide);
    let risen = controller.mode();
    assert!(risen.wire_bps() > low.wire_bps());
    assert!(
        risen != Controller::new(Aim::Saving, 24_000, Length::Ms20).mode(),
        "one rung at a time"
    );
}

#[test]
fn the_usual_mode_fits_through_120_kbit_s_and_not_through_64() {
    for (bandwidth_bps, narrowed) in [(120_000, false), (64_000, true), (30_000, true)] {
        let mut controller = Controller::new(Aim::Quality, 32_000, Length::Ms20);

        controller.handle_bandwidth(bandwidth_bps, SECOND);

        let mode = controller.mode();
        assert_eq!(controller.is_narrowed(), narrowed, "{bandwidth_bps}");
        assert!(!narrowed || mode.wire_bps() < bandwidth_bps, "{mode:?}");
        assert!((12_000..=64_000).contains(&mode.bitrate_bps));
    }
}

#[test]
fn loss_that_is_measured_less_often_does_not_keep_a_way_narrow() {
    let mut controller = Controller::new(Aim::Quality, 32_000, Length::Ms20);
    controller.handle_bandwidth(40_000, SECOND);
    let low = controller.mode();

    for second in 2..60 {
        let now = Duration::from_secs(second);
        controller.handle_bandwidth(500_000, now);
        if second % 5 == 0 {
            controller.handle(CLEAN, now);
        }
    }

    assert!(controller.mode().bitrate_bps > low.bitrate_bps);
    assert!(!controller.is_narrowed());
}

#[test]
fn the_poorest_mode_is_kept_however_narrow_the_way() {
    let mut controller = Controller::new(Aim::Saving, 24_000, Length::Ms20);

    run(
        &mut controller,
        0..9,
        Report {
            loss: 0.9,
            bandwidth_bps: Some(0),
        },
    );

    let mode = controller.mode();
    assert_eq!((mode.bitrate_bps, mode.fec_percent), (12_000, 30));
}

#[test]
fn nonsense_does_no_harm() {
    let mut controller = Controller::new(Aim::Quality, u32::MAX, Length::Ms60);
    for loss in [f64::NAN, f64::INFINITY, -1.0, 2.0] {
        controller.handle(
            Report {
                loss,
                bandwidth_bps: Some(u32::MAX),
            },
            Duration::ZERO,
        );
        let mode = controller.mode();
        assert!((12_000..=64_000).contains(&mode.bitrate_bps));
        assert_eq!(mode.length, Length::Ms60);
    }
}

#[test]
fn speech_is_sent_and_held_on_for_80_ms_after_its_end() {
    let mut gate = Gate::new();
    let mut sent: Vec<_> = (0..5).map(|_| gate.handle(voice())).collect();
    sent.extend((0..6).map(|_| gate.handle(hum(60))));

    assert_eq!(sent[0], Sending::Begin);
    assert!(
        sent[1..9].iter().all(|sending| *sending == Sending::Speech),
        "{sent:?}"
    );
    assert_eq!(sent[9], Sending::Tell(Level::new(60)));
    assert_eq!(sent[10], Sending::Nothing);
}

#[test]
fn silence_is_told_at_its_beginning_and_once_a_second() {
    let mut gate = Gate::new();
    gate.handle(voice());

    let told = (0..504)
        .filter(|_| matches!(gate.handle(hum(62)), Sending::Tell(_)))
        .count();

    assert_eq!(told, 10);
}

#[test]
fn a_leg_that_begins_in_silence_says_so_first() {
    assert_eq!(Gate::new().handle(hum(70)), Sending::Tell(Level::new(70)));
}

#[test]
fn another_background_is_told_within_a_second() {
    let mut gate = Gate::new();
    gate.handle(hum(70));
    for _ in 0..11 {
        gate.handle(hum(70));
    }

    let told: Vec<_> = (0..30).map(|_| gate.handle(hum(55))).collect();

    assert!(
        told.iter()
            .any(|sending| matches!(sending, Sending::Tell(level) if level.minus_dbov() < 65)),
        "{told:?}"
    );
}

fn run(controller: &mut Controller, seconds: core::ops::Range<u64>, report: Report) {
    for second in seconds {
        controller.handle(report, Duration::from_secs(second));
    }
}

fn voice() -> AudioLevel {
    AudioLevel {
        level: Level::new(20),
        voice: true,
    }
}

fn hum(minus_dbov: u8) -> AudioLevel {
    AudioLevel {
        level: Level::new(minus_dbov),
        voice: false,
    }
}
