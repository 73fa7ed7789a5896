//! Publishers: how they are found, replaced and lost.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use moqrelay_moqt::{FullTrackName, Location, Namespace, RequestError};

use super::{
    Asking, Owner, SessionId, Source, Table, Unavailable,
    namespaces::{Offer, Told},
};
use crate::{
    session::Mail,
    track::{Ending, Inlet, Live, SourceId, Track},
};

impl Table {
    /// Asks the best publisher of the track's namespace that was not tried; false: there is none.
    pub(super) fn ask(
        &mut self,
        name: &FullTrackName,
        mut tried: BTreeSet<u64>,
        new_group: Option<u64>,
    ) -> bool {
        let sessions = &self.sessions;
        let best = self.namespaces.best(name.namespace(), |offer| {
            tried.contains(&offer.id) || !sessions.contains_key(&offer.session)
        });
        let Some((offer, fields)) = best else {
            return false;
        };
        let source = SourceId(self.new_id());
        let Some(known) = self.tracks.get_mut(name) else {
            return false;
        };
        tried.insert(offer.id);
        let track = known.track.clone();
        let before = known.asking.replace(Asking {
            id: source,
            session: offer.session,
            fields,
            tried,
        });
        if let Some(before) = before {
            self.drop_source(before.id, before.session);
        }
        self.sources.insert(source, name.clone());
        let letter = Mail::Ask {
            source,
            track,
            new_group,
        };
        self.post(offer.session, letter);
        true
    }

    pub(super) fn answered(
        &mut self,
        source: SourceId,
        properties: Bytes,
        largest: Option<Location>,
    ) -> Option<Inlet> {
        let name = self.sources.get(&source)?.clone();
        let known = self.tracks.get_mut(&name)?;
        let asking = known.asking.take_if(|asking| asking.id == source)?;
        let owner = Owner::Asked(asking.session, asking.fields);
        Some(self.install(&name, Source { id: source, owner }, properties, largest))
    }

    pub(super) fn refused(&mut self, source: SourceId, error: RequestError) {
        let Some(name) = self.sources.remove(&source) else {
            return;
        };
        let Some(known) = self.tracks.get_mut(&name) else {
            return;
        };
        let Some(asking) = known.asking.take_if(|asking| asking.id == source) else {
            return;
        };
        if self.ask(&name, asking.tried, None) {
            return;
        }
        let Some(known) = self.tracks.get_mut(&name) else {
            return;
        };
        match (&known.live, known.orphaned.take()) {
            (Some(_), _) => {} // The older publisher goes on.
            (None, Some(ending)) => self.finish(&name, ending),
            (None, None) => {
                known.track.refuse(error);
                self.forget_unused(&name);
            }
        }
    }

    pub(super) fn publish(
        &mut self,
        name: &FullTrackName,
        owner: Owner,
        properties: Bytes,
        largest: Option<Location>,
    ) -> Result<Inlet, Unavailable> {
        self.know(name)?;
        let source = SourceId(self.new_id());
        let known = self.tracks.get_mut(name).ok_or(Unavailable::TooMany)?;
        let again = known
            .live
            .as_ref()
            .is_some_and(|live| live.owner == owner && owner != Owner::Writer);
        if again {
            return Err(Unavailable::Duplicate);
        }
        if let Some(asking) = known.asking.take() {
            self.drop_source(asking.id, asking.session);
        }
        self.sources.insert(source, name.clone());
        // Counted before the older publisher's departure is, so that nobody sees a gap.
        let told = self.namespaces.arrive(name.namespace());
        self.tell(told, true);
        let inlet = self.install(name, Source { id: source, owner }, properties, largest);
        for told in self.namespaces.wants_tracks(name.namespace()) {
            if owner == Owner::Published(told.session) {
                continue;
            }
            let track = inlet.track.clone();
            let watch = told.watch;
            self.post(told.session, Mail::Offer { watch, track });
        }
        Ok(inlet)
    }

