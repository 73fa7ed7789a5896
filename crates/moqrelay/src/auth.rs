//! Turns tokens into grants: `control` knows tokens, `relay` knows grants.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use moqrelay_control::token::{Keys, TokenError};
use moqrelay_relay::{AuthError, Authorize, Grants, Namespace};

use crate::config;

/// What a MoQ session may do, by its token.
pub(crate) struct TokenGrants {
    keys: Arc<Keys>,
    anonymous: RwLock<Grants>,
}

impl TokenGrants {
    /// Takes the keys, and what sessions without a token may do.
    ///
    /// # Errors
    ///
    /// When a path of the configuration is no namespace.
    pub(crate) fn new(keys: Arc<Keys>, auth: &config::Auth) -> Result<Self> {
        Ok(Self {
            keys,
            anonymous: RwLock::new(Self::anonymous(auth)?),
        })
    }

    /// Returns what sessions without a token may do by the configuration.
    ///
    /// # Errors
    ///
    /// When a path of the configuration is no namespace.
    pub(crate) fn anonymous(auth: &config::Auth) -> Result<Grants> {
        let paths = |key: &str, paths: &[String]| {
            paths
                .iter()
                .map(|path| namespace(path).with_context(|| format!("{key} has {path:?}")))
                .collect::<Result<Vec<_>>>()
        };
        Ok(Grants {
            publish: paths("auth.anonymous_publish", &auth.anonymous_publish)?,
            subscribe: paths("auth.anonymous_subscribe", &auth.anonymous_subscribe)?,
            expires_at: None,
            bearer: None,
            participant: None,
        })
    }

    /// Changes what sessions without a token may do; those that have begun keep what they have.
    pub(crate) fn replace(&self, anonymous: Grants) {
        *self
            .anonymous
            .write()
            .unwrap_or_else(PoisonError::into_inner) = anonymous;
    }
}

impl Authorize for TokenGrants {
    fn authorize(&self, token: Option<&str>) -> Result<Grants, AuthError> {
        let Some(token) = token else {
            let anonymous = self
                .anonymous
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            return if anonymous.publish.is_empty() && anonymous.subscribe.is_empty() {
                Err(AuthError::Denied)
            } else {
                Ok(anonymous.clone())
            };
        };
        let claims = self
            .keys
            .verify(token, SystemTime::now())
            .map_err(|error| {
                tracing::debug!(%error, "a token does not hold");
                match error {
                    TokenError::Malformed => AuthError::Malformed,
                    TokenError::Expired => AuthError::Expired,
                    _ => AuthError::Denied,
                }
            })?;
        // A path that is no namespace grants nothing.
        let namespaces = |paths: &[String]| {
            paths
                .iter()
                .filter_map(|path| namespace(path).ok())
                .collect()
        };
        Ok(Grants {
            publish: namespaces(&claims.put),
            subscribe: namespaces(&claims.get),
            expires_at: Some(claims.expires_at()),
            bearer: claims.sub.as_deref().map(Arc::from),
            participant: claims
                .participant
                .as_deref()
                .and_then(|path| namespace(path).ok()),
        })
    }
}

/// `room/a/p1` as a namespace of three fields; `""` is the empty one, which is a prefix of all.
pub(crate) fn namespace(path: &str) -> Result<Namespace> {
    if path.is_empty() {
        return Ok(Namespace::default());
    }
    let fields = path
        .split('/')
        .map(|field| Bytes::copy_from_slice(field.as_bytes()));
    Namespace::new(fields).context("no namespace: 1 to 32 fields, none empty, joined by /")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use moqrelay_control::token::{Claims, Key, Material};

    use super::*;

    #[test]
    fn nobody_may_do_anything_without_a_token_by_default() {
        let grants = token_grants(&config::Auth::default());

        assert_eq!(grants.authorize(None).unwrap_err(), AuthError::Denied);
    }

    #[test]
    fn a_token_grants_what_is_below_its_paths_field_by_field() {
        let grants = token_grants(&config::Auth::default());

        let granted = grants.authorize(Some(&token("room/a"))).unwrap();

        assert!(granted.may_publish(&namespace("room/a").unwrap()));
        assert!(granted.may_publish(&namespace("room/a/p1").unwrap()));
        assert!(!granted.may_publish(&namespace("room/ab").unwrap()));
        assert!(!granted.may_subscribe(&namespace("room/a").unwrap()));
    }

    #[test]
    fn the_empty_path_grants_everything() {
        let auth = config::Auth {
            anonymous_subscribe: vec![String::new()],
            ..config::Auth::default()
        };

        let granted = token_grants(&auth).authorize(None).unwrap();

        assert!(granted.may_subscribe(&namespace("room/a/p1").unwrap()));
        assert!(!granted.may_publish(&namespace("room/a/p1").unwrap()));
    }

    #[test]
    fn a_token_of_nobody_is_refused() {
        let grants = token_grants(&config::Auth::default());

        assert_eq!(
            grants.authorize(Some("x.y.z")).unwrap_err(),
            AuthError::Malformed
        );
    }

    fn token_grants(auth: &config::Auth) -> TokenGrants {
        TokenGrants::new(keys(), auth).unwrap()
    }

    fn keys() -> Arc<Keys> {
        let key = Key {
            kid: None,
            material: Material::Hs256(vec![7; 32]),
        };
        Arc::new(Keys::new([key]).unwrap())
    }

    fn token(put: &str) -> String {
        let exp = SystemTime::now() + Duration::from_secs(60);
        keys().sign(&Claims {
            sub: None,
            name: None,
            number: None,
            put: vec![put.into()],
            get: Vec::new(),
            participant: None,
            nbf: None,
            exp: exp.duration_since(UNIX_EPOCH).unwrap().as_secs(),
        })
    }
}
