//! Who there is, and who may do what.

use std::{collections::BTreeSet, fs, ops::RangeInclusive, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use moqrelay_control::token;
use moqrelay_room::{Number, UserId};
use serde::Deserialize;
use uuid::Uuid;

use super::{Secret, within};

/// Who may do what.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Auth {
    pub(crate) guests: bool,
    /// Numbers handed to guests, for example `7001-7099`; as many guests there can be.
    pub(crate) guest_numbers: String,
    #[serde(with = "humantime_serde")]
    pub(crate) guest_lifetime: Duration,
    /// Namespaces below which sessions without a token may publish; `""` is everything.
    pub(crate) anonymous_publish: Vec<String>,
    pub(crate) anonymous_subscribe: Vec<String>,
    pub(crate) keys: Vec<Key>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            guests: false,
            guest_numbers: "7001-7099".into(),
            guest_lifetime: Duration::from_secs(12 * 3600),
            anonymous_publish: Vec::new(),
            anonymous_subscribe: Vec::new(),
            keys: Vec::new(),
        }
    }
}

/// A person who is known by configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) number: Option<String>,
    /// An AudioSocket connection with this UUID rings this person.
    #[serde(default)]
    pub(crate) audiosocket: Option<Uuid>,
}

impl User {
    pub(super) fn check_all(users: &[Self]) -> Result<()> {
        let mut ids = BTreeSet::new();
        for user in users {
            UserId::new(&user.id).with_context(|| format!("users.id is {:?}", user.id))?;
            if let Some(number) = &user.number {
                Number::new(number).with_context(|| format!("users.number is {number:?}"))?;
            }
            ensure!(
                (1..=NAME_CHARS_MAX).contains(&user.name.chars().count()),
                "users.name is {:?}: 1 to {NAME_CHARS_MAX} characters are allowed",
                user.name
            );
            ensure!(ids.insert(&user.id), "users.id {:?} stands twice", user.id);
        }
        Ok(())
    }
}

/// A key that signs or checks tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// The `kid` of the tokens it signed.
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    /// HS256: the secret itself, at least 32 bytes.
    #[serde(default)]
    pub(crate) secret: Option<Secret>,
    /// HS256: a file with the secret. ES256: the public key (PEM).
    #[serde(default)]
    pub(crate) file: Option<PathBuf>,
    /// ES256: the private key (PEM), only where this daemon signs.
    #[serde(default)]
    pub(crate) private_file: Option<PathBuf>,
}

/// The algorithms that are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Algorithm {
    HS256,
    ES256,
}

impl Key {
    fn check(&self) -> Result<()> {
        match self.algorithm {
            Algorithm::HS256 => ensure!(
                self.secret.is_some() != self.file.is_some(),
                "auth.keys {:?}: HS256 needs either secret or file",
                self.id
            ),
            Algorithm::ES256 => ensure!(
                self.file.is_some() && self.secret.is_none(),
                "auth.keys {:?}: ES256 needs file (the public key) and takes no secret",
                self.id
            ),
        }
        Ok(())
    }

    pub(super) fn read(&self) -> Result<token::Key> {
        let read = |path: &PathBuf| {
            fs::read(path).with_context(|| {
                format!("auth.keys {:?}: {} cannot be read", self.id, path.display())
            })
        };
        let pem = |path: &PathBuf| {
            String::from_utf8(read(path)?)
                .with_context(|| format!("{} is no PEM file", path.display()))
        };
        let material = match (self.algorithm, &self.secret, &self.file, &self.private_file) {
            (Algorithm::HS256, Some(secret), _, _) => {
                token::Material::Hs256(secret.expose().as_bytes().to_vec())
            }
            (Algorithm::HS256, None, Some(path), _) => {
                let mut secret = read(path)?;
                // An editor's last line break is not part of the secret.
                while secret
                    .last()
                    .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
                {
                    secret.pop();
                }
                token::Material::Hs256(secret)
            }
            (Algorithm::ES256, _, _, Some(path)) => token::Material::Es256Private(pem(path)?),
            (Algorithm::ES256, _, Some(path), None) => token::Material::Es256Public(pem(path)?),
            (Algorithm::HS256, None, None, _) | (Algorithm::ES256, _, None, None) => {
                bail!("auth.keys {:?} names no key", self.id)
            }
        };
        Ok(token::Key {
            kid: Some(self.id.clone()),
            material,
        })
    }
}

impl Auth {
    pub(super) fn check(&self) -> Result<()> {
        within("auth.guest_lifetime", self.guest_lifetime, 60, 7 * 86_400)?;
        self.guest_number_range()?;
        self.keys.iter().try_for_each(Key::check)
    }

    /// Returns the numbers for guests.
    ///
    /// # Errors
    ///
    /// When the text is not of the form `7001-7099`.
    pub(crate) fn guest_number_range(&self) -> Result<RangeInclusive<u32>> {
        number_range("auth.guest_numbers", &self.guest_numbers)
    }
}

/// Reads a range of numbers for those who have none of their own, of the form `7001-7099`.
pub(super) fn number_range(key: &str, text: &str) -> Result<RangeInclusive<u32>> {
    let allowed = || {
        format!(
            "{key} is {text:?}: allowed is FIRST-LAST with at most {NUMBERS_MAX} numbers, for example 7001-7099"
        )
    };
    let (first, last) = text.split_once('-').with_context(allowed)?;
    let first: u32 = first.trim().parse().with_context(allowed)?;
    let last: u32 = last.trim().parse().with_context(allowed)?;
    if first > last || last - first >= NUMBERS_MAX {
        bail!(allowed());
    }
    Ok(first..=last)
}

/// Guests, or rooms on demand, at once: each has a number of its own.
const NUMBERS_MAX: u32 = 100_000;

/// The longest name of a user, in characters.
const NAME_CHARS_MAX: usize = 64;
