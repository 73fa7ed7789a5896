//! What a session may do, and for how long.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use moqrelay_moqt::{AuthToken, Namespace, RequestCode, RequestError};

use crate::auth::{AuthError, Authorize, Grants};

/// The token type of IANA's table that says: agreed out of band.
const OUT_OF_BAND: u64 = 0;

/// A session's grants.
pub(crate) struct Access {
    authorize: Arc<dyn Authorize>,
    /// From the connection's own token, if it had one.
    grants: Option<Grants>,
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Publish,
    Subscribe,
}

impl Access {
    pub(crate) fn new(authorize: Arc<dyn Authorize>) -> Self {
        Self {
            authorize,
            grants: None,
        }
    }

    /// Takes a token that came with the connection.
    pub(crate) fn present(&mut self, token: &str) -> Result<(), AuthError> {
        let grants = self.authorize.authorize(Some(token))?;
        self.grants.get_or_insert_default().add(grants);
        Ok(())
    }

    /// Takes the tokens of SETUP, or the lack of any.
    pub(super) fn settle(&mut self, tokens: &[AuthToken]) -> Result<(), AuthError> {
        for token in tokens {
            self.present(text(token)?)?;
        }
        if self.grants.is_none() {
            self.grants = Some(self.authorize.authorize(None)?);
        }
        Ok(())
    }

    /// Returns when the session's own grants end.
    pub(super) fn expires_at(&self) -> Option<SystemTime> {
        self.grants.as_ref()?.expires_at
    }

    /// Returns whose session it is.
    pub(super) fn bearer(&self) -> Option<&str> {
        self.grants.as_ref()?.bearer.as_deref()
    }

    /// Decides on a request; returns when the right to it ends apart from the session.
    pub(super) fn check(
        &self,
        tokens: &[AuthToken],
        need: Need,
        namespace: &Namespace,
    ) -> Result<Option<SystemTime>, Box<RequestError>> {
        let allows = |grants: &Grants| match need {
            Need::Publish => grants.may_publish(namespace),
            Need::Subscribe => grants.may_subscribe(namespace),
        };
        if self.grants.as_ref().is_some_and(allows) {
            // A token that is not needed may be of a kind that is not known here.
            return Ok(None);
        }
        let mut own = None::<Grants>;
        for token in tokens {
            let grants = text(token)
                .and_then(|token| self.authorize.authorize(Some(token)))
                .map_err(|error| refusal(error.request_code(), error.to_string()))?;
            own.get_or_insert_default().add(grants);
        }
        match own {
            Some(own) if allows(&own) => Ok(own.expires_at),
            _ => Err(refusal(
                RequestCode::Unauthorized,
                format!("no token grants {namespace}"),
            )),
        }
    }
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
