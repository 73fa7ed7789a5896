//! What gives a session's requests their right, and what ends when it is taken back.

use std::time::Instant;

use moqrelay_moqt::{AuthToken, Namespace, RequestCode, RequestError, RequestId, SessionCode};

use super::{
    Driver, Due,
    access::{self, Need, Right},
};
use crate::auth::{EXPIRED, Grants};

/// Participants whose tokens one session may bring: a page has a handful of calls and rooms at a time.
const PARTICIPANTS_MAX: usize = 256;

/// Tokens that came with a request, for as long as it runs.
pub(super) struct Lent {
    /// When the first of them ends.
    at: Option<Instant>,
    grants: Vec<Grants>,
}

impl Driver {
    /// Takes the tokens of the connection and of SETUP; false: the session ends.
    pub(super) fn settle(&mut self, token: Option<&str>, tokens: &[AuthToken]) -> bool {
        let settled = match token {
            Some(token) => self.access.present(token),
            None => Ok(()),
        };
        if let Err(error) = settled.and_then(|()| self.access.settle(tokens)) {
            self.shared.meters().refused("token");
            self.machine.close(error.session_code(), &error.to_string());
            return false;
        }
        let participants: Vec<_> = self.access.participants().cloned().collect();
        for participant in participants {
            self.stand_for(&participant);
        }
        if !self.access.is_good_for_anything(self.shared.revocations()) {
            self.shared.meters().refused("revoked");
            let reason = "what the token grants was taken back";
            self.machine.close(SessionCode::Unauthorized, reason);
            return false;
        }
        if let Some(at) = self.access.expires_at() {
            self.timers.set(access::instant(at), Due::SessionExpires);
        }
        true
    }

    /// Decides on a request.
    pub(super) fn check(
        &mut self,
        tokens: &[AuthToken],
        need: Need,
        namespace: &Namespace,
    ) -> Result<Right, Box<RequestError>> {
        let revocations = self.shared.revocations();
        let right = self.access.check(tokens, need, namespace, revocations)?;
        let Right::Own(grants) = &right else {
            return Ok(right);
        };
        let named = grants.iter().filter_map(|own| own.participant.clone());
        let named: Vec<_> = named.collect();
        for participant in named {
            self.stand_for(&participant);
        }
        // What was taken back between the two looks, nobody has told us.
        if access::any_allows(grants, need, namespace, self.shared.revocations()) {
            return Ok(right);
        }
        let code = RequestCode::Unauthorized;
        Err(Box::new(RequestError::new(
            code,
            "the right was taken back",
        )))
    }

    /// Wants to know when something is taken back from a participant.
    fn stand_for(&mut self, participant: &Namespace) {
        if !self
            .shared
            .stand_for(self.id, participant, PARTICIPANTS_MAX)
        {
            self.shared.meters().breach("participants");
            self.machine.close(
                SessionCode::InternalError,
                "tokens of too many participants",
            );
        }
    }

    /// Sets, or changes, what gives a request its right. Call it when the request is known.
    pub(super) fn lend(&mut self, id: RequestId, right: Right) {
        self.forget_lent(id);
        let until = right.until();
        if let Right::Own(grants) = right {
            let at = until.map(access::instant);
            self.lent.insert(id, Lent { at, grants });
            if let Some(at) = at {
                self.timers.set(at, Due::RequestExpires(id));
            }
        }
    }

    pub(super) fn forget_lent(&mut self, id: RequestId) {
        if let Some(Lent { at: Some(at), .. }) = self.lent.remove(&id) {
            self.timers.cancel(at, Due::RequestExpires(id));
        }
    }

    /// The token that came with one request has ended.
    pub(super) fn request_expired(&mut self, id: RequestId) {
        self.lent.remove(&id);
        if !self.expire_subscription(id) {
            self.cancelled(id);
            self.cancel(id, EXPIRED);
        }
    }

    /// Ends everything to which there is no right any more.
    pub(super) fn end_without_right(&mut self) {
        let heard: Vec<_> = (self.subscribed.iter())
            .filter(|(_, slot)| {
                let subscription = self.subscriptions.get(**slot);
                subscription
                    .is_some_and(|it| !self.has_right(Need::Subscribe, it.track.name.namespace()))
            })
            .map(|(_, slot)| *slot)
            .collect();
        let fetched = self.fetches_without_right();
        let spoken = (self.sources.iter())
            .filter(|(_, source)| {
                let namespace = source.namespace();
                namespace.is_some_and(|it| !self.has_right(Need::Publish, it))
            })
            .map(|(id, _)| *id);
        let offered = (self.offered.iter())
            .filter(|(_, offered)| !self.has_right(Need::Publish, &offered.namespace))
            .map(|(id, _)| *id);
        let watched = (self.watched.iter())
            .filter(|(_, watched)| !self.has_right(Need::Subscribe, &watched.prefix))
            .map(|(id, _)| *id);
        let others: Vec<_> = spoken
            .chain(offered)
            .chain(watched)
            .chain(fetched)
            .collect();
        let ended = heard.len() + others.len();
        for slot in heard {
            self.end_unauthorized(slot);
        }
        for id in others {
            self.cancelled(id);
            self.cancel(id, EXPIRED);
        }
        if ended > 0 {
            tracing::info!(ended, "requests ended: the right to them was taken back");
            self.shared.meters().revoked.add(ended as u64);
        }
    }

    /// Returns whether the session may do something by any token that it has brought for what runs now.
    pub(super) fn has_right(&self, need: Need, namespace: &Namespace) -> bool {
        let revocations = self.shared.revocations();
        let mut lent = self.lent.values();
        self.access.allows(need, namespace, revocations)
            || lent.any(|lent| access::any_allows(&lent.grants, need, namespace, revocations))
    }
}
