//! Mixing: exact for one, soft for many, and nobody hears himself.

use moqrelay_audio::mix::{Bus, soften};
use proptest::prelude::*;

#[test]
fn one_voice_comes_out_unchanged() {
    let voice: Vec<i16> = (i16::MIN..=i16::MAX).step_by(7).collect();
    let mut bus = Bus::new(voice.len());
    bus.add(&voice);

    let mut out = vec![0; voice.len()];
    bus.total(&mut out);

    assert_eq!(out, voice);
}

#[test]
fn in_a_room_of_two_each_hears_the_other_exactly() {
    let (anna, bert) = (vec![32_000i16; 160], vec![-31_000i16; 160]);
    let mut bus = Bus::new(160);
    bus.add(&anna);
    bus.add(&bert);

    let mut out = vec![0; 160];
    bus.total_without(&anna, &mut out);
    assert_eq!(out, bert);
    bus.total_without(&bert, &mut out);
    assert_eq!(out, anna);
}

#[test]
fn quiet_voices_simply_add_up() {
    let mut bus = Bus::new(4);
    for voice in [
        [100i16, -100, 5000, 0],
        [1, 2, 3, 4],
        [1000, 1000, 1000, 1000],
    ] {
        bus.add(&voice);
    }

    let mut out = [0; 4];
    bus.total(&mut out);

    assert_eq!(out, [1101, 902, 6003, 1004]);
    assert_eq!(bus.voices(), 3);
}

#[test]
fn a_bus_starts_each_tick_afresh() {
    let mut bus = Bus::new(2);
    bus.add(&[7, 7]);
    bus.clear();

    let mut out = [9; 3];
    bus.total(&mut out);

    assert_eq!(out, [0, 0, 0]);
    assert_eq!(bus.voices(), 0);
}

#[test]
fn a_short_voice_ends_in_silence_and_a_long_one_is_cut() {
    let mut bus = Bus::new(3);
    bus.add(&[5]);
    bus.add(&[1, 1, 1, 1, 1]);

    let mut out = [0; 3];
    bus.total(&mut out);

    assert_eq!(out, [6, 1, 1]);
}

#[test]
fn softening_is_straight_first_then_flatter_and_never_turns_back() {
    assert_eq!(soften(24_000), 24_000);
    assert_eq!(soften(-24_000), -24_000);
    assert_eq!(soften(0), 0);

    let mut last = 0;
    for sum in 0..200_000 {
        let bent = soften(sum);
        let step = i32::from(bent) - last;
        assert!((0..=1).contains(&step), "at {sum}: {step}");
        assert!((i32::from(soften(-sum)) + i32::from(bent)).abs() <= 1);
        last = bent.into();
    }
    assert!(last > 31_000);
}

proptest! {
    #[test]
    fn softening_takes_any_sum(sum: i32) {
        let bent = soften(sum);
        prop_assert_eq!(bent.signum() as i32, sum.signum());
        prop_assert!(i32::from(bent).unsigned_abs() <= sum.unsigned_abs().min(32_768));
    }
}
