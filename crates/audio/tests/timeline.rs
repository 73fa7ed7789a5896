//! What the jitter buffer makes of gaps, restarts, duplicates and stragglers.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use core::time::Duration;

use moqrelay_audio::jitter::{Buffer, Config, Pace, Play, Push};

const FRAME: Duration = Duration::from_millis(20);

#[test]
fn items_come_out_in_order_one_each_tick() {
    let mut call = Call::new();
    call.talk(0..100);

    let items: Vec<u64> = call
        .played
        .iter()
        .filter_map(|piece| piece.item())
        .collect();
    assert!(items.len() >= 96);
    assert!(items.windows(2).all(|w| w[1] == w[0] + 1));
    assert!(!call.played.contains(&Piece::Conceal));
}

#[test]
fn a_duplicate_is_counted_and_dropped_before_and_after_it_was_played() {
    let mut call = Call::new();
    call.talk(0..50);

    assert_eq!(call.push(49), Push::Duplicate);
    assert_eq!(call.push(20), Push::Duplicate);

    let stats = call.buffer.stats();
    assert_eq!((stats.duplicates, stats.late), (2, 0));
}

#[test]
fn a_straggler_is_counted_and_dropped_and_raises_the_target() {
    let mut call = Call::new();
    call.talk(0..50);
    call.talk(51..60);
    let before = call.buffer.stats().target;

    assert_eq!(call.push(50), Push::Late);

    assert_eq!(call.buffer.stats().late, 1);
    assert!(call.buffer.stats().target > before + Duration::from_millis(100));
}

#[test]
fn a_lost_item_is_recovered_from_the_next_when_that_is_here() {
    let mut call = Call::with(Config {
        delay_min: 3 * FRAME,
        ..Config::default()
    });
    call.talk(0..50);
    call.tick(None);
    call.talk(51..60);
    call.drain();

    let at = call
        .played
        .iter()
        .position(|piece| *piece == Piece::Recover(51))
        .unwrap();
    assert_eq!(call.played[at - 1], Piece::Item(49));
    assert_eq!(call.played[at + 1], Piece::Item(51));
    assert_eq!(
        (call.buffer.stats().lost, call.buffer.stats().recovered),
        (1, 1)
    );
}

#[test]
fn of_a_longer_loss_only_the_last_item_is_recovered() {
    let mut call = Call::with(Config {
        delay_min: 5 * FRAME,
        ..Config::default()
    });
    call.talk(0..50);
    for _ in 0..3 {
        call.tick(None);
    }
    call.talk(53..60);
    call.drain();

    let at = call
        .played
        .iter()
        .position(|piece| *piece == Piece::Item(49))
        .unwrap();
    assert_eq!(
        call.played[at + 1..at + 5],
        [
            Piece::Conceal,
            Piece::Conceal,
            Piece::Recover(53),
            Piece::Item(53)
        ]
    );
    assert_eq!(
        (call.buffer.stats().lost, call.buffer.stats().recovered),
        (3, 1)
    );
}

#[test]
fn a_player_without_recovery_is_never_told_to_recover() {
    let config = Config {
        delay_min: 3 * FRAME,
        recover: false,
        ..Config::default()
    };
    let mut call = Call::with(config);
    call.talk(0..50);
    call.tick(None);
    call.talk(51..60);
    call.drain();

    assert!(
        call.played
            .iter()
            .all(|piece| !matches!(piece, Piece::Recover(_)))
    );
    assert_eq!(call.buffer.stats().concealed, FRAME + 5 * FRAME);
}

#[test]
fn the_end_of_sending_is_concealed_for_100_ms_and_then_silent() {
    let mut call = Call::new();
    call.talk(0..50);
    for _ in 0..50 {
        call.tick(None);
    }

    let last = call
        .played
        .iter()
        .rposition(|piece| piece.item().is_some())
        .unwrap();
    let after = &call.played[last + 1..];
    assert!(after[..5].iter().all(|piece| *piece == Piece::Conceal));
    assert!(after[5..].iter().all(|piece| *piece == Piece::Silence));
}

#[test]
fn an_announced_silence_is_neither_concealed_nor_lost() {
    let mut call = Call::new();
    call.talk(0..50);
    call.buffer.pause(50 * 960);
    for _ in 50..100 {
        call.tick(None);
    }
    call.talk(100..120);
    call.drain();

    assert!(
        !call.played.contains(&Piece::Conceal)
            || call
                .played
                .iter()
                .rposition(|piece| *piece == Piece::Conceal)
                > Some(119)
    );
    let first = call
        .played
        .iter()
        .position(|piece| *piece == Piece::Item(100))
        .unwrap();
    assert_eq!(call.played[first - 1], Piece::Silence);
    let stats = call.buffer.stats();
    assert_eq!((stats.pauses, stats.lost, stats.late), (1, 0, 0));
}

