//! Publishers: how they are found, replaced and lost.

use std::sync::Arc;

use bytes::Bytes;
use moqrelay_moqt::{Draft, FullTrackName, Location, Namespace, PublishDoneCode, RequestError};

use super::{
    Asking, Known, Owner, Published, SessionId, Source, Table, Unavailable,
    namespaces::{Offer, Told},
};
use crate::{
    session::Mail,
    track::{Ending, Inlet, Live, PUBLISHERS_MAX, SourceId, Track},
};

impl Table {
    /// Asks those who publish the track's namespace or a prefix of it, the best first, and as many as can be heard at a
    /// time; false: there is nobody who was not asked before.
    pub(super) fn ask(&mut self, name: &FullTrackName, new_group: Option<u64>) -> bool {
        let mut asked = false;
        while let Some(known) = self.tracks.get(name) {
            if known.publishers.len() + known.asking.len() >= PUBLISHERS_MAX {
                break;
            }
            let sessions = &self.sessions;
            let best = self.namespaces.best(name.namespace(), |offer| {
                known.tried.contains(&offer.id)
                    || known.is_from(offer.session)
                    || !sessions.contains_key(&offer.session)
            });
            let Some(offer) = best else {
                break;
            };
            self.ask_one(name, offer, new_group);
            asked = true;
        }
        asked
    }

    fn ask_one(&mut self, name: &FullTrackName, offer: Offer, new_group: Option<u64>) {
        let source = SourceId(self.new_id());
        let Some(known) = self.tracks.get_mut(name) else {
            return;
        };
        known.tried.insert(offer.id);
        known.asking.push(Asking {
            id: source,
            session: offer.session,
        });
        let track = known.track.clone();
        self.sources.insert(source, name.clone());
        let letter = Mail::Ask {
            source,
            track,
            new_group,
        };
        self.post(offer.session, letter);
    }

    pub(super) fn answered(
        &mut self,
        source: SourceId,
        properties: Bytes,
        largest: Option<Location>,
    ) -> Option<Inlet> {
        let name = self.sources.get(&source)?.clone();
        let known = self.tracks.get_mut(&name)?;
        let asking = known.answered(source)?;
        let owner = Owner::Asked(asking.session);
        Some(self.install(&name, Source { id: source, owner }, properties, largest))
    }

