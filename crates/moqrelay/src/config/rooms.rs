//! `[rooms]` and `[[rooms.room]]`.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result, ensure};
use moqrelay_control as control;
use moqrelay_room::{
    Digit, Number, UserId,
    conference::{self, Announce, Pin, RoomName, Spec},
};
use moqrelay_wire::{file::FileType, signal};
use serde::Deserialize;

use super::{Secret, auth::number_range};
use crate::{driver::RoomVoice, sentences::Sentences, sounds::Sounds, speech::Program};

/// The longest file that can be allowed: it is in memory, and 16 may be on their way.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// More voices at once are noise.
const SEATS_MAX: usize = 16;

/// Rooms of many.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rooms {
    /// Whether who is signed in may open a room by its name.
    pub(crate) on_demand: bool,
    /// The numbers that rooms on demand get.
    pub(crate) numbers: String,
    /// The number that asks for a room's number.
    pub(crate) door: Option<String>,
    pub(crate) rooms_max: usize,
    pub(crate) people_max: usize,
    pub(crate) speakers_max: usize,
    /// Voices at a time that browsers hear of a room, 0 to 16; 0: they subscribe to each.
    pub(crate) seats: usize,
    /// Whether the voices of a mix are brought to one loudness.
    pub(crate) level_control: bool,
    /// In which language telephones are spoken to; empty: they hear tones.
    pub(crate) language: String,
    /// A folder of recordings for the place of the prompts that come with the program.
    pub(crate) sounds: Option<PathBuf>,
    /// Whether a telephone that is alone in a room hears music.
    pub(crate) music: bool,
    /// How telephones hear that somebody comes or goes: names, tone or off.
    pub(crate) announce: String,
    /// The program that speaks names, and its arguments.
    pub(crate) speech: Vec<String>,
    /// What a telephone in a room does by `*` and a key.
    pub(crate) keys: BTreeMap<String, KeyAction>,
    /// The longest file that people in a room may give each other, in bytes; 0: none.
    pub(crate) file_bytes: u64,
    /// Of which media types.
    pub(crate) file_types: Vec<String>,
    /// The files of one room together, and of all.
    pub(crate) file_total: u64,
    pub(crate) files_total: u64,
    /// Files of one participant in a minute.
    pub(crate) files_per_minute: u32,
    /// Where rooms that operators have set up are kept; absent: they end with the daemon.
    pub(crate) file: Option<PathBuf>,
    /// Those that are known ahead.
    pub(crate) room: Vec<Room>,
}

impl Default for Rooms {
    fn default() -> Self {
        let ours = conference::Config::default();
        Self {
            on_demand: ours.on_demand,
            numbers: "7801-7899".into(),
            door: None,
            rooms_max: ours.limits.rooms,
            people_max: ours.limits.people,
            speakers_max: ours.limits.speakers,
            seats: 5,
            level_control: true,
            language: "en".into(),
            sounds: None,
            music: true,
            announce: Announce::default().as_str().into(),
            speech: SPEECH.map(str::to_owned).into(),
            keys: KEYS.map(|(key, action)| (key.to_owned(), action)).into(),
            file_bytes: ours.limits.file_bytes,
            file_types: FileType::ALL.map(|it| it.as_str().to_owned()).into(),
            file_total: ours.limits.file_total,
            files_total: ours.limits.files_total,
            files_per_minute: ours.limits.files_per_minute,
            file: None,
            room: Vec::new(),
        }
    }
}

/// What a key does, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyAction {
    Mute,
    Hand,
    Leave,
    MuteAll,
    Lock,
    Admit,
}

/// As the prompts were spoken that come with the program.
const SPEECH: [&str; 7] = [
    "espeak-ng",
    "-v",
    "{language}",
    "-s",
    "150",
    "--stdin",
    "--stdout",
];

const KEYS: [(&str, KeyAction); 6] = [
    ("2", KeyAction::MuteAll),
    ("3", KeyAction::Admit),
    ("5", KeyAction::Hand),
    ("6", KeyAction::Mute),
    ("7", KeyAction::Lock),
    ("8", KeyAction::Leave),
];

