//! Calls on networks that lose and delay packets: heard throughout, in virtual time.

mod common;
#[path = "common/tone_call.rs"]
mod tone_call;

use common::Conditions;
use tone_call::ToneCall;

const BAD: Conditions = Conditions {
    loss: 0.05,
    jitter_ms: 30.0,
    normal_ms: 0.0,
    burst: None,
    stall: None,
    reorder: 0.0,
};

#[test]
fn five_percent_of_loss_and_30_ms_of_jitter_leave_no_gap_beyond_60_ms() {
    for saving in [false, true] {
        let call = ToneCall::run(25, saving, BAD);

        assert!(call.gap_ms <= 60, "{call:?}");
        assert!(call.delay_max_ms <= 120.0, "{call:?}");
        assert_eq!(call.seconds_with_tone, call.seconds, "{call:?}");
    }
}

#[test]
fn a_call_outlives_20_percent_of_loss_and_recovers_within_a_second() {
    for saving in [false, true] {
        let terrible = Conditions { loss: 0.2, ..BAD };
        let call = ToneCall::with(26, saving, |second| {
            if (8..16).contains(&second) {
                terrible
            } else {
                Conditions::default()
            }
        });

        let heard = call.tone[8..16].iter().filter(|tone| **tone).count();
        assert!(heard >= 6, "{call:?}");
        assert!(call.tone[17..].iter().all(|tone| *tone), "{call:?}");
    }
}

#[test]
fn a_dead_network_of_two_seconds_is_over_within_a_second() {
    let dead = Conditions { loss: 1.0, ..BAD };
    let call = ToneCall::with(16, false, |second| {
        if (8..10).contains(&second) {
            dead
        } else {
            Conditions::default()
        }
    });

    assert!(!call.tone[9], "{call:?}");
    assert!(call.tone[11..].iter().all(|tone| *tone), "{call:?}");
}
