//! What the client of ARI needs to know.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use uuid::Uuid;

use super::{Calls, Choice, Road, RoadRule, Trunk};
use crate::{
    Codec,
    dial::{Site, TlsConnector},
};

/// A password. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What becomes of a caller whom nobody has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unanswered {
    /// Hung up with the cause.
    #[default]
    HangUp,
    /// The dialplan goes on behind `Stasis()`, with the cause's name in `MOQRELAY_CAUSE`: to
    /// voicemail, for example.
    Dialplan,
}

/// Where Asterisk is and how calls are made there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// ARI's base, `http://HOST:PORT/ari`, or `https://…` for TLS, also of the media WebSockets there.
    pub url: String,
    /// What makes `https://` secure.
    pub tls: Option<TlsConnector>,
    /// The user of `ari.conf`.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// The application's name, the first argument of `Stasis()`.
    pub app: String,
    /// Our AudioSocket as Asterisk reaches it, `HOST:PORT`.
    pub audiosocket: String,
    /// Our port for RTP as Asterisk reaches it, `HOST:PORT`, if there is one.
    pub rtp: Option<String>,
    /// The way that the sound takes.
    pub choice: Choice,
    /// The same for some numbers.
    pub road_rules: Vec<RoadRule>,
    /// What is dialled for a number, with `{number}` in it, for example `PJSIP/{number}@trunk`.
    pub dial: String,
    /// Ways for some numbers.
    pub trunks: Vec<Trunk>,
    /// The name that the called one sees; `{name}` and `{number}` are the caller's.
    pub caller_name: String,
    /// The number that the called one sees; `{number}` is the caller's. Empty after that: Asterisk
    /// decides.
    pub caller_number: String,
    /// How long a telephone rings, at most an hour.
    pub ring_timeout: Duration,
    /// What becomes of a caller whom nobody has answered.
    pub unanswered: Unanswered,
    /// Devices of Asterisk's whose states are told, such as `PJSIP/alice`.
    pub lines: Vec<String>,
    /// The mailbox of a line, `{number}` in it; absent: nobody is told of messages.
    pub mailbox: Option<String>,
    /// Legs at once, waiting ones included.
    pub legs_max: usize,
    /// Tells this run of the daemon from others: random.
    pub run: u32,
    /// Runs of the daemon that still have calls: what is theirs in Asterisk is left alone.
    pub elders: Vec<u32>,
    /// The channels of their callers, which bear no name of theirs.
    pub elders_callers: BTreeSet<String>,
}