/// A room that is known ahead.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Room {
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) number: Option<String>,
    pub(crate) pin: Option<Secret>,
    /// What makes who says it host.
    pub(crate) host_pin: Option<Secret>,
    #[serde(default)]
    pub(crate) lobby: bool,
    pub(crate) owner: Option<String>,
    /// How many it takes.
    pub(crate) people_max: Option<usize>,
    /// How telephones in it hear that somebody comes or goes, if another way than elsewhere.
    pub(crate) announce: Option<String>,
}

impl Rooms {
    /// Returns what conferences go by.
    ///
    /// # Errors
    ///
    /// When a name, number or PIN does not have its form, or two rooms have the same.
    pub(crate) fn conferences(&self) -> Result<conference::Config> {
        ensure!(
            self.seats <= SEATS_MAX,
            "rooms.seats: {}, at most {SEATS_MAX}",
            self.seats
        );
        self.files()?;
        let defaults = conference::Config::default();
        let rooms = self.room.iter().map(|room| {
            room.spec()
                .with_context(|| format!("rooms.room {:?}", room.name))
        });
        let config = conference::Config {
            rooms: rooms.collect::<Result<_>>()?,
            on_demand: self.on_demand,
            numbers: number_range("rooms.numbers", &self.numbers)?,
            door: number(self.door.as_deref()).context("rooms.door")?,
            announce: announce(&self.announce).context("rooms.announce")?,
            keys: self.keys()?,
            limits: conference::Limits {
                rooms: self.rooms_max,
                people: self.people_max,
                speakers: self.speakers_max,
                file_bytes: self.file_bytes,
                file_total: self.file_total,
                files_total: self.files_total,
                files_per_minute: self.files_per_minute,
                ..defaults.limits
            },
            ..defaults
        };
        let names = |it: Option<Announce>| it == Some(Announce::Names);
        let named =
            names(Some(config.announce)) || config.rooms.iter().any(|it| names(it.announce));
        ensure!(
            !named || self.speech()?.is_some(),
            "rooms.announce: names are spoken in rooms.language by rooms.speech; one of them is empty"
        );
        let known = conference::Conferences::new(config.clone()).rooms().count();
        ensure!(
            known == config.rooms.len(),
            "rooms: two have the same name or number, one has that of the door, a PIN is also that for hosts, or there are more than rooms_max"
        );
        Ok(config)
    }
}

impl Rooms {
    /// Returns what files may be brought, if any.
    ///
    /// # Errors
    ///
    /// When a type cannot be told by its content, or the limits do not fit together.
    pub(crate) fn files(&self) -> Result<Option<control::Files>> {
        let limits = [
            ("file_bytes", self.file_bytes, FILE_BYTES_MAX),
            ("file_total", self.file_bytes, self.file_total),
            ("files_total", self.file_total, self.files_total),
        ];
        for (key, least, most) in limits {
            ensure!(
                least <= most,
                "rooms.{key}: {least} bytes do not fit into {most}"
            );
        }
        ensure!(
            self.files_per_minute > 0,
            "rooms.files_per_minute: at least 1"
        );
        let known = |name: &String| {
            FileType::named(name).with_context(|| {
                let known = FileType::ALL.map(FileType::as_str).join(", ");
                format!("rooms.file_types: {name:?} is none of {known}")
            })
        };
        let types: Vec<FileType> = self.file_types.iter().map(known).collect::<Result<_>>()?;
        Ok((self.file_bytes > 0).then_some(control::Files {
            bytes_max: self.file_bytes,
            types,
        }))
    }

    /// Returns the same, for those who come in.
    ///
    /// # Errors
    ///
    /// As [`files`](Self::files).
    pub(crate) fn files_taken(&self) -> Result<Option<signal::FilesTaken>> {
        let taken = |files: control::Files| signal::FilesTaken {
            bytes: files.bytes_max,
            types: files.types.iter().map(|it| it.as_str().into()).collect(),
        };
        Ok(self.files()?.map(taken))
    }

