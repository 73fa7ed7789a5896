//! Tracks that are over, for as long as their caches are kept, and where past objects can be had.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use moqrelay_moqt::FullTrackName;

use super::{Found, SessionId, Table};
use crate::track::{Cache, Track, lock};

/// Caches of tracks that nobody publishes or waits for, each since when.
#[derive(Default)]
pub(super) struct Past(BTreeMap<FullTrackName, (Instant, Arc<Mutex<Cache>>)>);

impl Table {
    /// Keeps the cache of a track that is not known any more.
    pub(super) fn retire(&mut self, name: &FullTrackName, track: &Track) {
        self.keep(name, track.cache());
    }

    /// Keeps a cache of a track that was never known, unless it is by now.
    pub(super) fn keep_past(&mut self, name: &FullTrackName, cache: &Arc<Mutex<Cache>>) {
        if !self.tracks.contains_key(name) && !self.past.0.contains_key(name) {
            self.keep(name, cache);
        }
    }

    fn keep(&mut self, name: &FullTrackName, cache: &Arc<Mutex<Cache>>) {
        let limits = &self.config.cache;
        if limits.linger.is_zero() || lock(cache).is_empty() {
            return;
        }
        let past = &mut self.past.0;
        if past.len() >= limits.lingering {
            let oldest = past.iter().min_by_key(|(_, (since, _))| *since);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|oldest| past.remove(&oldest));
        }
        past.insert(name.clone(), (Instant::now(), cache.clone()));
    }

    /// Returns the cache of a track that becomes known: the one it had, or a new one.
    pub(super) fn cache_of(&mut self, name: &FullTrackName) -> Arc<Mutex<Cache>> {
        if let Some((_, cache)) = self.past.0.remove(name) {
            lock(&cache).inherit();
            return cache;
        }
        self.new_cache(name)
    }

    pub(super) fn new_cache(&self, name: &FullTrackName) -> Arc<Mutex<Cache>> {
        let policy = self.config.cache.policy(name.namespace());
        self.budget.cache(policy)
    }

    /// Takes out what was kept long enough.
    pub(super) fn trim_past(&mut self, now: Instant) -> Vec<Arc<Mutex<Cache>>> {
        let linger = self.config.cache.linger;
        let forgotten = self.past.0.extract_if(.., |_, (since, cache)| {
            let mut cache = lock(cache);
            cache.trim(now);
            cache.is_empty() || now.saturating_duration_since(*since) > linger
        });
        forgotten.map(|(_, (_, cache))| cache).collect()
    }

    pub(super) fn find_past(&mut self, name: &FullTrackName, asker: SessionId) -> Found {
        let known = self.tracks.get(name);
        let publishers = || known.iter().flat_map(|known| known.publishers.iter().rev());
        let publisher = || publishers().find_map(|one| one.owner.session().filter(|s| *s != asker));
        let offered = || {
            let sessions = &self.sessions;
            let best = self.namespaces.best(name.namespace(), |offer| {
                offer.session == asker || !sessions.contains_key(&offer.session)
            });
            best.map(|offer| offer.session)
        };
        let is_live = publishers().next().is_some();
        let upstream = if is_live { publisher() } else { offered() };
        let cache = match known {
            Some(known) => Some(known.track.cache().clone()),
            None => self.past.0.get(name).map(|(_, cache)| cache.clone()),
        };
        let live = known.and_then(|known| {
            let (live, largest) = known.track.status();
            Some((live?, largest))
        });
        Found {
            cache,
            live,
            upstream,
        }
    }
}