#[test]
fn what_is_lost_before_an_announced_silence_is_concealed() {
    let mut call = Call::new();
    call.talk(0..49);
    call.tick(None);
    call.buffer.pause(50 * 960);
    call.drain();

    let last = call
        .played
        .iter()
        .rposition(|piece| piece.item().is_some())
        .unwrap();
    assert_eq!(call.played[last + 1], Piece::Conceal);
    assert!(
        call.played[last + 2..]
            .iter()
            .all(|piece| *piece == Piece::Silence)
    );
}

#[test]
fn speech_that_follows_an_announced_silence_closely_keeps_its_place() {
    let config = Config {
        delay_min: 3 * FRAME,
        ..Config::default()
    };
    let mut call = Call::with(config);
    call.talk(0..50);
    call.buffer.pause(50 * 960);
    call.tick(None);
    call.tick(None);
    call.talk(52..60);
    call.drain();

    let at = call
        .played
        .iter()
        .position(|piece| *piece == Piece::Item(49))
        .unwrap();
    assert_eq!(
        call.played[at + 1..at + 4],
        [Piece::Silence, Piece::Silence, Piece::Item(52)]
    );
    assert_eq!(call.buffer.stats().lost, 0);
}

#[test]
fn a_pause_that_comes_late_or_twice_changes_nothing() {
    let mut call = Call::new();
    call.buffer.pause(7);
    call.talk(0..50);
    call.buffer.pause(30 * 960);
    call.talk(50..60);
    call.buffer.pause(60 * 960);
    call.buffer.pause(60 * 960);

    assert_eq!(call.buffer.stats().pauses, 1);
    assert!(call.played[10..].iter().all(|piece| piece.item().is_some()));
}

#[test]
fn after_a_pause_speech_begins_at_its_usual_delay() {
    // Three seconds of silence that was not sent, a minute, an hour.
    for pause in [150, 3_000, 180_000] {
        let mut call = Call::new();
        call.talk(0..100);
        let before = call.buffer.stats().delay;
        for _ in 0..pause {
            call.tick(None);
        }
        call.played.clear();
        call.talk(100 + pause..200 + pause);

        let first = call
            .played
            .iter()
            .position(|piece| piece.item().is_some())
            .unwrap();
        assert_eq!(call.played[first], Piece::Item(100 + pause));
        assert!(first <= 2, "{pause}: {first}");
        assert!(
            call.played[..first]
                .iter()
                .all(|piece| *piece == Piece::Silence)
        );
        assert!(
            call.played[first..]
                .iter()
                .all(|piece| piece.item().is_some()),
            "{pause}"
        );
        let after = call.buffer.stats().delay;
        assert!(
            after.abs_diff(before) <= FRAME,
            "{pause}: {before:?} then {after:?}"
        );
        assert_eq!(call.buffer.stats().late, 0);
    }
}

#[test]
fn a_publisher_that_restarts_is_heard_again_within_a_quarter_of_a_second() {
    // Its timestamps begin at 0 again, at something small, or jump far ahead.
    for offset in [0, 48_000, 48_000 * 3_600, u64::MAX / 2] {
        let mut call = Call::new();
        call.offset = 48_000 * 60;
        call.talk(0..500);
        call.played.clear();
        call.offset = offset;
        call.restarted_at = 500;
        call.talk(500..600);

        let first_new = call
            .played
            .iter()
            .position(|p| p.item().is_some_and(|n| n >= 500));
        let first_new = first_new.expect("the new sound is played");
        assert!(first_new <= 12, "{offset}: {first_new}");
        let rest = &call.played[first_new..];
        assert!(
            rest.iter().all(|piece| piece.item().is_some()),
            "{offset}: {rest:?}"
        );
        assert!(
            call.buffer.stats().delay <= Duration::from_millis(60),
            "{offset}"
        );
        assert_eq!(call.buffer.stats().restarts, 1, "{offset}");
    }
}

#[test]
fn one_wild_timestamp_backward_changes_nothing() {
    let mut call = Call::new();
    call.offset = 48_000 * 60;
    call.talk(0..100);
    let now = call.now;

    assert_eq!(call.buffer.push(5, FRAME, 0, now), Push::Late);

    call.played.clear();
    call.talk(100..150);
    assert!(call.played.iter().all(|piece| piece.item().is_some()));
    assert_eq!(call.buffer.stats().restarts, 0);
}

