//! The media processors of the configuration, and which telephone is led through which.

use std::{collections::BTreeMap, fs, ops::RangeInclusive, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use moqrelay_processor as processor;
use serde::Deserialize;

use crate::config::Secret;

/// A section `[processor.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Section {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) direction: Direction,
    /// Whether its audio takes the place of what it is asked about.
    #[serde(default = "Section::default_audio")]
    pub(crate) audio: bool,
    #[serde(default)]
    pub(crate) otherwise: Otherwise,
    #[serde(default = "Section::default_deadline", with = "humantime_serde")]
    pub(crate) deadline: Duration,
    #[serde(default)]
    pub(crate) token: Option<Secret>,
    /// A PEM file: who signs the service's certificate.
    #[serde(default)]
    pub(crate) ca: Option<PathBuf>,
    /// Prefixes of the telephones' numbers; absent: all, unless `called` says something.
    #[serde(default)]
    pub(crate) numbers: Option<Vec<String>>,
    /// Whom telephones have called: ids, numbers, `echo`.
    #[serde(default)]
    pub(crate) called: Vec<String>,
}

/// Which sound of a telephone it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    #[default]
    Says,
    Hears,
}

impl From<Direction> for processor::Direction {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Says => Self::Says,
            Direction::Hears => Self::Hears,
        }
    }
}

/// What is heard where there is no answer in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Otherwise {
    #[default]
    Pass,
    Silence,
}

/// A frame that waits for less has no chance over any network; more is heard as delay.
const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_millis(400);

/// Letters of a name: it is a label of metrics.
const NAME_CHARS_MAX: usize = 32;

impl Section {
    fn default_audio() -> bool {
        true
    }

    fn default_deadline() -> Duration {
        Duration::from_millis(40)
    }

    /// Returns the prefixes of the telephones that it is for.
    fn prefixes(&self) -> Vec<String> {
        match &self.numbers {
            Some(prefixes) => prefixes.clone(),
            None if self.called.is_empty() => vec![String::new()],
            None => Vec::new(),
        }
    }

    /// Checks what can be checked without the files.
    ///
    /// # Errors
    ///
    /// Names the key, its value and what is allowed.
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        let letter = |letter: char| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter)
        };
        ensure!(
            (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(letter),
            "processor.{name}: a name has 1 to {NAME_CHARS_MAX} characters of a-z, 0-9, - and _"
        );
        ensure!(
            DEADLINE.contains(&self.deadline),
            "processor.{name}.deadline is {:?}: allowed are {:?} to {:?}",
            self.deadline,
            DEADLINE.start(),
            DEADLINE.end()
        );
        ensure!(
            self.audio || self.direction == Direction::Says,
            "processor.{name}.audio is false with direction = \"hears\": texts are published of what telephones say only"
        );
        let number = |number: &String| number.chars().all(|digit| "0123456789*#+".contains(digit));
        let prefixes = self.prefixes();
        ensure!(
            prefixes.iter().all(number),
            "processor.{name}.numbers is {prefixes:?}: allowed are prefixes of 0-9, *, # and +"
        );
        Ok(())
    }
}

/// Every service, by the sound and the telephones it is for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Processors {
    says: Table,
    hears: Table,
}

/// Every service for one direction.
#[derive(Debug, Clone, Default)]
struct Table {
    by_called: BTreeMap<String, processor::Processor>,
    by_prefix: BTreeMap<String, processor::Processor>,
}

impl Processors {
    /// Makes the services. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// When a section cannot be used, or two are for the same telephones.
    pub(crate) fn new(sections: &BTreeMap<String, Section>) -> Result<Self> {
        let mut processors = Self::default();
        for (name, section) in sections {
            let ca = section.ca.as_ref().map(|path| {
                fs::read(path).with_context(|| {
                    format!("processor.{name}.ca: {} cannot be read", path.display())
                })
            });
            let service = processor::Processor::new(processor::Config {
                audio: section.audio,
                direction: section.direction.into(),
                fallback: match section.otherwise {
                    Otherwise::Pass => processor::Fallback::Pass,
                    Otherwise::Silence => processor::Fallback::Silence,
                },
                deadline: section.deadline,
                token: section
                    .token
                    .as_ref()
                    .map(|token| token.expose().to_owned()),
                ca: ca.transpose()?,
                ..processor::Config::new(name, &section.url)
            })
            .with_context(|| format!("processor.{name}"))?;
            let table = match section.direction {
                Direction::Says => &mut processors.says,
                Direction::Hears => &mut processors.hears,
            };
            let (prefixes, called) = (section.prefixes(), section.called.clone());
            for (key, names, table) in [
                ("numbers", prefixes, &mut table.by_prefix),
                ("called", called, &mut table.by_called),
            ] {
                for which in names {
                    ensure!(
                        table.insert(which.clone(), service.clone()).is_none(),
                        "processor.{name}.{key} has {which:?}, which another processor has too"
                    );
                }
            }
        }
        Ok(processors)
    }

