//! Requests of the peer, answers to ours, and letters from the track table.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use moqrelay_moqt::{
    AuthToken, Draft, Event, FullTrackName, Namespace, Parameters, PeerSetup, PublishOptions,
    RangeFilter, RequestCode, RequestError, RequestId, RequestOk, ResetCode, Selector, SessionCode,
    TrackAlias, TrackProperties,
};

use super::{
    Driver, Due, Mail,
    access::{Need, Right},
    deliver::{Subscription, Wanted},
    fill::FillAnswer,
    quirks::Quirks,
    selection::FILTER_RANGES_MAX,
};
use crate::{
    table::{Unavailable, Wish},
    track::{Track, track_properties},
};

/// What a NAMESPACE message takes beside the namespace's bytes: type, length, lengths of fields.
const NAMESPACE_OVERHEAD: usize = 40;

/// A PUBLISH_NAMESPACE of the peer.
pub(super) struct Offered {
    pub(super) namespace: Namespace,
    pub(super) offer: u64,
}

/// A SUBSCRIBE_NAMESPACE or SUBSCRIBE_TRACKS of the peer.
pub(super) struct Watched {
    pub(super) prefix: Namespace,
    kind: Watch,
}

enum Watch {
    Namespaces,
    /// With the defaults of the subscriptions to come.
    Tracks(Box<Parameters>),
}

impl Driver {
    pub(super) fn handle_event(&mut self, event: Event) {
        if let Some(request) = request_name(&event) {
            self.shared.meters().requested(request);
        }
        if self.refused_by_quota(&event) {
            return;
        }
        match event {
            Event::Setup(setup) => self.set_up(&setup),
            Event::Subscribe {
                id,
                track,
                params,
                tokens,
            } => self.subscribe(id, &track, params, &tokens),
            Event::TrackStatus {
                id, track, tokens, ..
            } => self.track_status(id, &track, &tokens),
            Event::Publish {
                id,
                track,
                alias,
                params,
                properties,
                tokens,
            } => self.publish(id, &track, alias, &params, properties, &tokens),
            Event::Fetch {
                id,
                range,
                params,
                tokens,
            } => self.fetch(id, range, params, &tokens),
            Event::FetchOk {
                id,
                end_of_track,
                end,
                properties,
                ..
            } => {
                let draft = self.machine.draft();
                let translated = TrackProperties::translate(draft, Draft::D18, &properties);
                let answer = FillAnswer {
                    end_of_track,
                    end,
                    properties: translated.unwrap_or_default(),
                };
                self.fill_accepted(id, answer);
            }
            Event::PublishNamespace {
                id,
                namespace,
                tokens,
            } => self.publish_namespace(id, namespace, &tokens),
            Event::SubscribeNamespace { id, prefix, tokens } => {
                self.watch(id, prefix, Watch::Namespaces, &tokens);
            }
            Event::SubscribeTracks {
                id,
                prefix,
                params,
                tokens,
            } => {
                self.watch(id, prefix, Watch::Tracks(Box::new(params)), &tokens);
            }
            Event::Update { id, params, tokens } => self.update(id, &params, &tokens),
            Event::SubscribeOk {
                id,
                alias,
                params,
                properties,
            } => self.asked_and_accepted(id, alias, properties, params.largest_object),
            Event::Accepted { id, params, .. } => self.offer_accepted(id, &params),
            Event::Rejected { id, error } => {
                if !self.fill_refused(id, &error) && !self.asked_and_refused(id, error) {
                    self.end_subscription(id, ResetCode::Cancelled);
                }
            }
            Event::PublishDone {
                id,
                status,
                streams,
                reason,
            } => self.source_done(id, status, streams, reason),
            Event::Cancelled { id, .. } => self.cancelled(id),
            Event::GoAway { .. } => self.peer_leaves(),
            Event::Updated { id, params } => self.source_updated(id, params.largest_object),
            // A publisher that refuses ends the subscription next (section 10.10.1).
            Event::UpdateRejected { id, error } => {
                tracing::debug!(request = id.0, code = ?error.code, "the peer refused an update");
            }
            Event::RequestGoAway { id, .. } => self.peer_moves(id),
            // We ask for no namespaces.
            Event::Namespace { .. }
            | Event::NamespaceDone { .. }
            | Event::PublishBlocked { .. } => {}
        }
    }

