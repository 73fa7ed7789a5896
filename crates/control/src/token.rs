//! Tokens: JSON Web Tokens, HS256 or ES256 (docs/protocol.md, section 2).
//!
//! A key carries its algorithm: what a token's header claims can only choose among the keys, never
//! how a key is used, and `none` is no key.

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moqrelay_room::{Number, UserId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::random;

/// The `aud` of our tokens.
pub const AUDIENCE: &str = "moqrelay";

/// How far clocks may differ: `exp` and `nbf` are stretched by so much.
pub const LEEWAY: Duration = Duration::from_secs(5);

/// The longest token in bytes.
pub const LEN_MAX: usize = 8 * 1024;

/// The most paths in `put` or `get`.
pub const PATHS_MAX: usize = 64;

/// The most fields of `as`: those of a namespace (draft-18, section 2.4.1).
const PARTICIPANT_FIELDS_MAX: usize = 32;

/// The longest name of a user in characters.
pub const NAME_CHARS_MAX: usize = 64;

/// A key of the configuration.
#[derive(Clone)]
pub struct Key {
    /// The `kid` that tokens name; tokens without one are tried against every key.
    pub kid: Option<String>,
    /// The key itself.
    pub material: Material,
}

/// A key itself.
#[derive(Clone)]
pub enum Material {
    /// HS256: signs and verifies. At least [`SECRET_LEN_MIN`] bytes.
    Hs256(Vec<u8>),
    /// ES256, a public key in PEM (`BEGIN PUBLIC KEY`): verifies.
    Es256Public(String),
    /// ES256, a private key in PEM (PKCS #8, `BEGIN PRIVATE KEY`): signs and verifies.
    Es256Private(String),
}

/// The shortest HS256 secret in bytes: as long as the hash (RFC 7518, section 3.2).
pub const SECRET_LEN_MIN: usize = 32;

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Guessing it would be too easy.
    #[error("an HS256 secret has at least {SECRET_LEN_MIN} bytes, this one has {0}")]
    ShortSecret(usize),
    /// Not the PEM that was expected.
    #[error("not a P-256 key in PEM: {0}")]
    Pem(String),
    /// Two keys have one name.
    #[error("key id {0} is there twice")]
    DuplicateKid(String),
}

/// Why a token does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not a JWT of ours, or longer than [`LEN_MAX`].
    #[error("not a token")]
    Malformed,
    /// An algorithm that no key here has.
    #[error("algorithm not accepted")]
    Algorithm,
    /// No key has that `kid`.
    #[error("unknown key")]
    UnknownKey,
    /// No key made this signature.
    #[error("signature does not match")]
    Signature,
    /// `aud` is not [`AUDIENCE`].
    #[error("not for this audience")]
    Audience,
    /// `exp` is missing.
    #[error("no time of expiry")]
    NoExpiry,
    /// `exp` has passed.
    #[error("expired")]
    Expired,
    /// `nbf` is still to come.
    #[error("not valid yet")]
    NotYet,
    /// A claim does not have its form.
    #[error("claim {0} does not have its form")]
    Claim(&'static str),
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user's id; without it the token opens no signaling.
    pub sub: Option<String>,
    /// The name others see.
    pub name: Option<String>,
    /// The number telephones dial.
    pub number: Option<String>,
    /// Paths below which the bearer may publish; `""` is everything.
    pub put: Vec<String>,
    /// Paths below which the bearer may subscribe; `""` is everything.
    pub get: Vec<String>,
    /// As which participant the bearer takes part (`as`), a path such as `room/a/p1`: what is taken back from that
    /// participant, this token loses.
    pub participant: Option<String>,
    /// Not before, in seconds since 1970.
    pub nbf: Option<u64>,
    /// When it ends, in seconds since 1970.
    pub exp: u64,
}

impl Claims {
    /// Returns when the token ends.
    pub fn expires_at(&self) -> SystemTime {
        // The form was checked: `exp` is at most TIME_MAX.
        UNIX_EPOCH + Duration::from_secs(self.exp.min(TIME_MAX))
    }

    /// Returns when the token is refused at last: [`LEEWAY`] after its end.
    pub fn refused_from(&self) -> SystemTime {
        self.expires_at() + LEEWAY
    }
}

