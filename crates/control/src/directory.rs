//! The users an operator has configured.

use std::collections::BTreeMap;

use moqrelay_room::{Number, Service, User, UserId};
use uuid::Uuid;

/// A configured user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who.
    pub user: User,
    /// An AudioSocket connection with this UUID calls the user.
    pub audiosocket: Option<Uuid>,
}

/// What is wrong with the configured users.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Two users have one id.
    #[error("user id {0} is there twice")]
    Id(UserId),
    /// The id is what callers dial for a service.
    #[error("user id {0} is the name of a service")]
    Service(UserId),
    /// Two users have one number.
    #[error("number {0} belongs to two users")]
    Number(Number),
    /// Two users have one UUID.
    #[error("audiosocket uuid {0} belongs to two users")]
    AudioSocket(Uuid),
}

/// The users who exist without being registered.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    entries: BTreeMap<UserId, Entry>,
    by_number: BTreeMap<Number, UserId>,
    by_audiosocket: BTreeMap<Uuid, UserId>,
}

impl Directory {
    /// Takes the configured users.
    ///
    /// # Errors
    ///
    /// When an id, a number or a UUID is there twice, or an id is the name of a service.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Result<Self, DirectoryError> {
        let mut directory = Self::default();
        for entry in entries {
            directory.add(entry)?;
        }
        Ok(directory)
    }

    fn add(&mut self, entry: Entry) -> Result<(), DirectoryError> {
        let id = entry.user.id.clone();
        if Service::ALL
            .iter()
            .any(|service| service.name() == id.as_str())
        {
            return Err(DirectoryError::Service(id));
        }
        if let Some(number) = &entry.user.number
            && self.by_number.insert(number.clone(), id.clone()).is_some()
        {
            return Err(DirectoryError::Number(number.clone()));
        }
        if let Some(uuid) = entry.audiosocket
            && self.by_audiosocket.insert(uuid, id.clone()).is_some()
        {
            return Err(DirectoryError::AudioSocket(uuid));
        }
        match self.entries.insert(id, entry) {
            None => Ok(()),
            Some(old) => Err(DirectoryError::Id(old.user.id)),
        }
    }

    /// Returns every user.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.entries.values().map(|entry| &entry.user)
    }

    /// Returns the user with this id.
    pub fn user(&self, id: &UserId) -> Option<&User> {
        self.entries.get(id).map(|entry| &entry.user)
    }

    /// Returns the user who has this number.
    pub fn by_number(&self, number: &Number) -> Option<&User> {
        self.user(self.by_number.get(number)?)
    }

    /// Returns the user whom an AudioSocket connection with this UUID calls.
    pub fn by_audiosocket(&self, uuid: Uuid) -> Option<&User> {
        self.user(self.by_audiosocket.get(&uuid)?)
    }

    /// Returns every fixed UUID.
    pub fn audiosocket_uuids(&self) -> impl Iterator<Item = (Uuid, &UserId)> {
        self.by_audiosocket.iter().map(|(uuid, user)| (*uuid, user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_id_number_and_uuid() {
        let directory = Directory::new([entry("anna", Some("7001"), Some(1))]).unwrap();

        let anna = directory.user(&UserId::new("anna").unwrap());
        assert!(anna.is_some());
        assert_eq!(directory.by_number(&Number::new("7001").unwrap()), anna);
        assert_eq!(directory.by_audiosocket(Uuid::from_u128(1)), anna);
        assert_eq!(directory.by_audiosocket(Uuid::from_u128(2)), None);
        assert_eq!(directory.users().count(), 1);
        assert_eq!(directory.audiosocket_uuids().count(), 1);
    }

    #[test]
    fn what_is_there_twice_is_refused() {
        let refused = |other| Directory::new([entry("anna", Some("7001"), Some(1)), other]);

        let id = refused(entry("anna", None, None)).unwrap_err();
        let number = refused(entry("bert", Some("7001"), None)).unwrap_err();
        let uuid = refused(entry("bert", None, Some(1))).unwrap_err();

        assert_eq!(id, DirectoryError::Id(UserId::new("anna").unwrap()));
        assert_eq!(number, DirectoryError::Number(Number::new("7001").unwrap()));
        assert_eq!(uuid, DirectoryError::AudioSocket(Uuid::from_u128(1)));
    }

    #[test]
    fn a_user_is_not_named_as_a_service() {
        let error = Directory::new([entry("echo", None, None)]).unwrap_err();

        assert_eq!(error.to_string(), "user id echo is the name of a service");
    }

    fn entry(id: &str, number: Option<&str>, uuid: Option<u128>) -> Entry {
        let number = number.map(|number| Number::new(number).unwrap());
        let user = User {
            id: UserId::new(id).unwrap(),
            name: id.to_uppercase(),
            number,
        };
        Entry {
            user,
            audiosocket: uuid.map(Uuid::from_u128),
        }
    }
}