    pub(super) fn read_mail(&mut self) {
        if self.signal.overrun() {
            self.machine
                .close(SessionCode::InternalError, "the session is overloaded");
        }
        for letter in self.signal.take_mail() {
            match letter {
                Mail::Ask {
                    source,
                    track,
                    new_group,
                } => self.ask(source, &track, new_group),
                Mail::Drop { source, code } => self.drop_source(source, code),
                Mail::Forward { source, forward } => self.set_forward(source, forward),
                Mail::NewGroup { source, group } => self.ask_new_group(source, group),
                Mail::Namespace {
                    watch,
                    suffix,
                    here,
                } => self.tell_namespace(watch, suffix, here),
                Mail::Offer { watch, track } => self.offer_track(watch, &track),
                Mail::Retire { keep, timeout } => self.retiring = Some((keep, timeout)),
                Mail::Fetch { fill } => self.fill(fill),
                Mail::StopFetch { fill } => self.stop_fill(&fill),
                Mail::GoAway { uri, timeout } => {
                    let now = self.now();
                    if let Err(error) = self.machine.goaway(&uri, timeout, now) {
                        tracing::debug!(%error, "cannot send GOAWAY");
                    }
                }
                Mail::Log => self.begin_log(),
                Mail::Revoked => self.end_without_right(),
                Mail::Close { code, reason } => self.machine.close(code, reason),
            }
        }
    }

    fn set_up(&mut self, setup: &PeerSetup) {
        if let Some(implementation) = &setup.implementation {
            self.card.name_implementation(implementation);
        }
        let implementation = setup.implementation.as_deref();
        self.quirks = Quirks::of(implementation, self.machine.draft());
        let implementation = implementation.unwrap_or("unknown");
        tracing::info!(implementation, "session began");
        let token = setup.path.as_deref().and_then(token_of_path);
        self.settle(token.as_deref(), &setup.tokens);
    }

    pub(super) fn session_expired(&mut self) {
        self.machine
            .close(SessionCode::Unauthorized, "the token has expired");
    }

    fn subscribe(
        &mut self,
        id: RequestId,
        name: &FullTrackName,
        params: Parameters,
        tokens: &[AuthToken],
    ) {
        let checked = self.check(tokens, Need::Subscribe, name.namespace());
        let right = match checked {
            Ok(right) => right,
            Err(error) => return self.reject_with(id, *error),
        };
        let wait = params.rendezvous_timeout.unwrap_or_default();
        let wait = wait.min(self.limits.rendezvous);
        let new_group = params.new_group_request;
        let wanted = Wanted::new(&params, right.until());
        self.lend(id, right);
        self.add_subscription(id, name, wanted, wait, new_group);
    }

    fn track_status(&mut self, id: RequestId, name: &FullTrackName, tokens: &[AuthToken]) {
        let checked = self.check(tokens, Need::Subscribe, name.namespace());
        match checked {
            Ok(_right) => self.add_subscription(id, name, Wanted::status(), Duration::ZERO, None),
            Err(error) => self.reject_with(id, *error),
        }
    }

    fn add_subscription(
        &mut self,
        id: RequestId,
        name: &FullTrackName,
        wanted: Wanted,
        wait: Duration,
        new_group: Option<u64>,
    ) {
        if self.subscriptions.len() >= self.limits.subscriptions {
            self.forget_lent(id);
            self.shared.meters().breach("subscriptions");
            return self.reject(id, RequestCode::ExcessiveLoad, "too many subscriptions");
        }
        let slot = self.subscriptions.reserve();
        let key = self.shared.reader_key();
        let may_wait = !wait.is_zero();
        let wish = Wish {
            wait: may_wait,
            forward: wanted.forward,
            new_group,
        };
        let tap = self.signal.tap(key, slot);
        let subscribed = self.shared.subscribe(name, key, tap, wish);
        let subscribed = match subscribed {
            Ok(subscribed) => subscribed,
            Err(error) => {
                self.subscriptions.release(slot);
                self.forget_lent(id);
                return self.reject_unavailable(id, error);
            }
        };
        let until = may_wait.then(|| Instant::now() + wait);
        if let Some(until) = until {
            self.timers.set(until, Due::Rendezvous(slot));
        }
        let subscription = Subscription::new(id, &subscribed, key, wanted, until);
        self.subscribed.insert(id, slot);
        self.subscriptions.put(slot, subscription);
        if let Some((live, largest)) = subscribed.live {
            self.answer(slot, &live, largest);
        }
    }

