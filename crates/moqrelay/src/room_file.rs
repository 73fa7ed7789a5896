//! Rooms that operators have set up, kept in a file.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result};
use moqrelay_room::{
    Number, UserId,
    conference::{Announce, Pin, RoomName, Spec},
};
use serde::{Deserialize, Serialize};

use crate::kept::{self, Kept};

/// Takes what is to be kept; never waits.
#[derive(Debug)]
pub(crate) struct Keeper {
    known: BTreeMap<RoomName, Spec>,
    file: Kept,
}

/// A room's entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host_pin: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lobby: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    people_max: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    announce: Option<String>,
}

impl Keeper {
    /// Reads the file, which may be missing, and returns what keeps it and the work of writing.
    ///
    /// # Errors
    ///
    /// When there is a file that cannot be read: rooms must not be lost unseen, nor their PINs.
    pub(crate) fn open(path: PathBuf) -> Result<(Self, impl Future<Output = ()> + Send + 'static)> {
        let entries: Vec<Entry> =
            kept::read(&path).with_context(|| format!("rooms.file: {}", path.display()))?;
        let spec = |entry: Entry| {
            let name = entry.name.clone();
            entry
                .spec()
                .with_context(|| format!("rooms.file: {name:?}"))
        };
        let specs: Vec<Spec> = entries.into_iter().map(spec).collect::<Result<_>>()?;
        let known = specs.into_iter().map(|spec| (spec.name.clone(), spec));
        let known = known.collect();
        let (file, work) = Kept::new(path, unwritten);
        Ok((Self { known, file }, work))
    }

    /// Returns the rooms that are kept.
    pub(crate) fn all(&self) -> Vec<Spec> {
        self.known.values().cloned().collect()
    }

    /// Keeps a room.
    pub(crate) fn keep(&mut self, spec: Spec) {
        self.known.insert(spec.name.clone(), spec);
        self.write();
    }

    /// Keeps one no longer.
    pub(crate) fn forget(&mut self, name: &RoomName) {
        if self.known.remove(name).is_some() {
            self.write();
        }
    }

    fn write(&self) {
        let entries: Vec<Entry> = self.known.values().map(Entry::of).collect();
        self.file.write(&entries);
    }
}

fn unwritten(why: &dyn std::fmt::Display) {
    metrics::counter!("moqrelay_rooms_unwritten_total").increment(1);
    tracing::error!(%why, "rooms cannot be written: the newest end with the daemon");
}

impl Entry {
    fn of(spec: &Spec) -> Self {
        let pin = |pin: &Option<Pin>| pin.as_ref().map(|pin| pin.expose().to_owned());
        Self {
            name: spec.name.to_string(),
            title: spec.title.clone(),
            number: spec.number.as_ref().map(ToString::to_string),
            pin: pin(&spec.pin),
            host_pin: pin(&spec.host_pin),
            lobby: spec.lobby,
            owner: spec.owner.as_ref().map(ToString::to_string),
            people_max: spec.people_max,
            announce: spec.announce.map(|it| it.as_str().to_owned()),
        }
    }

    fn spec(self) -> Result<Spec> {
        Ok(Spec {
            name: RoomName::new(&self.name)?,
            title: self.title,
            number: self.number.as_deref().map(Number::new).transpose()?,
            pin: self.pin.as_deref().map(Pin::new).transpose()?,
            host_pin: self.host_pin.as_deref().map(Pin::new).transpose()?,
            lobby: self.lobby,
            owner: self.owner.as_deref().map(UserId::new).transpose()?,
            people_max: self.people_max,
            announce: self.announce.as_deref().map(announce).transpose()?,
        })
    }
}

fn announce(text: &str) -> Result<Announce> {
    Announce::named(text).with_context(|| format!("announce: {text:?}"))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[tokio::test]
    async fn rooms_come_back_as_they_were_and_nobody_else_reads_their_pins() {
        let folder = folder();
        let path = folder.join("rooms.json");
        let (mut keeper, work) = Keeper::open(path.clone()).unwrap();
        let den = Spec {
            title: "The den".into(),
            number: Number::new("7820").ok(),
            pin: Pin::new("4711").ok(),
            host_pin: Pin::new("90210").ok(),
            lobby: true,
            owner: UserId::new("anna").ok(),
            people_max: Some(7),
            announce: Some(Announce::Off),
            ..Spec::open(RoomName::new("den").unwrap())
        };

        keeper.keep(den.clone());
        keeper.keep(Spec::open(RoomName::new("hall").unwrap()));
        keeper.forget(&RoomName::new("hall").unwrap());
        drop(keeper);
        work.await;

        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (again, _work) = Keeper::open(path).unwrap();
        assert_eq!(again.all(), [den]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_with_the_room_in_it() {
        let folder = folder();
        fs::create_dir(&folder).unwrap();
        let path = folder.join("rooms.json");
        for (text, fault) in [
            ("[{", "EOF"),
            (r#"[{"name":"den","title":"x","pin":"1"}]"#, "den"),
            (r#"[{"name":"den","title":"x","colour":1}]"#, "colour"),
        ] {
            fs::write(&path, text).unwrap();

            let error = format!("{:#}", Keeper::open(path.clone()).map(drop).unwrap_err());

            assert!(
                error.contains(fault) && error.contains("rooms.file"),
                "{error}"
            );
        }
        fs::remove_dir_all(folder).unwrap();
    }

    fn folder() -> PathBuf {
        std::env::temp_dir().join(format!("moqrelay-rooms-{}", uuid::Uuid::new_v4()))
    }
}