    /// Returns what telephones in rooms hear.
    ///
    /// # Errors
    ///
    /// When there are no prompts in the language, or a recording cannot be read.
    pub(crate) fn voice(&self) -> Result<RoomVoice> {
        let language = Some(self.language.as_str()).filter(|language| !language.is_empty());
        let sounds = Sounds::in_language(language).context("rooms.language")?;
        let sounds = match &self.sounds {
            Some(folder) => sounds.with_folder(folder).context("rooms.sounds")?,
            None => sounds,
        };
        let music = self.music;
        Ok(RoomVoice { sounds, music })
    }

    /// Returns what names are spoken with, if anything.
    ///
    /// # Errors
    ///
    /// When the language is not known, or there is no command.
    pub(crate) fn speech(&self) -> Result<Option<(Sentences, Program)>> {
        if self.language.is_empty() || self.speech.is_empty() {
            return Ok(None);
        }
        let sentences = Sentences::in_language(&self.language);
        let sentences =
            sentences.with_context(|| format!("rooms.language: {:?}", self.language))?;
        let program = Program::new(&self.speech, &self.language).context("rooms.speech")?;
        Ok(Some((sentences, program)))
    }

    fn keys(&self) -> Result<BTreeMap<Digit, conference::KeyAction>> {
        let key = |(key, action): (&String, &KeyAction)| {
            let mut chars = key.chars();
            let digit = chars
                .next()
                .filter(|digit| chars.next().is_none() && *digit != '*');
            let digit = digit.and_then(|digit| Digit::new(digit).ok());
            let digit =
                digit.with_context(|| format!("rooms.keys has {key:?}: one of 0-9 and #"))?;
            let action = match action {
                KeyAction::Mute => conference::KeyAction::Mute,
                KeyAction::Hand => conference::KeyAction::Hand,
                KeyAction::Leave => conference::KeyAction::Leave,
                KeyAction::MuteAll => conference::KeyAction::MuteAll,
                KeyAction::Lock => conference::KeyAction::Lock,
                KeyAction::Admit => conference::KeyAction::Admit,
            };
            Ok((digit, action))
        };
        self.keys.iter().map(key).collect()
    }
}

impl Room {
    fn spec(&self) -> Result<Spec> {
        let name = RoomName::new(&self.name)?;
        Ok(Spec {
            title: self.title.clone().unwrap_or_else(|| self.name.clone()),
            number: number(self.number.as_deref())?,
            pin: self
                .pin
                .as_ref()
                .map(|pin| Pin::new(pin.expose()))
                .transpose()?,
            host_pin: self
                .host_pin
                .as_ref()
                .map(|pin| Pin::new(pin.expose()))
                .transpose()?,
            lobby: self.lobby,
            people_max: self.people_max,
            announce: self.announce.as_deref().map(announce).transpose()?,
            owner: self.owner.as_deref().map(UserId::new).transpose()?,
            name,
        })
    }
}

fn announce(text: &str) -> Result<Announce> {
    Announce::named(text).with_context(|| format!("announce: {text:?} is none of names, tone, off"))
}