/// The year 9999; later times do not fit everywhere.
const TIME_MAX: u64 = 253_402_300_799;

/// The keys of this node.
///
/// They can be replaced while tokens are being checked.
pub struct Keys {
    usable: RwLock<Arc<Usable>>,
    /// Drawn when none of the given keys can sign, and kept from then on.
    own: OnceLock<Own>,
}

struct Usable {
    keys: Vec<UsableKey>,
    signer: Signer,
}

/// A key that was drawn at random.
#[derive(Clone)]
pub struct Own {
    /// Its `kid`.
    pub kid: String,
    /// Its secret.
    pub secret: [u8; 32],
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Own").field(&self.kid).finish()
    }
}

struct UsableKey {
    kid: Option<String>,
    algorithm: Algorithm,
    verify: DecodingKey,
}

struct Signer {
    header: Header,
    key: EncodingKey,
}

impl Keys {
    /// Takes the configured keys. The first that can sign signs; when none can, one is drawn at
    /// random, and what it signed ends with the process.
    ///
    /// # Errors
    ///
    /// When a key cannot be used.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, KeyError> {
        Self::with_own(keys, None)
    }

    /// Like [`new`](Self::new), with the key that an earlier process drew.
    ///
    /// # Errors
    ///
    /// When a key cannot be used.
    pub fn with_own(
        keys: impl IntoIterator<Item = Key>,
        own: Option<Own>,
    ) -> Result<Self, KeyError> {
        let own = own.map_or_else(OnceLock::new, OnceLock::from);
        let usable = Usable::new(keys, &own)?;
        Ok(Self {
            usable: RwLock::new(Arc::new(usable)),
            own,
        })
    }

    /// Puts other keys in the place of the present ones. A key that was drawn at random stays.
    ///
    /// # Errors
    ///
    /// When a key cannot be used; the present ones then stay.
    pub fn replace(&self, keys: impl IntoIterator<Item = Key>) -> Result<(), KeyError> {
        let usable = Arc::new(Usable::new(keys, &self.own)?);
        *self.usable.write().unwrap_or_else(PoisonError::into_inner) = usable;
        Ok(())
    }

    /// Returns the key that was drawn at random, if one was.
    pub fn own(&self) -> Option<&Own> {
        self.own.get()
    }

    fn usable(&self) -> Arc<Usable> {
        let usable = self.usable.read();
        Arc::clone(&usable.unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns what a token says if it holds at that time.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
        self.usable().verify(token, now)
    }

    /// Returns what a signed text says that is no token: the caller checks its audience and time.
    pub(crate) fn open<T: DeserializeOwned>(&self, text: &str) -> Result<T, TokenError> {
        self.usable().open(text)
    }

    /// Returns a signed text that is no token.
    pub(crate) fn seal<T: Serialize>(&self, claims: &T) -> String {
        self.usable().seal(claims)
    }

    /// Returns a token that says so.
    pub fn sign(&self, claims: &Claims) -> String {
        self.usable().sign(claims)
    }
}

impl Usable {
    fn new(keys: impl IntoIterator<Item = Key>, own: &OnceLock<Own>) -> Result<Self, KeyError> {
        let mut usable: Vec<UsableKey> = Vec::new();
        let mut signer = None;
        for key in keys {
            let (verify, sign) = key.material.load()?;
            let (kid, algorithm) = (key.kid, key.material.algorithm());
            if let Some(kid) = kid.as_ref().filter(|kid| knows(&usable, kid)) {
                return Err(KeyError::DuplicateKid(kid.clone()));
            }
            if let Some(key) = sign
                && signer.is_none()
            {
                signer = Some(Signer::new(algorithm, kid.clone(), key));
            }
            usable.push(UsableKey {
                kid,
                algorithm,
                verify,
            });
        }
        let signer = match signer {
            Some(signer) => signer,
            None => {
                let own = own.get_or_init(|| Own {
                    kid: random::name(),
                    secret: random::secret(),
                });
                let (secret, kid) = (own.secret, Some(own.kid.clone()));
                let (algorithm, verify) = (Algorithm::HS256, DecodingKey::from_secret(&secret));
                usable.push(UsableKey {
                    kid: kid.clone(),
                    algorithm,
                    verify,
                });
                Signer::new(algorithm, kid, EncodingKey::from_secret(&secret))
            }
        };
        Ok(Self {
            keys: usable,
            signer,
        })
    }

    fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
        self.open::<RawClaims>(token)?.check(now)
    }

    fn open<T: DeserializeOwned>(&self, token: &str) -> Result<T, TokenError> {
        if token.len() > LEN_MAX {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        // Extensions that must be understood, and none is here (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let mut named = self
            .keys
            .iter()
            .filter(|key| key.is_named(header.kid.as_deref()))
            .peekable();
        if named.peek().is_none() {
            return Err(TokenError::UnknownKey);
        }
        let mut fault = TokenError::Algorithm;
        for key in named.filter(|key| key.algorithm == header.alg) {
            match key.decode(token) {
                Ok(claims) => return Ok(claims),
                Err(error) => fault = error,
            }
        }
        Err(fault)
    }

    fn sign(&self, claims: &Claims) -> String {
        self.seal(&RawClaims::from(claims))
    }

    fn seal<T: Serialize>(&self, claims: &T) -> String {
        jsonwebtoken::encode(&self.signer.header, claims, &self.signer.key)
            .expect("the key was loaded for this algorithm")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usable = self.usable();
        let kids = usable
            .keys
            .iter()
            .map(|key| (key.kid.as_deref(), key.algorithm));
        f.debug_list().entries(kids).finish()
    }
}

fn knows(keys: &[UsableKey], kid: &str) -> bool {
    keys.iter().any(|key| key.kid.as_deref() == Some(kid))
}

impl UsableKey {
    fn is_named(&self, kid: Option<&str>) -> bool {
        kid.is_none_or(|kid| self.kid.as_deref() == Some(kid))
    }

    fn decode<T: DeserializeOwned>(&self, token: &str) -> Result<T, TokenError> {
        let mut validation = Validation::new(self.algorithm);
        // Checked below, against a time that is given and with words of our own.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let decoded = jsonwebtoken::decode::<T>(token, &self.verify, &validation);
        decoded
            .map(|decoded| decoded.claims)
            .map_err(|error| TokenError::from(&error))
    }
}

impl From<&Error> for TokenError {
    fn from(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => Self::Algorithm,
            _ => Self::Malformed,
        }
    }
}

impl Signer {
    fn new(algorithm: Algorithm, kid: Option<String>, key: EncodingKey) -> Self {
        Self {
            header: Header {
                kid,
                ..Header::new(algorithm)
            },
            key,
        }
    }
}

impl Material {
    /// Returns whether the key signs, rather than only verifies.
    pub fn can_sign(&self) -> bool {
        match self {
            Self::Hs256(_) | Self::Es256Private(_) => true,
            Self::Es256Public(_) => false,
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hs256(_) => Algorithm::HS256,
            Self::Es256Public(_) | Self::Es256Private(_) => Algorithm::ES256,
        }
    }

    fn load(&self) -> Result<(DecodingKey, Option<EncodingKey>), KeyError> {
        match self {
            Self::Hs256(secret) if secret.len() < SECRET_LEN_MIN => {
                Err(KeyError::ShortSecret(secret.len()))
            }
            Self::Hs256(secret) => Ok((
                DecodingKey::from_secret(secret),
                Some(EncodingKey::from_secret(secret)),
            )),
            Self::Es256Public(pem) => {
                let key = DecodingKey::from_ec_pem(pem.as_bytes()).map_err(not_pem)?;
                let point = key.try_get_as_bytes().map_err(not_pem)?;
                // An uncompressed point of P-256; other curves have longer ones.
                if point.len() != P256_POINT_LEN || point.first() != Some(&4) {
                    return Err(KeyError::Pem("another curve".into()));
                }
                Ok((key, None))
            }
            Self::Es256Private(pem) => {
                let key = EncodingKey::from_ec_pem(pem.as_bytes()).map_err(not_pem)?;
                let pair =
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_bytes())
                        .map_err(not_pem)?;
                Ok((
                    DecodingKey::from_ec_der(pair.public_key().as_ref()),
                    Some(key),
                ))
            }
        }
    }
}

/// 0x04 and two coordinates (SEC 1, section 2.3.3).
const P256_POINT_LEN: usize = 65;