    fn publish(
        &mut self,
        id: RequestId,
        name: &FullTrackName,
        alias: TrackAlias,
        params: &Parameters,
        properties: Bytes,
        tokens: &[AuthToken],
    ) {
        let checked = self.check(tokens, Need::Publish, name.namespace());
        let right = match checked {
            Ok(right) => right,
            Err(error) => return self.reject_with(id, *error),
        };
        if self.sources.len() >= self.limits.tracks {
            self.shared.meters().breach("tracks");
            return self.reject(id, RequestCode::ExcessiveLoad, "too many tracks");
        }
        // The session has read them, so they can be read.
        let draft = self.machine.draft();
        let properties =
            TrackProperties::translate(draft, Draft::D18, &properties).unwrap_or_default();
        let published = self
            .shared
            .publish(name, self.id, properties, params.largest_object);
        let published = match published {
            Ok(published) => published,
            Err(error) => return self.reject_unavailable(id, error),
        };
        // Nothing need be sent that nobody hears; the first listener changes it (section 9.5).
        let params = Parameters {
            forward: Some(published.forward || !self.quirks.can_pause()),
            ..Parameters::default()
        };
        self.accept(id, params, Bytes::new());
        self.add_published(id, published, alias);
        self.lend(id, right);
    }

    fn publish_namespace(&mut self, id: RequestId, namespace: Namespace, tokens: &[AuthToken]) {
        let checked = self.check(tokens, Need::Publish, &namespace);
        let right = match checked {
            Ok(right) => right,
            Err(error) => return self.reject_with(id, *error),
        };
        if self.offered.len() >= self.limits.namespaces {
            self.shared.meters().breach("namespaces");
            return self.reject(id, RequestCode::ExcessiveLoad, "too many namespaces");
        }
        self.accept(id, Parameters::default(), Bytes::new());
        let offer = self.shared.offer(&namespace, self.id);
        self.offered.insert(id, Offered { namespace, offer });
        self.lend(id, right);
    }

    fn watch(&mut self, id: RequestId, prefix: Namespace, kind: Watch, tokens: &[AuthToken]) {
        let checked = self.check(tokens, Need::Subscribe, &prefix);
        let right = match checked {
            Ok(right) => right,
            Err(error) => return self.reject_with(id, *error),
        };
        if self.watched.len() >= self.limits.namespaces {
            self.shared.meters().breach("namespaces");
            return self.reject(id, RequestCode::ExcessiveLoad, "too many prefixes");
        }
        match kind {
            Watch::Namespaces => self.watch_namespaces(id, prefix),
            Watch::Tracks(_) => {
                self.accept(id, Parameters::default(), Bytes::new());
                self.watch_tracks(id, prefix, kind);
            }
        }
        self.lend(id, right);
    }

    fn watch_namespaces(&mut self, id: RequestId, prefix: Namespace) {
        let here = self.shared.watch_namespaces(&prefix, self.id, id);
        if self.is_too_much(&here) {
            self.shared.unwatch(self.id, id);
            let reason = "too many namespaces begin so";
            return self.reject(id, RequestCode::NamespaceTooLarge, reason);
        }
        self.accept(id, Parameters::default(), Bytes::new());
        self.tell_namespaces(id, prefix, here);
    }

    fn tell_namespaces(&mut self, id: RequestId, prefix: Namespace, here: Vec<Namespace>) {
        let kind = Watch::Namespaces;
        self.watched.insert(id, Watched { prefix, kind });
        for suffix in here {
            self.tell_namespace(id, suffix, true);
        }
    }

    /// Returns whether namespaces take more than half of what may wait for the peer.
    fn is_too_much(&self, namespaces: &[Namespace]) -> bool {
        let len = |namespace: &Namespace| namespace.len_bytes() + NAMESPACE_OVERHEAD;
        let all: usize = namespaces.iter().map(len).sum();
        all > self.limits.control_bytes / 2
    }

    fn watch_tracks(&mut self, id: RequestId, prefix: Namespace, kind: Watch) {
        let tracks = self.shared.watch_tracks(&prefix, self.id, id);
        self.watched.insert(id, Watched { prefix, kind });
        for track in tracks {
            self.offer_track(id, &track);
        }
    }