    /// Makes a source the publisher of a known track. The newest one wins: an older one is
    /// dropped, for it may be dead without knowing.
    fn install(
        &mut self,
        name: &FullTrackName,
        source: Source,
        properties: Bytes,
        largest: Option<Location>,
    ) -> Inlet {
        let known = self
            .tracks
            .get_mut(name)
            .expect("only known tracks get a publisher");
        let track = known.track.clone();
        let id = source.id;
        let before = known.live.replace(source);
        let continued = before.is_some() || known.orphaned.take().is_some();
        known.new_group = None;
        let largest = if continued {
            largest.max(track.status().1)
        } else {
            largest
        };
        track.begin(id, Arc::new(Live::new(properties, largest)));
        if let Some(before) = before {
            self.lose_namespace(name, before.owner);
            match before.owner.session() {
                Some(session) => self.drop_source(before.id, session),
                None => drop(self.sources.remove(&before.id)),
            }
        }
        Inlet { track, source: id }
    }

    pub(super) fn ended(&mut self, source: SourceId, ending: Ending, replaceable: bool) {
        let Some(name) = self.sources.get(&source).cloned() else {
            return;
        };
        let Some(known) = self.tracks.get_mut(&name) else {
            return;
        };
        let Some(live) = known.live.take_if(|live| live.id == source) else {
            let code = moqrelay_moqt::RequestCode::DoesNotExist;
            return self.refused(source, RequestError::new(code, ending.reason));
        };
        self.sources.remove(&source);
        let wanted = known.track.readers() > 0;
        let asking = known.asking.is_some();
        self.lose_namespace(&name, live.owner);
        if wanted && (asking || (replaceable && self.ask(&name, BTreeSet::new(), None))) {
            if let Some(known) = self.tracks.get_mut(&name) {
                known.orphaned = Some(ending);
            }
            return;
        }
        self.finish(&name, ending);
    }

    /// Ends a track for its readers; who comes later meets a new one.
    fn finish(&mut self, name: &FullTrackName, ending: Ending) {
        if let Some(known) = self.tracks.remove(name) {
            known.track.end(ending);
        }
    }

    pub(super) fn offer(&mut self, namespace: &Namespace, session: SessionId) -> u64 {
        let id = self.new_id();
        let told = self.namespaces.offer(namespace, Offer { id, session });
        self.tell(told, true);
        let fields = namespace.fields().len();
        let concerned: Vec<_> = self
            .below(namespace)
            .filter(|known| known.track.readers() > 0)
            .filter(|known| match (&known.asking, &known.live) {
                (Some(asking), _) => asking.fields <= fields && asking.session != session,
                (None, Some(live)) => {
                    matches!(live.owner, Owner::Asked(s, n) if n <= fields && s != session)
                }
                (None, None) => true,
            })
            .map(|known| known.track.name.clone())
            .collect();
        for name in concerned {
            self.ask(&name, BTreeSet::new(), None);
        }
        id
    }

    pub(super) fn withdraw(&mut self, namespace: &Namespace, offer: u64) {
        let told = self.namespaces.withdraw(namespace, offer);
        self.tell(told, false);
    }

    pub(super) fn new_group(&mut self, track: &Arc<Track>, group: u64) {
        let Some(known) = self.tracks.get_mut(&track.name) else {
            return;
        };
        let (Some(live), (Some(properties), largest)) = (&known.live, track.status()) else {
            return;
        };
        let largest = largest.map_or(0, |largest| largest.group);
        let passed = group == 0 || group > largest;
        let outstanding = known
            .new_group
            .is_some_and(|(asked, at)| at == largest && asked >= group);
        let Some(session) = live.owner.session() else {
            return;
        };
        if !properties.known.dynamic_groups || !passed || outstanding {
            return;
        }
        known.new_group = Some((group, largest));
        let source = live.id;
        self.post(session, Mail::NewGroup { source, group });
    }

    fn lose_namespace(&mut self, name: &FullTrackName, owner: Owner) {
        match owner {
            Owner::Writer | Owner::Published(_) => {
                let told = self.namespaces.depart(name.namespace());
                self.tell(told, false);
            }
            Owner::Asked(..) => {} // The offer stands for itself.
        }
    }

    fn tell(&self, told: Vec<Told>, here: bool) {
        for Told {
            session,
            watch,
            suffix,
        } in told
        {
            let letter = Mail::Namespace {
                watch,
                suffix,
                here,
            };
            self.post(session, letter);
        }
    }
}
