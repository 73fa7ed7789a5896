//! The keys that give places in rooms back: signed, so that they hold after a restart.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use moqrelay_room::conference::{Key, Role};
use serde::{Deserialize, Serialize};

use crate::token::Keys;

/// What tokens of ours are not for: a key of a place opens nothing else, nor does a token give a place back.
const AUDIENCE: &str = "moqrelay-place";

/// How long a key holds: nobody stays longer without asking for a new token.
pub(crate) const TTL: Duration = Duration::from_secs(24 * 3600);

/// What a key of a place says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceKey {
    /// The room's name.
    pub room: String,
    /// The key of the place while the server runs.
    pub key: Key,
    /// Whose it is.
    pub user: String,
    /// What it may.
    pub role: Role,
    /// Whether it has yet to be let in.
    pub waiting: bool,
    /// When it was given out.
    pub issued: SystemTime,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    aud: String,
    room: String,
    key: String,
    sub: String,
    role: String,
    #[serde(default)]
    waiting: bool,
    /// In milliseconds since 1970.
    at: u64,
    exp: u64,
}

impl Keys {
    /// Returns the text of a place's key.
    pub(crate) fn sign_place(&self, place: &PlaceKey) -> String {
        let at = place.issued.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.seal(&Claims {
            aud: AUDIENCE.into(),
            room: place.room.clone(),
            key: format!("{:032x}", place.key.0),
            sub: place.user.clone(),
            role: role_name(place.role).into(),
            waiting: place.waiting,
            at: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            exp: (at + TTL).as_secs(),
        })
    }

    /// Returns what a place's key says; `None` when it is not ours, or too old.
    pub(crate) fn read_place(&self, text: &str, now: SystemTime) -> Option<PlaceKey> {
        let claims: Claims = self.open(text).ok()?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if claims.aud != AUDIENCE || now.as_secs() >= claims.exp {
            return None;
        }
        Some(PlaceKey {
            room: claims.room,
            key: Key(u128::from_str_radix(&claims.key, 16).ok()?),
            user: claims.sub,
            role: role_named(&claims.role)?,
            waiting: claims.waiting,
            issued: UNIX_EPOCH + Duration::from_millis(claims.at),
        })
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Host => "host",
        Role::Speaker => "speaker",
        Role::Listener => "listener",
        Role::Recorder => "recorder",
    }
}

fn role_named(name: &str) -> Option<Role> {
    Some(match name {
        "host" => Role::Host,
        "speaker" => Role::Speaker,
        "listener" => Role::Listener,
        "recorder" => Role::Recorder,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{self, Material, TokenError};

    #[test]
    fn a_key_says_what_was_signed_also_to_a_process_begun_later() {
        let place = place();

        let text = keys(7).sign_place(&place);

        assert_eq!(keys(7).read_place(&text, place.issued), Some(place));
    }

    #[test]
    fn a_key_of_another_server_or_one_that_was_changed_or_is_too_old_says_nothing() {
        let place = place();
        let text = keys(7).sign_place(&place);

        assert_eq!(keys(8).read_place(&text, place.issued), None);
        assert_eq!(keys(7).read_place(&text[1..], place.issued), None);
        assert_eq!(keys(7).read_place("", place.issued), None);
        assert_eq!(keys(7).read_place(&text, place.issued + TTL), None);
    }

    #[test]
    fn a_key_is_no_token_and_a_token_is_no_key() {
        let (keys, place) = (keys(7), place());
        let token = keys.sign(&token::Claims {
            sub: Some("anna".into()),
            name: None,
            number: None,
            put: vec!["room".into()],
            get: Vec::new(),
            participant: None,
            nbf: None,
            exp: u64::from(u32::MAX),
        });

        let as_token = keys.verify(&keys.sign_place(&place), place.issued);

        assert_eq!(as_token, Err(TokenError::Audience));
        assert_eq!(keys.read_place(&token, place.issued), None);
    }

    fn keys(secret: u8) -> Keys {
        let material = Material::Hs256(vec![secret; 32]);
        Keys::new([token::Key {
            kid: None,
            material,
        }])
        .unwrap()
    }

    fn place() -> PlaceKey {
        PlaceKey {
            room: "board".into(),
            key: Key(0x0123 << 100),
            user: "anna".into(),
            role: Role::Host,
            waiting: false,
            issued: UNIX_EPOCH + Duration::from_millis(1_800_000_000_123),
        }
    }
}
