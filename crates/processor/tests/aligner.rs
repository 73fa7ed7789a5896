//! Whatever a service answers, every frame goes on once, in order and in time.

use std::time::{Duration, Instant};

use moqrelay_processor::aligner::{Aligner, Fate, Verdict, WAITING_MAX};
use proptest::{collection::vec, prelude::*};

const DEADLINE: Duration = Duration::from_millis(40);
const FRAME: Duration = Duration::from_millis(20);

#[test]
fn answers_take_the_place_of_their_questions() {
    let (mut aligner, start) = aligner();
    for sequence in 0..3 {
        aligner.ask(sequence, said(sequence), start);
    }

    for sequence in [1, 0, 2] {
        let taken = aligner.answer(sequence, start + FRAME / 2, |frame| {
            *frame = answered(sequence);
            true
        });
        assert_eq!(taken, Verdict::Taken(FRAME / 2));
    }

    let expected = [0, 1, 2].map(|sequence| (answered(sequence), Fate::Answered));
    assert_eq!(outputs(&mut aligner), expected);
    assert_eq!(aligner.take_missed(), 0);
}

#[test]
fn who_cannot_wait_has_the_oldest_frame_as_it_was_and_nobody_is_to_blame() {
    let (mut aligner, start) = aligner();
    aligner.ask(0, said(0), start);
    aligner.ask(1, said(1), start);

    aligner.hurry();

    assert_eq!(outputs(&mut aligner), [(said(0), Fate::Passed)]);
    assert_eq!(aligner.take_missed(), 0);
}

#[test]
fn a_frame_without_an_answer_goes_on_at_its_deadline_as_it_was() {
    let (mut aligner, start) = aligner();
    aligner.ask(0, said(0), start);
    aligner.ask(1, said(1), start + FRAME);
    aligner.answer(1, start + FRAME, |frame| {
        *frame = answered(1);
        true
    });

    aligner.handle_timeout(start + DEADLINE - Duration::from_millis(1));
    assert_eq!(outputs(&mut aligner), []);
    assert_eq!(aligner.poll_timeout(), Some(start + DEADLINE));
    aligner.handle_timeout(start + DEADLINE);

    assert_eq!(
        outputs(&mut aligner),
        [(said(0), Fate::Passed), (answered(1), Fate::Answered)]
    );
    assert_eq!(aligner.take_missed(), 1);
    assert_eq!(aligner.take_missed(), 0);
}

#[test]
fn late_and_strange_answers_are_not_wanted() {
    let (mut aligner, start) = aligner();
    aligner.ask(0, said(0), start);
    aligner.handle_timeout(start + DEADLINE);
    assert_eq!(outputs(&mut aligner).len(), 1);

    for sequence in [0, 7, u64::MAX] {
        let verdict = aligner.answer(sequence, start + DEADLINE, |_| panic!("not wanted"));
        assert_eq!(verdict, Verdict::Unwanted);
    }
}

#[test]
fn an_answer_that_does_not_fit_is_a_miss_at_once() {
    let (mut aligner, start) = aligner();
    aligner.ask(0, said(0), start);

    assert_eq!(aligner.answer(0, start, |_| false), Verdict::Unfit);

    assert_eq!(outputs(&mut aligner), [(said(0), Fate::Passed)]);
    assert_eq!(aligner.take_missed(), 1);
}

#[test]
fn nothing_is_lost_when_the_service_dies() {
    let (mut aligner, start) = aligner();
    aligner.ask(0, said(0), start);
    aligner.ask(1, said(1), start);
    aligner.answer(1, start, |frame| {
        *frame = answered(1);
        true
    });

    aligner.give_up();
    aligner.pass(2, said(2));

    let fates = [
        (said(0), Fate::Passed),
        (answered(1), Fate::Answered),
        (said(2), Fate::Passed),
    ];
    assert_eq!(outputs(&mut aligner), fates);
    assert_eq!((aligner.take_missed(), aligner.poll_timeout()), (0, None));
}

#[test]
fn a_flood_does_not_wait() {
    let (mut aligner, start) = aligner();
    for sequence in 0..1_000 {
        aligner.ask(sequence, said(sequence), start);
    }

    let gone = outputs(&mut aligner);

    assert_eq!(gone.len(), 1_000 - WAITING_MAX);
    assert_eq!(aligner.take_missed(), gone.len() as u64);
}

/// What may happen to an aligner.
#[derive(Debug, Clone)]
enum Step {
    Ask,
    Pass,
    Answer(u64),
    Wait(u64),
    GiveUp,
}

proptest! {
    #[test]
    fn every_frame_goes_on_once_in_order_and_in_time(steps in vec(step(), 1..300)) {
        let (mut aligner, mut now) = aligner();
        let mut sent: Vec<Instant> = Vec::new();
        let mut gone = 0;
        for step in steps {
            match step {
                Step::Ask => {
                    aligner.ask(sent.len() as u64, said(sent.len() as u64), now);
                    sent.push(now);
                }
                Step::Pass => {
                    aligner.pass(sent.len() as u64, said(sent.len() as u64));
                    sent.push(now);
                }
                Step::Answer(back) => {
                    let sequence = (sent.len() as u64).wrapping_sub(back);
                    aligner.answer(sequence, now, |frame| {
                        assert_eq!(*frame, said(sequence));
                        *frame = answered(sequence);
                        true
                    });
                }
                Step::Wait(ms) => now += Duration::from_millis(ms),
                Step::GiveUp => aligner.give_up(),
            }
            aligner.handle_timeout(now);
            for (frame, _) in outputs(&mut aligner) {
                prop_assert!(frame == said(gone) || frame == answered(gone));
                gone += 1;
            }
            let waiting = sent.len() as u64 - gone;
            prop_assert!(waiting <= WAITING_MAX as u64);
            for at in &sent[gone as usize..] {
                prop_assert!(now < *at + DEADLINE);
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Ask),
        1 => Just(Step::Pass),
        4 => (0..8_u64).prop_map(Step::Answer),
        2 => (0..50_u64).prop_map(Step::Wait),
        1 => Just(Step::GiveUp),
    ]
}

fn aligner() -> (Aligner<(u64, bool)>, Instant) {
    (Aligner::new(DEADLINE), Instant::now())
}

fn said(sequence: u64) -> (u64, bool) {
    (sequence, false)
}

fn answered(sequence: u64) -> (u64, bool) {
    (sequence, true)
}

fn outputs(aligner: &mut Aligner<(u64, bool)>) -> Vec<((u64, bool), Fate)> {
    std::iter::from_fn(|| aligner.poll_output()).collect()
}