    pub(super) fn refused(&mut self, source: SourceId, error: RequestError) {
        let Some(name) = self.sources.remove(&source) else {
            return;
        };
        let Some(known) = self.tracks.get_mut(&name) else {
            return;
        };
        if known.answered(source).is_none() {
            return;
        }
        self.ask(&name, None);
        let Some(known) = self.tracks.get_mut(&name) else {
            return;
        };
        if !known.asking.is_empty() {
            return; // Others may have it.
        }
        match (known.publishers.is_empty(), known.orphaned.take()) {
            (false, _) => {} // Older publishers go on.
            (true, Some(ending)) => self.finish(&name, ending),
            (true, None) => {
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
    ) -> Result<Published, Unavailable> {
        self.know(name)?;
        let source = SourceId(self.new_id());
        let known = self.tracks.get_mut(name).ok_or(Unavailable::TooMany)?;
        let mut publishers = known.publishers.iter();
        if owner != Owner::Writer && publishers.any(|publisher| publisher.owner == owner) {
            return Err(Unavailable::Duplicate);
        }
        let forward = !known.listeners.is_empty();
        // A writer of this process has the track to itself.
        let superseded = known.asking.extract_if(.., |asking| {
            owner
                .session()
                .is_none_or(|session| session == asking.session)
        });
        for asking in superseded.collect::<Vec<_>>() {
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
        Ok(Published { inlet, forward })
    }

    /// Makes a source a publisher of a known track. Sessions publish it together (section 9.4); a
    /// writer of this process takes it from everyone, and gives it to whoever comes after it.
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
        let alone = known.publishers.is_empty();
        let local = |publisher: &Source| publisher.owner == Owner::Writer;
        let takes_over = !alone && (local(&source) || known.publishers.iter().any(local));
        let continued = !alone || known.orphaned.take().is_some();
        let is_local = local(&source);
        known.publishers.push(source);
        known.new_group = None;
        let largest = if continued {
            largest.max(track.status().1)
        } else {
            largest
        };
        let live = Arc::new(Live::new(properties, largest, is_local));
        let gone = if alone {
            track.begin(id, live);
            Vec::new()
        } else if takes_over {
            track.take_over(id, live);
            let older = known.publishers.iter().map(|publisher| publisher.id);
            older.filter(|older| *older != id).collect()
        } else {
            track.join(id, live)
        };
        for source in gone {
            self.remove_publisher(name, source);
        }
        Inlet {
            track,
            source: id,
            // A session that speaks another one says so.
            draft: Draft::D18,
        }
    }

    /// Wants no more of a publisher.
    fn remove_publisher(&mut self, name: &FullTrackName, source: SourceId) {
        let Some(known) = self.tracks.get_mut(name) else {
            return;
        };
        let index = known.publishers.iter().position(|other| other.id == source);
        let Some(gone) = index.map(|index| known.publishers.remove(index)) else {
            return;
        };
        self.lose_namespace(name, gone.owner);
        match gone.owner.session() {
            Some(session) => self.drop_source(gone.id, session),
            None => drop(self.sources.remove(&gone.id)),
        }
    }

    pub(super) fn ended(&mut self, source: SourceId, ending: Ending, replaceable: bool) {
        let Some(name) = self.sources.get(&source).cloned() else {
            return;
        };
        let Some(known) = self.tracks.get_mut(&name) else {
            return;
        };
        let index = known.publishers.iter().position(|other| other.id == source);
        let Some(live) = index.map(|index| known.publishers.remove(index)) else {
            let code = moqrelay_moqt::RequestCode::DoesNotExist;
            return self.refused(source, RequestError::new(code, ending.reason));
        };
        self.sources.remove(&source);
        known.track.part(source);
        if !known.publishers.is_empty() {
            // The others go on.
            return self.lose_namespace(&name, live.owner);
        }
        let track = known.track.clone();
        let wanted = track.readers() > 0;
        let asking = !known.asking.is_empty();
        self.lose_namespace(&name, live.owner);
        if wanted && (asking || (replaceable && self.ask_again(&name))) {
            if let Some(known) = self.tracks.get_mut(&name) {
                known.orphaned = Some(ending);
            }
            return;
        }
        if !replaceable && ending.status == PublishDoneCode::TrackEnded {
            track.complete();
        }
        self.finish(&name, ending);
    }

    /// Asks everyone once more.
    fn ask_again(&mut self, name: &FullTrackName) -> bool {
        if let Some(known) = self.tracks.get_mut(name) {
            known.tried.clear();
        }
        self.ask(name, None)
    }

    /// Ends a track for its readers; who comes later meets a new one.
    fn finish(&mut self, name: &FullTrackName, ending: Ending) {
        if let Some(known) = self.tracks.remove(name) {
            known.track.end(ending);
            self.retire(name, &known.track);
        }
    }

    pub(super) fn offer(&mut self, namespace: &Namespace, session: SessionId) -> u64 {
        let id = self.new_id();
        let offer = Offer { id, session };
        let told = self.namespaces.offer(namespace, offer);
        self.tell(told, true);
        let writer = |known: &Known| known.publishers.iter().any(|it| it.owner == Owner::Writer);
        let concerned: Vec<_> = self
            .below(namespace)
            .filter(|known| known.track.readers() > 0 && known.asking.len() < PUBLISHERS_MAX)
            .filter(|known| !known.is_from(session) && !writer(known))
            .map(|known| known.track.name.clone())
            .collect();
        // Of those that are heard already the oldest gives way, when there are too many.
        for name in concerned {
            self.ask_one(&name, offer, None);
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
        let (Some(properties), largest) = track.status() else {
            return;
        };
        let largest = largest.map_or(0, |largest| largest.group);
        let passed = group == 0 || group > largest;
        let outstanding = known
            .new_group
            .is_some_and(|(asked, at)| at == largest && asked >= group);
        if !properties.known.dynamic_groups || !passed || outstanding {
            return;
        }
        known.new_group = Some((group, largest));
        let mut told = Vec::new();
        for publisher in &known.publishers {
            match publisher.owner.session() {
                Some(session) => told.push((session, publisher.id)),
                None => track.wishes().want(group),
            }
        }
        for (session, source) in told {
            self.post(session, Mail::NewGroup { source, group });
        }
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
