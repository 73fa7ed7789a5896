//! Authorization tokens and the aliases that stand for them (section 10.2.2).

use bytes::{Bytes, BytesMut};

use crate::collections::BTreeMap;
use crate::{
    DecodeError, Draft, RequestCode, SessionCode,
    wire::{Reader, Writer},
};

/// A token as the peer meant it: aliases are resolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthToken {
    /// IANA's token type; 0: agreed out of band.
    pub token_type: u64,
    /// The token.
    pub value: Bytes,
}

/// A token as it stands on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Forget an alias.
    Delete {
        /// The alias.
        alias: u64,
    },
    /// Use this token and remember it.
    Register {
        /// The alias from now on.
        alias: u64,
        /// The token.
        token: AuthToken,
    },
    /// Use a remembered token.
    UseAlias {
        /// Its alias.
        alias: u64,
    },
    /// Use this token.
    UseValue(AuthToken),
}

/// The tokens that one peer has registered in one session.
#[derive(Debug, Clone, Default)]
pub struct TokenCache {
    size_bytes_max: u64,
    size_bytes: u64,
    tokens: BTreeMap<u64, AuthToken>,
}

/// A token that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The session must end.
    #[error("{1}")]
    Session(SessionCode, &'static str),
    /// The request must be refused.
    #[error("{1}")]
    Request(RequestCode, &'static str),
}

/// Alias types (section 15.6).
const DELETE: u64 = 0x0;
const REGISTER: u64 = 0x1;
const USE_ALIAS: u64 = 0x2;
const USE_VALUE: u64 = 0x3;

impl Token {
    /// Reads a Token structure that fills all of `bytes`.
    ///
    /// # Errors
    ///
    /// When it is none; the session ends with KEY_VALUE_FORMATTING_ERROR.
    pub fn decode(draft: Draft, bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(draft, bytes);
        let token =
            Self::read(&mut reader).ok_or(DecodeError::KeyValueFormat("authorization token"))?;
        reader
            .end()
            .map_err(|_| DecodeError::KeyValueFormat("authorization token"))?;
        Ok(token)
    }

    /// Writes the Token structure.
    pub fn encode(&self, draft: Draft) -> Bytes {
        let mut out = BytesMut::new();
        let mut writer = Writer {
            draft,
            out: &mut out,
        };
        match self {
            Self::Delete { alias } => {
                writer.varint(DELETE);
                writer.varint(*alias);
            }
            Self::Register { alias, token } => {
                writer.varint(REGISTER);
                writer.varint(*alias);
                token.write(&mut writer);
            }
            Self::UseAlias { alias } => {
                writer.varint(USE_ALIAS);
                writer.varint(*alias);
            }
            Self::UseValue(token) => {
                writer.varint(USE_VALUE);
                token.write(&mut writer);
            }
        }
        out.freeze()
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        match reader.varint("alias type").ok()? {
            DELETE => Some(Self::Delete {
                alias: reader.varint("token alias").ok()?,
            }),
            REGISTER => {
                let alias = reader.varint("token alias").ok()?;
                Some(Self::Register {
                    alias,
                    token: AuthToken::read(reader)?,
                })
            }
            USE_ALIAS => Some(Self::UseAlias {
                alias: reader.varint("token alias").ok()?,
            }),
            USE_VALUE => Some(Self::UseValue(AuthToken::read(reader)?)),
            _ => None,
        }
    }
}

impl AuthToken {
    /// The value is what is left of the structure.
    fn read(reader: &mut Reader) -> Option<Self> {
        let token_type = reader.varint("token type").ok()?;
        Some(Self {
            token_type,
            value: reader.rest(),
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.varint(self.token_type);
        writer.raw(&self.value);
    }
}

impl TokenCache {
    /// What a registered token costs beside its value, in bytes (section 10.3.1.3).
    pub const TOKEN_OVERHEAD_BYTES: u64 = 16;

    /// Makes an empty cache; `size_bytes_max` is what we announced as MAX_AUTH_TOKEN_CACHE_SIZE.
    pub fn new(size_bytes_max: u64) -> Self {
        Self {
            size_bytes_max,
            ..Self::default()
        }
    }

    /// Carries out one token of a request and returns what it stands for; `None`: it only deleted an alias.
    ///
    /// # Errors
    ///
    /// Says whether the session must end or only the request must be refused.
    pub fn resolve(&mut self, token: Token) -> Result<Option<AuthToken>, TokenError> {
        match token {
            Token::UseValue(token) => Ok(Some(token)),
            Token::UseAlias { alias } => match self.tokens.get(&alias) {
                Some(token) => Ok(Some(token.clone())),
                None => Err(TokenError::Request(
                    RequestCode::MalformedAuthToken,
                    "unknown token alias",
                )),
            },
            Token::Register { alias, token } => {
                if self.tokens.contains_key(&alias) {
                    let code = SessionCode::DuplicateAuthTokenAlias;
                    return Err(TokenError::Session(code, "token alias registered twice"));
                }
                if !self.register(alias, &token) {
                    let code = SessionCode::AuthTokenCacheOverflow;
                    return Err(TokenError::Session(code, "too many registered tokens"));
                }
                Ok(Some(token))
            }
            Token::Delete { alias } => match self.tokens.remove(&alias) {
                Some(token) => {
                    self.size_bytes -= size_bytes(&token);
                    Ok(None)
                }
                None => Err(TokenError::Request(
                    RequestCode::MalformedAuthToken,
                    "unknown token alias",
                )),
            },
        }
    }

    /// Carries out one token of SETUP, where a registration that does not fit is a mere use (section 10.3.1.4).
    ///
    /// # Errors
    ///
    /// The session must end.
    pub fn resolve_setup(&mut self, token: Token) -> Result<AuthToken, TokenError> {
        match token {
            Token::UseValue(token) => Ok(token),
            Token::Register { alias, token } => {
                if self.tokens.contains_key(&alias) {
                    let code = SessionCode::DuplicateAuthTokenAlias;
                    return Err(TokenError::Session(code, "token alias registered twice"));
                }
                self.register(alias, &token);
                Ok(token)
            }
            Token::UseAlias { .. } | Token::Delete { .. } => Err(TokenError::Session(
                SessionCode::ProtocolViolation,
                "token alias used in SETUP",
            )),
        }
    }

    /// Returns false when it does not fit.
    fn register(&mut self, alias: u64, token: &AuthToken) -> bool {
        let size = self.size_bytes.saturating_add(size_bytes(token));
        if size > self.size_bytes_max {
            return false;
        }
        self.size_bytes = size;
        // Its own buffer: the message around it must not stay in memory for the session's life.
        let kept = AuthToken {
            token_type: token.token_type,
            value: Bytes::copy_from_slice(&token.value),
        };
        self.tokens.insert(alias, kept);
        true
    }
}

fn size_bytes(token: &AuthToken) -> u64 {
    TokenCache::TOKEN_OVERHEAD_BYTES + token.value.len() as u64
}