fn not_pem(error: impl fmt::Display) -> KeyError {
    KeyError::Pem(error.to_string())
}

/// Claims as they stand in a token.
#[derive(Debug, Serialize, Deserialize)]
struct RawClaims {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    put: Option<OneOrMany>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    get: Option<OneOrMany>,
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    participant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aud: Option<OneOrMany>,
    // Anything at first: a wrong kind is a fault of that claim, not of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exp: Option<Value>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

impl From<&Claims> for RawClaims {
    fn from(claims: &Claims) -> Self {
        let paths = |paths: &Vec<String>| match &paths[..] {
            [] => None,
            [path] => Some(OneOrMany::One(path.clone())),
            paths => Some(OneOrMany::Many(paths.to_vec())),
        };
        Self {
            sub: claims.sub.clone(),
            name: claims.name.clone(),
            number: claims.number.clone(),
            put: paths(&claims.put),
            get: paths(&claims.get),
            participant: claims.participant.clone(),
            aud: Some(OneOrMany::One(AUDIENCE.into())),
            nbf: claims.nbf.map(Value::from),
            exp: Some(Value::from(claims.exp)),
        }
    }
}

impl RawClaims {
    fn check(self, now: SystemTime) -> Result<Claims, TokenError> {
        let audience = self.aud.map(OneOrMany::into_vec).unwrap_or_default();
        if !audience.iter().any(|audience| audience == AUDIENCE) {
            return Err(TokenError::Audience);
        }
        let exp = self.exp.ok_or(TokenError::NoExpiry)?;
        let exp = seconds(&exp).ok_or(TokenError::Claim("exp"))?;
        let nbf = match self.nbf {
            Some(nbf) => Some(seconds(&nbf).ok_or(TokenError::Claim("nbf"))?),
            None => None,
        };
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if now >= Duration::from_secs(exp) + LEEWAY {
            return Err(TokenError::Expired);
        }
        if nbf.is_some_and(|nbf| now + LEEWAY < Duration::from_secs(nbf)) {
            return Err(TokenError::NotYet);
        }
        check_form("sub", self.sub.as_deref(), |sub| UserId::new(sub).is_ok())?;
        check_form("name", self.name.as_deref(), is_name)?;
        check_form("number", self.number.as_deref(), |number| {
            Number::new(number).is_ok()
        })?;
        check_form("as", self.participant.as_deref(), is_path)?;
        let (sub, name, number) = (self.sub, self.name, self.number);
        let (put, get) = (paths("put", self.put)?, paths("get", self.get)?);
        Ok(Claims {
            sub,
            name,
            number,
            put,
            get,
            participant: self.participant,
            nbf,
            exp,
        })
    }
}

fn check_form(
    claim: &'static str,
    value: Option<&str>,
    valid: impl Fn(&str) -> bool,
) -> Result<(), TokenError> {
    if value.is_some_and(|value| !valid(value)) {
        return Err(TokenError::Claim(claim));
    }
    Ok(())
}

/// Returns whether a text can be shown as a user's name.
pub(crate) fn is_name(name: &str) -> bool {
    let chars = name.chars().count();
    (1..=NAME_CHARS_MAX).contains(&chars)
        && !name.trim().is_empty()
        && !name.chars().any(char::is_control)
}

/// A path of fields none of which is empty: a token that can be taken back must not lose its name on the way.
fn is_path(path: &str) -> bool {
    let fields = path.split('/').count();
    (1..=PARTICIPANT_FIELDS_MAX).contains(&fields) && path.split('/').all(|field| !field.is_empty())
}

fn paths(claim: &'static str, value: Option<OneOrMany>) -> Result<Vec<String>, TokenError> {
    let paths = value.map(OneOrMany::into_vec).unwrap_or_default();
    if paths.len() > PATHS_MAX {
        return Err(TokenError::Claim(claim));
    }
    Ok(paths)
}

/// A NumericDate may have a fraction (RFC 7519, section 2).
fn seconds(value: &Value) -> Option<u64> {
    let seconds = value.as_u64().or_else(|| {
        let seconds = value.as_f64()?.floor();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (0.0..=TIME_MAX as f64)
            .contains(&seconds)
            .then_some(seconds as u64)
    })?;
    (seconds <= TIME_MAX).then_some(seconds)
}
