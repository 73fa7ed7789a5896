//! Memory goes back to the system when many sessions have left.
//!
//! The C library keeps what was freed for the next allocation. After a crowd that is nearly all there
//! was: 65 MB after 1,000 sessions, of which 12 MB were in use.

use std::{future::Future, pin::pin, time::Duration};

use moqrelay_relay::Relay;
use tokio::time::{MissedTickBehavior, interval};

/// How often the sessions are counted: twice before a minute is over.
const INTERVAL: Duration = Duration::from_secs(20);

/// So many sessions at least must have left: 6 MB.
const LEFT_MIN: u64 = 100;

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
        if crowd.has_left(relay.stats().sessions)
            && let Err(error) = tokio::task::spawn_blocking(trim).await
        {
            tracing::warn!(%error, "cannot give memory back");
        }
    }
}

/// The most sessions since memory was given back.
#[derive(Debug, Default)]
struct Crowd {
    most: u64,
}

impl Crowd {
    fn has_left(&mut self, sessions: u64) -> bool {
        self.most = self.most.max(sessions);
        let left = self.most - sessions;
        let enough = left >= LEFT_MIN && left * 2 >= self.most;
        if enough {
            self.most = sessions;
        }
        enough
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

    #[test]
    fn a_crowd_has_left_when_half_of_it_has() {
        let mut crowd = Crowd::default();

        assert!(!crowd.has_left(1000));
        assert!(!crowd.has_left(600));
        assert!(crowd.has_left(500));
        assert!(!crowd.has_left(450), "of the 500 that stayed");
        assert!(crowd.has_left(0));
        assert!(!crowd.has_left(0));
    }

    #[test]
    fn a_few_that_leave_are_no_crowd() {
        let mut crowd = Crowd::default();

        assert!(!crowd.has_left(99));
        assert!(!crowd.has_left(0));
    }
}
