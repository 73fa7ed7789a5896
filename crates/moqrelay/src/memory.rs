//! Memory goes back to the system when many sessions have left.
//!
//! The C library keeps what was freed for the next allocation. After a crowd that is nearly all there
//! was: 65 MB after 1,000 sessions, of which 12 MB were in use.

use std::{
    collections::VecDeque,
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use moqrelay_relay::Relay;
use tokio::time::{MissedTickBehavior, interval};

/// How often the sessions are counted: a crowd may come and go within seconds.
const INTERVAL: Duration = Duration::from_secs(1);

/// So many sessions at least must have left: 6 MB.
const LEFT_MIN: u64 = 100;

/// When memory is given back after a crowd has left: when its connections are gone, and when what was kept of its
/// tracks is (`cache_linger`, 30 s). Both before a minute is over.
const AFTER: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(45)];

/// Gives memory back whenever half of the sessions have left, until `stopped` completes.
pub(crate) async fn give_back(relay: Relay, stopped: impl Future<Output = ()>) {
    let mut stopped = pin!(stopped);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut crowd = Crowd::default();
    loop {
        tokio::select! {
            () = &mut stopped => return,
            _ = ticks.tick() => {}
        }
        // Others that allocate meanwhile wait for a moment: not while a crowd is here.
        if crowd.count(relay.stats().sessions, Instant::now())
            && let Err(error) = tokio::task::spawn_blocking(trim).await
        {
            tracing::warn!(%error, "cannot give memory back");
        }
    }
}

/// When a crowd has left.
#[derive(Debug, Default)]
struct Crowd {
    /// The most sessions since one has left.
    most: u64,
    /// With more sessions than these another crowd is here.
    quiet: u64,
    /// When memory is to be given back.
    due: VecDeque<Instant>,
}

impl Crowd {
    /// Takes the number of sessions; true: now memory is to be given back.
    fn count(&mut self, sessions: u64, now: Instant) -> bool {
        self.most = self.most.max(sessions);
        let left = self.most - sessions;
        if left >= LEFT_MIN && left * 2 >= self.most {
            self.quiet = self.most / 2;
            self.most = sessions;
            self.due = AFTER.iter().map(|after| now + *after).collect();
        }
        let due = self.due.front().is_some_and(|due| *due <= now);
        if due {
            self.due.pop_front();
        }
        due && sessions <= self.quiet
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "no library of ours has it behind a safe function"
)]
fn trim() {
    // SAFETY: it takes no pointer, and glibc locks its arenas.
    let gave = unsafe { libc::malloc_trim(0) };
    tracing::debug!(gave, "memory given back");
}

/// Other C libraries give memory back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(crowd: &mut Crowd, began: Instant, counts: &[(u64, u64)]) -> Vec<u64> {
        let given = counts
            .iter()
            .filter(|(at, sessions)| crowd.count(*sessions, began + Duration::from_secs(*at)));
        given.map(|(at, _)| *at).collect()
    }

    #[test]
    fn memory_is_given_back_twice_after_half_of_a_crowd_has_left() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());

        let given = counts(
            &mut crowd,
            now,
            &[
                (0, 1000),
                (1, 600),
                (2, 500),
                (6, 450),
                (7, 450),
                (20, 450),
                (47, 420),
                (60, 420),
            ],
        );

        assert_eq!(given, [7, 47]);
        assert_eq!(
            counts(&mut crowd, now, &[(61, 0), (66, 0), (106, 0), (200, 0)]),
            [66, 106]
        );
    }

    #[test]
    fn a_crowd_that_comes_back_is_not_disturbed() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());

        let given = counts(&mut crowd, now, &[(0, 1000), (1, 0), (6, 900), (46, 1000)]);

        assert_eq!(given, [0; 0]);
    }

    #[test]
    fn a_few_that_leave_are_no_crowd() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());

        let given = counts(&mut crowd, now, &[(0, 99), (1, 0), (6, 0), (46, 0)]);

        assert_eq!(given, [0; 0]);
    }
}
