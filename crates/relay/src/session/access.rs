//! What a session may do, and for how long.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use moqrelay_moqt::{AuthToken, Namespace, RequestCode, RequestError};

use crate::{
    auth::{AuthError, Authorize, Grants},
    revocation::{Revocations, Rights},
};

/// The token type of IANA's table that says: agreed out of band.
const OUT_OF_BAND: u64 = 0;

/// A session's grants.
pub(crate) struct Access {
    authorize: Arc<dyn Authorize>,
    /// From the connection's own tokens, each by itself: one can be taken back without the others.
    grants: Vec<Grants>,
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Publish,
    Subscribe,
}

/// What gives the right to a request.
pub(super) enum Right {
    /// What the session may do anyway.
    Session,
    /// Tokens that came with the request.
    Own(Vec<Grants>),
}

impl Access {
    pub(crate) fn new(authorize: Arc<dyn Authorize>) -> Self {
        Self {
            authorize,
            grants: Vec::new(),
        }
    }

    /// Takes a token that came with the connection.
    pub(crate) fn present(&mut self, token: &str) -> Result<(), AuthError> {
        let grants = self.authorize.authorize(Some(token))?;
        self.grants.push(grants);
        Ok(())
    }

    /// Takes the tokens of SETUP, or the lack of any.
    pub(super) fn settle(&mut self, tokens: &[AuthToken]) -> Result<(), AuthError> {
        for token in tokens {
            self.present(text(token)?)?;
        }
        if self.grants.is_empty() {
            self.grants.push(self.authorize.authorize(None)?);
        }
        Ok(())
    }

    /// Returns whether there is something that was not taken back.
    pub(super) fn is_good_for_anything(&self, revocations: &Revocations) -> bool {
        let mut grants = self.grants.iter();
        grants.any(|grants| left(grants, revocations) > Rights::Nothing)
    }

    /// Returns the participants that the session's own tokens name.
    pub(super) fn participants(&self) -> impl Iterator<Item = &Namespace> {
        let grants = self.grants.iter();
        grants.filter_map(|grants| grants.participant.as_ref())
    }

    /// Returns when the session's own grants end: when the first of them ends.
    pub(super) fn expires_at(&self) -> Option<SystemTime> {
        let grants = self.grants.iter();
        grants.filter_map(|grants| grants.expires_at).min()
    }

    /// Returns whose session it is.
    pub(super) fn bearer(&self) -> Option<&str> {
        let mut grants = self.grants.iter();
        grants.find_map(|grants| grants.bearer.as_deref())
    }

    /// Decides on a request.
    pub(super) fn check(
        &self,
        tokens: &[AuthToken],
        need: Need,
        namespace: &Namespace,
        revocations: &Revocations,
    ) -> Result<Right, Box<RequestError>> {
        if self.allows(need, namespace, revocations) {
            // A token that is not needed may be of a kind that is not known here.
            return Ok(Right::Session);
        }
        let mut own = Vec::new();
        for token in tokens {
            let grants = text(token)
                .and_then(|token| self.authorize.authorize(Some(token)))
                .map_err(|error| refusal(error.request_code(), error.to_string()))?;
            own.push(grants);
        }
        if any_allows(&own, need, namespace, revocations) {
            return Ok(Right::Own(own));
        }
        Err(refusal(
            RequestCode::Unauthorized,
            format!("no token grants {namespace}"),
        ))
    }

    /// Returns whether the session's own grants cover something.
    pub(super) fn allows(
        &self,
        need: Need,
        namespace: &Namespace,
        revocations: &Revocations,
    ) -> bool {
        any_allows(&self.grants, need, namespace, revocations)
    }
}

impl Right {
    /// Returns when it ends apart from the session.
    pub(super) fn until(&self) -> Option<SystemTime> {
        match self {
            Self::Session => None,
            Self::Own(grants) => grants.iter().filter_map(|grants| grants.expires_at).min(),
        }
    }
}

/// Returns whether grants cover something after all that was taken back.
pub(super) fn any_allows(
    grants: &[Grants],
    need: Need,
    namespace: &Namespace,
    revocations: &Revocations,
) -> bool {
    grants.iter().any(|grants| match need {
        Need::Publish => {
            grants.may_publish(namespace) && left(grants, revocations) == Rights::Everything
        }
        Need::Subscribe => {
            grants.may_subscribe(namespace) && left(grants, revocations) >= Rights::Subscribe
        }
    })
}

fn left(grants: &Grants, revocations: &Revocations) -> Rights {
    let participant = grants.participant.as_ref();
    participant.map_or(Rights::Everything, |participant| {
        revocations.left_to(participant)
    })
}

fn refusal(code: RequestCode, reason: String) -> Box<RequestError> {
    Box::new(RequestError::new(code, reason))
}

/// Translates a time of the calendar to one of the monotonic clock.
pub(super) fn instant(at: SystemTime) -> Instant {
    let left = at.duration_since(SystemTime::now()).unwrap_or_default();
    // A token that is good for centuries never ends as far as a session is concerned.
    let now = Instant::now();
    now.checked_add(left).unwrap_or(now + FOREVER)
}

/// Longer than any session.
const FOREVER: std::time::Duration = std::time::Duration::from_hours(24 * 365);

fn text(token: &AuthToken) -> Result<&str, AuthError> {
    if token.token_type != OUT_OF_BAND {
        return Err(AuthError::Malformed);
    }
    std::str::from_utf8(&token.value).map_err(|_| AuthError::Malformed)
}
