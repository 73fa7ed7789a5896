//! The bytes that all caches of a relay share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use crate::{limits::CachePolicy, stats::Meters, track::Cache};

/// What all caches hold together, and which caches there are.
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
    meters: Arc<Meters>,
    next: AtomicU64,
    caches: Mutex<BTreeMap<CacheKey, Weak<Mutex<Cache>>>>,
    /// One thread at a time is enough.
    enforcing: AtomicBool,
}

/// Names one cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CacheKey(u64);

/// Why a cache gave an object up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was too old.
    Age,
    /// The track had too many bytes.
    Bytes,
    /// The track had too many objects.
    Objects,
    /// All tracks together had too many bytes.
    Total,
    /// Another publisher sent another object with its location.
    Replaced,
    /// The track was forgotten.
    Gone,
}

impl Reason {
    pub(crate) const ALL: [Self; 6] = [
        Self::Age,
        Self::Bytes,
        Self::Objects,
        Self::Total,
        Self::Replaced,
        Self::Gone,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Bytes => "track_bytes",
            Self::Objects => "track_objects",
            Self::Total => "total_bytes",
            Self::Replaced => "replaced",
            Self::Gone => "gone",
        }
    }
}

impl Budget {
    pub(crate) fn new(limit: usize, meters: Arc<Meters>) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            meters,
            next: AtomicU64::new(0),
            caches: Mutex::default(),
            enforcing: AtomicBool::new(false),
        })
    }

    /// Makes a cache that can be made to shrink.
    pub(crate) fn cache(self: &Arc<Self>, policy: CachePolicy) -> Arc<Mutex<Cache>> {
        let key = CacheKey(self.next.fetch_add(1, Relaxed));
        let cache = Arc::new(Mutex::new(Cache::new(policy, key, self.clone())));
        lock(&self.caches).insert(key, Arc::downgrade(&cache));
        cache
    }

    /// Forgets a cache that is gone.
    pub(crate) fn forget(&self, key: CacheKey) {
        lock(&self.caches).remove(&key);
    }

    /// A cache has one object more.
    pub(crate) fn came(&self) {
        self.meters.cache_objects.up();
    }

    /// A cache has one object less.
    pub(crate) fn went(&self, reason: Reason) {
        self.meters.cache_objects.down();
        self.meters.evicted(reason);
    }

    /// A cache takes so many bytes, and took so many before.
    pub(crate) fn weigh(&self, before: usize, now: usize) {
        if now >= before {
            self.used.fetch_add(now - before, Relaxed);
            self.meters.cache_bytes.add((now - before) as u64);
        } else {
            self.used.fetch_sub(before - now, Relaxed);
            self.meters.cache_bytes.sub((before - now) as u64);
        }
    }

    /// Makes the largest caches shrink when all together are too large. Call it with no cache locked.
    ///
    /// A level is found above which caches are cut off, as water fills a vessel: small tracks keep everything. An
    /// eighth is freed at a time, so that this is rare.
    pub(crate) fn enforce(&self) {
        if self.used.load(Relaxed) <= self.limit {
            return;
        }
        if self.enforcing.swap(true, Acquire) {
            return;
        }
        let caches: Vec<_> = {
            let caches = lock(&self.caches);
            caches.values().filter_map(Weak::upgrade).collect()
        };
        let mut sizes: Vec<usize> = caches.iter().map(|cache| lock(cache).bytes()).collect();
        sizes.sort_unstable();
        let level = level(&sizes, self.limit - self.limit / 8);
        for cache in &caches {
            lock(cache).shrink_to(level);
        }
        self.enforcing.store(false, Release);
    }
}

/// The size to which the largest must shrink so that all together are at most `target`; `sizes` ascend.
fn level(sizes: &[usize], target: usize) -> usize {
    let mut left = target;
    for (index, size) in sizes.iter().enumerate() {
        let share = left / (sizes.len() - index);
        if *size > share {
            return share;
        }
        left -= size;
    }
    usize::MAX
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_caches_keep_everything_and_large_ones_are_made_equal() {
        assert_eq!(level(&[1, 2, 50, 100], 63), 30);
        assert_eq!(level(&[10, 20], 30), usize::MAX);
        assert_eq!(level(&[100], 40), 40);
        assert_eq!(level(&[], 40), usize::MAX);
    }
}
