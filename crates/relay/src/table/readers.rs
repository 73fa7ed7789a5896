//! Readers: how they come to a track and leave it, and when its publishers hear of it.

use std::sync::Arc;

use moqrelay_moqt::{FullTrackName, Namespace, RequestId};

use super::{Owner, SessionId, Subscribed, Table, Unavailable, Wish};
use crate::{
    session::Mail,
    track::{ReaderKey, Tap, Track},
};

impl Table {
    pub(super) fn subscribe(
        &mut self,
        name: &FullTrackName,
        key: ReaderKey,
        tap: Tap,
        wish: Wish,
    ) -> Result<Subscribed, Unavailable> {
        let track = self.know(name)?;
        let known = self.tracks.get_mut(name).ok_or(Unavailable::NotFound)?;
        if known.publishers.is_empty() && known.asking.is_empty() {
            known.tried.clear();
            let asked = self.ask(name, wish.new_group);
            if !asked && !wish.wait {
                self.forget_unused(name);
                return Err(Unavailable::NotFound);
            }
        } else if let Some(group) = wish.new_group {
            self.new_group(&track, group);
        }
        let (cursor, live, largest) = track.attach(key, tap);
        let live = live.map(|live| (live, largest));
        self.set_forward(&track, key, wish.forward);
        Ok(Subscribed {
            track,
            cursor,
            live,
        })
    }

    pub(super) fn set_forward(&mut self, track: &Arc<Track>, key: ReaderKey, forward: bool) {
        let Some(known) = self.tracks.get_mut(&track.name) else {
            return;
        };
        if !Arc::ptr_eq(&known.track, track) {
            return; // The name stands for a later track by now.
        }
        let before = !known.listeners.is_empty();
        if forward {
            known.listeners.insert(key);
        } else {
            known.listeners.remove(&key);
        }
        let now = !known.listeners.is_empty();
        if before == now {
            return;
        }
        // Those that were asked forward for as long as they are asked.
        let told: Vec<_> = known
            .publishers
            .iter()
            .filter_map(|publisher| match publisher.owner {
                Owner::Published(session) => Some((publisher.id, session)),
                Owner::Writer | Owner::Asked(..) => None,
            })
            .collect();
        for (source, session) in told {
            let forward = now;
            self.post(session, Mail::Forward { source, forward });
        }
    }

    pub(super) fn unsubscribe(&mut self, track: &Arc<Track>, key: ReaderKey) {
        self.set_forward(track, key, false);
        if track.detach(key) > 0 {
            return;
        }
        let Some(known) = self.tracks.get_mut(&track.name) else {
            return;
        };
        if !Arc::ptr_eq(&known.track, track) {
            return; // The name stands for a later track by now.
        }
        let asking = std::mem::take(&mut known.asking)
            .into_iter()
            .map(|asking| (asking.id, asking.session));
        let asked: Vec<_> = known
            .publishers
            .extract_if(.., |publisher| matches!(publisher.owner, Owner::Asked(..)))
            .filter_map(|publisher| Some((publisher.id, publisher.owner.session()?)))
            .collect();
        for (source, _) in &asked {
            track.part(*source);
        }
        for (source, session) in asking.chain(asked) {
            self.drop_source(source, session);
        }
        self.forget_unused(&track.name);
    }

    pub(super) fn watch_tracks(
        &mut self,
        prefix: &Namespace,
        session: SessionId,
        watch: RequestId,
    ) -> Vec<Arc<Track>> {
        self.namespaces.watch_tracks(prefix, session, watch);
        self.below(prefix)
            .filter(|known| {
                let own = Owner::Published(session);
                let mut publishers = known.publishers.iter();
                publishers.any(|publisher| publisher.owner != own)
            })
            .map(|known| known.track.clone())
            .collect()
    }
}
