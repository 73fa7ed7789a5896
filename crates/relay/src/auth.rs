//! Who may publish and subscribe what. The decision itself is the caller's, through [`Authorize`].

use std::{sync::Arc, time::SystemTime};

use moqrelay_moqt::{Namespace, RequestCode, ResetCode, SessionCode};

/// Turns tokens into grants.
///
/// Called in the session's own task whenever a token arrives, so it must not block.
pub trait Authorize: Send + Sync + 'static {
    /// Returns what the bearer of `token` may do; `None` asks for what a session without any token
    /// may do.
    ///
    /// # Errors
    ///
    /// When the token is of no use. An error for `None` turns away whoever brings no token; grants
    /// that name nothing let a session begin whose requests bring tokens of their own.
    fn authorize(&self, token: Option<&str>) -> Result<Grants, AuthError>;
}

/// What the bearer of a token may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Namespaces below which tracks may be published; the empty one means everything.
    pub publish: Vec<Namespace>,
    /// Namespaces below which tracks may be subscribed to; the empty one means everything.
    pub subscribe: Vec<Namespace>,
    /// When the grants end.
    pub expires_at: Option<SystemTime>,
    /// Who bears the token, if it says so: [`Keep`](crate::Keep) names them.
    pub bearer: Option<Arc<str>>,
    /// As which participant the bearer takes part, if the token says so: what is taken back from that participant
    /// ([`Relay::revoke`](crate::Relay::revoke)), or from all below a namespace above it, these grants lose.
    pub participant: Option<Namespace>,
}

impl Grants {
    /// Everything, for ever.
    pub fn everything() -> Self {
        Self {
            publish: vec![Namespace::empty()],
            subscribe: vec![Namespace::empty()],
            expires_at: None,
            bearer: None,
            participant: None,
        }
    }

    /// Returns whether tracks and namespaces below `namespace` may be published.
    pub fn may_publish(&self, namespace: &Namespace) -> bool {
        covers(&self.publish, namespace)
    }

    /// Returns whether tracks and namespaces below `namespace` may be subscribed to.
    pub fn may_subscribe(&self, namespace: &Namespace) -> bool {
        covers(&self.subscribe, namespace)
    }
}

fn covers(grants: &[Namespace], namespace: &Namespace) -> bool {
    grants.iter().any(|granted| granted.is_prefix_of(namespace))
}

/// Why a token is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// It cannot be read.
    #[error("the token cannot be read")]
    Malformed,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Not signed by us, not for us, not yet valid, or missing.
    #[error("not authorized")]
    Denied,
}

impl AuthError {
    /// Returns the code that ends a session whose token this is.
    pub fn session_code(self) -> SessionCode {
        match self {
            Self::Malformed => SessionCode::MalformedAuthToken,
            Self::Expired => SessionCode::ExpiredAuthToken,
            Self::Denied => SessionCode::Unauthorized,
        }
    }

    /// Returns the code that refuses a request whose token this is.
    pub fn request_code(self) -> RequestCode {
        match self {
            Self::Malformed => RequestCode::MalformedAuthToken,
            Self::Expired => RequestCode::ExpiredAuthToken,
            Self::Denied => RequestCode::Unauthorized,
        }
    }
}

/// The code that ends a request whose token ran out or was taken back: no draft has one of its own for the latter.
pub(crate) const EXPIRED: ResetCode = ResetCode::ExpiredAuthToken;