#[test]
fn durations_out_of_range_are_refused() {
    let mut buffer = Buffer::new(Config::default());
    for micros in [0, 2_499, 120_021, 1_000_000] {
        let push = buffer.push(0, Duration::from_micros(micros), (), Duration::ZERO);
        assert_eq!(push, Push::Refused, "{micros} µs");
    }
    assert_eq!(
        buffer.push(0, Duration::from_micros(2_500), (), Duration::ZERO),
        Push::Queued
    );
}

#[test]
fn a_player_that_was_suspended_goes_on_with_what_is_recent() {
    let mut call = Call::new();
    call.talk(0..100);
    // Three seconds of packets, and nobody pulls.
    for number in 100..250 {
        call.now += FRAME;
        let _ = call.push(number);
        assert!(call.buffer.stats().depth <= Duration::from_millis(640));
    }
    call.played.clear();
    call.talk(250..260);

    let first = call.played[0].item().unwrap();
    assert!(first > 225, "{first}");
    assert!(call.buffer.stats().overflowed > 100);
}

#[test]
fn too_little_delay_asks_for_more_and_too_much_for_less() {
    let mut call = Call::new();
    call.talk(0..100);
    assert_eq!(call.pace, Pace::Keep);

    // A route that is 60 ms longer: what is missing is concealed and so gained.
    for _ in 0..3 {
        call.tick(None);
    }
    call.talk(100..200);
    assert!(call.buffer.stats().delay >= Duration::from_millis(60));

    // And back: 60 ms too much, to be shed.
    for number in 200..203 {
        let _ = call.push(number);
    }
    call.talk(203..800);
    assert!(
        matches!(call.pace, Pace::Shorten(by, _) if by >= FRAME),
        "{:?}",
        call.pace
    );
}

#[test]
fn a_reset_forgets_the_sound_and_keeps_the_count() {
    let mut call = Call::new();
    call.talk(0..50);
    let played = call.buffer.stats().played;

    call.buffer.reset();

    assert_eq!(call.buffer.stats().played, played);
    assert_eq!(call.buffer.stats().depth, Duration::ZERO);
    assert_eq!(call.push(3), Push::Queued);
}

#[test]
fn limits_in_the_wrong_order_are_put_right() {
    let wrong = Config {
        delay_min: Duration::from_secs(9),
        delay_start: Duration::ZERO,
        delay_max: Duration::from_millis(100),
        step: Duration::MAX,
        recover: true,
    };
    let mut call = Call::with(wrong);
    call.talk(0..100);

    assert_eq!(call.buffer.stats().target, Duration::from_millis(100));
    assert!(call.played.iter().any(|piece| piece.item().is_some()));
}

/// One piece of what was played, by the number of its item.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece {
    Item(u64),
    Recover(u64),
    Conceal,
    Silence,
}

impl Piece {
    fn item(self) -> Option<u64> {
        match self {
            Self::Item(number) => Some(number),
            Self::Recover(_) | Self::Conceal | Self::Silence => None,
        }
    }
}

/// A sender and a player that tick every 20 ms, the player 7 ms after the arrival.
struct Call {
    buffer: Buffer<u64>,
    now: Duration,
    /// The timestamp of item `restarted_at`.
    offset: u64,
    restarted_at: u64,
    played: Vec<Piece>,
    pace: Pace,
}

impl Call {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        Self {
            buffer: Buffer::new(config),
            now: Duration::from_secs(1_000),
            offset: 0,
            restarted_at: 0,
            played: Vec::new(),
            pace: Pace::Keep,
        }
    }

    fn push(&mut self, number: u64) -> Push {
        let timestamp = self.offset.wrapping_add((number - self.restarted_at) * 960);
        self.buffer.push(timestamp, FRAME, number, self.now)
    }

    fn talk(&mut self, numbers: core::ops::Range<u64>) {
        for number in numbers {
            self.tick(Some(number));
        }
    }

    fn tick(&mut self, number: Option<u64>) {
        if let Some(number) = number {
            let _ = self.push(number);
        }
        let play = self
            .buffer
            .pop(self.now + Duration::from_millis(7), Duration::ZERO);
        self.played.push(match play {
            Play::Item {
                item,
                pace,
                duration,
            } => {
                assert_eq!(duration, FRAME);
                self.pace = pace;
                Piece::Item(item)
            }
            Play::Recover { next, missing } => {
                assert_eq!(missing, FRAME);
                Piece::Recover(*next)
            }
            Play::Conceal(_) => Piece::Conceal,
            Play::Silence(_) => Piece::Silence,
        });
        self.now += FRAME;
    }

    fn drain(&mut self) {
        for _ in 0..20 {
            self.tick(None);
        }
    }
}
