//! The configuration: a TOML file, then `MOQRELAY__SECTION__KEY` from the environment.
//!
//! `config/relay.toml` documents every key. An error names the key, the value and what is allowed.

mod asterisk;
mod auth;
mod calls;
mod moq;
mod numbers;
mod process;
mod rooms;
mod web;

use std::{collections::BTreeMap, fmt, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use moqrelay_control::token;
use serde::Deserialize;
use url::Url;

pub(crate) use self::{
    asterisk::{Ari, Asterisk, Format, Line, NumberRoad, Road, Side},
    auth::{Auth, Key, User},
    calls::{Audio, Calls, Direction, VoiceMode},
    moq::Moq,
    numbers::{Ami, Numbers, Trunk, registrations, routing},
    process::{Daemon, Log, LogFormat, Upgrade},
    rooms::Rooms,
    web::{Http, Metrics, Tls},
};

use crate::processors;

/// Before each variable of the environment that overrides a key.
const ENV_PREFIX: &str = "MOQRELAY";

/// Everything the daemon can be told.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) daemon: Daemon,
    pub(crate) log: Log,
    pub(crate) moq: Moq,
    pub(crate) tls: Tls,
    pub(crate) http: Http,
    pub(crate) metrics: Metrics,
    pub(crate) auth: Auth,
    pub(crate) users: Vec<User>,
    pub(crate) calls: Calls,
    pub(crate) rooms: Rooms,
    pub(crate) audio: Audio,
    /// Services that telephones are led through, by name.
    pub(crate) processor: BTreeMap<String, processors::Section>,
    pub(crate) asterisk: Asterisk,
    pub(crate) upgrade: Upgrade,
}

impl Config {
    /// Reads the file, lays the environment over it and checks the whole.
    ///
    /// # Errors
    ///
    /// Names the key, its value and what is allowed.
    pub(crate) fn load(path: &Path) -> Result<Loaded> {
        ensure!(path.is_file(), "there is no file {}", path.display());
        let environment = config::Environment::with_prefix(ENV_PREFIX)
            .prefix_separator("__")
            .separator("__")
            .list_separator(",")
            .with_list_parse_key("http.origins")
            .with_list_parse_key("auth.anonymous_publish")
            .with_list_parse_key("auth.anonymous_subscribe")
            .with_list_parse_key("audio.noise_suppression")
            .with_list_parse_key("audio.level_control")
            .with_list_parse_key("asterisk.numbers.emergency")
            .with_list_parse_key("asterisk.numbers.blocked")
            .try_parsing(true);
        Self::from_sources(
            config::Config::builder()
                .add_source(config::File::from(path).format(config::FileFormat::Toml))
                .add_source(environment),
        )
    }

    pub(crate) fn from_sources(
        builder: config::ConfigBuilder<config::builder::DefaultState>,
    ) -> Result<Loaded> {
        let built = builder.build()?;
        let mut raw = Raw::new();
        flatten("", &built.clone().try_deserialize()?, &mut raw);
        let config: Self = built.try_deserialize()?;
        config.check()?;
        Ok(Loaded { config, raw })
    }

    fn check(&self) -> Result<()> {
        self.tls.check()?;
        self.daemon.check()?;
        self.upgrade.check()?;
        self.calls.check()?;
        self.rooms.conferences()?;
        self.rooms.voice()?;
        self.moq.check()?;
        self.audio.check()?;
        self.asterisk.check()?;
        self.auth.check()?;
        for (name, section) in &self.processor {
            section.check(name)?;
        }
        User::check_all(&self.users)
    }
}

/// A configuration, and what was written to get it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) raw: Raw,
}

/// Each key that is set, and its value as a text. Never logged: some are secrets.
pub(crate) type Raw = BTreeMap<String, String>;

/// Names the leaves of a tree; a list is one.
fn flatten(key: &str, value: &serde_json::Value, raw: &mut Raw) {
    match value.as_object() {
        Some(table) => {
            for (name, value) in table {
                let dot = if key.is_empty() { "" } else { "." };
                flatten(&format!("{key}{dot}{name}"), value, raw);
            }
        }
        None => {
            raw.insert(key.to_owned(), value.to_string());
        }
    }
}

/// What the files hold that the configuration names; read once, at the start.
pub(crate) struct Secrets {
    /// The keys of tokens.
    pub(crate) keys: Vec<token::Key>,
}

impl Config {
    /// Reads the files of the keys.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or a key cannot be used.
    pub(crate) fn secrets(&self) -> Result<Secrets> {
        let keys = self
            .auth
            .keys
            .iter()
            .map(Key::read)
            .collect::<Result<Vec<_>>>()?;
        token::Keys::new(keys.clone()).context("auth.keys")?;
        Ok(Secrets { keys })
    }
}

/// A text that no log shows.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// Returns the text; never log it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

fn within(key: &str, value: Duration, least_s: u64, most_s: u64) -> Result<()> {
    ensure!(
        (least_s..=most_s).contains(&value.as_secs()),
        "{key} is {value:?}: allowed are {least_s} s to {most_s} s"
    );
    Ok(())
}

fn https(key: &str, url: Option<&Url>) -> Result<()> {
    let Some(url) = url else { return Ok(()) };
    ensure!(
        url.scheme() == "https",
        "{key} is {url}: it must begin with https://"
    );
    Ok(())
}

