//! Namespaces that are published, and who wants to know.

use std::collections::BTreeMap;

use moqrelay_moqt::{Namespace, RequestId};

use crate::table::SessionId;

/// What exists below which namespace.
#[derive(Default)]
pub(super) struct Namespaces {
    /// Offers (PUBLISH_NAMESPACE) by namespace, the newest last.
    offers: BTreeMap<Namespace, Vec<Offer>>,
    /// How many offers and published tracks there are in each namespace.
    here: BTreeMap<Namespace, usize>,
    watches: Vec<Watch>,
}

/// One session's PUBLISH_NAMESPACE.
#[derive(Clone, Copy)]
pub(super) struct Offer {
    pub(super) id: u64,
    pub(super) session: SessionId,
}

/// One session's SUBSCRIBE_NAMESPACE or SUBSCRIBE_TRACKS.
struct Watch {
    prefix: Namespace,
    session: SessionId,
    request: RequestId,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Namespaces,
    Tracks,
}

/// Whom to tell of what.
pub(super) struct Told {
    pub(super) session: SessionId,
    pub(super) watch: RequestId,
    pub(super) suffix: Namespace,
}

impl Namespaces {
    pub(super) fn offer(&mut self, namespace: &Namespace, offer: Offer) -> Vec<Told> {
        self.offers
            .entry(namespace.clone())
            .or_default()
            .push(offer);
        self.arrive(namespace)
    }

    pub(super) fn withdraw(&mut self, namespace: &Namespace, id: u64) -> Vec<Told> {
        let Some(offers) = self.offers.get_mut(namespace) else {
            return Vec::new();
        };
        let before = offers.len();
        offers.retain(|offer| offer.id != id);
        let removed = before > offers.len();
        if offers.is_empty() {
            self.offers.remove(namespace);
        }
        if removed {
            self.depart(namespace)
        } else {
            Vec::new()
        }
    }

    /// Returns the best offer for a namespace: the longest prefix, among these the newest, that
    /// `skip` does not refuse.
    pub(super) fn best(
        &self,
        namespace: &Namespace,
        skip: impl Fn(&Offer) -> bool,
    ) -> Option<Offer> {
        let mut fields = namespace.fields().len();
        loop {
            let prefix = Namespace::new(namespace.fields().iter().take(fields).cloned()).ok()?;
            let offers = self.offers.get(&prefix).map(Vec::as_slice).unwrap_or(&[]);
            if let Some(offer) = offers.iter().rev().find(|offer| !skip(offer)) {
                return Some(*offer);
            }
            fields = fields.checked_sub(1)?;
        }
    }

    /// Counts one more reason why a namespace exists.
    pub(super) fn arrive(&mut self, namespace: &Namespace) -> Vec<Told> {
        let reasons = self.here.entry(namespace.clone()).or_default();
        *reasons += 1;
        if *reasons > 1 {
            return Vec::new();
        }
        self.watching(namespace, Kind::Namespaces)
    }

    /// Counts one reason less.
    pub(super) fn depart(&mut self, namespace: &Namespace) -> Vec<Told> {
        let Some(reasons) = self.here.get_mut(namespace) else {
            return Vec::new();
        };
        *reasons -= 1;
        if *reasons > 0 {
            return Vec::new();
        }
        self.here.remove(namespace);
        self.watching(namespace, Kind::Namespaces)
    }

    /// Returns who wants tracks of that namespace.
    pub(super) fn wants_tracks(&self, namespace: &Namespace) -> Vec<Told> {
        self.watching(namespace, Kind::Tracks)
    }

    pub(super) fn watch_namespaces(
        &mut self,
        prefix: &Namespace,
        session: SessionId,
        request: RequestId,
    ) -> Vec<Namespace> {
        self.watch(prefix, session, request, Kind::Namespaces);
        self.here
            .range(prefix.clone()..)
            .take_while(|(namespace, _)| prefix.is_prefix_of(namespace))
            .filter_map(|(namespace, _)| namespace.strip_prefix(prefix))
            .collect()
    }

    pub(super) fn watch_tracks(
        &mut self,
        prefix: &Namespace,
        session: SessionId,
        request: RequestId,
    ) {
        self.watch(prefix, session, request, Kind::Tracks);
    }

    pub(super) fn unwatch(&mut self, session: SessionId, request: RequestId) {
        self.watches
            .retain(|watch| watch.session != session || watch.request != request);
    }

    pub(super) fn forget(&mut self, session: SessionId) {
        self.watches.retain(|watch| watch.session != session);
    }

    fn watch(&mut self, prefix: &Namespace, session: SessionId, request: RequestId, kind: Kind) {
        self.watches.push(Watch {
            prefix: prefix.clone(),
            session,
            request,
            kind,
        });
    }

    fn watching(&self, namespace: &Namespace, kind: Kind) -> Vec<Told> {
        self.watches
            .iter()
            .filter(|watch| watch.kind == kind)
            .filter_map(|watch| {
                Some(Told {
                    session: watch.session,
                    watch: watch.request,
                    suffix: namespace.strip_prefix(&watch.prefix)?,
                })
            })
            .collect()
    }
}
