//! When a service is left alone and when it is tried again, in virtual time.

use std::time::{Duration, Instant};

use moqrelay_processor::breaker::{Breaker, Limits, State};

const PAUSE: Duration = Duration::from_secs(10);

#[test]
fn five_failures_in_a_row_open_it() {
    let (mut breaker, now) = breaker();

    for _ in 0..4 {
        breaker.handle_failure(now);
    }
    assert_eq!(breaker.state(), State::Closed);
    breaker.handle_failure(now);

    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.poll_timeout(), Some(now + PAUSE));
}

#[test]
fn a_success_between_failures_keeps_it_closed() {
    let (mut breaker, now) = breaker();

    for _ in 0..100 {
        for _ in 0..4 {
            breaker.handle_failure(now);
        }
        breaker.handle_success();
    }

    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.poll_timeout(), None);
}

#[test]
fn after_ten_seconds_it_is_half_open_and_one_success_closes_it() {
    let (mut breaker, now) = opened();

    breaker.handle_timeout(now + PAUSE - Duration::from_millis(1));
    assert_eq!(breaker.state(), State::Open);
    breaker.handle_timeout(now + PAUSE);
    assert_eq!(breaker.state(), State::HalfOpen);
    breaker.handle_success();

    assert_eq!(breaker.state(), State::Closed);
    for _ in 0..4 {
        breaker.handle_failure(now + PAUSE);
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn one_failure_while_it_is_half_open_opens_it_for_another_ten_seconds() {
    let (mut breaker, now) = opened();
    let later = now + PAUSE + Duration::from_secs(3);

    breaker.handle_timeout(later);
    breaker.handle_failure(later);

    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.poll_timeout(), Some(later + PAUSE));
}

#[test]
fn what_still_comes_while_it_is_open_changes_nothing() {
    let (mut breaker, now) = opened();

    breaker.handle_success();
    breaker.handle_failure(now + PAUSE / 2);

    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.poll_timeout(), Some(now + PAUSE));
}

fn breaker() -> (Breaker, Instant) {
    (Breaker::new(Limits::default()), Instant::now())
}

fn opened() -> (Breaker, Instant) {
    let (mut breaker, now) = breaker();
    for _ in 0..5 {
        breaker.handle_failure(now);
    }
    (breaker, now)
}