    /// Watches another prefix under an old request.
    fn move_watch(&mut self, id: RequestId, prefix: Namespace) {
        let Some(watched) = self.watched.remove(&id) else {
            return;
        };
        self.shared.unwatch(self.id, id);
        match watched.kind {
            Watch::Namespaces => {
                let here = self.shared.watch_namespaces(&prefix, self.id, id);
                self.tell_namespaces(id, prefix, here);
            }
            kind @ Watch::Tracks(_) => self.watch_tracks(id, prefix, kind),
        }
    }

    fn tell_namespace(&mut self, watch: RequestId, suffix: Namespace, here: bool) {
        if !self.watched.contains_key(&watch) {
            return; // It ended while the letter was on its way.
        }
        let told = if here {
            self.machine.namespace(watch, suffix)
        } else {
            self.machine.namespace_done(watch, suffix)
        };
        if let Err(error) = told {
            tracing::debug!(%error, "cannot tell of a namespace");
        }
    }

    /// Publishes a track to a peer that wants all tracks below a prefix.
    fn offer_track(&mut self, watch: RequestId, track: &Arc<Track>) {
        let Some(watched) = self.watched.get(&watch) else {
            return;
        };
        let Watch::Tracks(defaults) = &watched.kind else {
            return;
        };
        let Some(defaults) = defaults_for(defaults, track) else {
            return; // Its properties do not pass the filter.
        };
        let forward = defaults.forward.unwrap_or(true);
        // A subscription that waits for this very track goes on as it is (section 9.5).
        if self.subscribes_to(track) || self.subscriptions.len() >= self.limits.subscriptions {
            return;
        }
        let suffix = track.name.namespace().strip_prefix(&watched.prefix);
        if self.bi_opening > 0 {
            // The peer gives no more streams; it may subscribe instead (section 6.1).
            return self.tell_blocked(watch, suffix, track);
        }
        let slot = self.subscriptions.reserve();
        let key = self.shared.reader_key();
        let tap = self.signal.tap(key, slot);
        let Some(followed) = self.shared.follow(track, key, tap, forward) else {
            self.subscriptions.release(slot);
            return;
        };
        let Some((live, largest)) = followed.live.clone() else {
            self.shared.unsubscribe(track, key);
            self.subscriptions.release(slot);
            return;
        };
        let options = PublishOptions {
            alias: Some(track.alias),
            params: Parameters {
                largest_object: self.quirks.largest(largest),
                forward: Some(forward),
                // Draft 19 says what was asked for; others have no place for it.
                group_order: defaults
                    .group_order
                    .filter(|_| self.machine.draft() == Draft::D19),
                ..Parameters::default()
            },
            properties: track_properties(self.machine.draft(), &live.properties),
        };
        match self.machine.publish(track.name.clone(), options) {
            Ok((id, _alias)) => {
                let wanted = Wanted::offered(&defaults);
                let mut subscription = Subscription::new(id, &followed, key, wanted, None);
                subscription.activate(&live, defaults.filter.and(largest), largest);
                self.subscribed.insert(id, slot);
                self.subscriptions.put(slot, subscription);
                let at = Instant::now() + self.limits.answer;
                self.timers.set(at, Due::Unanswered(id));
            }
            Err(error) => {
                tracing::debug!(%error, track = %track.name, "cannot offer a track");
                self.shared.unsubscribe(track, key);
                self.subscriptions.release(slot);
                self.tell_blocked(watch, suffix, track);
            }
        }
        // Opens the stream, so that it is known whether the peer has one for the next track.
        self.carry_out();
    }

    fn tell_blocked(&mut self, watch: RequestId, suffix: Option<Namespace>, track: &Track) {
        let Some(suffix) = suffix else {
            return;
        };
        let name = track.name.name().clone();
        if let Err(error) = self.machine.publish_blocked(watch, suffix, name) {
            tracing::debug!(%error, "cannot tell of a track that is not offered");
        }
    }