fn number(text: Option<&str>) -> Result<Option<Number>> {
    let number = |text| Number::new(text).with_context(|| format!("{text:?}"));
    text.map(number).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_a_room_is_named_with_its_room() {
        for (room, fault) in [
            (r#"name = "Board room""#, "a-z"),
            ("name = \"b\"\npin = \"12\"", "4 to 16 digits"),
            ("name = \"b\"\nnumber = \"x\"", "\"x\""),
            ("name = \"b\"\nowner = \"Anna\"", "user's id"),
        ] {
            let error = format!("{:#}", rooms(&[room]).conferences().unwrap_err());

            assert!(error.starts_with("rooms.room \"b") || error.contains("Board room"));
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn two_rooms_with_the_same_name_or_number_or_that_of_the_door_are_refused() {
        let b = "name = \"b\"\nnumber = \"7810\"";
        let mut same_door = rooms(&[b]);
        same_door.door = Some("7810".into());

        assert!(rooms(&[b, "name = \"b\""]).conferences().is_err());
        assert!(
            rooms(&[b, "name = \"c\"\nnumber = \"7810\""])
                .conferences()
                .is_err()
        );
        assert!(same_door.conferences().is_err());
        assert_eq!(rooms(&[b]).conferences().unwrap().rooms[0].title, "b");
    }

    #[test]
    fn a_key_that_no_telephone_has_and_a_language_that_is_not_spoken_are_refused() {
        for (key, good) in [
            ("4", true),
            ("#", true),
            ("*", false),
            ("44", false),
            ("x", false),
        ] {
            let rooms = Rooms {
                keys: [(key.to_owned(), KeyAction::Mute)].into(),
                ..Rooms::default()
            };
            assert_eq!(rooms.conferences().is_ok(), good, "{key}");
        }
        let rooms = Rooms {
            language: "tlh".into(),
            ..Rooms::default()
        };
        let error = format!("{:#}", rooms.voice().unwrap_err());
        assert!(error.contains("rooms.language"), "{error}");
    }

    #[test]
    fn names_need_a_language_and_a_program_and_there_are_three_ways() {
        let ours = || Rooms {
            announce: "names".into(),
            ..Rooms::default()
        };
        let room = rooms(&["name = \"b\"\nannounce = \"names\""]);

        let spec = &room.conferences().unwrap().rooms[0];
        assert_eq!(spec.announce, Some(Announce::Names));
        assert_eq!(ours().conferences().unwrap().announce, Announce::Names);
        for (wrong, fault) in [
            (
                Rooms {
                    announce: "loud".into(),
                    ..ours()
                },
                "\"loud\" is none of names, tone, off",
            ),
            (
                Rooms {
                    language: String::new(),
                    ..ours()
                },
                "rooms.announce",
            ),
            (
                Rooms {
                    speech: Vec::new(),
                    ..room
                },
                "rooms.announce",
            ),
        ] {
            let error = format!("{:#}", wrong.conferences().unwrap_err());
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn the_keys_by_default_are_those_of_conferences() {
        let ours = conference::Config::default().keys;

        assert_eq!(Rooms::default().keys().unwrap(), ours);
    }

    #[test]
    fn the_numbers_of_rooms_on_demand_must_be_a_range() {
        let wrong = Rooms {
            numbers: "7899-7801".into(),
            ..Rooms::default()
        };

        let error = format!("{:#}", wrong.conferences().unwrap_err());

        assert!(error.contains("rooms.numbers"), "{error}");
    }

    #[test]
    fn files_are_of_known_types_and_fit_into_their_totals() {
        let ours = Rooms::default;
        for (wrong, fault) in [
            (
                Rooms {
                    file_types: vec!["text/html".into()],
                    ..ours()
                },
                "text/html",
            ),
            (
                Rooms {
                    file_total: 1000,
                    ..ours()
                },
                "rooms.file_total",
            ),
            (
                Rooms {
                    files_total: 1000,
                    ..ours()
                },
                "rooms.files_total",
            ),
            (
                Rooms {
                    file_bytes: 1 << 30,
                    ..ours()
                },
                "rooms.file_bytes",
            ),
            (
                Rooms {
                    files_per_minute: 0,
                    ..ours()
                },
                "rooms.files_per_minute",
            ),
        ] {
            let error = format!("{:#}", wrong.conferences().unwrap_err());
            assert!(error.contains(fault), "{error}");
        }
        let none = Rooms {
            file_bytes: 0,
            ..ours()
        };
        assert_eq!(none.files().unwrap(), None);
        assert_eq!(ours().files().unwrap().unwrap().types, FileType::ALL);
    }

    #[test]
    fn there_are_sixteen_seats_at_most() {
        let seats = |seats| Rooms {
            seats,
            ..Rooms::default()
        };

        assert!(seats(16).conferences().is_ok());
        let error = format!("{:#}", seats(17).conferences().unwrap_err());
        assert!(error.contains("rooms.seats: 17"), "{error}");
    }

    fn rooms(rooms: &[&str]) -> Rooms {
        let text: String = rooms
            .iter()
            .map(|room| format!("[[room]]\n{room}\n"))
            .collect();
        let source = config::File::from_str(&text, config::FileFormat::Toml);
        let built = config::Config::builder().add_source(source).build();
        built.unwrap().try_deserialize().unwrap()
    }
}
