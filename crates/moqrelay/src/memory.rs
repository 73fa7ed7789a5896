//! Memory goes back to the system when much of it is free.
//!
//! The C library keeps what was freed for the next allocation. After a crowd that is nearly all there
//! was: 65 MB after 1,000 sessions, of which 12 MB were in use. And where sessions come and go all
//! the time, holes remain between those that stay.
//!
//! Each thread, too, keeps some freed blocks of each size for itself, scattered over the heap, and a page with one of
//! them cannot go back: after a crowd that was 1.5 MB for a worker. So the workers hand theirs over first.

use std::{
    collections::VecDeque,
    future::Future,
    hint::black_box,
    pin::pin,
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use moqrelay_relay::{Relay, Server};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// How often the sessions are counted: a crowd may come and go within seconds.
const INTERVAL: Duration = Duration::from_secs(1);

/// So many sessions at least must have left: 6 MB.
const LEFT_MIN: u64 = 100;

/// When memory is given back after a crowd has left: when its connections are gone, and when what was kept of its
/// tracks is (`cache_linger`, 30 s). Both before a minute is over.
const AFTER: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(45)];

/// How often the holes in the heap are counted: they are filled again within a minute.
const HOLES_INTERVAL: Duration = Duration::from_secs(10);

/// Giving memory back, for which others that allocate wait, takes one part in so many of the time at most: a large heap
/// takes 10 ms and has its turn each minute.
const REST: u32 = 5000;

/// Memory is given back, too, when so many bytes are free: below that it is not worth the moment for which others wait.
const FREE_MIN: u64 = 2 << 20;

/// And so many per cent of what is used: holes are filled again, a heap without any is none that works.
const FREE_PERCENT_MIN: u64 = 5;

/// Freed blocks of one size that a thread keeps at most, as glibc is built.
const CACHED_EACH: usize = 7;

/// The largest of them, in bytes. Smaller ones are of each size down to 24 bytes, in steps of 16.
const CACHED_MAX: usize = 1032;

/// How long a worker may take to hand over what it keeps; one that drains never does.
const HAND_OVER: Duration = Duration::from_secs(1);

/// Gives memory back whenever half of the sessions have left or much of it is free, until `stopped` completes.
pub(crate) async fn give_back(relay: Relay, server: Server, stopped: impl Future<Output = ()>) {
    let mut stopped = pin!(stopped);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut holes = pin!(sleep(Duration::ZERO));
    let mut crowd = Crowd::default();
    loop {
        // Others that allocate meanwhile wait for a moment: not while a crowd is here, and now and then at most.
        let due = tokio::select! {
            () = &mut stopped => return,
            _ = ticks.tick() => crowd.count(relay.stats().sessions, Instant::now()),
            () = &mut holes => {
                holes.as_mut().reset(tokio::time::Instant::now() + HOLES_INTERVAL);
                Heap::read().is_some_and(|heap| heap.show().has_holes())
            }
        };
        if !due {
            continue;
        }
        let kept = ask_workers(&server);
        let given = tokio::task::spawn_blocking(move || {
            collect(&kept);
            let began = Instant::now();
            trim();
            began.elapsed()
        });
        match given.await {
            Ok(took) => {
                tracing::debug!(?took, "memory given back");
                let rest = HOLES_INTERVAL.max(took * REST);
                holes.as_mut().reset(tokio::time::Instant::now() + rest);
            }
            Err(error) => tracing::warn!(%error, "cannot give memory back"),
        }
    }
}

/// What a thread kept for itself.
type Kept = Vec<Vec<u8>>;

/// Asks each worker for what its thread keeps.
fn ask_workers(server: &Server) -> mpsc::Receiver<Kept> {
    let workers = server.workers().len();
    let (kept_tx, kept) = mpsc::sync_channel(workers);
    // Only once: the errand stays with the server until the next one.
    let asked = Mutex::new(vec![kept_tx; workers]);
    server.on_each_worker(move || {
        let kept_tx = asked.lock().ok().and_then(|mut asked| asked.pop());
        if let Some(kept_tx) = kept_tx {
            // Nobody waits any more: it was late.
            drop(kept_tx.try_send(take_kept()));
        }
    });
    kept
}