    fn update(&mut self, id: RequestId, params: &Parameters, tokens: &[AuthToken]) {
        if let Some(slot) = self.subscribed.get(&id).copied() {
            return self.update_subscription(id, slot, params, tokens);
        }
        let checked = if let Some(watched) = self.watched.get(&id) {
            let prefix = params.prefix.clone();
            let prefix = prefix.unwrap_or_else(|| watched.prefix.clone());
            self.check(tokens, Need::Subscribe, &prefix)
        } else if let Some(offered) = self.offered.get(&id) {
            let namespace = offered.namespace.clone();
            self.check(tokens, Need::Publish, &namespace)
        } else {
            Ok(Right::Session) // A track of the peer's: nothing in it can be changed for the worse.
        };
        match checked {
            Ok(right) => {
                drop(self.machine.accept_update(id, Parameters::default()));
                if self.change_fetch(id, params) {
                    return;
                }
                self.lend(id, right);
            }
            Err(error) => {
                drop(self.machine.reject_update(id, *error));
                return self.cancelled(id);
            }
        }
        if let Some(Watched {
            kind: Watch::Tracks(defaults),
            ..
        }) = self.watched.get_mut(&id)
        {
            RangeFilter::update(&mut defaults.range_filters, &params.range_filters);
        }
        if let Some(prefix) = params.prefix.clone() {
            self.move_watch(id, prefix);
        }
    }

    fn update_subscription(
        &mut self,
        id: RequestId,
        slot: u32,
        params: &Parameters,
        tokens: &[AuthToken],
    ) {
        let Some(subscription) = self.subscriptions.get(slot) else {
            return;
        };
        let track = subscription.track.clone();
        if !tokens.is_empty() {
            let namespace = track.name.namespace();
            match self.check(tokens, Need::Subscribe, namespace) {
                Ok(right) => {
                    if let Some(subscription) = self.subscriptions.get_mut(slot) {
                        subscription.wanted.until = right.until();
                    }
                    self.lend(id, right);
                }
                Err(error) => {
                    drop(self.machine.reject_update(id, *error));
                    return self.fail_update(slot);
                }
            }
        }
        let (_, largest) = track.status();
        let answer = Parameters {
            largest_object: self.quirks.largest(largest),
            ..Parameters::default()
        };
        drop(self.machine.accept_update(id, answer));
        let before = self.subscriptions.get(slot);
        let forwarded = before.is_some_and(|before| before.wanted.forward);
        self.change_subscription(slot, params);
        if let Some(subscription) = self.subscriptions.get_mut(slot)
            && subscription.wanted.forward
            && !forwarded
            && let Some(active) = subscription.active_mut()
        {
            active.joining = largest;
        }
        if let Some(group) = params.new_group_request {
            self.shared.new_group(&track, group);
        }
    }

    fn offer_accepted(&mut self, id: RequestId, params: &Parameters) {
        let Some(slot) = self.subscribed.get(&id).copied() else {
            return;
        };
        let Some(subscription) = self.subscriptions.get_mut(slot) else {
            return;
        };
        subscription.wanted.unanswered = false;
        let track = subscription.track.clone();
        // Without the parameter it is what it always is (section 10.2.11).
        let params = Parameters {
            forward: Some(params.forward.unwrap_or(true)),
            ..params.clone()
        };
        self.change_subscription(slot, &params);
        if let Some(group) = params.new_group_request {
            self.shared.new_group(&track, group);
        }
    }

    /// The peer did not answer a track that we offered it.
    pub(super) fn offer_unanswered(&mut self, id: RequestId) {
        let slot = self.subscribed.get(&id).copied();
        let subscription = slot.and_then(|slot| self.subscriptions.get(slot));
        if subscription.is_some_and(|subscription| subscription.wanted.unanswered) {
            self.cancel(id, ResetCode::Cancelled);
            self.end_subscription(id, ResetCode::Cancelled);
        }
    }

    /// The peer wants a request to go elsewhere (GOAWAY on its stream).
    fn peer_moves(&mut self, id: RequestId) {
        if !self.move_source(id)
            && let Some(slot) = self.subscribed.get(&id).copied()
        {
            // A relay has nowhere to go with a subscriber's request: it ends, and the peer asks anew.
            self.end_because_peer_leaves(slot);
        }
    }

