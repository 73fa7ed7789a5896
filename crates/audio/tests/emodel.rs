//! The E-model against what ITU-T G.107 publishes.

use std::time::Duration;

use moqrelay_audio::emodel::{Codec, Conditions, Rating};

fn rating(ms: u64, loss: f64) -> Rating {
    Rating::new(&Conditions {
        delay: Duration::from_millis(ms),
        loss,
        burst_ratio: 1.0,
        codec: Codec::G711,
    })
}

#[test]
fn the_defaults_give_the_published_rating() {
    let clean = rating(0, 0.0);

    assert!((clean.r() - 93.2).abs() < 0.05, "{}", clean.r());
    assert!((clean.mos() - 4.41).abs() < 0.005, "{}", clean.mos());
}

/// G.107 table B.1: lower limits of R, and the mean opinion score at each (one is rounded up there).
#[test]
fn ratings_turn_into_the_published_opinion_scores() {
    let table = [
        (90.0, 4.34),
        (80.0, 4.03),
        (70.0, 3.60),
        (60.0, 3.10),
        (50.0, 2.58),
    ];

    for (r, mos) in table {
        let computed = Rating::from_r(r).mos();
        assert!(
            (computed - mos).abs() < 0.01,
            "R {r}: {computed}, not {mos}"
        );
    }
}

#[test]
fn opinion_scores_stay_on_their_scale() {
    assert_eq!(Rating::from_r(-20.0).mos(), 1.0);
    assert_eq!(Rating::from_r(3.0).mos(), 1.0);
    assert_eq!(Rating::from_r(100.0).mos(), 4.5);
    assert_eq!(Rating::from_r(120.0).mos(), 4.5);
}

#[test]
fn delay_hurts_little_up_to_150_ms_and_much_beyond() {
    let at = |ms| rating(ms, 0.0).r();

    assert!(at(0) - at(100) < 5.0, "{}", at(100));
    assert!(at(150) > 80.0, "{}", at(150));
    assert!(at(400) < 70.0, "{}", at(400));
    for ms in (0..1000).step_by(10) {
        assert!(at(ms + 10) <= at(ms), "worse sound later, at {ms} ms");
    }
}

/// Ie,eff by hand: 95 x 5 / (5 + 25.1) = 15.8.
#[test]
fn loss_costs_what_the_formula_says() {
    let cost = rating(0, 0.0).r() - rating(0, 0.05).r();

    assert!((cost - 15.78).abs() < 0.01, "{cost}");
}

#[test]
fn loss_in_bursts_is_worse_than_the_same_amount_at_random() {
    let bursts = Rating::new(&Conditions {
        delay: Duration::ZERO,
        loss: 0.05,
        burst_ratio: 3.0,
        codec: Codec::OPUS,
    });

    assert!(bursts.r() < rating(0, 0.05).r());
}

#[test]
fn senseless_conditions_count_as_the_nearest_sense() {
    let silly = Rating::new(&Conditions {
        delay: Duration::ZERO,
        loss: 7.0,
        burst_ratio: 0.0,
        codec: Codec::OPUS,
    });

    assert!(silly.r() >= -5.0 && silly.r() < 30.0, "{}", silly.r());
}