    /// Returns the services of a telephone: at most one for what it says, and one for what it hears.
    pub(crate) fn of(
        &self,
        number: Option<&str>,
        called: Option<&str>,
    ) -> impl Iterator<Item = &processor::Processor> {
        let tables = [&self.says, &self.hears];
        tables
            .into_iter()
            .filter_map(move |table| table.of(number, called))
    }
}

impl Table {
    /// Returns the service of a telephone: the one for whom it has `called`, else the one with the longest prefix of
    /// its number. A telephone whose number nobody knows has the one with the empty prefix.
    fn of(&self, number: Option<&str>, called: Option<&str>) -> Option<&processor::Processor> {
        if let Some(service) = called.and_then(|called| self.by_called.get(called)) {
            return Some(service);
        }
        let number = number.unwrap_or_default();
        let fitting = self
            .by_prefix
            .iter()
            .filter(|(prefix, _)| number.starts_with(prefix.as_str()));
        fitting
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, service)| service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        let processors = Processors::new(&sections(&[
            ("all", &[""]),
            ("german", &["+49", "0049"]),
            ("berlin", &["+4930"]),
        ]))
        .unwrap();

        for (number, name) in [
            (Some("+493012"), "berlin"),
            (Some("+4989"), "german"),
            (Some("0049301"), "german"),
            (Some("600"), "all"),
            (None, "all"),
        ] {
            assert_eq!(names(&processors, number, None), [name]);
        }
    }

    #[test]
    fn without_a_fitting_prefix_there_is_none() {
        let processors = Processors::new(&sections(&[("berlin", &["+4930"])])).unwrap();

        assert_eq!(names(&processors, Some("600"), None), [""; 0]);
        assert_eq!(names(&processors, None, None), [""; 0]);
    }

    #[test]
    fn whom_a_telephone_has_called_counts_more_than_its_number() {
        let bot = Section {
            numbers: None,
            called: vec!["echo".into()],
            ..section(&[])
        };
        let sections = [
            ("bot".to_owned(), bot),
            ("german".to_owned(), section(&["+49"])),
        ];
        let processors = Processors::new(&sections.into()).unwrap();

        assert_eq!(names(&processors, Some("+49"), Some("echo")), ["bot"]);
        assert_eq!(names(&processors, Some("+49"), Some("anna")), ["german"]);
        assert_eq!(names(&processors, Some("600"), Some("anna")), [""; 0]);
    }

    #[test]
    fn what_a_telephone_says_and_what_it_hears_have_services_of_their_own() {
        let ears = Section {
            direction: Direction::Hears,
            ..section(&[""])
        };
        let sections = [
            ("ears".to_owned(), ears),
            ("mouth".to_owned(), section(&["+49"])),
        ];
        let processors = Processors::new(&sections.into()).unwrap();

        assert_eq!(names(&processors, Some("+49"), None), ["mouth", "ears"]);
        assert_eq!(names(&processors, Some("600"), None), ["ears"]);
    }

    #[test]
    fn two_processors_cannot_have_the_same_telephones() {
        let error = Processors::new(&sections(&[("a", &["1"]), ("b", &["2", "1"])])).unwrap_err();

        assert_eq!(
            error.to_string(),
            "processor.b.numbers has \"1\", which another processor has too"
        );
    }

    #[test]
    fn a_section_that_cannot_be_used_is_named() {
        let section = |change: fn(&mut Section)| {
            let mut section = section(&[""]);
            change(&mut section);
            section
        };
        for (name, section, fault) in [
            ("A", section(|_| {}), "a name has"),
            (
                "x",
                section(|x| x.deadline = Duration::ZERO),
                "processor.x.deadline",
            ),
            (
                "x",
                section(|x| (x.audio, x.direction) = (false, Direction::Hears)),
                "processor.x.audio",
            ),
            (
                "x",
                section(|x| x.numbers = Some(vec!["a".into()])),
                "processor.x.numbers",
            ),
        ] {
            let error = section.check(name).unwrap_err().to_string();
            assert!(error.contains(fault), "{error}");
        }
        let wrong = [("x".to_owned(), section(|x| x.url = "here".into()))].into();
        let error = format!("{:#}", Processors::new(&wrong).unwrap_err());
        assert!(error.contains("processor.x: \"here\""), "{error}");
    }

    fn names<'a>(
        processors: &'a Processors,
        number: Option<&str>,
        called: Option<&str>,
    ) -> Vec<&'a str> {
        let services = processors.of(number, called);
        services
            .map(|service| service.config().name.as_str())
            .collect()
    }

    fn sections(sections: &[(&str, &[&str])]) -> BTreeMap<String, Section> {
        let sections = sections.iter();
        sections
            .map(|(name, numbers)| ((*name).to_owned(), section(numbers)))
            .collect()
    }

    fn section(numbers: &[&str]) -> Section {
        Section {
            url: "http://127.0.0.1:50051".into(),
            audio: true,
            direction: Direction::Says,
            otherwise: Otherwise::Pass,
            deadline: Section::default_deadline(),
            token: None,
            ca: None,
            numbers: Some(numbers.iter().map(|number| (*number).to_owned()).collect()),
            called: Vec::new(),
        }
    }
}