/// Frees what the workers hand over, on a thread that ends: what it keeps itself goes with it.
fn collect(kept: &mpsc::Receiver<Kept>) {
    let deadline = Instant::now() + HAND_OVER;
    let all: Vec<Kept> = std::iter::from_fn(|| {
        let left = deadline.saturating_duration_since(Instant::now());
        kept.recv_timeout(left).ok()
    })
    .collect();
    let freeing = thread::Builder::new()
        .name("memory".into())
        .spawn(move || drop(all));
    match freeing {
        Ok(freeing) => drop(freeing.join()),
        // Freed here, then.
        Err(error) => tracing::debug!(%error, "no thread to free memory"),
    }
}

/// Takes every freed block that this thread keeps for itself: whoever asks for memory gets those first.
fn take_kept() -> Kept {
    let sizes = (24..=CACHED_MAX).step_by(16);
    sizes
        .flat_map(|size| (0..CACHED_EACH).map(move |_| black_box(Vec::with_capacity(size))))
        .collect()
}

/// What the C library has of the system.
#[derive(Debug, Clone, Copy)]
struct Heap {
    /// Bytes that are allocated.
    used: u64,
    /// Bytes that are free, between others; pages of them may have gone back already, which the library does not tell.
    free: u64,
}

impl Heap {
    /// Hands it to the metrics.
    fn show(self) -> Self {
        for (state, bytes) in [("used", self.used), ("free", self.free)] {
            metrics::gauge!("moqrelay_memory_bytes", "state" => state).set(bytes as f64);
        }
        self
    }

    fn has_holes(self) -> bool {
        self.free >= FREE_MIN && self.free * 100 >= self.used * FREE_PERCENT_MIN
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(
        unsafe_code,
        reason = "no library of ours has it behind a safe function"
    )]
    fn read() -> Option<Self> {
        // SAFETY: it takes no pointer, and glibc locks its arenas.
        let info = unsafe { libc::mallinfo2() };
        Some(Self {
            // What is too large for the heap is mapped on its own.
            used: u64::try_from(info.uordblks + info.hblkhd).ok()?,
            free: u64::try_from(info.fordblks).ok()?,
        })
    }

    /// Other C libraries do not tell.
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    fn read() -> Option<Self> {
        None
    }
}

/// Bytes that are allocated.
#[cfg(test)]
pub(crate) fn used() -> Option<u64> {
    Heap::read().map(|heap| heap.used)
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
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries give memory back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_what_is_free_between_others() {
        let heap = |used: u64, free: u64| Heap {
            used: used << 20,
            free: free << 20,
        };

        assert!(heap(50, 10).has_holes());
        assert!(!heap(20, 1).has_holes(), "too few bytes");
        assert!(!heap(100, 4).has_holes(), "too few per cent");
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_is_allocated_is_used() {
        let before = Heap::read().unwrap();
        let some = vec![7_u8; 64 << 20];

        let after = Heap::read().unwrap();

        assert!(
            after.used >= before.used + (60 << 20),
            "{before:?} {after:?}"
        );
        drop(some);
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_a_thread_keeps_is_taken() {
        let sizes = [24, 100, 520, CACHED_MAX];
        let blocks = sizes.map(|size| black_box(Vec::<u8>::with_capacity(size)));
        let freed = blocks.each_ref().map(|block| block.as_ptr());
        drop(blocks);

        let kept = take_kept();

        for (size, block) in sizes.iter().zip(freed) {
            let taken = kept.iter().any(|other| other.as_ptr() == block);
            assert!(taken, "{size} bytes");
        }
    }

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