fn number(key: &str, value: usize, least: usize, most: usize) -> Result<()> {
    ensure!(
        (least..=most).contains(&value),
        "{key} is {value}: allowed are {least} to {most}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_sets_every_key_to_its_default_but_the_named_ones() {
        let text = include_str!("../../../config/relay.toml");

        let config = parse(text).unwrap();

        let expected = Config {
            auth: Auth {
                guests: true,
                ..Auth::default()
            },
            ..Config::default()
        };
        assert_eq!(format!("{config:?}"), format!("{expected:?}"));
    }

    #[test]
    fn the_open_file_listens_on_loopback_only() {
        let config = parse(include_str!("../../../config/open.toml")).unwrap();

        assert!(config.moq.listen.ip().is_loopback());
        assert!(config.http.listen.ip().is_loopback());
        assert!(config.asterisk.audiosocket.ip().is_loopback());
        assert_eq!(config.auth.anonymous_publish, [""]);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = parse("[moq]\nlisten_on = \"x\"").unwrap_err().to_string();

        assert!(error.contains("listen_on"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_key() {
        let error = parse("[moq]\nlisten = \"nowhere\"")
            .unwrap_err()
            .to_string();

        assert!(error.contains("moq.listen"), "{error}");
    }

    #[test]
    fn a_value_out_of_range_is_named_with_what_is_allowed() {
        let error = parse("[audio]\ncomplexity = 11").unwrap_err().to_string();

        assert_eq!(error, "audio.complexity is 11: allowed are 0 to 10");
    }

    #[test]
    fn stages_of_sound_are_chosen_by_direction() {
        let config = parse("[audio]\nnoise_suppression = [\"to_telephone\"]").unwrap();

        let chosen = Direction::all(&config.audio.noise_suppression);
        assert_eq!((chosen.from_telephone, chosen.to_telephone), (false, true));
        let untouched = Direction::all(&config.audio.level_control);
        assert_eq!(
            (untouched.from_telephone, untouched.to_telephone),
            (false, false)
        );
        let error = parse("[audio]\nlevel_control = [\"both\"]").unwrap_err();
        assert!(error.to_string().contains("audio.level_control"), "{error}");
    }

    #[test]
    fn a_media_processor_is_a_section_of_its_own() {
        let text = "[processor.bot]\nurl = \"http://127.0.0.1:1\"\ncalled = [\"echo\"]\ntoken = \"hidden\"";
        let config = parse(text).unwrap();

        let bot = &config.processor["bot"];
        assert!(bot.audio && bot.deadline == Duration::from_millis(40));
        assert!(!format!("{config:?}").contains("hidden"));
        let error = parse("[processor.bot]\nurl = \"http://127.0.0.1:1\"\ndeadline = \"3s\"");
        let error = error.unwrap_err().to_string();
        assert!(error.contains("processor.bot.deadline"), "{error}");
    }

    #[test]
    fn a_number_may_have_a_road_of_its_own() {
        let ari = "[asterisk.ari]\nurl = \"http://127.0.0.1:8088/ari\"\nuser = \"u\"\npassword = \"p\"\n\
                   dial = \"PJSIP/{number}@t\"\n[[asterisk.ari.roads]]\nprefix = \"0049\"\ncalls = \"out\"\n";
        let config = parse(&format!("{ari}road = \"websocket\"\nformat = \"opus\"")).unwrap();

        let roads = config.asterisk.ari.unwrap().roads;
        let [road] = &roads[..] else {
            panic!("{roads:?}")
        };
        assert_eq!((&*road.prefix, road.calls), ("0049", Side::Out));
        assert_eq!(
            (road.road, road.format),
            (Road::WebSocket, Some(Format::Opus))
        );
        assert!(parse(ari).unwrap_err().to_string().contains("road"));
    }

    #[test]
    fn who_signs_asterisks_certificate_is_named_with_https_alone() {
        let with = |url: &str| {
            let rest =
                "user = \"u\"\npassword = \"p\"\ndial = \"PJSIP/{number}@t\"\nca = \"/etc/ca.pem\"";
            parse(&format!("[asterisk.ari]\nurl = \"{url}\"\n{rest}"))
        };

        assert!(with("https://127.0.0.1:8089/ari").is_ok());
        let error = with("http://127.0.0.1:8088/ari").unwrap_err().to_string();
        assert!(error.contains("asterisk.ari.ca"), "{error}");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let config = parse("[asterisk]\nsecret = \"do-not-show-me\"").unwrap();

        assert!(!format!("{config:?}").contains("do-not-show-me"));
    }

    #[test]
    fn a_range_of_guest_numbers_must_go_up() {
        let error = parse("[auth]\nguest_numbers = \"9-3\"")
            .unwrap_err()
            .to_string();

        assert!(error.contains("auth.guest_numbers"), "{error}");
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let environment = config::Environment::with_prefix(ENV_PREFIX)
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true)
            .source(Some(
                [("MOQRELAY__MOQ__LISTEN".to_owned(), "127.0.0.1:7".to_owned())].into(),
            ));

        let config = Config::from_sources(
            config::Config::builder()
                .add_source(config::File::from_str(
                    "[moq]\nlisten = \"127.0.0.1:6\"",
                    TOML,
                ))
                .add_source(environment),
        )
        .unwrap()
        .config;

        assert_eq!(config.moq.listen.port(), 7);
    }

    const TOML: config::FileFormat = config::FileFormat::Toml;

    fn parse(text: &str) -> Result<Config> {
        Config::from_sources(
            config::Config::builder().add_source(config::File::from_str(text, TOML)),
        )
        .map(|loaded| loaded.config)
    }
}