    /// A request of either side is over without a further word.
    pub(super) fn cancelled(&mut self, id: RequestId) {
        self.forget_lent(id);
        if self.source_cancelled(id) || self.fetch_cancelled(id) || self.fill_cancelled(id) {
        } else if let Some(offered) = self.offered.remove(&id) {
            self.shared.withdraw(&offered.namespace, offered.offer);
        } else if self.watched.remove(&id).is_some() {
            self.shared.unwatch(self.id, id);
        } else {
            self.end_subscription(id, ResetCode::Cancelled);
        }
    }

    /// The peer said GOAWAY: it must be asked for nothing more.
    pub(super) fn peer_leaves(&mut self) {
        for (_, offered) in std::mem::take(&mut self.offered) {
            self.shared.withdraw(&offered.namespace, offered.offer);
        }
    }

    pub(super) fn accept(&mut self, id: RequestId, params: Parameters, properties: Bytes) {
        if let Err(error) = self.machine.accept(id, RequestOk { params, properties }) {
            tracing::debug!(%error, request = id.0, "cannot accept a request");
        }
    }

    pub(super) fn reject(&mut self, id: RequestId, code: RequestCode, reason: &str) {
        self.reject_with(id, RequestError::new(code, reason));
    }

    pub(super) fn reject_with(&mut self, id: RequestId, error: RequestError) {
        tracing::debug!(request = id.0, code = ?error.code, reason = %error.reason, "refused");
        let request = self.machine.request_name(id).unwrap_or("unknown");
        self.shared.meters().request_refused(request, error.code);
        if let Err(error) = self.machine.reject(id, error) {
            tracing::debug!(%error, request = id.0, "cannot refuse a request");
        }
    }

    fn reject_unavailable(&mut self, id: RequestId, why: Unavailable) {
        let (code, reason) = match why {
            Unavailable::NotFound => (RequestCode::DoesNotExist, "nobody publishes this track"),
            Unavailable::Duplicate => (
                // Draft 19 allows it, and lets us want it once.
                if self.machine.draft() == Draft::D19 {
                    RequestCode::Uninterested
                } else {
                    RequestCode::DuplicateSubscription
                },
                "this session publishes the track already",
            ),
            Unavailable::TooMany => (
                RequestCode::ExcessiveLoad,
                "the relay knows too many tracks",
            ),
        };
        self.reject(id, code, reason);
    }
}

/// Returns what a subscription begins with that comes of SUBSCRIBE_TRACKS; `None`: the track is not wanted.
fn defaults_for(asked: &Parameters, track: &Track) -> Option<Parameters> {
    let mut defaults = asked.clone();
    defaults.range_filters.clear();
    let Ok(Some(selector)) = Selector::new(&asked.range_filters, FILTER_RANGES_MAX) else {
        return Some(defaults);
    };
    let properties = track.status().0.map(|live| live.properties.clone());
    let left = selector.for_track(Draft::D18, &properties.unwrap_or_default())?;
    let filters = asked.range_filters.iter();
    let filters = filters.filter(|filter| filter.set().is_some_and(|set| left.has_set(set)));
    defaults.range_filters = filters.cloned().collect();
    Some(defaults)
}

/// Returns what a request of the peer is called in metrics.
fn request_name(event: &Event) -> Option<&'static str> {
    match event {
        Event::Subscribe { .. } => Some("subscribe"),
        Event::Publish { .. } => Some("publish"),
        Event::TrackStatus { .. } => Some("track_status"),
        Event::Fetch { .. } => Some("fetch"),
        Event::PublishNamespace { .. } => Some("publish_namespace"),
        Event::SubscribeNamespace { .. } => Some("subscribe_namespace"),
        Event::SubscribeTracks { .. } => Some("subscribe_tracks"),
        Event::Update { .. } => Some("request_update"),
        Event::Setup(_)
        | Event::SubscribeOk { .. }
        | Event::FetchOk { .. }
        | Event::Accepted { .. }
        | Event::Rejected { .. }
        | Event::Updated { .. }
        | Event::UpdateRejected { .. }
        | Event::PublishDone { .. }
        | Event::Cancelled { .. }
        | Event::Namespace { .. }
        | Event::NamespaceDone { .. }
        | Event::PublishBlocked { .. }
        | Event::GoAway { .. }
        | Event::RequestGoAway { .. } => None,
    }
}

/// Returns the token in the query of a path.
fn token_of_path(path: &str) -> Option<String> {
    let (_, query) = path.split_once('?')?;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "token")
        .map(|(_, token)| token.into_owned())
}