impl Config {
    /// Returns a configuration with the defaults: application `moqrelay`, 16 kHz, 60 s of
    /// ringing, 500 legs, the caller's own name and number.
    pub fn new(url: &str, user: &str, password: Secret, dial: &str, audiosocket: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            tls: None,
            user: user.to_owned(),
            password,
            app: "moqrelay".to_owned(),
            audiosocket: audiosocket.to_owned(),
            rtp: None,
            choice: Choice::default(),
            road_rules: Vec::new(),
            dial: dial.to_owned(),
            trunks: Vec::new(),
            caller_name: "{name}".to_owned(),
            caller_number: "{number}".to_owned(),
            ring_timeout: Duration::from_secs(60),
            unanswered: Unanswered::default(),
            run: Uuid::new_v4().as_u128() as u32,
            elders: Vec::new(),
            elders_callers: BTreeSet::new(),
            lines: Vec::new(),
            mailbox: None,
            legs_max: 500,
        }
    }

    /// Checks what Asterisk would stumble over.
    ///
    /// # Errors
    ///
    /// Names the field, its value and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.site_and_path()?;
        let dials = self.trunks.iter().map(|trunk| &trunk.dial);
        for dial in dials.chain([&self.dial]) {
            if !dial.contains("{number}") || !dial.contains('/') {
                return Err(ConfigError::Dial(dial.clone()));
            }
        }
        let endpoints = self
            .trunks
            .iter()
            .filter_map(|trunk| trunk.endpoint.as_ref());
        for endpoint in endpoints {
            let parts = endpoint.split_once('/');
            if !parts.is_some_and(|(technology, name)| !technology.is_empty() && !name.is_empty()) {
                return Err(ConfigError::Endpoint(endpoint.clone()));
            }
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if self.app.is_empty() || !self.app.chars().all(plain) {
            return Err(ConfigError::App(self.app.clone()));
        }
        if !has_port(&self.audiosocket) {
            return Err(ConfigError::AudioSocket(self.audiosocket.clone()));
        }
        if let Some(rtp) = self.rtp.as_ref().filter(|rtp| !has_port(rtp)) {
            return Err(ConfigError::Rtp(rtp.clone()));
        }
        for choice in self.choices() {
            let Choice::Fixed(road, codec) = choice else {
                continue;
            };
            if !road.carries(codec) {
                return Err(ConfigError::Format(codec, road.name()));
            }
            if road == Road::Rtp && self.rtp.is_none() {
                return Err(ConfigError::NoRtp);
            }
        }
        // Several are named in one request, with commas.
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && c != ',');
        let mut watched = self.lines.iter().chain(&self.mailbox);
        if let Some(device) = watched.find(|device| device.is_empty() || !plain(device)) {
            return Err(ConfigError::Device(device.clone()));
        }
        let seconds = self.ring_timeout.as_secs();
        if !(1..=3600).contains(&seconds) {
            return Err(ConfigError::RingTimeout(self.ring_timeout));
        }
        if self.legs_max == 0 {
            return Err(ConfigError::LegsMax);
        }
        Ok(())
    }

    fn choices(&self) -> impl Iterator<Item = Choice> {
        let ruled = self.road_rules.iter().map(|rule| rule.choice);
        std::iter::once(self.choice).chain(ruled)
    }

    /// Returns whether any call has a road that depends on what Asterisk has.
    pub(crate) fn is_any_cheapest(&self) -> bool {
        self.choices().any(|choice| choice == Choice::Cheapest)
    }

    /// Returns how the road is chosen for a call to `number`.
    pub(crate) fn choice_for(&self, from: Calls, number: &str) -> Choice {
        RoadRule::find(&self.road_rules, from, number).unwrap_or(self.choice)
    }

    /// Returns the name of the application that only this run has: what belongs to its calls goes
    /// there, also when another run has taken over the one that calls come in by.
    pub(crate) fn own_app(&self, run: u32) -> String {
        format!("{}-{run:08x}", self.app)
    }

    /// Splits the URL into the server and the path before `/channels`.
    pub(crate) fn site_and_path(&self) -> Result<(Site, String), ConfigError> {
        let wrong = || ConfigError::Url(self.url.clone());
        let (scheme, rest) = self.url.split_once("://").ok_or_else(wrong)?;
        let usual_port = match scheme {
            "http" => 80,
            "https" if self.tls.is_some() => 443,
            "https" => return Err(ConfigError::NoTls(self.url.clone())),
            _ => return Err(wrong()),
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let visible = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#');
        if host.is_empty() || !rest.chars().all(visible) {
            return Err(wrong());
        }
        let has_port = host
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if has_port {
            host.to_owned()
        } else {
            format!("{host}:{usual_port}")
        };
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() {
            String::new()
        } else {
            format!("/{path}")
        };
        let tls = self.tls.clone().filter(|_| scheme == "https");
        Ok((Site { host, tls }, path))
    }
}

fn has_port(address: &str) -> bool {
    let port = address
        .rsplit_once(':')
        .map(|(_, port)| port.parse::<u16>());
    matches!(port, Some(Ok(1..)))
}

/// A field that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not a URL we can use.
    #[error("url is {0:?}: it must be http://HOST:PORT/ari or https://HOST:PORT/ari")]
    Url(String),
    /// Nothing makes it secure.
    #[error("url is {0:?}, and there is nothing to shake hands with")]
    NoTls(String),
    /// Nothing to put the number into.
    #[error("dial is {0:?}: it must be TECHNOLOGY/RESOURCE with {{number}} in it")]
    Dial(String),
    /// Nothing that Asterisk could be asked for.
    #[error("endpoint is {0:?}: it must be TECHNOLOGY/RESOURCE, for example PJSIP/trunk")]
    Endpoint(String),
    /// Not a name.
    #[error("app is {0:?}: allowed are letters, digits, '_' and '-'")]
    App(String),
    /// Not an address.
    #[error("audiosocket is {0:?}: it must be HOST:PORT")]
    AudioSocket(String),
    /// The road does not carry it.
    #[error("format {0} does not go by {1}")]
    Format(Codec, &'static str),
    /// Not an address.
    #[error("rtp is {0:?}: it must be HOST:PORT")]
    Rtp(String),
    /// Nowhere for Asterisk to send to.
    #[error("the road is rtp, and there is no rtp = HOST:PORT")]
    NoRtp,
    /// Not a name.
    #[error("{0:?} is no device or mailbox: visible ASCII without commas is allowed")]
    Device(String),
    /// Out of range.
    #[error("ring timeout is {0:?}: allowed are 1 s to 1 h")]
    RingTimeout(Duration),
    /// None at all.
    #[error("legs_max is 0: it must be at least 1")]
    LegsMax,
}
